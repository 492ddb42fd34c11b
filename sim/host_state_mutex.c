/*
 * The core of mutexes on a simulated node: its records are variables, its holders the scenario's.
 */
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

struct hs_todo *hs_todo_mutex(struct hs *hs, enum mutex_event_type type)
{
    struct hs_todo *todo = hs_todo_add(hs, HS_MUTEX);

    todo->mutex.type = type;
    return todo;
}

void hs_acquire(struct hs *hs, const struct mutex_acquire *acquire)
{
    sim_op(hs_world_of(hs));
    hs_todo_mutex(hs, MUTEX_ACQUIRE)->mutex.u.acquire = *acquire;
}

int hs_release(struct hs *hs, uint64_t waiter)
{
    sim_op(hs_world_of(hs));
    return hs_mutex_step(hs, &(struct mutex_event){.type = MUTEX_RELEASE, .u.waiter = waiter});
}

void hs_mutex_record(struct hs *hs, const struct hs_op *op, const struct dvar_result *result)
{
    struct hs_todo *todo = hs_todo_mutex(hs, MUTEX_RECORD);

    todo->mutex.u.record.ask = op->ask;
    todo->mutex.u.record.code = result->code;
    todo->mutex.u.record.version = result->version;
    if (result->code == 0 && op->cas && !result->applied)
        todo->mutex.u.record.code = KITH_E_AGAIN;
    else if (result->code == 0 && !op->cas && result->type == VALUE_NONE)
        todo->mutex.u.record.code = KITH_E_NOT_FOUND;
    if (result->code != 0 || op->cas || result->len == 0)
        return;
    todo->bytes = sim_realloc(NULL, result->len, 1);
    memcpy(todo->bytes, result->data, result->len);
    todo->mutex.u.record.data = todo->bytes;
    todo->mutex.u.record.len = result->len;
}

static void mutex_says(struct hs *hs, const struct mutex_action *action)
{
    const struct hs_observer *observer = &hs->hw->observer;

    switch (action->type) {
    case MUTEX_SEND:
        hs_send(hs, &action->to, FRAME_MUTEX, action->data, action->len);
        break;
    case MUTEX_RECORD_READ:
    case MUTEX_RECORD_CAS:
        if (hs->dvar != NULL)
            hs_dvar_record(hs, action);
        else
            hs_stand_in_record(hs, action);
        break;
    case MUTEX_GRANTED:
        if (observer->granted != NULL)
            observer->granted(hs, action->waiter, action->fence);
        break;
    case MUTEX_ENDED:
        if (observer->ended != NULL)
            observer->ended(hs, action->waiter, action->code);
        break;
    case MUTEX_LOCK_LOST:
        if (observer->lost != NULL)
            observer->lost(hs, action->waiter, action->fence);
        break;
    case MUTEX_WARN_LEASE:
    case MUTEX_BROKEN:
    case MUTEX_INFO:
        break;
    }
}

int hs_mutex_step(struct hs *hs, struct mutex_event *event)
{
    struct mutex_output out = {0};
    int r;

    event->now_ms = hs_now_ms(hs);
    hs->mutex_stepped = true;
    r = mutex_step(hs->mutex, event, &out);
    hs->mutex_at_ms = mutex_deadline_ms(hs->mutex);
    if (r == KITH_E_CORRUPT)
        sim_violation(hs_world_of(hs), "node %zu: mutex_step of event %d: %s",
                      sim_node_index(hs->hm.node), (int)event->type, kith_errmsg());
    int code = out.code;
    for (size_t i = 0; i < out.actions_n; i++)
        mutex_says(hs, &out.actions[i]);
    return code;
}

void hs_mutex_boot(struct hs *hs)
{
    struct mutex_config config = hs->hw->mutex;
    char name[32];

    snprintf(name, sizeof(name), "node-%zu", sim_node_index(hs->hm.node));
    config.self = hs->self;
    config.self_name = name;
    config.seed = sim_node_seed(hs->hm.node);
    config.pass_at_tick = (config.seed & 1) != 0;
    if (mutex_new(&hs->mutex, &config) < 0)
        abort();
    hs->mutex_at_ms = mutex_deadline_ms(hs->mutex);
}

void hs_mutex_end(struct hs *hs)
{
    mutex_free(hs->mutex);
}
