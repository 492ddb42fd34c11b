/*
 * Values: names, types, bytes and text forms. What operations do is in test_dvar_value_apply.c.
 */
#include "dvar/value.h"

#include "core/alloc.h"
#include "core/error.h"
#include "lib/test.h"

static const uint8_t all_types[] = {
    VALUE_BYTES,
    VALUE_TEXT,
    VALUE_I64,
    VALUE_F64,
    VALUE_BOOL,
    VALUE_ARRAY | VALUE_BYTES,
    VALUE_ARRAY | VALUE_TEXT,
    VALUE_ARRAY | VALUE_I64,
    VALUE_ARRAY | VALUE_F64,
    VALUE_ARRAY | VALUE_BOOL,
};
#define TYPES_N (sizeof(all_types) / sizeof(all_types[0]))

static void names_are_utf8_of_1_to_255_bytes_without_controls(void **state)
{
    char longest[257];
    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(value_name_check("a", 1, false), 0);
    assert_int_equal(value_name_check("sensor/3 \xc2\xb0"
                                      "C",
                                      12, false),
                     0);
    assert_int_equal(value_name_check(longest, 255, false), 0);
    assert_int_equal(value_name_check(longest, 256, false), KITH_E_NAME);
    assert_non_null(strstr(kith_errmsg(), "256"));
    assert_int_equal(value_name_check("", 0, false), KITH_E_NAME);
    assert_int_equal(value_name_check("a\nb", 3, false), KITH_E_NAME);
    assert_int_equal(value_name_check("a\0b", 3, false), KITH_E_NAME);
    assert_int_equal(value_name_check("a\x7f", 2, false), KITH_E_NAME);
    assert_int_equal(value_name_check("a\xc2\x9b", 3, false), KITH_E_NAME);
    assert_int_equal(value_name_check("a\xff", 2, false), KITH_E_NAME);
    assert_int_equal(value_name_check("\x01mutex/a", 8, false), KITH_E_NAME);
    assert_int_equal(value_name_check("\x01mutex/a", 8, true), 0);
    assert_int_equal(value_name_check("\x02mutex/a", 8, true), KITH_E_NAME);
    assert_int_equal(value_name_check("a\x01", 2, true), KITH_E_NAME);
    assert_true(value_name_is_internal("\x01m", 2));
    assert_false(value_name_is_internal("m\x01", 2));
}

static void types_and_policies_have_names_that_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES_N; i++) {
        uint8_t type;
        assert_true(value_type_is_known(all_types[i]));
        assert_int_equal(value_type_parse(value_type_name(all_types[i]), &type), 0);
        assert_int_equal(type, all_types[i]);
        struct kith_bytes data = value_data_default(all_types[i]);
        assert_int_equal(value_data_check("x", type, data.data, data.len), 0);
    }
    uint8_t out = 99;
    assert_string_equal(value_type_name(VALUE_NONE), "none");
    assert_string_equal(value_type_name(VALUE_ARRAY | VALUE_F64), "f64[]");
    assert_int_equal(value_type_parse("none", &out), KITH_E_PARSE);
    assert_int_equal(value_type_parse("i32", &out), KITH_E_PARSE);
    assert_int_equal(value_type_parse(NULL, &out), KITH_E_PARSE);
    assert_int_equal(out, 99);
    assert_false(value_type_is_known(VALUE_NONE));
    assert_false(value_type_is_known(VALUE_ARRAY));
    assert_false(value_type_is_known(6));
    assert_false(value_type_is_known(32 | VALUE_I64));
    for (uint8_t policy = 0; policy < 3; policy++) {
        assert_int_equal(value_policy_parse(value_policy_name(policy), &out), 0);
        assert_int_equal(out, policy);
    }
    assert_int_equal(value_policy_parse("sure", &out), KITH_E_PARSE);
}

static void data_is_refused_that_is_not_of_its_type(void **state)
{
    static uint8_t big[DVAR_DATA_BYTES_MAX + 1];
    (void)state;
    assert_int_equal(value_data_check("x", VALUE_BYTES, big, sizeof(big) - 1), 0);
    assert_int_equal(value_data_check("x", VALUE_BYTES, big, sizeof(big)), KITH_E_TOO_LARGE);
    assert_non_null(strstr(kith_errmsg(), "1048577"));
    assert_int_equal(value_data_check("x", VALUE_I64, big, 7), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_F64, big, 9), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_BOOL, "\2", 1), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_BOOL, "", 0), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_TEXT, "\xff", 1), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_ARRAY | VALUE_I64, big, 12), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_ARRAY | VALUE_BOOL, "\0\1\2", 3), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_NONE, "", 0), KITH_E_INVALID);
    /* Tables: count, ends, elements. */
    const uint8_t texts = VALUE_ARRAY | VALUE_TEXT;
    static const char good[] = "\2\0\0\0\1\0\0\0\3\0\0\0abc";
    assert_int_equal(value_data_check("x", texts, good, sizeof(good) - 1), 0);
    assert_int_equal(value_data_check("x", texts, good, sizeof(good) - 2), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", texts, good, sizeof(good)), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", texts, good, 3), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", texts, good, 11), KITH_E_INVALID);
    static const char back[] = "\2\0\0\0\3\0\0\0\1\0\0\0abc";
    assert_int_equal(value_data_check("x", texts, back, sizeof(back) - 1), KITH_E_INVALID);
    static const char many[] = "\xff\xff\xff\xff\1\0\0\0";
    assert_int_equal(value_data_check("x", texts, many, sizeof(many) - 1), KITH_E_INVALID);
    /* A character cut in two by the end of an element. */
    static const char cut[] = "\2\0\0\0\1\0\0\0\2\0\0\0\xc2\xb0";
    assert_int_equal(value_data_check("x", texts, cut, sizeof(cut) - 1), KITH_E_INVALID);
    assert_int_equal(value_data_check("x", VALUE_ARRAY | VALUE_BYTES, cut, sizeof(cut) - 1), 0);
}

static void arrays_of_texts_are_built_and_taken_apart(void **state)
{
    struct kith_bytes in[] = {{"one", 3}, {NULL, 0}, {"three", 5}};
    struct buf data = {0};
    (void)state;
    assert_int_equal(value_data_build("x", in, 3, &data), 0);
    const uint8_t type = VALUE_ARRAY | VALUE_TEXT;
    assert_int_equal(value_data_check("x", type, data.data, data.len), 0);
    assert_int_equal(value_data_count(type, data.data, data.len), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct kith_bytes element = value_data_element(type, data.data, data.len, i);
        assert_int_equal(element.len, in[i].len);
        if (element.len > 0)
            assert_memory_equal(element.data, in[i].data, element.len);
    }
    static uint8_t big[DVAR_DATA_BYTES_MAX];
    struct kith_bytes full = {big, sizeof(big) - 8};
    assert_int_equal(value_data_build("x", &full, 1, &data), 0);
    assert_int_equal(value_data_check("x", VALUE_ARRAY | VALUE_BYTES, data.data, data.len), 0);
    full.len++;
    assert_int_equal(value_data_build("x", &full, 1, &data), KITH_E_TOO_LARGE);
    buf_deinit(&data);
}

static struct value sample(void)
{
    struct value value = {.type = VALUE_TEXT,
                          .policy = VALUE_DURABLE,
                          .flags = VALUE_FENCED | VALUE_GUARDED,
                          .time_ms = 1234567890123,
                          .data = (const uint8_t *)"hello",
                          .len = 5,
                          .fence = 77,
                          .mutex = "build",
                          .mutex_len = 5};
    memset(&value.writer, 0xab, sizeof(value.writer));
    return value;
}

static void a_value_reads_back_from_its_bytes(void **state)
{
    struct value value = sample();
    struct value again;
    struct buf bytes = {0};
    (void)state;
    assert_int_equal(value_encode(&value, &bytes), 0);
    assert_int_equal(bytes.len, VALUE_HEAD_BYTES + 5 + 9 + 5);
    assert_int_equal(value_decode(bytes.data, bytes.len, &again), 0);
    assert_int_equal(again.type, VALUE_TEXT);
    assert_int_equal(again.policy, VALUE_DURABLE);
    assert_int_equal(again.flags, value.flags);
    assert_int_equal(again.time_ms, value.time_ms);
    assert_memory_equal(&again.writer, &value.writer, sizeof(value.writer));
    assert_int_equal(again.len, 5);
    assert_memory_equal(again.data, "hello", 5);
    assert_int_equal(again.fence, 77);
    assert_int_equal(again.mutex_len, 5);
    assert_memory_equal(again.mutex, "build", 5);
    /* Absent is no bytes; absent with a fence is a few. */
    bytes.len = 0;
    assert_int_equal(value_encode(&(struct value){0}, &bytes), 0);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(value_decode(NULL, 0, &again), 0);
    assert_int_equal(again.type, VALUE_NONE);
    struct value gone = {.flags = VALUE_FENCED, .fence = 9, .mutex = "build", .mutex_len = 5};
    assert_int_equal(value_encode(&gone, &bytes), 0);
    assert_int_equal(value_decode(bytes.data, bytes.len, &again), 0);
    assert_int_equal(again.type, VALUE_NONE);
    assert_int_equal(again.fence, 9);
    core_alloc_fail_at(1);
    buf_deinit(&bytes);
    assert_int_equal(value_encode(&value, &bytes), KITH_E_MEMORY);
    core_alloc_fail_at(0);
    buf_deinit(&bytes);
}

static void damaged_bytes_are_no_value(void **state)
{
    struct value value = sample();
    struct value again;
    struct buf bytes = {0};
    (void)state;
    assert_int_equal(value_encode(&value, &bytes), 0);
    for (size_t len = 1; len < bytes.len; len++)
        assert_int_equal(value_decode(bytes.data, len, &again), KITH_E_CORRUPT);
    const struct {
        size_t at;
        uint8_t is;
    } damages[] = {
        {0, 2},                        /* format */
        {1, 0},                        /* no type, yet data */
        {1, 6},                        /* no such type */
        {1, VALUE_I64},                /* five bytes are no number */
        {2, 3},                        /* policy */
        {3, 8 | VALUE_FENCED},         /* flag */
        {4, 6},                        /* length */
        {7, 0xff},                     /* length */
        {VALUE_HEAD_BYTES, 0xff},      /* not UTF-8 */
        {VALUE_HEAD_BYTES + 13, 0},    /* length of the mutex' name */
        {VALUE_HEAD_BYTES + 13, 6},    /* likewise */
        {VALUE_HEAD_BYTES + 14, '\n'}, /* its name */
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        uint8_t was = bytes.data[damages[i].at];
        bytes.data[damages[i].at] = damages[i].is;
        assert_int_equal(value_decode(bytes.data, bytes.len, &again), KITH_E_CORRUPT);
        bytes.data[damages[i].at] = was;
    }
    assert_int_equal(value_decode(bytes.data, bytes.len, &again), 0);
    buf_deinit(&bytes);
}

/* ---- text ---- */

static void reads(uint8_t type, const char *text, const char *printed)
{
    struct buf data = {0};
    struct buf again = {0};
    assert_int_equal(value_parse("x", type, text, strlen(text), &data), 0);
    assert_int_equal(value_data_check("x", type, data.data, data.len), 0);
    assert_int_equal(value_print(type, data.data, data.len, &again), 0);
    assert_int_equal(again.len, strlen(printed));
    if (again.len > 0)
        assert_memory_equal(again.data, printed, again.len);
    buf_deinit(&data);
    buf_deinit(&again);
}

static void refused(uint8_t type, const char *text, const char *why)
{
    struct buf data = {0};
    assert_int_equal(value_parse("speed", type, text, strlen(text), &data), KITH_E_PARSE);
    assert_non_null(strstr(kith_errmsg(), "speed"));
    assert_non_null(strstr(kith_errmsg(), why));
    buf_deinit(&data);
}

static void text_forms_read_back(void **state)
{
    (void)state;
    reads(VALUE_I64, "-9223372036854775808", "-9223372036854775808");
    reads(VALUE_I64, "+9223372036854775807", "9223372036854775807");
    reads(VALUE_I64, "007", "7");
    reads(VALUE_F64, "0.1", "0.1");
    reads(VALUE_F64, "-1e300", "-1e+300");
    reads(VALUE_F64, "-0", "-0");
    reads(VALUE_BOOL, "yes", "true");
    reads(VALUE_BOOL, "0", "false");
    reads(VALUE_TEXT, "", "");
    reads(VALUE_TEXT, "a \"b\"\nc", "a \"b\"\nc");
    reads(VALUE_BYTES, "00FFa0", "00ffa0");
    reads(VALUE_BYTES, "", "");
    reads(VALUE_ARRAY | VALUE_I64, " [1,-2 , 3] ", "[1, -2, 3]");
    reads(VALUE_ARRAY | VALUE_I64, "[]", "[]");
    reads(VALUE_ARRAY | VALUE_F64, "[0.5,1e3]", "[0.5, 1000]");
    reads(VALUE_ARRAY | VALUE_BOOL, "[true,false]", "[true, false]");
    reads(VALUE_ARRAY | VALUE_TEXT, "[\"a\\n\\u00b0\\ud83d\\ude00\\/\", \"\"]",
          "[\"a\\n\xc2\xb0\xf0\x9f\x98\x80/\", \"\"]");
    reads(VALUE_ARRAY | VALUE_TEXT, "[]", "[]");
    reads(VALUE_ARRAY | VALUE_BYTES, "[\"00\",\"\",\"ff01\"]", "[\"00\", \"\", \"ff01\"]");
}

static void text_that_is_wrong_is_refused_with_the_name(void **state)
{
    struct buf data = {0};
    (void)state;
    refused(VALUE_I64, "9223372036854775808", "2^63");
    refused(VALUE_I64, "-9223372036854775809", "2^63");
    refused(VALUE_I64, "", "i64");
    refused(VALUE_I64, "-", "i64");
    refused(VALUE_I64, "1 ", "i64");
    refused(VALUE_F64, "nan", "finite");
    refused(VALUE_F64, "1e999", "finite");
    refused(VALUE_BOOL, "maybe", "true");
    refused(VALUE_TEXT, "\xff", "UTF-8");
    refused(VALUE_BYTES, "0", "pairs");
    refused(VALUE_BYTES, "0g", "hex");
    refused(VALUE_ARRAY | VALUE_I64, "1", "brackets");
    refused(VALUE_ARRAY | VALUE_I64, "[1", "bracket");
    refused(VALUE_ARRAY | VALUE_I64, "[1,]", "whole number");
    refused(VALUE_ARRAY | VALUE_I64, "[1 2]", "comma");
    refused(VALUE_ARRAY | VALUE_I64, "[1] 2", "behind");
    refused(VALUE_ARRAY | VALUE_TEXT, "[a]", "quotes");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"a", "end");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"a\\", "end");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"\\x\"]", "escape");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"\\u12\"]", "four");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"\\ud800\"]", "half");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"\\ud800\\u0041\"]", "half");
    refused(VALUE_ARRAY | VALUE_TEXT, "[\"\\udc00\"]", "half");
    assert_int_equal(value_parse("x", VALUE_I64, "1\0", 2, &data), KITH_E_PARSE);
    assert_int_equal(value_parse("x", VALUE_F64, "1\0", 2, &data), KITH_E_PARSE);
    assert_int_equal(value_parse("x", VALUE_BOOL, "1\0", 2, &data), KITH_E_PARSE);
    assert_int_equal(value_parse("x", VALUE_ARRAY | VALUE_I64, "[1\0]", 4, &data), KITH_E_PARSE);
    assert_int_equal(value_parse("x", 7, "1", 1, &data), KITH_E_PARSE);
    buf_deinit(&data);
}

static void text_above_the_limit_is_refused(void **state)
{
    static char text[3 * DVAR_DATA_BYTES_MAX + 3];
    struct buf data = {0};
    (void)state;
    memset(text, 'a', sizeof(text));
    assert_int_equal(value_parse("x", VALUE_TEXT, text, DVAR_DATA_BYTES_MAX, &data), 0);
    assert_int_equal(value_parse("x", VALUE_TEXT, text, DVAR_DATA_BYTES_MAX + 1, &data),
                     KITH_E_TOO_LARGE);
    assert_int_equal(value_parse("x", VALUE_BYTES, text, 2 * DVAR_DATA_BYTES_MAX, &data), 0);
    assert_int_equal(value_parse("x", VALUE_BYTES, text, 2 * DVAR_DATA_BYTES_MAX + 2, &data),
                     KITH_E_TOO_LARGE);
    /* Numbers: 131,072 of them fit. */
    const size_t fit = DVAR_DATA_BYTES_MAX / 8;
    for (size_t i = 0; i <= fit; i++)
        memcpy(text + 2 * i, i == 0 ? "[1" : ",1", 2);
    memcpy(text + 2 * fit, "]", 1);
    assert_int_equal(value_parse("x", VALUE_ARRAY | VALUE_I64, text, 2 * fit + 1, &data), 0);
    memcpy(text + 2 * fit, ",1]", 3);
    assert_int_equal(value_parse("x", VALUE_ARRAY | VALUE_I64, text, 2 * fit + 3, &data),
                     KITH_E_TOO_LARGE);
    /* Empty texts: the table alone fills it. */
    const size_t texts = (DVAR_DATA_BYTES_MAX - 4) / 4;
    for (size_t i = 0; i < texts; i++)
        memcpy(text + 3 * i, i == 0 ? "[\"\"" : ",\"\"", 3);
    memcpy(text + 3 * texts, "]", 1);
    assert_int_equal(value_parse("x", VALUE_ARRAY | VALUE_TEXT, text, 3 * texts + 1, &data), 0);
    memcpy(text + 3 * texts, ",\"\"]", 4);
    assert_int_equal(value_parse("x", VALUE_ARRAY | VALUE_TEXT, text, 3 * texts + 4, &data),
                     KITH_E_TOO_LARGE);
    buf_deinit(&data);
}

static void numbers_print_as_they_are(void **state)
{
    struct buf out = {0};
    uint8_t data[8];
    (void)state;
    put_le64(data, 0x7ff0000000000000);
    assert_int_equal(value_print(VALUE_F64, data, 8, &out), 0);
    put_le64(data, 0xfff0000000000000);
    assert_int_equal(value_print(VALUE_F64, data, 8, &out), 0);
    put_le64(data, 0x7ff8000000000000);
    assert_int_equal(value_print(VALUE_F64, data, 8, &out), 0);
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.data, "inf-infnan", 10);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_utf8_of_1_to_255_bytes_without_controls),
        cmocka_unit_test(types_and_policies_have_names_that_read_back),
        cmocka_unit_test(data_is_refused_that_is_not_of_its_type),
        cmocka_unit_test(arrays_of_texts_are_built_and_taken_apart),
        cmocka_unit_test(a_value_reads_back_from_its_bytes),
        cmocka_unit_test(damaged_bytes_are_no_value),
        cmocka_unit_test(text_forms_read_back),
        cmocka_unit_test(text_that_is_wrong_is_refused_with_the_name),
        cmocka_unit_test(text_above_the_limit_is_refused),
        cmocka_unit_test(numbers_print_as_they_are),
    };
    return cmocka_run_group_tests_name("dvar_value", tests, NULL, NULL);
}
