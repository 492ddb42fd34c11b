/*
 * Completions of watched functions: told to those who asked, dropped and counted when they are more
 * than RPC_COMPLETIONS_QUEUE_MAX ahead. Nothing is done for a function that nobody watches.
 */
#ifndef RPC_WATCH_H
#define RPC_WATCH_H

#include "rpc/state.h"

void watch_on(struct rpc_core *core, const char *name);
void watch_off(struct rpc_core *core, const char *name);
/* Tells @peer of every watched function it has (its registry has just come). */
void watch_greet(struct rpc_core *core, struct rpc_peer *peer);
void watches_on_timer(struct rpc_core *core);

int watch_on_watch(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len);
int watch_on_completions(struct rpc_core *core,
                         struct rpc_peer *peer,
                         const uint8_t *body,
                         size_t len);

static inline bool completion_wanted(const struct rpc_export *fn)
{
    return fn->watchers_n > 0 || (fn->entry.fn != NULL && fn->entry.fn->watched);
}
void completion_digest(const struct rpc_serve *serve, uint8_t digest_out[16]);
void completion_report(struct rpc_core *core,
                       const struct rpc_serve *serve,
                       const uint8_t digest[16]);
void reports_send(struct rpc_core *core);

void watchers_forget(struct rpc_core *core, const struct kith_node_id *id);
void watchers_free(struct rpc_export *fn);

#endif
