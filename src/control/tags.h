/* Choosing nodes by their tags: the argument "tags" of the verbs call and map. Loop thread only. */
#ifndef CONTROL_TAGS_H
#define CONTROL_TAGS_H

#include "control/request.h"

/* Texts are borrowed from the request. Zeroed is none; control_tags_free() may run twice. */
struct control_tags {
    const char **all;
    size_t n;
};

/* 0; KITH_E_INVALID (no array of texts, or too many), KITH_E_MEMORY, with a sentence. */
int control_tags_of(const struct control_request *request, struct control_tags *out);
void control_tags_free(struct control_tags *tags);

/*
 * The nodes that have the function @fn and all @tags; core_free() them. 0; KITH_E_NO_FUNCTION if
 * there are none, KITH_E_MEMORY, with a sentence.
 */
int control_tagged(struct kith_node *node,
                   const char *fn,
                   const struct control_tags *tags,
                   struct kith_node_id **ids_out,
                   size_t *n_out);
/* Less loaded of two at random of those that are not drained; NULL: all are. */
const struct kith_node_id *
control_tagged_pick(struct kith_node *node, const struct kith_node_id *ids, size_t n);

#endif
