/*
 * Properties of boards that are made up of every kind of operation: what the set of all operations
 * says is all that counts, and an undo reaches its own writer's work only.
 */
#include "unit/whiteboard_make.h"

#include <kith/error.h>
#include <stdlib.h>

#include "core/rng.h"
#include "whiteboard/dump.h"
#include "whiteboard/limits.h"
#include "whiteboard/merge.h"

#define WRITERS 3
#define OPS     45 /* of one board; the rest of WHITEBOARD_OPS is for what a test adds */
#define ROUNDS  300

static struct made made;

/* ---- made-up operations ---- */

static void put_place(struct made *m, struct rng *rng)
{
    for (unsigned i = 0; i < 2; i++)
        put_zigzag(m, (int64_t)rng_below(rng, 4000) - 2000);
}

static void put_text(struct made *m, struct rng *rng)
{
    static const char *const words[] = {"", "one\ntwo", "\xc3\xbc & <b>", "soft\xe2\x80\xa8line"};
    const char *text = words[rng_below(rng, 4)];

    put_varint(m, strlen(text));
    put_raw(m, text, strlen(text));
}

static void put_drawing(struct made *m, struct rng *rng, unsigned kind)
{
    if (kind == BOARD_IMAGE) {
        put_place(m, rng);
        put_varint(m, 160);
        put_varint(m, 160);
        put_u8(m, (unsigned)rng_below(rng, 3));
        for (unsigned i = 0; i < BOARD_HASH_BYTES; i++)
            put_u8(m, i);
        return;
    }
    put_u8(m, (unsigned)rng_below(rng, BOARD_COLOURS_N));
    put_varint(m, 16 + rng_below(rng, 200));
    if (kind <= BOARD_HIGHLIGHT) {
        unsigned n = 1 + (unsigned)rng_below(rng, 5);
        put_u8(m, 0);
        put_varint(m, n);
        for (unsigned i = 0; i < n; i++)
            put_place(m, rng);
        return;
    }
    if (kind <= BOARD_ELLIPSE)
        put_u8(m, (unsigned)rng_below(rng, 3));
    put_place(m, rng);
    if (kind <= BOARD_ELLIPSE) {
        put_place(m, rng);
        return;
    }
    put_varint(m, 100);
    put_varint(m, 100);
    put_text(m, rng);
}

static void put_targets(struct made *m, struct rng *rng)
{
    uint32_t from = 1 + (uint32_t)rng_below(rng, 20);

    put_set1(m, 1 + (unsigned)rng_below(rng, WRITERS), from, from + (uint32_t)rng_below(rng, 4));
}

static void put_style(struct made *m, struct rng *rng)
{
    unsigned mask = 1 + (unsigned)rng_below(rng, 7);

    put_targets(m, rng);
    put_u8(m, mask);
    if (mask & BOARD_STYLE_COLOUR)
        put_u8(m, (unsigned)rng_below(rng, BOARD_COLOURS_N));
    if (mask & BOARD_STYLE_WIDTH)
        put_varint(m, 16 + rng_below(rng, 200));
    if (mask & BOARD_STYLE_FILL)
        put_u8(m, (unsigned)rng_below(rng, 3));
}

static void put_transform(struct made *m, struct rng *rng)
{
    put_targets(m, rng);
    for (unsigned i = 0; i < 4; i++)
        put_zigzag(m, (int64_t)rng_below(rng, 200000) - 100000);
    put_place(m, rng);
}

static void put_retext(struct made *m, struct rng *rng)
{
    uint8_t id[BOARD_WRITER_BYTES] = {0};

    id[15] = (uint8_t)(1 + rng_below(rng, WRITERS));
    put_raw(m, id, sizeof(id));
    put_varint(m, 1 + rng_below(rng, 20));
    put_varint(m, 50);
    put_varint(m, 60);
    put_text(m, rng);
}

static void put_change(struct made *m, struct rng *rng, unsigned kind)
{
    switch (kind) {
    case BOARD_STYLE:
        put_style(m, rng);
        break;
    case BOARD_TRANSFORM:
        put_transform(m, rng);
        break;
    case BOARD_RETEXT:
        put_retext(m, rng);
        break;
    case BOARD_TITLE:
        put_u8(m, 1);
        put_u8(m, 'a' + (unsigned)rng_below(rng, 26));
        break;
    default:
        put_targets(m, rng);
    }
}

static void put_undo(struct made *m, struct rng *rng, uint32_t counter)
{
    uint32_t from = 1 + (uint32_t)rng_below(rng, counter - 1);

    put_varint(m, from);
    put_varint(m, 1 + rng_below(rng, counter - from));
}

/* An operation of any kind, also of one that is not known. */
static void make_any(struct rng *rng, unsigned writer, uint32_t counter, uint64_t clock)
{
    unsigned dice = (unsigned)rng_below(rng, 100);
    unsigned kind = dice < 45   ? BOARD_STROKE + (unsigned)rng_below(rng, 9)
                    : dice < 80 ? BOARD_DELETE + (unsigned)rng_below(rng, 6)
                    : dice < 97 ? BOARD_UNDO + (unsigned)rng_below(rng, 2)
                                : 77;

    if (kind >= BOARD_UNDO && kind <= BOARD_REDO && counter == 1)
        kind = BOARD_RECT;
    begin_op(&made, writer, counter, clock, kind);
    if (kind <= BOARD_IMAGE)
        put_drawing(&made, rng, kind);
    else if (kind <= BOARD_TITLE)
        put_change(&made, rng, kind);
    else if (kind <= BOARD_REDO)
        put_undo(&made, rng, counter);
    assert_int_equal(end_op(&made), 0);
}

/* A board of three, whose clocks agree as little as they may; returns their last counters. */
static void make_board(struct rng *rng, uint32_t counters[WRITERS + 1])
{
    for (unsigned i = 0; i <= WRITERS; i++)
        counters[i] = 0;
    for (unsigned i = 0; i < OPS; i++) {
        unsigned writer = 1 + (unsigned)rng_below(rng, WRITERS);
        make_any(rng, writer, ++counters[writer], 1000 + rng_below(rng, 25));
    }
}

static void
make_undo_of(unsigned writer, uint32_t counter, unsigned kind, uint32_t from, uint32_t n)
{
    begin_op(&made, writer, counter, 1, kind);
    put_varint(&made, from);
    put_varint(&made, n);
    assert_int_equal(end_op(&made), 0);
}

/* ---- comparing ---- */

static char *dumped(const struct board_op *const *list, size_t n)
{
    struct board board;
    struct board_out out = {0};

    assert_int_equal(board_merge(&board, list, n), 0);
    board_dump(&board, &out);
    board_out_raw(&out, "", 1);
    assert_false(out.failed);
    board_deinit(&board);
    return out.data;
}

static void assert_same(char *one, char *other)
{
    assert_string_equal(one, other);
    free(one);
    free(other);
}

/* ---- properties ---- */

static void any_order_and_repetition_gives_the_same(void **state)
{
    struct rng rng = test_rng();
    uint32_t counters[WRITERS + 1];
    size_t drawn = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct board_op *list[2 * WHITEBOARD_OPS];
        make_board(&rng, counters);
        /* one id twice, with other bytes */
        make_any(&rng, 1, 1 + (uint32_t)rng_below(&rng, 5), 999);
        for (size_t i = 0; i < made.ops_n; i++) {
            list[i] = made.list[i];
            list[made.ops_n + i] = made.list[rng_below(&rng, made.ops_n)];
        }
        for (size_t i = 2 * made.ops_n - 1; i > 0; i--) {
            size_t k = (size_t)rng_below(&rng, i + 1);
            const struct board_op *swap = list[i];
            list[i] = list[k];
            list[k] = swap;
        }
        char *straight = dumped(made.list, made.ops_n);
        drawn += strlen(straight);
        assert_same(straight, dumped(list, 2 * made.ops_n));
        unmake(&made);
    }
    assert_true(drawn > 400u * ROUNDS); /* boards with something on them */
}

static void undos_of_a_stranger_change_nothing(void **state)
{
    struct rng rng = test_rng();
    uint32_t counters[WRITERS + 1];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        make_board(&rng, counters);
        char *before = dumped(made.list, made.ops_n);
        /* writer 9 has made nothing; it names all counters there are */
        for (unsigned i = 0; i < 8; i++) {
            uint32_t from = 1 + (uint32_t)rng_below(&rng, OPS);
            make_undo_of(9, 1000 + i, rng_below(&rng, 4) ? BOARD_UNDO : BOARD_REDO, from, OPS);
        }
        assert_same(before, dumped(made.list, made.ops_n));
        unmake(&made);
    }
}

/* All that one made, undone, is a board on which that one was never: all others' work stands. */
static void whoever_undoes_all_was_never_there(void **state)
{
    struct rng rng = test_rng();
    uint32_t counters[WRITERS + 1];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct board_op *others[WHITEBOARD_OPS];
        unsigned writer = 1 + (unsigned)rng_below(&rng, WRITERS);
        size_t n = 0;
        make_board(&rng, counters);
        for (size_t i = 0; i < made.ops_n; i++)
            if (made.list[i]->writer[15] != writer)
                others[n++] = made.list[i];
        char *without = dumped(others, n);
        if (counters[writer] > 0)
            make_undo_of(writer, counters[writer] + 1, BOARD_UNDO, 1, counters[writer]);
        assert_same(without, dumped(made.list, made.ops_n));
        unmake(&made);
    }
}

static void undone_and_redone_is_as_it_was(void **state)
{
    struct rng rng = test_rng();
    uint32_t counters[WRITERS + 1];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct board_op *never[WHITEBOARD_OPS];
        unsigned writer = 1 + (unsigned)rng_below(&rng, WRITERS);
        size_t n = 0;
        make_board(&rng, counters);
        uint32_t counter = counters[writer] + 1, from = counter;
        /* all of it redone is as if nothing of it had ever been undone */
        for (size_t i = 0; i < made.ops_n; i++)
            if (made.list[i]->writer[15] != writer || made.list[i]->kind < BOARD_UNDO)
                never[n++] = made.list[i];
        char *before = dumped(never, n);
        if (counters[writer] > 0)
            make_undo_of(writer, counter++, BOARD_REDO, 1, counters[writer]);
        for (unsigned i = 0; i < 6 && from > 1; i++) {
            uint32_t at = 1 + (uint32_t)rng_below(&rng, from - 1);
            make_undo_of(writer, counter++, BOARD_UNDO, at, from - at);
            make_undo_of(writer, counter++, BOARD_REDO, at, from - at);
        }
        assert_same(before, dumped(made.list, made.ops_n));
        unmake(&made);
    }
}

/* ---- limits ---- */

static void undos_that_were_made_to_cost_are_refused(void **state)
{
    enum { DRAWN = 4096, UNDOS = BOARD_EFFECTS_MAX / DRAWN };
    struct board_op *ops = calloc(DRAWN + UNDOS + 1, sizeof(*ops));
    const struct board_op **list = calloc(DRAWN + UNDOS + 1, sizeof(*list));
    struct board board;

    (void)state;
    assert_true(ops != NULL && list != NULL);
    make_rect(&made, 1, 1, 100);
    for (uint32_t i = 0; i <= DRAWN + UNDOS; i++) {
        ops[i] = *made.list[0];
        ops[i].counter = i + 1;
        if (i >= DRAWN) {
            ops[i].kind = BOARD_UNDO;
            ops[i].from = 1;
            ops[i].n = DRAWN;
        }
        list[i] = &ops[i];
    }
    assert_int_equal(board_merge(&board, list, DRAWN + UNDOS), 0);
    assert_int_equal(board.elements_n, 0);
    board_deinit(&board);
    assert_int_equal(board_merge(&board, list, DRAWN + UNDOS + 1), KITH_E_LIMIT);
    free(ops);
    free(list);
    unmake(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_repetition_gives_the_same),
        cmocka_unit_test(undos_of_a_stranger_change_nothing),
        cmocka_unit_test(whoever_undoes_all_was_never_there),
        cmocka_unit_test(undone_and_redone_is_as_it_was),
        cmocka_unit_test(undos_that_were_made_to_cost_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
