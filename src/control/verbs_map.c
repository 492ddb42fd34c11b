/* The verb map: items in, results out as a stream. */
#include <string.h>

#include "control/request.h"
#include "control/tags.h"
#include "core/alloc.h"
#include "core/error.h"

#define PROGRESS_MS 200

struct mapping {
    struct control_request *request;
    struct kith_map *map; /* NULL once it is done */
    struct kith_bytes *items;
    uint64_t items_n;
    uv_timer_t timer; /* progress that came too soon after the last */
    uint64_t told_ms;
    bool changed;
    bool done;
};

static void put_nodes(struct json *json, const struct kith_map_progress *progress)
{
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < progress->nodes_n; i++) {
        const struct kith_map_node *node = &progress->nodes[i];
        json_object_begin(json);
        json_kv_id(json, "id", &node->id);
        json_kv_text(json, "name", node->name);
        json_kv_u64(json, "done", node->done_n);
        json_kv_u64(json, "running", node->running_n);
        json_kv_f64(json, "busy_ms", control_ms(node->busy_ns));
        json_object_end(json);
    }
    json_array_end(json);
}

static void tell(struct mapping *mapping)
{
    const struct kith_map_progress *progress = kith_map_progress(mapping->map);
    struct control_reply reply;

    control_reply_begin(&reply, mapping->request);
    json_key(&reply.json, "progress");
    json_object_begin(&reply.json);
    json_kv_u64(&reply.json, "items", progress->items_n);
    json_kv_u64(&reply.json, "pending", progress->pending_n);
    json_kv_u64(&reply.json, "running", progress->running_n);
    json_kv_u64(&reply.json, "done", progress->done_n);
    json_kv_u64(&reply.json, "failed", progress->failed_n);
    json_kv_u64(&reply.json, "lost", progress->lost_n);
    json_kv_bool(&reply.json, "waiting_for_nodes", progress->waiting_for_nodes);
    put_nodes(&reply.json, progress);
    json_object_end(&reply.json);
    control_reply_end(&reply, true, NULL, 0);
    mapping->told_ms = uv_now(mapping->timer.loop);
    mapping->changed = false;
}

/* Progress at most five times a second; also sees that the nodes have run out. */
static void on_progress_timer(uv_timer_t *timer)
{
    struct mapping *mapping = timer->data;
    if (mapping->map != NULL &&
        (mapping->changed || kith_map_progress(mapping->map)->waiting_for_nodes))
        tell(mapping);
}

static void
on_result(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct mapping *mapping = user;
    struct control_reply reply;

    (void)map;
    mapping->changed = true;
    control_reply_begin(&reply, mapping->request);
    json_kv_u64(&reply.json, "index", index);
    control_put_result(&reply.json, result);
    control_reply_end(&reply, true, result->data, result->len);
}

static void on_lost(struct kith_map *map,
                    uint64_t index,
                    const struct kith_node_id *node,
                    const char *node_name,
                    void *user)
{
    struct mapping *mapping = user;
    (void)map;
    (void)index;
    (void)node;
    (void)node_name;
    mapping->changed = true;
    /* At once, but one line for all items of the node. */
    uv_timer_start(&mapping->timer, on_progress_timer, 0, PROGRESS_MS);
}

static void on_closed(uv_handle_t *handle)
{
    struct mapping *mapping = handle->data;
    control_request_unref(mapping->request);
    core_free(mapping->items);
    core_free(mapping);
}

static void on_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    struct mapping *mapping = user;
    struct control_reply reply;

    (void)map;
    mapping->map = NULL;
    mapping->request->state = NULL;
    control_reply_begin(&reply, mapping->request);
    json_kv_u64(&reply.json, "done", progress->done_n);
    json_kv_u64(&reply.json, "failed", progress->failed_n);
    json_kv_u64(&reply.json, "lost", progress->lost_n);
    put_nodes(&reply.json, progress);
    control_reply_end(&reply, false, NULL, 0);
    uv_close((uv_handle_t *)&mapping->timer, on_closed);
}

static void map_cancelled(struct control_request *request)
{
    struct mapping *mapping = request->state;
    if (mapping != NULL && mapping->map != NULL)
        kith_map_cancel(mapping->map);
}

/* The lengths in args.items cut the data into items. 0, or the error has been given. */
static int cut_items(struct control_request *request, struct mapping *mapping)
{
    const json_t *lengths = json_object_get(request->args, "items");
    size_t n = json_array_size(lengths), at = 0;

    if (!json_is_array(lengths)) {
        control_fail(request, KITH_E_INVALID,
                     "map needs the argument \"items\", an array of the lengths of its items");
        return KITH_E_INVALID;
    }
    mapping->items = core_calloc(n > 0 ? n : 1, sizeof(*mapping->items));
    if (mapping->items == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return KITH_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(lengths, i);
        json_int_t len = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (len < 0 || (size_t)len > request->data_len - at) {
            control_fail(request, KITH_E_INVALID,
                         "the lengths in \"items\" do not fit the data: their sum must be "
                         "data_bytes");
            return KITH_E_INVALID;
        }
        mapping->items[i] = (struct kith_bytes){.data = request->data + at, .len = (size_t)len};
        at += (size_t)len;
    }
    if (at != request->data_len) {
        control_fail(request, KITH_E_INVALID,
                     "the data is longer than the lengths in \"items\" say");
        return KITH_E_INVALID;
    }
    mapping->items_n = n;
    return 0;
}

static uint32_t u32_of(const struct control_request *request, const char *key)
{
    uint64_t number = control_u64(request, key, 0);
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

/* With tags somebody has to have them at first: without any node a map waits for one. */
static int start(struct control_request *request,
                 const char *fn,
                 struct mapping *mapping,
                 const struct kith_map_options *options)
{
    struct kith_node_id *ids = NULL;
    struct control_tags tags;
    size_t n;
    int r = control_tags_of(request, &tags);

    if (r == 0 && tags.n > 0)
        r = control_tagged(request->node, fn, &tags, &ids, &n);
    if (r == 0)
        r = node_map_start(request->node, fn, mapping->items, mapping->items_n, options, tags.all,
                           tags.n, &mapping->map);
    core_free(ids);
    control_tags_free(&tags);
    return r;
}

static void map(struct control_request *request)
{
    const char *fn = control_text_needed(request, "fn");
    struct mapping *mapping = fn != NULL ? core_calloc(1, sizeof(*mapping)) : NULL;

    if (mapping == NULL) {
        if (fn != NULL)
            control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    struct kith_map_options options = {
        .per_node_max = u32_of(request, "per_node"),
        .ordered = control_bool(request, "ordered", false),
        .attempts_max = u32_of(request, "attempts"),
        .on_result = on_result,
        .on_lost = on_lost,
        .on_done = on_done,
        .user = mapping,
    };
    int r = cut_items(request, mapping);
    if (r == 0) {
        r = start(request, fn, mapping, &options);
        if (r != 0)
            control_fail(request, r, NULL);
    }
    if (r != 0) {
        core_free(mapping->items);
        core_free(mapping);
        return;
    }
    mapping->request = control_request_ref(request);
    request->state = mapping;
    request->cancel = map_cancelled;
    uv_timer_init(node_loop(request->node), &mapping->timer);
    mapping->timer.data = mapping;
    uv_timer_start(&mapping->timer, on_progress_timer, PROGRESS_MS, PROGRESS_MS);
}

const struct control_verb control_verbs_map[] = {
    {.name = "map", .run = map},
    {0},
};
