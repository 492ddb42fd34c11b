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

/* crc_of[n][b]: what the byte b adds that has n more behind it of the eight that are taken at once.
 * A node reads whole boards on its loop thread: four bits at a time were ten times as slow. */
static uint32_t crc_of[8][256];

__attribute__((constructor)) static void crc_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
        crc_of[0][byte] = crc;
    }
    for (unsigned n = 1; n < 8; n++)
        for (uint32_t byte = 0; byte < 256; byte++)
            crc_of[n][byte] = crc_of[n - 1][byte] >> 8 ^ crc_of[0][crc_of[n - 1][byte] & 255];
}

uint32_t board_crc32c(const uint8_t *data, size_t len, uint32_t sum)
{
    uint32_t crc = ~sum;

    for (; len >= 8; len -= 8, data += 8) {
        crc ^= data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        crc = crc_of[7][crc & 255] ^ crc_of[6][crc >> 8 & 255] ^ crc_of[5][crc >> 16 & 255] ^
              crc_of[4][crc >> 24] ^ crc_of[3][data[4]] ^ crc_of[2][data[5]] ^ crc_of[1][data[6]] ^
              crc_of[0][data[7]];
    }
    for (; len > 0; len--, data++)
        crc = crc >> 8 ^ crc_of[0][(crc ^ *data) & 255];
    return ~crc;
}
