/* What must hold for every verb, now and for those that come: a walk over the table. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/help.h"
#include "kith/error.h"
#include "lib/test.h"

#define WORDS_MAX 64

static const struct verb *table;
static size_t table_n;

static int setup(void **state)
{
    (void)state;
    table = verbs(&table_n);
    return 0;
}

static void every_verb_has_a_summary_a_group_and_a_function(void **state)
{
    (void)state;
    assert_true(table_n > 30);
    for (size_t i = 0; i < table_n; i++) {
        const struct verb *verb = &table[i];
        bool known = false;
        assert_non_null(verb->summary);
        assert_true(islower((unsigned char)verb->summary[0]));
        assert_int_not_equal(verb->summary[strlen(verb->summary) - 1], '.');
        assert_true(strlen(verb->summary) < 64);
        assert_non_null(verb->args);
        assert_non_null(verb->run);
        assert_true(verb->args_min <= verb->args_max);
        if (verb->args_max == 0)
            assert_string_equal(verb->args, "");
        else
            assert_true(verb->args[0] != '\0');
        for (const char *const *group = verb_groups(); *group != NULL; group++)
            known |= strcmp(*group, verb->group) == 0;
        assert_true(known);
    }
}

static void every_verb_has_json_or_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_n; i++) {
        bool json = (table[i].flags & VERB_JSON) != 0;
        if (json == (table[i].no_json != NULL))
            fail_msg("kith %s: either --json or a reason", table[i].name);
    }
}

static void names_are_found_and_no_two_are_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_n; i++) {
        char name[64];
        const char *words[3] = {0};
        size_t n = 0, used = 0;
        snprintf(name, sizeof(name), "%s", table[i].name);
        for (char *word = strtok(name, " "); word != NULL; word = strtok(NULL, " ")) {
            assert_true(n < 2);
            words[n++] = word;
        }
        assert_ptr_equal(verb_find(words, n, &used), &table[i]);
        assert_int_equal(used, n);
    }
}

static void options_are_whole_and_no_two_are_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_n; i++) {
        const struct opt *a, *b;
        bool help = false;
        for (size_t j = 0; (a = verb_option(&table[i], j)) != NULL; j++) {
            assert_true(a->help != NULL && strlen(a->help) < 100);
            assert_true((a->type == OPT_FLAG) == (a->meta == NULL));
            assert_true((a->type == OPT_CHOICE) == (a->choices[0] != NULL));
            help |= strcmp(a->name, "help") == 0;
            for (size_t k = 0; k < j; k++) {
                b = verb_option(&table[i], k);
                if (strcmp(a->name, b->name) == 0 || (a->letter != 0 && a->letter == b->letter))
                    fail_msg("kith %s: --%s and --%s", table[i].name, a->name, b->name);
            }
        }
        assert_true(help);
    }
}

/* The words of a command as a shell would split it, from "kith" on to the end of that command. */
static size_t split(char *line, const char **words)
{
    char *at = strstr(line, "kith ");
    size_t n = 0;

    if (at == NULL)
        return 0;
    for (char *word = strtok(at + 5, " "); word != NULL && n < WORDS_MAX;
         word = strtok(NULL, " ")) {
        if (strcmp(word, "|") == 0 || strcmp(word, "||") == 0 || strcmp(word, "&&") == 0 ||
            strcmp(word, ">") == 0)
            break;
        size_t len = strlen(word);
        if (word[len - 1] == ')' || word[len - 1] == ';')
            word[len - 1] = '\0';
        words[n++] = word;
        if (len > 1 && word[len - 1] == '\0')
            break;
    }
    return n;
}

static void every_example_is_a_valid_line_of_its_verb(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_n; i++) {
        size_t examples = 0;
        for (; examples < VERB_EXAMPLES_MAX && table[i].examples[examples].command != NULL;
             examples++) {
            const struct example *example = &table[i].examples[examples];
            char line[256];
            const char *words[WORDS_MAX];
            struct args args;
            snprintf(line, sizeof(line), "%s", example->command);
            size_t n = split(line, words);
            int r = args_parse(&args, words, n);
            if (r != 0)
                fail_msg("%s: %s", example->command, kith_errmsg());
            assert_ptr_equal(args.verb, &table[i]);
            assert_true(example->what != NULL && example->what[0] != '\0');
            args_deinit(&args);
        }
        if (examples < 2)
            fail_msg("kith %s has %zu examples", table[i].name, examples);
    }
}

static char *written_by(void (*write)(FILE *file))
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    write(file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void help_shows_two_examples_first_and_every_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_n; i++) {
        char *text = NULL;
        size_t len = 0;
        const struct opt *opt;
        FILE *file = open_memstream(&text, &len);
        help_verb(file, &table[i]);
        assert_int_equal(fclose(file), 0);
        const char *first = strstr(text, table[i].examples[0].command);
        const char *second = strstr(text, table[i].examples[1].command);
        const char *usage = strstr(text, "usage: kith ");
        assert_true(first != NULL && second != NULL && usage != NULL);
        assert_true(first < second && second < usage);
        for (size_t j = 0;
             !(table[i].flags & VERB_PASS) && (opt = verb_option(&table[i], j)) != NULL; j++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s", opt->name);
            assert_non_null(strstr(text, name));
        }
        free(text);
    }
}

static void help_lists_every_verb_that_is_not_hidden(void **state)
{
    (void)state;
    char *text = written_by(help_all);
    for (size_t i = 0; i < table_n; i++) {
        char name[80];
        snprintf(name, sizeof(name), "\n  %s ", table[i].name);
        assert_true((strstr(text, name) != NULL) == !(table[i].flags & VERB_HIDDEN));
    }
    free(text);
}

/* Each line of the manual is text or one of the macros that it uses; what starts text like one is
 * escaped. */
static void manual_names_every_verb_and_has_only_known_macros(void **state)
{
    static const char *const macros[] = {".TH ", ".SH ", ".SS ", ".TP", ".PP"};
    (void)state;
    char *text = written_by(man_write);
    for (size_t i = 0; i < table_n; i++) {
        char name[80];
        snprintf(name, sizeof(name), ".SS \"kith %s", table[i].name);
        assert_true((strstr(text, name) != NULL) == !(table[i].flags & VERB_HIDDEN));
    }
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        bool known = line[0] != '.' && line[0] != '\'';
        for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
            known |= strncmp(line, macros[i], strlen(macros[i])) == 0;
        if (!known)
            fail_msg("not a macro of the manual: %s", line);
    }
    free(text);
}

static void manual_lists_exit_codes_and_configuration(void **state)
{
    (void)state;
    char *text = written_by(man_write);
    assert_non_null(strstr(text, ".SH \"EXIT STATUS\""));
    assert_non_null(strstr(text, "\\fBnet.listen\\fR"));
    assert_non_null(strstr(text, "\\fBloop.spin_us\\fR"));
    assert_null(strstr(text, "program.secret"));
    free(text);
}

static void completion_knows_every_verb_and_is_valid_bash(void **state)
{
    (void)state;
    char *text = written_by(completion_bash_write);
    for (size_t i = 0; i < table_n; i++) {
        char name[80];
        snprintf(name, sizeof(name), "    \"%s\")\n", table[i].name);
        assert_true((strstr(text, name) != NULL) == !(table[i].flags & VERB_HIDDEN));
    }
    FILE *bash = popen("bash -n", "w");
    assert_non_null(bash);
    assert_int_equal(fwrite(text, 1, strlen(text), bash), strlen(text));
    assert_int_equal(pclose(bash), 0);
    free(text);
}

static void typing_errors_get_the_nearest_verb(void **state)
{
    (void)state;
    assert_string_equal(verb_nearest(NULL, "ndoes"), "nodes");
    assert_string_equal(verb_nearest(NULL, "invte"), "invite");
    assert_string_equal(verb_nearest(NULL, "fnn"), "fn");
    assert_string_equal(verb_nearest("fn", "serv"), "fn serve");
    assert_string_equal(verb_nearest("dev", "stpo"), "dev stop");
    assert_null(verb_nearest(NULL, "zzzzzzzz"));
    assert_null(verb_nearest("fn", "nodes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verb_has_a_summary_a_group_and_a_function),
        cmocka_unit_test(every_verb_has_json_or_a_reason),
        cmocka_unit_test(names_are_found_and_no_two_are_alike),
        cmocka_unit_test(options_are_whole_and_no_two_are_alike),
        cmocka_unit_test(every_example_is_a_valid_line_of_its_verb),
        cmocka_unit_test(help_shows_two_examples_first_and_every_option),
        cmocka_unit_test(help_lists_every_verb_that_is_not_hidden),
        cmocka_unit_test(manual_names_every_verb_and_has_only_known_macros),
        cmocka_unit_test(manual_lists_exit_codes_and_configuration),
        cmocka_unit_test(completion_knows_every_verb_and_is_valid_bash),
        cmocka_unit_test(typing_errors_get_the_nearest_verb),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
