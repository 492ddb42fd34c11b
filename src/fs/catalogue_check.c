/*
 * What must hold between two steps.
 */
#include "fs/catalogue_internal.h"

struct tally {
    uint64_t nodes, versions, records;
    uint32_t depth_max;
};

static void
check_versions(const struct fs_catalogue *core, const struct fs_node *node, struct tally *tally)
{
    bool history = false;
    for (const struct fs_known *k = fsc_versions(core, node); k != NULL; k = fsc_older(core, k)) {
        uint32_t live = 0;
        uint32_t all = 0;
        assert(fsc_known_node(core, k) == node && (k->flags & FS_KNOWN_LINKED) != 0);
        for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r)) {
            if ((r->flags & FS_RECORD_GONE) != 0 || fsc_named(core, r) != k)
                continue;
            all++;
            live += (r->flags & FS_RECORD_LOST) == 0;
        }
        assert(k->live_n == live && k->refs >= all);
        assert(all > 0 || (node->flags & FS_NODE_BUSY) != 0);
        assert((k->kind == FS_FILE) == (k->blob.at != 0));
        history = history || (k->flags & FS_KNOWN_MAXIMAL) == 0;
        assert(!history || (k->flags & (FS_KNOWN_MAXIMAL | FS_KNOWN_SHOWN)) == 0);
        tally->versions++;
    }
    (void)core;
}

static void
check_records(const struct fs_catalogue *core, const struct fs_node *node, struct tally *tally)
{
    for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r)) {
        const struct fs_disk *disk = core->disks[r->disk];
        assert(fsc_record_node(core, r) == node);
        tally->records++;
        if ((r->flags & FS_RECORD_LOST) != 0)
            assert(fsc_at(core, core->lost.items[r->slot].record) == r);
        else if ((r->flags & FS_RECORD_STALE) != 0)
            assert(fsc_at(core, disk->stale.items[r->slot].record) == r);
        else
            assert(fsc_at(core, disk->slots[r->slot]) == r);
        for (const struct fs_record *o = fsc_next(core, r); o != NULL; o = fsc_next(core, o))
            assert(o->disk != r->disk || o->line != r->line ||
                   ((o->flags | r->flags) & (FS_RECORD_LOST | FS_RECORD_STALE)) != 0);
    }
}

static void check_folder(const struct fs_catalogue *core,
                         const struct fs_folder *folder,
                         const struct fs_node *parent,
                         struct tally *tally);

static void check_node(const struct fs_catalogue *core,
                       const struct fs_node *node,
                       struct tally *tally,
                       struct fs_folder *sum)
{
    const struct fs_known *current = fsc_current(core, node);
    assert((node->flags & (FS_NODE_DIRTY | FS_NODE_TIDY)) == 0);
    assert(((node->flags & FS_NODE_SHOWN) != 0) == (current != NULL));
    tally->nodes++;
    check_versions(core, node, tally);
    check_records(core, node, tally);
    sum->children_n++;
    sum->shown_n += current != NULL;
    sum->files_n += current != NULL && current->kind != FS_DIRECTORY;
    sum->bytes += current != NULL && current->blob.at != 0 ? fsc_blob_of(core, current)->size : 0;
    sum->conflicted_n += (node->flags & FS_NODE_CONFLICTED) != 0;
    if (node->folder.at != 0) {
        check_folder(core, fsc_folder(core, node), node, tally);
        sum->shown_n += fsc_folder(core, node)->shown_n;
        sum->files_n += fsc_folder(core, node)->files_n;
        sum->bytes += fsc_folder(core, node)->bytes;
        sum->conflicted_n += fsc_folder(core, node)->conflicted_n;
    }
}

static void check_folder(const struct fs_catalogue *core,
                         const struct fs_folder *folder,
                         const struct fs_node *parent,
                         struct tally *tally)
{
    struct fs_folder sum = {0};
    const struct fs_node *last = NULL;
    for (const struct fs_node *at = fsc_child_after(core, folder, "", 0, true); at != NULL;
         at = fsc_child_after(core, folder, at->name, at->name_len, false)) {
        assert(fsc_parent(core, at) == parent);
        assert(last == NULL || strcmp(last->name, at->name) < 0);
        assert(at->left.at == 0 || fsc_stands_above(core, at, fsc_left(core, at)));
        assert(at->right.at == 0 || fsc_stands_above(core, at, fsc_right(core, at)));
        check_node(core, at, tally, &sum);
        last = at;
    }
    assert(sum.children_n == folder->children_n && sum.shown_n == folder->shown_n);
    assert(sum.files_n == folder->files_n && sum.bytes == folder->bytes);
    assert(sum.conflicted_n == folder->conflicted_n);
}

static void check_disk(const struct fs_catalogue *core, const struct fs_disk *disk)
{
    uint64_t number = 0;
    uint64_t n = 0;
    uint64_t sum = 0;
    uint32_t gaps = 0;
    for (uint32_t i = 0; i < disk->slots_n; i++) {
        const struct fs_record *record = fsc_record(core, disk->slots[i]);
        if (record == NULL) {
            gaps++;
            continue;
        }
        assert(record->number > number && record->slot == i && record->disk == disk->no);
        number = record->number;
        n += (record->flags & FS_RECORD_GONE) == 0;
        sum += (record->flags & FS_RECORD_GONE) == 0 ? fsc_record_sum(core, record) : 0;
    }
    assert(n == disk->records_n && sum == disk->sum && gaps == disk->gaps);
    assert(number <= disk->highest || disk->repull);
    assert(!disk->whole || disk->stale.n == 0);
}

static void check_contents(const struct fs_catalogue *core)
{
    uint64_t n = 0, named_n = 0;
    for (size_t i = 0; i < core->contents.buckets_n; i++) {
        for (const struct fs_blob *blob = fsc_blob(core, core->contents.buckets[i]); blob != NULL;
             blob = fsc_blob(core, blob->next)) {
            uint64_t versions_n = 0;
            for (const struct fs_known *k = fsc_blob_first(core, blob); k != NULL;
                 k = fsc_next_of_blob(core, k))
                versions_n++;
            assert(versions_n == blob->versions_n && (versions_n > 0 || blob->flags == 0));
            assert(versions_n > 0 || blob->files_n > 0);
            fsc_tally_check(core, blob);
            n++;
            named_n += versions_n > 0;
        }
    }
    assert(n == core->contents.n && named_n == core->blobs_n);
}

void fs_catalogue_check(const struct fs_catalogue *core)
{
    struct tally tally = {0};
    uint32_t pulls = 0;
    check_folder(core, &core->shares, NULL, &tally);
    assert(tally.nodes == core->nodes_n && tally.records == core->records_n);
    assert(tally.versions <= core->versions_n);
    for (uint32_t i = 1; i < core->disks_n; i++) {
        check_disk(core, core->disks[i]);
        pulls += core->disks[i]->pulling;
    }
    assert(pulls == core->pulls_n);
    check_contents(core);
}
