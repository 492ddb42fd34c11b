/*
 * Reads files into contents.
 */
#include "fs/chunker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "kith/error.h"

#define READ_BYTES  (1024 * 1024)
#define HOLES_BYTES 4096u                  /* smaller files have none */
#define LARGE_BYTES (256ull * 1024 * 1024) /* not worth to push others out of the page cache */

struct reading {
    int fd;
    uint64_t size;
    bool holes;
    struct content_builder builder;
    struct fs_hash_progress *progress;
    uint64_t holes_bytes;
    uint8_t *buffer;
    size_t buffer_bytes;
};

static int read_failed(int errnum)
{
    return kith_fail_with(KITH_E_IO, "it cannot be read: %s%s", strerror(errnum),
                          core_errno_advice(errnum));
}

static bool is_stopped(const struct reading *r)
{
    return r->progress != NULL && atomic_load_explicit(&r->progress->stop, memory_order_relaxed);
}

static void has_read(const struct reading *r, uint64_t at)
{
    if (r->progress != NULL)
        atomic_store_explicit(&r->progress->done_bytes, at, memory_order_relaxed);
}

/* Bytes from @at to @to. */
static int read_data(struct reading *r, uint64_t at, uint64_t to)
{
    while (at < to) {
        size_t want = to - at < r->buffer_bytes ? (size_t)(to - at) : r->buffer_bytes;
        ssize_t n = pread(r->fd, r->buffer, want, (off_t)at);
        int code;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return read_failed(errno);
        if (n == 0)
            return KITH_E_AGAIN; /* it is shorter now */
        code = content_builder_update(&r->builder, r->buffer, (size_t)n);
        if (code != 0)
            return code;
        at += (uint64_t)n;
        has_read(r, at);
        if (is_stopped(r))
            return kith_fail_with(KITH_E_CANCELED, "reading it was ended");
    }
    return 0;
}

/* Where the next data begins at or behind @at, and where it ends; both the size if there is none.
 */
static void next_data(const struct reading *r, uint64_t at, uint64_t *from_out, uint64_t *to_out)
{
    off_t from = r->holes ? lseek(r->fd, (off_t)at, SEEK_DATA) : (off_t)at, to;

    *from_out = *to_out = r->size;
    if (from < 0 && errno == ENXIO)
        return; /* nothing but a hole */
    if (from < 0 || (uint64_t)from < at) {
        *from_out = at; /* a file system that knows no holes */
        return;
    }
    if ((uint64_t)from > r->size)
        return;
    *from_out = (uint64_t)from;
    to = r->holes ? lseek(r->fd, from, SEEK_HOLE) : (off_t)r->size;
    if (to > from && (uint64_t)to < r->size)
        *to_out = (uint64_t)to;
}

static int read_all(struct reading *r)
{
    int code = 0;

    for (uint64_t at = 0; code == 0 && at < r->size;) {
        uint64_t from, to;

        next_data(r, at, &from, &to);
        if (from > at) {
            code = content_builder_zeros(&r->builder, from - at);
            r->holes_bytes += from - at;
            has_read(r, from);
        }
        if (code == 0)
            code = read_data(r, from, to);
        at = to;
    }
    return code;
}

static int64_t wall_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int prepare(struct reading *r, uint8_t hash)
{
    struct stat st;
    int code = content_builder_init(&r->builder, hash, r->size);

    if (code != 0)
        return code;
    r->holes =
        r->size > HOLES_BYTES && fstat(r->fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < r->size;
    r->buffer_bytes = r->size < READ_BYTES ? (size_t)r->size + 1 : READ_BYTES;
    r->buffer = core_malloc(r->buffer_bytes);
    if (r->buffer == NULL)
        return KITH_E_MEMORY;
    if (r->size > READ_BYTES)
        (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

static int hash_open(struct reading *r, uint8_t hash, struct fs_hash_result *result)
{
    struct kith_bytes list;
    int code = prepare(r, hash);

    if (code == 0)
        code = read_all(r);
    if (code == 0)
        code = content_builder_end(&r->builder, &result->content, &list);
    if (code == 0)
        code = buf_append(&result->list, list.data, list.len);
    if (r->size > LARGE_BYTES)
        (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED);
    result->holes_bytes = r->holes_bytes;
    content_builder_deinit(&r->builder);
    core_free(r->buffer);
    return code;
}

int fs_hash_fd(int fd,
               const struct fs_stat *expect,
               uint8_t hash,
               struct fs_hash_progress *progress,
               struct fs_hash_result *result_out)
{
    struct reading r = {.fd = fd, .progress = progress};
    int code, after;

    *result_out = (struct fs_hash_result){.began_wall_ns = wall_ns()};
    code = fs_stat_fd(fd, &result_out->before);
    if (code != 0)
        return code;
    result_out->after = result_out->before;
    if (result_out->before.kind != FS_FILE)
        return kith_fail_with(KITH_E_UNSUPPORTED, "it is no file");
    if (expect != NULL && !fs_stat_same(&result_out->before, expect))
        return KITH_E_AGAIN;
    r.size = result_out->before.size;
    code = hash_open(&r, hash, result_out);
    after = fs_stat_fd(fd, &result_out->after);
    if (code == 0 && after == 0 && !fs_stat_same(&result_out->before, &result_out->after))
        code = KITH_E_AGAIN;
    return code != 0 ? code : after;
}

int fs_hash_file(const struct fs_folder *folder,
                 const char *name,
                 const struct fs_stat *expect,
                 uint8_t hash,
                 struct fs_hash_progress *progress,
                 struct fs_hash_result *result_out)
{
    int fd = fs_folder_open_file(folder, name, O_RDONLY), code;

    *result_out = (struct fs_hash_result){0};
    if (fd < 0)
        return fd;
    code = fs_hash_fd(fd, expect, hash, progress, result_out);
    close(fd);
    return code;
}

int fs_read_file(const struct fs_folder *folder,
                 const char *name,
                 const struct fs_stat *expect,
                 uint64_t offset,
                 void *data_out,
                 size_t len)
{
    int fd = fs_folder_open_file(folder, name, O_RDONLY), code;
    struct fs_stat now;
    size_t at = 0;

    if (fd < 0)
        return fd;
    code = fs_stat_fd(fd, &now);
    if (code == 0 && !fs_stat_same(&now, expect))
        code = KITH_E_AGAIN;
    while (code == 0 && at < len) {
        ssize_t n = pread(fd, (uint8_t *)data_out + at, len - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = read_failed(errno);
        else if (n == 0)
            code = KITH_E_AGAIN;
        else
            at += (size_t)n;
    }
    if (code == 0)
        code = fs_stat_fd(fd, &now);
    if (code == 0 && !fs_stat_same(&now, expect))
        code = KITH_E_AGAIN;
    close(fd);
    return code;
}
