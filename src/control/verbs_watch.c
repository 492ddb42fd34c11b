/* Verbs that stream: events, completions of functions, the log. */
#include <string.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"

#define EVENTS_STEP 64

static void put_event(struct control_request *request, const struct node_event_record *record)
{
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "seq");
    json_u64(&reply.json, record->seq);
    json_key(&reply.json, "time");
    json_time_ms(&reply.json, record->time_unix_ms);
    json_kv_text(&reply.json, "type", record->type);
    json_kv_id(&reply.json, "id", &record->id);
    json_kv_text(&reply.json, "name", record->name);
    json_kv_text(&reply.json, "address", record->address);
    json_kv_text(&reply.json, "reason", record->reason);
    control_reply_end(&reply, true, NULL, 0);
}

struct following {
    struct node_event_watch watch;
    struct control_request *request;
};

static void on_event(struct node_event_watch *watch, const struct node_event_record *record)
{
    put_event(container_of(watch, struct following, watch)->request, record);
}

static void following_end(struct control_request *request)
{
    struct following *following = request->state;
    node_event_watch_remove(request->node, &following->watch);
    core_free(following);
    control_request_unref(request);
}

static void follow(struct control_request *request)
{
    struct following *following = core_calloc(1, sizeof(*following));
    if (following == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    following->watch.cb = on_event;
    following->request = control_request_ref(request);
    request->state = following;
    request->cancel = following_end;
    node_event_watch_add(request->node, &following->watch);
}

static void events(struct control_request *request)
{
    struct node_event_record *records = core_malloc(EVENTS_STEP * sizeof(*records));
    uint64_t after = control_u64(request, "after", 0);
    struct control_reply reply;
    size_t n;

    if (records == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    while ((n = node_events_since(request->node, after, records, EVENTS_STEP)) > 0) {
        for (size_t i = 0; i < n; i++)
            put_event(request, &records[i]);
        after = records[n - 1].seq;
    }
    core_free(records);
    if (control_bool(request, "follow", false)) {
        follow(request);
        return;
    }
    control_reply_begin(&reply, request);
    json_kv_u64(&reply.json, "last_seq", after);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- completions ---- */

static void
on_completion(struct kith_node *node, const struct kith_completion *completion, void *user)
{
    struct control_request *request = user;
    struct control_reply reply;
    char digest[33];

    (void)node;
    hex_encode(completion->argument_digest, sizeof(completion->argument_digest), digest);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "fn", completion->fn);
    json_kv_id(&reply.json, "node", &completion->node);
    json_kv_text(&reply.json, "node_name", completion->node_name);
    json_kv_id(&reply.json, "caller", &completion->caller);
    json_kv_text(&reply.json, "argument_digest", digest);
    json_kv_text(&reply.json, "outcome", kith_outcome_text(completion->outcome));
    json_kv_f64(&reply.json, "elapsed_ms", control_ms(completion->elapsed_ns));
    json_key(&reply.json, "time");
    json_time_ms(&reply.json, completion->time_unix_ms);
    json_kv_u64(&reply.json, "missed", completion->missed_n);
    control_reply_end(&reply, true, NULL, 0);
}

static void watch_end(struct control_request *request)
{
    kith_unwatch_completions(request->node, (int64_t)(intptr_t)request->state);
    control_request_unref(request);
}

static void watch(struct control_request *request)
{
    const char *fn = control_text_needed(request, "fn");
    if (fn == NULL)
        return;
    int64_t no = kith_watch_completions(request->node, fn, on_completion, request);
    if (no < 0) {
        control_fail(request, (int)no, NULL);
        return;
    }
    control_request_ref(request);
    request->state = (void *)(intptr_t)no;
    request->cancel = watch_end;
}

/* ---- the log ---- */

static int level_of(const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; text != NULL && i < 4; i++) {
        if (strcmp(names[i], text) == 0)
            return i + 1;
    }
    return 0;
}

static int level_needed(struct control_request *request, int absent)
{
    const char *text = control_text(request, "level");
    if (text == NULL && absent != 0)
        return absent;
    int level = level_of(text);
    if (level == 0)
        control_fail(request, KITH_E_INVALID, "a log level is error, warn, info or debug");
    return level;
}

struct monitoring {
    struct node_log_watch watch;
    struct control_request *request;
};

static void on_line(struct node_log_watch *watch, enum kith_log_level level, const char *line)
{
    struct monitoring *monitoring = container_of(watch, struct monitoring, watch);
    struct control_reply reply;

    (void)level;
    control_reply_begin(&reply, monitoring->request);
    json_kv_text(&reply.json, "line", line);
    control_reply_end(&reply, true, NULL, 0);
}

static void monitoring_end(struct control_request *request)
{
    struct monitoring *monitoring = request->state;
    node_log_watch_remove(request->node, &monitoring->watch);
    core_free(monitoring);
    control_request_unref(request);
}

static void monitor(struct control_request *request)
{
    int level = level_needed(request, KITH_LOG_INFO);
    if (level == 0)
        return;
    struct monitoring *monitoring = core_calloc(1, sizeof(*monitoring));
    if (monitoring == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    monitoring->watch.cb = on_line;
    monitoring->watch.level = (enum kith_log_level)level;
    monitoring->request = control_request_ref(request);
    request->state = monitoring;
    request->cancel = monitoring_end;
    node_log_watch_add(request->node, &monitoring->watch);
}

static void loglevel(struct control_request *request)
{
    static const char *const names[] = {"", "error", "warn", "info", "debug"};
    struct control_reply reply;
    int level = level_needed(request, 0);

    if (level == 0)
        return;
    node_set_log_level(request->node, (enum kith_log_level)level);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "level", names[level]);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb control_verbs_watch[] = {
    {.name = "events", .run = events},
    {.name = "watch", .run = watch},
    {.name = "monitor", .run = monitor, .forward = "node", .remote = true},
    {.name = "loglevel", .run = loglevel, .forward = "node", .remote = true},
    {0},
};
