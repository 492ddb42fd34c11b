/*
 * Changes of files of this machine that are not shared (kith_fs_track): a folder's machine whose
 * publications are told to a program instead. Nothing is read: what a file looks like stands for
 * what is in it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    bool told;             /* the first scan is over: changes are told */
    int64_t began_wall_ns; /* what was there before is no creation */
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
    uint8_t looks[32];

    put_le64(looks, action->stat.inode);
    put_le64(looks + 8, action->stat.size);
    put_le64(looks + 16, (uint64_t)action->stat.mtime_ns);
    put_le64(looks + 24, (uint64_t)action->stat.ctime_ns);
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

void fs_track_publish(struct fs_here *here, const struct local_action *action)
{
    struct fs_tracking *tracking = here->tracking;
    char path[PATH_MAX + FS_PATH_BYTES_MAX + 2], from[PATH_MAX + FS_PATH_BYTES_MAX + 2] = "";
    struct kith_fs_change change = {.type = type_of(action->change),
                                    .path = path,
                                    .from = from,
                                    .author = here->fs->node->identity.id,
                                    .author_name = here->fs->node->name};

    answer(here,
           &(struct local_event){.type = LOCAL_PUBLISHED, .token = action->token, .text = ""});
    if (!tracking->told || action->change == LOCAL_RELEASED ||
        (action->change == LOCAL_CREATED && action->stat.ctime_ns < tracking->began_wall_ns) ||
        (tracking->only != NULL && strcmp(action->path, tracking->only) != 0 &&
         (action->from == NULL || strcmp(action->from, tracking->only) != 0)))
        return;
    snprintf(path, sizeof(path), "%s/%s", here->path, action->path);
    if (action->change == LOCAL_RENAMED)
        snprintf(from, sizeof(from), "%s/%s", here->path, action->from);
    tracking->cb(here->fs->node, &change, tracking->user);
}

void fs_track_look(struct fs_here *here)
{
    struct fs_tracking *tracking = here->tracking;
    struct local_stats stats;

    if (tracking->told || here->state == 0 || here->state == LOCAL_SCANNING)
        return;
    local_stats(here->core, &stats);
    if (stats.settling + stats.hashing + stats.publishing + stats.waiting > 0)
        return; /* what was there before is no change */
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

    tracking->began_wall_ns = fs_wall_ns();
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
