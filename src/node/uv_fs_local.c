/*
 * The driver of folders: the machine of each (fs/local.h) gets what its watch and its threads see,
 * and time; what it wants is done by fs_folder_*.c.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/internal.h"

#define WALK_AT_ONCE 256

/* ---- stepping ---- */

static void set_state(struct fs_here *here, const struct local_action *action)
{
    if (here->tracking != NULL) {
        here->state = action->state;
        fs_track_state(here);
        return;
    }
    bool worse = action->state == LOCAL_AWAY || action->state == LOCAL_HELD;
    bool was_worse = here->state == LOCAL_AWAY || here->state == LOCAL_HELD;
    char *text = core_strndup(action->text, strlen(action->text));

    if (action->state == LOCAL_WATCHED && here->state != LOCAL_WATCHED)
        fs_sync_walk(here);
    here->state = action->state;
    core_free(here->state_text);
    here->state_text = text;
    if (worse)
        log_warn(&here->fs->node->log.log, "files", "a folder is not followed", "share", here->name,
                 "reason", action->text, NULL);
    else if (was_worse)
        log_info(&here->fs->node->log.log, "files", "a folder is followed again", "share",
                 here->name, NULL);
}

static void do_action(struct fs_here *here, const struct local_action *action)
{
    switch (action->type) {
    case LOCAL_SCAN:
        fs_here_scan(here, action);
        break;
    case LOCAL_LOOK:
        fs_here_look(here, action);
        break;
    case LOCAL_HASH:
        if (here->tracking != NULL)
            fs_track_hash(here, action);
        else
            fs_here_hash(here, action);
        break;
    case LOCAL_PUBLISH:
        if (here->tracking != NULL)
            fs_track_publish(here, action);
        else
            fs_here_publish(here, action);
        break;
    case LOCAL_PERSIST:
        if (here->tracking == NULL)
            fs_put(here->fs, action->key, action->data);
        break;
    case LOCAL_STATE:
        set_state(here, action);
        break;
    case LOCAL_PROBLEM:
        break; /* kith share ls lists them */
    }
}

int fs_here_step(struct fs_here *here, struct local_event *event)
{
    struct local_output out;

    if (here->closing || here->core == NULL || here->fs->stopping)
        return KITH_E_STOPPED;
    event->now_ms = node_boot_ms();
    event->wall_ns = (int64_t)node_turn_unix_ms(here->fs->node) * 1000000;
    fs_enter(here->fs);
    int r = local_step(here->core, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(here, &out.actions[i]);
    if (r == KITH_E_MEMORY)
        log_error(&here->fs->node->log.log, "files", "memory is short: a step was lost", "share",
                  here->name, NULL);
    if (here->scan_rooms_n > 0)
        fs_here_give_room(here, NULL);
    if (here->tracking != NULL)
        fs_track_look(here);
    fs_leave(here->fs);
    return r;
}

int fs_here_confirm(struct fs_here *here)
{
    return fs_here_step(here, &(struct local_event){.type = LOCAL_CONFIRM});
}

/* ---- the watch ---- */

static void on_touch(void *user, const struct fs_watch_event *event)
{
    struct fs_here *here = user;
    struct local_event step = {.type = event->overflow ? LOCAL_OVERFLOW : LOCAL_TOUCHED,
                               .name = event->name,
                               .name_len = event->name_len,
                               .touch = event->touch};

    fs_here_step(here, &step);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct fs_here *here = poll->data;

    (void)events;
    if (status != 0 || here->closing)
        return;
    here->fs->node->work_n++;
    fs_enter(here->fs);
    (void)fs_watch_read(here->watch, on_touch, here); /* what is left comes with the next turn */
    fs_leave(here->fs);
}

static void watch_begin(struct fs_here *here)
{
    if (here->watch != NULL &&
        uv_poll_init(&here->fs->node->loop, &here->poll, fs_watch_fd(here->watch)) == 0) {
        here->poll.data = here;
        here->polling = true;
        here->handles_n++;
        uv_poll_start(&here->poll, UV_READABLE, on_readable);
    }
}

/* ---- life of one ---- */

static void here_free(struct fs_here *here)
{
    if (here == NULL)
        return;
    fs_sync_free(here);
    fs_tracking_free(here->tracking);
    local_free(here->core);
    fs_scanner_free(here->scanner);
    fs_watch_free(here->watch);
    core_free(here->state_text);
    core_free(here->path);
    core_free(here);
}

int fs_here_new(struct node_fs *fs, const struct fs_here_config *config, struct fs_here **here_out)
{
    struct local_config local = {.folder = config->number,
                                 .share = config->name,
                                 .tracks = config->tracking != NULL,
                                 .one_level = config->one_level};
    struct fs_here *here = core_calloc(1, sizeof(*here));
    int r = here == NULL ? KITH_E_MEMORY : 0;

    if (r != 0)
        return r;
    here->fs = fs;
    here->number = config->number;
    here->mode = config->mode;
    here->replicas = config->replicas;
    here->one_level = config->one_level;
    list_init(&here->hashes);
    snprintf(here->name, sizeof(here->name), "%s", config->name);
    here->path = core_strndup(config->path, strlen(config->path));
    if (here->path == NULL)
        r = KITH_E_MEMORY;
    if (r == 0 && fs_watch_new(&here->watch) != 0) {
        local.blind = true; /* scans alone do */
        log_warn(&fs->node->log.log, "files", "changes of a folder are seen late", "share",
                 here->name, "reason", kith_errmsg(), NULL);
    }
    if (r == 0)
        r = fs_scanner_new(&here->scanner, here->path, here->watch, local.tracks);
    if (!local.tracks) /* what is tracked is named by how it looks, which nobody else has */
        local.contents = fs_catalogue_contents(fs->catalogue);
    if (r == 0)
        r = local_new(&here->core, &local);
    if (r == 0 && config->tracking == NULL)
        r = fs_sync_open(here);
    if (r != 0) {
        here_free(here);
        return r;
    }
    here->tracking = config->tracking; /* from here on */
    list_append(here->tracking != NULL ? &fs->local->tracked : &fs->local->folders, &here->link);
    *here_out = here;
    return 0;
}

/* What the catalogue says that this folder has. */
static void tell_owned(struct fs_here *here)
{
    struct node_fs *fs = here->fs;
    struct fs_walk walk = {
        .share = {here->name, strlen(here->name)}, .path = {"", 0}, .flags = FS_WALK_OWN};
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    struct fs_listing at = {.begun = false};
    struct buf names = {0};

    while (walked != NULL && !at.ended) {
        size_t n = 0, name_at = 0;
        names.len = 0;
        if (fs_catalogue_walk(fs->catalogue, &walk, &at, walked, WALK_AT_ONCE, &n) != 0)
            break;
        for (size_t i = 0; i < n; i++)
            (void)buf_append(&names, walked[i].path, walked[i].path_len);
        for (size_t i = 0; i < n && names.len > 0; i++) {
            struct kith_bytes path = {names.data + name_at, walked[i].path_len};
            struct local_event event = {
                .type = LOCAL_OWNED, .name = path.data, .name_len = path.len};
            struct fs_entry entry;
            name_at += walked[i].path_len;
            if (path.len == 0 ||
                fs_catalogue_stat_at(fs->catalogue, walk.share, path, &fs->node->identity.id,
                                     &entry) != 0 ||
                (entry.kind == FS_FILE && (entry.own & FS_IN_FOLDER) == 0))
                continue;
            event.before.kind = entry.kind;
            event.before.mode = entry.mode;
            event.before.mtime_ns = entry.mtime_ns;
            event.before.size = entry.size;
            event.content = entry.content;
            (void)fs_here_step(here, &event);
        }
    }
    buf_deinit(&names);
    core_free(walked);
}

void fs_here_start(struct fs_here *here)
{
    if (here->tracking == NULL)
        tell_owned(here);
    here->started = true;
    watch_begin(here);
    fs_here_step(here, &(struct local_event){.type = LOCAL_START});
}

void fs_here_busy(struct fs_here *here)
{
    here->busy_n++;
}

static void free_if_over(struct fs_here *here)
{
    if (!here->closing || here->busy_n > 0 || here->handles_n > 0)
        return;
    list_remove(&here->link);
    here_free(here);
}

void fs_here_idle(struct fs_here *here)
{
    here->busy_n--;
    free_if_over(here);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct fs_here *here = handle->data;

    here->handles_n--;
    free_if_over(here);
}

void fs_here_close(struct fs_here *here)
{
    if (here->closing)
        return;
    here->closing = true;
    fs_here_give_room(here, NULL);
    atomic_store(&here->stop, true);
    fs_here_stop_hashes(here);
    fs_sync_deinit(here);
    if (here->polling)
        uv_close((uv_handle_t *)&here->poll, on_poll_closed);
    free_if_over(here);
}

struct fs_here *fs_here_find(struct node_fs *fs, const char *name, size_t len)
{
    list_for_each (it, &fs->local->folders) {
        struct fs_here *here = container_of(it, struct fs_here, link);
        if (!here->closing && strlen(here->name) == len && memcmp(here->name, name, len) == 0)
            return here;
    }
    return NULL;
}

static struct fs_here *find_number(struct node_fs *fs, uint64_t number)
{
    list_for_each (it, &fs->local->folders) {
        struct fs_here *here = container_of(it, struct fs_here, link);
        if (here->number == number)
            return here;
    }
    return NULL;
}

/* ---- all of them ---- */

int fs_local_open(struct node_fs *fs)
{
    fs->local = core_calloc(1, sizeof(*fs->local));
    if (fs->local == NULL)
        return KITH_E_MEMORY;
    list_init(&fs->local->folders);
    list_init(&fs->local->tracked);
    return 0;
}

int fs_local_recall_entry(struct node_fs *fs, const struct store_entry *entry)
{
    const uint8_t *key = entry->key.data;
    struct local_output out;
    struct fs_here *here = entry->key.len == LOCAL_KEY_BYTES
                               ? find_number(fs, get_le64(key + LOCAL_KEY_PREFIX_LEN))
                               : NULL;
    struct local_event event = {.type = LOCAL_RECALL,
                                .now_ms = node_boot_ms(),
                                .wall_ns = (int64_t)node_unix_ms() * 1000000,
                                .key = entry->key,
                                .data = entry->value};

    if (here == NULL)
        return buf_append(&fs->local->orphans, entry->key.data, LOCAL_KEY_BYTES);
    int r = local_step(here->core, &event, &out);
    if (r == KITH_E_CORRUPT) /* nobody would find it again */
        return buf_append(&fs->local->orphans, entry->key.data, LOCAL_KEY_BYTES);
    return r == KITH_E_MEMORY ? r : 0;
}

void fs_local_first(struct node_fs *fs)
{
    /* What is known of files in folders that are shared no more, or is no use. */
    for (size_t at = 0; at + LOCAL_KEY_BYTES <= fs->local->orphans.len; at += LOCAL_KEY_BYTES)
        fs_put(fs, (struct kith_bytes){fs->local->orphans.data + at, LOCAL_KEY_BYTES},
               (struct kith_bytes){NULL, 0});
    buf_deinit(&fs->local->orphans);
    list_for_each (it, &fs->local->folders) {
        fs_here_start(container_of(it, struct fs_here, link));
    }
}

static void tick_all(struct list *all, uint64_t now_ms)
{
    list_for_each_safe (it, all) {
        struct fs_here *here = container_of(it, struct fs_here, link);
        if (!here->closing && here->started && local_deadline_ms(here->core) <= now_ms)
            fs_here_step(here, &(struct local_event){.type = LOCAL_TICK});
    }
}

void fs_local_tick(struct node_fs *fs, uint64_t now_ms)
{
    tick_all(&fs->local->folders, now_ms);
    tick_all(&fs->local->tracked, now_ms);
}

static uint64_t deadline_of(const struct list *all)
{
    uint64_t due_ms = UINT64_MAX;

    list_for_each (it, all) {
        const struct fs_here *here = container_of(it, struct fs_here, link);
        uint64_t one_ms =
            here->closing || !here->started ? UINT64_MAX : local_deadline_ms(here->core);
        due_ms = one_ms < due_ms ? one_ms : due_ms;
    }
    return due_ms;
}

uint64_t fs_local_deadline_ms(struct node_fs *fs)
{
    uint64_t due_ms = deadline_of(&fs->local->folders);
    uint64_t tracked_ms = deadline_of(&fs->local->tracked);

    return tracked_ms < due_ms ? tracked_ms : due_ms;
}

void fs_local_sample(struct node_fs *fs)
{
    list_for_each (it, &fs->local->folders) {
        fs_sync_tick(container_of(it, struct fs_here, link));
    }
}

static void close_all(struct list *all)
{
    list_for_each_safe (it, all) {
        fs_here_close(container_of(it, struct fs_here, link));
    }
}

void fs_local_stop(struct node_fs *fs)
{
    close_all(&fs->local->folders);
    close_all(&fs->local->tracked);
}

static void free_all(struct list *all)
{
    struct list *first;

    while ((first = list_first(all)) != NULL) {
        list_remove(first);
        here_free(container_of(first, struct fs_here, link));
    }
}

void fs_local_deinit(struct node_fs *fs)
{
    if (fs->local == NULL)
        return;
    free_all(&fs->local->folders);
    free_all(&fs->local->tracked);
    buf_deinit(&fs->local->orphans);
    core_free(fs->local);
}
