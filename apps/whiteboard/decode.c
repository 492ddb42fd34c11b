#include "decode.h"

#include <string.h>
#ifdef KITH_BOARD_WEBP
#include <webp/decode.h>
#endif

cairo_surface_t *decode_surface(cairo_format_t format, uint64_t width, uint64_t height)
{
    if (width == 0 || height == 0 || width > INT16_MAX || height > INT16_MAX ||
        width * height > BOARD_IMAGE_PIXELS_MAX)
        return NULL;
    cairo_surface_t *surface = cairo_image_surface_create(format, (int)width, (int)height);
    if (cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS)
        return surface;
    cairo_surface_destroy(surface);
    return NULL;
}

/* ---- PNG ---- */

struct source {
    const uint8_t *data;
    size_t len, at;
};

static cairo_status_t read_source(void *user, unsigned char *out, unsigned len)
{
    struct source *source = user;

    if (source->len - source->at < len)
        return CAIRO_STATUS_READ_ERROR;
    memcpy(out, source->data + source->at, len);
    source->at += len;
    return CAIRO_STATUS_SUCCESS;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static cairo_surface_t *decode_png(const uint8_t *data, size_t len)
{
    struct source source = {.data = data, .len = len};

    /* the first chunk has the size */
    if (len < 24 ||
        (uint64_t)big_endian(data + 16) * big_endian(data + 20) > BOARD_IMAGE_PIXELS_MAX)
        return NULL;
    cairo_surface_t *surface = cairo_image_surface_create_from_png_stream(read_source, &source);
    if (cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS)
        return surface;
    cairo_surface_destroy(surface);
    return NULL;
}

/* ---- WebP ---- */

#ifdef KITH_BOARD_WEBP
static cairo_surface_t *decode_webp(const uint8_t *data, size_t len)
{
    WebPDecoderConfig config;

    if (!WebPInitDecoderConfig(&config) ||
        WebPGetFeatures(data, len, &config.input) != VP8_STATUS_OK || config.input.width < 0 ||
        config.input.height < 0)
        return NULL;
    cairo_surface_t *surface = decode_surface(CAIRO_FORMAT_ARGB32, (uint64_t)config.input.width,
                                              (uint64_t)config.input.height);
    if (surface == NULL)
        return NULL;
    int stride = cairo_image_surface_get_stride(surface);
    config.output.colorspace = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? MODE_bgrA : MODE_Argb;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = cairo_image_surface_get_data(surface);
    config.output.u.RGBA.stride = stride;
    config.output.u.RGBA.size = (size_t)stride * (size_t)config.input.height;
    cairo_surface_flush(surface);
    bool good = WebPDecode(data, len, &config) == VP8_STATUS_OK;
    cairo_surface_mark_dirty(surface);
    if (good)
        return surface;
    cairo_surface_destroy(surface);
    return NULL;
}
#endif

/* ---- how a camera was held ---- */

static cairo_matrix_t turned(unsigned way)
{
    /* where (u, v) of the picture as stored is to be seen: 1 - u and so on */
    static const signed char ways[8][6] = {
        {1, 0, 0, 1, 0, 0}, {-1, 0, 0, 1, 1, 0}, {-1, 0, 0, -1, 1, 1}, {1, 0, 0, -1, 0, 1},
        {0, 1, 1, 0, 0, 0}, {0, 1, -1, 0, 1, 0}, {0, -1, -1, 0, 1, 1}, {0, -1, 1, 0, 0, 1},
    };
    const signed char *m = ways[way - 1];

    return (cairo_matrix_t){m[0], m[1], m[2], m[3], m[4], m[5]};
}

bool decode_image(const uint8_t *data, size_t len, struct decoded *out)
{
    unsigned way = 1;

    out->surface = NULL;
    if (len >= 12 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0)
        out->surface = decode_png(data, len);
#ifdef KITH_BOARD_JPEG
    else if (len >= 12 && memcmp(data, "\xff\xd8\xff", 3) == 0)
        out->surface = decode_jpeg(data, len, &way);
#endif
#ifdef KITH_BOARD_WEBP
    else if (len >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0)
        out->surface = decode_webp(data, len);
#endif
    out->turned = turned(way);
    return out->surface != NULL;
}
