/*
 * Distributed variables: named values that all nodes of a cluster share.
 *
 * A *consistent* variable (policy volatile or durable) is linearizable: a read sees the newest
 * acknowledged write, whoever made it, and what was acknowledged is not lost
 * (docs/protocols/dvar.md says under which failures). Reading one that is valid here costs no
 * message, lock or system call; a write is one exchange with its copies. Without a majority of the
 * voters consistent variables cannot be used: KITH_E_NO_QUORUM, at once, with the names of the
 * nodes that are missing.
 *
 * An *available* variable can be read and written on both sides of a cut; what happened on the
 * sides is merged by its merge kind when they meet (docs/protocols/available.md).
 *
 * Names are 1 to 255 bytes of UTF-8 without control characters. By custom parts are separated by a
 * slash: "sensor/3/celsius".
 */
#ifndef KITH_DVAR_H
#define KITH_DVAR_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

/* ---- what a variable is ------------------------------------------------------------------- */

/* Fixed when the variable is created. */
enum kith_type {
    KITH_TYPE_BYTES = 1,
    KITH_TYPE_TEXT = 2, /* UTF-8 */
    KITH_TYPE_I64 = 3,
    KITH_TYPE_F64 = 4,
    KITH_TYPE_BOOL = 5,
    KITH_TYPE_ARRAY = 16, /* added to one of the above: an array of it */
};

enum kith_policy {
    KITH_POLICY_VOLATILE = 0,  /* consistent; lives as long as one of its copies */
    KITH_POLICY_DURABLE = 1,   /* consistent; survives a power cut of the whole cluster */
    KITH_POLICY_AVAILABLE = 2, /* usable on both sides of a cut */
};

/* How concurrent writes of an available variable become one value. */
enum kith_merge {
    KITH_MERGE_LWW = 0, /* the later write wins; the other is dropped though it was acknowledged */
    KITH_MERGE_MAX = 1,
    KITH_MERGE_MIN = 2,
    KITH_MERGE_COUNTER = 3,
    KITH_MERGE_SET = 4,
    KITH_MERGE_KEEP_BOTH = 5,
};

/* "text", "i64[]" ...; "volatile" ...; "lww" ... Static; "unknown" if it is none. */
KITH_API const char *kith_type_text(enum kith_type type);
KITH_API const char *kith_policy_text(enum kith_policy policy);
KITH_API const char *kith_merge_text(enum kith_merge merge);

/* ---- values ---------------------------------------------------------------------------------- */

/* Versions grow with every write of a variable. 0: absent. Not of available variables. */
struct kith_value {
    int code;   /* 0, or a KITH_E_*: the operation failed; then only text and outcome_known count */
    bool found; /* false: there is no such variable (code 0) */
    bool applied;        /* the write took effect; a lost compare-and-set has code 0 and false */
    bool outcome_known;  /* false with a code: a write may or may not take effect */
    enum kith_type type; /* of data */
    enum kith_policy policy;
    const void *data; /* value read, found, or written; numbers as below; borrowed as said there */
    size_t len;
    int64_t i64;      /* KITH_TYPE_I64 */
    double f64;       /* KITH_TYPE_F64 */
    uint64_t version; /* what was read, or what was written */
    struct kith_node_id writer;
    uint64_t time_unix_ms; /* of the last write, by its writer's clock */
    const char *text;      /* for people; "" without a code */
};

/* A mutex that guards a variable: an operation under a lower fence than one seen before is refused
 * with KITH_E_PERMISSION, reads included. */
struct kith_var_guard {
    const char *mutex; /* NULL: none */
    uint64_t fence;
    /*
     * Nothing more is done to this variable before the mutex is released. The variable then takes
     * nothing under this fence any more, and the next holder reads it where it is instead of
     * telling all copies its fence first: a section costs half as much.
     */
    bool last;
};

/* Zeroed is the default. Borrowed for the call that takes it. */
struct kith_var_options {
    uint64_t timeout_ms; /* 0: 15 s. After it a read fails; a write may or may not take effect */
    enum kith_type type; /* of a variable that this creates; 0: text (set), i64 (add) */
    enum kith_policy policy; /* of a variable that this creates */
    enum kith_merge merge;   /* of an available variable that this creates */
    bool no_create;          /* KITH_E_NOT_FOUND instead of creating */
    bool create_guarded;     /* what this creates takes guarded operations only */
    struct kith_var_guard guard;
};

typedef void (*kith_value_cb)(struct kith_node *node, const struct kith_value *value, void *user);

/* ---- operations by name ------------------------------------------------------------------------
 *
 * Each has an asynchronous form, in which @cb runs once on the loop thread and never before the
 * call returns, unless that fails; and a synchronous one that waits, for any other thread
 * (KITH_E_WOULD_DEADLOCK on the loop). @value_out of the synchronous forms may be NULL; it is freed
 * with kith_value_free() if the call returned 0 or a code of the operation.
 *
 * Codes, of all: KITH_E_NAME, KITH_E_INVALID (another type: the sentence names both),
 * KITH_E_TOO_LARGE (1 MiB), KITH_E_NO_QUORUM, KITH_E_TIMEOUT (certainly not done),
 * KITH_E_UNKNOWN_OUTCOME (a write may or may not take effect), KITH_E_PERMISSION (guard),
 * KITH_E_LIMIT, KITH_E_BUSY, KITH_E_MEMORY, KITH_E_STOPPED.
 */

enum kith_var_op_kind {
    KITH_VAR_GET = 1,
    KITH_VAR_CREATE = 2, /* KITH_E_EXISTS if it exists with another type or policy */
    KITH_VAR_SET = 3,
    KITH_VAR_DELETE = 4,
    KITH_VAR_CAS_VERSION = 5, /* sets if the version is expect_version; 0: if it is absent */
    KITH_VAR_CAS_VALUE = 6,   /* sets if the value is expect; NULL: if it is absent */
    KITH_VAR_ADD = 7,         /* adds delta (i64) or delta_f64 (f64); absent: 0 */
    KITH_VAR_ONCE = 8,        /* creates a constant, or gives the one that is there */
    KITH_VAR_RESIZE = 9,      /* an array to count elements */
    KITH_VAR_SLICE_GET = 10,  /* count elements from index on */
    KITH_VAR_SLICE_SET = 11,  /* the elements from index on */
    KITH_VAR_INSERT = 12,     /* available sets: the elements of data (an array), or data itself */
    KITH_VAR_REMOVE = 13,
};

/*
 * One operation. Data of i64 and f64 is 8 bytes little-endian, of bool one byte, arrays of these
 * one element after the other; arrays of text and bytes as kith_array_build() makes them. Borrowed
 * for the call.
 */
struct kith_var_op {
    enum kith_var_op_kind kind;
    const void *data;
    size_t len;
    const void *expect; /* CAS_VALUE */
    size_t expect_len;
    uint64_t expect_version; /* CAS_VERSION */
    int64_t delta;           /* ADD */
    double delta_f64;
    uint32_t index, count; /* arrays */
};

KITH_API KITH_MUST_CHECK int kith_var_do_async(struct kith_node *node,
                                               const char *name,
                                               const struct kith_var_op *op,
                                               const struct kith_var_options *options,
                                               kith_value_cb cb,
                                               void *user);
KITH_API KITH_MUST_CHECK int kith_var_do(struct kith_node *node,
                                         const char *name,
                                         const struct kith_var_op *op,
                                         const struct kith_var_options *options,
                                         struct kith_value **value_out);
KITH_API void kith_value_free(struct kith_value *value);

/* The usual ones in short. @options may be NULL. Text is written with its length. */
KITH_API KITH_MUST_CHECK int kith_var_get(struct kith_node *node,
                                          const char *name,
                                          const struct kith_var_options *options,
                                          struct kith_value **value_out);
KITH_API KITH_MUST_CHECK int kith_var_set(struct kith_node *node,
                                          const char *name,
                                          const void *data,
                                          size_t len,
                                          const struct kith_var_options *options,
                                          struct kith_value **value_out);
KITH_API KITH_MUST_CHECK int
kith_var_delete(struct kith_node *node, const char *name, const struct kith_var_options *options);
/* Adds @delta to a counter; *number_out (may be NULL) is the number it became. */
KITH_API KITH_MUST_CHECK int kith_var_add(struct kith_node *node,
                                          const char *name,
                                          int64_t delta,
                                          const struct kith_var_options *options,
                                          int64_t *number_out);
/* The classic updateIfValueIs: *applied_out says whether the value was @expect. */
KITH_API KITH_MUST_CHECK int kith_var_update_if(struct kith_node *node,
                                                const char *name,
                                                const void *expect,
                                                size_t expect_len,
                                                const void *data,
                                                size_t len,
                                                const struct kith_var_options *options,
                                                bool *applied_out);

/* ---- reading often: handles ------------------------------------------------------------------ */

struct kith_var;

/*
 * Looks @name up once and keeps a copy of the variable at this node from now on. Not on the loop
 * thread. Returns 0; KITH_E_NAME, KITH_E_LIMIT, KITH_E_MEMORY, KITH_E_STOPPED. The variable need
 * not exist. kith_var_close() from any thread; NULL is fine.
 */
KITH_API KITH_MUST_CHECK int
kith_var_open(struct kith_node *node, const char *name, struct kith_var **var_out);
KITH_API void kith_var_close(struct kith_var *var);

/*
 * Copies the value to @buffer (at most @buffer_bytes of it) and its length to *len_out;
 * @version_out may be NULL. While the copy here is valid this takes no lock, no system call and no
 * message; else it asks the variable's home and waits, at most 15 s (on the loop thread:
 * KITH_E_AGAIN instead, and the copy is fetched). Any thread. What @buffer holds after anything but
 * 0 is not said: a value that changed meanwhile may have been written there.
 *
 * Returns 0; KITH_E_NOT_FOUND; KITH_E_TOO_LARGE (the length is given); KITH_E_NO_QUORUM;
 * KITH_E_TIMEOUT; KITH_E_AGAIN; KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_var_read(struct kith_var *var,
                                           void *buffer,
                                           size_t buffer_bytes,
                                           size_t *len_out,
                                           uint64_t *version_out);

/* ---- watching -------------------------------------------------------------------------------- */

/* Borrowed for the callback. */
struct kith_var_change {
    const char *name;
    bool gone;         /* deleted, or lost with all its copies */
    bool lost;         /* with gone: the nodes that had it in memory are gone */
    uint64_t missed_n; /* changes of it between the last one told and this one */
    const struct kith_value *value;
};
typedef void (*kith_var_change_cb)(struct kith_node *node,
                                   const struct kith_var_change *change,
                                   void *user);

/*
 * Tells of every change of the variables that @pattern names, from now on, on the loop thread: one
 * name, or a prefix and a star ("sensor/ *" without the space). What exists already is told first.
 * A watcher that is slow gets the latest and the count of what it missed.
 *
 * Returns a number above 0 for kith_var_unwatch(); KITH_E_NAME, KITH_E_LIMIT, KITH_E_MEMORY,
 * KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int64_t kith_var_watch(struct kith_node *node,
                                                const char *pattern,
                                                kith_var_change_cb cb,
                                                void *user);
KITH_API void kith_var_unwatch(struct kith_node *node, int64_t watch_no);

/* ---- what there is --------------------------------------------------------------------------- */

struct kith_var_info {
    const char *name;
    enum kith_type type;
    enum kith_policy policy;
    enum kith_merge merge;
    uint64_t bytes;
    uint64_t version; /* last seen; see age_ms */
    uint64_t age_ms;  /* since that was seen */
    struct kith_node_id home;
    const char *home_name; /* "" if unknown */
};
struct kith_var_list {
    struct kith_var_info *vars; /* by name */
    size_t vars_n;
};

/*
 * The variables whose names begin with @prefix ("" or NULL: all), from this node's own table: it is
 * told of creations and deletions, not of writes. Free with kith_var_list_free().
 */
KITH_API KITH_MUST_CHECK int
kith_var_list(struct kith_node *node, const char *prefix, struct kith_var_list **list_out);
KITH_API void kith_var_list_free(struct kith_var_list *list);

#ifdef __cplusplus
}
#endif

#endif
