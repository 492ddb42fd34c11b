/*
 * The core of variables on a simulated node: what it says to the view and to the disk, the
 * operations of scenarios and of mutexes.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

#define RECORD_TIMEOUT_MS 5000
#define RECORDS_SEEN_MS   5000 /* a home looks through its records of mutexes so often */

/* ---- events ---- */

struct hs_todo *hs_todo_dvar(struct hs *hs, enum dvar_event_type type)
{
    struct hs_todo *todo = hs_todo_add(hs, HS_DVAR);

    todo->dvar.type = type;
    return todo;
}

uint64_t hs_next_id(struct hs_world *hw)
{
    return ++hw->next_id;
}

static struct hs_op *op_add(struct hs *hs, uint64_t id)
{
    struct hs_op *op = sim_realloc(NULL, 1, sizeof(*op));

    memset(op, 0, sizeof(*op));
    op->id = id;
    if (map64_set(&hs->ops, id, op) < 0)
        abort();
    return op;
}

/* Copies what @op points to behind the name, as the step comes later. */
static void
op_todo(struct hs *hs, uint64_t id, const char *name, const struct value_op *op, uint64_t timeout)
{
    struct hs_todo *todo = hs_todo_dvar(hs, DVAR_OP);
    size_t name_len = strlen(name);
    uint8_t *at =
        sim_realloc(NULL, name_len + op->data_len + op->expect_len + op->mutex_len + 1, 1);

    todo->bytes = at;
    todo->op = *op;
    todo->dvar.id = id;
    todo->dvar.deadline_ms = hs_now_ms(hs) + timeout;
    copy_small(at, name, name_len); /* bytes with a length, no string */
    todo->dvar.name = (const char *)at;
    todo->dvar.name_len = name_len;
    at += name_len;
    if (op->data_len > 0)
        memcpy(at, op->data, op->data_len);
    todo->op.data = at;
    at += op->data_len;
    if (op->expect_len > 0)
        memcpy(at, op->expect, op->expect_len);
    todo->op.expect = at;
    at += op->expect_len;
    if (op->mutex_len > 0)
        memcpy(at, op->mutex, op->mutex_len);
    todo->op.mutex = (const char *)at;
}

void hs_op(
    struct hs *hs, uint64_t id, const char *name, const struct value_op *op, uint64_t timeout_ms)
{
    op_add(hs, id);
    sim_op(hs_world_of(hs));
    op_todo(hs, id, name, op, timeout_ms);
}

void hs_dvar_record(struct hs *hs, const struct mutex_action *action)
{
    struct hs_op *op = op_add(hs, hs_next_id(hs->hw));
    struct value_op value = {.kind = VALUE_OP_GET};

    op->ask = action->ask;
    op->cas = action->type == MUTEX_RECORD_CAS;
    if (op->cas)
        value = (struct value_op){.kind = VALUE_OP_CAS_VERSION,
                                  .type = action->len > 0 ? VALUE_BYTES : VALUE_NONE,
                                  .policy = VALUE_DURABLE,
                                  .data = action->data,
                                  .data_len = action->len,
                                  .expect_version = action->version};
    op_todo(hs, op->id, action->name, &value, RECORD_TIMEOUT_MS);
}

/* ---- actions ---- */

static void persist(struct hs *hs, const struct dvar_action *action)
{
    struct disk_put *puts = hs_puts(action->puts_n + 1);

    for (size_t i = 0; i < action->puts_n; i++)
        puts[i] = (struct disk_put){.key = action->puts[i].key,
                                    .key_len = action->puts[i].key_len,
                                    .data = action->puts[i].data,
                                    .len = action->puts[i].len};
    hs_write(hs, HS_TAG_DVAR, action->token, puts, action->puts_n);
}

static void done(struct hs *hs, const struct dvar_action *action)
{
    struct hs_op *op = map64_remove(&hs->ops, action->id);

    if (op == NULL) {
        sim_violation(hs_world_of(hs), "operation %llu of node %zu ends twice, or never was",
                      (unsigned long long)action->id, sim_node_index(hs->hm.node));
        return;
    }
    if (op->ask != 0)
        hs_mutex_record(hs, op, &action->result);
    else if (op->cell == 0 && hs->hw->observer.done != NULL)
        hs->hw->observer.done(hs, action->id, &action->result);
    free(op);
}

static void opened(struct hs *hs, const struct dvar_action *action)
{
    struct hs_op *op = map64_remove(&hs->ops, action->id);

    if (op != NULL && op->cell > 0)
        hs->cells[op->cell - 1] = action->cell;
    free(op);
}

static void slot_ready(struct hs *hs, const struct dvar_action *action)
{
    struct hs_todo *todo = hs_todo_view(hs, VIEW_SLOT_READY);

    todo->view.slot = action->slot;
    todo->view.slot_epoch = action->slot_epoch;
    for (size_t i = 0; i < action->released_n && i < PLACEMENT_REPLICAS_MAX; i++) {
        struct hs *other = hs_of_member(hs_world_of(hs), &hs->placement, action->released[i]);

        todo->released[todo->view.released_n++] = action->released[i];
        /* It said so; the oracle holds it to that. */
        if (other != NULL && other->released_epoch[action->slot] < action->slot_epoch)
            other->released_epoch[action->slot] = action->slot_epoch;
    }
}

static void dvar_says(struct hs *hs, const struct dvar_action *action)
{
    struct hs_todo *todo;

    switch (action->type) {
    case DVAR_SEND:
        sim_send_frame(hs->hm.node, &action->to, action->large ? NET_RPC : NET_CONTROL, FRAME_DVAR,
                       NULL, 0, action->data, action->len);
        break;
    case DVAR_PERSIST:
        persist(hs, action);
        break;
    case DVAR_DONE:
        done(hs, action);
        break;
    case DVAR_OPENED:
        opened(hs, action);
        break;
    case DVAR_SLOT_READY:
        slot_ready(hs, action);
        break;
    case DVAR_SLOT_DURABLE:
        hs->durable_wanted |= UINT64_C(1) << action->slot;
        hs->quorum_stale = true;
        hs_todo_view(hs, VIEW_SLOT_DURABLE)->view.slot = action->slot;
        break;
    case DVAR_COMPLAIN:
        todo = hs_todo_view(hs, VIEW_COMPLAIN);
        todo->view.member_id = action->member_id;
        todo->view.age_ms = action->age_ms;
        break;
    case DVAR_CHANGED:
        if (hs->hw->observer.changed != NULL)
            hs->hw->observer.changed(hs, action->id, &action->change);
        break;
    case DVAR_LOST:
        if (hs->hw->observer.slot_lost != NULL)
            hs->hw->observer.slot_lost(hs, action->id, action->slot, action->generation);
        break;
    case DVAR_SYMBOL:
        break;
    }
}

/* What the world spends is real, and steers nothing. */
static uint64_t spent_ns(const struct hs *hs)
{
    struct timespec now;

    if (hs->disk == NULL || !hs->hw->measured)
        return 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int hs_dvar_step(struct hs *hs, struct dvar_event *event)
{
    struct dvar_output out = {0};
    uint64_t begun_ns = spent_ns(hs);
    int r;

    event->now_ms = hs_now_ms(hs);
    event->wall_ms = sim_wall_ms(hs->hm.node);
    hs->dvar_stepped = true;
    /* As the driver does: what these say leaves with the tick that ends the pump. */
    event->more = event->type == DVAR_OP || event->type == DVAR_RECV ||
                  event->type == DVAR_PERSISTED || event->type == DVAR_CANCEL;
    r = dvar_step(hs->dvar, event, &out);
    hs->dvar_spent_ns += spent_ns(hs) - begun_ns;
    hs->dvar_at_ms = dvar_deadline_ms(hs->dvar);
    if (r == KITH_E_CORRUPT)
        sim_violation(hs_world_of(hs), "node %zu: dvar_step of event %d: %s",
                      sim_node_index(hs->hm.node), (int)event->type, kith_errmsg());
    for (size_t i = 0; i < out.actions_n; i++)
        dvar_says(hs, &out.actions[i]);
    return r;
}

/* ---- now and then ---- */

static void record_seen(void *arg, const struct dvar_change *variable)
{
    struct hs *hs = arg;
    struct value value = value_view(variable->value, variable->value_len);
    struct hs_todo *todo;
    size_t prefix_len = strlen(MUTEX_RECORD_PREFIX);

    if (!variable->settled || variable->name_len < prefix_len ||
        memcmp(variable->name, MUTEX_RECORD_PREFIX, prefix_len) != 0 || value.type != VALUE_BYTES)
        return;
    todo = hs_todo_mutex(hs, MUTEX_RECORD_SEEN);
    todo->bytes = sim_realloc(NULL, variable->name_len + 1 + value.len, 1);
    memcpy(todo->bytes, variable->name, variable->name_len);
    todo->bytes[variable->name_len] = '\0';
    if (value.len > 0)
        memcpy(todo->bytes + variable->name_len + 1, value.data, value.len);
    todo->mutex.u.record.name = (const char *)todo->bytes;
    todo->mutex.u.record.version = variable->version;
    todo->mutex.u.record.data = todo->bytes + variable->name_len + 1;
    todo->mutex.u.record.len = value.len;
}

bool hs_dvar_due(struct hs *hs)
{
    uint64_t now_ms = hs_now_ms(hs);

    if (hs->dvar_at_ms <= now_ms) {
        hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_TICK});
        return true;
    }
    if (hs->mutex != NULL && hs->disk != NULL && hs->records_seen_ms + RECORDS_SEEN_MS <= now_ms) {
        hs->records_seen_ms = now_ms;
        dvar_each_home(hs->dvar, record_seen, hs);
        return true;
    }
    return false;
}

/* ---- watches ---- */

void hs_watch(struct hs *hs, uint64_t id, const char *name, bool prefix)
{
    sim_op(hs_world_of(hs));
    hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_WATCH,
                                          .id = id,
                                          .name = name,
                                          .name_len = strlen(name),
                                          .prefix = prefix});
    hs_pump(hs);
}

void hs_unwatch(struct hs *hs, uint64_t id)
{
    sim_op(hs_world_of(hs));
    hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_UNWATCH, .id = id});
    hs_pump(hs);
}

/* ---- reading by cells ---- */

static const struct sim_node *reading;

static uint64_t reading_clock(void)
{
    return sim_now_ns(reading);
}

bool hs_cell_read(struct hs *hs, size_t at, struct value *value_out, uint64_t *version_out)
{
    static uint8_t bytes[VALUE_BYTES_MAX];
    size_t len;

    if (hs->cells[at] == NULL)
        return false;
    reading = hs->hm.node;
    len = cell_read(hs->cells[at], bytes, sizeof(bytes), version_out, reading_clock);
    if (len == SIZE_MAX || len > sizeof(bytes))
        return false;
    if (value_decode(bytes, len, value_out) < 0)
        sim_violation(hs_world_of(hs), "a cell of node %zu has a value that does not decode",
                      sim_node_index(hs->hm.node));
    return true;
}

/* ---- life ---- */

static void recall(struct hs *hs)
{
    for (size_t i = 0; i < hs->disk->now.n; i++) {
        const struct disk_entry *entry = &hs->disk->now.entries[i];

        if (entry->key[0] == HS_TAG_DVAR && !hs_avail_key(entry->key, entry->key_len))
            hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_RECALL,
                                                  .key = entry->key,
                                                  .key_len = entry->key_len,
                                                  .data = disk_value(entry),
                                                  .len = entry->len});
    }
}

void hs_dvar_boot(struct hs *hs)
{
    struct dvar_config config = hs->hw->dvar;

    config.self = hs->self;
    config.seed = sim_node_seed(hs->hm.node);
    if (dvar_new(&hs->dvar, &config) < 0)
        abort();
    if (hs->disk != NULL)
        recall(hs);
    hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_START});
    hs->records_seen_ms = hs_now_ms(hs);
    if (hs->disk != NULL && hs->hw->disk_full[sim_node_index(hs->hm.node)])
        hs_todo_dvar(hs, DVAR_DISK_FULL)->dvar.full = true;
    for (size_t i = 0; i < hs->hw->cells_n; i++) {
        struct hs_todo *todo = hs_todo_dvar(hs, DVAR_OPEN);
        struct hs_op *op = op_add(hs, hs_next_id(hs->hw));

        op->cell = i + 1;
        todo->dvar.id = op->id;
        todo->dvar.name = hs->hw->cell_names[i];
        todo->dvar.name_len = strlen(hs->hw->cell_names[i]);
    }
}

void hs_dvar_end(struct hs *hs)
{
    struct hs_op *op;
    size_t at = 0;

    while ((op = map64_next(&hs->ops, &at)) != NULL)
        free(op);
    map64_deinit(&hs->ops);
    dvar_free(hs->dvar);
}
