/* One function over many arguments: who gets which item, what is lost, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/rng.h"
#include "kith/error.h"
#include "rpc/map_core.h"

#define NODES_MAX 16
#define ITEMS_MAX 20000

/* A map with made-up nodes: what was given out, handed out and held. */
struct table {
    struct map_core *core;
    uint64_t now_ms;
    uint64_t running[NODES_MAX][5000]; /* indexes, oldest first */
    size_t running_n[NODES_MAX];
    uint8_t emitted[ITEMS_MAX]; /* times */
    uint8_t held[ITEMS_MAX];
    uint64_t last_emitted;
    uint64_t emitted_n;
    uint64_t given_up_n;
    uint64_t lost_n;
    uint64_t aborted_n;
    uint64_t dispatched_n;
    bool ordered;
    bool finished;
};

static struct kith_node_id id_of(size_t node)
{
    struct kith_node_id id = {{0}};
    id.bytes[0] = (uint8_t)(node + 1);
    return id;
}

static void emit(struct table *table, uint64_t index)
{
    assert_int_equal(table->emitted[index], 0); /* each result once */
    table->emitted[index] = 1;
    if (table->ordered)
        assert_true(table->emitted_n == 0 || index > table->last_emitted);
    table->last_emitted = index;
    table->emitted_n++;
}

static void step(struct table *table, struct map_event event)
{
    struct map_output out;
    event.now_ns = table->now_ms * 1000000;
    assert_int_equal(map_step(table->core, &event, &out), 0);
    map_check(table->core);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct map_action *action = &out.actions[i];
        size_t node = action->node.bytes[0] - (size_t)1;
        assert_false(table->finished); /* the last action ever */
        switch (action->type) {
        case MAP_DISPATCH:
            table->dispatched_n++;
            assert_true(table->running_n[node] < 5000);
            table->running[node][table->running_n[node]++] = action->index;
            break;
        case MAP_ABORT:
            table->aborted_n++;
            break;
        case MAP_HOLD:
            assert_true(event.type == MAP_ITEM_DONE && event.index == action->index);
            table->held[action->index] = 1;
            break;
        case MAP_EMIT: {
            bool given = event.type == MAP_ITEM_DONE && event.index == action->index;
            assert_true(given || table->held[action->index]);
            emit(table, action->index);
            break;
        }
        case MAP_GIVE_UP:
            table->given_up_n++;
            emit(table, action->index);
            break;
        case MAP_LOST:
            table->lost_n++;
            break;
        case MAP_FINISHED:
            table->finished = true;
            break;
        }
    }
}

static struct table *table_new(uint64_t items_n, bool ordered, uint32_t attempts_max)
{
    struct table *table = calloc(1, sizeof(*table));
    struct map_config config = {.map_no = 3,
                                .items_n = items_n,
                                .seed = 5,
                                .ordered = ordered,
                                .attempts_max = attempts_max};
    table->now_ms = 1000;
    table->ordered = ordered;
    assert_int_equal(map_new(&table->core, &config), 0);
    return table;
}

static void table_free(struct table *table)
{
    map_free(table->core);
    free(table);
}

static void tick(struct table *table)
{
    step(table, (struct map_event){.type = MAP_TICK});
}

static void node_up(struct table *table, size_t node, uint32_t k)
{
    char name[16];
    snprintf(name, sizeof(name), "n%zu", node);
    step(table,
         (struct map_event){
             .type = MAP_NODE_UP, .node = id_of(node), .node_name = name, .in_flight_max = k});
}

static void nodes_up(struct table *table, size_t n, uint32_t k)
{
    for (size_t i = 0; i < n; i++)
        node_up(table, i, k);
    assert_int_equal(map_deadline_ms(table->core), table->now_ms);
    tick(table);
}

static void node_down(struct table *table, size_t node)
{
    table->running_n[node] = 0;
    step(table, (struct map_event){.type = MAP_NODE_DOWN, .node = id_of(node)});
}

/* The at-th item running on @node ends. */
static void done(struct table *table, size_t node, size_t at, enum kith_outcome outcome, int code)
{
    assert_true(at < table->running_n[node]);
    uint64_t index = table->running[node][at];
    memmove(&table->running[node][at], &table->running[node][at + 1],
            (--table->running_n[node] - at) * sizeof(uint64_t));
    step(table, (struct map_event){.type = MAP_ITEM_DONE,
                                   .node = id_of(node),
                                   .index = index,
                                   .outcome = outcome,
                                   .code = code,
                                   .elapsed_ns = 1000});
}

static void ok(struct table *table, size_t node)
{
    done(table, node, 0, KITH_OUTCOME_OK, 0);
}

static void run_dry(struct table *table, size_t nodes_n)
{
    for (int turn = 0; !table->finished; turn++) {
        assert_true(turn < 1000000);
        bool any = false;
        for (size_t i = 0; i < nodes_n; i++) {
            if (table->running_n[i] > 0) {
                ok(table, i);
                any = true;
            }
        }
        if (!any) {
            assert_true(map_deadline_ms(table->core) != UINT64_MAX);
            if (map_deadline_ms(table->core) > table->now_ms)
                table->now_ms = map_deadline_ms(table->core);
            tick(table);
        }
    }
}

/* ---- cases ---- */

static void every_item_runs_and_the_map_ends(void **state)
{
    (void)state;
    struct table *table = table_new(1000, false, 0);
    nodes_up(table, 3, 4);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(table->running_n[i], 4);
    run_dry(table, 3);
    assert_int_equal(table->emitted_n, 1000);
    assert_int_equal(table->dispatched_n, 1000);
    const struct kith_map_progress *progress = map_progress(table->core);
    assert_int_equal(progress->map_no, 3);
    assert_int_equal(progress->done_n, 1000);
    assert_int_equal(progress->nodes_n, 3);
    assert_int_equal(
        progress->nodes[0].done_n + progress->nodes[1].done_n + progress->nodes[2].done_n, 1000);
    assert_int_equal(progress->nodes[0].busy_ns, progress->nodes[0].done_n * 1000);
    assert_string_equal(progress->nodes[1].name, "n1");
    assert_int_equal(map_deadline_ms(table->core), UINT64_MAX);
    table_free(table);
}

static void map_of_nothing_ends_later_than_it_began(void **state)
{
    (void)state;
    struct table *table = table_new(0, false, 0);
    node_up(table, 0, 4);
    assert_false(table->finished);
    tick(table);
    assert_true(table->finished);
    table_free(table);
}

static void short_map_is_shared_by_all(void **state)
{
    (void)state;
    struct table *table = table_new(4, false, 0);
    nodes_up(table, 4, 16);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(table->running_n[i], 1);
    table_free(table);
}

static void faster_node_gets_more(void **state)
{
    (void)state;
    struct table *table = table_new(1000, false, 0);
    nodes_up(table, 2, 4);
    for (int i = 0; !table->finished; i++) {
        if (table->running_n[0] > 0)
            ok(table, 0);
        if (i % 10 == 0 && table->running_n[1] > 0)
            ok(table, 1);
    }
    const struct kith_map_progress *progress = map_progress(table->core);
    assert_true(progress->nodes[0].done_n > 8 * progress->nodes[1].done_n);
    table_free(table);
}

static void ordered_results_come_in_order(void **state)
{
    (void)state;
    struct table *table = table_new(500, true, 0);
    struct rng rng;
    rng_init(&rng, 11);
    nodes_up(table, 4, 8);
    while (!table->finished) {
        size_t node = rng_below(&rng, 4);
        if (table->running_n[node] > 0)
            done(table, node, rng_below(&rng, table->running_n[node]), KITH_OUTCOME_OK, 0);
    }
    assert_int_equal(table->emitted_n, 500);
    table_free(table);
}

static void items_too_far_ahead_of_a_slow_one_wait(void **state)
{
    (void)state;
    struct table *table = calloc(1, sizeof(*table));
    struct map_config config = {.items_n = MAP_HELD_MAX + 1000, .ordered = true};
    table->now_ms = 1000;
    assert_int_equal(map_new(&table->core, &config), 0);
    /* Only counts here: the table is too small for the indexes. */
    struct map_output out;
    struct map_event up = {
        .type = MAP_NODE_UP, .node = id_of(0), .in_flight_max = 2, .now_ns = 1000000000};
    assert_int_equal(map_step(table->core, &up, &out), 0);
    struct map_event event = {.type = MAP_TICK, .now_ns = 1000000000};
    assert_int_equal(map_step(table->core, &event, &out), 0);
    assert_int_equal(out.actions_n, 2);
    uint64_t next = 1; /* item 0 never ends */
    event = (struct map_event){
        .type = MAP_ITEM_DONE, .node = id_of(0), .outcome = KITH_OUTCOME_OK, .now_ns = 1000000000};
    while (next < MAP_HELD_MAX - 1) {
        event.index = next;
        assert_int_equal(map_step(table->core, &event, &out), 0);
        assert_int_equal(out.actions[out.actions_n - 1].type, MAP_DISPATCH);
        next = out.actions[out.actions_n - 1].index;
    }
    event.index = next;
    assert_int_equal(map_step(table->core, &event, &out), 0);
    assert_int_equal(out.actions_n, 1); /* held, and nothing new */
    map_check(table->core);
    event.index = 0;
    assert_int_equal(map_step(table->core, &event, &out), 0);
    assert_true(out.actions_n > MAP_HELD_MAX);
    map_check(table->core);
    map_free(table->core);
    free(table);
}

static void items_of_a_lost_node_are_run_first_elsewhere(void **state)
{
    (void)state;
    struct table *table = table_new(100, false, 0);
    nodes_up(table, 2, 4);
    uint64_t lost[4];
    memcpy(lost, table->running[0], sizeof(lost));
    node_down(table, 0);
    assert_int_equal(table->lost_n, 4);
    assert_int_equal(map_progress(table->core)->lost_n, 4);
    for (int i = 0; i < 4; i++)
        ok(table, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(table->running[1][i], lost[i]);
    run_dry(table, 2);
    assert_int_equal(table->emitted_n, 100);
    table_free(table);
}

static void end_of_an_item_on_a_lost_node_is_ignored(void **state)
{
    (void)state;
    struct table *table = table_new(10, false, 0);
    nodes_up(table, 2, 2);
    uint64_t index = table->running[0][0];
    node_down(table, 0);
    step(table,
         (struct map_event){
             .type = MAP_ITEM_DONE, .node = id_of(0), .index = index, .outcome = KITH_OUTCOME_OK});
    assert_int_equal(table->emitted_n, 0);
    run_dry(table, 2);
    assert_int_equal(table->emitted_n, 10);
    table_free(table);
}

static void lost_call_and_then_lost_node_count_once(void **state)
{
    (void)state;
    struct table *table = table_new(10, false, 0);
    nodes_up(table, 2, 2);
    /* The calls end first, as the rpc core does it, then the node is reported. */
    done(table, 0, 0, KITH_OUTCOME_UNKNOWN, KITH_E_NO_NODE);
    done(table, 0, 0, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_NODE);
    assert_int_equal(table->running_n[0], 0); /* nothing new for it meanwhile */
    node_down(table, 0);
    assert_int_equal(table->lost_n, 2);
    run_dry(table, 2);
    assert_int_equal(table->emitted_n, 10);
    table_free(table);
}

static void node_that_joins_in_the_middle_is_used(void **state)
{
    (void)state;
    struct table *table = table_new(100, false, 0);
    nodes_up(table, 1, 4);
    for (int i = 0; i < 10; i++)
        ok(table, 0);
    node_up(table, 1, 4);
    tick(table);
    assert_int_equal(table->running_n[1], 4);
    run_dry(table, 2);
    table_free(table);
}

static void without_nodes_items_wait_and_it_says_so(void **state)
{
    (void)state;
    struct table *table = table_new(10, false, 0);
    tick(table);
    assert_true(map_progress(table->core)->waiting_for_nodes);
    assert_int_equal(map_progress(table->core)->pending_n, 10);
    assert_int_equal(map_deadline_ms(table->core), UINT64_MAX);
    nodes_up(table, 1, 2);
    assert_false(map_progress(table->core)->waiting_for_nodes);
    node_down(table, 0);
    assert_true(map_progress(table->core)->waiting_for_nodes);
    assert_int_equal(map_progress(table->core)->pending_n, 10);
    node_up(table, 0, 2);
    tick(table);
    run_dry(table, 1);
    assert_int_equal(table->emitted_n, 10);
    table_free(table);
}

static void app_error_is_a_failed_item_and_not_tried_again(void **state)
{
    (void)state;
    struct table *table = table_new(5, false, 0);
    nodes_up(table, 1, 5);
    done(table, 0, 0, KITH_OUTCOME_APP_ERROR, 7);
    done(table, 0, 0, KITH_OUTCOME_NOT_EXECUTED, KITH_E_SIGNATURE); /* nobody would take it */
    done(table, 0, 0, KITH_OUTCOME_NOT_EXECUTED, KITH_E_TOO_LARGE);
    assert_int_equal(table->emitted_n, 3);
    run_dry(table, 1);
    assert_int_equal(map_progress(table->core)->failed_n, 3);
    assert_int_equal(map_progress(table->core)->done_n, 2);
    assert_int_equal(table->dispatched_n, 5);
    table_free(table);
}

static void busy_node_is_left_alone_for_a_while(void **state)
{
    (void)state;
    struct table *table = table_new(100, false, 0);
    nodes_up(table, 2, 4);
    done(table, 0, 0, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
    size_t running = table->running_n[0];
    ok(table, 1);
    assert_int_equal(table->running_n[0], running); /* nothing new, others go on */
    assert_int_equal(table->lost_n, 0);
    uint64_t deadline_ms = map_deadline_ms(table->core);
    assert_true(deadline_ms >= table->now_ms + 50 && deadline_ms <= table->now_ms + 200);
    table->now_ms = deadline_ms;
    tick(table);
    assert_int_equal(table->running_n[0], 4);
    run_dry(table, 2);
    assert_int_equal(table->emitted_n, 100);
    table_free(table);
}

static void node_that_is_always_busy_is_not_asked_in_a_loop(void **state)
{
    (void)state;
    struct table *table = table_new(10, false, 0);
    nodes_up(table, 1, 2);
    uint64_t start_ms = table->now_ms;
    while (table->now_ms < start_ms + 60000) {
        while (table->running_n[0] > 0)
            done(table, 0, 0, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
        uint64_t deadline_ms = map_deadline_ms(table->core);
        assert_true(deadline_ms > table->now_ms);
        table->now_ms = deadline_ms;
        tick(table);
    }
    assert_true(table->dispatched_n < 150); /* 2 s apart in the end, two at a time */
    assert_int_equal(table->emitted_n, 0);
    table_free(table);
}

static void item_is_given_up_after_so_many_lost_tries(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct table *table = table_new(3, ordered != 0, 2);
        nodes_up(table, 1, 1);
        /* Two time-outs: it fails with the last result. */
        done(table, 0, 0, KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
        assert_int_equal(table->emitted_n, 0);
        table->now_ms = map_deadline_ms(table->core);
        tick(table);
        done(table, 0, 0, KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
        assert_int_equal(table->emitted_n, 1);
        /* Two lost nodes: there is no result to hand out. */
        table->now_ms = map_deadline_ms(table->core);
        tick(table);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(table->running[0][0], 1);
            node_down(table, 0);
            node_up(table, 0, 1);
            tick(table);
        }
        assert_int_equal(table->given_up_n, 1);
        run_dry(table, 1);
        assert_int_equal(map_progress(table->core)->failed_n, 2);
        assert_int_equal(map_progress(table->core)->done_n, 1);
        table_free(table);
    }
}

static void cancel_aborts_what_runs_and_ends(void **state)
{
    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        struct table *table = table_new(100, ordered != 0, 0);
        nodes_up(table, 2, 4);
        done(table, 1, 0, KITH_OUTCOME_OK, 0);
        done(table, 1, 1, KITH_OUTCOME_OK, 0);
        uint64_t dispatched = table->dispatched_n;
        step(table, (struct map_event){.type = MAP_CANCEL});
        step(table, (struct map_event){.type = MAP_CANCEL});
        assert_int_equal(table->aborted_n, 8);
        assert_false(table->finished);
        done(table, 0, 0, KITH_OUTCOME_OK, 0); /* too late to be stopped */
        node_down(table, 1);
        while (table->running_n[0] > 0)
            done(table, 0, 0, KITH_OUTCOME_UNKNOWN, KITH_E_CANCELED);
        assert_true(table->finished);
        assert_int_equal(table->dispatched_n, dispatched);
        assert_int_equal(table->emitted_n, 3); /* all that was done, held or not */
        assert_int_equal(map_progress(table->core)->done_n, 3);
        table_free(table);
    }
}

static void cancel_without_nodes_ends_at_once(void **state)
{
    (void)state;
    struct table *table = table_new(100, true, 0);
    step(table, (struct map_event){.type = MAP_CANCEL});
    assert_true(table->finished);
    table_free(table);
}

static void end_of_a_map_is_not_hoarded(void **state)
{
    (void)state;
    struct table *table = table_new(40, false, 0);
    nodes_up(table, 2, 20); /* half of K is one item a processor */
    /* The slow one does not sit on items that the fast one could begin. */
    assert_int_equal(table->running_n[0], table->running_n[1]);
    while (table->running_n[0] > 0)
        ok(table, 0);
    assert_true(table->running_n[1] <= 20);
    run_dry(table, 2);
    table_free(table);
}

static void too_many_items_are_refused(void **state)
{
    (void)state;
    struct map_core *core;
    struct map_config config = {.items_n = (1ull << 32) + 1};
    assert_int_equal(map_new(&core, &config), KITH_E_LIMIT);
    config.items_n--;
    assert_int_equal(map_new(&core, &config), 0);
    map_free(core);
}

static void drained(struct table *table, size_t node)
{
    step(table, (struct map_event){.type = MAP_NODE_DRAINED, .node = id_of(node)});
}

static void drained_node_ends_what_it_has_and_gets_no_more(void **state)
{
    (void)state;
    struct table *table = table_new(100, false, 0);

    nodes_up(table, 2, 4);
    assert_int_equal(table->running_n[0], 4);
    drained(table, 0);
    if (map_deadline_ms(table->core) <= table->now_ms)
        tick(table);
    assert_int_equal(table->running_n[0], 4); /* nothing is lost */
    for (int i = 0; i < 4; i++)
        ok(table, 0);
    for (int i = 0; i < 50; i++)
        ok(table, 1);
    assert_int_equal(table->running_n[0], 0);
    assert_int_equal(table->lost_n, 0);
    /* With nobody else it says that it waits. */
    drained(table, 1);
    while (table->running_n[1] > 0)
        ok(table, 1);
    assert_true(map_progress(table->core)->waiting_for_nodes);
    assert_false(table->finished);
    node_up(table, 0, 4);
    tick(table);
    assert_int_equal(table->running_n[0], 4);
    run_dry(table, 2);
    table_free(table);
}

static void items_of_a_drained_node_that_fails_are_lost_as_others(void **state)
{
    (void)state;
    struct table *table = table_new(20, false, 0);

    nodes_up(table, 2, 3);
    drained(table, 0);
    node_down(table, 0);
    assert_int_equal(table->lost_n, 3);
    run_dry(table, 2);
    table_free(table);
}

/* ---- at random ---- */

static void run_seed(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    uint64_t items_n = rng_below(&rng, 300);
    bool ordered = rng_below(&rng, 2) == 0;
    uint32_t attempts_max = (uint32_t)rng_below(&rng, 4);
    struct table *table = table_new(items_n, ordered, attempts_max);
    bool up[4] = {0};
    for (int i = 0; i < 2000 && !table->finished; i++) {
        size_t node = rng_below(&rng, 4);
        uint64_t what = rng_below(&rng, 100);
        if (what < 5) {
            node_up(table, node, 1 + (uint32_t)rng_below(&rng, 5));
            up[node] = true;
        } else if (what < 8) {
            node_down(table, node);
            up[node] = false;
        } else if (what < 10) {
            size_t before = table->running_n[node];
            drained(table, node);
            assert_int_equal(table->running_n[node], before);
            up[node] = false;
        } else if (what < 70 && table->running_n[node] > 0) {
            size_t at = rng_below(&rng, table->running_n[node]);
            uint64_t how = rng_below(&rng, 20);
            if (how == 0)
                done(table, node, at, KITH_OUTCOME_APP_ERROR, 1);
            else if (how == 1)
                done(table, node, at, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY);
            else if (how == 2)
                done(table, node, at, KITH_OUTCOME_UNKNOWN, KITH_E_TIMEOUT);
            else
                done(table, node, at, KITH_OUTCOME_OK, 0);
        } else if (what == 99 && rng_below(&rng, 20) == 0) {
            step(table, (struct map_event){.type = MAP_CANCEL});
        } else {
            table->now_ms += rng_below(&rng, 100);
            if (map_deadline_ms(table->core) <= table->now_ms)
                tick(table);
        }
    }
    if (!up[0] && !table->finished) {
        node_up(table, 0, 3);
        tick(table);
    }
    if (!table->finished)
        run_dry(table, 4);
    const struct kith_map_progress *progress = map_progress(table->core);
    assert_int_equal(progress->done_n + progress->failed_n, table->emitted_n);
    assert_int_equal(progress->running_n, 0);
    assert_int_equal(progress->pending_n, items_n - table->emitted_n);
    table_free(table);
}

static void random_maps_lose_and_double_nothing(void **state)
{
    (void)state;
    const char *one = getenv("KITH_SEED");
    for (uint64_t seed = one != NULL ? strtoull(one, NULL, 10) : 1;; seed++) {
        if (one == NULL && seed % 100 == 1)
            print_message("# seeds from %llu\n", (unsigned long long)seed);
        run_seed(seed);
        if (one != NULL || seed == 500)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_and_the_map_ends),
        cmocka_unit_test(map_of_nothing_ends_later_than_it_began),
        cmocka_unit_test(short_map_is_shared_by_all),
        cmocka_unit_test(faster_node_gets_more),
        cmocka_unit_test(ordered_results_come_in_order),
        cmocka_unit_test(items_too_far_ahead_of_a_slow_one_wait),
        cmocka_unit_test(items_of_a_lost_node_are_run_first_elsewhere),
        cmocka_unit_test(end_of_an_item_on_a_lost_node_is_ignored),
        cmocka_unit_test(lost_call_and_then_lost_node_count_once),
        cmocka_unit_test(node_that_joins_in_the_middle_is_used),
        cmocka_unit_test(without_nodes_items_wait_and_it_says_so),
        cmocka_unit_test(app_error_is_a_failed_item_and_not_tried_again),
        cmocka_unit_test(busy_node_is_left_alone_for_a_while),
        cmocka_unit_test(node_that_is_always_busy_is_not_asked_in_a_loop),
        cmocka_unit_test(item_is_given_up_after_so_many_lost_tries),
        cmocka_unit_test(cancel_aborts_what_runs_and_ends),
        cmocka_unit_test(cancel_without_nodes_ends_at_once),
        cmocka_unit_test(end_of_a_map_is_not_hoarded),
        cmocka_unit_test(drained_node_ends_what_it_has_and_gets_no_more),
        cmocka_unit_test(items_of_a_drained_node_that_fails_are_lost_as_others),
        cmocka_unit_test(too_many_items_are_refused),
        cmocka_unit_test(random_maps_lose_and_double_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
