/*
 * Maps: the driver that joins the map core (which item goes where) with calls (one item on one
 * node).
 *
 * Every item in flight is a map_flight: the call's callback knows by it what has ended. When the
 * core takes an item back (its node failed, left, or withdrew the function), the flight is cut off:
 * its call is cancelled and whatever it still says is ignored.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"

#define MAP_NODES_MAX 1024 /* nodes with the function that one map uses */

struct map_flight {
    struct list link;          /* in kith_map.flights */
    struct node_request begin; /* begins its call as soon as no step runs */
    struct kith_map *map;
    struct kith_node_id at;
    uint64_t index;
    uint64_t token;
    bool aborted; /* its call is being cancelled, or will not begin */
    bool cut;     /* and its end is nothing to the core any more */
};

struct map_node {
    struct kith_node_id id;
    bool seen;     /* marks those that are still there during a refresh */
    bool left_out; /* drained, or without our tags: what runs there goes on, nothing new is sent */
};

struct kith_map {
    struct list link; /* in kith_node.maps */
    struct kith_node *node;
    struct map_core *core;
    uint64_t no;
    char *fn;
    uint64_t fn_hash;
    uint64_t signature;
    const struct kith_bytes *items;
    uint64_t items_n;
    struct kith_map_options options;
    char **tags; /* of the nodes that it uses; text of their own */
    size_t tags_n;
    struct list flights;
    struct map64 lost; /* index + 1 -> how often the item was lost, until it has ended */
    struct map64 held; /* ordered: results that came early, index + 1 -> kith_reply */
    struct map_node *nodes;
    size_t nodes_n;
    bool cancelling;
    bool finished;
    unsigned busy;             /* inside a step or a refresh: not to be freed */
    struct node_request begin; /* the first refresh, out of kith_map_start */
};

static void
map_event(struct kith_map *map, struct map_event *event, const struct kith_result *result);

/* ---- flights ---- */

static struct map_flight *
flight_find(struct kith_map *map, const struct kith_node_id *at, uint64_t index)
{
    list_for_each (it, &map->flights) {
        struct map_flight *flight = container_of(it, struct map_flight, link);
        if (flight->index == index && !flight->cut && kith_node_id_equal(&flight->at, at))
            return flight;
    }
    return NULL;
}

static void on_flight_done(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct map_flight *flight = user;
    struct kith_map *map = flight->map;
    struct map_event event = {.type = MAP_ITEM_DONE,
                              .node = flight->at,
                              .index = flight->index,
                              .outcome = result->outcome,
                              .code = result->code,
                              .elapsed_ns = result->elapsed_ns};
    bool cut = flight->cut;

    (void)node;
    list_remove(&flight->link);
    core_free(flight);
    if (!cut)
        map_event(map, &event, result);
    else if (map->finished && list_empty(&map->flights))
        map_event(map, NULL, NULL); /* the last one that held the map back */
}

static void on_flight_partial(struct kith_node *node, const void *data, size_t len, void *user)
{
    struct map_flight *flight = user;
    struct kith_map *map = flight->map;
    (void)node;
    if (!flight->cut && map->options.on_partial != NULL)
        map->options.on_partial(map, flight->index, data, len, map->options.user);
}

static uint32_t attempt_of(const struct kith_map *map, uint64_t index)
{
    return (uint32_t)(uintptr_t)map64_find(&map->lost, index + 1);
}

/* Fills in what a lost item is to be resumed from. */
static void find_state(struct kith_map *map, struct rpc_item *item, struct kith_bytes *state)
{
    struct rpc_item found;

    if (item->attempt == 0 ||
        !node_items_find(map->node, map->no, item->index, item->attempt - 1, &found, state))
        return;
    if (map->options.on_resume != NULL &&
        map->options.on_resume(map, item->index, state->data, state->len, map->options.user) ==
            KITH_RESUME_ANEW) {
        *state = (struct kith_bytes){0};
        item->state_attempt = item->attempt;
        node_items_drop(map->node, map->no, item->index, item->attempt - 1);
        return;
    }
    if (rpc_item_bytes(state->len) + map->items[item->index].len > map->node->arg_bytes_max) {
        *state = (struct kith_bytes){0}; /* who runs it has its own copy, most likely */
        return;
    }
    item->save_no = found.save_no;
    item->state_attempt = found.state_attempt;
    item->state_bytes = (uint32_t)state->len;
}

/* The argument with the item's head, in @small if it fits, else in memory of its own. */
static int
item_argument(struct map_flight *flight, uint8_t small[RPC_INLINE_BYTES], struct rpc_call *call)
{
    struct kith_map *map = flight->map;
    struct kith_bytes arg = map->items[flight->index], state = {0};
    struct rpc_item item = {.map_no = map->no,
                            .index = (uint32_t)flight->index,
                            .attempt = attempt_of(map, flight->index)};

    find_state(map, &item, &state);
    size_t head = rpc_item_bytes(item.state_bytes), all = head + arg.len;
    uint8_t *to = small;
    if (all > RPC_INLINE_BYTES) {
        to = call->arg_owned = core_malloc(all);
        if (to == NULL)
            return KITH_E_MEMORY;
    }
    rpc_item_encode(&item, to);
    if (head > RPC_ITEM_HEAD_BYTES) {
        memset(to + head - 16, 0, 16);
        memcpy(to + RPC_ITEM_HEAD_BYTES, state.data, state.len);
    }
    if (arg.len > 0)
        memcpy(to + head, arg.data, arg.len);
    call->arg = (struct kith_bytes){.data = to, .len = all};
    call->item = true;
    return 0;
}

static void flight_begin_now(struct map_flight *flight)
{
    struct kith_map *map = flight->map;
    uint8_t small[RPC_INLINE_BYTES];
    struct node_call_spec spec = {
        .call = {.fn = map->fn,
                 .fn_hash = map->fn_hash,
                 .signature = map->signature,
                 .to_node = true,
                 .node = flight->at,
                 .timeout_ms =
                     map->options.item_timeout_ms != 0 ? map->options.item_timeout_ms : UINT64_MAX,
                 .no_retry = true,
                 .partials = map->options.on_partial != NULL},
        .cb = on_flight_done,
        .on_partial = map->options.on_partial != NULL ? on_flight_partial : NULL,
        .user = flight,
    };
    kith_errmsg_clear();
    int r = item_argument(flight, small, &spec.call);
    if (r == 0)
        r = node_call_begin(map->node, &spec, &flight->token);
    if (r == 0)
        return;
    flight->token = 0;
    struct kith_result result = {
        .outcome = KITH_OUTCOME_NOT_EXECUTED, .code = r, .text = kith_errmsg(), .node_name = ""};
    on_flight_done(map->node, &result, flight);
}

static void flight_begin_run(struct kith_node *node, struct node_request *request)
{
    struct map_flight *flight = container_of(request, struct map_flight, begin);
    (void)node;
    if (flight->aborted) {
        struct kith_result none = {.outcome = KITH_OUTCOME_NOT_EXECUTED,
                                   .code = KITH_E_CANCELED,
                                   .text = "",
                                   .node_name = ""};
        on_flight_done(flight->map->node, &none, flight);
        return;
    }
    flight_begin_now(flight);
}

static int dispatch(struct kith_map *map, const struct map_action *action)
{
    struct map_flight *flight = core_calloc(1, sizeof(*flight));
    if (flight == NULL)
        return KITH_E_MEMORY;
    *flight = (struct map_flight){
        .begin.run = flight_begin_run, .map = map, .at = action->node, .index = action->index};
    list_append(&map->flights, &flight->link);
    node_push(map->node, &flight->begin);
    return 0;
}

struct flight_abort {
    struct node_request request;
    uint64_t token;
};

static void flight_abort_run(struct kith_node *node, struct node_request *request)
{
    struct flight_abort *abort_request = container_of(request, struct flight_abort, request);
    uint64_t token = abort_request->token;
    core_free(abort_request);
    if (node_call_alive(node, token))
        node_call_abort(node, token);
}

/* Cancels the call of an item; how it ends is told to the core unless the flight is cut. */
static void abort_flight(struct kith_map *map, struct map_flight *flight)
{
    flight->aborted = true;
    if (flight->token == 0)
        return; /* flight_begin_run() sees it */
    struct flight_abort *abort_request = core_calloc(1, sizeof(*abort_request));
    if (abort_request == NULL)
        return;
    *abort_request = (struct flight_abort){.request.run = flight_abort_run, .token = flight->token};
    node_push(map->node, &abort_request->request);
}

/* The item has ended for good. */
static void item_over(struct kith_map *map, uint64_t index)
{
    uint32_t attempt = attempt_of(map, index);

    (void)map64_remove(&map->lost, index + 1);
    node_items_drop(map->node, map->no, index, attempt);
}

bool node_map_item(struct kith_node *node, uint64_t map_no, uint64_t index, uint32_t *attempt_out)
{
    list_for_each (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        if (map->no != map_no)
            continue;
        *attempt_out = attempt_of(map, index);
        if (map->finished || map->cancelling)
            return false;
        if (*attempt_out > 0)
            return true;
        list_for_each (flight_it, &map->flights) {
            struct map_flight *flight = container_of(flight_it, struct map_flight, link);
            if (flight->index == index && !flight->cut)
                return true;
        }
        return false;
    }
    return false;
}

/* The core no longer counts on this item there. */
static void cut(struct kith_map *map, const struct map_action *action)
{
    struct map_flight *flight = flight_find(map, &action->node, action->index);
    if (flight == NULL)
        return;
    flight->cut = true;
    abort_flight(map, flight);
}

/* The map is cancelled: the core waits until the call of this item has ended. */
static void abort_item(struct kith_map *map, const struct map_action *action)
{
    struct map_flight *flight = flight_find(map, &action->node, action->index);
    if (flight != NULL)
        abort_flight(map, flight);
}

/* ---- actions ---- */

static void hold(struct kith_map *map, uint64_t index, const struct kith_result *result)
{
    struct kith_reply *copy = node_reply_copy(result);
    if (copy == NULL || map64_set(&map->held, index + 1, copy) != 0) {
        log_error(&map->node->log.log, "map", "memory is short: a result is lost to its map", "fn",
                  map->fn, NULL);
        kith_reply_free(copy);
    }
}

static void
emit(struct kith_map *map, uint64_t index, uint64_t given, const struct kith_result *result)
{
    if (result != NULL && index == given) {
        if (map->options.on_result != NULL)
            map->options.on_result(map, index, result, map->options.user);
        return;
    }
    struct kith_reply *held = map64_remove(&map->held, index + 1);
    struct kith_result lost = {.outcome = KITH_OUTCOME_UNKNOWN,
                               .code = KITH_E_MEMORY,
                               .text = "memory was short: the result could not be kept",
                               .node_name = ""};
    if (map->options.on_result != NULL)
        map->options.on_result(map, index, held != NULL ? &held->result : &lost, map->options.user);
    kith_reply_free(held);
}

/* Every try of the item was lost, and no call is left that could say so. */
static void give_up(struct kith_map *map, uint64_t index)
{
    struct kith_result none = {
        .outcome = KITH_OUTCOME_UNKNOWN,
        .code = KITH_E_NO_NODE,
        .text = "every node that tried this item was lost; raise the number of attempts, or find "
                "out whether the item brings them down",
        .node_name = ""};
    if (map->options.on_result != NULL)
        map->options.on_result(map, index, &none, map->options.user);
}

static const char *name_of(struct kith_node *node, const struct kith_node_id *id)
{
    const struct member *member = member_find(node->members, id);
    return member != NULL ? member->shown_name : "";
}

static void map_free_all(struct kith_map *map)
{
    size_t at = 0;
    void *held;
    while ((held = map64_next(&map->held, &at)) != NULL)
        kith_reply_free(held);
    map64_deinit(&map->held);
    map64_deinit(&map->lost);
    map_free(map->core);
    for (size_t i = 0; i < map->tags_n; i++)
        core_free(map->tags[i]);
    core_free(map->tags);
    core_free(map->nodes);
    core_free(map->fn);
    core_free(map);
}

/* on_done comes when nothing that points to the map or its items is left. */
static void finish(struct kith_map *map)
{
    if (!map->finished || !list_empty(&map->flights) || map->busy > 0 || map->begin.run != NULL)
        return;
    list_remove(&map->link);
    atomic_fetch_sub(&map->node->maps_n, 1);
    node_items_drop_map(map->node, map->no);
    if (map->options.on_done != NULL)
        map->options.on_done(map, map_progress(map->core), map->options.user);
    map_free_all(map);
}

static void do_action(struct kith_map *map,
                      const struct map_action *action,
                      uint64_t given,
                      const struct kith_result *result)
{
    switch (action->type) {
    case MAP_DISPATCH:
        if (dispatch(map, action) != 0)
            log_error(&map->node->log.log, "map", "memory is short: an item waits", NULL);
        break;
    case MAP_ABORT:
        abort_item(map, action);
        break;
    case MAP_HOLD:
        item_over(map, action->index);
        hold(map, action->index, result);
        break;
    case MAP_EMIT:
        if (result != NULL && action->index == given)
            item_over(map, action->index);
        emit(map, action->index, given, result);
        break;
    case MAP_GIVE_UP:
        item_over(map, action->index);
        give_up(map, action->index);
        break;
    case MAP_LOST:
        cut(map, action);
        (void)map64_set(&map->lost, action->index + 1,
                        (void *)(uintptr_t)(attempt_of(map, action->index) + 1));
        if (map->options.on_lost != NULL)
            map->options.on_lost(map, action->index, &action->node,
                                 name_of(map->node, &action->node), map->options.user);
        break;
    case MAP_FINISHED:
        map->finished = true;
        break;
    }
}

/*
 * One event. Callbacks run while the actions are carried out; what they ask of this map waits in
 * the queue, so that steps never nest.
 */
static void
map_event(struct kith_map *map, struct map_event *event, const struct kith_result *result)
{
    if (event != NULL && !map->finished) {
        struct map_output out;
        map->busy++;
        event->now_ns = node_now_ns();
        if (map_step(map->core, event, &out) != 0)
            log_error(&map->node->log.log, "map", "memory is short: a step was lost", NULL);
        else
            for (size_t i = 0; i < out.actions_n; i++)
                do_action(map, &out.actions[i], event->index, result);
        map->busy--;
    }
    finish(map);
}

/* ---- which nodes ---- */

static struct map_node *known(struct kith_map *map, const struct kith_node_id *id)
{
    for (size_t i = 0; i < map->nodes_n; i++) {
        if (kith_node_id_equal(&map->nodes[i].id, id))
            return &map->nodes[i];
    }
    return NULL;
}

static bool is_left_out(const struct kith_map *map, const struct kith_node_id *id)
{
    return node_is_drained(map->node, id) ||
           !node_has_tags(map->node, id, (const char *const *)map->tags, map->tags_n);
}

/* It may take items: it is new, or left out no more. */
static void node_ready(struct kith_map *map, const struct kith_node_id *id)
{
    const struct member *member = member_find(map->node->members, id);
    uint32_t cpus = member != NULL ? member->facts.cpus : 1;
    uint32_t in_flight = map->options.per_node_max;
    if (in_flight == 0)
        in_flight = cpus < 1 ? 2 : 2 * cpus;
    struct map_event event = {.type = MAP_NODE_UP,
                              .node = *id,
                              .node_name = member != NULL ? member->shown_name : "",
                              .in_flight_max = in_flight};
    map_event(map, &event, NULL);
}

static void node_new(struct kith_map *map, const struct kith_node_id *id)
{
    struct map_node *nodes = core_realloc(map->nodes, (map->nodes_n + 1) * sizeof(*nodes));
    if (nodes == NULL)
        return;
    map->nodes = nodes;
    bool left_out = is_left_out(map, id);
    nodes[map->nodes_n++] = (struct map_node){.id = *id, .seen = true, .left_out = left_out};
    if (!left_out)
        node_ready(map, id);
}

static void node_look_again(struct kith_map *map, struct map_node *known)
{
    struct map_event event = {.type = MAP_NODE_DRAINED, .node = known->id};

    if (is_left_out(map, &event.node) == known->left_out)
        return;
    known->left_out = !known->left_out;
    if (known->left_out)
        map_event(map, &event, NULL);
    else
        node_ready(map, &event.node);
}

static void node_down(struct kith_map *map, size_t at)
{
    struct map_event event = {.type = MAP_NODE_DOWN, .node = map->nodes[at].id};
    map->nodes[at] = map->nodes[--map->nodes_n];
    map_event(map, &event, NULL);
}

static void map_refresh(struct kith_map *map)
{
    struct kith_node_id ids[MAP_NODES_MAX];
    size_t n = rpc_who_has(map->node->rpc, map->fn_hash, ids, MAP_NODES_MAX);

    if (n > MAP_NODES_MAX)
        n = MAP_NODES_MAX;
    for (size_t i = 0; i < map->nodes_n; i++)
        map->nodes[i].seen = false;
    for (size_t i = 0; i < n; i++) {
        struct map_node *node = known(map, &ids[i]);
        if (node != NULL)
            node->seen = true;
    }
    map->busy++; /* a node that goes may end the map */
    for (size_t i = map->nodes_n; i-- > 0;) {
        if (!map->nodes[i].seen)
            node_down(map, i);
    }
    for (size_t i = 0; i < n && !map->cancelling; i++) {
        bool self = kith_node_id_equal(&ids[i], &map->node->identity.id);
        struct map_node *node = known(map, &ids[i]);
        if (node != NULL)
            node_look_again(map, node);
        else if (!(self && map->options.local_excluded))
            node_new(map, &ids[i]);
    }
    map->busy--;
    finish(map);
}

void node_maps_refresh(struct kith_node *node)
{
    list_for_each_safe (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        if (!map->finished)
            map_refresh(map);
    }
}

uint64_t node_maps_deadline_ms(struct kith_node *node)
{
    uint64_t first_ms = UINT64_MAX;
    list_for_each (it, &node->maps) {
        uint64_t at_ms = map_deadline_ms(container_of(it, struct kith_map, link)->core);
        if (at_ms < first_ms)
            first_ms = at_ms;
    }
    return first_ms;
}

void node_maps_tick(struct kith_node *node)
{
    uint64_t now_ms = node_now_ms();
    list_for_each_safe (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        struct map_event event = {.type = MAP_TICK};
        if (!map->finished && map_deadline_ms(map->core) <= now_ms)
            map_event(map, &event, NULL);
    }
}

size_t node_maps_items_of(struct kith_node *node,
                          const struct kith_node_id *id,
                          struct kith_work_item **items_out)
{
    struct kith_work_item *items = NULL;
    size_t n = 0, cap = 0;

    list_for_each (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        list_for_each (flight_it, &map->flights) {
            struct map_flight *flight = container_of(flight_it, struct map_flight, link);
            if (flight->cut || !kith_node_id_equal(&flight->at, id))
                continue;
            if (n == cap) {
                cap = cap == 0 ? 16 : cap * 2;
                struct kith_work_item *more = core_realloc(items, cap * sizeof(*items));
                if (more == NULL)
                    goto out;
                items = more;
            }
            items[n++] = (struct kith_work_item){.map_no = map->no, .item_index = flight->index};
        }
    }
out:
    *items_out = items;
    return n;
}

/* ---- begin and cancel ---- */

static void begin_run(struct kith_node *node, struct node_request *request)
{
    struct kith_map *map = container_of(request, struct kith_map, begin);

    map->begin.run = NULL;
    list_append(&node->maps, &map->link);
    map->fn_hash = node_name_hash_of(node, map->fn);
    if (node->ending) { /* started while the node was told to stop */
        struct map_event event = {.type = MAP_CANCEL};
        map->cancelling = true;
        map_event(map, &event, NULL);
        return;
    }
    if (map->items_n == 0) {
        struct map_event event = {.type = MAP_TICK};
        map_event(map, &event, NULL);
        return;
    }
    map_refresh(map);
}

static int map_create(struct kith_node *node,
                      const char *fn,
                      const struct kith_bytes *items,
                      uint64_t items_n,
                      const struct kith_map_options *options,
                      struct kith_map **map_out)
{
    uint64_t signature = 0;
    if (options->signature != NULL) {
        int r = rpc_signature_hash(options->signature, &signature);
        if (r != 0)
            return r;
    }
    struct kith_map *map = core_calloc(1, sizeof(*map));
    if (map == NULL)
        return KITH_E_MEMORY;
    map->node = node;
    map->no = atomic_fetch_add(&node->next_map_no, 1) + 1;
    map->fn = core_strndup(fn, strlen(fn));
    map->signature = signature;
    map->items = items;
    map->items_n = items_n;
    map->options = *options;
    map->options.signature = NULL;
    list_init(&map->flights);
    struct map_config config = {.map_no = map->no,
                                .items_n = items_n,
                                .seed = node_seed(),
                                .ordered = options->ordered,
                                .attempts_max = options->attempts_max};
    int r = map->fn == NULL ? KITH_E_MEMORY : map_new(&map->core, &config);
    if (r != 0) {
        map_free_all(map);
        return r;
    }
    *map_out = map;
    return 0;
}

static int check_items(struct kith_node *node, const struct kith_bytes *items, uint64_t items_n)
{
    if (items_n > UINT32_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "a map takes at most 2^32 - 1 items; split the work into several");
    for (uint64_t i = 0; i < items_n; i++) {
        if (items[i].len > node->arg_bytes_max)
            return kith_fail_with(KITH_E_TOO_LARGE,
                                  "item %llu has %zu bytes, the limit is %zu; raise "
                                  "rpc.argument_bytes_max on all nodes, or pass a reference",
                                  (unsigned long long)i, items[i].len, node->arg_bytes_max);
    }
    return 0;
}

/* Hands a map that is ready over to the loop. */
static int map_push(struct kith_node *node, struct kith_map *map, struct kith_map **map_out)
{
    if (atomic_load(&node->stopping)) /* in a callback on the loop too: no new work there */
        return node_fail_stopped();
    if (atomic_fetch_add(&node->maps_n, 1) >= RPC_MAPS_MAX) {
        atomic_fetch_sub(&node->maps_n, 1);
        return kith_fail_with(KITH_E_LIMIT,
                              "%d maps run, which is the limit of a node; wait for one to end",
                              RPC_MAPS_MAX);
    }
    if (!node_enter(node)) {
        atomic_fetch_sub(&node->maps_n, 1);
        return KITH_E_STOPPED;
    }
    if (map_out != NULL)
        *map_out = map;
    map->begin.run = begin_run;
    node_push(node, &map->begin);
    node_exit(node);
    return 0;
}

static int keep_tags(struct kith_map *map, const char *const *tags, size_t tags_n)
{
    if (tags_n == 0)
        return 0;
    map->tags = core_calloc(tags_n, sizeof(*map->tags));
    for (size_t i = 0; map->tags != NULL && i < tags_n; i++) {
        map->tags[i] = core_strndup(tags[i], strlen(tags[i]));
        if (map->tags[i] == NULL)
            return KITH_E_MEMORY;
        map->tags_n++;
    }
    return map->tags != NULL ? 0 : KITH_E_MEMORY;
}

int node_map_start(struct kith_node *node,
                   const char *fn,
                   const struct kith_bytes *items,
                   uint64_t items_n,
                   const struct kith_map_options *options,
                   const char *const *tags,
                   size_t tags_n,
                   struct kith_map **map_out)
{
    static const struct kith_map_options none;

    if (node == NULL || fn == NULL || (items == NULL && items_n > 0))
        return kith_fail_with(KITH_E_INVALID, "node, function name and items must not be NULL");
    if (!text_is_function_name(fn))
        return kith_fail_with(KITH_E_NAME, "\"%.64s\" is no function name", fn);
    int r = check_items(node, items, items_n);
    struct kith_map *map = NULL;
    if (r == 0)
        r = map_create(node, fn, items, items_n, options != NULL ? options : &none, &map);
    if (r != 0)
        return r;
    r = keep_tags(map, tags, tags_n);
    if (r == 0)
        r = map_push(node, map, map_out);
    if (r != 0)
        map_free_all(map);
    return r;
}

int kith_map_start(struct kith_node *node,
                   const char *fn,
                   const struct kith_bytes *items,
                   uint64_t items_n,
                   const struct kith_map_options *options,
                   struct kith_map **map_out)
{
    return node_map_start(node, fn, items, items_n, options, NULL, 0, map_out);
}

struct map_cancel {
    struct node_request request;
    uint64_t map_no;
};

static void cancel_run(struct kith_node *node, struct node_request *request)
{
    struct map_cancel *cancel = container_of(request, struct map_cancel, request);
    uint64_t no = cancel->map_no;

    core_free(cancel);
    list_for_each_safe (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        struct map_event event = {.type = MAP_CANCEL};
        if (map->no != no || map->finished)
            continue;
        map->cancelling = true;
        map_event(map, &event, NULL);
        return;
    }
}

void kith_map_cancel(struct kith_map *map)
{
    struct kith_node *node = map->node;
    struct map_cancel *cancel = core_malloc(sizeof(*cancel));
    if (cancel == NULL)
        return;
    *cancel = (struct map_cancel){.request.run = cancel_run, .map_no = map->no};
    if (!node_enter(node)) {
        core_free(cancel); /* every map ends with the node */
        return;
    }
    node_push(node, &cancel->request);
    node_exit(node);
}

/* The node stops: every map ends now. */
void node_maps_stop(struct kith_node *node)
{
    list_for_each_safe (it, &node->maps) {
        struct kith_map *map = container_of(it, struct kith_map, link);
        struct map_event event = {.type = MAP_CANCEL};
        map->cancelling = true;
        map_event(map, &event, NULL);
    }
}

uint64_t kith_map_no(const struct kith_map *map)
{
    return map->no;
}

struct kith_node *kith_map_node_of(const struct kith_map *map)
{
    return map->node;
}

const struct kith_map_progress *kith_map_progress(struct kith_map *map)
{
    return map_progress(map->core);
}

/* ---- run and wait ---- */

struct map_run {
    const struct kith_map_options *options;
    uint64_t failed_n;
    uint64_t left_n;
    sem_t done;
};

static void
run_result(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct map_run *run = user;
    if (run->options->on_result != NULL)
        run->options->on_result(map, index, result, run->options->user);
}

static void
run_partial(struct kith_map *map, uint64_t index, const void *data, size_t len, void *user)
{
    struct map_run *run = user;
    run->options->on_partial(map, index, data, len, run->options->user);
}

static void run_lost(struct kith_map *map,
                     uint64_t index,
                     const struct kith_node_id *id,
                     const char *name,
                     void *user)
{
    struct map_run *run = user;
    if (run->options->on_lost != NULL)
        run->options->on_lost(map, index, id, name, run->options->user);
}

static enum kith_resume
run_resume(struct kith_map *map, uint64_t index, const void *state, size_t len, void *user)
{
    struct map_run *run = user;
    return run->options->on_resume(map, index, state, len, run->options->user);
}

static void run_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    struct map_run *run = user;
    run->failed_n = progress->items_n - progress->done_n;
    if (run->options->on_done != NULL)
        run->options->on_done(map, progress, run->options->user);
    sem_post(&run->done);
}

int64_t kith_map_run(struct kith_node *node,
                     const char *fn,
                     const struct kith_bytes *items,
                     uint64_t items_n,
                     const struct kith_map_options *options)
{
    static const struct kith_map_options none;
    struct map_run run = {.options = options != NULL ? options : &none};

    if (node != NULL && node_on_loop(node))
        return node_fail_would_deadlock("kith_map_run");
    struct kith_map_options own = *run.options;
    own.on_result = run_result;
    own.on_partial = run.options->on_partial != NULL ? run_partial : NULL;
    own.on_lost = run_lost;
    own.on_done = run_done;
    own.on_resume = run.options->on_resume != NULL ? run_resume : NULL;
    own.user = &run;
    sem_init(&run.done, 0, 0);
    int r = kith_map_start(node, fn, items, items_n, &own, NULL);
    if (r == 0)
        node_sem_wait(&run.done);
    sem_destroy(&run.done);
    return r != 0 ? r : (int64_t)run.failed_n;
}
