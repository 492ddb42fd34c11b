#include "picture.h"

#include <cairo.h>
#include <kith/error.h>
#include <math.h>
#include <stdlib.h>

#include "decode.h"
#include "letters.h"
#include "palette.h"
#include "shape.h"

/* How far the handles of a quarter of a circle of radius 1 are from its ends. */
#define QUARTER 0.5522847498307936

struct painter {
    cairo_surface_t *paper;
    const struct board_images *images;
    struct letters *letters;
    double scale, dx, dy; /* (x, y) in units is at (scale x + dx, scale y + dy) */
    size_t images_grey;
};

/* ---- colours and shapes ---- */

static void use_colour(cairo_t *cr, const char *colour, double alpha)
{
    unsigned long rgb = strtoul(colour + 1, NULL, 16);

    cairo_set_source_rgba(cr, (double)(rgb >> 16 & 255) / 255, (double)(rgb >> 8 & 255) / 255,
                          (double)(rgb & 255) / 255, alpha);
}

/* The smooth line through the middles between the points of an outline. */
static void add_stroke(cairo_t *cr, const struct board_point *p, size_t n)
{
    if (n < 2)
        return;
    struct board_point from = {(p[n - 1].x + p[0].x) / 2, (p[n - 1].y + p[0].y) / 2};
    cairo_move_to(cr, from.x, from.y);
    for (size_t i = 0; i < n; i++) {
        const struct board_point *next = &p[(i + 1) % n];
        struct board_point to = {(p[i].x + next->x) / 2, (p[i].y + next->y) / 2};
        /* one handle as two */
        cairo_curve_to(cr, from.x + (p[i].x - from.x) * 2 / 3, from.y + (p[i].y - from.y) * 2 / 3,
                       to.x + (p[i].x - to.x) * 2 / 3, to.y + (p[i].y - to.y) * 2 / 3, to.x, to.y);
        from = to;
    }
    cairo_close_path(cr);
}

/* From where the path is to (x + dx, y + dy), a quarter of an ellipse around; @first: it begins
 * along x. */
static void quarter(cairo_t *cr, double dx, double dy, bool first)
{
    if (first)
        cairo_rel_curve_to(cr, dx * QUARTER, 0, dx, dy - dy * QUARTER, dx, dy);
    else
        cairo_rel_curve_to(cr, 0, dy * QUARTER, dx - dx * QUARTER, dy, dx, dy);
}

/* With corners of rx and ry; an ellipse if these are half of its sides. */
static void add_rounded(cairo_t *cr, const struct board_frame *frame, double rx, double ry)
{
    cairo_move_to(cr, frame->x + rx, frame->y);
    cairo_rel_line_to(cr, frame->w - 2 * rx, 0);
    quarter(cr, rx, ry, true);
    cairo_rel_line_to(cr, 0, frame->h - 2 * ry);
    quarter(cr, -rx, ry, false);
    cairo_rel_line_to(cr, 2 * rx - frame->w, 0);
    quarter(cr, -rx, -ry, true);
    cairo_rel_line_to(cr, 0, 2 * ry - frame->h);
    quarter(cr, rx, -ry, false);
    cairo_close_path(cr);
}

static void add_line(cairo_t *cr, const struct board_line *line)
{
    /* a canvas leaves out what has no length, and cairo makes a dot of it */
    if (line->x1 == line->x2 && line->y1 == line->y2)
        return;
    cairo_move_to(cr, line->x1, line->y1);
    cairo_line_to(cr, line->x2, line->y2);
    if (line->has_head) {
        cairo_move_to(cr, line->head[0], line->head[1]);
        cairo_line_to(cr, line->x2, line->y2);
        cairo_line_to(cr, line->head[2], line->head[3]);
    }
}

/* ---- elements ---- */

static int paint_stroke(cairo_t *cr, const struct board_element *element)
{
    struct board_point *around;
    size_t n;
    int result = board_outline(element->op, element->width, &around, &n);

    if (result != 0)
        return result;
    add_stroke(cr, around, n);
    free(around);
    use_colour(cr, board_ink[element->colour],
               element->op->kind == BOARD_HIGHLIGHT ? BOARD_HIGHLIGHT_OPACITY : 1);
    cairo_fill(cr);
    return 0;
}

static void paint_shape(cairo_t *cr, const struct board_element *element)
{
    uint8_t kind = element->op->kind;
    struct board_frame frame = board_frame_of(element);
    double corner = board_corner_of(&frame);

    if (kind == BOARD_LINE || kind == BOARD_ARROW) {
        struct board_line line = board_line_of(element);
        add_line(cr, &line);
    } else if (kind == BOARD_ELLIPSE)
        add_rounded(cr, &frame, frame.w / 2, frame.h / 2);
    else
        add_rounded(cr, &frame, corner, corner);
    if (element->fill != 0 && kind >= BOARD_RECT) {
        use_colour(cr, (element->fill == 1 ? board_soft : board_ink)[element->colour], 1);
        cairo_fill_preserve(cr);
    }
    use_colour(cr, board_ink[element->colour], 1);
    cairo_set_line_width(cr, (double)element->width / BOARD_UNIT);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_stroke(cr);
}

static void paint_letters(struct painter *painter, cairo_t *cr, const struct board_element *element)
{
    bool sticky = element->op->kind == BOARD_STICKY;
    double inset = sticky ? BOARD_STICKY_PADDING : 0;
    double size = (double)element->width / BOARD_UNIT;
    double x = (double)element->op->x / BOARD_UNIT + inset;
    double y = (double)element->op->y / BOARD_UNIT + inset;
    const char *line = element->text, *end = element->text + element->text_len;

    if (sticky) {
        struct board_frame frame = board_frame_of(element);
        add_rounded(cr, &frame, 4, 4);
        use_colour(cr, board_soft[element->colour], 1);
        cairo_fill(cr);
    }
    use_colour(cr, board_ink[sticky ? 0 : element->colour], 1);
    for (unsigned i = 0; line < end; i++) {
        size_t len = 0, skip = 0;
        while (line + len < end && (skip = board_line_end(line + len, end)) == 0)
            len++;
        if (len > 0)
            letters_show(painter->letters, cr, line, len, size, x,
                         y + size + i * size * BOARD_LINE_HEIGHT);
        line += len + skip;
    }
}

static void paint_image(struct painter *painter, cairo_t *cr, const struct board_element *element)
{
    struct board_frame frame = board_frame_of(element);
    struct decoded image;
    const uint8_t *data = NULL;
    size_t len = 0;

    if (!(frame.w > 0 && frame.h > 0))
        return;
    if (painter->images != NULL)
        data = painter->images->get(painter->images->user, element->op, &len);
    cairo_translate(cr, frame.x, frame.y);
    cairo_scale(cr, frame.w, frame.h);
    cairo_rectangle(cr, 0, 0, 1, 1);
    if (data == NULL || !decode_image(data, len, &image)) {
        painter->images_grey++;
        use_colour(cr, board_soft[1], 1);
        cairo_fill(cr);
        return;
    }
    cairo_transform(cr, &image.turned);
    cairo_scale(cr, 1.0 / cairo_image_surface_get_width(image.surface),
                1.0 / cairo_image_surface_get_height(image.surface));
    cairo_set_source_surface(cr, image.surface, 0, 0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
    cairo_fill(cr);
    cairo_surface_destroy(image.surface);
}

static int paint_as(struct painter *painter, cairo_t *cr, const struct board_element *element)
{
    switch (element->op->kind) {
    case BOARD_STROKE:
    case BOARD_HIGHLIGHT:
        return paint_stroke(cr, element);
    case BOARD_IMAGE:
        paint_image(painter, cr, element);
        return 0;
    case BOARD_TEXT:
    case BOARD_STICKY:
        paint_letters(painter, cr, element);
        return 0;
    default:
        paint_shape(cr, element);
        return 0;
    }
}

/* Each has a context of its own: an error in it stays there. */
static int paint(struct painter *painter, const struct board_element *element)
{
    const double *m = element->m;
    cairo_matrix_t view, own;
    struct board_box box;
    int result = 0;

    if (!board_rough_box_of(element, &box))
        return 0;
    double w = box.x1 - box.x0, h = box.y1 - box.y0;
    cairo_t *cr = cairo_create(painter->paper);
    cairo_matrix_init(&view, painter->scale, 0, 0, painter->scale, painter->dx, painter->dy);
    cairo_set_matrix(cr, &view);
    if ((w > h ? w : h) * painter->scale < 2 && element->op->kind != BOARD_IMAGE) {
        /* too small for a form: what is seen of it from afar */
        cairo_rectangle(cr, box.x0, box.y0, w, h);
        use_colour(cr, board_ink[element->colour],
                   element->op->kind == BOARD_HIGHLIGHT ? BOARD_HIGHLIGHT_OPACITY : 1);
        cairo_fill(cr);
    } else if (m[0] * m[3] - m[1] * m[2] != 0) { /* what is flat has no area */
        cairo_matrix_init(&own, m[0], m[1], m[2], m[3], m[4], m[5]);
        cairo_transform(cr, &own);
        result = paint_as(painter, cr, element);
    }
    if (cairo_status(cr) == CAIRO_STATUS_NO_MEMORY)
        result = KITH_E_MEMORY;
    cairo_destroy(cr);
    return result;
}

/* ---- the picture ---- */

static int box_of_all(const struct board *board, struct board_box *box_out)
{
    struct board_box box = {0};
    bool any = false;

    for (size_t i = 0; i < board->elements_n; i++) {
        const struct board_element *element = &board->elements[i];
        struct board_point *around = NULL;
        size_t around_n = 0;
        struct board_box mine;
        if (board_kind_stroke(element->op->kind) &&
            board_outline(element->op, element->width, &around, &around_n) != 0)
            return KITH_E_MEMORY;
        if (board_box_of(element, around, around_n, &mine)) {
            box = any ? board_box_join(box, mine) : mine;
            any = true;
        }
        free(around);
    }
    *box_out = box;
    return 0;
}

static cairo_status_t write_png(void *user, const unsigned char *data, unsigned len)
{
    return fwrite(data, 1, len, user) == len ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static int paint_all(struct painter *painter, const struct board *board, FILE *file)
{
    cairo_t *cr = cairo_create(painter->paper);
    int result = 0;

    use_colour(cr, BOARD_PAPER, 1);
    cairo_paint(cr);
    if (cairo_status(cr) != CAIRO_STATUS_SUCCESS)
        result = KITH_E_MEMORY;
    cairo_destroy(cr);
    for (size_t i = 0; i < board->elements_n && result == 0; i++)
        result = paint(painter, &board->elements[i]);
    if (result != 0)
        return result;
    cairo_status_t status = cairo_surface_write_to_png_stream(painter->paper, write_png, file);
    if (status == CAIRO_STATUS_NO_MEMORY)
        return KITH_E_MEMORY;
    return status == CAIRO_STATUS_SUCCESS && fflush(file) == 0 ? 0 : KITH_E_IO;
}

static int at_least_one(double pixels)
{
    return pixels < 1 ? 1 : (int)floor(pixels + 0.5);
}

int board_png(const struct board *board,
              const struct board_images *images,
              double scale,
              FILE *file,
              struct board_picture_said *said)
{
    struct board_box box;
    int result = box_of_all(board, &box);

    if (result != 0)
        return result;
    double w = box.x1 - box.x0 + 2 * BOARD_MARGIN, h = box.y1 - box.y0 + 2 * BOARD_MARGIN;
    scale = fmin(
        scale, fmin(BOARD_PICTURE_SIDE_MAX / fmax(w, h), sqrt(BOARD_PICTURE_PIXELS_MAX / (w * h))));
    int width = at_least_one(w * scale), height = at_least_one(h * scale);
    struct painter painter = {
        .paper = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height),
        .images = images,
        .letters = letters_new(),
        .scale = scale,
        .dx = (BOARD_MARGIN - box.x0) * scale,
        .dy = (BOARD_MARGIN - box.y0) * scale,
    };
    result = painter.letters == NULL || cairo_surface_status(painter.paper) != CAIRO_STATUS_SUCCESS
                 ? KITH_E_MEMORY
                 : paint_all(&painter, board, file);
    cairo_surface_destroy(painter.paper);
    letters_free(painter.letters);
    if (said != NULL)
        *said = (struct board_picture_said){
            .width = width, .height = height, .scale = scale, .images_grey = painter.images_grey};
    return result;
}
