/*
 * The queue of news: how often, in which order, and that old news never follows new; what a node is
 * told of itself; damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "test_member_world.h"

static struct world *lone_node_knows(size_t others)
{
    struct world *world = world_new(others + 1, 31, NULL);
    struct member_output out;
    world_boot(world, 0);
    for (size_t i = 1; i <= others; i++)
        world_meet(world, 0, i, 1, &out);
    return world;
}

/* One tick at the next deadline. */
static void tick(struct world *world, struct member_output *out)
{
    struct member_core *core = world->nodes[0].core;
    struct member_event event = {.type = MEMBER_TICK};
    world->now_ms = member_deadline_ms(core);
    event.now_ms = world->now_ms;
    assert_int_equal(member_step(core, &event, out), 0);
    member_check(core);
}

/* How many messages of @type about @id all datagrams of @out hold. */
static size_t
said(const struct member_output *out, enum msg_type type, const struct kith_node_id *id)
{
    size_t n = 0;
    for (size_t a = 0; a < out->actions_n; a++) {
        const struct member_action *action = &out->actions[a];
        struct msg msgs[MEMBER_MESSAGES_MAX];
        if (action->type != MEMBER_SEND_DATAGRAM)
            continue;
        int count = wire_decode(msgs, action->data, action->len);
        assert_true(count > 0); /* nothing empty, nothing damaged leaves */
        for (int m = 0; m < count; m++)
            n += msgs[m].type == type && (id == NULL || id_equal(&msgs[m].id, id));
    }
    return n;
}

static void settle(struct world *world)
{
    struct member_output out;
    while (world->nodes[0].core->gossip_n > 0)
        tick(world, &out);
}

static void item_is_sent_as_often_as_the_formula_says(void **state)
{
    (void)state;
    static const struct {
        size_t others;
        size_t sends;
    } rows[] = {{3, 4}, {8, 4}, {9, 8}, {60, 8}, {120, 12}};
    for (size_t i = 0; i < 5; i++) {
        struct world *world = lone_node_knows(rows[i].others);
        settle(world);
        struct member_output out;
        struct msg msg = {.type = MSG_REGISTRY, .id = world_id(1), .boot_no = 1, .value = 9};
        assert_int_equal(world_hear(world, 0, 2, 1, &msg, 1, &out), 0);
        size_t sends = said(&out, MSG_REGISTRY, &msg.id);
        while (world->nodes[0].core->gossip_n > 0) {
            tick(world, &out);
            sends += said(&out, MSG_REGISTRY, &msg.id);
        }
        assert_int_equal(sends, rows[i].sends);
        world_free(world);
    }
}

static void idle_node_sends_echoes_only(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(6);
    settle(world);
    struct member_output out;
    tick(world, &out);
    for (size_t a = 0; a < out.actions_n; a++) {
        struct msg msgs[MEMBER_MESSAGES_MAX];
        if (out.actions[a].type != MEMBER_SEND_DATAGRAM)
            continue;
        assert_int_equal(wire_decode(msgs, out.actions[a].data, out.actions[a].len), 1);
        assert_true(msgs[0].type == MSG_PING || msgs[0].type == MSG_PING_REQ);
        assert_true(out.actions[a].len <= 24);
    }
    world_free(world);
}

static void newer_news_of_a_node_replaces_what_waits(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(100);
    struct member_output out;
    settle(world);
    world->now_ms += 1; /* not in the interval of the last round */
    struct msg suspect = {
        .type = MSG_SUSPECT, .id = world_id(1), .boot_no = 1, .n = 0, .accusers_n = 1};
    suspect.accusers[0] = 5;
    assert_int_equal(world_hear(world, 0, 2, 1, &suspect, 1, &out), 0);
    assert_int_equal(world->nodes[0].core->gossip_n, 1);
    struct msg alive = {.type = MSG_ALIVE, .id = world_id(1), .boot_no = 1, .n = 1};
    assert_int_equal(world_hear(world, 0, 2, 1, &alive, 1, &out), 0);
    assert_int_equal(world->nodes[0].core->gossip_n, 1);
    size_t alive_said = said(&out, MSG_ALIVE, &alive.id);
    while (world->nodes[0].core->gossip_n > 0) {
        tick(world, &out);
        assert_int_equal(said(&out, MSG_SUSPECT, &suspect.id), 0);
        alive_said += said(&out, MSG_ALIVE, &alive.id);
    }
    assert_true(alive_said >= 12);
    world_free(world);
}

static void least_sent_goes_first_when_not_all_fits(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(120);
    struct member_output out;
    settle(world);
    /* More than one datagram can hold, and then one more. */
    for (size_t batch = 0; batch < 4; batch++) {
        struct msg msgs[30];
        for (size_t i = 0; i < 30; i++)
            msgs[i] = (struct msg){
                .type = MSG_ALIVE, .id = world_id(1 + batch * 30 + i), .boot_no = 1, .n = 1};
        world->now_ms += 1;
        assert_int_equal(world_hear(world, 0, 2, 1, msgs, 30, &out), 0);
    }
    struct msg last = {.type = MSG_REGISTRY, .id = world_id(9), .boot_no = 1, .value = 3};
    assert_int_equal(world_hear(world, 0, 2, 1, &last, 1, &out), 0);
    size_t first_sent = said(&out, MSG_REGISTRY, &last.id);
    if (first_sent == 0) {
        tick(world, &out);
        first_sent = said(&out, MSG_REGISTRY, &last.id);
    }
    /* It was never sent, so it goes with the very next datagram, before the hundred others. */
    assert_true(first_sent >= 1);
    world_free(world);
}

static void no_datagram_passes_its_bound(void **state)
{
    (void)state;
    struct member_config config = {.datagram_bytes_max = MEMBER_DATAGRAM_BYTES_MIN};
    struct world *world = world_new(40, 32, &config);
    world_boot_all_joined(world); /* the world asserts the length */
    struct member_facts facts = world_facts(3);
    facts.addresses_n = MEMBER_ADDRESSES_MAX;
    for (int i = 0; i < MEMBER_ADDRESSES_MAX; i++) {
        memset(facts.addresses[i], '1', KITH_ADDRESS_TEXT_MAX);
        facts.addresses[i][KITH_ADDRESS_TEXT_MAX] = '\0';
    }
    struct member_event event = {.type = MEMBER_FACTS, .facts = &facts};
    assert_int_equal(world_step(world, 3, &event), 0);
    world_run(world, 5000);
    for (size_t i = 0; i < 40; i++)
        assert_true(world_mnode(world, i, 3)->pub.facts.addresses_n >= 4);
    world_free(world);
}

static void suspect_is_told_with_the_very_echo(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(3);
    struct member_core *core = world->nodes[0].core;
    struct member_output out;
    struct msg msgs[MEMBER_MESSAGES_MAX];
    struct msg suspect = {
        .type = MSG_SUSPECT, .id = world_id(1), .boot_no = 1, .n = 0, .accusers_n = 1};
    assert_int_equal(world_hear(world, 0, 2, 1, &suspect, 1, &out), 0);
    /* No gossip is left to carry it. */
    gossip_drop_node(core, world_mnode(world, 0, 1));
    settle(world);
    for (size_t i = 1; i <= 2; i++) {
        core->actions_n = 0;
        probe_ping(core, world_mnode(world, 0, i), probe_seq(core, SEQ_PROBE));
        assert_int_equal(core->actions_n, 1);
        int n = wire_decode(msgs, core->actions[0].data, core->actions[0].len);
        assert_int_equal(msgs[0].type, MSG_PING);
        assert_int_equal(n, world_sees(world, 0, i) == KITH_STATUS_SUSPECT ? 2 : 1);
        if (n == 2)
            assert_int_equal(msgs[1].type, MSG_SUSPECT);
    }
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_SUSPECT);
    world_free(world);
}

static void accused_node_refutes_with_a_higher_n(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(3);
    struct member_core *core = world->nodes[0].core;
    struct member_output out;
    settle(world);
    world->now_ms += 210; /* past the interval of the last round */
    struct msg suspect = {.type = MSG_SUSPECT, .id = world_id(0), .boot_no = 1, .n = 4};
    uint32_t health = member_health(core);
    assert_int_equal(world_hear(world, 0, 2, 1, &suspect, 1, &out), 0);
    assert_int_equal(member_self(core)->incarnation, 5);
    assert_true(said(&out, MSG_ALIVE, &core->self->pub.id) > 0);
    assert_int_equal(member_health(core), health + 1);
    /* The same again is refuted already. */
    assert_int_equal(world_hear(world, 0, 3, 1, &suspect, 1, &out), 0);
    assert_int_equal(member_self(core)->incarnation, 5);
    assert_int_equal(member_health(core), health + 1);
    /* An accusation of another life of ours is none. */
    suspect.boot_no = 2;
    suspect.n = 9;
    assert_int_equal(world_hear(world, 0, 3, 1, &suspect, 1, &out), 0);
    assert_int_equal(member_self(core)->incarnation, 5);
    world_free(world);
}

static void failed_node_that_echoes_us_is_told_so(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(3);
    struct member_output out;
    settle(world);
    struct msg failed = {.type = MSG_FAILED, .id = world_id(1), .boot_no = 1};
    assert_int_equal(world_hear(world, 0, 2, 1, &failed, 1, &out), 0);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_FAILED);
    settle(world);
    struct msg ping = {.type = MSG_PING, .seq = 3};
    assert_int_equal(world_hear(world, 0, 1, 1, &ping, 1, &out), 0);
    assert_true(said(&out, MSG_FAILED, &failed.id) > 0);
    /* What it says of others meanwhile does not count. */
    struct msg slander = {.type = MSG_FAILED, .id = world_id(2), .boot_no = 1};
    assert_int_equal(world_hear(world, 0, 1, 1, &slander, 1, &out), 0);
    assert_int_equal(world_sees(world, 0, 2), KITH_STATUS_ALIVE);
    /* What it says of itself does. */
    struct msg alive = {.type = MSG_ALIVE, .id = world_id(1), .boot_no = 1, .n = 1};
    assert_int_equal(world_hear(world, 0, 1, 1, &alive, 1, &out), 0);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_ALIVE);
    world_free(world);
}

static void same_accuser_twice_confirms_once(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(20);
    struct member_output out;
    struct mnode *node = world_mnode(world, 0, 1);
    struct msg suspect = {.type = MSG_SUSPECT, .id = world_id(1), .boot_no = 1, .accusers_n = 1};
    suspect.accusers[0] = 100;
    world_hear(world, 0, 2, 1, &suspect, 1, &out);
    uint64_t due_ms = node->timer.at.key;
    world_hear(world, 0, 3, 1, &suspect, 1, &out);
    assert_int_equal(node->timer.at.key, due_ms);
    suspect.accusers[0] = 101;
    world_hear(world, 0, 3, 1, &suspect, 1, &out);
    assert_true(node->timer.at.key < due_ms);
    /* Its own word against itself is none. */
    due_ms = node->timer.at.key;
    suspect.accusers[0] = id_token(&suspect.id);
    world_hear(world, 0, 3, 1, &suspect, 1, &out);
    assert_int_equal(node->timer.at.key, due_ms);
    world_free(world);
}

static void failed_is_told_once_per_incarnation(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(5);
    struct member_output out;
    struct msg failed = {.type = MSG_FAILED, .id = world_id(1), .boot_no = 1};
    world_hear(world, 0, 2, 1, &failed, 1, &out);
    assert_int_equal(world_actions(&out, MEMBER_CHANGED), 1);
    world_hear(world, 0, 3, 1, &failed, 1, &out);
    assert_int_equal(world_actions(&out, MEMBER_CHANGED), 0);
    struct msg suspect = {.type = MSG_SUSPECT, .id = world_id(1), .boot_no = 1, .n = 7};
    world_hear(world, 0, 3, 1, &suspect, 1, &out);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_FAILED);
    world_free(world);
}

static void damaged_datagram_changes_nothing_and_is_counted(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(3);
    struct member_core *core = world->nodes[0].core;
    struct member_output out;
    settle(world);
    struct msg failed = {.type = MSG_FAILED, .id = world_id(1), .boot_no = 1};
    uint8_t data[128];
    size_t len = wire_encode(data, &failed);
    data[len++] = 0xee; /* a good message, then damage */
    struct member_event event = {.type = MEMBER_DATAGRAM,
                                 .now_ms = world->now_ms,
                                 .id = world_id(2),
                                 .boot_no = 1,
                                 .data = data,
                                 .len = len};
    assert_int_equal(member_step(core, &event, &out), KITH_E_CORRUPT);
    assert_int_equal(out.actions_n, 0);
    assert_int_equal(world_sees(world, 0, 1), KITH_STATUS_ALIVE);
    struct member_stats stats;
    member_stats(core, &stats);
    assert_int_equal(stats.bad_messages, 1);
    world_free(world);
}

static void relay_answers_with_an_ack_or_a_nack(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(4);
    struct member_output out;
    settle(world);
    struct msg request = {.type = MSG_PING_REQ, .seq = 77, .id = world_id(1), .value = 50};
    world_hear(world, 0, 2, 1, &request, 1, &out);
    const struct member_action *echo = world_action(&out, MEMBER_SEND_DATAGRAM);
    assert_true(id_equal(&echo->id, &world->nodes[1].id));
    struct msg msgs[MEMBER_MESSAGES_MAX];
    wire_decode(msgs, echo->data, echo->len);
    assert_int_equal(msgs[0].type, MSG_PING);
    struct msg ack = {.type = MSG_ACK, .seq = msgs[0].seq};
    /* Not from the target: nothing. */
    world_hear(world, 0, 3, 1, &ack, 1, &out);
    assert_int_equal(said(&out, MSG_RELAY_ACK, NULL), 0);
    world_hear(world, 0, 1, 1, &ack, 1, &out);
    assert_int_equal(said(&out, MSG_RELAY_ACK, NULL), 1);
    assert_true(id_equal(&world_action(&out, MEMBER_SEND_DATAGRAM)->id, &world->nodes[2].id));
    world_hear(world, 0, 1, 1, &ack, 1, &out);
    assert_int_equal(said(&out, MSG_RELAY_ACK, NULL), 0);
    /* No answer: the nack comes in the time that was asked for. */
    world_hear(world, 0, 2, 1, &request, 1, &out);
    uint64_t from = world->now_ms;
    size_t nacks = 0;
    while (nacks == 0 && world->now_ms < from + 100) {
        tick(world, &out);
        nacks = said(&out, MSG_NACK, NULL);
    }
    assert_int_equal(nacks, 1);
    assert_int_equal(world->now_ms - from, 50);
    world_free(world);
}

static void relays_are_bounded(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(4);
    struct member_output out;
    settle(world);
    size_t echoes = 0;
    for (uint32_t i = 0; i < MEMBER_RELAYS_MAX + 20; i++) {
        struct msg request = {
            .type = MSG_PING_REQ, .seq = i << 8, .id = world_id(1), .value = 5000};
        world_hear(world, 0, 2, 1, &request, 1, &out);
        echoes += said(&out, MSG_PING, NULL);
    }
    assert_int_equal(echoes, MEMBER_RELAYS_MAX);
    world_free(world);
}

static void missing_nacks_raise_the_score_and_answers_lower_it(void **state)
{
    (void)state;
    struct world *world = lone_node_knows(6);
    struct member_core *core = world->nodes[0].core;
    struct member_output out;
    /* Nobody answers anything: one round costs a point per relay that said nothing. */
    while (core->stats.probe_failures == 0)
        tick(world, &out);
    assert_int_equal(member_health(core), 3);
    /* The next round is answered. */
    uint32_t seq = core->probe.seq;
    struct msg ack = {.type = MSG_ACK, .seq = seq};
    size_t target = 0;
    for (size_t i = 1; i <= 6; i++)
        if (world_mnode(world, 0, i) == core->probe.target)
            target = i;
    assert_true(target != 0);
    /* Its interval is four times as long: 1 + score. */
    assert_int_equal(core->probe.round_end_ms - world->now_ms, 4000);
    world_hear(world, 0, target, 1, &ack, 1, &out);
    assert_int_equal(member_health(core), 2);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(item_is_sent_as_often_as_the_formula_says),
        cmocka_unit_test(idle_node_sends_echoes_only),
        cmocka_unit_test(newer_news_of_a_node_replaces_what_waits),
        cmocka_unit_test(least_sent_goes_first_when_not_all_fits),
        cmocka_unit_test(no_datagram_passes_its_bound),
        cmocka_unit_test(suspect_is_told_with_the_very_echo),
        cmocka_unit_test(accused_node_refutes_with_a_higher_n),
        cmocka_unit_test(failed_node_that_echoes_us_is_told_so),
        cmocka_unit_test(same_accuser_twice_confirms_once),
        cmocka_unit_test(failed_is_told_once_per_incarnation),
        cmocka_unit_test(damaged_datagram_changes_nothing_and_is_counted),
        cmocka_unit_test(relay_answers_with_an_ack_or_a_nack),
        cmocka_unit_test(relays_are_bounded),
        cmocka_unit_test(missing_nacks_raise_the_score_and_answers_lower_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
