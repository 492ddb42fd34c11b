/*
 * Calls this node makes: from the public functions, on any thread, to a step of the rpc core and
 * back to a callback.
 *
 * On the loop a call goes straight into the core. From another thread, or from a callback that runs
 * while the actions of a step are still being carried out, it becomes a request of the queue.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"

/* ---- the table of calls ---- */

static struct node_call *call_at(struct kith_node *node, uint32_t index)
{
    return &node->calls.chunks[index / NODE_CALLS_CHUNK][index % NODE_CALLS_CHUNK];
}

static struct node_call *call_of(struct kith_node *node, uint64_t token)
{
    uint32_t index = (uint32_t)token - 1;
    struct node_call *call = call_at(node, index);
    assert(call->generation == (uint32_t)(token >> 32));
    return call;
}

/* Room for another chunk of calls. 0, KITH_E_LIMIT, KITH_E_MEMORY. */
static int calls_grow(struct node_calls *calls)
{
    uint32_t chunk = calls->made_n / NODE_CALLS_CHUNK;

    if (chunk == NODE_CALLS_CHUNKS)
        return kith_fail_with(KITH_E_LIMIT,
                              "%u calls are under way, which is the limit of a node; wait for some "
                              "to end",
                              (unsigned)RPC_CALLS_PENDING_MAX);
    struct node_call *made = core_calloc(NODE_CALLS_CHUNK, sizeof(*made));
    if (made == NULL)
        return KITH_E_MEMORY;
    calls->chunks[chunk] = made;
    for (uint32_t i = NODE_CALLS_CHUNK; i-- > 0;) {
        made[i].next_free = calls->first_free;
        calls->first_free = calls->made_n + i + 1;
    }
    calls->made_n += NODE_CALLS_CHUNK;
    return 0;
}

/* Takes a free call (there is one) and names it. */
static struct node_call *call_take(struct kith_node *node, uint64_t *token_out)
{
    uint32_t at = node->calls.first_free;
    struct node_call *call = call_at(node, at - 1);

    node->calls.first_free = call->next_free;
    call->generation++;
    call->busy = true;
    *token_out = (uint64_t)call->generation << 32 | at;
    return call;
}

static void call_release(struct kith_node *node, uint64_t token, struct node_call *call)
{
    if (call->no != 0)
        map64_remove(&node->calls.by_no, call->no);
    call->busy = false;
    call->cb = NULL;
    call->on_partial = NULL;
    call->no = 0;
    call->next_free = node->calls.first_free;
    node->calls.first_free = (uint32_t)token;
}

void node_calls_deinit(struct kith_node *node)
{
    for (size_t i = 0; i < NODE_CALLS_CHUNKS; i++)
        core_free(node->calls.chunks[i]);
    map64_deinit(&node->calls.by_no);
}

/* ---- begin, on the loop ---- */

/* Takes the argument's owned block over in every case. */
static int begin_now(struct kith_node *node, const struct node_call_spec *spec, uint64_t *token_out)
{
    uint64_t token;
    int r = node->calls.first_free == 0 ? calls_grow(&node->calls) : 0;
    if (r != 0) {
        core_free(spec->call.arg_owned);
        return r;
    }
    struct node_call *call = call_take(node, &token);
    call->cb = spec->cb;
    call->on_partial = spec->on_partial;
    call->user = spec->user;
    call->no = spec->no;
    if (spec->no != 0 && map64_set(&node->calls.by_no, spec->no, (void *)(uintptr_t)token) != 0) {
        call->no = 0;
        call_release(node, token, call);
        core_free(spec->call.arg_owned);
        return KITH_E_MEMORY;
    }

    struct rpc_event event = {.type = RPC_CALL, .u.call = spec->call};
    event.u.call.token = token;
    if (event.u.call.fn_hash == 0)
        event.u.call.fn_hash = node_name_hash_of(node, spec->call.fn);
    if (token_out != NULL)
        *token_out = token;
    r = node_rpc_step(node, &event);
    if (r != 0)
        call_release(node, token, call);
    return r;
}

/* A call that waits in the queue: the spec with copies of what it points to. */
struct call_request {
    struct node_request request;
    struct node_call_spec spec;
    char *node_text; /* name, id or prefix to resolve on the loop; NULL: none */
    char text[];     /* fn, node */
};

/* Ends a call that never reached the core. Runs on the loop, outside any step. */
static void fail_now(struct kith_node *node, const struct node_call_spec *spec, int code)
{
    if (spec->cb == NULL)
        return;
    struct kith_result result = {
        .outcome = KITH_OUTCOME_NOT_EXECUTED,
        .code = code,
        .text = kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(code),
        .node_name = "",
    };
    spec->cb(node, &result, spec->user);
}

static void call_request_free(struct call_request *request)
{
    core_free(request->spec.call.arg_owned);
    core_free(request);
}

static int resolve(struct kith_node *node, const char *which, struct rpc_call *call)
{
    struct member *member;
    int r = node_member_named(node, which, &member);
    if (r != 0)
        return r;
    if (member->status == KITH_STATUS_FAILED || member->status == KITH_STATUS_LEFT)
        return kith_fail_with(KITH_E_NO_NODE,
                              "%s (%s) is not here: it %s; nothing ran; kith nodes shows who is",
                              member->shown_name, node_member_address(node, member),
                              member->status == KITH_STATUS_FAILED ? "failed" : "has left");
    call->to_node = true;
    call->node = member->id;
    return 0;
}

static void call_request_run(struct kith_node *node, struct node_request *node_request)
{
    struct call_request *request = container_of(node_request, struct call_request, request);
    int r = 0;

    kith_errmsg_clear();
    if (request->node_text != NULL)
        r = resolve(node, request->node_text, &request->spec.call);
    if (r == 0) {
        r = begin_now(node, &request->spec, NULL);
        request->spec.call.arg_owned = NULL; /* taken over in every case */
    }
    if (r != 0)
        fail_now(node, &request->spec, r);
    call_request_free(request);
}

/*
 * Makes a request of @spec. The argument is copied into a block of its own, which the core takes
 * over later without another copy.
 */
static int call_request_new(const struct node_call_spec *spec,
                            const char *node_text,
                            struct call_request **request_out)
{
    size_t fn_bytes = strlen(spec->call.fn) + 1;
    size_t node_bytes = node_text != NULL ? strlen(node_text) + 1 : 0;
    struct call_request *request = core_malloc(sizeof(*request) + fn_bytes + node_bytes);
    if (request == NULL)
        return KITH_E_MEMORY;
    request->request.run = call_request_run;
    request->spec = *spec;
    memcpy(request->text, spec->call.fn, fn_bytes);
    request->spec.call.fn = request->text;
    request->node_text = NULL;
    if (node_text != NULL) {
        memcpy(request->text + fn_bytes, node_text, node_bytes);
        request->node_text = request->text + fn_bytes;
    }
    if (spec->call.arg_owned == NULL && spec->call.arg.len > 0) {
        request->spec.call.arg_owned = core_malloc(spec->call.arg.len);
        if (request->spec.call.arg_owned == NULL) {
            core_free(request);
            return KITH_E_MEMORY;
        }
        memcpy(request->spec.call.arg_owned, spec->call.arg.data, spec->call.arg.len);
        request->spec.call.arg.data = request->spec.call.arg_owned;
    }
    *request_out = request;
    return 0;
}

static int
begin_later(struct kith_node *node, const struct node_call_spec *spec, const char *node_text)
{
    struct call_request *request;
    int r = call_request_new(spec, node_text, &request);
    if (r != 0)
        return r;
    node_push(node, &request->request);
    return 0;
}

int node_call_begin(struct kith_node *node, const struct node_call_spec *spec, uint64_t *token_out)
{
    assert(node->rpc_stepping == 0);
    return begin_now(node, spec, token_out);
}

bool node_call_alive(struct kith_node *node, uint64_t token)
{
    return call_at(node, (uint32_t)token - 1)->generation == (uint32_t)(token >> 32) &&
           call_at(node, (uint32_t)token - 1)->busy;
}

void node_call_complete(struct kith_node *node, uint64_t token, const struct kith_result *result)
{
    struct node_call *call = call_of(node, token);
    kith_call_cb cb = call->cb;
    void *user = call->user;

    call_release(node, token, call);
    if (cb == NULL)
        return;
    uint64_t began_ns = node_callback_begin(node);
    cb(node, result, user);
    node_callback_end(node, began_ns, "end of a call", NULL);
}

void node_call_partial(struct kith_node *node, uint64_t token, struct kith_bytes data)
{
    struct node_call *call = call_of(node, token);
    if (call->on_partial == NULL)
        return;
    uint64_t began_ns = node_callback_begin(node);
    call->on_partial(node, data.data, data.len, call->user);
    node_callback_end(node, began_ns, "partial result", NULL);
}

void node_call_abort(struct kith_node *node, uint64_t token)
{
    struct rpc_event event = {.type = RPC_CANCEL, .u.token = token};
    node_rpc_step(node, &event);
}

void node_call_abort_no(struct kith_node *node, uint64_t no)
{
    uint64_t token = (uint64_t)(uintptr_t)map64_find(&node->calls.by_no, no);
    if (token != 0)
        node_call_abort(node, token);
}

/* ---- the public functions ---- */

/* The hash of a name that was called before and so is a good one; 0: it has to be looked at. */
static uint64_t hash_if_last(const struct kith_node *node, const char *fn)
{
    if (!node_on_loop(node) || node->name_last == NULL || strcmp(node->name_last->name, fn) != 0)
        return 0;
    return node->name_last->hash;
}

/* Checks what can be checked on any thread and fills @spec. */
int node_call_spec_from(struct kith_node *node,
                        const char *fn,
                        const void *arg,
                        size_t arg_len,
                        const struct kith_call_options *options,
                        struct node_call_spec *spec)
{
    static const struct kith_call_options none;
    if (options == NULL)
        options = &none;
    if (node == NULL || fn == NULL || (arg == NULL && arg_len > 0)) {
        (void)kith_fail_with(KITH_E_INVALID, "node, function name and argument must not be NULL");
        return KITH_E_INVALID;
    }
    uint64_t fn_hash = hash_if_last(node, fn);
    if (fn_hash == 0 && !text_is_function_name(fn)) {
        (void)kith_fail_with(KITH_E_NAME,
                             "\"%.64s\" is no function name: 1 to %d printable ASCII characters "
                             "without spaces",
                             fn, KITH_NAME_BYTES_MAX);
        return KITH_E_NAME;
    }
    if (arg_len > node->arg_bytes_max) {
        (void)kith_fail_with(KITH_E_TOO_LARGE,
                             "the argument has %zu bytes, the limit is %zu; raise "
                             "rpc.argument_bytes_max on all nodes, or pass a reference",
                             arg_len, node->arg_bytes_max);
        return KITH_E_TOO_LARGE;
    }
    *spec = (struct node_call_spec){
        .call = {.fn = fn,
                 .fn_hash = fn_hash,
                 .arg = {.data = arg, .len = arg_len},
                 .select = options->select,
                 .timeout_ms = options->timeout_ms,
                 .idempotent = options->idempotent,
                 .no_retry = options->no_retry,
                 .wait_for_function = options->wait_for_function,
                 .partials = options->on_partial != NULL},
        .on_partial = options->on_partial,
    };
    if (options->signature != NULL)
        return rpc_signature_hash(options->signature, &spec->call.signature);
    return 0;
}

int node_call_anywhere(struct kith_node *node, struct node_call_spec *spec, const char *node_text)
{
    if (!node_on_loop(node) || node->rpc_stepping > 0) {
        if (!node_enter(node))
            return KITH_E_STOPPED;
        int r = begin_later(node, spec, node_text);
        node_exit(node);
        return r;
    }
    if (node_text != NULL && resolve(node, node_text, &spec->call) != 0)
        return begin_later(node, spec, node_text); /* the callback has to come later */
    return begin_now(node, spec, NULL);
}

int kith_call_async(struct kith_node *node,
                    const char *fn,
                    const void *arg,
                    size_t arg_len,
                    const struct kith_call_options *options,
                    kith_call_cb cb,
                    void *user,
                    struct kith_call_id *call_out)
{
    struct node_call_spec spec;
    int r = node_call_spec_from(node, fn, arg, arg_len, options, &spec);
    if (r != 0)
        return r;
    spec.cb = cb;
    spec.user = user;
    if (call_out != NULL) {
        spec.no = atomic_fetch_add(&node->next_call_no, 1) + 1;
        call_out->no = spec.no;
    }
    return node_call_anywhere(node, &spec, options != NULL ? options->node : NULL);
}

int kith_cast(struct kith_node *node,
              const char *fn,
              const void *arg,
              size_t arg_len,
              const struct kith_call_options *options)
{
    struct node_call_spec spec;
    int r = node_call_spec_from(node, fn, arg, arg_len, options, &spec);
    if (r != 0)
        return r;
    spec.call.cast = true;
    return node_call_anywhere(node, &spec, options != NULL ? options->node : NULL);
}

struct cancel_request {
    struct node_request request;
    uint64_t no;
};

static void cancel_run(struct kith_node *node, struct node_request *request)
{
    struct cancel_request *cancel = container_of(request, struct cancel_request, request);
    node_call_abort_no(node, cancel->no);
    core_free(cancel);
}

void kith_cancel(struct kith_node *node, struct kith_call_id call)
{
    if (call.no == 0)
        return;
    struct cancel_request *cancel = core_malloc(sizeof(*cancel));
    if (cancel == NULL)
        return; /* the call ends at its deadline */
    *cancel = (struct cancel_request){.request.run = cancel_run, .no = call.no};
    if (!node_enter(node)) {
        core_free(cancel); /* it ends with the node */
        return;
    }
    node_push(node, &cancel->request);
    node_exit(node);
}

/* ---- owned results ---- */

struct kith_reply *node_reply_copy(const struct kith_result *result)
{
    size_t text_bytes = strlen(result->text) + 1;
    size_t name_bytes = strlen(result->node_name) + 1;
    size_t data_at = (sizeof(struct kith_reply) + 15) & ~(size_t)15; /* aligned as malloc aligns */
    uint8_t *block = core_malloc(data_at + result->len + text_bytes + name_bytes);
    if (block == NULL)
        return NULL;
    struct kith_reply *reply = (struct kith_reply *)(void *)block;
    reply->result = *result;
    if (result->len > 0)
        memcpy(block + data_at, result->data, result->len);
    reply->result.data = block + data_at;
    char *text = (char *)block + data_at + result->len;
    reply->result.text = memcpy(text, result->text, text_bytes);
    reply->result.node_name = memcpy(text + text_bytes, result->node_name, name_bytes);
    return reply;
}

void kith_reply_free(struct kith_reply *reply)
{
    core_free(reply);
}

/* ---- call and wait ---- */

/* Lives on the stack of the caller, who sleeps until `done`; so nothing needs to be copied in. */
struct sync_call {
    struct node_request request;
    struct node_call_spec spec;
    const char *node_text;
    struct kith_reply *reply;
    int code;
    sem_t done;
};

static void sync_done(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct sync_call *call = user;
    (void)node;
    call->reply = node_reply_copy(result);
    if (call->reply == NULL)
        call->code = KITH_E_MEMORY;
    sem_post(&call->done); /* from here on the call is gone */
}

static void sync_run(struct kith_node *node, struct node_request *request)
{
    struct sync_call *call = container_of(request, struct sync_call, request);
    int r = 0;

    kith_errmsg_clear();
    if (call->node_text != NULL)
        r = resolve(node, call->node_text, &call->spec.call);
    if (r == 0)
        r = begin_now(node, &call->spec, NULL);
    if (r != 0)
        fail_now(node, &call->spec, r);
}

static int code_of(const struct kith_result *result)
{
    switch (result->outcome) {
    case KITH_OUTCOME_OK:
        return 0;
    case KITH_OUTCOME_APP_ERROR:
        return KITH_E_APP;
    default:
        return result->code;
    }
}

int node_fail_would_deadlock(const char *function)
{
    return kith_fail_with(KITH_E_WOULD_DEADLOCK,
                          "%s was called on the node's loop thread, which would have to wait for "
                          "itself; use the asynchronous form there",
                          function);
}

int kith_call(struct kith_node *node,
              const char *fn,
              const void *arg,
              size_t arg_len,
              const struct kith_call_options *options,
              struct kith_reply **reply_out)
{
    struct sync_call call = {.request.run = sync_run};

    if (reply_out != NULL)
        *reply_out = NULL;
    int r = node_call_spec_from(node, fn, arg, arg_len, options, &call.spec);
    if (r != 0)
        return r;
    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_call");
    if (!node_enter(node))
        return KITH_E_STOPPED;
    call.node_text = options != NULL ? options->node : NULL;
    call.spec.cb = sync_done;
    call.spec.user = &call;
    sem_init(&call.done, 0, 0);
    node_push(node, &call.request);
    node_exit(node);
    node_sem_wait(&call.done);
    sem_destroy(&call.done);
    if (call.reply == NULL)
        return kith_fail_with(call.code, "%s: memory is short for its reply; it may have run", fn);

    r = code_of(&call.reply->result);
    if (r != 0)
        kith_fail_with(r, "%s", call.reply->result.text);
    if (reply_out != NULL)
        *reply_out = call.reply;
    else
        kith_reply_free(call.reply);
    return r;
}
