/*
 * The life of a simulated node of shared state: it boots with what its disk has, hears, and is
 * gone.
 */
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "net/frame.h"
#include "queue.h"

#define VIEW_LEAVE_MS 1500 /* as src/node/node_stop.c has them */
#define LEAVE_MS      2000

/* Which run of which node something is about that happens later. */
struct hs_boot {
    size_t index;
    uint64_t boot_no;
};

/* ---- the world ---- */

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
    hs->hm.on_action = hs_on_member_action;
    hs->quorum = true; /* as the cores take it until they are told */
    hs->hm.node = node;
    if (!hw->member_off && hm_init(&hs->hm, world, node, boot_no) < 0)
        abort();
    make_view(hs);
    if (!hw->variables_off) {
        hs_dvar_boot(hs);
        hs_avail_boot(hs);
    }
    if (!hw->mutexes_off)
        hs_mutex_boot(hs);
    begin_view(hs);
    if (hw->member_off) {
        hs_learn_all(hs);
        hs_tell_all(world, index, boot_no, true);
    } else {
        hm_begin(&hs->hm);
    }
    hs_pump(hs);
    return hs;
}

/* ---- stopped in order ---- */

static void end_process(struct sim_world *world, void *arg)
{
    struct hs_boot *boot = arg;
    struct hs *hs = hs_at(world, boot->index);

    if (hs != NULL && hs->self.boot_no == boot->boot_no)
        sim_crash(world, boot->index);
    free(boot);
}

static void tell_members(struct sim_world *world, void *arg)
{
    struct hs_boot *boot = arg;
    struct hs *hs = hs_at(world, boot->index);

    /* A node that is paused goes on later, and is killed in the end. */
    if (hs != NULL && hs->self.boot_no == boot->boot_no && !hs->hm.leaves) {
        if (sim_node_running(hs->hm.node)) {
            if (hs->dvar != NULL)
                hs_dvar_step(hs, &(struct dvar_event){.type = DVAR_STOP});
            hs_view_step(hs, &(struct view_event){.type = VIEW_STOP});
            if (!hs->hw->member_off)
                hm_leave(world, boot->index);
            hs_pump(hs);
        }
        sim_at(world, sim_world_ms(world) + LEAVE_MS - VIEW_LEAVE_MS, end_process, boot);
        return;
    }
    free(boot);
}

static struct hs_boot *boot_of(const struct hs *hs)
{
    struct hs_boot *boot = sim_realloc(NULL, 1, sizeof(*boot));

    *boot = (struct hs_boot){.index = sim_node_index(hs->hm.node), .boot_no = hs->self.boot_no};
    return boot;
}

void hs_view_left(struct hs *hs)
{
    if (hs->leaves) /* outside of this step */
        sim_at_ns(hs_world_of(hs), sim_world_ns(hs_world_of(hs)), tell_members, boot_of(hs));
}

void hs_leave(struct sim_world *world, size_t index)
{
    struct hs *hs = hs_at(world, index);

    if (hs == NULL || hs->leaves || !sim_node_running(hs->hm.node))
        return;
    sim_note(world, "node %zu leaves", index);
    hs->leaves = true;
    if (hs->mutex != NULL)
        hs_mutex_step(hs, &(struct mutex_event){.type = MUTEX_STOP});
    hs_view_step(hs, &(struct view_event){.type = VIEW_LEAVE});
    hs_pump(hs);
    sim_at(world, sim_world_ms(world) + VIEW_LEAVE_MS, tell_members, boot_of(hs));
}

static void host_crash(void *state)
{
    struct hs *hs = state;
    struct sim_world *world = hs_world_of(hs);
    size_t index = sim_node_index(hs->hm.node);

    hs_check_all(hs);
    if (hs->disk != NULL)
        disk_crash(hs->disk);
    if (hs->hw->observer.gone != NULL)
        hs->hw->observer.gone(hs);
    for (struct hs_todo todo; pump_take(&hs->todo, sizeof(todo), &todo);) {
        free(todo.placement);
        free(todo.bytes);
    }
    free(hs->todo.items);
    hs_stand_in_end(hs);
    if (hs->mutex != NULL)
        hs_mutex_end(hs);
    if (hs->dvar != NULL)
        hs_dvar_end(hs);
    avail_free(hs->avail);
    view_free(hs->view);
    if (!hs->hw->member_off)
        hm_deinit(&hs->hm);
    else
        hs_tell_all(world, index, hs->self.boot_no, false);
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
    else if (type == FRAME_DVAR_AVAILABLE && hs->avail != NULL)
        hs_avail_step(hs, &(struct avail_event){.type = AVAIL_RECV,
                                                .peer = *from,
                                                .data = {.data = data, .len = len}});
    else if (type == FRAME_DVAR && hs->dvar != NULL)
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
        if (hs->avail != NULL)
            hs_avail_step(hs, &(struct avail_event){.type = AVAIL_LINK_UP, .peer = *peer});
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
        if (hs->avail != NULL)
            hs_avail_step(hs, &(struct avail_event){.type = AVAIL_LINK_DOWN, .peer = *peer});
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
