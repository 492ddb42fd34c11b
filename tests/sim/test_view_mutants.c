/*
 * The mutation gate of views: without a rule the world of tests/unit/test_view_world.h must find
 * something wrong, within a stated number of seeds; with all rules the same seeds pass.
 */
#include "../unit/test_view_faults.h"

#include "core/mutant.h"
#include "lib/test.h"

static bool any(uint64_t seed, char *why_out)
{
    return vw_history(1 + seed % 7, seed, 40000, why_out);
}

/* Also with all rules: as many seeds as it took, or catching a mutant would mean nothing. */
static void caught(enum mutant mutant, bool (*run)(uint64_t, char *), uint64_t seeds_n)
{
    char why[256];
    uint64_t seed = 1;
    mutant_on = mutant;
    while (seed <= seeds_n && run(seed, why))
        seed++;
    mutant_on = MUTANT_NONE;
    if (seed > seeds_n)
        fail_msg("%s is not caught within %llu seeds", mutant_names[mutant],
                 (unsigned long long)seeds_n);
    (void)printf("# %s: seed %llu: %s\n", mutant_names[mutant], (unsigned long long)seed, why);
    for (uint64_t again = 1; again <= seed; again++) {
        if (!run(again, why))
            fail_msg("seed %llu fails with all rules too: %s", (unsigned long long)again, why);
    }
}

#define GATE(name, run, seeds)                                                                     \
    static void name##_is_caught(void **state)                                                     \
    {                                                                                              \
        (void)state;                                                                               \
        caught(MUTANT_##name, run, seeds);                                                         \
    }

GATE(VIEW_NO_ACTIVATION_RECORD, any, 20)
GATE(VIEW_SAME_MEMBER_AFTER_RESTART, any, 20)
GATE(VIEW_NO_LEASE_WAIT, any, 100)
GATE(VIEW_FORGET_PROMISE, vw_fault_forget, 50)
GATE(VIEW_NO_RELEASE, any, 50)
GATE(VIEW_NO_PROMISE_HOLD, any, 100)
GATE(VIEW_LEASE_FROM_REPLY, any, 300)
GATE(VIEW_LEASE_OF_ANY_MEMBER, vw_fault_member, 50)
GATE(VIEW_MINT_ALONE, vw_fault_mint, 100)
GATE(VIEW_NO_EARLY, vw_fault_early, 50)
GATE(VIEW_NO_SITOUT, vw_fault_sitout, 50)
GATE(VIEW_NO_NESTING, vw_fault_nesting, 50)
GATE(VIEW_ONLY_VOTER_FORGETS_LEASES, vw_fault_only_voter, 50)
GATE(VIEW_ROLLED_BACK_VOTER, vw_fault_old_disk, 50)
GATE(VIEW_ONLY_VOTER_TRUSTS_DISK, vw_fault_only_disk, 50)
GATE(VIEW_NO_JOINT_LEASE, vw_fault_joint, 50)
GATE(VIEW_SILENT_VOTER, vw_fault_silent, 50)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(VIEW_NO_ACTIVATION_RECORD_is_caught),
        cmocka_unit_test(VIEW_SAME_MEMBER_AFTER_RESTART_is_caught),
        cmocka_unit_test(VIEW_NO_LEASE_WAIT_is_caught),
        cmocka_unit_test(VIEW_MINT_ALONE_is_caught),
        cmocka_unit_test(VIEW_LEASE_OF_ANY_MEMBER_is_caught),
        cmocka_unit_test(VIEW_FORGET_PROMISE_is_caught),
        cmocka_unit_test(VIEW_NO_RELEASE_is_caught),
        cmocka_unit_test(VIEW_NO_EARLY_is_caught),
        cmocka_unit_test(VIEW_NO_SITOUT_is_caught),
        cmocka_unit_test(VIEW_NO_PROMISE_HOLD_is_caught),
        cmocka_unit_test(VIEW_LEASE_FROM_REPLY_is_caught),
        cmocka_unit_test(VIEW_NO_NESTING_is_caught),
        cmocka_unit_test(VIEW_ONLY_VOTER_FORGETS_LEASES_is_caught),
        cmocka_unit_test(VIEW_ROLLED_BACK_VOTER_is_caught),
        cmocka_unit_test(VIEW_ONLY_VOTER_TRUSTS_DISK_is_caught),
        cmocka_unit_test(VIEW_NO_JOINT_LEASE_is_caught),
        cmocka_unit_test(VIEW_SILENT_VOTER_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
