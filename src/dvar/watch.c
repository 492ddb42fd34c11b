/*
 * Watches. A node registers all its patterns at every home, again each second; a home sends a
 * watching node one message a write, whatever the number of patterns. What is not acknowledged
 * beyond a window waits per variable, the latest only, with the number of those that were missed:
 * so a slow watcher costs a bounded table and nothing else.
 *
 * A watching node that is also a replica is told the same way: its VAL may be late.
 *
 * Changes of one slot are done in another order than they are begun, and a home may go while some
 * are untold. So each push says from where and up to where all of the slot was told once it is
 * heard. That is where the next home goes on; what it tells again is left out by the watching node.
 *
 * What exists is told first: watches are numbered, and a home sends what it has for those that are
 * newer than the last one that the slot's home has told. A home says so (MARK) once all of it was
 * acknowledged, so that the next home of a slot knows where to go on.
 */
#include "dvar/watch.h"

bool watch_matches(bool prefix, const char *pattern, size_t pattern_len, const struct var *var)
{
    if (prefix ? var->name_len < pattern_len : var->name_len != pattern_len)
        return false;
    return memcmp(var->name, pattern, pattern_len) == 0;
}

bool watch_exists(const struct var *var)
{
    return var->block != NULL &&
           value_type_of(block_value(var->block), var->block->len) != VALUE_NONE;
}

/* ---- this node's watches ---- */

/* To watches newer than @after. */
static void tell(struct dvar_core *core,
                 const struct var *var,
                 uint32_t after,
                 uint64_t version,
                 const uint8_t *value,
                 size_t len,
                 uint32_t missed)
{
    list_for_each (it, &core->watches) {
        const struct watch *watch = container_of(it, struct watch, link);
        if (watch->no <= after || !watch_matches(watch->prefix, watch->pattern, watch->len, var))
            continue;
        struct dvar_action *action = dvar_action_add(core, DVAR_CHANGED);
        if (action == NULL)
            return;
        action->id = watch->id;
        action->change =
            (struct dvar_change){.name = (const char *)arena_copy(core, var->name, var->name_len),
                                 .name_len = var->name_len,
                                 .version = version,
                                 .value = value,
                                 .value_len = len,
                                 .missed = missed};
    }
}

/* ---- what was told ---- */

static void told_free(struct dvar_core *core, struct told *told)
{
    list_remove(&told->link);
    map64_remove(&core->told_by_hash, told->hash);
    core_free(told);
    core->told_n--;
}

void watch_deinit(struct dvar_core *core)
{
    list_for_each_safe (it, &core->told)
        told_free(core, container_of(it, struct told, link));
    map64_deinit(&core->told_by_hash);
}

/* Of this name; NULL if memory is short (then it may be told twice after a change of its home). */
static struct told *told_of(struct dvar_core *core, const struct var *var)
{
    uint64_t hash = hash_bytes(var->name, var->name_len, 1);
    struct told *told = map64_find(&core->told_by_hash, hash);
    if (told != NULL)
        return told;
    struct list *oldest = list_first(&core->told);
    if (oldest != NULL && core->told_n >= DVAR_TOLD_MAX)
        told_free(core, container_of(oldest, struct told, link));
    told = core_malloc(sizeof(*told));
    if (told == NULL)
        return NULL;
    *told = (struct told){.hash = hash, .slot = var->slot};
    if (map64_set(&core->told_by_hash, hash, told) != 0) {
        core_free(told);
        return NULL;
    }
    list_append(&core->told, &told->link);
    core->told_n++;
    return told;
}

/* All of @slot after @from was told, up to @mark. */
static void told_up_to(struct dvar_core *core, uint32_t slot, uint64_t from, uint64_t mark)
{
    uint64_t since = core->watch_since[slot];
    if (mark <= since || (since != 0 && since < from))
        return; /* what lies between is told when this home knows of it */
    core->watch_since[slot] = mark;
    if (core->told_n < 64 || core->told_n < 2 * core->told_swept_n)
        return;
    list_for_each_safe (it, &core->told) {
        struct told *told = container_of(it, struct told, link);
        /* Until what exists was told, it may come once more as that. */
        if (told->carry == 0 && told->version <= core->watch_since[told->slot] &&
            core->watch_told[told->slot] == core->watch_no)
            told_free(core, told);
    }
    core->told_swept_n = core->told_n;
}

/*
 * Tells it, but to no watch that has heard it: from the home before, or from this one in another
 * push. @exists: for watches that were not told yet what exists. It may be a change, too, which the
 * others have not heard of: then it is told to them at once, as it is told once only.
 */
static void hear(struct dvar_core *core,
                 const struct var *var,
                 bool exists,
                 uint64_t version,
                 const uint8_t *value,
                 size_t len,
                 uint32_t missed)
{
    struct told *told = told_of(core, var);
    bool is_old = version <= core->watch_since[var->slot];
    if (is_old && !exists)
        return;
    uint32_t after = is_old ? core->watch_told[var->slot] : 0;
    if (told != NULL && version <= told->version && after < told->watch_no)
        after = told->watch_no;
    bool is_new = told != NULL && version > told->version;
    tell(core, var, after, version, value, len, missed + (is_new ? told->carry : 0));
    if (told == NULL || version < told->version)
        return;
    told->version = version;
    told->watch_no = core->watch_no;
    if (is_new)
        told->carry = 0;
}

void watch_tell_ahead(struct dvar_core *core, struct var *var, uint32_t folded, uint64_t stream)
{
    struct block *block = var->block;
    struct told *told = told_of(core, var);
    if (told == NULL || block->version <= told->version ||
        block->version <= core->watch_since[var->slot])
        return;
    block_keep(core, block);
    hear(core, var, false, block->version, block_value(block), block->len, folded);
    if (told->ahead_stream != stream)
        told->ahead = 0;
    told->ahead_stream = stream;
    told->ahead += folded + 1;
    list_remove(&told->link); /* the last to make room for others: its home will tell of it, too */
    list_append(&core->told, &told->link);
    core->stats.told_ahead++;
}

/*
 * A push counts @n changes: how many of them were not told ahead? Those that were are before any
 * that comes later in its stream.
 */
static uint32_t not_ahead(struct told *told, uint64_t stream, uint32_t n)
{
    if (told == NULL || told->ahead_stream != stream || MUTANT(DVAR_AHEAD_TWICE))
        return n;
    uint32_t ahead = told->ahead < n ? told->ahead : n;
    told->ahead -= ahead;
    return n - ahead;
}

/* Up to where all changes of @slot are done, but for @write, which is being told of. */
uint64_t watch_done_up_to(const struct dvar_core *core, uint32_t slot_no, const struct write *write)
{
    const struct slot *slot = &core->slots[slot_no];
    if (!slot->serving)
        return 0;
    list_for_each (it, &slot->under_way) {
        const struct write *first = container_of(it, struct write, slot_link);
        if (first != write)
            return first->ts - 1;
    }
    return TS(slot->active.se, slot->seq);
}

void watch_tell_change(struct dvar_core *core, struct var *var, const struct write *done)
{
    if (core->watches_n == 0)
        return;
    struct block *block = var->block;
    block_keep(core, block);
    hear(core, var, false, block->version, block_value(block), block->len, done->folded);
    uint64_t mark = watch_done_up_to(core, var->slot, done);
    if (core->watch_due[var->slot] > core->watch_told[var->slot] &&
        mark >= core->watch_due_ts[var->slot])
        core->watch_told[var->slot] = core->watch_due[var->slot];
    told_up_to(core, var->slot, 0, mark);
}

/* Of a slot that this node serves: what changed since others did, and what exists, to new ones. */
void watch_tell_slot(struct dvar_core *core, uint32_t slot)
{
    if (!may_tell_exists(core))
        return; /* watch_leased() comes back, or another home tells them */
    uint64_t since = core->watch_since[slot];
    bool all_done = true;
    list_for_each (it, &core->slots[slot].vars) {
        const struct var *var = container_of(it, struct var, link);
        if (var->block == NULL || var->write != NULL) {
            all_done &= var->write == NULL;
            continue; /* told when it is done; if it never is, the next home tells what is */
        }
        bool changed = since != 0 && var->block->version > since;
        if (!changed && (!watch_exists(var) || core->watch_told[slot] == core->watch_no))
            continue;
        block_keep(core, var->block);
        hear(core, var, true, var->block->version, block_value(var->block), var->block->len, 0);
    }
    core->watch_due[slot] = core->watch_no;
    core->watch_due_ts[slot] = TS(core->slots[slot].active.se, core->slots[slot].seq);
    if (all_done || MUTANT(DVAR_UNDONE_EXISTS))
        core->watch_told[slot] = core->watch_no;
    told_up_to(core, slot, 0, watch_done_up_to(core, slot, NULL));
}

void watch_add(struct dvar_core *core, const struct dvar_event *event)
{
    bool room = core->watches_n < DVAR_WATCHES_MAX &&
                core->watch_bytes + event->name_len + PATTERN_BYTES <= PATTERNS_BYTES_MAX;
    struct watch *watch = room ? core_malloc(sizeof(*watch) + event->name_len) : NULL;
    if (watch == NULL) {
        int code = room ? kith_fail_with(KITH_E_MEMORY,
                                         "watch of %.*s: memory is short on this node; free some",
                                         (int)event->name_len, event->name)
                        : kith_fail_with(KITH_E_LIMIT,
                                         "watch of %.*s: this node has %u watches, %zu bytes of "
                                         "names, and may have %u, %u bytes; end some",
                                         (int)event->name_len, event->name, core->watches_n,
                                         core->watch_bytes, DVAR_WATCHES_MAX, PATTERNS_BYTES_MAX);
        op_done(core, event->id, code, kith_errmsg());
        return;
    }
    *watch = (struct watch){.id = event->id,
                            .no = ++core->watch_no,
                            .prefix = event->prefix,
                            .len = (uint8_t)event->name_len};
    memcpy(watch->pattern, event->name, event->name_len);
    list_append(&core->watches, &watch->link);
    core->watches_n++;
    core->watch_bytes += event->name_len + PATTERN_BYTES;
    watch_register(core);
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        bool own = event->prefix || placement_slot_of(event->name, event->name_len) == s;
        if (core->slots[s].serving && own)
            watch_tell_slot(core, s);
    }
}

void watch_remove(struct dvar_core *core, uint64_t id)
{
    list_for_each_safe (it, &core->watches) {
        struct watch *watch = container_of(it, struct watch, link);
        if (watch->id != id)
            continue;
        list_remove(&watch->link);
        core->watches_n--;
        core->watch_bytes -= watch->len + (size_t)PATTERN_BYTES;
        core_free(watch);
    }
    if (core->watches_n == 0) {
        memset(core->watch_since, 0, sizeof(core->watch_since));
        watch_deinit(core);
        ahead_forget(core, 0);
    }
    watch_register(core);
}

void watch_lost(struct dvar_core *core, uint32_t slot)
{
    list_for_each (it, &core->watches) {
        const struct watch *watch = container_of(it, struct watch, link);
        if (!watch->prefix && placement_slot_of(watch->pattern, watch->len) != slot)
            continue;
        struct dvar_action *action = dvar_action_add(core, DVAR_LOST);
        if (action == NULL)
            return;
        action->id = watch->id;
        action->slot = slot;
        action->generation = core->slots[slot].generation;
    }
}

/* To every home: the patterns, and what was heard of each slot. */
void watch_register(struct dvar_core *core)
{
    core->watch_sent_ms = core->now_ms;
    if (core->watches_n == 0 && core->watch_bytes == 0 && core->stats.watches == 0)
        return;
    core->stats.watches = core->watches_n;
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        struct node *home = core->nodes[i];
        bool is_home = false;
        for (uint32_t s = 0; s < PLACEMENT_SLOTS && !is_home; s++)
            is_home = core->slots[s].active.n > 0 && core->slots[s].active.nodes[0] == home;
        size_t len = 2 + core->watch_bytes + SLOT_BYTES * PLACEMENT_SLOTS;
        uint8_t *p = is_home ? message_add(core, home, WIRE_WATCH, 0, 0, len) : NULL;
        if (p == NULL)
            continue;
        put_le16(p, (uint16_t)core->watches_n);
        p += 2;
        list_for_each (it, &core->watches) {
            const struct watch *watch = container_of(it, struct watch, link);
            *p++ = watch->prefix;
            *p++ = watch->len;
            put_le32(p, watch->no);
            p += 4;
            memcpy(p, watch->pattern, watch->len);
            p += watch->len;
        }
        for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++, p += SLOT_BYTES) {
            put_le64(p, core->watch_since[s]);
            put_le32(p + 8, core->watch_told[s]);
        }
    }
}

/*
 * Does what a home says of what it told count for all watches here? It told those that it knew, up
 * to number @newest; there may be later ones, which another home has told so far.
 */
static bool told_all(const struct dvar_core *core, uint32_t newest)
{
    if (core->watches_n == 0)
        return false;
    return container_of(core->watches.prev, struct watch, link)->no <= newest ||
           MUTANT(DVAR_ANY_WATCH);
}

int on_mark(struct dvar_core *core, struct node *from, struct reader *r)
{
    (void)from;
    bool counts = told_all(core, read_le32(r));
    while (r->at < r->len && !r->bad) {
        uint32_t slot = read_le16(r);
        uint64_t since = read_le64(r);
        uint64_t mark = read_le64(r);
        uint32_t told = read_le32(r);
        if (r->bad || slot >= PLACEMENT_SLOTS)
            return KITH_E_CORRUPT;
        if (!counts)
            continue;
        if (told > core->watch_told[slot] && told <= core->watch_no)
            core->watch_told[slot] = told;
        told_up_to(core, slot, since, mark);
    }
    return r->bad ? KITH_E_CORRUPT : 0;
}

int on_push(
    struct dvar_core *core, struct node *from, uint8_t flags, uint32_t slot, struct reader *r)
{
    uint64_t no = read_le64(r);
    uint64_t version = read_le64(r);
    uint64_t stream = read_le64(r);
    uint64_t since = read_le64(r);
    uint64_t mark = read_le64(r);
    uint32_t missed = read_le32(r);
    uint32_t name_len = read_le32(r);
    uint32_t newest = read_le32(r);
    const char *name = (const char *)read_bytes(r, name_len);
    size_t len = r->bad ? 0 : r->len - r->at;
    const uint8_t *body = read_bytes(r, len);
    struct value value;
    if (r->bad || slot >= PLACEMENT_SLOTS || name_len == 0 || name_len > KITH_NAME_BYTES_MAX ||
        value_decode(body, len, &value) != 0)
        return KITH_E_CORRUPT;
    bool exists = (flags & WIRE_INITIAL) != 0;
    if (stream > from->push_stream) {
        from->push_stream = stream;
        from->push_seen = 0;
    }
    if (stream == from->push_stream && no == from->push_seen + 1) {
        from->push_seen = no;
        struct var *var = core->watches_n > 0 ? var_get(core, name, name_len, (int)slot) : NULL;
        bool nothing = (flags & WIRE_VOID) != 0;
        const uint8_t *copy = var != NULL && !nothing ? arena_copy(core, body, len) : NULL;
        struct told *told = var != NULL ? told_of(core, var) : NULL;
        uint32_t n = exists ? missed + 1 : not_ahead(told, stream, missed + 1);
        /* The rest of what this home counts was neither told nor counted. */
        bool counts = told != NULL && told->ahead_stream == stream && version <= told->version &&
                      TS_SE(version) == TS_SE(told->version);
        if (copy != NULL)
            hear(core, var, exists, version, copy, len, n > 0 ? n - 1 : 0);
        if (told != NULL && !exists && (nothing || counts))
            told->carry += n;
        if (var != NULL)
            var_settle(core, var);
        if (told_all(core, newest))
            told_up_to(core, slot, since, mark);
    }
    uint8_t *p = message_add(core, from, WIRE_PUSH_ACK, 0, slot, 16);
    if (p != NULL) {
        put_le64(p, from->push_seen);
        put_le64(p + 8, from->push_stream);
    }
    return 0;
}
