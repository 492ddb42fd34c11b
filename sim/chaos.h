/*
 * Faults that come and go by themselves: each class on or off per seed (swarm style), until
 * chaos_stop() makes the world whole again.
 */
#ifndef SIM_CHAOS_H
#define SIM_CHAOS_H

#include "world.h"

enum chaos_class {
    CHAOS_LOSS = 1 << 0,
    CHAOS_DUPLICATE = 1 << 1,
    CHAOS_REORDER = 1 << 2,
    CHAOS_SLOW = 1 << 3,      /* 1 % of messages take up to 5 s */
    CHAOS_CLOCK = 1 << 4,     /* clock rates 0.9 to 1.1 */
    CHAOS_PARTITION = 1 << 5, /* groups that cannot talk */
    CHAOS_ONEWAY = 1 << 6,    /* some direction between two nodes is cut */
    CHAOS_TRIANGLE = 1 << 7,  /* two cannot talk that all others can talk to */
    CHAOS_PAUSE = 1 << 8,     /* 1 ms to 60 s */
    CHAOS_CRASH = 1 << 9,     /* kill -9; back after a while */
    CHAOS_POWER = 1 << 10,    /* likewise, but nobody is told */
    CHAOS_FLAP = 1 << 11,     /* back at once */
    CHAOS_DEAF = 1 << 12,     /* a node loses most of what comes in */
    CHAOS_MOVE = 1 << 13,     /* a restart may come with another address */
    CHAOS_BUSY = 1 << 14,     /* the channel's queue is full now and then: a frame is refused */
    CHAOS_ALL = (1 << 15) - 1,
};

#define CHAOS_CLASSES_N 15

/*
 * Faults of worlds whose nodes share state, have disks and can be asked to go. They are drawn
 * apart, so that seeds of older scenarios stay what they were.
 */
enum chaos_state_class {
    CHAOS_DISK_STALL = 1 << 16,   /* nothing becomes safe for 0 to 30 s */
    CHAOS_DISK_FULL = 1 << 17,    /* for some seconds */
    CHAOS_DISK_WIPE = 1 << 18,    /* a restart finds an empty disk */
    CHAOS_DISK_RESTORE = 1 << 19, /* a restart finds an older image */
    CHAOS_DISK_ROT = 1 << 20,     /* a restart finds a corrupt entry */
    CHAOS_SUSPEND = 1 << 21, /* asleep for up to 60 s: BOOTTIME goes on, what arrives is lost */
    CHAOS_WALL = 1 << 22,    /* the wall clock steps by up to an hour */
    CHAOS_LEAVE = 1 << 23,   /* a node is stopped in order; back after a while, as a new member */
    CHAOS_DISCONNECT = 1 << 24, /* a node is asked to disconnect from another; they connect again */
    CHAOS_BRIDGE = 1 << 25,     /* groups that cannot talk, but for one node that all can talk to */
    CHAOS_CLOG = 1 << 26, /* the links of a node stand still one by one, and go on in any order */
    CHAOS_STATE_ALL = 0x7ff << 16,
};
#define CHAOS_STATE_BIT0      16
#define CHAOS_STATE_CLASSES_N 11

struct chaos {
    struct sim_world *world;
    uint32_t classes;
    uint32_t period_ms; /* something happens about that often */
    bool on;
    uint8_t *group;            /* of the partition */
    uint64_t *restart_ms;      /* by index: when a node that is down comes back */
    uint64_t *paused_until_ms; /* by index: end of the last pause, for oracles that know mercy */
    uint32_t up_min;           /* so many nodes stay up */
    void (*started)(struct chaos *chaos, size_t index); /* a node was started; may be NULL */
    /* Does what @class says to the disk of a node (its node is down for WIPE, RESTORE and ROT,
     * which it may decline); @ms is how long. NULL: a world without enum chaos_state_class. */
    void (*disk)(struct chaos *chaos, enum chaos_state_class class, size_t index, uint64_t ms);
    /* Stops a node in order; it is up until that is done. Only with @disk. */
    void (*leave)(struct chaos *chaos, size_t index);
    /* Cuts, deafness and partitions end by themselves, short ones as often as long ones; else they
     * stay until another tick of their class. */
    bool brief;
    uint64_t *cut_until_ms; /* by both indices */
    uint64_t group_until_ms;
    uint64_t *deaf_until_ms; /* by index */
    void *user;
};

/* Classes by chance, about half of them. */
uint32_t chaos_draw(struct rng *rng);
/* The part of the faults that the world is made with. */
struct sim_faults chaos_faults(uint32_t classes, struct rng *rng);
/* All classes of worlds that share state: a quarter of them, half or three quarters. */
uint32_t chaos_draw_state(struct rng *rng);
const char *chaos_class_name(unsigned bit);

void chaos_init(struct chaos *chaos, struct sim_world *world, uint32_t classes);
void chaos_deinit(struct chaos *chaos);
void chaos_start(struct chaos *chaos);
/* Faults off, cuts healed, pauses over; nodes that are down are started again (or not, by chance).
 */
void chaos_stop(struct chaos *chaos);

#endif
