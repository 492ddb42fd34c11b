/*
 * The functions this node offers, their queues, and which waiting call starts next.
 */
#ifndef RPC_EXPORT_H
#define RPC_EXPORT_H

#include "rpc/state.h"

void exports_deinit(struct rpc_core *core);
void export_on_export(struct rpc_core *core, const struct kith_export *desc, void *user);
void export_on_unexport(struct rpc_core *core, const char *name);
void export_on_parallel(struct rpc_core *core, const char *name, uint32_t n);

static inline struct rpc_export *export_find(const struct rpc_core *core, uint64_t hash)
{
    return map64_find(&core->exports, hash);
}

/* May a call of it start now? */
bool export_can_run(const struct rpc_core *core, const struct rpc_export *fn);
/* Keeps its place in the ring of those that may start a waiting call. */
void export_ready(struct rpc_core *core, struct rpc_export *fn);
/* Starts waiting calls while there are places. */
void exports_pump(struct rpc_core *core);
/* A run ended, or the queue got shorter: a withdrawn one may be gone now. */
void export_settle(struct rpc_core *core, struct rpc_export *fn);
/* Goes on refusing the queues of withdrawn functions. */
void exports_resume(struct rpc_core *core);

#endif
