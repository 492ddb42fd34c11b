/*
 * Fixed seeds of every scenario, named by what they show; and the seeds that failed once.
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

struct run {
    const char *scenario;
    size_t nodes_n; /* 0: the scenario's */
    uint64_t seed, seeds_n;
    uint64_t time_ms; /* 0: the scenario's */
    enum member_profile profile;
    bool check;
};

static uint64_t run_hash(const struct run *run, bool *ok_out)
{
    struct scn scn = {.scenario = scenario_find(run->scenario)};

    assert_non_null(scn.scenario);
    scn.options.nodes_n = run->nodes_n != 0 ? run->nodes_n : scn.scenario->nodes_default;
    scn.options.time_ms = run->time_ms != 0 ? run->time_ms : scn.scenario->time_default_ms;
    scn.options.profile = run->profile;
    scn.options.check = run->check;
    *ok_out = scenario_run(&scn, run->seed, run->seeds_n);
    if (scn.failures_n > 0)
        print_error("%.*s", (int)scn.failures.len, (char *)scn.failures.data);
    for (size_t i = 0; i < scn.targets_n; i++) {
        if (!scn.targets[i].met)
            print_error("%s is %g, target %g\n", scn.targets[i].name, scn.targets[i].value,
                        scn.targets[i].target);
    }
    uint64_t hash = scn.hash;
    scn_deinit(&scn);
    return hash;
}

static void holds(struct run run)
{
    bool ok = false;

    print_message("%s --seed %" PRIu64 " --seeds %" PRIu64 "\n", run.scenario, run.seed,
                  run.seeds_n);
    run_hash(&run, &ok);
    assert_true(ok);
}

/* ---- membership ---- */

static void crash_is_known_to_all_of_100_in_time(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-crash", .seed = 1, .seeds_n = 5});
}

static void crash_is_known_in_time_with_the_fast_profile(void **state)
{
    (void)state;
    holds(
        (struct run){.scenario = "member-crash", .seed = 1, .seeds_n = 5, .profile = MEMBER_FAST});
}

static void small_clusters_keep_their_bounds(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-small", .seed = 1, .seeds_n = 10});
    holds(
        (struct run){.scenario = "member-small", .seed = 1, .seeds_n = 10, .profile = MEMBER_FAST});
}

static void a_tenth_that_is_left_agrees_on_who_is_left(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-massacre", .seed = 1, .seeds_n = 3});
    holds((struct run){
        .scenario = "member-massacre", .nodes_n = 30, .seed = 1, .seeds_n = 3, .check = true});
}

static void nobody_is_called_failed_when_nothing_happens(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-idle",
                       .nodes_n = 20,
                       .seed = 1,
                       .seeds_n = 1,
                       .time_ms = 24 * 3600000});
    holds((struct run){
        .scenario = "member-idle", .nodes_n = 4, .seed = 1, .seeds_n = 1, .time_ms = 24 * 3600000});
    holds((struct run){
        .scenario = "member-idle", .nodes_n = 300, .seed = 1, .seeds_n = 1, .time_ms = 120000});
}

static void pauses_make_healthy_nodes_fail_fifty_times_less_with_lifeguard(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-pause", .seed = 1, .seeds_n = 2, .time_ms = 300000});
}

static void a_node_that_loses_most_accuses_nobody_for_good(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-lossy", .seed = 1, .seeds_n = 2});
}

static void a_deaf_and_a_mute_node_accuse_nobody_for_good(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-oneway", .seed = 1, .seeds_n = 2});
}

static void halves_find_each_other_without_seeds(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-partition", .seed = 1, .seeds_n = 5, .check = true});
}

static void churn_calls_nobody_healthy_failed(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-churn", .seed = 1, .seeds_n = 3});
    holds((struct run){
        .scenario = "member-churn", .nodes_n = 5, .seed = 1, .seeds_n = 5, .check = true});
}

static void a_power_cut_and_new_addresses_are_survived(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-powercut", .seed = 1, .seeds_n = 20, .check = true});
}

static void real_keys_and_sealed_datagrams_work_the_same(void **state)
{
    (void)state;
    holds((struct run){.scenario = "member-sealed", .seed = 1, .seeds_n = 1});
}

/* ---- shared state ---- */

static void views_are_one_and_leases_do_not_overlap(void **state)
{
    (void)state;
    holds((struct run){.scenario = "view-faults", .seed = 49, .seeds_n = 60});
}

static void mutexes_have_one_holder_and_growing_fences(void **state)
{
    (void)state;
    holds((struct run){.scenario = "mutex-faults", .seed = 1, .seeds_n = 30});
}

/* ---- calls and maps ---- */

static void writes_go_on_in_time_after_each_kind_of_death(void **state)
{
    (void)state;
    holds((struct run){.scenario = "state-failover", .seed = 1, .seeds_n = 10});
}

/* With 1,000 of them, the default: make sim-figures. */
static void what_hundreds_of_edges_cache_is_written_in_time(void **state)
{
    (void)state;
    holds((struct run){.scenario = "state-edges", .nodes_n = 403, .seed = 1, .seeds_n = 1});
}

static void calls_keep_their_promises_under_faults(void **state)
{
    (void)state;
    holds((struct run){.scenario = "rpc-faults", .seed = 1, .seeds_n = 20, .time_ms = 60000});
}

static void maps_hand_out_every_item_once_under_faults(void **state)
{
    (void)state;
    holds((struct run){.scenario = "map-faults", .seed = 1, .seeds_n = 40});
}

static void the_swarm_finds_nothing(void **state)
{
    (void)state;
    holds((struct run){.scenario = "swarm", .seed = 1, .seeds_n = 40, .time_ms = 60000});
}

/* ---- seeds that failed once ---- */

/* A pull that found nothing new was answered by an update that was taken for damage. */
static void a_pull_that_finds_nothing_new_is_answered(void **state)
{
    (void)state;
    holds((struct run){.scenario = "rpc-faults", .seed = 1, .seeds_n = 1, .time_ms = 30000});
}

/* A node that was free again but had no place for the few items left made the map always due. */
static void a_map_with_few_items_left_does_not_spin(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {27, 30, 55};

    for (size_t i = 0; i < 3; i++)
        holds((struct run){.scenario = "map-faults", .seed = seeds[i], .seeds_n = 1});
}

/* A copy of an idempotent call was refused, and the call was denied although its first copy ran. */
static void a_refused_copy_does_not_deny_that_the_first_ran(void **state)
{
    (void)state;
    holds((struct run){.scenario = "rpc-faults", .seed = 13, .seeds_n = 1, .time_ms = 60000});
}

/* Refused by a full channel, the call to a named node waited out its back-off after that node
 * failed. */
static void a_call_that_waits_for_its_next_try_ends_with_its_node(void **state)
{
    (void)state;
    holds((struct run){.scenario = "swarm", .seed = 21, .seeds_n = 1, .time_ms = 60000});
    holds((struct run){.scenario = "rpc-faults", .seed = 568, .seeds_n = 1, .time_ms = 60000});
}

/*
 * A node that came back elsewhere dialled its seed while that one tried it where it had been; the
 * world forgot the dial, twice in a row, and the node never heard of a view.
 */
static void a_node_that_moved_finds_its_seed_that_looks_for_it_elsewhere(void **state)
{
    (void)state;
    holds((struct run){.scenario = "view-faults", .seed = 2378, .seeds_n = 1});
    holds((struct run){.scenario = "view-faults", .seed = 2832, .seeds_n = 1});
}

/* A home told nobody of a change, as it did not know of the watch, and its word that all was told
 * counted for that watch, too. */
static void a_watch_hears_the_last_change_from_a_home_that_knows_of_it_late(void **state)
{
    (void)state;
    holds((struct run){.scenario = "state-swarm", .seed = 36945, .seeds_n = 1});
}

/*
 * No replica of a slot was left, and a disk was waited for whose node ran on another one. Nobody
 * led for long before, as a new stream stood still behind what a former one had lost; and it was
 * called dead for what it was asked ten seconds before its time was over.
 */
static void slots_are_served_soon_without_a_disk_that_is_gone(void **state)
{
    (void)state;
    holds((struct run){.scenario = "state-swarm", .seed = 43333, .seeds_n = 1});
}

/*
 * A watch registered at its home only when its link was up again, nine seconds after the faults.
 * What was written before that was deleted by then, and there was nothing to tell.
 */
static void a_watch_hears_nothing_of_what_came_and_went_before_it_was_known(void **state)
{
    (void)state;
    holds((struct run){.scenario = "state-swarm", .seed = 59164, .seeds_n = 1});
}

/* ---- files ---- */

static void files_are_one_catalogue_and_no_last_copy_goes(void **state)
{
    (void)state;
    holds((struct run){.scenario = "fs-faults", .seed = 1, .seeds_n = 8, .time_ms = 30000});
}

/*
 * A copy was given up, its record was gone and its file about to go, when the same content was put:
 * its file went, and the put was acknowledged.
 */
static void what_is_put_while_a_former_copy_goes_stays(void **state)
{
    (void)state;
    holds((struct run){.scenario = "fs-faults", .seed = 13, .seeds_n = 1});
}

/* Copies of deleted versions had all the lines of a path, and none was left for one that nobody
 * named any more. */
static void a_version_that_nobody_names_finds_a_line(void **state)
{
    (void)state;
    holds((struct run){.scenario = "fs-faults", .seed = 3, .seeds_n = 1});
}

/* Of two that have a content one gave its copy up, 45 ms after a user of the other had put
 * something else under its name: its bytes are there for ten seconds more. */
static void what_a_user_replaces_is_there_for_a_while(void **state)
{
    (void)state;
    holds((struct run){.scenario = "fs-faults", .seed = 2055, .seeds_n = 1});
}

/* ---- determinism ---- */

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    static const struct run runs[] = {
        {.scenario = "member-pause", .nodes_n = 20, .seed = 3, .seeds_n = 1, .time_ms = 60000},
        {.scenario = "member-sealed", .seed = 3, .seeds_n = 1},
        {.scenario = "rpc-faults", .seed = 3, .seeds_n = 1, .time_ms = 20000},
        {.scenario = "map-faults", .seed = 3, .seeds_n = 1, .time_ms = 20000},
        {.scenario = "swarm", .seed = 3, .seeds_n = 3, .time_ms = 20000},
        {.scenario = "state-failover", .seed = 3, .seeds_n = 1},
        {.scenario = "fs-faults", .seed = 5, .seeds_n = 1, .time_ms = 20000},
        {.scenario = "state-edges", .nodes_n = 23, .seed = 3, .seeds_n = 1},
    };
    bool ok;

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        struct run other = runs[i];

        other.seed++;
        uint64_t hash = run_hash(&runs[i], &ok);
        assert_int_equal(hash, run_hash(&runs[i], &ok));
        assert_int_not_equal(hash, run_hash(&other, &ok));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_is_known_to_all_of_100_in_time),
        cmocka_unit_test(crash_is_known_in_time_with_the_fast_profile),
        cmocka_unit_test(small_clusters_keep_their_bounds),
        cmocka_unit_test(a_tenth_that_is_left_agrees_on_who_is_left),
        cmocka_unit_test(nobody_is_called_failed_when_nothing_happens),
        cmocka_unit_test(pauses_make_healthy_nodes_fail_fifty_times_less_with_lifeguard),
        cmocka_unit_test(a_node_that_loses_most_accuses_nobody_for_good),
        cmocka_unit_test(a_deaf_and_a_mute_node_accuse_nobody_for_good),
        cmocka_unit_test(halves_find_each_other_without_seeds),
        cmocka_unit_test(churn_calls_nobody_healthy_failed),
        cmocka_unit_test(a_power_cut_and_new_addresses_are_survived),
        cmocka_unit_test(real_keys_and_sealed_datagrams_work_the_same),
        cmocka_unit_test(views_are_one_and_leases_do_not_overlap),
        cmocka_unit_test(mutexes_have_one_holder_and_growing_fences),
        cmocka_unit_test(writes_go_on_in_time_after_each_kind_of_death),
        cmocka_unit_test(what_hundreds_of_edges_cache_is_written_in_time),
        cmocka_unit_test(calls_keep_their_promises_under_faults),
        cmocka_unit_test(maps_hand_out_every_item_once_under_faults),
        cmocka_unit_test(the_swarm_finds_nothing),
        cmocka_unit_test(a_pull_that_finds_nothing_new_is_answered),
        cmocka_unit_test(a_map_with_few_items_left_does_not_spin),
        cmocka_unit_test(a_refused_copy_does_not_deny_that_the_first_ran),
        cmocka_unit_test(a_call_that_waits_for_its_next_try_ends_with_its_node),
        cmocka_unit_test(a_node_that_moved_finds_its_seed_that_looks_for_it_elsewhere),
        cmocka_unit_test(a_watch_hears_the_last_change_from_a_home_that_knows_of_it_late),
        cmocka_unit_test(slots_are_served_soon_without_a_disk_that_is_gone),
        cmocka_unit_test(a_watch_hears_nothing_of_what_came_and_went_before_it_was_known),
        cmocka_unit_test(files_are_one_catalogue_and_no_last_copy_goes),
        cmocka_unit_test(what_is_put_while_a_former_copy_goes_stays),
        cmocka_unit_test(a_version_that_nobody_names_finds_a_line),
        cmocka_unit_test(what_a_user_replaces_is_there_for_a_while),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
