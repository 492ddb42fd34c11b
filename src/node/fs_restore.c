/*
 * RESTORE: what was deleted becomes current again, with the newest content that is still somewhere:
 * in the trash of this node (what lay in its folder when it was deleted may be newer than what
 * others have in theirs), or at some node.
 *
 * First the folder of this node comes to rest there: a deletion that it follows takes a file away
 * and puts it in the trash some time later. Then a thread reads what the trash has; those of its
 * files that are wanted are put like others; what is still deleted after that is published again
 * with what other nodes have.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_changes.h"
#include "node/fs_folder.h"
#include "node/fs_put.h"
#include "node/internal.h"

#define VERSIONS_MAX 64
#define WALK_AT_ONCE 256
#define PUTS_MAX     4 /* at a time */

/* A file of the trash, the newest one of its path. */
struct trashed {
    struct list link; /* of puts, or none */
    struct fs_job job;
    struct restoring *restoring;
    uint64_t id, size;
    uint32_t mode;
    int64_t mtime_ns;
    int fd, code;
    char text[300];
    char path[]; /* in the share */
};

struct restoring {
    struct fs_job job;
    struct fs_sync_wait wait;
    struct node_fs *fs;
    struct fs_op *op;       /* NULL: given up */
    struct maptext trashed; /* struct trashed by path: at or below the path */
    struct list puts;       /* those that are to be put */
    uint32_t putting_n;
    uint64_t put_n;
    int code;
    char text[512];
    struct fs_ref ref; /* points into name */
    char share[FS_SHARE_BYTES_MAX + 1];
    char path[FS_PATH_BYTES_MAX + 1];
    char name[];
};

static void restoring_free(struct restoring *restoring)
{
    size_t at = 0;
    void *one;

    while ((one = maptext_next(&restoring->trashed, &at)) != NULL)
        core_free(one);
    maptext_deinit(&restoring->trashed);
    core_free(restoring);
}

static void fail(struct restoring *restoring, int code, const char *text)
{
    if (restoring->code != 0)
        return;
    restoring->code = code;
    snprintf(restoring->text, sizeof(restoring->text), "%s", text);
}

/* With what went wrong, if nobody gave it up. */
static void end_failed(struct restoring *restoring)
{
    struct fs_op *op = restoring->op;

    if (op != NULL) {
        op->stop = NULL;
        fs_op_fail(op, restoring->code, restoring->text);
    }
    restoring_free(restoring);
}

/* ---- what nodes have ---- */

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
                      struct kith_bytes path)
{
    struct fs_entry former;
    struct change_one *one;

    if (!find_former(fs, share, path, &former))
        return 0;
    one = changes_add(changes, share, path, FS_PUT);
    if (one == NULL)
        return KITH_E_MEMORY;
    struct fs_publication *publication = &one->publishing.publication;
    publication->basis = FS_ON_ALL;
    publication->kind = former.kind;
    publication->mode = former.mode;
    publication->mtime_ns = former.mtime_ns;
    publication->place = former.own & FS_IN_KEEP;
    if (former.kind == FS_FILE) {
        publication->content = former.content;
    } else {
        struct fs_version version;
        fs_known_version(fs->catalogue, former.known, &version);
        one->target = core_strndup(version.target, version.target_len);
        publication->target = one->target;
        publication->target_len = version.target_len;
        if (one->target == NULL)
            return KITH_E_MEMORY;
    }
    return 0;
}

/* ---- what is deleted ---- */

typedef int (*deleted_fn)(struct restoring *restoring, struct kith_bytes path, void *user);

static int each_below(struct restoring *restoring, deleted_fn fn, void *user)
{
    const struct fs_ref *ref = &restoring->ref;
    struct fs_walk walk = {.share = ref->share, .path = ref->whole, .flags = FS_WALK_DELETED};
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    struct fs_listing at = {.begun = false};
    struct buf names = {0};
    int r = walked == NULL ? KITH_E_MEMORY : 0;

    while (r == 0 && !at.ended) {
        size_t n = 0;
        if (fs_catalogue_walk(restoring->fs->catalogue, &walk, &at, walked, WALK_AT_ONCE, &n) != 0)
            break;
        names.len = 0; /* what is asked next uses the core's room for names */
        for (size_t i = 0; i < n && r == 0; i++)
            r = buf_append(&names, walked[i].path, walked[i].path_len);
        for (size_t i = 0, name_at = 0; i < n && r == 0; name_at += walked[i++].path_len) {
            struct kith_bytes one = {names.data + name_at, walked[i].path_len};
            if (one.len > ref->whole.len && walked[i].entry.kind == FS_DELETED)
                r = fn(restoring, one, user);
        }
    }
    buf_deinit(&names);
    core_free(walked);
    return r;
}

static bool is_there(const struct restoring *restoring, struct fs_entry *entry_out)
{
    return fs_catalogue_stat(restoring->fs->catalogue, restoring->ref.share, restoring->ref.whole,
                             entry_out) == 0;
}

/* The path itself and all beneath it, as far as they are deleted. */
static int each_deleted(struct restoring *restoring, deleted_fn fn, void *user)
{
    struct fs_entry entry;
    int r = is_there(restoring, &entry) ? 0 : fn(restoring, restoring->ref.whole, user);

    return r != 0 ? r : each_below(restoring, fn, user);
}

/* ---- from nodes: the last step ---- */

static int add_known(struct restoring *restoring, struct kith_bytes path, void *user)
{
    return add_former(restoring->fs, user, restoring->ref.share, path);
}

static void restore_known(struct restoring *restoring)
{
    struct fs_op *op = restoring->op;
    struct changes *changes = changes_new(op, changes_end_with_entry);
    int r = KITH_E_MEMORY;

    if (changes != NULL)
        r = each_deleted(restoring, add_known, changes);
    if (changes != NULL)
        changes->done_n = restoring->put_n;
    if (r == 0 && changes->n + restoring->put_n == 0)
        r = kith_fail_with(KITH_E_NOT_FOUND,
                           "of %s nothing is left that could be restored: no node has its former "
                           "content, and the trash of this node neither",
                           op->op.path);
    changes_begin(restoring->fs, op, changes, r);
    restoring_free(restoring);
}

/* ---- out of the trash ---- */

static void go_on(struct restoring *restoring);

static void on_put(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct restoring *restoring = user;

    (void)node;
    restoring->putting_n--;
    if (result->code == 0)
        restoring->put_n++;
    else
        fail(restoring, result->code, result->text);
    go_on(restoring);
}

static void open_work(struct fs_job *job)
{
    struct trashed *one = container_of(job, struct trashed, job);

    one->fd = fs_trash_open(job->fs->move->files, one->id);
    if (one->fd < 0) {
        one->code = one->fd;
        snprintf(one->text, sizeof(one->text), "%s", kith_errmsg());
    }
}

static int put(struct node_fs *fs, struct trashed *one)
{
    char path[FS_SHARE_BYTES_MAX + FS_PATH_BYTES_MAX + 2];
    struct kith_fs_op write = {.kind = KITH_FS_WRITE,
                               .path = path,
                               .mode = one->mode,
                               .modified_unix_ns = one->mtime_ns > 0 ? (uint64_t)one->mtime_ns : 0};
    struct fs_op *op;

    snprintf(path, sizeof(path), "%s/%s", one->restoring->share, one->path);
    int r = fs_op_new(fs->node, &write, on_put, one->restoring, &op);
    if (r != 0)
        return r;
    if (fs_op_enlist(fs, op) != 0) {
        core_free(op);
        return KITH_E_MEMORY;
    }
    fs_put_begin(fs, op, PUT_FROM_UPLOAD, one->fd, one->size);
    return 0;
}

static void open_done(struct node_fs *fs, struct fs_job *job)
{
    struct trashed *one = container_of(job, struct trashed, job);
    struct restoring *restoring = one->restoring;

    if (one->code == 0 && restoring->op != NULL && (one->code = put(fs, one)) == 0)
        return;
    if (one->fd >= 0)
        (void)close(one->fd);
    restoring->putting_n--;
    if (one->code != 0)
        fail(restoring, one->code, one->text[0] != '\0' ? one->text : kith_strerror(one->code));
    go_on(restoring);
}

static void go_on(struct restoring *restoring)
{
    struct list *first;

    while (restoring->op != NULL && restoring->code == 0 && restoring->putting_n < PUTS_MAX &&
           (first = list_first(&restoring->puts)) != NULL) {
        struct trashed *one = container_of(first, struct trashed, link);
        list_remove(first);
        restoring->putting_n++;
        one->job.work = open_work;
        one->job.done = open_done;
        fs_job_start(restoring->fs, &one->job);
    }
    if (restoring->putting_n > 0)
        return;
    if (restoring->op == NULL || restoring->code != 0)
        end_failed(restoring);
    else
        restore_known(restoring);
}

/* What the trash has of a path, if nobody has something newer. It is here for certain: it counts
 * as well where it is as old. */
static int choose(struct restoring *restoring, struct kith_bytes path, void *user)
{
    char key[FS_PATH_BYTES_MAX + 1];
    struct fs_entry former;

    (void)user;
    if (path.len == 0 || path.len >= sizeof(key))
        return 0;
    memcpy(key, path.data, path.len);
    key[path.len] = '\0';
    struct trashed *one = maptext_find(&restoring->trashed, key);
    if (one != NULL && (!find_former(restoring->fs, restoring->ref.share, path, &former) ||
                        one->mtime_ns >= former.mtime_ns))
        list_append(&restoring->puts, &one->link);
    return 0;
}

static bool is_wanted(const struct restoring *restoring, const struct fs_trashed *trashed)
{
    size_t len = strlen(restoring->path);

    return trashed->kind == FS_FILE && strcmp(trashed->share, restoring->share) == 0 &&
           strncmp(trashed->name, restoring->path, len) == 0 &&
           (len == 0 || trashed->name[len] == '\0' || trashed->name[len] == '/');
}

static int on_trashed(void *user, const struct fs_trashed *trashed)
{
    struct restoring *restoring = user;
    size_t len = strlen(trashed->name);
    struct trashed *one;

    if (!is_wanted(restoring, trashed) || maptext_find(&restoring->trashed, trashed->name) != NULL)
        return 0; /* the newest comes first */
    one = core_calloc(1, sizeof(*one) + len + 1);
    if (one == NULL)
        return KITH_E_MEMORY;
    one->restoring = restoring;
    one->id = trashed->id;
    one->size = trashed->size;
    one->mode = trashed->mode;
    one->mtime_ns = trashed->mtime_ns;
    one->fd = -1;
    memcpy(one->path, trashed->name, len);
    if (maptext_set(&restoring->trashed, one->path, one) == 0)
        return 0;
    core_free(one);
    return KITH_E_MEMORY;
}

static void look_work(struct fs_job *job)
{
    struct restoring *restoring = container_of(job, struct restoring, job);
    int r = fs_trash_each(job->fs->move->files, on_trashed, restoring);

    if (r != 0)
        fail(restoring, r, r == KITH_E_MEMORY ? kith_strerror(r) : kith_errmsg());
}

static void look_done(struct node_fs *fs, struct fs_job *job)
{
    struct restoring *restoring = container_of(job, struct restoring, job);
    int r = restoring->code;

    (void)fs;
    if (r == 0 && restoring->op != NULL)
        r = each_deleted(restoring, choose, NULL);
    if (r != 0)
        fail(restoring, r, kith_strerror(r));
    go_on(restoring);
}

static void look_in_trash(struct node_fs *fs, struct fs_sync_wait *wait)
{
    struct restoring *restoring = container_of(wait, struct restoring, wait);

    restoring->job.work = look_work;
    restoring->job.done = look_done;
    fs_job_start(fs, &restoring->job);
}

/* ---- the operation ---- */

static void restoring_stop(struct fs_op *op)
{
    struct restoring *restoring = op->state;

    restoring->op = NULL;
    if (list_linked(&restoring->wait.link)) {
        list_remove(&restoring->wait.link);
        restoring_free(restoring);
    }
    /* Else a thread or an operation is under way, and ends it. */
}

static struct restoring *restoring_new(struct node_fs *fs, struct fs_op *op)
{
    size_t len = strlen(op->op.path);
    struct restoring *restoring = core_calloc(1, sizeof(*restoring) + len + 1);

    if (restoring == NULL)
        return NULL;
    memcpy(restoring->name, op->op.path, len);
    (void)fs_ref_parse(restoring->name, &restoring->ref); /* it was parsed before */
    memcpy(restoring->share, restoring->ref.share.data, restoring->ref.share.len);
    memcpy(restoring->path, restoring->ref.whole.data, restoring->ref.whole.len);
    list_init(&restoring->puts);
    restoring->fs = fs;
    restoring->op = op;
    op->state = restoring;
    op->stop = restoring_stop;
    return restoring;
}

void fs_op_restore(struct node_fs *fs, struct fs_op *op)
{
    struct restoring *restoring;
    struct fs_entry entry;
    struct fs_here *here;
    struct fs_ref ref;
    int r = fs_ref_parse(op->op.path, &ref);

    if (r == 0)
        r = changes_check_folder(fs, ref.share);
    if (r != 0) {
        fs_op_fail(op, r, NULL);
        return;
    }
    restoring = restoring_new(fs, op);
    if (restoring == NULL) {
        fs_op_fail(op, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    if (is_there(restoring, &entry) && entry.kind != FS_DIRECTORY) {
        restoring->code = kith_fail_with(
            KITH_E_EXISTS, "%s is there; only what was deleted can be restored", op->op.path);
        snprintf(restoring->text, sizeof(restoring->text), "%s", kith_errmsg());
        end_failed(restoring);
        return;
    }
    here = fs_here_find(fs, ref.share.data, ref.share.len);
    restoring->wait = (struct fs_sync_wait){.path = restoring->path, .done = look_in_trash};
    if (here == NULL || !fs_sync_await(here, &restoring->wait))
        look_in_trash(fs, &restoring->wait);
}
