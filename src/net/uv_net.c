/*
 * The facade: opening and closing, timers, and the two hooks of each loop turn.
 *
 * A turn: libuv runs timers, then our prepare hook (what timers queued leaves before the loop
 * sleeps), polls (streams are read, frames handled, replies queued), then our check hook (they
 * leave: one record and one write per stream).
 */
#include "net/uv_net.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

uint64_t uvn_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- timers: one uv_timer for all deadlines ---- */

static void on_timer(uv_timer_t *handle);

static void timer_arm(struct uv_net *net)
{
    struct heap_node *first = heap_first(&net->timers);
    if (net->closing || first == NULL) {
        if (net->timer_armed_ms != UINT64_MAX)
            uv_timer_stop(&net->timer);
        net->timer_armed_ms = UINT64_MAX;
        return;
    }
    if (first->key == net->timer_armed_ms)
        return;
    net->timer_armed_ms = first->key;
    uint64_t now = uvn_now_ms();
    uv_update_time(net->loop);
    uv_timer_start(&net->timer, on_timer, first->key > now ? first->key - now : 0, 0);
}

void uvn_timer_set(struct uv_net *net, struct uvn_timer *timer, uint64_t at_ms)
{
    /* Failing for want of memory costs a deadline, not safety: the peer's own deadlines remain. */
    (void)heap_set(&net->timers, &timer->node, at_ms);
    timer_arm(net);
}

void uvn_timer_stop(struct uv_net *net, struct uvn_timer *timer)
{
    heap_remove(&net->timers, &timer->node);
}

static void on_timer(uv_timer_t *handle)
{
    struct uv_net *net = handle->data;
    net->timer_armed_ms = UINT64_MAX;
    uint64_t now = uvn_now_ms();
    struct heap_node *first;
    while (!net->closing && (first = heap_first(&net->timers)) != NULL && first->key <= now) {
        struct uvn_timer *timer = container_of(first, struct uvn_timer, node);
        heap_remove(&net->timers, first);
        timer->fn(timer);
    }
    uvn_settle(net);
    timer_arm(net);
}

/* ---- the hooks of a turn ---- */

void uvn_reports(struct uv_net *net)
{
    struct list *at;
    while ((at = list_first(&net->reports)) != NULL) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, report_link);
        list_remove(at);
        if (stream->peer != NULL && stream->open_told) {
            stream->open_told = false;
            if (net->events.stream_closed != NULL)
                net->events.stream_closed(net->user, stream->peer, stream->net_class,
                                          stream->reason);
        }
        if (stream->gone)
            uvn_stream_free(stream);
    }
}

void uvn_settle(struct uv_net *net)
{
    if (net->settling || net->closing)
        return;
    net->settling = true;
    while (!net->closing && (!list_empty(&net->reports) || !list_empty(&net->adoptions) ||
                             !list_empty(&net->given_up) || !list_empty(&net->drains))) {
        uvn_reports(net);
        uvn_given_up(net);
        uvn_drains(net);
        if (net->closing)
            break;
        struct list *at = list_first(&net->adoptions);
        if (at == NULL)
            continue;
        struct uvn_stream *stream = container_of(at, struct uvn_stream, report_link);
        list_remove(at);
        uvn_adopt_parked(stream);
    }
    net->settling = false;
}

/* Frames may have waited for a read window or for the next turn: the loop must come back at once.
 */
static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

void uvn_flush_all(struct uv_net *net)
{
    struct list *at;
    list_splice(&net->dirty, &net->again);
    while ((at = list_first(&net->dirty)) != NULL) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, dirty_link);
        list_remove(at);
        stream->dirty = false;
        if (stream->chan != NULL) {
            stream->chan->ahead = 0;
            stream->chan->ahead_max = UVN_AHEAD_BYTES;
        }
        uvn_stream_flush(stream);
    }
    bool more = !list_empty(&net->again);
    if (more != (uv_is_active((uv_handle_t *)&net->idle) != 0)) {
        if (more)
            uv_idle_start(&net->idle, on_idle);
        else
            uv_idle_stop(&net->idle);
    }
}

static void on_check(uv_check_t *handle)
{
    struct uv_net *net = handle->data;
    uvn_settle(net);
    if (!net->closing)
        uvn_flush_all(net);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct uv_net *net = handle->data;
    net->turn++;
    uvn_settle(net);
    if (!net->closing)
        uvn_flush_all(net);
}

void uv_net_flush(struct uv_net *net)
{
    if (!net->closing)
        uvn_flush_all(net);
}

/* ---- the spin ---- */

static bool poll_stream(struct uvn_stream *stream)
{
    if (stream == NULL || stream->state != UVN_OPEN || !stream->reading)
        return false;
    uv_buf_t into = uvn_stream_rx(stream);
    ssize_t n = recv(stream->fd, into.base, into.len, MSG_DONTWAIT);
    /* The end and errors are left to the loop, which sees them too. */
    if (n <= 0)
        return false;
    uvn_stream_received(stream, (size_t)n);
    return true;
}

bool uv_net_poll(struct uv_net *net)
{
    if (net->closing || net->rx_busy)
        return false;
    bool any = poll_stream(net->hot[0]);
    /* A call and its reply share a stream, so the others deserve less of the spin. */
    if (!any && (net->polls++ & 7) == 0) {
        for (unsigned i = 1; i < UVN_HOT_MAX && !net->closing; i++)
            any = poll_stream(net->hot[i]) || any;
    }
    if (any && !net->closing)
        uvn_settle(net);
    return any;
}

/* ---- logs, statistics ---- */

bool uvn_log_pass(struct uv_net *net, enum uvn_log_kind kind, char held_out[24])
{
    uint64_t held = 0;
    held_out[0] = '\0';
    if (!log_limit_pass(&net->limits[kind], uvn_now_ms(), UVN_LOG_PERIOD_MS, &held))
        return false;
    (void)snprintf(held_out, 24, "%llu", (unsigned long long)held);
    return true;
}

void uv_net_stats(const struct uv_net *net, struct uv_net_stats *stats_out)
{
    *stats_out = net->stats;
    stats_out->peers_known = (uint32_t)net->peers.n;
    stats_out->handshakes_now = net->handshakes_n;
}

uint16_t uv_net_port(const struct uv_net *net)
{
    return uvn_addr_port(&net->bound);
}

size_t uv_net_addresses(struct uv_net *net, char out[][KITH_ADDRESS_TEXT_MAX + 1], size_t out_max)
{
    return uvn_host_addresses(&net->bound, out, out_max);
}

bool uvn_stale_boot(struct uv_net *net, uint64_t seen)
{
    if (seen < net->boot_no)
        return true; /* raised already, for another peer */
    uint64_t now = uvn_now_ms();
    char held[24];
    if (now < net->stale_boot_ms || net->events.stale_boot == NULL)
        return false;
    net->stale_boot_ms = now + 1000;
    uint64_t boot_no = net->events.stale_boot(net->user, seen);
    if (uvn_log_pass(net, UVN_LOG_OUR_BOOT, held))
        log_warn(net->log, "net",
                 boot_no > seen ? "our boot number was stale and was raised"
                                : "our boot number is stale and could not be raised",
                 "cause",
                 "a peer has seen a higher one: this data directory was restored from a copy, or a "
                 "copy of it runs elsewhere",
                 "help", "run only one node with this key; `kith init` makes a new one", "held",
                 held, NULL);
    if (boot_no <= seen || net->closing)
        return false;
    net->boot_no = boot_no;
    /* What is open was opened by the boot that is gone; the others will say so themselves. */
    list_for_each_safe (at, &net->streams) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, link);
        if (stream->state == UVN_OPEN || stream->state == UVN_PARKED || stream->state == UVN_LINGER)
            uvn_stream_close(stream, "our boot number was raised");
    }
    return true;
}

static void blocks_due(struct uvn_timer *timer)
{
    struct uv_net *net = container_of(timer, struct uv_net, blocks_timer);
    if (frame_pool_trim(&net->pool))
        uvn_timer_set(net, timer, uvn_now_ms() + UVN_BLOCKS_MS);
}

void uvn_blocks_used(struct uv_net *net)
{
    if (!heap_contains(&net->blocks_timer.node) && !net->closing)
        uvn_timer_set(net, &net->blocks_timer, uvn_now_ms() + UVN_BLOCKS_MS);
}

/* ---- opening ---- */

static int buffers_make(struct uv_net *net)
{
    frame_pool_init(&net->pool, 16);
    net->wire = frame_pool_get(&net->pool);
    net->rx = core_malloc(UVN_RX_BYTES);
    if (net->wire == NULL || net->rx == NULL)
        return kith_fail_with(KITH_E_MEMORY, "peer channel: out of memory for its buffers");
    return 0;
}

static void net_free(struct uv_net *net)
{
    uvn_peers_free(net);
    uvn_forgotten_free(net);
    mapid_deinit(&net->peers);
    map64_deinit(&net->hints);
    map64_deinit(&net->dh_keys);
    heap_deinit(&net->timers);
    frame_pool_put(&net->pool, net->wire);
    frame_pool_deinit(&net->pool);
    core_free(net->rx);
    core_free(net->udp_rx);
    sodium_memzero(&net->keys, sizeof(net->keys));
    core_free(net);
}

static void lists_init(struct uv_net *net)
{
    list_init(&net->forgotten_by_age);
    list_init(&net->open_peers);
    list_init(&net->streams);
    list_init(&net->handshakes);
    list_init(&net->dirty);
    list_init(&net->again);
    list_init(&net->reports);
    list_init(&net->adoptions);
    list_init(&net->drains);
    list_init(&net->given_up);
    list_init(&net->dials);
    list_init(&net->dials_waiting);
    net->trim_timer.fn = uvn_trim_due;
    net->accept_timer.fn = uvn_accept_due;
    net->blocks_timer.fn = blocks_due;
    net->timer_armed_ms = UINT64_MAX;
}

static void hooks_start(struct uv_net *net)
{
    /* These cannot fail. */
    uv_check_init(net->loop, &net->check);
    uv_prepare_init(net->loop, &net->prepare);
    uv_idle_init(net->loop, &net->idle);
    uv_timer_init(net->loop, &net->timer);
    net->handles_n += 4;
    net->check.data = net;
    net->prepare.data = net;
    net->idle.data = net;
    net->timer.data = net;
    uv_check_start(&net->check, on_check);
    uv_prepare_start(&net->prepare, on_prepare);
}

/*
 * Writing to a connection that the peer has closed is an error to handle, not the death of the
 * process; libuv writes without MSG_NOSIGNAL. A handler that the program set itself stays.
 */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
        return;
    now.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &now, NULL);
}

int uv_net_open(struct uv_net **net_out, const struct uv_net_config *config)
{
    if (config->boot_no == 0 || config->listen == NULL || config->loop == NULL)
        return kith_fail_with(KITH_E_INVALID,
                              "peer channel: boot number, loop and listen address are needed");
    if (sodium_init() < 0)
        return kith_fail_with(KITH_E_INTERNAL, "peer channel: libsodium does not start");
    struct uv_net *net = core_calloc(1, sizeof(*net));
    if (net == NULL)
        return kith_fail_with(KITH_E_MEMORY, "peer channel: out of memory");
    net->loop = config->loop;
    net->log = config->log;
    net->identity = config->identity;
    net->cluster = config->cluster;
    net_cluster_derive(net->cluster, &net->keys);
    net->hs_config = (struct handshake_config){net->identity, net->cluster, &net->keys};
    net->boot_no = config->boot_no;
    while (net->instance == 0)
        randombytes_buf(&net->instance, sizeof(net->instance));
    net->hint = dgram_hint(&net->keys, &net->identity->id);
    net->role = config->role;
    if (config->name != NULL)
        (void)snprintf(net->name, sizeof(net->name), "%s", config->name);
    net->rpc_frame_bytes_max = config->rpc_frame_bytes_max;
    net->queue_bytes_max =
        config->peer_queue_bytes_max != 0 ? config->peer_queue_bytes_max : NET_PEER_QUEUE_BYTES_MAX;
    net->open_peers_max = NET_PEERS_OPEN_MAX;
    net->open_peers_idle_max = NET_PEERS_OPEN_IDLE_MAX;
    net->idle_ms = UVN_IDLE_MS;
    net->handshake_ms = NET_HANDSHAKE_DEADLINE_MS;
    net->events = config->events;
    net->user = config->user;
    lists_init(net);
    ignore_sigpipe();

    int r = buffers_make(net);
    if (r == 0)
        r = uvn_listen(net, config->listen, config->port_kept);
    if (r != 0 && net->handles_n == 0) {
        net_free(net);
        return r;
    }
    hooks_start(net);
    if (r != 0) {
        uv_net_close(net, NULL, NULL); /* it goes when the loop has closed its handles */
        return r;
    }
    *net_out = net;
    return 0;
}

/* ---- closing ---- */

void uvn_handle_closed(struct uv_net *net)
{
    if (!net->closing || net->handles_n > 0 || net->requests_n > 0)
        return;
    void (*closed)(void *) = net->closed;
    void *user = net->closed_user;
    net_free(net);
    if (closed != NULL)
        closed(user);
}

static void on_closed(uv_handle_t *handle)
{
    struct uv_net *net = handle->data;
    net->handles_n--;
    uvn_handle_closed(net);
}

void uv_net_close(struct uv_net *net, void (*closed)(void *user), void *user)
{
    if (net->closing)
        return;
    /* What was queued leaves as far as the sockets take it at once; nobody waits for the rest. */
    list_for_each_safe (at, &net->streams) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, link);
        uvn_stream_end(stream, FRAME_CLOSE_NORMAL, 0, "this node closed its channel");
    }
    struct list *report;
    while ((report = list_first(&net->reports)) != NULL) {
        struct uvn_stream *stream = container_of(report, struct uvn_stream, report_link);
        list_remove(report);
        if (stream->gone)
            uvn_stream_free(stream);
    }
    net->closing = true;
    net->closed = closed;
    net->closed_user = user;
    uvn_dials_close(net);
    uv_poll_stop(&net->listener);
    uv_close((uv_handle_t *)&net->listener, on_closed);
    close(net->listen_fd);
    if (net->spare_fd >= 0)
        close(net->spare_fd);
    uv_close((uv_handle_t *)&net->udp, on_closed);
    uv_close((uv_handle_t *)&net->check, on_closed);
    uv_close((uv_handle_t *)&net->prepare, on_closed);
    uv_close((uv_handle_t *)&net->idle, on_closed);
    uv_close((uv_handle_t *)&net->timer, on_closed);
}
