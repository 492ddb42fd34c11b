/* Whom a call is sent to: nodes that are drained are left out, unless they are named. */
#include <string.h>

#include "test_rpc_lib.h"

static struct desk *three_with(const char *fn)
{
    struct desk *desk = desk_new_cluster(3, NULL);

    for (size_t i = 1; i < 3; i++) {
        desk->nodes[i].on_run = desk_echo;
        desk_offer(&desk->nodes[i], fn, 0, 0);
    }
    desk_settle(desk);
    return desk;
}

static void drain(struct desk *desk, size_t at, size_t which, bool drained)
{
    struct rpc_event event = {.type = RPC_DRAIN,
                              .u.drain = {.id = desk->nodes[which].id, .drained = drained}};
    assert_int_equal(desk_step(&desk->nodes[at], &event), 0);
}

/* How many of @n calls of @node ran at @at. */
static size_t calls_at(struct desk *desk, size_t node, const char *fn, size_t n, size_t at)
{
    size_t before = desk->nodes[at].runs_n;

    for (size_t i = 0; i < n; i++) {
        uint64_t token = desk_call_name(&desk->nodes[node], fn, "x");
        desk_settle(desk);
        desk_expect(&desk->nodes[node], token, KITH_OUTCOME_OK, 0);
    }
    return desk->nodes[at].runs_n - before;
}

static void drained_node_is_not_chosen_until_it_is_taken_back(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");

    assert_true(calls_at(desk, 0, "work", 60, 2) > 0);
    drain(desk, 0, 2, true);
    assert_int_equal(calls_at(desk, 0, "work", 60, 2), 0);
    /* Each node decides by what it knows. */
    assert_true(calls_at(desk, 2, "work", 60, 2) > 0);
    drain(desk, 0, 2, false);
    assert_true(calls_at(desk, 0, "work", 60, 2) > 0);
    desk_free(desk);
}

static void drained_node_serves_who_names_it(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");
    struct desk_node *a = &desk->nodes[0];

    drain(desk, 0, 1, true);
    uint64_t token =
        desk_call(a, (struct rpc_call){.fn = "work", .to_node = true, .node = desk->nodes[1].id});
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_string_equal(desk_result(a, token)->node_name, "node-1");
    desk_free(desk);
}

static void with_drained_nodes_only_a_call_says_so(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");
    struct desk_node *a = &desk->nodes[0];

    drain(desk, 0, 1, true);
    drain(desk, 0, 2, true);
    uint64_t token = desk_call_name(a, "work", "x");
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    assert_non_null(strstr(desk_result(a, token)->text, "drained"));
    assert_non_null(strstr(desk_result(a, token)->text, "node-"));
    /* What nobody has is another matter. */
    token = desk_call_name(a, "none", "x");
    assert_null(strstr(desk_result(a, token)->text, "drained"));
    desk_free(desk);
}

static void call_that_waits_goes_when_a_node_is_taken_back(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");
    struct desk_node *a = &desk->nodes[0];
    struct rpc_call call = {.fn = "work", .wait_for_function = true, .timeout_ms = 60000};

    drain(desk, 0, 1, true);
    drain(desk, 0, 2, true);
    uint64_t token = desk_call(a, call);
    desk_pass(desk, 1000);
    assert_null(desk_result(a, token));
    drain(desk, 0, 1, false);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_string_equal(desk_result(a, token)->node_name, "node-1");
    desk_free(desk);
}

static void this_node_can_be_drained_too(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");
    struct desk_node *b = &desk->nodes[1];
    struct rpc_call local = {.fn = "work", .select = KITH_SELECT_LOCAL_FIRST};

    size_t before = b->runs_n;
    uint64_t token = desk_call(b, local);
    desk_expect(b, token, KITH_OUTCOME_OK, 0);
    assert_int_equal(b->runs_n, before + 1);
    drain(desk, 1, 1, true);
    token = desk_call(b, local);
    desk_settle(desk);
    desk_expect(b, token, KITH_OUTCOME_OK, 0);
    assert_string_equal(desk_result(b, token)->node_name, "node-2");
    assert_int_equal(calls_at(desk, 1, "work", 30, 1), 0);
    drain(desk, 1, 2, true);
    local.wait_for_function = true;
    token = desk_call(b, local);
    desk_settle(desk);
    assert_null(desk_result(b, token));
    drain(desk, 1, 1, false);
    desk_settle(desk);
    desk_expect(b, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void node_that_comes_back_drained_stays_so(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");

    desk_peer_down(desk, 0, 2, false);
    struct rpc_event up = {.type = RPC_PEER_UP,
                           .u.peer = {.id = desk->nodes[2].id,
                                      .boot_no = desk->nodes[2].boot_no,
                                      .name = "node-2",
                                      .drained = true}};
    assert_int_equal(desk_step(&desk->nodes[0], &up), 0);
    desk_pass(desk, 1000);
    assert_int_equal(calls_at(desk, 0, "work", 40, 2), 0);
    drain(desk, 0, 2, false);
    assert_true(calls_at(desk, 0, "work", 40, 2) > 0);
    desk_free(desk);
}

static void no_idempotent_call_is_tried_again_at_a_drained_node(void **state)
{
    (void)state;
    struct desk *desk = three_with("work");
    struct desk_node *a = &desk->nodes[0];

    for (size_t i = 1; i < 3; i++)
        desk->nodes[i].on_run = NULL; /* it runs on */
    drain(desk, 0, 2, true);
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .idempotent = true});
    desk_settle(desk);
    assert_int_equal(desk->nodes[1].running_n, 1);
    desk_peer_down(desk, 0, 1, false);
    desk_pass(desk, 5000);
    assert_int_equal(desk->nodes[2].running_n, 0);
    struct desk_result *result = desk_result(a, token);
    assert_true(result == NULL || result->outcome == KITH_OUTCOME_UNKNOWN);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drained_node_is_not_chosen_until_it_is_taken_back),
        cmocka_unit_test(drained_node_serves_who_names_it),
        cmocka_unit_test(with_drained_nodes_only_a_call_says_so),
        cmocka_unit_test(call_that_waits_goes_when_a_node_is_taken_back),
        cmocka_unit_test(this_node_can_be_drained_too),
        cmocka_unit_test(node_that_comes_back_drained_stays_so),
        cmocka_unit_test(no_idempotent_call_is_tried_again_at_a_drained_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
