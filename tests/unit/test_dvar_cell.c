/*
 * Cells: what is read is whole, of one version, and never after it was taken back or its lease ran
 * out; with readers on other threads while the core writes.
 */
#include <pthread.h>

#include "dvar/cell.h"
#include "lib/test.h"

#define READERS 3
#define WRITES  20000

static _Atomic uint64_t clock_ns;
static uint64_t fake_clock(void)
{
    return atomic_load(&clock_ns);
}

static _Atomic uint64_t lease = 1000;
static _Atomic bool over;

static void an_empty_cell_reads_nothing(void **state)
{
    (void)state;
    uint8_t out[8];
    uint64_t version;
    struct dvar_cell *cell = cell_new();
    assert_non_null(cell);
    assert_true(cell_read(cell, out, sizeof(out), &version, fake_clock) == SIZE_MAX);
    cell_free(cell);
}

static void what_is_published_is_read_until_it_is_taken_back_or_its_lease_ends(void **state)
{
    (void)state;
    uint8_t out[16] = {0};
    uint64_t version = 0;
    struct dvar_cell *cell = cell_new();
    atomic_store(&clock_ns, 999);
    assert_int_equal(cell_publish(cell, "0123456789", 10, 7, &lease), 0);
    assert_true(cell_read(cell, out, sizeof(out), &version, fake_clock) == 10);
    assert_memory_equal(out, "0123456789", 10);
    assert_true(version == 7);
    assert_true(cell_read(cell, out, 4, &version, fake_clock) == 10);
    atomic_store(&clock_ns, 1000);
    assert_true(cell_read(cell, out, sizeof(out), &version, fake_clock) == SIZE_MAX);
    atomic_store(&clock_ns, 0);
    cell_take_back(cell);
    assert_true(cell_read(cell, out, sizeof(out), &version, fake_clock) == SIZE_MAX);
    cell_free(cell);
}

static void *reader(void *arg)
{
    struct dvar_cell *cell = arg;
    static _Thread_local uint8_t out[4096];
    uint64_t last = 0, n = 0;
    while (!atomic_load(&over) || n == 0) {
        uint64_t version;
        size_t len = cell_read(cell, out, sizeof(out), &version, fake_clock);
        if (atomic_load(&over) && len == SIZE_MAX)
            break;
        if (len == SIZE_MAX)
            continue;
        n++;
        if (version < last || len != 1 + version % 4000)
            return (void *)1;
        for (size_t i = 0; i < len; i++) {
            if (out[i] != (uint8_t)version)
                return (void *)2;
        }
        last = version;
    }
    return NULL;
}

static void readers_on_other_threads_see_whole_values_in_order(void **state)
{
    (void)state;
    static uint8_t value[4096];
    pthread_t threads[READERS];
    struct dvar_cell *cell = cell_new();
    atomic_store(&over, false);
    atomic_store(&clock_ns, 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, cell), 0);
    for (uint64_t version = 1; version <= WRITES; version++) {
        memset(value, (int)(uint8_t)version, sizeof(value));
        if (version % 3 == 0)
            cell_take_back(cell);
        assert_int_equal(cell_publish(cell, value, 1 + version % 4000, version, &lease), 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    cell_free(cell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_cell_reads_nothing),
        cmocka_unit_test(what_is_published_is_read_until_it_is_taken_back_or_its_lease_ends),
        cmocka_unit_test(readers_on_other_threads_see_whole_values_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
