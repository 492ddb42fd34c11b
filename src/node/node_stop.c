/*
 * Ending a node: tell the others, end what runs, close what is open, free. Closing is a sequence of
 * states, since handles close in their own time:
 *
 *   leaving  -> we told the others, or 2 s passed
 *   ending   -> services, modules, calls, maps and waits are ended; the loop goes on until no
 *               function runs and no other thread is asking anything
 *   closing  -> workers are joined, the channel and the handles close; then the loop thread ends
 *
 * No wait blocks the loop: a function may still be in a synchronous call, which ends by the loop.
 */
#include <sched.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define LEAVE_MS      2000
#define VIEW_LEAVE_MS 1500  /* of it, at most for giving away what this node keeps */
#define IDLE_MS       2     /* between two looks at what still runs */
#define IDLE_SAY_MS   10000 /* between two lines about it */

/* ---- leaving ---- */

static void leave_over(struct kith_node *node)
{
    void (*done)(void *) = node->leave_done;
    void *arg = node->leave_arg;

    node->leave_done = NULL;
    uv_timer_stop(&node->leave_timer);
    if (done != NULL)
        done(arg);
}

void node_left(struct kith_node *node)
{
    node->leave_told = true;
    leave_over(node);
}

static void on_leave_timer(uv_timer_t *timer);

/* Others take this boot for over from here on, though its threads still run: what it holds and
 * caches goes first. */
static void tell_members(struct kith_node *node)
{
    struct member_event event = {.type = MEMBER_LEAVE};

    node->state.view_left = NULL;
    node_state_goodbye(node);
    node_member_step(node, &event);
}

/* Inside of a step: the cores that have to stop before others are told cannot be stepped here. */
static void on_view_left(struct kith_node *node)
{
    uv_timer_start(&node->leave_timer, on_leave_timer, 0, 0);
}

static void on_leave_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;

    if (node->state.view_left == NULL) {
        leave_over(node);
        return;
    }
    uv_timer_start(timer, on_leave_timer, LEAVE_MS - VIEW_LEAVE_MS, 0);
    tell_members(node);
}

void node_leave(struct kith_node *node, void (*done)(void *arg), void *arg)
{
    node->leave_done = done;
    node->leave_arg = arg;
    if (node->leave_told) {
        leave_over(node);
        return;
    }
    bool waits = node_state_leave(node, on_view_left);
    uv_timer_start(&node->leave_timer, on_leave_timer, waits ? VIEW_LEAVE_MS : LEAVE_MS, 0);
    if (!waits)
        tell_members(node);
}

/* ---- ending ---- */

static void on_walk(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* The turn in which the channel goes ends with the timers that are due: no core may ask for it any
 * more. */
static void on_net_closed(void *user)
{
    struct kith_node *node = user;

    uv_timer_stop(&node->member_timer);
    uv_timer_stop(&node->rpc_timer);
    uv_timer_stop(&node->wait_timer);
    uv_timer_stop(&node->state.timer);
    if (node->fs != NULL)
        uv_timer_stop(&node->fs->timer);
    node->net = NULL;
    node->net_closed = true;
    node->finished = true;
}

static void close_channel(struct kith_node *node)
{
    uv_timer_stop(&node->leave_timer);
    workers_stop(node->workers);
    node->workers = NULL;
    while (node_drain(node))
        continue;
    node_member_save(node);
    uv_net_close(node->net, on_net_closed, node);
}

/* Functions that still run are waited for: their contexts point into this node. */
static void on_idle_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    uint64_t now_ms = node_now_ms(), held;
    char calls[24];

    if (node->ctx_busy_n == 0 && node->refused == NULL && !node->cache_writing &&
        node_fs_idle(node) && atomic_load(&node->inside_n) == 0) {
        close_channel(node);
        return;
    }
    if (now_ms - node->end_since_ms < LEAVE_MS ||
        !log_limit_pass(&node->end_limit, now_ms, IDLE_SAY_MS, &held))
        return;
    snprintf(calls, sizeof(calls), "%u", node->ctx_busy_n);
    log_warn(&node->log.log, "node", "waiting for functions that still run", "calls", calls, NULL);
}

static void services_stopped(struct kith_node *node)
{
    struct rpc_event stop = {.type = RPC_STOP};

    node->ending = true;
    node_modules_stop(node);
    node_maps_stop(node);
    node_rpc_step(node, &stop);
    node_serve_stop(node);
    node_state_stop(node);
    node_member_waits(node);
    uv_timer_stop(&node->sample_timer); /* it asks the workers how busy they are */
    uv_timer_stop(&node->cache_timer);
    node->end_since_ms = node_now_ms();
    uv_timer_start(&node->leave_timer, on_idle_timer, 0, IDLE_MS);
}

void node_service_stopped(struct node_service *service)
{
    struct kith_node *node = service->node;
    struct node_service **at = &node->services;

    while (*at != NULL && *at != service)
        at = &(*at)->next;
    if (*at != NULL)
        *at = service->next; /* its memory may go now */
    assert(node->services_running > 0);
    if (--node->services_running == 0)
        services_stopped(node);
}

static void end_now(struct kith_node *node)
{
    struct node_service *service = node->services;

    node_reload_stop(node);
    node->services_running++; /* ourselves, so that the last one is not counted too early */
    for (; service != NULL; service = service->next)
        node->services_running++;
    for (service = node->services; service != NULL;) {
        struct node_service *next = service->next;
        service->stop(service);
        service = next;
    }
    struct node_service self = {.node = node};
    node_service_stopped(&self);
}

int node_service_add(struct kith_node *node, struct node_service *service)
{
    service->node = node;
    service->next = node->services;
    node->services = service;
    return 0;
}

struct node_service *node_service_find(struct kith_node *node, const char *name)
{
    struct node_service *service = node->services;
    while (service != NULL && strcmp(service->name, name) != 0)
        service = service->next;
    return service;
}

static void end_run(struct kith_node *node, struct node_request *request)
{
    (void)request;
    end_now(node);
}

/* We may be inside a step of membership here, which the end would pull away from under itself. */
static void on_left(void *arg)
{
    struct kith_node *node = arg;
    node->stop_request.run = end_run;
    node_push(node, &node->stop_request);
}

static void stop_run(struct kith_node *node, struct node_request *request)
{
    (void)request;
    node_leave(node, on_left, node);
}

/* After the loop ended: what is left of its handles closes here. */
static void loop_close(struct kith_node *node)
{
    uv_walk(&node->loop, on_walk, NULL);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    int r = uv_loop_close(&node->loop);
    assert(r == 0);
    (void)r;
}

void node_end(struct kith_node *node)
{
    if (node->thread_running) {
        node->stop_request.run = stop_run;
        atomic_store(&node->stopping, true);
        node_push(node, &node->stop_request);
        pthread_join(node->thread, NULL);
        sem_destroy(&node->started);
        while (atomic_load(&node->inside_n) > 0)
            sched_yield(); /* turned away a moment ago, and about to leave */
        while (node_drain(node))
            continue; /* log lines that nobody follows any more */
    } else if (node->net != NULL) {
        uv_net_close(node->net, on_net_closed, node);
        while (!node->net_closed)
            uv_run(&node->loop, UV_RUN_ONCE);
    }
    workers_stop(node->workers);
    node_state_close(node);
    if (node->loop_open)
        loop_close(node);
    node_state_deinit(node);
    node_rpc_deinit(node);
    member_free(node->members);
    node_calls_deinit(node);
    node_serve_deinit(node);
    node_events_deinit(node);
    node_modules_deinit(node);
    facts_close(&node->facts_host);
    sensors_close(&node->sensors);
    node_history_deinit(&node->history);
    node_history_deinit(&node->everywhere);
    node_log_close(&node->log);
    data_dir_close(&node->dir);
    kith_config_free(node->config_now);
    kith_config_free(node->config);
    core_free(node->web);
    sodium_memzero(&node->identity, sizeof(node->identity));
    sodium_memzero(&node->cluster, sizeof(node->cluster));
    core_free(node);
}

void kith_node_stop(struct kith_node *node)
{
    if (node == NULL)
        return;
    assert(!node_on_loop(node));
    node_end(node);
}
