/*
 * The mutation gate: without a rule that matters the simulator must find something wrong. This
 * program is built with switches in the cores (core/mutant.h); with all of them off every scenario
 * used here must pass, or catching a mutant would mean nothing.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../sim/scenario.h"
#include "core/mutant.h"

static bool passes(const char *name, uint64_t seed, uint64_t time_ms)
{
    struct scn scn = {.scenario = scenario_find(name)};

    assert_non_null(scn.scenario);
    scn.options.nodes_n = scn.scenario->nodes_default;
    scn.options.time_ms = time_ms;
    bool ok = scenario_run(&scn, seed, 1);
    if (!ok && mutant_on == MUTANT_NONE)
        print_error("%s, seed %" PRIu64 ": %.*s\n", name, seed, (int)scn.failures.len,
                    (char *)scn.failures.data);
    scn_deinit(&scn);
    return ok;
}

static void caught(enum mutant mutant, const char *scenario, uint64_t seeds_n, uint64_t time_ms)
{
    uint64_t seed = 1;

    for (mutant_on = MUTANT_NONE; seed <= 3; seed++)
        assert_true(passes(scenario, seed, time_ms));
    mutant_on = mutant;
    for (seed = 1; seed <= seeds_n && passes(scenario, seed, time_ms);)
        seed++;
    mutant_on = MUTANT_NONE;
    print_message("%s: %s, seed %" PRIu64 "\n", mutant_names[mutant], scenario, seed);
    assert_true(seed <= seeds_n);
}

static void a_suspect_that_does_not_refute_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MEMBER_NO_REFUTE, "swarm", 30, 60000);
}

static void not_looking_for_failed_nodes_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MEMBER_NO_RETRY, "member-partition", 5, 0);
}

static void news_of_a_former_boot_that_count_are_caught(void **state)
{
    (void)state;
    caught(MUTANT_MEMBER_ANY_BOOT, "member-churn", 20, 300000);
}

static void a_sick_judge_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MEMBER_SICK_JUDGES, "member-oneway", 5, 600000);
}

static void time_slept_through_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MEMBER_NO_LAG, "member-pause", 5, 300000);
}

static void running_a_call_twice_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_RPC_NO_DEDUPE, "rpc-faults", 30, 60000);
}

static void running_a_call_of_a_former_boot_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_RPC_NO_TARGET_BOOT, "rpc-faults", 30, 60000);
}

static void retrying_unknown_outcomes_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_RPC_RETRY_UNKNOWN, "rpc-faults", 30, 60000);
}

static void calls_that_outlive_their_node_are_caught(void **state)
{
    (void)state;
    caught(MUTANT_RPC_NO_END_AT_FAILURE, "rpc-faults", 30, 60000);
}

static void running_what_was_forgotten_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_RPC_FORGOTTEN_RUNS, "rpc-faults", 60, 60000);
}

static void taking_a_result_of_anybody_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MAP_ANY_DONE, "map-faults", 60, 60000);
}

static void a_map_without_order_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MAP_NO_ORDER, "map-faults", 5, 60000);
}

static void what_is_chosen_and_serves_at_once_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_NO_ACTIVATION_RECORD, "view-faults", 20, 120000);
}

static void counting_the_excluded_as_ended_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_NO_LEASE_WAIT, "view-faults", 60, 120000);
}

static void promises_that_are_not_on_disk_are_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_FORGET_PROMISE, "view-faults", 60, 120000);
}

static void a_move_without_release_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_NO_RELEASE, "view-faults", 30, 120000);
}

static void a_promise_within_a_lease_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_NO_PROMISE_HOLD, "view-faults", 20, 120000);
}

static void a_lease_from_its_receipt_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_VIEW_LEASE_FROM_REPLY, "view-faults", 40, 120000);
}

static void tokens_of_any_generation_are_caught(void **state)
{
    (void)state;
    caught(MUTANT_MUTEX_ANY_GENERATION, "mutex-faults", 40, 120000);
}

static void a_token_that_comes_twice_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MUTEX_NO_TRANSFER_NO, "mutex-faults", 20, 120000);
}

static void a_token_made_before_all_reported_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MUTEX_SOME_REPORTS, "mutex-faults", 40, 120000);
}

static void a_home_that_creates_without_a_record_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MUTEX_HOME_CREATES, "mutex-faults", 20, 120000);
}

static void entering_without_a_lease_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_MUTEX_NO_LEASE_CHECK, "mutex-faults", 30, 120000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suspect_that_does_not_refute_is_caught),
        cmocka_unit_test(not_looking_for_failed_nodes_is_caught),
        cmocka_unit_test(news_of_a_former_boot_that_count_are_caught),
        cmocka_unit_test(a_sick_judge_is_caught),
        cmocka_unit_test(time_slept_through_is_caught),
        cmocka_unit_test(running_a_call_twice_is_caught),
        cmocka_unit_test(running_a_call_of_a_former_boot_is_caught),
        cmocka_unit_test(retrying_unknown_outcomes_is_caught),
        cmocka_unit_test(calls_that_outlive_their_node_are_caught),
        cmocka_unit_test(running_what_was_forgotten_is_caught),
        cmocka_unit_test(taking_a_result_of_anybody_is_caught),
        cmocka_unit_test(a_map_without_order_is_caught),
        cmocka_unit_test(what_is_chosen_and_serves_at_once_is_caught),
        cmocka_unit_test(counting_the_excluded_as_ended_is_caught),
        cmocka_unit_test(promises_that_are_not_on_disk_are_caught),
        cmocka_unit_test(a_move_without_release_is_caught),
        cmocka_unit_test(a_promise_within_a_lease_is_caught),
        cmocka_unit_test(a_lease_from_its_receipt_is_caught),
        cmocka_unit_test(tokens_of_any_generation_are_caught),
        cmocka_unit_test(a_token_that_comes_twice_is_caught),
        cmocka_unit_test(a_token_made_before_all_reported_is_caught),
        cmocka_unit_test(a_home_that_creates_without_a_record_is_caught),
        cmocka_unit_test(entering_without_a_lease_is_caught),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
