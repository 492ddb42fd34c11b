/*
 * Cells: what is read is whole, of one version, and never after it was taken back or its lease ran
 * out; with readers on other threads while the core writes.
 */
#include <pthread.h>

#include "core/bytes.h"
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

/* A value of @len bytes of data, each @fill. */
static size_t value_of(uint8_t *out, uint8_t type, uint8_t fill, size_t len)
{
    memset(out, 0, VALUE_HEAD_BYTES);
    out[0] = VALUE_FORMAT;
    out[1] = type;
    put_le32(out + 4, (uint32_t)len);
    memset(out + VALUE_HEAD_BYTES, fill, len);
    return VALUE_HEAD_BYTES + len;
}

static void data_alone_is_read_as_long_as_the_value_may_be(void **state)
{
    (void)state;
    uint8_t value[200], out[100];
    struct cell_data found;
    struct dvar_cell *cell = cell_new();
    atomic_store(&clock_ns, 999);
    assert_false(cell_read_data(cell, out, sizeof(out), &found, fake_clock));
    for (size_t data_len = 0; data_len <= sizeof(out); data_len++) {
        size_t len = value_of(value, VALUE_BYTES, 0xaa, data_len);
        memset(value + len, 0xee, 12); /* the fence of a mutex is no data */
        assert_int_equal(cell_publish(cell, value, len + 12, data_len, &lease), 0);
        memset(out, 0x55, sizeof(out));
        assert_true(cell_read_data(cell, out, sizeof(out), &found, fake_clock));
        assert_int_equal(found.type, VALUE_BYTES);
        assert_int_equal(found.len, data_len);
        assert_int_equal(found.version, data_len);
        for (size_t i = 0; i < sizeof(out); i++)
            assert_int_equal(out[i], i < data_len ? 0xaa : 0x55);
    }
    memset(out, 0x55, sizeof(out));
    assert_true(cell_read_data(cell, out, 99, &found, fake_clock));
    assert_int_equal(found.len, 100);
    assert_int_equal(out[0], 0x55);
    atomic_store(&clock_ns, 1000);
    assert_false(cell_read_data(cell, out, sizeof(out), &found, fake_clock));
    atomic_store(&clock_ns, 0);
    assert_int_equal(cell_publish(cell, NULL, 0, 8, &lease), 0);
    assert_true(cell_read_data(cell, out, sizeof(out), &found, fake_clock));
    assert_int_equal(found.type, VALUE_NONE);
    assert_int_equal(found.len, 0);
    assert_int_equal(found.version, 8);
    cell_take_back(cell);
    assert_false(cell_read_data(cell, out, sizeof(out), &found, fake_clock));
    assert_int_equal(out[0], 0x55);
    cell_free(cell);
}

/* The bytes of the value, or of its data, as whole and of @version as its length says. */
static bool is_whole(const uint8_t *bytes, size_t len, uint64_t version)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != (uint8_t)version)
            return false;
    }
    return len == 1 + version % 4000;
}

static void *data_reader(void *arg)
{
    struct dvar_cell *cell = arg;
    static _Thread_local uint8_t out[4096];
    struct cell_data found;
    uint64_t last = 0, n = 0;
    while (!atomic_load(&over) || n == 0) {
        if (!cell_read_data(cell, out, sizeof(out), &found, fake_clock))
            continue;
        n++;
        if (found.version < last || found.type != VALUE_BYTES)
            return (void *)1;
        if (!is_whole(out, found.len, found.version))
            return (void *)2;
        last = found.version;
    }
    return NULL;
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
        len -= VALUE_HEAD_BYTES;
        if (version < last)
            return (void *)1;
        if (!is_whole(out + VALUE_HEAD_BYTES, len, version))
            return (void *)2;
        last = version;
    }
    return NULL;
}

static void readers_on_other_threads_see_whole_values_in_order(void **state)
{
    (void)state;
    static uint8_t value[4096];
    pthread_t threads[2 * READERS];
    struct dvar_cell *cell = cell_new();
    atomic_store(&over, false);
    atomic_store(&clock_ns, 0);
    for (int i = 0; i < 2 * READERS; i++) {
        void *(*main_of)(void *) = i < READERS ? reader : data_reader;
        assert_int_equal(pthread_create(&threads[i], NULL, main_of, cell), 0);
    }
    for (uint64_t version = 1; version <= WRITES; version++) {
        size_t len = value_of(value, VALUE_BYTES, (uint8_t)version, 1 + version % 4000);
        if (version % 3 == 0)
            cell_take_back(cell);
        assert_int_equal(cell_publish(cell, value, len, version, &lease), 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2 * READERS; i++) {
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
        cmocka_unit_test(data_alone_is_read_as_long_as_the_value_may_be),
        cmocka_unit_test(readers_on_other_threads_see_whole_values_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
