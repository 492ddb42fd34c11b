/* Signatures, and typed values in bytes. */
#include "test_rpc_lib.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/signature.h"

static void expect_canonical(const char *text, const char *canonical)
{
    struct signature signature;
    char out[SIGNATURE_CANONICAL_BYTES];
    assert_int_equal(signature_parse(text, &signature), 0);
    signature_canonical(&signature, out);
    assert_string_equal(out, canonical);
}

static void names_and_spaces_do_not_matter(void **state)
{
    (void)state;
    expect_canonical("f(i32 index, f64[] m) -> bytes", "(i32,f64[])->bytes");
    expect_canonical("  other.name ( i32,f64 [ ]  x )->bytes ", "(i32,f64[])->bytes");
    expect_canonical("()", "()");
    expect_canonical("f(bool b, text t, bytes d, u32 a, u64 c, i64 e, f32 g) -> text[]",
                     "(bool,text,bytes,u32,u64,i64,f32)->text[]");
    uint64_t a, b, c, none;
    assert_int_equal(rpc_signature_hash("f(i32 x)->bytes", &a), 0);
    assert_int_equal(rpc_signature_hash("g(i32)->bytes", &b), 0);
    assert_int_equal(rpc_signature_hash("g(i32)", &c), 0);
    assert_int_equal(rpc_signature_hash("", &none), 0);
    assert_true(a == b && a != c && none == 0);
    assert_int_equal(rpc_signature_hash(NULL, &none), 0);
    assert_true(none == 0);
}

static void wrong_signatures_are_refused_with_the_place(void **state)
{
    (void)state;
    const char *const wrong[] = {
        "f",           "f(",        "f(i32",      "f(i33 x)",        "f(i32 x,)",
        "f(i32 x) ->", "f(i32[ x)", "f(i32 x y)", "f() -> i32 junk", "f(i32 x) bytes",
        "(((",         "f(,)",      "->",         "f(I32 x)"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct signature signature;
        if (signature_parse(wrong[i], &signature) != KITH_E_PARSE) {
            print_error("accepted: %s\n", wrong[i]);
            fail();
        }
        assert_non_null(strstr(kith_errmsg(), "column"));
    }
}

static void parameters_and_length_are_bounded(void **state)
{
    (void)state;
    char text[2000] = "f(i32";
    for (int i = 1; i < SIGNATURE_PARAMS_MAX; i++)
        strcat(text, ",bytes[]");
    strcat(text, ")->bytes[]");
    struct signature signature;
    char out[SIGNATURE_CANONICAL_BYTES];
    assert_int_equal(signature_parse(text, &signature), 0);
    signature_canonical(&signature, out);
    assert_true(strlen(out) < sizeof(out));
    strcpy(strchr(text, ')'), ",i32)");
    assert_int_equal(signature_parse(text, &signature), KITH_E_PARSE);
    char longer[RPC_SIGNATURE_BYTES_MAX + 3];
    memset(longer, ' ', sizeof(longer));
    memcpy(longer, "f()", 3);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(signature_parse(longer, &signature), KITH_E_PARSE);
    longer[RPC_SIGNATURE_BYTES_MAX] = '\0';
    assert_int_equal(signature_parse(longer, &signature), 0);
}

static void every_type_comes_back(void **state)
{
    (void)state;
    const char *signature =
        "f(bool b, i32 i, i64 l, u32 u, u64 w, f32 f, f64 d, text t, bytes y, f64[] m, "
        "i32[] n, bool[] o, u64[] e)";
    const double m[] = {1.5, -0.0, INFINITY};
    const int32_t n[] = {1, -2, 3, -4, 5};
    const uint8_t o[] = {1, 0, 1};
    void *data;
    size_t len;
    assert_int_equal(kith_pack(&data, &len, signature, 1, (int32_t)-7, (int64_t)INT64_MIN,
                               (uint32_t)UINT32_MAX, (uint64_t)UINT64_MAX, 0.25, 1e300, "grüße",
                               "by\0tes", (size_t)6, m, (size_t)3, n, (size_t)5, o, (size_t)3,
                               (const uint64_t *)NULL, (size_t)0),
                     0);
    int b = -1;
    int32_t i;
    int64_t l;
    uint32_t u;
    uint64_t w;
    double f, d;
    const char *t;
    const void *y;
    const double *m2;
    const int32_t *n2;
    const uint8_t *o2;
    const uint64_t *e2;
    size_t y_len, m_n, n_n, o_n, e_n;
    assert_int_equal(kith_unpack(data, len, signature, &b, &i, &l, &u, &w, &f, &d, &t, &y, &y_len,
                                 &m2, &m_n, &n2, &n_n, &o2, &o_n, &e2, &e_n),
                     0);
    assert_int_equal(b, 1);
    assert_int_equal(i, -7);
    assert_true(l == INT64_MIN && u == UINT32_MAX && w == UINT64_MAX);
    assert_true(f == 0.25 && d == 1e300);
    assert_string_equal(t, "grüße");
    assert_int_equal(y_len, 6);
    assert_memory_equal(y, "by\0tes", 6);
    assert_int_equal(m_n, 3);
    assert_memory_equal(m2, m, sizeof(m));
    assert_int_equal((uintptr_t)m2 % 8, 0); /* in place */
    assert_int_equal(n_n, 5);
    assert_memory_equal(n2, n, sizeof(n));
    assert_int_equal(o_n, 3);
    assert_memory_equal(o2, o, 3);
    assert_int_equal(e_n, 0);
    /* Cut anywhere, or with more behind: not these values. */
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(kith_unpack(data, cut, signature, &b, &i, &l, &u, &w, &f, &d, &t, &y,
                                     &y_len, &m2, &m_n, &n2, &n_n, &o2, &o_n, &e2, &e_n),
                         KITH_E_CORRUPT);
    kith_free(data);
}

static void layout_is_the_documented_one(void **state)
{
    (void)state;
    void *data;
    size_t len;
    assert_int_equal(
        kith_pack(&data, &len, "(bool, i32, text, u64)", 1, (int32_t)2, "ab", (uint64_t)3), 0);
    const uint8_t expected[] = {1,   0,   0, 0, 2, 0, 0, 0, 2, 0, 0, 0,
                                'a', 'b', 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(len, sizeof(expected));
    assert_memory_equal(data, expected, len);
    kith_free(data);
}

static void lists_of_text_and_bytes_are_packed_but_not_unpacked(void **state)
{
    (void)state;
    const char *const words[] = {"one", "two"};
    const struct kith_bytes runs[] = {{"x", 1}, {NULL, 0}};
    void *data;
    size_t len;
    assert_int_equal(kith_pack(&data, &len, "(text[], bytes[])", words, (size_t)2, runs, (size_t)2),
                     0);
    const void *a, *b;
    size_t a_n, b_n;
    assert_int_equal(kith_unpack(data, len, "(text[], bytes[])", &a, &a_n, &b, &b_n),
                     KITH_E_UNSUPPORTED);
    kith_free(data);
}

static void result_is_packed_by_its_own_type(void **state)
{
    (void)state;
    void *data;
    size_t len;
    int32_t value = 0;
    assert_int_equal(kith_pack_result(&data, &len, "f(text) -> i32", (int32_t)41), 0);
    assert_int_equal(len, 4);
    assert_int_equal(kith_unpack_result(data, len, "f(text) -> i32", &value), 0);
    assert_int_equal(value, 41);
    assert_int_equal(kith_unpack_result(data, 3, "f(text) -> i32", &value), KITH_E_CORRUPT);
    kith_free(data);
    assert_int_equal(kith_pack_result(&data, &len, "f(text)", (int32_t)41), KITH_E_PARSE);
    assert_int_equal(kith_unpack_result("", 0, "f(text)", &value), KITH_E_PARSE);
}

static void values_that_are_not_what_they_say_are_refused(void **state)
{
    (void)state;
    int b;
    const char *t;
    const double *m;
    size_t n;
    assert_int_equal(kith_unpack("\2", 1, "(bool)", &b), KITH_E_CORRUPT);
    assert_int_equal(kith_unpack("\1\0\0\0x", 5, "(text)", &t), KITH_E_CORRUPT); /* no NUL */
    assert_int_equal(kith_unpack("\2\0\0\0x\0\0", 7, "(text)", &t),
                     KITH_E_CORRUPT); /* NUL inside */
    assert_int_equal(kith_unpack("\1\0\0\0\xff\0", 6, "(text)", &t),
                     KITH_E_CORRUPT); /* not UTF-8 */
    assert_int_equal(kith_unpack("\xff\xff\xff\xff", 4, "(f64[])", &m, &n), KITH_E_CORRUPT);
    assert_int_equal(kith_unpack("\1\1\0\0\0\0\0\0", 8, "(bool, i32)", &b, &b),
                     KITH_E_CORRUPT); /* gap */
    assert_int_equal(kith_unpack(NULL, 0, "(bool)", &b), KITH_E_CORRUPT);
    assert_int_equal(kith_unpack(NULL, 0, "()"), 0);
    _Alignas(8) uint8_t off[32] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(kith_unpack(off + 1, 16, "(f64[])", &m, &n), KITH_E_CORRUPT); /* not aligned */
}

static void more_than_an_argument_may_have_is_refused(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, RPC_BODY_BYTES_MAX);
    void *data;
    size_t len;
    assert_int_equal(kith_pack(&data, &len, "(bytes)", bytes, (size_t)RPC_BODY_BYTES_MAX - 4), 0);
    assert_int_equal(len, RPC_BODY_BYTES_MAX);
    kith_free(data);
    assert_int_equal(kith_pack(&data, &len, "(bytes)", bytes, (size_t)RPC_BODY_BYTES_MAX - 3),
                     KITH_E_TOO_LARGE);
    assert_int_equal(kith_pack(&data, &len, "(f64[])", bytes, SIZE_MAX / 4), KITH_E_TOO_LARGE);
    assert_int_equal(kith_pack(&data, &len, "(f64[])", bytes, (size_t)RPC_BODY_BYTES_MAX),
                     KITH_E_TOO_LARGE);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_spaces_do_not_matter),
        cmocka_unit_test(wrong_signatures_are_refused_with_the_place),
        cmocka_unit_test(parameters_and_length_are_bounded),
        cmocka_unit_test(every_type_comes_back),
        cmocka_unit_test(layout_is_the_documented_one),
        cmocka_unit_test(lists_of_text_and_bytes_are_packed_but_not_unpacked),
        cmocka_unit_test(result_is_packed_by_its_own_type),
        cmocka_unit_test(values_that_are_not_what_they_say_are_refused),
        cmocka_unit_test(more_than_an_argument_may_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
