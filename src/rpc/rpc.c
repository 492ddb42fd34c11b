/*
 * The step: an event goes to the file that knows it, and what came of it goes out as actions.
 */
#include "rpc/rpc.h"

#include <string.h>

#include "core/alloc.h"
#include "net/frame.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/export.h"
#include "rpc/peer.h"
#include "rpc/registry.h"
#include "rpc/serve.h"
#include "rpc/session.h"
#include "rpc/watch.h"

#define REGISTRY_PUSH_NODES_MAX 64

static void set_defaults(struct rpc_config *config)
{
    if (config->body_bytes_max == 0)
        config->body_bytes_max = RPC_BODY_BYTES_MAX;
    if (config->queue_node_max == 0)
        config->queue_node_max = RPC_QUEUE_NODE_MAX;
    if (config->workers == 0)
        config->workers = 1;
    if (config->calls_pending_max == 0)
        config->calls_pending_max = RPC_CALLS_PENDING_MAX;
    if (config->registry_push_max == 0)
        config->registry_push_max = REGISTRY_PUSH_NODES_MAX;
}

int rpc_new(struct rpc_core **core_out, const struct rpc_config *config)
{
    struct rpc_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    set_defaults(&core->config);
    rng_init(&core->rng, config->seed);
    list_init(&core->reap);
    list_init(&core->refill);
    list_init(&core->export_list);
    list_init(&core->withdrawn);
    core->version = 1;
    core->pushed_version = 1;
    core->soonest_ms = UINT64_MAX;
    core->push_timer.kind = TIMER_PUSH;
    core->counters_timer.kind = TIMER_COUNTERS;
    core->unsent_timer.kind = TIMER_UNSENT;
    core->watches_timer.kind = TIMER_WATCHES;
    core->reports_timer.kind = TIMER_REPORTS;
    serves_init(core);
    core->actions = core_calloc(ACTIONS_RESERVED, sizeof(*core->actions));
    core->actions_cap = ACTIONS_RESERVED;
    if (calls_init(core) != 0 || core->actions == NULL) {
        rpc_free(core);
        return KITH_E_MEMORY;
    }
    *core_out = core;
    return 0;
}

void rpc_free(struct rpc_core *core)
{
    if (core == NULL)
        return;
    struct rpc_output out = {0};
    core->out = &out;
    sessions_settle_sent(core);
    calls_deinit(core);
    peers_deinit(core);
    serves_deinit(core);
    exports_deinit(core);
    fns_deinit(core);
    signatures_deinit(core);
    for (size_t i = 0; i < core->removed_n; i++)
        core_free(core->removed[i].name);
    pool_deinit(&core->blocks);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core->owed);
    core_free(core);
}

/* ---- frames ---- */

static int on_frame(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = event->u.frame.peer;
    if (peer == NULL)
        peer = peer_get(core, &event->u.frame.from);
    if (peer == NULL)
        return KITH_E_MEMORY;
    /* A frame of an earlier boot is too late for anything. */
    if (event->u.frame.boot_no != peer->boot_no && !peer_boot(core, peer, event->u.frame.boot_no))
        return 0;
    const uint8_t *body = event->u.frame.body;
    size_t len = event->u.frame.len;
    int r = KITH_E_CORRUPT;
    switch (event->u.frame.type) {
    case FRAME_CALL:
        r = session_on_call(core, peer, event);
        break;
    case FRAME_RESULT:
        r = calls_on_result(core, peer, body, len);
        break;
    case FRAME_CALL_ACK:
        r = calls_on_ack(core, peer, body, len);
        break;
    case FRAME_CANCEL:
        r = session_on_cancel(core, peer, body, len);
        break;
    case FRAME_PARTIAL:
        r = calls_on_partial(core, peer, body, len);
        break;
    case FRAME_REGISTRY:
        r = registry_on_update(core, peer, body, len);
        break;
    case FRAME_REGISTRY_PULL:
        r = registry_on_pull(core, peer, body, len);
        break;
    case FRAME_WATCH:
        r = watch_on_watch(core, peer, body, len);
        break;
    case FRAME_COMPLETIONS:
        r = watch_on_completions(core, peer, body, len);
        break;
    default:
        break;
    }
    if (r == KITH_E_CORRUPT)
        core->stats.bad_frames++;
    if (!peer->up)
        peer_release(core, peer);
    return r;
}

static void on_peer_registry(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_peer *peer = mapid_find(&core->peers_by_id, &event->u.registry.id);
    if (peer != NULL && peer->up && peer->boot_no == event->u.registry.boot_no)
        registry_heard(core, peer, event->u.registry.version);
}

/* ---- time ---- */

static void fire(struct rpc_core *core, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_CALL:
        calls_on_timer(core, container_of(timer, struct call, timer));
        break;
    case TIMER_SERVE:
        serve_on_timer(core, container_of(timer, struct rpc_serve, timer));
        break;
    case TIMER_CONNECT:
        peer_on_connect_timer(core, container_of(timer, struct rpc_peer, connect_timer));
        break;
    case TIMER_PULL:
        registry_on_pull_timer(core, container_of(timer, struct rpc_peer, registry.pull_timer));
        break;
    case TIMER_PUSH:
        registry_push(core);
        break;
    case TIMER_COUNTERS:
        registry_tell_counters(core);
        break;
    case TIMER_UNSENT:
        sessions_send_unsent(core);
        break;
    case TIMER_WATCHES:
        watches_on_timer(core);
        break;
    case TIMER_REPORTS:
        reports_send(core);
        break;
    }
}

static struct timer *timer_of(struct list *link)
{
    return container_of(container_of(link, struct wheel_timer, link), struct timer, wheel);
}

static void on_tick(struct rpc_core *core)
{
    struct list expired;
    list_init(&expired);
    core->soonest_ms = UINT64_MAX;
    wheel_advance(&core->wheel, core->now_ms, &expired);
    list_for_each (node, &expired) {
        struct timer *timer = timer_of(node);
        timer->set = false;
        timer->due = true;
    }
    struct list *node;
    while ((node = list_first(&expired)) != NULL) {
        struct timer *timer = timer_of(node);
        list_remove(node);
        timer->due = false;
        fire(core, timer);
    }
    sessions_age(core);
    calls_resume(core);
    exports_resume(core);
}

bool rpc_due_before(const struct rpc_core *core, uint64_t armed_ms)
{
    return armed_ms == UINT64_MAX || core->again || core->soonest_ms < armed_ms ||
           sessions_age_deadline_ms(core) < armed_ms;
}

uint32_t rpc_calls_pending(const struct rpc_core *core)
{
    return (uint32_t)core->calls_n;
}

uint64_t rpc_deadline_ms(const struct rpc_core *core)
{
    if (core->again)
        return 0;
    uint64_t wheel_ms = core->wheel_ready ? wheel_deadline_ms(&core->wheel) : UINT64_MAX;
    uint64_t kept_ms = sessions_age_deadline_ms(core);
    return kept_ms < wheel_ms ? kept_ms : wheel_ms;
}

/* ---- the step ---- */

static int dispatch(struct rpc_core *core, const struct rpc_event *event)
{
    switch (event->type) {
    case RPC_TICK:
        on_tick(core);
        return 0;
    case RPC_CALL:
        core->out->code = calls_on_call(core, &event->u.call);
        return 0;
    case RPC_CANCEL:
        calls_on_cancel(core, event->u.token);
        return 0;
    case RPC_FRAME:
        return on_frame(core, event);
    case RPC_DONE:
        serve_on_done(core, event);
        return 0;
    case RPC_PARTIAL_OUT:
        serve_on_partial(core, event->u.partial.serve, event->u.partial.data);
        return 0;
    case RPC_PEER_UP:
        peer_on_up(core, event);
        return core->out->code;
    case RPC_PEER_DOWN:
        peer_on_down(core, event);
        return 0;
    case RPC_LINK_UP:
        peer_on_link_up(core, event);
        return 0;
    case RPC_LINK_DOWN:
        peer_on_link_down(core, event);
        return 0;
    case RPC_UNREACHABLE:
        peer_on_unreachable(core, event);
        return 0;
    case RPC_PEER_LOAD:
        peer_on_load(core, event);
        return 0;
    case RPC_PEER_REGISTRY:
        on_peer_registry(core, event);
        return 0;
    case RPC_DRAIN:
        peer_on_drain(core, event);
        return 0;
    case RPC_EXPORT:
        export_on_export(core, event->u.export_fn.desc, event->u.export_fn.user);
        return 0;
    case RPC_UNEXPORT:
        export_on_unexport(core, event->u.name);
        return 0;
    case RPC_PARALLEL:
        export_on_parallel(core, event->u.parallel.name, event->u.parallel.n);
        return 0;
    case RPC_WATCH_ON:
        watch_on(core, event->u.name);
        return 0;
    case RPC_WATCH_OFF:
        watch_off(core, event->u.name);
        return 0;
    case RPC_BOOT:
        core->config.boot_no = event->u.boot_no;
        return 0;
    case RPC_STOP:
        core->stopped = true;
        serves_on_stop(core);
        calls_on_stop(core);
        return 0;
    }
    return KITH_E_INVALID;
}

static void begin(struct rpc_core *core, uint64_t now_ns, struct rpc_output *out)
{
    core->out = out;
    *out = (struct rpc_output){0};
    core->actions_n = 0;
    core->again = false;
    if (!list_empty(&core->oversize))
        sessions_drop_oversize(core);
    if (!list_empty(&core->sent))
        sessions_settle_sent(core);
    if (!list_empty(&core->ended))
        calls_recycle(core);
    if (!list_empty(&core->retired))
        serves_recycle(core);
    if (!list_empty(&core->reap))
        peers_reap(core);
    arena_reset(&core->arena);
    if (now_ns > core->now_ns) {
        core->now_ns = now_ns;
        core->now_ms = now_ns / NS_PER_MS;
    }
    if (!core->wheel_ready) {
        wheel_init(&core->wheel, core->now_ms);
        core->wheel_ready = true;
    }
    if (!list_empty(&core->ending))
        calls_flush(core);
    if (!list_empty(&core->send_failed))
        calls_on_send_failed(core);
}

int rpc_step(struct rpc_core *core, const struct rpc_event *event, struct rpc_output *out)
{
    begin(core, event->now_ns, out);
    core->now_unix_ms = event->now_unix_ms;
    int r = dispatch(core, event);
    if (!list_empty(&core->refill))
        calls_refill(core);
    if (!list_empty(&core->ready_deferred) || !list_empty(&core->ready))
        exports_pump(core);
    if (!list_empty(&core->ending))
        core->again = true;
    out->actions = core->actions;
    out->actions_n = core->actions_n;
    out->registry_version = core->version;
    return r;
}

void rpc_body_release(struct rpc_core *core, void *release)
{
    block_unref(core, release);
}

void rpc_send_failed(struct rpc_core *core, const struct rpc_action *action, int code)
{
    (void)code;
    if (action->type != RPC_SEND)
        return;
    if (action->frame_type == FRAME_CALL && action->call != NULL)
        call_note_send_failed(core, action->call);
    else if (action->frame_type == FRAME_RESULT && action->serve != NULL)
        session_note_send_failed(core, action->serve);
    else if (action->frame_type == FRAME_RESULT)
        session_note_answer_failed(core, action);
}

bool rpc_peer_in_use(const struct rpc_core *core, const struct kith_node_id *id)
{
    const struct rpc_peer *peer = rpc_peer_find(core, id);
    return peer != NULL && (peer->in_flight > 0 || !list_empty(&peer->waiting) ||
                            (peer->session != NULL && peer->session->live_n > 0));
}

void rpc_stats(const struct rpc_core *core, struct rpc_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->calls_pending = (uint32_t)core->calls_n;
    stats_out->serving_now = core->running_n;
    stats_out->queued_now = core->queued_n;
    stats_out->sessions = (uint32_t)core->sessions_n;
    stats_out->results_kept_bytes = core->kept_bytes;
    stats_out->args_held_bytes = core->args_bytes;
    stats_out->peers = (uint32_t)core->peers_n;
}
