/*
 * Joins the cores of membership, calls and maps as src/node does: what one core says to another
 * goes through a queue, so that no core is ever stepped from inside another one's output.
 */
#include "host_rpc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host_rpc_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

#define SCRATCH_BYTES   ((size_t)256 * 1024)
#define WORKERS         4
#define ABORTED_ENDS_NS 2000000 /* a function that is told to stop does so within 2 ms */

const char *const hr_function_names[HR_FUNCTIONS_N] = {
    [HR_WORK] = "work", [HR_IDEM] = "idem", [HR_INLINE] = "inline",
    [HR_FAIL] = "fail", [HR_ONE] = "one",
};

struct hr_run {
    struct heap_node at;
    struct rpc_serve *serve;
    struct hr_arg arg;
    enum hr_function fn;
};

uint64_t hr_answer(uint32_t input)
{
    return (input + UINT64_C(0x632be59bd9b4e019)) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct hr_arg get_arg(const uint8_t *data)
{
    return (struct hr_arg){.uid = get_le64(data),
                           .run_us = get_le32(data + 8),
                           .input = get_le32(data + 12),
                           .bytes = get_le32(data + 16)};
}

struct hr_todo *hr_todo_add(struct hr *hr, enum hr_todo_type type)
{
    struct hr_todo *todo = pump_add(&hr->todo, sizeof(*todo));

    todo->type = type;
    return todo;
}

/* ---- membership speaks ---- */

static void on_member_action(struct hm *hm, const struct member_action *action)
{
    struct hr *hr = (struct hr *)(void *)hm;
    const struct member *member = action->member;
    struct kith_node_id self = sim_node_id(hm->node);
    bool changed = action->type == MEMBER_CHANGED;
    struct hr_todo *todo;

    if ((!changed && action->type != MEMBER_FACTS_CHANGED) ||
        kith_node_id_equal(&member->id, &self))
        return;
    if (changed && (action->change == MEMBER_SUSPECT || action->change == MEMBER_REFUTED))
        return;
    todo = hr_todo_add(hr, HR_TELL);
    todo->id = member->id;
    todo->boot_no = member->boot_no;
    todo->version = member->facts.registry_version;
    todo->event = !changed                          ? RPC_PEER_REGISTRY
                  : action->change == MEMBER_JOINED ? RPC_PEER_UP
                                                    : RPC_PEER_DOWN;
    todo->left = changed && action->change == MEMBER_LEFT;
    snprintf(todo->name, sizeof(todo->name), "%s", member->shown_name);
}

static void note_down(struct hr *hr, const struct hr_todo *todo)
{
    if (hr->downs_n == hr->downs_cap) {
        hr->downs_cap = hr->downs_cap > 0 ? 2 * hr->downs_cap : 8;
        hr->downs = sim_realloc(hr->downs, hr->downs_cap, sizeof(*hr->downs));
    }
    hr->downs[hr->downs_n++] = (struct hr_down){.id = todo->id, .boot_no = todo->boot_no};
}

static void tell_rpc(struct hr *hr, const struct hr_todo *todo)
{
    struct rpc_event event = {.type = todo->event};
    struct rpc_output out;

    if (todo->event == RPC_PEER_REGISTRY) {
        event.u.registry.id = todo->id;
        event.u.registry.boot_no = todo->boot_no;
        event.u.registry.version = todo->version;
        hr_rpc_do(hr, &event, &out);
        return;
    }
    event.u.peer.id = todo->id;
    event.u.peer.boot_no = todo->boot_no;
    event.u.peer.name = todo->name;
    event.u.peer.left = todo->left;
    hr_rpc_do(hr, &event, &out);
    hr->functions_changed = true;
    if (todo->event == RPC_PEER_DOWN)
        note_down(hr, todo);
}

/* ---- functions ---- */

static enum hr_function function_of(const struct rpc_serve *serve)
{
    const char *name = rpc_export_desc(rpc_serve_export(serve))->name;

    for (unsigned i = 0; i < HR_FUNCTIONS_N; i++) {
        if (strcmp(name, hr_function_names[i]) == 0)
            return (enum hr_function)i;
    }
    assert(false);
    return HR_WORK;
}

static void start_run(struct hr *hr, struct rpc_serve *serve)
{
    struct hr_run *run = sim_realloc(NULL, 1, sizeof(*run));
    struct kith_bytes arg = rpc_serve_arg(serve);

    memset(run, 0, sizeof(*run));
    run->serve = serve;
    run->fn = function_of(serve);
    if (arg.len < HR_ARG_BYTES) {
        sim_violation(hr_world_of(hr), "a function was given %zu bytes, not what was sent",
                      arg.len);
        free(run);
        return;
    }
    run->arg = get_arg(arg.data);
    rpc_serve_set_user(serve, run);
    sim_op(hr_world_of(hr));
    if (hr->hw->observer.run != NULL)
        hr->hw->observer.run(hr, &run->arg);
    uint64_t run_ns = run->fn == HR_INLINE ? 0 : run->arg.run_us * UINT64_C(1000);
    if (heap_set(&hr->runs, &run->at, hr_now_ns(hr) + run_ns) < 0)
        abort();
}

static void abort_run(struct hr *hr, struct rpc_serve *serve)
{
    struct hr_run *run = rpc_serve_user(serve);

    if (run == NULL || !heap_contains(&run->at))
        return;
    /* Every other one does not listen. */
    if (run->arg.input % 2 == 0 && run->at.key > hr_now_ns(hr) + ABORTED_ENDS_NS &&
        heap_set(&hr->runs, &run->at, hr_now_ns(hr) + ABORTED_ENDS_NS) < 0)
        abort();
}

static void end_run(struct hr *hr, struct hr_run *run)
{
    struct rpc_event event = {.type = RPC_PARTIAL_OUT};
    struct rpc_output out;
    size_t len = 8 + run->arg.bytes;

    assert(len <= SCRATCH_BYTES);
    heap_remove(&hr->runs, &run->at);
    put_le64(hr->scratch, hr_answer(run->arg.input));
    memset(hr->scratch + 8, (int)(run->arg.input & 0xff), run->arg.bytes);
    if (run->arg.input % 8 == 1) {
        event.u.partial.serve = run->serve;
        event.u.partial.data = (struct kith_bytes){.data = hr->scratch, .len = 8};
        hr_rpc_do(hr, &event, &out);
    }
    event = (struct rpc_event){.type = RPC_DONE};
    event.u.done.serve = run->serve;
    event.u.done.outcome = run->fn == HR_FAIL ? KITH_OUTCOME_APP_ERROR : KITH_OUTCOME_OK;
    event.u.done.code = run->fn == HR_FAIL ? (int)(1 + run->arg.input % 100) : 0;
    event.u.done.reply = (struct kith_bytes){.data = hr->scratch, .len = len};
    if (run->arg.input % 4 == 2) { /* a reply that is given away */
        event.u.done.reply_owned = malloc(len);
        if (event.u.done.reply_owned == NULL)
            abort();
        memcpy(event.u.done.reply_owned, hr->scratch, len);
        event.u.done.reply.data = event.u.done.reply_owned;
    }
    free(run);
    hr_rpc_do(hr, &event, &out);
}

static int unused_fn(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    (void)ctx;
    (void)arg;
    (void)arg_len;
    (void)user;
    return 0; /* the host runs functions by itself */
}

static void export_one(struct hr *hr, enum hr_function fn)
{
    struct kith_export desc = {.name = hr_function_names[fn],
                               .version = "1",
                               .description = "of the simulator",
                               .fn = unused_fn};
    struct rpc_event event = {.type = RPC_EXPORT};
    struct rpc_output out;

    if (fn == HR_IDEM)
        desc.flags = KITH_FN_IDEMPOTENT;
    if (fn == HR_INLINE)
        desc.flags = KITH_FN_INLINE | KITH_FN_IDEMPOTENT;
    if (fn == HR_ONE) {
        desc.parallel = 1;
        desc.queue_max = 4;
    }
    event.u.export_fn.desc = &desc;
    hr_rpc_do(hr, &event, &out);
    if (out.code < 0)
        sim_violation(hr_world_of(hr), "export of '%s' gives %d", desc.name, out.code);
    hr->offered |= 1u << fn;
    hr->functions_changed = true;
}

void hr_export(struct hr *hr, enum hr_function fn)
{
    export_one(hr, fn);
    hr_pump(hr);
}

void hr_unexport(struct hr *hr, enum hr_function fn)
{
    struct rpc_event event = {.type = RPC_UNEXPORT};
    struct rpc_output out;

    event.u.name = hr_function_names[fn];
    hr_rpc_do(hr, &event, &out);
    hr->offered &= ~(1u << fn);
    hr->functions_changed = true;
    hr_pump(hr);
}

/* ---- the rpc core speaks ---- */

static void send_action(struct hr *hr, const struct rpc_action *action)
{
    if (action->net_class == NET_RPC &&
        sim_chance(sim_rng(hr_world_of(hr)), hr->hw->refuse_sends)) {
        sim_note(hr_world_of(hr), "refused: a frame of type %u of %zu", action->frame_type,
                 sim_node_index(hr->hm.node));
        rpc_send_failed(hr->rpc, action, KITH_E_BUSY);
    } else
        sim_send_frame(hr->hm.node, &action->to, action->net_class, action->frame_type,
                       action->head.data, action->head.len, action->body.data, action->body.len);
    if (action->release != NULL)
        rpc_body_release(hr->rpc, action->release);
}

void hr_rpc_do(struct hr *hr, struct rpc_event *event, struct rpc_output *out)
{
    memset(out, 0, sizeof(*out));
    event->now_ns = hr_now_ns(hr);
    int r = rpc_step(hr->rpc, event, out);
    if (r < 0)
        sim_violation(hr_world_of(hr), "node %zu: rpc_step of event %d gives %d",
                      sim_node_index(hr->hm.node), (int)event->type, r);
    for (size_t i = 0; i < out->actions_n; i++) {
        const struct rpc_action *action = &out->actions[i];
        struct hr_item_call *call;

        switch (action->type) {
        case RPC_SEND:
            send_action(hr, action);
            break;
        case RPC_RUN:
            start_run(hr, action->serve);
            break;
        case RPC_ABORT:
            abort_run(hr, action->serve);
            break;
        case RPC_COMPLETE:
            call = map64_find(&hr->items, action->token);
            if (call != NULL)
                hr_map_item_done(hr, call, action->result);
            else if (hr->hw->observer.complete != NULL)
                hr->hw->observer.complete(hr, action->token, action->result);
            break;
        case RPC_REGISTRY_CHANGED:
            hr_todo_add(hr, HR_REGISTRY)->version = out->registry_version;
            break;
        case RPC_FUNCTIONS_CHANGED:
            hr->functions_changed = true;
            break;
        case RPC_CONNECT:
            sim_connect(hr->hm.node, rpc_peer_id(action->peer), NET_RPC);
            if (sim_link_is_up(hr->hm.node, rpc_peer_id(action->peer), NET_RPC))
                rpc_connect_told(hr->rpc, action, 0, 0); /* open already */
            break;
        case RPC_PARTIAL_IN:
        case RPC_COMPLETION:
        case RPC_EXPORT_GONE:
            break;
        }
    }
}

static void do_todo(struct hr *hr, const struct hr_todo *todo)
{
    switch (todo->type) {
    case HR_TELL:
        tell_rpc(hr, todo);
        break;
    case HR_REGISTRY:
        hm_set_registry_version(&hr->hm, todo->version);
        break;
    case HR_DISPATCH:
        hr_map_dispatch(hr, todo);
        break;
    case HR_ABORT:
        hr_map_abort(hr, todo);
        break;
    }
}

static uint64_t maps_deadline_ms(const struct hr *hr)
{
    uint64_t deadline = UINT64_MAX;

    list_for_each (it, &hr->maps) {
        struct hr_map *map = container_of(it, struct hr_map, link);

        if (!map->finished && map_deadline_ms(map->core) < deadline)
            deadline = map_deadline_ms(map->core);
    }
    return deadline;
}

/* One thing that is due. False if there is none. */
static bool pump_one(void *host)
{
    struct hr *hr = host;
    struct heap_node *first = heap_first(&hr->runs);
    uint64_t ms = hr_now_ns(hr) / 1000000;
    struct rpc_output out;
    struct hr_todo todo;

    if (pump_take(&hr->todo, sizeof(todo), &todo)) {
        do_todo(hr, &todo);
        return true;
    }
    if (first != NULL && first->key <= hr_now_ns(hr)) {
        end_run(hr, container_of(first, struct hr_run, at));
        return true;
    }
    if (rpc_deadline_ms(hr->rpc) <= ms) {
        hr_rpc_do(hr, &(struct rpc_event){.type = RPC_TICK}, &out);
        return true;
    }
    if (hr->functions_changed) {
        hr->functions_changed = false;
        list_for_each (it, &hr->maps) {
            struct hr_map *map = container_of(it, struct hr_map, link);

            if (!map->finished)
                hr_map_refresh(map);
        }
        return true;
    }
    if (maps_deadline_ms(hr) <= ms) {
        list_for_each (it, &hr->maps) {
            struct hr_map *map = container_of(it, struct hr_map, link);

            if (!map->finished && map_deadline_ms(map->core) <= ms)
                hr_map_step(map, &(struct map_event){.type = MAP_TICK}, NULL);
        }
        return true;
    }
    return false;
}

/* Everything that follows, then the timer. */
void hr_pump(struct hr *hr)
{
    struct heap_node *first;
    uint64_t at_ns = UINT64_MAX;
    uint64_t ms[3];

    pump_run(hr->hm.node, pump_one, hr);
    for (size_t i = 0; i < hr->downs_n; i++) {
        if (hr->hw->observer.peer_down != NULL)
            hr->hw->observer.peer_down(hr, &hr->downs[i].id, hr->downs[i].boot_no);
    }
    hr->downs_n = 0;
    ms[0] = member_deadline_ms(hr->hm.core);
    ms[1] = rpc_deadline_ms(hr->rpc);
    ms[2] = maps_deadline_ms(hr);
    for (size_t i = 0; i < 3; i++) {
        if (ms[i] < UINT64_MAX / 1000000 && ms[i] * 1000000 < at_ns)
            at_ns = ms[i] * 1000000;
    }
    first = heap_first(&hr->runs);
    if (first != NULL && first->key < at_ns)
        at_ns = first->key;
    sim_set_timer_ns(hr->hm.node, at_ns);
}

/* ---- what scenarios ask ---- */

struct hr *hr_at(struct sim_world *world, size_t index)
{
    return sim_node_state(sim_node_at(world, index));
}

uint64_t hr_call(struct hr *hr, const struct hr_call_options *options, int *code_out)
{
    struct rpc_event event = {.type = RPC_CALL};
    struct rpc_output out;
    uint64_t token = ++hr->hw->token;
    size_t len = HR_ARG_BYTES + options->arg.bytes;

    assert(len <= SCRATCH_BYTES);
    hr_put_arg(hr->scratch, &options->arg);
    memset(hr->scratch + HR_ARG_BYTES, 0x5a, options->arg.bytes);
    event.u.call.token = token;
    event.u.call.fn = hr_function_names[options->fn];
    event.u.call.arg = (struct kith_bytes){.data = hr->scratch, .len = len};
    event.u.call.timeout_ms = options->timeout_ms;
    event.u.call.idempotent = options->idempotent;
    event.u.call.no_retry = options->no_retry;
    event.u.call.cast = options->cast;
    event.u.call.partials = options->arg.input % 8 == 1;
    event.u.call.select = options->local_first ? KITH_SELECT_LOCAL_FIRST : KITH_SELECT_LEAST_LOADED;
    if (options->to != SIZE_MAX) {
        event.u.call.to_node = true;
        event.u.call.node = sim_node_id(sim_node_at(hr_world_of(hr), options->to));
    }
    sim_op(hr_world_of(hr));
    hr_rpc_do(hr, &event, &out);
    if (code_out != NULL)
        *code_out = out.code;
    hr_pump(hr);
    return out.code < 0 ? 0 : token;
}

void hr_cancel(struct hr *hr, uint64_t token)
{
    struct rpc_event event = {.type = RPC_CANCEL};
    struct rpc_output out;

    event.u.token = token;
    hr_rpc_do(hr, &event, &out);
    hr_pump(hr);
}

void hr_check(struct hr *hr)
{
    member_check(hr->hm.core);
    rpc_check(hr->rpc);
    list_for_each (it, &hr->maps) {
        map_check(container_of(it, struct hr_map, link)->core);
    }
}

/* ---- the host ---- */

static void *host_boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct hr_world *hw = sim_user(world);
    struct hr *hr = sim_realloc(NULL, 1, sizeof(*hr));
    struct rpc_config config = hw->config;

    memset(hr, 0, sizeof(*hr));
    hr->hw = hw;
    list_init(&hr->maps);
    hr->hm.on_action = on_member_action;
    config.self = sim_node_id(node);
    config.boot_no = boot_no;
    config.seed = sim_node_seed(node);
    config.workers = config.workers != 0 ? config.workers : WORKERS;
    config.link_events = true;
    if (hm_init(&hr->hm, world, node, boot_no) < 0 || rpc_new(&hr->rpc, &config) < 0)
        abort();
    hr->scratch = sim_realloc(NULL, 1, SCRATCH_BYTES);
    hm_begin(&hr->hm);
    for (unsigned i = 0; i < HR_FUNCTIONS_N; i++) {
        if (hw->functions == 0 || (hw->functions >> i & 1) != 0)
            export_one(hr, (enum hr_function)i);
    }
    hr_pump(hr);
    return hr;
}

static void host_crash(void *state)
{
    struct hr *hr = state;
    struct heap_node *node;
    void *item;
    size_t at = 0;

    list_for_each_safe (it, &hr->maps) {
        struct hr_map *map = container_of(it, struct hr_map, link);

        map_free(map->core);
        free(map->items);
        free(map->nodes);
        free(map);
    }
    while ((node = heap_first(&hr->runs)) != NULL) {
        heap_remove(&hr->runs, node);
        free(container_of(node, struct hr_run, at));
    }
    heap_deinit(&hr->runs);
    while ((item = map64_next(&hr->items, &at)) != NULL)
        free(item);
    map64_deinit(&hr->items);
    rpc_free(hr->rpc);
    hm_deinit(&hr->hm);
    free(hr->todo.items);
    free(hr->downs);
    free(hr->scratch);
    free(hr);
}

static void host_datagram(
    void *state, const struct kith_node_id *from, uint64_t boot_no, const uint8_t *data, size_t len)
{
    hm_datagram(state, from, boot_no, data, len);
    hr_pump(state);
}

static void host_frame(void *state,
                       const struct kith_node_id *from,
                       uint64_t boot_no,
                       uint8_t net_class,
                       uint8_t type,
                       const uint8_t *data,
                       size_t len)
{
    struct hr *hr = state;
    struct rpc_event event = {.type = RPC_FRAME};
    struct rpc_output out;

    if (net_class == NET_CONTROL && type <= FRAME_MEMBER_LAST) {
        hm_frame(&hr->hm, from, boot_no, type, data, len);
    } else {
        event.u.frame.from = *from;
        event.u.frame.boot_no = boot_no;
        event.u.frame.type = type;
        event.u.frame.body = data;
        event.u.frame.len = len;
        hr_rpc_do(hr, &event, &out);
    }
    hr_pump(hr);
}

static void link_event(struct hr *hr,
                       enum rpc_event_type type,
                       const struct kith_node_id *peer,
                       uint64_t boot_no)
{
    struct rpc_event event = {.type = type};
    struct rpc_output out;

    event.u.peer.id = *peer;
    event.u.peer.boot_no = boot_no;
    hr_rpc_do(hr, &event, &out);
}

static void
host_link_up(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class)
{
    struct hr *hr = state;

    if (net_class == NET_CONTROL)
        hm_link_up(&hr->hm, peer, boot_no);
    else if (net_class == NET_RPC)
        link_event(hr, RPC_LINK_UP, peer, boot_no);
    hr_pump(hr);
}

static void host_link_down(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct hr *hr = state;

    if (net_class == NET_CONTROL)
        hm_link_down(&hr->hm, peer);
    else if (net_class == NET_RPC)
        link_event(hr, RPC_LINK_DOWN, peer, 0);
    hr_pump(hr);
}

static void host_unreachable(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct hr *hr = state;

    if (net_class == NET_RPC)
        link_event(hr, RPC_UNREACHABLE, peer, 0);
    hr_pump(hr);
}

static void host_dial_failed(void *state, const char *address)
{
    struct hr *hr = state;

    hm_dial_failed(&hr->hm, address);
    hr_pump(hr);
}

static void host_timer(void *state)
{
    struct hr *hr = state;

    hm_tick(&hr->hm);
    hr_pump(hr);
}

const struct sim_host hr_host = {
    .boot = host_boot,
    .crash = host_crash,
    .datagram = host_datagram,
    .frame = host_frame,
    .link_up = host_link_up,
    .link_down = host_link_down,
    .unreachable = host_unreachable,
    .dial_failed = host_dial_failed,
    .timer = host_timer,
};
