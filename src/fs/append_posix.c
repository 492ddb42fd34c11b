/*
 * Files that grow: what is appended is written behind what is there and costs no copy of it. The
 * chunks of the old content keep their hashes; only the last one, if it is not whole, is read
 * again, and must still be what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "fs/files_internal.h"
#include "kith/error.h"

#define READ_BYTES (256 * 1024)

static size_t bytes_of(const struct fs_appending *what)
{
    size_t bytes = 0;

    for (size_t i = 0; i < what->pieces_n; i++)
        bytes += what->pieces[i].len;
    return bytes;
}

/* ---- the content of both ---- */

static int read_tail(int fd, const struct content *before, struct content_builder *builder)
{
    uint32_t left = content_tail_bytes(before);
    uint64_t at = before->size - left;
    core_autofree uint8_t *buffer = core_malloc(left < READ_BYTES ? left + 1 : READ_BYTES);
    int r = buffer == NULL ? KITH_E_MEMORY : 0;

    while (r == 0 && left > 0) {
        ssize_t n = pread(fd, buffer, left < READ_BYTES ? left : READ_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return files_failed("cannot read", "what is to be appended to", errno);
        if (n == 0)
            return KITH_E_CORRUPT;
        r = content_builder_update(builder, buffer, (size_t)n);
        at += (uint64_t)n;
        left -= (uint32_t)n;
    }
    return r;
}

static int hash_pieces(int fd, const struct fs_appending *what, struct content_builder *builder)
{
    const struct content *before = &what->before;
    bool tail = content_tail_bytes(before) > 0;
    int r = read_tail(fd, before, builder);

    if (r == 0 && tail && bytes_of(what) > 0 &&
        !content_builder_has(builder,
                             content_chunk_hash(before, what->list, content_chunks(before) - 1)))
        r = KITH_E_CORRUPT;
    for (size_t i = 0; i < what->pieces_n && r == 0; i++)
        r = content_builder_update(builder, what->pieces[i].data, what->pieces[i].len);
    return r;
}

/* What @fd has of @before, and the pieces behind it. */
static int hash_both(int fd, const struct fs_appending *what, struct fs_appended *out)
{
    struct content_builder builder;
    struct kith_bytes list;
    int r = content_builder_resume(&builder, &what->before, what->list,
                                   what->before.size + bytes_of(what));

    if (r == 0)
        r = hash_pieces(fd, what, &builder);
    if (r == 0)
        r = content_builder_end(&builder, &out->content, &list);
    if (r == 0)
        r = buf_append(&out->list, list.data, list.len);
    content_builder_deinit(&builder);
    return r;
}

static int write_pieces(int fd, const struct fs_appending *what)
{
    uint64_t at = what->before.size;
    int r = 0;

    for (size_t i = 0; i < what->pieces_n && r == 0; i++) {
        r = fs_write_all(fd, what->pieces[i].data, what->pieces[i].len, at);
        at += what->pieces[i].len;
    }
    return r;
}

/* ---- in the keep ---- */

/*
 * The file of a content, locked: whoever grows it, or makes a part of it, waits or is told. The
 * descriptor; KITH_E_AGAIN (without a sentence): it is gone, or another has it and @wait is false.
 */
static int open_locked(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], bool wait)
{
    char path[FS_CONTENT_NAME_BYTES];
    struct stat st, named;
    int fd, r;

    files_content_name(root, path);
    fd = openat(files->keep_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? KITH_E_AGAIN : files_failed("cannot open", path, errno);
    while ((r = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB)) != 0 && errno == EINTR)
        continue;
    /* Before it was locked it may have become a part. */
    if (r == 0 && fstat(fd, &st) == 0 &&
        fstatat(files->keep_fd, path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_ino == named.st_ino && st.st_dev == named.st_dev)
        return fd;
    close(fd);
    return KITH_E_AGAIN;
}

/*
 * 0 if nothing is behind the content in its file. What a failed append or a crash left there goes:
 * with a single name nobody else's content can reach so far.
 */
static int clear_behind(int fd, const struct content *before)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return files_failed("cannot look at", "a copy that is kept here", errno);
    if ((uint64_t)st.st_size < before->size)
        return KITH_E_CORRUPT;
    if ((uint64_t)st.st_size == before->size)
        return 0;
    if (st.st_nlink != 1)
        return KITH_E_AGAIN;
    return ftruncate(fd, (off_t)before->size) == 0
               ? 0
               : files_failed("cannot write", "a copy that is kept here", errno);
}

static int grow(struct fs_files *files, int fd, const struct fs_appending *what, uint64_t bytes)
{
    int r = fs_files_room(files, bytes);

    if (r == 0)
        r = write_pieces(fd, what);
    if (r != 0)
        (void)ftruncate(fd, (off_t)what->before.size);
    return r;
}

int fs_keep_append(struct fs_files *files, const struct fs_appending *what, struct fs_appended *out)
{
    /* Two that begin with the same content: one grows its file, the other takes a copy. */
    int fd = open_locked(files, what->before.root, false), r;

    if (fd < 0)
        return fd;
    r = clear_behind(fd, &what->before);
    if (r == 0)
        r = hash_both(fd, what, out);
    if (r == 0)
        r = grow(files, fd, what, bytes_of(what));
    if (r == 0) {
        what->named(what->user, out->content.root);
        r = files_name_content(files, out->content.root, fd);
    }
    close(fd);
    return r;
}

/* ---- copies of what grew elsewhere ---- */

struct copying {
    int from, to;
    uint8_t *here, *there; /* READ_BYTES each */
};

/* The next @len bytes at @at, at most READ_BYTES. 0, KITH_E_AGAIN (it ends before), KITH_E_IO. */
static int read_run(int fd, uint8_t *data, size_t len, uint64_t at)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(fd, data + got, len - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return files_failed("cannot read", "a copy on its way", errno);
        if (n == 0)
            return KITH_E_AGAIN;
        got += (size_t)n;
    }
    return 0;
}

static size_t run_len(uint64_t at, uint64_t end)
{
    return end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
}

/* 0 if both have the same from @at to @end, else KITH_E_AGAIN. */
static int compare(const struct copying *copying, uint64_t at, uint64_t end)
{
    int r = 0;

    for (size_t len; r == 0 && at < end; at += len) {
        len = run_len(at, end);
        r = read_run(copying->from, copying->there, len, at);
        if (r == 0)
            r = read_run(copying->to, copying->here, len, at);
        if (r == 0 && memcmp(copying->here, copying->there, len) != 0)
            r = KITH_E_AGAIN;
    }
    return r;
}

static int copy(const struct copying *copying, uint64_t at, uint64_t end)
{
    int r = 0;

    for (size_t len; r == 0 && at < end; at += len) {
        len = run_len(at, end);
        r = read_run(copying->from, copying->there, len, at);
        if (r == 0)
            r = fs_write_all(copying->to, copying->there, len, at);
    }
    return r;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where the file @to goes on with what is new. KITH_E_AGAIN: it does not. */
static int end_of(const struct copying *copying, const struct fs_growing *what, uint64_t *size_out)
{
    uint64_t before = what->before.size, after = what->after.size;
    struct stat st;
    int r;

    if (fstat(copying->to, &st) != 0)
        return files_failed("cannot look at", "a copy that is kept here", errno);
    *size_out = (uint64_t)st.st_size;
    if (*size_out < before)
        return KITH_E_AGAIN;
    r = compare(copying, what->from, least(before, after));
    if (r != 0 || after <= before)
        return r;
    r = compare(copying, before, least(*size_out, after));
    if (r != KITH_E_AGAIN || st.st_nlink != 1)
        return r;
    /* With a single name nobody's content reaches so far: a crash left it. */
    *size_out = before;
    return ftruncate(copying->to, (off_t)before) == 0
               ? 0
               : files_failed("cannot write", "a copy that is kept here", errno);
}

static int
grow_by_part(struct fs_files *files, const struct copying *copying, const struct fs_growing *what)
{
    uint64_t size = 0, end = what->after.size;
    int r = end_of(copying, what, &size);

    if (r != 0)
        return r;
    if (size < end) {
        r = fs_files_room(files, end - size);
        if (r == 0)
            r = copy(copying, size, end);
        if (r != 0)
            (void)ftruncate(copying->to, (off_t)size);
    }
    return r == 0 ? files_name_content(files, what->after.root, copying->to) : r;
}

int fs_keep_grow(struct fs_files *files, const struct fs_growing *what, int part)
{
    core_autofree uint8_t *here = core_malloc(READ_BYTES);
    core_autofree uint8_t *there = core_malloc(READ_BYTES);
    struct copying copying = {.from = part, .here = here, .there = there};
    int r;

    if (here == NULL || there == NULL)
        return KITH_E_MEMORY;
    copying.to = open_locked(files, what->before.root, true);
    if (copying.to < 0)
        return copying.to;
    r = grow_by_part(files, &copying, what);
    close(copying.to);
    if (r == 0) /* if it stays it is of no use, and nobody's harm */
        (void)fs_content_remove(files, FS_ROOM_PART, what->after.root, 0);
    return r;
}
