/*
 * Files that come piece by piece (kith_upload_*): each piece is written by a thread behind the ones
 * before it, and the whole becomes a path as WRITE does.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_put.h"
#include "node/internal.h"

struct kith_upload {
    struct kith_node *node;
    struct node_request request;
    struct fs_job job;
    struct list link; /* of those of the node */
    bool listed;
    int fd; /* -1: nothing came yet */
    uint64_t size;
    uint8_t *data; /* the piece that is being written */
    size_t len;
    int code;
    char text[512];
    kith_fs_cb cb;
    void *user;
    struct fs_op *op; /* of the commit */
};

static void upload_free(struct kith_upload *upload)
{
    if (upload->fd >= 0)
        (void)close(upload->fd);
    core_free(upload->data);
    atomic_fetch_sub(&upload->node->fs->uploads_n, 1);
    core_free(upload);
}

int kith_upload_open(struct kith_node *node, struct kith_upload **upload_out)
{
    struct kith_upload *upload;

    if (node->fs == NULL)
        return node_fs_absent();
    upload = core_calloc(1, sizeof(*upload));
    if (upload == NULL)
        return KITH_E_MEMORY;
    if (!node_enter(node)) {
        core_free(upload);
        return KITH_E_STOPPED;
    }
    node_exit(node);
    upload->node = node;
    upload->fd = -1;
    if (atomic_fetch_add(&node->fs->uploads_n, 1) >= FS_UPLOADS_MAX) {
        upload_free(upload);
        return kith_fail_with(
            KITH_E_LIMIT, "%d files are being brought to this node, which is the limit; end some",
            FS_UPLOADS_MAX);
    }
    *upload_out = upload;
    return 0;
}

/* ---- pieces ---- */

static void piece_work(struct fs_job *job)
{
    struct kith_upload *upload = container_of(job, struct kith_upload, job);
    int r = 0;

    if (upload->fd < 0)
        upload->fd = fs_temp_open(job->fs->move->files, upload->len);
    if (upload->fd < 0)
        r = upload->fd;
    else if ((r = fs_files_room(job->fs->move->files, upload->len)) == 0)
        r = fs_write_all(upload->fd, upload->data, upload->len, upload->size);
    if (r == 0) {
        upload->size += upload->len;
        return;
    }
    upload->code = r;
    snprintf(upload->text, sizeof(upload->text), "%s", kith_errmsg());
}

static void piece_tell(struct kith_node *node, struct kith_upload *upload)
{
    struct kith_fs_result result = {.code = upload->code, .text = upload->text, .next = ""};

    core_free(upload->data);
    upload->data = NULL;
    upload->cb(node, &result, upload->user); /* it may be dropped or gone from here on */
}

static void piece_done(struct node_fs *fs, struct fs_job *job)
{
    struct kith_upload *upload = container_of(job, struct kith_upload, job);

    if (fs->stopping && upload->code == 0) {
        upload->code = KITH_E_STOPPED;
        snprintf(upload->text, sizeof(upload->text), "the node stops");
    }
    piece_tell(fs->node, upload);
}

static void piece_run(struct kith_node *node, struct node_request *request)
{
    struct kith_upload *upload = container_of(request, struct kith_upload, request);

    if (upload->code != 0 || node->ending) { /* what failed once stays so */
        if (upload->code == 0) {
            upload->code = KITH_E_STOPPED;
            snprintf(upload->text, sizeof(upload->text), "the node stops");
        }
        piece_tell(node, upload);
        return;
    }
    upload->job.work = piece_work;
    upload->job.done = piece_done;
    fs_job_start(node->fs, &upload->job);
}

int kith_upload_write_async(
    struct kith_upload *upload, const void *data, size_t len, kith_fs_cb cb, void *user)
{
    struct kith_node *node = upload->node;

    if (len > KITH_FS_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "a piece has at most 16 MiB");
    if (upload->data != NULL)
        return kith_fail_with(KITH_E_BUSY, "the piece before this one is not written yet");
    upload->data = core_malloc(len > 0 ? len : 1);
    if (upload->data == NULL)
        return KITH_E_MEMORY;
    if (!node_enter(node)) {
        core_free(upload->data);
        upload->data = NULL;
        return KITH_E_STOPPED;
    }
    if (len > 0)
        memcpy(upload->data, data, len);
    upload->len = len;
    upload->cb = cb;
    upload->user = user;
    upload->request.run = piece_run;
    node_push(node, &upload->request);
    node_exit(node);
    return 0;
}

struct waiting {
    sem_t done;
    int code;
    char text[512];
};

static void on_waited(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct waiting *waiting = user;

    (void)node;
    waiting->code = result->code;
    snprintf(waiting->text, sizeof(waiting->text), "%s", result->text);
    sem_post(&waiting->done);
}

int kith_upload_write(struct kith_upload *upload, const void *data, size_t len)
{
    struct waiting waiting = {.code = 0};

    if (node_on_loop(upload->node))
        return node_fail_would_deadlock("kith_upload_write");
    sem_init(&waiting.done, 0, 0);
    int r = kith_upload_write_async(upload, data, len, on_waited, &waiting);
    if (r == 0)
        node_sem_wait(&waiting.done);
    sem_destroy(&waiting.done);
    if (r == 0 && waiting.code != 0)
        r = kith_fail_with(waiting.code, "%s", waiting.text);
    return r;
}

/* ---- the end ---- */

static void drop_run(struct kith_node *node, struct node_request *request)
{
    (void)node;
    upload_free(container_of(request, struct kith_upload, request));
}

void kith_upload_drop(struct kith_upload *upload)
{
    if (upload == NULL)
        return;
    upload->request.run = drop_run;
    node_push(upload->node, &upload->request);
}

static void commit_run(struct kith_node *node, struct node_request *request)
{
    struct kith_upload *upload = container_of(request, struct kith_upload, request);
    struct fs_op *op = upload->op;
    int fd = upload->fd, code = upload->code;
    uint64_t size = upload->size;
    char text[512];

    memcpy(text, upload->text, sizeof(text));
    upload->fd = -1;
    upload_free(upload);
    if (code == 0 && node->ending) {
        code = KITH_E_STOPPED;
        snprintf(text, sizeof(text), "the node stops");
    }
    if (code == 0)
        code = fs_op_enlist(node->fs, op);
    if (code == 0) {
        fs_put_begin(node->fs, op, PUT_FROM_UPLOAD, fd, size);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
    fs_op_fail(op, code, text[0] != '\0' ? text : NULL);
}

int kith_upload_commit_async(struct kith_upload *upload,
                             const struct kith_fs_op *op,
                             kith_fs_cb cb,
                             void *user)
{
    struct kith_node *node = upload->node;
    struct kith_fs_op write = {.kind = KITH_FS_WRITE,
                               .path = op->path,
                               .hash = op->hash,
                               .create_only = op->create_only,
                               .mode = op->mode,
                               .modified_unix_ns = op->modified_unix_ns};
    int r = node_fs_check_op(&write);

    if (r == 0)
        r = fs_op_new(node, &write, cb, user, &upload->op);
    if (r != 0)
        return r;
    if (!node_enter(node)) {
        core_free(upload->op);
        upload->op = NULL;
        return KITH_E_STOPPED;
    }
    upload->request.run = commit_run;
    node_push(node, &upload->request);
    node_exit(node);
    return 0;
}
