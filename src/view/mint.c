/*
 * The first record, and the forced one (protocols 5.2, bootstrap).
 *
 * `init` mints alone, at once. With --expect N the smallest node id of N nodes that all have no
 * view and all say N mints with all of them as keepers, after each of them has agreed. A node
 * agrees to one attempt of one minter, on disk; to another only once that attempt is certainly
 * dead: its minter says a higher attempt, or is in a later boot, and has no view. So two that mint
 * are impossible whatever the network does (hole 13).
 */
#include "view/internal.h"

#include <sodium.h>

static void
add_keeper(struct view_record *record, const struct boot_id *boot, const uint8_t *disk_id)
{
    struct placement *p = &record->placement;
    struct placement_keeper *keeper = &p->keepers[p->keepers_n++];
    *keeper = (struct placement_keeper){.member_id = record->next_member_id++, .boot = *boot};
    memcpy(keeper->disk_id, disk_id, PLACEMENT_DISK_BYTES);
}

static void
add_voter(struct view_record *record, const struct kith_node_id *node, const uint8_t *disk_id)
{
    struct view_voter *voter = &record->voters[record->voters_n++];
    voter->node = *node;
    memcpy(voter->disk_id, disk_id, PLACEMENT_DISK_BYTES);
}

static bool learn_own(struct view_core *core, const struct view_record *record)
{
    uint8_t data[VIEW_RECORD_BYTES_MAX];
    size_t len = view_record_encode(record, data);
    return learn_record(core, data, len);
}

static void mint(struct view_core *core, struct vpeer *const *peers, uint32_t n)
{
    struct view_record *record = &core->next;
    uint8_t hash[VIEW_HASH_BYTES];
    uint8_t seed[sizeof(struct kith_node_id) + 16];

    memset(record, 0, sizeof(*record));
    memcpy(record->cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES);
    memcpy(seed, core->config.self.node.bytes, KITH_NODE_ID_BYTES);
    put_le64(seed + KITH_NODE_ID_BYTES, core->config.self.boot_no);
    put_le64(seed + KITH_NODE_ID_BYTES + 8, rng_u64(&core->rng));
    crypto_generichash(hash, sizeof(hash), seed, sizeof(seed), NULL, 0);
    memcpy(record->chain, hash, VIEW_CLUSTER_BYTES);
    record->next_member_id = 1;
    record->placement.epoch = 1;
    add_keeper(record, &core->config.self, core->disk_id);
    for (uint32_t i = 0; i < n; i++)
        add_keeper(record, &peers[i]->boot, peers[i]->disk_id);
    uint32_t voters = n + 1 >= 7 ? 5 : n + 1 >= 3 ? 3 : 1;
    add_voter(record, &core->config.self.node, core->disk_id);
    for (uint32_t i = 0; i + 1 < voters; i++)
        add_voter(record, &peers[i]->boot.node, peers[i]->disk_id);
    plan_first_slots(&record->placement);
    core->minted = learn_own(core, record);
    core->stats.records_decided += core->minted;
}

int mint_bootstrap(struct view_core *core, uint32_t expect)
{
    if (!core->config.eligible)
        return kith_fail_with(KITH_E_INVALID, "a program keeps no shared state; start an agent");
    if (expect == 0 || expect > VIEW_EXPECT_MAX)
        return kith_fail_with(KITH_E_INVALID,
                              "cannot begin with %u nodes: 1 to %d can be waited for; let the "
                              "others join",
                              expect, VIEW_EXPECT_MAX);
    if (view_has(core) || core->learned.placement.epoch != 0)
        return kith_fail_with(KITH_E_EXISTS, "this node has a view already; nothing was changed");
    core->expect = expect;
    if (expect == 1)
        mint(core, NULL, 0);
    core->hello_at_ms = core->now_ms;
    return 0;
}

/* Others without a view that wait for as many, in the order of their ids; at most @max. */
static uint32_t waiting(struct view_core *core, struct vpeer **peers, uint32_t max)
{
    uint32_t n = 0;
    for (size_t i = 0; i < core->peers_n; i++) {
        struct vpeer *peer = &core->peers[i];
        if (peer->boot.boot_no == 0 || !peer->hello || !peer->hello_viewless || peer->refused ||
            peer->hello_expect != core->expect || (!peer->up && !peer->linked))
            continue;
        uint32_t at = n < max ? n++ : max;
        for (; at > 0 && boot_id_compare(&peers[at - 1]->boot, &peer->boot) > 0; at--) {
            if (at < max)
                peers[at] = peers[at - 1];
        }
        if (at < max)
            peers[at] = peer;
    }
    return n;
}

/* A new attempt: whoever agreed to the former one is free. */
static void next_attempt(struct view_core *core)
{
    core->attempt++;
    core->minting = false;
    for (size_t i = 0; i < core->peers_n; i++)
        core->peers[i].mint_ok = 0;
}

static bool committed_elsewhere(const struct view_core *core)
{
    return core->minter_boot != 0 && !view_is_self(core, &core->minter);
}

/* Is the attempt that we agreed to certainly dead? */
static bool commit_dead(struct view_core *core)
{
    struct vpeer *minter = peer_find(core, &core->minter);
    if (minter == NULL || !minter->hello || !minter->hello_viewless)
        return false;
    return minter->boot.boot_no > core->minter_boot ||
           (minter->boot.boot_no == core->minter_boot &&
            minter->hello_attempt > core->minter_attempt);
}

void mint_run(struct view_core *core)
{
    struct vpeer *peers[VIEW_EXPECT_MAX];

    if (core->expect < 2 || view_has(core) || core->learned.placement.epoch != 0)
        return;
    uint32_t n = waiting(core, peers, core->expect - 1);
    bool mine = n == core->expect - 1 && boot_id_compare(&core->config.self, &peers[0]->boot) < 0 &&
                (!committed_elsewhere(core) || commit_dead(core));
    if (!mine) {
        if (core->minting)
            next_attempt(core);
        return;
    }
    core->minting = true;
    bool all = true;
    bool again = core->now_ms >= core->fetch_at_ms;
    for (uint32_t i = 0; i < n; i++) {
        if (peers[i]->mint_ok == core->attempt)
            continue;
        all = false;
        if (peers[i]->mint_ok == 0 || again) {
            struct view_msg *m = view_msg_new(core, VMSG_MINT_ASK);
            m->number = core->attempt;
            m->expect = core->expect;
            view_send(core, &peers[i]->boot.node);
            peers[i]->mint_ok = UINT64_MAX; /* asked */
        }
    }
    if (all || MUTANT(VIEW_MINT_ALONE))
        mint(core, peers, n);
}

void mint_on_ask(struct view_core *core, struct vpeer *peer, const struct view_msg *m)
{
    if (view_has(core) || core->expect != m->expect || core->expect < 2 || core->minting ||
        boot_id_compare(&peer->boot, &core->config.self) > 0)
        return;
    bool same = core->minter_boot == peer->boot.boot_no &&
                memcmp(&core->minter, &peer->boot.node, sizeof(core->minter)) == 0;
    /* One attempt at a time; a later one of the same minter says that the former is dead. */
    if (core->minter_boot != 0 && !(same && m->number >= core->minter_attempt) &&
        !commit_dead(core))
        return;
    uint8_t data[KITH_NODE_ID_BYTES + 12];
    core->minter = peer->boot.node;
    core->minter_boot = peer->boot.boot_no;
    core->minter_attempt = m->number;
    memcpy(data, core->minter.bytes, KITH_NODE_ID_BYTES);
    put_le64(data + KITH_NODE_ID_BYTES, core->minter_boot);
    put_le32(data + KITH_NODE_ID_BYTES + 8, core->minter_attempt);
    view_put(core, "vc", 2, data, sizeof(data));
    struct view_msg *ok = view_msg_new(core, VMSG_MINT_OK);
    ok->number = m->number;
    memcpy(ok->disk_id, core->disk_id, PLACEMENT_DISK_BYTES);
    view_send_durable(core, &peer->boot.node);
}

void mint_on_ok(struct view_core *core, struct vpeer *peer, const struct view_msg *m)
{
    if (core->minting && m->number == core->attempt &&
        memcmp(peer->disk_id, m->disk_id, PLACEMENT_DISK_BYTES) == 0)
        peer->mint_ok = core->attempt;
}

/* ---- by order of the operator ---- */

static bool heard(struct view_core *core, const struct boot_id *boot)
{
    if (boot_id_equal(boot, &core->config.self))
        return true;
    const struct vpeer *peer = peer_find(core, &boot->node);
    return peer != NULL && peer->boot.boot_no == boot->boot_no && peer->heard_ms != 0 &&
           core->now_ms - peer->heard_ms < HEARD_MS;
}

/*
 * A new generation, in the top 16 bits of the epoch, so that every record of it is above all that
 * the missing may decide. This node is the only voter; who is not heard is excluded, and counts as
 * leased for as long as any lease of the former generation can run.
 */
int mint_force(struct view_core *core)
{
    if (!core->config.eligible)
        return kith_fail_with(KITH_E_INVALID, "a program keeps no shared state; ask an agent");
    if (!view_has(core))
        return kith_fail_with(KITH_E_NO_CLUSTER,
                              "this node knows no view; there is nothing to force");
    struct view_record *record = &core->next;
    *record = core->decided;
    uint64_t generation = (record->placement.epoch >> GENERATION_SHIFT) + 1;
    uint64_t low = record->placement.epoch & ((UINT64_C(1) << GENERATION_SHIFT) - 1);
    record->placement.epoch = generation << GENERATION_SHIFT | (low + 1);
    memcpy(record->prev_hash, core->decided_hash, VIEW_HASH_BYTES);
    record->voters_n = 0;
    add_voter(record, &core->config.self.node, core->disk_id);
    for (uint32_t i = 0; i < record->placement.keepers_n; i++) {
        struct placement_keeper *keeper = &record->placement.keepers[i];
        if (keeper->state == KEEPER_ACTIVE && !heard(core, &keeper->boot))
            keeper->state = KEEPER_EXCLUDED;
    }
    lead_step_down(core);
    voter_forget_accepted(core);
    core->inherit_until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);
    core->early_until_ms = core->inherit_until_ms;
    core->no_promise_until_ms = 0; /* of the former generation */
    core->sitout = false;
    core->answer_until_ms = 0;
    return learn_own(core, record) ? 0 : KITH_E_INVALID;
}
