/*
 * Available variables for programs (dvar/avail.h): an operation is done here and at once, and told
 * to the others.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

/* What the operation of this step came to; DONE comes in the step itself. */
struct outcome {
    int code;
    uint64_t version;
    char text[1024];
};

static void tell_watches(struct kith_node *node, const char *name);

static void
do_actions(struct kith_node *node, const struct avail_output *out, struct outcome *outcome)
{
    for (size_t i = 0; i < out->actions_n; i++) {
        const struct avail_action *action = &out->actions[i];
        switch (action->type) {
        case AVAIL_SEND:
            node_state_send(node, &action->peer, FRAME_DVAR_AVAILABLE, action->data.data,
                            action->data.len);
            break;
        case AVAIL_PERSIST:
            node_state_keep(node, action->key, action->data);
            break;
        case AVAIL_DONE:
            if (outcome != NULL) {
                outcome->code = action->code;
                outcome->version = action->version;
                snprintf(outcome->text, sizeof(outcome->text), "%s", action->text);
            }
            break;
        case AVAIL_CHANGED:
            tell_watches(node, action->name);
            break;
        case AVAIL_ACKED:
            break; /* nothing asks for it yet */
        case AVAIL_QUARANTINED:
            log_warn(
                &node->log.log, "avail",
                "a node's clock is far ahead; its available variables are not taken for a while",
                "node", node_name_of(node, &action->peer), NULL);
            break;
        }
    }
}

static int step(struct kith_node *node, struct avail_event *event, struct outcome *outcome)
{
    struct avail_output out;

    event->now_ms = node_boot_ms();
    event->wall_ms = node_unix_ms();
    int r = avail_step(node->state.avail, event, &out);
    if (r == KITH_E_MEMORY)
        log_error(&node->log.log, "avail", "memory is short: a step was lost", NULL);
    do_actions(node, &out, outcome);
    node_state_pump(node); /* its deadline may be nearer now */
    return r;
}

int node_avail_step(struct kith_node *node, struct avail_event *event)
{
    return step(node, event, NULL);
}

bool node_var_is_available(struct kith_node *node, const char *name)
{
    return avail_has(node->state.avail, name);
}

/* ---- watches ---- */

static bool matches(const struct node_var_op *watch, const char *name)
{
    return watch->on_change != NULL &&
           (watch->kind != 0 ? strncmp(watch->name, name, watch->name_len) == 0
                             : strcmp(watch->name, name) == 0);
}

static struct kith_value value_of(struct kith_node *node, const struct avail_value *from)
{
    struct kith_value value = {.found = true,
                               .applied = true,
                               .outcome_known = true,
                               .type = (enum kith_type)from->type,
                               .policy = KITH_POLICY_AVAILABLE,
                               .data = from->data.data != NULL ? (const void *)from->data.data : "",
                               .len = from->data.len,
                               .version = from->version,
                               .writer = node->identity.id,
                               .time_unix_ms = from->time_ms,
                               .text = ""};

    /* What was made without a value, and never written, is nothing of its type. */
    if (value.len == 0) {
        struct kith_bytes none = value_data_default(from->type);
        value.data = none.len > 0 ? none.data : value.data;
        value.len = none.len;
    }
    if (from->merge == AVAIL_KEEP_BOTH) /* its data are all values that stand, usually one */
        value.type = KITH_TYPE_BYTES | KITH_TYPE_ARRAY;
    if (value.type == KITH_TYPE_I64 && value.len == 8)
        value.i64 = (int64_t)get_le64(value.data);
    if (value.type == KITH_TYPE_F64 && value.len == 8)
        memcpy(&value.f64, value.data, sizeof(value.f64));
    return value;
}

static void tell_watches(struct kith_node *node, const char *name)
{
    struct kith_value absent = {.outcome_known = true, .text = ""}, value = absent;
    struct avail_value read = {0};
    struct node_var_op *watch;

    if (value_name_is_internal(name, strlen(name))) {
        node_label_changed(node, name);
        return;
    }
    if (node->state.watches_n == 0)
        return;
    if (avail_get(node->state.avail, name, &read) == 0)
        value = value_of(node, &read);
    struct kith_var_change change = {.name = name, .gone = !value.found, .value = &value};
    for (size_t at = 0; (watch = map64_next(&node->state.var_watches, &at)) != NULL;) {
        if (matches(watch, name))
            watch->on_change(node, &change, watch->user);
    }
    avail_value_deinit(&read);
}

void node_avail_watch_begins(struct kith_node *node, struct node_var_op *watch)
{
    struct avail_value read = {0};
    const char *name;

    for (size_t at = 0; (name = avail_next(node->state.avail, &at)) != NULL;) {
        if (value_name_is_internal(name, strlen(name)) || !matches(watch, name) ||
            avail_get(node->state.avail, name, &read) != 0)
            continue;
        struct kith_value value = value_of(node, &read);
        struct kith_var_change change = {.name = name, .value = &value};
        watch->on_change(node, &change, watch->user);
    }
    avail_value_deinit(&read);
}

/* ---- operations ---- */

static int no_such_op(const char *name, const char *what)
{
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "%s is an available variable, which has no %s: nobody puts its writes in "
                          "order; make it volatile or durable for that",
                          name, what);
}

/* Elements of data of text[] or bytes[], borrowed from it. Freed by the caller. */
static int items_of(const struct node_var_op *op, struct kith_bytes **items_out, size_t *n_out)
{
    uint8_t type = op->op.type;
    uint32_t n;

    *items_out = NULL;
    *n_out = 0;
    if (!value_type_is_array(type)) {
        *items_out = core_malloc(sizeof(**items_out));
        if (*items_out == NULL)
            return KITH_E_MEMORY;
        **items_out = (struct kith_bytes){.data = op->op.data, .len = op->op.data_len};
        *n_out = 1;
        return 0;
    }
    n = value_data_count(type, op->op.data, op->op.data_len);
    *items_out = core_calloc(n + 1, sizeof(**items_out));
    if (*items_out == NULL)
        return KITH_E_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        (*items_out)[i] = value_data_element(type, op->op.data, op->op.data_len, i);
    *n_out = n;
    return 0;
}

/* The merge kind that holds: that of the variable if there is one. */
static uint8_t merge_of(struct kith_node *node, const struct node_var_op *op, uint8_t *type_out)
{
    struct avail_value value = {0};
    uint8_t merge = op->merge;

    *type_out = op->op.type;
    if (avail_get(node->state.avail, op->name, &value) == 0) {
        merge = value.merge;
        *type_out = value.type;
    } else if (merge == AVAIL_COUNTER || op->op.kind == VALUE_OP_ADD) {
        merge = AVAIL_COUNTER;
        *type_out = VALUE_I64;
    } else if (merge == AVAIL_SET && !value_type_is_array(op->op.type)) {
        *type_out = op->op.type | VALUE_ARRAY;
    }
    avail_value_deinit(&value);
    return merge;
}

/* What the core calls it. 0 or a code with its sentence. */
static int kind_of(const struct node_var_op *op, uint8_t merge, struct avail_op *avail)
{
    switch (op->kind) {
    case KITH_VAR_CREATE:
        avail->kind = AVAIL_OP_CREATE;
        return 0;
    case KITH_VAR_SET:
        avail->kind = merge == AVAIL_SET ? AVAIL_OP_INSERT : AVAIL_OP_SET;
        if (merge == AVAIL_COUNTER)
            return kith_fail_with(KITH_E_UNSUPPORTED,
                                  "%s is a counter: add to it instead of setting it", op->name);
        return 0;
    case KITH_VAR_ADD:
        avail->kind = AVAIL_OP_ADD;
        return 0;
    case KITH_VAR_INSERT:
        avail->kind = AVAIL_OP_INSERT;
        return 0;
    case KITH_VAR_REMOVE:
        avail->kind = AVAIL_OP_REMOVE;
        return 0;
    case KITH_VAR_DELETE:
        avail->kind = AVAIL_OP_DELETE;
        return 0;
    case KITH_VAR_CAS_VERSION:
    case KITH_VAR_CAS_VALUE:
        return no_such_op(op->name, "compare-and-set");
    case KITH_VAR_ONCE:
        return no_such_op(op->name, "constants");
    default:
        return no_such_op(op->name, "operations on parts of an array");
    }
}

static int write_now(struct kith_node *node, const struct node_var_op *op, struct outcome *outcome)
{
    struct avail_op avail = {.id = 1, .name = op->name, .delta = op->op.delta};
    struct kith_bytes *items = NULL;
    int r;

    avail.merge = merge_of(node, op, &avail.type);
    r = kind_of(op, avail.merge, &avail);
    if (r == 0 && (avail.kind == AVAIL_OP_INSERT || avail.kind == AVAIL_OP_REMOVE))
        r = items_of(op, &items, &avail.items_n);
    if (r != 0)
        return r;
    avail.items = items;
    avail.data = (struct kith_bytes){.data = op->op.data, .len = op->op.data_len};
    struct avail_event event = {.type = AVAIL_OP, .op = &avail};
    (void)step(node, &event, outcome);
    core_free(items);
    return outcome->code != 0 ? kith_fail_with(outcome->code, "%s", outcome->text) : 0;
}

void node_avail_do(struct kith_node *node, struct node_var_op *op)
{
    struct kith_value value = {.outcome_known = true, .text = ""};
    struct avail_value read = {0};
    struct outcome outcome = {0};
    bool reads = op->kind == KITH_VAR_GET;
    int r = reads ? 0 : write_now(node, op, &outcome);

    if (r == 0 && op->kind != KITH_VAR_DELETE &&
        avail_get(node->state.avail, op->name, &read) == 0) {
        value = value_of(node, &read);
    } else if (r == 0) {
        value.applied = !reads;
        value.version = outcome.version;
    } else {
        value.code = r;
        value.text = kith_errmsg();
    }
    op->cb(node, &value, op->user);
    avail_value_deinit(&read);
    node_var_op_free(node, op);
}
