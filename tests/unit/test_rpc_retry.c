/* Automatic retries: where, when, and how many at most (protocols 5.6); and whom a call chooses. */
#include "test_rpc_lib.h"

#include <string.h>

/* Node 0 calls; nodes 1 and 2 offer "work" with one place and no queue to speak of. */
static struct desk *three(uint32_t flags)
{
    struct rpc_config config = {.workers = 1, .queue_node_max = 1};
    struct desk *desk = desk_new_cluster(3, &config);
    desk_offer(&desk->nodes[1], "work", flags, 0);
    desk_offer(&desk->nodes[2], "work", flags, 0);
    desk_settle(desk);
    return desk;
}

static uint64_t retries(struct desk_node *node)
{
    struct rpc_stats stats;
    rpc_stats(node->core, &stats);
    return stats.retries;
}

static uint64_t occupy(struct desk *desk, size_t at)
{
    struct desk_node *node = &desk->nodes[at];
    return desk_call(
        node, (struct rpc_call){
                  .fn = "work", .to_node = true, .node = node->id, .timeout_ms = UINT64_MAX});
}

static void busy_node_is_left_for_another_after_a_pause(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    occupy(desk, 1);
    occupy(desk, 2);
    uint64_t token = desk_call_name(a, "work", "");
    desk_settle(desk);
    assert_null(desk_result(a, token));
    size_t sends = a->sends_n;
    desk_pass(desk, 40);
    assert_int_equal(a->sends_n, sends); /* not before 50 ms */
    desk_done_first(&desk->nodes[2], "");
    desk_pass(desk, 3000);
    assert_int_equal(desk->nodes[2].running_n, 1);
    desk_done_first(&desk->nodes[2], "");
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_true(retries(a) >= 1);
    desk_free(desk);
}

static void named_busy_node_is_asked_again(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    occupy(desk, 1);
    uint64_t token =
        desk_call(a, (struct rpc_call){.fn = "work", .to_node = true, .node = desk->nodes[1].id});
    desk_settle(desk);
    desk_done_first(&desk->nodes[1], "");
    desk_pass(desk, 200);
    assert_int_equal(desk->nodes[1].running_n, 1);
    assert_int_equal(desk->nodes[2].runs_n, 0);
    desk_done_first(&desk->nodes[1], "");
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void no_retry_means_none(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    occupy(desk, 1);
    occupy(desk, 2);
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .no_retry = true});
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    assert_int_equal(retries(a), 0);
    desk_free(desk);
}

static void retry_never_starts_past_the_deadline(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    occupy(desk, 1);
    occupy(desk, 2);
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 40});
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED,
                KITH_E_BUSY); /* at once: no time for a pause */
    token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 1000});
    uint64_t start_ns = desk->now_ns;
    desk_pass(desk, 5000);
    assert_non_null(desk_result(a, token));
    assert_true(desk_result(a, token)->elapsed_ns <= desk->now_ns - start_ns);
    assert_true(desk_result(a, token)->elapsed_ns <= 1010 * 1000000ull);
    assert_int_equal(desk_result(a, token)->outcome, KITH_OUTCOME_NOT_EXECUTED);
    desk_free(desk);
}

static void withdrawn_function_is_found_on_another_node_at_once(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    uint64_t tokens[10];
    desk_unexport(&desk->nodes[1], "work");
    desk_drop_all(desk); /* the caller does not know yet */
    desk->nodes[2].on_run = desk_echo;
    for (int i = 0; i < 10; i++) {
        tokens[i] = desk_call_name(a, "work", "x");
        desk_settle(desk);
        desk_expect(a, tokens[i], KITH_OUTCOME_OK, 0);
    }
    assert_int_equal(desk->nodes[1].runs_n, 0);
    assert_true(retries(a) <= 1); /* after the first, the entry is known to be stale */
    desk_free(desk);
}

static void stale_registry_is_asked_for_again(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    desk_unexport(&desk->nodes[1], "work");
    desk_drop_all(desk);
    uint64_t token =
        desk_call(a, (struct rpc_call){.fn = "work", .to_node = true, .node = desk->nodes[1].id});
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    struct kith_node_id who[3];
    assert_int_equal(rpc_who_has(a->core, rpc_name_hash("work"), who, 3), 1);
    desk_free(desk);
}

static void unsent_call_of_a_failed_node_goes_elsewhere(void **state)
{
    (void)state;
    struct rpc_config config = {.link_events = true};
    struct desk *desk = desk_new_cluster(3, &config);
    struct desk_node *a = &desk->nodes[0];
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    uint64_t token = desk_call_name(a, "work", "");
    desk_offer(&desk->nodes[2], "work", 0, 0);
    desk_settle(desk);
    desk_link(desk, 0, 2, RPC_LINK_UP);
    desk_peer_down(desk, 0, 1, false);
    desk_settle(desk);
    assert_int_equal(desk->nodes[2].running_n, 1);
    desk_done_first(&desk->nodes[2], "");
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

/* The call is under way on a node that fails; the other one could run it again. */
static struct desk_result *fail_under_way(struct desk *desk, struct rpc_call call)
{
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call(a, call);
    desk_settle(desk);
    size_t at = desk->nodes[1].running_n > 0 ? 1 : 2;
    desk_peer_down(desk, 0, at, false);
    size_t other = 3 - at;
    desk_pass(desk, 2100);
    if (desk->nodes[other].running_n > 0)
        desk_done_first(&desk->nodes[other], "second");
    desk_settle(desk);
    return desk_result(a, token);
}

static void unknown_is_tried_again_only_if_idempotent(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_result *result = fail_under_way(desk, (struct rpc_call){.fn = "work"});
    assert_non_null(result);
    assert_int_equal(result->outcome, KITH_OUTCOME_UNKNOWN);
    assert_int_equal(desk->nodes[1].runs_n + desk->nodes[2].runs_n, 1);
    desk_free(desk);

    desk = three(0); /* the caller says so */
    result = fail_under_way(desk, (struct rpc_call){.fn = "work", .idempotent = true});
    assert_non_null(result);
    assert_int_equal(result->outcome, KITH_OUTCOME_OK);
    assert_int_equal(desk->nodes[1].runs_n + desk->nodes[2].runs_n, 2);
    desk_free(desk);

    desk = three(KITH_FN_IDEMPOTENT); /* the export says so */
    result = fail_under_way(desk, (struct rpc_call){.fn = "work"});
    assert_non_null(result);
    assert_int_equal(result->outcome, KITH_OUTCOME_OK);
    desk_free(desk);

    desk = three(KITH_FN_IDEMPOTENT);
    result = fail_under_way(desk, (struct rpc_call){.fn = "work", .no_retry = true});
    assert_int_equal(result->outcome, KITH_OUTCOME_UNKNOWN);
    desk_free(desk);
}

static void failed_retry_of_an_unknown_stays_unknown(void **state)
{
    (void)state;
    struct desk *desk = three(KITH_FN_IDEMPOTENT);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 5000});
    desk_settle(desk);
    desk_peer_down(desk, 0, 1, false);
    desk_peer_down(desk, 0, 2, false);
    desk_pass(desk, 6000);
    assert_non_null(desk_result(a, token));
    assert_int_equal(desk_result(a, token)->outcome, KITH_OUTCOME_UNKNOWN);
    desk_free(desk);
}

static void retries_are_at_most_a_tenth_of_calls(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct desk_node *a = &desk->nodes[0];
    occupy(desk, 1);
    occupy(desk, 2);
    desk->check = false;
    const uint64_t saved = 32; /* what the budget starts with */
    for (int i = 0; i < 5000; i++) {
        desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 300});
        desk_settle(desk);
        if (i % 100 == 99)
            desk_pass(desk, 30);
    }
    desk_pass(desk, 5000);
    assert_int_equal(a->results_n, 5000);
    assert_true(retries(a) > saved);
    assert_true(retries(a) <= saved + 500);
    desk_free(desk);
}

/* ---- choosing ---- */

static void less_loaded_of_two_is_chosen(void **state)
{
    (void)state;
    struct desk *desk = three(0);
    struct rpc_event event = {.type = RPC_PEER_LOAD};
    event.u.load.id = desk->nodes[1].id;
    event.u.load.queue_len = 50;
    desk_step(&desk->nodes[0], &event);
    for (int i = 0; i < 20; i++)
        desk_call_name(&desk->nodes[0], "work", "");
    for (struct desk_frame *frame = desk->first; frame != NULL; frame = frame->next)
        assert_int_equal(frame->to, 2);
    /* What was heard long ago says nothing; our own calls still do. */
    desk_drop_all(desk);
    desk->now_ns += 6000 * 1000000ull;
    for (int i = 0; i < 20; i++)
        desk_call_name(&desk->nodes[0], "work", "");
    assert_int_equal(desk->first->to, 1);
    desk_free(desk);
}

static void load_rides_on_results(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = desk_new_cluster(3, &config);
    for (size_t i = 1; i < 3; i++)
        desk_offer(&desk->nodes[i], "work", 0, 0);
    desk_settle(desk);
    for (int i = 0; i < 10; i++)
        occupy(desk, 1);
    struct rpc_call call = {.fn = "work", .to_node = true, .node = desk->nodes[1].id};
    desk_call(&desk->nodes[0], call);
    desk_settle(desk); /* the acknowledgement of a waiting call brings the load */
    for (int i = 0; i < 8; i++)
        desk_call_name(&desk->nodes[0], "work", "");
    for (struct desk_frame *frame = desk->first; frame != NULL; frame = frame->next)
        assert_int_equal(frame->to, 2);
    desk_free(desk);
}

static void calls_spread_over_many_nodes(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(40, NULL);
    size_t per_node[40] = {0};
    for (size_t i = 1; i < 40; i++)
        desk_offer(&desk->nodes[i], "work", 0, 0);
    desk_settle(desk);
    for (int i = 0; i < 3900; i++)
        desk_call_name(&desk->nodes[0], "work", "");
    for (struct desk_frame *frame = desk->first; frame != NULL; frame = frame->next)
        per_node[frame->to]++;
    /* Two choices keep the fullest within a few of the mean of 100. */
    for (size_t i = 1; i < 40; i++) {
        assert_true(per_node[i] >= 90);
        assert_true(per_node[i] <= 110);
    }
    desk_free(desk);
}

static void local_first_prefers_this_node(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    for (size_t i = 0; i < 3; i++)
        desk_offer(&desk->nodes[i], "work", 0, 0);
    desk_settle(desk);
    for (int i = 0; i < 10; i++)
        desk_call(&desk->nodes[0],
                  (struct rpc_call){.fn = "work", .select = KITH_SELECT_LOCAL_FIRST});
    assert_int_equal(desk->nodes[0].running_n, 4);
    assert_int_equal(desk->frames_n, 0);
    desk_free(desk);
}

static void own_load_sends_calls_away(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    desk_offer(&desk->nodes[0], "work", 0, 0);
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    for (int i = 0; i < 20; i++)
        desk_call_name(&desk->nodes[0], "work", "");
    assert_int_equal(desk->frames_n, 10);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_node_is_left_for_another_after_a_pause),
        cmocka_unit_test(named_busy_node_is_asked_again),
        cmocka_unit_test(no_retry_means_none),
        cmocka_unit_test(retry_never_starts_past_the_deadline),
        cmocka_unit_test(withdrawn_function_is_found_on_another_node_at_once),
        cmocka_unit_test(stale_registry_is_asked_for_again),
        cmocka_unit_test(unsent_call_of_a_failed_node_goes_elsewhere),
        cmocka_unit_test(unknown_is_tried_again_only_if_idempotent),
        cmocka_unit_test(failed_retry_of_an_unknown_stays_unknown),
        cmocka_unit_test(retries_are_at_most_a_tenth_of_calls),
        cmocka_unit_test(less_loaded_of_two_is_chosen),
        cmocka_unit_test(load_rides_on_results),
        cmocka_unit_test(calls_spread_over_many_nodes),
        cmocka_unit_test(local_first_prefers_this_node),
        cmocka_unit_test(own_load_sends_calls_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
