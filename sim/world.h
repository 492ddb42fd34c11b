/*
 * A simulated world: nodes that run the shipped cores, a network with faults, virtual time, one
 * seed. Same seed, same trace hash, on gcc and clang (protocols 5.12).
 *
 * A room plugs in by a struct sim_host: the world calls it with deliveries and timers, and it calls
 * back to send. The world knows nothing of messages but their bytes.
 *
 * The order of events is the order of (time, sequence number), never of pointers; every decision is
 * made with integers. A host must hold itself to the same rules.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/rng.h"
#include "kith/api.h"

struct sim_world;
struct sim_node;

/* Drawn per seed, each class on or off (swarm style). Rates are 0 to 1. */
struct sim_faults {
    double loss, duplicate, reorder;     /* of datagrams; for a stream, loss is delay */
    uint32_t delay_min_us, delay_max_us; /* uniform; both 0: 50 to 500, a quiet local network */
    double slow_rate;                    /* this share of messages takes up to slow_max_ms */
    uint32_t slow_max_ms;
    double clock_rate_spread; /* each node's clock runs at 1 +- this; drawn once, by sim_new() */
    bool clock_extremes;      /* ... and at one of both ends */
};

/* What runs on a node. All pointers to bytes are borrowed for the call. Each may be NULL but boot.
 */
struct sim_host {
    /* The node starts with @boot_no; makes its state, or NULL if memory is short. */
    void *(*boot)(struct sim_world *world, struct sim_node *node, uint64_t boot_no);
    /* The node is gone (crash): frees the state without sending. */
    void (*crash)(void *state);
    void (*datagram)(void *state,
                     const struct kith_node_id *from,
                     uint64_t boot_no,
                     const uint8_t *data,
                     size_t len);
    /* Reliable and in order while the link lives, as a stream. */
    void (*frame)(void *state,
                  const struct kith_node_id *from,
                  uint64_t boot_no,
                  uint8_t net_class,
                  uint8_t type,
                  const uint8_t *data,
                  size_t len);
    void (*link_up)(void *state,
                    const struct kith_node_id *peer,
                    uint64_t boot_no,
                    uint8_t net_class);
    void (*link_down)(void *state, const struct kith_node_id *peer, uint8_t net_class);
    /* No link came of sim_connect() or sim_send_frame(); what was queued is lost. */
    void (*unreachable)(void *state, const struct kith_node_id *peer, uint8_t net_class);
    void (*dial_failed)(void *state, const char *address);
    void (*timer)(void *state); /* the time set by sim_set_timer has come */
    void (*wake)(void *state);  /* a time asked for by sim_wake_ns() has come */
};

struct sim_config {
    uint64_t seed;
    size_t nodes_n;
    struct sim_faults faults;
    const struct sim_host *host;
    void *user; /* the scenario's */
    /* Bytes that sealing adds to a datagram, for sim_bytes_sent(); 0 if the host seals by itself.
     */
    uint32_t datagram_seal_bytes;
};

/* What the channel of src/net adds to a datagram: header 42, boot and counter 16, tag 16. */
#define SIM_DATAGRAM_SEAL_BYTES 74

struct sim_world *sim_new(const struct sim_config *config);
void sim_free(struct sim_world *world);
void *sim_user(struct sim_world *world);
struct rng *sim_rng(struct sim_world *world); /* for the scenario; hosts get sim_node_seed() */

/* ---- called by hosts ---- */
struct sim_world *sim_node_world(const struct sim_node *node);
uint64_t sim_now_ns(const struct sim_node *node); /* the node's own clock, at its own rate */
uint64_t sim_node_seed(struct sim_node *node);    /* another one at each call */
size_t sim_node_index(const struct sim_node *node);
struct kith_node_id sim_node_id(const struct sim_node *node);
uint64_t
sim_node_boot_no(const struct sim_node *node); /* of the running or the last boot; 0: never */
const char *sim_node_address(const struct sim_node *node); /* "sim:13" for index 12 */
void *sim_node_state(const struct sim_node *node);         /* NULL while down */
bool sim_node_running(const struct sim_node *node);        /* up and not paused */
bool sim_node_up(const struct sim_node *node);             /* running or paused */
bool sim_node_paused(const struct sim_node *node);
void sim_send_datagram(struct sim_node *node,
                       const struct kith_node_id *to,
                       const void *data,
                       size_t len);
/* Opens the link if need be; link_down or unreachable tells if what was queued is lost. */
void sim_send_frame(struct sim_node *node,
                    const struct kith_node_id *to,
                    uint8_t net_class,
                    uint8_t type,
                    const void *head,
                    size_t head_len,
                    const void *body,
                    size_t body_len);
/* Ends in link_up (control class, again if it is open already) or dial_failed. */
void sim_dial(struct sim_node *node, const char *address);
void sim_connect(struct sim_node *node, const struct kith_node_id *to, uint8_t net_class);
void sim_disconnect(struct sim_node *node, const struct kith_node_id *to); /* all classes */
/*
 * From now on @node reaches @to at @address only: what it sends is lost if @to has moved since.
 * Until then (and with NULL again) it reaches @to wherever that is.
 */
void sim_know_address(struct sim_node *node, const struct kith_node_id *to, const char *address);
/* @to was heard at the address it has now, so that is where it is. */
void sim_heard_from(struct sim_node *node, const struct kith_node_id *to);
bool sim_link_is_up(const struct sim_node *node, const struct kith_node_id *to, uint8_t net_class);
/* Node clock; replaces; UINT64_MAX: none. A time that has passed fires next, never from inside. */
void sim_set_timer(struct sim_node *node, uint64_t at_ms);
void sim_set_timer_ns(struct sim_node *node, uint64_t at_ns);
/*
 * Calls the host's wake() at @at_ns of *world* time, for what happens outside of the node's own
 * time (its disk). Any number may be asked for; a paused node is woken when it goes on, a crash
 * forgets them.
 */
void sim_wake_ns(struct sim_node *node, uint64_t at_ns);
/* Unix time in ms as this node believes it; steps at will. */
uint64_t sim_wall_ms(const struct sim_node *node);

/* ---- called by scenarios ---- */
struct sim_node *sim_node_at(struct sim_world *world, size_t index);
struct sim_node *sim_node_by_id(struct sim_world *world,
                                const struct kith_node_id *id); /* or NULL */
size_t sim_nodes_n(const struct sim_world *world);
/* Before the first start: gives the node an id of the scenario's own (real keys). */
void sim_set_node_id(struct sim_world *world, size_t index, const struct kith_node_id *id);
void sim_start(struct sim_world *world, size_t index); /* boots it, boot_no + 1 */
void sim_crash(struct sim_world *world, size_t index); /* kill -9: peers see their streams reset */
void sim_power_off(struct sim_world *world,
                   size_t index); /* the machine: nobody is told anything */
/* The node (down) comes back at another address: what others remember leads nowhere. */
void sim_readdress(struct sim_world *world, size_t index);
void sim_pause(struct sim_world *world,
               size_t index,
               uint64_t for_ms); /* SIGSTOP: nothing is lost but time */
/* As a pause, but the machine sleeps: what arrives meanwhile is lost. */
void sim_suspend(struct sim_world *world, size_t index, uint64_t for_ms);
void sim_resume(struct sim_world *world, size_t index); /* SIGCONT, if it is paused */
void sim_step_wall(struct sim_world *world, size_t index, int64_t by_ms); /* its wall clock only */
void sim_cut(struct sim_world *world, size_t from, size_t to, bool cut);  /* one way */
/* Groups cannot talk; NULL: there are none. */
void sim_partition(struct sim_world *world, const uint8_t *group_of_node);
void sim_heal(struct sim_world *world); /* every cut, loss of single nodes included */
void sim_ingress_loss(struct sim_world *world, size_t index, double loss);
bool sim_is_cut(const struct sim_world *world, size_t from, size_t to); /* this way */
void sim_set_faults(struct sim_world *world, const struct sim_faults *faults);
/* Calls @fn(@arg) at @at_ms of world time. */
void sim_at(struct sim_world *world,
            uint64_t at_ms,
            void (*fn)(struct sim_world *world, void *arg),
            void *arg);
void sim_at_ns(struct sim_world *world,
               uint64_t at_ns,
               void (*fn)(struct sim_world *world, void *arg),
               void *arg);
uint64_t sim_world_ms(const struct sim_world *world);
uint64_t sim_world_ns(const struct sim_world *world);
/*
 * Runs until @until_ms of world time; @check (may be NULL) after every event. False if @check or
 * sim_violation() stopped it.
 */
bool sim_run(struct sim_world *world, uint64_t until_ms, bool (*check)(struct sim_world *world));
/* The node the last event was for, NULL for the scenario's own: what @check has to look at. */
struct sim_node *sim_touched(const struct sim_world *world);
/* An oracle was broken: keeps the first sentence and ends sim_run(). */
void sim_violation(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *sim_violation_text(const struct sim_world *world); /* NULL if none */
/* Deliveries, timers and application operations (sim_op()) so far. */
uint64_t sim_events_n(const struct sim_world *world);
void sim_op(struct sim_world *world); /* counts one application operation */
uint64_t sim_trace_hash(const struct sim_world *world);
/* Mixes a scenario's observation into the trace. */
void sim_trace(struct sim_world *world, uint64_t value);
/* Writes a line an event to @file (NULL: off). */
void sim_set_log(struct sim_world *world, FILE *file);
void sim_note(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t sim_bytes_sent(const struct sim_world *world,
                        size_t index); /* with UDP/IP or TCP/IP heads */
/* Datagrams a paused node's socket buffer could not hold, and all others lost on the way. */
uint64_t sim_datagrams_lost(const struct sim_world *world);

/* A rate of 0 to 1 as a share of 2^32, so that chances are compared as integers. */
uint64_t sim_chance_of(double rate);
static inline bool sim_chance(struct rng *rng, uint64_t chance)
{
    return chance != 0 && rng_u64(rng) >> 32 < chance;
}

#endif
