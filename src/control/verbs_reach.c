/*
 * The verb reach: which nodes can and cannot reach which. Every alive node is asked (reach.self)
 * to echo every other, and the answers are put together.
 */
#include <string.h>

#include "control/forward.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "member/member.h"

#define REACH_NODES_MAX  256
#define REACH_ECHO_MS    2000
#define REACH_ANSWER_MS  6000
#define REACH_LINK_BYTES 320

static bool is_here(const struct member *member)
{
    return member->facts.role != KITH_ROLE_PROGRAM && member->status != KITH_STATUS_LEFT;
}

/* ---- one node's view ---- */

struct reaching {
    struct control_request *request;
    struct buf links; /* objects with commas between */
    unsigned left_n;
};

struct echo {
    struct reaching *reaching;
    struct kith_node_id to;
};

static void put_link(struct buf *links,
                     const struct kith_node_id *from,
                     const struct kith_node_id *to,
                     int code,
                     uint64_t rtt_ns,
                     const char *error)
{
    if (links->len > 0)
        (void)buf_append_u8(links, ',');
    struct json json = json_begin(links);
    json_object_begin(&json);
    json_kv_id(&json, "from", from);
    json_kv_id(&json, "to", to);
    json_kv_bool(&json, "ok", code == 0);
    json_key(&json, "rtt_ms");
    if (code == 0)
        json_f64(&json, control_ms(rtt_ns));
    else
        json_write_null(&json);
    json_kv_text(&json, "error", code == 0 ? NULL : error);
    json_object_end(&json);
    (void)json_end(&json);
}

static void reaching_done(struct reaching *reaching)
{
    struct control_reply reply;

    if (--reaching->left_n > 0)
        return;
    control_reply_begin(&reply, reaching->request);
    json_key(&reply.json, "links");
    json_array_begin(&reply.json);
    if (reaching->links.len > 0)
        json_raw(&reply.json, (const char *)reaching->links.data, reaching->links.len);
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
    control_request_unref(reaching->request);
    buf_deinit(&reaching->links);
    core_free(reaching);
}

static void on_echo(void *arg, int code, uint64_t rtt_ns)
{
    struct echo *echo = arg;
    struct reaching *reaching = echo->reaching;
    struct kith_node_id self = kith_node_self(reaching->request->node);
    const char *error = kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(code);

    put_link(&reaching->links, &self, &echo->to, code, rtt_ns, error);
    core_free(echo);
    reaching_done(reaching);
}

static void echo_one(struct reaching *reaching, const struct member *member)
{
    char id[KITH_NODE_ID_DIGITS + 1];
    struct echo *echo = core_calloc(1, sizeof(*echo));

    if (echo == NULL)
        return;
    *echo = (struct echo){.reaching = reaching, .to = member->id};
    reaching->left_n++;
    kith_node_id_text(&member->id, id);
    kith_errmsg_clear();
    int r = node_ping(reaching->request->node, id, REACH_ECHO_MS, on_echo, echo);
    if (r != 0)
        on_echo(echo, r, 0);
}

static void reach_self(struct control_request *request)
{
    struct kith_node_id self = kith_node_self(request->node);
    struct reaching *reaching = core_calloc(1, sizeof(*reaching));
    struct member *member;
    size_t at = 0, n = 0;

    if (reaching == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    reaching->request = control_request_ref(request);
    reaching->left_n = 1; /* ourselves, until all are asked */
    while ((member = member_next(node_members(request->node), &at)) != NULL) {
        if (is_here(member) && !kith_node_id_equal(&member->id, &self) && n++ < REACH_NODES_MAX)
            echo_one(reaching, member);
    }
    reaching_done(reaching);
}

/* ---- all of them ---- */

struct gathering {
    struct control_request *request;
    json_t *links;
    unsigned left_n;
};

struct asked_node {
    struct gathering *gathering;
    struct kith_node_id id;
};

static void put_nodes(struct json *json, struct kith_node *node)
{
    struct member *member;
    size_t at = 0;

    json_key(json, "nodes");
    json_array_begin(json);
    while ((member = member_next(node_members(node), &at)) != NULL) {
        if (!is_here(member))
            continue;
        json_object_begin(json);
        json_kv_id(json, "id", &member->id);
        json_kv_text(json, "name", member->shown_name);
        json_kv_text(json, "status", kith_status_text(member->status));
        json_object_end(json);
    }
    json_array_end(json);
}

static void gathering_done(struct gathering *gathering)
{
    struct control_reply reply;

    if (--gathering->left_n > 0)
        return;
    char *links = json_dumps(gathering->links, JSON_COMPACT);
    control_reply_begin(&reply, gathering->request);
    put_nodes(&reply.json, gathering->request->node);
    json_key(&reply.json, "links");
    json_raw(&reply.json, links != NULL ? links : "[]", links != NULL ? strlen(links) : 2);
    control_reply_end(&reply, false, NULL, 0);
    free(links);
    json_decref(gathering->links);
    control_request_unref(gathering->request);
    core_free(gathering);
}

/* What could not be asked counts as unable to reach anybody as far as we know. */
static void
put_unasked(struct gathering *gathering, const struct asked_node *asked, const char *why)
{
    struct kith_node_id self = kith_node_self(gathering->request->node);
    char from[KITH_NODE_ID_DIGITS + 1], to[KITH_NODE_ID_DIGITS + 1];

    json_array_append_new(gathering->links,
                          json_pack("{s:s,s:s,s:b,s:n,s:s}", "from",
                                    kith_node_id_text(&asked->id, from), "to",
                                    kith_node_id_text(&self, to), "ok", 0, "rtt_ms", "error", why));
}

static void on_view(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct asked_node *asked = user;
    struct gathering *gathering = asked->gathering;
    json_error_t error;
    json_t *message = result->outcome == KITH_OUTCOME_OK
                          ? json_loadb(result->data, result->len, 0, &error)
                          : NULL;
    json_t *links = json_object_get(json_object_get(message, "result"), "links");

    (void)node;
    if (json_is_array(links))
        json_array_extend(gathering->links, links);
    else
        put_unasked(gathering, asked, result->text);
    json_decref(message);
    core_free(asked);
    gathering_done(gathering);
}

static void ask_node(struct gathering *gathering, const struct member *member)
{
    static const char line[] = "{\"verb\":\"reach.self\",\"args\":{}}";
    char id[KITH_NODE_ID_DIGITS + 1];
    struct kith_call_options options = {.node = kith_node_id_text(&member->id, id),
                                        .timeout_ms = REACH_ANSWER_MS,
                                        .no_retry = true};
    struct asked_node *asked = core_calloc(1, sizeof(*asked));

    if (asked == NULL)
        return;
    *asked = (struct asked_node){.gathering = gathering, .id = member->id};
    gathering->left_n++;
    int r = kith_call_async(gathering->request->node, CONTROL_FUNCTION, line, sizeof(line) - 1,
                            &options, on_view, asked, NULL);
    if (r != 0) {
        put_unasked(gathering, asked, kith_strerror(r));
        core_free(asked);
        gathering->left_n--;
    }
}

static void reach(struct control_request *request)
{
    struct gathering *gathering = core_calloc(1, sizeof(*gathering));
    struct member *member;
    size_t at = 0, n = 0;

    if (gathering == NULL || (gathering->links = json_array()) == NULL) {
        core_free(gathering);
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    gathering->request = control_request_ref(request);
    gathering->left_n = 1;
    while ((member = member_next(node_members(request->node), &at)) != NULL) {
        if (is_here(member) && n++ < REACH_NODES_MAX)
            ask_node(gathering, member);
    }
    gathering_done(gathering);
}

const struct control_verb control_verbs_reach[] = {
    {.name = "reach", .run = reach},
    {.name = "reach.self", .run = reach_self, .remote = true},
    {0},
};
