/*
 * Whose turn it is: how the token goes from node to node and from owner to owner of a node, and how
 * many messages that takes.
 */
#include "test_mutex_lab.h"

static void a_hand_over_is_one_message_when_a_request_is_there(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    const struct got *got = acquire(lab, 1, of(1, "a"));
    assert_false(got->any);
    uint32_t before = lab->messages_n;
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_RELEASE, .u.waiter = 1});
    assert_int_equal(lab->messages_n, before + 1);
    deliver(lab);
    assert_int_equal(got->last, MUTEX_GRANTED);
    assert_int_equal(lab->messages_n, before + 1);
    pass(lab, 200);
    assert_int_equal(lab->messages_n, before + 2); /* that it has arrived */
    pass(lab, 1000);
    assert_int_equal(lab->messages_n, before + 2);
    assert_true(got->fence > lab->got[0][1].fence);
    lab_free(lab);
}

static void who_asks_again_before_it_is_passed_on_needs_no_request(void **state)
{
    struct lab *lab = lab_new(3, 0, (struct mutex_config){.idle_ms = 60000, .pass_at_tick = true});
    struct mutex_event tick = {.type = MUTEX_TICK};
    struct mutex_acquire try = of(2, "a");
    (void)state;
    try.try_only = true;
    (void)acquire(lab, 2, of(1, "a"));
    (void)release(lab, 2, 1);
    (void)acquire(lab, 0, of(1, "a"));
    const struct got *other = acquire(lab, 1, of(1, "a"));
    uint32_t before = lab->messages_n;
    assert_int_equal(release(lab, 0, 1), 0);
    assert_int_equal(mutex_deadline_ms(lab->nodes[0]), 0);
    const struct got *again = acquire(lab, 0, of(1, "a"));
    assert_false(again->any || other->any); /* it is on its way to others */
    assert_int_equal(acquire(lab, 0, try)->code, KITH_E_AGAIN);
    assert_int_equal(lab->messages_n, before);
    (void)step(lab, 0, tick);
    assert_int_equal(lab->messages_n, before + 1);
    deliver(lab);
    assert_int_equal(other->last, MUTEX_GRANTED);
    assert_int_equal(release(lab, 1, 1), 0);
    (void)step(lab, 1, tick);
    deliver(lab);
    assert_int_equal(again->last, MUTEX_GRANTED);
    assert_int_equal(lab->messages_n, before + 2); /* nothing but the token */
    lab_free(lab);
}

static void what_is_about_to_be_passed_on_is_lost_with_a_lease(void **state)
{
    struct lab *lab = lab_new(2, 0, (struct mutex_config){.idle_ms = 60000, .pass_at_tick = true});
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 1, of(1, "a"));
    assert_int_equal(release(lab, 0, 1), 0);
    uint32_t before = lab->messages_n;
    lab->now += 3001;
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_TICK});
    assert_int_equal(lab->messages_n, before); /* no token of an ended lease */
    lab_free(lab);
}

static void owners_of_a_node_take_at_most_eight_turns_while_others_wait(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    for (uint64_t w = 1; w <= 20; w++)
        (void)acquire(lab, 0, of(w, "a"));
    const struct got *other = acquire(lab, 1, of(1, "a"));
    uint64_t turns = 0;
    for (uint64_t w = 1; !other->any; w++, turns++)
        assert_int_equal(release(lab, 0, w), 0);
    assert_int_equal(turns, 8);
    (void)release(lab, 1, 1); /* and the token comes back without a request */
    assert_true(holds(lab, 0, 9));
    lab_free(lab);
}

static void owners_of_a_node_keep_it_for_ten_ms_while_others_wait(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    for (uint64_t w = 1; w <= 20; w++)
        (void)acquire(lab, 0, of(w, "a"));
    const struct got *other = acquire(lab, 1, of(1, "a"));
    lab->now += 11;
    (void)release(lab, 0, 1);
    assert_int_equal(other->last, MUTEX_GRANTED);
    lab_free(lab);
}

static void turns_are_shared_evenly_between_nodes(void **state)
{
    struct lab *lab = LAB(4, 0);
    uint32_t turns[4] = {0};
    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        (void)acquire(lab, i, of(1, "a"));
    for (int round = 0; round < 400; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            if (!holds(lab, i, 1))
                continue;
            turns[i]++;
            (void)release(lab, i, 1);
            (void)acquire(lab, i, of(1, "a"));
            break;
        }
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_true(turns[i] >= 95 && turns[i] <= 105);
    lab_free(lab);
}

static void a_request_that_is_lost_is_sent_again(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    (void)release(lab, 0, 1);
    memset(&lab->got[1][1], 0, sizeof(struct got));
    (void)step(lab, 1, (struct mutex_event){.type = MUTEX_ACQUIRE, .u.acquire = of(1, "a")});
    lab->head = lab->tail; /* all lost */
    pass(lab, 400);
    assert_false(holds(lab, 1, 1));
    pass(lab, 200);
    assert_true(holds(lab, 1, 1));
    lab_free(lab);
}

static void a_token_that_is_lost_is_sent_again(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 1, of(1, "a"));
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_RELEASE, .u.waiter = 1});
    lab->head = lab->tail;
    pass(lab, 350);
    assert_true(holds(lab, 1, 1));
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hand_over_is_one_message_when_a_request_is_there),
        cmocka_unit_test(who_asks_again_before_it_is_passed_on_needs_no_request),
        cmocka_unit_test(what_is_about_to_be_passed_on_is_lost_with_a_lease),
        cmocka_unit_test(owners_of_a_node_take_at_most_eight_turns_while_others_wait),
        cmocka_unit_test(owners_of_a_node_keep_it_for_ten_ms_while_others_wait),
        cmocka_unit_test(turns_are_shared_evenly_between_nodes),
        cmocka_unit_test(a_request_that_is_lost_is_sent_again),
        cmocka_unit_test(a_token_that_is_lost_is_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
