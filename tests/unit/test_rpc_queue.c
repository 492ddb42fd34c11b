/* The queues of the serving side: who starts when, and what is refused. */
#include "test_rpc_lib.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static struct desk *one(uint32_t workers, uint32_t queue_node_max)
{
    struct rpc_config config = {.workers = workers, .queue_node_max = queue_node_max};
    return desk_new(1, &config);
}

static const char *running_name(struct desk_node *node, size_t at)
{
    return rpc_export_desc(rpc_serve_export(node->running[at]))->name;
}

static void no_more_run_than_there_are_workers(void **state)
{
    (void)state;
    struct desk *desk = one(3, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "work", 0, 0);
    for (int i = 0; i < 10; i++)
        desk_call_name(node, "work", "");
    assert_int_equal(node->running_n, 3);
    for (size_t done = 1; done <= 10; done++) {
        desk_done_first(node, "");
        assert_int_equal(node->running_n, done <= 7 ? 3 : 10 - done);
    }
    desk_free(desk);
}

static void no_more_run_than_the_function_allows(void **state)
{
    (void)state;
    struct desk *desk = one(8, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "narrow", 0, 2);
    desk_offer(node, "wide", 0, 0);
    for (int i = 0; i < 5; i++)
        desk_call_name(node, "narrow", "");
    assert_int_equal(node->running_n, 2);
    desk_call_name(node, "wide", ""); /* is not held up by it */
    assert_int_equal(node->running_n, 3);
    desk_done_first(node, "");
    assert_int_equal(node->running_n, 3);
    desk_free(desk);
}

static void calls_of_a_function_start_in_order(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "work", 0, 0);
    for (char c = 'a'; c <= 'e'; c++)
        desk_call(node, (struct rpc_call){.fn = "work", .arg = {.data = &c, .len = 1}});
    for (char c = 'a'; c <= 'e'; c++) {
        assert_int_equal(*(const char *)rpc_serve_arg(node->running[0]).data, c);
        desk_done_first(node, "");
    }
    desk_free(desk);
}

static void functions_take_turns(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "busy", 0, 0);
    desk_offer(node, "rare", 0, 0);
    for (int i = 0; i < 1000; i++)
        desk_call_name(node, "busy", "");
    desk_call_name(node, "rare", "");
    desk_done_first(node, "");
    desk_done_first(node, "");
    assert_string_equal(running_name(node, 0), "rare");
    desk_free(desk);
}

static void inline_and_deferred_need_no_worker(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "work", 0, 0);
    desk_offer(node, "inline", KITH_FN_INLINE, 0);
    desk_offer(node, "deferred", KITH_FN_DEFERRED, 2);
    desk_call_name(node, "work", "");
    desk_call_name(node, "inline", "");
    for (int i = 0; i < 3; i++)
        desk_call_name(node, "deferred", "");
    assert_int_equal(node->running_n, 4);
    assert_string_equal(running_name(node, 3), "deferred");
    desk_done(node, node->running[3], KITH_OUTCOME_OK, 0, "", 0);
    assert_int_equal(node->running_n, 4);
    desk_free(desk);
}

static void full_queue_of_a_function_is_busy(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk->check = false;
    desk_offer(node, "work", 0, 0);
    desk_offer(node, "other", 0, 0);
    struct rpc_call call = {.fn = "work", .no_retry = true};
    for (int i = 0; i < 1 + RPC_QUEUE_FUNCTION_MAX; i++)
        desk_call(node, call);
    assert_int_equal(node->results_n, 0);
    uint64_t refused = desk_call(node, call);
    desk_expect(node, refused, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    assert_non_null(strstr(desk_result(node, refused)->text, "4096 calls wait for 'work'"));
    call.fn = "other";
    desk_call(node, call);
    assert_int_equal(node->results_n, 1);
    struct rpc_stats stats;
    rpc_stats(node->core, &stats);
    assert_int_equal(stats.busy, 1);
    rpc_check(node->core);
    desk_done_first(node, "");
    call.fn = "work";
    assert_null(desk_result(node, desk_call(node, call)));
    desk_free(desk);
}

static void full_queue_of_the_node_is_busy(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk->check = false;
    const char *names[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++)
        desk_offer(node, names[i], 0, 0);
    for (int i = 0; i < RPC_QUEUE_NODE_MAX; i++)
        desk_call(node, (struct rpc_call){.fn = names[i % 5], .no_retry = true});
    assert_int_equal(node->results_n, 0);
    uint64_t refused = desk_call(node, (struct rpc_call){.fn = "a", .no_retry = true});
    desk_expect(node, refused, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    rpc_check(node->core);
    desk_free(desk);
}

static void own_bound_of_a_function_is_kept(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    struct kith_export fn = {.name = "work", .queue_max = 2};
    desk_export(node, &fn);
    for (int i = 0; i < 3; i++)
        desk_call(node, (struct rpc_call){.fn = "work", .no_retry = true});
    assert_int_equal(node->results_n, 0);
    desk_expect(node, desk_call(node, (struct rpc_call){.fn = "work", .no_retry = true}),
                KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    desk_free(desk);
}

static void deadline_that_passes_in_the_queue_is_not_executed(void **state)
{
    (void)state;
    struct rpc_config config = {.workers = 1};
    struct desk *desk = desk_new_cluster(2, &config);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_offer(b, "work", 0, 0);
    desk_settle(desk);
    desk_call(a, (struct rpc_call){.fn = "work"});
    uint64_t waits = desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 100});
    desk_settle(desk);
    /* Only the server's clock moves: its own timer must do it. */
    desk->now_ns += 120 * 1000000ull;
    desk_tick(b);
    desk_settle(desk);
    desk_expect(a, waits, KITH_OUTCOME_NOT_EXECUTED, KITH_E_TIMEOUT);
    desk_done_first(b, "");
    assert_int_equal(b->runs_n, 1);
    desk_free(desk);
}

static void deadline_that_cannot_be_met_is_refused_at_once(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    desk_offer(node, "slow", 0, 0);
    for (int i = 0; i < 10; i++) { /* it is known to take a second */
        desk_call(node, (struct rpc_call){.fn = "slow"});
        desk->now_ns += 1000 * 1000000ull;
        desk_done_first(node, "");
    }
    for (int i = 0; i < 11; i++)
        desk_call(node, (struct rpc_call){.fn = "slow", .timeout_ms = 600000});
    uint64_t hasty = desk_call(node, (struct rpc_call){.fn = "slow", .timeout_ms = 5000});
    desk_expect(node, hasty, KITH_OUTCOME_NOT_EXECUTED, KITH_E_TIMEOUT);
    assert_non_null(strstr(desk_result(node, hasty)->text, "10 calls wait"));
    uint64_t patient = desk_call(node, (struct rpc_call){.fn = "slow", .timeout_ms = 15000});
    assert_null(desk_result(node, patient));
    desk_free(desk);
}

static void run_that_passes_its_deadline_is_told(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *b = &desk->nodes[1];
    desk_offer(b, "work", 0, 0);
    desk_settle(desk);
    desk_call(&desk->nodes[0], (struct rpc_call){.fn = "work", .timeout_ms = 100});
    desk_settle(desk);
    desk->now_ns += 120 * 1000000ull;
    desk_tick(b);
    assert_int_equal(b->aborts_n, 1);
    desk_free(desk);
}

static void error_after_the_deadline_is_no_error_of_the_function(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_offer(b, "work", 0, 0);
    desk_settle(desk);
    for (size_t i = 0; i < 2; i++) { /* from another node, and from this one */
        struct desk_node *caller = i == 0 ? a : b;
        struct rpc_call call = {.fn = "work", .timeout_ms = 100};
        uint64_t token = desk_call(caller, call);
        desk_settle(desk);
        /* The function looks at the clock by itself and is sooner than the timers are. */
        desk->now_ns = rpc_serve_deadline_ns(b->running[0]);
        desk_done(b, b->running[0], KITH_OUTCOME_APP_ERROR, 1, "stopped", 7);
        desk_settle(desk);
        desk_expect(caller, token, KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
        /* One nanosecond earlier it was the function's own. */
        token = desk_call(caller, call);
        desk_settle(desk);
        desk->now_ns = rpc_serve_deadline_ns(b->running[0]) - 1;
        desk_done(b, b->running[0], KITH_OUTCOME_APP_ERROR, 7, "own", 3);
        desk_settle(desk);
        desk_expect(caller, token, KITH_OUTCOME_APP_ERROR, 7);
    }
    desk_free(desk);
}

static struct rpc_function only_function(struct desk_node *node)
{
    struct rpc_function fn;
    size_t at = 0;

    assert_true(rpc_function_next(node->core, &at, &fn));
    assert_non_null(fn.recent);
    return fn;
}

static void fail_with(struct desk *desk, const void *text, size_t len)
{
    struct desk_node *node = &desk->nodes[0];

    desk_call_name(node, "work", "");
    desk_done(node, node->running[0], KITH_OUTCOME_APP_ERROR, 7, text, len);
    desk_settle(desk);
}

static void last_error_and_rates_of_a_function_are_kept(void **state)
{
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    char longest[RPC_LAST_ERROR_BYTES_MAX + 10];

    (void)state;
    desk_offer(node, "work", 0, 0);
    assert_int_equal(only_function(node).recent->error_unix_ms, 0);
    for (int i = 0; i < 57; i++) {
        desk_call_name(node, "work", "");
        desk_done_first(node, "fine");
        desk_pass(desk, 1000);
    }
    double rate = rate_per_s(&only_function(node).recent->calls, desk->now_ns / 1000000);
    assert_true(rate > 0.9 && rate < 1.1);
    assert_false(rate_per_s(&only_function(node).recent->errors, desk->now_ns / 1000000) > 0);
    fail_with(desk, "no such picture", 15);
    const struct rpc_recent *recent = only_function(node).recent;
    assert_int_equal(recent->error_code, 7);
    assert_int_equal(recent->error_unix_ms, 1700000000000ull);
    assert_int_equal(recent->error_len, 15);
    assert_memory_equal(recent->error_text, "no such picture", 15);
    assert_true(rate_per_s(&recent->errors, desk->now_ns / 1000000) > 0.01);
    /* A text ends where a character does; what is none is counted. */
    memset(longest, 'x', sizeof(longest));
    memcpy(longest + RPC_LAST_ERROR_BYTES_MAX - 1, "\xc3\xa4", 2);
    fail_with(desk, longest, sizeof(longest));
    assert_int_equal(recent->error_len, RPC_LAST_ERROR_BYTES_MAX - 1);
    memcpy(longest + RPC_LAST_ERROR_BYTES_MAX - 2, "\xc3\xa4", 2);
    fail_with(desk, longest, sizeof(longest));
    assert_int_equal(recent->error_len, RPC_LAST_ERROR_BYTES_MAX);
    fail_with(desk, "\xff\xfe", 2);
    assert_memory_equal(recent->error_text, "(2 bytes", 8);
    fail_with(desk, "", 0);
    assert_int_equal(recent->error_len, 0);
    desk_free(desk);
}

static void withdrawn_function_ends_what_waits_and_lets_run_what_runs(void **state)
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
    uint64_t local = desk_call_name(b, "work", "");
    assert_int_equal(desk_unexport(b, "work"), 0);
    desk_settle(desk);
    desk_expect(a, waits, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    desk_expect(b, local, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION);
    assert_int_equal(b->gone_n, 0);
    /* The name is free at once. */
    assert_int_equal(desk_offer(b, "work", 0, 0), 0);
    desk_done_first(b, "last");
    assert_int_equal(b->gone_n, 1);
    assert_ptr_equal(b->gone_user, b);
    desk_settle(desk);
    desk_expect(a, runs, KITH_OUTCOME_OK, 0);
    assert_int_equal(desk_unexport(b, "work"), 0);
    assert_int_equal(b->gone_n, 2); /* nothing ran: gone at once */
    assert_int_equal(desk_unexport(b, "work"), KITH_E_NOT_FOUND);
    desk_free(desk);
}

static void function_is_refused_by_name_signature_number_and_twice(void **state)
{
    (void)state;
    struct desk *desk = one(1, 0);
    struct desk_node *node = &desk->nodes[0];
    struct kith_export fn = {.name = "with space"};
    assert_int_equal(desk_export(node, &fn), KITH_E_NAME);
    fn = (struct kith_export){.name = "f", .signature = "f(i33 x)"};
    assert_int_equal(desk_export(node, &fn), KITH_E_PARSE);
    char longer[RPC_DESCRIPTION_BYTES_MAX + 2];
    memset(longer, 'd', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    fn = (struct kith_export){.name = "f", .description = longer};
    assert_int_equal(desk_export(node, &fn), KITH_E_TOO_LARGE);
    longer[RPC_DESCRIPTION_BYTES_MAX] = '\0';
    assert_int_equal(desk_export(node, &fn), 0);
    assert_int_equal(desk_export(node, &fn), KITH_E_EXISTS);
    desk->check = false;
    for (int i = 1; i < RPC_FUNCTIONS_NODE_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(desk_offer(node, name, 0, 0), 0);
    }
    assert_int_equal(desk_offer(node, "one-more", 0, 0), KITH_E_LIMIT);
    assert_int_equal(desk_unexport(node, "f7"), 0);
    assert_int_equal(desk_offer(node, "one-more", 0, 0), 0);
    desk_free(desk);
}

static void idle_core_is_small(void **state)
{
    (void)state;

    struct desk *desk = one(1, 0);
    assert_true(malloc_usable_size(desk->nodes[0].core) < 100 * 1024);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_run_than_there_are_workers),
        cmocka_unit_test(no_more_run_than_the_function_allows),
        cmocka_unit_test(calls_of_a_function_start_in_order),
        cmocka_unit_test(functions_take_turns),
        cmocka_unit_test(inline_and_deferred_need_no_worker),
        cmocka_unit_test(full_queue_of_a_function_is_busy),
        cmocka_unit_test(full_queue_of_the_node_is_busy),
        cmocka_unit_test(own_bound_of_a_function_is_kept),
        cmocka_unit_test(deadline_that_passes_in_the_queue_is_not_executed),
        cmocka_unit_test(deadline_that_cannot_be_met_is_refused_at_once),
        cmocka_unit_test(run_that_passes_its_deadline_is_told),
        cmocka_unit_test(error_after_the_deadline_is_no_error_of_the_function),
        cmocka_unit_test(last_error_and_rates_of_a_function_are_kept),
        cmocka_unit_test(withdrawn_function_ends_what_waits_and_lets_run_what_runs),
        cmocka_unit_test(function_is_refused_by_name_signature_number_and_twice),
        cmocka_unit_test(idle_core_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
