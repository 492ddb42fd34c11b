#include "out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void board_out_raw(struct board_out *out, const char *data, size_t len)
{
    if (out->room - out->len < len && !out->failed) {
        size_t room = 2 * out->room + len + 4096;
        char *grown = realloc(out->data, room);
        out->failed = grown == NULL;
        if (grown != NULL) {
            out->data = grown;
            out->room = room;
        }
    }
    if (out->failed || len == 0)
        return;
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

void board_out_text(struct board_out *out, const char *text)
{
    board_out_raw(out, text, strlen(text));
}

void board_out_number(struct board_out *out, double value, unsigned digits)
{
    char text[48];
    long long scale = 1;

    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    long long whole = (long long)floor(value * (double)scale + 0.5);
    const char *sign = whole < 0 ? "-" : "";
    if (whole < 0)
        whole = -whole;
    int n = snprintf(text, sizeof(text), "%s%lld.%0*lld", sign, whole / scale, (int)digits,
                     whole % scale);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    board_out_raw(out, text, (size_t)n);
}

void board_out_numbers(struct board_out *out, const char *format, const double *values)
{
    for (;;) {
        size_t len = strcspn(format, "#");
        board_out_raw(out, format, len);
        if (format[len] == '\0')
            return;
        board_out_number(out, *values++, 2);
        format += len + 1;
    }
}

void board_out_escaped(struct board_out *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        switch (text[i]) {
        case '&':
            board_out_text(out, "&amp;");
            break;
        case '<':
            board_out_text(out, "&lt;");
            break;
        case '>':
            board_out_text(out, "&gt;");
            break;
        case '"':
            board_out_text(out, "&quot;");
            break;
        default:
            board_out_raw(out, &text[i], 1);
        }
}

void board_out_base64(struct board_out *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16;
        if (n > 1)
            bits |= (uint32_t)data[i + 1] << 8;
        if (n > 2)
            bits |= data[i + 2];
        char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63],
                        digits[bits & 63]};
        for (size_t k = n + 1; k < sizeof(text); k++)
            text[k] = '=';
        board_out_raw(out, text, sizeof(text));
    }
}
