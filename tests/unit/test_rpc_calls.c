/* Calls between two nodes: each outcome and what leads to it. */
#include "test_rpc_lib.h"

#include <string.h>

static void call_is_answered_with_its_argument(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    b->on_run = desk_echo;
    assert_int_equal(desk_offer(b, "echo", KITH_FN_INLINE, 0), 0);
    desk_settle(desk);
    uint64_t token = desk_call_name(a, "echo", "hello");
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    struct desk_result *result = desk_result(a, token);
    assert_int_equal(result->data.len, 5);
    assert_memory_equal(result->data.data, "hello", 5);
    assert_string_equal(result->node_name, "node-1");
    assert_true(kith_node_id_equal(&result->node, &b->id));
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_is_answered_with_its_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
