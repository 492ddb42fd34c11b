/*
 * The driver of fetching and serving: frames, peers, what was checked and time in, asks, data and
 * chunks out. See fs_move.h for who asks it for chunks.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/internal.h"

static void fetch_do(struct node_fs *fs, struct fetch_event *event);

void fs_fetch_checked(struct node_fs *fs, uint64_t token, int code)
{
    fetch_do(fs, &(struct fetch_event){.type = FETCH_VERIFIED, .token = token, .code = code});
}

/* ---- lists are kept on disk: the caches check what they read by them ---- */

struct list_job {
    struct fs_job job;
    struct content content;
    struct buf list;
};

static void list_work(struct fs_job *job)
{
    struct list_job *list = container_of(job, struct list_job, job);
    fs_list_keep(job->fs, &list->content, (struct kith_bytes){list->list.data, list->list.len});
}

static void list_done(struct node_fs *fs, struct fs_job *job)
{
    struct list_job *list = container_of(job, struct list_job, job);

    (void)fs;
    buf_deinit(&list->list);
    core_free(list);
}

static void keep_list(struct node_fs *fs, const struct fetch_action *action)
{
    struct list_job *list = action->list.len > 0 ? core_calloc(1, sizeof(*list)) : NULL;

    if (list == NULL || buf_append(&list->list, action->list.data, action->list.len) != 0) {
        core_free(list);
        return;
    }
    fs_copies_listed(fs, &action->content, action->list);
    list->content = action->content;
    list->job.work = list_work;
    list->job.done = list_done;
    fs_job_start(fs, &list->job);
}

/* ---- chunks that came ---- */

struct written {
    struct fs_todo todo;
    uint64_t token;
    int code;
};

static void written_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct written *written = container_of(todo, struct written, todo);
    struct fetch_event event = {
        .type = FETCH_WRITTEN, .token = written->token, .code = written->code};

    core_free(written);
    fetch_do(fs, &event);
}

/* The bytes go to those who wait and to the cache; to the core that is as good as written. */
static void write_chunk(struct node_fs *fs, const struct fetch_action *action)
{
    struct written *written = core_calloc(1, sizeof(*written));
    struct fs_want *want =
        map64_find(&fs->move->wants, fs_chunk_key(action->content.root, action->chunk));
    void *data = fetch_take(fs->move->fetch, action->token);

    if (written == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    written->token = action->token;
    written->todo.run = written_run;
    written->code = data == NULL ? KITH_E_MEMORY : 0;
    struct fs_chunk *chunk =
        data == NULL ? NULL : fs_chunk_new(&action->content, action->chunk, data);
    if (chunk != NULL) {
        chunk->from = action->peer;
        chunk->from_node = action->from_peer;
    }
    if (want != NULL && chunk != NULL)
        fs_want_came(fs, want, chunk);
    fs_chunk_unref(chunk);
    fs_later(fs, &written->todo);
}

/* A hole: whoever waits for a chunk of it gets zeros. */
static void zeros(struct node_fs *fs, const struct fetch_action *action)
{
    for (uint32_t i = 0; i < action->chunks_n && fs->move->wants.n > 0; i++) {
        uint32_t no = action->chunk + i;
        struct fs_want *want = map64_find(&fs->move->wants, fs_chunk_key(action->content.root, no));
        if (want == NULL || want->id == 0)
            continue;
        void *data = core_calloc(1, content_chunk_bytes(&action->content, no));
        struct fs_chunk *chunk = data == NULL ? NULL : fs_chunk_new(&action->content, no, data);
        if (chunk != NULL)
            fs_want_came(fs, want, chunk);
        fs_chunk_unref(chunk);
    }
}

static bool sent_damage(const struct fetch_action *done, const struct kith_node_id *id)
{
    for (size_t i = 0; i < done->damaged_n; i++) {
        if (kith_node_id_equal(&done->damaged[i], id))
            return true;
    }
    return false;
}

static void next_step_text(
    struct node_fs *fs, const struct fetch_action *done, bool others, char *out, size_t bytes)
{
    char digits[KITH_NODE_ID_DIGITS + 1];

    if (done->damaged_n == 0)
        snprintf(out, bytes, "; start or reconnect one of them");
    else
        snprintf(out, bytes, "%s; kith fs verify on %s finds what is damaged there",
                 others ? "; start or reconnect one of the others" : "",
                 fs_node_name(fs, &done->damaged[0], digits));
}

/* The sentence of a content that nobody within reach has whole: who holds it, and what they did. */
static void holders_text(struct node_fs *fs,
                         const struct content *content,
                         const struct fetch_action *done,
                         char *out,
                         size_t bytes)
{
    struct kith_node_id holders[FS_FETCH_HOLDERS_MAX];
    struct fs_content_facts facts;
    char digits[KITH_NODE_ID_DIGITS + 1];
    bool others = false;

    if (fs_catalogue_content(fs->catalogue, content->root, &facts, holders, FS_FETCH_HOLDERS_MAX) !=
            0 ||
        facts.holders_n == 0) {
        snprintf(out, bytes,
                 "no node has this content any more; bring back a node that had it, or put the "
                 "file again");
        return;
    }
    size_t n = facts.holders_n < FS_FETCH_HOLDERS_MAX ? facts.holders_n : FS_FETCH_HOLDERS_MAX;
    size_t at = (size_t)snprintf(out, bytes, "%s: ",
                                 done->damaged_n > 0 ? "nobody within reach has it undamaged"
                                                     : "nobody who has it answers");
    for (size_t i = 0; i < n && at < bytes; i++) {
        bool damaged = sent_damage(done, &holders[i]);
        others |= !damaged;
        at += (size_t)snprintf(out + at, bytes - at, "%s%s%s", i > 0 ? ", " : "",
                               fs_node_name(fs, &holders[i], digits),
                               damaged                          ? " (sent damaged data)"
                               : fs_node_alive(fs, &holders[i]) ? ""
                                                                : " (away)");
    }
    if (at < bytes)
        next_step_text(fs, done, others, out + at, bytes - at);
}

struct restart {
    struct fs_todo todo;
    uint64_t key; /* fs_chunk_key() */
    bool anew;
};

static bool all_wait(const struct fs_want *want)
{
    list_for_each (it, &want->gettings) {
        if (!container_of(it, struct fs_getting, link)->waits)
            return false;
    }
    return true;
}

static void restart_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct restart *restart = container_of(todo, struct restart, todo);
    struct fs_want *want = map64_find(&fs->move->wants, restart->key);

    if (want != NULL && want->id == 0) { /* else nobody wants it now, or it comes already */
        want->anew |= restart->anew;
        want->waits = all_wait(want);
        fs_fetch_start(fs, want);
    }
    core_free(restart);
}

/* Once this step of the core is over. */
static void fetch_restart(struct node_fs *fs, struct fs_want *want, bool anew)
{
    struct restart *restart = core_calloc(1, sizeof(*restart));

    if (restart == NULL) {
        fs_want_failed(fs, want, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    restart->key = fs_chunk_key(want->content.root, want->no);
    restart->anew = anew;
    restart->todo.run = restart_run;
    fs_later(fs, &restart->todo);
}

static void fetch_done(struct node_fs *fs, const struct fetch_action *action)
{
    struct fs_want *want = map64_remove(&fs->move->fetches, action->id);
    char text[600];

    if (want == NULL) /* it came, or nobody waits any more */
        return;
    want->id = 0;
    if (action->code == 0) { /* written before, for somebody else, and gone from the cache since */
        fetch_restart(fs, want, true);
        return;
    }
    if (action->code != KITH_E_UNREACHABLE && action->code != KITH_E_NOT_FOUND &&
        action->code != KITH_E_CORRUPT) {
        fs_want_failed(fs, want, action->code, action->text);
        return;
    }
    holders_text(fs, &want->content, action, text, sizeof(text));
    if (fs_want_left(fs, want, action->code, text))
        fetch_restart(fs, want, false);
}

void fs_content_path(struct node_fs *fs, const uint8_t root[FS_ROOT_BYTES], struct buf *out)
{
    if (!fs_catalogue_content_path(fs->catalogue, root, out))
        out->len = 0;
    (void)buf_append_u8(out, 0);
}

static void damaged(struct node_fs *fs, const struct fetch_action *action)
{
    char digits[KITH_NODE_ID_DIGITS + 1], hash[KITH_FS_HASH_DIGITS + 1];
    struct buf path = {0};

    hex_encode(action->content.root, FS_ROOT_BYTES, hash);
    fs_content_path(fs, action->content.root, &path);
    log_warn(&fs->node->log.log, "files",
             "a node sent damaged data; it is thrown away and fetched elsewhere", "node",
             fs_node_name(fs, &action->peer, digits), "path",
             path.data != NULL ? (const char *)path.data : "?", "hash", hash, "reason",
             action->text, NULL);
    fs_damages_add(fs, &action->peer, path.data != NULL ? (const char *)path.data : hash);
    buf_deinit(&path);
    fs_keep_doubt(fs, &action->peer, &action->content, action->chunk);
}

/* ---- fetching ---- */

struct lost {
    struct fs_todo todo;
    struct kith_node_id peer;
};

static void lost_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct lost *lost = container_of(todo, struct lost, todo);
    struct uv_peer *peer = uv_net_find(fs->node->net, &lost->peer);

    fetch_do(fs, &(struct fetch_event){.type = FETCH_PEER_DOWN, .peer = lost->peer});
    if (peer != NULL && uv_peer_is_open(peer, NET_CONTROL))
        fetch_do(fs, &(struct fetch_event){.type = FETCH_PEER_UP, .peer = lost->peer});
    core_free(lost);
}

/* An ask that was not taken is asked anew, by the same road if it is still there. */
static void send_ask(struct node_fs *fs, const struct fetch_action *action)
{
    struct uv_peer *peer = uv_net_find(fs->node->net, &action->peer);
    const struct kith_bytes part = {action->data.data, action->data.len};
    struct lost *lost;

    if (peer != NULL && uv_net_send(fs->node->net, peer, NET_CONTROL, FRAME_FS_ASK, &part, 1) == 0)
        return;
    lost = core_calloc(1, sizeof(*lost));
    if (lost == NULL)
        return;
    lost->peer = action->peer;
    lost->todo.run = lost_run;
    fs_later(fs, &lost->todo);
}

static void connect_to(struct node_fs *fs, const struct kith_node_id *id)
{
    struct uv_peer *peer = uv_net_find(fs->node->net, id);

    if (peer != NULL)
        (void)uv_net_connect(fs->node->net, peer, NET_CONTROL);
}

static void fetch_action(struct node_fs *fs, const struct fetch_action *action)
{
    switch (action->type) {
    case FETCH_SEND:
        send_ask(fs, action);
        break;
    case FETCH_CONNECT:
        connect_to(fs, &action->peer);
        break;
    case FETCH_VERIFY:
        fs_check(fs, action);
        break;
    case FETCH_WRITE:
        write_chunk(fs, action);
        break;
    case FETCH_ZEROS:
        zeros(fs, action);
        break;
    case FETCH_PERSIST:
        keep_list(fs, action);
        break;
    case FETCH_DAMAGED:
        damaged(fs, action);
        break;
    case FETCH_DONE:
        fetch_done(fs, action);
        break;
    case FETCH_END: /* chunks are fetched one by one: nothing is kept for the whole */
        break;
    }
}

static void fetch_do(struct node_fs *fs, struct fetch_event *event)
{
    struct fetch_output out;

    event->now_ms = node_boot_ms();
    fs_enter(fs);
    assert(!fs->move->fetching);
    fs->move->fetching = true;
    (void)fetch_step(fs->move->fetch, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        fetch_action(fs, &out.actions[i]);
    fs->move->fetching = false;
    fs_leave(fs);
}

void fs_fetch_start(struct node_fs *fs, struct fs_want *want)
{
    struct kith_node_id holders[FS_FETCH_HOLDERS_MAX];
    struct fs_content_facts facts;
    struct fetch_event event = {.type = FETCH_START,
                                .id = ++fs->move->next_id,
                                .content = want->content,
                                .holders = holders,
                                .priority = want->priority,
                                .flags =
                                    (want->waits ? FETCH_WAIT : 0) | (want->anew ? FETCH_ANEW : 0),
                                .offset = content_chunk_offset(&want->content, want->no),
                                .len = content_chunk_bytes(&want->content, want->no)};

    if (fs_catalogue_content(fs->catalogue, want->content.root, &facts, holders,
                             FS_FETCH_HOLDERS_MAX) == 0)
        event.holders_n =
            facts.holders_n < FS_FETCH_HOLDERS_MAX ? facts.holders_n : FS_FETCH_HOLDERS_MAX;
    want->id = event.id;
    if (map64_set(&fs->move->fetches, want->id, want) != 0) {
        fs_want_failed(fs, want, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    fetch_do(fs, &event);
}

struct cancel {
    struct fs_todo todo;
    uint64_t id;
};

static void cancel_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct cancel *cancel = container_of(todo, struct cancel, todo);

    fetch_do(fs, &(struct fetch_event){.type = FETCH_CANCEL, .id = cancel->id});
    core_free(cancel);
}

void fs_fetch_cancel(struct node_fs *fs, struct fs_want *want)
{
    struct cancel *cancel;

    if (want->id == 0 || map64_remove(&fs->move->fetches, want->id) == NULL)
        return;
    cancel = core_calloc(1, sizeof(*cancel));
    if (cancel != NULL) {
        cancel->id = want->id;
        cancel->todo.run = cancel_run;
        fs_later(fs, &cancel->todo);
    }
    want->id = 0;
}

void fs_fetch_hurry(struct node_fs *fs, struct fs_want *want)
{
    want->waits = false;
    if (want->id == 0) /* it is about to begin */
        return;
    fs_fetch_cancel(fs, want); /* which comes later, so that nothing under way is dropped */
    fs_fetch_start(fs, want);
}

/* ---- events from outside ---- */

void fs_move_frame(struct node_fs *fs,
                   const struct kith_node_id *from,
                   uint8_t type,
                   struct kith_bytes data)
{
    switch (type) {
    case FRAME_FS_ASK:
        fs_serve_do(fs, &(struct serve_event){.type = SERVE_RECV, .peer = *from, .data = data});
        break;
    case FRAME_FS_DATA:
        fetch_do(fs, &(struct fetch_event){.type = FETCH_RECV, .peer = *from, .data = data});
        break;
    case FRAME_FS_KEEP:
        fs_keep_frame(fs, from, data);
        break;
    default: /* of a later version */
        break;
    }
}

static void peer_up(struct node_fs *fs, const struct kith_node_id *id, bool up)
{
    struct uv_peer *peer = uv_net_find(fs->node->net, id);
    struct serve_event serve = {.type = up ? SERVE_PEER_UP : SERVE_PEER_DOWN, .peer = *id};
    struct fetch_event fetch = {.type = up ? FETCH_PEER_UP : FETCH_PEER_DOWN, .peer = *id};

    if (up && peer != NULL)
        serve.room = fs_serve_room(fs, peer);
    fs_serve_do(fs, &serve);
    fetch_do(fs, &fetch);
}

void fs_move_link(struct node_fs *fs, const struct kith_node_id *id, bool up)
{
    fs_enter(fs);
    (void)mapid_remove(&fs->move->failed, id); /* what the stream says is newer */
    peer_up(fs, id, up);
    fs_keep_link(fs, id, up);
    fs_leave(fs);
}

/*
 * A node that others say has failed is not waited for until its streams notice, which takes many
 * times as long. Should it be there after all, it is asked again.
 */
void fs_move_member(struct node_fs *fs, const struct kith_node_id *id, bool up)
{
    struct uv_peer *peer = uv_net_find(fs->node->net, id);
    bool open = peer != NULL && uv_peer_is_open(peer, NET_CONTROL);

    /* Without a stream it is not asked anyhow. */
    if ((!up && !open) || up == (mapid_find(&fs->move->failed, id) == NULL))
        return;
    if (up)
        (void)mapid_remove(&fs->move->failed, id);
    else if (mapid_set(&fs->move->failed, id, fs) != 0)
        return; /* its streams will tell */
    if (!up || open)
        fetch_do(fs,
                 &(struct fetch_event){.type = up ? FETCH_PEER_UP : FETCH_PEER_DOWN, .peer = *id});
}

/* What was asked on a bulk stream is forgotten with it by both ends. */
void node_fs_bulk_lost(struct kith_node *node, struct uv_peer *peer)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping || !uv_peer_is_open(peer, NET_CONTROL))
        return;
    fs_enter(fs);
    peer_up(fs, uv_peer_id(peer), false);
    peer_up(fs, uv_peer_id(peer), true);
    fs_leave(fs);
}

void node_fs_drained(struct kith_node *node, struct uv_peer *peer)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping)
        return;
    fs_serve_do(fs, &(struct serve_event){.type = SERVE_ROOM,
                                          .peer = *uv_peer_id(peer),
                                          .room = fs_serve_room(fs, peer)});
}

void fs_move_content(struct node_fs *fs, const struct content *content)
{
    fs_keep_content(fs, content);
    if (fs->move->wants.n > 0)
        fs_fetch_holders(fs, content);
}

struct holders {
    struct fs_todo todo;
    struct content content;
};

static void holders_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct holders *holders = container_of(todo, struct holders, todo);
    struct kith_node_id ids[FS_FETCH_HOLDERS_MAX];
    struct fs_content_facts facts;
    struct fetch_event event = {.type = FETCH_HOLDERS, .content = holders->content, .holders = ids};

    /* Of what is named no more nobody says who has it; those who had it have it for a while. */
    if (fs_catalogue_content(fs->catalogue, holders->content.root, &facts, ids,
                             FS_FETCH_HOLDERS_MAX) == 0) {
        event.holders_n =
            facts.holders_n < FS_FETCH_HOLDERS_MAX ? facts.holders_n : FS_FETCH_HOLDERS_MAX;
        fetch_do(fs, &event);
    }
    core_free(holders);
}

/* Somebody waits for chunks of it, or may: who holds it is another than before. */
void fs_fetch_holders(struct node_fs *fs, const struct content *content)
{
    struct holders *holders = core_calloc(1, sizeof(*holders));

    if (holders == NULL)
        return;
    holders->content = *content;
    holders->todo.run = holders_run;
    fs_later(fs, &holders->todo);
}

/* ---- time and life ---- */

void fs_move_tick(struct node_fs *fs, uint64_t now_ms)
{
    if (fetch_deadline_ms(fs->move->fetch) <= now_ms)
        fetch_do(fs, &(struct fetch_event){.type = FETCH_TICK});
    fs_checks_tick(fs, now_ms);
    fs_keep_tick(fs, now_ms);
    fs_local_tick(fs, now_ms);
    fs_puts_tick(fs, now_ms);
}

uint64_t fs_move_deadline_ms(struct node_fs *fs)
{
    uint64_t due_ms = fetch_deadline_ms(fs->move->fetch);
    uint64_t keep_ms = fs_keep_deadline_ms(fs);
    uint64_t local_ms = fs_local_deadline_ms(fs);
    uint64_t puts_ms = fs_puts_deadline_ms(fs);
    uint64_t checks_ms = fs_checks_deadline_ms(fs);

    due_ms = checks_ms < due_ms ? checks_ms : due_ms;
    due_ms = keep_ms < due_ms ? keep_ms : due_ms;
    due_ms = puts_ms < due_ms ? puts_ms : due_ms;
    return local_ms < due_ms ? local_ms : due_ms;
}

int fs_move_open(struct node_fs *fs)
{
    struct fetch_config fetch = {.seed = node_seed()};
    struct serve_config serve = {.reads_max = 0};
    int r;

    fs->move = core_calloc(1, sizeof(*fs->move));
    if (fs->move == NULL)
        return KITH_E_MEMORY;
    fs->move->fs = fs;
    list_init(&fs->move->listing);
    list_init(&fs->move->copyings);
    r = fs_files_open(&fs->move->files, fs->dir);
    if (r == 0)
        r = fetch_new(&fs->move->fetch, &fetch);
    if (r == 0)
        r = fs_serve_new(&fs->move->serve, &serve);
    if (r == 0)
        r = fs_checks_open(fs->move);
    if (r == 0)
        r = fs_damages_open(fs->move);
    if (r == 0)
        r = fs_chunks_open(fs->move);
    return r == 0 ? fs_keep_open(fs) : r;
}

void fs_move_first(struct node_fs *fs)
{
    fs_keep_first(fs);
}

void fs_move_stop(struct node_fs *fs)
{
    fs_keep_stop(fs);
}

void fs_move_deinit(struct node_fs *fs)
{
    struct fs_move *move = fs->move;
    struct fs_want *want;

    if (move == NULL)
        return;
    fs_keep_deinit(fs);
    for (size_t at = 0; (want = map64_next(&move->wants, &at)) != NULL;)
        core_free(want);
    map64_deinit(&move->wants);
    map64_deinit(&move->fetches);
    mapid_deinit(&move->failed);
    fs_chunks_deinit(move);
    fs_checks_deinit(move);
    fs_damages_deinit(move);
    fetch_free(move->fetch);
    fs_serve_free(move->serve);
    fs_files_close(move->files);
    core_free(move);
}
