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

static void judge_line(struct state_ops *ops, const struct history_entry *entry, size_t index)
{
    size_t against;
    char a[256];
    char b[256] = "another value of that version";

    if (history_line_add(&ops->line, entry, index, &against))
        return;
    history_print(&ops->history, index, a, sizeof(a));
    if (against != SIZE_MAX)
        history_print(&ops->history, against, b, sizeof(b));
    sim_violation(ops->world, "order: {%s} after {%s}", a, b);
}

void so_record(struct state_ops *ops, const struct history_entry *entry)
{
    size_t index = history_add(&ops->history, entry);

    ops->history.entries[index].line = (uint32_t)index;
    ops->outcomes[entry->outcome]++;
    sim_trace(ops->world,
              entry->version << 8 | (uint64_t)entry->outcome << 4 | (uint64_t)entry->op);
    if (entry->outcome != HISTORY_UNKNOWN)
        judge_line(ops, entry, index);
}

/* What was told, and read at some time until now: it takes part in the order of versions, but not
 * in the search for an order of operations, where it would lie beside all that came before. */
static void record_told(struct state_ops *ops, const struct history_entry *entry)
{
    size_t index = history_add(&ops->history, entry);

    ops->history.entries[index].line = (uint32_t)index;
    ops->history.entries[index].outcome = HISTORY_FAILED;
    sim_trace(ops->world, entry->version << 8 | 0xf0);
    judge_line(ops, entry, index);
}

void so_record_parts(struct state_ops *ops, struct so_client *client)
{
    if (client->parts_n == 0)
        so_record(ops, &client->entry);
    for (size_t i = 0; i < client->parts_n; i++) {
        struct history_entry entry = client->entry;

        entry.name = ops->part_names[client->variable][client->part + i];
        if (entry.op == HISTORY_SET) {
            entry.arg = client->args[i];
            entry.value = entry.outcome == HISTORY_OK ? entry.arg : entry.value;
        }
        so_record(ops, &entry);
    }
}

static uint32_t number_of(struct state_ops *ops, uint8_t type, const uint8_t *data, size_t len)
{
    if (type == VALUE_NONE || len < 8)
        return HISTORY_ABSENT;
    return history_number(&ops->history, (int64_t)get_le64(data));
}

static uint32_t value_of(struct state_ops *ops, const struct dvar_result *result)
{
    return number_of(ops, result->type, result->data, result->len);
}

void so_saw(struct state_ops *ops,
            uint32_t client,
            size_t variable,
            const struct value *value,
            uint64_t version,
            int64_t start_ns)
{
    struct history_entry entry = {.client = client,
                                  .op = HISTORY_GET,
                                  .valued = true,
                                  .version = value->type == VALUE_NONE ? 0 : version,
                                  .start_ns = start_ns,
                                  .end_ns = so_now(ops)};
    size_t parts_n = so_is_array(variable) ? SO_PARTS : 1;

    for (size_t i = 0; i < parts_n; i++) {
        entry.name = so_is_array(variable) ? ops->part_names[variable][i] : ops->names[variable];
        entry.value = value->len >= 8 * (i + 1)
                          ? number_of(ops, value->type, value->data + 8 * i, 8)
                          : HISTORY_ABSENT;
        if (start_ns == 0)
            record_told(ops, &entry);
        else
            so_record(ops, &entry);
    }
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
    if (e->value == HISTORY_ABSENT && e->op != HISTORY_SET)
        e->version = 0;
}

static bool is_refusal(int code)
{
    return code == KITH_E_TIMEOUT || code == KITH_E_CANCELED || code == KITH_E_NO_QUORUM ||
           code == KITH_E_LIMIT || code == KITH_E_BUSY;
}

/* A read of an array: each element is a variable of its own. */
static void
read_parts_done(struct state_ops *ops, struct so_client *client, const struct dvar_result *result)
{
    bool absent = client->entry.version == 0;

    for (size_t i = 0; i < client->parts_n; i++) {
        struct history_entry entry = client->entry;

        entry.name = ops->part_names[client->variable][client->part + i];
        if (!absent && result->len < 8 * (i + 1))
            sim_violation(ops->world, "%zu bytes are read of %zu elements of '%s'", result->len,
                          client->parts_n, so_variable_names[client->variable]);
        entry.value = absent || result->len < 8 * (i + 1)
                          ? HISTORY_ABSENT
                          : number_of(ops, result->type, result->data + 8 * i, 8);
        so_record(ops, &entry);
    }
}

static void
failed(struct state_ops *ops, const struct so_client *client, const struct dvar_result *result)
{
    snprintf(ops->failure, sizeof(ops->failure), "%s '%s' on node %zu: %s, %s",
             history_op_names[client->entry.op], so_variable_names[client->variable], client->node,
             kith_error_name(result->code), result->text != NULL ? result->text : "");
    sim_note(ops->world, "%s", ops->failure);
}

static void
set_outcome(struct state_ops *ops, struct so_client *client, const struct dvar_result *result)
{
    struct history_entry *e = &client->entry;

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
                          so_variable_names[client->variable], kith_error_name(result->code),
                          result->text != NULL ? result->text : "");
    }
}

/* What watches are to hear. */
static void note_in_peace(struct state_ops *ops, size_t variable, const struct history_entry *e)
{
    if (ops->peace_ms == 0 || e->start_ns < (int64_t)ops->peace_ms * 1000000)
        return;
    if (e->op == HISTORY_DEL) {
        ops->peace_gone_ns[variable] = e->end_ns;
    } else if (history_wrote(e)) {
        if (e->version > ops->peace_version[variable])
            ops->peace_version[variable] = e->version;
        if (e->start_ns > ops->peace_wrote_ns[variable])
            ops->peace_wrote_ns[variable] = e->start_ns;
    }
}

void so_outcome(struct state_ops *ops, struct so_client *client, const struct dvar_result *result)
{
    struct history_entry *e = &client->entry;
    size_t variable = client->variable;

    set_outcome(ops, client, result);
    if (e->outcome != HISTORY_OK) {
        failed(ops, client, result);
    } else {
        client->seen[variable] = e->value;
        client->seen_version[variable] = e->version;
        note_in_peace(ops, variable, e);
    }
    if (e->outcome == HISTORY_UNKNOWN && e->op == HISTORY_GET)
        return;
    if (e->outcome == HISTORY_OK && e->op == HISTORY_GET && client->parts_n > 0)
        read_parts_done(ops, client, result);
    else
        so_record_parts(ops, client);
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

/* Perhaps, at some time from then on. */
static void deleted_since(struct state_ops *ops, size_t variable, int64_t start_ns)
{
    size_t parts_n = so_is_array(variable) ? SO_PARTS : 1;

    for (size_t part = 0; part < parts_n; part++) {
        uint32_t name =
            so_is_array(variable) ? ops->part_names[variable][part] : ops->names[variable];

        history_add(&ops->history, &(struct history_entry){.op = HISTORY_DEL,
                                                           .outcome = HISTORY_UNKNOWN,
                                                           .name = name,
                                                           .start_ns = start_ns,
                                                           .end_ns = HISTORY_NEVER});
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

            if (!so_is_durable(i) && placement_slot_of(name, strlen(name)) == slot)
                deleted_since(ops, i, (int64_t)ops->activated_ms[slot] * 1000000);
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

    so_judge_watches(ops);
    so_judge_avail(ops);
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

/* May @a and @b be inside of the same mutex at once? */
static bool may_share(const struct so_client *a, const struct so_client *b)
{
    return a->shared && b->shared;
}

/* Those who share are granted at once by several messages, which come in any order. */
static void judge_fence(struct state_ops *ops, const struct so_client *client, uint64_t fence)
{
    struct so_lock *lock = &ops->locks[client->lock];
    uint64_t above = client->shared ? lock->writer_fence : lock->fence;

    if (client->lock != SO_PERMITS && fence <= above)
        sim_violation(ops->world, "'%s' is granted with fence %" PRIu64 " after %" PRIu64,
                      so_lock_names[client->lock], fence, above);
    if (fence > lock->fence)
        lock->fence = fence;
    if (!client->shared && fence > lock->writer_fence)
        lock->writer_fence = fence;
    lock->grants_n++;
}

void so_judge_grant(struct state_ops *ops, struct so_client *client, uint64_t fence)
{
    size_t inside = 1;

    sim_note(ops->world, "client %" PRIu32 " on node %zu enters '%s' with fence %" PRIu64,
             client->number, client->node, so_lock_names[client->lock], fence);
    judge_fence(ops, client, fence);
    for (size_t i = 0; ops->inside_n > 0 && i < ops->clients_n; i++) {
        const struct so_client *other = &ops->clients[i];

        if (other == client || other->state < SO_READS || other->lock != client->lock ||
            !holds(ops, other))
            continue;
        inside++;
        if (other->fence == fence)
            sim_violation(ops->world, "two hold '%s' with fence %" PRIu64,
                          so_lock_names[client->lock], fence);
        if (client->lock == SO_PERMITS ? inside > SO_PERMITS_MAX : !may_share(client, other))
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

/* Who holds has the newest fence of those that do not share with it, whatever its node has just
 * done. */
void so_stepped(struct state_ops *ops, struct hs *hs)
{
    size_t node = sim_node_index(hs->hm.node);
    size_t nodes_n = sim_nodes_n(ops->world);

    if (ops->inside_n == 0 || hs->mutex == NULL)
        return;
    for (size_t i = node; i < ops->clients_n; i += nodes_n) {
        const struct so_client *client = &ops->clients[i];
        const struct so_lock *lock = &ops->locks[client->lock];
        uint64_t newest = client->shared ? lock->writer_fence : lock->fence;

        if (client->state >= SO_READS && client->lock != SO_PERMITS && client->fence < newest &&
            holds(ops, client))
            sim_violation(ops->world,
                          "node %zu holds '%s' with fence %" PRIu64 ", but %" PRIu64
                          " was granted since",
                          node, so_lock_names[client->lock], client->fence, newest);
    }
}
