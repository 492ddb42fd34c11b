/*
 * Bringing a folder in step with the catalogue: what others changed (a share with --sync), and what
 * this node's own operations changed (REMOVE, RESOLVE, RESTORE; also without --sync).
 *
 * A path at a time: what is shown under it is compared with what the folder's machine knows to be
 * there. Where they differ the content is fetched first, to a part file; then a thread writes it,
 * if the folder still has what was seen (the former file goes to the trash); then the catalogue is
 * told that this disk has that version now. What is replaced and is a version that still stands, a
 * conflict, goes to the keep before: nobody else may have it.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define RUNNING_MAX  4
#define WALK_AT_ONCE 256
#define RETRY_MS     1000 /* a file that is changing, or a folder that is away */
#define RETRY_MAX_MS 60000
#define VERSIONS_MAX 64
#define AWAITED_MS   5000

/* A path that is to be looked at. */
struct sync_one {
    struct list link; /* waiting, later or running */
    struct fs_here *here;
    struct fs_todo todo;
    uint64_t number;  /* grows */
    bool runs, again; /* it changed once more meanwhile */
    bool damaged;     /* what this node has of the content is not it: it comes from others */
    uint64_t due_ms;  /* of later */
    uint32_t tries_n;
    /* of what is being made so */
    struct fs_entry entry;
    struct content content;
    bool has_content;
    uint8_t kind;
    uint32_t mode;
    int64_t mtime_ns;
    uint64_t version_id;
    char *target;
    struct local_file file;
    struct fs_copy copy;
    int fd;
    struct fs_where where;
    struct fs_job job;
    struct fs_publishing publishing;
    char *name; /* in the folder */
    struct fs_stat placed;
    int64_t placed_wall_ns;
    int code;
    char text[300];
    size_t path_len;
    char path[]; /* in the share */
};

struct fs_sync {
    struct fs_here *here;
    struct maptext all; /* struct sync_one by path */
    struct list waiting, later, running;
    uint32_t running_n;
    uint64_t last;     /* number that was given */
    struct list waits; /* struct fs_sync_wait */
    bool walking;
    struct fs_listing walk; /* through the whole share, when the folder comes */
    struct fs_todo walk_todo;
};

static void go(struct fs_here *here);

/* ---- which paths ---- */

static void one_free(struct sync_one *one)
{
    list_remove(&one->link);
    list_remove(&one->todo.link);
    maptext_remove(&one->here->sync->all, one->path);
    if (one->fd >= 0)
        (void)close(one->fd);
    fs_where_deinit(&one->where);
    core_free(one->target);
    core_free(one->name);
    core_free(one);
}

static void add(struct fs_here *here, const char *path, size_t len)
{
    struct sync_one *one = maptext_find(&here->sync->all, path);

    if (one != NULL) {
        one->again = true;
        return;
    }
    one = core_calloc(1, sizeof(*one) + len + 1);
    if (one == NULL)
        return; /* the next walk finds it */
    one->here = here;
    one->number = ++here->sync->last;
    one->fd = -1;
    one->path_len = len;
    memcpy(one->path, path, len);
    if (maptext_set(&here->sync->all, one->path, one) != 0) {
        core_free(one);
        return;
    }
    list_append(&here->sync->waiting, &one->link);
}

/* ---- who waits for them ---- */

static bool is_of(const struct sync_one *one, const struct fs_sync_wait *wait)
{
    size_t len = strlen(wait->path);

    return one->number <= wait->last && strncmp(one->path, wait->path, len) == 0 &&
           (len == 0 || one->path[len] == '\0' || one->path[len] == '/');
}

static void wait_over(struct node_fs *fs, struct fs_sync_wait *wait)
{
    list_remove(&wait->link);
    wait->done(fs, wait);
}

/* @one is as it should be, or has to be tried again later. */
static void tell_waits(struct node_fs *fs, const struct sync_one *one)
{
    list_for_each_safe (it, &one->here->sync->waits) {
        struct fs_sync_wait *wait = container_of(it, struct fs_sync_wait, link);
        if (is_of(one, wait) && --wait->left_n == 0)
            wait_over(fs, wait);
    }
}

static void tell_all_waits(struct fs_here *here)
{
    struct list *first;

    while ((first = list_first(&here->sync->waits)) != NULL)
        wait_over(here->fs, container_of(first, struct fs_sync_wait, link));
}

static size_t count_of(const struct list *all, const struct fs_sync_wait *wait)
{
    size_t n = 0;

    list_for_each (it, all)
        n += is_of(container_of(it, struct sync_one, link), wait);
    return n;
}

bool fs_sync_await(struct fs_here *here, struct fs_sync_wait *wait)
{
    if (here->sync == NULL || here->closing)
        return false;
    wait->last = here->sync->last;
    wait->until_ms = node_boot_ms() + AWAITED_MS;
    wait->left_n = count_of(&here->sync->waiting, wait) + count_of(&here->sync->running, wait);
    if (wait->left_n == 0)
        return false;
    list_append(&here->sync->waits, &wait->link);
    return true;
}

/* ---- the end of one ---- */

static void one_over(struct node_fs *fs, struct sync_one *one)
{
    struct fs_here *here = one->here;
    bool goes_on = one->code == 0 && one->again && !here->closing;

    list_remove(&one->link);
    if (one->runs)
        here->sync->running_n--;
    one->runs = false;
    if (one->fd >= 0)
        (void)close(one->fd);
    one->fd = -1;
    fs_where_deinit(&one->where);
    core_free(one->target);
    core_free(one->name);
    one->target = one->name = NULL;
    if (!goes_on) {
        tell_waits(fs, one);
        one->number = ++here->sync->last; /* if it is tried again, it is another one */
    }
    if (here->closing) {
        one_free(one);
    } else if (one->code != 0) {
        uint64_t wait_ms = (uint64_t)RETRY_MS << (one->tries_n < 6 ? one->tries_n : 6);
        if (one->code != KITH_E_AGAIN)
            log_warn(&fs->node->log.log, "files", "a file cannot be brought in step", "share",
                     here->name, "path", one->path, "reason", one->text, NULL);
        one->tries_n++;
        one->due_ms = node_boot_ms() + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
        list_append(&here->sync->later, &one->link);
    } else if (goes_on) {
        list_append(&here->sync->waiting, &one->link);
    } else {
        one_free(one);
    }
    if (!here->closing)
        go(here);
    fs_here_idle(here);
}

static void fail(struct sync_one *one, int code, const char *text)
{
    one->code = code;
    snprintf(one->text, sizeof(one->text), "%s", text);
}

/* ---- told to the catalogue, and to the folder's machine ---- */

static void on_taken(struct node_fs *fs,
                     struct fs_publishing *publishing,
                     int code,
                     const char *text,
                     uint64_t version_id)
{
    struct sync_one *one = container_of(publishing, struct sync_one, publishing);
    struct local_event written = {.type = LOCAL_WRITTEN,
                                  .name = one->path,
                                  .name_len = one->path_len,
                                  .before = one->placed,
                                  .began_wall_ns = one->placed_wall_ns};

    (void)version_id;
    if (one->has_content)
        written.content = one->content;
    if (code != 0 && code != KITH_E_NOT_FOUND)
        fail(one, code, text);
    else if (one->name != NULL) /* something was written */
        (void)fs_here_step(one->here, &written);
    if (code == KITH_E_NOT_FOUND) /* it was replaced meanwhile: look again */
        one->again = true;
    one_over(fs, one);
}

static void take(struct node_fs *fs, struct sync_one *one)
{
    one->publishing.done = on_taken;
    one->publishing.publication =
        (struct fs_publication){.change = FS_TAKE,
                                .place = FS_IN_FOLDER,
                                .share = one->here->name,
                                .share_len = (uint32_t)strlen(one->here->name),
                                .path = one->path,
                                .path_len = (uint32_t)one->path_len,
                                .version_id = one->version_id};
    if (fs_publish(fs, &one->publishing) != 0) {
        fail(one, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        one_over(fs, one);
    }
}

/* ---- written ---- */

/* A descriptor of the whole content: the part file, the keep, or a file of another folder. */
static int source_of(struct node_fs *fs, struct sync_one *one)
{
    struct fs_folder folder;
    int fd;

    if (one->fd >= 0)
        return one->fd;
    if (one->where.keep)
        return one->fd = fs_content_open(fs->move->files, FS_ROOM_KEEP, one->content.root, 0);
    fd = fs_folder_open(&folder, one->where.folder);
    if (fd == 0) {
        fd = fs_folder_open_file(&folder, one->where.name, 0 /* O_RDONLY */);
        fs_folder_close(&folder);
    }
    return one->fd = fd;
}

/* What was fetched was checked as it came; what was here is read once more. */
static bool is_good(struct node_fs *fs, const struct sync_one *one)
{
    uint64_t bytes = 0;

    return one->fd >= 0 ||
           fs_verify_where(fs, &one->where, &one->content, NULL, &bytes) != KITH_E_CORRUPT;
}

static void place_work(struct fs_job *job)
{
    struct sync_one *one = container_of(job, struct sync_one, job);
    struct fs_folder folder;
    struct fs_placing placing = {.folder = &folder,
                                 .name = one->name,
                                 .expect = one->file.stat.kind != 0 ? &one->file.stat : NULL,
                                 .share = one->here->name,
                                 .kind = one->kind,
                                 .mode = one->mode,
                                 .mtime_ns = one->mtime_ns,
                                 .fd = -1,
                                 .target = one->target};
    int r = fs_folder_open(&folder, one->here->path);

    if (r != 0) {
        fail(one, KITH_E_AGAIN, kith_errmsg());
        return;
    }
    if (one->kind == FS_FILE && !is_good(job->fs, one)) {
        one->damaged = true;
        r = KITH_E_AGAIN;
    } else if (one->kind == FS_FILE) {
        placing.fd = source_of(job->fs, one);
        placing.size = one->content.size;
        r = placing.fd < 0 ? KITH_E_AGAIN : 0;
    }
    if (r == 0)
        r = fs_place(job->fs->move->files, &placing, &one->placed);
    one->placed_wall_ns = fs_wall_ns();
    if (r != 0)
        fail(one, r, kith_errmsg());
    fs_folder_close(&folder);
    if (r == 0 && one->kind == FS_FILE)
        (void)fs_content_remove(job->fs->move->files, FS_ROOM_PART, one->content.root, 0);
}

static void place_done(struct node_fs *fs, struct fs_job *job)
{
    struct sync_one *one = container_of(job, struct sync_one, job);

    if (one->damaged && one->where.keep)
        fs_keep_damage(fs, &one->content);
    if (one->code != 0 || fs->stopping || one->here->closing)
        one_over(fs, one);
    else
        take(fs, one);
}

static void place(struct node_fs *fs, struct sync_one *one)
{
    one->job.work = place_work;
    one->job.done = place_done;
    fs_job_start(fs, &one->job);
}

/* ---- fetched ---- */

static void on_copied(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct sync_one *one = container_of(copy, struct sync_one, copy);

    one->fd = copy->fd;
    if (code != 0) {
        fail(one, code == KITH_E_UNREACHABLE ? KITH_E_AGAIN : code, text);
        one_over(fs, one);
    } else {
        place(fs, one);
    }
}

static void fetch(struct node_fs *fs, struct sync_one *one)
{
    if (one->kind != FS_FILE || (!one->damaged && fs_where_is(fs, &one->content, &one->where))) {
        place(fs, one);
        return;
    }
    one->damaged = false;
    one->copy = (struct fs_copy){.content = one->content,
                                 .priority = FETCH_BACKGROUND,
                                 .waits = true,
                                 .target = FS_COPY_PART,
                                 .done = on_copied};
    fs_copy_start(fs, &one->copy);
}

/* ---- what would be lost ---- */

static void on_kept(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct sync_one *one = container_of(copy, struct sync_one, copy);

    if (code != 0) {
        fail(one, KITH_E_AGAIN, text);
        one_over(fs, one);
    } else {
        fetch(fs, one);
    }
}

bool fs_folder_stands(struct fs_here *here, struct kith_bytes path, const struct local_file *file)
{
    struct fs_entry versions[VERSIONS_MAX];
    struct fs_content_facts facts;
    struct kith_bytes share = {here->name, strlen(here->name)};
    struct fs_catalogue *catalogue = here->fs->catalogue;

    if (file->stat.kind != FS_FILE || file->content.size == 0 ||
        fs_catalogue_content(catalogue, file->content.root, &facts, NULL, 0) != 0 || !facts.live ||
        (facts.own & FS_IN_KEEP) != 0)
        return false;
    size_t n = fs_catalogue_versions(catalogue, share, path, versions, VERSIONS_MAX);
    for (size_t i = 0; i < n && i < VERSIONS_MAX; i++) {
        if (versions[i].is_conflict && versions[i].has_content &&
            content_equal(&versions[i].content, &file->content))
            return true;
    }
    return false;
}

/* ---- one path ---- */

/* What is to be there; false: nothing has to be done. */
static bool wanted(struct node_fs *fs, struct sync_one *one)
{
    struct fs_entry versions[1];
    struct kith_bytes share = {one->here->name, strlen(one->here->name)};
    struct kith_bytes path = {one->path, one->path_len};

    if (fs_catalogue_versions(fs->catalogue, share, path, versions, 1) == 0)
        return false;
    one->entry = versions[0];
    one->kind = versions[0].kind;
    one->mode = versions[0].mode;
    one->mtime_ns = versions[0].mtime_ns;
    one->version_id = versions[0].version_id;
    one->has_content = versions[0].has_content;
    if (one->has_content)
        one->content = versions[0].content;
    if (one->kind == FS_SYMLINK) {
        struct fs_version version;
        fs_known_version(fs->catalogue, versions[0].known, &version);
        one->target = core_strndup(version.target, version.target_len);
        if (one->target == NULL)
            return false;
    }
    return true;
}

static bool is_there(const struct sync_one *one)
{
    const struct local_file *file = &one->file;

    if (one->kind == FS_DELETED)
        return file->stat.kind == 0;
    if (one->kind != file->stat.kind)
        return false;
    if (one->kind == FS_FILE)
        return content_equal(&file->content, &one->content) &&
               (file->stat.mode & 0777) == (one->mode & 0777);
    return one->kind == FS_DIRECTORY; /* a symlink is written again: it is small */
}

static void run(struct node_fs *fs, struct sync_one *one)
{
    struct local_core *core = one->here->core;
    struct buf name = {0};

    one->again = false;
    one->code = 0;
    one->text[0] = '\0';
    if (!wanted(fs, one) || local_ignores(core, one->path, one->path_len, false)) {
        one_over(fs, one);
        return;
    }
    int r = local_can_write(core, one->path, one->path_len, &one->file);
    if (r != 0) {
        fail(one, r, "it is changing");
        one_over(fs, one);
        return;
    }
    if (is_there(one)) {
        if (one->entry.own_main)
            one_over(fs, one);
        else
            take(fs, one);
        return;
    }
    if (local_name_of(core, one->path, one->path_len, &name) != 0 || buf_append_u8(&name, 0) != 0) {
        buf_deinit(&name);
        fail(one, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        one_over(fs, one);
        return;
    }
    one->name = (char *)name.data;
    if (!fs_folder_stands(one->here, (struct kith_bytes){one->path, one->path_len}, &one->file)) {
        fetch(fs, one);
        return;
    }
    one->copy =
        (struct fs_copy){.content = one->file.content, .priority = FETCH_ORDINARY, .done = on_kept};
    fs_copy_start(fs, &one->copy);
}

static void run_todo(struct node_fs *fs, struct fs_todo *todo)
{
    run(fs, container_of(todo, struct sync_one, todo));
}

static void go(struct fs_here *here)
{
    struct fs_sync *sync = here->sync;
    struct list *first;

    fs_enter(here->fs);
    while (sync->running_n < RUNNING_MAX && (first = list_first(&sync->waiting)) != NULL) {
        struct sync_one *one = container_of(first, struct sync_one, link);
        list_remove(first);
        list_append(&sync->running, first);
        one->runs = true;
        sync->running_n++;
        fs_here_busy(here);
        one->todo.run = run_todo;
        fs_later(here->fs, &one->todo);
    }
    fs_leave(here->fs);
}

/* ---- the whole share ---- */

/* Of what this disk has as its version a file may still be in the keep alone: it was put here
 * before there was a folder. */
static bool may_be_missing(const struct fs_entry *entry)
{
    bool in_keep =
        entry->kind == FS_FILE && (entry->own & (FS_IN_KEEP | FS_IN_FOLDER)) == FS_IN_KEEP;

    return !entry->is_conflict && entry->known != NULL && (!entry->own_main || in_keep);
}

static void walk_page(struct node_fs *fs, struct fs_todo *todo)
{
    struct fs_sync *sync = container_of(todo, struct fs_sync, walk_todo);
    struct fs_here *here = sync->here;
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    struct fs_walk walk = {
        .share = {here->name, strlen(here->name)}, .path = {"", 0}, .flags = FS_WALK_DELETED};
    size_t n = 0;

    if (walked == NULL || here->closing ||
        fs_catalogue_walk(fs->catalogue, &walk, &sync->walk, walked, WALK_AT_ONCE, &n) != 0)
        sync->walk.ended = true;
    for (size_t i = 0; i < n; i++) {
        if (may_be_missing(&walked[i].entry))
            add(here, walked[i].path, walked[i].path_len);
    }
    core_free(walked);
    sync->walking = !sync->walk.ended;
    go(here);
}

void fs_sync_walk(struct fs_here *here)
{
    if (here->mode != KITH_SHARE_SYNC || here->sync == NULL || here->sync->walking)
        return;
    here->sync->walking = true;
    here->sync->walk = (struct fs_listing){.begun = false};
    here->sync->walk_todo.run = walk_page;
    fs_enter(here->fs);
    fs_later(here->fs, &here->sync->walk_todo);
    fs_leave(here->fs);
}

/* ---- from outside ---- */

void fs_sync_path(struct fs_here *here, const char *path, size_t len)
{
    if (here->sync == NULL || here->closing || len == 0)
        return;
    add(here, path, len);
    go(here);
}

/* Inside a step of the catalogue. */
void fs_local_changed(struct node_fs *fs, const struct catalogue_change *change)
{
    struct fs_here *here = fs_here_find(fs, change->share, strlen(change->share));

    if (here == NULL || here->mode != KITH_SHARE_SYNC || !here->started)
        return;
    fs_sync_path(here, change->path, strlen(change->path));
    if (change->from_path != NULL)
        fs_sync_path(here, change->from_path, strlen(change->from_path));
}

/* Once a second: what had to wait, and the next page of a walk. */
void fs_sync_tick(struct fs_here *here)
{
    uint64_t now_ms = node_boot_ms();

    if (here->sync == NULL || here->closing)
        return;
    list_for_each_safe (it, &here->sync->waits) {
        struct fs_sync_wait *wait = container_of(it, struct fs_sync_wait, link);
        if (wait->until_ms <= now_ms)
            wait_over(here->fs, wait);
    }
    list_for_each_safe (it, &here->sync->later) {
        struct sync_one *one = container_of(it, struct sync_one, link);
        if (one->due_ms > now_ms)
            continue;
        list_remove(it);
        list_append(&here->sync->waiting, it);
    }
    go(here);
    if (here->sync->walking && !list_linked(&here->sync->walk_todo.link)) {
        fs_enter(here->fs);
        fs_later(here->fs, &here->sync->walk_todo);
        fs_leave(here->fs);
    }
}

int fs_sync_open(struct fs_here *here)
{
    here->sync = core_calloc(1, sizeof(*here->sync));
    if (here->sync == NULL)
        return KITH_E_MEMORY;
    here->sync->here = here;
    list_init(&here->sync->waiting);
    list_init(&here->sync->later);
    list_init(&here->sync->running);
    list_init(&here->sync->waits);
    return 0;
}

static void drop(struct list *all)
{
    struct list *first;

    while ((first = list_first(all)) != NULL)
        one_free(container_of(first, struct sync_one, link));
}

/* What waits goes; what a thread does or the catalogue is asked for ends by itself. */
void fs_sync_deinit(struct fs_here *here)
{
    if (here->sync == NULL)
        return;
    tell_all_waits(here);
    list_remove(&here->sync->walk_todo.link);
    drop(&here->sync->waiting);
    drop(&here->sync->later);
    list_for_each_safe (it, &here->sync->running) {
        struct sync_one *one = container_of(it, struct sync_one, link);
        bool copies = one->copy.inside != NULL, waits = list_linked(&one->todo.link);
        if (copies)
            (void)fs_copy_cancel(here->fs, &one->copy);
        if (!copies && !waits)
            continue;
        list_remove(it);
        one_free(one);
        here->busy_n--;
    }
}

void fs_sync_free(struct fs_here *here)
{
    if (here->sync == NULL)
        return;
    drop(&here->sync->waiting);
    drop(&here->sync->later);
    drop(&here->sync->running);
    maptext_deinit(&here->sync->all);
    core_free(here->sync);
    here->sync = NULL;
}
