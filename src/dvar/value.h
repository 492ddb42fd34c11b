/*
 * Values of variables, and what can be done to one: pure functions over bytes. Home, replicas and
 * the command share them; who orders writes and makes copies (dvar.h) only moves bytes about.
 *
 * A *value* is one run of bytes that holds all there is to a variable but its version: type,
 * policy, writer, time, the data itself, and the highest fence that guarded it. A variable that was
 * deleted (or only guarded) may leave a value of type VALUE_NONE behind: absent, with its fence.
 *
 *     0   u8   format, VALUE_FORMAT
 *     1   u8   enum value_type
 *     2   u8   enum value_policy
 *     3   u8   enum value_flags
 *     4   u32  bytes of data
 *     8   u64  wall time of the last write, Unix ms (for people, no order depends on it)
 *     16  16   node that wrote it
 *     32       data
 *     then, with VALUE_FENCED: u64 fence, u8 bytes of the mutex' name, name
 *
 * Data: bytes and text as they are (text is UTF-8); i64 and f64 eight bytes, bool one, all little
 * endian; arrays of i64, f64, bool one after the other; arrays of bytes and text u32 count, count
 * times u32 end of the element (from the first element's begin), elements.
 *
 * Everything here leaves its sentence in kith_errmsg() where it returns or gives a negative code.
 */
#ifndef DVAR_VALUE_H
#define DVAR_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"

#define VALUE_FORMAT      1
#define VALUE_HEAD_BYTES  32
#define VALUE_FENCE_BYTES (8 + 1 + KITH_NAME_BYTES_MAX)
/* The longest value, all in all. */
#define VALUE_BYTES_MAX (VALUE_HEAD_BYTES + DVAR_DATA_BYTES_MAX + VALUE_FENCE_BYTES)

/* ---- names ---- */

/* Names that begin with it are the runtime's own (records of mutexes); users cannot write them. */
#define VALUE_NAME_INTERNAL 0x01

/*
 * 1 to KITH_NAME_BYTES_MAX bytes of UTF-8 without control characters (an internal name's first byte
 * excepted, if @internal). 0 or KITH_E_NAME.
 */
int value_name_check(const char *name, size_t len, bool internal);
static inline bool value_name_is_internal(const char *name, size_t len)
{
    return len > 0 && name[0] == VALUE_NAME_INTERNAL;
}

/* ---- types ---- */

enum value_type {
    VALUE_NONE = 0, /* absent */
    VALUE_BYTES = 1,
    VALUE_TEXT = 2,
    VALUE_I64 = 3,
    VALUE_F64 = 4,
    VALUE_BOOL = 5,
    VALUE_ARRAY = 16, /* added to one of the five above */
};

enum value_policy {
    VALUE_VOLATILE = 0,  /* in memory of the replicas */
    VALUE_DURABLE = 1,   /* on their disks too */
    VALUE_AVAILABLE = 2, /* not of this file's operations: avail.h */
};

enum value_flags {
    VALUE_CONSTANT = 1 << 0, /* written once */
    VALUE_GUARDED = 1 << 1,  /* writes without a fence are refused */
    VALUE_FENCED = 1 << 2,   /* a mutex and a fence stand at the end */
};

/* One of the ten types of variables; not VALUE_NONE. */
bool value_type_is_known(uint8_t type);
static inline bool value_type_is_array(uint8_t type)
{
    return (type & VALUE_ARRAY) != 0;
}
/* "i64", "text[]"; VALUE_NONE is "none". Static. */
const char *value_type_name(uint8_t type);
/* The reverse, without "none". 0 or KITH_E_PARSE. */
int value_type_parse(const char *text, uint8_t *type_out);
const char *value_policy_name(uint8_t policy); /* "volatile", "durable", "available" */
int value_policy_parse(const char *text, uint8_t *policy_out); /* 0 or KITH_E_PARSE */

/* Is @data well-formed data of @type (bounds, UTF-8, bools 0 or 1, size)? 0; KITH_E_TOO_LARGE;
 * KITH_E_INVALID. @name is for the sentence, NUL-terminated. */
int value_data_check(const char *name, uint8_t type, const void *data, size_t len);
/* What a variable of @type holds when it was created without data: 0, false, "", no elements.
 * Static; 0, 1, 4 or 8 bytes. */
struct kith_bytes value_data_default(uint8_t type);
/* Elements of an array; the bytes of VALUE_BYTES; else 1. @data is well-formed. */
uint32_t value_data_count(uint8_t type, const void *data, size_t len);

/* Builds data of an array of bytes or text from @n elements. 0, KITH_E_TOO_LARGE, KITH_E_MEMORY.
 * (Arrays of the other types are their elements one after the other.) */
int value_data_build(const char *name,
                     const struct kith_bytes *elements,
                     uint32_t n,
                     struct buf *data_out);
/* Element @at of well-formed data of any array type (borrowed from @data). @at must exist. */
struct kith_bytes value_data_element(uint8_t type, const void *data, size_t len, uint32_t at);

/* ---- values ---- */

/* A value taken apart; pointers are borrowed from its bytes. Zeroed: absent. */
struct value {
    uint8_t type; /* VALUE_NONE: absent */
    uint8_t policy;
    uint8_t flags;
    uint64_t time_ms;
    struct kith_node_id writer;
    const uint8_t *data;
    uint32_t len;
    /* With VALUE_FENCED; the name is not NUL-terminated. */
    uint64_t fence;
    const char *mutex;
    uint8_t mutex_len;
};

/* Every length and the data are checked. @len 0 is an absent value. 0 or KITH_E_CORRUPT. */
int value_decode(const void *bytes, size_t len, struct value *value_out);
/* The same for bytes that were checked before (what a core holds): no check, nothing fails. */
struct value value_view(const void *bytes, size_t len);
/* Its type and policy alone. */
static inline uint8_t value_type_of(const uint8_t *bytes, size_t len)
{
    return len == 0 ? VALUE_NONE : bytes[1];
}
static inline uint8_t value_policy_of(const uint8_t *bytes, size_t len)
{
    return len == 0 ? VALUE_VOLATILE : bytes[2];
}
/* Appends. 0 or KITH_E_MEMORY. An absent value without a fence is no bytes at all. */
int value_encode(const struct value *value, struct buf *out);

/* ---- operations ---- */

enum value_op_kind {
    VALUE_OP_GET = 1,
    /*
     * Creates with @type, @policy and @data (data_len 0: the type's default). If it exists:
     * with VALUE_OP_IF_ABSENT KITH_E_EXISTS, else nothing if type and policy are the same, or
     * KITH_E_EXISTS that names both.
     */
    VALUE_OP_CREATE = 2,
    /* Creates, too (unless VALUE_OP_NO_CREATE: KITH_E_NOT_FOUND). */
    VALUE_OP_SET = 3,
    VALUE_OP_DELETE = 4, /* KITH_E_NOT_FOUND if absent; a constant only with VALUE_OP_FORCE */
    /*
     * Sets if the version is @expect_version (0: absent; then creates). With type VALUE_NONE it
     * deletes instead of setting.
     */
    VALUE_OP_CAS_VERSION = 5,
    /* Sets if type and data are @expect_type (VALUE_NONE: absent) and @expect. Likewise. */
    VALUE_OP_CAS_VALUE = 6,
    /* Adds @delta or @delta_f64 by @type (VALUE_I64 or VALUE_F64). Absent: creates 0 first. */
    VALUE_OP_ADD = 7,
    /* Creates a constant; if there is one already, that one stands and is the result. */
    VALUE_OP_ONCE = 8,
    VALUE_OP_RESIZE = 9,     /* to @count elements; new ones are 0, false or empty */
    VALUE_OP_SLICE_GET = 10, /* @count elements from @index on; an element is a slice of one */
    /* The elements from @index on become those of @data, which is data of the array's type. They
     * must exist. */
    VALUE_OP_SLICE_SET = 11,
};

enum value_op_flags {
    VALUE_OP_IF_ABSENT = 1 << 0,
    VALUE_OP_NO_CREATE = 1 << 1,
    VALUE_OP_FORCE = 1 << 2,
    VALUE_OP_GUARDED = 1 << 3, /* what this creates takes writes with a fence only */
    VALUE_OP_FENCE = 1 << 4,   /* @mutex and @fence guard this operation */
    VALUE_OP_LAST = 1 << 5,    /* with FENCE: the variable's last one under it */
};

/*
 * One operation, decoded; pointers are borrowed. Slices and resizing work on arrays and on
 * VALUE_BYTES (whose elements are bytes).
 *
 * Guard: an operation under a fence below the highest seen is KITH_E_FENCE; under another mutex
 * (unless VALUE_OP_FORCE), or without a fence where one is wanted, KITH_E_PERMISSION. A higher
 * fence is taken over by every operation that was not refused, reads and lost CASes included: a
 * holder's first read shuts out the write of the holder before it, so that lock, get, set, unlock
 * loses no update whoever is paused meanwhile. Such a read is a write to dvar: effect VALUE_CHANGED
 * with a short delta.
 *
 * The last operation of a section says so: @fence + 1 is remembered, which is the fence of the next
 * holder, and whose first read then finds its own fence and needs no write.
 */
struct value_op {
    uint8_t kind;  /* enum value_op_kind */
    uint8_t flags; /* enum value_op_flags */
    uint8_t type;  /* of @data, and of what is created; ignored by GET, DELETE, RESIZE, SLICE_GET */
    uint8_t policy; /* of what is created */
    const uint8_t *data;
    size_t data_len;
    uint64_t expect_version;
    uint8_t expect_type;
    const uint8_t *expect;
    size_t expect_len;
    int64_t delta;
    double delta_f64;
    uint32_t index;
    uint32_t count;    /* ADD: how many additions it stands for, to DVAR_JOINED_MAX; 0: one */
    const char *mutex; /* not NUL-terminated */
    uint8_t mutex_len;
    uint64_t fence;
};

#define VALUE_OP_HEAD_BYTES 24
#define VALUE_OP_BYTES_MAX                                                                         \
    (VALUE_OP_HEAD_BYTES + VALUE_FENCE_BYTES + 5 + 2 * (size_t)DVAR_DATA_BYTES_MAX)

/* Can it be done at all (kinds, types, sizes, data)? For the caller's side, before it is sent. 0,
 * KITH_E_INVALID, KITH_E_TOO_LARGE, KITH_E_UNSUPPORTED (policy available). */
int value_op_check(const char *name, const struct value_op *op);
/* Appends. 0 or KITH_E_MEMORY. */
int value_op_encode(const struct value_op *op, struct buf *out);
/* Every length, type and datum is checked. 0 or KITH_E_CORRUPT. */
int value_op_decode(const void *bytes, size_t len, struct value_op *op_out);
/* The same of bytes that value_op_decode() has taken before, which is not asked again. */
void value_op_read(const void *bytes, size_t len, struct value_op *op_out);
/* @bytes is an encoded ADD of i64: adds @delta to it, and says for how many it stands. */
void value_op_sum(uint8_t *bytes, uint32_t count, int64_t delta);
/* GET or SLICE_GET without a fence: needs no write whatever the value is. */
static inline bool value_op_is_read(const struct value_op *op)
{
    return (op->kind == VALUE_OP_GET || op->kind == VALUE_OP_SLICE_GET) &&
           (op->flags & VALUE_OP_FENCE) == 0;
}
/*
 * A GET or SLICE_GET under exactly the fence that @value remembers: it changes nothing either, and
 * no lower fence is accepted any more.
 */
bool value_op_is_read_of(const struct value_op *op, const struct value *value);
/* Of an encoded operation, which has VALUE_OP_HEAD_BYTES at least: kind, flags, policy, and what an
 * ADD of i64 adds. */
static inline uint8_t value_op_kind(const uint8_t *bytes)
{
    return bytes[0];
}
static inline uint8_t value_op_flags(const uint8_t *bytes)
{
    return bytes[1];
}
static inline uint8_t value_op_policy(const uint8_t *bytes)
{
    return bytes[3];
}
static inline int64_t value_op_delta(const uint8_t *bytes)
{
    return (int64_t)get_le64(bytes + 16);
}
/* An ADD without a fence, which may be folded with others into one write. */
static inline bool value_op_is_foldable(const struct value_op *op)
{
    return op->kind == VALUE_OP_ADD && (op->flags & VALUE_OP_FENCE) == 0;
}

/* ---- applying ---- */

enum value_effect {
    VALUE_UNCHANGED, /* nothing to write; @next is empty */
    VALUE_CHANGED,   /* @next is the new value */
    /* It is absent now. @next is what must be kept of it for as long as fences count (a value of
     * VALUE_NONE), or empty. */
    VALUE_REMOVED,
};

/*
 * What came of it. {0} is valid; buffers are kept from one use to the next, so that the steady
 * state allocates nothing. The result (type, data, number) is borrowed from the current value or
 * from @next, and valid as long.
 *
 * Results of operations with an effect are small: `applied`, the new version, and for ADD the new
 * number. So that is all a record against repetition must hold. Operations without an effect leave
 * none, but only reads may be run again once they were answered: the others might have one then.
 */
struct value_outcome {
    /* 0, or negative: refused, nothing changed, kith_errmsg() has the sentence for the caller. With
     * one exception: KITH_E_NOT_FOUND may come with an effect, the fence of who looked. */
    int code;
    enum value_effect effect;
    /*
     * It did what it was for. False with code 0: a CAS that found something else, a ONCE that found
     * a constant, a CREATE that found what it wanted; the result is then what was found.
     */
    bool applied;
    struct buf next;
    /*
     * Not empty: value_patch() makes @next of the current value with it. Given only where it is
     * shorter than @next. Only for a copy that has exactly the version before.
     */
    struct buf delta;
    /* The value or slice read or found: data of @type; VALUE_NONE: absent. For SLICE_GET of bytes[]
     * and text[] it stands in @slice. */
    uint8_t type;
    struct kith_bytes data;
    struct buf slice;
    int64_t number; /* ADD: the new number, by type */
    double number_f64;
};
void value_outcome_deinit(struct value_outcome *outcome); /* may run twice, or on a zeroed one */

/* The current value. @bytes (may be NULL, @len 0: absent) were checked by value_decode() or come
 * from here. @version is what VALUE_OP_CAS_VERSION compares; not looked at if absent. */
struct value_current {
    const void *bytes;
    size_t len;
    uint64_t version;
};

/* Who writes, and when. */
struct value_stamp {
    struct kith_node_id writer;
    uint64_t time_ms; /* wall clock, Unix */
};

/*
 * Applies @op, which passed value_op_check() or value_op_decode(), to @current. Pure: the same
 * arguments give the same outcome on every node. @name is NUL-terminated and for sentences only.
 * @current must not point into @out.
 *
 * Returns out->code: 0, or
 *     KITH_E_NOT_FOUND    absent
 *     KITH_E_EXISTS       CREATE or ONCE of what exists; write of a constant
 *     KITH_E_TYPE         another type (names both), no number, no array
 *     KITH_E_INVALID      outside of the array
 *     KITH_E_FENCE        fence too low
 *     KITH_E_PERMISSION   another mutex, no fence for a guarded variable
 *     KITH_E_TOO_LARGE    it would grow above DVAR_DATA_BYTES_MAX
 *     KITH_E_LIMIT        an addition that does not fit its type
 *     KITH_E_MEMORY
 */
int value_apply(const char *name,
                const struct value_current *current,
                const struct value_op *op,
                const struct value_stamp *stamp,
                struct value_outcome *out);

/*
 * Appends to @next_out the value that @delta makes of @current (checked bytes, of exactly the
 * version that the delta is for). 0; KITH_E_CORRUPT (the delta is damaged or for another value);
 * KITH_E_MEMORY.
 */
int value_patch(const void *current,
                size_t current_len,
                const void *delta,
                size_t delta_len,
                struct buf *next_out);

/* ---- text forms, for the command ---- */

/*
 * Data of @type from text: i64 and f64 decimal, bool as text_parse_bool(), text as it is (UTF-8),
 * bytes as hex digits; arrays as JSON: [1, 2], ["a", "b"] (bytes[]: strings of hex digits).
 * Replaces what is in @data_out. 0; KITH_E_PARSE; KITH_E_TOO_LARGE; KITH_E_MEMORY.
 */
int value_parse(const char *name, uint8_t type, const char *text, size_t len, struct buf *data_out);
/* The reverse: appends, no newline. value_parse() gives the same data again (but for f64 that is
 * not finite). 0 or KITH_E_MEMORY. @data is well-formed. */
int value_print(uint8_t type, const void *data, size_t len, struct buf *text_out);

#endif
