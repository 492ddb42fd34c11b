/*
 * The home's side of watches: what changed goes to each node that watches it, in order, again until
 * it is acknowledged, and with the mark that the next home goes on from.
 */
#include "dvar/watch.h"

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

bool watcher_wants(const struct watcher *watcher, const struct var *var, uint32_t after)
{
    const uint8_t *p = watcher->patterns.data;
    const uint8_t *end = p + watcher->patterns.len;
    while (p < end) {
        if (get_le32(p + 2) > after &&
            watch_matches(p[0] != 0, (const char *)p + PATTERN_BYTES, p[1], var))
            return true;
        p += PATTERN_BYTES + p[1];
    }
    return false;
}

/*
 * Its value, if it is that which the push was made for. Otherwise another push of the same variable
 * comes after it, and what this one counts is added to that. All is told up to @mark by who hears
 * it; 0: no more than before it was told anything.
 */
static void
push_send(struct dvar_core *core, struct node *node, const struct push *push, uint64_t mark)
{
    const struct watcher *watcher = node->watcher;
    const struct var *var = push->var;
    bool is_void = var->block == NULL || var->block->version != push->version;
    size_t len = is_void ? 0 : var->block->len;
    uint8_t flags = push->initial ? WIRE_INITIAL : 0;
    if (is_void)
        flags |= WIRE_VOID;
    uint8_t *p =
        message_add(core, node, WIRE_PUSH, flags, var->slot, WIRE_PUSH_BYTES + var->name_len + len);
    if (p == NULL)
        return;
    put_le64(p, push->no);
    put_le64(p + 8, is_void ? 0 : push->version);
    put_le64(p + 16, watcher->stream);
    put_le64(p + 24, watcher->from[var->slot]);
    put_le64(p + 32, mark != 0 ? mark : watcher->begun[var->slot]);
    put_le32(p + 40, push->missed);
    put_le32(p + 44, var->name_len);
    put_le32(p + 48, watcher->newest);
    copy_small(p + WIRE_PUSH_BYTES, var->name, var->name_len);
    if (len > 0)
        copy_small(p + WIRE_PUSH_BYTES + var->name_len, block_value(var->block), len);
    core->stats.pushes++;
}

/* As much as fits the window, of what holds a value that may be told. */
static void push_pump(struct dvar_core *core, struct node *node, const struct write *write)
{
    struct watcher *watcher = node->watcher;
    list_for_each_safe (it, &watcher->pending) {
        struct push *push = container_of(it, struct push, link);
        if (watcher->sent_n >= PUSH_WINDOW)
            return;
        if (push->var->write != NULL)
            continue; /* told when it is done */
        if (push->initial && core->slots[push->var->slot].serving && !may_tell_exists(core))
            continue;
        list_remove(&push->link);
        map64_remove(&watcher->by_var, (uint64_t)(uintptr_t)push->var);
        watcher->pending_n--;
        if (!core->slots[push->var->slot].serving) {
            /* It may never be done. The next home tells what is; this one would begin again. */
            watcher->told[push->var->slot] = 0;
            push_free(core, push);
            continue;
        }
        push->no = ++watcher->no;
        push->version = push->var->block != NULL ? push->var->block->version : 0;
        if (watcher->sent_n++ == 0)
            watcher->sent_ms = core->now_ms;
        list_append(&watcher->sent, &push->link);
        /* Who hears the last one has heard all. */
        uint32_t slot = push->var->slot;
        push_send(core, node, push,
                  watcher->pending_n == 0 ? watch_done_up_to(core, slot, write) : 0);
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
    *push = (struct push){.var = var,
                          .first = var->block->version,
                          .missed = missed + watcher->overflow,
                          .initial = initial};
    watcher->overflow = 0;
    var->pins++;
    list_append(&watcher->pending, &push->link);
    watcher->pending_n++;
}

void watch_changed(struct dvar_core *core, struct var *var, const struct write *done)
{
    uint32_t missed = done->folded;
    watch_tell_change(core, var, done);
    list_for_each (it, &core->watchers) {
        struct node *node = container_of(it, struct node, watcher_link);
        if (!watcher_wants(node->watcher, var, 0))
            continue;
        struct write *write = var->write;
        var->write = NULL;
        push_add(core, node, var, missed, false);
        push_pump(core, node, done);
        var->write = write;
    }
}

/* From now on it is told of @slot. */
static void watcher_from(const struct dvar_core *core, struct watcher *watcher, uint32_t slot_no)
{
    const struct slot *slot = &core->slots[slot_no];
    watcher->from[slot_no] = slot->serving ? TS(slot->active.se, slot->seq) : 0;
    watcher->begun[slot_no] = watch_done_up_to(core, slot_no, NULL);
}

/*
 * What was told here was told to the watches that were known here. The watching node says that
 * those up to @told were told what exists, so it is not told again to them: if there are some that
 * this home did not know (up to @known), what changed since is told as if to a new node.
 */
static void watcher_renew(const struct dvar_core *core,
                          struct watcher *watcher,
                          uint32_t slot,
                          uint32_t told,
                          uint32_t known)
{
    uint32_t after = told > watcher->told[slot] ? told : watcher->told[slot];
    if (after > known && !MUTANT(DVAR_ANY_WATCH))
        watcher_from(core, watcher, slot);
}

/* What changed after @since and was not told by this home. */
static void catch_up(struct dvar_core *core, struct node *node, uint32_t slot_no, uint64_t since)
{
    struct watcher *watcher = node->watcher;
    if (since == 0 || since >= watcher->from[slot_no])
        return;
    list_for_each (it, &core->slots[slot_no].vars) {
        struct var *var = container_of(it, struct var, link);
        struct push *push = map64_find(&watcher->by_var, (uint64_t)(uintptr_t)var);
        if (var->block == NULL || var->block->version <= since || !watcher_wants(watcher, var, 0))
            continue;
        /* What a write under way covers is not known; it may come to nothing. */
        if (var->write == NULL && var->block->version > watcher->from[slot_no])
            continue;
        if (push == NULL || push->initial)
            push_add(core, node, var, 0, false);
        push = map64_find(&watcher->by_var, (uint64_t)(uintptr_t)var);
        if (push != NULL && push->first > since)
            push->first = since + 1;
    }
    watcher->from[slot_no] = since;
    if (since < watcher->begun[slot_no])
        watcher->begun[slot_no] = since;
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
        if (watch_exists(var) && watcher_wants(watcher, var, after))
            push_add(core, node, var, 0, true);
    }
}

void watch_serving(struct dvar_core *core, uint32_t slot)
{
    list_for_each (it, &core->watchers) {
        struct node *node = container_of(it, struct node, watcher_link);
        watcher_from(core, node->watcher, slot);
    }
    if (core->watches_n > 0)
        watch_tell_slot(core, slot);
}

static void mark_before(uint64_t *marks, const struct push *push)
{
    uint64_t *mark = &marks[push->var->slot];
    if (!push->initial && push->first <= *mark)
        *mark = push->first - 1;
}

/* Up to where all was told to who has acknowledged what is sent: less than what waits. */
static void marks_of(const struct dvar_core *core, const struct watcher *watcher, uint64_t *marks)
{
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++)
        marks[s] = watch_done_up_to(core, s, NULL);
    list_for_each (it, &watcher->pending)
        mark_before(marks, container_of(it, struct push, link));
}

static void send_marks(struct dvar_core *core, struct node *node)
{
    const struct watcher *watcher = node->watcher;
    bool all_told = watcher->sent_n == 0 && watcher->pending_n == 0;
    uint64_t marks[PLACEMENT_SLOTS];
    uint32_t n = 0;
    marks_of(core, watcher, marks);
    list_for_each (it, &watcher->sent) /* it may not have heard them */
        mark_before(marks, container_of(it, struct push, link));
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++)
        n += core->slots[s].serving;
    size_t len = MARK_HEAD_BYTES + MARK_BYTES * (size_t)n;
    uint8_t *p = n > 0 ? message_add(core, node, WIRE_MARK, 0, 0, len) : NULL;
    if (p == NULL)
        return;
    put_le32(p, watcher->newest);
    p += MARK_HEAD_BYTES;
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        if (!core->slots[s].serving)
            continue;
        put_le16(p, (uint16_t)s);
        put_le64(p + 2, watcher->from[s]);
        put_le64(p + 10, marks[s]);
        put_le32(p + 18, all_told ? watcher->told[s] : 0);
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
        for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++)
            watcher_from(core, from->watcher, s);
    }
    struct watcher *watcher = from->watcher;
    watcher->patterns.len = 0;
    if (buf_append(&watcher->patterns, r->data + begin, end - begin) != 0)
        return KITH_E_MEMORY;
    uint32_t known = watcher->newest;
    watcher->newest = newest;
    watcher->until_ms = core->now_ms + WATCH_END_MS;
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        uint64_t since = get_le64(slots + SLOT_BYTES * (size_t)s);
        uint32_t told = get_le32(slots + SLOT_BYTES * (size_t)s + 8);
        if (!core->slots[s].serving)
            continue;
        watcher_renew(core, watcher, s, told, known);
        catch_up(core, from, s, since);
        tell_first(core, from, s, told);
    }
    send_marks(core, from);
    push_pump(core, from, NULL);
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
    push_pump(core, from, NULL);
    return 0;
}

/* All that is not acknowledged; those that come after one lower its mark. */
static void push_send_again(struct dvar_core *core, struct node *node)
{
    struct watcher *watcher = node->watcher;
    uint64_t marks[PLACEMENT_SLOTS], mark[PUSH_WINDOW];
    uint32_t at = watcher->sent_n;
    marks_of(core, watcher, marks);
    for (struct list *it = watcher->sent.prev; it != &watcher->sent; it = it->prev) {
        const struct push *push = container_of(it, struct push, link);
        mark[--at] = marks[push->var->slot];
        mark_before(marks, push);
    }
    list_for_each (it, &watcher->sent) {
        const struct push *push = container_of(it, struct push, link);
        if (push->var->write != NULL)
            break; /* in order: it is sent again when that is done */
        push_send(core, node, push, mark[at++]);
    }
}

void watch_leased(struct dvar_core *core)
{
    for (uint32_t s = 0; s < PLACEMENT_SLOTS && core->watches_n > 0; s++) {
        if (core->slots[s].serving)
            watch_tell_slot(core, s);
    }
    list_for_each (it, &core->watchers)
        push_pump(core, container_of(it, struct node, watcher_link), NULL);
}

void watch_tick(struct dvar_core *core)
{
    ahead_forget(core, WATCH_MS);
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
        push_send_again(core, node);
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
