/*
 * The driver of the rpc core: frames in, actions out.
 *
 * Actions are valid until the next step, and callbacks of users may want to step again (a call made
 * in a completion). So a callback may nest a step only if it belongs to the last action of its step
 * and what it is shown outlives the step: copied, or in the frame that is being handled. All other
 * callbacks run with rpc_stepping set, which turns their requests into entries of the queue.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"

/* ---- sending ---- */

/* A body that the channel reads from where it lies, until it says that it is done. */
struct body_release {
    struct kith_node *node;
    void *release;
    bool asking; /* inside uv_net_send_take(): a refusal must be told before the release */
};

static void on_body_sent(void *arg)
{
    struct body_release *body = arg;
    if (body->asking) {
        body->asking = false;
        return;
    }
    rpc_body_release(body->node->rpc, body->release);
    core_free(body);
}

static int send_kept(struct kith_node *node, struct uv_peer *peer, const struct rpc_action *action)
{
    struct body_release *body = core_malloc(sizeof(*body));
    if (body == NULL)
        return KITH_E_MEMORY;
    *body = (struct body_release){.node = node, .release = action->release, .asking = true};
    int r = uv_net_send_take(node->net, peer, action->net_class, action->frame_type, action->head,
                             action->body, on_body_sent, body);
    bool done = !body->asking;
    body->asking = false;
    if (r == 0 && done)
        on_body_sent(body);
    else if (r != 0)
        core_free(body);
    return r;
}

static struct uv_peer *channel_of(struct kith_node *node, const struct rpc_action *action)
{
    struct uv_peer *peer = action->peer != NULL ? rpc_peer_user(action->peer) : NULL;
    return peer != NULL ? peer : uv_net_find(node->net, &action->to);
}

static int do_send(struct kith_node *node, const struct rpc_action *action)
{
    struct uv_peer *peer = channel_of(node, action);

    if (peer == NULL)
        return KITH_E_NO_NODE;
    if (action->release != NULL)
        return send_kept(node, peer, action);
    struct kith_bytes parts[2] = {action->head, action->body};
    return uv_net_send(node->net, peer, action->net_class, action->frame_type, parts,
                       action->body.len > 0 ? 2 : 1);
}

/* The core must hear something of each CONNECT: at once, or by an event of the channel. */
static void do_connect(struct kith_node *node, const struct rpc_action *action)
{
    struct uv_peer *peer = channel_of(node, action);
    int r = peer != NULL ? uv_net_connect(node->net, peer, NET_RPC) : KITH_E_NO_NODE;
    if (r != 0 || uv_peer_is_open(peer, NET_RPC))
        rpc_connect_told(node->rpc, action, r, peer != NULL ? uv_peer_boot_no(peer) : 0);
}

static void watches_completion(struct kith_node *node, const struct kith_completion *completion);

/* ---- actions ---- */

/* Does the reply lie in the frame that brought it? Then no step can take it away. */
static bool is_in_frame(const struct rpc_event *event, const struct kith_result *result)
{
    const uint8_t *data = result->data;
    return event->type == RPC_FRAME && data >= event->u.frame.body &&
           data + result->len <= event->u.frame.body + event->u.frame.len;
}

/* @nest: no actions follow. What the core may write over in a nested step is copied, if small. */
static void do_complete(struct kith_node *node,
                        const struct rpc_event *event,
                        const struct rpc_action *action,
                        bool nest)
{
    struct kith_result result = *action->result;
    char text[RPC_ERROR_TEXT_SHOWN];
    uint8_t data[NODE_REPLY_COPIED_MAX];
    bool copy = nest && result.len > 0 && !is_in_frame(event, &result);
    bool last = nest && (!copy || result.len <= sizeof(data));

    if (last && result.text[0] != '\0') {
        snprintf(text, sizeof(text), "%s", result.text);
        result.text = text;
    }
    if (last && copy)
        result.data = memcpy(data, result.data, result.len);
    node->rpc_stepping += !last;
    node_call_complete(node, action->token, &result);
    node->rpc_stepping -= !last;
}

/* An end that comes while the call is being made: the callback has to wait until that returns. */
struct complete_later {
    struct node_request request;
    uint64_t token;
    struct kith_reply *reply;
};

static void complete_later_run(struct kith_node *node, struct node_request *request)
{
    struct complete_later *later = container_of(request, struct complete_later, request);
    node_call_complete(node, later->token, &later->reply->result);
    kith_reply_free(later->reply);
    core_free(later);
}

static void complete_later(struct kith_node *node, const struct rpc_action *action)
{
    struct complete_later *later = core_malloc(sizeof(*later));
    struct kith_reply *reply = node_reply_copy(action->result);

    if (later == NULL || reply == NULL) {
        core_free(later);
        kith_reply_free(reply);
        do_complete(node, NULL, action, false); /* too early is better than never */
        return;
    }
    *later = (struct complete_later){
        .request.run = complete_later_run, .token = action->token, .reply = reply};
    node_push(node, &later->request);
}

static void do_registry_changed(struct kith_node *node, uint64_t version)
{
    node->facts.registry_version = version;
    node->facts_dirty = true;
}

static void do_action(struct kith_node *node,
                      const struct rpc_event *event,
                      const struct rpc_action *action,
                      uint64_t registry_version,
                      bool last)
{
    switch (action->type) {
    case RPC_SEND: {
        int r = do_send(node, action);
        if (r == 0)
            break;
        rpc_send_failed(node->rpc, action, r);
        if (action->release != NULL)
            rpc_body_release(node->rpc, action->release);
        break;
    }
    case RPC_CONNECT:
        do_connect(node, action);
        break;
    case RPC_EXPORT_GONE:
        node_export_gone(action->user);
        break;
    case RPC_RUN:
        node_serve_run(node, action->serve, last);
        break;
    case RPC_ABORT:
        node->rpc_stepping++;
        node_serve_abort(node, action->serve);
        node->rpc_stepping--;
        break;
    case RPC_COMPLETE:
        do_complete(node, event, action, last);
        break;
    case RPC_PARTIAL_IN:
        node->rpc_stepping++;
        node_call_partial(node, action->token, action->body);
        node->rpc_stepping--;
        break;
    case RPC_COMPLETION:
        node->rpc_stepping++;
        watches_completion(node, action->completion);
        node->rpc_stepping--;
        break;
    case RPC_REGISTRY_CHANGED:
        do_registry_changed(node, registry_version);
        node->maps_stale = true;
        break;
    case RPC_FUNCTIONS_CHANGED:
        node->maps_stale = true;
        break;
    }
}

static void maps_refresh_run(struct kith_node *node, struct node_request *request)
{
    (void)request;
    node->maps_stale_pushed = false;
    node_maps_refresh(node);
}

int node_rpc_step(struct kith_node *node, struct rpc_event *event)
{
    struct rpc_output out;

    assert(node->rpc_stepping == 0);
    event->now_ns = node_turn_ns(node);
    if (event->type == RPC_DONE)
        event->now_unix_ms = node_turn_unix_ms(node);
    int r = rpc_step(node->rpc, event, &out);
    if (r != 0 && r != KITH_E_CORRUPT)
        log_error(&node->log.log, "rpc", "a step failed", "error", kith_strerror(r), NULL);
    int code = r != 0 ? r : out.code;
    /* Nothing of a user's may run inside the making of a call. */
    bool calling = event->type == RPC_CALL;
    for (size_t i = 0; i < out.actions_n; i++) {
        if (calling && out.actions[i].type == RPC_COMPLETE)
            complete_later(node, &out.actions[i]);
        else
            do_action(node, event, &out.actions[i], out.registry_version,
                      !calling && i + 1 == out.actions_n);
    }
    if (event->type == RPC_FRAME && !out.owned_taken)
        core_free(event->u.frame.owned); /* results pointed into it */
    if (node->maps_stale && !node->maps_stale_pushed) {
        /* Not here: this step may be nested in one of a map. */
        node->maps_stale = false;
        node->maps_stale_pushed = true;
        node->maps_stale_request.run = maps_refresh_run;
        node_push(node, &node->maps_stale_request);
    }
    return code;
}

void node_rpc_frame(struct kith_node *node,
                    struct uv_peer *peer,
                    uint64_t boot_no,
                    struct net_frame *frame)
{
    struct rpc_event event; /* its largest kind is not cleared for each frame */
    event.type = RPC_FRAME;
    event.now_unix_ms = 0;
    event.u.frame.from = *uv_peer_id(peer);
    event.u.frame.boot_no = boot_no;
    event.u.frame.peer = NULL;
    event.u.frame.type = frame->type;
    event.u.frame.body = frame->body;
    event.u.frame.len = frame->len;
    event.u.frame.owned = net_frame_take(frame);
    node_rpc_step(node, &event);
}

void node_rpc_link(struct kith_node *node,
                   enum rpc_event_type type,
                   struct uv_peer *peer,
                   uint64_t boot_no)
{
    struct rpc_event event = {
        .type = type,
        .u.peer = {.id = *uv_peer_id(peer), .boot_no = boot_no, .name = "", .user = peer}};
    node_rpc_step(node, &event);
}

void node_boot_raised(struct kith_node *node)
{
    struct member_event member = {.type = MEMBER_BOOT, .boot_no = node->boot_no};
    struct rpc_event rpc = {.type = RPC_BOOT, .u.boot_no = node->boot_no};
    node_member_step(node, &member);
    node_rpc_step(node, &rpc);
    node_state_boot_raised(node);
}

/* ---- names ---- */

uint64_t node_name_hash_of(struct kith_node *node, const char *fn)
{
    size_t len = strlen(fn);
    struct node_name_hash *slot = &node->name_cache[hash_bytes(fn, len, 0) % NODE_NAME_CACHE];
    if (slot->name != NULL && strcmp(slot->name, fn) == 0) {
        node->name_last = slot;
        return slot->hash;
    }
    uint64_t hash = rpc_name_hash(fn);
    char *name = core_strndup(fn, len);
    if (name != NULL) {
        core_free(slot->name);
        slot->name = name;
        slot->hash = hash;
        node->name_last = slot;
    }
    return hash;
}

/* ---- life ---- */

int node_rpc_open(struct kith_node *node)
{
    struct rpc_config config = {
        .self = node->identity.id,
        .self_name = node->name,
        .boot_no = node->boot_no,
        .seed = node_seed(),
        .body_bytes_max =
            (uint32_t)(node->arg_bytes_max > node->reply_bytes_max ? node->arg_bytes_max
                                                                   : node->reply_bytes_max),
        .workers = node->workers_n,
        .calls_pending_max = (uint32_t)config_u64(node->config, "rpc.pending_max"),
        .link_events = true,
    };
    node->name_cache = core_calloc(NODE_NAME_CACHE, sizeof(*node->name_cache));
    if (node->name_cache == NULL)
        return KITH_E_MEMORY;
    return rpc_new(&node->rpc, &config);
}

static void watch_free(struct node_completion_watch *watch)
{
    list_remove(&watch->link);
    core_free(watch->fn);
    core_free(watch);
}

void node_rpc_deinit(struct kith_node *node)
{
    rpc_free(node->rpc);
    node->rpc = NULL;
    for (size_t i = 0; node->name_cache != NULL && i < NODE_NAME_CACHE; i++)
        core_free(node->name_cache[i].name);
    core_free(node->name_cache);
    for (struct list *link; (link = list_first(&node->completion_watches)) != NULL;)
        watch_free(container_of(link, struct node_completion_watch, link));
}

/* ---- the registry, for people ---- */

struct functions_copy {
    struct kith_function_list *list;
    int code;
};

static size_t text_bytes(const struct rpc_function *fn)
{
    return strlen(fn->name) + strlen(fn->version) + strlen(fn->description) +
           strlen(fn->signature) + 4;
}

static const char *put(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    const char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

static const char *shown_name(struct kith_node *node, const struct kith_node_id *id)
{
    const struct member *member = member_find(node->members, id);
    return member != NULL ? member->shown_name : "";
}

static int by_name(const void *a, const void *b)
{
    const struct kith_function_info *fa = a, *fb = b;
    int order = strcmp(fa->name, fb->name);
    return order != 0 ? order : strcmp(fa->node_name, fb->node_name);
}

static void functions_copy(struct kith_node *node, void *arg)
{
    struct functions_copy *copy = arg;
    struct rpc_function fn;
    size_t n = 0, bytes = 0, at = 0;

    while (rpc_function_next(node->rpc, &at, &fn)) {
        n++;
        bytes += text_bytes(&fn) + strlen(shown_name(node, &fn.node)) + 1;
    }
    struct kith_function_list *list =
        core_malloc(sizeof(*list) + n * sizeof(struct kith_function_info) + bytes);
    if (list == NULL) {
        copy->code = KITH_E_MEMORY;
        return;
    }
    list->functions = (struct kith_function_info *)(void *)(list + 1);
    list->functions_n = 0;
    char *text = (char *)(list->functions + n);
    for (at = 0; rpc_function_next(node->rpc, &at, &fn);) {
        list->functions[list->functions_n++] = (struct kith_function_info){
            .name = put(&text, fn.name),
            .version = put(&text, fn.version),
            .description = put(&text, fn.description),
            .signature = put(&text, fn.signature),
            .flags = fn.flags,
            .node = fn.node,
            .node_name = put(&text, shown_name(node, &fn.node)),
            .calls_n = fn.calls_n,
            .errors_n = fn.errors_n,
        };
    }
    qsort(list->functions, list->functions_n, sizeof(*list->functions), by_name);
    copy->list = list;
}

int kith_functions(struct kith_node *node, struct kith_function_list **list_out)
{
    struct functions_copy copy = {0};
    int r = node_run(node, functions_copy, &copy);
    if (r == 0)
        r = copy.code;
    *list_out = copy.list;
    return r;
}

void kith_function_list_free(struct kith_function_list *list)
{
    core_free(list);
}

/* ---- watching completions ---- */

struct watch_change {
    struct node_completion_watch *watch; /* on: to add */
    int64_t no;                          /* off: to remove; on: given */
    int code;
};

static bool watched_otherwise(struct kith_node *node, const char *fn)
{
    list_for_each (it, &node->completion_watches) {
        if (strcmp(container_of(it, struct node_completion_watch, link)->fn, fn) == 0)
            return true;
    }
    return false;
}

static void watch_on(struct kith_node *node, void *arg)
{
    struct watch_change *change = arg;
    if (node->next_watch_no - node->watches_gone >= RPC_WATCHES_MAX) {
        change->code = KITH_E_LIMIT;
        return;
    }
    bool first = !watched_otherwise(node, change->watch->fn);
    change->watch->no = change->no = ++node->next_watch_no;
    list_append(&node->completion_watches, &change->watch->link);
    if (first) {
        struct rpc_event event = {.type = RPC_WATCH_ON, .u.name = change->watch->fn};
        node_rpc_step_soon(node, &event);
    }
}

int64_t
kith_watch_completions(struct kith_node *node, const char *fn, kith_completion_cb cb, void *user)
{
    if (node == NULL || fn == NULL || cb == NULL)
        return kith_fail_with(KITH_E_INVALID,
                              "a watch needs a node, a function name and a callback");
    if (!text_is_function_name(fn))
        return kith_fail_with(KITH_E_NAME, "\"%.64s\" is no function name", fn);
    struct node_completion_watch *watch = core_calloc(1, sizeof(*watch));
    if (watch == NULL || (watch->fn = core_strndup(fn, strlen(fn))) == NULL) {
        core_free(watch);
        return KITH_E_MEMORY;
    }
    watch->cb = cb;
    watch->user = user;
    struct watch_change change = {.watch = watch};
    int r = node_run(node, watch_on, &change);
    if (r == 0 && change.code != 0)
        r = kith_fail_with(change.code, "%d watches are on, which is the limit of a node; end one",
                           RPC_WATCHES_MAX);
    if (r == 0)
        return change.no;
    watch_free(watch);
    return r;
}

static void watch_off(struct kith_node *node, void *arg)
{
    struct watch_change *change = arg;
    list_for_each_safe (it, &node->completion_watches) {
        struct node_completion_watch *watch = container_of(it, struct node_completion_watch, link);
        if (watch->no != change->no)
            continue;
        if (node->completion_next == it)
            node->completion_next = it->next;
        list_remove(it);
        node->watches_gone++;
        if (!watched_otherwise(node, watch->fn)) {
            struct rpc_event event = {.type = RPC_WATCH_OFF, .u.name = watch->fn};
            node_rpc_step_soon(node, &event);
        }
        watch_free(watch);
    }
}

void kith_unwatch_completions(struct kith_node *node, int64_t watch_no)
{
    struct watch_change change = {.no = watch_no};
    (void)node_run(node, watch_off, &change);
}

static void watches_completion(struct kith_node *node, const struct kith_completion *completion)
{
    struct list *it = node->completion_watches.next;

    /* A callback may end any watch, the next one too: watch_off() then moves on for us. */
    for (; it != &node->completion_watches; it = node->completion_next) {
        struct node_completion_watch *watch = container_of(it, struct node_completion_watch, link);
        node->completion_next = it->next;
        if (strcmp(watch->fn, completion->fn) != 0)
            continue;
        uint64_t began_ns = node_callback_begin(node);
        watch->cb(node, completion, watch->user);
        node_callback_end(node, began_ns, "completion of", completion->fn);
    }
    node->completion_next = NULL;
}

/* ---- steps that a callback asks for ---- */

struct step_later {
    struct node_request request;
    struct rpc_event event;
    char name[KITH_NAME_BYTES_MAX + 1];
};

static void step_later_run(struct kith_node *node, struct node_request *request)
{
    struct step_later *later = container_of(request, struct step_later, request);
    if (later->event.type == RPC_PARALLEL)
        later->event.u.parallel.name = later->name;
    else
        later->event.u.name = later->name;
    node_rpc_step(node, &later->event);
    core_free(later);
}

/* An event that carries a name, now or as soon as no step runs. */
void node_rpc_step_soon(struct kith_node *node, struct rpc_event *event)
{
    if (node->rpc_stepping == 0) {
        node_rpc_step(node, event);
        return;
    }
    struct step_later *later = core_malloc(sizeof(*later));
    if (later == NULL)
        return;
    later->request.run = step_later_run;
    later->event = *event;
    snprintf(later->name, sizeof(later->name), "%s",
             event->type == RPC_PARALLEL ? event->u.parallel.name : event->u.name);
    node_push(node, &later->request);
}
