/*
 * Between host_rpc.c, which drives the cores, and host_map.c, which joins maps to calls.
 */
#ifndef SIM_HOST_RPC_INTERNAL_H
#define SIM_HOST_RPC_INTERNAL_H

#include "core/bytes.h"
#include "host_rpc.h"

/* One call of one item. */
struct hr_item_call {
    struct hr_map *map;
    uint64_t token;
    uint64_t index;
    struct kith_node_id node;
};

static inline uint64_t hr_now_ns(const struct hr *hr)
{
    return sim_now_ns(hr->hm.node);
}

static inline struct sim_world *hr_world_of(const struct hr *hr)
{
    return sim_node_world(hr->hm.node);
}

static inline void hr_put_arg(uint8_t *out, const struct hr_arg *arg)
{
    put_le64(out, arg->uid);
    put_le32(out + 8, arg->run_us);
    put_le32(out + 12, arg->input);
    put_le32(out + 16, arg->bytes);
}

/* host_rpc.c */
struct hr_todo *hr_todo_add(struct hr *hr, enum hr_todo_type type);
/* One step of the rpc core, and what it says. */
void hr_rpc_do(struct hr *hr, struct rpc_event *event, struct rpc_output *out);
/* Everything that follows, then the timer. */
void hr_pump(struct hr *hr);

/* host_map.c */
void hr_map_step(struct hr_map *map, struct map_event *event, const struct kith_result *result);
/* Tells @map which nodes have come and gone since it was told last. */
void hr_map_refresh(struct hr_map *map);
/* The call has ended; frees it. */
void hr_map_item_done(struct hr *hr, struct hr_item_call *call, const struct kith_result *result);
void hr_map_dispatch(struct hr *hr, const struct hr_todo *todo);
void hr_map_abort(struct hr *hr, const struct hr_todo *todo);

#endif
