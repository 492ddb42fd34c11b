/*
 * Who keeps what: the part of the view (src/view) that variables and mutexes work by. Plain data,
 * the same on every node that knows the same epoch.
 *
 * Names hash to one of PLACEMENT_HASH_SLOTS hash slots, for ever; PLACEMENT_SLOTS slots group
 * neighbouring hash slots, so that finer slots later move no name to another hash (protocols,
 * Stages).
 *
 * A slot has an *active* configuration, which serves, and perhaps a *chosen* one, which is being
 * filled and will serve once it is activated (5.2, slot change). The first replica of a
 * configuration is its home.
 */
#ifndef CORE_PLACEMENT_H
#define CORE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/boot_id.h"

#define PLACEMENT_HASH_SLOTS   1024
#define PLACEMENT_SLOTS        64
#define PLACEMENT_KEEPERS_MAX  7 /* stage 1: all eligible nodes, up to so many */
#define PLACEMENT_REPLICAS_MAX 3
#define PLACEMENT_DISK_BYTES   16
/* Entries of the table of keepers, with those that are excluded or only remembered. */
#define PLACEMENT_MEMBERS_MAX 64

enum keeper_state {
    KEEPER_ACTIVE, /* holds copies and is granted leases */
    /* Gets no lease any more, but its last one may still run. */
    KEEPER_EXCLUDED,
    /*
     * Its lease has certainly ended. Remembered only because an active configuration names it: the
     * same disk under a later boot has what that configuration had.
     */
    KEEPER_ENDED,
    /*
     * Likewise, by proof: a newer boot of the node, or its good-bye. What it granted to others out
     * of its own lease may still run, as nobody waited for its end.
     */
    KEEPER_DIED,
};

struct placement_keeper {
    uint32_t member_id; /* minted by the view, never used twice; 0: free */
    struct boot_id boot;
    uint8_t disk_id[PLACEMENT_DISK_BYTES];
    enum keeper_state state;
};

static inline bool placement_keeper_over(const struct placement_keeper *keeper)
{
    return keeper->state >= KEEPER_ENDED;
}

/* Replicas of a slot, by member id; the first is the home. */
struct placement_config {
    uint64_t slot_epoch; /* 0: there is none */
    uint32_t replicas[PLACEMENT_REPLICAS_MAX];
    uint8_t replicas_n;
};

struct placement_slot {
    struct placement_config active;
    struct placement_config chosen; /* slot_epoch above the active one's, or 0 */
    uint32_t generation;            /* grows when what was in memory only is lost (LOST) */
};

struct placement {
    uint64_t epoch;                                         /* of the view; 0: no view is known */
    struct placement_keeper keepers[PLACEMENT_MEMBERS_MAX]; /* by member_id, ascending */
    uint32_t keepers_n;
    struct placement_slot slots[PLACEMENT_SLOTS];
};

/* The slot of a name. */
uint32_t placement_slot_of(const char *name, size_t len);
/* NULL if there is none. */
const struct placement_keeper *placement_keeper_find(const struct placement *placement,
                                                     uint32_t member_id);
/* The keeper that is this boot, whatever its state, the latest if it was excluded and is back; NULL
 * if there is none. */
const struct placement_keeper *placement_keeper_of(const struct placement *placement,
                                                   const struct boot_id *boot);
bool placement_config_has(const struct placement_config *config, uint32_t member_id);
/* The home of an active configuration; NULL if the slot has none or its home has ended. */
const struct placement_keeper *placement_home(const struct placement *placement, uint32_t slot);

#endif
