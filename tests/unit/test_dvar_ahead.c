/*
 * Copies that watch and tell of a write before their home does: only what is done, and each change
 * once, as told or as missed.
 */
#include "core/rng.h"
#include "dvar_cores.h"
#include "unit/left_out.h"

/* Three copies; COPY watches x, was told that it is 1, and the home knows it. */
static void begin_watched(void)
{
    begin_with(3);
    watch(COPY);
    pass(1500);
    assert_int_equal(told_n, 1);
}

static uint64_t told_ahead(int n)
{
    struct dvar_stats stats;
    dvar_stats(cores[n], &stats);
    return stats.told_ahead;
}

static uint64_t version_at(int n)
{
    struct dvar_info info;
    dvar_info(cores[n], "x", 1, now_ms, &info);
    return info.version;
}

/* To COPY: @from has that write of x. */
static void say_have(int from, uint64_t version)
{
    struct message m = {.from = from, .to = COPY};
    put_message(&m, WIRE_HAVE, 0, 8);
    put_le64(m.data + WIRE_HEAD_BYTES, version);
    arrive(&m);
}

static void lose(uint8_t type, int to)
{
    lost_type = type;
    only_to = to;
}

/* Nothing is lost any more, and everything is done. */
static void recover(void)
{
    lose(0, -1);
    pass(3000);
    assert_true(done && result.code == 0);
}

static void a_copy_tells_as_soon_as_all_copies_have_it(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_ACK, HOME);
    set(HOME, 2);
    assert_false(done);
    assert_int_equal(told_n, 2);
    assert_int_equal(told_missed, 0);
    assert_true(reads_alone(COPY) && result.number == 2);
    done = false;
    recover();
    assert_int_equal(told_n, 2);
    assert_int_equal(told_ahead(COPY), 1);
    end();
}

static void the_other_copies_may_say_so_before_the_write_is_here(void **state)
{
    (void)state;
    begin_watched();
    held_type = WIRE_INV;
    only_to = COPY;
    lose(WIRE_PUSH, COPY);
    set(HOME, 2);
    assert_int_equal(told_n, 1);
    arrive(&held);
    assert_int_equal(told_n, 2);
    deliver();
    recover();
    assert_int_equal(told_n, 2);
    end();
}

static void a_copy_tells_nothing_that_another_may_not_have(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_INV, OTHER);
    set(HOME, 2);
    assert_false(done);
    assert_int_equal(told_n, 1);
    /* Nor if somebody says so who is no copy, or another boot of one. */
    boots[OTHER]++;
    say_have(HOME, version_at(HOME));
    say_have(EDGE, version_at(HOME));
    say_have(OTHER, version_at(HOME));
    boots[OTHER]--;
    assert_int_equal(told_n, 1);
    recover();
    assert_int_equal(told_n, 2);
    end();
}

static void what_somebody_caches_is_not_told_ahead(void **state)
{
    (void)state;
    begin_watched();
    get(EDGE);
    get(EDGE);
    assert_true(reads_alone(EDGE) && result.number == 1);
    lose(WIRE_SINV, EDGE);
    set(HOME, 2);
    assert_false(done);
    assert_true(reads_alone(EDGE) && result.number == 1);
    assert_int_equal(told_n, 1);
    done = false;
    recover();
    assert_int_equal(told_n, 2);
    assert_int_equal(told_ahead(COPY), 0);
    end();
}

/* The home's disk is one of those that a durable write waits for. */
static void what_is_durable_is_not_told_ahead(void **state)
{
    (void)state;
    uint8_t value = 2;
    begin_with(3);
    name = "y";
    assert_int_equal(placement_slot_of("y", 1), placement_slot_of("x", 1));
    step(COPY, (struct dvar_event){.type = DVAR_WATCH, .id = 76, .name = "y", .name_len = 1});
    pass(1500);
    step(HOME, (struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = placement_slot_of("x", 1)});
    held_type = WIRE_INV;
    only_to = COPY;
    op(HOME, (struct value_op){.kind = VALUE_OP_SET,
                               .type = VALUE_BYTES,
                               .policy = VALUE_DURABLE,
                               .data = &value,
                               .data_len = 1});
    assert_int_equal(held.data[1] & WIRE_AHEAD, 0);
    assert_int_equal(held.data[WIRE_HEAD_BYTES + WIRE_INV_BYTES - 1], 0);
    arrive(&held);
    deliver();
    for (int n = COPY; n <= OTHER; n++)
        step(n, (struct dvar_event){.type = DVAR_PERSISTED, .token = 1});
    deliver();
    assert_false(done);
    assert_int_equal(told_other_n, 0);
    step(HOME, (struct dvar_event){.type = DVAR_PERSISTED, .token = 1});
    deliver();
    assert_true(done && result.code == 0 && told_other_n == 1);
    assert_int_equal(told_ahead(COPY), 0);
    end();
}

/* Whichever messages are lost, and whoever writes how many at once. */
static void each_change_is_told_or_counted_once(void **state)
{
    (void)state;
    static const uint8_t types[] = {0, 0, 0, WIRE_HAVE, WIRE_PUSH, WIRE_INV, WIRE_VAL, WIRE_ACK};
    uint64_t ahead = 0, missed = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng;
        uint32_t writes = 0;
        rng_init(&rng, seed);
        begin_watched();
        for (int i = 0; i < 40; i++) {
            int to = rng_below(&rng, 3) == 0 ? -1 : (int)rng_below(&rng, EDGE);
            lose(types[rng_below(&rng, sizeof(types))], to);
            for (uint64_t k = rng_below(&rng, 3) == 0 ? 3 : 1; k > 0; k--, writes++)
                set((int)rng_below(&rng, NODES), (uint8_t)writes);
            pass(rng_below(&rng, 3) == 0 ? 700 : 5);
        }
        recover();
        set(HOME, 0); /* carries what is still to be counted */
        assert_true(done && result.code == 0);
        pass(100);
        if ((uint32_t)told_n - 1 + told_missed != writes + 1)
            fail_msg("seed %llu: %d told and %u counted as missed of %u changes",
                     (unsigned long long)seed, told_n - 1, told_missed, writes + 1);
        ahead += told_ahead(COPY);
        missed += told_missed;
        end();
    }
    print_message("# %llu told ahead, %llu missed\n", (unsigned long long)ahead,
                  (unsigned long long)missed);
    assert_true(ahead > 600 && missed > 60);
}

/* The home is gone before it heard that all have what was told. */
static void what_was_told_ahead_is_not_told_again_by_the_next_home(void **state)
{
    (void)state;
    for (int next = COPY; next <= OTHER; next++) {
        begin_watched();
        lose(WIRE_ACK, HOME);
        set(HOME, 2);
        assert_int_equal(told_n, 2);
        lose(0, -1);
        lose_home(KEEPER_ENDED, (uint32_t)next + 1);
        move(3, (uint32_t)next + 1, next == COPY ? 3 : 2);
        pass(3000);
        get(COPY);
        assert_true(done && result.number == 2);
        assert_int_equal(told_n, 2);
        set(OTHER, 3);
        assert_true(done && result.code == 0);
        pass(100);
        assert_int_equal(told_n, 3);
        assert_int_equal(told_missed, 0);
        end();
    }
}

/* It has answered the next home: it reads nothing older any more, and another may write. */
static void a_copy_that_let_its_slot_go_tells_nothing_ahead(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_ACK, -1);
    held_type = WIRE_HAVE;
    set(HOME, 2);
    uint64_t version = version_at(HOME);
    assert_int_equal(told_n, 1);
    lose(WIRE_INV, COPY);
    choose(2, 3, 2);
    pass(20);
    assert_false(reads_alone(COPY));
    say_have(OTHER, version);
    assert_false(reads_alone(COPY));
    assert_int_equal(told_ahead(COPY), 0);
    end();
}

/* Those of the configuration that it is written in, which is active without being known so here. */
static void a_copy_counts_the_copies_of_the_epoch_of_the_write(void **state)
{
    struct placement_slot *other = &placement.slots[placement_slot_of("a", 1)];
    struct placement_slot *slot = &placement.slots[placement_slot_of("x", 1)];
    (void)state;
    begin();
    other->active = (struct placement_config){.slot_epoch = 2, .replicas = {3}, .replicas_n = 1};
    decide();
    watch(COPY);
    pass(1500); /* who is home of anything knows who watches */
    slot->chosen =
        (struct placement_config){.slot_epoch = 3, .replicas = {3, 2, 1}, .replicas_n = 3};
    decide();
    for (int i = 0; i < 20 && ready[OTHER] != 3; i++)
        pass(100);
    assert_int_equal(ready[OTHER], 3);
    slot->active = slot->chosen;
    slot->chosen = (struct placement_config){0};
    cut[COPY] = true;
    decide();
    cut[COPY] = false;
    lose(WIRE_INV, HOME);
    int before = told_n;
    set(OTHER, 2);
    assert_false(done);
    assert_true(version_at(COPY) == version_at(OTHER));
    assert_int_equal(told_n, before);
    end();
}

/* HAVE of the write before, when the next one is here and nobody else has it. */
static void what_others_have_is_of_one_write(void **state)
{
    (void)state;
    begin_watched();
    held_type = WIRE_HAVE;
    only_to = COPY;
    set(HOME, 2);
    assert_true(done && held.len > 0);
    pass(20);
    int before = told_n;
    struct message late = held;
    lose(WIRE_INV, OTHER);
    set(HOME, 3);
    assert_false(done);
    arrive(&late);
    assert_int_equal(told_n, before);
    assert_false(reads_alone(COPY));
    done = false;
    recover();
    assert_int_equal(told_n, before + 1);
    end();
}

static void a_copy_says_again_that_it_has_it(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_ACK, -1);
    held_type = WIRE_HAVE;
    set(HOME, 2);
    assert_int_equal(told_n, 1);
    pass(300); /* the home sends it again */
    assert_false(done);
    assert_int_equal(told_n, 2);
    recover();
    end();
}

/* No HAVE goes the way on which an answer goes back: it is not worth that. */
static void what_comes_through_another_node_is_told_by_the_home(void **state)
{
    struct message m = {.from = EDGE, .to = OTHER};
    uint8_t *p = m.data + WIRE_HEAD_BYTES;
    (void)state;
    begin_watched();
    held_type = WIRE_INV;
    only_to = OTHER;
    set(HOME, 2);
    struct boot_id home = boot_of(HOME);
    put_message(&m, WIRE_RELAYED, 0, 24 + held.len);
    memcpy(p, home.node.bytes, 16);
    put_le64(p + 16, home.boot_no);
    memcpy(p + 24, held.data, held.len);
    arrive(&m);
    deliver();
    assert_true(done && result.code == 0);
    assert_int_equal(told_n, 2);
    assert_int_equal(told_ahead(COPY), 0);
    end();
}

static void a_slow_node_hears_in_order_only(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_PUSH_ACK, HOME);
    for (uint8_t value = 2; value < 40; value++)
        set(HOME, value);
    assert_int_equal(told_ahead(COPY), 16);
    assert_int_equal(told_n, 39);
    assert_int_equal(told_missed, 0);
    recover();
    set(HOME, 40);
    assert_int_equal(told_ahead(COPY), 17);
    end();
}

/* Of y, @n at once: they travel as one, and are one write. */
static void add(int n)
{
    static uint64_t id = 5000;
    struct value_op one = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    for (int i = 0; i < n; i++)
        step(EDGE, (struct dvar_event){.type = DVAR_OP,
                                       .more = i + 1 < n,
                                       .id = ++id,
                                       .name = "y",
                                       .name_len = 1,
                                       .op = &one,
                                       .deadline_ms = now_ms + 10000});
    deliver();
}

/* What was told ahead in a stream that its home gave up is not counted by the next one. */
static void what_was_told_ahead_counts_in_its_stream_only(void **state)
{
    (void)state;
    begin_with(3);
    step(COPY, (struct dvar_event){.type = DVAR_WATCH, .id = 76, .name = "y", .name_len = 1});
    add(1);
    pass(1500);
    int before = told_other_n;
    lose(WIRE_PUSH, COPY);
    add(1);
    assert_int_equal(told_other_n, before + 1);
    cut[COPY] = true;
    pass(6000); /* the home forgets who watches */
    cut[COPY] = false;
    recover();
    add(1);
    assert_int_equal(told_other_n, before + 2);
    assert_int_equal(told_ahead(COPY), 3);
    lose(WIRE_HAVE, COPY);
    add(3);
    assert_int_equal(told_other_n, before + 3);
    assert_int_equal(told_missed, 2);
    end();
}

static uint32_t variables(int n)
{
    struct dvar_stats stats;
    dvar_stats(cores[n], &stats);
    return stats.variables;
}

/* Neither when it has waited for long, nor when nobody watches any more. */
static void a_write_that_waits_keeps_no_variable(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        begin_watched();
        lose(WIRE_HAVE, COPY);
        set(HOME, 2);
        if (ends == 1)
            step(COPY, (struct dvar_event){.type = DVAR_UNWATCH, .id = WATCH_ID});
        lose(0, -1);
        move(2, 1, 3);
        if (ends == 0)
            pass(2500);
        assert_int_equal(variables(COPY), 0);
        end();
    }
}

/* A push of some other name, in a stream of OTHER. */
static void hear_of(uint64_t no, const char *of)
{
    struct message m = {.from = OTHER, .to = COPY};
    uint32_t len = (uint32_t)strlen(of);
    put_message(&m, WIRE_PUSH, 0, WIRE_PUSH_BYTES + len);
    uint8_t *p = m.data + WIRE_HEAD_BYTES;
    put_le64(p, no);
    put_le64(p + 8, 1ull << DVAR_SEQ_BITS | 1000);
    put_le64(p + 16, 1);
    put_le32(p + 44, len);
    copy_small(p + WIRE_PUSH_BYTES, of, len);
    arrive(&m);
    deliver();
}

/* The table of what was told forgets the oldest; what is still to be told by its home is not that.
 */
static void what_was_told_ahead_is_remembered_until_its_home_tells(void **state)
{
    char of[16];
    (void)state;
    begin_with(3);
    step(COPY, (struct dvar_event){.type = DVAR_WATCH, .id = 76, .name = "", .prefix = true});
    pass(1500);
    lose(WIRE_MARK, COPY);
    set(HOME, 2);
    for (uint64_t no = 1; no < DVAR_TOLD_MAX; no++) {
        (void)snprintf(of, sizeof(of), "o%u", (unsigned)no);
        hear_of(no, of);
    }
    held_type = WIRE_PUSH;
    set(HOME, 3);
    assert_true(held.len > 0);
    int before = told_other_n;
    hear_of(DVAR_TOLD_MAX, "one more");
    arrive(&held);
    assert_int_equal(told_other_n, before + 1);
    end();
}

/* Somebody who says of writes that never were that he has them takes their places. */
static void places_for_writes_are_few_and_none_is_needed(void **state)
{
    (void)state;
    begin_watched();
    lose(WIRE_HAVE, COPY);
    set(HOME, 2);
    assert_true(done);
    lose(WIRE_ACK, HOME);
    for (int write = 3; write < 5; write++) {
        struct message m = {.from = OTHER, .to = COPY};
        struct dvar_info info;
        held_type = write == 3 ? WIRE_INV : 0;
        held = (struct message){0};
        only_to = write == 3 ? COPY : HOME;
        set(HOME, (uint8_t)write);
        dvar_info(cores[HOME], "x", 1, now_ms, &info);
        for (uint64_t i = 1; i <= DVAR_AHEAD_MAX; i++) {
            put_message(&m, WIRE_HAVE, 0, 8);
            put_le64(m.data + WIRE_HEAD_BYTES, info.version + i);
            arrive(&m);
        }
        if (held.len > 0)
            arrive(&held); /* what OTHER said of it is forgotten */
        recover();
        assert_true(told[COPY] == info.version);
    }
    struct message short_one = {.from = OTHER, .to = COPY};
    put_message(&short_one, WIRE_HAVE, 0, 7);
    struct dvar_output out;
    struct dvar_event event = {.type = DVAR_RECV,
                               .now_ms = now_ms,
                               .from = boot_of(OTHER),
                               .data = short_one.data,
                               .len = short_one.len};
    assert_int_equal(dvar_step(cores[COPY], &event, &out), KITH_E_CORRUPT);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_tells_as_soon_as_all_copies_have_it),
        cmocka_unit_test(the_other_copies_may_say_so_before_the_write_is_here),
        cmocka_unit_test(a_copy_tells_nothing_that_another_may_not_have),
        cmocka_unit_test(what_somebody_caches_is_not_told_ahead),
        cmocka_unit_test(what_is_durable_is_not_told_ahead),
        cmocka_unit_test(each_change_is_told_or_counted_once),
        cmocka_unit_test(what_was_told_ahead_is_not_told_again_by_the_next_home),
        cmocka_unit_test(a_copy_that_let_its_slot_go_tells_nothing_ahead),
        cmocka_unit_test(a_copy_counts_the_copies_of_the_epoch_of_the_write),
        cmocka_unit_test(what_others_have_is_of_one_write),
        cmocka_unit_test(a_copy_says_again_that_it_has_it),
        cmocka_unit_test(what_comes_through_another_node_is_told_by_the_home),
        cmocka_unit_test(a_slow_node_hears_in_order_only),
        cmocka_unit_test(what_was_told_ahead_counts_in_its_stream_only),
        cmocka_unit_test(a_write_that_waits_keeps_no_variable),
        cmocka_unit_test(what_was_told_ahead_is_remembered_until_its_home_tells),
        cmocka_unit_test(places_for_writes_are_few_and_none_is_needed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_AHEAD_OF_COPIES,
         cmocka_unit_test(a_copy_tells_nothing_that_another_may_not_have)},
        {MUTANT_DVAR_AHEAD_OF_CACHES, cmocka_unit_test(what_somebody_caches_is_not_told_ahead)},
        {MUTANT_DVAR_AHEAD_TWICE, cmocka_unit_test(each_change_is_told_or_counted_once)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}
