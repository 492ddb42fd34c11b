/*
 * SWIM with Lifeguard: joining, failing, refuting, restarting, the bounds of
 * docs/protocols/member.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/test.h"
#include "test_member_world.h"

static uint64_t failed_after(struct world *world, size_t victim, uint64_t at_most_ms)
{
    uint64_t from = world->now_ms;
    assert_true(world_run_until(world, world_all_failed, &victim, at_most_ms));
    return world->now_ms - from;
}

static void nodes_with_a_common_seed_all_see_each_other(void **state)
{
    (void)state;
    struct world *world = world_new(12, 1, NULL);
    for (size_t i = 0; i < 12; i++) {
        world_boot(world, i);
        if (i > 0)
            world_seed(world, i, "t:0");
    }
    assert_true(world_run_until(world, world_all_alive, NULL, 2000));
    for (size_t i = 0; i < 12; i++)
        for (size_t j = 0; j < 12; j++)
            if (i != j)
                assert_int_equal(world_changes(world, i, j, MEMBER_JOINED), 1);
    world_free(world);
}

static void quiet_cluster_suspects_nobody_for_an_hour(void **state)
{
    (void)state;
    struct world *world = world_new(8, 2, NULL);
    world_boot_all_joined(world);
    world->check_each_step = false;
    world_run(world, 3600 * 1000);
    assert_int_equal(world_count(world, MEMBER_SUSPECT), 0);
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    world_free(world);
}

static void idle_cluster_of_four_is_quiet_on_the_wire(void **state)
{
    (void)state;
    struct world *world = world_new(4, 3, NULL);
    world_boot_all_joined(world);
    world_run(world, 10 * 1000);
    for (size_t i = 0; i < 4; i++)
        world->nodes[i].bytes = world->nodes[i].datagrams = 0;
    world_run(world, 100 * 1000);
    for (size_t i = 0; i < 4; i++) {
        /* Sealed: 28 of UDP/IP, 42 of header, 16 of boot and counter, 16 of tag. */
        uint64_t wire = world->nodes[i].bytes + world->nodes[i].datagrams * (28 + 42 + 16 + 16);
        assert_true(wire / 100 / 3 < 200); /* a second and peer; the goal is 512 */
    }
    world_free(world);
}

/* The bounds of docs/protocols/member.md, section 'How long it takes'. */
static void crash_is_seen_within_the_documented_bound(size_t n, uint64_t bound_ms, bool reset)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *world = world_new(n, seed, NULL);
        world_boot_all_joined(world);
        world_run(world, 20 * 1000 + rng_below(&world->rng, 5000));
        world_crash(world, n - 1, reset);
        uint64_t took = failed_after(world, n - 1, bound_ms);
        assert_true(took >= 4000);
        for (size_t i = 0; i < n - 1; i++) {
            assert_int_equal(world_changes(world, i, n - 1, MEMBER_FAILED), 1);
            for (size_t j = 0; j < n - 1; j++)
                assert_int_equal(world_changes(world, i, j, MEMBER_FAILED), 0);
        }
        world_free(world);
    }
}

static void crash_in_a_pair_is_seen_within_its_bound(void **state)
{
    (void)state;
    crash_is_seen_within_the_documented_bound(2, 14500, false);
}

static void crash_among_three_is_seen_within_its_bound(void **state)
{
    (void)state;
    crash_is_seen_within_the_documented_bound(3, 16700, false);
}

static void crash_among_four_is_seen_within_its_bound(void **state)
{
    (void)state;
    crash_is_seen_within_the_documented_bound(4, 10500, false);
}

static void all_others_gone_is_seen_by_the_last_within_its_bound(void **state)
{
    (void)state;
    static const uint64_t bounds_ms[] = {[2] = 14500, [3] = 17000, [4] = 35200};
    for (size_t n = 2; n <= 4; n++) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct world *world = world_new(n, seed, NULL);
            world_boot_all_joined(world);
            world_run(world, 20 * 1000 + rng_below(&world->rng, 5000));
            for (size_t i = 1; i < n; i++)
                world_crash(world, i, false);
            assert_true(world_run_until(world, world_all_alive, NULL, bounds_ms[n]));
            world_free(world);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median_of_a_hundred(enum member_profile profile, unsigned rounds)
{
    struct member_config config = {.profile = profile};
    uint64_t took[64];
    struct world *world = world_new(100, 7, &config);
    world->check_each_step = false;
    world->delay_spread_ms = 1;
    world_boot_all_joined(world);
    for (unsigned i = 0; i < rounds; i++) {
        size_t victim = 1 + (size_t)rng_below(&world->rng, 99);
        world_run(world, 20 * 1000 + rng_below(&world->rng, 3000));
        world_crash(world, victim, false);
        took[i] = failed_after(world, victim, 60 * 1000);
        world_boot(world, victim);
        world_seed(world, victim, "t:0");
        assert_true(world_run_until(world, world_all_alive, NULL, 10 * 1000));
    }
    world_free(world);
    qsort(took, rounds, sizeof(took[0]), by_value);
    print_message("# 100 nodes, profile %d: least %llu, median %llu, most %llu ms\n", (int)profile,
                  (unsigned long long)took[0], (unsigned long long)took[rounds / 2],
                  (unsigned long long)took[rounds - 1]);
    return took[rounds / 2];
}

static void crash_among_a_hundred_is_seen_by_all_in_time(void **state)
{
    (void)state;
    assert_true(median_of_a_hundred(MEMBER_LAN, 15) <= 10500);
}

static void crash_among_a_hundred_is_seen_faster_with_fast(void **state)
{
    (void)state;
    assert_true(median_of_a_hundred(MEMBER_FAST, 15) <= 6000);
}

static void short_pause_is_suspected_and_refuted(void **state)
{
    (void)state;
    struct world *world = world_new(5, 4, NULL);
    world_boot_all_joined(world);
    world_run(world, 5000);
    world_pause(world, 3, 3500);
    world_run(world, 3400);
    assert_true(world_count(world, MEMBER_SUSPECT) > 0);
    assert_true(world_run_until(world, world_all_alive, NULL, 3000));
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    assert_true(world_count(world, MEMBER_REFUTED) > 0);
    assert_true(world->nodes[3].core->self->pub.incarnation > 0);
    world_free(world);
}

static void node_that_was_paused_accuses_nobody_in_haste(void **state)
{
    (void)state;
    struct world *world = world_new(10, 5, NULL);
    world_boot_all_joined(world);
    for (int i = 0; i < 20; i++) {
        world_run(world, 20 * 1000);
        world_pause(world, 2, 700 + 300 * (uint64_t)i);
        world_run(world, 700 + 300 * (uint64_t)i + 5000);
    }
    for (size_t i = 0; i < 10; i++) {
        if (i != 2)
            assert_int_equal(world_changes(world, 2, i, MEMBER_FAILED), 0);
    }
    assert_true(world->nodes[2].core->stats.lags >= 19);
    world_free(world);
}

static void failed_node_that_wakes_refutes_and_is_back(void **state)
{
    (void)state;
    struct world *world = world_new(6, 6, NULL);
    size_t victim = 4;
    world_boot_all_joined(world);
    world_pause(world, victim, 60 * 1000);
    failed_after(world, victim, 40 * 1000);
    world_run(world, 61 * 1000 - (world->now_ms % 1000));
    assert_true(world_run_until(world, world_all_alive, NULL, 10 * 1000));
    for (size_t i = 0; i < 6; i++) {
        if (i == victim)
            continue;
        assert_int_equal(world_changes(world, i, victim, MEMBER_FAILED), 1);
        assert_int_equal(world_changes(world, i, victim, MEMBER_JOINED), 2);
        assert_int_equal(world_changes(world, victim, i, MEMBER_FAILED), 0);
    }
    world_free(world);
}

static void restart_refutes_whatever_was_said_of_the_last_boot(void **state)
{
    (void)state;
    struct world *world = world_new(5, 8, NULL);
    size_t victim = 2;
    world_boot_all_joined(world);
    world_crash(world, victim, false);
    failed_after(world, victim, 30 * 1000);
    world_boot(world, victim);
    world_seed(world, victim, "t:0");
    assert_true(world_run_until(world, world_all_alive, NULL, 3000));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(world_mnode(world, i, victim)->pub.boot_no, 2);
    world_free(world);
}

static void restart_within_the_probe_interval_is_told_as_joined_again(void **state)
{
    (void)state;
    struct world *world = world_new(4, 9, NULL);
    world_boot_all_joined(world);
    world_run(world, 3000);
    world_crash(world, 2, true);
    world_boot(world, 2);
    world_seed(world, 2, "t:0");
    world_run(world, 3000);
    for (size_t i = 0; i < 4; i++) {
        if (i == 2)
            continue;
        assert_int_equal(world_changes(world, i, 2, MEMBER_JOINED), 2);
        assert_int_equal(world_changes(world, i, 2, MEMBER_FAILED), 0);
        assert_int_equal(world_mnode(world, i, 2)->pub.boot_no, 2);
        assert_true(world_mnode(world, i, 2)->record_current);
    }
    world_free(world);
}

static void link_cut_between_two_of_many_fails_nobody(void **state)
{
    (void)state;
    /* Non-transitive: 1 and 2 do not reach each other, all others reach both. */
    struct world *world = world_new(6, 10, NULL);
    world_boot_all_joined(world);
    world_cut(world, 1, 2, true);
    world->check_each_step = false;
    world_run(world, 300 * 1000);
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    assert_int_equal(world_sees(world, 1, 2), KITH_STATUS_ALIVE);
    assert_true(world->nodes[1].core->stats.indirect_probes > 0);
    world_free(world);
}

static void sick_node_may_suspect_but_not_confirm(void **state)
{
    (void)state;
    /* It hears nothing at all, but its accusations go out. */
    struct world *world = world_new(100, 11, NULL);
    size_t sick = 7;
    world->check_each_step = false;
    world_boot_all_joined(world);
    for (size_t i = 0; i < 100; i++)
        if (i != sick)
            world_cut_from(world, i, sick, true);
    world_run(world, test_rounds(1800) * 1000);
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 100; j++)
            if (j != sick)
                assert_int_equal(world_changes(world, i, j, MEMBER_FAILED), 0);
    assert_true(member_health(world->nodes[sick].core) >= HEALTH_NO_CONFIRM);
    assert_true(world_all_failed(world, &sick));
    world_free(world);
}

static void node_that_is_left_alone_says_so_in_the_end(void **state)
{
    (void)state;
    struct world *world = world_new(9, 12, NULL);
    world_boot_all_joined(world);
    world->check_each_step = false;
    for (size_t i = 1; i < 9; i++)
        world_crash(world, i, false);
    world_run(world, 120 * 1000);
    for (size_t i = 1; i < 9; i++)
        assert_int_equal(world_sees(world, 0, i), KITH_STATUS_FAILED);
    assert_int_equal(member_health(world->nodes[0].core), 0);
    world_free(world);
}

static void room_that_goes_dark_is_seen_by_the_survivors(void **state)
{
    (void)state;
    struct world *world = world_new(100, 13, NULL);
    world->check_each_step = false;
    world_boot_all_joined(world);
    world_run(world, 10 * 1000);
    for (size_t i = 10; i < 100; i++)
        world_crash(world, i, false);
    uint64_t from = world->now_ms;
    assert_true(world_run_until(world, world_all_alive, NULL, 500 * 1000));
    print_message("# 90 of 100 gone: seen after %llu ms\n",
                  (unsigned long long)(world->now_ms - from));
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 10; j++)
            assert_int_equal(world_changes(world, i, j, MEMBER_FAILED), 0);
    world_free(world);
}

static void lossy_ingress_of_one_fails_no_healthy_node(void **state)
{
    (void)state;
    struct world *world = world_new(40, 14, NULL);
    world->check_each_step = false;
    world_boot_all_joined(world);
    world->nodes[5].ingress_loss = 0.8;
    world_run(world, test_rounds(1800) * 1000);
    for (size_t i = 0; i < 40; i++)
        for (size_t j = 0; j < 40; j++)
            if (j != 5)
                assert_int_equal(world_changes(world, i, j, MEMBER_FAILED), 0);
    world_free(world);
}

static void tenth_of_datagrams_lost_fails_nobody(void **state)
{
    (void)state;
    struct world *world = world_new(10, 15, NULL);
    world->check_each_step = false;
    world_boot_all_joined(world);
    world->loss = 0.1;
    world_run(world, test_rounds(1800) * 1000);
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    world_free(world);
}

/* FAILED said of nodes that never were paused, while a tenth of the others sleeps now and then. */
static size_t false_failures_with_pauses(bool lifeguard_off)
{
    struct member_config config = {.lifeguard_off = lifeguard_off};
    struct world *world = world_new(100, 17, &config);
    uint64_t wake_ms[10];
    world->check_each_step = false;
    world_boot_all_joined(world);
    world->loss = 0.15;
    for (size_t i = 0; i < 10; i++)
        wake_ms[i] = world->now_ms + rng_below(&world->rng, 10000);
    for (uint64_t end_ms = world->now_ms + 300 * 1000; world->now_ms < end_ms;) {
        world_run(world, 100);
        for (size_t i = 0; i < 10; i++) {
            if (world->now_ms < wake_ms[i])
                continue;
            uint64_t for_ms = 500 + rng_below(&world->rng, 19500);
            world_pause(world, 10 * i + 5, for_ms);
            wake_ms[i] = world->now_ms + for_ms + rng_below(&world->rng, 20000);
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < world->changes_n; i++)
        n += world->changes[i].change == MEMBER_FAILED && world->changes[i].about % 10 != 5;
    world_free(world);
    return n;
}

static void sleepers_make_fifty_times_fewer_false_failures_than_plain_swim(void **state)
{
    (void)state;
    size_t with = false_failures_with_pauses(false);
    size_t without = false_failures_with_pauses(true);
    print_message("# 10 %% asleep at times, 15 %% loss: %zu false failures, plain SWIM %zu\n", with,
                  without);
    assert_true(without >= 50);
    assert_true(with * 50 <= without);
}

static void new_suspicions_are_held_to_five_a_second(void **state)
{
    (void)state;
    struct world *world = world_new(30, 16, NULL);
    world_boot_all_joined(world);
    uint8_t data[1126];
    size_t len = 0;
    for (size_t i = 2; i < 22; i++) {
        struct msg msg = {.type = MSG_SUSPECT, .id = world_id(i), .boot_no = 1, .accusers_n = 1};
        msg.accusers[0] = 99;
        len += wire_encode(data + len, &msg);
    }
    struct member_event event = {
        .type = MEMBER_DATAGRAM, .id = world_id(1), .boot_no = 1, .data = data, .len = len};
    assert_int_equal(world_step(world, 0, &event), 0);
    struct member_stats stats;
    member_stats(world->nodes[0].core, &stats);
    assert_int_equal(stats.suspects, SUSPICIONS_PER_S);
    assert_int_equal(stats.suspicions_held, 20 - SUSPICIONS_PER_S);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_with_a_common_seed_all_see_each_other),
        cmocka_unit_test(quiet_cluster_suspects_nobody_for_an_hour),
        cmocka_unit_test(idle_cluster_of_four_is_quiet_on_the_wire),
        cmocka_unit_test(crash_in_a_pair_is_seen_within_its_bound),
        cmocka_unit_test(crash_among_three_is_seen_within_its_bound),
        cmocka_unit_test(crash_among_four_is_seen_within_its_bound),
        cmocka_unit_test(all_others_gone_is_seen_by_the_last_within_its_bound),
        cmocka_unit_test(crash_among_a_hundred_is_seen_by_all_in_time),
        cmocka_unit_test(crash_among_a_hundred_is_seen_faster_with_fast),
        cmocka_unit_test(short_pause_is_suspected_and_refuted),
        cmocka_unit_test(node_that_was_paused_accuses_nobody_in_haste),
        cmocka_unit_test(failed_node_that_wakes_refutes_and_is_back),
        cmocka_unit_test(restart_refutes_whatever_was_said_of_the_last_boot),
        cmocka_unit_test(restart_within_the_probe_interval_is_told_as_joined_again),
        cmocka_unit_test(link_cut_between_two_of_many_fails_nobody),
        cmocka_unit_test(sick_node_may_suspect_but_not_confirm),
        cmocka_unit_test(node_that_is_left_alone_says_so_in_the_end),
        cmocka_unit_test(room_that_goes_dark_is_seen_by_the_survivors),
        cmocka_unit_test(lossy_ingress_of_one_fails_no_healthy_node),
        cmocka_unit_test(tenth_of_datagrams_lost_fails_nobody),
        cmocka_unit_test(sleepers_make_fifty_times_fewer_false_failures_than_plain_swim),
        cmocka_unit_test(new_suspicions_are_held_to_five_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
