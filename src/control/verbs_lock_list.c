/*
 * Verbs about who holds mutexes and who waits. No node knows of all: `lock.info` asks those that
 * use the one, and `lock.ls` with `live` asks every agent for the mutexes it uses.
 */
#include <stdlib.h>
#include <string.h>

#include "control/everywhere.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"

static void put_info(struct json *json, const struct kith_lock_info *info)
{
    json_kv_text(json, "name", info->name);
    json_kv_u64(json, "permits", info->permits);
    json_kv_text(json, "mode", info->queue ? "queue" : "token");
    json_kv_u64(json, "participants", info->participants_n);
    json_kv_u64(json, "waiters", info->waiters_n);
    json_key(json, "parties");
    json_array_begin(json);
    for (size_t i = 0; i < info->parties_n; i++) {
        const struct kith_lock_party *party = &info->parties[i];
        json_object_begin(json);
        json_kv_bool(json, "holds", party->holds);
        json_kv_bool(json, "shared", party->shared);
        json_kv_id(json, "node", &party->node);
        json_kv_text(json, "node_name", party->node_name);
        json_kv_text(json, "owner", party->owner_text);
        json_kv_u64(json, "pid", party->pid);
        json_kv_u64(json, "age_ms", party->age_ms);
        if (party->holds) {
            json_key(json, "fence");
            json_u64_text(json, party->fence);
            json_kv_u64(json, "lease_left_ms", party->lease_left_ms);
        }
        if (party->cycle[0] != '\0')
            json_kv_text(json, "cycle", party->cycle);
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- those of a node ---- */

static void on_listed(struct kith_node *node, const struct kith_lock_info *info, void *user)
{
    struct control_reply *reply = user;

    (void)node;
    json_object_begin(&reply->json);
    put_info(&reply->json, info);
    json_object_end(&reply->json);
}

static void list_own(struct control_request *request)
{
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "locks");
    json_array_begin(&reply.json);
    node_locks_each(request->node, on_listed, &reply);
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- those of all nodes ---- */

struct listing {
    struct control_request *request;
    json_t *by_name;
};

/*
 * Those that somebody holds or waits for. A node keeps a place at one that it used for a minute, in
 * which it would have it at once; nobody has it then, least of all who was broken off.
 */
static void add_lock(json_t *by_name, json_t *lock)
{
    const char *name = json_string_value(json_object_get(lock, "name"));
    json_t *parties = json_object_get(lock, "parties");

    if (name == NULL || json_array_size(parties) == 0)
        return;
    json_t *known = json_object_get(by_name, name);
    if (known == NULL)
        (void)json_object_set(by_name, name, lock);
    else
        (void)json_array_extend(json_object_get(known, "parties"), parties);
}

static void on_locks(void *user, const struct kith_node_id *id, const char *name, json_t *result)
{
    struct listing *listing = user;
    json_t *lock;
    size_t i;

    (void)id;
    (void)name;
    json_array_foreach(json_object_get(result, "locks"), i, lock) add_lock(listing->by_name, lock);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_sorted(struct json *json, json_t *by_name)
{
    size_t n = json_object_size(by_name), at = 0;
    const char **names = core_calloc(n + 1, sizeof(*names)), *name;
    json_t *lock;

    if (names == NULL)
        return;
    json_object_foreach(by_name, name, lock)
    {
        names[at++] = name;
    }
    qsort(names, n, sizeof(*names), by_text);
    for (at = 0; at < n; at++) {
        char *text = json_dumps(json_object_get(by_name, names[at]), JSON_COMPACT);
        if (text != NULL)
            json_raw(json, text, strlen(text));
        free(text);
    }
    core_free(names);
}

static void listing_free(struct listing *listing)
{
    control_request_unref(listing->request);
    json_decref(listing->by_name);
    core_free(listing);
}

static void on_all_locks(void *user, size_t silent_n)
{
    struct listing *listing = user;
    struct control_reply reply;

    if (!listing->request->ended) {
        control_reply_begin(&reply, listing->request);
        json_key(&reply.json, "locks");
        json_array_begin(&reply.json);
        put_sorted(&reply.json, listing->by_name);
        json_array_end(&reply.json);
        json_kv_u64(&reply.json, "silent_nodes", silent_n);
        control_reply_end(&reply, false, NULL, 0);
    }
    listing_free(listing);
}

static void lock_ls(struct control_request *request)
{
    if (!control_bool(request, "live", false)) {
        list_own(request);
        return;
    }
    struct listing *listing = core_calloc(1, sizeof(*listing));
    if (listing == NULL || (listing->by_name = json_object()) == NULL) {
        core_free(listing);
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    struct control_everywhere what = {.verb = "lock.ls",
                                      .timeout_ms = CONTROL_LIVE_MS,
                                      .each = on_locks,
                                      .done = on_all_locks,
                                      .user = listing};
    listing->request = control_request_ref(request);
    int r = control_everywhere(request->node, &what);
    if (r != 0) {
        control_fail(request, r, NULL);
        listing_free(listing);
    }
}

/* ---- who holds one ---- */

static void on_info(struct kith_node *node, int code, const struct kith_lock_info *info, void *user)
{
    struct control_request *request = user;
    struct control_reply reply;

    (void)node;
    if (code != 0) {
        control_fail(request, code, NULL);
    } else {
        control_reply_begin(&reply, request);
        put_info(&reply.json, info);
        control_reply_end(&reply, false, NULL, 0);
    }
    control_request_unref(request);
}

static void lock_info(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");

    if (name == NULL)
        return;
    int r = node_lock_info(request->node, name, on_info, control_request_ref(request));
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(request);
    }
}

const struct control_verb control_verbs_lock_list[] = {
    {.name = "lock.info", .run = lock_info},
    {.name = "lock.ls", .run = lock_ls, .forward = "node", .remote = true},
    {0},
};
