/*
 * Who is not heard. Every keeper beats to every other; silence, and what variables complain of, is
 * reported to the leader with the next ASK. The leader excludes whom two thirds of those that it
 * hears report, many at once; a single bad link costs one of its ends after 10 s (hole 15).
 */
#include "view/internal.h"

#define COMPLAINTS_N (sizeof(((struct view_core *)0)->complaints_of) / sizeof(uint32_t))

static bool silent(struct view_core *core, const struct placement_keeper *keeper)
{
    const struct vpeer *peer = peer_find(core, &keeper->boot.node);
    return peer == NULL || core->now_ms - peer->heard_ms > core->config.beat_missed_ms;
}

void watch_complain(struct view_core *core, uint32_t member_id)
{
    size_t oldest = 0;
    for (size_t i = 0; i < COMPLAINTS_N; i++) {
        if (core->complaints_of[i] == member_id) {
            oldest = i;
            break;
        }
        if (core->complaints_ms[i] < core->complaints_ms[oldest])
            oldest = i;
    }
    core->complaints_of[oldest] = member_id;
    core->complaints_ms[oldest] = core->now_ms;
}

static bool complained(const struct view_core *core, uint32_t member_id)
{
    for (size_t i = 0; i < COMPLAINTS_N; i++) {
        if (core->complaints_of[i] == member_id && core->complaints_ms[i] != 0 &&
            core->now_ms - core->complaints_ms[i] < REPORT_MS)
            return true;
    }
    return false;
}

uint32_t watch_missing(struct view_core *core, uint32_t *ids)
{
    const struct placement *p = &core->decided.placement;
    uint32_t n = 0;
    if (keeper_self(core) == NULL)
        return 0;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (keeper->state == KEEPER_ACTIVE && !view_is_self(core, &keeper->boot.node) &&
            (silent(core, keeper) || complained(core, keeper->member_id)))
            ids[n++] = keeper->member_id;
    }
    return n;
}

static void later(const struct view_core *core, uint64_t *at_ms, uint64_t by_ms)
{
    *at_ms = *at_ms + by_ms < core->now_ms ? *at_ms + by_ms : core->now_ms;
}

/* We slept: what was not heard meanwhile says nothing about the others. */
void watch_lag(struct view_core *core, uint64_t lag_ms)
{
    for (size_t i = 0; i < core->peers_n; i++) {
        if (core->peers[i].heard_ms != 0)
            later(core, &core->peers[i].heard_ms, lag_ms);
    }
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        if (core->reports[i].from != 0)
            later(core, &core->reports[i].since_ms, lag_ms);
    }
    later(core, &core->lease_seen_ms, lag_ms);
    lead_expect_leader(core);
}

/* ---- reports, as leader ---- */

static struct vreport *report_find(struct view_core *core, uint32_t from, uint32_t to)
{
    struct vreport *free_place = NULL;
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        struct vreport *report = &core->reports[i];
        if (report->from == from && report->to == to)
            return report;
        if (report->from == 0 && free_place == NULL)
            free_place = report;
    }
    return free_place;
}

/* All that @from reports now; what it reports no more is over. */
void watch_report(struct view_core *core, uint32_t from, const uint32_t *ids, uint32_t n)
{
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        struct vreport *report = &core->reports[i];
        bool still = false;
        for (uint32_t j = 0; j < n; j++)
            still = still || ids[j] == report->to;
        if (report->from == from && !still)
            *report = (struct vreport){0};
    }
    for (uint32_t j = 0; j < n; j++) {
        struct vreport *report = report_find(core, from, ids[j]);
        if (report == NULL)
            return;
        if (report->from == 0)
            *report = (struct vreport){.from = from, .to = ids[j], .since_ms = core->now_ms};
        report->last_ms = core->now_ms;
    }
}

static bool active(const struct view_core *core, uint32_t member_id)
{
    const struct placement_keeper *keeper =
        placement_keeper_find(&core->decided.placement, member_id);
    return keeper != NULL && keeper->state == KEEPER_ACTIVE;
}

static void expire(struct view_core *core)
{
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        struct vreport *report = &core->reports[i];
        if (report->from != 0 && (core->now_ms - report->last_ms > REPORT_MS ||
                                  !active(core, report->from) || !active(core, report->to)))
            *report = (struct vreport){0};
    }
}

/* Reports against @to; *since_out: the oldest of them. */
static uint32_t count(const struct view_core *core, uint32_t to, uint64_t *since_out)
{
    uint32_t n = 0;
    *since_out = UINT64_MAX;
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        const struct vreport *report = &core->reports[i];
        if (report->from == 0 || report->to != to)
            continue;
        n++;
        if (report->since_ms < *since_out)
            *since_out = report->since_ms;
    }
    return n;
}

/* How many must report one: two thirds of those the leader hears, without the one. */
static uint32_t cut_high(struct view_core *core, uint32_t without, uint32_t *keepers_n_out)
{
    const struct placement *p = &core->decided.placement;
    uint32_t heard = 0;
    uint32_t keepers = 0;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (keeper->state != KEEPER_ACTIVE)
            continue;
        keepers++;
        bool self = view_is_self(core, &keeper->boot.node);
        heard += keeper->member_id != without && (self || !silent(core, keeper));
    }
    *keepers_n_out = keepers;
    uint32_t need = (2 * heard + 2) / 3;
    return need >= 2 || heard < 2 ? need : 2;
}

/* One link is bad and its ends are well otherwise: the end with more complaints, else who does not
 * vote, else the higher id. */
static uint32_t worse_end(struct view_core *core, const struct vreport *report)
{
    uint64_t since;
    const struct placement *p = &core->decided.placement;
    const struct placement_keeper *a = placement_keeper_find(p, report->from);
    const struct placement_keeper *b = placement_keeper_find(p, report->to);
    if (view_is_self(core, &a->boot.node))
        return b->member_id;
    if (view_is_self(core, &b->boot.node))
        return a->member_id;
    uint32_t a_n = count(core, a->member_id, &since);
    uint32_t b_n = count(core, b->member_id, &since);
    if (a_n != b_n)
        return a_n > b_n ? a->member_id : b->member_id;
    bool a_votes = voter_place(&core->decided, &a->boot.node) >= 0;
    bool b_votes = voter_place(&core->decided, &b->boot.node) >= 0;
    if (a_votes != b_votes)
        return a_votes ? b->member_id : a->member_id;
    return a->member_id > b->member_id ? a->member_id : b->member_id;
}

static uint32_t add(uint32_t *ids, uint32_t n, uint32_t id)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return n;
    }
    ids[n] = id;
    return n + 1;
}

uint32_t watch_exclude(struct view_core *core, uint32_t *ids)
{
    const struct placement *p = &core->decided.placement;
    const struct placement_keeper *self = keeper_self(core);
    uint32_t own[VIEW_IDS_MAX];
    uint32_t n = 0;
    bool undecided = false; /* somebody is between the cuts, since just now */
    uint64_t oldest = UINT64_MAX;

    if (self != NULL)
        watch_report(core, self->member_id, own, watch_missing(core, own));
    expire(core);
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        uint64_t since;
        uint32_t keepers_n;
        if (keeper->state != KEEPER_ACTIVE || view_is_self(core, &keeper->boot.node))
            continue;
        uint32_t reports = count(core, keeper->member_id, &since);
        uint32_t need = cut_high(core, keeper->member_id, &keepers_n);
        if (reports == 0)
            continue;
        bool alone = need < 2 && keepers_n >= 3; /* only our word */
        bool enough = reports >= need && (!alone || core->now_ms - since > ALONE_MS);
        if (enough) {
            n = add(ids, n, keeper->member_id);
            oldest = since < oldest ? since : oldest;
        } else if (core->now_ms - since < CUT_BATCH_MS) {
            undecided = true;
        }
    }
    if (undecided && n > 0 && core->now_ms - oldest < 2 * CUT_BATCH_MS)
        return 0; /* those that go together go in one record */
    for (size_t i = 0; i < VIEW_REPORTS_MAX && n == 0; i++) {
        const struct vreport *report = &core->reports[i];
        if (report->from != 0 && core->now_ms - report->since_ms > LINK_COMPLAINT_MS)
            n = add(ids, n, worse_end(core, report));
    }
    return n;
}

bool watch_any_report(const struct view_core *core)
{
    for (size_t i = 0; i < VIEW_REPORTS_MAX; i++) {
        if (core->reports[i].from != 0)
            return true;
    }
    return false;
}

/* ---- beats ---- */

/*
 * Whatever is said to a keeper tells it that this node is here, so a beat goes only to whom nothing
 * was said for @after_ms. Returns when the next one is due.
 */
static uint64_t beat(struct view_core *core, uint64_t after_ms, uint64_t next_ms)
{
    const struct placement *p = &core->decided.placement;
    struct view_msg *m = NULL;
    uint64_t due_ms = core->now_ms + next_ms;

    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        const struct vpeer *peer = peer_find(core, &keeper->boot.node);
        if (keeper->state != KEEPER_ACTIVE || peer == NULL)
            continue;
        if (core->now_ms - peer->said_ms < after_ms) {
            due_ms = peer->said_ms + next_ms < due_ms ? peer->said_ms + next_ms : due_ms;
            continue;
        }
        if (m == NULL) {
            m = view_msg_new(core, VMSG_BEAT);
            m->epoch = p->epoch;
            m->ballot = core->leader;
        }
        view_send(core, &keeper->boot.node);
    }
    return due_ms;
}

/* Somewhat later than others are answered who beat as often: that is a beat, too. */
static uint64_t beat_after_ms(const struct view_core *core)
{
    return core->config.beat_ms + core->config.beat_ms / 4;
}

void watch_beat_soon(struct view_core *core)
{
    if (keeper_self(core) != NULL)
        core->beat_at_ms = beat(core, core->config.beat_ms / 2, beat_after_ms(core));
}

void watch_run(struct view_core *core)
{
    uint32_t ids[VIEW_IDS_MAX];
    if (!view_has(core) || !core->config.eligible || core->now_ms < core->beat_at_ms)
        return;
    core->beat_at_ms = core->now_ms + core->config.beat_ms;
    if (keeper_self(core) == NULL)
        return;
    core->beat_at_ms = beat(core, beat_after_ms(core), beat_after_ms(core));
    if (watch_missing(core, ids) > core->missing_told)
        core->ask_at_ms = core->now_ms;
}
