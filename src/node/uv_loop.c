/*
 * The loop thread: one libuv loop that owns every core, an adaptive spin before it sleeps, and the
 * queue by which other threads reach it.
 *
 * Waking. A producer pushes its request and then looks at `sleeping`; the loop sets `sleeping` and
 * then looks at the queue once more before it enters the kernel. Both sides use sequentially
 * consistent order, so at least one of them sees the other, and a busy loop costs its producers no
 * system call. What the loop thread asks of itself runs in the same turn, behind its callbacks and
 * before what they made leaves: one write then has all of it.
 */
#include <sched.h>
#include <signal.h>

#include "core/alloc.h"
#include "node/internal.h"

/* A spin that keeps catching things still gives timers and other descriptors a turn this often. */
#define LOOP_TURN_NS 1000000ull
/* Polls between two looks at whether somebody else wants this core. */
#define LOOP_YIELD_EVERY 8
/* The queue is emptied so often before the sockets have a turn. */
#define DRAIN_ROUNDS 64

static _Thread_local struct kith_node *tls_loop_of;

static void arm_timers(struct kith_node *node);

static void on_wake(uv_async_t *handle)
{
    node_drain(handle->data);
}

bool node_on_loop(const struct kith_node *node)
{
    return tls_loop_of == node;
}

static void on_again(uv_idle_t *handle)
{
    (void)handle;
}

/* Whoever makes work between on_prepare() and the poll keeps the loop from sleeping. */
void node_loop_again(struct kith_node *node)
{
    if (atomic_load_explicit(&node->sleeping, memory_order_relaxed) &&
        !uv_is_closing((uv_handle_t *)&node->again))
        uv_idle_start(&node->again, on_again);
}

static void push(struct kith_node *node, struct node_request *request)
{
    node_queue_push(&node->queue, request);
    if (node_on_loop(node)) {
        node_loop_again(node); /* on_check() drains */
        return;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&node->sleeping, memory_order_relaxed) &&
        atomic_exchange(&node->sleeping, false))
        uv_async_send(&node->wake);
}

/* The request may end the node (a deferred reply): it stays until we have looked at `sleeping`. */
void node_push(struct kith_node *node, struct node_request *request)
{
    if (node_on_loop(node)) {
        push(node, request);
        return;
    }
    atomic_fetch_add(&node->inside_n, 1);
    push(node, request);
    atomic_fetch_sub(&node->inside_n, 1);
}

bool node_enter(struct kith_node *node)
{
    if (node_on_loop(node))
        return true;
    atomic_fetch_add(&node->inside_n, 1);
    if (!atomic_load(&node->stopping))
        return true;
    atomic_fetch_sub(&node->inside_n, 1);
    (void)node_fail_stopped();
    return false;
}

void node_exit(struct kith_node *node)
{
    if (!node_on_loop(node))
        atomic_fetch_sub(&node->inside_n, 1);
}

bool node_drain(struct kith_node *node)
{
    struct node_request *request = node_queue_take(&node->queue);
    if (node->refused != NULL)
        node_serve_refused(node);
    if (request == NULL)
        return false;
    node->state.in_batch = true;
    while (request != NULL) {
        struct node_request *next = request->next;
        node->stats.requests_crossed++;
        node->work_n++;
        request->run(node, request);
        request = next;
    }
    if (node->state.released)
        node_state_release(node);
    node->state.in_batch = false;
    node->state.batch_ms = 0;
    return true;
}

static enum spin_wait waiting_for(const struct kith_node *node)
{
    return rpc_calls_pending(node->rpc) > 0 || node_state_awaits(node) ? SPIN_FOR_REPLIES
                                                                       : SPIN_FOR_REQUESTS;
}

/* Before the loop sleeps: what was asked meanwhile runs, what it made leaves, then it may sleep. */
static void on_prepare(uv_prepare_t *handle)
{
    struct kith_node *node = handle->data;

    for (;;) {
        unsigned rounds = 0;
        while (rounds < DRAIN_ROUNDS && node_drain(node))
            rounds++;
        if (node->facts_dirty && !node->member_stepping)
            node_member_facts(node);
        node_state_turn(node);
        node_state_arm(node);
        arm_timers(node);
        uv_net_flush(node->net);
        node_store_write(node);
        atomic_store(&node->sleeping, true);
        atomic_thread_fence(memory_order_seq_cst);
        if (node_queue_empty(&node->queue))
            break;
        atomic_store(&node->sleeping, false);
        if (rounds == DRAIN_ROUNDS) {
            /* Requests that make requests for ever: sockets and timers get their turn between. */
            uv_idle_start(&node->again, on_again);
            break;
        }
    }

    node->now_ns = 0;
    node->now_unix_ms = 0;
    node->slept_at_n = node->work_n;
    node->sleeps_for = waiting_for(node);
    if (node->work_n != node->work_seen_n) {
        node->work_seen_n = node->work_n;
        node->active_ns = node_now_ns();
    }
}

static void look_at_spin(struct kith_node *node)
{
    if (node->work_n == node->slept_at_n || node->spin.budget_ns == 0)
        return;
    uint64_t now_ns = node_now_ns();
    spin_woken(&node->spin, node->sleeps_for, now_ns - node->active_ns);
    node->active_ns = now_ns;
    node->work_seen_n = node->work_n;
}

static void on_check(uv_check_t *handle)
{
    struct kith_node *node = handle->data;

    atomic_store_explicit(&node->sleeping, false, memory_order_relaxed);
    node->stats.loop_turns++;
    look_at_spin(node);
    for (unsigned rounds = 0; rounds < DRAIN_ROUNDS && node_drain(node); rounds++)
        continue;
    node_state_turn(node);      /* a spin may follow: what the poll brought is answered before it */
    uv_idle_stop(&node->again); /* what is left has its turn before the next sleep */
}

/* A spin is for replies or requests, for the disk, or for both; each has a time of its own. */
struct spell {
    enum spin_wait wait;
    uint64_t end_ns;      /* of the spin for @wait; 0: there is none */
    uint64_t disk_end_ns; /* of the one for the disk; likewise */
};

/* False: nothing that the loop waits for is worth a spin. */
static bool spell_begin(struct kith_node *node, struct spell *spell, uint64_t now_ns)
{
    spell->wait = waiting_for(node);
    spell->end_ns = node->active_ns + spin_budget_ns(&node->spin, spell->wait, now_ns);
    spell->disk_end_ns = 0;
    if (node->state.writing_n > 0)
        spell->disk_end_ns =
            node->state.writing_ns + spin_budget_ns(&node->spin, SPIN_FOR_DISK, now_ns);
    if (spell->end_ns <= now_ns)
        spell->end_ns = 0;
    if (spell->disk_end_ns <= now_ns)
        spell->disk_end_ns = 0;
    node->polls_disk = spell->disk_end_ns != 0;
    return spell->end_ns != 0 || node->polls_disk;
}

/* False: all of it lasted its time and caught nothing. */
static bool spell_lasts(struct kith_node *node, struct spell *spell, uint64_t now_ns)
{
    if (spell->end_ns != 0 && now_ns >= spell->end_ns) {
        spin_missed(&node->spin, spell->wait);
        spell->end_ns = 0;
    }
    if (spell->disk_end_ns != 0 && now_ns >= spell->disk_end_ns) {
        spin_missed(&node->spin, SPIN_FOR_DISK);
        spell->disk_end_ns = 0;
        node->polls_disk = false;
    }
    return spell->end_ns != 0 || node->polls_disk;
}

/* Something came that the disk had no part in. */
static void spell_caught(struct kith_node *node, const struct spell *spell, uint64_t now_ns)
{
    if (spell->end_ns != 0)
        spin_caught(&node->spin, spell->wait, now_ns - node->active_ns);
    else
        spin_woken(&node->spin, spell->wait, now_ns - node->active_ns);
}

void node_loop_durable(struct kith_node *node, uint64_t took_ns)
{
    node->durable_n++;
    if (node->polls_disk)
        spin_caught(&node->spin, SPIN_FOR_DISK, took_ns);
    else
        spin_woken(&node->spin, SPIN_FOR_DISK, took_ns);
}

/* What came, was asked for and has to be said on account of it is done. */
static bool poll_once(struct kith_node *node, const struct spell *spell, uint64_t *now_ns_out)
{
    uint64_t durable_n = node->durable_n;
    bool heard = uv_net_poll(node->net);
    bool asked = node_drain(node);

    if (!heard && !asked) {
        *now_ns_out = node_now_ns();
        return false;
    }
    /* What callbacks asked for decides what the loop waits for now. */
    for (unsigned rounds = 1; rounds < DRAIN_ROUNDS && node_drain(node); rounds++)
        continue;
    node_state_turn(node);
    uv_net_flush(node->net);
    node_store_write(node);
    *now_ns_out = node_now_ns();
    if (heard || node->durable_n == durable_n)
        spell_caught(node, spell, *now_ns_out);
    node->active_ns = *now_ns_out;
    node->work_seen_n = node->work_n;
    return true;
}

/*
 * Polls the streams and the queue instead of sleeping, as long as the habit says that something
 * will come soon. Returns true if the loop should take a turn without sleeping.
 */
static bool spin_phase(struct kith_node *node)
{
    uint64_t now_ns = node_now_ns();
    uint64_t turn_ns = now_ns + LOOP_TURN_NS;
    struct spell spell;

    if (!spell_begin(node, &spell, now_ns))
        return false;
    for (unsigned polls = 1;; polls++) {
        node->now_ns = 0;
        node->now_unix_ms = 0;
        if (poll_once(node, &spell, &now_ns)) {
            if (now_ns >= turn_ns || node->finished)
                return true;
            if (!spell_begin(node, &spell, now_ns))
                return false; /* what it waits for now is not worth a spin */
            polls = 0;
        } else if (!spell_lasts(node, &spell, now_ns)) {
            return false;
        } else if (polls % LOOP_YIELD_EVERY == 0) {
            sched_yield();
            uint64_t after_ns = node_now_ns();
            bool own = node->state.writing_n > 0;
            if (spin_yielded(&node->spin, after_ns, after_ns - now_ns, own))
                return false;
        }
    }
}

static void *node_loop_main(void *arg)
{
    struct kith_node *node = arg;

    tls_loop_of = node;
    node_loop_first(node);
    sem_post(&node->started);
    while (!node->finished) {
        node_store_write(node); /* what the turn sent has left */
        bool busy = node->spin.budget_ns != 0 && spin_phase(node);
        node->polls_disk = false;
        uv_run(&node->loop, busy ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
    /* What the closing itself left behind. */
    while (node_drain(node))
        continue;
    return NULL;
}

/* ---- timers ---- */

static void on_member_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    uint64_t due_ms = node->member_due_ms;
    node->member_due_ms = UINT64_MAX;
    node_member_tick(node, due_ms);
}

static void on_rpc_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    node->rpc_due_ms = UINT64_MAX;
    struct rpc_event event = {.type = RPC_TICK};
    node_rpc_step(node, &event);
    node_maps_tick(node);
}

/* uv_timer counts from the cached time of the turn; @due_ms is of the clock. */
static void arm(uv_timer_t *timer, uv_timer_cb cb, uint64_t due_ms, uint64_t *armed_ms)
{
    if (due_ms == *armed_ms)
        return;
    *armed_ms = due_ms;
    if (due_ms == UINT64_MAX) {
        uv_timer_stop(timer);
        return;
    }
    uint64_t now_ms = uv_now(timer->loop);
    uv_timer_start(timer, cb, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void arm_timers(struct kith_node *node)
{
    arm(&node->member_timer, on_member_timer, member_deadline_ms(node->members),
        &node->member_due_ms);

    /* Later deadlines of calls wait for the timer that is set: one call less per call. */
    uint64_t map_ms = node_maps_deadline_ms(node);
    if (map_ms >= node->rpc_due_ms && !rpc_due_before(node->rpc, node->rpc_due_ms))
        return;
    uint64_t rpc_ms = rpc_deadline_ms(node->rpc);
    uint64_t due_ms = rpc_ms < map_ms ? rpc_ms : map_ms;
    if (due_ms < node->rpc_due_ms)
        arm(&node->rpc_timer, on_rpc_timer, due_ms, &node->rpc_due_ms);
}

static void on_sample_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    node_sample(node);
    node_state_sample(node);
    node_log_tick(&node->log);
}

int node_loop_open(struct kith_node *node)
{
    int r = uv_loop_init(&node->loop);
    if (r != 0)
        return kith_fail_with(KITH_E_LIMIT,
                              "cannot start an event loop: %s; raise the limit of open files",
                              uv_strerror(r));
    node->loop.data = node;
    uv_async_init(&node->loop, &node->wake, on_wake);
    uv_timer_init(&node->loop, &node->member_timer);
    uv_timer_init(&node->loop, &node->rpc_timer);
    uv_timer_init(&node->loop, &node->sample_timer);
    uv_timer_init(&node->loop, &node->cache_timer);
    uv_timer_init(&node->loop, &node->wait_timer);
    uv_timer_init(&node->loop, &node->leave_timer);
    uv_prepare_init(&node->loop, &node->prepare);
    uv_check_init(&node->loop, &node->check);
    uv_idle_init(&node->loop, &node->again);
    node->wake.data = node;
    node->member_timer.data = node;
    node->rpc_timer.data = node;
    node->sample_timer.data = node;
    node->cache_timer.data = node;
    node->wait_timer.data = node;
    node->leave_timer.data = node;
    node->prepare.data = node;
    node->check.data = node;
    node->member_due_ms = UINT64_MAX;
    node->rpc_due_ms = UINT64_MAX;
    return 0;
}

/* Once the channel is open: of the handles of a kind libuv runs the one started last first, so that
 * the channel flushes after us. */
void node_loop_begin(struct kith_node *node)
{
    uv_prepare_start(&node->prepare, on_prepare);
    uv_check_start(&node->check, on_check);
    uv_timer_start(&node->sample_timer, on_sample_timer, NODE_SAMPLE_MS, NODE_SAMPLE_MS);
}

/* The stack of the loop thread is what nested callbacks need, and no more. */
int node_thread_start(struct kith_node *node)
{
    sigset_t all, old;

    /* Signals are the main thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int r = pthread_create(&node->thread, NULL, node_loop_main, node);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0)
        pthread_setname_np(node->thread, "kith-loop");
    return r;
}

/* ---- asking the loop and waiting ---- */

struct run_sync {
    struct node_request request;
    void (*fn)(struct kith_node *node, void *arg);
    void *arg;
    sem_t done;
};

static void run_sync_run(struct kith_node *node, struct node_request *request)
{
    struct run_sync *run = container_of(request, struct run_sync, request);
    run->fn(node, run->arg);
    sem_post(&run->done);
}

void node_sem_wait(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        continue; /* a signal handler ran */
}

int node_run(struct kith_node *node, void (*fn)(struct kith_node *node, void *arg), void *arg)
{
    if (node_on_loop(node)) {
        fn(node, arg);
        return 0;
    }
    if (!node_enter(node))
        return KITH_E_STOPPED;
    struct run_sync run = {.request.run = run_sync_run, .fn = fn, .arg = arg};
    sem_init(&run.done, 0, 0);
    push(node, &run.request);
    node_exit(node);
    node_sem_wait(&run.done);
    sem_destroy(&run.done);
    return 0;
}

struct post {
    struct node_request request;
    void (*fn)(struct kith_node *node, void *arg);
    void *arg;
};

static void post_run(struct kith_node *node, struct node_request *request)
{
    struct post *post = container_of(request, struct post, request);
    void (*fn)(struct kith_node *, void *) = post->fn;
    void *arg = post->arg;
    core_free(post);
    fn(node, arg);
}

int node_post(struct kith_node *node, void (*fn)(struct kith_node *node, void *arg), void *arg)
{
    struct post *post = core_malloc(sizeof(*post));
    if (post == NULL)
        return KITH_E_MEMORY;
    *post = (struct post){.request.run = post_run, .fn = fn, .arg = arg};
    if (!node_enter(node)) {
        core_free(post);
        return KITH_E_STOPPED;
    }
    push(node, &post->request);
    node_exit(node);
    return 0;
}
