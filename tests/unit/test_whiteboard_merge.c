/* How operations come together, rule by rule, and the picture of it. */
#include "unit/whiteboard_make.h"

#include <kith/error.h>

#include "core/rng.h"
#include "whiteboard/dump.h"
#include "whiteboard/svg.h"

static struct made made;

/* How many elements are to be seen of all that was made. */
static size_t seen(void)
{
    struct board board;

    assert_int_equal(board_merge(&board, made.list, made.ops_n), 0);
    size_t n = board.elements_n;
    board_deinit(&board);
    return n;
}

static void dump(const struct board_op *const *list, size_t n, struct board_out *out)
{
    struct board board;

    *out = (struct board_out){0};
    assert_int_equal(board_merge(&board, list, n), 0);
    board_dump(&board, out);
    board_out_raw(out, "", 1);
    board_deinit(&board);
}

static void deleted_and_brought_back(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    make_delete(&made, 2, 1, 200, 1, 1, 1);
    assert_int_equal(seen(), 0);
    make_undo(&made, 2, 2, 300, BOARD_UNDO, 1);
    assert_int_equal(seen(), 1);
    make_undo(&made, 2, 3, 250, BOARD_REDO, 1); /* the counter decides, not the clock */
    assert_int_equal(seen(), 0);
    unmake(&made);
}

static void undo_is_of_ones_own_only(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    make_rect(&made, 2, 1, 100);
    make_undo(&made, 2, 5, 300, BOARD_UNDO, 1);
    struct board board;
    assert_int_equal(board_merge(&board, made.list, made.ops_n), 0);
    assert_int_equal(board.elements_n, 1);
    assert_int_equal(board.elements[0].op->writer[15], 1);
    board_deinit(&board);
    unmake(&made);
}

static void delete_by_two_needs_both_undone(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    make_delete(&made, 2, 1, 200, 1, 1, 1);
    make_delete(&made, 3, 1, 200, 1, 1, 1);
    make_undo(&made, 2, 2, 300, BOARD_UNDO, 1);
    assert_int_equal(seen(), 0);
    make_undo(&made, 3, 2, 300, BOARD_UNDO, 1);
    assert_int_equal(seen(), 1);
    unmake(&made);
}

static void transformations_apply_in_the_order_of_clocks(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    for (unsigned i = 0; i < 2;
         i++) { /* writer 3 scales by 2 at 300; writer 2 moves by (1, 2) at 200 */
        begin_op(&made, 3 - i, 1, 300 - 100 * i, BOARD_TRANSFORM);
        put_set1(&made, 1, 1, 1);
        put_zigzag(&made, i ? 65536 : 131072);
        put_zigzag(&made, 0);
        put_zigzag(&made, 0);
        put_zigzag(&made, i ? 65536 : 131072);
        put_zigzag(&made, i ? 16 : 0);
        put_zigzag(&made, i ? 32 : 0);
        assert_int_equal(end_op(&made), 0);
    }
    struct board board;
    assert_int_equal(board_merge(&board, made.list, made.ops_n), 0);
    const double wanted[] = {2, 0, 0, 2, 2, 4};
    for (unsigned i = 0; i < 6; i++)
        assert_true(board.elements[0].m[i] == wanted[i]);
    board_deinit(&board);
    unmake(&made);
}

static void element_that_grows_without_bound_is_not_shown(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(seen(), 1);
        begin_op(&made, 2, i + 1, 200 + i, BOARD_TRANSFORM);
        put_set1(&made, 1, 1, 1);
        put_zigzag(&made, BOARD_FACTOR_MAX);
        put_zigzag(&made, 0);
        put_zigzag(&made, 0);
        put_zigzag(&made, BOARD_FACTOR_MAX);
        put_zigzag(&made, 0);
        put_zigzag(&made, 0);
        assert_int_equal(end_op(&made), 0);
    }
    assert_int_equal(seen(), 0); /* 64^5 is above 10^9 */
    unmake(&made);
}

static void element_is_styled_as_far_as_its_kind_goes(void **state)
{
    (void)state;
    make_rect(&made, 1, 1, 100);
    begin_op(&made, 1, 2, 101, BOARD_STICKY);
    put_u8(&made, 3);
    put_varint(&made, 320);
    for (unsigned i = 0; i < 4; i++)
        put_varint(&made, 0);
    put_varint(&made, 2);
    put_raw(&made, "hi", 2);
    assert_int_equal(end_op(&made), 0);
    begin_op(&made, 2, 1, 200, BOARD_STYLE);
    put_set1(&made, 1, 1, 2);
    put_u8(&made, 7);
    put_u8(&made, 5);
    put_varint(&made, 99);
    put_u8(&made, 1);
    assert_int_equal(end_op(&made), 0);
    struct board board;
    assert_int_equal(board_merge(&board, made.list, made.ops_n), 0);
    assert_int_equal(board.elements[0].colour, 5);
    assert_int_equal(board.elements[0].width, 99);
    assert_int_equal(board.elements[0].fill, 1);
    assert_int_equal(board.elements[1].colour, 5);
    assert_int_equal(board.elements[1].width, 320);
    assert_int_equal(board.elements[1].fill, 0);
    board_deinit(&board);
    unmake(&made);
}

static void one_op(struct made *m, struct rng *rng, uint32_t *counters, uint64_t clock)
{
    unsigned writer = (unsigned)rng_below(rng, 3);
    uint32_t counter = ++counters[writer];
    unsigned whose = (unsigned)rng_below(rng, 3) + 1;

    if (counter > 1 && rng_below(rng, 3) == 0)
        make_undo(m, writer + 1, counter, clock, rng_below(rng, 2) ? BOARD_UNDO : BOARD_REDO,
                  1 + (uint32_t)rng_below(rng, counter - 1));
    else if (rng_below(rng, 3) == 0) {
        uint32_t from = 1 + (uint32_t)rng_below(rng, 20);
        make_delete(m, writer + 1, counter, clock, whose, from, from + (uint32_t)rng_below(rng, 4));
    } else
        make_rect(m, writer + 1, counter, clock);
}

static void any_order_and_repetition_gives_the_same(void **state)
{
    struct rng rng = test_rng();

    (void)state;
    for (unsigned round = 0; round < test_rounds(300); round++) {
        uint32_t counters[3] = {0};
        for (unsigned i = 0; i < 40; i++)
            one_op(&made, &rng, counters, 1000 + rng_below(&rng, 30));
        struct board_out wanted, got;
        dump(made.list, made.ops_n, &wanted);
        const struct board_op *list[2 * WHITEBOARD_OPS];
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
        dump(list, 2 * made.ops_n, &got);
        assert_string_equal(wanted.data, got.data);
        free(wanted.data);
        free(got.data);
        unmake(&made);
    }
}

static void two_of_one_id_count_by_their_bytes(void **state)
{
    struct board_out one, other;

    (void)state;
    make_rect(&made, 1, 1, 100);
    make_rect(&made, 1, 1, 99);
    const struct board_op *turned[] = {made.list[1], made.list[0], made.list[1]};
    dump(made.list, 2, &one);
    dump(turned, 3, &other);
    assert_string_equal(one.data, other.data);
    assert_non_null(strstr(one.data, " 1 99 "));
    free(one.data);
    free(other.data);
    unmake(&made);
}

static void merge_that_was_made_to_cost_is_refused(void **state)
{
    enum { WRITERS = 1024, RANGES = 16, COPIES = 5000 };
    const struct board_op **list;
    struct board board;

    (void)state;
    /* each names 16,384 ranges; 5,000 of them are more than 64 Mi effects */
    begin_op(&made, 1, 1, 1, BOARD_DELETE);
    put_varint(&made, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        uint8_t id[BOARD_WRITER_BYTES] = {(uint8_t)(i >> 8), (uint8_t)i};
        put_raw(&made, id, sizeof(id));
        put_varint(&made, RANGES);
        for (unsigned k = 0; k < 2 * RANGES; k++)
            put_varint(&made, 0);
    }
    assert_int_equal(end_op(&made), 0);
    struct board_op *copies = calloc(COPIES, sizeof(*copies));
    list = calloc(COPIES, sizeof(*list));
    assert_true(copies != NULL && list != NULL);
    for (unsigned i = 0; i < COPIES; i++) {
        copies[i] = *made.list[0];
        copies[i].counter = i + 1;
        list[i] = &copies[i];
    }
    assert_int_equal(board_merge(&board, list, test_rounds(4000)), 0);
    board_deinit(&board);
    if (test_rounds(COPIES) == COPIES) /* to come there takes long where all is watched */
        assert_int_equal(board_merge(&board, list, COPIES), KITH_E_LIMIT);
    free(copies);
    free(list);
    unmake(&made);
}

static void picture_of_a_rectangle(void **state)
{
    struct board board;
    struct board_out out = {0};

    (void)state;
    make_rect(&made, 1, 1, 100);
    assert_int_equal(board_merge(&board, made.list, made.ops_n), 0);
    assert_int_equal(board_svg(&board, NULL, &out), 0);
    board_out_raw(&out, "", 1);
    assert_string_equal(
        out.data,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-7 -27 54 54\" width=\"54\" "
        "height=\"54\">\n"
        "<rect x=\"-7\" y=\"-27\" width=\"54\" height=\"54\" fill=\"#ffffff\"/>\n"
        "<rect x=\"10\" y=\"-10\" width=\"20\" height=\"20\" rx=\"5\" fill=\"none\" "
        "stroke=\"#d92d20\" "
        "stroke-width=\"2\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/>\n</svg>\n");
    free(out.data);
    board_deinit(&board);
    unmake(&made);
}

static void picture_of_nothing(void **state)
{
    struct board board;
    struct board_out out = {0};

    (void)state;
    assert_int_equal(board_merge(&board, made.list, 0), 0);
    assert_int_equal(board_svg(&board, NULL, &out), 0);
    assert_memory_equal(out.data, "<svg ", 5);
    free(out.data);
    board_deinit(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleted_and_brought_back),
        cmocka_unit_test(undo_is_of_ones_own_only),
        cmocka_unit_test(delete_by_two_needs_both_undone),
        cmocka_unit_test(transformations_apply_in_the_order_of_clocks),
        cmocka_unit_test(element_that_grows_without_bound_is_not_shown),
        cmocka_unit_test(element_is_styled_as_far_as_its_kind_goes),
        cmocka_unit_test(any_order_and_repetition_gives_the_same),
        cmocka_unit_test(two_of_one_id_count_by_their_bytes),
        cmocka_unit_test(merge_that_was_made_to_cost_is_refused),
        cmocka_unit_test(picture_of_a_rectangle),
        cmocka_unit_test(picture_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
