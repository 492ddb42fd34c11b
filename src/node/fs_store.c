/*
 * What the catalogue keeps in the store: entries gather to batches, and wait in order where the
 * store has enough to do. The catalogue is not told of a store that is slow, but what it
 * acknowledges waits for its sync.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

/* A batch is given to the store when it has so much: what goes to the store's log at once. */
#define BATCH_PUTS_MAX  1024
#define BATCH_BYTES_MAX (256 * 1024)

struct batch_put {
    size_t key_at, key_len, value_len;
    bool erase;
};

struct fs_batch {
    struct list link;
    uint64_t token; /* 0: none */
    struct batch_put puts[BATCH_PUTS_MAX];
    size_t puts_n;
    struct buf bytes; /* key and value of each, one behind the other */
};

static const char sync_key[] = {STORE_KEY_FS, '~'};

/* Nothing that the catalogue says was kept may be lost: without memory the process ends. */
static void short_of_memory(struct node_fs *fs)
{
    node_state_end_process(fs->node, "memory is short: files are kept no longer; start it again");
}

static struct fs_batch *batch_at_hand(struct node_fs *fs)
{
    if (fs->batch != NULL)
        return fs->batch;
    fs->batch = core_malloc(sizeof(*fs->batch)); /* most of it is never touched */
    if (fs->batch == NULL)
        short_of_memory(fs);
    fs->batch->link = (struct list){NULL, NULL};
    fs->batch->token = 0;
    fs->batch->puts_n = 0;
    fs->batch->bytes = (struct buf){0};
    return fs->batch;
}

static void batch_free(struct fs_batch *batch)
{
    if (batch == NULL)
        return;
    buf_deinit(&batch->bytes);
    core_free(batch);
}

void fs_put(struct node_fs *fs, struct kith_bytes key, struct kith_bytes data)
{
    struct fs_batch *batch = batch_at_hand(fs);

    batch->puts[batch->puts_n++] = (struct batch_put){.key_at = batch->bytes.len,
                                                      .key_len = key.len,
                                                      .value_len = data.len,
                                                      .erase = data.data == NULL};
    if (buf_append(&batch->bytes, key.data, key.len) != 0 ||
        (data.len > 0 && buf_append(&batch->bytes, data.data, data.len) != 0))
        short_of_memory(fs);
    if (batch->puts_n == BATCH_PUTS_MAX || batch->bytes.len >= BATCH_BYTES_MAX)
        fs_put_flush(fs);
}

/* 0, or KITH_E_BUSY: later. */
static int give(struct node_fs *fs, const struct fs_batch *batch)
{
    struct store_put *puts = core_calloc(batch->puts_n, sizeof(*puts));
    struct store_batch all = {.puts = puts, .puts_n = batch->puts_n};

    if (puts == NULL)
        short_of_memory(fs);
    for (size_t i = 0; i < batch->puts_n; i++) {
        const struct batch_put *put = &batch->puts[i];
        puts[i].key = (struct kith_bytes){batch->bytes.data + put->key_at, put->key_len};
        puts[i].erase = put->erase;
        if (!put->erase)
            puts[i].value =
                (struct kith_bytes){batch->bytes.data + put->key_at + put->key_len, put->value_len};
    }
    int r = store_put(fs->node->state.store, &all, batch->token);
    core_free(puts);
    if (r != 0 && r != KITH_E_BUSY && r != KITH_E_STOPPED)
        node_state_end_process(fs->node, kith_errmsg());
    return r;
}

void fs_put_flush(struct node_fs *fs)
{
    struct fs_batch *batch = fs->batch;

    if (batch == NULL || batch->puts_n == 0)
        return;
    fs->batch = NULL;
    if (list_empty(&fs->batches) && give(fs, batch) == 0)
        batch_free(batch);
    else
        list_append(&fs->batches, &batch->link);
}

void fs_put_sync(struct node_fs *fs, uint64_t token)
{
    struct fs_batch *batch = batch_at_hand(fs);

    if (batch->puts_n == 0) /* a batch has an entry: what came before it is under way */
        fs_put(fs, (struct kith_bytes){sync_key, sizeof(sync_key)}, (struct kith_bytes){"", 0});
    batch->token = token;
    fs_put_flush(fs);
}

void fs_put_again(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->batches)) != NULL) {
        struct fs_batch *batch = container_of(first, struct fs_batch, link);
        if (give(fs, batch) != 0)
            return;
        list_remove(first);
        batch_free(batch);
    }
}

void fs_put_deinit(struct node_fs *fs)
{
    struct list *first;

    batch_free(fs->batch);
    while ((first = list_first(&fs->batches)) != NULL) {
        list_remove(first);
        batch_free(container_of(first, struct fs_batch, link));
    }
}
