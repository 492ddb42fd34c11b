/*
 * A node: configure, start, watch who is here, stop.
 *
 * A process may run several nodes; each has one loop thread of its own.
 */
#ifndef KITH_NODE_H
#define KITH_NODE_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;
struct kith_config;

/* ---- configuration ------------------------------------------------------------------------ */

/*
 * A configuration with every key at its default. Keys are "section.key" as in the INI file
 * (docs/operations.md lists them all): node.name, node.data_dir, net.listen, net.seed (repeats),
 * net.secret_file, member.profile, rpc.workers, loop.spin_us, log.level, ...
 *
 * Returns NULL if memory is short. Free with kith_config_free() (NULL is fine). A configuration
 * is used by one thread at a time.
 */
KITH_API struct kith_config *kith_config_new(void);
KITH_API void kith_config_free(struct kith_config *config);

/*
 * Sets @key to @value (copied). Keys that repeat (net.seed, node.load) append.
 *
 * Returns 0; KITH_E_NOT_FOUND for an unknown key (kith_errmsg() names the nearest one);
 * KITH_E_PARSE if @value is not of the key's type; KITH_E_MEMORY.
 */
KITH_API KITH_MUST_CHECK int
kith_config_set(struct kith_config *config, const char *key, const char *value);

/*
 * Value of @key as text, borrowed until the next change of @config; NULL if unknown or unset.
 * For a key that repeats, the first value.
 */
KITH_API const char *kith_config_get(const struct kith_config *config, const char *key);

/*
 * Reads the INI file at @path over @config. Nothing is changed unless the whole file is good.
 *
 * Returns 0; KITH_E_NOT_FOUND, KITH_E_IO; KITH_E_PARSE (kith_errmsg() has file:line and the nearest
 * valid key).
 */
KITH_API KITH_MUST_CHECK int kith_config_load(struct kith_config *config, const char *path);

/*
 * Makes @config that of a *program*: a full peer for calls with a fresh key in memory that takes
 * cluster, secret and live addresses from a running agent. @agent is the agent's data directory
 * or the path of its socket; NULL chooses as the command does: KITH_SOCKET, the default data
 * directory's agent, the first running dev node.
 *
 * Returns 0; KITH_E_NO_AGENT if none answers.
 */
KITH_API KITH_MUST_CHECK int kith_config_from_agent(struct kith_config *config, const char *agent);

/* ---- life --------------------------------------------------------------------------------- */

/*
 * Starts a node as @config says (copied) and returns once it listens and calls can be made; it
 * may not have found any peer yet. Starts the loop thread and the worker pool.
 *
 * Returns 0 and gives the node to the caller, who ends it with kith_node_stop().
 * KITH_E_NO_CLUSTER, KITH_E_IN_USE (data directory locked), KITH_E_PERMISSION (a key file others
 * may read; kith_errmsg() prints the chmod), KITH_E_IO, KITH_E_CORRUPT, KITH_E_INVALID,
 * KITH_E_MEMORY.
 */
KITH_API KITH_MUST_CHECK int kith_node_start(const struct kith_config *config,
                                             struct kith_node **node_out);

/*
 * Leaves the cluster gracefully (at most 2 s), ends every pending call with KITH_E_STOPPED, joins
 * all threads and frees @node. NULL is fine. Not from a callback or a served function.
 *
 * Functions that run are cancelled and waited for, deferred ones until they have replied: one that
 * does neither look nor reply holds this up. Other threads may be in functions of this header and
 * kith/rpc.h meanwhile, which then return KITH_E_STOPPED; none may be begun any more.
 */
KITH_API void kith_node_stop(struct kith_node *node);

/*
 * Waits until at least @nodes_n nodes other than programs are alive (this one included if it is
 * no program), or @timeout_ms passed.
 *
 * Returns 0, KITH_E_TIMEOUT, KITH_E_STOPPED, KITH_E_WOULD_DEADLOCK.
 */
KITH_API KITH_MUST_CHECK int
kith_node_wait_for(struct kith_node *node, size_t nodes_n, uint64_t timeout_ms);

/* This node's id and name. @name is borrowed for the life of @node. */
KITH_API struct kith_node_id kith_node_self(const struct kith_node *node);
KITH_API const char *kith_node_name(const struct kith_node *node);

/* ---- who is here -------------------------------------------------------------------------- */

enum kith_status {
    KITH_STATUS_ALIVE = 1,
    KITH_STATUS_SUSPECT = 2,
    KITH_STATUS_FAILED = 3,
    KITH_STATUS_LEFT = 4,
};

/* "alive", "suspect", "failed" or "left". Static. */
KITH_API const char *kith_status_text(enum kith_status status);

enum kith_role {
    KITH_ROLE_NODE = 1,
    KITH_ROLE_PROGRAM = 2, /* embeds the library; never a keeper or voter */
};

struct kith_node_info {
    struct kith_node_id id;
    uint64_t boot_no;
    const char *name;
    const char *address; /* the one in use, "address:port"; "" if none is known to work */
    const char *version;
    enum kith_status status;
    enum kith_role role;
    uint64_t status_age_ms; /* how long it has had this status, as seen here */
    uint32_t cpus;          /* logical processors */
    uint32_t cores;         /* physical cores */
    uint64_t memory_bytes;  /* installed */
    bool gpu;               /* a graphics processor is present */
    /* Changing facts, as last heard; facts_age_ms is UINT64_MAX if never heard. */
    uint64_t facts_age_ms;
    uint64_t memory_available_bytes;
    double load;        /* 1-minute load average */
    double cpu_percent; /* of all processors, 0 to 100 */
    double rtt_ms;      /* smoothed echo time; negative if unknown; 0 for this node */
};

struct kith_node_list {
    struct kith_node_info *nodes; /* this node first, then by name */
    size_t nodes_n;
};

/*
 * A snapshot of all nodes known here, programs only if @programs. The caller frees it with
 * kith_node_list_free(); all pointers in it live until then.
 *
 * Returns 0, KITH_E_MEMORY or KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int
kith_nodes(struct kith_node *node, bool programs, struct kith_node_list **list_out);
KITH_API void kith_node_list_free(struct kith_node_list *list);

enum kith_event_type {
    KITH_EVENT_JOINED = 1,
    KITH_EVENT_SUSPECT = 2,
    KITH_EVENT_FAILED = 3,
    KITH_EVENT_LEFT = 4,
};

/* An item of a map that was running on a node: see kith_map_start(). */
struct kith_work_item {
    uint64_t map_no;
    uint64_t item_index;
};

/* Borrowed for the callback. One call an event; `failed` comes once per incarnation. */
struct kith_event {
    enum kith_event_type type;
    struct kith_node_id id;
    uint64_t boot_no;
    const char *name;
    const char *address;
    const char *reason;
    enum kith_role role;
    const struct kith_work_item *items; /* FAILED, LEFT: what that node held for us */
    size_t items_n;
};

typedef void (*kith_event_cb)(struct kith_node *node, const struct kith_event *event, void *user);

/*
 * Calls @cb on the loop thread for every membership event from now on; nodes that are here already
 * are told first, as joined (before this returns), so that none is missed. Several may be set; each
 * gets all events. There is no removal: they live as long as the node.
 *
 * Returns 0, KITH_E_LIMIT (64 callbacks a node), KITH_E_MEMORY, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_on_event(struct kith_node *node, kith_event_cb cb, void *user);

/*
 * Connects to the node at @address ("host:port", "[v6]:port", name or number; port 7117 if absent)
 * and merges with its cluster's membership if it is of our cluster.
 *
 * Returns 0 once it is a member seen from here; KITH_E_OTHER_CLUSTER, KITH_E_SECRET,
 * KITH_E_VERSION, KITH_E_UNREACHABLE, KITH_E_TIMEOUT, KITH_E_PARSE, KITH_E_WOULD_DEADLOCK.
 */
KITH_API KITH_MUST_CHECK int
kith_connect(struct kith_node *node, const char *address, uint64_t timeout_ms);

/*
 * Closes every connection to @which (name, id or unique prefix of an id). They are opened again
 * when needed; the node stays a member. That none is open is no error.
 *
 * Returns 0, KITH_E_INVALID (it is this node itself), KITH_E_NO_NODE, KITH_E_EXISTS (several ids
 * begin so), KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_disconnect(struct kith_node *node, const char *which);

/* ---- log ---------------------------------------------------------------------------------- */

enum kith_log_level {
    KITH_LOG_ERROR = 1,
    KITH_LOG_WARN = 2,
    KITH_LOG_INFO = 3,
    KITH_LOG_DEBUG = 4,
};

/*
 * Writes one line to the node's application log. Any thread; never blocks on the network. Lines
 * above 4,000 bytes are cut. Never log a secret.
 */
KITH_API void kith_log(struct kith_node *node, enum kith_log_level level, const char *format, ...)
    KITH_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
