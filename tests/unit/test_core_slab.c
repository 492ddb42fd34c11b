/* Pieces of a slab: apart, found by their links, given again, and none is too large for a link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/slab.h"

#define PIECES_N 4000

struct piece {
    unsigned char *at;
    uint32_t link;
    size_t size;
};

static size_t size_of(size_t i)
{
    return i % 50 == 0 ? SLAB_PIECE_MAX - i % 700 : 1 + i * 37 % 600;
}

static void make(struct slab *slab, struct piece *piece, size_t i)
{
    piece->size = size_of(i);
    piece->at = slab_alloc(slab, piece->size);
    assert_non_null(piece->at);
    assert_int_equal((uintptr_t)piece->at % SLAB_STEP_BYTES, 0);
    for (size_t k = 0; k < piece->size; k++)
        assert_int_equal(piece->at[k], 0);
    piece->link = slab_link(piece->at);
    memset(piece->at, (int)(i % 255 + 1), piece->size);
}

static void assert_whole(const struct slab *slab, const struct piece *piece, size_t i)
{
    assert_int_not_equal(piece->link, 0);
    assert_ptr_equal(slab_at(slab, piece->link), piece->at);
    for (size_t k = 0; k < piece->size; k++)
        assert_int_equal(piece->at[k], i % 255 + 1);
}

static void pieces_are_zeroed_apart_and_found_by_their_links(void **state)
{
    static struct piece pieces[PIECES_N];
    struct slab slab;

    (void)state;
    slab_init(&slab);
    for (size_t i = 0; i < PIECES_N; i++)
        make(&slab, &pieces[i], i);
    assert_in_range(slab.blocks_n, 18, 1000); /* more than one chunk */
    for (size_t i = 0; i < PIECES_N; i += 3)
        slab_free(&slab, pieces[i].at, pieces[i].size);
    uint32_t blocks_n = slab.blocks_n;
    for (size_t i = 0; i < PIECES_N; i += 3)
        make(&slab, &pieces[i], i);
    assert_int_equal(slab.blocks_n, blocks_n); /* what was free was taken */
    for (size_t i = 0; i < PIECES_N; i++)
        assert_whole(&slab, &pieces[i], i);
    slab_deinit(&slab);
    slab_deinit(&slab);
}

static void nothing_is_link_0_and_a_field_has_a_link_of_its_own(void **state)
{
    struct slab slab;
    struct {
        uint32_t first, second;
    } * two;

    (void)state;
    slab_init(&slab);
    assert_null(slab_at(&slab, 0));
    assert_int_equal(slab_link(NULL), 0);
    two = slab_alloc(&slab, sizeof(*two));
    assert_non_null(two);
    assert_int_equal(slab_link(&two->second), slab_link(two) + 1);
    assert_ptr_equal(slab_at(&slab, slab_link(&two->second)), &two->second);
    slab_deinit(&slab);
}

static void what_the_end_of_a_block_leaves_is_given_too(void **state)
{
    struct slab slab;
    const uint32_t large = SLAB_PIECE_MAX;
    void *last = NULL;

    (void)state;
    slab_init(&slab);
    while (slab.blocks_n < 3)
        last = slab_alloc(&slab, large);
    assert_non_null(last);
    /* The first block has less than one more behind its last. */
    uint32_t left = (SLAB_BLOCK_BYTES - (uint32_t)sizeof(struct slab_block)) % large;
    uint32_t size = left / SLAB_LARGE_BYTES * SLAB_LARGE_BYTES;
    uint32_t link = slab_link(slab_alloc(&slab, size));
    assert_int_equal(link / (SLAB_BLOCK_BYTES / SLAB_STEP_BYTES), 1);
    link = slab_link(slab_alloc(&slab, left - size));
    assert_int_equal(link / (SLAB_BLOCK_BYTES / SLAB_STEP_BYTES), 1);
    slab_deinit(&slab);
}

static void without_memory_there_is_none_and_the_pool_goes_on(void **state)
{
    struct slab slab;

    (void)state;
    slab_init(&slab);
    for (uint64_t n = 1; n <= 2; n++) { /* the table of blocks, the first chunk */
        core_alloc_fail_at(n);
        assert_null(slab_alloc(&slab, 100));
        core_alloc_fail_at(0);
    }
    assert_non_null(slab_alloc(&slab, 100));
    slab_deinit(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_apart_and_found_by_their_links),
        cmocka_unit_test(nothing_is_link_0_and_a_field_has_a_link_of_its_own),
        cmocka_unit_test(what_the_end_of_a_block_leaves_is_given_too),
        cmocka_unit_test(without_memory_there_is_none_and_the_pool_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
