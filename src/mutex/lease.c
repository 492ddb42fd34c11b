/*
 * Leases: that of this node as a keeper, those of this node as an edge with the homes of records,
 * and those that it grants to edges as a home.
 *
 * A participant lives by one lease from its joining on, and the record says by which: a keeper by
 * its member id of the view, an edge by a session with the home of the record. Whether a keeper's
 * lease is over is decided by the view; whether an edge's is, by the home's clock. Both are for
 * good: who comes back joins anew.
 *
 * A session is one for each edge and home, not for each mutex; a grant names the slots it holds
 * for. A home that knows of a configuration in which it is not home any more grants nothing for
 * that slot, so that the next home has to wait once, from its activation on, as long as the longest
 * session.
 */
#include "mutex/internal.h"

#define SESSIONS_SWEEP_MS 1000

/* ---- who lives ---- */

static struct session *session_find(const struct mutex_core *core, const struct boot_id *boot)
{
    struct session *s = map64_find(&core->sessions_by_hash, hash_bytes(boot, sizeof(*boot), 0));
    return s != NULL && boot_id_equal(&s->boot, boot) ? s : NULL;
}

static enum life life_of_keeper(const struct mutex_core *core, const struct part *p)
{
    const struct placement_keeper *keeper = placement_keeper_find(&core->placement, p->member_id);
    if (keeper == NULL) /* gone, unless our view is older than its joining */
        return core->placement.epoch >= p->epoch ? LIFE_OVER : LIFE_LIVE;
    if (keeper->state == KEEPER_ACTIVE)
        return LIFE_LIVE;
    if (keeper->state == KEEPER_EXCLUDED && !MUTANT(MUTEX_NO_LEASE_WAIT))
        return LIFE_RUNS_OUT;
    return LIFE_OVER;
}

enum life life_of(struct mutex_core *core, const struct mutex *m, const struct part *p)
{
    if (p->member_id != 0)
        return life_of_keeper(core, p);
    /* Of an edge only the home may judge. */
    if (is_self(core, &p->boot) || !home_is_self(core, m->slot))
        return LIFE_LIVE;
    const struct session *s = session_find(core, &p->boot);
    if (s != NULL && core->now_ms < s->until_ms)
        return LIFE_LIVE;
    uint64_t since = core->home_since_ms[m->slot];
    if (!MUTANT(MUTEX_NO_GRACE) && core->now_ms < lease_lessor_until_ms(since, SESSION_MS))
        return LIFE_LIVE;
    return LIFE_OVER;
}

/* ---- our own ---- */

static uint64_t until_of(const struct mutex_core *core, const struct mutex *m)
{
    if (m->member_id != 0)
        return m->member_id == core->self_member ? core->lease_until_ms : 0;
    return core->slots[m->slot].until_ms;
}

bool lease_valid(const struct mutex_core *core, const struct mutex *m)
{
    return core->now_ms < until_of(core, m);
}

uint64_t lease_left_ms(const struct mutex_core *core, const struct mutex *m)
{
    uint64_t until = until_of(core, m);
    return until > core->now_ms ? until - core->now_ms : 0;
}

uint64_t lease_lapses(const struct mutex_core *core, const struct mutex *m)
{
    return m->member_id != 0 ? core->lapses : core->slots[m->slot].lapses;
}

bool lease_to_join(struct mutex_core *core, const struct mutex *m, uint32_t *member_id_out)
{
    *member_id_out = core->self_member;
    if (core->self_member != 0)
        return core->now_ms < core->lease_until_ms;
    if (placement_keeper_of(&core->placement, &core->config.self) != NULL)
        return false; /* excluded: neither yet */
    if (core->now_ms < core->slots[m->slot].until_ms)
        return true;
    if (core->session_ms > core->now_ms + SESSION_RENEW_MS)
        core->session_ms = core->now_ms;
    return false;
}

static void next_lapse(struct mutex_core *core)
{
    core->lapse_ms = core->lease_until_ms != 0 ? core->lease_until_ms : UINT64_MAX;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (core->slots[i].until_ms != 0)
            core->lapse_ms = min_u64(core->lapse_ms, core->slots[i].until_ms);
    }
}

/* The lease @m lived by is over: what it held is lost, and a session's joining with it. */
static void lapsed(struct mutex_core *core, struct mutex *m, bool out)
{
    if (MUTANT(MUTEX_NO_LEASE_CHECK))
        return;
    list_for_each_safe (it, &m->held) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->state == WAITER_HOLDS)
            local_lose(core, w, "this node's lease has ended before it could be renewed");
    }
    if (out)
        record_out(core, m);
    else
        token_drop(core, m);
    if (!core->quorum)
        local_end_all(core, m, KITH_E_NO_QUORUM,
                      "not enough nodes can be reached to say who holds it");
    mutex_touch(core, m);
}

void lease_check(struct mutex_core *core)
{
    if (core->now_ms < core->lapse_ms)
        return;
    if (core->lease_until_ms != 0 && core->now_ms >= core->lease_until_ms) {
        core->lease_until_ms = 0;
        core->lapses++;
        list_for_each (it, &core->mutexes) {
            struct mutex *m = container_of(it, struct mutex, link);
            if (m->state == IN && m->member_id != 0)
                lapsed(core, m, false);
        }
    }
    uint64_t ended = 0;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (core->slots[i].until_ms == 0 || core->now_ms < core->slots[i].until_ms)
            continue;
        core->slots[i].until_ms = 0;
        core->slots[i].lapses++;
        ended |= 1ull << i;
    }
    if (ended != 0) {
        list_for_each (it, &core->mutexes) {
            struct mutex *m = container_of(it, struct mutex, link);
            if (m->state == IN && m->member_id == 0 && (ended >> m->slot & 1) != 0)
                lapsed(core, m, !MUTANT(MUTEX_NO_REJOIN));
        }
    }
    next_lapse(core);
}

/* A lease has come: who waited for one joins. */
static void join_waiting(struct mutex_core *core, uint64_t slots)
{
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        if ((slots >> m->slot & 1) == 0 || m->waiting_n == 0)
            continue;
        record_work(core, m);
        token_enter(core, m);
        mutex_touch(core, m);
    }
}

void lease_set(struct mutex_core *core, uint64_t until_ms)
{
    bool had = core->lease_until_ms != 0;
    if (until_ms <= core->now_ms) {
        if (had) { /* taken back: as if it had ended now */
            core->lease_until_ms = core->now_ms;
            core->lapse_ms = core->now_ms;
            lease_check(core);
        }
        return;
    }
    core->lease_until_ms = until_ms;
    next_lapse(core);
    if (!had) {
        join_waiting(core, UINT64_MAX);
        list_for_each (it, &core->mutexes) {
            struct mutex *m = container_of(it, struct mutex, link);
            if (m->home != NULL)
                home_step(core, m);
        }
    }
}

/* ---- the placement ---- */

static void homes_changed(struct mutex_core *core)
{
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_config *active = &core->placement.slots[i].active;
        bool ours = active->replicas_n > 0 && core->self_member != 0 &&
                    active->replicas[0] == core->self_member;
        if (ours && core->home_epoch[i] == active->slot_epoch)
            continue;
        core->home_epoch[i] = ours ? active->slot_epoch : 0;
        core->home_since_ms[i] = core->now_ms;
    }
}

void lease_placement(struct mutex_core *core, const struct placement *placement)
{
    if (placement->epoch <= core->placement.epoch)
        return;
    core->placement = *placement;
    const struct placement_keeper *self = placement_keeper_of(placement, &core->config.self);
    uint32_t member = self != NULL && self->state == KEEPER_ACTIVE ? self->member_id : 0;
    /* A lease of the former member is not one of this. Excluded, the one we have runs out. */
    bool other = core->self_member != 0 && member != core->self_member &&
                 (self == NULL || self->member_id != core->self_member);
    if (other || (self != NULL && placement_keeper_over(self))) {
        core->lapses++;
        core->lease_until_ms = 0;
    }
    if (self == NULL || self->state != KEEPER_EXCLUDED || core->lease_until_ms == 0)
        core->self_member = member;
    if (core->self_member == 0)
        core->lease_until_ms = 0;
    next_lapse(core);
    memset(core->home_epoch, 0, other ? sizeof(core->home_epoch) : 0);
    homes_changed(core);
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        if (m->state == IN && m->member_id != 0 && m->member_id != core->self_member)
            lapsed(core, m, true);
        if (m->waiting_n > 0) { /* perhaps another home: it is told that we wait */
            m->req_next_ms = core->now_ms;
            list_for_each (w, &m->waiting)
                container_of(w, struct waiter, link)->next_ms = core->now_ms;
        }
        if (m->home != NULL)
            home_step(core, m);
        if (m->waiting_n > 0 || m->home != NULL)
            mutex_touch(core, m);
    }
}

/* ---- sessions: the edge ---- */

static void renew(struct mutex_core *core)
{
    uint64_t slots = 0;
    core->session_ms = UINT64_MAX;
    list_for_each (it, &core->mutexes) {
        const struct mutex *m = container_of(it, struct mutex, link);
        bool lives = m->state == IN && m->member_id == 0;
        bool would = m->state == OUT && m->waiting_n > 0 &&
                     placement_keeper_of(&core->placement, &core->config.self) == NULL;
        if (lives || would)
            slots |= 1ull << m->slot;
    }
    if (slots == 0)
        return;
    const struct boot_id *sent[PLACEMENT_KEEPERS_MAX];
    uint32_t sent_n = 0;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct boot_id *home = (slots >> i & 1) != 0 ? home_of(core, i) : NULL;
        bool known = home == NULL;
        for (uint32_t k = 0; k < sent_n && !known; k++)
            known = boot_id_equal(sent[k], home);
        if (known || sent_n == PLACEMENT_KEEPERS_MAX)
            continue;
        sent[sent_n++] = home;
        msg_send(core, NULL, home, (struct mutex_msg){.type = MSG_LEASE, .a = core->now_ms}, NULL);
    }
    core->session_ms = core->now_ms + SESSION_RENEW_MS;
}

static void recv_leased(struct mutex_core *core, const struct mutex_msg *msg)
{
    uint64_t fresh = 0;
    if (msg->a > core->now_ms || core->now_ms - msg->a > SESSION_MS || msg->b > SESSION_MS)
        return;
    uint64_t until = lease_lessee_until_ms(msg->a, msg->b);
    if (until <= core->now_ms)
        return;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if ((msg->c >> i & 1) == 0)
            continue;
        if (core->slots[i].until_ms == 0)
            fresh |= 1ull << i;
        if (core->slots[i].until_ms < until)
            core->slots[i].until_ms = until;
    }
    next_lapse(core);
    if (fresh != 0)
        join_waiting(core, fresh);
}

/* ---- sessions: the home ---- */

static void
recv_lease(struct mutex_core *core, const struct boot_id *from, const struct mutex_msg *msg)
{
    uint64_t slots = 0, d = lease_nested_ms(core->lease_until_ms, core->now_ms);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (home_is_self(core, i))
            slots |= 1ull << i;
    }
    if (d > SESSION_MS)
        d = SESSION_MS;
    if (slots == 0 || d == 0)
        return;
    uint64_t key = hash_bytes(from, sizeof(*from), 0);
    struct session *s = map64_find(&core->sessions_by_hash, key);
    if (s == NULL) {
        s = core->sessions_by_hash.n < MUTEX_SESSIONS_MAX ? core_calloc(1, sizeof(*s)) : NULL;
        if (s == NULL || map64_set(&core->sessions_by_hash, key, s) != 0) {
            core_free(s);
            core->stats.sessions_refused++;
            return;
        }
        s->boot = *from;
    } else if (!boot_id_equal(&s->boot, from)) {
        core->stats.sessions_refused++;
        return;
    }
    uint64_t until = lease_lessor_until_ms(core->now_ms, d);
    if (until > s->until_ms)
        s->until_ms = until;
    msg_send(core, NULL, from,
             (struct mutex_msg){.type = MSG_LEASED, .a = msg->a, .b = d, .c = slots}, NULL);
}

static void sessions_remove(struct mutex_core *core, const struct boot_id *proof, bool and_this)
{
    struct session *gone[64];
    size_t n, at;
    do {
        struct session *s;
        n = at = 0;
        while (n < 64 && (s = map64_next(&core->sessions_by_hash, &at)) != NULL) {
            bool older = proof != NULL && memcmp(&s->boot.node, &proof->node, 16) == 0 &&
                         (s->boot.boot_no < proof->boot_no ||
                          (and_this && s->boot.boot_no == proof->boot_no));
            if (proof != NULL ? older : core->now_ms >= s->until_ms)
                gone[n++] = s;
        }
        for (size_t i = 0; i < n; i++) {
            (void)map64_remove(&core->sessions_by_hash,
                               hash_bytes(&gone[i]->boot, sizeof(gone[i]->boot), 0));
            core_free(gone[i]);
        }
    } while (n == 64);
}

void lease_peer(struct mutex_core *core, const struct boot_id *boot, bool up, bool left)
{
    if (!up && !left)
        return; /* a hint, and leases do without */
    sessions_remove(core, boot, left && !up);
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        if (m->home != NULL)
            home_step(core, m);
    }
}

void lease_recv(struct mutex_core *core, const struct boot_id *from, const struct mutex_msg *msg)
{
    if (msg->type == MSG_LEASE)
        recv_lease(core, from, msg);
    else
        recv_leased(core, msg);
}

void lease_tick(struct mutex_core *core)
{
    if (core->now_ms >= core->session_ms)
        renew(core);
    if (core->sessions_by_hash.n > 0)
        sessions_remove(core, NULL, false);
}

uint64_t lease_deadline_ms(const struct mutex_core *core)
{
    return min_u64(core->lapse_ms, core->session_ms);
}

void lease_free(struct mutex_core *core)
{
    size_t at = 0;
    for (struct session *s; (s = map64_next(&core->sessions_by_hash, &at)) != NULL;)
        core_free(s);
    map64_deinit(&core->sessions_by_hash);
}
