#include "rpc_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "queue.h"

/*
 * A call ends so late after its deadline at most: a tick of the timer wheel on either side and what
 * a turn of the loop takes.
 */
#define LATE_NS_MAX    (50 * UINT64_C(1000000))
#define SWEEP_MS       500
#define TIMEOUT_MS_MAX 10000
#define RUN_US_MAX     200000
#define BURST_CALLS    40
#define BURST_BYTES    60000

static struct rpc_world *rw_of(struct hr *hr)
{
    return (struct rpc_world *)(void *)hr->hw;
}

static struct rw_call *call_of(struct rpc_world *rw, uint64_t uid)
{
    return uid >= 1 && uid <= rw->calls_n ? &rw->calls[uid - 1] : NULL;
}

static uint64_t uid_of(const struct rpc_world *rw, const struct rw_call *call)
{
    return (uint64_t)(call - rw->calls) + 1;
}

/* ---- calls: what happens ---- */

static void on_run(struct hr *hr, const struct hr_arg *arg)
{
    struct rpc_world *rw = rw_of(hr);
    struct rw_call *call = call_of(rw, arg->uid);

    rw->runs_n++;
    sim_trace(rw->world, arg->uid << 8 | 1);
    if (call == NULL) /* an item of a map */
        return;
    sim_note(rw->world, "call %" PRIu64 " runs on %zu", arg->uid, sim_node_index(hr->hm.node));
    if (arg->input != call->input)
        sim_violation(rw->world, "call %" PRIu64 " runs with another argument", arg->uid);
    call->runs_n++;
    if (call->runs_n > 1 && !call->idempotent)
        sim_violation(rw->world, "call %" PRIu64 " ('%s') runs a second time, on node %zu",
                      arg->uid, hr_function_names[call->fn], sim_node_index(hr->hm.node));
    if (call->ended && call->outcome == KITH_OUTCOME_NOT_EXECUTED)
        sim_violation(rw->world, "call %" PRIu64 " ended as NOT_EXECUTED and runs on node %zu",
                      arg->uid, sim_node_index(hr->hm.node));
    if (call->to != SIZE_MAX && call->to != sim_node_index(hr->hm.node))
        sim_violation(rw->world, "call %" PRIu64 " was for another node", arg->uid);
}

static void
judge_result(struct rpc_world *rw, struct rw_call *call, const struct kith_result *result)
{
    uint64_t uid = uid_of(rw, call);

    switch (result->outcome) {
    case KITH_OUTCOME_OK:
        if (call->cast)
            break;
        if (call->runs_n == 0 || call->fn == HR_FAIL)
            sim_violation(rw->world, "call %" PRIu64 " is OK but has not run", uid);
        else if (result->len < 8 || get_le64(result->data) != hr_answer(call->input))
            sim_violation(rw->world, "call %" PRIu64 " is OK with a wrong result", uid);
        break;
    case KITH_OUTCOME_APP_ERROR:
        if (call->fn != HR_FAIL || call->runs_n == 0 ||
            result->code != (int)(1 + call->input % 100))
            sim_violation(rw->world, "call %" PRIu64 " ('%s') ended as APP_ERROR with %d", uid,
                          hr_function_names[call->fn], result->code);
        break;
    case KITH_OUTCOME_NOT_EXECUTED:
        if (call->runs_n > 0)
            sim_violation(rw->world,
                          "call %" PRIu64 " ('%s') ended as NOT_EXECUTED (%s) and has run", uid,
                          hr_function_names[call->fn], kith_error_name(result->code));
        break;
    case KITH_OUTCOME_UNKNOWN:
        break;
    }
}

static void on_complete(struct hr *hr, uint64_t token, const struct kith_result *result)
{
    struct rpc_world *rw = rw_of(hr);
    size_t index = (size_t)(uintptr_t)map64_remove(&rw->by_token, token);

    if (index == 0) {
        sim_violation(rw->world, "token %" PRIu64 " ends twice, or never was", token);
        return;
    }
    struct rw_call *call = &rw->calls[index - 1];
    uint64_t now_ns = sim_now_ns(hr->hm.node);
    sim_note(rw->world, "call %zu ends as %s %d", index, kith_outcome_text(result->outcome),
             result->code);
    sim_trace(rw->world, (uint64_t)index << 16 | (uint64_t)result->outcome << 8 | 2);
    call->pending = false;
    call->ended = true;
    call->outcome = result->outcome;
    call->code = result->code;
    rw->outcomes[result->outcome]++;
    judge_result(rw, call, result);
    /* A paused caller is late by nature. */
    if (now_ns > call->deadline_ns + LATE_NS_MAX &&
        rw->chaos.paused_until_ms[call->caller] + SWEEP_MS < sim_world_ms(rw->world))
        sim_violation(rw->world, "call %zu ends %" PRIu64 " ms after its deadline", index,
                      (now_ns - call->deadline_ns) / 1000000);
}

static void on_peer_down(struct hr *hr, const struct kith_node_id *id, uint64_t boot_no)
{
    struct rpc_world *rw = rw_of(hr);
    struct sim_node *node = sim_node_by_id(rw->world, id);
    size_t at = 0;
    void *value;

    if (boot_no < sim_node_boot_no(node))
        return; /* it runs again, and calls may have met the new boot before this news came */
    while ((value = map64_next(&rw->by_token, &at)) != NULL) {
        struct rw_call *call = &rw->calls[(uintptr_t)value - 1];

        if (call->caller == sim_node_index(hr->hm.node) &&
            call->caller_boot == sim_node_boot_no(hr->hm.node) && call->to == sim_node_index(node))
            sim_violation(rw->world,
                          "node %zu was declared failed and call %" PRIu64 " to it goes on",
                          call->to, uid_of(rw, call));
    }
}

/* ---- maps: what happens ---- */

static struct rw_map *map_of(struct rpc_world *rw, const struct hr_map *map)
{
    return &rw->maps[(uintptr_t)map->user - 1];
}

static void on_emit(struct hr_map *hr_map, uint64_t index, const struct kith_result *result)
{
    struct rpc_world *rw = rw_of(hr_map->hr);
    struct rw_map *map = map_of(rw, hr_map);

    sim_trace(rw->world, index << 8 | 3);
    map->emitted_n++;
    if (map->finished)
        sim_violation(rw->world, "a map goes on after its end");
    if (result == NULL) {
        if (!map->cancelled && !map->attempts_limited)
            sim_violation(rw->world, "item %" PRIu64 " of a map has no result", index);
    } else if (result->outcome == KITH_OUTCOME_OK) {
        map->ok_n++;
        if (result->len < 8 || get_le64(result->data) != hr_answer(hr_map_input(hr_map, index)))
            sim_violation(rw->world, "item %" PRIu64 " of a map has a wrong result", index);
    } else if (!map->cancelled && !map->attempts_limited) {
        sim_violation(rw->world, "item %" PRIu64 " of a map is given up as %s %s", index,
                      kith_outcome_text(result->outcome), kith_error_name(result->code));
    }
    if (map->seen[index]++ != 0)
        sim_violation(rw->world, "item %" PRIu64 " of a map is handed out twice", index);
    if (map->ordered && !map->cancelled && index != map->next)
        sim_violation(rw->world, "an ordered map hands out item %" PRIu64 " before %" PRIu64, index,
                      map->next);
    map->next = index + 1;
}

static void on_progress(struct hr_map *hr_map, const struct kith_map_progress *progress)
{
    struct rpc_world *rw = rw_of(hr_map->hr);
    struct rw_map *map = map_of(rw, hr_map);
    uint64_t sum =
        progress->pending_n + progress->running_n + progress->done_n + progress->failed_n;
    uint64_t running = 0;
    uint64_t done = 0;

    for (size_t i = 0; i < progress->nodes_n; i++) {
        running += progress->nodes[i].running_n;
        done += progress->nodes[i].done_n;
    }
    if (progress->items_n != map->items_n || (!map->cancelled && sum != map->items_n) ||
        sum > map->items_n || running != progress->running_n || done < progress->done_n)
        sim_violation(rw->world,
                      "a map's counters do not add up: %" PRIu64 " items, %" PRIu64
                      " pending, %" PRIu64 " running (%" PRIu64 " by nodes), %" PRIu64
                      " done (%" PRIu64 " by nodes), %" PRIu64 " failed",
                      progress->items_n, progress->pending_n, progress->running_n, running,
                      progress->done_n, done, progress->failed_n);
    if (map->emitted_n > progress->done_n + progress->failed_n && !map->cancelled)
        sim_violation(rw->world, "a map has handed out more than has ended");
}

static void on_finished(struct hr_map *hr_map)
{
    struct rpc_world *rw = rw_of(hr_map->hr);
    struct rw_map *map = map_of(rw, hr_map);

    if (map->finished)
        sim_violation(rw->world, "a map ends twice");
    map->finished = true;
    sim_note(rw->world, "map on %u ends, %" PRIu64 " of %" PRIu64, map->caller, map->emitted_n,
             map->items_n);
    if (!map->cancelled && map->emitted_n != map->items_n)
        sim_violation(rw->world, "a map of %" PRIu64 " items ends with %" PRIu64, map->items_n,
                      map->emitted_n);
}

/* ---- operations ---- */

static struct hr *random_running(struct rpc_world *rw)
{
    for (unsigned tries = 0; tries < 20; tries++) {
        size_t index = (size_t)rng_below(sim_rng(rw->world), sim_nodes_n(rw->world));

        if (sim_node_running(sim_node_at(rw->world, index)))
            return hr_at(rw->world, index);
    }
    return NULL;
}

static uint32_t random_bytes(struct rng *rng)
{
    switch (rng_below(rng, 16)) {
    case 0:
        return (uint32_t)rng_below(rng, 100000); /* more than one segment */
    case 1:
    case 2:
        return (uint32_t)rng_below(rng, 4096);
    default:
        return (uint32_t)rng_below(rng, 64);
    }
}

static void make_call_with(struct rpc_world *rw, struct hr *hr, struct hr_call_options options);

static void make_call(struct rpc_world *rw, struct hr *hr)
{
    struct rng *rng = sim_rng(rw->world);
    struct hr_call_options options = {.fn = (enum hr_function)rng_below(rng, HR_FUNCTIONS_N),
                                      .to = SIZE_MAX,
                                      .timeout_ms = 1 + rng_below(rng, TIMEOUT_MS_MAX),
                                      .idempotent = rng_below(rng, 8) == 0,
                                      .no_retry = rng_below(rng, 8) == 0,
                                      .cast = rng_below(rng, 16) == 0,
                                      .local_first = rng_below(rng, 8) == 0};

    if (rng_below(rng, 2) == 0)
        options.to = (size_t)rng_below(rng, sim_nodes_n(rw->world));
    options.arg.run_us = (uint32_t)rng_below(rng, 1 + rng_below(rng, RUN_US_MAX));
    options.arg.bytes = random_bytes(rng);
    make_call_with(rw, hr, options);
}

/* Many large results of one server at once: more than it keeps for one caller. */
static void make_burst(struct rpc_world *rw, struct hr *hr)
{
    struct rng *rng = sim_rng(rw->world);
    struct hr_call_options options = {.fn = HR_WORK,
                                      .to = (size_t)rng_below(rng, sim_nodes_n(rw->world)),
                                      .timeout_ms = 20000 + rng_below(rng, 20000)};

    for (unsigned i = 0; i < BURST_CALLS; i++) {
        options.arg.run_us = (uint32_t)rng_below(rng, RUN_US_MAX);
        options.arg.bytes = BURST_BYTES;
        make_call_with(rw, hr, options);
    }
}

static void make_call_with(struct rpc_world *rw, struct hr *hr, struct hr_call_options options)
{
    struct rng *rng = sim_rng(rw->world);
    int code = 0;

    if (rw->calls_n == rw->calls_cap) {
        rw->calls_cap = rw->calls_cap > 0 ? 2 * rw->calls_cap : 1024;
        rw->calls = sim_realloc(rw->calls, rw->calls_cap, sizeof(*rw->calls));
    }
    struct rw_call *call = &rw->calls[rw->calls_n++];
    memset(call, 0, sizeof(*call));
    call->caller = (uint32_t)sim_node_index(hr->hm.node);
    call->caller_boot = sim_node_boot_no(hr->hm.node);
    call->to = options.to;
    call->fn = options.fn;
    call->input = (uint32_t)rng_u64(rng);
    call->idempotent = options.idempotent || options.fn == HR_IDEM || options.fn == HR_INLINE;
    call->cast = options.cast;
    call->deadline_ns = sim_now_ns(hr->hm.node) + options.timeout_ms * 1000000;
    options.arg.uid = rw->calls_n;
    options.arg.input = call->input;
    sim_note(rw->world, "call %zu: '%s' from %u to %zd, %" PRIu64 " ms%s", rw->calls_n,
             hr_function_names[options.fn], call->caller, (ssize_t)options.to, options.timeout_ms,
             options.cast ? ", cast" : "");
    /* The token is the next one; it must be known before the call, which may end inside it. */
    call->token = rw->hr.token + 1;
    call->pending = true;
    size_t index = rw->calls_n;
    if (map64_set(&rw->by_token, call->token, (void *)(uintptr_t)index) < 0)
        abort();
    uint64_t token = hr_call(hr, &options, &code);
    call = &rw->calls[index - 1];
    if (code < 0) { /* refused: nothing will come, nothing may run */
        map64_remove(&rw->by_token, call->token);
        call->pending = false;
        call->ended = true;
        call->outcome = KITH_OUTCOME_NOT_EXECUTED;
        call->code = code;
        if (call->runs_n > 0)
            sim_violation(rw->world, "call %zu was refused and has run", index);
    } else if (token != call->token) {
        sim_violation(rw->world, "call %zu has another token", index);
    }
}

static void cancel_some(struct rpc_world *rw, struct hr *hr)
{
    uint32_t self = (uint32_t)sim_node_index(hr->hm.node);

    /* One of the last few, if it is ours and still goes on. */
    for (size_t i = rw->calls_n; i > 0 && i + 50 > rw->calls_n; i--) {
        struct rw_call *call = &rw->calls[i - 1];

        if (call->pending && call->caller == self &&
            call->caller_boot == sim_node_boot_no(hr->hm.node)) {
            call->cancelled = true;
            sim_note(rw->world, "cancel call %zu", i);
            hr_cancel(hr, call->token);
            if (rw->calls[i - 1].pending)
                sim_violation(rw->world, "call %zu was cancelled and goes on", i);
            return;
        }
    }
}

static void call_tick(struct sim_world *world, void *arg)
{
    struct rpc_world *rw = arg;
    struct hr *hr;

    if (!rw->ops_on)
        return;
    hr = random_running(rw);
    if (hr != NULL) {
        if (rng_below(sim_rng(world), 20) == 0) {
            cancel_some(rw, hr);
        } else if (rng_below(sim_rng(world), 200) == 0) {
            enum hr_function fn = (enum hr_function)rng_below(sim_rng(world), HR_FUNCTIONS_N);

            if (fn != HR_IDEM && (hr->offered >> fn & 1) != 0)
                hr_unexport(hr, fn);
        } else if (rw->bursts && rng_below(sim_rng(world), 200) == 0) {
            make_burst(rw, hr);
        } else {
            make_call(rw, hr);
        }
    }
    sim_at(world,
           sim_world_ms(world) + 1 + rng_below(sim_rng(world), 2 * rw->call_period_us / 1000),
           call_tick, rw);
}

/* Withdraws the function of maps on a node, or offers it again. */
static void toggle_idem(struct hr *hr)
{
    if ((hr->offered >> HR_IDEM & 1) != 0)
        hr_unexport(hr, HR_IDEM);
    else
        hr_export(hr, HR_IDEM);
}

static void map_tick(struct sim_world *world, void *arg)
{
    struct rpc_world *rw = arg;
    struct rng *rng = sim_rng(world);
    struct hr *hr;

    if (!rw->ops_on)
        return;
    hr = random_running(rw);
    if (hr != NULL && rng_below(rng, 5) == 0 && rw->maps_n > 0) { /* give up on one */
        struct rw_map *map = &rw->maps[rng_below(rng, rw->maps_n)];

        if (map->map != NULL && !map->finished && !map->cancelled &&
            sim_node_running(sim_node_at(world, map->caller)) &&
            sim_node_boot_no(sim_node_at(world, map->caller)) == map->caller_boot) {
            map->cancelled = true;
            hr_map_cancel(map->map);
        }
    } else if (hr != NULL && rng_below(rng, 4) == 0) {
        toggle_idem(hr);
    } else if (hr != NULL) {
        struct hr_map_options options = {.items_n = 1 + rng_below(rng, rw->map_items_max),
                                         .ordered = rng_below(rng, 2) == 0,
                                         .attempts_max = rng_below(rng, 4) == 0 ? 3 : 0,
                                         .run_us_max = (uint32_t)rng_below(rng, 2 * RUN_US_MAX),
                                         .item_timeout_ms = rng_below(rng, 2) == 0 ? 5000 : 0};

        if (rw->maps_n == rw->maps_cap) {
            rw->maps_cap = rw->maps_cap > 0 ? 2 * rw->maps_cap : 16;
            rw->maps = sim_realloc(rw->maps, rw->maps_cap, sizeof(*rw->maps));
        }
        struct rw_map *map = &rw->maps[rw->maps_n++];
        memset(map, 0, sizeof(*map));
        map->caller = (uint32_t)sim_node_index(hr->hm.node);
        map->caller_boot = sim_node_boot_no(hr->hm.node);
        map->items_n = options.items_n;
        map->ordered = options.ordered;
        map->attempts_limited = options.attempts_max != 0;
        map->seen = sim_realloc(NULL, map->items_n, 1);
        memset(map->seen, 0, map->items_n);
        options.user = (void *)(uintptr_t)rw->maps_n;
        size_t index = rw->maps_n - 1;
        sim_note(world, "map %zu on %u: %" PRIu64 " items", index, map->caller, map->items_n);
        struct hr_map *started = hr_map_start(hr, &options);
        rw->maps[index].map = started;
    }
    sim_at(world, sim_world_ms(world) + 1 + rng_below(rng, 2 * rw->map_period_ms), map_tick, rw);
}

/* Callers that are gone wait for nothing; what others wait for must end in time. */
static size_t sweep(struct rpc_world *rw, size_t *which_out)
{
    size_t pending = 0;
    size_t at = 0;
    void *value;

    while ((value = map64_next(&rw->by_token, &at)) != NULL) {
        struct rw_call *call = &rw->calls[(uintptr_t)value - 1];
        struct sim_node *node = sim_node_at(rw->world, call->caller);

        if (!sim_node_up(node) || sim_node_boot_no(node) != call->caller_boot) {
            call->pending = false;
            continue;
        }
        pending++;
        *which_out = (size_t)(uintptr_t)value;
        if (!sim_node_paused(node) &&
            sim_now_ns(node) > call->deadline_ns + LATE_NS_MAX + SWEEP_MS * 1000000 &&
            rw->chaos.paused_until_ms[call->caller] + SWEEP_MS < sim_world_ms(rw->world))
            sim_violation(rw->world,
                          "call %" PRIu64 " hangs: its deadline has passed %" PRIu64 " ms ago",
                          uid_of(rw, call), (sim_now_ns(node) - call->deadline_ns) / 1000000);
    }
    /* Drop those of nodes that are gone, now that nothing iterates. */
    for (size_t i = rw->calls_n; i > 0 && i + 65536 > rw->calls_n; i--) {
        if (!rw->calls[i - 1].pending && !rw->calls[i - 1].ended)
            map64_remove(&rw->by_token, rw->calls[i - 1].token);
    }
    for (size_t i = 0; i < rw->maps_n; i++) {
        struct rw_map *map = &rw->maps[i];
        struct sim_node *node = sim_node_at(rw->world, map->caller);

        if (map->map != NULL && (!sim_node_up(node) || sim_node_boot_no(node) != map->caller_boot))
            map->map = NULL;
        if (map->map != NULL && !map->finished)
            pending++;
    }
    return pending;
}

static void sweep_tick(struct sim_world *world, void *arg)
{
    size_t which = 0;

    sweep(arg, &which);
    sim_at(world, sim_world_ms(world) + SWEEP_MS, sweep_tick, arg);
}

/* ---- the world ---- */

void rw_init(struct rpc_world *rw, struct scn *scn, uint64_t seed, size_t nodes_n, uint32_t classes)
{
    memset(rw, 0, sizeof(*rw));
    rw->scn = scn;
    rw->hr.hm.config.profile = scn->options.profile;
    rw->hr.hm.config.lifeguard_off = scn->options.lifeguard_off;
    rw->hr.hm.seeds_n = nodes_n < 3 ? 1 : 3;
    rw->hr.observer = (struct hr_observer){.run = on_run,
                                           .complete = on_complete,
                                           .peer_down = on_peer_down,
                                           .emit = on_emit,
                                           .progress = on_progress,
                                           .finished = on_finished};
    rw->world = sim_new(&(struct sim_config){
        .seed = seed,
        .nodes_n = nodes_n,
        .faults = {.clock_rate_spread = (classes & CHAOS_CLOCK) != 0 ? 0.1 : 0},
        .host = &hr_host,
        .user = rw,
        .datagram_seal_bytes = CHANNEL_SEAL_BYTES});
    sim_set_log(rw->world, scn->options.log);
    hm_world_init(&rw->hr.hm, rw->world);
    chaos_init(&rw->chaos, rw->world, classes);
    rw->chaos.up_min = 1;
    rw->call_period_us = 20000;
    rw->map_period_ms = 10000;
    rw->map_items_max = 200;
}

void rw_deinit(struct rpc_world *rw)
{
    static const char *const names[] = {NULL, "calls_ok", "calls_app_error", "calls_not_executed",
                                        "calls_unknown"};

    scn_take(rw->scn, rw->world);
    for (unsigned i = 1; i < 5; i++)
        scn_count(rw->scn, names[i], rw->outcomes[i]);
    scn_count(rw->scn, "functions_run", (double)rw->runs_n);
    size_t finished = 0;
    for (size_t i = 0; i < rw->maps_n; i++) {
        finished += rw->maps[i].finished;
        free(rw->maps[i].seen);
    }
    scn_count(rw->scn, "maps_finished", (double)finished);
    for (size_t i = 0; i < sim_nodes_n(rw->world); i++)
        sim_power_off(rw->world, i);
    hm_world_deinit(&rw->hr.hm, rw->world);
    chaos_deinit(&rw->chaos);
    sim_free(rw->world);
    map64_deinit(&rw->by_token);
    free(rw->calls);
    free(rw->maps);
}

static bool check(struct sim_world *world)
{
    struct sim_node *node = sim_touched(world);
    struct hr *hr = node != NULL ? sim_node_state(node) : NULL;

    if (hr != NULL)
        hr_check(hr);
    return true;
}

static bool (*check_of(const struct rpc_world *rw))(struct sim_world *world)
{
    return rw->scn->options.check ? check : NULL;
}

bool rw_run_for(struct rpc_world *rw, uint64_t ms)
{
    return sim_run(rw->world, sim_world_ms(rw->world) + ms, check_of(rw));
}

bool rw_form(struct rpc_world *rw)
{
    char text[512];

    if (hm_form(rw->world, 2000, 120000, check_of(rw)))
        return true;
    if (sim_violation_text(rw->world) == NULL) {
        hm_explain(rw->world, text, sizeof(text));
        scn_fail(rw->scn, "no cluster after 120 s: %s", text);
    }
    return false;
}

void rw_start(struct rpc_world *rw)
{
    struct sim_faults faults = chaos_faults(rw->chaos.classes, sim_rng(rw->world));

    sim_set_faults(rw->world, &faults);
    if ((rw->chaos.classes & CHAOS_BUSY) != 0)
        rw->hr.refuse_sends = sim_chance_of(0.02);
    rw->ops_on = true;
    sweep_tick(rw->world, rw);
    if (rw->call_period_us > 0)
        call_tick(rw->world, rw);
    if (rw->map_period_ms > 0)
        map_tick(rw->world, rw);
    chaos_start(&rw->chaos);
}

void rw_stop(struct rpc_world *rw)
{
    rw->ops_on = false;
    rw->hr.refuse_sends = 0;
    chaos_stop(&rw->chaos);
    for (size_t i = 0; i < sim_nodes_n(rw->world); i++) {
        struct hr *hr = hr_at(rw->world, i);

        if (hr != NULL && (hr->offered >> HR_IDEM & 1) == 0)
            hr_export(hr, HR_IDEM); /* or a map might rightly wait for ever */
    }
    sim_note(rw->world, "faults are off");
}

bool rw_settles_within(struct rpc_world *rw, uint64_t limit_ms)
{
    uint64_t start_ms = sim_world_ms(rw->world);
    size_t which = 0;
    char text[512];

    for (;;) {
        size_t pending = sweep(rw, &which);
        bool agree = hm_agree(rw->world);

        if (agree && pending == 0)
            break;
        if (sim_world_ms(rw->world) - start_ms >= limit_ms) {
            hm_explain(rw->world, text, sizeof(text));
            scn_fail(
                rw->scn,
                "%" PRIu64
                " ms after the faults %zu operations are pending (call %zu) and the nodes %s %s",
                limit_ms, pending, which, agree ? "agree" : "do not agree:", text);
            return false;
        }
        if (!rw_run_for(rw, 100))
            return false;
    }
    scn_sample(rw->scn, "settled_after_ms", "ms", (double)(sim_world_ms(rw->world) - start_ms));
    return true;
}
