/*
 * Bytes that claim to be a value, an operation on it, a delta of it, or a text form: refused, or
 * good to the last byte. The first byte chooses.
 *
 *     0  a value        2  u16 bytes of a value, the value, then a delta
 *     1  an operation   3  u8 type, then text
 *     4  u16 bytes of a value, the value, then an operation on it
 */
#include "dvar/value.h"

#include "core/error.h"
#include "fuzz_net.h"

static void same(const struct buf *bytes, const uint8_t *data, size_t len)
{
    must(bytes->len == len && (len == 0 || memcmp(bytes->data, data, len) == 0));
}

static void a_value(const uint8_t *data, size_t len)
{
    struct value value;
    struct buf again = {0};
    if (value_decode(data, len, &value) != 0)
        return;
    must(value_encode(&value, &again) == 0);
    same(&again, data, len);
    if (value.type != VALUE_NONE && value.len < 4096) {
        struct buf text = {0};
        must(value_print(value.type, value.data, value.len, &text) == 0);
        buf_deinit(&text);
    }
    buf_deinit(&again);
}

static void an_operation(const uint8_t *data, size_t len)
{
    struct value_op op;
    struct value_op twice;
    struct buf again = {0};
    if (value_op_decode(data, len, &op) != 0)
        return;
    must(value_op_check("x", &op) == 0);
    must(value_op_encode(&op, &again) == 0);
    must(again.len == len);
    must(value_op_decode(again.data, again.len, &twice) == 0);
    buf_deinit(&again);
}

static void apply(const uint8_t *now, size_t now_len, const uint8_t *data, size_t len)
{
    struct value value;
    struct value_op op;
    struct value_outcome out = {0};
    struct value_stamp stamp = {.time_ms = 1};
    struct value_current current = {.bytes = now, .len = now_len, .version = 1};
    if (value_decode(now, now_len, &value) != 0 || value_op_decode(data, len, &op) != 0)
        return;
    int r = value_apply("x", &current, &op, &stamp, &out);
    must(r == out.code);
    must(r == 0 || kith_errmsg()[0] != '\0');
    must(value_decode(out.next.data, out.next.len, &value) == 0);
    must((out.effect == VALUE_CHANGED) == (value.type != VALUE_NONE));
    must(out.effect != VALUE_UNCHANGED || out.next.len == 0);
    if (out.delta.len > 0) {
        struct buf patched = {0};
        must(value_patch(now, now_len, out.delta.data, out.delta.len, &patched) == 0);
        same(&patched, out.next.data, out.next.len);
        buf_deinit(&patched);
    }
    value_outcome_deinit(&out);
}

static void patch(const uint8_t *now, size_t now_len, const uint8_t *data, size_t len)
{
    struct value value;
    struct buf patched = {0};
    if (value_decode(now, now_len, &value) != 0)
        return;
    if (value_patch(now, now_len, data, len, &patched) == 0)
        must(value_decode(patched.data, patched.len, &value) == 0);
    buf_deinit(&patched);
}

static void text(uint8_t type, const uint8_t *data, size_t len)
{
    struct buf parsed = {0};
    struct buf printed = {0};
    struct buf again = {0};
    if (value_parse("x", type, (const char *)data, len, &parsed) == 0) {
        must(value_print(type, parsed.data, parsed.len, &printed) == 0);
        must(value_parse("x", type, (const char *)printed.data, printed.len, &again) == 0);
        same(&again, parsed.data, parsed.len);
    }
    buf_deinit(&parsed);
    buf_deinit(&printed);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3)
        return 0;
    uint8_t what = data[0] % 5;
    bool two = what == 2 || what == 4;
    size_t head = two ? 3 : what == 3 ? 2 : 1;
    size_t first = two ? get_le16(data + 1) : 0;
    if (first > len - head)
        return 0;
    uint8_t *now = fuzz_copy(data + head, first);
    uint8_t *rest = fuzz_copy(data + head + first, len - head - first);
    size_t rest_len = len - head - first;
    if (what == 0)
        a_value(rest, rest_len);
    else if (what == 1)
        an_operation(rest, rest_len);
    else if (what == 2)
        patch(now, first, rest, rest_len);
    else if (what == 3)
        text(data[1], rest, rest_len);
    else
        apply(now, first, rest, rest_len);
    free(now);
    free(rest);
    return 0;
}
