/*
 * Frames of peers, in any order and of any content, into a live core with functions, calls under
 * way and a session: no crash, every invariant holds after each step, and nothing decodes by
 * accident into more than its limit.
 *
 * The input is a list of records: u8 what, u16 length, bytes. The low five bits of `what` choose,
 * the rest says from whom.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "net/frame.h"
#include "rpc/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define RUNS_MAX 64

struct bench {
    struct rpc_core *core;
    uint64_t now_ns;
    uint64_t token;
    uint64_t ended_n;
    struct rpc_serve *runs[RUNS_MAX];
    size_t runs_n;
};

static void step(struct bench *bench, struct rpc_event *event)
{
    struct rpc_output out;
    event->now_ns = bench->now_ns;
    (void)rpc_step(bench->core, event, &out);
    rpc_check(bench->core);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct rpc_action *action = &out.actions[i];
        switch (action->type) {
        case RPC_SEND:
            /* Every byte that would leave is there to be read. */
            if (action->body.len > 0) {
                volatile uint8_t sink = ((const uint8_t *)action->body.data)[action->body.len - 1];
                (void)sink;
            }
            if (action->release != NULL)
                rpc_body_release(bench->core, action->release);
            break;
        case RPC_RUN:
            assert(bench->runs_n < RUNS_MAX);
            bench->runs[bench->runs_n++] = action->serve;
            break;
        case RPC_COMPLETE:
            assert(action->token != 0);
            assert(action->token <= bench->token);
            assert(strlen(action->result->text) < 2 * RPC_ERROR_TEXT_BYTES_MAX);
            bench->ended_n++;
            break;
        default:
            break;
        }
    }
}

static struct kith_node_id id_of(uint8_t which)
{
    struct kith_node_id id = {{0}};
    id.bytes[0] = (uint8_t)(which + 1);
    return id;
}

static void offer(struct bench *bench, const char *name, uint32_t flags, const char *signature)
{
    struct kith_export fn = {.name = name, .flags = flags, .signature = signature};
    struct rpc_event event = {.type = RPC_EXPORT};
    event.u.export_fn.desc = &fn;
    step(bench, &event);
}

static void
peer_event(struct bench *bench, enum rpc_event_type type, uint8_t which, uint64_t boot_no)
{
    struct rpc_event event = {.type = type};
    event.u.peer.id = id_of(which);
    event.u.peer.boot_no = boot_no;
    event.u.peer.name = "peer";
    step(bench, &event);
}

static void call(struct bench *bench, uint8_t how, const uint8_t *bytes, size_t len)
{
    static const char *const names[] = {"work", "there", "idem", "none"};
    struct rpc_event event = {.type = RPC_CALL};
    event.u.call.token = ++bench->token;
    event.u.call.fn = names[how % 4];
    event.u.call.arg = (struct kith_bytes){.data = bytes, .len = len};
    event.u.call.timeout_ms = 100 + how;
    event.u.call.to_node = (how & 4) != 0;
    event.u.call.node = id_of(how >> 6);
    event.u.call.idempotent = (how & 8) != 0;
    event.u.call.partials = (how & 16) != 0;
    event.u.call.wait_for_function = (how & 32) != 0;
    step(bench, &event);
}

static void end_run(struct bench *bench, uint8_t which, const uint8_t *bytes, size_t len)
{
    if (bench->runs_n == 0)
        return;
    size_t at = which % bench->runs_n;
    struct rpc_event event = {.type = RPC_DONE};
    event.u.done.serve = bench->runs[at];
    event.u.done.outcome = (which & 8) != 0 ? KITH_OUTCOME_APP_ERROR : KITH_OUTCOME_OK;
    event.u.done.reply = (struct kith_bytes){.data = bytes, .len = len};
    bench->runs[at] = bench->runs[--bench->runs_n];
    step(bench, &event);
}

static void frame(struct bench *bench, uint8_t type, uint8_t from, const uint8_t *bytes, size_t len)
{
    struct rpc_event event = {.type = RPC_FRAME};
    event.u.frame.from = id_of(from & 3);
    event.u.frame.boot_no = (from & 4) != 0 ? 2 : 1;
    event.u.frame.type = type;
    /* In a block of its own, so that reading past its end is seen. */
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, bytes, len);
    event.u.frame.body = copy;
    event.u.frame.len = len;
    struct rpc_output out;
    event.now_ns = bench->now_ns;
    step(bench, &event);
    (void)out;
    /* Bodies may point into the frame until the next step. */
    struct rpc_event tick = {.type = RPC_TICK};
    step(bench, &tick);
    free(copy);
}

static void act(struct bench *bench, uint8_t what, const uint8_t *bytes, size_t len)
{
    static const uint8_t types[] = {FRAME_CALL,          FRAME_RESULT,  FRAME_CALL_ACK,
                                    FRAME_CANCEL,        FRAME_PARTIAL, FRAME_REGISTRY,
                                    FRAME_REGISTRY_PULL, FRAME_WATCH,   FRAME_COMPLETIONS};
    uint8_t choice = what & 31;
    uint8_t from = what >> 5;
    if (choice < sizeof(types)) {
        frame(bench, types[choice], from, bytes, len);
        return;
    }
    switch (choice) {
    case 9:
        bench->now_ns += (len > 0 ? bytes[0] : 1) * 20000000ull;
        step(bench, &(struct rpc_event){.type = RPC_TICK});
        break;
    case 10:
    case 11:
        call(bench, len > 0 ? bytes[0] : 0, bytes, len);
        break;
    case 12:
        end_run(bench, from, bytes, len);
        break;
    case 13:
        peer_event(bench, RPC_LINK_DOWN, from & 3, 0);
        break;
    case 14:
        peer_event(bench, RPC_LINK_UP, from & 3, (from & 4) != 0 ? 2 : 1);
        break;
    case 15:
        peer_event(bench, RPC_PEER_DOWN, from & 3, 0);
        break;
    case 16:
        peer_event(bench, RPC_PEER_UP, from & 3, (from & 4) != 0 ? 2 : 1);
        break;
    case 17:
        peer_event(bench, RPC_UNREACHABLE, from & 3, 0);
        break;
    case 18: {
        struct rpc_event event = {.type = RPC_UNEXPORT, .u.name = from == 0 ? "idem" : "work"};
        step(bench, &event);
        break;
    }
    case 19:
        offer(bench, from == 0 ? "idem" : "work", from == 0 ? KITH_FN_IDEMPOTENT : 0, NULL);
        break;
    case 20: {
        struct rpc_event event = {.type = from == 0 ? RPC_WATCH_OFF : RPC_WATCH_ON,
                                  .u.name = "there"};
        step(bench, &event);
        break;
    }
    case 21: {
        struct rpc_event event = {.type = RPC_CANCEL, .u.token = len > 0 ? bytes[0] : 1};
        step(bench, &event);
        break;
    }
    default:
        frame(bench, what, 0, bytes, len); /* of no known type */
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bench bench = {.now_ns = 1000000000};
    struct rpc_config config = {
        .self = id_of(9),
        .boot_no = 1,
        .workers = 2,
        .queue_node_max = 16,
        .link_events = len % 2 == 0,
    };
    if (rpc_new(&bench.core, &config) != 0)
        return 0;
    offer(&bench, "work", 0, NULL);
    offer(&bench, "idem", KITH_FN_IDEMPOTENT, NULL);
    offer(&bench, "typed", KITH_FN_DEFERRED, "typed(i32 x) -> bytes");
    peer_event(&bench, RPC_PEER_UP, 0, 1);
    peer_event(&bench, RPC_PEER_UP, 1, 1);
    peer_event(&bench, RPC_LINK_UP, 0, 1);
    /* Two calls under way to the first peer: numbers 1 and 2 in slots 0 and 1. */
    call(&bench, 1 | 4 | 16, (const uint8_t *)"x", 1);
    call(&bench, 1 | 4 | 8, (const uint8_t *)"x", 1);

    struct reader in = reader_of(data, len);
    while (in.at < in.len && !in.bad) {
        uint8_t what = read_u8(&in);
        size_t n = read_le16(&in);
        if (in.bad)
            break;
        if (n > in.len - in.at)
            n = in.len - in.at;
        const uint8_t *bytes = read_bytes(&in, n);
        act(&bench, what, bytes != NULL ? bytes : data, n);
    }
    while (bench.runs_n > 0)
        end_run(&bench, 0, data, len < 100 ? len : 100);
    /* Whatever came: every call ends, at its deadline at the latest. */
    bench.now_ns += 3600 * 1000000000ull;
    for (int i = 0; i < 3; i++) {
        step(&bench, &(struct rpc_event){.type = RPC_TICK});
        bench.now_ns += 10000000;
    }
    struct rpc_stats stats;
    rpc_stats(bench.core, &stats);
    assert(stats.calls_pending == 0);
    assert(bench.ended_n == stats.calls_made);
    rpc_free(bench.core);
    return 0;
}
