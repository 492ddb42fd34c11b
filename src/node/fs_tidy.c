/*
 * The trash of folders is emptied of what has been there for FS_TRASH_MS: once an hour, by a
 * thread. Nothing goes in the first hour of a process (fs_trash_expire()).
 */
#include "core/alloc.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define TIDY_MS (60 * 60 * 1000)

struct tidying {
    struct fs_job job;
    uint64_t wall_ms, now_ms;
    int removed; /* how many, or a code */
};

static void tidy_work(struct fs_job *job)
{
    struct tidying *tidying = container_of(job, struct tidying, job);

    tidying->removed = fs_trash_expire(job->fs->move->files, tidying->wall_ms, tidying->now_ms);
}

static void tidy_done(struct node_fs *fs, struct fs_job *job)
{
    struct tidying *tidying = container_of(job, struct tidying, job);

    if (tidying->removed < 0)
        log_warn(&fs->node->log.log, "files", "the trash cannot be emptied", "reason",
                 kith_strerror(tidying->removed), NULL);
    else if (tidying->removed > 0)
        log_info(&fs->node->log.log, "files", "what was in the trash for 7 days is removed", NULL);
    core_free(tidying);
}

void fs_tidy(struct node_fs *fs, uint64_t wall_ms, uint64_t now_ms)
{
    struct tidying *tidying = core_calloc(1, sizeof(*tidying));

    if (tidying == NULL)
        return; /* the next hour comes */
    tidying->wall_ms = wall_ms;
    tidying->now_ms = now_ms;
    tidying->job.work = tidy_work;
    tidying->job.done = tidy_done;
    fs_job_start(fs, &tidying->job);
}

void fs_tidy_first(struct node_fs *fs)
{
    fs->tidied_ms = node_boot_ms();
    (void)fs_trash_expire(fs->move->files, node_turn_unix_ms(fs->node), fs->tidied_ms);
}

void fs_tidy_tick(struct node_fs *fs)
{
    uint64_t now_ms = node_boot_ms();

    if (now_ms < fs->tidied_ms + TIDY_MS)
        return;
    fs->tidied_ms = now_ms;
    fs_tidy(fs, node_turn_unix_ms(fs->node), now_ms);
}
