/*
 * Records: who has which version of a path. What is current under a path follows from the versions
 * that records name, and from nothing else: not from the order in which they came. So two nodes
 * that have the same records show the same.
 *
 * A version that loses its last record, because an index was replaced, a node forgotten, or two who
 * had it dropped it at once, stays as LOST: it counts as before, is still stored, and after a while
 * this disk names it itself.
 */
#include "fs/catalogue_internal.h"

uint64_t fsc_record_sum(const struct fs_catalogue *core, const struct fs_record *record)
{
    uint8_t bytes[17];
    put_le64(bytes, record->number);
    put_le64(bytes + 8, fsc_named(core, record)->id);
    bytes[16] = (uint8_t)(record->line << 2 | (record->flags & FS_RECORD_PLACE));
    return hash_bytes(bytes, sizeof(bytes), 12);
}

static uint32_t find(const struct fs_catalogue *core,
                     const struct fs_node *node,
                     uint32_t disk,
                     uint32_t line,
                     unsigned but)
{
    uint32_t ref = node->records;
    while (ref != 0) {
        const struct fs_record *record = fsc_at(core, ref);
        if (record->disk == disk && record->line == line && (record->flags & but) == 0)
            break;
        ref = record->next;
    }
    return ref;
}

uint32_t fsc_record_find(const struct fs_catalogue *core,
                         const struct fs_node *node,
                         uint32_t disk,
                         uint8_t line)
{
    return find(core, node, disk, line, FS_RECORD_LOST);
}

void fsc_touch(struct fs_catalogue *core, struct fs_node *node)
{
    if ((node->flags & FS_NODE_DIRTY) != 0 ||
        !fsc_grow(core, &core->dirty, &core->dirty_cap, core->dirty_n, sizeof(*core->dirty)))
        return;
    struct fs_dirty *dirty = &core->dirty[core->dirty_n++];
    dirty->node = node;
    dirty->before = fsc_current(core, node);
    dirty->conflicts_n = 0;
    for (const struct fs_known *k = fsc_versions(core, node); k != NULL; k = fsc_older(core, k))
        dirty->conflicts_n += (k->flags & FS_KNOWN_SHOWN) != 0;
    if (dirty->before != NULL)
        dirty->before->refs++;
    node->flags |= FS_NODE_DIRTY;
}

void fsc_tidy_later(struct fs_catalogue *core, struct fs_node *node)
{
    if ((node->flags & FS_NODE_TIDY) != 0 ||
        !fsc_grow(core, &core->tidy, &core->tidy_cap, core->tidy_n, sizeof(struct fs_node *)))
        return;
    node->flags |= FS_NODE_TIDY;
    core->tidy[core->tidy_n++] = node;
}

/* ---- slots, and records in none ---- */

#define REF(n) ((n) & ((1u << FS_RECORD_REF_BITS) - 1))

static void slots_close_gaps(struct fs_catalogue *core, struct fs_disk *disk)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < disk->slots_n; i++) {
        if (disk->slots[i] == 0)
            continue;
        disk->slots[n] = disk->slots[i];
        fsc_at(core, disk->slots[n])->slot = REF(n);
        n++;
    }
    disk->slots_n = n;
    disk->gaps = 0;
}

static bool slots_reserve(struct fs_catalogue *core, struct fs_disk *disk)
{
    if (disk->gaps > 16 && disk->gaps > disk->slots_n / 2)
        slots_close_gaps(core, disk);
    size_t cap = disk->slots_cap;
    bool fine = fsc_grow(core, &disk->slots, &cap, disk->slots_n, sizeof(*disk->slots));
    disk->slots_cap = (uint32_t)cap;
    return fine;
}

/* There is room. */
static void slot_add(struct fs_catalogue *core, struct fs_disk *disk, uint32_t ref)
{
    fsc_at(core, ref)->slot = REF(disk->slots_n);
    disk->slots[disk->slots_n++] = ref;
}

static bool
aside_add(struct fs_catalogue *core, struct fs_asides *list, uint32_t ref, uint32_t pass)
{
    size_t cap = list->cap;
    bool fine = fsc_grow(core, &list->items, &cap, list->n, sizeof(*list->items));
    list->cap = (uint32_t)cap;
    if (!fine)
        return false;
    fsc_at(core, ref)->slot = REF(list->n);
    list->items[list->n++] = (struct fs_aside){.record = ref, .pass = pass, .due_ms = UINT64_MAX};
    return true;
}

static bool asides_reserve(struct fs_catalogue *core, struct fs_asides *list, uint32_t more)
{
    if (more <= list->cap - list->n)
        return true;
    struct fs_aside *items =
        core_realloc(list->items, ((size_t)list->n + more) * sizeof(*list->items));
    if (items == NULL) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    list->items = items;
    list->cap = list->n + more;
    return true;
}

static void aside_remove(struct fs_catalogue *core, struct fs_asides *list, uint32_t at)
{
    list->items[at] = list->items[--list->n];
    fsc_at(core, list->items[at].record)->slot = REF(at);
}

/* ---- coming and going ---- */

#define RECORD_BYTES (sizeof(struct fs_record) + sizeof(uint32_t))

static void unlink_record(struct fs_catalogue *core, uint32_t ref)
{
    struct fs_record *record = fsc_at(core, ref);
    struct fs_node *node = fsc_record_node(core, record);
    if (node->records == ref) {
        node->records = record->next;
    } else {
        struct fs_record *before = fsc_at(core, node->records);
        while (before->next != ref)
            before = fsc_at(core, before->next);
        before->next = record->next;
    }
    fsc_prune_later(core, node);
    core->records_n--;
    core->bytes -= RECORD_BYTES;
    fsc_record_free(core, ref);
}

void fsc_lost_drop(struct fs_catalogue *core, uint32_t ref)
{
    const struct fs_record *record = fsc_at(core, ref);
    struct fs_known *known = fsc_named(core, record);
    fsc_persist_drop(core, record->disk, core->lost.items[record->slot].pass, record->number);
    aside_remove(core, &core->lost, record->slot);
    unlink_record(core, ref);
    fsc_known_unref(core, known);
}

/* Out of its index. The last that names its version stays as LOST. */
static void record_detach(struct fs_catalogue *core, uint32_t ref)
{
    struct fs_record *record = fsc_at(core, ref);
    struct fs_disk *disk = core->disks[record->disk];
    bool gone = (record->flags & FS_RECORD_GONE) != 0;
    uint32_t pass = disk->pass;
    if ((record->flags & FS_RECORD_STALE) != 0) {
        pass = disk->stale.items[record->slot].pass;
        aside_remove(core, &disk->stale, record->slot);
        fsc_flags_clear(record, FS_RECORD_STALE);
    } else {
        disk->slots[record->slot] = 0;
        disk->gaps++;
        if (!gone) {
            disk->records_n--;
            disk->sum -= fsc_record_sum(core, record);
        }
    }
    if (gone) {
        fsc_persist_drop(core, record->disk, pass, record->number);
        unlink_record(core, ref);
        return;
    }
    struct fs_known *known = fsc_named(core, record);
    fsc_touch(core, fsc_known_node(core, known));
    fsc_blob_dirty(core, fsc_blob_of(core, known));
    fsc_tally_record(core, known, record, false);
    known->live_n--;
    if (known->live_n == 0 && !MUTANT(FS_ORPHANS_DROPPED) &&
        aside_add(core, &core->lost, ref, pass)) {
        fsc_flags_set(record, FS_RECORD_LOST);
        return;
    }
    fsc_persist_drop(core, record->disk, pass, record->number);
    unlink_record(core, ref);
    if (known->live_n == 0) /* a change under way may refer to it still */
        fsc_known_unlist(core, known);
    fsc_known_unref(core, known);
}

/* In the list of its path, and in no index yet. 0: no memory. */
static uint32_t record_new(struct fs_catalogue *core,
                           const struct fs_disk *disk,
                           struct fs_node *node,
                           struct fs_known *known,
                           const struct fs_record *as)
{
    uint32_t ref = fsc_record_alloc(core);
    if (ref == 0)
        return 0;
    struct fs_record *record = fsc_at(core, ref);
    *record = *as;
    record->disk = disk->no & 0xffff;
    if (known != NULL) {
        record->of.known = fsc_known_link(known);
        fsc_known_list(core, known);
        known->refs++;
        known->live_n = (known->live_n + 1) & 0xffffff;
        fsc_tally_record(core, known, record, true);
    } else {
        record->of.node = fsc_node_link(node);
        fsc_flags_set(record, FS_RECORD_GONE);
    }
    record->next = REF(node->records);
    node->records = ref;
    core->records_n++;
    core->bytes += RECORD_BYTES;
    return ref;
}

bool fsc_record_put(struct fs_catalogue *core,
                    struct fs_disk *disk,
                    struct fs_node *node,
                    struct fs_known *known,
                    uint64_t number,
                    uint8_t flags,
                    uint8_t line)
{
    if (core->records_n >= core->config.records_max) {
        core->stats.refused_limit++;
        return false;
    }
    const struct fs_record as = {
        .number = number & FS_NUMBER_MAX, .line = line & 0x3fu, .flags = flags & FS_RECORD_PLACE};
    uint32_t old = fsc_record_find(core, node, disk->no, line);
    uint32_t ref = slots_reserve(core, disk) ? record_new(core, disk, node, known, &as) : 0;
    if (ref == 0)
        return false;
    fsc_touch(core, node);
    slot_add(core, disk, ref);
    if (known != NULL) {
        disk->records_n++;
        disk->sum += fsc_record_sum(core, fsc_at(core, ref));
        fsc_blob_dirty(core, fsc_blob_of(core, known));
    }
    if (old != 0)
        record_detach(core, old);
    return true;
}

/* ---- from the disk ---- */

bool fsc_record_aside(struct fs_catalogue *core,
                      struct fs_disk *disk,
                      struct fs_node *node,
                      struct fs_known *known,
                      const struct fs_wire_record *wire,
                      uint32_t pass)
{
    const struct fs_record as = {.number = wire->number & FS_NUMBER_MAX,
                                 .line = wire->line & 0x3fu,
                                 .flags = (wire->flags & FS_RECORD_PLACE) | FS_RECORD_STALE};
    uint32_t ref = record_new(core, disk, node, known, &as);
    if (ref == 0)
        return false;
    fsc_touch(core, node);
    if (aside_add(core, &disk->stale, ref, pass))
        return true;
    fsc_record_forget(core, ref);
    return false;
}

void fsc_record_forget(struct fs_catalogue *core, uint32_t ref)
{
    const struct fs_record *record = fsc_at(core, ref);
    struct fs_known *known = (record->flags & FS_RECORD_GONE) == 0 ? fsc_named(core, record) : NULL;
    if (known != NULL)
        fsc_tally_record(core, known, record, false);
    unlink_record(core, ref);
    if (known == NULL)
        return;
    known->live_n--;
    fsc_known_unref(core, known);
}

bool fsc_record_settle(struct fs_catalogue *core, struct fs_disk *disk, uint32_t ref, uint32_t pass)
{
    if (pass != disk->pass)
        return aside_add(core, &disk->stale, ref, pass);
    struct fs_record *record = fsc_at(core, ref);
    uint32_t old = find(core, fsc_record_node(core, record), disk->no, record->line,
                        FS_RECORD_LOST | FS_RECORD_STALE);
    if (!slots_reserve(core, disk))
        return false;
    fsc_flags_clear(record, FS_RECORD_STALE);
    slot_add(core, disk, ref);
    if ((record->flags & FS_RECORD_GONE) == 0) {
        disk->records_n++;
        disk->sum += fsc_record_sum(core, record);
        struct fs_blob *blob = fsc_blob_of(core, fsc_named(core, record));
        if (disk == core->own && blob != NULL && (record->flags & FS_IN_KEEP) != 0)
            fs_blob_flag(blob, FS_BLOB_KEPT, true);
    }
    if (old != 0)
        record_detach(core, old);
    return true;
}

/* ---- passes ---- */

bool fsc_pass_begin(struct fs_catalogue *core, struct fs_disk *disk)
{
    if (!asides_reserve(core, &disk->stale, disk->slots_n))
        return false;
    for (uint32_t i = 0; i < disk->slots_n; i++) {
        uint32_t ref = disk->slots[i];
        if (ref == 0)
            continue;
        struct fs_record *record = fsc_at(core, ref);
        if ((record->flags & FS_RECORD_GONE) != 0) {
            record_detach(core, ref);
            continue;
        }
        (void)aside_add(core, &disk->stale, ref, disk->pass);
        fsc_flags_set(record, FS_RECORD_STALE);
    }
    disk->slots_n = 0;
    disk->gaps = 0;
    disk->records_n = 0;
    disk->sum = 0;
    disk->highest = 0;
    disk->whole = false;
    disk->repull = false;
    disk->pass++;
    return true;
}

void fsc_pass_end(struct fs_catalogue *core, struct fs_disk *disk)
{
    while (disk->stale.n > 0)
        record_detach(core, disk->stale.items[disk->stale.n - 1].record);
}

/* ---- what is over ---- */

bool fsc_deleted_long_ago(const struct fs_catalogue *core,
                          const struct fs_known *known,
                          uint64_t less_ms)
{
    uint64_t kept_ms = core->config.deleted_ms;
    kept_ms -= less_ms < kept_ms ? less_ms : 0;
    return known->kind == FS_DELETED && fs_moment_ms(known->moment) + kept_ms < core->wall_ms;
}

void fsc_sweep(struct fs_catalogue *core)
{
    for (uint32_t d = 1; d < core->disks_n; d++) {
        struct fs_disk *disk = core->disks[d];
        bool due = disk->mark_unix_s + core->config.gone_ms / 1000 <= fsc_unix_s(core);
        for (uint32_t i = 0; i < disk->slots_n; i++) {
            if (disk->slots[i] == 0)
                continue;
            const struct fs_record *record = fsc_at(core, disk->slots[i]);
            if ((record->flags & FS_RECORD_GONE) != 0) {
                if (due && record->number <= disk->mark_number)
                    record_detach(core, disk->slots[i]);
            } else if (disk == core->own &&
                       fsc_deleted_long_ago(core, fsc_named(core, record), 0)) {
                fsc_tidy_later(core, fsc_known_node(core, fsc_named(core, record)));
            }
        }
        if (due && disk->known) {
            disk->mark_number = disk->highest;
            disk->mark_unix_s = fsc_unix_s(core);
            fsc_persist_head(core, disk, disk->highest);
        }
    }
}
