/*
 * The inside of the view core. Files: view.c (life, step), output.c (what a step says),
 * receive.c (messages in), recall.c (what was on disk), peers.c (who is there),
 * mint.c (the first record), voter.c (promises), lead.c (candidate and leader), grant.c (leases),
 * watch.c (who is not heard), plan.c and slots.c (the next record), learn.c (decided records).
 */
#ifndef VIEW_INTERNAL_H
#define VIEW_INTERNAL_H

#include <assert.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/lease.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "view/view.h"
#include "view/wire.h"

#define LEADER_LEASE_MS   4000
#define KEEPER_LEASE_MS   3000
#define HB_MS             500 /* an eighth of the lease that it renews */
#define ASK_MS            1000
#define RESEND_MS         300
#define SILENT_MS         1000 /* twice as long as a keeper is silent at most */
#define PROPOSE_MS        100  /* at most 10 records a second */
#define CALM_MS           500  /* the leader looks for something to do, if nothing happened */
#define SLOT_REST_MS      500 /* what waited for a slot is done before it is moved for good order */
#define CANDIDATE_MIN_MS  1500
#define CANDIDATE_MAX_MS  3000
#define BACKOFF_MAX_MS    10000
#define PRE_RETRY_MS      300 /* who asked whether it would be promised, and got no answer */
#define TURN_MS           60  /* from one voter to the next to ask, when the leader is gone */
#define UNLEASED_ASK_MS   200
#define FETCH_MS          1000
#define FETCH_CALM_MS     5000 /* with a lease: beats tell of new records */
#define EDGE_FETCH_MS     2000
#define SUBSCRIBED_MS     10000
#define REPORT_MS         2500
#define CUT_BATCH_MS      500
#define LINK_COMPLAINT_MS 10000
#define ALONE_MS          5000
#define HOLD_FIRST_MS     10000
#define HOLD_MAX_MS       (10 * 60 * 1000)
#define HOLD_RESET_MS     (60 * 60 * 1000)
#define LAG_MS            500
#define JOINER_MS         3000 /* an ASK counts for so long */
#define HEARD_MS          3000 /* for queries */
#define GENERATION_SHIFT  48

/* A node that may be keeper or voter. */
struct vpeer {
    struct boot_id boot; /* the latest seen; boot_no 0: free */
    bool up, linked, eligible;
    bool refused; /* this boot has an old disk: no voter, no promise of it counts */
    bool full;    /* its disk is */
    bool leaving;
    char name[MEMBER_NAME_BYTES_MAX + 1];
    uint64_t left_boot; /* it said good-bye in this boot */
    uint64_t heard_ms;  /* any message of this boot; 0: none */
    uint64_t said_ms;   /* any message to it; a beat goes to whom nothing else did */
    /* Of its HELLO of this boot. */
    bool hello, answered; /* answered: one of ours, too */
    uint8_t disk_id[PLACEMENT_DISK_BYTES];
    uint64_t hello_epoch;
    bool hello_viewless;
    uint32_t hello_expect, hello_attempt;
    /* Highest boot that this disk was seen with; on disk once persisted >= witness_token. */
    uint64_t witness_boot;
    uint8_t witness_disk[PLACEMENT_DISK_BYTES];
    uint64_t witness_token;
    uint64_t hello_sent_ms;
    /* As leader. */
    uint64_t hb_t;        /* newest HB of our ballot that it acknowledged; 0: none */
    uint64_t asked_ms;    /* last ASK; 0: none */
    uint64_t ask_t;       /* ... when it was sent, on its clock */
    bool ask_waits;       /* ... there was no lease to grant from */
    uint64_t here_ms;     /* it asks without a break since */
    uint64_t decided_ack; /* epoch */
    uint64_t mint_ok;     /* attempt it agreed to; 0: none */
    uint64_t hold_until_ms, hold_ms, excluded_ms; /* hold-down of those that flap */
    uint64_t lost_ms;                             /* ceased to be a keeper; 0: not awaited */
};

/* As leader: what a member of the record was granted, and whether its slots wait. */
struct vgrant {
    uint32_t member_id;
    uint64_t until_ms;
};

/* @from does not hear, or complains of, @to. */
struct vreport {
    uint32_t from, to; /* member ids; from 0: free */
    uint64_t since_ms, last_ms;
};
#define VIEW_REPORTS_MAX (PLACEMENT_KEEPERS_MAX * PLACEMENT_KEEPERS_MAX)

struct vready {
    uint64_t slot_epoch;
    uint32_t released[PLACEMENT_REPLICAS_MAX];
    uint32_t released_n;
};

struct vheld {
    struct vheld *next;
    uint64_t token;
    struct kith_node_id to;
    size_t len;
    uint8_t data[];
};

struct vsubscriber {
    struct kith_node_id node;
    uint64_t at_ms; /* 0: free */
};

struct view_core {
    struct view_config config;
    struct rng rng;
    uint64_t now_ms, start_ms;
    bool started, dead, left;
    bool disk_full;
    uint8_t disk_id[PLACEMENT_DISK_BYTES];
    bool stale;         /* the disk was found to be an old copy; disk_id is a new one */
    uint64_t prev_boot; /* last boot in which this disk was used */

    /* Output. */
    struct view_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;
    struct vheld *held_first, **held_last;
    size_t held_n;
    struct view_put *puts; /* of this step; data in the arena */
    size_t puts_n, puts_cap;
    uint64_t token, persisted;
    int error;

    /* Decided. */
    struct view_record decided; /* placement.epoch 0: none */
    uint8_t decided_bytes[VIEW_RECORD_BYTES_MAX];
    size_t decided_len;
    uint8_t decided_hash[VIEW_HASH_BYTES];
    bool decided_checked; /* by view_check_step() */
    /* Learned, on its way to the disk. */
    struct view_record learned; /* epoch 0: none */
    uint8_t learned_bytes[VIEW_RECORD_BYTES_MAX];
    size_t learned_len;
    uint64_t learned_token;
    struct kith_node_id learned_from; /* is told once it is on disk; zero: nobody */

    /* Voter. */
    struct view_ballot promised;
    uint64_t promised_boot; /* of its node */
    struct view_ballot accepted;
    uint64_t accepted_epoch; /* 0: none */
    uint8_t accepted_bytes[VIEW_RECORD_BYTES_MAX];
    size_t accepted_len;
    uint64_t no_promise_until_ms;
    struct view_ballot lease_ballot; /* whom no_promise_until_ms is for */
    uint64_t lease_boot;             /* ... in this boot */
    bool sitout;                     /* ... as an earlier boot of ours may have promised */
    uint64_t answer_until_ms;        /* the only voter waits for a keeper's answer; 0: not */
    /* Leases that a former leader granted may run until then, though its own is over. */
    uint64_t early_until_ms;
    struct kith_node_id minter; /* committed to: --expect */
    uint64_t minter_boot;
    uint32_t minter_attempt;

    /* Candidate, leader. */
    enum view_role role; /* FOLLOWER, CANDIDATE or LEADER */
    bool pre;            /* candidate: only asking whether it would be promised */
    struct view_ballot ballot;
    uint64_t round_seen;
    bool promises[VIEW_VOTERS_MAX]; /* by place in decided.voters */
    bool early_seen;
    struct view_ballot best; /* highest accepted one that promises named */
    uint8_t best_bytes[VIEW_RECORD_BYTES_MAX];
    size_t best_len;
    uint64_t candidate_at_ms, backoff_ms, unheard_ms;
    bool prepared;  /* leader: a majority of the voters promised this ballot */
    bool settled;   /* a majority of the voters has the decided record */
    bool inherited; /* the proposal under way is a former leader's */
    bool old_voters_on;
    struct view_record old; /* whose voters count too until settled */
    bool proposing;
    struct view_record proposal;
    uint8_t proposal_bytes[VIEW_RECORD_BYTES_MAX];
    size_t proposal_len;
    bool accepts[VIEW_VOTERS_MAX];
    uint64_t proposed_ms, resent_ms, hb_at_ms, elected_ms, lease_seen_ms, raised_ms;
    uint64_t plan_at_ms;
    uint64_t self_hb_t;        /* as vpeer.hb_t, of this node as a voter */
    uint64_t inherit_until_ms; /* every keeper counts as leased until then */
    struct vgrant grants[PLACEMENT_MEMBERS_MAX];
    struct vreport reports[VIEW_REPORTS_MAX];
    struct vready ready[PLACEMENT_SLOTS];
    uint64_t slot_dead_ms[PLACEMENT_SLOTS];   /* since when no replica is left; 0: some is */
    uint64_t slot_active_ms[PLACEMENT_SLOTS]; /* when this leader activated it; 0: it did not */
    uint64_t durable_asked;
    struct view_record want; /* its voters get HB before they are proposed */
    uint64_t want_ms;        /* since when these are wanted; 0: none are */
    bool want_on;
    bool resign;
    bool asks_wait;          /* of some peer */
    struct view_record next; /* scratch of the plan */

    /* Keeper, and everybody. */
    struct view_ballot leader; /* who leads, as far as is known; round 0: unknown */
    uint64_t leader_heard_ms;
    uint64_t ask_at_ms, beat_at_ms, fetch_at_ms, hello_at_ms;
    uint64_t lease_until_ms, lease_told_ms;
    uint32_t missing_told;                             /* by the last ASK */
    uint64_t complaints_ms[PLACEMENT_KEEPERS_MAX * 2]; /* with complaints_of */
    uint32_t complaints_of[PLACEMENT_KEEPERS_MAX * 2];
    struct vready own_ready[PLACEMENT_SLOTS]; /* slots that are filled here, as home */
    bool leaving;
    bool stopped; /* has said good-bye */
    uint32_t expect, attempt;
    bool minting;
    bool minted; /* the first record is ours, and nobody leads yet */
    bool was_leading;
    size_t fetch_turn;

    struct vpeer peers[VIEW_PEERS_MAX];
    size_t peers_n; /* places in use, some free */
    struct vsubscriber subscribers[VIEW_SUBSCRIBERS_MAX];
    struct view_msg in, out; /* scratch */
    struct view_stats stats;
};

/* output.c */
void view_flush_puts(struct view_core *core);
/* What waited for the disk goes out; what we said to ourselves is heard. */
void view_release_held(struct view_core *core);
struct view_action *view_act(struct view_core *core, enum view_action_type type);
void *view_arena(struct view_core *core, size_t len);
void view_put(
    struct view_core *core, const void *key, size_t key_len, const void *data, size_t len);
/* A message with the head filled in; the rest zero. */
struct view_msg *view_msg_new(struct view_core *core, enum view_msg_type type);
/* Sends core->out now, or to ourselves behind this event. */
void view_send(struct view_core *core, const struct kith_node_id *to);
/* ... once everything that was put until now is on disk. */
void view_send_durable(struct view_core *core, const struct kith_node_id *to);
/* The token that PERSISTED must reach for what was put until now. */
uint64_t view_token(const struct view_core *core);

/* receive.c */
int view_receive(struct view_core *core,
                 const struct boot_id *from,
                 const uint8_t *data,
                 size_t len);

/* recall.c */
int view_recall(struct view_core *core, const struct view_event *event);
void view_put_start(struct view_core *core);
void peer_new_disk(struct view_core *core);

/* view.c */
bool view_is_self(const struct view_core *core, const struct kith_node_id *node);
bool view_has(const struct view_core *core); /* a view */
uint64_t view_random_ms(struct view_core *core, uint64_t min_ms, uint64_t max_ms);

/* peers.c */
struct vpeer *peer_find(struct view_core *core, const struct kith_node_id *node);
const struct vpeer *peer_look(const struct view_core *core, const struct kith_node_id *node);
struct vpeer *view_peer_get(struct view_core *core,
                            const struct boot_id *boot); /* NULL: older, full */
void peer_of_record(struct view_core *core);
void peer_hello_send(struct view_core *core, const struct kith_node_id *to, bool asked);
bool peer_asks(const struct view_core *core, const struct vpeer *peer);
void peer_on_hello(struct view_core *core, struct vpeer *peer, const struct view_msg *msg);
void peer_on_refuse(struct view_core *core, const struct view_msg *msg);
void peer_run(struct view_core *core);
/* Does the record name another node as a keeper, and has one answered since our boot that knows
 * nothing newer? */
bool peer_keeper_named(const struct view_core *core);
bool peer_keeper_answered(const struct view_core *core);
int peer_recall(struct view_core *core, const struct view_event *event);
/* May what this node says as a voter of @record count? */
bool peer_votes(const struct view_core *core,
                const struct view_record *record,
                const struct kith_node_id *node);
/* Likewise, of another node, whose entry is @peer, as this voter. */
bool peer_votes_as(const struct view_core *core,
                   const struct vpeer *peer,
                   const struct view_voter *voter);
/* Does this node run on another disk than @disk_id, as its latest boot has said? Then that one is
 * gone. False while it is not known. */
bool peer_has_another_disk(const struct view_core *core,
                           const struct kith_node_id *node,
                           const uint8_t *disk_id);
/* Place among the voters, or -1. */
int voter_place(const struct view_record *record, const struct kith_node_id *node);
bool voter_self(const struct view_core *core, const struct view_record *record);
/* This node's entry, active under this boot, or NULL. */
const struct placement_keeper *keeper_self(const struct view_core *core);
const struct placement_keeper *keeper_active_of(const struct placement *placement,
                                                const struct boot_id *boot);

/* mint.c */
int mint_bootstrap(struct view_core *core, uint32_t expect);
void mint_on_ask(struct view_core *core, struct vpeer *peer, const struct view_msg *msg);
void mint_on_ok(struct view_core *core, struct vpeer *peer, const struct view_msg *msg);
void mint_run(struct view_core *core);
int mint_force(struct view_core *core);

/* voter.c */
void voter_on_prepare(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void voter_on_accept(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void voter_on_hb(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void voter_on_resign(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void voter_start(struct view_core *core);
void voter_run(struct view_core *core);
void voter_led(struct view_core *core);
/* The only voter since its boot, whose disk may be an old copy: nobody has answered yet. */
bool voter_unanswered(const struct view_core *core);
/* Does it hold a leader's lease, other than its own, so that it cannot promise anybody? */
bool voter_holds(const struct view_core *core);
void voter_forget_accepted(struct view_core *core);

/* lead.c */
void lead_on_promise(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void lead_on_nack(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void lead_on_accepted(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void lead_on_hb_ack(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void lead_on_decided_ack(struct view_core *core,
                         const struct boot_id *from,
                         const struct view_msg *m);
void lead_run(struct view_core *core);
/* Somebody was promised @ballot, which is above ours, or led under it: on with a yet higher one, as
 * nobody would take us for the leader; or no further, if our lease is over. */
void lead_outbid(struct view_core *core, const struct view_ballot *ballot);
void lead_step_down(struct view_core *core);
/* Gives the lease back: the voters may promise at once. */
void lead_resign(struct view_core *core);
/* May it grant leases, having decided what a former leader left? */
bool lead_may_grant(const struct view_core *core);
/* A record was installed: by our own proposal, or learned. */
void lead_installed(struct view_core *core, bool voters_changed);
void lead_propose(struct view_core *core, const struct view_record *record);
void lead_expect_leader(struct view_core *core); /* the candidate's timer anew */
void lead_expect_in_turn(struct view_core *core, uint64_t from_ms);
uint64_t lead_until_ms(const struct view_core *core);
uint64_t lead_until_of_ms(const struct view_core *core, const struct view_record *record);
/* Have most voters of @record acknowledged a heartbeat that was sent at @since_ms or later? */
bool lead_answered_since(const struct view_core *core,
                         const struct view_record *record,
                         uint64_t since_ms);

/* grant.c */
void grant_on_ask(struct view_core *core, struct vpeer *peer, const struct view_msg *m);
void grant_on_grant(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void grant_run(struct view_core *core);
void grant_ask(struct view_core *core);
uint64_t grant_until_ms(const struct view_core *core, uint32_t member_id);
void grant_installed(struct view_core *core);

/* watch.c */
void watch_run(struct view_core *core);
void watch_beat_soon(struct view_core *core); /* it is awake anyway */
bool watch_any_report(const struct view_core *core);
void watch_lag(struct view_core *core, uint64_t lag_ms);
void watch_complain(struct view_core *core, uint32_t member_id);
/* Member ids this node does not hear or complains of; returns how many. */
uint32_t watch_missing(struct view_core *core, uint32_t *ids);
void watch_report(struct view_core *core, uint32_t from, const uint32_t *ids, uint32_t n);
/* As leader: members to be excluded now. */
uint32_t watch_exclude(struct view_core *core, uint32_t *ids);

/* plan.c, slots.c */
void plan_run(struct view_core *core);
/* When to look again, if nothing happens before. */
uint64_t plan_again_ms(const struct view_core *core);
void plan_slots(struct view_core *core, struct view_record *next);
bool plan_leaving(struct view_core *core, const struct placement_keeper *keeper);
void plan_choose(struct placement_slot *slot, const uint32_t *replicas, uint32_t n);
void plan_first_slots(struct placement *placement);

/* learn.c */
/* A decided record: to the disk, then installed. False if it is refused. */
bool learn_record(struct view_core *core, const uint8_t *data, size_t len);
void learn_persisted(struct view_core *core);
void learn_on_decided(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void learn_on_fetch(struct view_core *core, const struct boot_id *from, const struct view_msg *m);
void learn_on_beat(struct view_core *core, const struct view_msg *m);
void learn_push(struct view_core *core, const struct kith_node_id *to);
void learn_publish(struct view_core *core);
void learn_run(struct view_core *core);
void learn_ready(struct view_core *core, uint32_t slot, uint8_t flags);
void learn_fetch(struct view_core *core, const struct kith_node_id *from);
void learn_leader(struct view_core *core, const struct view_ballot *ballot);
bool learn_same_chain(const struct view_core *core, const uint8_t *chain);

#endif
