/*
 * The nodes the core knows: those that are up, and those down that still have a session here.
 */
#ifndef RPC_PEER_H
#define RPC_PEER_H

#include "rpc/state.h"

/* Finds @id or makes it known. NULL if memory is short or RPC_PEERS_MAX is reached. */
struct rpc_peer *peer_get(struct rpc_core *core, const struct kith_node_id *id);
/* Notes that @peer may be idle: it is freed at the next step if it then still is. */
void peer_release(struct rpc_core *core, struct rpc_peer *peer);
/* Frees the idle ones noted. */
void peers_reap(struct rpc_core *core);
void peers_deinit(struct rpc_core *core);

/*
 * @boot_no of @peer was proven. A newer one ends everything that belonged to the older. False if it
 * is older than what is known: what came with it is to be dropped.
 */
bool peer_boot(struct rpc_core *core, struct rpc_peer *peer, uint64_t boot_no);

void peer_on_up(struct rpc_core *core, const struct rpc_event *event);
void peer_on_down(struct rpc_core *core, const struct rpc_event *event);
void peer_on_link_up(struct rpc_core *core, const struct rpc_event *event);
void peer_on_link_down(struct rpc_core *core, const struct rpc_event *event);
void peer_on_unreachable(struct rpc_core *core, const struct rpc_event *event);
void peer_on_connect_timer(struct rpc_core *core, struct rpc_peer *peer);
void peer_on_load(struct rpc_core *core, const struct rpc_event *event);
void peer_on_drain(struct rpc_core *core, const struct rpc_event *event);

/* Asks for the rpc stream, once until something is heard of it. */
void peer_connect(struct rpc_core *core, struct rpc_peer *peer);
/* Its name, or the first digits of its id; until the next step. */
const char *peer_name(struct rpc_core *core, const struct rpc_peer *peer);

static inline bool peer_can_send(const struct rpc_core *core, const struct rpc_peer *peer)
{
    return peer->link_up || !core->config.link_events;
}

/* Jittered back-off: 50 ms doubled @n times, 2 s at most, of which a random upper half is taken. */
uint64_t backoff_ms(struct rpc_core *core, uint32_t n);

#endif
