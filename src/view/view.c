/*
 * Life of the core, and one step.
 */
#include "view/view.h"

#include "view/internal.h"

bool view_is_self(const struct view_core *core, const struct kith_node_id *node)
{
    return memcmp(node, &core->config.self.node, sizeof(*node)) == 0;
}

bool view_has(const struct view_core *core)
{
    return core->decided.placement.epoch != 0;
}

uint64_t view_random_ms(struct view_core *core, uint64_t min_ms, uint64_t max_ms)
{
    return min_ms + rng_below(&core->rng, max_ms - min_ms + 1);
}

/* ---- life ---- */

static void defaults(struct view_config *config)
{
    struct {
        uint32_t *at;
        uint32_t value;
    } fields[] = {
        {&config->settle_ms, 3000},      {&config->grow_ms, 60000},
        {&config->replace_ms, 600000},   {&config->disks_wait_ms, 30000},
        {&config->slot_lost_ms, 60000},  {&config->beat_ms, 500},
        {&config->beat_missed_ms, 1500}, {&config->moves_max, 2},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (*fields[i].at == 0)
            *fields[i].at = fields[i].value;
    }
}

int view_new(struct view_core **core_out, const struct view_config *config)
{
    if (config->self.boot_no == 0)
        return kith_fail_with(KITH_E_INVALID, "a node without boot number has no view");
    struct view_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    defaults(&core->config);
    memcpy(core->disk_id, config->disk_id, sizeof(core->disk_id));
    rng_init(&core->rng, config->seed);
    core->held_last = &core->held_first;
    core->role = VIEW_FOLLOWER;
    core->attempt = 1;
    *core_out = core;
    return 0;
}

void view_free(struct view_core *core)
{
    if (core == NULL)
        return;
    while (core->held_first != NULL) {
        struct vheld *next = core->held_first->next;
        core_free(core->held_first);
        core->held_first = next;
    }
    arena_deinit(&core->arena);
    core_free(core->puts);
    core_free(core->actions);
    core_free(core);
}

static void start(struct view_core *core)
{
    core->started = true;
    core->start_ms = core->now_ms;
    view_put_start(core);
    if (core->accepted_epoch <= core->decided.placement.epoch)
        core->accepted_epoch = 0;
    if (view_has(core)) {
        view_act(core, VIEW_CHANGED)->placement = &core->decided.placement;
        peer_of_record(core);
        voter_start(core);
    }
    core->hello_at_ms = core->fetch_at_ms = core->beat_at_ms = core->now_ms;
}

static void on_peer_up(struct view_core *core, const struct view_event *event)
{
    struct vpeer *peer = peer_find(core, &event->from.node);
    if (view_is_self(core, &event->from.node) || (peer == NULL && !event->eligible))
        return;
    peer = view_peer_get(core, &event->from);
    if (peer == NULL)
        return;
    peer->up = true;
    peer->eligible = event->eligible;
    if (event->name != NULL) {
        size_t len = strlen(event->name);
        if (len > MEMBER_NAME_BYTES_MAX)
            len = MEMBER_NAME_BYTES_MAX;
        memcpy(peer->name, event->name, len);
        peer->name[len] = '\0';
    }
}

static void on_peer_down(struct view_core *core, const struct view_event *event)
{
    struct vpeer *peer = peer_find(core, &event->from.node);
    if (peer == NULL || event->from.boot_no < peer->boot.boot_no)
        return;
    peer->up = false;
    if (event->left && event->from.boot_no > peer->left_boot)
        peer->left_boot = event->from.boot_no;
}

static void on_link(struct view_core *core, const struct view_event *event, bool up)
{
    struct vpeer *peer =
        up ? view_peer_get(core, &event->from) : peer_find(core, &event->from.node);
    if (peer == NULL)
        return;
    peer->linked = up;
    if (up && core->config.eligible)
        peer_hello_send(core, &event->from.node, peer_asks(core, peer));
    if (up && !core->config.eligible)
        core->fetch_at_ms = core->now_ms;
}

static void on_slot_event(struct view_core *core, const struct view_event *event)
{
    if (event->slot >= PLACEMENT_SLOTS || !core->config.eligible)
        return;
    if (event->type == VIEW_SLOT_DURABLE) {
        learn_ready(core, event->slot, VFLAG_DURABLE);
        return;
    }
    struct vready *ready = &core->own_ready[event->slot];
    ready->slot_epoch = event->slot_epoch;
    ready->released_n =
        event->released_n < PLACEMENT_REPLICAS_MAX ? event->released_n : PLACEMENT_REPLICAS_MAX;
    if (ready->released_n > 0)
        memcpy(ready->released, event->released, ready->released_n * sizeof(ready->released[0]));
    learn_ready(core, event->slot, 0);
}

/* What it was granted and what it granted is over with this step. */
static void on_stop(struct view_core *core)
{
    if (core->role == VIEW_LEADER)
        lead_resign(core);
    core->stopped = true;
    core->lease_until_ms = 0;
}

static int do_event(struct view_core *core, const struct view_event *event)
{
    switch (event->type) {
    case VIEW_RECALL:
        assert(!core->started);
        return view_recall(core, event);
    case VIEW_START:
        assert(!core->started);
        start(core);
        return 0;
    case VIEW_TICK:
        return 0;
    case VIEW_RECV:
        return view_receive(core, &event->from, event->data, event->len);
    case VIEW_PERSISTED:
        assert(event->token <= core->token);
        if (event->token > core->persisted)
            core->persisted = event->token;
        return 0;
    case VIEW_PEER_UP:
        on_peer_up(core, event);
        return 0;
    case VIEW_PEER_DOWN:
        on_peer_down(core, event);
        return 0;
    case VIEW_LINK_UP:
    case VIEW_LINK_DOWN:
        on_link(core, event, event->type == VIEW_LINK_UP);
        return 0;
    case VIEW_BOOTSTRAP:
        return mint_bootstrap(core, event->expect);
    case VIEW_SLOT_READY:
    case VIEW_SLOT_DURABLE:
        on_slot_event(core, event);
        return 0;
    case VIEW_COMPLAIN:
        watch_complain(core, event->member_id);
        return 0;
    case VIEW_LEAVE:
        core->leaving = true;
        core->ask_at_ms = core->now_ms;
        return 0;
    case VIEW_STOP:
        on_stop(core);
        return 0;
    case VIEW_FORCE:
        return mint_force(core);
    case VIEW_BOOT:
        core->config.self.boot_no = event->boot_no;
        core->lease_until_ms = 0;
        if (!MUTANT(VIEW_ROLLED_BACK_VOTER))
            peer_new_disk(core);
        return 0;
    case VIEW_DISK_FULL:
        core->disk_full = event->full;
        return 0;
    }
    return KITH_E_INVALID;
}

/* To whom an agreed record says nothing more: the node may go. */
static void run_leave(struct view_core *core)
{
    if (!core->leaving || core->left)
        return;
    const struct placement *p = &core->decided.placement;
    bool needed = false;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (view_is_self(core, &p->keepers[i].boot.node) && !placement_keeper_over(&p->keepers[i]))
            needed = true;
    }
    bool alone = true;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (p->keepers[i].state == KEEPER_ACTIVE && !view_is_self(core, &p->keepers[i].boot.node))
            alone = false;
    }
    bool votes = voter_place(&core->decided, &core->config.self.node) >= 0;
    if (view_has(core) && (needed || votes || core->role == VIEW_LEADER) && !alone)
        return;
    core->left = true;
    view_act(core, VIEW_LEFT);
}

static void tell_roles(struct view_core *core)
{
    bool leading = core->role == VIEW_LEADER;
    if (core->lease_until_ms != core->lease_told_ms) {
        core->lease_told_ms = core->lease_until_ms;
        view_act(core, VIEW_LEASE)->until_ms = core->lease_until_ms;
    }
    if (leading != core->was_leading)
        view_act(core, VIEW_LEADING)->leading = leading;
    core->was_leading = leading;
}

static void run(struct view_core *core)
{
    if (!core->started || core->dead)
        return;
    view_release_held(core);
    if (core->stopped) {
        tell_roles(core);
        return;
    }
    learn_persisted(core);
    peer_run(core);
    mint_run(core);
    voter_run(core);
    lead_run(core);
    view_release_held(core);
    learn_persisted(core);
    grant_run(core);
    watch_run(core);
    learn_run(core);
    run_leave(core);
    view_release_held(core);
    tell_roles(core);
}

int view_step(struct view_core *core, const struct view_event *event, struct view_output *out)
{
    arena_reset(&core->arena);
    core->actions_n = 0;
    core->error = 0;
    uint64_t due_ms = view_deadline_ms(core);
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    if (core->started && core->now_ms > due_ms && core->now_ms - due_ms > LAG_MS)
        watch_lag(core, core->now_ms - due_ms);
    if (event->type != VIEW_TICK && event->type != VIEW_RECV)
        core->plan_at_ms = core->now_ms;
    int r = core->dead ? KITH_E_MEMORY : 0;
    if (r == 0 && (!core->stopped || event->type == VIEW_PERSISTED))
        r = do_event(core, event);
    run(core);
    view_flush_puts(core);
    if (core->dead)
        core->actions_n = 0;
    *out = (struct view_output){.actions = core->actions, .actions_n = core->actions_n};
    return core->error != 0 ? core->error : r;
}

static void earlier(uint64_t *at, uint64_t other)
{
    if (other < *at)
        *at = other;
}

uint64_t view_deadline_ms(const struct view_core *core)
{
    if (!core->started)
        return UINT64_MAX;
    if (core->dead || core->stopped)
        return UINT64_MAX;
    uint64_t at = core->fetch_at_ms;
    earlier(&at, core->hello_at_ms);
    if (core->config.eligible && view_has(core)) {
        earlier(&at, core->beat_at_ms);
        earlier(&at, core->ask_at_ms);
        if (core->role == VIEW_LEADER) {
            uint64_t plan_ms = core->proposed_ms + PROPOSE_MS;
            earlier(&at, core->plan_at_ms > plan_ms ? core->plan_at_ms : plan_ms);
            if (core->proposing || !core->prepared || !core->settled)
                earlier(&at, core->resent_ms + RESEND_MS);
            earlier(&at, core->hb_at_ms);
        }
        if (core->role != VIEW_LEADER && voter_self(core, &core->decided))
            earlier(&at, core->candidate_at_ms);
    }
    return at > core->now_ms ? at : core->now_ms + 1;
}

const struct placement *view_placement(const struct view_core *core)
{
    return &core->decided.placement;
}

bool view_slot_durable(const struct view_core *core, uint32_t slot)
{
    return slot < PLACEMENT_SLOTS && (core->decided.durable_slots >> slot & 1) != 0;
}

void view_stats(const struct view_core *core, struct view_stats *stats_out)
{
    *stats_out = core->stats;
}
