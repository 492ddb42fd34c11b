/*
 * Changes of files of this machine that are not shared (kith_fs_track): a folder's machine whose
 * publications are told to a program instead. Nothing is read: what a file looks like stands for
 * what is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/internal.h"

struct fs_tracking {
    struct fs_here *here;
    struct node_request request;
    struct fs_job job;
    struct kith_node *node;
    int64_t no;
    bool recursive;
    bool told; /* the first scan is over: changes are told */
    bool gone; /* the folder was told to be gone */
    kith_fs_change_cb cb;
    void *user;
    void (*began)(struct kith_node *node, int64_t no, const char *text, void *user);
    void *began_user;
    int code;
    char text[512];
    char local[PATH_MAX];
    char *only; /* a file alone: its name in the folder; else NULL */
};

/* ---- what the machine wants ---- */

struct answer {
    struct fs_todo todo;
    struct fs_here *here;
    struct local_event event;
};

static void answer_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct answer *answer = container_of(todo, struct answer, todo);
    struct fs_here *here = answer->here;

    (void)fs;
    (void)fs_here_step(here, &answer->event);
    core_free(answer);
    fs_here_idle(here);
}

static void answer(struct fs_here *here, const struct local_event *event)
{
    struct answer *later = core_calloc(1, sizeof(*later));

    if (later == NULL)
        node_state_end_process(here->fs->node, "memory is short: start the node again");
    later->here = here;
    later->event = *event;
    later->todo.run = answer_run;
    fs_here_busy(here);
    fs_later(here->fs, &later->todo);
}

void fs_track_hash(struct fs_here *here, const struct local_action *action)
{
    struct local_event event = {.type = LOCAL_HASHED,
                                .token = action->token,
                                .text = "",
                                .before = action->stat,
                                .after = action->stat,
                                .began_wall_ns = INT64_MAX};
    uint8_t looks[24];

    /* Not ctime: a new name or another mode moves that of the same bytes. */
    put_le64(looks, action->stat.inode);
    put_le64(looks + 8, action->stat.size);
    put_le64(looks + 16, (uint64_t)action->stat.mtime_ns);
    event.content = (struct content){.size = action->stat.size, .hash = CONTENT_BLAKE2B_256};
    event.content.chunk_log2 = content_chunk_log2(action->stat.size);
    content_hash_bytes(CONTENT_BLAKE2B_256, looks, sizeof(looks), event.content.root);
    answer(here, &event);
}

static enum kith_fs_change_type type_of(uint8_t change)
{
    switch (change) {
    case LOCAL_CREATED:
        return KITH_FS_CREATED;
    case LOCAL_ATTRIBUTES:
        return KITH_FS_ATTRIBUTES;
    case LOCAL_RENAMED:
        return KITH_FS_RENAMED;
    case LOCAL_DELETED:
        return KITH_FS_DELETED_NOW;
    default:
        return KITH_FS_MODIFIED;
    }
}

static void
tell(struct fs_here *here, enum kith_fs_change_type type, const char *path, const char *from)
{
    struct kith_fs_change change = {.type = type,
                                    .path = path,
                                    .from = from,
                                    .author = here->fs->node->identity.id,
                                    .author_name = here->fs->node->name};

    here->tracking->cb(here->fs->node, &change, here->tracking->user);
}

void fs_track_publish(struct fs_here *here, const struct local_action *action)
{
    const struct fs_tracking *tracking = here->tracking;
    const char *slash = here->path[1] != '\0' ? "/" : "";
    char path[PATH_MAX + FS_PATH_BYTES_MAX + 2], from[PATH_MAX + FS_PATH_BYTES_MAX + 2] = "";

    answer(here,
           &(struct local_event){.type = LOCAL_PUBLISHED, .token = action->token, .text = ""});
    if (!tracking->told || here->closing)
        return;
    snprintf(path, sizeof(path), "%s%s%s", here->path, slash, action->path);
    if (action->change == LOCAL_RENAMED)
        snprintf(from, sizeof(from), "%s%s%s", here->path, slash, action->from);
    if (tracking->only == NULL || strcmp(action->path, tracking->only) == 0)
        tell(here, type_of(action->change), path, from);
    else if (from[0] != '\0' && strcmp(action->from, tracking->only) == 0)
        tell(here, KITH_FS_RENAMED, path, from);
}

/* Who is told may end the tracking: @here stays until the step that tells is over. */
struct stay {
    struct fs_todo todo;
    struct fs_here *here;
};

static void stay_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct stay *stay = container_of(todo, struct stay, todo);
    struct fs_here *here = stay->here;

    (void)fs;
    core_free(stay);
    fs_here_idle(here);
}

/* The folder itself. */
static void tell_root(struct fs_here *here, enum kith_fs_change_type type)
{
    struct stay *stay = core_calloc(1, sizeof(*stay));

    if (stay == NULL)
        node_state_end_process(here->fs->node, "memory is short: start the node again");
    *stay = (struct stay){.todo.run = stay_run, .here = here};
    fs_here_busy(here);
    fs_later(here->fs, &stay->todo);
    if (!here->closing)
        tell(here, type, here->path, "");
}

void fs_track_state(struct fs_here *here)
{
    struct fs_tracking *tracking = here->tracking;

    if (here->state == LOCAL_AWAY || !tracking->gone)
        return;
    tracking->gone = false;
    tell_root(here, KITH_FS_CREATED);
}

/* The folder is missing, and all that was in it has been told. */
static void look_for_root(struct fs_here *here)
{
    struct fs_tracking *tracking = here->tracking;
    struct local_stats stats;

    if (here->state != LOCAL_AWAY || tracking->gone || tracking->only != NULL)
        return;
    local_stats(here->core, &stats);
    if (stats.entries + stats.gone + stats.settling + stats.waiting + stats.looking +
            stats.publishing >
        0)
        return;
    tracking->gone = true;
    tell_root(here, KITH_FS_DELETED_NOW);
}

void fs_track_look(struct fs_here *here)
{
    struct fs_tracking *tracking = here->tracking;
    struct local_stats stats;

    if (tracking->told) {
        look_for_root(here);
        return;
    }
    if (here->state == 0 || here->state == LOCAL_SCANNING)
        return;
    local_stats(here->core, &stats);
    /* What was there before is no change. What settles is one: the first scan waits for nothing. */
    if (stats.looking + stats.hashing + stats.publishing + stats.waiting > 0)
        return;
    tracking->told = true;
    if (tracking->began != NULL)
        tracking->began(here->fs->node, tracking->no, "", tracking->began_user);
    tracking->began = NULL;
}

void fs_tracking_free(struct fs_tracking *tracking)
{
    if (tracking == NULL)
        return;
    if (tracking->began != NULL)
        tracking->began(tracking->node, tracking->code != 0 ? tracking->code : KITH_E_STOPPED,
                        tracking->text[0] != '\0' ? tracking->text : "the node stops",
                        tracking->began_user);
    core_free(tracking->only);
    core_free(tracking);
}

/* ---- beginning ---- */

static void look_work(struct fs_job *job)
{
    struct fs_tracking *tracking = container_of(job, struct fs_tracking, job);
    char path[PATH_MAX];
    struct stat st;
    char *slash;

    if (realpath(tracking->local, path) == NULL || stat(path, &st) != 0) {
        tracking->code = errno == EACCES ? KITH_E_PERMISSION : KITH_E_NOT_FOUND;
        snprintf(tracking->text, sizeof(tracking->text), "%.400s: %s", tracking->local,
                 strerror(errno));
        return;
    }
    slash = strrchr(path, '/');
    if (!S_ISDIR(st.st_mode) && slash != NULL) {
        tracking->only = core_strndup(slash + 1, strlen(slash + 1));
        tracking->recursive = false;
        *(slash == path ? slash + 1 : slash) = '\0';
    }
    memcpy(tracking->local, path, sizeof(path));
    if (faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) != 0) {
        tracking->code = KITH_E_PERMISSION;
        snprintf(tracking->text, sizeof(tracking->text), "%.400s: this user may not look into it",
                 path);
    }
}

static void look_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_tracking *tracking = container_of(job, struct fs_tracking, job);
    struct fs_here_config config = {.name = "",
                                    .path = tracking->local,
                                    .number = (uint64_t)tracking->no,
                                    .tracking = tracking,
                                    .one_level = !tracking->recursive};
    struct fs_here *here;

    if (tracking->code == 0 && !fs->stopping) {
        tracking->code = fs_here_new(fs, &config, &here);
        if (tracking->code == 0) {
            tracking->here = here;
            fs_here_start(here);
            return;
        }
    }
    fs_tracking_free(tracking);
}

static void begin_run(struct kith_node *node, struct node_request *request)
{
    struct fs_tracking *tracking = container_of(request, struct fs_tracking, request);

    if (node->ending) {
        fs_tracking_free(tracking);
        return;
    }
    tracking->job.work = look_work;
    tracking->job.done = look_done;
    fs_job_start(node->fs, &tracking->job);
}

int node_fs_track(struct kith_node *node,
                  const char *local,
                  bool recursive,
                  kith_fs_change_cb cb,
                  void *user,
                  void (*began)(struct kith_node *node, int64_t no, const char *text, void *user),
                  void *began_user)
{
    struct fs_tracking *tracking;

    if (node->fs == NULL)
        return node_fs_absent();
    if (local == NULL || local[0] != '/' || strlen(local) >= PATH_MAX)
        return kith_fail_with(KITH_E_INVALID, "what is to be tracked is named by an absolute path");
    tracking = core_calloc(1, sizeof(*tracking));
    if (tracking == NULL)
        return KITH_E_MEMORY;
    if (!node_enter(node)) {
        core_free(tracking);
        return KITH_E_STOPPED;
    }
    tracking->node = node;
    tracking->no = atomic_fetch_add(&node->fs->next_watch, 1) + 1;
    tracking->recursive = recursive;
    tracking->cb = cb;
    tracking->user = user;
    tracking->began = began;
    tracking->began_user = began_user;
    snprintf(tracking->local, sizeof(tracking->local), "%s", local);
    tracking->request.run = begin_run;
    node_push(node, &tracking->request);
    node_exit(node);
    return 0;
}

void fs_track_end(struct node_fs *fs, int64_t no)
{
    list_for_each_safe (it, &fs->local->tracked) {
        struct fs_here *here = container_of(it, struct fs_here, link);
        if (here->tracking->no == no)
            fs_here_close(here);
    }
}

struct waiting {
    sem_t done;
    int64_t no;
    char text[512];
};

static void on_began(struct kith_node *node, int64_t no, const char *text, void *user)
{
    struct waiting *waiting = user;

    (void)node;
    waiting->no = no;
    snprintf(waiting->text, sizeof(waiting->text), "%s", text);
    sem_post(&waiting->done);
}

int64_t kith_fs_track(
    struct kith_node *node, const char *local, bool recursive, kith_fs_change_cb cb, void *user)
{
    struct waiting waiting = {.no = 0};

    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_fs_track");
    sem_init(&waiting.done, 0, 0);
    int r = node_fs_track(node, local, recursive, cb, user, on_began, &waiting);
    if (r == 0)
        node_sem_wait(&waiting.done);
    sem_destroy(&waiting.done);
    if (r != 0)
        return r;
    return waiting.no > 0 ? waiting.no : kith_fail_with((int)waiting.no, "%s", waiting.text);
}
