/*
 * What the rooms above the node (control, http, cli) may use beside include/kith: access to the
 * cores and the loop, and the record of events. Loop thread only unless said otherwise.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <uv.h>

#include "core/log.h"
#include "core/tally.h"
#include "kith.h"

struct member_core;
struct rpc_core;
struct uv_net;

uv_loop_t *node_loop(struct kith_node *node);
struct log *node_log(struct kith_node *node); /* any thread */
struct member_core *node_members(struct kith_node *node);
struct rpc_core *node_rpc(struct kith_node *node);
struct uv_net *node_net(struct kith_node *node);
const struct kith_config *node_config(const struct kith_node *node); /* any thread */
bool node_on_loop(const struct kith_node *node);                     /* any thread */
uint64_t node_started_unix_ms(const struct kith_node *node);
uint64_t node_uptime_ms(const struct kith_node *node);
uint64_t node_boot_no(const struct kith_node *node);
const char *node_cluster_name(const struct kith_node *node);
/* 32 hex digits. */
void node_cluster_id_text(const struct kith_node *node, char out[33]);
/* 64 hex digits: for programs of the same owner only; never log it. */
void node_cluster_secret_text(const struct kith_node *node, char out[65]);
/* What membership knows of @member, as kith_nodes() gives it; texts are borrowed. */
struct member;
void node_info_of(struct kith_node *node, const struct member *member, struct kith_node_info *info);
/* Where the pages are served, "" if nowhere. Loop thread. */
void node_set_web(struct kith_node *node, const char *url);
const char *node_web(const struct kith_node *node);
/* Modules loaded now. */
size_t node_modules(struct kith_node *node, const struct kith_module **out, size_t max);
/* kith1-... token: addresses, cluster id, name, secret (docs/protocols/control.md). 0 or KITH_E_*;
 * caller frees. */
int node_join_token(struct kith_node *node, char **token_out);

/* Runs @fn once on the loop thread, in order of posting. Any thread. 0, KITH_E_STOPPED,
 * KITH_E_MEMORY. */
int node_post(struct kith_node *node, void (*fn)(struct kith_node *node, void *arg), void *arg);

/* As node_post(), and waits until @fn has run; directly if already on the loop. */
int node_run(struct kith_node *node, void (*fn)(struct kith_node *node, void *arg), void *arg);

/*
 * Something with handles on the loop that must close before the node ends. @stop is called once on
 * the loop thread when the node stops and calls node_service_stopped() when its handles are closed.
 */
struct node_service {
    const char *name;
    void (*stop)(struct node_service *service);
    void (*reloaded)(struct node_service *service); /* node_config_now() has changed; may be NULL */
    struct kith_node *node;                         /* set by node_service_add */
    struct node_service *next;                      /* the node's */
};
int node_service_add(struct kith_node *node, struct node_service *service);
void node_service_stopped(struct node_service *service);
struct node_service *node_service_find(struct kith_node *node, const char *name); /* or NULL */

/* ---- finding nodes ---- */

/*
 * The member that @which names: a name (shown name), an id, or a unique prefix (at least 2 digits)
 * of an id. 0; KITH_E_NO_NODE (kith_errmsg() has the nearest name); KITH_E_EXISTS (the prefix is
 * not unique).
 */
int node_member_named(struct kith_node *node, const char *which, struct member **member_out);

/* The shown name of a node; NULL if it is not known. Borrowed, until the next event of membership.
 */
const char *node_name_of(struct kith_node *node, const struct kith_node_id *id);

/* ---- shared state ---- */

struct view_core;
/* CLOCK_BOOTTIME, by which leases are counted; any thread. */
uint64_t node_boot_ns(void);
uint64_t node_boot_ms(void);
struct view_core *node_view(struct kith_node *node);
struct view_quorum;
/* As view_quorum(); a node that keeps nothing judges by membership. */
void node_view_quorum(struct kith_node *node, struct view_quorum *quorum_out);
/* Makes this node's side the whole of it: view_force_loss() says what that may lose. As
 * view_step().
 */
int node_view_force(struct kith_node *node);
/* Type of the variable @name as far as this node knows; 0: there is none. */
enum kith_type node_var_type(struct kith_node *node, const char *name);
struct buf;
/* As kith_var_open(), for who is on the loop thread and in no step. 0, KITH_E_LIMIT, KITH_E_MEMORY.
 */
int node_var_open(struct kith_node *node, const char *name, struct kith_var **var_out);
/*
 * The copy kept here if it is valid and there is one, else false: then ask as everybody does. The
 * bytes go to @room and are valid until its next use. Any thread.
 */
bool node_var_peek(struct kith_var *var, struct buf *room, struct kith_value *value_out);
/* As kith_lock_info() and kith_lock_break(): @done runs once, perhaps before this returns, unless
 * it fails. */
int node_lock_info(
    struct kith_node *node,
    const char *name,
    void (*done)(struct kith_node *node, int code, const struct kith_lock_info *info, void *user),
    void *user);
int node_lock_break(struct kith_node *node,
                    const char *name,
                    uint64_t timeout_ms,
                    void (*done)(struct kith_node *node, int code, void *user),
                    void *user);
/* Every mutex that this node uses, with its own holders and waiters. */
void node_locks_each(struct kith_node *node,
                     void (*fn)(struct kith_node *node,
                                const struct kith_lock_info *info,
                                void *user),
                     void *user);

/* ---- files (kith/fs.h) ---- */

/*
 * As kith_fs_track(), from any thread: @began runs once on the loop, with the number of the watch
 * once changes are told, or with a code and its sentence; unless this fails.
 */
int node_fs_track(struct kith_node *node,
                  const char *local,
                  bool recursive,
                  kith_fs_change_cb cb,
                  void *user,
                  void (*began)(struct kith_node *node, int64_t no, const char *text, void *user),
                  void *began_user);

/* A node that sends something now. */
struct node_fs_source {
    struct kith_node_id node;
    uint64_t bytes_per_s; /* of all that it sends us, lately */
};
/*
 * Who is asked now for the content of the file @path (of a folder: for any content that is being
 * fetched), into @sources_out, at most @max: how many. Loop thread.
 */
size_t node_fs_sources(struct kith_node *node,
                       const char *path,
                       struct node_fs_source *sources_out,
                       size_t max);

/* Bytes of files in the caches of this node, memory and disk; 0 without files. Loop thread. */
uint64_t node_fs_cached_bytes(const struct kith_node *node);
/* How many damaged chunks and lists nodes sent here since this one began: each that did, by name;
 * gives those of nodes beyond FS_DAMAGERS_MAX. */
uint64_t node_fs_damages_each(struct kith_node *node,
                              void (*each)(void *user, const char *name, uint64_t n),
                              void *user);

/* ---- names (kith/name.h) ---- */

/* @name: whose it is, for KITH_E_EXISTS as well; @text: the sentence of @code. */
typedef void (*node_name_cb)(
    struct kith_node *node, int code, const struct kith_name *name, const char *text, void *user);
/* As those of kith/name.h; @cb runs once and later, unless they fail. @target: a node (name, id or
 * prefix), else a function of this node; NULL: this node. */
int node_name_register(
    struct kith_node *node, const char *name, const char *target, node_name_cb cb, void *user);
int node_name_resolve(struct kith_node *node, const char *name, node_name_cb cb, void *user);
int node_name_remove(struct kith_node *node, const char *name, node_name_cb cb, void *user);
/* The names in a reply of sys.names whose owners are alive. */
void node_names_parse(
    struct kith_node *node,
    const void *data,
    size_t len,
    void (*fn)(void *user, const char *name, uint64_t version, const struct kith_name *what),
    void *user);

/* ---- tags, and nodes that are drained (labels.c) ---- */

/* 1 to NODE_TAG_KEY_BYTES_MAX of a-z A-Z 0-9 - _ . */
bool node_tag_key_is(const char *key);
/* Value of a tag of @id, NULL: it has none of that key. Borrowed until the loop's next event. */
const char *node_tag(const struct kith_node *node, const struct kith_node_id *id, const char *key);
size_t node_tags_n(const struct kith_node *node, const struct kith_node_id *id);
/* The tags of @id by key, @at 0 and up; false: no more. Borrowed as above. */
bool node_tag_at(const struct kith_node *node,
                 const struct kith_node_id *id,
                 size_t at,
                 const char **key_out,
                 const char **value_out);
/* Could it be one? 0, KITH_E_NAME, KITH_E_TOO_LARGE, KITH_E_INVALID. @value NULL: to be removed. */
int node_tag_check(const char *key, const char *value);
/* Says it (@value NULL: takes it back) of any node, here or not; all nodes hear of it. @cb runs
 * once and later: KITH_E_NOT_FOUND of one that is taken back and was not said. 0, KITH_E_MEMORY. */
int node_tag_set(struct kith_node *node,
                 const struct kith_node_id *id,
                 const char *key,
                 const char *value,
                 kith_value_cb cb,
                 void *user);
/* A drained node is chosen for no call and given no item of a map; what it runs goes on. */
bool node_is_drained(const struct kith_node *node, const struct kith_node_id *id);
/* Has the node all @tags, each "KEY=VALUE", or "KEY" with any value? */
bool node_has_tags(const struct kith_node *node,
                   const struct kith_node_id *id,
                   const char *const *tags,
                   size_t tags_n);
/* As kith_map_start(), on nodes that have all @tags (copied); who gets or loses one meanwhile
 * counts from then on. 0 or a code with its sentence. */
int node_map_start(struct kith_node *node,
                   const char *fn,
                   const struct kith_bytes *items,
                   uint64_t items_n,
                   const struct kith_map_options *options,
                   const char *const *tags,
                   size_t tags_n,
                   struct kith_map **map_out);
const char *node_drained_by(const struct kith_node *node, const struct kith_node_id *id);
/* As node_tag_set(). */
int node_set_drained(struct kith_node *node,
                     const struct kith_node_id *id,
                     bool drained,
                     kith_value_cb cb,
                     void *user);

/* ---- events ---- */

struct node_event_record {
    uint64_t seq; /* 1, 2, 3 ... since the node started */
    uint64_t time_unix_ms;
    char type[24]; /* "joined", "suspect", "refuted", "failed", "left", "name-clash",
                      "damaged" (it sent that), "function-added", ... */
    struct kith_node_id id;
    char name[KITH_NAME_BYTES_MAX + 1];
    char address[KITH_ADDRESS_TEXT_MAX + 1];
    char reason[160];
};
/* The last NODE_EVENTS_KEPT records: fills up to @max with those above @after_seq, oldest first. */
size_t node_events_since(struct kith_node *node,
                         uint64_t after_seq,
                         struct node_event_record *out,
                         size_t max);
struct node_event_watch {
    void (*cb)(struct node_event_watch *watch, const struct node_event_record *record);
    struct node_event_watch *next;
};
void node_event_watch_add(struct kith_node *node, struct node_event_watch *watch);
void node_event_watch_remove(struct kith_node *node, struct node_event_watch *watch);

/* ---- live log (kith monitor) ---- */

struct node_log_watch {
    enum kith_log_level level;
    void (*cb)(struct node_log_watch *watch,
               enum kith_log_level level,
               const char *line); /* logfmt, loop thread */
    struct node_log_watch *next;
};
void node_log_watch_add(struct kith_node *node, struct node_log_watch *watch);
void node_log_watch_remove(struct kith_node *node, struct node_log_watch *watch);
void node_set_log_level(struct kith_node *node, enum kith_log_level level); /* any thread */
enum kith_log_level node_get_log_level(struct kith_node *node);             /* any thread */
/* The newest lines that an agent wrote: log_kept_each() (node/log_kept.h). @fn must not log. */
struct log_kept_line;
struct log_kept_pick;
void node_log_lines(struct kith_node *node,
                    const struct log_kept_pick *pick,
                    void (*fn)(void *user, const struct log_kept_line *line),
                    void *user);
void node_log_reopen(struct kith_node *node); /* SIGHUP; any thread */

/* ---- leaving, forgetting ---- */

/* Tells the others that we leave; @done runs on the loop when told, or after 2 s. */
void node_leave(struct kith_node *node, void (*done)(void *arg), void *arg);
/* 0, KITH_E_NO_NODE, KITH_E_EXISTS (alive, suspect or this node itself: says why not). */
int node_forget(struct kith_node *node, const char *which);
/*
 * Dials @address and waits until whoever is there is a member. @done runs once on the loop, unless
 * this fails. As kith_connect().
 */
int node_connect(struct kith_node *node,
                 const char *address,
                 uint64_t timeout_ms,
                 void (*done)(void *arg, int code, const struct kith_node_id *id),
                 void *arg);
/*
 * Closes the streams to @which soon; @open_n_out: how many are open now. 0, KITH_E_INVALID (this
 * node itself), KITH_E_NO_NODE, KITH_E_EXISTS (several ids begin so).
 */
int node_disconnect(struct kith_node *node, const char *which, unsigned *open_n_out);
/* One echo to @which: @done with the round trip in ns, or a negative code. */
int node_ping(struct kith_node *node,
              const char *which,
              uint64_t timeout_ms,
              void (*done)(void *arg, int code, uint64_t rtt_ns),
              void *arg);

/* CPU % per core of this host, as last sampled; returns how many. */
size_t node_cpu_percent(struct kith_node *node, double *out, size_t max);

struct history;
/* What this host did lately; empty in programs. */
const struct history *node_history(const struct kith_node *node);
/* The same of all nodes together, as they were known here: without network and cores. */
const struct history *node_history_everywhere(const struct kith_node *node);
/* What all nodes that are alive and have told have and use. */
struct node_sums {
    uint64_t nodes_n, cpus, memory_bytes, memory_available_bytes, load_milli;
    uint64_t cpu_permille; /* times CPUs */
};
void node_sums(struct kith_node *node, struct node_sums *out);

struct sensor_reading;
/* Temperatures of this host, measured now; returns how many, 0 where it tells none. */
size_t node_temperatures(struct kith_node *node, struct sensor_reading *out, size_t max);
/* Of the file system that the data directory is on; 0, 0 without one. */
void node_disk(struct kith_node *node, uint64_t *bytes_out, uint64_t *available_out);
/* Bytes a second of this host's interfaces, as last measured. */
void node_net_rate(const struct kith_node *node, uint64_t *in_out, uint64_t *out_out);

struct node_stats {
    uint64_t loop_turns, loop_lag_max_ms, spins, spin_hits;
    uint64_t requests_crossed; /* from other threads, the writer of the store among them */
    uint32_t workers, workers_busy, workers_queue;
    uint64_t rss_bytes;
};
void node_stats(struct kith_node *node, struct node_stats *stats_out);
/* How long functions ran that this node served. Loop thread. */
const struct tally *node_served(const struct kith_node *node);

#endif
