/* The verb logs: the newest lines of a node's log, and those that follow. */
#include <string.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "node/log.h"
#include "node/log_kept.h"

#define LINES_ABSENT 100

static void put_line(void *user, const struct log_kept_line *line)
{
    struct json *json = user;

    json_object_begin(json);
    json_key(json, "seq");
    json_u64(json, line->seq);
    json_key(json, "time");
    json_time_ms(json, line->unix_ms);
    json_kv_text(json, "level", node_log_level_text(line->level));
    json_kv_text(json, "line", line->text);
    json_object_end(json);
}

/* ---- following ---- */

struct following {
    struct node_log_watch watch;
    struct control_request *request;
    struct log_kept_pick pick; /* after: the newest that was told */
};

struct telling {
    struct following *following;
    struct buf lines; /* replies are sent when the log's mutex is free */
    struct json json;
};

static void tell_line(void *user, const struct log_kept_line *line)
{
    struct telling *telling = user;

    put_line(&telling->json, line);
    telling->following->pick.after = line->seq;
}

/* What was written since the last time. The watch only says that there is something. */
static void tell_new(struct following *following)
{
    struct telling telling = {.following = following};
    struct control_reply reply;

    telling.json = json_begin(&telling.lines);
    json_array_begin(&telling.json);
    node_log_lines(following->request->node, &following->pick, tell_line, &telling);
    json_array_end(&telling.json);
    if (json_end(&telling.json) == 0 && telling.lines.len > 2) {
        control_reply_begin(&reply, following->request);
        json_key(&reply.json, "lines");
        json_raw(&reply.json, (const char *)telling.lines.data, telling.lines.len);
        control_reply_end(&reply, true, NULL, 0);
    }
    buf_deinit(&telling.lines);
}

static void on_line(struct node_log_watch *watch, enum kith_log_level level, const char *line)
{
    (void)level;
    (void)line;
    tell_new(container_of(watch, struct following, watch));
}

static void following_end(struct control_request *request)
{
    struct following *following = request->state;

    node_log_watch_remove(request->node, &following->watch);
    core_free(following);
    control_request_unref(request);
}

static void follow(struct control_request *request, const struct log_kept_pick *pick)
{
    struct following *following = core_calloc(1, sizeof(*following));

    if (following == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    following->pick = *pick;
    following->pick.lines_max = SIZE_MAX;
    following->pick.bytes_max = NODE_LOG_FOLLOW_BYTES;
    following->watch.cb = on_line;
    following->watch.level = pick->level;
    following->request = control_request_ref(request);
    request->state = following;
    request->cancel = following_end;
    node_log_watch_add(request->node, &following->watch);
    tell_new(following);
}

/* ---- the verb ---- */

static void answer(struct control_request *request, const struct log_kept_pick *pick)
{
    struct kith_node_id self = kith_node_self(request->node);
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_kv_id(&reply.json, "node", &self);
    json_kv_text(&reply.json, "name", kith_node_name(request->node));
    json_kv_text(&reply.json, "level", node_log_level_text(node_get_log_level(request->node)));
    json_key(&reply.json, "lines");
    json_array_begin(&reply.json);
    node_log_lines(request->node, pick, put_line, &reply.json);
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

static void logs(struct control_request *request)
{
    const char *level = control_text(request, "level");
    struct log_kept_pick pick = {.after = control_u64(request, "after", 0),
                                 .before = control_u64(request, "before", UINT64_MAX),
                                 .level = KITH_LOG_DEBUG,
                                 .bytes_max = NODE_LOG_ANSWER_BYTES};
    uint64_t lines = control_u64(request, "lines", LINES_ABSENT);

    if (level != NULL && node_log_level_parse(level, &pick.level) != 0) {
        control_fail(request, KITH_E_INVALID, "a log level is error, warn, info or debug");
        return;
    }
    pick.lines_max = lines < NODE_LOG_KEPT_LINES ? (size_t)lines : NODE_LOG_KEPT_LINES;
    if (control_bool(request, "follow", false))
        follow(request, &pick);
    else
        answer(request, &pick);
}

const struct control_verb control_verbs_log[] = {
    {.name = "logs", .run = logs, .forward = "node", .remote = true},
    {0},
};
