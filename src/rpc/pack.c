/*
 * Typed values in bytes, for functions with a signature.
 *
 * Values follow one another, little-endian, each aligned to its size (the gaps are zero): numbers
 * as they are, bool as one byte 0 or 1, text as u32 length, bytes and a NUL, bytes as u32 length
 * and bytes, an array as u32 count and its elements. Numbers and their arrays can so be used in
 * place.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/text.h"
#include "rpc/rpc.h"
#include "rpc/signature.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "numbers are used in place: a big-endian machine needs a pack of its own");
static_assert(sizeof(float) == 4 && sizeof(double) == 8, "f32 and f64 are the machine's own");

/* ---- packing ---- */

static int put(struct buf *out, const void *data, size_t len)
{
    if (len > RPC_BODY_BYTES_MAX || out->len + len > RPC_BODY_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "pack: the values have more than %d bytes, which is the limit of an "
                              "argument; pass a reference to the data",
                              RPC_BODY_BYTES_MAX);
    return len > 0 ? buf_append(out, data, len) : 0;
}

static int put_aligned(struct buf *out, const void *data, size_t size, size_t n)
{
    static const uint8_t zeros[8];
    size_t gap = (size - out->len % size) % size;
    int r = put(out, zeros, gap);
    if (r != 0)
        return r;
    if (n > RPC_BODY_BYTES_MAX)
        n = RPC_BODY_BYTES_MAX + (size_t)1; /* put() refuses it, and the product cannot overflow */
    return put(out, data, size * n);
}

static int put_count(struct buf *out, size_t n)
{
    if (n > RPC_BODY_BYTES_MAX)
        return put(out, NULL, n);
    uint32_t count = (uint32_t)n;
    return put_aligned(out, &count, 4, 1);
}

static int put_run(struct buf *out, const void *data, size_t len)
{
    int r = put_count(out, len);
    return r != 0 ? r : put(out, data, len);
}

static int put_text(struct buf *out, const char *text)
{
    if (text == NULL)
        text = "";
    size_t len = strlen(text);
    int r = put_run(out, text, len);
    return r != 0 ? r : put(out, "", 1);
}

static int put_array(struct buf *out, enum value_base base, va_list *args)
{
    const void *elements = va_arg(*args, const void *);
    size_t n = va_arg(*args, size_t);
    int r = put_count(out, n);
    if (r != 0)
        return r;
    if (base != VALUE_TEXT && base != VALUE_BYTES)
        return put_aligned(out, elements, value_size(base), n);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (base == VALUE_TEXT) {
            r = put_text(out, ((const char *const *)elements)[i]);
        } else {
            const struct kith_bytes *bytes = (const struct kith_bytes *)elements + i;
            r = put_run(out, bytes->data, bytes->len);
        }
    }
    return r;
}

static int put_value(struct buf *out, struct value_type type, va_list *args)
{
    if (type.array)
        return put_array(out, type.base, args);
    switch (type.base) {
    case VALUE_I32:
    case VALUE_U32: {
        uint32_t value = va_arg(*args, uint32_t);
        return put_aligned(out, &value, 4, 1);
    }
    case VALUE_I64:
    case VALUE_U64: {
        uint64_t value = va_arg(*args, uint64_t);
        return put_aligned(out, &value, 8, 1);
    }
    case VALUE_F32: {
        float value = (float)va_arg(*args, double);
        return put_aligned(out, &value, 4, 1);
    }
    case VALUE_F64: {
        double value = va_arg(*args, double);
        return put_aligned(out, &value, 8, 1);
    }
    case VALUE_BOOL: {
        uint8_t value = va_arg(*args, int) != 0;
        return put(out, &value, 1);
    }
    case VALUE_TEXT:
        return put_text(out, va_arg(*args, const char *));
    case VALUE_BYTES: {
        const void *data = va_arg(*args, const void *);
        return put_run(out, data, va_arg(*args, size_t));
    }
    default:
        return KITH_E_INTERNAL;
    }
}

static int pack_all(
    void **data_out, size_t *len_out, const struct value_type *types, size_t types_n, va_list *args)
{
    struct buf out = {0};
    int r = buf_reserve(&out, 64); /* so that an empty pack has memory to give as well */
    for (size_t i = 0; i < types_n && r == 0; i++)
        r = put_value(&out, types[i], args);
    if (r != 0) {
        buf_deinit(&out);
        return r;
    }
    *data_out = out.data;
    *len_out = out.len;
    return 0;
}

static int no_result(const char *signature)
{
    return kith_fail_with(KITH_E_PARSE,
                          "signature '%s': it has no result; add \"-> bytes\" or another "
                          "type",
                          signature);
}

int kith_pack(void **data_out, size_t *len_out, const char *signature, ...)
{
    struct signature parsed;
    int r = signature_parse(signature, &parsed);
    if (r != 0)
        return r;
    va_list args;
    va_start(args, signature);
    r = pack_all(data_out, len_out, parsed.params, parsed.params_n, &args);
    va_end(args);
    return r;
}

int kith_pack_result(void **data_out, size_t *len_out, const char *signature, ...)
{
    struct signature parsed;
    int r = signature_parse(signature, &parsed);
    if (r != 0)
        return r;
    if (!parsed.has_result)
        return no_result(signature);
    va_list args;
    va_start(args, signature);
    r = pack_all(data_out, len_out, &parsed.result, 1, &args);
    va_end(args);
    return r;
}

/* ---- unpacking ---- */

/* The next @n elements of @size bytes, aligned; NULL if they are not there or a gap is not zero. */
static const uint8_t *get_aligned(struct reader *in, size_t size, size_t n)
{
    while (in->at % size != 0 && !in->bad) {
        if (read_u8(in) != 0)
            in->bad = true;
    }
    if (in->bad || n > (in->len - in->at) / size) {
        in->bad = true;
        return NULL;
    }
    /* Not read_bytes() for none: an empty array still has a place to point to. */
    return n > 0 ? read_bytes(in, size * n) : in->data + in->at;
}

static uint32_t get_count(struct reader *in)
{
    const uint8_t *at = get_aligned(in, 4, 1);
    return at != NULL ? get_le32(at) : 0;
}

static void get_text(struct reader *in, const char **text_out)
{
    uint32_t len = get_count(in);
    const uint8_t *text = get_aligned(in, 1, (size_t)len + 1);
    if (text == NULL)
        return;
    if (text[len] != '\0' || memchr(text, '\0', len) != NULL ||
        !text_is_utf8((const char *)text, len))
        in->bad = true;
    else
        *text_out = (const char *)text;
}

static void get_array(struct reader *in, enum value_base base, va_list *args)
{
    const void **elements_out = va_arg(*args, const void **);
    size_t *n_out = va_arg(*args, size_t *);
    uint32_t n = get_count(in);
    const uint8_t *elements = get_aligned(in, value_size(base), n);
    for (uint32_t i = 0; base == VALUE_BOOL && elements != NULL && i < n; i++) {
        if (elements[i] > 1)
            in->bad = true;
    }
    if (in->bad)
        return;
    if ((uintptr_t)elements % value_size(base) != 0)
        in->bad = true; /* not as malloc() aligns */
    *elements_out = elements;
    *n_out = n;
}

static void get_number(struct reader *in, enum value_base base, va_list *args)
{
    const uint8_t *at = get_aligned(in, value_size(base), 1);
    void *out = va_arg(*args, void *);
    if (at == NULL)
        return;
    if (base == VALUE_F32) {
        float value;
        memcpy(&value, at, sizeof(value));
        *(double *)out = (double)value;
    } else if (base == VALUE_BOOL) {
        *(int *)out = *at;
        in->bad = in->bad || *at > 1;
    } else {
        memcpy(out, at, value_size(base));
    }
}

static void get_value(struct reader *in, struct value_type type, va_list *args)
{
    if (type.array) {
        get_array(in, type.base, args);
    } else if (type.base == VALUE_TEXT) {
        get_text(in, va_arg(*args, const char **));
    } else if (type.base == VALUE_BYTES) {
        const void **data_out = va_arg(*args, const void **);
        size_t *len_out = va_arg(*args, size_t *);
        uint32_t len = get_count(in);
        const uint8_t *data = get_aligned(in, 1, len);
        if (!in->bad) {
            *data_out = data;
            *len_out = len;
        }
    } else {
        get_number(in, type.base, args);
    }
}

static int unpack_all(const void *data,
                      size_t len,
                      const char *signature,
                      const struct value_type *types,
                      size_t types_n,
                      va_list *args)
{
    for (size_t i = 0; i < types_n; i++) {
        if (types[i].array && (types[i].base == VALUE_TEXT || types[i].base == VALUE_BYTES))
            return kith_fail_with(
                KITH_E_UNSUPPORTED,
                "unpack of '%s': %s[] cannot be unpacked; use bytes and a format of "
                "your own",
                signature, value_name(types[i].base));
    }
    static const uint8_t nothing[1];
    struct reader in = reader_of(data != NULL ? data : nothing, len);
    for (size_t i = 0; i < types_n && !in.bad; i++)
        get_value(&in, types[i], args);
    if (!reader_done(&in))
        return kith_fail_with(
            KITH_E_CORRUPT,
            "unpack of '%s': the %zu bytes do not hold exactly these values; pack them "
            "with the same signature",
            signature, len);
    return 0;
}

int kith_unpack(const void *data, size_t len, const char *signature, ...)
{
    struct signature parsed;
    int r = signature_parse(signature, &parsed);
    if (r != 0)
        return r;
    va_list args;
    va_start(args, signature);
    r = unpack_all(data, len, signature, parsed.params, parsed.params_n, &args);
    va_end(args);
    return r;
}

int kith_unpack_result(const void *data, size_t len, const char *signature, ...)
{
    struct signature parsed;
    int r = signature_parse(signature, &parsed);
    if (r != 0)
        return r;
    if (!parsed.has_result)
        return no_result(signature);
    va_list args;
    va_start(args, signature);
    r = unpack_all(data, len, signature, &parsed.result, 1, &args);
    va_end(args);
    return r;
}
