#include "svg.h"

#include <kith/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "palette.h"
#include "shape.h"

#define FAMILY  "system-ui, sans-serif"
#define OPACITY " fill-opacity=\"0.35\""

static void
numbers(struct board_out *out, const char *format, double a, double b, double c, double d)
{
    double values[] = {a, b, c, d};

    board_out_numbers(out, format, values);
}

/* The end of every element: its matrix, if it has one. */
static void put_matrix(struct board_out *out, const struct board_element *element)
{
    if (board_is_identity(element->m))
        return;
    board_out_text(out, " transform=\"matrix(");
    for (unsigned i = 0; i < 6; i++) {
        if (i > 0)
            board_out_text(out, " ");
        board_out_number(out, element->m[i], 6);
    }
    board_out_text(out, ")\"");
}

static void put_pen(struct board_out *out, const struct board_element *element)
{
    board_out_text(out, " stroke=\"");
    board_out_text(out, board_ink[element->colour]);
    board_out_text(out, "\" stroke-width=\"");
    board_out_number(out, (double)element->width / BOARD_UNIT, 2);
    board_out_text(out, "\" stroke-linecap=\"round\" stroke-linejoin=\"round\"");
}

static void put_area(struct board_out *out, const struct board_element *element)
{
    const char *fills[] = {"none", board_soft[element->colour], board_ink[element->colour]};

    board_out_text(out, " fill=\"");
    board_out_text(out, fills[element->fill]);
    board_out_text(out, "\"");
}

/* The smooth line through the middles between the points of an outline. */
static void put_stroke(struct board_out *out,
                       const struct board_element *element,
                       const struct board_point *p,
                       size_t n)
{
    board_out_text(out, "<path d=\"");
    if (n >= 2)
        numbers(out, "M# #", (p[n - 1].x + p[0].x) / 2, (p[n - 1].y + p[0].y) / 2, 0, 0);
    for (size_t i = 0; n >= 2 && i < n; i++) {
        const struct board_point *next = &p[(i + 1) % n];
        numbers(out, "Q# # # #", p[i].x, p[i].y, (p[i].x + next->x) / 2, (p[i].y + next->y) / 2);
    }
    board_out_text(out, "Z\" fill=\"");
    board_out_text(out, board_ink[element->colour]);
    board_out_text(out, "\"");
    if (element->op->kind == BOARD_HIGHLIGHT)
        board_out_text(out, OPACITY);
}

static void put_line(struct board_out *out, const struct board_element *element)
{
    struct board_line line = board_line_of(element);

    numbers(out, "<path d=\"M# #L# #", line.x1, line.y1, line.x2, line.y2);
    if (line.has_head) {
        numbers(out, "M# #L# #", line.head[0], line.head[1], line.x2, line.y2);
        numbers(out, "L# #", line.head[2], line.head[3], 0, 0);
    }
    board_out_text(out, "\" fill=\"none\"");
    put_pen(out, element);
}

static void put_frame(struct board_out *out, const struct board_frame *frame)
{
    numbers(out, " x=\"#\" y=\"#\" width=\"#\" height=\"#\"", frame->x, frame->y, frame->w,
            frame->h);
}

static void put_rect(struct board_out *out, const struct board_element *element)
{
    struct board_frame frame = board_frame_of(element);

    board_out_text(out, "<rect");
    put_frame(out, &frame);
    numbers(out, " rx=\"#\"", board_corner_of(&frame), 0, 0, 0);
    put_area(out, element);
    put_pen(out, element);
}

static void put_ellipse(struct board_out *out, const struct board_element *element)
{
    struct board_frame frame = board_frame_of(element);

    numbers(out, "<ellipse cx=\"#\" cy=\"#\" rx=\"#\" ry=\"#\"", frame.x + frame.w / 2,
            frame.y + frame.h / 2, frame.w / 2, frame.h / 2);
    put_area(out, element);
    put_pen(out, element);
}

/* The image itself if it is there, else the name of its file. */
static void
put_href(struct board_out *out, const struct board_op *op, const struct board_images *images)
{
    static const char *const types[] = {"png", "jpeg", "webp"};
    const uint8_t *data = NULL;
    size_t len = 0;

    if (images != NULL)
        data = images->get(images->user, op, &len);
    if (data != NULL) {
        board_out_text(out, "data:image/");
        board_out_text(out, types[op->type]);
        board_out_text(out, ";base64,");
        board_out_base64(out, data, len);
        return;
    }
    char name[BOARD_IMAGE_NAME_BYTES];
    board_image_name(op, name);
    board_out_text(out, "files/");
    board_out_text(out, name);
}

static void put_image(struct board_out *out,
                      const struct board_element *element,
                      const struct board_images *images)
{
    struct board_frame frame = board_frame_of(element);
    board_out_text(out, "<image");
    put_frame(out, &frame);
    board_out_text(out, " href=\"");
    put_href(out, element->op, images);
    board_out_text(out, "\" preserveAspectRatio=\"none\"");
}

static void put_text_line(struct board_out *out,
                          const struct board_element *element,
                          double x,
                          double y,
                          const char *text,
                          size_t len)
{
    bool sticky = element->op->kind == BOARD_STICKY;

    numbers(out, "<text x=\"#\" y=\"#\" font-family=\"" FAMILY "\"", x, y, 0, 0);
    numbers(out, " font-size=\"#\"", (double)element->width / BOARD_UNIT, 0, 0, 0);
    board_out_text(out, " fill=\"");
    board_out_text(out, board_ink[sticky ? 0 : element->colour]);
    board_out_text(out, "\" xml:space=\"preserve\"");
    put_matrix(out, element);
    board_out_text(out, ">");
    board_out_escaped(out, text, len);
    board_out_text(out, "</text>\n");
}

static void put_letters(struct board_out *out, const struct board_element *element)
{
    struct board_frame frame = board_frame_of(element);
    bool sticky = element->op->kind == BOARD_STICKY;
    double inset = sticky ? BOARD_STICKY_PADDING : 0;
    double size = (double)element->width / BOARD_UNIT;
    double x = (double)element->op->x / BOARD_UNIT + inset;
    double y = (double)element->op->y / BOARD_UNIT + inset;
    const char *line = element->text, *end = element->text + element->text_len;

    if (sticky) {
        board_out_text(out, "<rect");
        put_frame(out, &frame);
        board_out_text(out, " rx=\"4\" fill=\"");
        board_out_text(out, board_soft[element->colour]);
        board_out_text(out, "\"");
        put_matrix(out, element);
        board_out_text(out, "/>\n");
    }
    for (unsigned i = 0; line < end; i++) {
        size_t len = 0, skip = 0;
        while (line + len < end && (skip = board_line_end(line + len, end)) == 0)
            len++;
        if (len > 0)
            put_text_line(out, element, x, y + size + i * size * BOARD_LINE_HEIGHT, line, len);
        line += len + skip;
    }
}

static void put_element(struct board_out *out,
                        const struct board_element *element,
                        const struct board_point *around,
                        size_t around_n,
                        const struct board_images *images)
{
    switch (element->op->kind) {
    case BOARD_STROKE:
    case BOARD_HIGHLIGHT:
        put_stroke(out, element, around, around_n);
        break;
    case BOARD_LINE:
    case BOARD_ARROW:
        put_line(out, element);
        break;
    case BOARD_RECT:
        put_rect(out, element);
        break;
    case BOARD_ELLIPSE:
        put_ellipse(out, element);
        break;
    case BOARD_IMAGE:
        put_image(out, element, images);
        break;
    default:
        put_letters(out, element);
        return;
    }
    put_matrix(out, element);
    board_out_text(out, "/>\n");
}

/* All elements into @body, and where they are into @box; false if there is nothing to be seen. */
static int put_elements(const struct board *board,
                        const struct board_images *images,
                        struct board_out *body,
                        struct board_box *box,
                        bool *any)
{
    for (size_t i = 0; i < board->elements_n; i++) {
        const struct board_element *element = &board->elements[i];
        struct board_point *around = NULL;
        size_t around_n = 0;
        struct board_box mine;
        if (board_kind_stroke(element->op->kind) &&
            board_outline(element->op, element->width, &around, &around_n) != 0)
            return KITH_E_MEMORY;
        if (board_box_of(element, around, around_n, &mine)) {
            *box = *any ? board_box_join(*box, mine) : mine;
            *any = true;
            put_element(body, element, around, around_n, images);
        }
        free(around);
    }
    return 0;
}

int board_svg(const struct board *board, const struct board_images *images, struct board_out *out)
{
    struct board_out body = {0};
    struct board_box box = {0};
    bool any = false;
    int result = put_elements(board, images, &body, &box, &any);
    double x = box.x0 - BOARD_MARGIN, y = box.y0 - BOARD_MARGIN;
    double w = box.x1 - box.x0 + 2 * BOARD_MARGIN, h = box.y1 - box.y0 + 2 * BOARD_MARGIN;

    numbers(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"# # # #\"", x, y, w, h);
    numbers(out, " width=\"#\" height=\"#\">\n", w, h, 0, 0);
    numbers(out, "<rect x=\"#\" y=\"#\" width=\"#\" height=\"#\" fill=\"", x, y, w, h);
    board_out_text(out, BOARD_PAPER "\"/>\n");
    board_out_raw(out, body.data, body.len);
    board_out_text(out, "</svg>\n");
    if (body.failed || out->failed)
        result = KITH_E_MEMORY;
    free(body.data);
    return result;
}
