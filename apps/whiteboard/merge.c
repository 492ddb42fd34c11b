#include "merge.h"

#include <kith/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

/* An operation among all. */
struct item {
    const struct board_op *op;
    struct board_element element; /* of one that draws: how it looks so far */
    bool undone;
    bool hidden;
};

struct work {
    struct item *items; /* by writer, then counter; each once */
    size_t n;
    uint64_t effects_left;
};

static int compare_ids(const struct board_op *a, const struct board_op *b)
{
    int order = memcmp(a->writer, b->writer, BOARD_WRITER_BYTES);

    if (order != 0)
        return order;
    return a->counter < b->counter ? -1 : a->counter > b->counter;
}

/* By id; of two with one id the one with the smaller bytes first, which is the one that counts. */
static int by_id(const void *x, const void *y)
{
    const struct board_op *a = ((const struct item *)x)->op, *b = ((const struct item *)y)->op;
    int order = compare_ids(a, b);

    if (order != 0)
        return order;
    size_t both = a->body_len < b->body_len ? a->body_len : b->body_len;
    order = memcmp(a->body, b->body, both);
    if (order != 0)
        return order;
    return a->body_len < b->body_len ? -1 : a->body_len > b->body_len;
}

static int by_order(const void *x, const void *y)
{
    return board_op_compare((*(const struct item *const *)x)->op,
                            (*(const struct item *const *)y)->op);
}

static int elements_by_order(const void *x, const void *y)
{
    return board_op_compare(((const struct board_element *)x)->op,
                            ((const struct board_element *)y)->op);
}

/* The first item that is not before (@writer, @counter). */
static size_t find(const struct work *work, const uint8_t *writer, uint32_t counter)
{
    struct board_op wanted = {.counter = counter};
    size_t low = 0, high = work->n;

    memcpy(wanted.writer, writer, BOARD_WRITER_BYTES);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(work->items[middle].op, &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool within(const struct work *work, size_t at, const uint8_t *writer, uint32_t to)
{
    return at < work->n && work->items[at].op->counter <= to &&
           memcmp(work->items[at].op->writer, writer, BOARD_WRITER_BYTES) == 0;
}

/* Of all undos and redos of an operation the one with the highest counter counts: they come in that
 * order, since all are of one writer. */
static int take_undos(struct work *work)
{
    for (size_t i = 0; i < work->n; i++) {
        const struct board_op *op = work->items[i].op;
        if (op->kind != BOARD_UNDO && op->kind != BOARD_REDO)
            continue;
        uint32_t to = op->from + op->n - 1;
        for (size_t k = find(work, op->writer, op->from); within(work, k, op->writer, to); k++) {
            if (work->effects_left == 0)
                return KITH_E_LIMIT;
            work->effects_left--;
            work->items[k].undone = op->kind == BOARD_UNDO;
        }
    }
    return 0;
}

static void transform(double m[6], const struct board_op *by)
{
    double a = by->factors[0] / 65536.0, b = by->factors[1] / 65536.0;
    double c = by->factors[2] / 65536.0, d = by->factors[3] / 65536.0;
    double now[6] = {
        a * m[0] + c * m[1],
        b * m[0] + d * m[1],
        a * m[2] + c * m[3],
        b * m[2] + d * m[3],
        a * m[4] + c * m[5] + by->shift[0] / 16.0,
        b * m[4] + d * m[5] + by->shift[1] / 16.0,
    };

    memcpy(m, now, sizeof(now));
}

/* Which fields a drawing of @kind has. */
static uint8_t styles_of(uint8_t kind)
{
    if (kind == BOARD_IMAGE)
        return 0;
    if (board_kind_letters(kind))
        return BOARD_STYLE_COLOUR;
    if (board_kind_stroke(kind))
        return BOARD_STYLE_COLOUR | BOARD_STYLE_WIDTH;
    return BOARD_STYLE_COLOUR | BOARD_STYLE_WIDTH | BOARD_STYLE_FILL;
}

static void touch(struct item *item, const struct board_op *by)
{
    struct board_element *element = &item->element;
    uint8_t mask = by->mask & styles_of(item->op->kind);

    if (by->kind == BOARD_DELETE || by->kind == BOARD_CLEAR)
        item->hidden = true;
    if (by->kind == BOARD_TRANSFORM)
        transform(element->m, by);
    if (mask & BOARD_STYLE_COLOUR)
        element->colour = by->colour;
    if (mask & BOARD_STYLE_WIDTH)
        element->width = by->width;
    if (mask & BOARD_STYLE_FILL)
        element->fill = by->fill;
    if (by->kind == BOARD_RETEXT && board_kind_letters(item->op->kind)) {
        element->text = by->text;
        element->text_len = by->text_len;
        element->w = by->w;
        element->h = by->h;
    }
}

static int touch_targets(struct work *work, const struct board_op *by)
{
    for (size_t i = 0; i < by->targets_n; i++) {
        const struct board_range *range = &by->targets[i];
        if (work->effects_left == 0)
            return KITH_E_LIMIT;
        work->effects_left--;
        for (size_t k = find(work, range->writer, range->from);
             within(work, k, range->writer, range->to); k++) {
            if (work->effects_left == 0)
                return KITH_E_LIMIT;
            work->effects_left--;
            if (board_kind_draws(work->items[k].op->kind))
                touch(&work->items[k], by);
        }
    }
    return 0;
}

/* What changes others and is not undone, in the order of the board, upon what it names. */
static int take_changes(struct work *work, struct board *board)
{
    const struct item **changes = malloc((work->n + 1) * sizeof(*changes));
    size_t n = 0;
    int result = 0;

    if (changes == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < work->n; i++) {
        const struct item *item = &work->items[i];
        if (!item->undone && (board_kind_touches(item->op->kind) || item->op->kind == BOARD_TITLE))
            changes[n++] = item;
    }
    qsort(changes, n, sizeof(*changes), by_order);
    for (size_t i = 0; i < n && result == 0; i++) {
        const struct board_op *op = changes[i]->op;
        if (op->kind == BOARD_TITLE) {
            board->title = op->text;
            board->title_len = op->text_len;
        } else
            result = touch_targets(work, op);
    }
    free(changes);
    return result;
}

static struct item item_of(const struct board_op *op)
{
    return (struct item){
        .op = op,
        .element = {.op = op,
                    .m = {1, 0, 0, 1, 0, 0},
                    .colour = op->colour,
                    .fill = op->fill,
                    .width = op->width,
                    .w = op->w,
                    .h = op->h,
                    .text = op->text,
                    .text_len = op->text_len},
    };
}

static bool seen(const struct item *item)
{
    if (!board_kind_draws(item->op->kind) || item->undone || item->hidden)
        return false;
    for (size_t i = 0; i < 6; i++)
        if (!(fabs(item->element.m[i]) <= BOARD_MATRIX_MAX))
            return false;
    return true;
}

static int gather(struct work *work, struct board *board)
{
    board->elements = malloc((work->n + 1) * sizeof(*board->elements));
    if (board->elements == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < work->n; i++)
        if (seen(&work->items[i]))
            board->elements[board->elements_n++] = work->items[i].element;
    qsort(board->elements, board->elements_n, sizeof(*board->elements), elements_by_order);
    return 0;
}

int board_merge(struct board *board, const struct board_op *const *ops, size_t ops_n)
{
    struct work work = {.items = malloc((ops_n + 1) * sizeof(*work.items)),
                        .effects_left = BOARD_EFFECTS_MAX};

    *board = (struct board){0};
    if (work.items == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < ops_n; i++)
        work.items[i] = item_of(ops[i]);
    qsort(work.items, ops_n, sizeof(*work.items), by_id);
    for (size_t i = 0; i < ops_n; i++)
        if (i == 0 || compare_ids(work.items[i].op, work.items[work.n - 1].op) != 0)
            work.items[work.n++] = work.items[i];
    int result = take_undos(&work);
    if (result == 0)
        result = take_changes(&work, board);
    if (result == 0)
        result = gather(&work, board);
    free(work.items);
    if (result != 0)
        board_deinit(board);
    return result;
}

void board_deinit(struct board *board)
{
    free(board->elements);
    *board = (struct board){0};
}
