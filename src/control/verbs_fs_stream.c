/*
 * Verbs about files that stay under way: fs.put takes a file piece by piece (fs.put.data,
 * fs.put.end), fs.watch and fs.track tell of changes.
 *
 * A put is one request that is answered first with the number of its upload, and last with the
 * entry. Its pieces are requests of their own, each answered once the next may come, so that a
 * client has as much on its way as it likes and no more. If the client goes, nothing stays.
 */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "control/server.h"
#include "control/verbs_fs.h"
#include "core/alloc.h"
#include "core/error.h"

struct put {
    struct list link;
    struct control_request *request; /* fs.put */
    struct control_request *piece;   /* fs.put.data that is being written */
    struct kith_upload *upload;
    uint64_t no;
    bool given_up; /* to be dropped when the piece is written */
};

static struct put *put_named(struct control_request *request)
{
    uint64_t no = control_u64(request, "upload", 0);

    list_for_each (it, &control_server_of(request->node)->puts) {
        struct put *put = container_of(it, struct put, link);
        if (put->no == no && put->request->client == request->client && !put->given_up)
            return put;
    }
    control_fail(request, KITH_E_NOT_FOUND,
                 "no such upload: it has ended, or fs.put was asked on another connection");
    return NULL;
}

static void put_end(struct put *put)
{
    list_remove(&put->link);
    control_request_unref(put->request);
    core_free(put);
}

static void put_cancelled(struct control_request *request)
{
    struct put *put = request->state;

    if (put->piece != NULL) {
        put->given_up = true;
        return;
    }
    kith_upload_drop(put->upload);
    put_end(put);
}

static void fs_put(struct control_request *request)
{
    struct control_server *server = control_server_of(request->node);
    struct put *put = core_calloc(1, sizeof(*put));
    struct control_reply reply;

    if (control_text_needed(request, "path") == NULL) {
        core_free(put);
        return;
    }
    int r = put == NULL ? KITH_E_MEMORY : kith_upload_open(request->node, &put->upload);
    if (r != 0) {
        core_free(put);
        control_fail(request, r, NULL);
        return;
    }
    put->no = ++server->puts_no;
    put->request = control_request_ref(request);
    list_append(&server->puts, &put->link);
    request->state = put;
    request->cancel = put_cancelled;
    control_reply_begin(&reply, request);
    json_key(&reply.json, "upload");
    json_u64_text(&reply.json, put->no);
    control_reply_end(&reply, true, NULL, 0);
}

static void on_piece(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct put *put = user;
    struct control_request *piece = put->piece;

    (void)node;
    put->piece = NULL;
    if (result->code != 0)
        control_fail(piece, result->code, result->text);
    else
        control_reply_empty(piece);
    control_request_unref(piece);
    if (result->code != 0 && !put->given_up) {
        put->request->cancel = NULL;
        control_fail(put->request, result->code, result->text);
        put->given_up = true;
    }
    if (put->given_up) {
        kith_upload_drop(put->upload);
        put_end(put);
    }
}

static void fs_put_data(struct control_request *request)
{
    struct put *put = put_named(request);

    if (put == NULL)
        return;
    if (put->piece != NULL) {
        control_fail(request, KITH_E_BUSY, "wait for the answer about the piece before this one");
        return;
    }
    put->piece = control_request_ref(request);
    int r = kith_upload_write_async(put->upload, request->data, request->data_len, on_piece, put);
    if (r != 0) {
        put->piece = NULL;
        control_fail(request, r, NULL);
        control_request_unref(request);
    }
}

static void on_committed(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct control_request *request = user;

    (void)node;
    control_fs_reply(request, KITH_FS_PUT, result);
    control_request_unref(request);
}

static void fs_put_end(struct control_request *request)
{
    struct put *put = put_named(request);

    if (put == NULL)
        return;
    if (put->piece != NULL) {
        control_fail(request, KITH_E_BUSY, "wait for the answer about the last piece");
        return;
    }
    struct control_request *whole = put->request;
    struct kith_fs_op op = control_fs_op(whole, KITH_FS_WRITE);
    op.data = NULL;
    op.len = 0;
    int r = kith_upload_commit_async(put->upload, &op, on_committed, control_request_ref(whole));
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(whole);
        return;
    }
    whole->cancel = NULL; /* what was committed is done */
    control_reply_empty(request);
    put_end(put);
}

/* ---- being told ---- */

static void on_change(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    struct control_request *request = user;
    struct control_reply reply;

    (void)node;
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "type", kith_fs_change_text(change->type));
    json_kv_text(&reply.json, "path", change->path);
    if (change->from[0] != '\0')
        json_kv_text(&reply.json, "from", change->from);
    json_kv_text(&reply.json, "author", change->author_name);
    json_kv_u64(&reply.json, "missed", change->missed_n);
    if (change->entry != NULL) {
        json_key(&reply.json, "entry");
        control_fs_put_entry(&reply.json, change->entry);
    }
    control_reply_end(&reply, true, NULL, 0);
}

static void watch_cancelled(struct control_request *request)
{
    kith_fs_unwatch(request->node, (int64_t)(intptr_t)request->state);
    control_request_unref(request);
}

/* The first answer says that the watch has begun: what is changed after it is told. */
static void watch_began(struct control_request *request, int64_t no)
{
    struct control_reply reply;

    request->state = (void *)(intptr_t)no;
    request->cancel = watch_cancelled;
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "type", "watching");
    control_reply_end(&reply, true, NULL, 0);
}

static void fs_watch(struct control_request *request)
{
    int64_t no = kith_fs_watch(request->node, control_text(request, "path"), on_change,
                               control_request_ref(request));

    if (no > 0) {
        watch_began(request, no);
        return;
    }
    control_fail(request, (int)no, NULL);
    control_request_unref(request);
}

static void on_tracked(struct kith_node *node, int64_t no, const char *text, void *user)
{
    struct control_request *request = user;

    if (no > 0 && !request->ended) {
        watch_began(request, no);
        return;
    }
    if (no > 0) /* the client has gone meanwhile */
        kith_fs_unwatch(node, no);
    else
        control_fail(request, (int)no, text);
    control_request_unref(request);
}

static void fs_track(struct control_request *request)
{
    const char *local = control_text_needed(request, "local");
    int r = local == NULL
                ? 0
                : node_fs_track(request->node, local, control_bool(request, "recursive", false),
                                on_change, control_request_ref(request), on_tracked, request);

    if (r == 0)
        return;
    control_fail(request, r, NULL);
    control_request_unref(request);
}

const struct control_verb control_verbs_fs_stream[] = {
    {.name = "fs.put", .run = fs_put},         {.name = "fs.put.data", .run = fs_put_data},
    {.name = "fs.put.end", .run = fs_put_end}, {.name = "fs.watch", .run = fs_watch},
    {.name = "fs.track", .run = fs_track},     {0},
};
