/*
 * Three cores, random calls and a hostile network: frames are lost, doubled and reordered, links
 * break, nodes are declared failed, come back and restart, functions come and go. From one seed
 * each; a seed that failed is run alone with KITH_SEED=n.
 *
 * Checked all along: a call runs at most once (idempotent ones aside), it ends exactly once,
 * NOT_EXECUTED means that it never ran and never will, OK brings its own reply, and rpc_check()
 * after each step. Then the faults stop, and every call must have ended within its deadline.
 */
#include "test_rpc_lib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES     3
#define CALLS_MAX 2000
#define STEPS     1500
#define SEEDS     120

struct told {
    uint64_t token;
    size_t caller;
    bool idempotent;
    bool cast;
    unsigned runs;
    unsigned ends;
    enum kith_outcome outcome;
};

struct world {
    struct desk *desk;
    struct rng rng;
    struct told calls[CALLS_MAX];
    size_t calls_n;
    bool faults;
    uint64_t seed;
};

static struct world world;

static uint64_t pick(uint64_t bound)
{
    return rng_below(&world.rng, bound);
}

/* ---- the oracle ---- */

#define demand(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("seed %llu: not so: %s\n", (unsigned long long)world.seed, #condition);    \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* The argument starts with the index of the call; its length varies from inline to large. */
static size_t index_in(struct kith_bytes bytes)
{
    demand(bytes.len >= 8);
    size_t index = (size_t)get_le64(bytes.data);
    demand(index < world.calls_n);
    return index;
}

static void note_runs(struct desk_node *node, size_t from)
{
    for (size_t i = from; i < node->running_n; i++) {
        struct told *told = &world.calls[index_in(rpc_serve_arg(node->running[i]))];
        told->runs++;
        demand(told->idempotent || told->runs == 1);
        demand(told->ends == 0 || told->outcome != KITH_OUTCOME_NOT_EXECUTED);
    }
}

static void note_ends(struct desk_node *node)
{
    for (size_t i = 0; i < node->results_n; i++) {
        struct desk_result *result = &node->results[i];
        struct told *told = NULL;
        for (size_t k = 0; k < world.calls_n && told == NULL; k++) {
            if (world.calls[k].token == result->token)
                told = &world.calls[k];
        }
        demand(told != NULL);
        if (told == NULL)
            return;
        told->ends++;
        told->outcome = result->outcome;
        demand(told->ends == 1);
        demand(told->caller == node->index);
        if (result->outcome == KITH_OUTCOME_OK && !told->cast) {
            demand(told->runs >= 1);
            demand(
                &world.calls[index_in((struct kith_bytes){result->data.data, result->data.len})] ==
                told);
        }
        if (result->outcome == KITH_OUTCOME_APP_ERROR)
            demand(told->runs >= 1);
        if (result->outcome == KITH_OUTCOME_NOT_EXECUTED) {
            demand(told->runs == 0);
            demand(result->code < 0);
            demand(strchr(result->text, ';') != NULL); /* says what to do next */
        }
        buf_deinit(&result->data);
    }
    node->results_n = 0;
}

static void observe(void)
{
    for (size_t i = 0; i < NODES; i++)
        note_ends(&world.desk->nodes[i]);
}

/* Runs @act on the world and looks at what began to run. */
static size_t before[NODES];
static void begin(void)
{
    for (size_t i = 0; i < NODES; i++)
        before[i] = world.desk->nodes[i].runs_n;
}
static void end(void)
{
    for (size_t i = 0; i < NODES; i++) {
        struct desk_node *node = &world.desk->nodes[i];
        size_t started = node->runs_n - before[i];
        note_runs(node, node->running_n - started);
    }
    observe();
}

/* ---- what happens ---- */

static void make_call(void)
{
    if (world.calls_n == CALLS_MAX)
        return;
    static uint8_t arg[4000];
    size_t at = pick(NODES);
    size_t index = world.calls_n++;
    struct told *told = &world.calls[index];
    *told = (struct told){.caller = at, .idempotent = pick(4) == 0, .cast = pick(10) == 0};
    put_le64(arg, index);
    static const char *const names[] = {"a", "b", "rare"};
    struct rpc_call call = {
        .fn = names[pick(3)],
        .arg = {.data = arg, .len = 8 + (pick(4) == 0 ? pick(sizeof(arg) - 8) : pick(100))},
        .timeout_ms = 100 + pick(5000),
        .idempotent = told->idempotent,
        .no_retry = pick(8) == 0,
        .cast = told->cast,
        .wait_for_function = pick(8) == 0,
        .partials = pick(8) == 0,
        .select = pick(4) == 0 ? KITH_SELECT_LOCAL_FIRST : KITH_SELECT_LEAST_LOADED,
        .to_node = pick(4) == 0,
        .node = desk_id(pick(NODES)),
    };
    if (call.fn[0] == 'b')
        told->idempotent = true; /* "b" is so by its export */
    if (call.to_node && pick(10) == 0)
        call.node = desk_id(77);
    told->token = world.desk->token + 1; /* what desk_call() will give; it may end at once */
    demand(desk_call(&world.desk->nodes[at], call) == told->token);
}

static void deliver(bool ordered)
{
    struct desk *desk = world.desk;
    if (desk->frames_n == 0)
        return;
    struct desk_frame *frame = desk_take(desk, ordered ? 0 : pick(desk->frames_n));
    /* A stream ends with the boot it was opened to. */
    if (frame->to_boot != desk->nodes[frame->to].boot_no) {
        desk_drop(frame);
        return;
    }
    if (world.faults && pick(20) == 0) {
        desk_drop(frame);
        return;
    }
    if (world.faults && pick(10) == 0) {
        struct desk_frame *copy = desk_copy(frame);
        *desk->last = copy;
        desk->last = &copy->next;
        desk->frames_n++;
    }
    desk_give(desk, frame);
}

static void end_one(void)
{
    struct desk_node *node = &world.desk->nodes[pick(NODES)];
    if (node->running_n == 0)
        return;
    struct rpc_serve *serve = node->running[pick(node->running_n)];
    struct kith_bytes arg = rpc_serve_arg(serve);
    if (pick(6) == 0) {
        struct rpc_event event = {.type = RPC_PARTIAL_OUT};
        event.u.partial.serve = serve;
        event.u.partial.data = arg;
        desk_step(node, &event);
    }
    if (pick(5) == 0)
        desk_done(node, serve, KITH_OUTCOME_APP_ERROR, (int)pick(100), "bad", 3);
    else
        desk_done(node, serve, KITH_OUTCOME_OK, 0, arg.data, arg.len);
}

static void toggle_function(void)
{
    struct desk_node *node = &world.desk->nodes[pick(NODES)];
    static const char *const names[] = {"a", "b", "rare"};
    const char *name = names[pick(3)];
    uint32_t flags = pick(5) == 0 ? KITH_FN_DEFERRED : 0;
    if (name[0] == 'b')
        flags |= KITH_FN_IDEMPOTENT;
    if (pick(3) == 0)
        desk_unexport(node, name);
    else
        desk_offer(node, name, flags, (uint32_t)pick(3));
}

/* Frames between the two that were not delivered are lost with their stream. */
static void lose_frames(size_t a, size_t b)
{
    struct desk *desk = world.desk;
    for (size_t i = 0; i < desk->frames_n;) {
        struct desk_frame *frame = desk->first;
        for (size_t k = 0; k < i; k++)
            frame = frame->next;
        if ((frame->from == a && frame->to == b) || (frame->from == b && frame->to == a))
            desk_drop(desk_take(desk, i));
        else
            i++;
    }
}

static void disturb(void)
{
    struct desk *desk = world.desk;
    size_t a = pick(NODES);
    size_t b = (a + 1 + pick(NODES - 1)) % NODES;
    switch (pick(8)) {
    case 0:
        desk_peer_down(desk, a, b, pick(2) == 0);
        break;
    case 1:
    case 2:
        desk_peer_up(desk, a, b);
        break;
    case 3:
        lose_frames(a, b);
        desk_link(desk, a, b, RPC_LINK_DOWN);
        desk_link(desk, b, a, RPC_LINK_DOWN);
        break;
    case 4:
        desk_link(desk, a, b, RPC_LINK_UP);
        break;
    case 5: /* the stream breaks, and no other one comes about */
        lose_frames(a, b);
        desk_link(desk, a, b, RPC_LINK_DOWN);
        lose_frames(a, b);
        desk_link(desk, a, b, RPC_UNREACHABLE);
        break;
    case 6: {
        struct desk_node *node = &desk->nodes[a];
        node->refuse_calls = pick(2) == 0;
        node->refuse_results = pick(2) == 0;
        break;
    }
    case 7:
        if (pick(4) != 0)
            break;
        /* The calls of a caller that dies end with it. */
        for (size_t i = 0; i < world.calls_n; i++) {
            struct told *told = &world.calls[i];
            if (told->caller == a && told->ends == 0) {
                told->ends = 1;
                told->outcome = KITH_OUTCOME_UNKNOWN;
            }
        }
        for (size_t i = 0; i < NODES; i++) {
            if (i != a)
                lose_frames(a, i);
        }
        desk_restart(desk, a);
        for (size_t i = 0; i < NODES; i++) {
            if (i != a)
                desk_peer_up(desk, a, i);
        }
        break;
    }
}

static void act(void)
{
    uint64_t what = pick(100);
    if (what < 25) {
        make_call();
    } else if (what < 65) {
        deliver(pick(4) != 0);
    } else if (what < 82) {
        end_one();
    } else if (what < 86) {
        toggle_function();
    } else if (what < 88) {
        if (world.calls_n > 0) {
            struct told *told = &world.calls[pick(world.calls_n)];
            desk_cancel(&world.desk->nodes[told->caller], told->token);
        }
    } else if (what < 97) {
        world.desk->now_ns += pick(60) * 1000000;
        for (size_t i = 0; i < NODES; i++) {
            if (world.desk->nodes[i].due_ms <= world.desk->now_ns / 1000000)
                desk_tick(&world.desk->nodes[i]);
        }
    } else if (world.faults) {
        disturb();
    }
}

/* Faults stop; what has not ended must end within its deadline. */
static void calm_down(void)
{
    struct desk *desk = world.desk;
    world.faults = false;
    begin();
    for (size_t a = 0; a < NODES; a++) {
        desk->nodes[a].refuse_calls = false;
        desk->nodes[a].refuse_results = false;
        for (size_t b = 0; b < NODES; b++) {
            if (a == b)
                continue;
            desk_peer_up(desk, a, b);
            desk_link(desk, a, b, RPC_LINK_UP);
        }
    }
    end();
    for (int i = 0; i < 700; i++) {
        begin();
        desk->now_ns += 10 * 1000000;
        for (size_t k = 0; k < NODES; k++) {
            if (desk->nodes[k].due_ms <= desk->now_ns / 1000000)
                desk_tick(&desk->nodes[k]);
        }
        end();
        for (int k = 0; k < 10; k++) {
            begin();
            deliver(true);
            end();
            begin();
            end_one();
            end();
        }
    }
    for (size_t i = 0; i < world.calls_n; i++)
        demand(world.calls[i].ends == 1);
}

static void run_seed(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.seed = seed;
    rng_init(&world.rng, seed);
    struct rpc_config config = {
        .workers = 1 + (uint32_t)pick(3),
        .queue_node_max = 2 + (uint32_t)pick(20),
        .link_events = pick(2) == 0,
        .registry_push_max = pick(3) == 0 ? 1 : 0,
    };
    world.desk = desk_new(NODES, &config);
    world.faults = true;
    for (size_t a = 0; a < NODES; a++) {
        for (size_t b = 0; b < NODES; b++) {
            if (a != b)
                desk_peer_up(world.desk, a, b);
        }
    }
    for (int i = 0; i < STEPS; i++) {
        begin();
        act();
        end();
    }
    calm_down();
    desk_free(world.desk);
}

static void calls_keep_their_promises_under_faults(void **state)
{
    (void)state;
    const char *one = getenv("KITH_SEED");
    const char *many = getenv("KITH_SEEDS");
    uint64_t seeds = many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    print_message("# seeds 1 to %llu\n", (unsigned long long)seeds);
    uint64_t outcomes[5] = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(seed);
        for (size_t i = 0; i < world.calls_n; i++)
            outcomes[world.calls[i].outcome]++;
    }
    print_message("# OK %llu, APP_ERROR %llu, NOT_EXECUTED %llu, UNKNOWN %llu\n",
                  (unsigned long long)outcomes[1], (unsigned long long)outcomes[2],
                  (unsigned long long)outcomes[3], (unsigned long long)outcomes[4]);
    for (int i = 1; i <= 4; i++)
        assert_true(outcomes[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_keep_their_promises_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
