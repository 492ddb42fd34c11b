/* Memory of one step: aligned, apart, and one ordinary chunk of it stays. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena arena = {0};
    unsigned char *pieces[300];

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        pieces[i] = arena_alloc(&arena, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 300; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(pieces[i][k], i & 0xff);
    arena_deinit(&arena);
}

static void an_ordinary_chunk_stays_and_a_large_one_goes(void **state)
{
    struct arena arena = {0};

    (void)state;
    arena_reset(&arena);
    assert_null(arena.chunks);
    assert_false(arena_is_spread(&arena));
    void *first = arena_alloc(&arena, 100);
    assert_false(arena_is_spread(&arena));
    memset(arena_alloc(&arena, 1 << 20), 1, 1 << 20);
    assert_true(arena_is_spread(&arena));
    arena_reset(&arena);
    assert_false(arena_is_spread(&arena));
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    arena_reset(&arena);
    arena_deinit(&arena);
    memset(arena_alloc(&arena, 1 << 20), 1, 1 << 20);
    arena_reset(&arena);
    assert_null(arena.chunks);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(an_ordinary_chunk_stays_and_a_large_one_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
