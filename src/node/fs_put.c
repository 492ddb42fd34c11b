/*
 * PUT, WRITE, APPEND and uploads: bytes go to a temporary file, are hashed, and become a content of
 * the keep, or a file in the folder that this node shares; then the version is published. Every
 * step is synced before the next (protocols 5.9), so what is acknowledged is durable.
 *
 * A path is written by one operation of this node at a time.
 */
#include "node/fs_put.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_lists.h"
#include "node/internal.h"

#define MODE_DEFAULT 0644
#define COPY_BYTES   (1u * 1024 * 1024)
#define HELD_MS      15000 /* longer than a file that is written takes to settle */
#define HELD_STEP_MS 50

/* ---- the line of a path ---- */

static void put_free(struct fs_putting *put)
{
    if (put->fd >= 0)
        (void)close(put->fd);
    fs_where_deinit(&put->where);
    buf_deinit(&put->hash.list);
    core_free(put->piece);
    core_free(put->folder);
    core_free(put->name);
    core_free(put->path);
    core_free(put->local);
    core_free(put);
}

void fs_put_fail(struct fs_putting *put, int code, const char *text)
{
    if (put->code != 0)
        return;
    put->code = code;
    snprintf(put->text, sizeof(put->text), "%s", text);
}

static void put_start(struct node_fs *fs, struct fs_putting *put);
static bool hold(struct node_fs *fs, struct fs_putting *put, int code);
static void go_on(struct node_fs *fs, struct fs_putting *put);

struct next_in_line {
    struct fs_todo todo;
};

static void next_run(struct node_fs *fs, struct fs_todo *todo)
{
    core_free(container_of(todo, struct next_in_line, todo));
    list_for_each_safe (it, &fs->puts) {
        struct fs_putting *put = container_of(it, struct fs_putting, link);
        bool first = true;
        for (struct list *at = fs->puts.next; at != it && first; at = at->next)
            first = strcmp(container_of(at, struct fs_putting, link)->path, put->path) != 0;
        if (put->begun || !first)
            continue;
        put_start(fs, put);
        return;
    }
}

/* What the path had may be named by nothing now; what it was to have, if it failed, too. */
static void let_go(struct node_fs *fs, struct fs_putting *put)
{
    if (put->guarded)
        fs_unguard(fs, put->guard);
    if (put->guarded)
        fs_sweep_look(fs, &put->hash.content);
    if (put->has_base)
        fs_sweep_look(fs, &put->base);
}

static void tell(struct node_fs *fs, struct fs_op *op, int code, const char *text, bool ignored)
{
    struct fs_box *box = NULL;

    if (op == NULL)
        return;
    op->stop = NULL;
    if (code == 0)
        code = fs_box_of(fs, op->op.path, &box);
    if (code == 0) {
        box->result.counted_n = 1;
        box->result.ignored = ignored;
        fs_op_done(op, box);
    } else {
        fs_op_fail(op, code, text[0] != '\0' ? text : NULL);
    }
}

void fs_put_end(struct node_fs *fs, struct fs_putting *put)
{
    struct next_in_line *next = core_calloc(1, sizeof(*next));
    struct list ended, *first;
    int code = put->code;
    bool ignored = put->ignored;
    char text[sizeof(put->text)];

    memcpy(text, put->text, sizeof(text));
    list_init(&ended);
    list_remove(&put->link);
    list_append(&ended, &put->link);
    list_splice(&ended, &put->along);
    fs_enter(fs);
    let_go(fs, put);
    if (next != NULL) {
        next->todo.run = next_run;
        fs_later(fs, &next->todo);
    }
    while ((first = list_first(&ended)) != NULL) {
        struct fs_putting *one = container_of(first, struct fs_putting, link);
        struct fs_op *op = one->op;
        list_remove(first);
        put_free(one);
        tell(fs, op, code, text, ignored);
    }
    fs_leave(fs);
}

/* ---- the end: published ---- */

static void on_published(struct node_fs *fs,
                         struct fs_publishing *publishing,
                         int code,
                         const char *text,
                         uint64_t version_id)
{
    struct fs_putting *put = container_of(publishing, struct fs_putting, publishing);
    struct fs_here *here = fs_here_find(fs, put->ref.share.data, put->ref.share.len);
    struct local_event written = {.type = LOCAL_WRITTEN,
                                  .name = put->ref.path.data,
                                  .name_len = put->ref.path.len,
                                  .before = put->placed,
                                  .began_wall_ns = put->placed_wall_ns,
                                  .content = put->hash.content};

    (void)version_id;
    if (code != 0)
        fs_put_fail(put, code, text);
    else if (put->in_folder && here != NULL)
        fs_here_step(here, &written);
    fs_put_end(fs, put);
}

void fs_put_publish(struct node_fs *fs, struct fs_putting *put)
{
    struct fs_kept *kept = put->in_folder ? NULL : fs_kept_get(fs, &put->hash.content);

    if (kept != NULL) {
        kept->scrubbed_wall_ms =
            put->read_wall_ms != 0 ? put->read_wall_ms : node_turn_unix_ms(fs->node);
        kept->unreferenced_wall_ms = 0;
        fs_kept_store(fs, kept);
    }
    put->publishing.done = on_published;
    put->publishing.publication =
        (struct fs_publication){.change = FS_PUT,
                                .basis = FS_ON_CURRENT,
                                .place = put->in_folder ? FS_IN_FOLDER : FS_IN_KEEP,
                                .kind = FS_FILE,
                                .share = put->ref.share.data,
                                .share_len = (uint32_t)put->ref.share.len,
                                .path = put->ref.path.data,
                                .path_len = (uint32_t)put->ref.path.len,
                                .mode = put->mode & 07777,
                                .mtime_ns = (int64_t)put->mtime_ns,
                                .content = put->hash.content};
    /* What was looked at must be what is replaced: an APPEND above all. */
    if (put->source == PUT_APPEND || put->op == NULL || put->op->op.hash != NULL ||
        put->op->op.create_only)
        put->publishing.publication.only_if = put->only_if;
    if (fs_publish(fs, &put->publishing) == 0)
        return;
    fs_put_fail(put, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
    fs_put_end(fs, put);
}

/* ---- into its place ---- */

static void place_in_folder(struct fs_job *job, struct fs_putting *put)
{
    struct fs_folder folder;
    struct fs_placing placing = {.folder = &folder,
                                 .name = put->name,
                                 .expect = put->expect_any ? &put->expect : NULL,
                                 .share = "",
                                 .kind = FS_FILE,
                                 .mode = put->mode,
                                 .mtime_ns = (int64_t)put->mtime_ns,
                                 .fd = put->fd,
                                 .size = put->hash.content.size};
    char share[FS_SHARE_BYTES_MAX + 1];
    int r = fs_folder_open(&folder, put->folder);

    snprintf(share, sizeof(share), "%.*s", (int)put->ref.share.len,
             (const char *)put->ref.share.data);
    placing.share = share;
    if (r == 0) {
        r = fs_place(job->fs->move->files, &placing, &put->placed);
        put->placed_wall_ns = fs_wall_ns();
        fs_folder_close(&folder);
    }
    if (r != 0)
        fs_put_fail(put, r, kith_errmsg());
}

static void place_work(struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);
    int r;

    if (put->hash.list.len > 0)
        fs_list_keep(job->fs, &put->hash.content,
                     (struct kith_bytes){put->hash.list.data, put->hash.list.len});
    if (put->in_folder) {
        place_in_folder(job, put);
        return;
    }
    memcpy(put->guard, put->hash.content.root, sizeof(put->guard));
    put->guarded = true;
    fs_guard(job->fs, put->guard);
    r = fs_temp_keep(job->fs->move->files, put->guard, put->fd);
    put->fd = -1; /* it is closed whatever happens */
    if (r != 0)
        fs_put_fail(put, r, kith_errmsg());
}

static void place_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);

    if (put->code == KITH_E_AGAIN && !fs->stopping && put->op != NULL && hold(fs, put, put->code)) {
        put->code = 0; /* the folder had something else than was seen: look again */
        return;
    }
    if (put->code != 0 || fs->stopping) {
        fs_put_fail(put, KITH_E_STOPPED, "the node stops");
        fs_put_end(fs, put);
        return;
    }
    if (!put->in_folder)
        fs->move->keep_bytes += put->hash.content.size;
    fs_put_publish(fs, put);
}

/* True: it is tried again in a moment, for as long as a file takes to come to rest. */
static bool hold(struct node_fs *fs, struct fs_putting *put, int code)
{
    uint64_t now_ms = node_boot_ms();

    if (code != KITH_E_AGAIN)
        return false;
    if (put->held_end_ms == 0)
        put->held_end_ms = now_ms + HELD_MS;
    if (now_ms >= put->held_end_ms)
        return false;
    put->held = true;
    put->held_ms = now_ms + HELD_STEP_MS;
    fs_arm(fs);
    return true;
}

uint64_t fs_puts_deadline_ms(struct node_fs *fs)
{
    uint64_t due_ms = UINT64_MAX;

    list_for_each (it, &fs->puts) {
        const struct fs_putting *put = container_of(it, struct fs_putting, link);
        if (put->held && put->held_ms < due_ms)
            due_ms = put->held_ms;
    }
    return due_ms;
}

void fs_puts_tick(struct node_fs *fs, uint64_t now_ms)
{
    struct list *it = fs->puts.next;

    while (it != &fs->puts) {
        struct fs_putting *put = container_of(it, struct fs_putting, link);
        it = it->next;
        if (!put->held || put->held_ms > now_ms)
            continue;
        put->held = false;
        go_on(fs, put);
        it = fs->puts.next; /* others may have ended by it */
    }
}

/* Filled and hashed: the conditions are looked at once more, then it goes where it belongs. */
static void filled(struct node_fs *fs, struct fs_job *job)
{
    go_on(fs, container_of(job, struct fs_putting, job));
}

static void go_on(struct node_fs *fs, struct fs_putting *put)
{
    int r = put->code;
    struct content base = put->base;

    if (r == 0 && put->op == NULL)
        fs_put_fail(put, r = KITH_E_CANCELED, "cancelled");
    if (r == 0) {
        r = fs_put_check_path(fs, put);
        if (r == 0 && put->source == PUT_APPEND && put->has_base &&
            !content_equal(&base, &put->base))
            r = kith_fail_with(KITH_E_FENCE, "%s was changed meanwhile; try again",
                               put->op->op.path);
        if (r == 0)
            r = fs_put_check_folder(fs, put);
        if (r != 0 && hold(fs, put, r))
            return;
        if (r != 0)
            fs_put_fail(put, r, kith_errmsg());
    }
    if (r != 0) {
        fs_put_end(fs, put);
        return;
    }
    put->job.work = place_work;
    put->job.done = place_done;
    fs_job_start(fs, &put->job);
}

/* ---- filling the temporary file ---- */

static void cannot_read(struct fs_putting *put, const char *path)
{
    char text[512];

    snprintf(text, sizeof(text), "%s cannot be read: %s", path, strerror(errno));
    fs_put_fail(put,
                errno == ENOENT   ? KITH_E_NOT_FOUND
                : errno == EACCES ? KITH_E_PERMISSION
                                  : KITH_E_IO,
                text);
}

/* Copies the file `local`; what it is while it is copied is what is published. */
static void copy_file(struct fs_job *job, struct fs_putting *put)
{
    const char *local = put->local;
    int from = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (from < 0 || fstat(from, &st) != 0) {
        cannot_read(put, local);
    } else if (!S_ISREG(st.st_mode)) {
        fs_put_fail(put, KITH_E_UNSUPPORTED, "only files can be put: that is none");
    } else {
        put->fd = fs_temp_open(job->fs->move->files, (uint64_t)st.st_size);
        if (put->fd < 0)
            fs_put_fail(put, put->fd, kith_errmsg());
        if (put->mode == 0)
            put->mode = st.st_mode & 0777;
        put->mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        put->piece = core_malloc(COPY_BYTES);
        while (put->code == 0) {
            ssize_t n = put->piece != NULL ? read(from, put->piece, COPY_BYTES) : -1;
            if (n < 0)
                cannot_read(put, local);
            if (n <= 0)
                break;
            int r = fs_write_all(put->fd, put->piece, (size_t)n, put->size);
            if (r != 0)
                fs_put_fail(put, r, kith_errmsg());
            put->size += (uint64_t)n;
        }
    }
    if (from >= 0)
        (void)close(from);
}

/* On a thread: the operation's own data goes behind what is there; then all of it is hashed. */
static void fill_work(struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);
    int r;

    if (put->source == PUT_FROM_FILE) {
        copy_file(job, put);
    } else if (put->data_len > 0 || put->fd < 0) {
        if (put->fd < 0)
            put->fd = fs_temp_open(job->fs->move->files, put->size + put->data_len);
        r = put->fd < 0 ? put->fd : fs_write_all(put->fd, put->data, put->data_len, put->size);
        if (r != 0)
            fs_put_fail(put, r, kith_errmsg());
        put->size += put->data_len;
    }
    if (put->code != 0)
        return;
    r = fs_hash_fd(put->fd, NULL, CONTENT_BLAKE2B_256, NULL, &put->hash);
    if (r != 0)
        fs_put_fail(put, r, kith_errmsg());
}

void fs_put_fill(struct node_fs *fs, struct fs_putting *put)
{
    put->job.work = fill_work;
    put->job.done = filled;
    fs_job_start(fs, &put->job);
}

/* ---- the beginning ---- */

static void put_stop(struct fs_op *op)
{
    struct fs_putting *put = op->state;

    put->op = NULL;
    if (!put->begun) {
        list_remove(&put->link);
        put_free(put);
    } else if (put->held) {
        fs_put_fail(put, KITH_E_CANCELED, "cancelled");
        fs_put_end(put->fs, put);
    } else if (put->reading_now) {
        put->reading_now = false;
        fs_read_cancel(put->fs, &put->reading);
        fs_put_fail(put, KITH_E_CANCELED, "cancelled");
        fs_put_end(put->fs, put);
    }
    /* Else a thread or a publication is under way, and ends it. */
}

static void put_start(struct node_fs *fs, struct fs_putting *put)
{
    put->begun = true;
    put->mode = put->op->op.mode;
    put->mtime_ns = put->op->op.modified_unix_ns != 0 ? put->op->op.modified_unix_ns
                                                      : node_turn_unix_ms(fs->node) * 1000000;
    int r = fs_put_check_path(fs, put);
    if (r == 0)
        r = fs_put_check_folder(fs, put);
    if (r == KITH_E_AGAIN) /* it is looked at once more when the bytes are there */
        r = 0;
    if (r == 0 && fs->node->state.disk_full)
        r = kith_fail_with(KITH_E_IO,
                           "the disk of this node is full: nothing can be kept; make room on it");
    if (r != 0) {
        fs_put_fail(put, r, kith_errmsg());
        fs_put_end(fs, put);
        return;
    }
    if (put->mode == 0 && put->source != PUT_FROM_FILE)
        put->mode = MODE_DEFAULT;
    bool grows = put->source == PUT_APPEND && put->has_base && put->base.size > 0;
    if (!grows)
        fs_put_fill(fs, put);
    else if (!fs_append_start(fs, put))
        fs_put_copy_base(fs, put);
}

/* NULL: *code_out says why. */
static struct fs_putting *put_new(struct node_fs *fs, struct fs_op *op, int *code_out)
{
    struct fs_putting *put = core_calloc(1, sizeof(*put) + op->op.len);
    int r = put == NULL ? KITH_E_MEMORY : 0;

    if (r == 0) {
        put->fd = -1;
        list_init(&put->along);
        put->path = core_strndup(op->op.path, strlen(op->op.path));
        put->local = core_strndup(op->op.local != NULL ? op->op.local : "",
                                  op->op.local != NULL ? strlen(op->op.local) : 0);
        r = put->path == NULL || put->local == NULL ? KITH_E_MEMORY
                                                    : fs_ref_parse(put->path, &put->ref);
    }
    if (r == 0) {
        put->ref.path = put->ref.whole; /* a name may hold an '@' */
        if (put->ref.path.len == 0)
            r = kith_fail_with(KITH_E_NAME, "%s is a share, and no file in it", op->op.path);
    }
    if (r != 0) {
        if (put != NULL)
            put_free(put);
        *code_out = r;
        return NULL;
    }
    put->fs = fs;
    put->op = op;
    put->data_len = op->op.len;
    if (op->op.len > 0)
        memcpy(put->data, op->op.data, op->op.len);
    return put;
}

void fs_put_begin(
    struct node_fs *fs, struct fs_op *op, enum put_source source, int fd, uint64_t size)
{
    int code;
    struct fs_putting *put = put_new(fs, op, &code);
    bool waits = false;

    if (put == NULL) {
        if (fd >= 0)
            (void)close(fd);
        fs_op_fail(op, code, NULL);
        return;
    }
    put->source = source;
    put->fd = fd;
    put->size = size;
    op->state = put;
    op->stop = put_stop;
    list_for_each (it, &fs->puts)
        waits |= strcmp(container_of(it, struct fs_putting, link)->path, put->path) == 0;
    list_append(&fs->puts, &put->link);
    if (!waits)
        put_start(fs, put);
}

void fs_op_put(struct node_fs *fs, struct fs_op *op)
{
    fs_put_begin(fs, op, PUT_FROM_FILE, -1, 0);
}

void fs_op_write(struct node_fs *fs, struct fs_op *op)
{
    fs_put_begin(fs, op, PUT_FROM_DATA, -1, 0);
}

void fs_op_append(struct node_fs *fs, struct fs_op *op)
{
    fs_put_begin(fs, op, PUT_APPEND, -1, 0);
}

void fs_puts_deinit(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->puts)) != NULL) {
        struct fs_putting *put = container_of(first, struct fs_putting, link);
        list_splice(&fs->puts, &put->along);
        list_remove(first);
        put_free(put);
    }
}
