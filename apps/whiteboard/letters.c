#include "letters.h"

#include <cairo-ft.h>
#include <pango/pangocairo.h>
#include <stdbool.h>
#include <stdlib.h>

/* The same as in web/board/shapes.js. */
#define FAMILIES "system-ui,-apple-system,Segoe UI,Roboto,Noto Sans,DejaVu Sans,sans-serif"

struct letters {
    PangoFontMap *fonts;
    PangoContext *context;
    PangoFontDescription *family;
};

struct letters *letters_new(void)
{
    struct letters *letters = calloc(1, sizeof(*letters));

    if (letters == NULL)
        return NULL;
    cairo_font_options_t *options = cairo_font_options_create();
    letters->fonts = pango_cairo_font_map_new();
    letters->context = pango_font_map_create_context(letters->fonts);
    letters->family = pango_font_description_from_string(FAMILIES);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    pango_cairo_context_set_font_options(letters->context, options);
    cairo_font_options_destroy(options);
    pango_context_set_round_glyph_positions(letters->context, FALSE);
    pango_context_set_base_dir(letters->context, PANGO_DIRECTION_LTR);
    return letters;
}

void letters_free(struct letters *letters)
{
    if (letters == NULL)
        return;
    pango_font_description_free(letters->family);
    g_object_unref(letters->context);
    g_object_unref(letters->fonts);
    free(letters);
}

/* Whether its glyphs are pictures, as of emoji. */
static bool is_coloured(PangoFont *font)
{
    cairo_scaled_font_t *scaled = pango_cairo_font_get_scaled_font(PANGO_CAIRO_FONT(font));

    if (scaled == NULL || cairo_scaled_font_get_type(scaled) != CAIRO_FONT_TYPE_FT)
        return false;
    FT_Face face = cairo_ft_scaled_font_lock_face(scaled);
    bool coloured = face != NULL && FT_HAS_COLOR(face);
    if (face != NULL)
        cairo_ft_scaled_font_unlock_face(scaled);
    return coloured;
}

/*
 * From (@x, @y) on. Letters as outlines: as glyphs, cairo would put each of them on a whole pixel.
 */
static void show_run(cairo_t *cr, const PangoGlyphItem *run, double x, double y)
{
    PangoFont *font = run->item->analysis.font;

    if (font == NULL)
        return;
    cairo_move_to(cr, x, y);
    if (is_coloured(font)) {
        pango_cairo_show_glyph_string(cr, font, run->glyphs);
        return;
    }
    pango_cairo_glyph_string_path(cr, font, run->glyphs);
    cairo_fill(cr);
}

void letters_show(struct letters *letters,
                  cairo_t *cr,
                  const char *text,
                  size_t len,
                  double size,
                  double x,
                  double y)
{
    /* laid out in units, whatever the matrix of @cr is: that of a stretched text moves its letters
     * together otherwise */
    PangoLayout *layout = pango_layout_new(letters->context);

    pango_font_description_set_absolute_size(letters->family, size * PANGO_SCALE);
    pango_layout_set_font_description(layout, letters->family);
    pango_layout_set_auto_dir(layout, FALSE);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
    pango_layout_set_text(layout, text, (int)len);
    PangoLayoutIter *at = pango_layout_get_iter(layout);
    do {
        const PangoGlyphItem *run = pango_layout_iter_get_run_readonly(at);
        PangoRectangle box;
        if (run == NULL)
            continue;
        pango_layout_iter_get_run_extents(at, NULL, &box);
        show_run(cr, run, x + (double)box.x / PANGO_SCALE, y);
    } while (pango_layout_iter_next_run(at));
    pango_layout_iter_free(at);
    g_object_unref(layout);
}
