/*
 * What came from nodes is checked on threads before anybody gets it.
 *
 * Several chunks of one size are hashed in little more time than one (fs/lanes.h). So while chunks
 * come quickly and more are under way, they wait for each other: until CONTENT_LANES are here, or
 * for CHECK_WAIT_MS. Where they come slowly none waits.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_move.h"
#include "node/internal.h"

/* Chunks up to this are checked where they come in: a thread would cost more. */
#define CHECK_HERE_BYTES (16 * 1024)
/* The longest that a chunk waits for others; and what may lie between two so that one waits at all:
 * a loop that shares its core with what it feeds sees them in bursts. */
#define CHECK_WAIT_MS 20
#define CHECK_GAP_MS  10

struct check {
    struct list link; /* of those that wait */
    struct fs_todo todo;
    uint64_t token;
    struct content content;
    uint8_t hash[CONTENT_ROOT_BYTES];
    struct content_check what; /* data: the core's, until it is answered */
};

struct fs_checks {
    struct list waiting; /* of one length */
    uint32_t waiting_n;
    uint64_t due_ms;  /* of the first of them; UINT64_MAX: none */
    uint64_t came_ms; /* when a chunk last came */
};

/* Checks that one thread does. */
struct batch {
    struct fs_job job;
    struct check *checks[CONTENT_LANES];
    uint32_t n;
};

static void answer(struct node_fs *fs, struct check *check)
{
    uint64_t token = check->token;
    int code = check->what.code;

    core_free(check);
    fs_fetch_checked(fs, token, code);
}

static void check_run(struct node_fs *fs, struct fs_todo *todo)
{
    answer(fs, container_of(todo, struct check, todo));
}

static void batch_work(struct fs_job *job)
{
    struct batch *batch = container_of(job, struct batch, job);
    struct content_check *what[CONTENT_LANES];

    for (uint32_t i = 0; i < batch->n; i++)
        what[i] = &batch->checks[i]->what;
    content_checks(what, batch->n);
}

static void batch_done(struct node_fs *fs, struct fs_job *job)
{
    struct batch *batch = container_of(job, struct batch, job);

    fs_enter(fs);
    for (uint32_t i = 0; i < batch->n; i++)
        answer(fs, batch->checks[i]);
    fs_leave(fs);
    core_free(batch);
}

static void batch_start(struct node_fs *fs, struct check *const *checks, uint32_t n)
{
    struct batch *batch = core_calloc(1, sizeof(*batch));

    if (batch == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    memcpy(batch->checks, checks, n * sizeof(*checks));
    batch->n = n;
    batch->job.work = batch_work;
    batch->job.done = batch_done;
    fs_job_start(fs, &batch->job);
}

static void release(struct node_fs *fs)
{
    struct fs_checks *checks = fs->move->checks;
    struct check *taken[CONTENT_LANES];
    struct list *first;
    uint32_t n = 0;

    while ((first = list_first(&checks->waiting)) != NULL) {
        list_remove(first);
        taken[n++] = container_of(first, struct check, link);
    }
    checks->waiting_n = 0;
    checks->due_ms = UINT64_MAX;
    if (n > 0)
        batch_start(fs, taken, n);
}

/* Whether so many more chunks are likely to come soon. */
static bool more_come(const struct fs_checks *checks, uint64_t now_ms, uint64_t asked, uint32_t n)
{
    return asked >= n && now_ms - checks->came_ms <= CHECK_GAP_MS;
}

static void whole_chunk(struct node_fs *fs, struct check *check)
{
    struct fs_checks *checks = fs->move->checks;
    struct list *first = list_first(&checks->waiting);
    uint64_t now_ms = node_boot_ms();
    struct fetch_stats stats;

    if (first != NULL && container_of(first, struct check, link)->what.len != check->what.len)
        release(fs);
    list_append(&checks->waiting, &check->link);
    checks->waiting_n++;
    if (checks->due_ms == UINT64_MAX)
        checks->due_ms = now_ms + CHECK_WAIT_MS;
    fetch_stats(fs->move->fetch, &stats);
    if (checks->waiting_n == content_lanes() ||
        !more_come(checks, now_ms, stats.asked, content_lanes() - checks->waiting_n))
        release(fs);
    checks->came_ms = now_ms;
}

void fs_check(struct node_fs *fs, const struct fetch_action *action)
{
    struct check *check = core_calloc(1, sizeof(*check));

    if (check == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    check->token = action->token;
    check->content = action->content;
    if (action->hash != NULL)
        memcpy(check->hash, action->hash, sizeof(check->hash));
    check->what = (struct content_check){.content = &check->content,
                                         .list = action->chunk == FETCH_LIST,
                                         .chunk = action->chunk,
                                         .of = check->hash,
                                         .data = action->data.data,
                                         .len = action->data.len};
    check->todo.run = check_run;
    if (action->data.data == NULL) { /* nothing is kept from a former life: it is fetched anew */
        check->what.code = KITH_E_NOT_FOUND;
        fs_later(fs, &check->todo);
    } else if (action->data.len <= CHECK_HERE_BYTES) {
        content_checks(&(struct content_check *){&check->what}, 1);
        fs_later(fs, &check->todo);
    } else if (check->what.list) {
        batch_start(fs, &check, 1);
    } else {
        whole_chunk(fs, check);
    }
}

/* ---- time and life ---- */

void fs_checks_tick(struct node_fs *fs, uint64_t now_ms)
{
    if (fs->move->checks->due_ms <= now_ms)
        release(fs);
}

uint64_t fs_checks_deadline_ms(struct node_fs *fs)
{
    return fs->move->checks->due_ms;
}

int fs_checks_open(struct fs_move *move)
{
    move->checks = core_calloc(1, sizeof(*move->checks));
    if (move->checks == NULL)
        return KITH_E_MEMORY;
    list_init(&move->checks->waiting);
    move->checks->due_ms = UINT64_MAX;
    return 0;
}

void fs_checks_deinit(struct fs_move *move)
{
    struct list *first;

    while (move->checks != NULL && (first = list_first(&move->checks->waiting)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct check, link));
    }
    core_free(move->checks);
    move->checks = NULL;
}
