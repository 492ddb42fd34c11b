/* The dedupe table of the server: no number runs twice, and what it holds is bounded. */
#include "test_rpc_lib.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/wire.h"

/* One server that offers "work"; callers are made up. */
static struct desk *server(const struct rpc_config *config)
{
    struct desk *desk = desk_new(1, config);
    struct kith_export fn = {.name = "work"};
    assert_int_equal(desk_export(&desk->nodes[0], &fn), 0);
    return desk;
}

struct asked {
    struct kith_node_id caller;
    uint64_t no;
    uint64_t low_water;
    uint16_t slot;
    uint8_t flags;
    uint64_t boot_no; /* 0: 1 */
    size_t arg_len;
    uint64_t target_boot; /* 0: 1 */
    uint32_t remaining_ms;
};

static void ask(struct desk *desk, const struct asked *asked)
{
    uint8_t *frame = calloc(1, WIRE_CALL_BYTES + asked->arg_len);
    struct wire_call head = {
        .no = asked->no,
        .low_water = asked->low_water,
        .target_boot = asked->target_boot != 0 ? asked->target_boot : 1,
        .fn_hash = rpc_name_hash("work"),
        .remaining_ms = asked->remaining_ms != 0 ? asked->remaining_ms : WIRE_NO_DEADLINE,
        .slot = asked->slot,
        .flags = asked->flags,
    };
    wire_call_encode(&head, frame);
    assert_int_equal(desk_inject(&desk->nodes[0], asked->caller,
                                 asked->boot_no != 0 ? asked->boot_no : 1, FRAME_CALL, frame,
                                 WIRE_CALL_BYTES + asked->arg_len),
                     0);
    free(frame);
}

static void cancel(struct desk *desk, struct kith_node_id caller, uint64_t no, uint16_t slot)
{
    uint8_t frame[WIRE_CANCEL_BYTES];
    wire_cancel_encode(&(struct wire_cancel){.no = no, .target_boot = 1, .slot = slot}, frame);
    assert_int_equal(desk_inject(&desk->nodes[0], caller, 1, FRAME_CANCEL, frame, sizeof(frame)),
                     0);
}

/* The newest frame out. */
static struct wire_result last_result(const struct desk *desk)
{
    struct wire_result result = {0};
    assert_non_null(desk->stray);
    assert_int_equal(desk->stray->type, FRAME_RESULT);
    assert_int_equal(wire_result_decode(&result, desk->stray->body.data, desk->stray->body.len), 0);
    return result;
}

static void expect_result(const struct desk *desk, uint64_t no, enum kith_outcome outcome, int code)
{
    struct wire_result result = last_result(desk);
    assert_int_equal(result.no, no);
    assert_int_equal(result.outcome, outcome);
    assert_int_equal(result.code, code);
}

static void duplicate_of_a_running_call_is_acknowledged_and_runs_once(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    assert_int_equal(desk->strays_n, 0);
    asked.flags = WIRE_CALL_RESEND;
    ask(desk, &asked);
    assert_int_equal(desk->strays_n, 1);
    struct wire_ack ack;
    assert_int_equal(desk->stray->type, FRAME_CALL_ACK);
    assert_int_equal(wire_ack_decode(&ack, desk->stray->body.data, desk->stray->body.len), 0);
    assert_int_equal(ack.state, WIRE_ACK_RUNNING);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    struct rpc_stats stats;
    rpc_stats(desk->nodes[0].core, &stats);
    assert_int_equal(stats.duplicates, 1);
    desk_free(desk);
}

static void duplicate_of_a_finished_call_is_answered_from_the_table(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    desk_done_first(&desk->nodes[0], "the answer");
    assert_int_equal(desk->strays_n, 1);
    ask(desk, &asked);
    assert_int_equal(desk->strays_n, 2);
    expect_result(desk, 5, KITH_OUTCOME_OK, 0);
    assert_memory_equal(desk->stray->body.data + WIRE_RESULT_BYTES, "the answer", 10);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    desk_free(desk);
}

static void duplicate_of_a_dropped_result_is_unknown_and_does_not_run(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    desk_done_first(&desk->nodes[0], "x");
    desk_pass(desk, RPC_RESULT_KEPT_MS + 10);
    ask(desk, &asked);
    expect_result(desk, 5, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    struct rpc_stats stats;
    rpc_stats(desk->nodes[0].core, &stats);
    assert_int_equal(stats.results_kept_bytes, 0);
    desk_free(desk);
}

static void result_too_large_to_keep_is_sent_and_dropped(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    size_t len = RPC_RESULTS_KEPT_SESSION_BYTES_MAX + 1;
    uint8_t *reply = calloc(1, len);
    ask(desk, &asked);
    desk_done(&desk->nodes[0], desk->nodes[0].running[0], KITH_OUTCOME_OK, 0, reply, len);
    assert_int_equal(desk->stray->body.len, len + WIRE_RESULT_BYTES);
    desk_tick(&desk->nodes[0]);
    ask(desk, &asked);
    expect_result(desk, 5, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    free(reply);
    desk_free(desk);
}

static void smaller_number_in_a_slot_is_stale_and_does_not_run(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5, .slot = 3};
    ask(desk, &asked);
    desk_done_first(&desk->nodes[0], "x");
    asked.no = 4;
    ask(desk, &asked);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    assert_int_equal(desk->strays_n, 1);
    desk_free(desk);
}

static void greater_number_in_a_slot_ends_the_one_before(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct desk_node *node = &desk->nodes[0];
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    asked.no = 6;
    ask(desk, &asked);
    assert_int_equal(node->runs_n, 2);
    assert_int_equal(node->aborts_n, 1); /* its caller has given it up */
    desk_done_first(node, "nobody waits");
    assert_int_equal(desk->strays_n, 0);
    desk_done_first(node, "x");
    expect_result(desk, 6, KITH_OUTCOME_OK, 0);
    desk_free(desk);
}

static void cancel_that_overtakes_its_call_keeps_it_from_running(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    cancel(desk, asked.caller, 5, 0);
    ask(desk, &asked);
    assert_int_equal(desk->nodes[0].runs_n, 0);
    desk_free(desk);
}

static void cancel_of_a_waiting_call_takes_it_out_of_the_queue(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = server(&config);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    asked.no = 6;
    asked.slot = 1;
    ask(desk, &asked);
    assert_int_equal(desk->stray->type, FRAME_CALL_ACK); /* it waits */
    cancel(desk, asked.caller, 6, 1);
    struct rpc_stats stats;
    rpc_stats(desk->nodes[0].core, &stats);
    assert_int_equal(stats.queued_now, 0);
    assert_int_equal(stats.cancelled, 1);
    desk_done_first(&desk->nodes[0], "");
    assert_int_equal(desk->nodes[0].runs_n, 1);
    desk_free(desk);
}

static void refused_number_stays_refused(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1, .queue_node_max = 1};
    struct desk *desk = server(&config);
    struct desk_node *node = &desk->nodes[0];
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    asked.no = 6;
    asked.slot = 1;
    ask(desk, &asked);
    expect_result(desk, 6, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    desk_done_first(node, "");
    ask(desk, &asked); /* the place is free now, but the caller was told that it did not run */
    expect_result(desk, 6, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    assert_int_equal(node->runs_n, 1);
    desk_free(desk);
}

static void duplicate_of_an_idempotent_call_may_run_again_but_is_never_denied(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1, .queue_node_max = 2};
    struct desk *desk = desk_new(1, &config);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "work", KITH_FN_IDEMPOTENT, 0);
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    desk_done_first(node, "x");
    ask(desk, &asked); /* no result is kept: it runs once more */
    assert_int_equal(node->runs_n, 2);
    desk_done_first(node, "y");
    expect_result(desk, 5, KITH_OUTCOME_OK, 0);
    /* The places are taken: whoever ran before is not told that nothing ran. */
    struct asked other = {.caller = desk_id(21), .no = 1};
    ask(desk, &other);
    other = (struct asked){.caller = desk_id(21), .no = 2, .slot = 1};
    ask(desk, &other);
    ask(desk, &asked);
    expect_result(desk, 5, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    /* Nor if it waits and its function is withdrawn. */
    desk_done_first(node, "");
    asked.no = 6;
    ask(desk, &asked);
    desk_done_first(node, "");
    desk_done_first(node, "");
    other.no = 3;
    ask(desk, &other);
    ask(desk, &asked);
    assert_int_equal(desk->stray->type, FRAME_CALL_ACK);
    desk_unexport(node, "work");
    expect_result(desk, 6, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    desk_free(desk);
}

static void call_for_another_boot_touches_nothing(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct asked asked = {.caller = desk_id(20), .no = 5, .target_boot = 2};
    ask(desk, &asked);
    expect_result(desk, 5, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    assert_true((last_result(desk).flags & WIRE_RESULT_OTHER_BOOT) != 0);
    asked.target_boot = 1;
    ask(desk, &asked);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    desk_free(desk);
}

static void raised_boot_is_the_one_that_counts(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct rpc_event event = {.type = RPC_BOOT, .u.boot_no = 9};
    desk_step(&desk->nodes[0], &event);
    struct asked asked = {.caller = desk_id(20), .no = 5, .target_boot = 9};
    ask(desk, &asked);
    assert_int_equal(desk->nodes[0].runs_n, 1);
    desk_free(desk);
}

static void newer_boot_of_the_caller_starts_afresh_and_ends_the_old(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct desk_node *node = &desk->nodes[0];
    struct asked asked = {.caller = desk_id(20), .no = 5};
    ask(desk, &asked);
    asked.boot_no = 2;
    ask(desk, &asked);
    assert_int_equal(node->runs_n, 2);
    assert_int_equal(node->aborts_n, 1);
    desk_done_first(node, "old");
    assert_int_equal(desk->strays_n, 0);
    asked.boot_no = 1; /* too late */
    asked.no = 7;
    ask(desk, &asked);
    assert_int_equal(node->runs_n, 2);
    desk_free(desk);
}

static void low_water_frees_what_is_kept(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct rpc_stats stats;
    struct asked asked = {.caller = desk_id(20)};
    for (uint16_t i = 0; i < 100; i++) {
        asked.no = i + 1u;
        asked.slot = i;
        ask(desk, &asked);
        desk_done_first(&desk->nodes[0], "x");
    }
    rpc_stats(desk->nodes[0].core, &stats);
    size_t each = stats.results_kept_bytes / 100;
    asked.no = 101;
    asked.slot = 100;
    asked.low_water = 91;
    ask(desk, &asked);
    rpc_stats(desk->nodes[0].core, &stats);
    assert_int_equal(stats.results_kept_bytes, each * 10);
    desk_free(desk);
}

static void kept_results_of_a_session_are_bounded(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct rpc_stats stats;
    uint8_t reply[10000] = "";
    struct asked asked = {.caller = desk_id(20)};
    for (uint16_t i = 0; i < 500; i++) {
        asked.no = i + 1u;
        asked.slot = i;
        ask(desk, &asked);
        desk_done(&desk->nodes[0], desk->nodes[0].running[0], KITH_OUTCOME_OK, 0, reply,
                  sizeof(reply));
        rpc_stats(desk->nodes[0].core, &stats);
        assert_true(stats.results_kept_bytes <= RPC_RESULTS_KEPT_SESSION_BYTES_MAX);
    }
    assert_true(stats.results_kept_bytes > RPC_RESULTS_KEPT_SESSION_BYTES_MAX - 20000);
    /* The oldest went, the newest is there. */
    asked.no = 1;
    asked.slot = 0;
    ask(desk, &asked);
    expect_result(desk, 1, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    asked.no = 500;
    asked.slot = 499;
    ask(desk, &asked);
    expect_result(desk, 500, KITH_OUTCOME_OK, 0);
    assert_int_equal(desk->nodes[0].runs_n, 500);
    desk_free(desk);
}

static void kept_results_of_the_node_are_bounded(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct rpc_stats stats;
    size_t len = 1000 * 1000;
    uint8_t *reply = calloc(1, len);
    desk->check = false;
    for (size_t caller = 0; caller < 100; caller++) {
        struct asked asked = {.caller = desk_id(1000 + caller), .no = 1};
        ask(desk, &asked);
        desk_done(&desk->nodes[0], desk->nodes[0].running[0], KITH_OUTCOME_OK, 0, reply, len);
        rpc_stats(desk->nodes[0].core, &stats);
        assert_true(stats.results_kept_bytes <= RPC_RESULTS_KEPT_BYTES_MAX);
    }
    assert_true(stats.results_kept_bytes > RPC_RESULTS_KEPT_BYTES_MAX - 2 * len);
    rpc_check(desk->nodes[0].core);
    free(reply);
    desk_free(desk);
}

static void arguments_held_for_a_session_are_bounded(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 100};
    struct desk *desk = server(&config);
    size_t len = RPC_ARGS_HELD_SESSION_BYTES_MAX / 4;
    struct asked asked = {.caller = desk_id(20), .arg_len = len};
    for (uint16_t i = 0; i < 4; i++) {
        asked.no = i + 1u;
        asked.slot = i;
        ask(desk, &asked);
    }
    assert_int_equal(desk->nodes[0].runs_n, 4);
    asked.no = 5;
    asked.slot = 4;
    asked.arg_len = 1;
    ask(desk, &asked);
    expect_result(desk, 5, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    /* Another caller still has room, up to the bound of the node. */
    for (uint16_t i = 0; i < 13; i++) {
        asked =
            (struct asked){.caller = desk_id(21u + i / 4), .no = i + 1u, .slot = i, .arg_len = len};
        ask(desk, &asked);
    }
    assert_int_equal(desk->nodes[0].runs_n, RPC_ARGS_HELD_BYTES_MAX / len);
    expect_result(desk, 13, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    desk_done_first(&desk->nodes[0], "");
    asked.no++;
    ask(desk, &asked);
    assert_int_equal(desk->nodes[0].runs_n, RPC_ARGS_HELD_BYTES_MAX / len + 1);
    desk_free(desk);
}

static void one_session_too_many_pushes_out_the_idlest(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct desk_node *node = &desk->nodes[0];
    struct rpc_stats stats;
    node->on_run = desk_echo;
    desk->check = false;
    struct asked asked = {.no = 1};
    for (size_t i = 0; i < RPC_SESSIONS_MAX; i++) {
        asked.caller = desk_id(100 + i);
        ask(desk, &asked);
    }
    rpc_stats(node->core, &stats);
    assert_int_equal(stats.sessions, RPC_SESSIONS_MAX);
    asked.caller = desk_id(100); /* used again: now the second is the idlest */
    asked.no = 2;
    ask(desk, &asked);
    asked.caller = desk_id(50);
    ask(desk, &asked);
    rpc_stats(node->core, &stats);
    assert_int_equal(stats.sessions, RPC_SESSIONS_MAX);
    assert_true(stats.peers <= RPC_SESSIONS_MAX + 1);
    size_t runs = node->runs_n;
    asked.caller = desk_id(100);
    ask(desk, &asked);
    expect_result(desk, 2, KITH_OUTCOME_OK, 0);
    assert_int_equal(node->runs_n, runs);
    /* The one that was pushed out sends again: whether it ran is not known any more. */
    asked = (struct asked){.caller = desk_id(101), .no = 1, .flags = WIRE_CALL_RESEND};
    ask(desk, &asked);
    expect_result(desk, 1, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    assert_int_equal(node->runs_n, runs);
    rpc_check(node->core);
    desk_free(desk);
}

static void sessions_that_are_all_busy_refuse_a_new_caller(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = desk_new(1, &config);
    struct desk_node *node = &desk->nodes[0];
    struct kith_export fn = {.name = "work", .queue_max = RPC_QUEUE_NODE_MAX};
    desk_export(node, &fn);
    desk->check = false;
    struct asked asked = {.no = 1};
    for (size_t i = 0; i < RPC_SESSIONS_MAX; i++) {
        asked.caller = desk_id(100 + i);
        ask(desk, &asked);
    }
    asked.caller = desk_id(50);
    ask(desk, &asked);
    expect_result(desk, 1, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    asked.flags = WIRE_CALL_RESEND;
    ask(desk, &asked);
    expect_result(desk, 1, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME);
    rpc_check(node->core);
    desk_free(desk);
}

static void caller_that_failed_has_its_waiting_calls_dropped(void **state)
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
    desk_peer_down(desk, 1, 0, false);
    assert_int_equal(b->aborts_n, 1);
    struct rpc_stats stats;
    rpc_stats(b->core, &stats);
    assert_int_equal(stats.queued_now, 0);
    /* It was only cut off, and asks again: what waited is certain not to have run. */
    desk_link(desk, 0, 1, RPC_LINK_DOWN);
    desk_settle(desk);
    desk_expect(a, waits, KITH_OUTCOME_NOT_EXECUTED, KITH_E_CANCELED);
    desk_done_first(b, "still");
    desk_settle(desk);
    desk_expect(a, runs, KITH_OUTCOME_OK, 0);
    assert_int_equal(b->runs_n, 1);
    desk_free(desk);
}

static void down_peer_without_a_session_is_forgotten(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    struct rpc_stats stats;
    desk_peer_down(desk, 0, 1, false);
    desk_tick(&desk->nodes[0]);
    rpc_stats(desk->nodes[0].core, &stats);
    assert_int_equal(stats.peers, 1);
    assert_null(rpc_peer_find(desk->nodes[0].core, &desk->nodes[1].id));
    desk_peer_up(desk, 0, 1);
    assert_non_null(rpc_peer_find(desk->nodes[0].core, &desk->nodes[1].id));
    desk_free(desk);
}

static void one_peer_too_many_is_refused(void **state)
{
    (void)state;
    struct desk *desk = desk_new(1, NULL);
    desk->check = false;
    struct rpc_event event = {.type = RPC_PEER_UP, .u.peer = {.boot_no = 1, .name = "x"}};
    for (size_t i = 0; i < RPC_PEERS_MAX; i++) {
        event.u.peer.id = desk_id(100 + i);
        assert_int_equal(desk_step(&desk->nodes[0], &event), 0);
    }
    event.u.peer.id = desk_id(50);
    assert_int_equal(desk_step(&desk->nodes[0], &event), KITH_E_LIMIT);
    desk_free(desk);
}

static void frames_that_do_not_decode_are_counted_and_change_nothing(void **state)
{
    (void)state;
    struct desk *desk = server(NULL);
    struct desk_node *node = &desk->nodes[0];
    uint8_t junk[64];
    memset(junk, 0xff, sizeof(junk));
    uint64_t bad = 0;
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 0; len <= sizeof(junk); len += 8) {
            int r = desk_inject(node, desk_id(20), 1, (uint8_t)type, junk, len);
            assert_true(r == 0 || r == KITH_E_CORRUPT);
            bad += r == KITH_E_CORRUPT;
        }
    }
    struct rpc_stats stats;
    rpc_stats(node->core, &stats);
    assert_int_equal(stats.bad_frames, bad);
    assert_true(bad > 2000);
    assert_int_equal(node->runs_n, 0);
    assert_int_equal(stats.sessions, 0);
    desk_tick(node);
    rpc_stats(node->core, &stats);
    assert_int_equal(stats.peers, 0);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicate_of_a_running_call_is_acknowledged_and_runs_once),
        cmocka_unit_test(duplicate_of_a_finished_call_is_answered_from_the_table),
        cmocka_unit_test(duplicate_of_a_dropped_result_is_unknown_and_does_not_run),
        cmocka_unit_test(result_too_large_to_keep_is_sent_and_dropped),
        cmocka_unit_test(smaller_number_in_a_slot_is_stale_and_does_not_run),
        cmocka_unit_test(greater_number_in_a_slot_ends_the_one_before),
        cmocka_unit_test(cancel_that_overtakes_its_call_keeps_it_from_running),
        cmocka_unit_test(cancel_of_a_waiting_call_takes_it_out_of_the_queue),
        cmocka_unit_test(refused_number_stays_refused),
        cmocka_unit_test(duplicate_of_an_idempotent_call_may_run_again_but_is_never_denied),
        cmocka_unit_test(call_for_another_boot_touches_nothing),
        cmocka_unit_test(raised_boot_is_the_one_that_counts),
        cmocka_unit_test(newer_boot_of_the_caller_starts_afresh_and_ends_the_old),
        cmocka_unit_test(low_water_frees_what_is_kept),
        cmocka_unit_test(kept_results_of_a_session_are_bounded),
        cmocka_unit_test(kept_results_of_the_node_are_bounded),
        cmocka_unit_test(arguments_held_for_a_session_are_bounded),
        cmocka_unit_test(one_session_too_many_pushes_out_the_idlest),
        cmocka_unit_test(sessions_that_are_all_busy_refuse_a_new_caller),
        cmocka_unit_test(caller_that_failed_has_its_waiting_calls_dropped),
        cmocka_unit_test(down_peer_without_a_session_is_forgotten),
        cmocka_unit_test(one_peer_too_many_is_refused),
        cmocka_unit_test(frames_that_do_not_decode_are_counted_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
