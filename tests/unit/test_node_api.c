/*
 * The public API on nodes of one process, over real sockets on loopback: programs of one cluster
 * with keys in memory, ports given by the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <semaphore.h>
#include <sodium.h>
#include <stdatomic.h>
#include <time.h>

#include "core/bytes.h"
#include "kith.h"
#include "member/member.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/node.h"

#define NODES   3
#define WAIT_MS 20000

static struct kith_node *nodes[NODES];
static char cluster_text[33], secret_text[65];

static struct kith_config *config_of(const char *name)
{
    struct kith_config *config = kith_config_new();
    assert_non_null(config);
    assert_int_equal(config_set_from(config, "node.role", "program", "test"), 0);
    assert_int_equal(config_set_from(config, "program.cluster_id", cluster_text, "test"), 0);
    assert_int_equal(config_set_from(config, "program.cluster", "test", "test"), 0);
    assert_int_equal(config_set_from(config, "program.secret", secret_text, "test"), 0);
    assert_int_equal(kith_config_set(config, "net.listen", "127.0.0.1:0"), 0);
    assert_int_equal(kith_config_set(config, "node.name", name), 0);
    return config;
}

static void port_run(struct kith_node *node, void *arg)
{
    *(uint16_t *)arg = uv_net_port(node_net(node));
}

static void address_of(struct kith_node *node, char *out, size_t bytes)
{
    uint16_t port = 0;
    assert_int_equal(node_run(node, port_run, &port), 0);
    snprintf(out, bytes, "127.0.0.1:%u", port);
}

static bool wait_until(bool (*ready)(void *arg), void *arg)
{
    for (int i = 0; i < WAIT_MS / 5; i++) {
        if (ready(arg))
            return true;
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool all_known(void *arg)
{
    (void)arg;
    for (int i = 0; i < NODES; i++) {
        struct kith_node_list *list = NULL;
        assert_int_equal(kith_nodes(nodes[i], true, &list), 0);
        size_t alive = 0;
        for (size_t k = 0; k < list->nodes_n; k++)
            alive += list->nodes[k].status == KITH_STATUS_ALIVE;
        kith_node_list_free(list);
        if (alive < NODES)
            return false;
    }
    return true;
}

static int setup(void **state)
{
    uint8_t bytes[32];
    char address[64];

    (void)state;
    assert_true(sodium_init() >= 0);
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(bytes, 16, cluster_text);
    hex_encode(bytes, 32, secret_text);
    for (int i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        struct kith_config *config = config_of(name);
        if (i > 0) {
            address_of(nodes[0], address, sizeof(address));
            assert_int_equal(kith_config_set(config, "net.seed", address), 0);
        }
        int r = kith_node_start(config, &nodes[i]);
        if (r != 0)
            fprintf(stderr, "%s\n", kith_errmsg());
        assert_int_equal(r, 0);
        kith_config_free(config);
    }
    assert_true(wait_until(all_known, NULL));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        kith_node_stop(nodes[i]);
    return 0;
}

/* ---- functions of the tests ---- */

static int upper(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char out[256];
    (void)user;
    if (len > sizeof(out))
        return kith_fail(ctx, 7, "too long");
    for (size_t i = 0; i < len; i++) {
        char c = ((const char *)arg)[i];
        out[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    return kith_reply(ctx, out, len);
}

static int big(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    size_t want = 0;
    (void)user;
    if (len != sizeof(want))
        return kith_fail(ctx, 1, "size_t wanted");
    memcpy(&want, arg, sizeof(want));
    uint8_t *out = malloc(want);
    for (size_t i = 0; i < want; i++)
        out[i] = (uint8_t)(i * 7);
    return kith_reply_take(ctx, out, want);
}

static int fails(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    (void)user;
    return kith_fail(ctx, 42, "it is always so");
}

static void offer(struct kith_node *node, const char *name, kith_fn fn, uint32_t flags)
{
    struct kith_export desc = {.name = name, .fn = fn, .flags = flags};
    int r = kith_export(node, &desc);
    if (r != 0)
        fprintf(stderr, "%s\n", kith_errmsg());
    assert_int_equal(r, 0);
}

static struct kith_call_options soon(void)
{
    return (struct kith_call_options){.timeout_ms = WAIT_MS, .wait_for_function = true};
}

static void call_by_name_reaches_the_node_that_has_it(void **state)
{
    struct kith_call_options options = soon();
    struct kith_reply *reply = NULL;

    (void)state;
    offer(nodes[1], "upper", upper, KITH_FN_IDEMPOTENT);
    assert_int_equal(kith_call(nodes[0], "upper", "hello", 5, &options, &reply), 0);
    assert_int_equal(reply->result.len, 5);
    assert_memory_equal(reply->result.data, "HELLO", 5);
    assert_string_equal(reply->result.node_name, "n1");
    kith_reply_free(reply);
    assert_int_equal(kith_unexport(nodes[1], "upper"), 0);
}

static void inline_function_is_called_many_times(void **state)
{
    struct kith_call_options options = soon();

    (void)state;
    offer(nodes[1], "up", upper, KITH_FN_INLINE);
    for (int i = 0; i < 1000; i++) {
        struct kith_reply *reply = NULL;
        assert_int_equal(kith_call(nodes[2], "up", "abc", 3, &options, &reply), 0);
        assert_memory_equal(reply->result.data, "ABC", 3);
        kith_reply_free(reply);
    }
    assert_int_equal(kith_unexport(nodes[1], "up"), 0);
}

static void large_reply_arrives_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 65536, 1000000, 16 * 1024 * 1024};
    struct kith_call_options options = soon();

    (void)state;
    offer(nodes[2], "big", big, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kith_reply *reply = NULL;
        int r = kith_call(nodes[0], "big", &sizes[i], sizeof(size_t), &options, &reply);
        if (r != 0)
            fprintf(stderr, "%zu: %s\n", sizes[i], kith_errmsg());
        assert_int_equal(r, 0);
        assert_int_equal(reply->result.len, sizes[i]);
        const uint8_t *data = reply->result.data;
        for (size_t k = 0; k < sizes[i]; k++)
            if (data[k] != (uint8_t)(k * 7))
                fail_msg("byte %zu of %zu is wrong", k, sizes[i]);
        kith_reply_free(reply);
    }
    assert_int_equal(kith_unexport(nodes[2], "big"), 0);
}

static void function_error_reaches_the_caller(void **state)
{
    struct kith_call_options options = soon();
    struct kith_reply *reply = NULL;

    (void)state;
    offer(nodes[1], "fails", fails, 0);
    assert_int_equal(kith_call(nodes[0], "fails", NULL, 0, &options, &reply), KITH_E_APP);
    assert_int_equal(reply->result.outcome, KITH_OUTCOME_APP_ERROR);
    assert_int_equal(reply->result.code, 42);
    assert_memory_equal(reply->result.data, "it is always so", reply->result.len);
    kith_reply_free(reply);
    assert_int_equal(kith_unexport(nodes[1], "fails"), 0);
}

static void unknown_function_names_the_nearest(void **state)
{
    struct kith_call_options options = soon();

    (void)state;
    offer(nodes[0], "greeting", upper, 0);
    options.wait_for_function = false;
    assert_int_equal(kith_call(nodes[0], "greetin", NULL, 0, &options, NULL), KITH_E_NO_FUNCTION);
    assert_non_null(strstr(kith_errmsg(), "greeting"));
    assert_int_equal(kith_unexport(nodes[0], "greeting"), 0);
}

struct from_callback {
    int code;
    sem_t done;
};

static void sync_in_callback(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct from_callback *from = user;
    (void)result;
    from->code = kith_call(node, "sys.none", NULL, 0, NULL, NULL);
    sem_post(&from->done);
}

static void synchronous_call_in_a_callback_would_deadlock(void **state)
{
    struct from_callback from = {0};
    struct kith_call_options options = soon();

    (void)state;
    sem_init(&from.done, 0, 0);
    offer(nodes[1], "up2", upper, KITH_FN_INLINE);
    assert_int_equal(
        kith_call_async(nodes[0], "up2", "a", 1, &options, sync_in_callback, &from, NULL), 0);
    sem_wait(&from.done);
    assert_int_equal(from.code, KITH_E_WOULD_DEADLOCK);
    assert_int_equal(kith_unexport(nodes[1], "up2"), 0);
}

/* ---- chains of calls from callbacks: nesting ---- */

struct chain {
    unsigned left;
    unsigned wrong;
    sem_t done;
};

static void next_in_chain(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct chain *chain = user;
    chain->wrong += result->outcome != KITH_OUTCOME_OK || result->len != 4;
    if (--chain->left == 0) {
        sem_post(&chain->done);
        return;
    }
    assert_int_equal(kith_call_async(node, "loop", "abcd", 4, NULL, next_in_chain, chain, NULL), 0);
}

static void call_from_the_callback_of_a_call(void **state)
{
    struct chain remote = {.left = 5000}, local = {.left = 5000};
    struct kith_call_options options = soon();

    (void)state;
    sem_init(&remote.done, 0, 0);
    sem_init(&local.done, 0, 0);
    offer(nodes[1], "loop", upper, KITH_FN_INLINE);
    assert_int_equal(
        kith_call_async(nodes[0], "loop", "abcd", 4, &options, next_in_chain, &remote, NULL), 0);
    assert_int_equal(
        kith_call_async(nodes[1], "loop", "abcd", 4, &options, next_in_chain, &local, NULL), 0);
    sem_wait(&remote.done);
    sem_wait(&local.done);
    assert_int_equal(remote.wrong, 0);
    assert_int_equal(local.wrong, 0);
    assert_int_equal(kith_unexport(nodes[1], "loop"), 0);
}

/* ---- maps ---- */

struct gather {
    uint64_t n, wrong, next;
    bool ordered;
};

static void
on_item(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct gather *gather = user;
    char expected[16];
    (void)map;
    snprintf(expected, sizeof(expected), "ITEM%llu", (unsigned long long)index);
    gather->n++;
    gather->wrong += result->outcome != KITH_OUTCOME_OK || result->len != strlen(expected) ||
                     memcmp(result->data, expected, result->len) != 0;
    if (gather->ordered)
        gather->wrong += index != gather->next++;
}

static bool nobody_left(void *arg)
{
    struct kith_function_list *list = NULL;
    bool found = false;
    assert_int_equal(kith_functions(nodes[0], &list), 0);
    for (size_t i = 0; i < list->functions_n; i++)
        found |= strcmp(list->functions[i].name, arg) == 0;
    kith_function_list_free(list);
    return !found;
}

static void map_uses_all_nodes(void **state)
{
    enum { ITEMS = 3000 };
    static char texts[ITEMS][16];
    static struct kith_bytes items[ITEMS];
    struct gather gather = {.ordered = true};
    struct kith_map_options options = {.ordered = true, .on_result = on_item, .user = &gather};

    (void)state;
    for (int i = 0; i < ITEMS; i++) {
        items[i].len = (size_t)snprintf(texts[i], sizeof(texts[i]), "item%d", i);
        items[i].data = texts[i];
    }
    for (int i = 0; i < NODES; i++)
        offer(nodes[i], "mapped", upper, i == 1 ? KITH_FN_INLINE : 0);
    assert_int_equal(kith_map_run(nodes[0], "mapped", items, ITEMS, &options), 0);
    assert_int_equal(gather.n, ITEMS);
    assert_int_equal(gather.wrong, 0);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(kith_unexport(nodes[i], "mapped"), 0);
    assert_true(wait_until(nobody_left, (void *)(uintptr_t) "mapped"));
}

static void empty_map_ends_at_once(void **state)
{
    (void)state;
    assert_int_equal(kith_map_run(nodes[0], "mapped", NULL, 0, NULL), 0);
}

/* ---- multicall, cancel ---- */

static void multicall_asks_every_node_that_has_it(void **state)
{
    struct kith_replies *replies = NULL;

    (void)state;
    for (int i = 0; i < NODES; i++)
        offer(nodes[i], "everywhere", upper, 0);
    for (int tries = 0; tries < WAIT_MS / 5; tries++) {
        int n = kith_multicall(nodes[0], "everywhere", "x", 1, NULL, 0, NULL, &replies);
        assert_true(n >= 0);
        if (n == NODES)
            break;
        kith_replies_free(replies);
        replies = NULL;
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
    assert_non_null(replies);
    assert_int_equal(replies->replies_n, NODES);
    for (size_t i = 0; i < NODES; i++)
        assert_memory_equal(replies->replies[i].result.data, "X", 1);
    kith_replies_free(replies);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(kith_unexport(nodes[i], "everywhere"), 0);
}

static _Atomic int waiting_started, waiting_cancelled;

static int waits(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    (void)user;
    atomic_store(&waiting_started, 1);
    for (int i = 0; i < WAIT_MS / 5 && !kith_ctx_cancelled(ctx); i++) {
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
    atomic_store(&waiting_cancelled, kith_ctx_cancelled(ctx));
    return 0;
}

struct one_result {
    enum kith_outcome outcome;
    int code;
    sem_t done;
};

static void on_one(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct one_result *one = user;
    (void)node;
    one->outcome = result->outcome;
    one->code = result->code;
    sem_post(&one->done);
}

static bool is_set(void *flag)
{
    return atomic_load((_Atomic int *)flag) != 0;
}

static void cancel_reaches_the_running_function(void **state)
{
    struct one_result one = {0};
    struct kith_call_id call;
    struct kith_call_options options = soon();

    (void)state;
    sem_init(&one.done, 0, 0);
    offer(nodes[1], "waits", waits, 0);
    assert_int_equal(kith_call_async(nodes[0], "waits", NULL, 0, &options, on_one, &one, &call), 0);
    assert_true(wait_until(is_set, &waiting_started));
    kith_cancel(nodes[0], call);
    sem_wait(&one.done);
    assert_int_equal(one.outcome, KITH_OUTCOME_UNKNOWN);
    assert_int_equal(one.code, KITH_E_CANCELED);
    assert_true(wait_until(is_set, &waiting_cancelled));
    assert_int_equal(kith_unexport(nodes[1], "waits"), 0);
}

/* Does not look at its deadline, and is not done before it. */
static int stubborn(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct timespec nap = {.tv_nsec = 700000000};
    (void)ctx;
    (void)arg;
    (void)len;
    (void)user;
    nanosleep(&nap, NULL);
    return 0;
}

static void deadline_passes_while_the_function_runs(void **state)
{
    struct kith_call_options options = soon();

    (void)state;
    offer(nodes[1], "slow", stubborn, 0);
    options.timeout_ms = 300;
    int r = kith_call(nodes[0], "slow", NULL, 0, &options, NULL);
    assert_int_equal(r, KITH_E_TIMEOUT);
    assert_int_equal(kith_unexport(nodes[1], "slow"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_by_name_reaches_the_node_that_has_it),
        cmocka_unit_test(inline_function_is_called_many_times),
        cmocka_unit_test(large_reply_arrives_whole),
        cmocka_unit_test(function_error_reaches_the_caller),
        cmocka_unit_test(unknown_function_names_the_nearest),
        cmocka_unit_test(synchronous_call_in_a_callback_would_deadlock),
        cmocka_unit_test(call_from_the_callback_of_a_call),
        cmocka_unit_test(map_uses_all_nodes),
        cmocka_unit_test(empty_map_ends_at_once),
        cmocka_unit_test(multicall_asks_every_node_that_has_it),
        cmocka_unit_test(cancel_reaches_the_running_function),
        cmocka_unit_test(deadline_passes_while_the_function_runs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
