/*
 * Watches. A node registers all its patterns at every home, again each second; a home sends a
 * watching node one message a write, whatever the number of patterns. What is not acknowledged
 * beyond a window waits per variable, the latest only, with the number of those that were missed:
 * so a slow watcher costs a bounded table and nothing else.
 *
 * A watching node that is also a replica is told the same way: its VAL may be late.
 *
 * What exists is told first: watches are numbered, and a home sends what it has for those that are
 * newer than the last one that the slot's home has told. A home says so (MARK) once all of it was
 * acknowledged, so that the next home of a slot knows where to go on.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

#define PATTERNS_BYTES_MAX (48 * 1024)
#define PUSH_RESEND_MS     500
#define PATTERN_BYTES      6  /* u8 prefix, u8 length, u32 number */
#define SLOT_BYTES         12 /* u64 since, u32 told */
#define MARK_BYTES         14 /* u16 slot, u64 since, u32 told */

static bool matches(bool prefix, const char *pattern, size_t pattern_len, const struct var *var)
{
    if (prefix ? var->name_len < pattern_len : var->name_len != pattern_len)
        return false;
    return memcmp(var->name, pattern, pattern_len) == 0;
}

static bool exists(const struct var *var)
{
    return var->block != NULL &&
           value_view(block_value(var->block), var->block->len).type != VALUE_NONE;
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
        if (watch->no <= after || !matches(watch->prefix, watch->pattern, watch->len, var))
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

/* All changes so far are at most this, all later ones above; not 0, which is "none heard of". */
static uint64_t mark_of(const struct slot *slot)
{
    uint64_t mark = TS(slot->active.se, slot->seq);
    return mark != 0 ? mark : 1;
}

/* Of a slot that this node serves: what changed since others did, and what exists, to new ones. */
static void tell_slot(struct dvar_core *core, uint32_t slot)
{
    uint64_t since = core->watch_since[slot];
    list_for_each (it, &core->slots[slot].vars) {
        const struct var *var = container_of(it, struct var, link);
        bool changed = since != 0 && var->block != NULL && var->block->version > since;
        if (!changed && !exists(var))
            continue;
        block_keep(core, var->block);
        tell(core, var, changed ? 0 : core->watch_told[slot], var->block->version,
             block_value(var->block), var->block->len, 0);
    }
    core->watch_told[slot] = core->watch_no;
    if (mark_of(&core->slots[slot]) > since)
        core->watch_since[slot] = mark_of(&core->slots[slot]);
}

void watch_add(struct dvar_core *core, const struct dvar_event *event)
{
    bool room = core->watches_n < DVAR_WATCHES_MAX &&
                core->watch_bytes + event->name_len + PATTERN_BYTES <= PATTERNS_BYTES_MAX;
    struct watch *watch = room ? core_malloc(sizeof(*watch) + event->name_len) : NULL;
    if (watch == NULL) {
        struct dvar_action *action = dvar_action_add(core, DVAR_DONE);
        if (action == NULL)
            return;
        action->id = event->id;
        action->result.code = room ? KITH_E_MEMORY : KITH_E_LIMIT;
        action->result.text = room ? "memory is short on this node; free some"
                                   : "this node watches as many names as it may; end some watches";
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
            tell_slot(core, s);
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
    if (core->watches_n == 0)
        memset(core->watch_since, 0, sizeof(core->watch_since));
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

int on_mark(struct dvar_core *core, struct node *from, struct reader *r)
{
    (void)from;
    while (r->at < r->len && !r->bad) {
        uint32_t slot = read_le16(r);
        uint64_t ts = read_le64(r);
        uint32_t told = read_le32(r);
        if (r->bad || slot >= PLACEMENT_SLOTS)
            return KITH_E_CORRUPT;
        if (told > core->watch_told[slot] && told <= core->watch_no)
            core->watch_told[slot] = told;
        if (core->watch_since[slot] == 0 && core->watches_n > 0)
            core->watch_since[slot] = ts;
    }
    return r->bad ? KITH_E_CORRUPT : 0;
}

int on_push(
    struct dvar_core *core, struct node *from, uint8_t flags, uint32_t slot, struct reader *r)
{
    uint64_t no = read_le64(r);
    uint64_t version = read_le64(r);
    uint64_t stream = read_le64(r);
    uint32_t missed = read_le32(r);
    uint32_t name_len = read_le32(r);
    const char *name = (const char *)read_bytes(r, name_len);
    size_t len = r->bad ? 0 : r->len - r->at;
    const uint8_t *body = read_bytes(r, len);
    struct value value;
    if (r->bad || slot >= PLACEMENT_SLOTS || name_len == 0 || name_len > KITH_NAME_BYTES_MAX ||
        value_decode(body, len, &value) != 0)
        return KITH_E_CORRUPT;
    uint32_t after = (flags & WIRE_INITIAL) != 0 ? core->watch_told[slot] : 0;
    if (stream > from->push_stream) {
        from->push_stream = stream;
        from->push_seen = 0;
    }
    if (stream == from->push_stream && no == from->push_seen + 1) {
        from->push_seen = no;
        if (version > core->watch_since[slot])
            core->watch_since[slot] = version;
        struct var *var = var_get(core, name, name_len, (int)slot);
        const uint8_t *copy = var != NULL ? arena_copy(core, body, len) : NULL;
        if (copy != NULL)
            tell(core, var, after, version, copy, len, missed);
        if (var != NULL)
            var_settle(core, var);
    }
    uint8_t *p = message_add(core, from, WIRE_PUSH_ACK, 0, slot, 16);
    if (p != NULL) {
        put_le64(p, from->push_seen);
        put_le64(p + 8, from->push_stream);
    }
    return 0;
}

/* ---- the home's side ---- */

static void push_free(struct dvar_core *core, struct push *push)
{
    list_remove(&push->link);
    var_unpin(core, push->var);
    core_free(push);
}

void watcher_free(struct dvar_core *core, struct node *node)
{
    struct watcher *watcher = node->watcher;
    if (watcher == NULL)
        return;
    list_remove(&node->watcher_link);
    while (!list_empty(&watcher->sent))
        push_free(core, container_of(list_first(&watcher->sent), struct push, link));
    while (!list_empty(&watcher->pending))
        push_free(core, container_of(list_first(&watcher->pending), struct push, link));
    map64_deinit(&watcher->by_var);
    buf_deinit(&watcher->patterns);
    core_free(watcher);
    node->watcher = NULL;
}

/* Is there a watch of it newer than @after? */
static bool watcher_wants(const struct watcher *watcher, const struct var *var, uint32_t after)
{
    const uint8_t *p = watcher->patterns.data;
    const uint8_t *end = p + watcher->patterns.len;
    while (p < end) {
        if (get_le32(p + 2) > after &&
            matches(p[0] != 0, (const char *)p + PATTERN_BYTES, p[1], var))
            return true;
        p += PATTERN_BYTES + p[1];
    }
    return false;
}

static void push_send(struct dvar_core *core, struct node *node, const struct push *push)
{
    const struct var *var = push->var;
    size_t len = var->block != NULL ? var->block->len : 0;
    uint8_t *p = message_add(core, node, WIRE_PUSH, push->initial ? WIRE_INITIAL : 0, var->slot,
                             WIRE_PUSH_BYTES + var->name_len + len);
    if (p == NULL)
        return;
    put_le64(p, push->no);
    put_le64(p + 8, var->block != NULL ? var->block->version : 0);
    put_le64(p + 16, node->watcher->stream);
    put_le32(p + 24, push->missed);
    put_le32(p + 28, var->name_len);
    copy_small(p + WIRE_PUSH_BYTES, var->name, var->name_len);
    if (len > 0)
        copy_small(p + WIRE_PUSH_BYTES + var->name_len, block_value(var->block), len);
    core->stats.pushes++;
}

/* As much as fits the window, of what holds a value that may be told. */
static void push_pump(struct dvar_core *core, struct node *node)
{
    struct watcher *watcher = node->watcher;
    list_for_each_safe (it, &watcher->pending) {
        struct push *push = container_of(it, struct push, link);
        if (watcher->sent_n >= PUSH_WINDOW)
            return;
        if (push->var->write != NULL)
            continue; /* told when it is done */
        list_remove(&push->link);
        map64_remove(&watcher->by_var, (uint64_t)(uintptr_t)push->var);
        watcher->pending_n--;
        push->no = ++watcher->no;
        if (watcher->sent_n++ == 0)
            watcher->sent_ms = core->now_ms;
        list_append(&watcher->sent, &push->link);
        push_send(core, node, push);
        core->stats.pushes_missed += push->missed;
    }
}

static void
push_add(struct dvar_core *core, struct node *node, struct var *var, uint32_t missed, bool initial)
{
    struct watcher *watcher = node->watcher;
    struct push *push = map64_find(&watcher->by_var, (uint64_t)(uintptr_t)var);
    if (push != NULL && initial)
        return; /* the change tells it */
    if (push != NULL) {
        push->missed += missed + (push->initial ? 0 : 1);
        push->initial = false;
        return;
    }
    push = watcher->pending_n < DVAR_PUSHES_MAX ? core_malloc(sizeof(*push)) : NULL;
    if (push == NULL || map64_set(&watcher->by_var, (uint64_t)(uintptr_t)var, push) != 0) {
        core_free(push);
        watcher->overflow += missed + 1;
        core->stats.pushes_missed += missed + 1;
        return;
    }
    *push = (struct push){.var = var, .missed = missed + watcher->overflow, .initial = initial};
    watcher->overflow = 0;
    var->pins++;
    list_append(&watcher->pending, &push->link);
    watcher->pending_n++;
}

void watch_changed(struct dvar_core *core, struct var *var, uint32_t missed)
{
    if (core->watches_n > 0) {
        block_keep(core, var->block);
        if (var->block->version > core->watch_since[var->slot])
            core->watch_since[var->slot] = var->block->version;
        tell(core, var, 0, var->block->version, block_value(var->block), var->block->len, missed);
    }
    list_for_each (it, &core->watchers) {
        struct node *node = container_of(it, struct node, watcher_link);
        if (!watcher_wants(node->watcher, var, 0))
            continue;
        struct write *write = var->write;
        var->write = NULL;
        push_add(core, node, var, missed, false);
        push_pump(core, node);
        var->write = write;
    }
}

/* What changed since @since, for a node that watched at the home before. */
static void catch_up(struct dvar_core *core, struct node *node, uint32_t slot_no)
{
    struct watcher *watcher = node->watcher;
    watcher->caught |= 1ull << slot_no;
    if (watcher->since[slot_no] == 0)
        return;
    list_for_each (it, &core->slots[slot_no].vars) {
        struct var *var = container_of(it, struct var, link);
        if (var->block != NULL && var->block->version > watcher->since[slot_no] &&
            watcher_wants(watcher, var, 0))
            push_add(core, node, var, 0, false);
    }
}

/* What exists, for watches newer than the last one that was told so. */
static void tell_first(struct dvar_core *core, struct node *node, uint32_t slot, uint32_t told)
{
    struct watcher *watcher = node->watcher;
    uint32_t after = told > watcher->told[slot] ? told : watcher->told[slot];
    if (watcher->newest <= after)
        return;
    watcher->told[slot] = watcher->newest;
    list_for_each (it, &core->slots[slot].vars) {
        struct var *var = container_of(it, struct var, link);
        if (exists(var) && watcher_wants(watcher, var, after))
            push_add(core, node, var, 0, true);
    }
}

void watch_serving(struct dvar_core *core, uint32_t slot)
{
    list_for_each (it, &core->watchers) {
        struct node *node = container_of(it, struct node, watcher_link);
        node->watcher->caught &= ~(1ull << slot);
    }
    if (core->watches_n > 0)
        tell_slot(core, slot);
}

static void send_marks(struct dvar_core *core, struct node *node)
{
    const struct watcher *watcher = node->watcher;
    bool all_told = watcher->sent_n == 0 && watcher->pending_n == 0;
    uint32_t n = 0;
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++)
        n += core->slots[s].serving;
    uint8_t *p = n > 0 ? message_add(core, node, WIRE_MARK, 0, 0, MARK_BYTES * (size_t)n) : NULL;
    for (uint32_t s = 0; p != NULL && s < PLACEMENT_SLOTS; s++) {
        if (!core->slots[s].serving)
            continue;
        put_le16(p, (uint16_t)s);
        put_le64(p + 2, mark_of(&core->slots[s]));
        put_le32(p + 10, all_told ? watcher->told[s] : 0);
        p += MARK_BYTES;
    }
}

int on_watch(struct dvar_core *core, struct node *from, struct reader *r)
{
    uint32_t n = read_le16(r);
    size_t begin = r->at;
    if (r->bad || n > DVAR_WATCHES_MAX)
        return KITH_E_CORRUPT;
    uint32_t newest = 0;
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        read_u8(r);
        uint8_t len = read_u8(r);
        uint32_t no = read_le32(r);
        newest = no > newest ? no : newest;
        read_bytes(r, len);
    }
    size_t end = r->at;
    const uint8_t *slots = read_bytes(r, SLOT_BYTES * (size_t)PLACEMENT_SLOTS);
    if (r->bad || end - begin > PATTERNS_BYTES_MAX)
        return KITH_E_CORRUPT;
    if (n == 0) {
        watcher_free(core, from);
        return 0;
    }
    if (from->watcher == NULL) {
        from->watcher = core_calloc(1, sizeof(*from->watcher));
        if (from->watcher == NULL)
            return KITH_E_MEMORY;
        list_init(&from->watcher->sent);
        list_init(&from->watcher->pending);
        list_append(&core->watchers, &from->watcher_link);
        from->watcher->stream = core->config.self.boot_no << 24 | (++core->stream_no & 0xffffff);
    }
    struct watcher *watcher = from->watcher;
    watcher->patterns.len = 0;
    if (buf_append(&watcher->patterns, r->data + begin, end - begin) != 0)
        return KITH_E_MEMORY;
    watcher->newest = newest;
    watcher->until_ms = core->now_ms + WATCH_END_MS;
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        watcher->since[s] = get_le64(slots + SLOT_BYTES * (size_t)s);
        if (core->slots[s].serving && (watcher->caught & 1ull << s) == 0)
            catch_up(core, from, s);
        if (core->slots[s].serving)
            tell_first(core, from, s, get_le32(slots + SLOT_BYTES * (size_t)s + 8));
    }
    send_marks(core, from);
    push_pump(core, from);
    return 0;
}

int on_push_ack(struct dvar_core *core, struct node *from, struct reader *r)
{
    uint64_t no = read_le64(r);
    uint64_t stream = read_le64(r);
    struct watcher *watcher = from->watcher;
    if (r->bad)
        return KITH_E_CORRUPT;
    if (watcher == NULL || stream != watcher->stream)
        return 0;
    watcher->sent_ms = core->now_ms;
    while (!list_empty(&watcher->sent)) {
        struct push *push = container_of(list_first(&watcher->sent), struct push, link);
        if (push->no > no)
            break;
        watcher->sent_n--;
        push_free(core, push);
    }
    push_pump(core, from);
    return 0;
}

void watch_tick(struct dvar_core *core)
{
    if (core->watches_n > 0 && core->now_ms >= core->watch_sent_ms + WATCH_MS)
        watch_register(core);
    list_for_each_safe (it, &core->watchers) {
        struct node *node = container_of(it, struct node, watcher_link);
        struct watcher *watcher = node->watcher;
        if (core->now_ms >= watcher->until_ms || node->over) {
            watcher_free(core, node);
            continue;
        }
        if (watcher->sent_n == 0 || core->now_ms < watcher->sent_ms + PUSH_RESEND_MS)
            continue;
        watcher->sent_ms = core->now_ms;
        list_for_each (at, &watcher->sent) {
            const struct push *push = container_of(at, struct push, link);
            if (push->var->write == NULL)
                push_send(core, node, push);
            else
                break; /* in order: it is sent again when that is done */
        }
    }
}

uint64_t watch_deadline(const struct dvar_core *core)
{
    uint64_t at = core->watches_n > 0 ? core->watch_sent_ms + WATCH_MS : UINT64_MAX;
    list_for_each (it, &core->watchers) {
        const struct watcher *watcher = container_of(it, struct node, watcher_link)->watcher;
        uint64_t next = watcher->until_ms;
        if (watcher->sent_n > 0 && watcher->sent_ms + PUSH_RESEND_MS < next)
            next = watcher->sent_ms + PUSH_RESEND_MS;
        if (next < at)
            at = next;
    }
    return at;
}
