/*
 * Calls in their less common forms: casts, partial results, deferred functions, unexporting while
 * they run, replies under callbacks that go on calling, completions, what sentences arrive where.
 */
#include "lib/node_lab.h"

#include <pthread.h>
#include <semaphore.h>

static struct kith_node *a, *b;

static int setup(void **state)
{
    (void)state;
    a = lab_start("a", NULL);
    b = lab_start("b", a);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kith_node_stop(a);
    kith_node_stop(b);
    return 0;
}

/* Waits as long as a case may last; a callback posts. */
static void wait_sem(sem_t *sem)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LAB_WAIT_MS / 1000;
    assert_int_equal(sem_timedwait(sem, &end), 0);
}

static int counts(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    atomic_fetch_add((_Atomic unsigned *)user, 1);
    return kith_reply(ctx, NULL, 0);
}

static void cast_runs_and_says_nothing(void **state)
{
    _Atomic unsigned n = 0;
    struct kith_call_options options = {.node = "b"};

    (void)state;
    lab_offer(b, "count", counts, 0, &n);
    lab_wait_function(a, "count", 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(kith_cast(a, "count", "x", 1, &options), 0);
    assert_true(lab_wait_count(&n, 100));
    assert_int_equal(kith_unexport(b, "count"), 0);
}

/* ---- partial results ---- */

enum { PARTS = 50 };

static int in_parts(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    (void)user;
    for (int i = 0; i < PARTS; i++)
        if (kith_partial(ctx, &i, sizeof(i)) != 0)
            return kith_fail(ctx, 1, kith_errmsg());
    return kith_reply(ctx, "end", 3);
}

/* on_partial has no pointer of its own but the one of the call. */
struct parts {
    int next;
    int wrong;
    int seen_at_end;
    sem_t done;
};

static void on_part(struct kith_node *node, const void *data, size_t len, void *user)
{
    struct parts *parts = user;
    int i = -1;
    (void)node;
    if (len == sizeof(i))
        memcpy(&i, data, sizeof(i));
    parts->wrong += i != parts->next++;
}

static void on_parts_end(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct parts *parts = user;
    (void)node;
    parts->wrong += result->outcome != KITH_OUTCOME_OK || result->len != 3;
    parts->seen_at_end = parts->next;
    (void)sem_post(&parts->done);
}

static void parts_of(struct kith_node *caller, uint32_t flags)
{
    struct parts parts = {0};
    struct kith_call_options options = lab_soon();

    options.on_partial = on_part;
    (void)sem_init(&parts.done, 0, 0);
    lab_offer(b, "parts", in_parts, flags, NULL);
    assert_int_equal(
        kith_call_async(caller, "parts", NULL, 0, &options, on_parts_end, &parts, NULL), 0);
    wait_sem(&parts.done);
    assert_int_equal(parts.wrong, 0);
    assert_int_equal(parts.seen_at_end, PARTS);
    assert_int_equal(kith_unexport(b, "parts"), 0);
    lab_wait_function(a, "parts", 0);
}

static void partial_results_come_in_order_before_the_end(void **state)
{
    (void)state;
    parts_of(a, 0);
    parts_of(b, 0);
}

/* The end of an inline function must not overtake its partial results. */
static void partial_results_of_inline_functions_too(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        parts_of(a, KITH_FN_INLINE);
        parts_of(b, KITH_FN_INLINE);
        parts_of(b, KITH_FN_DEFERRED);
    }
}

static int too_large_part(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    static const uint8_t bytes[64 * 1024 + 1];
    (void)arg;
    (void)len;
    (void)user;
    int r = kith_partial(ctx, bytes, sizeof(bytes));
    return kith_reply(ctx, &r, sizeof(r));
}

static void partial_result_above_the_limit_is_refused(void **state)
{
    struct kith_call_options options = lab_soon();
    struct kith_reply *reply = NULL;
    int code = 0;

    (void)state;
    lab_offer(b, "part", too_large_part, 0, NULL);
    assert_int_equal(kith_call(a, "part", NULL, 0, &options, &reply), 0);
    memcpy(&code, reply->result.data, sizeof(code));
    assert_int_equal(code, KITH_E_TOO_LARGE);
    kith_reply_free(reply);
    assert_int_equal(kith_unexport(b, "part"), 0);
}

/* ---- deferred functions ---- */

static void *replies(void *arg)
{
    struct kith_ctx *ctx = arg;
    for (int i = 0; i < 5; i++)
        (void)kith_partial(ctx, &i, sizeof(i));
    (void)kith_reply(ctx, "later", 5);
    return NULL;
}

static int defers(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    pthread_t thread;
    (void)arg;
    (void)len;
    (void)user;
    if (pthread_create(&thread, NULL, replies, ctx) != 0)
        return kith_fail(ctx, 1, "no thread");
    (void)pthread_detach(thread);
    return KITH_PENDING;
}

static void deferred_function_replies_from_another_thread(void **state)
{
    struct kith_call_options options = lab_soon();

    (void)state;
    lab_offer(b, "later", defers, KITH_FN_DEFERRED, NULL);
    for (int i = 0; i < 200; i++) {
        struct kith_reply *reply = NULL;
        assert_int_equal(kith_call(i % 2 == 0 ? a : b, "later", NULL, 0, &options, &reply), 0);
        assert_int_equal(reply->result.len, 5);
        assert_memory_equal(reply->result.data, "later", 5);
        kith_reply_free(reply);
    }
    assert_int_equal(kith_unexport(b, "later"), 0);
}

/* ---- replies ---- */

static int ignores_refusal(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    static uint8_t big[16 * 1024 * 1024 + 1];
    (void)arg;
    (void)len;
    (void)user;
    int r = kith_reply(ctx, big, sizeof(big));
    return r == KITH_E_TOO_LARGE ? 0 : 99;
}

static void refused_reply_is_not_taken_for_a_reply(void **state)
{
    struct kith_call_options options = lab_soon();
    struct kith_reply *reply = NULL;

    (void)state;
    lab_offer(b, "huge", ignores_refusal, 0, NULL);
    assert_int_equal(kith_call(a, "huge", NULL, 0, &options, &reply), KITH_E_APP);
    assert_int_equal(reply->result.outcome, KITH_OUTCOME_APP_ERROR);
    assert_int_equal(reply->result.code, 1);
    assert_non_null(strstr(kith_errmsg(), "rpc.reply_bytes_max"));
    kith_reply_free(reply);
    assert_int_equal(kith_unexport(b, "huge"), 0);
}

static int twice(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)user;
    int first = kith_reply(ctx, arg, len);
    int second = kith_fail(ctx, 1, "no");
    return first == 0 && second == KITH_E_EXISTS ? 0 : 5;
}

static void second_reply_is_refused(void **state)
{
    struct kith_call_options options = lab_soon();

    (void)state;
    lab_offer(b, "twice", twice, 0, NULL);
    assert_int_equal(kith_call(a, "twice", "x", 1, &options, NULL), 0);
    assert_int_equal(kith_unexport(b, "twice"), 0);
}

/* The reply stays whole while its callback makes calls that reuse the core's memory. */
struct chain {
    unsigned left, wrong;
    size_t len;
    uint8_t *argument;
    sem_t done;
};

static void next_in_chain(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct chain *chain = user;
    uint8_t mark = (uint8_t)chain->left;

    chain->wrong += result->outcome != KITH_OUTCOME_OK || result->len != chain->len;
    if (--chain->left > 0) {
        memset(chain->argument, (uint8_t)chain->left, chain->len);
        if (kith_call_async(node, "echo", chain->argument, chain->len, NULL, next_in_chain, chain,
                            NULL) != 0)
            chain->wrong++;
    }
    for (size_t i = 0; i < result->len; i++)
        chain->wrong += ((const uint8_t *)result->data)[i] != mark;
    if (chain->left == 0)
        (void)sem_post(&chain->done);
}

static void reply_stays_whole_under_a_callback_that_calls(void **state)
{
    static const size_t lens[] = {1, 64, 300, 1024, 1025, 100000};
    struct kith_call_options options = lab_soon();

    (void)state;
    lab_offer(b, "echo", lab_echo, KITH_FN_INLINE, NULL);
    lab_wait_function(a, "echo", 1);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (int local = 0; local < 2; local++) {
            struct chain chain = {.left = 200, .len = lens[i], .argument = malloc(lens[i])};
            assert_non_null(chain.argument);
            (void)sem_init(&chain.done, 0, 0);
            memset(chain.argument, 200, chain.len);
            assert_int_equal(kith_call_async(local ? b : a, "echo", chain.argument, chain.len,
                                             &options, next_in_chain, &chain, NULL),
                             0);
            wait_sem(&chain.done);
            assert_int_equal(chain.wrong, 0);
            free(chain.argument);
        }
    }
    assert_int_equal(kith_unexport(b, "echo"), 0);
    lab_wait_function(a, "echo", 0);
}

/* Calls in a circle on one node must not keep it from its sockets. */
struct circle {
    _Atomic bool stop;
    sem_t done;
};

static void go_round(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct circle *circle = user;
    (void)result;
    if (atomic_load(&circle->stop) ||
        kith_call_async(node, "round", "x", 1, NULL, go_round, circle, NULL) != 0)
        (void)sem_post(&circle->done);
}

static void calls_in_a_circle_leave_turns_for_others(void **state)
{
    struct circle circle = {0};
    struct kith_call_options options = {.node = "b", .timeout_ms = LAB_WAIT_MS};

    (void)state;
    (void)sem_init(&circle.done, 0, 0);
    lab_offer(b, "round", lab_echo, KITH_FN_INLINE, NULL);
    assert_int_equal(kith_call_async(b, "round", "x", 1, NULL, go_round, &circle, NULL), 0);
    lab_wait_function(a, "round", 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(kith_call(a, "round", "y", 1, &options, NULL), 0);
    atomic_store(&circle.stop, true);
    wait_sem(&circle.done);
    assert_int_equal(kith_unexport(b, "round"), 0);
}

/* ---- functions that block ---- */

static void blocking_function_disturbs_no_other(void **state)
{
    _Atomic unsigned running = 0;
    struct kith_call_options options = {.node = "b", .timeout_ms = LAB_WAIT_MS};
    struct kith_call_id calls[8];

    (void)state;
    lab_offer(b, "blocks", lab_until_cancelled, 0, &running);
    lab_offer(b, "quick", lab_echo, KITH_FN_INLINE, NULL);
    lab_wait_function(a, "blocks", 1);
    lab_wait_function(a, "quick", 1);
    for (int i = 0; i < 8; i++) /* as many as there are workers */
        assert_int_equal(kith_call_async(a, "blocks", NULL, 0, &options, NULL, NULL, &calls[i]), 0);
    assert_true(lab_wait_count(&running, 8));
    for (int i = 0; i < 100; i++)
        assert_int_equal(kith_call(a, "quick", "x", 1, &options, NULL), 0);
    for (int i = 0; i < 8; i++)
        kith_cancel(a, calls[i]);
    assert_int_equal(kith_unexport(b, "blocks"), 0);
    assert_int_equal(kith_unexport(b, "quick"), 0);
}

/* ---- exporting and withdrawing ---- */

static int slow(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    _Atomic unsigned *n = user;
    (void)arg;
    (void)len;
    atomic_fetch_add(&n[0], 1);
    for (int i = 0; i < 50; i++)
        lab_nap();
    atomic_fetch_add(&n[1], 1);
    return kith_reply(ctx, NULL, 0);
}

static void withdrawing_waits_for_what_runs(void **state)
{
    _Atomic unsigned n[2] = {0};
    struct kith_call_options options = lab_soon();

    (void)state;
    for (int i = 0; i < 3; i++) {
        unsigned begun = atomic_load(&n[0]);
        lab_offer(b, "slow", slow, 0, n);
        assert_int_equal(kith_call_async(a, "slow", NULL, 0, &options, NULL, NULL, NULL), 0);
        assert_true(lab_wait_count(&n[0], begun + 1));
        assert_int_equal(kith_unexport(b, "slow"), 0);
        assert_int_equal(atomic_load(&n[1]), begun + 1);
    }
    assert_int_equal(kith_unexport(b, "slow"), KITH_E_NOT_FOUND);
    assert_non_null(strstr(kith_errmsg(), "slow"));
}

static void sentences_arrive_on_the_thread_that_asked(void **state)
{
    struct kith_export desc = {.name = "typed", .fn = lab_echo, .signature = "f(what x) -> bytes"};

    (void)state;
    assert_int_equal(kith_export(b, &desc), KITH_E_PARSE);
    assert_string_not_equal(kith_errmsg(), "");
    desc.signature = "f(i32 x) -> bytes";
    assert_int_equal(kith_export(b, &desc), 0);
    assert_int_equal(kith_export(b, &desc), KITH_E_EXISTS);
    assert_non_null(strstr(kith_errmsg(), "typed"));
    lab_wait_function(a, "typed", 1);

    struct kith_call_options options = {.signature = "f(f64 x) -> bytes"};
    assert_int_equal(kith_call(a, "typed", "x", 1, &options, NULL), KITH_E_SIGNATURE);
    assert_string_not_equal(kith_errmsg(), "");
    options = (struct kith_call_options){.node = "nobody"};
    assert_int_equal(kith_call(a, "typed", "x", 1, &options, NULL), KITH_E_NO_NODE);
    assert_non_null(strstr(kith_errmsg(), "nobody"));
    assert_int_equal(kith_call(a, "not a name", "x", 1, NULL, NULL), KITH_E_NAME);
    assert_int_equal(kith_disconnect(a, "nobody"), KITH_E_NO_NODE);
    assert_non_null(strstr(kith_errmsg(), "nobody"));
    const char *nodes[] = {"b", "nobody"};
    assert_int_equal(kith_multicall(a, "typed", "x", 1, nodes, 2, NULL, NULL), KITH_E_NO_NODE);
    assert_non_null(strstr(kith_errmsg(), "nobody"));
    assert_int_equal(kith_unexport(b, "typed"), 0);
}

/* ---- waiting for functions ---- */

struct one {
    enum kith_outcome outcome;
    int code;
    sem_t done;
};

static void on_one(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct one *one = user;
    (void)node;
    one->outcome = result->outcome;
    one->code = result->code;
    (void)sem_post(&one->done);
}

static void call_waits_for_a_function_to_come(void **state)
{
    struct one one = {0};
    struct kith_call_options options = lab_soon();

    (void)state;
    (void)sem_init(&one.done, 0, 0);
    assert_int_equal(kith_call_async(a, "comes", "x", 1, &options, on_one, &one, NULL), 0);
    lab_offer(b, "comes", lab_echo, 0, NULL);
    wait_sem(&one.done);
    assert_int_equal(one.outcome, KITH_OUTCOME_OK);
    options.timeout_ms = 100;
    assert_int_equal(kith_call(a, "never-comes", "x", 1, &options, NULL), KITH_E_TIMEOUT);
    assert_int_equal(kith_unexport(b, "comes"), 0);
}

/* ---- completions ---- */

struct watcher {
    int64_t other; /* a watch that the first completion ends */
    _Atomic unsigned seen;
    unsigned wrong;
};

static void
on_completion(struct kith_node *node, const struct kith_completion *completion, void *user)
{
    struct watcher *watcher = user;

    watcher->wrong += strcmp(completion->fn, "watched") != 0 ||
                      completion->outcome != KITH_OUTCOME_OK ||
                      strcmp(completion->node_name, "b") != 0;
    atomic_fetch_add(&watcher->seen, 1);
    if (watcher->other != 0)
        kith_unwatch_completions(node, watcher->other);
    watcher->other = 0;
}

static bool watch_sees(void *arg)
{
    struct watcher *watcher = arg;
    struct kith_call_options options = lab_soon();
    assert_int_equal(kith_call(b, "watched", "x", 1, &options, NULL), 0);
    return atomic_load(&watcher->seen) > 0;
}

static void completions_are_seen_from_elsewhere(void **state)
{
    struct watcher first = {0}, second = {0}, third = {0};

    (void)state;
    lab_offer(b, "watched", lab_echo, 0, NULL);
    lab_wait_function(a, "watched", 1);
    int64_t no = kith_watch_completions(a, "watched", on_completion, &first);
    assert_true(no > 0);
    /* The first callback ends the watch whose turn is next. */
    int64_t next = kith_watch_completions(a, "watched", on_completion, &second);
    int64_t last = kith_watch_completions(a, "watched", on_completion, &third);
    assert_true(next > 0 && last > 0);
    first.other = next;
    assert_true(lab_wait(watch_sees, &first));
    assert_true(lab_wait(watch_sees, &third));
    assert_int_equal(atomic_load(&second.seen), 0);
    kith_unwatch_completions(a, no);
    kith_unwatch_completions(a, last);
    unsigned seen = atomic_load(&first.seen);
    struct kith_call_options options = lab_soon();
    assert_int_equal(kith_call(b, "watched", "x", 1, &options, NULL), 0);
    assert_int_equal(kith_call(a, "watched", "x", 1, &options, NULL), 0);
    assert_int_equal(atomic_load(&first.seen), seen);
    assert_int_equal(first.wrong + third.wrong, 0);
    assert_int_equal(kith_watch_completions(a, "no name", on_completion, &first), KITH_E_NAME);
    assert_int_equal(kith_unexport(b, "watched"), 0);
}

/* ---- connecting ---- */

static void connecting_by_hand(void **state)
{
    char address[64];

    (void)state;
    lab_address(b, address, sizeof(address));
    assert_int_equal(kith_connect(a, address, LAB_WAIT_MS), 0);
    lab_address(a, address, sizeof(address));
    assert_int_equal(kith_connect(a, address, LAB_WAIT_MS), 0); /* ourselves */
    int r = kith_connect(a, "127.0.0.1:1", LAB_WAIT_MS);
    assert_true(r == KITH_E_UNREACHABLE || r == KITH_E_TIMEOUT);
    assert_string_not_equal(kith_errmsg(), "");
    assert_true(kith_connect(a, "::::", LAB_WAIT_MS) < 0);
    /* An address where nobody answers: not longer than asked for. */
    struct timespec from, to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    assert_true(kith_connect(a, "192.0.2.1:9", 200) < 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 3);
}

static void disconnecting_while_calls_run_loses_none(void **state)
{
    enum { CALLS = 300 };
    struct one ones[CALLS];
    struct kith_call_options options = {.node = "b", .timeout_ms = LAB_WAIT_MS};

    (void)state;
    lab_offer(b, "echo2", lab_echo, KITH_FN_IDEMPOTENT, NULL);
    lab_wait_function(a, "echo2", 1);
    for (int i = 0; i < CALLS; i++) {
        (void)sem_init(&ones[i].done, 0, 0);
        assert_int_equal(kith_call_async(a, "echo2", "x", 1, &options, on_one, &ones[i], NULL), 0);
        if (i % 100 == 50)
            assert_int_equal(kith_disconnect(a, "b"), 0);
    }
    for (int i = 0; i < CALLS; i++) {
        wait_sem(&ones[i].done);
        assert_int_equal(ones[i].outcome, KITH_OUTCOME_OK);
    }
    assert_int_equal(kith_unexport(b, "echo2"), 0);
}

/* Both call the other and both disconnect, so that openings meet, each of them at any stage. */
static void both_ends_disconnecting_loses_none(void **state)
{
    enum { CALLS = 200 };
    struct one ones[2][CALLS];
    struct kith_node *nodes[2] = {a, b};
    static const char *const names[2] = {"a", "b"};

    (void)state;
    for (int at = 0; at < 2; at++)
        lab_offer(nodes[at], "echo3", lab_echo, KITH_FN_IDEMPOTENT, NULL);
    for (int at = 0; at < 2; at++)
        lab_wait_function(nodes[at], "echo3", 2);
    for (int i = 0; i < CALLS; i++) {
        for (int at = 0; at < 2; at++) {
            struct kith_call_options options = {.node = names[1 - at], .timeout_ms = LAB_WAIT_MS};
            (void)sem_init(&ones[at][i].done, 0, 0);
            assert_int_equal(
                kith_call_async(nodes[at], "echo3", "x", 1, &options, on_one, &ones[at][i], NULL),
                0);
            if (i % 40 == 20)
                assert_int_equal(kith_disconnect(nodes[at], names[1 - at]), 0);
        }
    }
    for (int i = 0; i < CALLS; i++) {
        for (int at = 0; at < 2; at++) {
            wait_sem(&ones[at][i].done);
            assert_int_equal(ones[at][i].outcome, KITH_OUTCOME_OK);
        }
    }
    for (int at = 0; at < 2; at++)
        assert_int_equal(kith_unexport(nodes[at], "echo3"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cast_runs_and_says_nothing),
        cmocka_unit_test(partial_results_come_in_order_before_the_end),
        cmocka_unit_test(partial_results_of_inline_functions_too),
        cmocka_unit_test(partial_result_above_the_limit_is_refused),
        cmocka_unit_test(deferred_function_replies_from_another_thread),
        cmocka_unit_test(refused_reply_is_not_taken_for_a_reply),
        cmocka_unit_test(second_reply_is_refused),
        cmocka_unit_test(reply_stays_whole_under_a_callback_that_calls),
        cmocka_unit_test(calls_in_a_circle_leave_turns_for_others),
        cmocka_unit_test(blocking_function_disturbs_no_other),
        cmocka_unit_test(withdrawing_waits_for_what_runs),
        cmocka_unit_test(sentences_arrive_on_the_thread_that_asked),
        cmocka_unit_test(call_waits_for_a_function_to_come),
        cmocka_unit_test(completions_are_seen_from_elsewhere),
        cmocka_unit_test(connecting_by_hand),
        cmocka_unit_test(disconnecting_while_calls_run_loses_none),
        cmocka_unit_test(both_ends_disconnecting_loses_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
