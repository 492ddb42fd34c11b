/*
 * A small world for the tests of views: real cores, a network that loses, doubles, delays and
 * reorders, disks that forget what was not synced, clocks of their own rate, pauses, and a stand-in
 * for variables that fills chosen slots. One seed makes one run.
 *
 * What is watched after each step: one record an epoch; the chain of hashes; a member id is one
 * boot; at most one leader's lease at any real time; no two configurations of one slot serve at
 * once.
 */
#ifndef TEST_VIEW_WORLD_H
#define TEST_VIEW_WORLD_H

#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "view/internal.h"

#define VW_NODES_MAX  10
#define VW_DISK_MAX   64
#define VW_EPOCHS_MAX 4096

struct vw_entry {
    uint8_t key[VIEW_KEY_BYTES_MAX];
    size_t key_len; /* 0: free */
    uint8_t *data;
    size_t len;
};

struct vw_disk {
    struct vw_entry entries[VW_DISK_MAX];
};

enum vw_event_type { VW_MESSAGE, VW_SYNCED, VW_UP, VW_DOWN, VW_LINK, VW_READY, VW_RAISE };

struct vw_event {
    struct heap_node at;
    enum vw_event_type type;
    size_t from, to;
    uint64_t from_boot, to_boot;
    uint64_t token; /* SYNCED; boot of RAISE */
    bool left;
    size_t slot;
    uint64_t slot_epoch;
    size_t puts_n;
    struct vw_entry *puts;
    size_t len;
    uint8_t data[];
};

struct vw_node {
    struct view_core *core; /* NULL: down */
    struct view_config config;
    uint64_t boot_no; /* as on disk */
    double rate;
    uint64_t offset_us;
    uint64_t paused_until_us;
    uint64_t disk_free_us; /* what is synced next is not before */
    bool started_once;
    struct vw_disk disk, snapshot;
    bool has_snapshot;
    uint64_t snapshot_boot;
    /* As told by the core. */
    uint64_t lease_until_ms;
    bool left;
    uint64_t known_epoch;
    uint64_t pulled[PLACEMENT_SLOTS]; /* highest chosen slot epoch it gave its state to */
    uint64_t asked_ready[PLACEMENT_SLOTS];
    uint64_t refused;
    uint64_t changes;
};

struct vw {
    uint64_t now_us;
    struct rng rng;
    struct heap events;
    struct vw_node nodes[VW_NODES_MAX];
    size_t nodes_n;
    double loss, twice, late; /* chances */
    uint32_t delay_us;
    uint32_t sync_us;
    bool cut[VW_NODES_MAX][VW_NODES_MAX]; /* [from][to] */
    bool broken;
    char why[256];
    uint64_t steps;
    struct {
        uint64_t epoch;
        uint8_t hash[VIEW_HASH_BYTES];
        uint8_t prev[VIEW_HASH_BYTES];
    } epochs[VW_EPOCHS_MAX];
    size_t epochs_n;
    struct boot_id members[4096]; /* by member id */
};

struct vw *vw_new(size_t n, uint64_t seed);
void vw_free(struct vw *w);
void vw_boot(struct vw *w, size_t i);
void vw_crash(struct vw *w, size_t i);
/* Says good-bye, at once, and is down; the others hear it soon. */
void vw_goodbye(struct vw *w, size_t i);
void vw_pause(struct vw *w, size_t i, uint64_t for_ms);
void vw_snapshot(struct vw *w, size_t i);
/* Down, with the disk of the snapshot; @boot_too: the number of the boot as well. */
void vw_restore(struct vw *w, size_t i, bool boot_too);
void vw_wipe(struct vw *w, size_t i);
void vw_cut(struct vw *w, size_t a, size_t b, bool cut);
void vw_heal(struct vw *w);
void vw_run(struct vw *w, uint64_t for_ms);
/* True if @done came within @for_ms. */
bool vw_until(struct vw *w, bool (*done)(struct vw *w, void *arg), void *arg, uint64_t for_ms);
int vw_event(struct vw *w, size_t i, struct view_event *event);
int vw_bootstrap(struct vw *w, size_t i, uint32_t expect);
/* From now on; the clock goes on from what it shows. */
void vw_rate(struct vw *w, size_t i, double rate);
uint64_t vw_clock_ms(const struct vw *w, size_t i);
/* The node that leads with a lease, or -1. */
int vw_leader(const struct vw *w);
bool vw_serves(const struct vw *w, size_t i, size_t slot);
/* All that run are active keepers with leases and the same record; no slot moves or is dead. */
bool vw_well(struct vw *w, void *arg);
/* A random history of @for_ms, then health; false, with w->why, if anything was wrong. */
bool vw_history(size_t n, uint64_t seed, uint64_t for_ms, char why_out[256]);

#endif
