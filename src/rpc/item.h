/*
 * The head before the argument of a call that is an item of a map, and the state behind it:
 *
 *     0 map_no  8 index(4)  12 attempt(4)  16 save_no  24 state_attempt(4)  28 state_bytes(4)
 *     state, filled up with zeros to a multiple of 16; then the argument
 *
 * `attempt` counts from 0 how often the item was lost. The state is the newest that the caller has:
 * the save_no-th of state_attempt; save_no 0: there is none. What a node has of its own is used if
 * it is newer, but never of attempts before state_attempt.
 */
#ifndef RPC_ITEM_H
#define RPC_ITEM_H

#include <stdbool.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"

struct rpc_item {
    uint64_t map_no;
    uint32_t index;
    uint32_t attempt;
    uint64_t save_no;
    uint32_t state_attempt;
    uint32_t state_bytes;
};

/* All that stands before the argument. */
static inline size_t rpc_item_bytes(size_t state_bytes)
{
    return RPC_ITEM_HEAD_BYTES + ((state_bytes + 15) & ~(size_t)15);
}

/* Fills the head; the caller puts the state behind it. */
static inline void rpc_item_encode(const struct rpc_item *item, uint8_t out[RPC_ITEM_HEAD_BYTES])
{
    put_le64(out, item->map_no);
    put_le32(out + 8, item->index);
    put_le32(out + 12, item->attempt);
    put_le64(out + 16, item->save_no);
    put_le32(out + 24, item->state_attempt);
    put_le32(out + 28, item->state_bytes);
}

/* False if @data is no such head with its state. */
static inline bool rpc_item_decode(struct rpc_item *item, const uint8_t *data, size_t len)
{
    if (len < RPC_ITEM_HEAD_BYTES)
        return false;
    item->map_no = get_le64(data);
    item->index = get_le32(data + 8);
    item->attempt = get_le32(data + 12);
    item->save_no = get_le64(data + 16);
    item->state_attempt = get_le32(data + 24);
    item->state_bytes = get_le32(data + 28);
    return item->map_no != 0 && item->state_bytes <= DVAR_DATA_BYTES_MAX &&
           (item->save_no != 0 || item->state_bytes == 0) &&
           rpc_item_bytes(item->state_bytes) <= len;
}

#endif
