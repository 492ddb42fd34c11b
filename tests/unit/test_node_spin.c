/* src/node/spin.c: when to poll instead of sleeping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/spin.h"

#define BUDGET_NS 50000ull

static void zero_budget_never_spins(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, 0);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 0);
}

static void short_gap_begins_spinning(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 0);
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_GAP_NS);
    assert_int_not_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 0);
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_GAP_NS + 1);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 0);
}

static void requests_and_replies_are_separate_habits(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_int_not_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 0);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REQUESTS, 1), 0);
}

static void probe_lasts_as_long_as_the_sleep_took(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 130000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 130000);
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_PROBE_MAX_NS);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), SPIN_PROBE_MAX_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, SPIN_PROBE_MAX_NS + 1);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), SPIN_PROBE_MAX_NS);
}

static void spin_behind_a_catch_keeps_to_the_budget(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 130000);
    spin_caught(&spin, SPIN_FOR_REPLIES, 30000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 130000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 130000);
}

static void answer_that_came_late_is_expected_late_again(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 130000);
    spin_caught(&spin, SPIN_FOR_REPLIES, 100000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), 150000);
    spin_caught(&spin, SPIN_FOR_REPLIES, 150000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), SPIN_PROBE_MAX_NS);
    for (int soon = 0; soon < 30; soon++)
        spin_caught(&spin, SPIN_FOR_REPLIES, 10000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1), BUDGET_NS);
    /* What nobody asked for is not. */
    spin_woken(&spin, SPIN_FOR_REQUESTS, 130000);
    spin_caught(&spin, SPIN_FOR_REQUESTS, 100000);
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REQUESTS, 1), BUDGET_NS);
}

/* Sleeps until it may spin again and returns how many short gaps that took. */
static unsigned gaps_until_wanted(struct spin *spin)
{
    unsigned gaps = 0;
    while (spin_budget_ns(spin, SPIN_FOR_REQUESTS, 1) == 0 && gaps <= 2 * SPIN_PENALTY_MAX) {
        spin_woken(spin, SPIN_FOR_REQUESTS, 1000);
        gaps++;
    }
    return gaps;
}

static void misses_back_off_and_hits_come_back(void **state)
{
    struct spin spin;
    unsigned expected = 1;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
    for (int i = 0; i < 10; i++) {
        spin_missed(&spin, SPIN_FOR_REQUESTS);
        assert_int_equal(gaps_until_wanted(&spin), expected);
        expected = expected * 2 > SPIN_PENALTY_MAX ? SPIN_PENALTY_MAX : expected * 2;
    }
    for (int i = 0; i < 8; i++)
        spin_caught(&spin, SPIN_FOR_REQUESTS, 1000);
    spin_missed(&spin, SPIN_FOR_REQUESTS);
    assert_int_equal(gaps_until_wanted(&spin), 1);
}

static void one_catch_forgives_nothing_and_two_do(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
    for (int i = 0; i < 3; i++)
        spin_missed(&spin, SPIN_FOR_REQUESTS);
    assert_int_equal(spin.habits[SPIN_FOR_REQUESTS].penalty, 4);
    spin_caught(&spin, SPIN_FOR_REQUESTS, 1000);
    assert_int_equal(spin.habits[SPIN_FOR_REQUESTS].penalty, 4);
    spin_caught(&spin, SPIN_FOR_REQUESTS, 1000);
    assert_int_equal(spin.habits[SPIN_FOR_REQUESTS].penalty, 2);
    spin_woken(&spin, SPIN_FOR_REQUESTS, 1000);
    spin_caught(&spin, SPIN_FOR_REQUESTS, 1000);
    assert_int_equal(spin.habits[SPIN_FOR_REQUESTS].penalty, 2);
}

/* In turns from near by and from behind others, as who takes part in a round of nodes hears. */
static void one_quick_answer_does_not_hide_the_slow_ones(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 130000);
    spin_caught(&spin, SPIN_FOR_REPLIES, 110000);
    for (int rounds = 0; rounds < 20; rounds++) {
        spin_caught(&spin, SPIN_FOR_REPLIES, 5000);
        spin_caught(&spin, SPIN_FOR_REPLIES, 5000);
        assert_true(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1) >= 110000);
        spin_caught(&spin, SPIN_FOR_REPLIES, 110000);
    }
}

static void slow_yield_means_the_core_is_wanted(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
    assert_false(spin_yielded(&spin, 1000, SPIN_YIELD_NS, false));
    assert_int_not_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1000), 0);
    assert_true(spin_yielded(&spin, 1000, 10000000, false));
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1000 + SPIN_HOG_PAUSE_NS - 1), 0);
    assert_int_not_equal(spin_budget_ns(&spin, SPIN_FOR_REPLIES, 1000 + SPIN_HOG_PAUSE_NS), 0);
}

/* A partner on the same core that did its part of the work is no hog. */
static void the_pause_goes_by_what_the_yield_took(void **state)
{
    (void)state;
    for (uint64_t took_ns = SPIN_YIELD_NS + 1; took_ns <= 10000000; took_ns += 10007) {
        struct spin spin;
        spin_init(&spin, BUDGET_NS);
        spin_woken(&spin, SPIN_FOR_REPLIES, 1000);
        assert_true(spin_yielded(&spin, 1000, took_ns, false));
        uint64_t pause_ns = spin.hog_until_ns - 1000;
        assert_true(pause_ns <= SPIN_HOG_PAUSE_NS);
        assert_true(pause_ns == SPIN_HOG_PAUSE_NS || pause_ns == took_ns * SPIN_HOG_TIMES);
        if (took_ns < 100000)
            assert_true(pause_ns < 2000000);
        if (took_ns >= 3000000) /* a slice of the scheduler */
            assert_true(pause_ns >= 40000000);
    }
}

/* The writer of the store, on the core of the loop that waits for it. */
static void a_thread_of_our_own_is_no_hog_either(void **state)
{
    struct spin spin;
    (void)state;
    spin_init(&spin, BUDGET_NS);
    spin_woken(&spin, SPIN_FOR_DISK, 1000);
    assert_false(spin_yielded(&spin, 1000, SPIN_OWN_NS, true));
    assert_int_not_equal(spin_budget_ns(&spin, SPIN_FOR_DISK, 1000), 0);
    assert_true(spin_yielded(&spin, 1000, SPIN_OWN_NS + 1, true));
    assert_int_equal(spin_budget_ns(&spin, SPIN_FOR_DISK, 1001), 0);
}

/* ---- two ends that talk, on a made-up clock ---- */

/* One loop: what it did last, and how it spends the time until the next message. */
struct end {
    struct spin spin;
    enum spin_wait wait;
    uint64_t active_ns;
    uint64_t spun_ns; /* polled in vain or not, in all */
};

/* The message that @end waits for arrives at @at_ns; returns when @end has it in hand. */
static uint64_t end_receives(struct end *end, uint64_t at_ns, uint64_t wake_ns)
{
    uint64_t waited_ns = at_ns - end->active_ns;
    uint64_t budget_ns = spin_budget_ns(&end->spin, end->wait, end->active_ns);
    if (budget_ns >= waited_ns) {
        end->spun_ns += waited_ns;
        spin_caught(&end->spin, end->wait, waited_ns);
        return end->active_ns = at_ns;
    }
    if (budget_ns > 0) {
        end->spun_ns += budget_ns;
        spin_missed(&end->spin, end->wait);
    }
    end->active_ns = at_ns + wake_ns;
    spin_woken(&end->spin, end->wait, waited_ns + wake_ns);
    return end->active_ns;
}

static void end_init(struct end *end, enum spin_wait wait)
{
    *end = (struct end){.wait = wait};
    spin_init(&end->spin, BUDGET_NS);
}

/* A call and its reply, each end working for @work_ns; returns when the reply is in hand. */
static uint64_t round_trip(
    struct end *client, struct end *server, uint64_t now_ns, uint64_t wake_ns, uint64_t work_ns)
{
    client->active_ns = now_ns + work_ns;
    uint64_t served_ns = end_receives(server, client->active_ns + 1000, wake_ns) + work_ns;
    server->active_ns = served_ns;
    return end_receives(client, served_ns + 1000, wake_ns);
}

static void two_sleeping_ends_learn_to_poll_whatever_waking_costs(void **state)
{
    static const uint64_t wakes_ns[] = {5000, 12000, 30000, 60000, 100000, 150000};
    (void)state;
    for (size_t i = 0; i < sizeof(wakes_ns) / sizeof(wakes_ns[0]); i++) {
        struct end client, server;
        uint64_t now_ns = 1000000;
        end_init(&client, SPIN_FOR_REPLIES);
        end_init(&server, SPIN_FOR_REQUESTS);
        for (int calls = 0; calls < 5; calls++)
            now_ns = round_trip(&client, &server, now_ns, wakes_ns[i], 3000);
        uint64_t hits = client.spin.hits_n + server.spin.hits_n;
        uint64_t begun_ns = now_ns;
        for (int calls = 0; calls < 100; calls++)
            now_ns = round_trip(&client, &server, now_ns, wakes_ns[i], 3000);
        assert_int_equal(client.spin.hits_n + server.spin.hits_n, hits + 200);
        assert_int_equal(now_ns - begun_ns, 100 * 8000);
    }
}

/* The other end works for longer than the budget, and asks others: its answers are polled for. */
static void answers_slower_than_the_budget_are_caught(void **state)
{
    (void)state;
    for (uint64_t work_ns = 2 * BUDGET_NS; work_ns < SPIN_PROBE_MAX_NS - 10000; work_ns += 10000) {
        struct end client;
        uint64_t now_ns = 1000000;
        end_init(&client, SPIN_FOR_REPLIES);
        for (int calls = 0; calls < 110; calls++) {
            if (calls == 10)
                client.spin.hits_n = 0;
            client.active_ns = now_ns;
            now_ns = end_receives(&client, now_ns + work_ns, 60000);
        }
        assert_int_equal(client.spin.hits_n, 100);
    }
}

static void two_ends_poll_again_after_a_pause(void **state)
{
    struct end client, server;
    uint64_t now_ns = 1000000;
    (void)state;
    end_init(&client, SPIN_FOR_REPLIES);
    end_init(&server, SPIN_FOR_REQUESTS);
    for (int bursts = 0; bursts < 20; bursts++) {
        for (int calls = 0; calls < 40; calls++)
            now_ns = round_trip(&client, &server, now_ns, 60000, 3000);
        uint64_t begun_ns = now_ns;
        now_ns = round_trip(&client, &server, now_ns, 60000, 3000);
        assert_int_equal(now_ns - begun_ns, 8000);
        now_ns += 50000000;
    }
}

/* Syncs that take @sync_ns, each asked for 20 us after the one before; the share that is polled. */
static double share_polled_for_disk(uint64_t sync_ns, uint64_t *hits_out)
{
    struct end end;
    uint64_t begun_ns = 1000000, now_ns = begun_ns;
    end_init(&end, SPIN_FOR_DISK);
    for (int i = 0; i < 10000; i++) {
        end.active_ns = now_ns;
        now_ns = end_receives(&end, now_ns + sync_ns, 12000) + 20000;
    }
    *hits_out = end.spin.hits_n;
    return (double)end.spun_ns / (double)(now_ns - begun_ns);
}

/* A sync that is soon done is polled for, whatever else comes meanwhile; a slow one never is. */
static void sync_is_polled_for_on_a_fast_disk_only(void **state)
{
    uint64_t hits;
    (void)state;
    for (uint64_t sync_ns = 20000; sync_ns < SPIN_PROBE_MAX_NS - 12000; sync_ns += 10000) {
        (void)share_polled_for_disk(sync_ns, &hits);
        assert_int_equal(hits, 9999);
    }
    for (uint64_t sync_ns = SPIN_PROBE_MAX_NS + 1; sync_ns < SPIN_GAP_NS; sync_ns += 10000)
        assert_true(share_polled_for_disk(sync_ns, &hits) < 0.03);
    for (uint64_t sync_ns = SPIN_GAP_NS; sync_ns < 20000000; sync_ns += 500000)
        assert_true(share_polled_for_disk(sync_ns, &hits) == 0);
}

/* The share of the time that a loop polls whose messages come every @gap_ns, asked for or not. */
static double share_polled(uint64_t gap_ns, uint64_t wake_ns)
{
    struct end end;
    uint64_t begun_ns = 1000000, now_ns = begun_ns;
    end_init(&end, SPIN_FOR_REQUESTS);
    end.active_ns = now_ns;
    for (int i = 0; i < 10000; i++) {
        now_ns += gap_ns;
        end_receives(&end, now_ns > end.active_ns ? now_ns : end.active_ns, wake_ns);
    }
    return (double)end.spun_ns / (double)(now_ns - begun_ns);
}

static void slow_traffic_does_not_poll(void **state)
{
    (void)state;
    for (uint64_t gap_ns = SPIN_GAP_NS + 1; gap_ns <= 10000000; gap_ns += 50000)
        assert_true(share_polled(gap_ns, 12000) == 0);
}

/* Too slow for the budget and fast enough to be tried: a few in a hundred, not all of the time. */
static void traffic_slower_than_the_budget_polls_a_little(void **state)
{
    (void)state;
    for (uint64_t gap_ns = 2 * BUDGET_NS; gap_ns < SPIN_GAP_NS; gap_ns += 10000) {
        assert_true(share_polled(gap_ns, 12000) < 0.03);
        assert_true(share_polled(gap_ns, 60000) < 0.03);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_budget_never_spins),
        cmocka_unit_test(short_gap_begins_spinning),
        cmocka_unit_test(requests_and_replies_are_separate_habits),
        cmocka_unit_test(probe_lasts_as_long_as_the_sleep_took),
        cmocka_unit_test(spin_behind_a_catch_keeps_to_the_budget),
        cmocka_unit_test(answer_that_came_late_is_expected_late_again),
        cmocka_unit_test(misses_back_off_and_hits_come_back),
        cmocka_unit_test(one_catch_forgives_nothing_and_two_do),
        cmocka_unit_test(one_quick_answer_does_not_hide_the_slow_ones),
        cmocka_unit_test(slow_yield_means_the_core_is_wanted),
        cmocka_unit_test(the_pause_goes_by_what_the_yield_took),
        cmocka_unit_test(a_thread_of_our_own_is_no_hog_either),
        cmocka_unit_test(sync_is_polled_for_on_a_fast_disk_only),
        cmocka_unit_test(two_sleeping_ends_learn_to_poll_whatever_waking_costs),
        cmocka_unit_test(answers_slower_than_the_budget_are_caught),
        cmocka_unit_test(two_ends_poll_again_after_a_pause),
        cmocka_unit_test(slow_traffic_does_not_poll),
        cmocka_unit_test(traffic_slower_than_the_budget_polls_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
