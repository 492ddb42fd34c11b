/*
 * Records and heads as bytes, on the wire and on disk.
 *
 *     head     disk, node, key, u64 index, u64 highest, u64 records, u64 sum
 *     pack     u16 n, n * disk; u16 n, n * (u16 disk, node, key); records up to the end
 *     record   u64 number, u8 flags, u8 line, u8 n, share, u16 n, path; unless it is gone:
 *              the front of the version (version.c), u16 writer, u8 n, n * (u16 disk, u64 counter),
 *              signature
 *
 * So a disk is named once in a message, not with each counter.
 */
#include "fs/catalogue_internal.h"

int fsc_append_le(struct buf *out, uint64_t value, size_t bytes)
{
    uint8_t raw[8];
    put_le64(raw, value);
    return buf_append(out, raw, bytes);
}

/* ---- heads ---- */

int fsc_head_append(struct buf *out, const struct fs_head *head)
{
    int r = buf_reserve(out, FS_DISK_BYTES + KITH_NODE_ID_BYTES + FS_KEY_BYTES + 32);
    if (r != 0)
        return r;
    (void)buf_append(out, head->disk.bytes, FS_DISK_BYTES);
    (void)buf_append(out, head->node.bytes, KITH_NODE_ID_BYTES);
    (void)buf_append(out, head->key, FS_KEY_BYTES);
    (void)fsc_append_le(out, head->index_id, 8);
    (void)fsc_append_le(out, head->highest, 8);
    (void)fsc_append_le(out, head->records_n, 8);
    return fsc_append_le(out, head->sum, 8);
}

static void read_into(struct reader *r, void *to, size_t len)
{
    const uint8_t *bytes = read_bytes(r, len);
    if (bytes != NULL)
        memcpy(to, bytes, len);
}

bool fsc_head_read(struct reader *r, struct fs_head *head_out)
{
    struct fs_head *head = head_out;
    *head = (struct fs_head){0};
    read_into(r, head->disk.bytes, FS_DISK_BYTES);
    read_into(r, head->node.bytes, KITH_NODE_ID_BYTES);
    read_into(r, head->key, FS_KEY_BYTES);
    head->index_id = read_le64(r);
    head->highest = read_le64(r);
    head->records_n = read_le64(r);
    head->sum = read_le64(r);
    /* So that the next one can be counted. */
    if (fs_disk_equal(&head->disk, &fs_disk_folded) || head->index_id >= UINT64_MAX / 2 ||
        head->highest > FS_NUMBER_MAX / 2)
        r->bad = true;
    return !r->bad;
}

struct fs_head fsc_head_of(const struct fs_catalogue *core, const struct fs_disk *disk)
{
    const struct fs_writer *writer = &core->writers[disk->writer];
    struct fs_head head = {.disk = disk->id,
                           .node = writer->node,
                           .index_id = disk->index_id,
                           .highest = disk->highest,
                           .records_n = disk->records_n,
                           .sum = disk->sum};
    memcpy(head.key, writer->key, FS_KEY_BYTES);
    return head;
}

/* ---- packing ---- */

void fsc_pack_begin(struct fs_catalogue *core, struct fs_pack *pack)
{
    core->body.len = 0;
    core->stamp++;
    *pack = (struct fs_pack){.core = core, .body = &core->body};
}

/* Both kinds of numbers share one table: writers stand behind the disks. */
static bool stamps_reserve(struct fs_catalogue *core)
{
    uint32_t need = core->config.disks_max + core->writers_n;
    if (need <= core->stamps_n)
        return true;
    need += need / 2;
    uint32_t *stamps = core_realloc(core->stamp_of, need * sizeof(*stamps));
    if (stamps != NULL)
        core->stamp_of = stamps;
    uint16_t *numbers = core_realloc(core->number_of, need * sizeof(*numbers));
    if (numbers != NULL)
        core->number_of = numbers;
    if (stamps == NULL || numbers == NULL)
        return false;
    memset(stamps + core->stamps_n, 0, (need - core->stamps_n) * sizeof(*stamps));
    core->stamps_n = need;
    return true;
}

static uint16_t number(
    struct fs_pack *pack, uint32_t at, uint32_t what, uint32_t **list, uint32_t *n, uint32_t *cap)
{
    struct fs_catalogue *core = pack->core;
    if (!stamps_reserve(core)) {
        pack->error = KITH_E_MEMORY;
        return 0;
    }
    if (core->stamp_of[at] == core->stamp)
        return core->number_of[at];
    if (*n == *cap) {
        uint32_t more_n = *cap * 2 + 16;
        uint32_t *more = core_realloc(*list, more_n * sizeof(*more));
        if (more == NULL) {
            pack->error = KITH_E_MEMORY;
            return 0;
        }
        *list = more;
        *cap = more_n;
    }
    core->stamp_of[at] = core->stamp;
    core->number_of[at] = (uint16_t)*n;
    (*list)[(*n)++] = what;
    return core->number_of[at];
}

static uint16_t disk_number(struct fs_pack *pack, uint32_t disk)
{
    return number(pack, disk, disk, &pack->disks, &pack->disks_n, &pack->disks_cap);
}

static uint16_t writer_number(struct fs_pack *pack, uint32_t writer)
{
    (void)disk_number(pack, pack->core->writers[writer].disk);
    return number(pack, pack->core->config.disks_max + writer, writer, &pack->writers,
                  &pack->writers_n, &pack->writers_cap);
}

static int pack_version(struct fs_pack *pack, const struct fs_known *known)
{
    const struct fs_catalogue *core = pack->core;
    struct buf *body = pack->body;
    struct fs_version front;
    front.kind = known->kind;
    front.replicas = known->replicas;
    front.mode = known->mode;
    front.mtime_ns = known->mtime_ns;
    front.moment = known->moment;
    front.target = fs_known_target(known);
    front.target_len = known->target_len;
    if (known->blob.at != 0)
        front.content = fs_blob_content(fsc_blob_of(core, known));
    int r = fs_version_front_append(&front, body);
    if (r == 0)
        r = buf_reserve(body, 3 + (size_t)known->vector_n * 10 + FS_SIGNATURE_BYTES);
    if (r != 0)
        return r;
    (void)fsc_append_le(body, writer_number(pack, known->author), 2);
    (void)buf_append_u8(body, known->vector_n);
    for (uint32_t i = 0; i < known->vector_n; i++) {
        (void)fsc_append_le(body, disk_number(pack, known->vector[i].disk), 2);
        (void)fsc_append_le(body, known->vector[i].counter, 8);
    }
    return buf_append(body, known->signature, FS_SIGNATURE_BYTES);
}

void fsc_pack_record(struct fs_pack *pack, const struct fs_record *record)
{
    char path[FS_PATH_BYTES_MAX + 1];
    const struct fs_catalogue *core = pack->core;
    const struct fs_node *node = fsc_record_node(core, record);
    const struct fs_node *share = fsc_share(core, node);
    size_t len = fsc_path(core, node, path);
    struct buf *body = pack->body;
    int r = buf_reserve(body, 16 + (size_t)share->name_len + len);
    if (r == 0) {
        (void)fsc_append_le(body, record->number, 8);
        (void)buf_append_u8(body, record->flags & FS_RECORD_WIRE);
        (void)buf_append_u8(body, record->line & 0x3f);
        (void)buf_append_u8(body, share->name_len);
        (void)buf_append(body, share->name, share->name_len);
        (void)fsc_append_le(body, len, 2);
        (void)buf_append(body, path, len);
        if ((record->flags & FS_RECORD_GONE) == 0)
            r = pack_version(pack, fsc_named(core, record));
    }
    if (r != 0)
        pack->error = r;
}

size_t fsc_pack_bytes(const struct fs_pack *pack)
{
    return pack->body->len + 4 + pack->disks_n * (size_t)FS_DISK_BYTES +
           pack->writers_n * (size_t)(2 + KITH_NODE_ID_BYTES + FS_KEY_BYTES);
}

int fsc_pack_end(struct fs_pack *pack, struct buf *out)
{
    const struct fs_catalogue *core = pack->core;
    int r = pack->error != 0 ? pack->error : buf_reserve(out, fsc_pack_bytes(pack));
    if (r == 0) {
        (void)fsc_append_le(out, pack->disks_n, 2);
        for (uint32_t i = 0; i < pack->disks_n; i++)
            (void)buf_append(out, core->disks[pack->disks[i]]->id.bytes, FS_DISK_BYTES);
        (void)fsc_append_le(out, pack->writers_n, 2);
        for (uint32_t i = 0; i < pack->writers_n; i++) {
            const struct fs_writer *writer = &core->writers[pack->writers[i]];
            (void)fsc_append_le(out, core->number_of[writer->disk], 2);
            (void)buf_append(out, writer->node.bytes, KITH_NODE_ID_BYTES);
            (void)buf_append(out, writer->key, FS_KEY_BYTES);
        }
        (void)buf_append(out, pack->body->data, pack->body->len);
    }
    core_free(pack->disks);
    core_free(pack->writers);
    return r;
}

/* ---- unpacking ---- */

#define WRITER_BYTES (2 + KITH_NODE_ID_BYTES + FS_KEY_BYTES)

static void writer_of(const struct fs_unpack *unpack, uint32_t at, struct fs_author *author_out)
{
    const uint8_t *bytes = unpack->writers + (size_t)at * WRITER_BYTES;
    memcpy(author_out->disk.bytes, unpack->ids + (size_t)get_le16(bytes) * FS_DISK_BYTES,
           FS_DISK_BYTES);
    memcpy(author_out->node.bytes, bytes + 2, KITH_NODE_ID_BYTES);
    memcpy(author_out->key, bytes + 2 + KITH_NODE_ID_BYTES, FS_KEY_BYTES);
}

bool fsc_unpack_begin(struct fs_unpack *unpack, struct reader *r)
{
    *unpack = (struct fs_unpack){.r = r};
    unpack->ids_n = read_le16(r);
    unpack->ids = read_bytes(r, (size_t)unpack->ids_n * FS_DISK_BYTES);
    unpack->writers_n = read_le16(r);
    unpack->writers = read_bytes(r, (size_t)unpack->writers_n * WRITER_BYTES);
    for (uint32_t i = 0; !r->bad && i < unpack->writers_n; i++) {
        struct fs_author author;
        if (get_le16(unpack->writers + (size_t)i * WRITER_BYTES) >= unpack->ids_n) {
            r->bad = true;
            break;
        }
        writer_of(unpack, i, &author);
        r->bad = !fsc_author_fits(&author);
    }
    return !r->bad;
}

static bool unpack_vector(const struct fs_unpack *unpack, struct fs_version *v)
{
    struct reader *r = unpack->r;
    uint32_t n = read_u8(r);
    if (n > FS_VECTOR_MAX)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct fs_counter counter;
        uint32_t no = read_le16(r);
        counter.counter = read_le64(r);
        if (r->bad || no >= unpack->ids_n)
            return false;
        memcpy(counter.disk.bytes, unpack->ids + (size_t)no * FS_DISK_BYTES, FS_DISK_BYTES);
        uint32_t at = i; /* by id again */
        for (; at > 0 &&
               memcmp(v->vector.counters[at - 1].disk.bytes, counter.disk.bytes, FS_DISK_BYTES) > 0;
             at--)
            v->vector.counters[at] = v->vector.counters[at - 1];
        v->vector.counters[at] = counter;
    }
    v->vector.n = n;
    return true;
}

static bool unpack_version(const struct fs_unpack *unpack, struct fs_version *v)
{
    struct reader *r = unpack->r;
    v->replicas = 0;
    v->target = NULL;
    v->target_len = 0;
    v->content = (struct content){0};
    if (!fs_version_front_read(r, v))
        return false;
    uint32_t writer = read_le16(r);
    if (r->bad || writer >= unpack->writers_n || !unpack_vector(unpack, v))
        return false;
    writer_of(unpack, writer, &v->author);
    read_into(r, v->signature, FS_SIGNATURE_BYTES);
    return !r->bad && fs_version_fits(v);
}

bool fsc_unpack_record(struct fs_unpack *unpack, struct fs_wire_record *record_out)
{
    struct reader *r = unpack->r;
    struct fs_wire_record *record = record_out;
    if (r->bad || r->at == r->len)
        return false;
    record->number = read_le64(r);
    record->flags = read_u8(r);
    record->line = read_u8(r);
    record->share.len = read_u8(r);
    record->share.data = read_bytes(r, record->share.len);
    record->path.len = read_le16(r);
    record->path.data = read_bytes(r, record->path.len);
    bool fine = !r->bad && record->number != 0 && record->number <= FS_NUMBER_MAX &&
                (record->flags & ~FS_RECORD_WIRE) == 0 && record->line < FS_LINES_N &&
                fs_share_check(record->share.data, record->share.len) == 0 &&
                fs_path_problem(record->path.data, record->path.len) == FS_NAME_FINE;
    if (fine && (record->flags & FS_RECORD_GONE) == 0)
        fine = unpack_version(unpack, &record->version) &&
               (record->path.len > 0 || record->version.kind == FS_DIRECTORY ||
                record->version.kind == FS_DELETED);
    if (!fine)
        r->bad = true;
    return fine;
}
