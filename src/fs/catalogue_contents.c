/*
 * Contents: what names them, and who holds them.
 */
#include "fs/catalogue_internal.h"

static uint8_t copies_of(const struct fs_catalogue *core, const struct fs_node *node)
{
    const struct fs_known *root = fsc_current(core, fsc_share(core, node));
    return root != NULL && root->replicas != 0 ? root->replicas : core->config.replicas;
}

#define FEW_N 4

struct holders {
    struct kith_node_id *nodes;
    size_t max;
    size_t n;                       /* all that were seen */
    struct kith_node_id few[FEW_N]; /* the first ones, without a map: mostly there are no others */
    struct mapid more;              /* the others */
};

static int add_holder(const struct fs_catalogue *core, struct holders *holders, uint32_t disk)
{
    struct kith_node_id node = fsc_node_of(core, disk);
    static char here;
    int r = 0;
    if (kith_node_id_equal(&node, &core->config.self.node))
        return 0;
    for (size_t i = 0; i < holders->n && i < FEW_N; i++)
        if (kith_node_id_equal(&node, &holders->few[i]))
            return 0;
    if (holders->n < FEW_N)
        holders->few[holders->n] = node;
    else if (mapid_find(&holders->more, &node) != NULL)
        return 0;
    else
        r = mapid_set(&holders->more, &node, &here);
    if (r == 0 && holders->n < holders->max)
        holders->nodes[holders->n] = node;
    holders->n += r == 0;
    return r;
}

static void
want(const struct fs_catalogue *core, const struct fs_node *node, struct fs_content_facts *facts)
{
    uint8_t copies = copies_of(core, node);
    facts->live = true;
    facts->copies = copies > facts->copies ? copies : facts->copies;
}

static int add_version(const struct fs_catalogue *core,
                       const struct fs_known *known,
                       struct fs_content_facts *facts,
                       struct holders *holders)
{
    int r = 0;
    if ((known->flags & FS_KNOWN_MAXIMAL) != 0)
        want(core, fsc_known_node(core, known), facts);
    for (const struct fs_record *record = fsc_first(core, fsc_known_node(core, known));
         record != NULL && r == 0; record = fsc_next(core, record)) {
        facts->looked_n++;
        if ((record->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 ||
            fsc_named(core, record) != known || (record->flags & FS_RECORD_PLACE) == 0)
            continue;
        if (record->disk == core->own->no)
            facts->own |= record->flags & FS_RECORD_PLACE;
        else
            r = add_holder(core, holders, record->disk);
    }
    return r;
}

static int add_tally(const struct fs_catalogue *core,
                     const struct fs_tally *tally,
                     struct fs_content_facts *facts,
                     struct holders *holders)
{
    int r = 0;
    for (size_t i = 0; i < tally->wanted_n; i++)
        want(core, tally->wanted[i].share, facts);
    for (size_t i = 0; i < tally->held_n && r == 0; i++) {
        const struct fs_held *held = &tally->held[i];
        if (held->disk != core->own->no) {
            r = add_holder(core, holders, held->disk);
            continue;
        }
        facts->own |= held->folder_n > 0 ? FS_IN_FOLDER : 0;
        facts->own |= held->keep_n > 0 ? FS_IN_KEEP : 0;
    }
    facts->looked_n += tally->wanted_n + tally->held_n;
    return r;
}

static int facts_of(const struct fs_catalogue *core,
                    const struct fs_blob *blob,
                    struct fs_content_facts *facts_out,
                    struct kith_node_id *holders_out,
                    size_t max)
{
    struct holders holders;
    int r = 0;
    if (blob == NULL)
        return kith_fail_with(KITH_E_NOT_FOUND, "no file of the catalogue has this content");
    holders.nodes = holders_out;
    holders.max = max;
    holders.n = 0;
    holders.more = (struct mapid){0};
    *facts_out = (struct fs_content_facts){.content = fs_blob_content(blob)};
    if ((blob->flags & FS_BLOB_TALLIED) != 0) {
        r = add_tally(core, fsc_tally(core, blob), facts_out, &holders);
    } else {
        for (const struct fs_known *known = fsc_blob_first(core, blob); known != NULL && r == 0;
             known = fsc_next_of_blob(core, known))
            if ((known->flags & FS_KNOWN_LINKED) != 0)
                r = add_version(core, known, facts_out, &holders);
    }
    facts_out->holders_n = holders.n;
    mapid_deinit(&holders.more);
    return r;
}

int fs_catalogue_content(const struct fs_catalogue *core,
                         const uint8_t root[FS_ROOT_BYTES],
                         struct fs_content_facts *facts_out,
                         struct kith_node_id *holders_out,
                         size_t max)
{
    return facts_of(core, fsc_blob_find(core, root), facts_out, holders_out, max);
}

int fs_known_content(const struct fs_catalogue *core,
                     const struct fs_known *known,
                     struct fs_content_facts *facts_out,
                     struct kith_node_id *holders_out,
                     size_t max)
{
    return facts_of(core, fsc_blob_of(core, known), facts_out, holders_out, max);
}

bool fs_catalogue_content_next(const struct fs_catalogue *core,
                               uint64_t *at,
                               struct content *content_out)
{
    /* The bucket, and how far in its chain. */
    uint64_t bucket = *at >> 20;
    uint64_t n = *at & 0xfffff;
    for (; bucket < core->contents.buckets_n; bucket++, n = 0) {
        const struct fs_blob *blob = fsc_blob(core, core->contents.buckets[bucket]);
        uint64_t i = 0;
        for (; blob != NULL && (i < n || blob->versions_n == 0); i++)
            blob = fsc_blob(core, blob->next);
        if (blob == NULL)
            continue;
        *content_out = fs_blob_content(blob);
        *at = bucket << 20 | (i + 1);
        return true;
    }
    return false;
}

bool fs_catalogue_content_path(const struct fs_catalogue *core,
                               const uint8_t root[FS_ROOT_BYTES],
                               struct buf *out)
{
    char path[FS_PATH_BYTES_MAX + 1];
    const struct fs_blob *blob = fsc_blob_find(core, root);
    const struct fs_known *best = NULL;
    if (blob == NULL)
        return false;
    for (const struct fs_known *known = fsc_blob_first(core, blob); known != NULL;
         known = fsc_next_of_blob(core, known)) {
        if ((known->flags & FS_KNOWN_LINKED) == 0)
            continue;
        best = known;
        if ((known->flags & FS_KNOWN_SHOWN) != 0)
            break;
    }
    if (best == NULL)
        return false;
    size_t len = fsc_path(core, fsc_known_node(core, best), path);
    const struct fs_node *share = fsc_share(core, fsc_known_node(core, best));
    return buf_append(out, share->name, share->name_len) == 0 && buf_append(out, "/", 1) == 0 &&
           buf_append(out, path, len) == 0;
}

/* Of a content that many paths have so many are looked at. */
#define BEFORE_PATHS 16

static bool alike(const struct content *a, const struct content *b)
{
    return a->hash == b->hash && a->chunk_log2 == b->chunk_log2 &&
           memcmp(a->root, b->root, sizeof(a->root)) != 0;
}

/* The content of what @record says is held, if it is such a one. */
static bool holds_alike(const struct fs_catalogue *core,
                        const struct fs_record *record,
                        const struct content *content)
{
    if ((record->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 ||
        (record->flags & FS_RECORD_PLACE) == 0 || fsc_named(core, record)->blob.at == 0)
        return false;
    struct content held = fs_blob_content(fsc_blob_of(core, fsc_named(core, record)));
    return alike(&held, content);
}

/* The first, or next, version that has the content and is in its path's list. */
static const struct fs_known *next_linked(const struct fs_catalogue *core,
                                          const struct fs_known *known)
{
    while (known != NULL && (known->flags & FS_KNOWN_LINKED) == 0)
        known = fsc_next_of_blob(core, known);
    return known;
}

static const struct fs_known *first_of(const struct fs_catalogue *core,
                                       const struct content *content)
{
    const struct fs_blob *blob = fsc_blob_find(core, content->root);
    return blob != NULL ? next_linked(core, fsc_blob_first(core, blob)) : NULL;
}

bool fs_catalogue_content_before(const struct fs_catalogue *core,
                                 const struct content *content,
                                 struct content *before_out)
{
    const struct fs_known *best = NULL, *known = first_of(core, content);
    for (unsigned i = 0; known != NULL && i < BEFORE_PATHS; i++) {
        for (const struct fs_record *record = fsc_first(core, fsc_known_node(core, known));
             record != NULL; record = fsc_next(core, record)) {
            if (record->disk == core->own->no && holds_alike(core, record, content) &&
                (best == NULL || fsc_named(core, record)->moment > best->moment))
                best = fsc_named(core, record);
        }
        known = next_linked(core, fsc_next_of_blob(core, known));
    }
    if (best != NULL)
        *before_out = fs_blob_content(fsc_blob_of(core, best));
    return best != NULL;
}

int fs_catalogue_content_near(const struct fs_catalogue *core,
                              const struct content *content,
                              struct kith_node_id *nodes_out,
                              size_t max,
                              size_t *n_out,
                              bool *self_out)
{
    struct holders near = {.nodes = nodes_out, .max = max};
    const struct fs_known *known = first_of(core, content);
    int r = 0;
    *self_out = false;
    for (unsigned i = 0; known != NULL && i < BEFORE_PATHS && r == 0; i++) {
        for (const struct fs_record *record = fsc_first(core, fsc_known_node(core, known));
             record != NULL && r == 0; record = fsc_next(core, record)) {
            if (!holds_alike(core, record, content))
                continue;
            if (record->disk == core->own->no)
                *self_out = true;
            else
                r = add_holder(core, &near, record->disk);
        }
        known = next_linked(core, fsc_next_of_blob(core, known));
    }
    *n_out = near.n;
    mapid_deinit(&near.more);
    return r;
}

/* False: this disk has no record that says so. */
static bool folder_has(const struct fs_catalogue *core, const struct fs_blob *blob)
{
    if ((blob->flags & FS_BLOB_TALLIED) == 0)
        return true;
    const struct fs_tally *tally = fsc_tally(core, blob);
    for (size_t i = 0; i < tally->held_n; i++)
        if (tally->held[i].disk == core->own->no)
            return tally->held[i].folder_n > 0;
    return false;
}

/* Its path, with a NUL behind each. */
static bool put_names(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct buf *share_out,
                      struct buf *path_out)
{
    char path[FS_PATH_BYTES_MAX + 1];
    const struct fs_node *share = fsc_share(core, fsc_known_node(core, known));
    size_t len = fsc_path(core, fsc_known_node(core, known), path);
    return buf_append(share_out, share->name, share->name_len) == 0 &&
           buf_append_u8(share_out, 0) == 0 && buf_append(path_out, path, len) == 0 &&
           buf_append_u8(path_out, 0) == 0;
}

bool fs_catalogue_content_own(const struct fs_catalogue *core,
                              const uint8_t root[FS_ROOT_BYTES],
                              size_t nth,
                              struct buf *share_out,
                              struct buf *path_out)
{
    const struct fs_blob *blob = fsc_blob_find(core, root);

    if (blob == NULL || !folder_has(core, blob))
        return false;
    for (const struct fs_known *known = fsc_blob_first(core, blob); known != NULL;
         known = fsc_next_of_blob(core, known)) {
        for (const struct fs_record *record = fsc_first(core, fsc_known_node(core, known));
             record != NULL; record = fsc_next(core, record)) {
            if ((record->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 ||
                fsc_named(core, record) != known || record->disk != core->own->no ||
                (record->flags & FS_RECORD_PLACE & FS_IN_FOLDER) == 0)
                continue;
            if (nth-- > 0)
                continue;
            return put_names(core, known, share_out, path_out);
        }
    }
    return false;
}

bool fs_catalogue_content_shown(const struct fs_catalogue *core,
                                const uint8_t root[FS_ROOT_BYTES],
                                size_t nth,
                                struct buf *share_out,
                                struct buf *path_out)
{
    const struct fs_blob *blob = fsc_blob_find(core, root);
    for (const struct fs_known *known = blob != NULL ? fsc_blob_first(core, blob) : NULL;
         known != NULL; known = fsc_next_of_blob(core, known)) {
        if ((known->flags & FS_KNOWN_LINKED) != 0 &&
            fsc_current(core, fsc_known_node(core, known)) == known && nth-- == 0)
            return put_names(core, known, share_out, path_out);
    }
    return false;
}

bool fs_known_has(const struct fs_catalogue *core,
                  const struct fs_known *known,
                  struct content *content_out)
{
    if (known == NULL || known->blob.at == 0)
        return false;
    *content_out = fs_blob_content(fsc_blob_of(core, known));
    return true;
}
