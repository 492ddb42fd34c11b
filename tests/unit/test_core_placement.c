/*
 * Slots of names, and who is found in a placement.
 */
#include "core/placement.h"

#include "lib/test.h"

static void names_spread_over_all_slots_and_stay_there(void **state)
{
    (void)state;
    unsigned count[PLACEMENT_SLOTS] = {0};
    char name[32];

    for (unsigned i = 0; i < 64000; i++) {
        int len = snprintf(name, sizeof(name), "sensor/%u", i);
        uint32_t slot = placement_slot_of(name, (size_t)len);
        assert_in_range(slot, 0, PLACEMENT_SLOTS - 1);
        count[slot]++;
    }
    for (unsigned i = 0; i < PLACEMENT_SLOTS; i++)
        assert_in_range(count[i], 800, 1200);
    /* Written down: a release that hashes otherwise would lose every name. */
    assert_int_equal(placement_slot_of("x", 1), 36);
    assert_int_equal(placement_slot_of("counter", 7), 18);
}

static struct placement example(void)
{
    struct placement placement = {.epoch = 3, .keepers_n = 3};
    for (uint32_t i = 0; i < 3; i++) {
        placement.keepers[i].member_id = 10 + i;
        placement.keepers[i].boot.boot_no = 1;
        placement.keepers[i].boot.node.bytes[0] = (uint8_t)i;
    }
    placement.slots[5].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {11, 10}, .replicas_n = 2};
    return placement;
}

static void home_is_the_first_replica_while_its_lease_may_run(void **state)
{
    (void)state;
    struct placement placement = example();

    assert_int_equal(placement_home(&placement, 5)->member_id, 11);
    placement.keepers[1].state = KEEPER_EXCLUDED;
    assert_non_null(placement_home(&placement, 5));
    placement.keepers[1].state = KEEPER_ENDED;
    assert_null(placement_home(&placement, 5));
    assert_null(placement_home(&placement, 6));
}

static void another_boot_of_a_keeper_is_no_keeper(void **state)
{
    (void)state;
    struct placement placement = example();
    struct boot_id boot = placement.keepers[2].boot;

    assert_int_equal(placement_keeper_of(&placement, &boot)->member_id, 12);
    boot.boot_no = 2;
    assert_null(placement_keeper_of(&placement, &boot));
    assert_null(placement_keeper_find(&placement, 13));
    assert_true(placement_config_has(&placement.slots[5].active, 10));
    assert_false(placement_config_has(&placement.slots[5].active, 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_spread_over_all_slots_and_stay_there),
        cmocka_unit_test(home_is_the_first_replica_while_its_lease_may_run),
        cmocka_unit_test(another_boot_of_a_keeper_is_no_keeper),
    };
    return cmocka_run_group_tests_name("core_placement", tests, NULL, NULL);
}
