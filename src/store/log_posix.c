/*
 * The log's file and what stands in it. A group in the file, from a multiple of LOG_BLOCK_BYTES on:
 *
 *   8 "kithlog1"  8 number  4 bytes of entries  4 entries  16 checksum  entries  zeros up to a
 * block
 *
 * and an entry is 2 length of key, 4 length of value (all ones: removed), key, value; little
 * endian. The checksum is BLAKE2b-128 over what stands before it and the entries, under a key that
 * never leaves the disk: a value that somebody made to look like a group is none.
 *
 * All blocks of the file were written when it was made, so that a sync has no metadata to commit.
 * Where it can be, it is written past the page cache: a sync has then nothing to look for.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "store/log.h"

#define SUM_AT            24
#define SUM_BYTES         16
#define HEAD_BYTES        (SUM_AT + SUM_BYTES)
#define ENTRY_BYTES       6 /* before its key */
#define REMOVED           UINT32_MAX
#define BUFFER_BYTES_KEPT (16u * LOG_BLOCK_BYTES)

static const uint8_t magic[8] = {'k', 'i', 't', 'h', 'l', 'o', 'g', '1'};

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
}

static int path_of(const char *folder, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/log", folder);

    if (n < 0 || n >= PATH_MAX)
        return kith_fail_with(KITH_E_INVALID, "store %s: the path is too long", folder);
    return 0;
}

static int damaged(const struct log *log, const char *what, uint64_t number)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "store %s: its log is damaged (%s, %llu), so something that was "
                          "acknowledged may be lost. This node cannot go on with it; move it away "
                          "(mv %s %s.damaged) and start again: the node comes back as a fresh "
                          "member, without what only this disk had",
                          log->path, what, (unsigned long long)number, log->path, log->path);
}

/* ---- memory that a disk can take from ---- */

static int need_buffer(struct log *log, uint64_t bytes)
{
    uint64_t have = log->buffer_bytes > 0 ? log->buffer_bytes : BUFFER_BYTES_KEPT;
    void *memory;

    if (bytes <= log->buffer_bytes)
        return 0;
    while (have < bytes)
        have *= 2;
    memory = core_malloc(have + LOG_BLOCK_BYTES);
    if (memory == NULL)
        return kith_fail_with(KITH_E_MEMORY, "store %s: out of memory for its log", log->path);
    core_free(log->memory);
    log->memory = memory;
    log->buffer = (uint8_t *)memory + (LOG_BLOCK_BYTES - (uintptr_t)memory % LOG_BLOCK_BYTES);
    log->buffer_bytes = have;
    return 0;
}

static void drop_buffer(struct log *log)
{
    core_free(log->memory);
    log->memory = NULL;
    log->buffer = NULL;
    log->buffer_bytes = 0;
}

void log_init(struct log *log)
{
    *log = (struct log){.fd = -1};
}

void log_deinit(struct log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    drop_buffer(log);
    core_free(log->path);
    sodium_memzero(log->key, sizeof log->key);
    log_init(log);
}

/* ---- files ---- */

/* Not every file system can be written past the cache. */
static int open_file(struct log *log, int flags)
{
    char path[PATH_MAX];
    int r = path_of(log->path, path);

    if (r != 0)
        return r;
    log->fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT | flags, 0600);
    if (log->fd < 0 && errno == EINVAL)
        log->fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    return log->fd >= 0 ? 0 : -errno;
}

/* Some open a file so and then refuse its blocks. True: try again, through the cache. */
static bool through_cache(const struct log *log, int code)
{
    int flags = fcntl(log->fd, F_GETFL);

    return code == EINVAL && flags >= 0 && (flags & O_DIRECT) != 0 &&
           fcntl(log->fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

static int write_all(const struct log *log, uint64_t bytes, uint64_t at)
{
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pwrite(log->fd, log->buffer + done, bytes - done, (off_t)(at + done));

        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0 || (errno != EINTR && !through_cache(log, errno)))
            return store_disk_failed(log->path, "writing", n == 0 ? ENOSPC : errno);
    }
    return 0;
}

static int read_all(const struct log *log)
{
    for (uint64_t done = 0; done < log->bytes;) {
        ssize_t n = pread(log->fd, log->buffer + done, log->bytes - done, (off_t)done);

        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0)
            return damaged(log, "the file was cut: bytes left", done);
        else if (errno != EINTR && !through_cache(log, errno))
            return store_disk_failed(log->path, "reading the log", errno);
    }
    return 0;
}

static int fill_with_zeros(struct log *log)
{
    int r = file_allocate(log->fd, log->path, 0, log->bytes);

    if (r == 0)
        r = need_buffer(log, LOG_BLOCK_BYTES);
    if (r != 0)
        return r;
    memset(log->buffer, 0, log->buffer_bytes);
    for (uint64_t at = 0; r == 0 && at < log->bytes; at += log->buffer_bytes) {
        uint64_t left = log->bytes - at;

        r = write_all(log, left < log->buffer_bytes ? left : log->buffer_bytes, at);
    }
    if (r == 0 && fsync(log->fd) != 0)
        r = store_disk_failed(log->path, "making the log", errno);
    return r;
}

/* Where the store is, for sentences. */
static int set_path(struct log *log, const char *path)
{
    if (log->path == NULL)
        log->path = core_strndup(path, strlen(path));
    return log->path != NULL ? 0 : KITH_E_MEMORY;
}

int log_make(struct log *log, const char *path, uint64_t bytes, struct base_mark *mark_out)
{
    int r = set_path(log, path);

    if (r != 0)
        return r;
    log->bytes = blocks(bytes);
    log->at = log->seq = 0;
    r = open_file(log, O_CREAT | O_TRUNC);
    if (r < 0 && log->fd < 0)
        return store_disk_failed(path, "making the log", -r);
    r = fill_with_zeros(log);
    if (r != 0) {
        log_unmake(log); /* what a failed try took would be missing for the data */
        return r;
    }
    randombytes_buf(log->key, sizeof log->key);
    *mark_out = log_mark(log);
    return 0;
}

void log_unmake(struct log *log)
{
    char name[PATH_MAX];

    if (log->fd >= 0 && path_of(log->path, name) == 0)
        (void)unlink(name);
    log_deinit(log);
}

struct base_mark log_mark(const struct log *log)
{
    struct base_mark mark = {.seq = log->seq, .log_bytes = log->bytes};

    memcpy(mark.key, log->key, sizeof mark.key);
    return mark;
}

void log_rewind(struct log *log)
{
    log->at = 0;
    if (log->buffer_bytes > BUFFER_BYTES_KEPT)
        drop_buffer(log);
}

/* ---- groups ---- */

static void checksum(const struct log *log,
                     const uint8_t *group,
                     uint64_t entries_bytes,
                     uint8_t out[SUM_BYTES])
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, log->key, sizeof log->key, SUM_BYTES);
    crypto_generichash_blake2b_update(&state, group, SUM_AT);
    crypto_generichash_blake2b_update(&state, group + HEAD_BYTES, entries_bytes);
    crypto_generichash_blake2b_final(&state, out, SUM_BYTES);
}

bool log_has_room(const struct log *log, uint64_t puts_n, uint64_t bytes)
{
    return log->fd >= 0 &&
           log->at + blocks(HEAD_BYTES + puts_n * ENTRY_BYTES + bytes) <= log->bytes;
}

static uint8_t *add_entry(uint8_t *at, const struct store_put *put)
{
    put_le16(at, (uint16_t)put->key.len);
    put_le32(at + 2, put->erase ? REMOVED : (uint32_t)put->value.len);
    memcpy(at + ENTRY_BYTES, put->key.data, put->key.len);
    at += ENTRY_BYTES + put->key.len;
    if (put->value.len > 0)
        memcpy(at, put->value.data, put->value.len);
    return at + put->value.len;
}

int log_append(struct log *log, const struct job *jobs)
{
    uint64_t entries_n = 0, bytes = HEAD_BYTES;
    uint8_t *at;
    int r;

    for (const struct job *job = jobs; job != NULL; job = job->next) {
        entries_n += job->puts_n;
        bytes += job->bytes + job->puts_n * ENTRY_BYTES;
    }
    r = need_buffer(log, blocks(bytes));
    if (r != 0)
        return r;
    at = log->buffer + HEAD_BYTES;
    for (const struct job *job = jobs; job != NULL; job = job->next)
        for (size_t i = 0; i < job->puts_n; i++)
            at = add_entry(at, &job->puts[i]);
    memset(at, 0, blocks(bytes) - bytes);
    memcpy(log->buffer, magic, sizeof magic);
    put_le64(log->buffer + 8, log->seq + 1);
    put_le32(log->buffer + 16, (uint32_t)(bytes - HEAD_BYTES));
    put_le32(log->buffer + 20, (uint32_t)entries_n);
    checksum(log, log->buffer, bytes - HEAD_BYTES, log->buffer + SUM_AT);
    r = write_all(log, blocks(bytes), log->at);
    if (r == 0 && fdatasync(log->fd) != 0)
        r = store_disk_failed(log->path, "writing", errno);
    if (r != 0)
        return r;
    log->seq++;
    log->at += blocks(bytes);
    return 0;
}

/* ---- after a crash ---- */

/* The number of the whole group at @at, or 0; how long its entries are. */
static uint64_t whole_group(const struct log *log, uint64_t at, uint64_t *entries_bytes_out)
{
    const uint8_t *group = log->buffer + at;
    uint8_t sum[SUM_BYTES];

    *entries_bytes_out = get_le32(group + 16);
    if (memcmp(group, magic, sizeof magic) != 0 ||
        *entries_bytes_out > log->bytes - at - HEAD_BYTES)
        return 0;
    checksum(log, group, *entries_bytes_out, sum);
    return memcmp(sum, group + SUM_AT, sizeof sum) == 0 ? get_le64(group + 8) : 0;
}

/* One entry of a group; false if it is none. Its bytes stay where they are. */
static bool read_put(struct reader *in, struct store_put *put)
{
    uint16_t key_len = read_le16(in);
    uint32_t value_len = read_le32(in);

    put->erase = value_len == REMOVED;
    if (put->erase)
        value_len = 0;
    put->key = (struct kith_bytes){read_bytes(in, key_len), key_len};
    put->value = (struct kith_bytes){read_bytes(in, value_len), value_len};
    return !in->bad && key_len > 0 && key_len <= STORE_KEY_BYTES_MAX &&
           value_len <= STORE_VALUE_BYTES_MAX;
}

/* The group as a job with a copy of its entries. */
static int read_group(const struct log *log, uint64_t at, struct job_list *jobs_out)
{
    const uint8_t *group = log->buffer + at;
    uint32_t len = get_le32(group + 16), puts_n = get_le32(group + 20);
    bool whole = true;
    struct reader in;
    struct job *job;
    uint8_t *copy;

    if (puts_n == 0 || puts_n > len / ENTRY_BYTES)
        return damaged(log, "a group that cannot be", get_le64(group + 8));
    job = core_malloc(sizeof *job + puts_n * sizeof job->puts[0] + len);
    if (job == NULL)
        return KITH_E_MEMORY;
    *job = (struct job){.puts_n = puts_n};
    copy = (uint8_t *)&job->puts[puts_n];
    memcpy(copy, group + HEAD_BYTES, len);
    in = reader_of(copy, len);
    for (uint32_t i = 0; i < puts_n && whole; i++) {
        whole = read_put(&in, &job->puts[i]);
        job->bytes += job->puts[i].key.len + job->puts[i].value.len;
    }
    if (!whole || !reader_done(&in)) {
        core_free(job);
        return damaged(log, "a group that cannot be", get_le64(group + 8));
    }
    job_list_push(jobs_out, job);
    return 0;
}

/* Whole groups from the beginning, as long as their numbers go on; then none of them may be left.
 */
static int read_groups(struct log *log, struct job_list *jobs_out)
{
    uint64_t at = 0, len, seq;
    int r = 0;

    while (r == 0 && at < log->bytes && whole_group(log, at, &len) == log->seq + 1) {
        r = read_group(log, at, jobs_out);
        log->seq++;
        at += blocks(HEAD_BYTES + len);
    }
    for (; r == 0 && at < log->bytes; at += LOG_BLOCK_BYTES) {
        seq = whole_group(log, at, &len);
        if (seq > log->seq)
            r = damaged(log, "a group is missing before number", seq);
    }
    return r;
}

int log_open(struct log *log,
             const char *path,
             const struct base_mark *mark,
             struct job_list *jobs_out)
{
    struct stat st;
    int r = set_path(log, path);

    if (r != 0)
        return r;
    log->bytes = mark->log_bytes;
    log->seq = mark->seq;
    memcpy(log->key, mark->key, sizeof log->key);
    r = open_file(log, 0);
    if (r == -ENOENT)
        return damaged(log, "the file is not there, after group", mark->seq);
    if (r < 0 && log->fd < 0)
        return store_disk_failed(path, "opening the log", -r);
    if (fstat(log->fd, &st) != 0)
        return store_disk_failed(path, "opening the log", errno);
    if ((uint64_t)st.st_size < log->bytes)
        return damaged(log, "the file was cut: bytes left", (uint64_t)st.st_size);
    r = need_buffer(log, log->bytes);
    if (r == 0)
        r = read_all(log);
    if (r == 0)
        r = read_groups(log, jobs_out);
    drop_buffer(log);
    return r;
}
