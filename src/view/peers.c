/*
 * Nodes that may keep or vote: which boot they are in, which disk they have, and whether that disk
 * may be trusted as a voter's.
 *
 * Each node says in HELLO in which boot its disk was used before this one. We keep the highest boot
 * that a disk was seen with, on our own disk. A disk that does not know of that boot is an old copy
 * (a restored snapshot): what it promised meanwhile is not on it, so its promises count no more
 * (hole 14). Its node draws a new disk id and goes on as a fresh member.
 */
#include "view/internal.h"

static size_t index_of(const struct view_core *core, const struct kith_node_id *node)
{
    size_t i = 0;
    while (i < core->peers_n && (core->peers[i].boot.boot_no == 0 ||
                                 memcmp(&core->peers[i].boot.node, node, sizeof(*node)) != 0))
        i++;
    return i;
}

struct vpeer *peer_find(struct view_core *core, const struct kith_node_id *node)
{
    size_t i = index_of(core, node);
    return i < core->peers_n ? &core->peers[i] : NULL;
}

const struct vpeer *peer_look(const struct view_core *core, const struct kith_node_id *node)
{
    size_t i = index_of(core, node);
    return i < core->peers_n ? &core->peers[i] : NULL;
}

static bool in_record(const struct view_core *core, const struct kith_node_id *node)
{
    const struct placement *p = &core->decided.placement;
    if (voter_place(&core->decided, node) >= 0)
        return true;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (memcmp(&p->keepers[i].boot.node, node, sizeof(*node)) == 0)
            return true;
    }
    return false;
}

/* A free place; else that of a node which is gone and which no record names. */
static void hello_within(struct view_core *core, uint64_t ms)
{
    if (core->hello_at_ms > core->now_ms + ms)
        core->hello_at_ms = core->now_ms + ms;
}

static struct vpeer *place(struct view_core *core)
{
    struct vpeer *gone = NULL;
    for (size_t i = 0; i < core->peers_n; i++) {
        struct vpeer *peer = &core->peers[i];
        if (peer->boot.boot_no == 0)
            return peer;
        if (gone == NULL && !peer->up && !peer->linked && !in_record(core, &peer->boot.node))
            gone = peer;
    }
    if (core->peers_n < VIEW_PEERS_MAX)
        return &core->peers[core->peers_n++];
    if (gone == NULL)
        core->stats.table_full++;
    else
        memset(gone, 0, sizeof(*gone));
    return gone;
}

/* The node in a new boot: nothing that the former one said or was granted counts. */
static void new_boot(struct vpeer *peer, uint64_t boot_no)
{
    peer->boot.boot_no = boot_no;
    peer->refused = false;
    peer->full = false;
    peer->leaving = false;
    peer->hello = false;
    peer->answered = false;
    peer->heard_ms = 0;
    peer->said_ms = 0;
    peer->hello_sent_ms = 0;
    peer->hb_t = 0;
    peer->asked_ms = 0;
    peer->ask_waits = false;
    peer->here_ms = 0;
    peer->decided_ack = 0;
    peer->mint_ok = 0;
}

struct vpeer *view_peer_get(struct view_core *core, const struct boot_id *boot)
{
    if (boot->boot_no == 0 || view_is_self(core, &boot->node))
        return NULL;
    struct vpeer *peer = peer_find(core, &boot->node);
    if (peer == NULL) {
        peer = place(core);
        if (peer == NULL)
            return NULL;
        memset(peer, 0, sizeof(*peer));
        peer->boot = *boot;
        hello_within(core, FETCH_MS);
        return peer;
    }
    if (boot->boot_no < peer->boot.boot_no)
        return NULL;
    if (boot->boot_no > peer->boot.boot_no) {
        new_boot(peer, boot->boot_no);
        hello_within(core, FETCH_MS);
    }
    return peer;
}

/* Those that the record names are known, and heard from now on if they are. */
void peer_of_record(struct view_core *core)
{
    const struct placement *p = &core->decided.placement;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (p->keepers[i].state != KEEPER_ACTIVE)
            continue;
        struct vpeer *peer = view_peer_get(core, &p->keepers[i].boot);
        if (peer == NULL)
            continue;
        peer->eligible = true;
        if (peer->heard_ms == 0)
            peer->heard_ms = core->now_ms;
    }
}

void peer_hello_send(struct view_core *core, const struct kith_node_id *to, bool asked)
{
    struct view_msg *m = view_msg_new(core, VMSG_HELLO);
    memcpy(m->disk_id, core->disk_id, PLACEMENT_DISK_BYTES);
    m->boot = core->prev_boot;
    m->epoch = core->decided.placement.epoch;
    m->expect = view_has(core) ? 0 : core->expect;
    m->number = core->attempt;
    m->flags = asked ? VFLAG_ASKED : 0;
    struct vpeer *peer = peer_find(core, to);
    if (peer != NULL)
        peer->hello_sent_ms = core->now_ms;
    if (asked)
        hello_within(core, FETCH_MS);
    /* That this disk was used in this boot is on it before anybody relies on it. */
    view_send_durable(core, to);
}

/* Is its HELLO awaited, or an answer to ours? Whose disk is refused is asked until it has another:
 * the REFUSE may have been lost, and a HELLO that asks for nothing would be the answer it wants. */
bool peer_asks(const struct view_core *core, const struct vpeer *peer)
{
    return !peer->hello || peer->refused || (voter_unanswered(core) && !peer->answered);
}

static void put_witness(struct view_core *core, struct vpeer *peer)
{
    uint8_t key[2 + KITH_NODE_ID_BYTES] = {'v', 'w'};
    uint8_t data[8 + PLACEMENT_DISK_BYTES];
    memcpy(key + 2, peer->boot.node.bytes, KITH_NODE_ID_BYTES);
    put_le64(data, peer->witness_boot);
    memcpy(data + 8, peer->witness_disk, PLACEMENT_DISK_BYTES);
    view_put(core, key, sizeof(key), data, sizeof(data));
    peer->witness_token = view_token(core);
}

int peer_recall(struct view_core *core, const struct view_event *event)
{
    if (event->key_len != 2 + KITH_NODE_ID_BYTES || event->len != 8 + PLACEMENT_DISK_BYTES)
        return KITH_E_CORRUPT;
    struct boot_id boot = {.boot_no = get_le64(event->data)};
    memcpy(boot.node.bytes, event->key + 2, KITH_NODE_ID_BYTES);
    struct vpeer *peer = view_peer_get(core, &boot);
    if (peer == NULL)
        return boot.boot_no == 0 ? KITH_E_CORRUPT : 0;
    peer->witness_boot = boot.boot_no;
    memcpy(peer->witness_disk, event->data + 8, PLACEMENT_DISK_BYTES);
    return 0;
}

static void refuse(struct view_core *core, struct vpeer *peer)
{
    peer->refused = true;
    core->stats.refused_voters++;
    struct view_action *action = view_act(core, VIEW_REFUSED);
    action->to = peer->boot.node;
    action->text = "has an old copy of its disk: it loses its vote and comes back as a fresh "
                   "member; restore no snapshots of data directories";
    struct view_msg *m = view_msg_new(core, VMSG_REFUSE);
    memcpy(m->disk_id, peer->disk_id, PLACEMENT_DISK_BYTES);
    view_send(core, &peer->boot.node);
}

void peer_on_hello(struct view_core *core, struct vpeer *peer, const struct view_msg *m)
{
    bool first = !peer->hello || memcmp(peer->disk_id, m->disk_id, PLACEMENT_DISK_BYTES) != 0;
    static const uint8_t none[VIEW_CLUSTER_BYTES];

    peer->eligible = true;
    if (!core->config.eligible)
        return; /* an edge has no disk of which it could tell */
    peer->hello = true;
    memcpy(peer->disk_id, m->disk_id, PLACEMENT_DISK_BYTES);
    peer->hello_epoch = m->epoch;
    peer->hello_viewless = memcmp(m->chain, none, sizeof(none)) == 0;
    peer->hello_expect = m->expect;
    peer->hello_attempt = m->number;
    peer->answered = peer->answered || (!(m->flags & VFLAG_ASKED) && peer->hello_sent_ms != 0);
    bool same_disk = memcmp(peer->witness_disk, m->disk_id, PLACEMENT_DISK_BYTES) == 0;
    bool older =
        same_disk && peer->witness_boot > m->boot && peer->witness_boot < peer->boot.boot_no;
    if (older && !MUTANT(VIEW_ROLLED_BACK_VOTER)) {
        refuse(core, peer); /* no answer, so that it asks until it has heard of it */
        return;
    }
    if (m->flags & VFLAG_ASKED)
        peer_hello_send(core, &peer->boot.node, false);
    if (first) {
        peer->refused = false;
        core->resent_ms = 0; /* what was said before its vote counted */
    }
    if (!same_disk || peer->witness_boot != peer->boot.boot_no) {
        peer->witness_boot = peer->boot.boot_no;
        memcpy(peer->witness_disk, m->disk_id, PLACEMENT_DISK_BYTES);
        put_witness(core, peer);
    }
    if (view_has(core) && m->epoch < core->decided.placement.epoch)
        learn_push(core, &peer->boot.node);
    else if (m->epoch > core->decided.placement.epoch)
        learn_fetch(core, &peer->boot.node);
}

void peer_on_refuse(struct view_core *core, const struct view_msg *m)
{
    if (core->config.eligible && memcmp(m->disk_id, core->disk_id, PLACEMENT_DISK_BYTES) == 0)
        peer_new_disk(core);
}

/* HELLO to those whose disk is not known yet; while N are waited for, to all, as it says so. */
void peer_run(struct view_core *core)
{
    if (core->now_ms < core->hello_at_ms)
        return;
    core->hello_at_ms = core->now_ms + FETCH_CALM_MS;
    if (!core->config.eligible)
        return;
    if (!view_has(core))
        hello_within(core, FETCH_MS);
    for (size_t i = 0; i < core->peers_n; i++) {
        struct vpeer *peer = &core->peers[i];
        if (peer->boot.boot_no == 0 || !peer->eligible || (!peer->up && !peer->linked))
            continue;
        bool waits = !view_has(core) && core->expect > 1;
        bool asks = peer_asks(core, peer);
        if (asks || waits || peer->hello_sent_ms == 0) {
            peer_hello_send(core, &peer->boot.node, asks);
            hello_within(core, FETCH_MS);
        }
    }
}

bool peer_keeper_named(const struct view_core *core)
{
    const struct placement *p = &core->decided.placement;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (!view_is_self(core, &p->keepers[i].boot.node))
            return true;
    }
    return false;
}

bool peer_keeper_answered(const struct view_core *core)
{
    for (size_t i = 0; i < core->peers_n; i++) {
        const struct vpeer *peer = &core->peers[i];
        if (peer->boot.boot_no != 0 && peer->answered && !peer->hello_viewless &&
            peer->hello_epoch <= core->decided.placement.epoch && in_record(core, &peer->boot.node))
            return true;
    }
    return false;
}

int voter_place(const struct view_record *record, const struct kith_node_id *node)
{
    for (uint32_t i = 0; i < record->voters_n; i++) {
        if (memcmp(&record->voters[i].node, node, sizeof(*node)) == 0)
            return (int)i;
    }
    return -1;
}

bool voter_self(const struct view_core *core, const struct view_record *record)
{
    int at = voter_place(record, &core->config.self.node);
    return at >= 0 && memcmp(record->voters[at].disk_id, core->disk_id, PLACEMENT_DISK_BYTES) == 0;
}

bool peer_votes_as(const struct view_core *core,
                   const struct vpeer *peer,
                   const struct view_voter *voter)
{
    if (peer == NULL || !peer->hello || peer->refused || peer->witness_token > core->persisted)
        return false;
    if (MUTANT(VIEW_ROLLED_BACK_VOTER))
        return true;
    return memcmp(voter->disk_id, peer->disk_id, PLACEMENT_DISK_BYTES) == 0;
}

bool peer_has_another_disk(const struct view_core *core,
                           const struct kith_node_id *node,
                           const uint8_t *disk_id)
{
    const struct vpeer *peer = peer_look(core, node);
    const uint8_t *has = peer != NULL && peer->hello ? peer->disk_id : NULL;
    if (view_is_self(core, node))
        has = core->disk_id;
    return has != NULL && memcmp(has, disk_id, PLACEMENT_DISK_BYTES) != 0;
}

bool peer_votes(const struct view_core *core,
                const struct view_record *record,
                const struct kith_node_id *node)
{
    if (view_is_self(core, node))
        return voter_self(core, record);
    int at = voter_place(record, node);
    return at >= 0 && peer_votes_as(core, peer_look(core, node), &record->voters[at]);
}

const struct placement_keeper *keeper_active_of(const struct placement *placement,
                                                const struct boot_id *boot)
{
    for (uint32_t i = placement->keepers_n; i > 0; i--) {
        const struct placement_keeper *keeper = &placement->keepers[i - 1];
        if (keeper->state == KEEPER_ACTIVE && boot_id_equal(&keeper->boot, boot))
            return keeper;
    }
    return NULL;
}

const struct placement_keeper *keeper_self(const struct view_core *core)
{
    return keeper_active_of(&core->decided.placement, &core->config.self);
}
