/*
 * What is kept on disk, by keys behind CATALOGUE_KEY_PREFIX:
 *
 *     'h' disk                        u8 1, head, u32 pass, u8 flags, u64 marked number, u64 mark's
 * time 'r' disk, u32 pass, u64 number  u8 1, a pack of one record         (both big-endian)
 *
 * A pass is one stay of an index here: a replaced one leaves records with a lower pass, which are
 * known by that when they are read again. A head is stored behind the records that it tells of,
 * what it does not tell of yet is not known after a crash and pulled again.
 */
#include "fs/catalogue_internal.h"

#define FORMAT 1

enum head_flags {
    HEAD_WHOLE = 1,
    HEAD_FORGOTTEN = 2,
};

static size_t put_key(uint8_t *key, char kind, const struct fs_disk_id *disk)
{
    key[0] = (uint8_t)CATALOGUE_KEY_PREFIX[0];
    key[1] = (uint8_t)CATALOGUE_KEY_PREFIX[1];
    key[2] = (uint8_t)kind;
    memcpy(key + 3, disk->bytes, FS_DISK_BYTES);
    return 3 + FS_DISK_BYTES;
}

static size_t record_key(
    uint8_t *key, const struct fs_catalogue *core, uint32_t disk, uint32_t pass, uint64_t number)
{
    size_t len = put_key(key, 'r', &core->disks[disk]->id);
    for (int i = 3; i >= 0; i--)
        key[len++] = (uint8_t)(pass >> (8 * i));
    for (int i = 7; i >= 0; i--)
        key[len++] = (uint8_t)(number >> (8 * i));
    assert(len <= CATALOGUE_KEY_BYTES_MAX);
    return len;
}

static void
persist(struct fs_catalogue *core, const uint8_t *key, size_t key_len, const struct buf *data)
{
    void *kept_key = fsc_keep(core, key, key_len);
    void *kept = data != NULL ? fsc_keep(core, data->data, data->len) : NULL;
    struct catalogue_action *action = kept_key != NULL && (kept != NULL || data == NULL)
                                          ? fsc_act(core, CATALOGUE_PERSIST)
                                          : NULL;
    if (action == NULL)
        return;
    action->key = (struct kith_bytes){kept_key, key_len};
    action->data = (struct kith_bytes){kept, data != NULL ? data->len : 0};
}

void fsc_persist_record(struct fs_catalogue *core, const struct fs_record *record, uint32_t pass)
{
    uint8_t key[CATALOGUE_KEY_BYTES_MAX];
    struct fs_pack pack;
    fsc_pack_begin(core, &pack);
    fsc_pack_record(&pack, record);
    core->scratch.len = 0;
    int r = buf_append_u8(&core->scratch, FORMAT);
    int packed = fsc_pack_end(&pack, &core->scratch);
    if (r != 0 || packed != 0)
        core->error = KITH_E_MEMORY;
    else
        persist(core, key, record_key(key, core, record->disk, pass, record->number),
                &core->scratch);
}

void fsc_persist_drop(struct fs_catalogue *core, uint32_t disk, uint32_t pass, uint64_t number)
{
    uint8_t key[CATALOGUE_KEY_BYTES_MAX];
    persist(core, key, record_key(key, core, disk, pass, number), NULL);
}

void fsc_persist_head(struct fs_catalogue *core, const struct fs_disk *disk, uint64_t highest)
{
    uint8_t key[CATALOGUE_KEY_BYTES_MAX];
    struct fs_head head = fsc_head_of(core, disk);
    head.highest = highest;
    unsigned flags = (disk->whole ? HEAD_WHOLE : 0u) | (disk->forgotten ? HEAD_FORGOTTEN : 0u);
    struct buf *out = &core->scratch;
    out->len = 0;
    int r = buf_append_u8(out, FORMAT);
    if (r == 0)
        r = fsc_head_append(out, &head);
    if (r == 0)
        r = fsc_append_le(out, disk->pass, 4);
    if (r == 0)
        r = buf_append_u8(out, (uint8_t)flags);
    if (r == 0)
        r = fsc_append_le(out, disk->mark_number, 8);
    if (r == 0)
        r = fsc_append_le(out, disk->mark_unix_s, 8);
    if (r != 0)
        core->error = r;
    else
        persist(core, key, put_key(key, 'h', &disk->id), out);
}

/* ---- reading again ---- */

static int recall_head(struct fs_catalogue *core, const struct fs_disk_id *id, struct reader *r)
{
    struct fs_head head;
    bool fine = fsc_head_read(r, &head);
    uint32_t pass = read_le32(r);
    unsigned flags = read_u8(r);
    uint64_t mark_number = read_le64(r);
    uint64_t mark_unix_s = read_le64(r);
    if (!fine || !reader_done(r) || !fs_disk_equal(&head.disk, id))
        return KITH_E_CORRUPT;
    struct fs_author author = {.disk = head.disk, .node = head.node};
    memcpy(author.key, head.key, FS_KEY_BYTES);
    uint32_t writer = fsc_writer(core, &author);
    struct fs_disk *disk = fsc_disk(core, id);
    if (disk == NULL || writer == 0)
        return core->error;
    disk->writer = writer;
    disk->recalled_head = true;
    disk->known = true;
    disk->whole = (flags & HEAD_WHOLE) != 0;
    disk->forgotten = (flags & HEAD_FORGOTTEN) != 0;
    disk->index_id = head.index_id;
    disk->highest = head.highest;
    disk->recalled_n = head.records_n;
    disk->recalled_sum = head.sum;
    disk->pass = pass;
    disk->mark_number = mark_number;
    disk->mark_unix_s = mark_unix_s;
    return 0;
}

/* All of them are set aside first: which index they belong to follows from heads that may come
 * later. */
static int recall_record(struct fs_catalogue *core,
                         const struct fs_disk_id *id,
                         uint32_t pass,
                         struct reader *r)
{
    struct fs_unpack unpack;
    struct fs_wire_record wire;
    if (!fsc_unpack_begin(&unpack, r) || !fsc_unpack_record(&unpack, &wire) || !reader_done(r))
        return KITH_E_CORRUPT;
    struct fs_disk *disk = fsc_disk(core, id);
    struct fs_node *node = disk != NULL ? fsc_make(core, wire.share, wire.path) : NULL;
    if (node == NULL)
        return core->error;
    struct fs_known *known = NULL;
    if ((wire.flags & FS_RECORD_GONE) == 0) {
        uint64_t known_id = fsc_id_of(core, node, &wire.version);
        known = fsc_known_find(core, node, known_id);
        if (known == NULL)
            known = fsc_known_new(core, node, &wire.version, known_id);
        if (known == NULL)
            return core->error;
    }
    return fsc_record_aside(core, disk, node, known, &wire, pass) ? 0 : core->error;
}

int fsc_recall(struct fs_catalogue *core, struct kith_bytes key, struct kith_bytes data)
{
    const uint8_t *k = key.data;
    struct reader r = reader_of(data.data, data.len);
    struct fs_disk_id id;
    if (key.len < 3 + FS_DISK_BYTES || memcmp(k, CATALOGUE_KEY_PREFIX, 2) != 0 ||
        read_u8(&r) != FORMAT)
        return KITH_E_CORRUPT;
    memcpy(id.bytes, k + 3, FS_DISK_BYTES);
    if (fs_disk_equal(&id, &fs_disk_folded))
        return KITH_E_CORRUPT;
    if (k[2] == 'h' && key.len == 3 + FS_DISK_BYTES)
        return recall_head(core, &id, &r);
    if (k[2] != 'r' || key.len != 3 + FS_DISK_BYTES + 12)
        return KITH_E_CORRUPT;
    const uint8_t *p = k + 3 + FS_DISK_BYTES;
    uint32_t pass = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return recall_record(core, &id, pass, &r);
}

/* For the time of the sort its number stands where the time of a LOST one does. */
static int by_number(const void *a, const void *b)
{
    uint64_t na = ((const struct fs_aside *)a)->due_ms;
    uint64_t nb = ((const struct fs_aside *)b)->due_ms;
    return (na > nb) - (na < nb);
}

static void sort_by_number(const struct fs_catalogue *core, struct fs_asides *list)
{
    for (uint32_t i = 0; i < list->n; i++)
        list->items[i].due_ms = fsc_at(core, list->items[i].record)->number;
    if (list->n > 0)
        qsort(list->items, list->n, sizeof(*list->items), by_number);
}

/* Those of the last pass that the head tells of are the index; the own one may be ahead of its
 * head. Those of former passes are of no index any more, or stand until the last one is complete.
 */
static void recall_disk(struct fs_catalogue *core, struct fs_disk *disk)
{
    struct fs_asides list = disk->stale;
    bool own = disk == core->own;
    disk->stale = (struct fs_asides){0};
    sort_by_number(core, &list);
    for (uint32_t i = 0; i < list.n; i++) {
        uint32_t ref = list.items[i].record;
        const struct fs_record *record = fsc_at(core, ref);
        uint32_t pass = list.items[i].pass;
        bool told = own || (disk->recalled_head && record->number <= disk->highest);
        bool fits = pass < disk->pass ? disk->recalled_head : pass == disk->pass && told;
        if (own && fits && pass == disk->pass && record->number > disk->highest)
            disk->highest = record->number;
        if (fits && fsc_record_settle(core, disk, ref, pass))
            continue;
        fsc_persist_drop(core, disk->no, pass, record->number);
        fsc_record_forget(core, ref);
    }
    core_free(list.items);
    bool same = disk->records_n == disk->recalled_n && disk->sum == disk->recalled_sum;
    if (!own && disk->whole && !same) {
        disk->whole = false; /* something of it is missing: all of it is asked for again */
        disk->repull = true;
    }
    if (own || disk->whole || disk->forgotten || !disk->known)
        fsc_pass_end(core, disk);
}

void fsc_recall_end(struct fs_catalogue *core)
{
    for (uint32_t i = 1; i < core->disks_n; i++)
        recall_disk(core, core->disks[i]);
    for (uint32_t i = 1; i < core->disks_n; i++)
        if (core->disks[i]->whole && core->disks[i] != core->own && !core->disks[i]->forgotten)
            fsc_supersede(core, core->disks[i]);
}
