/*
 * The caller's side of the window of one node: RPC_WINDOW_CALLS_MAX slots, each held by one call at
 * a time. The slot given back last is taken first, so few are in use when few calls are.
 */
#ifndef RPC_SLOTS_H
#define RPC_SLOTS_H

#include "rpc/state.h"

/* 0; KITH_E_LIMIT if all are held; KITH_E_MEMORY. */
int slot_take(struct rpc_peer *peer, struct call *call);
void slot_give(struct rpc_peer *peer, struct call *call);

static inline bool slot_is_free(const struct rpc_peer *peer)
{
    return peer->slots == NULL || peer->slots->free_first != 0 ||
           peer->slots->used_n < RPC_WINDOW_CALLS_MAX;
}

/* The call that holds @slot, or NULL. */
static inline struct call *slot_call(const struct rpc_peer *peer, uint16_t slot)
{
    if (peer->slots == NULL || slot >= peer->slots->used_n)
        return NULL;
    return peer->slots->chunks[slot / SLOT_CHUNK][slot % SLOT_CHUNK].call;
}

#endif
