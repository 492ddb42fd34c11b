#include "rpc/peer.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/mutant.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/registry.h"
#include "rpc/session.h"
#include "rpc/watch.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

uint64_t backoff_ms(struct rpc_core *core, uint32_t n)
{
    uint64_t top = n < 6 ? (uint64_t)BACKOFF_MIN_MS << (n + 1) : BACKOFF_MAX_MS;
    if (top > BACKOFF_MAX_MS)
        top = BACKOFF_MAX_MS;
    return top / 2 + rng_below(&core->rng, top / 2 + 1);
}

/* ---- table ---- */

struct rpc_peer *peer_get(struct rpc_core *core, const struct kith_node_id *id)
{
    /* Frames come in runs of one peer. */
    struct rpc_peer *peer = core->last_peer;
    if (peer != NULL && kith_node_id_equal(&peer->id, id))
        return peer;
    peer = mapid_find(&core->peers_by_id, id);
    if (peer != NULL)
        return core->last_peer = peer;
    if (core->peers_n >= RPC_PEERS_MAX)
        return NULL;
    if (core->peers_n == core->peers_cap) {
        size_t cap = core->peers_cap == 0 ? 16 : core->peers_cap * 2;
        struct rpc_peer **peers = core_realloc(core->peers, cap * sizeof(*peers));
        if (peers == NULL)
            return NULL;
        core->peers = peers;
        core->peers_cap = cap;
    }
    peer = core_calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    if (mapid_set(&core->peers_by_id, id, peer) != 0) {
        core_free(peer);
        return NULL;
    }
    peer->id = *id;
    list_init(&peer->pending);
    list_init(&peer->waiting);
    peer->connect_timer.kind = TIMER_CONNECT;
    peer->registry.pull_timer.kind = TIMER_PULL;
    peer->at = core->peers_n;
    core->peers[core->peers_n++] = peer;
    return peer;
}

static bool is_idle(const struct rpc_peer *peer)
{
    return !peer->up && peer->session == NULL && list_empty(&peer->pending) &&
           list_empty(&peer->waiting);
}

void peer_release(struct rpc_core *core, struct rpc_peer *peer)
{
    if (is_idle(peer) && !list_linked(&peer->reap))
        list_append(&core->reap, &peer->reap);
}

static void peer_free(struct rpc_core *core, struct rpc_peer *peer)
{
    if (core->last_peer == peer)
        core->last_peer = NULL;
    list_remove(&peer->reap);
    list_remove(&peer->refill);
    timer_cancel(core, &peer->connect_timer);
    registry_clear(core, peer);
    if (peer->slots != NULL) {
        for (size_t i = 0; i < SLOT_CHUNKS_N; i++)
            core_free(peer->slots->chunks[i]);
        core_free(peer->slots);
    }
    mapid_remove(&core->peers_by_id, &peer->id);
    struct rpc_peer *last = core->peers[--core->peers_n];
    core->peers[peer->at] = last;
    last->at = peer->at;
    core_free(peer);
}

void peers_reap(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->reap)) != NULL) {
        struct rpc_peer *peer = container_of(node, struct rpc_peer, reap);
        list_remove(node);
        if (is_idle(peer))
            peer_free(core, peer);
    }
}

void peers_deinit(struct rpc_core *core)
{
    while (core->peers_n > 0) {
        struct rpc_peer *peer = core->peers[core->peers_n - 1];
        if (peer->session != NULL)
            session_free(core, peer->session);
        peer_free(core, peer);
    }
    core_free(core->peers);
    mapid_deinit(&core->peers_by_id);
}

const char *peer_name(struct rpc_core *core, const struct rpc_peer *peer)
{
    if (peer->name[0] != '\0')
        return peer->name;
    char text[KITH_NODE_ID_DIGITS + 1];
    kith_node_id_text(&peer->id, text);
    return arena_text(core, "%.8s", text);
}

/* ---- boots ---- */

bool peer_boot(struct rpc_core *core, struct rpc_peer *peer, uint64_t boot_no)
{
    if (boot_no == peer->boot_no)
        return true;
    if (boot_no < peer->boot_no)
        return false;
    if (peer->boot_no != 0) {
        if (!MUTANT(RPC_NO_TARGET_BOOT))
            calls_end_peer(core, peer, KITH_E_NO_NODE, "it was restarted");
        if (peer->session != NULL)
            session_free(core, peer->session);
        if (registry_clear(core, peer)) {
            struct rpc_action *action = action_add(core, RPC_FUNCTIONS_CHANGED);
            if (action != NULL)
                action->peer = peer;
        }
        watchers_forget(core, &peer->id);
    }
    peer->boot_no = boot_no;
    peer->link_up = false;
    peer->connecting = false;
    peer->no_way = false;
    peer->connects_n = 0;
    peer->load = 0;
    timer_cancel(core, &peer->connect_timer);
    if (peer->up)
        registry_greet(core, peer);
    return true;
}

static struct rpc_peer *peer_of(struct rpc_core *core, const struct rpc_event *event)
{
    return mapid_find(&core->peers_by_id, &event->u.peer.id);
}

void peer_on_up(struct rpc_core *core, const struct rpc_event *event)
{
    if (kith_node_id_equal(&event->u.peer.id, &core->config.self))
        return;
    struct rpc_peer *peer = peer_get(core, &event->u.peer.id);
    if (peer == NULL) {
        core->out->code = core->peers_n >= RPC_PEERS_MAX ? KITH_E_LIMIT : KITH_E_MEMORY;
        return;
    }
    if (!peer_boot(core, peer, event->u.peer.boot_no))
        return;
    peer->user = event->u.peer.user;
    peer->program = event->u.peer.program;
    peer->drained = event->u.peer.drained;
    if (event->u.peer.name != NULL)
        snprintf(peer->name, sizeof(peer->name), "%s", event->u.peer.name);
    if (peer->up)
        return;
    peer->up = true;
    core->peers_up_n++;
    registry_greet(core, peer);
    calls_wake_node(core, peer);
}

void peer_on_down(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = peer_of(core, event);
    if (peer == NULL)
        return;
    if (event->u.peer.boot_no != 0 && event->u.peer.boot_no < peer->boot_no)
        return;
    if (peer->up) {
        peer->up = false;
        core->peers_up_n--;
    }
    peer->user = NULL;
    peer->connecting = false;
    peer->no_way = false;
    timer_cancel(core, &peer->connect_timer);
    /* Before the calls end: those that are tried again must not choose this node. */
    bool had = registry_clear(core, peer);
    if (!MUTANT(RPC_NO_END_AT_FAILURE))
        calls_end_peer(core, peer, KITH_E_NO_NODE,
                       event->u.peer.left ? "it has left" : "it has failed");
    calls_hurry(core, &peer->id);
    if (peer->session != NULL)
        session_caller_gone(core, peer->session);
    watchers_forget(core, &peer->id);
    if (had) {
        struct rpc_action *action = action_add(core, RPC_FUNCTIONS_CHANGED);
        if (action != NULL)
            action->peer = peer;
    }
    peer_release(core, peer);
}

/* ---- links ---- */

void peer_connect(struct rpc_core *core, struct rpc_peer *peer)
{
    if (peer->connecting || peer->connect_timer.set || peer->connect_timer.due)
        return;
    struct rpc_action *action = action_add(core, RPC_CONNECT);
    if (action == NULL) {
        timer_set(core, &peer->connect_timer, core->now_ms);
        return;
    }
    action->to = peer->id;
    action->peer = peer;
    peer->connecting = true;
}

static void no_way(struct rpc_core *core, struct rpc_peer *peer, const char *why)
{
    peer->no_way = false;
    calls_end_unsent(core, peer, KITH_E_UNREACHABLE, why);
    if (!list_empty(&peer->pending) && !peer->connect_timer.set && !peer->connect_timer.due)
        timer_set(core, &peer->connect_timer, core->now_ms + backoff_ms(core, peer->connects_n++));
}

void rpc_connect_told(struct rpc_core *core,
                      const struct rpc_action *action,
                      int code,
                      uint64_t boot_no)
{
    struct rpc_peer *peer = action->peer;
    if (action->type != RPC_CONNECT || !peer->connecting)
        return;
    if (code == 0 && boot_no != 0 && boot_no < peer->boot_no)
        return; /* to a boot that is gone: its LINK_DOWN will come */
    peer->connecting = false;
    peer->link_up = code == 0;
    peer->no_way = code == KITH_E_UNREACHABLE || code == KITH_E_NO_NODE;
    bool now = peer->link_up || peer->no_way;
    timer_set(core, &peer->connect_timer,
              core->now_ms + (now ? 0 : backoff_ms(core, peer->connects_n++)));
}

void peer_on_connect_timer(struct rpc_core *core, struct rpc_peer *peer)
{
    if (peer->no_way && !peer->link_up) {
        no_way(core, peer, "no address of it is known");
        return;
    }
    if (list_empty(&peer->pending))
        return;
    if (peer_can_send(core, peer))
        calls_send_pending(core, peer);
    else
        peer_connect(core, peer);
}

void peer_on_link_up(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = peer_get(core, &event->u.peer.id);
    if (peer == NULL)
        return;
    if (event->u.peer.boot_no != 0 && !peer_boot(core, peer, event->u.peer.boot_no))
        return;
    /* A stream that replaces another may have lost what the other held. */
    if (peer->link_up)
        calls_link_lost(peer, true);
    peer->link_up = true;
    peer->connecting = false;
    peer->no_way = false;
    timer_cancel(core, &peer->connect_timer);
    calls_send_pending(core, peer);
    peer_release(core, peer);
}

void peer_on_link_down(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = peer_of(core, event);
    if (peer == NULL)
        return;
    /* Whatever its boot: our CONNECT may have met a stream of one that we know to be gone. */
    peer->link_up = false;
    peer->connecting = false;
    calls_link_lost(peer, true);
    if (list_empty(&peer->pending) || peer->connect_timer.set || peer->connect_timer.due)
        return;
    /* The first time at once; a link that keeps breaking is left alone for a while. */
    if (peer->connects_n++ == 0)
        peer_on_connect_timer(core, peer);
    else
        timer_set(core, &peer->connect_timer,
                  core->now_ms + backoff_ms(core, peer->connects_n - 1));
}

void peer_on_unreachable(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = peer_of(core, event);
    if (peer == NULL)
        return;
    peer->link_up = false;
    peer->connecting = false;
    calls_link_lost(peer, false);
    no_way(core, peer, "no address of it answers");
}

void peer_on_load(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = mapid_find(&core->peers_by_id, &event->u.load.id);
    if (peer == NULL)
        return;
    peer->load = event->u.load.queue_len;
    peer->load_at_ns = core->now_ns;
}

/* Calls that found drained nodes only, and wait for the function, go on when one is not any more.
 */
void peer_on_drain(struct rpc_core *core, const struct rpc_event *event)
{
    bool drained = event->u.drain.drained;
    struct rpc_peer *peer = mapid_find(&core->peers_by_id, &event->u.drain.id);

    if (peer != NULL) {
        bool woken = peer->drained && !drained && peer->up;
        peer->drained = drained;
        if (woken)
            calls_wake_node(core, peer);
    } else if (kith_node_id_equal(&event->u.drain.id, &core->config.self)) {
        bool woken = core->drained && !drained;
        core->drained = drained;
        list_for_each (node, &core->export_list) {
            if (woken)
                calls_wake(core, container_of(node, struct rpc_export, link)->entry.fn);
        }
    }
}

/* ---- for the driver ---- */

struct rpc_peer *rpc_peer_find(const struct rpc_core *core, const struct kith_node_id *id)
{
    return mapid_find(&core->peers_by_id, id);
}

void *rpc_peer_user(const struct rpc_peer *peer)
{
    return peer->user;
}

const struct kith_node_id *rpc_peer_id(const struct rpc_peer *peer)
{
    return &peer->id;
}
