/* The half of the worker "state-node" that measures mutexes. Everything runs in callbacks. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kith_state.h"
#include "node/node.h"

enum guards {
    GUARDS_NOTHING,
    GUARDS_MEMORY,   /* a number in memory that processes share */
    GUARDS_VARIABLE, /* a variable, under the fence */
};

static struct {
    char name[32];
    enum guards guards;
    uint64_t sent_ns, fence;
    bool moved_only; /* sample only where another node held it since */
    struct kith_lock_id id;
    volatile uint64_t *memory; /* of GUARDS_MEMORY: how many were inside, the highest fence */
    struct kith_var_options options;
    uint8_t data[8];
} lock;

static void on_granted(struct kith_node *node, const struct kith_lock *granted, void *user);

static void acquire(struct kith_node *node)
{
    lock.sent_ns = bench_now_ns();
    state_worker.waits_for = "enter";
    state_worker.of = lock.name;
    if (kith_lock_async(node, lock.name, NULL, on_granted, NULL, NULL) != 0) {
        fprintf(stderr, "kith-bench: %s: %s\n", lock.name, kith_errmsg());
        exit(1);
    }
}

static void leave(struct kith_node *node)
{
    (void)kith_unlock(node, lock.id);
    uint64_t now_ns = bench_now_ns();
    if (now_ns >= state_worker.measured_from_ns && lock.sent_ns != 0)
        bench_add(&state_worker.samples, (double)(now_ns - lock.sent_ns) / 1000);
    if (state_goes_on(now_ns))
        acquire(node);
}

static void on_set(struct kith_node *node, const struct kith_value *value, void *user)
{
    (void)user;
    if (value->code != 0)
        state_failed("guarded set", value->text);
    leave(node);
}

static void do_guarded(struct kith_node *node, const struct kith_var_op *op, kith_value_cb cb)
{
    state_worker.waits_for =
        op->kind == KITH_VAR_GET ? "read under a fence" : "write under a fence";
    state_worker.of = "sum";
    if (kith_var_do_async(node, "sum", op, &lock.options, cb, NULL) != 0) {
        state_failed("sum", kith_errmsg());
        leave(node);
    }
}

static void on_got(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct kith_var_op set = {.kind = KITH_VAR_SET, .data = lock.data, .len = sizeof(lock.data)};
    uint64_t sum;

    (void)user;
    if (value->code != 0 && value->code != KITH_E_NOT_FOUND)
        state_failed("guarded get", value->text);
    sum = (uint64_t)(value->found ? value->i64 : 0) + 1;
    memcpy(lock.data, &sum, sizeof(sum));
    lock.options.guard.last = true;
    do_guarded(node, &set, on_set);
}

/* Not atomic: that is what the mutex is for. */
static void inside(uint64_t fence)
{
    uint64_t last = lock.memory[1];
    char text[80];

    lock.memory[0] = lock.memory[0] + 1;
    lock.memory[1] = fence;
    if (fence <= last) {
        snprintf(text, sizeof(text), "fence %llu comes after %llu", (unsigned long long)fence,
                 (unsigned long long)last);
        state_failed("the mutex does not exclude", text);
    }
}

static void on_granted(struct kith_node *node, const struct kith_lock *granted, void *user)
{
    struct kith_var_op get = {.kind = KITH_VAR_GET};

    (void)user;
    if (granted->code != 0) {
        state_failed(lock.name, granted->text);
        if (state_goes_on(bench_now_ns()))
            acquire(node);
        return;
    }
    lock.id = granted->id;
    if (lock.moved_only && granted->fence == lock.fence + 1)
        lock.sent_ns = 0; /* it was still here */
    lock.fence = granted->fence;
    switch (lock.guards) {
    case GUARDS_NOTHING:
        leave(node);
        break;
    case GUARDS_MEMORY:
        inside(granted->fence);
        leave(node);
        break;
    case GUARDS_VARIABLE:
        lock.options = (struct kith_var_options){
            .type = KITH_TYPE_I64, .guard = {.mutex = lock.name, .fence = granted->fence}};
        do_guarded(node, &get, on_got);
        break;
    }
}

static void acquire_run(struct kith_node *node, void *arg)
{
    (void)arg;
    acquire(node);
}

static void run(enum guards guards, bool moved_only, unsigned ms)
{
    lock.guards = guards;
    lock.moved_only = moved_only;
    lock.fence = 0;
    state_begin(ms, 1);
    if (node_post(state_worker.node, acquire_run, NULL) != 0)
        exit(1);
    state_wait();
    printf("%f %f %f %llu\n", bench_percentile(&state_worker.samples, 50),
           bench_percentile(&state_worker.samples, 99),
           state_worker.failed > 0 ? 0.0
                                   : (double)state_worker.count /
                                         ((double)(bench_now_ns() - state_worker.begun_ns) / 1e9),
           (unsigned long long)state_worker.count);
    fflush(stdout);
}

static bool map_memory(const char *path)
{
    if (lock.memory != NULL)
        return true;
    int fd = open(path, O_RDWR);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED) {
        perror(path);
        return false;
    }
    lock.memory = at;
    return true;
}

/* "hold NAME MS", "move NAME MS", "memory NAME MS PATH", "variable NAME MS" */
bool state_lock_step(const char *line)
{
    char word[16], path[200];
    unsigned ms;
    int n = sscanf(line, "%15s %31s %u %199s", word, lock.name, &ms, path);

    if (n == 3 && strcmp(word, "hold") == 0)
        run(GUARDS_NOTHING, false, ms);
    else if (n == 3 && strcmp(word, "move") == 0)
        run(GUARDS_NOTHING, true, ms);
    else if (n == 3 && strcmp(word, "variable") == 0)
        run(GUARDS_VARIABLE, false, ms);
    else if (n == 4 && strcmp(word, "memory") == 0 && map_memory(path))
        run(GUARDS_MEMORY, false, ms);
    else
        return false;
    return true;
}
