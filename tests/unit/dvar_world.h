/*
 * What the files of the world of variables share; test_dvar_world.c says what it is.
 */
#ifndef TESTS_UNIT_DVAR_WORLD_H
#define TESTS_UNIT_DVAR_WORLD_H

#include "core/error.h"
#include "core/mutant.h"
#include "dvar/dvar.h"
#include "lib/test.h"

#define KEEPERS   5
#define NODES     7
#define MESSAGES  8192
#define HISTORY   4096
#define NAMES     6
#define CAS_AT    3
#define GUARD_AT  4
#define KEPT_AT   5 /* durable; all others are lost when all are down at once */
#define LEASE_MS  3000
#define FAULTS_MS 25000
#define END_MS    60000

extern const char *const names[NAMES];

struct message {
    uint64_t at_ms;
    int to;
    struct boot_id from;
    uint8_t *data;
    size_t len;
};
struct entry {
    int name;
    bool write, ended, ok;
    bool refused; /* told that nothing was written */
    uint8_t kind;
    uint64_t start, end, version, fence;
    int64_t value;  /* written or found */
    uint64_t floor; /* version that some watch had been told when it began */
    int64_t wanted; /* would have been written; nobody else writes it; 0: none */
};
struct put {
    uint8_t key[DVAR_KEY_BYTES_MAX];
    size_t key_len, len;
    uint8_t data[2048];
    bool there;
    uint64_t at_ms, token; /* of what is on its way to the disk */
};
#define PUTS 512
/* What a node's watch of a name heard, in this boot. */
struct heard {
    uint64_t version, changes; /* told and counted as missed */
    int64_t value;
};
#define WATCH_ID 100000

struct wnode {
    struct heard heard[NAMES];
    struct put disk[NAMES], unsynced[PUTS];
    size_t unsynced_n;
    uint64_t rate; /* of its clock, per mille */
    bool decided;  /* it knows that slots are durable */
    struct dvar_core *core;
    struct boot_id boot;
    uint32_t member_id;
    uint64_t lease_until_ms, paused_until_ms, renewed_ms, epoch, up_ms;
    bool alive;
    int outstanding;
    struct entry *ops[8];
    uint64_t seen_version;     /* of names[CAS_AT] */
    uint64_t fence;            /* of the section it is in, or 0 */
    struct entry *section_get; /* what it read there */
};
struct decided {
    uint32_t slot;
    uint64_t se;
    uint32_t released[PLACEMENT_REPLICAS_MAX];
    uint32_t released_n;
};
struct world {
    struct rng rng;
    uint64_t now_ms, tick; /* tick: order of events */
    struct wnode nodes[NODES];
    struct placement placement;
    struct message net[MESSAGES];
    size_t net_n;
    struct entry history[HISTORY];
    size_t history_n;
    uint32_t next_member;
    uint64_t ended_at_ms[PLACEMENT_MEMBERS_MAX + 256]; /* lease end by member id */
    bool healed;
    uint64_t loss;
    bool bursts;
    const char *problem;
    uint64_t changes, activations, joined, acked, reads, refused, told, missed;
    uint64_t begin_ms, fence, losses;
    bool lost[PLACEMENT_SLOTS], durable, outage;
    uint64_t outage_tick;         /* 0: none yet */
    uint64_t told_version[NAMES]; /* newest that any watch was told */
    uint64_t lost_from[NAMES];    /* versions below are of before the loss; 0: nothing was lost */
};

/* From this seed on nodes ask for several additions at once, and hold back what they say. */
#define WORLD_BURSTS 1000000

/* One history; NULL, or what is wrong with it. */
const char *world_run(uint64_t seed, struct world *w);
const char *judge(const struct world *w);
/* Of a read when all was well again: did every watch hear the last change? */
const char *heard_last(const struct world *w, const struct entry *last);
bool was_lost(const struct world *w, const struct entry *e);

#endif
