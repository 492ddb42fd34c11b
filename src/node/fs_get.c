/*
 * GET: a content becomes a file of this machine, whole or not at all. Its chunks are asked for many
 * ahead (fs_copies.c) and written as they come; then the file is synced and gets its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define PROGRESS_MS 100

/* ---- progress ---- */

void fs_op_progress(struct fs_op *op,
                    const struct fs_copy *copy,
                    uint64_t done_bytes,
                    uint64_t all_bytes,
                    uint64_t began_ms,
                    uint64_t *told_ms)
{
    struct kith_fs_source sources[FS_FETCH_HOLDERS_MAX];
    char names[FS_FETCH_HOLDERS_MAX][KITH_NODE_ID_DIGITS + 1];
    const struct fs_sources *from = copy != NULL ? fs_copy_sources(copy) : NULL;
    uint64_t now_ms = node_now_ms(), ms = now_ms - began_ms + 1;
    struct kith_fs_progress progress = {.done_bytes = done_bytes,
                                        .all_bytes = all_bytes,
                                        .bytes_per_s = done_bytes * 1000 / ms,
                                        .left_ms = UINT64_MAX,
                                        .holders = sources,
                                        .text = ""};

    if (op->op.on_progress == NULL || now_ms - *told_ms < PROGRESS_MS)
        return;
    *told_ms = now_ms;
    if (progress.bytes_per_s > 0 && all_bytes >= done_bytes)
        progress.left_ms = (all_bytes - done_bytes) * 1000 / progress.bytes_per_s;
    if (from != NULL)
        progress.holders_n = fs_sources_tell(op->node->fs, from, ms, sources, names);
    op->op.on_progress(op->node, &progress, op->user);
}

/* ---- the file ---- */

struct get {
    struct fs_op *op; /* NULL: it has been given up */
    struct fs_job job;
    struct fs_copy copy;
    uint32_t mode;
    int fd;
    char *temporary;
    char *local;
    uint64_t began_ms, told_ms;
    struct fs_sources from;
    bool copying;
    int code;
    char text[600];
};

static void get_free(struct get *get)
{
    if (get->fd >= 0)
        (void)close(get->fd);
    core_free(get->temporary);
    core_free(get->local);
    core_free(get);
}

static void get_fail(struct get *get, int code, const char *text)
{
    if (get->code != 0)
        return;
    get->code = code;
    snprintf(get->text, sizeof(get->text), "%.500s", text);
}

static void get_errno(struct get *get)
{
    int code = errno == EACCES || errno == EPERM ? KITH_E_PERMISSION
               : errno == ENOENT                 ? KITH_E_NOT_FOUND
                                                 : KITH_E_IO;
    char text[512];

    snprintf(text, sizeof(text), "%s cannot be written: %s%s", get->local, strerror(errno),
             core_errno_advice(errno));
    get_fail(get, code, text);
}

/* The last job of it, on a thread: the file gets its name, or goes. */
static void end_work(struct fs_job *job)
{
    struct get *get = container_of(job, struct get, job);

    if (get->code == 0 && (fchmod(get->fd, get->mode & 0777) != 0 || fsync(get->fd) != 0 ||
                           rename(get->temporary, get->local) != 0))
        get_errno(get);
    if (get->code != 0 && get->fd >= 0)
        (void)unlink(get->temporary);
}

static void end_done(struct node_fs *fs, struct fs_job *job)
{
    struct get *get = container_of(job, struct get, job);
    struct fs_op *op = get->op;
    struct fs_box *box = NULL;
    int code = get->code;
    char text[sizeof(get->text)];

    memcpy(text, get->text, sizeof(text));
    if (op != NULL && code == 0 && fs_box_of(fs, op->op.path, &box) != 0)
        box = fs_box_new();
    if (box != NULL)
        fs_box_sources(fs, box, &get->from, node_now_ms() - get->began_ms);
    get_free(get);
    if (op == NULL)
        return;
    op->stop = NULL;
    if (box != NULL)
        fs_op_done(op, box);
    else
        fs_op_fail(op, code != 0 ? code : KITH_E_MEMORY, text);
}

static void get_end(struct node_fs *fs, struct get *get)
{
    get->job.work = end_work;
    get->job.done = end_done;
    fs_job_start(fs, &get->job);
}

static void on_copied(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct get *get = container_of(copy, struct get, copy);

    get->copying = false;
    get->fd = copy->fd;
    get->from = copy->from;
    if (code != 0) {
        char whole[600];
        snprintf(whole, sizeof(whole), "%s: %.500s", get->op->op.path, text);
        get_fail(get, code, whole);
    }
    get_end(fs, get);
}

static void on_written(struct node_fs *fs, struct fs_copy *copy)
{
    struct get *get = container_of(copy, struct get, copy);

    (void)fs;
    fs_op_progress(get->op, copy, copy->done_bytes, copy->content.size, get->began_ms,
                   &get->told_ms);
}

static void open_work(struct fs_job *job)
{
    struct get *get = container_of(job, struct get, job);

    get->fd = open(get->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (get->fd < 0)
        get_errno(get);
    /* Holes are not written. */
    else if (ftruncate(get->fd, (off_t)get->copy.content.size) != 0)
        get_errno(get);
}

static void open_done(struct node_fs *fs, struct fs_job *job)
{
    struct get *get = container_of(job, struct get, job);

    if (get->op == NULL || fs->stopping)
        get_fail(get, KITH_E_CANCELED, "");
    if (get->code != 0) {
        get_end(fs, get);
        return;
    }
    get->copy.fd = get->fd;
    get->fd = -1;
    get->copying = true;
    fs_copy_start(fs, &get->copy);
}

static void get_stop(struct fs_op *op)
{
    struct get *get = op->state;

    get->op = NULL;
    get_fail(get, KITH_E_CANCELED, "");
    if (!get->copying)
        return; /* the job that is under way ends it */
    get->copying = false;
    get->fd = fs_copy_cancel(op->node->fs, &get->copy);
    get_end(op->node->fs, get);
}

static struct get *get_new(struct fs_op *op)
{
    size_t bytes = strlen(op->op.local) + 40;
    struct get *get = core_calloc(1, sizeof(*get));

    if (get == NULL)
        return NULL;
    get->fd = -1;
    get->local = core_strndup(op->op.local, strlen(op->op.local));
    get->temporary = core_malloc(bytes);
    if (get->local == NULL || get->temporary == NULL) {
        get_free(get);
        return NULL;
    }
    snprintf(get->temporary, bytes, "%s.%llu.part", get->local, (unsigned long long)op->id);
    get->op = op;
    get->began_ms = node_now_ms();
    return get;
}

void fs_op_get(struct node_fs *fs, struct fs_op *op)
{
    struct content content;
    struct fs_entry entry;
    struct fs_ref ref;
    int r = fs_content_of(fs, &op->op, &content);
    struct get *get = r == 0 ? get_new(op) : NULL;

    if (get == NULL) {
        fs_op_fail(op, r != 0 ? r : KITH_E_MEMORY, NULL);
        return;
    }
    get->mode = fs_find(fs, op->op.path, &ref, NULL, &entry) == 0 ? entry.mode : 0644;
    get->copy = (struct fs_copy){.content = content,
                                 .priority = FETCH_ORDINARY,
                                 .waits = op->op.timeout_ms != 0,
                                 .target = FS_COPY_FILE,
                                 .progress = on_written,
                                 .done = on_copied};
    op->state = get;
    op->stop = get_stop;
    get->job.work = open_work;
    get->job.done = open_done;
    fs_job_start(fs, &get->job);
}
