/* src/http/route.c: which request is which. */
#include "http/route.h"

#include "lib/test.h"

static const struct http_route table[] = {
    {.method = WEB_GET, .pattern = "/v1/vars", .role = HTTP_VIEWER},
    {.method = WEB_GET, .pattern = "/v1/vars/*", .role = HTTP_VIEWER},
    {.method = WEB_PUT, .pattern = "/v1/vars/*", .role = HTTP_OPERATOR},
    {.method = WEB_POST, .pattern = "/v1/vars/*/incr", .role = HTTP_OPERATOR},
    {.method = WEB_GET, .pattern = "/*"},
};
#define TABLE_N (sizeof(table) / sizeof(table[0]))

/* Index in the table; -1: none. */
static int find(enum web_method method, const char *path, char *name, unsigned *methods)
{
    const char *at;
    size_t len;
    const struct http_route *route =
        http_route_find(table, TABLE_N, method, path, &at, &len, methods);

    name[0] = '\0';
    if (route == NULL)
        return -1;
    if (at != NULL)
        sprintf(name, "%.*s", (int)len, at);
    return (int)(route - table);
}

static void names_may_hold_slashes_and_are_never_empty(void **state)
{
    char name[64];
    unsigned methods;

    (void)state;
    assert_int_equal(find(WEB_GET, "/v1/vars", name, &methods), 0);
    assert_int_equal(find(WEB_GET, "/v1/vars/a/b", name, &methods), 1);
    assert_string_equal(name, "a/b");
    assert_int_equal(find(WEB_POST, "/v1/vars/a/b/incr", name, &methods), 3);
    assert_string_equal(name, "a/b");
    assert_int_equal(find(WEB_GET, "/v1/vars/", name, &methods), 4); /* no variable: a page */
    assert_int_equal(find(WEB_POST, "/v1/vars//incr", name, &methods), -1);
    assert_int_equal(find(WEB_GET, "", name, &methods), -1);
    assert_int_equal(methods, 0);
}

static void the_longest_pattern_wins(void **state)
{
    char name[64];
    unsigned methods;

    (void)state;
    assert_int_equal(find(WEB_GET, "/v1/vars/a/incr", name, &methods), 1);
    assert_string_equal(name, "a/incr"); /* there is no GET of .../incr */
    assert_int_equal(find(WEB_HEAD, "/x", name, &methods), 4);
}

static void other_methods_of_a_path_are_told(void **state)
{
    char name[64];
    unsigned methods;

    (void)state;
    assert_int_equal(find(WEB_DELETE, "/v1/vars/a", name, &methods), -1);
    assert_int_equal(methods, 1u << WEB_GET | 1u << WEB_PUT);
    assert_int_equal(find(WEB_OTHER, "/v1/vars/a", name, &methods), -1);
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_int_equal(http_role_named("operator"), HTTP_OPERATOR);
    assert_int_equal(http_role_named(""), HTTP_NOBODY);
    assert_int_equal(http_role_named("root"), HTTP_NOBODY);
    assert_int_equal(http_role_named(NULL), HTTP_NOBODY);
    assert_string_equal(http_role_text(HTTP_ADMIN), "admin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_may_hold_slashes_and_are_never_empty),
        cmocka_unit_test(the_longest_pattern_wins),
        cmocka_unit_test(other_methods_of_a_path_are_told),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
