/*
 * Reading what this node keeps, checked: a chunk of the keep is compared with its hash when it is
 * first read since the node began, or since its file changed. What passed is remembered in a table
 * of fixed size; what has no room in it is checked once more. A disk that rots after that is
 * noticed by the round through the keep (fs/keep.h).
 *
 * Files in folders are what their users have in them: they are read as they are.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/internal.h"

#define PASSED_MAX 65536 /* a power of two; chunks of 64 KiB: 4 GiB */

struct fs_checked {
    _Atomic uint64_t passed[PASSED_MAX];
};

struct fs_checked *fs_checked_new(void)
{
    return core_calloc(1, sizeof(struct fs_checked));
}

void fs_checked_free(struct fs_checked *checked)
{
    core_free(checked);
}

/* One content that is being read. */
struct checking {
    struct node_fs *fs;
    const struct fs_where *where;
    const struct content *content;
    int fd;
    uint64_t file; /* of which file it is, and since when */
    struct buf list;
    uint8_t *chunk; /* room for a whole one */
};

static uint64_t key_of(const struct checking *checking, uint32_t no)
{
    return hash_bytes(checking->content->root, CONTENT_ROOT_BYTES,
                      checking->file + (uint64_t)no * 0x9e3779b97f4a7c15u) |
           1;
}

static int read_whole(int fd, void *data, size_t len, uint64_t offset)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, (uint8_t *)data + at, len - at, (off_t)(offset + at));
        if (n <= 0)
            return kith_fail_with(KITH_E_IO, "a copy that is kept here cannot be read");
        at += (size_t)n;
    }
    return 0;
}

static int open_keep(struct checking *checking)
{
    struct stat st;
    uint64_t seen[4];

    checking->fd =
        fs_content_open(checking->fs->move->files, FS_ROOM_KEEP, checking->content->root, 0);
    if (checking->fd < 0)
        return checking->fd;
    if (fstat(checking->fd, &st) != 0)
        return kith_fail_with(KITH_E_IO, "a copy that is kept here cannot be read");
    if ((uint64_t)st.st_size < checking->content->size)
        return KITH_E_CORRUPT;
    seen[0] = st.st_ino;
    seen[1] = (uint64_t)st.st_size;
    seen[2] = (uint64_t)st.st_mtim.tv_sec;
    seen[3] = (uint64_t)st.st_mtim.tv_nsec;
    checking->file = hash_bytes(seen, sizeof(seen), 0);
    return 0;
}

/* The list of a content that has none, or a damaged one, is made again of the whole. */
static int have_list(struct checking *checking)
{
    uint64_t bytes = 0;
    int r;

    if (checking->list.len > 0 || content_list_bytes(checking->content) == 0)
        return 0;
    r = fs_list_read(checking->fs, checking->content, &checking->list);
    if (r == KITH_E_NOT_FOUND)
        r = fs_verify_where(checking->fs, checking->where, checking->content, &checking->list,
                            &bytes);
    return r;
}

/* The whole chunk, into its room. */
static int check_chunk(struct checking *checking, uint32_t no)
{
    uint32_t len = content_chunk_bytes(checking->content, no);
    int r = have_list(checking);

    if (r == 0 && checking->chunk == NULL &&
        (checking->chunk = core_malloc((size_t)1 << checking->content->chunk_log2)) == NULL)
        r = KITH_E_MEMORY;
    if (r == 0)
        r = read_whole(checking->fd, checking->chunk, len,
                       content_chunk_offset(checking->content, no));
    if (r == 0)
        r = content_chunk_check(checking->content,
                                content_chunk_hash(checking->content, checking->list.data, no), no,
                                checking->chunk, len);
    return r;
}

/* @len bytes of one chunk. */
static int read_part(struct checking *checking, uint64_t offset, uint8_t *data, size_t len)
{
    uint32_t no = (uint32_t)(offset >> checking->content->chunk_log2);
    uint64_t key = key_of(checking, no);
    _Atomic uint64_t *passed = &checking->fs->move->checked->passed[key % PASSED_MAX];
    int r;

    if (atomic_load_explicit(passed, memory_order_relaxed) == key)
        return read_whole(checking->fd, data, len, offset);
    r = check_chunk(checking, no);
    if (r != 0)
        return r;
    memcpy(data, checking->chunk + (offset - content_chunk_offset(checking->content, no)), len);
    atomic_store_explicit(passed, key, memory_order_relaxed);
    return 0;
}

int fs_read_checked(struct node_fs *fs,
                    const struct fs_where *where,
                    const struct content *content,
                    uint64_t offset,
                    void *data_out,
                    size_t len)
{
    struct checking checking = {.fs = fs, .where = where, .content = content, .fd = -1};
    uint8_t *data = data_out;
    int r;

    if (!where->keep)
        return fs_where_read(fs->move->files, where, content, offset, data_out, len);
    r = open_keep(&checking);
    while (r == 0 && len > 0) {
        uint64_t end = ((offset >> content->chunk_log2) + 1) << content->chunk_log2;
        size_t n = end - offset < len ? (size_t)(end - offset) : len;
        r = read_part(&checking, offset, data, n);
        data += n;
        offset += n;
        len -= n;
    }
    if (checking.fd >= 0)
        (void)close(checking.fd);
    buf_deinit(&checking.list);
    core_free(checking.chunk);
    return r;
}
