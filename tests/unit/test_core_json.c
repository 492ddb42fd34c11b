/*
 * The JSON writer: its commas, its escapes, numbers, and memory that runs short.
 */
#include "core/json.h"

#include <math.h>

#include "core/alloc.h"
#include "core/rng.h"
#include "kith/error.h"
#include "lib/test.h"

static struct buf out;

static int reset(void **state)
{
    (void)state;
    core_alloc_fail_at(0);
    buf_deinit(&out);
    return 0;
}

static void assert_written(const char *want)
{
    assert_int_equal(buf_append_u8(&out, 0), 0);
    assert_string_equal((const char *)out.data, want);
    out.len = 0;
}

static void write_document(struct json *json)
{
    struct kith_node_id id = {{0xab, 0xcd}};
    json_object_begin(json);
    json_kv_text(json, "schema", "kith.nodes/1");
    json_key(json, "nodes");
    json_array_begin(json);
    json_object_begin(json);
    json_kv_id(json, "id", &id);
    json_kv_i64(json, "min", INT64_MIN);
    json_kv_u64(json, "max", UINT64_MAX);
    json_kv_bool(json, "gpu", false);
    json_kv_f64(json, "load", 0.25);
    json_object_end(json);
    json_object_begin(json);
    json_object_end(json);
    json_array_begin(json);
    json_array_end(json);
    json_u64_text(json, 18446744073709551615u);
    json_write_null(json);
    json_text(json, NULL);
    json_raw(json, "{\"raw\":1}", 9);
    json_array_end(json);
    json_key(json, "time");
    json_time_ms(json, 1700000000123u);
    json_object_end(json);
}

static const char document[] =
    "{\"schema\":\"kith.nodes/1\",\"nodes\":[{\"id\":\"abcd0000000000000000000000000000\","
    "\"min\":-9223372036854775808,\"max\":18446744073709551615,\"gpu\":false,\"load\":0.25},{},[],"
    "\"18446744073709551615\",null,null,{\"raw\":1}],\"time\":\"2023-11-14T22:13:20.123Z\"}";

static void commas_come_by_themselves(void **state)
{
    (void)state;
    struct json json = json_begin(&out);
    write_document(&json);
    assert_int_equal(json_end(&json), 0);
    assert_written(document);
}

static void every_failing_allocation_is_told_at_the_end(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (uint64_t n = 1;; n++) {
        buf_deinit(&out);
        struct json json = json_begin(&out);
        core_alloc_fail_at(n);
        write_document(&json);
        core_alloc_fail_at(0);
        if (json_end(&json) == 0)
            break;
        assert_int_equal(json_end(&json), KITH_E_MEMORY);
        failures++;
    }
    assert_true(failures >= 3);
    assert_written(document);
}

static void assert_escaped(const char *text, size_t len, const char *want)
{
    struct json json = json_begin(&out);
    json_text_n(&json, text, len);
    assert_int_equal(json_end(&json), 0);
    assert_written(want);
}

static void text_is_escaped(void **state)
{
    (void)state;
    assert_escaped("", 0, "\"\"");
    assert_escaped("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
    assert_escaped("\n\r\t\b\x01\x1f\x7f", 7, "\"\\n\\r\\t\\u0008\\u0001\\u001f\x7f\"");
    assert_escaped("a\0b", 3, "\"a\\u0000b\"");
    assert_escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15,
                   "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

#define BAD "\xef\xbf\xbd"

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    assert_escaped("\xff", 1, "\"" BAD "\"");
    assert_escaped("a\xc3", 2, "\"a" BAD "\"");       /* cut */
    assert_escaped("\xc0\xaf", 2, "\"" BAD BAD "\""); /* overlong */
    assert_escaped("\xe0\x80\xaf", 3, "\"" BAD BAD BAD "\"");
    assert_escaped("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\"");         /* a surrogate */
    assert_escaped("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\""); /* beyond U+10FFFF */
    assert_escaped("\x80z\xe2\x82", 4, "\"" BAD "z" BAD BAD "\"");
}

static void assert_number(double value, const char *want)
{
    struct json json = json_begin(&out);
    json_f64(&json, value);
    assert_int_equal(json_end(&json), 0);
    assert_written(want);
}

static void doubles_are_short_and_read_back(void **state)
{
    (void)state;
    assert_number(0, "0");
    assert_number(0.1, "0.1");
    assert_number(-2.5, "-2.5");
    assert_number(1e300, "1e+300");
    assert_number(1.0 / 3, "0.3333333333333333");
    assert_number((double)NAN, "null");
    assert_number((double)INFINITY, "null");
    assert_number(-(double)INFINITY, "null");
    struct rng rng = test_rng();
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(&rng);
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        struct json json = json_begin(&out);
        json_f64(&json, value);
        assert_int_equal(buf_append_u8(&out, 0), 0);
        assert_true(strtod((const char *)out.data, NULL) == value);
        out.len = 0;
    }
}

static void assert_plain(const char *printed, const char *want)
{
    char text[40];
    assert_true(strlen(printed) < sizeof(text));
    (void)snprintf(text, sizeof(text), "%s", printed);
    size_t len = json_number_plain(text, strlen(printed));
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static void decimal_point_is_a_point_in_every_locale(void **state)
{
    (void)state;
    assert_plain("-1.5e-07", "-1.5e-07");
    assert_plain("1,5", "1.5");
    assert_plain("-12\xd9\xab"
                 "25e+10",
                 "-12.25e+10");
    assert_plain("7", "7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(commas_come_by_themselves, reset),
        cmocka_unit_test_teardown(every_failing_allocation_is_told_at_the_end, reset),
        cmocka_unit_test_teardown(text_is_escaped, reset),
        cmocka_unit_test_teardown(bytes_that_are_not_utf8_are_replaced, reset),
        cmocka_unit_test_teardown(doubles_are_short_and_read_back, reset),
        cmocka_unit_test_teardown(decimal_point_is_a_point_in_every_locale, reset),
    };
    return cmocka_run_group_tests_name("core_json", tests, NULL, NULL);
}
