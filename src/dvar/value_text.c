/*
 * Text forms of values: what people type and read. Arrays are JSON, of which only what these types
 * need is understood: brackets, numbers, true and false, strings.
 */
#include <math.h>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "dvar/value_internal.h"

/* No number that fits its type is longer. */
#define NUMBER_BYTES_MAX 400

struct scan {
    const char *name;
    uint8_t type; /* of the elements */
    const char *text;
    size_t len;
    size_t at;
    struct buf *out;  /* elements one after the other, with or without a table in front */
    struct buf *ends; /* u32 each; NULL: elements have one width */
};

static int bad(const struct scan *s, const char *why)
{
    return kith_fail_with(KITH_E_PARSE, "what is given for %s is no %s: %s, at byte %zu", s->name,
                          value_type_name(s->type), why, s->at);
}

/* ---- one element, given whole ---- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int put_hex(struct scan *s, const char *text, size_t len)
{
    if (len % 2 != 0)
        return bad(s, "bytes are pairs of hex digits, and one digit is left");
    for (size_t i = 0; i < len; i += 2) {
        int high = digit(text[i]);
        int low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            return bad(s, "bytes are given as hex digits, such as 00ff");
        int r = buf_append_u8(s->out, (uint8_t)(high << 4 | low));
        if (r != 0)
            return r;
    }
    return 0;
}

static bool i64_of(const char *text, size_t len, int64_t *value_out)
{
    bool minus = len > 0 && text[0] == '-';
    size_t at = len > 0 && (minus || text[0] == '+') ? 1 : 0;
    int64_t value = 0;
    if (at == len)
        return false;
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        int d = text[at] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, minus ? -d : d, &value))
            return false;
    }
    *value_out = value;
    return true;
}

static int put_number(struct scan *s, const char *text, size_t len)
{
    char copy[NUMBER_BYTES_MAX + 1];
    uint8_t data[8];
    uint64_t bits;
    if (s->type == VALUE_I64) {
        int64_t value;
        if (!i64_of(text, len, &value))
            return bad(s, "a whole number from -2^63 to 2^63-1 is wanted");
        bits = (uint64_t)value;
    } else {
        double value;
        if (len > NUMBER_BYTES_MAX)
            return bad(s, "the number is too long");
        memcpy(copy, text, len);
        copy[len] = '\0';
        if (strlen(copy) != len || text_parse_f64(copy, &value) != 0)
            return bad(s, "a finite number such as -1.5e3 is wanted");
        memcpy(&bits, &value, sizeof(bits));
    }
    put_le64(data, bits);
    return buf_append(s->out, data, sizeof(data));
}

static int put_bool(struct scan *s, const char *text, size_t len)
{
    char copy[8];
    bool value;
    if (len >= sizeof(copy))
        return bad(s, "true or false is wanted");
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (strlen(copy) != len || text_parse_bool(copy, &value) != 0)
        return bad(s, "true or false is wanted");
    return buf_append_u8(s->out, value);
}

static int put_element(struct scan *s, const char *text, size_t len)
{
    switch (s->type) {
    case VALUE_I64:
    case VALUE_F64:
        return put_number(s, text, len);
    case VALUE_BOOL:
        return put_bool(s, text, len);
    case VALUE_BYTES:
        return put_hex(s, text, len);
    default:
        if (!text_is_utf8(text, len))
            return bad(s, "it is not UTF-8");
        return buf_append(s->out, text, len);
    }
}

/* ---- JSON ---- */

static void skip_blanks(struct scan *s)
{
    while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) != NULL && s->text[s->at] != '\0')
        s->at++;
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->at == s->len || s->text[s->at] != c)
        return false;
    s->at++;
    return true;
}

static bool hex4(struct scan *s, uint32_t *value_out)
{
    uint32_t value = 0;
    if (s->len - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int d = digit(s->text[s->at + (size_t)i]);
        if (d < 0)
            return false;
        value = value << 4 | (uint32_t)d;
    }
    s->at += 4;
    *value_out = value;
    return true;
}

static int put_character(struct buf *out, uint32_t c)
{
    uint8_t b[4];
    if (c < 0x80)
        return buf_append_u8(out, (uint8_t)c);
    if (c < 0x800) {
        b[0] = (uint8_t)(0xc0 | c >> 6);
        b[1] = (uint8_t)(0x80 | (c & 0x3f));
        return buf_append(out, b, 2);
    }
    if (c < 0x10000) {
        b[0] = (uint8_t)(0xe0 | c >> 12);
        b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c & 0x3f));
        return buf_append(out, b, 3);
    }
    b[0] = (uint8_t)(0xf0 | c >> 18);
    b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    b[3] = (uint8_t)(0x80 | (c & 0x3f));
    return buf_append(out, b, 4);
}

static int unicode_escape(struct scan *s, struct buf *out)
{
    uint32_t c;
    uint32_t low;
    if (!hex4(s, &c))
        return bad(s, "four hex digits belong behind \\u");
    if (c >= 0xd800 && c < 0xdc00) {
        if (s->len - s->at < 2 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
            return bad(s, "half a character stands behind \\u");
        s->at += 2;
        if (!hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return bad(s, "half a character stands behind \\u");
        c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
    } else if (c >= 0xdc00 && c < 0xe000) {
        return bad(s, "half a character stands behind \\u");
    }
    return put_character(out, c);
}

static int escape(struct scan *s, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->len)
        return bad(s, "the string does not end");
    char c = s->text[s->at++];
    if (c == 'u')
        return unicode_escape(s, out);
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found == NULL)
        return bad(s, "this is no escape of JSON");
    return buf_append_u8(out, (uint8_t)to[found - from]);
}

/* A string behind its first quote, unescaped, to @out. */
static int string(struct scan *s, struct buf *out)
{
    for (;;) {
        size_t from = s->at;
        while (s->at < s->len && s->text[s->at] != '"' && s->text[s->at] != '\\' &&
               (unsigned char)s->text[s->at] >= 0x20)
            s->at++;
        int r = buf_append(out, s->text + from, s->at - from);
        if (r != 0)
            return r;
        if (s->at == s->len || (unsigned char)s->text[s->at] < 0x20)
            return bad(s, "the string does not end");
        if (s->text[s->at++] == '"')
            return 0;
        r = escape(s, out);
        if (r != 0)
            return r;
    }
}

static int array_element(struct scan *s, struct buf *string_buf)
{
    int r;
    if (s->ends != NULL) {
        uint8_t end[4];
        if (!take(s, '"'))
            return bad(s, "a string in double quotes is wanted");
        string_buf->len = 0;
        r = string(s, string_buf);
        if (r == 0)
            r = put_element(s, (const char *)string_buf->data, string_buf->len);
        put_le32(end, (uint32_t)s->out->len);
        return r != 0 ? r : buf_append(s->ends, end, sizeof(end));
    }
    skip_blanks(s);
    size_t from = s->at;
    while (s->at < s->len && strchr(", ]\t\r\n", s->text[s->at]) == NULL)
        s->at++;
    return put_element(s, s->text + from, s->at - from);
}

static int array(struct scan *s)
{
    struct buf string_buf = {0};
    int r = take(s, '[') ? 0 : bad(s, "an array in brackets is wanted, such as [] or [1, 2]");
    bool end = r == 0 && take(s, ']');
    while (r == 0 && !end) {
        r = array_element(s, &string_buf);
        end = r == 0 && take(s, ']');
        if (r == 0 && !end && !take(s, ','))
            r = bad(s, "a comma or the closing bracket is wanted");
        if (s->out->len > DVAR_DATA_BYTES_MAX)
            break; /* value_data_check() says so */
    }
    skip_blanks(s);
    if (r == 0 && end && s->at != s->len)
        r = bad(s, "something stands behind the array");
    buf_deinit(&string_buf);
    return r;
}

/* Puts count and ends in front of the elements. */
static int close_table(struct buf *ends, struct buf *data)
{
    uint8_t count[4];
    struct buf all = {0};
    put_le32(count, (uint32_t)(ends->len / 4));
    int r = buf_append(&all, count, sizeof(count));
    if (r == 0)
        r = buf_append(&all, ends->data, ends->len);
    if (r == 0)
        r = buf_append(&all, data->data, data->len);
    if (r != 0) {
        buf_deinit(&all);
        return r;
    }
    buf_deinit(data);
    *data = all;
    return 0;
}

int value_parse(const char *name, uint8_t type, const char *text, size_t len, struct buf *data_out)
{
    struct buf ends = {0};
    struct scan s = {.name = name,
                     .type = type & (uint8_t)~VALUE_ARRAY,
                     .text = text,
                     .len = len,
                     .out = data_out,
                     .ends = value_is_table(type) ? &ends : NULL};
    data_out->len = 0;
    if (!value_type_is_known(type))
        return kith_fail_with(KITH_E_PARSE, "there is no such type for %s; see value types", name);
    int r = value_type_is_array(type) ? array(&s) : put_element(&s, text, len);
    if (r == 0 && value_is_table(type))
        r = close_table(&ends, data_out);
    buf_deinit(&ends);
    return r != 0 ? r : value_data_check(name, type, data_out->data, data_out->len);
}

/* ---- printing ---- */

static int print_f64(double value, struct buf *out)
{
    if (isnan(value))
        return buf_append_text(out, "nan");
    if (isinf(value))
        return buf_append_text(out, value < 0 ? "-inf" : "inf");
    struct json json = json_begin(out);
    json_f64(&json, value);
    return json_end(&json);
}

static int print_hex(const uint8_t *data, size_t len, struct buf *out)
{
    int r = buf_reserve(out, 2 * len + 1);
    if (r != 0)
        return r;
    hex_encode(data, len, (char *)out->data + out->len);
    out->len += 2 * len;
    return 0;
}

static int print_one(uint8_t type, const uint8_t *data, size_t len, bool quoted, struct buf *out)
{
    uint64_t bits = len == 8 ? get_le64(data) : 0;
    double number;
    struct json json;
    int r;
    switch (type) {
    case VALUE_I64:
        return buf_printf(out, "%lld", (long long)bits);
    case VALUE_F64:
        memcpy(&number, &bits, sizeof(number));
        return print_f64(number, out);
    case VALUE_BOOL:
        return buf_append_text(out, data[0] != 0 ? "true" : "false");
    case VALUE_TEXT:
        if (!quoted)
            return buf_append(out, data, len);
        json = json_begin(out);
        json_text_n(&json, (const char *)data, len);
        return json_end(&json);
    default:
        r = quoted ? buf_append_u8(out, '"') : 0;
        if (r == 0)
            r = print_hex(data, len, out);
        return r == 0 && quoted ? buf_append_u8(out, '"') : r;
    }
}

int value_print(uint8_t type, const void *data, size_t len, struct buf *text_out)
{
    if (!value_type_is_array(type))
        return print_one(type, data, len, false, text_out);
    uint32_t n = value_data_count(type, data, len);
    int r = buf_append_u8(text_out, '[');
    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct kith_bytes element = value_data_element(type, data, len, i);
        if (i > 0)
            r = buf_append_text(text_out, ", ");
        if (r == 0)
            r = print_one(type & (uint8_t)~VALUE_ARRAY, element.data, element.len, true, text_out);
    }
    return r != 0 ? r : buf_append_u8(text_out, ']');
}
