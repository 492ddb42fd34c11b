/*
 * What the core of variables itself costs: a home and two replicas wired back to back in one
 * process, without network or cipher. 64-byte values, N writes outstanding on N variables (64, or
 * the first argument), asked for at the home; then the same number of additions on one counter.
 *
 * Reports nanoseconds per write of all dvar_step() calls, of the home and of one replica. Medians
 * of 9 rounds, processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dvar/dvar.h"

#define SIDES  3
#define WRITES 100000
#define ROUNDS 9
#define FRAMES 4096

struct frame {
    int from;
    size_t len, cap;
    uint8_t *data;
};
static struct side {
    struct dvar_core *core;
    struct boot_id boot;
    struct frame in[FRAMES];
    size_t head, tail;
    uint64_t ns;
} sides[SIDES];
static uint64_t completed, issued, now_ms = 1000;

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void step(int n, struct dvar_event *event)
{
    struct dvar_output out;
    event->now_ms = now_ms;
    (void)dvar_step(sides[n].core, event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        completed += action->type == DVAR_DONE;
        if (action->type != DVAR_SEND)
            continue;
        struct side *to = &sides[action->to.bytes[0] - 1];
        struct frame *frame = &to->in[to->tail++ % FRAMES];
        if (frame->cap < action->len) {
            free(frame->data);
            frame->cap = action->len * 2;
            frame->data = malloc(frame->cap);
            if (frame->data == NULL)
                abort();
        }
        frame->from = n;
        frame->len = action->len;
        memcpy(frame->data, action->data, action->len);
    }
}

static void drain(int n)
{
    struct side *side = &sides[n];
    while (side->head != side->tail) {
        struct frame *frame = &side->in[side->head++ % FRAMES];
        struct dvar_event event = {.type = DVAR_RECV,
                                   .from = sides[frame->from].boot,
                                   .data = frame->data,
                                   .len = frame->len};
        step(n, &event);
    }
}

static void round_of(uint64_t outstanding, bool counter)
{
    static const uint8_t value[64] = {1};
    struct value_op set = {
        .kind = VALUE_OP_SET, .type = VALUE_BYTES, .data = value, .data_len = sizeof(value)};
    struct value_op add = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    completed = 0;
    issued = 0;
    for (int i = 0; i < SIDES; i++)
        sides[i].ns = 0;
    while (completed < WRITES) {
        uint64_t t0 = clock_ns();
        while (issued < WRITES && issued - completed < outstanding) {
            char name[16] = "counter";
            size_t len = 7;
            if (!counter)
                len = (size_t)snprintf(name, sizeof(name), "v%u", (unsigned)(issued % outstanding));
            struct dvar_event event = {.type = DVAR_OP,
                                       .id = ++issued,
                                       .name = name,
                                       .name_len = len,
                                       .op = counter ? &add : &set,
                                       .deadline_ms = now_ms + 10000};
            step(0, &event);
        }
        uint64_t t1 = clock_ns();
        drain(1);
        uint64_t t2 = clock_ns();
        drain(2);
        uint64_t t3 = clock_ns();
        drain(0);
        uint64_t t4 = clock_ns();
        sides[0].ns += t1 - t0 + t4 - t3;
        sides[1].ns += t2 - t1;
        sides[2].ns += t3 - t2;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(const char *what, uint64_t outstanding, bool counter)
{
    double home[ROUNDS], replica[ROUNDS], all[ROUNDS];
    for (int i = -1; i < ROUNDS; i++) { /* the first one warms up */
        round_of(outstanding, counter);
        if (i < 0)
            continue;
        home[i] = (double)sides[0].ns / WRITES;
        replica[i] = (double)sides[1].ns / WRITES;
        all[i] = (double)(sides[0].ns + sides[1].ns + sides[2].ns) / WRITES;
    }
    qsort(home, ROUNDS, sizeof(*home), compare);
    qsort(replica, ROUNDS, sizeof(*replica), compare);
    qsort(all, ROUNDS, sizeof(*all), compare);
    printf("%s, %llu outstanding, ns per write: all %.0f, home %.0f, a replica %.0f\n", what,
           (unsigned long long)outstanding, all[ROUNDS / 2], home[ROUNDS / 2], replica[ROUNDS / 2]);
}

int main(int argc, char **argv)
{
    static struct placement placement;
    uint64_t outstanding = argc > 1 ? strtoull(argv[1], NULL, 10) : 64;
    if (outstanding < 1 || outstanding > 1024) {
        fprintf(stderr, "usage: dvar-core-bench [1 to 1024 outstanding]\n");
        return 2;
    }
    placement.epoch = 1;
    placement.keepers_n = SIDES;
    for (uint32_t i = 0; i < SIDES; i++) {
        sides[i].boot.boot_no = 1;
        sides[i].boot.node.bytes[0] = (uint8_t)(i + 1);
        placement.keepers[i] = (struct placement_keeper){.member_id = i + 1, .boot = sides[i].boot};
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 1, .replicas = {1, 2, 3}, .replicas_n = 3};
    for (int i = 0; i < SIDES; i++) {
        struct dvar_config config = {.self = sides[i].boot};
        if (dvar_new(&sides[i].core, &config) != 0)
            return 1;
        struct dvar_event event = {.type = DVAR_PLACEMENT, .placement = &placement};
        step(i, &event);
        event = (struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 1000000000};
        step(i, &event);
    }
    measure("64-byte writes", outstanding, false);
    measure("additions on one counter", outstanding, true);
    for (int i = 0; i < SIDES; i++) {
        dvar_free(sides[i].core);
        for (size_t j = 0; j < FRAMES; j++)
            free(sides[i].in[j].data);
    }
    return 0;
}
