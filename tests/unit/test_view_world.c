/*
 * The world of test_view_world.h.
 */
#include "test_view_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void broken(struct vw *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(struct vw *w, const char *format, ...)
{
    if (w->broken)
        return;
    w->broken = true;
    va_list args;
    va_start(args, format);
    int n = snprintf(w->why, sizeof(w->why), "at %" PRIu64 " ms: ", w->now_us / 1000);
    (void)vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, format, args);
    va_end(args);
}

/* ---- disks ---- */

static void
disk_put(struct vw_disk *disk, const uint8_t *key, size_t key_len, const uint8_t *data, size_t len)
{
    struct vw_entry *place = NULL;
    for (size_t i = 0; i < VW_DISK_MAX; i++) {
        struct vw_entry *entry = &disk->entries[i];
        if (entry->key_len == key_len && memcmp(entry->key, key, key_len) == 0)
            place = entry;
    }
    for (size_t i = 0; i < VW_DISK_MAX && place == NULL; i++) {
        if (disk->entries[i].key_len == 0)
            place = &disk->entries[i];
    }
    assert(place != NULL);
    free(place->data);
    *place = (struct vw_entry){0};
    if (data == NULL)
        return;
    memcpy(place->key, key, key_len);
    place->key_len = key_len;
    place->data = malloc(len > 0 ? len : 1);
    assert(place->data != NULL);
    memcpy(place->data, data, len);
    place->len = len;
}

static void disk_clear(struct vw_disk *disk)
{
    for (size_t i = 0; i < VW_DISK_MAX; i++)
        free(disk->entries[i].data);
    memset(disk, 0, sizeof(*disk));
}

static void disk_copy(struct vw_disk *to, const struct vw_disk *from)
{
    disk_clear(to);
    for (size_t i = 0; i < VW_DISK_MAX; i++) {
        const struct vw_entry *e = &from->entries[i];
        if (e->key_len > 0)
            disk_put(to, e->key, e->key_len, e->data, e->len);
    }
}

/* ---- time and events ---- */

uint64_t vw_clock_ms(const struct vw *w, size_t i)
{
    const struct vw_node *node = &w->nodes[i];
    return (node->offset_us + (uint64_t)((double)w->now_us * node->rate)) / 1000;
}

void vw_rate(struct vw *w, size_t i, double rate)
{
    struct vw_node *node = &w->nodes[i];
    uint64_t shows_us = node->offset_us + (uint64_t)((double)w->now_us * node->rate);
    node->rate = rate;
    node->offset_us = shows_us - (uint64_t)((double)w->now_us * rate);
}

/* When, in real time, its clock shows @at_ms. */
static uint64_t real_us(const struct vw *w, size_t i, uint64_t at_ms)
{
    const struct vw_node *node = &w->nodes[i];
    if (at_ms == UINT64_MAX)
        return UINT64_MAX;
    double at = ((double)at_ms * 1000.0 - (double)node->offset_us) / node->rate;
    uint64_t us = at < (double)w->now_us ? w->now_us : (uint64_t)at + 1;
    return us < node->paused_until_us ? node->paused_until_us : us;
}

static struct vw_event *post(struct vw *w, enum vw_event_type type, size_t len, uint64_t in_us)
{
    struct vw_event *event = calloc(1, sizeof(*event) + len);
    assert(event != NULL);
    event->type = type;
    event->len = len;
    int r = heap_set(&w->events, &event->at, w->now_us + in_us);
    assert(r == 0);
    (void)r;
    return event;
}

static void event_free(struct vw_event *event)
{
    for (size_t i = 0; i < event->puts_n; i++)
        free(event->puts[i].data);
    free(event->puts);
    free(event);
}

/* ---- what is watched ---- */

static void watch_record(struct vw *w, size_t i)
{
    const struct view_core *core = w->nodes[i].core;
    uint64_t epoch = core->decided.placement.epoch;
    const struct placement *p = &core->decided.placement;
    size_t at = 0;

    while (at < w->epochs_n && w->epochs[at].epoch != epoch)
        at++;
    if (at < w->epochs_n) {
        if (memcmp(w->epochs[at].hash, core->decided_hash, VIEW_HASH_BYTES) != 0)
            broken(w, "two records of epoch %" PRIu64 ", the other at node %zu", epoch, i);
        return;
    }
    if (w->epochs_n == VW_EPOCHS_MAX)
        return;
    w->epochs[at].epoch = epoch;
    memcpy(w->epochs[at].hash, core->decided_hash, VIEW_HASH_BYTES);
    memcpy(w->epochs[at].prev, core->decided.prev_hash, VIEW_HASH_BYTES);
    w->epochs_n++;
    for (size_t j = 0; j < at; j++) {
        if ((w->epochs[j].epoch + 1 == epoch &&
             memcmp(w->epochs[at].prev, w->epochs[j].hash, VIEW_HASH_BYTES) != 0) ||
            (epoch + 1 == w->epochs[j].epoch &&
             memcmp(w->epochs[j].prev, w->epochs[at].hash, VIEW_HASH_BYTES) != 0))
            broken(w, "epoch %" PRIu64 " is no link of the chain", epoch);
    }
    for (uint32_t k = 0; k < p->keepers_n; k++) {
        struct boot_id *known = &w->members[p->keepers[k].member_id % 4096];
        if (known->boot_no == 0)
            *known = p->keepers[k].boot;
        else if (!boot_id_equal(known, &p->keepers[k].boot))
            broken(w, "member %u is two boots", p->keepers[k].member_id);
    }
}

bool vw_serves(const struct vw *w, size_t i, size_t slot)
{
    const struct vw_node *node = &w->nodes[i];
    if (node->core == NULL || node->lease_until_ms <= vw_clock_ms(w, i))
        return false;
    const struct placement *p = view_placement(node->core);
    const struct placement_keeper *self = keeper_active_of(p, &node->core->config.self);
    const struct placement_config *active = &p->slots[slot].active;
    return self != NULL && placement_config_has(active, self->member_id) &&
           node->pulled[slot] <= active->slot_epoch;
}

static void watch_leases(struct vw *w)
{
    int leader = -1;
    for (size_t i = 0; i < w->nodes_n; i++) {
        const struct vw_node *node = &w->nodes[i];
        if (node->core == NULL || view_leader_until_ms(node->core) <= vw_clock_ms(w, i))
            continue;
        if (leader >= 0)
            broken(w, "nodes %d and %zu both have the leader's lease", leader, i);
        leader = (int)i;
    }
    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        uint64_t epoch = 0;
        size_t who = 0;
        for (size_t i = 0; i < w->nodes_n; i++) {
            if (!vw_serves(w, i, slot))
                continue;
            uint64_t his = view_placement(w->nodes[i].core)->slots[slot].active.slot_epoch;
            if (epoch != 0 && epoch != his)
                broken(w, "slot %zu is served under %" PRIu64 " by %zu and %" PRIu64 " by %zu",
                       slot, epoch, who, his, i);
            epoch = his;
            who = i;
        }
    }
}

/* ---- stand-in for variables ---- */

/* Gives its state away for what is chosen: it never serves what is active again. The home asks
 * until all have; one that left the configuration and has seen it has thereby released. */
static void fill_slots(struct vw *w, size_t i)
{
    struct vw_node *node = &w->nodes[i];
    const struct placement *p = view_placement(node->core);
    const struct placement_keeper *self = keeper_active_of(p, &node->core->config.self);

    for (size_t s = 0; s < PLACEMENT_SLOTS && self != NULL; s++) {
        const struct placement_config *chosen = &p->slots[s].chosen;
        if (chosen->slot_epoch == 0)
            continue;
        if (chosen->slot_epoch > node->pulled[s])
            node->pulled[s] = chosen->slot_epoch;
        if (chosen->replicas[0] == self->member_id && node->asked_ready[s] != chosen->slot_epoch) {
            node->asked_ready[s] = chosen->slot_epoch;
            struct vw_event *event = post(w, VW_READY, 0, 5000 + rng_below(&w->rng, 30000));
            event->to = i;
            event->to_boot = node->config.self.boot_no;
            event->slot = s;
            event->slot_epoch = chosen->slot_epoch;
        }
    }
}

static int node_of(const struct vw *w, const struct kith_node_id *id)
{
    for (size_t i = 0; i < w->nodes_n; i++) {
        if (memcmp(&w->nodes[i].config.self.node, id, sizeof(*id)) == 0)
            return (int)i;
    }
    return -1;
}

static bool gave(struct vw *w, const struct placement *p, uint32_t id, size_t slot, uint64_t epoch)
{
    const struct placement_keeper *keeper = placement_keeper_find(p, id);
    int at = keeper != NULL ? node_of(w, &keeper->boot.node) : -1;
    return at >= 0 && w->nodes[at].core != NULL &&
           w->nodes[at].config.self.boot_no == keeper->boot.boot_no &&
           w->nodes[at].pulled[slot] >= epoch;
}

static void ready(struct vw *w, const struct vw_event *event)
{
    struct vw_node *node = &w->nodes[event->to];
    if (node->core == NULL || node->config.self.boot_no != event->to_boot)
        return;
    const struct placement *p = view_placement(node->core);
    const struct placement_slot *slot = &p->slots[event->slot];
    if (slot->chosen.slot_epoch != event->slot_epoch)
        return;
    struct vw_event *again = post(w, VW_READY, 0, 100000 + rng_below(&w->rng, 100000));
    again->to = event->to;
    again->to_boot = event->to_boot;
    again->slot = event->slot;
    again->slot_epoch = event->slot_epoch;
    for (uint8_t r = 0; r < slot->chosen.replicas_n; r++) {
        if (!gave(w, p, slot->chosen.replicas[r], event->slot, event->slot_epoch))
            return;
    }
    uint32_t released[PLACEMENT_REPLICAS_MAX];
    struct view_event v = {.type = VIEW_SLOT_READY,
                           .slot = (uint32_t)event->slot,
                           .slot_epoch = event->slot_epoch,
                           .released = released};
    for (uint8_t r = 0; r < slot->active.replicas_n; r++) {
        uint32_t id = slot->active.replicas[r];
        if (!placement_config_has(&slot->chosen, id) &&
            gave(w, p, id, event->slot, event->slot_epoch))
            released[v.released_n++] = id;
    }
    (void)vw_event(w, event->to, &v);
}

/* ---- steps ---- */

static void send(struct vw *w, size_t from, const struct view_action *action)
{
    int to = node_of(w, &action->to);
    if (to < 0 || w->cut[from][to] || w->nodes[to].core == NULL || rng_unit(&w->rng) < w->loss)
        return;
    unsigned copies = rng_unit(&w->rng) < w->twice ? 2 : 1;
    for (; copies > 0; copies--) {
        uint64_t in_us = w->delay_us / 2 + rng_below(&w->rng, w->delay_us + 1);
        if (rng_unit(&w->rng) < w->late)
            in_us += rng_below(&w->rng, 3000000);
        struct vw_event *event = post(w, VW_MESSAGE, action->len, in_us);
        event->from = from;
        event->to = (size_t)to;
        event->from_boot = w->nodes[from].config.self.boot_no;
        event->to_boot = w->nodes[to].config.self.boot_no;
        memcpy(event->data, action->data, action->len);
    }
}

static void persist(struct vw *w, size_t i, const struct view_action *action)
{
    struct vw_node *node = &w->nodes[i];
    uint64_t at = w->now_us + rng_below(&w->rng, w->sync_us + 1);
    at = at > node->disk_free_us ? at : node->disk_free_us;
    node->disk_free_us = at;
    struct vw_event *event = post(w, VW_SYNCED, 0, at - w->now_us);
    event->to = i;
    event->to_boot = node->config.self.boot_no;
    event->token = action->token;
    event->puts_n = action->puts_n;
    event->puts = calloc(action->puts_n, sizeof(*event->puts));
    assert(event->puts != NULL);
    for (size_t p = 0; p < action->puts_n; p++) {
        const struct view_put *put = &action->puts[p];
        struct vw_entry *entry = &event->puts[p];
        memcpy(entry->key, put->key, put->key_len);
        entry->key_len = put->key_len;
        if (put->data == NULL)
            continue;
        entry->data = malloc(put->len > 0 ? put->len : 1);
        assert(entry->data != NULL);
        memcpy(entry->data, put->data, put->len);
        entry->len = put->len;
    }
}

int vw_event(struct vw *w, size_t i, struct view_event *event)
{
    struct vw_node *node = &w->nodes[i];
    struct view_output out;
    bool changed = false;

    assert(node->core != NULL);
    event->now_ms = vw_clock_ms(w, i);
    int r = view_step(node->core, event, &out);
    w->steps++;
    view_check(node->core);
    for (size_t a = 0; a < out.actions_n; a++) {
        const struct view_action *action = &out.actions[a];
        switch (action->type) {
        case VIEW_SEND:
            send(w, i, action);
            break;
        case VIEW_PERSIST:
            persist(w, i, action);
            break;
        case VIEW_CHANGED:
            if (action->placement->epoch <= node->known_epoch)
                broken(w, "node %zu goes back to epoch %" PRIu64, i, action->placement->epoch);
            node->known_epoch = action->placement->epoch;
            node->changes++;
            changed = true;
            break;
        case VIEW_LEASE:
            node->lease_until_ms = action->until_ms;
            changed = true;
            break;
        case VIEW_LEFT:
            node->left = true;
            break;
        case VIEW_REFUSED:
            node->refused++;
            break;
        case VIEW_LEADING:
            break;
        }
    }
    if (changed) {
        watch_record(w, i);
        fill_slots(w, i);
    }
    watch_leases(w);
    return r;
}

static void recall(struct vw *w, size_t i)
{
    struct vw_node *node = &w->nodes[i];
    for (size_t e = 0; e < VW_DISK_MAX; e++) {
        const struct vw_entry *entry = &node->disk.entries[e];
        if (entry->key_len == 0)
            continue;
        struct view_event event = {.type = VIEW_RECALL,
                                   .key = entry->key,
                                   .key_len = entry->key_len,
                                   .data = entry->data,
                                   .len = entry->len};
        int r = vw_event(w, i, &event);
        assert(r == 0);
        (void)r;
    }
}

static void meet(struct vw *w, size_t seer, size_t about)
{
    for (unsigned link = 0; link < 2; link++) {
        struct vw_event *event =
            post(w, link ? VW_LINK : VW_UP, 0, 20000 + rng_below(&w->rng, 200000));
        event->from = about;
        event->to = seer;
        event->from_boot = w->nodes[about].config.self.boot_no;
        event->to_boot = w->nodes[seer].config.self.boot_no;
    }
}

void vw_boot(struct vw *w, size_t i)
{
    struct vw_node *node = &w->nodes[i];
    assert(node->core == NULL);
    node->config.self.boot_no = ++node->boot_no;
    node->config.seed = rng_u64(&w->rng);
    node->lease_until_ms = 0;
    node->known_epoch = 0;
    node->left = false;
    node->paused_until_us = 0;
    node->disk_free_us = 0;
    memset(node->pulled, 0, sizeof(node->pulled));
    memset(node->asked_ready, 0, sizeof(node->asked_ready));
    int r = view_new(&node->core, &node->config);
    assert(r == 0);
    (void)r;
    recall(w, i);
    (void)vw_event(w, i, &(struct view_event){.type = VIEW_START});
    for (size_t j = 0; j < w->nodes_n; j++) {
        if (j != i && w->nodes[j].core != NULL) {
            meet(w, i, j);
            meet(w, j, i);
        }
    }
}

/* The others hear of it between @from_ms and @to_ms later. */
static void down(struct vw *w, size_t i, bool left, uint64_t from_ms, uint64_t to_ms)
{
    struct vw_node *node = &w->nodes[i];
    if (node->core == NULL)
        return;
    view_free(node->core);
    node->core = NULL;
    node->lease_until_ms = 0;
    for (size_t j = 0; j < w->nodes_n; j++) {
        if (j == i || w->nodes[j].core == NULL)
            continue;
        struct vw_event *event =
            post(w, VW_DOWN, 0, 1000 * (from_ms + rng_below(&w->rng, to_ms - from_ms)));
        event->from = i;
        event->to = j;
        event->from_boot = node->boot_no;
        event->to_boot = w->nodes[j].config.self.boot_no;
        event->left = left;
    }
}

void vw_crash(struct vw *w, size_t i)
{
    down(w, i, w->nodes[i].left, 2000, 5000);
}

void vw_goodbye(struct vw *w, size_t i)
{
    struct vw_node *node = &w->nodes[i];
    if (node->core == NULL)
        return;
    (void)vw_event(w, i, &(struct view_event){.type = VIEW_STOP});
    if (view_leader_until_ms(node->core) != 0 || node->lease_until_ms != 0)
        broken(w, "node %zu said good-bye and has a lease", i);
    down(w, i, true, 1, 200);
}

void vw_pause(struct vw *w, size_t i, uint64_t for_ms)
{
    w->nodes[i].paused_until_us = w->now_us + for_ms * 1000;
}

void vw_snapshot(struct vw *w, size_t i)
{
    disk_copy(&w->nodes[i].snapshot, &w->nodes[i].disk);
    w->nodes[i].has_snapshot = true;
    w->nodes[i].snapshot_boot = w->nodes[i].boot_no;
}

void vw_restore(struct vw *w, size_t i, bool boot_too)
{
    struct vw_node *node = &w->nodes[i];
    vw_crash(w, i);
    disk_copy(&node->disk, &node->snapshot);
    if (boot_too && node->boot_no > node->snapshot_boot) {
        uint64_t highest = node->boot_no;
        node->boot_no = node->snapshot_boot;
        vw_boot(w, i);
        /* Whoever it calls tells it of the highest boot. */
        struct vw_event *event = post(w, VW_RAISE, 0, 300000);
        event->to = i;
        event->to_boot = node->config.self.boot_no;
        event->token = highest + 1;
    }
}

void vw_wipe(struct vw *w, size_t i)
{
    struct vw_node *node = &w->nodes[i];
    vw_crash(w, i);
    disk_clear(&node->disk);
    put_le64(node->config.disk_id, rng_u64(&w->rng));
    node->has_snapshot = false;
}

void vw_cut(struct vw *w, size_t a, size_t b, bool cut)
{
    w->cut[a][b] = w->cut[b][a] = cut;
}

void vw_heal(struct vw *w)
{
    memset(w->cut, 0, sizeof(w->cut));
    w->loss = w->twice = w->late = 0;
    for (size_t i = 0; i < w->nodes_n; i++)
        w->nodes[i].paused_until_us = 0;
}

static void peer_event(struct vw *w, const struct vw_event *event)
{
    struct view_event v = {
        .type = event->type == VW_UP     ? VIEW_PEER_UP
                : event->type == VW_LINK ? VIEW_LINK_UP
                                         : VIEW_PEER_DOWN,
        .from = {w->nodes[event->from].config.self.node, event->from_boot},
        .eligible = w->nodes[event->from].config.eligible,
        .left = event->left,
        .name = w->nodes[event->from].config.name,
    };
    (void)vw_event(w, event->to, &v);
}

/* A link needs both directions; that a node is up is also heard from a third. */
static bool reaches(const struct vw *w, const struct vw_event *event)
{
    size_t from = event->from;
    size_t to = event->to;
    if (!w->cut[from][to] && !w->cut[to][from])
        return true;
    for (size_t i = 0; i < w->nodes_n && event->type == VW_UP; i++) {
        if (w->nodes[i].core != NULL && i != from && i != to && !w->cut[from][i] && !w->cut[i][to])
            return true;
    }
    return false;
}

static void later(struct vw *w, struct vw_event *event, uint64_t at_us)
{
    int r = heap_set(&w->events, &event->at, at_us);
    assert(r == 0);
    (void)r;
}

static void do_event(struct vw *w, struct vw_event *event)
{
    struct vw_node *to = &w->nodes[event->to];
    bool there = to->core != NULL && to->config.self.boot_no == event->to_boot;
    if (there && (event->type == VW_UP || event->type == VW_LINK) && !reaches(w, event)) {
        later(w, event, w->now_us + 200000);
        return;
    }
    if (there && event->type != VW_SYNCED && w->now_us < to->paused_until_us) {
        later(w, event, to->paused_until_us);
        return;
    }
    switch (event->type) {
    case VW_MESSAGE:
        if (there) {
            struct view_event v = {
                .type = VIEW_RECV,
                .data = event->data,
                .len = event->len,
                .from = {w->nodes[event->from].config.self.node, event->from_boot}};
            (void)vw_event(w, event->to, &v);
        }
        break;
    case VW_SYNCED:
        if (!there)
            break;
        for (size_t p = 0; p < event->puts_n; p++)
            disk_put(&to->disk, event->puts[p].key, event->puts[p].key_len, event->puts[p].data,
                     event->puts[p].len);
        (void)vw_event(w, event->to,
                       &(struct view_event){.type = VIEW_PERSISTED, .token = event->token});
        break;
    case VW_UP:
    case VW_LINK:
    case VW_DOWN:
        if (there && (event->type == VW_DOWN || w->nodes[event->from].core != NULL))
            peer_event(w, event);
        break;
    case VW_READY:
        ready(w, event);
        break;
    case VW_RAISE:
        if (there && event->token > to->boot_no) {
            to->boot_no = event->token;
            to->config.self.boot_no = event->token;
            (void)vw_event(w, event->to,
                           &(struct view_event){.type = VIEW_BOOT, .boot_no = event->token});
            for (size_t j = 0; j < w->nodes_n; j++) {
                if (j != event->to && w->nodes[j].core != NULL) {
                    meet(w, event->to, j);
                    meet(w, j, event->to);
                }
            }
        }
        break;
    }
    event_free(event);
}

void vw_run(struct vw *w, uint64_t for_ms)
{
    uint64_t end = w->now_us + for_ms * 1000;
    while (!w->broken) {
        struct heap_node *first = heap_first(&w->events);
        uint64_t at = first != NULL ? first->key : UINT64_MAX;
        size_t tick = w->nodes_n;
        for (size_t i = 0; i < w->nodes_n; i++) {
            if (w->nodes[i].core == NULL)
                continue;
            uint64_t due = real_us(w, i, view_deadline_ms(w->nodes[i].core));
            if (due < at) {
                at = due;
                tick = i;
            }
        }
        if (at >= end)
            break;
        w->now_us = at > w->now_us ? at : w->now_us;
        if (tick < w->nodes_n) {
            (void)vw_event(w, tick, &(struct view_event){.type = VIEW_TICK});
        } else {
            heap_remove(&w->events, first);
            do_event(w, container_of(first, struct vw_event, at));
        }
    }
    if (!w->broken)
        w->now_us = end;
}

bool vw_until(struct vw *w, bool (*done)(struct vw *w, void *arg), void *arg, uint64_t for_ms)
{
    for (uint64_t t = 0; t < for_ms && !w->broken; t += 20) {
        if (done(w, arg))
            return true;
        vw_run(w, 20);
    }
    return !w->broken && done(w, arg);
}

int vw_bootstrap(struct vw *w, size_t i, uint32_t expect)
{
    return vw_event(w, i, &(struct view_event){.type = VIEW_BOOTSTRAP, .expect = expect});
}

int vw_leader(const struct vw *w)
{
    for (size_t i = 0; i < w->nodes_n; i++) {
        if (w->nodes[i].core != NULL && view_leader_until_ms(w->nodes[i].core) > vw_clock_ms(w, i))
            return (int)i;
    }
    return -1;
}

bool vw_well(struct vw *w, void *arg)
{
    uint64_t epoch = 0;
    (void)arg;
    if (vw_leader(w) < 0)
        return false;
    for (size_t i = 0; i < w->nodes_n; i++) {
        const struct vw_node *node = &w->nodes[i];
        if (node->core == NULL)
            continue;
        const struct placement *p = view_placement(node->core);
        if (p->epoch == 0 || (epoch != 0 && p->epoch != epoch))
            return false;
        epoch = p->epoch;
        if (!node->config.eligible)
            continue;
        if (keeper_active_of(p, &node->core->config.self) == NULL ||
            node->lease_until_ms <= vw_clock_ms(w, i))
            return false;
        for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
            if (p->slots[s].chosen.slot_epoch != 0 || placement_home(p, (uint32_t)s) == NULL)
                return false;
        }
    }
    return true;
}

struct vw *vw_new(size_t n, uint64_t seed)
{
    struct vw *w = calloc(1, sizeof(*w));
    assert(w != NULL && n <= VW_NODES_MAX);
    rng_init(&w->rng, seed);
    w->nodes_n = n;
    w->delay_us = 2000;
    w->sync_us = 4000;
    for (size_t i = 0; i < n; i++) {
        struct vw_node *node = &w->nodes[i];
        node->rate = 1.0;
        node->offset_us = (1 + rng_below(&w->rng, 100)) * 1000000;
        put_le64(node->config.self.node.bytes, hash_bytes(&i, sizeof(i), 7));
        put_le64(node->config.self.node.bytes + 8, i);
        put_le64(node->config.disk_id, 1000 + i);
        memset(node->config.cluster_id, 0xc1, VIEW_CLUSTER_BYTES);
        node->config.eligible = true;
        (void)snprintf(node->config.name, sizeof(node->config.name), "node-%zu", i);
    }
    return w;
}

void vw_free(struct vw *w)
{
    struct heap_node *first;
    while ((first = heap_first(&w->events)) != NULL) {
        heap_remove(&w->events, first);
        event_free(container_of(first, struct vw_event, at));
    }
    heap_deinit(&w->events);
    for (size_t i = 0; i < w->nodes_n; i++) {
        view_free(w->nodes[i].core);
        disk_clear(&w->nodes[i].disk);
        disk_clear(&w->nodes[i].snapshot);
    }
    free(w);
}
