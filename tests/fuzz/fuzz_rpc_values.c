/*
 * Signatures, and bytes that claim to be typed values: refused, or within the bytes and the same
 * when packed again. First byte chooses; a signature to parse, or values for one of a few
 * signatures.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "kith/rpc.h"
#include "rpc/rpc.h"
#include "rpc/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void parse(const uint8_t *data, size_t len)
{
    char *text = core_strndup((const char *)data, len);
    struct signature signature, again;
    char canonical[SIGNATURE_CANONICAL_BYTES], twice[SIGNATURE_CANONICAL_BYTES];
    if (text != NULL && signature_parse(text, &signature) == 0) {
        signature_canonical(&signature, canonical);
        assert(strlen(canonical) < sizeof(canonical));
        assert(signature_parse(canonical, &again) == 0);
        signature_canonical(&again, twice);
        assert(strcmp(canonical, twice) == 0);
    }
    core_free(text);
}

static void same(int packed, void *again, size_t again_len, const void *data, size_t len)
{
    assert(packed == 0);
    assert(again_len == len);
    assert(memcmp(again, data, len) == 0);
    kith_free(again);
}

static void numbers(const void *data, size_t len)
{
    int b;
    int32_t i;
    uint64_t w;
    double d;
    const double *m;
    const uint8_t *o;
    size_t m_n, o_n;
    void *again;
    size_t n;
    const char *signature = "(bool, i32, u64, f64, f64[], bool[])";
    if (kith_unpack(data, len, signature, &b, &i, &w, &d, &m, &m_n, &o, &o_n) != 0)
        return;
    double sum = 0;
    for (size_t k = 0; k < m_n; k++)
        sum += m[k];
    for (size_t k = 0; k < o_n; k++)
        assert(o[k] <= 1);
    volatile double sink = sum;
    (void)sink;
    int r = kith_pack(&again, &n, signature, b, i, w, d, m, m_n, o, o_n);
    same(r, again, n, data, len);
}

static void runs(const void *data, size_t len)
{
    const char *t, *u;
    const void *y;
    const int32_t *v;
    size_t y_len, v_n;
    void *again;
    size_t n;
    const char *signature = "(text, bytes, i32[], text)";
    if (kith_unpack(data, len, signature, &t, &y, &y_len, &v, &v_n, &u) != 0)
        return;
    int r = kith_pack(&again, &n, signature, t, y, y_len, v, v_n, u);
    same(r, again, n, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 3 == 0) {
        parse(data + 1, len - 1);
        return 0;
    }
    /* In a block of its own: aligned, and its end is watched. */
    uint8_t *copy = malloc(len);
    memcpy(copy, data + 1, len - 1);
    if (data[0] % 3 == 1)
        numbers(copy, len - 1);
    else
        runs(copy, len - 1);
    free(copy);
    return 0;
}
