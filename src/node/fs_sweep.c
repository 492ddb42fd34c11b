/*
 * What is in the keep and named by no record any more since this start: what a path had before it
 * was written anew or grew, and what became no file after all. (What was found so at the start is a
 * stray, fs_stray.c, as is what a live version names.) It goes by a thread, when nobody has asked
 * for it for FS_FORMER_MS: others may be about to fetch what they still take for the path's
 * content.
 *
 * A content that is being put into the keep has no record yet, and one that goes may be put there
 * again at the same time. So who puts one guards it, on the thread and before it has its name,
 * until its record is there; and a file goes under the same lock, unless its content is guarded. A
 * guard that ends while threads remove stays until they are done: they may have been told before it
 * began.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/internal.h"

#define AT_ONCE       4096
#define ROUND_AT_ONCE 64 /* contents that are looked at in a second, beside those that changed */

struct guard {
    struct list link;
    bool ended;
    uint8_t root[CONTENT_ROOT_BYTES];
};

struct fs_sweep {
    pthread_mutex_t lock; /* of guards */
    struct list guards;
    uint32_t removing_n;  /* jobs that remove */
    struct list waiting;  /* struct candidate */
    struct map64 formers; /* the same, by a hash of the root */
    bool running;
    size_t round_at;
};

/* ---- guards ---- */

static bool is_guarded(const struct fs_sweep *sweep, const uint8_t *root)
{
    list_for_each (it, &sweep->guards) {
        if (memcmp(container_of(it, struct guard, link)->root, root, CONTENT_ROOT_BYTES) == 0)
            return true;
    }
    return false;
}

void fs_guard(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct guard *guard = core_calloc(1, sizeof(*guard));

    if (guard == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    memcpy(guard->root, root, sizeof(guard->root));
    pthread_mutex_lock(&fs->sweep->lock);
    list_append(&fs->sweep->guards, &guard->link);
    pthread_mutex_unlock(&fs->sweep->lock);
}

static void drop_ended(struct fs_sweep *sweep)
{
    list_for_each_safe (it, &sweep->guards) {
        struct guard *guard = container_of(it, struct guard, link);
        if (!guard->ended)
            continue;
        list_remove(it);
        core_free(guard);
    }
}

void fs_unguard(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct fs_sweep *sweep = fs->sweep;

    pthread_mutex_lock(&sweep->lock);
    list_for_each (it, &sweep->guards) {
        struct guard *guard = container_of(it, struct guard, link);
        if (guard->ended || memcmp(guard->root, root, CONTENT_ROOT_BYTES) != 0)
            continue;
        guard->ended = true;
        break;
    }
    if (sweep->removing_n == 0)
        drop_ended(sweep);
    pthread_mutex_unlock(&sweep->lock);
}

void fs_removing(struct node_fs *fs)
{
    fs->sweep->removing_n++;
}

void fs_removed(struct node_fs *fs)
{
    struct fs_sweep *sweep = fs->sweep;

    pthread_mutex_lock(&sweep->lock);
    if (--sweep->removing_n == 0)
        drop_ended(sweep);
    pthread_mutex_unlock(&sweep->lock);
}

static bool is_in_keep(struct node_fs *fs, const uint8_t *root)
{
    int fd = fs_content_open(fs->move->files, FS_ROOM_KEEP, root, 0);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

int fs_remove_kept(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES], bool *was_there_out)
{
    int r = KITH_E_EXISTS;

    *was_there_out = false;
    pthread_mutex_lock(&fs->sweep->lock);
    if (!is_guarded(fs->sweep, root)) {
        *was_there_out = is_in_keep(fs, root);
        r = fs_content_remove(fs->move->files, FS_ROOM_KEEP, root, 0);
        fs_list_remove(fs, root);
    }
    pthread_mutex_unlock(&fs->sweep->lock);
    return r;
}

int fs_part_kept(struct node_fs *fs, const struct content *content, bool *was_there_out)
{
    int r = KITH_E_EXISTS;

    *was_there_out = false;
    pthread_mutex_lock(&fs->sweep->lock);
    if (!is_guarded(fs->sweep, content->root)) {
        *was_there_out = is_in_keep(fs, content->root);
        r = fs_keep_to_part(fs->move->files, content->root, content->size);
    }
    pthread_mutex_unlock(&fs->sweep->lock);
    return r;
}

/* ---- what nobody names ---- */

struct candidate {
    struct list link;
    struct content content;
    uint64_t began_ms, asked_ms;
    bool was_there;
    int code;
};

struct sweeping {
    struct fs_job job;
    struct list candidates;
};

/* No record of this disk says that the keep has it, and no path that is pinned has it. */
static bool is_unnamed(struct node_fs *fs, const struct content *content)
{
    struct fs_content_facts facts;

    return !fs_pins_has(fs->pins, content->root) &&
           (fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) != 0 ||
            (facts.own & FS_IN_KEEP) == 0);
}

static uint64_t former_key(const uint8_t *root)
{
    return hash_bytes(root, CONTENT_ROOT_BYTES, 0);
}

/* One whose key another has is not here: it goes, and is missed by nobody but who asks for it. */
static struct candidate *former_find(const struct fs_sweep *sweep, const uint8_t *root)
{
    struct candidate *one = map64_find(&sweep->formers, former_key(root));

    return one != NULL && memcmp(one->content.root, root, CONTENT_ROOT_BYTES) == 0 ? one : NULL;
}

void fs_sweep_look(struct node_fs *fs, const struct content *content)
{
    struct fs_sweep *sweep = fs->sweep;
    struct candidate *one;

    if (fs->stopping || fs_kept_find(fs, content->root) == NULL || fs_stray_is(fs, content->root) ||
        fs_keep_is_aside(fs, content->root) ||
        map64_find(&sweep->formers, former_key(content->root)) != NULL || !is_unnamed(fs, content))
        return;
    one = core_calloc(1, sizeof(*one));
    if (one == NULL || map64_set(&sweep->formers, former_key(content->root), one) != 0) {
        core_free(one);
        return; /* the round comes by */
    }
    one->content = *content;
    one->began_ms = one->asked_ms = node_boot_ms();
    list_append(&sweep->waiting, &one->link);
}

bool fs_is_former(struct node_fs *fs, const struct content *content)
{
    struct candidate *one = former_find(fs->sweep, content->root);

    if (one == NULL || !content_equal(&one->content, content) ||
        fs_keep_is_aside(fs, content->root))
        return false;
    one->asked_ms = node_boot_ms();
    return true;
}

bool fs_former_of(struct node_fs *fs,
                  const uint8_t root[CONTENT_ROOT_BYTES],
                  struct content *content_out)
{
    const struct candidate *one = former_find(fs->sweep, root);

    if (one != NULL)
        *content_out = one->content;
    return one != NULL;
}

static bool is_due(const struct node_fs *fs, const struct candidate *one, uint64_t now_ms)
{
    return now_ms >= one->asked_ms + FS_FORMER_MS || now_ms >= one->began_ms + FS_FORMER_MAX_MS ||
           fs->node->state.disk_full;
}

static void candidate_over(struct node_fs *fs, struct candidate *one)
{
    list_remove(&one->link);
    (void)map64_remove(&fs->sweep->formers, former_key(one->content.root));
    core_free(one);
}

static void sweep_work(struct fs_job *job)
{
    struct sweeping *sweeping = container_of(job, struct sweeping, job);

    list_for_each (it, &sweeping->candidates) {
        struct candidate *one = container_of(it, struct candidate, link);
        one->code = fs_remove_kept(job->fs, one->content.root, &one->was_there);
    }
}

static void sweep_done(struct node_fs *fs, struct fs_job *job)
{
    struct sweeping *sweeping = container_of(job, struct sweeping, job);
    struct list *first;

    fs_removed(fs);
    fs->sweep->running = false;
    while ((first = list_first(&sweeping->candidates)) != NULL) {
        struct candidate *one = container_of(first, struct candidate, link);
        bool is_back;
        pthread_mutex_lock(&fs->sweep->lock);
        is_back = is_guarded(fs->sweep, one->content.root);
        pthread_mutex_unlock(&fs->sweep->lock);
        if (one->was_there && one->code == 0 && fs->move->keep_bytes >= one->content.size)
            fs->move->keep_bytes -= one->content.size;
        if (one->code == 0 && !is_back && is_unnamed(fs, &one->content))
            fs_kept_forget(fs, one->content.root);
        candidate_over(fs, one);
    }
    core_free(sweeping);
}

/* What another version names, though no record here says so, is kept from now on. */
static bool is_stray(struct node_fs *fs, const struct content *content)
{
    struct fs_content_facts facts;

    if (fs_kept_find(fs, content->root) == NULL ||
        fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) != 0 || !facts.live)
        return false;
    fs_stray_found(fs, content->root, content->size);
    return true;
}

static void sweep_start(struct node_fs *fs)
{
    struct sweeping *sweeping = core_calloc(1, sizeof(*sweeping));
    uint64_t now_ms = node_boot_ms();
    size_t n = 0;

    if (sweeping == NULL)
        return;
    list_init(&sweeping->candidates);
    list_for_each_safe (it, &fs->sweep->waiting) {
        struct candidate *one = container_of(it, struct candidate, link);
        if (n == AT_ONCE)
            break;
        if (!is_due(fs, one, now_ms))
            continue;
        if (!is_unnamed(fs, &one->content) || is_stray(fs, &one->content)) {
            candidate_over(fs, one);
            continue;
        }
        list_remove(it);
        list_append(&sweeping->candidates, it);
        n++;
    }
    if (n == 0) {
        core_free(sweeping);
        return;
    }
    fs->sweep->running = true;
    fs_removing(fs);
    sweeping->job.work = sweep_work;
    sweeping->job.done = sweep_done;
    fs_job_start(fs, &sweeping->job);
}

/* Once a second. */
void fs_sweep_tick(struct node_fs *fs)
{
    struct fs_sweep *sweep = fs->sweep;

    for (uint32_t i = 0; i < ROUND_AT_ONCE; i++) {
        const struct fs_kept *kept = fs_kept_next(fs, &sweep->round_at);
        if (kept == NULL) {
            sweep->round_at = 0;
            break;
        }
        fs_sweep_look(fs, &kept->content);
    }
    if (!sweep->running && !list_empty(&sweep->waiting) && !fs->stopping)
        sweep_start(fs);
}

/* ---- life ---- */

int fs_sweep_open(struct node_fs *fs)
{
    fs->sweep = core_calloc(1, sizeof(*fs->sweep));
    if (fs->sweep == NULL || pthread_mutex_init(&fs->sweep->lock, NULL) != 0) {
        core_free(fs->sweep);
        fs->sweep = NULL;
        return KITH_E_MEMORY;
    }
    list_init(&fs->sweep->guards);
    list_init(&fs->sweep->waiting);
    return 0;
}

void fs_sweep_deinit(struct node_fs *fs)
{
    struct list *first;

    if (fs->sweep == NULL)
        return;
    while ((first = list_first(&fs->sweep->guards)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct guard, link));
    }
    while ((first = list_first(&fs->sweep->waiting)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct candidate, link));
    }
    map64_deinit(&fs->sweep->formers);
    pthread_mutex_destroy(&fs->sweep->lock);
    core_free(fs->sweep);
    fs->sweep = NULL;
}
