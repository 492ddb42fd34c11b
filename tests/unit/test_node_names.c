/*
 * kith/name.h: names of nodes and functions, with three agents in this process. What becomes of
 * them when a node is lost is in tests/integration/test_names.py.
 */
#include "lib/node_lab.h"

#define AGENTS 3

static struct kith_node *agents[AGENTS];

static int start(void **state)
{
    (void)state;
    lab_agents_start(agents, AGENTS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    lab_agents_stop(agents, AGENTS);
    return 0;
}

static bool is_of(const struct kith_name *name, unsigned agent)
{
    struct kith_node_id id = kith_node_self(agents[agent]);
    return kith_node_id_equal(&name->node, &id);
}

static void name_of_a_node_is_the_same_for_all_until_it_is_removed(void **state)
{
    struct kith_name name;

    (void)state;
    assert_int_equal(kith_name_register(agents[1], "printer", NULL), 0);
    assert_int_equal(kith_name_register(agents[1], "printer", NULL), 0); /* again: fine */
    for (unsigned i = 0; i < AGENTS; i++) {
        assert_int_equal(kith_name_resolve(agents[i], "printer", &name), 0);
        assert_int_equal(name.kind, KITH_NAME_NODE);
        assert_true(is_of(&name, 1));
        assert_true(name.boot_no >= 1);
        assert_string_equal(name.node_name, "agent-2");
        assert_string_equal(name.function, "");
    }
    assert_int_equal(kith_name_remove(agents[2], "printer"), 0); /* whoever has it */
    assert_int_equal(kith_name_resolve(agents[0], "printer", &name), KITH_E_NOT_FOUND);
    assert_int_equal(kith_name_remove(agents[2], "printer"), KITH_E_NOT_FOUND);
}

static void name_that_another_has_is_refused_with_who(void **state)
{
    struct kith_name name;

    (void)state;
    assert_int_equal(kith_name_register(agents[0], "leader", NULL), 0);
    assert_int_equal(kith_name_register(agents[1], "leader", NULL), KITH_E_EXISTS);
    assert_non_null(strstr(kith_errmsg(), "agent-1"));
    assert_non_null(strstr(kith_errmsg(), "leader"));
    assert_int_equal(kith_name_resolve(agents[2], "leader", &name), 0);
    assert_true(is_of(&name, 0));
    assert_int_equal(kith_name_remove(agents[0], "leader"), 0);
    assert_int_equal(kith_name_register(agents[1], "leader", NULL), 0);
    assert_int_equal(kith_name_remove(agents[1], "leader"), 0);
}

static void name_of_a_function_needs_it_and_goes_with_it(void **state)
{
    struct kith_name name;

    (void)state;
    assert_int_equal(kith_name_register(agents[0], "r", "render"), KITH_E_NO_FUNCTION);
    lab_offer(agents[0], "render", lab_echo, 0, NULL);
    assert_int_equal(kith_name_register(agents[0], "r", "render"), 0);
    assert_int_equal(kith_name_register(agents[1], "r", NULL), KITH_E_EXISTS);
    assert_int_equal(kith_name_resolve(agents[0], "r", &name), 0);
    assert_int_equal(name.kind, KITH_NAME_FUNCTION);
    assert_string_equal(name.function, "render");
    assert_true(is_of(&name, 0));
    assert_int_equal(kith_unexport(agents[0], "render"), 0);
    assert_int_equal(kith_name_resolve(agents[0], "r", &name), KITH_E_NOT_FOUND);
    assert_int_equal(kith_name_register(agents[0], "r", NULL), 0);
    assert_int_equal(kith_name_remove(agents[0], "r"), 0);
}

static void names_have_1_to_200_bytes_of_text(void **state)
{
    char text[KITH_NAME_OF_NODE_BYTES_MAX + 2];
    struct kith_name name;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[KITH_NAME_OF_NODE_BYTES_MAX] = '\0';
    assert_int_equal(kith_name_register(agents[0], text, NULL), 0);
    assert_int_equal(kith_name_resolve(agents[1], text, &name), 0);
    assert_int_equal(kith_name_remove(agents[1], text), 0);
    text[KITH_NAME_OF_NODE_BYTES_MAX] = 'x';
    text[KITH_NAME_OF_NODE_BYTES_MAX + 1] = '\0';
    static const char *const bad[] = {"", "a\nb", "\xff\xfe", "\x01name/x"};
    assert_int_equal(kith_name_register(agents[0], text, NULL), KITH_E_NAME);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(kith_name_register(agents[0], bad[i], NULL), KITH_E_NAME);
        assert_int_equal(kith_name_resolve(agents[0], bad[i], &name), KITH_E_NAME);
        assert_int_equal(kith_name_remove(agents[0], bad[i]), KITH_E_NAME);
    }
}

/* Variables of programs and names do not meet. */
static void names_are_no_variables_of_programs(void **state)
{
    struct kith_var_list *list = NULL;

    (void)state;
    assert_int_equal(kith_name_register(agents[0], "hidden", NULL), 0);
    assert_int_equal(kith_var_list(agents[0], "", &list), 0);
    for (size_t i = 0; i < list->vars_n; i++)
        assert_null(strstr(list->vars[i].name, "hidden"));
    kith_var_list_free(list);
    assert_int_equal(kith_var_delete(agents[0], "\x01name/hidden", NULL), KITH_E_NAME);
    assert_int_equal(kith_name_remove(agents[0], "hidden"), 0);
}

static int on_loop(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct kith_name name;

    (void)arg;
    (void)len;
    if (kith_name_register(user, "loop", NULL) != KITH_E_WOULD_DEADLOCK ||
        kith_name_resolve(user, "loop", &name) != KITH_E_WOULD_DEADLOCK ||
        kith_name_remove(user, "loop") != KITH_E_WOULD_DEADLOCK)
        return kith_fail(ctx, 1, "see the test");
    return kith_reply(ctx, "ok", 2);
}

static void loop_thread_does_not_wait_for_names(void **state)
{
    struct kith_call_options options = lab_soon();
    struct kith_reply *reply = NULL;

    (void)state;
    lab_offer(agents[2], "on-loop", on_loop, KITH_FN_INLINE, agents[2]);
    assert_int_equal(kith_call(agents[2], "on-loop", NULL, 0, &options, &reply), 0);
    kith_reply_free(reply);
    assert_int_equal(kith_unexport(agents[2], "on-loop"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_of_a_node_is_the_same_for_all_until_it_is_removed),
        cmocka_unit_test(name_that_another_has_is_refused_with_who),
        cmocka_unit_test(name_of_a_function_needs_it_and_goes_with_it),
        cmocka_unit_test(names_have_1_to_200_bytes_of_text),
        cmocka_unit_test(names_are_no_variables_of_programs),
        cmocka_unit_test(loop_thread_does_not_wait_for_names),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
