#include "rpc/watch.h"

#include <sodium.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "net/frame.h"
#include "rpc.pb-c.h"
#include "rpc/actions.h"
#include "rpc/peer.h"
#include "rpc/proto_alloc.h"
#include "rpc/registry.h"

/* A watch is said again every so often, and ends where it was not heard for three times as long. */
#define WATCH_EVERY_MS  (30 * 1000)
#define WATCH_EXPIRE_MS (90 * 1000)
/* Completions are gathered for so long; so many fit one frame of the control class. */
#define REPORT_EVERY_MS 20

struct report {
    struct kith_node_id caller;
    uint8_t digest[16];
    uint8_t outcome;
    uint64_t elapsed_ns;
    uint64_t time_unix_ms;
};

/* A node that watches a function of ours. */
struct watcher {
    struct kith_node_id id;
    uint64_t expires_ms;
    uint64_t missed_n;
    struct report *reports; /* RPC_COMPLETIONS_QUEUE_MAX of them, made with the first */
    size_t reports_n;
};

/* Bytes of one Completion on the wire, at most. */
#define REPORT_WIRE_BYTES 72
static_assert(RPC_COMPLETIONS_QUEUE_MAX * REPORT_WIRE_BYTES > NET_CONTROL_FRAME_BYTES_MAX,
              "a full queue may need more than one frame");
#define REPORTS_FRAME_MAX ((NET_CONTROL_FRAME_BYTES_MAX - 512) / REPORT_WIRE_BYTES)

/* ---- what we watch ---- */

static void send_watch(struct rpc_core *core, struct rpc_peer *peer, const char *name, bool on)
{
    Kith__Rpc__Watch message;
    kith__rpc__watch__init(&message);
    message.fn = (char *)(uintptr_t)name; /* not written */
    message.on = on;
    uint8_t *data = arena_alloc(&core->arena, kith__rpc__watch__get_packed_size(&message) + 1);
    if (data != NULL)
        action_send_control(core, peer, FRAME_WATCH, data, kith__rpc__watch__pack(&message, data));
}

static void tell_providers(struct rpc_core *core, const struct fn *fn, bool on)
{
    for (size_t i = 0; i < fn->providers_n; i++) {
        if (fn->providers[i]->peer != NULL && fn->providers[i]->peer->up)
            send_watch(core, fn->providers[i]->peer, fn->name, on);
    }
}

static void arm_watches(struct rpc_core *core)
{
    if (!core->watches_timer.set && !core->watches_timer.due)
        timer_set(core, &core->watches_timer, core->now_ms + WATCH_EVERY_MS);
}

void watch_on(struct rpc_core *core, const char *name)
{
    struct fn *fn;
    if (core->watched_n >= RPC_WATCHES_MAX) {
        core->out->code =
            kith_fail_with(KITH_E_LIMIT,
                           "watch of '%s': this node watches %d functions, which is the "
                           "limit; end another watch",
                           name, RPC_WATCHES_MAX);
        return;
    }
    core->out->code = fn_get(core, rpc_name_hash(name), name, &fn);
    if (core->out->code != 0)
        return;
    if (!fn->watched) {
        fn->watched = true;
        core->watched_n++;
        tell_providers(core, fn, true);
        arm_watches(core);
    }
    fn_unref(core, fn);
}

void watch_off(struct rpc_core *core, const char *name)
{
    struct fn *fn = fn_find(core, rpc_name_hash(name));
    if (fn == NULL || !fn->watched) {
        core->out->code = KITH_E_NOT_FOUND;
        return;
    }
    fn->refs++;
    fn->watched = false;
    core->watched_n--;
    tell_providers(core, fn, false);
    fn_unref(core, fn);
}

void watch_greet(struct rpc_core *core, struct rpc_peer *peer)
{
    if (core->watched_n == 0)
        return;
    for (size_t i = 0; i < peer->registry.entries_n; i++) {
        if (peer->registry.entries[i]->fn->watched)
            send_watch(core, peer, peer->registry.entries[i]->name, true);
    }
}

int watch_on_completions(struct rpc_core *core,
                         struct rpc_peer *peer,
                         const uint8_t *body,
                         size_t len)
{
    Kith__Rpc__Completions *message =
        kith__rpc__completions__unpack(&rpc_proto_allocator, len, body);
    if (message == NULL)
        return KITH_E_CORRUPT;
    int r = KITH_E_CORRUPT;
    if (message->n_items > RPC_COMPLETIONS_QUEUE_MAX || !text_is_function_name(message->fn))
        goto out;
    for (size_t i = 0; i < message->n_items; i++) {
        const Kith__Rpc__Completion *item = message->items[i];
        if (item->caller.len != KITH_NODE_ID_BYTES || item->argument_digest.len != 16 ||
            item->outcome < KITH_OUTCOME_OK || item->outcome > KITH_OUTCOME_UNKNOWN)
            goto out;
    }
    r = 0;
    const struct fn *fn = fn_find(core, rpc_name_hash(message->fn));
    if (fn == NULL || !fn->watched)
        goto out;
    for (size_t i = 0; i < message->n_items; i++) {
        const Kith__Rpc__Completion *item = message->items[i];
        struct kith_completion *completion = arena_alloc(&core->arena, sizeof(*completion));
        struct rpc_action *action = completion != NULL ? action_add(core, RPC_COMPLETION) : NULL;
        if (action == NULL)
            break;
        *completion = (struct kith_completion){
            .fn = fn->name,
            .node = peer->id,
            .node_name = peer_name(core, peer),
            .outcome = (enum kith_outcome)item->outcome,
            .elapsed_ns = item->elapsed_ns,
            .time_unix_ms = item->time_unix_ms,
            .missed_n = i == 0 ? message->missed_n : 0,
        };
        memcpy(completion->caller.bytes, item->caller.data, KITH_NODE_ID_BYTES);
        memcpy(completion->argument_digest, item->argument_digest.data, 16);
        action->completion = completion;
    }
out:
    kith__rpc__completions__free_unpacked(message, &rpc_proto_allocator);
    return r;
}

/* ---- who watches us ---- */

static void watcher_remove(struct rpc_core *core, struct rpc_export *fn, size_t at)
{
    core->reports_n -= fn->watchers[at].reports_n;
    core_free(fn->watchers[at].reports);
    fn->watchers[at] = fn->watchers[--fn->watchers_n];
}

static size_t watcher_find(const struct rpc_export *fn, const struct kith_node_id *id)
{
    for (size_t i = 0; i < fn->watchers_n; i++) {
        if (kith_node_id_equal(&fn->watchers[i].id, id))
            return i;
    }
    return SIZE_MAX;
}

static int watcher_add(struct rpc_export *fn, const struct kith_node_id *id)
{
    if (fn->watchers_n >= RPC_WATCHES_MAX)
        return KITH_E_LIMIT;
    struct watcher *watchers =
        core_realloc(fn->watchers, (fn->watchers_n + 1) * sizeof(struct watcher));
    if (watchers == NULL)
        return KITH_E_MEMORY;
    fn->watchers = watchers;
    fn->watchers[fn->watchers_n++] = (struct watcher){.id = *id};
    return 0;
}

int watch_on_watch(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    Kith__Rpc__Watch *message = kith__rpc__watch__unpack(&rpc_proto_allocator, len, body);
    if (message == NULL)
        return KITH_E_CORRUPT;
    struct rpc_export *fn = map64_find(&core->exports, rpc_name_hash(message->fn));
    bool on = message->on;
    kith__rpc__watch__free_unpacked(message, &rpc_proto_allocator);
    if (fn == NULL)
        return 0;
    size_t at = watcher_find(fn, &peer->id);
    if (!on) {
        if (at != SIZE_MAX)
            watcher_remove(core, fn, at);
        return 0;
    }
    if (at == SIZE_MAX) {
        int r = watcher_add(fn, &peer->id);
        if (r != 0)
            return r == KITH_E_MEMORY ? r : 0; /* one watcher too many is not told anything */
        at = fn->watchers_n - 1;
    }
    fn->watchers[at].expires_ms = core->now_ms + WATCH_EXPIRE_MS;
    arm_watches(core);
    return 0;
}

static bool expire_watchers(struct rpc_core *core, struct rpc_export *fn)
{
    for (size_t i = fn->watchers_n; i-- > 0;) {
        if (fn->watchers[i].expires_ms <= core->now_ms)
            watcher_remove(core, fn, i);
    }
    return fn->watchers_n > 0;
}

void watches_on_timer(struct rpc_core *core)
{
    bool any = core->watched_n > 0;
    list_for_each (node, &core->export_list) {
        if (expire_watchers(core, container_of(node, struct rpc_export, link)))
            any = true;
    }
    if (core->watched_n > 0) {
        size_t at = 0;
        const struct fn *fn;
        while ((fn = map64_next(&core->fns, &at)) != NULL) {
            if (fn->watched)
                tell_providers(core, fn, true);
        }
    }
    if (any)
        arm_watches(core);
}

void watchers_forget(struct rpc_core *core, const struct kith_node_id *id)
{
    list_for_each (node, &core->export_list) {
        struct rpc_export *fn = container_of(node, struct rpc_export, link);
        size_t at = watcher_find(fn, id);
        if (at != SIZE_MAX)
            watcher_remove(core, fn, at);
    }
}

void watchers_free(struct rpc_export *fn)
{
    for (size_t i = 0; i < fn->watchers_n; i++)
        core_free(fn->watchers[i].reports);
    core_free(fn->watchers);
    fn->watchers = NULL;
    fn->watchers_n = 0;
}

/* ---- completions of ours ---- */

void completion_digest(const struct rpc_serve *serve, uint8_t digest_out[16])
{
    struct kith_bytes arg = rpc_serve_arg(serve);
    crypto_generichash(digest_out, 16, arg.data, arg.len, NULL, 0);
}

static void
report_here(struct rpc_core *core, const struct rpc_serve *serve, const uint8_t digest[16])
{
    struct kith_completion *completion = arena_alloc(&core->arena, sizeof(*completion));
    struct rpc_action *action = completion != NULL ? action_add(core, RPC_COMPLETION) : NULL;
    if (action == NULL)
        return;
    *completion = (struct kith_completion){
        .fn = arena_text(core, "%s", serve->exported->desc.name), /* it may be withdrawn by now */
        .node = core->config.self,
        .node_name = core->config.self_name != NULL ? core->config.self_name : "",
        .caller = serve->caller,
        .outcome = (enum kith_outcome)serve->outcome,
        .elapsed_ns = serve->done_ns - serve->started_ns,
        .time_unix_ms = core->now_unix_ms,
    };
    memcpy(completion->argument_digest, digest, 16);
    action->completion = completion;
}

static void report_to(struct rpc_core *core,
                      struct watcher *watcher,
                      const struct rpc_serve *serve,
                      const uint8_t digest[16])
{
    if (watcher->reports == NULL)
        watcher->reports = core_malloc(RPC_COMPLETIONS_QUEUE_MAX * sizeof(struct report));
    if (watcher->reports == NULL || watcher->reports_n == RPC_COMPLETIONS_QUEUE_MAX) {
        watcher->missed_n++;
        return;
    }
    struct report *report = &watcher->reports[watcher->reports_n++];
    core->reports_n++;
    *report = (struct report){
        .caller = serve->caller,
        .outcome = serve->outcome,
        .elapsed_ns = serve->done_ns - serve->started_ns,
        .time_unix_ms = core->now_unix_ms,
    };
    memcpy(report->digest, digest, 16);
}

void completion_report(struct rpc_core *core,
                       const struct rpc_serve *serve,
                       const uint8_t digest[16])
{
    struct rpc_export *fn = serve->exported;
    if (fn->entry.fn != NULL && fn->entry.fn->watched)
        report_here(core, serve, digest);
    for (size_t i = 0; i < fn->watchers_n; i++)
        report_to(core, &fn->watchers[i], serve, digest);
    if (fn->watchers_n > 0 && !core->reports_timer.set && !core->reports_timer.due)
        timer_set(core, &core->reports_timer, core->now_ms + REPORT_EVERY_MS);
}

static void
send_reports(struct rpc_core *core, const struct rpc_export *fn, struct watcher *watcher)
{
    struct rpc_peer *peer = mapid_find(&core->peers_by_id, &watcher->id);
    size_t n = watcher->reports_n < REPORTS_FRAME_MAX ? watcher->reports_n : REPORTS_FRAME_MAX;
    Kith__Rpc__Completion *items = arena_alloc(&core->arena, n * sizeof(*items) + 1);
    Kith__Rpc__Completion **pointers = arena_alloc(&core->arena, n * sizeof(*pointers) + 1);
    if (peer == NULL || items == NULL || pointers == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        struct report *report = &watcher->reports[i];
        kith__rpc__completion__init(&items[i]);
        items[i].caller =
            (ProtobufCBinaryData){.data = report->caller.bytes, .len = KITH_NODE_ID_BYTES};
        items[i].argument_digest = (ProtobufCBinaryData){.data = report->digest, .len = 16};
        items[i].outcome = report->outcome;
        items[i].elapsed_ns = report->elapsed_ns;
        items[i].time_unix_ms = report->time_unix_ms;
        pointers[i] = &items[i];
    }
    Kith__Rpc__Completions message;
    kith__rpc__completions__init(&message);
    message.fn = (char *)(uintptr_t)fn->desc.name; /* not written */
    message.missed_n = watcher->missed_n;
    message.items = pointers;
    message.n_items = n;
    uint8_t *data =
        arena_alloc(&core->arena, kith__rpc__completions__get_packed_size(&message) + 1);
    if (data == NULL || !action_send_control(core, peer, FRAME_COMPLETIONS, data,
                                             kith__rpc__completions__pack(&message, data)))
        return;
    watcher->missed_n = 0;
    watcher->reports_n -= n;
    core->reports_n -= n;
    memmove(watcher->reports, watcher->reports + n, watcher->reports_n * sizeof(struct report));
}

/* One frame a watcher and turn: more than that are dropped and counted. */
void reports_send(struct rpc_core *core)
{
    list_for_each (node, &core->export_list) {
        struct rpc_export *fn = container_of(node, struct rpc_export, link);
        for (size_t i = 0; i < fn->watchers_n; i++) {
            if (fn->watchers[i].reports_n > 0)
                send_reports(core, fn, &fn->watchers[i]);
        }
    }
    if (core->reports_n > 0)
        timer_set(core, &core->reports_timer, core->now_ms + REPORT_EVERY_MS);
}
