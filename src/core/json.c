/*
 * The JSON writer. Memory is the only thing that can fail: the first failure is kept, everything
 * after it is skipped, and json_end() tells.
 */
#include "core/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

struct json json_begin(struct buf *out)
{
    return (struct json){.out = out};
}

int json_end(struct json *json)
{
    return json->failed;
}

static void raw(struct json *json, const char *text, size_t len)
{
    if (json->failed == 0)
        json->failed = buf_append(json->out, text, len);
}

/* A comma if this value is not the first; the next one will need it. */
static void value_begins(struct json *json)
{
    if (json->comma)
        raw(json, ",", 1);
    json->comma = true;
}

static void opens(struct json *json, const char *bracket)
{
    value_begins(json);
    raw(json, bracket, 1);
    json->comma = false;
}

static void closes(struct json *json, const char *bracket)
{
    raw(json, bracket, 1);
    json->comma = true;
}

void json_object_begin(struct json *json)
{
    opens(json, "{");
}

void json_object_end(struct json *json)
{
    closes(json, "}");
}

void json_array_begin(struct json *json)
{
    opens(json, "[");
}

void json_array_end(struct json *json)
{
    closes(json, "]");
}

static void escape(struct json *json, unsigned char c)
{
    char text[8];
    int n = 2;
    text[0] = '\\';
    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        n = snprintf(text, sizeof(text), "\\u%04x", c);
        break;
    }
    raw(json, text, (size_t)n);
}

static void quoted(struct json *json, const char *text, size_t len)
{
    raw(json, "\"", 1);
    size_t run = 0; /* bytes before @run are written */
    size_t i = 0;
    while (i < len) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n = c < 0x80 ? 0 : text_utf8_char(text + i, len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        raw(json, text + run, i - run);
        if (c < 0x80)
            escape(json, c);
        else
            raw(json, "\xef\xbf\xbd", 3);
        run = ++i;
    }
    raw(json, text + run, len - run);
    raw(json, "\"", 1);
}

void json_key(struct json *json, const char *key)
{
    value_begins(json);
    quoted(json, key, strlen(key));
    raw(json, ":", 1);
    json->comma = false;
}

void json_text(struct json *json, const char *text)
{
    if (text == NULL)
        json_write_null(json);
    else
        json_text_n(json, text, strlen(text));
}

void json_text_n(struct json *json, const char *text, size_t len)
{
    value_begins(json);
    quoted(json, text, len);
}

/* Writes the digits of @value to the end of @digits and returns where they begin. */
static char *decimal(uint64_t value, char digits[24])
{
    char *p = digits + 24;
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return p;
}

void json_i64(struct json *json, int64_t value)
{
    char digits[24];
    char *p = decimal(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, digits);
    if (value < 0)
        *--p = '-';
    json_raw(json, p, (size_t)(digits + 24 - p));
}

void json_u64(struct json *json, uint64_t value)
{
    char digits[24];
    char *p = decimal(value, digits);
    json_raw(json, p, (size_t)(digits + 24 - p));
}

void json_u64_text(struct json *json, uint64_t value)
{
    char digits[24];
    char *p = decimal(value, digits);
    value_begins(json);
    raw(json, "\"", 1);
    raw(json, p, (size_t)(digits + 24 - p));
    raw(json, "\"", 1);
}

size_t json_number_plain(char *text, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if ((c >= '0' && c <= '9') || c == 'e' || c == '-' || c == '+')
            text[out++] = c;
        else if (out > 0 && text[out - 1] != '.')
            text[out++] = '.';
    }
    return out;
}

void json_f64(struct json *json, double value)
{
    if (!isfinite(value)) {
        json_write_null(json);
        return;
    }
    char text[40];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    json_raw(json, text, json_number_plain(text, (size_t)n));
}

void json_bool(struct json *json, bool value)
{
    json_raw(json, value ? "true" : "false", value ? 4 : 5);
}

void json_write_null(struct json *json)
{
    json_raw(json, "null", 4);
}

void json_id(struct json *json, const struct kith_node_id *id)
{
    char text[KITH_NODE_ID_DIGITS + 1];
    json_text_n(json, kith_node_id_text(id, text), KITH_NODE_ID_DIGITS);
}

void json_time_ms(struct json *json, uint64_t unix_ms)
{
    char text[32];
    json_text(json, text_time_ms(unix_ms, text));
}

void json_raw(struct json *json, const char *text, size_t len)
{
    value_begins(json);
    raw(json, text, len);
}

void json_kv_text(struct json *json, const char *key, const char *value)
{
    json_key(json, key);
    json_text(json, value);
}

void json_kv_i64(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_i64(json, value);
}

void json_kv_u64(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_u64(json, value);
}

void json_kv_f64(struct json *json, const char *key, double value)
{
    json_key(json, key);
    json_f64(json, value);
}

void json_kv_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

void json_kv_id(struct json *json, const char *key, const struct kith_node_id *id)
{
    json_key(json, key);
    json_id(json, id);
}
