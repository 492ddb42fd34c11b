#include "tile_state.h"

#define STATE_VERSION 1u

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

size_t mandel_state_encode(const uint16_t *shades, uint32_t width, uint32_t rows, uint8_t *out)
{
    put_u32(out, STATE_VERSION);
    put_u32(out + 4, rows);
    if (rows == 0)
        return MANDEL_STATE_HEAD_BYTES;
    return MANDEL_STATE_HEAD_BYTES +
           mandel_reply_encode(shades, width, rows, 0, out + MANDEL_STATE_HEAD_BYTES);
}

uint32_t mandel_state_rows(const void *data, size_t len)
{
    const uint8_t *in = data;

    return len >= MANDEL_STATE_HEAD_BYTES && get_u32(in) == STATE_VERSION ? get_u32(in + 4) : 0;
}

uint32_t
mandel_state_decode(const void *data, size_t len, uint32_t width, uint32_t height, uint16_t *shades)
{
    const uint8_t *in = data;
    uint32_t rows = mandel_state_rows(data, len), draw_us;

    if (rows == 0 || rows > height ||
        !mandel_reply_decode(in + MANDEL_STATE_HEAD_BYTES, len - MANDEL_STATE_HEAD_BYTES, width,
                             rows, shades, width, &draw_us))
        return 0;
    return rows;
}
