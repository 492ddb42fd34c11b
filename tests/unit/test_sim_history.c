/*
 * Histories made by hand: good ones that the checker must let pass, and one of each kind of
 * violation that it must name.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sim/history_check.h"
#include "core/rng.h"

#define STEPS_MAX 10000000

static struct history history;

static int setup(void **state)
{
    (void)state;
    memset(&history, 0, sizeof(history));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history_deinit(&history);
    return 0;
}

static struct history_entry entry(enum history_op op, int64_t start, int64_t end)
{
    static uint32_t line;

    return (struct history_entry){.op = (uint8_t)op,
                                  .name = history_text(&history, "x"),
                                  .start_ns = start,
                                  .end_ns = end,
                                  .line = ++line};
}

static void get(int64_t start, int64_t end, const char *value, uint64_t version)
{
    struct history_entry e = entry(HISTORY_GET, start, end);

    e.valued = true;
    e.value = history_text(&history, value);
    e.version = version;
    history_add(&history, &e);
}

static struct history_entry *
set(int64_t start, int64_t end, const char *value, uint64_t version, enum history_outcome outcome)
{
    struct history_entry e = entry(HISTORY_SET, start, end);

    e.arg = history_text(&history, value);
    e.valued = outcome == HISTORY_OK;
    e.value = e.arg;
    e.version = outcome == HISTORY_OK ? version : 0;
    e.outcome = (uint8_t)outcome;
    e.end_ns = outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : end;
    size_t at = history_add(&history, &e);
    return &history.entries[at];
}

static void cas(int64_t start,
                int64_t end,
                const char *expect,
                const char *value,
                const char *found,
                enum history_outcome outcome)
{
    struct history_entry e = entry(HISTORY_CAS, start, end);

    e.expect = history_text(&history, expect);
    e.arg = history_text(&history, value);
    e.outcome = (uint8_t)outcome;
    e.lost = found != NULL;
    e.valued = outcome == HISTORY_OK;
    e.value = found != NULL ? history_text(&history, found) : e.arg;
    e.end_ns = outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : end;
    history_add(&history, &e);
}

static void incr(int64_t start, int64_t end, int64_t result, enum history_outcome outcome)
{
    struct history_entry e = entry(HISTORY_INCR, start, end);

    e.arg = history_text(&history, "1");
    e.outcome = (uint8_t)outcome;
    e.valued = outcome == HISTORY_OK;
    e.value = e.valued ? history_number(&history, result) : 0;
    e.end_ns = outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : end;
    history_add(&history, &e);
}

static void lock(enum history_op op, uint32_t client, int64_t start, int64_t end, uint64_t fence)
{
    struct history_entry e = entry(op, start, end);

    e.client = client;
    e.fence = fence;
    history_add(&history, &e);
}

static void judged(enum history_verdict verdict, const char *says)
{
    struct history_finding finding;

    history_judge(&history, STEPS_MAX, &finding);
    if (finding.verdict != verdict)
        print_error("%s\n", finding.text);
    assert_int_equal(finding.verdict, verdict);
    if (says != NULL && strstr(finding.text, says) == NULL)
        print_error("says '%s', not '%s'\n", finding.text, says);
    assert_true(says == NULL || strstr(finding.text, says) != NULL);
    assert_true(verdict != HISTORY_VIOLATED || finding.guilty_n > 0);
}

/* ---- order ---- */

static void reads_and_writes_one_after_the_other_hold(void **state)
{
    (void)state;
    get(1, 2, NULL, 0);
    set(3, 4, "a", 1, HISTORY_OK);
    get(5, 6, "a", 1);
    set(7, 8, "b", 2, HISTORY_OK);
    get(9, 10, "b", 2);
    judged(HISTORY_HOLDS, NULL);
}

static void a_read_older_than_one_before_it_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    set(3, 10, "b", 2, HISTORY_OK);
    get(4, 5, "b", 2);
    get(6, 7, "a", 1);
    judged(HISTORY_VIOLATED, "goes back");
}

static void concurrent_reads_may_differ(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    set(3, 10, "b", 2, HISTORY_OK);
    get(4, 7, "b", 2);
    get(5, 6, "a", 1);
    judged(HISTORY_HOLDS, NULL);
}

static void a_version_written_twice_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    set(3, 4, "a", 1, HISTORY_OK);
    judged(HISTORY_VIOLATED, "written twice");
}

static void one_version_with_two_values_is_found(void **state)
{
    (void)state;
    set(1, 9, "a", 1, HISTORY_OK);
    set(1, 9, "b", 1, HISTORY_OK);
    judged(HISTORY_VIOLATED, "two values");
}

/* ---- presence ---- */

static void a_value_that_nobody_wrote_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    get(3, 4, "z", 5);
    judged(HISTORY_VIOLATED, "nobody wrote");
}

static void a_failed_write_that_is_read_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_FAILED);
    get(3, 4, "a", 5);
    judged(HISTORY_VIOLATED, "nobody wrote");
}

static void a_lost_write_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    get(3, 4, NULL, 0);
    judged(HISTORY_VIOLATED, "is gone");
}

static void a_deleted_value_may_be_absent(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    struct history_entry e = entry(HISTORY_DEL, 3, 4);
    history_add(&history, &e);
    get(5, 6, NULL, 0);
    judged(HISTORY_HOLDS, NULL);
}

/* ---- the search ---- */

static void an_unknown_write_may_appear_late_or_never(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK);
    set(3, 0, "b", 0, HISTORY_UNKNOWN);
    set(3, 0, "c", 0, HISTORY_UNKNOWN);
    get(5, 6, "a", 0);
    get(7, 8, "b", 0);
    judged(HISTORY_HOLDS, NULL);
}

static void an_unknown_write_that_comes_and_goes_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_OK);
    set(3, 0, "b", 0, HISTORY_UNKNOWN);
    get(5, 6, "b", 0);
    get(7, 8, "a", 0);
    judged(HISTORY_VIOLATED, "no order");
}

static void two_winners_of_one_cas_are_found(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_OK);
    cas(3, 9, "a", "b", NULL, HISTORY_OK);
    cas(4, 8, "a", "c", NULL, HISTORY_OK);
    judged(HISTORY_VIOLATED, "no order");
}

static void a_winner_and_a_loser_hold(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_OK);
    cas(3, 9, "a", "b", NULL, HISTORY_OK);
    cas(4, 8, "a", "c", "b", HISTORY_OK);
    cas(10, 11, "a", "d", "b", HISTORY_OK);
    judged(HISTORY_HOLDS, NULL);
}

static void a_loser_that_should_have_won_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_OK);
    set(3, 4, "b", 0, HISTORY_OK);
    cas(5, 6, "b", "c", "a", HISTORY_OK);
    judged(HISTORY_VIOLATED, "no order");
}

static void an_addition_applied_twice_is_found(void **state)
{
    (void)state;
    incr(1, 2, 1, HISTORY_OK);
    incr(3, 4, 3, HISTORY_OK);
    judged(HISTORY_VIOLATED, "no order");
}

static void an_addition_of_unknown_outcome_explains_one_step(void **state)
{
    (void)state;
    incr(1, 2, 1, HISTORY_OK);
    incr(2, 0, 0, HISTORY_UNKNOWN);
    incr(3, 4, 3, HISTORY_OK);
    judged(HISTORY_HOLDS, NULL);
    incr(5, 6, 5, HISTORY_OK);
    judged(HISTORY_VIOLATED, "no order");
}

static void a_failed_addition_that_counts_is_found(void **state)
{
    (void)state;
    incr(1, 2, 0, HISTORY_FAILED);
    incr(3, 4, 2, HISTORY_OK);
    judged(HISTORY_VIOLATED, "no order");
}

static void many_unknown_additions_do_not_stop_the_search(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 100; i++)
        incr(10 * i, 0, 0, HISTORY_UNKNOWN);
    for (int64_t i = 1; i <= 100; i++)
        incr(2000 + 10 * i, 2005 + 10 * i, 3 * i / 2, HISTORY_OK);
    judged(HISTORY_HOLDS, NULL);
}

/* A single copy, clients that take random time: whatever it does must hold, unversioned. */
static void a_single_copy_always_holds_and_a_stale_read_never(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rng rng;
        int64_t now = 0;
        uint64_t present = 0;

        rng_init(&rng, seed);
        set(-1000, -999, "v0", 0, HISTORY_OK);
        for (int i = 0; i < 300; i++) {
            char text[32];
            int64_t before = now - (int64_t)rng_below(&rng, 50);
            int64_t after = now + (int64_t)rng_below(&rng, 50);

            if (rng_below(&rng, 2) == 0) {
                snprintf(text, sizeof(text), "v%d", i + 1);
                present = (uint64_t)i + 1;
                set(before, after, text, 0, rng_below(&rng, 5) == 0 ? HISTORY_UNKNOWN : HISTORY_OK);
            } else {
                snprintf(text, sizeof(text), "v%" PRIu64, present);
                get(before, after, text, 0);
            }
            now += (int64_t)rng_below(&rng, 40);
        }
        judged(HISTORY_HOLDS, NULL);
        set(now + 1000, now + 1001, "last", 0, HISTORY_OK);
        get(now + 1002, now + 1003, "v0", 0);
        judged(HISTORY_VIOLATED, NULL);
        teardown(state);
    }
}

static enum history_verdict searched(uint64_t steps)
{
    struct history_finding finding = {0};

    history_search(&history, steps, &finding);
    return finding.verdict;
}

static void many_that_read_beside_each_other_do_not_stop_the_search(void **state)
{
    (void)state;
    set(1, 2, "a", 0, HISTORY_OK);
    set(50, 60, "b", 0, HISTORY_OK);
    for (int i = 0; i < 100; i++)
        get(10, 100 + i, i % 2 == 0 ? "a" : "b", 0);
    assert_int_equal(searched(20000), HISTORY_HOLDS);
    get(300, 301, "a", 0);
    assert_int_equal(searched(20000), HISTORY_VIOLATED);
}

static void versions_leave_one_order_of_writes_beside_each_other(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        char text[8];

        snprintf(text, sizeof(text), "%d", i);
        set(1, 100 + i, text, (uint64_t)(i * 7 % 30) + 1, HISTORY_OK);
    }
    get(200, 201, "17", 0); /* 17 * 7 % 30 is 29, the highest */
    assert_int_equal(searched(20000), HISTORY_HOLDS);
    get(202, 203, "16", 0);
    assert_int_equal(searched(20000), HISTORY_VIOLATED);
}

static void a_search_without_steps_left_is_undecided(void **state)
{
    struct history_finding finding = {0};

    (void)state;
    for (int i = 0; i < 12; i++) {
        char text[8];

        snprintf(text, sizeof(text), "%d", i);
        set(1, 100, text, 0, HISTORY_OK);
    }
    history_search(&history, 100, &finding);
    assert_int_equal(finding.verdict, HISTORY_UNDECIDED);
}

/* ---- locks ---- */

static void holders_one_after_the_other_hold(void **state)
{
    (void)state;
    lock(HISTORY_LOCK, 1, 1, 2, 10);
    lock(HISTORY_LOCK, 2, 1, 6, 11);
    lock(HISTORY_UNLOCK, 1, 5, 7, 10);
    lock(HISTORY_UNLOCK, 2, 8, 9, 11);
    judged(HISTORY_HOLDS, NULL);
}

static void two_holders_are_found(void **state)
{
    (void)state;
    lock(HISTORY_LOCK, 1, 1, 2, 10);
    lock(HISTORY_LOCK, 2, 1, 4, 11);
    lock(HISTORY_UNLOCK, 1, 5, 7, 10);
    lock(HISTORY_UNLOCK, 2, 8, 9, 11);
    judged(HISTORY_VIOLATED, "two are inside");
}

static void a_holder_who_lost_it_without_a_word_is_no_violation(void **state)
{
    (void)state;
    lock(HISTORY_LOCK, 1, 1, 2, 10);
    lock(HISTORY_LOCK, 2, 1, 4, 11);
    lock(HISTORY_UNLOCK, 2, 8, 9, 11);
    judged(HISTORY_HOLDS, NULL);
}

static void a_fence_that_goes_back_is_found(void **state)
{
    (void)state;
    lock(HISTORY_LOCK, 1, 1, 2, 10);
    lock(HISTORY_LOCK, 2, 3, 4, 9);
    judged(HISTORY_VIOLATED, "fences do not grow");
}

static void a_fence_given_twice_is_found(void **state)
{
    (void)state;
    lock(HISTORY_LOCK, 1, 1, 2, 10);
    lock(HISTORY_LOCK, 2, 3, 4, 10);
    judged(HISTORY_VIOLATED, "same fence");
}

static void a_write_of_a_former_holder_is_found(void **state)
{
    (void)state;
    set(1, 2, "a", 1, HISTORY_OK)->fence = 10;
    set(3, 4, "b", 2, HISTORY_OK)->fence = 11;
    judged(HISTORY_HOLDS, NULL);
    set(5, 6, "c", 3, HISTORY_OK)->fence = 10;
    judged(HISTORY_VIOLATED, "lower fence");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reads_and_writes_one_after_the_other_hold),
        T(a_read_older_than_one_before_it_is_found),
        T(concurrent_reads_may_differ),
        T(a_version_written_twice_is_found),
        T(one_version_with_two_values_is_found),
        T(a_value_that_nobody_wrote_is_found),
        T(a_failed_write_that_is_read_is_found),
        T(a_lost_write_is_found),
        T(a_deleted_value_may_be_absent),
        T(an_unknown_write_may_appear_late_or_never),
        T(an_unknown_write_that_comes_and_goes_is_found),
        T(two_winners_of_one_cas_are_found),
        T(a_winner_and_a_loser_hold),
        T(a_loser_that_should_have_won_is_found),
        T(an_addition_applied_twice_is_found),
        T(an_addition_of_unknown_outcome_explains_one_step),
        T(a_failed_addition_that_counts_is_found),
        T(many_unknown_additions_do_not_stop_the_search),
        T(a_single_copy_always_holds_and_a_stale_read_never),
        T(many_that_read_beside_each_other_do_not_stop_the_search),
        T(versions_leave_one_order_of_writes_beside_each_other),
        T(a_search_without_steps_left_is_undecided),
        T(holders_one_after_the_other_hold),
        T(two_holders_are_found),
        T(a_holder_who_lost_it_without_a_word_is_no_violation),
        T(a_fence_that_goes_back_is_found),
        T(a_fence_given_twice_is_found),
        T(a_write_of_a_former_holder_is_found),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
