/* JPEG with libjpeg, which reports by jumping: nothing here owns anything across a jump but what
 * is in struct jpeg. */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include "decode.h"
#include "exif.h"

#define EXIF (JPEG_APP0 + 1)

struct jpeg {
    struct jpeg_error_mgr errors; /* first: libjpeg gives this back */
    struct jpeg_decompress_struct info;
    jmp_buf out;
    cairo_surface_t *surface;
    unsigned orientation;
};

static void on_error(j_common_ptr info)
{
    union {
        struct jpeg_error_mgr *errors;
        struct jpeg *jpeg;
    } all = {.errors = info->err};

    longjmp(all.jpeg->out, 1);
}

static void on_message(j_common_ptr info, int level)
{
    (void)info;
    (void)level; /* a warning: what can be read is shown */
}

static void read_rows(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *info = &jpeg->info;
    uint8_t *pixels = cairo_image_surface_get_data(jpeg->surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(jpeg->surface);

    cairo_surface_flush(jpeg->surface);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = pixels + stride * info->output_scanline;
        (void)jpeg_read_scanlines(info, &row, 1);
    }
    cairo_surface_mark_dirty(jpeg->surface);
    (void)jpeg_finish_decompress(info);
}

/* Whatever of it fails jumps out. False if it is too large. */
static bool read_all(struct jpeg *jpeg, const uint8_t *data, size_t len)
{
    struct jpeg_decompress_struct *info = &jpeg->info;

    jpeg_create_decompress(info);
    jpeg_mem_src(info, data, len);
    jpeg_save_markers(info, EXIF, 0xffff);
    (void)jpeg_read_header(info, TRUE);
    for (jpeg_saved_marker_ptr marker = info->marker_list; marker != NULL; marker = marker->next)
        if (marker->marker == EXIF && jpeg->orientation == 1)
            jpeg->orientation = exif_orientation(marker->data, marker->data_length);
    info->out_color_space = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? JCS_EXT_BGRX : JCS_EXT_XRGB;
    jpeg->surface = decode_surface(CAIRO_FORMAT_RGB24, info->image_width, info->image_height);
    if (jpeg->surface == NULL)
        return false;
    (void)jpeg_start_decompress(info);
    read_rows(jpeg);
    return true;
}

cairo_surface_t *decode_jpeg(const uint8_t *data, size_t len, unsigned *orientation_out)
{
    struct jpeg jpeg = {.orientation = 1};
    volatile bool good = false;

    jpeg.info.err = jpeg_std_error(&jpeg.errors);
    jpeg.errors.error_exit = on_error;
    jpeg.errors.emit_message = on_message;
    if (setjmp(jpeg.out) == 0)
        good = read_all(&jpeg, data, len);
    else if (jpeg.surface != NULL) {
        cairo_surface_destroy(jpeg.surface);
        jpeg.surface = NULL;
    }
    jpeg_destroy_decompress(&jpeg.info);
    *orientation_out = jpeg.orientation;
    return good ? jpeg.surface : NULL;
}
