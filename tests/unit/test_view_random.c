/*
 * Seeds through the world of views (test_view_history.c): KITH_VIEW_SEEDS=N runs N of them from
 * KITH_VIEW_SEED on, the default is what a test run can afford.
 */
#include "test_view_faults.h"

#include "lib/test.h"

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void random_histories_keep_every_promise(void **state)
{
    uint64_t first = number("KITH_VIEW_SEED", 1);
    uint64_t n = number("KITH_VIEW_SEEDS", 60);
    char why[256];
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        size_t nodes = (size_t)number("KITH_VIEW_NODES", 1 + seed % 7);
        if (!vw_history(nodes, seed, number("KITH_VIEW_MS", 60000), why))
            fail_msg("%zu nodes, seed %llu: %s", nodes, (unsigned long long)seed, why);
    }
}

static void aimed_histories_keep_every_promise(void **state)
{
    bool (*const faults[])(uint64_t, char *) = {
        vw_fault_mint,       vw_fault_sitout,   vw_fault_early,  vw_fault_member, vw_fault_nesting,
        vw_fault_only_voter, vw_fault_old_disk, vw_fault_forget, vw_fault_joint};
    uint64_t n = number("KITH_VIEW_AIMED", 10);
    char why[256];
    (void)state;
    for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
        for (uint64_t seed = 1; seed <= n; seed++) {
            if (!faults[f](seed, why))
                fail_msg("history %zu, seed %llu: %s", f, (unsigned long long)seed, why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_keep_every_promise),
        cmocka_unit_test(aimed_histories_keep_every_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
