/*
 * The driver of the store: what the cores keep goes to its writer, and what has become durable
 * comes back as events.
 *
 * The first batch of a turn is handed over when the turn's frames have left: the writer's thread
 * may take this core as soon as it is woken, and copies need longer than this disk, since they have
 * a network to cross. A turn with several takes its time, and the disk works meanwhile.
 */
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define TOKENS_AT_ONCE 64

/* Any thread, the writer's. A loop that polls finds it in the queue, and is not woken. */
static void on_store_wake(void *user)
{
    struct kith_node *node = user;

    if (!atomic_exchange(&node->state.stored_told, true))
        node_push(node, &node->state.stored);
}

/* What cannot be written must not be acknowledged, and what was not read must not be guessed. */
static void on_store_fatal(void *user, int code, const char *text)
{
    (void)code;
    node_state_end_process(user, text);
}

static void look_at_disk(struct kith_node *node)
{
    char why[512];
    bool full = store_full(node->state.store, why, sizeof(why));

    if (full == node->state.disk_full)
        return;
    node->state.disk_full = full;
    if (full)
        log_warn(&node->log.log, "store", "durable variables cannot be written", "reason", why,
                 NULL);
    else
        log_info(&node->log.log, "store", "durable variables can be written again", NULL);
    node_view_step(node, &(struct view_event){.type = VIEW_DISK_FULL, .full = full});
    node_dvar_step(node, &(struct dvar_event){.type = DVAR_DISK_FULL, .full = full});
}

static void tell_durable(struct kith_node *node, uint64_t all)
{
    uint64_t core = all & NODE_TOKEN_CORE, token = all & ~NODE_TOKEN_CORE;

    if (core == NODE_TOKEN_VIEW)
        node_view_step(node, &(struct view_event){.type = VIEW_PERSISTED, .token = token});
    else if (core == NODE_TOKEN_DVAR)
        node_dvar_step(node, &(struct dvar_event){.type = DVAR_PERSISTED, .token = token});
    else if (core == NODE_TOKEN_FS)
        node_fs_stored(node, token);
}

/* What somebody waits for; of the catalogue nobody does. */
static bool is_awaited(uint64_t token)
{
    uint64_t core = token & NODE_TOKEN_CORE;

    return core == NODE_TOKEN_VIEW || core == NODE_TOKEN_DVAR;
}

static void count_durable(struct kith_node *node, const uint64_t *tokens, size_t n)
{
    struct node_state *state = &node->state;
    uint64_t now_ns = node_now_ns(), before_n = state->writing_n;

    for (size_t i = 0; i < n; i++)
        state->writing_n -= is_awaited(tokens[i]);
    if (state->writing_n == before_n)
        return;
    node_loop_durable(node, now_ns - state->writing_ns);
    state->writing_ns = now_ns;
}

static void on_stored(struct kith_node *node, struct node_request *request)
{
    uint64_t tokens[TOKENS_AT_ONCE];
    size_t n;

    (void)request;
    atomic_store(&node->state.stored_told, false);
    if (node->state.store == NULL || !node->state.started || node->finished)
        return;
    while ((n = store_completed(node->state.store, tokens, TOKENS_AT_ONCE)) > 0) {
        node->work_n++;
        count_durable(node, tokens, n);
        for (size_t i = 0; i < n; i++)
            tell_durable(node, tokens[i]);
    }
    node_fs_store_ready(node);
    look_at_disk(node);
}

int node_store_open(struct kith_node *node)
{
    struct store_options options = {.wake = on_store_wake, .fatal = on_store_fatal, .user = node};

    node->state.stored.run = on_stored;
    return store_open(node->dir.path, &options, &node->state.store);
}

void node_store_put(struct kith_node *node, const struct store_put *puts, size_t n, uint64_t token)
{
    struct store_batch batch = {.puts = puts, .puts_n = n};
    struct node_state *state = &node->state;
    int r = state->store != NULL ? store_queue(state->store, &batch, token) : KITH_E_INTERNAL;

    /* Nothing is acknowledged before it is durable: a batch that is not taken is a stalled write.
     */
    if (r != 0) {
        log_error(&node->log.log, "store", "a batch was not taken", "reason", kith_errmsg(), NULL);
        return;
    }
    if (state->unwritten)
        store_write(state->store);
    state->unwritten = true;
    if (!is_awaited(token))
        return;
    if (state->writing_n == 0)
        state->writing_ns = node_now_ns();
    state->writing_n++;
}

void node_store_write(struct kith_node *node)
{
    if (!node->state.unwritten)
        return;
    node->state.unwritten = false;
    store_write(node->state.store);
}
