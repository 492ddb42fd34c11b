/*
 * The caches' policy: what stays, what moves, what goes; and a model that carries the decisions
 * out.
 */
#include "fs/cache.h"
#include "kith/error.h"
#include "lib/test.h"

#define KIB   1024u
#define CHUNK (128 * KIB)

static struct cache_core *core;
static struct cache_output out;

static int step(enum cache_event_type type, uint8_t root, uint32_t chunk, uint32_t bytes)
{
    struct cache_event event = {.type = type, .chunk = chunk, .bytes = bytes, .root = {root}};
    int r = cache_step(core, &event, &out);
    cache_check(core);
    return r;
}

static void use_is(uint8_t percent)
{
    struct cache_event event = {.type = CACHE_USE, .percent = percent};
    assert_int_equal(cache_step(core, &event, &out), 0);
    cache_check(core);
}

static enum cache_place find(uint8_t root, uint32_t chunk)
{
    uint8_t full[CONTENT_ROOT_BYTES] = {root};
    return cache_find(core, full, chunk);
}

static void begin(uint64_t memory_chunks, uint64_t disk_chunks)
{
    struct cache_config config = {.memory_bytes_max = memory_chunks * CHUNK,
                                  .disk_bytes_max = disk_chunks * CHUNK};
    assert_int_equal(cache_new(&core, &config), 0);
}

static void below_the_mark_chunks_stay_in_memory_and_above_go_to_the_disk(void **state)
{
    (void)state;
    begin(10, 100);
    assert_int_equal(step(CACHE_ADD, 1, 0, CHUNK), 0);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, CACHE_KEEP);
    assert_int_equal(out.actions[0].to, CACHE_MEMORY);
    use_is(79);
    assert_int_equal(out.actions_n, 0);
    use_is(80);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, CACHE_MOVE);
    assert_int_equal(find(1, 0), CACHE_DISK);
    assert_int_equal(step(CACHE_ADD, 1, 1, CHUNK), 0);
    assert_int_equal(out.actions[0].to, CACHE_DISK);
    use_is(76); /* within the gap: as before */
    assert_int_equal(step(CACHE_GET, 1, 0, 0), 0);
    assert_int_equal(out.place, CACHE_DISK);
    assert_int_equal(out.actions_n, 0);
    use_is(75); /* back below: what is used comes into memory again */
    assert_int_equal(step(CACHE_GET, 1, 0, 0), 0);
    assert_int_equal(out.place, CACHE_DISK);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].to, CACHE_MEMORY);
    assert_int_equal(step(CACHE_GET, 1, 0, 0), 0);
    assert_int_equal(out.place, CACHE_MEMORY);
    assert_int_equal(step(CACHE_GET, 9, 0, 0), 0);
    assert_int_equal(out.place, CACHE_NONE);
    struct cache_stats stats;
    cache_stats(core, &stats);
    assert_true(stats.gets == 4 && stats.memory_hits == 1 && stats.disk_hits == 2);
    cache_free(core);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    begin(3, 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(step(CACHE_ADD, 1, i, CHUNK), 0);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(find(1, i), i < 3 ? CACHE_DISK : CACHE_MEMORY);
    assert_int_equal(step(CACHE_ADD, 1, 6, CHUNK), 0);
    assert_int_equal(find(1, 0), CACHE_NONE);
    assert_int_equal(find(1, 3), CACHE_DISK);
    cache_free(core);
}

/* Small files that are in use, and one large one that is read once. */
static void a_scan_does_not_push_out_what_is_in_use(void **state)
{
    (void)state;
    begin(40, 40);
    use_is(90);
    for (uint8_t i = 1; i <= 20; i++)
        assert_int_equal(step(CACHE_ADD, i, 0, CHUNK), 0);
    for (uint8_t i = 1; i <= 20; i++)
        assert_int_equal(step(CACHE_GET, i, 0, 0), 0);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(step(CACHE_ADD, 99, i, CHUNK), 0);
    for (uint8_t i = 1; i <= 20; i++)
        assert_int_equal(find(i, 0), CACHE_DISK);
    /* What is not used any more goes in the end all the same: those that are used fill the share.
     */
    for (uint8_t i = 101; i <= 140; i++) {
        assert_int_equal(step(CACHE_ADD, i, 0, CHUNK), 0);
        assert_int_equal(step(CACHE_GET, i, 0, 0), 0);
    }
    for (uint8_t i = 1; i <= 20; i++)
        assert_int_equal(find(i, 0), CACHE_NONE);
    cache_free(core);
}

static void pinned_contents_stay(void **state)
{
    (void)state;
    begin(4, 10);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(step(CACHE_ADD, 1, i, CHUNK), 0);
    assert_int_equal(step(CACHE_PIN, 1, 0, 0), 0);
    assert_int_equal(step(CACHE_ADD, 1, 3, CHUNK), 0); /* a part that comes later, too */
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(step(CACHE_ADD, 2, i, CHUNK), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_not_equal(find(1, i), CACHE_NONE);
    /* Nine of ten may be pinned. */
    assert_int_equal(step(CACHE_FORGET, 2, 0, 0), 0);
    for (uint8_t i = 10; i < 16; i++)
        assert_int_equal(step(CACHE_ADD, i, 0, CHUNK), 0);
    for (uint8_t i = 10; i < 15; i++)
        assert_int_equal(step(CACHE_PIN, i, 0, 0), 0);
    assert_int_equal(step(CACHE_PIN, 15, 0, 0), KITH_E_LIMIT);
    assert_int_equal(step(CACHE_ADD, 1, 4, CHUNK), KITH_E_LIMIT);
    assert_int_equal(out.actions[0].type, CACHE_DROP);
    /* Emptied of all the rest; unpinned they go as well. */
    assert_int_equal(step(CACHE_EMPTY, 0, 0, 0), 0);
    assert_int_equal(find(15, 0), CACHE_NONE);
    assert_int_not_equal(find(1, 0), CACHE_NONE);
    assert_int_equal(step(CACHE_UNPIN, 1, 0, 0), 0);
    assert_int_equal(step(CACHE_EMPTY, 0, 0, 0), 0);
    assert_int_equal(find(1, 0), CACHE_NONE);
    /* Evicted by hand it goes, pinned or not. */
    assert_int_equal(step(CACHE_FORGET, 10, 0, 0), 0);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(find(10, 0), CACHE_NONE);
    cache_free(core);
}

static void limits_of_chunks_and_pins_hold(void **state)
{
    (void)state;
    struct cache_config config = {.chunks_max = 50};
    assert_int_equal(cache_new(&core, &config), 0);
    for (uint32_t i = 0; i < 51; i++)
        assert_int_equal(step(CACHE_ADD, 1, i, 10), 0);
    assert_int_equal(find(1, 0), CACHE_NONE);
    assert_int_equal(find(1, 1), CACHE_MEMORY);
    for (uint32_t i = 0; i < FS_CACHE_PINS_MAX; i++) {
        struct cache_event event = {.type = CACHE_PIN};
        put_le32(event.root, i + 1000);
        assert_int_equal(cache_step(core, &event, &out), 0);
    }
    assert_int_equal(step(CACHE_PIN, 1, 0, 0), KITH_E_LIMIT);
    cache_free(core);
}

static void what_is_found_at_the_start_is_there_and_bounded(void **state)
{
    (void)state;
    begin(2, 5);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(step(CACHE_FOUND, 1, i, CHUNK), 0);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(find(1, i), i < 2 ? CACHE_NONE : CACHE_DISK);
    assert_int_equal(step(CACHE_FAILED, 1, 6, 0), 0); /* it could not be read */
    assert_int_equal(find(1, 6), CACHE_NONE);
    cache_free(core);
}

/* ---- a model: two boxes of chunks that do what they are told ---- */

#define ROOTS  12
#define CHUNKS 12
static uint8_t box[ROOTS][CHUNKS];

static void carry_out(const struct cache_action *action)
{
    uint8_t *at = &box[action->root[0]][action->chunk];
    if (action->type == CACHE_KEEP) {
        assert_int_equal(*at, CACHE_NONE);
        *at = (uint8_t)action->to;
    } else if (action->type == CACHE_MOVE) {
        assert_int_equal(*at, action->from);
        *at = (uint8_t)action->to;
    } else if (action->from != CACHE_NONE) {
        assert_int_equal(*at, action->from);
        *at = CACHE_NONE;
    }
}

static void whatever_is_done_boxes_are_bounded_and_agree(void **state)
{
    (void)state;
    struct rng rng = test_rng();
    for (unsigned run = 0; run < 30; run++) {
        memset(box, 0, sizeof(box));
        uint64_t memory_chunks = 1 + rng_below(&rng, 20);
        begin(memory_chunks, 5 + rng_below(&rng, 40));
        bool pinned[ROOTS] = {false};
        for (unsigned i = 0; i < 2000; i++) {
            uint8_t root = (uint8_t)rng_below(&rng, ROOTS);
            uint32_t chunk = (uint32_t)rng_below(&rng, CHUNKS);
            uint64_t what = rng_below(&rng, 100);
            uint32_t bytes = 1 + (uint32_t)rng_below(&rng, CHUNK);
            if (what < 45) {
                (void)step(CACHE_ADD, root, chunk, bytes);
            } else if (what < 85) {
                enum cache_place is = box[root][chunk];
                assert_int_equal(step(CACHE_GET, root, chunk, 0), 0);
                assert_int_equal(out.place, is);
            } else if (what < 88) {
                pinned[root] = step(CACHE_PIN, root, 0, 0) == 0;
            } else if (what < 92) {
                assert_int_equal(step(CACHE_UNPIN, root, 0, 0), 0);
                pinned[root] = false;
            } else if (what < 94) {
                assert_int_equal(step(CACHE_FORGET, root, 0, 0), 0);
                pinned[root] = false;
                for (size_t k = 0; k < out.actions_n; k++)
                    carry_out(&out.actions[k]);
                for (uint32_t k = 0; k < CHUNKS; k++)
                    assert_int_equal(box[root][k], CACHE_NONE);
                continue;
            } else if (what < 95) {
                assert_int_equal(step(CACHE_FAILED, root, chunk, 0), 0);
                box[root][chunk] = CACHE_NONE;
            } else {
                use_is((uint8_t)(60 + rng_below(&rng, 40)));
            }
            for (size_t k = 0; k < out.actions_n; k++) {
                const struct cache_action *action = &out.actions[k];
                assert_true(action->type != CACHE_DROP || action->from == CACHE_NONE ||
                            !pinned[action->root[0]]);
                carry_out(action);
            }
            for (uint8_t r = 0; r < ROOTS; r++)
                for (uint32_t k = 0; k < CHUNKS; k++)
                    assert_int_equal(box[r][k], find(r, k));
        }
        cache_free(core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_the_mark_chunks_stay_in_memory_and_above_go_to_the_disk),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(a_scan_does_not_push_out_what_is_in_use),
        cmocka_unit_test(pinned_contents_stay),
        cmocka_unit_test(limits_of_chunks_and_pins_hold),
        cmocka_unit_test(what_is_found_at_the_start_is_there_and_bounded),
        cmocka_unit_test(whatever_is_done_boxes_are_bounded_and_agree),
    };
    return cmocka_run_group_tests_name("fs_cache", tests, NULL, NULL);
}
