/* Curves of many nodes made one. */
#include "control/totals.h"

#include <string.h>

#include "lib/test.h"

#define STEP_MS 2000
#define NOW_MS  1700000001500ull /* within a step */

static struct totals totals;

static void begin(size_t steps_n)
{
    assert_int_equal(totals_init(&totals, STEP_MS, steps_n, NOW_MS), 0);
}

/* A node's history: @values at times that lie so many steps before now; cpu is value, the others
 * are 10, 100 ... times that. */
static json_t *history_of(int cpus, size_t n, const int *steps_ago, const int *values, int off_ms)
{
    json_t *doc = json_pack("{s:i,s:i}", "cpus", cpus, "memory_bytes", 1000 * cpus);
    static const char *const keys[] = {"cpu_percent", "memory_used_bytes", "load",
                                       "net_in_bytes_per_s", "net_out_bytes_per_s"};
    json_t *times = json_array();
    int scale = 1;

    for (size_t i = 0; i < n; i++)
        json_array_append_new(times, json_integer((json_int_t)(NOW_MS / STEP_MS * STEP_MS) -
                                                  (json_int_t)steps_ago[i] * STEP_MS + off_ms));
    json_object_set_new(doc, "time_ms", times);
    for (size_t k = 0; k < 5; k++, scale *= 10) {
        json_t *column = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(column, json_integer((json_int_t)values[i] * scale));
        json_object_set_new(doc, keys[k], column);
    }
    return doc;
}

static void add(int cpus, size_t n, const int *steps_ago, const int *values, int off_ms)
{
    json_t *doc = history_of(cpus, n, steps_ago, values, off_ms);
    assert_true(totals_add(&totals, doc));
    json_decref(doc);
}

static json_t *put(void)
{
    struct buf buf = {0};
    struct json json = json_begin(&buf);

    json_object_begin(&json);
    totals_put(&totals, &json);
    json_object_end(&json);
    assert_int_equal(json_end(&json), 0);
    json_t *doc = json_loadb((const char *)buf.data, buf.len, 0, NULL);
    assert_non_null(doc);
    buf_deinit(&buf);
    totals_deinit(&totals);
    return doc;
}

static void assert_column(json_t *doc, const char *key, size_t n, const double *wanted)
{
    json_t *column = json_object_get(doc, key);

    assert_int_equal(json_array_size(column), n);
    for (size_t i = 0; i < n; i++) {
        double is = json_number_value(json_array_get(column, i));
        assert_true(is > wanted[i] - 0.01 && is < wanted[i] + 0.01);
    }
}

static void nodes_are_summed_and_the_cpu_is_weighed(void **state)
{
    (void)state;
    begin(10);
    add(1, 3, (int[]){2, 1, 0}, (int[]){10, 20, 30}, 5);
    add(3, 3, (int[]){2, 1, 0}, (int[]){50, 60, 70}, 1300); /* another phase */
    json_t *doc = put();
    assert_column(doc, "cpu_percent", 3, (double[]){40, 50, 60});
    assert_column(doc, "memory_used_bytes", 3, (double[]){600, 800, 1000});
    assert_column(doc, "net_out_bytes_per_s", 3, (double[]){600000, 800000, 1000000});
    assert_column(doc, "nodes_counted", 3, (double[]){2, 2, 2});
    assert_int_equal(json_integer_value(json_object_get(doc, "cpus")), 4);
    assert_int_equal(json_integer_value(json_object_get(doc, "memory_bytes")), 4000);
    assert_int_equal(json_integer_value(json_object_get(doc, "nodes")), 2);
    json_decref(doc);
}

static void sample_beside_its_step_makes_no_dip(void **state)
{
    (void)state;
    begin(10);
    /* The one of step 2 came late: two in step 1. */
    add(1, 4, (int[]){3, 1, 1, 0}, (int[]){10, 10, 10, 10}, 0);
    add(1, 4, (int[]){3, 2, 1, 0}, (int[]){10, 10, 10, 10}, 0);
    json_t *doc = put();
    assert_column(doc, "memory_used_bytes", 4, (double[]){200, 200, 200, 200});
    json_decref(doc);
}

static void node_that_was_away_is_not_counted(void **state)
{
    (void)state;
    begin(10);
    add(2, 2, (int[]){5, 0}, (int[]){10, 30}, 0);
    add(2, 6, (int[]){5, 4, 3, 2, 1, 0}, (int[]){20, 20, 20, 20, 20, 20}, 0);
    json_t *doc = put();
    /* For one step what it said last holds. */
    assert_column(doc, "nodes_counted", 6, (double[]){2, 2, 1, 1, 1, 2});
    assert_column(doc, "cpu_percent", 6, (double[]){15, 15, 20, 20, 20, 25});
    json_decref(doc);
}

static void last_step_waits_until_all_are_in_it(void **state)
{
    (void)state;
    begin(10);
    add(1, 3, (int[]){3, 2, 1}, (int[]){10, 10, 10}, 0);
    add(1, 3, (int[]){2, 1, 0}, (int[]){10, 10, 10}, 0);
    /* Step 0 of the first is that of step 1 still. */
    json_t *doc = put();
    assert_column(doc, "nodes_counted", 4, (double[]){1, 2, 2, 2});
    json_decref(doc);
    begin(10);
    add(1, 3, (int[]){4, 3, 2}, (int[]){10, 10, 10}, 0);
    add(1, 3, (int[]){2, 1, 0}, (int[]){10, 10, 10}, 0);
    doc = put();
    assert_column(doc, "nodes_counted", 4, (double[]){1, 1, 2, 2});
    json_decref(doc);
}

static void what_is_no_history_is_not_added(void **state)
{
    (void)state;
    begin(4);
    json_t *doc = history_of(1, 2, (int[]){1, 0}, (int[]){1, 1}, 0);
    json_array_remove(json_object_get(doc, "load"), 0);
    assert_false(totals_add(&totals, doc));
    json_decref(doc);
    doc = history_of(0, 2, (int[]){1, 0}, (int[]){1, 1}, 0);
    assert_false(totals_add(&totals, doc));
    json_decref(doc);
    assert_false(totals_add(&totals, NULL));
    /* Older and newer than the steps: counted as a node, in none of them. */
    add(1, 2, (int[]){100, -5}, (int[]){1, 1}, 0);
    doc = put();
    assert_column(doc, "nodes_counted", 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(doc, "nodes")), 1);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_summed_and_the_cpu_is_weighed),
        cmocka_unit_test(sample_beside_its_step_makes_no_dip),
        cmocka_unit_test(node_that_was_away_is_not_counted),
        cmocka_unit_test(last_step_waits_until_all_are_in_it),
        cmocka_unit_test(what_is_no_history_is_not_added),
    };
    return cmocka_run_group_tests_name("control_totals", tests, NULL, NULL);
}
