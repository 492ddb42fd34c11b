/*
 * A laboratory of peer channels: several in one process, on one loop, over loopback with ports the
 * kernel chooses. What happens is counted and kept; tests wait for conditions with a bound.
 */
#ifndef TESTS_NET_LAB_H
#define TESTS_NET_LAB_H

#include <uv.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/uv_net.h"

#define LAB_NODES_MAX  8
#define LAB_FRAMES_MAX 4096
#define LAB_WAIT_MS    20000

struct lab;

/* A frame as it came; the body's first bytes and its hash are kept. */
struct lab_frame {
    struct uv_peer *peer;
    enum net_class net_class;
    uint8_t type;
    size_t len;
    uint32_t number; /* first four bytes */
    uint64_t hash;
};

struct lab_node {
    struct lab *lab;
    int index;
    struct net_identity identity;
    struct net_cluster cluster;
    struct uv_net *net;
    uint64_t boot_no;
    struct log log;
    char address[KITH_ADDRESS_TEXT_MAX + 1];

    unsigned opened, closed, unreachable, given_up, drained, datagrams, stale_boots, logs;
    unsigned opened_by_class[NET_CLASSES_N];
    char close_reason[256], unreachable_reason[256];
    char log_text[8192]; /* all lines so far, cut */
    unsigned frames_n;   /* all; the first LAB_FRAMES_MAX are kept */
    struct lab_frame frames[LAB_FRAMES_MAX];
    uint8_t datagram[1200];
    size_t datagram_len;
    uint64_t last_boot_no;
    struct uv_peer *last_peer;
    bool refuse_stale; /* stale_boot fails */
    bool is_closed;

    unsigned dials_done;
    int dial_status;
    struct uv_peer *dial_peer;
    void (*on_frame)(struct lab_node *node, struct uv_peer *peer, struct net_frame *frame);
    void *user;
};

struct lab {
    uv_loop_t loop;
    uv_timer_t tick;
    struct lab_node nodes[LAB_NODES_MAX];
};

void lab_open(struct lab *lab);
/* Closes all nets that are open, runs the loop until nothing is left of them. */
void lab_close(struct lab *lab);

/* A node with a key made from its index, in a cluster made from @cluster. Not listening yet. */
struct lab_node *lab_node(struct lab *lab, int index, int cluster);
void lab_config(struct lab_node *node, struct uv_net_config *config_out);
/* Opens it on 127.0.0.1 and a port of the kernel's. */
void lab_listen(struct lab_node *node);
struct lab_node *lab_start(struct lab *lab, int index);
void lab_stop(struct lab_node *node); /* waits until it is closed */

void lab_dial(struct lab_node *from, const char *address);
/* Makes @to known to @from with its real address (or @address). */
struct uv_peer *lab_learn(struct lab_node *from, const struct lab_node *to, const char *address);
struct uv_peer *lab_peer(struct lab_node *from, const struct lab_node *to);
/* Sends a frame whose first four bytes are @number and whose others follow from it. 0 or KITH_E_*.
 */
int lab_send(struct lab_node *from,
             struct uv_peer *peer,
             enum net_class net_class,
             uint32_t number,
             size_t len);
uint64_t lab_hash(uint32_t number, size_t len); /* of such a body */
uint8_t lab_type(enum net_class net_class);

/* One turn of the loop; fails the test when @until_ns has passed. */
void lab_turn(struct lab *lab, uint64_t until_ns, const char *what, const char *file, int line);

#define LAB_WAIT(lab, condition)                                                                   \
    do {                                                                                           \
        uint64_t lab_until = uv_hrtime() + (uint64_t)LAB_WAIT_MS * 1000000;                        \
        while (!(condition))                                                                       \
            lab_turn((lab), lab_until, #condition, __FILE__, __LINE__);                            \
    } while (0)
/* Runs the loop for some turns in which nothing may be expected. */
#define LAB_FOR_MS(lab, ms)                                                                        \
    do {                                                                                           \
        uint64_t lab_end = uv_hrtime() + (uint64_t)(ms)*1000000;                                   \
        while (uv_hrtime() < lab_end)                                                              \
            lab_turn((lab), UINT64_MAX, "", __FILE__, __LINE__);                                   \
    } while (0)

#endif
