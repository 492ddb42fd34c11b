/*
 * Every limit of a node that a program can reach, at the limit and one above, and the callbacks for
 * events, among them one that takes too long.
 */
#include "lib/node_lab.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/limits.h"

static struct kith_node *node;

static int setup(void **state)
{
    (void)state;
    node = lab_start("a", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kith_node_stop(node);
    return 0;
}

static void no_event(struct kith_node *at, const struct kith_event *event, void *user)
{
    (void)at;
    (void)event;
    (void)user;
}

static void callbacks_for_events(void **state)
{
    struct kith_node *other = lab_start("limit", NULL);

    (void)state;
    for (int i = 0; i < NODE_EVENT_CBS_MAX; i++)
        assert_int_equal(kith_on_event(other, no_event, NULL), 0);
    assert_int_equal(kith_on_event(other, no_event, NULL), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "64"));
    kith_node_stop(other);
}

static void functions(void **state)
{
    struct kith_export desc = {.fn = lab_echo};
    char name[32];

    (void)state;
    desc.name = name;
    for (int i = 0; i < RPC_FUNCTIONS_NODE_MAX; i++) {
        (void)snprintf(name, sizeof(name), "f%d", i);
        if (kith_export(node, &desc) != 0)
            fail_msg("%d: %s", i, kith_errmsg());
    }
    (void)snprintf(name, sizeof(name), "one-more");
    assert_int_equal(kith_export(node, &desc), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "4096"));
    for (int i = 0; i < RPC_FUNCTIONS_NODE_MAX; i++) {
        (void)snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(kith_unexport(node, name), 0);
    }
    (void)snprintf(name, sizeof(name), "one-more");
    assert_int_equal(kith_export(node, &desc), 0);
    assert_int_equal(kith_unexport(node, name), 0);
}

static void
no_completion(struct kith_node *at, const struct kith_completion *completion, void *user)
{
    (void)at;
    (void)completion;
    (void)user;
}

static void watches(void **state)
{
    int64_t no[RPC_WATCHES_MAX];

    (void)state;
    for (int i = 0; i < RPC_WATCHES_MAX; i++) {
        no[i] = kith_watch_completions(node, "watched", no_completion, NULL);
        assert_true(no[i] > 0);
    }
    assert_int_equal(kith_watch_completions(node, "watched", no_completion, NULL), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "64")); /* on this thread, though found out on the loop */
    kith_unwatch_completions(node, no[7]);
    int64_t again = kith_watch_completions(node, "watched", no_completion, NULL);
    assert_true(again > 0); /* and is ended with the node */
    for (int i = 0; i < RPC_WATCHES_MAX; i++)
        if (i % 2 == 0)
            kith_unwatch_completions(node, no[i]);
}

static void on_map_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    (void)map;
    (void)progress;
    atomic_fetch_add((_Atomic unsigned *)user, 1);
}

static void maps(void **state)
{
    static const struct kith_bytes item;
    static struct kith_map *started[RPC_MAPS_MAX];
    _Atomic unsigned done = 0;
    struct kith_map_options options = {.on_done = on_map_done, .user = &done};

    (void)state;
    for (int i = 0; i < RPC_MAPS_MAX; i++) /* nobody has it: they wait */
        assert_int_equal(kith_map_start(node, "nobody", &item, 1, &options, &started[i]), 0);
    assert_int_equal(kith_map_start(node, "nobody", &item, 1, &options, NULL), KITH_E_LIMIT);
    for (int i = 0; i < RPC_MAPS_MAX; i++)
        kith_map_cancel(started[i]);
    assert_true(lab_wait_count(&done, RPC_MAPS_MAX));
    assert_int_equal(kith_map_run(node, "nobody", NULL, 0, NULL), 0);
}

struct ends {
    _Atomic unsigned n, limit;
};

static void on_end(struct kith_node *at, const struct kith_result *result, void *user)
{
    struct ends *ends = user;
    (void)at;
    if (result->code == KITH_E_LIMIT)
        atomic_fetch_add(&ends->limit, 1);
    atomic_fetch_add(&ends->n, 1);
}

static void calls_under_way(void **state)
{
    struct kith_node *other = lab_start("busy", NULL);
    struct ends ends = {0};
    struct kith_call_options options = {.timeout_ms = 600000, .wait_for_function = true};

    (void)state;
    for (int i = 0; i < RPC_CALLS_PENDING_MAX; i++)
        assert_int_equal(kith_call_async(other, "nobody", NULL, 0, &options, on_end, &ends, NULL),
                         0);
    assert_int_equal(kith_call(other, "nobody", NULL, 0, &options, NULL), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "65536"));
    assert_int_equal(atomic_load(&ends.n), 0);
    kith_node_stop(other);
    assert_int_equal(atomic_load(&ends.n), RPC_CALLS_PENDING_MAX);
    assert_int_equal(atomic_load(&ends.limit), 0);
}

static void arguments(void **state)
{
    size_t max = RPC_BODY_BYTES_MAX;
    uint8_t *bytes = calloc(1, max + 1);
    struct kith_reply *reply = NULL;
    struct kith_bytes item = {.data = bytes, .len = max + 1};

    (void)state;
    assert_non_null(bytes);
    lab_offer(node, "echo", lab_echo, 0, NULL);
    assert_int_equal(kith_call(node, "echo", bytes, max, NULL, &reply), 0);
    assert_int_equal(reply->result.len, max);
    kith_reply_free(reply);
    assert_int_equal(kith_call(node, "echo", bytes, max + 1, NULL, &reply), KITH_E_TOO_LARGE);
    assert_null(reply);
    assert_int_equal(kith_map_run(node, "echo", &item, 1, NULL), KITH_E_TOO_LARGE);
    assert_int_equal(kith_unexport(node, "echo"), 0);
    free(bytes);
}

/* ---- events ---- */

struct seen {
    _Atomic unsigned joined, left, other;
    _Atomic unsigned items; /* of the map that the one who left held */
};

static void on_event(struct kith_node *at, const struct kith_event *event, void *user)
{
    struct seen *seen = user;
    (void)at;
    if (event->type == KITH_EVENT_JOINED && strcmp(event->name, "goes") == 0)
        atomic_fetch_add(&seen->joined, 1);
    else if (event->type == KITH_EVENT_LEFT && strcmp(event->name, "goes") == 0) {
        atomic_fetch_add(&seen->items, (unsigned)event->items_n);
        atomic_fetch_add(&seen->left, 1);
    } else {
        atomic_fetch_add(&seen->other, 1);
    }
}

static void node_that_leaves_is_told_with_what_it_held(void **state)
{
    static const struct kith_bytes items[2];
    struct kith_node *first = lab_start("stays", NULL);
    struct seen seen = {0};
    _Atomic unsigned running = 0, done = 0;
    struct kith_map *map = NULL;
    struct kith_map_options options = {.on_done = on_map_done, .user = &done};

    (void)state;
    assert_int_equal(kith_on_event(first, on_event, &seen), 0);
    struct kith_node *other = lab_start("goes", first);
    lab_offer(other, "hold", lab_until_cancelled, 0, &running);
    lab_wait_function(first, "hold", 1);
    assert_int_equal(kith_map_start(first, "hold", items, 2, &options, &map), 0);
    assert_true(lab_wait_count(&running, 2));
    kith_node_stop(other);
    assert_true(lab_wait_count(&seen.left, 1));
    assert_int_equal(atomic_load(&seen.joined), 1);
    assert_int_equal(atomic_load(&seen.left), 1);
    assert_int_equal(atomic_load(&seen.other), 0);
    assert_int_equal(atomic_load(&seen.items), 2);
    kith_map_cancel(map); /* its items wait for another node */
    assert_true(lab_wait_count(&done, 1));
    kith_node_stop(first);
}

static int takes_long(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct timespec pause = {.tv_nsec = 30000000};
    (void)arg;
    (void)len;
    (void)user;
    (void)nanosleep(&pause, NULL);
    return kith_reply(ctx, NULL, 0);
}

static void callback_that_holds_the_loop_up_is_told(void **state)
{
    char path[] = "/tmp/kith-test-XXXXXX", target[64], line[4096] = "";
    int fd = mkstemp(path);
    struct kith_config *config = lab_config("slow");
    struct kith_node *slow = NULL;

    (void)state;
    assert_true(fd >= 0);
    (void)snprintf(target, sizeof(target), "%s", path);
    assert_int_equal(kith_config_set(config, "log.target", target), 0);
    assert_int_equal(setenv("KITH_CALLBACK_MS", "10", 1), 0);
    assert_int_equal(kith_node_start(config, &slow), 0);
    assert_int_equal(unsetenv("KITH_CALLBACK_MS"), 0);
    lab_offer(slow, "takes-long", takes_long, KITH_FN_INLINE, NULL);
    lab_offer(slow, "quick", lab_echo, KITH_FN_INLINE, NULL);
    assert_int_equal(kith_call(slow, "quick", NULL, 0, NULL, NULL), 0);
    for (int i = 0; i < 5; i++) /* one line a second */
        assert_int_equal(kith_call(slow, "takes-long", NULL, 0, NULL, NULL), 0);
    kith_node_stop(slow);
    kith_config_free(config);
    ssize_t n = read(fd, line, sizeof(line) - 1);
    assert_true(n > 0);
    assert_non_null(strstr(line, "takes-long"));
    assert_null(strstr(line, "quick"));
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_for_events),
        cmocka_unit_test(functions),
        cmocka_unit_test(watches),
        cmocka_unit_test(maps),
        cmocka_unit_test(calls_under_way),
        cmocka_unit_test(arguments),
        cmocka_unit_test(node_that_leaves_is_told_with_what_it_held),
        cmocka_unit_test(callback_that_holds_the_loop_up_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
