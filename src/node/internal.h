/*
 * The inside of a node, shared by the files of this room. Loop thread only unless said otherwise.
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <sodium.h>
#include <stdatomic.h>
#include <uv.h>

#include "core/error.h"
#include "core/list.h"
#include "core/map.h"
#include "core/tally.h"
#include "kith.h"
#include "member/member.h"
#include "net/data_dir.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/facts.h"
#include "node/fs.h"
#include "node/history.h"
#include "node/log.h"
#include "node/node.h"
#include "node/queue.h"
#include "node/sensors.h"
#include "node/spin.h"
#include "node/state.h"
#include "node/workers.h"
#include "rpc/map_core.h"
#include "rpc/rpc.h"

/* A call this node makes: the driver's side of a token. */
struct node_call {
    kith_call_cb cb; /* NULL: a cast, or abandoned */
    void (*on_partial)(struct kith_node *node, const void *data, size_t len, void *user);
    void *user;
    bool busy;
    uint64_t no;         /* of struct kith_call_id; 0: cannot be cancelled */
    uint32_t generation; /* upper half of the token */
    uint32_t next_free;  /* index + 1 */
};

#define NODE_CALLS_CHUNK  256
#define NODE_CALLS_CHUNKS (RPC_CALLS_PENDING_MAX / NODE_CALLS_CHUNK + 1)

struct node_calls {
    struct node_call *chunks[NODE_CALLS_CHUNKS];
    uint32_t made_n;     /* slots that exist */
    uint32_t first_free; /* index + 1 */
    struct map64 by_no;  /* cancellable calls: no -> token */
};

/* Names that are called often, with their hash (BLAKE2b costs more than a whole call). */
#define NODE_NAME_CACHE 256
struct node_name_hash {
    char *name;
    uint64_t hash;
};

struct node_event_sink {
    kith_event_cb cb;
    void *user;
};

struct node_completion_watch {
    struct list link;
    int64_t no;
    char *fn;
    kith_completion_cb cb;
    void *user;
};

struct node_module {
    char *path;
    void *handle; /* of dlopen */
    const struct kith_module *module;
};

/* Someone waits for a change of membership (kith_node_wait_for, kith_connect). */
struct node_member_wait {
    struct list link;
    bool (*ready)(struct kith_node *node, struct node_member_wait *wait);
    /* Once; the wait is out of the list and may be freed. 0, KITH_E_TIMEOUT, KITH_E_STOPPED. */
    void (*done)(struct kith_node *node, struct node_member_wait *wait, int code);
    uint64_t deadline_ms;
};

/* A function offered here: the driver's side of a struct rpc_export. */
struct node_export {
    struct list link;
    bool withdrawn;
    sem_t *drained; /* posted when no run of it is left, for who withdrew it and waits */
    char name[];
};

/* Bytes of the host's interfaces, as last read. */
struct node_net_rate {
    uint64_t at_ms, in, out, in_per_s, out_per_s;
};
#define NODE_NET_RATE_MS 1900 /* every second sample */

struct kith_node {
    struct kith_config *config;     /* as it was started; any thread */
    struct kith_config *config_now; /* the loop's, once it was reloaded */
    void (*ask_reload)(void);       /* of who reads it again; NULL: nobody does */
    struct list reload_waits;       /* struct node_reload_wait */
    bool program;                   /* embeds the library */
    struct data_dir dir;
    struct net_identity identity;
    struct net_cluster cluster;
    char cluster_name[DATA_DIR_CLUSTER_NAME_BYTES];
    char name[MEMBER_NAME_BYTES_MAX + 1];
    char *web; /* where the pages are; NULL: nowhere */
    uint64_t boot_no;
    uint64_t born_unix_ms; /* when the identity was made */
    uint64_t started_unix_ms, started_ns;
    size_t arg_bytes_max, reply_bytes_max;

    uv_loop_t loop;
    bool loop_open;
    pthread_t thread;
    bool thread_running;
    sem_t started;
    int start_code; /* of what the loop thread does first */
    char start_text[1024];
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t again; /* runs while the loop must not sleep */
    uv_timer_t member_timer;
    uv_timer_t rpc_timer;
    uv_timer_t sample_timer;
    uv_timer_t cache_timer; /* delays the write of the peer cache */
    uv_timer_t wait_timer;  /* first deadline of member_waits */
    uv_timer_t leave_timer;
    uint64_t member_due_ms; /* when member_timer fires; UINT64_MAX: not set */
    uint64_t rpc_due_ms;

    /* The clock as read in this turn; 0: to be read. A call costs less than reading it would. */
    uint64_t now_ns, now_unix_ms;

    struct node_queue queue;
    _Atomic bool sleeping;      /* the loop is, or is about to be, in the kernel: wake it */
    _Atomic bool stopping;      /* no new requests from other threads */
    _Atomic uint32_t inside_n;  /* other threads that are asking something: see node_enter() */
    uint32_t runs_n;            /* of inline functions: every so many is measured */
    bool ending;                /* calls, maps and waits end */
    bool finished;              /* the loop thread ends */
    struct log_limit end_limit; /* of the line that says what the end waits for */
    uint64_t end_since_ms;

    struct spin spin;
    uint64_t active_ns;        /* when something last came in or went out */
    uint64_t work_n;           /* frames and requests handled, to see whether a turn did anything */
    uint64_t work_seen_n;      /* work_n at active_ns */
    uint64_t slept_at_n;       /* work_n when the loop went to sleep */
    enum spin_wait sleeps_for; /* ... and what it waited for then */
    bool polls_disk;           /* a spin that is under way is for the disk, too */
    uint64_t durable_n;        /* times that the disk was done with something */

    struct uv_net *net;
    bool net_closed;
    struct member_core *members;
    struct rpc_core *rpc;
    struct workers *workers;
    struct tally served; /* functions that ran here */
    uint32_t workers_n;

    unsigned rpc_stepping; /* inside the actions of a step: no new step now */
    unsigned rpc_depth;    /* of nested steps */
    bool member_stepping;
    bool facts_dirty; /* tell membership our new facts as soon as it is not stepping */
    bool waits_stale;
    bool cache_writing;
    struct member_facts facts;
    struct facts facts_host;
    struct sensors sensors;
    struct member_load load;
    struct history history, everywhere; /* of this host; of all nodes together */
    struct node_net_rate net_rate;

    struct node_state state; /* views, variables, mutexes */
    struct node_fs *fs;      /* files (uv_fs.h); NULL: a program has none */
    struct mapid labels;     /* struct node_label by node (labels.c) */
    bool labels_pushed, tags_changed;
    struct node_request labels_request;

    struct node_calls calls;
    _Atomic uint64_t next_call_no;
    struct node_name_hash *name_cache; /* NODE_NAME_CACHE */
    struct node_name_hash *name_last;  /* the one called last, or NULL */
    struct list exports;
    struct kith_ctx *ctx_free; /* ready for use */
    unsigned ctx_free_n;
    struct list serving; /* contexts of calls being served: ctx_busy_n */
    unsigned ctx_busy_n;
    struct rpc_serve *refused; /* calls for which memory was short, chained by their user pointer */

    struct list maps;
    _Atomic uint64_t next_map_no;
    _Atomic unsigned maps_n;
    bool maps_stale; /* who has which function has changed */
    bool maps_stale_pushed;
    struct node_request maps_stale_request;

    struct node_event_sink event_sinks[NODE_EVENT_CBS_MAX];
    size_t event_sinks_n;
    struct node_event_record *events; /* ring of events_cap, which grows to NODE_EVENTS_KEPT */
    size_t events_cap;
    uint64_t events_seq;
    struct node_event_watch *event_watches;
    struct node_event_watch *event_next; /* the one after that whose callback runs */
    struct list completion_watches;
    struct list *completion_next; /* the one after that whose callback runs */
    int64_t next_watch_no;
    int64_t watches_gone;
    struct list member_waits;

    struct node_module modules[NODE_MODULES_MAX];
    size_t modules_n;
    struct node_service *services;
    unsigned services_running;
    struct node_request stop_request;
    bool leave_told;
    void (*leave_done)(void *arg);
    void *leave_arg;

    struct node_log log;
    uint64_t callback_limit_ns; /* longer callbacks are told of; 0: not measured */
    struct log_limit callback_limit;
    struct node_log_watch *log_watches;
    struct node_log_watch *log_next; /* the one after that whose callback runs */
    _Atomic unsigned tap_lines;      /* on their way to log_watches */
    struct node_stats stats;
};

/* A spin catches calls this deep in one another; deeper ones go through the queue. */
#define NODE_NEST_MAX 16
/* Text of an outcome that a callback sees. */
#define RPC_ERROR_TEXT_SHOWN 1024
/* Replies up to this size are copied to let the callback of a call nest a step. */
#define NODE_REPLY_COPIED_MAX 1024
#define NODE_SAMPLE_MS        1000
#define NODE_TIMED_EVERY      16u
#define NODE_LAG_MS           500

static inline uint64_t node_now_ns(void)
{
    return uv_hrtime();
}
/* The time of this turn of the loop, for steps. */
static inline uint64_t node_turn_ns(struct kith_node *node)
{
    if (node->now_ns == 0)
        node->now_ns = uv_hrtime();
    return node->now_ns;
}
static inline uint64_t node_now_ms(void)
{
    return uv_hrtime() / 1000000;
}
uint64_t node_unix_ms(void);
/* The same of this turn. */
static inline uint64_t node_turn_unix_ms(struct kith_node *node)
{
    if (node->now_unix_ms == 0)
        node->now_unix_ms = node_unix_ms();
    return node->now_unix_ms;
}

/* ---- node.c ---- */
uint64_t node_seed(void);
int node_fail_stopped(void);
int node_fail_would_deadlock(const char *function);
void node_loop_first(struct kith_node *node);

/* ---- node_stop.c ---- */
void node_end(struct kith_node *node);
void node_left(struct kith_node *node); /* the others know that we leave */

/* ---- uv_loop.c ---- */
int node_loop_open(struct kith_node *node);
void node_loop_begin(struct kith_node *node);
int node_thread_start(struct kith_node *node);
/* Pushes @request for the loop and wakes it if it sleeps. Any thread. */
void node_push(struct kith_node *node, struct node_request *request);
/*
 * Another thread that asks something of the node does so between node_enter() and node_exit(): the
 * loop runs until nobody is inside, so what was pushed there is run. False, with KITH_E_STOPPED's
 * sentence, if the node is stopping. On the loop thread both do nothing.
 */
bool node_enter(struct kith_node *node);
void node_exit(struct kith_node *node);
bool node_drain(struct kith_node *node); /* runs what was pushed; true if anything */
/* The loop takes another turn before it sleeps. */
void node_loop_again(struct kith_node *node);
/* What view or variables keep is durable, @took_ns after it was put. */
void node_loop_durable(struct kith_node *node, uint64_t took_ns);
void node_sem_wait(sem_t *sem);

/* ---- uv_member.c ---- */
int node_member_open(struct kith_node *node);
/* One event, now or as soon as no step runs. As member_step(). */
int node_member_step(struct kith_node *node, struct member_event *event);
void node_member_facts(struct kith_node *node); /* facts_dirty: tell them */
void node_member_tick(struct kith_node *node, uint64_t due_ms);
void node_member_recall(struct kith_node *node);
void node_member_save(struct kith_node *node);
void node_member_wait(struct kith_node *node, struct node_member_wait *wait);
void node_member_waits(struct kith_node *node); /* looks at all of them */
void node_sample(struct kith_node *node);       /* load of this host */

/* ---- uv_rpc.c ---- */
int node_rpc_open(struct kith_node *node);
void node_rpc_deinit(struct kith_node *node);
/* One step and its actions. Never while rpc_stepping. Returns out->code. */
int node_rpc_step(struct kith_node *node, struct rpc_event *event);
void node_rpc_step_soon(struct kith_node *node, struct rpc_event *event);
void node_rpc_frame(struct kith_node *node,
                    struct uv_peer *peer,
                    uint64_t boot_no,
                    struct net_frame *frame);
void node_rpc_link(struct kith_node *node,
                   enum rpc_event_type type,
                   struct uv_peer *peer,
                   uint64_t boot_no);
void node_boot_raised(struct kith_node *node);
uint64_t node_name_hash_of(struct kith_node *node, const char *fn);

/* ---- calls.c ---- */
struct node_call_spec {
    struct rpc_call call; /* fn, arg, ...; node_call_begin sets the token */
    kith_call_cb cb;
    void (*on_partial)(struct kith_node *node, const void *data, size_t len, void *user);
    void *user;
    uint64_t no;
};
int node_call_spec_from(struct kith_node *node,
                        const char *fn,
                        const void *arg,
                        size_t arg_len,
                        const struct kith_call_options *options,
                        struct node_call_spec *spec);
/* Begins a call now: on the loop, outside any step. The callback never runs if this fails. */
int node_call_begin(struct kith_node *node, const struct node_call_spec *spec, uint64_t *token_out);
/* Begins a call from any thread and place; @node_text is resolved on the loop; NULL: none. */
int node_call_anywhere(struct kith_node *node, struct node_call_spec *spec, const char *node_text);
void node_call_complete(struct kith_node *node, uint64_t token, const struct kith_result *result);
void node_call_partial(struct kith_node *node, uint64_t token, struct kith_bytes data);
bool node_call_alive(struct kith_node *node, uint64_t token);
void node_call_abort(struct kith_node *node, uint64_t token);
void node_call_abort_no(struct kith_node *node, uint64_t no); /* kith_call_id; none: nothing */
/* A copy of @result in one block of memory; NULL if memory is short. */
struct kith_reply *node_reply_copy(const struct kith_result *result);
void node_calls_deinit(struct kith_node *node);

/* ---- serve.c ---- */
/* @nest: no actions of the step follow, so another may run inside. */
void node_serve_run(struct kith_node *node, struct rpc_serve *serve, bool nest);
void node_serve_abort(struct kith_node *node, struct rpc_serve *serve);
void node_serve_refused(struct kith_node *node); /* ends those in node->refused */
void node_serve_stop(struct kith_node *node);    /* cancels all that run */
void node_export_gone(struct node_export *export);
void node_serve_deinit(struct kith_node *node);

/* ---- maps.c ---- */
void node_maps_refresh(struct kith_node *node);
void node_maps_tick(struct kith_node *node);
uint64_t node_maps_deadline_ms(struct kith_node *node);
/* Items that @id holds for maps of this node; the caller frees *items_out. */
size_t node_maps_items_of(struct kith_node *node,
                          const struct kith_node_id *id,
                          struct kith_work_item **items_out);
void node_maps_stop(struct kith_node *node);

/* ---- logs.c ---- */
int node_logs_open(struct kith_node *node);
void node_logs_reload(struct kith_node *node, const struct kith_config *config);

/* ---- reload.c ---- */
void node_reload_stop(struct kith_node *node); /* nobody waits any more */

/* ---- events.c ---- */
void node_event_member(struct kith_node *node,
                       const struct member *member,
                       enum member_change change,
                       const char *reason,
                       const struct kith_work_item *items,
                       size_t items_n);
void node_event_note(struct kith_node *node,
                     const char *type,
                     const struct kith_node_id *id,
                     const char *name,
                     const char *address,
                     const char *reason);
void node_events_deinit(struct kith_node *node);
/* Before and after code of a program runs on the loop; @name may be NULL. */
void node_callback_long(struct kith_node *node, const char *kind, const char *name, uint64_t ns);
static inline uint64_t node_callback_begin(const struct kith_node *node)
{
    return node->callback_limit_ns != 0 ? node_now_ns() : 0;
}
static inline void
node_callback_end(struct kith_node *node, uint64_t began_ns, const char *kind, const char *name)
{
    if (began_ns != 0 && node_now_ns() - began_ns > node->callback_limit_ns)
        node_callback_long(node, kind, name, node_now_ns() - began_ns);
}

/* ---- modules.c, sys_functions.c ---- */
void node_modules_stop(struct kith_node *node);
void node_modules_deinit(struct kith_node *node);
int node_modules_load_configured(struct kith_node *node);
int node_sys_functions_export(struct kith_node *node);

/* The address that is shown for a member. */
const char *node_member_address(struct kith_node *node, const struct member *member);

#endif
