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
    char path[FS_CONTENT_NAME_BYTES];
    int fd, r;

    files_content_name(what->before.root, path);
    fd = openat(files->keep_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? KITH_E_AGAIN : files_failed("cannot open", path, errno);
    /* Two that begin with the same content: one grows its file, the other takes a copy. */
    r = flock(fd, LOCK_EX | LOCK_NB) == 0 ? clear_behind(fd, &what->before) : KITH_E_AGAIN;
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
