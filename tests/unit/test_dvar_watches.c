/*
 * What watches of other nodes are told, once, whatever becomes of homes.
 */
#include "dvar_cores.h"
#include "unit/left_out.h"

/* Even if how far the slot is (MARK) comes first, as it does. */
static void what_exists_is_told_to_a_watch_of_another_node(void **state)
{
    (void)state;
    begin();
    watch(EDGE);
    assert_int_equal(told_n, 1);
    assert_true(told[EDGE] != 0);
    pass(3000);
    assert_int_equal(told_n, 1);
    end();
}

/* The home told all that exists, and so the watching node told nobody of this one as a change. */
static void mark(int to, uint64_t version, uint32_t no)
{
    struct message m = {.from = HOME, .to = to};
    put_message(&m, WIRE_MARK, 0, 26);
    uint8_t *p = m.data + WIRE_HEAD_BYTES;
    put_le32(p, no);
    put_le16(p + 4, (uint16_t)placement_slot_of("x", 1));
    put_le64(p + 6, version);
    put_le64(p + 14, version);
    put_le32(p + 22, no);
    arrive(&m);
}

/*
 * The next home does not know yet that the watch was told what exists, and so tells it again, a
 * change with it; then it tells the change.
 */
static void a_change_that_comes_as_what_exists_is_told_once(void **state)
{
    (void)state;
    begin();
    watch(EDGE);
    pass(1500); /* it knows that it was told */
    assert_int_equal(told_n, 1);
    for (uint64_t no = 1; no <= 2; no++) {
        struct message m = {.from = COPY, .to = EDGE};
        put_message(&m, WIRE_PUSH, no == 1 ? WIRE_INITIAL : 0, WIRE_PUSH_BYTES + 1);
        uint8_t *p = m.data + WIRE_HEAD_BYTES;
        put_le64(p, no);
        put_le64(p + 8, 2ull << DVAR_SEQ_BITS | 5);
        put_le64(p + 16, 1);
        put_le32(p + 44, 1);
        p[WIRE_PUSH_BYTES] = 'x';
        arrive(&m);
        assert_int_equal(told_n, 2);
    }
    assert_true(told[EDGE] == (2ull << DVAR_SEQ_BITS | 5));
    end();
}

/* What says that the watches of a former boot were told reaches the next one. */
static void a_watch_is_not_told_by_what_its_former_boot_heard(void **state)
{
    (void)state;
    begin();
    boots[EDGE] = 2;
    struct dvar_config config = {.self = boot_of(EDGE)};
    dvar_free(cores[EDGE]);
    assert_int_equal(dvar_new(&cores[EDGE], &config), 0);
    step(EDGE, (struct dvar_event){.type = DVAR_START});
    watch(EDGE); /* it knows of no home yet */
    mark(EDGE, 1ull << DVAR_SEQ_BITS | 1, 1);
    decide();
    pass(1500);
    assert_int_equal(told_n, 1);
    end();
}

/*
 * A watch of @first, and when the copy, which is home of another slot, has heard of that one only,
 * a watch of x, which the home tells what exists. What the copy is told again of the first watch is
 * held back. Then the copy is home of x, too.
 */
static void watch_what_the_next_home_does_not_know(const char *first)
{
    begin();
    placement.slots[placement_slot_of("a", 1)].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {2}, .replicas_n = 1};
    decide();
    step(EDGE, (struct dvar_event){.type = DVAR_WATCH, .id = 76, .name = first, .name_len = 1});
    deliver();
    held = (struct message){0};
    held_type = WIRE_WATCH;
    only_to = COPY;
    pass(1000);
    assert_true(held.from == EDGE && held.to == COPY);
    lost_type = WIRE_WATCH;
    watch(EDGE);
    pass(1500); /* it knows that it was told */
    assert_int_equal(told_n, 1);
    move(3, 2, 1);
}

/* The newest of x, once; and everything else. */
static void hears_all_in_the_end(int others_n)
{
    struct dvar_info info;
    lost_type = 0;
    pass(1500);
    dvar_info(cores[COPY], "x", 1, now_ms, &info);
    assert_int_equal(told_n, 2);
    assert_true(told[EDGE] == info.version);
    assert_int_equal(told_other_n, others_n);
    end();
}

static void a_watch_hears_what_changed_before_its_next_home_knew_of_it(void **state)
{
    (void)state;
    watch_what_the_next_home_does_not_know("a");
    set(COPY, 2);
    assert_true(done && told_n == 1);
    hears_all_in_the_end(0);
}

/* state-swarm 36945: a home's word of how far a slot was told was taken for a watch that it did not
 * know. */
static void a_mark_is_of_the_watches_that_its_home_knew(void **state)
{
    (void)state;
    watch_what_the_next_home_does_not_know("a");
    set(COPY, 2);
    arrive(&held); /* it says how far all slots are, x with them */
    deliver();
    assert_true(done && told_n == 1);
    hears_all_in_the_end(0);
}

/* A change that is told says so, too. */
static void a_change_told_to_one_watch_is_no_mark_for_a_later_one(void **state)
{
    (void)state;
    assert_int_equal(placement_slot_of("y", 1), placement_slot_of("x", 1));
    watch_what_the_next_home_does_not_know("y");
    arrive(&held);
    deliver();
    set(COPY, 2);
    name = "y";
    set(COPY, 3);
    assert_true(done && told_n == 1);
    assert_int_equal(told_other_n, 1);
    hears_all_in_the_end(1);
}

/*
 * What exists is behind a write of another node that is under way as the watch begins; then the
 * slot moves, its asker is gone, and nobody has heard of the write.
 */
static void what_exists_behind_a_write_that_came_to_nothing_is_told(void **state)
{
    (void)state;
    struct dvar_info info;
    begin();
    lost_type = WIRE_INV;
    only_to = COPY;
    set(EDGE, 2);
    assert_false(done);
    cut[EDGE] = true;
    watch(HOME);
    assert_int_equal(told_n, 0);
    move(2, 2, 3);
    pass(3000);
    dvar_info(cores[COPY], "x", 1, now_ms, &info);
    assert_int_equal(told_n, 1);
    assert_true(told[HOME] == info.version);
    end();
}

/* What a home without a lease has may be over: a read there is refused, too. */
static void what_exists_is_told_under_a_lease(void **state)
{
    (void)state;
    for (int n = HOME; n <= EDGE; n += EDGE) {
        begin();
        step(HOME, (struct dvar_event){.type = DVAR_LEASE, .until_ms = 0});
        watch(n);
        for (int i = 0; i < 400; i++) { /* it asks again each second */
            now_ms += 5;
            for (int at = HOME; at < NODES; at++)
                step(at, (struct dvar_event){.type = DVAR_TICK});
            deliver();
        }
        assert_int_equal(told_n, 0);
        lease(HOME);
        deliver();
        assert_int_equal(told_n, 1);
        set(HOME, 2);
        pass(100);
        assert_int_equal(told_n, 2);
        assert_int_equal(told_missed, 0);
        end();
    }
}

/* One that serves before it has a lease tells when it has one. */
static void what_a_next_home_has_is_told_under_its_lease(void **state)
{
    (void)state;
    begin();
    step(COPY, (struct dvar_event){.type = DVAR_LEASE, .until_ms = 0});
    choose(2, 2, 1);
    placement.slots[placement_slot_of("x", 1)].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {2, 1}, .replicas_n = 2};
    decide();
    watch(COPY);
    assert_int_equal(told_n, 0);
    lease(COPY);
    assert_int_equal(told_n, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_exists_is_told_to_a_watch_of_another_node),
        cmocka_unit_test(a_change_that_comes_as_what_exists_is_told_once),
        cmocka_unit_test(a_watch_is_not_told_by_what_its_former_boot_heard),
        cmocka_unit_test(a_watch_hears_what_changed_before_its_next_home_knew_of_it),
        cmocka_unit_test(a_mark_is_of_the_watches_that_its_home_knew),
        cmocka_unit_test(a_change_told_to_one_watch_is_no_mark_for_a_later_one),
        cmocka_unit_test(what_exists_behind_a_write_that_came_to_nothing_is_told),
        cmocka_unit_test(what_exists_is_told_under_a_lease),
        cmocka_unit_test(what_a_next_home_has_is_told_under_its_lease),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_UNLEASED_EXISTS, cmocka_unit_test(what_exists_is_told_under_a_lease)},
        {MUTANT_DVAR_ANY_WATCH,
         cmocka_unit_test(a_watch_hears_what_changed_before_its_next_home_knew_of_it)},
        {MUTANT_DVAR_UNDONE_EXISTS,
         cmocka_unit_test(what_exists_behind_a_write_that_came_to_nothing_is_told)},
        {MUTANT_DVAR_ANY_WATCH, cmocka_unit_test(a_mark_is_of_the_watches_that_its_home_knew)},
        {MUTANT_DVAR_ANY_WATCH,
         cmocka_unit_test(a_change_told_to_one_watch_is_no_mark_for_a_later_one)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}
