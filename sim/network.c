/*
 * Datagrams, and where they cannot go: loss, duplication, reordering, delay, cuts one way, groups
 * that cannot talk, and nodes that lose what comes in.
 *
 * One draw of 64 bits decides delay and loss; the rarer faults draw only where they are on.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define DELAY_MIN_US_DEFAULT 50
#define DELAY_MAX_US_DEFAULT 500
#define REORDER_DELAYS       8 /* a reordered datagram takes up to so many times the longest delay */

uint64_t sim_chance_of(double rate)
{
    if (!(rate > 0))
        return 0;
    return rate >= 1 ? UINT64_C(1) << 32 : (uint64_t)(rate * 4294967296.0);
}

void sim_set_faults(struct sim_world *world, const struct sim_faults *faults)
{
    uint64_t min_us = faults->delay_min_us;
    uint64_t max_us = faults->delay_max_us;

    if (min_us == 0 && max_us == 0) {
        min_us = DELAY_MIN_US_DEFAULT;
        max_us = DELAY_MAX_US_DEFAULT;
    }
    if (max_us < min_us)
        max_us = min_us;
    world->loss = sim_chance_of(faults->loss);
    world->duplicate = sim_chance_of(faults->duplicate);
    world->reorder = sim_chance_of(faults->reorder);
    world->slow = sim_chance_of(faults->slow_rate);
    world->slow_max_ns = faults->slow_max_ms * SIM_MS;
    world->delay_min_ns = min_us * 1000;
    world->delay_span_ns = (max_us - min_us) * 1000 + 1;
}

/* @draw: 32 random bits. */
static uint64_t delay_of(struct sim_world *world, uint64_t draw)
{
    uint64_t delay =
        world->delay_min_ns + (uint64_t)((unsigned __int128)draw * world->delay_span_ns >> 32);

    if (sim_chance(&world->rng_network, world->slow))
        delay += rng_below(&world->rng_network, world->slow_max_ns + 1);
    return delay;
}

uint64_t network_delay_ns(struct sim_world *world)
{
    return delay_of(world, rng_u64(&world->rng_network) & UINT32_MAX);
}

static void datagram_push(struct sim_world *world,
                          struct sim_node *node,
                          struct sim_node *to,
                          const void *data,
                          size_t len,
                          uint64_t delay)
{
    struct sim_event *event = queue_event(&world->queue, SIM_EV_DATAGRAM, len);

    if (sim_chance(&world->rng_network, world->reorder))
        delay += rng_below(&world->rng_network,
                           REORDER_DELAYS * (world->delay_min_ns + world->delay_span_ns));
    event->from = node->index;
    event->from_boot = node->boot_no;
    event->to = to->index;
    memcpy(event->data, data, len);
    world_push(world, event, world->now_ns + delay);
}

void sim_send_datagram(struct sim_node *node,
                       const struct kith_node_id *to,
                       const void *data,
                       size_t len)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);
    uint64_t draw = rng_u64(&world->rng_network);

    assert(node->up && !node->paused);
    node->bytes_sent += len + world->seal_bytes + SIM_UDP_HEAD_BYTES;
    if (target == NULL || target == node || network_cut(world, node->index, target->index) ||
        draw >> 32 < world->loss || !network_finds(world, node, target)) {
        world->lost_n++;
        return;
    }
    datagram_push(world, node, target, data, len, delay_of(world, draw & UINT32_MAX));
    if (sim_chance(&world->rng_network, world->duplicate))
        datagram_push(world, node, target, data, len, network_delay_ns(world));
}

void network_deliver(struct sim_world *world, struct sim_node *node, struct sim_event *event)
{
    struct sim_node *from = &world->nodes[event->from];

    trace_mix(world, world->now_ns);
    trace_mix(world, (uint64_t)event->from << 32 | node->index);
    trace_bytes(world, event->data, event->len);
    world->events_n++;
    world->touched = node;
    if (sim_chance(&world->rng_network, node->ingress_loss)) {
        world->lost_n++;
    } else {
        if (world->log != NULL)
            sim_note(world, "datagram %u > %u, %u bytes", event->from, node->index, event->len);
        world->running = node;
        if (world->host->datagram != NULL)
            world->host->datagram(node->state, &from->id, event->from_boot, event->data,
                                  event->len);
        world->running = NULL;
    }
    queue_release(&world->queue, event);
}

void sim_know_address(struct sim_node *node, const struct kith_node_id *to, const char *address)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);
    unsigned long gen = 0;

    if (target == NULL)
        return;
    if (world->addresses == NULL) {
        world->addresses = sim_realloc(NULL, world->nodes_n, world->nodes_n);
        memset(world->addresses, 0, world->nodes_n * world->nodes_n);
    }
    if (address != NULL && strncmp(address, "sim", 3) == 0 && address[3] != ':')
        gen = strtoul(address + 3, NULL, 10);
    assert(gen < 255);
    world->addresses[(size_t)node->index * world->nodes_n + target->index] =
        address != NULL ? (uint8_t)(gen + 1) : 0;
}

void sim_heard_from(struct sim_node *node, const struct kith_node_id *to)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);

    if (world->addresses != NULL && target != NULL)
        world->addresses[(size_t)node->index * world->nodes_n + target->index] =
            (uint8_t)(target->address_gen + 1);
    if (target != NULL && node->backing_off_n > 0)
        stream_heard(world, node, target);
}

/* ---- cuts ---- */

void sim_cut(struct sim_world *world, size_t from, size_t to, bool cut)
{
    size_t bit = from * world->nodes_n + to;
    uint64_t mask = UINT64_C(1) << (bit % 64);
    bool is = (world->cuts[bit / 64] & mask) != 0;

    assert(from < world->nodes_n && to < world->nodes_n);
    if (is == cut)
        return;
    trace_mix(world, 0x4355u << 16 | (uint64_t)cut << 62 | (uint64_t)from << 40 | to);
    sim_note(world, "%s %zu > %zu", cut ? "cut" : "uncut", from, to);
    world->cuts[bit / 64] ^= mask;
    world->cuts_n += cut ? 1 : (size_t)-1;
    if (!cut)
        stream_healed(world);
}

void sim_partition(struct sim_world *world, const uint8_t *group_of_node)
{
    sim_note(world, group_of_node != NULL ? "partition" : "no partition");
    if (group_of_node == NULL) {
        free(world->group_of_node);
        world->group_of_node = NULL;
        trace_mix(world, 0x4e50);
        stream_healed(world);
        return;
    }
    if (world->group_of_node == NULL)
        world->group_of_node = sim_realloc(NULL, world->nodes_n, 1);
    memcpy(world->group_of_node, group_of_node, world->nodes_n);
    for (size_t i = 0; i < world->nodes_n; i++)
        trace_mix(world, group_of_node[i]);
    stream_healed(world); /* some pairs may be together again */
}

void sim_heal(struct sim_world *world)
{
    sim_note(world, "heal");
    trace_mix(world, 0x4845);
    free(world->group_of_node);
    world->group_of_node = NULL;
    memset(world->cuts, 0, (world->nodes_n * world->nodes_n + 63) / 64 * sizeof(*world->cuts));
    world->cuts_n = 0;
    for (size_t i = 0; i < world->nodes_n; i++)
        world->nodes[i].ingress_loss = 0;
    stream_healed(world);
}

void sim_ingress_loss(struct sim_world *world, size_t index, double loss)
{
    world->nodes[index].ingress_loss = sim_chance_of(loss);
}

bool sim_is_cut(const struct sim_world *world, size_t from, size_t to)
{
    return network_cut(world, (uint32_t)from, (uint32_t)to);
}
