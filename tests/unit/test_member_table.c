/*
 * Facts, names, leaving, forgetting, and the bounds of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "test_member_world.h"

/* Node 0 alone and running; the others are what we tell it. */
static struct world *lone_node(size_t others)
{
    struct world *world = world_new(others + 1, 21, NULL);
    world_boot(world, 0);
    return world;
}

static struct member_core *core_of(struct world *world, size_t i)
{
    return world->nodes[i].core;
}

static void facts_arrive_whole(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1, NULL);
    struct member_facts *facts = &world->nodes[2].config.facts;
    facts->gpu = true;
    facts->registry_version = 77;
    facts->addresses_n = 2;
    strcpy(facts->addresses[1], "[fe80::1%eth0]:7117");
    world_boot_all_joined(world);
    const struct member *seen = &world_mnode(world, 1, 2)->pub;
    assert_string_equal(seen->facts.name, "node-2");
    assert_string_equal(seen->shown_name, "node-2");
    assert_string_equal(seen->facts.version, "0.1.0");
    assert_int_equal(seen->facts.addresses_n, 2);
    assert_string_equal(seen->facts.addresses[0], "t:2");
    assert_string_equal(seen->facts.addresses[1], "[fe80::1%eth0]:7117");
    assert_int_equal(seen->facts.cpus, 8);
    assert_int_equal(seen->facts.cores, 4);
    assert_true(seen->facts.memory_bytes == UINT64_C(16) << 30);
    assert_true(seen->facts.gpu);
    assert_int_equal(seen->facts.role, KITH_ROLE_NODE);
    assert_int_equal(seen->facts.registry_version, 77);
    world_free(world);
}

static void changed_facts_spread_and_cost_one_signature_check_a_node(void **state)
{
    (void)state;
    struct world *world = world_new(8, 2, NULL);
    world_boot_all_joined(world);
    world_run(world, 5000);
    world->verifies = 0;
    struct member_facts facts = world_facts(3);
    strcpy(facts.name, "renamed");
    struct member_event event = {.type = MEMBER_FACTS, .facts = &facts};
    assert_int_equal(world_step(world, 3, &event), 0);
    world_run(world, 2000);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(world_mnode(world, i, 3)->pub.facts.name, "renamed");
    assert_int_equal(world->verifies, 7);
    world_free(world);
}

static void registry_version_spreads_without_any_signature(void **state)
{
    (void)state;
    struct world *world = world_new(8, 3, NULL);
    world_boot_all_joined(world);
    world_run(world, 5000);
    world->verifies = 0;
    struct member_facts facts = world_facts(3);
    facts.registry_version = 5;
    struct member_event event = {.type = MEMBER_FACTS, .facts = &facts};
    uint64_t from = world->now_ms;
    assert_int_equal(world_step(world, 3, &event), 0);
    world_run(world, 1000);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(world_mnode(world, i, 3)->pub.facts.registry_version, 5);
    assert_int_equal(world->verifies, 0);
    assert_true(world->now_ms - from <= 1000);
    world_free(world);
}

static void load_rides_on_acks_with_its_age(void **state)
{
    (void)state;
    struct world *world = world_new(2, 4, NULL);
    world_boot_all_joined(world);
    struct member_load load = {.memory_available_bytes = 123456789,
                               .load_milli = 2500,
                               .cpu_permille = 400,
                               .queue_len = 3};
    struct member_event event = {.type = MEMBER_LOAD, .load = &load};
    uint64_t set_ms = world->now_ms;
    assert_int_equal(world_step(world, 1, &event), 0);
    world_run(world, 5000);
    const struct member *seen = &world_mnode(world, 0, 1)->pub;
    assert_true(seen->load_known);
    assert_memory_equal(&seen->load, &load, sizeof(load));
    assert_in_range(seen->load_at_ms, set_ms, set_ms + 3);
    assert_true(seen->rtt_us != UINT32_MAX);
    assert_in_range(seen->rtt_us, 1000, 4000);
    world_free(world);
}

static void forged_facts_are_damage_and_change_nothing(void **state)
{
    (void)state;
    struct world *world = lone_node(2);
    struct member_output out;
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct msg msgs[2] = {{.type = MSG_FACTS}, {.type = MSG_PING, .seq = 1}};
    msgs[0].u.record.data = bytes;
    msgs[0].u.record.len = world_record(world, 1, 1, 1, false, bytes);
    bytes[msgs[0].u.record.len - 1] ^= 1;
    assert_int_equal(world_hear(world, 0, 1, 1, msgs, 2, &out), KITH_E_CORRUPT);
    assert_null(member_find(core_of(world, 0), &world->nodes[1].id));
    assert_int_equal(world_actions(&out, MEMBER_SEND_DATAGRAM), 0);
    struct member_stats stats;
    member_stats(core_of(world, 0), &stats);
    assert_int_equal(stats.bad_messages, 1);
    assert_int_equal(stats.bad_signatures, 1);
    /* A key that is not of the id it names. */
    msgs[0].u.record.len = world_record(world, 1, 1, 1, false, bytes);
    bytes[3 + KITH_NODE_ID_BYTES] ^= 1;
    assert_int_equal(world_hear(world, 0, 1, 1, msgs, 2, &out), KITH_E_CORRUPT);
    world_free(world);
}

static void replayed_old_facts_change_nothing(void **state)
{
    (void)state;
    struct world *world = lone_node(1);
    struct member_output out;
    uint8_t old[MEMBER_RECORD_BYTES_MAX];
    uint8_t fresh[MEMBER_RECORD_BYTES_MAX];
    struct msg msg = {.type = MSG_FACTS};
    size_t old_len = world_record(world, 1, 2, 1, false, old);
    strcpy(world->nodes[1].config.facts.name, "fresh");
    size_t fresh_len = world_record(world, 1, 2, 2, false, fresh);
    msg.u.record = (struct facts_record){.data = fresh, .len = fresh_len};
    assert_int_equal(world_hear(world, 0, 1, 2, &msg, 1, &out), 0);
    uint64_t verifies = world->verifies;
    msg.u.record = (struct facts_record){.data = old, .len = old_len};
    assert_int_equal(world_hear(world, 0, 1, 2, &msg, 1, &out), 0);
    assert_string_equal(world_mnode(world, 0, 1)->pub.facts.name, "fresh");
    old_len = world_record(world, 1, 1, 9, false, old); /* an older boot, a higher version */
    msg.u.record = (struct facts_record){.data = old, .len = old_len};
    assert_int_equal(world_hear(world, 0, 1, 2, &msg, 1, &out), 0);
    assert_int_equal(world_mnode(world, 0, 1)->pub.boot_no, 2);
    assert_int_equal(world->verifies, verifies);
    world_free(world);
}

static void unverified_facts_do_not_slip_in_behind_a_forgetting(void **state)
{
    (void)state;
    /* Known at version 3 and failed. One datagram forgets it, and brings an older, forged record.
     */
    struct world *world = lone_node(3);
    struct member_output out;
    assert_int_equal(world_meet(world, 0, 2, 1, &out), 0);
    assert_int_equal(world_meet(world, 0, 1, 1, &out), 0);
    struct msg failed = {.type = MSG_FAILED, .id = world_id(1), .boot_no = 1, .n = 0};
    assert_int_equal(world_hear(world, 0, 2, 1, &failed, 1, &out), 0);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_FAILED);
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct msg msgs[2] = {
        {.type = MSG_FORGOTTEN, .id = world_id(1), .boot_no = 1, .n = 0, .value = 10000},
        {.type = MSG_FACTS, .n = 1}};
    msgs[1].u.record.data = bytes;
    msgs[1].u.record.len = world_record(world, 1, 1, 1, false, bytes);
    bytes[msgs[1].u.record.len - 1] ^= 1;
    world_hear(world, 0, 2, 1, msgs, 2, &out);
    assert_null(world_mnode(world, 0, 1));
    world_free(world);
}

static void datagrams_of_an_older_boot_are_ignored(void **state)
{
    (void)state;
    struct world *world = lone_node(1);
    struct member_output out;
    struct msg ping = {.type = MSG_PING, .seq = 9};
    assert_int_equal(world_meet(world, 0, 1, 5, &out), 0);
    assert_int_equal(world_hear(world, 0, 1, 4, &ping, 1, &out), 0);
    assert_int_equal(world_actions(&out, MEMBER_SEND_DATAGRAM), 0);
    assert_int_equal(world_hear(world, 0, 1, 5, &ping, 1, &out), 0);
    assert_int_equal(world_actions(&out, MEMBER_SEND_DATAGRAM), 1);
    world_free(world);
}

static void key_used_twice_is_alarmed_once(void **state)
{
    (void)state;
    struct world *world = lone_node(1);
    struct member_output out;
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct msg msg = {.type = MSG_FACTS};
    msg.u.record.data = bytes;
    msg.u.record.len = world_record(world, 0, 9, 1, false, bytes);
    assert_int_equal(world_hear(world, 0, 1, 1, &msg, 1, &out), 0);
    assert_int_equal(world_actions(&out, MEMBER_CLONED), 1);
    assert_int_equal(world_hear(world, 0, 1, 1, &msg, 1, &out), 0);
    assert_int_equal(world_actions(&out, MEMBER_CLONED), 0);
    assert_int_equal(member_self(core_of(world, 0))->boot_no, 1);
    world_free(world);
}

/* ---- names ---- */

static void second_node_of_a_name_is_shown_with_a_number_by_all(void **state)
{
    (void)state;
    struct world *world = world_new(5, 5, NULL);
    for (size_t i = 1; i < 4; i++)
        strcpy(world->nodes[i].config.facts.name, "pi");
    /* Born in another order than they are numbered. */
    world->nodes[1].config.facts.born_unix_ms = 300;
    world->nodes[2].config.facts.born_unix_ms = 100;
    world->nodes[3].config.facts.born_unix_ms = 200;
    world_boot_all_joined(world);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(world_mnode(world, i, 2)->pub.shown_name, "pi");
        assert_string_equal(world_mnode(world, i, 3)->pub.shown_name, "pi-2");
        assert_string_equal(world_mnode(world, i, 1)->pub.shown_name, "pi-3");
        assert_string_equal(world_mnode(world, i, 0)->pub.shown_name, "node-0");
        assert_int_equal(world->nodes[i].clashes, 2);
    }
    world_run(world, 120 * 1000);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(world->nodes[i].clashes, 2);
    world_free(world);
}

static void equally_old_nodes_of_a_name_are_ordered_by_id(void **state)
{
    (void)state;
    struct world *world = lone_node(2);
    struct member_output out;
    for (size_t i = 1; i <= 2; i++) {
        strcpy(world->nodes[i].config.facts.name, "pi");
        world->nodes[i].config.facts.born_unix_ms = 0;
    }
    size_t low = memcmp(world_id(1).bytes, world_id(2).bytes, KITH_NODE_ID_BYTES) < 0 ? 1 : 2;
    world_meet(world, 0, 3 - low, 1, &out);
    assert_string_equal(world_mnode(world, 0, 3 - low)->pub.shown_name, "pi");
    world_meet(world, 0, low, 1, &out);
    assert_string_equal(world_mnode(world, 0, low)->pub.shown_name, "pi");
    assert_string_equal(world_mnode(world, 0, 3 - low)->pub.shown_name, "pi-2");
    const struct member_action *clash = world_action(&out, MEMBER_NAME_CLASH);
    assert_non_null(clash);
    assert_ptr_not_equal(clash->member, clash->other);
    world_free(world);
}

static void number_steps_aside_for_a_real_name(void **state)
{
    (void)state;
    struct world *world = lone_node(3);
    struct member_output out;
    strcpy(world->nodes[1].config.facts.name, "pi");
    strcpy(world->nodes[2].config.facts.name, "pi");
    strcpy(world->nodes[3].config.facts.name, "pi-2");
    world_meet(world, 0, 1, 1, &out);
    world_meet(world, 0, 2, 1, &out);
    assert_string_equal(world_mnode(world, 0, 2)->pub.shown_name, "pi-2");
    world_meet(world, 0, 3, 1, &out);
    assert_string_equal(world_mnode(world, 0, 3)->pub.shown_name, "pi-2");
    assert_string_equal(world_mnode(world, 0, 2)->pub.shown_name, "pi-3");
    world_free(world);
}

static void plain_name_is_free_again_when_its_holder_left(void **state)
{
    (void)state;
    struct world *world = world_new(3, 6, NULL);
    strcpy(world->nodes[1].config.facts.name, "pi");
    strcpy(world->nodes[2].config.facts.name, "pi");
    world_boot_all_joined(world);
    assert_string_equal(world_mnode(world, 0, 2)->pub.shown_name, "pi-2");
    struct member_event leave = {.type = MEMBER_LEAVE};
    world_step(world, 1, &leave);
    world_run(world, 2000);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_LEFT);
    assert_string_equal(world_mnode(world, 0, 2)->pub.shown_name, "pi");
    assert_string_equal(world_mnode(world, 0, 1)->pub.shown_name, "pi-2");
    world_free(world);
}

/* ---- leaving ---- */

static void leaving_is_told_and_is_no_failure(void **state)
{
    (void)state;
    struct world *world = world_new(12, 7, NULL);
    world_boot_all_joined(world);
    world_run(world, 3000);
    struct member_event leave = {.type = MEMBER_LEAVE};
    world_step(world, 4, &leave);
    uint64_t from = world->now_ms;
    while (world->nodes[4].told_leave == 0 && world->now_ms < from + 2000)
        world_run(world, 10);
    assert_int_equal(world->nodes[4].told_leave, 1);
    world_crash(world, 4, true);
    world_run(world, 60 * 1000);
    for (size_t i = 0; i < 12; i++) {
        if (i == 4)
            continue;
        assert_int_equal(world_sees(world, i, 4), KITH_STATUS_LEFT);
        assert_int_equal(world_changes(world, i, 4, MEMBER_LEFT), 1);
        assert_int_equal(world_changes(world, i, 4, MEMBER_FAILED), 0);
    }
    world_free(world);
}

static void lonely_node_leaves_at_once(void **state)
{
    (void)state;
    struct world *world = world_new(1, 8, NULL);
    world_boot(world, 0);
    struct member_event leave = {.type = MEMBER_LEAVE};
    world_step(world, 0, &leave);
    assert_int_equal(world->nodes[0].told_leave, 1);
    world_step(world, 0, &leave);
    assert_int_equal(world->nodes[0].told_leave, 1);
    world_free(world);
}

static void node_that_left_returns_with_its_next_boot(void **state)
{
    (void)state;
    struct world *world = world_new(4, 9, NULL);
    world_boot_all_joined(world);
    struct member_event leave = {.type = MEMBER_LEAVE};
    world_step(world, 3, &leave);
    world_run(world, 1500);
    world_crash(world, 3, true);
    world_run(world, 1000);
    world_boot(world, 3);
    world_seed(world, 3, "t:1");
    assert_true(world_run_until(world, world_all_alive, NULL, 3000));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(world_changes(world, i, 3, MEMBER_JOINED), 2);
    world_free(world);
}

static void only_the_node_itself_can_say_that_it_left(void **state)
{
    (void)state;
    struct world *world = lone_node(2);
    struct member_output out;
    world_meet(world, 0, 1, 1, &out);
    world_meet(world, 0, 2, 1, &out);
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct msg msg = {.type = MSG_FACTS};
    msg.u.record.data = bytes;
    msg.u.record.len = world_record(world, 1, 1, 2, false, bytes);
    bytes[1] |= FACTS_LEFT;
    assert_int_equal(world_hear(world, 0, 2, 1, &msg, 1, &out), KITH_E_CORRUPT);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_ALIVE);
    msg.u.record.len = world_record(world, 1, 1, 2, true, bytes);
    assert_int_equal(world_hear(world, 0, 2, 1, &msg, 1, &out), 0);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_LEFT);
    world_free(world);
}

/* ---- forgetting ---- */

static int forget(struct world *world, size_t i, size_t which)
{
    struct member_event event = {.type = MEMBER_FORGET, .id = world_id(which)};
    return world_step(world, i, &event);
}

static void node_that_is_alive_cannot_be_forgotten(void **state)
{
    (void)state;
    struct world *world = world_new(3, 10, NULL);
    world_boot_all_joined(world);
    assert_int_equal(forget(world, 0, 1), KITH_E_EXISTS);
    assert_int_equal(forget(world, 0, 0), KITH_E_EXISTS);
    struct member_event stranger = {.type = MEMBER_FORGET};
    assert_int_equal(world_step(world, 0, &stranger), KITH_E_NO_NODE);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_ALIVE);
    world_free(world);
}

static void failed_node_is_forgotten_everywhere_and_stays_so(void **state)
{
    (void)state;
    struct world *world = world_new(6, 11, NULL);
    size_t victim = 5;
    world_boot_all_joined(world);
    world_cut(world, 4, 0, true); /* 4 hears of it through others */
    world_crash(world, victim, true);
    assert_true(world_run_until(world, world_all_failed, &victim, 30 * 1000));
    assert_int_equal(forget(world, 0, victim), 0);
    world_run(world, 2000);
    world_heal(world);
    world_run(world, 200 * 1000); /* some push-pulls */
    for (size_t i = 0; i < 5; i++) {
        assert_null(world_mnode(world, i, victim));
        assert_int_equal(world->nodes[i].forgotten, 1);
    }
    world_free(world);
}

static void forgotten_node_that_starts_again_is_a_member_again(void **state)
{
    (void)state;
    struct world *world = world_new(4, 12, NULL);
    size_t victim = 3;
    world_boot_all_joined(world);
    world_crash(world, victim, true);
    assert_true(world_run_until(world, world_all_failed, &victim, 30 * 1000));
    assert_int_equal(forget(world, 0, victim), 0);
    world_run(world, 2000);
    world_boot(world, victim);
    world_seed(world, victim, "t:1");
    assert_true(world_run_until(world, world_all_alive, NULL, 3000));
    world_free(world);
}

static void forgotten_node_that_only_slept_refutes_the_tombstone(void **state)
{
    (void)state;
    struct world *world = world_new(5, 13, NULL);
    size_t victim = 2;
    world_boot_all_joined(world);
    world_pause(world, victim, 60 * 1000);
    assert_true(world_run_until(world, world_all_failed, &victim, 40 * 1000));
    assert_int_equal(forget(world, 0, victim), 0);
    world_run(world, 5000);
    for (size_t i = 0; i < 5; i++)
        if (i != victim)
            assert_null(world_mnode(world, i, victim));
    world_run(world, 60 * 1000);
    assert_true(world_run_until(world, world_all_alive, NULL, 60 * 1000));
    assert_true(world->nodes[victim].core->self->pub.incarnation > 0);
    world_free(world);
}

static void tombstone_ends_after_its_time(void **state)
{
    (void)state;
    struct member_config config = {.tombstone_ms = 30 * 1000};
    struct world *world = world_new(3, 14, &config);
    size_t victim = 2;
    world_boot_all_joined(world);
    world_crash(world, victim, true);
    assert_true(world_run_until(world, world_all_failed, &victim, 30 * 1000));
    assert_int_equal(forget(world, 0, victim), 0);
    world_run(world, 20 * 1000);
    assert_int_equal(core_of(world, 1)->tombs.n, 1);
    world_run(world, 11 * 1000);
    assert_int_equal(core_of(world, 0)->tombs.n, 0);
    assert_int_equal(core_of(world, 1)->tombs.n, 0);
    world_run(world, 100 * 1000);
    assert_int_equal(core_of(world, 1)->tombs.n, 0); /* nobody brings it back */
    world_free(world);
}

static void node_that_left_is_dropped_after_a_day(void **state)
{
    (void)state;
    struct member_config config = {.tombstone_ms = 60 * 1000};
    struct world *world = world_new(3, 15, &config);
    world_boot_all_joined(world);
    struct member_event leave = {.type = MEMBER_LEAVE};
    world_step(world, 2, &leave);
    world_run(world, 1500);
    world_crash(world, 2, true);
    world_run(world, 50 * 1000);
    assert_int_equal(world_sees(world, 0, 2), KITH_STATUS_LEFT);
    world_run(world, 12 * 1000);
    assert_null(world_mnode(world, 0, 2));
    world_run(world, 100 * 1000);
    assert_null(world_mnode(world, 0, 2));
    assert_null(world_mnode(world, 1, 2));
    world_free(world);
}

static void program_that_failed_is_dropped_after_a_minute(void **state)
{
    (void)state;
    struct world *world = world_new(4, 16, NULL);
    size_t program = 3;
    world->nodes[program].config.facts.role = KITH_ROLE_PROGRAM;
    world_boot_all_joined(world);
    assert_int_equal(member_alive_n(core_of(world, 0), true), 4);
    assert_int_equal(member_alive_n(core_of(world, 0), false), 3);
    world_crash(world, program, true);
    assert_true(world_run_until(world, world_all_failed, &program, 30 * 1000));
    world_run(world, 55 * 1000);
    assert_int_equal(world_sees(world, 0, program), KITH_STATUS_FAILED);
    world_run(world, 10 * 1000);
    for (size_t i = 0; i < 3; i++)
        assert_null(world_mnode(world, i, program));
    assert_int_equal(member_alive_n(core_of(world, 0), false), 3);
    world_free(world);
}

/* ---- the bound ---- */

static int meet_number(struct member_core *core,
                       struct member_config *config,
                       size_t number,
                       struct member_output *out)
{
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    uint8_t data[MEMBER_RECORD_BYTES_MAX + 32];
    put_le64(config->self.bytes, hash_bytes(&number, sizeof(number), 9));
    put_le64(config->self.bytes + 8, number);
    world_key_of(&config->self, config->sign_pk);
    snprintf(config->facts.name, sizeof(config->facts.name), "n%zu", number);
    struct msg msg = {.type = MSG_FACTS};
    msg.u.record.data = bytes;
    msg.u.record.len = facts_encode(bytes, config, &config->facts, 1, 1, false);
    struct member_event event = {
        .type = MEMBER_DATAGRAM, .now_ms = 2000, .id = config->self, .boot_no = 1, .data = data};
    event.len = wire_encode(data, &msg);
    return member_step(core, &event, out);
}

static void full_table_refuses_the_next_and_makes_room_for_it_by_the_gone(void **state)
{
    (void)state;
    struct world *world = lone_node(1);
    struct member_core *core = core_of(world, 0);
    struct member_config config = world->nodes[1].config;
    struct member_output out;
    for (size_t i = 1; i < MEMBER_NODES_MAX; i++)
        assert_int_equal(meet_number(core, &config, i, &out), 0);
    member_check(core);
    assert_int_equal(member_alive_n(core, true), MEMBER_NODES_MAX);
    assert_int_equal(meet_number(core, &config, MEMBER_NODES_MAX, &out), 0);
    assert_null(member_find(core, &config.self));
    struct member_stats stats;
    member_stats(core, &stats);
    assert_int_equal(stats.table_full, 1);
    /* One fails: it makes room for the next. */
    meet_number(core, &config, 7, &out);
    struct kith_node_id seventh = config.self;
    struct msg failed = {.type = MSG_FAILED, .id = seventh, .boot_no = 1};
    meet_number(core, &config, 8, &out);
    uint8_t data[64];
    struct member_event event = {
        .type = MEMBER_DATAGRAM, .now_ms = 2000, .id = config.self, .boot_no = 1, .data = data};
    event.len = wire_encode(data, &failed);
    assert_int_equal(member_step(core, &event, &out), 0);
    assert_int_equal(member_find(core, &seventh)->status, KITH_STATUS_FAILED);
    assert_int_equal(meet_number(core, &config, MEMBER_NODES_MAX, &out), 0);
    assert_non_null(member_find(core, &config.self));
    assert_non_null(world_action(&out, MEMBER_FORGOTTEN));
    assert_null(member_find(core, &seventh));
    member_check(core);
    world_free(world);
}

static void tombstones_are_bounded(void **state)
{
    (void)state;
    struct world *world = lone_node(1);
    struct member_core *core = core_of(world, 0);
    struct member_output out;
    for (size_t i = 0; i < MEMBER_TOMBSTONES_MAX + 10; i++) {
        struct msg msg = {
            .type = MSG_FORGOTTEN, .id = world_id(i + 10), .boot_no = 1, .value = 10000 + i};
        assert_int_equal(world_hear(world, 0, 1, 1, &msg, 1, &out), 0);
    }
    assert_int_equal(core->tombs.n, MEMBER_TOMBSTONES_MAX);
    struct kith_node_id first = world_id(10);
    assert_null(tomb_find(core, &first));
    world_free(world);
}

static void memory_that_runs_short_breaks_nothing(void **state)
{
    (void)state;
    /* Each allocation of a run of joins, a failure and a return fails once. */
    for (uint64_t nth = 1; nth < 400; nth += nth < 60 ? 1 : 7) {
        struct world *world = lone_node(6);
        struct member_output out;
        core_alloc_fail_at(nth);
        for (size_t i = 1; i <= 5; i++)
            world_meet(world, 0, i, 1, &out);
        struct msg msg = {.type = MSG_SUSPECT, .id = world_id(3), .boot_no = 1, .accusers_n = 1};
        world_hear(world, 0, 1, 1, &msg, 1, &out);
        msg.type = MSG_FAILED;
        world_hear(world, 0, 1, 1, &msg, 1, &out);
        strcpy(world->nodes[2].config.facts.name, "node-1");
        world_meet(world, 0, 2, 2, &out);
        core_alloc_fail_at(0);
        for (size_t i = 1; i <= 5; i++)
            world_meet(world, 0, i, 3, &out);
        for (size_t i = 1; i <= 5; i++)
            assert_int_equal(world_sees(world, 0, i), KITH_STATUS_ALIVE);
        world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_arrive_whole),
        cmocka_unit_test(changed_facts_spread_and_cost_one_signature_check_a_node),
        cmocka_unit_test(registry_version_spreads_without_any_signature),
        cmocka_unit_test(load_rides_on_acks_with_its_age),
        cmocka_unit_test(forged_facts_are_damage_and_change_nothing),
        cmocka_unit_test(replayed_old_facts_change_nothing),
        cmocka_unit_test(unverified_facts_do_not_slip_in_behind_a_forgetting),
        cmocka_unit_test(datagrams_of_an_older_boot_are_ignored),
        cmocka_unit_test(key_used_twice_is_alarmed_once),
        cmocka_unit_test(second_node_of_a_name_is_shown_with_a_number_by_all),
        cmocka_unit_test(equally_old_nodes_of_a_name_are_ordered_by_id),
        cmocka_unit_test(number_steps_aside_for_a_real_name),
        cmocka_unit_test(plain_name_is_free_again_when_its_holder_left),
        cmocka_unit_test(leaving_is_told_and_is_no_failure),
        cmocka_unit_test(lonely_node_leaves_at_once),
        cmocka_unit_test(node_that_left_returns_with_its_next_boot),
        cmocka_unit_test(only_the_node_itself_can_say_that_it_left),
        cmocka_unit_test(node_that_is_alive_cannot_be_forgotten),
        cmocka_unit_test(failed_node_is_forgotten_everywhere_and_stays_so),
        cmocka_unit_test(forgotten_node_that_starts_again_is_a_member_again),
        cmocka_unit_test(forgotten_node_that_only_slept_refutes_the_tombstone),
        cmocka_unit_test(tombstone_ends_after_its_time),
        cmocka_unit_test(node_that_left_is_dropped_after_a_day),
        cmocka_unit_test(program_that_failed_is_dropped_after_a_minute),
        cmocka_unit_test(full_table_refuses_the_next_and_makes_room_for_it_by_the_gone),
        cmocka_unit_test(tombstones_are_bounded),
        cmocka_unit_test(memory_that_runs_short_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
