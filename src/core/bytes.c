/*
 * Growable buffers, bounded readers, hex.
 */
#include "core/bytes.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/alloc.h"
#include "kith/error.h"

#define BUF_BYTES_MIN 64

void buf_deinit(struct buf *buf)
{
    core_free(buf->data);
    *buf = (struct buf){0};
}

int buf_reserve(struct buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return 0;
    if (more > SIZE_MAX / 2 - buf->len)
        return KITH_E_MEMORY;
    size_t need = buf->len + more;
    /* Half as much again: amortised constant, and realloc can often reuse what was freed before. */
    size_t cap = buf->cap < BUF_BYTES_MIN ? BUF_BYTES_MIN : buf->cap + buf->cap / 2;
    if (cap < need)
        cap = need;
    uint8_t *data = core_realloc(buf->data, cap);
    if (data == NULL)
        return KITH_E_MEMORY;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
    int r = buf_reserve(buf, len);
    if (r != 0)
        return r;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int buf_append_u8(struct buf *buf, uint8_t value)
{
    return buf_append(buf, &value, 1);
}

int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->cap - buf->len;
    int n = vsnprintf(room > 0 ? (char *)buf->data + buf->len : NULL, room, format, args);
    va_end(args);
    int r = n < 0 ? KITH_E_INVALID : 0;
    if (r == 0 && (size_t)n >= room) {
        r = buf_reserve(buf, (size_t)n + 1);
        if (r == 0)
            n = vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (r == 0)
        buf->len += (size_t)n;
    return r;
}

void buf_consume(struct buf *buf, size_t n)
{
    if (n == 0)
        return;
    if (n >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
}

const uint8_t *read_bytes(struct reader *r, size_t n)
{
    static const uint8_t nothing;
    if (r->bad || n > r->len - r->at) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = n == 0 && r->data == NULL ? &nothing : r->data + r->at;
    r->at += n;
    return p;
}

bool reader_done(const struct reader *r)
{
    return !r->bad && r->at == r->len;
}

void hex_encode(const uint8_t *data, size_t len, char *text_out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        text_out[2 * i] = digits[data[i] >> 4];
        text_out[2 * i + 1] = digits[data[i] & 15];
    }
    text_out[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *text, uint8_t *data_out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        /* A NUL is no digit, so the second is not looked at behind the end. */
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return KITH_E_PARSE;
        data_out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * len] == '\0' ? 0 : KITH_E_PARSE;
}
