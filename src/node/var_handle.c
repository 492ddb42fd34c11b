/*
 * Handles of variables: any thread reads the copy that this node keeps by its cell, without lock,
 * system call or crossing to the loop, as long as that is valid; else it asks as everybody does.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

#define READ_TIMEOUT_MS 15000

struct kith_var {
    struct node_request request; /* of its end */
    struct kith_node *node;
    struct dvar_cell *cell;
    uint64_t id;
    int code;
    char name[KITH_NAME_BYTES_MAX + 1];
};

/* ---- open, close ---- */

/* The answer comes in the step of the question. */
void node_var_opened(struct kith_node *node, const struct dvar_action *action)
{
    struct kith_var *var = node->state.opening;

    assert(var != NULL && var->id == action->id);
    var->cell = action->cell;
}

static void open_run(struct kith_node *node, void *arg)
{
    struct kith_var *var = arg;
    struct dvar_event event = {
        .type = DVAR_OPEN, .id = var->id, .name = var->name, .name_len = strlen(var->name)};

    node->state.opening = var;
    node_dvar_step(node, &event);
    node->state.opening = NULL;
    if (var->cell == NULL)
        var->code = KITH_E_LIMIT;
}

int kith_var_open(struct kith_node *node, const char *name, struct kith_var **var_out)
{
    *var_out = NULL;
    if (node == NULL || name == NULL)
        return kith_fail_with(KITH_E_INVALID, "a handle needs a node and a name");
    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_var_open");
    int r = value_name_check(name, strlen(name), false);
    if (r != 0)
        return r;
    struct kith_var *var = core_calloc(1, sizeof(*var));
    if (var == NULL)
        return KITH_E_MEMORY;
    var->node = node;
    var->id = atomic_fetch_add(&node->state.next_var_id, 1) + 1;
    snprintf(var->name, sizeof(var->name), "%s", name);
    r = node_run(node, open_run, var);
    if (r == 0 && var->code != 0)
        r = kith_fail_with(
            var->code,
            "%s cannot be kept here: this node keeps as many variables as it may, or "
            "memory is short; close handles that are not used",
            name);
    if (r != 0) {
        core_free(var);
        return r;
    }
    *var_out = var;
    return 0;
}

int node_var_open(struct kith_node *node, const char *name, struct kith_var **var_out)
{
    struct kith_var *var = core_calloc(1, sizeof(*var));

    *var_out = NULL;
    if (var == NULL)
        return KITH_E_MEMORY;
    var->node = node;
    var->id = atomic_fetch_add(&node->state.next_var_id, 1) + 1;
    snprintf(var->name, sizeof(var->name), "%s", name);
    open_run(node, var);
    if (var->code != 0) {
        core_free(var);
        return KITH_E_LIMIT;
    }
    *var_out = var;
    return 0;
}

static void close_run(struct kith_node *node, struct node_request *request)
{
    struct kith_var *var = container_of(request, struct kith_var, request);

    node_dvar_step(node, &(struct dvar_event){.type = DVAR_CLOSE, .cell = var->cell});
    core_free(var);
}

void kith_var_close(struct kith_var *var)
{
    if (var == NULL)
        return;
    struct kith_node *node = var->node;
    if (!node_enter(node)) {
        core_free(var);
        return;
    }
    var->request.run = close_run;
    node_push(node, &var->request);
    node_exit(node);
}

/* ---- read ---- */

/* What the home says. The core then keeps a copy here, for the next time. */
static int
ask(struct kith_var *var, void *buffer, size_t buffer_bytes, size_t *len_out, uint64_t *version_out)
{
    struct kith_var_options options = {.timeout_ms = READ_TIMEOUT_MS};
    struct kith_value *value = NULL;

    if (node_on_loop(var->node))
        return kith_fail_with(KITH_E_AGAIN,
                              "%s is not valid here at the moment; ask with kith_var_do_async()",
                              var->name);
    int r = kith_var_get(var->node, var->name, &options, &value);
    if (r == 0) {
        *len_out = value->len;
        if (version_out != NULL)
            *version_out = value->version;
        if (!value->found)
            r = kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s", var->name);
        else if (value->len > buffer_bytes)
            r = kith_fail_with(KITH_E_TOO_LARGE, "%s has %zu bytes, the buffer %zu", var->name,
                               value->len, buffer_bytes);
        else
            memcpy(buffer, value->data, value->len);
    }
    kith_value_free(value);
    return r;
}

int kith_var_read(
    struct kith_var *var, void *buffer, size_t buffer_bytes, size_t *len_out, uint64_t *version_out)
{
    struct cell_data found;

    if (!cell_read_data(var->cell, buffer, buffer_bytes, &found, node_boot_ns))
        return ask(var, buffer, buffer_bytes, len_out, version_out);
    *len_out = found.len;
    if (version_out != NULL)
        *version_out = found.version;
    if (found.type == VALUE_NONE)
        return kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s", var->name);
    if (found.len > buffer_bytes)
        return kith_fail_with(KITH_E_TOO_LARGE, "%s has %zu bytes, the buffer %zu", var->name,
                              found.len, buffer_bytes);
    return 0;
}

bool node_var_peek(struct kith_var *var, struct buf *room, struct kith_value *value_out)
{
    uint64_t version = 0;
    size_t len = cell_read(var->cell, room->data, room->cap, &version, node_boot_ns);

    if (len != SIZE_MAX && len > room->cap) {
        room->len = 0;
        if (buf_reserve(room, len) != 0)
            return false;
        len = cell_read(var->cell, room->data, room->cap, &version, node_boot_ns);
    }
    if (len == SIZE_MAX || len > room->cap)
        return false;
    struct value value = value_view(room->data, len);
    if (value.type == VALUE_NONE)
        return false; /* there may be an available one of that name */
    *value_out = (struct kith_value){.found = true,
                                     .outcome_known = true,
                                     .type = (enum kith_type)value.type,
                                     .policy = (enum kith_policy)value.policy,
                                     .data = value.data,
                                     .len = value.len,
                                     .version = version,
                                     .writer = value.writer,
                                     .time_unix_ms = value.time_ms,
                                     .text = ""};
    return true;
}
