/*
 * Versions by themselves: vectors, order, and their bytes.
 *
 *     u8 kind, u8 replicas, u16 mode, i64 mtime, u64 moment, [content], [u16 n, target],
 *     author: disk, node, key; u8 n, n * (disk, u64 counter); signature
 *
 * A content is there for a file, a target for a symlink. What is signed is all of that between the
 * two marks of fs_version_signed(), without key and signature, behind share and path.
 */
#include "fs/version.h"

#include <assert.h>

#include "core/error.h"
#include "core/map.h"

#define MODE_MAX 07777u

const struct fs_disk_id fs_disk_folded = {{0}};

static int disk_compare(const struct fs_disk_id *a, const struct fs_disk_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* ---- vectors ---- */

/* The place of @disk, or where it belongs. */
static uint32_t vector_at(const struct fs_vector *vector, const struct fs_disk_id *disk)
{
    uint32_t i = 0;
    while (i < vector->n && disk_compare(&vector->counters[i].disk, disk) < 0)
        i++;
    return i;
}

static bool vector_has(const struct fs_vector *vector, uint32_t at, const struct fs_disk_id *disk)
{
    return at < vector->n && fs_disk_equal(&vector->counters[at].disk, disk);
}

uint64_t fs_vector_of(const struct fs_vector *vector, const struct fs_disk_id *disk)
{
    uint32_t at = vector_at(vector, disk);
    return vector_has(vector, at, disk) ? vector->counters[at].counter : 0;
}

static void vector_remove(struct fs_vector *vector, uint32_t at)
{
    vector->n--;
    memmove(&vector->counters[at], &vector->counters[at + 1],
            (vector->n - at) * sizeof(vector->counters[0]));
}

static void vector_set(struct fs_vector *vector,
                       const struct fs_disk_id *disk,
                       uint64_t counter,
                       const struct fs_disk_id *keep);

/* Makes room for one: the two lowest that are not to be kept become the one of zeros, or go to it.
 */
static void vector_fold(struct fs_vector *vector, const struct fs_disk_id *keep)
{
    bool has_folded = fs_disk_equal(&vector->counters[0].disk, &fs_disk_folded);
    uint64_t most = 0;
    for (int round = has_folded ? 1 : 0; round < 2; round++) {
        uint32_t low = UINT32_MAX;
        for (uint32_t i = has_folded ? 1 : 0; i < vector->n; i++) {
            if (keep != NULL && fs_disk_equal(&vector->counters[i].disk, keep))
                continue;
            if (low == UINT32_MAX || vector->counters[i].counter < vector->counters[low].counter)
                low = i;
        }
        most = vector->counters[low].counter > most ? vector->counters[low].counter : most;
        vector_remove(vector, low);
    }
    vector_set(vector, &fs_disk_folded, most, keep);
}

/* Raises one counter. */
static void vector_set(struct fs_vector *vector,
                       const struct fs_disk_id *disk,
                       uint64_t counter,
                       const struct fs_disk_id *keep)
{
    uint32_t at = vector_at(vector, disk);
    if (vector_has(vector, at, disk)) {
        if (vector->counters[at].counter < counter)
            vector->counters[at].counter = counter;
        return;
    }
    if (vector->n == FS_VECTOR_MAX) {
        vector_fold(vector, keep);
        at = vector_at(vector, disk);
    }
    memmove(&vector->counters[at + 1], &vector->counters[at],
            (vector->n - at) * sizeof(vector->counters[0]));
    vector->counters[at] = (struct fs_counter){.disk = *disk, .counter = counter};
    vector->n++;
}

void fs_vector_join(struct fs_vector *into,
                    const struct fs_vector *other,
                    const struct fs_disk_id *keep)
{
    for (uint32_t i = 0; i < other->n; i++)
        vector_set(into, &other->counters[i].disk, other->counters[i].counter, keep);
}

uint64_t
fs_vector_advance(struct fs_vector *vector, const struct fs_disk_id *disk, uint64_t unix_ms)
{
    uint64_t old = fs_vector_of(vector, disk);
    uint64_t counter = old + 1 > unix_ms ? old + 1 : unix_ms;
    vector_set(vector, disk, counter, disk);
    return counter;
}

/* ---- comparing ---- */

bool fs_version_before(const struct fs_version *a, const struct fs_version *b)
{
    uint64_t folded = fs_vector_of(&b->vector, &fs_disk_folded);
    for (uint32_t i = 0; i < a->vector.n; i++) {
        const struct fs_counter *counter = &a->vector.counters[i];
        bool of_author = fs_disk_equal(&counter->disk, &a->author.disk);
        if (fs_disk_equal(&counter->disk, &fs_disk_folded))
            continue;
        uint64_t seen = fs_vector_of(&b->vector, &counter->disk);
        if (seen == 0 && !of_author && counter->counter <= folded)
            continue;
        if (seen < counter->counter)
            return false;
    }
    return true;
}

bool fs_version_same(const struct fs_version *a, const struct fs_version *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == FS_FILE)
        return content_equal(&a->content, &b->content);
    if (a->kind == FS_SYMLINK)
        return a->target_len == b->target_len && memcmp(a->target, b->target, a->target_len) == 0;
    return true;
}

int fs_version_order(const struct fs_version *a, const struct fs_version *b)
{
    bool a_gone = a->kind == FS_DELETED;
    bool b_gone = b->kind == FS_DELETED;
    if (a_gone != b_gone)
        return a_gone ? 1 : -1;
    if (a->moment != b->moment)
        return a->moment > b->moment ? -1 : 1;
    int r = disk_compare(&b->author.disk, &a->author.disk);
    return r != 0 ? r : memcmp(b->signature, a->signature, sizeof(a->signature));
}

/* ---- bytes ---- */

static int append_le(struct buf *out, uint64_t value, size_t bytes)
{
    uint8_t raw[8];
    put_le64(raw, value);
    return buf_append(out, raw, bytes);
}

/* Up to and with the target. */
int fs_version_front_append(const struct fs_version *v, struct buf *out)
{
    uint8_t content[CONTENT_WIRE_BYTES];
    int r = buf_reserve(out, 64 + sizeof(content) + v->target_len);
    if (r != 0)
        return r;
    (void)buf_append_u8(out, v->kind);
    (void)buf_append_u8(out, v->replicas);
    (void)append_le(out, v->mode, 2);
    (void)append_le(out, (uint64_t)v->mtime_ns, 8);
    (void)append_le(out, v->moment, 8);
    if (v->kind == FS_FILE) {
        content_encode(&v->content, content);
        (void)buf_append(out, content, sizeof(content));
    } else if (v->kind == FS_SYMLINK) {
        (void)append_le(out, v->target_len, 2);
        (void)buf_append(out, v->target, v->target_len);
    }
    return 0;
}

static int append_vector(const struct fs_vector *vector, struct buf *out)
{
    int r = buf_append_u8(out, (uint8_t)vector->n);
    for (uint32_t i = 0; r == 0 && i < vector->n; i++) {
        r = buf_append(out, vector->counters[i].disk.bytes, FS_DISK_BYTES);
        if (r == 0)
            r = append_le(out, vector->counters[i].counter, 8);
    }
    return r;
}

uint64_t fs_version_id(const void *signed_bytes, size_t len)
{
    uint64_t id = hash_bytes(signed_bytes, len, 11);
    return id != 0 ? id : 1;
}

int fs_version_signed(const char *share,
                      size_t share_len,
                      const char *path,
                      size_t path_len,
                      const struct fs_version *version,
                      struct buf *out)
{
    static const char mark[] = "kith-fs-version-1";
    int r = buf_append(out, mark, sizeof(mark)); /* with its NUL */
    if (r == 0)
        r = append_le(out, share_len, 1);
    if (r == 0)
        r = buf_append(out, share, share_len);
    if (r == 0)
        r = append_le(out, path_len, 2);
    if (r == 0)
        r = buf_append(out, path, path_len);
    if (r == 0)
        r = fs_version_front_append(version, out);
    if (r == 0)
        r = buf_append(out, version->author.disk.bytes, FS_DISK_BYTES);
    if (r == 0)
        r = buf_append(out, version->author.node.bytes, KITH_NODE_ID_BYTES);
    return r == 0 ? append_vector(&version->vector, out) : r;
}

int fs_version_encode(const struct fs_version *version, struct buf *out)
{
    int r = fs_version_front_append(version, out);
    if (r == 0)
        r = buf_append(out, version->author.disk.bytes, FS_DISK_BYTES);
    if (r == 0)
        r = buf_append(out, version->author.node.bytes, KITH_NODE_ID_BYTES);
    if (r == 0)
        r = buf_append(out, version->author.key, FS_KEY_BYTES);
    if (r == 0)
        r = append_vector(&version->vector, out);
    return r == 0 ? buf_append(out, version->signature, FS_SIGNATURE_BYTES) : r;
}

static void read_into(struct reader *r, void *to, size_t len)
{
    const uint8_t *bytes = read_bytes(r, len);
    if (bytes != NULL)
        memcpy(to, bytes, len);
}

bool fs_version_front_read(struct reader *r, struct fs_version *v)
{
    v->kind = read_u8(r);
    v->replicas = read_u8(r);
    v->mode = read_le16(r);
    v->mtime_ns = (int64_t)read_le64(r);
    v->moment = read_le64(r);
    if (v->kind == FS_FILE) {
        content_read(r, &v->content);
    } else if (v->kind == FS_SYMLINK) {
        v->target_len = read_le16(r);
        v->target = (const char *)read_bytes(r, v->target_len);
        r->bad = r->bad || v->target_len == 0 || v->target_len > FS_TARGET_BYTES_MAX ||
                 memchr(v->target, '\0', v->target_len) != NULL;
    }
    return !r->bad && v->kind >= FS_FILE && v->kind <= FS_DELETED && v->mode <= MODE_MAX;
}

static bool vector_read(struct reader *r, struct fs_version *v)
{
    v->vector.n = read_u8(r);
    if (v->vector.n > FS_VECTOR_MAX)
        return false;
    for (uint32_t i = 0; i < v->vector.n; i++) {
        struct fs_counter *counter = &v->vector.counters[i];
        read_into(r, counter->disk.bytes, FS_DISK_BYTES);
        counter->counter = read_le64(r);
    }
    return !r->bad;
}

bool fs_version_fits(const struct fs_version *v)
{
    for (uint32_t i = 0; i < v->vector.n; i++) {
        const struct fs_counter *counter = &v->vector.counters[i];
        /* So that the next one can be counted, too. */
        if (counter->counter == 0 || counter->counter > FS_COUNTER_MAX / 2)
            return false;
        if (i > 0 && disk_compare(&v->vector.counters[i - 1].disk, &counter->disk) >= 0)
            return false;
    }
    return !fs_disk_equal(&v->author.disk, &fs_disk_folded) &&
           fs_vector_of(&v->vector, &v->author.disk) != 0;
}

int fs_version_decode(struct reader *r, struct fs_version *version_out)
{
    struct fs_version *v = version_out;
    *v = (struct fs_version){0};
    bool fine = fs_version_front_read(r, v);
    if (fine) {
        read_into(r, v->author.disk.bytes, FS_DISK_BYTES);
        read_into(r, v->author.node.bytes, KITH_NODE_ID_BYTES);
        read_into(r, v->author.key, FS_KEY_BYTES);
        fine = vector_read(r, v);
    }
    read_into(r, v->signature, FS_SIGNATURE_BYTES);
    if (fine && !r->bad && fs_version_fits(v))
        return 0;
    r->bad = true;
    return KITH_E_CORRUPT;
}
