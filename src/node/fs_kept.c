/*
 * What is remembered of each content in the keep: STORE_KEY_FS 'k' ROOT -> content, scrubbed,
 * unreferenced, u8 whether an earlier version had pinned it.
 */
#include <string.h>

#include "core/alloc.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define KEPT_KEY_BYTES   (2 + CONTENT_ROOT_BYTES)
#define KEPT_VALUE_BYTES (CONTENT_WIRE_BYTES + 8 + 8 + 1)

static uint64_t kept_key(const uint8_t root[CONTENT_ROOT_BYTES])
{
    return hash_bytes(root, CONTENT_ROOT_BYTES, 0);
}

struct fs_kept *fs_kept_find(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct fs_kept *kept = map64_find(&fs->kept, kept_key(root));

    return kept != NULL && memcmp(kept->content.root, root, CONTENT_ROOT_BYTES) == 0 ? kept : NULL;
}

struct fs_kept *fs_kept_get(struct node_fs *fs, const struct content *content)
{
    struct fs_kept *kept = fs_kept_find(fs, content->root);

    if (kept != NULL)
        return kept;
    kept = core_calloc(1, sizeof(*kept));
    if (kept == NULL || map64_find(&fs->kept, kept_key(content->root)) != NULL ||
        map64_set(&fs->kept, kept_key(content->root), kept) != 0) {
        core_free(kept);
        return NULL;
    }
    kept->content = *content;
    return kept;
}

static void kept_put(struct node_fs *fs, const uint8_t *root, const struct fs_kept *kept)
{
    uint8_t key[KEPT_KEY_BYTES] = {STORE_KEY_FS, 'k'}, value[KEPT_VALUE_BYTES];

    memcpy(key + 2, root, CONTENT_ROOT_BYTES);
    if (kept != NULL) {
        content_encode(&kept->content, value);
        put_le64(value + CONTENT_WIRE_BYTES, kept->scrubbed_wall_ms);
        put_le64(value + CONTENT_WIRE_BYTES + 8, kept->unreferenced_wall_ms);
        value[CONTENT_WIRE_BYTES + 16] = kept->was_pinned;
    }
    fs_put(fs, (struct kith_bytes){key, sizeof(key)},
           (struct kith_bytes){kept != NULL ? value : NULL, kept != NULL ? sizeof(value) : 0});
}

void fs_kept_store(struct node_fs *fs, const struct fs_kept *kept)
{
    kept_put(fs, kept->content.root, kept);
    fs_put_flush(fs);
}

void fs_kept_forget(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct fs_kept *kept = fs_kept_find(fs, root);

    if (kept == NULL)
        return;
    map64_remove(&fs->kept, kept_key(root));
    kept_put(fs, root, NULL);
    fs_put_flush(fs);
    core_free(kept);
}

int fs_kept_recall(struct node_fs *fs, const struct store_entry *entry)
{
    struct reader r = reader_of(entry->value.data, entry->value.len);
    struct content content;
    struct fs_kept *kept;

    content_read(&r, &content);
    uint64_t scrubbed_ms = read_le64(&r), unreferenced_ms = read_le64(&r);
    uint8_t pinned = read_u8(&r);
    if (entry->key.len != KEPT_KEY_BYTES || r.bad)
        return 0; /* of a later version: the keep's own reading finds it again */
    kept = fs_kept_get(fs, &content);
    if (kept == NULL)
        return KITH_E_MEMORY;
    kept->scrubbed_wall_ms = scrubbed_ms;
    kept->unreferenced_wall_ms = unreferenced_ms;
    kept->was_pinned = pinned != 0;
    return 0;
}

struct fs_kept *fs_kept_next(struct node_fs *fs, size_t *at)
{
    return map64_next(&fs->kept, at);
}

void fs_kept_deinit(struct node_fs *fs)
{
    struct fs_kept *kept;

    for (size_t at = 0; (kept = map64_next(&fs->kept, &at)) != NULL;)
        core_free(kept);
    map64_deinit(&fs->kept);
}
