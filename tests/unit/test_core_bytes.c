/*
 * Allocation hook, buffers, readers, hex, ids, random numbers, errors.
 */
#include "core/bytes.h"

#include <pthread.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/list.h"
#include "core/log.h"
#include "core/rng.h"
#include "kith.h"
#include "lib/test.h"

/* ---- allocation ---- */

static void the_nth_allocation_fails_and_only_that_one(void **state)
{
    (void)state;
    core_alloc_fail_at(3);
    char *a = core_malloc(1);
    char *b = core_calloc(2, 2);
    assert_null(core_realloc(a, 100));
    char *c = core_strndup("abcdef", 3);
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(c, "abc");
    core_free(a);
    core_free(b);
    core_free(c);
    core_alloc_fail_at(1);
    assert_null(core_strndup("x", 1));
    core_autofree char *freed_by_itself = core_strndup("", 0);
    assert_string_equal(freed_by_itself, "");
    kith_free(NULL);
}

static void *allocate_in_thread(void *arg)
{
    (void)arg;
    return core_malloc(8);
}

static void failure_is_of_one_thread(void **state)
{
    (void)state;
    pthread_t thread;
    void *memory = NULL;
    core_alloc_fail_at(1);
    assert_int_equal(pthread_create(&thread, NULL, allocate_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &memory), 0);
    assert_non_null(memory);
    assert_null(core_malloc(8));
    core_free(memory);
}

/* ---- buffers ---- */

static void buffer_grows_and_is_consumed_from_the_front(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(buf_append_u8(&buf, (uint8_t)i), 0);
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    buf_consume(&buf, 0);
    buf_consume(&buf, 300);
    assert_int_equal(buf.len, 700);
    for (unsigned i = 0; i < 700; i++)
        assert_int_equal(buf.data[i], (uint8_t)(i + 300));
    buf_consume(&buf, 700);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf_append_text(&buf, "text"), 0);
    assert_memory_equal(buf.data, "text", 4);
    buf_deinit(&buf);
    buf_deinit(&buf);
}

static void printf_writes_what_fits_and_what_does_not(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct buf want = {0};
    for (int i = 0; i < 200; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%d %s;", i, "some words");
        assert_int_equal(buf_append_text(&want, text), 0);
        assert_int_equal(buf_printf(&buf, "%d %s;", i, "some words"), 0);
        assert_int_equal(buf.len, want.len);
        assert_memory_equal(buf.data, want.data, want.len);
    }
    buf_deinit(&buf);
    buf_deinit(&want);
}

static void buffer_without_memory_stays_as_it_was(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append_text(&buf, "kept"), 0);
    core_alloc_fail_at(1);
    assert_int_equal(buf_reserve(&buf, 1000), KITH_E_MEMORY);
    core_alloc_fail_at(1);
    assert_int_equal(buf_printf(&buf, "%500d", 1), KITH_E_MEMORY);
    core_alloc_fail_at(0);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 2), KITH_E_MEMORY);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "kept", 4);
    buf_deinit(&buf);
}

/* ---- readers ---- */

static void reader_gives_fields_in_order_and_knows_the_end(void **state)
{
    (void)state;
    uint8_t data[1 + 2 + 4 + 8 + 3];
    data[0] = 0xfe;
    put_le16(data + 1, 0x1234);
    put_le32(data + 3, 0x89abcdef);
    put_le64(data + 7, 0xfedcba9876543210u);
    data[15] = 'e';
    data[16] = 'n';
    data[17] = 'd';
    assert_int_equal(data[1], 0x34);
    assert_int_equal(data[3], 0xef);
    assert_int_equal(data[7], 0x10);
    struct reader r = reader_of(data, sizeof(data));
    assert_int_equal(read_u8(&r), 0xfe);
    assert_int_equal(read_le16(&r), 0x1234);
    assert_int_equal(read_le32(&r), 0x89abcdef);
    assert_true(read_le64(&r) == 0xfedcba9876543210u);
    assert_false(reader_done(&r));
    assert_memory_equal(read_bytes(&r, 3), "end", 3);
    assert_true(reader_done(&r));
    assert_non_null(read_bytes(&r, 0));
}

static void reader_goes_bad_once_and_reads_zeroes(void **state)
{
    (void)state;
    static const uint8_t data[7] = {1, 2, 3, 4, 5, 6, 7};
    struct reader r = reader_of(data, sizeof(data));
    assert_int_equal(read_le32(&r), 0x04030201);
    assert_int_equal(read_le32(&r), 0);
    assert_true(r.bad);
    /* Three bytes are left, but they do not count any more. */
    assert_int_equal(read_u8(&r), 0);
    assert_null(read_bytes(&r, 0));
    assert_false(reader_done(&r));
    r = reader_of(data, sizeof(data));
    assert_null(read_bytes(&r, SIZE_MAX));
    r = reader_of(NULL, 0);
    assert_non_null(read_bytes(&r, 0));
    assert_true(reader_done(&r));
}

/* ---- hex and ids ---- */

static void hex_goes_both_ways(void **state)
{
    (void)state;
    const uint8_t data[4] = {0x00, 0x7f, 0xa5, 0xff};
    uint8_t back[4] = {9, 9, 9, 9};
    char text[9];
    hex_encode(data, 4, text);
    assert_string_equal(text, "007fa5ff");
    assert_int_equal(hex_decode("007FA5fF", back, 4), 0);
    assert_memory_equal(back, data, 4);
    assert_int_equal(hex_decode("007fa5f", back, 4), KITH_E_PARSE);
    assert_int_equal(hex_decode("007fa5", back, 4), KITH_E_PARSE);
    assert_int_equal(hex_decode("007fa5ff0", back, 4), KITH_E_PARSE);
    assert_int_equal(hex_decode("007fa5fg", back, 4), KITH_E_PARSE);
    assert_int_equal(hex_decode("", back, 0), 0);
}

static void node_ids_parse_print_and_compare(void **state)
{
    (void)state;
    struct kith_node_id id;
    struct kith_node_id other = {{1, 2, 3}};
    char text[KITH_NODE_ID_DIGITS + 1];
    const char *good = "00112233445566778899aabbccddeeff";
    assert_int_equal(kith_node_id_parse(good, &id), 0);
    assert_string_equal(kith_node_id_text(&id, text), good);
    assert_int_equal(kith_node_id_parse("00112233445566778899aabbccddeef", &other), KITH_E_INVALID);
    assert_int_equal(kith_node_id_parse("00112233445566778899aabbccddeeffa", &other),
                     KITH_E_INVALID);
    assert_int_equal(kith_node_id_parse(NULL, &other), KITH_E_INVALID);
    assert_int_equal(other.bytes[2], 3);
    assert_false(kith_node_id_equal(&id, &other));
    other = id;
    assert_true(kith_node_id_equal(&id, &other));
}

/* ---- random numbers ---- */

static void rng_is_the_published_generator(void **state)
{
    (void)state;
    /* splitmix64 from 0 fills the state with these; the outputs follow from xoshiro256**. */
    struct rng rng;
    rng_init(&rng, 0);
    assert_true(rng.s[0] == 0xe220a8397b1dcdafu);
    assert_true(rng.s[1] == 0x6e789e6aa1b965f4u);
    rng = (struct rng){{1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240u};
    for (size_t i = 0; i < 4; i++)
        assert_true(rng_u64(&rng) == want[i]);
}

static void rng_below_is_even_and_bounded(void **state)
{
    (void)state;
    struct rng rng = test_rng();
    unsigned counts[7] = {0};
    for (unsigned i = 0; i < 70000; i++)
        counts[rng_below(&rng, 7)]++;
    for (size_t i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500); /* 5 standard deviations */
    assert_int_equal(rng_below(&rng, 0), 0);
    assert_int_equal(rng_below(&rng, 1), 0);
    double sum = 0;
    for (unsigned i = 0; i < 10000; i++) {
        double unit = rng_unit(&rng);
        assert_true(unit >= 0 && unit < 1);
        sum += unit;
    }
    assert_true(sum > 4850 && sum < 5150);
}

/* ---- errors ---- */

static const char *foreign(int code)
{
    return code == -104 ? "connection reset by peer" : NULL;
}

static void every_code_has_its_name_and_text(void **state)
{
    (void)state;
    assert_string_equal(kith_error_name(KITH_E_TIMEOUT), "KITH_E_TIMEOUT");
    assert_string_equal(kith_strerror(KITH_E_TIMEOUT), "timed out");
    assert_string_equal(kith_error_name(0), "KITH_OK");
    assert_string_equal(kith_strerror(0), "success");
    assert_string_equal(kith_error_name(-104), "KITH_E_UNKNOWN");
    assert_string_equal(kith_strerror(-104), "unknown error -104");
    assert_string_equal(kith_strerror(12), "unknown error 12");
    core_set_foreign_strerror(foreign);
    assert_string_equal(kith_strerror(-104), "connection reset by peer");
    assert_string_equal(kith_strerror(-105), "unknown error -105");
    assert_string_equal(kith_strerror(-KITH_ERROR_BASE - 999), "unknown error -10999");
    core_set_foreign_strerror(NULL);
#define XX(name, number, text)                                                                     \
    assert_string_equal(kith_strerror(KITH_E_##name), text);                                       \
    assert_string_equal(kith_error_name(KITH_E_##name), "KITH_E_" #name);
    KITH_ERROR_MAP(XX)
#undef XX
    assert_string_equal(kith_version(), KITH_VERSION);
}

static void sentence_is_kept_cut_and_can_be_said_more_about(void **state)
{
    (void)state;
    kith_errmsg_clear();
    assert_string_equal(kith_errmsg(), "");
    assert_int_equal(kith_fail_with(KITH_E_IO, "disk %d is full", 3), KITH_E_IO);
    assert_int_equal(kith_fail_with(KITH_E_IO, "cannot save: %s", kith_errmsg()), KITH_E_IO);
    assert_string_equal(kith_errmsg(), "cannot save: disk 3 is full");
    (void)kith_fail_with(KITH_E_IO, "%2000d", 7);
    assert_int_equal(strlen(kith_errmsg()), 1023);
}

/* ---- list ---- */

static void list_keeps_order_through_all_moves(void **state)
{
    (void)state;
    struct list a;
    struct list b;
    struct list nodes[5] = {0};
    list_init(&a);
    list_init(&b);
    assert_null(list_first(&a));
    list_remove(&nodes[0]);
    list_append(&a, &nodes[1]);
    list_append(&a, &nodes[2]);
    list_prepend(&a, &nodes[0]);
    list_append(&b, &nodes[3]);
    list_append(&b, &nodes[4]);
    list_splice(&a, &b);
    list_splice(&a, &b);
    assert_true(list_empty(&b));
    size_t i = 0;
    list_for_each_safe (it, &a) {
        assert_ptr_equal(it, &nodes[i++]);
        list_remove(it);
        assert_false(list_linked(it));
    }
    assert_int_equal(i, 5);
    assert_true(list_empty(&a));
}

/* ---- log front ---- */

static size_t lines_n;
static size_t last_pairs_n;
static char last_value[32];

static void count_line(struct log *log,
                       enum kith_log_level level,
                       const char *area,
                       const char *message,
                       const char *const *pairs,
                       size_t pairs_n)
{
    (void)log;
    (void)level;
    (void)area;
    (void)message;
    lines_n++;
    last_pairs_n = pairs_n;
    if (pairs_n > 0)
        (void)snprintf(last_value, sizeof(last_value), "%s", pairs[2 * pairs_n - 1]);
}

static void log_lines_pass_by_level_with_their_pairs(void **state)
{
    (void)state;
    struct log log = {.level = KITH_LOG_WARN, .sink = count_line};
    log_info(&log, "net", "not shown", NULL);
    log_debug(&log, "net", "not shown", "k", "v", NULL);
    assert_int_equal(lines_n, 0);
    log_warn(&log, "net", "shown", NULL);
    assert_int_equal(last_pairs_n, 0);
    log_set_level(&log, KITH_LOG_DEBUG);
    log_debug(&log, "net", "shown", "a", "1", "b", "2", NULL);
    assert_int_equal(lines_n, 2);
    assert_int_equal(last_pairs_n, 2);
    assert_string_equal(last_value, "2");
    log_error(NULL, "net", "nowhere", NULL);
    log_line(&log, KITH_LOG_INFO, "x", "m", "1", "a", "2", "a", "3", "a", "4", "a", "5", "a", "6",
             "a", "7", "a", "8", "a", "9", "a", "10", "a", "11", "a", "12", "a", "13", "a", "14",
             "a", "15", "a", "16", "last", "17", "too many", NULL);
    assert_int_equal(last_pairs_n, LOG_PAIRS_MAX);
    assert_string_equal(last_value, "last");
}

static void log_limit_counts_what_it_holds_back(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t held = 99;
    assert_true(log_limit_pass(&limit, 1000, 60000, &held));
    assert_int_equal(held, 0);
    assert_false(log_limit_pass(&limit, 1001, 60000, &held));
    assert_false(log_limit_pass(&limit, 60999, 60000, &held));
    assert_true(log_limit_pass(&limit, 61000, 60000, &held));
    assert_int_equal(held, 2);
    assert_true(log_limit_pass(&limit, 200000, 60000, &held));
    assert_int_equal(held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_allocation_fails_and_only_that_one),
        cmocka_unit_test(failure_is_of_one_thread),
        cmocka_unit_test(buffer_grows_and_is_consumed_from_the_front),
        cmocka_unit_test(printf_writes_what_fits_and_what_does_not),
        cmocka_unit_test(buffer_without_memory_stays_as_it_was),
        cmocka_unit_test(reader_gives_fields_in_order_and_knows_the_end),
        cmocka_unit_test(reader_goes_bad_once_and_reads_zeroes),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(node_ids_parse_print_and_compare),
        cmocka_unit_test(rng_is_the_published_generator),
        cmocka_unit_test(rng_below_is_even_and_bounded),
        cmocka_unit_test(every_code_has_its_name_and_text),
        cmocka_unit_test(sentence_is_kept_cut_and_can_be_said_more_about),
        cmocka_unit_test(list_keeps_order_through_all_moves),
        cmocka_unit_test(log_lines_pass_by_level_with_their_pairs),
        cmocka_unit_test(log_limit_counts_what_it_holds_back),
    };
    return cmocka_run_group_tests_name("core_bytes", tests, NULL, NULL);
}
