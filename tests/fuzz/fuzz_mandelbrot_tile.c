/*
 * Whatever a peer sends as a tile to draw or as a drawn tile: refused, or within all bounds and the
 * same when it is written again.
 */
#include <assert.h>
#include <string.h>

#include "mandelbrot/tile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void reply(const uint8_t *data, size_t len)
{
    enum { WIDTH = 24, HEIGHT = 16, STRIDE = 31 };
    static uint16_t shades[HEIGHT * STRIDE], packed[HEIGHT * WIDTH], again[HEIGHT * WIDTH];
    uint8_t out[MANDEL_REPLY_BYTES_MAX(WIDTH * HEIGHT)];
    uint32_t draw_us, draw_us_again;

    if (!mandel_reply_decode(data, len, WIDTH, HEIGHT, shades, STRIDE, &draw_us))
        return;
    for (size_t y = 0; y < HEIGHT; y++)
        memcpy(&packed[y * WIDTH], &shades[y * STRIDE], WIDTH * sizeof(*shades));
    size_t n = mandel_reply_encode(packed, WIDTH, HEIGHT, draw_us, out);
    assert(n <= sizeof(out));
    assert(mandel_reply_decode(out, n, WIDTH, HEIGHT, again, WIDTH, &draw_us_again));
    assert(draw_us == draw_us_again);
    assert(memcmp(packed, again, sizeof(packed)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct mandel_view view;
    struct mandel_rect rect;
    char why[MANDEL_WHY_BYTES] = "";
    uint8_t again[MANDEL_ARGUMENT_BYTES];

    reply(data, len);
    if (!mandel_argument_unpack(data, len, &view, &rect, why)) {
        assert(*why);
        return 0;
    }
    assert(rect.width >= 1 && rect.width <= MANDEL_TILE_MAX);
    assert(rect.height >= 1 && rect.height <= MANDEL_TILE_MAX);
    assert((uint64_t)rect.x + rect.width <= view.width);
    assert((uint64_t)rect.y + rect.height <= view.height);
    mandel_argument_pack(&view, &rect, again);
    assert(memcmp(again, data, sizeof(again)) == 0);
    return 0;
}
