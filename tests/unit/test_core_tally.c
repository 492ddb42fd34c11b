/* Times counted by bounds. */
#include "core/tally.h"

#include "lib/test.h"

static void bounds_ascend(void **state)
{
    (void)state;
    for (unsigned i = 1; i < TALLY_BOUNDS; i++)
        assert_true(tally_bounds_ns[i] > tally_bounds_ns[i - 1]);
}

static void a_time_counts_up_to_and_with_its_bound(void **state)
{
    struct tally tally = {0};

    (void)state;
    tally_add(&tally, 0);
    assert_int_equal(tally.counts[0], 1);
    for (unsigned i = 0; i < TALLY_BOUNDS; i++) {
        tally = (struct tally){0};
        tally_add(&tally, tally_bounds_ns[i]);
        tally_add(&tally, tally_bounds_ns[i] + 1);
        assert_int_equal(tally.counts[i], 1);
        assert_int_equal(tally.counts[i + 1], 1);
        assert_int_equal(tally.sum_ns, 2 * tally_bounds_ns[i] + 1);
    }
    tally_add(&tally, UINT64_MAX / 2);
    assert_int_equal(tally.counts[TALLY_BOUNDS], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_ascend),
        cmocka_unit_test(a_time_counts_up_to_and_with_its_bound),
    };
    return cmocka_run_group_tests_name("core_tally", tests, NULL, NULL);
}
