/* src/http/part.c: which part of a list is meant. */
#include "http/part.h"

#include <string.h>

#include "lib/test.h"

static struct http_part part_of(const char *search, const char *sort)
{
    return (struct http_part){.prefix = "", .search = search, .sort = sort, .limit = 100};
}

static bool fits(const char *search, const char *text)
{
    struct http_part part = part_of(search, "");
    return http_part_fits(&part, "", text);
}

static void all_words_are_found_anywhere_in_any_case_and_order(void **state)
{
    (void)state;
    assert_true(fits("", ""));
    assert_true(fits("  ", "x"));
    assert_true(fits("BUILD", "ci/build on dev-1"));
    assert_true(fits("dev-1  ci", "ci/Build on DEV-1"));
    assert_false(fits("ci dev-2", "ci/build on dev-1"));
    assert_false(fits("builds", "build"));
    assert_false(fits("x", ""));
    assert_true(fits("\xc3\xa4", "n\xc3\xa4he"));
}

static void a_prefix_is_of_the_name_alone(void **state)
{
    struct http_part part = {.prefix = "ci/", .search = "", .sort = ""};

    (void)state;
    assert_true(http_part_fits(&part, "ci/build", ""));
    assert_false(http_part_fits(&part, "a", "ci/build"));
    assert_false(http_part_fits(&part, "ci", ""));
}

static const char locks[] =
    "{\"locks\":["
    "{\"name\":\"a\",\"mode\":\"token\",\"parties\":[{\"holds\":true,\"owner\":\"zoe\","
    "\"node_name\":\"n1\",\"pid\":7,\"age_ms\":50,\"lease_left_ms\":9,\"fence\":\"10\"}]},"
    "{\"name\":\"b\",\"mode\":\"queue\",\"parties\":[{\"holds\":false,\"owner\":\"kim\","
    "\"node_name\":\"n2\",\"pid\":8,\"age_ms\":1}]},"
    "{\"name\":\"c\",\"mode\":\"token\",\"parties\":[{\"holds\":true,\"owner\":\"ann\","
    "\"node_name\":\"n2\",\"pid\":9,\"age_ms\":5,\"lease_left_ms\":80,\"fence\":\"9\"},"
    "{\"holds\":false,\"owner\":\"zoe\",\"node_name\":\"n1\",\"pid\":7,\"age_ms\":2},"
    "{\"holds\":false,\"owner\":\"bob\",\"node_name\":\"n3\",\"pid\":3,\"age_ms\":2}]}]}";

/* The names of the locks in @part, one letter each; the total that is told. */
static size_t page(const struct http_part *part, char out[8])
{
    json_t *doc = json_loads(locks, 0, NULL), *lock;
    size_t i, n = 0;

    assert_non_null(doc);
    http_part_locks(doc, part);
    json_array_foreach(json_object_get(doc, "locks"), i, lock)
    {
        out[n++] = json_string_value(json_object_get(lock, "name"))[0];
    }
    out[n] = '\0';
    assert_int_equal(json_integer_value(json_object_get(doc, "offset")), part->offset);
    size_t total = (size_t)json_integer_value(json_object_get(doc, "total"));
    json_decref(doc);
    return total;
}

static void locks_are_sorted_by_each_column_up_and_down(void **state)
{
    static const struct {
        const char *sort, *names;
    } cases[] = {
        {"", "abc"},        {"name", "abc"},  {"-name", "cba"},    {"none", "abc"},
        {"-none", "cba"},   {"since", "bca"}, {"-since", "acb"},   {"lease", "bac"},
        {"waiters", "abc"}, {"fence", "bca"}, {"-waiters", "cba"}, {"-fence", "acb"},
        {"holder", "bca"},  {"mode", "bac"},  {"-mode", "acb"},    {"-lease", "cab"},
        {"-holder", "acb"},
    };
    char names[8];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_part part = part_of("", cases[i].sort);
        assert_int_equal(page(&part, names), 3);
        assert_string_equal(names, cases[i].names);
    }
}

static void locks_are_found_by_who_holds_or_waits(void **state)
{
    char names[8];
    struct http_part part = part_of("zoe n1", "-since");

    (void)state;
    assert_int_equal(page(&part, names), 2);
    assert_string_equal(names, "ac");
    part.search = "(pid 9)";
    assert_int_equal(page(&part, names), 1);
    assert_string_equal(names, "c");
    part.search = "zoe bob b"; /* c alone has all three */
    assert_int_equal(page(&part, names), 1);
    part.prefix = "a";
    assert_int_equal(page(&part, names), 0);
}

static void a_page_begins_and_ends_where_it_is_asked_to(void **state)
{
    char names[8];
    struct http_part part = part_of("", "-name");

    (void)state;
    part.limit = 2;
    assert_int_equal(page(&part, names), 3);
    assert_string_equal(names, "cb");
    part.offset = 2;
    assert_int_equal(page(&part, names), 3);
    assert_string_equal(names, "a");
    part.offset = 3;
    (void)page(&part, names);
    assert_string_equal(names, "");
    part.offset = SIZE_MAX;
    (void)page(&part, names);
    assert_string_equal(names, "");
    part.offset = part.limit = 0;
    assert_int_equal(page(&part, names), 3);
    assert_string_equal(names, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_words_are_found_anywhere_in_any_case_and_order),
        cmocka_unit_test(a_prefix_is_of_the_name_alone),
        cmocka_unit_test(locks_are_sorted_by_each_column_up_and_down),
        cmocka_unit_test(locks_are_found_by_who_holds_or_waits),
        cmocka_unit_test(a_page_begins_and_ends_where_it_is_asked_to),
    };
    return cmocka_run_group_tests_name("http_part", tests, NULL, NULL);
}
