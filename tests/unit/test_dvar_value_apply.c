/*
 * What operations make of values: each rule by itself, then all of them at random against a model
 * that keeps an array of elements and nothing clever.
 */
#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"
#include "lib/test.h"

/* ---- a variable that operations are applied to ---- */

struct var {
    struct buf bytes;
    uint64_t version;
    struct value_outcome out;
};

static const struct value_stamp stamp = {.writer = {{1}}, .time_ms = 1700000000000};

static int apply(struct var *v, const struct value_op *op)
{
    struct value_current current = {
        .bytes = v->bytes.data, .len = v->bytes.len, .version = v->version};
    struct value checked;
    assert_int_equal(value_op_check("v", op), 0);
    int r = value_apply("v", &current, op, &stamp, &v->out);
    assert_int_equal(r, v->out.code);
    assert_int_equal(value_decode(v->out.next.data, v->out.next.len, &checked), 0);
    if (v->out.effect == VALUE_UNCHANGED) {
        assert_int_equal(v->out.next.len, 0);
        assert_int_equal(v->out.delta.len, 0);
        return r;
    }
    assert_int_equal(checked.type == VALUE_NONE, v->out.effect == VALUE_REMOVED);
    if (v->out.delta.len > 0) {
        struct buf patched = {0};
        assert_true(v->out.delta.len < v->out.next.len);
        assert_int_equal(
            value_patch(v->bytes.data, v->bytes.len, v->out.delta.data, v->out.delta.len, &patched),
            0);
        assert_int_equal(patched.len, v->out.next.len);
        assert_memory_equal(patched.data, v->out.next.data, patched.len);
        buf_deinit(&patched);
    }
    v->bytes.len = 0;
    assert_int_equal(buf_append(&v->bytes, v->out.next.data, v->out.next.len), 0);
    v->version++;
    return r;
}

static struct value now(const struct var *v)
{
    return value_view(v->bytes.data, v->bytes.len);
}

static void var_deinit(struct var *v)
{
    buf_deinit(&v->bytes);
    value_outcome_deinit(&v->out);
}

static struct value_op op_of(uint8_t kind, uint8_t type, const void *data, size_t len)
{
    return (struct value_op){.kind = kind, .type = type, .data = data, .data_len = len};
}

static struct value_op set_text(const char *text)
{
    return op_of(VALUE_OP_SET, VALUE_TEXT, text, strlen(text));
}

static struct value_op add(int64_t delta)
{
    return (struct value_op){.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = delta};
}

static struct value_op under(struct value_op op, const char *mutex, uint64_t fence)
{
    op.flags |= VALUE_OP_FENCE;
    op.mutex = mutex;
    op.mutex_len = (uint8_t)strlen(mutex);
    op.fence = fence;
    return op;
}

static void holds_text(const struct var *v, const char *text)
{
    struct value value = now(v);
    assert_int_equal(value.type, VALUE_TEXT);
    assert_int_equal(value.len, strlen(text));
    if (value.len > 0)
        assert_memory_equal(value.data, text, value.len);
}

static const struct value_op get = {.kind = VALUE_OP_GET};
static const struct value_op del = {.kind = VALUE_OP_DELETE};

/* ---- rules ---- */

static void set_creates_and_get_reads(void **state)
{
    struct var v = {0};
    (void)state;
    assert_int_equal(apply(&v, &get), KITH_E_NOT_FOUND);
    assert_non_null(strstr(kith_errmsg(), "no variable v"));
    struct value_op op = set_text("one");
    op.flags = VALUE_OP_NO_CREATE;
    assert_int_equal(apply(&v, &op), KITH_E_NOT_FOUND);
    op.flags = 0;
    op.policy = VALUE_DURABLE;
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    holds_text(&v, "one");
    struct value value = now(&v);
    assert_int_equal(value.policy, VALUE_DURABLE);
    assert_int_equal(value.time_ms, stamp.time_ms);
    assert_memory_equal(&value.writer, &stamp.writer, sizeof(stamp.writer));
    op = set_text("two"); /* the policy was fixed at creation */
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(now(&v).policy, VALUE_DURABLE);
    assert_int_equal(apply(&v, &get), 0);
    assert_int_equal(v.out.effect, VALUE_UNCHANGED);
    assert_int_equal(v.out.type, VALUE_TEXT);
    assert_memory_equal(v.out.data.data, "two", 3);
    var_deinit(&v);
}

static void another_type_is_an_error_that_names_both(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = set_text("one");
    assert_int_equal(apply(&v, &op), 0);
    uint8_t eight[8] = {0};
    struct value_op wrong[] = {
        op_of(VALUE_OP_SET, VALUE_I64, eight, 8),
        op_of(VALUE_OP_CAS_VERSION, VALUE_I64, eight, 8),
        op_of(VALUE_OP_CAS_VALUE, VALUE_I64, eight, 8),
        add(1),
    };
    wrong[1].expect_version = v.version;
    wrong[2].expect_type = VALUE_I64;
    wrong[2].expect = eight;
    wrong[2].expect_len = 8;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(apply(&v, &wrong[i]), KITH_E_TYPE);
        assert_int_equal(v.out.effect, VALUE_UNCHANGED);
        assert_non_null(strstr(kith_errmsg(), "text"));
        assert_non_null(strstr(kith_errmsg(), "i64"));
    }
    holds_text(&v, "one");
    var_deinit(&v);
}

static void create_makes_the_default_and_tells_what_is_there(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = op_of(VALUE_OP_CREATE, VALUE_F64, NULL, 0);
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    assert_int_equal(now(&v).len, 8);
    assert_int_equal(apply(&v, &op), 0); /* as it is wanted */
    assert_false(v.out.applied);
    assert_int_equal(v.out.effect, VALUE_UNCHANGED);
    op.flags = VALUE_OP_IF_ABSENT;
    assert_int_equal(apply(&v, &op), KITH_E_EXISTS);
    op = op_of(VALUE_OP_CREATE, VALUE_I64, NULL, 0);
    assert_int_equal(apply(&v, &op), KITH_E_EXISTS);
    assert_non_null(strstr(kith_errmsg(), "f64"));
    assert_non_null(strstr(kith_errmsg(), "i64"));
    op = op_of(VALUE_OP_CREATE, VALUE_F64, NULL, 0);
    op.policy = VALUE_DURABLE;
    assert_int_equal(apply(&v, &op), KITH_E_EXISTS);
    assert_non_null(strstr(kith_errmsg(), "durable"));
    var_deinit(&v);
}

static void cas_sets_only_what_was_expected(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = op_of(VALUE_OP_CAS_VERSION, VALUE_TEXT, "a", 1);
    op.expect_version = 5;
    assert_int_equal(apply(&v, &op), 0); /* absent is version 0 */
    assert_false(v.out.applied);
    assert_int_equal(v.out.type, VALUE_NONE);
    op.expect_version = 0;
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    assert_int_equal(apply(&v, &op), 0);
    assert_false(v.out.applied);
    assert_memory_equal(v.out.data.data, "a", 1); /* what was found */
    op.expect_version = v.version;
    op.data = (const uint8_t *)"b";
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    holds_text(&v, "b");

    op = op_of(VALUE_OP_CAS_VALUE, VALUE_TEXT, "c", 1);
    op.expect_type = VALUE_TEXT;
    op.expect = (const uint8_t *)"a";
    op.expect_len = 1;
    assert_int_equal(apply(&v, &op), 0);
    assert_false(v.out.applied);
    op.expect = (const uint8_t *)"b";
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    holds_text(&v, "c");
    /* Deletes, if so it is; and creates. */
    op = op_of(VALUE_OP_CAS_VALUE, VALUE_NONE, NULL, 0);
    op.expect_type = VALUE_TEXT;
    op.expect = (const uint8_t *)"c";
    op.expect_len = 1;
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_REMOVED);
    assert_int_equal(v.bytes.len, 0);
    op.expect_type = VALUE_NONE;
    op.expect_len = 0;
    assert_int_equal(apply(&v, &op), 0); /* absent as expected, and stays so */
    assert_true(v.out.applied);
    assert_int_equal(v.out.effect, VALUE_UNCHANGED);
    op.type = VALUE_TEXT;
    assert_int_equal(apply(&v, &op), 0);
    holds_text(&v, "");
    var_deinit(&v);
}

static void add_creates_zero_and_refuses_to_overflow(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = add(5);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.number, 5);
    op = add(-7);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.number, -2);
    op = add(INT64_MIN);
    assert_int_equal(apply(&v, &op), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "v, which is i64"));
    assert_int_equal((int64_t)get_le64(now(&v).data), -2);
    op = (struct value_op){.kind = VALUE_OP_ADD, .type = VALUE_F64, .delta_f64 = 1};
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    assert_int_equal(apply(&v, &del), 0);
    op.delta_f64 = 1.5e308;
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.number_f64 == 1.5e308);
    assert_int_equal(apply(&v, &op), KITH_E_LIMIT);
    op.flags = VALUE_OP_NO_CREATE;
    assert_int_equal(apply(&v, &del), 0);
    assert_int_equal(apply(&v, &op), KITH_E_NOT_FOUND);
    op = op_of(VALUE_OP_SET, VALUE_BOOL, "\1", 1);
    assert_int_equal(apply(&v, &op), 0);
    op = add(1);
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    assert_non_null(strstr(kith_errmsg(), "nothing can be added"));
    var_deinit(&v);
}

static void a_constant_is_written_once(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = op_of(VALUE_OP_ONCE, VALUE_TEXT, "pi", 2);
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    op = op_of(VALUE_OP_ONCE, VALUE_TEXT, "tau", 3);
    assert_int_equal(apply(&v, &op), 0);
    assert_false(v.out.applied);
    assert_int_equal(v.out.data.len, 2);
    assert_memory_equal(v.out.data.data, "pi", 2);
    op.type = VALUE_BYTES;
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    op = set_text("x");
    assert_int_equal(apply(&v, &op), KITH_E_EXISTS);
    assert_int_equal(apply(&v, &del), KITH_E_EXISTS);
    holds_text(&v, "pi");
    op = del;
    op.flags = VALUE_OP_FORCE;
    assert_int_equal(apply(&v, &op), 0);
    op = set_text("x");
    assert_int_equal(apply(&v, &op), 0);
    op = op_of(VALUE_OP_ONCE, VALUE_TEXT, "pi", 2);
    assert_int_equal(apply(&v, &op), KITH_E_EXISTS);
    var_deinit(&v);
}

/* ---- fences (hole 35) ---- */

static void a_lower_fence_is_refused(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = under(set_text("first"), "m", 7);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(now(&v).fence, 7);
    op = under(set_text("stale"), "m", 6);
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    assert_non_null(strstr(kith_errmsg(), "7"));
    holds_text(&v, "first");
    op = under(set_text("again"), "m", 7);
    assert_int_equal(apply(&v, &op), 0);
    op = under(set_text("other"), "n", 100);
    assert_int_equal(apply(&v, &op), KITH_E_PERMISSION);
    assert_non_null(strstr(kith_errmsg(), "mutex m, not n"));
    op.flags |= VALUE_OP_FORCE;
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(now(&v).fence, 100);
    assert_int_equal(now(&v).mutex[0], 'n');
    op = set_text("plain"); /* allowed, unless it was created guarded */
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(now(&v).fence, 100);
    var_deinit(&v);
}

static void a_read_under_a_fence_shuts_out_the_holder_before(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = under(set_text("a value that is long enough for a delta to pay"), "m", 5);
    assert_int_equal(apply(&v, &op), 0);
    op = under(get, "m", 6);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_CHANGED);
    assert_true(v.out.delta.len > 0);
    assert_int_equal(now(&v).len, 46);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_UNCHANGED); /* the same fence again is a plain read */
    op = under(set_text("late"), "m", 5);
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    /* A CAS that finds something else remembers, too. */
    op = under(op_of(VALUE_OP_CAS_VERSION, VALUE_TEXT, "x", 1), "m", 8);
    op.expect_version = 1000;
    assert_int_equal(apply(&v, &op), 0);
    assert_false(v.out.applied);
    assert_int_equal(v.out.effect, VALUE_CHANGED);
    assert_int_equal(now(&v).fence, 8);
    /* One that is refused does not. */
    op = under(op_of(VALUE_OP_SET, VALUE_BOOL, "\1", 1), "m", 9);
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    assert_int_equal(now(&v).fence, 8);
    var_deinit(&v);
}

static void the_last_of_a_section_leaves_its_fence_to_the_next(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = under(set_text("first"), "m", 5);
    op.flags |= VALUE_OP_LAST;
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(now(&v).fence, 6);
    op = under(set_text("late"), "m", 5); /* its own included */
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    op = under(get, "m", 5);
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    op = under(get, "m", 6);
    struct value value = now(&v);
    assert_true(value_op_is_read_of(&op, &value));
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_UNCHANGED);
    holds_text(&v, "first");
    op = under(get, "n", 6); /* another mutex, another fence, and what writes are not such reads */
    assert_false(value_op_is_read_of(&op, &value));
    op = under(get, "m", 7);
    assert_false(value_op_is_read_of(&op, &value));
    op = under(set_text("x"), "m", 6);
    assert_false(value_op_is_read_of(&op, &value));
    op = under(get, "m", 6);
    op.flags |= VALUE_OP_LAST; /* a section that only reads may end by a read */
    assert_false(value_op_is_read_of(&op, &value));
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_CHANGED);
    assert_int_equal(now(&v).fence, 7);
    holds_text(&v, "first");
    op = under(del, "m", UINT64_MAX); /* there is no next one */
    op.flags |= VALUE_OP_LAST;
    assert_int_equal(apply(&v, &op), 0);
    assert_true(now(&v).fence == UINT64_MAX);
    op = set_text("x");
    op.flags |= VALUE_OP_LAST;
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    var_deinit(&v);
}

static void a_fence_outlives_its_variable(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = under(get, "m", 6);
    assert_int_equal(apply(&v, &op), KITH_E_NOT_FOUND);
    assert_int_equal(v.out.effect, VALUE_REMOVED);
    assert_int_equal(now(&v).type, VALUE_NONE);
    assert_int_equal(now(&v).fence, 6);
    op = under(set_text("late"), "m", 5);
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    op = under(add(1), "m", 6);
    assert_int_equal(apply(&v, &op), 0);
    op = under(del, "m", 7);
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.effect, VALUE_REMOVED);
    op = under(add(1), "m", 6);
    assert_int_equal(apply(&v, &op), KITH_E_FENCE);
    op = op_of(VALUE_OP_CAS_VERSION, VALUE_TEXT, "x", 1); /* absent is version 0 still */
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.applied);
    assert_int_equal(now(&v).fence, 7);
    var_deinit(&v);
}

static void what_was_created_guarded_takes_no_plain_writes(void **state)
{
    struct var v = {0};
    (void)state;
    struct value_op op = set_text("x");
    op.flags = VALUE_OP_GUARDED;
    assert_int_equal(apply(&v, &op), 0);
    op = set_text("y");
    assert_int_equal(apply(&v, &op), KITH_E_PERMISSION);
    assert_int_equal(apply(&v, &del), KITH_E_PERMISSION);
    assert_int_equal(apply(&v, &get), 0);
    op = under(op, "m", 1);
    assert_int_equal(apply(&v, &op), 0);
    op = set_text("z");
    assert_int_equal(apply(&v, &op), KITH_E_PERMISSION);
    assert_non_null(strstr(kith_errmsg(), "acquire m "));
    var_deinit(&v);
}

/* ---- arrays ---- */

static void a_slice_travels_alone(void **state)
{
    struct var v = {0};
    static int64_t numbers[1000];
    int64_t three[3] = {7, 8, 9};
    (void)state;
    struct value_op op = op_of(VALUE_OP_SET, VALUE_ARRAY | VALUE_I64, numbers, sizeof(numbers));
    assert_int_equal(apply(&v, &op), 0);
    op = op_of(VALUE_OP_SLICE_SET, VALUE_ARRAY | VALUE_I64, three, sizeof(three));
    op.index = 997;
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.delta.len <= 41 + sizeof(three)); /* of 8,032 bytes */
    op.index = 998;
    assert_int_equal(apply(&v, &op), KITH_E_INVALID);
    assert_non_null(strstr(kith_errmsg(), "998 to 1000"));
    op.index = UINT32_MAX;
    assert_int_equal(apply(&v, &op), KITH_E_INVALID);
    op = (struct value_op){.kind = VALUE_OP_SLICE_GET, .index = 996, .count = 4};
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.type, VALUE_ARRAY | VALUE_I64);
    assert_int_equal(v.out.data.len, 32);
    assert_memory_equal((const uint8_t *)v.out.data.data + 8, three, sizeof(three));
    op.count = 5;
    assert_int_equal(apply(&v, &op), KITH_E_INVALID);
    op.index = 1000;
    op.count = 0;
    assert_int_equal(apply(&v, &op), 0);
    assert_int_equal(v.out.data.len, 0);
    op = (struct value_op){.kind = VALUE_OP_RESIZE, .count = DVAR_DATA_BYTES_MAX / 8};
    assert_int_equal(apply(&v, &op), 0);
    assert_true(v.out.delta.len <= 41);
    op.count++;
    assert_int_equal(apply(&v, &op), KITH_E_TOO_LARGE);
    op.count = UINT32_MAX;
    assert_int_equal(apply(&v, &op), KITH_E_TOO_LARGE);
    op = op_of(VALUE_OP_SLICE_SET, VALUE_ARRAY | VALUE_F64, three, sizeof(three));
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    assert_int_equal(apply(&v, &del), 0);
    assert_int_equal(apply(&v, &op), KITH_E_NOT_FOUND);
    op = set_text("x");
    assert_int_equal(apply(&v, &op), 0);
    op = (struct value_op){.kind = VALUE_OP_RESIZE, .count = 1};
    assert_int_equal(apply(&v, &op), KITH_E_TYPE);
    var_deinit(&v);
}

static void a_table_of_texts_cannot_outgrow_the_limit(void **state)
{
    struct var v = {0};
    struct buf data = {0};
    static char big[DVAR_DATA_BYTES_MAX - 12];
    (void)state;
    memset(big, 'x', sizeof(big));
    struct kith_bytes two[] = {{"", 0}, {big, sizeof(big)}};
    assert_int_equal(value_data_build("v", two, 2, &data), 0);
    struct value_op op = op_of(VALUE_OP_SET, VALUE_ARRAY | VALUE_TEXT, data.data, data.len);
    assert_int_equal(apply(&v, &op), 0);
    struct kith_bytes one = {"y", 1};
    assert_int_equal(value_data_build("v", &one, 1, &data), 0);
    op = op_of(VALUE_OP_SLICE_SET, VALUE_ARRAY | VALUE_TEXT, data.data, data.len);
    assert_int_equal(apply(&v, &op), KITH_E_TOO_LARGE);
    op.index = 1; /* the long one becomes short */
    assert_int_equal(apply(&v, &op), 0);
    op = (struct value_op){.kind = VALUE_OP_RESIZE, .count = (DVAR_DATA_BYTES_MAX - 4) / 4};
    assert_int_equal(apply(&v, &op), KITH_E_TOO_LARGE); /* its one byte is too much */
    op.count--;
    assert_int_equal(apply(&v, &op), 0);
    buf_deinit(&data);
    var_deinit(&v);
}

static void a_delta_for_another_value_is_refused(void **state)
{
    struct var v = {0};
    struct buf patched = {0};
    static int64_t numbers[100];
    (void)state;
    struct value_op op = op_of(VALUE_OP_SET, VALUE_ARRAY | VALUE_I64, numbers, sizeof(numbers));
    assert_int_equal(apply(&v, &op), 0);
    struct buf before = {0};
    assert_int_equal(buf_append(&before, v.bytes.data, v.bytes.len), 0);
    op = (struct value_op){.kind = VALUE_OP_RESIZE, .count = 99};
    assert_int_equal(apply(&v, &op), 0);
    const struct buf *delta = &v.out.delta;
    assert_int_equal(value_patch(v.bytes.data, v.bytes.len, delta->data, delta->len, &patched),
                     KITH_E_CORRUPT);
    assert_int_equal(value_patch(NULL, 0, delta->data, delta->len, &patched), KITH_E_CORRUPT);
    for (size_t len = 0; len < delta->len; len++)
        assert_int_equal(value_patch(before.data, before.len, delta->data, len, &patched),
                         KITH_E_CORRUPT);
    assert_int_equal(patched.len, 0);
    assert_int_equal(value_patch(before.data, before.len, delta->data, delta->len, &patched), 0);
    buf_deinit(&before);
    buf_deinit(&patched);
    var_deinit(&v);
}

/* ---- operations as bytes ---- */

static void operations_that_cannot_be_are_refused_before_they_are_sent(void **state)
{
    (void)state;
    uint8_t eight[8] = {0};
    struct value_op op = op_of(99, VALUE_I64, eight, 8);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_SET, VALUE_NONE, NULL, 0);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_SET, VALUE_I64, eight, 7);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_SET, VALUE_I64, eight, 8);
    op.policy = VALUE_AVAILABLE;
    assert_int_equal(value_op_check("v", &op), KITH_E_UNSUPPORTED);
    op.policy = 3;
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_ADD, VALUE_TEXT, NULL, 0);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = (struct value_op){.kind = VALUE_OP_ADD, .type = VALUE_F64, .delta_f64 = 1e308 * 10};
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_GET, VALUE_NONE, eight, 1);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = under(get, "", 1);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = get;
    op.flags = 0x80;
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_CAS_VALUE, VALUE_NONE, eight, 8);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_CAS_VALUE, VALUE_NONE, NULL, 0);
    op.expect_len = 3;
    op.expect = eight;
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
    op = op_of(VALUE_OP_SLICE_SET, VALUE_I64, eight, 8);
    assert_int_equal(value_op_check("v", &op), KITH_E_INVALID);
}

static void operations_read_back_from_their_bytes(void **state)
{
    struct buf bytes = {0};
    struct value_op again;
    (void)state;
    struct value_op op = under(op_of(VALUE_OP_CAS_VALUE, VALUE_TEXT, "new", 3), "lock", 42);
    op.expect_type = VALUE_TEXT;
    op.expect = (const uint8_t *)"older";
    op.expect_len = 5;
    op.policy = VALUE_DURABLE;
    assert_int_equal(value_op_encode(&op, &bytes), 0);
    assert_int_equal(value_op_decode(bytes.data, bytes.len, &again), 0);
    assert_int_equal(again.kind, VALUE_OP_CAS_VALUE);
    assert_int_equal(again.policy, VALUE_DURABLE);
    assert_int_equal(again.fence, 42);
    assert_int_equal(again.mutex_len, 4);
    assert_memory_equal(again.mutex, "lock", 4);
    assert_int_equal(again.expect_type, VALUE_TEXT);
    assert_int_equal(again.expect_len, 5);
    assert_memory_equal(again.expect, "older", 5);
    assert_int_equal(again.data_len, 3);
    assert_memory_equal(again.data, "new", 3);
    /* Cut short it is damaged, or an operation with less data. */
    for (size_t len = 0; len < bytes.len - 3; len++)
        assert_int_equal(value_op_decode(bytes.data, len, &again), KITH_E_CORRUPT);
    bytes.len = 0;
    op = add(-3);
    assert_int_equal(value_op_encode(&op, &bytes), 0);
    assert_int_equal(value_op_decode(bytes.data, bytes.len, &again), 0);
    assert_int_equal(again.delta, -3);
    bytes.len = 0;
    op = (struct value_op){.kind = VALUE_OP_ADD, .type = VALUE_F64, .delta_f64 = -0.25};
    assert_int_equal(value_op_encode(&op, &bytes), 0);
    assert_int_equal(value_op_decode(bytes.data, bytes.len, &again), 0);
    assert_true(again.delta_f64 == -0.25);
    bytes.len = 0;
    op = (struct value_op){.kind = VALUE_OP_CAS_VERSION, .expect_version = UINT64_MAX - 1};
    assert_int_equal(value_op_encode(&op, &bytes), 0);
    assert_int_equal(value_op_decode(bytes.data, bytes.len, &again), 0);
    assert_true(again.expect_version == UINT64_MAX - 1);
    assert_true(value_op_is_read(&get));
    assert_false(value_op_is_read(&del));
    buf_deinit(&bytes);
}

/* ---- memory ---- */

static void memory_that_is_short_changes_nothing(void **state)
{
    (void)state;
    struct value_op set = under(op_of(VALUE_OP_SET, VALUE_ARRAY | VALUE_BOOL, "\1\1\1", 3), "m", 1);
    struct value_op part =
        under(op_of(VALUE_OP_SLICE_SET, VALUE_ARRAY | VALUE_BOOL, "\0", 1), "m", 2);
    for (uint64_t n = 1; n <= 3; n++) {
        struct value_outcome out = {0};
        struct value_current current = {0};
        core_alloc_fail_at(n == 1 ? 1 : 0);
        int r = value_apply("v", &current, &set, &stamp, &out);
        core_alloc_fail_at(0);
        if (n == 1) {
            assert_int_equal(r, KITH_E_MEMORY);
            assert_int_equal(out.effect, VALUE_UNCHANGED);
            assert_int_equal(out.next.len, 0);
            value_outcome_deinit(&out);
            continue;
        }
        struct value_outcome second = {0};
        current = (struct value_current){.bytes = out.next.data, .len = out.next.len};
        core_alloc_fail_at(n - 1);
        r = value_apply("v", &current, &part, &stamp, &second);
        core_alloc_fail_at(0);
        assert_int_equal(r, KITH_E_MEMORY);
        assert_int_equal(second.effect, VALUE_UNCHANGED);
        assert_int_equal(second.next.len, 0);
        value_outcome_deinit(&out);
        value_outcome_deinit(&second);
    }
}

/* ---- against a model ---- */

#define MODEL_ELEMENTS_MAX 24
#define MODEL_BYTES_MAX    12

struct model {
    uint32_t n;
    uint8_t len[MODEL_ELEMENTS_MAX];
    char element[MODEL_ELEMENTS_MAX][MODEL_BYTES_MAX];
};

static uint8_t width_of(uint8_t type)
{
    return type == VALUE_BYTES || type == (VALUE_ARRAY | VALUE_BOOL) ? 1
           : type == (VALUE_ARRAY | VALUE_I64)                       ? 8
                                                                     : 0;
}

static void random_element(struct rng *rng, uint8_t type, struct model *m, uint32_t i)
{
    uint8_t width = width_of(type);
    m->len[i] = width > 0 ? width : (uint8_t)rng_below(rng, MODEL_BYTES_MAX + 1);
    for (uint8_t k = 0; k < m->len[i]; k++)
        m->element[i][k] =
            (char)(type == (VALUE_ARRAY | VALUE_BOOL) ? rng_below(rng, 2) : rng_below(rng, 128));
}

static void random_model(struct rng *rng, uint8_t type, uint32_t n, struct model *m)
{
    m->n = n;
    for (uint32_t i = 0; i < n; i++)
        random_element(rng, type, m, i);
}

static void data_of(uint8_t type, const struct model *m, struct buf *data)
{
    struct kith_bytes elements[MODEL_ELEMENTS_MAX];
    for (uint32_t i = 0; i < m->n; i++)
        elements[i] = (struct kith_bytes){m->element[i], m->len[i]};
    data->len = 0;
    if (width_of(type) == 0) {
        assert_int_equal(value_data_build("v", elements, m->n, data), 0);
        return;
    }
    for (uint32_t i = 0; i < m->n; i++)
        assert_int_equal(buf_append(data, elements[i].data, elements[i].len), 0);
}

static void equals_model(uint8_t type, const void *data, size_t len, const struct model *m)
{
    struct buf want = {0};
    data_of(type, m, &want);
    assert_int_equal(len, want.len);
    if (len > 0)
        assert_memory_equal(data, want.data, len);
    buf_deinit(&want);
}

static void model_step(struct rng *rng, struct var *v, uint8_t type, struct model *m)
{
    struct buf data = {0};
    struct value_op op = {0};
    struct model part;
    uint32_t n = (uint32_t)rng_below(rng, MODEL_ELEMENTS_MAX + 1);
    uint32_t index = (uint32_t)rng_below(rng, MODEL_ELEMENTS_MAX + 1);
    bool fits = index + n <= m->n;
    switch (rng_below(rng, 8)) {
    case 0:
        random_model(rng, type, n, m);
        data_of(type, m, &data);
        op = op_of(VALUE_OP_SET, type, data.data, data.len);
        assert_int_equal(apply(v, &op), 0);
        break;
    case 1:
        op = (struct value_op){.kind = VALUE_OP_RESIZE, .count = n};
        assert_int_equal(apply(v, &op), 0);
        for (uint32_t i = m->n; i < n; i++) {
            m->len[i] = width_of(type);
            memset(m->element[i], 0, sizeof(m->element[i]));
        }
        m->n = n;
        break;
    case 2:
    case 3:
        op = (struct value_op){.kind = VALUE_OP_SLICE_GET, .index = index, .count = n};
        assert_int_equal(apply(v, &op), fits ? 0 : KITH_E_INVALID);
        if (!fits)
            break;
        part.n = n;
        memcpy(part.len, m->len + index, n);
        memcpy(part.element, m->element + index, n * sizeof(m->element[0]));
        equals_model(type, v->out.data.data, v->out.data.len, &part);
        break;
    default:
        n = (uint32_t)rng_below(rng, 4);
        fits = index + n <= m->n;
        random_model(rng, type, n, &part);
        data_of(type, &part, &data);
        op = op_of(VALUE_OP_SLICE_SET, type, data.data, data.len);
        op.index = index;
        if (rng_below(rng, 4) == 0)
            op = under(op, "m", v->version);
        assert_int_equal(apply(v, &op), fits ? 0 : KITH_E_INVALID);
        if (!fits)
            break;
        memcpy(m->len + index, part.len, n);
        memcpy(m->element + index, part.element, n * sizeof(m->element[0]));
        break;
    }
    buf_deinit(&data);
}

static void arrays_do_what_the_model_does(void **state)
{
    static const uint8_t types[] = {VALUE_BYTES, VALUE_ARRAY | VALUE_I64, VALUE_ARRAY | VALUE_BOOL,
                                    VALUE_ARRAY | VALUE_BYTES, VALUE_ARRAY | VALUE_TEXT};
    struct rng rng = test_rng();
    (void)state;
    for (size_t t = 0; t < sizeof(types); t++) {
        struct var v = {0};
        struct model m = {0};
        struct value_op op = op_of(VALUE_OP_CREATE, types[t], NULL, 0);
        assert_int_equal(apply(&v, &op), 0);
        for (unsigned step = 0; step < 4000; step++) {
            model_step(&rng, &v, types[t], &m);
            struct value value = now(&v);
            equals_model(types[t], value.data, value.len, &m);
        }
        var_deinit(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_creates_and_get_reads),
        cmocka_unit_test(another_type_is_an_error_that_names_both),
        cmocka_unit_test(create_makes_the_default_and_tells_what_is_there),
        cmocka_unit_test(cas_sets_only_what_was_expected),
        cmocka_unit_test(add_creates_zero_and_refuses_to_overflow),
        cmocka_unit_test(a_constant_is_written_once),
        cmocka_unit_test(a_lower_fence_is_refused),
        cmocka_unit_test(a_read_under_a_fence_shuts_out_the_holder_before),
        cmocka_unit_test(the_last_of_a_section_leaves_its_fence_to_the_next),
        cmocka_unit_test(a_fence_outlives_its_variable),
        cmocka_unit_test(what_was_created_guarded_takes_no_plain_writes),
        cmocka_unit_test(a_slice_travels_alone),
        cmocka_unit_test(a_table_of_texts_cannot_outgrow_the_limit),
        cmocka_unit_test(a_delta_for_another_value_is_refused),
        cmocka_unit_test(operations_that_cannot_be_are_refused_before_they_are_sent),
        cmocka_unit_test(operations_read_back_from_their_bytes),
        cmocka_unit_test(memory_that_is_short_changes_nothing),
        cmocka_unit_test(arrays_do_what_the_model_does),
    };
    return cmocka_run_group_tests_name("dvar_value_apply", tests, NULL, NULL);
}
