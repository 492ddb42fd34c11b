/*
 * Variables and mutexes of three agents in this process, used from several threads of each at once:
 * what ThreadSanitizer is to look at. Each promise that can be seen from here is checked, too.
 */
#include <pthread.h>

#include "core/bytes.h"
#include "lib/node_lab.h"
#include "node/internal.h"

#define AGENTS  3
#define THREADS 6 /* two of each agent */
#define ROUNDS  100

static struct kith_node *agents[AGENTS];

static int start(void **state)
{
    (void)state;
    lab_agents_start(agents, AGENTS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    lab_agents_stop(agents, AGENTS);
    return 0;
}

/* cmocka's asserts are for its own thread: others count what was wrong, and keep the first. */
static _Atomic unsigned wrong_n;
static char wrong_text[600];

static void wrong(const char *what)
{
    if (atomic_fetch_add(&wrong_n, 1) == 0)
        (void)snprintf(wrong_text, sizeof(wrong_text), "%s: %s", what, kith_errmsg());
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            wrong(#condition);                                                                     \
    } while (0)

static struct kith_node *agent_of(unsigned thread)
{
    return agents[thread % AGENTS];
}

static void in_threads(void *(*fn)(void *arg), unsigned n)
{
    pthread_t threads[THREADS + 2];
    unsigned numbers[THREADS + 2];

    atomic_store(&wrong_n, 0);
    for (unsigned i = 0; i < n; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, fn, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (atomic_load(&wrong_n) > 0)
        fail_msg("%u wrong, the first: %s", atomic_load(&wrong_n), wrong_text);
}

static int64_t number_of(struct kith_node *node, const char *name)
{
    struct kith_value *value = NULL;

    assert_int_equal(kith_var_get(node, name, NULL, &value), 0);
    int64_t number = value->found ? value->i64 : 0;
    kith_value_free(value);
    return number;
}

/* ---- counters and handles ---- */

static void *adds_and_reads(void *arg)
{
    unsigned me = *(unsigned *)arg;
    struct kith_node *node = agent_of(me);
    struct kith_var *var = NULL;
    int64_t seen = 0, number;
    uint64_t version = 0;

    CHECK(kith_var_open(node, "sum", &var) == 0);
    for (unsigned i = 0; i < ROUNDS && var != NULL; i++) {
        uint8_t bytes[8] = {0};
        uint64_t now = 0;
        size_t len = 0;

        CHECK(kith_var_add(node, "sum", 1, NULL, &number) == 0);
        CHECK(number > seen); /* each addition is told what it made */
        seen = number;
        CHECK(kith_var_read(var, bytes, sizeof(bytes), &len, &now) == 0);
        CHECK(len == 8 && (int64_t)get_le64(bytes) >= seen && now >= version);
        seen = (int64_t)get_le64(bytes);
        version = now;
        CHECK(kith_var_read(var, bytes, sizeof(bytes), &len, &now) == 0);
        CHECK((int64_t)get_le64(bytes) >= seen && now >= version);
        seen = (int64_t)get_le64(bytes);
        version = now;
    }
    kith_var_close(var);
    return NULL;
}

static void additions_of_all_threads_are_counted_and_no_read_goes_back(void **state)
{
    (void)state;
    in_threads(adds_and_reads, THREADS);
    for (unsigned i = 0; i < AGENTS; i++)
        assert_true(number_of(agents[i], "sum") == THREADS * ROUNDS);
}

/* ---- under a mutex ---- */

static _Atomic unsigned inside_n;
static _Atomic uint64_t fence_last;

static void *sections(void *arg)
{
    struct kith_node *node = agent_of(*(unsigned *)arg);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kith_lock lock;
        struct kith_value *value = NULL;

        if (kith_lock(node, "m", NULL, &lock) != 0) {
            wrong("kith_lock");
            continue;
        }
        CHECK(atomic_fetch_add(&inside_n, 1) == 0);
        CHECK(lock.fence > atomic_load(&fence_last));
        atomic_store(&fence_last, lock.fence);
        CHECK(kith_lock_fence(node, lock.id) == lock.fence);
        struct kith_var_options guarded = {.type = KITH_TYPE_I64,
                                           .guard = {.mutex = "m", .fence = lock.fence}};
        uint8_t bytes[8];
        CHECK(kith_var_get(node, "guarded", &guarded, &value) == 0);
        put_le64(bytes, (uint64_t)(value != NULL && value->found ? value->i64 : 0) + 1);
        kith_value_free(value);
        CHECK(kith_var_set(node, "guarded", bytes, 8, &guarded, NULL) == 0);
        CHECK(atomic_fetch_sub(&inside_n, 1) == 1);
        CHECK(kith_unlock(node, lock.id) == 0);
    }
    return NULL;
}

static void one_is_inside_and_what_it_guards_is_exact(void **state)
{
    (void)state;
    in_threads(sections, THREADS);
    assert_true(number_of(agents[1], "guarded") == THREADS * ROUNDS);
}

/* ---- asynchronous forms, watches, lists ---- */

struct told {
    _Atomic unsigned done_n, failed_n, changes_n;
    _Atomic int64_t newest;
};

static void on_value(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct told *told = user;
    (void)node;
    if (value->code != 0)
        atomic_fetch_add(&told->failed_n, 1);
    atomic_fetch_add(&told->done_n, 1);
}

static void on_change(struct kith_node *node, const struct kith_var_change *change, void *user)
{
    struct told *told = user;
    (void)node;
    if (change->value->i64 > atomic_load(&told->newest))
        atomic_store(&told->newest, change->value->i64);
    atomic_fetch_add(&told->changes_n, 1);
}

static struct told told;

static void *asks_without_waiting(void *arg)
{
    unsigned me = *(unsigned *)arg;
    struct kith_node *node = agent_of(me);
    const struct kith_var_op add = {.kind = KITH_VAR_ADD, .delta = 1};
    const struct kith_var_options durable = {.policy = KITH_POLICY_DURABLE};
    const struct kith_var_options available = {.policy = KITH_POLICY_AVAILABLE,
                                               .merge = KITH_MERGE_COUNTER};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kith_var_list *list = NULL;

        CHECK(kith_var_do_async(node, "watched/n", &add, NULL, on_value, &told) == 0);
        CHECK(kith_var_do_async(node, "durable", &add, &durable, on_value, &told) == 0);
        CHECK(kith_var_do_async(node, "everywhere", &add, &available, on_value, &told) == 0);
        CHECK(kith_var_list(node, "watched/", &list) == 0);
        kith_var_list_free(list);
        /* A watch that comes and goes meanwhile. */
        int64_t no = kith_var_watch(node, "wat*", on_change, &told);
        CHECK(no > 0);
        kith_var_unwatch(node, no);
    }
    return NULL;
}

static bool watch_is_there(void *arg)
{
    return atomic_load(&((struct told *)arg)->newest) == THREADS * ROUNDS;
}

static bool counters_are_one(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < AGENTS; i++) {
        if (number_of(agents[i], "everywhere") != THREADS * ROUNDS)
            return false;
    }
    return true;
}

static void callbacks_come_once_each_and_a_watch_sees_the_last(void **state)
{
    static struct told watched;

    (void)state;
    int64_t no = kith_var_watch(agents[2], "watched/*", on_change, &watched);
    assert_true(no > 0);
    in_threads(asks_without_waiting, THREADS);
    assert_true(lab_wait_count(&told.done_n, 3 * THREADS * ROUNDS));
    assert_int_equal(atomic_load(&told.failed_n), 0);
    assert_true(number_of(agents[0], "watched/n") == THREADS * ROUNDS);
    assert_true(number_of(agents[0], "durable") == THREADS * ROUNDS);
    assert_true(lab_wait(watch_is_there, &watched));
    assert_true(lab_wait(counters_are_one, NULL));
    kith_var_unwatch(agents[2], no);
}

/* ---- asked for in callbacks ---- */

#define CHAINS     150 /* more than memory is kept for */
#define LINKS      6
#define LINK_BYTES 900

struct chain {
    char name[16];
    uint8_t data[LINK_BYTES];
    size_t len;
    unsigned left;
};
static struct chain chains[CHAINS];
static _Atomic unsigned chains_over_n;

static void on_link(struct kith_node *node, const struct kith_value *value, void *user);

static void next_link(struct kith_node *node, struct chain *chain)
{
    const struct kith_var_options bytes = {.type = KITH_TYPE_BYTES};

    chain->left--;
    chain->len = (chain->len * 7 + 131) % LINK_BYTES;
    memset(chain->data, (int)(chain->left + chain->len), chain->len);
    const struct kith_var_op set = {.kind = KITH_VAR_SET, .data = chain->data, .len = chain->len};
    CHECK(kith_var_do_async(node, chain->name, &set, &bytes, on_link, chain) == 0);
}

static void on_link(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct chain *chain = user;

    CHECK(value->code == 0 && value->applied && value->len == chain->len);
    CHECK(chain->len == 0 || memcmp(value->data, chain->data, chain->len) == 0);
    if (chain->left > 0) {
        size_t len = value->len;
        uint8_t first = len > 0 ? ((const uint8_t *)value->data)[0] : 0;
        next_link(node, chain);
        /* What is told stays as it is until the callback returns, whatever that asks for. */
        CHECK(value->len == len && (len == 0 || ((const uint8_t *)value->data)[0] == first));
        return;
    }
    atomic_fetch_add(&chains_over_n, 1);
}

static void begin_chains(struct kith_node *node, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < CHAINS; i++) {
        chains[i] = (struct chain){.len = i, .left = LINKS};
        (void)snprintf(chains[i].name, sizeof(chains[i].name), "chain/%u", i);
        next_link(node, &chains[i]);
    }
}

static void operations_asked_for_in_callbacks_keep_what_they_carry(void **state)
{
    (void)state;
    atomic_store(&wrong_n, 0);
    assert_int_equal(node_run(agents[0], begin_chains, NULL), 0);
    assert_true(lab_wait_count(&chains_over_n, CHAINS));
    assert_int_equal(atomic_load(&wrong_n), 0);
    for (unsigned i = 0; i < CHAINS; i++) {
        struct kith_value *value = NULL;
        assert_int_equal(kith_var_get(agents[1], chains[i].name, NULL, &value), 0);
        assert_int_equal(value->len, chains[i].len);
        assert_memory_equal(value->data, chains[i].data, chains[i].len);
        kith_value_free(value);
    }
}

static void watch_and_let_go(struct kith_node *node, void *arg)
{
    int64_t no = kith_var_watch(node, "given/*", on_change, arg);

    CHECK(no > 0);
    kith_var_unwatch(node, no);
}

/* Whoever asked may free what the callback would need: a client that goes in the same turn. */
static void a_watch_given_up_before_it_begins_tells_nothing(void **state)
{
    static struct told given, after;
    const struct kith_var_options available = {.policy = KITH_POLICY_AVAILABLE};

    (void)state;
    assert_int_equal(kith_var_set(agents[0], "given/up", "x", 1, NULL, NULL), 0);
    assert_int_equal(kith_var_set(agents[0], "given/too", "x", 1, &available, NULL), 0);
    assert_int_equal(node_run(agents[0], watch_and_let_go, &given), 0);
    int64_t no = kith_var_watch(agents[0], "given/*", on_change, &after);
    assert_true(no > 0);
    assert_true(lab_wait_count(&after.changes_n, 2)); /* by then it would have been told, too */
    assert_int_equal(atomic_load(&given.changes_n), 0);
    kith_var_unwatch(agents[0], no);
}

/* ---- what is made without a value ---- */

static void made_without_a_value_is_nothing_of_its_type(void **state)
{
    const struct kith_var_op create = {.kind = KITH_VAR_CREATE};
    enum kith_policy policies[] = {KITH_POLICY_VOLATILE, KITH_POLICY_AVAILABLE};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct kith_var_options options = {.type = KITH_TYPE_BOOL, .policy = policies[i]};
        const char *name = i == 0 ? "made/volatile" : "made/available";
        struct kith_value *value = NULL;

        assert_int_equal(kith_var_do(agents[0], name, &create, &options, &value), 0);
        assert_int_equal(value->len, 1);
        assert_int_equal(*(const uint8_t *)value->data, 0);
        kith_value_free(value);
    }
}

/* ---- waits that are given up ---- */

static _Atomic unsigned granted_n, ended_n;

static void on_lock(struct kith_node *node, const struct kith_lock *lock, void *user)
{
    (void)user;
    if (lock->code == 0) {
        atomic_fetch_add(&granted_n, 1);
        (void)kith_unlock(node, lock->id);
    }
    atomic_fetch_add(&ended_n, 1);
}

static void *asks_and_gives_up(void *arg)
{
    unsigned me = *(unsigned *)arg;
    struct kith_node *node = agent_of(me);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kith_lock_options options = {.shared = i % 3 == 0, .try_only = i % 5 == 0};
        struct kith_lock_info *info = NULL;
        struct kith_lock_id id;

        CHECK(kith_lock_async(node, "given-up", &options, on_lock, NULL, &id) == 0);
        if (i % 2 == me % 2)
            CHECK(kith_unlock(node, id) == 0);
        if (i % 8 == 0 && kith_lock_info(node, "given-up", &info) == 0)
            kith_lock_info_free(info);
    }
    return NULL;
}

static void each_wait_ends_once_and_nothing_stays_held(void **state)
{
    struct kith_lock_options soon = {.timeout_ms = LAB_WAIT_MS};
    struct kith_lock lock;

    (void)state;
    in_threads(asks_and_gives_up, THREADS);
    assert_true(lab_wait_count(&ended_n, THREADS * ROUNDS));
    assert_true(atomic_load(&granted_n) > 0);
    for (unsigned i = 0; i < AGENTS; i++) {
        assert_int_equal(kith_lock(agents[i], "given-up", &soon, &lock), 0);
        assert_int_equal(kith_unlock(agents[i], lock.id), 0);
    }
    assert_int_equal(atomic_load(&ended_n), THREADS * ROUNDS);
}

/* ---- waits for a mutex and the spin ---- */

static void look_whether_awaits(struct kith_node *node, void *arg)
{
    *(bool *)arg = node_state_awaits(node);
}

static bool awaits(struct kith_node *node)
{
    bool yes = false;
    assert_int_equal(node_run(node, look_whether_awaits, &yes), 0);
    return yes;
}

static void a_mutex_asked_for_a_moment_ago_is_awaited(void **state)
{
    struct kith_lock_options soon = {.timeout_ms = LAB_WAIT_MS};
    struct kith_lock_id id;
    struct kith_lock lock;
    bool seen = false;
    unsigned asked_n = 0;

    (void)state;
    assert_int_equal(kith_lock(agents[0], "awaited", &soon, &lock), 0);
    atomic_store(&granted_n, 0);
    atomic_store(&ended_n, 0);
    /* On a crowded machine the moment may be over before one can look. */
    for (int i = 0; i < LAB_WAIT_MS && !seen; i++) {
        assert_int_equal(kith_lock_async(agents[1], "awaited", NULL, on_lock, NULL, &id), 0);
        seen = awaits(agents[1]);
        if (!seen)
            assert_int_equal(kith_unlock(agents[1], id), 0);
        asked_n++;
    }
    assert_true(seen);
    for (int i = 0; i < LAB_WAIT_MS && seen; i++) {
        lab_nap();
        seen = awaits(agents[1]);
    }
    assert_false(seen); /* it waits for somebody's work */
    assert_int_equal(atomic_load(&granted_n), 0);
    assert_int_equal(kith_unlock(agents[0], lock.id), 0);
    assert_true(lab_wait_count(&granted_n, 1));
    assert_true(lab_wait_count(&ended_n, asked_n));
    /* What came and what was given up is awaited no more, however lately it was asked for. */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kith_lock(agents[1], "awaited", &soon, &lock), 0);
        assert_false(awaits(agents[1]));
        assert_int_equal(kith_unlock(agents[1], lock.id), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_of_all_threads_are_counted_and_no_read_goes_back),
        cmocka_unit_test(one_is_inside_and_what_it_guards_is_exact),
        cmocka_unit_test(callbacks_come_once_each_and_a_watch_sees_the_last),
        cmocka_unit_test(operations_asked_for_in_callbacks_keep_what_they_carry),
        cmocka_unit_test(a_watch_given_up_before_it_begins_tells_nothing),
        cmocka_unit_test(made_without_a_value_is_nothing_of_its_type),
        cmocka_unit_test(each_wait_ends_once_and_nothing_stays_held),
        cmocka_unit_test(a_mutex_asked_for_a_moment_ago_is_awaited),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
