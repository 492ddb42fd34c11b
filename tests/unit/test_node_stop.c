/*
 * A node that stops while things are under way: everything ends with KITH_E_STOPPED, nothing hangs,
 * nothing is used after it was freed. The cases are meant for the sanitizers.
 */
#include "lib/node_lab.h"

#include <pthread.h>
#include <semaphore.h>

#include "node/internal.h"
#include "node/uv_fs.h"

#define THREADS 4

struct caller {
    pthread_t thread;
    struct kith_node *node;
    const char *fn;
    int code;
    char text[256];
    _Atomic unsigned calls_n;
};

static void *calls_until_stopped(void *arg)
{
    struct caller *caller = arg;
    struct kith_call_options options = lab_soon();

    do {
        caller->code = kith_call(caller->node, caller->fn, "x", 1, &options, NULL);
        atomic_fetch_add(&caller->calls_n, 1);
    } while (caller->code == 0);
    (void)snprintf(caller->text, sizeof(caller->text), "%s", kith_errmsg());
    return NULL;
}

static void *calls_once(void *arg)
{
    struct caller *caller = arg;
    struct kith_call_options options = lab_soon();
    caller->code = kith_call(caller->node, caller->fn, "x", 1, &options, NULL);
    return NULL;
}

static void
start(struct caller *callers, struct kith_node *node, const char *fn, void *(*run)(void *))
{
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.node = node, .fn = fn};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, run, &callers[i]), 0);
    }
}

static void join(struct caller *callers)
{
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
}

static void callers_on_threads_are_told(void **state)
{
    struct caller callers[THREADS];
    _Atomic unsigned running = 0;

    (void)state;
    for (int round = 0; round < 5; round++) {
        struct kith_node *node = lab_start("a", NULL);
        atomic_store(&running, 0);
        lab_offer(node, "wait", lab_until_cancelled, 0, &running);
        start(callers, node, "wait", calls_once);
        assert_true(lab_wait_count(&running, THREADS)); /* the handle is theirs too by now */
        kith_node_stop(node);
        join(callers);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(callers[i].code, KITH_E_STOPPED);
    }
}

static void calls_in_a_loop_end_when_the_node_stops(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct caller callers[THREADS];
        struct kith_node *a = lab_start("a", NULL), *b = lab_start("b", a);
        lab_offer(b, "echo", lab_echo, KITH_FN_INLINE, NULL);
        lab_wait_function(a, "echo", 1);
        start(callers, b, "echo", calls_until_stopped);
        for (int i = 0; i < THREADS; i++)
            assert_true(lab_wait_count(&callers[i].calls_n, 1));
        kith_node_stop(b);
        join(callers);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(callers[i].code, KITH_E_STOPPED);
            assert_string_not_equal(callers[i].text, "");
        }
        kith_node_stop(a);
    }
}

struct ends {
    _Atomic unsigned n, stopped, more, more_ended;
};

static void on_more(struct kith_node *node, const struct kith_result *result, void *user)
{
    (void)node;
    (void)result;
    atomic_fetch_add(&((struct ends *)user)->more_ended, 1);
}

/* A callback that carries on is told so, and does not keep the node alive. */
static void on_end(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct ends *ends = user;
    atomic_fetch_add(&ends->n, 1);
    if (result->code == KITH_E_STOPPED)
        atomic_fetch_add(&ends->stopped, 1);
    if (kith_call_async(node, "none", NULL, 0, NULL, on_more, ends, NULL) == 0)
        atomic_fetch_add(&ends->more, 1);
}

static void asynchronous_calls_end_once(void **state)
{
    enum { CALLS = 500 };
    struct ends ends = {0};
    struct kith_call_options options = lab_soon();
    struct kith_node *a = lab_start("a", NULL);

    (void)state;
    for (int i = 0; i < CALLS; i++) /* nobody has it: they wait for it */
        assert_int_equal(kith_call_async(a, "wait", "x", 1, &options, on_end, &ends, NULL), 0);
    kith_node_stop(a);
    assert_int_equal(atomic_load(&ends.n), CALLS);
    assert_int_equal(atomic_load(&ends.stopped), CALLS);
    assert_int_equal(atomic_load(&ends.more_ended), atomic_load(&ends.more));
}

/* Ends when it is cancelled, and holds no worker meanwhile. */
static void end_cancelled(struct kith_ctx *ctx, void *user)
{
    (void)user;
    (void)kith_fail(ctx, 1, "cancelled");
}

static int defers_until_cancelled(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    kith_ctx_on_cancel(ctx, end_cancelled, NULL);
    atomic_fetch_add((_Atomic unsigned *)user, 1);
    return KITH_PENDING;
}

struct map_caller {
    pthread_t thread;
    struct kith_node *node;
    char fn[16];
    _Atomic unsigned running;
    int64_t failed;
};

enum { ITEMS = 200 };

static void *maps(void *arg)
{
    static const struct kith_bytes items[ITEMS];
    struct map_caller *caller = arg;
    caller->failed = kith_map_run(caller->node, caller->fn, items, ITEMS, NULL);
    return NULL;
}

static void maps_end(void **state)
{
    struct kith_node *a = lab_start("a", NULL), *b = lab_start("b", a);
    struct map_caller callers[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct map_caller){.node = a};
        (void)snprintf(callers[i].fn, sizeof(callers[i].fn), "wait%d", i);
        lab_offer(a, callers[i].fn, defers_until_cancelled, KITH_FN_DEFERRED, &callers[i].running);
        lab_offer(b, callers[i].fn, defers_until_cancelled, KITH_FN_DEFERRED, &callers[i].running);
        lab_wait_function(a, callers[i].fn, 2);
        assert_int_equal(pthread_create(&callers[i].thread, NULL, maps, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_true(lab_wait_count(&callers[i].running, 2));
    kith_node_stop(a);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_true(callers[i].failed == ITEMS || callers[i].failed == KITH_E_STOPPED);
    }
    kith_node_stop(b);
}

/* A function in a synchronous call of the node that serves it: nobody may wait for the other. */
static int calls_on(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    _Atomic unsigned *running = user;
    struct kith_call_options options = lab_soon();

    (void)arg;
    (void)len;
    atomic_fetch_add(running, 1);
    int r = 0;
    while (r == 0 || r == KITH_E_NO_FUNCTION || r == KITH_E_CANCELED)
        r = kith_call(kith_ctx_node(ctx), "echo", "x", 1, &options, NULL);
    return r == KITH_E_STOPPED ? 0 : kith_fail(ctx, 1, kith_errmsg());
}

static void function_in_a_synchronous_call_does_not_hold_the_end(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct kith_node *node = lab_start("a", NULL);
        _Atomic unsigned running = 0;
        lab_offer(node, "echo", lab_echo, KITH_FN_INLINE, NULL);
        lab_offer(node, "calls", calls_on, 0, &running);
        assert_int_equal(kith_cast(node, "calls", NULL, 0, NULL), 0);
        assert_true(lab_wait_count(&running, 1));
        kith_node_stop(node);
    }
}

/* ---- deferred functions ---- */

struct deferred {
    struct kith_ctx *_Atomic ctx;
    _Atomic unsigned cancelled;
};

static void on_cancel(struct kith_ctx *ctx, void *user)
{
    struct deferred *deferred = user;
    (void)ctx;
    atomic_fetch_add(&deferred->cancelled, 1);
}

static int defers(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct deferred *deferred = user;
    (void)arg;
    (void)len;
    kith_ctx_on_cancel(ctx, on_cancel, deferred);
    atomic_store(&deferred->ctx, ctx);
    return KITH_PENDING;
}

static bool has_ctx(void *arg)
{
    return atomic_load(&((struct deferred *)arg)->ctx) != NULL;
}

/* Replies once it was told that nobody waits: the node must still be there for it. */
static void *replies_late(void *arg)
{
    struct deferred *deferred = arg;
    if (lab_wait_count(&deferred->cancelled, 1))
        (void)kith_reply(atomic_load(&deferred->ctx), "late", 4);
    return NULL;
}

static void deferred_call_is_cancelled_and_waited_for(void **state)
{
    struct deferred deferred;
    memset(&deferred, 0, sizeof(deferred));
    struct kith_node *node = lab_start("a", NULL);
    pthread_t thread;

    (void)state;
    lab_offer(node, "defers", defers, KITH_FN_DEFERRED, &deferred);
    assert_int_equal(kith_cast(node, "defers", NULL, 0, NULL), 0);
    assert_true(lab_wait(has_ctx, &deferred));
    assert_int_equal(pthread_create(&thread, NULL, replies_late, &deferred), 0);
    kith_node_stop(node);
    assert_int_equal(atomic_load(&deferred.cancelled), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- waits ---- */

static void *waits_for_nodes(void *arg)
{
    struct caller *caller = arg;
    atomic_fetch_add(&caller->calls_n, 1);
    caller->code = kith_node_wait_for(caller->node, 99, UINT64_MAX);
    return NULL;
}

/* Nothing is there: the dial goes on until the node stops. */
static void *connects(void *arg)
{
    struct caller *caller = arg;
    atomic_fetch_add(&caller->calls_n, 1);
    caller->code = kith_connect(caller->node, "192.0.2.1:9", UINT64_MAX);
    return NULL;
}

static void waits_end(void **state)
{
    struct kith_node *node = lab_start("a", NULL);
    struct caller waiting = {.node = node}, connecting = {.node = node};

    (void)state;
    assert_int_equal(pthread_create(&waiting.thread, NULL, waits_for_nodes, &waiting), 0);
    assert_int_equal(pthread_create(&connecting.thread, NULL, connects, &connecting), 0);
    assert_true(lab_wait_count(&waiting.calls_n, 1));
    assert_true(lab_wait_count(&connecting.calls_n, 1));
    for (int i = 0; i < 50; i++)
        lab_nap(); /* nobody can see from outside when they are inside */
    kith_node_stop(node);
    assert_int_equal(pthread_join(waiting.thread, NULL), 0);
    assert_int_equal(pthread_join(connecting.thread, NULL), 0);
    assert_int_equal(waiting.code, KITH_E_STOPPED);
    assert_true(connecting.code == KITH_E_STOPPED || connecting.code == KITH_E_UNREACHABLE);
}

/* ---- the last turn of the loop ---- */

static uv_prepare_t in_each_turn;
static uv_timer_t last_timer;
static unsigned last_timers_n, running_n;

static void far(uv_timer_t *timer)
{
    (void)timer;
    fail();
}

/* A turn of libuv may run timers once more when it has closed what was closing: the channel has
 * gone by then. */
static void on_last_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    const uv_timer_t *timers[] = {&node->member_timer, &node->rpc_timer, &node->wait_timer,
                                  &node->state.timer, &node->fs->timer};

    last_timers_n += node->finished;
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
        running_n += uv_is_active((const uv_handle_t *)timers[i]) != 0;
}

/* The turn in which the channel closes, when the workers have been joined: something is still due.
 */
static void on_each_turn(uv_prepare_t *prepare)
{
    struct kith_node *node = prepare->data;

    if (node->workers != NULL)
        return;
    uv_prepare_stop(prepare);
    uv_timer_start(&last_timer, on_last_timer, 1, 0);
    uv_timer_start(&node->member_timer, far, 3600000, 0);
    uv_timer_start(&node->rpc_timer, far, 3600000, 0);
    uv_timer_start(&node->wait_timer, far, 3600000, 0);
    uv_timer_start(&node->state.timer, far, 3600000, 0);
    uv_timer_start(&node->fs->timer, far, 3600000, 0);
    uv_sleep(5);
}

static void look_at_turns(struct kith_node *node, void *arg)
{
    (void)arg;
    uv_timer_init(node_loop(node), &last_timer);
    uv_prepare_init(node_loop(node), &in_each_turn);
    last_timer.data = in_each_turn.data = node;
    uv_prepare_start(&in_each_turn, on_each_turn);
}

static void no_timer_of_a_core_runs_when_the_channel_has_gone(void **state)
{
    struct kith_node *agent;

    (void)state;
    lab_agents_start(&agent, 1);
    assert_int_equal(node_run(agent, look_at_turns, NULL), 0);
    lab_agents_stop(&agent, 1);
    assert_int_equal(last_timers_n, 1);
    assert_int_equal(running_n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_on_threads_are_told),
        cmocka_unit_test(calls_in_a_loop_end_when_the_node_stops),
        cmocka_unit_test(asynchronous_calls_end_once),
        cmocka_unit_test(maps_end),
        cmocka_unit_test(function_in_a_synchronous_call_does_not_hold_the_end),
        cmocka_unit_test(deferred_call_is_cancelled_and_waited_for),
        cmocka_unit_test(waits_end),
        cmocka_unit_test(no_timer_of_a_core_runs_when_the_channel_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
