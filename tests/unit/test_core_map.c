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

/* The three maps behind one shape; @map is one of them. */
struct kind {
    void *(*find)(const void *map, size_t at);
    int (*set)(void *map, size_t at, void *value);
    void *(*remove)(void *map, size_t at);
    void *(*next)(const void *map, size_t *at);
    size_t (*n)(const void *map);
};

/* The map's iteration gives every value of the model once. */
static void check_whole(const struct kind *kind, const void *map, const struct model *model)
{
    unsigned char seen[KEYS_N] = {0};
    size_t seen_n = 0;
    size_t at = 0;
    int *value;
    while ((value = kind->next(map, &at)) != NULL) {
        size_t i = (size_t)(value - values[0]) / 4;
        assert_true(i < KEYS_N && seen[i] == 0 && model->values[i] == value);
        seen[i] = 1;
        seen_n++;
    }
    assert_int_equal(seen_n, model->n);
}

/* Random sets, removals and look-ups in a map and its model, over few and over many keys. */
static void run_model(const struct kind *kind, void *map)
{
    struct model model = {0};
    struct rng rng = test_rng();
    for (unsigned step = 0; step < 60000; step++) {
        size_t i = (size_t)rng_below(&rng, step / 10000 % 2 == 0 ? KEYS_N : 40);
        uint64_t what = rng_below(&rng, 8);
        unsigned growing = step / 15000 % 2;
        if (what < 3 + growing) {
            void *value = &values[i][rng_below(&rng, 4)];
            assert_int_equal(kind->set(map, i, value), 0);
            model_set(&model, i, value);
        } else if (what < 6) {
            assert_ptr_equal(kind->remove(map, i), model_remove(&model, i));
        } else {
            assert_ptr_equal(kind->find(map, i), model.values[i]);
        }
        assert_int_equal(kind->n(map), model.n);
        if (step % 500 == 0)
            check_whole(kind, map, &model);
    }
    for (size_t i = 0; i < KEYS_N; i++)
        assert_ptr_equal(kind->find(map, i), model.values[i]);
    check_whole(kind, map, &model);
}

static void *u64_find(const void *map, size_t at)
{
    uint64_t key = key64(at);
    return map64_find(map, key);
}
static int u64_set(void *map, size_t at, void *value)
{
    uint64_t key = key64(at);
    return map64_set(map, key, value);
}
static void *u64_remove(void *map, size_t at)
{
    uint64_t key = key64(at);
    return map64_remove(map, key);
}
static void *u64_next(const void *map, size_t *at)
{
    return map64_next(map, at);
}
static size_t u64_n(const void *map)
{
    return ((const struct map64 *)map)->n;
}

static void map64_agrees_with_its_model(void **state)
{
    (void)state;
    static const struct kind kind = {u64_find, u64_set, u64_remove, u64_next, u64_n};
    struct map64 map = {0};
    run_model(&kind, &map);
    map64_deinit(&map);
    map64_deinit(&map);
}

static void *id_find(const void *map, size_t at)
{
    struct kith_node_id key = key_id(at);
    return mapid_find(map, &key);
}
static int id_set(void *map, size_t at, void *value)
{
    struct kith_node_id key = key_id(at);
    return mapid_set(map, &key, value);
}
static void *id_remove(void *map, size_t at)
{
    struct kith_node_id key = key_id(at);
    return mapid_remove(map, &key);
}
static void *id_next(const void *map, size_t *at)
{
    return mapid_next(map, at);
}
static size_t id_n(const void *map)
{
    return ((const struct mapid *)map)->n;
}

static void mapid_agrees_with_its_model(void **state)
{
    (void)state;
    static const struct kind kind = {id_find, id_set, id_remove, id_next, id_n};
    struct mapid map = {0};
    run_model(&kind, &map);
    mapid_deinit(&map);
    mapid_deinit(&map);
}

static void *text_find(const void *map, size_t at)
{
    const char *key = key_texts[at];
    return maptext_find(map, key);
}
static int text_set(void *map, size_t at, void *value)
{
    const char *key = key_texts[at];
    return maptext_set(map, key, value);
}
static void *text_remove(void *map, size_t at)
{
    const char *key = key_texts[at];
    return maptext_remove(map, key);
}
static void *text_next(const void *map, size_t *at)
{
    return maptext_next(map, at);
}
static size_t text_n(const void *map)
{
    return ((const struct maptext *)map)->n;
}

static void maptext_agrees_with_its_model(void **state)
{
    (void)state;
    static const struct kind kind = {text_find, text_set, text_remove, text_next, text_n};
    struct maptext map = {0};
    for (size_t i = 0; i < KEYS_N; i++)
        (void)snprintf(key_texts[i], sizeof(key_texts[i]), "%.*s%zu", (int)(i % 17),
                       "sys.longer-names", i);
    run_model(&kind, &map);
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
