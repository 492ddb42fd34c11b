/*
 * Drives the membership core in the simulated world as src/node does on libuv: reads the clock,
 * decodes nothing, calls step, does what it says, arms one timer.
 */
#include "host_member.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

#define CACHE_PERIOD_MS 5000 /* the peer cache is written lazily, at most this often */
#define LAG_MS          50   /* a loop that is later than this says so */

void hm_world_init(struct hm_world *hw, struct sim_world *world)
{
    hw->disks = sim_realloc(NULL, sim_nodes_n(world), sizeof(*hw->disks));
    memset(hw->disks, 0, sim_nodes_n(world) * sizeof(*hw->disks));
}

void hm_world_deinit(struct hm_world *hw, struct sim_world *world)
{
    for (size_t i = 0; hw->disks != NULL && i < sim_nodes_n(world); i++)
        free(hw->disks[i].peers);
    free(hw->disks);
    hw->disks = NULL;
    keys_free(hw->keys);
    hw->keys = NULL;
}

/* ---- the disk ---- */

static void disk_write(struct hm *hm)
{
    struct hm_disk *disk = &hm->hw->disks[sim_node_index(hm->node)];
    struct sim_world *world = sim_node_world(hm->node);
    struct member *member;
    size_t at = 0;

    disk->peers_n = 0;
    while ((member = member_next(hm->core, &at)) != NULL) {
        struct sim_node *node = sim_node_by_id(world, &member->id);

        if (node == NULL || node == hm->node)
            continue;
        if (disk->peers_n == disk->peers_cap) {
            disk->peers_cap = disk->peers_cap > 0 ? 2 * disk->peers_cap : 16;
            disk->peers = sim_realloc(disk->peers, disk->peers_cap, sizeof(*disk->peers));
        }
        struct hm_disk_peer *peer = &disk->peers[disk->peers_n++];
        peer->index = (uint32_t)sim_node_index(node);
        peer->boot_no = member->boot_no;
        snprintf(peer->address, sizeof(peer->address), "%s",
                 member->facts.addresses_n > 0 ? member->facts.addresses[0] : "");
    }
    hm->cache_dirty = false;
}

static void disk_maybe_write(struct hm *hm, uint64_t now_ms)
{
    if (!hm->cache_dirty || hm->hw->disks_off || now_ms - hm->cache_written_ms < CACHE_PERIOD_MS)
        return;
    hm->cache_written_ms = now_ms;
    disk_write(hm);
}

static void remember(struct hm *hm, const struct hm_disk_peer *from)
{
    struct sim_node *node = sim_node_at(sim_node_world(hm->node), from->index);
    const char *address = from->address;
    char name[32];
    struct member peer = {.id = sim_node_id(node), .boot_no = from->boot_no};

    snprintf(name, sizeof(name), "node-%" PRIu32, from->index);
    keys_public(hm->hw->keys, node, peer.sign_pk);
    peer.facts.name = name;
    peer.facts.version = "";
    peer.facts.role = KITH_ROLE_NODE;
    peer.facts.addresses = &address;
    peer.facts.addresses_n = address[0] != '\0';
    peer.shown_name = name;
    hm_step(hm, &(struct member_event){.type = MEMBER_REMEMBER, .peer = &peer});
}

/* ---- life ---- */

static struct member_facts facts_of(struct hm *hm)
{
    struct member_facts facts = {.role = KITH_ROLE_NODE,
                                 .cpus = 8,
                                 .cores = 4,
                                 .memory_bytes = UINT64_C(16) << 30,
                                 .addresses_n = 1,
                                 .registry_version = hm->registry_version};

    snprintf(facts.name, sizeof(facts.name), "node-%zu", sim_node_index(hm->node));
    snprintf(facts.version, sizeof(facts.version), "0.1.0");
    snprintf(facts.addresses[0], sizeof(facts.addresses[0]), "%s", sim_node_address(hm->node));
    facts.born_unix_ms = UINT64_C(1700000000000) + sim_node_index(hm->node);
    return facts;
}

int hm_init(struct hm *hm, struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct hm_world *hw = sim_user(world);
    struct member_config config = hw->config;

    hm->node = node;
    hm->hw = hw;
    hm->cache_written_ms = sim_now_ns(node) / 1000000;
    config.self = sim_node_id(node);
    keys_public(hw->keys, node, config.sign_pk);
    config.boot_no = boot_no;
    config.seed = sim_node_seed(node);
    config.crypto = keys_crypto(hw->keys, node);
    config.datagram_bytes_max = CHANNEL_BODY_BYTES_MAX;
    config.facts = facts_of(hm);
    channel_init(&hm->channel, node, hw->keys);
    return member_new(&hm->core, &config);
}

void hm_begin(struct hm *hm)
{
    struct sim_world *world = sim_node_world(hm->node);
    struct hm_disk *disk = &hm->hw->disks[sim_node_index(hm->node)];
    struct member_load load = {.memory_available_bytes = UINT64_C(8) << 30, .load_milli = 500};

    hm_step(hm, &(struct member_event){.type = MEMBER_START});
    hm_step(hm, &(struct member_event){.type = MEMBER_LOAD, .load = &load});
    for (size_t i = 0; i < disk->peers_n; i++)
        remember(hm, &disk->peers[i]);
    for (size_t i = 0; i < hm->hw->seeds_n && i < sim_nodes_n(world); i++) {
        struct sim_node *seed = sim_node_at(world, i);

        if (seed != hm->node)
            hm_step(hm,
                    &(struct member_event){.type = MEMBER_SEED, .text = sim_node_address(seed)});
    }
}

void hm_deinit(struct hm *hm)
{
    member_free(hm->core);
    channel_deinit(&hm->channel);
}

/* ---- the driver ---- */

static void do_action(struct hm *hm, const struct member_action *action)
{
    switch (action->type) {
    case MEMBER_SEND_DATAGRAM:
        channel_send(&hm->channel, &action->id, action->data, action->len);
        break;
    case MEMBER_SEND_FRAME:
        sim_send_frame(hm->node, &action->id, NET_CONTROL, action->frame_type, NULL, 0,
                       action->data, action->len);
        break;
    case MEMBER_DIAL:
        sim_dial(hm->node, action->text);
        break;
    case MEMBER_CONNECT:
        sim_connect(hm->node, &action->id, NET_CONTROL);
        break;
    case MEMBER_LEARNED:
        channel_learn(&hm->channel, &action->member->id, action->member->boot_no,
                      action->member->facts.addresses_n > 0 ? action->member->facts.addresses[0]
                                                            : NULL);
        break;
    case MEMBER_FORGOTTEN:
        channel_forget(&hm->channel, &action->id);
        break;
    case MEMBER_CHANGED:
        if (hm->hw->changed != NULL)
            hm->hw->changed(hm, action);
        break;
    case MEMBER_TOLD_LEAVE:
        hm->told_leave = true;
        break;
    case MEMBER_CACHE_DIRTY:
        hm->cache_dirty = true;
        break;
    case MEMBER_FACTS_CHANGED:
    case MEMBER_NAME_CLASH:
    case MEMBER_CLONED:
        break;
    }
}

void hm_step(struct hm *hm, struct member_event *event)
{
    struct member_output out = {0};
    uint64_t now_ns = sim_now_ns(hm->node);

    event->now_ms = now_ns / 1000000;
    event->now_us = now_ns / 1000;
    hm->stepped = true;
    int r = member_step(hm->core, event, &out);
    if (r < 0 && r != KITH_E_EXISTS && r != KITH_E_NO_NODE)
        sim_violation(sim_node_world(hm->node), "node %zu: member_step of event %d gives %d",
                      sim_node_index(hm->node), (int)event->type, r);
    for (size_t i = 0; i < out.actions_n; i++) {
        if (hm->on_action != NULL)
            hm->on_action(hm, &out.actions[i]);
        do_action(hm, &out.actions[i]);
    }
    disk_maybe_write(hm, event->now_ms);
}

void hm_tick(struct hm *hm)
{
    uint64_t now_ms = sim_now_ns(hm->node) / 1000000;
    uint64_t deadline_ms = member_deadline_ms(hm->core);

    if (deadline_ms > now_ms)
        return;
    if (now_ms - deadline_ms > LAG_MS)
        hm_step(hm, &(struct member_event){.type = MEMBER_LAG, .lag_ms = now_ms - deadline_ms});
    hm_step(hm, &(struct member_event){.type = MEMBER_TICK});
}

void hm_datagram(struct hm *hm,
                 const struct kith_node_id *from,
                 uint64_t boot_no,
                 const uint8_t *data,
                 size_t len)
{
    struct kith_bytes body;

    if (!channel_receive(&hm->channel, from, boot_no, data, len, &body))
        return;
    hm_step(hm, &(struct member_event){.type = MEMBER_DATAGRAM,
                                       .id = *from,
                                       .boot_no = boot_no,
                                       .data = body.data,
                                       .len = body.len});
}

void hm_frame(struct hm *hm,
              const struct kith_node_id *from,
              uint64_t boot_no,
              uint8_t type,
              const uint8_t *data,
              size_t len)
{
    hm_step(hm, &(struct member_event){.type = MEMBER_FRAME,
                                       .id = *from,
                                       .boot_no = boot_no,
                                       .frame_type = type,
                                       .data = data,
                                       .len = len});
}

void hm_link_up(struct hm *hm, const struct kith_node_id *peer, uint64_t boot_no)
{
    struct sim_node *node = sim_node_by_id(sim_node_world(hm->node), peer);
    uint8_t sign_pk[32];

    keys_public(hm->hw->keys, node, sign_pk);
    channel_learn(&hm->channel, peer, boot_no, sim_node_address(node));
    hm_step(hm, &(struct member_event){.type = MEMBER_LINK_UP,
                                       .id = *peer,
                                       .boot_no = boot_no,
                                       .sign_pk = sign_pk,
                                       .text = sim_node_address(node)});
}

void hm_link_down(struct hm *hm, const struct kith_node_id *peer)
{
    hm_step(hm, &(struct member_event){.type = MEMBER_LINK_DOWN, .id = *peer});
}

void hm_dial_failed(struct hm *hm, const char *address)
{
    hm_step(hm, &(struct member_event){
                    .type = MEMBER_DIAL_FAILED, .text = address, .code = KITH_E_UNREACHABLE});
}

void hm_set_registry_version(struct hm *hm, uint64_t version)
{
    hm->registry_version = version;
    struct member_facts facts = facts_of(hm);
    hm_step(hm, &(struct member_event){.type = MEMBER_FACTS, .facts = &facts});
}

/* ---- a node that runs membership and nothing else ---- */

static void arm(struct hm *hm)
{
    sim_set_timer(hm->node, member_deadline_ms(hm->core));
}

static void *host_boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct hm *hm = sim_realloc(NULL, 1, sizeof(*hm));

    memset(hm, 0, sizeof(*hm));
    if (hm_init(hm, world, node, boot_no) < 0) {
        channel_deinit(&hm->channel);
        free(hm);
        return NULL;
    }
    hm_begin(hm);
    arm(hm);
    return hm;
}

static void host_crash(void *state)
{
    hm_deinit(state);
    free(state);
}

static void host_datagram(
    void *state, const struct kith_node_id *from, uint64_t boot_no, const uint8_t *data, size_t len)
{
    hm_datagram(state, from, boot_no, data, len);
    arm(state);
}

static void host_frame(void *state,
                       const struct kith_node_id *from,
                       uint64_t boot_no,
                       uint8_t net_class,
                       uint8_t type,
                       const uint8_t *data,
                       size_t len)
{
    if (net_class == NET_CONTROL)
        hm_frame(state, from, boot_no, type, data, len);
    arm(state);
}

static void
host_link_up(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class)
{
    if (net_class == NET_CONTROL)
        hm_link_up(state, peer, boot_no);
    arm(state);
}

static void host_link_down(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    if (net_class == NET_CONTROL)
        hm_link_down(state, peer);
    arm(state);
}

static void host_dial_failed(void *state, const char *address)
{
    hm_dial_failed(state, address);
    arm(state);
}

static void host_timer(void *state)
{
    hm_tick(state);
    arm(state);
}

const struct sim_host hm_host = {
    .boot = host_boot,
    .crash = host_crash,
    .datagram = host_datagram,
    .frame = host_frame,
    .link_up = host_link_up,
    .link_down = host_link_down,
    .dial_failed = host_dial_failed,
    .timer = host_timer,
};

/* ---- what scenarios ask ---- */

struct hm *hm_at(struct sim_world *world, size_t index)
{
    return sim_node_state(sim_node_at(world, index));
}

void hm_leave(struct sim_world *world, size_t index)
{
    struct hm *hm = hm_at(world, index);

    hm_step(hm, &(struct member_event){.type = MEMBER_LEAVE});
    arm(hm);
}

const char *hm_status_text(enum kith_status status)
{
    switch (status) {
    case KITH_STATUS_ALIVE:
        return "alive";
    case KITH_STATUS_SUSPECT:
        return "suspect";
    case KITH_STATUS_FAILED:
        return "failed";
    case KITH_STATUS_LEFT:
        return "left";
    }
    return "unknown";
}

enum kith_status hm_status(struct sim_world *world, size_t from, size_t to)
{
    struct hm *hm = hm_at(world, from);
    struct kith_node_id id = sim_node_id(sim_node_at(world, to));
    struct member *member = hm != NULL ? member_find(hm->core, &id) : NULL;

    return member != NULL ? member->status : (enum kith_status)0;
}

static bool sees_right(struct hm *hm, struct sim_node *node)
{
    struct kith_node_id id = sim_node_id(node);
    struct member *member = member_find(hm->core, &id);

    if (!sim_node_up(node))
        return member == NULL || member->status == KITH_STATUS_FAILED ||
               member->status == KITH_STATUS_LEFT;
    return member != NULL && member->status == KITH_STATUS_ALIVE &&
           member->boot_no == sim_node_boot_no(node);
}

/* Looks first where something was wrong the last time: mostly it still is. */
bool hm_agree(struct sim_world *world)
{
    struct hm_world *hw = sim_user(world);
    size_t n = sim_nodes_n(world);

    for (size_t tried = 0; tried < n; tried++) {
        struct hm *hm = hm_at(world, hw->wrong_from);

        for (size_t k = 0; hm != NULL && k < n; k++) {
            if (!sees_right(hm, sim_node_at(world, hw->wrong_to)))
                return false;
            hw->wrong_to = (hw->wrong_to + 1) % n;
        }
        hw->wrong_from = (hw->wrong_from + 1) % n;
    }
    return true;
}

void hm_explain(struct sim_world *world, char *out, size_t out_bytes)
{
    size_t n = sim_nodes_n(world);
    size_t at = 0;
    size_t wrong = 0;

    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        struct hm *hm = hm_at(world, i);

        for (size_t k = 0; hm != NULL && k < n; k++) {
            if (sees_right(hm, sim_node_at(world, k)) || wrong++ >= 5 || at >= out_bytes)
                continue;
            int r =
                snprintf(out + at, out_bytes - at, "%s%zu sees %zu (%s) as %s", at > 0 ? ", " : "",
                         i, k, sim_node_up(sim_node_at(world, k)) ? "up" : "down",
                         hm_status_text(hm_status(world, i, k)));
            at += r > 0 ? (size_t)r : 0;
        }
    }
    if (at < out_bytes && wrong > 5)
        snprintf(out + at, out_bytes - at, " and %zu more", wrong - 5);
}

bool hm_run_until_agreed(struct sim_world *world,
                         uint64_t limit_ms,
                         uint64_t step_ms,
                         bool (*check)(struct sim_world *world))
{
    uint64_t end_ms = sim_world_ms(world) + limit_ms;

    while (!hm_agree(world)) {
        if (sim_world_ms(world) >= end_ms || !sim_run(world, sim_world_ms(world) + step_ms, check))
            return false;
    }
    return true;
}

static void start_it(struct sim_world *world, void *arg)
{
    sim_start(world, (size_t)(uintptr_t)arg);
}

bool hm_form(struct sim_world *world,
             uint64_t spread_ms,
             uint64_t limit_ms,
             bool (*check)(struct sim_world *world))
{
    uint64_t now_ms = sim_world_ms(world);

    for (size_t i = 0; i < sim_nodes_n(world); i++)
        sim_at(world, now_ms + rng_below(sim_rng(world), spread_ms + 1), start_it,
               (void *)(uintptr_t)i);
    if (!sim_run(world, now_ms + spread_ms, check))
        return false;
    return hm_run_until_agreed(world, limit_ms, 100, check);
}
