/*
 * What changed between two states of a document of the stream. Pure, but for jansson.
 *
 * A document has an array of objects that are told apart by one key (or none), and members beside
 * it. Of an object only what changed is said. Ages run by themselves: they are said again with
 * another change of their object, or when they are not where they should have run to.
 */
#ifndef HTTP_DELTA_H
#define HTTP_DELTA_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define DELTA_AGE_JUMP_MS 2000

struct delta_shape {
    const char *array; /* NULL: the document has none */
    const char *key;   /* text or number */
    bool keeps;        /* what is no longer in the array is not told to be gone */
    bool ordered;      /* its order is not that of the keys: said when it changes */
};

/* What was said last. {0} is nothing. */
struct delta_state {
    json_t *items; /* key -> object as last said */
    json_t *bases; /* key -> when, in ms */
    json_t *rest;  /* the members beside the array */
    uint64_t rest_ms;
};

void delta_deinit(struct delta_state *state); /* may run twice */
/* @doc becomes the state. Borrows it. */
void delta_reset(struct delta_state *state,
                 const struct delta_shape *shape,
                 json_t *doc,
                 uint64_t now_ms);
/*
 * {"set":[...],"removed":[...],"merge":{...},"order":[...]} with what there is to say, or NULL if
 * nothing is; then @doc is the state. New.
 */
json_t *delta_step(struct delta_state *state,
                   const struct delta_shape *shape,
                   json_t *doc,
                   uint64_t now_ms);

#endif
