/*
 * A simulated node that runs the shipped membership core behind a stand-in of the channel.
 */
#ifndef SIM_HOST_MEMBER_H
#define SIM_HOST_MEMBER_H

#include "channel.h"
#include "member/member.h"
#include "world.h"

struct hm;

/* What is left of a node on its disk: the peer cache. */
struct hm_disk_peer {
    uint32_t index;
    uint64_t boot_no;
    char address[KITH_ADDRESS_TEXT_MAX + 1];
};
struct hm_disk {
    struct hm_disk_peer *peers;
    size_t peers_n, peers_cap;
};

/* sim_user() of a world whose nodes are struct hm, or begin with one. */
struct hm_world {
    struct member_config config; /* of every node; self, keys, boot, seed and facts are filled in */
    size_t seeds_n;              /* the first so many nodes are everybody's seeds; 0: none */
    struct sim_keys *keys;       /* real keys, or NULL */
    bool disks_off;              /* nothing is remembered across restarts */
    struct hm_disk *disks;       /* by index; made by hm_world_init() */
    size_t wrong_from, wrong_to; /* where hm_agree() last found something wrong */
    /* Called for each MEMBER_CHANGED; may be NULL. */
    void (*changed)(struct hm *hm, const struct member_action *action);
    void *scenario;
};

struct hm {
    struct sim_node *node;
    struct hm_world *hw;
    struct member_core *core;
    struct channel channel;
    uint64_t cache_written_ms;
    bool cache_dirty;
    bool leaves;     /* was asked to */
    bool told_leave; /* has told the others */
    bool stepped;    /* set by each step of the core; for who checks it then */
    uint64_t registry_version;
    /* Every action of the core, before the host acts on it; for hosts that do more. May be NULL. */
    void (*on_action)(struct hm *hm, const struct member_action *action);
};

extern const struct sim_host hm_host;

/* After sim_new(). @hw is zeroed but for what the scenario set. */
void hm_world_init(struct hm_world *hw, struct sim_world *world);
void hm_world_deinit(struct hm_world *hw, struct sim_world *world);

/* For hosts that embed one. hm_step() fills in the time and does what the core says. */
int hm_init(struct hm *hm, struct sim_world *world, struct sim_node *node, uint64_t boot_no);
/* START, what the disk remembers, the seeds. */
void hm_begin(struct hm *hm);
void hm_deinit(struct hm *hm);
void hm_step(struct hm *hm, struct member_event *event);
/* The timer of the node has come: LAG if it came late, and TICK if it is due. */
void hm_tick(struct hm *hm);
void hm_datagram(struct hm *hm,
                 const struct kith_node_id *from,
                 uint64_t boot_no,
                 const uint8_t *data,
                 size_t len);
void hm_frame(struct hm *hm,
              const struct kith_node_id *from,
              uint64_t boot_no,
              uint8_t type,
              const uint8_t *data,
              size_t len);
void hm_link_up(struct hm *hm, const struct kith_node_id *peer, uint64_t boot_no);
void hm_link_down(struct hm *hm, const struct kith_node_id *peer);
void hm_dial_failed(struct hm *hm, const char *address);
/* Our functions have changed: new facts. */
void hm_set_registry_version(struct hm *hm, uint64_t version);

/* Announces that the node leaves; it does so, and is up, until the scenario ends it. */
void hm_leave(struct sim_world *world, size_t index);

/* The node at @index as hm; NULL while it is down. */
struct hm *hm_at(struct sim_world *world, size_t index);
const char *hm_status_text(enum kith_status status); /* "unknown" for 0 */
/* How @from sees @to; 0 if it does not know it (or is down). */
enum kith_status hm_status(struct sim_world *world, size_t from, size_t to);
/* Every node that is up sees exactly those that are up as alive, at their present boot. */
bool hm_agree(struct sim_world *world);
/* Says on the world's log (or to @out) who disagrees about what: the first few. */
void hm_explain(struct sim_world *world, char *out, size_t out_bytes);
/* Starts every node, up to @spread_ms apart, and runs until they agree; false after @limit_ms. */
bool hm_form(struct sim_world *world,
             uint64_t spread_ms,
             uint64_t limit_ms,
             bool (*check)(struct sim_world *world));
/* Runs until hm_agree() or @limit_ms from now; looks every @step_ms. */
bool hm_run_until_agreed(struct sim_world *world,
                         uint64_t limit_ms,
                         uint64_t step_ms,
                         bool (*check)(struct sim_world *world));

#endif
