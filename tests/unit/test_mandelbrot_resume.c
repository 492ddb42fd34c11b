/* A tile whose node is lost in the middle is finished elsewhere: no row that was acknowledged is
 * drawn twice, and there are no holes. */
#include <pthread.h>

#include "lib/node_lab.h"

#include "mandelbrot/module.h"
#include "mandelbrot/tile_state.h"

#define ROWS 64
#define SIDE 128

/* Who drew what, from row 0 of the tile. */
static struct {
    pthread_mutex_t lock;
    struct kith_node *first;
    uint32_t acked;           /* rows of the first node that another one has, as it knew last */
    unsigned first_n[ROWS];   /* how often each row was begun there */
    unsigned second_n[ROWS];  /* and on the other */
    _Atomic unsigned acked_n; /* times that acked grew */

    _Atomic unsigned released;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
on_rows(struct kith_node *node, uint32_t y, uint32_t rows_n, uint32_t acked_y, void *user)
{
    bool hold = false;

    (void)user;
    (void)pthread_mutex_lock(&seen.lock);
    if (seen.first == NULL)
        seen.first = node;
    for (uint32_t i = 0; i < rows_n; i++)
        (seen.first == node ? seen.first_n : seen.second_n)[y + i]++;
    if (seen.first == node && acked_y > seen.acked) {
        seen.acked = acked_y;
        atomic_fetch_add(&seen.acked_n, 1);
        hold = true;
    }
    (void)pthread_mutex_unlock(&seen.lock);
    /* Acknowledged rows are there: not a row more, so that the node is lost before the end. */
    for (int i = 0; hold && i < LAB_WAIT_MS / 2 && atomic_load(&seen.released) == 0; i++)
        lab_nap();
}

struct drawn {
    _Atomic unsigned done_n;
    bool ok;
    unsigned lost_n, resumed_n;
    uint32_t resumed_rows;
    uint16_t *shades;
};

static void
on_result(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct drawn *drawn = user;
    uint32_t draw_us;

    (void)map;
    (void)index;
    drawn->ok =
        result->outcome == KITH_OUTCOME_OK &&
        mandel_reply_decode(result->data, result->len, SIDE, ROWS, drawn->shades, SIDE, &draw_us);
}

static void on_lost(struct kith_map *map,
                    uint64_t index,
                    const struct kith_node_id *id,
                    const char *name,
                    void *user)
{
    struct drawn *drawn = user;

    (void)map;
    (void)index;
    (void)id;
    (void)name;
    drawn->lost_n++;
    atomic_fetch_add(&seen.released, 1);
}

static enum kith_resume
on_resume(struct kith_map *map, uint64_t index, const void *state, size_t len, void *user)
{
    struct drawn *drawn = user;

    (void)map;
    (void)index;
    drawn->resumed_n++;
    drawn->resumed_rows = mandel_state_rows(state, len);
    return KITH_RESUME_STATE;
}

static void on_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    struct drawn *drawn = user;

    (void)map;
    (void)progress;
    atomic_fetch_add(&drawn->done_n, 1);
}

static void acknowledged_rows_are_not_drawn_twice(void **state)
{
    /* Interior without shortcuts: a row takes milliseconds on any machine. */
    const struct mandel_view view = {.re = -0.1,
                                     .im = 0,
                                     .span = 0.4,
                                     .width = SIDE,
                                     .height = ROWS,
                                     .iterations = 60000,
                                     .shortcuts = false};
    const struct mandel_rect rect = {0, 0, SIDE, ROWS};
    uint8_t argument[MANDEL_ARGUMENT_BYTES];
    const struct kith_bytes item = {.data = argument, .len = sizeof(argument)};
    uint16_t *plain = calloc(SIDE * ROWS, sizeof(*plain));
    struct drawn drawn = {.shades = calloc(SIDE * ROWS, sizeof(uint16_t))};
    struct kith_map_options options = {.on_result = on_result,
                                       .on_lost = on_lost,
                                       .on_resume = on_resume,
                                       .on_done = on_done,
                                       .user = &drawn};
    struct kith_node *a = lab_start("a", NULL), *b = lab_start("b", a), *c = lab_start("c", a);

    (void)state;
    assert_non_null(plain);
    assert_non_null(drawn.shades);
    mandel_watch_rows(on_rows, NULL);
    assert_int_equal(mandel_export(b), 0);
    assert_int_equal(mandel_export(c), 0);
    lab_wait_function(a, MANDEL_FUNCTION, 2);
    mandel_argument_pack(&view, &rect, argument);
    assert_int_equal(kith_map_start(a, MANDEL_FUNCTION, &item, 1, &options, NULL), 0);
    /* The first node has rows that another one acknowledged: now it loses the function. */
    assert_true(lab_wait_count(&seen.acked_n, 1));
    struct kith_node *first = seen.first;
    assert_true(first == b || first == c);
    assert_int_equal(kith_unexport(first, MANDEL_FUNCTION), 0);
    assert_true(lab_wait_count(&drawn.done_n, 1));

    assert_true(drawn.ok);
    assert_int_equal(drawn.lost_n, 1);
    assert_int_equal(drawn.resumed_n, 1);
    assert_true(seen.acked > 0);
    assert_true(seen.acked < ROWS);
    assert_true(drawn.resumed_rows >= seen.acked);
    uint32_t from = 0;
    while (from < ROWS && seen.second_n[from] == 0)
        from++;
    /* Not again what was acknowledged, and all of the rest: no holes. */
    assert_true(from >= drawn.resumed_rows);
    for (uint32_t y = 0; y < ROWS; y++) {
        assert_true(seen.first_n[y] <= 1);
        assert_true(y >= from || seen.first_n[y] == 1);
        assert_int_equal(seen.second_n[y], y < from ? 0 : 1);
    }
    assert_int_equal(mandel_draw(mandel_kernel_best(), &view, &rect, NULL, NULL, plain), 0);
    assert_memory_equal(drawn.shades, plain, SIDE * ROWS * sizeof(*plain));
    mandel_watch_rows(NULL, NULL);
    kith_node_stop(c);
    kith_node_stop(b);
    kith_node_stop(a);
    free(drawn.shades);
    free(plain);
}

static void state_holds_whole_rows_and_is_checked(void **state)
{
    uint16_t shades[8 * 5], back[8 * 5];
    uint8_t bytes[MANDEL_STATE_BYTES_MAX(8 * 5) + 1];

    (void)state;
    for (int i = 0; i < 8 * 5; i++)
        shades[i] = (uint16_t)(i * i * 31);
    for (uint32_t rows = 1; rows <= 5; rows++) {
        size_t len = mandel_state_encode(shades, 8, rows, bytes);
        assert_true(len <= MANDEL_STATE_BYTES_MAX(8 * rows));
        assert_int_equal(mandel_state_rows(bytes, len), rows);
        memset(back, 0, sizeof(back));
        assert_int_equal(mandel_state_decode(bytes, len, 8, 5, back), rows);
        assert_memory_equal(back, shades, 8 * rows * sizeof(*back));
        assert_int_equal(mandel_state_decode(bytes, len + 1, 8, 5, back), 0);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(mandel_state_decode(bytes, cut, 8, 5, back), 0);
        assert_int_equal(mandel_state_decode(bytes, len, 8, rows - 1, back), 0);
    }
    bytes[0] = 2; /* of a later version */
    assert_int_equal(mandel_state_rows(bytes, sizeof(bytes)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_holds_whole_rows_and_is_checked),
        cmocka_unit_test(acknowledged_rows_are_not_drawn_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
