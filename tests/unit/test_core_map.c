/*
 * The maps against a plain array under random operations, and allocation failure.
 */
#include "core/map.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "kith/error.h"
#include "lib/test.h"

#define KEYS_N 700

/* An array indexed by key number is the model: the value that should be there, or NULL. */
struct model {
    void *values[KEYS_N];
    size_t n;
};

static void model_set(struct model *model, size_t at, void *value)
{
    model->n += model->values[at] == NULL;
    model->values[at] = value;
}

static void *model_remove(struct model *model, size_t at)
{
    void *value = model->values[at];
    model->n -= value != NULL;
    model->values[at] = NULL;
    return value;
}

static int values[KEYS_N][4];

static uint64_t key64(size_t at)
{
    /* Counters, multiples of a page, and both ends: what would pile up under a poor hash. */
    switch (at % 4) {
    case 0:
        return at;
    case 1:
        return at * 4096;
    case 2:
        return UINT64_MAX - at;
    default:
        return (uint64_t)at << 32;
    }
}

static struct kith_node_id key_id(size_t at)
{
    struct kith_node_id id = {{0}};
    uint64_t key = key64(at);
    memcpy(id.bytes + (at % 3 == 0 ? 8 : 0), &key, sizeof(key));
    return id;
}

static char key_texts[KEYS_N][24];

/* The map's iteration gives every value of the model once. */
static void check_seen(const struct model *model, const unsigned char *seen, size_t seen_n)
{
    assert_int_equal(seen_n, model->n);
    for (size_t i = 0; i < KEYS_N; i++)
        assert_int_equal(seen[i], model->values[i] != NULL);
}

#define CHECK_WHOLE(NEXT)                                                                          \
    do {                                                                                           \
        unsigned char seen[KEYS_N] = {0};                                                          \
        size_t seen_n = 0;                                                                         \
        size_t at = 0;                                                                             \
        void *value;                                                                               \
        while ((value = (NEXT)(&map, &at)) != NULL) {                                              \
            size_t v = (size_t)((int *)value - values[0]) / 4;                                     \
            assert_true(v < KEYS_N && seen[v] == 0 && model.values[v] == value);                   \
            seen[v] = 1;                                                                           \
            seen_n++;                                                                              \
        }                                                                                          \
        check_seen(&model, seen, seen_n);                                                          \
    } while (0)

/* @steps_n random sets, removals and look-ups in a map and its model, over few and over many keys.
 */
#define RUN_MODEL(KEY_OF, FIND, SET, REMOVE, NEXT)                                                 \
    do {                                                                                           \
        struct rng rng = test_rng();                                                               \
        for (unsigned step = 0; step < 60000; step++) {                                            \
            size_t range = step / 10000 % 2 == 0 ? KEYS_N : 40;                                    \
            size_t i = (size_t)rng_below(&rng, range);                                             \
            unsigned what = (unsigned)rng_below(&rng, 8);                                          \
            unsigned bias = step / 15000 % 2;                                                      \
            if (what < 3 + bias) {                                                                 \
                void *value = &values[i][rng_below(&rng, 4)];                                      \
                assert_int_equal((SET)(&map, KEY_OF(i), value), 0);                                \
                model_set(&model, i, value);                                                       \
            } else if (what < 6) {                                                                 \
                assert_ptr_equal((REMOVE)(&map, KEY_OF(i)), model_remove(&model, i));              \
            } else {                                                                               \
                assert_ptr_equal((FIND)(&map, KEY_OF(i)), model.values[i]);                        \
            }                                                                                      \
            assert_int_equal(map.n, model.n);                                                      \
            if (step % 500 == 0)                                                                   \
                CHECK_WHOLE(NEXT);                                                                 \
        }                                                                                          \
        for (size_t i = 0; i < KEYS_N; i++)                                                        \
            assert_ptr_equal((FIND)(&map, KEY_OF(i)), model.values[i]);                            \
        CHECK_WHOLE(NEXT);                                                                         \
    } while (0)

static void map64_agrees_with_its_model(void **state)
{
    (void)state;
    struct map64 map = {0};
    struct model model = {0};
    RUN_MODEL(key64, map64_find, map64_set, map64_remove, map64_next);
    map64_deinit(&map);
    map64_deinit(&map);
}

static int id_set(struct mapid *map, struct kith_node_id key, void *value)
{
    return mapid_set(map, &key, value);
}
static void *id_remove(struct mapid *map, struct kith_node_id key)
{
    return mapid_remove(map, &key);
}
static void *id_find(const struct mapid *map, struct kith_node_id key)
{
    return mapid_find(map, &key);
}

static void mapid_agrees_with_its_model(void **state)
{
    (void)state;
    struct mapid map = {0};
    struct model model = {0};
    RUN_MODEL(key_id, id_find, id_set, id_remove, mapid_next);
    mapid_deinit(&map);
    mapid_deinit(&map);
}

static const char *key_text(size_t at)
{
    return key_texts[at];
}

static void maptext_agrees_with_its_model(void **state)
{
    (void)state;
    struct maptext map = {0};
    struct model model = {0};
    for (size_t i = 0; i < KEYS_N; i++)
        (void)snprintf(key_texts[i], sizeof(key_texts[i]), "%.*s%zu", (int)(i % 17),
                       "sys.longer-names", i);
    RUN_MODEL(key_text, maptext_find, maptext_set, maptext_remove, maptext_next);
    maptext_deinit(&map);
    maptext_deinit(&map);
}

static void maptext_replacing_lets_the_old_key_go(void **state)
{
    (void)state;
    struct maptext map = {0};
    char first[] = "name";
    char second[] = "name";
    assert_int_equal(maptext_set(&map, first, values[0]), 0);
    assert_int_equal(maptext_set(&map, second, values[1]), 0);
    assert_int_equal(map.n, 1);
    first[0] = 'x';
    assert_ptr_equal(maptext_find(&map, "name"), values[1]);
    maptext_deinit(&map);
}

static void empty_maps_find_nothing(void **state)
{
    (void)state;
    struct map64 m64 = {0};
    struct mapid mid = {0};
    struct maptext mtext = {0};
    struct kith_node_id id = key_id(3);
    size_t at = 0;
    assert_null(map64_find(&m64, 0));
    assert_null(map64_remove(&m64, 0));
    assert_null(map64_next(&m64, &at));
    assert_null(mapid_find(&mid, &id));
    assert_null(mapid_remove(&mid, &id));
    assert_null(maptext_find(&mtext, ""));
    assert_null(maptext_remove(&mtext, ""));
}

static void growing_without_memory_leaves_the_map_as_it_was(void **state)
{
    (void)state;
    struct map64 map = {0};
    core_alloc_fail_at(1);
    assert_int_equal(map64_set(&map, 1, values[1]), KITH_E_MEMORY);
    assert_null(map64_find(&map, 1));
    size_t failures = 0;
    for (size_t i = 1; i < KEYS_N; i++) {
        core_alloc_fail_at(1);
        int r = map64_set(&map, i, values[i]);
        core_alloc_fail_at(0);
        if (r == KITH_E_MEMORY) {
            failures++;
            assert_null(map64_find(&map, i));
            assert_int_equal(map64_set(&map, i, values[i]), 0);
        }
        assert_int_equal(map.n, i);
        for (size_t k = 1; k <= i; k++)
            assert_ptr_equal(map64_find(&map, k), values[k]);
    }
    assert_true(failures >= 5);
    map64_deinit(&map);
}

static void what_was_removed_comes_back_without_memory(void **state)
{
    (void)state;
    struct map64 map = {0};
    for (size_t i = 0; i < KEYS_N; i++)
        assert_int_equal(map64_set(&map, i, values[i]), 0);
    core_alloc_fail_at(1);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < KEYS_N; i++)
            assert_ptr_equal(map64_remove(&map, i + round * KEYS_N), values[i]);
        for (size_t i = 0; i < KEYS_N; i++)
            assert_int_equal(map64_set(&map, i + (round + 1) * KEYS_N, values[i]), 0);
    }
    core_alloc_fail_at(0);
    map64_deinit(&map);
}

static void hash_is_the_same_everywhere_and_sees_every_byte(void **state)
{
    (void)state;
    unsigned char data[80];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 7);
    /* Fixed values: another machine or compiler must come to the same (they are in traces). */
    assert_true(hash_bytes(NULL, 0, 0) == hash_bytes("", 0, 0));
    assert_true(hash_bytes("", 0, 0) != hash_bytes("", 0, 1));
    for (size_t len = 1; len <= sizeof(data); len++) {
        uint64_t before = hash_bytes(data, len, 5);
        assert_true(before != hash_bytes(data, len - 1, 5));
        for (size_t i = 0; i < len; i++) {
            data[i] ^= 0x10;
            assert_true(hash_bytes(data, len, 5) != before);
            data[i] ^= 0x10;
        }
        assert_true(hash_bytes(data, len, 5) == before);
    }
    assert_int_equal(hash_bytes(data, 3, 1), 0xe3f86288dc9b834du);
    assert_int_equal(hash_bytes(data, 80, 1), 0xaa2f30357165de31u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map64_agrees_with_its_model),
        cmocka_unit_test(mapid_agrees_with_its_model),
        cmocka_unit_test(maptext_agrees_with_its_model),
        cmocka_unit_test(maptext_replacing_lets_the_old_key_go),
        cmocka_unit_test(empty_maps_find_nothing),
        cmocka_unit_test(growing_without_memory_leaves_the_map_as_it_was),
        cmocka_unit_test(what_was_removed_comes_back_without_memory),
        cmocka_unit_test(hash_is_the_same_everywhere_and_sees_every_byte),
    };
    return cmocka_run_group_tests_name("core_map", tests, NULL, NULL);
}
