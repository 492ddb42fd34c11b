/* What rooms above the node may do with calls that are served. Loop thread only. */
#ifndef NODE_SERVE_H
#define NODE_SERVE_H

#include <stdint.h>

struct kith_ctx;
struct kith_node;

/* Ends a deferred call as UNKNOWN: it was running and nobody can say how far it came. */
void node_ctx_lost(struct kith_ctx *ctx, const char *text);
/* Ends a deferred call as NOT_EXECUTED: it was not begun. */
void node_ctx_refuse(struct kith_ctx *ctx, const char *text);
/* Changes how many calls of a function of this node run at once. */
void node_export_set_parallel(struct kith_node *node, const char *name, uint32_t parallel);

#endif
