/*
 * The inside of the world, shared by its files: world.c runs it, network.c carries datagrams and
 * knows the cuts, stream.c keeps the links.
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include <assert.h>

#include "core/list.h"
#include "core/map.h"
#include "queue.h"
#include "world.h"

#define SIM_CLASSES_N             3
#define SIM_MS                    UINT64_C(1000000)
#define SIM_ADDRESS_BYTES         32
#define SIM_UDP_HEAD_BYTES        28 /* IP and UDP */
#define SIM_TCP_HEAD_BYTES        52 /* IP, TCP and its time stamp */
#define SIM_FRAME_HEAD_BYTES      26 /* frame head, and a record of its own: length and tag */
#define SIM_OPENER_BYTES          900 /* of a handshake: SYN, ACKs, preamble, messages 1 and 3, FIN */
#define SIM_ANSWERER_BYTES        600
#define SIM_HANDSHAKE_LEGS        5
#define SIM_HANDSHAKE_DEADLINE_NS (3000 * SIM_MS)
#define SIM_RTO_NS                (200 * SIM_MS) /* first retransmission of a stream; doubles */
#define SIM_RTO_TRIES_MAX         7              /* then the link breaks */
/* As the channel of src/net has them. */
#define SIM_STALL_NS            (10000 * SIM_MS) /* unacknowledged data breaks a link (TCP_USER_TIMEOUT) */
#define SIM_KEEPALIVE_NS        (10000 * SIM_MS) /* nothing came: a PING; and so long for its answer */
#define SIM_KEEPALIVE_BYTES     104              /* a side: half of PING, PONG and what TCP adds */
#define SIM_LINKS_OPEN_IDLE_MAX 64               /* then those unused for a keep-alive close */
#define SIM_BACKOFF_MIN_NS      (200 * SIM_MS) /* after a failed opening, doubled each time */
#define SIM_BACKOFF_MAX_NS      (30000 * SIM_MS)
#define SIM_BACKOFF_WAIT_NS                                                                        \
    (1000 * SIM_MS)                  /* a frame waits so long for the next try, or is refused */
#define SIM_NS_PER_BYTE          8   /* a gigabit */
#define SIM_SOCKET_DATAGRAMS_MAX 256 /* of 212,992 bytes of socket buffer at 768 each */

/* What one node knows of a stream. */
struct sim_side {
    uint8_t index; /* 0 or 1 */
    uint32_t node;
    uint32_t gen; /* the opening it was told of; frames of others are void */
    bool up;      /* it has been told that it is open */
    bool wants;   /* it waits for the opening under way ... */
    bool dials;   /* it asked for one by address ... */
    bool broken;  /* a segment was lost for good: nothing it sends arrives until it is down */
    bool stalled; /* it has sent what cannot arrive: a LINK_STALLED is on its way */
    uint32_t dialled_gen; /* ... which was that of the other's then */
    uint64_t stalled_at_ns;
    uint32_t failures_n; /* openings in a row */
    uint64_t next_ns;    /* no opening before, unless it is asked for */
    uint64_t last_ns;    /* arrival of the last frame it sent */
    struct sim_event *wait_first,
        *wait_last; /* frames that wait for the opening or the end of a cut */
    struct list
        of_node; /* in the node's list of links that are not closed, least recently used first */
};

/* One stream between two nodes, of one class. Side 0 is the node with the lower index. */
struct sim_link {
    struct sim_side side[2];
    uint8_t net_class;
    uint8_t opener; /* side; of the opening under way */
    bool opening;
    bool dialled; /* the opening under way is by address */
    uint32_t gen; /* of the last opening */
    uint64_t opened_at_ns;
    uint64_t used_at_ns;
    struct list stalled; /* in the world's list of links that wait for the end of a cut */
};

struct sim_node {
    struct sim_world *world;
    uint32_t index;
    struct kith_node_id id;
    uint64_t boot_no;
    bool up;
    bool machine_off;
    bool paused;
    bool asleep; /* paused, and deaf */
    uint64_t paused_until_ns;
    uint32_t pause_gen;
    uint32_t address_gen;
    char address[SIM_ADDRESS_BYTES];
    void *state;
    /* node time = offset + world time * rate / 2^32 */
    uint64_t clock_offset_ns;
    uint64_t clock_rate;
    uint64_t clock_inverse; /* 2^64 / rate, to guess from */
    int64_t wall_step_ms;
    uint64_t timer_at_ns; /* world time; UINT64_MAX: none */
    uint64_t timer_seq;
    size_t timer_at;                          /* place in the timers' heap + 1; 0: not in it */
    struct sim_event *wait_first, *wait_last; /* deliveries while paused */
    uint32_t wait_datagrams_n;
    uint64_t ingress_loss; /* chance */
    uint64_t bytes_sent;
    struct list links;
    uint32_t links_open_n;
    uint32_t backing_off_n; /* sides of links that have a next_ns */
};

struct sim_world {
    struct sim_queue queue;
    struct sim_node *nodes;
    size_t nodes_n;
    struct sim_node **timers; /* 4-ary heap of the nodes that have one */
    size_t timers_n;
    uint64_t now_ns;
    uint64_t seq;
    uint64_t events_n;
    uint64_t hash;
    const struct sim_host *host;
    void *user;
    struct rng rng_network, rng_scenario, rng_nodes;
    uint32_t seal_bytes;
    uint64_t lost_n;
    /* faults as integers */
    uint64_t loss, duplicate, reorder, slow;
    uint64_t delay_min_ns, delay_span_ns, slow_max_ns;
    /* cuts: bit [from * nodes_n + to] */
    uint64_t *cuts;
    size_t cuts_n;
    uint8_t *group_of_node; /* NULL: no partition */
    uint8_t *addresses; /* [node * nodes_n + target]: generation known + 1, 0: the current one */
    struct map64 links; /* by both nodes and the class */
    struct list stalled_links;
    struct mapid ids; /* nodes with ids of the scenario's own */
    struct sim_node *touched;
    struct sim_node *running; /* whose host is being called */
    FILE *log;
    char *violation;
};

static inline void trace_mix(struct sim_world *world, uint64_t value)
{
    uint64_t h = (world->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);

    world->hash = h ^ h >> 29;
}
void trace_bytes(struct sim_world *world, const uint8_t *data, size_t len);

static inline void world_push(struct sim_world *world, struct sim_event *event, uint64_t at_ns)
{
    queue_push(&world->queue, event, at_ns > world->now_ns ? at_ns : world->now_ns, world->seq++);
}

/* network.c */
static inline bool network_cut(const struct sim_world *world, uint32_t from, uint32_t to)
{
    if (world->group_of_node != NULL && world->group_of_node[from] != world->group_of_node[to])
        return true;
    if (world->cuts_n == 0)
        return false;
    size_t bit = (size_t)from * world->nodes_n + to;
    return (world->cuts[bit / 64] >> (bit % 64) & 1) != 0;
}
/* Does @node know where @to is? */
static inline bool
network_finds(const struct sim_world *world, const struct sim_node *node, const struct sim_node *to)
{
    if (world->addresses == NULL)
        return true;
    uint8_t known = world->addresses[(size_t)node->index * world->nodes_n + to->index];
    return known == 0 || known == to->address_gen + 1;
}
uint64_t network_delay_ns(struct sim_world *world);
void network_deliver(struct sim_world *world, struct sim_node *node, struct sim_event *event);

/* stream.c */
/* Handles a link's event; takes @event over. True if it counts: a host may have been called. */
bool stream_event(struct sim_world *world, struct sim_event *event);
/* @node stopped; @told: its kernel resets its streams. */
void stream_heard(struct sim_world *world, struct sim_node *node, const struct sim_node *peer);
void stream_node_gone(struct sim_world *world, struct sim_node *node, bool told);
/* Cuts were removed: what was stalled goes on. */
void stream_healed(struct sim_world *world);
void stream_deinit(struct sim_world *world);

/* world.c */
/* Keeps @event for later if @node is paused (true), in order. */
bool world_hold(struct sim_world *world, struct sim_node *node, struct sim_event *event);
/* The @gen-th address of @node, SIM_ADDRESS_BYTES of it. */
void world_address(const struct sim_node *node, uint32_t gen, char *out);

#endif
