/*
 * What must hold of what clients see, as it happens and in the end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "state_ops_internal.h"

#define SEARCH_STEPS_MAX UINT64_C(3000000)

/* ---- variables ---- */

void so_record(struct state_ops *ops, const struct history_entry *entry)
{
    size_t index = history_add(&ops->history, entry);
    size_t against;
    char a[256];
    char b[256] = "another value of that version";

    ops->history.entries[index].line = (uint32_t)index;
    ops->outcomes[entry->outcome]++;
    sim_trace(ops->world,
              entry->version << 8 | (uint64_t)entry->outcome << 4 | (uint64_t)entry->op);
    if (entry->outcome == HISTORY_UNKNOWN || history_line_add(&ops->line, entry, index, &against))
        return;
    history_print(&ops->history, index, a, sizeof(a));
    if (against != SIZE_MAX)
        history_print(&ops->history, against, b, sizeof(b));
    sim_violation(ops->world, "order: {%s} after {%s}", a, b);
}

static uint32_t value_of(struct state_ops *ops, const struct dvar_result *result)
{
    if (result->type == VALUE_NONE || result->len < 8)
        return HISTORY_ABSENT;
    return history_number(&ops->history, (int64_t)get_le64(result->data));
}

/* The numbers of variables are few. */
static size_t variable_of(const struct state_ops *ops, uint32_t name)
{
    size_t at = 0;

    while (at < SO_VARIABLES_N - 1 && ops->names[at] != name)
        at++;
    return at;
}

static void
ok_outcome(struct state_ops *ops, struct history_entry *e, const struct dvar_result *result)
{
    e->version = result->version;
    e->valued = true;
    switch ((enum history_op)e->op) {
    case HISTORY_GET:
        e->value = value_of(ops, result);
        break;
    case HISTORY_SET:
        e->value = e->arg;
        break;
    case HISTORY_CAS:
        e->lost = !result->applied;
        e->value = e->lost ? value_of(ops, result) : e->arg;
        break;
    case HISTORY_INCR:
        e->value = history_number(&ops->history, (int64_t)result->number);
        break;
    default:
        e->value = HISTORY_ABSENT;
        e->version = 0;
        break;
    }
    if (e->value == HISTORY_ABSENT)
        e->version = 0;
}

static bool is_refusal(int code)
{
    return code == KITH_E_TIMEOUT || code == KITH_E_CANCELED || code == KITH_E_NO_QUORUM ||
           code == KITH_E_LIMIT || code == KITH_E_BUSY;
}

void so_outcome(struct state_ops *ops, struct so_client *client, const struct dvar_result *result)
{
    struct history_entry *e = &client->entry;
    size_t variable = variable_of(ops, e->name);

    e->end_ns = so_now(ops);
    if (result->code == 0) {
        e->outcome = HISTORY_OK;
        ok_outcome(ops, e, result);
    } else if (result->code == KITH_E_NOT_FOUND) { /* it was looked at, and is absent */
        e->op = HISTORY_GET;
        e->outcome = HISTORY_OK;
        e->valued = true;
        e->value = HISTORY_ABSENT;
    } else if (result->code == KITH_E_UNKNOWN_OUTCOME) {
        e->outcome = HISTORY_UNKNOWN;
        e->end_ns = HISTORY_NEVER;
    } else {
        e->outcome = HISTORY_FAILED;
        /* A lower fence is refused, and nothing else is wrong with what clients ask for. */
        if (!is_refusal(result->code) && !(result->code == KITH_E_FENCE && e->fence != 0))
            sim_violation(ops->world, "an operation on '%s' ends with %s: %s",
                          so_variable_names[variable], kith_error_name(result->code),
                          result->text != NULL ? result->text : "");
    }
    if (e->outcome != HISTORY_OK) {
        snprintf(ops->failure, sizeof(ops->failure), "%s '%s' on node %zu: %s, %s",
                 history_op_names[e->op], so_variable_names[variable], client->node,
                 kith_error_name(result->code), result->text != NULL ? result->text : "");
        sim_note(ops->world, "%s", ops->failure);
    }
    if (e->outcome == HISTORY_OK) {
        client->seen[variable] = e->value;
        client->seen_version[variable] = e->version;
    }
    if (e->outcome != HISTORY_UNKNOWN || e->op != HISTORY_GET)
        so_record(ops, e);
}

/* The guarded counter in memory is gone, with its fence: it may count from 1 again. */
static void guard_lost(struct state_ops *ops)
{
    map64_deinit(&ops->guarded_values[0]);
    memset(&ops->guarded_values[0], 0, sizeof(ops->guarded_values[0]));
    for (size_t i = 0; i < ops->history.n; i++) {
        if (ops->history.entries[i].name == ops->names[SO_GUARDED])
            ops->history.entries[i].fence = 0;
    }
}

/*
 * A slot that lost what was in memory only: its variables may be absent since the configuration
 * began of which nobody is left.
 */
void so_placement(struct state_ops *ops,
                  const struct placement *before,
                  const struct placement *now)
{
    for (uint32_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        bool lost = before->slots[slot].active.slot_epoch != 0 &&
                    now->slots[slot].generation > before->slots[slot].generation;

        for (size_t i = 0; lost && i < SO_VARIABLES_N; i++) {
            const char *name = so_variable_names[i];
            bool is_volatile = i == SO_VOLATILE || i == SO_VOLATILE_D || i == SO_COUNT ||
                               i == SO_BIG || i == SO_GUARDED;

            if (is_volatile && placement_slot_of(name, strlen(name)) == slot)
                history_add(
                    &ops->history,
                    &(struct history_entry){.op = HISTORY_DEL,
                                            .outcome = HISTORY_UNKNOWN,
                                            .name = ops->names[i],
                                            .start_ns = (int64_t)ops->activated_ms[slot] * 1000000,
                                            .end_ns = HISTORY_NEVER});
            if (i == SO_GUARDED && placement_slot_of(name, strlen(name)) == slot)
                guard_lost(ops);
        }
        if (now->slots[slot].active.slot_epoch > before->slots[slot].active.slot_epoch)
            ops->activated_ms[slot] = sim_world_ms(ops->world);
    }
}

bool so_judge(struct state_ops *ops)
{
    struct history_finding *finding = &ops->finding;
    char text[256];

    history_judge(&ops->history, SEARCH_STEPS_MAX, finding);
    if (finding->verdict != HISTORY_VIOLATED)
        return true;
    for (size_t i = 0; finding->guilty_n > 0 && i < ops->history.n; i++) {
        if (ops->history.entries[i].name != ops->history.entries[finding->guilty[0]].name)
            continue;
        history_print(&ops->history, i, text, sizeof(text));
        sim_note(ops->world, "%s%s", i == finding->guilty[0] ? "guilty: " : "its history: ", text);
    }
    text[0] = '\0';
    if (finding->guilty_n > 0)
        history_print(&ops->history, finding->guilty[0], text, sizeof(text));
    sim_violation(ops->world, "history: %s {%s}", finding->text, text);
    return false;
}

/* ---- mutexes ---- */

/* Does it hold its mutex now, as its node would say? */
static bool holds(const struct state_ops *ops, const struct so_client *client)
{
    struct hs *hs = client->state >= SO_READS && !client->lost ? so_node(ops, client) : NULL;

    return hs != NULL && mutex_holds(hs->mutex, client->waiter, hs_now_ms(hs)) != 0;
}

void so_judge_grant(struct state_ops *ops, struct so_client *client, uint64_t fence)
{
    struct so_lock *lock = &ops->locks[client->lock];

    sim_note(ops->world, "client %" PRIu32 " on %zu holds '%s' with fence %" PRIu64, client->number,
             client->node, so_lock_names[client->lock], fence);
    if (fence <= lock->fence)
        sim_violation(ops->world, "'%s' is granted with fence %" PRIu64 " after %" PRIu64,
                      so_lock_names[client->lock], fence, lock->fence);
    lock->fence = fence;
    lock->grants_n++;
    for (size_t i = 0; ops->inside_n > 0 && i < ops->clients_n; i++) {
        const struct so_client *other = &ops->clients[i];

        if (other != client && other->state >= SO_READS && other->lock == client->lock &&
            holds(ops, other))
            sim_violation(ops->world,
                          "'%s' is granted on node %zu (fence %" PRIu64
                          ") and node %zu holds it (fence %" PRIu64 ")",
                          so_lock_names[client->lock], client->node, fence, other->node,
                          other->fence);
    }
}

void so_judge_count(struct state_ops *ops, const struct so_client *client)
{
    struct map64 *values = &ops->guarded_values[client->lock];
    uint64_t value = (uint64_t)client->read + 1;

    if (map64_find(values, value) != NULL)
        sim_violation(ops->world,
                      "two sections of '%s' made the counter %" PRIu64 ": one of them is lost",
                      so_lock_names[client->lock], value);
    if (map64_set(values, value, ops) < 0)
        abort();
}

/* Who holds has the newest fence, whatever its node has just done. */
void so_stepped(struct state_ops *ops, struct hs *hs)
{
    size_t node = sim_node_index(hs->hm.node);
    size_t nodes_n = sim_nodes_n(ops->world);

    if (ops->inside_n == 0 || hs->mutex == NULL)
        return;
    for (size_t i = node; i < ops->clients_n; i += nodes_n) {
        const struct so_client *client = &ops->clients[i];

        if (client->state >= SO_READS && client->fence < ops->locks[client->lock].fence &&
            holds(ops, client))
            sim_violation(
                ops->world,
                "node %zu holds '%s' with fence %" PRIu64 ", but %" PRIu64 " was granted since",
                node, so_lock_names[client->lock], client->fence, ops->locks[client->lock].fence);
    }
}
