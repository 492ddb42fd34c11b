/*
 * Stands in for src/dvar where only views are looked at: the home of a chosen configuration says
 * after a while that the slot is ready, and who of the former replicas has released it. There is
 * nothing to fill it with.
 */
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "queue.h"

#define FILL_MS_MAX     200
#define AGAIN_MS        500
#define ANSWER_MS_MAX   20
#define ASK_MS_MAX      2000 /* then its outcome is unknown */
#define RECORDS_SEEN_MS 5000

static bool is_home(const struct hs *hs, const struct placement_slot *slot)
{
    const struct placement_keeper *self = hs_keeper(hs, &hs->placement);

    return slot->chosen.slot_epoch != 0 && self != NULL &&
           slot->chosen.replicas[0] == self->member_id;
}

void hs_stand_in_placement(struct hs *hs, const struct placement *placement)
{
    (void)placement;
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (!is_home(hs, &hs->placement.slots[i]))
            hs->stand_in_ms[i] = 0;
        else if (hs->stand_in_ms[i] == 0)
            hs->stand_in_ms[i] =
                hs_now_ms(hs) + 1 + rng_below(sim_rng(hs_world_of(hs)), FILL_MS_MAX);
    }
}

/* Does @other, which can be asked, know that it is to give the slot up? Then it does. */
static bool releases(const struct hs *hs, struct hs *other, size_t slot, uint64_t slot_epoch)
{
    struct sim_world *world = hs_world_of(hs);
    size_t a = sim_node_index(hs->hm.node);
    size_t b = sim_node_index(other->hm.node);

    if (!sim_node_running(other->hm.node) || sim_is_cut(world, a, b) || sim_is_cut(world, b, a) ||
        other->placement.slots[slot].chosen.slot_epoch != slot_epoch)
        return false;
    other->released_epoch[slot] = slot_epoch;
    return true;
}

/* All that are to hold the slot know of it: they were asked for what they have. */
static bool all_know(const struct hs *hs, size_t slot)
{
    const struct placement_config *chosen = &hs->placement.slots[slot].chosen;
    struct sim_world *world = hs_world_of(hs);
    size_t a = sim_node_index(hs->hm.node);

    for (size_t i = 0; i < chosen->replicas_n; i++) {
        struct hs *other = hs_of_member(world, &hs->placement, chosen->replicas[i]);
        size_t b = other != NULL ? sim_node_index(other->hm.node) : 0;

        if (other == NULL || !sim_node_running(other->hm.node) || sim_is_cut(world, a, b) ||
            sim_is_cut(world, b, a) ||
            other->placement.slots[slot].chosen.slot_epoch != chosen->slot_epoch)
            return false;
    }
    return true;
}

static void say_ready(struct hs *hs, size_t at)
{
    const struct placement_slot *slot = &hs->placement.slots[at];
    struct hs_todo *todo = hs_todo_view(hs, VIEW_SLOT_READY);

    todo->view.slot = (uint32_t)at;
    todo->view.slot_epoch = slot->chosen.slot_epoch;
    for (size_t i = 0; i < slot->active.replicas_n; i++) {
        uint32_t member_id = slot->active.replicas[i];
        struct hs *other = hs_of_member(hs_world_of(hs), &hs->placement, member_id);

        if (!placement_config_has(&slot->chosen, member_id) && other != NULL &&
            releases(hs, other, at, slot->chosen.slot_epoch))
            todo->released[todo->view.released_n++] = member_id;
    }
}

/* ---- records of mutexes ---- */

struct record {
    struct record *next;
    char name[KITH_NAME_BYTES_MAX + 1];
    uint64_t version;
    uint8_t *data; /* NULL: deleted */
    size_t len;
};
struct hs_records {
    struct record *first;
    uint64_t version;
};

/* A question on its way to the home, then an answer on its way back. */
struct hs_asked {
    struct hs_asked *next;
    uint64_t due_ms; /* own clock */
    uint64_t until_ms;
    uint64_t ask;
    bool cas, answered;
    char name[KITH_NAME_BYTES_MAX + 1];
    uint64_t expect;
    uint8_t *data;
    size_t len;
    int code;
    uint64_t version;
};

static struct hs_records *records_of(struct hs_world *hw)
{
    if (hw->records == NULL) {
        hw->records = sim_realloc(NULL, 1, sizeof(*hw->records));
        memset(hw->records, 0, sizeof(*hw->records));
    }
    return hw->records;
}

static struct record *record_of(struct hs_records *records, const char *name)
{
    struct record *record = records->first;

    while (record != NULL && strcmp(record->name, name) != 0)
        record = record->next;
    if (record != NULL)
        return record;
    record = sim_realloc(NULL, 1, sizeof(*record));
    memset(record, 0, sizeof(*record));
    snprintf(record->name, sizeof(record->name), "%s", name);
    record->next = records->first;
    records->first = record;
    return record;
}

static void set_data(uint8_t **data, size_t *len, const uint8_t *from, size_t from_len)
{
    free(*data);
    *data = NULL;
    *len = from_len;
    if (from_len == 0)
        return;
    *data = sim_realloc(NULL, from_len, 1);
    memcpy(*data, from, from_len);
}

void hs_stand_in_record(struct hs *hs, const struct mutex_action *action)
{
    struct hs_asked *asked = sim_realloc(NULL, 1, sizeof(*asked));
    struct rng *rng = sim_rng(hs_world_of(hs));

    memset(asked, 0, sizeof(*asked));
    asked->due_ms = hs_now_ms(hs) + rng_below(rng, ANSWER_MS_MAX);
    asked->until_ms = hs_now_ms(hs) + ASK_MS_MAX;
    asked->ask = action->ask;
    asked->cas = action->type == MUTEX_RECORD_CAS;
    asked->expect = action->version;
    snprintf(asked->name, sizeof(asked->name), "%s", action->name);
    if (asked->cas)
        set_data(&asked->data, &asked->len, action->data, action->len);
    asked->next = hs->asked;
    hs->asked = asked;
}

/* The node that serves the slot of @name now, as it knows itself; NULL: none. */
static struct hs *server_of(const struct hs *hs, const char *name)
{
    uint32_t slot = placement_slot_of(name, strlen(name));
    const struct placement_keeper *home = placement_home(&hs->placement, slot);
    struct hs *server =
        home != NULL ? hs_of_member(hs_world_of(hs), &hs->placement, home->member_id) : NULL;

    if (server == NULL || !sim_node_running(server->hm.node) ||
        server->lease_until_ms <= hs_now_ms(server) ||
        server->placement.slots[slot].active.slot_epoch !=
            hs->placement.slots[slot].active.slot_epoch ||
        server->released_epoch[slot] > hs->placement.slots[slot].active.slot_epoch)
        return NULL;
    size_t a = sim_node_index(hs->hm.node);
    size_t b = sim_node_index(server->hm.node);
    return sim_is_cut(hs_world_of(hs), a, b) || sim_is_cut(hs_world_of(hs), b, a) ? NULL : server;
}

static void serve(struct hs *hs, struct hs_asked *asked)
{
    struct hs_records *records = records_of(hs->hw);
    struct record *record = record_of(records, asked->name);

    asked->answered = true;
    if (asked->cas && asked->expect != (record->data != NULL ? record->version : 0)) {
        asked->code = KITH_E_AGAIN;
    } else if (asked->cas) {
        set_data(&record->data, &record->len, asked->data, asked->len);
        record->version = ++records->version;
        asked->version = record->data != NULL ? record->version : 0;
    } else if (record->data == NULL) {
        asked->code = KITH_E_NOT_FOUND;
    } else {
        set_data(&asked->data, &asked->len, record->data, record->len);
        asked->version = record->version;
    }
    asked->due_ms = hs_now_ms(hs) + rng_below(sim_rng(hs_world_of(hs)), ANSWER_MS_MAX);
}

static void answer(struct hs *hs, const struct hs_asked *asked)
{
    struct hs_todo *todo = hs_todo_mutex(hs, MUTEX_RECORD);

    todo->mutex.u.record.ask = asked->ask;
    todo->mutex.u.record.code = asked->code;
    todo->mutex.u.record.version = asked->version;
    if (asked->code != 0 || asked->cas)
        return;
    set_data(&todo->bytes, &todo->mutex.u.record.len, asked->data, asked->len);
    todo->mutex.u.record.data = todo->bytes;
}

/* Asked once more until somebody serves it; what took effect may be answered as unknown. */
static bool progress(struct hs *hs, struct hs_asked *asked)
{
    struct rng *rng = sim_rng(hs_world_of(hs));

    if (!asked->answered) {
        if (server_of(hs, asked->name) != NULL)
            serve(hs, asked);
        else if (hs_now_ms(hs) < asked->until_ms)
            asked->due_ms = hs_now_ms(hs) + 1 + rng_below(rng, 5 * ANSWER_MS_MAX);
        else {
            asked->answered = true;
            asked->code = rng_below(rng, 2) == 0 ? KITH_E_NO_QUORUM : KITH_E_TIMEOUT;
        }
        return false;
    }
    if (asked->cas && asked->code == 0 && rng_below(rng, 20) == 0)
        asked->code = KITH_E_UNKNOWN_OUTCOME;
    answer(hs, asked);
    return true;
}

static bool asked_due(struct hs *hs)
{
    uint64_t now_ms = hs_now_ms(hs);

    for (struct hs_asked **at = &hs->asked; *at != NULL; at = &(*at)->next) {
        struct hs_asked *asked = *at;

        if (asked->due_ms > now_ms)
            continue;
        if (progress(hs, asked)) {
            *at = asked->next;
            free(asked->data);
            free(asked);
        }
        return true;
    }
    if (hs->mutex == NULL || hs->disk == NULL || hs->records_seen_ms + RECORDS_SEEN_MS > now_ms)
        return false;
    hs->records_seen_ms = now_ms;
    for (struct record *r = records_of(hs->hw)->first; r != NULL; r = r->next) {
        if (r->data == NULL || server_of(hs, r->name) != hs)
            continue;
        struct hs_todo *todo = hs_todo_mutex(hs, MUTEX_RECORD_SEEN);
        set_data(&todo->bytes, &todo->mutex.u.record.len, r->data, r->len);
        todo->mutex.u.record.data = todo->bytes;
        todo->mutex.u.record.name = r->name;
        todo->mutex.u.record.version = r->version;
    }
    return true;
}

void hs_stand_in_end(struct hs *hs)
{
    while (hs->asked != NULL) {
        struct hs_asked *asked = hs->asked;

        hs->asked = asked->next;
        free(asked->data);
        free(asked);
    }
}

void hs_stand_in_deinit(struct hs_world *hw)
{
    while (hw->records != NULL && hw->records->first != NULL) {
        struct record *record = hw->records->first;

        hw->records->first = record->next;
        free(record->data);
        free(record);
    }
    free(hw->records);
    hw->records = NULL;
}

/* ---- time ---- */

bool hs_stand_in_due(struct hs *hs)
{
    uint64_t now_ms = hs_now_ms(hs);
    bool any = false;

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (hs->stand_in_ms[i] == 0 || hs->stand_in_ms[i] > now_ms)
            continue;
        hs->stand_in_ms[i] = now_ms + AGAIN_MS;
        if (is_home(hs, &hs->placement.slots[i]) && all_know(hs, i))
            say_ready(hs, i);
        any = true;
    }
    return asked_due(hs) || any;
}

uint64_t hs_stand_in_deadline_ms(const struct hs *hs)
{
    uint64_t at = UINT64_MAX;

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (hs->stand_in_ms[i] != 0 && hs->stand_in_ms[i] < at)
            at = hs->stand_in_ms[i];
    }
    for (const struct hs_asked *asked = hs->asked; asked != NULL; asked = asked->next)
        at = asked->due_ms < at ? asked->due_ms : at;
    return at;
}
