/*
 * The gate of a world that is one run by seed: without a rule some seed of the first few must fail,
 * with all of them none does. For programs that are built with the mutants.
 */
#ifndef UNIT_CAUGHT_H
#define UNIT_CAUGHT_H

#include "core/mutant.h"
#include "lib/test.h"

/* @run gives what was wrong, or NULL. */
static inline void
assert_caught(enum mutant mutant, const char *(*run)(uint64_t seed), uint64_t seeds_n)
{
    uint64_t seed = 1;
    const char *problem = NULL;
    for (mutant_on = MUTANT_NONE; seed <= 3; seed++)
        assert_null(run(seed));
    mutant_on = mutant;
    for (seed = 1; seed <= seeds_n; seed++) {
        problem = run(seed);
        if (problem != NULL)
            break;
    }
    mutant_on = MUTANT_NONE;
    print_message("%s: seed %llu: %s\n", mutant_names[mutant], (unsigned long long)seed,
                  problem != NULL ? problem : "not noticed");
    assert_true(seed <= seeds_n);
}

#endif
