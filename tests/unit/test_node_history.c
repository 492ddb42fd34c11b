/* Rings of what a host did: means, bounds, gaps. */
#include "node/history.h"

#include "core/limits.h"
#include "lib/test.h"

static void add(struct history *history, uint64_t now_ms, uint16_t permille, double core)
{
    struct history_sample sample = {.unix_ms = 1000000 + now_ms,
                                    .memory_used_bytes = 4096,
                                    .load_milli = 500,
                                    .net_in = 10,
                                    .net_out = 20,
                                    .nodes_n = permille / 100,
                                    .cpu_permille = permille};
    node_history_add(history, now_ms, &sample, &core, 1);
}

static void a_step_becomes_the_mean_of_its_samples(void **state)
{
    struct history history;
    const uint8_t *cores;

    (void)state;
    assert_int_equal(node_history_init(&history, 1), 0);
    add(&history, 2000, 100, 10);
    add(&history, 3000, 300, 30);
    assert_int_equal(node_history_n(&history, HISTORY_10M), 0); /* the step is not over */
    add(&history, 4000, 900, 90);
    assert_int_equal(node_history_n(&history, HISTORY_10M), 1);
    const struct history_sample *sample = node_history_at(&history, HISTORY_10M, 0, &cores);
    assert_int_equal(sample->cpu_permille, 200);
    assert_int_equal(sample->unix_ms, 1003000);
    assert_int_equal(sample->memory_used_bytes, 4096);
    assert_int_equal(sample->net_out, 20);
    assert_int_equal(sample->nodes_n, 2);
    assert_int_equal(cores[0], 40); /* half percents */
    assert_int_equal(node_history_n(&history, HISTORY_3H), 0);
    node_history_deinit(&history);
    node_history_deinit(&history);
}

static void full_rings_keep_the_newest_in_order(void **state)
{
    struct history history;
    const uint8_t *cores;

    (void)state;
    assert_int_equal(node_history_init(&history, 1), 0);
    for (uint64_t s = 0; s < 2 * 24 * 3600; s++)
        add(&history, s * 1000, (uint16_t)(s / 2 % 1000), 0);
    for (enum history_span span = HISTORY_10M; span < HISTORY_SPANS; span++) {
        size_t n = node_history_n(&history, span);
        assert_int_equal(n, node_history_max(span));
        for (size_t i = 1; i < n; i++) {
            uint64_t before = node_history_at(&history, span, i - 1, &cores)->unix_ms;
            uint64_t at = node_history_at(&history, span, i, &cores)->unix_ms;
            assert_int_equal(at - before, history_step_ms(span));
        }
    }
    node_history_deinit(&history);
}

static void a_machine_that_slept_leaves_a_gap(void **state)
{
    struct history history;
    const uint8_t *cores;

    (void)state;
    assert_int_equal(node_history_init(&history, 1), 0);
    add(&history, 2000, 100, 0);
    add(&history, 90000, 700, 0);
    add(&history, 92000, 700, 0);
    assert_int_equal(node_history_n(&history, HISTORY_10M), 2);
    assert_int_equal(node_history_at(&history, HISTORY_10M, 0, &cores)->cpu_permille, 100);
    assert_int_equal(node_history_at(&history, HISTORY_10M, 1, &cores)->cpu_permille, 700);
    node_history_deinit(&history);
}

static void more_cores_than_are_kept_count_in_the_total_only(void **state)
{
    struct history history;
    double percent[HISTORY_CPUS_MAX + 8];
    struct history_sample sample = {.cpu_permille = 1000};
    const uint8_t *cores;

    (void)state;
    for (size_t i = 0; i < HISTORY_CPUS_MAX + 8; i++)
        percent[i] = 1000; /* beyond what there is, too */
    assert_int_equal(node_history_init(&history, HISTORY_CPUS_MAX + 8), 0);
    assert_int_equal(history.cores_n, HISTORY_CPUS_MAX);
    node_history_add(&history, 2000, &sample, percent, HISTORY_CPUS_MAX + 8);
    node_history_add(&history, 4000, &sample, percent, HISTORY_CPUS_MAX + 8);
    (void)node_history_at(&history, HISTORY_10M, 0, &cores);
    assert_int_equal(cores[HISTORY_CPUS_MAX - 1], 200);
    node_history_deinit(&history);
}

static void spans_have_names(void **state)
{
    (void)state;
    assert_int_equal(history_span_named("3h"), HISTORY_3H);
    assert_int_equal(history_span_named("4h"), HISTORY_SPANS);
    assert_int_equal(history_span_named(NULL), HISTORY_SPANS);
    assert_string_equal(history_span_text(HISTORY_24H), "24h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_becomes_the_mean_of_its_samples),
        cmocka_unit_test(full_rings_keep_the_newest_in_order),
        cmocka_unit_test(a_machine_that_slept_leaves_a_gap),
        cmocka_unit_test(more_cores_than_are_kept_count_in_the_total_only),
        cmocka_unit_test(spans_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
