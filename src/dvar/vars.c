/*
 * The table of variables, and the blocks their values live in.
 */
#include "dvar/internal.h"

/* ---- blocks ---- */

#define BLOCK_FIRST_BYTES 64

static int block_class(size_t bytes)
{
    int at = 0;
    for (size_t cap = BLOCK_FIRST_BYTES; cap < bytes; cap *= 2)
        at++;
    return at < BLOCK_CLASSES ? at : -1;
}

static struct block *block_new(struct dvar_core *core, size_t cap)
{
    struct block *block = core_malloc(sizeof(*block) + cap);
    if (block == NULL) {
        core->short_of_memory = true;
        return NULL;
    }
    block->cap = (uint32_t)cap;
    block->refs = 1;
    block->len = 0;
    block->answers = 0;
    return block;
}

struct block *dvar_block_new(struct dvar_core *core, size_t bytes)
{
    int at = block_class(bytes);
    size_t cap = at >= 0 ? (size_t)BLOCK_FIRST_BYTES << at : bytes;
    if (bytes < cap * 3 / 4)
        cap = (bytes + 23) / 8 * 8; /* what is stored and left alone does not take twice */
    return block_new(core, cap);
}

void dvar_block_unref(struct dvar_core *core, struct block *block)
{
    (void)core;
    if (block == NULL || --block->refs > 0)
        return;
    core_free(block);
}

/* ---- table ---- */

static size_t bucket_of(const struct dvar_core *core, uint32_t hash)
{
    return hash & (core->buckets_n - 1);
}

struct var *var_find(const struct dvar_core *core, const char *name, size_t len)
{
    if (core->buckets_n == 0)
        return NULL;
    uint32_t hash = (uint32_t)hash_bytes(name, len, 0);
    for (struct var *var = core->buckets[bucket_of(core, hash)]; var; var = var->hash_next) {
        if (var->hash == hash && name_is(var, name, len))
            return var;
    }
    return NULL;
}

static bool table_grow(struct dvar_core *core)
{
    size_t n = core->buckets_n == 0 ? 256 : 2 * core->buckets_n;
    struct var **buckets = core_calloc(n, sizeof(struct var *));
    if (buckets == NULL)
        return false;
    struct var **old = core->buckets;
    size_t old_n = core->buckets_n;
    core->buckets = buckets;
    core->buckets_n = n;
    for (size_t i = 0; i < old_n; i++) {
        for (struct var *var = old[i], *next; var != NULL; var = next) {
            next = var->hash_next;
            var->hash_next = buckets[bucket_of(core, var->hash)];
            buckets[bucket_of(core, var->hash)] = var;
        }
    }
    core_free(old);
    return true;
}

struct var *var_get(struct dvar_core *core, const char *name, size_t len, int slot)
{
    struct var *var = var_find(core, name, len);
    if (var != NULL)
        return var;
    if (core->vars_n >= core->config.variables_max) {
        core->stats.table_full++;
        return NULL;
    }
    if (core->vars_n >= core->buckets_n && !table_grow(core) && core->buckets_n == 0)
        return NULL;
    var = core_calloc(1, sizeof(*var) + len);
    if (var == NULL) {
        core->short_of_memory = true;
        return NULL;
    }
    memcpy(var->name, name, len);
    var->name_len = (uint8_t)len;
    var->hash = (uint32_t)hash_bytes(name, len, 0);
    var->slot = (uint8_t)(slot >= 0 ? (uint32_t)slot : placement_slot_of(name, len));
    struct var **bucket = &core->buckets[bucket_of(core, var->hash)];
    var->hash_next = *bucket;
    *bucket = var;
    core->vars_n++;
    return var;
}

int var_refused(const struct dvar_core *core, const char *name, size_t len)
{
    if (core->vars_n >= core->config.variables_max)
        return kith_fail_with(KITH_E_LIMIT,
                              "%.*s: this node holds %u variables, its limit; delete some",
                              (int)len, name, core->config.variables_max);
    return kith_fail_with(KITH_E_MEMORY, "%.*s: memory is short on this node; free some", (int)len,
                          name);
}

static void var_free(struct dvar_core *core, struct var *var)
{
    struct var **at = &core->buckets[bucket_of(core, var->hash)];
    while (*at != var)
        at = &(*at)->hash_next;
    *at = var->hash_next;
    core->vars_n--;
    core_free(var->sharers);
    core_free(var);
}

void var_settle(struct dvar_core *core, struct var *var)
{
    if (var->pins == 0 && var->state == VAR_NONE && var->write == NULL && var->queue_last == NULL &&
        var->cell == NULL)
        var_free(core, var);
}

void var_unpin(struct dvar_core *core, struct var *var)
{
    assert(var->pins > 0);
    var->pins--;
    var_settle(core, var);
}

/* Forgets the value; the caller settles. */
void var_drop_value(struct dvar_core *core, struct var *var)
{
    if (var->cell != NULL)
        cell_take_back(var->cell);
    if (var->state == VAR_CACHED) {
        core->nodes[var->node_at]->cached_n--;
        core->stats.cached--;
    } else if (var->in_slot) {
        struct slot *slot = &core->slots[var->slot];
        for (int i = 0; i < REPLICAS; i++) {
            if (slot->pull_at[i] == var)
                slot->pull_at[i] = NULL, slot->pull_pos[i] = 0;
        }
        if (slot->sync != NULL && slot->sync->at == var)
            slot->sync->at = var->link.next == &slot->vars
                                 ? NULL
                                 : container_of(var->link.next, struct var, link);
        slot->vars_n--;
        var->in_slot = false;
    }
    list_remove(&var->link);
    if (var->block != NULL)
        core->stats.value_bytes -= var->block->len;
    dvar_block_unref(core, var->block);
    var->block = NULL;
    var->state = VAR_NONE;
    var->ts = 0;
}

void var_join_slot(struct dvar_core *core, struct var *var)
{
    struct slot *slot = &core->slots[var->slot];
    if (var->in_slot)
        return;
    list_append(&slot->vars, &var->link);
    slot->vars_n++;
    var->in_slot = true;
}

bool var_is_durable(const struct var *var)
{
    if (var->block == NULL || var->block->len == 0)
        return false;
    return value_policy_of(block_value(var->block), var->block->len) == VALUE_DURABLE;
}

bool var_is_absent(const struct var *var)
{
    return var->block == NULL || var->block->len == 0 ||
           value_type_of(block_value(var->block), var->block->len) == VALUE_NONE;
}

uint64_t var_version(const struct var *var)
{
    return var_is_absent(var) ? 0 : var->block->version;
}

/* The read rule of protocols 5.4. */
bool var_readable(const struct dvar_core *core, const struct var *var)
{
    if (var->state == VAR_CACHED) {
        const struct node *home = core->nodes[var->node_at];
        return session_live(core, home); /* with a session all that is cached under it ends */
    }
    const struct slot *slot = &core->slots[var->slot];
    if (var->state != VAR_VALID || !lease_ok(core))
        return false;
    if (MUTANT(DVAR_OLD_EPOCH_READ))
        return true;
    return slot->active.self >= 0 && TS_SE(var->ts) == slot->active.se &&
           var->stamp == slot->stamp && slot->released_se <= slot->active.se;
}

void var_publish(struct dvar_core *core, struct var *var)
{
    if (var->cell == NULL)
        return;
    if (!var_readable(core, var)) {
        cell_take_back(var->cell);
        return;
    }
    const _Atomic uint64_t *lease = &core->lease_word;
    if (var->state == VAR_CACHED)
        lease = core->nodes[var->node_at]->session_word;
    cell_publish(var->cell, block_value(var->block), var->block->len, var->block->version, lease);
}

bool var_store(struct dvar_core *core,
               struct var *var,
               uint64_t version,
               const uint8_t *records,
               uint32_t records_n,
               const uint8_t *value,
               size_t len)
{
    size_t records_len = (size_t)records_n * RECORD_BYTES;
    struct block *block = var->block;
    if (block == NULL || block->refs > 1 || block->cap < records_len + len ||
        block->cap > 4 * (records_len + len) + 1024) {
        block = dvar_block_new(core, records_len + len);
        if (block == NULL)
            return false;
        if (var->block != NULL)
            core->stats.value_bytes -= var->block->len;
        dvar_block_unref(core, var->block);
        var->block = block;
    } else {
        core->stats.value_bytes -= block->len;
    }
    block->version = version;
    block->records_n = records_n;
    block->len = (uint32_t)len;
    if (records_len > 0)
        copy_small(block->bytes, records, records_len);
    if (len > 0)
        copy_small(block->bytes + records_len, value, len);
    core->stats.value_bytes += len;
    return true;
}

/* What is cached is dropped, never changed: it needs no room to grow. */
bool var_store_cached(
    struct dvar_core *core, struct var *var, uint64_t version, const uint8_t *value, size_t len)
{
    assert(var->block == NULL);
    var->block = block_new(core, len);
    return var->block != NULL && var_store(core, var, version, NULL, 0, value, len);
}

void dvar_cache_memory(const struct dvar_core *core, struct dvar_cache_memory *out)
{
    *out = (struct dvar_cache_memory){0};
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        list_for_each (it, &core->nodes[i]->cached) {
            const struct var *var = container_of(it, struct var, link);
            out->variables++;
            out->value_bytes += var->block->len;
            out->bytes += sizeof(*var) + var->name_len + sizeof(*var->block) + var->block->cap;
        }
    }
    if (core->vars_n > 0)
        out->bytes += core->buckets_n * sizeof(struct var *) * out->variables / core->vars_n;
}

void vars_deinit(struct dvar_core *core)
{
    for (size_t i = 0; i < core->buckets_n; i++) {
        for (struct var *var = core->buckets[i], *next; var != NULL; var = next) {
            next = var->hash_next;
            dvar_block_unref(core, var->block);
            cell_free(var->cell);
            core_free(var->sharers);
            core_free(var);
        }
    }
    core_free(core->buckets);
}
