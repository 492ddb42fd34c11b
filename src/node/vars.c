/*
 * Distributed variables for programs: from the public functions, on any thread, to a step of the
 * core and back to a callback. Reading by a handle crosses nothing: see var_handle.c.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

/* Longer than it takes to replace a home or a leader that is lost. */
#define VAR_TIMEOUT_MS 15000

/* ---- types and words ---- */

const char *kith_type_text(enum kith_type type)
{
    return value_type_is_known((uint8_t)type) ? value_type_name((uint8_t)type) : "unknown";
}

const char *kith_policy_text(enum kith_policy policy)
{
    return value_policy_name((uint8_t)policy);
}

const char *kith_merge_text(enum kith_merge merge)
{
    return avail_merge_name((uint8_t)merge);
}

/* ---- telling what came of it ---- */

/* What a write that took effect made of the variable, as far as that is its whole value. */
static void written_value(const struct node_var_op *op,
                          const struct dvar_result *result,
                          struct kith_value *value,
                          uint8_t number[8])
{
    struct kith_bytes data = {.data = op->op.data, .len = op->op.data_len};

    if (op->kind == KITH_VAR_CREATE && data.len == 0)
        data = value_data_default(op->type);
    switch (op->kind) {
    case KITH_VAR_SET:
    case KITH_VAR_CREATE:
    case KITH_VAR_CAS_VERSION:
    case KITH_VAR_CAS_VALUE:
    case KITH_VAR_ONCE:
        value->type = (enum kith_type)op->type;
        value->data = data.data;
        value->len = data.len;
        break;
    case KITH_VAR_ADD:
        put_le64(number, result->number);
        value->type = (enum kith_type)(result->type != VALUE_NONE ? result->type : op->type);
        value->data = number;
        value->len = 8;
        break;
    default:
        break;
    }
}

static void value_of(struct kith_node *node,
                     const struct node_var_op *op,
                     const struct dvar_result *result,
                     struct kith_value *value,
                     uint8_t number[8])
{
    *value = (struct kith_value){
        .applied = result->applied,
        .found = result->version != 0,
        .outcome_known = true,
        .version = result->version,
        .type = (enum kith_type)result->type,
        .policy = (enum kith_policy)op->policy,
        .data = result->data,
        .len = result->len,
        .writer = node->identity.id,
        .time_unix_ms = node_turn_unix_ms(node),
        .text = "",
    };
    if (result->value != NULL) {
        struct value view = value_view(result->value, result->value_len);
        value->policy = (enum kith_policy)view.policy;
        value->writer = view.writer;
        value->time_unix_ms = view.time_ms;
    }
    if (result->applied)
        written_value(op, result, value, number);
    if (op->kind == KITH_VAR_DELETE || (result->code != 0 && op->kind == KITH_VAR_GET))
        value->found = false;
    if (value->type == KITH_TYPE_I64 && value->len == 8)
        value->i64 = (int64_t)get_le64(value->data);
    if (value->type == KITH_TYPE_F64 && value->len == 8)
        memcpy(&value->f64, value->data, sizeof(value->f64));
}

static void tell(struct kith_node *node, struct node_var_op *op, const struct kith_value *value)
{
    uint64_t began_ns = node_callback_begin(node);

    op->cb(node, value, op->user);
    node_callback_end(node, began_ns, "variable", op->name);
    node->state.batch_ms = 0; /* it may have taken long */
    node_var_op_free(node, op);
}

static void fail(struct kith_node *node, struct node_var_op *op, int code, const char *text)
{
    struct kith_value value = {.code = code,
                               .outcome_known = code != KITH_E_UNKNOWN_OUTCOME,
                               .text = text != NULL ? text : kith_strerror(code)};
    tell(node, op, &value);
}

static void on_done(struct kith_node *node, const struct dvar_action *action)
{
    struct node_var_op *op = node_var_op_leave(node, action->id);
    const struct dvar_result *result = &action->result;
    struct kith_value value;
    uint8_t number[8];
    char text[1024];

    if (op == NULL)
        return;
    bool absent = result->code == KITH_E_NOT_FOUND && op->kind == KITH_VAR_GET;
    if (result->code == KITH_E_NO_QUORUM && !node->state.quorum) {
        char who[600];
        snprintf(text, sizeof(text), "%s: %s", op->name, node_quorum_text(node, who, sizeof(who)));
        fail(node, op, result->code, text);
    } else if (result->code != 0 && !absent) {
        fail(node, op, result->code, result->text);
    } else {
        value_of(node, op, result, &value, number);
        if (value.found)
            node_symbol_seen(node, op->name, value.version, value.len);
        tell(node, op, &value);
    }
}

static void on_changed(struct kith_node *node, const struct dvar_action *action)
{
    struct node_var_op *op = map64_find(&node->state.var_watches, action->id);
    const struct dvar_change *change = &action->change;
    char name[KITH_NAME_BYTES_MAX + 1];

    if (op == NULL || op->on_change == NULL)
        return;
    struct value view = value_view(change->value, change->value_len);
    struct kith_value value = {.found = view.type != VALUE_NONE,
                               .outcome_known = true,
                               .type = (enum kith_type)view.type,
                               .policy = (enum kith_policy)view.policy,
                               .data = view.data,
                               .len = view.len,
                               .version = change->version,
                               .writer = view.writer,
                               .time_unix_ms = view.time_ms,
                               .text = ""};
    if (view.type == VALUE_I64)
        value.i64 = (int64_t)get_le64(view.data);
    if (view.type == VALUE_F64)
        memcpy(&value.f64, view.data, sizeof(value.f64));
    memcpy(name, change->name, change->name_len);
    name[change->name_len] = '\0';
    struct kith_var_change told = {
        .name = name, .gone = !value.found, .missed_n = change->missed, .value = &value};
    uint64_t began_ns = node_callback_begin(node);
    op->on_change(node, &told, op->user);
    node_callback_end(node, began_ns, "watch of", op->name);
}

/* What a slot had in memory only is lost. A watch of a name tells of that name, one of a prefix of
 * the prefix: which names there were, nobody knows. */
static void on_lost(struct kith_node *node, const struct dvar_action *action)
{
    struct node_var_op *op = map64_find(&node->state.var_watches, action->id);
    struct kith_value value = {.outcome_known = true, .text = ""};

    if (op == NULL || op->on_change == NULL)
        return;
    struct kith_var_change told = {.name = op->name, .gone = true, .lost = true, .value = &value};
    op->on_change(node, &told, op->user);
}

void node_var_action(struct kith_node *node, const struct dvar_action *action)
{
    switch (action->type) {
    case DVAR_DONE:
        on_done(node, action);
        break;
    case DVAR_CHANGED:
        on_changed(node, action);
        break;
    case DVAR_LOST:
        on_lost(node, action);
        break;
    case DVAR_OPENED:
        node_var_opened(node, action);
        break;
    default:
        assert(false);
    }
}

/* ---- operations ---- */

static void op_run(struct kith_node *node, struct node_request *request)
{
    struct node_var_op *op = container_of(request, struct node_var_op, request);
    struct dvar_event event = {.type = DVAR_OP,
                               .name = op->name,
                               .name_len = op->name_len,
                               .op = &op->op,
                               .deadline_ms = node_state_ms(node) + op->timeout_ms};

    if (!node->ending &&
        (op->policy == KITH_POLICY_AVAILABLE || node_var_is_available(node, op->name))) {
        node_avail_do(node, op);
        return;
    }
    if (node->ending || node_var_op_enter(node, op) != 0) {
        fail(node, op, node->ending ? KITH_E_STOPPED : KITH_E_MEMORY, NULL);
        return;
    }
    event.id = op->id;
    node_dvar_step(node, &event);
}

/* The operation as the core takes it; pointers are the caller's. */
static struct value_op op_of(const struct kith_var_op *from, const struct kith_var_options *options)
{
    uint8_t type = (uint8_t)options->type;
    struct value_op op = {
        .kind = (uint8_t)from->kind, /* the numbers are the same, see below */
        .flags = (uint8_t)((options->no_create ? VALUE_OP_NO_CREATE : 0) |
                           (options->create_guarded ? VALUE_OP_GUARDED : 0) |
                           (options->guard.mutex != NULL ? VALUE_OP_FENCE : 0) |
                           (options->guard.last ? VALUE_OP_LAST : 0)),
        .type = type != 0                    ? type
                : from->kind == KITH_VAR_ADD ? VALUE_I64
                                             : VALUE_TEXT,
        .policy = (uint8_t)options->policy,
        .data = from->data,
        .data_len = from->len,
        .expect_version = from->expect_version,
        .expect = from->expect,
        .expect_len = from->expect_len,
        .delta = from->delta,
        .delta_f64 = from->delta_f64,
        .index = from->index,
        .count = from->count,
        .mutex = options->guard.mutex,
        .mutex_len = (uint8_t)(options->guard.mutex != NULL ? strlen(options->guard.mutex) : 0),
        .fence = options->guard.fence,
    };
    op.expect_type =
        from->kind == KITH_VAR_CAS_VALUE && from->expect != NULL ? op.type : VALUE_NONE;
    return op;
}
static_assert((int)KITH_VAR_GET == VALUE_OP_GET && (int)KITH_VAR_CREATE == VALUE_OP_CREATE &&
                  (int)KITH_VAR_SET == VALUE_OP_SET && (int)KITH_VAR_DELETE == VALUE_OP_DELETE &&
                  (int)KITH_VAR_CAS_VERSION == VALUE_OP_CAS_VERSION &&
                  (int)KITH_VAR_CAS_VALUE == VALUE_OP_CAS_VALUE &&
                  (int)KITH_VAR_ADD == VALUE_OP_ADD && (int)KITH_VAR_ONCE == VALUE_OP_ONCE &&
                  (int)KITH_VAR_RESIZE == VALUE_OP_RESIZE &&
                  (int)KITH_VAR_SLICE_GET == VALUE_OP_SLICE_GET &&
                  (int)KITH_VAR_SLICE_SET == VALUE_OP_SLICE_SET,
              "operations have one number");

/* Moves @len bytes behind what is there already. */
static const void *keep(uint8_t **at, const void *data, size_t len)
{
    uint8_t *to = *at;

    if (len > 0)
        memcpy(to, data, len);
    *at += len;
    return to;
}

static struct node_var_op *op_new(struct kith_node *node,
                                  const char *name,
                                  const struct value_op *from,
                                  uint8_t merge,
                                  uint64_t timeout_ms)
{
    size_t name_len = strlen(name);
    struct node_var_op *op =
        node_var_op_new(node, name_len + 1 + from->data_len + from->expect_len + from->mutex_len);

    if (op == NULL)
        return NULL;
    *op = (struct node_var_op){.request.run = op_run,
                               .kind = from->kind,
                               .type = from->type,
                               .policy = from->policy,
                               .merge = merge,
                               .large = op->large,
                               .timeout_ms = timeout_ms != 0 ? timeout_ms : VAR_TIMEOUT_MS,
                               .op = *from,
                               .name_len = name_len};
    uint8_t *at = (uint8_t *)op->name;
    keep(&at, name, name_len + 1);
    op->op.data = keep(&at, from->data, from->data_len);
    op->op.expect = keep(&at, from->expect, from->expect_len);
    op->op.mutex = keep(&at, from->mutex, from->mutex_len);
    return op;
}

int node_var_begin(struct kith_node *node,
                   const char *name,
                   const struct value_op *op,
                   kith_value_cb cb,
                   void *user)
{
    struct node_var_op *var_op = op_new(node, name, op, 0, 0);

    if (var_op == NULL)
        return KITH_E_MEMORY;
    var_op->cb = cb;
    var_op->user = user;
    node_push(node, &var_op->request);
    return 0;
}

int kith_var_do_async(struct kith_node *node,
                      const char *name,
                      const struct kith_var_op *op,
                      const struct kith_var_options *options,
                      kith_value_cb cb,
                      void *user)
{
    static const struct kith_var_options none;

    if (node == NULL || name == NULL || op == NULL || cb == NULL)
        return kith_fail_with(KITH_E_INVALID,
                              "an operation on a variable needs a node, a name, an operation and a "
                              "callback");
    if (options == NULL)
        options = &none;
    int r = value_name_check(name, strlen(name), false);
    if (r == 0 && options->guard.mutex != NULL)
        r = value_name_check(options->guard.mutex, strlen(options->guard.mutex), false);
    if (r != 0)
        return r;
    struct value_op value_op = op_of(op, options);
    bool on_sets = op->kind == KITH_VAR_INSERT || op->kind == KITH_VAR_REMOVE;
    if (options->policy != KITH_POLICY_AVAILABLE && !on_sets)
        r = value_op_check(name, &value_op);
    else if (op->len > 0)
        r = value_data_check(name, value_op.type, op->data, op->len);
    if (r != 0)
        return r;
    struct node_var_op *var_op =
        op_new(node, name, &value_op, (uint8_t)options->merge, options->timeout_ms);
    if (var_op == NULL)
        return KITH_E_MEMORY;
    if (!node_enter(node)) {
        core_free(var_op); /* the loop has ended, it keeps nothing any more */
        return KITH_E_STOPPED;
    }
    var_op->cb = cb;
    var_op->user = user;
    node_push(node, &var_op->request);
    node_exit(node);
    return 0;
}

/* ---- synchronous ---- */

struct var_sync {
    sem_t done;
    struct kith_value *value;
    int code;
    char text[1024];
};

struct kith_value *node_value_copy(const struct kith_value *value)
{
    size_t text_bytes = strlen(value->text) + 1;
    struct kith_value *copy = core_malloc(sizeof(*copy) + value->len + 1 + text_bytes);

    if (copy == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(copy + 1);
    *copy = *value;
    if (value->len > 0)
        memcpy(at, value->data, value->len);
    at[value->len] = '\0'; /* so that text can be printed */
    copy->data = at;
    copy->text = memcpy(at + value->len + 1, value->text, text_bytes);
    return copy;
}

void kith_value_free(struct kith_value *value)
{
    core_free(value);
}

static void on_sync(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct var_sync *sync = user;

    (void)node;
    sync->code = value->code;
    snprintf(sync->text, sizeof(sync->text), "%s", value->text);
    sync->value = node_value_copy(value);
    if (sync->value == NULL && sync->code == 0)
        sync->code = KITH_E_MEMORY;
    sem_post(&sync->done);
}

int kith_var_do(struct kith_node *node,
                const char *name,
                const struct kith_var_op *op,
                const struct kith_var_options *options,
                struct kith_value **value_out)
{
    struct var_sync sync = {0};

    if (value_out != NULL)
        *value_out = NULL;
    if (node != NULL && node_on_loop(node))
        return node_fail_would_deadlock("kith_var_do");
    sem_init(&sync.done, 0, 0);
    int r = kith_var_do_async(node, name, op, options, on_sync, &sync);
    if (r == 0) {
        node_sem_wait(&sync.done);
        r = sync.code;
        if (r != 0)
            (void)kith_fail_with(r, "%s", sync.text);
    }
    sem_destroy(&sync.done);
    if (value_out != NULL)
        *value_out = sync.value;
    else
        kith_value_free(sync.value);
    return r;
}

int kith_var_get(struct kith_node *node,
                 const char *name,
                 const struct kith_var_options *options,
                 struct kith_value **value_out)
{
    struct kith_var_op op = {.kind = KITH_VAR_GET};
    return kith_var_do(node, name, &op, options, value_out);
}

int kith_var_set(struct kith_node *node,
                 const char *name,
                 const void *data,
                 size_t len,
                 const struct kith_var_options *options,
                 struct kith_value **value_out)
{
    struct kith_var_op op = {.kind = KITH_VAR_SET, .data = data, .len = len};
    return kith_var_do(node, name, &op, options, value_out);
}

int kith_var_delete(struct kith_node *node,
                    const char *name,
                    const struct kith_var_options *options)
{
    struct kith_var_op op = {.kind = KITH_VAR_DELETE};
    return kith_var_do(node, name, &op, options, NULL);
}

int kith_var_add(struct kith_node *node,
                 const char *name,
                 int64_t delta,
                 const struct kith_var_options *options,
                 int64_t *number_out)
{
    struct kith_var_op op = {.kind = KITH_VAR_ADD, .delta = delta};
    struct kith_value *value = NULL;
    int r = kith_var_do(node, name, &op, options, &value);

    if (r == 0 && number_out != NULL)
        *number_out = value->i64;
    kith_value_free(value);
    return r;
}

int kith_var_update_if(struct kith_node *node,
                       const char *name,
                       const void *expect,
                       size_t expect_len,
                       const void *data,
                       size_t len,
                       const struct kith_var_options *options,
                       bool *applied_out)
{
    struct kith_var_op op = {.kind = KITH_VAR_CAS_VALUE,
                             .data = data,
                             .len = len,
                             .expect = expect,
                             .expect_len = expect_len};
    struct kith_value *value = NULL;
    int r = kith_var_do(node, name, &op, options, &value);

    if (r == 0)
        *applied_out = value->applied;
    kith_value_free(value);
    return r;
}

/* ---- watching ---- */

static void watch_run(struct kith_node *node, struct node_request *request)
{
    struct node_var_op *watch = container_of(request, struct node_var_op, request);
    struct dvar_event event = {.type = DVAR_WATCH,
                               .id = watch->id,
                               .name = watch->name,
                               .name_len = watch->name_len,
                               .prefix = watch->kind != 0};

    bool unwatched = map64_remove(&node->state.var_unwatched, watch->id) != NULL;
    if (node->ending || unwatched || map64_set(&node->state.var_watches, watch->id, watch) != 0) {
        core_free(watch);
        return;
    }
    node->state.watches_n++;
    node_dvar_step(node, &event);
    node_avail_watch_begins(node, watch);
}

int64_t
kith_var_watch(struct kith_node *node, const char *pattern, kith_var_change_cb cb, void *user)
{
    if (node == NULL || pattern == NULL || cb == NULL)
        return kith_fail_with(KITH_E_INVALID, "a watch needs a node, a pattern and a callback");
    size_t len = strlen(pattern);
    bool prefix = len > 0 && pattern[len - 1] == '*';
    if (prefix)
        len--;
    int r = prefix && len == 0 ? 0 : value_name_check(pattern, len, false);
    if (r != 0)
        return r;
    struct node_var_op *watch = core_calloc(1, sizeof(*watch) + len + 1);
    if (watch == NULL)
        return KITH_E_MEMORY;
    watch->request.run = watch_run;
    watch->on_change = cb;
    watch->user = user;
    watch->kind = prefix;
    watch->name_len = len;
    memcpy(watch->name, pattern, len);
    if (!node_enter(node)) {
        core_free(watch);
        return KITH_E_STOPPED;
    }
    watch->id = atomic_fetch_add(&node->state.next_var_id, 1) + 1;
    int64_t no = (int64_t)watch->id;
    node_push(node, &watch->request);
    node_exit(node);
    return no;
}

struct unwatch {
    struct node_request request;
    uint64_t id;
};

static void unwatch_run(struct kith_node *node, struct node_request *request)
{
    struct unwatch *unwatch = container_of(request, struct unwatch, request);
    struct node_var_op *watch = map64_remove(&node->state.var_watches, unwatch->id);

    map64_remove(&node->state.var_unwatched, unwatch->id);
    if (watch != NULL)
        node->state.watches_n--;
    if (watch != NULL)
        node_dvar_step(node, &(struct dvar_event){.type = DVAR_UNWATCH, .id = unwatch->id});
    core_free(watch);
    core_free(unwatch);
}

void kith_var_unwatch(struct kith_node *node, int64_t watch_no)
{
    struct unwatch *unwatch = core_malloc(sizeof(*unwatch));

    if (unwatch == NULL)
        return;
    *unwatch = (struct unwatch){.request.run = unwatch_run, .id = (uint64_t)watch_no};
    if (!node_enter(node)) {
        core_free(unwatch);
        return;
    }
    if (node_on_loop(node)) {
        /* At once: whoever owns the callback's data may free it next. */
        struct node_var_op *watch = map64_find(&node->state.var_watches, unwatch->id);
        if (watch != NULL)
            watch->on_change = NULL;
        else /* it still waits to begin; without memory for this, none is there for that either */
            (void)map64_set(&node->state.var_unwatched, unwatch->id, node);
    }
    node_push(node, &unwatch->request);
    node_exit(node);
}

/* ---- life ---- */

void node_vars_stop(struct kith_node *node)
{
    struct node_var_op *op;

    while ((op = node_var_op_any(node)) != NULL) {
        (void)node_var_op_leave(node, op->id);
        bool reads = op->kind == KITH_VAR_GET || op->kind == KITH_VAR_SLICE_GET;
        fail(node, op, reads ? KITH_E_STOPPED : KITH_E_UNKNOWN_OUTCOME,
             reads ? "the node stops: start another"
                   : "the node stops, and the write may or may not have been done: read it later");
    }
}

void node_vars_deinit(struct kith_node *node)
{
    struct node_var_op *watch;

    for (size_t at = 0; (watch = map64_next(&node->state.var_watches, &at)) != NULL;)
        core_free(watch);
    map64_deinit(&node->state.var_watches);
    map64_deinit(&node->state.var_unwatched);
    node_var_ops_deinit(node);
}
