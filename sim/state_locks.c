/*
 * Sections of clients under mutexes: alone, as readers, with permits; with a counter that is read,
 * added to and written inside.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "state_ops_internal.h"

#define TIMEOUT_MS_MAX 20000
#define THINK_MS_MAX   40
#define THINK_MS_LONG  6000 /* now and then: longer than a lease */
#define LONG_PERCENT   5

void so_think(struct state_ops *ops, struct so_client *client)
{
    struct rng *rng = sim_rng(ops->world);

    client->state = SO_THINKS;
    so_tick_in(ops, client,
               rng_below(rng, rng_below(rng, 100) < LONG_PERCENT ? THINK_MS_LONG : THINK_MS_MAX));
}

void so_do_acquire(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    struct mutex_acquire acquire = {.waiter = hs_next_id(ops->hw)};

    /* Mostly the two that guard something. */
    client->lock = (size_t)rng_below(rng, 2 * SO_LOCKS_N);
    if (client->lock >= SO_LOCKS_N)
        client->lock %= SO_EXCLUSIVE_N;
    client->shared = client->lock == SO_SHARED && rng_below(rng, 3) != 0;
    client->state = SO_ACQUIRES;
    so_begin(ops, client, hs, SO_GUARDED, HISTORY_LOCK);
    client->entry.name = ops->lock_names[client->lock];
    so_wait_for(ops, client, acquire.waiter);
    client->waiter = acquire.waiter;
    client->deadline_ms = hs_now_ms(hs) + 500 + rng_below(rng, TIMEOUT_MS_MAX);
    acquire.name = so_lock_names[client->lock];
    acquire.owner = client->number;
    acquire.deadline_ms = client->deadline_ms;
    acquire.try_only = rng_below(rng, 8) == 0;
    acquire.detect = rng_below(rng, 8) == 0;
    acquire.shared = client->shared;
    acquire.permits = client->lock == SO_PERMITS ? SO_PERMITS_MAX : 0;
    hs_acquire(hs, &acquire);
    hs_pump(hs);
}

static void fenced(struct value_op *op, const struct so_client *client)
{
    op->flags |= VALUE_OP_FENCE;
    op->mutex = so_lock_names[client->lock];
    op->mutex_len = (uint8_t)strlen(op->mutex);
    op->fence = client->fence;
}

static void do_guarded_read(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct value_op op = {.kind = VALUE_OP_GET};

    client->state = SO_READS;
    so_begin(ops, client, hs, SO_GUARDED + client->lock, HISTORY_GET);
    client->entry.fence = client->fence;
    fenced(&op, client);
    so_submit(ops, client, hs, &op);
}

static void do_guarded_write(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct value_op op = {.kind = VALUE_OP_SET, .type = VALUE_I64};
    uint8_t number[8];

    client->state = SO_WRITES;
    so_begin(ops, client, hs, SO_GUARDED + client->lock, HISTORY_SET);
    client->entry.fence = client->fence;
    client->entry.arg = history_number(&ops->history, client->read + 1);
    put_le64(number, (uint64_t)client->read + 1);
    op.data = number;
    op.data_len = sizeof(number);
    fenced(&op, client);
    if (client->fence % 2 == 0)
        op.flags |= VALUE_OP_LAST;
    so_submit(ops, client, hs, &op);
}

static void leave(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct history_entry entry = {.client = client->number,
                                  .op = HISTORY_UNLOCK,
                                  .outcome = HISTORY_FAILED,
                                  .name = ops->lock_names[client->lock],
                                  .fence = client->fence,
                                  .start_ns = so_now(ops),
                                  .end_ns = so_now(ops)};

    map64_remove(&ops->by_id, client->waiter);
    ops->inside_n--;
    if (!client->lost) {
        if (mutex_holds(hs->mutex, client->waiter, hs_now_ms(hs)) != 0)
            entry.outcome = HISTORY_OK;
        if (hs_release(hs, client->waiter) < 0)
            entry.outcome = HISTORY_FAILED;
    }
    if (client->lock < SO_EXCLUSIVE_N)
        so_record(ops, &entry);
    so_idle(ops, client, true);
}

void so_thought(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    bool guards = ops->variables_on && client->lock < SO_EXCLUSIVE_N;

    if (client->entry.op == HISTORY_LOCK && guards) {
        do_guarded_read(ops, client, hs);
    } else if (client->entry.op == HISTORY_GET && client->entry.outcome == HISTORY_OK) {
        do_guarded_write(ops, client, hs);
    } else {
        leave(ops, client, hs);
        hs_pump(hs);
    }
}

/* ---- what comes back ---- */

void so_granted(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence)
{
    struct so_client *client = map64_find(&ops->by_id, waiter);

    if (client == NULL || client->state != SO_ACQUIRES || so_node(ops, client) != hs) {
        sim_violation(ops->world, "node %zu grants a mutex to nobody who waits",
                      sim_node_index(hs->hm.node));
        return;
    }
    so_judge_grant(ops, client, fence);
    client->fence = fence;
    client->lost = false;
    ops->grants_n++;
    ops->inside_n++;
    client->entry.fence = fence;
    client->entry.end_ns = so_now(ops);
    if (client->lock < SO_EXCLUSIVE_N)
        so_record(ops, &client->entry);
    so_think(ops, client);
}

void so_ended(struct state_ops *ops, struct hs *hs, uint64_t waiter, int code)
{
    struct so_client *client = map64_remove(&ops->by_id, waiter);

    (void)hs;
    if (client == NULL || client->state != SO_ACQUIRES) {
        sim_violation(ops->world, "an acquisition ends (%s) that nobody waits for",
                      kith_error_name(code));
        return;
    }
    so_idle(ops, client, code == KITH_E_AGAIN);
}

void so_lost(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence)
{
    struct so_client *client = map64_find(&ops->by_id, waiter);

    (void)hs;
    if (client == NULL || client->fence != fence || client->state < SO_READS) {
        sim_violation(ops->world, "fence %" PRIu64 " is lost, but nobody has it", fence);
        return;
    }
    ops->lost_n++;
    client->lost = true; /* it goes on: its guarded write must be refused if another one entered */
}
