/*
 * The environment: opening, transactions, walks. See base.h for how it never meets a full disk.
 *
 * Opened without LMDB's own locks: one process has the folder (its lock), and in it either the
 * thread that opened (before the writer's first turn) or the writer. Sync mode is LMDB's default:
 * pages, fdatasync, meta page through a descriptor with O_DSYNC; a commit that returned is durable.
 *
 * An entry's value is stored as 8 bytes of BLAKE2b over key and value, then the value. LMDB has no
 * checksums of its pages: damage in its structure shows as an error of LMDB or not at all.
 */
#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "store/base.h"

#define CHECK_BYTES 8
#define PAGE_BYTES  4096 /* the file grows in these; LMDB's own page may be larger */

struct base {
    MDB_env *env;
    MDB_dbi dbi;
    char *path;
    uint64_t page_bytes;
    uint64_t file_bytes;
    uint64_t bytes_max;
    MDB_stat stat; /* as of the last commit */
    struct base_mark mark;
};

static const char key_schema[] = {STORE_KEY_STORE, '/', 's', 'c', 'h', 'e', 'm', 'a'};
static const char key_log[] = {STORE_KEY_STORE, '/', 'l', 'o', 'g'};
static const char key_disk[] = {STORE_KEY_STORE, '/', 'd', 'i', 's', 'k', '_', 'i', 'd'};

/* ---- what failed ---- */

static int damaged(const struct base *base, const char *what)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "store %s: its structure is damaged (%s). This node cannot go on with "
                          "it; move it away (mv %s %s.damaged) and start again: the node comes "
                          "back as a fresh member, without what only this disk had",
                          base->path, what, base->path, base->path);
}

/* KITH_E_* of what LMDB says; all of them are fatal. */
static int failed(const struct base *base, const char *doing, int code)
{
    switch (code) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CURSOR_FULL:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN:
        return damaged(base, mdb_strerror(code));
    case ENOMEM:
        return kith_fail_with(KITH_E_MEMORY, "store %s: out of memory while %s", base->path, doing);
    case EACCES:
    case EPERM:
        return kith_fail_with(KITH_E_PERMISSION, "store %s: %s: %s", base->path, doing,
                              mdb_strerror(code));
    default:
        if (code > 0)
            return store_disk_failed(base->path, doing, code);
        return kith_fail_with(KITH_E_IO, "store %s: %s: %s", base->path, doing, mdb_strerror(code));
    }
}

/* LMDB found a page that cannot be: the same as MDB_CORRUPTED, but there is no way back. */
static void on_assert(MDB_env *env, const char *text)
{
    damaged(mdb_env_get_userctx(env), text);
    (void)fprintf(stderr, "kith: %s\n", kith_errmsg());
    abort();
}

/* ---- values ---- */

static void checksum(const MDB_val *key, const void *value, size_t len, uint8_t out[CHECK_BYTES])
{
    crypto_generichash_blake2b_state state;
    uint8_t sum[crypto_generichash_blake2b_BYTES_MIN], key_len[2];

    put_le16(key_len, (uint16_t)key->mv_size);
    crypto_generichash_blake2b_init(&state, NULL, 0, sizeof sum);
    crypto_generichash_blake2b_update(&state, key_len, sizeof key_len);
    crypto_generichash_blake2b_update(&state, key->mv_data, key->mv_size);
    crypto_generichash_blake2b_update(&state, value, len);
    crypto_generichash_blake2b_final(&state, sum, sizeof sum);
    memcpy(out, sum, CHECK_BYTES);
}

static struct store_entry entry_of(const MDB_val *key, const MDB_val *stored)
{
    struct store_entry entry = {.key = {key->mv_data, key->mv_size}, .corrupt = true};
    const uint8_t *bytes = stored->mv_data;
    uint8_t check[CHECK_BYTES];

    if (stored->mv_size < CHECK_BYTES)
        return entry;
    checksum(key, bytes + CHECK_BYTES, stored->mv_size - CHECK_BYTES, check);
    if (memcmp(check, bytes, CHECK_BYTES) != 0)
        return entry;
    entry.corrupt = false;
    entry.value = (struct kith_bytes){bytes + CHECK_BYTES, stored->mv_size - CHECK_BYTES};
    return entry;
}

static int put(MDB_txn *txn, MDB_dbi dbi, const struct store_put *put)
{
    uint8_t copy[STORE_KEY_BYTES_MAX];
    MDB_val key = {put->key.len, copy};
    MDB_val stored = {CHECK_BYTES + put->value.len, NULL};
    int r;

    memcpy(copy, put->key.data, put->key.len); /* LMDB takes no const */
    if (put->erase) {
        r = mdb_del(txn, dbi, &key, NULL);
        return r == MDB_NOTFOUND ? 0 : r;
    }
    r = mdb_put(txn, dbi, &key, &stored, MDB_RESERVE);
    if (r != 0)
        return r;
    checksum(&key, put->value.data, put->value.len, stored.mv_data);
    if (put->value.len > 0)
        memcpy((uint8_t *)stored.mv_data + CHECK_BYTES, put->value.data, put->value.len);
    return 0;
}

/* ---- the mark of the log ---- */

#define MARK_BYTES (8 + 8 + LOG_KEY_BYTES)

static int put_mark(MDB_txn *txn, MDB_dbi dbi, const struct base_mark *mark)
{
    uint8_t value[MARK_BYTES], schema[4];
    const struct store_put puts[] = {
        {.key = {key_log, sizeof key_log}, .value = {value, sizeof value}},
        {.key = {key_schema, sizeof key_schema}, .value = {schema, sizeof schema}},
    };
    int r;

    put_le64(value, mark->seq);
    put_le64(value + 8, mark->log_bytes);
    memcpy(value + 16, mark->key, LOG_KEY_BYTES);
    put_le32(schema, STORE_SCHEMA);
    r = put(txn, dbi, &puts[0]);
    return r != 0 ? r : put(txn, dbi, &puts[1]);
}

static void read_mark(struct base_mark *mark, struct kith_bytes value)
{
    const uint8_t *bytes = value.data;

    mark->seq = get_le64(bytes);
    mark->log_bytes = get_le64(bytes + 8);
    memcpy(mark->key, bytes + 16, LOG_KEY_BYTES);
}

const struct base_mark *base_mark(const struct base *base)
{
    return &base->mark;
}

/* ---- transactions ---- */

int base_apply(struct base *base, const struct job *jobs, const struct base_mark *mark)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(base->env, NULL, 0, &txn);

    if (r != 0)
        return failed(base, "beginning a transaction", r);
    for (const struct job *job = jobs; r == 0 && job != NULL; job = job->next) {
        for (size_t i = 0; r == 0 && i < job->puts_n; i++)
            r = put(txn, base->dbi, &job->puts[i]);
    }
    if (r == 0 && mark != NULL)
        r = put_mark(txn, base->dbi, mark);
    if (r == 0)
        r = mdb_txn_commit(txn); /* ends the transaction, whatever happens */
    else
        mdb_txn_abort(txn);
    if (r == MDB_MAP_FULL)
        return BASE_NO_ROOM;
    if (r != 0)
        return failed(base, "writing", r);
    if (mark != NULL)
        base->mark = *mark;
    r = mdb_env_stat(base->env, &base->stat);
    return r == 0 ? 0 : failed(base, "writing", r);
}

/* ---- walks ---- */

static int walk(const struct base *base,
                MDB_cursor *cursor,
                uint8_t first,
                int (*entry_cb)(void *user, const struct store_entry *entry),
                void *user)
{
    MDB_val key = {1, &first}, stored;
    int r = mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE);

    while (r == 0 && key.mv_size > 0 && *(const uint8_t *)key.mv_data == first) {
        struct store_entry entry = entry_of(&key, &stored);

        r = entry_cb(user, &entry);
        if (r != 0)
            return r;
        r = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    return r == 0 || r == MDB_NOTFOUND ? 0 : failed(base, "reading", r);
}

int base_recall(struct base *base,
                uint8_t first,
                int (*entry_cb)(void *user, const struct store_entry *entry),
                void *user)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    int r = mdb_txn_begin(base->env, NULL, MDB_RDONLY, &txn);

    if (r != 0)
        return failed(base, "beginning to read", r);
    r = mdb_cursor_open(txn, base->dbi, &cursor);
    if (r == 0) {
        r = walk(base, cursor, first, entry_cb, user);
        mdb_cursor_close(cursor);
    } else {
        r = failed(base, "reading", r);
    }
    mdb_txn_abort(txn);
    /* Mapping anew gives back the memory of all pages that were looked at. */
    if (r == 0 && (r = mdb_env_set_mapsize(base->env, base->file_bytes)) != 0)
        r = failed(base, "mapping the file", r);
    return r;
}

/* ---- room ---- */

static uint64_t used_pages(const struct base *base)
{
    MDB_envinfo info;

    mdb_env_info(base->env, &info);
    return info.me_last_pgno + 1;
}

/* Pages below the highest one that are free, as LMDB keeps them in its first database. */
static int free_pages(const struct base *base, uint64_t *pages_out)
{
    MDB_cursor *cursor;
    MDB_val key, list;
    MDB_txn *txn;
    int r = mdb_txn_begin(base->env, NULL, MDB_RDONLY, &txn);

    *pages_out = 0;
    if (r != 0)
        return failed(base, "beginning to read", r);
    r = mdb_cursor_open(txn, 0, &cursor);
    if (r == 0) {
        while ((r = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
            size_t pages;

            if (list.mv_size < sizeof pages)
                continue;
            memcpy(&pages, list.mv_data, sizeof pages);
            *pages_out += pages;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return r == MDB_NOTFOUND ? 0 : failed(base, "reading", r);
}

int base_tight(struct base *base, unsigned percent, bool *tight_out)
{
    uint64_t may = base->file_bytes < base->bytes_max ? base->file_bytes : base->bytes_max;
    uint64_t bound = may / base->page_bytes * percent / 100;
    uint64_t used = used_pages(base), unused;
    int r;

    *tight_out = used > bound;
    if (!*tight_out)
        return 0;
    r = free_pages(base, &unused);
    if (r == 0)
        *tight_out = used - (unused < used ? unused : used) > bound;
    return r;
}

uint64_t base_file_bytes(const struct base *base)
{
    return base->file_bytes;
}

uint64_t base_used_bytes(const struct base *base)
{
    return used_pages(base) * base->page_bytes;
}

/* In a page: length and flags of a node, its place in the index, our checksum. */
#define NODE_BYTES  (8 + 2 + CHECK_BYTES)
#define PAGE_HEADER 16

void base_need_add(struct base_need *need, const struct base *base, const struct job *jobs)
{
    for (const struct job *job = jobs; job != NULL; job = job->next) {
        need->puts_n += job->puts_n;
        for (size_t i = 0; i < job->puts_n; i++) {
            uint64_t bytes = job->puts[i].key.len + job->puts[i].value.len + NODE_BYTES;

            if (bytes >= (base->page_bytes - PAGE_HEADER) / 2) { /* LMDB puts the value elsewhere */
                need->pages += (bytes + PAGE_HEADER) / base->page_bytes + 1;
                bytes = job->puts[i].key.len + NODE_BYTES;
            }
            need->bytes += bytes;
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * From above: each entry copies a path of pages, with a neighbour each when some are merged, but no
 * page is copied twice; it splits at most one leaf, and a split leaves room for more than a quarter
 * of a page; splits go up by one branch for each leaf, at most. Then LMDB's own list of free pages.
 * Free pages are not counted: what LMDB finds there it does not take from the end.
 */
bool base_has_room(const struct base *base, const struct base_need *need, unsigned percent)
{
    const MDB_stat *stat = &base->stat;
    uint64_t puts_n = need->puts_n + 2; /* the mark and the schema */
    uint64_t tree = stat->ms_branch_pages + stat->ms_leaf_pages;
    uint64_t copied = least(puts_n * 2 * (stat->ms_depth + 1), tree);
    uint64_t split = least(puts_n, stat->ms_leaf_pages + 4 * need->bytes / base->page_bytes + 1);
    uint64_t list = 8 + base->file_bytes / base->page_bytes / 256;
    uint64_t pages = copied + 2 * split + stat->ms_depth + 2 + need->pages + list;

    return (used_pages(base) + pages) * base->page_bytes <= base->file_bytes / 100 * percent;
}

static int grow_to(struct base *base, uint64_t bytes)
{
    mdb_filehandle_t fd;
    int r = mdb_env_get_fd(base->env, &fd);

    if (r != 0)
        return failed(base, "growing", r);
    r = file_allocate(fd, base->path, base->file_bytes, bytes);
    if (r != 0)
        return r;
    r = mdb_env_set_mapsize(base->env, bytes);
    if (r != 0)
        return failed(base, "mapping the file", r);
    base->file_bytes = bytes;
    return 0;
}

int base_grow(struct base *base, uint64_t bytes, uint64_t above)
{
    uint64_t max = base->bytes_max + above;
    uint64_t step = bytes;
    int r = BASE_NO_ROOM;

    if (step == 0) {
        step = base->file_bytes;
        if (step > STORE_FILE_STEP_MAX)
            step = STORE_FILE_STEP_MAX;
    }
    if (base->file_bytes >= max) {
        (void)kith_fail_with(KITH_E_LIMIT,
                             "store %s: the file has reached its limit of %llu MiB; remove "
                             "variables that are no longer needed",
                             base->path, (unsigned long long)(base->bytes_max >> 20));
        return BASE_NO_ROOM;
    }
    if (step > max - base->file_bytes)
        step = max - base->file_bytes;
    for (; r == BASE_NO_ROOM && step >= PAGE_BYTES; step /= 4) {
        step -= step % PAGE_BYTES;
        r = grow_to(base, base->file_bytes + step);
        if (bytes != 0)
            break;
    }
    return r;
}

/* ---- opening ---- */

static int get(MDB_txn *txn, MDB_dbi dbi, const char *name, size_t len, struct store_entry *out)
{
    char copy[16];
    MDB_val key = {len, copy}, stored;
    int r;

    assert(len <= sizeof copy);
    memcpy(copy, name, len);
    r = mdb_get(txn, dbi, &key, &stored);
    if (r == 0)
        *out = entry_of(&key, &stored);
    return r;
}

static int
check_schema(const struct base *base, const struct store_entry *schema, bool *has_mark_out)
{
    uint32_t version;

    if (schema->corrupt || schema->value.len != 4)
        return damaged(base, "no valid schema version");
    version = get_le32(schema->value.data);
    if (version >= STORE_SCHEMA_PLAIN && version <= STORE_SCHEMA) {
        *has_mark_out = version >= STORE_SCHEMA;
        return 0;
    }
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "store %s: written by a newer kith (schema %u; this one reads %u): start "
                          "that version, or move it away (mv %s %s.newer) to come back as a fresh "
                          "member",
                          base->path, version, STORE_SCHEMA, base->path, base->path);
}

/* A store that is new: what it is and which one. */
static int make_meta(struct base *base, MDB_txn *txn, uint8_t disk_id_out[STORE_DISK_ID_BYTES])
{
    uint8_t version[4];
    const struct store_put puts[] = {
        {.key = {key_schema, sizeof key_schema}, .value = {version, sizeof version}},
        {.key = {key_disk, sizeof key_disk}, .value = {disk_id_out, STORE_DISK_ID_BYTES}},
    };
    int r;

    put_le32(version, STORE_SCHEMA_PLAIN);
    randombytes_buf(disk_id_out, STORE_DISK_ID_BYTES);
    r = put(txn, base->dbi, &puts[0]);
    return r != 0 ? r : put(txn, base->dbi, &puts[1]);
}

/* What an old store says of itself. */
static int check_meta(struct base *base, MDB_txn *txn, uint8_t disk_id_out[STORE_DISK_ID_BYTES])
{
    struct store_entry entry;
    bool has_mark = false;
    int r = get(txn, base->dbi, key_schema, sizeof key_schema, &entry);

    if (r != 0)
        return r == MDB_NOTFOUND ? damaged(base, "no schema version") : failed(base, "opening", r);
    r = check_schema(base, &entry, &has_mark);
    if (r != 0)
        return r;
    if (get(txn, base->dbi, key_disk, sizeof key_disk, &entry) != 0 || entry.corrupt ||
        entry.value.len != STORE_DISK_ID_BYTES)
        return damaged(base, "no valid disk id");
    memcpy(disk_id_out, entry.value.data, STORE_DISK_ID_BYTES);
    if (!has_mark)
        return 0;
    if (get(txn, base->dbi, key_log, sizeof key_log, &entry) != 0 || entry.corrupt ||
        entry.value.len != MARK_BYTES)
        return damaged(base, "no valid mark of the log");
    read_mark(&base->mark, entry.value);
    return 0;
}

static int read_meta(struct base *base, uint8_t disk_id_out[STORE_DISK_ID_BYTES])
{
    MDB_txn *txn;
    MDB_stat stat;
    int r = mdb_txn_begin(base->env, NULL, 0, &txn);

    if (r != 0)
        return failed(base, "opening", r);
    r = mdb_dbi_open(txn, NULL, 0, &base->dbi);
    if (r == 0)
        r = mdb_stat(txn, base->dbi, &stat);
    if (r == 0 && stat.ms_entries == 0)
        r = make_meta(base, txn, disk_id_out);
    else if (r == 0) {
        r = check_meta(base, txn, disk_id_out);
        if (r != 0) {
            mdb_txn_abort(txn);
            return r;
        }
    }
    if (r == 0)
        r = mdb_txn_commit(txn); /* of an old store nothing; keeps the handle of the database */
    else
        mdb_txn_abort(txn);
    if (r == 0)
        r = mdb_env_stat(base->env, &base->stat);
    return r == 0 ? 0 : failed(base, "opening", r);
}

/* The file at its full size, with all its blocks; and not shorter than what LMDB believes to be
 * there, since touching a page behind the end would be SIGBUS. */
static int settle_file(struct base *base, uint64_t bytes_start)
{
    uint64_t bytes, need;
    mdb_filehandle_t fd;
    MDB_stat stat;
    struct stat st;
    int r = mdb_env_get_fd(base->env, &fd);

    if (r != 0)
        return failed(base, "opening", r);
    if (fstat(fd, &st) != 0)
        return failed(base, "opening", errno);
    mdb_env_stat(base->env, &stat);
    base->page_bytes = stat.ms_psize;
    need = used_pages(base) * base->page_bytes;
    bytes = (uint64_t)st.st_size / PAGE_BYTES * PAGE_BYTES;
    if (bytes < need)
        return damaged(base, "the file was cut");
    if (bytes < bytes_start)
        bytes = bytes_start;
    /* With no room now the file is as large as it is, and the writer will say that it is full. */
    r = file_allocate(fd, base->path, 0, bytes);
    if (r == BASE_NO_ROOM)
        bytes = (uint64_t)st.st_size / PAGE_BYTES * PAGE_BYTES;
    else if (r != 0)
        return r;
    base->file_bytes = bytes;
    r = mdb_env_set_mapsize(base->env, bytes);
    return r == 0 ? 0 : failed(base, "mapping the file", r);
}

static int open_env(struct base *base, uint64_t bytes_start)
{
    int r = mdb_env_create(&base->env);

    if (r == 0)
        r = mdb_env_set_mapsize(base->env, bytes_start); /* until its size is known */
    if (r == 0)
        r = mdb_env_set_userctx(base->env, base);
    if (r == 0)
        r = mdb_env_set_assert(base->env, on_assert);
    if (r == 0)
        r = mdb_env_open(base->env, base->path, MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    return r == 0 ? settle_file(base, bytes_start) : failed(base, "opening", r);
}

int base_open(struct base **base_out,
              const char *path,
              uint64_t bytes_start,
              uint64_t bytes_max,
              uint8_t disk_id_out[STORE_DISK_ID_BYTES])
{
    struct base *base = core_calloc(1, sizeof *base);
    int r;

    if (base == NULL)
        return KITH_E_MEMORY;
    base->bytes_max = bytes_max;
    base->path = core_strndup(path, strlen(path));
    r = base->path == NULL ? KITH_E_MEMORY : open_env(base, bytes_start);
    if (r == 0)
        r = read_meta(base, disk_id_out);
    if (r != 0) {
        base_close(base);
        return r;
    }
    *base_out = base;
    return 0;
}

void base_close(struct base *base)
{
    if (base == NULL)
        return;
    if (base->env != NULL)
        mdb_env_close(base->env);
    core_free(base->path);
    core_free(base);
}
