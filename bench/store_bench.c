/*
 * bench_store: what a durable put costs, beside the disk's own sync in the same rounds.
 *
 *   bench_store [--json] [--rounds N] [--step MS] [--dir DIR]
 *
 * The baseline appends 4 KiB to a file and syncs it, which is what the simplest log would do. One
 * writer puts a batch of one small entry, waits until it is durable, and puts the next; 64 do so at
 * once. Ratios are taken within a round, since disks drift. A figure without a disk below says
 * nothing: give --dir on the disk in question (default: the working directory).
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kith/error.h"
#include "store/store.h"

#define MANY      64
#define VARIABLES 1024

static char root[4096];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static unsigned wakes;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, why);
    exit(1);
}

static void on_wake(void *user)
{
    (void)user;
    pthread_mutex_lock(&mutex);
    wakes++;
    pthread_cond_signal(&woken);
    pthread_mutex_unlock(&mutex);
}

static void await_wake(void)
{
    pthread_mutex_lock(&mutex);
    while (wakes == 0)
        pthread_cond_wait(&woken, &mutex);
    wakes = 0;
    pthread_mutex_unlock(&mutex);
}

/* Microseconds of one append and sync, at the median; appends for @ms. */
static double plain_sync_us(unsigned ms)
{
    struct bench_samples samples = {0};
    char path[4200], block[4096];
    uint64_t end = bench_now_ns() + ms * 1000000ull;
    double median;
    int fd;

    snprintf(path, sizeof(path), "%s/plain", root);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        fail(path, strerror(errno));
    memset(block, 'x', sizeof(block));
    for (uint64_t began = bench_now_ns(); began < end;) {
        if (write(fd, block, sizeof(block)) != sizeof(block) || fsync(fd) != 0)
            fail(path, strerror(errno));
        uint64_t now = bench_now_ns();
        bench_add(&samples, (double)(now - began) / 1000);
        began = now;
    }
    close(fd);
    median = bench_median(&samples);
    bench_samples_deinit(&samples);
    return median;
}

static void put(struct store *store, uint64_t token)
{
    static uint64_t n;
    char key[32], value[64];
    struct store_put one = {.key = {key, 0}, .value = {value, sizeof(value)}};

    one.key.len = (size_t)snprintf(key, sizeof(key), "d/var/%llu",
                                   (unsigned long long)(n++ * 7919 % VARIABLES));
    memset(value, 'v', sizeof(value));
    if (store_put(store, &(struct store_batch){&one, 1}, token) != 0)
        fail("store_put", kith_errmsg());
}

struct run {
    double p50_us, rate;
};

/* @writers writers, each with one batch outstanding, for @ms. */
static struct run run_puts(struct store *store, unsigned writers, unsigned ms)
{
    struct bench_samples samples = {0};
    uint64_t began[MANY], tokens[MANY], start = bench_now_ns(), now = start;
    uint64_t end = start + ms * 1000000ull, durable = 0, outstanding = writers;
    struct run run;

    for (unsigned i = 0; i < writers; i++) {
        began[i] = bench_now_ns();
        put(store, i);
    }
    while (outstanding > 0) {
        size_t n = store_completed(store, tokens, MANY);

        if (n == 0)
            await_wake();
        now = bench_now_ns();
        for (size_t i = 0; i < n; i++) {
            bench_add(&samples, (double)(now - began[tokens[i]]) / 1000);
            durable++;
            if (now < end) {
                began[tokens[i]] = bench_now_ns();
                put(store, tokens[i]);
            } else {
                outstanding--;
            }
        }
    }
    run.rate = (double)durable / ((double)(now - start) / 1e9);
    run.p50_us = bench_median(&samples);
    bench_samples_deinit(&samples);
    return run;
}

/* ---- what an open and empty store costs in memory ---- */

static double resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        fail("/proc/self/statm", "cannot be read");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

enum { SYNC, ONE, RATE, GROUP, FIGURES_N };

static void add(struct bench_samples series[3], double value, double baseline)
{
    bench_add(&series[0], value);
    bench_add(&series[1], baseline);
    bench_add(&series[2], value / baseline);
}

static void measure(struct store *store,
                    unsigned rounds,
                    unsigned ms,
                    struct bench_samples series[FIGURES_N][3])
{
    for (unsigned i = 0; i < rounds; i++) {
        struct store_stats before, after;
        double sync = plain_sync_us(ms);
        struct run one = run_puts(store, 1, ms), many;

        store_stats(store, &before);
        many = run_puts(store, MANY, ms);
        store_stats(store, &after);
        bench_add(&series[SYNC][0], sync);
        add(series[ONE], one.p50_us, sync);
        add(series[RATE], many.rate, one.rate);
        bench_add(&series[GROUP][0], (double)(after.batches - before.batches) /
                                         (double)(after.commits - before.commits));
    }
}

static void print(struct bench_samples series[FIGURES_N][3], double memory_kib, bool json)
{
    static const double nan = (double)NAN;
    struct bench_figure figures[FIGURES_N + 1] = {
        [SYNC] = {.name = "append and sync of a plain file, p50", .unit = "us", .target = nan},
        [ONE] = {.name = "durable put, one writer, p50",
                 .unit = "us",
                 .target = 1.5,
                 .at_most = true},
        [RATE] = {.name = "durable puts, 64 writers against one", .unit = "puts/s", .target = 20},
        [GROUP] = {.name = "batches a commit, 64 writers", .unit = "batches", .target = nan},
        [FIGURES_N] = {.name = "memory of an open, empty store",
                       .unit = "KiB",
                       .value = memory_kib,
                       .low = memory_kib,
                       .high = memory_kib,
                       .baseline = nan,
                       .ratio = nan,
                       .target = nan},
    };

    for (int i = 0; i < FIGURES_N; i++) {
        figures[i].value = bench_median(&series[i][0]);
        figures[i].low = bench_percentile(&series[i][0], 10);
        figures[i].high = bench_percentile(&series[i][0], 90);
        figures[i].baseline = series[i][1].n > 0 ? bench_median(&series[i][1]) : nan;
        figures[i].ratio = series[i][2].n > 0 ? bench_median(&series[i][2]) : nan;
    }
    bench_print(figures, FIGURES_N + 1, json, "kith.bench.store/1");
}

int main(int argc, char **argv)
{
    struct bench_samples series[FIGURES_N][3] = {0};
    struct store_options options = {.wake = on_wake};
    const char *dir = ".";
    unsigned rounds = 15, ms = 300;
    struct store *store;
    bool json = false;
    double before;

    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--rounds") == 0 && value)
            rounds = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--step") == 0 && value)
            ms = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--dir") == 0 && value)
            dir = argv[++i];
        else {
            fprintf(stderr, "usage: bench_store [--json] [--rounds N] [--step MS] [--dir DIR]\n");
            return 2;
        }
    }
    snprintf(root, sizeof(root), "%s/bench-store-XXXXXX", dir);
    if (mkdtemp(root) == NULL)
        fail(dir, strerror(errno));
    before = resident_kib();
    if (store_open(root, &options, &store) != 0)
        fail("store_open", kith_errmsg());
    double memory = resident_kib() - before;
    (void)run_puts(store, 1, BENCH_WARM_MS);
    measure(store, rounds, ms, series);
    print(series, memory, json);
    store_close(store);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < FIGURES_N; i++)
        for (int j = 0; j < 3; j++)
            bench_samples_deinit(&series[i][j]);
    return 0;
}
