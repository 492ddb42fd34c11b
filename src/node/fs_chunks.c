/*
 * Chunks that were fetched: the memory cache, the disk cache, and those who wait for one. What
 * stays where is decided by fs/cache.h; here are the bytes.
 *
 * All that is done to the disk cache goes through one queue, in the order in which it was decided:
 * one thread at a time works it off. A chunk that is on its way to the disk is in memory until it
 * is there. What is read from the disk is checked like what comes from a node.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/fs_move.h"
#include "node/internal.h"

/* ---- chunks ---- */

struct fs_chunk *fs_chunk_new(const struct content *content, uint32_t no, void *data)
{
    struct fs_chunk *chunk = core_calloc(1, sizeof(*chunk));

    if (chunk == NULL) {
        core_free(data);
        return NULL;
    }
    atomic_init(&chunk->refs_n, 1);
    chunk->no = no;
    memcpy(chunk->root, content->root, sizeof(chunk->root));
    chunk->len = content_chunk_bytes(content, no);
    chunk->data = data;
    return chunk;
}

struct fs_chunk *fs_chunk_ref(struct fs_chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->refs_n, 1, memory_order_relaxed);
    return chunk;
}

void fs_chunk_unref(struct fs_chunk *chunk)
{
    if (chunk == NULL || atomic_fetch_sub_explicit(&chunk->refs_n, 1, memory_order_acq_rel) != 1)
        return;
    core_free(chunk->data);
    core_free(chunk);
}

/* ---- the memory cache ---- */

/* Keys are hashes: another chunk under the same is taken for none. */
static struct fs_chunk *memory_find(struct fs_move *move, const uint8_t *root, uint32_t no)
{
    struct fs_chunk *chunk = map64_find(&move->memory, fs_chunk_key(root, no));

    return chunk != NULL && chunk->no == no && memcmp(chunk->root, root, CONTENT_ROOT_BYTES) == 0
               ? chunk
               : NULL;
}

static void memory_drop(struct fs_move *move, const uint8_t *root, uint32_t no)
{
    struct fs_chunk *chunk = memory_find(move, root, no);

    if (chunk == NULL)
        return;
    fs_shelf_drop(move->shelf, chunk);
    fs_chunk_unref(map64_remove(&move->memory, fs_chunk_key(root, no)));
}

static bool memory_put(struct fs_move *move, struct fs_chunk *chunk)
{
    uint64_t key = fs_chunk_key(chunk->root, chunk->no);

    if (map64_find(&move->memory, key) != NULL)
        return memory_find(move, chunk->root, chunk->no) != NULL;
    if (map64_set(&move->memory, key, fs_chunk_ref(chunk)) == 0) {
        fs_shelf_put(move->shelf, chunk);
        return true;
    }
    fs_chunk_unref(chunk);
    return false;
}

/* ---- the disk cache: a queue of what is to be done ---- */

enum disk_do {
    DISK_WRITE, /* chunk */
    DISK_READ,  /* for who waits (want), or into memory */
    DISK_REMOVE,
};

struct disk_item {
    struct list link;
    enum disk_do what;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint32_t no;
    struct fs_chunk *chunk; /* that is written; the loop's reference */
    struct content content; /* of what is read; size 0: not known any more */
    bool for_want;          /* else it moves into memory */
    void *data;             /* that was read */
    uint32_t bytes;
    int code;
};

struct fs_disk_queue {
    struct fs_job job;
    struct fs_move *move;
    struct list waiting;
    struct list taken; /* by the thread */
    bool running;
};

static int verify(struct node_fs *fs, const struct content *content, uint32_t no, const void *data)
{
    struct buf list = {0};
    int r = fs_list_read(fs, content, &list);

    if (r == 0)
        r = content_chunk_check(content, content_chunk_hash(content, list.data, no), no, data,
                                content_chunk_bytes(content, no));
    buf_deinit(&list);
    return r;
}

static void item_read(struct fs_move *move, struct disk_item *item)
{
    int fd = fs_content_open(move->files, FS_ROOM_CACHE, item->root, item->no);

    item->code = fd < 0 ? fd : 0;
    if (item->code != 0)
        return;
    item->data = core_malloc(item->bytes > 0 ? item->bytes : 1);
    if (item->data == NULL || pread(fd, item->data, item->bytes, 0) != (ssize_t)item->bytes)
        item->code = KITH_E_IO;
    (void)close(fd);
    if (item->code == 0)
        item->code = item->content.size == 0
                         ? KITH_E_NOT_FOUND
                         : verify(move->fs, &item->content, item->no, item->data);
    if (item->code != 0) {
        core_free(item->data);
        item->data = NULL;
    }
}

/* On a thread. */
static void disk_work(struct fs_job *job)
{
    struct fs_disk_queue *queue = container_of(job, struct fs_disk_queue, job);

    list_for_each (it, &queue->taken) {
        struct disk_item *item = container_of(it, struct disk_item, link);
        if (item->what == DISK_WRITE)
            item->code = fs_cache_write(queue->move->files, item->root, item->no, item->chunk->data,
                                        item->chunk->len);
        else if (item->what == DISK_READ)
            item_read(queue->move, item);
        else
            item->code = fs_content_remove(queue->move->files, FS_ROOM_CACHE, item->root, item->no);
    }
}

static void disk_done(struct node_fs *fs, struct fs_job *job);

static void disk_go(struct node_fs *fs)
{
    struct fs_disk_queue *queue = fs->move->disk;

    if (queue->running || list_empty(&queue->waiting))
        return;
    queue->running = true;
    list_splice(&queue->taken, &queue->waiting);
    queue->job.work = disk_work;
    queue->job.done = disk_done;
    fs_job_start(fs, &queue->job);
}

static struct disk_item *
disk_add(struct node_fs *fs, enum disk_do what, const uint8_t *root, uint32_t no, uint32_t bytes)
{
    struct disk_item *item = core_calloc(1, sizeof(*item));

    if (item == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    item->what = what;
    item->no = no;
    item->bytes = bytes;
    memcpy(item->root, root, CONTENT_ROOT_BYTES);
    list_append(&fs->move->disk->waiting, &item->link);
    return item;
}

static void failed(struct node_fs *fs, const struct disk_item *item)
{
    struct cache_event event = {.type = CACHE_FAILED, .chunk = item->no};

    if (item->code == KITH_E_CORRUPT) {
        char hash[2 * CONTENT_ROOT_BYTES + 1];
        hex_encode(item->root, CONTENT_ROOT_BYTES, hash);
        log_warn(&fs->node->log.log, "files",
                 "a piece of a file in the disk cache is damaged; it is dropped, and fetched again "
                 "when it is read",
                 "hash", hash, NULL);
    }
    memcpy(event.root, item->root, sizeof(event.root));
    memory_drop(fs->move, item->root, item->no);
    fs_cache_event(fs, &event, NULL);
}

/* Whoever waited for it: has it, or it is fetched. */
static void read_for_want(struct node_fs *fs, struct disk_item *item)
{
    struct fs_want *want = map64_find(&fs->move->wants, fs_chunk_key(item->root, item->no));
    struct fs_chunk *chunk = NULL;

    if (item->code == 0) {
        chunk = fs_chunk_new(&item->content, item->no, item->data);
        item->data = NULL;
    } else {
        failed(fs, item);
    }
    if (want != NULL && chunk != NULL)
        fs_want_came(fs, want, chunk);
    else if (want != NULL)
        fs_fetch_start(fs, want);
    fs_chunk_unref(chunk);
}

/* The machine has memory again. */
static void read_to_memory(struct node_fs *fs, struct disk_item *item)
{
    struct fs_chunk *chunk =
        item->code == 0 ? fs_chunk_new(&item->content, item->no, item->data) : NULL;

    item->data = item->code == 0 ? NULL : item->data;
    if (chunk == NULL || !memory_put(fs->move, chunk))
        failed(fs, item);
    (void)disk_add(fs, DISK_REMOVE, item->root, item->no, 0);
    fs_chunk_unref(chunk);
}

static void item_done(struct node_fs *fs, struct disk_item *item)
{
    if (item->what == DISK_READ && !item->for_want) {
        read_to_memory(fs, item);
    } else if (item->what == DISK_WRITE && item->code == 0) {
        memory_drop(fs->move, item->root, item->no); /* it is on the disk now */
    } else if (item->what == DISK_READ && item->for_want) {
        read_for_want(fs, item);
    } else if (item->code != 0 && item->what != DISK_REMOVE) {
        log_warn(&fs->node->log.log, "files", "the disk cache cannot be used", "reason",
                 kith_strerror(item->code), NULL);
        failed(fs, item);
    }
    fs_chunk_unref(item->chunk);
    core_free(item->data);
    core_free(item);
}

static void disk_done(struct node_fs *fs, struct fs_job *job)
{
    struct fs_disk_queue *queue = container_of(job, struct fs_disk_queue, job);
    struct list *first;

    fs_enter(fs);
    while ((first = list_first(&queue->taken)) != NULL) {
        list_remove(first);
        item_done(fs, container_of(first, struct disk_item, link));
    }
    queue->running = false;
    disk_go(fs);
    fs_leave(fs);
}

/* ---- what the policy decides ---- */

static void to_disk(struct node_fs *fs, struct fs_chunk *chunk)
{
    struct disk_item *item;

    if (!memory_put(fs->move, chunk)) /* to be read meanwhile; else it is read from elsewhere */
        return;
    item = disk_add(fs, DISK_WRITE, chunk->root, chunk->no, chunk->len);
    item->chunk = fs_chunk_ref(chunk);
}

static void to_memory(struct node_fs *fs, const struct cache_action *action)
{
    struct fs_content_facts facts;
    struct disk_item *item = disk_add(fs, DISK_READ, action->root, action->chunk, action->bytes);

    if (fs_catalogue_content(fs->catalogue, action->root, &facts, NULL, 0) == 0)
        item->content = facts.content;
}

static void do_action(struct node_fs *fs, const struct cache_action *action, struct fs_chunk *added)
{
    struct fs_chunk *chunk;

    switch (action->type) {
    case CACHE_KEEP:
        if (added != NULL && action->to == CACHE_MEMORY)
            (void)memory_put(fs->move, added);
        else if (added != NULL)
            to_disk(fs, added);
        break;
    case CACHE_MOVE:
        chunk = memory_find(fs->move, action->root, action->chunk);
        if (action->to == CACHE_DISK && chunk != NULL)
            to_disk(fs, chunk);
        else if (action->to == CACHE_MEMORY)
            to_memory(fs, action);
        break;
    case CACHE_DROP:
        memory_drop(fs->move, action->root, action->chunk);
        if (action->from == CACHE_DISK)
            (void)disk_add(fs, DISK_REMOVE, action->root, action->chunk, 0);
        break;
    }
}

/* Cache steps never nest: what an action does steps the cache later, from the disk's queue. */
static enum cache_place
cache_do(struct node_fs *fs, const struct cache_event *event, struct fs_chunk *added)
{
    struct cache_output out;

    (void)cache_step(fs->move->cache, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(fs, &out.actions[i], added);
    disk_go(fs);
    return out.place;
}

void fs_cache_event(struct node_fs *fs, const struct cache_event *event, struct fs_chunk *added)
{
    (void)cache_do(fs, event, added);
}

void fs_cache_use(struct node_fs *fs)
{
    fs_shelf_tell(fs);
    uint64_t all = fs->node->facts.memory_bytes, free_now = fs->node->load.memory_available_bytes;
    struct cache_event event = {.type = CACHE_USE};

    if (all == 0 || free_now > all)
        return;
    event.percent = (uint8_t)((all - free_now) * 100 / all);
    fs->move->memory_percent = event.percent;
    fs_cache_event(fs, &event, NULL);
}

/* ---- who waits for a chunk ---- */

static void getting_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct fs_getting *getting = container_of(todo, struct fs_getting, todo);
    struct fs_chunk *chunk = getting->chunk;
    char text[sizeof(getting->text)];

    memcpy(text, getting->text, sizeof(text));
    getting->chunk = NULL;
    getting->done(fs, getting, getting->code, text, chunk); /* it may be gone from here on */
    fs_chunk_unref(chunk);
}

static void tell(struct node_fs *fs,
                 struct fs_getting *getting,
                 int code,
                 const char *text,
                 struct fs_chunk *chunk)
{
    getting->want = NULL;
    getting->code = code;
    getting->chunk = chunk != NULL ? fs_chunk_ref(chunk) : NULL;
    snprintf(getting->text, sizeof(getting->text), "%s", text);
    getting->todo.run = getting_run;
    fs_enter(fs);
    fs_later(fs, &getting->todo);
    fs_leave(fs);
}

static void want_end(
    struct node_fs *fs, struct fs_want *want, int code, const char *text, struct fs_chunk *chunk)
{
    struct list *first;

    fs_enter(fs);
    fs_fetch_cancel(fs, want);
    map64_remove(&fs->move->wants, fs_chunk_key(want->content.root, want->no));
    while ((first = list_first(&want->gettings)) != NULL) {
        struct fs_getting *getting = container_of(first, struct fs_getting, link);
        list_remove(first);
        getting->fetched = chunk != NULL && chunk->from_node;
        tell(fs, getting, code, text, chunk);
    }
    core_free(want);
    fs_leave(fs);
}

void fs_want_came(struct node_fs *fs, struct fs_want *want, struct fs_chunk *chunk)
{
    struct cache_event event = {.type = CACHE_ADD, .chunk = want->no, .bytes = chunk->len};

    memcpy(event.root, want->content.root, sizeof(event.root));
    if (want->id != 0) /* its DONE follows by itself */
        map64_remove(&fs->move->fetches, want->id);
    want->id = 0;
    if (!want->passing && cache_find(fs->move->cache, event.root, want->no) == CACHE_NONE)
        fs_cache_event(fs, &event, chunk);
    want_end(fs, want, 0, "", chunk);
}

void fs_want_failed(struct node_fs *fs, struct fs_want *want, int code, const char *text)
{
    want_end(fs, want, code, text, NULL);
}

bool fs_want_left(struct node_fs *fs, struct fs_want *want, int code, const char *text)
{
    list_for_each_safe (it, &want->gettings) {
        struct fs_getting *getting = container_of(it, struct fs_getting, link);
        if (getting->waits)
            continue;
        list_remove(it);
        getting->fetched = false;
        tell(fs, getting, code, text, NULL);
    }
    if (!list_empty(&want->gettings))
        return true;
    want_end(fs, want, code, text, NULL);
    return false;
}

static struct fs_want *want_new(struct node_fs *fs, const struct fs_getting *getting)
{
    struct fs_want *want = core_calloc(1, sizeof(*want));

    if (want == NULL)
        return NULL;
    list_init(&want->gettings);
    want->content = getting->content;
    want->no = getting->no;
    want->priority = getting->priority;
    want->waits = getting->waits;
    want->passing = getting->passing;
    if (map64_set(&fs->move->wants, fs_chunk_key(getting->content.root, getting->no), want) == 0)
        return want;
    core_free(want);
    return NULL;
}

/* A chunk of a content that this node holds, for a copy of it. */
struct here_read {
    struct fs_job job;
    struct fs_where where;
    struct content content;
    uint32_t no;
    void *data;
    int code;
};

static void here_work(struct fs_job *job)
{
    struct here_read *read = container_of(job, struct here_read, job);
    uint32_t len = content_chunk_bytes(&read->content, read->no);

    read->data = core_malloc(len > 0 ? len : 1);
    read->code =
        read->data == NULL
            ? KITH_E_MEMORY
            : fs_read_checked(job->fs, &read->where, &read->content,
                              content_chunk_offset(&read->content, read->no), read->data, len);
}

static void here_done(struct node_fs *fs, struct fs_job *job)
{
    struct here_read *read = container_of(job, struct here_read, job);
    struct fs_want *want = map64_find(&fs->move->wants, fs_chunk_key(read->content.root, read->no));
    struct fs_chunk *chunk = NULL;

    fs_enter(fs);
    if (read->code == 0) {
        chunk = fs_chunk_new(&read->content, read->no, read->data);
        read->data = NULL;
    } else if (read->code == KITH_E_CORRUPT) {
        fs_keep_damage(fs, &read->content);
    }
    if (want != NULL && chunk != NULL) {
        want->passing = true; /* what is on this disk needs no cache */
        fs_want_came(fs, want, chunk);
    } else if (want != NULL && want->id == 0) {
        fs_fetch_start(fs, want);
    }
    fs_chunk_unref(chunk);
    fs_where_deinit(&read->where);
    core_free(read->data);
    core_free(read);
    fs_leave(fs);
}

static bool read_here(struct node_fs *fs, const struct fs_want *want)
{
    struct here_read *read = core_calloc(1, sizeof(*read));

    if (read == NULL || !fs_where_is(fs, &want->content, &read->where)) {
        core_free(read);
        return false;
    }
    read->content = want->content;
    read->no = want->no;
    read->job.work = here_work;
    read->job.done = here_done;
    fs_job_start(fs, &read->job);
    return true;
}

static void want_begin(struct node_fs *fs, struct fs_want *want)
{
    struct cache_event event = {.type = CACHE_GET, .chunk = want->no};
    struct disk_item *item;

    if (want->passing && read_here(fs, want))
        return;
    memcpy(event.root, want->content.root, sizeof(event.root));
    if (cache_do(fs, &event, NULL) == CACHE_NONE) {
        fs_fetch_start(fs, want);
        return;
    }
    item = disk_add(fs, DISK_READ, want->content.root, want->no,
                    content_chunk_bytes(&want->content, want->no));
    item->content = want->content;
    item->for_want = true;
    disk_go(fs);
}

void fs_get_chunk(struct node_fs *fs, struct fs_getting *getting)
{
    uint64_t key = fs_chunk_key(getting->content.root, getting->no);
    struct fs_chunk *chunk = memory_find(fs->move, getting->content.root, getting->no);
    struct fs_want *want = map64_find(&fs->move->wants, key);
    struct cache_event event = {.type = CACHE_GET, .chunk = getting->no};

    if (chunk != NULL) {
        memcpy(event.root, getting->content.root, sizeof(event.root));
        fs_cache_event(fs, &event, NULL); /* it was used */
        tell(fs, getting, 0, "", chunk);
        return;
    }
    bool fresh = want == NULL;
    if (fresh)
        want = want_new(fs, getting);
    if (want == NULL) {
        tell(fs, getting, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    want->passing &= getting->passing;
    getting->want = want;
    list_append(&want->gettings, &getting->link);
    fs_enter(fs);
    if (fresh)
        want_begin(fs, want);
    else if (want->waits && !getting->waits)
        fs_fetch_hurry(fs, want);
    fs_leave(fs);
}

void fs_get_cancel(struct node_fs *fs, struct fs_getting *getting)
{
    struct fs_want *want = getting->want;

    list_remove(&getting->link);
    list_remove(&getting->todo.link); /* it came, and was not told yet */
    fs_chunk_unref(getting->chunk);
    getting->chunk = NULL;
    getting->want = NULL;
    /* Nobody waits any more; a read of the disk finds nobody when it comes back. */
    if (want != NULL && list_empty(&want->gettings))
        want_end(fs, want, 0, "", NULL);
}

/* ---- life ---- */

static int on_found(void *user, const uint8_t root[FS_ROOT_BYTES], uint32_t chunk, uint64_t bytes)
{
    struct fs_move *move = user;
    struct cache_event event = {.type = CACHE_FOUND, .chunk = chunk, .bytes = (uint32_t)bytes};
    struct cache_output out;

    if (bytes > UINT32_MAX)
        return 0;
    memcpy(event.root, root, sizeof(event.root));
    (void)cache_step(move->cache, &event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == CACHE_DROP && out.actions[i].from == CACHE_DISK)
            (void)fs_content_remove(move->files, FS_ROOM_CACHE, out.actions[i].root,
                                    out.actions[i].chunk);
    }
    return 0;
}

int fs_chunks_open(struct fs_move *move)
{
    const struct kith_config *config = move->fs->node->config;
    struct cache_config cache = {
        .memory_bytes_max = config_size(config, "fs.memory_cache"),
        .disk_bytes_max = config_size(config, "fs.disk_cache"),
        .memory_mark = (uint8_t)config_u64(config, "fs.memory_mark"),
    };
    int r = cache_new(&move->cache, &cache);

    move->disk = core_calloc(1, sizeof(*move->disk));
    move->shelf = fs_shelf_new();
    move->checked = fs_checked_new();
    if (r != 0 || move->disk == NULL || move->shelf == NULL || move->checked == NULL)
        return KITH_E_MEMORY;
    move->disk->move = move;
    list_init(&move->disk->waiting);
    list_init(&move->disk->taken);
    return fs_content_each(move->files, FS_ROOM_CACHE, on_found, move);
}

void fs_chunks_deinit(struct fs_move *move)
{
    struct fs_chunk *chunk;
    struct list *first;

    while (move->disk != NULL && (first = list_first(&move->disk->waiting)) != NULL) {
        struct disk_item *item = container_of(first, struct disk_item, link);
        list_remove(first);
        fs_chunk_unref(item->chunk);
        core_free(item);
    }
    core_free(move->disk);
    for (size_t at = 0; (chunk = map64_next(&move->memory, &at)) != NULL;)
        fs_chunk_unref(chunk);
    map64_deinit(&move->memory);
    fs_shelf_free(move->shelf);
    fs_checked_free(move->checked);
    cache_free(move->cache);
}
