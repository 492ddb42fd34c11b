/*
 * The record of a mutex, a durable consistent variable: its generation, how it works, and who
 * takes part. Here it is read and written, one request at a time for each mutex.
 *
 * A joining has a number of its own (`joined`), even if the same run of a node joins again: what
 * was sent to an earlier joining, or decided about it, says nothing of this one.
 *
 * Generations must grow for ever, also when the record goes with its last participant and comes
 * again: a second variable, one for each slot of names, keeps the highest generation that any
 * record of the slot went with (the floor). It is raised before a record goes. Who creates a record
 * takes a generation above it and looks once more afterwards, since another life of the record may
 * have come and gone in between.
 */
#include <stdio.h>

#include "mutex/internal.h"

/* ---- what is asked ---- */

static void again_later(struct mutex_core *core, struct mutex *m, uint64_t ms)
{
    m->step = STEP_NONE;
    m->want_read = true;
    m->fresh = false;
    m->retry_ms = core->now_ms + ms;
    mutex_touch(core, m);
}

static bool ask(struct mutex_core *core, struct mutex *m, enum step step, struct mutex_action as)
{
    struct mutex_action *action = NULL;
    uint64_t id = core->next_ask++;

    if (map64_set(&core->asks, id, m) == 0) {
        action = mutex_act(core, as.type);
        if (action == NULL)
            (void)map64_remove(&core->asks, id);
    }
    if (action == NULL) {
        again_later(core, m, RECORD_RETRY_MS);
        return false;
    }
    as.ask = id;
    *action = as;
    m->ask = id;
    m->step = step;
    return true;
}

static bool ask_read(struct mutex_core *core, struct mutex *m, enum step step)
{
    return ask(core, m, step,
               (struct mutex_action){.type = MUTEX_RECORD_READ, .name = m->record_name});
}

static bool ask_cas(struct mutex_core *core, struct mutex *m, enum step step)
{
    return ask(core, m, step,
               (struct mutex_action){.type = MUTEX_RECORD_CAS,
                                     .name = m->record_name,
                                     .version = m->version,
                                     .data = m->cas.data,
                                     .len = m->cas.len});
}

static const char *floor_name(struct mutex_core *core, uint32_t slot)
{
    char *name = core->floor_names[slot];
    if (name[0] == '\0')
        (void)snprintf(name, sizeof(core->floor_names[slot]), MUTEX_RECORD_PREFIX "\x01gen/%02u",
                       slot);
    return name;
}

static bool ask_floor(struct mutex_core *core, struct mutex *m, enum step step)
{
    return ask(core, m, step,
               (struct mutex_action){.type = MUTEX_RECORD_READ, .name = floor_name(core, m->slot)});
}

static void ask_raise(struct mutex_core *core, struct mutex *m)
{
    uint8_t bytes[4];
    put_le32(bytes, m->rec_gen);
    m->cas.len = 0;
    if (buf_append(&m->cas, bytes, sizeof(bytes)) != 0) {
        again_later(core, m, RECORD_RETRY_MS);
        return;
    }
    (void)ask(core, m, STEP_DROP_RAISE,
              (struct mutex_action){.type = MUTEX_RECORD_CAS,
                                    .name = floor_name(core, m->slot),
                                    .version = m->floor_version,
                                    .data = m->cas.data,
                                    .len = m->cas.len});
}

/* ---- joining ---- */

static bool wants_shared(const struct mutex *m)
{
    list_for_each (it, &m->waiting) {
        if (container_of(it, struct waiter, link)->shared)
            return true;
    }
    return false;
}

/* We under a new number, everybody else as read. */
static void join(struct mutex_core *core, struct mutex *m, uint32_t member_id, uint32_t gen)
{
    bool create = m->version == 0;
    uint32_t listed = 0;
    for (uint32_t i = 0; i < m->parts_n; i++)
        listed += m->parts[i].listed && !is_self(core, &m->parts[i].boot);
    if (listed >= core->config.participants_max) {
        char why[96];
        (void)snprintf(why, sizeof(why),
                       "%u nodes use it already, its limit; try when some have left", listed);
        local_end_all(core, m, KITH_E_LIMIT, why);
        return;
    }
    if (create) {
        m->creator = core->config.self;
        m->created_gen = gen;
        m->joins = 0;
    }
    uint32_t above = m->joins > m->cas_joined ? m->joins : m->cas_joined;
    bool queue = create ? m->permits > 1 || wants_shared(m) : m->rec_queue;
    struct part self = {.boot = core->config.self,
                        .joined = above + 1,
                        .member_id = member_id,
                        .epoch = member_id != 0 ? core->placement.epoch : 0};
    int bad = record_begin(m, gen, queue, self.joined);
    for (uint32_t i = 0; i < m->parts_n && !create; i++) {
        if (m->parts[i].listed && !is_self(core, &m->parts[i].boot))
            bad |= record_part(m, &m->parts[i]);
    }
    bad |= record_part(m, &self);
    if (bad != 0) {
        again_later(core, m, RECORD_RETRY_MS);
        return;
    }
    m->cas_joined = self.joined;
    m->cas_created = create;
    m->member_id = member_id;
    m->epoch = self.epoch;
    m->cas_lapses = lease_lapses(core, m);
    (void)ask_cas(core, m, create ? STEP_CREATE : STEP_JOIN);
}

/* The record has our joining @joined. */
static void joined(struct mutex_core *core, struct mutex *m, bool created)
{
    if (m->rec_gen < m->gen) { /* a home has asked us in a later one since */
        again_later(core, m, 0);
        return;
    }
    m->state = IN;
    m->joined = m->cas_joined;
    m->n = 0;
    m->want = false;
    m->gen = m->rec_gen;
    m->queue = m->rec_queue;
    m->lx = -1;
    token_stays(m);
    m->token = m->frozen = m->transit = false;
    m->unverified = m->token_due = created && !m->queue;
    if (MUTANT(MUTEX_HOME_CREATES) && !m->queue && home_is_self(core, m->slot))
        m->unverified = m->token_due = true;
    m->used_ms = core->now_ms;
    token_want(core, m);
    queue_tick(core, m);
}

/* Our own joining, written by a CAS whose answer was lost? */
static void find_joined(struct mutex_core *core, struct mutex *m)
{
    struct part *self = m->cas_joined == 0 ? NULL : part_find(m, m->cas_joined);
    if (self == NULL || !self->listed || !is_self(core, &self->boot) ||
        lease_lapses(core, m) != m->cas_lapses || !lease_valid(core, m))
        return;
    joined(core, m, m->cas_created && m->created_gen == m->rec_gen);
}

void record_out(struct mutex_core *core, struct mutex *m)
{
    if (m->state == OUT)
        return;
    list_for_each_safe (it, &m->held)
        local_lose(core, container_of(it, struct waiter, link),
                   "its record does not name this node any more");
    m->state = OUT;
    m->joined = 0;
    m->cas_joined = 0; /* that joining is over for good */
    m->unverified = m->token_due = m->want = false;
    token_drop(core, m);
    list_for_each (it, &m->waiting)
        container_of(it, struct waiter, link)->next_ms = 0;
    mutex_touch(core, m);
}

/* ---- leaving ---- */

static uint32_t others_n(struct mutex_core *core, struct mutex *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        bool over = p->member_id != 0 && life_of(core, m, p) == LIFE_OVER;
        n += !is_self(core, &p->boot) && !over;
    }
    return n;
}

/*
 * From the moment it is asked for we take part no more: it may take effect long before we hear.
 */
static void leave(struct mutex_core *core, struct mutex *m)
{
    bool alone = others_n(core, m) == 0;
    if (m->state == IN && !alone && (m->token || m->transit)) {
        m->want_leave = false; /* who holds the token stays as long as others do */
        return;
    }
    for (uint32_t i = 0; i < m->parts_n && m->state == IN && !alone; i++) {
        if (m->parts[i].joined != m->joined)
            msg_send(core, m, &m->parts[i].boot, (struct mutex_msg){.type = MSG_LEFT}, NULL);
    }
    record_out(core, m);
    m->lost = false;
    if (alone) {
        (void)ask_floor(core, m, STEP_DROP_FLOOR);
        return;
    }
    int bad = record_begin(m, m->rec_gen, m->rec_queue, m->joins);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].listed && !is_self(core, &m->parts[i].boot))
            bad |= record_part(m, &m->parts[i]);
    }
    if (bad == 0)
        (void)ask_cas(core, m, STEP_LEAVE);
    else
        again_later(core, m, RECORD_RETRY_MS);
}

static bool self_listed(const struct mutex_core *core, const struct mutex *m)
{
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].listed && is_self(core, &m->parts[i].boot))
            return true;
    }
    return false;
}

/* As home: who is over leaves; with the last the record goes. */
static void sweep(struct mutex_core *core, struct mutex *m)
{
    uint32_t over = 0, live = 0;
    m->want_sweep = false;
    if (!home_is_self(core, m->slot) || (m->home != NULL && m->home->state != HOME_IDLE))
        return;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        bool gone = life_of(core, m, &m->parts[i]) == LIFE_OVER;
        over += gone;
        live += !gone;
    }
    /* A dead one may have had the token: with others alive that is for a recovery to say, when
     * somebody wants it. */
    if (over == 0 || live > 0)
        return;
    (void)ask_floor(core, m, STEP_DROP_FLOOR);
}

/* ---- the home begins a generation ---- */

void record_recover(struct mutex_core *core, struct mutex *m)
{
    (void)ask_floor(core, m, STEP_RECOVER_FLOOR);
}

static void write_recover(struct mutex_core *core, struct mutex *m)
{
    uint32_t above = m->floor_gen > m->rec_gen ? m->floor_gen : m->rec_gen;
    int bad = record_begin(m, above + 1, m->rec_queue || (m->home != NULL && m->home->to_queue),
                           m->joins);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        enum life life = life_of(core, m, &m->parts[i]);
        if (m->parts[i].listed && life != LIFE_OVER)
            bad |= record_part(m, &m->parts[i]);
    }
    if (bad == 0)
        (void)ask_cas(core, m, STEP_RECOVER);
    else
        again_later(core, m, RECORD_RETRY_MS);
}

/* ---- what is due ---- */

void record_refresh(struct mutex_core *core, struct mutex *m)
{
    if (m->hint_ms != 0 && core->now_ms < m->hint_ms + REFRESH_MS)
        return;
    m->hint_ms = core->now_ms + 1;
    m->want_read = true;
    mutex_touch(core, m);
}

void record_work(struct mutex_core *core, struct mutex *m)
{
    uint32_t member_id;

    if (m->ask != 0 || core->now_ms < m->retry_ms)
        return;
    bool joins = m->state == OUT && m->waiting_n > 0 && lease_to_join(core, m, &member_id);
    if (m->want_read || (joins && !m->fresh)) {
        (void)ask_read(core, m, STEP_READ);
    } else if (m->unverified) {
        (void)ask_floor(core, m, STEP_VERIFY_FLOOR);
    } else if (joins) {
        if (m->version == 0)
            (void)ask_floor(core, m, STEP_CREATE_FLOOR);
        else
            join(core, m, member_id, m->rec_gen);
    } else if (m->want_leave && m->waiting_n == 0 && m->held_n == 0) {
        if (m->state == IN || (m->fresh && self_listed(core, m)))
            leave(core, m);
        else
            m->want_leave = false;
    } else if (m->want_sweep) {
        sweep(core, m);
    }
    if (m->home != NULL && m->ask == 0)
        home_step(core, m);
}

/* ---- answers ---- */

static void record_gone(struct mutex_core *core, struct mutex *m)
{
    m->version = 0;
    m->parts_n = 0;
    m->rec_gen = 0;
    m->joins = 0;
    m->rec_queue = false;
    m->fresh = true;
    record_out(core, m);
    home_free(m);
}

static void read_done(struct mutex_core *core, struct mutex *m, const struct mutex_event *event)
{
    m->want_read = false;
    m->step = STEP_NONE;
    m->reads_n++;
    if (event->u.record.code == KITH_E_NOT_FOUND) {
        record_gone(core, m);
    } else if (record_take(core, m, event->u.record.version, event->u.record.data,
                           event->u.record.len) != 0) {
        again_later(core, m, 10 * RECORD_RETRY_MS);
        return;
    }
    if (m->state == OUT && m->version != 0 && m->waiting_n > 0)
        find_joined(core, m);
}

static bool is_cas(enum step step)
{
    return step == STEP_JOIN || step == STEP_CREATE || step == STEP_VERIFY || step == STEP_LEAVE ||
           step == STEP_DROP_RAISE || step == STEP_DROP || step == STEP_RECOVER ||
           step == STEP_SWEEP;
}

/* The floor as read. */
static void floor_done(struct mutex_core *core, struct mutex *m, const struct mutex_event *event)
{
    enum step step = m->step;
    uint32_t member_id;
    bool there = event->u.record.code == 0 && event->u.record.len == 4;

    m->step = STEP_NONE;
    m->floor_gen = there ? get_le32(event->u.record.data) : 0;
    m->floor_version = event->u.record.code == 0 ? event->u.record.version : 0;
    if (step == STEP_CREATE_FLOOR) {
        if (m->version == 0 && m->waiting_n > 0 && m->state == OUT &&
            lease_to_join(core, m, &member_id))
            join(core, m, member_id, m->floor_gen + 1);
    } else if (step == STEP_VERIFY_FLOOR) {
        if (!m->unverified)
            return;
        if (m->floor_gen < m->gen || MUTANT(MUTEX_NO_FLOOR)) {
            m->unverified = false;
            if (m->token_due)
                token_make(core, m);
            m->token_due = false;
            token_enter(core, m);
            return;
        }
        m->created_gen = m->floor_gen + 1;
        int bad = record_begin(m, m->created_gen, m->rec_queue, m->joins);
        for (uint32_t i = 0; i < m->parts_n; i++)
            bad |= m->parts[i].listed ? record_part(m, &m->parts[i]) : 0;
        if (bad == 0)
            (void)ask_cas(core, m, STEP_VERIFY);
        else
            again_later(core, m, RECORD_RETRY_MS);
    } else if (step == STEP_DROP_FLOOR) {
        if (m->floor_gen < m->rec_gen && !MUTANT(MUTEX_NO_FLOOR)) {
            ask_raise(core, m);
            return;
        }
        m->cas.len = 0;
        (void)ask_cas(core, m, STEP_DROP);
    } else if (step == STEP_RECOVER_FLOOR) {
        if (m->home != NULL && m->home->state == HOME_WANTS)
            write_recover(core, m);
    }
}

/* A CAS took effect. */
static void cas_done(struct mutex_core *core, struct mutex *m, uint64_t version)
{
    enum step step = m->step;

    m->step = STEP_NONE;
    if (step == STEP_DROP_RAISE) {
        m->cas.len = 0;
        (void)ask_cas(core, m, STEP_DROP);
        return;
    }
    if (step == STEP_DROP) {
        m->want_leave = false;
        record_gone(core, m);
        return;
    }
    bool token_due = m->token_due;
    if (record_take(core, m, version, m->cas.data, m->cas.len) != 0) {
        again_later(core, m, RECORD_RETRY_MS);
        return;
    }
    if (step == STEP_JOIN || step == STEP_CREATE) {
        if (lease_lapses(core, m) == m->cas_lapses && lease_valid(core, m))
            joined(core, m, step == STEP_CREATE);
    } else if (step == STEP_VERIFY) {
        m->token_due = token_due && m->state == IN; /* record_take() took it for a recovery */
        m->unverified = m->token_due;
    } else if (step == STEP_LEAVE) {
        m->want_leave = false;
    } else if (step == STEP_RECOVER) {
        home_begun(core, m);
    }
}

void record_answer(struct mutex_core *core, const struct mutex_event *event)
{
    struct mutex *m = map64_remove(&core->asks, event->u.record.ask);
    if (m == NULL)
        return;
    int code = event->u.record.code;
    bool cas = is_cas(m->step);
    m->ask = 0;
    if (code == 0 || (code == KITH_E_NOT_FOUND && !cas)) {
        if (cas)
            cas_done(core, m, event->u.record.version);
        else if (m->step == STEP_READ)
            read_done(core, m, event);
        else
            floor_done(core, m, event);
    } else {
        if (code == KITH_E_NO_QUORUM && m->state == OUT)
            local_end_all(core, m, KITH_E_NO_QUORUM,
                          "not enough nodes can be reached to say who holds it; see `kith view`");
        bool lost_race = cas && code == KITH_E_AGAIN;
        if (lost_race && m->state == OUT)
            m->want_leave = m->waiting_n == 0;
        again_later(core, m,
                    lost_race ? rng_below(&core->rng, 10)
                              : RECORD_RETRY_MS + rng_below(&core->rng, 50));
    }
    record_work(core, m);
    mutex_touch(core, m);
}

int record_seen(struct mutex_core *core, const struct mutex_event *event)
{
    const char *name = event->u.record.name;
    size_t len = strlen(name);
    if (len <= PREFIX_BYTES || memcmp(name, MUTEX_RECORD_PREFIX, PREFIX_BYTES) != 0 ||
        !mutex_name_fits(name + PREFIX_BYTES, len - PREFIX_BYTES))
        return 0;
    if (record_check(event->u.record.data, event->u.record.len) != 0) {
        core->stats.bad_frames++;
        return KITH_E_CORRUPT;
    }
    struct mutex *m = mutex_find_name(core, name + PREFIX_BYTES, len - PREFIX_BYTES);
    if (m == NULL)
        m = mutex_make(core, name + PREFIX_BYTES, len - PREFIX_BYTES);
    if (m == NULL)
        return 0;
    if (m->state == OUT && m->ask == 0 && m->waiting_n == 0 && event->u.record.version > m->version)
        (void)record_take(core, m, event->u.record.version, event->u.record.data,
                          event->u.record.len);
    m->want_sweep = true;
    record_work(core, m);
    mutex_touch(core, m);
    return 0;
}
