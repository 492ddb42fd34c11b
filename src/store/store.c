/*
 * The store as its users see it: a queue in front of the writer and completions behind it. What the
 * writer does is in writer.c.
 */
#include "store/store.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/placement.h"
#include "store/internal.h"

static_assert(STORE_DISK_ID_BYTES == PLACEMENT_DISK_BYTES, "one kind of disk id");

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static int start_writer(struct store *store)
{
    pthread_condattr_t attr;
    sigset_t all, old;
    int r;

    pthread_mutex_init(&store->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake_writer, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all); /* signals are the main thread's business */
    pthread_sigmask(SIG_BLOCK, &all, &old);
    r = pthread_create(&store->thread, NULL, writer_main, store);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        pthread_cond_destroy(&store->wake_writer);
        pthread_mutex_destroy(&store->mutex);
        return kith_fail_with(KITH_E_LIMIT,
                              "store: the system allows no more threads; raise the limit "
                              "(ulimit -u)");
    }
    pthread_setname_np(store->thread, "kith-store");
    return 0;
}

static void free_jobs(struct job_list *jobs)
{
    struct job *job;

    while ((job = job_list_pop(jobs)) != NULL)
        core_free(job);
}

/* Done batches, but for those that the log still needs. */
static void free_done(struct job *done)
{
    while (done != NULL) {
        struct job *next = done->next_done;

        if (!done->logged)
            core_free(done);
        done = next;
    }
}

static void release(struct store *store)
{
    free_jobs(&store->queue);
    free_jobs(&store->parked);
    free_done(store->done);
    free_jobs(&store->logged);
    log_deinit(&store->log);
    base_close(store->base);
    folder_close(&store->folder);
    core_free(store);
}

/* The log as it was left; what only it has goes to LMDB, before anybody reads. */
static int open_log(struct store *store)
{
    const struct base_mark *mark = base_mark(store->base);
    struct job_list left;
    int r;

    job_list_init(&left);
    if (mark->log_bytes == 0)
        return 0;
    r = log_open(&store->log, store->folder.path, mark, &left);
    store->stats.replayed = store->log.seq - mark->seq;
    if (r == 0)
        r = writer_replay(store, &left);
    free_jobs(&left);
    return r;
}

static int open_parts(struct store *store, const char *dir)
{
    int r = folder_open(&store->folder, dir);

    if (r == 0)
        r = base_open(&store->base, store->folder.path, store->options.file_bytes_start,
                      store->options.file_bytes_max, store->disk_id);
    if (r == 0)
        r = folder_sync(&store->folder);
    if (r != 0)
        return r;
    r = open_log(store);
    if (r != 0)
        return r;
    r = folder_fill_reserve(&store->folder, store->options.reserve_bytes);
    if (r == BASE_NO_ROOM)
        writer_become_full(store);
    else if (r == 0)
        r = writer_make_log(store);
    store->stats.file_bytes = base_file_bytes(store->base);
    store->stats.used_bytes = base_used_bytes(store->base);
    store->stats.reserve_bytes = store->folder.reserve_bytes;
    store->stats.log_bytes = store->log.fd >= 0 ? store->log.bytes : 0;
    return r < 0 ? r : start_writer(store);
}

int store_open(const char *dir, const struct store_options *options, struct store **store_out)
{
    struct store *store = core_calloc(1, sizeof *store);
    int r;

    if (store == NULL)
        return KITH_E_MEMORY;
    if (options != NULL)
        store->options = *options;
    struct store_options *set = &store->options;
    set->file_bytes_start = or_default(set->file_bytes_start, STORE_FILE_BYTES_START);
    set->file_bytes_max = or_default(set->file_bytes_max, STORE_FILE_BYTES_MAX);
    set->reserve_bytes = or_default(set->reserve_bytes, STORE_RESERVE_BYTES);
    set->log_bytes = or_default(set->log_bytes, STORE_LOG_BYTES);
    set->retry_ms = (uint32_t)or_default(set->retry_ms, STORE_RETRY_MS);
    store->folder = (struct folder){.lock_fd = -1, .reserve_fd = -1};
    job_list_init(&store->queue);
    job_list_init(&store->parked);
    job_list_init(&store->logged);
    log_init(&store->log);
    r = open_parts(store, dir);
    if (r != 0) {
        release(store);
        return r;
    }
    *store_out = store;
    return 0;
}

const uint8_t *store_disk_id(const struct store *store)
{
    return store->disk_id;
}

int store_recall(struct store *store,
                 uint8_t first,
                 int (*entry_cb)(void *user, const struct store_entry *entry),
                 void *user)
{
    assert(!store->put_called);
    return base_recall(store->base, first, entry_cb, user);
}

/* ---- batches ---- */

static int check_put(const struct store_put *put)
{
    if (put->key.len == 0)
        return kith_fail_with(KITH_E_INVALID, "store: an entry without a key");
    if (*(const uint8_t *)put->key.data == STORE_KEY_STORE)
        return kith_fail_with(KITH_E_INVALID, "store: keys that begin with '%c' are its own",
                              STORE_KEY_STORE);
    if (put->key.len > STORE_KEY_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "store: a key of %zu bytes; the limit is %d",
                              put->key.len, STORE_KEY_BYTES_MAX);
    if (put->value.len > STORE_VALUE_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "store: a value of %zu bytes; the limit is %d",
                              put->value.len, STORE_VALUE_BYTES_MAX);
    if (put->erase && put->value.len > 0)
        return kith_fail_with(KITH_E_INVALID, "store: a removal with a value");
    return 0;
}

static int check_batch(const struct store_batch *batch, size_t *bytes_out)
{
    size_t bytes = 0;
    int r;

    if (batch->puts_n == 0)
        return kith_fail_with(KITH_E_INVALID, "store: a batch without an entry");
    if (batch->puts_n > STORE_BATCH_PUTS_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "store: a batch of %zu entries; the limit is %d",
                              batch->puts_n, STORE_BATCH_PUTS_MAX);
    for (size_t i = 0; i < batch->puts_n; i++) {
        r = check_put(&batch->puts[i]);
        if (r != 0)
            return r;
        if (store_put_essential(&batch->puts[i]) != store_put_essential(&batch->puts[0]))
            return kith_fail_with(KITH_E_INVALID,
                                  "store: a batch with keys of the view and others");
        bytes += batch->puts[i].key.len + batch->puts[i].value.len;
    }
    if (bytes > STORE_BATCH_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "store: a batch of %zu bytes; the limit is %d",
                              bytes, STORE_BATCH_BYTES_MAX);
    *bytes_out = bytes;
    return 0;
}

static struct kith_bytes copy_in(uint8_t **at, struct kith_bytes bytes)
{
    struct kith_bytes copy = {*at, bytes.len};

    if (bytes.len > 0)
        memcpy(*at, bytes.data, bytes.len);
    *at += bytes.len;
    return copy;
}

/* One block with the entries and all their bytes. */
static struct job *make_job(const struct store_batch *batch, size_t bytes, uint64_t token)
{
    size_t head = sizeof(struct job) + batch->puts_n * sizeof batch->puts[0];
    struct job *job = core_malloc(head + bytes);
    uint8_t *at = (uint8_t *)job + head;

    if (job == NULL)
        return NULL;
    *job = (struct job){.token = token,
                        .bytes = bytes,
                        .puts_n = batch->puts_n,
                        .essential = store_put_essential(&batch->puts[0]),
                        .erases_only = true};
    for (size_t i = 0; i < batch->puts_n; i++) {
        const struct store_put *put = &batch->puts[i];

        job->puts[i] = (struct store_put){
            .key = copy_in(&at, put->key),
            .value = copy_in(&at, put->value),
            .erase = put->erase,
        };
        job->erases_only &= put->erase;
    }
    return job;
}

int store_queue(struct store *store, const struct store_batch *batch, uint64_t token)
{
    struct job *job;
    size_t bytes = 0;
    int r = check_batch(batch, &bytes);

    if (r != 0)
        return r;
    job = make_job(batch, bytes, token);
    if (job == NULL)
        return KITH_E_MEMORY;
    pthread_mutex_lock(&store->mutex);
    store->put_called = true;
    if (store->dead || store->closing) {
        r = KITH_E_STOPPED;
    } else if (store->waiting_bytes + bytes > STORE_QUEUE_BYTES_MAX && store->waiting_n > 0) {
        r = KITH_E_BUSY;
    } else {
        store->waiting_n++;
        store->waiting_bytes += bytes;
        store->queued_n++;
        job_list_push(&store->queue, job);
    }
    pthread_mutex_unlock(&store->mutex);
    if (r != 0)
        core_free(job);
    if (r == KITH_E_BUSY)
        return kith_fail_with(r,
                              "store %s: %d MiB of batches wait for the disk already; try again "
                              "later",
                              store->folder.path, STORE_QUEUE_BYTES_MAX >> 20);
    return r == KITH_E_STOPPED ? kith_fail_with(r, "store %s: it is closed", store->folder.path)
                               : r;
}

/* The mutex is free by then: a writer that takes this core at once would only wait for it. */
void store_write(struct store *store)
{
    pthread_mutex_lock(&store->mutex);
    bool wakes = store->writer_sleeps && store->queued_n >= store->wake_at_n;
    pthread_mutex_unlock(&store->mutex);
    if (wakes)
        pthread_cond_signal(&store->wake_writer);
}

int store_put(struct store *store, const struct store_batch *batch, uint64_t token)
{
    int r = store_queue(store, batch, token);

    if (r == 0)
        store_write(store);
    return r;
}

size_t store_completed(struct store *store, uint64_t *tokens_out, size_t max)
{
    struct job_list taken;
    struct job *job;
    size_t n = 0;

    job_list_init(&taken);
    pthread_mutex_lock(&store->mutex);
    while (n < max && (job = store->done) != NULL) {
        store->done = job->next_done;
        tokens_out[n++] = job->token;
        job->told = true;
        if (!job->logged) /* else the writer frees it */
            job_list_push(&taken, job);
    }
    pthread_mutex_unlock(&store->mutex);
    free_jobs(&taken);
    return n;
}

bool store_full(struct store *store, char *why_out, size_t why_bytes)
{
    bool full;

    pthread_mutex_lock(&store->mutex);
    full = store->full;
    if (why_out != NULL && why_bytes > 0)
        (void)snprintf(why_out, why_bytes, "%s", full ? store->full_why : "");
    pthread_mutex_unlock(&store->mutex);
    return full;
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void store_stats(struct store *store, struct store_stats *stats_out)
{
    uint32_t times[STORE_COMMITS_KEPT];
    size_t n;

    pthread_mutex_lock(&store->mutex);
    *stats_out = store->stats;
    stats_out->waiting_n = store->waiting_n;
    stats_out->waiting_bytes = store->waiting_bytes;
    n = store->stats.commits < STORE_COMMITS_KEPT ? (size_t)store->stats.commits
                                                  : STORE_COMMITS_KEPT;
    memcpy(times, store->commit_us, n * sizeof times[0]);
    pthread_mutex_unlock(&store->mutex);
    if (n == 0)
        return;
    qsort(times, n, sizeof times[0], by_value);
    size_t middle = (n - 1) / 2, high = (n - 1) * 99 / 100;
    stats_out->commit_p50_us = times[middle];
    stats_out->commit_p99_us = times[high];
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    pthread_mutex_lock(&store->mutex);
    store->closing = true;
    pthread_cond_signal(&store->wake_writer);
    pthread_mutex_unlock(&store->mutex);
    pthread_join(store->thread, NULL);
    pthread_cond_destroy(&store->wake_writer);
    pthread_mutex_destroy(&store->mutex);
    release(store);
}
