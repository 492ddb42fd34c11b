#include "node/var_info.h"

#include <string.h>

#include "node/internal.h"

static uint32_t watches_of(struct kith_node *node, const char *name)
{
    const struct node_var_op *op;
    uint32_t n = 0;

    for (size_t at = 0; (op = map64_next(&node->state.var_watches, &at)) != NULL;) {
        if (op->on_change == NULL)
            continue;
        /* A watch's kind says whether it is of a prefix. */
        n += op->kind != 0 ? strncmp(op->name, name, op->name_len) == 0
                           : strcmp(op->name, name) == 0;
    }
    return n;
}

static const char *role_of(const struct dvar_info *info)
{
    if (info->role == DVAR_ROLE_HOME)
        return "home";
    if (info->role == DVAR_ROLE_REPLICA)
        return "replica";
    return info->cached ? "cache" : "none";
}

void node_var_info(struct kith_node *node, const char *name, struct node_var_info *out)
{
    struct avail_value value = {0};
    struct dvar_info info;

    *out = (struct node_var_info){.role = "none", .watches_n = watches_of(node, name)};
    if (avail_get(node->state.avail, name, &value) == 0) {
        out->available = true;
        out->readable = true;
        out->role = "replica";
        out->merge = (enum kith_merge)value.merge;
        out->version = value.version;
        avail_value_deinit(&value);
        return;
    }
    avail_value_deinit(&value);
    dvar_info(node->state.dvar, name, strlen(name), node_boot_ms(), &info);
    out->role = role_of(&info);
    out->readable = info.valid;
    out->version = info.version;
    out->sharers_n = info.sharers_n;
    out->replicas_n = info.holders_n;
    memcpy(out->replicas, info.holders, info.holders_n * sizeof(info.holders[0]));
}
