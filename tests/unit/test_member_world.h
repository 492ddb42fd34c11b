/*
 * A small world for the tests of membership: real cores, queues for the network, virtual time. One
 * seed makes one run. The vocabulary of the cases in test_member_*.c.
 */
#ifndef TEST_MEMBER_WORLD_H
#define TEST_MEMBER_WORLD_H

#include "member/internal.h"
#include "net/frame.h"

#define WORLD_NODES_MAX 128

struct world_event {
    struct heap_node at;
    enum world_event_type {
        WORLD_DATAGRAM,
        WORLD_FRAME,
        WORLD_LINK_UP,
        WORLD_LINK_DOWN,
        WORLD_DIAL_FAILED
    } type;
    size_t from, to;
    uint64_t boot_no; /* of from, when it was sent */
    uint64_t to_boot;
    uint8_t frame_type;
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    size_t len;
    uint8_t data[];
};

struct world_node {
    struct member_core *core; /* NULL: down */
    struct kith_node_id id;
    uint64_t boot_no;
    uint64_t paused_until_ms; /* nothing is handled before; nothing is lost */
    double ingress_loss;
    uint64_t told_leave;
    uint64_t dials, connects, forgotten, clashes, clones, datagrams, bytes;
    struct member_config config;
};

/* Every MEMBER_CHANGED there was. */
struct world_change {
    uint64_t at_ms;
    size_t seer, about;
    enum member_change change;
};

struct world {
    uint64_t now_ms;
    struct rng rng;
    struct heap events;
    struct world_node nodes[WORLD_NODES_MAX];
    size_t nodes_n;
    double loss;
    uint32_t delay_ms, delay_spread_ms;
    bool cut[WORLD_NODES_MAX][WORLD_NODES_MAX]; /* [from][to] */
    bool link[WORLD_NODES_MAX][WORLD_NODES_MAX];
    struct world_change *changes;
    size_t changes_n, changes_cap;
    bool check_each_step;
    uint64_t steps;
    uint64_t verifies;
};

/* @n nodes, none started; @profile gives the fields that are not zero to all of them. */
struct world *world_new(size_t n, uint64_t seed, const struct member_config *profile);
void world_free(struct world *world);
void world_boot(struct world *world, size_t i);  /* a new life, boot_no + 1 */
void world_boot_all_joined(struct world *world); /* all, seeded with node 0, until all see all */
void world_seed(struct world *world, size_t i, const char *address);
void world_link(struct world *world, size_t from, size_t to); /* as kith connect: once, no seed */
void world_crash(struct world *world, size_t i, bool reset_links);
void world_pause(struct world *world, size_t i, uint64_t for_ms);
void world_cut(struct world *world, size_t a, size_t b, bool cut); /* both ways, and the link */
void world_cut_from(struct world *world, size_t from, size_t to, bool cut);
void world_partition(struct world *world, size_t first_of_second); /* [0, x) and [x, n) */
void world_heal(struct world *world);
void world_run(struct world *world, uint64_t for_ms);
/* Runs until @done, at most @for_ms. True if it came. */
bool world_run_until(struct world *world,
                     bool (*done)(struct world *world, void *arg),
                     void *arg,
                     uint64_t for_ms);
/* One event by hand; the output is carried out. Returns what the step returned. */
int world_step(struct world *world, size_t i, struct member_event *event);
/* What @i sees of @j; 0 if it does not know it. */
enum kith_status world_sees(const struct world *world, size_t i, size_t j);
struct mnode *world_mnode(const struct world *world, size_t i, size_t j);
/* Do all running nodes see all running nodes alive, and no other? */
bool world_all_alive(struct world *world, void *arg);
/* Do all other running nodes see node *(size_t *)arg as failed? */
bool world_all_failed(struct world *world, void *arg);
size_t
world_changes(const struct world *world, size_t seer, size_t about, enum member_change change);
size_t world_count(const struct world *world, enum member_change change);

/* A signed record of node @j, as it would make it. Returns its length. */
size_t world_record(
    struct world *world, size_t j, uint64_t boot_no, uint64_t version, bool left, uint8_t *out);
/* Node @i gets one datagram of @msgs from @from; nothing of the output is carried out. */
int world_hear(struct world *world,
               size_t i,
               size_t from,
               uint64_t boot_no,
               const struct msg *msgs,
               size_t n,
               struct member_output *out);
/* ... the facts of node @j, from itself. */
int world_meet(
    struct world *world, size_t i, size_t j, uint64_t boot_no, struct member_output *out);
const struct member_action *world_action(const struct member_output *out,
                                         enum member_action_type type);
size_t world_actions(const struct member_output *out, enum member_action_type type);

/* The stand-in for signatures: a keyed hash that anybody can check. */
struct member_crypto world_crypto(struct world *world);
void world_key_of(const struct kith_node_id *id, uint8_t sign_pk[32]);
struct kith_node_id world_id(size_t i);
struct member_facts world_facts(size_t i);

#endif
