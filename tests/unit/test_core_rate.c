/* Events a second over the last minute. */
#include "core/rate.h"

#include <stdlib.h>

#include "core/rng.h"
#include "lib/test.h"

#define START_MS 86400123ull /* not at the edge of a slot */

static void assert_near(double is, double wanted, double off)
{
    assert_true(is >= wanted - off && is <= wanted + off);
}

static void nothing_happened_is_zero(void **state)
{
    struct rate rate = {0};

    (void)state;
    assert_near(rate_per_s(&rate, 0), 0, 0);
    assert_near(rate_per_s(&rate, START_MS), 0, 0);
}

static void steady_events_have_their_rate(void **state)
{
    struct rate rate = {0};
    uint64_t now_ms = START_MS;

    (void)state;
    for (int i = 0; i < 2000; i++, now_ms += 100)
        rate_add(&rate, now_ms);
    /* At any place within a slot. */
    for (int i = 0; i < 100; i++, now_ms += 100) {
        rate_add(&rate, now_ms);
        assert_near(rate_per_s(&rate, now_ms), 10, 0.05);
    }
}

static void an_event_counts_for_a_minute(void **state)
{
    struct rate rate = {0};

    (void)state;
    rate_add(&rate, START_MS);
    assert_true(rate_per_s(&rate, START_MS) > 1 / 62.0);
    assert_true(rate_per_s(&rate, START_MS) < 1 / 57.0);
    assert_true(rate_per_s(&rate, START_MS + 57000) > 0);
    assert_near(rate_per_s(&rate, START_MS + 61500), 0, 0);
}

static void what_lies_behind_a_pause_is_forgotten(void **state)
{
    struct rate rate = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        rate_add(&rate, START_MS + (uint64_t)i * 60);
    /* Just as long that the slots are those of before, and much longer. */
    rate_add(&rate, START_MS + 60000 + (RATE_SLOTS << RATE_SLOT_BITS));
    assert_true(rate_per_s(&rate, START_MS + 60000 + (RATE_SLOTS << RATE_SLOT_BITS)) < 1 / 57.0);
    assert_near(rate_per_s(&rate, START_MS + 86400000), 0, 0);
}

static void random_events_are_those_of_a_list(void **state)
{
    enum { N = 5000 };
    static uint64_t times[N];
    struct rate rate = {0};
    struct rng rng;
    uint64_t now_ms = START_MS;

    (void)state;
    rng_init(&rng, 11);
    for (int n = 0; n < N; n++) {
        now_ms += rng_below(&rng, 8) == 0 ? rng_below(&rng, 9000) : rng_below(&rng, 50);
        times[n] = now_ms;
        rate_add(&rate, now_ms);
        uint64_t least = (now_ms >> RATE_SLOT_BITS) - (RATE_SLOTS - 2), wanted = 0;
        for (int i = 0; i <= n; i++)
            wanted += times[i] >> RATE_SLOT_BITS >= least;
        uint64_t over_ms = now_ms - (least << RATE_SLOT_BITS) + 1;
        assert_near(rate_per_s(&rate, now_ms), (double)wanted * 1000 / (double)over_ms, 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happened_is_zero),
        cmocka_unit_test(steady_events_have_their_rate),
        cmocka_unit_test(an_event_counts_for_a_minute),
        cmocka_unit_test(what_lies_behind_a_pause_is_forgotten),
        cmocka_unit_test(random_events_are_those_of_a_list),
    };
    return cmocka_run_group_tests_name("core_rate", tests, NULL, NULL);
}
