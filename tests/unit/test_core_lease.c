/*
 * Leases against exact arithmetic: whatever the clocks do within a tenth, the lessor outlasts the
 * lessee.
 */
#include "core/lease.h"

#include "core/rng.h"
#include "lib/test.h"

/* Real time in units of 1/1000 ms; a clock of rate @permille shows floor(real * permille / 1000).
 */
static uint64_t clock_ms(uint64_t real_us, uint64_t permille)
{
    return real_us * permille / 1000 / 1000;
}

static void lessor_outlasts_lessee_at_any_two_rates(void **state)
{
    (void)state;
    struct rng rng = test_rng();

    for (unsigned run = 0; run < 200000; run++) {
        uint64_t lessee_rate = 900 + rng_below(&rng, 201);
        uint64_t lessor_rate = 900 + rng_below(&rng, 201);
        uint64_t sent_us = 1000000 + rng_below(&rng, 1000000);
        uint64_t replied_us = sent_us + rng_below(&rng, 50000);
        uint64_t duration_ms = 1 + rng_below(&rng, 4000);
        uint64_t lessee_until_ms =
            lease_lessee_until_ms(clock_ms(sent_us, lessee_rate), duration_ms);
        uint64_t lessor_until_ms =
            lease_lessor_until_ms(clock_ms(replied_us, lessor_rate), duration_ms);
        /* The first real time at which the lessor may take the lease for ended. */
        uint64_t ended_us = lessor_until_ms * 1000 * 1000 / lessor_rate;
        while (clock_ms(ended_us, lessor_rate) < lessor_until_ms)
            ended_us++;
        assert_true(clock_ms(ended_us, lessee_rate) >= lessee_until_ms);
    }
}

static void nested_lease_ends_before_the_one_it_stands_on(void **state)
{
    (void)state;
    struct rng rng = test_rng();

    for (unsigned run = 0; run < 100000; run++) {
        uint64_t now_ms = rng_below(&rng, 1000000);
        uint64_t until_ms = now_ms + rng_below(&rng, 5000);
        uint64_t granted_ms = lease_nested_ms(until_ms, now_ms);
        /* Its lessor counts it for as long as d / f: not beyond its own lease. */
        assert_true(now_ms + granted_ms * LEASE_F_DEN / LEASE_F_NUM <= until_ms);
    }
    assert_int_equal(lease_nested_ms(10, 10), 0);
    assert_int_equal(lease_nested_ms(10, 11), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lessor_outlasts_lessee_at_any_two_rates),
        cmocka_unit_test(nested_lease_ends_before_the_one_it_stands_on),
    };
    return cmocka_run_group_tests_name("core_lease", tests, NULL, NULL);
}
