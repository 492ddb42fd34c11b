/* What one node knows of a variable without asking anybody: for who looks, not for who uses it. */
#ifndef NODE_VAR_INFO_H
#define NODE_VAR_INFO_H

#include "core/limits.h"
#include "core/placement.h"
#include "node/node.h"

struct node_var_info {
    bool available; /* every node has it; nothing below but watches_n and version is of use then */
    enum kith_merge merge;
    const char *role; /* of this node: "home", "replica", "cache", "none" */
    bool readable;    /* here, now, without a message */
    uint64_t version; /* of the copy here; 0: none */
    struct kith_node_id replicas[PLACEMENT_REPLICAS_MAX]; /* the home first */
    uint32_t replicas_n;
    uint32_t sharers_n; /* nodes that cache it; only the home knows */
    uint32_t watches_n; /* of this node, of its name or of a prefix of it */
};

/* Loop thread. */
void node_var_info(struct kith_node *node, const char *name, struct node_var_info *out);

#endif
