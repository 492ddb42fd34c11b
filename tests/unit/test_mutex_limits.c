/*
 * The limits of mutexes that test_mutex_rules.c does not reach: what is told, and how far cycles
 * of waits are followed.
 */
#include "test_mutex_lab.h"

static void an_owners_text_is_cut_at_its_limit(void **state)
{
    struct lab *lab = LAB(1, 0);
    char text[MUTEX_OWNER_BYTES_MAX + 2], told[MUTEX_OWNER_BYTES_MAX + 64];
    struct mutex_acquire a = of(1, "a");
    (void)state;
    memset(text, 'x', sizeof(text));
    text[MUTEX_OWNER_BYTES_MAX + 1] = '\0';
    a.owner_text = text;
    assert_int_equal(acquire(lab, 0, a)->last, MUTEX_GRANTED);
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_QUERY, .u.ask = {.ask = 1, .name = "a"}});
    pass(lab, 600);
    text[MUTEX_OWNER_BYTES_MAX] = '\0';
    (void)snprintf(told, sizeof(told), "n0:%s:4711:holds;", text);
    assert_string_equal(lab->info_text, told);
    lab_free(lab);
}

/* Of each node; how many wait is told all the same. */
static void so_many_owners_are_told_and_the_rest_is_counted(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 1, of(1, "a"));
    for (uint64_t waiter = 2; waiter < 2 + MUTEX_TOLD_MAX + 5; waiter++)
        (void)acquire(lab, 1, of(waiter, "a"));
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_QUERY, .u.ask = {.ask = 1, .name = "a"}});
    deliver(lab);
    pass(lab, 600);
    assert_int_equal(lab->info_code, 0);
    assert_int_equal(lab->info_n, MUTEX_TOLD_MAX);
    assert_int_equal(lab->info_waiters, MUTEX_TOLD_MAX + 5);
    assert_int_equal(lab->info_holders, 1);
    lab_free(lab);
}

/* Each of @n owners on one node has a mutex and waits for that of the next one. */
static const struct got *cycle_of(struct lab *lab, uint32_t n)
{
    char name[16];
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "m%u", i);
        (void)acquire(lab, 0, of(1 + i, name));
    }
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "m%u", (i + 1) % n);
        struct mutex_acquire a = of(30 + i, name);
        a.owner = 1 + i;
        a.detect = i == n - 1;
        (void)acquire(lab, 0, a);
    }
    pass(lab, 3000);
    return &lab->got[0][30 + n - 1];
}

static void a_cycle_through_so_many_mutexes_is_found_and_no_longer_one(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    const struct got *got = cycle_of(lab, MUTEX_CYCLE_MAX);
    assert_int_equal(got->code, KITH_E_WOULD_DEADLOCK);
    assert_non_null(strstr(got->text, "'m0'"));
    lab_free(lab);
    lab = LAB(1, 0);
    got = cycle_of(lab, MUTEX_CYCLE_MAX + 1);
    assert_false(got->any); /* it waits on, to its deadline */
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owners_text_is_cut_at_its_limit),
        cmocka_unit_test(so_many_owners_are_told_and_the_rest_is_counted),
        cmocka_unit_test(a_cycle_through_so_many_mutexes_is_found_and_no_longer_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
