/*
 * A simulated world: nodes that run the shipped cores, a network with faults, virtual time, one
 * seed. Same seed, same trace hash, on gcc and clang (protocols 5.12).
 *
 * A room plugs in by a struct sim_host: the world calls it with deliveries and timers, and it calls
 * back to send. The world knows nothing of messages but their bytes.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/rng.h"
#include "kith/api.h"

struct sim_world;
struct sim_node;

/* Drawn per seed, each class on or off (swarm style). Rates are 0 to 1. */
struct sim_faults {
    double loss, duplicate, reorder;
    uint32_t delay_min_us, delay_max_us; /* uniform; loopback-like by default */
    double slow_rate;                    /* this share of messages takes up to slow_max_ms */
    uint32_t slow_max_ms;
    double clock_rate_spread; /* each node's clock runs at 1 +- this */
};

/* What runs on a node. All pointers to bytes are borrowed for the call. */
struct sim_host {
    /* The node starts with @boot_no; makes its state, or NULL if memory is short. */
    void *(*boot)(struct sim_world *world, struct sim_node *node, uint64_t boot_no);
    /* The node is gone (crash): frees the state without sending. */
    void (*crash)(void *state);
    void (*datagram)(void *state, const struct kith_node_id *from, uint64_t boot_no,
                     const uint8_t *data, size_t len);
    /* Reliable and in order while the link lives, as a stream. */
    void (*frame)(void *state, const struct kith_node_id *from, uint64_t boot_no, uint8_t net_class,
                  uint8_t type, const uint8_t *data, size_t len);
    void (*link_up)(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class);
    void (*link_down)(void *state, const struct kith_node_id *peer, uint8_t net_class);
    void (*dial_failed)(void *state, const char *address);
    void (*timer)(void *state); /* the time set by sim_set_timer has come */
};

struct sim_config {
    uint64_t seed;
    size_t nodes_n;
    struct sim_faults faults;
    const struct sim_host *host;
    void *user; /* the scenario's */
};

struct sim_world *sim_new(const struct sim_config *config);
void sim_free(struct sim_world *world);
void *sim_user(struct sim_world *world);
struct rng *sim_rng(struct sim_world *world); /* for the scenario; hosts get sim_node_seed() */

/* ---- called by hosts ---- */
uint64_t sim_now_ns(const struct sim_node *node); /* the node's own clock, at its own rate */
uint64_t sim_node_seed(struct sim_node *node);
size_t sim_node_index(const struct sim_node *node);
struct kith_node_id sim_node_id(const struct sim_node *node);
const char *sim_node_address(const struct sim_node *node); /* "sim:12" */
void *sim_node_state(const struct sim_node *node);         /* NULL while down */
bool sim_node_running(const struct sim_node *node);        /* up and not paused */
void sim_send_datagram(struct sim_node *node, const struct kith_node_id *to, const void *data, size_t len);
/* Opens the link if need be; link_down tells if what was queued is lost. */
void sim_send_frame(struct sim_node *node, const struct kith_node_id *to, uint8_t net_class,
                    uint8_t type, const void *head, size_t head_len, const void *body, size_t body_len);
void sim_dial(struct sim_node *node, const char *address);
void sim_connect(struct sim_node *node, const struct kith_node_id *to, uint8_t net_class);
void sim_set_timer(struct sim_node *node, uint64_t at_ms); /* node clock; replaces; UINT64_MAX: none */

/* ---- called by scenarios ---- */
struct sim_node *sim_node_at(struct sim_world *world, size_t index);
struct sim_node *sim_node_by_id(struct sim_world *world, const struct kith_node_id *id);
size_t sim_nodes_n(const struct sim_world *world);
void sim_start(struct sim_world *world, size_t index);   /* boots it, boot_no + 1 */
void sim_crash(struct sim_world *world, size_t index);
void sim_pause(struct sim_world *world, size_t index, uint64_t for_ms); /* SIGSTOP: nothing is lost but time */
void sim_cut(struct sim_world *world, size_t from, size_t to, bool cut); /* one way */
void sim_partition(struct sim_world *world, const uint8_t *group_of_node); /* groups cannot talk */
void sim_heal(struct sim_world *world); /* every cut, loss of single nodes included */
void sim_ingress_loss(struct sim_world *world, size_t index, double loss);
void sim_set_faults(struct sim_world *world, const struct sim_faults *faults);
/* Calls @fn(@arg) at @at_ms of world time. */
void sim_at(struct sim_world *world, uint64_t at_ms, void (*fn)(struct sim_world *world, void *arg), void *arg);
uint64_t sim_world_ms(const struct sim_world *world);
/* Runs until @until_ms of world time; @check (may be NULL) after every event. False if @check stopped it. */
bool sim_run(struct sim_world *world, uint64_t until_ms, bool (*check)(struct sim_world *world));
uint64_t sim_events_n(const struct sim_world *world);
uint64_t sim_trace_hash(const struct sim_world *world);
/* Mixes a scenario's observation into the trace. */
void sim_trace(struct sim_world *world, uint64_t value);
uint64_t sim_bytes_sent(const struct sim_world *world, size_t index); /* with UDP/IP or TCP/IP heads */

#endif
