/*
 * dvar_check(): the invariants of docs/protocols/dvar.md, over everything. Tests and the simulator
 * run it after each step.
 */
#include "dvar/internal.h"

static void check_var(const struct dvar_core *core, const struct var *var)
{
    const struct slot *slot = &core->slots[var->slot];
    assert(var->slot < PLACEMENT_SLOTS);
    assert((var->block != NULL) == (var->state != VAR_NONE));
    assert(var->block == NULL || var->block->refs >= 1);
    assert(!(var->in_slot && var->state == VAR_CACHED));
    assert(list_linked(&var->link) == (var->in_slot || var->state == VAR_CACHED));
    assert(var->write == NULL || (var->in_slot && var->state == VAR_INVALID));
    assert(var->write == NULL || var->write->ts == var->ts);
    /* The version never runs ahead of the timestamp that carries it. */
    assert(var->block == NULL || var->block->version <= var->ts || MUTANT(DVAR_SEQ_RESET));
    /* Only a home has requests; a request waits only behind a write or a decision. */
    assert(var->queue_last == NULL || slot->serving || var->write != NULL);
    assert((var->queue_last == NULL) == (var->queue_n == 0));
    assert(var->state != VAR_VALID || TS_SE(var->ts) <= slot->joined_se);
    assert(var->pins > 0 || var->state != VAR_NONE || var->queue_last != NULL ||
           var->cell != NULL || var->write != NULL);
}

/* Most are: four are looked at at once. There are a power of two of them, 256 or more. */
static bool four_empty(struct var *const *at)
{
    return ((uintptr_t)at[0] | (uintptr_t)at[1] | (uintptr_t)at[2] | (uintptr_t)at[3]) == 0;
}

void dvar_check(const struct dvar_core *core)
{
    size_t vars = 0, cached = 0, writes = 0;
    assert(core->buckets_n % 4 == 0);
    for (size_t i = 0; i < core->buckets_n; i++) {
        if (i % 4 == 0 && four_empty(&core->buckets[i])) {
            i += 3;
            continue;
        }
        for (const struct var *var = core->buckets[i]; var != NULL; var = var->hash_next) {
            check_var(core, var);
            vars++;
            cached += var->state == VAR_CACHED;
            writes += var->write != NULL;
        }
    }
    assert(vars == core->vars_n);
    assert(cached == core->stats.cached);
    assert(writes == core->writes_n);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct slot *slot = &core->slots[i];
        assert(!slot->serving || (slot->active.self == 0 && slot->joined_se == slot->active.se));
        assert(slot->sync == NULL || slot->chosen.self == 0);
        uint32_t n = 0;
        list_for_each (it, &slot->vars)
            n++;
        assert(n == slot->vars_n);
    }
    size_t ops = 0;
    list_for_each (it, &core->ops) {
        const struct op *op = container_of(it, struct op, link);
        assert(op->client == NULL && op->no != 0);
        ops++;
    }
    assert(ops == core->stats.ops_pending);
    (void)vars, (void)cached, (void)writes, (void)ops;
}
