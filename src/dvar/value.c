/*
 * Types, data and the byte form of values.
 */
#include "dvar/value.h"

#include <assert.h>

#include "core/error.h"
#include "core/text.h"
#include "dvar/value_internal.h"

static_assert(VALUE_HEAD_BYTES == 16 + KITH_NODE_ID_BYTES, "the writer ends the head");
static_assert(VALUE_HEAD_BYTES % 8 == 0, "data of numbers is aligned where the value is");

/* ---- names ---- */

int value_name_check(const char *name, size_t len, bool internal)
{
    if (len == 0)
        return kith_fail_with(KITH_E_NAME, "an empty name is no name of a variable; give one of 1 "
                                           "to 255 bytes");
    if (len > KITH_NAME_BYTES_MAX)
        return kith_fail_with(KITH_E_NAME,
                              "the name of a variable has %zu bytes; it may have %d at most", len,
                              KITH_NAME_BYTES_MAX);
    size_t plain = 0; /* nearly all names are: from space to tilde */
    while (plain < len && (unsigned char)(name[plain] - 0x20) < 0x5f)
        plain++;
    if (plain == len)
        return 0;
    if (!text_is_utf8(name, len))
        return kith_fail_with(KITH_E_NAME,
                              "the name of a variable is not UTF-8; write it in UTF-8");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (i == 0 && internal && c == VALUE_NAME_INTERNAL)
            continue;
        /* C1 controls are 0xc2 0x80 to 0xc2 0x9f in UTF-8. */
        bool c1 = c == 0xc2 && (unsigned char)name[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1)
            return kith_fail_with(KITH_E_NAME,
                                  "the name of a variable has a control character at byte %zu; "
                                  "leave it out",
                                  i);
    }
    return 0;
}

/* ---- types ---- */

static const char *const type_names[] = {"none", "bytes", "text", "i64", "f64", "bool"};
static const char *const array_names[] = {"none", "bytes[]", "text[]", "i64[]", "f64[]", "bool[]"};
static const char *const policy_names[] = {"volatile", "durable", "available"};
#define TYPES_N    (sizeof(type_names) / sizeof(type_names[0]))
#define POLICIES_N (sizeof(policy_names) / sizeof(policy_names[0]))

bool value_type_is_known(uint8_t type)
{
    uint8_t element = type & (uint8_t)~VALUE_ARRAY;
    return element != VALUE_NONE && element < TYPES_N;
}

const char *value_type_name(uint8_t type)
{
    uint8_t element = type & (uint8_t)~VALUE_ARRAY;
    if (type == VALUE_NONE)
        return type_names[0];
    if (!value_type_is_known(type))
        return "unknown";
    return value_type_is_array(type) ? array_names[element] : type_names[element];
}

int value_type_parse(const char *text, uint8_t *type_out)
{
    for (uint8_t i = 1; text != NULL && i < TYPES_N; i++) {
        bool array = strcmp(text, array_names[i]) == 0;
        if (array || strcmp(text, type_names[i]) == 0) {
            *type_out = array ? (uint8_t)(i | VALUE_ARRAY) : i;
            return 0;
        }
    }
    return kith_fail_with(
        KITH_E_PARSE,
        "\"%.40s\" is no type of variables; they are bytes, text, i64, f64, bool, "
        "and arrays of them such as i64[]",
        text != NULL ? text : "");
}

const char *value_policy_name(uint8_t policy)
{
    return policy < POLICIES_N ? policy_names[policy] : "unknown";
}

int value_policy_parse(const char *text, uint8_t *policy_out)
{
    for (uint8_t i = 0; text != NULL && i < POLICIES_N; i++) {
        if (strcmp(text, policy_names[i]) == 0) {
            *policy_out = i;
            return 0;
        }
    }
    return kith_fail_with(KITH_E_PARSE,
                          "\"%.40s\" is no policy of variables; they are volatile, durable and "
                          "available",
                          text != NULL ? text : "");
}

/* ---- data ---- */

size_t value_element_bytes(uint8_t type)
{
    switch (type & (uint8_t)~VALUE_ARRAY) {
    case VALUE_I64:
    case VALUE_F64:
        return 8;
    case VALUE_BOOL:
        return 1;
    default:
        return type == VALUE_BYTES ? 1 : 0;
    }
}

bool value_is_table(uint8_t type)
{
    return type == (VALUE_ARRAY | VALUE_BYTES) || type == (VALUE_ARRAY | VALUE_TEXT);
}

static int malformed(const char *name, uint8_t type, const char *why)
{
    return kith_fail_with(KITH_E_INVALID, "the data for %s is no %s: %s; pass data of that type",
                          name, value_type_name(type), why);
}

static const char *table_problem(uint8_t type, const uint8_t *data, size_t len)
{
    if (len < 4)
        return "it has no count";
    uint64_t n = get_le32(data);
    if (n > (len - 4) / 4)
        return "its count is larger than it is";
    const uint8_t *ends = data + 4;
    const char *elements = (const char *)ends + 4 * n;
    size_t elements_len = len - 4 - 4 * n;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t end = get_le32(ends + 4 * i);
        if (end < at || end > elements_len)
            return "an element ends outside of it";
        if (type == (VALUE_ARRAY | VALUE_TEXT) && !text_is_utf8(elements + at, end - at))
            return "an element is not UTF-8";
        at = end;
    }
    return at != elements_len ? "bytes are left behind the last element" : NULL;
}

static const char *bools_problem(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] > 1)
            return "a bool is neither 0 nor 1";
    return NULL;
}

static const char *data_problem(uint8_t type, const uint8_t *data, size_t len)
{
    switch (type) {
    case VALUE_BYTES:
        return NULL;
    case VALUE_TEXT:
        return text_is_utf8((const char *)data, len) ? NULL : "it is not UTF-8";
    case VALUE_I64:
    case VALUE_F64:
        return len == 8 ? NULL : "it has not 8 bytes";
    case VALUE_BOOL:
        return len == 1 ? bools_problem(data, len) : "it has not 1 byte";
    case VALUE_ARRAY | VALUE_I64:
    case VALUE_ARRAY | VALUE_F64:
        return len % 8 == 0 ? NULL : "its length is no multiple of 8";
    case VALUE_ARRAY | VALUE_BOOL:
        return bools_problem(data, len);
    case VALUE_ARRAY | VALUE_BYTES:
    case VALUE_ARRAY | VALUE_TEXT:
        return table_problem(type, data, len);
    default:
        return "there is no such type";
    }
}

int value_data_check(const char *name, uint8_t type, const void *data, size_t len)
{
    if (len > DVAR_DATA_BYTES_MAX)
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "the data for %s has %zu bytes; a variable holds %d at most: split it "
            "over several, or keep it in a file",
            name, len, DVAR_DATA_BYTES_MAX);
    const char *problem = data_problem(type, data, len);
    return problem == NULL ? 0 : malformed(name, type, problem);
}

struct kith_bytes value_data_default(uint8_t type)
{
    static const uint8_t zero[8];
    size_t len = 0;
    if (value_is_table(type))
        len = 4;
    else if (!value_type_is_array(type) && type != VALUE_BYTES)
        len = value_element_bytes(type);
    return (struct kith_bytes){.data = zero, .len = len};
}

uint32_t value_data_count(uint8_t type, const void *data, size_t len)
{
    if (value_is_table(type))
        return get_le32(data);
    size_t width = value_element_bytes(type);
    bool many = value_type_is_array(type) || type == VALUE_BYTES;
    return many && width > 0 ? (uint32_t)(len / width) : 1;
}

int value_data_build(const char *name,
                     const struct kith_bytes *elements,
                     uint32_t n,
                     struct buf *data_out)
{
    size_t len = 4 + 4 * (size_t)n;
    for (uint32_t i = 0; i < n && len <= DVAR_DATA_BYTES_MAX; i++)
        len += elements[i].len;
    if (len > DVAR_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the array for %s has more than %d bytes; split it over several "
                              "variables",
                              name, DVAR_DATA_BYTES_MAX);
    data_out->len = 0;
    int r = buf_reserve(data_out, len);
    if (r != 0)
        return r;
    uint8_t *to = data_out->data;
    put_le32(to, n);
    uint32_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (elements[i].len > 0)
            memcpy(to + 4 + 4 * (size_t)n + end, elements[i].data, elements[i].len);
        end += (uint32_t)elements[i].len;
        put_le32(to + 4 + 4 * (size_t)i, end);
    }
    data_out->len = len;
    return 0;
}

/* Where element @at of a table begins, counted from the first; @at may be the count. */
static uint32_t table_begin(const uint8_t *data, uint32_t at)
{
    return at == 0 ? 0 : get_le32(data + 4 * (size_t)at);
}

struct kith_bytes
value_data_run(uint8_t type, const void *data, size_t len, uint32_t at, uint32_t n)
{
    const uint8_t *bytes = data;
    if (value_is_table(type)) {
        uint32_t begin = table_begin(bytes, at);
        const uint8_t *elements = bytes + 4 + 4 * (size_t)get_le32(bytes);
        return (struct kith_bytes){.data = elements + begin,
                                   .len = table_begin(bytes, at + n) - begin};
    }
    size_t width = value_element_bytes(type);
    assert((at + (size_t)n) * width <= len);
    (void)len;
    return (struct kith_bytes){.data = bytes + at * width, .len = n * width};
}

struct kith_bytes value_data_element(uint8_t type, const void *data, size_t len, uint32_t at)
{
    assert(at < value_data_count(type, data, len));
    return value_data_run(type, data, len, at, 1);
}

/* ---- byte form ---- */

static int damaged(const char *why)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "the bytes of a variable are damaged: %s; the copy is not "
                          "used",
                          why);
}

struct value value_view(const void *bytes, size_t len)
{
    struct value value = {0};
    const uint8_t *p = bytes;
    if (len == 0)
        return value;
    value.type = p[1];
    value.policy = p[2];
    value.flags = p[3];
    value.len = get_le32(p + 4);
    value.time_ms = get_le64(p + 8);
    memcpy(value.writer.bytes, p + 16, sizeof(value.writer.bytes));
    value.data = p + VALUE_HEAD_BYTES;
    if (value.flags & VALUE_FENCED) {
        const uint8_t *guard = value.data + value.len;
        value.fence = get_le64(guard);
        value.mutex_len = guard[8];
        value.mutex = (const char *)guard + 9;
    }
    return value;
}

/* The lengths of @bytes agree: all of value_view() lies within. */
static bool lengths_agree(const uint8_t *bytes, size_t len)
{
    if (len < VALUE_HEAD_BYTES || bytes[0] != VALUE_FORMAT)
        return false;
    size_t end = VALUE_HEAD_BYTES + (size_t)get_le32(bytes + 4);
    if ((bytes[3] & VALUE_FENCED) != 0) {
        if (end + 9 > len || bytes[end + 8] == 0)
            return false;
        end += 9 + (size_t)bytes[end + 8];
    }
    return end == len;
}

int value_decode(const void *bytes, size_t len, struct value *value_out)
{
    if (len == 0) {
        *value_out = (struct value){0};
        return 0;
    }
    if (!lengths_agree(bytes, len))
        return damaged("its lengths do not agree");
    struct value value = value_view(bytes, len);
    if (value.policy >= POLICIES_N ||
        (value.flags & ~(VALUE_CONSTANT | VALUE_GUARDED | VALUE_FENCED)) != 0)
        return damaged("its policy or flags are unknown");
    if ((value.flags & VALUE_FENCED) != 0 &&
        value_name_check(value.mutex, value.mutex_len, false) != 0)
        return damaged("its mutex has no proper name");
    if (value.type == VALUE_NONE) {
        if (value.len != 0 || value.flags != VALUE_FENCED)
            return damaged("it is absent and has data");
    } else if (value_data_check("a variable", value.type, value.data, value.len) != 0) {
        return damaged("its data is not of its type");
    }
    *value_out = value;
    return 0;
}

int value_encode(const struct value *value, struct buf *out)
{
    if (value->type == VALUE_NONE && (value->flags & VALUE_FENCED) == 0)
        return 0;
    bool fenced = (value->flags & VALUE_FENCED) != 0;
    size_t len = VALUE_HEAD_BYTES + value->len + (fenced ? 9 + (size_t)value->mutex_len : 0);
    int r = buf_reserve(out, len);
    if (r != 0)
        return r;
    uint8_t *p = out->data + out->len;
    p[0] = VALUE_FORMAT;
    p[1] = value->type;
    p[2] = value->policy;
    p[3] = value->flags;
    put_le32(p + 4, value->len);
    put_le64(p + 8, value->time_ms);
    memcpy(p + 16, value->writer.bytes, sizeof(value->writer.bytes));
    if (value->len > 0)
        memcpy(p + VALUE_HEAD_BYTES, value->data, value->len);
    if (fenced) {
        uint8_t *guard = p + VALUE_HEAD_BYTES + value->len;
        put_le64(guard, value->fence);
        guard[8] = value->mutex_len;
        memcpy(guard + 9, value->mutex, value->mutex_len);
    }
    out->len += len;
    return 0;
}
