/*
 * The simulated disk: batches become safe in order and whole, a crash loses the end of what was
 * under way and never what was safe, faults are seen for what they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../sim/disk.h"
#include "core/rng.h"

static struct sim_world *world;
static struct disk disk;
static uint64_t told[64];
static size_t told_n;

static void *host_boot(struct sim_world *w, struct sim_node *node, uint64_t boot_no)
{
    (void)w;
    (void)boot_no;
    return node;
}

static void host_wake(void *state)
{
    uint64_t token;
    uint8_t tag;

    (void)state;
    while (disk_next_done(&disk, &tag, &token)) {
        assert_int_equal(tag, 'v');
        assert_true(told_n < 64);
        told[told_n++] = token;
    }
}

static const struct sim_host host = {.boot = host_boot, .wake = host_wake};

static void begin(uint64_t seed)
{
    world = sim_new(&(struct sim_config){.seed = seed, .nodes_n = 1, .host = &host});
    disk_init(&disk, world, 0);
    told_n = 0;
    sim_start(world, 0);
}

static void end(void)
{
    disk_deinit(&disk);
    sim_free(world);
}

/* Two entries that must always be there together. */
static void put(uint64_t number)
{
    const struct disk_put puts[2] = {
        {.key = (const uint8_t *)"va",
         .key_len = 2,
         .data = (const uint8_t *)&number,
         .len = sizeof(number)},
        {.key = (const uint8_t *)"vb",
         .key_len = 2,
         .data = (const uint8_t *)&number,
         .len = sizeof(number)},
    };

    disk_write(&disk, 'v', number, puts, 2);
}

/* What is there: 0 for nothing. Both entries are the same. */
static uint64_t held(void)
{
    uint64_t number[2] = {0, 0};

    if (disk.now.n == 0)
        return 0;
    assert_int_equal(disk.now.n, 2);
    for (size_t i = 0; i < 2; i++)
        memcpy(&number[i], disk_value(&disk.now.entries[i]), sizeof(number[i]));
    assert_int_equal(number[0], number[1]);
    return number[0];
}

static void batches_become_safe_in_order(void **state)
{
    (void)state;
    begin(1);
    for (uint64_t i = 1; i <= 20; i++)
        put(i);
    assert_int_equal(held(), 0);
    assert_true(sim_run(world, 1000, NULL));
    assert_int_equal(told_n, 20);
    for (uint64_t i = 1; i <= 20; i++)
        assert_int_equal(told[i - 1], i);
    assert_int_equal(held(), 20);
    end();
}

static void a_crash_loses_only_the_end_of_what_was_under_way(void **state)
{
    size_t lost_some = 0;
    size_t kept_more = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        begin(seed);
        for (uint64_t i = 1; i <= 10; i++)
            put(i);
        assert_true(sim_run(world, 1, NULL));
        sim_power_off(world, 0);
        disk_crash(&disk);
        uint64_t safe = told_n > 0 ? told[told_n - 1] : 0;
        assert_true(held() >= safe);
        lost_some += held() < 10;
        kept_more += held() > safe;
        end();
    }
    assert_true(lost_some > 50);
    assert_true(kept_more > 10);
}

static void a_stalled_disk_makes_nothing_safe(void **state)
{
    (void)state;
    begin(3);
    disk_stall(&disk, 5000);
    put(1);
    assert_true(sim_run(world, 4999, NULL));
    assert_int_equal(told_n, 0);
    assert_true(sim_run(world, 6000, NULL));
    assert_int_equal(told_n, 1);
    end();
}

/* When all faults end, what waits on the disk waits no longer. */
static void a_stall_that_ends_early_ends_for_what_waits_too(void **state)
{
    (void)state;
    begin(5);
    disk_stall(&disk, 30000);
    put(1);
    put(2);
    assert_true(sim_run(world, 1000, NULL));
    assert_int_equal(told_n, 0);
    disk_stall_ends(&disk);
    put(3);
    assert_true(sim_run(world, 2000, NULL));
    assert_int_equal(told_n, 3);
    assert_true(sim_run(world, 40000, NULL));
    assert_int_equal(told_n, 3);
    end();
}

static void a_paused_node_hears_of_it_when_it_goes_on(void **state)
{
    (void)state;
    begin(4);
    put(1);
    sim_pause(world, 0, 2000);
    assert_true(sim_run(world, 1999, NULL));
    assert_int_equal(told_n, 0);
    assert_true(sim_run(world, 2001, NULL));
    assert_int_equal(told_n, 1);
    end();
}

static void rot_snapshots_and_new_disks_are_what_they_say(void **state)
{
    uint8_t id[DISK_ID_BYTES];

    (void)state;
    begin(5);
    assert_false(disk_rot(&disk));
    assert_false(disk_restore(&disk));
    put(1);
    assert_true(sim_run(world, 1000, NULL));
    disk_snapshot(&disk);
    put(2);
    assert_true(sim_run(world, 2000, NULL));
    assert_int_equal(held(), 2);
    assert_false(disk_is_corrupt(&disk));
    assert_true(disk_rot(&disk));
    assert_true(disk_is_corrupt(&disk));
    assert_true(disk_restore(&disk));
    assert_false(disk_is_corrupt(&disk));
    assert_int_equal(held(), 1);
    memcpy(id, disk.id, sizeof(id));
    disk_wipe(&disk);
    assert_int_equal(held(), 0);
    assert_memory_not_equal(id, disk.id, sizeof(id));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_become_safe_in_order),
        cmocka_unit_test(a_crash_loses_only_the_end_of_what_was_under_way),
        cmocka_unit_test(a_stalled_disk_makes_nothing_safe),
        cmocka_unit_test(a_stall_that_ends_early_ends_for_what_waits_too),
        cmocka_unit_test(a_paused_node_hears_of_it_when_it_goes_on),
        cmocka_unit_test(rot_snapshots_and_new_disks_are_what_they_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
