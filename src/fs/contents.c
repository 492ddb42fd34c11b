#include "fs/contents.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"

#define BUCKETS_FIRST 64
#define CHAIN_AIM     2 /* contents of a bucket, before there are more buckets */

void fs_contents_init(struct fs_contents *contents, struct slab *slab)
{
    *contents = (struct fs_contents){.slab = slab};
}

void fs_contents_deinit(struct fs_contents *contents)
{
    core_free(contents->buckets);
    map64_deinit(&contents->more);
    *contents = (struct fs_contents){.slab = contents->slab};
}

struct content fs_blob_content(const struct fs_blob *blob)
{
    struct content content = {
        .size = blob->size, .hash = blob->hash, .chunk_log2 = blob->chunk_log2};
    memcpy(content.root, blob->root, sizeof(content.root));
    return content;
}

/* ---- by root ---- */

static struct fs_blob_link *bucket_of(const struct fs_contents *contents,
                                      const uint8_t root[CONTENT_ROOT_BYTES])
{
    return &contents->buckets[get_le64(root) & (contents->buckets_n - 1)];
}

static void bucket_put(struct fs_contents *contents, struct fs_blob *blob)
{
    struct fs_blob_link *bucket = bucket_of(contents, blob->root);
    blob->next = *bucket;
    *bucket = fs_blob_link(blob);
}

/* The next from @blob on that has the root. */
static struct fs_blob *with_root(const struct fs_contents *contents,
                                 struct fs_blob *blob,
                                 const uint8_t root[CONTENT_ROOT_BYTES])
{
    while (blob != NULL && memcmp(blob->root, root, CONTENT_ROOT_BYTES) != 0)
        blob = fs_contents_blob(contents, blob->next);
    return blob;
}

static struct fs_blob *first_with_root(const struct fs_contents *contents,
                                       const uint8_t root[CONTENT_ROOT_BYTES])
{
    if (contents->buckets_n == 0)
        return NULL;
    return with_root(contents, fs_contents_blob(contents, *bucket_of(contents, root)), root);
}

static bool buckets_grow(struct fs_contents *contents)
{
    if (contents->n < CHAIN_AIM * contents->buckets_n)
        return true;
    size_t n = contents->buckets_n == 0 ? BUCKETS_FIRST : 2 * contents->buckets_n;
    struct fs_blob_link *old = contents->buckets;
    size_t old_n = contents->buckets_n;
    struct fs_blob_link *buckets = core_calloc(n, sizeof(*buckets));
    if (buckets == NULL)
        return old != NULL; /* longer chains then */
    contents->buckets = buckets;
    contents->buckets_n = n;
    contents->bytes += (n - old_n) * sizeof(*buckets);
    for (size_t i = 0; i < old_n; i++) {
        struct fs_blob_link next = {0};
        for (struct fs_blob_link at = old[i]; at.at != 0; at = next) {
            struct fs_blob *blob = fs_contents_blob(contents, at);
            next = blob->next;
            bucket_put(contents, blob);
        }
    }
    core_free(old);
    return true;
}

struct fs_blob *fs_contents_find(const struct fs_contents *contents,
                                 const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct fs_blob *blob = first_with_root(contents, root);
    while (blob != NULL && blob->versions_n == 0)
        blob = with_root(contents, fs_contents_blob(contents, blob->next), root);
    return blob;
}

static bool blob_is(const struct fs_blob *blob, const struct content *content)
{
    struct content has = fs_blob_content(blob);
    return content_equal(&has, content);
}

struct fs_blob *fs_contents_get(struct fs_contents *contents, const struct content *content)
{
    struct fs_blob *blob = first_with_root(contents, content->root);
    while (blob != NULL && !blob_is(blob, content)) /* somebody lies about its size */
        blob = with_root(contents, fs_contents_blob(contents, blob->next), content->root);
    if (blob != NULL)
        return blob;
    blob = buckets_grow(contents) ? slab_alloc(contents->slab, sizeof(*blob)) : NULL;
    if (blob == NULL)
        return NULL;
    blob->size = content->size & ((1ull << 48) - 1);
    blob->hash = content->hash;
    blob->chunk_log2 = content->chunk_log2 & 0x1fu;
    memcpy(blob->root, content->root, sizeof(blob->root));
    bucket_put(contents, blob);
    contents->n++;
    contents->bytes += sizeof(*blob);
    return blob;
}

void fs_contents_drop(struct fs_contents *contents, struct fs_blob *blob)
{
    if (blob->versions_n > 0 || blob->files_n > 0)
        return;
    struct fs_blob_link *at = bucket_of(contents, blob->root);
    for (struct fs_blob *before; (before = fs_contents_blob(contents, *at)) != blob;)
        at = &before->next;
    *at = blob->next;
    contents->n--;
    contents->bytes -= sizeof(*blob);
    slab_free(contents->slab, blob, sizeof(*blob));
}

/* ---- files of folders ---- */

/* Beyond those that the blob counts itself. */
static uint64_t more_files(const struct fs_contents *contents, struct fs_blob_link link)
{
    return (uintptr_t)map64_find(&contents->more, link.at);
}

static bool set_more_files(struct fs_contents *contents, struct fs_blob_link link, uint64_t n)
{
    if (n > 0)
        return map64_set(&contents->more, link.at, (void *)(uintptr_t)n) == 0;
    (void)map64_remove(&contents->more, link.at);
    return true;
}

struct fs_blob_link fs_contents_hold(struct fs_contents *contents, const struct content *content)
{
    struct fs_blob *blob = fs_contents_get(contents, content);
    struct fs_blob_link link = fs_blob_link(blob);
    if (blob == NULL)
        return link;
    if (blob->files_n < FS_BLOB_FILES_MAX)
        blob->files_n++;
    else if (!set_more_files(contents, link, more_files(contents, link) + 1))
        link.at = 0;
    return link;
}

void fs_contents_release(struct fs_contents *contents, struct fs_blob_link link)
{
    struct fs_blob *blob = fs_contents_blob(contents, link);
    if (blob == NULL)
        return;
    uint64_t more = more_files(contents, link);
    assert(blob->files_n > 0);
    if (more > 0)
        (void)set_more_files(contents, link, more - 1);
    else
        blob->files_n--;
    fs_contents_drop(contents, blob);
}

uint64_t fs_contents_files(const struct fs_contents *contents, const struct fs_blob *blob)
{
    return blob->files_n + more_files(contents, fs_blob_link(blob));
}
