/*
 * What a home lets others cache, and the home that comes after it: four cores, messages that arrive
 * at once or not at all, and a placement that the case decides.
 */
#include "core/lease.h"
#include "dvar_cores.h"
#include "unit/left_out.h"

static void an_answer_is_cached_when_all_copies_know_that_some_are(void **state)
{
    (void)state;
    begin();
    lost_type = WIRE_SHARE;
    get(EDGE);
    assert_true(done && result.number == 1 && !reads_alone(EDGE));
    pass(300);
    assert_false(reads_alone(EDGE));
    lost_type = 0;
    pass(300);
    get(EDGE); /* the copy is told */
    get(EDGE);
    assert_true(done && reads_alone(EDGE) && result.number == 1);
    end();
}

static void what_a_dead_home_let_others_cache_is_waited_for(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    uint64_t dead_ms = now_ms;
    lose_home(KEEPER_DIED, 2);
    assert_true(reads_alone(EDGE) && result.number == 1);
    while (ready[COPY] != 2) {
        pass(5);
        assert_true(now_ms < dead_ms + 2 * SESSION_MS);
    }
    assert_true(now_ms >= lease_lessor_until_ms(dead_ms, SESSION_MS));
    assert_false(reads_alone(EDGE));
    end();
}

static void a_dead_home_that_shared_nothing_is_not_waited_for(void **state)
{
    (void)state;
    begin();
    lose_home(KEEPER_DIED, 2);
    assert_int_equal(ready[COPY], 2);
    end();
}

/* Its end was awaited, and sessions lie within it. */
static void a_home_whose_lease_has_ended_is_not_waited_for(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    lose_home(KEEPER_ENDED, 2);
    assert_int_equal(ready[COPY], 2);
    end();
}

/* From disks: who was cached is known to nobody. */
static void without_a_copy_that_knows_a_dead_home_is_waited_for(void **state)
{
    (void)state;
    begin();
    placement.keepers[COPY].state = KEEPER_DIED;
    lose_home(KEEPER_DIED, 3);
    assert_int_equal(ready[OTHER], 0);
    pass(2 * SESSION_MS);
    assert_int_equal(ready[OTHER], 2);
    end();
}

/* A leader that resigns gives its lease back before its end, and may have another one at once. */
static void a_lease_given_back_ends_nothing_that_was_granted_under_it(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    assert_true(reads_alone(EDGE) && result.number == 1);
    step(HOME, (struct dvar_event){.type = DVAR_LEASE, .until_ms = 0});
    lease(HOME);
    cut[EDGE] = true;
    set(HOME, 2);
    assert_false(done); /* it has not dropped it */
    cut[EDGE] = false;
    assert_true(reads_alone(EDGE) && result.number == 1);
    pass(300);
    get(EDGE);
    assert_true(done && result.number == 2);
    end();
}

/* state-swarm 18657: its good-bye is proof that its boot is over, and its threads still read. */
static void who_is_about_to_leave_caches_nothing_any_more(void **state)
{
    (void)state;
    begin();
    set(HOME, 1);
    get(EDGE);
    get(EDGE); /* cached */
    assert_true(reads_alone(EDGE));
    step(EDGE, (struct dvar_event){.type = DVAR_STOP});
    step(HOME, (struct dvar_event){.type = DVAR_PEER_DOWN, .from = boot_of(EDGE), .left = true});
    set(HOME, 2);
    assert_true(done);
    assert_false(reads_alone(EDGE));
    deliver();
    for (int i = 0; i < 3; i++) {
        get(EDGE);
        assert_false(reads_alone(EDGE));
        deliver();
    }
    end();
}

static void note_settled(void *arg, const struct dvar_change *variable)
{
    int *settled = arg;
    *settled = variable->settled;
}

/* state-swarm 15312: a mutex took a record for true that its home had not yet written everywhere,
 * and the next home knew nothing of it. */
static void what_is_being_written_is_not_settled(void **state)
{
    (void)state;
    int settled = -1;
    begin();
    set(HOME, 1);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 1);
    cut[COPY] = true;
    set(HOME, 2);
    assert_false(done);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 0);
    cut[COPY] = false;
    pass(300);
    assert_true(done);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 1);
    end();
}

/* Numbers of writes count in each slot, and the places of writes are used again. */
static void what_was_dropped_of_another_slot_says_nothing_of_this_one(void **state)
{
    (void)state;
    assert_int_not_equal(placement_slot_of("x", 1), placement_slot_of("a", 1));
    begin();
    name = "a";
    set(HOME, 1);
    for (int i = 0; i < 4; i++) {
        name = i < 2 ? "x" : "a";
        get(EDGE); /* the second one is cached */
    }
    name = "x";
    held_type = WIRE_SACK;
    set(HOME, 2);
    pass(300); /* asked again, as the first answer is late */
    assert_true(done && held.len > 0);
    name = "a";
    lost_type = WIRE_SINV;
    set(HOME, 2);
    arrive(&held);
    assert_false(done);
    assert_true(reads_alone(EDGE) && result.number == 1);
    lost_type = 0;
    pass(300);
    get(EDGE);
    assert_true(done && result.number == 2);
    end();
}

/* The view may have heard of its end before the next home has, and take that one's word. */
static void a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    cut[HOME] = true;
    choose(2, 2, 3);
    pass(1000);
    assert_int_equal(ready[COPY], 0);
    uint64_t dead_ms = now_ms;
    placement.keepers[HOME].state = KEEPER_DIED;
    decide();
    while (ready[COPY] != 2) {
        pass(5);
        assert_true(now_ms < dead_ms + 2 * SESSION_MS);
    }
    assert_true(now_ms >= lease_lessor_until_ms(dead_ms, SESSION_MS));
    end();
    begin();
    cut[HOME] = true;
    choose(2, 2, 3);
    pass(1000);
    placement.keepers[HOME].state = KEEPER_ENDED;
    decide(); /* and said at once then */
    assert_int_equal(ready[COPY], 2);
    end();
}

/*
 * A home answers a read, moves on and has its asker drop what it caches, and comes back. What it
 * answered first is under the same session still, and arrives last.
 */
static void an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    set(COPY, 2); /* the edge drops it, and goes on with its session */
    assert_false(reads_alone(EDGE));
    pass(300); /* it asked in vain, and asks again */
    assert_true(done);
    set(COPY, 3);
    held_type = WIRE_RES;
    get(EDGE);
    assert_true(!done && held.to == EDGE && held.from == HOME);
    lost_type = WIRE_RES; /* nothing else is answered for now */
    move(2, 2, 1);
    move(3, 1, 2);
    set(HOME, 4);
    assert_true(done && result.code == 0);
    done = false;
    arrive(&held);
    lost_type = 0;
    assert_true(done && result.number == 3); /* it was asked for when that was so */
    get(EDGE);
    assert_true(done && result.number == 4);
    end();
}

/*
 * A placement that proves a new boot ends the session that a write waits for, and moves the slot.
 * What waits behind that write is not done here under the epoch of the next home.
 */
static void a_write_that_ends_as_its_slot_moves_begins_none_in_the_next_epoch(void **state)
{
    (void)state;
    struct dvar_info info;
    begin();
    get(OTHER);
    get(OTHER);
    assert_true(reads_alone(OTHER));
    cut[OTHER] = true;
    set(HOME, 2);
    assert_false(done);
    set(HOME, 3); /* waits behind it */
    assert_false(done);
    boots[OTHER]++;
    placement.keepers[OTHER].member_id = EDGE + 1;
    placement.keepers[OTHER].boot = boot_of(OTHER);
    placement.slots[placement_slot_of("x", 1)].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {EDGE + 1, 1, 2}, .replicas_n = 3};
    decide();
    assert_true(done && result.code == 0); /* the first: all copies have it */
    for (int n = HOME; n <= COPY; n++) {
        /* The next home did not commit it again in this case. */
        dvar_info(cores[n], "x", 1, now_ms, &info);
        assert_int_equal(info.version, 0);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_cached_when_all_copies_know_that_some_are),
        cmocka_unit_test(what_a_dead_home_let_others_cache_is_waited_for),
        cmocka_unit_test(a_dead_home_that_shared_nothing_is_not_waited_for),
        cmocka_unit_test(a_home_whose_lease_has_ended_is_not_waited_for),
        cmocka_unit_test(without_a_copy_that_knows_a_dead_home_is_waited_for),
        cmocka_unit_test(a_lease_given_back_ends_nothing_that_was_granted_under_it),
        cmocka_unit_test(what_was_dropped_of_another_slot_says_nothing_of_this_one),
        cmocka_unit_test(a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known),
        cmocka_unit_test(an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again),
        cmocka_unit_test(a_write_that_ends_as_its_slot_moves_begins_none_in_the_next_epoch),
        cmocka_unit_test(who_is_about_to_leave_caches_nothing_any_more),
        cmocka_unit_test(what_is_being_written_is_not_settled),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_NO_SHARE_WAIT,
         cmocka_unit_test(what_a_dead_home_let_others_cache_is_waited_for)},
        {MUTANT_DVAR_NO_RELEASE,
         cmocka_unit_test(a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known)},
        {MUTANT_DVAR_LEAVES_CACHING,
         cmocka_unit_test(who_is_about_to_leave_caches_nothing_any_more)},
        {MUTANT_DVAR_UNSETTLED_TOLD, cmocka_unit_test(what_is_being_written_is_not_settled)},
        {MUTANT_DVAR_NO_POISON,
         cmocka_unit_test(an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}
