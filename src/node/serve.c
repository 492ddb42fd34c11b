/*
 * Functions that run here: a kith_ctx for each call, on a worker, inline, or deferred.
 *
 * A context is taken on the loop when the core says RUN and given back on the loop after DONE. In
 * between exactly one party may reply: whoever runs the function. `state` says where it stands, so
 * that a deferred function may reply before it returns, after it, or from another thread.
 */
#include "node/serve.h"

#include <limits.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "node/internal.h"

#define CTX_INLINE_BYTES 256
#define CTX_FREE_MAX     1024 /* contexts kept for reuse; more are freed */

enum ctx_state {
    CTX_RUNNING = 0,  /* the function has not returned */
    CTX_PENDING = 1,  /* a deferred function returned KITH_PENDING, the reply is to come */
    CTX_FINISHED = 2, /* replied, DONE is on its way */
};

struct kith_ctx {
    struct node_request request; /* DONE crossing to the loop */
    struct worker_job job;
    struct kith_ctx *next_free;
    struct list link; /* in kith_node.serving */
    struct kith_node *node;
    struct rpc_serve *serve;
    kith_fn fn;
    void *fn_user;
    uint32_t flags;
    struct kith_bytes arg;
    struct kith_node_id caller;
    uint64_t deadline_ns;
    uint64_t started_ns; /* for the access log; 0: it is off */
    uint64_t began_ns;   /* for the figures; 0: this run is not measured */
    bool partials;       /* partial results wait in the queue: DONE has to go behind them */
    bool is_item;        /* of a map */
    struct node_item item;
    _Atomic int state;
    _Atomic bool cancelled;
    void (*on_cancel)(struct kith_ctx *ctx, void *user);
    void *on_cancel_user;
    /* The reply. */
    bool replied;
    bool failed; /* a reply could not be made; why is in its place, in case no other comes */
    enum kith_outcome outcome;
    int code;
    size_t reply_len;
    uint8_t *reply_owned; /* malloc'ed, or NULL: in reply_inline */
    uint8_t reply_inline[CTX_INLINE_BYTES];
};

static struct kith_ctx *ctx_take(struct kith_node *node)
{
    struct kith_ctx *ctx = node->ctx_free;
    if (ctx != NULL) {
        node->ctx_free = ctx->next_free;
        node->ctx_free_n--;
    } else {
        ctx = core_malloc(sizeof(*ctx));
        if (ctx == NULL)
            return NULL;
    }
    memset(ctx, 0, offsetof(struct kith_ctx, reply_inline));
    ctx->node = node;
    list_append(&node->serving, &ctx->link);
    node->ctx_busy_n++;
    return ctx;
}

static void ctx_give(struct kith_node *node, struct kith_ctx *ctx)
{
    core_free(ctx->reply_owned);
    ctx->reply_owned = NULL;
    if (ctx->is_item)
        node_item_end(node, &ctx->item);
    list_remove(&ctx->link);
    node->ctx_busy_n--;
    if (node->ctx_free_n >= CTX_FREE_MAX) {
        core_free(ctx);
        return;
    }
    ctx->next_free = node->ctx_free;
    node->ctx_free = ctx;
    node->ctx_free_n++;
}

/* ---- exports ---- */

/* The core has no run of it left and does not offer it. */
void node_export_gone(struct node_export *export)
{
    list_remove(&export->link);
    if (export->drained != NULL)
        sem_post(export->drained);
    core_free(export);
}

void node_serve_deinit(struct kith_node *node)
{
    while (node->ctx_free != NULL) {
        struct kith_ctx *next = node->ctx_free->next_free;
        core_free(node->ctx_free);
        node->ctx_free = next;
    }
    /* What was never withdrawn: the core that used them is gone. */
    for (struct list *link; (link = list_first(&node->exports)) != NULL;)
        node_export_gone(container_of(link, struct node_export, link));
}

static struct node_export *export_find(struct kith_node *node, const char *name)
{
    list_for_each (it, &node->exports) {
        struct node_export *export = container_of(it, struct node_export, link);
        if (!export->withdrawn && strcmp(export->name, name) == 0)
            return export;
    }
    return NULL;
}

/* What crosses to the loop and back; the sentence crosses with the code. */
struct export_call {
    const struct kith_export *desc; /* to offer */
    const char *name;               /* to withdraw */
    sem_t *drained;
    int code;
    char text[512];
};

static int export_now(struct kith_node *node, const struct kith_export *desc)
{
    size_t name_bytes = strlen(desc->name) + 1;
    struct node_export *export = core_calloc(1, sizeof(*export) + name_bytes);
    if (export == NULL)
        return KITH_E_MEMORY;
    memcpy(export->name, desc->name, name_bytes);
    list_append(&node->exports, &export->link);
    struct rpc_event event = {.type = RPC_EXPORT, .u.export_fn = {.desc = desc, .user = export}};
    int r = node_rpc_step(node, &event);
    if (r != 0) {
        list_remove(&export->link);
        core_free(export);
    }
    return r;
}

static void export_run(struct kith_node *node, void *arg)
{
    struct export_call *call = arg;
    kith_errmsg_clear();
    call->code = export_now(node, call->desc);
    snprintf(call->text, sizeof(call->text), "%s", kith_errmsg());
}

static int withdraw_now(struct kith_node *node, const char *name, sem_t *drained)
{
    struct node_export *export = export_find(node, name);
    if (export == NULL)
        return kith_fail_with(
            KITH_E_NOT_FOUND,
            "this node does not offer a function %s; kith fn ls shows what it does", name);
    export->withdrawn = true;
    export->drained = drained;
    struct rpc_event event = {.type = RPC_UNEXPORT, .u.name = export->name};
    return node_rpc_step(node, &event);
}

static void withdraw_run(struct kith_node *node, void *arg)
{
    struct export_call *call = arg;
    kith_errmsg_clear();
    call->code = withdraw_now(node, call->name, call->drained);
    snprintf(call->text, sizeof(call->text), "%s", kith_errmsg());
}

static int export_call_result(const struct export_call *call, int r)
{
    if (r != 0)
        return r;
    if (call->code != 0 && call->text[0] != '\0')
        return kith_fail_with(call->code, "%s", call->text);
    return call->code;
}

/* Inside a step the change becomes the next request; its texts are copied until then. */
struct export_later {
    struct node_request request;
    bool withdraw;
    struct kith_export desc;
    char text[];
};

static void export_later_run(struct kith_node *node, struct node_request *node_request)
{
    struct export_later *later = container_of(node_request, struct export_later, request);
    kith_errmsg_clear();
    int r = later->withdraw ? withdraw_now(node, later->desc.name, NULL)
                            : export_now(node, &later->desc);
    if (r != 0)
        log_error(&node->log.log, "rpc", "a function changed in a callback stays as it was", "fn",
                  later->desc.name, "reason", kith_errmsg(), NULL);
    core_free(later);
}

static size_t text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *put_text(char **at, const char *text)
{
    size_t bytes = text_bytes(text);
    if (bytes == 0)
        return NULL;
    const char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

static int change_later(struct kith_node *node, const struct kith_export *desc, bool withdraw)
{
    size_t bytes = text_bytes(desc->name) + text_bytes(desc->version) +
                   text_bytes(desc->description) + text_bytes(desc->signature);
    struct export_later *later = core_malloc(sizeof(*later) + bytes);
    if (later == NULL)
        return KITH_E_MEMORY;
    char *at = later->text;
    later->request.run = export_later_run;
    later->withdraw = withdraw;
    later->desc = *desc;
    later->desc.name = put_text(&at, desc->name);
    later->desc.version = put_text(&at, desc->version);
    later->desc.description = put_text(&at, desc->description);
    later->desc.signature = put_text(&at, desc->signature);
    node_push(node, &later->request);
    return 0;
}

int kith_export(struct kith_node *node, const struct kith_export *fn)
{
    if (node == NULL || fn == NULL || fn->name == NULL || fn->fn == NULL)
        return kith_fail_with(KITH_E_INVALID, "a function needs a name and code to run");
    if (node_on_loop(node) && node->rpc_stepping > 0)
        return change_later(node, fn, false);
    struct export_call call = {.desc = fn};
    return export_call_result(&call, node_run(node, export_run, &call));
}

int kith_unexport(struct kith_node *node, const char *name)
{
    if (node == NULL || name == NULL)
        return kith_fail_with(KITH_E_INVALID, "node and function name must not be NULL");
    if (node_on_loop(node)) {
        struct kith_export desc = {.name = name};
        if (node->rpc_stepping > 0)
            return change_later(node, &desc, true);
        return withdraw_now(node, name, NULL);
    }
    sem_t drained;
    sem_init(&drained, 0, 0);
    struct export_call call = {.name = name, .drained = &drained};
    int r = export_call_result(&call, node_run(node, withdraw_run, &call));
    if (r == 0)
        node_sem_wait(&drained);
    sem_destroy(&drained);
    return r;
}

/* ---- running ---- */

/* One line for every call served, if log.access is on. */
static void access_line(struct kith_node *node, const struct kith_ctx *ctx)
{
    const struct member *caller = member_find(node->members, &ctx->caller);
    char id[KITH_NODE_ID_DIGITS + 1], ms[32], in[24], out[24], code[16];

    snprintf(ms, sizeof(ms), "%.3f", (double)(node_now_ns() - ctx->started_ns) / 1e6);
    snprintf(in, sizeof(in), "%zu", ctx->arg.len);
    snprintf(out, sizeof(out), "%zu", ctx->reply_len);
    snprintf(code, sizeof(code), "%d", ctx->code);
    log_info(&node->log.access, "rpc", "served", "fn",
             rpc_export_desc(rpc_serve_export(ctx->serve))->name, "caller",
             caller != NULL ? caller->shown_name : kith_node_id_text(&ctx->caller, id), "outcome",
             kith_outcome_text(ctx->outcome), "code", code, "ms", ms, "bytes_in", in, "bytes_out",
             out, NULL);
}

static void ctx_done(struct kith_node *node, struct kith_ctx *ctx)
{
    if (ctx->started_ns != 0)
        access_line(node, ctx);
    if (ctx->began_ns != 0) {
        uint64_t took_ns = node_now_ns() - ctx->began_ns;
        rpc_serve_took(ctx->serve, took_ns);
        tally_add(&node->served, took_ns);
    }
    struct rpc_event event; /* its largest kind is not cleared for each call */
    event.type = RPC_DONE;
    event.u.done.serve = ctx->serve;
    event.u.done.outcome = ctx->outcome;
    event.u.done.code = ctx->code;
    event.u.done.reply.data = ctx->reply_owned != NULL ? ctx->reply_owned : ctx->reply_inline;
    event.u.done.reply.len = ctx->reply_len;
    event.u.done.reply_owned = ctx->reply_owned;
    ctx->reply_owned = NULL; /* the core takes it over */
    node_rpc_step(node, &event);
    ctx_give(node, ctx);
}

static void ctx_done_run(struct kith_node *node, struct node_request *request)
{
    ctx_done(node, container_of(request, struct kith_ctx, request));
}

/* Fills in the outcome of a function that returned @r without replying itself. */
static void ctx_settle(struct kith_ctx *ctx, int r)
{
    if (ctx->replied)
        return;
    ctx->replied = true;
    if (ctx->failed)
        return; /* whatever it returned: its caller must not take the reason for a reply */
    ctx->outcome = r == 0 ? KITH_OUTCOME_OK : KITH_OUTCOME_APP_ERROR;
    ctx->code = r == 0 ? 0 : (r > 0 ? r : 1);
}

static void on_worker(struct worker_job *job)
{
    struct kith_ctx *ctx = container_of(job, struct kith_ctx, job);
    struct kith_node *node = ctx->node;
    int r = 0;

    if (!atomic_load_explicit(&ctx->cancelled, memory_order_relaxed))
        r = ctx->fn(ctx, ctx->arg.data, ctx->arg.len, ctx->fn_user);
    else
        r = 1; /* nobody waits for it any more */
    ctx_settle(ctx, r);
    ctx->request.run = ctx_done_run;
    node_push(node, &ctx->request);
}

/* @nest: no actions follow the one that led here, so a step may run inside it. */
static void run_on_loop(struct kith_node *node, struct kith_ctx *ctx, bool nest)
{
    bool deferred = (ctx->flags & KITH_FN_DEFERRED) != 0;

    node->rpc_stepping += !nest;
    uint64_t began_ns = node_callback_begin(node);
    int r = ctx->fn(ctx, ctx->arg.data, ctx->arg.len, ctx->fn_user);
    if (began_ns != 0)
        node_callback_end(node, began_ns, "function",
                          rpc_export_desc(rpc_serve_export(ctx->serve))->name);
    node->rpc_stepping -= !nest;

    if (deferred && r == KITH_PENDING) {
        int running = CTX_RUNNING;
        if (atomic_compare_exchange_strong(&ctx->state, &running, CTX_PENDING))
            return; /* the reply comes later */
    } else {
        ctx_settle(ctx, r);
    }
    if (nest && !ctx->partials && node->rpc_depth < NODE_NEST_MAX) {
        node->rpc_depth++;
        ctx_done(node, ctx);
        node->rpc_depth--;
        return;
    }
    ctx->request.run = ctx_done_run;
    node_push(node, &ctx->request);
}

static void begin_item(struct kith_node *node, struct kith_ctx *ctx)
{
    const void *state;
    uint64_t boot_no = rpc_serve_caller_boot(ctx->serve);

    ctx->is_item = rpc_serve_item(ctx->serve, &ctx->item.head, &state);
    if (!ctx->is_item)
        return;
    ctx->item.caller_boot = boot_no != 0 ? boot_no : node->boot_no;
    node_item_begin(node, &ctx->item, &ctx->caller, state);
}

struct node_item *node_ctx_item(struct kith_ctx *ctx)
{
    return ctx->is_item ? &ctx->item : NULL;
}

bool node_ctx_push(struct kith_ctx *ctx, struct node_request *request)
{
    if (ctx->replied)
        return false;
    ctx->partials = true;
    node_push(ctx->node, request);
    return true;
}

void node_serve_run(struct kith_node *node, struct rpc_serve *serve, bool nest)
{
    const struct kith_export *desc = rpc_export_desc(rpc_serve_export(serve));
    struct kith_ctx *ctx = ctx_take(node);
    if (ctx == NULL) {
        rpc_serve_set_user(serve, node->refused);
        node->refused = serve;
        return;
    }
    ctx->serve = serve;
    ctx->fn = desc->fn;
    ctx->fn_user = desc->user;
    ctx->flags = desc->flags;
    ctx->arg = rpc_serve_arg(serve);
    ctx->caller = rpc_serve_caller(serve);
    begin_item(node, ctx);
    ctx->deadline_ns = rpc_serve_deadline_ns(serve);
    ctx->outcome = KITH_OUTCOME_OK;
    if (log_level(&node->log.access) >= KITH_LOG_INFO)
        ctx->started_ns = node_now_ns();
    /* Two clocks are much beside an inline function, and nothing beside the way to a worker. */
    if ((ctx->flags & KITH_FN_INLINE) == 0 || node->runs_n++ % NODE_TIMED_EVERY == 0)
        ctx->began_ns = node_now_ns();
    rpc_serve_set_user(serve, ctx);
    if ((ctx->flags & (KITH_FN_INLINE | KITH_FN_DEFERRED)) != 0) {
        run_on_loop(node, ctx, nest);
        return;
    }
    ctx->job.run = on_worker;
    workers_push(node->workers, &ctx->job);
}

/* Memory was short when they were to run. */
void node_serve_refused(struct kith_node *node)
{
    while (node->refused != NULL) {
        struct rpc_event event = {.type = RPC_DONE,
                                  .u.done = {.serve = node->refused,
                                             .outcome = KITH_OUTCOME_NOT_EXECUTED,
                                             .code = KITH_E_MEMORY}};
        node->refused = rpc_serve_user(node->refused);
        node_rpc_step(node, &event);
    }
}

static bool is_refused(const struct kith_node *node, const struct rpc_serve *serve)
{
    const struct rpc_serve *at = node->refused;
    while (at != NULL && at != serve)
        at = rpc_serve_user(at);
    return at != NULL;
}

static void ctx_cancel(struct kith_ctx *ctx)
{
    if (atomic_exchange(&ctx->cancelled, true))
        return;
    if (ctx->on_cancel == NULL || atomic_load(&ctx->state) == CTX_FINISHED)
        return;
    uint64_t began_ns = node_callback_begin(ctx->node);
    ctx->on_cancel(ctx, ctx->on_cancel_user);
    node_callback_end(ctx->node, began_ns, "cancel", NULL);
}

void node_serve_abort(struct kith_node *node, struct rpc_serve *serve)
{
    struct kith_ctx *ctx = rpc_serve_user(serve);
    if (ctx != NULL && !is_refused(node, serve))
        ctx_cancel(ctx);
}

/* Everything that runs is told, also what the core has no caller of (a cast). */
void node_serve_stop(struct kith_node *node)
{
    list_for_each_safe (it, &node->serving) {
        ctx_cancel(container_of(it, struct kith_ctx, link));
    }
}

/* ---- ends that only the rooms above may choose ---- */

static void ctx_replied(struct kith_ctx *ctx);

static void end_with(struct kith_ctx *ctx, enum kith_outcome outcome, int code, const char *text)
{
    if (ctx->replied)
        return;
    ctx->outcome = outcome;
    ctx->code = code;
    ctx->reply_len = strnlen(text, CTX_INLINE_BYTES);
    memcpy(ctx->reply_inline, text, ctx->reply_len);
    ctx_replied(ctx);
}

void node_ctx_lost(struct kith_ctx *ctx, const char *text)
{
    end_with(ctx, KITH_OUTCOME_UNKNOWN, KITH_E_UNKNOWN_OUTCOME, text);
}

void node_ctx_refuse(struct kith_ctx *ctx, const char *text)
{
    end_with(ctx, KITH_OUTCOME_NOT_EXECUTED, KITH_E_NO_FUNCTION, text);
}

void node_export_set_parallel(struct kith_node *node, const char *name, uint32_t parallel)
{
    struct rpc_event event = {.type = RPC_PARALLEL, .u.parallel = {.name = name, .n = parallel}};
    node_rpc_step_soon(node, &event);
}

/* ---- what the function may do ---- */

/*
 * The reply is in the context: a deferred function that has returned is finished by it; otherwise
 * its return will.
 */
static void ctx_replied(struct kith_ctx *ctx)
{
    ctx->replied = true;
    if ((ctx->flags & KITH_FN_DEFERRED) == 0)
        return;
    if (atomic_exchange(&ctx->state, CTX_FINISHED) == CTX_PENDING) {
        ctx->request.run = ctx_done_run;
        node_push(ctx->node, &ctx->request);
    }
}

static int check_reply(struct kith_ctx *ctx, size_t len)
{
    if (ctx->replied)
        return kith_fail_with(KITH_E_EXISTS, "this call has been replied to already");
    if (len > ctx->node->reply_bytes_max)
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "the reply has %zu bytes, the limit is %zu; raise rpc.reply_bytes_max "
            "on all nodes, or reply with a reference",
            len, ctx->node->reply_bytes_max);
    return 0;
}

static int reply_copy(struct kith_ctx *ctx, const void *data, size_t len)
{
    if (len > sizeof(ctx->reply_inline)) {
        ctx->reply_owned = core_malloc(len);
        if (ctx->reply_owned == NULL)
            return KITH_E_MEMORY;
        memcpy(ctx->reply_owned, data, len);
    } else if (len > 0) {
        copy_small(ctx->reply_inline, data, len);
    }
    ctx->reply_len = len;
    return 0;
}

/* A reply that does not fit leaves its reason behind, in case no other is made. */
static int reply_failed(struct kith_ctx *ctx, int code)
{
    if (code == KITH_E_TOO_LARGE || code == KITH_E_MEMORY) {
        ctx->failed = true;
        ctx->outcome = KITH_OUTCOME_APP_ERROR;
        ctx->code = 1;
        (void)reply_copy(ctx, kith_errmsg(), strnlen(kith_errmsg(), CTX_INLINE_BYTES));
    }
    return code;
}

int kith_reply(struct kith_ctx *ctx, const void *data, size_t len)
{
    int r = check_reply(ctx, len);
    if (r == 0)
        r = reply_copy(ctx, data, len);
    if (r != 0)
        return reply_failed(ctx, r);
    ctx->outcome = KITH_OUTCOME_OK;
    ctx->code = 0;
    ctx_replied(ctx);
    return 0;
}

int kith_reply_take(struct kith_ctx *ctx, void *data, size_t len)
{
    int r = check_reply(ctx, len);
    if (r != 0) {
        core_free(data);
        return reply_failed(ctx, r);
    }
    ctx->reply_owned = data;
    ctx->reply_len = len;
    ctx->outcome = KITH_OUTCOME_OK;
    ctx->code = 0;
    ctx_replied(ctx);
    return 0;
}

int kith_fail(struct kith_ctx *ctx, int code, const char *text)
{
    if (ctx->replied)
        return kith_fail_with(KITH_E_EXISTS, "this call has been replied to already");
    int r = reply_copy(ctx, text, text != NULL ? strnlen(text, RPC_ERROR_TEXT_BYTES_MAX) : 0);
    if (r != 0)
        return r;
    ctx->outcome = KITH_OUTCOME_APP_ERROR;
    ctx->code = code == 0 ? 1 : code > 0 ? code : code == INT_MIN ? INT_MAX : -code;
    ctx_replied(ctx);
    return 0;
}

struct partial_request {
    struct node_request request;
    struct rpc_serve *serve;
    size_t len;
    uint8_t data[];
};

static void partial_run(struct kith_node *node, struct node_request *request)
{
    struct partial_request *partial = container_of(request, struct partial_request, request);
    struct rpc_event event = {
        .type = RPC_PARTIAL_OUT,
        .u.partial = {.serve = partial->serve, .data = {partial->data, partial->len}}};
    node_rpc_step(node, &event);
    core_free(partial);
}

/* The request goes through the queue, and DONE behind it, so the serve still lives. */
int kith_partial(struct kith_ctx *ctx, const void *data, size_t len)
{
    if (len > RPC_PARTIAL_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "a partial result has at most %d bytes; send several",
                              RPC_PARTIAL_BYTES_MAX);
    if (ctx->replied)
        return kith_fail_with(KITH_E_EXISTS, "this call has been replied to already");
    struct partial_request *partial = core_malloc(sizeof(*partial) + len);
    if (partial == NULL)
        return KITH_E_MEMORY;
    partial->request.run = partial_run;
    partial->serve = ctx->serve;
    partial->len = len;
    if (len > 0)
        memcpy(partial->data, data, len);
    ctx->partials = true;
    node_push(ctx->node, &partial->request);
    return 0;
}

bool kith_ctx_cancelled(const struct kith_ctx *ctx)
{
    return atomic_load_explicit(&ctx->cancelled, memory_order_relaxed) ||
           kith_ctx_remaining_ms(ctx) == 0;
}

uint64_t kith_ctx_remaining_ms(const struct kith_ctx *ctx)
{
    if (ctx->deadline_ns == UINT64_MAX)
        return UINT64_MAX;
    uint64_t now_ns = node_now_ns();
    return now_ns >= ctx->deadline_ns ? 0 : (ctx->deadline_ns - now_ns + 999999) / 1000000;
}

struct kith_node *kith_ctx_node(const struct kith_ctx *ctx)
{
    return ctx->node;
}

struct kith_node_id kith_ctx_caller(const struct kith_ctx *ctx)
{
    return ctx->caller;
}

void kith_ctx_on_cancel(struct kith_ctx *ctx,
                        void (*cb)(struct kith_ctx *ctx, void *user),
                        void *user)
{
    ctx->on_cancel = cb;
    ctx->on_cancel_user = user;
}
