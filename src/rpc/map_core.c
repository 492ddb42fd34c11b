#include "rpc/map_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "core/map.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "kith/error.h"

#define ACTIONS_RESERVED 64
#define BACKOFF_MIN_MS   50
#define BACKOFF_MAX_MS   2000
#define NS_PER_MS        1000000ull

struct map_node {
    struct kith_node_id id;
    char *name;
    bool up;
    uint32_t in_flight_max;
    uint32_t running_n;
    uint32_t refusals_n; /* in a row */
    uint64_t blocked_ms; /* nothing is given to it before; 0: not blocked */
    uint64_t given_n;
    uint64_t done_n;
    uint64_t busy_ns;
};

/* What is known of an item between its end and its turn (ordered maps). */
enum held { HELD_NOT, HELD_RESULT, HELD_GAVE_UP };

struct map_core {
    struct map_config config;
    uint64_t now_ms;
    struct rng rng;
    bool cancelled;
    bool finished;
    bool fill_due; /* nodes came up or something did not fit: give items out at the next step */

    struct mapid nodes_by_id;
    struct map_node **nodes;
    size_t nodes_n;
    size_t nodes_cap;
    size_t nodes_up_n;
    size_t turn; /* node that is given an item first */

    uint64_t next;      /* items from here on were never given out */
    uint64_t *returned; /* stack of items to be given out again, before `next` */
    size_t returned_n;
    size_t returned_cap;
    struct map64 running;  /* index + 1 -> struct map_node */
    struct map64 attempts; /* index + 1 -> lost tries, of those lost at least once */
    uint64_t done_n;
    uint64_t failed_n;
    uint64_t lost_n;

    uint64_t emit_next; /* ordered: the index whose turn it is */
    uint64_t held_n;
    uint8_t *held; /* enum held, ring of MAP_HELD_MAX */

    struct map_action *actions;
    size_t actions_n;
    size_t actions_cap;

    struct kith_map_progress progress;
    struct kith_map_node *progress_nodes;
};

/* ---- life ---- */

int map_new(struct map_core **core_out, const struct map_config *config)
{
    if (config->items_n > 1ull << 32)
        return KITH_E_LIMIT;
    struct map_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    core->fill_due = true; /* a map of no items ends with its first TICK */
    rng_init(&core->rng, config->seed);
    core->actions = core_calloc(ACTIONS_RESERVED, sizeof(*core->actions));
    core->actions_cap = ACTIONS_RESERVED;
    if (config->ordered)
        core->held = core_calloc(MAP_HELD_MAX, 1);
    if (core->actions == NULL || (config->ordered && core->held == NULL)) {
        map_free(core);
        return KITH_E_MEMORY;
    }
    *core_out = core;
    return 0;
}

void map_free(struct map_core *core)
{
    if (core == NULL)
        return;
    for (size_t i = 0; i < core->nodes_n; i++) {
        core_free(core->nodes[i]->name);
        core_free(core->nodes[i]);
    }
    core_free(core->nodes);
    mapid_deinit(&core->nodes_by_id);
    map64_deinit(&core->running);
    map64_deinit(&core->attempts);
    core_free(core->returned);
    core_free(core->held);
    core_free(core->actions);
    core_free(core->progress_nodes);
    core_free(core);
}

/* ---- actions ---- */

static bool action_room(struct map_core *core)
{
    if (core->actions_n < core->actions_cap)
        return true;
    size_t cap = core->actions_cap * 2;
    struct map_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
    if (actions == NULL) {
        core->fill_due = true;
        return false;
    }
    core->actions = actions;
    core->actions_cap = cap;
    return true;
}

static bool action_add(struct map_core *core,
                       enum map_action_type type,
                       const struct map_node *node,
                       uint64_t index)
{
    if (!action_room(core))
        return false;
    struct map_action *action = &core->actions[core->actions_n++];
    *action = (struct map_action){.type = type, .index = index};
    if (node != NULL)
        action->node = node->id;
    return true;
}

/* ---- items ---- */

static uint64_t pending_n(const struct map_core *core)
{
    return core->config.items_n - core->next + core->returned_n;
}

/* Room to take back everything that runs, so that an item cannot be lost for want of memory. */
static bool reserve_returned(struct map_core *core)
{
    size_t need = core->returned_n + core->running.n + 1;
    if (need <= core->returned_cap)
        return true;
    size_t cap = core->returned_cap == 0 ? 64 : core->returned_cap * 2;
    uint64_t *returned = core_realloc(core->returned, cap * sizeof(*returned));
    if (returned == NULL)
        return false;
    core->returned = returned;
    core->returned_cap = cap;
    return true;
}

static bool may_run_ahead(const struct map_core *core, uint64_t index)
{
    return !core->config.ordered || index < core->emit_next + MAP_HELD_MAX;
}

static bool item_waits(const struct map_core *core)
{
    if (core->returned_n > 0)
        return true;
    return core->next < core->config.items_n && may_run_ahead(core, core->next);
}

/* ---- giving items out ---- */

static bool has_place(const struct map_core *core, const struct map_node *node)
{
    if (!node->up || node->blocked_ms > core->now_ms)
        return false;
    /* Towards the end nobody hoards what others could begin at once. */
    uint64_t share = (pending_n(core) + core->nodes_up_n - 1) / core->nodes_up_n;
    uint64_t half = (node->in_flight_max + 1) / 2;
    uint64_t places = share > half ? share : half;
    if (places > node->in_flight_max)
        places = node->in_flight_max;
    return node->running_n < places;
}

static bool give_one(struct map_core *core, struct map_node *node)
{
    if (!reserve_returned(core) || !action_room(core)) {
        core->fill_due = true;
        return false;
    }
    uint64_t index = core->returned_n > 0 ? core->returned[core->returned_n - 1] : core->next;
    if (map64_set(&core->running, index + 1, node) != 0) {
        core->fill_due = true;
        return false;
    }
    if (core->returned_n > 0)
        core->returned_n--;
    else
        core->next++;
    node->running_n++;
    node->given_n++;
    node->blocked_ms = 0;
    action_add(core, MAP_DISPATCH, node, index);
    return true;
}

static void fill_node(struct map_core *core, struct map_node *node)
{
    while (!core->cancelled && item_waits(core) && has_place(core, node)) {
        if (!give_one(core, node))
            return;
    }
}

/* One item a node and round, so that a short map is shared by all. */
static void fill_all(struct map_core *core)
{
    bool any = true;
    core->fill_due = false;
    /* A node may be free again and yet have no place, when few items are left: not due any more. */
    for (size_t i = 0; i < core->nodes_n; i++) {
        if (core->nodes[i]->blocked_ms <= core->now_ms)
            core->nodes[i]->blocked_ms = 0;
    }
    while (any && !core->cancelled) {
        any = false;
        for (size_t i = 0; i < core->nodes_n && item_waits(core); i++) {
            struct map_node *node = core->nodes[(core->turn + i) % core->nodes_n];
            if (!has_place(core, node))
                continue;
            if (!give_one(core, node))
                return;
            any = true;
        }
        if (!item_waits(core))
            any = false;
    }
    if (core->nodes_n > 0)
        core->turn = (core->turn + 1) % core->nodes_n;
}

/* ---- the end of items ---- */

/* Ordered: hands out what has its turn. */
static void emit_in_order(struct map_core *core)
{
    while (core->emit_next < core->config.items_n) {
        uint8_t *held = &core->held[core->emit_next % MAP_HELD_MAX];
        if (*held == HELD_NOT || !action_room(core))
            return;
        action_add(core, *held == HELD_RESULT ? MAP_EMIT : MAP_GIVE_UP, NULL, core->emit_next);
        *held = HELD_NOT;
        core->held_n--;
        core->emit_next++;
    }
}

/* Cancelled and ordered: what is held has no turn any more, and is handed out over the gaps. */
static void emit_held(struct map_core *core)
{
    while (core->held_n > 0) {
        uint8_t *held = &core->held[core->emit_next % MAP_HELD_MAX];
        if (*held != HELD_NOT) {
            if (!action_add(core, *held == HELD_RESULT ? MAP_EMIT : MAP_GIVE_UP, NULL,
                            core->emit_next))
                return;
            *held = HELD_NOT;
            core->held_n--;
        }
        core->emit_next++;
    }
}

/* The result of @index is there, or given up for good. */
static void settle(struct map_core *core, uint64_t index, enum held how)
{
    map64_remove(&core->attempts, index + 1);
    if (!core->config.ordered || MUTANT(MAP_NO_ORDER)) {
        action_add(core, how == HELD_RESULT ? MAP_EMIT : MAP_GIVE_UP, NULL, index);
        return;
    }
    assert(index >= core->emit_next);
    assert(index < core->emit_next + MAP_HELD_MAX);
    if (index == core->emit_next) {
        action_add(core, how == HELD_RESULT ? MAP_EMIT : MAP_GIVE_UP, NULL, index);
        core->emit_next++;
        emit_in_order(core);
        return;
    }
    if (how == HELD_RESULT)
        action_add(core, MAP_HOLD, NULL, index);
    core->held[index % MAP_HELD_MAX] = (uint8_t)how;
    core->held_n++;
}

static void give_back(struct map_core *core, uint64_t index)
{
    assert(core->returned_n < core->returned_cap);
    core->returned[core->returned_n++] = index;
}

/* True if the item may be tried once more. */
static bool count_attempt(struct map_core *core, uint64_t index)
{
    uintptr_t lost = (uintptr_t)map64_find(&core->attempts, index + 1) + 1;
    if (core->config.attempts_max != 0 && lost >= core->config.attempts_max)
        return false;
    if (core->config.attempts_max != 0)
        (void)map64_set(&core->attempts, index + 1,
                        (void *)lost); /* one try more than asked, at worst */
    return true;
}

static void block(struct map_core *core, struct map_node *node)
{
    uint64_t top = BACKOFF_MAX_MS;
    if (node->refusals_n < 6)
        top = (uint64_t)BACKOFF_MIN_MS << (node->refusals_n + 1);
    if (top > BACKOFF_MAX_MS)
        top = BACKOFF_MAX_MS;
    node->refusals_n++;
    node->blocked_ms = core->now_ms + top / 2 + rng_below(&core->rng, top / 2 + 1);
}

enum fate { FATE_DONE, FATE_FAILED, FATE_REFUSED, FATE_LOST };

static enum fate fate_of(const struct map_event *event)
{
    if (event->outcome == KITH_OUTCOME_OK)
        return FATE_DONE;
    if (event->outcome == KITH_OUTCOME_APP_ERROR)
        return FATE_FAILED;
    if (event->outcome == KITH_OUTCOME_UNKNOWN)
        return FATE_LOST;
    switch (event->code) {
    case KITH_E_BUSY:
    case KITH_E_MEMORY:
    case KITH_E_LIMIT:
    /* Withdrawn: NODE_DOWN follows, unless it is offered again by then and nobody saw it gone. */
    case KITH_E_NO_FUNCTION:
        return FATE_REFUSED;
    case KITH_E_SIGNATURE:
    case KITH_E_TOO_LARGE:
    case KITH_E_NAME:
    case KITH_E_PARSE:
        return FATE_FAILED;
    default:
        return FATE_LOST;
    }
}

static void set_down(struct map_core *core, struct map_node *node)
{
    if (node->up) {
        node->up = false;
        core->nodes_up_n--;
    }
}

static void item_ended(struct map_core *core, struct map_node *node, const struct map_event *event)
{
    uint64_t index = event->index;
    enum fate fate = fate_of(event);
    switch (fate) {
    case FATE_DONE:
        node->done_n++;
        node->busy_ns += event->elapsed_ns;
        node->refusals_n = 0;
        core->done_n++;
        settle(core, index, HELD_RESULT);
        break;
    case FATE_FAILED:
        node->refusals_n = 0;
        core->failed_n++;
        settle(core, index, HELD_RESULT);
        break;
    case FATE_LOST:
        block(core, node);
        if (core->cancelled) {
            give_back(core, index);
        } else if (!count_attempt(core, index)) {
            core->failed_n++;
            settle(core, index, HELD_RESULT);
        } else {
            core->lost_n++;
            give_back(core, index);
            action_add(core, MAP_LOST, node, index);
        }
        break;
    case FATE_REFUSED:
        block(core, node);
        give_back(core, index);
        break;
    }
    if (fate == FATE_DONE || fate == FATE_FAILED)
        fill_node(core, node);
    else
        fill_all(core);
}

/* ---- events ---- */

static struct map_node *node_get(struct map_core *core, const struct kith_node_id *id)
{
    struct map_node *node = mapid_find(&core->nodes_by_id, id);
    if (node != NULL)
        return node;
    if (core->nodes_n == core->nodes_cap) {
        size_t cap = core->nodes_cap == 0 ? 8 : core->nodes_cap * 2;
        struct map_node **nodes = core_realloc(core->nodes, cap * sizeof(struct map_node *));
        if (nodes == NULL)
            return NULL;
        core->nodes = nodes;
        core->nodes_cap = cap;
    }
    node = core_calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->id = *id;
    if (mapid_set(&core->nodes_by_id, id, node) != 0) {
        core_free(node);
        return NULL;
    }
    core->nodes[core->nodes_n++] = node;
    return node;
}

static int on_node_up(struct map_core *core, const struct map_event *event)
{
    struct map_node *node = node_get(core, &event->node);
    if (node == NULL)
        return KITH_E_MEMORY;
    const char *text = event->node_name != NULL ? event->node_name : "";
    if (node->name == NULL || strcmp(node->name, text) != 0) {
        char *name = core_strndup(text, strlen(text));
        if (name == NULL)
            return KITH_E_MEMORY;
        core_free(node->name);
        node->name = name;
    }
    node->in_flight_max = event->in_flight_max;
    if (node->in_flight_max == 0)
        node->in_flight_max = 2;
    if (node->in_flight_max > RPC_WINDOW_CALLS_MAX)
        node->in_flight_max = RPC_WINDOW_CALLS_MAX;
    if (!node->up) {
        node->up = true;
        node->blocked_ms = 0;
        node->refusals_n = 0;
        core->nodes_up_n++;
    }
    core->fill_due = true;
    return 0;
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void on_node_down(struct map_core *core, const struct map_event *event)
{
    struct map_node *node = mapid_find(&core->nodes_by_id, &event->node);
    if (node == NULL)
        return;
    set_down(core, node);
    if (node->running_n == 0)
        return;
    /* What ran there is put on the stack, the lowest index on top. */
    size_t first = core->returned_n;
    for (size_t i = 0; i < core->running.cap; i++) {
        if (core->running.slots[i].value == node)
            give_back(core, core->running.slots[i].key - 1);
    }
    size_t n = core->returned_n - first;
    assert(n == node->running_n);
    node->running_n = 0;
    uint64_t *items = core->returned + first;
    qsort(items, n, sizeof(*items), descending);
    for (size_t i = 0; i < n; i++)
        map64_remove(&core->running, items[i] + 1);
    if (core->cancelled)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t index = items[i];
        if (count_attempt(core, index)) {
            items[kept++] = index;
            core->lost_n++;
            action_add(core, MAP_LOST, node, index);
        } else {
            core->failed_n++;
            settle(core, index, HELD_GAVE_UP);
        }
    }
    core->returned_n = first + kept;
    fill_all(core);
}

static void on_node_drained(struct map_core *core, const struct map_event *event)
{
    struct map_node *node = mapid_find(&core->nodes_by_id, &event->node);
    if (node == NULL)
        return;
    set_down(core, node);
    core->fill_due = core->nodes_up_n > 0; /* the others' share has grown */
}

static void on_item_done(struct map_core *core, const struct map_event *event)
{
    struct map_node *node = mapid_find(&core->nodes_by_id, &event->node);
    if (node == NULL ||
        (map64_find(&core->running, event->index + 1) != node && !MUTANT(MAP_ANY_DONE)))
        return;
    map64_remove(&core->running, event->index + 1);
    node->running_n--;
    item_ended(core, node, event);
}

static void on_cancel(struct map_core *core)
{
    if (core->cancelled)
        return;
    core->cancelled = true;
    for (size_t i = 0; i < core->running.cap; i++) {
        if (core->running.slots[i].value != NULL)
            action_add(core, MAP_ABORT, core->running.slots[i].value,
                       core->running.slots[i].key - 1);
    }
}

static void finish(struct map_core *core)
{
    if (core->finished || core->running.n > 0 || (pending_n(core) > 0 && !core->cancelled))
        return;
    if (core->config.ordered) {
        if (core->cancelled)
            emit_held(core);
        else
            emit_in_order(core);
        if (core->held_n > 0)
            return; /* the rest with the next step */
    }
    core->finished = action_add(core, MAP_FINISHED, NULL, 0);
}

int map_step(struct map_core *core, const struct map_event *event, struct map_output *out)
{
    int r = 0;
    uint64_t now_ms = event->now_ns / NS_PER_MS;
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
    core->actions_n = 0;
    if (!core->finished) {
        switch (event->type) {
        case MAP_NODE_UP:
            r = on_node_up(core, event);
            break;
        case MAP_NODE_DOWN:
            on_node_down(core, event);
            break;
        case MAP_NODE_DRAINED:
            on_node_drained(core, event);
            break;
        case MAP_ITEM_DONE:
            on_item_done(core, event);
            break;
        case MAP_CANCEL:
            on_cancel(core);
            break;
        case MAP_TICK:
            if (core->config.ordered)
                emit_in_order(core);
            fill_all(core);
            break;
        }
        /* Not with NODE_UP: a map of no items ends later than it began. */
        if (event->type != MAP_NODE_UP)
            finish(core);
    }
    *out = (struct map_output){.actions = core->actions, .actions_n = core->actions_n};
    return r;
}

uint64_t map_deadline_ms(const struct map_core *core)
{
    if (core->finished)
        return UINT64_MAX;
    bool idle = core->running.n == 0 && (pending_n(core) == 0 || core->cancelled);
    bool held = core->held_n > 0 && core->held[core->emit_next % MAP_HELD_MAX] != HELD_NOT;
    if (core->fill_due || idle || held)
        return core->now_ms;
    uint64_t deadline_ms = UINT64_MAX;
    if (!item_waits(core) || core->cancelled)
        return deadline_ms;
    for (size_t i = 0; i < core->nodes_n; i++) {
        const struct map_node *node = core->nodes[i];
        if (node->up && node->blocked_ms > 0 && node->blocked_ms < deadline_ms &&
            node->running_n < node->in_flight_max)
            deadline_ms = node->blocked_ms;
    }
    return deadline_ms > core->now_ms ? deadline_ms : core->now_ms;
}

/* ---- progress ---- */

const struct kith_map_progress *map_progress(struct map_core *core)
{
    struct kith_map_progress *progress = &core->progress;
    *progress = (struct kith_map_progress){
        .map_no = core->config.map_no,
        .items_n = core->config.items_n,
        .pending_n = pending_n(core),
        .running_n = core->running.n,
        .done_n = core->done_n,
        .failed_n = core->failed_n,
        .lost_n = core->lost_n,
        .waiting_for_nodes = pending_n(core) > 0 && core->nodes_up_n == 0 && !core->cancelled,
    };
    if (core->nodes_n == 0)
        return progress;
    struct kith_map_node *nodes =
        core_realloc(core->progress_nodes, core->nodes_n * sizeof(struct kith_map_node));
    if (nodes == NULL)
        return progress;
    core->progress_nodes = nodes;
    for (size_t i = 0; i < core->nodes_n; i++) {
        const struct map_node *node = core->nodes[i];
        if (node->given_n == 0)
            continue;
        nodes[progress->nodes_n++] = (struct kith_map_node){
            .id = node->id,
            .name = node->name,
            .done_n = node->done_n,
            .running_n = node->running_n,
            .busy_ns = node->busy_ns,
        };
    }
    progress->nodes = nodes;
    return progress;
}

void map_check(const struct map_core *core)
{
    uint64_t running_n = 0;
    size_t up_n = 0;
    for (size_t i = 0; i < core->nodes_n; i++) {
        running_n += core->nodes[i]->running_n;
        up_n += core->nodes[i]->up;
        assert(core->nodes[i]->running_n <= RPC_WINDOW_CALLS_MAX);
    }
    assert(running_n == core->running.n);
    assert(up_n == core->nodes_up_n);
    /* Every item is in one place. */
    assert(pending_n(core) + running_n + core->done_n + core->failed_n == core->config.items_n);
    assert(core->returned_n + running_n <= core->returned_cap || running_n + core->returned_n == 0);
    if (core->config.ordered && !core->cancelled) {
        assert(core->done_n + core->failed_n == core->emit_next + core->held_n);
        assert(core->held_n < MAP_HELD_MAX);
    }
    if (core->finished)
        assert(core->running.n == 0);
}
