/*
 * From the first byte of a connection to an adopted stream.
 *
 * The initiator commits itself by message 3 and then waits for the responder's Hello, which adopts:
 * only then do frames flow, so it is the responder alone who decides between two connections, and
 * what it does not adopt has never carried a frame.
 *
 * Simultaneous opens of one class: a responder that has itself sent message 3 to the same node
 * knows that the other will get its own. The lower node id then parks the incoming one (its own
 * stays if it is answered; else the parked one is adopted), the higher adopts the incoming one and
 * gives up its own. A responder that has an adopted stream already parks the new connection, and
 * asks the old one for a sign of life: the peer opens a second one only if it has lost the first.
 */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

/* ---- what both sides' logs say ---- */

#define HELP_JOIN_HERE "run `kith invite` on a node of that cluster and `kith join TOKEN` here"
#define HELP_JOIN_THERE                                                                            \
    "to let it in, run `kith invite` on a node of this cluster and `kith join TOKEN` there"
#define HELP_VERSION "`kith version` on both nodes shows them; bring the older one up to date"

struct refusal {
    int code;
    enum uvn_log_kind ours, theirs;
    const char *reason;
    const char *help_ours, *help_theirs;
};

static const struct refusal refusals[] = {
    {KITH_E_VERSION, UVN_LOG_WE_REFUSED_VERSION, UVN_LOG_REFUSED_VERSION,
     "the protocol versions are incompatible", HELP_VERSION, HELP_VERSION},
    {KITH_E_OTHER_CLUSTER, UVN_LOG_WE_REFUSED_CLUSTER, UVN_LOG_REFUSED_CLUSTER,
     "the nodes belong to different clusters", HELP_JOIN_THERE, HELP_JOIN_HERE},
    {KITH_E_SECRET, UVN_LOG_WE_REFUSED_SECRET, UVN_LOG_REFUSED_SECRET,
     "the nodes have different cluster secrets", HELP_JOIN_THERE, HELP_JOIN_HERE},
};

/* @ours: we refuse; else we were refused. */
static void log_refusal(struct uvn_stream *stream, int code, bool ours)
{
    struct uv_net *net = stream->net;
    char held[24];
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    if (code == KITH_E_VERSION)
        net->stats.refused_version++;
    else if (code == KITH_E_OTHER_CLUSTER)
        net->stats.refused_cluster++;
    else if (code == KITH_E_SECRET)
        net->stats.refused_secret++;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *refusal = &refusals[i];
        if (refusal->code != code ||
            !uvn_log_pass(net, ours ? refusal->ours : refusal->theirs, held))
            continue;
        log_warn(net->log, "net", ours ? "a node was refused" : "a node refused us", "address",
                 uvn_addr_text(&stream->remote, text), "reason", refusal->reason, "help",
                 ours ? refusal->help_ours : refusal->help_theirs, "held", held, NULL);
    }
}

static bool is_refusal(int code)
{
    return code == KITH_E_VERSION || code == KITH_E_OTHER_CLUSTER || code == KITH_E_SECRET;
}

/* ---- our Hello ---- */

void uvn_hello_fill(struct uv_net *net,
                    struct hello *hello,
                    enum net_class net_class,
                    const union uvn_addr *observed)
{
    memset(hello, 0, sizeof(*hello));
    memcpy(hello->sign_pk, net->identity->sign_pk, sizeof(hello->sign_pk));
    hello->id = net->identity->id;
    hello->boot_no = net->boot_no;
    hello->instance = net->instance;
    hello->cluster_id = net->cluster->id;
    hello->version_min = NET_VERSION_MIN;
    hello->version_max = NET_VERSION_MAX;
    hello->net_class = net_class;
    hello->role = net->role;
    (void)snprintf(hello->name, sizeof(hello->name), "%s", net->name);
    (void)snprintf(hello->software, sizeof(hello->software), "%s", KITH_VERSION);
    uvn_addr_text(observed, hello->observed);
    hello->addresses_n =
        uvn_host_addresses(&net->bound, hello->addresses, NET_ADDRESSES_PER_PEER_MAX);
}

/* The responder's first record. @stale_boot: 0, or the highest seen of the peer. */
static int say_hello(struct uvn_stream *stream, uint64_t stale_boot)
{
    struct hello hello;
    struct buf body = {0};
    uvn_hello_fill(stream->net, &hello, stream->net_class, &stream->remote);
    hello.stale_boot = stale_boot;
    int r = hello_encode(&hello, &body);
    if (r == 0)
        r = uvn_ctl(stream, FRAME_HELLO, body.data, body.len);
    buf_deinit(&body);
    return r;
}

/* ---- failures ---- */

static void failed(struct uvn_stream *stream, int code, const char *reason)
{
    struct uv_net *net = stream->net;
    net->stats.handshakes_failed++;
    if (stream->dial != NULL)
        uvn_dial_attempt_failed(stream, code, reason);
    else
        uvn_stream_close(stream, reason);
}

void uvn_handshake_hello_due(struct uvn_timer *timer)
{
    struct uvn_stream *stream = container_of(timer, struct uvn_stream, timer);
    failed(stream, KITH_E_TIMEOUT, "the handshake took too long");
}

int uvn_handshake_eof(struct uvn_stream *stream)
{
    int code = handshake_eof(stream->hs);
    stream->net->stats.handshakes_failed++;
    if (is_refusal(code))
        log_refusal(stream, code, false);
    return code;
}

static void feed_failed(struct uvn_stream *stream, int code)
{
    struct uv_net *net = stream->net;
    char reason[200], held[24];
    (void)snprintf(reason, sizeof(reason), "%s", kith_errmsg());
    if (is_refusal(code)) {
        log_refusal(stream, code, true);
    } else if (code == KITH_E_CORRUPT && uvn_log_pass(net, UVN_LOG_HANDSHAKE, held)) {
        char text[KITH_ADDRESS_TEXT_MAX + 1];
        log_warn(net->log, "net", "a handshake failed", "address",
                 uvn_addr_text(&stream->remote, text), "cause", reason, "held", held, NULL);
    }
    failed(stream, code, reason);
}

/* ---- adoption ---- */

static void adopt(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    struct uv_peer *peer = stream->peer;
    const struct kith_node_id id = peer->id;
    enum net_class net_class = stream->net_class;
    struct uvn_chan *chan = &peer->chans[net_class];
    uvn_stream_handshake_done(stream);
    stream->state = UVN_OPEN;
    stream->chan = chan;
    chan->stream = stream;
    net->stats.streams_open++;
    net->stats.handshakes_ok++;
    if (!stream->initiator && say_hello(stream, 0) != 0) {
        uvn_stream_close(stream, "out of memory");
        return;
    }
    uvn_stream_opened(stream);
    uvn_peer_opened(net, peer);
    /* A fresh window; what the writer holds already will be counted against it there. */
    chan->tx_window = NET_BULK_WINDOW_BYTES - (int64_t)chan->writer.queued;
    if (stream->initiator)
        uvn_peer_worked(peer, &stream->remote);
    if (chan->parked != NULL)
        uvn_park_drop(chan, "another stream of this class was opened first");
    /* What ended before is told before. A callback may forget the peer: then the stream is closed.
     */
    uvn_reports(net);
    if (stream->state != UVN_OPEN)
        return;
    stream->open_told = true;
    chan->wanted = false;
    if (net->events.stream_open != NULL)
        net->events.stream_open(net->user, peer, stream->boot_no, net_class);
    if (net->closing || uv_net_find(net, &id) != peer)
        return;
    if (stream->state == UVN_OPEN && frame_writer_pending(&chan->writer))
        uvn_mark_dirty(stream);
    uvn_dials_served(net, peer, net_class);
}

void uvn_park_drop(struct uvn_chan *chan, const char *reason)
{
    struct uvn_stream *parked = chan->parked;
    chan->parked = NULL;
    if (parked != NULL)
        uvn_stream_end(parked, FRAME_CLOSE_DUPLICATE, 0, reason);
    uvn_chan_check(chan);
}

void uvn_park_adopt(struct uvn_chan *chan)
{
    if (chan->parked != NULL && !list_linked(&chan->parked->report_link))
        list_append(&chan->peer->net->adoptions, &chan->parked->report_link);
}

void uvn_adopt_parked(struct uvn_stream *stream)
{
    struct uvn_chan *chan = &stream->peer->chans[stream->net_class];
    if (stream->state != UVN_PARKED)
        return;
    chan->parked = NULL;
    if (chan->stream != NULL) {
        uvn_stream_end(stream, FRAME_CLOSE_DUPLICATE, 0, "another stream of this class is alive");
        return;
    }
    adopt(stream);
    if (stream->state == UVN_OPEN)
        uvn_stream_resume(stream);
}

static void park_due(struct uvn_timer *timer)
{
    struct uvn_stream *stream = container_of(timer, struct uvn_stream, timer);
    struct uvn_chan *chan = &stream->peer->chans[stream->net_class];
    if (chan->stream == NULL) {
        uvn_park_adopt(chan);
        return;
    }
    if (chan->stream->rx_ms > stream->rx_ms) {
        uvn_park_drop(chan, "another stream of this class is alive");
        return;
    }
    uvn_stream_close(chan->stream, "replaced by a newer connection of the peer");
}

static void park(struct uvn_stream *stream, struct uvn_chan *chan)
{
    struct uv_net *net = stream->net;
    uint64_t wait_ms = net->handshake_ms;
    if (chan->parked != NULL)
        uvn_stream_close(chan->parked, "replaced by a newer connection of the peer");
    uvn_stream_handshake_done(stream);
    stream->state = UVN_PARKED;
    stream->rx_ms = uv_now(net->loop);
    chan->parked = stream;
    if (chan->stream != NULL) {
        (void)uvn_ctl(chan->stream, FRAME_PING, NULL, 0);
        wait_ms = UVN_PARK_PROBE_MS;
    }
    stream->timer.fn = park_due;
    uvn_timer_set(net, &stream->timer, uvn_now_ms() + wait_ms);
}

/* ---- the peer is known ---- */

/* Where datagrams to it may go: the address it came from, with the port that it listens on. */
static void note_source(struct uvn_stream *stream, const struct hello *hello)
{
    struct uv_peer *peer = stream->peer;
    char host[256];
    uint16_t port = 0;
    union uvn_addr addr;
    if (stream->initiator || peer->udp.sa.sa_family != 0)
        return;
    for (size_t i = 0; i < hello->addresses_n && port == 0; i++)
        (void)uvn_addr_parse(hello->addresses[i], &addr, host, sizeof(host), &port);
    if (port == 0)
        return;
    peer->udp = stream->remote;
    uvn_addr_set_port(&peer->udp, port);
}

/* Learns who @hello speaks for. 0 or KITH_E_*; the stream has its peer then. */
static int meet(struct uvn_stream *stream, const struct hello *hello)
{
    struct uv_net *net = stream->net;
    const char *addresses[NET_ADDRESSES_PER_PEER_MAX];
    for (size_t i = 0; i < hello->addresses_n; i++)
        addresses[i] = hello->addresses[i];
    int r =
        uv_net_learn(net, &hello->id, hello->sign_pk, addresses, hello->addresses_n, &stream->peer);
    if (r != 0)
        return r;
    uvn_peer_dh_set(net, stream->peer, stream->remote_dh_pk);
    stream->boot_no = hello->boot_no;
    note_source(stream, hello);
    return 0;
}

static void log_stale(struct uv_net *net, const struct uvn_stream *stream)
{
    char held[24], id[KITH_NODE_ID_DIGITS + 1], text[KITH_ADDRESS_TEXT_MAX + 1];
    if (uvn_log_pass(net, UVN_LOG_STALE_BOOT, held))
        log_warn(net->log, "net", "a node came with a boot number that was seen before", "node",
                 kith_node_id_text(&stream->peer->id, id), "address",
                 uvn_addr_text(&stream->remote, text), "cause",
                 "its data directory was restored from a copy, or a copy of it runs twice", "held",
                 held, NULL);
}

/* Responder: message 3 is in, the keys are there. */
static void authenticated(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    const struct hello *hello = handshake_peer_hello(stream->hs);
    if (meet(stream, hello) != 0) {
        failed(stream, KITH_E_LIMIT, "the peer table is full");
        return;
    }
    stream->net_class = hello->net_class;
    if (!uvn_peer_boot(net, stream->peer, hello->boot_no, hello->instance)) {
        log_stale(net, stream);
        if (say_hello(stream, stream->peer->boot.boot_no) == 0)
            uvn_stream_flush(stream);
        failed(stream, KITH_E_AGAIN, "a stale boot number");
        return;
    }
    if (!uvn_peer_room(net, stream->peer)) {
        uvn_stream_end(stream, FRAME_CLOSE_IDLE, 0,
                       "as many peers as may be are connected, all busy");
        return;
    }
    struct uvn_chan *chan = &stream->peer->chans[stream->net_class];
    frame_reader_init(&stream->reader, stream->net_class,
                      stream->net_class == NET_RPC ? net->rpc_frame_bytes_max : 0,
                      &stream->peer->assembly);
    stream->reader.pool = &net->pool;
    stream->rx_window = NET_BULK_WINDOW_BYTES;
    bool ours_pending = uvn_dial_pending(net, stream->remote_dh_pk, stream->net_class) != NULL;
    bool we_are_lower =
        memcmp(net->identity->id.bytes, stream->peer->id.bytes, KITH_NODE_ID_BYTES) < 0;
    if (chan->stream != NULL || (ours_pending && we_are_lower))
        park(stream, chan);
    else
        adopt(stream);
}

/* The keys of both directions. */
static int take_keys(struct uvn_stream *stream)
{
    struct noise_split split;
    handshake_split(stream->hs, &split);
    memcpy(stream->remote_dh_pk, handshake_remote_dh_pk(stream->hs), sizeof(stream->remote_dh_pk));
    int r = record_out_init(&stream->out, CIPHER_AUTO, split.send_key, uvn_now_ms());
    if (r == 0)
        r = record_in_init(&stream->in, CIPHER_AUTO, split.recv_key);
    sodium_memzero(&split, sizeof(split));
    return r;
}

/* Initiator: message 3 is about to leave. */
static void committed(struct uvn_stream *stream)
{
    stream->state = UVN_HELLO;
    /* Who it is, the Hello says; until then it may not have us hold anything. */
    frame_reader_init(&stream->reader, stream->net_class,
                      stream->net_class == NET_RPC ? stream->net->rpc_frame_bytes_max : 0,
                      &stream->net->no_assembly);
    stream->rx_window = NET_BULK_WINDOW_BYTES;
}

size_t uvn_handshake_input(struct uvn_stream *stream, const uint8_t *data, size_t len)
{
    struct buf out = {0};
    size_t used = len;
    int r = handshake_feed(stream->hs, data, len, &used, &out);
    if (r != 0) {
        (void)uvn_write_raw(stream, out.data, out.len);
        buf_deinit(&out);
        feed_failed(stream, r);
        return len;
    }
    bool done = stream->hs->state == HANDSHAKE_DONE;
    if (done) {
        r = take_keys(stream);
        if (r == 0 && stream->initiator && !uvn_dial_choose(stream)) {
            buf_deinit(&out);
            return len;
        }
    }
    if (r == 0)
        r = uvn_write_raw(stream, out.data, out.len);
    buf_deinit(&out);
    if (r != 0)
        failed(stream, r, "the handshake could not be written");
    else if (done && stream->initiator)
        committed(stream);
    else if (done)
        authenticated(stream);
    return stream->state == UVN_CLOSED ? len : used;
}

void uvn_handshake_start(struct uvn_stream *stream)
{
    struct uv_net *net = stream->net;
    uint8_t ephemeral_sk[NOISE_KEY_BYTES];
    struct hello hello;
    struct buf out = {0};
    stream->state = UVN_HANDSHAKE;
    stream->hs = core_calloc(1, sizeof(*stream->hs));
    if (stream->hs == NULL) {
        failed(stream, KITH_E_MEMORY, "out of memory");
        return;
    }
    uvn_hello_fill(net, &hello, stream->net_class, &stream->remote);
    randombytes_buf(ephemeral_sk, sizeof(ephemeral_sk));
    int r = handshake_initiate(stream->hs, &net->hs_config, &hello, ephemeral_sk, &out);
    sodium_memzero(ephemeral_sk, sizeof(ephemeral_sk));
    if (r == 0)
        r = uvn_stream_read_start(stream);
    if (r == 0)
        r = uvn_write_raw(stream, out.data, out.len);
    buf_deinit(&out);
    if (r != 0)
        failed(stream, r, "the handshake could not be started");
}

/* ---- initiator: the answer to message 3 ---- */

void uvn_hello_refused(struct uvn_stream *stream, enum frame_close_reason reason, uint64_t arg)
{
    struct uvn_dial *dial = stream->dial;
    if (reason == FRAME_CLOSE_BOOT && uvn_stale_boot(stream->net, arg)) {
        uvn_stream_close(stream, "our boot number was raised");
        uvn_dial_again(dial);
        return;
    }
    failed(stream, reason == FRAME_CLOSE_DUPLICATE ? KITH_E_AGAIN : KITH_E_UNREACHABLE,
           frame_close_text(reason));
}

/* The Hello is good: who is it, and is it the one? */
static void welcome(struct uvn_stream *stream, const struct hello *hello)
{
    struct uv_net *net = stream->net;
    struct uvn_dial *dial = stream->dial;
    if (meet(stream, hello) != 0) {
        failed(stream, KITH_E_LIMIT, "the peer table is full");
        return;
    }
    if (!uvn_peer_boot(net, stream->peer, hello->boot_no, hello->instance)) {
        uint64_t seen = stream->peer->boot.boot_no;
        log_stale(net, stream);
        uvn_stream_say_close(stream, FRAME_CLOSE_BOOT, seen);
        failed(stream, KITH_E_AGAIN, "the node came with a stale boot number and was told so");
        return;
    }
    if (!uvn_peer_room(net, stream->peer)) {
        uvn_stream_say_close(stream, FRAME_CLOSE_IDLE, 0);
        failed(stream, KITH_E_LIMIT, "as many peers as may be are connected, all busy");
        return;
    }
    if (stream->peer->chans[stream->net_class].stream != NULL) {
        struct uv_peer *peer = stream->peer;
        uvn_stream_say_close(stream, FRAME_CLOSE_DUPLICATE, 0);
        uvn_stream_close(stream, "another stream of this class was opened first");
        dial->peer = peer;
        uvn_dials_served(net, peer, dial->net_class);
        return;
    }
    stream->reader.budget = &stream->peer->assembly;
    stream->reader.pool = &net->pool;
    dial->peer = stream->peer;
    uvn_dial_release(stream);
    uvn_timer_stop(net, &stream->timer);
    adopt(stream);
}

void uvn_hello_frame(struct uvn_stream *stream, const struct net_frame *frame)
{
    struct uv_net *net = stream->net;
    struct uvn_dial *dial = stream->dial;
    struct hello hello;
    enum frame_close_reason reason;
    uint64_t arg;
    if (frame->type == FRAME_CLOSE &&
        frame_close_decode(frame->body, frame->len, &reason, &arg) == 0) {
        uvn_hello_refused(stream, reason, arg);
        return;
    }
    int r =
        frame->type == FRAME_HELLO ? hello_decode(frame->body, frame->len, &hello) : KITH_E_PARSE;
    if (r == 0)
        r = hello_check(&hello, stream->remote_dh_pk, net->cluster, &net->identity->id);
    if (r == 0 && hello.net_class != stream->net_class)
        r = KITH_E_PARSE;
    if (r != 0) {
        feed_failed(stream, r);
        return;
    }
    if (hello.stale_boot != 0) {
        if (uvn_stale_boot(net, hello.stale_boot)) {
            uvn_stream_close(stream, "our boot number was raised");
            uvn_dial_again(dial);
        } else {
            failed(stream, KITH_E_IO, "our boot number is stale and could not be raised");
        }
        return;
    }
    welcome(stream, &hello);
}
