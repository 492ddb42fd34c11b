/*
 * Push-pull, seeds, remembered nodes, healing; and the echo detector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "member.pb-c.h"
#include "test_member_world.h"

/* ---- push-pull ---- */

static void large_table_reaches_a_joiner_in_one_exchange(void **state)
{
    (void)state;
    struct world *world = world_new(100, 41, NULL);
    world->check_each_step = false;
    for (size_t i = 0; i < 99; i++) {
        world_boot(world, i);
        if (i > 0)
            world_seed(world, i, "t:0");
    }
    assert_true(world_run_until(world, world_all_alive, NULL, 30 * 1000));
    world_run(world, 60 * 1000);
    world_boot(world, 99);
    world_seed(world, 99, "t:5");
    world_run(world, 20);
    assert_int_equal(member_alive_n(world->nodes[99].core, true), 100);
    assert_true(world_run_until(world, world_all_alive, NULL, 3000));
    world_free(world);
}

static void equal_tables_exchange_digests_only(void **state)
{
    (void)state;
    struct world *world = world_new(60, 42, NULL);
    world->check_each_step = false;
    world_boot_all_joined(world);
    world_run(world, 120 * 1000);
    struct member_output out;
    struct member_event event = {.type = MEMBER_FRAME,
                                 .now_ms = world->now_ms,
                                 .id = world_id(2),
                                 .boot_no = 1,
                                 .frame_type = FRAME_MEMBER_PUSH_PULL};
    /* What node 2 would ask. */
    struct member_core *asker = world->nodes[2].core;
    asker->actions_n = 0;
    sync_ask(asker, &world->nodes[1].id);
    assert_int_equal(asker->actions_n, 1);
    assert_true(asker->actions[0].len < 600); /* 16 digests and its own record */
    event.data = asker->actions[0].data;
    event.len = asker->actions[0].len;
    assert_int_equal(member_step(world->nodes[1].core, &event, &out), 0);
    assert_int_equal(world_actions(&out, MEMBER_SEND_FRAME), 0);
    world_free(world);
}

static void nodes_that_do_not_know_each_other_exchange_tables_whoever_dials(void **state)
{
    (void)state;
    for (size_t dialler = 0; dialler < 2; dialler++) {
        struct world *world = world_new(2, 43, NULL);
        world_boot(world, 0);
        world_boot(world, 1);
        world_seed(world, dialler, dialler == 0 ? "t:1" : "t:0");
        world_run(world, 20);
        assert_true(world_all_alive(world, NULL));
        world_free(world);
    }
}

static void hello_of_one_that_does_not_know_us_makes_us_ask(void **state)
{
    (void)state;
    /* The lower id knows the other as alive; the other has forgotten everything. */
    struct world *world = world_new(2, 44, NULL);
    struct member_output out;
    size_t low = memcmp(world_id(0).bytes, world_id(1).bytes, KITH_NODE_ID_BYTES) < 0 ? 0 : 1;
    world_boot(world, low);
    world_boot(world, 1 - low);
    world_meet(world, low, 1 - low, 1, &out);
    assert_int_equal(world_sees(world, low, 1 - low), KITH_STATUS_ALIVE);
    world_seed(world, 1 - low, low == 0 ? "t:0" : "t:1");
    world_run(world, 20);
    assert_int_equal(world_sees(world, 1 - low, low), KITH_STATUS_ALIVE);
    world_free(world);
}

static void failed_of_a_push_pull_is_suspicion_and_the_node_refutes(void **state)
{
    (void)state;
    struct world *world = world_new(4, 45, NULL);
    struct member_output out;
    world_boot_all_joined(world);
    world_run(world, 2000);
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    Kith__Member__Node node = KITH__MEMBER__NODE__INIT;
    Kith__Member__Node *nodes = &node;
    Kith__Member__PushPull message = KITH__MEMBER__PUSH_PULL__INIT;
    node.record.data = bytes;
    node.record.len = world_record(world, 2, 1, 1, false, bytes);
    node.status = KITH_STATUS_FAILED;
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__TABLE;
    message.nodes = &nodes;
    message.n_nodes = 1;
    uint8_t data[1024];
    struct member_event event = {.type = MEMBER_FRAME,
                                 .id = world_id(1),
                                 .boot_no = 1,
                                 .frame_type = FRAME_MEMBER_PUSH_PULL,
                                 .data = data};
    event.len = kith__member__push_pull__pack(&message, data);
    assert_int_equal(world_step(world, 0, &event), 0);
    assert_int_equal(world_sees(world, 0, 2), KITH_STATUS_SUSPECT);
    assert_true(world_run_until(world, world_all_alive, NULL, 1000));
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    /* Our own failure in it is refuted too. */
    node.record.len = world_record(world, 0, 1, 1, false, bytes);
    event.len = kith__member__push_pull__pack(&message, data);
    uint64_t n = member_self(world->nodes[0].core)->incarnation;
    event.now_ms = world->now_ms;
    assert_int_equal(member_step(world->nodes[0].core, &event, &out), 0);
    assert_int_equal(member_self(world->nodes[0].core)->incarnation, n + 1);
    world_free(world);
}

static void damaged_frames_change_nothing_and_are_counted(void **state)
{
    (void)state;
    struct world *world = world_new(4, 46, NULL);
    struct member_core *core;
    struct member_output out;
    struct member_stats stats;
    world_boot(world, 0);
    core = world->nodes[0].core;
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    uint8_t other[MEMBER_RECORD_BYTES_MAX];
    Kith__Member__Node node[2] = {KITH__MEMBER__NODE__INIT, KITH__MEMBER__NODE__INIT};
    Kith__Member__Node *nodes[2] = {&node[0], &node[1]};
    Kith__Member__PushPull message = KITH__MEMBER__PUSH_PULL__INIT;
    node[0].record.data = bytes;
    node[0].record.len = world_record(world, 1, 1, 1, false, bytes);
    node[0].status = KITH_STATUS_ALIVE;
    node[1].record.data = other;
    node[1].record.len = world_record(world, 2, 1, 1, false, other);
    node[1].status = KITH_STATUS_LEFT + 1; /* no such status; the first node is good */
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__TABLE;
    message.nodes = nodes;
    message.n_nodes = 2;
    uint8_t data[4096];
    struct member_event event = {.type = MEMBER_FRAME,
                                 .now_ms = 2000,
                                 .id = world_id(3),
                                 .boot_no = 1,
                                 .frame_type = FRAME_MEMBER_PUSH_PULL,
                                 .data = data};
    uint64_t bad = 0;
#define REFUSED()                                                                                  \
    do {                                                                                           \
        event.len = kith__member__push_pull__pack(&message, data);                                 \
        assert_int_equal(member_step(core, &event, &out), KITH_E_CORRUPT);                         \
        member_stats(core, &stats);                                                                \
        assert_int_equal(stats.bad_messages, ++bad);                                               \
        assert_int_equal(member_alive_n(core, true), 1);                                           \
    } while (0)
    REFUSED();
    node[1].status = KITH_STATUS_ALIVE;
    other[node[1].record.len - 1] ^= 1; /* forged */
    REFUSED();
    other[node[1].record.len - 1] ^= 1;
    node[1].incarnation = UINT64_MAX;
    REFUSED();
    node[1].incarnation = 0;
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__NONE;
    REFUSED();
    uint64_t digests[3] = {1, 2, 3};
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__DIGEST;
    message.digests = digests;
    message.n_digests = 3; /* no power of two */
    REFUSED();
    message.n_digests = 0;
    REFUSED();
    Kith__Member__Forgotten grave = KITH__MEMBER__FORGOTTEN__INIT;
    Kith__Member__Forgotten *graves = &grave;
    grave.id.data = bytes;
    grave.id.len = 5;
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__TABLE;
    message.forgotten = &graves;
    message.n_forgotten = 1;
    REFUSED();
    message.n_forgotten = 0;
    event.len = kith__member__push_pull__pack(&message, data);
    event.frame_type = FRAME_MEMBER_LAST;
    assert_int_equal(member_step(core, &event, &out), KITH_E_CORRUPT);
    event.frame_type = FRAME_MEMBER_PUSH_PULL;
    assert_int_equal(member_step(core, &event, &out), 0);
    assert_int_equal(member_alive_n(core, true), 3);
    /* A reply that wants a bucket there is not. */
    uint32_t wanted = 16;
    Kith__Member__PushPullReply reply = KITH__MEMBER__PUSH_PULL_REPLY__INIT;
    reply.buckets_n = 16;
    reply.wanted = &wanted;
    reply.n_wanted = 1;
    event.len = kith__member__push_pull_reply__pack(&reply, data);
    event.frame_type = FRAME_MEMBER_PUSH_PULL_REPLY;
    assert_int_equal(member_step(core, &event, &out), KITH_E_CORRUPT);
    wanted = 15;
    event.len = kith__member__push_pull_reply__pack(&reply, data);
    assert_int_equal(member_step(core, &event, &out), 0);
    member_check(core);
    world_free(world);
}

/* ---- finding others ---- */

static void seed_is_tried_for_ever_with_growing_pauses(void **state)
{
    (void)state;
    struct world *world = world_new(2, 51, NULL);
    world_boot(world, 0);
    world_seed(world, 0, "t:1"); /* is down */
    uint64_t dials_at[64];
    size_t n = 0;
    uint64_t seen = 0;
    for (uint64_t t = 0; t < 400 * 1000 && n < 64; t += 10) {
        world_run(world, 10);
        if (world->nodes[0].dials > seen) {
            seen = world->nodes[0].dials;
            dials_at[n++] = world->now_ms;
        }
    }
    assert_in_range(n, 14, 24);
    /* 1, 2, 4, 8, 16 s, then the cap; each 25 % more or less. */
    for (size_t i = 1; i < n; i++) {
        uint64_t pause_ms = dials_at[i] - dials_at[i - 1];
        uint64_t base_ms = i - 1 < 5 ? UINT64_C(1000) << (i - 1) : 30 * 1000;
        assert_in_range(pause_ms, base_ms - base_ms / 4, base_ms + base_ms / 4 + 30);
        assert_true(pause_ms <= 30 * 1000 + 30);
    }
    world_boot(world, 1);
    assert_true(world_run_until(world, world_all_alive, NULL, 31 * 1000));
    uint64_t dials = world->nodes[0].dials;
    world_run(world, 300 * 1000);
    assert_int_equal(world->nodes[0].dials, dials); /* it is here: not dialled */
    world_free(world);
}

static void seed_given_by_name_is_not_dialled_while_its_node_is_here(void **state)
{
    (void)state;
    struct world *world = world_new(2, 58, NULL);
    struct member_output out;
    world_boot(world, 0);
    world_meet(world, 0, 1, 1, &out);
    struct member_event seed = {
        .type = MEMBER_SEED, .now_ms = world->now_ms, .text = "gate.example"};
    assert_int_equal(member_step(world->nodes[0].core, &seed, &out), 0);
    assert_string_equal(world_action(&out, MEMBER_DIAL)->text, "gate.example");
    struct member_event dialled = {.type = MEMBER_DIAL_FAILED,
                                   .now_ms = world->now_ms,
                                   .text = "gate.example",
                                   .id = world_id(1)};
    assert_int_equal(member_step(world->nodes[0].core, &dialled, &out), 0);
    uint64_t end_ms = world->now_ms + 300 * 1000;
    struct msg alive = {.type = MSG_ALIVE, .id = world_id(1), .boot_no = 1};
    while (member_deadline_ms(world->nodes[0].core) < end_ms) {
        world->now_ms = member_deadline_ms(world->nodes[0].core);
        struct member_event tick = {.type = MEMBER_TICK, .now_ms = world->now_ms};
        assert_int_equal(member_step(world->nodes[0].core, &tick, &out), 0);
        assert_null(world_action(&out, MEMBER_DIAL));
        alive.n++;
        world_hear(world, 0, 1, 1, &alive, 1, &out); /* it lives, says gossip */
    }
    /* Gone, it is looked for again. */
    struct msg failed = {.type = MSG_FAILED, .id = world_id(1), .boot_no = 1, .n = alive.n + 1};
    world_hear(world, 0, 1, 1, &failed, 1, &out);
    bool again = false;
    for (end_ms = world->now_ms + 31 * 1000; world->now_ms < end_ms && !again;) {
        world->now_ms = member_deadline_ms(world->nodes[0].core);
        struct member_event tick = {.type = MEMBER_TICK, .now_ms = world->now_ms};
        assert_int_equal(member_step(world->nodes[0].core, &tick, &out), 0);
        again = world_action(&out, MEMBER_DIAL) != NULL &&
                strcmp(world_action(&out, MEMBER_DIAL)->text, "gate.example") == 0;
    }
    assert_true(again);
    world_free(world);
}

static void seeds_are_bounded_and_said_twice_are_one(void **state)
{
    (void)state;
    struct world *world = world_new(1, 52, NULL);
    struct member_output out;
    world_boot(world, 0);
    char text[KITH_ADDRESS_TEXT_MAX + 2];
    struct member_event event = {.type = MEMBER_SEED, .now_ms = world->now_ms, .text = text};
    for (int i = 0; i < NET_SEEDS_MAX; i++) {
        snprintf(text, sizeof(text), "host-%d:1", i);
        assert_int_equal(member_step(world->nodes[0].core, &event, &out), 0);
        assert_int_equal(member_step(world->nodes[0].core, &event, &out), 0);
    }
    snprintf(text, sizeof(text), "one-more:1");
    assert_int_equal(member_step(world->nodes[0].core, &event, &out), KITH_E_LIMIT);
    memset(text, 'x', KITH_ADDRESS_TEXT_MAX + 1);
    text[KITH_ADDRESS_TEXT_MAX + 1] = '\0';
    assert_int_equal(member_step(world->nodes[0].core, &event, &out), KITH_E_INVALID);
    text[0] = '\0';
    assert_int_equal(member_step(world->nodes[0].core, &event, &out), KITH_E_INVALID);
    world_free(world);
}

static void remember_all(struct world *world, size_t i)
{
    for (size_t j = 0; j < world->nodes_n; j++) {
        if (j == i)
            continue;
        const char *address = world->nodes[j].config.facts.addresses[0];
        struct member peer = {.id = world->nodes[j].id, .boot_no = world->nodes[j].boot_no};
        peer.facts.name = world->nodes[j].config.facts.name;
        peer.facts.addresses = &address;
        peer.facts.addresses_n = 1;
        peer.facts.role = KITH_ROLE_NODE;
        world_key_of(&peer.id, peer.sign_pk);
        struct member_event event = {.type = MEMBER_REMEMBER, .peer = &peer};
        assert_int_equal(world_step(world, i, &event), 0);
        assert_int_equal(world_sees(world, i, j), KITH_STATUS_FAILED);
    }
}

static void cluster_without_seeds_finds_itself_after_a_power_cut(void **state)
{
    (void)state;
    struct world *world = world_new(10, 53, NULL);
    world_boot_all_joined(world);
    for (size_t i = 0; i < 10; i++)
        world_crash(world, i, false);
    /* In any order, over a while; nobody has a seed. */
    for (size_t i = 10; i-- > 0;) {
        world_boot(world, i);
        remember_all(world, i);
        world_run(world, 3000);
    }
    size_t failed = world_count(world, MEMBER_FAILED);
    assert_true(world_run_until(world, world_all_alive, NULL, 35 * 1000));
    assert_int_equal(failed, 0); /* remembered silently */
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 10; j++)
            assert_true(i == j || world_mnode(world, i, j)->pub.boot_no == 2);
    world_free(world);
}

static void remembered_node_that_never_came_back_is_not_passed_on(void **state)
{
    (void)state;
    struct world *world = world_new(3, 54, NULL);
    world_boot(world, 0);
    world_boot(world, 1);
    struct member peer = {.id = world_id(2), .boot_no = 4};
    world_key_of(&peer.id, peer.sign_pk);
    peer.facts.name = "gone";
    struct member_event event = {.type = MEMBER_REMEMBER, .peer = &peer};
    assert_int_equal(world_step(world, 0, &event), 0);
    world_seed(world, 0, "t:1");
    world_run(world, 60 * 1000);
    assert_int_equal(world_sees(world, 0, 2), KITH_STATUS_FAILED);
    assert_null(world_mnode(world, 1, 2));
    world_free(world);
}

static void halves_of_a_healed_partition_find_each_other(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 12; n += 5) {
        struct world *world = world_new(n, 55 + n, NULL);
        for (size_t i = 0; i < n; i++)
            world_boot(world, i);
        for (size_t i = 1; i < n; i++)
            world_link(world, i, i - 1); /* no seeds: only what was here is tried */
        assert_true(world_run_until(world, world_all_alive, NULL, 10 * 1000));
        world_run(world, 10 * 1000);
        world_partition(world, n / 2);
        world_run(world, 300 * 1000);
        for (size_t i = 0; i < n / 2; i++)
            for (size_t j = n / 2; j < n; j++) {
                assert_int_equal(world_sees(world, i, j), KITH_STATUS_FAILED);
                assert_int_equal(world_sees(world, j, i), KITH_STATUS_FAILED);
            }
        size_t failed = world_count(world, MEMBER_FAILED);
        world_heal(world);
        assert_true(world_run_until(world, world_all_alive, NULL, 45 * 1000));
        assert_int_equal(world_count(world, MEMBER_FAILED), failed);
        world_free(world);
    }
}

static void lonely_seed_node_is_found_by_its_seeds_after_a_cut(void **state)
{
    (void)state;
    struct world *world = world_new(3, 56, NULL);
    world_boot_all_joined(world);
    world_cut(world, 0, 1, true);
    world_cut(world, 0, 2, true);
    world_run(world, 120 * 1000);
    assert_int_equal(world_sees(world, 1, 0), KITH_STATUS_FAILED);
    world_heal(world);
    assert_true(world_run_until(world, world_all_alive, NULL, 35 * 1000));
    world_free(world);
}

static void own_boot_that_was_stale_is_raised_and_told(void **state)
{
    (void)state;
    struct world *world = world_new(3, 57, NULL);
    world_boot_all_joined(world);
    struct member_event event = {.type = MEMBER_BOOT, .boot_no = 9};
    world->nodes[1].boot_no = 9;
    assert_int_equal(world_step(world, 1, &event), 0);
    world_run(world, 3000);
    assert_int_equal(world_mnode(world, 0, 1)->pub.boot_no, 9);
    assert_int_equal(world_mnode(world, 2, 1)->pub.boot_no, 9);
    assert_true(world_mnode(world, 2, 1)->record_current);
    world_free(world);
}

/* ---- detector = echo ---- */

static const struct member_config echo_config = {.detector_echo = true};

static void echo_detector_sees_a_crash_within_interval_and_limit(void **state)
{
    (void)state;
    uint64_t most_ms = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world *world = world_new(5, seed, &echo_config);
        size_t victim = 3;
        world_boot_all_joined(world);
        world_run(world, 30 * 1000 + rng_below(&world->rng, 20000));
        world_crash(world, victim, false);
        uint64_t from = world->now_ms;
        assert_true(world_run_until(world, world_all_failed, &victim, 30 * 1000 + 10));
        if (world->now_ms - from > most_ms)
            most_ms = world->now_ms - from;
        assert_true(world->now_ms - from >= 10 * 1000);
        assert_int_equal(world_count(world, MEMBER_SUSPECT), 0);
        for (size_t i = 0; i < 5; i++)
            if (i != victim)
                assert_int_equal(world_changes(world, i, victim, MEMBER_FAILED), 1);
        world_free(world);
    }
    assert_true(most_ms > 10 * 1000);
}

static void echo_detector_forgives_pauses_below_its_limit_and_lost_datagrams(void **state)
{
    (void)state;
    struct world *world = world_new(4, 61, &echo_config);
    world_boot_all_joined(world);
    world->loss = 0.2;
    for (int i = 0; i < 30; i++) {
        world_pause(world, 2, 8000);
        world_run(world, 20 * 1000);
    }
    assert_int_equal(world_count(world, MEMBER_FAILED), 0);
    world_free(world);
}

static void echo_detector_takes_a_node_back_that_wakes(void **state)
{
    (void)state;
    struct world *world = world_new(4, 62, &echo_config);
    size_t victim = 1;
    world_boot_all_joined(world);
    world_pause(world, victim, 60 * 1000);
    assert_true(world_run_until(world, world_all_failed, &victim, 31 * 1000));
    world_run(world, 60 * 1000);
    assert_true(world_run_until(world, world_all_alive, NULL, 31 * 1000));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(world_changes(world, victim, i, MEMBER_FAILED), 0);
    world_free(world);
}

static void echo_detector_lets_each_judge_for_itself(void **state)
{
    (void)state;
    /* 0 and 1 do not reach each other: they fail each other, the others fail nobody. */
    struct world *world = world_new(4, 63, &echo_config);
    world_boot_all_joined(world);
    world_cut(world, 0, 1, true);
    world_run(world, 60 * 1000);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_FAILED);
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(world_changes(world, i, 0, MEMBER_FAILED), 0);
        assert_int_equal(world_changes(world, i, 1, MEMBER_FAILED), 0);
    }
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_table_reaches_a_joiner_in_one_exchange),
        cmocka_unit_test(equal_tables_exchange_digests_only),
        cmocka_unit_test(nodes_that_do_not_know_each_other_exchange_tables_whoever_dials),
        cmocka_unit_test(hello_of_one_that_does_not_know_us_makes_us_ask),
        cmocka_unit_test(failed_of_a_push_pull_is_suspicion_and_the_node_refutes),
        cmocka_unit_test(damaged_frames_change_nothing_and_are_counted),
        cmocka_unit_test(seed_is_tried_for_ever_with_growing_pauses),
        cmocka_unit_test(seed_given_by_name_is_not_dialled_while_its_node_is_here),
        cmocka_unit_test(seeds_are_bounded_and_said_twice_are_one),
        cmocka_unit_test(cluster_without_seeds_finds_itself_after_a_power_cut),
        cmocka_unit_test(remembered_node_that_never_came_back_is_not_passed_on),
        cmocka_unit_test(halves_of_a_healed_partition_find_each_other),
        cmocka_unit_test(lonely_seed_node_is_found_by_its_seeds_after_a_cut),
        cmocka_unit_test(own_boot_that_was_stale_is_raised_and_told),
        cmocka_unit_test(echo_detector_sees_a_crash_within_interval_and_limit),
        cmocka_unit_test(echo_detector_forgives_pauses_below_its_limit_and_lost_datagrams),
        cmocka_unit_test(echo_detector_takes_a_node_back_that_wakes),
        cmocka_unit_test(echo_detector_lets_each_judge_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
