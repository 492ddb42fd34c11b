/*
 * A whole node in a process of its own, driven over pipes: what variables cost. Names are KIND/NO,
 * where the kind says policy and type (v volatile, d durable, c a counter, w watched), so that the
 * driver can talk of them in numbers.
 */
#include "kith_state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/placement.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/node.h"
#include "view/view.h"

#define BEAT_MS      1
#define NAMES_TRIED  4096
#define READS_A_LOOK 1024
#define READERS_MAX  4
#define SETTLE_TRIES 3000
#define SETTLE_US    10000
#define WAIT_S       60

struct state_worker state_worker;

static int fail(const char *what)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, kith_errmsg());
    return 1;
}

static void answer(double a, double b, double c)
{
    printf("%f %f %f\n", a, b, c);
    fflush(stdout);
}

/* ---- steps ---- */

void state_begin(unsigned ms, unsigned outstanding)
{
    struct state_worker *w = &state_worker;

    w->samples.n = 0;
    w->count = 0;
    w->failed = 0;
    w->waits_for = "do", w->of = "nothing yet";
    w->outstanding = outstanding;
    w->begun_ns = bench_now_ns();
    w->measured_from_ns = w->begun_ns + BENCH_WARM_MS * 1000000u;
    w->until_ns = w->begun_ns + (uint64_t)(ms + BENCH_WARM_MS) * 1000000u;
}

void state_report(void)
{
    struct state_worker *w = &state_worker;
    double seconds = (double)(bench_now_ns() - w->begun_ns) / 1e9;

    answer(bench_percentile(&w->samples, 50), bench_percentile(&w->samples, 99),
           w->failed > 0 ? 0.0 : (double)w->count / seconds);
}

bool state_goes_on(uint64_t now_ns)
{
    struct state_worker *w = &state_worker;

    w->count++;
    if (now_ns != 0 && now_ns >= w->until_ns)
        w->until_ns = 0;
    if (w->until_ns != 0)
        return true;
    if (--w->outstanding == 0)
        sem_post(&w->done);
    return false;
}

void state_failed(const char *what, const char *text)
{
    if (state_worker.failed++ == 0)
        fprintf(stderr, "kith-bench: %s: %s\n", what, text);
}

void state_wait(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    while (sem_timedwait(&state_worker.done, &until) != 0) {
        if (errno == EINTR)
            continue;
        fprintf(stderr,
                "kith-bench: the node in %s: %u operations did not end within %d s, after %llu "
                "that did; "
                "the last was asked to %s %s\n",
                state_worker.dir, state_worker.outstanding, WAIT_S,
                (unsigned long long)state_worker.count, state_worker.waits_for, state_worker.of);
        exit(1);
    }
}

/* ---- operations, so many outstanding ---- */

struct slot {
    char name[24];
    struct kith_var_op op;
    struct kith_var_options options;
    uint64_t sent_ns;
    uint8_t data[BENCH_ECHO_BYTES];
};
static struct slot slots[STATE_SLOTS_MAX];
static bool measure_each;

static void on_value(struct kith_node *node, const struct kith_value *value, void *user);

static void issue(struct kith_node *node, struct slot *slot)
{
    state_worker.waits_for = "change";
    state_worker.of = slot->name;
    if (kith_var_do_async(node, slot->name, &slot->op, &slot->options, on_value, slot) != 0) {
        fail(slot->name);
        exit(1);
    }
}

static void on_value(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct slot *slot = user;
    uint64_t now_ns = 0;

    if (value->code != 0)
        state_failed(slot->name, value->text);
    if (measure_each || (state_worker.count & 63) == 0)
        now_ns = bench_now_ns();
    if (measure_each && now_ns >= state_worker.measured_from_ns)
        bench_add(&state_worker.samples, (double)(now_ns - slot->sent_ns) / 1000);
    if (!state_goes_on(now_ns))
        return;
    slot->sent_ns = now_ns;
    slot->data[8]++;
    issue(node, slot);
}

static void issue_all(struct kith_node *node, void *arg)
{
    unsigned n = *(unsigned *)arg;

    for (unsigned i = 0; i < n; i++) {
        slots[i].sent_ns = bench_now_ns();
        issue(node, &slots[i]);
    }
}

static void name_of(char out[24], char kind, unsigned no)
{
    snprintf(out, 24, "%c/%u", kind, no);
}

static void prepare(struct slot *slot, char kind, unsigned no)
{
    *slot = (struct slot){.options.timeout_ms = 20000};
    name_of(slot->name, kind, no);
    if (kind == 'c') {
        slot->op.kind = KITH_VAR_ADD;
        slot->op.delta = 1;
        return;
    }
    slot->op.kind = KITH_VAR_SET;
    slot->op.data = slot->data;
    slot->op.len = sizeof(slot->data);
    slot->options.type = KITH_TYPE_BYTES;
    slot->options.policy = kind == 'd' ? KITH_POLICY_DURABLE : KITH_POLICY_VOLATILE;
}

static void run_slots(unsigned n, unsigned ms, bool each)
{
    measure_each = each;
    state_begin(ms, n);
    if (node_post(state_worker.node, issue_all, &n) != 0)
        exit(1);
    state_wait();
    state_report();
}

/* ---- whose home ---- */

static unsigned homes[STATE_SLOTS_MAX];

struct homes_of {
    char kind;
    unsigned wanted, found;
};

static void homes_run(struct kith_node *node, void *arg)
{
    const struct placement *placement = view_placement(node_view(node));
    struct kith_node_id self = kith_node_self(node);
    struct homes_of *of = arg;
    char name[24];

    for (unsigned no = 0; no < NAMES_TRIED && of->found < of->wanted; no++) {
        name_of(name, of->kind, no);
        const struct placement_keeper *home =
            placement_home(placement, placement_slot_of(name, strlen(name)));
        if (home != NULL && kith_node_id_equal(&home->boot.node, &self))
            homes[of->found++] = no;
    }
}

/* The first so many numbers of names that have their home here. */
static unsigned find_homes(char kind, unsigned n)
{
    struct homes_of of = {.kind = kind, .wanted = n};
    node_run(state_worker.node, homes_run, &of);
    return of.found;
}

static void several(char kind, unsigned n, unsigned ms)
{
    if (find_homes(kind, n) < n) {
        fprintf(stderr, "kith-bench: fewer than %u names have their home here\n", n);
        answer(0, 0, 0);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        prepare(&slots[i], kind, homes[i]);
    run_slots(n, ms, false);
}

struct settled_of {
    unsigned nodes;
    bool settled;
};

static void settled_run(struct kith_node *node, void *arg)
{
    struct settled_of *of = arg;
    struct view_quorum quorum;

    view_quorum(node_view(node), node_boot_ms(), &quorum);
    of->settled = quorum.have && quorum.keepers_n == of->nodes && quorum.slots_moving_n == 0 &&
                  quorum.slots_unavailable_n == 0;
}

static void wait_settled(unsigned nodes)
{
    struct settled_of of = {.nodes = nodes};

    for (int i = 0; i < SETTLE_TRIES && !of.settled; i++) {
        node_run(state_worker.node, settled_run, &of);
        if (!of.settled)
            usleep(SETTLE_US);
    }
    answer(of.settled, 0, 0);
}

/* ---- reading ---- */

struct var_reader {
    pthread_t thread;
    int cpu;
    struct kith_var *var;
    double ns_each;
    uint64_t count;
};
static _Atomic bool readers_go, readers_end;

static void *reader_main(void *arg)
{
    struct var_reader *reader = arg;
    uint8_t buffer[BENCH_ECHO_BYTES];
    cpu_set_t set;
    size_t len;

    CPU_ZERO(&set);
    CPU_SET((size_t)reader->cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
    while (!atomic_load(&readers_go))
        continue;
    uint64_t begun_ns = bench_now_ns(), count = 0;
    while (!atomic_load_explicit(&readers_end, memory_order_relaxed)) {
        for (int i = 0; i < READS_A_LOOK; i++) {
            if (kith_var_read(reader->var, buffer, sizeof(buffer), &len, NULL) != 0)
                state_failed("read", kith_errmsg());
        }
        count += READS_A_LOOK;
    }
    reader->count = count;
    reader->ns_each = (double)(bench_now_ns() - begun_ns) / (double)count;
    return NULL;
}

/* Prints the time of a read in ns and reads a second of all threads. */
static void read_step(unsigned no, unsigned threads, unsigned ms)
{
    struct var_reader readers[READERS_MAX] = {0};
    struct kith_var *var = NULL;
    double ns = 0, rate = 0;
    char name[24];

    name_of(name, 'v', no);
    state_worker.failed = 0;
    if (kith_var_open(state_worker.node, name, &var) != 0) {
        fail(name);
        answer(0, 0, 0);
        return;
    }
    atomic_store(&readers_go, false);
    atomic_store(&readers_end, false);
    for (unsigned i = 0; i < threads; i++) {
        readers[i].cpu = (int)(threads - 1 - i);
        readers[i].var = var;
        pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]);
    }
    usleep(5000);
    atomic_store(&readers_go, true);
    usleep(ms * 1000);
    atomic_store(&readers_end, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(readers[i].thread, NULL);
        ns += readers[i].ns_each / threads;
        rate += 1e9 / readers[i].ns_each;
    }
    kith_var_close(var);
    answer(state_worker.failed > 0 ? 0 : ns, 0, state_worker.failed > 0 ? 0 : rate);
}

/* ---- watching ---- */

static void on_change(struct kith_node *node, const struct kith_var_change *change, void *user)
{
    uint64_t sent_ns;

    (void)node;
    (void)user;
    if (change->gone || change->value->len < sizeof(sent_ns))
        return;
    memcpy(&sent_ns, change->value->data, sizeof(sent_ns));
    if (sent_ns >= state_worker.begun_ns)
        bench_add(&state_worker.samples, (double)(bench_now_ns() - sent_ns) / 1000);
}

static void watch_step(unsigned no, unsigned ms)
{
    char name[24];

    name_of(name, 'w', no);
    state_begin(ms, 1);
    int64_t watch = kith_var_watch(state_worker.node, name, on_change, NULL);
    if (watch < 0)
        fail(name);
    usleep(ms * 1000);
    kith_var_unwatch(state_worker.node, watch);
    answer(bench_percentile(&state_worker.samples, 50), bench_percentile(&state_worker.samples, 99),
           (double)state_worker.samples.n);
}

static uv_timer_t beat, over;

static void on_beat_done(struct kith_node *node, const struct kith_value *value, void *user)
{
    (void)node;
    (void)user;
    if (value->code != 0)
        state_failed("write", value->text);
    state_worker.count++;
}

static void on_beat(uv_timer_t *timer)
{
    uint64_t now_ns = bench_now_ns();

    (void)timer;
    memcpy(slots[0].data, &now_ns, sizeof(now_ns));
    if (kith_var_do_async(state_worker.node, slots[0].name, &slots[0].op, &slots[0].options,
                          on_beat_done, NULL) != 0)
        state_failed("write", kith_errmsg());
}

static void on_over_closed(uv_handle_t *handle)
{
    (void)handle;
    sem_post(&state_worker.done);
}

static void on_over(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)&beat, NULL);
    uv_close((uv_handle_t *)timer, on_over_closed);
}

static void beat_run(struct kith_node *node, void *arg)
{
    uv_timer_init(node_loop(node), &beat);
    uv_timer_init(node_loop(node), &over);
    uv_timer_start(&beat, on_beat, BEAT_MS, BEAT_MS);
    uv_timer_start(&over, on_over, *(unsigned *)arg, 0);
}

static void beat_step(unsigned no, unsigned ms)
{
    prepare(&slots[0], 'w', no);
    state_begin(ms, 1);
    node_post(state_worker.node, beat_run, &ms);
    state_wait();
    state_report();
}

/* ---- the disk ---- */

/* A write of one page and its fdatasync, beside the store. */
static void fsync_step(unsigned ms)
{
    char path[256];
    uint8_t page[4096] = {0};

    snprintf(path, sizeof(path), "%s/probe", state_worker.dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    state_begin(ms, 1);
    for (off_t at = 0; at < 16; at++)
        (void)!pwrite(fd, page, sizeof(page), at * (off_t)sizeof(page));
    (void)fdatasync(fd);
    while (bench_now_ns() < state_worker.until_ns) {
        uint64_t from_ns = bench_now_ns();
        page[0]++;
        if (pwrite(fd, page, sizeof(page), (off_t)(state_worker.count % 16) * 4096) !=
                sizeof(page) ||
            fdatasync(fd) != 0)
            state_failed(path, "cannot be written");
        bench_add(&state_worker.samples, (double)(bench_now_ns() - from_ns) / 1000);
        state_worker.count++;
    }
    close(fd);
    state_report();
}

/* ---- life ---- */

static void port_of(struct kith_node *node, void *arg)
{
    *(unsigned *)arg = uv_net_port(node_net(node));
}

static struct kith_node *start(const char *dir, const char *spin_us, unsigned seed_port)
{
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    char conf[256], seed[32];

    snprintf(conf, sizeof(conf), "%s/kith.conf", dir);
    snprintf(seed, sizeof(seed), "127.0.0.1:%u", seed_port);
    if (config == NULL || kith_config_load(config, conf) != 0 ||
        kith_config_set(config, "node.data_dir", dir) != 0 ||
        kith_config_set(config, "loop.spin_us", spin_us) != 0 ||
        kith_config_set(config, "log.level", "error") != 0 ||
        (seed_port != 0 && kith_config_set(config, "net.seed", seed) != 0) ||
        kith_node_start(config, &node) != 0)
        fail(dir);
    kith_config_free(config);
    return node;
}

static void one_step(const char *line)
{
    unsigned n, no, ms, threads;
    char kind;

    if (state_lock_step(line))
        return;
    if (sscanf(line, "settled %u", &n) == 1) {
        wait_settled(n);
    } else if (sscanf(line, "home %c", &kind) == 1) {
        n = find_homes(kind, 1);
        answer(n > 0 ? (double)homes[0] : -1.0, 0, 0);
    } else if (sscanf(line, "set %c %u %u", &kind, &no, &ms) == 3) {
        prepare(&slots[0], kind, no);
        run_slots(1, ms, true);
    } else if (sscanf(line, "sets %c %u %u", &kind, &n, &ms) == 3) {
        several(kind, n > STATE_SLOTS_MAX ? STATE_SLOTS_MAX : n, ms);
    } else if (sscanf(line, "adds %u %u %u", &no, &n, &ms) == 3) {
        for (unsigned i = 0; i < n && i < STATE_SLOTS_MAX; i++)
            prepare(&slots[i], 'c', no);
        run_slots(n > STATE_SLOTS_MAX ? STATE_SLOTS_MAX : n, ms, false);
    } else if (sscanf(line, "read %u %u %u", &no, &threads, &ms) == 3) {
        read_step(no, threads > READERS_MAX ? READERS_MAX : threads, ms);
    } else if (sscanf(line, "watch %u %u", &no, &ms) == 2) {
        watch_step(no, ms);
    } else if (sscanf(line, "beat %u %u", &no, &ms) == 2) {
        beat_step(no, ms);
    } else if (sscanf(line, "fsync %u", &ms) == 1) {
        fsync_step(ms);
    } else {
        answer(-1, 0, 0);
    }
}

/* DIR:SPIN_US:SEED_PORT */
int bench_state_node(const char *arg)
{
    unsigned seed_port = 0, port = 0;
    char spin_us[16], line[300];

    if (sscanf(arg, "%199[^:]:%15[^:]:%u", state_worker.dir, spin_us, &seed_port) != 3)
        return 2;
    state_worker.node = start(state_worker.dir, spin_us, seed_port);
    if (state_worker.node == NULL)
        return 1;
    sem_init(&state_worker.done, 0, 0);
    node_run(state_worker.node, port_of, &port);
    printf("%u\n", port);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL)
        one_step(line);
    kith_node_stop(state_worker.node);
    return 0;
}
