/*
 * Look-ups, lists, contents.
 */
#include <stdio.h>

#include "fs/catalogue_internal.h"

/* Versions of one content that are looked at for who holds it, where they are not counted
 * (catalogue_tally.c). */
#define VERSIONS_LOOKED_AT 64
/* Nodes of the tree that one call of fs_catalogue_walk() looks at. */
#define WALK_NODES_MAX 8192

/* ---- who holds it ---- */

struct holders {
    struct kith_node_id *nodes;
    size_t n, max;
};

static void holder_add(const struct fs_catalogue *core, struct holders *holders, uint32_t disk)
{
    struct kith_node_id node = fsc_node_of(core, disk);
    for (size_t i = 0; i < holders->n; i++)
        if (kith_node_id_equal(&holders->nodes[i], &node))
            return;
    if (holders->n < holders->max)
        holders->nodes[holders->n++] = node;
}

static void
holders_of(const struct fs_catalogue *core, const struct fs_blob *blob, struct holders *holders)
{
    unsigned left = VERSIONS_LOOKED_AT;
    if ((blob->flags & FS_BLOB_TALLIED) != 0) {
        const struct fs_tally *tally = fsc_tally(core, blob);
        for (size_t i = 0; i < tally->held_n && holders->n < holders->max; i++)
            holder_add(core, holders, tally->held[i].disk);
        return;
    }
    for (const struct fs_known *known = fsc_blob_first(core, blob); known != NULL && left > 0;
         known = fsc_next_of_blob(core, known), left--)
        for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, known)); r != NULL;
             r = fsc_next(core, r))
            if ((r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0 &&
                fsc_named(core, r) == known && (r->flags & FS_RECORD_PLACE) != 0)
                holder_add(core, holders, r->disk);
}

/* ---- entries ---- */

static void
own_of(const struct fs_catalogue *core, const struct fs_known *known, struct fs_entry *entry)
{
    for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, known)); r != NULL;
         r = fsc_next(core, r)) {
        if (r->disk != core->own->no || (r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 ||
            fsc_named(core, r) != known)
            continue;
        entry->own |= r->flags & FS_RECORD_PLACE;
        entry->own_main = entry->own_main || r->line < FS_LINE_EXTRA;
    }
}

static void
add_known(const struct fs_catalogue *core, const struct fs_known *known, struct fs_entry *entry)
{
    struct kith_node_id nodes[64];
    struct holders holders = {.nodes = nodes, .max = sizeof(nodes) / sizeof(nodes[0])};
    entry->kind = known->kind;
    entry->known = known;
    entry->version_id = known->id;
    entry->mode = known->mode;
    entry->mtime_ns = known->mtime_ns;
    entry->moment = known->moment;
    own_of(core, known, entry);
    if (known->blob.at == 0)
        return;
    entry->size = fsc_blob_of(core, known)->size;
    entry->has_content = true;
    entry->content = fs_blob_content(fsc_blob_of(core, known));
    holders_of(core, fsc_blob_of(core, known), &holders);
    entry->holders_n = (uint32_t)holders.n;
}

static void
fill(const struct fs_catalogue *core, const struct fs_node *node, struct fs_entry *entry)
{
    const struct fs_known *current = fsc_current(core, node);
    *entry =
        (struct fs_entry){.name = node->name, .name_len = node->name_len, .kind = FS_DIRECTORY};
    if (current != NULL) {
        add_known(core, current, entry);
        for (const struct fs_known *k = fsc_older(core, current); k != NULL; k = fsc_older(core, k))
            entry->conflicts_n += (k->flags & FS_KNOWN_SHOWN) != 0;
    }
    if (node->folder.at != 0) {
        entry->below_n = fsc_folder(core, node)->files_n;
        entry->size += fsc_folder(core, node)->bytes;
    }
}

static bool is_there(const struct fs_catalogue *core, const struct fs_node *node)
{
    return fsc_current(core, node) != NULL ||
           (node->folder.at != 0 && fsc_folder(core, node)->shown_n > 0);
}

/* ---- names of conflicts ---- */

/* Days since 1970 as a date (Howard Hinnant's). */
static void date_of(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t z = days + 719468;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

/* Without what tells two of the same millisecond and node apart. */
static size_t plain_conflict_name(const struct fs_catalogue *core,
                                  const struct fs_known *known,
                                  char *out,
                                  size_t out_bytes)
{
    char digits[KITH_NODE_ID_DIGITS + 1];
    unsigned year;
    unsigned month;
    unsigned day;
    uint64_t ms = fs_moment_ms(known->moment);
    uint64_t s = ms / 1000;
    date_of(s / 86400, &year, &month, &day);
    (void)kith_node_id_text(&core->writers[known->author].node, digits);
    int n = snprintf(out, out_bytes, "%s.conflict-%04u%02u%02uT%02u%02u%02u.%03uZ-%.8s",
                     fsc_known_node(core, known)->name, year % 10000, month, day,
                     (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
                     (unsigned)(ms % 1000), digits);
    return n < 0 ? 0 : (size_t)n;
}

#define CONFLICT_NAME_MAX (FS_PART_BYTES_MAX + 64)

static size_t conflict_name(const struct fs_catalogue *core,
                            const struct fs_known *known,
                            char out[CONFLICT_NAME_MAX])
{
    char other[CONFLICT_NAME_MAX];
    unsigned same = 1;
    size_t len = plain_conflict_name(core, known, out, CONFLICT_NAME_MAX);
    for (const struct fs_known *k = fsc_versions(core, fsc_known_node(core, known)); k != known;
         k = fsc_older(core, k)) {
        if (k == fsc_versions(core, fsc_known_node(core, known)) ||
            (k->flags & FS_KNOWN_SHOWN) == 0)
            continue;
        (void)plain_conflict_name(core, k, other, sizeof(other));
        same += strcmp(out, other) == 0;
    }
    if (same > 1)
        len += (size_t)snprintf(out + len, CONFLICT_NAME_MAX - len, "-%u", same);
    return len;
}

/* The @n-th version that stands beside the current one, from 1; NULL if there is none. */
static const struct fs_known *
conflict_of(const struct fs_catalogue *core, const struct fs_node *node, uint32_t n)
{
    const struct fs_known *current = fsc_current(core, node);
    for (const struct fs_known *k = current; k != NULL; k = fsc_older(core, k)) {
        if (k == current || (k->flags & FS_KNOWN_SHOWN) == 0)
            continue;
        if (--n == 0)
            return k;
    }
    return NULL;
}

static void fill_conflict(const struct fs_catalogue *core,
                          const struct fs_known *known,
                          const char *name,
                          size_t len,
                          struct fs_entry *entry)
{
    *entry = (struct fs_entry){.name = name, .name_len = (uint32_t)len, .is_conflict = true};
    add_known(core, known, entry);
}

/* ---- one path ---- */

static int absent(struct kith_bytes share, struct kith_bytes path)
{
    return kith_fail_with(KITH_E_NOT_FOUND, "%.*s/%.*s: there is no such file or folder",
                          (int)(share.len < 64 ? share.len : 64), (const char *)share.data,
                          (int)(path.len < 200 ? path.len : 200), (const char *)path.data);
}

static const struct fs_known *find_conflict(const struct fs_catalogue *core,
                                            struct kith_bytes share,
                                            struct kith_bytes path,
                                            char out[CONFLICT_NAME_MAX],
                                            size_t *len_out)
{
    static const char mark[] = ".conflict-";
    const char *text = path.data;
    size_t at = path.len;
    while (at > 0 && text[at - 1] != '/' &&
           (path.len - (at - 1) < sizeof(mark) - 1 ||
            memcmp(text + at - 1, mark, sizeof(mark) - 1) != 0))
        at--;
    if (at == 0 || text[at - 1] == '/')
        return NULL;
    const struct fs_node *node = fsc_find(core, share, (struct kith_bytes){text, at - 1});
    const struct fs_known *known;
    for (uint32_t n = 1; node != NULL && (known = conflict_of(core, node, n)) != NULL; n++) {
        size_t len = conflict_name(core, known, out);
        size_t base = at - 1 - node->name_len;
        if (len == path.len - base && memcmp(out, text + base, len) == 0) {
            *len_out = len;
            return known;
        }
    }
    return NULL;
}

int fs_catalogue_stat(struct fs_catalogue *core,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      struct fs_entry *entry_out)
{
    char name[CONFLICT_NAME_MAX];
    size_t len;
    if (share.len == 0) {
        *entry_out = (struct fs_entry){.name = "",
                                       .kind = FS_DIRECTORY,
                                       .size = core->shares.bytes,
                                       .below_n = core->shares.files_n};
        return 0;
    }
    const struct fs_node *node = fsc_find(core, share, path);
    if (node != NULL && is_there(core, node)) {
        fill(core, node, entry_out);
        return 0;
    }
    const struct fs_known *known = find_conflict(core, share, path, name, &len);
    if (known == NULL)
        return absent(share, path);
    core->names.len = 0;
    if (buf_append(&core->names, name, len + 1) != 0)
        return KITH_E_MEMORY;
    fill_conflict(core, known, (const char *)core->names.data, len, entry_out);
    return 0;
}

int fs_catalogue_stat_at(const struct fs_catalogue *core,
                         struct kith_bytes share,
                         struct kith_bytes path,
                         const struct kith_node_id *node_id,
                         struct fs_entry *entry_out)
{
    const struct fs_node *node = fsc_find(core, share, path);
    const struct fs_record *best = NULL;
    for (const struct fs_record *r = node != NULL ? fsc_first(core, node) : NULL; r != NULL;
         r = fsc_next(core, r)) {
        if ((r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 || r->line >= FS_LINE_EXTRA)
            continue;
        struct kith_node_id of = fsc_node_of(core, r->disk);
        bool before =
            best != NULL &&
            (r->line > best->line || (r->line == best->line &&
                                      fsc_named(core, r)->moment <= fsc_named(core, best)->moment));
        if (kith_node_id_equal(&of, node_id) && !before)
            best = r;
    }
    if (best == NULL || fsc_named(core, best)->kind == FS_DELETED)
        return absent(share, path);
    *entry_out = (struct fs_entry){.name = node->name, .name_len = node->name_len};
    add_known(core, fsc_named(core, best), entry_out);
    entry_out->is_conflict = fsc_named(core, best) != fsc_current(core, node) &&
                             (fsc_named(core, best)->flags & FS_KNOWN_SHOWN) != 0;
    return 0;
}

size_t fs_catalogue_versions(const struct fs_catalogue *core,
                             struct kith_bytes share,
                             struct kith_bytes path,
                             struct fs_entry *entries_out,
                             size_t max)
{
    const struct fs_node *node = fsc_find(core, share, path);
    size_t n = 0;
    for (const struct fs_known *k = node != NULL ? fsc_versions(core, node) : NULL; k != NULL;
         k = fsc_older(core, k)) {
        if (n < max) {
            entries_out[n] = (struct fs_entry){.name = node->name, .name_len = node->name_len};
            add_known(core, k, &entries_out[n]);
            entries_out[n].is_conflict = n > 0 && (k->flags & FS_KNOWN_SHOWN) != 0;
            entries_out[n].is_history = (k->flags & FS_KNOWN_MAXIMAL) == 0;
        }
        n++;
    }
    return n;
}

/* ---- lists ---- */

/* Goes through a folder in order. The way down is kept, so that the next one costs little. */
struct in_order {
    const struct fs_catalogue *core;
    const struct fs_node *way[96];
    size_t n;
    const struct fs_folder *folder;
    const struct fs_node *last;
};

static void order_push(struct in_order *o, const struct fs_node *at)
{
    if (o->n == sizeof(o->way) / sizeof(o->way[0])) {
        /* Deeper than a tree by chance ever is: the farthest are looked up again later. */
        memmove(&o->way[0], &o->way[1], (o->n - 1) * sizeof(o->way[0]));
        o->n--;
    }
    o->way[o->n++] = at;
}

static void order_begin(
    struct in_order *o, const struct fs_folder *folder, const char *after, size_t len, bool with)
{
    const struct fs_catalogue *core = o->core;
    const struct fs_node *at = fsc_node(core, folder->root);
    o->n = 0;
    o->folder = folder;
    o->last = NULL;
    while (at != NULL) {
        size_t n = len < at->name_len ? len : at->name_len;
        int r = memcmp(after, at->name, n);
        r = r != 0 ? r : (len > at->name_len) - (len < at->name_len);
        if (r < 0 || (r == 0 && with)) {
            order_push(o, at);
            at = r == 0 ? NULL : fsc_left(core, at);
        } else {
            at = fsc_right(core, at);
        }
    }
}

static const struct fs_node *order_next(struct in_order *o)
{
    const struct fs_catalogue *core = o->core;
    const struct fs_node *at = NULL;
    if (o->n > 0)
        at = o->way[--o->n];
    else if (o->last != NULL)
        at = fsc_child_after(core, o->folder, o->last->name, o->last->name_len, false);
    for (const struct fs_node *next = at != NULL ? fsc_right(core, at) : NULL; next != NULL;
         next = fsc_left(core, next))
        order_push(o, next);
    o->last = at;
    return at;
}

/* Names that are made are put one behind the other, and found once all are there. */
static int
name_made(struct fs_catalogue *core, const struct fs_known *known, struct fs_entry *entry)
{
    char name[CONFLICT_NAME_MAX];
    size_t len = conflict_name(core, known, name);
    fill_conflict(core, known, NULL, len, entry);
    return buf_append(&core->names, name, len + 1);
}

static void names_point(const struct fs_catalogue *core, struct fs_entry *entry, size_t *at)
{
    if (entry->name != NULL)
        return;
    entry->name = (const char *)core->names.data + *at;
    *at += entry->name_len + 1u;
}

static const struct fs_folder *
folder_at(const struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path)
{
    if (share.len == 0)
        return &core->shares;
    const struct fs_node *node = fsc_find(core, share, path);
    static const struct fs_folder nothing;
    if (node == NULL || !is_there(core, node))
        return NULL;
    return node->folder.at != 0 ? fsc_folder(core, node) : &nothing;
}

int fs_catalogue_list(struct fs_catalogue *core,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      struct fs_listing *at,
                      struct fs_entry *entries_out,
                      size_t max,
                      size_t *n_out)
{
    const struct fs_folder *folder = folder_at(core, share, path);
    struct in_order order;
    size_t n = 0;
    int r = 0;
    *n_out = 0;
    if (folder == NULL)
        return absent(share, path);
    core->names.len = 0;
    order.core = core;
    order_begin(&order, folder, at->after, at->after_len, at->begun && at->conflict != UINT32_MAX);
    const struct fs_node *node = order_next(&order);
    /* The last one of the page before may have conflicts left, or be gone by now. */
    bool same = at->begun && node != NULL && node->name_len == at->after_len &&
                memcmp(node->name, at->after, at->after_len) == 0;
    uint32_t conflict = same ? at->conflict + 1 : 0;
    while (node != NULL && n < max && r == 0) {
        const struct fs_known *known = conflict > 0 ? conflict_of(core, node, conflict) : NULL;
        if (conflict == 0 && is_there(core, node)) {
            fill(core, node, &entries_out[n++]);
        } else if (known != NULL) {
            r = name_made(core, known, &entries_out[n++]);
        } else {
            node = order_next(&order);
            conflict = 0;
            continue;
        }
        at->begun = true;
        at->after_len = node->name_len;
        memcpy(at->after, node->name, (size_t)node->name_len + 1);
        at->conflict = conflict++;
    }
    at->ended = node == NULL;
    size_t name_at = 0;
    for (size_t i = 0; i < n; i++)
        names_point(core, &entries_out[i], &name_at);
    *n_out = r == 0 ? n : 0;
    return r;
}

/* ---- walks ---- */

struct walk {
    struct fs_catalogue *core;
    const struct fs_node *top; /* NULL: all shares */
    const char *pattern;
    unsigned flags;
    struct in_order order; /* in the folder of the last one */
};

static bool folder_fits(const struct walk *walk, const struct fs_folder *folder)
{
    if (folder == NULL || folder->root.at == 0)
        return false;
    if ((walk->flags & (FS_WALK_DELETED | FS_WALK_GONE | FS_WALK_OWN)) != 0)
        return true;
    return (walk->flags & FS_WALK_CONFLICTED) != 0 ? folder->conflicted_n > 0 : folder->shown_n > 0;
}

static const struct fs_node *walk_into(
    struct walk *walk, const struct fs_folder *folder, const char *after, size_t len, bool with)
{
    order_begin(&walk->order, folder, after, len, with);
    return order_next(&walk->order);
}

/* The next one in the order of paths that is not beneath @at. */
static const struct fs_node *walk_behind(struct walk *walk, const struct fs_node *at)
{
    const struct fs_catalogue *core = walk->core;
    while (at != NULL && at != walk->top) {
        const struct fs_folder *in =
            at->parent.at != 0 ? fsc_folder(core, fsc_parent(core, at)) : &core->shares;
        bool there = walk->order.folder == in && walk->order.last == at;
        const struct fs_node *next =
            there ? order_next(&walk->order) : walk_into(walk, in, at->name, at->name_len, false);
        if (next != NULL)
            return next;
        at = fsc_parent(core, at);
    }
    return NULL;
}

static const struct fs_node *walk_next(struct walk *walk, const struct fs_node *at)
{
    const struct fs_catalogue *core = walk->core;
    if (folder_fits(walk, fsc_folder(core, at)))
        return walk_into(walk, fsc_folder(core, at), "", 0, true);
    return walk_behind(walk, at);
}

static bool own_main(const struct fs_catalogue *core, const struct fs_node *node)
{
    const struct fs_record *r =
        fsc_record(core, fsc_record_find(core, node, core->own->no, FS_LINE_FOLDER));
    return r != NULL && (r->flags & FS_RECORD_GONE) == 0;
}

/* A name that cannot be folded, as memory is short, does not fit. */
static bool name_fits(const struct walk *walk, const struct fs_node *node)
{
    size_t len = strlen(walk->pattern);

    if ((walk->flags & FS_WALK_ANY_CASE) == 0)
        return fs_name_match(walk->pattern, len, node->name, node->name_len);
    struct buf *folded = &walk->core->folded;
    folded->len = 0;
    return fs_name_fold(node->name, node->name_len, folded) == 0 &&
           fs_name_match(walk->pattern, len, (const char *)folded->data, folded->len);
}

static bool node_fits(const struct walk *walk, const struct fs_node *node)
{
    const struct fs_catalogue *core = walk->core;
    if (walk->pattern != NULL && !name_fits(walk, node))
        return false;
    if ((walk->flags & FS_WALK_OWN) != 0)
        return own_main(walk->core, node);
    if ((walk->flags & FS_WALK_CONFLICTED) != 0)
        return (node->flags & FS_NODE_CONFLICTED) != 0;
    if ((walk->flags & FS_WALK_GONE) != 0)
        return node->versions.at != 0 && !is_there(core, node);
    if ((walk->flags & FS_WALK_DELETED) != 0 && node->versions.at != 0)
        return true;
    return is_there(core, node);
}

/* Where to go on: behind the path, as much of it as is still there. */
static const struct fs_node *walk_from(struct walk *walk, const struct fs_listing *at)
{
    const struct fs_catalogue *core = walk->core;
    const struct fs_node *node = walk->top;
    for (size_t from = 0; from < at->after_len;) {
        const struct fs_folder *folder = node != NULL ? fsc_folder(core, node) : &core->shares;
        const char *part = at->after + from;
        const char *slash = memchr(part, '/', at->after_len - from);
        size_t len = slash != NULL ? (size_t)(slash - part) : at->after_len - from;
        const struct fs_node *child = folder != NULL ? fsc_child(core, folder, part, len) : NULL;
        if (child == NULL) {
            child = folder != NULL ? fsc_child_after(core, folder, part, len, false) : NULL;
            return child != NULL ? child : walk_behind(walk, node);
        }
        node = child;
        from += len + 1;
    }
    return node != NULL ? walk_next(walk, node) : NULL;
}

/* The path from the top, with a NUL; "" for the top itself. */
static size_t walk_path(const struct walk *walk, const struct fs_node *node, char *out)
{
    const struct fs_catalogue *core = walk->core;
    size_t len = 0;
    for (const struct fs_node *at = node; at != walk->top; at = fsc_parent(core, at))
        len += (size_t)at->name_len + (fsc_parent(core, at) != walk->top);
    size_t end = len;
    out[len] = '\0';
    for (const struct fs_node *at = node; at != walk->top; at = fsc_parent(core, at)) {
        end -= at->name_len;
        memcpy(out + end, at->name, at->name_len);
        if (fsc_parent(core, at) != walk->top)
            out[--end] = '/';
    }
    return len;
}

static void
fill_deleted(const struct fs_catalogue *core, const struct fs_node *node, struct fs_entry *entry)
{
    fill(core, node, entry);
    if (entry->known == NULL && node->versions.at != 0 && !is_there(core, node))
        add_known(core, fsc_versions(core, node), entry);
}

int fs_catalogue_walk(struct fs_catalogue *core,
                      const struct fs_walk *asked,
                      struct fs_listing *at,
                      struct fs_walked *walked_out,
                      size_t max,
                      size_t *n_out)
{
    struct walk walk;
    size_t n = 0;
    unsigned left = WALK_NODES_MAX;
    *n_out = 0;
    walk.core = core;
    walk.order.core = core;
    walk.pattern = asked->pattern;
    walk.flags = asked->flags;
    walk.order.folder = NULL; /* the way is long, and not looked at */
    walk.top = asked->share.len > 0 ? fsc_find(core, asked->share, asked->path) : NULL;
    if (asked->share.len > 0 && walk.top == NULL)
        return absent(asked->share, asked->path);
    core->names.len = 0;
    const struct fs_node *node = walk.top;
    if (at->begun)
        node = walk_from(&walk, at);
    else if (node == NULL)
        node = fsc_child_after(core, &core->shares, "", 0, true);
    for (; node != NULL && n < max && left > 0; node = walk_next(&walk, node), left--) {
        at->begun = true;
        at->after_len = (uint32_t)walk_path(&walk, node, at->after);
        if (!node_fits(&walk, node))
            continue;
        struct fs_walked *walked = &walked_out[n];
        char text[FS_PATH_BYTES_MAX + 1];
        walked->path_len = (uint32_t)fsc_path(core, node, text);
        fill_deleted(core, node, &walked->entry);
        if (buf_append(&core->names, text, walked->path_len + 1u) != 0)
            return KITH_E_MEMORY;
        walked->share = fsc_share(core, node)->name;
        n++;
    }
    at->ended = node == NULL;
    size_t name_at = 0;
    for (size_t i = 0; i < n; i++) {
        walked_out[i].path = (const char *)core->names.data + name_at;
        name_at += walked_out[i].path_len + 1u;
    }
    *n_out = n;
    return 0;
}
