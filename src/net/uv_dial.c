/*
 * Dialling: all addresses of somebody are raced for one stream (ux 2.A).
 *
 * Attempts start UVN_DIAL_STAGGER_MS apart, or at once when one fails, what worked last first. The
 * first that proves by message 2 to be the right node goes on; the others stop. So a dead address
 * costs a tenth of a second, and an address that now belongs to somebody else costs nothing.
 */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "net/uv_priv.h"

/* A name that is being looked up. Outlives its dial: libuv's request cannot be taken back at once.
 */
struct resolve {
    uv_getaddrinfo_t request;
    struct list link; /* dial->resolves, if the dial still wants it */
    struct uv_net *net;
    struct uvn_dial *dial;
    uint16_t port;
    char host[256];
};

static void dial_go_on(struct uvn_dial *dial);

/* ---- failures, best told by the most telling one ---- */

static int telling(int code)
{
    switch (code) {
    case KITH_E_OTHER_CLUSTER:
    case KITH_E_SECRET:
    case KITH_E_VERSION:
        return 4;
    case KITH_E_EXISTS:
        return 3;
    case KITH_E_TIMEOUT:
        return 1;
    case KITH_E_UNREACHABLE:
        return 2;
    case 0:
        return 0;
    default:
        return 3;
    }
}

static void note_failure(struct uvn_dial *dial, int code, const char *address, const char *reason)
{
    if (dial->code != 0 && telling(code) < telling(dial->code))
        return;
    dial->code = code;
    (void)snprintf(dial->reason, sizeof(dial->reason), "%s%s%s", address,
                   address[0] != '\0' ? ": " : "", reason);
}

/* ---- candidates ---- */

static void candidate_add(struct uvn_dial *dial, const union uvn_addr *addr)
{
    if (dial->candidates_n == UVN_CANDIDATES_MAX || addr->sa.sa_family == 0)
        return;
    for (unsigned i = 0; i < dial->candidates_n; i++)
        if (uvn_addr_equal(&dial->candidates[i], addr))
            return;
    dial->candidates[dial->candidates_n++] = *addr;
}

static void note_unresolved(struct uvn_dial *dial, const char *host, int status)
{
    char reason[160];
    (void)snprintf(reason, sizeof(reason), "%s%s", uv_strerror(status),
                   status == UV_EAI_NONAME || status == UV_EAI_NODATA || status == UV_EAI_FAIL
                       ? "; check its spelling, or give a numeric address"
                       : "");
    note_failure(dial, KITH_E_UNREACHABLE, host, reason);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct resolve *resolve = container_of(request, struct resolve, request);
    struct uv_net *net = resolve->net;
    struct uvn_dial *dial = resolve->dial;
    if (dial != NULL) {
        list_remove(&resolve->link);
        if (status != 0)
            note_unresolved(dial, resolve->host, status);
        for (struct addrinfo *at = status == 0 ? found : NULL; at != NULL; at = at->ai_next) {
            union uvn_addr addr;
            if (!uvn_addr_from(&addr, at->ai_addr))
                continue;
            uvn_addr_set_port(&addr, resolve->port);
            candidate_add(dial, &addr);
        }
        dial_go_on(dial);
    }
    uv_freeaddrinfo(found);
    core_free(resolve);
    net->requests_n--;
    uvn_settle(net);
    uvn_handle_closed(net);
}

static void resolve_start(struct uvn_dial *dial, const char *host, uint16_t port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct resolve *resolve = core_calloc(1, sizeof(*resolve));
    if (resolve == NULL) {
        note_failure(dial, KITH_E_MEMORY, host, "out of memory");
        return;
    }
    resolve->net = dial->net;
    resolve->dial = dial;
    resolve->port = port;
    (void)snprintf(resolve->host, sizeof(resolve->host), "%s", host);
    int r = uv_getaddrinfo(dial->net->loop, &resolve->request, on_resolved, host, NULL, &hints);
    if (r != 0) {
        note_unresolved(dial, host, r);
        core_free(resolve);
        return;
    }
    dial->net->requests_n++;
    list_append(&dial->resolves, &resolve->link);
}

static void candidate_text(struct uvn_dial *dial, const char *text)
{
    union uvn_addr addr;
    char host[256];
    uint16_t port;
    if (uvn_addr_parse(text, &addr, host, sizeof(host), &port) == 0)
        candidate_add(dial, &addr);
    else if (port != 0)
        resolve_start(dial, host, port);
    else
        note_failure(dial, KITH_E_INVALID, text, "is not an address with a port");
}

static void candidates_collect(struct uvn_dial *dial)
{
    struct uv_peer *peer = dial->peer;
    dial->candidates_n = 0;
    dial->next = 0;
    if (dial->address[0] != '\0')
        candidate_text(dial, dial->address);
    if (peer == NULL)
        return;
    for (size_t i = 0; i < peer->addresses_n; i++) {
        if (peer->addresses[i].addr.sa.sa_family != 0)
            candidate_add(dial, &peer->addresses[i].addr);
        else
            candidate_text(dial, peer->addresses[i].text);
    }
    /* Where it came from, if it advertises nothing that works (a translated network). */
    candidate_add(dial, &peer->udp);
}

/* ---- the life of a dial ---- */

static void dial_due(struct uvn_timer *timer);

static struct uvn_dial *dial_new(struct uv_net *net, struct uv_peer *peer, enum net_class net_class)
{
    struct uvn_dial *dial = core_calloc(1, sizeof(*dial));
    if (dial == NULL)
        return NULL;
    dial->net = net;
    dial->peer = peer;
    dial->net_class = net_class;
    dial->timer.fn = dial_due;
    list_init(&dial->attempts);
    list_init(&dial->resolves);
    list_append(&net->dials_waiting, &dial->link);
    net->dials_waiting_n++;
    if (peer != NULL && peer->chans[net_class].dial == NULL)
        peer->chans[net_class].dial = dial;
    return dial;
}

static void dial_leave_list(struct uvn_dial *dial)
{
    list_remove(&dial->link);
    if (!dial->begun)
        dial->net->dials_waiting_n--;
}

static void dial_begin(struct uvn_dial *dial)
{
    if (dial->begun)
        return;
    dial_leave_list(dial);
    dial->begun = true;
    list_append(&dial->net->dials, &dial->link);
    candidates_collect(dial);
    dial_go_on(dial);
}

/* The next that waits, if there is room for its attempts. */
static void dials_start_waiting(struct uv_net *net)
{
    list_for_each_safe (at, &net->dials_waiting) {
        struct uvn_dial *dial = container_of(at, struct uvn_dial, link);
        if (net->closing || net->attempts_n >= NET_DIALS_MAX)
            return;
        if (!heap_contains(&dial->timer.node)) {
            /* Never from here: the caller may be inside a function of the facade. */
            uvn_timer_set(net, &dial->timer, uvn_now_ms());
        }
    }
}

static void backoff(struct uv_peer *peer)
{
    uint64_t base = UVN_BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < peer->dial_failures && base < UVN_BACKOFF_MAX_MS; i++)
        base *= 2;
    if (base > UVN_BACKOFF_MAX_MS)
        base = UVN_BACKOFF_MAX_MS;
    peer->dial_failures++;
    peer->dial_next_ms = uvn_now_ms() + base / 2 + randombytes_uniform((uint32_t)(base / 2) + 1);
}

/* Frees what it holds; it is on no list then. */
static void dial_dissolve(struct uvn_dial *dial, const char *reason)
{
    struct uv_net *net = dial->net;
    struct list *at;
    dial->ending = true;
    uvn_timer_stop(net, &dial->timer);
    dial_leave_list(dial);
    while ((at = list_first(&dial->attempts)) != NULL)
        uvn_stream_close(container_of(at, struct uvn_stream, dial_link), reason);
    while ((at = list_first(&dial->resolves)) != NULL) {
        struct resolve *resolve = container_of(at, struct resolve, link);
        list_remove(at);
        resolve->dial = NULL;
        (void)uv_cancel((uv_req_t *)&resolve->request);
    }
    if (dial->peer != NULL && dial->peer->chans[dial->net_class].dial == dial) {
        dial->peer->chans[dial->net_class].dial = NULL;
        uvn_chan_check(&dial->peer->chans[dial->net_class]);
    }
}

/* We want it no more. */
static void dial_cancel(struct uvn_dial *dial, const char *reason)
{
    struct uv_net *net = dial->net;
    dial_dissolve(dial, reason);
    core_free(dial);
    dials_start_waiting(net);
}

/* The peer was dialled in vain. */
static void dial_in_vain(struct uvn_dial *dial, struct uv_peer *peer)
{
    struct uv_net *net = dial->net;
    struct uvn_chan *chan = &peer->chans[dial->net_class];
    if (chan->parked != NULL) {
        uvn_park_adopt(chan); /* its own connection waited for the outcome of ours */
        return;
    }
    backoff(peer);
    (void)snprintf(peer->dial_reason, sizeof(peer->dial_reason), "%s", dial->reason);
    uvn_chan_drop(chan);
    chan->wanted = false;
    if (net->events.unreachable != NULL && !net->closing)
        net->events.unreachable(net->user, peer, dial->net_class, dial->reason);
}

void uvn_dial_end(struct uvn_dial *dial, int code, struct uv_peer *peer)
{
    struct uv_net *net = dial->net;
    struct uv_peer *dialled = dial->peer;
    enum net_class net_class = dial->net_class;
    dial_dissolve(dial, "another address was faster");
    if (code == KITH_E_AGAIN)
        code = KITH_E_UNREACHABLE;
    if (code != 0)
        (void)kith_fail_with(code, "%s",
                             dial->reason[0] != '\0' ? dial->reason : "no address to try");
    if (code != 0 && dialled != NULL && dialled->chans[net_class].stream == NULL &&
        dial->done == NULL)
        dial_in_vain(dial, dialled);
    if (dial->done != NULL)
        dial->done(dial->user, code, code == 0 ? peer : NULL);
    core_free(dial);
    if (!net->closing)
        dials_start_waiting(net);
}

void uvn_dial_again(struct uvn_dial *dial)
{
    if (dial->boot_retries++ >= 3) {
        note_failure(dial, KITH_E_IO, "", "our boot number stays stale");
        uvn_dial_end(dial, KITH_E_IO, NULL);
        return;
    }
    dial->code = 0;
    candidates_collect(dial);
    dial_go_on(dial);
}

/* ---- attempts ---- */

static void on_connected(uv_connect_t *request, int status)
{
    struct uvn_stream *stream = container_of(request, struct uvn_stream, connect);
    struct uv_net *net = stream->net;
    if (stream->state != UVN_CONNECTING)
        return; /* closed meanwhile */
    if (status != 0)
        uvn_dial_attempt_failed(stream, KITH_E_UNREACHABLE, uv_strerror(status));
    else
        uvn_handshake_start(stream);
    uvn_settle(net);
}

static int attempt_start(struct uvn_dial *dial, const union uvn_addr *addr)
{
    struct uv_net *net = dial->net;
    struct uvn_stream *stream = uvn_stream_new(net);
    if (stream == NULL)
        return UV_ENOMEM;
    stream->initiator = true;
    stream->net_class = dial->net_class;
    stream->remote = *addr;
    stream->dial = dial;
    stream->state = UVN_CONNECTING;
    list_append(&dial->attempts, &stream->dial_link);
    dial->attempts_n++;
    net->attempts_n++;
    stream->timer.fn = uvn_handshake_hello_due;
    uvn_timer_set(net, &stream->timer, uvn_now_ms() + net->handshake_ms);
    int r = uv_tcp_connect(&stream->connect, &stream->tcp, &addr->sa, on_connected);
    if (r != 0)
        uvn_stream_close(stream, uv_strerror(r));
    return r;
}

/* Starts what is due; ends the dial when nothing is left. */
static void dial_go_on(struct uvn_dial *dial)
{
    struct uv_net *net = dial->net;
    if (dial->ending || net->closing)
        return;
    while (dial->chosen == NULL && dial->next < dial->candidates_n) {
        if (net->attempts_n >= NET_DIALS_MAX && dial->attempts_n > 0)
            break; /* one of the others will call again */
        const union uvn_addr *addr = &dial->candidates[dial->next++];
        int r = attempt_start(dial, addr);
        if (r == 0) {
            if (dial->next < dial->candidates_n)
                uvn_timer_set(net, &dial->timer, uvn_now_ms() + UVN_DIAL_STAGGER_MS);
            return;
        }
        char text[KITH_ADDRESS_TEXT_MAX + 1];
        note_failure(dial, KITH_E_UNREACHABLE, uvn_addr_text(addr, text), uv_strerror(r));
    }
    if (dial->attempts_n == 0 && list_empty(&dial->resolves) && dial->next >= dial->candidates_n)
        uvn_dial_end(dial, dial->code != 0 ? dial->code : KITH_E_UNREACHABLE, NULL);
}

static void dial_due(struct uvn_timer *timer)
{
    struct uvn_dial *dial = container_of(timer, struct uvn_dial, timer);
    if (dial->begun)
        dial_go_on(dial);
    else if (dial->net->attempts_n < NET_DIALS_MAX)
        dial_begin(dial);
    /* else it stays on the list: dials_start_waiting() finds it when another ends */
}

/* Nothing is under way for it: its timer goes on, or ends it, unless that happens before. */
static void dial_wake(struct uvn_dial *dial)
{
    if (!dial->ending && dial->attempts_n == 0)
        uvn_timer_set(dial->net, &dial->timer, uvn_now_ms());
}

void uvn_dial_attempt_closed(struct uvn_stream *stream, const char *reason)
{
    struct uvn_dial *dial = stream->dial;
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    list_remove(&stream->dial_link);
    dial->attempts_n--;
    dial->net->attempts_n--;
    if (dial->chosen == stream)
        dial->chosen = NULL;
    stream->dial = NULL;
    if (dial->code == 0 && dial->attempts_n == 0 && !dial->ending)
        note_failure(dial, KITH_E_UNREACHABLE, uvn_addr_text(&stream->remote, text), reason);
    dial_wake(dial);
}

void uvn_dial_attempt_failed(struct uvn_stream *stream, int code, const char *reason)
{
    struct uvn_dial *dial = stream->dial;
    struct uv_net *net = stream->net;
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    bool was_chosen = dial->chosen == stream;
    struct uv_peer *peer = was_chosen ? uvn_peer_by_dh(net, stream->remote_dh_pk) : NULL;
    note_failure(dial, code, uvn_addr_text(&stream->remote, text), reason);
    uvn_stream_close(stream, reason);
    /* The peer's own connection waited for the outcome of ours. */
    if (peer != NULL && peer->chans[dial->net_class].stream == NULL)
        uvn_park_adopt(&peer->chans[dial->net_class]);
    dial_go_on(dial);
}

void uvn_dial_release(struct uvn_stream *stream)
{
    struct uvn_dial *dial = stream->dial;
    list_remove(&stream->dial_link);
    dial->attempts_n--;
    stream->net->attempts_n--;
    dial->chosen = NULL;
    stream->dial = NULL;
    dial_wake(dial); /* whoever adopts the stream ends it, unless a callback is in the way */
}

bool uvn_dial_choose(struct uvn_stream *stream)
{
    struct uvn_dial *dial = stream->dial;
    struct uv_net *net = stream->net;
    struct uv_peer *peer = uvn_peer_by_dh(net, stream->remote_dh_pk);
    if (memcmp(stream->remote_dh_pk, net->identity->dh_pk, NET_PUBLIC_KEY_BYTES) == 0) {
        uvn_dial_attempt_failed(stream, KITH_E_EXISTS, "it is this node itself");
        return false;
    }
    if (dial->peer != NULL && dial->peer != peer) {
        uvn_dial_attempt_failed(stream, KITH_E_UNREACHABLE, "another node answers there");
        return false;
    }
    if (peer != NULL && peer->chans[dial->net_class].stream != NULL) {
        /* First contact with somebody who is connected already. */
        uvn_peer_worked(peer, &stream->remote);
        uvn_dial_end(dial, 0, peer);
        return false;
    }
    dial->chosen = stream;
    uvn_timer_stop(net, &dial->timer);
    list_for_each_safe (at, &dial->attempts) {
        struct uvn_stream *other = container_of(at, struct uvn_stream, dial_link);
        if (other == stream)
            continue;
        /* It may be needed yet, if the chosen one fails. */
        if (dial->candidates_n < UVN_CANDIDATES_MAX)
            dial->candidates[dial->candidates_n++] = other->remote;
        uvn_stream_close(other, "another address was faster");
    }
    return true;
}

struct uvn_stream *uvn_dial_pending(struct uv_net *net,
                                    const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES],
                                    enum net_class net_class)
{
    list_for_each (at, &net->dials) {
        struct uvn_dial *dial = container_of(at, struct uvn_dial, link);
        if (dial->chosen != NULL && dial->net_class == net_class &&
            memcmp(dial->chosen->remote_dh_pk, dh_pk, NET_PUBLIC_KEY_BYTES) == 0)
            return dial->chosen;
    }
    return NULL;
}

static struct uvn_dial *
dial_for(struct list *dials, const struct uv_peer *peer, enum net_class net_class)
{
    list_for_each (at, dials) {
        struct uvn_dial *dial = container_of(at, struct uvn_dial, link);
        if (dial->net_class != net_class)
            continue;
        if (dial->peer == peer ||
            (dial->chosen != NULL && peer->dh_known &&
             memcmp(dial->chosen->remote_dh_pk, peer->dh_pk, NET_PUBLIC_KEY_BYTES) == 0))
            return dial;
    }
    return NULL;
}

void uvn_dials_served(struct uv_net *net, struct uv_peer *peer, enum net_class net_class)
{
    struct kith_node_id id = peer->id;
    for (;;) {
        struct uvn_dial *dial = dial_for(&net->dials, peer, net_class);
        if (dial == NULL)
            dial = dial_for(&net->dials_waiting, peer, net_class);
        if (dial == NULL)
            return;
        uvn_dial_end(dial, 0, peer);
        /* done() may have forgotten the peer. */
        if (net->closing || uv_net_find(net, &id) != peer)
            return;
    }
}

/* ---- the facade ---- */

int uvn_chan_connect(struct uvn_chan *chan, bool now)
{
    struct uv_peer *peer = chan->peer;
    struct uv_net *net = peer->net;
    if (chan->stream != NULL || chan->dial != NULL || chan->parked != NULL) {
        chan->wanted |= chan->stream == NULL || !chan->stream->open_told;
        return 0;
    }
    if (peer->addresses_n == 0 && peer->udp.sa.sa_family == 0)
        return kith_fail_with(KITH_E_UNREACHABLE, "the peer has no known address");
    if (net->dials_waiting_n >= UVN_DIALS_WAITING_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "peer channel: too many connections are waiting to be opened");
    uint64_t at = uvn_now_ms();
    if (!now && peer->dial_next_ms > at + UVN_BACKOFF_WAIT_MS)
        return kith_fail_with(KITH_E_UNREACHABLE,
                              "no address of the peer answered (%s); tried again in %llu ms",
                              peer->dial_reason, (unsigned long long)(peer->dial_next_ms - at));
    if (uvn_peer_dh(net, peer) != 0)
        return kith_fail_with(KITH_E_UNREACHABLE, "the peer's public key is of no use");
    struct uvn_dial *dial = dial_new(net, peer, chan->net_class);
    if (dial == NULL)
        return kith_fail_with(KITH_E_MEMORY, "peer channel: out of memory");
    chan->wanted = true;
    uvn_timer_set(net, &dial->timer, !now && peer->dial_next_ms > at ? peer->dial_next_ms : at);
    return 0;
}

int uv_net_connect(struct uv_net *net, struct uv_peer *peer, enum net_class net_class)
{
    if (net->closing)
        return kith_fail_with(KITH_E_STOPPED, "peer channel: it is closing");
    return uvn_chan_connect(&peer->chans[net_class], true);
}

int uv_net_dial(struct uv_net *net,
                const char *address,
                void (*done)(void *user, int status, struct uv_peer *peer),
                void *user)
{
    char host[256];
    uint16_t port;
    union uvn_addr addr;
    if (net->closing)
        return kith_fail_with(KITH_E_STOPPED, "peer channel: it is closing");
    (void)uvn_addr_parse(address, &addr, host, sizeof(host), &port);
    if (port == 0 || strlen(address) >= sizeof(((struct uvn_dial *)0)->address))
        return kith_fail_with(KITH_E_INVALID, "\"%s\" is not HOST:PORT, such as 10.0.0.7:7117",
                              address);
    if (net->dials_waiting_n >= UVN_DIALS_WAITING_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "peer channel: too many connections are waiting to be opened");
    struct uvn_dial *dial = dial_new(net, NULL, NET_CONTROL);
    if (dial == NULL)
        return kith_fail_with(KITH_E_MEMORY, "peer channel: out of memory");
    (void)snprintf(dial->address, sizeof(dial->address), "%s", address);
    dial->done = done;
    dial->user = user;
    uvn_timer_set(net, &dial->timer, uvn_now_ms());
    return 0;
}

void uv_net_disconnect(struct uv_net *net, struct uv_peer *peer, const char *reason)
{
    for (int i = 0; i < NET_CLASSES_N; i++) {
        struct uvn_chan *chan = &peer->chans[i];
        if (chan->parked != NULL)
            uvn_stream_close(chan->parked, reason);
        if (chan->dial != NULL && chan->dial->done == NULL) {
            dial_cancel(chan->dial, reason);
            uvn_chan_drop(chan);
        }
        if (chan->stream != NULL)
            uvn_stream_linger(chan->stream, FRAME_CLOSE_NORMAL, reason);
    }
    (void)net;
}

void uvn_dials_forget(struct uv_net *net, struct uv_peer *peer)
{
    struct list *lists[2] = {&net->dials, &net->dials_waiting};
    for (int i = 0; i < 2; i++) {
        list_for_each_safe (at, lists[i]) {
            struct uvn_dial *dial = container_of(at, struct uvn_dial, link);
            if (dial->peer != peer)
                continue;
            if (dial->done != NULL) {
                dial->peer = NULL; /* first contact: it goes on, with whoever is there */
                continue;
            }
            dial_cancel(dial, "forgotten");
        }
    }
}

void uvn_dials_close(struct uv_net *net)
{
    struct list *lists[2] = {&net->dials, &net->dials_waiting};
    for (int i = 0; i < 2; i++) {
        struct list *at;
        while ((at = list_first(lists[i])) != NULL) {
            struct uvn_dial *dial = container_of(at, struct uvn_dial, link);
            note_failure(dial, KITH_E_CANCELED, "", "the channel is closing");
            uvn_dial_end(dial, KITH_E_CANCELED, NULL);
        }
    }
}
