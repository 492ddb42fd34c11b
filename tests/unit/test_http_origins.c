/* src/http/origins.c: addresses that were members', and what may stand in a header. */
#include "http/origins.h"

#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "lib/test.h"

static const char *nth(unsigned n)
{
    static char text[64];
    snprintf(text, sizeof(text), "http://10.0.0.1:%u", 1000 + n);
    return text;
}

static void who_was_one_is_known(void **state)
{
    struct http_origins origins;

    (void)state;
    http_origins_init(&origins);
    assert_false(http_origins_has(&origins, "http://a:1"));
    http_origins_keep(&origins, "http://a:1");
    http_origins_keep(&origins, "http://A:1");
    http_origins_keep(&origins, "");
    assert_int_equal(origins.n, 1);
    assert_true(http_origins_has(&origins, "HTTP://a:1"));
    assert_false(http_origins_has(&origins, "http://a:10"));
    assert_false(http_origins_has(&origins, ""));
    http_origins_deinit(&origins);
    assert_int_equal(origins.n, 0);
}

static void the_oldest_goes_at_the_limit(void **state)
{
    struct http_origins origins;

    (void)state;
    http_origins_init(&origins);
    for (unsigned i = 0; i < HTTP_ORIGINS_FORMER_MAX; i++)
        http_origins_keep(&origins, nth(i));
    assert_true(http_origins_has(&origins, nth(0)));
    http_origins_keep(&origins, nth(0)); /* the newest again: none goes */
    assert_int_equal(origins.n, HTTP_ORIGINS_FORMER_MAX);
    assert_true(http_origins_has(&origins, nth(1)));
    http_origins_keep(&origins, nth(HTTP_ORIGINS_FORMER_MAX));
    assert_int_equal(origins.n, HTTP_ORIGINS_FORMER_MAX);
    assert_true(http_origins_has(&origins, nth(0)));
    assert_false(http_origins_has(&origins, nth(1)));
    assert_true(http_origins_has(&origins, nth(HTTP_ORIGINS_FORMER_MAX)));
    http_origins_deinit(&origins);
}

static void next(void *user, const char *text)
{
    unsigned *i = user;
    assert_string_equal(text, nth((*i)++));
}

static void all_are_told_the_oldest_first(void **state)
{
    struct http_origins origins;
    unsigned told = 0;

    (void)state;
    http_origins_init(&origins);
    for (unsigned i = 0; i < 3; i++)
        http_origins_keep(&origins, nth(i));
    http_origins_each(&origins, next, &told);
    assert_int_equal(told, 3);
    http_origins_deinit(&origins);
}

static void only_an_address_stands_in_a_header(void **state)
{
    char text[HTTP_ORIGIN_BYTES_MAX + 2];

    (void)state;
    assert_true(http_origin_fits("http://127.0.0.1:7118"));
    assert_true(http_origin_fits("https://[fe80::1]:7118"));
    assert_true(http_origin_fits("https://node-1.example:7118"));
    assert_false(http_origin_fits(""));
    assert_false(http_origin_fits("http://"));
    assert_false(http_origin_fits("ftp://a"));
    assert_false(http_origin_fits("a:7118"));
    assert_false(http_origin_fits("http://a; script-src *"));
    assert_false(http_origin_fits("http://a\r\nSet-Cookie: b"));
    assert_false(http_origin_fits("http://a/path"));
    memset(text, 'a', sizeof(text));
    memcpy(text, "http://", 7);
    text[HTTP_ORIGIN_BYTES_MAX + 1] = '\0';
    assert_false(http_origin_fits(text));
    text[HTTP_ORIGIN_BYTES_MAX] = '\0';
    assert_true(http_origin_fits(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_one_is_known),
        cmocka_unit_test(the_oldest_goes_at_the_limit),
        cmocka_unit_test(all_are_told_the_oldest_first),
        cmocka_unit_test(only_an_address_stands_in_a_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
