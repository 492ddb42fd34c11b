/* Giving up on a call to several nodes: before, while and after it runs, from wherever. */
#include <pthread.h>
#include <string.h>

#include "../lib/node_lab.h"

#define NODES_N 3

static struct kith_node *nodes[NODES_N];

/* What a multicall of a test came to. */
struct story {
    _Atomic unsigned results, done;
    _Atomic unsigned ok, cancelled, other;
    _Atomic size_t ok_told, asked_told;
    struct kith_multicall_id id;
    bool first_wins; /* the first OK cancels the rest */
};

static void on_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct story *story = user;
    bool ok = result->outcome == KITH_OUTCOME_OK;
    if (ok)
        atomic_fetch_add(&story->ok, 1);
    else if (result->code == KITH_E_CANCELED)
        atomic_fetch_add(&story->cancelled, 1);
    else
        atomic_fetch_add(&story->other, 1);
    atomic_fetch_add(&story->results, 1);
    if (ok && story->first_wins)
        kith_multicall_cancel(node, story->id);
}

static void on_done(struct kith_node *node, size_t ok_n, size_t asked_n, void *user)
{
    struct story *story = user;
    (void)node;
    atomic_store(&story->ok_told, ok_n);
    atomic_store(&story->asked_told, asked_n);
    atomic_fetch_add(&story->done, 1);
}

/* How many began, and how many of them ended because they were told to. */
static _Atomic unsigned begun, told;

static int until_cancelled(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    (void)user;
    atomic_fetch_add(&begun, 1);
    for (int i = 0; i < LAB_WAIT_MS && !kith_ctx_cancelled(ctx); i++)
        lab_nap();
    atomic_fetch_add(&told, 1);
    /* An answer that still reaches a node which leaves is no success. */
    return kith_ctx_cancelled(ctx) ? KITH_E_CANCELED : 0;
}

static int group_setup(void **state)
{
    static const char *const names[NODES_N] = {"a", "b", "c"};

    (void)state;
    for (int i = 0; i < NODES_N; i++) {
        nodes[i] = lab_start(names[i], i > 0 ? nodes[0] : NULL);
        lab_offer(nodes[i], "long", until_cancelled, 0, NULL);
        lab_offer(nodes[i], "short", lab_echo, 0, NULL);
        lab_offer(nodes[i], "inline", lab_echo, KITH_FN_INLINE, NULL);
        /* One answers, the others run on. */
        lab_offer(nodes[i], "race", i == 1 ? lab_echo : until_cancelled, 0, NULL);
    }
    lab_wait_function(nodes[0], "race", NODES_N);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < NODES_N; i++)
        kith_node_stop(nodes[i]);
    return 0;
}

static void start(struct story *story, const char *fn)
{
    struct kith_call_options options = {.timeout_ms = 4u * LAB_WAIT_MS};
    int n = kith_multicall_async(nodes[0], fn, "x", 1, NULL, 0, &options, on_result, on_done, story,
                                 &story->id);
    assert_int_equal(n, NODES_N);
}

/* It has come to its end once, with one result for each node. */
static void ended(struct story *story)
{
    assert_true(lab_wait_count(&story->done, 1));
    assert_int_equal(story->results, NODES_N);
    assert_int_equal(story->ok + story->cancelled, NODES_N);
    assert_int_equal(story->ok_told, story->ok);
    assert_int_equal(story->asked_told, NODES_N);
}

static void cancelled_at_once_nothing_is_waited_for(void **state)
{
    struct story story = {0};

    (void)state;
    start(&story, "long");
    kith_multicall_cancel(nodes[0], story.id);
    ended(&story);
    assert_int_equal(story.cancelled, NODES_N);
}

static void cancelled_while_it_runs_every_server_is_told(void **state)
{
    struct story story = {0};
    unsigned begun_before = begun;

    (void)state;
    /* What the last case began has ended. */
    assert_true(lab_wait_count(&told, begun_before));
    unsigned told_before = told;
    start(&story, "long");
    assert_true(lab_wait_count(&begun, begun_before + NODES_N));
    assert_int_equal(story.results, 0);
    kith_multicall_cancel(nodes[0], story.id);
    kith_multicall_cancel(nodes[0], story.id); /* a second time is nothing */
    ended(&story);
    assert_int_equal(story.cancelled, NODES_N);
    assert_true(lab_wait_count(&told, told_before + NODES_N));
}

static void cancelled_after_its_end_nothing_happens(void **state)
{
    struct story story = {0}, next = {0};

    (void)state;
    start(&story, "short");
    ended(&story);
    assert_int_equal(story.ok, NODES_N);
    start(&next, "short");
    kith_multicall_cancel(nodes[0], story.id); /* not the next one */
    kith_multicall_cancel(nodes[0], (struct kith_multicall_id){0});
    kith_multicall_cancel(nodes[0], (struct kith_multicall_id){.no = 1, .calls_n = UINT64_MAX});
    ended(&next);
    assert_int_equal(next.ok, NODES_N);
    assert_int_equal(story.results, NODES_N);
    assert_int_equal(story.done, 1);
}

static void the_first_answer_may_cancel_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct story story = {.first_wins = true};
        start(&story, "race");
        ended(&story);
        assert_int_equal(story.ok, 1);
    }
    /* Also if that answer comes while the others are being asked. */
    for (int i = 0; i < 50; i++) {
        struct story story = {.first_wins = true};
        start(&story, "inline");
        ended(&story);
        assert_true(story.ok >= 1);
    }
}

/* ---- on the loop ---- */

static void start_and_cancel(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct story *story = user;
    struct kith_call_options options = {.timeout_ms = 4u * LAB_WAIT_MS};
    (void)result;
    if (kith_multicall_async(node, "long", "x", 1, NULL, 0, &options, on_result, on_done, story,
                             &story->id) == NODES_N)
        kith_multicall_cancel(node, story->id);
}

static void a_callback_may_start_and_cancel_one(void **state)
{
    struct story story = {0};

    (void)state;
    assert_int_equal(
        kith_call_async(nodes[0], "short", "x", 1, NULL, start_and_cancel, &story, NULL), 0);
    ended(&story);
    assert_int_equal(story.cancelled, NODES_N);
}

/* ---- another thread ---- */

static void *cancel_elsewhere(void *arg)
{
    struct story *story = arg;
    kith_multicall_cancel(nodes[0], story->id);
    return NULL;
}

static void any_thread_may_cancel_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct story story = {0};
        pthread_t thread;
        start(&story, i % 2 == 0 ? "short" : "long");
        assert_int_equal(pthread_create(&thread, NULL, cancel_elsewhere, &story), 0);
        ended(&story);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (i % 2 != 0)
            assert_int_equal(story.cancelled, NODES_N);
    }
    assert_true(lab_wait_count(&told, begun));
}

static void one_that_stops_takes_its_multicalls_along(void **state)
{
    struct story story = {0};
    struct kith_node *late = lab_start("late", nodes[0]);

    (void)state;
    lab_wait_function(late, "long", NODES_N);
    struct kith_call_options options = {.timeout_ms = 4u * LAB_WAIT_MS};
    assert_int_equal(kith_multicall_async(late, "long", "x", 1, NULL, 0, &options, on_result,
                                          on_done, &story, &story.id),
                     NODES_N);
    kith_node_stop(late);
    assert_int_equal(story.done, 1);
    assert_int_equal(story.results, NODES_N);
    assert_int_equal(story.ok, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancelled_at_once_nothing_is_waited_for),
        cmocka_unit_test(cancelled_while_it_runs_every_server_is_told),
        cmocka_unit_test(cancelled_after_its_end_nothing_happens),
        cmocka_unit_test(the_first_answer_may_cancel_the_rest),
        cmocka_unit_test(a_callback_may_start_and_cancel_one),
        cmocka_unit_test(any_thread_may_cancel_at_any_moment),
        cmocka_unit_test(one_that_stops_takes_its_multicalls_along),
    };
    return cmocka_run_group_tests_name("node_multicall", tests, group_setup, group_teardown);
}
