/*
 * States of available variables: what each merge kind makes of two sides, and the laws of the join
 * on states that came about at random.
 */
#include "dvar/avail_state.h"

#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"
#include "lib/test.h"

static struct boot_id ids[4];

static struct state_who who(unsigned i, uint64_t wall_ms)
{
    ids[i].node.bytes[0] = (uint8_t)(i + 1);
    ids[i].boot_no = 1;
    return (struct state_who){.self = &ids[i], .wall_ms = wall_ms};
}

static struct state view(const struct buf *b)
{
    return state_view(b->data, b->len);
}

static void replace(struct buf *to, struct buf *by)
{
    struct state checked;
    if (state_decode(by->data, by->len, &checked) != 0)
        fail_msg("%s", kith_errmsg());
    buf_deinit(to);
    *to = *by;
    *by = (struct buf){0};
}

static void create(struct buf *b, uint8_t merge, uint8_t type, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    assert_int_equal(state_create(&now, merge, type, &w, &out), 0);
    replace(b, &out);
}

static void write_bytes(struct buf *b, const void *data, size_t len, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    struct kith_bytes bytes = {data, len};
    assert_int_equal(state_write(&now, &bytes, &w, &out), 0);
    replace(b, &out);
}

static void write_i64(struct buf *b, int64_t value, struct state_who w)
{
    uint8_t data[8];
    put_le64(data, (uint64_t)value);
    write_bytes(b, data, 8, w);
}

static void add(struct buf *b, int64_t delta, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    assert_int_equal(state_add(&now, delta, &w, &out), 0);
    replace(b, &out);
}

static void edit(struct buf *b, const char *in, const char *out_item, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    struct kith_bytes add_item = {in, in != NULL ? strlen(in) : 0};
    struct kith_bytes drop_item = {out_item, out_item != NULL ? strlen(out_item) : 0};
    struct state_items items = {
        .add = &add_item, .add_n = in != NULL, .drop = &drop_item, .drop_n = out_item != NULL};
    assert_int_equal(state_edit(&now, &items, &w, &out), 0);
    replace(b, &out);
}

static void keep(struct buf *b, const char *text, struct kith_bytes context, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    struct kith_bytes item = {text, strlen(text)};
    struct state_items items = {.add = &item, .add_n = 1, .drop_covered = true, .context = context};
    assert_int_equal(state_edit(&now, &items, &w, &out), 0);
    replace(b, &out);
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_deinit(to);
    assert_int_equal(buf_append(to, from->data, from->len), 0);
}

static void join(struct buf *into, const struct buf *other)
{
    struct buf out = {0};
    assert_int_equal(state_join(into->data, into->len, other->data, other->len, &out), 0);
    replace(into, &out);
}

static void delete (struct buf *b, struct state_who w)
{
    struct buf out = {0};
    struct state now = view(b);
    assert_int_equal(state_delete(&now, &w, &out), 0);
    replace(b, &out);
    now = view(b);
    assert_false(state_is_alive(&now));
}

static void same(const struct buf *a, const struct buf *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

/* Both meet, each way round; the result stands in @a. */
static void meet(struct buf *a, struct buf *b)
{
    struct buf other = {0};
    copy(&other, b);
    join(&other, a);
    join(a, b);
    same(a, &other);
    replace(b, &other);
}

static void holds(const struct buf *b, const char *items)
{
    char text[256] = "";
    struct state s = view(b);
    struct kith_bytes item;
    for (size_t at = 0; state_item(&s, &at, &item);)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s ", (int)item.len,
                       (const char *)item.data);
    assert_string_equal(text, items);
}

#define SET_TYPE (VALUE_ARRAY | VALUE_TEXT)

static void the_later_write_wins_however_often_the_other_side_wrote(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    create(&a, AVAIL_LWW, VALUE_I64, who(0, 1000));
    copy(&b, &a);
    for (int i = 0; i < 100; i++)
        write_i64(&a, i, who(0, 2000));
    write_i64(&b, -1, who(1, 2001));
    meet(&a, &b);
    struct state s = view(&a);
    assert_int_equal((int64_t)get_le64(state_data(&s).data), -1);
    /* A clock that is behind follows what it has seen. */
    write_i64(&a, 7, who(2, 5));
    meet(&a, &b);
    s = view(&b);
    assert_int_equal((int64_t)get_le64(state_data(&s).data), 7);
    /* A deletion is a write; what is written later stands. */
    delete (&a, who(0, 3000));
    write_i64(&b, 8, who(1, 3001));
    meet(&a, &b);
    s = view(&a);
    assert_int_equal((int64_t)get_le64(state_data(&s).data), 8);
    delete (&a, who(0, 4000));
    meet(&a, &b);
    s = view(&b);
    assert_false(state_is_alive(&s));
    buf_deinit(&a);
    buf_deinit(&b);
}

static void maximum_and_minimum_keep_the_furthest(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    create(&a, AVAIL_MAX, VALUE_I64, who(0, 1));
    struct state s = view(&a);
    assert_null(state_data(&s).data);
    copy(&b, &a);
    write_i64(&a, -5, who(0, 1));
    write_i64(&b, -7, who(1, 9));
    meet(&a, &b);
    s = view(&a);
    assert_int_equal((int64_t)get_le64(state_data(&s).data), -5);
    write_i64(&a, -6, who(0, 1));
    s = view(&a);
    assert_int_equal((int64_t)get_le64(state_data(&s).data), -5);
    buf_deinit(&a);
    buf_deinit(&b);
    /* What is no number never stands, in whatever order it comes. */
    const double values[] = {0.0 / 0.0, -0.0, 0.0, 1.5};
    uint8_t data[8];
    for (unsigned kind = AVAIL_MAX; kind <= AVAIL_MIN; kind++) {
        struct buf all[2] = {{0}};
        for (int way = 0; way < 2; way++) {
            create(&all[way], (uint8_t)kind, VALUE_F64, who(0, 1));
            for (int i = 0; i < 4; i++) {
                memcpy(data, &values[way == 0 ? i : 3 - i], 8);
                write_bytes(&all[way], data, 8, who(0, 1));
            }
        }
        same(&all[0], &all[1]);
        s = view(&all[0]);
        double value;
        memcpy(&value, state_data(&s).data, 8);
        assert_true(value == (kind == AVAIL_MAX ? 1.5 : 0.0));
        buf_deinit(&all[0]);
        buf_deinit(&all[1]);
    }
}

static void a_counter_counts_both_sides(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    create(&a, AVAIL_COUNTER, VALUE_I64, who(0, 1));
    create(&b, AVAIL_COUNTER, VALUE_I64, who(1, 2)); /* made on both sides: one counter */
    add(&a, 5, who(0, 1));
    add(&b, -7, who(1, 1));
    add(&b, 1, who(1, 1));
    meet(&a, &b);
    meet(&a, &b);
    struct state s = view(&a);
    assert_int_equal(state_sum(&s), -1);
    assert_int_equal(state_parts(&s), 2);
    struct buf out = {0};
    struct state_who w = who(0, 1);
    assert_int_equal(state_add(&s, INT64_MAX, &w, &out), KITH_E_LIMIT);
    assert_int_equal(state_add(&s, INT64_MIN, &w, &out), KITH_E_LIMIT);
    assert_int_equal(out.len, 0);
    add(&a, -INT64_MAX + 1, who(2, 1));
    s = view(&a);
    assert_true(state_sum(&s) == -INT64_MAX);
    buf_deinit(&out);
    buf_deinit(&a);
    buf_deinit(&b);
}

static void a_set_keeps_what_was_added_while_it_was_removed_elsewhere(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    create(&a, AVAIL_SET, SET_TYPE, who(0, 1));
    edit(&a, "x", NULL, who(0, 1));
    edit(&a, "y", NULL, who(0, 1));
    copy(&b, &a);
    edit(&a, NULL, "x", who(0, 1)); /* seen there, taken away here */
    edit(&a, NULL, "none", who(0, 1));
    edit(&b, "y", NULL, who(1, 1)); /* added again there ... */
    edit(&a, NULL, "y", who(0, 1)); /* ... while removed here */
    edit(&b, "", NULL, who(1, 1));
    holds(&a, "");
    meet(&a, &b);
    holds(&a, " y ");
    /* An item that was there long ago does not come back from an old copy. */
    struct buf old = {0};
    copy(&old, &b);
    edit(&a, NULL, "y", who(2, 1));
    join(&a, &old);
    holds(&a, " ");
    buf_deinit(&old);
    buf_deinit(&a);
    buf_deinit(&b);
}

static void keep_both_keeps_siblings_until_one_replaces_them(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    struct buf context = {0};
    struct kith_bytes here = {0};
    (void)state;
    create(&a, AVAIL_KEEP_BOTH, VALUE_TEXT, who(0, 1));
    keep(&a, "first", here, who(0, 1));
    copy(&b, &a);
    keep(&a, "left", here, who(0, 1));
    struct state s = view(&b);
    assert_int_equal(buf_append(&context, state_context(&s).data, state_context(&s).len), 0);
    assert_true(state_context_check(context.data, context.len));
    keep(&b, "right", here, who(1, 1));
    meet(&a, &b);
    holds(&a, "left right ");
    /* Who read "first" replaces no more than that. */
    keep(&a, "late", (struct kith_bytes){context.data, context.len}, who(2, 1));
    holds(&a, "late left right ");
    keep(&a, "all", here, who(0, 1));
    meet(&a, &b);
    holds(&b, "all ");
    assert_false(state_context_check(context.data, context.len - 1));
    context.data[0]++;
    assert_false(state_context_check(context.data, context.len));
    buf_deinit(&context);
    buf_deinit(&a);
    buf_deinit(&b);
}

static void a_deletion_wins_over_what_happens_meanwhile(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    create(&a, AVAIL_COUNTER, VALUE_I64, who(0, 1));
    add(&a, 3, who(0, 1));
    copy(&b, &a);
    delete (&a, who(0, 5));
    add(&b, 1, who(1, 9));
    meet(&a, &b);
    struct state s = view(&b);
    assert_false(state_is_alive(&s));
    /* Made anew on both sides of another cut: one, from 0. */
    create(&a, AVAIL_COUNTER, VALUE_I64, who(0, 10));
    create(&b, AVAIL_COUNTER, VALUE_I64, who(1, 11));
    add(&a, 1, who(0, 1));
    add(&b, 1, who(1, 1));
    meet(&a, &b);
    s = view(&a);
    assert_int_equal(state_sum(&s), 2);
    /* Another kind begins another life, which stands against what comes from the old one. */
    delete (&a, who(0, 20));
    create(&a, AVAIL_LWW, VALUE_TEXT, who(0, 21));
    add(&b, 1, who(1, 22));
    meet(&a, &b);
    s = view(&b);
    assert_int_equal(s.merge, AVAIL_LWW);
    delete (&a, who(0, 23));
    create(&a, AVAIL_SET, SET_TYPE, who(0, 24));
    meet(&a, &b);
    s = view(&b);
    assert_int_equal(s.merge, AVAIL_SET);
    buf_deinit(&a);
    buf_deinit(&b);
}

static void states_that_lie_are_refused(void **state)
{
    struct buf a = {0};
    struct state s;
    (void)state;
    create(&a, AVAIL_SET, SET_TYPE, who(0, 1));
    edit(&a, "x", NULL, who(0, 1));
    edit(&a, "y", NULL, who(1, 1));
    /* Cut off between its items it is another state, and a good one. */
    const size_t table = 4 + 4 + 2 * 32;
    for (size_t len = 0; len < a.len; len++)
        assert_int_equal(state_decode(a.data, len, &s),
                         len == table || len == table + 8 + 32 + 1 ? 0 : KITH_E_CORRUPT);
    for (size_t at = 0; at < 4; at++) {
        a.data[at] ^= 0x40;
        assert_int_equal(state_decode(a.data, a.len, &s), KITH_E_CORRUPT);
        a.data[at] ^= 0x40;
    }
    a.data[8 + 24] = 0; /* the first boot has given out no number, yet there is its dot */
    assert_int_equal(state_decode(a.data, a.len, &s), KITH_E_CORRUPT);
    a.data[8 + 24] = 1;
    a.data[8] = 9; /* boots out of order */
    assert_int_equal(state_decode(a.data, a.len, &s), KITH_E_CORRUPT);
    a.data[8] = 1;
    assert_int_equal(state_decode(a.data, a.len, &s), 0);
    assert_int_equal(avail_merge_check("x", AVAIL_COUNTER, VALUE_F64), KITH_E_INVALID);
    uint8_t merge;
    for (uint8_t i = 0; i < AVAIL_MERGES_N; i++) {
        assert_int_equal(avail_merge_parse(avail_merge_name(i), &merge), 0);
        assert_int_equal(merge, i);
    }
    assert_int_equal(avail_merge_parse("most", &merge), KITH_E_PARSE);
    buf_deinit(&a);
}

/* ---- laws ---- */

static void change(struct rng *rng, struct buf *b, unsigned me, uint64_t wall_ms)
{
    static const struct {
        uint8_t merge;
        uint8_t type;
    } kinds[] = {{AVAIL_LWW, VALUE_I64}, {AVAIL_MAX, VALUE_I64},        {AVAIL_COUNTER, VALUE_I64},
                 {AVAIL_SET, SET_TYPE},  {AVAIL_KEEP_BOTH, VALUE_TEXT}, {AVAIL_LWW, VALUE_TEXT}};
    struct state_who w = who(me, wall_ms + rng_below(rng, 50));
    struct state s = view(b);
    char item[2] = {(char)('a' + rng_below(rng, 5)), '\0'};
    if (!state_is_alive(&s)) {
        /* Mostly one kind, so that there is something to join. */
        size_t kind = rng_below(rng, 4) == 0 ? rng_below(rng, 6) : wall_ms % 5;
        create(b, kinds[kind].merge, kinds[kind].type, w);
        return;
    }
    if (rng_below(rng, 12) == 0) {
        delete (b, w);
        return;
    }
    switch (s.merge) {
    case AVAIL_LWW:
        if (s.type == VALUE_TEXT) {
            write_bytes(b, item, 1, w);
            return;
        }
        write_i64(b, (int64_t)rng_below(rng, 100), w);
        return;
    case AVAIL_MAX:
        write_i64(b, (int64_t)rng_below(rng, 100), w);
        return;
    case AVAIL_COUNTER:
        add(b, (int64_t)rng_below(rng, 100) - 50, w);
        return;
    case AVAIL_SET:
        if (rng_below(rng, 2) == 0)
            edit(b, item, NULL, w);
        else
            edit(b, NULL, item, w);
        return;
    default:
        keep(b, item, (struct kith_bytes){0}, w);
    }
}

static void join_obeys_its_laws(void **state)
{
    struct rng rng = test_rng();
    (void)state;
    for (uint64_t run = 0; run < 3000; run++) {
        struct buf s[3] = {{0}};
        /* Three copies that change and now and then meet. Each belongs to one boot. */
        for (unsigned step = 0; step < 30; step++) {
            unsigned i = (unsigned)rng_below(&rng, 3);
            if (rng_below(&rng, 4) == 0 && s[i].len > 0)
                join(&s[(i + 1) % 3], &s[i]);
            else
                change(&rng, &s[i], i, run);
        }
        for (unsigned i = 0; i < 3; i++) {
            struct buf left = {0};
            struct buf right = {0};
            const struct buf *a = &s[i];
            const struct buf *b = &s[(i + 1) % 3];
            const struct buf *c = &s[(i + 2) % 3];
            if (a->len == 0 || b->len == 0 || c->len == 0)
                continue;
            copy(&left, a); /* (a + b) + c == a + (b + c) == (c + a) + b */
            join(&left, b);
            join(&left, c);
            copy(&right, b);
            join(&right, c);
            join(&right, a);
            same(&left, &right);
            copy(&right, c);
            join(&right, a);
            join(&right, b);
            same(&left, &right);
            copy(&right, &left); /* again brings nothing */
            join(&right, a);
            join(&right, &left);
            same(&left, &right);
            buf_deinit(&left);
            buf_deinit(&right);
        }
        for (unsigned i = 0; i < 3; i++)
            buf_deinit(&s[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_later_write_wins_however_often_the_other_side_wrote),
        cmocka_unit_test(maximum_and_minimum_keep_the_furthest),
        cmocka_unit_test(a_counter_counts_both_sides),
        cmocka_unit_test(a_set_keeps_what_was_added_while_it_was_removed_elsewhere),
        cmocka_unit_test(keep_both_keeps_siblings_until_one_replaces_them),
        cmocka_unit_test(a_deletion_wins_over_what_happens_meanwhile),
        cmocka_unit_test(states_that_lie_are_refused),
        cmocka_unit_test(join_obeys_its_laws),
    };
    return cmocka_run_group_tests_name("dvar_avail_state", tests, NULL, NULL);
}
