/*
 * Bodies of sets and of variables that keep both: a table of boots with the highest number seen of
 * each, then items with the dots that put them there (avail_state.h has the form and the idea).
 */
#ifndef DVAR_AVAIL_ITEMS_H
#define DVAR_AVAIL_ITEMS_H

#include "dvar/avail_state.h"

#define STATE_ID_BYTES     (KITH_NODE_ID_BYTES + 8)
#define STATE_MOMENT_BYTES (12 + STATE_ID_BYTES)
#define STATE_DOT_BYTES    (STATE_ID_BYTES + 8)

static inline void state_put_id(uint8_t *p, const struct boot_id *id)
{
    memcpy(p, id->node.bytes, KITH_NODE_ID_BYTES);
    put_le64(p + KITH_NODE_ID_BYTES, id->boot_no);
}

static inline struct boot_id state_get_id(const uint8_t *p)
{
    struct boot_id id = {.boot_no = get_le64(p + KITH_NODE_ID_BYTES)};
    memcpy(id.node.bytes, p, KITH_NODE_ID_BYTES);
    return id;
}

/* The order of boot_id_compare(), of two ids as they stand in a body. */
static inline int state_id_order(const uint8_t *a, const uint8_t *b)
{
    int order = memcmp(a, b, KITH_NODE_ID_BYTES);
    uint64_t x = get_le64(a + KITH_NODE_ID_BYTES);
    uint64_t y = get_le64(b + KITH_NODE_ID_BYTES);
    return order != 0 ? order : (x > y) - (x < y);
}

/* avail_state.c: appends the state that is @state, alive, with another body. */
int state_with_body(const struct state *state, const void *body, size_t len, struct buf *out);

/* Why the body of @state is none, or NULL. */
const char *items_problem(const struct state *state);
/* Appends the body that is the join of two. 0 or KITH_E_MEMORY. */
int items_join(const struct state *a, const struct state *b, struct buf *out);

#endif
