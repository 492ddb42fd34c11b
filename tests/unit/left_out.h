/*
 * The gate for rules that a test beside the core shows, not a world: with the rule removed the test
 * must fail, and with it pass. Each runs in a process of its own, as a failed test leaves its core.
 */
#ifndef TESTS_UNIT_LEFT_OUT_H
#define TESTS_UNIT_LEFT_OUT_H

#include <sys/wait.h>
#include <unistd.h>

#include "core/mutant.h"
#include "lib/test.h"

#ifdef KITH_MUTANTS
struct left_out {
    unsigned mutant;
    struct CMUnitTest test;
};

/* Does the test fail without the rule @mutant? What it writes then is of no interest. */
static inline bool left_out_fails(const struct left_out *rule, unsigned mutant)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool quiet = freopen("/dev/null", "w", stdout) != NULL &&
                     (mutant == MUTANT_NONE || freopen("/dev/null", "w", stderr) != NULL);
        mutant_on = mutant;
        int failed =
            _cmocka_run_group_tests(mutant_names[rule->mutant], &rule->test, 1, NULL, NULL);
        _exit(quiet && failed == 0 ? 0 : quiet ? 1 : 2);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) > 1) {
        print_error("%s could not be tried\n", mutant_names[rule->mutant]);
        return mutant == MUTANT_NONE;
    }
    return WEXITSTATUS(status) == 1;
}

/* Exit status of a program. */
static inline int left_out_all(const struct left_out *rules, size_t n)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        bool passes = !left_out_fails(&rules[i], MUTANT_NONE);
        bool fails = left_out_fails(&rules[i], rules[i].mutant);
        print_message("# %s: %s: %s\n", mutant_names[rules[i].mutant], rules[i].test.name,
                      !passes ? "FAILS WITH THE RULE"
                      : fails ? "notices it"
                              : "NOT NOTICED");
        bad |= !passes || !fails;
    }
    return bad;
}
#endif

#endif
