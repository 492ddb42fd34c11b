/*
 * Nodes that fetch from each other over links with a rate and a latency, with disks that forget and
 * holders that lie; and what must hold at every step. Everything is in memory and in virtual time.
 */
#ifndef FS_FETCH_WORLD_H
#define FS_FETCH_WORLD_H

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "fs/fetch.h"
#include "fs/fetch_wire.h"
#include "fs/serve.h"
#include "kith/error.h"
#include "lib/test.h"

#define NODES_MAX 8

enum holder_kind {
    HONEST,
    DAMAGES,    /* turns a bit in half of the blocks that it reads */
    LIES_LISTS, /* its lists are not what they should be; its chunks are */
    SENDS_MORE, /* pieces come twice, at other places, or longer than asked for */
    SILENT,     /* takes asks and never answers */
    SAYS_NO,    /* said to have everything, has nothing */
};

struct item { /* a content */
    struct content content;
    uint8_t *bytes;
    struct buf list;
};

struct part { /* of an item on the disk of a node */
    uint8_t *bytes;
    uint64_t *written_us; /* of each chunk; 0: never */
    struct buf list, bitmap;
};

struct fetching {
    uint64_t id; /* 0: not under way */
    uint64_t offset, len;
    uint8_t priority, flags;
    bool wanted; /* until it was there */
    uint64_t retry_us;
    uint64_t done_us;
    int code;
    size_t damaged_n; /* who is blamed for that */
};

struct node {
    struct kith_node_id id;
    struct fetch_core *fetch;
    struct serve_core *serve;
    bool up;
    uint32_t life;
    enum holder_kind kind;
    bool disk_full;
    uint64_t rate; /* uplink, bytes a millisecond */
    uint64_t uplink_free_us;
    uint64_t queued[NODES_MAX]; /* bytes of data frames not yet gone */
    struct part *parts;
    bool *has; /* items whole and verified */
    struct fetching *fetchings;
    struct map64 asked; /* request -> struct asked: what its own asks hold */
    uint64_t asked_bytes, asked_most;
    uint64_t got[NODES_MAX]; /* bytes of data frames that came */
};

struct world {
    struct rng rng;
    uint64_t now_us;
    uint64_t latency_us;
    uint64_t bytes_max;
    uint64_t lists_bytes_max; /* 0: the default */
    unsigned nodes_n;
    size_t items_n, items_cap;
    struct item *items;
    struct node nodes[NODES_MAX];
    bool linked[NODES_MAX][NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX]; /* no link can be made */
    uint32_t link_no[NODES_MAX][NODES_MAX];
    struct heap events;
    uint64_t next_id;
    uint64_t events_n;
    bool checks;   /* the cores' invariants at each step */
    bool refusals; /* streams do not take all frames of data */
    bool small;    /* many small items: parts keep no bytes */
    uint64_t damaged_n;
    uint64_t crashes_n;
    const char *problem; /* the first */
    char text[256];
};
extern struct world w;

void world_begin(uint64_t seed, unsigned nodes_n, uint64_t bytes_max);
void world_end(void);
/* An item of random bytes; each chunk of zeros with a chance of 1 in @zero_of (0: never). */
size_t world_item(uint64_t size, unsigned zero_of);
void world_node_start(unsigned i);
void world_node_crash(unsigned i); /* what was written lately may be garbage */
void world_link(unsigned i, unsigned k, bool up);
/* Starts (again) what @i wants of @item: bytes from @offset, @len (0: to the end). */
void world_fetch(
    unsigned i, size_t item, uint64_t offset, uint64_t len, uint8_t priority, uint8_t flags);
void world_cancel(unsigned i, size_t item);
void world_tell_holders(unsigned i, size_t item);
/* The next thing up to @end_us; false if there is none. */
bool world_one(uint64_t end_us);
void world_until(uint64_t end_us);
/* Until nothing is wanted any more or @end_us. */
bool world_settle(uint64_t end_us);
/* Sets the problem, if there is none yet. */
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
