/*
 * Calls being served here: admission, running, the end. Those of peers belong to a session
 * (session.h), those of this node to a struct call.
 */
#ifndef RPC_SERVE_H
#define RPC_SERVE_H

#include "rpc/state.h"

void serves_init(struct rpc_core *core);
void serves_deinit(struct rpc_core *core);
void serves_recycle(struct rpc_core *core);

/*
 * Can a call with @arg_len bytes be taken? 0, or the code it is refused with (it certainly has not
 * run) and *text_out why.
 */
int serve_admit(struct rpc_core *core,
                const struct rpc_export *fn,
                const struct session *session,
                size_t arg_len,
                uint64_t deadline_ns,
                const char **text_out);
/* A new one, not started; NULL if memory is short. */
struct rpc_serve *serve_arrived(struct rpc_core *core, struct rpc_export *fn);
/* Runs it now or puts it in its queue. */
void serve_start(struct rpc_core *core, struct rpc_serve *serve);
/* Gives RUN; there is room for one action. */
void serve_run(struct rpc_core *core, struct rpc_serve *serve);
/* Serves a call of this node. 0, or refused as serve_admit(), or KITH_E_MEMORY. */
int serve_local(struct rpc_core *core,
                struct call *call,
                struct rpc_export *fn,
                const char **text_out);
/* Nobody waits for it any more: leaves the queue, or is told to stop. */
void serve_abandon(struct rpc_core *core, struct rpc_serve *serve);
/* A queued one that will not run. */
void serve_refuse(struct rpc_core *core, struct rpc_serve *serve, int code, const char *text);
/* Its memory is free from the next step on. */
void serve_retire(struct rpc_core *core, struct rpc_serve *serve);
/* Takes it out of its queue. */
void serve_unqueue(struct rpc_core *core, struct rpc_serve *serve);

void serve_on_done(struct rpc_core *core, const struct rpc_event *event);
void serve_on_partial(struct rpc_core *core, struct rpc_serve *serve, struct kith_bytes data);
void serve_on_timer(struct rpc_core *core, struct rpc_serve *serve);
void serves_on_stop(struct rpc_core *core);

/* Calls waiting and running here, as told to callers. */
static inline uint32_t serve_load(const struct rpc_core *core)
{
    return core->queued_n + core->running_n;
}

#endif
