/*
 * The world: nodes, their clocks and timers, and the loop that makes the next thing happen.
 *
 * A node has at most one timer, so timers have a small heap of their own in which a move is cheap;
 * everything else is in the queue. Nothing but events changes a node, and a host is never called
 * from inside itself.
 */
#include "world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- the timers ---- */

static inline bool timer_before(const struct sim_node *a, const struct sim_node *b)
{
    return a->timer_at_ns != b->timer_at_ns ? a->timer_at_ns < b->timer_at_ns
                                            : a->timer_seq < b->timer_seq;
}

static void timer_place(struct sim_world *world, struct sim_node *node, size_t at)
{
    world->timers[at] = node;
    node->timer_at = at + 1;
}

static void timer_sift(struct sim_world *world, struct sim_node *node, size_t at)
{
    while (at > 0 && timer_before(node, world->timers[(at - 1) / 4])) {
        timer_place(world, world->timers[(at - 1) / 4], at);
        at = (at - 1) / 4;
    }
    for (;;) {
        size_t child = 4 * at + 1;
        size_t least = child;

        if (child >= world->timers_n)
            break;
        for (size_t c = child + 1; c < child + 4 && c < world->timers_n; c++) {
            if (timer_before(world->timers[c], world->timers[least]))
                least = c;
        }
        if (!timer_before(world->timers[least], node))
            break;
        timer_place(world, world->timers[least], at);
        at = least;
    }
    timer_place(world, node, at);
}

static void timer_remove(struct sim_world *world, struct sim_node *node)
{
    size_t at = node->timer_at;

    if (at == 0)
        return;
    node->timer_at = 0;
    struct sim_node *last = world->timers[--world->timers_n];
    if (last != node)
        timer_sift(world, last, at - 1);
}

static void timer_insert(struct sim_world *world, struct sim_node *node)
{
    size_t at = node->timer_at != 0 ? node->timer_at - 1 : world->timers_n++;

    node->timer_seq = world->seq++;
    timer_sift(world, node, at);
}

/* ---- clocks ---- */

static uint64_t scale(uint64_t value, uint64_t rate)
{
    return (uint64_t)((unsigned __int128)value * rate >> 32);
}

uint64_t sim_now_ns(const struct sim_node *node)
{
    return node->clock_offset_ns + scale(node->world->now_ns, node->clock_rate);
}

/* The first nanosecond of the world at which @node's clock shows @at_ns or more. */
static uint64_t world_time_of(const struct sim_node *node, uint64_t at_ns)
{
    if (at_ns <= node->clock_offset_ns)
        return 0;
    uint64_t local = at_ns - node->clock_offset_ns;
    uint64_t guess = scale(local, node->clock_inverse);
    while (guess > 0 && scale(guess, node->clock_rate) >= local)
        guess--;
    while (scale(guess, node->clock_rate) < local)
        guess++;
    return guess;
}

void sim_set_timer_ns(struct sim_node *node, uint64_t at_ns)
{
    struct sim_world *world = node->world;
    /* Beyond a century there is no timer: and the arithmetic above cannot run over. */
    uint64_t at = at_ns > UINT64_MAX / 4 ? UINT64_MAX : world_time_of(node, at_ns);

    if (at < world->now_ns)
        at = world->now_ns;
    if (at == node->timer_at_ns)
        return;
    node->timer_at_ns = at;
    if (at == UINT64_MAX)
        timer_remove(world, node);
    else if (!node->paused)
        timer_insert(world, node);
}

void sim_set_timer(struct sim_node *node, uint64_t at_ms)
{
    sim_set_timer_ns(node, at_ms > UINT64_MAX / SIM_MS ? UINT64_MAX : at_ms * SIM_MS);
}

void sim_wake_ns(struct sim_node *node, uint64_t at_ns)
{
    struct sim_event *event = queue_event(&node->world->queue, SIM_EV_WAKE, 0);

    event->to = node->index;
    event->from_boot = node->boot_no;
    world_push(node->world, event, at_ns);
}

uint64_t sim_wall_ms(const struct sim_node *node)
{
    return (uint64_t)((int64_t)(UINT64_C(1700000000000) + node->world->now_ns / SIM_MS) +
                      node->wall_step_ms);
}

void sim_step_wall(struct sim_world *world, size_t index, int64_t by_ms)
{
    sim_note(world, "wall clock of %zu steps by %lld ms", index, (long long)by_ms);
    world->nodes[index].wall_step_ms += by_ms;
}

/* ---- making and ending ---- */

void world_address(const struct sim_node *node, uint32_t gen, char *out)
{
    if (gen == 0)
        snprintf(out, SIM_ADDRESS_BYTES, "sim:%u", node->index + 1);
    else
        snprintf(out, SIM_ADDRESS_BYTES, "sim%u:%u", gen, node->index + 1);
}

static void node_init(struct sim_world *world, size_t index, const struct sim_faults *faults)
{
    struct sim_node *node = &world->nodes[index];
    uint64_t spread_ppm = (uint64_t)(faults->clock_rate_spread * 1e6);
    uint64_t above = rng_below(&world->rng_nodes, 2 * spread_ppm + 1);
    uint64_t ppm = 1000000 - spread_ppm + above;

    if (faults->clock_extremes)
        ppm = above < spread_ppm ? 1000000 - spread_ppm : 1000000 + spread_ppm;
    node->world = world;
    node->index = (uint32_t)index;
    node->timer_at_ns = UINT64_MAX;
    node->clock_rate = (ppm << 32) / 1000000;
    node->clock_inverse = (uint64_t)(((unsigned __int128)1 << 64) / node->clock_rate);
    /* Uptimes of some minutes to hours, so that nothing may compare clocks of two nodes. */
    node->clock_offset_ns = 60 * 1000 * SIM_MS + rng_below(&world->rng_nodes, UINT64_C(1) << 43);
    /* Random order, and the index at the end: finding a node by its id needs no table. */
    for (size_t i = 0; i < KITH_NODE_ID_BYTES - 4; i++)
        node->id.bytes[i] = (uint8_t)rng_u64(&world->rng_nodes);
    for (size_t i = 0; i < 4; i++)
        node->id.bytes[KITH_NODE_ID_BYTES - 4 + i] = (uint8_t)(index >> (24 - 8 * i));
    list_init(&node->links);
    world_address(node, 0, node->address);
}

struct sim_world *sim_new(const struct sim_config *config)
{
    struct sim_world *world = sim_realloc(NULL, 1, sizeof(*world));

    assert(config->nodes_n > 0 && config->nodes_n <= 16384);
    assert(config->host != NULL && config->host->boot != NULL);
    memset(world, 0, sizeof(*world));
    world->nodes_n = config->nodes_n;
    world->host = config->host;
    world->user = config->user;
    world->seal_bytes = config->datagram_seal_bytes;
    world->hash = config->seed;
    /* One stream of chance each, so that a scenario's draws do not change the network's. */
    rng_init(&world->rng_network, config->seed * 4 + 1);
    rng_init(&world->rng_scenario, config->seed * 4 + 2);
    rng_init(&world->rng_nodes, config->seed * 4 + 3);
    world->nodes = sim_realloc(NULL, world->nodes_n, sizeof(*world->nodes));
    memset(world->nodes, 0, world->nodes_n * sizeof(*world->nodes));
    world->timers = sim_realloc(NULL, world->nodes_n, sizeof(struct sim_node *));
    size_t words = (world->nodes_n * world->nodes_n + 63) / 64;
    world->cuts = sim_realloc(NULL, words, sizeof(*world->cuts));
    memset(world->cuts, 0, words * sizeof(*world->cuts));
    for (size_t i = 0; i < world->nodes_n; i++)
        node_init(world, i, &config->faults);
    list_init(&world->stalled_links);
    sim_set_faults(world, &config->faults);
    return world;
}

void sim_free(struct sim_world *world)
{
    if (world == NULL)
        return;
    for (size_t i = 0; i < world->nodes_n; i++) {
        struct sim_node *node = &world->nodes[i];

        if (node->up && world->host->crash != NULL)
            world->host->crash(node->state);
        for (struct sim_event *event = node->wait_first, *next; event != NULL; event = next) {
            next = event->next;
            queue_release(&world->queue, event);
        }
    }
    stream_deinit(world);
    queue_deinit(&world->queue);
    mapid_deinit(&world->ids);
    free(world->nodes);
    free(world->timers);
    free(world->cuts);
    free(world->group_of_node);
    free(world->addresses);
    free(world->violation);
    free(world);
}

/* ---- nodes that come and go ---- */

void sim_start(struct sim_world *world, size_t index)
{
    struct sim_node *node = &world->nodes[index];

    assert(!node->up);
    assert(world->running == NULL);
    node->boot_no++;
    node->up = true;
    node->machine_off = false;
    node->timer_at_ns = UINT64_MAX;
    trace_mix(world, 0x5354u << 16 | index);
    sim_note(world, "start %zu boot %llu", index, (unsigned long long)node->boot_no);
    world->running = node;
    node->state = world->host->boot(world, node, node->boot_no);
    world->running = NULL;
    if (node->state == NULL)
        sim_violation(world, "node %zu did not boot", index);
}

static void node_end(struct sim_world *world, size_t index, bool told)
{
    struct sim_node *node = &world->nodes[index];

    if (!node->up)
        return;
    assert(world->running == NULL);
    trace_mix(world, 0x4352u << 16 | index);
    sim_note(world, "%s %zu", told ? "crash" : "power off", index);
    timer_remove(world, node);
    node->timer_at_ns = UINT64_MAX;
    node->up = false;
    node->paused = false;
    node->asleep = false;
    node->pause_gen++;
    for (struct sim_event *event = node->wait_first, *next; event != NULL; event = next) {
        next = event->next;
        queue_release(&world->queue, event);
    }
    node->wait_first = NULL;
    node->wait_last = NULL;
    node->wait_datagrams_n = 0;
    node->machine_off = !told;
    stream_node_gone(world, node, told);
    if (world->host->crash != NULL && node->state != NULL)
        world->host->crash(node->state);
    node->state = NULL;
}

void sim_crash(struct sim_world *world, size_t index)
{
    node_end(world, index, true);
}

void sim_power_off(struct sim_world *world, size_t index)
{
    node_end(world, index, false);
}

void sim_readdress(struct sim_world *world, size_t index)
{
    struct sim_node *node = &world->nodes[index];

    assert(!node->up);
    node->address_gen++;
    world_address(node, node->address_gen, node->address);
}

void sim_pause(struct sim_world *world, size_t index, uint64_t for_ms)
{
    struct sim_node *node = &world->nodes[index];
    uint64_t until_ns = world->now_ns + for_ms * SIM_MS;

    if (!node->up || for_ms == 0 || (node->paused && node->paused_until_ns >= until_ns))
        return;
    sim_note(world, "pause %zu for %llu ms", index, (unsigned long long)for_ms);
    trace_mix(world, 0x5041u << 16 | index);
    timer_remove(world, node);
    node->paused = true;
    node->paused_until_ns = until_ns;
    node->pause_gen++;
    struct sim_event *event = queue_event(&world->queue, SIM_EV_RESUME, 0);
    event->to = node->index;
    event->gen = node->pause_gen;
    world_push(world, event, until_ns);
}

void sim_suspend(struct sim_world *world, size_t index, uint64_t for_ms)
{
    sim_pause(world, index, for_ms);
    world->nodes[index].asleep = world->nodes[index].paused;
}

bool world_hold(struct sim_world *world, struct sim_node *node, struct sim_event *event)
{
    if (!node->paused)
        return false;
    if (event->type == SIM_EV_DATAGRAM &&
        (node->asleep || node->wait_datagrams_n == SIM_SOCKET_DATAGRAMS_MAX)) {
        world->lost_n++;
        queue_release(&world->queue, event);
        return true;
    }
    node->wait_datagrams_n += event->type == SIM_EV_DATAGRAM;
    event->next = NULL;
    if (node->wait_last != NULL)
        node->wait_last->next = event;
    else
        node->wait_first = event;
    node->wait_last = event;
    return true;
}

/* The late timer first, as a loop does that finds its timers due before it polls. */
static void node_resume(struct sim_world *world, struct sim_node *node, uint32_t gen)
{
    if (!node->paused || node->pause_gen != gen)
        return;
    node->paused = false;
    node->asleep = false;
    if (node->timer_at_ns != UINT64_MAX)
        timer_insert(world, node);
    struct sim_event *event = node->wait_first;
    node->wait_first = NULL;
    node->wait_last = NULL;
    node->wait_datagrams_n = 0;
    while (event != NULL) {
        struct sim_event *next = event->next;

        world_push(world, event, world->now_ns);
        event = next;
    }
}

void sim_resume(struct sim_world *world, size_t index)
{
    struct sim_node *node = &world->nodes[index];

    if (!node->paused)
        return;
    sim_note(world, "resume %zu", index);
    trace_mix(world, 0x5245u << 16 | index);
    node_resume(world, node, node->pause_gen);
}

/* ---- the loop ---- */

static void fire_timer(struct sim_world *world)
{
    struct sim_node *node = world->timers[0];

    if (node->timer_at_ns > world->now_ns)
        world->now_ns = node->timer_at_ns;
    timer_remove(world, node);
    node->timer_at_ns = UINT64_MAX;
    trace_mix(world, world->now_ns);
    trace_mix(world, (uint64_t)SIM_EV_TIMER << 32 | node->index);
    if (world->log != NULL)
        sim_note(world, "timer %u", node->index);
    world->events_n++;
    world->touched = node;
    world->running = node;
    if (world->host->timer != NULL)
        world->host->timer(node->state);
    world->running = NULL;
}

static bool fire_dial_failed(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = &world->nodes[event->to];

    if (!node->up || node->boot_no != event->from_boot) {
        queue_release(&world->queue, event);
        return false;
    }
    if (world_hold(world, node, event))
        return false;
    world->touched = node;
    world->events_n++;
    world->running = node;
    if (world->host->dial_failed != NULL)
        world->host->dial_failed(node->state, (const char *)event->data);
    world->running = NULL;
    queue_release(&world->queue, event);
    return true;
}

static bool fire_wake(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = &world->nodes[event->to];

    if (!node->up || node->boot_no != event->from_boot) {
        queue_release(&world->queue, event);
        return false;
    }
    if (world_hold(world, node, event))
        return false;
    queue_release(&world->queue, event);
    trace_mix(world, world->now_ns);
    trace_mix(world, (uint64_t)SIM_EV_WAKE << 32 | node->index);
    world->events_n++;
    world->touched = node;
    world->running = node;
    world->host->wake(node->state);
    world->running = NULL;
    return true;
}

static bool fire_datagram(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = &world->nodes[event->to];

    if (!node->up) {
        world->lost_n++;
        queue_release(&world->queue, event);
        return false;
    }
    if (world_hold(world, node, event))
        return false;
    network_deliver(world, node, event);
    return true;
}

/* True if something happened that counts (and is checked). */
static bool fire_event(struct sim_world *world)
{
    world->now_ns = world->queue.heap[0].at_ns;
    struct sim_event *event = queue_pop(&world->queue);

    world->touched = NULL;
    switch ((enum sim_event_type)event->type) {
    case SIM_EV_DATAGRAM:
        return fire_datagram(world, event);
    case SIM_EV_RESUME:
        node_resume(world, &world->nodes[event->to], event->gen);
        queue_release(&world->queue, event);
        return false;
    case SIM_EV_CALL: {
        void (*fn)(struct sim_world *, void *) = event->fn;
        void *arg = event->arg;

        queue_release(&world->queue, event);
        fn(world, arg);
        return true;
    }
    case SIM_EV_DIAL_FAILED:
        return fire_dial_failed(world, event);
    case SIM_EV_WAKE:
        return fire_wake(world, event);
    case SIM_EV_TIMER:
        assert(false);
        return false;
    default:
        return stream_event(world, event);
    }
}

bool sim_run(struct sim_world *world, uint64_t until_ms, bool (*check)(struct sim_world *world))
{
    uint64_t until_ns = until_ms * SIM_MS;

    while (world->violation == NULL) {
        struct sim_queue_entry *first = world->queue.n > 0 ? &world->queue.heap[0] : NULL;
        struct sim_node *timer = world->timers_n > 0 ? world->timers[0] : NULL;
        bool counts = true;

        if (timer != NULL &&
            (first == NULL || timer->timer_at_ns < first->at_ns ||
             (timer->timer_at_ns == first->at_ns && timer->timer_seq < first->seq))) {
            if (timer->timer_at_ns > until_ns)
                break;
            fire_timer(world);
        } else {
            if (first == NULL || first->at_ns > until_ns)
                break;
            counts = fire_event(world);
        }
        if (counts && check != NULL && !check(world))
            return false;
    }
    if (world->violation != NULL)
        return false;
    if (world->now_ns < until_ns)
        world->now_ns = until_ns;
    return true;
}

void sim_at(struct sim_world *world,
            uint64_t at_ms,
            void (*fn)(struct sim_world *world, void *arg),
            void *arg)
{
    sim_at_ns(world, at_ms * SIM_MS, fn, arg);
}

void sim_at_ns(struct sim_world *world,
               uint64_t at_ns,
               void (*fn)(struct sim_world *world, void *arg),
               void *arg)
{
    struct sim_event *event = queue_event(&world->queue, SIM_EV_CALL, 0);

    event->fn = fn;
    event->arg = arg;
    world_push(world, event, at_ns);
}

/* ---- trace, violations ---- */

/* Little-endian machines only: the same bytes give the same words. */
static uint64_t word_at(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof(word));
    return word;
}

void trace_bytes(struct sim_world *world, const uint8_t *data, size_t len)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t lanes[4] = {1, 2, 3, 4};
    uint64_t rest = len;

    /* Four at a time, so that large frames do not wait for one multiplication after the other. */
    for (; len >= 32; data += 32, len -= 32) {
        for (size_t i = 0; i < 4; i++) {
            lanes[i] = (lanes[i] ^ word_at(data + 8 * i)) * odd;
            lanes[i] ^= lanes[i] >> 32;
        }
    }
    for (size_t i = 0; i < 4; i++)
        trace_mix(world, lanes[i]);
    for (; len >= 8; data += 8, len -= 8)
        trace_mix(world, word_at(data));
    while (len-- > 0)
        rest = rest << 8 | data[len];
    trace_mix(world, rest);
}

void sim_trace(struct sim_world *world, uint64_t value)
{
    trace_mix(world, value);
}

void sim_note(struct sim_world *world, const char *format, ...)
{
    if (world->log == NULL)
        return;
    fprintf(world->log, "%12.6f ", (double)world->now_ns / 1e9);
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above; it loses track */
    vfprintf(world->log, format, args);
    va_end(args);
    fputc('\n', world->log);
}

void sim_violation(struct sim_world *world, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    if (world->violation != NULL)
        return;
    text = sim_realloc(NULL, 1, 512);
    int at = snprintf(text, 512, "at %.6f s: ", (double)world->now_ns / 1e9);
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above; it loses track */
    vsnprintf(text + at, (size_t)(512 - at), format, args);
    va_end(args);
    world->violation = text;
    sim_note(world, "VIOLATION %s", text);
}

/* ---- what the world knows ---- */

struct sim_node *sim_node_by_id(struct sim_world *world, const struct kith_node_id *id)
{
    size_t index = 0;

    if (world->ids.n > 0)
        return mapid_find(&world->ids, id);
    for (size_t i = 0; i < 4; i++)
        index = index << 8 | id->bytes[KITH_NODE_ID_BYTES - 4 + i];
    if (index >= world->nodes_n || memcmp(&world->nodes[index].id, id, sizeof(*id)) != 0)
        return NULL;
    return &world->nodes[index];
}

void sim_set_node_id(struct sim_world *world, size_t index, const struct kith_node_id *id)
{
    assert(world->nodes[index].boot_no == 0);
    if (world->ids.n == 0) {
        for (size_t i = 0; i < world->nodes_n; i++) {
            if (i != index && mapid_set(&world->ids, &world->nodes[i].id, &world->nodes[i]) < 0)
                abort();
        }
    } else {
        mapid_remove(&world->ids, &world->nodes[index].id);
    }
    world->nodes[index].id = *id;
    if (mapid_set(&world->ids, id, &world->nodes[index]) < 0)
        abort();
}

struct sim_world *sim_node_world(const struct sim_node *node)
{
    return node->world;
}
uint64_t sim_node_seed(struct sim_node *node)
{
    return rng_u64(&node->world->rng_nodes);
}
size_t sim_node_index(const struct sim_node *node)
{
    return node->index;
}
struct kith_node_id sim_node_id(const struct sim_node *node)
{
    return node->id;
}
uint64_t sim_node_boot_no(const struct sim_node *node)
{
    return node->boot_no;
}
const char *sim_node_address(const struct sim_node *node)
{
    return node->address;
}
void *sim_node_state(const struct sim_node *node)
{
    return node->state;
}
bool sim_node_running(const struct sim_node *node)
{
    return node->up && !node->paused;
}
bool sim_node_up(const struct sim_node *node)
{
    return node->up;
}
bool sim_node_paused(const struct sim_node *node)
{
    return node->paused;
}
struct sim_node *sim_node_at(struct sim_world *world, size_t index)
{
    assert(index < world->nodes_n);
    return &world->nodes[index];
}
size_t sim_nodes_n(const struct sim_world *world)
{
    return world->nodes_n;
}
void *sim_user(struct sim_world *world)
{
    return world->user;
}
struct rng *sim_rng(struct sim_world *world)
{
    return &world->rng_scenario;
}
uint64_t sim_world_ms(const struct sim_world *world)
{
    return world->now_ns / SIM_MS;
}
uint64_t sim_world_ns(const struct sim_world *world)
{
    return world->now_ns;
}
struct sim_node *sim_touched(const struct sim_world *world)
{
    return world->touched;
}
const char *sim_violation_text(const struct sim_world *world)
{
    return world->violation;
}
uint64_t sim_events_n(const struct sim_world *world)
{
    return world->events_n;
}
void sim_op(struct sim_world *world)
{
    world->events_n++;
}
uint64_t sim_trace_hash(const struct sim_world *world)
{
    return world->hash;
}
void sim_set_log(struct sim_world *world, FILE *file)
{
    world->log = file;
}
uint64_t sim_bytes_sent(const struct sim_world *world, size_t index)
{
    return world->nodes[index].bytes_sent;
}
uint64_t sim_datagrams_lost(const struct sim_world *world)
{
    return world->lost_n;
}
