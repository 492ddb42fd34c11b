/*
 * Threads that touch files for the node. They are started with the first job, so that a node
 * without files has none, and are others than those that run functions: a function may wait for a
 * file.
 */
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

static void on_done(struct kith_node *node, struct node_request *request)
{
    struct fs_job *job = container_of(request, struct fs_job, request);

    node->fs->jobs_n--;
    job->done(node->fs, job);
}

static void on_run(struct worker_job *worker)
{
    struct fs_job *job = container_of(worker, struct fs_job, job);

    kith_errmsg_clear();
    job->work(job);
    node_push(job->fs->node, &job->request); /* the job may be gone from here on */
}

static void prepare(struct node_fs *fs, struct fs_job *job)
{
    if (fs->workers == NULL && workers_start(&fs->workers, fs->workers_n, "kith-files") != 0)
        node_state_end_process(fs->node, kith_errmsg());
    job->fs = fs;
    job->job.run = on_run;
    job->request.run = on_done;
    fs->jobs_n++;
}

void fs_job_start(struct node_fs *fs, struct fs_job *job)
{
    prepare(fs, job);
    workers_push(fs->workers, &job->job);
}

void fs_job_start_waiter(struct node_fs *fs, struct fs_job *job)
{
    prepare(fs, job);
    workers_push_waiter(fs->workers, &job->job);
}
