/*
 * Memory that is short at the n-th allocation, for every n: nothing breaks, nothing leaks (under
 * ASan), each call that was taken ends exactly once, and the cores go on when there is memory
 * again.
 */
#include "test_rpc_lib.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "rpc/map_core.h"

static void everything_once(struct desk *desk)
{
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    static char large[20000];
    struct kith_export fn = {
        .name = "sum", .signature = "sum(f64[] m) -> f64", .description = "adds"};
    desk_export(b, &fn);
    desk_offer(b, "work", 0, 2);
    desk_offer(b, "inline", KITH_FN_INLINE, 0);
    desk_pass(desk, 50);
    struct rpc_event watch = {.type = RPC_WATCH_ON, .u.name = "work"};
    desk_step(a, &watch);
    desk_settle(desk);
    for (int i = 0; i < 6; i++)
        desk_call(a, (struct rpc_call){.fn = i % 2 != 0 ? "work" : "inline",
                                       .arg = {.data = large, .len = i < 3 ? 10 : sizeof(large)},
                                       .timeout_ms = 1000,
                                       .partials = true});
    desk_call(a, (struct rpc_call){.fn = "later", .wait_for_function = true, .timeout_ms = 500});
    desk_call(a, (struct rpc_call){.fn = "none", .timeout_ms = 500});
    desk_call(
        b, (struct rpc_call){.fn = "work", .arg = {.data = large, .len = 5000}, .timeout_ms = 900});
    desk_settle(desk);
    while (b->running_n > 0) {
        struct rpc_event partial = {.type = RPC_PARTIAL_OUT};
        partial.u.partial.serve = b->running[0];
        partial.u.partial.data = (struct kith_bytes){.data = "half", .len = 4};
        desk_step(b, &partial);
        desk_done(b, b->running[0], KITH_OUTCOME_OK, 0, large, b->running_n % 2 != 0 ? 10 : 3000);
        desk_settle(desk);
    }
    desk_link(desk, 0, 1, RPC_LINK_DOWN);
    desk_unexport(b, "inline");
    desk_call(a, (struct rpc_call){.fn = "work", .timeout_ms = 800});
    desk_settle(desk);
    desk_peer_down(desk, 0, 1, false);
    struct rpc_event up = {.type = RPC_PEER_UP};
    up.u.peer.id = b->id;
    up.u.peer.boot_no = 1;
    up.u.peer.name = "b";
    if (desk_step(a, &up) != 0)
        desk_step(a, &up);
}

static void calls_survive_short_memory_anywhere(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (;; n++) {
        struct rpc_config config = {.workers = 2};
        struct desk *desk = desk_new_cluster(2, &config);
        struct desk_node *a = &desk->nodes[0];
        struct desk_node *b = &desk->nodes[1];
        core_alloc_fail_at(n);
        everything_once(desk);
        void *probe = core_malloc(1); /* fails if the n-th was not reached */
        core_alloc_fail_at(0);
        bool reached = probe != NULL;
        core_free(probe);

        /* With memory again, all that was begun ends. */
        while (b->running_n > 0)
            desk_done_first(b, "");
        desk_pass(desk, 3000);
        struct rpc_stats stats;
        rpc_stats(a->core, &stats);
        assert_int_equal(stats.calls_pending, 0);
        assert_int_equal(a->results_n, stats.calls_made);
        for (size_t i = 0; i < a->results_n; i++)
            assert_non_null(desk_result(a, a->results[i].token)); /* once */
        rpc_stats(b->core, &stats);
        assert_int_equal(stats.calls_pending, 0);
        assert_int_equal(b->results_n, stats.calls_made);
        assert_int_equal(stats.args_held_bytes, 0);
        /* And it works as before. */
        desk_offer(b, "after", KITH_FN_INLINE, 0);
        desk_pass(desk, 40000); /* a registry that was lost is asked for again */
        b->on_run = desk_echo;
        uint64_t token = desk_call_name(a, "after", "x");
        desk_settle(desk);
        desk_expect(a, token, KITH_OUTCOME_OK, 0);
        desk_free(desk);
        if (!reached || n > 2000)
            break;
    }
    assert_true(n > 30);
    assert_true(n < 2000);
}

static void core_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    struct rpc_config config = {.boot_no = 1};
    struct rpc_core *core = NULL;
    int r = KITH_E_MEMORY;
    for (uint64_t n = 1; r != 0; n++) {
        core_alloc_fail_at(n);
        r = rpc_new(&core, &config);
        core_alloc_fail_at(0);
        assert_true(r == 0 || r == KITH_E_MEMORY);
        assert_true(n < 100);
    }
    rpc_free(core);
    rpc_free(NULL);
}

/* ---- map ---- */

static void map_survives_short_memory_anywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct map_config config = {
            .items_n = 300, .ordered = n % 2 != 0, .seed = n, .attempts_max = 3};
        struct map_core *core = NULL;
        struct map_output out;
        uint64_t running[512];
        size_t running_n = 0;
        uint64_t emitted_n = 0;
        bool finished = false;
        core_alloc_fail_at(n);
        while (map_new(&core, &config) != 0)
            continue;
        struct map_event event = {.type = MAP_NODE_UP, .now_ns = 1, .in_flight_max = 200};
        event.node.bytes[0] = 1;
        event.node_name = "n";
        uint64_t now_ns = 1000000;
        for (int turn = 0; !finished; turn++) {
            assert_true(turn < 10000);
            event.now_ns = now_ns += 10000000;
            int r = map_step(core, &event, &out);
            assert_true(r == 0 || r == KITH_E_MEMORY);
            map_check(core);
            for (size_t i = 0; i < out.actions_n; i++) {
                if (out.actions[i].type == MAP_DISPATCH)
                    running[running_n++] = out.actions[i].index;
                emitted_n += out.actions[i].type == MAP_EMIT || out.actions[i].type == MAP_GIVE_UP;
                finished |= out.actions[i].type == MAP_FINISHED;
            }
            if (r != 0)
                continue; /* the same again */
            if (running_n > 0)
                event = (struct map_event){.type = MAP_ITEM_DONE,
                                           .node = event.node,
                                           .index = running[--running_n],
                                           .outcome = KITH_OUTCOME_OK};
            else
                event = (struct map_event){.type = MAP_TICK, .node = event.node};
            if (turn == 20) { /* everything that runs is lost at once */
                event.type = MAP_NODE_DOWN;
                running_n = 0;
            } else if (turn == 21) {
                if (event.type == MAP_ITEM_DONE)
                    running_n++;
                event.type = MAP_NODE_UP;
                event.in_flight_max = 200;
                event.node_name = "n";
            }
            (void)map_progress(core);
        }
        core_alloc_fail_at(0);
        assert_int_equal(emitted_n, 300);
        map_free(core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_survive_short_memory_anywhere),
        cmocka_unit_test(core_is_made_whole_or_not_at_all),
        cmocka_unit_test(map_survives_short_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
