#include "bytes.h"

#include <string.h>

void board_reader_init(struct board_reader *r, const uint8_t *data, size_t len)
{
    *r = (struct board_reader){.data = data, .end = len};
}

bool board_reader_need(struct board_reader *r, size_t n)
{
    if (r->bad || r->end - r->at < n)
        r->bad = true;
    return !r->bad;
}

uint8_t board_take_u8(struct board_reader *r)
{
    return board_reader_need(r, 1) ? r->data[r->at++] : 0;
}

uint32_t board_take_u32(struct board_reader *r)
{
    uint32_t value = 0;

    if (!board_reader_need(r, 4))
        return 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)r->data[r->at++] << (8 * i);
    return value;
}

uint64_t board_take_varint(struct board_reader *r, uint64_t max)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = board_take_u8(r);
        value |= (uint64_t)(byte & 127) << (7 * i);
        if (byte >= 128)
            continue;
        if ((byte == 0 && i > 0) || value > max)
            break;
        return value;
    }
    r->bad = true;
    return 0;
}

int64_t board_take_zigzag(struct board_reader *r, int64_t max)
{
    uint64_t value = board_take_varint(r, 2 * (uint64_t)max);

    return value % 2 ? -(int64_t)((value + 1) / 2) : (int64_t)(value / 2);
}

const uint8_t *board_take_raw(struct board_reader *r, size_t n)
{
    if (!board_reader_need(r, n))
        return NULL;
    r->at += n;
    return r->data + r->at - n;
}

/* How many bytes the character at the beginning of @text has, with its code; 0 if it is none. */
static size_t character(const uint8_t *text, size_t len, uint32_t *code_out)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = text[0] < 0x80             ? 1
               : (text[0] & 0xe0) == 0xc0 ? 2
               : (text[0] & 0xf0) == 0xe0 ? 3
               : (text[0] & 0xf8) == 0xf0 ? 4
                                          : 0;

    if (n == 0 || n > len)
        return 0;
    uint32_t code = n == 1 ? text[0] : text[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < lowest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *code_out = code;
    return n;
}

static bool text_good(const uint8_t *text, size_t len, bool lines)
{
    for (size_t at = 0; at < len;) {
        uint32_t code;
        size_t n = character(text + at, len - at, &code);
        if (n == 0 || code == 0x7f || code == 0xfffe || code == 0xffff)
            return false;
        if (code < 0x20 && !(lines && code == '\n'))
            return false;
        at += n;
    }
    return true;
}

const char *board_take_text(struct board_reader *r, size_t max, bool lines, size_t *len_out)
{
    size_t len = (size_t)board_take_varint(r, max);
    const uint8_t *text = board_take_raw(r, len);

    *len_out = 0;
    if (text == NULL || r->bad || !text_good(text, len, lines)) {
        r->bad = true;
        return NULL;
    }
    *len_out = len;
    return (const char *)text;
}

uint32_t board_crc32c(const uint8_t *data, size_t len, uint32_t sum)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = ~sum;

    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
