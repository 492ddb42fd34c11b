/*
 * Operations as bytes, and whether one can be done at all.
 *
 *     0   u8   kind          12  u32  bytes expected
 *     1   u8   flags         16  u64  version expected; for ADD the number, as its type has it
 *     2   u8   type          24       with VALUE_OP_FENCE: u64 fence, u8 bytes of the name, name
 *     3   u8   policy                 with CAS_VALUE: u8 type expected, bytes expected
 *     4   u32  index                  the rest: data
 *     8   u32  count
 */
#include <assert.h>
#include <math.h>

#include "core/error.h"
#include "dvar/value_internal.h"

#define FLAGS_ALL                                                                                  \
    (VALUE_OP_IF_ABSENT | VALUE_OP_NO_CREATE | VALUE_OP_FORCE | VALUE_OP_GUARDED |                 \
     VALUE_OP_FENCE | VALUE_OP_LAST)

/* ---- checking ---- */

/* Operations whose type and data are what the variable will be. */
static bool writes_value(uint8_t kind)
{
    switch (kind) {
    case VALUE_OP_CREATE:
    case VALUE_OP_SET:
    case VALUE_OP_CAS_VERSION:
    case VALUE_OP_CAS_VALUE:
    case VALUE_OP_ONCE:
        return true;
    default:
        return false;
    }
}

static int invalid(const char *name, const char *why)
{
    return kith_fail_with(KITH_E_INVALID, "the operation on %s cannot be done: %s", name, why);
}

static int check_data(const char *name, const struct value_op *op)
{
    bool cas = op->kind == VALUE_OP_CAS_VERSION || op->kind == VALUE_OP_CAS_VALUE;
    if (cas && op->type == VALUE_NONE)
        return op->data_len == 0 ? 0 : invalid(name, "what deletes brings no data; leave it out");
    if (op->kind == VALUE_OP_CREATE && op->data_len == 0 && value_type_is_known(op->type))
        return 0;
    return value_data_check(name, op->type, op->data, op->data_len);
}

static int check_add(const char *name, const struct value_op *op)
{
    if (op->type != VALUE_I64 && op->type != VALUE_F64)
        return invalid(name, "only i64 and f64 can be added; give one of these types");
    if (op->type == VALUE_F64 && !isfinite(op->delta_f64))
        return invalid(name, "what is to be added is not finite; give a finite number");
    if (op->count > (op->type == VALUE_I64 ? DVAR_JOINED_MAX : 1))
        return invalid(name, "it stands for too many additions");
    return 0;
}

static int check_kind(const char *name, const struct value_op *op)
{
    if (!writes_value(op->kind) && op->kind != VALUE_OP_SLICE_SET && op->data_len != 0)
        return invalid(name, "it takes no data; leave it out");
    switch (op->kind) {
    case VALUE_OP_ADD:
        return check_add(name, op);
    case VALUE_OP_SLICE_SET:
        if (!value_has_elements(op->type) || !value_type_is_known(op->type))
            return invalid(name, "a slice is of an array or of bytes; give such a type");
        return value_data_check(name, op->type, op->data, op->data_len);
    case VALUE_OP_GET:
    case VALUE_OP_DELETE:
    case VALUE_OP_RESIZE:
    case VALUE_OP_SLICE_GET:
        return 0;
    default:
        return writes_value(op->kind) ? check_data(name, op)
                                      : invalid(name, "it is not known here");
    }
}

int value_op_check(const char *name, const struct value_op *op)
{
    if ((op->flags & ~FLAGS_ALL) != 0)
        return invalid(name, "it has flags that are not known here");
    if ((op->flags & VALUE_OP_FENCE) != 0 && value_name_check(op->mutex, op->mutex_len, false) != 0)
        return invalid(name, "the mutex that guards it has no proper name; give name and fence");
    if ((op->flags & (VALUE_OP_FENCE | VALUE_OP_LAST)) == VALUE_OP_LAST)
        return invalid(name, "what is the last under a fence names its mutex and fence");
    if (op->policy == VALUE_AVAILABLE)
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "the operation on %s is of consistent variables; an available one "
                              "knows only what its merge kind does",
                              name);
    if (op->policy > VALUE_AVAILABLE)
        return invalid(name, "its policy is not known here; give volatile or durable");
    if (op->kind == VALUE_OP_CAS_VALUE && op->expect_type != VALUE_NONE) {
        int r = value_data_check(name, op->expect_type, op->expect, op->expect_len);
        if (r != 0)
            return r;
    } else if (op->expect_len != 0) {
        return invalid(name, "it expects data without a type; leave it out");
    }
    return check_kind(name, op);
}

bool value_op_is_read_of(const struct value_op *op, const struct value *value)
{
    return (op->kind == VALUE_OP_GET || op->kind == VALUE_OP_SLICE_GET) &&
           (op->flags & (VALUE_OP_FENCE | VALUE_OP_LAST)) == VALUE_OP_FENCE &&
           (value->flags & VALUE_FENCED) != 0 && value->fence == op->fence &&
           value->mutex_len == op->mutex_len && memcmp(value->mutex, op->mutex, op->mutex_len) == 0;
}

/* ---- bytes ---- */

static uint64_t number_of(const struct value_op *op)
{
    if (op->kind == VALUE_OP_CAS_VERSION)
        return op->expect_version;
    if (op->kind != VALUE_OP_ADD)
        return 0;
    uint64_t bits;
    if (op->type == VALUE_F64)
        memcpy(&bits, &op->delta_f64, sizeof(bits));
    else
        memcpy(&bits, &op->delta, sizeof(bits));
    return bits;
}

int value_op_encode(const struct value_op *op, struct buf *out)
{
    bool fence = (op->flags & VALUE_OP_FENCE) != 0;
    bool expect = op->kind == VALUE_OP_CAS_VALUE;
    size_t len = VALUE_OP_HEAD_BYTES + (fence ? 9 + (size_t)op->mutex_len : 0) +
                 (expect ? 1 + op->expect_len : 0) + op->data_len;
    int r = buf_reserve(out, len);
    if (r != 0)
        return r;
    uint8_t *p = out->data + out->len;
    p[0] = op->kind;
    p[1] = op->flags;
    p[2] = op->type;
    p[3] = op->policy;
    put_le32(p + 4, op->index);
    put_le32(p + 8, op->count);
    put_le32(p + 12, expect ? (uint32_t)op->expect_len : 0);
    put_le64(p + 16, number_of(op));
    p += VALUE_OP_HEAD_BYTES;
    if (fence) {
        put_le64(p, op->fence);
        p[8] = op->mutex_len;
        memcpy(p + 9, op->mutex, op->mutex_len);
        p += 9 + (size_t)op->mutex_len;
    }
    if (expect) {
        *p++ = op->expect_type;
        if (op->expect_len > 0)
            memcpy(p, op->expect, op->expect_len);
        p += op->expect_len;
    }
    if (op->data_len > 0)
        memcpy(p, op->data, op->data_len);
    out->len += len;
    return 0;
}

void value_op_sum(uint8_t *bytes, uint32_t count, int64_t delta)
{
    put_le32(bytes + 8, count);
    put_le64(bytes + 16, get_le64(bytes + 16) + (uint64_t)delta);
}

static void read_head(struct reader *r, struct value_op *op, uint32_t *expect_len)
{
    op->kind = read_u8(r);
    op->flags = read_u8(r);
    op->type = read_u8(r);
    op->policy = read_u8(r);
    op->index = read_le32(r);
    op->count = read_le32(r);
    *expect_len = read_le32(r);
    uint64_t bits = read_le64(r);
    if (op->kind == VALUE_OP_CAS_VERSION)
        op->expect_version = bits;
    else if (op->kind == VALUE_OP_ADD && op->type == VALUE_F64)
        memcpy(&op->delta_f64, &bits, sizeof(bits));
    else if (op->kind == VALUE_OP_ADD)
        memcpy(&op->delta, &bits, sizeof(bits));
}

/* False: a length is wrong. */
static bool read_op(const void *bytes, size_t len, struct value_op *op)
{
    struct reader r = reader_of(bytes, len);
    uint32_t expect_len = 0;
    *op = (struct value_op){0};
    read_head(&r, op, &expect_len);
    if ((op->flags & VALUE_OP_FENCE) != 0) {
        op->fence = read_le64(&r);
        op->mutex_len = read_u8(&r);
        op->mutex = (const char *)read_bytes(&r, op->mutex_len);
    }
    if (op->kind == VALUE_OP_CAS_VALUE) {
        op->expect_type = read_u8(&r);
        op->expect_len = expect_len;
        op->expect = read_bytes(&r, expect_len);
    } else if (expect_len != 0) {
        r.bad = true;
    }
    if (!r.bad) {
        op->data_len = r.len - r.at;
        op->data = read_bytes(&r, op->data_len);
    }
    return !r.bad;
}

int value_op_decode(const void *bytes, size_t len, struct value_op *op_out)
{
    struct value_op op;
    if (!read_op(bytes, len, &op) || value_op_check("a variable", &op) != 0)
        return kith_fail_with(KITH_E_CORRUPT, "an operation on a variable does not decode; it is "
                                              "not carried out");
    *op_out = op;
    return 0;
}

void value_op_read(const void *bytes, size_t len, struct value_op *op_out)
{
    bool whole = read_op(bytes, len, op_out);
    assert(whole);
    (void)whole;
}
