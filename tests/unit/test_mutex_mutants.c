/*
 * The mutation gate of mutexes: each rule that has been shown to matter (protocols section 4, holes
 * 10, 11, 19, 35 and what follows from edges) is taken out, and the world must notice within the
 * seeds stated here; the whole protocol passes the same seeds.
 */
#include "core/mutant.h"
#include "lib/test.h"
#include "test_mutex_world.h"

static const struct world_options keepers = {.keepers_n = 4, .faults_ms = 30000};
static const struct world_options edges = {.keepers_n = 2, .edges_n = 4, .faults_ms = 30000};
static const struct world_options mixed = {.faults_ms = 30000};
static const struct world_options brief = {
    .keepers_n = 3, .faults_ms = 30000, .idle_ms = 200, .owners_n = 1};

/* Seeds from @from on, so that a rare one does not cost minutes each time; counted from 1 it takes
 * as many as are printed. */
static void
caught(enum mutant mutant, const struct world_options *options, uint64_t from, uint64_t seeds_max)
{
    struct world_result r;
    uint64_t seed = from - 1;
    mutant_on = mutant;
    do {
        world_run(++seed, options, &r);
    } while (r.failure[0] == '\0' && seed < from + seeds_max);
    mutant_on = MUTANT_NONE;
    if (r.failure[0] == '\0')
        fail_msg("%s: not noticed in %llu seeds", mutant_names[mutant],
                 (unsigned long long)seeds_max);
    print_message("%s: seed %llu: %s\n", mutant_names[mutant], (unsigned long long)seed, r.failure);
    for (uint64_t whole = from; whole <= seed; whole++) {
        world_run(whole, options, &r);
        assert_string_equal(r.failure, "");
    }
}

#define CASE(name, mutant, options, from, seeds)                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        caught(mutant, &(options), from, seeds);                                                   \
    }

CASE(a_holder_that_is_not_frozen_is_caught, MUTANT_MUTEX_NO_FREEZE, keepers, 490, 300)
CASE(a_token_of_another_generation_is_caught, MUTANT_MUTEX_ANY_GENERATION, keepers, 1, 100)
CASE(not_waiting_for_leases_is_caught, MUTANT_MUTEX_NO_LEASE_WAIT, keepers, 1, 50)
CASE(a_token_without_transfer_numbers_is_caught, MUTANT_MUTEX_NO_TRANSFER_NO, keepers, 1, 20)
CASE(a_token_before_all_reports_is_caught, MUTANT_MUTEX_SOME_REPORTS, keepers, 1, 100)
CASE(an_asked_set_that_shrinks_is_caught, MUTANT_MUTEX_SHRINKING_SET, keepers, 240, 600)
CASE(a_home_that_makes_tokens_is_caught, MUTANT_MUTEX_HOME_CREATES, keepers, 1, 20)
CASE(entering_without_a_lease_is_caught, MUTANT_MUTEX_NO_LEASE_CHECK, keepers, 1, 100)
CASE(a_fresh_home_without_grace_is_caught, MUTANT_MUTEX_NO_GRACE, edges, 1, 100)
CASE(an_edge_that_does_not_join_anew_is_caught, MUTANT_MUTEX_NO_REJOIN, edges, 120, 300)
CASE(generations_that_begin_again_are_caught, MUTANT_MUTEX_NO_FLOOR, brief, 1, 50)

static void the_whole_protocol_passes(void **state)
{
    struct world_result r;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        world_run(seed, &mixed, &r);
        assert_string_equal(r.failure, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_protocol_passes),
        cmocka_unit_test(a_token_without_transfer_numbers_is_caught),
        cmocka_unit_test(a_token_of_another_generation_is_caught),
        cmocka_unit_test(a_home_that_makes_tokens_is_caught),
        cmocka_unit_test(not_waiting_for_leases_is_caught),
        cmocka_unit_test(a_token_before_all_reports_is_caught),
        cmocka_unit_test(entering_without_a_lease_is_caught),
        cmocka_unit_test(generations_that_begin_again_are_caught),
        cmocka_unit_test(a_holder_that_is_not_frozen_is_caught),
        cmocka_unit_test(a_fresh_home_without_grace_is_caught),
        cmocka_unit_test(an_edge_that_does_not_join_anew_is_caught),
        cmocka_unit_test(an_asked_set_that_shrinks_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
