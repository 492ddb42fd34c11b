/*
 * Operations that change the catalogue without bringing bytes: REMOVE and RESOLVE.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_changes.h"
#include "node/fs_walk.h"
#include "node/internal.h"

/* More than so many, and more than a quarter of the share, are not removed without being asked. */
#define MANY_MIN 20

/* ---- what a path must be now ---- */

int fs_check_hash(const struct kith_fs_op *op, const struct fs_entry *entry)
{
    char hash[KITH_FS_HASH_DIGITS + 1] = "";

    if (op->hash == NULL)
        return 0;
    if (entry != NULL && entry->has_content)
        hex_encode(entry->content.root, FS_ROOT_BYTES, hash);
    if (strcmp(hash, op->hash) == 0)
        return 0;
    return kith_fail_with(
        KITH_E_FENCE, "%s has another content by now; look at it again (kith fs stat)", op->path);
}

static int no_versions(const char *path)
{
    return kith_fail_with(KITH_E_INVALID,
                          "%s names what one node has; leave @NODE away to change the file", path);
}

/* ---- REMOVE ---- */

static int refuse_many(const char *path, size_t n, uint64_t all)
{
    return kith_fail_with(
        KITH_E_AGAIN,
        "%s: that is %zu of the %llu files of the share; if all of them are to go, "
        "say so (--yes)",
        path, n, (unsigned long long)all);
}

struct below {
    struct changes *changes;
    struct kith_bytes share, path;
};

static int add_one_below(void *user, const struct fs_walked *walked)
{
    const struct below *below = user;
    struct kith_bytes one = {walked->path, walked->path_len};

    if (walked->path_len == below->path.len || walked->entry.known == NULL)
        return 0;
    struct change_one *change = changes_add(below->changes, below->share, one, FS_DELETE);
    if (change == NULL)
        return KITH_E_MEMORY;
    change->publishing.publication.basis = FS_ON_ALL;
    return 0;
}

/* Everything beneath a directory, then itself: in the reverse order of their paths. */
static int add_below(struct node_fs *fs,
                     struct changes *changes,
                     struct kith_bytes share,
                     struct kith_bytes path)
{
    struct below below = {.changes = changes, .share = share, .path = path};
    struct fs_walk walk = {.share = share, .path = path};
    int r = fs_each_walked(fs, &walk, add_one_below, &below);

    for (size_t i = 0; i < changes->n / 2; i++) {
        struct change_one *one = changes->all[i];
        changes->all[i] = changes->all[changes->n - 1 - i];
        changes->all[changes->n - 1 - i] = one;
    }
    return r;
}

static int remove_prepare(struct node_fs *fs, struct changes *changes, const struct kith_fs_op *op)
{
    struct kith_node_id node;
    struct fs_entry entry, share;
    struct fs_ref ref;
    int r = fs_find(fs, op->path, &ref, &node, &entry);

    if (r != 0)
        return r;
    if (ref.path.len != ref.whole.len)
        return no_versions(op->path);
    if (entry.is_conflict)
        return kith_fail_with(
            KITH_E_INVALID,
            "%s is one of several versions of a file: kith fs conflicts keep PATH "
            "says which of them stays",
            op->path);
    if (ref.path.len == 0)
        return kith_fail_with(
            KITH_E_INVALID,
            "%s is a share: kith share rm ends it on a node, and what is in it is "
            "removed by kith fs rm %s/NAME",
            op->path, op->path);
    r = changes_check_folder(fs, ref.share);
    if (r == 0)
        r = fs_check_hash(op, &entry);
    if (r == 0 && entry.kind == FS_DIRECTORY) {
        if (!op->recursive && entry.below_n > 0)
            return kith_fail_with(KITH_E_INVALID,
                                  "%s is a directory with %llu files in it: --recursive removes it "
                                  "with them",
                                  op->path, (unsigned long long)entry.below_n);
        r = add_below(fs, changes, ref.share, ref.path);
        if (r == 0 &&
            fs_catalogue_stat(fs->catalogue, ref.share, (struct kith_bytes){"", 0}, &share) == 0 &&
            !op->many && entry.below_n >= MANY_MIN && entry.below_n * 4 > share.below_n)
            return refuse_many(op->path, (size_t)entry.below_n, share.below_n);
    }
    if (r == 0 && entry.known != NULL &&
        changes_add(changes, ref.share, ref.path, FS_DELETE) == NULL)
        r = KITH_E_MEMORY;
    return r;
}

void fs_op_remove(struct node_fs *fs, struct fs_op *op)
{
    struct changes *changes = changes_new(op, changes_end_with_count);
    int r = changes == NULL ? KITH_E_MEMORY : remove_prepare(fs, changes, &op->op);

    changes_begin(fs, op, changes, r);
}

/* ---- RESOLVE ---- */

/* The path of which SHARE/@path.conflict-TIME-NODE is a version. */
static struct kith_bytes path_of_conflict(struct kith_bytes path)
{
    static const char mark[] = ".conflict-";

    for (size_t i = path.len; i >= sizeof(mark); i--) {
        const char *at = (const char *)path.data + i - sizeof(mark) + 1;
        if (memcmp(at, mark, sizeof(mark) - 1) == 0)
            return (struct kith_bytes){path.data, i - sizeof(mark) + 1};
    }
    return path;
}

static int resolve_prepare(struct node_fs *fs, struct changes *changes, const struct kith_fs_op *op)
{
    struct fs_ref ref;
    struct fs_entry entry;
    struct change_one *one;
    int r = fs_find(fs, op->path, &ref, NULL, &entry);

    if (r != 0)
        return r;
    if (ref.path.len != ref.whole.len)
        return no_versions(op->path);
    if (!entry.is_conflict && entry.conflicts_n == 0)
        return kith_fail_with(KITH_E_NOT_FOUND, "%s has one version only", op->path);
    r = changes_check_folder(fs, ref.share);
    if (r != 0)
        return r;
    struct kith_bytes path = entry.is_conflict ? path_of_conflict(ref.path) : ref.path;
    uint64_t version_id = entry.version_id;
    if (op->both) {
        if (!entry.is_conflict || !entry.has_content)
            return kith_fail_with(KITH_E_INVALID,
                                  "%s: to keep both, name the version that is to be a file of its "
                                  "own (kith fs conflicts lists it)",
                                  op->path);
        one = changes_add(changes, ref.share, ref.path, FS_PUT);
        if (one == NULL)
            return KITH_E_MEMORY;
        one->publishing.publication.kind = FS_FILE;
        one->publishing.publication.content = entry.content;
        one->publishing.publication.mode = entry.mode;
        one->publishing.publication.mtime_ns = entry.mtime_ns;
        one->publishing.publication.place = entry.own;
        r = fs_catalogue_stat(fs->catalogue, ref.share, path, &entry);
        if (r != 0)
            return r;
        version_id = entry.version_id;
    }
    one = changes_add(changes, ref.share, path, FS_RESOLVE);
    if (one == NULL)
        return KITH_E_MEMORY;
    one->publishing.publication.basis = FS_ON_ALL;
    one->publishing.publication.version_id = version_id;
    one->publishing.publication.place = entry.own;
    return 0;
}

void fs_op_resolve(struct node_fs *fs, struct fs_op *op)
{
    struct changes *changes = changes_new(op, changes_end_with_entry);
    int r = changes == NULL ? KITH_E_MEMORY : resolve_prepare(fs, changes, &op->op);

    changes_begin(fs, op, changes, r);
}
