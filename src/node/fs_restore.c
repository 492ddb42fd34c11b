/*
 * RESTORE: what was deleted becomes current again, with the newest content that somebody still has,
 * the trash of this node among them: what lay in its folder when it was deleted may be newer than
 * what others have in theirs.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_changes.h"
#include "node/fs_put.h"
#include "node/internal.h"

#define VERSIONS_MAX 64
#define WALK_AT_ONCE 256

/* The newest version of a deleted path whose content somebody has. False: there is none. */
static bool find_former(struct node_fs *fs,
                        struct kith_bytes share,
                        struct kith_bytes path,
                        struct fs_entry *former_out)
{
    struct fs_entry versions[VERSIONS_MAX];
    size_t n = fs_catalogue_versions(fs->catalogue, share, path, versions, VERSIONS_MAX);
    bool found = false;

    for (size_t i = 0; i < n && i < VERSIONS_MAX; i++) {
        const struct fs_entry *one = &versions[i];
        bool there = one->kind == FS_SYMLINK ||
                     (one->kind == FS_FILE &&
                      (one->content.size == 0 || one->holders_n > 0 || one->own != FS_NOWHERE));
        if (there && (!found || one->moment > former_out->moment)) {
            *former_out = *one;
            found = true;
        }
    }
    return found;
}

static int add_former(struct node_fs *fs,
                      struct changes *changes,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      const struct fs_entry *former)
{
    struct change_one *one = changes_add(changes, share, path, FS_PUT);

    if (one == NULL)
        return KITH_E_MEMORY;
    struct fs_publication *publication = &one->publishing.publication;
    publication->basis = FS_ON_ALL;
    publication->kind = former->kind;
    publication->mode = former->mode;
    publication->mtime_ns = former->mtime_ns;
    publication->place = former->own & FS_IN_KEEP;
    if (former->kind == FS_FILE) {
        publication->content = former->content;
    } else {
        struct fs_version version;
        fs_known_version(fs->catalogue, former->known, &version);
        one->target = core_strndup(version.target, version.target_len);
        publication->target = one->target;
        publication->target_len = version.target_len;
        if (one->target == NULL)
            return KITH_E_MEMORY;
    }
    return 0;
}

/* Deleted paths beneath a folder. */
static int add_below(struct node_fs *fs,
                     struct changes *changes,
                     struct kith_bytes share,
                     struct kith_bytes path)
{
    struct fs_walk walk = {.share = share, .path = path, .flags = FS_WALK_DELETED};
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    struct fs_listing at = {.begun = false};
    struct fs_entry former;
    struct buf names = {0};
    int r = walked == NULL ? KITH_E_MEMORY : 0;

    while (r == 0 && !at.ended) {
        size_t n = 0;
        if (fs_catalogue_walk(fs->catalogue, &walk, &at, walked, WALK_AT_ONCE, &n) != 0)
            break;
        names.len = 0; /* what is asked next uses the core's room for names */
        for (size_t i = 0; i < n && r == 0; i++)
            r = buf_append(&names, walked[i].path, walked[i].path_len);
        for (size_t i = 0, name_at = 0; i < n && r == 0; name_at += walked[i++].path_len) {
            struct kith_bytes one = {names.data + name_at, walked[i].path_len};
            if (one.len > path.len && walked[i].entry.kind == FS_DELETED &&
                find_former(fs, share, one, &former))
                r = add_former(fs, changes, share, one, &former);
        }
    }
    buf_deinit(&names);
    core_free(walked);
    return r;
}

/* What the catalogue knows of, and who has it. */
static void restore_known(struct node_fs *fs, struct fs_op *op, const struct fs_ref *ref)
{
    struct changes *changes = changes_new(op, changes_end_with_count);
    struct fs_entry former;
    char text[1400];
    int r = 0;

    if (changes == NULL) {
        fs_op_fail(op, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    if (find_former(fs, ref->share, ref->whole, &former))
        r = add_former(fs, changes, ref->share, ref->whole, &former);
    if (r == 0)
        r = add_below(fs, changes, ref->share, ref->whole);
    if (r != 0 || changes->n > 0) {
        changes_begin(fs, op, changes, r);
        return;
    }
    op->stop = NULL;
    changes_free(changes);
    snprintf(
        text, sizeof(text),
        "of %s nothing is left that could be restored: no node has its former content, and the "
        "trash of this node neither",
        op->op.path);
    fs_op_fail(op, KITH_E_NOT_FOUND, text);
}

/* ---- out of the trash ---- */

struct untrash {
    struct fs_job job;
    struct fs_op *op; /* NULL: given up */
    int fd;
    uint64_t size;
    uint32_t mode;
    int64_t mtime_ns;
    char share[FS_SHARE_BYTES_MAX + 1];
    char path[FS_PATH_BYTES_MAX + 1];
};

static int on_trashed(void *user, const struct fs_trashed *trashed)
{
    struct untrash *untrash = user;

    if (strcmp(trashed->share, untrash->share) != 0 || strcmp(trashed->name, untrash->path) != 0 ||
        trashed->kind != FS_FILE)
        return 0;
    untrash->fd = fs_trash_open(untrash->job.fs->move->files, trashed->id);
    untrash->size = trashed->size;
    untrash->mode = trashed->mode;
    untrash->mtime_ns = trashed->mtime_ns;
    return untrash->fd >= 0 ? 1 : 0; /* the newest, which was deleted last */
}

static void untrash_work(struct fs_job *job)
{
    struct untrash *untrash = container_of(job, struct untrash, job);

    (void)fs_trash_each(job->fs->move->files, on_trashed, untrash);
}

static bool is_newer(struct node_fs *fs, const struct untrash *untrash, const struct fs_ref *ref)
{
    struct fs_entry former;

    return untrash->fd >= 0 && (!find_former(fs, ref->share, ref->whole, &former) ||
                                untrash->mtime_ns > former.mtime_ns);
}

static void untrash_done(struct node_fs *fs, struct fs_job *job)
{
    struct untrash *untrash = container_of(job, struct untrash, job);
    struct fs_op *op = untrash->op;
    struct fs_ref ref;

    if (op == NULL) {
        if (untrash->fd >= 0)
            (void)close(untrash->fd);
        core_free(untrash);
        return;
    }
    op->stop = NULL;
    (void)fs_ref_parse(op->op.path, &ref); /* it was parsed before */
    if (is_newer(fs, untrash, &ref)) {
        op->op.mode = untrash->mode;
        op->op.modified_unix_ns = untrash->mtime_ns > 0 ? (uint64_t)untrash->mtime_ns : 0;
        fs_put_begin(fs, op, PUT_FROM_UPLOAD, untrash->fd, untrash->size);
    } else {
        if (untrash->fd >= 0)
            (void)close(untrash->fd);
        restore_known(fs, op, &ref);
    }
    core_free(untrash);
}

static void untrash_stop(struct fs_op *op)
{
    ((struct untrash *)op->state)->op = NULL;
}

static void look_in_trash(struct node_fs *fs, struct fs_op *op, const struct fs_ref *ref)
{
    struct untrash *untrash = core_calloc(1, sizeof(*untrash));

    if (untrash == NULL || ref->whole.len > FS_PATH_BYTES_MAX) {
        core_free(untrash);
        fs_op_fail(op, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    memcpy(untrash->share, ref->share.data, ref->share.len);
    memcpy(untrash->path, ref->whole.data, ref->whole.len);
    untrash->op = op;
    untrash->fd = -1;
    untrash->job.work = untrash_work;
    untrash->job.done = untrash_done;
    op->state = untrash;
    op->stop = untrash_stop;
    fs_job_start(fs, &untrash->job);
}

/* ---- the operation ---- */

void fs_op_restore(struct node_fs *fs, struct fs_op *op)
{
    struct fs_entry entry;
    struct fs_ref ref;
    int r = fs_ref_parse(op->op.path, &ref);

    if (r == 0)
        r = changes_check_folder(fs, ref.share);
    if (r != 0) {
        fs_op_fail(op, r, NULL);
        return;
    }
    if (fs_catalogue_stat(fs->catalogue, ref.share, ref.whole, &entry) == 0 &&
        entry.kind != FS_DIRECTORY) {
        char text[1400];
        snprintf(text, sizeof(text), "%s is there; only what was deleted can be restored",
                 op->op.path);
        fs_op_fail(op, KITH_E_EXISTS, text);
        return;
    }
    look_in_trash(fs, op, &ref);
}
