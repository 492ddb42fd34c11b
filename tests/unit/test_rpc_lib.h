/*
 * Cores on a desk: a few rpc cores, one virtual clock and a pile of frames on their way, so that a
 * test decides what arrives, twice, late or never.
 */
#ifndef TEST_RPC_LIB_H
#define TEST_RPC_LIB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "core/rng.h"
#include "kith/error.h"
#include "net/frame.h"
#include "rpc/rpc.h"

#define DESK_NODES_MAX 80

/* A frame on its way. */
struct desk_frame {
    struct desk_frame *next;
    size_t from, to;
    uint64_t from_boot, to_boot;
    uint8_t net_class;
    uint8_t type;
    struct buf body;
};

/* The end of a call, copied. */
struct desk_result {
    uint64_t token;
    enum kith_outcome outcome;
    int code;
    struct buf data;
    char text[1024];
    struct kith_node_id node;
    char node_name[64];
    uint64_t elapsed_ns;
};

struct desk_node {
    struct desk *desk;
    size_t index;
    struct rpc_core *core;
    struct kith_node_id id;
    uint64_t boot_no;
    struct rpc_config config;
    struct rpc_output out; /* of the last step; actions are gone, the rest stays */
    struct rpc_serve *running[16384];
    size_t running_n;
    size_t runs_n, aborts_n, completions_n, connects_n, gone_n, registry_changed_n,
        functions_changed_n;
    void *gone_user;
    uint64_t due_ms; /* when the timer goes off that a driver would have set */
    size_t sends_n;
    bool refuse_calls, refuse_results; /* the channel refuses such a SEND */
    bool tell_connect; /* CONNECT is answered at once, by @connect_code for @connect_boot_no */
    int connect_code;
    uint64_t connect_boot_no;
    struct desk_result *results;
    size_t results_n, results_cap;
    struct kith_completion completion; /* the last */
    uint64_t completions_missed_n;
    struct buf partial; /* the last */
    uint64_t partial_token;
    size_t partials_n;
    /* Instead of putting a run into running[]; may call desk_done(). */
    void (*on_run)(struct desk_node *node, struct rpc_serve *serve);
};

struct desk {
    struct desk_node nodes[DESK_NODES_MAX];
    size_t nodes_n;
    uint64_t now_ns;
    uint64_t token;
    struct desk_frame *first, **last;
    size_t frames_n;
    size_t strays_n;          /* frames to ids that are no node of the desk */
    struct desk_frame *stray; /* the last of them */
    bool check;               /* rpc_check() after each step; on by default */
    /* Decides about each new frame; NULL: it is put on the pile. True: the test has dealt with it.
     */
    bool (*filter)(struct desk *desk, struct desk_frame *frame);
    void *user;
};

struct desk *desk_new(size_t nodes_n, const struct rpc_config *config);
void desk_free(struct desk *desk);
/* Every node sees every other one up, and the registries are spread. */
struct desk *desk_new_cluster(size_t nodes_n, const struct rpc_config *config);

int desk_step(struct desk_node *node, struct rpc_event *event);
void desk_peer_up(struct desk *desk, size_t at, size_t peer);
void desk_peer_down(struct desk *desk, size_t at, size_t peer, bool left);
void desk_link(struct desk *desk, size_t at, size_t peer, enum rpc_event_type type);
/* Node @index dies and starts again with the next boot_no; nobody is told. */
void desk_restart(struct desk *desk, size_t index);

/* A raw frame of a made-up caller @id reaches @node. Returns what rpc_step() does. */
int desk_inject(struct desk_node *node,
                struct kith_node_id id,
                uint64_t boot_no,
                uint8_t type,
                const void *body,
                size_t len);
struct kith_node_id desk_id(size_t index);
/* Delivers the first frame; false if none is on its way. */
bool desk_deliver(struct desk *desk);
struct desk_frame *desk_take(struct desk *desk, size_t at);  /* the at-th, taken off the pile */
void desk_give(struct desk *desk, struct desk_frame *frame); /* delivers and frees it */
struct desk_frame *desk_copy(const struct desk_frame *frame);
void desk_drop(struct desk_frame *frame);
void desk_drop_all(struct desk *desk);
size_t desk_frames_of(const struct desk *desk, uint8_t type);
/* Until nothing is on its way. */
void desk_settle(struct desk *desk);
/* Time passes; every core is told when its deadline comes, and frames are delivered. */
void desk_pass(struct desk *desk, uint64_t ms);
void desk_tick(struct desk_node *node);

int desk_export(struct desk_node *node, const struct kith_export *fn);
/* Plain bytes, parallel and flags as given. */
int desk_offer(struct desk_node *node, const char *name, uint32_t flags, uint32_t parallel);
int desk_unexport(struct desk_node *node, const char *name);
/* Returns the token; 0 if the step refused it (out.code says why). */
uint64_t desk_call(struct desk_node *node, struct rpc_call call);
uint64_t desk_call_name(struct desk_node *node, const char *fn, const char *arg);
void desk_cancel(struct desk_node *node, uint64_t token);
void desk_done(struct desk_node *node,
               struct rpc_serve *serve,
               enum kith_outcome outcome,
               int code,
               const void *reply,
               size_t len);
/* The oldest running call ends. */
void desk_done_first(struct desk_node *node, const char *reply);
/* NULL if it has not ended. Fails the test if it ended twice. */
struct desk_result *desk_result(struct desk_node *node, uint64_t token);
void desk_expect(struct desk_node *node, uint64_t token, enum kith_outcome outcome, int code);

/* on_run: replies with the argument. */
void desk_echo(struct desk_node *node, struct rpc_serve *serve);

#endif
