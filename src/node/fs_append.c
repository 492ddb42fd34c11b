/*
 * APPEND where the keep of this node has what the path has: the file grows (fs_keep_append()), so
 * that it costs what is appended and the last chunk, not the whole.
 *
 * Appends to one path that wait for the one before them become one: their bytes are written, synced
 * and published together, and each is told that it is done. So whoever appends many times a second
 * waits for one sync at a time, not for one each.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_lists.h"
#include "node/fs_put.h"
#include "node/internal.h"

#define TOGETHER_MAX 256

/* ---- together ---- */

/* It asks for nothing but that its bytes come behind what is there. */
static bool is_plain(const struct fs_putting *put)
{
    const struct kith_fs_op *op = put->op != NULL ? &put->op->op : NULL;

    return put->source == PUT_APPEND && op != NULL && op->hash == NULL && !op->create_only &&
           op->mode == 0 && op->modified_unix_ns == 0;
}

/* Those behind @put in the line of its path come along. */
static void take_along(struct node_fs *fs, struct fs_putting *put)
{
    size_t bytes = put->data_len, n = 1;

    if (!is_plain(put))
        return;
    list_for_each_safe (it, &fs->puts) {
        struct fs_putting *other = container_of(it, struct fs_putting, link);
        if (other == put || strcmp(other->path, put->path) != 0)
            continue;
        if (!is_plain(other) || n == TOGETHER_MAX ||
            bytes + other->data_len > KITH_FS_DATA_BYTES_MAX)
            break;
        list_remove(it);
        list_append(&put->along, it);
        other->begun = true;
        bytes += other->data_len;
        n++;
    }
}

static void apart(struct fs_putting *put)
{
    /* Right behind it, in the order in which they came: the last first. */
    while (!list_empty(&put->along)) {
        struct list *last = put->along.prev;
        container_of(last, struct fs_putting, link)->begun = false;
        list_remove(last);
        list_append(put->link.next, last);
    }
}

/* ---- written ---- */

static void on_named(void *user, const uint8_t root[FS_ROOT_BYTES])
{
    struct fs_putting *put = user;

    fs_guard(put->fs, root);
    put->guarded = true;
    memcpy(put->guard, root, sizeof(put->guard));
}

static int append(struct node_fs *fs, struct fs_putting *put, struct fs_appending *what)
{
    struct buf list = {0};
    struct fs_appended appended = {.list = {0}};
    int r = fs_list_read(fs, &put->base, &list);

    what->list = list.len > 0 ? list.data : NULL;
    if (r == KITH_E_NOT_FOUND)
        r = KITH_E_AGAIN;
    if (r == 0)
        r = fs_keep_append(fs->move->files, what, &appended);
    if (r == 0) {
        put->hash.content = appended.content;
        fs_list_keep(fs, &appended.content,
                     (struct kith_bytes){appended.list.data, appended.list.len});
    }
    buf_deinit(&appended.list);
    buf_deinit(&list);
    return r;
}

static void append_work(struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);
    struct kith_bytes pieces[TOGETHER_MAX];
    struct fs_appending what = {
        .before = put->base, .pieces = pieces, .named = on_named, .user = put};
    int r;

    pieces[what.pieces_n++] = (struct kith_bytes){put->data, put->data_len};
    list_for_each (it, &put->along) {
        const struct fs_putting *other = container_of(it, struct fs_putting, link);
        pieces[what.pieces_n++] = (struct kith_bytes){other->data, other->data_len};
    }
    r = append(job->fs, put, &what);
    if (r != 0)
        fs_put_fail(put, r, r == KITH_E_AGAIN ? "" : kith_errmsg());
}

static void damaged(struct node_fs *fs, struct fs_putting *put)
{
    snprintf(
        put->text, sizeof(put->text),
        "%s: the copy that this node keeps of it is damaged; it is set aside, and fetched from "
        "others if they have it: try again",
        put->path);
    fs_keep_damage(fs, &put->base);
}

static void append_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);

    if (fs->stopping) {
        fs_put_fail(put, KITH_E_STOPPED, "the node stops");
    } else if (put->code == KITH_E_AGAIN) {
        put->code = 0;
        apart(put);
        fs_put_copy_base(fs, put);
        return;
    } else if (put->code == KITH_E_CORRUPT) {
        damaged(fs, put);
    }
    if (put->code != 0) {
        fs_put_end(fs, put);
        return;
    }
    const struct fs_kept *base = fs_kept_find(fs, put->base.root);
    put->read_wall_ms = base != NULL ? base->scrubbed_wall_ms : 0;
    fs->move->keep_bytes += put->hash.content.size;
    fs_put_publish(fs, put);
}

bool fs_append_start(struct node_fs *fs, struct fs_putting *put)
{
    struct fs_where where;
    bool grows;

    if (put->in_folder || !fs_where_is(fs, &put->base, &where))
        return false;
    grows = where.keep;
    fs_where_deinit(&where);
    if (!grows)
        return false;
    take_along(fs, put);
    put->job.work = append_work;
    put->job.done = append_done;
    fs_job_start(fs, &put->job);
    return true;
}
