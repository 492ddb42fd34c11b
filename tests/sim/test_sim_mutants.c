/*
 * The mutation gate: without a rule that matters the simulator must find something wrong. This
 * program is built with switches in the cores (core/mutant.h); with all of them off every scenario
 * used here must pass, or catching a mutant would mean nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../sim/scenario.h"
#include "core/mutant.h"

static bool passes(const char *name, uint64_t seed, uint64_t time_ms)
{
    struct scn scn = {.scenario = scenario_find(name)};

    assert_non_null(scn.scenario);
    scn.options.nodes_n = scn.scenario->nodes_default;
    scn.options.time_ms = time_ms != 0 ? time_ms : scn.scenario->time_default_ms;
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

/* ---- shared state ---- */

/* An assertion of a core that fails counts, too: so each seed has a process of its own. */
static bool passes_apart(enum mutant mutant, const char *scenario, uint64_t seed)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        mutant_on = mutant;
        if (mutant != MUTANT_NONE)
            (void)freopen("/dev/null", "w", stderr);
        _exit(passes(scenario, seed, 0) ? 0 : 1);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* From the seed on that is known to show it, as a rare one would cost minutes each time; what the
 * protocol does may change which one that is. The whole protocol passes the same seeds. */
static void noticed(enum mutant mutant, const char *scenario, uint64_t from, uint64_t seeds_n)
{
    uint64_t seed = from;

    while (seed < from + seeds_n && passes_apart(mutant, scenario, seed))
        seed++;
    print_message("%s: %s, seed %" PRIu64 "\n", mutant_names[mutant], scenario, seed);
    assert_true(seed < from + seeds_n);
    for (uint64_t whole = seed > from + 5 ? seed - 5 : from; whole <= seed; whole++)
        assert_true(passes_apart(MUTANT_NONE, scenario, whole));
}

#define GATE(mutant, scenario, from, seeds)                                                        \
    static void mutant##_is_noticed(void **state)                                                  \
    {                                                                                              \
        (void)state;                                                                               \
        noticed(MUTANT_##mutant, scenario, from, seeds);                                           \
    }

GATE(VIEW_NO_ACTIVATION_RECORD, "view-faults", 1, 20)
GATE(VIEW_SAME_MEMBER_AFTER_RESTART, "view-faults", 2, 20)
GATE(VIEW_NO_LEASE_WAIT, "view-faults", 1, 60)
GATE(VIEW_MINT_ALONE, "view-faults", 51, 60)
GATE(VIEW_FORGET_PROMISE, "view-faults", 1, 60)
GATE(VIEW_ROLLED_BACK_VOTER, "view-faults", 43, 60)
GATE(VIEW_NO_RELEASE, "view-faults", 1, 30)
GATE(VIEW_NO_JOINT_LEASE, "view-faults", 23, 20)
GATE(VIEW_NO_SITOUT, "view-faults", 7, 60)
GATE(VIEW_NO_PROMISE_HOLD, "view-faults", 1, 20)
GATE(VIEW_LEASE_FROM_REPLY, "view-faults", 18, 60)
GATE(VIEW_LEASE_OF_ANY_MEMBER, "view-faults", 38, 100)
GATE(VIEW_NO_NESTING, "view-faults", 11, 60)
GATE(VIEW_ONLY_VOTER_FORGETS_LEASES, "view-faults", 15, 60)
GATE(VIEW_ONLY_VOTER_TRUSTS_DISK, "view-faults", 29, 1)
GATE(MUTEX_NO_FREEZE, "mutex-faults", 10, 120)
GATE(MUTEX_ANY_GENERATION, "mutex-faults", 1, 40)
GATE(MUTEX_NO_LEASE_WAIT, "mutex-faults", 1, 20)
GATE(MUTEX_NO_TRANSFER_NO, "mutex-faults", 1, 20)
GATE(MUTEX_SOME_REPORTS, "mutex-faults", 1, 40)
GATE(MUTEX_SHRINKING_SET, "mutex-faults", 19, 120)
GATE(MUTEX_HOME_CREATES, "mutex-faults", 1, 20)
GATE(MUTEX_NO_LEASE_CHECK, "mutex-faults", 1, 40)
GATE(MUTEX_NO_GRACE, "mutex-faults", 9, 40)
GATE(MUTEX_NO_FLOOR, "mutex-faults", 5, 40)
GATE(DVAR_SILENT_LOSS, "dvar-faults", 2, 10)
GATE(FS_STRAYS_GO, "fs-faults", 1, 10)
GATE(FS_REMOVE_RACES, "fs-faults", 7, 10)
GATE(FS_ORPHANS_DROPPED, "fs-faults", 1, 10)
GATE(FS_NO_WINDOW, "fs-faults", 1, 10)
GATE(FS_NO_REPAIR, "fs-faults", 10, 1)
GATE(FS_ANNOUNCED_EARLY, "fs-faults", 1, 10)

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
        cmocka_unit_test(VIEW_NO_ACTIVATION_RECORD_is_noticed),
        cmocka_unit_test(VIEW_SAME_MEMBER_AFTER_RESTART_is_noticed),
        cmocka_unit_test(VIEW_NO_LEASE_WAIT_is_noticed),
        cmocka_unit_test(VIEW_MINT_ALONE_is_noticed),
        cmocka_unit_test(VIEW_FORGET_PROMISE_is_noticed),
        cmocka_unit_test(VIEW_ROLLED_BACK_VOTER_is_noticed),
        cmocka_unit_test(VIEW_NO_RELEASE_is_noticed),
        cmocka_unit_test(VIEW_NO_JOINT_LEASE_is_noticed),
        cmocka_unit_test(VIEW_NO_SITOUT_is_noticed),
        cmocka_unit_test(VIEW_NO_PROMISE_HOLD_is_noticed),
        cmocka_unit_test(VIEW_LEASE_FROM_REPLY_is_noticed),
        cmocka_unit_test(VIEW_LEASE_OF_ANY_MEMBER_is_noticed),
        cmocka_unit_test(VIEW_NO_NESTING_is_noticed),
        cmocka_unit_test(VIEW_ONLY_VOTER_FORGETS_LEASES_is_noticed),
        cmocka_unit_test(VIEW_ONLY_VOTER_TRUSTS_DISK_is_noticed),
        cmocka_unit_test(MUTEX_NO_FREEZE_is_noticed),
        cmocka_unit_test(MUTEX_ANY_GENERATION_is_noticed),
        cmocka_unit_test(MUTEX_NO_LEASE_WAIT_is_noticed),
        cmocka_unit_test(MUTEX_NO_TRANSFER_NO_is_noticed),
        cmocka_unit_test(MUTEX_SOME_REPORTS_is_noticed),
        cmocka_unit_test(MUTEX_SHRINKING_SET_is_noticed),
        cmocka_unit_test(MUTEX_HOME_CREATES_is_noticed),
        cmocka_unit_test(MUTEX_NO_LEASE_CHECK_is_noticed),
        cmocka_unit_test(MUTEX_NO_GRACE_is_noticed),
        cmocka_unit_test(MUTEX_NO_FLOOR_is_noticed),
        cmocka_unit_test(DVAR_SILENT_LOSS_is_noticed),
        cmocka_unit_test(FS_STRAYS_GO_is_noticed),
        cmocka_unit_test(FS_REMOVE_RACES_is_noticed),
        cmocka_unit_test(FS_ORPHANS_DROPPED_is_noticed),
        cmocka_unit_test(FS_NO_WINDOW_is_noticed),
        cmocka_unit_test(FS_NO_REPAIR_is_noticed),
        cmocka_unit_test(FS_ANNOUNCED_EARLY_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
