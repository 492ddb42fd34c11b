/*
 * Judges what clients of shared state saw: pure, so that it judges simulated histories and those of
 * real clusters alike (`kith-history-check`).
 *
 * A history is a set of operations with start and end on one clock. Three rules need versions or
 * fences and cost O(n log n):
 *
 *   - order: if A ended before B began, version(A) <= version(B), and less if B wrote; one version
 *     has one value (history_order)
 *   - presence: a value read was written by somebody whose write has not failed; what was
 *     acknowledged and never deleted is not absent later (history_presence)
 *   - locks: fences grow in the order of entry, no two clients are inside at once, a guarded
 *     variable is never written under a lower fence than before (history_locks, history_guards)
 *
 * The fourth needs none: history_search() looks for an order of all operations of one variable in
 * which each does what it said it did, those of unknown outcome included (they may have happened at
 * any time since, or never). It is bounded: a history may stay undecided, which is no violation.
 */
#ifndef SIM_HISTORY_CHECK_H
#define SIM_HISTORY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/map.h"

enum history_op {
    HISTORY_GET,
    HISTORY_SET,
    HISTORY_CAS,
    HISTORY_INCR,
    HISTORY_DEL,
    HISTORY_LOCK,
    HISTORY_UNLOCK,
    HISTORY_OPS_N,
};
extern const char *const history_op_names[HISTORY_OPS_N];

enum history_outcome {
    HISTORY_OK,
    HISTORY_FAILED, /* definitely not applied */
    HISTORY_UNKNOWN,
};
extern const char *const history_outcome_names[3];

/* Values and names are numbers of a table; 0 is absent. */
#define HISTORY_ABSENT 0
#define HISTORY_NEVER  INT64_MAX /* end of what has none */

struct history_entry {
    uint32_t client;
    uint8_t op;      /* enum history_op */
    uint8_t outcome; /* enum history_outcome */
    bool lost;       /* a CAS that found something else (outcome ok) */
    bool valued;     /* @value is known */
    uint32_t name;   /* variables and locks have names of their own */
    uint32_t arg, expect;
    uint32_t value;   /* read or resulting */
    uint64_t version; /* 0: not known */
    uint64_t fence;   /* 0: none */
    int64_t start_ns, end_ns;
    uint32_t line; /* where it came from */
};

/* A text and, if it is a decimal number, that number. */
struct history_text {
    char *text;
    int64_t number;
    bool is_number;
};

struct history {
    struct history_entry *entries;
    size_t n, cap;
    struct history_text *texts; /* from 1 on */
    uint32_t texts_n, texts_cap;
    struct maptext by_text;
    bool broken; /* memory was short */
};

enum history_verdict {
    HISTORY_HOLDS,
    HISTORY_VIOLATED,
    HISTORY_UNDECIDED, /* the search gave up */
};

/* What was found: a sentence and the operations it is about, as indices of entries. */
#define HISTORY_GUILTY_MAX 16
struct history_finding {
    enum history_verdict verdict;
    char text[256];
    size_t guilty[HISTORY_GUILTY_MAX];
    size_t guilty_n;
};

/* {0} is an empty history. */
void history_deinit(struct history *history);
/* The number of @text (HISTORY_ABSENT for NULL), the same each time. */
uint32_t history_text(struct history *history, const char *text);
uint32_t history_number(struct history *history, int64_t number);
const char *history_text_of(const struct history *history, uint32_t text); /* "null" for absent */
/* Appends a copy; its index. Without memory history->broken is set. */
size_t history_add(struct history *history, const struct history_entry *entry);
/* One line: what the operation was and what came of it. */
void history_print(const struct history *history, size_t index, char *out, size_t out_bytes);

/* Each gives the first violation it meets; verdict HISTORY_HOLDS if there is none. */
void history_order(const struct history *history, struct history_finding *out);
void history_presence(const struct history *history, struct history_finding *out);
void history_locks(const struct history *history, struct history_finding *out);
void history_guards(const struct history *history, struct history_finding *out);
/* Every variable in turn, each with at most @steps_max steps. New values may enter the table. */
void history_search(struct history *history, uint64_t steps_max, struct history_finding *out);
/* All of these. Undecided only if nothing is violated. */
void history_judge(struct history *history, uint64_t steps_max, struct history_finding *out);

/* ---- the order rule, operation by operation, for who watches while it happens ---- */

struct history_mark {
    int64_t end_ns;
    uint64_t version; /* highest of all that ended until then */
    size_t entry;
};
struct history_key {
    struct history_mark *marks; /* both grow */
    size_t n, cap;
};
struct history_line {
    struct map64 keys;   /* name -> struct history_key */
    struct map64 values; /* hash of name and version -> value + 1 */
};
void history_line_deinit(struct history_line *line);
/* In order of end_ns. False: violated, and *against_out is the entry it clashes with (SIZE_MAX:
 * another value of the same version). Only ok entries with a version count. */
bool history_line_add(struct history_line *line,
                      const struct history_entry *entry,
                      size_t index,
                      size_t *against_out);

/* Has it (surely) written, if it ended ok? */
static inline bool history_wrote(const struct history_entry *entry)
{
    return entry->op == HISTORY_SET || (entry->op == HISTORY_CAS && !entry->lost) ||
           entry->op == HISTORY_INCR || entry->op == HISTORY_DEL;
}
static inline bool history_on_lock(const struct history_entry *entry)
{
    return entry->op == HISTORY_LOCK || entry->op == HISTORY_UNLOCK;
}

#endif
