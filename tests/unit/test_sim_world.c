/* The simulated world by itself, with a host that only writes down what happens to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sim/world.h"

#define SEEN_MAX 4096

struct seen {
    struct sim_node *node;
    uint64_t boot_no;
    size_t datagrams_n, frames_n, ups_n, downs_n, unreachable_n, dial_failed_n, timers_n;
    uint32_t frames[SEEN_MAX]; /* numbers, as they came */
    uint64_t timer_at_ns;
    uint64_t last_world_ms;
    char text[64];
    bool chatty; /* answers each datagram and sets a timer again */
};

struct ends { /* what is left of a node after its crash */
    size_t crashes_n;
    struct seen *last[16];
};

static void *boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    struct ends *ends = sim_user(world);

    assert_non_null(seen);
    seen->node = node;
    seen->boot_no = boot_no;
    if (ends != NULL)
        ends->last[sim_node_index(node)] = seen;
    return seen;
}

static void crash(void *state)
{
    struct seen *seen = state;
    struct ends *ends = sim_user(sim_node_world(seen->node));

    if (ends != NULL)
        ends->crashes_n++;
    free(state);
}

static void datagram(
    void *state, const struct kith_node_id *from, uint64_t boot_no, const uint8_t *data, size_t len)
{
    struct seen *seen = state;

    (void)boot_no;
    seen->datagrams_n++;
    seen->last_world_ms = sim_world_ms(sim_node_world(seen->node));
    if (seen->chatty)
        sim_send_datagram(seen->node, from, data, len);
}

static void frame(void *state,
                  const struct kith_node_id *from,
                  uint64_t boot_no,
                  uint8_t net_class,
                  uint8_t type,
                  const uint8_t *data,
                  size_t len)
{
    struct seen *seen = state;

    (void)from;
    (void)boot_no;
    (void)net_class;
    (void)type;
    assert_true(len >= 4 && seen->frames_n < SEEN_MAX);
    memcpy(&seen->frames[seen->frames_n++], data, 4);
    seen->last_world_ms = sim_world_ms(sim_node_world(seen->node));
}

static void
link_up(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class)
{
    struct seen *seen = state;

    (void)peer;
    (void)boot_no;
    (void)net_class;
    seen->ups_n++;
}

static void link_down(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct seen *seen = state;

    (void)peer;
    (void)net_class;
    seen->downs_n++;
}

static void unreachable(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct seen *seen = state;

    (void)peer;
    (void)net_class;
    seen->unreachable_n++;
}

static void dial_failed(void *state, const char *address)
{
    struct seen *seen = state;

    seen->dial_failed_n++;
    snprintf(seen->text, sizeof(seen->text), "%s", address);
}

static void timer(void *state)
{
    struct seen *seen = state;

    seen->timers_n++;
    seen->timer_at_ns = sim_now_ns(seen->node);
    if (seen->chatty)
        sim_set_timer_ns(seen->node, seen->timer_at_ns + 1000000);
}

static const struct sim_host host = {
    .boot = boot,
    .crash = crash,
    .datagram = datagram,
    .frame = frame,
    .link_up = link_up,
    .link_down = link_down,
    .unreachable = unreachable,
    .dial_failed = dial_failed,
    .timer = timer,
};

static struct sim_world *
world_of(uint64_t seed, size_t nodes_n, struct sim_faults faults, void *user)
{
    struct sim_world *world = sim_new(&(struct sim_config){
        .seed = seed, .nodes_n = nodes_n, .faults = faults, .host = &host, .user = user});

    for (size_t i = 0; i < nodes_n; i++)
        sim_start(world, i);
    return world;
}

static struct seen *seen_at(struct sim_world *world, size_t index)
{
    return sim_node_state(sim_node_at(world, index));
}

static void send_no(struct sim_world *world, size_t from, size_t to, uint32_t no)
{
    struct kith_node_id id = sim_node_id(sim_node_at(world, to));

    sim_send_frame(sim_node_at(world, from), &id, 1, 50, &no, sizeof(no), NULL, 0);
}

static void assert_in_order(const struct seen *seen, uint32_t first)
{
    for (size_t i = 0; i < seen->frames_n; i++)
        assert_int_equal(seen->frames[i], first + i);
}

static void datagrams_arrive_within_the_delay(void **state)
{
    (void)state;
    struct sim_world *world =
        world_of(1, 2, (struct sim_faults){.delay_min_us = 100, .delay_max_us = 900}, NULL);
    struct kith_node_id to = sim_node_id(sim_node_at(world, 1));

    for (int i = 0; i < 100; i++)
        sim_send_datagram(sim_node_at(world, 0), &to, "x", 1);
    assert_true(sim_run(world, 1, NULL));
    assert_int_equal(seen_at(world, 1)->datagrams_n, 100);
    assert_int_equal(sim_bytes_sent(world, 0), 100 * 29);
    sim_free(world);
}

static void loss_and_duplication_have_their_rates(void **state)
{
    (void)state;
    struct sim_world *world =
        world_of(2, 2, (struct sim_faults){.loss = 0.3, .duplicate = 0.5}, NULL);
    struct kith_node_id to = sim_node_id(sim_node_at(world, 1));

    for (int i = 0; i < 10000; i++)
        sim_send_datagram(sim_node_at(world, 0), &to, "x", 1);
    assert_true(sim_run(world, 100, NULL));
    assert_in_range(seen_at(world, 1)->datagrams_n, 10200, 10800); /* 10,000 * 0.7 * 1.5 */
    assert_in_range(sim_datagrams_lost(world), 2800, 3200);
    sim_free(world);
}

static void ingress_loss_hits_one_node_only(void **state)
{
    (void)state;
    struct sim_world *world = world_of(3, 3, (struct sim_faults){0}, NULL);

    sim_ingress_loss(world, 1, 0.8);
    for (int i = 0; i < 10000; i++) {
        for (size_t to = 1; to < 3; to++) {
            struct kith_node_id id = sim_node_id(sim_node_at(world, to));
            sim_send_datagram(sim_node_at(world, 0), &id, "x", 1);
        }
    }
    assert_true(sim_run(world, 100, NULL));
    assert_in_range(seen_at(world, 1)->datagrams_n, 1800, 2200);
    assert_int_equal(seen_at(world, 2)->datagrams_n, 10000);
    sim_free(world);
}

static void a_cut_works_one_way_and_heals(void **state)
{
    (void)state;
    struct sim_world *world = world_of(4, 2, (struct sim_faults){0}, NULL);
    struct kith_node_id id[2] = {sim_node_id(sim_node_at(world, 0)),
                                 sim_node_id(sim_node_at(world, 1))};

    sim_cut(world, 0, 1, true);
    sim_send_datagram(sim_node_at(world, 0), &id[1], "x", 1);
    sim_send_datagram(sim_node_at(world, 1), &id[0], "x", 1);
    assert_true(sim_run(world, 10, NULL));
    assert_int_equal(seen_at(world, 1)->datagrams_n, 0);
    assert_int_equal(seen_at(world, 0)->datagrams_n, 1);
    sim_heal(world);
    sim_send_datagram(sim_node_at(world, 0), &id[1], "x", 1);
    assert_true(sim_run(world, 20, NULL));
    assert_int_equal(seen_at(world, 1)->datagrams_n, 1);
    sim_free(world);
}

static void a_partition_separates_groups_only(void **state)
{
    (void)state;
    struct sim_world *world = world_of(5, 4, (struct sim_faults){0}, NULL);

    sim_partition(world, (const uint8_t[]){0, 0, 1, 1});
    for (size_t to = 1; to < 4; to++) {
        struct kith_node_id id = sim_node_id(sim_node_at(world, to));
        sim_send_datagram(sim_node_at(world, 0), &id, "x", 1);
    }
    assert_true(sim_run(world, 10, NULL));
    assert_int_equal(seen_at(world, 1)->datagrams_n, 1);
    assert_int_equal(seen_at(world, 2)->datagrams_n, 0);
    assert_int_equal(seen_at(world, 3)->datagrams_n, 0);
    assert_true(sim_is_cut(world, 3, 1));
    assert_false(sim_is_cut(world, 3, 2));
    sim_free(world);
}

static void frames_open_the_link_and_keep_their_order_under_loss(void **state)
{
    (void)state;
    struct sim_world *world =
        world_of(6, 2, (struct sim_faults){.loss = 0.2, .reorder = 0.5}, NULL);

    for (uint32_t i = 0; i < 300; i++)
        send_no(world, 0, 1, i);
    assert_true(sim_run(world, 5000, NULL));
    for (uint32_t i = 300; i < 1000; i++)
        send_no(world, 0, 1, i);
    assert_true(sim_run(world, 60000, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 1000);
    assert_in_order(seen_at(world, 1), 0);
    assert_int_equal(seen_at(world, 0)->ups_n, 1);
    assert_int_equal(seen_at(world, 1)->ups_n, 1);
    sim_free(world);
}

static void both_may_open_at_once(void **state)
{
    (void)state;
    struct sim_world *world = world_of(7, 2, (struct sim_faults){0}, NULL);

    for (uint32_t i = 0; i < 10; i++) {
        send_no(world, 0, 1, i);
        send_no(world, 1, 0, i);
    }
    assert_true(sim_run(world, 100, NULL));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(seen_at(world, i)->frames_n, 10);
        assert_in_order(seen_at(world, i), 0);
        assert_int_equal(seen_at(world, i)->ups_n, 1);
    }
    sim_free(world);
}

static void a_crash_resets_its_streams_and_loses_what_was_under_way(void **state)
{
    (void)state;
    struct ends ends = {0};
    struct sim_world *world = world_of(8, 2, (struct sim_faults){0}, &ends);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 1);
    send_no(world, 0, 1, 1);
    sim_crash(world, 1);
    assert_int_equal(ends.crashes_n, 1);
    assert_null(sim_node_state(sim_node_at(world, 1)));
    assert_true(sim_run(world, 110, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    send_no(world, 0, 1, 2); /* nobody listens: refused at once */
    assert_true(sim_run(world, 120, NULL));
    assert_int_equal(seen_at(world, 0)->unreachable_n, 1);
    sim_start(world, 1);
    assert_int_equal(seen_at(world, 1)->boot_no, 2);
    send_no(world, 0, 1, 3);
    assert_true(sim_run(world, 1000, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 1);
    assert_int_equal(seen_at(world, 1)->frames[0], 3);
    sim_free(world);
}

static void a_machine_without_power_is_noticed_only_by_waiting(void **state)
{
    (void)state;
    struct sim_world *world = world_of(9, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    sim_power_off(world, 1);
    send_no(world, 0, 1, 1);
    assert_true(sim_run(world, 9000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 0);
    assert_true(sim_run(world, 11000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    sim_free(world);
}

static void keep_alive_finds_a_dead_peer_on_a_link_without_traffic(void **state)
{
    (void)state;
    struct sim_world *world = world_of(17, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 60000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 0);
    sim_power_off(world, 1);
    assert_true(sim_run(world, 60000 + 9000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 0);
    assert_true(sim_run(world, 60000 + 21000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    sim_free(world);
}

static void keep_alive_bears_a_short_pause_and_not_a_long_one(void **state)
{
    (void)state;
    struct sim_world *world = world_of(18, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 1000, NULL));
    sim_pause(world, 1, 12000);
    assert_true(sim_run(world, 60000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 0);
    sim_pause(world, 1, 40000);
    assert_true(sim_run(world, 90000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    assert_int_equal(seen_at(world, 1)->downs_n, 0); /* asleep */
    assert_true(sim_run(world, 101000, NULL));
    assert_int_equal(seen_at(world, 1)->downs_n, 1);
    sim_free(world);
}

static void frames_are_refused_while_openings_back_off(void **state)
{
    (void)state;
    struct sim_world *world = world_of(19, 2, (struct sim_faults){0}, NULL);

    sim_crash(world, 1);
    for (uint64_t i = 1; i <= 60; i++) { /* each second a try, or a refusal */
        send_no(world, 0, 1, 0);
        assert_true(sim_run(world, i * 1000, NULL));
    }
    assert_int_equal(seen_at(world, 0)->unreachable_n, 60);
    assert_in_range(sim_bytes_sent(world, 0), 3 * (180 + 82), 12 * (180 + 82)); /* few SYNs */
    sim_start(world, 1);
    struct kith_node_id id = sim_node_id(sim_node_at(world, 1));
    sim_connect(sim_node_at(world, 0), &id, 1); /* asked for: at once */
    assert_true(sim_run(world, 60100, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 1);
    sim_free(world);
}

static void a_rebooted_machine_resets_a_stream_it_does_not_know(void **state)
{
    (void)state;
    struct sim_world *world = world_of(10, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    sim_power_off(world, 1);
    assert_true(sim_run(world, 200, NULL));
    sim_start(world, 1);
    send_no(world, 0, 1, 1); /* on the old stream: lost */
    assert_true(sim_run(world, 300, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    assert_int_equal(seen_at(world, 1)->frames_n, 0);
    send_no(world, 0, 1, 2);
    assert_true(sim_run(world, 1000, NULL));
    assert_int_equal(seen_at(world, 1)->frames[0], 2);
    sim_free(world);
}

/* state-swarm 43333: what node 0 said after its restart came half a minute later. */
static void a_new_stream_does_not_wait_for_what_a_former_one_lost(void **state)
{
    (void)state;
    struct sim_world *world = world_of(12, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    sim_ingress_loss(world, 1, 0.8);
    for (uint32_t i = 1; i < 5; i++)
        send_no(world, 0, 1, i);
    sim_ingress_loss(world, 1, 0);
    assert_true(sim_run(world, 1000, NULL));
    assert_true(seen_at(world, 1)->frames_n < 5); /* the rest is sent again, later each time */
    sim_power_off(world, 0);
    sim_start(world, 0);
    size_t before = seen_at(world, 1)->frames_n;
    send_no(world, 0, 1, 5);
    assert_true(sim_run(world, 1100, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, before + 1);
    assert_int_equal(seen_at(world, 1)->frames[before], 5);
    sim_free(world);
}

static void a_short_cut_delays_a_stream_and_a_long_one_breaks_it(void **state)
{
    (void)state;
    struct sim_world *world = world_of(11, 2, (struct sim_faults){0}, NULL);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    sim_cut(world, 1, 0, true); /* acknowledgements do not return: the stream stands both ways */
    for (uint32_t i = 1; i < 10; i++)
        send_no(world, 0, 1, i);
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 1);
    sim_cut(world, 1, 0, false);
    assert_true(sim_run(world, 15000, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 10);
    assert_in_order(seen_at(world, 1), 0);
    assert_int_equal(seen_at(world, 0)->downs_n, 0);
    sim_cut(world, 0, 1, true);
    send_no(world, 0, 1, 10);
    assert_true(sim_run(world, 40000, NULL));
    assert_int_equal(seen_at(world, 0)->downs_n, 1);
    assert_int_equal(seen_at(world, 1)->frames_n, 10);
    sim_free(world);
}

static void a_pause_loses_nothing_but_time(void **state)
{
    (void)state;
    struct sim_world *world = world_of(12, 2, (struct sim_faults){0}, NULL);
    struct sim_node *node = sim_node_at(world, 1);
    struct kith_node_id to = sim_node_id(node);

    send_no(world, 0, 1, 0);
    assert_true(sim_run(world, 100, NULL));
    uint64_t due_ns = sim_now_ns(node) + 1000000000;
    sim_set_timer_ns(node, due_ns);
    sim_pause(world, 1, 5000);
    assert_false(sim_node_running(node));
    send_no(world, 0, 1, 1);
    send_no(world, 0, 1, 2);
    for (int i = 0; i < 1000; i++)
        sim_send_datagram(sim_node_at(world, 0), &to, "x", 1);
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 1);
    assert_int_equal(seen_at(world, 1)->timers_n, 0);
    assert_true(sim_run(world, 5100, NULL));
    assert_int_equal(seen_at(world, 1)->frames_n, 3);
    assert_in_order(seen_at(world, 1), 0);
    assert_int_equal(seen_at(world, 1)->timers_n, 1);
    assert_true(seen_at(world, 1)->timer_at_ns >= due_ns + 3900000000); /* a late clock */
    assert_int_equal(seen_at(world, 1)->datagrams_n, 256); /* what a socket buffer holds */
    sim_free(world);
}

static void timers_follow_the_nodes_own_clock(void **state)
{
    (void)state;
    struct sim_world *world = world_of(13, 8, (struct sim_faults){.clock_rate_spread = 0.1}, NULL);
    uint64_t due_ns[8];
    bool differ = false;

    for (size_t i = 0; i < 8; i++) {
        due_ns[i] = sim_now_ns(sim_node_at(world, i)) + 10000000000;
        sim_set_timer_ns(sim_node_at(world, i), due_ns[i]);
    }
    assert_true(sim_run(world, 9000, NULL));
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(seen_at(world, i)->timers_n, 0);
    for (uint64_t ms = 9001; ms < 11200; ms++) {
        assert_true(sim_run(world, ms, NULL));
        for (size_t i = 0; i < 8; i++) {
            struct seen *seen = seen_at(world, i);
            if (seen->timers_n == 1 && seen->timer_at_ns != 0) {
                assert_in_range(seen->timer_at_ns, due_ns[i], due_ns[i] + 2);
                differ = differ || ms < 9900 || ms > 10100;
                seen->timer_at_ns = 0;
            }
        }
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(seen_at(world, i)->timers_n, 1);
    assert_true(differ);
    sim_free(world);
}

static void dials_end_in_a_link_or_say_which_address_failed(void **state)
{
    (void)state;
    struct sim_world *world = world_of(14, 3, (struct sim_faults){0}, NULL);

    sim_crash(world, 2);
    sim_dial(sim_node_at(world, 0), "sim:2");
    sim_dial(sim_node_at(world, 0), "sim:3");
    assert_true(sim_run(world, 100, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 1);
    assert_int_equal(seen_at(world, 0)->dial_failed_n, 1);
    assert_string_equal(seen_at(world, 0)->text, "sim:3");
    sim_dial(sim_node_at(world, 0), "sim:2"); /* open already: says so again */
    sim_dial(sim_node_at(world, 0), "sim:1"); /* ourselves */
    assert_true(sim_run(world, 200, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 2);
    assert_string_equal(seen_at(world, 0)->text, "sim:1");
    sim_readdress(world, 2);
    sim_start(world, 2);
    assert_string_equal(sim_node_address(sim_node_at(world, 2)), "sim1:3");
    sim_dial(sim_node_at(world, 0), "sim:3"); /* the old address leads nowhere */
    assert_true(sim_run(world, 4000, NULL));
    assert_int_equal(seen_at(world, 0)->dial_failed_n, 3);
    sim_dial(sim_node_at(world, 0), "sim1:3");
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 3);
    sim_free(world);
}

/* Who moved is dialled in vain where it was, and dials all the same: openings are independent. */
static void a_dial_is_not_lost_in_the_other_sides_opening(void **state)
{
    (void)state;
    struct sim_world *world = world_of(20, 2, (struct sim_faults){0}, NULL);
    struct kith_node_id moved = sim_node_id(sim_node_at(world, 1));

    sim_know_address(sim_node_at(world, 0), &moved, "sim:2");
    sim_crash(world, 1);
    sim_readdress(world, 1);
    sim_start(world, 1);
    sim_connect(sim_node_at(world, 0), &moved, 0); /* by its id: where it was */
    assert_true(sim_run(world, 100, NULL));
    sim_dial(sim_node_at(world, 1), "sim:1");
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 1)->ups_n, 1);
    assert_int_equal(seen_at(world, 0)->ups_n, 1);
    assert_int_equal(seen_at(world, 0)->unreachable_n, 1);
    sim_free(world);
}

static void a_dial_is_not_lost_in_an_own_opening_that_is_not_by_address(void **state)
{
    (void)state;
    struct sim_world *world = world_of(21, 2, (struct sim_faults){0}, NULL);
    struct kith_node_id moved = sim_node_id(sim_node_at(world, 1));

    sim_know_address(sim_node_at(world, 0), &moved, "sim:2");
    sim_crash(world, 1);
    sim_readdress(world, 1);
    sim_start(world, 1);
    sim_connect(sim_node_at(world, 0), &moved, 0);
    sim_dial(sim_node_at(world, 0), "sim1:2");
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 1);
    assert_int_equal(seen_at(world, 0)->dial_failed_n, 0);
    sim_free(world);
}

static void a_dial_names_the_address_that_was_dialled(void **state)
{
    (void)state;
    struct sim_world *world = world_of(22, 2, (struct sim_faults){0}, NULL);

    sim_cut(world, 0, 1, true);
    sim_dial(sim_node_at(world, 0), "sim:2");
    assert_true(sim_run(world, 100, NULL));
    sim_power_off(world, 1);
    sim_readdress(world, 1);
    sim_start(world, 1);
    assert_true(sim_run(world, 5000, NULL));
    assert_int_equal(seen_at(world, 0)->dial_failed_n, 1);
    assert_string_equal(seen_at(world, 0)->text, "sim:2");
    sim_free(world);
}

static void idle_links_close_above_the_bound(void **state)
{
    (void)state;
    struct sim_world *world = world_of(15, 80, (struct sim_faults){0}, NULL);

    for (size_t i = 1; i < 80; i++) {
        struct kith_node_id id = sim_node_id(sim_node_at(world, i));
        sim_connect(sim_node_at(world, 0), &id, 0);
        assert_true(sim_run(world, i * 100, NULL));
    }
    assert_true(sim_run(world, 20000, NULL));
    assert_int_equal(seen_at(world, 0)->ups_n, 79);
    assert_in_range(seen_at(world, 0)->downs_n, 10, 15);
    assert_int_equal(seen_at(world, 1)->downs_n, 1);
    sim_free(world);
}

/* A world with everything on, for a second. */
static uint64_t busy_hash(uint64_t seed)
{
    struct sim_world *world = world_of(seed, 10,
                                       (struct sim_faults){.loss = 0.1,
                                                           .duplicate = 0.1,
                                                           .reorder = 0.1,
                                                           .slow_rate = 0.01,
                                                           .slow_max_ms = 100,
                                                           .clock_rate_spread = 0.1},
                                       NULL);

    for (size_t i = 0; i < 10; i++) {
        struct sim_node *node = sim_node_at(world, i);
        struct kith_node_id id = sim_node_id(sim_node_at(world, (i + 3) % 10));

        seen_at(world, i)->chatty = true;
        sim_set_timer_ns(node, sim_now_ns(node));
        sim_send_datagram(node, &id, "hello", 5);
        send_no(world, i, (i + 1) % 10, (uint32_t)i);
    }
    sim_pause(world, 3, 300);
    sim_cut(world, 1, 2, true);
    assert_true(sim_run(world, 500, NULL));
    sim_crash(world, 4);
    sim_start(world, 4);
    sim_heal(world);
    assert_true(sim_run(world, 1000, NULL));
    uint64_t hash = sim_trace_hash(world);
    assert_true(sim_events_n(world) > 1000);
    sim_free(world);
    return hash;
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++)
        assert_int_equal(busy_hash(seed), busy_hash(seed));
    assert_int_not_equal(busy_hash(1), busy_hash(2));
}

static bool stop_at_three(struct sim_world *world)
{
    struct sim_node *node = sim_touched(world);

    if (node != NULL && ((struct seen *)sim_node_state(node))->datagrams_n == 3)
        sim_violation(world, "%u datagrams", 3u);
    return true;
}

static void a_violation_stops_the_run(void **state)
{
    (void)state;
    struct sim_world *world = world_of(16, 2, (struct sim_faults){0}, NULL);
    struct kith_node_id to = sim_node_id(sim_node_at(world, 1));

    for (int i = 0; i < 10; i++)
        sim_send_datagram(sim_node_at(world, 0), &to, "x", 1);
    assert_false(sim_run(world, 100, stop_at_three));
    assert_non_null(strstr(sim_violation_text(world), "3 datagrams"));
    assert_int_equal(seen_at(world, 1)->datagrams_n, 3);
    sim_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_arrive_within_the_delay),
        cmocka_unit_test(loss_and_duplication_have_their_rates),
        cmocka_unit_test(ingress_loss_hits_one_node_only),
        cmocka_unit_test(a_cut_works_one_way_and_heals),
        cmocka_unit_test(a_partition_separates_groups_only),
        cmocka_unit_test(frames_open_the_link_and_keep_their_order_under_loss),
        cmocka_unit_test(both_may_open_at_once),
        cmocka_unit_test(a_crash_resets_its_streams_and_loses_what_was_under_way),
        cmocka_unit_test(a_machine_without_power_is_noticed_only_by_waiting),
        cmocka_unit_test(keep_alive_finds_a_dead_peer_on_a_link_without_traffic),
        cmocka_unit_test(keep_alive_bears_a_short_pause_and_not_a_long_one),
        cmocka_unit_test(frames_are_refused_while_openings_back_off),
        cmocka_unit_test(a_rebooted_machine_resets_a_stream_it_does_not_know),
        cmocka_unit_test(a_new_stream_does_not_wait_for_what_a_former_one_lost),
        cmocka_unit_test(a_short_cut_delays_a_stream_and_a_long_one_breaks_it),
        cmocka_unit_test(a_pause_loses_nothing_but_time),
        cmocka_unit_test(timers_follow_the_nodes_own_clock),
        cmocka_unit_test(dials_end_in_a_link_or_say_which_address_failed),
        cmocka_unit_test(a_dial_is_not_lost_in_the_other_sides_opening),
        cmocka_unit_test(a_dial_is_not_lost_in_an_own_opening_that_is_not_by_address),
        cmocka_unit_test(a_dial_names_the_address_that_was_dialled),
        cmocka_unit_test(idle_links_close_above_the_bound),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(a_violation_stops_the_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
