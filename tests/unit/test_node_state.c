/* State of items of maps: saved, acknowledged, read elsewhere, resumed from, dropped. */
#include "lib/node_lab.h"

#define FN "work"

/* What the function and the test tell each other. */
static struct shared {
    _Atomic unsigned saved_n;       /* first runs whose state another node has */
    _Atomic(struct kith_node *) at; /* where the first run is */
    _Atomic unsigned resumed_n, anew_n;
    _Atomic int bad;
} shared;

static void reset(void)
{
    atomic_store(&shared.saved_n, 0);
    atomic_store(&shared.at, NULL);
    atomic_store(&shared.resumed_n, 0);
    atomic_store(&shared.anew_n, 0);
    atomic_store(&shared.bad, 0);
}

static bool wait_acked(struct kith_ctx *ctx, int64_t save)
{
    for (int i = 0; i < LAB_WAIT_MS / 2 && kith_state_acked(ctx) < save; i++)
        lab_nap();
    return kith_state_acked(ctx) >= save;
}

/* Begins with three saves and then waits for ever; ends at once if it is resumed, or begins for the
 * second time. */
static int work(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    const void *state = "x";
    size_t state_len = 7;
    char reply[64];

    (void)user;
    if (len != 4 || memcmp(arg, "item", 4) != 0 || ((uintptr_t)arg & 7) != 0)
        atomic_store(&shared.bad, 1);
    int r = kith_state_resume(ctx, &state, &state_len);
    if (r == 0) {
        atomic_fetch_add(&shared.resumed_n, 1);
        (void)snprintf(reply, sizeof(reply), "from %.*s", (int)state_len, (const char *)state);
        return kith_reply(ctx, reply, strlen(reply));
    }
    if (r != KITH_E_NOT_FOUND || state != NULL || state_len != 0)
        atomic_store(&shared.bad, 2);
    if (atomic_load(&shared.saved_n) > 0) {
        atomic_fetch_add(&shared.anew_n, 1);
        return kith_reply(ctx, "anew", 4);
    }
    atomic_store(&shared.at, kith_ctx_node(ctx));
    if (kith_state_save(ctx, "one", 3) != 1 || kith_state_save(ctx, "two", 3) != 2 ||
        kith_state_save(ctx, "three", 5) != 3 || !wait_acked(ctx, 3) || kith_state_acked(ctx) != 3)
        atomic_store(&shared.bad, 3);
    atomic_fetch_add(&shared.saved_n, 1);
    return lab_until_cancelled(ctx, NULL, 0, NULL);
}

struct run {
    _Atomic unsigned done_n;
    unsigned lost_n, asked_n, failed_n;
    enum kith_resume answer;
    char lost_state[16], asked_state[16], result[64];
    uint64_t map_no;
};

static void take(char *to, size_t to_bytes, const void *data, size_t len)
{
    (void)snprintf(to, to_bytes, "%.*s", (int)len, (const char *)data);
}

static void
on_result(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct run *run = user;
    (void)map;
    (void)index;
    take(run->result, sizeof(run->result), result->data, result->len);
}

/* In the failure callback the state is there to be read. */
static void on_lost(struct kith_map *map,
                    uint64_t index,
                    const struct kith_node_id *id,
                    const char *name,
                    void *user)
{
    struct run *run = user;
    void *data = NULL;
    size_t len = 0;

    (void)id;
    (void)name;
    run->lost_n++;
    if (kith_state_read(kith_map_node_of(map), NULL, kith_map_no(map), index, &data, &len) == 0)
        take(run->lost_state, sizeof(run->lost_state), data, len);
    kith_free(data);
}

static enum kith_resume
on_resume(struct kith_map *map, uint64_t index, const void *state, size_t len, void *user)
{
    struct run *run = user;
    (void)map;
    (void)index;
    run->asked_n++;
    take(run->asked_state, sizeof(run->asked_state), state, len);
    return run->answer;
}

static void on_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    struct run *run = user;
    run->map_no = kith_map_no(map);
    run->failed_n = (unsigned)(progress->items_n - progress->done_n);
    atomic_fetch_add(&run->done_n, 1);
}

struct gone {
    struct kith_node *reader;
    struct kith_node_id caller;
    uint64_t map_no;
};

static bool is_gone(void *arg)
{
    struct gone *gone = arg;
    void *data = NULL;
    size_t len;
    int r = kith_state_read(gone->reader, &gone->caller, gone->map_no, 0, &data, &len);
    kith_free(data);
    return r == KITH_E_NOT_FOUND;
}

static bool is_read(void *arg)
{
    struct gone *gone = arg;
    void *data = NULL;
    size_t len = 0;
    int r = kith_state_read(gone->reader, &gone->caller, gone->map_no, 0, &data, &len);
    bool same = r == 0 && len == 5 && memcmp(data, "three", 5) == 0;
    kith_free(data);
    return same;
}

/* One item, whose first run is lost when its node withdraws the function. */
static void lose_one(struct kith_map_options *options, struct run *run)
{
    struct kith_node *nodes[3];
    const struct kith_bytes item = {.data = "item", .len = 4};
    struct kith_map *map = NULL;

    reset();
    nodes[0] = lab_start("a", NULL);
    nodes[1] = lab_start("b", nodes[0]);
    nodes[2] = lab_start("c", nodes[0]);
    lab_offer(nodes[1], FN, work, 0, NULL);
    lab_offer(nodes[2], FN, work, 0, NULL);
    lab_wait_function(nodes[0], FN, 2);
    options->on_result = on_result;
    options->on_lost = on_lost;
    options->on_done = on_done;
    options->user = run;
    assert_int_equal(kith_map_start(nodes[0], FN, &item, 1, options, &map), 0);
    uint64_t map_no = kith_map_no(map);
    assert_true(lab_wait_count(&shared.saved_n, 1));

    struct kith_node *first = atomic_load(&shared.at);
    struct kith_node *other = first == nodes[1] ? nodes[2] : nodes[1];
    assert_true(first == nodes[1] || first == nodes[2]);
    for (int i = 0; i < 3; i++)
        assert_true(lab_wait(is_read, &(struct gone){nodes[i], kith_node_self(nodes[0]), map_no}));
    assert_int_equal(kith_unexport(first, FN), 0);
    assert_true(lab_wait_count(&run->done_n, 1));
    assert_int_equal(run->failed_n, 0);
    assert_int_equal(run->lost_n, 1);
    assert_string_equal(run->lost_state, "three");
    assert_int_equal(atomic_load(&shared.bad), 0);
    /* Its states are dropped, everywhere. */
    for (int i = 0; i < 3; i++)
        assert_true(lab_wait(is_gone, &(struct gone){nodes[i], kith_node_self(nodes[0]), map_no}));
    kith_node_stop(other);
    kith_node_stop(first);
    kith_node_stop(nodes[0]);
}

static void lost_item_is_resumed_from_its_state(void **state)
{
    struct kith_map_options options = {.local_excluded = true};
    struct run run = {0};

    (void)state;
    lose_one(&options, &run);
    assert_int_equal(atomic_load(&shared.resumed_n), 1);
    assert_string_equal(run.result, "from three");
}

static void program_is_asked_and_lets_it_resume(void **state)
{
    struct kith_map_options options = {.local_excluded = true, .on_resume = on_resume};
    struct run run = {.answer = KITH_RESUME_STATE};

    (void)state;
    lose_one(&options, &run);
    assert_int_equal(run.asked_n, 1);
    assert_string_equal(run.asked_state, "three");
    assert_string_equal(run.result, "from three");
}

static void program_decides_to_begin_anew(void **state)
{
    struct kith_map_options options = {.local_excluded = true, .on_resume = on_resume};
    struct run run = {.answer = KITH_RESUME_ANEW};

    (void)state;
    lose_one(&options, &run);
    assert_int_equal(run.asked_n, 1);
    assert_int_equal(atomic_load(&shared.resumed_n), 0);
    assert_int_equal(atomic_load(&shared.anew_n), 1);
    assert_string_equal(run.result, "anew");
}

/* ---- limits ---- */

static int limits(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    _Atomic unsigned *alone = user;
    size_t most = 1024 * 1024;
    uint8_t *data = calloc(1, most + 1);
    int wrong = 0;

    (void)arg;
    (void)len;
    if (data == NULL)
        return 1;
    if (kith_state_save(ctx, data, most + 1) != KITH_E_TOO_LARGE)
        wrong = 2;
    int64_t save = kith_state_save(ctx, data, most);
    if (save != 1 || (alone == NULL && !wait_acked(ctx, save)))
        wrong = 3;
    save = kith_state_save(ctx, NULL, 0); /* no bytes are a state too */
    if (save != 2 || (alone == NULL && !wait_acked(ctx, save)))
        wrong = 4;
    if (alone != NULL && kith_state_acked(ctx) != 0)
        wrong = 5;
    free(data);
    if (kith_reply(ctx, NULL, 0) != 0 || kith_state_save(ctx, "x", 1) != KITH_E_EXISTS)
        wrong = 6;
    return wrong != 0 ? kith_fail(ctx, wrong, "see the test") : 0;
}

static void state_at_the_limit_is_acknowledged_and_above_it_refused(void **state)
{
    struct kith_node *a = lab_start("a", NULL), *b = lab_start("b", a);
    const struct kith_bytes item = {.data = "", .len = 0};
    struct kith_map_options options = {.local_excluded = true};

    (void)state;
    lab_offer(b, FN, limits, 0, NULL);
    lab_wait_function(a, FN, 1);
    assert_int_equal(kith_map_run(a, FN, &item, 1, &options), 0);
    kith_node_stop(b);
    kith_node_stop(a);
}

static void alone_nobody_acknowledges(void **state)
{
    struct kith_node *a = lab_start("a", NULL);
    const struct kith_bytes item = {.data = "", .len = 0};
    _Atomic unsigned alone = 1;

    (void)state;
    lab_offer(a, FN, limits, 0, &alone);
    lab_wait_function(a, FN, 1);
    assert_int_equal(kith_map_run(a, FN, &item, 1, NULL), 0);
    kith_node_stop(a);
}

static int no_item(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    const void *data;
    size_t data_len;

    (void)user;
    bool right = kith_state_save(ctx, arg, len) == KITH_E_UNSUPPORTED &&
                 kith_state_resume(ctx, &data, &data_len) == KITH_E_UNSUPPORTED &&
                 kith_state_acked(ctx) == 0;
    return right ? kith_reply(ctx, arg, len) : 1;
}

static void plain_call_has_no_state(void **state)
{
    struct kith_node *a = lab_start("a", NULL), *b = lab_start("b", a);
    struct kith_call_options options = lab_soon();
    struct kith_reply *reply = NULL;

    (void)state;
    lab_offer(b, FN, no_item, 0, NULL);
    assert_int_equal(kith_call(a, FN, "hello", 5, &options, &reply), 0);
    assert_int_equal(reply->result.len, 5);
    assert_memory_equal(reply->result.data, "hello", 5);
    kith_reply_free(reply);
    kith_node_stop(b);
    kith_node_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_item_is_resumed_from_its_state),
        cmocka_unit_test(program_is_asked_and_lets_it_resume),
        cmocka_unit_test(program_decides_to_begin_anew),
        cmocka_unit_test(state_at_the_limit_is_acknowledged_and_above_it_refused),
        cmocka_unit_test(alone_nobody_acknowledges),
        cmocka_unit_test(plain_call_has_no_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
