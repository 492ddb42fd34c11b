/*
 * Copying a content to this machine: chunk by chunk, from wherever it is, many at a time. Into the
 * keep by way of a part file that becomes the copy when it is whole: one that is there from before
 * a crash is read and checked first, so nothing has to be remembered of it. Or into a file that is
 * given.
 *
 * Where this node has another version of the path (fs_sibling.h), one chunk is asked for first,
 * that behind which they differ, as the list of chunks comes with it; then what is equal is taken
 * from there, and only the rest is fetched.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/fs_sibling.h"
#include "node/internal.h"

/* Chunks of one copy that are asked for at a time: so many, and about so many bytes. */
#define WINDOW_CHUNKS 16
#define WINDOW_BYTES  (16u * 1024 * 1024)

struct fs_copying;

struct copy_chunk {
    struct fs_copying *copying;
    struct fs_getting getting;
    struct fs_job job; /* writes it */
    struct fs_chunk *chunk;
    bool getting_now, writing;
    uint32_t no;
    int code;
    char text[256];
};

enum sibling_state {
    SIBLING_NONE = 0, /* there is none, or all that it has is taken */
    SIBLING_LISTING,  /* the list is waited for */
    SIBLING_TAKING,   /* a thread takes what is equal: nothing is asked for meanwhile */
};

struct fs_copying {
    struct node_fs *fs;
    struct list link;     /* of those into the keep */
    struct fs_copy *copy; /* NULL: it has been given up */
    struct content content;
    struct fs_job job; /* opens, takes, or ends */
    struct fs_todo todo;
    struct list listing; /* of those that wait for a list */
    struct fs_sibling sibling;
    enum sibling_state sibling_state;
    int fd;
    bool copy_file;   /* of the copy's target */
    bool opened, old; /* old: the part was there before */
    bool more;        /* to be taken */
    bool again;       /* it did not grow */
    uint8_t *have;    /* enum fs_have, a byte a chunk */
    uint32_t chunks_n, next;
    uint32_t window_n;
    uint32_t busy_n; /* chunks under way */
    bool ending, guarded;
    bool kept; /* by another copy of it, which had the same part */
    struct fs_sources sources;
    int code;
    char text[512];
    struct copy_chunk chunks[WINDOW_CHUNKS];
};

static void copying_free(struct fs_copying *copying)
{
    list_remove(&copying->listing);
    fs_sibling_deinit(&copying->sibling);
    list_remove(&copying->link);
    if (copying->fd >= 0)
        (void)close(copying->fd);
    core_free(copying->have);
    core_free(copying);
}

static void copying_end(struct node_fs *fs, struct fs_copying *copying)
{
    struct fs_copy *copy = copying->copy;

    if (copying->guarded) {
        fs_unguard(fs, copying->content.root);
        fs_sweep_look(fs, &copying->content);
    }
    if (copy != NULL) {
        char text[sizeof(copying->text)];
        int code = copying->code;
        memcpy(text, copying->text, sizeof(text));
        copy->from = copying->sources;
        copy->inside = NULL;
        copying_free(copying);
        copy->done(fs, copy, code, text);
        return;
    }
    copying_free(copying);
}

static void fail(struct fs_copying *copying, int code, const char *text)
{
    if (copying->code != 0)
        return;
    copying->code = code;
    snprintf(copying->text, sizeof(copying->text), "%s", text);
}

/* ---- the end: synced, named, recorded, announced ---- */

static void on_held(struct node_fs *fs, void *user, int code, const char *text)
{
    struct fs_copying *copying = user;

    if (code != 0)
        fail(copying, code, text);
    copying_end(fs, copying);
}

/* True: it has grown to be it, or that failed; false: the whole is to be made. */
static bool grow(struct fs_files *files, struct fs_copying *copying)
{
    struct fs_growing what = {.before = copying->sibling.before,
                              .after = copying->content,
                              .from = copying->sibling.from};
    int r = fs_keep_grow(files, &what, copying->fd);

    if (r == KITH_E_AGAIN)
        return false;
    if (r != 0)
        fail(copying, r, kith_errmsg());
    return true;
}

static void end_work(struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);
    int fd = copying->fd;

    copying->guarded = true;
    fs_guard(job->fs, copying->content.root);
    if (copying->sibling.grows) {
        copying->again = !grow(job->fs->move->files, copying);
        return;
    }
    copying->fd = -1; /* it is closed whatever happens */
    int r = fs_part_keep(job->fs->move->files, copying->content.root, fd);
    /* One that was given up while it did this went on, and had the same part. */
    copying->kept = r == FS_PART_KEPT;
    if (r != 0 && !copying->kept)
        fail(copying, r, kith_errmsg());
}

static void take(struct node_fs *fs, struct fs_copying *copying);
static void copying_go(struct node_fs *fs, struct fs_copying *copying);

/* What was to grow cannot: all of it is copied here, and what is wrong there is fetched. */
static void begin_again(struct node_fs *fs, struct fs_copying *copying)
{
    fs_unguard(fs, copying->content.root);
    copying->guarded = copying->again = copying->ending = false;
    for (uint32_t i = 0; i < copying->chunks_n && copying->copy != NULL; i++)
        if (copying->have[i] != FS_HAVE_ASKED) /* it is counted once more */
            copying->copy->done_bytes -= content_chunk_bytes(&copying->content, i);
    fs_sibling_again(&copying->sibling, copying->have);
    copying->next = 0;
    take(fs, copying);
    copying_go(fs, copying);
}

/* When its bytes were last read: what grew has most of them from before. */
static uint64_t scrubbed_ms(struct node_fs *fs, const struct fs_copying *copying)
{
    const struct fs_kept *before =
        copying->sibling.grows ? fs_kept_find(fs, copying->sibling.before.root) : NULL;

    return before != NULL ? before->scrubbed_wall_ms : node_turn_unix_ms(fs->node);
}

static void end_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);
    struct fs_kept *kept;

    if (copying->code != 0 || fs->stopping) {
        copying_end(fs, copying);
        return;
    }
    if (copying->again) {
        begin_again(fs, copying);
        return;
    }
    uint64_t wall_ms = scrubbed_ms(fs, copying);
    kept = fs_kept_get(fs, &copying->content);
    if (kept != NULL) {
        kept->scrubbed_wall_ms = wall_ms;
        fs_kept_store(fs, kept);
    }
    if (!copying->kept) /* else it is counted */
        fs->move->keep_bytes += copying->content.size;
    fs_hold(fs, &copying->content, true, on_held, copying);
}

/* ---- what is here already ---- */

static void take_work(struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);

    copying->more = fs_sibling_take(job->fs, &copying->sibling, copying->have, copying->fd);
}

static void take_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);

    copying->busy_n--;
    fs->move->reused_bytes += copying->sibling.taken_bytes;
    if (copying->sibling.code != 0)
        fail(copying, copying->sibling.code, copying->sibling.text);
    if (copying->more && copying->code == 0 && copying->copy != NULL)
        take(fs, copying);
    else
        copying->sibling_state = SIBLING_NONE;
    copying_go(fs, copying);
}

static void take(struct node_fs *fs, struct fs_copying *copying)
{
    list_remove(&copying->listing);
    copying->sibling_state = SIBLING_TAKING;
    copying->busy_n++;
    copying->job.work = take_work;
    copying->job.done = take_done;
    fs_job_start(fs, &copying->job);
}

void fs_copies_listed(struct node_fs *fs, const struct content *content, struct kith_bytes list)
{
    list_for_each_safe (it, &fs->move->listing) {
        struct fs_copying *copying = container_of(it, struct fs_copying, listing);
        if (!content_equal(&copying->content, content))
            continue;
        copying->sibling.list.len = 0;
        (void)buf_append(&copying->sibling.list, list.data, list.len); /* else it is on the disk */
        take(fs, copying);
    }
}

/* ---- chunks ---- */

static void write_work(struct fs_job *job)
{
    struct copy_chunk *chunk = container_of(job, struct copy_chunk, job);
    struct fs_copying *copying = chunk->copying;

    if (!copying->old && bytes_are_zero(chunk->chunk->data, chunk->chunk->len))
        return; /* a hole of the part file */
    chunk->code = fs_write_all(copying->fd, chunk->chunk->data, chunk->chunk->len,
                               content_chunk_offset(&copying->content, chunk->no));
    if (chunk->code != 0)
        snprintf(chunk->text, sizeof(chunk->text), "%s", kith_errmsg());
}

static void write_done(struct node_fs *fs, struct fs_job *job)
{
    struct copy_chunk *chunk = container_of(job, struct copy_chunk, job);
    struct fs_copying *copying = chunk->copying;

    struct fs_copy *copy = copying->copy;

    if (chunk->code != 0)
        fail(copying, chunk->code, chunk->text);
    else if (copy != NULL)
        copy->done_bytes += chunk->chunk->len;
    if (chunk->code == 0 && copy != NULL && copy->progress != NULL)
        copy->progress(fs, copy);
    fs_chunk_unref(chunk->chunk);
    chunk->chunk = NULL;
    chunk->writing = false;
    copying->busy_n--;
    copying_go(fs, copying);
}

static void on_chunk(struct node_fs *fs,
                     struct fs_getting *getting,
                     int code,
                     const char *text,
                     struct fs_chunk *bytes)
{
    struct copy_chunk *chunk = container_of(getting, struct copy_chunk, getting);
    struct fs_copying *copying = chunk->copying;

    chunk->getting_now = false;
    if (code != 0) {
        fail(copying, code, text);
        copying->busy_n--;
        copying_go(fs, copying);
        return;
    }
    if (getting->fetched)
        fs_sources_add(&copying->sources, bytes, bytes->len);
    if (copying->sibling_state == SIBLING_LISTING) /* nobody said its list: it is on the disk */
        take(fs, copying);
    chunk->chunk = fs_chunk_ref(bytes);
    chunk->writing = true;
    chunk->job.work = write_work;
    chunk->job.done = write_done;
    fs_job_start(fs, &chunk->job);
}

static struct copy_chunk *free_slot(struct fs_copying *copying)
{
    for (uint32_t i = 0; i < copying->window_n; i++) {
        if (!copying->chunks[i].getting_now && !copying->chunks[i].writing)
            return &copying->chunks[i];
    }
    return NULL;
}

/* What was given is the owner's again, whatever came of it. */
static void give_back(struct fs_copying *copying)
{
    if (copying->copy == NULL || copying->copy->target != FS_COPY_FILE)
        return;
    copying->copy->fd = copying->fd;
    copying->fd = -1;
}

/* False: so many are under way already. */
static bool ask(struct node_fs *fs, struct fs_copying *copying, uint32_t no)
{
    struct copy_chunk *chunk = free_slot(copying);

    if (chunk == NULL)
        return false;
    copying->have[no] = FS_HAVE_ASKED;
    chunk->copying = copying;
    chunk->no = no;
    chunk->getting = (struct fs_getting){.content = copying->content,
                                         .no = no,
                                         .priority = copying->copy->priority,
                                         .waits = copying->copy->waits,
                                         .passing = true,
                                         .done = on_chunk};
    chunk->getting_now = true;
    copying->busy_n++;
    fs_get_chunk(fs, &chunk->getting);
    return true;
}

/* With the first chunk that is asked for the list comes. */
static void ask_first(struct node_fs *fs, struct fs_copying *copying)
{
    if (copying->busy_n == 0 && copying->code == 0 && copying->copy != NULL)
        (void)ask(fs, copying, fs_sibling_first(&copying->sibling));
}

/* False: nothing more is to be asked for now. */
static bool ask_next(struct node_fs *fs, struct fs_copying *copying)
{
    while (copying->next < copying->chunks_n && copying->have[copying->next] != FS_HAVE_NOT) {
        uint32_t no = copying->next++;
        if (copying->have[no] != FS_HAVE_ASKED) /* that counts when it is written */
            copying->copy->done_bytes += content_chunk_bytes(&copying->content, no);
    }
    if (copying->next == copying->chunks_n || !ask(fs, copying, copying->next))
        return false;
    copying->next++;
    return true;
}

static void copying_step(struct node_fs *fs, struct fs_copying *copying)
{
    if (copying->sibling_state == SIBLING_LISTING)
        ask_first(fs, copying);
    while (copying->code == 0 && copying->copy != NULL && copying->sibling_state == SIBLING_NONE &&
           ask_next(fs, copying))
        continue;
    if (copying->busy_n > 0 || copying->ending)
        return;
    copying->ending = true;
    if (copying->code != 0 || copying->copy == NULL) {
        give_back(copying);
        copying_end(fs, copying);
        return;
    }
    if (copying->copy->target != FS_COPY_KEEP) {
        copying->copy->fd = copying->fd;
        copying->fd = -1;
        copying_end(fs, copying);
        return;
    }
    copying->job.work = end_work;
    copying->job.done = end_done;
    fs_job_start(fs, &copying->job);
}

/* What a chunk that is not to be had leads to comes when the step is done: it may end the copy. */
static void copying_go(struct node_fs *fs, struct fs_copying *copying)
{
    fs_enter(fs);
    copying_step(fs, copying);
    fs_leave(fs);
}

/* ---- the beginning ---- */

/* Which chunks of an old part are good. */
static void check_old(struct fs_copying *copying)
{
    struct buf list = {0};
    uint8_t *data = core_malloc((size_t)1 << copying->content.chunk_log2);

    if (data != NULL && fs_list_read(copying->fs, &copying->content, &list) == 0) {
        for (uint32_t i = 0; i < copying->chunks_n; i++) {
            uint32_t len = content_chunk_bytes(&copying->content, i);
            bool good = pread(copying->fd, data, len,
                              (off_t)content_chunk_offset(&copying->content, i)) == (ssize_t)len &&
                        content_chunk_check(&copying->content,
                                            content_chunk_hash(&copying->content, list.data, i), i,
                                            data, len) == 0;
            copying->have[i] = good ? FS_HAVE_HERE : FS_HAVE_NOT;
        }
    }
    buf_deinit(&list);
    core_free(data);
}

static void open_part(struct node_fs *fs, struct fs_copying *copying)
{
    copying->fd =
        fs_part_open(fs->move->files, copying->content.root, copying->content.size, &copying->old);
    if (copying->fd < 0) {
        fail(copying, copying->fd, kith_errmsg());
        copying->fd = -1;
    } else if (copying->old) {
        check_old(copying);
    }
    copying->sibling.holes = !copying->old;
}

static void open_work(struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);

    if (copying->copy_file)
        copying->sibling.holes = true;
    else
        open_part(job->fs, copying);
    if (copying->sibling_state == SIBLING_LISTING)
        (void)fs_list_read(job->fs, &copying->content, &copying->sibling.list);
}

/* Whether the list is to be waited for, or is there. */
static void opened(struct node_fs *fs, struct fs_copying *copying)
{
    copying->opened = true;
    if (copying->sibling_state != SIBLING_LISTING || copying->copy == NULL || copying->code != 0)
        return;
    if (copying->chunks_n == 1 || copying->sibling.list.len > 0)
        take(fs, copying);
    else
        list_append(&fs->move->listing, &copying->listing);
}

static void open_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_copying *copying = container_of(job, struct fs_copying, job);

    opened(fs, copying);
    copying_go(fs, copying);
}

static void begin_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct fs_copying *copying = container_of(todo, struct fs_copying, todo);

    opened(fs, copying);
    copying_go(fs, copying);
}

static void find_sibling(struct node_fs *fs, struct fs_copying *copying)
{
    if (copying->chunks_n == 0 || !fs_sibling_find(fs, &copying->content, &copying->sibling))
        return;
    copying->sibling_state = SIBLING_LISTING;
    copying->sibling.may_grow = copying->copy->target == FS_COPY_KEEP &&
                                copying->sibling.where.keep && !copying->copy->repairs;
}

void fs_copy_start(struct node_fs *fs, struct fs_copy *copy)
{
    struct fs_copying *copying = core_calloc(1, sizeof(*copying));
    uint32_t chunk_bytes = 1u << copy->content.chunk_log2;

    if (copying == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    copying->fs = fs;
    copying->copy = copy;
    copying->content = copy->content;
    copying->fd = -1;
    if (copy->target == FS_COPY_KEEP)
        list_append(&fs->move->copyings, &copying->link);
    copying->chunks_n = content_chunks(&copy->content);
    copying->window_n = WINDOW_BYTES / chunk_bytes < 1 ? 1 : WINDOW_BYTES / chunk_bytes;
    if (copying->window_n > WINDOW_CHUNKS)
        copying->window_n = WINDOW_CHUNKS;
    copying->have = core_calloc(copying->chunks_n + 1, 1);
    copy->inside = copying;
    copy->done_bytes = 0;
    copying->copy_file = copy->target == FS_COPY_FILE;
    if (copying->copy_file)
        copying->fd = copy->fd;
    copy->fd = -1;
    if (copying->have == NULL)
        fail(copying, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
    else
        find_sibling(fs, copying);
    if (copying->have == NULL || (copying->copy_file && copying->sibling_state == SIBLING_NONE)) {
        copying->todo.run = begin_run;
        fs_enter(fs);
        fs_later(fs, &copying->todo);
        fs_leave(fs);
        return;
    }
    copying->job.work = open_work;
    copying->job.done = open_done;
    fs_job_start(fs, &copying->job);
}

int fs_copy_cancel(struct node_fs *fs, struct fs_copy *copy)
{
    struct fs_copying *copying = copy->inside;
    bool waits;
    int fd = -1;

    if (copying == NULL)
        return -1;
    /* Threads may be writing to what was given, so they keep it, and the owner gets another. */
    if (copy->target == FS_COPY_FILE)
        fd = fcntl(copying->fd, F_DUPFD_CLOEXEC, 0);
    copy->inside = NULL;
    copying->copy = NULL;
    waits = list_linked(&copying->todo.link);
    list_remove(&copying->todo.link);
    for (uint32_t i = 0; i < copying->window_n; i++) {
        struct copy_chunk *chunk = &copying->chunks[i];
        if (!chunk->getting_now)
            continue;
        fs_get_cancel(fs, &chunk->getting);
        chunk->getting_now = false;
        copying->busy_n--;
    }
    list_remove(&copying->listing);
    if (copying->busy_n == 0 && (copying->opened || waits) && !copying->ending)
        copying_go(fs, copying); /* no job is under way: it ends now */
    return fd;
}

bool fs_copy_runs(const struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    list_for_each (it, &fs->move->copyings) {
        const struct fs_copying *copying = container_of(it, struct fs_copying, link);
        if (copying->copy != NULL && memcmp(copying->content.root, root, CONTENT_ROOT_BYTES) == 0)
            return true;
    }
    return false;
}

const struct fs_sources *fs_copy_sources(const struct fs_copy *copy)
{
    return copy->inside != NULL ? &copy->inside->sources : NULL;
}
