#include "host_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "pump.h"

struct hs_todo *hs_todo_add(struct hs *hs, enum hs_todo_type type)
{
    struct hs_todo *todo = pump_add(&hs->todo, sizeof(*todo));

    todo->type = type;
    return todo;
}

struct hs_todo *hs_todo_view(struct hs *hs, enum view_event_type type)
{
    struct hs_todo *todo = hs_todo_add(hs, HS_VIEW);

    todo->view.type = type;
    return todo;
}

/* ---- membership speaks ---- */

static void
tell_peer(struct hs *hs, size_t index, uint64_t boot_no, const char *name, bool up, bool left)
{
    struct hs_todo *todo = hs_todo_view(hs, up ? VIEW_PEER_UP : VIEW_PEER_DOWN);

    todo->view.from.node = sim_node_id(sim_node_at(hs_world_of(hs), index));
    todo->view.from.boot_no = boot_no;
    todo->view.eligible = index < hs->hw->keepers_n;
    todo->view.left = left;
    snprintf(todo->name, sizeof(todo->name), "%s", name);
    struct boot_id boot = todo->view.from;
    if (hs->dvar != NULL) {
        struct hs_todo *dvar = hs_todo_dvar(hs, up ? DVAR_PEER_UP : DVAR_PEER_DOWN);

        dvar->dvar.from = boot;
        dvar->dvar.left = left;
    }
    if (hs->mutex != NULL) {
        struct hs_todo *mutex = hs_todo_mutex(hs, up ? MUTEX_PEER_UP : MUTEX_PEER_DOWN);

        mutex->mutex.u.peer.boot = boot;
        mutex->mutex.u.peer.left = left;
    }
}

void hs_on_member_action(struct hm *hm, const struct member_action *action)
{
    struct hs *hs = (struct hs *)(void *)hm;
    const struct member *member = action->member;
    struct kith_node_id self = sim_node_id(hm->node);
    struct sim_node *node;

    if (action->type != MEMBER_CHANGED || kith_node_id_equal(&member->id, &self) ||
        action->change == MEMBER_SUSPECT || action->change == MEMBER_REFUTED)
        return;
    node = sim_node_by_id(hs_world_of(hs), &member->id);
    tell_peer(hs, sim_node_index(node), member->boot_no, member->shown_name,
              action->change == MEMBER_JOINED, action->change == MEMBER_LEFT);
}

/* Without membership: @index is up or not, as all who need it are told at once. */
void hs_tell_all(struct sim_world *world, size_t index, uint64_t boot_no, bool up)
{
    struct hs_world *hw = sim_user(world);
    char name[32];

    snprintf(name, sizeof(name), "node-%zu", index);
    for (size_t i = 0; i < sim_nodes_n(world); i++) {
        struct hs *other = i != index ? hs_at(world, i) : NULL;

        /* Edges need to know keepers only. */
        if (other == NULL || (i >= hw->keepers_n && index >= hw->keepers_n))
            continue;
        tell_peer(other, index, boot_no, name, up, false);
        sim_wake_ns(other->hm.node, sim_world_ns(world));
    }
}

void hs_learn_all(struct hs *hs)
{
    struct sim_world *world = hs_world_of(hs);
    size_t self = sim_node_index(hs->hm.node);
    char name[32];

    for (size_t i = 0; i < sim_nodes_n(world); i++) {
        struct sim_node *node = sim_node_at(world, i);

        if (i == self || !sim_node_up(node) ||
            (self >= hs->hw->keepers_n && i >= hs->hw->keepers_n))
            continue;
        snprintf(name, sizeof(name), "node-%zu", i);
        tell_peer(hs, i, sim_node_boot_no(node), name, true, false);
    }
}

/* ---- the view speaks ---- */

/* Frames above 60 KiB travel on the class rpc, so that they hold up no lease. */
void hs_send(
    struct hs *hs, const struct kith_node_id *to, uint8_t type, const uint8_t *data, size_t len)
{
    sim_send_frame(hs->hm.node, to, len > HS_CONTROL_BYTES_MAX ? NET_RPC : NET_CONTROL, type, NULL,
                   0, data, len);
}

struct disk_put *hs_puts(size_t n)
{
    static struct disk_put *puts; /* one thread, kept from one batch to the next */
    static size_t cap;

    if (n > cap) {
        cap = 2 * n;
        puts = sim_realloc(puts, cap, sizeof(*puts));
    }
    memset(puts, 0, n * sizeof(*puts));
    return puts;
}

void hs_write(
    struct hs *hs, uint8_t tag, uint64_t token, const struct disk_put *puts, size_t puts_n)
{
    if (hs->disk == NULL) {
        sim_violation(hs_world_of(hs), "edge %zu writes to a disk it does not have",
                      sim_node_index(hs->hm.node));
        return;
    }
    for (size_t i = 0; i < puts_n; i++) {
        if (puts[i].key_len == 0 || puts[i].key[0] != (tag == HS_TAG_AVAIL ? HS_TAG_DVAR : tag))
            sim_violation(hs_world_of(hs), "node %zu writes a key that is not of '%c'",
                          sim_node_index(hs->hm.node), tag);
    }
    disk_write(hs->disk, tag, token, puts, puts_n);
}

static void persist(struct hs *hs, const struct view_action *action)
{
    struct disk_put *puts = hs_puts(action->puts_n + 1);

    for (size_t i = 0; i < action->puts_n; i++)
        puts[i] = (struct disk_put){.key = action->puts[i].key,
                                    .key_len = action->puts[i].key_len,
                                    .data = action->puts[i].data,
                                    .len = action->puts[i].len};
    hs_write(hs, HS_TAG_VIEW, action->token, puts, action->puts_n);
}

static void view_says(struct hs *hs, const struct view_action *action)
{
    struct hs_todo *todo;

    switch (action->type) {
    case VIEW_SEND:
        hs_send(hs, &action->to, FRAME_VIEW, action->data, action->len);
        break;
    case VIEW_PERSIST:
        persist(hs, action);
        break;
    case VIEW_CHANGED:
        hs->placement = *action->placement;
        todo = hs_todo_add(hs, HS_PLACEMENT);
        todo->placement = sim_realloc(NULL, 1, sizeof(*todo->placement));
        *todo->placement = *action->placement;
        if (hs->hw->observer.placement != NULL)
            hs->hw->observer.placement(hs, action->placement);
        break;
    case VIEW_LEASE:
        hs->lease_until_ms = action->until_ms;
        hs_todo_add(hs, HS_LEASE)->until_ms = action->until_ms;
        if (hs->hw->observer.lease != NULL)
            hs->hw->observer.lease(hs, action->until_ms);
        break;
    case VIEW_LEADING:
        hs->leads = action->leading;
        sim_note(hs_world_of(hs), "node %zu %s", sim_node_index(hs->hm.node),
                 action->leading ? "leads" : "leads no more");
        break;
    case VIEW_REFUSED:
        sim_note(hs_world_of(hs), "node %zu refuses: %s", sim_node_index(hs->hm.node),
                 action->text);
        break;
    case VIEW_LEFT:
        hs_view_left(hs);
        break;
    }
}

int hs_view_step(struct hs *hs, struct view_event *event)
{
    struct view_output out = {0};
    int r;

    event->now_ms = hs_now_ms(hs);
    r = view_step(hs->view, event, &out);
    hs->view_at_ms = view_deadline_ms(hs->view);
    hs->leader_until_ms = view_leader_until_ms(hs->view);
    if (r == KITH_E_CORRUPT)
        sim_violation(hs_world_of(hs), "node %zu: view_step of event %d: %s",
                      sim_node_index(hs->hm.node), (int)event->type, kith_errmsg());
    for (size_t i = 0; i < out.actions_n; i++)
        view_says(hs, &out.actions[i]);
    hs->quorum_stale = true;
    hs->view_stepped = true;
    return r;
}

/* What the view's doings mean for the others. True if there was something. */
static bool view_due(struct hs *hs)
{
    if (!hs->quorum_stale || (hs->dvar == NULL && hs->mutex == NULL))
        return false;
    hs->quorum_stale = false;
    bool have = hs->leader_until_ms > hs_now_ms(hs) || view_has_quorum(hs->view, hs_now_ms(hs));
    if (have != hs->quorum && hs->disk != NULL) {
        hs->quorum = have;
        hs_todo_add(hs, HS_QUORUM)->have = have;
    }
    for (uint32_t slot = 0; hs->durable_wanted != 0 && slot < PLACEMENT_SLOTS; slot++) {
        if ((hs->durable_wanted >> slot & 1) == 0 || !view_slot_durable(hs->view, slot))
            continue;
        hs->durable_wanted &= ~(UINT64_C(1) << slot);
        hs_todo_dvar(hs, DVAR_SLOT_DECIDED)->dvar.slot = slot;
    }
    return true;
}

/* ---- the pump ---- */

static void do_todo(struct hs *hs, struct hs_todo *todo)
{
    switch (todo->type) {
    case HS_VIEW:
        todo->view.name = todo->name[0] != '\0' ? todo->name : NULL;
        if (todo->view.released_n > 0)
            todo->view.released = todo->released;
        hs_view_step(hs, &todo->view);
        break;
    case HS_PLACEMENT:
        if (hs->hw->variables_off)
            hs_stand_in_placement(hs, todo->placement);
        /* Mutexes first: see what mutex.h says of a fresh home. */
        if (hs->mutex != NULL)
            hs_mutex_step(
                hs, &(struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = todo->placement});
        if (hs->dvar != NULL)
            hs_dvar_step(
                hs, &(struct dvar_event){.type = DVAR_PLACEMENT, .placement = todo->placement});
        free(todo->placement);
        break;
    case HS_LEASE:
        if (hs->mutex != NULL)
            hs_mutex_step(
                hs, &(struct mutex_event){.type = MUTEX_LEASE, .u.lease_until_ms = todo->until_ms});
        if (hs->dvar != NULL)
            hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_LEASE, .until_ms = todo->until_ms});
        break;
    case HS_QUORUM:
        if (hs->mutex != NULL)
            hs_mutex_step(hs, &(struct mutex_event){.type = MUTEX_QUORUM, .u.quorum = todo->have});
        if (hs->dvar != NULL)
            hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_QUORUM, .have = todo->have});
        break;
    case HS_DVAR:
        if (todo->dvar.type == DVAR_OP)
            todo->dvar.op = &todo->op;
        hs_dvar_step(hs, &todo->dvar);
        free(todo->bytes);
        break;
    case HS_MUTEX:
        hs_mutex_step(hs, &todo->mutex);
        free(todo->bytes);
        break;
    }
}

static bool pump_one(void *host)
{
    struct hs *hs = host;
    struct hs_todo todo;
    uint64_t token;
    uint8_t tag;

    if (pump_take(&hs->todo, sizeof(todo), &todo)) {
        do_todo(hs, &todo);
        return true;
    }
    if (hs->disk != NULL && disk_next_done(hs->disk, &tag, &token)) {
        if (tag == HS_TAG_VIEW)
            hs_todo_view(hs, VIEW_PERSISTED)->view.token = token;
        else if (tag == HS_TAG_DVAR)
            hs_todo_dvar(hs, DVAR_PERSISTED)->dvar.token = token;
        return true;
    }
    uint64_t now_ms = hs_now_ms(hs);
    if (hs->view_at_ms <= now_ms) {
        hs_view_step(hs, &(struct view_event){.type = VIEW_TICK});
        return true;
    }
    if (view_due(hs) || (hs->dvar != NULL && hs_dvar_due(hs)))
        return true;
    if (hs->avail != NULL && hs->avail_at_ms <= now_ms) {
        hs_avail_step(hs, &(struct avail_event){.type = AVAIL_TICK});
        return true;
    }
    if (hs->mutex != NULL && hs->mutex_at_ms <= now_ms) {
        hs_mutex_step(hs, &(struct mutex_event){.type = MUTEX_TICK});
        return true;
    }
    return hs->hw->variables_off && hs_stand_in_due(hs);
}

static uint64_t deadline_ms(const struct hs *hs)
{
    uint64_t at = hs->view_at_ms;
    uint64_t other[5] = {
        hs->hw->member_off ? UINT64_MAX : member_deadline_ms(hs->hm.core),
        hs->hw->variables_off ? hs_stand_in_deadline_ms(hs) : UINT64_MAX,
        hs->dvar != NULL ? hs->dvar_at_ms : UINT64_MAX,
        hs->avail != NULL ? hs->avail_at_ms : UINT64_MAX,
        hs->mutex != NULL ? hs->mutex_at_ms : UINT64_MAX,
    };

    for (size_t i = 0; i < 5; i++)
        at = other[i] < at ? other[i] : at;
    return at;
}

void hs_pump(struct hs *hs)
{
    pump_run(hs->hm.node, pump_one, hs);
    if (hs->hw->observer.stepped != NULL)
        hs->hw->observer.stepped(hs);
    sim_set_timer(hs->hm.node, deadline_ms(hs));
}

/* ---- what scenarios ask ---- */

struct hs *hs_at(struct sim_world *world, size_t index)
{
    return sim_node_state(sim_node_at(world, index));
}

uint64_t hs_now_ms(const struct hs *hs)
{
    return sim_now_ns(hs->hm.node) / 1000000;
}

const struct placement_keeper *hs_keeper(const struct hs *hs, const struct placement *placement)
{
    return placement_keeper_of(placement, &hs->self);
}

struct hs *
hs_of_member(struct sim_world *world, const struct placement *placement, uint32_t member_id)
{
    const struct placement_keeper *keeper = placement_keeper_find(placement, member_id);
    struct sim_node *node = keeper != NULL ? sim_node_by_id(world, &keeper->boot.node) : NULL;
    struct hs *hs = node != NULL ? sim_node_state(node) : NULL;

    return hs != NULL && hs->self.boot_no == keeper->boot.boot_no ? hs : NULL;
}

void hs_disk_full(struct sim_world *world, size_t index, bool full)
{
    struct hs_world *hw = sim_user(world);
    struct hs *hs = hs_at(world, index);

    if (hw->disk_full[index] == full)
        return;
    sim_note(world, "disk of %zu is %s", index, full ? "full" : "not full any more");
    hw->disk_full[index] = full;
    if (hs == NULL)
        return;
    hs_todo_view(hs, VIEW_DISK_FULL)->view.full = full;
    if (hs->dvar != NULL)
        hs_todo_dvar(hs, DVAR_DISK_FULL)->dvar.full = full;
    sim_wake_ns(hs->hm.node, sim_world_ns(world));
}

void hs_check_all(struct hs *hs)
{
    if (!hs->hw->member_off)
        member_check(hs->hm.core);
    view_check(hs->view);
    if (hs->dvar != NULL)
        dvar_check(hs->dvar);
    if (hs->avail != NULL)
        avail_check(hs->avail);
    if (hs->mutex != NULL)
        mutex_check(hs->mutex);
}

void hs_check(struct hs *hs)
{
    if (hs->hw->check_all)
        hs_check_all(hs);
    if (hs->hm.stepped && !hs->hw->member_off)
        member_check(hs->hm.core);
    if (hs->view_stepped)
        view_check_step(hs->view);
    if (hs->dvar_stepped)
        dvar_check(hs->dvar);
    if (hs->mutex_stepped)
        mutex_check(hs->mutex);
    hs->hm.stepped = false;
    hs->view_stepped = false;
    hs->dvar_stepped = false;
    hs->mutex_stepped = false;
}
