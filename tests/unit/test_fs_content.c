/*
 * Contents: sizes, lists, roots, and that what is damaged is noticed.
 */
#include <stdlib.h>

#include "fs/content.h"
#include "fs/fetch.h"
#include "fs/fetch_wire.h"
#include "fs/lanes.h"
#include "kith/error.h"
#include "lib/test.h"

#define MIB (1024ull * 1024)

static void fill(uint8_t *data, size_t len, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rng_u64(&rng);
}

static void a_chunk_is_as_small_as_gives_less_than_two_thousand(void **state)
{
    (void)state;
    assert_int_equal(content_chunk_log2(0), 17);
    assert_int_equal(content_chunk_log2(1), 17);
    assert_int_equal(content_chunk_log2(1999ull << 17), 17);
    assert_int_equal(content_chunk_log2((1999ull << 17) + 1), 18);
    assert_int_equal(content_chunk_log2(1024 * MIB), 20);
    assert_int_equal(content_chunk_log2(1999ull << 24), 24);
    assert_int_equal(content_chunk_log2(FS_SIZE_MAX), 24);
    for (uint64_t size = 1; size < FS_SIZE_MAX; size = size * 3 + 1) {
        struct content content = {.size = size, .hash = CONTENT_BLAKE2B_256};
        content.chunk_log2 = content_chunk_log2(size);
        assert_true(content_valid(&content));
        uint32_t chunks = content_chunks(&content);
        uint64_t sum = (uint64_t)(chunks - 1) << content.chunk_log2;
        assert_true(chunks < CONTENT_CHUNKS_AIM || content.chunk_log2 == CONTENT_CHUNK_LOG2_MAX);
        assert_true(sum + content_chunk_bytes(&content, chunks - 1) == size);
    }
}

static void the_largest_file_is_valid_and_one_byte_more_is_not(void **state)
{
    (void)state;
    struct content content = {.size = FS_SIZE_MAX, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 24};
    assert_true(content_valid(&content));
    assert_int_equal(content_chunks(&content), FS_CHUNKS_MAX);
    assert_int_equal(content_list_bytes(&content), 2 * MIB);
    content.size++;
    assert_false(content_valid(&content));
    content = (struct content){.size = FS_SIZE_MAX, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 23};
    assert_false(content_valid(&content)); /* too many chunks */
    content = (struct content){.size = 1, .hash = 2, .chunk_log2 = 17};
    assert_false(content_valid(&content));
    content = (struct content){.size = 1, .hash = 1, .chunk_log2 = 16};
    assert_false(content_valid(&content));
    struct content_builder builder;
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, FS_SIZE_MAX + 1),
                     KITH_E_TOO_LARGE);
    content_builder_deinit(&builder);
}

static void hashes_of_zeros_are_those_that_are_computed(void **state)
{
    (void)state;
    for (uint8_t log2 = CONTENT_CHUNK_LOG2_MIN; log2 <= CONTENT_CHUNK_LOG2_MAX; log2++) {
        uint8_t hash[CONTENT_ROOT_BYTES];
        uint8_t *zeros = calloc(1, 1ull << log2);
        assert_non_null(zeros);
        content_hash_bytes(CONTENT_BLAKE2B_256, zeros, 1ull << log2, hash);
        assert_memory_equal(hash, content_zero_hash(CONTENT_BLAKE2B_256, log2), sizeof(hash));
        free(zeros);
    }
}

static void build(const uint8_t *data,
                  uint64_t size,
                  uint64_t step,
                  struct content *content_out,
                  struct buf *list_out)
{
    struct content_builder builder;
    struct kith_bytes list;
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, size), 0);
    for (uint64_t at = 0; at < size;) {
        uint64_t n = size - at < step ? size - at : step;
        assert_int_equal(content_builder_update(&builder, data + at, n), 0);
        at += n;
    }
    assert_int_equal(content_builder_end(&builder, content_out, &list), 0);
    list_out->len = 0;
    assert_int_equal(buf_append(list_out, list.data, list.len), 0);
    content_builder_deinit(&builder);
}

static void however_the_bytes_come_the_root_is_the_same(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0,      1,          131071,     131072,
                                     131073, 2 * 131072, 3 * 131072, 5 * 131072 + 77};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *data = malloc(sizes[i] + 1);
        struct content once;
        struct content pieces;
        struct buf list = {0};
        struct buf other = {0};
        fill(data, sizes[i], i);
        build(data, sizes[i], UINT64_MAX, &once, &list);
        build(data, sizes[i], 4093, &pieces, &other);
        assert_true(content_equal(&once, &pieces));
        assert_int_equal(list.len, content_list_bytes(&once));
        assert_memory_equal(list.data, other.data, list.len);
        /* Hashed chunk by chunk, as several workers would. */
        uint32_t chunks = content_chunks(&once);
        uint8_t *hashes = malloc((size_t)chunks * CONTENT_ROOT_BYTES + 1);
        for (uint32_t k = chunks; k-- > 0;)
            content_hash_bytes(CONTENT_BLAKE2B_256, data + content_chunk_offset(&once, k),
                               content_chunk_bytes(&once, k), hashes + (size_t)k * 32);
        content_of_list(CONTENT_BLAKE2B_256, sizes[i], hashes, &pieces);
        assert_true(content_equal(&once, &pieces));
        for (uint32_t k = 0; k < chunks; k++)
            assert_int_equal(content_chunk_check(&once, content_chunk_hash(&once, list.data, k), k,
                                                 data + content_chunk_offset(&once, k),
                                                 content_chunk_bytes(&once, k)),
                             0);
        free(hashes);
        free(data);
        buf_deinit(&list);
        buf_deinit(&other);
    }
}

static void holes_give_the_root_of_the_zeros_that_they_are(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, test_seed());
    for (unsigned run = 0; run < 50; run++) {
        uint64_t size = 1 + rng_below(&rng, 6 * 131072);
        uint8_t *data = calloc(1, size);
        struct content_builder builder;
        struct content holes;
        struct content whole;
        struct kith_bytes list;
        struct buf other = {0};
        assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, size), 0);
        for (uint64_t at = 0; at < size;) {
            uint64_t n = 1 + rng_below(&rng, 3 * 131072);
            n = n < size - at ? n : size - at;
            if (rng_below(&rng, 3) > 0) {
                assert_int_equal(content_builder_zeros(&builder, n), 0);
            } else {
                n = n < 1000 ? n : 1000;
                fill(data + at, n, at);
                assert_int_equal(content_builder_update(&builder, data + at, n), 0);
            }
            at += n;
        }
        assert_int_equal(content_builder_end(&builder, &holes, &list), 0);
        build(data, size, UINT64_MAX, &whole, &other);
        assert_true(content_equal(&holes, &whole));
        content_builder_deinit(&builder);
        buf_deinit(&other);
        free(data);
    }
}

static void a_terabyte_of_holes_is_built_without_hashing_it(void **state)
{
    (void)state;
    struct content_builder builder;
    struct content content;
    struct kith_bytes list;
    uint8_t last = 1;
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, FS_SIZE_MAX), 0);
    assert_int_equal(content_builder_zeros(&builder, FS_SIZE_MAX - 1), 0);
    assert_int_equal(content_builder_update(&builder, &last, 1), 0);
    assert_int_equal(content_builder_end(&builder, &content, &list), 0);
    assert_int_equal(list.len, 2 * MIB);
    assert_int_equal(content_list_check(&content, list.data, list.len), 0);
    const uint8_t *hashes = (const uint8_t *)list.data;
    assert_true(content_chunk_is_zero(&content, 0, hashes));
    assert_true(
        content_chunk_is_zero(&content, 65534, content_chunk_hash(&content, hashes, 65534)));
    assert_false(
        content_chunk_is_zero(&content, 65535, content_chunk_hash(&content, hashes, 65535)));
    content_builder_deinit(&builder);
}

static void a_file_that_changes_its_size_is_noticed(void **state)
{
    (void)state;
    uint8_t data[100] = {0};
    struct content content;
    struct kith_bytes list;
    struct content_builder builder;
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, 150), 0);
    assert_int_equal(content_builder_update(&builder, data, 100), 0);
    assert_int_equal(content_builder_end(&builder, &content, &list), KITH_E_AGAIN);
    assert_int_equal(content_builder_update(&builder, data, 100), KITH_E_AGAIN);
    assert_int_equal(content_builder_zeros(&builder, 51), KITH_E_AGAIN);
    assert_int_equal(content_builder_zeros(&builder, 50), 0);
    assert_int_equal(content_builder_end(&builder, &content, &list), 0);
    content_builder_deinit(&builder);
}

static void any_bit_that_is_turned_is_noticed(void **state)
{
    (void)state;
    uint64_t size = 3 * 131072 + 5;
    uint8_t *data = malloc(size);
    struct content content;
    struct buf list = {0};
    fill(data, size, 7);
    build(data, size, UINT64_MAX, &content, &list);
    assert_int_equal(content_list_check(&content, list.data, list.len), 0);
    for (size_t i = 0; i < list.len; i += 11) {
        list.data[i] ^= 1;
        assert_int_equal(content_list_check(&content, list.data, list.len), KITH_E_CORRUPT);
        list.data[i] ^= 1;
    }
    assert_int_equal(content_list_check(&content, list.data, list.len - 32), KITH_E_CORRUPT);
    assert_int_equal(content_list_check(&content, NULL, 0), KITH_E_CORRUPT);
    struct content longer = content;
    longer.size++; /* the size is part of the root */
    assert_int_equal(content_list_check(&longer, list.data, list.len), KITH_E_CORRUPT);
    const uint8_t *of = content_chunk_hash(&content, list.data, 3);
    assert_int_equal(content_chunk_check(&content, of, 3, data + 3 * 131072, 5), 0);
    data[size - 1] ^= 0x80;
    assert_int_equal(content_chunk_check(&content, of, 3, data + 3 * 131072, 5), KITH_E_CORRUPT);
    assert_int_equal(content_chunk_check(&content, of, 3, data + 3 * 131072, 4), KITH_E_CORRUPT);
    free(data);
    buf_deinit(&list);
}

static void the_bytes_of_a_list_have_another_root_than_the_list(void **state)
{
    (void)state;
    uint64_t size = 2 * 131072;
    uint8_t *data = malloc(size);
    struct content content;
    struct content forged;
    struct buf list = {0};
    struct buf bytes = {0};
    struct buf none = {0};
    uint8_t head[12];
    fill(data, size, 9);
    build(data, size, UINT64_MAX, &content, &list);
    /* All that goes into the root of the list, as the bytes of a file. */
    put_le32(head, 1u << 17);
    put_le64(head + 4, size);
    assert_int_equal(buf_append(&bytes, head, sizeof(head)), 0);
    assert_int_equal(buf_append(&bytes, list.data, list.len), 0);
    build(bytes.data, bytes.len, UINT64_MAX, &forged, &none);
    assert_memory_not_equal(forged.root, content.root, sizeof(content.root));
    free(data);
    buf_deinit(&list);
    buf_deinit(&bytes);
    buf_deinit(&none);
}

/* ---- the wire ---- */

static void asks_and_data_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct content content = {.size = 5 * 131072, .hash = 1, .chunk_log2 = 17, .root = {1, 2, 3}};
    struct fetch_ask asks[] = {
        {.request = 1, .priority = 2, .content = content, .chunk = 4},
        {.request = UINT64_MAX, .cancel = true},
        {.request = 2, .priority = 0, .content = content, .chunk = FETCH_LIST},
    };
    struct buf buf = {0};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fetch_ask_append(&buf, &asks[i]), 0);
    struct reader reader = reader_of(buf.data, buf.len);
    for (unsigned i = 0; i < 3; i++) {
        struct fetch_ask ask;
        fetch_ask_read(&reader, &ask);
        assert_false(reader.bad);
        assert_true(ask.request == asks[i].request && ask.cancel == asks[i].cancel &&
                    ask.priority == asks[i].priority && ask.chunk == asks[i].chunk);
        assert_true(ask.cancel || content_equal(&ask.content, &content));
    }
    assert_true(reader_done(&reader));
    for (size_t len = 1; len < FETCH_ASK_BYTES; len++) { /* cut off */
        struct fetch_ask ask;
        reader = reader_of(buf.data, len);
        fetch_ask_read(&reader, &ask);
        assert_true(reader.bad);
    }
    buf.len = 0;
    asks[0].chunk = 5; /* behind the last */
    assert_int_equal(fetch_ask_append(&buf, &asks[0]), 0);
    reader = reader_of(buf.data, buf.len);
    fetch_ask_read(&reader, &asks[0]);
    assert_true(reader.bad);
    buf_deinit(&buf);

    uint8_t frame[FETCH_DATA_HEAD_BYTES + 3] = {0};
    struct fetch_data data;
    fetch_data_head(77, 1000, frame);
    assert_int_equal(fetch_data_decode(frame, sizeof(frame), &data), 0);
    assert_true(!data.no && data.request == 77 && data.offset == 1000 && data.bytes.len == 3);
    for (size_t len = 0; len <= FETCH_DATA_HEAD_BYTES; len++)
        assert_int_equal(fetch_data_decode(frame, len, &data), KITH_E_CORRUPT);
    fetch_no_encode(78, FETCH_NO_BUSY, frame);
    assert_int_equal(fetch_data_decode(frame, FETCH_NO_BYTES, &data), 0);
    assert_true(data.no && data.request == 78 && data.reason == FETCH_NO_BUSY);
    frame[9] = FETCH_NO_LAST + 1;
    assert_int_equal(fetch_data_decode(frame, FETCH_NO_BYTES, &data), KITH_E_CORRUPT);
}

/* ---- several chunks at once ---- */

#define RUN_BYTES_MAX (128 * 1024)

static void four_hashes_at_once_are_those_of_each_alone(void **state)
{
    static const size_t lengths[] = {1,   2,   63,  64,  65,   127,  128,   129,
                                     255, 256, 257, 511, 4096, 4097, 65535, RUN_BYTES_MAX};
    static uint8_t data[LANES_N][RUN_BYTES_MAX + LANES_N];
    uint8_t hashes[LANES_N][LANES_HASH_BYTES], alone[CONTENT_ROOT_BYTES];
    const uint8_t *runs[LANES_N];

    (void)state;
    if (!lanes_have())
        skip();
    for (size_t lane = 0; lane < LANES_N; lane++) {
        fill(data[lane], sizeof(data[lane]), 100 + lane);
        runs[lane] = data[lane] + lane; /* at any address */
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        lanes_hash(runs, lengths[i], hashes);
        for (size_t lane = 0; lane < LANES_N; lane++) {
            content_hash_bytes(CONTENT_BLAKE2B_256, runs[lane], lengths[i], alone);
            assert_memory_equal(hashes[lane], alone, sizeof(alone));
        }
    }
}

/* @n chunks, of which one is damaged and, if @odd, one has another length. */
static void checks_name_the_damaged(size_t n, size_t damaged, bool odd)
{
    static uint8_t data[CONTENT_LANES][RUN_BYTES_MAX];
    uint8_t hashes[CONTENT_LANES][CONTENT_ROOT_BYTES];
    struct content content = {.size = CONTENT_LANES * RUN_BYTES_MAX - 1,
                              .hash = CONTENT_BLAKE2B_256,
                              .chunk_log2 = CONTENT_CHUNK_LOG2_MIN};
    struct content_check checks[CONTENT_LANES], *pointers[CONTENT_LANES];

    for (size_t i = 0; i < n; i++) {
        uint32_t chunk = odd && i == n - 1 ? CONTENT_LANES - 1 : (uint32_t)i % 3;
        size_t len = content_chunk_bytes(&content, chunk);
        fill(data[i], len, 10 * n + i);
        content_hash_bytes(CONTENT_BLAKE2B_256, data[i], len, hashes[i]);
        checks[i] = (struct content_check){
            .content = &content, .chunk = chunk, .of = hashes[i], .data = data[i], .len = len};
        checks[i].code = 77;
        pointers[i] = &checks[i];
    }
    if (damaged < n)
        data[damaged][checks[damaged].len - 1] ^= 1;
    content_checks(pointers, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(checks[i].code, i == damaged ? KITH_E_CORRUPT : 0);
    if (damaged < n)
        data[damaged][checks[damaged].len - 1] ^= 1;
    checks[0].len--; /* not the chunk's */
    content_checks(pointers, n);
    assert_int_equal(checks[0].code, KITH_E_CORRUPT);
}

static void of_chunks_that_are_checked_together_the_damaged_one_is_named(void **state)
{
    (void)state;
    for (size_t n = 1; n <= CONTENT_LANES; n++) {
        for (size_t damaged = 0; damaged <= n; damaged++) {
            checks_name_the_damaged(n, damaged, false);
            checks_name_the_damaged(n, damaged, true);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_as_small_as_gives_less_than_two_thousand),
        cmocka_unit_test(the_largest_file_is_valid_and_one_byte_more_is_not),
        cmocka_unit_test(hashes_of_zeros_are_those_that_are_computed),
        cmocka_unit_test(however_the_bytes_come_the_root_is_the_same),
        cmocka_unit_test(holes_give_the_root_of_the_zeros_that_they_are),
        cmocka_unit_test(a_terabyte_of_holes_is_built_without_hashing_it),
        cmocka_unit_test(a_file_that_changes_its_size_is_noticed),
        cmocka_unit_test(any_bit_that_is_turned_is_noticed),
        cmocka_unit_test(the_bytes_of_a_list_have_another_root_than_the_list),
        cmocka_unit_test(four_hashes_at_once_are_those_of_each_alone),
        cmocka_unit_test(of_chunks_that_are_checked_together_the_damaged_one_is_named),
        cmocka_unit_test(asks_and_data_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests_name("fs_content", tests, NULL, NULL);
}
