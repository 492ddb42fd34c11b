/*
 * The table of known peers: keys, addresses, boot numbers, and which of them stay connected.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

struct uv_peer *uv_net_find(struct uv_net *net, const struct kith_node_id *id)
{
    return mapid_find(&net->peers, id);
}

const struct kith_node_id *uv_peer_id(const struct uv_peer *peer)
{
    return &peer->id;
}

const uint8_t *uv_peer_sign_pk(const struct uv_peer *peer)
{
    return peer->sign_pk;
}

const char *uv_peer_address(const struct uv_peer *peer)
{
    return peer->addresses_n > 0 && peer->addresses[0].worked_ms != 0 ? peer->addresses[0].text
                                                                      : "";
}

size_t uv_peer_addresses(const struct uv_peer *peer, const char **out, size_t out_max)
{
    size_t n = peer->addresses_n < out_max ? peer->addresses_n : out_max;
    for (size_t i = 0; i < n; i++)
        out[i] = peer->addresses[i].text;
    return n;
}

uint64_t uv_peer_boot_no(const struct uv_peer *peer)
{
    return peer->boot.boot_no;
}

bool uv_peer_is_open(const struct uv_peer *peer, enum net_class net_class)
{
    return peer->chans[net_class].stream != NULL;
}

void uv_peer_set_user(struct uv_peer *peer, void *user)
{
    peer->user = user;
}

void *uv_peer_user(const struct uv_peer *peer)
{
    return peer->user;
}

/* ---- addresses ---- */

/* Puts @address at @at, moving what stands there back; the last falls off when the list is full. */
static void address_insert(struct uv_peer *peer, size_t at, const struct uvn_address *address)
{
    if (at >= NET_ADDRESSES_PER_PEER_MAX)
        return;
    struct uvn_address *list = peer->addresses;
    if (peer->addresses_n < NET_ADDRESSES_PER_PEER_MAX) {
        list = core_realloc(list, (peer->addresses_n + 1) * sizeof(*list));
        if (list == NULL)
            return;
        peer->addresses = list;
        peer->addresses_n++;
    }
    memmove(list + at + 1, list + at, (peer->addresses_n - at - 1) * sizeof(*list));
    list[at] = *address;
}

static struct uvn_address *address_find(const struct uv_peer *peer, const char *text)
{
    for (size_t i = 0; i < peer->addresses_n; i++)
        if (strcmp(peer->addresses[i].text, text) == 0)
            return &peer->addresses[i];
    return NULL;
}

void uvn_peer_worked(struct uv_peer *peer, const union uvn_addr *addr)
{
    struct uvn_address entry = {.addr = *addr, .worked_ms = uvn_now_ms()};
    uvn_addr_text(addr, entry.text);
    if (entry.text[0] == '\0')
        return;
    struct uvn_address *known = address_find(peer, entry.text);
    if (known != NULL) {
        size_t at = (size_t)(known - peer->addresses);
        memmove(peer->addresses + 1, peer->addresses, at * sizeof(*known));
        peer->addresses[0] = entry;
    } else {
        address_insert(peer, 0, &entry);
    }
    if (peer->udp.sa.sa_family == 0)
        peer->udp = *addr;
}

/* The new list, with what is known of its members; whatever worked stays and stays first. */
static void addresses_replace(struct uv_peer *peer, const char *const *addresses, size_t n)
{
    struct uvn_address *old = peer->addresses;
    size_t old_n = peer->addresses_n;
    peer->addresses = NULL;
    peer->addresses_n = 0;
    for (size_t i = 0; i < old_n; i++)
        if (old[i].worked_ms != 0 && peer->addresses_n < NET_ADDRESSES_PER_PEER_MAX / 2)
            address_insert(peer, peer->addresses_n, &old[i]);
    for (size_t i = 0; i < n && peer->addresses_n < NET_ADDRESSES_PER_PEER_MAX; i++) {
        struct uvn_address entry = {0};
        char host[256];
        uint16_t port;
        if (strlen(addresses[i]) > KITH_ADDRESS_TEXT_MAX)
            continue;
        if (uvn_addr_parse(addresses[i], &entry.addr, host, sizeof(host), &port) == 0)
            uvn_addr_text(&entry.addr, entry.text); /* one spelling, so that equals are found */
        else
            (void)snprintf(entry.text, sizeof(entry.text), "%s", addresses[i]);
        if (port != 0 && address_find(peer, entry.text) == NULL)
            address_insert(peer, peer->addresses_n, &entry);
    }
    core_free(old);
}

/* ---- the table ---- */

int uvn_peer_dh(struct uv_net *net, struct uv_peer *peer)
{
    if (peer->dh_known)
        return 0;
    int r = net_dh_pk_of(peer->sign_pk, peer->dh_pk);
    if (r != 0)
        return r;
    r = map64_set(&net->dh_keys, get_le64(peer->dh_pk), peer);
    peer->dh_known = r == 0;
    return r;
}

void uvn_peer_dh_set(struct uv_net *net,
                     struct uv_peer *peer,
                     const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES])
{
    if (peer->dh_known)
        return;
    memcpy(peer->dh_pk, dh_pk, sizeof(peer->dh_pk));
    peer->dh_known = map64_set(&net->dh_keys, get_le64(dh_pk), peer) == 0;
}

struct uv_peer *uvn_peer_by_dh(struct uv_net *net, const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES])
{
    struct uv_peer *peer = map64_find(&net->dh_keys, get_le64(dh_pk));
    return peer != NULL && memcmp(peer->dh_pk, dh_pk, NET_PUBLIC_KEY_BYTES) == 0 ? peer : NULL;
}

static void peer_free(struct uv_net *net, struct uv_peer *peer)
{
    for (int i = 0; i < NET_CLASSES_N; i++) {
        list_remove(&peer->chans[i].given_up_link);
        uvn_chan_deinit(&peer->chans[i]);
    }
    if (map64_find(&net->hints, peer->hint) == peer)
        map64_remove(&net->hints, peer->hint);
    if (peer->dh_known && map64_find(&net->dh_keys, get_le64(peer->dh_pk)) == peer)
        map64_remove(&net->dh_keys, get_le64(peer->dh_pk));
    if (peer->dgram != NULL)
        dgram_peer_wipe(peer->dgram);
    core_free(peer->dgram);
    core_free(peer->addresses);
    core_free(peer);
}

static int peer_new(struct uv_net *net,
                    const struct kith_node_id *id,
                    const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES],
                    struct uv_peer **peer_out)
{
    if (net->peers.n >= NET_PEER_KEYS_MAX)
        return kith_fail_with(
            KITH_E_LIMIT,
            "peer table: %d peers are known, which is the limit; `kith forget` drops "
            "those that are gone",
            NET_PEER_KEYS_MAX);
    struct uv_peer *peer = core_calloc(1, sizeof(*peer));
    if (peer == NULL)
        return kith_fail_with(KITH_E_MEMORY, "peer table: out of memory");
    peer->net = net;
    peer->id = *id;
    memcpy(peer->sign_pk, sign_pk, sizeof(peer->sign_pk));
    peer->hint = dgram_hint(&net->keys, id);
    peer->queue.max = net->queue_bytes_max;
    peer->assembly.max = NET_PEER_ASSEMBLY_BYTES_MAX;
    for (int i = 0; i < NET_CLASSES_N; i++)
        uvn_chan_init(&peer->chans[i], peer, (enum net_class)i);
    if (mapid_set(&net->peers, id, peer) != 0 || map64_set(&net->hints, peer->hint, peer) != 0) {
        mapid_remove(&net->peers, id);
        peer_free(net, peer);
        return kith_fail_with(KITH_E_MEMORY, "peer table: out of memory");
    }
    struct uvn_forgotten *forgotten = mapid_find(&net->forgotten, id);
    if (forgotten != NULL)
        peer->boot = forgotten->boot;
    *peer_out = peer;
    return 0;
}

int uv_net_learn(struct uv_net *net,
                 const struct kith_node_id *id,
                 const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES],
                 const char *const *addresses,
                 size_t addresses_n,
                 struct uv_peer **peer_out)
{
    struct uv_peer *peer = mapid_find(&net->peers, id);
    if (peer == NULL) {
        struct kith_node_id hashed = net_node_id_of(sign_pk);
        if (!kith_node_id_equal(&hashed, id))
            return kith_fail_with(KITH_E_CORRUPT,
                                  "peer table: a public key does not belong to its node id");
        int r = peer_new(net, id, sign_pk, &peer);
        if (r != 0)
            return r;
        assert(peer != NULL);
    } else if (memcmp(peer->sign_pk, sign_pk, sizeof(peer->sign_pk)) != 0) {
        return kith_fail_with(KITH_E_CORRUPT,
                              "peer table: a public key does not belong to its node id");
    }
    if (addresses_n > 0)
        addresses_replace(peer, addresses, addresses_n);
    if (peer_out != NULL)
        *peer_out = peer;
    return 0;
}

void uv_net_seen_boot(struct uv_net *net, struct uv_peer *peer, uint64_t boot_no)
{
    (void)net;
    if (boot_no > peer->boot.boot_no && peer->boot.instance == 0)
        peer->boot.boot_no = boot_no;
}

void uvn_peer_heard(struct uv_peer *peer)
{
    uint64_t soon = uvn_now_ms() + UVN_BACKOFF_WAIT_MS;
    if (peer->dial_next_ms > soon)
        peer->dial_next_ms = soon;
}

struct uvn_forgotten *uvn_forgotten_take(struct uv_net *net, const struct kith_node_id *id)
{
    struct uvn_forgotten *forgotten = mapid_remove(&net->forgotten, id);
    if (forgotten != NULL)
        list_remove(&forgotten->link);
    return forgotten;
}

/* A record for @id: its own, or a new one, or, at the limit and without memory, the oldest. */
static struct uvn_forgotten *forgotten_record(struct uv_net *net, const struct kith_node_id *id)
{
    struct uvn_forgotten *forgotten = uvn_forgotten_take(net, id);
    if (forgotten == NULL && net->forgotten.n < NET_FORGOTTEN_MAX)
        forgotten = core_calloc(1, sizeof(*forgotten));
    if (forgotten == NULL && !list_empty(&net->forgotten_by_age)) {
        struct list *oldest = list_first(&net->forgotten_by_age);
        forgotten = container_of(oldest, struct uvn_forgotten, link);
        (void)uvn_forgotten_take(net, &forgotten->id);
        *forgotten = (struct uvn_forgotten){0};
    }
    return forgotten;
}

/* Keeps what protects from replays. */
static void remember_forgotten(struct uv_net *net, const struct uv_peer *peer)
{
    if (peer->dgram == NULL && peer->boot.boot_no == 0)
        return; /* nothing of it was ever proven */
    struct uvn_forgotten *forgotten = forgotten_record(net, &peer->id);
    if (forgotten == NULL)
        return;
    forgotten->id = peer->id;
    if (peer->boot.boot_no > forgotten->boot.boot_no)
        forgotten->counter_next = 0; /* counters are of a boot */
    forgotten->boot = peer->boot;
    /* A datagram may have proven a boot that no delivery followed. */
    if (peer->dgram != NULL && peer->dgram->boot_no > peer->boot.boot_no)
        forgotten->boot = (struct boot_seen){.boot_no = peer->dgram->boot_no};
    if (peer->dgram != NULL && peer->dgram->boot_no == forgotten->boot.boot_no)
        forgotten->counter_next = peer->dgram->replay.next;
    if (mapid_set(&net->forgotten, &peer->id, forgotten) != 0) {
        core_free(forgotten);
        return;
    }
    list_append(&net->forgotten_by_age, &forgotten->link);
}

void uvn_forgotten_free(struct uv_net *net)
{
    struct list *at;
    while ((at = list_first(&net->forgotten_by_age)) != NULL) {
        list_remove(at);
        core_free(container_of(at, struct uvn_forgotten, link));
    }
    mapid_deinit(&net->forgotten);
}

static void peer_detach(struct uv_net *net, struct uv_peer *peer, const char *reason)
{
    list_for_each_safe (at, &net->streams) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, link);
        if (stream->peer != peer)
            continue;
        if (stream->state == UVN_OPEN)
            uvn_stream_end(stream, FRAME_CLOSE_FORGOTTEN, 0, reason);
        else if (stream->state != UVN_CLOSED)
            uvn_stream_close(stream, reason);
        list_remove(&stream->report_link);
        stream->open_told = false;
        stream->peer = NULL;
    }
    list_for_each_safe (at, &net->reports) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, report_link);
        if (stream->peer != peer)
            continue;
        list_remove(at);
        stream->peer = NULL;
        if (stream->gone)
            uvn_stream_free(stream);
    }
}

void uv_net_forget(struct uv_net *net, struct uv_peer *peer)
{
    uvn_dials_forget(net, peer);
    peer_detach(net, peer, "forgotten");
    if (list_linked(&peer->open_link)) {
        list_remove(&peer->open_link);
        net->open_peers_n--;
    }
    list_remove(&peer->drain_link);
    remember_forgotten(net, peer);
    mapid_remove(&net->peers, &peer->id);
    peer_free(net, peer);
}

void uvn_peers_free(struct uv_net *net)
{
    size_t at = 0;
    struct uv_peer *peer;
    while ((peer = mapid_next(&net->peers, &at)) != NULL) {
        /* peer_free() only touches the other maps. */
        peer_free(net, peer);
    }
}

/* ---- boots ---- */

bool uvn_peer_boot(struct uv_net *net, struct uv_peer *peer, uint64_t boot_no, uint64_t instance)
{
    uint64_t before = peer->boot.boot_no;
    if (!boot_seen_take(&peer->boot, boot_no, instance))
        return false;
    if (boot_no == before)
        return true;
    uvn_udp_boot(peer, boot_no);
    list_for_each_safe (at, &net->streams) {
        struct uvn_stream *stream = container_of(at, struct uvn_stream, link);
        if (stream->peer == peer && stream->boot_no != 0 && stream->boot_no < boot_no &&
            stream->state != UVN_CLOSED)
            uvn_stream_close(stream, "the node was started anew");
    }
    return true;
}

/* ---- streams that were asked for ---- */

static bool nothing_opens(const struct uvn_chan *chan)
{
    return chan->wanted && chan->stream == NULL && chan->dial == NULL && chan->parked == NULL;
}

void uvn_chan_check(struct uvn_chan *chan)
{
    if (nothing_opens(chan) && !list_linked(&chan->given_up_link))
        list_append(&chan->peer->net->given_up, &chan->given_up_link);
}

void uvn_given_up(struct uv_net *net)
{
    struct list *at;
    while (!net->closing && (at = list_first(&net->given_up)) != NULL) {
        struct uvn_chan *chan = container_of(at, struct uvn_chan, given_up_link);
        list_remove(at);
        if (!nothing_opens(chan))
            continue; /* it was asked for again meanwhile, and that will be answered */
        chan->wanted = false;
        uvn_chan_drop(chan);
        if (net->events.given_up != NULL)
            net->events.given_up(net->user, chan->peer, chan->net_class);
    }
}

/* ---- who stays open ---- */

void uvn_peer_used(struct uv_net *net, struct uv_peer *peer)
{
    /* The list is only as exact as a second, so that a busy stream does not pay for it. */
    uint64_t now = uv_now(net->loop);
    if (now - peer->used_ms < 1000 || !list_linked(&peer->open_link))
        return;
    peer->used_ms = now;
    list_remove(&peer->open_link);
    list_append(&net->open_peers, &peer->open_link);
}

void uvn_peer_opened(struct uv_net *net, struct uv_peer *peer)
{
    peer->dial_failures = 0;
    peer->dial_next_ms = 0;
    if (list_linked(&peer->open_link))
        return;
    peer->used_ms = uv_now(net->loop);
    list_append(&net->open_peers, &peer->open_link);
    net->open_peers_n++;
    if (net->open_peers_n > net->open_peers_idle_max && !heap_contains(&net->trim_timer.node))
        uvn_timer_set(net, &net->trim_timer, uvn_now_ms() + 1000);
}

void uvn_peer_check_open(struct uv_net *net, struct uv_peer *peer)
{
    for (int i = 0; i < NET_CLASSES_N; i++)
        if (peer->chans[i].stream != NULL)
            return;
    if (list_linked(&peer->open_link)) {
        list_remove(&peer->open_link);
        net->open_peers_n--;
    }
}

/* Nothing of it is under way in either direction, as far as can be known here. */
static bool peer_is_idle(struct uv_net *net, struct uv_peer *peer)
{
    if (peer->queue.used > 0 || peer->assembly.used > 0)
        return false;
    for (int i = 0; i < NET_CLASSES_N; i++) {
        struct uvn_chan *chan = &peer->chans[i];
        if (chan->dial != NULL || chan->parked != NULL)
            return false;
        if (chan->stream != NULL && (chan->stream->writing || chan->stream->partial != NULL))
            return false;
    }
    return net->events.in_use == NULL || !net->events.in_use(net->user, peer);
}

static void peer_linger(struct uv_peer *peer)
{
    for (int i = 0; i < NET_CLASSES_N; i++)
        if (peer->chans[i].stream != NULL)
            uvn_stream_linger(peer->chans[i].stream, FRAME_CLOSE_IDLE,
                              "idle, and many peers are connected");
}

bool uvn_peer_room(struct uv_net *net, const struct uv_peer *peer)
{
    if (net->open_peers_n < net->open_peers_max || (peer != NULL && list_linked(&peer->open_link)))
        return true;
    list_for_each_safe (at, &net->open_peers) {
        struct uv_peer *other = container_of(at, struct uv_peer, open_link);
        if (peer_is_idle(net, other)) {
            peer_linger(other);
            return true;
        }
    }
    return false;
}

void uvn_trim_due(struct uvn_timer *timer)
{
    struct uv_net *net = container_of(timer, struct uv_net, trim_timer);
    uint64_t now = uvn_now_ms();
    list_for_each_safe (at, &net->open_peers) {
        struct uv_peer *peer = container_of(at, struct uv_peer, open_link);
        if (net->open_peers_n <= net->open_peers_idle_max || now < peer->used_ms + net->idle_ms)
            break;
        if (peer_is_idle(net, peer))
            peer_linger(peer);
    }
    if (net->open_peers_n > net->open_peers_idle_max)
        uvn_timer_set(net, &net->trim_timer, now + 1000);
}
