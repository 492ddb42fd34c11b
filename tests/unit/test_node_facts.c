/*
 * Facts of the host this test runs on: what can be known about them for sure.
 */
#include "node/facts.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "core/alloc.h"
#include "lib/test.h"

static void host_has_processors_and_memory(void **state)
{
    (void)state;
    struct facts facts = {0};
    struct facts_rare rare = {0};
    facts_rare(&facts, &rare);
    assert_in_range(rare.cpus, 1, 1 << 16);
    assert_in_range(rare.cores, 1, 1 << 16);
    assert_true(rare.memory_bytes > 64 << 20);
    assert_int_equal(rare.cpus, facts_cpus());
    struct facts_load load = {0};
    facts_sample(&facts, &load);
    assert_true(load.memory_available_bytes > 0);
    assert_int_equal(load.cpu_permille, 0); /* nothing to compare with yet */
    facts_close(&facts);
    facts_close(&facts);
}

static double spin_ms(unsigned ms)
{
    struct timespec begin;
    struct timespec now;
    volatile double x = 1;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (unsigned i = 0; i < 1000; i++)
            x = x * 1.0000001;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
    return x;
}

static void work_shows_as_load_of_a_processor(void **state)
{
    (void)state;
    struct facts facts = {0};
    struct facts_load load = {0};
    double percent[64];
    double most = 0;
    /* The kernel counts in ticks of 10 ms: work until it has seen some, at most 10 s. */
    facts_sample(&facts, &load);
    for (unsigned tries = 0; tries < 100 && most < 1; tries++) {
        (void)spin_ms(100);
        facts_sample(&facts, &load);
        size_t n = facts_cpu_percent(&facts, percent, 64);
        assert_true(n >= 1);
        for (size_t i = 0; i < n; i++) {
            assert_true(percent[i] >= 0 && percent[i] <= 100);
            if (percent[i] > most)
                most = percent[i];
        }
    }
    assert_true(most >= 1);
    assert_in_range(load.cpu_permille, 1, 1000);
    facts_close(&facts);
}

static void sampling_allocates_nothing_and_opens_nothing(void **state)
{
    (void)state;
    struct facts facts = {0};
    struct facts_load load;
    struct facts_rare rare;
    facts_rare(&facts, &rare);
    facts_sample(&facts, &load);
    int before = open("/dev/null", O_RDONLY);
    (void)close(before);
    core_alloc_fail_at(1);
    for (unsigned i = 0; i < 200; i++)
        facts_sample(&facts, &load);
    core_alloc_fail_at(0);
    int after = open("/dev/null", O_RDONLY);
    (void)close(after);
    assert_int_equal(before, after);
    assert_true(load.memory_available_bytes > 0);
    facts_close(&facts);
}

static void without_memory_the_rest_is_still_told(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        struct facts facts = {0};
        struct facts_load load;
        double percent[4];
        core_alloc_fail_at(n);
        facts_sample(&facts, &load);
        core_alloc_fail_at(0);
        facts_sample(&facts, &load);
        assert_true(load.memory_available_bytes > 0);
        (void)facts_cpu_percent(&facts, percent, 4);
        facts_close(&facts);
    }
}

static void *wait_at_barrier(void *arg)
{
    (void)pthread_barrier_wait(arg);
    (void)pthread_barrier_wait(arg);
    return NULL;
}

static void own_process_grows_with_what_it_does(void **state)
{
    (void)state;
    struct facts_self before;
    struct facts_self after;
    pthread_barrier_t barrier;
    pthread_t thread;
    facts_self(&before);
    assert_true(before.threads >= 1 && before.rss_bytes > 100000 && before.cpu_ns > 0);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_at_barrier, &barrier), 0);
    (void)pthread_barrier_wait(&barrier);
    size_t bytes = 32 << 20;
    char *memory = malloc(bytes);
    assert_non_null(memory);
    for (size_t i = 0; i < bytes; i += 512)
        memory[i] = (char)i;
    (void)spin_ms(30);
    facts_self(&after);
    assert_true(after.rss_bytes >= before.rss_bytes + (30 << 20));
    assert_true(after.cpu_ns > before.cpu_ns + 1000000);
    assert_true(after.threads > before.threads); /* sanitizers have threads of their own */
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    (void)pthread_barrier_destroy(&barrier);
    assert_true(memory[512 * 7] == (char)(512 * 7));
    free(memory);
}

static void descriptors_are_counted(void **state)
{
    (void)state;
    uint32_t before, after, max;
    int ends[2];

    facts_descriptors(&before, &max);
    assert_true(before >= 3 && max >= before);
    assert_int_equal(pipe(ends), 0);
    facts_descriptors(&after, &max);
    assert_int_equal(after, before + 2);
    (void)close(ends[0]);
    (void)close(ends[1]);
    facts_descriptors(&after, &max);
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_has_processors_and_memory),
        cmocka_unit_test(work_shows_as_load_of_a_processor),
        cmocka_unit_test(sampling_allocates_nothing_and_opens_nothing),
        cmocka_unit_test(without_memory_the_rest_is_still_told),
        cmocka_unit_test(own_process_grows_with_what_it_does),
        cmocka_unit_test(descriptors_are_counted),
    };
    return cmocka_run_group_tests_name("node_facts", tests, NULL, NULL);
}
