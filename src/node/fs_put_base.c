/*
 * The beginning of an APPEND: what the path has is copied to the temporary file first, by a thread
 * where this node holds it, else piece by piece as it comes.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_put.h"
#include "node/internal.h"

#define PIECE_BYTES (4u * 1024 * 1024)

static bool make_piece(struct fs_putting *put)
{
    if (put->piece == NULL)
        put->piece = core_malloc(PIECE_BYTES);
    if (put->piece == NULL)
        fs_put_fail(put, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
    return put->piece != NULL;
}

static size_t piece_len(const struct fs_putting *put)
{
    uint64_t left = put->base.size - put->size;
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

static bool open_file(struct fs_putting *put)
{
    if (put->fd < 0)
        put->fd = fs_temp_open(put->fs->move->files, put->base.size + put->data_len);
    if (put->fd < 0)
        fs_put_fail(put, put->fd, kith_errmsg());
    return put->fd >= 0;
}

/* ---- as it comes ---- */

static void read_next(struct node_fs *fs, struct fs_putting *put);

static void write_work(struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);
    int r;

    if (!open_file(put))
        return;
    r = fs_write_all(put->fd, put->piece, put->reading.len, put->size);
    if (r != 0)
        fs_put_fail(put, r, kith_errmsg());
    put->size += put->reading.len;
}

static void written(struct node_fs *fs, struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);

    if (put->op == NULL)
        fs_put_fail(put, KITH_E_CANCELED, "cancelled");
    if (put->code != 0)
        fs_put_end(fs, put);
    else if (put->size < put->base.size)
        read_next(fs, put);
    else
        fs_put_fill(fs, put);
}

static void on_read(struct node_fs *fs, struct fs_reading *reading, int code, const char *text)
{
    struct fs_putting *put = container_of(reading, struct fs_putting, reading);

    put->reading_now = false;
    if (code != 0) {
        fs_put_fail(put, code, text);
        fs_put_end(fs, put);
        return;
    }
    put->job.work = write_work;
    put->job.done = written;
    fs_job_start(fs, &put->job);
}

static void read_next(struct node_fs *fs, struct fs_putting *put)
{
    if (!make_piece(put)) {
        fs_put_end(fs, put);
        return;
    }
    put->reading = (struct fs_reading){.content = put->base,
                                       .offset = put->size,
                                       .len = piece_len(put),
                                       .data = put->piece,
                                       .priority = FETCH_ORDINARY,
                                       .done = on_read};
    put->reading_now = true;
    fs_read_bytes(fs, &put->reading);
}

/* ---- from this node's disks ---- */

static void copy_work(struct fs_job *job)
{
    struct fs_putting *put = container_of(job, struct fs_putting, job);
    int r = make_piece(put) && open_file(put) ? 0 : put->code;

    while (r == 0 && put->size < put->base.size) {
        size_t len = piece_len(put);
        r = fs_read_checked(job->fs, &put->where, &put->base, put->size, put->piece, len);
        if (r == 0)
            r = fs_write_all(put->fd, put->piece, len, put->size);
        if (r == 0)
            put->size += len;
    }
    if (r != 0)
        fs_put_fail(put, r, kith_errmsg());
}

void fs_put_copy_base(struct node_fs *fs, struct fs_putting *put)
{
    if (!fs_where_is(fs, &put->base, &put->where)) {
        read_next(fs, put);
        return;
    }
    put->job.work = copy_work;
    put->job.done = written;
    fs_job_start(fs, &put->job);
}
