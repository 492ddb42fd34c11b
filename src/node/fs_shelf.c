/*
 * Reading what is in memory from any thread (kith_fs_open() and what follows it): chunks of the
 * memory cache are also on a *shelf*, a table under short locks, from which any thread takes a
 * reference. So bytes that are in memory cost a look-up and a copy, or no copy
 * (kith_fs_file_piece()), and never wait for the loop.
 *
 * What was read so is told to the cache once a second, as its order of use is the loop's.
 */
#include <pthread.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define SHARDS   16
#define USED_MAX 256 /* of a shard, told in a second; those beyond are told by their next use */

struct shard {
    pthread_mutex_t lock;
    struct map64 chunks; /* struct fs_chunk by fs_chunk_key(); a reference each */
    struct fs_chunk *used[USED_MAX];
    uint32_t used_n;
};

struct fs_shelf {
    struct shard shards[SHARDS];
};

static struct shard *shard_of(struct fs_shelf *shelf, uint64_t key)
{
    return &shelf->shards[key % SHARDS];
}

/* ---- the loop's side ---- */

struct fs_shelf *fs_shelf_new(void)
{
    struct fs_shelf *shelf = core_calloc(1, sizeof(*shelf));

    for (unsigned i = 0; shelf != NULL && i < SHARDS; i++) {
        if (pthread_mutex_init(&shelf->shards[i].lock, NULL) == 0)
            continue;
        while (i-- > 0)
            pthread_mutex_destroy(&shelf->shards[i].lock);
        core_free(shelf);
        return NULL;
    }
    return shelf;
}

void fs_shelf_free(struct fs_shelf *shelf)
{
    struct fs_chunk *chunk;

    for (unsigned i = 0; shelf != NULL && i < SHARDS; i++) {
        struct shard *shard = &shelf->shards[i];
        for (size_t at = 0; (chunk = map64_next(&shard->chunks, &at)) != NULL;)
            fs_chunk_unref(chunk);
        while (shard->used_n > 0)
            fs_chunk_unref(shard->used[--shard->used_n]);
        map64_deinit(&shard->chunks);
        pthread_mutex_destroy(&shard->lock);
    }
    core_free(shelf);
}

void fs_shelf_put(struct fs_shelf *shelf, struct fs_chunk *chunk)
{
    uint64_t key = fs_chunk_key(chunk->root, chunk->no);
    struct shard *shard = shard_of(shelf, key);

    pthread_mutex_lock(&shard->lock);
    /* Without memory for it the chunk is read by way of the loop. */
    if (map64_find(&shard->chunks, key) == NULL && map64_set(&shard->chunks, key, chunk) == 0)
        (void)fs_chunk_ref(chunk);
    pthread_mutex_unlock(&shard->lock);
}

void fs_shelf_drop(struct fs_shelf *shelf, const struct fs_chunk *chunk)
{
    uint64_t key = fs_chunk_key(chunk->root, chunk->no);
    struct shard *shard = shard_of(shelf, key);
    struct fs_chunk *dropped = NULL;

    pthread_mutex_lock(&shard->lock);
    if (map64_find(&shard->chunks, key) == chunk)
        dropped = map64_remove(&shard->chunks, key);
    pthread_mutex_unlock(&shard->lock);
    fs_chunk_unref(dropped);
}

void fs_shelf_tell(struct node_fs *fs)
{
    struct fs_chunk *used[USED_MAX];

    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &fs->move->shelf->shards[i];
        uint32_t n;
        pthread_mutex_lock(&shard->lock);
        n = shard->used_n;
        memcpy(used, shard->used, n * sizeof(used[0]));
        shard->used_n = 0;
        pthread_mutex_unlock(&shard->lock);
        for (uint32_t k = 0; k < n; k++) {
            struct cache_event event = {.type = CACHE_GET, .chunk = used[k]->no};
            memcpy(event.root, used[k]->root, sizeof(event.root));
            atomic_store_explicit(&used[k]->used, false, memory_order_relaxed);
            if (cache_find(fs->move->cache, event.root, event.chunk) != CACHE_NONE)
                fs_cache_event(fs, &event, NULL);
            fs_chunk_unref(used[k]);
        }
    }
}

/* ---- any thread ---- */

/* A reference, or NULL. */
static struct fs_chunk *take(struct fs_shelf *shelf, const struct content *content, uint32_t no)
{
    uint64_t key = fs_chunk_key(content->root, no);
    struct shard *shard = shard_of(shelf, key);
    struct fs_chunk *chunk;

    pthread_mutex_lock(&shard->lock);
    chunk = map64_find(&shard->chunks, key);
    if (chunk != NULL && (chunk->no != no || chunk->len != content_chunk_bytes(content, no) ||
                          memcmp(chunk->root, content->root, CONTENT_ROOT_BYTES) != 0))
        chunk = NULL;
    if (chunk != NULL) {
        (void)fs_chunk_ref(chunk);
        if (!atomic_load_explicit(&chunk->used, memory_order_relaxed) && shard->used_n < USED_MAX) {
            atomic_store_explicit(&chunk->used, true, memory_order_relaxed);
            shard->used[shard->used_n++] = fs_chunk_ref(chunk);
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return chunk;
}

struct kith_fs_file {
    struct kith_node *node;
    struct content content;
    char hash[KITH_FS_HASH_DIGITS + 1];
    char path[];
};

struct opening {
    struct kith_fs_op op;
    struct content content;
    int code;
    char text[1200];
};

static void open_run(struct kith_node *node, void *arg)
{
    struct opening *opening = arg;

    kith_errmsg_clear();
    opening->code =
        node->ending ? KITH_E_STOPPED : fs_content_of(node->fs, &opening->op, &opening->content);
    snprintf(opening->text, sizeof(opening->text), "%s",
             opening->code == KITH_E_STOPPED ? "the node stops" : kith_errmsg());
}

int kith_fs_open(struct kith_node *node,
                 const char *path,
                 const char *hash,
                 struct kith_fs_file **file_out)
{
    struct opening opening = {.op = {.kind = KITH_FS_READ, .path = path, .hash = hash}};
    size_t bytes = path != NULL ? strlen(path) + 1 : 0;
    struct kith_fs_file *file;
    int r = node->fs == NULL ? node_fs_absent() : node_fs_check_op(&opening.op);

    if (r == 0)
        r = node_run(node, open_run, &opening);
    if (r != 0)
        return r;
    if (opening.code != 0)
        return kith_fail_with(opening.code, "%s", opening.text);
    file = core_calloc(1, sizeof(*file) + bytes);
    if (file == NULL)
        return KITH_E_MEMORY;
    file->node = node;
    file->content = opening.content;
    hex_encode(opening.content.root, CONTENT_ROOT_BYTES, file->hash);
    memcpy(file->path, path, bytes);
    *file_out = file;
    return 0;
}

void kith_fs_close(struct kith_fs_file *file)
{
    core_free(file);
}

uint64_t kith_fs_file_size(const struct kith_fs_file *file)
{
    return file->content.size;
}

const char *kith_fs_file_hash(const struct kith_fs_file *file)
{
    return file->hash;
}

/* What is in memory of the run, from its beginning on: so many bytes. */
static size_t copy_shelf(const struct kith_fs_file *file, uint64_t offset, uint8_t *to, size_t len)
{
    const struct content *content = &file->content;
    size_t done = 0;

    while (done < len) {
        uint32_t no = (uint32_t)((offset + done) >> content->chunk_log2);
        uint64_t from = offset + done - content_chunk_offset(content, no);
        struct fs_chunk *chunk = take(file->node->fs->move->shelf, content, no);
        if (chunk == NULL)
            break;
        size_t n = len - done < chunk->len - from ? len - done : (size_t)(chunk->len - from);
        memcpy(to + done, chunk->data + from, n);
        fs_chunk_unref(chunk);
        done += n;
    }
    return done;
}

int kith_fs_file_read(
    struct kith_fs_file *file, uint64_t offset, void *buffer, size_t bytes, size_t *len_out)
{
    uint64_t left = offset < file->content.size ? file->content.size - offset : 0;
    size_t len = bytes < left ? bytes : (size_t)left, done;

    *len_out = 0;
    if (!node_enter(file->node))
        return KITH_E_STOPPED;
    done = copy_shelf(file, offset, buffer, len);
    node_exit(file->node);
    while (done < len) {
        size_t want = len - done < KITH_FS_DATA_BYTES_MAX ? len - done : KITH_FS_DATA_BYTES_MAX;
        size_t n = 0;
        int r = kith_fs_read(file->node, file->path, file->hash, offset + done,
                             (uint8_t *)buffer + done, want, &n);
        if (r != 0)
            return r;
        if (n == 0)
            return kith_fail_with(KITH_E_CORRUPT, "%s: less came than it has", file->path);
        done += n;
    }
    *len_out = len;
    return 0;
}

int kith_fs_file_piece(struct kith_fs_file *file, uint64_t offset, struct kith_fs_piece *piece_out)
{
    const struct content *content = &file->content;
    struct fs_chunk *chunk;
    uint32_t no;
    uint64_t from;

    *piece_out = (struct kith_fs_piece){.data = NULL};
    if (offset >= content->size)
        return kith_fail_with(KITH_E_INVALID, "%s ends at byte %llu", file->path,
                              (unsigned long long)content->size);
    no = (uint32_t)(offset >> content->chunk_log2);
    from = offset - content_chunk_offset(content, no);
    if (!node_enter(file->node))
        return KITH_E_STOPPED;
    chunk = take(file->node->fs->move->shelf, content, no);
    node_exit(file->node);
    if (chunk == NULL)
        return KITH_E_NOT_FOUND;
    *piece_out = (struct kith_fs_piece){
        .data = chunk->data + from, .len = (size_t)(chunk->len - from), .inside = chunk};
    return 0;
}

void kith_fs_piece_end(struct kith_fs_piece *piece)
{
    fs_chunk_unref(piece->inside);
    *piece = (struct kith_fs_piece){.data = NULL};
}
