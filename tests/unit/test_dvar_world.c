/*
 * The core in a small world: five keepers and two edges, messages that are lost, doubled and
 * overtake each other, crashes, restarts, pauses beyond the lease, slots that move. Who keeps what
 * is decided by an oracle; everything else is the shipped core.
 *
 * What must hold: what ended before another began has no later version (and a write has a later
 * one); a version is one value; a counter counts every acknowledged addition once; a watch hears no
 * change twice, none after a later one, and the last one always; when all is well again, everything
 * ends.
 *
 * KITH_DVAR_SEEDS=N and KITH_DVAR_SEED=first for more of it.
 */
#include "dvar_world.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static struct world world;

static void no_write_is_lost_doubled_or_unseen_under_faults(void **state)
{
    (void)state;
    uint64_t first = number_from("KITH_DVAR_SEED", 1);
    uint64_t n = number_from("KITH_DVAR_SEEDS", 60);
    uint64_t acked = 0, reads = 0, activations = 0, refused = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        const char *problem = world_run(seed, &world);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
        acked += world.acked;
        reads += world.reads;
        refused += world.refused;
        activations += world.activations;
    }
    print_message("# %llu seeds: %llu writes, %llu refused, %llu reads, %llu slots activated\n",
                  (unsigned long long)n, (unsigned long long)acked, (unsigned long long)refused,
                  (unsigned long long)reads, (unsigned long long)activations);
    assert_true(acked > n && refused > n && reads > n && activations > n);
}

static void additions_that_travel_as_one_are_each_done_once(void **state)
{
    (void)state;
    uint64_t first = WORLD_BURSTS + number_from("KITH_DVAR_SEED", 1);
    uint64_t n = number_from("KITH_DVAR_SEEDS", 60);
    uint64_t joined = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        const char *problem = world_run(seed, &world);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
        joined += world.joined;
    }
    print_message("# %llu seeds: %llu additions joined others\n", (unsigned long long)n,
                  (unsigned long long)joined);
    assert_true(joined > n);
}

/* docs/protocols/dvar.md says what was wrong. */
static void seeds_that_failed_once_pass(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {23,  24,  26,  34,   111,  183, 212,
                                     317, 319, 858, 1808, 2199, 2420};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        const char *problem = world_run(seeds[i], &world);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seeds[i], problem);
        assert_true(world.told > 0);
    }
}

#ifdef KITH_MUTANTS
static void each_rule_that_is_left_out_is_noticed(void **state)
{
    (void)state;
    static const struct {
        unsigned mutant;
        const char *name;
    } all[] = {
        {MUTANT_DVAR_NO_ACTIVATION, "no-activation"},
        {MUTANT_DVAR_NO_DEDUPE_IN_VALUE, "no-dedupe-in-value"},
        {MUTANT_DVAR_NO_POISON, "no-poison"},
        {MUTANT_DVAR_OLD_EPOCH_READ, "old-epoch-read"},
        {MUTANT_DVAR_SEQ_RESET, "seq-reset"},
        {MUTANT_DVAR_NO_RELEASE, "no-release"},
        {MUTANT_DVAR_NO_ANSWERS, "no-answers"},
        {MUTANT_DVAR_NO_GUARD, "no-guard"},
        {MUTANT_DVAR_NO_SHARE_WAIT, "no-share-wait"},
        {MUTANT_DVAR_AHEAD_OF_COPIES, "ahead-of-copies"},
        {MUTANT_DVAR_AHEAD_OF_CACHES, "ahead-of-caches"},
    };
    uint64_t n = number_from("KITH_DVAR_MUTANT_SEEDS", 1000);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint64_t seed = 1;
        const char *problem = NULL;
        mutant_on = all[i].mutant;
        for (; seed <= n && problem == NULL; seed++)
            problem = world_run(seed, &world);
        mutant_on = 0;
        print_message("# %s: seed %llu: %s\n", all[i].name, (unsigned long long)seed - 1,
                      problem != NULL ? problem : "NOT NOTICED");
        if (problem == NULL)
            fail_msg("%s was not noticed in %llu seeds", all[i].name, (unsigned long long)n);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_write_is_lost_doubled_or_unseen_under_faults),
        cmocka_unit_test(additions_that_travel_as_one_are_each_done_once),
        cmocka_unit_test(seeds_that_failed_once_pass),
#ifdef KITH_MUTANTS
        cmocka_unit_test(each_rule_that_is_left_out_is_noticed),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
