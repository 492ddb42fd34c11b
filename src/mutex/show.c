/* What a core tells of itself between steps, and whether it is sound. */
#include "mutex/internal.h"

uint64_t mutex_holds(const struct mutex_core *core, uint64_t waiter, uint64_t now_ms)
{
    const struct waiter *w = map64_find(&core->waiters, waiter);
    if (w == NULL || w->state != WAITER_HOLDS)
        return 0;
    uint64_t until =
        w->mutex->member_id != 0 ? core->lease_until_ms : core->slots[w->mutex->slot].until_ms;
    return now_ms < until ? w->fence : 0;
}

bool mutex_next(struct mutex_core *core, size_t *at, uint64_t now_ms, struct mutex_info *info_out)
{
    size_t i = 0;
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        if (i++ < *at || (m->state == OUT && m->waiting_n == 0 && m->held_n == 0))
            continue;
        *at = i;
        *info_out = (struct mutex_info){.name = m->name,
                                        .gen = m->gen,
                                        .queue = m->queue,
                                        .permits = m->permits,
                                        .participants_n = m->parts_n,
                                        .answered_n = 1,
                                        .waiters_n = m->waiting_n,
                                        .list = core->next.list};
        info_out->list_n = ask_fill(core, m, core->next.list, MUTEX_TOLD_MAX);
        return true;
    }
    return false;
}

void mutex_stats(const struct mutex_core *core, struct mutex_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->names = (uint32_t)core->names.n;
    stats_out->sessions = (uint32_t)core->sessions_by_hash.n;
    list_for_each (it, &core->mutexes) {
        const struct mutex *m = container_of(it, struct mutex, link);
        stats_out->waiting += m->waiting_n;
        stats_out->holding += m->held_n;
        stats_out->home_of += m->home != NULL;
    }
}

void mutex_check(const struct mutex_core *core)
{
    list_for_each (it, &core->mutexes) {
        const struct mutex *m = container_of(it, struct mutex, link);
        assert(!(m->token && m->transit && m->transit_x > m->lx));
        assert(!m->token || m->state == IN);
        assert(m->queue || m->held_n <= 1);
        assert(m->queue || m->held_n == 0 || m->token);
        assert(!m->frozen || m->token);
        assert(!m->passing || (m->token && m->held_n == 0));
        assert(m->state == OUT || m->joined != 0);
        uint32_t n = 0;
        list_for_each (w, &m->waiting) {
            assert(container_of(w, struct waiter, link)->state == WAITER_WAITS);
            n++;
        }
        assert(n == m->waiting_n);
        for (uint32_t i = 1; i < m->parts_n; i++)
            assert(m->parts[i - 1].joined < m->parts[i].joined);
        const struct home *h = m->home;
        uint32_t held = 0, alone = 0;
        for (uint32_t i = 0; h != NULL && i < h->places_n; i++) {
            held += h->places[i].granted;
            alone += h->places[i].granted && !h->places[i].shared;
        }
        assert(m->permits > 1 || alone == 0 || held == 1);
    }
}
