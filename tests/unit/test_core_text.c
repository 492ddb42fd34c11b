/*
 * What people write, and what is written for them.
 */
#include "core/text.h"

#include "kith/error.h"
#include "lib/test.h"

static void assert_duration(const char *text, uint64_t want)
{
    uint64_t ms = 424242;
    int r = text_parse_duration_ms(text, &ms);
    if (want == UINT64_MAX) {
        assert_int_equal(r, KITH_E_PARSE);
        assert_int_equal(ms, 424242);
    } else {
        assert_int_equal(r, 0);
        assert_int_equal(ms, want);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"30s", 30000},     {"500ms", 500},
        {"2m", 120000},     {"1h", 3600000},
        {"1d", 86400000},   {"5", 5000},
        {"1.5", 1500},      {"1.5s", 1500},
        {"0.25m", 15000},   {"0", 0},
        {"0.001", 1},       {"0.0009s", 0},
        {"1h30m", 5400000}, {"1d2h3m4s5ms", 93784005},
        {"2m10s", 130000},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_duration(good[i].text, good[i].ms);
    static const char *const bad[] = {"",
                                      "s",
                                      "ms",
                                      "-1s",
                                      "+1s",
                                      " 1s",
                                      "1s ",
                                      "1 s",
                                      "1x",
                                      "1S",
                                      "1.s",
                                      ".5s",
                                      "1..5s",
                                      "1e3",
                                      "30m1h",
                                      "1s1s",
                                      "5s3",
                                      "1h 2m",
                                      "18446744073709551616ms",
                                      "18446744073709551615s",
                                      "99999999999999999999",
                                      "0x10",
                                      "nan",
                                      "inf",
                                      "1mss"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_duration(bad[i], UINT64_MAX);
    assert_duration(NULL, UINT64_MAX);
    uint64_t ms = 0;
    assert_int_equal(text_parse_duration_ms("18446744073709551615ms", &ms), 0);
    assert_true(ms == UINT64_MAX);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"123", 123},       {"0", 0},
        {"8G", 8ull << 30}, {"64K", 65536},
        {"64k", 65536},     {"10MiB", 10 << 20},
        {"10MB", 10 << 20}, {"1.5G", 3ull << 29},
        {"7B", 7},          {"2T", 2ull << 40},
        {"1P", 1ull << 50}, {"0.5K", 512},
    };
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(text_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    static const char *const bad[] = {"",    "K",         "-1K", "1.5",  "1.5B",
                                      "1KK", "1Ki",       "1iB", "1 K",  "1K ",
                                      "1E",  "16777216P", "1e3", "0x1K", "K1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_size(bad[i], &bytes), KITH_E_PARSE);
    assert_int_equal(text_parse_size(NULL, &bytes), KITH_E_PARSE);
}

static void whole_numbers(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_int_equal(text_parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(text_parse_u64("10", 10, 10, &value), 0);
    assert_int_equal(value, 10);
    static const char *const bad[] = {"",     "9",   "11",  "-10", "+10",
                                      "10.0", " 10", "10 ", "0xa", "18446744073709551616"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_u64(bad[i], 10, 10, &value), KITH_E_PARSE);
    assert_int_equal(value, 10);
}

static void decimal_numbers(void **state)
{
    (void)state;
    double value = 7;
    assert_int_equal(text_parse_f64("-1.25", &value), 0);
    assert_true(value == -1.25);
    assert_int_equal(text_parse_f64("1e-3", &value), 0);
    assert_true(value == 1e-3);
    assert_int_equal(text_parse_f64("-.5", &value), 0);
    assert_true(value == -0.5);
    assert_int_equal(text_parse_f64("3", &value), 0);
    char deep[64] = "-0.743643887037158704752191506114774";
    assert_int_equal(text_parse_f64(deep, &value), 0);
    assert_true(value == -0.743643887037158704752191506114774);
    static const char *const bad[] = {"",   ".",  "nan", "inf",   "-inf", "1e999", "0x1p3",
                                      " 1", "1 ", "1,5", "1.2.3", "--1",  "1e",    "e5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_f64(bad[i], &value), KITH_E_PARSE);
    char much[300];
    memset(much, '1', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    assert_int_equal(text_parse_f64(much, &value), KITH_E_PARSE);
    much[3] = '.';
    assert_int_equal(text_parse_f64(much, &value), KITH_E_PARSE);
}

static void booleans(void **state)
{
    (void)state;
    bool value = false;
    static const char *const yes[] = {"yes", "true", "on", "1", "YES", "True"};
    static const char *const no[] = {"no", "false", "off", "0", "No"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        value = false;
        assert_int_equal(text_parse_bool(yes[i], &value), 0);
        assert_true(value);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_int_equal(text_parse_bool(no[i], &value), 0);
        assert_false(value);
        value = true;
    }
    assert_int_equal(text_parse_bool("y", &value), KITH_E_PARSE);
    assert_int_equal(text_parse_bool("", &value), KITH_E_PARSE);
    assert_int_equal(text_parse_bool(NULL, &value), KITH_E_PARSE);
}

static void sizes_and_durations_for_people(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(text_size(0, text, sizeof(text)), "0 B");
    assert_string_equal(text_size(1023, text, sizeof(text)), "1023 B");
    assert_string_equal(text_size(1536, text, sizeof(text)), "1.5 KiB");
    assert_string_equal(text_size((1 << 20) - 1, text, sizeof(text)), "1.0 MiB");
    assert_string_equal(text_size(3ull << 29, text, sizeof(text)), "1.5 GiB");
    assert_string_equal(text_size(UINT64_MAX, text, sizeof(text)), "16.0 EiB");
    assert_string_equal(text_size(123456, text, 4), "120");

    assert_string_equal(text_duration(0, text, sizeof(text)), "0ms");
    assert_string_equal(text_duration(999, text, sizeof(text)), "999ms");
    assert_string_equal(text_duration(1000, text, sizeof(text)), "1s");
    assert_string_equal(text_duration(1560, text, sizeof(text)), "1.5s");
    assert_string_equal(text_duration(60000, text, sizeof(text)), "1m");
    assert_string_equal(text_duration(130000, text, sizeof(text)), "2m10s");
    assert_string_equal(text_duration(3900000, text, sizeof(text)), "1h5m");
    assert_string_equal(text_duration(3600000, text, sizeof(text)), "1h");
    assert_string_equal(text_duration(90000000, text, sizeof(text)), "1d1h");
    assert_string_equal(text_duration(UINT64_MAX, text, sizeof(text)), "213503982334d14h");
}

static void utf8(void **state)
{
    (void)state;
    assert_true(text_is_utf8("", 0));
    assert_true(text_is_utf8(
        "a\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 19));
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void names(void **state)
{
    (void)state;
    char name[KITH_NAME_BYTES_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[KITH_NAME_BYTES_MAX] = '\0';
    assert_true(text_is_function_name(name));
    name[KITH_NAME_BYTES_MAX] = 'n';
    name[KITH_NAME_BYTES_MAX + 1] = '\0';
    assert_false(text_is_function_name(name));
    assert_true(text_is_function_name("sys.echo/2!~"));
    assert_false(text_is_function_name(""));
    assert_false(text_is_function_name("a b"));
    assert_false(text_is_function_name("a\n"));
    assert_false(text_is_function_name("gr\xc3\xbc"));
    assert_false(text_is_function_name("a\x7f"));
    name[63] = '\0';
    assert_true(text_is_node_name(name));
    name[63] = 'n';
    name[64] = '\0';
    assert_false(text_is_node_name(name));
    assert_true(text_is_node_name("Lab-01_a.local"));
    assert_false(text_is_node_name(""));
    assert_false(text_is_node_name("a/b"));
    assert_false(text_is_node_name("a b"));
}

static void nearest_words(void **state)
{
    (void)state;
    static const char *const words[] = {"nodes",      "info", "events", "ping", "connect",
                                        "disconnect", "fn",   "call",   "map"};
    size_t n = sizeof(words) / sizeof(words[0]);
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("abc", ""), 3);
    assert_int_equal(text_distance("nodes", "ndoes"), 1);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("ca", "abc"), 3);
    assert_string_equal(text_nearest("ndoes", words, n), "nodes");
    assert_string_equal(text_nearest("node", words, n), "nodes");
    assert_string_equal(text_nearest("conect", words, n), "connect");
    assert_string_equal(text_nearest("cal", words, n), "call");
    assert_string_equal(text_nearest("call", words, n), "call");
    assert_null(text_nearest("whiteboard", words, n));
    assert_null(text_nearest("x", words, n));
    assert_null(text_nearest("", words, n));
    assert_null(text_nearest("call", words, 0));
    char a[200];
    char b[200];
    memset(a, 'a', 199);
    memset(b, 'b', 199);
    a[199] = b[199] = '\0';
    assert_int_equal(text_distance(a, b), 64);
}

static void assert_address(const char *text, const char *host_want, int port_want)
{
    char host[64] = "before";
    uint16_t port = 1;
    int r = text_split_address(text, host, sizeof(host), 7117, &port);
    if (host_want == NULL) {
        assert_int_equal(r, KITH_E_PARSE);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(host, host_want);
    assert_int_equal(port, port_want);
}

static void addresses(void **state)
{
    (void)state;
    assert_address("lab-01", "lab-01", 7117);
    assert_address("lab-01:80", "lab-01", 80);
    assert_address("127.0.0.1:0", "127.0.0.1", 0);
    assert_address("::1", "::1", 7117);
    assert_address("::", "::", 7117);
    assert_address("[::1]", "::1", 7117);
    assert_address("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535);
    assert_address("", NULL, 0);
    assert_address(NULL, NULL, 0);
    assert_address(":80", NULL, 0);
    assert_address("[]:80", NULL, 0);
    assert_address("host:", NULL, 0);
    assert_address("host:65536", NULL, 0);
    assert_address("host:-1", NULL, 0);
    assert_address("host:8x", NULL, 0);
    assert_address("[::1", NULL, 0);
    assert_address("[::1]80", NULL, 0);
    assert_address("a b", NULL, 0);
    assert_address("a]b", NULL, 0);
    char host[4];
    uint16_t port;
    assert_int_equal(text_split_address("abc", host, sizeof(host), 1, &port), 0);
    assert_int_equal(text_split_address("abcd", host, sizeof(host), 1, &port), KITH_E_PARSE);
}

static void times(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(text_time_ms(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(text_time_ms(951782399999u, text), "2000-02-28T23:59:59.999Z");
    assert_string_equal(text_time_ms(951782400000u, text), "2000-02-29T00:00:00.000Z");
    assert_string_equal(text_time_ms(4107542400000u, text), "2100-03-01T00:00:00.000Z");
    assert_string_equal(text_time_ms(1735689599001u, text), "2024-12-31T23:59:59.001Z");
    assert_string_equal(text_time_ms(UINT64_MAX, text), "9999-12-31T23:59:59.999Z");
    /* Against the C library, over four centuries. */
    for (uint64_t day = 0; day < 146097; day++) {
        time_t t = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char want[32];
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.007Z", &tm), 24);
        assert_string_equal(text_time_ms((uint64_t)t * 1000 + 7, text), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),     cmocka_unit_test(sizes),
        cmocka_unit_test(whole_numbers), cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(booleans),      cmocka_unit_test(sizes_and_durations_for_people),
        cmocka_unit_test(utf8),          cmocka_unit_test(names),
        cmocka_unit_test(nearest_words), cmocka_unit_test(addresses),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests_name("core_text", tests, NULL, NULL);
}
