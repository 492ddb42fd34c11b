#include "shape.h"

#include <math.h>
#include <string.h>

static double min2(double a, double b)
{
    return a < b ? a : b;
}

static double max2(double a, double b)
{
    return a > b ? a : b;
}

struct board_frame board_frame_of(const struct board_element *element)
{
    struct board_frame frame = {(double)element->op->x / BOARD_UNIT,
                                (double)element->op->y / BOARD_UNIT,
                                (double)element->w / BOARD_UNIT, (double)element->h / BOARD_UNIT};

    if (frame.w < 0) {
        frame.x += frame.w;
        frame.w = -frame.w;
    }
    if (frame.h < 0) {
        frame.y += frame.h;
        frame.h = -frame.h;
    }
    return frame;
}

struct board_line board_line_of(const struct board_element *element)
{
    const struct board_op *op = element->op;
    struct board_line line = {.x1 = (double)op->x / BOARD_UNIT,
                              .y1 = (double)op->y / BOARD_UNIT,
                              .x2 = (double)(op->x + op->w) / BOARD_UNIT,
                              .y2 = (double)(op->y + op->h) / BOARD_UNIT};
    double dx = line.x2 - line.x1, dy = line.y2 - line.y1;
    double length = sqrt(dx * dx + dy * dy);

    if (op->kind == BOARD_ARROW && length > 0) {
        double size = min2(length / 2, 8 + 3 * ((double)element->width / BOARD_UNIT));
        double ux = dx / length * size, uy = dy / length * size;
        line.has_head = true;
        line.head[0] = line.x2 - 0.9 * ux + 0.43589 * uy;
        line.head[1] = line.y2 - 0.9 * uy - 0.43589 * ux;
        line.head[2] = line.x2 - 0.9 * ux - 0.43589 * uy;
        line.head[3] = line.y2 - 0.9 * uy + 0.43589 * ux;
    }
    return line;
}

double board_corner_of(const struct board_frame *frame)
{
    return min2(8, min2(frame->w / 4, frame->h / 4));
}

bool board_is_identity(const double m[6])
{
    return m[0] == 1 && m[1] == 0 && m[2] == 0 && m[3] == 1 && m[4] == 0 && m[5] == 0;
}

static void include(struct board_box *box, double x, double y)
{
    box->x0 = min2(box->x0, x);
    box->y0 = min2(box->y0, y);
    box->x1 = max2(box->x1, x);
    box->y1 = max2(box->y1, y);
}

static void widen(struct board_box *box, double by)
{
    box->x0 -= by;
    box->y0 -= by;
    box->x1 += by;
    box->y1 += by;
}

static struct board_box line_box(const struct board_element *element)
{
    struct board_line line = board_line_of(element);
    struct board_box box = {line.x1, line.y1, line.x1, line.y1};

    include(&box, line.x2, line.y2);
    if (line.has_head) {
        include(&box, line.head[0], line.head[1]);
        include(&box, line.head[2], line.head[3]);
    }
    widen(&box, (double)element->width / BOARD_UNIT / 2);
    return box;
}

/* Before its matrix. */
static struct board_box
local_box(const struct board_element *element, const struct board_point *around, size_t n)
{
    uint8_t kind = element->op->kind;

    if (board_kind_stroke(kind)) {
        struct board_box box = {INFINITY, INFINITY, -INFINITY, -INFINITY};
        for (size_t i = 0; i < n; i++)
            include(&box, around[i].x, around[i].y);
        return box;
    }
    if (kind == BOARD_LINE || kind == BOARD_ARROW)
        return line_box(element);
    struct board_frame frame = board_frame_of(element);
    struct board_box box = {frame.x, frame.y, frame.x + frame.w, frame.y + frame.h};
    if (kind == BOARD_RECT || kind == BOARD_ELLIPSE)
        widen(&box, (double)element->width / BOARD_UNIT / 2);
    return box;
}

static bool box_seen(struct board_box in, const double m[6], struct board_box *box_out)
{
    struct board_box box = {INFINITY, INFINITY, -INFINITY, -INFINITY};

    for (unsigned i = 0; i < 4; i++) {
        double x = i & 1 ? in.x1 : in.x0, y = i & 2 ? in.y1 : in.y0;
        include(&box, m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5]);
    }
    *box_out = box;
    return fabs(box.x0) <= BOARD_FAR && fabs(box.y0) <= BOARD_FAR && fabs(box.x1) <= BOARD_FAR &&
           fabs(box.y1) <= BOARD_FAR;
}

bool board_box_of(const struct board_element *element,
                  const struct board_point *around,
                  size_t around_n,
                  struct board_box *box_out)
{
    return box_seen(local_box(element, around, around_n), element->m, box_out);
}

bool board_rough_box_of(const struct board_element *element, struct board_box *box_out)
{
    const struct board_op *op = element->op;
    struct board_box box = {INFINITY, INFINITY, -INFINITY, -INFINITY};

    if (!board_kind_stroke(op->kind))
        return board_box_of(element, NULL, 0, box_out);
    for (size_t i = 0; i < op->points_n; i++)
        include(&box, (double)op->points[2 * i] / BOARD_UNIT,
                (double)op->points[2 * i + 1] / BOARD_UNIT);
    /* size times 1.45, its radius at most 0.75 of it */
    widen(&box, (double)element->width / BOARD_UNIT * 1.1 + 1.5);
    return box_seen(box, element->m, box_out);
}

struct board_box board_box_join(struct board_box a, struct board_box b)
{
    include(&a, b.x0, b.y0);
    include(&a, b.x1, b.y1);
    return a;
}

size_t board_line_end(const char *at, const char *end)
{
    if (*at == '\n')
        return 1;
    return end - at >= 3 && memcmp(at, "\xe2\x80\xa8", 3) == 0 ? 3 : 0;
}
