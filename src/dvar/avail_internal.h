/*
 * The core of available variables from inside:
 *
 *     avail.c       life, the table, timers      avail_gossip.c  states and acks
 *     avail_op.c    local operations             avail_sync.c    digests
 *     avail_state.c, avail_items.c  joins
 */
#ifndef DVAR_AVAIL_INTERNAL_H
#define DVAR_AVAIL_INTERNAL_H

#include <assert.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "dvar/avail.h"

/* The digest tree: 64 groups of 64 leaves. */
#define GROUPS_N     64
#define GROUP_LEAVES 64
#define LEAVES_N     (GROUPS_N * GROUP_LEAVES)

/* One message is filled up to here; a larger state travels alone. */
#define MESSAGE_FILL_BYTES (48 * 1024)
/* What is passed on waits a little: most have it from whom it came from. */
#define RELAY_MS 100

enum avail_message {
    AVAIL_MSG_STATES = 1,
    AVAIL_MSG_ACKS = 2,
    AVAIL_MSG_SUMS = 3,
    AVAIL_MSG_GROUPS = 4,
    AVAIL_MSG_LEAVES = 5,
    AVAIL_MSG_WANT = 6,
};

struct avail_entry {
    uint64_t name_hash;
    uint64_t state_hash;
    uint8_t *state;
    size_t len;
    uint64_t version;
    uint64_t ack_version;  /* the last one whose ACKED is owed; 0: none */
    struct list leaf;      /* in leaves[] */
    struct list fresh;     /* to be sent to all (@to_all), and kept on disk */
    struct list relay;     /* to be passed on */
    struct list ack;       /* in acks, while ack_version is set */
    struct heap_node fade; /* dead: when it fades, then when it goes */
    bool dead;
    bool faded; /* counted in no digest any more, sent to nobody */
    bool to_all;
    bool unsaved;
    uint32_t from; /* avail_peer_hash() of who brought what is to be passed on; 0: nobody */
    char name[];
};

struct avail_peer {
    struct kith_node_id id;
    uint32_t ahead_n; /* moments refused since ahead_since_ms */
    uint64_t ahead_since_ms;
    uint64_t quarantined_until_ms;
    uint64_t sync_at_ms; /* compare again at once, there was more; UINT64_MAX */
};

struct avail_core {
    struct avail_config config;
    struct rng rng;
    bool started;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t versions; /* given out so far */
    struct maptext entries;
    struct list leaves[LEAVES_N];
    uint64_t sums[LEAVES_N];
    struct list fresh;
    struct list relay;
    struct list acks;
    struct heap fading;
    uint64_t flush_at_ms; /* UINT64_MAX: nothing is fresh */
    uint64_t flushed_ms;
    uint64_t relay_at_ms;
    uint64_t ack_at_ms;
    uint64_t sync_at_ms;
    struct avail_peer peers[AVAIL_PEERS_MAX];
    uint32_t peers_n;
    uint32_t peer_next; /* the next to sync with, and to pass on to */
    struct avail_action *actions;
    size_t actions_n;
    size_t actions_cap;
    uint8_t **blocks; /* bytes of this step's actions */
    size_t blocks_n;
    size_t blocks_cap;
    int error;
    struct buf scratch;
    struct avail_stats stats;
};

/* ---- avail.c ---- */

/* NULL if memory is short (core->error is set then). Zeroed but for the type. */
struct avail_action *avail_act(struct avail_core *core, enum avail_action_type type);
/* Takes the bytes of @buf over for this step; false if memory is short (they are freed). */
bool avail_keep(struct avail_core *core, struct buf *buf, struct kith_bytes *bytes_out);
/* How long ago a dead entry that has not faded died, as far as is known. */
uint64_t avail_age_ms(const struct avail_core *core, const struct avail_entry *entry);
uint64_t avail_fade_ms(const struct avail_core *core);
struct avail_entry *avail_find(const struct avail_core *core, const char *name);
/*
 * Makes @state (checked; copied) that of @name, new if @entry is NULL. NULL, with nothing changed
 * and core->error or kith_errmsg() set, if a limit is reached or memory is short. @age_ms: of a
 * dead one.
 */
struct avail_entry *avail_put(struct avail_core *core,
                              struct avail_entry *entry,
                              const char *name,
                              const void *state,
                              size_t len,
                              uint64_t age_ms);
static inline struct state avail_view(const struct avail_entry *entry)
{
    return entry != NULL ? state_view(entry->state, entry->len) : (struct state){0};
}
void avail_mark_fresh(struct avail_core *core, struct avail_entry *entry, bool to_all);
void avail_mark_relay(struct avail_core *core, struct avail_entry *entry);
static inline uint32_t avail_peer_hash(const struct kith_node_id *id)
{
    return (uint32_t)mapid_hash(id) | 1;
}
struct avail_peer *avail_peer_find(struct avail_core *core, const struct kith_node_id *id);

/* ---- avail_op.c ---- */

void avail_on_op(struct avail_core *core, const struct avail_op *op);

/* ---- avail_gossip.c ---- */

/* A message to @peer that is being filled. Begins a new one where the last is full. */
struct avail_packet {
    struct kith_node_id to;
    struct buf buf;
    size_t sent_bytes;
};
bool avail_packet_state(struct avail_core *core,
                        struct avail_packet *packet,
                        const struct avail_entry *entry);
void avail_packet_send(struct avail_core *core, struct avail_packet *packet);
/* Sends @buf (taken over) as a frame. */
void avail_send(struct avail_core *core, const struct kith_node_id *to, struct buf *buf);
void avail_flush(struct avail_core *core);
void avail_relay(struct avail_core *core);
int avail_on_states(struct avail_core *core, struct avail_peer *from, struct reader *r);
int avail_on_acks(struct avail_core *core, struct avail_peer *from, struct reader *r);

/* ---- avail_sync.c ---- */

uint64_t avail_leaf_sum(const struct avail_entry *entry);
void avail_sync_start(struct avail_core *core, struct avail_peer *peer);
int avail_on_sums(struct avail_core *core, struct avail_peer *from, struct reader *r);
int avail_on_groups(struct avail_core *core, struct avail_peer *from, struct reader *r);
int avail_on_leaves(struct avail_core *core, struct avail_peer *from, struct reader *r);
int avail_on_want(struct avail_core *core, struct avail_peer *from, struct reader *r);

#endif
