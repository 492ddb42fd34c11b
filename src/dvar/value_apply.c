/*
 * What an operation makes of a value. The rules of fences stand in guard_problem() and
 * take_fence(), those of constants in may_write(); each operation is one function.
 */
#include <math.h>
#include <stdarg.h>

#include "core/error.h"
#include "dvar/value_internal.h"

struct apply {
    const char *name;
    const struct value_op *op;
    const struct value_stamp *stamp;
    struct value now;
    uint64_t version;
    struct value_outcome *out;
};

/* ---- what comes out ---- */

static void result_is(struct apply *a, uint8_t type, const void *data, size_t len)
{
    a->out->type = type;
    a->out->data = (struct kith_bytes){.data = data, .len = len};
}

static void result_is_current(struct apply *a)
{
    result_is(a, a->now.type, a->now.data, a->now.len);
}

/* The value before, written now by who asks; the fence stays what it was. */
static struct value written(const struct apply *a)
{
    struct value next = a->now;
    next.time_ms = a->stamp->time_ms;
    next.writer = a->stamp->writer;
    return next;
}

/* What is remembered of the operation's fence: after its last the next one counts. */
static uint64_t fence_after(const struct value_op *op)
{
    bool last = (op->flags & VALUE_OP_LAST) != 0 && op->fence < UINT64_MAX;
    return op->fence + (last ? 1 : 0);
}

static bool raises_fence(const struct apply *a)
{
    bool fenced = (a->now.flags & VALUE_FENCED) != 0;
    bool other = fenced && (a->now.mutex_len != a->op->mutex_len ||
                            memcmp(a->now.mutex, a->op->mutex, a->now.mutex_len) != 0);
    return (a->op->flags & VALUE_OP_FENCE) != 0 &&
           (!fenced || other || fence_after(a->op) > a->now.fence);
}

static void take_fence(const struct apply *a, struct value *next)
{
    if (!raises_fence(a))
        return;
    next->flags |= VALUE_FENCED;
    next->fence = fence_after(a->op);
    next->mutex = a->op->mutex;
    next->mutex_len = a->op->mutex_len;
}

/* Makes data of @type the new value; what is created gets its policy and flags from @op. */
static int put(struct apply *a, uint8_t type, const void *data, size_t len, uint8_t new_flags)
{
    struct value next = written(a);
    if (a->now.type == VALUE_NONE) {
        next.policy = a->op->policy;
        next.flags |= new_flags;
        if ((a->op->flags & VALUE_OP_GUARDED) != 0)
            next.flags |= VALUE_GUARDED;
    }
    next.type = type;
    next.data = data;
    next.len = (uint32_t)len;
    take_fence(a, &next);
    int r = value_encode(&next, &a->out->next);
    if (r != 0)
        return r;
    a->out->effect = VALUE_CHANGED;
    a->out->applied = true;
    result_is(a, type, a->out->next.data + VALUE_HEAD_BYTES, len);
    return 0;
}

static int put_op(struct apply *a, uint8_t new_flags)
{
    return put(a, a->op->type, a->op->data, a->op->data_len, new_flags);
}

/* Makes it absent. What is left of it remembers the fence. */
static int removed(struct apply *a)
{
    struct value next = written(a);
    next.type = VALUE_NONE;
    next.policy = 0;
    next.flags &= VALUE_FENCED;
    next.data = NULL;
    next.len = 0;
    take_fence(a, &next);
    int r = value_encode(&next, &a->out->next);
    if (r != 0)
        return r;
    a->out->effect = VALUE_REMOVED;
    a->out->applied = true;
    result_is(a, VALUE_NONE, NULL, 0);
    return 0;
}

/* Changes a part of an array, or its fence only. */
static int splice(struct apply *a, const struct value *next, const struct splice *splice)
{
    struct value_outcome *out = a->out;
    int r = splice_encode(&a->now, next, splice, &out->next);
    if (r == 0)
        r = splice_delta(&a->now, next, splice, &out->delta);
    if (r != 0)
        return r;
    if (out->delta.len >= out->next.len)
        out->delta.len = 0;
    out->effect = VALUE_CHANGED;
    return 0;
}

/* ---- refusals ---- */

static int absent(const struct apply *a)
{
    return kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s; create or set it first",
                          a->name);
}

static int other_type(const struct apply *a, uint8_t wanted)
{
    return kith_fail_with(KITH_E_TYPE,
                          "%s is of type %s, not %s; use its own type, or delete it and create it "
                          "anew",
                          a->name, value_type_name(a->now.type), value_type_name(wanted));
}

/* The fence, before anything else is looked at (protocols 5.4, Guard; hole 35). */
static int guard_problem(const struct apply *a)
{
    const struct value_op *op = a->op;
    bool fenced = (a->now.flags & VALUE_FENCED) != 0;
    if ((op->flags & VALUE_OP_FENCE) == 0) {
        if ((a->now.flags & VALUE_GUARDED) != 0 && !value_op_is_read(op))
            return kith_fail_with(KITH_E_PERMISSION,
                                  "%s is guarded by a mutex; acquire %.*s and write with its fence",
                                  a->name, fenced ? a->now.mutex_len : 3,
                                  fenced ? a->now.mutex : "one");
        return 0;
    }
    if (!fenced)
        return 0;
    if (a->now.mutex_len != op->mutex_len || memcmp(a->now.mutex, op->mutex, op->mutex_len) != 0) {
        if ((op->flags & VALUE_OP_FORCE) != 0)
            return 0;
        return kith_fail_with(KITH_E_PERMISSION,
                              "%s is guarded by the mutex %.*s, not %.*s; acquire that one",
                              a->name, a->now.mutex_len, a->now.mutex, op->mutex_len, op->mutex);
    }
    if (op->fence < a->now.fence)
        return kith_fail_with(
            KITH_E_FENCE,
            "%s was used under the fence %llu of the mutex %.*s, this has %llu: "
            "the mutex was lost to a later holder; acquire it again and read anew",
            a->name, (unsigned long long)a->now.fence, op->mutex_len, op->mutex,
            (unsigned long long)op->fence);
    return 0;
}

static int may_write(const struct apply *a)
{
    if ((a->now.flags & VALUE_CONSTANT) == 0 || (a->op->flags & VALUE_OP_FORCE) != 0)
        return 0;
    return kith_fail_with(
        KITH_E_EXISTS,
        "%s is a constant and was written already; use another name, or delete it "
        "by force",
        a->name);
}

/* May data of op->type become its value? Absent is fine. */
static int may_become(const struct apply *a)
{
    if (a->now.type == VALUE_NONE)
        return 0;
    int r = may_write(a);
    if (r == 0 && a->now.type != a->op->type)
        r = other_type(a, a->op->type);
    return r;
}

/* ---- operations ---- */

static int op_get(struct apply *a)
{
    result_is_current(a);
    a->out->applied = a->now.type != VALUE_NONE;
    return a->now.type != VALUE_NONE ? 0 : absent(a);
}

static int op_create(struct apply *a)
{
    const struct value_op *op = a->op;
    if (a->now.type == VALUE_NONE) {
        struct kith_bytes data = value_data_default(op->type);
        return op->data_len > 0 ? put_op(a, 0) : put(a, op->type, data.data, data.len, 0);
    }
    result_is_current(a);
    bool same = a->now.type == op->type && a->now.policy == op->policy;
    if (same && (op->flags & VALUE_OP_IF_ABSENT) == 0)
        return 0;
    return kith_fail_with(KITH_E_EXISTS,
                          "%s exists already as %s %s, asked for was %s %s; use it as it is, or "
                          "delete it first",
                          a->name, value_policy_name(a->now.policy), value_type_name(a->now.type),
                          value_policy_name(op->policy), value_type_name(op->type));
}

static int op_set(struct apply *a)
{
    if (a->now.type == VALUE_NONE && (a->op->flags & VALUE_OP_NO_CREATE) != 0)
        return absent(a);
    int r = may_become(a);
    return r != 0 ? r : put_op(a, 0);
}

static int op_delete(struct apply *a)
{
    if (a->now.type == VALUE_NONE)
        return absent(a);
    int r = may_write(a);
    return r != 0 ? r : removed(a);
}

static int op_cas(struct apply *a)
{
    const struct value_op *op = a->op;
    bool found;
    if (op->kind == VALUE_OP_CAS_VERSION) {
        found = op->expect_version == (a->now.type == VALUE_NONE ? 0 : a->version);
    } else {
        if (op->expect_type != VALUE_NONE && a->now.type != VALUE_NONE &&
            op->expect_type != a->now.type)
            return other_type(a, op->expect_type);
        found = op->expect_type == a->now.type && op->expect_len == a->now.len &&
                (a->now.len == 0 || memcmp(op->expect, a->now.data, a->now.len) == 0);
    }
    result_is_current(a);
    if (!found)
        return 0;
    if (op->type == VALUE_NONE) {
        a->out->applied = true; /* absent already, as expected */
        int r = may_write(a);
        return r != 0 || a->now.type == VALUE_NONE ? r : removed(a);
    }
    int r = may_become(a);
    return r != 0 ? r : put_op(a, 0);
}

static int too_far(const struct apply *a)
{
    return kith_fail_with(KITH_E_LIMIT,
                          "the sum does not fit %s, which is %s and stays as it was; set it anew",
                          a->name, value_type_name(a->now.type));
}

static int op_add(struct apply *a)
{
    const struct value_op *op = a->op;
    uint8_t type = a->now.type;
    if (type == VALUE_NONE) {
        if ((op->flags & VALUE_OP_NO_CREATE) != 0)
            return absent(a);
        type = op->type;
    } else if (type != VALUE_I64 && type != VALUE_F64) {
        return kith_fail_with(KITH_E_TYPE,
                              "%s is of type %s, not %s: nothing can be added to it; only i64 and "
                              "f64 are numbers",
                              a->name, value_type_name(type), value_type_name(op->type));
    } else if (type != op->type) {
        return other_type(a, op->type);
    }
    int r = may_write(a);
    if (r != 0)
        return r;
    uint64_t bits = a->now.type == VALUE_NONE ? 0 : get_le64(a->now.data);
    if (type == VALUE_I64) {
        if (__builtin_add_overflow((int64_t)bits, op->delta, &a->out->number))
            return too_far(a);
        bits = (uint64_t)a->out->number;
    } else {
        double number;
        memcpy(&number, &bits, sizeof(number));
        number += op->delta_f64;
        if (!isfinite(number))
            return too_far(a);
        a->out->number_f64 = number;
        memcpy(&bits, &number, sizeof(bits));
    }
    uint8_t data[8];
    put_le64(data, bits);
    return put(a, type, data, sizeof(data), 0);
}

static int op_once(struct apply *a)
{
    if (a->now.type == VALUE_NONE)
        return put_op(a, VALUE_CONSTANT);
    result_is_current(a);
    if ((a->now.flags & VALUE_CONSTANT) != 0)
        return a->now.type == a->op->type ? 0 : other_type(a, a->op->type);
    return kith_fail_with(KITH_E_EXISTS,
                          "%s exists already and is no constant; use another name, or delete it "
                          "first",
                          a->name);
}

/* Is it there, and has it elements? */
static int has_elements(const struct apply *a)
{
    if (a->now.type == VALUE_NONE)
        return absent(a);
    if (value_has_elements(a->now.type))
        return 0;
    return kith_fail_with(KITH_E_TYPE,
                          "%s is of type %s, which is no array; get and set it as a whole", a->name,
                          value_type_name(a->now.type));
}

static int within(const struct apply *a, uint64_t n)
{
    uint64_t have = value_data_count(a->now.type, a->now.data, a->now.len);
    if (a->op->index + n <= have)
        return 0;
    return kith_fail_with(
        KITH_E_INVALID, "elements %llu to %llu are outside of %s, which has %llu; resize it first",
        (unsigned long long)a->op->index, (unsigned long long)(a->op->index + n) - (n > 0), a->name,
        (unsigned long long)have);
}

/* A part of the array is written, by @part. */
static int write_part(struct apply *a, const struct splice *part)
{
    uint64_t len = splice_len(&a->now, part);
    if (len > DVAR_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "%s would grow to %llu bytes; a variable holds %d at most: split it "
                              "over several",
                              a->name, (unsigned long long)len, DVAR_DATA_BYTES_MAX);
    struct value next = written(a);
    take_fence(a, &next);
    a->out->applied = true;
    result_is(a, VALUE_NONE, NULL, 0); /* who writes a part does not want the whole back */
    return splice(a, &next, part);
}

static int op_resize(struct apply *a)
{
    int r = has_elements(a);
    if (r == 0)
        r = may_write(a);
    struct splice part = {.kind = SPLICE_RESIZE, .count = a->op->count};
    return r != 0 ? r : write_part(a, &part);
}

static int op_slice_set(struct apply *a)
{
    const struct value_op *op = a->op;
    int r = has_elements(a);
    if (r == 0)
        r = may_become(a);
    if (r == 0)
        r = within(a, value_data_count(op->type, op->data, op->data_len));
    struct splice part = {
        .kind = SPLICE_SLICE, .index = op->index, .data = op->data, .len = op->data_len};
    return r != 0 ? r : write_part(a, &part);
}

static int op_slice_get(struct apply *a)
{
    int r = has_elements(a);
    if (r == 0)
        r = within(a, a->op->count);
    if (r != 0)
        return r;
    a->out->applied = true;
    if (value_is_table(a->now.type)) {
        r = slice_copy(&a->now, a->op->index, a->op->count, &a->out->slice);
        result_is(a, a->now.type, a->out->slice.data, a->out->slice.len);
        return r;
    }
    struct kith_bytes run =
        value_data_run(a->now.type, a->now.data, a->now.len, a->op->index, a->op->count);
    result_is(a, a->now.type, run.data, run.len);
    return 0;
}

/* ---- all of it ---- */

static int carry_out(struct apply *a)
{
    switch (a->op->kind) {
    case VALUE_OP_GET:
        return op_get(a);
    case VALUE_OP_CREATE:
        return op_create(a);
    case VALUE_OP_SET:
        return op_set(a);
    case VALUE_OP_DELETE:
        return op_delete(a);
    case VALUE_OP_CAS_VERSION:
    case VALUE_OP_CAS_VALUE:
        return op_cas(a);
    case VALUE_OP_ADD:
        return op_add(a);
    case VALUE_OP_ONCE:
        return op_once(a);
    case VALUE_OP_RESIZE:
        return op_resize(a);
    case VALUE_OP_SLICE_GET:
        return op_slice_get(a);
    case VALUE_OP_SLICE_SET:
        return op_slice_set(a);
    default:
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "an operation on %s is not known here; upgrade this node", a->name);
    }
}

/*
 * An operation that wrote nothing and was not refused for its fence: a higher fence is remembered
 * all the same. That there is nothing to read is no refusal.
 */
static int remember_fence(struct apply *a)
{
    struct value next = a->now;
    if (a->now.type == VALUE_NONE) {
        bool applied = a->out->applied;
        int r = removed(a);
        a->out->applied = applied;
        return r;
    }
    take_fence(a, &next);
    struct splice fence_only = {.kind = SPLICE_GUARD};
    return splice(a, &next, &fence_only);
}

int value_apply(const char *name,
                const struct value_current *current,
                const struct value_op *op,
                const struct value_stamp *stamp,
                struct value_outcome *out)
{
    out->next.len = 0;
    out->delta.len = 0;
    out->slice.len = 0;
    out->effect = VALUE_UNCHANGED;
    out->applied = false;
    out->number = 0;
    out->number_f64 = 0;
    out->type = VALUE_NONE;
    out->data = (struct kith_bytes){0};

    struct apply a = {.name = name,
                      .op = op,
                      .stamp = stamp,
                      .now = value_view(current->bytes, current->len),
                      .version = current->version,
                      .out = out};
    int r = guard_problem(&a);
    if (r == 0) {
        r = carry_out(&a);
        bool nothing_there = r == KITH_E_NOT_FOUND && a.now.type == VALUE_NONE;
        if ((r == 0 || nothing_there) && out->effect == VALUE_UNCHANGED && raises_fence(&a)) {
            int memory = remember_fence(&a);
            if (memory != 0)
                r = memory;
        }
    }
    if (r != 0 && r != KITH_E_NOT_FOUND) { /* refused: nothing changes */
        out->effect = VALUE_UNCHANGED;
        out->next.len = 0;
        out->delta.len = 0;
    }
    if (r == KITH_E_MEMORY)
        r = kith_fail_with(r, "memory is short on the node that keeps %s; try again later", name);
    out->code = r;
    return r;
}

void value_outcome_deinit(struct value_outcome *outcome)
{
    buf_deinit(&outcome->next);
    buf_deinit(&outcome->delta);
    buf_deinit(&outcome->slice);
}
