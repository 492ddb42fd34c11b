/*
 * What is current under a path, and what of that changed in a step.
 */
#include "fs/catalogue_internal.h"

#define DAY_MS (24ull * 3600 * 1000)

static void set_maximal(struct fs_catalogue *core, struct fs_known *known, bool maximal)
{
    if (((known->flags & FS_KNOWN_MAXIMAL) != 0) != maximal) {
        fsc_blob_dirty(core, fsc_blob_of(core, known));
        fsc_tally_live(core, known, maximal);
    }
    known->flags &= (uint8_t) ~(FS_KNOWN_MAXIMAL | FS_KNOWN_SHOWN);
    known->flags |= maximal ? FS_KNOWN_MAXIMAL : 0;
}

/* Which versions are not history; all of them are in core->sort. */
static bool gather(struct fs_catalogue *core, const struct fs_node *node, size_t *n_out)
{
    size_t n = 0;
    for (struct fs_known *k = fsc_versions(core, node); k != NULL; k = fsc_older(core, k)) {
        if (!fsc_grow(core, &core->sort, &core->sort_cap, n, sizeof(struct fs_known *)))
            return false;
        core->sort[n++] = k;
    }
    for (size_t i = 0; i < n; i++) {
        bool maximal = true;
        for (size_t k = 0; k < n && maximal; k++)
            maximal = k == i || !fsc_before(core, core->sort[i], core->sort[k]) ||
                      fsc_before(core, core->sort[k], core->sort[i]);
        set_maximal(core, core->sort[i], maximal);
    }
    *n_out = n;
    return true;
}

/* The first of a path is shown, and what says something else than all shown before it, unless it
 * only says that there is nothing. */
static bool is_shown(const struct fs_known *known, struct fs_known *const *before, size_t n)
{
    if ((known->flags & FS_KNOWN_MAXIMAL) == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((before[i]->flags & FS_KNOWN_SHOWN) != 0 && fsc_same(before[i], known))
            return false;
    return n == 0 || known->kind != FS_DELETED;
}

static int rank(const struct fs_known *known)
{
    if ((known->flags & FS_KNOWN_SHOWN) != 0)
        return 0;
    return (known->flags & FS_KNOWN_MAXIMAL) != 0 ? 1 : 2;
}

/* Stable; there are few, and they stand in this order nearly always. */
static void sort_versions(struct fs_catalogue *core, size_t n, bool by_rank)
{
    struct fs_known **v = core->sort;
    for (size_t i = 1; i < n; i++) {
        struct fs_known *moved = v[i];
        size_t at = i;
        for (; at > 0; at--) {
            int r = rank(moved) - rank(v[at - 1]);
            if (r == 0 && !by_rank)
                r = fsc_order(core, moved, v[at - 1]);
            if (r >= 0)
                break;
            v[at] = v[at - 1];
        }
        v[at] = moved;
    }
}

static void count_node(struct fs_catalogue *core, const struct fs_dirty *dirty)
{
    struct fs_node *node = dirty->node;
    const struct fs_known *now = fsc_current(core, node);
    const struct fs_known *was = dirty->before;
    bool conflicted = now != NULL && fsc_older(core, now) != NULL &&
                      (fsc_older(core, now)->flags & FS_KNOWN_SHOWN) != 0;
    struct fs_counted is = {.shown = now != NULL, .conflicted = conflicted};
    is.file = now != NULL && now->kind != FS_DIRECTORY;
    is.bytes = now != NULL && now->blob.at != 0 ? fsc_blob_of(core, now)->size : 0;
    fsc_count(core, node, &is, was != NULL && was->blob.at != 0 ? fsc_blob_of(core, was)->size : 0);
}

static void judge_lost(struct fs_catalogue *core, struct fs_node *node)
{
    uint32_t next;
    for (uint32_t ref = node->records; ref != 0; ref = next) {
        const struct fs_record *record = fsc_at(core, ref);
        const struct fs_known *known = fsc_named(core, record);
        next = record->next;
        if ((record->flags & FS_RECORD_LOST) == 0)
            continue;
        if (known->live_n > 0 || (known->flags & FS_KNOWN_MAXIMAL) == 0 ||
            fsc_deleted_long_ago(core, known, 2 * DAY_MS)) {
            fsc_lost_drop(core, ref);
            continue;
        }
        struct fs_aside *aside = &core->lost.items[record->slot];
        if (aside->due_ms == UINT64_MAX)
            aside->due_ms = core->lost_due_ms;
        if (aside->due_ms < core->adopt_at_ms)
            core->adopt_at_ms = aside->due_ms;
    }
}

static bool needs_tidy(const struct fs_catalogue *core, const struct fs_node *node)
{
    for (const struct fs_record *record = fsc_first(core, node); record != NULL;
         record = fsc_next(core, record))
        if (record->disk == core->own->no && record->line != FS_LINE_FOLDER &&
            (record->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0)
            return true;
    for (const struct fs_known *known = fsc_versions(core, node); known != NULL;
         known = fsc_older(core, known))
        if (known->blob.at != 0 && (fsc_blob_of(core, known)->flags & FS_BLOB_KEPT) != 0)
            return true;
    return false;
}

static void refresh_node(struct fs_catalogue *core, const struct fs_dirty *dirty)
{
    struct fs_node *node = dirty->node;
    size_t n = 0;
    if (!gather(core, node, &n))
        return;
    sort_versions(core, n, false);
    for (size_t i = 0; i < n; i++)
        if (is_shown(core->sort[i], core->sort, i))
            core->sort[i]->flags |= FS_KNOWN_SHOWN;
    sort_versions(core, n, true);
    struct fs_known_link *at = &node->versions;
    for (size_t i = 0; i < n; i++) {
        *at = fsc_known_link(core->sort[i]);
        at = &core->sort[i]->next;
    }
    *at = (struct fs_known_link){0};
    count_node(core, dirty);
    judge_lost(core, node);
    if (core->started && needs_tidy(core, node))
        fsc_tidy_later(core, node);
}

/* ---- telling ---- */

static size_t shown_n(const struct fs_catalogue *core, const struct fs_node *node)
{
    size_t n = 0;
    for (const struct fs_known *k = fsc_versions(core, node); k != NULL; k = fsc_older(core, k))
        n += (k->flags & FS_KNOWN_SHOWN) != 0;
    return n;
}

static enum catalogue_what what_changed(const struct fs_catalogue *core,
                                        const struct fs_dirty *dirty)
{
    const struct fs_known *was = dirty->before;
    const struct fs_known *now = fsc_current(core, dirty->node);
    if (was == NULL && now == NULL)
        return 0;
    if (was == NULL)
        return FS_CREATED;
    if (now == NULL)
        return FS_REMOVED;
    if (was != now && !fsc_same(was, now))
        return FS_MODIFIED;
    if (was != now && (was->mode != now->mode || was->mtime_ns != now->mtime_ns ||
                       was->replicas != now->replicas))
        return FS_ATTRIBUTES;
    size_t conflicts_n = shown_n(core, dirty->node);
    if (conflicts_n > dirty->conflicts_n)
        return FS_CONFLICTED;
    return conflicts_n < dirty->conflicts_n ? FS_RESOLVED : 0;
}

static const char *keep_path(struct fs_catalogue *core, const struct fs_node *node)
{
    char path[FS_PATH_BYTES_MAX + 1];
    size_t len = fsc_path(core, node, path);
    return fsc_keep(core, path, len + 1);
}

static void tell(struct fs_catalogue *core, const struct fs_dirty *dirty, enum catalogue_what what)
{
    struct fs_node *node = dirty->node;
    const char *path = keep_path(core, node);
    const struct fs_node *share = fsc_share(core, node);
    const char *share_text = fsc_keep(core, share->name, (size_t)share->name_len + 1);
    struct catalogue_action *action =
        path != NULL && share_text != NULL ? fsc_act(core, CATALOGUE_CHANGED) : NULL;
    if (action == NULL)
        return;
    action->change = (struct catalogue_change){.what = what,
                                               .share = share_text,
                                               .path = path,
                                               .before = dirty->before,
                                               .after = fsc_current(core, node)};
    if (what == FS_REMOVED)
        action->change.after = fsc_versions(core, node);
    if (what == FS_CONFLICTED) {
        const struct fs_known *beside = fsc_older(core, fsc_versions(core, node));
        action->change.before = fsc_versions(core, node);
        action->change.after = beside;
    }
}

/* What vanished and what came with the same content in the same step, within a share, are one;
 * without memory they are two. */
static void tell_all(struct fs_catalogue *core)
{
    for (size_t i = 0; i < core->dirty_n; i++) {
        const struct fs_dirty *dirty = &core->dirty[i];
        if (what_changed(core, dirty) == FS_REMOVED && dirty->before->blob.at != 0)
            (void)map64_set(&core->removed, dirty->before->blob.at, &core->dirty[i]);
    }
    for (size_t i = 0; i < core->dirty_n; i++) {
        const struct fs_dirty *dirty = &core->dirty[i];
        enum catalogue_what what = what_changed(core, dirty);
        const struct fs_known *now = fsc_current(core, dirty->node);
        if (what != FS_CREATED || now->blob.at == 0)
            continue;
        struct fs_dirty *from = map64_find(&core->removed, now->blob.at);
        if (from == NULL || fsc_share(core, from->node) != fsc_share(core, dirty->node))
            continue;
        const char *from_path = keep_path(core, from->node);
        size_t before_n = core->actions_n;
        if (from_path != NULL)
            tell(core, dirty, FS_RENAMED);
        if (core->actions_n == before_n)
            continue;
        struct catalogue_change *change = &core->actions[before_n].change;
        change->from_path = from_path;
        change->before = from->before;
        (void)map64_remove(&core->removed, now->blob.at);
        from->conflicts_n = UINT32_MAX; /* both are told */
        core->dirty[i].conflicts_n = UINT32_MAX;
    }
    for (size_t i = 0; i < core->dirty_n; i++) {
        const struct fs_dirty *dirty = &core->dirty[i];
        enum catalogue_what what = what_changed(core, dirty);
        if (what != 0 && dirty->conflicts_n != UINT32_MAX)
            tell(core, dirty, what);
    }
    map64_deinit(&core->removed);
}

static void tell_contents(struct fs_catalogue *core)
{
    for (size_t i = 0; i < core->blobs_dirty_n; i++) {
        struct fs_blob *blob = core->blobs_dirty[i];
        struct catalogue_action *action = fsc_act(core, CATALOGUE_CONTENT);
        fs_blob_flag(blob, FS_BLOB_DIRTY, false);
        if (action != NULL)
            action->content = fs_blob_content(blob);
    }
    core->blobs_dirty_n = 0;
}

void fsc_refresh(struct fs_catalogue *core)
{
    core->lost_due_ms = core->now_ms + 1 + rng_below(&core->rng, core->config.adopt_ms);
    for (size_t i = 0; i < core->dirty_n; i++)
        refresh_node(core, &core->dirty[i]);
    if (core->started) {
        tell_all(core);
        tell_contents(core);
    }
    for (size_t i = 0; i < core->dirty_n; i++) {
        struct fs_dirty *dirty = &core->dirty[i];
        dirty->node->flags &= (uint8_t)~FS_NODE_DIRTY;
        fsc_prune_later(core, dirty->node);
        if (dirty->before != NULL)
            fsc_known_unref(core, dirty->before);
    }
    core->dirty_n = 0;
}
