/* The pool of threads: jobs that wait for what others do never stop it. */
#include "node/workers.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "core/list.h"
#include "lib/test.h"

#define JOBS_N 200
#define WAIT_S 60

static struct workers *workers;
static sem_t done;
static atomic_uint ran_n;

struct job {
    struct worker_job job;
    struct worker_room *gives; /* may be NULL */
    struct worker_room room;   /* what it waits for */
    unsigned waits_n;
    unsigned ran_at; /* how many had run before it was over */
};

static void run_one(struct worker_job *job)
{
    const struct job *one = container_of(job, struct job, job);

    atomic_fetch_add(&ran_n, 1);
    if (one->gives != NULL)
        workers_give(workers, one->gives, 1);
    sem_post(&done);
}

static void run_waiter(struct worker_job *job)
{
    struct job *waiter = container_of(job, struct job, job);

    for (unsigned i = 0; i < waiter->waits_n; i++)
        workers_wait(workers, &waiter->room);
    waiter->ran_at = atomic_fetch_add(&ran_n, 1);
    sem_post(&done);
}

static void wait_done(unsigned n)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(sem_timedwait(&done, &until), 0);
}

static void begin(unsigned threads_n)
{
    atomic_store(&ran_n, 0);
    assert_int_equal(sem_init(&done, 0, 0), 0);
    assert_int_equal(workers_start(&workers, threads_n, "test"), 0);
}

static void end(void)
{
    workers_stop(workers);
    (void)sem_destroy(&done);
}

static void one_thread_runs_what_its_job_waits_for(void **state)
{
    static struct job waiter, ones[JOBS_N];

    (void)state;
    begin(1);
    waiter = (struct job){.job.run = run_waiter, .waits_n = JOBS_N};
    workers_push_waiter(workers, &waiter.job);
    for (unsigned i = 0; i < JOBS_N; i++) {
        ones[i] = (struct job){.job.run = run_one, .gives = &waiter.room};
        workers_push(workers, &ones[i].job);
    }
    wait_done(JOBS_N + 1);
    assert_int_equal(waiter.ran_at, JOBS_N); /* behind all of them */
    end();
}

static void as_many_that_wait_as_threads_are_all_served(void **state)
{
    static struct job waiters[6], ones[JOBS_N];
    uint32_t busy_n, queued_n;

    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        begin(2);
        for (unsigned i = 0; i < 6; i++) {
            waiters[i] = (struct job){.job.run = run_waiter, .waits_n = 30};
            workers_push_waiter(workers, &waiters[i].job);
        }
        for (unsigned i = 0; i < JOBS_N; i++) {
            ones[i] = (struct job){.job.run = run_one};
            ones[i].gives = i < 180 ? &waiters[i % 6].room : NULL;
            workers_push(workers, &ones[i].job);
        }
        wait_done(JOBS_N + 6);
        workers_count(workers, &busy_n, &queued_n);
        assert_int_equal(queued_n, 0);
        end();
    }
}

static void one_that_waits_is_not_begun_inside_another(void **state)
{
    static struct job first, second, one;

    (void)state;
    begin(1);
    first = (struct job){.job.run = run_waiter, .waits_n = 1};
    second = (struct job){.job.run = run_waiter, .waits_n = 0};
    one = (struct job){.job.run = run_one, .gives = &first.room};
    workers_push_waiter(workers, &first.job);
    workers_push_waiter(workers, &second.job);
    workers_push(workers, &one.job);
    wait_done(3);
    assert_int_equal(first.ran_at, 1);
    assert_int_equal(second.ran_at, 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_what_its_job_waits_for),
        cmocka_unit_test(as_many_that_wait_as_threads_are_all_served),
        cmocka_unit_test(one_that_waits_is_not_begun_inside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
