/*
 * What the disk alone takes when several processes write and sync at the same moment, each a file
 * of its own: the bound of a durable write whose copies share one disk. Files are allocated and
 * written beforehand and written past the page cache, as the store's log is.
 *
 * In lockstep: all begin together and a turn lasts until the last of them is done, as a write lasts
 * until all copies have it. Process 0 runs on core 1, the others on core 0, like the nodes.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "state.h"

#define BLOCK    4096u
#define BLOCKS_N 256u
#define TURNS    100000u
#define PARTS    8u

struct lockstep {
    pthread_barrier_t begin, end;
    atomic_bool over;
    double p50_us;
};

/* A file of blocks that were written, without a name; -1 with a message. */
static int open_blocks(const char *dir, unsigned who, const uint8_t *block)
{
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/syncs-%u", dir, who);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (unsigned i = 0; fd >= 0 && i < BLOCKS_N; i++)
        if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
            break;
    if (fd < 0 || fsync(fd) != 0) {
        perror(path);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    (void)unlink(path);
    return fd;
}

static void run(struct lockstep *shared, int fd, uint8_t *block, unsigned who, unsigned ms)
{
    struct bench_samples samples = {0};
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(who == 0 ? 1 : 0, &cpus);
    (void)sched_setaffinity(0, sizeof(cpus), &cpus);
    uint64_t until = bench_now_ns() + (uint64_t)ms * 1000000;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        if (who == 0 && bench_now_ns() >= until)
            atomic_store(&shared->over, true);
        (void)pthread_barrier_wait(&shared->begin);
        if (atomic_load(&shared->over))
            break;
        uint64_t from = bench_now_ns();
        block[0]++;
        if (pwrite(fd, block, BLOCK, (off_t)(turn % BLOCKS_N) * BLOCK) != BLOCK ||
            fdatasync(fd) != 0)
            atomic_store(&shared->over, true); /* for all of them: nobody waits alone */
        (void)pthread_barrier_wait(&shared->end);
        bench_add(&samples, (double)(bench_now_ns() - from) / 1000);
    }
    if (who == 0)
        shared->p50_us = bench_median(&samples);
    _exit(0);
}

static void make_barrier(pthread_barrier_t *barrier, unsigned n)
{
    pthread_barrierattr_t attr;

    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(barrier, &attr, n);
    pthread_barrierattr_destroy(&attr);
}

double bench_syncs_us(const char *dir, unsigned n, unsigned ms)
{
    struct lockstep *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t *block = aligned_alloc(BLOCK, BLOCK);
    pid_t pids[PARTS];
    int fds[PARTS];
    double p50_us = (double)NAN;
    unsigned ready = 0;

    if (shared == MAP_FAILED || block == NULL || n > PARTS)
        exit(1);
    memset(block, 'x', BLOCK);
    while (ready < n && (fds[ready] = open_blocks(dir, ready, block)) >= 0)
        ready++;
    if (ready == n) {
        make_barrier(&shared->begin, n);
        make_barrier(&shared->end, n);
        for (unsigned i = 0; i < n; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                run(shared, fds[i], block, i, ms);
            if (pids[i] < 0)
                exit(1);
        }
        for (unsigned i = 0; i < n; i++)
            while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
                ;
        p50_us = shared->p50_us;
    }
    while (ready > 0)
        close(fds[--ready]);
    free(block);
    (void)munmap(shared, sizeof(*shared));
    return p50_us;
}
