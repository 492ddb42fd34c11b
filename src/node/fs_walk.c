#include "node/fs_walk.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"

#define WALK_AT_ONCE 256

int fs_each_walked(struct node_fs *fs, const struct fs_walk *walk, fs_walked_fn each, void *user)
{
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    struct fs_listing at = {.begun = false};
    int r = walked == NULL ? KITH_E_MEMORY : 0;

    while (r == 0 && !at.ended) {
        size_t n = 0;
        r = fs_catalogue_walk(fs->catalogue, walk, &at, walked, WALK_AT_ONCE, &n);
        for (size_t i = 0; i < n && r == 0; i++)
            r = each(user, &walked[i]);
    }
    core_free(walked);
    return r;
}

struct files {
    fs_each_file_fn each;
    void *user;
};

static int each_file(void *user, const struct fs_walked *walked)
{
    const struct files *files = user;

    if (!walked->entry.has_content)
        return 0;
    return files->each(files->user, (struct kith_bytes){walked->share, strlen(walked->share)},
                       (struct kith_bytes){walked->path, walked->path_len}, &walked->entry.content);
}

int fs_each_file(struct node_fs *fs,
                 struct kith_bytes share,
                 struct kith_bytes path,
                 fs_each_file_fn each,
                 void *user)
{
    struct files files = {.each = each, .user = user};
    struct fs_walk walk = {.share = share, .path = path};
    struct fs_entry entry = {.kind = FS_DIRECTORY};

    if (share.len > 0 && fs_catalogue_stat(fs->catalogue, share, path, &entry) != 0)
        return 0; /* nothing yet */
    if (entry.has_content)
        return each(user, share, path, &entry.content);
    return entry.kind == FS_DIRECTORY ? fs_each_walked(fs, &walk, each_file, &files) : 0;
}
