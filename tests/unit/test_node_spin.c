/* src/node/spin.c: when to poll instead of sleeping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/spin.h"

static void zero_budget_never_spins(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, 0);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_false(spin_wanted(&spin, SPIN_FOR_REPLIES, 1));
}

static void short_gap_begins_spinning(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, 50000);
    assert_false(spin_wanted(&spin, SPIN_FOR_REPLIES, 1));
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_GAP_NS);
    assert_true(spin_wanted(&spin, SPIN_FOR_REPLIES, 1));
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_GAP_NS + 1);
    assert_false(spin_wanted(&spin, SPIN_FOR_REPLIES, 1));
}

static void requests_and_replies_are_separate_habits(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, 50000);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_true(spin_wanted(&spin, SPIN_FOR_REPLIES, 1));
    assert_false(spin_wanted(&spin, SPIN_FOR_REQUESTS, 1));
}

static void misses_back_off_and_hits_come_back(void **state)
{
    struct spin spin;
    unsigned expected = 1;
    (void)state;
    spin_init(&spin, 50000);
    spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
    for (int i = 0; i < 10; i++) {
        spin_ended(&spin, SPIN_FOR_REQUESTS, false);
        unsigned gaps = 0;
        while (!spin_wanted(&spin, SPIN_FOR_REQUESTS, 1)) {
            spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
            gaps++;
        }
        assert_int_equal(gaps, expected);
        expected = expected * 2 > SPIN_PENALTY_MAX ? SPIN_PENALTY_MAX : expected * 2;
    }
    for (int i = 0; i < 8; i++)
        spin_ended(&spin, SPIN_FOR_REQUESTS, true);
    spin_ended(&spin, SPIN_FOR_REQUESTS, false);
    spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
    assert_true(spin_wanted(&spin, SPIN_FOR_REQUESTS, 1));
}

static void slow_yield_means_the_core_is_wanted(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, 50000);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_false(spin_yielded(&spin, 1000, SPIN_YIELD_NS));
    assert_true(spin_wanted(&spin, SPIN_FOR_REPLIES, 1000));
    assert_true(spin_yielded(&spin, 1000, SPIN_YIELD_NS + 1));
    assert_false(spin_wanted(&spin, SPIN_FOR_REPLIES, 1000 + SPIN_HOG_PAUSE_NS - 1));
    assert_true(spin_wanted(&spin, SPIN_FOR_REPLIES, 1000 + SPIN_HOG_PAUSE_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_budget_never_spins),
        cmocka_unit_test(short_gap_begins_spinning),
        cmocka_unit_test(requests_and_replies_are_separate_habits),
        cmocka_unit_test(misses_back_off_and_hits_come_back),
        cmocka_unit_test(slow_yield_means_the_core_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
