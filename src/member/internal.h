/*
 * The membership core from inside. One struct, several files, each one concern:
 *
 *     member.c   life, one step, timers            probe.c    SWIM's echo round
 *     table.c    nodes, names, tombstones          suspect.c  suspicion, refutation, failure
 *     news.c     what a claim about a node changes echo.c     detector = echo
 *     gossip.c   the queue of news, datagrams      datagram.c what arrives in a datagram
 *     sync.c     push-pull                         dial.c     seeds and nodes to be found again
 *     params.c   profiles and formulas             facts.c, wire.c  bytes
 *
 * Cost: an event touches a bounded number of nodes and O(log n) of a timer heap. Scans of the table
 * happen per push-pull only.
 */
#ifndef MEMBER_INTERNAL_H
#define MEMBER_INTERNAL_H

#include "core/alloc.h"
#include "core/arena.h"
#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "core/rng.h"
#include "core/tally.h"
#include "kith/error.h"
#include "member/wire.h"

/* A loop late by more than this was asleep, and judges nobody by what it missed (protocols 5.1). */
#define LAG_MS 500
/* At or above this health score a node may suspect but not confirm (protocols 5.3). */
#define HEALTH_NO_CONFIRM 4
/*
 * ... for this times the square of the nodes, at most an hour: a node that still hears nobody then
 * is alone, and says so. That all others went at once is the less likely the more they are: 6 s
 * among 5, 25 s among 10, 40 minutes among 100.
 */
#define CONFIRM_HOLD_MS     250
#define CONFIRM_HOLD_MAX_MS (60 * 60 * 1000)
/* New suspicions that one node takes up in a second (protocols 5.3; consul#5567). */
#define SUSPICIONS_PER_S 5
/* A program that went is forgotten after this. */
#define PROGRAM_TOMBSTONE_MS (60 * 1000)
/* Up to so many nodes a push-pull carries the whole table, above it digests. */
#define SYNC_WHOLE_MAX   32
#define GOSSIP_SENDS_MAX 24 /* 4 * ceil(log10(MEMBER_NODES_MAX + 1)) and some */

enum timer_kind {
    TIMER_PROBE,
    TIMER_GOSSIP,
    TIMER_PUSH_PULL,
    TIMER_DIAL,
    TIMER_NODE,
    TIMER_RELAY,
    TIMER_SEED,
    TIMER_TOMB,
};

struct timer {
    struct heap_node at;
    enum timer_kind kind;
};

enum gossip_slot {
    GOSSIP_STATUS,   /* ALIVE, SUSPECT or FAILED, whichever holds when it is sent */
    GOSSIP_FACTS,    /* the signed record; says LEFT too */
    GOSSIP_REGISTRY, /* registry_version */
    GOSSIP_SLOTS,
};

struct gossip_item {
    struct list link;   /* in gossip.by_sends[sends] */
    struct mnode *node; /* or NULL: */
    struct tomb *tomb;
    uint8_t slot;
    uint8_t sends;
};

struct suspicion {
    struct list link; /* in suspects */
    struct mnode *node;
    uint64_t started_ms;
    uint64_t accusers[MEMBER_ACCUSERS_MAX];
    uint8_t accusers_n;
    bool by_self;     /* one of them is this node */
    bool last_chance; /* told directly once more, the answer is awaited */
};

/* A node; what others may see of it comes first. */
struct mnode {
    struct member pub;
    uint8_t *block;        /* pointers to addresses, then the record */
    const uint8_t *record; /* in block; NULL if not signed (remembered) */
    uint32_t record_len;
    uint8_t record_flags;
    bool record_current;         /* the record is of pub.boot_no */
    bool remembered;             /* from the peer cache, not yet met in this life */
    bool sync_owed;              /* its link came up and we did not ask: its HELLO makes us */
    char *own_shown;             /* shown name with its number, or NULL: facts.name */
    uint32_t all_at;             /* place in all[] */
    uint32_t here_at;            /* place in here[] + 1; 0: not alive or suspect, or self */
    struct timer timer;          /* suspicion, echo or end of the tombstone, as its status says */
    struct suspicion *suspicion; /* while suspect */
    struct gossip_item *gossip[GOSSIP_SLOTS];
    struct list gone_link;   /* in failed or left; then oldest first */
    struct mnode *name_next; /* others of the same name */
    uint64_t sync_mark;      /* equal at both sides in this push-pull */
    uint64_t told_ms;        /* when it was last told, unasked, what we think of it */
    uint32_t name_no;        /* 1: the plain name; else own_shown ends with it */
    uint32_t dials;          /* attempts to find it again */
    /* detector = echo */
    uint32_t echo_seq;
    uint64_t echo_sent_ms; /* 0: none under way */
    uint64_t echo_sent_us;
    uint64_t echo_resend_ms;
};

/* A node forgotten on purpose: claims about it up to (boot_no, n) are not news. */
struct tomb {
    struct kith_node_id id;
    uint64_t boot_no;
    uint64_t n;
    uint64_t until_ms;
    struct timer timer;
    struct list link; /* in tombs_by_age */
    struct gossip_item *gossip;
};

#define PROBE_RELAYS_MAX 16

enum probe_phase { PROBE_IDLE, PROBE_DIRECT, PROBE_INDIRECT };

struct probe {
    enum probe_phase phase;
    struct mnode *target;
    uint32_t seq;
    uint64_t sent_us;
    uint64_t round_end_ms;
    uint32_t relays_n; /* asked with a nack wanted */
    uint32_t nacks;
    struct kith_node_id relays[PROBE_RELAYS_MAX];
    bool relay_answered[PROBE_RELAYS_MAX];
    bool resent; /* the answer is no sample of the round trip then */
};

struct relay {
    struct timer timer;
    struct kith_node_id origin;
    struct kith_node_id target;
    uint32_t origin_seq;
    uint32_t seq;
    bool used;
};

struct seed {
    struct timer timer;
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    struct kith_node_id id; /* who answered there last */
    bool id_known;
    uint32_t tries;
};

struct packet {
    struct kith_node_id to;
    uint8_t *data;
    size_t len;
    unsigned messages;
};

/* A group of nodes that have one name. */
struct name_group {
    struct mnode *first;
    char name[MEMBER_NAME_BYTES_MAX + 1];
};

struct member_core {
    struct member_config config; /* with the profile's values filled in */
    struct member_stats stats;
    struct rng rng;
    uint64_t now_ms;
    uint64_t now_us;
    bool started;
    bool leaving;
    bool left_told;
    bool clone_told;
    bool cache_dirty;
    int error; /* of this step */

    /* nodes */
    struct mapid by_id;
    struct maptext by_name;
    struct mnode **all;
    size_t all_n, all_cap;
    struct mnode **here; /* alive and suspect others; the order of probing */
    size_t here_n, here_cap;
    size_t here_cursor;
    size_t alive_n, alive_programs_n; /* with self */
    struct mnode *self;
    struct list failed; /* to be found again */
    struct list left;   /* left nodes, and programs that failed */
    struct list suspects;
    struct mapid tombs;
    struct list tombs_by_age;
    struct mnode *graveyard; /* forgotten in this step; linked by name_next */

    /* own facts */
    struct member_facts facts;
    uint64_t facts_version;
    bool load_known;
    struct member_load load;
    uint64_t load_at_ms;

    /* timers */
    struct heap timers;
    struct timer probe_timer, gossip_timer, push_pull_timer, dial_timer;

    /* detection */
    struct probe probe;
    uint32_t health;
    uint32_t srtt_us;  /* over all peers; 0: none yet */
    struct tally rtts; /* of echoes that came back */
    uint32_t seq;
    struct relay *relays; /* MEMBER_RELAYS_MAX, made at first use */
    uint32_t relay_next;
    uint64_t lag_handled_ms;
    uint64_t suspicion_second;
    uint32_t suspicions_in_second;

    /* gossip */
    struct list by_sends[GOSSIP_SENDS_MAX + 1];
    uint32_t gossip_n;
    uint64_t gossip_next_ms;
    size_t gossip_cursor; /* in here[] */

    /* push-pull */
    uint64_t sync_no;
    uint32_t sync_turn; /* push-pulls since we met a stranger; the first ones follow sooner */
    uint64_t stranger_next_ms;      /* when a stranger's datagram may make us ask it again */
    struct kith_node_id fresh_from; /* who told us the table when we knew nobody */
    uint64_t fresh_until_ms;

    /* dialling */
    struct seed *seeds[NET_SEEDS_MAX];
    size_t seeds_n;
    uint32_t dial_passes;
    size_t dial_left; /* of this pass over the failed nodes */

    /* output */
    struct member_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;
};

/* ---- params.c ---- */
int params_fill(struct member_config *config); /* 0 or KITH_E_INVALID */
uint32_t params_retransmits(size_t nodes_n);
/* Suspicion: shortest, longest, and the confirmations that lead from one to the other. */
void params_suspicion(const struct member_core *core,
                      uint64_t *min_ms,
                      uint64_t *max_ms,
                      uint32_t *k);
uint64_t params_suspicion_ms(uint64_t min_ms, uint64_t max_ms, uint32_t k, uint32_t confirmations);
uint64_t params_push_pull_ms(const struct member_core *core);

/* ---- member.c ---- */
void *core_arena(struct member_core *core,
                 size_t len); /* until the next step; NULL: error is set */
struct member_action *core_act(struct member_core *core, enum member_action_type type);
const char *core_text(struct member_core *core, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void core_timer_set(struct member_core *core, struct timer *timer, uint64_t at_ms);
void core_timer_stop(struct member_core *core, struct timer *timer);
static inline bool core_alone(const struct member_core *core)
{
    return core->here_n == 0;
}
/* Nodes that are here, this one included: the n of all formulas. */
static inline size_t core_n(const struct member_core *core)
{
    return core->here_n + 1;
}
static inline struct mnode *core_node(struct member *member)
{
    return (struct mnode *)(void *)member;
}
static inline bool id_equal(const struct kith_node_id *a, const struct kith_node_id *b)
{
    return memcmp(a->bytes, b->bytes, KITH_NODE_ID_BYTES) == 0;
}
/* What stands for a node among accusers. */
static inline uint64_t id_token(const struct kith_node_id *id)
{
    return get_le64(id->bytes);
}
/* Our own record again, after our facts, boot_no or leaving changed. */
void core_sign(struct member_core *core);

/* ---- table.c ---- */
struct mnode *table_find(const struct member_core *core, const struct kith_node_id *id);
/* NULL if the table is full or memory short. Status 0: the caller gives it one. */
struct mnode *table_add(struct member_core *core, const struct kith_node_id *id);
/* Takes the facts of @record over. False if memory is short (unchanged). */
bool table_set_record(struct member_core *core,
                      struct mnode *node,
                      const struct facts_record *record);
/* As table_set_record() for a node of the peer cache. */
bool table_set_unsigned(struct member_core *core, struct mnode *node, const struct member *peer);
/* Moves it between here, failed and left, keeps the counters and timers; tells nobody. */
void table_set_status(struct member_core *core, struct mnode *node, enum kith_status status);
void table_remove(struct member_core *core, struct mnode *node); /* FORGOTTEN is told */
void table_bury(struct member_core *core); /* frees what the last step removed */
uint64_t
table_keep_ms(const struct member_core *core, enum kith_role role, enum kith_status status);
struct tomb *tomb_find(const struct member_core *core, const struct kith_node_id *id);
struct tomb *tomb_set(struct member_core *core,
                      const struct kith_node_id *id,
                      uint64_t boot_no,
                      uint64_t n,
                      uint64_t for_ms);
void tomb_remove(struct member_core *core, struct tomb *tomb);
/* Is (boot_no, n) no news to this tombstone? */
static inline bool tomb_covers(const struct tomb *tomb, uint64_t boot_no, uint64_t n)
{
    return boot_no < tomb->boot_no || (boot_no == tomb->boot_no && n <= tomb->n);
}
/* A node that is alive, not @not1 nor @not2, at random; NULL if none was found. */
struct mnode *table_random(struct member_core *core,
                           const struct mnode *not1,
                           const struct mnode *not2,
                           bool suspects_too);
/* Up to @max distinct ones. */
size_t table_random_n(struct member_core *core,
                      struct mnode **out,
                      size_t max,
                      const struct mnode *not1,
                      const struct mnode *not2,
                      bool suspects_too);
void table_probe_next(struct member_core *core, struct mnode *node);

/* ---- news.c ---- */
enum news_origin {
    NEWS_GOSSIP,
    NEWS_SYNC,       /* push-pull */
    NEWS_SYNC_FRESH, /* push-pull while we knew nobody: the others know it all already */
};
struct claim {
    struct facts_record *record; /* its head; the rest once it is verified */
    uint64_t n;
    uint64_t registry_version;
    enum kith_status status; /* of push-pull; ALIVE from gossip */
    uint64_t age_ms;
};
/* Would the record replace what we have? Only then is its signature worth checking. */
bool news_is_new(const struct member_core *core, const struct facts_record *record, uint64_t n);
void news_facts(struct member_core *core, const struct claim *claim, enum news_origin origin);
void news_alive(struct member_core *core,
                const struct kith_node_id *id,
                uint64_t boot_no,
                uint64_t n);
void news_registry(struct member_core *core,
                   const struct kith_node_id *id,
                   uint64_t boot_no,
                   uint64_t version);
void news_forgotten(struct member_core *core,
                    const struct kith_node_id *id,
                    uint64_t boot_no,
                    uint64_t n,
                    uint64_t remaining_ms);
/*
 * @id made contact with a proven @boot_no: a restart shows. False if it is an older boot's.
 * *node_out is NULL for a stranger.
 */
bool news_contact(struct member_core *core,
                  const struct kith_node_id *id,
                  uint64_t boot_no,
                  struct mnode **node_out);
void news_told(struct member_core *core,
               struct mnode *node,
               enum member_change change,
               const char *reason);
/* We are called suspect, failed or forgotten at @n: say that we live, above it. */
void news_refute(struct member_core *core, uint64_t n);

/* ---- suspect.c ---- */
/* @accusers may be empty (hearsay of a push-pull). */
void suspect_claim(struct member_core *core,
                   struct mnode *node,
                   uint64_t n,
                   const uint64_t *accusers,
                   size_t accusers_n);
void suspect_own(struct member_core *core, struct mnode *node); /* our probe failed */
void suspect_end(struct member_core *core, struct mnode *node); /* frees; status is the caller's */
void suspect_expired(struct member_core *core, struct mnode *node);
void suspect_shift(struct member_core *core, uint64_t lag_ms);
void suspect_failed(struct member_core *core, struct mnode *node, uint64_t n, const char *reason);
/* Puts the message that tells @node what we think of it; false if we think well. */
bool suspect_tell(struct member_core *core, struct packet *packet, struct mnode *node);

/* ---- gossip.c ---- */
void gossip_queue(struct member_core *core, struct mnode *node, enum gossip_slot slot);
void gossip_queue_tomb(struct member_core *core, struct tomb *tomb);
void gossip_drop_item(struct member_core *core, struct gossip_item *item);
void gossip_drop_node(struct member_core *core, struct mnode *node);
void gossip_round(struct member_core *core);
bool packet_begin(struct member_core *core, struct packet *packet, const struct kith_node_id *to);
bool packet_put(struct member_core *core, struct packet *packet, const struct msg *msg);
void packet_put_seq(struct member_core *core,
                    struct packet *packet,
                    enum msg_type type,
                    uint32_t seq);
/* Fills the rest with gossip and sends, if there is anything in it. */
void packet_send(struct member_core *core, struct packet *packet);
void gossip_msg_of(const struct member_core *core, const struct mnode *node, struct msg *msg);

/* ---- probe.c ---- */
void probe_start(struct member_core *core);
void probe_timer(struct member_core *core);
void probe_forget(struct member_core *core, const struct mnode *node);
void probe_lag(struct member_core *core);
void probe_on_ack(struct member_core *core, struct mnode *from, uint32_t seq, bool relayed);
void probe_on_nack(struct member_core *core, const struct kith_node_id *from, uint32_t seq);
void probe_on_request(struct member_core *core,
                      const struct kith_node_id *from,
                      const struct msg *request);
void probe_relay_timer(struct member_core *core, struct relay *relay);
void probe_ping(struct member_core *core, struct mnode *target, uint32_t seq);
uint32_t probe_seq(struct member_core *core, uint32_t low);
void probe_sample_rtt(struct member_core *core, struct mnode *node, uint64_t sent_us);
void health_add(struct member_core *core, int delta);
#define SEQ_PROBE 0xff /* low byte of our own probes; below: the relay's place */

/* ---- echo.c ---- */
void echo_add(struct member_core *core, struct mnode *node); /* it is here now */
void echo_timer(struct member_core *core, struct mnode *node);
void echo_now(struct member_core *core, struct mnode *node);
void echo_on_ack(struct member_core *core, struct mnode *from, uint32_t seq);
void echo_shift(struct member_core *core, uint64_t lag_ms);

/* ---- datagram.c ---- */
int datagram_in(struct member_core *core, const struct member_event *event);

/* ---- sync.c ---- */
void sync_start(struct member_core *core);
void sync_timer(struct member_core *core);
void sync_link_up(struct member_core *core, const struct kith_node_id *id, uint64_t boot_no);
int sync_frame_in(struct member_core *core, const struct member_event *event);
void sync_ask(struct member_core *core, const struct kith_node_id *to);

/* ---- dial.c ---- */
int dial_add_seed(struct member_core *core, const char *text);
void dial_start(struct member_core *core);
void dial_timer(struct member_core *core);
void dial_seed_timer(struct member_core *core, struct seed *seed);
void dial_failed(struct member_core *core, const char *text);
void dial_link_up(struct member_core *core, const struct kith_node_id *id, const char *text);
void dial_soon(struct member_core *core); /* we are alone, or there is somebody to look for */

#endif
