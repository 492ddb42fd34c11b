/*
 * What is going to happen: events in the order of (time, sequence), from pools, so that nothing is
 * allocated once a run has warmed up.
 */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_link;
struct sim_world;

enum sim_event_type {
    SIM_EV_DATAGRAM = 1,
    SIM_EV_FRAME,
    SIM_EV_TIMER,        /* never in the queue: nodes' timers have a heap of their own */
    SIM_EV_HANDSHAKE,    /* the opener's last handshake message arrives at the other side */
    SIM_EV_LINK_UP,      /* the opener learns that it is open */
    SIM_EV_LINK_DOWN,    /* `to` learns that it is closed */
    SIM_EV_LINK_FAILED,  /* the opener gives up */
    SIM_EV_LINK_CLOSED,  /* `to` finds it closed without a word from the peer */
    SIM_EV_LINK_STALLED, /* a link with a cut has waited long enough */
    SIM_EV_LINK_FLUSH,   /* a healed link sends again what was stalled */
    SIM_EV_LINK_ALIVE,   /* is it? after a while without use */
    SIM_EV_LINK_REFUSED, /* a frame came too soon after a failed opening */
    SIM_EV_DIAL_FAILED,
    SIM_EV_WAKE, /* what the host asked for by sim_wake_ns() */
    SIM_EV_RESUME,
    SIM_EV_CALL, /* the scenario's */
};

struct sim_event {
    uint8_t type;
    uint8_t pool; /* which size */
    uint8_t net_class;
    uint8_t frame_type;
    bool arrived; /* FRAME: in the receiver's kernel, no cut can hold it back any more */
    uint32_t from;
    uint32_t to;
    uint32_t len;
    uint32_t gen; /* of the link, or of the node's pause */
    uint64_t from_boot;
    struct sim_link *link;
    void (*fn)(struct sim_world *world, void *arg);
    void *arg;
    struct sim_event *next; /* in a free list, or waiting at a paused node or a stalled link */
    uint8_t data[];
};

#define SIM_POOLS_N 6

struct sim_queue_entry {
    uint64_t at_ns;
    uint64_t seq;
    struct sim_event *event;
};

struct sim_queue {
    struct sim_queue_entry *heap; /* 4-ary: half the depth of a binary one, children on one line */
    size_t n;
    size_t cap;
    struct sim_event *free[SIM_POOLS_N];
    void **slabs; /* all memory of the pools */
    size_t slabs_n, slabs_cap;
};

void queue_deinit(struct sim_queue *queue);
/* An event with room for @len bytes; zeroed but for the data. Never NULL: without memory it aborts.
 */
struct sim_event *queue_event(struct sim_queue *queue, enum sim_event_type type, size_t len);
void queue_release(struct sim_queue *queue, struct sim_event *event);
void queue_push(struct sim_queue *queue, struct sim_event *event, uint64_t at_ns, uint64_t seq);
/* The first event must exist (n > 0). */
struct sim_event *queue_pop(struct sim_queue *queue);

/* As realloc, but aborts: a simulation without memory has nothing to say. */
void *sim_realloc(void *memory, size_t n, size_t size);

#endif
