/*
 * Frames and records of any content into a live core that is participant, waiter and home of
 * mutexes: no crash, every invariant holds after each step, and each byte that would leave is there
 * to be read.
 *
 * The input is a list of records: u8 what, u16 length, bytes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "mutex/mutex.h"
#include "mutex/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct bench {
    struct mutex_core *core;
    uint64_t now_ms, waiter;
    uint64_t asks[64];
    size_t asks_n;
    unsigned sum;
};

static void step(struct bench *bench, struct mutex_event event)
{
    struct mutex_output out;
    event.now_ms = bench->now_ms;
    (void)mutex_step(bench->core, &event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct mutex_action *a = &out.actions[i];
        for (size_t k = 0; k < a->len; k++)
            bench->sum += a->data[k];
        if (a->text != NULL)
            bench->sum += (unsigned)strlen(a->text);
        if ((a->type == MUTEX_RECORD_READ || a->type == MUTEX_RECORD_CAS) && bench->asks_n < 64)
            bench->asks[bench->asks_n++] = a->ask;
        if (a->type == MUTEX_SEND) { /* what it says itself always decodes */
            struct mutex_msg msg;
            assert(mutex_msg_decode(&msg, a->data, a->len) == 0);
        }
    }
    mutex_check(bench->core);
}

static struct boot_id boot_of(uint8_t i)
{
    struct boot_id boot = {.boot_no = 1u + (i >> 4)};
    boot.node.bytes[0] = (uint8_t)(1 + (i & 3));
    return boot;
}

static void acquire(struct bench *bench, uint8_t what)
{
    static const char *const names[] = {"a", "b"};
    step(bench, (struct mutex_event){.type = MUTEX_ACQUIRE,
                                     .u.acquire = {.waiter = ++bench->waiter,
                                                   .name = names[what >> 3 & 1],
                                                   .owner = what >> 6,
                                                   .deadline_ms = bench->now_ms + 5000,
                                                   .shared = (what & 16) != 0,
                                                   .try_only = (what & 32) != 0}});
}

static void one(struct bench *bench, uint8_t what, const uint8_t *data, size_t len)
{
    static const int codes[] = {0, KITH_E_NOT_FOUND, KITH_E_AGAIN, KITH_E_UNKNOWN_OUTCOME};
    switch (what & 7) {
    case 0:
        acquire(bench, what);
        break;
    case 1:
        step(bench,
             (struct mutex_event){.type = MUTEX_CANCEL, .u.waiter = bench->waiter - (what >> 5)});
        break;
    case 2:
        bench->now_ms += what;
        step(bench, (struct mutex_event){.type = MUTEX_TICK});
        break;
    case 3:
        step(bench, (struct mutex_event){.type = MUTEX_LEASE,
                                         .u.lease_until_ms = bench->now_ms + what * 10u});
        break;
    case 4:
        if (bench->asks_n == 0)
            break;
        step(bench, (struct mutex_event){.type = MUTEX_RECORD,
                                         .u.record = {.ask = bench->asks[--bench->asks_n],
                                                      .code = codes[what >> 3 & 3],
                                                      .version = 1u + (what >> 5),
                                                      .data = data,
                                                      .len = len}});
        break;
    case 5:
        step(bench, (struct mutex_event){.type = MUTEX_RECORD_SEEN,
                                         .u.record = {.version = 1u + (what >> 5),
                                                      .name = MUTEX_RECORD_PREFIX "b",
                                                      .data = data,
                                                      .len = len}});
        break;
    default:
        step(bench, (struct mutex_event){
                        .type = MUTEX_RECV,
                        .u.recv = {.from = boot_of(what >> 3), .data = data, .len = len}});
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bench bench = {.now_ms = 1000};
    struct mutex_config config = {.self = boot_of(0), .self_name = "self", .idle_ms = 500};
    static struct placement placement;
    struct reader r = reader_of(data, len);

    config.pass_at_tick = len % 2 != 0;
    if (mutex_new(&bench.core, &config) != 0)
        abort();
    memset(&placement, 0, sizeof(placement));
    placement.epoch = 1;
    placement.keepers_n = 2;
    placement.keepers[0] = (struct placement_keeper){.member_id = 1, .boot = boot_of(0)};
    placement.keepers[1] = (struct placement_keeper){.member_id = 2, .boot = boot_of(1)};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active = (struct placement_config){1, {1, 2}, 2};
    step(&bench, (struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &placement});
    step(&bench, (struct mutex_event){.type = MUTEX_LEASE, .u.lease_until_ms = 10000});
    acquire(&bench, 0);
    while (r.at < r.len && !r.bad) {
        uint8_t what = read_u8(&r);
        uint16_t n = read_le16(&r);
        size_t left = r.len - r.at;
        const uint8_t *bytes = read_bytes(&r, n < left ? n : left);
        if (bytes != NULL)
            one(&bench, what, bytes, n < left ? n : left);
    }
    mutex_free(bench.core);
    return 0;
}
