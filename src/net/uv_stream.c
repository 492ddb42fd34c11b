/*
 * One TCP connection: what arrives, keep-alive, and the ways it ends.
 *
 * All streams read into one buffer of the net; only the beginning of an unfinished record is kept
 * by its stream, so an idle stream holds no memory. A record is opened in place (or into the large
 * frame that it goes on) and its frames are handed up as they stand.
 *
 * Any callback may end the stream, forget its peer or close the net. So after each one the state is
 * looked at again before anything else; the memory stays until libuv's close callback.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

/* ---- birth and death ---- */

struct uvn_stream *uvn_stream_new(struct uv_net *net)
{
    struct uvn_stream *stream = core_calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->net = net;
    stream->fd = -1;
    if (uv_tcp_init(net->loop, &stream->tcp) != 0) {
        core_free(stream);
        return NULL;
    }
    stream->tcp.data = stream;
    net->handles_n++;
    list_append(&net->streams, &stream->link);
    return stream;
}

void uvn_stream_handshake_done(struct uvn_stream *stream)
{
    if (stream->hs != NULL) {
        handshake_deinit(stream->hs);
        core_free(stream->hs);
        stream->hs = NULL;
    }
    uvn_handshake_uncounted(stream->net, stream);
}

void uvn_stream_free(struct uvn_stream *stream)
{
    core_free(stream);
}

static void on_closed(uv_handle_t *handle)
{
    struct uvn_stream *stream = handle->data;
    struct uv_net *net = stream->net;
    uvn_stream_handshake_done(stream);
    frame_reader_deinit(&stream->reader);
    record_in_deinit(&stream->in);
    record_out_deinit(&stream->out);
    buf_deinit(&stream->ctl);
    frame_pool_put(&net->pool, stream->partial);
    frame_pool_put(&net->pool, stream->wire);
    stream->partial = NULL;
    stream->wire = NULL;
    list_remove(&stream->link);
    stream->gone = true;
    if (!list_linked(&stream->report_link))
        uvn_stream_free(stream);
    net->handles_n--;
    uvn_handle_closed(net);
}

/* Takes it away from its channel. */
static void detach(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    struct uvn_chan *chan = stream->chan;
    for (int i = 0; i < UVN_HOT_MAX; i++)
        if (net->hot[i] == stream)
            net->hot[i] = NULL;
    if (stream->dirty) {
        stream->dirty = false;
        list_remove(&stream->dirty_link);
    }
    if (chan == NULL)
        return;
    stream->chan = NULL;
    chan->stream = NULL;
    net->stats.streams_open--;
    /*
     * A record that is out by half is lost, and so is a whole frame that runs over two: what comes
     * after may not arrive without them. A large frame can begin anew.
     */
    if (!stream->keep_queue || chan->writer.mid_frame || stream->writing)
        uvn_chan_drop(chan);
    else
        frame_writer_restart(&chan->writer);
    uvn_peer_check_open(net, chan->peer);
    if (stream->open_told)
        list_append(&net->reports, &stream->report_link);
    if (chan->parked != NULL)
        uvn_park_adopt(chan);
    uvn_chan_check(chan);
}

void uvn_stream_close(struct uvn_stream *stream, const char *reason)
{
    struct uv_net *net = stream->net;
    if (stream->state == UVN_CLOSED)
        return;
    bool parked = stream->state == UVN_PARKED;
    stream->state = UVN_CLOSED;
    if (stream->reason[0] == '\0')
        (void)snprintf(stream->reason, sizeof(stream->reason), "%s", reason);
    uvn_timer_stop(net, &stream->timer);
    uvn_handshake_uncounted(net, stream);
    if (parked) {
        list_remove(&stream->report_link); /* of net->adoptions */
        struct uvn_chan *chan = &stream->peer->chans[stream->net_class];
        if (chan->parked == stream)
            chan->parked = NULL;
        uvn_chan_check(chan);
    }
    if (stream->dial != NULL)
        uvn_dial_attempt_closed(stream, reason);
    detach(stream);
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

void uvn_stream_say_close(struct uvn_stream *stream, enum frame_close_reason reason, uint64_t arg)
{
    uint8_t body[FRAME_CLOSE_BYTES];
    if (stream->out.cipher.ops == NULL)
        return;
    uvn_stream_flush(stream);
    frame_close_encode(reason, arg, body);
    if (stream->state != UVN_CLOSED && uvn_ctl(stream, FRAME_CLOSE, body, sizeof(body)) == 0)
        uvn_stream_flush(stream);
}

void uvn_stream_end(struct uvn_stream *stream,
                    enum frame_close_reason close_reason,
                    uint64_t arg,
                    const char *reason)
{
    uvn_stream_say_close(stream, close_reason, arg);
    uvn_stream_close(stream, reason);
}

static void linger_due(struct uvn_timer *timer)
{
    struct uvn_stream *stream = container_of(timer, struct uvn_stream, timer);
    uvn_stream_close(stream, "closed");
}

void uvn_stream_linger(struct uvn_stream *stream,
                       enum frame_close_reason close_reason,
                       const char *reason)
{
    uint8_t body[FRAME_CLOSE_BYTES];
    if (stream->state != UVN_OPEN)
        return;
    uvn_stream_flush(stream);
    frame_close_encode(close_reason, 0, body);
    if (stream->state != UVN_OPEN || stream->writing ||
        uvn_ctl(stream, FRAME_CLOSE, body, sizeof(body)) != 0) {
        uvn_stream_close(stream, reason);
        return;
    }
    uvn_stream_flush(stream);
    if (stream->state != UVN_OPEN)
        return;
    (void)snprintf(stream->reason, sizeof(stream->reason), "%s", reason);
    stream->state = UVN_LINGER;
    stream->discard = close_reason != FRAME_CLOSE_IDLE;
    stream->keep_queue = close_reason == FRAME_CLOSE_IDLE;
    detach(stream);
    stream->timer.fn = linger_due;
    uvn_timer_set(stream->net, &stream->timer, uvn_now_ms() + UVN_LINGER_MS);
}

/* ---- keep-alive ---- */

static void keepalive_due(struct uvn_timer *timer)
{
    struct uvn_stream *stream = container_of(timer, struct uvn_stream, timer);
    uint64_t now = uvn_now_ms();
    if (!stream->pinged) {
        if (now < stream->rx_ms + UVN_KEEPALIVE_IDLE_MS) {
            uvn_timer_set(stream->net, timer, stream->rx_ms + UVN_KEEPALIVE_IDLE_MS);
            return;
        }
        (void)uvn_ctl(stream, FRAME_PING, NULL, 0);
        stream->pinged = true;
        stream->ping_ms = now;
        uvn_timer_set(stream->net, timer, now + UVN_KEEPALIVE_ANSWER_MS);
        return;
    }
    /*
     * The answer may wait in the socket because it was us who did not run (a stopped process): one
     * more, short, chance, which a live peer always takes.
     */
    if (now > stream->ping_ms + UVN_KEEPALIVE_ANSWER_MS + 1000 && !stream->ping_late) {
        stream->ping_late = true;
        stream->ping_ms = now - UVN_KEEPALIVE_ANSWER_MS;
        uvn_timer_set(stream->net, timer, now + 1000);
        return;
    }
    uvn_stream_close(stream, "no answer to keep-alive: the host or the network is gone");
}

void uvn_stream_opened(struct uvn_stream *stream)
{
    stream->rx_ms = uvn_now_ms();
    stream->timer.fn = keepalive_due;
    uvn_timer_set(stream->net, &stream->timer, stream->rx_ms + UVN_KEEPALIVE_IDLE_MS);
}

/* ---- the channel's own frames ---- */

static void protocol_error(struct uvn_stream *stream, const char *what)
{
    struct uv_net *net = stream->net;
    char held[24];
    if (uvn_log_pass(net, UVN_LOG_PROTOCOL, held)) {
        char text[KITH_ADDRESS_TEXT_MAX + 1];
        log_warn(net->log, "net", "a peer broke the protocol, its stream was closed", "address",
                 uvn_addr_text(&stream->remote, text), "cause", what, "held", held, NULL);
    }
    uvn_stream_end(stream, FRAME_CLOSE_PROTOCOL, 0, what);
}

static void close_frame(struct uvn_stream *stream, const struct net_frame *frame)
{
    enum frame_close_reason reason;
    uint64_t arg;
    if (frame_close_decode(frame->body, frame->len, &reason, &arg) != 0) {
        protocol_error(stream, "a CLOSE frame that cannot be read");
        return;
    }
    if (stream->dial != NULL) {
        uvn_hello_refused(stream, reason, arg);
        return;
    }
    if (stream->state == UVN_LINGER) {
        uvn_stream_close(stream, "closed");
        return;
    }
    struct uvn_chan *chan = stream->chan;
    struct uv_net *net = stream->net;
    stream->keep_queue = reason == FRAME_CLOSE_IDLE;
    uvn_stream_close(stream, frame_close_text(reason));
    if (reason == FRAME_CLOSE_BOOT)
        (void)uvn_stale_boot(net, arg);
    else if (reason == FRAME_CLOSE_IDLE && chan != NULL && frame_writer_pending(&chan->writer))
        (void)uvn_chan_connect(chan, true);
}

static void channel_frame(struct uvn_stream *stream, const struct net_frame *frame)
{
    uint32_t credit;
    switch (frame->type) {
    case FRAME_PING:
        if (frame->len > FRAME_PING_BYTES_MAX)
            protocol_error(stream, "a PING that is too long");
        else
            (void)uvn_ctl(stream, FRAME_PONG, frame->body, frame->len);
        break;
    case FRAME_PONG:
        if (stream->chan != NULL && stream->chan->parked != NULL)
            uvn_park_drop(stream->chan, "another stream of this class is alive");
        break;
    case FRAME_CREDIT:
        if (frame_credit_decode(frame->body, frame->len, &credit) != 0)
            protocol_error(stream, "a CREDIT frame that cannot be read");
        else if (stream->chan != NULL)
            uvn_bulk_credit(stream->chan, credit);
        break;
    case FRAME_CLOSE:
        close_frame(stream, frame);
        break;
    default:
        protocol_error(stream, "a frame type that does not belong here");
        break;
    }
}

/* ---- frames ---- */

/* What the application has taken goes back to the sender's window, in steps. */
static bool bulk_consumed(struct uvn_stream *stream, size_t bytes)
{
    uint8_t body[FRAME_CREDIT_BYTES];
    stream->credit_used += (uint32_t)bytes;
    if (stream->credit_used < UVN_CREDIT_STEP_BYTES)
        return true;
    frame_credit_encode(stream->credit_used, body);
    stream->rx_window += stream->credit_used;
    stream->credit_used = 0;
    return uvn_ctl(stream, FRAME_CREDIT, body, sizeof(body)) == 0;
}

static void handle_frame(struct uvn_stream *stream, struct net_frame *frame)
{
    struct uv_net *net = stream->net;
    size_t bulk = stream->net_class == NET_BULK ? frame->len + FRAME_HEAD_BYTES : 0;
    if (!frame_type_fits(frame->type, stream->net_class)) {
        protocol_error(stream, "a frame type that does not belong to this class");
        return;
    }
    if (bulk > 0 && (stream->rx_window -= (int64_t)bulk) < 0) {
        protocol_error(stream, "more bulk bytes than its window allows");
        return;
    }
    net->stats.frames_in++;
    if (stream->peer != NULL && !stream->discard)
        net->events.frame(net->user, stream->peer, stream->boot_no, frame);
    if (bulk > 0 && stream->state == UVN_OPEN)
        (void)bulk_consumed(stream, bulk);
}

/* All frames of the opened record. False if the stream ended. */
static bool frames(struct uvn_stream *stream)
{
    struct net_frame frame;
    int r;
    while ((r = frame_reader_next(&stream->reader, &frame)) == 1) {
        if (stream->state == UVN_HELLO)
            uvn_hello_frame(stream, &frame);
        else if (frame.type > FRAME_CHANNEL_LAST)
            handle_frame(stream, &frame);
        else
            channel_frame(stream, &frame);
        if (frame.pool != NULL)
            uvn_blocks_used(stream->net);
        net_frame_done(&frame);
        if (stream->state == UVN_CLOSED)
            return false;
    }
    if (r == 0)
        return true;
    protocol_error(stream, kith_errmsg());
    return false;
}

static size_t records(struct uvn_stream *stream, uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t wire_len;
        if (record_wire_len(data + at, len - at, &wire_len) != 0) {
            protocol_error(stream, "a record length that cannot be");
            return len;
        }
        if (wire_len == 0 || wire_len > len - at)
            break;
        if (frame_reader_open(&stream->reader, &stream->in, data + at, wire_len) != 0) {
            protocol_error(stream, "a record that is not authentic");
            return len;
        }
        if (!frames(stream))
            return len;
        at += wire_len;
    }
    return at;
}

/* ---- bytes ---- */

int uvn_stream_keep(struct uvn_stream *stream, const uint8_t *data, size_t len)
{
    struct uv_net *net = stream->net;
    if (len == 0) {
        frame_pool_put(&net->pool, stream->partial);
        stream->partial = NULL;
        return 0;
    }
    if (len > sizeof(stream->partial->data))
        return KITH_E_TOO_LARGE;
    if (stream->partial == NULL)
        stream->partial = frame_pool_get(&net->pool);
    if (stream->partial == NULL)
        return KITH_E_MEMORY;
    memmove(stream->partial->data, data, len);
    stream->partial->len = (uint32_t)len;
    return 0;
}

/* Works through @len bytes as the state asks for; returns how many are done with. */
static size_t input(struct uvn_stream *stream, uint8_t *data, size_t len)
{
    size_t at = 0;
    if (stream->state == UVN_HANDSHAKE)
        at = uvn_handshake_input(stream, data, len);
    /* A handshake that is done leaves the rest of its last read to the records. */
    if (stream->state == UVN_HELLO || stream->state == UVN_OPEN || stream->state == UVN_LINGER)
        at += records(stream, data + at, len - at);
    return at;
}

static void make_hot(struct uv_net *net, struct uvn_stream *stream)
{
    struct uvn_stream *moving = stream;
    for (int i = 0; i < UVN_HOT_MAX; i++) {
        struct uvn_stream *was = net->hot[i];
        net->hot[i] = moving;
        if (was == stream || was == NULL)
            break;
        moving = was;
    }
}

uv_buf_t uvn_stream_rx(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    size_t at = 0;
    if (stream->partial != NULL) {
        at = stream->partial->len;
        memcpy(net->rx, stream->partial->data, at);
    }
    return uv_buf_init((char *)net->rx + at, (unsigned)(UVN_RX_BYTES - at));
}

void uvn_stream_received(struct uvn_stream *stream, size_t n)
{
    struct uv_net *net = stream->net;
    size_t len = n + (stream->partial != NULL ? stream->partial->len : 0);
    net->stats.bytes_in += n;
    stream->rx_ms = uv_now(net->loop);
    stream->pinged = false;
    stream->ping_late = false;
    if (stream->state == UVN_OPEN && net->hot[0] != stream)
        make_hot(net, stream);
    if (stream->peer != NULL)
        uvn_peer_used(net, stream->peer);
    net->rx_busy = true;
    size_t used = input(stream, net->rx, len);
    net->rx_busy = false;
    if (stream->state == UVN_CLOSED)
        return;
    if (uvn_stream_keep(stream, net->rx + used, len - used) == 0)
        return;
    if (stream->state == UVN_PARKED) {
        /* It may send on before it is adopted; it has to wait with more than one record of that. */
        protocol_error(stream, "too much before its Hello was answered");
        return;
    }
    uvn_stream_close(stream, "out of memory for what was received");
}

void uvn_stream_resume(struct uvn_stream *stream)
{
    struct frame_chunk *chunk = stream->partial;
    if (chunk == NULL)
        return;
    size_t used = input(stream, chunk->data, chunk->len);
    if (stream->state != UVN_CLOSED)
        (void)uvn_stream_keep(stream, chunk->data + used, chunk->len - used);
}

/*
 * libuv reads on as long as the buffer comes back full: with a fast sender that would be megabytes
 * while others wait. No buffer ends it (UV_ENOBUFS); what is left is offered again in the next
 * turn.
 */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *into)
{
    struct uvn_stream *stream = handle->data;
    (void)suggested;
    if (stream->rx_turn != stream->net->turn) {
        stream->rx_turn = stream->net->turn;
        stream->rx_turn_bytes = 0;
    }
    *into =
        stream->rx_turn_bytes < UVN_TURN_BYTES_MAX ? uvn_stream_rx(stream) : uv_buf_init(NULL, 0);
}

/* The other end closed, or the connection broke. */
static void lost(struct uvn_stream *stream, ssize_t error)
{
    if (stream->dial != NULL) {
        int code = stream->state == UVN_HANDSHAKE ? uvn_handshake_eof(stream) : KITH_E_UNREACHABLE;
        uvn_dial_attempt_failed(
            stream, code, error == UV_EOF ? "closed the connection" : uv_strerror((int)error));
        return;
    }
    if (stream->state == UVN_HANDSHAKE)
        stream->net->stats.handshakes_failed++;
    uvn_stream_close(stream,
                     error == UV_EOF ? "the peer closed the connection" : uv_strerror((int)error));
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *from)
{
    struct uvn_stream *stream = handle->data;
    struct uv_net *net = stream->net;
    (void)from;
    if (n == 0 || n == UV_ENOBUFS || stream->state == UVN_CLOSED)
        return;
    if (n > 0) {
        stream->rx_turn_bytes += (size_t)n;
        uvn_stream_received(stream, (size_t)n);
    } else {
        lost(stream, n);
    }
    uvn_settle(net);
}

int uvn_stream_read_start(struct uvn_stream *stream)
{
    (void)uv_tcp_nodelay(&stream->tcp, 1);
    if (uv_fileno((uv_handle_t *)&stream->tcp, &stream->fd) != 0)
        return KITH_E_IO;
    uvn_os_tcp_options(stream->fd, UVN_TCP_USER_TIMEOUT_MS);
    stream->reading = true;
    return uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read) == 0 ? 0 : KITH_E_IO;
}
