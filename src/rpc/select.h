/*
 * Whom to ask: the less loaded of two at random among the nodes that have the function, this node
 * first, or the named one.
 */
#ifndef RPC_SELECT_H
#define RPC_SELECT_H

#include "rpc/state.h"

struct choice {
    struct rpc_peer *peer;       /* NULL: this node */
    struct rpc_export *exported; /* of this node */
};

/*
 * Nodes not tried yet come first, drained ones are left out unless named. @hint: the named node if
 * at hand. 0; KITH_E_NO_FUNCTION, KITH_E_NO_NODE (named node), KITH_E_SIGNATURE (those that have it
 * want another one).
 */
int select_node(struct rpc_core *core,
                const struct call *call,
                struct rpc_peer *hint,
                struct choice *choice_out);
bool select_has_untried(struct rpc_core *core, const struct call *call);
/* What, why and what next of a select_node() that failed. */
const char *select_text(struct rpc_core *core, const struct call *call, int code);

#endif
