/*
 * The rules of views, each by name.
 */
#include "test_view_world.h"

#include "lib/test.h"

static struct vw *world(size_t n)
{
    struct vw *w = vw_new(n, test_seed());
    for (size_t i = 0; i < n; i++)
        vw_boot(w, i);
    return w;
}

/* A cluster of @n that began together, and is well. */
static struct vw *cluster(size_t n)
{
    struct vw *w = world(n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vw_bootstrap(w, i, (uint32_t)n), 0);
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

static uint32_t active_n(const struct vw *w, size_t i)
{
    const struct placement *p = view_placement(w->nodes[i].core);
    uint32_t n = 0;
    for (uint32_t k = 0; k < p->keepers_n; k++)
        n += p->keepers[k].state == KEEPER_ACTIVE;
    return n;
}

static bool is_active(const struct vw *w, size_t seer, size_t i)
{
    return keeper_active_of(view_placement(w->nodes[seer].core), &w->nodes[i].config.self) != NULL;
}

static bool three_voters(struct vw *w, void *arg)
{
    (void)arg;
    return vw_well(w, NULL) && record(w, 0)->voters_n == 3;
}

static bool serves_all(struct vw *w, void *arg)
{
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
        bool served = false;
        for (size_t i = 0; i < w->nodes_n; i++)
            served = served || vw_serves(w, i, s);
        if (!served)
            return false;
    }
    (void)arg;
    return true;
}

/* How long, at most, some slot is served by nobody within @for_ms. */
static uint64_t longest_gap_ms(struct vw *w, uint64_t for_ms)
{
    uint64_t since[PLACEMENT_SLOTS] = {0};
    uint64_t longest = 0;
    for (uint64_t t = 1; t <= for_ms; t += 10) {
        for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
            const struct placement_keeper *home = NULL;
            bool served = false;
            for (size_t i = 0; i < w->nodes_n && !served; i++) {
                if (!vw_serves(w, i, s))
                    continue;
                /* As variables have it: its home, with a lease. */
                home = placement_home(view_placement(w->nodes[i].core), (uint32_t)s);
                served = home != NULL && boot_id_equal(&home->boot, &w->nodes[i].config.self);
            }
            if (served)
                since[s] = t;
            longest = t - since[s] > longest ? t - since[s] : longest;
        }
        vw_run(w, 10);
    }
    return longest;
}

static void one_node_serves_without_waiting(void **state)
{
    (void)state;
    struct vw *w = world(1);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, serves_all, NULL, 100));
    /* ... and again after a restart: its own former leases ended with its former boot. */
    vw_crash(w, 0);
    vw_boot(w, 0);
    assert_true(vw_until(w, serves_all, NULL, 1000));
    assert_int_equal(view_placement(w->nodes[0].core)->slots[0].generation, 1);
    done(w);
}

static void second_bootstrap_is_refused(void **state)
{
    (void)state;
    struct vw *w = world(1);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    vw_run(w, 100);
    assert_int_equal(vw_bootstrap(w, 0, 1), KITH_E_EXISTS);
    assert_int_equal(vw_bootstrap(w, 0, 99), KITH_E_INVALID);
    done(w);
}

static void two_nodes_have_one_voter(void **state)
{
    (void)state;
    struct vw *w = world(2);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, vw_well, NULL, 30000));
    vw_run(w, 10000);
    assert_int_equal(record(w, 0)->voters_n, 1);
    assert_int_equal(active_n(w, 0), 2);
    /* The other one may die without harm. */
    vw_crash(w, 1);
    assert_true(vw_until(w, serves_all, NULL, 10000));
    struct view_quorum q;
    view_quorum(w->nodes[0].core, vw_clock_ms(w, 0), &q);
    assert_true(q.have);
    done(w);
}

static void three_that_join_have_three_voters_within_seconds(void **state)
{
    (void)state;
    struct vw *w = world(3);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, three_voters, NULL, 25000));
    struct view_quorum q;
    view_quorum(w->nodes[1].core, vw_clock_ms(w, 1), &q);
    assert_true(q.have);
    assert_int_equal(q.failures_tolerated, 1);
    done(w);
}

static void seven_have_five_voters_after_a_minute(void **state)
{
    (void)state;
    struct vw *w = world(7);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    vw_run(w, 40000);
    assert_int_equal(record(w, 0)->voters_n, 3);
    vw_run(w, 60000);
    assert_int_equal(record(w, 0)->voters_n, 5);
    assert_true(vw_until(w, vw_well, NULL, 60000));
    /* Copies and homes are spread evenly. */
    const struct placement *p = view_placement(w->nodes[0].core);
    for (uint32_t k = 0; k < p->keepers_n; k++) {
        uint32_t copies = 0;
        uint32_t homes = 0;
        for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
            assert_int_equal(p->slots[s].active.replicas_n, 3);
            copies += placement_config_has(&p->slots[s].active, p->keepers[k].member_id);
            homes += p->slots[s].active.replicas[0] == p->keepers[k].member_id;
        }
        assert_in_range(copies, 26, 29);
        assert_in_range(homes, 7, 12);
    }
    done(w);
}

static void expect_waits_for_all_and_mints_once(void **state)
{
    (void)state;
    struct vw *w = vw_new(3, test_seed());
    vw_boot(w, 0);
    vw_boot(w, 1);
    assert_int_equal(vw_bootstrap(w, 0, 3), 0);
    assert_int_equal(vw_bootstrap(w, 1, 3), 0);
    vw_run(w, 10000);
    assert_int_equal(view_placement(w->nodes[0].core)->epoch, 0);
    vw_boot(w, 2);
    assert_int_equal(vw_bootstrap(w, 2, 3), 0);
    assert_true(vw_until(w, vw_well, NULL, 5000));
    assert_int_equal(record(w, 0)->voters_n, 3);
    done(w);
}

/* With four nodes that wait for three, nobody may mint with those who agreed to another. */
static void four_that_wait_for_three_get_one_view(void **state)
{
    (void)state;
    struct rng rng = test_rng();
    for (unsigned run = 0; run < test_rounds(200); run++) {
        struct vw *w = vw_new(5, rng_u64(&rng));
        w->loss = 0.3;
        for (size_t i = 0; i < 5; i++) {
            for (size_t j = 0; j < i; j++)
                vw_cut(w, i, j, rng_below(&rng, 3) == 0);
        }
        for (size_t i = 0; i < 5; i++) {
            vw_boot(w, i);
            assert_int_equal(vw_bootstrap(w, i, 3), 0);
        }
        vw_run(w, 5000);
        vw_heal(w);
        vw_run(w, 8000);
        done(w);
    }
}

static void leader_that_dies_is_replaced(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    int leader = vw_leader(w);
    vw_crash(w, (size_t)leader);
    vw_run(w, 1000);
    assert_true(vw_until(w, serves_all, NULL, 7000));
    done(w);
}

static void keeper_that_dies_costs_its_lease(void **state)
{
    (void)state;
    struct vw *w = cluster(5);
    size_t victim = (size_t)(vw_leader(w) + 1) % 5;
    uint64_t at_us = w->now_us;
    vw_crash(w, victim);
    for (unsigned t = 0; t < 400 && is_active(w, (size_t)vw_leader(w), victim); t++)
        vw_run(w, 10);
    assert_false(is_active(w, (size_t)vw_leader(w), victim));
    assert_true(vw_until(w, serves_all, NULL, 5000 - (w->now_us - at_us) / 1000));
    done(w);
}

static void restarted_keeper_is_another_member_at_once(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    size_t victim = (size_t)(vw_leader(w) + 1) % 3;
    uint32_t before =
        keeper_active_of(view_placement(w->nodes[victim].core), &w->nodes[victim].config.self)
            ->member_id;
    vw_crash(w, victim);
    vw_boot(w, victim);
    assert_true(vw_until(w, serves_all, NULL, 1000));
    assert_true(vw_until(w, vw_well, NULL, 20000));
    assert_true(
        keeper_active_of(view_placement(w->nodes[victim].core), &w->nodes[victim].config.self)
            ->member_id > before);
    done(w);
}

/* Slots that fall short of a copy serve what waited for them before they move again. */
static void slot_that_begins_to_serve_is_left_in_peace_for_a_while(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    size_t leader = (size_t)vw_leader(w);
    uint64_t active_ms[PLACEMENT_SLOTS] = {0};
    uint64_t epoch[PLACEMENT_SLOTS];
    uint32_t moved_again_n = 0;
    const struct placement *p = view_placement(w->nodes[leader].core);
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        epoch[s] = p->slots[s].active.slot_epoch;
    size_t victim = (leader + 1) % 3;
    vw_crash(w, victim);
    vw_boot(w, victim);
    for (uint64_t t = 1; t <= 10000; t += 10) {
        vw_run(w, 10);
        p = view_placement(w->nodes[leader].core);
        for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
            const struct placement_slot *slot = &p->slots[s];
            if (slot->active.slot_epoch != epoch[s]) {
                epoch[s] = slot->active.slot_epoch;
                active_ms[s] = t;
                assert_int_equal(slot->chosen.slot_epoch, 0);
            }
            if (slot->chosen.slot_epoch == 0 || active_ms[s] == 0)
                continue;
            assert_true(t - active_ms[s] >= SLOT_REST_MS - 2 * PROPOSE_MS);
            active_ms[s] = 0;
            moved_again_n++;
        }
    }
    assert_true(moved_again_n > 0); /* the third copies */
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

static void minority_says_that_it_has_no_quorum(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    struct view_quorum q;
    for (size_t i = 0; i < 2; i++)
        vw_cut(w, 2, i, true);
    vw_run(w, 12000);
    view_quorum(w->nodes[2].core, vw_clock_ms(w, 2), &q);
    assert_false(q.have);
    assert_int_equal(q.missing_n, 2);
    assert_string_not_equal(q.missing[0].name, "");
    view_quorum(w->nodes[0].core, vw_clock_ms(w, 0), &q);
    assert_true(q.have);
    assert_true(w->nodes[2].lease_until_ms <= vw_clock_ms(w, 2));
    vw_heal(w);
    assert_true(vw_until(w, vw_well, NULL, 40000));
    done(w);
}

static void whole_cluster_restarts_with_its_disks(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    for (size_t i = 0; i < 3; i++)
        vw_crash(w, i);
    for (size_t i = 0; i < 3; i++)
        vw_boot(w, i);
    assert_true(vw_until(w, vw_well, NULL, 30000));
    assert_int_equal(view_placement(w->nodes[0].core)->slots[5].generation, 1);
    done(w);
}

static void one_disk_is_enough_after_half_a_minute(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    for (size_t i = 0; i < 3; i++)
        vw_crash(w, i);
    vw_wipe(w, 0);
    vw_boot(w, 1);
    vw_boot(w, 2);
    vw_run(w, 20000);
    assert_false(serves_all(w, NULL));
    assert_true(vw_until(w, serves_all, NULL, 30000));
    done(w);
}

static void old_copy_of_a_disk_loses_its_vote(void **state)
{
    for (int boot_too = 0; boot_too < 2; boot_too++) {
        struct vw *w = cluster(3);
        size_t victim = (size_t)(vw_leader(w) + 1) % 3;
        (void)state;
        vw_snapshot(w, victim);
        vw_crash(w, victim);
        vw_boot(w, victim);
        assert_true(vw_until(w, vw_well, NULL, 30000));
        vw_restore(w, victim, boot_too != 0);
        if (!boot_too)
            vw_boot(w, victim);
        vw_run(w, 1000);
        assert_true(w->nodes[victim].core->stale);
        assert_true(vw_until(w, three_voters, NULL, 40000));
        int at = voter_place(record(w, victim), &w->nodes[victim].config.self.node);
        assert_true(at < 0 || memcmp(record(w, victim)->voters[at].disk_id,
                                     w->nodes[victim].config.disk_id, 16) != 0);
        done(w);
    }
}

/* @n keepers, of which node 0 is the only voter for some seconds; its disk is copied, and it is
 * down. */
static struct vw *copied_while_only_voter(size_t n)
{
    struct vw *w = vw_new(n, test_seed());
    for (size_t i = 0; i < n; i++) {
        w->nodes[i].config.settle_ms = 8000;
        vw_boot(w, i);
    }
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, vw_well, NULL, 30000));
    assert_int_equal(record(w, 0)->voters_n, 1);
    assert_int_equal(record(w, 0)->placement.keepers_n, n);
    vw_snapshot(w, 0);
    vw_crash(w, 0);
    return w;
}

static void old_copy_of_the_only_voter_hears_before_it_leads(void **state)
{
    (void)state;
    struct vw *w = copied_while_only_voter(3);
    vw_boot(w, 0); /* the others see its disk in a later boot */
    assert_true(vw_until(w, three_voters, NULL, 60000));
    vw_crash(w, 0);
    vw_run(w, 8000);
    assert_true(vw_leader(w) > 0);
    vw_restore(w, 0, false);
    vw_boot(w, 0);
    for (unsigned t = 0; t < 1000; t++) {
        vw_run(w, 2);
        assert_int_not_equal(view_role(w->nodes[0].core), VIEW_LEADER);
        assert_int_equal(w->nodes[0].core->stats.grants, 0);
    }
    assert_true(w->nodes[0].core->stale);
    assert_true(vw_until(w, three_voters, NULL, 60000));
    done(w);
}

static void link_up(struct vw *w, size_t at, size_t to)
{
    struct view_event event = {.type = VIEW_LINK_UP, .from = w->nodes[to].config.self};
    assert_int_equal(vw_event(w, at, &event), 0);
}

static bool saw_node_0_and_nothing_since(struct vw *w, void *arg)
{
    const struct vpeer *peer = peer_look(w->nodes[1].core, &w->nodes[0].config.self.node);
    (void)arg;
    return peer != NULL && peer->witness_boot == w->nodes[0].config.self.boot_no &&
           peer->witness_token <= w->nodes[1].core->persisted;
}

/* Node 1 has seen the disk of node 0 in a later boot, and nothing of what was decided since. It
 * refuses the copy, which does not hear of it; then another link opens, and it says HELLO. */
static void refusal_that_is_lost_is_no_answer(void **state)
{
    (void)state;
    struct vw *w = copied_while_only_voter(4);
    vw_cut(w, 0, 2, true);
    vw_cut(w, 0, 3, true);
    vw_boot(w, 0);
    assert_true(vw_until(w, saw_node_0_and_nothing_since, NULL, 1000));
    vw_crash(w, 1);
    vw_heal(w);
    assert_true(vw_until(w, three_voters, NULL, 60000));
    vw_crash(w, 0);
    vw_run(w, 8000);
    assert_true(vw_leader(w) > 1);
    vw_cut(w, 0, 2, true);
    vw_cut(w, 0, 3, true);
    vw_cut(w, 1, 2, true);
    vw_cut(w, 1, 3, true);
    w->cut[1][0] = true;
    vw_restore(w, 0, false);
    vw_boot(w, 0);
    vw_boot(w, 1);
    link_up(w, 0, 1);
    vw_run(w, 500);
    assert_int_not_equal(w->nodes[1].core->stats.refused_voters, 0);
    assert_false(w->nodes[0].core->stale);
    w->cut[1][0] = false;
    link_up(w, 1, 0);
    for (unsigned t = 0; t < 1000 && !w->nodes[0].core->stale; t++) {
        vw_run(w, 2);
        assert_int_not_equal(view_role(w->nodes[0].core), VIEW_LEADER);
    }
    assert_true(w->nodes[0].core->stale);
    vw_heal(w);
    assert_true(vw_until(w, three_voters, NULL, 60000));
    done(w);
}

/* A keeper that answers is all that the only voter waits for, and none has to. */
static void only_voter_that_restarts_waits_for_an_answer(void **state)
{
    (void)state;
    struct vw *w = world(2);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, vw_well, NULL, 30000));
    vw_crash(w, 0);
    vw_boot(w, 0);
    for (unsigned t = 0; t < 40 && vw_leader(w) != 0; t++)
        vw_run(w, 10);
    assert_int_equal(vw_leader(w), 0); /* links open within 220 ms */
    /* Nobody answers: as long as a lease that it does not know of may run. */
    vw_crash(w, 1);
    vw_crash(w, 0);
    vw_boot(w, 0);
    vw_run(w, 4400);
    assert_int_equal(view_role(w->nodes[0].core), VIEW_SITOUT);
    assert_true(vw_leader(w) < 0);
    vw_run(w, 1000);
    assert_int_equal(vw_leader(w), 0);
    /* Ordered by its operator it waits for nobody. */
    vw_crash(w, 0);
    vw_boot(w, 0);
    assert_int_equal(vw_event(w, 0, &(struct view_event){.type = VIEW_FORCE}), 0);
    vw_run(w, 100);
    assert_int_equal(vw_leader(w), 0);
    done(w);
}

/* The one behind @arg (an index) has heard that it is no keeper any more. */
static bool is_known_to_be_gone(struct vw *w, void *arg)
{
    size_t leaver = *(size_t *)arg;
    return !is_active(w, (leaver + 1) % w->nodes_n, leaver);
}

static void leaving_moves_vote_and_slots_first(void **state)
{
    for (int leads = 0; leads < 2; leads++) {
        struct vw *w = cluster(4);
        (void)state;
        size_t leaver = ((size_t)vw_leader(w) + (leads ? 0 : 1)) % 4;
        (void)vw_event(w, leaver, &(struct view_event){.type = VIEW_LEAVE});
        for (unsigned t = 0; t < 1000 && !w->nodes[leaver].left; t++)
            vw_run(w, 10);
        assert_true(w->nodes[leaver].left);
        size_t other = (leaver + 1) % 4;
        assert_true(vw_until(w, is_known_to_be_gone, &leaver, 500));
        assert_true(voter_place(record(w, other), &w->nodes[leaver].config.self.node) < 0);
        vw_crash(w, leaver);
        assert_true(longest_gap_ms(w, 3000) <= 900);
        done(w);
    }
}

static void the_voter_of_two_may_leave(void **state)
{
    (void)state;
    struct vw *w = world(2);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    assert_true(vw_until(w, vw_well, NULL, 30000));
    (void)vw_event(w, 0, &(struct view_event){.type = VIEW_LEAVE});
    for (unsigned t = 0; t < 2000 && !w->nodes[0].left; t++)
        vw_run(w, 10);
    assert_true(w->nodes[0].left);
    vw_crash(w, 0);
    assert_true(vw_until(w, serves_all, NULL, 1000));
    done(w);
}

static bool one_voter(struct vw *w, void *arg)
{
    return record(w, *(size_t *)arg)->voters_n == 1;
}

/* The first of those that are alike is taken. */
static size_t keeper_place(const struct vw *w, size_t seer, size_t i)
{
    const struct placement *p = view_placement(w->nodes[seer].core);
    size_t at = 0;
    while (at < p->keepers_n && !boot_id_equal(&p->keepers[at].boot, &w->nodes[i].config.self))
        at++;
    return at;
}

static bool is_taken_in(struct vw *w, void *arg)
{
    int leader = vw_leader(w);
    return leader >= 0 && is_active(w, (size_t)leader, *(size_t *)arg);
}

/* A voter dies, and its disk with it. The leader leaves at once, or a while later, and hands all
 * votes to one: to the other, or nothing is ever decided again. */
static void the_only_vote_goes_to_who_is_there(void **state)
{
    (void)state;
    for (uint64_t after_ms = 0; after_ms <= 1600; after_ms += 400) {
        struct vw *w = cluster(3);
        size_t leader = (size_t)vw_leader(w) % 3;
        size_t dead = (leader + 1) % 3;
        size_t other = (leader + 2) % 3;
        if (keeper_place(w, leader, other) < keeper_place(w, leader, dead)) {
            dead = other;
            other = (leader + 1) % 3;
        }
        assert_int_equal(record(w, other)->voters_n, 3);
        vw_wipe(w, dead);
        vw_run(w, after_ms);
        (void)vw_event(w, leader, &(struct view_event){.type = VIEW_LEAVE});
        assert_true(vw_until(w, one_voter, &other, 1500));
        assert_int_equal(voter_place(record(w, other), &w->nodes[other].config.self.node), 0);
        vw_goodbye(w, leader);
        vw_boot(w, dead);
        assert_true(vw_until(w, is_taken_in, &dead, 30000));
        done(w);
    }
}

static bool leader_votes_no_more(struct vw *w, void *arg)
{
    const size_t *nodes = arg; /* who sees it, and the leader */
    return voter_place(record(w, nodes[0]), &w->nodes[nodes[1]].config.self.node) < 0;
}

/* state-swarm 28508: of four keepers one without a vote and then a voter die, and their disks with
 * them. The leader leaves before that is noticed: its vote goes to nobody who is dead, as two of
 * three would be, and nothing is ever decided again. */
static void a_vote_goes_to_who_is_there(void **state)
{
    (void)state;
    for (uint64_t after_ms = 0; after_ms <= 1200; after_ms += 300) {
        struct vw *w = cluster(4);
        size_t leader = (size_t)vw_leader(w) % 4;
        size_t outsider = 0;
        while (voter_place(record(w, leader), &w->nodes[outsider].config.self.node) >= 0)
            outsider++;
        size_t dead = leader == (outsider + 1) % 4 ? (outsider + 2) % 4 : (outsider + 1) % 4;
        size_t stays = 6 - leader - outsider - dead;
        assert_int_equal(record(w, stays)->voters_n, 3);
        vw_wipe(w, outsider);
        vw_run(w, after_ms);
        vw_wipe(w, dead);
        vw_run(w, after_ms / 3);
        (void)vw_event(w, leader, &(struct view_event){.type = VIEW_LEAVE});
        size_t nodes[2] = {stays, leader};
        assert_true(vw_until(w, leader_votes_no_more, nodes, 5000));
        vw_goodbye(w, leader);
        vw_boot(w, dead);
        vw_boot(w, outsider);
        assert_true(vw_until(w, is_taken_in, &dead, 30000));
        assert_true(vw_until(w, is_taken_in, &outsider, 30000));
        done(w);
    }
}

/* Node @at hears from @from who leads. */
static void hear_of_leader(struct vw *w, size_t at, size_t from, const struct view_ballot *ballot)
{
    const struct view_core *core = w->nodes[from].core;
    uint8_t bytes[VIEW_MSG_BYTES_MAX];
    struct view_msg m = {
        .type = VMSG_BEAT, .ballot = *ballot, .epoch = core->decided.placement.epoch};
    memcpy(m.cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES);
    memcpy(m.chain, core->decided.chain, VIEW_CLUSTER_BYTES);
    struct view_event recv = {.type = VIEW_RECV,
                              .data = bytes,
                              .len = view_msg_encode(&m, bytes),
                              .from = w->nodes[from].config.self};
    assert_int_equal(vw_event(w, at, &recv), 0);
}

/* state-swarm 7029: two were elected in one round, by the voters before and after a change, and the
 * one whose time was over has the greater id. Who heard of it asked it for leases for ever. */
static void leader_outbids_a_former_one_of_its_round(void **state)
{
    (void)state;
    struct vw *w = cluster(2);
    size_t leads = (size_t)vw_leader(w);
    size_t other = 1 - leads;
    struct view_ballot ghost = {.round = w->nodes[leads].core->ballot.round};
    memset(&ghost.node, 0xff, sizeof(ghost.node));
    hear_of_leader(w, other, leads, &ghost);
    assert_memory_equal(&w->nodes[other].core->leader, &ghost, sizeof(ghost));
    vw_run(w, 2000);
    assert_int_equal(vw_leader(w), leads);
    assert_true(w->nodes[other].core->leader.round > ghost.round);
    assert_true(vw_well(w, NULL));
    done(w);
}

static void other_chain_is_refused(void **state)
{
    (void)state;
    struct vw *w = world(4);
    vw_cut(w, 0, 1, true);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    vw_run(w, 300);
    w->epochs_n = 0; /* two chains are what this case is about */
    memset(w->members, 0, sizeof(w->members));
    struct view_core *other = w->nodes[1].core;
    struct view_event mint = {.type = VIEW_BOOTSTRAP, .expect = 1, .now_ms = vw_clock_ms(w, 1)};
    struct view_output out;
    if (view_placement(other)->epoch == 0) {
        assert_int_equal(view_step(other, &mint, &out), 0);
        mint = (struct view_event){
            .type = VIEW_PERSISTED, .token = other->token, .now_ms = vw_clock_ms(w, 1)};
        assert_int_equal(view_step(other, &mint, &out), 0);
        assert_int_equal(view_placement(other)->epoch, 1);
        uint8_t bytes[VIEW_MSG_BYTES_MAX];
        struct view_msg m = {
            .type = VMSG_DECIDED, .record = other->decided_bytes, .record_len = other->decided_len};
        memcpy(m.cluster_id, other->config.cluster_id, VIEW_CLUSTER_BYTES);
        memcpy(m.chain, other->decided.chain, VIEW_CLUSTER_BYTES);
        size_t len = view_msg_encode(&m, bytes);
        struct view_event recv = {
            .type = VIEW_RECV, .data = bytes, .len = len, .from = w->nodes[1].config.self};
        (void)vw_event(w, 0, &recv);
        assert_int_equal(w->nodes[0].refused, 1);
        assert_memory_not_equal(w->nodes[0].core->decided.chain, other->decided.chain, 16);
    }
    vw_free(w);
}

static void forced_view_of_the_only_survivor_serves(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    size_t left = ((size_t)vw_leader(w) + 1) % 3;
    for (size_t i = 0; i < 3; i++) {
        if (i != left)
            vw_crash(w, i);
    }
    vw_run(w, 15000);
    assert_false(serves_all(w, NULL));
    struct view_force_loss loss;
    assert_int_equal(view_force_loss(w->nodes[left].core, vw_clock_ms(w, left), &loss), 0);
    assert_int_equal(loss.voters_n, 2);
    assert_int_equal(loss.keepers_n, 2);
    assert_int_equal(loss.slots_lost_n, 0);
    assert_int_equal(loss.slots_fewer_n, PLACEMENT_SLOTS);
    assert_int_equal(vw_event(w, left, &(struct view_event){.type = VIEW_FORCE}), 0);
    assert_true(vw_until(w, serves_all, NULL, 7000));
    assert_int_equal(view_placement(w->nodes[left].core)->epoch >> 48, 1);
    /* Those who were away take the forced view. */
    for (size_t i = 0; i < 3; i++) {
        if (i != left)
            vw_boot(w, i);
    }
    assert_true(vw_until(w, vw_well, NULL, 40000));
    done(w);
}

static void edge_learns_the_view_and_never_keeps(void **state)
{
    (void)state;
    struct vw *w = vw_new(4, test_seed());
    w->nodes[3].config.eligible = false;
    for (size_t i = 0; i < 4; i++)
        vw_boot(w, i);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(vw_bootstrap(w, i, 3), 0);
    assert_true(vw_until(w, vw_well, NULL, 10000));
    assert_int_equal(active_n(w, 3), 3);
    assert_int_equal(vw_bootstrap(w, 3, 1), KITH_E_INVALID);
    assert_int_equal(w->nodes[3].disk.entries[0].key_len, 0);
    /* A change reaches it by being pushed. */
    vw_crash(w, ((size_t)vw_leader(w) + 1) % 3);
    assert_true(vw_until(w, vw_well, NULL, 10000));
    done(w);
}

static void flapping_keeper_is_held_down(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    size_t leader = (size_t)vw_leader(w);
    size_t flaps = (leader + 1) % 3;
    vw_pause(w, flaps, 4000);
    vw_run(w, 9000);
    assert_false(is_active(w, leader, flaps));
    assert_true(vw_until(w, vw_well, NULL, 12000));
    vw_pause(w, flaps, 4000);
    vw_run(w, 18000);
    assert_false(is_active(w, leader, flaps)); /* twice as long */
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

static void one_bad_link_costs_one_of_its_ends(void **state)
{
    (void)state;
    struct vw *w = cluster(4);
    size_t leader = (size_t)vw_leader(w);
    size_t a = (leader + 1) % 4;
    size_t b = (leader + 2) % 4;
    vw_cut(w, a, b, true);
    vw_run(w, 8000);
    assert_int_equal(active_n(w, leader), 4);
    vw_run(w, 6000);
    assert_int_equal(active_n(w, leader), 3);
    assert_true(is_active(w, leader, a) != is_active(w, leader, b));
    done(w);
}

static void complaints_of_all_exclude_a_deaf_keeper(void **state)
{
    (void)state;
    struct vw *w = cluster(4);
    size_t leader = (size_t)vw_leader(w);
    size_t bad = (leader + 1) % 4;
    uint32_t id =
        keeper_active_of(view_placement(w->nodes[leader].core), &w->nodes[bad].config.self)
            ->member_id;
    for (unsigned t = 0; t < 20; t++) {
        for (size_t i = 0; i < 4; i++) {
            if (i != bad)
                (void)vw_event(w, i, &(struct view_event){.type = VIEW_COMPLAIN, .member_id = id});
        }
        vw_run(w, 100);
    }
    assert_false(is_active(w, leader, bad));
    done(w);
}

static void durable_slot_is_never_lost(void **state)
{
    (void)state;
    struct vw *w = cluster(4);
    (void)vw_event(w, 1, &(struct view_event){.type = VIEW_SLOT_DURABLE, .slot = 7});
    vw_run(w, 500);
    assert_true(view_slot_durable(w->nodes[1].core, 7));
    assert_false(view_slot_durable(w->nodes[1].core, 8));
    done(w);
}

static void full_disk_takes_on_no_vote(void **state)
{
    (void)state;
    struct vw *w = world(3);
    assert_int_equal(vw_bootstrap(w, 0, 1), 0);
    (void)vw_event(w, 2, &(struct view_event){.type = VIEW_DISK_FULL, .full = true});
    vw_run(w, 25000);
    assert_int_equal(record(w, 0)->voters_n, 1);
    (void)vw_event(w, 2, &(struct view_event){.type = VIEW_DISK_FULL, .full = false});
    assert_true(vw_until(w, three_voters, NULL, 20000));
    done(w);
}

static void leader_that_restarts_costs_less_than_a_second(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    vw_run(w, 5000);
    size_t leader = (size_t)vw_leader(w);
    vw_crash(w, leader);
    vw_boot(w, leader);
    assert_in_range(longest_gap_ms(w, 8000), 1, 900);
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

/* ... which it did not while the voter that restarted before sat out. */
static void second_restart_costs_no_more_than_the_first(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    vw_run(w, 5000);
    for (unsigned turn = 0; turn < 6; turn++) {
        size_t leader = (size_t)vw_leader(w);
        size_t victim = (leader + turn % 3) % 3;
        vw_crash(w, victim);
        vw_boot(w, victim);
        assert_in_range(longest_gap_ms(w, 1500), 1, 900);
    }
    assert_true(vw_until(w, vw_well, NULL, 20000));
    done(w);
}

static void leader_that_says_goodbye_costs_less_than_a_second(void **state)
{
    for (int first = 0; first < 2; first++) {
        (void)state;
        struct vw *w = cluster(3);
        vw_run(w, 5000);
        size_t leader = (size_t)vw_leader(w);
        if (first) { /* gives all away first */
            (void)vw_event(w, leader, &(struct view_event){.type = VIEW_LEAVE});
            assert_in_range(longest_gap_ms(w, 1000), 1, 900);
            assert_true(w->nodes[leader].left);
        }
        vw_goodbye(w, leader);
        assert_true(longest_gap_ms(w, 5000) <= 900);
        done(w);
    }
}

static void whole_cluster_restarts_without_sitting_out(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    vw_run(w, 5000);
    for (size_t i = 0; i < 3; i++)
        vw_crash(w, i);
    for (size_t i = 0; i < 3; i++)
        vw_boot(w, i);
    assert_true(vw_until(w, serves_all, NULL, 1500));
    done(w);
}

/* Its leader is up and says nothing: what it granted may run, so the voter waits. */
static void restarted_voter_sits_out_for_a_leader_that_may_live(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    vw_run(w, 5000);
    size_t leader = (size_t)vw_leader(w);
    size_t voter = (leader + 1) % 3;
    vw_cut(w, leader, (leader + 1) % 3, true);
    vw_cut(w, leader, (leader + 2) % 3, true);
    vw_crash(w, voter);
    vw_boot(w, voter);
    assert_int_equal(view_role(w->nodes[voter].core), VIEW_SITOUT);
    vw_run(w, 4400);
    assert_int_equal(view_role(w->nodes[voter].core), VIEW_SITOUT);
    vw_run(w, 1000);
    int next = vw_leader(w);
    assert_true(next >= 0 && next != (int)leader);
    done(w);
}

/* ... and votes for it at once if it hears it: it breaks no promise. */
static void restarted_voter_acknowledges_the_leader_it_had(void **state)
{
    (void)state;
    struct vw *w = cluster(3);
    vw_run(w, 5000);
    size_t leader = (size_t)vw_leader(w);
    size_t voter = (leader + 1) % 3;
    size_t other = (leader + 2) % 3;
    vw_crash(w, other);
    vw_crash(w, voter);
    uint64_t epoch = view_placement(w->nodes[leader].core)->epoch;
    vw_boot(w, voter);
    vw_run(w, 1000);
    assert_true(view_placement(w->nodes[leader].core)->epoch > epoch);
    vw_run(w, 6000);
    assert_int_equal(vw_leader(w), (int)leader);
    done(w);
}

static void first_view_serves_within_half_a_second(void **state)
{
    (void)state;
    struct vw *w = world(3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(vw_bootstrap(w, i, 3), 0);
    assert_true(vw_until(w, serves_all, NULL, 700)); /* 220 ms until all have met */
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_serves_without_waiting),
        cmocka_unit_test(second_bootstrap_is_refused),
        cmocka_unit_test(two_nodes_have_one_voter),
        cmocka_unit_test(three_that_join_have_three_voters_within_seconds),
        cmocka_unit_test(seven_have_five_voters_after_a_minute),
        cmocka_unit_test(expect_waits_for_all_and_mints_once),
        cmocka_unit_test(four_that_wait_for_three_get_one_view),
        cmocka_unit_test(leader_that_dies_is_replaced),
        cmocka_unit_test(keeper_that_dies_costs_its_lease),
        cmocka_unit_test(restarted_keeper_is_another_member_at_once),
        cmocka_unit_test(slot_that_begins_to_serve_is_left_in_peace_for_a_while),
        cmocka_unit_test(minority_says_that_it_has_no_quorum),
        cmocka_unit_test(whole_cluster_restarts_with_its_disks),
        cmocka_unit_test(one_disk_is_enough_after_half_a_minute),
        cmocka_unit_test(old_copy_of_a_disk_loses_its_vote),
        cmocka_unit_test(old_copy_of_the_only_voter_hears_before_it_leads),
        cmocka_unit_test(refusal_that_is_lost_is_no_answer),
        cmocka_unit_test(only_voter_that_restarts_waits_for_an_answer),
        cmocka_unit_test(leaving_moves_vote_and_slots_first),
        cmocka_unit_test(the_voter_of_two_may_leave),
        cmocka_unit_test(the_only_vote_goes_to_who_is_there),
        cmocka_unit_test(a_vote_goes_to_who_is_there),
        cmocka_unit_test(leader_outbids_a_former_one_of_its_round),
        cmocka_unit_test(other_chain_is_refused),
        cmocka_unit_test(forced_view_of_the_only_survivor_serves),
        cmocka_unit_test(edge_learns_the_view_and_never_keeps),
        cmocka_unit_test(flapping_keeper_is_held_down),
        cmocka_unit_test(one_bad_link_costs_one_of_its_ends),
        cmocka_unit_test(complaints_of_all_exclude_a_deaf_keeper),
        cmocka_unit_test(durable_slot_is_never_lost),
        cmocka_unit_test(full_disk_takes_on_no_vote),
        cmocka_unit_test(leader_that_restarts_costs_less_than_a_second),
        cmocka_unit_test(second_restart_costs_no_more_than_the_first),
        cmocka_unit_test(leader_that_says_goodbye_costs_less_than_a_second),
        cmocka_unit_test(whole_cluster_restarts_without_sitting_out),
        cmocka_unit_test(restarted_voter_sits_out_for_a_leader_that_may_live),
        cmocka_unit_test(restarted_voter_acknowledges_the_leader_it_had),
        cmocka_unit_test(first_view_serves_within_half_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
