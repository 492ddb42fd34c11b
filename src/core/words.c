/*
 * Names, addresses, UTF-8, and the nearest known word.
 */
#include <string.h>

#include "core/limits.h"
#include "core/text.h"
#include "kith/error.h"

size_t text_utf8_char(const char *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;
    if (len == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF show in the second byte. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool text_is_utf8(const char *data, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t n = text_utf8_char(data + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool text_is_function_name(const char *name)
{
    size_t len = 0;
    for (; name[len] != '\0'; len++)
        if (len == KITH_NAME_BYTES_MAX || name[len] <= ' ' || name[len] > '~')
            return false;
    return len > 0;
}

bool text_is_node_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strspn(name, allowed);
    return len > 0 && len <= MEMBER_NAME_BYTES_MAX && name[len] == '\0';
}

#define WORD_BYTES_MAX 64

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
    size_t a_n = strnlen(a, WORD_BYTES_MAX);
    size_t b_n = strnlen(b, WORD_BYTES_MAX);
    /* Optimal string alignment: three rows of the table, the newest in rows[i % 3]. */
    unsigned rows[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_n; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_n; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_n; j++) {
            unsigned replaced = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a_n % 3][b_n];
}

const char *text_nearest(const char *word, const char *const *words, size_t words_n)
{
    size_t len = strnlen(word, WORD_BYTES_MAX);
    unsigned best = (unsigned)(len / 3 > 0 ? len / 3 : 1) + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < words_n; i++) {
        unsigned distance = text_distance(word, words[i]);
        /* A word of which nothing is kept is not near. */
        if (distance < best && (distance < len || distance == 0)) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

int text_split_address(
    const char *text, char *host_out, size_t host_bytes, uint16_t port_default, uint16_t *port_out)
{
    if (text == NULL)
        return KITH_E_PARSE;
    const char *host = text;
    size_t host_len = strlen(text);
    const char *port_text = NULL;
    const char *colon = strchr(text, ':');
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return KITH_E_PARSE;
        host = text + 1;
        host_len = (size_t)(end - host);
        port_text = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        host_len = (size_t)(colon - text);
        port_text = colon + 1;
    }
    uint64_t port = port_default;
    if (port_text != NULL && text_parse_u64(port_text, 0, UINT16_MAX, &port) != 0)
        return KITH_E_PARSE;
    if (host_len == 0 || host_len >= host_bytes)
        return KITH_E_PARSE;
    for (size_t i = 0; i < host_len; i++)
        if (host[i] <= ' ' || host[i] > '~' || host[i] == '[' || host[i] == ']')
            return KITH_E_PARSE;
    memcpy(host_out, host, host_len);
    host_out[host_len] = '\0';
    *port_out = (uint16_t)port;
    return 0;
}
