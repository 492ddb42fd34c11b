/* src/http/delta.c: what changed between two states, as a client keeps them. */
#include "http/delta.h"

#include "core/rng.h"
#include "lib/test.h"

static const struct delta_shape shape = {.array = "items", .key = "id"};

static json_t *doc(const char *text)
{
    json_t *made = json_loads(text, 0, NULL);
    assert_non_null(made);
    return made;
}

static void expect(json_t *delta, const char *text)
{
    json_t *want = text != NULL ? doc(text) : NULL;
    char *shown = delta != NULL ? json_dumps(delta, JSON_COMPACT) : NULL;

    if (want == NULL ? delta != NULL : delta == NULL || !json_equal(delta, want))
        fail_msg("%s instead of %s", shown != NULL ? shown : "nothing",
                 text != NULL ? text : "nothing");
    free(shown);
    json_decref(delta);
    json_decref(want);
}

static void step(struct delta_state *state, const char *text, uint64_t now_ms, const char *want)
{
    json_t *fresh = doc(text);
    expect(delta_step(state, &shape, fresh, now_ms), want);
    json_decref(fresh);
}

static void begin(struct delta_state *state, const char *text)
{
    json_t *fresh = doc(text);
    delta_reset(state, &shape, fresh, 0);
    json_decref(fresh);
}

static void only_what_changed_is_said(void **unused)
{
    struct delta_state state = {0};

    (void)unused;
    begin(&state, "{\"n\":1,\"items\":[{\"id\":\"a\",\"x\":1,\"y\":2},{\"id\":\"b\",\"x\":1}]}");
    step(&state, "{\"n\":1,\"items\":[{\"id\":\"a\",\"x\":1,\"y\":2},{\"id\":\"b\",\"x\":1}]}", 500,
         NULL);
    step(&state, "{\"n\":2,\"items\":[{\"id\":\"a\",\"x\":1,\"y\":3},{\"id\":\"b\",\"x\":1}]}",
         1000, "{\"merge\":{\"n\":2},\"set\":[{\"id\":\"a\",\"y\":3}]}");
    step(&state, "{\"n\":2,\"items\":[{\"id\":\"a\",\"x\":1},{\"id\":\"c\",\"x\":1}]}", 1500,
         "{\"set\":[{\"id\":\"a\",\"y\":null},{\"id\":\"c\",\"x\":1}],\"removed\":[\"b\"]}");
    step(&state, "{\"n\":2,\"items\":[]}", 2000, "{\"removed\":[\"a\",\"c\"]}");
    delta_deinit(&state);
    delta_deinit(&state);
}

static void ages_that_run_are_not_said(void **unused)
{
    struct delta_state state = {0};

    (void)unused;
    begin(&state, "{\"uptime_ms\":100,\"items\":[{\"id\":\"a\",\"facts_age_ms\":0,\"x\":1}]}");
    step(&state, "{\"uptime_ms\":5100,\"items\":[{\"id\":\"a\",\"facts_age_ms\":5000,\"x\":1}]}",
         5000, NULL);
    /* It began anew: that is no running age. */
    step(&state, "{\"uptime_ms\":9100,\"items\":[{\"id\":\"a\",\"facts_age_ms\":10,\"x\":1}]}",
         9000, "{\"set\":[{\"id\":\"a\",\"facts_age_ms\":10}]}");
    /* With another change it is said as well. */
    step(&state, "{\"uptime_ms\":10100,\"items\":[{\"id\":\"a\",\"facts_age_ms\":1010,\"x\":2}]}",
         10000, "{\"set\":[{\"id\":\"a\",\"facts_age_ms\":1010,\"x\":2}]}");
    step(&state, "{\"uptime_ms\":50,\"items\":[{\"id\":\"a\",\"facts_age_ms\":2010,\"x\":2}]}",
         11000, "{\"merge\":{\"uptime_ms\":50}}");
    delta_deinit(&state);
}

static void ages_inside_are_ages_too(void **unused)
{
    struct delta_state state = {0};

    (void)unused;
    begin(&state,
          "{\"items\":[{\"id\":\"l\",\"parties\":[{\"age_ms\":0,\"lease_left_ms\":9000}]}]}");
    step(&state,
         "{\"items\":[{\"id\":\"l\",\"parties\":[{\"age_ms\":3000,\"lease_left_ms\":6000}]}]}",
         3000, NULL);
    step(&state,
         "{\"items\":[{\"id\":\"l\",\"parties\":[{\"age_ms\":4000,\"lease_left_ms\":9000}]}]}",
         4000, "{\"set\":[{\"id\":\"l\",\"parties\":[{\"age_ms\":4000,\"lease_left_ms\":9000}]}]}");
    delta_deinit(&state);
}

static void numbers_are_keys_and_kept_arrays_forget_in_silence(void **unused)
{
    static const struct delta_shape events = {.array = "items", .key = "seq", .keeps = true};
    struct delta_state state = {0};
    json_t *first = doc("{\"items\":[{\"seq\":1},{\"seq\":2}]}");
    json_t *then = doc("{\"items\":[{\"seq\":2},{\"seq\":3}]}");

    (void)unused;
    delta_reset(&state, &events, first, 0);
    expect(delta_step(&state, &events, then, 1), "{\"set\":[{\"seq\":3}]}");
    json_decref(first);
    json_decref(then);
    delta_deinit(&state);
}

static void order_is_said_where_it_is_not_that_of_keys(void **unused)
{
    static const struct delta_shape nodes = {.array = "items", .key = "id", .ordered = true};
    struct delta_state state = {0};
    json_t *first = doc("{\"items\":[{\"id\":\"z\"}]}");
    json_t *then = doc("{\"items\":[{\"id\":\"z\"},{\"id\":\"a\"}]}");

    (void)unused;
    delta_reset(&state, &nodes, first, 0);
    expect(delta_step(&state, &nodes, then, 1),
           "{\"set\":[{\"id\":\"a\"}],\"order\":[\"z\",\"a\"]}");
    json_decref(first);
    json_decref(then);
    delta_deinit(&state);
}

/* A client as the contract describes it. */
static void apply(json_t *client, json_t *delta)
{
    json_t *items = json_object_get(client, "items"), *change, *value;
    size_t i, j;

    json_object_update(client, json_object_get(delta, "merge"));
    json_array_foreach(json_object_get(delta, "set"), i, change)
    {
        json_t *known = NULL, *item;
        json_array_foreach(items, j, item)
        {
            if (json_equal(json_object_get(item, "id"), json_object_get(change, "id")))
                known = item;
        }
        if (known != NULL)
            json_object_update(known, change);
        else
            json_array_append_new(items, json_deep_copy(change));
    }
    json_array_foreach(json_object_get(delta, "removed"), i, value)
    {
        for (j = json_array_size(items); j-- > 0;) {
            if (json_equal(json_object_get(json_array_get(items, j), "id"), value))
                json_array_remove(items, j);
        }
    }
}

static void a_client_that_merges_has_what_the_node_has(void **unused)
{
    struct rng rng;
    struct delta_state state = {0};
    json_t *client = NULL;

    (void)unused;
    rng_init(&rng, test_seed());
    for (unsigned round = 0; round < 2000; round++) {
        json_t *fresh = json_pack("{s:i,s:[]}", "n", (int)rng_below(&rng, 3), "items");
        for (int id = 0; id < 8; id++) {
            if (rng_below(&rng, 3) != 0)
                json_array_append_new(json_object_get(fresh, "items"),
                                      json_pack("{s:i,s:i,s:[i]}", "id", id, "x",
                                                (int)rng_below(&rng, 3), "y",
                                                (int)rng_below(&rng, 2)));
        }
        if (client == NULL) {
            delta_reset(&state, &shape, fresh, round);
            client = json_deep_copy(fresh);
        } else {
            json_t *delta = delta_step(&state, &shape, fresh, round);
            if (delta != NULL)
                apply(client, delta);
            json_decref(delta);
        }
        assert_true(json_equal(json_object_get(client, "n"), json_object_get(fresh, "n")));
        assert_int_equal(json_array_size(json_object_get(client, "items")),
                         json_array_size(json_object_get(fresh, "items")));
        json_t *item, *other;
        size_t i, j;
        json_array_foreach(json_object_get(fresh, "items"), i, item)
        {
            unsigned same = 0;
            json_array_foreach(json_object_get(client, "items"), j, other)
            {
                same += json_equal(item, other) != 0;
            }
            assert_int_equal(same, 1);
        }
        json_decref(fresh);
    }
    json_decref(client);
    delta_deinit(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_changed_is_said),
        cmocka_unit_test(ages_that_run_are_not_said),
        cmocka_unit_test(ages_inside_are_ages_too),
        cmocka_unit_test(numbers_are_keys_and_kept_arrays_forget_in_silence),
        cmocka_unit_test(order_is_said_where_it_is_not_that_of_keys),
        cmocka_unit_test(a_client_that_merges_has_what_the_node_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
