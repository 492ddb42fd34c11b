/*
 * The driver of serving: what others ask for is read by threads from folders and the keep, as much
 * at a time as the streams to the askers take.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "fs/fetch_wire.h"
#include "net/frame.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/fs_move.h"
#include "node/internal.h"

/* Data of files that lies in the queue of a stream: what leaves in a few milliseconds. */
#define BULK_QUEUE_BYTES (1024 * 1024)

static_assert(FRAME_HEAD_BYTES + FETCH_DATA_HEAD_BYTES + FS_PIECE_BYTES_MAX + FRAME_HEAD_BYTES <=
                  NET_RECORD_FILL_BYTES,
              "a piece and a rekey fit one record");

struct serve_read {
    struct fs_job job;
    uint64_t token;
    struct content content;
    struct fs_where where;
    bool list;
    uint64_t offset;
    uint32_t len;
    uint8_t *data;
    int code;
    struct fs_todo todo;
};

/* A list that is not kept, or damaged, is made again of the content. */
static void serve_work(struct fs_job *job)
{
    struct serve_read *read = container_of(job, struct serve_read, job);
    struct fs_files *files = job->fs->move->files;
    struct buf list = {0};
    uint64_t bytes = 0;

    if (!read->list) {
        read->code =
            fs_where_read(files, &read->where, &read->content, read->offset, read->data, read->len);
        return;
    }
    read->code = fs_list_read(job->fs, &read->content, &list);
    if (read->code == KITH_E_NOT_FOUND)
        read->code = fs_verify_where(job->fs, &read->where, &read->content, &list, &bytes);
    if (read->code == 0 && (size_t)read->offset + read->len <= list.len)
        memcpy(read->data, list.data + read->offset, read->len);
    else if (read->code == 0)
        read->code = KITH_E_CORRUPT;
    buf_deinit(&list);
}

static void serve_answer(struct node_fs *fs, struct serve_read *read)
{
    struct serve_event event = {.type = SERVE_READ_DONE,
                                .token = read->token,
                                .code = read->code,
                                .data = {read->data, read->len}};

    fs_where_deinit(&read->where);
    fs_serve_do(fs, &event);
    core_free(read->data);
    core_free(read);
}

static void serve_done(struct node_fs *fs, struct fs_job *job)
{
    serve_answer(fs, container_of(job, struct serve_read, job));
}

static void serve_run(struct node_fs *fs, struct fs_todo *todo)
{
    serve_answer(fs, container_of(todo, struct serve_read, todo));
}

static void serve_read_start(struct node_fs *fs, const struct serve_action *action)
{
    struct serve_read *read = core_calloc(1, sizeof(*read));

    if (read == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    read->token = action->token;
    read->content = action->content;
    read->list = action->chunk == FETCH_LIST;
    read->offset =
        action->offset + (read->list ? 0 : content_chunk_offset(&action->content, action->chunk));
    read->len = action->len;
    read->data = core_malloc(action->len > 0 ? action->len : 1);
    if (read->data == NULL)
        read->code = KITH_E_MEMORY;
    else if (!fs_where_is(fs, &action->content, &read->where))
        read->code = KITH_E_NOT_FOUND;
    if (read->code != 0) {
        read->todo.run = serve_run;
        fs_later(fs, &read->todo);
        return;
    }
    read->job.work = serve_work;
    read->job.done = serve_done;
    fs_job_start(fs, &read->job);
}

size_t fs_serve_room(struct node_fs *fs, struct uv_peer *peer)
{
    return uv_net_room(fs->node->net, peer, NET_BULK, BULK_QUEUE_BYTES);
}

static void serve_send(struct node_fs *fs, const struct serve_action *action)
{
    struct uv_peer *peer = uv_net_find(fs->node->net, &action->peer);
    const struct kith_bytes parts[2] = {action->head, action->data};

    /* What the queue does not take is lost with the stream: both ends ask anew. */
    if (peer != NULL)
        (void)uv_net_send(fs->node->net, peer, NET_BULK, FRAME_FS_DATA, parts, 2);
}

struct room {
    struct fs_todo todo;
    struct kith_node_id peer;
};

static void room_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct room *room = container_of(todo, struct room, todo);
    struct uv_peer *peer = uv_net_find(fs->node->net, &room->peer);

    if (peer != NULL)
        fs_serve_do(fs, &(struct serve_event){.type = SERVE_ROOM,
                                              .peer = room->peer,
                                              .room = fs_serve_room(fs, peer)});
    core_free(room);
}

static void tell_room(struct node_fs *fs, const struct kith_node_id *id)
{
    struct room *room = core_calloc(1, sizeof(*room));

    if (room == NULL)
        return;
    room->peer = *id;
    room->todo.run = room_run;
    fs_later(fs, &room->todo);
}

void fs_serve_do(struct node_fs *fs, const struct serve_event *event)
{
    struct serve_output out;
    const struct kith_node_id *sent = NULL;

    fs_enter(fs);
    assert(!fs->move->serving);
    fs->move->serving = true;
    (void)fs_serve_step(fs->move->serve, event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct serve_action *action = &out.actions[i];
        if (action->type == SERVE_READ) {
            serve_read_start(fs, action);
            continue;
        }
        serve_send(fs, action);
        if (sent == NULL || !kith_node_id_equal(sent, &action->peer))
            tell_room(fs, &action->peer);
        sent = &action->peer;
    }
    fs->move->serving = false;
    fs_leave(fs);
}
