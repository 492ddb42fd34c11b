/*
 * What the rpc core itself costs: a caller's core and a server's core wired back to back in one
 * process, without network, cipher or user code. 64-byte argument and reply, an inline function,
 * 1,024 calls outstanding (another number as the first argument).
 *
 * Reports nanoseconds per call of all rpc_step() calls together and of each side, beside a baseline
 * that copies the same bytes through the same frame ring. Medians of 15 rounds. (Sides from 64
 * outstanding on.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/frame.h"
#include "rpc/rpc.h"

#define PAYLOAD_BYTES 64
#define ROUNDS        15
#define CALLS         400000
#define RING          8192 /* frames; power of two, above the most outstanding */

struct frame {
    uint8_t type;
    uint32_t len;
    uint8_t bytes[160];
};

struct side {
    struct rpc_core *core;
    struct kith_node_id id;
    struct rpc_peer *other;
    struct frame *in; /* frames for this side */
    size_t in_head, in_tail;
    struct side *peer;
    uint64_t steps_ns;
};

static struct side client, server;
static uint64_t completed;
static uint64_t now_ns;
static struct rpc_serve *runs[RING];
static size_t runs_n;

/* Processor time of this thread, so that a busy machine does not count; too slow to read per call.
 */
static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void put_frame(struct side *to, uint8_t type, struct kith_bytes head, struct kith_bytes body)
{
    struct frame *frame = &to->in[to->in_tail++ % RING];
    frame->type = type;
    frame->len = (uint32_t)(head.len + body.len);
    if (frame->len > sizeof(frame->bytes)) {
        fprintf(stderr, "a frame of %u bytes\n", frame->len);
        exit(1);
    }
    if (head.len > 0)
        memcpy(frame->bytes, head.data, head.len);
    if (body.len > 0)
        memcpy(frame->bytes + head.len, body.data, body.len);
}

static void step(struct side *side, struct rpc_event *event)
{
    struct rpc_output out;
    event->now_ns = now_ns;
    int r = rpc_step(side->core, event, &out);
    if (r != 0 || out.code != 0) {
        fprintf(stderr, "step %d: %d, %d\n", (int)event->type, r, out.code);
        exit(1);
    }
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct rpc_action *action = &out.actions[i];
        if (action->type == RPC_SEND)
            put_frame(side->peer, action->frame_type, action->head, action->body);
        else if (action->type == RPC_RUN)
            runs[runs_n++] = action->serve;
        else if (action->type == RPC_COMPLETE)
            completed += action->result->outcome == KITH_OUTCOME_OK;
    }
}

static void drain(struct side *side)
{
    while (side->in_head != side->in_tail) {
        struct frame *frame = &side->in[side->in_head++ % RING];
        static struct rpc_event event; /* kept: zeroing it each time costs 15 ns */
        event.type = RPC_FRAME;
        event.u.frame.from = side->peer->id;
        event.u.frame.peer = side->other;
        event.u.frame.boot_no = 1;
        event.u.frame.type = frame->type;
        event.u.frame.body = frame->bytes;
        event.u.frame.len = frame->len;
        step(side, &event);
        while (runs_n > 0) {
            struct rpc_serve *serve = runs[--runs_n];
            static struct rpc_event done;
            done.type = RPC_DONE;
            done.u.done.serve = serve;
            done.u.done.outcome = KITH_OUTCOME_OK;
            done.u.done.reply = rpc_serve_arg(serve);
            step(side, &done);
        }
    }
}

static void start(struct side *side, uint8_t id, struct side *peer)
{
    side->id.bytes[0] = id;
    side->peer = peer;
    side->in = calloc(RING, sizeof(*side->in));
    struct rpc_config config = {.self = side->id, .boot_no = 1, .seed = id, .workers = 2};
    if (side->in == NULL || rpc_new(&side->core, &config) != 0)
        exit(1);
}

static void meet(struct side *side)
{
    struct rpc_event event = {.type = RPC_PEER_UP};
    event.u.peer.id = side->peer->id;
    event.u.peer.boot_no = 1;
    event.u.peer.name = "peer";
    step(side, &event);
    side->other = rpc_peer_find(side->core, &side->peer->id);
}

static void settle(void)
{
    while (client.in_head != client.in_tail || server.in_head != server.in_tail) {
        drain(&client);
        drain(&server);
    }
}

static uint64_t token;

static void issue(uint64_t fn_hash, const uint8_t *arg)
{
    static struct rpc_event event;
    event.type = RPC_CALL;
    event.u.call.token = ++token;
    event.u.call.fn = "echo";
    event.u.call.fn_hash = fn_hash;
    event.u.call.arg = (struct kith_bytes){.data = arg, .len = PAYLOAD_BYTES};
    step(&client, &event);
}

/* One turn of the loop: as many new calls as have ended, then both sides handle what came. */
static uint64_t round_ns(uint64_t fn_hash, uint64_t outstanding)
{
    static uint8_t arg[PAYLOAD_BYTES];
    uint64_t issued = 0;
    completed = 0;
    client.steps_ns = 0;
    server.steps_ns = 0;
    bool sides = outstanding >= 64;
    uint64_t begin = clock_ns();
    while (completed < CALLS) {
        uint64_t t0 = sides ? clock_ns() : 0;
        while (issued < CALLS && issued - completed < outstanding) {
            issue(fn_hash, arg);
            issued++;
        }
        uint64_t t1 = sides ? clock_ns() : 0;
        drain(&server);
        uint64_t t2 = sides ? clock_ns() : 0;
        drain(&client);
        uint64_t t3 = sides ? clock_ns() : 0;
        client.steps_ns += t1 - t0 + t3 - t2;
        server.steps_ns += t2 - t1;
        now_ns += 200000;
    }
    return clock_ns() - begin;
}

/* The same bytes through the same rings, without cores. */
static uint64_t copy_ns(uint64_t outstanding)
{
    static uint8_t arg[PAYLOAD_BYTES];
    uint8_t head[48] = {0};
    uint64_t done = 0;
    uint64_t begin = clock_ns();
    while (done < CALLS) {
        for (uint64_t i = 0; i < outstanding; i++)
            put_frame(&server, 0, (struct kith_bytes){head, 48},
                      (struct kith_bytes){arg, PAYLOAD_BYTES});
        while (server.in_head != server.in_tail) {
            struct frame *frame = &server.in[server.in_head++ % RING];
            put_frame(&client, 0, (struct kith_bytes){head, 24},
                      (struct kith_bytes){frame->bytes + 48, PAYLOAD_BYTES});
        }
        while (client.in_head != client.in_tail) {
            struct frame *frame = &client.in[client.in_head++ % RING];
            memcpy(arg, frame->bytes + 24, PAYLOAD_BYTES);
            done++;
        }
    }
    return clock_ns() - begin;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    uint64_t outstanding = argc > 1 ? strtoull(argv[1], NULL, 10) : 1024;
    if (outstanding < 1 || outstanding > 4096) {
        fprintf(stderr, "usage: rpc-core-bench [1 to 4096 outstanding]\n");
        return 2;
    }
    now_ns = 1000000000;
    start(&client, 1, &server);
    start(&server, 2, &client);
    meet(&client);
    meet(&server);
    struct kith_export fn = {.name = "echo", .flags = KITH_FN_INLINE};
    struct rpc_event event = {.type = RPC_EXPORT};
    event.u.export_fn.desc = &fn;
    step(&server, &event);
    settle();

    double total[ROUNDS], caller[ROUNDS], callee[ROUNDS], base[ROUNDS];
    uint64_t fn_hash = rpc_name_hash("echo");
    for (int i = -1; i < ROUNDS; i++) { /* the first one warms up */
        double t = (double)round_ns(fn_hash, outstanding) / CALLS;
        double b = (double)copy_ns(outstanding) / CALLS;
        if (i < 0)
            continue;
        total[i] = t;
        caller[i] = (double)client.steps_ns / CALLS;
        callee[i] = (double)server.steps_ns / CALLS;
        base[i] = b;
    }
    printf("%llu outstanding, 64 bytes, ns per call: all %.1f, caller %.1f, server %.1f, "
           "copying alone %.1f\n",
           (unsigned long long)outstanding, median(total), median(caller), median(callee),
           median(base));
    rpc_free(client.core);
    rpc_free(server.core);
    free(client.in);
    free(server.in);
    return 0;
}
