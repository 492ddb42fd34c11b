/* Calls between nodes: each outcome and what leads to it. */
#include "test_rpc_lib.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"

/* Two nodes; the second offers "echo" (answered at once) and "work" (ended by the test). */
static struct desk *two(bool link_events)
{
    struct rpc_config config = {.link_events = link_events};
    struct desk *desk = desk_new_cluster(2, &config);
    assert_int_equal(desk_offer(&desk->nodes[1], "work", 0, 0), 0);
    desk_settle(desk);
    return desk;
}

static void call_is_answered_with_its_argument(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    b->on_run = desk_echo;
    uint64_t token = desk_call_name(a, "work", "hello");
    desk->now_ns += 5000;
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    struct desk_result *result = desk_result(a, token);
    assert_int_equal(result->data.len, 5);
    assert_memory_equal(result->data.data, "hello", 5);
    assert_string_equal(result->node_name, "node-1");
    assert_string_equal(result->text, "");
    assert_int_equal(result->elapsed_ns, 5000);
    assert_true(kith_node_id_equal(&result->node, &b->id));
    desk_free(desk);
}

static void large_argument_and_reply_travel_whole(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    size_t sizes[] = {255, 256, 257, 70000, RPC_BODY_BYTES_MAX};
    desk->nodes[1].on_run = desk_echo;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *arg = malloc(sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            arg[k] = (uint8_t)(k * 31 + i);
        uint64_t token =
            desk_call(a, (struct rpc_call){.fn = "work", .arg = {.data = arg, .len = sizes[i]}});
        desk_settle(desk);
        desk_expect(a, token, KITH_OUTCOME_OK, 0);
        assert_int_equal(desk_result(a, token)->data.len, sizes[i]);
        assert_memory_equal(desk_result(a, token)->data.data, arg, sizes[i]);
        free(arg);
    }
    desk_free(desk);
}

static void owned_argument_is_taken_over(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    desk->nodes[1].on_run = desk_echo;
    size_t sizes[] = {10, 5000};
    for (int i = 0; i < 2; i++) {
        uint8_t *owned = calloc(1, sizes[i]);
        uint64_t token =
            desk_call(&desk->nodes[0], (struct rpc_call){.fn = "work",
                                                         .arg = {.data = owned, .len = sizes[i]},
                                                         .arg_owned = owned});
        desk_settle(desk);
        desk_expect(&desk->nodes[0], token, KITH_OUTCOME_OK, 0);
    }
    /* Also when it is refused. */
    uint8_t *owned = calloc(1, 300);
    assert_int_equal(
        desk_call(&desk->nodes[0], (struct rpc_call){.fn = "not a name",
                                                     .arg = {.data = owned, .len = 300},
                                                     .arg_owned = owned}),
        0);
    assert_int_equal(desk->nodes[0].out.code, KITH_E_NAME);
    desk_free(desk);
}

static void app_error_brings_code_and_text_and_is_not_tried_again(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .idempotent = true});
    desk_settle(desk);
    desk_done(b, b->running[0], KITH_OUTCOME_APP_ERROR, 42, "no such row", 11);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_APP_ERROR, 42);
    assert_string_equal(desk_result(a, token)->text, "no such row");
    desk_pass(desk, 5000);
    assert_int_equal(b->runs_n, 1);
    desk_free(desk);
}

static void local_call_runs_without_the_network(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *b = &desk->nodes[1];
    size_t sends = b->sends_n;
    uint64_t token = desk_call_name(b, "work", "mine");
    assert_int_equal(b->running_n, 1);
    struct kith_node_id caller = rpc_serve_caller(b->running[0]);
    assert_true(kith_node_id_equal(&caller, &b->id));
    assert_memory_equal(rpc_serve_arg(b->running[0]).data, "mine", 4);
    desk_done_first(b, "done");
    desk_expect(b, token, KITH_OUTCOME_OK, 0);
    assert_memory_equal(desk_result(b, token)->data.data, "done", 4);
    assert_int_equal(b->sends_n, sends);
    desk_free(desk);
}

static void local_large_argument_is_shared_not_lost(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *b = &desk->nodes[1];
    char arg[1000];
    memset(arg, 'x', sizeof(arg));
    uint64_t token =
        desk_call(b, (struct rpc_call){.fn = "work", .arg = {.data = arg, .len = sizeof(arg)}});
    desk_cancel(b, token);
    desk_expect(b, token, KITH_OUTCOME_UNKNOWN, KITH_E_CANCELED);
    desk_tick(b); /* the call is gone by now; its function still reads the argument */
    assert_memory_equal(rpc_serve_arg(b->running[0]).data, arg, sizeof(arg));
    assert_int_equal(b->aborts_n, 1);
    desk_echo(b, b->running[0]);
    desk_tick(b);
    desk_free(desk);
}

static void unknown_function_names_the_nearest(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    uint64_t token = desk_call_name(&desk->nodes[0], "wrok", "");
    desk_expect(&desk->nodes[0], token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    assert_non_null(strstr(desk_result(&desk->nodes[0], token)->text, "did you mean 'work'?"));
    assert_non_null(strstr(desk_result(&desk->nodes[0], token)->text, "'wrok'"));
    desk_free(desk);
}

static void unknown_function_on_a_node_names_who_was_asked(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token =
        desk_call(a, (struct rpc_call){.fn = "worm", .to_node = true, .node = desk->nodes[1].id});
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    assert_non_null(strstr(desk_result(a, token)->text, "asked: node-1"));
    assert_non_null(strstr(desk_result(a, token)->text, "'work'"));
    assert_int_equal(desk->nodes[1].runs_n, 0);
    desk_free(desk);
}

static void node_that_is_not_alive_gets_no_call(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct rpc_call call = {.fn = "work", .to_node = true, .node = desk_id(40)};
    uint64_t unknown = desk_call(a, call);
    desk_expect(a, unknown, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    desk_peer_down(desk, 0, 1, false);
    size_t sends = a->sends_n;
    call.node = desk->nodes[1].id;
    uint64_t down = desk_call(a, call);
    desk_expect(a, down, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    uint64_t by_name = desk_call_name(a, "work", "");
    desk_expect(a, by_name, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    assert_int_equal(a->sends_n, sends);
    desk_free(desk);
}

static void deadline_without_an_answer_is_unknown_and_reaches_the_server(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 200});
    desk_settle(desk);
    assert_true(rpc_serve_deadline_ns(b->running[0]) <= desk->now_ns + 200 * 1000000ull);
    desk_pass(desk, 190);
    assert_null(desk_result(a, token));
    assert_int_equal(b->aborts_n, 0);
    desk_pass(desk, 30);
    desk_expect(a, token, KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
    assert_int_equal(b->aborts_n, 1);
    desk_done_first(b, "late");
    assert_int_equal(desk_frames_of(desk, FRAME_RESULT), 0);
    desk_pass(desk, 1000);
    desk_free(desk);
}

static void deadline_before_the_link_is_open_is_not_executed(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 200});
    assert_int_equal(a->connects_n, 1);
    desk_pass(desk, 210);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_TIMEOUT);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    assert_int_equal(desk->nodes[1].runs_n, 0);
    desk_free(desk);
}

static void call_waits_for_its_link_and_then_goes(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    struct desk_node *a = &desk->nodes[0];
    desk->nodes[1].on_run = desk_echo;
    uint64_t one = desk_call_name(a, "work", "1");
    uint64_t two_ = desk_call_name(a, "work", "2");
    assert_int_equal(a->connects_n, 1); /* asked for once */
    assert_int_equal(desk_frames_of(desk, FRAME_CALL), 0);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    desk_expect(a, one, KITH_OUTCOME_OK, 0);
    desk_expect(a, two_, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void call_without_a_deadline_has_none(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    uint64_t token =
        desk_call(&desk->nodes[0], (struct rpc_call){.fn = "work", .timeout_ms = UINT64_MAX});
    desk_settle(desk);
    assert_true(rpc_serve_deadline_ns(desk->nodes[1].running[0]) == UINT64_MAX);
    desk_pass(desk, 3600 * 1000);
    assert_null(desk_result(&desk->nodes[0], token));
    desk_done_first(&desk->nodes[1], "x");
    desk_settle(desk);
    desk_expect(&desk->nodes[0], token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void cancel_of_a_sent_call_is_unknown_and_stops_the_server(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    uint64_t token = desk_call_name(a, "work", "");
    desk_settle(desk);
    desk_cancel(a, token);
    desk_expect(a, token, KITH_OUTCOME_UNKNOWN, KITH_E_CANCELED);
    desk_settle(desk);
    assert_int_equal(b->aborts_n, 1);
    desk_done_first(b, "late");
    assert_int_equal(desk_frames_of(desk, FRAME_RESULT), 0); /* a result after cancel is dropped */
    desk_cancel(a, token);                                   /* nothing happens once it has ended */
    desk_settle(desk);
    assert_int_equal(a->results_n, 1);
    desk_free(desk);
}

static void cancel_before_anything_left_is_not_executed(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    uint64_t token = desk_call_name(&desk->nodes[0], "work", "");
    desk_cancel(&desk->nodes[0], token);
    desk_expect(&desk->nodes[0], token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_CANCELED);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    assert_int_equal(desk->nodes[1].runs_n, 0);
    desk_free(desk);
}

static void cancel_of_a_waiting_local_call_is_not_executed(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = desk_new(1, &config);
    struct desk_node *a = &desk->nodes[0];
    desk_offer(a, "work", 0, 0);
    uint64_t first = desk_call_name(a, "work", "");
    uint64_t second = desk_call_name(a, "work", "");
    desk_cancel(a, second);
    desk_expect(a, second, KITH_OUTCOME_NOT_EXECUTED, KITH_E_CANCELED);
    desk_done_first(a, "");
    desk_expect(a, first, KITH_OUTCOME_OK, 0);
    assert_int_equal(a->runs_n, 1);
    desk_free(desk);
}

static void result_that_crosses_a_cancel_is_ignored(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call_name(a, "work", "");
    desk_settle(desk);
    desk_done_first(&desk->nodes[1], "x");
    desk_cancel(a, token);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_UNKNOWN, KITH_E_CANCELED);
    desk_free(desk);
}

static void failed_node_ends_its_calls_at_once_as_unknown(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    uint64_t tokens[100];
    for (int i = 0; i < 100; i++)
        tokens[i] = desk_call_name(a, "work", "");
    desk_peer_down(desk, 0, 1, false);
    for (int i = 0; i < 100; i++)
        desk_expect(a, tokens[i], KITH_OUTCOME_UNKNOWN, KITH_E_NO_NODE);
    assert_non_null(strstr(desk_result(a, tokens[0])->text, "it has failed"));
    assert_non_null(strstr(desk_result(a, tokens[0])->text, "may have run"));
    desk_free(desk);
}

static void failed_node_ends_what_never_left_as_not_executed(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call_name(a, "work", "");
    desk_peer_down(desk, 0, 1, true);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    assert_non_null(strstr(desk_result(a, token)->text, "it has left"));
    desk_free(desk);
}

static void unreachable_node_ends_what_never_left(void **state)
{
    (void)state;
    for (int link_events = 0; link_events < 2; link_events++) {
        struct desk *desk = two(link_events != 0);
        struct desk_node *a = &desk->nodes[0];
        uint64_t token = desk_call_name(a, "work", "");
        desk_link(desk, 0, 1, RPC_UNREACHABLE);
        desk_drop_all(desk);
        desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_UNREACHABLE);
        desk_free(desk);
    }
}

static void unreachable_node_keeps_what_may_have_run_until_it_is_known(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_link(desk, 0, 1, RPC_LINK_UP);
    uint64_t token = desk_call_name(a, "work", "");
    desk_settle(desk);
    desk_done_first(b, "kept");
    desk_drop_all(desk);
    desk_link(desk, 0, 1, RPC_LINK_DOWN);
    desk_link(desk, 0, 1, RPC_UNREACHABLE);
    assert_null(desk_result(a, token));
    size_t connects = a->connects_n;
    desk_pass(desk, 2100); /* it tries again after a back-off */
    assert_true(a->connects_n > connects);
    desk_link(desk, 0, 1, RPC_LINK_UP);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_int_equal(b->runs_n, 1);
    desk_free(desk);
}

static void lost_link_sends_again_and_the_call_runs_once(void **state)
{
    (void)state;
    for (int link_events = 0; link_events < 2; link_events++) {
        struct desk *desk = two(link_events != 0);
        struct desk_node *a = &desk->nodes[0];
        struct desk_node *b = &desk->nodes[1];
        desk_link(desk, 0, 1, RPC_LINK_UP);
        uint64_t token = desk_call_name(a, "work", "");
        desk_settle(desk);
        desk_done_first(b, "answer");
        desk_drop_all(desk); /* the result is lost with the link */
        desk_link(desk, 0, 1, RPC_LINK_DOWN);
        desk_link(desk, 0, 1, RPC_LINK_UP);
        desk_settle(desk);
        desk_expect(a, token, KITH_OUTCOME_OK, 0);
        assert_memory_equal(desk_result(a, token)->data.data, "answer", 6);
        assert_int_equal(b->runs_n, 1);
        desk_free(desk);
    }
}

static void link_that_keeps_breaking_is_not_asked_for_in_a_loop(void **state)
{
    (void)state;
    struct desk *desk = two(true);
    struct desk_node *a = &desk->nodes[0];
    desk_link(desk, 0, 1, RPC_LINK_UP);
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = UINT64_MAX});
    for (int i = 0; i < 100; i++) {
        desk_drop_all(desk);
        desk_link(desk, 0, 1, RPC_LINK_DOWN);
    }
    assert_true(a->connects_n <= 1);
    desk_pass(desk, 60000);
    assert_true(a->connects_n <= 3);
    assert_null(desk_result(a, token));
    desk_free(desk);
}

static void call_for_another_boot_is_not_run_there(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    uint64_t token = desk_call_name(a, "work", "");
    desk_restart(desk, 1);
    desk_offer(b, "work", 0, 0);
    struct desk_frame *call = desk_take(desk, 0);
    desk_drop_all(desk);
    desk_give(desk, call);
    assert_int_equal(b->runs_n, 0);
    struct desk_frame *result = desk_take(desk, 0);
    assert_int_equal(result->type, FRAME_RESULT);
    result->from_boot = 1; /* it comes before the caller has heard of the restart */
    desk_give(desk, result);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    desk_free(desk);
}

static void restarted_server_ends_the_calls_of_its_old_boot(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    uint64_t token = desk_call_name(a, "work", "");
    desk_settle(desk);
    desk_restart(desk, 1);
    desk_peer_up(desk, 0, 1);
    desk_expect(a, token, KITH_OUTCOME_UNKNOWN, KITH_E_NO_NODE);
    assert_non_null(strstr(desk_result(a, token)->text, "restarted"));
    /* And its functions are those of the new boot. */
    struct kith_node_id who;
    assert_int_equal(rpc_who_has(a->core, rpc_name_hash("work"), &who, 1), 0);
    desk_peer_up(desk, 1, 0);
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    desk->nodes[1].on_run = desk_echo;
    token = desk_call_name(a, "work", "again");
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void answer_to_an_earlier_boot_of_the_caller_is_ignored(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_call_name(a, "work", "old");
    desk_settle(desk);
    desk_restart(desk, 0);
    desk_peer_up(desk, 0, 1); /* the server does not know yet */
    desk_settle(desk);
    /* The same slot and number in the new boot. The call does not reach the server yet. */
    uint64_t token = desk_call_name(a, "work", "new");
    struct desk_frame *call = desk_take(desk, 0);
    assert_int_equal(call->type, FRAME_CALL);
    desk_done_first(b, "for the old boot");
    desk_settle(desk);
    assert_null(desk_result(a, token));
    b->on_run = desk_echo;
    desk_give(desk, call);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_OK, 0);
    assert_memory_equal(desk_result(a, token)->data.data, "new", 3);
    desk_free(desk);
}

static void call_can_wait_for_its_function(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct rpc_call call = {.fn = "later", .wait_for_function = true, .timeout_ms = 10000};
    uint64_t any = desk_call(a, call);
    call.to_node = true;
    call.node = desk->nodes[2].id;
    uint64_t named = desk_call(a, call);
    call.timeout_ms = 100;
    uint64_t hasty = desk_call(a, call);
    desk_pass(desk, 150);
    desk_expect(a, hasty, KITH_OUTCOME_NOT_EXECUTED, KITH_E_TIMEOUT);
    desk->nodes[1].on_run = desk_echo;
    desk->nodes[2].on_run = desk_echo;
    desk_offer(&desk->nodes[1], "later", 0, 0);
    desk_settle(desk);
    desk_expect(a, any, KITH_OUTCOME_OK, 0);
    assert_null(desk_result(a, named)); /* it wants the other node */
    desk_offer(&desk->nodes[2], "later", 0, 0);
    desk_settle(desk);
    desk_expect(a, named, KITH_OUTCOME_OK, 0);
    assert_string_equal(desk_result(a, named)->node_name, "node-2");
    /* Our own counts as well. */
    uint64_t own = desk_call(a, (struct rpc_call){.fn = "own", .wait_for_function = true});
    a->on_run = desk_echo;
    desk_offer(a, "own", 0, 0);
    desk_expect(a, own, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void cast_ends_when_it_is_sent_and_runs_once(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    for (int i = 0; i < 3; i++) {
        uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .cast = true});
        desk_expect(a, token, KITH_OUTCOME_OK, 0);
    }
    struct desk_frame *copy = desk_copy(desk->first);
    desk_settle(desk);
    desk_give(desk, copy);
    assert_int_equal(b->runs_n, 3);
    assert_int_equal(b->aborts_n, 0); /* one cast does not push out the one before */
    while (b->running_n > 0)
        desk_done_first(b, "nobody hears this");
    assert_int_equal(desk->frames_n, 0);
    /* To ourselves. */
    uint64_t token = desk_call(b, (struct rpc_call){.fn = "work", .cast = true});
    desk_expect(b, token, KITH_OUTCOME_OK, 0);
    desk_done_first(b, "");
    assert_int_equal(b->results_n, 1);
    desk_free(desk);
}

static void other_signature_is_refused_by_the_caller_naming_both(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    struct kith_export fn = {.name = "sum", .signature = "sum(f64[] m) -> f64"};
    assert_int_equal(desk_export(b, &fn), 0);
    desk_settle(desk);
    struct rpc_call call = {.fn = "sum", .signature_text = "sum(i32 n)"};
    assert_int_equal(rpc_signature_hash(call.signature_text, &call.signature), 0);
    size_t sends = a->sends_n;
    uint64_t token = desk_call(a, call);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_SIGNATURE);
    assert_non_null(strstr(desk_result(a, token)->text, "sum(i32 n)"));
    assert_non_null(strstr(desk_result(a, token)->text, "sum(f64[] m) -> f64"));
    assert_int_equal(a->sends_n, sends);
    /* Parameter names do not matter; no signature is not checked. */
    b->on_run = desk_echo;
    assert_int_equal(rpc_signature_hash("x(f64[])->f64", &call.signature), 0);
    uint64_t same = desk_call(a, call);
    uint64_t unchecked = desk_call_name(a, "sum", "");
    desk_settle(desk);
    desk_expect(a, same, KITH_OUTCOME_OK, 0);
    desk_expect(a, unchecked, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void other_signature_is_refused_by_the_server_before_anything_runs(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct kith_export fn = {.name = "sum", .signature = "sum(f64[] m) -> f64"};
    assert_int_equal(desk_export(&desk->nodes[1], &fn), 0);
    desk_drop_all(desk); /* the caller does not know of it */
    struct rpc_call call = {.fn = "sum", .to_node = true, .node = desk->nodes[1].id};
    assert_int_equal(rpc_signature_hash("sum(i32 n)", &call.signature), 0);
    uint64_t token = desk_call(a, call);
    desk_settle(desk);
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_SIGNATURE);
    assert_non_null(strstr(desk_result(a, token)->text, "sum(f64[] m) -> f64"));
    assert_int_equal(desk->nodes[1].runs_n, 0);
    desk_free(desk);
}

static void too_large_an_argument_is_refused(void **state)
{
    (void)state;
    struct rpc_config config = {.body_bytes_max = 1000};
    struct desk *desk = desk_new_cluster(2, &config);
    char arg[1001] = "";
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    struct rpc_call call = {.fn = "work", .arg = {.data = arg, .len = 1000}};
    assert_int_not_equal(desk_call(&desk->nodes[0], call), 0);
    call.arg.len = 1001;
    assert_int_equal(desk_call(&desk->nodes[0], call), 0);
    assert_int_equal(desk->nodes[0].out.code, KITH_E_TOO_LARGE);
    /* A server with a smaller limit refuses it itself. */
    desk_drop_all(desk);
    uint8_t frame[WIRE_CALL_BYTES + 1001] = {0};
    struct wire_call head = {
        .no = 1, .target_boot = 1, .fn_hash = rpc_name_hash("work"), .remaining_ms = 1000};
    wire_call_encode(&head, frame);
    desk_inject(&desk->nodes[1], desk->nodes[0].id, 1, FRAME_CALL, frame, sizeof(frame));
    assert_int_equal(desk->nodes[1].runs_n, 0);
    struct wire_result result;
    assert_int_equal(wire_result_decode(&result, desk->first->body.data, desk->first->body.len), 0);
    assert_int_equal(result.outcome, KITH_OUTCOME_NOT_EXECUTED);
    assert_int_equal(result.code, KITH_E_TOO_LARGE);
    desk_free(desk);
}

static void too_large_a_reply_ends_as_an_error(void **state)
{
    (void)state;
    struct rpc_config config = {.body_bytes_max = 1000};
    struct desk *desk = desk_new_cluster(2, &config);
    char reply[1001] = "";
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    uint64_t token = desk_call_name(&desk->nodes[0], "work", "");
    desk_settle(desk);
    desk_done(&desk->nodes[1], desk->nodes[1].running[0], KITH_OUTCOME_OK, 0, reply, 1001);
    desk_settle(desk);
    desk_expect(&desk->nodes[0], token, KITH_OUTCOME_APP_ERROR, KITH_E_TOO_LARGE);
    desk_free(desk);
}

static void one_call_more_than_may_be_under_way_is_refused(void **state)
{
    (void)state;
    struct rpc_config config = {.calls_pending_max = 10};
    struct desk *desk = desk_new_cluster(2, &config);
    struct desk_node *a = &desk->nodes[0];
    desk_offer(&desk->nodes[1], "work", 0, 0);
    desk_settle(desk);
    uint64_t first = desk_call_name(a, "work", "");
    for (int i = 1; i < 10; i++)
        assert_int_not_equal(desk_call_name(a, "work", ""), 0);
    assert_int_equal(desk_call_name(a, "work", ""), 0);
    assert_int_equal(a->out.code, KITH_E_LIMIT);
    desk_cancel(a, first);
    assert_int_not_equal(desk_call_name(a, "work", ""), 0);
    desk_free(desk);
}

static void full_window_waits_and_a_long_call_does_not_hold_it_up(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 8192, .queue_node_max = 16384};
    struct desk *desk = desk_new_cluster(2, &config);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    struct kith_export fn = {.name = "work", .queue_max = 8192};
    desk_export(b, &fn);
    desk_settle(desk);
    desk->check = false;
    uint64_t first = desk_call_name(a, "work", "");
    for (int i = 0; i < RPC_WINDOW_CALLS_MAX + 99; i++)
        desk_call_name(a, "work", "");
    desk_settle(desk);
    assert_int_equal(b->runs_n, RPC_WINDOW_CALLS_MAX);
    rpc_check(a->core);
    rpc_check(b->core);
    /* The first one stays; thousands pass it by. */
    for (int i = 0; i < 10000; i++) {
        desk_done(b, b->running[1], KITH_OUTCOME_OK, 0, "", 0);
        if (i >= 100)
            desk_call_name(a, "work", "");
        desk_settle(desk);
    }
    rpc_check(a->core);
    rpc_check(b->core);
    assert_int_equal(b->runs_n, RPC_WINDOW_CALLS_MAX + 10000);
    assert_null(desk_result(a, first));
    assert_int_equal(a->results_n, 10000);
    while (b->running_n > 0)
        desk_done(b, b->running[b->running_n - 1], KITH_OUTCOME_OK, 0, "", 0);
    desk_settle(desk);
    desk_expect(a, first, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void partial_results_come_to_who_asked_for_them(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    for (size_t caller = 0; caller < 2; caller++) {
        struct desk_node *a = &desk->nodes[caller];
        struct desk_node *b = &desk->nodes[1];
        uint64_t wants = desk_call(a, (struct rpc_call){.fn = "work", .partials = true});
        uint64_t wants_not = desk_call_name(a, "work", "");
        desk_settle(desk);
        for (size_t i = 0; i < 2; i++) {
            struct rpc_event event = {.type = RPC_PARTIAL_OUT};
            event.u.partial.serve = b->running[i];
            event.u.partial.data = (struct kith_bytes){.data = "half", .len = 4};
            desk_step(b, &event);
            desk_settle(desk);
        }
        assert_int_equal(a->partials_n, 1);
        assert_int_equal(a->partial_token, wants);
        assert_memory_equal(a->partial.data, "half", 4);
        char large[RPC_PARTIAL_BYTES_MAX + 1] = "";
        struct rpc_event event = {.type = RPC_PARTIAL_OUT};
        event.u.partial.serve = b->running[0];
        event.u.partial.data = (struct kith_bytes){.data = large, .len = sizeof(large)};
        desk_step(b, &event);
        assert_int_equal(b->out.code, KITH_E_TOO_LARGE);
        desk_done_first(b, "");
        desk_done_first(b, "");
        desk_settle(desk);
        desk_expect(a, wants, KITH_OUTCOME_OK, 0);
        desk_expect(a, wants_not, KITH_OUTCOME_OK, 0);
    }
    desk_free(desk);
}

static void call_that_the_channel_refuses_is_not_executed(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    a->refuse_calls = true;
    uint64_t token = desk_call(a, (struct rpc_call){.fn = "work", .no_retry = true});
    assert_int_equal(rpc_deadline_ms(a->core), 0);
    desk_tick(a);
    uint64_t cast = desk_call(a, (struct rpc_call){.fn = "work", .cast = true});
    desk_expect(a, token, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    desk_expect(a, cast, KITH_OUTCOME_OK, 0);
    desk_settle(desk);
    assert_int_equal(desk->nodes[1].runs_n, 0);
    desk_free(desk);
}

static void result_that_the_channel_refuses_is_offered_again(void **state)
{
    (void)state;
    size_t sizes[] = {10, 5000, 2 * 1024 * 1024};
    for (int i = 0; i < 3; i++) {
        struct desk *desk = two(false);
        struct desk_node *a = &desk->nodes[0];
        struct desk_node *b = &desk->nodes[1];
        uint8_t *reply = calloc(1, sizes[i]);
        uint64_t token = desk_call_name(a, "work", "");
        desk_settle(desk);
        b->refuse_results = true;
        desk_done(b, b->running[0], KITH_OUTCOME_OK, 0, reply, sizes[i]);
        desk_pass(desk, 500);
        assert_null(desk_result(a, token));
        b->refuse_results = false;
        desk_pass(desk, 5000);
        desk_expect(a, token, KITH_OUTCOME_OK, 0);
        assert_int_equal(desk_result(a, token)->data.len, sizes[i]);
        free(reply);
        desk_free(desk);
    }
}

static void refusal_that_the_channel_did_not_take_is_offered_again(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    static uint64_t tokens[RPC_ANSWERS_OWED_MAX + 10];
    size_t n = sizeof(tokens) / sizeof(tokens[0]);
    desk_unexport(b, "work");
    desk_drop_all(desk); /* a has not heard of it */
    desk->check = false;
    b->refuse_results = true;
    for (size_t i = 0; i < n; i++) {
        tokens[i] = desk_call(
            a,
            (struct rpc_call){.fn = "work", .to_node = true, .node = b->id, .timeout_ms = 20000});
        assert_int_not_equal(tokens[i], 0);
    }
    desk_settle(desk);
    assert_null(desk_result(a, tokens[0]));
    b->refuse_results = false;
    desk_pass(desk, 5000);
    for (size_t i = 0; i < RPC_ANSWERS_OWED_MAX; i++)
        desk_expect(a, tokens[i], KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    /* More than can be owed: the deadline ends them. */
    for (size_t i = RPC_ANSWERS_OWED_MAX; i < n; i++)
        assert_null(desk_result(a, tokens[i]));
    desk_pass(desk, 20000);
    for (size_t i = RPC_ANSWERS_OWED_MAX; i < n; i++)
        desk_expect(a, tokens[i], KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
    desk_free(desk);
}

static void stopping_ends_every_call(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    uint64_t sent = desk_call_name(a, "work", "");
    desk_settle(desk);
    uint64_t waits = desk_call(a, (struct rpc_call){.fn = "nowhere", .wait_for_function = true});
    struct rpc_event stop = {.type = RPC_STOP};
    desk_step(a, &stop);
    desk_expect(a, sent, KITH_OUTCOME_UNKNOWN, KITH_E_STOPPED);
    desk_expect(a, waits, KITH_OUTCOME_NOT_EXECUTED, KITH_E_STOPPED);
    assert_int_equal(desk_call_name(a, "work", ""), 0);
    assert_int_equal(a->out.code, KITH_E_STOPPED);
    /* A stopping server aborts what runs, and runs nothing new. */
    desk_settle(desk);
    desk_step(b, &stop);
    assert_int_equal(desk_offer(b, "new", 0, 0), KITH_E_STOPPED);
    desk_free(desk);
}

static void stopping_server_answers_what_waits(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = desk_new_cluster(2, &config);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_offer(b, "work", 0, 0);
    desk_settle(desk);
    uint64_t runs = desk_call_name(a, "work", "");
    uint64_t waits = desk_call_name(a, "work", "");
    desk_settle(desk);
    struct rpc_event stop = {.type = RPC_STOP};
    desk_step(b, &stop);
    assert_int_equal(b->aborts_n, 1);
    desk_settle(desk);
    desk_expect(a, waits, KITH_OUTCOME_NOT_EXECUTED, KITH_E_STOPPED);
    desk_done_first(b, "just in time");
    desk_settle(desk);
    desk_expect(a, runs, KITH_OUTCOME_OK, 0);
    uint64_t late = desk_call_name(a, "work", "");
    desk_settle(desk);
    desk_expect(a, late, KITH_OUTCOME_NOT_EXECUTED, KITH_E_STOPPED);
    desk_free(desk);
}

static void stats_count_what_happened(void **state)
{
    (void)state;
    struct desk *desk = two(false);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_call_name(a, "work", "");
    desk_call_name(a, "work", "");
    desk_call_name(a, "none", "");
    desk_settle(desk);
    desk_done_first(b, "");
    desk_done(b, b->running[0], KITH_OUTCOME_APP_ERROR, 1, "", 0);
    desk_settle(desk);
    struct rpc_stats stats;
    rpc_stats(a->core, &stats);
    assert_int_equal(stats.calls_made, 3);
    assert_int_equal(stats.calls_ok, 1);
    assert_int_equal(stats.calls_app_error, 1);
    assert_int_equal(stats.calls_not_executed, 1);
    assert_int_equal(stats.calls_pending, 0);
    rpc_stats(b->core, &stats);
    assert_int_equal(stats.served, 2);
    assert_int_equal(stats.served_errors, 1);
    assert_int_equal(stats.sessions, 1);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_is_answered_with_its_argument),
        cmocka_unit_test(large_argument_and_reply_travel_whole),
        cmocka_unit_test(owned_argument_is_taken_over),
        cmocka_unit_test(app_error_brings_code_and_text_and_is_not_tried_again),
        cmocka_unit_test(local_call_runs_without_the_network),
        cmocka_unit_test(local_large_argument_is_shared_not_lost),
        cmocka_unit_test(unknown_function_names_the_nearest),
        cmocka_unit_test(unknown_function_on_a_node_names_who_was_asked),
        cmocka_unit_test(node_that_is_not_alive_gets_no_call),
        cmocka_unit_test(deadline_without_an_answer_is_unknown_and_reaches_the_server),
        cmocka_unit_test(deadline_before_the_link_is_open_is_not_executed),
        cmocka_unit_test(call_waits_for_its_link_and_then_goes),
        cmocka_unit_test(call_without_a_deadline_has_none),
        cmocka_unit_test(cancel_of_a_sent_call_is_unknown_and_stops_the_server),
        cmocka_unit_test(cancel_before_anything_left_is_not_executed),
        cmocka_unit_test(cancel_of_a_waiting_local_call_is_not_executed),
        cmocka_unit_test(result_that_crosses_a_cancel_is_ignored),
        cmocka_unit_test(failed_node_ends_its_calls_at_once_as_unknown),
        cmocka_unit_test(failed_node_ends_what_never_left_as_not_executed),
        cmocka_unit_test(unreachable_node_ends_what_never_left),
        cmocka_unit_test(unreachable_node_keeps_what_may_have_run_until_it_is_known),
        cmocka_unit_test(lost_link_sends_again_and_the_call_runs_once),
        cmocka_unit_test(link_that_keeps_breaking_is_not_asked_for_in_a_loop),
        cmocka_unit_test(call_for_another_boot_is_not_run_there),
        cmocka_unit_test(restarted_server_ends_the_calls_of_its_old_boot),
        cmocka_unit_test(answer_to_an_earlier_boot_of_the_caller_is_ignored),
        cmocka_unit_test(call_can_wait_for_its_function),
        cmocka_unit_test(cast_ends_when_it_is_sent_and_runs_once),
        cmocka_unit_test(other_signature_is_refused_by_the_caller_naming_both),
        cmocka_unit_test(other_signature_is_refused_by_the_server_before_anything_runs),
        cmocka_unit_test(too_large_an_argument_is_refused),
        cmocka_unit_test(too_large_a_reply_ends_as_an_error),
        cmocka_unit_test(one_call_more_than_may_be_under_way_is_refused),
        cmocka_unit_test(full_window_waits_and_a_long_call_does_not_hold_it_up),
        cmocka_unit_test(partial_results_come_to_who_asked_for_them),
        cmocka_unit_test(call_that_the_channel_refuses_is_not_executed),
        cmocka_unit_test(result_that_the_channel_refuses_is_offered_again),
        cmocka_unit_test(refusal_that_the_channel_did_not_take_is_offered_again),
        cmocka_unit_test(stopping_ends_every_call),
        cmocka_unit_test(stopping_server_answers_what_waits),
        cmocka_unit_test(stats_count_what_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
