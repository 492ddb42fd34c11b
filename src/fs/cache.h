/*
 * Which fetched chunks stay in memory, which on the disk, and which go. Pure decisions: the bytes
 * are the driver's.
 *
 * - A chunk that comes in stays in memory while the machine's memory use is under the mark
 *   (MEMORY tells, once a second or so), else it goes to the disk cache. When the use passes the
 *   mark later, what is in memory moves to the disk, least recently used first, a portion each
 *   time MEMORY is told; back below (with a gap of CACHE_MARK_GAP, so that it does not swing), what
 * is used on the disk comes into memory again.
 * - Memory, disk and the number of chunks are bounded. Who must go: first from those that were used
 * once since they came, then from those used again (a segmented LRU: a scan of a large file that is
 * read once does not push out what is in use). From memory a chunk goes to the disk, from there
 * away.
 * - Pinned contents never go; they may be moved. They count, and may take at most
 *   CACHE_PINNED_PERCENT of the disk.
 *
 * Decisions on a chunk are final when they are made: the driver carries them out in order, and
 * tells what failed (FAILED). While a chunk is moved it can be read where it was.
 */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include "fs/content.h"

struct cache_core;

#define CACHE_MARK_GAP       5 /* percent */
#define CACHE_PINNED_PERCENT 90

/* Zero fields take the default. */
struct cache_config {
    uint64_t memory_bytes_max; /* FS_CACHE_MEMORY_BYTES_MAX */
    uint64_t disk_bytes_max;   /* FS_CACHE_DISK_BYTES_MAX */
    uint32_t chunks_max;       /* FS_CACHE_CHUNKS_MAX, both together */
    uint8_t memory_mark;       /* percent: 80 */
};

enum cache_place {
    CACHE_NONE = 0,
    CACHE_MEMORY = 1,
    CACHE_DISK = 2,
};

enum cache_event_type {
    /* root, chunk, bytes: it was fetched and verified. KEEP or DROP is the first action, for it. */
    CACHE_ADD,
    CACHE_FOUND,  /* root, chunk, bytes: it is on the disk, from a former life; before all others */
    CACHE_GET,    /* root, chunk: somebody reads it; out->place says where it is */
    CACHE_PIN,    /* root */
    CACHE_UNPIN,  /* root */
    CACHE_FORGET, /* root: all its chunks go, pinned or not (evict) */
    CACHE_USE,    /* percent: of the machine's memory, now */
    CACHE_FAILED, /* root, chunk: it could not be moved, written or read: it is not there any more
                   */
    CACHE_EMPTY,  /* everything that is not pinned goes */
};

struct cache_event {
    enum cache_event_type type;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint32_t chunk;
    uint32_t bytes;
    uint8_t percent;
};

enum cache_action_type {
    CACHE_KEEP, /* the chunk that was added: put it at @to */
    CACHE_MOVE, /* from @from to @to: copy it, then drop it where it was */
    CACHE_DROP, /* from @from (CACHE_NONE: the chunk that was added is not kept) */
};

struct cache_action {
    enum cache_action_type type;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint32_t chunk;
    uint32_t bytes;
    enum cache_place from, to;
};

struct cache_output {
    const struct cache_action *actions; /* borrowed until the next step */
    size_t actions_n;
    enum cache_place place; /* of GET */
};

int cache_new(struct cache_core **core_out, const struct cache_config *config);
void cache_free(struct cache_core *core); /* NULL is fine */

/*
 * One event. 0; KITH_E_LIMIT (PIN: what is pinned already leaves no room: more than
 * CACHE_PINNED_PERCENT of the disk, or FS_CACHE_PINS_MAX contents; ADD: all is pinned, and it is
 * dropped); KITH_E_MEMORY. @out is valid whatever is returned.
 */
int cache_step(struct cache_core *core, const struct cache_event *event, struct cache_output *out);
/* Where a chunk is, without using it. */
enum cache_place
cache_find(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES], uint32_t chunk);
bool cache_pinned(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES]);
/* Bytes of a content that are here. */
uint64_t cache_bytes_of(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES]);

struct cache_stats {
    uint64_t memory_bytes, disk_bytes, pinned_bytes, chunks, pins; /* now */
    uint64_t memory_bytes_max, disk_bytes_max;
    bool over_mark;
    uint64_t gets, memory_hits, disk_hits; /* ever; the others were misses */
    uint64_t to_disk, to_memory, dropped;
};
void cache_stats(const struct cache_core *core, struct cache_stats *stats_out);
void cache_check(const struct cache_core *core);

#endif
