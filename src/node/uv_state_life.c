/*
 * Beginning and end of the shared state of a node, and its store: what was durable comes back
 * before anything else, what becomes durable is told to the cores.
 */
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

/* Slots that move at once to or from a keeper. With two, as the specification has it, a cluster of
 * three that has just been made takes 12 s to have all its copies; pieces of a slot are small. */
#define SLOT_MOVES_MAX 16

/* ---- the store ---- */

static int recall_view(void *user, const struct store_entry *entry)
{
    struct kith_node *node = user;
    struct view_event event = {.type = VIEW_RECALL,
                               .now_ms = node_boot_ms(),
                               .key = entry->key.data,
                               .key_len = entry->key.len,
                               .data = entry->value.data,
                               .len = entry->value.len};
    struct view_output out;

    if (entry->corrupt)
        return kith_fail_with(
            KITH_E_CORRUPT,
            "what this node voted is damaged on disk: move %s/store away and start "
            "again; the node then comes back as a fresh one",
            node->dir.path);
    return view_step(node->state.view, &event, &out);
}

static int recall_dvar(void *user, const struct store_entry *entry)
{
    struct kith_node *node = user;
    struct dvar_event event = {.type = DVAR_RECALL,
                               .now_ms = node_boot_ms(),
                               .key = entry->key.data,
                               .key_len = entry->key.len,
                               .data = entry->value.data,
                               .len = entry->value.len};
    struct dvar_output out;
    struct avail_event available = {.type = AVAIL_RECALL, .key = entry->key, .data = entry->value};

    if (entry->corrupt) {
        log_error(&node->log.log, "store",
                  "a variable on disk is damaged and is taken from other copies", NULL);
        return 0;
    }
    if (entry->key.len >= AVAIL_KEY_PREFIX_LEN &&
        memcmp(entry->key.data, AVAIL_KEY_PREFIX, AVAIL_KEY_PREFIX_LEN) == 0)
        return node_avail_step(node, &available);
    return dvar_step(node->state.dvar, &event, &out);
}

static int recall(struct kith_node *node)
{
    int r = store_recall(node->state.store, STORE_KEY_VIEW, recall_view, node);

    if (r == 0)
        r = store_recall(node->state.store, STORE_KEY_DVAR, recall_dvar, node);
    return r == 0 ? node_fs_recall(node) : r;
}

/* ---- life ---- */

static int new_dvar_and_mutex(struct kith_node *node)
{
    struct boot_id self = {.node = node->identity.id, .boot_no = node->boot_no};
    struct dvar_config dvar = {.self = self, .seed = node_seed()};
    struct mutex_config mutex = {
        .self = self, .self_name = node->name, .seed = node_seed(), .pass_at_tick = true};
    int r = dvar_new(&node->state.dvar, &dvar);

    return r == 0 ? mutex_new(&node->state.mutex, &mutex) : r;
}

int node_state_open(struct kith_node *node)
{
    struct node_state *state = &node->state;
    struct view_config view = {
        .self = {.node = node->identity.id, .boot_no = node->boot_no},
        .eligible = !node->program,
        .seed = node_seed(),
        .settle_ms = (uint32_t)config_duration_ms(node->config, "view.settle"),
        .moves_max = SLOT_MOVES_MAX,
    };

    list_init(&state->todo);
    state->due_ms = UINT64_MAX;
    state->pid = (uint64_t)getpid();
    state->quorum = true;
    uv_timer_init(&node->loop, &state->timer);
    state->timer.data = node;
    if (!node->program) {
        int r = node_store_open(node);
        if (r != 0)
            return r;
        memcpy(view.disk_id, store_disk_id(state->store), sizeof(view.disk_id));
    }
    memcpy(view.cluster_id, node->cluster.id.bytes, sizeof(view.cluster_id));
    snprintf(view.name, sizeof(view.name), "%s", node->name);
    int r = view_new(&state->view, &view);
    if (r == 0)
        r = new_dvar_and_mutex(node);
    if (r == 0)
        r = symbols_new(&state->symbols,
                        &(struct symbols_config){.self = view.self, .seed = node_seed()});
    if (r == 0)
        r = avail_new(&state->avail, &(struct avail_config){.self = view.self,
                                                            .seed = node_seed(),
                                                            .persist = !node->program});
    if (r == 0)
        r = node_items_open(node);
    if (r == 0)
        r = node_fs_open(node);
    if (r == 0 && state->store != NULL)
        r = recall(node);
    return r;
}

/* How many nodes are to make the first view together; 0: not for this node to say. */
static uint32_t expected(struct kith_node *node)
{
    uint32_t kept = 0;
    uint32_t configured = (uint32_t)config_u64(node->config, "view.expect");

    if (node->program)
        return 0;
    if (data_dir_expect(&node->dir, &kept) != 0)
        log_warn(&node->log.log, "state", "view.expect cannot be read", "reason", kith_errmsg(),
                 NULL);
    node->state.expects = kept > 0;
    return configured > 0 ? configured : kept;
}

int node_state_first(struct kith_node *node)
{
    uint32_t expect = expected(node);

    node->state.started = true;
    node_view_step(node, &(struct view_event){.type = VIEW_START});
    node_dvar_step(node, &(struct dvar_event){.type = DVAR_START});
    node_symbols_step(node, &(struct symbols_event){.type = SYMBOLS_START});
    (void)node_avail_step(node, &(struct avail_event){.type = AVAIL_START});
    (void)node_items_step(node, &(struct avail_event){.type = AVAIL_START});
    node_fs_first(node);
    node_labels_first(node);
    if (expect > 0 && view_placement(node->state.view)->epoch == 0) {
        node_view_step(node, &(struct view_event){.type = VIEW_BOOTSTRAP, .expect = expect});
    }
    return 0;
}

/* A restored backup: what it kept is old. As a new member it holds nothing, and is filled again. */
void node_state_boot_raised(struct kith_node *node)
{
    struct dvar_core *before = node->state.dvar;
    struct mutex_core *mutex_before = node->state.mutex;

    if (!node->state.started)
        return;
    node_mutex_step(node, &(struct mutex_event){.type = MUTEX_STOP});
    node_vars_stop(node);
    if (new_dvar_and_mutex(node) != 0) {
        node_state_end_process(node, "memory is short: start the node again");
    }
    mutex_free(mutex_before);
    dvar_free(node->state.dvar_before);
    node->state.dvar_before = before; /* handles may read its cells: their lease runs out */
    node_dvar_step(node, &(struct dvar_event){.type = DVAR_START});
    node_state_tell_placement(node);
    (void)node_avail_step(node,
                          &(struct avail_event){.type = AVAIL_BOOT, .boot_no = node->boot_no});
    node_view_step(node, &(struct view_event){.type = VIEW_BOOT, .boot_no = node->boot_no});
}

void node_state_close(struct kith_node *node)
{
    node_fs_close(node);
    store_close(node->state.store);
    node->state.store = NULL;
}

void node_state_deinit(struct kith_node *node)
{
    node_fs_deinit(node);
    node_locks_deinit(node);
    node_vars_deinit(node);
    node_items_deinit(node);
    node_labels_deinit(node);
    avail_free(node->state.avail);
    symbols_free(node->state.symbols);
    mutex_free(node->state.mutex);
    dvar_free(node->state.dvar);
    dvar_free(node->state.dvar_before);
    view_free(node->state.view);
    node_state_forget_todo(node);
}
