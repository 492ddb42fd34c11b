/*
 * Life of the core, one step, its timers. A step: notice whether we slept, do the event, do the
 * timers that are due, hand out what came of it.
 */
#include "member/member.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/error.h"
#include "core/mutant.h"
#include "member/internal.h"

/* ---- output ---- */

void *core_arena(struct member_core *core, size_t len)
{
    void *memory = arena_alloc(&core->arena, len);
    if (memory == NULL)
        core->error = KITH_E_MEMORY;
    return memory;
}

/* What cannot be told for want of memory is dropped: the caller gets a place that nobody reads. */
struct member_action *core_act(struct member_core *core, enum member_action_type type)
{
    static _Thread_local struct member_action nowhere;
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap == 0 ? 16 : core->actions_cap * 2;
        struct member_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
        if (actions == NULL) {
            core->error = KITH_E_MEMORY;
            return &nowhere;
        }
        core->actions = actions;
        core->actions_cap = cap;
    }
    struct member_action *action = &core->actions[core->actions_n++];
    *action = (struct member_action){.type = type};
    return action;
}

const char *core_text(struct member_core *core, const char *format, ...)
{
    char *text = core_arena(core, 160);
    if (text == NULL)
        return "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, 160, format, args);
    va_end(args);
    return text;
}

/* ---- timers ---- */

void core_timer_set(struct member_core *core, struct timer *timer, uint64_t at_ms)
{
    if (heap_set(&core->timers, &timer->at, at_ms) != 0)
        core->error = KITH_E_MEMORY;
}

void core_timer_stop(struct member_core *core, struct timer *timer)
{
    heap_remove(&core->timers, &timer->at);
}

static void node_timer(struct member_core *core, struct mnode *node)
{
    switch (node->pub.status) {
    case KITH_STATUS_SUSPECT:
        suspect_expired(core, node);
        return;
    case KITH_STATUS_ALIVE:
        if (core->config.detector_echo)
            echo_timer(core, node);
        return;
    case KITH_STATUS_FAILED:
    case KITH_STATUS_LEFT:
        table_remove(core, node);
        return;
    }
}

static void timer_fire(struct member_core *core, struct timer *timer)
{
    core_timer_stop(core, timer);
    switch (timer->kind) {
    case TIMER_PROBE:
        probe_timer(core);
        return;
    case TIMER_GOSSIP:
        gossip_round(core);
        return;
    case TIMER_PUSH_PULL:
        sync_timer(core);
        return;
    case TIMER_DIAL:
        dial_timer(core);
        return;
    case TIMER_NODE:
        node_timer(core, container_of(timer, struct mnode, timer));
        return;
    case TIMER_RELAY:
        probe_relay_timer(core, container_of(timer, struct relay, timer));
        return;
    case TIMER_SEED:
        dial_seed_timer(core, container_of(timer, struct seed, timer));
        return;
    case TIMER_TOMB:
        tomb_remove(core, container_of(timer, struct tomb, timer));
        return;
    }
}

static void run_timers(struct member_core *core)
{
    struct heap_node *first;
    while ((first = heap_first(&core->timers)) != NULL && first->key <= core->now_ms)
        timer_fire(core, container_of(first, struct timer, at));
}

/*
 * We slept: whatever ran out meanwhile says nothing about the others (protocols 5.1). Suspicions
 * get the time back, an echo under way starts again, and the score keeps us from judging in haste.
 */
static void slept(struct member_core *core, uint64_t lag_ms)
{
    if (core->config.lifeguard_off || lag_ms <= LAG_MS || MUTANT(MEMBER_NO_LAG))
        return;
    /* The driver and our own timers notice the same sleep. */
    if (core->lag_handled_ms != 0 && core->now_ms - core->lag_handled_ms < LAG_MS)
        return;
    core->lag_handled_ms = core->now_ms;
    core->stats.lags++;
    health_add(core, lag_ms > 4 * LAG_MS ? HEALTH_NO_CONFIRM : HEALTH_NO_CONFIRM / 2);
    suspect_shift(core, lag_ms);
    if (core->config.detector_echo)
        echo_shift(core, lag_ms);
    else
        probe_lag(core);
}

static void notice_sleep(struct member_core *core)
{
    struct heap_node *first = heap_first(&core->timers);
    if (core->started && first != NULL && core->now_ms > first->key)
        slept(core, core->now_ms - first->key);
}

/* ---- our own facts ---- */

void core_sign(struct member_core *core)
{
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct facts_record record;
    core->facts_version++;
    size_t len = facts_encode(bytes, &core->config, &core->facts, core->self->pub.boot_no,
                              core->facts_version, core->leaving);
    int r = facts_decode(&record, bytes, len);
    assert(r == 0);
    (void)r;
    if (table_set_record(core, core->self, &record)) {
        core->self->pub.facts.registry_version = core->facts.registry_version;
        gossip_queue(core, core->self, GOSSIP_FACTS);
    }
}

static bool facts_equal(const struct member_facts *a, const struct member_facts *b)
{
    if (strcmp(a->name, b->name) != 0 || strcmp(a->version, b->version) != 0 ||
        a->addresses_n != b->addresses_n || a->role != b->role || a->cpus != b->cpus ||
        a->cores != b->cores || a->memory_bytes != b->memory_bytes || a->gpu != b->gpu ||
        a->born_unix_ms != b->born_unix_ms)
        return false;
    for (uint32_t i = 0; i < a->addresses_n; i++)
        if (strcmp(a->addresses[i], b->addresses[i]) != 0)
            return false;
    return true;
}

static int own_facts(struct member_core *core, const struct member_facts *facts)
{
    int r = facts_check(facts);
    if (r != 0)
        return r;
    bool registry = facts->registry_version != core->facts.registry_version;
    bool rest = !facts_equal(facts, &core->facts);
    core->facts = *facts;
    if (rest) {
        core_sign(core);
    } else if (registry) {
        core->self->pub.facts.registry_version = facts->registry_version;
        gossip_queue(core, core->self, GOSSIP_REGISTRY);
    }
    if (rest || registry)
        core_act(core, MEMBER_FACTS_CHANGED)->member = &core->self->pub;
    return 0;
}

/* ---- events ---- */

static void start(struct member_core *core)
{
    core->started = true;
    core->self->pub.status_since_ms = core->now_ms; /* alive since now, not since time 0 */
    probe_start(core);
    sync_start(core);
    dial_start(core);
}

static int remember(struct member_core *core, const struct member *peer)
{
    if (id_equal(&peer->id, &core->config.self) || table_find(core, &peer->id) != NULL)
        return 0;
    struct mnode *node = table_add(core, &peer->id);
    if (node == NULL)
        return core->error != 0 ? core->error : KITH_E_LIMIT;
    node->remembered = true;
    node->pub.boot_no = peer->boot_no;
    if (!table_set_unsigned(core, node, peer)) {
        table_set_status(core, node, KITH_STATUS_FAILED);
        table_remove(core, node);
        return KITH_E_MEMORY;
    }
    table_set_status(core, node, KITH_STATUS_FAILED);
    core_act(core, MEMBER_LEARNED)->member = &node->pub;
    dial_soon(core);
    return 0;
}

static int forget(struct member_core *core, const struct kith_node_id *id)
{
    struct mnode *node = table_find(core, id);
    if (node == NULL)
        return kith_fail_with(KITH_E_NO_NODE, "no such node is known here");
    if (node->pub.status == KITH_STATUS_ALIVE || node->pub.status == KITH_STATUS_SUSPECT)
        return kith_fail_with(
            KITH_E_EXISTS, "node '%s' is %s: stop it first, or wait until it is seen as failed",
            node->pub.shown_name, node == core->self ? "this node itself" : "still here");
    uint64_t for_ms = node->pub.facts.role == KITH_ROLE_PROGRAM ? PROGRAM_TOMBSTONE_MS
                                                                : core->config.tombstone_ms;
    struct tomb *tomb = tomb_set(core, id, node->pub.boot_no, node->pub.incarnation, for_ms);
    if (tomb == NULL)
        return KITH_E_MEMORY;
    gossip_queue_tomb(core, tomb);
    table_remove(core, node);
    return 0;
}

static void leave(struct member_core *core)
{
    if (core->leaving)
        return;
    core->leaving = true;
    core_timer_stop(core, &core->probe_timer);
    core_timer_stop(core, &core->push_pull_timer);
    core_timer_stop(core, &core->dial_timer);
    core_sign(core);
    if (core->self->gossip[GOSSIP_FACTS] == NULL) {
        /* Nobody is here to be told. */
        core->left_told = true;
        core_act(core, MEMBER_TOLD_LEAVE);
    }
}

static void own_boot(struct member_core *core, uint64_t boot_no)
{
    if (boot_no <= core->self->pub.boot_no)
        return;
    core->config.boot_no = boot_no;
    core->self->pub.boot_no = boot_no;
    core->self->pub.incarnation = 0;
    core->facts_version = 0;
    core_sign(core);
}

static void link_down(struct member_core *core, const struct kith_node_id *id)
{
    struct mnode *node = table_find(core, id);
    if (node == NULL || !node->pub.link_up)
        return;
    node->pub.link_up = false;
    node->sync_owed = false;
    /* It may have died just now: look at it first. */
    if (node->pub.status != KITH_STATUS_ALIVE || core->leaving)
        return;
    if (core->config.detector_echo)
        echo_now(core, node);
    else
        table_probe_next(core, node);
}

static bool id_is_none(const struct kith_node_id *id)
{
    static const struct kith_node_id none;
    return id_equal(id, &none);
}

static int do_event(struct member_core *core, const struct member_event *event)
{
    switch (event->type) {
    case MEMBER_START:
        start(core);
        return 0;
    case MEMBER_TICK:
        return 0;
    case MEMBER_SEED:
        return dial_add_seed(core, event->text);
    case MEMBER_REMEMBER:
        return remember(core, event->peer);
    case MEMBER_LINK_UP:
        dial_link_up(core, &event->id, event->text);
        sync_link_up(core, &event->id, event->boot_no);
        return 0;
    case MEMBER_LINK_DOWN:
        link_down(core, &event->id);
        return 0;
    case MEMBER_DIAL_FAILED:
        if (id_is_none(&event->id))
            dial_failed(core, event->text);
        else
            dial_link_up(core, &event->id, event->text);
        return 0;
    case MEMBER_DATAGRAM:
        return datagram_in(core, event);
    case MEMBER_FRAME:
        return sync_frame_in(core, event);
    case MEMBER_FACTS:
        return own_facts(core, event->facts);
    case MEMBER_LOAD:
        core->load = *event->load;
        core->load_at_ms = core->now_ms;
        core->load_known = true;
        core->self->pub.load = core->load;
        core->self->pub.load_known = true;
        core->self->pub.load_at_ms = core->now_ms;
        return 0;
    case MEMBER_LAG:
        slept(core, event->lag_ms);
        return 0;
    case MEMBER_LEAVE:
        leave(core);
        return 0;
    case MEMBER_FORGET:
        return forget(core, &event->id);
    case MEMBER_BOOT:
        own_boot(core, event->boot_no);
        return 0;
    }
    return KITH_E_INVALID;
}

/* What can be asserted without looking at the whole table; member_check() looks. */
static void check_step(const struct member_core *core)
{
    assert(core->health <= core->config.health_max);
    assert(core->here_n < core->all_n);
    assert(core->alive_n >= 1);
    assert(core->alive_n <= core->here_n + 1);
    assert(core->self->pub.status == KITH_STATUS_ALIVE);
    assert(core->probe.phase == PROBE_IDLE || core->probe.target != NULL);
    assert(core->here_n > 0 || core->gossip_n == 0);
}

int member_step(struct member_core *core,
                const struct member_event *event,
                struct member_output *out)
{
    arena_reset(&core->arena);
    table_bury(core);
    core->actions_n = 0;
    core->error = 0;
    core->cache_dirty = false;
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    core->now_us = event->now_us != 0 ? event->now_us : core->now_ms * 1000;
    if (event->type != MEMBER_START)
        notice_sleep(core);
    int r = do_event(core, event);
    /* An event that was refused comes back with nothing else in hand: the timers wait for the next.
     */
    if (core->started && r == 0)
        run_timers(core);
    if (core->cache_dirty)
        core_act(core, MEMBER_CACHE_DIRTY);
    check_step(core);
    out->actions = core->actions;
    out->actions_n = core->actions_n;
    return r != 0 ? r : core->error;
}

uint64_t member_deadline_ms(const struct member_core *core)
{
    const struct heap_node *first = heap_first(&core->timers);
    return core->started && first != NULL ? first->key : UINT64_MAX;
}

/* ---- life ---- */

static int make_self(struct member_core *core)
{
    core->self = table_add(core, &core->config.self);
    if (core->self == NULL)
        return KITH_E_MEMORY;
    core->self->pub.boot_no = core->config.boot_no;
    table_set_status(core, core->self, KITH_STATUS_ALIVE);
    core->self->pub.rtt_us = 0;
    core_sign(core);
    return core->error;
}

int member_new(struct member_core **core_out, const struct member_config *config)
{
    struct member_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    for (size_t i = 0; i <= GOSSIP_SENDS_MAX; i++)
        list_init(&core->by_sends[i]);
    list_init(&core->failed);
    list_init(&core->left);
    list_init(&core->suspects);
    list_init(&core->tombs_by_age);
    core->probe_timer.kind = TIMER_PROBE;
    core->gossip_timer.kind = TIMER_GOSSIP;
    core->push_pull_timer.kind = TIMER_PUSH_PULL;
    core->dial_timer.kind = TIMER_DIAL;
    core->facts = config->facts;
    rng_init(&core->rng, config->seed);
    core->seq = (uint32_t)rng_u64(&core->rng) & ~0xffu;
    int r = params_fill(&core->config);
    if (r == 0)
        r = make_self(core);
    if (r != 0) {
        member_free(core);
        return r;
    }
    core->actions_n = 0;
    *core_out = core;
    return 0;
}

void member_free(struct member_core *core)
{
    if (core == NULL)
        return;
    struct heap_node *first;
    while ((first = heap_first(&core->timers)) != NULL)
        heap_remove(&core->timers, first);
    while (core->all_n > 0)
        table_remove(core, core->all[core->all_n - 1]);
    table_bury(core);
    struct list *link;
    while ((link = list_first(&core->tombs_by_age)) != NULL)
        tomb_remove(core, container_of(link, struct tomb, link));
    for (size_t i = 0; i < core->seeds_n; i++)
        core_free(core->seeds[i]);
    arena_deinit(&core->arena);
    mapid_deinit(&core->by_id);
    mapid_deinit(&core->tombs);
    maptext_deinit(&core->by_name);
    heap_deinit(&core->timers);
    core_free(core->all);
    core_free(core->here);
    core_free(core->relays);
    core_free(core->actions);
    core_free(core);
}

/* ---- looking ---- */

struct member *member_find(const struct member_core *core, const struct kith_node_id *id)
{
    struct mnode *node = table_find(core, id);
    return node == NULL ? NULL : &node->pub;
}

struct member *member_self(const struct member_core *core)
{
    return &core->self->pub;
}

struct member *member_next(const struct member_core *core, size_t *at)
{
    return *at < core->all_n ? &core->all[(*at)++]->pub : NULL;
}

size_t member_alive_n(const struct member_core *core, bool programs)
{
    return programs ? core->alive_n : core->alive_n - core->alive_programs_n;
}

uint32_t member_health(const struct member_core *core)
{
    return core->health;
}

const struct tally *member_rtts(const struct member_core *core)
{
    return &core->rtts;
}

void member_stats(const struct member_core *core, struct member_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->gossip_queued = core->gossip_n;
    stats_out->suspects = 0;
    list_for_each (it, &core->suspects)
        stats_out->suspects++;
}
