/*
 * Who is here: SWIM with Lifeguard (protocols 5.3), as a pure machine.
 *
 * The driver (src/node/uv_member.c) feeds datagrams, frames, link changes and time; the output says
 * what to send, whom to dial, and what changed. No socket, clock, thread or unseeded randomness.
 */
#ifndef MEMBER_MEMBER_H
#define MEMBER_MEMBER_H

#include "core/limits.h"
#include "core/tally.h"
#include "kith/node.h"

struct member_core;

#define MEMBER_ADDRESSES_MAX NET_ADDRESSES_PER_PEER_MAX

/* Facts of a node that rarely change: signed by it, carried with membership. */
struct member_facts {
    char name[MEMBER_NAME_BYTES_MAX + 1];
    char version[MEMBER_VERSION_BYTES_MAX + 1];
    char addresses[MEMBER_ADDRESSES_MAX][KITH_ADDRESS_TEXT_MAX + 1];
    uint32_t addresses_n;
    enum kith_role role;
    uint32_t cpus;
    uint32_t cores;
    uint64_t memory_bytes;
    bool gpu;
    /*
     * Of its exported functions (src/rpc): grows with each change. Not covered by the signature, so
     * that a change costs 20 bytes of gossip.
     */
    uint64_t registry_version;
    /* Wall time at which the identity was made; on a clash of names the later one gets "-2". */
    uint64_t born_unix_ms;
};

/*
 * The same as known of a node: the texts point into its signed record, so that a node costs some
 * 500 bytes and not 1,800. Borrowed; they change with the next facts of the node.
 */
struct member_known_facts {
    const char *name;
    const char *version;
    const char *const *addresses; /* as uv_net_learn() takes them */
    uint32_t addresses_n;
    enum kith_role role;
    uint32_t cpus;
    uint32_t cores;
    bool gpu;
    uint64_t memory_bytes;
    uint64_t registry_version;
    uint64_t born_unix_ms;
};

/* Facts that change often: ride on acks, never gossiped. */
struct member_load {
    uint64_t memory_available_bytes;
    uint32_t load_milli;   /* 1-minute load average * 1,000 */
    uint32_t cpu_permille; /* of all processors */
    uint32_t queue_len;    /* calls waiting on the worker pool */
};

/*
 * One node as known here. Borrowed; stable until MEMBER_FORGOTTEN names it. For MEMBER_REMEMBER the
 * driver fills id, sign_pk, boot_no and facts.
 */
struct member {
    struct kith_node_id id;
    uint8_t sign_pk[32];
    uint64_t boot_no;
    uint64_t incarnation; /* n of (boot_no, n) */
    uint64_t facts_version;
    enum kith_status status;
    uint64_t status_since_ms;
    struct member_known_facts facts;
    const char *shown_name; /* facts.name, with "-2" on a clash of names; never NULL */
    bool load_known;
    uint64_t load_at_ms;
    struct member_load load;
    uint32_t rtt_us; /* smoothed; UINT32_MAX if unknown */
    bool link_up;    /* a control stream is open */
    void *user;      /* the driver's */
};

enum member_profile { MEMBER_LAN, MEMBER_FAST, MEMBER_WAN };

struct member_crypto {
    void *user;
    void (*sign)(void *user, const uint8_t *data, size_t len, uint8_t signature_out[64]);
    bool (*verify)(void *user,
                   const uint8_t sign_pk[32],
                   const uint8_t *data,
                   size_t len,
                   const uint8_t signature[64]);
    /* Does this key hash to this id? */
    bool (*key_is_of)(void *user, const uint8_t sign_pk[32], const struct kith_node_id *id);
};

/* Zero fields take the profile's value (docs/protocols/member.md has the table). */
struct member_config {
    struct kith_node_id self;
    uint8_t sign_pk[32];
    uint64_t boot_no;
    uint64_t seed;
    struct member_facts facts;
    struct member_crypto crypto;
    enum member_profile profile;
    bool detector_echo;        /* every peer echoed each interval, failed after the limit */
    uint32_t echo_interval_ms; /* 20,000 */
    uint32_t echo_limit_ms;    /* 10,000 */
    bool lifeguard_off;        /* plain SWIM, for comparison in the simulator */
    uint32_t probe_interval_ms;
    uint32_t probe_timeout_min_ms, probe_timeout_max_ms;
    uint32_t indirect_k;
    uint32_t suspicion_alpha, suspicion_beta;
    uint32_t health_max;
    uint32_t gossip_interval_ms, gossip_fanout;
    uint32_t push_pull_interval_ms;
    uint32_t reconnect_interval_ms; /* one dead or seed address each, for ever */
    uint32_t tombstone_ms;          /* 24 h; programs 60 s */
    size_t datagram_bytes_max;      /* plaintext that fits one datagram */
};

enum member_event_type {
    MEMBER_START,     /* once, first */
    MEMBER_TICK,      /* the deadline has come */
    MEMBER_SEED,      /* text: an address to try for ever */
    MEMBER_REMEMBER,  /* peer: a node from the peer cache (status is ignored, taken as failed,
                         silent) */
    MEMBER_LINK_UP,   /* id, boot_no, sign_pk, text = address: a control stream is open */
    MEMBER_LINK_DOWN, /* id */
    /*
     * text: a DIAL of this address ended without a link; code. Or, if id is not zero, in one to
     * that node: LINK_UP names the address in use, which for a seed given by name is another text.
     */
    MEMBER_DIAL_FAILED,
    MEMBER_DATAGRAM, /* id, boot_no, data */
    MEMBER_FRAME,    /* id, boot_no, frame_type, data */
    MEMBER_FACTS,    /* facts: our own have changed */
    MEMBER_LOAD,     /* load: our own, sent with acks from now on */
    MEMBER_LAG,      /* lag_ms: the loop was late by so much */
    MEMBER_LEAVE,    /* announce that we leave; output tells when it is told (LEFT_TOLD) */
    MEMBER_FORGET,   /* id: drop it everywhere (refused with KITH_E_EXISTS while it is alive) */
    MEMBER_BOOT,     /* boot_no: our own was raised (STALE_BOOT) */
};

struct member_event {
    enum member_event_type type;
    uint64_t now_ms;
    uint64_t now_us; /* the same clock, for round-trip times; 0: now_ms * 1,000 */
    struct kith_node_id id;
    uint64_t boot_no;
    uint8_t frame_type;
    const uint8_t *data;
    size_t len;
    const uint8_t *sign_pk;
    const char *text;
    int code;
    uint64_t lag_ms;
    const struct member_facts *facts;
    const struct member_load *load;
    const struct member *peer;
};

enum member_action_type {
    MEMBER_SEND_DATAGRAM, /* id, data */
    MEMBER_SEND_FRAME,    /* id, frame_type, data: over the control stream, opened if need be */
    MEMBER_DIAL,          /* text: a seed or remembered address */
    MEMBER_CONNECT,       /* id: open a control stream to a known node */
    MEMBER_LEARNED,       /* member: new or changed key, boot_no or addresses; tell the channel */
    MEMBER_CHANGED, /* member, change, text = reason: joined, suspect, failed, left, alive again */
    /* member: facts (registry_version too) changed; also comes behind each JOINED */
    MEMBER_FACTS_CHANGED,
    /* id, member (valid until the next step): gone from all tables; drop keys and pointers */
    MEMBER_FORGOTTEN,
    MEMBER_NAME_CLASH,  /* member, other: shown once per pair */
    MEMBER_TOLD_LEAVE,  /* our leave has been sent often enough */
    MEMBER_CACHE_DIRTY, /* the peer cache should be written soon */
    MEMBER_CLONED,      /* member: another process runs with its key (ours too): log an alarm */
};

enum member_change {
    MEMBER_JOINED, /* first seen alive, or back after failed or left, or restarted */
    MEMBER_SUSPECT,
    MEMBER_REFUTED, /* suspect no more: alive again, no event to programs */
    MEMBER_FAILED,  /* once per incarnation */
    MEMBER_LEFT,
};

struct member_action {
    enum member_action_type type;
    enum member_change change;
    struct kith_node_id id;
    uint8_t frame_type;
    const uint8_t *data;
    size_t len;
    const char *text;
    struct member *member;
    struct member *other;
};

/* Owned by the core, valid until the next step. In the order in which they must be done. */
struct member_output {
    struct member_action *actions;
    size_t actions_n;
};

/* 0 or KITH_E_MEMORY, KITH_E_INVALID. */
int member_new(struct member_core **core_out, const struct member_config *config);
void member_free(struct member_core *core);

/*
 * One event. 0; KITH_E_CORRUPT for a message that does not decode (counted, nothing changed);
 * KITH_E_EXISTS, KITH_E_NO_NODE for FORGET; KITH_E_NAME, KITH_E_INVALID for FACTS and SEED;
 * KITH_E_LIMIT for SEED and REMEMBER; KITH_E_MEMORY, with what could still be done in @out.
 *
 * @out is valid and must be carried out whatever is returned.
 */
int member_step(struct member_core *core,
                const struct member_event *event,
                struct member_output *out);
/* When TICK is due; UINT64_MAX before START. */
uint64_t member_deadline_ms(const struct member_core *core);

struct member *member_find(const struct member_core *core, const struct kith_node_id *id);
struct member *member_self(const struct member_core *core);
/* All nodes known, self included: `size_t at = 0; while ((m = member_next(core, &at)))`. */
struct member *member_next(const struct member_core *core, size_t *at);
size_t member_alive_n(const struct member_core *core, bool programs);
uint32_t member_health(const struct member_core *core); /* local health score */

/* Asserts the invariants. */
void member_check(const struct member_core *core);

struct member_stats {
    uint64_t probes, probe_failures, indirect_probes, suspicions, refutations, failures;
    uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out, frames_in, frames_out, bad_messages;
    uint64_t bad_signatures, table_full, suspicions_held, lags;
    uint32_t gossip_queued, suspects;
};
void member_stats(const struct member_core *core, struct member_stats *stats_out);
/* Round trips of all echoes that came back. */
const struct tally *member_rtts(const struct member_core *core);

#endif
