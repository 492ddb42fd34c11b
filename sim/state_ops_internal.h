/* Between state_ops.c, which has the clients, and state_judge.c, which looks at what they see. */
#ifndef SIM_STATE_OPS_INTERNAL_H
#define SIM_STATE_OPS_INTERNAL_H

#include "state_ops.h"

static inline int64_t so_now(const struct state_ops *ops)
{
    return (int64_t)sim_world_ns(ops->world);
}

/* Takes a finished operation into the history, and judges it as far as can be. */
void so_record(struct state_ops *ops, const struct history_entry *entry);
/* @client's operation has come to @result: its entry, completed. */
void so_outcome(struct state_ops *ops, struct so_client *client, const struct dvar_result *result);
/* Nobody else may hold the lock now. */
void so_judge_grant(struct state_ops *ops, struct so_client *client, uint64_t fence);
/* The guarded counter was written: nobody may have written the same. */
void so_judge_count(struct state_ops *ops, const struct so_client *client);
/* The node of @client, if it runs the boot that the client knows; or NULL. */
struct hs *so_node(const struct state_ops *ops, const struct so_client *client);

#endif
