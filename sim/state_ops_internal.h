/*
 * Between the files of the clients: state_ops.c has their lives, state_vars.c, state_avail.c,
 * state_watch.c and state_locks.c what they do, state_judge.c looks at what they see.
 */
#ifndef SIM_STATE_OPS_INTERNAL_H
#define SIM_STATE_OPS_INTERNAL_H

#include "state_ops.h"

static inline int64_t so_now(const struct state_ops *ops)
{
    return (int64_t)sim_world_ns(ops->world);
}

static inline bool so_is_array(size_t variable)
{
    return variable == SO_ARRAY || variable == SO_ARRAY_D;
}

static inline bool so_is_durable(size_t variable)
{
    return variable == SO_DURABLE || variable == SO_DURABLE_D || variable == SO_COUNT_D ||
           variable == SO_ONCE || variable == SO_ARRAY_D || variable == SO_GUARDED_D;
}

/* state_ops.c */
/* The node of @client, if it runs the boot that the client knows; or NULL. */
struct hs *so_node(const struct state_ops *ops, const struct so_client *client);
/* It has done what it did; @served: or was refused. */
void so_idle(struct state_ops *ops, struct so_client *client, bool served);
void so_tick_in(struct state_ops *ops, struct so_client *client, uint64_t ms);
/* The client waits for @id: of an operation, or of the acquisition of a mutex. */
void so_wait_for(struct state_ops *ops, struct so_client *client, uint64_t id);

/* state_vars.c */
/* One operation of those without a mutex. */
void so_do_variable(struct state_ops *ops, struct so_client *client, struct hs *hs);
/* A history entry of an operation that begins now. */
void so_begin(struct state_ops *ops,
              struct so_client *client,
              struct hs *hs,
              size_t variable,
              enum history_op kind);
void so_submit(struct state_ops *ops, struct so_client *client, struct hs *hs, struct value_op *op);

/* state_locks.c */
void so_do_acquire(struct state_ops *ops, struct so_client *client, struct hs *hs);
/* It has thought, inside. */
void so_thought(struct state_ops *ops, struct so_client *client, struct hs *hs);
void so_think(struct state_ops *ops, struct so_client *client);

/* state_watch.c: now and then the first client of a node opens or ends the node's watch. */
void so_do_watch(struct state_ops *ops, size_t node, struct hs *hs);
bool so_watch_waits(struct state_ops *ops, char *out, size_t out_bytes);
/* Losses were told. */
void so_judge_watches(struct state_ops *ops);

/* state_avail.c */
void so_avail_init(struct state_ops *ops);
void so_avail_deinit(struct state_ops *ops);
void so_do_avail(struct state_ops *ops, struct so_client *client, struct hs *hs);
/* The boot of @node is over: what it wrote last may be lost. */
void so_avail_gone(struct state_ops *ops, size_t node);
bool so_avail_waits(struct state_ops *ops, char *out, size_t out_bytes);
void so_judge_avail(struct state_ops *ops);

/* state_judge.c */
/* Takes a finished operation into the history, and judges it as far as can be. */
void so_record(struct state_ops *ops, const struct history_entry *entry);
/* The same of what @client was at, with an entry for each part of an array. */
void so_record_parts(struct state_ops *ops, struct so_client *client);
/* What was read without an operation: by cell, or told to a watch. @start_ns 0: at some time until
 * now. */
void so_saw(struct state_ops *ops,
            uint32_t client,
            size_t variable,
            const struct value *value,
            uint64_t version,
            int64_t start_ns);
/* @client's operation has come to @result: its entry, completed. */
void so_outcome(struct state_ops *ops, struct so_client *client, const struct dvar_result *result);
/* Nobody else may hold the lock now. */
void so_judge_grant(struct state_ops *ops, struct so_client *client, uint64_t fence);
/* The guarded counter was written: nobody may have written the same. */
void so_judge_count(struct state_ops *ops, const struct so_client *client);

#endif
