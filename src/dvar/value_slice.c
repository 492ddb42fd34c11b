/*
 * Parts of arrays, and deltas: what changed of a value, for a copy that has the one before.
 *
 * Delta:
 *
 *     0   u8   enum splice_kind
 *     1   u32  SLICE: first element; RESIZE: elements afterwards
 *     5   u32  bytes of data before
 *     9   32   head of the new value
 *     41       with VALUE_FENCED: its fence, as at the end of a value
 *              SLICE: the elements, as data of the array's type
 */
#include <assert.h>

#include "core/error.h"
#include "dvar/value_internal.h"

#define DELTA_HEAD_BYTES 9

/* ---- building data ---- */

static uint32_t run_bytes(const struct value *now, uint32_t at, uint32_t n)
{
    return (uint32_t)value_data_run(now->type, now->data, now->len, at, n).len;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint64_t splice_len(const struct value *now, const struct splice *splice)
{
    uint32_t n = value_data_count(now->type, now->data, now->len);
    if (splice->kind == SPLICE_GUARD)
        return now->len;
    if (!value_is_table(now->type))
        return splice->kind == SPLICE_SLICE
                   ? now->len
                   : (uint64_t)splice->count * value_element_bytes(now->type);
    if (splice->kind == SPLICE_RESIZE)
        return 4 + 4 * (uint64_t)splice->count + run_bytes(now, 0, least(n, splice->count));
    uint32_t slice_n = value_data_count(now->type, splice->data, splice->len);
    uint64_t in = splice->len - 4 - 4 * (uint64_t)slice_n;
    return now->len + in - run_bytes(now, splice->index, slice_n);
}

/* Copies @n elements of @from (a table) to @to (one of @to_n) from @to_at on; @end is where they
 * begin there. Returns where they end. */
static uint32_t table_copy(uint8_t *to,
                           uint32_t to_n,
                           uint32_t to_at,
                           uint32_t end,
                           const struct kith_bytes *from,
                           uint32_t from_at,
                           uint32_t n)
{
    const uint8_t *table = from->data;
    struct kith_bytes run =
        value_data_run(VALUE_ARRAY | VALUE_BYTES, from->data, from->len, from_at, n);
    const uint8_t *elements = table + 4 + 4 * (size_t)get_le32(table);
    uint32_t shift = end - (uint32_t)((const uint8_t *)run.data - elements);
    for (uint32_t i = 0; i < n; i++)
        put_le32(to + 4 + 4 * (size_t)(to_at + i),
                 get_le32(table + 4 + 4 * (size_t)(from_at + i)) + shift);
    if (run.len > 0)
        memcpy(to + 4 + 4 * (size_t)to_n + end, run.data, run.len);
    return end + (uint32_t)run.len;
}

static void table_splice(const struct value *now, const struct splice *splice, uint8_t *to)
{
    struct kith_bytes old = {.data = now->data, .len = now->len};
    uint32_t old_n = get_le32(now->data);
    if (splice->kind == SPLICE_RESIZE) {
        uint32_t kept = least(old_n, splice->count);
        put_le32(to, splice->count);
        uint32_t end = table_copy(to, splice->count, 0, 0, &old, 0, kept);
        for (uint32_t i = kept; i < splice->count; i++)
            put_le32(to + 4 + 4 * (size_t)i, end);
        return;
    }
    struct kith_bytes in = {.data = splice->data, .len = splice->len};
    uint32_t in_n = get_le32(splice->data);
    uint32_t behind = splice->index + in_n;
    put_le32(to, old_n);
    uint32_t end = table_copy(to, old_n, 0, 0, &old, 0, splice->index);
    end = table_copy(to, old_n, splice->index, end, &in, 0, in_n);
    (void)table_copy(to, old_n, behind, end, &old, behind, old_n - behind);
}

static void
data_splice(const struct value *now, const struct splice *splice, uint8_t *to, size_t len)
{
    if (splice->kind != SPLICE_GUARD && value_is_table(now->type)) {
        table_splice(now, splice, to);
        return;
    }
    size_t kept = now->len < len ? now->len : len;
    if (kept > 0)
        memcpy(to, now->data, kept);
    if (len > kept)
        memset(to + kept, 0, len - kept);
    if (splice->kind == SPLICE_SLICE && splice->len > 0)
        memcpy(to + splice->index * value_element_bytes(now->type), splice->data, splice->len);
}

int splice_encode(const struct value *now,
                  const struct value *next,
                  const struct splice *splice,
                  struct buf *out)
{
    uint64_t len = splice_len(now, splice);
    assert(len <= DVAR_DATA_BYTES_MAX);
    /* Head and fence are those of a value without data; what stands between is put in. */
    struct value bare = *next;
    bare.len = 0;
    size_t at = out->len;
    int r = buf_reserve(out, VALUE_HEAD_BYTES + len + VALUE_FENCE_BYTES);
    if (r == 0)
        r = value_encode(&bare, out);
    if (r != 0)
        return r;
    uint8_t *head = out->data + at;
    uint8_t *data = head + VALUE_HEAD_BYTES;
    memmove(data + len, data, out->len - at - VALUE_HEAD_BYTES);
    put_le32(head + 4, (uint32_t)len);
    data_splice(now, splice, data, len);
    out->len += len;
    return 0;
}

int slice_copy(const struct value *now, uint32_t index, uint32_t count, struct buf *out)
{
    struct kith_bytes run = value_data_run(now->type, now->data, now->len, index, count);
    size_t len = run.len + (value_is_table(now->type) ? 4 + 4 * (size_t)count : 0);
    int r = buf_reserve(out, len);
    if (r != 0)
        return r;
    uint8_t *to = out->data + out->len;
    out->len += len;
    if (value_is_table(now->type)) {
        struct kith_bytes old = {.data = now->data, .len = now->len};
        put_le32(to, count);
        (void)table_copy(to, count, 0, 0, &old, index, count);
    } else if (len > 0) {
        memcpy(to, run.data, len);
    }
    return 0;
}

/* ---- deltas ---- */

int splice_delta(const struct value *now,
                 const struct value *next,
                 const struct splice *splice,
                 struct buf *out)
{
    bool slice = splice->kind == SPLICE_SLICE;
    struct value bare = *next;
    bare.len = 0;
    size_t at = out->len;
    int r = buf_reserve(out, DELTA_HEAD_BYTES + VALUE_HEAD_BYTES + VALUE_FENCE_BYTES +
                                 (slice ? splice->len : 0));
    if (r != 0)
        return r;
    uint8_t *p = out->data + at;
    p[0] = (uint8_t)splice->kind;
    put_le32(p + 1, slice ? splice->index : splice->count);
    put_le32(p + 5, now->len);
    out->len += DELTA_HEAD_BYTES;
    r = value_encode(&bare, out);
    if (r == 0)
        put_le32(p + DELTA_HEAD_BYTES + 4, (uint32_t)splice_len(now, splice));
    if (r == 0 && slice)
        r = buf_append(out, splice->data, splice->len);
    return r;
}

static int misfit(const char *why)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "a change of a variable does not fit the copy here: %s; the whole value "
                          "is wanted",
                          why);
}

static const char *splice_problem(const struct value *now, const struct splice *splice)
{
    if (splice->kind == SPLICE_GUARD)
        return NULL;
    if (!value_has_elements(now->type))
        return "it is no array";
    if (splice->kind == SPLICE_RESIZE)
        return splice_len(now, splice) <= DVAR_DATA_BYTES_MAX ? NULL : "it would be too large";
    if (value_data_check("a variable", now->type, splice->data, splice->len) != 0)
        return "its elements are of another type";
    uint64_t end = (uint64_t)splice->index + value_data_count(now->type, splice->data, splice->len);
    if (end > value_data_count(now->type, now->data, now->len))
        return "its elements lie outside";
    return splice_len(now, splice) <= DVAR_DATA_BYTES_MAX ? NULL : "it would be too large";
}

/* Head and fence of the new value; *len_out is the length of its data, which is not here. */
static int read_next(struct reader *r, struct value *next, uint32_t *len_out)
{
    uint8_t bytes[VALUE_HEAD_BYTES + VALUE_FENCE_BYTES];
    size_t left = r->len - r->at;
    if (r->bad || left < VALUE_HEAD_BYTES)
        return misfit("it is cut off");
    const uint8_t *head = r->data + r->at;
    size_t len = VALUE_HEAD_BYTES;
    if ((head[3] & VALUE_FENCED) != 0) {
        if (left < len + 9)
            return misfit("it is cut off");
        len += 9 + (size_t)head[len + 8];
    }
    if (read_bytes(r, len) == NULL)
        return misfit("it is cut off");
    memcpy(bytes, head, len);
    *len_out = get_le32(head + 4);
    /* Checked as a value of bytes, whose data may be empty. */
    uint8_t type = bytes[1];
    bytes[1] = VALUE_BYTES;
    put_le32(bytes + 4, 0);
    struct value checked;
    if (value_decode(bytes, len, &checked) != 0)
        return misfit("its head is damaged");
    *next = checked;
    next->type = type;
    next->data = NULL;
    if ((next->flags & VALUE_FENCED) != 0) /* not of the copy on the stack */
        next->mutex = (const char *)head + VALUE_HEAD_BYTES + 9;
    return 0;
}

int value_patch(const void *current,
                size_t current_len,
                const void *delta,
                size_t delta_len,
                struct buf *next_out)
{
    struct reader r = reader_of(delta, delta_len);
    uint8_t kind = read_u8(&r);
    uint32_t number = read_le32(&r);
    uint32_t before = read_le32(&r);
    struct value next = {0};
    uint32_t len = 0;
    int code = kind > SPLICE_RESIZE ? misfit("its kind is unknown") : read_next(&r, &next, &len);
    if (code != 0)
        return code;
    struct value now = value_view(current, current_len);
    if (now.type == VALUE_NONE || now.type != next.type || now.len != before)
        return misfit("it is for another value");
    struct splice splice = {.kind = kind, .index = number, .count = number};
    if (kind == SPLICE_SLICE) {
        splice.len = r.len - r.at;
        splice.data = read_bytes(&r, splice.len);
    }
    if (!reader_done(&r))
        return misfit("bytes are left behind it");
    const char *problem = splice_problem(&now, &splice);
    if (problem == NULL && splice_len(&now, &splice) != len)
        problem = "its lengths do not agree";
    return problem != NULL ? misfit(problem) : splice_encode(&now, &next, &splice, next_out);
}
