/*
 * What threads do for a folder: scans, and looks at single names (hashes: fs_folder_hash.c). Each
 * opens the folder by its path anew, so that one that is gone, or another one in its place, is
 * noticed.
 *
 * A scan is told to the loop in batches; the thread goes on when the loop has taken all but a few
 * of them, so that a folder of any size needs little memory.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_lists.h"
#include "node/internal.h"

#define BATCHES_AHEAD 4

/* ---- scans ---- */

struct scan {
    struct fs_job job;
    struct fs_here *here;
    uint64_t token;
    char *name;
    struct worker_room room; /* for batches under way */
    struct fs_scan_result result;
    int code;
    char text[512];
};

/* One item of a scan on its way to the loop, with copies of all that it points to. */
struct scan_batch {
    struct node_request request;
    struct scan *scan;
    struct fs_scan_item item;
    struct local_seen *seen;
    struct buf bytes;
};

static size_t copy(struct buf *bytes, const void *data, size_t len, int *code)
{
    size_t at = bytes->len;

    if (*code == 0 && len > 0)
        *code = buf_append(bytes, data, len);
    if (*code == 0)
        *code = buf_append_u8(bytes, 0);
    return at;
}

/* Offsets become pointers when the bytes stand still. */
struct seen_at {
    size_t name, target, text;
};

static void batch_free(struct scan_batch *batch)
{
    if (batch == NULL)
        return;
    buf_deinit(&batch->bytes);
    core_free(batch->seen);
    core_free(batch);
}

static int batch_copy_seen(struct scan_batch *batch, const struct fs_scan_item *item)
{
    struct seen_at *at = core_calloc(item->n + 1, sizeof(*at));
    int code = 0;

    batch->seen = core_calloc(item->n + 1, sizeof(*batch->seen));
    if (at == NULL || batch->seen == NULL) {
        core_free(at);
        return KITH_E_MEMORY;
    }
    for (size_t i = 0; i < item->n; i++) {
        const struct local_seen *from = &item->seen[i];
        batch->seen[i] = *from;
        at[i].name = copy(&batch->bytes, from->name, from->name_len, &code);
        at[i].target = copy(&batch->bytes, from->target, from->target_len, &code);
        at[i].text =
            copy(&batch->bytes, from->text, from->text != NULL ? strlen(from->text) : 0, &code);
    }
    for (size_t i = 0; i < item->n && code == 0; i++) {
        const char *bytes = (const char *)batch->bytes.data;
        batch->seen[i].name = bytes + at[i].name;
        batch->seen[i].target = bytes + at[i].target;
        batch->seen[i].text = bytes + at[i].text;
    }
    core_free(at);
    batch->item.seen = batch->seen;
    return code;
}

static int batch_copy(struct scan_batch *batch, const struct fs_scan_item *item)
{
    int code = 0;

    batch->item = *item;
    if (item->kind == FS_SCAN_SEEN)
        return batch_copy_seen(batch, item);
    size_t name = copy(&batch->bytes, item->name, item->name_len, &code);
    size_t data = copy(&batch->bytes, item->data.data, item->data.len, &code);
    size_t text =
        copy(&batch->bytes, item->text, item->text != NULL ? strlen(item->text) : 0, &code);
    if (code != 0)
        return code;
    batch->item.name = (const char *)batch->bytes.data + name;
    batch->item.data.data = batch->bytes.data + data;
    batch->item.text = (const char *)batch->bytes.data + text;
    return 0;
}

static void batch_run(struct kith_node *node, struct node_request *request)
{
    struct scan_batch *batch = container_of(request, struct scan_batch, request);
    struct scan *scan = batch->scan;
    struct local_event event = {.token = scan->token, .root = batch->item.root};

    (void)node;
    switch (batch->item.kind) {
    case FS_SCAN_SEEN:
        event.type = LOCAL_SEEN;
        event.seen = batch->item.seen;
        event.n = batch->item.n;
        break;
    case FS_SCAN_RULES:
        event.type = LOCAL_RULES;
        event.name = batch->item.name;
        event.name_len = batch->item.name_len;
        event.data = batch->item.data;
        break;
    case FS_SCAN_BLIND:
        log_warn(&node->log.log, "files", "changes of a folder are seen late", "share",
                 scan->here->name, "reason", batch->item.text, NULL);
        event.type = LOCAL_BLIND;
        event.blind = true;
        break;
    }
    fs_here_step(scan->here, &event);
    fs_here_give_room(scan->here, &scan->room);
    batch_free(batch);
}

/* The thread may go on, or once the machine has less to do. */
void fs_here_give_room(struct fs_here *here, struct worker_room *room)
{
    if (room != NULL) {
        here->scan_room = room;
        here->scan_rooms_n++;
    }
    if (here->scan_rooms_n > 0 &&
        (here->closing || here->fs->stopping || !local_is_full(here->core))) {
        workers_give(here->fs->workers, here->scan_room, here->scan_rooms_n);
        here->scan_rooms_n = 0;
    }
}

/* On the thread, which does other work while there is no room. */
static int on_item(void *user, const struct fs_scan_item *item)
{
    struct scan *scan = user;
    struct scan_batch *batch = core_calloc(1, sizeof(*batch));

    if (batch == NULL || batch_copy(batch, item) != 0) {
        batch_free(batch);
        return KITH_E_MEMORY;
    }
    batch->scan = scan;
    batch->request.run = batch_run;
    workers_wait(scan->here->fs->workers, &scan->room);
    node_push(scan->here->fs->node, &batch->request);
    return 0;
}

static void scan_work(struct fs_job *job)
{
    struct scan *scan = container_of(job, struct scan, job);

    scan->code = fs_scan(scan->here->scanner, scan->name, scan->here->one_level, &scan->here->stop,
                         on_item, scan, &scan->result);
    snprintf(scan->text, sizeof(scan->text), "%s", kith_errmsg());
}

static void scan_free(struct scan *scan)
{
    core_free(scan->name);
    core_free(scan);
}

static void scan_done(struct node_fs *fs, struct fs_job *job)
{
    struct scan *scan = container_of(job, struct scan, job);
    struct fs_here *here = scan->here;
    struct local_event event = {.type = LOCAL_SCANNED,
                                .token = scan->token,
                                .code = scan->code,
                                .text = scan->text,
                                .root = scan->result.root,
                                .root_empty = scan->result.root_empty};

    (void)fs;
    here->scan_rooms_n = 0;
    fs_here_step(here, &event);
    scan_free(scan);
    fs_here_idle(here);
}

static void no_memory(struct fs_here *here)
{
    node_state_end_process(here->fs->node, "memory is short: start the node again");
}

void fs_here_scan(struct fs_here *here, const struct local_action *action)
{
    struct scan *scan = core_calloc(1, sizeof(*scan));

    if (scan == NULL || (scan->name = core_strndup(action->name, action->name_len)) == NULL)
        no_memory(here);
    scan->here = here;
    scan->token = action->token;
    scan->room.n = BATCHES_AHEAD;
    scan->job.work = scan_work;
    scan->job.done = scan_done;
    fs_here_busy(here);
    fs_job_start_waiter(here->fs, &scan->job);
}

/* ---- looks ---- */

struct look {
    struct fs_job job;
    struct fs_here *here;
    uint64_t token;
    int code; /* of opening the folder */
    struct fs_root_id root;
    bool root_empty;
    struct local_seen seen;
    char room[FS_TARGET_BYTES_MAX + 1];
    char name[];
};

static void look_work(struct fs_job *job)
{
    struct look *look = container_of(job, struct look, job);
    struct fs_folder folder;

    look->code = fs_folder_open(&folder, look->here->path);
    look->seen = (struct local_seen){.name = look->name,
                                     .name_len = strlen(look->name),
                                     .found = LOCAL_ABSENT,
                                     .target = "",
                                     .text = ""};
    if (look->code == KITH_E_NOT_FOUND)
        return;
    if (look->code != 0) {
        look->seen.found = LOCAL_UNREADABLE;
        snprintf(look->room, sizeof(look->room), "%s", kith_errmsg());
        look->seen.text = look->room;
        return;
    }
    look->root = folder.root;
    fs_look(&folder, look->name, &look->seen, look->room);
    look->root_empty = look->seen.found == LOCAL_ABSENT && fs_folder_is_empty(&folder);
    fs_folder_close(&folder);
}

static void look_done(struct node_fs *fs, struct fs_job *job)
{
    struct look *look = container_of(job, struct look, job);
    struct fs_here *here = look->here;
    struct local_event event = {.type = LOCAL_LOOKED,
                                .token = look->token,
                                .seen = &look->seen,
                                .n = 1,
                                .root = look->root,
                                .root_empty = look->root_empty};

    (void)fs;
    fs_here_step(here, &event);
    core_free(look);
    fs_here_idle(here);
}

void fs_here_look(struct fs_here *here, const struct local_action *action)
{
    struct look *look = core_calloc(1, sizeof(*look) + action->name_len + 1);

    if (look == NULL)
        no_memory(here);
    look->here = here;
    look->token = action->token;
    memcpy(look->name, action->name, action->name_len);
    look->job.work = look_work;
    look->job.done = look_done;
    fs_here_busy(here);
    fs_job_start(here->fs, &look->job);
}
