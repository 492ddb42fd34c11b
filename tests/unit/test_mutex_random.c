/*
 * The whole protocol in the world of test_mutex_world.c, seed after seed.
 *
 * KITH_MUTEX_SEEDS=N runs N seeds of each kind, from KITH_MUTEX_FROM on, instead of the few of a
 * plain run.
 */
#include "lib/test.h"
#include "test_mutex_world.h"

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void run_seeds(const char *what, const struct world_options *options, uint64_t n)
{
    uint64_t from = from_env("KITH_MUTEX_FROM", 1);
    struct world_result all = {0}, r;
    n = from_env("KITH_MUTEX_SEEDS", n);
    for (uint64_t seed = from; seed < from + n; seed++) {
        world_run(seed, options, &r);
        if (r.failure[0] != '\0')
            fail_msg("%s, seed %llu: %s", what, (unsigned long long)seed, r.failure);
        all.grants += r.grants;
        all.recoveries += r.recoveries;
        all.passed += r.passed;
        all.lost += r.lost;
        all.steps += r.steps;
    }
    print_message(
        "%s: %llu seeds, %llu steps, %llu grants, %llu tokens passed, %llu recoveries, %llu lost\n",
        what, (unsigned long long)n, (unsigned long long)all.steps, (unsigned long long)all.grants,
        (unsigned long long)all.passed, (unsigned long long)all.recoveries,
        (unsigned long long)all.lost);
    assert_true(all.grants > n); /* it was used at all */
}

static void keepers_pass_a_token_under_faults(void **state)
{
    (void)state;
    run_seeds("keepers", &(struct world_options){.keepers_n = 4, .faults_ms = 30000}, 60);
}

static void keepers_and_edges_pass_a_token_under_faults(void **state)
{
    (void)state;
    run_seeds("mixed", &(struct world_options){.faults_ms = 30000}, 60);
}

static void readers_and_writers_queue_under_faults(void **state)
{
    (void)state;
    run_seeds("shared", &(struct world_options){.faults_ms = 30000, .shared = true}, 40);
}

static void permits_queue_under_faults(void **state)
{
    (void)state;
    run_seeds("permits", &(struct world_options){.faults_ms = 30000, .permits = true}, 40);
}

static void a_crowd_turns_a_token_into_a_queue(void **state)
{
    (void)state;
    run_seeds(
        "crowd",
        &(struct world_options){.keepers_n = 4, .edges_n = 4, .faults_ms = 30000, .token_max = 3},
        40);
}

static void without_faults_nothing_is_recovered_or_lost(void **state)
{
    struct world_options o = {
        .keepers_n = 3, .edges_n = 2, .faults_ms = 20000, .calm = true, .idle_ms = 60000};
    struct world_result r;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world_run(seed, &o, &r);
        assert_string_equal(r.failure, "");
        assert_int_equal(r.lost, 0);
        assert_int_equal(r.recoveries, 0);
        assert_true(r.grants > 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_nothing_is_recovered_or_lost),
        cmocka_unit_test(keepers_pass_a_token_under_faults),
        cmocka_unit_test(keepers_and_edges_pass_a_token_under_faults),
        cmocka_unit_test(readers_and_writers_queue_under_faults),
        cmocka_unit_test(permits_queue_under_faults),
        cmocka_unit_test(a_crowd_turns_a_token_into_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
