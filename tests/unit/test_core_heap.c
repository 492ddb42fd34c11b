/*
 * The heap against sorting, its order among equals, and allocation failure.
 */
#include "core/heap.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "kith/error.h"
#include "lib/test.h"

#define NODES_N 200

struct item {
    struct heap_node node;
    uint64_t set_at; /* step of the last heap_set: the order among equal keys */
};

static struct item *least_of(struct item *items)
{
    struct item *least = NULL;
    for (size_t i = 0; i < NODES_N; i++) {
        struct item *it = &items[i];
        if (!heap_contains(&it->node))
            continue;
        if (least == NULL || it->node.key < least->node.key ||
            (it->node.key == least->node.key && it->set_at < least->set_at))
            least = it;
    }
    return least;
}

static void agrees_with_a_search_for_the_least(void **state)
{
    (void)state;
    static struct item items[NODES_N];
    struct heap heap = {0};
    struct rng rng = test_rng();
    memset(items, 0, sizeof(items));
    for (uint64_t step = 1; step <= 30000; step++) {
        struct item *it = &items[rng_below(&rng, NODES_N)];
        uint64_t what = rng_below(&rng, 10);
        struct heap_node *first = heap_first(&heap);
        if (what < 5 + step / 6000 % 2) {
            assert_int_equal(heap_set(&heap, &it->node, rng_below(&rng, 50)), 0);
            it->set_at = step;
        } else if (what < 8) {
            heap_remove(&heap, &it->node);
            assert_false(heap_contains(&it->node));
        } else if (first != NULL) {
            heap_remove(&heap, first);
        }
        struct item *least = least_of(items);
        assert_ptr_equal(heap_first(&heap), least != NULL ? &least->node : NULL);
    }
    heap_deinit(&heap);
    for (size_t i = 0; i < NODES_N; i++)
        assert_false(heap_contains(&items[i].node));
    heap_deinit(&heap);
}

static void full_heap_without_memory_keeps_what_it_has(void **state)
{
    (void)state;
    struct item items[40] = {0};
    struct heap heap = {0};
    for (size_t i = 0; i < 40; i++) {
        core_alloc_fail_at(1);
        int r = heap_set(&heap, &items[i].node, 40 - i);
        core_alloc_fail_at(0);
        if (r != 0) {
            assert_int_equal(r, KITH_E_MEMORY);
            assert_false(heap_contains(&items[i].node));
            assert_int_equal(heap.n, i);
            assert_int_equal(heap_set(&heap, &items[i].node, 40 - i), 0);
        }
        /* Moving one that is in needs no memory. */
        core_alloc_fail_at(1);
        assert_int_equal(heap_set(&heap, &items[0].node, 100), 0);
        core_alloc_fail_at(0);
        assert_ptr_equal(heap_first(&heap), &items[i].node);
    }
    heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_search_for_the_least),
        cmocka_unit_test(full_heap_without_memory_keeps_what_it_has),
    };
    return cmocka_run_group_tests_name("core_heap", tests, NULL, NULL);
}
