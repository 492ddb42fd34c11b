/* The rpc stream of a node, as the core sees it: asked for, there, gone, given up. */
#include <string.h>

#include "test_rpc_lib.h"

/* Node 1 offers "work" and echoes; links are told. */
static struct desk *two_that_echo(void)
{
    struct rpc_config config = {.link_events = true};
    struct desk *desk = desk_new_cluster(2, &config);
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk->nodes[1].on_run = desk_echo;
    desk_settle(desk);
    return desk;
}

static uint64_t call_without_a_deadline(struct desk_node *node)
{
    return desk_call(node, (struct rpc_call){.fn = "work", .timeout_ms = UINT64_MAX});
}

/* The channel was told to disconnect while it opened the stream: nobody else will open it. */
static void opening_that_is_given_up_is_asked_for_again(void **state)
{
    (void)state;
    struct desk *desk = two_that_echo();
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = call_without_a_deadline(a);
    assert_int_equal(a->connects_n, 1);
    for (size_t i = 0; i < 5; i++) {
        size_t connects = a->connects_n;
        desk_link(desk, 0, 1, RPC_LINK_DOWN);
        desk_pass(desk, 2100);
        assert_int_equal(a->connects_n, connects + 1);
    }
    assert_null(desk_result(a, token));
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

/*
 * A node counts as failed and is forgotten while its stream stays; then it is back. The channel has
 * nothing to open, so no LINK_UP comes.
 */
static void stream_that_is_open_already_carries_calls_of_a_node_that_is_back(void **state)
{
    (void)state;
    struct desk *desk = two_that_echo();
    struct desk_node *a = &desk->nodes[0];
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_peer_down(desk, 0, 1, false);
    desk_tick(a); /* nothing is left of it here */
    desk_peer_up(desk, 0, 1);
    desk_settle(desk);
    a->tell_connect = true;
    a->connect_boot_no = desk->nodes[1].boot_no;
    uint64_t token = call_without_a_deadline(a);
    assert_int_equal(a->connects_n, 1);
    desk_pass(desk, 5);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    /* From now on it is known to be there. */
    token = call_without_a_deadline(a);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_int_equal(a->connects_n, 1);
    desk_free(desk);
}

/* It ends before the core has taken the news in: then it is asked for again. */
static void stream_that_was_open_and_ends_at_once_is_asked_for_again(void **state)
{
    (void)state;
    struct desk *desk = two_that_echo();
    struct desk_node *a = &desk->nodes[0];
    a->tell_connect = true;
    uint64_t token = call_without_a_deadline(a);
    a->tell_connect = false;
    desk_link(desk, 0, 1, RPC_LINK_DOWN);
    assert_int_equal(desk_frames_of(desk, FRAME_CALL), 0);
    desk_pass(desk, 2100);
    assert_int_equal(a->connects_n, 2);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

/*
 * The node was restarted, which membership said; the channel still has the stream of the boot
 * before. No call goes there, and its end, which tells of that boot, must not pass unheard.
 */
static void end_of_a_stream_to_an_older_boot_is_heard(void **state)
{
    (void)state;
    struct desk *desk = two_that_echo();
    struct desk_node *a = &desk->nodes[0];
    uint64_t before = desk->nodes[1].boot_no;
    desk_restart(desk, 1);
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_peer_up(desk, 0, 1);
    desk_peer_up(desk, 1, 0);
    desk_settle(desk);
    a->tell_connect = true;
    a->connect_boot_no = before;
    uint64_t token = call_without_a_deadline(a);
    assert_int_equal(a->connects_n, 1);
    desk_pass(desk, 100);
    assert_int_equal(a->connects_n, 1);
    assert_int_equal(desk->nodes[1].runs_n, 0);
    a->tell_connect = false;
    struct rpc_event event = {.type = RPC_LINK_DOWN};
    event.u.peer.id = desk->nodes[1].id;
    event.u.peer.boot_no = before;
    desk_step(a, &event);
    assert_int_equal(a->connects_n, 2);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void connect_that_finds_no_way_ends_what_never_left(void **state)
{
    (void)state;
    static const int codes[] = {KITH_E_UNREACHABLE, KITH_E_NO_NODE};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct desk *desk = two_that_echo();
        struct desk_node *a = &desk->nodes[0];
        a->tell_connect = true;
        a->connect_code = codes[i];
        uint64_t token = call_without_a_deadline(a);
        desk_pass(desk, 5);
        desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_UNREACHABLE);
        assert_non_null(strstr(desk_result(a, token)->text, "no address of it is known"));
        assert_int_equal(a->connects_n, 1);
        desk_free(desk);
    }
}

static void connect_that_lacks_memory_is_tried_again(void **state)
{
    (void)state;
    struct desk *desk = two_that_echo();
    struct desk_node *a = &desk->nodes[0];
    a->tell_connect = true;
    a->connect_code = KITH_E_MEMORY;
    uint64_t token = call_without_a_deadline(a);
    assert_int_equal(a->connects_n, 1);
    desk_pass(desk, 10000);
    assert_null(desk_result(a, token));
    assert_true(a->connects_n >= 5 && a->connects_n < 20);
    a->connect_code = 0;
    desk_pass(desk, 2100);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_that_is_given_up_is_asked_for_again),
        cmocka_unit_test(stream_that_is_open_already_carries_calls_of_a_node_that_is_back),
        cmocka_unit_test(stream_that_was_open_and_ends_at_once_is_asked_for_again),
        cmocka_unit_test(end_of_a_stream_to_an_older_boot_is_heard),
        cmocka_unit_test(connect_that_finds_no_way_ends_what_never_left),
        cmocka_unit_test(connect_that_lacks_memory_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
