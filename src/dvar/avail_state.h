/*
 * States of available variables, and their join: pure functions over bytes.
 *
 * A state is all that one node knows of a variable. The join of two states is the least state that
 * knows what both know; it is commutative, associative and idempotent, so copies that met in any
 * order, any number of times, over any way, are equal byte by byte. What is joined, in this order:
 *
 *  1. life: the moment of the last deletion known. The later life stands alone, what belongs to an
 *     earlier one is dropped: a deletion wins over what happens at the same time elsewhere. (With
 *     LWW a deletion is a write like any other; only a change of its kind begins a new life.)
 *  2. merge kind and type: if one name was made twice on two sides, the greater pair stands.
 *  3. the body, by its merge kind.
 *
 * Bytes, little endian; the only form of a state (sorted, no duplicates), so that equal states have
 * equal bytes:
 *
 *     u8 format  u8 merge  u8 type  u8 flags
 *     with STATE_LIFE: moment (u64 ms, u32 logical, id); id: 16 bytes of node, u64 boot
 *     LWW             with STATE_ALIVE or STATE_WRITTEN: moment, then data
 *     MAX, MIN        8 bytes or none
 *     COUNTER         per boot: id, u64 added, u64 taken
 *     SET, KEEP_BOTH  u32 n, per boot: id, u64 highest number; then items by their data:
 *                     u32 bytes, u32 dots, dots (id, u64 number), data
 *
 * A *dot* is one addition: the n-th of a boot. A copy that knows a boot's additions up to n and has
 * not the item of dot 3 has seen it removed; so removal needs no tombstones (an optimised observed
 * remove set). Numbers belong to a boot, and no boot runs twice: a restarted, restored or wiped
 * node never gives one out again (protocols section 4, hole 32).
 */
#ifndef DVAR_AVAIL_STATE_H
#define DVAR_AVAIL_STATE_H

#include "core/boot_id.h"
#include "core/bytes.h"
#include "core/limits.h"

enum avail_merge {
    AVAIL_LWW = 0,
    AVAIL_MAX = 1,
    AVAIL_MIN = 2,
    AVAIL_COUNTER = 3,
    AVAIL_SET = 4,
    AVAIL_KEEP_BOTH = 5,
};
#define AVAIL_MERGES_N 6

/* "lww", "max", "min", "counter", "set", "keep-both". Static; "unknown" if it is none. */
const char *avail_merge_name(uint8_t merge);
int avail_merge_parse(const char *text, uint8_t *merge_out); /* 0 or KITH_E_PARSE */
/* May a variable of this kind have this type? LWW and KEEP_BOTH any, MAX and MIN i64 and f64,
 * COUNTER i64, SET text[] and bytes[]. 0 or KITH_E_INVALID. */
int avail_merge_check(const char *name, uint8_t merge, uint8_t type);

/* A hybrid moment: wall clock, raised where it stands still or is behind what it follows. Ordered
 * by ms, logical, id; no two are equal. Zeroed: never. */
struct avail_moment {
    uint64_t ms;
    uint32_t logical;
    struct boot_id by;
};
int avail_moment_compare(const struct avail_moment *a, const struct avail_moment *b);
/* The moment of a change by @by at @wall_ms that follows @after. */
struct avail_moment
avail_moment_next(const struct avail_moment *after, uint64_t wall_ms, const struct boot_id *by);

enum state_flags {
    STATE_ALIVE = 1 << 0,   /* it exists */
    STATE_LIFE = 1 << 1,    /* it was deleted before */
    STATE_WRITTEN = 1 << 2, /* of LWW: not alive, deleted by a write */
};

/* A state taken apart; @body is borrowed. Zeroed: nothing is known. */
struct state {
    uint8_t merge;
    uint8_t type;
    uint8_t flags;
    struct avail_moment life;
    const uint8_t *body;
    size_t len;
};

/* Every length and order is checked. 0 or KITH_E_CORRUPT. */
int state_decode(const void *bytes, size_t len, struct state *state_out);
/* The same for bytes that were checked. @len 0 is nothing. */
struct state state_view(const void *bytes, size_t len);
static inline bool state_is_alive(const struct state *state)
{
    return (state->flags & STATE_ALIVE) != 0;
}
/* The latest moment that decides anything in it: what must not lie in the future. */
struct avail_moment state_latest(const struct state *state);
/* Boots that have a part in it. */
size_t state_parts(const struct state *state);

/* Appends the join of two checked states. 0 or KITH_E_MEMORY. */
int state_join(const void *a, size_t a_len, const void *b, size_t b_len, struct buf *out);

/* ---- changes; each appends the state that follows @now (checked) ---- */

struct state_who {
    const struct boot_id *self;
    uint64_t wall_ms;
};
/* Alive and empty, with a new life if another kind or type was there (which must not be alive). */
int state_create(const struct state *now,
                 uint8_t merge,
                 uint8_t type,
                 const struct state_who *who,
                 struct buf *out);
int state_delete(const struct state *now, const struct state_who *who, struct buf *out);
/* LWW: the value. MAX, MIN: the value if it is further. @data is of its type. */
int state_write(const struct state *now,
                const struct kith_bytes *data,
                const struct state_who *who,
                struct buf *out);
/* An LWW state of @type whose moment is @ms, by nobody: @data, or (NULL) deleted. */
int state_register(uint8_t type, uint64_t ms, const struct kith_bytes *data, struct buf *out);
/* COUNTER. KITH_E_LIMIT if what was added or taken leaves 63 bits, or the sum i64. */
int state_add(const struct state *now, int64_t delta, const struct state_who *who, struct buf *out);
/*
 * SET and KEEP_BOTH: takes @drop away (as seen here), then adds @add. KEEP_BOTH: @add replaces what
 * @context (a body's table of boots, as state_context() gives it) covers; empty: all that is here.
 */
struct state_items {
    const struct kith_bytes *add;
    size_t add_n;
    const struct kith_bytes *drop;
    size_t drop_n;
    bool drop_covered; /* KEEP_BOTH */
    struct kith_bytes context;
};
int state_edit(const struct state *now,
               const struct state_items *edit,
               const struct state_who *who,
               struct buf *out);

/* ---- reading ---- */

/* LWW, MAX, MIN: the data (NULL: none was written). */
struct kith_bytes state_data(const struct state *state);
int64_t state_sum(const struct state *state); /* COUNTER; held within i64 */
/* SET, KEEP_BOTH: the table of boots, to be given to a later write; and the items in order of their
 * data: `size_t at = 0; while (state_item(&s, &at, &item))`. */
struct kith_bytes state_context(const struct state *state);
bool state_context_check(const void *context, size_t len);
bool state_item(const struct state *state, size_t *at, struct kith_bytes *item_out);

#endif
