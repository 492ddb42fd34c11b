/*
 * What views do when something is gone for long, and where their tables end.
 */
#include "test_view_world.h"

#include "lib/test.h"

static struct vw *cluster(size_t n, uint32_t replace_ms)
{
    struct vw *w = vw_new(n, test_seed());
    for (size_t i = 0; i < n; i++) {
        w->nodes[i].config.replace_ms = replace_ms;
        vw_boot(w, i);
        assert_int_equal(vw_bootstrap(w, i, (uint32_t)n), 0);
    }
    if (!vw_until(w, vw_well, NULL, 20000))
        fail_msg("not well: %s", w->why);
    return w;
}

static void done(struct vw *w)
{
    if (w->broken)
        fail_msg("%s", w->why);
    vw_free(w);
}

static const struct view_record *record(const struct vw *w, size_t i)
{
    return &w->nodes[i].core->decided;
}

static bool votes(const struct vw *w, size_t seer, size_t i)
{
    return voter_place(record(w, seer), &w->nodes[i].config.self.node) >= 0;
}

static bool has_copy(const struct vw *w, size_t seer, size_t i, size_t slot)
{
    const struct placement *p = view_placement(w->nodes[seer].core);
    const struct placement_keeper *keeper = keeper_active_of(p, &w->nodes[i].config.self);
    return keeper != NULL && placement_config_has(&p->slots[slot].active, keeper->member_id);
}

static bool served(const struct vw *w, size_t slot)
{
    for (size_t i = 0; i < w->nodes_n; i++) {
        if (vw_serves(w, i, slot))
            return true;
    }
    return false;
}

/* Disks of all replicas of some slots are gone: what was in memory only is lost after a minute, and
 * said to be; what is durable waits for its disks. */
static void slots_without_disks_are_lost_after_a_minute_unless_durable(void **state)
{
    (void)state;
    struct vw *w = cluster(6, 0);
    size_t seer = (size_t)vw_leader(w);
    size_t lost[PLACEMENT_SLOTS];
    size_t lost_n = 0;
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
        bool by_voter = false;
        for (size_t i = 0; i < 6; i++)
            by_voter = by_voter || (votes(w, seer, i) && has_copy(w, seer, i, s));
        if (!by_voter)
            lost[lost_n++] = s;
    }
    assert_true(lost_n >= 2);
    size_t durable = lost[1];
    (void)vw_event(w, seer,
                   &(struct view_event){.type = VIEW_SLOT_DURABLE, .slot = (uint32_t)durable});
    vw_run(w, 500);
    assert_true(view_slot_durable(w->nodes[seer].core, (uint32_t)durable));
    for (size_t i = 0; i < 6; i++) {
        if (!votes(w, seer, i))
            vw_wipe(w, i);
    }
    vw_run(w, 50000);
    const struct placement *p = view_placement(w->nodes[seer].core);
    assert_false(served(w, lost[0]));
    assert_int_equal(p->slots[lost[0]].generation, 0);
    struct view_quorum q;
    view_quorum(w->nodes[seer].core, vw_clock_ms(w, seer), &q);
    assert_true(q.have);
    assert_int_equal(q.slots_unavailable_n, lost_n);
    vw_run(w, 25000);
    p = view_placement(w->nodes[seer].core);
    for (size_t i = 0; i < lost_n; i++) {
        bool goes_on = lost[i] != durable;
        assert_int_equal(p->slots[lost[i]].generation, goes_on ? 1 : 0);
        assert_true(served(w, lost[i]) == goes_on);
    }
    done(w);
}

static bool all_served(struct vw *w, void *arg)
{
    (void)arg;
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
        if (!served(w, s))
            return false;
    }
    return true;
}

/* state-swarm 43333: no replica is left, and of the disks one is gone. While its node is away
 * nobody knows that, and it is waited for; once the node is back on another disk, nothing is. */
static void a_disk_whose_node_runs_on_another_is_not_waited_for(void **state)
{
    (void)state;
    struct vw *w = cluster(3, 0);
    for (size_t i = 0; i < 3; i++)
        vw_crash(w, i);
    vw_wipe(w, 2);
    vw_boot(w, 0);
    vw_boot(w, 1);
    vw_run(w, 20000);
    assert_true(vw_leader(w) >= 0);
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        assert_false(served(w, s));
    vw_boot(w, 2);
    assert_true(vw_until(w, all_served, NULL, 4000));
    const struct placement *p = view_placement(w->nodes[vw_leader(w)].core);
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        assert_int_equal(p->slots[s].generation, 1); /* from disks */
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

/* Two copies are enough for so long; then a third is made, and another votes. */
static void keeper_that_stays_away_is_replaced(void **state)
{
    (void)state;
    struct vw *w = cluster(4, 30000);
    size_t seer = (size_t)vw_leader(w);
    size_t gone = (seer + 1) % 4;
    while (!votes(w, seer, gone) || gone == seer)
        gone = (gone + 1) % 4;
    vw_crash(w, gone);
    vw_run(w, 25000);
    const struct placement *p = view_placement(w->nodes[seer].core);
    size_t two = 0;
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        two += p->slots[s].active.replicas_n == 2;
    assert_true(two > 0);
    assert_true(votes(w, seer, gone));
    assert_true(vw_until(w, vw_well, NULL, 60000));
    vw_run(w, 20000);
    p = view_placement(w->nodes[seer].core);
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        assert_int_equal(p->slots[s].active.replicas_n, 3);
    assert_false(votes(w, seer, gone));
    assert_int_equal(record(w, seer)->voters_n, 3);
    done(w);
}

static struct boot_id stranger(uint32_t i)
{
    struct boot_id boot = {.boot_no = 1};
    put_le32(boot.node.bytes, i + 1);
    boot.node.bytes[15] = 0xee;
    return boot;
}

/* More nodes than there is room for: those of the record stay, and it is counted. */
static void full_table_of_nodes_refuses_more(void **state)
{
    (void)state;
    struct vw *w = cluster(3, 0);
    struct view_stats stats;
    for (uint32_t i = 0; i < VIEW_PEERS_MAX + 20; i++)
        (void)vw_event(
            w, 0,
            &(struct view_event){.type = VIEW_PEER_UP, .from = stranger(i), .eligible = true});
    view_stats(w->nodes[0].core, &stats);
    assert_int_equal(stats.table_full, 22); /* two places are the other keepers' */
    assert_int_equal(w->nodes[0].core->peers_n, VIEW_PEERS_MAX);
    assert_true(vw_until(w, vw_well, NULL, 5000));
    /* One that is gone makes room. */
    (void)vw_event(w, 0, &(struct view_event){.type = VIEW_PEER_DOWN, .from = stranger(3)});
    (void)vw_event(w, 0,
                   &(struct view_event){.type = VIEW_PEER_UP,
                                        .from = stranger(VIEW_PEERS_MAX + 30),
                                        .eligible = true});
    view_stats(w->nodes[0].core, &stats);
    assert_int_equal(stats.table_full, 22);
    done(w);
}

/* A disk that hangs: what waits for it is bounded, and the node goes on when it does. */
static void what_waits_for_a_hung_disk_is_bounded(void **state)
{
    (void)state;
    struct vw *w = cluster(3, 0);
    size_t hung = ((size_t)vw_leader(w) + 1) % 3;
    struct view_core *core = w->nodes[hung].core;
    uint8_t bytes[VIEW_MSG_BYTES_MAX];
    view_put(core, "vp", 2, NULL, 0);
    core->token += 1000; /* a write that does not end */
    core->puts_n = 0;
    for (uint32_t i = 0; i < VIEW_HELD_MAX + 50; i++) {
        struct view_msg m = {.type = VMSG_HELLO, .flags = VFLAG_ASKED};
        memcpy(m.cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES);
        size_t len = view_msg_encode(&m, bytes);
        struct boot_id from = w->nodes[(hung + 1) % 3].config.self;
        (void)vw_event(
            w, hung,
            &(struct view_event){.type = VIEW_RECV, .from = from, .data = bytes, .len = len});
        assert_true(core->held_n <= VIEW_HELD_MAX);
    }
    assert_int_equal(core->held_n, VIEW_HELD_MAX);
    (void)vw_event(w, hung, &(struct view_event){.type = VIEW_PERSISTED, .token = core->token});
    assert_int_equal(core->held_n, 0);
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_without_disks_are_lost_after_a_minute_unless_durable),
        cmocka_unit_test(a_disk_whose_node_runs_on_another_is_not_waited_for),
        cmocka_unit_test(keeper_that_stays_away_is_replaced),
        cmocka_unit_test(full_table_of_nodes_refuses_more),
        cmocka_unit_test(what_waits_for_a_hung_disk_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
