/* Percentiles of a histogram that forgets, beside those of a sorted list. */
#include "core/spread.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/rng.h"
#include "lib/test.h"

static struct spread spread;

static void begin(void)
{
    spread = (struct spread){0};
}

static bool near_to(uint64_t is, uint64_t wanted)
{
    return is >= wanted - wanted / 7 && is <= wanted + wanted / 7;
}

static void empty_one_says_nothing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(spread_percentile(&spread, 50), 0);
    assert_int_equal(spread_percentile(&spread, 99), 0);
}

static void one_time_is_every_percentile(void **state)
{
    (void)state;
    static const uint64_t times[] = {256, 1000, 15000, 1000000, 2500000000ull};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        begin();
        spread_add(&spread, times[i]);
        assert_true(near_to(spread_percentile(&spread, 0), times[i]));
        assert_true(near_to(spread_percentile(&spread, 50), times[i]));
        assert_true(near_to(spread_percentile(&spread, 100), times[i]));
    }
}

static void shortest_and_longest_times_have_a_bucket(void **state)
{
    (void)state;
    begin();
    spread_add(&spread, 0);
    assert_true(spread_percentile(&spread, 50) < 512);
    begin();
    spread_add(&spread, UINT64_MAX);
    assert_true(spread_percentile(&spread, 50) > 900ull * 1000000000ull);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_those_of_a_sorted_list(void **state)
{
    (void)state;
    enum { N = SPREAD_KEPT - 1 };
    static uint64_t times[N];
    struct rng rng;

    rng_init(&rng, 7);
    begin();
    for (size_t i = 0; i < N; i++) {
        /* Over five octaves, so that buckets of different widths are in play. */
        times[i] = 10000 + rng_below(&rng, 1u << (10 + rng_below(&rng, 8)));
        spread_add(&spread, times[i]);
    }
    qsort(times, N, sizeof(times[0]), compare);
    for (unsigned percent = 1; percent < 100; percent++)
        assert_true(near_to(spread_percentile(&spread, percent), times[N * percent / 100]));
}

static void what_was_long_ago_is_forgotten(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < SPREAD_KEPT; i++)
        spread_add(&spread, 1000000);
    for (unsigned i = 0; i < 8 * SPREAD_KEPT; i++)
        spread_add(&spread, 1000);
    assert_true(spread.n < SPREAD_KEPT);
    assert_true(near_to(spread_percentile(&spread, 99), 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_one_says_nothing),
        cmocka_unit_test(one_time_is_every_percentile),
        cmocka_unit_test(shortest_and_longest_times_have_a_bucket),
        cmocka_unit_test(percentiles_are_those_of_a_sorted_list),
        cmocka_unit_test(what_was_long_ago_is_forgotten),
    };
    return cmocka_run_group_tests_name("core_spread", tests, NULL, NULL);
}
