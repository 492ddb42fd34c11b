/*
 * What leaves. Frames queued in a turn gather in their channel's frame_writer; the end of the turn
 * seals them to one record (more if they do not fit) and gives each to the kernel as it is sealed.
 *
 * When the socket is full, the one record that did not fit waits for libuv, and nothing more is
 * sealed until it is gone: what a slow peer makes us hold is its bounded queue and one record.
 * A stream whose socket never fills stops after UVN_TURN_BYTES_MAX and goes on in the next turn, so
 * that a long transfer does not keep the loop from the others.
 *
 * Bulk frames are given to the writer only as far as the receiver's credit goes; the rest waits
 * before it. Frames of the channel itself travel as records of their own, so credit and keep-alive
 * never wait behind data.
 */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

struct bulk_frame {
    struct list link;
    size_t len;
    uint8_t type;
    uint8_t body[];
};

/* ---- channels ---- */

static size_t chan_queued(const struct uvn_chan *chan)
{
    return chan->writer.queued + chan->bulk_bytes;
}

static bool has_room_again(const struct uvn_chan *chan)
{
    return chan->room_below != 0 && chan_queued(chan) <= chan->room_below;
}

/* Whoever was refused may send again once three quarters are gone. */
static bool drained(const struct uvn_chan *chan)
{
    const struct frame_budget *queue = &chan->peer->queue;
    return (chan->refused && queue->used < queue->max / 4) || has_room_again(chan);
}

static void drain_check(struct uv_peer *peer)
{
    if (list_linked(&peer->drain_link))
        return;
    for (int i = 0; i < NET_CLASSES_N; i++) {
        if (drained(&peer->chans[i])) {
            list_append(&peer->net->drains, &peer->drain_link);
            return;
        }
    }
}

void uvn_chan_init(struct uvn_chan *chan, struct uv_peer *peer, enum net_class net_class)
{
    chan->peer = peer;
    chan->net_class = net_class;
    frame_writer_init(&chan->writer, net_class,
                      net_class == NET_RPC ? peer->net->rpc_frame_bytes_max : 0, &peer->net->pool,
                      &peer->queue);
    list_init(&chan->bulk_waiting);
    chan->tx_window = NET_BULK_WINDOW_BYTES;
    chan->ahead_max = UVN_AHEAD_BYTES;
}

static void bulk_drop(struct uvn_chan *chan)
{
    struct list *at;
    while ((at = list_first(&chan->bulk_waiting)) != NULL) {
        struct bulk_frame *frame = container_of(at, struct bulk_frame, link);
        list_remove(at);
        chan->peer->queue.used -= frame->len + FRAME_HEAD_BYTES;
        chan->bulk_bytes -= frame->len + FRAME_HEAD_BYTES;
        core_free(frame);
    }
}

void uvn_chan_deinit(struct uvn_chan *chan)
{
    bulk_drop(chan);
    frame_writer_deinit(&chan->writer);
}

void uvn_chan_drop(struct uvn_chan *chan)
{
    uvn_chan_deinit(chan);
    uvn_chan_init(chan, chan->peer, chan->net_class);
    drain_check(chan->peer);
}

void uvn_drains(struct uv_net *net)
{
    struct list *at;
    while ((at = list_first(&net->drains)) != NULL) {
        struct uv_peer *peer = container_of(at, struct uv_peer, drain_link);
        enum net_class refused = NET_CONTROL;
        int more = 0;
        for (int i = NET_CLASSES_N - 1; i >= 0; i--) {
            if (!drained(&peer->chans[i]))
                continue;
            refused = (enum net_class)i;
            more++;
        }
        if (more <= 1)
            list_remove(at);
        if (more == 0)
            continue;
        /* The callback may forget the peer, which takes it off the list. */
        peer->chans[refused].refused = false;
        peer->chans[refused].room_below = 0;
        if (net->events.drained != NULL)
            net->events.drained(net->user, peer, refused);
        if (net->closing)
            return;
    }
}

static int busy(struct uvn_chan *chan)
{
    chan->refused = true;
    return kith_fail_with(KITH_E_BUSY,
                          "peer queue: %zu bytes wait for the peer, which is the limit",
                          chan->peer->queue.used);
}

/* ---- bulk ---- */

static int
bulk_add(struct uvn_chan *chan, uint8_t type, const struct kith_bytes *parts, size_t parts_n)
{
    struct frame_budget *budget = &chan->peer->queue;
    size_t len = 0;
    for (size_t i = 0; i < parts_n; i++)
        len += parts[i].len;
    if (len > NET_BULK_FRAME_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "bulk frame: %zu bytes, the limit is %d", len,
                              NET_BULK_FRAME_BYTES_MAX);
    int64_t wire = (int64_t)(len + FRAME_HEAD_BYTES);
    if (list_empty(&chan->bulk_waiting) && chan->tx_window >= wire) {
        int r = frame_writer_add(&chan->writer, type, parts, parts_n);
        if (r == 0)
            chan->tx_window -= wire;
        return r;
    }
    if (budget->used + (size_t)wire > budget->max)
        return KITH_E_BUSY;
    struct bulk_frame *frame = core_malloc(sizeof(*frame) + len);
    if (frame == NULL)
        return kith_fail_with(KITH_E_MEMORY, "bulk frame: out of memory");
    frame->type = type;
    frame->len = 0;
    for (size_t i = 0; i < parts_n; i++) {
        if (parts[i].len > 0)
            memcpy(frame->body + frame->len, parts[i].data, parts[i].len);
        frame->len += parts[i].len;
    }
    budget->used += (size_t)wire;
    chan->bulk_bytes += (size_t)wire;
    list_append(&chan->bulk_waiting, &frame->link);
    return 0;
}

void uvn_bulk_credit(struct uvn_chan *chan, uint32_t bytes)
{
    struct list *at;
    chan->tx_window += bytes;
    if (chan->tx_window > NET_BULK_WINDOW_BYTES)
        chan->tx_window = NET_BULK_WINDOW_BYTES; /* a peer may not widen its own window */
    while ((at = list_first(&chan->bulk_waiting)) != NULL) {
        struct bulk_frame *frame = container_of(at, struct bulk_frame, link);
        int64_t wire = (int64_t)(frame->len + FRAME_HEAD_BYTES);
        if (wire > chan->tx_window)
            break;
        struct kith_bytes part = {frame->body, frame->len};
        chan->peer->queue.used -= (size_t)wire;
        if (frame_writer_add(&chan->writer, frame->type, &part, 1) != 0) {
            chan->peer->queue.used += (size_t)wire; /* memory: with the next credit */
            break;
        }
        chan->tx_window -= wire;
        chan->bulk_bytes -= (size_t)wire;
        list_remove(at);
        core_free(frame);
    }
    if (chan->stream != NULL)
        uvn_mark_dirty(chan->stream);
}

/* ---- sending ---- */

/* The stream to send on, if there is one; else one is being opened, or why not. */
static int ready(struct uvn_chan *chan)
{
    struct uv_net *net = chan->peer->net;
    if (net->closing)
        return kith_fail_with(KITH_E_STOPPED, "peer channel: it is closing");
    return chan->stream != NULL ? 0 : uvn_chan_connect(chan, false);
}

static void queued(struct uvn_chan *chan)
{
    chan->peer->net->stats.frames_out++;
    if (chan->stream != NULL)
        uvn_mark_dirty(chan->stream);
}

/*
 * The first frames of a long turn leave before its end, so that the other side works on them while
 * this one makes the rest: after UVN_AHEAD_BYTES, then four times as many each time, so that the
 * largest turns pay for three records more.
 */
static void leave_ahead(struct uvn_chan *chan, const struct kith_bytes *parts, size_t parts_n)
{
    struct uvn_stream *stream = chan->stream;
    for (size_t i = 0; i < parts_n; i++)
        chan->ahead += parts[i].len;
    chan->ahead += FRAME_HEAD_BYTES;
    if (chan->ahead < chan->ahead_max || stream == NULL || stream->writing)
        return;
    chan->ahead = 0;
    chan->ahead_max *= 4;
    uvn_stream_flush(stream);
}

int uv_net_send(struct uv_net *net,
                struct uv_peer *peer,
                enum net_class net_class,
                uint8_t type,
                const struct kith_bytes *parts,
                size_t parts_n)
{
    struct uvn_chan *chan = &peer->chans[net_class];
    (void)net;
    int r = ready(chan);
    if (r != 0)
        return r;
    r = net_class == NET_BULK ? bulk_add(chan, type, parts, parts_n)
                              : frame_writer_add(&chan->writer, type, parts, parts_n);
    if (r == 0) {
        queued(chan);
        if (net_class == NET_RPC)
            leave_ahead(chan, parts, parts_n);
        return 0;
    }
    return r == KITH_E_BUSY ? busy(chan) : r;
}

int uv_net_send_take(struct uv_net *net,
                     struct uv_peer *peer,
                     enum net_class net_class,
                     uint8_t type,
                     struct kith_bytes head,
                     struct kith_bytes body,
                     void (*release)(void *arg),
                     void *release_arg)
{
    struct uvn_chan *chan = &peer->chans[net_class];
    (void)net;
    int r = ready(chan);
    if (r != 0 || net_class == NET_BULK) {
        const struct kith_bytes parts[2] = {head, body};
        if (r == 0)
            r = bulk_add(chan, type, parts, 2);
        if (release != NULL)
            release(release_arg);
    } else {
        r = frame_writer_add_take(&chan->writer, type, head, body, release, release_arg);
    }
    if (r == 0) {
        queued(chan);
        return 0;
    }
    return r == KITH_E_BUSY ? busy(chan) : r;
}

size_t uv_net_room(struct uv_net *net, struct uv_peer *peer, enum net_class net_class, size_t most)
{
    struct uvn_chan *chan = &peer->chans[net_class];
    size_t have = chan_queued(chan);

    (void)net;
    if (have > most / 2)
        chan->room_below = most / 2;
    return have < most ? most - have : 0;
}

int uvn_ctl(struct uvn_stream *stream, uint8_t type, const void *body, size_t len)
{
    struct frame_head head = {.len = (uint32_t)len, .type = type};
    uint8_t bytes[FRAME_HEAD_BYTES];
    /* Answers to a peer that does not read them may not pile up. */
    if (stream->state == UVN_CLOSED || stream->ctl.len + len > NET_RECORD_FILL_BYTES / 2)
        return KITH_E_BUSY;
    frame_head_encode(&head, bytes);
    int r = buf_reserve(&stream->ctl, sizeof(bytes) + len);
    if (r != 0)
        return r;
    (void)buf_append(&stream->ctl, bytes, sizeof(bytes));
    if (len > 0)
        (void)buf_append(&stream->ctl, body, len);
    uvn_mark_dirty(stream);
    return 0;
}

void uvn_mark_dirty(struct uvn_stream *stream)
{
    if (stream->dirty || stream->state == UVN_CLOSED)
        return;
    stream->dirty = true;
    list_append(&stream->net->dirty, &stream->dirty_link);
}

/* ---- sealing and writing ---- */

/* Seals the next record to net->wire; *len_out is 0 if there is none. 0 or why the stream must end.
 */
static int next_record(struct uvn_stream *stream, size_t *len_out)
{
    struct uv_net *net = stream->net;
    struct uvn_chan *chan = stream->chan;
    uint64_t now = uv_now(net->loop);
    *len_out = 0;
    /* A whole frame that runs over two records may not be parted by another one. */
    if (stream->ctl.len > 0 && (chan == NULL || !chan->writer.mid_frame)) {
        struct kith_bytes part = {stream->ctl.data, stream->ctl.len};
        int r =
            record_seal(&stream->out, &part, 1, net->wire->data, sizeof(net->wire->data), len_out);
        stream->ctl.len = 0;
        return r;
    }
    if (chan == NULL || stream->state != UVN_OPEN || !frame_writer_pending(&chan->writer))
        return 0;
    return frame_writer_seal(&chan->writer, &stream->out, now, net->wire->data, len_out);
}

static void on_written(uv_write_t *request, int status)
{
    struct uvn_stream *stream = request->data;
    struct uv_net *net = stream->net;
    stream->writing = false;
    frame_pool_put(&net->pool, stream->wire);
    stream->wire = NULL;
    if (stream->state == UVN_CLOSED)
        return;
    if (status < 0) {
        uvn_stream_close(stream, uv_strerror(status));
    } else {
        /* A full socket that takes bytes again is a sign of life: on a slow path a PING may take
         * long. */
        stream->rx_ms = uv_now(net->loop);
        stream->pinged = false;
        uvn_stream_flush(stream);
    }
    uvn_settle(net);
}

/* The socket is full: the rest of net->wire leaves when libuv says so. */
static int write_rest(struct uvn_stream *stream, size_t at, size_t len)
{
    struct uv_net *net = stream->net;
    struct frame_chunk *fresh = frame_pool_get(&net->pool);
    if (fresh == NULL)
        return UV_ENOMEM;
    stream->wire = net->wire;
    net->wire = fresh;
    stream->write.data = stream;
    uv_buf_t rest = uv_buf_init((char *)stream->wire->data + at, (unsigned)(len - at));
    int r = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &rest, 1, on_written);
    stream->writing = r == 0;
    return r;
}

/* Writes the record in net->wire. 0, or libuv's error. */
static int write_record(struct uvn_stream *stream, size_t len)
{
    struct uv_net *net = stream->net;
    uv_buf_t all = uv_buf_init((char *)net->wire->data, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)&stream->tcp, &all, 1);
    if (n == UV_EAGAIN)
        n = 0;
    if (n < 0)
        return n;
    net->stats.bytes_out += len;
    return (size_t)n == len ? 0 : write_rest(stream, (size_t)n, len);
}

void uvn_stream_flush(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    size_t turn = 0;
    while (!stream->writing && stream->state != UVN_CLOSED && stream->out.cipher.ops != NULL) {
        size_t len;
        if (next_record(stream, &len) != 0) {
            uvn_stream_close(stream, "a record could not be sealed");
            return;
        }
        if (len == 0)
            break;
        int r = write_record(stream, len);
        if (r != 0) {
            uvn_stream_close(stream, uv_strerror(r));
            return;
        }
        turn += len;
        if (turn >= UVN_TURN_BYTES_MAX && !stream->dirty) {
            stream->dirty = true;
            list_append(&net->again, &stream->dirty_link);
            break;
        }
    }
    if (turn > 0 && stream->chan != NULL)
        drain_check(stream->chan->peer);
}

int uvn_write_raw(struct uvn_stream *stream, const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    uv_buf_t all = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)&stream->tcp, &all, 1);
    if (n != (int)len)
        return KITH_E_IO;
    stream->net->stats.bytes_out += len;
    return 0;
}
