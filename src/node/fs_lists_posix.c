/* See fs_lists.h. */
#include "node/fs_lists.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define PATH_BYTES 4400

/* DIR/lists, DIR/lists/ab and DIR/lists/ab/ROOT. */
static bool path_of(struct node_fs *fs,
                    const uint8_t root[CONTENT_ROOT_BYTES],
                    bool make,
                    char path[PATH_BYTES])
{
    char hex[2 * CONTENT_ROOT_BYTES + 1];
    int n;

    hex_encode(root, CONTENT_ROOT_BYTES, hex);
    if (make) {
        snprintf(path, PATH_BYTES, "%s/lists", fs->dir);
        (void)mkdir(path, 0700);
        snprintf(path, PATH_BYTES, "%s/lists/%.2s", fs->dir, hex);
        (void)mkdir(path, 0700);
    }
    n = snprintf(path, PATH_BYTES, "%s/lists/%.2s/%s", fs->dir, hex, hex);
    return n > 0 && n < PATH_BYTES;
}

void fs_list_keep(struct node_fs *fs, const struct content *content, struct kith_bytes list)
{
    char path[PATH_BYTES], temporary[PATH_BYTES + 32];

    if (list.len == 0 || list.len != content_list_bytes(content) ||
        !path_of(fs, content->root, true, path))
        return;
    snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)gettid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool whole = write(fd, list.data, list.len) == (ssize_t)list.len;
    if (close(fd) != 0 || !whole || rename(temporary, path) != 0)
        (void)unlink(temporary);
}

int fs_list_read(struct node_fs *fs, const struct content *content, struct buf *list_out)
{
    char path[PATH_BYTES];
    size_t len = content_list_bytes(content);
    int r = KITH_E_NOT_FOUND;

    list_out->len = 0;
    if (len == 0)
        return 0;
    if (!path_of(fs, content->root, false, path))
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return r;
    if (buf_reserve(list_out, len) != 0) {
        r = KITH_E_MEMORY;
    } else if (pread(fd, list_out->data, len, 0) == (ssize_t)len &&
               content_list_check(content, list_out->data, len) == 0) {
        list_out->len = len;
        r = 0;
    }
    (void)close(fd);
    return r;
}

void fs_list_remove(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    char path[PATH_BYTES];

    if (path_of(fs, root, false, path))
        (void)unlink(path);
}
