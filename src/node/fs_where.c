/* Contents that this node holds: which file of a folder it is, or the keep. See fs_move.h. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_keep.h"
#include "node/internal.h"

static bool in_folder(struct node_fs *fs,
                      const struct content *content,
                      const char *share,
                      const char *path,
                      struct fs_where *where)
{
    struct fs_here *here = fs_here_find(fs, share, strlen(share));
    struct buf name = {0};
    struct local_file file;

    if (here == NULL || local_find(here->core, path, strlen(path), &file) != 0 ||
        file.stat.kind != FS_FILE || !content_equal(&file.content, content))
        return false;
    if (local_name_of(here->core, path, strlen(path), &name) != 0 || buf_append_u8(&name, 0) != 0) {
        buf_deinit(&name);
        return false;
    }
    where->folder = core_strndup(here->path, strlen(here->path));
    where->name = (char *)name.data;
    where->expect = file.stat;
    return where->folder != NULL;
}

bool fs_is_here(struct node_fs *fs, const struct content *content)
{
    struct fs_content_facts facts;

    return fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) == 0 &&
           facts.own != FS_NOWHERE;
}

bool fs_where_is(struct node_fs *fs, const struct content *content, struct fs_where *where_out)
{
    struct fs_content_facts facts;
    struct buf share = {0}, path = {0};
    bool found = false;

    *where_out = (struct fs_where){.keep = false};
    if (fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) != 0 ||
        facts.own == FS_NOWHERE || !content_equal(&facts.content, content)) {
        where_out->keep = fs_is_former(fs, content);
        return where_out->keep;
    }
    for (size_t i = 0; (facts.own & FS_IN_FOLDER) != 0 && !found; i++) {
        share.len = path.len = 0;
        if (!fs_catalogue_content_own(fs->catalogue, content->root, i, &share, &path))
            break;
        found =
            in_folder(fs, content, (const char *)share.data, (const char *)path.data, where_out);
        if (!found)
            fs_where_deinit(where_out);
    }
    buf_deinit(&share);
    buf_deinit(&path);
    if (found)
        return true;
    where_out->keep = (facts.own & FS_IN_KEEP) != 0 && !fs_keep_is_aside(fs, content->root);
    return where_out->keep;
}

void fs_where_deinit(struct fs_where *where)
{
    core_free(where->folder);
    core_free(where->name);
    *where = (struct fs_where){.keep = false};
}

static int read_keep(struct fs_files *files,
                     const struct content *content,
                     uint64_t offset,
                     uint8_t *data,
                     size_t len)
{
    int fd = fs_content_open(files, FS_ROOM_KEEP, content->root, 0);
    int r = 0;

    if (fd < 0)
        return fd;
    while (len > 0 && r == 0) {
        ssize_t n = pread(fd, data, len, (off_t)offset);
        if (n <= 0) {
            r = kith_fail_with(KITH_E_IO, "a copy that is kept here cannot be read");
            break;
        }
        data += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    (void)close(fd);
    return r;
}

int fs_where_read(struct fs_files *files,
                  const struct fs_where *where,
                  const struct content *content,
                  uint64_t offset,
                  void *data_out,
                  size_t len)
{
    struct fs_folder folder;
    int r;

    if (where->keep)
        return read_keep(files, content, offset, data_out, len);
    r = fs_folder_open(&folder, where->folder);
    if (r != 0)
        return r;
    r = fs_read_file(&folder, where->name, &where->expect, offset, data_out, len);
    fs_folder_close(&folder);
    return r;
}
