/*
 * The wheel against a plain list of deadlines under random operations, and its promises one by one.
 */
#include "core/wheel.h"

#include "core/rng.h"
#include "lib/test.h"

#define TIMERS_N 300
#define NOT_SET  UINT64_MAX

static struct wheel wheel;

struct model {
    struct wheel_timer timers[TIMERS_N];
    uint64_t deadlines[TIMERS_N]; /* NOT_SET if it is not */
    bool set_in_past[TIMERS_N];
    uint64_t now_ms;
    size_t n;
};

static size_t expired_n(struct list *expired)
{
    size_t n = 0;
    list_for_each (it, expired) {
        n++;
    }
    return n;
}

static void model_set(struct model *m, size_t i, uint64_t deadline)
{
    wheel_set(&wheel, &m->timers[i], deadline);
    m->n += m->deadlines[i] == NOT_SET;
    m->deadlines[i] = deadline;
    m->set_in_past[i] = deadline <= m->now_ms;
}

static void model_cancel(struct model *m, size_t i)
{
    wheel_cancel(&wheel, &m->timers[i]);
    m->n -= m->deadlines[i] != NOT_SET;
    m->deadlines[i] = NOT_SET;
}

/* Advances both; some of what expired is set again or cancelled while the list is walked. */
static void model_advance(struct model *m, uint64_t now_ms, struct rng *rng)
{
    struct list expired;
    list_init(&expired);
    uint64_t promised = wheel_deadline_ms(&wheel);
    wheel_advance(&wheel, now_ms, &expired);
    bool any = !list_empty(&expired);
    /* Nothing expires before the time that the wheel named. */
    assert_true(!any || promised <= now_ms);
    m->now_ms = now_ms;
    struct list *it;
    while ((it = list_first(&expired)) != NULL) {
        struct wheel_timer *timer = container_of(it, struct wheel_timer, link);
        size_t i = (size_t)(timer - m->timers);
        assert_true(m->deadlines[i] != NOT_SET && m->deadlines[i] <= now_ms);
        assert_int_equal(timer->deadline_ms, m->deadlines[i]);
        assert_false(wheel_timer_set(timer));
        m->deadlines[i] = NOT_SET;
        m->n--;
        if (rng_below(rng, 4) == 0)
            model_set(m, i, now_ms + rng_below(rng, 100));
        else if (rng_below(rng, 4) == 0)
            wheel_cancel(&wheel, timer);
        else
            list_remove(it);
        if (!list_empty(&expired) && rng_below(rng, 8) == 0) {
            /* One that waits in the list is set again by the one before it. */
            struct wheel_timer *other =
                container_of(list_first(&expired), struct wheel_timer, link);
            size_t k = (size_t)(other - m->timers);
            m->deadlines[k] = NOT_SET;
            m->n--;
            model_set(m, k, now_ms + 10);
        }
    }
    for (size_t i = 0; i < TIMERS_N; i++) {
        if (m->deadlines[i] == NOT_SET || m->deadlines[i] + WHEEL_TICK_MS > now_ms)
            continue;
        /* Only one set just now, while the list was walked, may still be late. */
        fail_msg("timer %zu with deadline %llu has not fired at %llu", i,
                 (unsigned long long)m->deadlines[i], (unsigned long long)now_ms);
    }
}

static void check_deadline(const struct model *m)
{
    uint64_t least = NOT_SET;
    for (size_t i = 0; i < TIMERS_N; i++)
        if (m->deadlines[i] < least)
            least = m->deadlines[i];
    uint64_t promised = wheel_deadline_ms(&wheel);
    assert_int_equal(wheel.n, m->n);
    if (least == NOT_SET) {
        assert_true(promised == UINT64_MAX);
        return;
    }
    /* Early is fine (an outer block begins), later than a tick behind the first is not. */
    uint64_t latest = least < m->now_ms ? m->now_ms : least;
    assert_true(promised <= latest + WHEEL_TICK_MS - 1);
}

static uint64_t random_distance(struct rng *rng)
{
    static const uint64_t reach[] = {8,       300,      4096,        5000,       1000000,
                                     4194304, 20000000, 4294967296u, 6000000000u};
    return rng_below(rng, reach[rng_below(rng, sizeof(reach) / sizeof(reach[0]))]);
}

static void run(struct rng *rng, uint64_t start_ms, unsigned steps)
{
    static struct model model;
    model = (struct model){.now_ms = start_ms};
    for (size_t i = 0; i < TIMERS_N; i++)
        model.deadlines[i] = NOT_SET;
    wheel_init(&wheel, start_ms);
    for (unsigned step = 0; step < steps; step++) {
        size_t i = (size_t)rng_below(rng, TIMERS_N);
        switch (rng_below(rng, 8)) {
        case 0:
        case 1:
        case 2:
            model_set(&model, i, model.now_ms + random_distance(rng));
            break;
        case 3:
            model_set(&model, i, model.now_ms - rng_below(rng, model.now_ms < 50 ? 1 : 50));
            break;
        case 4:
            model_cancel(&model, i);
            break;
        case 5:
            model_advance(&model, model.now_ms + rng_below(rng, 9), rng);
            break;
        case 6: {
            /* To the time that the wheel names, as a loop does. */
            uint64_t next = wheel_deadline_ms(&wheel);
            if (next != UINT64_MAX)
                model_advance(&model, next < model.now_ms ? model.now_ms : next, rng);
            break;
        }
        default:
            model_advance(&model, model.now_ms + random_distance(rng) / 2, rng);
            break;
        }
        check_deadline(&model);
    }
}

static void agrees_with_a_list_of_deadlines(void **state)
{
    (void)state;
    struct rng rng = test_rng();
    run(&rng, 0, 20000);
    run(&rng, 3, 20000);
    run(&rng, 1700000000000u, 20000);
    /* A start right before the blocks of both outer rings begin. */
    run(&rng, (uint64_t)WHEEL_SLOTS * WHEEL_SLOTS * WHEEL_TICK_MS - 5, 20000);
}

static void fires_within_a_tick_and_never_early(void **state)
{
    (void)state;
    for (uint64_t distance = 0; distance < 3 * WHEEL_SLOTS * WHEEL_TICK_MS; distance += 37) {
        struct wheel_timer timer = {0};
        struct list expired;
        list_init(&expired);
        wheel_init(&wheel, 1001);
        wheel_set(&wheel, &timer, 1001 + distance);
        uint64_t fired_ms = 0;
        for (uint64_t now = 1001; fired_ms == 0; now++) {
            wheel_advance(&wheel, now, &expired);
            if (expired_n(&expired) == 1)
                fired_ms = now;
            assert_true(now <= 1001 + distance + WHEEL_TICK_MS);
        }
        assert_true(fired_ms >= 1001 + distance);
        list_remove(&timer.link);
    }
}

static void past_deadline_fires_at_the_next_advance(void **state)
{
    (void)state;
    struct wheel_timer timer = {0};
    struct list expired;
    list_init(&expired);
    wheel_init(&wheel, 5002);
    wheel_set(&wheel, &timer, 5002);
    assert_true(wheel_deadline_ms(&wheel) <= 5002);
    wheel_advance(&wheel, 5002, &expired);
    assert_int_equal(expired_n(&expired), 1);
    assert_int_equal(wheel.n, 0);
}

static void cancel_is_fine_for_timers_that_are_not_set(void **state)
{
    (void)state;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 0);
    wheel_cancel(&wheel, &timer);
    wheel_set(&wheel, &timer, 100);
    wheel_cancel(&wheel, &timer);
    wheel_cancel(&wheel, &timer);
    assert_int_equal(wheel.n, 0);
    assert_true(wheel_deadline_ms(&wheel) == UINT64_MAX);
}

static void farthest_deadlines_wait_and_do_not_disturb(void **state)
{
    (void)state;
    struct wheel_timer never = {0};
    struct wheel_timer far = {0};
    struct list expired;
    list_init(&expired);
    wheel_init(&wheel, 0);
    uint64_t year_ms = 365ull * 86400 * 1000;
    wheel_set(&wheel, &never, UINT64_MAX);
    wheel_set(&wheel, &far, year_ms);
    for (uint64_t now = 0; now < year_ms; now += 86400000)
        wheel_advance(&wheel, now, &expired);
    assert_int_equal(expired_n(&expired), 0);
    wheel_advance(&wheel, year_ms + WHEEL_TICK_MS, &expired);
    assert_ptr_equal(list_first(&expired), &far.link);
    assert_int_equal(expired_n(&expired), 1);
    assert_true(wheel_timer_set(&never));
    list_remove(&far.link);
    wheel_cancel(&wheel, &never);
}

static void time_that_goes_back_does_nothing(void **state)
{
    (void)state;
    struct wheel_timer timer = {0};
    struct list expired;
    list_init(&expired);
    wheel_init(&wheel, 10000);
    wheel_set(&wheel, &timer, 10100);
    wheel_advance(&wheel, 10050, &expired);
    wheel_advance(&wheel, 10, &expired);
    assert_true(list_empty(&expired));
    wheel_advance(&wheel, 10104, &expired);
    assert_int_equal(expired_n(&expired), 1);
}

static void timers_leave_in_the_order_of_their_ticks(void **state)
{
    (void)state;
    static struct wheel_timer timers[2000];
    struct list expired;
    list_init(&expired);
    struct rng rng = test_rng();
    wheel_init(&wheel, 77);
    for (size_t i = 0; i < 2000; i++) {
        timers[i] = (struct wheel_timer){0};
        wheel_set(&wheel, &timers[i], 78 + rng_below(&rng, 60000));
    }
    wheel_advance(&wheel, 70000, &expired);
    assert_int_equal(expired_n(&expired), 2000);
    uint64_t before = 0;
    list_for_each (it, &expired) {
        uint64_t tick = (container_of(it, struct wheel_timer, link)->deadline_ms + 3) / 4;
        assert_true(tick >= before);
        before = tick;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list_of_deadlines),
        cmocka_unit_test(fires_within_a_tick_and_never_early),
        cmocka_unit_test(past_deadline_fires_at_the_next_advance),
        cmocka_unit_test(cancel_is_fine_for_timers_that_are_not_set),
        cmocka_unit_test(farthest_deadlines_wait_and_do_not_disturb),
        cmocka_unit_test(time_that_goes_back_does_nothing),
        cmocka_unit_test(timers_leave_in_the_order_of_their_ticks),
    };
    return cmocka_run_group_tests_name("core_wheel", tests, NULL, NULL);
}
