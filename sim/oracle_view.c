#include "oracle_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "host_state_internal.h"
#include "queue.h"

void oracle_view_init(struct oracle_view *oracle, struct sim_world *world)
{
    memset(oracle, 0, sizeof(*oracle));
    oracle->world = world;
    oracle->known = sim_realloc(NULL, sim_nodes_n(world), sizeof(*oracle->known));
    memset(oracle->known, 0, sim_nodes_n(world) * sizeof(*oracle->known));
}

void oracle_view_deinit(struct oracle_view *oracle)
{
    map64_deinit(&oracle->records);
    map64_deinit(&oracle->members);
    map64_deinit(&oracle->configs);
    free(oracle->known);
}

/* ---- records ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    return hash_bytes(data, len, hash);
}

static uint64_t config_hash(const struct placement_config *config)
{
    return mix(config->slot_epoch, config->replicas,
               config->replicas_n * sizeof(config->replicas[0]));
}

/* Field by field: there is padding between them. */
static uint64_t placement_hash(const struct placement *placement)
{
    uint64_t hash = mix(placement->epoch, &placement->keepers_n, sizeof(placement->keepers_n));

    for (size_t i = 0; i < placement->keepers_n; i++) {
        const struct placement_keeper *keeper = &placement->keepers[i];
        uint64_t words[3] = {keeper->member_id, keeper->boot.boot_no, keeper->state};

        hash = mix(hash, words, sizeof(words));
        hash = mix(hash, &keeper->boot.node, sizeof(keeper->boot.node));
        hash = mix(hash, keeper->disk_id, sizeof(keeper->disk_id));
    }
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_slot *slot = &placement->slots[i];
        uint64_t words[3] = {config_hash(&slot->active), config_hash(&slot->chosen),
                             slot->generation};

        hash = mix(hash, words, sizeof(words));
    }
    return hash | 1;
}

/* The first to know of a slot epoch says what it is; all others must say the same. */
static void same_config(struct oracle_view *oracle, size_t slot, const struct placement_config *c)
{
    uint64_t key = c->slot_epoch << 6 | slot;
    uint64_t hash = config_hash(c) | 1;
    uint64_t known = (uint64_t)(uintptr_t)map64_find(&oracle->configs, key);

    if (c->slot_epoch == 0)
        return;
    if (known == 0 && map64_set(&oracle->configs, key, (void *)(uintptr_t)hash) < 0)
        abort();
    if (known != 0 && known != hash)
        sim_violation(oracle->world, "slot %zu has two configurations of slot epoch %" PRIu64, slot,
                      c->slot_epoch);
}

static void same_boot(struct oracle_view *oracle, const struct placement_keeper *keeper)
{
    uint64_t hash = mix(keeper->boot.boot_no, &keeper->boot.node, sizeof(keeper->boot.node)) | 1;
    uint64_t known = (uint64_t)(uintptr_t)map64_find(&oracle->members, keeper->member_id);

    if (known == 0 && map64_set(&oracle->members, keeper->member_id, (void *)(uintptr_t)hash) < 0)
        abort();
    if (known != 0 && known != hash)
        sim_violation(oracle->world, "member %" PRIu32 " is two boots", keeper->member_id);
}

/* ---- leases ---- */

static bool holds_lease(const struct hs *hs)
{
    return hs_now_ms(hs) < hs->lease_until_ms;
}

/* May @hs, by what it knows, serve an active configuration of @slot that is not the newest? */
static void lease_of(struct oracle_view *oracle, struct hs *hs, size_t slot)
{
    const struct placement_config *mine = &hs->placement.slots[slot].active;
    const struct placement_config *newest = &oracle->newest.slots[slot].active;
    const struct placement_keeper *self = hs_keeper(hs, &hs->placement);

    if (self == NULL || mine->slot_epoch == 0 || mine->slot_epoch >= newest->slot_epoch ||
        !placement_config_has(mine, self->member_id) ||
        placement_config_has(newest, self->member_id) ||
        hs->released_epoch[slot] > mine->slot_epoch)
        return;
    sim_violation(oracle->world,
                  "node %zu has a lease for %" PRIu64 " ms and takes slot epoch %" PRIu64
                  " of slot %zu for active, but %" PRIu64
                  " is, without it, and it has not released the slot",
                  sim_node_index(hs->hm.node), hs->lease_until_ms - hs_now_ms(hs), mine->slot_epoch,
                  slot, newest->slot_epoch);
}

void oracle_view_lease(struct oracle_view *oracle, struct hs *hs, uint64_t until_ms)
{
    if (hs_now_ms(hs) >= until_ms || hs->placement.epoch == oracle->newest.epoch)
        return;
    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++)
        lease_of(oracle, hs, slot);
}

static void activated(struct oracle_view *oracle, size_t slot)
{
    struct hs_world *hw = sim_user(oracle->world);

    const struct placement_config *active = &oracle->newest.slots[slot].active;

    oracle->activations_n++;
    sim_note(oracle->world, "slot %zu: active %" PRIu64 " of %" PRIu32 " %" PRIu32 " %" PRIu32,
             slot, active->slot_epoch, active->replicas[0],
             active->replicas_n > 1 ? active->replicas[1] : 0,
             active->replicas_n > 2 ? active->replicas[2] : 0);
    for (size_t i = 0; i < hw->keepers_n; i++) {
        struct hs *hs = hs_at(oracle->world, i);

        if (hs != NULL && holds_lease(hs))
            lease_of(oracle, hs, slot);
    }
}

static void new_record(struct oracle_view *oracle, const struct placement *placement)
{
    bool changed[PLACEMENT_SLOTS];

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_slot *before = &oracle->newest.slots[i];
        const struct placement_slot *now = &placement->slots[i];

        changed[i] = now->active.slot_epoch != before->active.slot_epoch;
        if (now->active.slot_epoch < before->active.slot_epoch ||
            now->generation < before->generation ||
            (now->chosen.slot_epoch != 0 && now->chosen.slot_epoch <= now->active.slot_epoch))
            sim_violation(oracle->world,
                          "slot %zu goes back: active %" PRIu64 " then %" PRIu64 ", chosen %" PRIu64
                          ", generation %" PRIu32 " then %" PRIu32,
                          i, before->active.slot_epoch, now->active.slot_epoch,
                          now->chosen.slot_epoch, before->generation, now->generation);
        oracle->generation_n +=
            before->active.slot_epoch != 0 && now->generation > before->generation;
    }
    oracle->newest = *placement;
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (changed[i])
            activated(oracle, i);
    }
}

void oracle_view_placement(struct oracle_view *oracle,
                           struct hs *hs,
                           const struct placement *placement)
{
    size_t index = sim_node_index(hs->hm.node);
    /* Most are told of what is the newest already: the same bytes have the same hash. */
    bool newest = placement->epoch == oracle->newest.epoch &&
                  memcmp((const uint8_t *)placement, (const uint8_t *)&oracle->newest,
                         sizeof(*placement)) == 0;
    uint64_t hash = newest ? oracle->newest_hash : placement_hash(placement);
    uint64_t known = (uint64_t)(uintptr_t)map64_find(&oracle->records, placement->epoch);

    sim_trace(oracle->world, hash);
    sim_note(oracle->world, "node %zu knows epoch %" PRIu64, index, placement->epoch);
    if (known != 0 && known != hash)
        sim_violation(oracle->world, "two records of epoch %" PRIu64 ", one of them at node %zu",
                      placement->epoch, index);
    if (known == 0) {
        oracle->records_n++;
        if (map64_set(&oracle->records, placement->epoch, (void *)(uintptr_t)hash) < 0)
            abort();
        for (size_t i = 0; i < placement->keepers_n; i++)
            same_boot(oracle, &placement->keepers[i]);
        for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
            same_config(oracle, i, &placement->slots[i].active);
            same_config(oracle, i, &placement->slots[i].chosen);
        }
    }
    if (oracle->known[index].boot_no == hs->self.boot_no &&
        placement->epoch <= oracle->known[index].epoch)
        sim_violation(oracle->world, "node %zu knew epoch %" PRIu64 " and is told of %" PRIu64,
                      index, oracle->known[index].epoch, placement->epoch);
    oracle->known[index] =
        (struct oracle_known){.boot_no = hs->self.boot_no, .epoch = placement->epoch};
    if (placement->epoch > oracle->newest.epoch) {
        oracle->newest_hash = hash;
        new_record(oracle, placement);
    }
}

void oracle_view_stepped(struct oracle_view *oracle, struct hs *hs)
{
    struct hs_world *hw = sim_user(oracle->world);

    if (hs->disk == NULL || hs->leader_until_ms <= hs_now_ms(hs))
        return;
    for (size_t i = 0; i < hw->keepers_n; i++) {
        struct hs *other = hs_at(oracle->world, i);

        if (other != NULL && other != hs && other->leader_until_ms > hs_now_ms(other))
            sim_violation(oracle->world, "nodes %zu and %zu have leader leases at once",
                          sim_node_index(hs->hm.node), i);
    }
}

/* ---- liveness ---- */

/* Its configurations, and what became of their members: "slot 3 has no home with a lease: active
 * epoch 7 of 2 (ended), 5 (active, node 1)". */
static void explain_slot(const struct oracle_view *oracle, size_t at, char *out, size_t out_bytes)
{
    static const char *const states[] = {"active", "excluded", "ended", "died"};
    const struct placement_slot *slot = &oracle->newest.slots[at];
    const struct placement_config *configs[2] = {&slot->active, &slot->chosen};
    struct buf text = {0};

    buf_printf(&text, "slot %zu has no home with a lease:", at);
    for (size_t c = 0; c < 2; c++) {
        if (configs[c]->slot_epoch == 0)
            continue;
        buf_printf(&text, " %s %" PRIu64 " of", c == 0 ? "active" : "chosen",
                   configs[c]->slot_epoch);
        for (size_t i = 0; i < configs[c]->replicas_n; i++) {
            const struct placement_keeper *keeper =
                placement_keeper_find(&oracle->newest, configs[c]->replicas[i]);
            struct sim_node *node =
                keeper != NULL ? sim_node_by_id(oracle->world, &keeper->boot.node) : NULL;

            buf_printf(&text, " %" PRIu32 " (%s, node %zd)", configs[c]->replicas[i],
                       keeper != NULL ? states[keeper->state] : "gone",
                       node != NULL ? (ssize_t)sim_node_index(node) : -1);
        }
    }
    snprintf(out, out_bytes, "%.*s", (int)text.len, (const char *)text.data);
    buf_deinit(&text);
}

bool oracle_view_waits(struct oracle_view *oracle, char *out, size_t out_bytes)
{
    const struct placement *newest = &oracle->newest;
    struct hs_world *hw = sim_user(oracle->world);

    for (size_t i = 0; i < sim_nodes_n(oracle->world); i++) {
        struct hs *hs = hs_at(oracle->world, i);

        if (hs != NULL && hs->placement.epoch != newest->epoch) {
            snprintf(out, out_bytes, "node %zu knows epoch %" PRIu64 ", the newest is %" PRIu64, i,
                     hs->placement.epoch, newest->epoch);
            return true;
        }
    }
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_keeper *home = placement_home(newest, (uint32_t)i);
        struct hs *hs = home != NULL ? hs_of_member(oracle->world, newest, home->member_id) : NULL;

        if (hs == NULL || !holds_lease(hs)) {
            explain_slot(oracle, i, out, out_bytes);
            return true;
        }
    }
    for (size_t i = 0; i < hw->keepers_n; i++) {
        struct hs *hs = hs_at(oracle->world, i);

        if (hs != NULL && !view_has_quorum(hs->view, hs_now_ms(hs))) {
            snprintf(out, out_bytes, "node %zu sees no quorum", i);
            return true;
        }
    }
    return false;
}
