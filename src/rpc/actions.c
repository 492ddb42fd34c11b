#include "rpc/actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "net/frame.h"

/* ---- memory of a step ---- */

const char *arena_text(struct rpc_core *core, const char *format, ...)
{
    char text[RPC_ERROR_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0)
        return "";
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    char *copy = arena_alloc(&core->arena, len + 1);
    if (copy == NULL)
        return "memory is short on this node, so the reason cannot be told; try again later";
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* ---- actions ---- */

static bool grow_actions(struct rpc_core *core)
{
    size_t cap = core->actions_cap * 2;
    struct rpc_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
    if (actions == NULL) {
        core->again = true;
        return false;
    }
    core->actions = actions;
    core->actions_cap = cap;
    return true;
}

bool action_room(struct rpc_core *core)
{
    return core->actions_n < core->actions_cap || grow_actions(core);
}

struct rpc_action *action_add(struct rpc_core *core, enum rpc_action_type type)
{
    if (!action_room(core))
        return NULL;
    struct rpc_action *action = &core->actions[core->actions_n++];
    zero_fast(action, sizeof(*action));
    action->type = type;
    return action;
}

struct rpc_action *action_send(struct rpc_core *core,
                               struct rpc_peer *peer,
                               uint8_t frame_type,
                               const void *head,
                               size_t head_len)
{
    struct rpc_action *action = action_add(core, RPC_SEND);
    if (action == NULL)
        return NULL;
    action->frame_type = frame_type;
    action->net_class = frame_type >= FRAME_CALL ? NET_RPC : NET_CONTROL;
    action->to = peer->id;
    action->peer = peer;
    action->head = (struct kith_bytes){.data = head, .len = head_len};
    return action;
}

bool action_send_control(
    struct rpc_core *core, struct rpc_peer *peer, uint8_t frame_type, const void *data, size_t len)
{
    struct rpc_action *action = action_send(core, peer, frame_type, NULL, 0);
    if (action == NULL)
        return false;
    action->body = (struct kith_bytes){.data = data, .len = len};
    return true;
}

void action_body(struct rpc_action *action, const void *data, size_t len, struct block *block)
{
    action->body = (struct kith_bytes){.data = data, .len = len};
    action->release = block;
    if (block != NULL)
        block->refs++;
}

/* ---- blocks ---- */

struct block *block_new(struct rpc_core *core, uint8_t *data, size_t len)
{
    struct block *block = pool_take(&core->blocks);
    if (block == NULL) {
        core_free(data);
        return NULL;
    }
    *block = (struct block){.refs = 1, .data = data, .len = len};
    return block;
}

void block_unref(struct rpc_core *core, struct block *block)
{
    if (block == NULL)
        return;
    assert(block->refs > 0);
    if (--block->refs > 0)
        return;
    core_free(block->data);
    pool_give(&core->blocks, block);
}

/* ---- timers ---- */

void timer_cancel(struct rpc_core *core, struct timer *timer)
{
    if (timer->set) {
        wheel_cancel(&core->wheel, &timer->wheel);
        timer->set = false;
    } else if (timer->due) {
        list_remove(&timer->wheel.link);
        timer->due = false;
    }
}

void timer_set(struct rpc_core *core, struct timer *timer, uint64_t at_ms)
{
    if (timer->due) {
        list_remove(&timer->wheel.link);
        timer->due = false;
    }
    timer->set = true;
    if (at_ms < core->soonest_ms)
        core->soonest_ms = at_ms;
    wheel_set(&core->wheel, &timer->wheel, at_ms);
}
