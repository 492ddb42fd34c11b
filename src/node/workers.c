#include "node/workers.h"

#include <pthread.h>
#include <signal.h>

#include "core/alloc.h"
#include "core/error.h"

struct workers {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct worker_job *first;
    struct worker_job **last;
    uint32_t queued_n;
    uint32_t busy_n;
    bool stopping;
    uint32_t threads_n;
    pthread_t threads[];
};

/* The first one; @waiting: that does not wait itself. NULL: there is none. With the lock. */
static struct worker_job *take(struct workers *workers, bool waiting)
{
    struct worker_job **at = &workers->first, *job;

    while ((job = *at) != NULL && waiting && job->waits)
        at = &job->next;
    if (job == NULL)
        return NULL;
    *at = job->next;
    if (workers->last == &job->next)
        workers->last = at;
    workers->queued_n--;
    return job;
}

static void *worker_main(void *arg)
{
    struct workers *workers = arg;
    struct worker_job *job;

    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        while ((job = take(workers, false)) == NULL && !workers->stopping)
            pthread_cond_wait(&workers->wake, &workers->mutex);
        if (job == NULL)
            break;
        workers->busy_n++;
        pthread_mutex_unlock(&workers->mutex);
        job->run(job); /* the job may be gone from here on */
        pthread_mutex_lock(&workers->mutex);
        workers->busy_n--;
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

static void join_all(struct workers *workers)
{
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->mutex);
    for (uint32_t i = 0; i < workers->threads_n; i++)
        pthread_join(workers->threads[i], NULL);
}

int workers_start(struct workers **workers_out, uint32_t threads_n, const char *name)
{
    if (threads_n == 0)
        threads_n = 1;
    struct workers *workers = core_calloc(1, sizeof(*workers) + threads_n * sizeof(pthread_t));
    if (workers == NULL)
        return KITH_E_MEMORY;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->wake, NULL);
    workers->last = &workers->first;

    /* Signals are the main thread's business. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = 0;
    for (uint32_t i = 0; i < threads_n; i++) {
        if (pthread_create(&workers->threads[i], NULL, worker_main, workers) != 0) {
            code = kith_fail_with(KITH_E_LIMIT,
                                  "cannot start worker thread %u of %u: the system allows no more "
                                  "threads; lower rpc.workers or raise the limit (ulimit -u)",
                                  i + 1, threads_n);
            break;
        }
        pthread_setname_np(workers->threads[i], name);
        workers->threads_n++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code != 0) {
        workers_stop(workers);
        return code;
    }
    *workers_out = workers;
    return 0;
}

static void push(struct workers *workers, struct worker_job *job, bool waits)
{
    job->next = NULL;
    job->waits = waits;
    pthread_mutex_lock(&workers->mutex);
    *workers->last = job;
    workers->last = &job->next;
    workers->queued_n++;
    if (waits) /* the one that wakes may be in workers_wait() and leave it */
        pthread_cond_broadcast(&workers->wake);
    else
        pthread_cond_signal(&workers->wake);
    pthread_mutex_unlock(&workers->mutex);
}

void workers_push(struct workers *workers, struct worker_job *job)
{
    push(workers, job, false);
}

void workers_push_waiter(struct workers *workers, struct worker_job *job)
{
    push(workers, job, true);
}

void workers_wait(struct workers *workers, struct worker_room *room)
{
    struct worker_job *job;

    pthread_mutex_lock(&workers->mutex);
    while (room->n == 0) {
        job = take(workers, true);
        if (job == NULL) {
            pthread_cond_wait(&workers->wake, &workers->mutex);
            continue;
        }
        pthread_mutex_unlock(&workers->mutex);
        job->run(job); /* the job may be gone from here on */
        pthread_mutex_lock(&workers->mutex);
    }
    room->n--;
    /* What woke this thread may have been meant for a job that it leaves now. */
    if (workers->first != NULL)
        pthread_cond_signal(&workers->wake);
    pthread_mutex_unlock(&workers->mutex);
}

void workers_give(struct workers *workers, struct worker_room *room, uint32_t n)
{
    pthread_mutex_lock(&workers->mutex);
    room->n += n;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->mutex);
}

void workers_stop(struct workers *workers)
{
    if (workers == NULL)
        return;
    join_all(workers);
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->mutex);
    core_free(workers);
}

void workers_count(struct workers *workers, uint32_t *busy_out, uint32_t *queued_out)
{
    pthread_mutex_lock(&workers->mutex);
    *busy_out = workers->busy_n;
    *queued_out = workers->queued_n;
    pthread_mutex_unlock(&workers->mutex);
}
