/* Changing how many calls of a function run at once, while it is offered (see serve.h). */
#include "node/serve.h"

#include "node/internal.h"

void node_export_set_parallel(struct kith_node *node, const char *name, uint32_t parallel)
{
    struct rpc_event tick = {.type = RPC_TICK};

    rpc_set_parallel(node->rpc, name, parallel);
    (void)node_rpc_step(node, &tick); /* what may start now */
}
