/*
 * Threads read the files of a folder. What the machine asks for in one step, or in the steps of one
 * turn, is gathered: a job reads several small files or one large one. So with many small files the
 * folder is opened, the loop woken and the catalogue asked (to sign, to store, to announce) once
 * for many of them.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_lists.h"
#include "node/internal.h"

/* No job has more, so that what is read by one is not waited for by many. */
#define HASHES_MAX       64
#define HASHES_BYTES_MAX (256u * 1024u)

struct hash {
    uint64_t token;
    size_t name_at;
    struct fs_stat expect;
    struct fs_hash_result result;
    int code;
    char *text; /* NULL: none, or memory was short */
};

struct hashes {
    struct fs_job job;
    struct list link; /* of its folder */
    struct fs_here *here;
    struct fs_hash_progress progress;
    uint64_t bytes;
    struct buf names; /* each with a NUL */
    uint32_t n;
    struct hash each[];
};

static void no_memory(struct fs_here *here)
{
    node_state_end_process(here->fs->node, "memory is short: start the node again");
}

/* So many that all threads have work, and some is left for when one of them is done. */
static uint32_t at_once(const struct fs_here *here)
{
    uint32_t n = FS_LOCAL_HASHES_MAX / (2 * here->fs->workers_n);

    return n < 1 ? 1 : n < HASHES_MAX ? n : HASHES_MAX;
}

/* ---- on the thread ---- */

static void hash_one(struct fs_job *job, const struct fs_folder *folder, struct hash *hash)
{
    struct hashes *hashes = container_of(job, struct hashes, job);
    const char *name = (const char *)hashes->names.data + hash->name_at;

    if (atomic_load_explicit(&hashes->progress.stop, memory_order_relaxed))
        hash->code = KITH_E_CANCELED;
    else
        hash->code = fs_hash_file(folder, name, &hash->expect, CONTENT_BLAKE2B_256,
                                  &hashes->progress, &hash->result);
    if (hash->code == 0 && hash->result.list.len > 0)
        fs_list_keep(job->fs, &hash->result.content,
                     (struct kith_bytes){hash->result.list.data, hash->result.list.len});
}

static void keep_text(struct hash *hash)
{
    const char *text = kith_errmsg();

    if (hash->code != 0)
        hash->text = core_strndup(text, strlen(text));
}

static void hashes_work(struct fs_job *job)
{
    struct hashes *hashes = container_of(job, struct hashes, job);
    struct fs_folder folder;
    int code = fs_folder_open(&folder, hashes->here->path);

    for (uint32_t i = 0; i < hashes->n; i++) {
        struct hash *hash = &hashes->each[i];
        hash->code = code;
        if (code == 0) {
            kith_errmsg_clear();
            hash_one(job, &folder, hash);
        }
        keep_text(hash);
    }
    if (code == 0)
        fs_folder_close(&folder);
}

/* ---- on the loop ---- */

static void hashes_free(struct hashes *hashes)
{
    for (uint32_t i = 0; i < hashes->n; i++) {
        buf_deinit(&hashes->each[i].result.list);
        core_free(hashes->each[i].text);
    }
    buf_deinit(&hashes->names);
    core_free(hashes);
}

static void hashes_done(struct node_fs *fs, struct fs_job *job)
{
    struct hashes *hashes = container_of(job, struct hashes, job);
    struct fs_here *here = hashes->here;

    list_remove(&hashes->link);
    fs_enter(fs); /* what comes of all of them is published together */
    for (uint32_t i = 0; i < hashes->n; i++) {
        struct hash *hash = &hashes->each[i];
        struct local_event event = {.type = LOCAL_HASHED,
                                    .token = hash->token,
                                    .code = hash->code,
                                    .text = hash->text != NULL ? hash->text : "",
                                    .before = hash->result.before,
                                    .after = hash->result.after,
                                    .began_wall_ns = hash->result.began_wall_ns,
                                    .content = hash->result.content};
        fs_here_step(here, &event);
    }
    hashes_free(hashes);
    fs_leave(fs);
    fs_here_idle(here);
}

static void start_open(struct fs_here *here)
{
    struct hashes *hashes = here->hashes_open;

    here->hashes_open = NULL;
    if (hashes != NULL)
        fs_job_start(here->fs, &hashes->job);
}

static void on_todo(struct node_fs *fs, struct fs_todo *todo)
{
    (void)fs;
    start_open(container_of(todo, struct fs_here, hashes_todo));
}

static struct hashes *open_one(struct fs_here *here)
{
    struct hashes *hashes =
        core_calloc(1, sizeof(*hashes) + at_once(here) * sizeof(hashes->each[0]));

    if (hashes == NULL)
        no_memory(here);
    hashes->here = here;
    hashes->job.work = hashes_work;
    hashes->job.done = hashes_done;
    list_append(&here->hashes, &hashes->link);
    fs_here_busy(here);
    here->hashes_open = hashes;
    if (!list_linked(&here->hashes_todo.link)) {
        here->hashes_todo.run = on_todo;
        fs_later(here->fs, &here->hashes_todo);
    }
    return hashes;
}

void fs_here_hash(struct fs_here *here, const struct local_action *action)
{
    struct hashes *hashes = here->hashes_open;

    if (hashes != NULL && hashes->bytes + action->stat.size > HASHES_BYTES_MAX) {
        start_open(here);
        hashes = NULL;
    }
    if (hashes == NULL)
        hashes = open_one(here);
    struct hash *hash = &hashes->each[hashes->n++];
    hash->token = action->token;
    hash->expect = action->stat;
    hash->name_at = hashes->names.len;
    if (buf_append(&hashes->names, action->name, action->name_len) != 0 ||
        buf_append_u8(&hashes->names, 0) != 0)
        no_memory(here);
    hashes->bytes += action->stat.size;
    if (hashes->n == at_once(here))
        start_open(here);
}

void fs_here_stop_hashes(struct fs_here *here)
{
    list_for_each (it, &here->hashes) {
        atomic_store(&container_of(it, struct hashes, link)->progress.stop, true);
    }
}
