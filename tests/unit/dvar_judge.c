/*
 * The judge of the world of variables: what a history must not show.
 */
#include "dvar_world.h"

static bool may_have_removed(const struct entry *e, uint64_t version)
{
    if (e->kind != VALUE_OP_DELETE || e->refused)
        return false;
    return !e->ended || e->version > version;
}

bool was_lost(const struct world *w, const struct entry *e)
{
    return e->version < w->lost_from[e->name];
}

/* Nobody found it, and somebody had written it: then somebody deleted it, or it was lost. */
static bool vanished(const struct world *w, const struct entry *absent)
{
    uint64_t version = 0;
    for (size_t i = 0; i < w->history_n; i++) {
        const struct entry *e = &w->history[i];
        if (e->name == absent->name && e->write && e->ended && e->kind != VALUE_OP_DELETE &&
            e->end < absent->start && e->version > version &&
            !(was_lost(w, e) && absent->end > w->outage_tick))
            version = e->version;
    }
    for (size_t i = 0; i < w->history_n; i++) {
        if (w->history[i].name == absent->name && w->history[i].start < absent->end &&
            may_have_removed(&w->history[i], version))
            return false;
    }
    return version != 0;
}

const char *judge(const struct world *w)
{
    for (size_t i = 0; i < w->history_n; i++) {
        const struct entry *a = &w->history[i];
        if (a->ended && a->ok && !a->write && a->version == 0 && vanished(w, a))
            return "a value vanished";
        for (size_t j = 0; a->refused && a->wanted != 0 && j < w->history_n; j++) {
            const struct entry *b = &w->history[j];
            if (b->ended && b->ok && b->name == a->name && b->value == a->wanted)
                return "what was refused took effect";
        }
        if (!a->ended || !a->ok)
            continue;
        if (a->version != 0 && a->version < a->floor && a->floor >= w->lost_from[a->name])
            return "an older version was read than a watch had been told";
        for (size_t j = 0; j < w->history_n; j++) {
            const struct entry *b = &w->history[j];
            if (i == j || !b->ended || !b->ok || a->name != b->name)
                continue;
            /* A read of an absent variable has no version to compare. */
            if (a->version != 0 && a->version == b->version && a->value != b->value)
                return "one version, two values";
            if (a->version != 0 && a->version == b->version && a->write && b->write)
                return "one version, two writes";
            if ((a->name == 0 || a->name == GUARD_AT) && a->version < b->version &&
                was_lost(w, a) == was_lost(w, b) && a->value >= b->value && b->write)
                return "an addition was lost";
            if (a->end < b->start && a->name == 0 && b->version < a->version &&
                !(b->version == 0 && was_lost(w, a)))
                return "a counter went back";
            if (a->end < b->start && b->version != 0 && b->version < a->version)
                return "an older version was read";
            if (a->end < b->start && b->write && b->version <= a->version)
                return "a write did not advance";
        }
    }
    return NULL;
}

/* Who heard of it at all heard the last of it. */
const char *heard_last(const struct world *w, const struct entry *last)
{
    for (int i = 0; i < NODES; i++) {
        const struct heard *heard = &w->nodes[i].heard[last->name];
        if (heard->version == 0 || last->version == 0)
            continue;
        if (heard->version < last->version)
            return "a watch did not hear of the last change";
        if (heard->version == last->version && heard->value != last->value)
            return "a watch heard of another value";
    }
    return NULL;
}
