/*
 * Which keepers have which slot. Few moves: a slot stays where it is unless one of its keepers is
 * gone or leaves, it has too few copies, or somebody has two more than somebody else.
 *
 * A change is *chosen*, filled by its home, and *activated* once nobody of the former configuration
 * can serve any more (holes 1, 8, 37).
 */
#include "view/internal.h"

#define NOBODY UINT32_MAX

/* Of the keepers of the record, by place. */
struct tally {
    struct view_core *core;
    struct placement *p;
    uint32_t copies[PLACEMENT_MEMBERS_MAX];
    uint32_t homes[PLACEMENT_MEMBERS_MAX];
    uint32_t moves[PLACEMENT_MEMBERS_MAX];
    bool stays[PLACEMENT_MEMBERS_MAX]; /* active and not leaving */
    uint32_t stays_n;
};

static uint32_t place_of(const struct placement *p, uint32_t member_id)
{
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (p->keepers[i].member_id == member_id)
            return i;
    }
    return NOBODY;
}

static bool is_state(const struct placement *p, uint32_t member_id, enum keeper_state state)
{
    uint32_t at = place_of(p, member_id);
    return at != NOBODY && p->keepers[at].state == state;
}

static bool is_over(const struct placement *p, uint32_t member_id)
{
    uint32_t at = place_of(p, member_id);
    return at == NOBODY || placement_keeper_over(&p->keepers[at]);
}

static void count_config(struct tally *t, const struct placement_config *config)
{
    for (uint8_t r = 0; r < config->replicas_n; r++) {
        uint32_t at = place_of(t->p, config->replicas[r]);
        if (at == NOBODY)
            continue;
        t->copies[at]++;
        t->homes[at] += r == 0;
    }
}

/* What the placement comes to once all that is chosen is active. */
static void count(struct tally *t)
{
    memset(t->copies, 0, sizeof(t->copies));
    memset(t->homes, 0, sizeof(t->homes));
    memset(t->moves, 0, sizeof(t->moves));
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_slot *slot = &t->p->slots[i];
        bool moves = slot->chosen.slot_epoch != 0;
        count_config(t, moves ? &slot->chosen : &slot->active);
        for (uint8_t r = 0; moves && r < slot->chosen.replicas_n; r++) {
            uint32_t at = place_of(t->p, slot->chosen.replicas[r]);
            bool takes = !placement_config_has(&slot->active, slot->chosen.replicas[r]) ||
                         (r == 0 && slot->active.replicas_n == slot->chosen.replicas_n);
            if (at != NOBODY && takes)
                t->moves[at]++;
        }
    }
}

void plan_choose(struct placement_slot *slot, const uint32_t *replicas, uint32_t n)
{
    struct placement_config *chosen = &slot->chosen;
    uint64_t last =
        chosen->slot_epoch > slot->active.slot_epoch ? chosen->slot_epoch : slot->active.slot_epoch;
    memset(chosen, 0, sizeof(*chosen));
    chosen->slot_epoch = last + 1;
    chosen->replicas_n = (uint8_t)n;
    memcpy(chosen->replicas, replicas, n * sizeof(replicas[0]));
    if (MUTANT(VIEW_NO_ACTIVATION_RECORD)) {
        slot->active = *chosen;
        memset(chosen, 0, sizeof(*chosen));
    }
}

/* ---- activation ---- */

static bool over(struct view_core *core,
                 const struct placement *p,
                 const struct vready *ready,
                 uint32_t member_id)
{
    (void)core;
    if (is_over(p, member_id))
        return true;
    for (uint32_t i = 0; i < ready->released_n; i++) {
        if (ready->released[i] == member_id)
            return true;
    }
    /* Hole 37: the former holder is well, and would go on under its own lease. */
    return MUTANT(VIEW_NO_RELEASE) && is_state(p, member_id, KEEPER_ACTIVE);
}

/* The rule of activation: filled, and nobody else can serve. */
static bool may_activate(struct view_core *core, const struct placement *p, uint32_t at)
{
    const struct placement_slot *slot = &p->slots[at];
    const struct vready *ready = &core->ready[at];
    if (ready->slot_epoch != slot->chosen.slot_epoch)
        return false;
    for (uint8_t r = 0; r < slot->active.replicas_n; r++) {
        uint32_t id = slot->active.replicas[r];
        if (!placement_config_has(&slot->chosen, id) && !over(core, p, ready, id))
            return false;
    }
    return true;
}

static void activate(struct placement_slot *slot)
{
    bool kept = false;
    for (uint8_t r = 0; r < slot->chosen.replicas_n; r++)
        kept = kept || placement_config_has(&slot->active, slot->chosen.replicas[r]);
    /* From disks only: what was in memory is lost. */
    if (!kept)
        slot->generation++;
    slot->active = slot->chosen;
    memset(&slot->chosen, 0, sizeof(slot->chosen));
}

/* ---- what must change ---- */

static bool all_active(const struct placement *p, const struct placement_config *config)
{
    for (uint8_t r = 0; r < config->replicas_n; r++) {
        if (!is_state(p, config->replicas[r], KEEPER_ACTIVE))
            return false;
    }
    return true;
}

/* The home first: the old one if it stays, else who is home of the fewest. */
static void
home_first(const struct tally *t, const struct placement_slot *slot, uint32_t *ids, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] == slot->active.replicas[0]) {
            best = i;
            break;
        }
        /* Only who has the data already. */
        bool has = placement_config_has(&slot->active, ids[i]);
        bool best_has = placement_config_has(&slot->active, ids[best]);
        uint32_t a = place_of(t->p, ids[i]);
        uint32_t b = place_of(t->p, ids[best]);
        if ((has && !best_has) || (has == best_has && t->homes[a] < t->homes[b]))
            best = i;
    }
    uint32_t home = ids[best];
    ids[best] = ids[0];
    ids[0] = home;
}

static void choose(struct tally *t, struct placement_slot *slot, uint32_t *ids, uint32_t n)
{
    home_first(t, slot, ids, n);
    plan_choose(slot, ids, n);
    count(t);
}

/* The keepers whose disks have what the active configuration had; returns how many. @more_out:
 * whether another disk of it may still come back. One whose node runs on another disk is gone. */
static uint32_t by_disk(const struct tally *t,
                        const struct placement_slot *slot,
                        uint32_t ids[PLACEMENT_REPLICAS_MAX],
                        bool *more_out)
{
    uint32_t n = 0;

    *more_out = false;
    for (uint8_t r = 0; r < slot->active.replicas_n; r++) {
        uint32_t at = place_of(t->p, slot->active.replicas[r]);
        const struct placement_keeper *was = at != NOBODY ? &t->p->keepers[at] : NULL;
        bool here = false;
        for (uint32_t i = 0; was != NULL && i < t->p->keepers_n && !here; i++) {
            here = t->stays[i] &&
                   memcmp(t->p->keepers[i].disk_id, was->disk_id, PLACEMENT_DISK_BYTES) == 0;
            if (here)
                ids[n++] = t->p->keepers[i].member_id;
        }
        if (!here &&
            (was == NULL || !peer_has_another_disk(t->core, &was->boot.node, was->disk_id)))
            *more_out = true;
    }
    return n;
}

/* No replica is left: those whose disks have what the active configuration had, all that may come
 * back or, after a while, at least one; without any the slot waits, or is lost if it may be. */
static void choose_by_disk(struct tally *t, uint32_t at)
{
    struct view_core *core = t->core;
    struct placement_slot *slot = &t->p->slots[at];
    uint32_t ids[PLACEMENT_REPLICAS_MAX];
    bool more;

    if (core->slot_dead_ms[at] == 0)
        core->slot_dead_ms[at] = core->now_ms;
    uint64_t waited = core->now_ms - core->slot_dead_ms[at];
    uint32_t n = by_disk(t, slot, ids, &more);
    if (n > 0 && (!more || waited >= core->config.disks_wait_ms)) {
        choose(t, slot, ids, n);
        return;
    }
    bool durable = (core->decided.durable_slots >> at & 1) != 0;
    if (n > 0 || durable || waited < core->config.slot_lost_ms)
        return;
    uint32_t best = NOBODY;
    for (uint32_t i = 0; i < t->p->keepers_n; i++) {
        if (t->stays[i] && (best == NOBODY || t->copies[i] < t->copies[best]))
            best = i;
    }
    if (best == NOBODY)
        return;
    ids[0] = t->p->keepers[best].member_id;
    choose(t, slot, ids, 1);
}

/* A keeper of it is gone or leaves, or what was chosen cannot be filled. */
static void repair(struct tally *t, uint32_t at, bool must)
{
    struct placement_slot *slot = &t->p->slots[at];
    uint32_t live[PLACEMENT_REPLICAS_MAX];
    uint32_t staying[PLACEMENT_REPLICAS_MAX];
    uint32_t live_n = 0;
    uint32_t staying_n = 0;
    bool ended = true;

    for (uint8_t r = 0; r < slot->active.replicas_n; r++) {
        uint32_t id = slot->active.replicas[r];
        ended = ended && is_over(t->p, id);
        if (!is_state(t->p, id, KEEPER_ACTIVE))
            continue;
        live[live_n++] = id;
        if (t->stays[place_of(t->p, id)])
            staying[staying_n++] = id;
    }
    if (live_n > 0)
        t->core->slot_dead_ms[at] = 0;
    if (staying_n > 0 && (must || staying_n < slot->active.replicas_n))
        choose(t, slot, staying, staying_n);
    else if (staying_n == 0 && live_n > 0 && (must || live_n < slot->active.replicas_n))
        choose(t, slot, live, live_n);
    else if (live_n == 0 && ended)
        choose_by_disk(t, at);
}

/* ---- what should change ---- */

static uint32_t fewest(const struct tally *t, const struct placement_config *without)
{
    uint32_t best = NOBODY;
    for (uint32_t i = 0; i < t->p->keepers_n; i++) {
        if (!t->stays[i] || t->moves[i] >= t->core->config.moves_max ||
            placement_config_has(without, t->p->keepers[i].member_id))
            continue;
        if (best == NOBODY || t->copies[i] < t->copies[best])
            best = i;
    }
    return best;
}

/* Is somebody expected back, so that copies elsewhere would be in vain? */
static bool awaited(struct view_core *core)
{
    for (size_t i = 0; i < core->peers_n; i++) {
        const struct vpeer *peer = &core->peers[i];
        if (peer->boot.boot_no != 0 && peer->lost_ms != 0 && peer->left_boot < peer->boot.boot_no &&
            core->now_ms - peer->lost_ms < core->config.replace_ms)
            return true;
    }
    return false;
}

static bool fill(struct tally *t, struct placement_slot *slot, bool wait)
{
    uint32_t want = t->stays_n < PLACEMENT_REPLICAS_MAX ? t->stays_n : PLACEMENT_REPLICAS_MAX;
    uint32_t ids[PLACEMENT_REPLICAS_MAX];
    uint32_t n = slot->active.replicas_n;

    if (n >= want || (wait && n > 1))
        return false;
    struct placement_config grown = slot->active;
    while (grown.replicas_n < want) {
        uint32_t at = fewest(t, &grown);
        if (at == NOBODY)
            break;
        grown.replicas[grown.replicas_n++] = t->p->keepers[at].member_id;
    }
    if (grown.replicas_n == n)
        return false;
    memcpy(ids, grown.replicas, sizeof(ids));
    choose(t, slot, ids, grown.replicas_n);
    return true;
}

static void balance(struct tally *t, struct placement_slot *slot)
{
    uint32_t ids[PLACEMENT_REPLICAS_MAX];
    uint32_t n = slot->active.replicas_n;
    uint32_t most = 0;
    memcpy(ids, slot->active.replicas, sizeof(ids));
    for (uint32_t i = 1; i < n; i++) {
        if (t->copies[place_of(t->p, ids[i])] > t->copies[place_of(t->p, ids[most])])
            most = i;
    }
    uint32_t to = fewest(t, &slot->active);
    if (n > 1 && to != NOBODY && t->copies[place_of(t->p, ids[most])] >= t->copies[to] + 2) {
        ids[most] = t->p->keepers[to].member_id;
        choose(t, slot, ids, n);
        return;
    }
    /* The home alone: nothing travels but what it has to compare. */
    uint32_t home = place_of(t->p, ids[0]);
    for (uint32_t i = 1; i < n; i++) {
        uint32_t other = place_of(t->p, ids[i]);
        if (t->homes[home] < t->homes[other] + 2 || t->moves[other] >= t->core->config.moves_max)
            continue;
        uint32_t swap = ids[0];
        ids[0] = ids[i];
        ids[i] = swap;
        plan_choose(slot, ids, n);
        count(t);
        return;
    }
}

/* A slot that moves serves no writes. One that has just begun to serve does what has waited for it
 * first, unless the next failure would stop it again. */
static bool rests(const struct view_core *core, const struct placement_slot *slot, uint32_t at)
{
    return slot->active.replicas_n > 1 && core->slot_active_ms[at] != 0 &&
           core->now_ms - core->slot_active_ms[at] < SLOT_REST_MS;
}

void plan_slots(struct view_core *core, struct view_record *next)
{
    struct tally t = {.core = core, .p = &next->placement};
    bool wait = awaited(core);

    for (uint32_t i = 0; i < t.p->keepers_n; i++) {
        t.stays[i] =
            t.p->keepers[i].state == KEEPER_ACTIVE && !plan_leaving(core, &t.p->keepers[i]);
        t.stays_n += t.stays[i];
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct placement_slot *slot = &t.p->slots[i];
        if (slot->chosen.slot_epoch != 0 && all_active(t.p, &slot->chosen) &&
            may_activate(core, t.p, i)) {
            activate(slot);
            core->slot_active_ms[i] = core->now_ms;
        }
    }
    count(&t);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct placement_slot *slot = &t.p->slots[i];
        bool chosen = slot->chosen.slot_epoch != 0;
        if (!chosen || !all_active(t.p, &slot->chosen))
            repair(&t, i, chosen);
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct placement_slot *slot = &t.p->slots[i];
        if (slot->chosen.slot_epoch != 0 || !all_active(t.p, &slot->active) || rests(core, slot, i))
            continue;
        if (!fill(&t, slot, wait) && slot->chosen.slot_epoch == 0)
            balance(&t, slot);
    }
}

/* A cluster that begins: nothing has to be moved. */
void plan_first_slots(struct placement *placement)
{
    uint32_t n = placement->keepers_n;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct placement_config *active = &placement->slots[i].active;
        active->slot_epoch = 1;
        active->replicas_n = (uint8_t)(n < PLACEMENT_REPLICAS_MAX ? n : PLACEMENT_REPLICAS_MAX);
        for (uint8_t r = 0; r < active->replicas_n; r++)
            active->replicas[r] = placement->keepers[(i + r) % n].member_id;
    }
}
