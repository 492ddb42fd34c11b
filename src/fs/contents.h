/*
 * Contents in memory, each once however many know it: the versions of the catalogue that name it,
 * and the files of this node's folders, most of which are what the catalogue names. They are found
 * by their root, and named by links of 32 bits (core/slab.h).
 *
 * What a file of a folder refers to stands for as long, whether or not a version names it still;
 * for the catalogue it is not there then (versions_n is 0).
 *
 * This is a table and no machine: who has it changes it directly, all on one thread.
 */
#ifndef FS_CONTENTS_H
#define FS_CONTENTS_H

#include "core/map.h"
#include "core/slab.h"
#include "fs/content.h"

/* Links; 0: none. */
struct fs_blob_link {
    uint32_t at;
};
struct fs_known_link {
    uint32_t at;
};
struct fs_tally_link {
    uint32_t at;
};

#pragma pack(push, 4) /* of all that is in a slab */

enum fs_blob_flags {
    FS_BLOB_KEPT = 1 << 0, /* the keep of this disk has it */
    FS_BLOB_DIRTY = 1 << 1,
    FS_BLOB_TALLIED = 1 << 2,
};

struct fs_blob {
    struct fs_blob_link next; /* of the bucket */
    union {
        struct fs_known_link first; /* of its versions */
        struct fs_tally_link tally; /* TALLIED */
    } of;
    uint64_t size : 48;
    uint64_t hash : 8;
    uint64_t chunk_log2 : 5;
    uint64_t flags : 3;
    uint32_t versions_n : 24;
    uint32_t files_n : 8; /* of folders. If FS_BLOB_FILES_MAX there may be more: contents->more */
    uint8_t root[CONTENT_ROOT_BYTES];
};

#pragma pack(pop)

#define FS_BLOB_VERSIONS_MAX ((1u << 24) - 1)
#define FS_BLOB_FILES_MAX    255
static_assert(sizeof(struct fs_blob) == 52, "there are millions of contents");
static_assert(FS_RECORDS_MAX < FS_BLOB_VERSIONS_MAX, "there is a record for a version");
static_assert(FS_SIZE_MAX < 1ull << 48, "a size has 48 bits");
static_assert(CONTENT_CHUNK_LOG2_MAX < 1 << 5, "the size of a chunk has 5 bits");

struct fs_contents {
    struct slab *slab; /* that they are in */
    struct fs_blob_link *buckets;
    size_t buckets_n, n;
    struct map64 more; /* how many files beyond FS_BLOB_FILES_MAX, by link */
    uint64_t bytes;    /* of memory, by count */
};

void fs_contents_init(struct fs_contents *contents, struct slab *slab);
/* What is in the slab stays there. */
void fs_contents_deinit(struct fs_contents *contents);

static inline struct fs_blob *fs_contents_blob(const struct fs_contents *contents,
                                               struct fs_blob_link link)
{
    return slab_at(contents->slab, link.at);
}
static inline struct fs_blob_link fs_blob_link(const struct fs_blob *blob)
{
    return (struct fs_blob_link){slab_link(blob)};
}
static inline void fs_blob_flag(struct fs_blob *blob, unsigned flags, bool on)
{
    unsigned now = on ? blob->flags | flags : blob->flags & ~flags;
    blob->flags = now & 7;
}
struct content fs_blob_content(const struct fs_blob *blob);

/* The first with this root that a version names; NULL if there is none. */
struct fs_blob *fs_contents_find(const struct fs_contents *contents,
                                 const uint8_t root[CONTENT_ROOT_BYTES]);
/* The very one, made if nobody knows it yet: who asks refers to it or calls fs_contents_drop().
 * NULL: memory. */
struct fs_blob *fs_contents_get(struct fs_contents *contents, const struct content *content);
/* Frees it if nobody refers to it. */
void fs_contents_drop(struct fs_contents *contents, struct fs_blob *blob);

/* A file of a folder has it, or does not any more. NULL, if memory is short, is link 0. */
struct fs_blob_link fs_contents_hold(struct fs_contents *contents, const struct content *content);
void fs_contents_release(struct fs_contents *contents, struct fs_blob_link link);
/* How many files of folders have it. */
uint64_t fs_contents_files(const struct fs_contents *contents, const struct fs_blob *blob);

#endif
