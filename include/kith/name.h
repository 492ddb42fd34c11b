/*
 * Names: one of a kind in the whole cluster, each stands for a node or for a function of a node.
 *
 * A name is given by compare-and-set on a consistent variable, so two nodes never have it at once.
 * It goes with its owner: when the node that it stands for (or that offers the function) has ended,
 * failed or started again, it is free.
 */
#ifndef KITH_NAME_H
#define KITH_NAME_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

enum kith_name_kind {
    KITH_NAME_NODE = 1,
    KITH_NAME_FUNCTION = 2,
};

struct kith_name {
    enum kith_name_kind kind;
    struct kith_node_id node; /* its owner: the node, or who offers the function */
    uint64_t boot_no;         /* of the owner: a node that starts again is another one */
    char node_name[KITH_NAME_BYTES_MAX + 1]; /* "" if it is not known here */
    char function[KITH_NAME_BYTES_MAX + 1];  /* "" for a node */
};

/*
 * Names: 1 to 200 bytes of UTF-8 without control characters. None of these on the loop thread
 * (KITH_E_WOULD_DEADLOCK). Codes, of all: KITH_E_NAME, KITH_E_NO_QUORUM, KITH_E_TIMEOUT (15 s),
 * KITH_E_UNKNOWN_OUTCOME, KITH_E_MEMORY, KITH_E_STOPPED.
 */
#define KITH_NAME_OF_NODE_BYTES_MAX 200

/*
 * From now on @name stands for this node, or for the function @fn that it offers (NULL: the node).
 * Doing so again is fine. KITH_E_EXISTS: another has it, the sentence says who;
 * KITH_E_NO_FUNCTION: this node does not offer @fn.
 */
KITH_API KITH_MUST_CHECK int
kith_name_register(struct kith_node *node, const char *name, const char *fn);

/* Who has @name. 0; KITH_E_NOT_FOUND: nobody who is alive. */
KITH_API KITH_MUST_CHECK int
kith_name_resolve(struct kith_node *node, const char *name, struct kith_name *name_out);

/* Frees @name, whoever has it. 0; KITH_E_NOT_FOUND. */
KITH_API KITH_MUST_CHECK int kith_name_remove(struct kith_node *node, const char *name);

#ifdef __cplusplus
}
#endif

#endif
