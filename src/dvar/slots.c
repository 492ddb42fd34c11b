/*
 * Slots: what the placement makes of them, and how a new home fills one (protocols 5.2, slot
 * change, and 5.4, SYNC): it pulls from every chosen replica, takes the newest of each variable,
 * has all of the chosen ones take that under the new epoch, collects releases, and serves only when
 * the placement says that it is active.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

static bool is_self(const struct dvar_core *core, const struct boot_id *boot)
{
    if (MUTANT(DVAR_ANY_BOOT))
        return memcmp(&boot->node, &core->config.self.node, sizeof(boot->node)) == 0;
    return boot_id_equal(boot, &core->config.self);
}

static void
config_read(struct dvar_core *core, const struct placement_config *from, struct config *config)
{
    *config = (struct config){.se = from->slot_epoch, .n = from->replicas_n, .self = -1};
    for (uint32_t i = 0; i < config->n; i++) {
        const struct placement_keeper *keeper =
            placement_keeper_find(&core->placement, from->replicas[i]);
        config->members[i] = from->replicas[i];
        /* An ended membership of this very boot is over, too: it may be here as another member. */
        bool ended = keeper != NULL && placement_keeper_over(keeper) && !MUTANT(DVAR_ANY_BOOT);
        if (keeper != NULL && !ended && is_self(core, &keeper->boot)) {
            config->self = (int32_t)i;
            continue;
        }
        struct kith_node_id nobody = {{0}};
        config->nodes[i] = node_get(core, keeper != NULL && !ended ? &keeper->boot.node : &nobody);
        config->boots[i] = keeper != NULL ? keeper->boot.boot_no : 0;
        if (config->nodes[i] == NULL)
            core->short_of_memory = true;
        else if (keeper != NULL && !ended)
            node_boot(core, config->nodes[i], keeper->boot.boot_no);
    }
}

static void take_back_cells(struct slot *slot)
{
    list_for_each (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        if (var->cell != NULL)
            cell_take_back(var->cell);
    }
}

/* Values that stay here when the slot is not ours any more are for the next SYNC alone. */
static void take_back_copies(struct slot *slot)
{
    list_for_each (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        if (var->cell != NULL && var->state != VAR_CACHED)
            cell_take_back(var->cell);
    }
}

/* From now on nothing of an epoch before @se is read here. */
void slot_release(struct slot *slot, uint64_t se)
{
    if (slot->released_se >= se)
        return;
    slot->released_se = se;
    slot->stamp++;
    take_back_cells(slot);
}

void slot_forget_sync(struct dvar_core *core, struct slot *slot)
{
    (void)core;
    core_free(slot->sync);
    slot->sync = NULL;
}

static void abort_all(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    list_for_each_safe (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        home_abort(core, var);
    }
    /* Requests may wait for variables that have no value yet. */
    bool any = slot->durable_asked_ms != 0 || slot->waiting;
    slot->waiting = false;
    for (size_t i = 0; any && i < core->buckets_n; i++) {
        for (struct var *var = core->buckets[i], *next; var != NULL; var = next) {
            next = var->hash_next;
            if (var->slot == slot_no && var->queue_last != NULL)
                home_abort(core, var);
        }
    }
}

static void new_epoch(struct dvar_core *core, uint32_t slot_no, uint64_t se)
{
    struct slot *slot = &core->slots[slot_no];
    slot->joined_se = se;
    slot->serving = false;
    slot_forget_sync(core, slot);
    abort_all(core, slot_no);
    memset(slot->pull_at, 0, sizeof(slot->pull_at));
    memset(slot->pull_pos, 0, sizeof(slot->pull_pos));
    share_drain(core, slot_no);
}

static void drop_var(struct dvar_core *core, struct var *var)
{
    if (var->block != NULL && (var->block->len == 0 || var_is_durable(var)))
        persist_delete(core, var);
    var_drop_value(core, var);
    core_free(var->sharers);
    var->sharers = NULL;
    var_settle(core, var);
}

/* What an active configuration did not commit again was not there any more. */
static void drop_older(struct dvar_core *core, struct slot *slot, uint64_t se)
{
    list_for_each_safe (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        if (TS_SE(var->ts) < se && var->write == NULL)
            drop_var(core, var);
    }
}

/* Is a former boot or membership of this node in it? */
static bool was_in(const struct dvar_core *core, const struct config *config)
{
    for (uint32_t i = 0; i < config->n; i++) {
        const struct placement_keeper *keeper =
            placement_keeper_find(&core->placement, config->members[i]);
        if (keeper != NULL &&
            memcmp(&keeper->boot.node, &core->config.self.node, sizeof(keeper->boot.node)) == 0)
            return true;
    }
    return false;
}

/* What is chosen may become active before who decides knows of our restart. */
static bool disk_counts(const struct dvar_core *core, const struct slot *slot)
{
    return was_in(core, &slot->active) ||
           (was_in(core, &slot->chosen) && !MUTANT(DVAR_CHOSEN_FORGETS));
}

/* @before: the epoch that was active. */
static void serve(struct dvar_core *core, uint32_t slot_no, uint64_t before)
{
    struct slot *slot = &core->slots[slot_no];
    slot->serving = true;
    if (slot->served_se != before)
        slot->served_ms = core->now_ms;
    slot->served_se = slot->active.se;
    slot_forget_sync(core, slot);
    list_for_each (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        if (TS_SE(var->ts) != slot->active.se)
            continue;
        var->state = VAR_VALID;
        var->stamp = slot->stamp;
        var_publish(core, var);
    }
    for (uint32_t i = 0; i < slot->active.n; i++) {
        uint8_t *p = slot->active.nodes[i] == NULL
                         ? NULL
                         : message_add(core, slot->active.nodes[i], WIRE_VALALL, 0, slot_no, 8);
        if (p != NULL)
            put_le64(p, TS(slot->active.se, slot->seq));
    }
    watch_serving(core, slot_no);
}

void send_pull(struct dvar_core *core, uint32_t slot_no, uint32_t i)
{
    struct slot *slot = &core->slots[slot_no];
    uint8_t *p = message_add(core, slot->chosen.nodes[i], WIRE_PULL, 0, slot_no, 16);
    if (p == NULL)
        return;
    put_le64(p, slot->chosen.se);
    put_le64(p + 8, slot->sync->cursor[i]);
}

static bool must_release(const struct dvar_core *core, const struct slot *slot, uint32_t i)
{
    if (slot->active.nodes[i] == NULL)
        return false;
    for (uint32_t j = 0; j < slot->chosen.n; j++) {
        if (slot->chosen.members[j] == slot->active.members[i])
            return false;
    }
    const struct placement_keeper *keeper =
        placement_keeper_find(&core->placement, slot->active.members[i]);
    return keeper != NULL && !placement_keeper_over(keeper);
}

/*
 * Until when what the home before may have granted can run. Its sessions lie within its lease,
 * whose end the view awaits; but who is dead by proof is not waited for there. Nothing to wait for
 * is where it let the slot go, or a replica knows that nobody cached of it.
 */
static uint64_t share_wait_ms(const struct dvar_core *core, const struct slot *slot)
{
    const struct sync *sync = slot->sync;
    if (slot->active.n == 0 || slot->active.self == 0 || slot->died_se != slot->active.se ||
        (sync->released & 1) != 0 || sync->unshared || slot_unshared(slot) ||
        MUTANT(DVAR_NO_SHARE_WAIT))
        return 0;
    return lease_lessor_until_ms(slot->died_ms, core->config.session_ms);
}

/*
 * Has the home before neither let go nor ended, for all that is known here? The view may know of
 * its death already, and waits for nobody then: so nothing is said before it is known here, too.
 */
static bool home_holds(const struct dvar_core *core, const struct slot *slot)
{
    if (MUTANT(DVAR_NO_SHARE_WAIT))
        return false;
    return slot->active.n > 0 && (slot->sync->released & 1) == 0 && must_release(core, slot, 0) &&
           !MUTANT(DVAR_NO_RELEASE);
}

void sync_ready(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    struct sync *sync = slot->sync;
    uint64_t wait_ms = share_wait_ms(core, slot);
    sync->ready_ms = core->now_ms < wait_ms ? wait_ms - READY_MS : core->now_ms;
    if (core->now_ms < wait_ms || home_holds(core, slot))
        return; /* slots_tick() comes back then */
    uint32_t *released = dvar_arena_alloc(core, REPLICAS * sizeof(*released));
    struct dvar_action *action = released != NULL ? dvar_action_add(core, DVAR_SLOT_READY) : NULL;
    if (action == NULL)
        return;
    action->slot = slot_no;
    action->slot_epoch = slot->chosen.se;
    action->released = released;
    for (uint32_t i = 0; i < slot->active.n; i++) {
        if ((sync->released & 1u << i) != 0 ||
            (MUTANT(DVAR_NO_RELEASE) && must_release(core, slot, i)))
            released[action->released_n++] = slot->active.members[i];
    }
}

/* What is not answered is asked again. */
static void sync_send(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    struct sync *sync = slot->sync;
    sync->sent_ms = core->now_ms;
    for (uint32_t i = 1; i < slot->chosen.n; i++) {
        if ((sync->pulled & 1u << i) == 0)
            send_pull(core, slot_no, i);
    }
    for (uint32_t i = 0; i < slot->active.n; i++) {
        if ((sync->released & 1u << i) != 0 || !must_release(core, slot, i))
            continue;
        uint8_t *p = message_add(core, slot->active.nodes[i], WIRE_RELEASE, 0, slot_no, 8);
        if (p != NULL)
            put_le64(p, slot->chosen.se);
    }
}

static void sync_start(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    slot->sync = core_calloc(1, sizeof(*slot->sync));
    if (slot->sync == NULL) {
        core->short_of_memory = true;
        return; /* again at the next tick */
    }
    slot->sync->se = slot->chosen.se;
    slot->sync->pulled = 1;
    slot->seq = 0;
    core->stats.syncs++;
    sync_send(core, slot_no);
    sync_step(core, slot_no);
}

/* Is it gone, and nobody left who may ask once more for what was done to it? */
static bool
is_forgotten(const struct dvar_core *core, const struct slot *slot, const struct var *var)
{
    if (var->block->len != 0)
        return false;
    for (uint32_t i = 0; i < var->block->records_n; i++) {
        if (record_lives(core, slot, var->block->bytes + (size_t)i * RECORD_BYTES))
            return false;
    }
    return true;
}

/* Commits one variable again under the new epoch. */
static void recommit(struct dvar_core *core, struct slot *slot, struct var *var)
{
    if (TS_SE(var->ts) < slot->active.se || is_forgotten(core, slot, var)) {
        drop_var(core, var);
        return;
    }
    struct write *write = write_new(core, var);
    if (write == NULL)
        return;
    write->recommit = true;
    write->base_ts = var->ts;
    write->ts = TS(slot->chosen.se, ++slot->seq);
    write->sent_ms = core->now_ms;
    var->ts = write->ts;
    var->state = VAR_INVALID;
    write->durable = var_is_durable(var);
    if (write->durable)
        write->token = persist(core, var);
    list_append(&core->writes, &write->link);
    for (uint32_t i = 1; i < slot->chosen.n; i++)
        write->missing |= 1u << i;
    slot->sync->under_way++;
    core->stats.sync_entries++;
    write_send(core, write, UINT32_MAX, false);
    write_try_commit(core, write);
}

void sync_step(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    struct sync *sync = slot->sync;
    if (sync == NULL || sync->in_step || sync->done || sync->pulled != (1u << slot->chosen.n) - 1 ||
        !slot_is_drained(core, slot_no))
        return;
    sync->in_step = true;
    if (!sync->committing) {
        slot_release(slot, slot->chosen.se);
        sync->committing = true;
        sync->at = list_empty(&slot->vars)
                       ? NULL
                       : container_of(list_first(&slot->vars), struct var, link);
    }
    while (sync->at != NULL && sync->under_way < RECOMMIT_MAX) {
        struct var *var = sync->at;
        sync->at =
            var->link.next == &slot->vars ? NULL : container_of(var->link.next, struct var, link);
        if (TS_SE(var->ts) < sync->se && var->write == NULL)
            recommit(core, slot, var);
    }
    sync->in_step = false;
    if (sync->at != NULL || sync->under_way > 0)
        return;
    sync->done = true;
    if (MUTANT(DVAR_NO_ACTIVATION)) {
        uint64_t before = slot->active.se;
        slot->active = slot->chosen;
        serve(core, slot_no, before);
        return;
    }
    sync_ready(core, slot_no);
}

static bool has_same_keepers(const struct placement *a, const struct placement *b)
{
    return a->keepers_n == b->keepers_n &&
           memcmp(a->keepers, b->keepers, a->keepers_n * sizeof(a->keepers[0])) == 0;
}

/* Is it what was read before, by the same keepers? */
static bool is_read(const struct placement_config *from, const struct config *config)
{
    if (config->se != from->slot_epoch || config->n != from->replicas_n)
        return false;
    for (uint32_t i = 0; i < config->n; i++) {
        if (config->members[i] != from->replicas[i] ||
            (config->nodes[i] == NULL && config->self != (int32_t)i))
            return false;
    }
    return true;
}

static void slot_update(struct dvar_core *core, uint32_t slot_no, bool same_keepers)
{
    struct slot *slot = &core->slots[slot_no];
    const struct placement_slot *now = &core->placement.slots[slot_no];
    uint64_t active_before = slot->active.se;
    bool ours_before = slot->active.self >= 0;
    if (!same_keepers || !is_read(&now->active, &slot->active))
        config_read(core, &now->active, &slot->active);
    if (ours_before && slot->active.self < 0 && !MUTANT(DVAR_READS_ON))
        take_back_copies(slot);
    if (!same_keepers || !is_read(&now->chosen, &slot->chosen))
        config_read(core, &now->chosen, &slot->chosen);
    const struct placement_keeper *home =
        slot->active.n > 0 ? placement_keeper_find(&core->placement, slot->active.members[0])
                           : NULL;
    if (slot->active.n > 0 && slot->died_se != slot->active.se &&
        (home == NULL || home->state == KEEPER_DIED)) {
        slot->died_se = slot->active.se;
        slot->died_ms = core->now_ms;
    }
    uint64_t joined = slot->chosen.se > slot->active.se ? slot->chosen.se : slot->active.se;
    if (slot->serving && slot->active.self != 0) { /* our membership ended */
        slot->serving = false;
        abort_all(core, slot_no);
        share_drain(core, slot_no);
    }
    if (joined > slot->joined_se)
        new_epoch(core, slot_no, joined);
    if (slot->sync != NULL && (slot->chosen.self != 0 || slot->chosen.se != slot->sync->se)) {
        slot_forget_sync(core, slot); /* likewise, or it is not to be filled any more */
        abort_all(core, slot_no);
    }
    if (slot->active.se != active_before) {
        if (slot->active.self >= 0)
            drop_older(core, slot, slot->active.se);
        if (slot->active.self == 0 && slot->joined_se == slot->active.se)
            serve(core, slot_no, active_before);
    }
    if (slot->active.se != 0 && slot->active.self < 0 && slot->chosen.self < 0 &&
        !disk_counts(core, slot))
        drop_older(core, slot, UINT64_MAX);
    if (now->generation > slot->generation) {
        slot->generation = now->generation;
        if (!MUTANT(DVAR_SILENT_LOSS))
            watch_lost(core, slot_no);
    }
    if (slot->chosen.self == 0 && slot->chosen.se == slot->joined_se && slot->sync == NULL &&
        slot->active.se != slot->chosen.se)
        sync_start(core, slot_no);
    if (slot->sync != NULL && slot->sync->done && !same_keepers)
        sync_ready(core, slot_no); /* who held it may be over */
    else if (slot->sync != NULL)
        sync_step(core, slot_no);
}

/*
 * Boots that @placement proves. Before any slot of it is read: what waited for a session of a boot
 * that is over is done then, and what waited behind that begins, under the epoch that is still
 * ours.
 */
static void boots_of(struct dvar_core *core, const struct placement *placement)
{
    for (uint32_t i = 0; i < placement->keepers_n; i++) {
        const struct placement_keeper *keeper = &placement->keepers[i];
        struct node *node = mapid_find(&core->by_id, &keeper->boot.node);
        if (node != NULL && !placement_keeper_over(keeper))
            node_boot(core, node, keeper->boot.boot_no);
    }
}

void slots_placement(struct dvar_core *core, const struct placement *placement)
{
    if (core->have_placement && placement->epoch <= core->epoch)
        return;
    boots_of(core, placement);
    bool same_keepers = core->have_placement && has_same_keepers(&core->placement, placement);
    core->placement = *placement;
    core->epoch = placement->epoch;
    core->have_placement = true;
    core->keepers_active = 0;
    for (uint32_t i = 0; i < placement->keepers_n; i++)
        core->keepers_active += placement->keepers[i].state == KEEPER_ACTIVE;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        slot_update(core, i, same_keepers);
    client_route_all(core, NULL);
    home_retry_waiting(core);
    watch_register(core);
}

void slots_lease(struct dvar_core *core, uint64_t until_ms)
{
    /* What it granted ends by itself: a lease that is given back before its end ends none of it. */
    bool gap = !lease_ok(core);
    for (uint32_t i = 0; gap && i < PLACEMENT_SLOTS; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->active.self <= 0)
            continue; /* a home orders all writes: what it had is still the newest */
        slot->stamp++;
        take_back_cells(slot);
    }
    core->lease_until_ms = until_ms;
    atomic_store_explicit(&core->lease_word, until_ms * 1000000, memory_order_release);
    if (gap && lease_ok(core)) {
        client_route_all(core, NULL);
        watch_leased(core);
    }
}

void slots_tick(struct dvar_core *core)
{
    if (core->now_ms >= core->retried_ms + core->config.resend_ms / 2)
        home_retry_waiting(core);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->sync == NULL) {
            if (slot->chosen.self == 0 && slot->chosen.se == slot->joined_se &&
                slot->chosen.se > slot->active.se)
                sync_start(core, i);
            continue;
        }
        if (core->now_ms >= slot->sync->sent_ms + core->config.resend_ms)
            sync_send(core, i);
        sync_step(core, i);
        if (slot->sync != NULL && slot->sync->done &&
            core->now_ms >= slot->sync->ready_ms + READY_MS)
            sync_ready(core, i);
    }
}

uint64_t slots_deadline(const struct dvar_core *core)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct sync *sync = core->slots[i].sync;
        if (core->slots[i].waiting && core->retried_ms + core->config.resend_ms / 2 < at)
            at = core->retried_ms + core->config.resend_ms / 2;
        if (sync == NULL)
            continue;
        uint64_t next = sync->sent_ms + core->config.resend_ms;
        if (sync->done && sync->ready_ms + READY_MS < next)
            next = sync->ready_ms + READY_MS;
        if (next < at)
            at = next;
    }
    return at;
}

void slot_drained(struct dvar_core *core)
{
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (core->slots[i].sync != NULL)
            sync_step(core, i);
    }
}
