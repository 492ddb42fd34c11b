/*
 * The disk of a simulated node: entries of key and value, written in atomic batches that are
 * complete some time after they were asked for, in order, as the store (src/store) writes them.
 *
 * A crash may keep some of the batches under way, from the first on, and loses the others: one that
 * was cut short is found by its checksum and dropped whole. A disk can stall, lose a bit (the entry
 * then reads as corrupt, never as something else), be set back to an older image, or be replaced by
 * an empty one.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "world.h"

#define DISK_ID_BYTES 16

struct disk_put {
    const uint8_t *key;
    size_t key_len;
    const uint8_t *data; /* NULL: delete */
    size_t len;
};

struct disk_entry {
    uint8_t *key; /* key_len bytes, then the value */
    size_t key_len;
    size_t len;
    bool corrupt;
};

struct disk_image {
    struct disk_entry *entries; /* by key */
    size_t n, cap;
};

struct disk_batch;

struct disk {
    struct sim_world *world;
    size_t index; /* of its node */
    uint8_t id[DISK_ID_BYTES];
    struct disk_image now;   /* what is safe */
    struct disk_image older; /* a snapshot, if @has_older */
    bool has_older;
    struct disk_batch *first, *last; /* under way */
    uint64_t busy_until_ns;          /* world time */
    uint64_t stalled_until_ns;
    uint64_t bytes;   /* held */
    uint64_t syncs_n; /* batches made safe */
    uint32_t lives;   /* how often it was replaced */
};

void disk_init(struct disk *disk, struct sim_world *world, size_t index);
void disk_deinit(struct disk *disk);

/* Starts a batch; the host's wake() is called when it is safe. @tag and @token are the caller's. */
void disk_write(
    struct disk *disk, uint8_t tag, uint64_t token, const struct disk_put *puts, size_t puts_n);
/* Next of the batches that have become safe, in order. False: none. */
bool disk_next_done(struct disk *disk, uint8_t *tag_out, uint64_t *token_out);
/* The machine stops: some of what is under way is safe, the rest is gone. */
void disk_crash(struct disk *disk);

/* ---- faults ---- */

/* Nothing becomes safe for so long. */
void disk_stall(struct disk *disk, uint64_t for_ms);
/* It ends now, also for what waits. */
void disk_stall_ends(struct disk *disk);
/* One entry goes bad, by chance. False: there is none. */
bool disk_rot(struct disk *disk);
void disk_snapshot(struct disk *disk);
/* Back to the snapshot (node down). False: there is none. */
bool disk_restore(struct disk *disk);
/* An empty disk with another id (node down). */
void disk_wipe(struct disk *disk);
/* Some entry is corrupt. */
bool disk_is_corrupt(const struct disk *disk);

static inline const uint8_t *disk_value(const struct disk_entry *entry)
{
    return entry->key + entry->key_len;
}

#endif
