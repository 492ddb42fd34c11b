#include "host_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

#define PUMP_ROUNDS_MAX 100000

struct hs_todo *hs_todo_add(struct hs *hs, enum hs_todo_type type)
{
    if (hs->todo_at == hs->todo_n) {
        hs->todo_at = 0;
        hs->todo_n = 0;
    }
    if (hs->todo_n == hs->todo_cap) {
        hs->todo_cap = hs->todo_cap > 0 ? 2 * hs->todo_cap : 16;
        hs->todo = sim_realloc(hs->todo, hs->todo_cap, sizeof(*hs->todo));
    }
    struct hs_todo *todo = &hs->todo[hs->todo_n++];
    memset(todo, 0, sizeof(*todo));
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

static void on_member_action(struct hm *hm, const struct member_action *action)
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
static void tell_all(struct sim_world *world, size_t index, uint64_t boot_no, bool up)
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

static void learn_all(struct hs *hs)
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
        if (puts[i].key_len == 0 || puts[i].key[0] != tag)
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
        break;
    }
}

int hs_view_step(struct hs *hs, struct view_event *event)
{
    struct view_output out = {0};
    int r;

    event->now_ms = hs_now_ms(hs);
    r = view_step(hs->view, event, &out);
    if (r == KITH_E_CORRUPT)
        sim_violation(hs_world_of(hs), "node %zu: view_step of event %d: %s",
                      sim_node_index(hs->hm.node), (int)event->type, kith_errmsg());
    for (size_t i = 0; i < out.actions_n; i++)
        view_says(hs, &out.actions[i]);
    hs->quorum_stale = true;
    return r;
}

/* What the view's doings mean for the others. True if there was something. */
static bool view_due(struct hs *hs)
{
    struct view_quorum quorum;

    if (!hs->quorum_stale || (hs->dvar == NULL && hs->mutex == NULL))
        return false;
    hs->quorum_stale = false;
    view_quorum(hs->view, hs_now_ms(hs), &quorum);
    if (quorum.have != hs->quorum && hs->disk != NULL) {
        hs->quorum = quorum.have;
        hs_todo_add(hs, HS_QUORUM)->have = quorum.have;
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

static bool pump_one(struct hs *hs)
{
    uint64_t token;
    uint8_t tag;

    if (hs->todo_at < hs->todo_n) {
        struct hs_todo todo = hs->todo[hs->todo_at++];

        do_todo(hs, &todo);
        return true;
    }
    if (hs->disk != NULL && disk_next_done(hs->disk, &tag, &token)) {
        if (tag == HS_TAG_VIEW)
            hs_todo_view(hs, VIEW_PERSISTED)->view.token = token;
        else
            hs_todo_dvar(hs, DVAR_PERSISTED)->dvar.token = token;
        return true;
    }
    if (view_deadline_ms(hs->view) <= hs_now_ms(hs)) {
        hs_view_step(hs, &(struct view_event){.type = VIEW_TICK});
        return true;
    }
    if (view_due(hs) || (hs->dvar != NULL && hs_dvar_due(hs)))
        return true;
    if (hs->mutex != NULL && mutex_deadline_ms(hs->mutex) <= hs_now_ms(hs)) {
        hs_mutex_step(hs, &(struct mutex_event){.type = MUTEX_TICK});
        return true;
    }
    return hs->hw->variables_off && hs_stand_in_due(hs);
}

static uint64_t deadline_ms(const struct hs *hs)
{
    uint64_t at = view_deadline_ms(hs->view);
    uint64_t other[4] = {
        hs->hw->member_off ? UINT64_MAX : member_deadline_ms(hs->hm.core),
        hs->hw->variables_off ? hs_stand_in_deadline_ms(hs) : UINT64_MAX,
        hs->dvar != NULL ? dvar_deadline_ms(hs->dvar) : UINT64_MAX,
        hs->mutex != NULL ? mutex_deadline_ms(hs->mutex) : UINT64_MAX,
    };

    for (size_t i = 0; i < 4; i++)
        at = other[i] < at ? other[i] : at;
    return at;
}

void hs_pump(struct hs *hs)
{
    for (unsigned round = 0; pump_one(hs); round++) {
        if (round == PUMP_ROUNDS_MAX) {
            sim_violation(hs_world_of(hs), "node %zu spins: something is always due",
                          sim_node_index(hs->hm.node));
            break;
        }
    }
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

void hs_check(struct hs *hs)
{
    if (!hs->hw->member_off)
        member_check(hs->hm.core);
    view_check(hs->view);
    if (hs->dvar != NULL)
        dvar_check(hs->dvar);
    if (hs->mutex != NULL)
        mutex_check(hs->mutex);
}

void hs_world_init(struct hs_world *hw, struct sim_world *world)
{
    size_t n = sim_nodes_n(world);

    hm_world_init(&hw->hm, world);
    hw->disks = sim_realloc(NULL, n, sizeof(*hw->disks));
    hw->disk_suspect = sim_realloc(NULL, n, sizeof(*hw->disk_suspect));
    hw->disk_full = sim_realloc(NULL, n, sizeof(*hw->disk_full));
    memset(hw->disk_suspect, 0, n * sizeof(*hw->disk_suspect));
    memset(hw->disk_full, 0, n * sizeof(*hw->disk_full));
    for (size_t i = 0; i < n; i++)
        disk_init(&hw->disks[i], world, i);
}

void hs_world_deinit(struct hs_world *hw, struct sim_world *world)
{
    for (size_t i = 0; hw->disks != NULL && i < sim_nodes_n(world); i++)
        disk_deinit(&hw->disks[i]);
    free(hw->disks);
    hs_stand_in_deinit(hw);
    free(hw->disk_suspect);
    free(hw->disk_full);
    hm_world_deinit(&hw->hm, world);
}

/* ---- the host ---- */

/* What the disk has, each core its own. */
static bool recall(struct hs *hs)
{
    bool has_view = false;

    for (size_t i = 0; i < hs->disk->now.n; i++) {
        const struct disk_entry *entry = &hs->disk->now.entries[i];

        if (entry->key[0] != HS_TAG_VIEW)
            continue;
        hs_view_step(hs, &(struct view_event){.type = VIEW_RECALL,
                                              .key = entry->key,
                                              .key_len = entry->key_len,
                                              .data = disk_value(entry),
                                              .len = entry->len});
        has_view = true;
    }
    return has_view;
}

static void make_view(struct hs *hs)
{
    struct view_config config = hs->hw->view;

    config.self = hs->self;
    config.eligible = hs->disk != NULL;
    if (hs->disk != NULL)
        memcpy(config.disk_id, hs->disk->id, sizeof(config.disk_id));
    snprintf(config.name, sizeof(config.name), "node-%zu", sim_node_index(hs->hm.node));
    config.seed = sim_node_seed(hs->hm.node);
    if (view_new(&hs->view, &config) < 0)
        abort();
}

static void begin_view(struct hs *hs)
{
    size_t index = sim_node_index(hs->hm.node);
    bool knows = hs->disk != NULL && recall(hs);

    hs_view_step(hs, &(struct view_event){.type = VIEW_START});
    if (hs->disk == NULL)
        return;
    if (hs->hw->disk_full[index])
        hs_todo_view(hs, VIEW_DISK_FULL)->view.full = true;
    /* `init` was said once, on one node; `--expect N` stands in the settings of all. */
    if (!knows && (hs->hw->expect > 1 || (index == 0 && hs->self.boot_no == 1)))
        hs_todo_view(hs, VIEW_BOOTSTRAP)->view.expect = hs->hw->expect;
}

static void *host_boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct hs_world *hw = sim_user(world);
    struct hs *hs = sim_realloc(NULL, 1, sizeof(*hs));
    size_t index = sim_node_index(node);

    memset(hs, 0, sizeof(*hs));
    hs->hw = hw;
    hs->self = (struct boot_id){.node = sim_node_id(node), .boot_no = boot_no};
    if (index < hw->keepers_n) {
        hs->disk = &hw->disks[index];
        /* A corrupt entry ends the process, which comes back as a fresh member. */
        if (disk_is_corrupt(hs->disk))
            disk_wipe(hs->disk);
    }
    hs->hm.on_action = on_member_action;
    hs->quorum = true; /* as the cores take it until they are told */
    hs->hm.node = node;
    if (!hw->member_off && hm_init(&hs->hm, world, node, boot_no) < 0)
        abort();
    make_view(hs);
    if (!hw->variables_off)
        hs_dvar_boot(hs);
    if (!hw->mutexes_off)
        hs_mutex_boot(hs);
    begin_view(hs);
    if (hw->member_off) {
        learn_all(hs);
        tell_all(world, index, boot_no, true);
    } else {
        hm_begin(&hs->hm);
    }
    hs_pump(hs);
    return hs;
}

static void host_crash(void *state)
{
    struct hs *hs = state;
    struct sim_world *world = hs_world_of(hs);
    size_t index = sim_node_index(hs->hm.node);

    if (hs->disk != NULL)
        disk_crash(hs->disk);
    if (hs->hw->observer.gone != NULL)
        hs->hw->observer.gone(hs);
    for (size_t i = hs->todo_at; i < hs->todo_n; i++) {
        free(hs->todo[i].placement);
        free(hs->todo[i].bytes);
    }
    free(hs->todo);
    hs_stand_in_end(hs);
    if (hs->mutex != NULL)
        hs_mutex_end(hs);
    if (hs->dvar != NULL)
        hs_dvar_end(hs);
    view_free(hs->view);
    if (!hs->hw->member_off)
        hm_deinit(&hs->hm);
    else
        tell_all(world, index, hs->self.boot_no, false);
    free(hs);
}

static void host_datagram(
    void *state, const struct kith_node_id *from, uint64_t boot_no, const uint8_t *data, size_t len)
{
    hm_datagram(state, from, boot_no, data, len);
    hs_pump(state);
}

static void host_frame(void *state,
                       const struct kith_node_id *from,
                       uint64_t boot_no,
                       uint8_t net_class,
                       uint8_t type,
                       const uint8_t *data,
                       size_t len)
{
    struct hs *hs = state;

    if (net_class == NET_CONTROL && type <= FRAME_MEMBER_LAST)
        hm_frame(&hs->hm, from, boot_no, type, data, len);
    else if (type >= FRAME_VIEW && type <= FRAME_VIEW_LAST)
        hs_view_step(hs, &(struct view_event){.type = VIEW_RECV,
                                              .from = {.node = *from, .boot_no = boot_no},
                                              .data = data,
                                              .len = len});
    else if (type >= FRAME_DVAR && type <= FRAME_DVAR_LAST && hs->dvar != NULL)
        hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_RECV,
                                              .from = {.node = *from, .boot_no = boot_no},
                                              .data = data,
                                              .len = len});
    else if (type >= FRAME_MUTEX && type <= FRAME_MUTEX_LAST && hs->mutex != NULL)
        hs_mutex_step(
            hs,
            &(struct mutex_event){
                .type = MUTEX_RECV,
                .u.recv = {.from = {.node = *from, .boot_no = boot_no}, .data = data, .len = len}});
    hs_pump(hs);
}

static void
host_link_up(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class)
{
    struct hs *hs = state;
    size_t index = sim_node_index(hs->hm.node);

    if (net_class == NET_CONTROL) {
        if (!hs->hw->member_off)
            hm_link_up(&hs->hm, peer, boot_no);
        if (hs->hw->disk_suspect[index]) {
            /* The first handshake told it that its number of boots was known: an old disk. */
            hs->hw->disk_suspect[index] = false;
            hs_todo_view(hs, VIEW_BOOT)->view.boot_no = hs->self.boot_no;
        }
        hs_todo_view(hs, VIEW_LINK_UP)->view.from =
            (struct boot_id){.node = *peer, .boot_no = boot_no};
        if (hs->dvar != NULL)
            hs_todo_dvar(hs, DVAR_LINK_UP)->dvar.from =
                (struct boot_id){.node = *peer, .boot_no = boot_no};
        if (hs->mutex != NULL)
            hs_todo_mutex(hs, MUTEX_LINK_UP)->mutex.u.peer.boot =
                (struct boot_id){.node = *peer, .boot_no = boot_no};
    }
    hs_pump(hs);
}

static void host_link_down(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct hs *hs = state;

    if (net_class == NET_CONTROL) {
        if (!hs->hw->member_off)
            hm_link_down(&hs->hm, peer);
        hs_todo_view(hs, VIEW_LINK_DOWN)->view.from = (struct boot_id){.node = *peer};
    }
    hs_pump(hs);
}

static void host_dial_failed(void *state, const char *address)
{
    struct hs *hs = state;

    hm_dial_failed(&hs->hm, address);
    hs_pump(hs);
}

static void host_timer(void *state)
{
    struct hs *hs = state;

    if (!hs->hw->member_off)
        hm_tick(&hs->hm);
    hs_pump(hs);
}

static void host_wake(void *state)
{
    hs_pump(state);
}

const struct sim_host hs_host = {
    .boot = host_boot,
    .crash = host_crash,
    .datagram = host_datagram,
    .frame = host_frame,
    .link_up = host_link_up,
    .link_down = host_link_down,
    .dial_failed = host_dial_failed,
    .timer = host_timer,
    .wake = host_wake,
};
