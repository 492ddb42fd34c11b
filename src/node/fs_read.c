/*
 * Runs of bytes of a content (fs_read_bytes()), and the operation READ.
 *
 * A content that this node holds is read by a thread, the very bytes that are asked for. Else its
 * chunks are asked for, several at a time, from the caches or other nodes.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define READ_TIMEOUT_MS 60000

/* ---- runs of bytes ---- */

struct fs_read_job {
    struct fs_job job;
    struct fs_reading *reading; /* NULL: it has been given up */
    struct fs_where where;
    struct content content;
    uint64_t offset;
    size_t len;
    uint8_t *data; /* its own: who gives up takes the owner's away */
    int code;
};

static void reading_end(struct node_fs *fs, struct fs_reading *reading)
{
    reading->done(fs, reading, reading->code, reading->text);
}

static void on_end(struct node_fs *fs, struct fs_todo *todo)
{
    reading_end(fs, container_of(todo, struct fs_reading, todo));
}

static void reading_fail(struct fs_reading *reading, int code, const char *text)
{
    if (reading->code != 0)
        return;
    reading->code = code;
    snprintf(reading->text, sizeof(reading->text), "%s", text);
}

/* The part of a chunk that lies in the run. */
static void copy_part(struct fs_reading *reading, const struct fs_chunk *chunk, bool fetched)
{
    uint64_t from = content_chunk_offset(&reading->content, chunk->no);
    uint64_t begin = from > reading->offset ? from : reading->offset;
    uint64_t end = from + chunk->len < reading->offset + reading->len
                       ? from + chunk->len
                       : reading->offset + reading->len;

    memcpy(reading->data + (begin - reading->offset), chunk->data + (begin - from),
           (size_t)(end - begin));
    if (fetched)
        fs_sources_add(&reading->sources, chunk, end - begin);
}

static void chunks_go(struct node_fs *fs, struct fs_reading *reading);

static void on_chunk(struct node_fs *fs,
                     struct fs_getting *getting,
                     int code,
                     const char *text,
                     struct fs_chunk *chunk)
{
    struct fs_reading_chunk *slot = container_of(getting, struct fs_reading_chunk, getting);
    struct fs_reading *reading = slot->reading;

    slot->reading = NULL;
    reading->busy_n--;
    if (code == 0)
        copy_part(reading, chunk, getting->fetched);
    else
        reading_fail(reading, code, text);
    chunks_go(fs, reading);
}

static struct fs_reading_chunk *free_slot(struct fs_reading *reading)
{
    for (size_t i = 0; i < FS_READING_CHUNKS; i++) {
        if (reading->chunks[i].reading == NULL)
            return &reading->chunks[i];
    }
    return NULL;
}

static void chunks_go(struct node_fs *fs, struct fs_reading *reading)
{
    struct fs_reading_chunk *slot;

    while (reading->code == 0 && reading->next < reading->end &&
           (slot = free_slot(reading)) != NULL) {
        slot->reading = reading;
        slot->getting = (struct fs_getting){.content = reading->content,
                                            .no = reading->next++,
                                            .priority = reading->priority,
                                            .waits = reading->waits,
                                            .done = on_chunk};
        reading->busy_n++;
        fs_get_chunk(fs, &slot->getting);
    }
    if (reading->busy_n == 0)
        reading_end(fs, reading);
}

static void read_work(struct fs_job *job)
{
    struct fs_read_job *read = container_of(job, struct fs_read_job, job);

    read->code =
        fs_read_checked(job->fs, &read->where, &read->content, read->offset, read->data, read->len);
}

static void read_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_read_job *read = container_of(job, struct fs_read_job, job);
    struct fs_reading *reading = read->reading;

    fs_enter(fs);
    if (read->code == KITH_E_CORRUPT)
        fs_keep_damage(fs, &read->content);
    if (reading != NULL) {
        reading->job = NULL;
        if (read->code == 0) {
            memcpy(reading->data, read->data, read->len);
            reading_end(fs, reading);
        } else { /* changed meanwhile, or damaged: others may have it */
            chunks_go(fs, reading);
        }
    }
    fs_where_deinit(&read->where);
    core_free(read->data);
    core_free(read);
    fs_leave(fs);
}

/* False: it is not here, or memory is short. */
static bool read_here(struct node_fs *fs, struct fs_reading *reading)
{
    struct fs_where where;
    struct fs_read_job *read;

    if (!fs_where_is(fs, &reading->content, &where))
        return false;
    read = core_calloc(1, sizeof(*read));
    if (read == NULL || (read->data = core_malloc(reading->len)) == NULL) {
        core_free(read);
        fs_where_deinit(&where);
        return false;
    }
    read->reading = reading;
    read->where = where;
    read->content = reading->content;
    read->offset = reading->offset;
    read->len = reading->len;
    read->job.work = read_work;
    read->job.done = read_done;
    reading->job = read;
    fs_job_start(fs, &read->job);
    return true;
}

void fs_read_bytes(struct node_fs *fs, struct fs_reading *reading)
{
    uint8_t log2 = reading->content.chunk_log2;

    reading->job = NULL;
    reading->busy_n = 0;
    reading->code = 0;
    reading->text[0] = '\0';
    reading->sources.n = 0;
    memset(reading->chunks, 0, sizeof(reading->chunks));
    reading->next = (uint32_t)(reading->offset >> log2);
    reading->end = reading->len == 0 ? reading->next
                                     : (uint32_t)((reading->offset + reading->len - 1) >> log2) + 1;
    fs_enter(fs);
    if (reading->len == 0) {
        reading->todo.run = on_end;
        fs_later(fs, &reading->todo);
    } else if (!read_here(fs, reading)) {
        chunks_go(fs, reading);
    }
    fs_leave(fs);
}

void fs_read_cancel(struct node_fs *fs, struct fs_reading *reading)
{
    list_remove(&reading->todo.link);
    if (reading->job != NULL)
        reading->job->reading = NULL;
    reading->job = NULL;
    for (size_t i = 0; i < FS_READING_CHUNKS; i++) {
        if (reading->chunks[i].reading != NULL)
            fs_get_cancel(fs, &reading->chunks[i].getting);
        reading->chunks[i].reading = NULL;
    }
}

/* ---- READ ---- */

struct read_op {
    struct fs_op *op;
    struct fs_box *box;
    uint64_t began_ms;
    struct fs_reading reading;
};

static void read_op_done(struct node_fs *fs, struct fs_reading *reading, int code, const char *text)
{
    struct read_op *read = container_of(reading, struct read_op, reading);
    struct fs_op *op = read->op;
    struct fs_box *box = read->box;
    char copy[600];

    op->stop = NULL;
    snprintf(copy, sizeof(copy), "%s: %s", op->op.path, text);
    if (code == 0)
        fs_box_sources(fs, box, &reading->sources, node_now_ms() - read->began_ms);
    core_free(read);
    if (code == 0) {
        fs_op_done(op, box);
        return;
    }
    fs_box_free(box);
    fs_op_fail(op, code, copy);
}

static void read_op_stop(struct fs_op *op)
{
    struct read_op *read = op->state;

    fs_read_cancel(op->node->fs, &read->reading);
    fs_box_free(read->box);
    core_free(read);
}

int fs_content_of(struct node_fs *fs, const struct kith_fs_op *op, struct content *content_out)
{
    struct fs_content_facts facts;
    struct fs_entry entry;
    struct fs_ref ref;
    uint8_t root[FS_ROOT_BYTES];
    int r = fs_find(fs, op->path, &ref, NULL, &entry);

    if (op->hash != NULL && hex_decode(op->hash, root, sizeof(root)) == 0) {
        if (fs_catalogue_content(fs->catalogue, root, &facts, NULL, 0) == 0) {
            *content_out = facts.content;
            return 0;
        }
        if (fs_former_of(fs, root, content_out))
            return 0;
    }
    if (r == 0 && !entry.has_content)
        return kith_fail_with(KITH_E_INVALID, "%s is no file", op->path);
    if (r == 0)
        r = fs_check_hash(op, &entry);
    if (r == 0)
        *content_out = entry.content;
    return r;
}

void fs_op_read(struct node_fs *fs, struct fs_op *op)
{
    struct content content;
    int r = fs_content_of(fs, &op->op, &content);
    struct read_op *read = r == 0 ? core_calloc(1, sizeof(*read)) : NULL;
    uint64_t left = r == 0 && op->op.offset < content.size ? content.size - op->op.offset : 0;
    size_t len = op->op.count < left ? op->op.count : (size_t)left;

    if (r == 0 && read != NULL)
        read->box = fs_box_new();
    if (r == 0 && (read == NULL || read->box == NULL ||
                   (read->reading.data = arena_alloc(&read->box->arena, len)) == NULL))
        r = KITH_E_MEMORY;
    if (r != 0) {
        if (read != NULL)
            fs_box_free(read->box);
        core_free(read);
        fs_op_fail(op, r, NULL);
        return;
    }
    read->box->result.data = read->reading.data;
    read->box->result.len = len;
    read->box->result.size = content.size;
    if (op->op.timeout_ms == 0)
        op->deadline_ms = node_now_ms() + READ_TIMEOUT_MS;
    read->op = op;
    read->began_ms = node_now_ms();
    read->reading.content = content;
    read->reading.offset = op->op.offset;
    read->reading.len = len;
    read->reading.priority = FETCH_READ;
    read->reading.done = read_op_done;
    op->state = read;
    op->stop = read_op_stop;
    fs_read_bytes(fs, &read->reading);
}
