#include "ink.h"

#include <kith/error.h>
#include <math.h>
#include <stdlib.h>

#define STREAMLINE     0.5
#define SMOOTHING      0.5
#define SIZE           1.45 /* of the width, where pressure makes it thinner */
#define THINNING       0.5
#define PRESSURE       0.5 /* of a point that has none */
#define PRESSURE_RATE  0.275
#define NOISE          3 /* units before the end that are left out */
#define RADIUS_MIN     0.01
#define START_SEGMENTS 13
#define END_SEGMENTS   29
/* A little more than half a turn, or some renderers leave a gap. */
#define HALF_TURN (3.141592653589793 + 0.0001)

/* A point of the middle line. */
struct middle {
    struct board_point at;
    struct board_point back; /* towards the one before, of length 1 */
    double pressure;
    double distance;
    double running;
};

struct side {
    struct board_point *points;
    size_t n;
};

struct pen {
    const struct middle *middles;
    size_t n;
    double size;
    double thinning;
    bool simulate;
    struct side left, right;
    /* as it goes along the line */
    double pressure, radius, radius_first;
    struct board_point back;
    struct board_point left_last, right_last;
    bool was_corner;
};

/* As the engine of the page computes it: scaled by the larger, summed with compensation. */
static double length(double a, double b)
{
    double values[2] = {fabs(a), fabs(b)};
    double max = values[0] > values[1] ? values[0] : values[1];
    double sum = 0, compensation = 0;

    if (max == 0)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        double n = values[i] / max;
        double summand = n * n - compensation;
        double preliminary = sum + summand;
        compensation = (preliminary - sum) - summand;
        sum = preliminary;
    }
    return sqrt(sum) * max;
}

static double dot(struct board_point a, struct board_point b)
{
    return a.x * b.x + a.y * b.y;
}

static double square_between(struct board_point a, struct board_point b)
{
    double dx = a.x - b.x, dy = a.y - b.y;

    return dx * dx + dy * dy;
}

static struct board_point between(struct board_point a, struct board_point b, double t)
{
    return (struct board_point){a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t};
}

/* @back turned by a quarter, as long as @radius. */
static struct board_point across(struct board_point back, double radius)
{
    return (struct board_point){back.y * radius, -back.x * radius};
}

static struct board_point minus(struct board_point a, struct board_point b)
{
    return (struct board_point){a.x - b.x, a.y - b.y};
}

static struct board_point plus(struct board_point a, struct board_point b)
{
    return (struct board_point){a.x + b.x, a.y + b.y};
}

static struct board_point turned(struct board_point p, struct board_point around, double angle)
{
    double s = sin(angle), c = cos(angle);
    double x = p.x - around.x, y = p.y - around.y;

    return (struct board_point){x * c - y * s + around.x, x * s + y * c + around.y};
}

static void push(struct side *side, struct board_point p)
{
    side->points[side->n++] = p;
}

/* ---- the middle line ---- */

struct input {
    struct board_point at;
    double pressure;
};

static struct input input_of(const struct board_op *op, size_t i)
{
    return (struct input){
        .at = {(double)op->points[2 * i] / BOARD_UNIT, (double)op->points[2 * i + 1] / BOARD_UNIT},
        .pressure = op->pressures != NULL ? op->pressures[i] / 255.0 : PRESSURE,
    };
}

/* The points of the pen into @input (at least 5): one alone gets a neighbour, two get some between
 * them. Returns how many. */
static size_t inputs(const struct board_op *op, struct input *input)
{
    size_t n = op->points_n;

    for (size_t i = 0; i < n; i++)
        input[i] = input_of(op, i);
    if (n == 1) {
        input[1] = input[0];
        input[1].at = plus(input[0].at, (struct board_point){1, 1});
        return 2;
    }
    if (n == 2) {
        struct board_point last = input[1].at;
        for (size_t i = 1; i < 5; i++)
            input[i] = (struct input){.at = between(input[0].at, last, (double)i / 4),
                                      .pressure = PRESSURE};
        return 5;
    }
    return n;
}

/* The pen's way, smoothed, into @middles (room for @n). Returns how many there are. */
static size_t smoothed(const struct input *input, size_t n, double size, struct middle *middles)
{
    double t = 0.15 + (1 - STREAMLINE) * 0.85, running = 0;
    bool long_enough = false;
    size_t m = 1;

    middles[0] = (struct middle){.at = input[0].at, .pressure = input[0].pressure};
    for (size_t i = 1; i < n; i++) {
        const struct middle *before = &middles[m - 1];
        struct board_point at = i == n - 1 ? input[i].at : between(before->at, input[i].at, t);
        if (at.x == before->at.x && at.y == before->at.y)
            continue;
        double distance = length(at.y - before->at.y, at.x - before->at.x);
        running += distance;
        /* the beginning shakes */
        if (i < n - 1 && !long_enough) {
            if (running < size)
                continue;
            long_enough = true;
        }
        struct board_point back = minus(before->at, at);
        double len = length(back.x, back.y);
        middles[m++] = (struct middle){.at = at,
                                       .back = {back.x / len, back.y / len},
                                       .pressure = input[i].pressure,
                                       .distance = distance,
                                       .running = running};
    }
    if (m > 1)
        middles[0].back = middles[1].back;
    return m;
}

/* ---- both sides of it ---- */

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* A pen without pressure is pressed the less the faster it goes. */
static double simulated(double before, double distance, double size)
{
    double speed = smaller(1, distance / size);
    double rate = smaller(1, 1 - speed);

    return smaller(1, before + (rate - before) * (speed * PRESSURE_RATE));
}

static double radius_of(const struct pen *pen, double pressure)
{
    return pen->size * (0.5 - pen->thinning * (0.5 - pressure));
}

static double first_pressure(const struct pen *pen)
{
    double sum = pen->middles[0].pressure;

    for (size_t i = 0; i < pen->n && i < 10; i++) {
        double pressure = pen->middles[i].pressure;
        if (pen->simulate)
            pressure = simulated(sum, pen->middles[i].distance, pen->size);
        sum = (sum + pressure) / 2;
    }
    return sum;
}

/* A sharp corner: half a turn on both sides. */
static void round_corner(struct pen *pen, struct board_point at)
{
    struct board_point offset = across(pen->back, pen->radius);
    double step = 1.0 / START_SEGMENTS;

    for (double t = 0; t <= 1; t += step) {
        pen->left_last = turned(minus(at, offset), at, HALF_TURN * t);
        push(&pen->left, pen->left_last);
        pen->right_last = turned(plus(at, offset), at, HALF_TURN * -t);
        push(&pen->right, pen->right_last);
    }
}

static void put_sides(struct pen *pen, size_t i, struct board_point next_back, double turn)
{
    const struct middle *here = &pen->middles[i];
    double apart = pen->size * SMOOTHING * (pen->size * SMOOTHING);
    struct board_point offset = across(between(next_back, here->back, turn), pen->radius);
    struct board_point left = minus(here->at, offset), right = plus(here->at, offset);

    if (i <= 1 || square_between(pen->left_last, left) > apart) {
        push(&pen->left, left);
        pen->left_last = left;
    }
    if (i <= 1 || square_between(pen->right_last, right) > apart) {
        push(&pen->right, right);
        pen->right_last = right;
    }
}

static void walk(struct pen *pen)
{
    double total = pen->middles[pen->n - 1].running;

    pen->pressure = first_pressure(pen);
    pen->radius = radius_of(pen, pen->middles[pen->n - 1].pressure);
    pen->radius_first = 0;
    pen->back = pen->middles[0].back;
    pen->left_last = pen->right_last = pen->middles[0].at;
    for (size_t i = 0; i < pen->n; i++) {
        const struct middle *here = &pen->middles[i];
        bool last = i == pen->n - 1;
        double pressure = here->pressure;
        if (!last && total - here->running < NOISE)
            continue;
        if (pen->thinning != 0) {
            if (pen->simulate)
                pressure = simulated(pen->pressure, here->distance, pen->size);
            pen->radius = radius_of(pen, pressure);
        } else
            pen->radius = pen->size / 2;
        if (pen->radius_first == 0)
            pen->radius_first = pen->radius;
        if (pen->radius < RADIUS_MIN)
            pen->radius = RADIUS_MIN;
        struct board_point next_back = last ? here->back : pen->middles[i + 1].back;
        double turn = last ? 1 : dot(here->back, next_back);
        bool corner = dot(here->back, pen->back) < 0 && !pen->was_corner;
        if (corner || turn < 0) {
            round_corner(pen, here->at);
            pen->was_corner = pen->was_corner || turn < 0;
            continue;
        }
        pen->was_corner = false;
        if (last) {
            struct board_point offset = across(here->back, pen->radius);
            push(&pen->left, minus(here->at, offset));
            push(&pen->right, plus(here->at, offset));
            continue;
        }
        put_sides(pen, i, next_back, turn);
        pen->pressure = pressure;
        pen->back = here->back;
    }
}

/* ---- ends ---- */

static void dot_around(struct side *out, struct board_point at, double radius)
{
    struct board_point away = minus(at, plus(at, (struct board_point){1, 1}));
    struct board_point side = {away.y, -away.x};
    double len = length(side.x, side.y), step = 1.0 / START_SEGMENTS;
    struct board_point begin = {at.x + side.x / len * -radius, at.y + side.y / len * -radius};

    for (double t = step; t <= 1; t += step)
        push(out, turned(begin, at, HALF_TURN * 2 * t));
}

static void end_around(struct side *out, const struct middle *last, double radius)
{
    struct board_point direction = {-last->back.y, last->back.x};
    struct board_point begin = {last->at.x + direction.x * radius,
                                last->at.y + direction.y * radius};
    double step = 1.0 / END_SEGMENTS;

    for (double t = step; t < 1; t += step)
        push(out, turned(begin, last->at, HALF_TURN * 3 * t));
}

/* Left side, end, right side backwards, start; into @out, which has room. */
static void close_outline(struct pen *pen, struct side *out)
{
    if (pen->n == 1) {
        dot_around(out, pen->middles[0].at, pen->radius_first);
        return;
    }
    for (size_t i = 0; i < pen->left.n; i++)
        push(out, pen->left.points[i]);
    end_around(out, &pen->middles[pen->n - 1], pen->radius);
    for (size_t i = pen->right.n; i > 0; i--)
        push(out, pen->right.points[i - 1]);
    double step = 1.0 / START_SEGMENTS;
    for (double t = step; t <= 1; t += step)
        push(out, turned(pen->right.points[0], pen->middles[0].at, HALF_TURN * t));
}

int board_outline(const struct board_op *op,
                  uint32_t width,
                  struct board_point **points_out,
                  size_t *n_out)
{
    bool flat = op->kind == BOARD_HIGHLIGHT;
    size_t room = op->points_n < 5 ? 5 : op->points_n;
    size_t side_room = room * (START_SEGMENTS + 1); /* each may be a corner */
    struct input *input = calloc(room, sizeof(*input));
    struct middle *middles = malloc(room * sizeof(*middles));
    struct pen pen = {.middles = middles,
                      .size = flat ? (double)width / BOARD_UNIT : (double)width / BOARD_UNIT * SIZE,
                      .thinning = flat ? 0 : THINNING,
                      .simulate = op->pressures == NULL && !flat,
                      .left = {.points = malloc(side_room * sizeof(struct board_point))},
                      .right = {.points = malloc(side_room * sizeof(struct board_point))}};
    struct side out = {.points = malloc((2 * side_room + START_SEGMENTS + END_SEGMENTS + 2) *
                                        sizeof(*out.points))};
    int result = KITH_E_MEMORY;

    if (input && middles && pen.left.points && pen.right.points && out.points) {
        pen.n = smoothed(input, inputs(op, input), pen.size, middles);
        walk(&pen);
        close_outline(&pen, &out);
        result = 0;
    }
    free(input);
    free(middles);
    free(pen.left.points);
    free(pen.right.points);
    if (result != 0) {
        free(out.points);
        out.points = NULL;
    }
    *points_out = out.points;
    *n_out = out.n;
    return result;
}
