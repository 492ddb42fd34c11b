/*
 * The window against a model that remembers every counter.
 */
#include "net/replay.h"

#include "net_testing.h"

#define COUNTERS_N 20000

struct model {
    bool taken[COUNTERS_N];
    uint64_t highest;
    bool any;
};

static bool model_take(struct model *model, uint64_t c)
{
    if (model->any && c + NET_REPLAY_WINDOW <= model->highest)
        return false;
    if (model->taken[c])
        return false;
    model->taken[c] = true;
    if (!model->any || c > model->highest)
        model->highest = c;
    model->any = true;
    return true;
}

static void agrees_with_a_model(void **state)
{
    static struct model model;
    struct rng rng = test_rng();

    (void)state;
    for (int run = 0; run < 40; run++) {
        struct replay replay = {0};
        uint64_t front = 0;

        memset(&model, 0, sizeof model);
        for (int i = 0; i < 20000; i++) {
            uint64_t spread =
                run % 2 == 0 ? 40 : 3000; /* mostly in order, or all over the window */
            uint64_t c;

            if (rng_below(&rng, 500) == 0)
                front += rng_below(&rng, 2500); /* a jump over part of, or more than, the window */
            c = front + rng_below(&rng, spread);
            c = c < 1200 ? c : c - rng_below(&rng, 1200);
            if (c >= COUNTERS_N)
                break;
            if (c > front)
                front = c;
            assert_int_equal(replay_take(&replay, c), model_take(&model, c));
        }
    }
}

static void edges_of_the_window(void **state)
{
    struct replay replay = {0};

    (void)state;
    assert_true(replay_take(&replay, 0));
    assert_false(replay_take(&replay, 0));
    assert_true(replay_take(&replay, NET_REPLAY_WINDOW)); /* pushes 0 out */
    assert_false(replay_take(&replay, 0));
    assert_true(replay_take(&replay, 1));                     /* just inside */
    assert_true(replay_take(&replay, NET_REPLAY_WINDOW + 1)); /* pushes 1 out */
    assert_false(replay_take(&replay, 1));
    assert_true(replay_take(&replay, 2));
    assert_false(replay_take(&replay, 2));
}

static void far_ends_of_the_numbers(void **state)
{
    struct replay replay = {0};

    (void)state;
    assert_true(replay_take(&replay, UINT64_MAX - 1));
    assert_false(replay_take(&replay, UINT64_MAX - 1));
    assert_true(replay_take(&replay, UINT64_MAX - 2));
    assert_false(replay_take(&replay, UINT64_MAX));
    assert_false(replay_take(&replay, UINT64_MAX));
    assert_false(replay_take(&replay, 5));
    assert_true(replay_take(&replay, UINT64_MAX - NET_REPLAY_WINDOW));
    assert_false(replay_take(&replay, UINT64_MAX - NET_REPLAY_WINDOW - 1));
}

static void below_the_floor_nothing_is_taken(void **state)
{
    struct replay replay = {0};

    (void)state;
    replay_floor(&replay, 5000);
    assert_false(replay_take(&replay, 0));
    assert_false(replay_take(&replay, 5000 - NET_REPLAY_WINDOW - 1));
    for (uint64_t c = 5000 - NET_REPLAY_WINDOW; c < 5000; c++)
        assert_false(replay_take(&replay, c));
    assert_true(replay_take(&replay, 5002));
    assert_true(replay_take(&replay, 5000)); /* late, but above */
    assert_true(replay_take(&replay, 5001));
    assert_false(replay_take(&replay, 5000));
    assert_false(replay_take(&replay, 4999));
    replay_floor(&replay, 0);
    assert_true(replay_take(&replay, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(edges_of_the_window),
        cmocka_unit_test(below_the_floor_nothing_is_taken),
        cmocka_unit_test(far_ends_of_the_numbers),
    };
    return run_net_tests("net_replay", tests);
}
