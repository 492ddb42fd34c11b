/*
 * A copy that watches tells its watches of a write before its home does: it has the write itself,
 * and hears from all other copies that they have it (HAVE). That is when the write is done, unless
 * somebody caches the variable or a disk is waited for; the home names the copies that watch only
 * where that is not so. It is one message less on the way from a write to a watch.
 *
 * It is a hint that may be lost. The home tells all the same, and says what is counted and up to
 * where all was told; what was told ahead is left out then (watch.c).
 */
#include "dvar/watch.h"

#define AHEAD_WINDOW 16 /* a node with more that it has not acknowledged hears in order only */

/* ---- the home ---- */

uint8_t ahead_copies(const struct dvar_core *core, const struct write *write)
{
    const struct config *config = &core->slots[write->var->slot].active;
    bool is_cached = write->sharers != NULL && !MUTANT(DVAR_AHEAD_OF_CACHES);
    uint32_t copies = 0;
    for (uint32_t i = 0; i < config->n && !write->durable && !is_cached; i++) {
        const struct watcher *watcher = config->nodes[i] != NULL ? config->nodes[i]->watcher : NULL;
        if (watcher != NULL && watcher->pending_n == 0 && watcher->overflow == 0 &&
            watcher->sent_n < AHEAD_WINDOW && watcher_wants(watcher, write->var, 0))
            copies |= 1u << i;
    }
    return (uint8_t)copies;
}

/* ---- copies ---- */

/* What is known of the write @ts: a place that a later one may take. */
static struct ahead *ahead_place(struct dvar_core *core, uint32_t slot, uint64_t ts)
{
    struct ahead *ahead = &core->aheads[(ts + (uint64_t)slot * 37) % DVAR_AHEAD_MAX];
    if (ahead->ts == ts && ahead->slot == slot)
        return ahead;
    struct var *var = ahead->var;
    *ahead = (struct ahead){.ts = ts, .slot = (uint8_t)slot, .at_ms = core->now_ms};
    if (var != NULL)
        var_unpin(core, var);
    return ahead;
}

static void ahead_end(struct dvar_core *core, struct ahead *ahead)
{
    struct var *var = ahead->var;
    ahead->var = NULL;
    if (var != NULL)
        var_unpin(core, var);
}

/* Have all said that they have it? Then it is done, whether or not its home knows. */
static void ahead_try(struct dvar_core *core, struct ahead *ahead)
{
    struct var *var = ahead->var;
    const struct slot *slot = &core->slots[ahead->slot];
    if (var == NULL)
        return;
    if (slot->active.se != TS_SE(ahead->ts) || slot->active.self <= 0 ||
        slot->released_se > slot->active.se || var->ts != ahead->ts || !var->in_slot) {
        ahead_end(core, ahead);
        return;
    }
    uint32_t others = ((1u << slot->active.n) - 1) & ~1u & ~(1u << slot->active.self);
    if ((ahead->have & others) != others && !MUTANT(DVAR_AHEAD_OF_COPIES))
        return;
    if (var->state == VAR_INVALID)
        replica_valid(core, var);
    watch_tell_ahead(core, var, ahead->folded, ahead->stream);
    ahead_end(core, ahead);
}

void ahead_begin(
    struct dvar_core *core, struct var *var, uint64_t ts, uint64_t stream, uint32_t folded)
{
    if (core->watches_n == 0)
        return;
    struct ahead *ahead = ahead_place(core, var->slot, ts);
    ahead_end(core, ahead);
    ahead->var = var;
    ahead->stream = stream;
    ahead->folded = folded;
    var->pins++;
    ahead_try(core, ahead);
}

void ahead_say(struct dvar_core *core,
               const struct config *config,
               uint32_t slot,
               uint64_t ts,
               uint32_t copies)
{
    for (uint32_t i = 1; i < config->n && core->via == NULL; i++) {
        bool is_told = (copies & 1u << i) != 0 && config->nodes[i] != NULL;
        uint8_t *p = is_told ? message_add(core, config->nodes[i], WIRE_HAVE, 0, slot, 8) : NULL;
        if (p != NULL)
            put_le64(p, ts);
    }
}

int on_have(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t ts = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    const struct config *config = &core->slots[slot_no].active;
    if (core->watches_n == 0 || config->se != TS_SE(ts) || config->self <= 0)
        return 0;
    for (uint32_t i = 1; i < config->n; i++) {
        if (config->nodes[i] != from || config->boots[i] != boot)
            continue;
        struct ahead *ahead = ahead_place(core, slot_no, ts);
        ahead->have |= 1u << i;
        ahead_try(core, ahead);
    }
    return 0;
}

void ahead_forget(struct dvar_core *core, uint64_t ms)
{
    for (uint32_t i = 0; i < DVAR_AHEAD_MAX; i++) {
        struct ahead *ahead = &core->aheads[i];
        if (ahead->var != NULL && core->now_ms >= ahead->at_ms + ms)
            ahead_end(core, ahead);
    }
}
