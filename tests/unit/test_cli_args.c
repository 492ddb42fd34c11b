/* Parsing of command lines. */
#include <string.h>

#include "cli/args.h"
#include "kith/error.h"
#include "lib/test.h"

#define PARSE(args, ...)                                                                           \
    args_parse((args), (const char *const[]){__VA_ARGS__},                                         \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void assert_says(const char *part)
{
    if (strstr(kith_errmsg(), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", kith_errmsg(), part);
}

static void options_and_arguments_may_be_mixed(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(
        PARSE(&args, "call", "up", "--timeout", "5s", "hello", "--node=dev-2", "--json"), 0);
    assert_string_equal(args.verb->name, "call");
    assert_int_equal(args.pos_n, 2);
    assert_string_equal(args.pos[0], "up");
    assert_string_equal(args.pos[1], "hello");
    assert_int_equal(args_duration_ms(&args, "timeout", 1), 5000);
    assert_string_equal(args_text(&args, "node"), "dev-2");
    assert_true(args_flag(&args, "json"));
    assert_false(args_flag(&args, "all"));
    assert_null(args_text(&args, "socket"));
    args_deinit(&args);
}

static void a_value_may_start_with_a_dash(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "call", "f", "--node", "-x", "-"), 0);
    assert_string_equal(args_text(&args, "node"), "-x");
    assert_string_equal(args.pos[1], "-");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "call", "f", "--node", "--"), 0);
    assert_string_equal(args_text(&args, "node"), "--");
    args_deinit(&args);
}

static void a_negative_number_is_an_argument(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "call", "f", "-5"), 0);
    assert_string_equal(args.pos[1], "-5");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "call", "f", "-.5,1"), 0);
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "call", "f", "-x"), KITH_E_PARSE);
    assert_says("no option -x");
    args_deinit(&args);
}

static void two_dashes_end_the_options(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "call", "--all", "--", "f", "--node"), 0);
    assert_int_equal(args.pos_n, 2);
    assert_string_equal(args.pos[1], "--node");
    assert_null(args_text(&args, "node"));
    args_deinit(&args);
}

static void a_command_keeps_its_own_options(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "fn", "serve", "up", "-P", "2", "--", "tr", "-d", "--", "x"), 0);
    assert_int_equal(args.pos_n, 5);
    assert_string_equal(args.pos[2], "-d");
    assert_string_equal(args.pos[3], "--");
    assert_int_equal(args_u64(&args, "parallel", 0), 2);
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "fn", "serve", "up", "grep", "--help"), 0);
    assert_false(args.help);
    assert_int_equal(args.pos_n, 3);
    args_deinit(&args);
}

static void letters_can_be_joined(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "nodes", "-ph"), 0);
    assert_true(args.help);
    assert_true(args_flag(&args, "programs"));
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "monitor", "-ldebug"), 0);
    assert_string_equal(args_text(&args, "level"), "debug");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "monitor", "-l"), KITH_E_PARSE);
    assert_says("needs a value");
    args_deinit(&args);
}

static void options_that_choose_an_agent_may_stand_first(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "--dev", "2", "--json", "nodes"), 0);
    assert_int_equal(args_u64(&args, "dev", 0), 2);
    assert_true(args_flag(&args, "json"));
    args_deinit(&args);
    /* completion bash has no --json. */
    assert_int_equal(PARSE(&args, "--json", "completion", "bash"), KITH_E_PARSE);
    assert_says("no option --json");
    args_deinit(&args);
}

static void the_last_of_several_holds_and_repeats_are_kept(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(
        PARSE(&args, "agent", "--name", "a", "--seed", "x", "--name", "b", "--seed", "y:1"), 0);
    assert_string_equal(args_text(&args, "name"), "b");
    assert_string_equal(args_repeat(&args, "seed", 0), "x");
    assert_string_equal(args_repeat(&args, "seed", 1), "y:1");
    assert_null(args_repeat(&args, "seed", 2));
    args_deinit(&args);
}

static void values_are_checked_where_they_are_given(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "ping", "n", "-c", "many"), KITH_E_PARSE);
    assert_says("--count many");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "call", "f", "--timeout", "soon"), KITH_E_PARSE);
    assert_says("500ms");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "nodes", "--status", "dead"), KITH_E_PARSE);
    assert_says("alive, suspect, failed, left");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "agent", "--listen", "host:99999"), KITH_E_PARSE);
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "nodes", "--json=yes"), KITH_E_PARSE);
    assert_says("takes no value");
    args_deinit(&args);
}

static void missing_and_superfluous_arguments_are_named(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "ping"), KITH_E_PARSE);
    assert_says("needs NODE");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "nodes", "x"), KITH_E_PARSE);
    assert_says("\"x\" is too much");
    args_deinit(&args);
    /* Whoever asks for help has not made a mistake. */
    assert_int_equal(PARSE(&args, "ping", "--help"), 0);
    assert_true(args.help);
    args_deinit(&args);
}

static void typing_errors_are_answered_with_the_nearest(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "ndoes"), KITH_E_NOT_FOUND);
    assert_says("did you mean kith nodes?");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "fn", "sevre"), KITH_E_NOT_FOUND);
    assert_says("did you mean kith fn serve?");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "call", "f", "--timout", "5s"), KITH_E_PARSE);
    assert_says("did you mean --timeout?");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "xyzzy"), KITH_E_NOT_FOUND);
    assert_says("kith help");
    args_deinit(&args);
}

static void a_group_alone_is_a_question(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "fn"), 0);
    assert_null(args.verb);
    assert_string_equal(args.help_group, "fn");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "fn", "--help"), 0);
    assert_true(args.help);
    args_deinit(&args);
    /* dev is a verb and a group. */
    assert_int_equal(PARSE(&args, "dev", "3"), 0);
    assert_string_equal(args.verb->name, "dev");
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "dev", "stop"), 0);
    assert_string_equal(args.verb->name, "dev stop");
    args_deinit(&args);
}

static void an_alias_is_the_same_verb(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "members", "--json"), 0);
    assert_string_equal(args.verb->name, "nodes");
    args_deinit(&args);
}

static void another_program_gets_its_line_untouched(void **state)
{
    struct args args;
    (void)state;
    assert_int_equal(PARSE(&args, "mandel", "render", "--center", "-0.5,0", "--help"), 0);
    assert_int_equal(args.pos_n, 4);
    assert_string_equal(args.pos[3], "--help");
    assert_false(args.help);
    args_deinit(&args);
    assert_int_equal(PARSE(&args, "mandel", "--help"), 0);
    assert_true(args.help);
    args_deinit(&args);
}

static void too_many_options_are_refused(void **state)
{
    const char *words[2 * ARGS_OPTIONS_MAX + 4] = {"agent"};
    struct args args;
    size_t n = 1;
    (void)state;
    for (size_t i = 0; i < ARGS_OPTIONS_MAX; i++) {
        words[n++] = "--seed";
        words[n++] = "h:1";
    }
    assert_int_equal(args_parse(&args, words, n), 0);
    assert_string_equal(args_repeat(&args, "seed", ARGS_OPTIONS_MAX - 1), "h:1");
    args_deinit(&args);
    words[n++] = "-v";
    assert_int_equal(args_parse(&args, words, n), KITH_E_PARSE);
    args_deinit(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_arguments_may_be_mixed),
        cmocka_unit_test(a_value_may_start_with_a_dash),
        cmocka_unit_test(a_negative_number_is_an_argument),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_command_keeps_its_own_options),
        cmocka_unit_test(letters_can_be_joined),
        cmocka_unit_test(options_that_choose_an_agent_may_stand_first),
        cmocka_unit_test(the_last_of_several_holds_and_repeats_are_kept),
        cmocka_unit_test(values_are_checked_where_they_are_given),
        cmocka_unit_test(missing_and_superfluous_arguments_are_named),
        cmocka_unit_test(typing_errors_are_answered_with_the_nearest),
        cmocka_unit_test(a_group_alone_is_a_question),
        cmocka_unit_test(an_alias_is_the_same_verb),
        cmocka_unit_test(another_program_gets_its_line_untouched),
        cmocka_unit_test(too_many_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
