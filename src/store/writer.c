/*
 * The writer: takes what waits, commits it as one transaction, says that it is done.
 *
 * Group commit needs no clock: while one commit is on its way to the disk the next group gathers.
 * One thing is added. Writers that wait for their batch before they make the next come back one by
 * one after a commit, and the first of them alone would make the others wait for a second sync. So
 * after a group of several the writer gives the others a moment, a part of a commit's own time and
 * at most STORE_GATHER_MAX_NS, until as many batches are there again. A store that was idle, or has
 * one writer, never waits.
 *
 * When the file is nearly full and cannot grow, or LMDB finds no page, the store is *full*: only
 * essential batches and removals are written, the former with help of the reserve; the others are
 * parked, in order, until the disk has room again.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "store/internal.h"

#define GATHER_MAX_NS    2000000u /* of protocols 5.9 */
#define GATHER_BATCHES   64u      /* likewise: so many are worth no further waiting */
#define TIGHT_PERCENT    80u
#define ROOMY_PERCENT    75u
#define RESERVE_STEP     (1024u * 1024u)
#define NS_A_MS          1000000u
#define NS_A_S           1000000000u
#define IDLE_AFTER_SYNCS 2u /* an idle store is one that did nothing for so many commit times */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_S + (uint64_t)now.tv_nsec;
}

static void wake_user(const struct store *store)
{
    if (store->options.wake != NULL)
        store->options.wake(store->options.user);
}

/* The end. With the hook of a test it returns. */
static void die(struct store *store, int code)
{
    char text[1024];

    (void)snprintf(text, sizeof text, "%s", kith_errmsg());
    pthread_mutex_lock(&store->mutex);
    store->dead = true;
    pthread_mutex_unlock(&store->mutex);
    if (store->options.fatal != NULL) {
        store->options.fatal(store->options.user, code, text);
        return;
    }
    (void)fprintf(stderr, "kith: %s\n", text);
    _exit(1);
}

/* ---- groups ---- */

/* Moves batches from @from to @to as far as one commit takes them; at least one if there is one. */
static size_t take_group(struct job_list *from, struct job_list *to)
{
    size_t puts_n = 0, bytes = 0, n = 0;
    struct job *job;

    while ((job = from->first) != NULL) {
        puts_n += job->puts_n;
        bytes += job->bytes;
        if (n > 0 && (puts_n > STORE_GROUP_PUTS_MAX || bytes > STORE_GROUP_BYTES_MAX))
            break;
        job_list_push(to, job_list_pop(from));
        n++;
    }
    return n;
}

static void group_done(struct store *store, struct job_list *group, uint64_t took_ns)
{
    struct store_stats *stats = &store->stats;
    struct job *job;
    size_t n = 0;

    pthread_mutex_lock(&store->mutex);
    store->commit_us[stats->commits % STORE_COMMITS_KEPT] = (uint32_t)(took_ns / 1000);
    stats->commits++;
    while ((job = job_list_pop(group)) != NULL) {
        stats->batches++;
        stats->entry_bytes += job->bytes;
        store->waiting_n--;
        store->waiting_bytes -= job->bytes;
        job_list_push(&store->done, job);
        n++;
    }
    pthread_mutex_unlock(&store->mutex);
    store->last_group_n = n;
    store->last_commit_ns = took_ns;
    store->last_end_ns = now_ns();
    wake_user(store);
}

/* ---- a full disk ---- */

void writer_become_full(struct store *store)
{
    char why[STORE_WHY_BYTES];

    (void)snprintf(why, sizeof why, "%s", kith_errmsg());
    store->retry_at_ns = now_ns() + (uint64_t)store->options.retry_ms * NS_A_MS;
    pthread_mutex_lock(&store->mutex);
    store->full = true;
    memcpy(store->full_why, why, sizeof why);
    pthread_mutex_unlock(&store->mutex);
}

static bool same_key(const struct store_put *a, const struct store_put *b)
{
    return a->key.len == b->key.len && memcmp(a->key.data, b->key.data, a->key.len) == 0;
}

static bool shares_a_key(const struct job *a, const struct job *b)
{
    for (size_t i = 0; i < a->puts_n; i++)
        for (size_t j = 0; j < b->puts_n; j++)
            if (same_key(&a->puts[i], &b->puts[j]))
                return true;
    return false;
}

/* May @job be written while the store is full? Never ahead of a batch with one of its keys. */
static bool passes(const struct store *store, const struct job *job)
{
    if (job->essential)
        return store->parked_essential_n == 0;
    if (!job->erases_only)
        return false;
    for (const struct job *parked = store->parked.first; parked != NULL; parked = parked->next)
        if (shares_a_key(job, parked))
            return false;
    return true;
}

static void park(struct store *store, struct job *job)
{
    store->parked_essential_n += job->essential;
    job_list_push(&store->parked, job);
}

enum whom { NOT_PASSING, NOT_ESSENTIAL, ALL };

/* Parks what of @group must wait. True if something was parked. */
static bool park_some(struct store *store, struct job_list *group, enum whom whom)
{
    struct job_list stays;
    struct job *job;
    bool parked = false;

    job_list_init(&stays);
    while ((job = job_list_pop(group)) != NULL) {
        bool stay = whom == NOT_PASSING     ? passes(store, job)
                    : whom == NOT_ESSENTIAL ? job->essential
                                            : false;
        if (stay) {
            job_list_push(&stays, job);
        } else {
            park(store, job);
            parked = true;
        }
    }
    job_list_init(group);
    while ((job = job_list_pop(&stays)) != NULL)
        job_list_push(group, job);
    return parked;
}

/* Room for essential batches: a step of the reserve becomes a step of the file. */
static int draw(struct store *store)
{
    int r = base_grow(store->base, RESERVE_STEP, store->options.reserve_bytes);

    while (r == BASE_NO_ROOM) {
        r = folder_draw_reserve(&store->folder, RESERVE_STEP);
        if (r != 0)
            return r;
        r = base_grow(store->base, RESERVE_STEP, store->options.reserve_bytes);
    }
    return r;
}

/*
 * LMDB found no page for @group. 0: try again, with what is left of it; BASE_NO_ROOM: all of it is
 * parked; KITH_E_*: fatal.
 */
static int make_room(struct store *store, struct job_list *group)
{
    int r;

    if (!store->full) {
        r = base_grow(store->base, 0, 0);
        if (r != BASE_NO_ROOM)
            return r;
        writer_become_full(store);
        wake_user(store);
    }
    if (park_some(store, group, NOT_PASSING))
        return group->first != NULL ? 0 : BASE_NO_ROOM;
    r = draw(store);
    if (r != BASE_NO_ROOM)
        return r;
    if (park_some(store, group, NOT_ESSENTIAL) && group->first != NULL)
        return 0; /* removals took what was there */
    (void)park_some(store, group, ALL);
    return BASE_NO_ROOM;
}

static void note_sizes(struct store *store)
{
    pthread_mutex_lock(&store->mutex);
    store->stats.file_bytes = base_file_bytes(store->base);
    store->stats.used_bytes = base_used_bytes(store->base);
    store->stats.reserve_bytes = store->folder.reserve_bytes;
    pthread_mutex_unlock(&store->mutex);
}

/* After a commit: grows the file in time, or says in time that it cannot. */
static void look_ahead(struct store *store)
{
    bool tight = false;
    int r = 0;

    while (r == 0 && !store->full) {
        r = base_tight(store->base, TIGHT_PERCENT, &tight);
        if (r != 0 || !tight)
            break;
        r = base_grow(store->base, 0, 0);
    }
    if (r == BASE_NO_ROOM) {
        writer_become_full(store);
        wake_user(store);
    } else if (r != 0) {
        die(store, r);
    }
    note_sizes(store);
}

static void commit(struct store *store, struct job_list *group)
{
    while (group->first != NULL) {
        uint64_t began = now_ns();
        int r = base_apply(store->base, group->first);

        if (r == 0) {
            group_done(store, group, now_ns() - began);
            look_ahead(store);
            return;
        }
        if (r == BASE_NO_ROOM)
            r = make_room(store, group);
        if (r < 0) {
            die(store, r);
            (void)park_some(store, group, ALL); /* never done; freed at the close */
            return;
        }
    }
}

/* Takes the oldest parked ones as a group, until all are written or the disk is full again. */
static void commit_parked(struct store *store)
{
    struct job_list all = store->parked, group;

    if (all.first == NULL)
        return;
    job_list_init(&store->parked);
    store->parked_essential_n = 0;
    while (all.first != NULL && !store->dead) {
        job_list_init(&group);
        (void)take_group(&all, &group);
        if (store->full)
            (void)park_some(store, &group, NOT_PASSING);
        commit(store, &group);
    }
    while (all.first != NULL)
        park(store, job_list_pop(&all));
}

/* Is there room again? Then the file has some ahead and the reserve is whole. */
static void recover(struct store *store)
{
    bool tight;
    int r = base_tight(store->base, ROOMY_PERCENT, &tight);

    store->retry_at_ns = now_ns() + (uint64_t)store->options.retry_ms * NS_A_MS;
    while (r == 0 && tight) {
        r = base_grow(store->base, 0, 0);
        if (r == 0)
            r = base_tight(store->base, ROOMY_PERCENT, &tight);
    }
    if (r == 0)
        r = folder_fill_reserve(&store->folder, store->options.reserve_bytes);
    note_sizes(store);
    if (r < 0) {
        die(store, r);
        return;
    }
    if (r == 0 && !tight) {
        pthread_mutex_lock(&store->mutex);
        store->full = false;
        pthread_mutex_unlock(&store->mutex);
        wake_user(store);
        commit_parked(store);
    } else if (store->parked_essential_n > 0) {
        commit_parked(store); /* some of the reserve may have come back */
    }
}

/* ---- the thread ---- */

/* Sleeps until @wake_at_n batches are queued, or @until_ns (0: no bound). With the mutex. */
static void sleep_writer(struct store *store, size_t wake_at_n, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_A_S),
                             .tv_nsec = (long)(until_ns % NS_A_S)};
    int r = 0;

    store->wake_at_n = wake_at_n;
    store->writer_sleeps = true;
    while (store->queued_n < wake_at_n && !store->closing && r != ETIMEDOUT) {
        if (until_ns == 0)
            r = pthread_cond_wait(&store->wake_writer, &store->mutex);
        else
            r = pthread_cond_timedwait(&store->wake_writer, &store->mutex, &until);
    }
    store->writer_sleeps = false;
}

/* Lets the writers of the last group come back; see the top. With the mutex. */
static void gather(struct store *store)
{
    size_t expected = store->last_group_n < GATHER_BATCHES ? store->last_group_n : GATHER_BATCHES;
    uint64_t patience = store->last_commit_ns / 4;
    uint64_t now;

    if (expected < 2 || store->queued_n >= expected || store->closing)
        return;
    now = now_ns();
    if (now - store->last_end_ns > IDLE_AFTER_SYNCS * store->last_commit_ns)
        return;
    if (patience > GATHER_MAX_NS)
        patience = GATHER_MAX_NS;
    sleep_writer(store, expected, now + patience);
}

/* Waits for work. False: it is over. With the mutex. */
static bool wait_for_work(struct store *store)
{
    sleep_writer(store, 1, store->full && !store->dead ? store->retry_at_ns : 0);
    if (store->queued_n == 0)
        return !store->closing;
    gather(store);
    return true;
}

void *writer_main(void *arg)
{
    struct store *store = arg;
    struct job_list group;

    pthread_mutex_lock(&store->mutex);
    while (wait_for_work(store)) {
        job_list_init(&group);
        store->queued_n -= take_group(&store->queue, &group);
        bool dead = store->dead, full = store->full;
        pthread_mutex_unlock(&store->mutex);
        if (full && !dead && now_ns() >= store->retry_at_ns)
            recover(store);
        if (store->dead) /* nothing is done any more; freed at the close */
            (void)park_some(store, &group, ALL);
        else if (store->full)
            (void)park_some(store, &group, NOT_PASSING);
        commit(store, &group);
        pthread_mutex_lock(&store->mutex);
    }
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}
