/*
 * The table of symbols, driven: told by homes of what is made and deleted, listed for people.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

static void do_actions(struct kith_node *node, const struct symbols_output *out)
{
    for (size_t i = 0; i < out->actions_n; i++) {
        const struct symbols_action *action = &out->actions[i];
        if (action->type == SYMBOLS_SEND)
            node_state_send(node, &action->peer, FRAME_DVAR_SYMBOLS, action->data.data,
                            action->data.len);
    }
}

void node_symbols_step(struct kith_node *node, struct symbols_event *event)
{
    struct symbols_output out;

    event->now_ms = node_boot_ms();
    event->wall_ms = node_unix_ms();
    if (symbols_step(node->state.symbols, event, &out) == KITH_E_MEMORY)
        log_error(&node->log.log, "symbols", "memory is short: a step was lost", NULL);
    do_actions(node, &out);
}

/* A name as the table takes it; false for the runtime's own, which are not listed. */
static bool user_name(const struct dvar_change *change, char out[KITH_NAME_BYTES_MAX + 1])
{
    if (value_name_is_internal(change->name, change->name_len))
        return false;
    memcpy(out, change->name, change->name_len);
    out[change->name_len] = '\0';
    return true;
}

static struct symbol
symbol_of(struct kith_node *node, const char *name, const struct dvar_change *change)
{
    struct value value = value_view(change->value, change->value_len);

    return (struct symbol){.name = name,
                           .type = value.type,
                           .policy = value.policy,
                           .flags = value.flags,
                           .size = value.len,
                           .created_ms = value.time_ms,
                           .home = node->identity.id,
                           .version = change->version};
}

void node_symbol_changed(struct kith_node *node, const struct dvar_change *change)
{
    char name[KITH_NAME_BYTES_MAX + 1];

    if (!user_name(change, name))
        return;
    struct symbol symbol = symbol_of(node, name, change);
    struct symbols_event event = {.type = SYMBOLS_GONE, .name = name, .version = change->version};
    if (symbol.type != VALUE_NONE)
        event = (struct symbols_event){.type = SYMBOLS_CREATED, .symbol = &symbol};
    node_symbols_step(node, &event);
}

void node_symbol_seen(struct kith_node *node, const char *name, uint64_t version, size_t size)
{
    symbols_seen(node->state.symbols, name, version, (uint32_t)size, node->state.step_ms);
}

/* A variable that this node is home of and that the table lacks: what a former home may not have
 * got round to telling. */
void node_symbol_sweep(struct kith_node *node, const struct dvar_change *change)
{
    char name[KITH_NAME_BYTES_MAX + 1];
    struct symbol known;

    if (user_name(change, name) && symbols_find(node->state.symbols, name, &known) != 0)
        node_symbol_changed(node, change);
}

enum kith_type node_var_type(struct kith_node *node, const char *name)
{
    struct avail_value value = {0};
    struct symbol symbol;
    uint8_t type = 0;

    if (symbols_find(node->state.symbols, name, &symbol) == 0)
        type = symbol.type;
    else if (avail_get(node->state.avail, name, &value) == 0)
        type = value.type;
    avail_value_deinit(&value);
    return (enum kith_type)type;
}

/* ---- the list ---- */

struct list_copy {
    const char *prefix;
    struct kith_var_list *list;
    int code;
};

/* Entries and texts grow apart, and are put together at the end. */
struct listing {
    struct buf infos; /* struct kith_var_info, names as offsets into texts */
    struct buf texts;
    int code;
};

static void list_add(struct listing *listing, struct kith_var_info info, const char *home)
{
    size_t name_at = listing->texts.len;
    int r = buf_append(&listing->texts, info.name, strlen(info.name) + 1);
    size_t home_at = listing->texts.len;

    if (r == 0)
        r = buf_append(&listing->texts, home, strlen(home) + 1);
    info.name = (const char *)(uintptr_t)name_at;
    info.home_name = (const char *)(uintptr_t)home_at;
    if (r == 0)
        r = buf_append(&listing->infos, &info, sizeof(info));
    if (r != 0)
        listing->code = r;
}

static void list_symbols(struct kith_node *node, const char *prefix, struct listing *listing)
{
    const struct placement *placement = view_placement(node->state.view);
    uint64_t now_ms = node_boot_ms();
    struct symbol symbol;
    char after[KITH_NAME_BYTES_MAX + 1] = "";

    while (listing->code == 0 && symbols_next(node->state.symbols, prefix, after, &symbol)) {
        const struct placement_keeper *home =
            placement_home(placement, placement_slot_of(symbol.name, strlen(symbol.name)));
        const char *home_name = home != NULL ? node_name_of(node, &home->boot.node) : NULL;
        snprintf(after, sizeof(after), "%s", symbol.name);
        list_add(listing,
                 (struct kith_var_info){.name = symbol.name,
                                        .type = (enum kith_type)symbol.type,
                                        .policy = (enum kith_policy)symbol.policy,
                                        .bytes = symbol.size,
                                        .version = symbol.version,
                                        .age_ms = now_ms - symbol.seen_ms,
                                        .home = home != NULL ? home->boot.node : symbol.home},
                 home_name != NULL ? home_name : "");
    }
}

static void list_available(struct kith_node *node, const char *prefix, struct listing *listing)
{
    struct avail_value value = {0};
    const char *name;

    for (size_t at = 0;
         listing->code == 0 && (name = avail_next(node->state.avail, &at)) != NULL;) {
        if (value_name_is_internal(name, strlen(name)) ||
            strncmp(name, prefix, strlen(prefix)) != 0 ||
            avail_get(node->state.avail, name, &value) != 0)
            continue;
        list_add(listing,
                 (struct kith_var_info){.name = name,
                                        .type = (enum kith_type)value.type,
                                        .policy = KITH_POLICY_AVAILABLE,
                                        .merge = (enum kith_merge)value.merge,
                                        .bytes = value.data.len,
                                        .version = value.version,
                                        .home = node->identity.id},
                 "everywhere");
    }
    avail_value_deinit(&value);
}

static int by_name(const void *a, const void *b)
{
    const struct kith_var_info *va = a, *vb = b;
    return strcmp(va->name, vb->name);
}

static struct kith_var_list *list_join(const struct listing *listing)
{
    size_t n = listing->infos.len / sizeof(struct kith_var_info);
    struct kith_var_list *list =
        core_malloc(sizeof(*list) + listing->infos.len + listing->texts.len);

    if (list == NULL)
        return NULL;
    list->vars = (struct kith_var_info *)(void *)(list + 1);
    list->vars_n = n;
    char *texts = (char *)(list->vars + n);
    if (n > 0) {
        memcpy(list->vars, listing->infos.data, listing->infos.len);
        memcpy(texts, listing->texts.data, listing->texts.len);
    }
    for (size_t i = 0; i < n; i++) {
        list->vars[i].name = texts + (uintptr_t)list->vars[i].name;
        list->vars[i].home_name = texts + (uintptr_t)list->vars[i].home_name;
    }
    qsort(list->vars, n, sizeof(*list->vars), by_name);
    return list;
}

static void list_run(struct kith_node *node, void *arg)
{
    struct list_copy *copy = arg;
    struct listing listing = {0};

    list_symbols(node, copy->prefix, &listing);
    list_available(node, copy->prefix, &listing);
    copy->code = listing.code;
    if (copy->code == 0) {
        copy->list = list_join(&listing);
        copy->code = copy->list == NULL ? KITH_E_MEMORY : 0;
    }
    buf_deinit(&listing.infos);
    buf_deinit(&listing.texts);
}

int kith_var_list(struct kith_node *node, const char *prefix, struct kith_var_list **list_out)
{
    struct list_copy copy = {.prefix = prefix != NULL ? prefix : ""};
    int r = node_run(node, list_run, &copy);

    *list_out = copy.list;
    return r == 0 ? copy.code : r;
}

void kith_var_list_free(struct kith_var_list *list)
{
    core_free(list);
}
