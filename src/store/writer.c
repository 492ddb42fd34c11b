/*
 * The writer: takes what waits, makes it durable as one group, says that it is done.
 *
 * A group goes to the log, which is one write and one sync. When the log is full, or nothing came
 * for a while, LMDB takes in all that it has, in one transaction, with the number of the last
 * group; then the log begins again. A group may go to the log only if LMDB surely has the room to
 * take it in: what was acknowledged must never depend on a disk that has become full. Where that is
 * not sure, and for large groups, LMDB takes the group at once, after what the log has. So while
 * the store is full the log is empty, and all the rest here is about LMDB's file alone.
 *
 * Group commit needs no clock: while one group is on its way to the disk the next one gathers. One
 * thing is added. Writers that wait for their batch before they make the next come back one by one
 * after a sync, and the first of them alone would make the others wait for a second one. So after a
 * group of several the writer gives the others a moment, a part of a sync's own time and at most
 * GATHER_MAX_NS, until as many batches are there again. A store that was idle, or has one writer,
 * never waits.
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

#include "core/alloc.h"
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

/* Their tokens may be taken; with @logged the writer keeps them until LMDB has them. */
static void group_done(struct store *store, struct job_list *group, bool logged, uint64_t took_ns)
{
    struct store_stats *stats = &store->stats;
    struct job *job;
    size_t n = 0;

    pthread_mutex_lock(&store->mutex);
    store->commit_us[stats->commits % STORE_COMMITS_KEPT] = (uint32_t)(took_ns / 1000);
    stats->commits++;
    stats->logged += logged;
    while ((job = job_list_pop(group)) != NULL) {
        stats->batches++;
        stats->entry_bytes += job->bytes;
        store->waiting_n--;
        store->waiting_bytes -= job->bytes;
        job->logged = logged;
        job->next_done = NULL;
        if (store->done == NULL)
            store->done = job;
        else
            store->done_last->next_done = job;
        store->done_last = job;
        if (logged)
            job_list_push(&store->logged, job);
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
    store->stats.log_bytes = store->log.fd >= 0 ? store->log.bytes : 0;
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

/* ---- the log ---- */

int writer_make_log(struct store *store)
{
    struct base_mark mark;
    int r;

    if (store->log.fd >= 0)
        return 0;
    r = log_make(&store->log, store->folder.path, store->options.log_bytes, &mark);
    if (r == 0)
        r = folder_sync(&store->folder);
    if (r == 0)
        r = base_apply(store->base, NULL, &mark);
    if (r == BASE_NO_ROOM) /* not after a failure: the mark may be on the disk */
        log_unmake(&store->log);
    return r < 0 ? r : 0;
}

/*
 * LMDB takes @jobs and the mark, of which it surely had the room when they were logged. If it says
 * otherwise, the reserve is for this too; if even that is not enough the log still has them.
 */
static int take_in(struct store *store, const struct job_list *jobs)
{
    struct base_mark mark = log_mark(&store->log);
    int r = base_apply(store->base, jobs->first, &mark);

    while (r == BASE_NO_ROOM) {
        r = base_grow(store->base, 0, 0);
        if (r == BASE_NO_ROOM)
            r = draw(store);
        if (r == BASE_NO_ROOM)
            return kith_fail_with(KITH_E_IO,
                                  "store %s: no room to take in the log; nothing is lost: make "
                                  "room on the disk, then start again",
                                  store->folder.path);
        if (r == 0)
            r = base_apply(store->base, jobs->first, &mark);
    }
    return r;
}

int writer_replay(struct store *store, struct job_list *jobs)
{
    return jobs->first != NULL ? take_in(store, jobs) : 0;
}

/* LMDB takes in what the log has, which then begins again. False: the store is dead. */
static bool settle(struct store *store)
{
    struct job *job;
    int r;

    if (store->logged.first == NULL)
        return true;
    r = take_in(store, &store->logged);
    if (r != 0) {
        die(store, r);
        return false;
    }
    log_rewind(&store->log);
    store->logged_need = (struct base_need){.puts_n = 0};
    pthread_mutex_lock(&store->mutex);
    store->stats.taken_in++;
    while ((job = job_list_pop(&store->logged)) != NULL) {
        job->logged = false;
        if (job->told)
            core_free(job);
    }
    pthread_mutex_unlock(&store->mutex);
    look_ahead(store);
    return !store->dead;
}

/* A larger file, so that the log can be of use; for that the disk is not searched to its end. */
static int grow_for_log(struct store *store)
{
    uint64_t step = base_file_bytes(store->base), now = now_ns();
    int r;

    if (now < store->grow_at_ns)
        return BASE_NO_ROOM;
    r = base_grow(store->base, step < STORE_FILE_STEP_MAX ? step : STORE_FILE_STEP_MAX, 0);
    if (r == BASE_NO_ROOM)
        store->grow_at_ns = now + (uint64_t)store->options.retry_ms * NS_A_MS;
    note_sizes(store);
    return r;
}

/* Before @need can be logged. 1: look again; 0: it cannot be; KITH_E_* are fatal. */
static int make_way(struct store *store, bool log_has_way, const struct base_need *need)
{
    int r = BASE_NO_ROOM;

    if (log_has_way && !base_has_room(store->base, need, TIGHT_PERCENT))
        r = grow_for_log(store);
    if (r != BASE_NO_ROOM)
        return r < 0 ? r : 1;
    if (store->logged.first == NULL)
        return 0;
    return settle(store) ? 1 : KITH_E_STOPPED;
}

/* May @group go to the log? 1: yes, and it is counted; 0: no; KITH_E_* are fatal. */
static int log_takes(struct store *store, const struct job_list *group)
{
    struct base_need own = {.puts_n = 0};
    uint64_t bytes = 0;
    int r = 1;

    for (const struct job *job = group->first; job != NULL; job = job->next)
        bytes += job->bytes;
    base_need_add(&own, store->base, group->first);
    while (r == 1 && !store->full && store->log.fd >= 0 && bytes <= STORE_LOG_GROUP_BYTES_MAX) {
        struct base_need need = store->logged_need;

        need.puts_n += own.puts_n;
        need.bytes += own.bytes;
        need.pages += own.pages;
        bool way =
            need.puts_n <= STORE_GROUP_PUTS_MAX && log_has_room(&store->log, own.puts_n, bytes);
        if (way && base_has_room(store->base, &need, TIGHT_PERCENT)) {
            store->logged_need = need;
            return 1;
        }
        r = make_way(store, way, &need);
    }
    return r < 0 ? r : 0;
}

/* ---- both ---- */

static void commit_to_lmdb(struct store *store, struct job_list *group)
{
    while (group->first != NULL) {
        uint64_t began = now_ns();
        int r = base_apply(store->base, group->first, NULL);

        if (r == 0) {
            group_done(store, group, false, now_ns() - began);
            look_ahead(store);
            return;
        }
        if (r == BASE_NO_ROOM)
            r = make_room(store, group);
        if (r < 0) {
            die(store, r);
            return;
        }
    }
}

static void commit(struct store *store, struct job_list *group)
{
    uint64_t began = now_ns();
    int r;

    if (group->first == NULL)
        return;
    r = log_takes(store, group);
    if (r == 1) {
        r = log_append(&store->log, group->first);
        if (r == 0) {
            group_done(store, group, true, now_ns() - began);
            return;
        }
    }
    if (r < 0 && !store->dead)
        die(store, r);
    if (!store->dead && settle(store)) {
        if (store->full)
            (void)park_some(store, group, NOT_PASSING);
        commit_to_lmdb(store, group);
    }
    (void)park_some(store, group, ALL); /* of a dead store: never done; freed at the close */
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
    if (r == 0 && !tight)
        r = writer_make_log(store);
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
    uint64_t until = 0;

    if (store->full && !store->dead)
        until = store->retry_at_ns;
    else if (store->logged.first != NULL && !store->dead)
        until = store->last_end_ns + (uint64_t)STORE_LOG_IDLE_MS * NS_A_MS;
    sleep_writer(store, 1, until);
    if (store->queued_n == 0)
        return !store->closing;
    gather(store);
    return true;
}

void *writer_main(void *arg)
{
    struct store *store = arg;
    struct job_list group;
    bool dead;

    pthread_mutex_lock(&store->mutex);
    while (wait_for_work(store)) {
        job_list_init(&group);
        store->queued_n -= take_group(&store->queue, &group);
        bool full = store->full;

        dead = store->dead;
        pthread_mutex_unlock(&store->mutex);
        if (full && !dead && now_ns() >= store->retry_at_ns)
            recover(store);
        if (store->dead) /* nothing is done any more; freed at the close */
            (void)park_some(store, &group, ALL);
        else if (store->full)
            (void)park_some(store, &group, NOT_PASSING);
        if (group.first == NULL && !store->dead && !full)
            (void)settle(store); /* nothing came for a while */
        commit(store, &group);
        pthread_mutex_lock(&store->mutex);
    }
    dead = store->dead;
    pthread_mutex_unlock(&store->mutex);
    if (!dead)
        (void)settle(store);
    return NULL;
}
