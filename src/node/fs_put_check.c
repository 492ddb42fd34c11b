/*
 * What must be so for a PUT, WRITE or APPEND: looked at before its bytes are taken, and once more
 * before they become the path.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_put.h"
#include "node/internal.h"

/* What stands above the path must be no file. */
static int check_above(struct node_fs *fs, const struct fs_putting *put)
{
    const char *path = put->ref.path.data;
    struct fs_entry entry;

    for (size_t i = 1; i < put->ref.path.len; i++) {
        if (path[i] == '/' &&
            fs_catalogue_stat(fs->catalogue, put->ref.share, (struct kith_bytes){path, i},
                              &entry) == 0 &&
            entry.kind != FS_DIRECTORY)
            return kith_fail_with(KITH_E_EXISTS, "%.*s/%.*s is no directory",
                                  (int)put->ref.share.len, (const char *)put->ref.share.data,
                                  (int)i, path);
    }
    return 0;
}

/* Files by which folders are written begin so, whether they are there now or not. */
static int check_own(const struct fs_putting *put)
{
    static const char own[] = FS_OWN_BEFORE;
    const char *path = put->ref.path.data;
    size_t len = put->ref.path.len;

    for (size_t at = 0; at < len; at++) {
        if ((at == 0 || path[at - 1] == '/') && len - at >= sizeof(own) - 1 &&
            memcmp(path + at, own, sizeof(own) - 1) == 0)
            return kith_fail_with(KITH_E_NAME,
                                  "%s: names that begin with " FS_OWN_BEFORE
                                  " are those of kith's own temporary files; choose another name",
                                  put->op->op.path);
    }
    return 0;
}

/* What the path may be now, by the operation's wishes. */
int fs_put_check_path(struct node_fs *fs, struct fs_putting *put)
{
    const struct kith_fs_op *op = &put->op->op;
    struct fs_entry entry, share;
    bool there = fs_catalogue_stat(fs->catalogue, put->ref.share, put->ref.path, &entry) == 0;

    if (fs_catalogue_stat(fs->catalogue, put->ref.share, (struct kith_bytes){"", 0}, &share) != 0)
        return kith_fail_with(KITH_E_NOT_FOUND,
                              "there is no share %.*s; kith share add makes one of a folder",
                              (int)put->ref.share.len, (const char *)put->ref.share.data);
    if (there && entry.kind == FS_DIRECTORY)
        return kith_fail_with(KITH_E_EXISTS, "%s is a directory", op->path);
    if (!there && check_own(put) != 0)
        return KITH_E_NAME;
    if (there && entry.is_conflict)
        return kith_fail_with(KITH_E_INVALID,
                              "%s is one of several versions of a file, whose name is given by the "
                              "catalogue; write to the file itself",
                              op->path);
    if (there && op->create_only)
        return kith_fail_with(KITH_E_EXISTS, "%s exists already", op->path);
    int r = fs_check_hash(op, there ? &entry : NULL);
    put->only_if = FS_ONLY_IF_ABSENT;
    if (r == 0 && there) {
        put->mode = op->mode != 0 ? op->mode : entry.mode;
        put->has_base = entry.has_content;
        if (entry.has_content)
            put->base = entry.content;
        put->only_if = entry.version_id;
    }
    return r == 0 ? check_above(fs, put) : r;
}

/* Whether it goes into a folder of this node, and where there. */
int fs_put_check_folder(struct node_fs *fs, struct fs_putting *put)
{
    const char *path = put->ref.path.data;
    size_t len = put->ref.path.len;
    struct fs_here *here = fs_here_find(fs, put->ref.share.data, put->ref.share.len);
    struct local_file file;
    struct buf name = {0};

    put->in_folder = false;
    put->ignored = here != NULL && local_ignores(here->core, path, len, false);
    if (here == NULL || put->ignored)
        return 0;
    if (here->mode == KITH_SHARE_READ_ONLY)
        return kith_fail_with(
            KITH_E_PERMISSION,
            "this node shares %s read-only: write to it on another node, or share "
            "it without --read-only",
            here->name);
    int r = local_can_write(here->core, path, len, &file);
    if (r != 0)
        return kith_fail_with(r,
                              "%s is changing in the folder, or the folder is away: try again "
                              "(kith share ls says how it is)",
                              put->op->op.path);
    if (fs_folder_stands(here, put->ref.path, &file))
        return 0; /* a conflict, which stays there: what is put is kept beside it */
    if (local_name_of(here->core, path, len, &name) != 0 || buf_append_u8(&name, 0) != 0) {
        buf_deinit(&name);
        return KITH_E_MEMORY;
    }
    core_free(put->name);
    core_free(put->folder);
    put->name = (char *)name.data;
    put->folder = core_strndup(here->path, strlen(here->path));
    put->in_folder = true;
    put->expect = file.stat;
    put->expect_any = file.stat.kind != 0;
    return put->folder != NULL ? 0 : KITH_E_MEMORY;
}
