/* src/http/file_head.c: ranges, ETags, kinds and names of files. */
#include "http/file_head.h"

#include "lib/test.h"

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void is_range(const char *text, uint64_t size, uint64_t from, uint64_t end)
{
    uint64_t a, b;

    assert_int_equal(file_range(text, size, &a, &b), FILE_PART);
    assert_int_equal(a, from);
    assert_int_equal(b, end);
}

static void ranges_have_three_forms(void **state)
{
    (void)state;
    is_range("bytes=0-0", 10, 0, 1);
    is_range("bytes=2-4", 10, 2, 5);
    is_range("bytes=9-", 10, 9, 10);
    is_range("Bytes=0-", 10, 0, 10);
    is_range("bytes=4-99", 10, 4, 10);
    is_range("bytes=-3", 10, 7, 10);
    is_range("bytes=-10", 10, 0, 10);
    is_range("bytes=-11", 10, 0, 10);
    is_range("bytes=4294967296-4294967297", 1ull << 40, 1ull << 32, (1ull << 32) + 2);
}

static void ranges_that_are_none_give_the_whole(void **state)
{
    static const char *const texts[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=3-2",
        "bytes=1-2,4-5",
        "bytes=0-1x",
        "bytes= 1-2",
        "items=0-1",
        "bytes=-5-6",
        "bytes=99999999999999999999-",
        "bytes=0-99999999999999999999",
        "bytes=--1",
    };
    uint64_t a, b;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(file_range(texts[i], 10, &a, &b), FILE_WHOLE);
        assert_int_equal(a, 0);
        assert_int_equal(b, 10);
    }
    assert_int_equal(file_range(NULL, 10, &a, &b), FILE_WHOLE);
}

static void ranges_behind_the_end_are_told(void **state)
{
    uint64_t a, b;

    (void)state;
    assert_int_equal(file_range("bytes=10-", 10, &a, &b), FILE_BEHIND);
    assert_int_equal(file_range("bytes=10-12", 10, &a, &b), FILE_BEHIND);
    assert_int_equal(file_range("bytes=-0", 10, &a, &b), FILE_BEHIND);
    assert_int_equal(file_range("bytes=0-", 0, &a, &b), FILE_BEHIND);
    assert_int_equal(file_range("bytes=-1", 0, &a, &b), FILE_BEHIND);
}

static void etags_are_found_in_lists(void **state)
{
    (void)state;
    assert_true(file_etag_listed("\"" HASH "\"", HASH, false));
    assert_true(file_etag_listed("\"x\", \"" HASH "\"", HASH, false));
    assert_true(file_etag_listed("W/\"x\",W/\"" HASH "\"", HASH, true));
    assert_false(file_etag_listed("W/\"" HASH "\"", HASH, false));
    assert_true(file_etag_listed("*", HASH, true));
    assert_false(file_etag_listed("\"" HASH, HASH, true));
    assert_false(file_etag_listed(HASH, HASH, true));
    assert_false(file_etag_listed("\"" HASH "0\"", HASH, true));
    assert_false(file_etag_listed("Sun, 06 Nov 1994 08:49:37 GMT", HASH, true));
    assert_false(file_etag_listed("", HASH, true));
}

static void one_etag_is_a_hash(void **state)
{
    char hash[65];

    (void)state;
    assert_true(file_etag_one("\"" HASH "\"", hash));
    assert_string_equal(hash, HASH);
    assert_false(file_etag_one(HASH, hash));
    assert_false(file_etag_one("\"x\"", hash));
    assert_false(file_etag_one("W/\"" HASH "\"", hash));
    assert_false(file_etag_one("\"" HASH "\" ", hash));
}

static void what_a_browser_would_run_is_to_be_saved(void **state)
{
    static const char *const run[] = {"a.html",  "a.HTM",     "a.xhtml", "a.js", "a.mjs",
                                      "a.xml",   "a.css",     "a.pdf",   "a",    "a.",
                                      ".html/a", "a.unknown", "a.json"};
    static const char *const show[] = {"a.png", "d/a.JPG", "a.b.txt",
                                       "a.mp4", "a.svg",   "x.html/a.md"};
    bool shown;

    (void)state;
    for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++) {
        assert_non_null(file_type(run[i], &shown));
        assert_false(shown);
    }
    for (size_t i = 0; i < sizeof(show) / sizeof(show[0]); i++) {
        assert_non_null(file_type(show[i], &shown));
        assert_true(shown);
    }
    assert_string_equal(file_type("a.md", &shown), "text/plain; charset=utf-8");
    assert_string_equal(file_type("x.html/a", &shown), "application/octet-stream");
}

static void names_cannot_leave_their_line(void **state)
{
    char out[FILE_DISPOSITION_BYTES], name[1100];

    (void)state;
    file_disposition("s/d/a b.txt", false, out);
    assert_string_equal(out, "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
    file_disposition("\xc3\xa4\"\\\r\n;.png", true, out);
    assert_string_equal(
        out, "inline; filename=\"______;.png\"; filename*=UTF-8''%C3%A4%22%5C%0D%0A%3B.png");
    memset(name, '\xff', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    file_disposition(name, false, out);
    assert_true(strlen(out) < sizeof(out));
    assert_null(strchr(out, '\r'));
}

static void dates_are_as_http_wants_them(void **state)
{
    char out[32];

    (void)state;
    file_date(784111777, out);
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    file_date(0, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    file_date(UINT64_MAX / 1000000000, out);
    assert_int_equal(strlen(out), 29);
    file_date(UINT64_MAX, out);
    assert_int_equal(strlen(out), 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_have_three_forms),
        cmocka_unit_test(ranges_that_are_none_give_the_whole),
        cmocka_unit_test(ranges_behind_the_end_are_told),
        cmocka_unit_test(etags_are_found_in_lists),
        cmocka_unit_test(one_etag_is_a_hash),
        cmocka_unit_test(what_a_browser_would_run_is_to_be_saved),
        cmocka_unit_test(names_cannot_leave_their_line),
        cmocka_unit_test(dates_are_as_http_wants_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
