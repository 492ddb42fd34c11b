/*
 * Verbs about mutexes.
 *
 * A lock belongs to the request that acquired it: it is held until that request is cancelled or its
 * client goes. A client that wants to go first, such as `kith lock acquire` in a script, names the
 * process that keeps it (`keeper_pid`): then the lock is held until lock.release, or until that
 * process ends. So no lock stays behind.
 */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "control/watch_pid.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/text.h"

/* One lock that is waited for or held. */
struct holding {
    struct list link; /* of those kept for a process */
    struct kith_node *node;
    struct control_request *request; /* NULL: kept for a process, after its request */
    struct kith_lock_id id;
    uint64_t fence;
    int64_t keeper_pid; /* 0: the request itself */
    struct watch_pid *watch;
    bool granted;
    bool waits_cb; /* on_lock() has yet to come */
    char name[KITH_NAME_BYTES_MAX + 1];
};

/* Kept for processes, of all nodes of this process. Loop threads differ, nodes are told apart. */
static _Thread_local struct list kept;
static _Thread_local bool kept_ready;

static struct list *kept_list(void)
{
    if (!kept_ready) {
        list_init(&kept);
        kept_ready = true;
    }
    return &kept;
}

static void holding_free(struct holding *holding)
{
    list_remove(&holding->link);
    watch_pid_close(holding->watch);
    if (holding->request != NULL)
        control_request_unref(holding->request);
    core_free(holding);
}

static void on_keeper_ended(void *user)
{
    struct holding *holding = user;

    (void)kith_unlock(holding->node, holding->id);
    if (!holding->waits_cb)
        holding_free(holding);
}

static void put_lock(struct json *json, const struct holding *holding, const char *state)
{
    json_kv_text(json, "name", holding->name);
    json_kv_text(json, "state", state);
    json_key(json, "fence");
    json_u64_text(json, holding->fence);
}

static void say(struct holding *holding, const char *state, bool more)
{
    struct control_reply reply;

    control_reply_begin(&reply, holding->request);
    put_lock(&reply.json, holding, state);
    control_reply_end(&reply, more, NULL, 0);
}

/* The request is over: its client is gone, it was cancelled, or it was answered for good. */
static void acquire_cancelled(struct control_request *request)
{
    struct holding *holding = request->state;

    if (holding == NULL)
        return;
    request->state = NULL;
    (void)kith_unlock(holding->node, holding->id);
    if (!holding->waits_cb)
        holding_free(holding);
}

static void on_lock_event(struct kith_node *node, const struct kith_lock_event *event, void *user)
{
    struct holding *holding = user;
    struct control_request *request = holding->request;
    struct control_reply reply;

    (void)node;
    if (event->type == KITH_LOCK_LEASE_ENDS) {
        if (request == NULL)
            return;
        control_reply_begin(&reply, request);
        put_lock(&reply.json, holding, "ending");
        json_kv_u64(&reply.json, "left_ms", event->left_ms);
        control_reply_end(&reply, true, NULL, 0);
        return;
    }
    if (request != NULL) {
        request->state = NULL;
        control_fail(request, event->code, event->text);
    }
    holding_free(holding);
}

static void granted(struct holding *holding)
{
    struct control_request *request = holding->request;

    holding->granted = true;
    if (holding->keeper_pid == 0) {
        say(holding, "held", true);
        return;
    }
    request->state = NULL;
    request->cancel = NULL;
    say(holding, "held", false);
    holding->request = NULL;
    control_request_unref(request);
    list_append(kept_list(), &holding->link);
}

static void on_lock(struct kith_node *node, const struct kith_lock *lock, void *user)
{
    struct holding *holding = user;
    struct control_request *request = holding->request;
    bool wanted = request->state == holding;

    (void)node;
    holding->waits_cb = false;
    holding->fence = lock->fence;
    if (lock->code == 0 && wanted && (holding->keeper_pid == 0 || holding->watch != NULL)) {
        granted(holding);
        return;
    }
    if (lock->code == 0)
        (void)kith_unlock(holding->node, lock->id); /* granted a moment after it was given up */
    if (wanted) {
        request->state = NULL;
        request->cancel = NULL;
        control_fail(request, lock->code != 0 ? lock->code : KITH_E_CANCELED, lock->text);
    }
    holding_free(holding);
}

/* Shown to those who wait: "kith lock run (pid 123)", or what the client says. */
static void owner_text(struct control_request *request, char *out, size_t out_bytes)
{
    const char *text = control_text(request, "owner");
    snprintf(out, out_bytes, "%s", text != NULL ? text : "a client of the control socket");
}

/* Numbers between commas, the last so many; what is none is left out. */
static uint32_t numbers_of(const char *text, uint64_t out[MUTEX_WITHIN_MAX])
{
    uint32_t n = 0;

    while (text != NULL && *text != '\0') {
        char word[24];
        size_t len = strcspn(text, ",");
        snprintf(word, sizeof(word), "%.*s", (int)(len < 23 ? len : 23), text);
        text += len + (text[len] != '\0');
        if (n == MUTEX_WITHIN_MAX)
            memmove(out, out + 1, --n * sizeof(*out));
        if (text_parse_u64(word, 1, UINT64_MAX, &out[n]) == 0)
            n++;
    }
    return n;
}

static void lock_acquire(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");
    uint64_t own[MUTEX_WITHIN_MAX], within[MUTEX_WITHIN_MAX];
    char owner[128];

    if (name == NULL)
        return;
    struct holding *holding = core_calloc(1, sizeof(*holding));
    if (holding == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    list_init(&holding->link);
    holding->node = request->node;
    holding->keeper_pid = (int64_t)control_u64(request, "keeper_pid", 0);
    snprintf(holding->name, sizeof(holding->name), "%s", name);
    owner_text(request, owner, sizeof(owner));
    struct kith_lock_options options = {
        .timeout_ms = control_u64(request, "wait_ms", 0),
        .try_only = control_bool(request, "try", false),
        .shared = control_bool(request, "shared", false),
        .permits = (uint32_t)control_u64(request, "permits", 0),
        .detect = control_bool(request, "detect", false),
        .owner = numbers_of(control_text(request, "owner_id"), own) > 0 ? own[0] : 0,
        .within = within,
        .within_n = numbers_of(control_text(request, "within"), within),
        .owner_text = owner,
        .pid = control_u64(request, "pid", (uint64_t)holding->keeper_pid),
        .on_event = on_lock_event,
        .user = holding,
    };
    int r = 0;
    if (holding->keeper_pid != 0)
        r = watch_pid_open(node_loop(request->node), holding->keeper_pid, on_keeper_ended, holding,
                           &holding->watch);
    if (r == 0) {
        holding->request = control_request_ref(request);
        holding->waits_cb = true;
        request->state = holding;
        request->cancel = acquire_cancelled;
        r = kith_lock_async(request->node, name, &options, on_lock, holding, &holding->id);
    }
    if (r != 0) {
        request->state = NULL;
        request->cancel = NULL;
        control_fail(request, r, NULL);
        holding_free(holding);
    }
}

/* Of those kept for a process: by name, and by fence or process if they are given. */
static struct holding *
kept_find(struct kith_node *node, const char *name, uint64_t fence, int64_t pid)
{
    list_for_each (it, kept_list()) {
        struct holding *holding = container_of(it, struct holding, link);
        if (holding->node == node && strcmp(holding->name, name) == 0 &&
            (fence == 0 || holding->fence == fence) && (pid == 0 || holding->keeper_pid == pid))
            return holding;
    }
    return NULL;
}

static void lock_release(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");
    const char *fence_text = control_text(request, "fence");
    uint64_t fence = 0;

    if (name == NULL)
        return;
    if (fence_text != NULL && text_parse_u64(fence_text, 1, UINT64_MAX, &fence) != 0) {
        control_fail(request, KITH_E_PARSE, "a fence is a whole number, as lock acquire gave it");
        return;
    }
    struct holding *holding =
        kept_find(request->node, name, fence, (int64_t)control_u64(request, "keeper_pid", 0));
    if (holding == NULL) {
        char text[512];
        snprintf(text, sizeof(text),
                 "no lock of %.255s is kept here for this process: it was released or lost, or "
                 "another holds it; kith lock info shows who",
                 name);
        control_fail(request, KITH_E_NOT_FOUND, text);
        return;
    }
    struct control_reply reply;
    /* Whether it was held to this moment decides whether what it protected was whole. */
    bool held = kith_lock_fence(request->node, holding->id) != 0;
    (void)kith_unlock(request->node, holding->id);
    control_reply_begin(&reply, request);
    put_lock(&reply.json, holding, held ? "released" : "lost");
    control_reply_end(&reply, false, NULL, 0);
    holding_free(holding);
}

/* ---- to take it from whoever has it ---- */

static void on_broken(struct kith_node *node, int code, void *user)
{
    struct control_request *request = user;

    (void)node;
    if (code != 0)
        control_fail(request, code, NULL);
    else
        control_reply_empty(request);
    control_request_unref(request);
}

static void lock_break(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");

    if (name == NULL)
        return;
    int r = node_lock_break(request->node, name, control_u64(request, "timeout_ms", 15000),
                            on_broken, control_request_ref(request));
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(request);
    }
}

const struct control_verb control_verbs_lock[] = {
    {.name = "lock.acquire", .run = lock_acquire},
    {.name = "lock.release", .run = lock_release},
    {.name = "lock.break", .run = lock_break},
    {0},
};
