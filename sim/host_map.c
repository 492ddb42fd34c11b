/*
 * Maps of a simulated node: the map core says which item goes where, calls are made for it, results
 * are kept until their turn.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host_rpc_internal.h"
#include "kith/error.h"
#include "queue.h"

#define MAP_IN_FLIGHT 2

/* A result that waits for its turn. */
struct hr_item {
    bool held;
    enum kith_outcome outcome;
    int code;
    size_t len;
    uint8_t data[8];
};

uint32_t hr_map_input(const struct hr_map *map, uint64_t index)
{
    return (uint32_t)(hr_answer((uint32_t)(map->seed + index)) >> 32);
}

static struct hr_item_call *item_call_of(struct hr *hr,
                                         const struct hr_map *map,
                                         uint64_t index,
                                         const struct kith_node_id *node)
{
    struct hr_item_call *call;
    struct hr_item_call *found = NULL;
    size_t at = 0;

    /* The newest, should there be two of them. */
    while ((call = map64_next(&hr->items, &at)) != NULL) {
        if (call->map == map && call->index == index && kith_node_id_equal(&call->node, node) &&
            (found == NULL || call->token > found->token))
            found = call;
    }
    return found;
}

void hr_map_step(struct hr_map *map, struct map_event *event, const struct kith_result *result)
{
    struct hr *hr = map->hr;
    struct hr_observer *observer = &hr->hw->observer;
    struct map_output out = {0};

    if (map->finished)
        return;
    event->now_ns = hr_now_ns(hr);
    if (map_step(map->core, event, &out) < 0)
        sim_violation(hr_world_of(hr), "map_step of event %d fails", (int)event->type);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct map_action *action = &out.actions[i];
        struct hr_item *item = action->index < map->items_n ? &map->items[action->index] : NULL;
        struct kith_result held = {0};
        struct hr_todo *todo;

        if (item == NULL && action->type != MAP_FINISHED) {
            sim_violation(hr_world_of(hr), "a map speaks of item %" PRIu64 ", which there is not",
                          action->index);
            return;
        }
        switch (action->type) {
        case MAP_DISPATCH:
        case MAP_ABORT:
            todo = hr_todo_add(hr, action->type == MAP_DISPATCH ? HR_DISPATCH : HR_ABORT);
            todo->map = map;
            todo->index = action->index;
            todo->id = action->node;
            break;
        case MAP_HOLD:
            assert(result != NULL && event->index == action->index);
            item->held = true;
            item->outcome = result->outcome;
            item->code = result->code;
            item->len = result->len;
            if (result->len > 0)
                memcpy(item->data, result->data, result->len < 8 ? result->len : 8);
            break;
        case MAP_EMIT:
            if (item->held) {
                held = (struct kith_result){.outcome = item->outcome,
                                            .code = item->code,
                                            .data = item->data,
                                            .len = item->len < 8 ? item->len : 8};
                item->held = false;
                observer->emit(map, action->index, &held);
            } else {
                observer->emit(map, action->index, event->index == action->index ? result : NULL);
            }
            break;
        case MAP_GIVE_UP:
            held = (struct kith_result){.outcome = KITH_OUTCOME_UNKNOWN, .code = KITH_E_NO_NODE};
            observer->emit(map, action->index, &held);
            break;
        case MAP_LOST:
            if (observer->lost != NULL)
                observer->lost(map, action->index);
            break;
        case MAP_FINISHED:
            map->finished = true;
            break;
        }
    }
    if (observer->progress != NULL)
        observer->progress(map, map_progress(map->core));
    if (map->finished && observer->finished != NULL)
        observer->finished(map);
}

void hr_map_refresh(struct hr_map *map)
{
    struct hr *hr = map->hr;
    size_t max = sim_nodes_n(hr_world_of(hr));
    struct kith_node_id *ids = sim_realloc(NULL, max, sizeof(*ids));
    size_t n = rpc_who_has(hr->rpc, rpc_name_hash(hr_function_names[HR_IDEM]), ids, max);

    n = n < max ? n : max;
    for (size_t i = 0; i < map->nodes_n;) {
        struct hr_map_node *node = &map->nodes[i];
        struct member *member = member_find(hr->hm.core, &node->id);
        bool still = false;

        for (size_t k = 0; k < n; k++)
            still = still || kith_node_id_equal(&ids[k], &node->id);
        if (still && member != NULL && member->boot_no == node->boot_no) {
            i++;
            continue;
        }
        struct map_event event = {.type = MAP_NODE_DOWN, .node = node->id};
        *node = map->nodes[--map->nodes_n];
        hr_map_step(map, &event, NULL);
    }
    for (size_t k = 0; k < n; k++) {
        struct member *member = member_find(hr->hm.core, &ids[k]);
        bool known = false;

        for (size_t i = 0; i < map->nodes_n; i++)
            known = known || kith_node_id_equal(&ids[k], &map->nodes[i].id);
        if (known || member == NULL || map->nodes_n == max)
            continue;
        map->nodes[map->nodes_n++] = (struct hr_map_node){.id = ids[k], .boot_no = member->boot_no};
        hr_map_step(map,
                    &(struct map_event){.type = MAP_NODE_UP,
                                        .node = ids[k],
                                        .node_name = member->shown_name,
                                        .in_flight_max = MAP_IN_FLIGHT},
                    NULL);
    }
    free(ids);
}

void hr_map_item_done(struct hr *hr, struct hr_item_call *call, const struct kith_result *result)
{
    struct map_event event = {.type = MAP_ITEM_DONE,
                              .node = call->node,
                              .index = call->index,
                              .outcome = result->outcome,
                              .code = result->code,
                              .elapsed_ns = result->elapsed_ns};
    struct hr_map *map = call->map;

    map64_remove(&hr->items, call->token);
    free(call);
    hr_map_step(map, &event, result);
}

void hr_map_dispatch(struct hr *hr, const struct hr_todo *todo)
{
    struct hr_map *map = todo->map;
    struct hr_arg arg = {.input = hr_map_input(map, todo->index)};
    struct hr_item_call *call;

    if (map->finished)
        return;
    call = sim_realloc(NULL, 1, sizeof(*call));
    arg.run_us = map->run_us_max > 0 ? arg.input % map->run_us_max : 0;
    *call = (struct hr_item_call){
        .map = map, .token = ++hr->hw->token, .index = todo->index, .node = todo->id};
    uint8_t bytes[HR_ARG_BYTES];
    hr_put_arg(bytes, &arg);
    struct rpc_event event = {.type = RPC_CALL};
    event.u.call.token = call->token;
    event.u.call.fn = hr_function_names[HR_IDEM];
    event.u.call.arg = (struct kith_bytes){.data = bytes, .len = sizeof(bytes)};
    event.u.call.to_node = true;
    event.u.call.node = todo->id;
    event.u.call.no_retry = true; /* the map does that */
    event.u.call.timeout_ms = map->item_timeout_ms != 0 ? map->item_timeout_ms : UINT64_MAX;
    if (map64_set(&hr->items, call->token, call) < 0)
        abort();
    struct rpc_output out;
    hr_rpc_do(hr, &event, &out);
    if (out.code < 0) {
        struct kith_result refused = {.outcome = KITH_OUTCOME_NOT_EXECUTED, .code = out.code};
        hr_map_item_done(hr, call, &refused);
    }
}

void hr_map_abort(struct hr *hr, const struct hr_todo *todo)
{
    struct hr_item_call *call = item_call_of(hr, todo->map, todo->index, &todo->id);
    struct rpc_event event = {.type = RPC_CANCEL};
    struct rpc_output out;

    if (call == NULL)
        return;
    event.u.token = call->token;
    hr_rpc_do(hr, &event, &out);
}

struct hr_map *hr_map_start(struct hr *hr, const struct hr_map_options *options)
{
    struct hr_map *map = sim_realloc(NULL, 1, sizeof(*map));

    memset(map, 0, sizeof(*map));
    map->hr = hr;
    map->map_no = ++hr->hw->token;
    map->items_n = options->items_n;
    map->ordered = options->ordered;
    map->run_us_max = options->run_us_max;
    map->item_timeout_ms = options->item_timeout_ms;
    map->seed = sim_node_seed(hr->hm.node);
    map->user = options->user;
    map->items = sim_realloc(NULL, map->items_n, sizeof(*map->items));
    memset(map->items, 0, map->items_n * sizeof(*map->items));
    map->nodes = sim_realloc(NULL, sim_nodes_n(hr_world_of(hr)), sizeof(*map->nodes));
    struct map_config config = {.map_no = map->map_no,
                                .items_n = map->items_n,
                                .seed = map->seed,
                                .ordered = map->ordered,
                                .attempts_max = options->attempts_max};
    if (map_new(&map->core, &config) < 0)
        abort();
    list_append(&hr->maps, &map->link);
    hr_map_refresh(map);
    hr_pump(hr);
    return map;
}

void hr_map_cancel(struct hr_map *map)
{
    hr_map_step(map, &(struct map_event){.type = MAP_CANCEL}, NULL);
    hr_pump(map->hr);
}
