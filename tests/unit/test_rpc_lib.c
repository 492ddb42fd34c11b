#include "test_rpc_lib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct kith_node_id desk_id(size_t index)
{
    struct kith_node_id id = {{0}};
    put_le64(id.bytes, index + 1);
    put_le64(id.bytes + 8, (index + 1) * 0x9e3779b97f4a7c15ull);
    return id;
}

struct desk *desk_new(size_t nodes_n, const struct rpc_config *config)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    assert_non_null(desk);
    desk->nodes_n = nodes_n;
    desk->now_ns = 1000000ull * 1000000ull;
    desk->last = &desk->first;
    desk->check = true;
    for (size_t i = 0; i < nodes_n; i++) {
        struct desk_node *node = &desk->nodes[i];
        node->desk = desk;
        node->index = i;
        node->id = desk_id(i);
        node->boot_no = 1;
        if (config != NULL)
            node->config = *config;
        node->config.self = node->id;
        node->config.boot_no = 1;
        node->config.seed = 7 + i;
        if (node->config.workers == 0)
            node->config.workers = 4;
        assert_int_equal(rpc_new(&node->core, &node->config), 0);
        node->due_ms = UINT64_MAX;
    }
    return desk;
}

static void free_results(struct desk_node *node)
{
    for (size_t i = 0; i < node->results_n; i++)
        buf_deinit(&node->results[i].data);
    free(node->results);
    node->results = NULL;
    node->results_n = 0;
    node->results_cap = 0;
}

void desk_free(struct desk *desk)
{
    desk_drop_all(desk);
    if (desk->stray != NULL)
        desk_drop(desk->stray);
    for (size_t i = 0; i < desk->nodes_n; i++) {
        rpc_free(desk->nodes[i].core);
        free_results(&desk->nodes[i]);
        free(desk->nodes[i].partial.data);
    }
    free(desk);
}

struct desk *desk_new_cluster(size_t nodes_n, const struct rpc_config *config)
{
    struct desk *desk = desk_new(nodes_n, config);
    for (size_t i = 0; i < nodes_n; i++) {
        for (size_t k = 0; k < nodes_n; k++) {
            if (i != k)
                desk_peer_up(desk, i, k);
        }
    }
    desk_settle(desk);
    return desk;
}

/* ---- actions ---- */

static size_t index_of(const struct kith_node_id *id)
{
    return (size_t)get_le64(id->bytes) - 1;
}

static void do_send(struct desk_node *node, const struct rpc_action *action)
{
    struct desk *desk = node->desk;
    bool call = action->frame_type == FRAME_CALL && node->refuse_calls;
    bool result = action->frame_type == FRAME_RESULT && node->refuse_results;
    node->sends_n++;
    if (call || result) {
        rpc_send_failed(node->core, action, KITH_E_BUSY);
        if (action->release != NULL)
            rpc_body_release(node->core, action->release);
        return;
    }
    struct desk_frame *frame = calloc(1, sizeof(*frame));
    assert_non_null(frame);
    frame->from = node->index;
    frame->to = index_of(&action->to);
    frame->from_boot = node->boot_no;
    frame->to_boot = frame->to < desk->nodes_n ? desk->nodes[frame->to].boot_no : 0;
    frame->net_class = action->net_class;
    frame->type = action->frame_type;
    frame->body.data = malloc(action->head.len + action->body.len + 1);
    assert_non_null(frame->body.data);
    if (action->head.len > 0)
        memcpy(frame->body.data, action->head.data, action->head.len);
    if (action->body.len > 0)
        memcpy(frame->body.data + action->head.len, action->body.data, action->body.len);
    frame->body.len = action->head.len + action->body.len;
    if (action->release != NULL)
        rpc_body_release(node->core, action->release);
    if (frame->to >= desk->nodes_n) {
        if (desk->stray != NULL)
            desk_drop(desk->stray);
        desk->stray = frame;
        desk->strays_n++;
        return;
    }
    if (desk->filter != NULL && desk->filter(desk, frame))
        return;
    *desk->last = frame;
    desk->last = &frame->next;
    desk->frames_n++;
}

static void do_complete(struct desk_node *node, const struct rpc_action *action)
{
    const struct kith_result *from = action->result;
    if (node->results_n == node->results_cap) {
        node->results_cap = node->results_cap == 0 ? 64 : node->results_cap * 2;
        node->results = realloc(node->results, node->results_cap * sizeof(*node->results));
        assert_non_null(node->results);
    }
    struct desk_result *result = &node->results[node->results_n++];
    memset(result, 0, sizeof(*result));
    result->token = action->token;
    result->outcome = from->outcome;
    result->code = from->code;
    if (from->len > 0) {
        result->data.data = malloc(from->len);
        memcpy(result->data.data, from->data, from->len);
        result->data.len = from->len;
    }
    snprintf(result->text, sizeof(result->text), "%s", from->text);
    snprintf(result->node_name, sizeof(result->node_name), "%s", from->node_name);
    result->node = from->node;
    result->elapsed_ns = from->elapsed_ns;
}

static void do_partial(struct desk_node *node, const struct rpc_action *action)
{
    node->partials_n++;
    node->partial_token = action->token;
    free(node->partial.data);
    node->partial.data = malloc(action->body.len + 1);
    node->partial.len = action->body.len;
    memcpy(node->partial.data, action->body.data, action->body.len);
}

static void do_action(struct desk_node *node, const struct rpc_action *action)
{
    switch (action->type) {
    case RPC_SEND:
        do_send(node, action);
        break;
    case RPC_RUN:
        node->runs_n++;
        assert_true(node->running_n < 16384);
        node->running[node->running_n++] = action->serve;
        break;
    case RPC_ABORT:
        node->aborts_n++;
        break;
    case RPC_COMPLETE:
        do_complete(node, action);
        break;
    case RPC_PARTIAL_IN:
        do_partial(node, action);
        break;
    case RPC_COMPLETION:
        node->completions_n++;
        node->completion = *action->completion;
        node->completions_missed_n += action->completion->missed_n;
        break;
    case RPC_REGISTRY_CHANGED:
        node->registry_changed_n++;
        break;
    case RPC_FUNCTIONS_CHANGED:
        node->functions_changed_n++;
        break;
    case RPC_CONNECT:
        node->connects_n++;
        if (node->tell_connect)
            rpc_connect_told(node->core, action, node->connect_code, node->connect_boot_no);
        break;
    case RPC_EXPORT_GONE:
        node->gone_n++;
        node->gone_user = action->user;
        break;
    }
}

/* As the driver of a node does it: it looks for the deadline only if one may have come before. */
static void arm(struct desk_node *node)
{
    if (!rpc_due_before(node->core, node->due_ms))
        return;
    uint64_t at_ms = rpc_deadline_ms(node->core);
    if (at_ms < node->due_ms)
        node->due_ms = at_ms;
}

int desk_step(struct desk_node *node, struct rpc_event *event)
{
    if (event->type == RPC_TICK)
        node->due_ms = UINT64_MAX;
    event->now_ns = node->desk->now_ns;
    if (event->now_unix_ms == 0)
        event->now_unix_ms = 1700000000000ull;
    int r = rpc_step(node->core, event, &node->out);
    if (node->desk->check)
        rpc_check(node->core);
    size_t before = node->running_n;
    for (size_t i = 0; i < node->out.actions_n; i++)
        do_action(node, &node->out.actions[i]);
    struct rpc_output out = node->out;
    /* User code runs after the actions are done, as in the driver. */
    if (node->on_run != NULL) {
        while (node->running_n > before)
            node->on_run(node, node->running[--node->running_n]);
        node->out = out;
    }
    node->out.actions = NULL;
    arm(node);
    return r;
}

/* ---- frames ---- */

struct desk_frame *desk_take(struct desk *desk, size_t at)
{
    struct desk_frame **link = &desk->first;
    while (at-- > 0 && *link != NULL)
        link = &(*link)->next;
    struct desk_frame *frame = *link;
    if (frame == NULL)
        return NULL;
    *link = frame->next;
    if (desk->last == &frame->next)
        desk->last = link;
    frame->next = NULL;
    desk->frames_n--;
    return frame;
}

void desk_drop(struct desk_frame *frame)
{
    free(frame->body.data);
    free(frame);
}

struct desk_frame *desk_copy(const struct desk_frame *frame)
{
    struct desk_frame *copy = calloc(1, sizeof(*copy));
    *copy = *frame;
    copy->next = NULL;
    copy->body.data = malloc(frame->body.len + 1);
    if (frame->body.len > 0)
        memcpy(copy->body.data, frame->body.data, frame->body.len);
    return copy;
}

void desk_give(struct desk *desk, struct desk_frame *frame)
{
    struct desk_node *node = &desk->nodes[frame->to];
    struct desk_node *from = &desk->nodes[frame->from];
    struct rpc_event event = {.type = RPC_FRAME};
    event.u.frame.from = from->id;
    event.u.frame.boot_no = frame->from_boot;
    event.u.frame.type = frame->type;
    event.u.frame.body = frame->body.data;
    event.u.frame.len = frame->body.len;
    /* Large ones come in a block of their own, as from the channel. */
    if (frame->body.len > 1024)
        event.u.frame.owned = frame->body.data;
    desk_step(node, &event);
    if (node->out.owned_taken)
        frame->body.data = NULL;
    desk_drop(frame);
}

int desk_inject(struct desk_node *node,
                struct kith_node_id id,
                uint64_t boot_no,
                uint8_t type,
                const void *body,
                size_t len)
{
    struct rpc_event event = {.type = RPC_FRAME};
    event.u.frame.from = id;
    event.u.frame.boot_no = boot_no;
    event.u.frame.type = type;
    event.u.frame.body = body;
    event.u.frame.len = len;
    return desk_step(node, &event);
}

bool desk_deliver(struct desk *desk)
{
    struct desk_frame *frame = desk_take(desk, 0);
    if (frame == NULL)
        return false;
    desk_give(desk, frame);
    return true;
}

void desk_drop_all(struct desk *desk)
{
    struct desk_frame *frame;
    while ((frame = desk_take(desk, 0)) != NULL)
        desk_drop(frame);
}

size_t desk_frames_of(const struct desk *desk, uint8_t type)
{
    size_t n = 0;
    for (const struct desk_frame *frame = desk->first; frame != NULL; frame = frame->next)
        n += frame->type == type;
    return n;
}

void desk_settle(struct desk *desk)
{
    for (int i = 0; desk_deliver(desk); i++)
        assert_true(i < 1000000);
}

void desk_tick(struct desk_node *node)
{
    struct rpc_event event = {.type = RPC_TICK};
    desk_step(node, &event);
}

void desk_pass(struct desk *desk, uint64_t ms)
{
    uint64_t end_ms = desk->now_ns / 1000000 + ms;
    for (;;) {
        desk_settle(desk);
        uint64_t next_ms = end_ms;
        struct desk_node *next = NULL;
        for (size_t i = 0; i < desk->nodes_n; i++) {
            uint64_t at_ms = desk->nodes[i].due_ms;
            if (at_ms < next_ms) {
                next_ms = at_ms;
                next = &desk->nodes[i];
            }
        }
        if (next_ms * 1000000 > desk->now_ns)
            desk->now_ns = next_ms * 1000000;
        if (next == NULL)
            break;
        uint64_t before = next->due_ms;
        desk_tick(next);
        /* The wheel fires up to a tick late: time must not stand still. */
        if (next->due_ms == before && before != 0)
            desk->now_ns += 1000000;
    }
    for (size_t i = 0; i < desk->nodes_n; i++)
        desk_tick(&desk->nodes[i]);
    desk_settle(desk);
}

/* ---- nodes ---- */

void desk_peer_up(struct desk *desk, size_t at, size_t peer)
{
    char name[32];
    snprintf(name, sizeof(name), "node-%zu", peer);
    struct rpc_event event = {.type = RPC_PEER_UP};
    event.u.peer.id = desk->nodes[peer].id;
    event.u.peer.boot_no = desk->nodes[peer].boot_no;
    event.u.peer.name = name;
    assert_int_equal(desk_step(&desk->nodes[at], &event), 0);
}

void desk_peer_down(struct desk *desk, size_t at, size_t peer, bool left)
{
    struct rpc_event event = {.type = RPC_PEER_DOWN};
    event.u.peer.id = desk->nodes[peer].id;
    event.u.peer.boot_no = desk->nodes[peer].boot_no;
    event.u.peer.left = left;
    desk_step(&desk->nodes[at], &event);
}

void desk_link(struct desk *desk, size_t at, size_t peer, enum rpc_event_type type)
{
    struct rpc_event event = {.type = type};
    event.u.peer.id = desk->nodes[peer].id;
    event.u.peer.boot_no = type == RPC_LINK_UP ? desk->nodes[peer].boot_no : 0;
    desk_step(&desk->nodes[at], &event);
}

void desk_restart(struct desk *desk, size_t index)
{
    struct desk_node *node = &desk->nodes[index];
    rpc_free(node->core);
    node->boot_no++;
    node->config.boot_no = node->boot_no;
    node->running_n = 0;
    assert_int_equal(rpc_new(&node->core, &node->config), 0);
    node->due_ms = UINT64_MAX;
}

/* ---- functions and calls ---- */

static int no_function(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    (void)ctx, (void)arg, (void)arg_len, (void)user;
    return 0;
}

int desk_export(struct desk_node *node, const struct kith_export *fn)
{
    struct rpc_event event = {.type = RPC_EXPORT};
    event.u.export_fn.desc = fn;
    event.u.export_fn.user = node;
    desk_step(node, &event);
    return node->out.code;
}

int desk_offer(struct desk_node *node, const char *name, uint32_t flags, uint32_t parallel)
{
    struct kith_export fn = {.name = name, .flags = flags, .parallel = parallel, .fn = no_function};
    return desk_export(node, &fn);
}

int desk_unexport(struct desk_node *node, const char *name)
{
    struct rpc_event event = {.type = RPC_UNEXPORT};
    event.u.name = name;
    desk_step(node, &event);
    return node->out.code;
}

uint64_t desk_call(struct desk_node *node, struct rpc_call call)
{
    struct rpc_event event = {.type = RPC_CALL, .u.call = call};
    uint64_t token = ++node->desk->token;
    event.u.call.token = token;
    assert_int_equal(desk_step(node, &event), 0);
    return node->out.code == 0 ? token : 0;
}

uint64_t desk_call_name(struct desk_node *node, const char *fn, const char *arg)
{
    return desk_call(node, (struct rpc_call){.fn = fn, .arg = {.data = arg, .len = strlen(arg)}});
}

void desk_cancel(struct desk_node *node, uint64_t token)
{
    struct rpc_event event = {.type = RPC_CANCEL, .u.token = token};
    desk_step(node, &event);
}

void desk_done(struct desk_node *node,
               struct rpc_serve *serve,
               enum kith_outcome outcome,
               int code,
               const void *reply,
               size_t len)
{
    for (size_t i = 0; i < node->running_n; i++) {
        if (node->running[i] == serve) {
            memmove(node->running + i, node->running + i + 1,
                    (--node->running_n - i) * sizeof(node->running[0]));
            break;
        }
    }
    struct rpc_event event = {.type = RPC_DONE};
    event.u.done.serve = serve;
    event.u.done.outcome = outcome;
    event.u.done.code = code;
    event.u.done.reply = (struct kith_bytes){.data = reply, .len = len};
    desk_step(node, &event);
}

void desk_done_first(struct desk_node *node, const char *reply)
{
    assert_true(node->running_n > 0);
    desk_done(node, node->running[0], KITH_OUTCOME_OK, 0, reply, strlen(reply));
}

void desk_echo(struct desk_node *node, struct rpc_serve *serve)
{
    struct kith_bytes arg = rpc_serve_arg(serve);
    desk_done(node, serve, KITH_OUTCOME_OK, 0, arg.data, arg.len);
}

struct desk_result *desk_result(struct desk_node *node, uint64_t token)
{
    struct desk_result *found = NULL;
    for (size_t i = 0; i < node->results_n; i++) {
        if (node->results[i].token != token)
            continue;
        assert_null(found); /* exactly one COMPLETE */
        found = &node->results[i];
    }
    return found;
}

void desk_expect(struct desk_node *node, uint64_t token, enum kith_outcome outcome, int code)
{
    struct desk_result *result = desk_result(node, token);
    assert_non_null(result);
    if (result == NULL)
        return;
    if (result->outcome != outcome || result->code != code)
        print_error("got %s %s: %s\n", kith_outcome_text(result->outcome),
                    kith_error_name(result->code), result->text);
    assert_int_equal(result->outcome, outcome);
    assert_int_equal(result->code, code);
}
