/*
 * Streams: reliable and in order per link and class while the link lives.
 *
 * A link is opened by a handshake of five legs; either side may know less than the other: the
 * answerer is open first, one side may hold a link to a boot that is gone and learns it by a reset
 * when it sends. So each side remembers which opening (gen) it was told of, and whatever belongs to
 * another one is void. A lost segment is delay; a cut holds frames back until it is healed or the
 * sender has waited too long, and it works on both directions, because acknowledgements do not
 * return.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static unsigned side_of(const struct sim_link *link, const struct sim_node *node)
{
    return link->side[0].node == node->index ? 0 : 1;
}

static struct sim_node *node_of(struct sim_world *world, const struct sim_link *link, unsigned side)
{
    return &world->nodes[link->side[side].node];
}

static uint64_t link_key(const struct sim_world *world, uint32_t lo, uint32_t hi, uint8_t net_class)
{
    return ((uint64_t)lo * world->nodes_n + hi) * SIM_CLASSES_N + net_class + 1;
}

static struct sim_link *
link_find(const struct sim_world *world, uint32_t a, uint32_t b, uint8_t net_class)
{
    uint32_t lo = a < b ? a : b;

    return map64_find(&world->links, link_key(world, lo, a ^ b ^ lo, net_class));
}

static struct sim_link *link_get(struct sim_world *world, uint32_t a, uint32_t b, uint8_t net_class)
{
    struct sim_link *link = link_find(world, a, b, net_class);

    if (link != NULL)
        return link;
    link = sim_realloc(NULL, 1, sizeof(*link));
    memset(link, 0, sizeof(*link));
    link->side[1].index = 1;
    link->side[0].node = a < b ? a : b;
    link->side[1].node = a < b ? b : a;
    link->net_class = net_class;
    if (map64_set(&world->links, link_key(world, link->side[0].node, link->side[1].node, net_class),
                  link) < 0)
        abort();
    return link;
}

static void side_drop_waiting(struct sim_world *world, struct sim_side *side)
{
    for (struct sim_event *event = side->wait_first, *next; event != NULL; event = next) {
        next = event->next;
        queue_release(&world->queue, event);
    }
    side->wait_first = NULL;
    side->wait_last = NULL;
}

static void side_wait(struct sim_side *side, struct sim_event *event)
{
    event->next = NULL;
    if (side->wait_last != NULL)
        side->wait_last->next = event;
    else
        side->wait_first = event;
    side->wait_last = event;
}

/* Keeps the link in the lists it belongs to. */
static void link_list(struct sim_world *world, struct sim_link *link)
{
    for (unsigned s = 0; s < 2; s++) {
        bool is = list_linked(&link->side[s].of_node);
        bool should = link->side[s].up || link->opening;

        if (is && !should)
            list_remove(&link->side[s].of_node);
        else if (!is && should)
            list_append(&node_of(world, link, s)->links, &link->side[s].of_node);
    }
    if (link->side[0].wait_first == NULL && link->side[1].wait_first == NULL)
        list_remove(&link->stalled);
}

static void link_used(struct sim_world *world, struct sim_link *link, unsigned s)
{
    link->used_at_ns = world->now_ns;
    if (list_linked(&link->side[s].of_node)) {
        list_remove(&link->side[s].of_node);
        list_append(&node_of(world, link, s)->links, &link->side[s].of_node);
    }
}

static void push_event(struct sim_world *world,
                       struct sim_link *link,
                       enum sim_event_type type,
                       unsigned to_side,
                       uint32_t gen,
                       uint64_t at_ns)
{
    struct sim_event *event = queue_event(&world->queue, type, 0);

    event->link = link;
    event->gen = gen;
    event->net_class = link->net_class;
    event->from = link->side[1 - to_side].node;
    event->to = link->side[to_side].node;
    world_push(world, event, at_ns);
}

/* Delay of one segment with its retransmissions; UINT64_MAX if the stream breaks over it. */
static uint64_t segment_delay_ns(struct sim_world *world, const struct sim_node *to)
{
    uint64_t delay = network_delay_ns(world);
    uint64_t loss = world->loss + to->ingress_loss - (world->loss * (to->ingress_loss >> 1) >> 31);
    uint64_t rto = SIM_RTO_NS;

    for (unsigned tries = 0; sim_chance(&world->rng_network, loss); tries++) {
        if (tries == SIM_RTO_TRIES_MAX)
            return UINT64_MAX;
        delay += rto;
        rto *= 2;
    }
    return delay;
}

static bool path_cut(const struct sim_world *world, const struct sim_link *link)
{
    return network_cut(world, link->side[0].node, link->side[1].node) ||
           network_cut(world, link->side[1].node, link->side[0].node);
}

/* ---- opening ---- */

static void dial_fails(struct sim_node *node, const char *address, uint64_t after_ns)
{
    struct sim_world *world = node->world;
    struct sim_event *event = queue_event(&world->queue, SIM_EV_DIAL_FAILED, strlen(address) + 1);

    memcpy(event->data, address, strlen(address) + 1);
    event->to = node->index;
    event->from_boot = node->boot_no;
    world_push(world, event, world->now_ns + after_ns);
}

/* Side @s opens it, at @at or later. */
static void link_open(struct sim_world *world, struct sim_link *link, unsigned s, uint64_t at)
{
    struct sim_node *target = node_of(world, link, 1 - s);

    if (at < world->now_ns)
        at = world->now_ns;
    uint64_t deadline = at + SIM_HANDSHAKE_DEADLINE_NS;
    link->gen++;
    link->opening = true;
    link->opener = (uint8_t)s;
    link->dialled = link->side[s].dials;
    link->opened_at_ns = at;
    link_list(world, link);
    if (path_cut(world, link) || target->machine_off ||
        (link->dialled ? link->side[s].dialled_gen != target->address_gen
                       : !network_finds(world, node_of(world, link, s), target))) {
        push_event(world, link, SIM_EV_LINK_FAILED, s, link->gen, deadline);
        return;
    }
    for (unsigned leg = 0; leg < SIM_HANDSHAKE_LEGS; leg++) {
        uint64_t delay = segment_delay_ns(world, leg % 2 == 0 ? target : node_of(world, link, s));

        at = delay == UINT64_MAX || at > deadline ? UINT64_MAX / 2 : at + delay;
        if (leg == 1 && !target->up) { /* nobody listens there: refused */
            push_event(world, link, SIM_EV_LINK_FAILED, s, link->gen,
                       at < deadline ? at : deadline);
            return;
        }
    }
    if (at >= deadline)
        push_event(world, link, SIM_EV_LINK_FAILED, s, link->gen, deadline);
    else
        push_event(world, link, SIM_EV_HANDSHAKE, 1 - s, link->gen, at);
}

/*
 * Another opening is over. The channel's openings do not wait for each other, and what is dialled
 * is told how it ended: so @s goes on with its own, if it asked for one meanwhile.
 */
static void link_open_too(struct sim_world *world, struct sim_link *link, unsigned s)
{
    const struct sim_side *side = &link->side[s];

    if ((side->wants || side->dials) && !side->up && !link->opening && node_of(world, link, s)->up)
        link_open(world, link, s, world->now_ns);
}

/* Sends what has waited on side @s. */
static void side_flush(struct sim_world *world, struct sim_link *link, unsigned s)
{
    struct sim_side *side = &link->side[s];
    struct sim_event *event = side->wait_first;

    side->wait_first = NULL;
    side->wait_last = NULL;
    while (event != NULL) {
        struct sim_event *next = event->next;
        uint64_t at =
            world->now_ns + network_delay_ns(world) + event->len * (uint64_t)SIM_NS_PER_BYTE;

        if (at > side->last_ns)
            side->last_ns = at;
        event->gen = side->gen;
        world_push(world, event, side->last_ns);
        event = next;
    }
    link_list(world, link);
}

static void side_down(struct sim_world *world, struct sim_link *link, unsigned s, bool tell)
{
    struct sim_side *side = &link->side[s];
    struct sim_node *node = node_of(world, link, s);
    struct sim_node *peer = node_of(world, link, 1 - s);

    assert(side->up);
    side->up = false;
    side->stalled = false;
    node->links_open_n--;
    side_drop_waiting(world, side);
    link_list(world, link);
    if (!tell)
        return;
    if (world->log != NULL)
        sim_note(world, "link down %u (to %u), class %u", node->index, peer->index,
                 link->net_class);
    world->touched = node;
    world->running = node;
    if (world->host->link_down != NULL)
        world->host->link_down(node->state, &peer->id, link->net_class);
    world->running = NULL;
}

/* Ends the link for both sides, in good order: the peer's end comes behind the last frame. */
static void link_close(struct sim_world *world, struct sim_link *link, unsigned s)
{
    struct sim_side *side = &link->side[s];
    uint64_t at = world->now_ns + network_delay_ns(world);

    push_event(world, link, SIM_EV_LINK_DOWN, 1 - s, side->gen,
               at > side->last_ns ? at : side->last_ns);
    push_event(world, link, SIM_EV_LINK_CLOSED, s, side->gen, world->now_ns);
}

static void side_is_well(struct sim_world *world, struct sim_side *side)
{
    world->nodes[side->node].backing_off_n -= side->next_ns != 0;
    side->failures_n = 0;
    side->next_ns = 0;
}

static void side_up(struct sim_world *world, struct sim_link *link, unsigned s)
{
    struct sim_side *side = &link->side[s];
    struct sim_node *node = node_of(world, link, s);
    struct sim_node *peer = node_of(world, link, 1 - s);

    if (side->dials && side->dialled_gen != peer->address_gen) {
        char address[SIM_ADDRESS_BYTES];

        world_address(peer, side->dialled_gen, address);
        dial_fails(node, address, 0);
    }
    side->up = true;
    side_is_well(world, side);
    side->gen = link->gen;
    side->broken = false;
    side->stalled = false;
    side->wants = false;
    side->dials = false;
    node->links_open_n++;
    link_list(world, link);
    link_used(world, link, s);
    side_flush(world, link, s);
    if (world->log != NULL)
        sim_note(world, "link up %u (to %u), class %u", node->index, peer->index, link->net_class);
    world->events_n++;
    world->touched = node;
    world->running = node;
    if (world->host->link_up != NULL)
        world->host->link_up(node->state, &peer->id, peer->boot_no, link->net_class);
    world->running = NULL;
}

/* ---- events ---- */

static void trace_link(struct sim_world *world, const struct sim_event *event)
{
    trace_mix(world, world->now_ns);
    trace_mix(world, (uint64_t)event->type << 56 | (uint64_t)event->from << 28 | event->to);
}

/* Side @s has sent what cannot arrive. */
static void side_stalled(struct sim_world *world, struct sim_link *link, unsigned s)
{
    struct sim_side *side = &link->side[s];

    if (side->stalled)
        return;
    side->stalled = true;
    side->stalled_at_ns = world->now_ns;
    push_event(world, link, SIM_EV_LINK_STALLED, s, side->gen, world->now_ns + SIM_STALL_NS);
}

static bool on_frame(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];
    unsigned to = side_of(link, node);
    struct sim_side *sender = &link->side[1 - to];
    bool sender_lives = sender->up && sender->gen == event->gen;

    if (!node->up) {
        if (node->machine_off && sender_lives)
            side_stalled(world, link, 1 - to);
        queue_release(&world->queue, event);
        return false;
    }
    if (!event->arrived &&
        (path_cut(world, link) || (sender_lives && sender->wait_first != NULL))) {
        if (!sender_lives) {
            queue_release(&world->queue, event);
            return false;
        }
        side_wait(sender, event);
        side_stalled(world, link, 1 - to);
        if (!list_linked(&link->stalled))
            list_append(&world->stalled_links, &link->stalled);
        return false;
    }
    if (!link->side[to].up || link->side[to].gen != event->gen) { /* reset: no such stream here */
        if (sender_lives)
            push_event(world, link, SIM_EV_LINK_DOWN, 1 - to, event->gen,
                       world->now_ns + network_delay_ns(world));
        queue_release(&world->queue, event);
        return false;
    }
    event->arrived = true;
    if (world_hold(world, node, event))
        return false;
    trace_link(world, event);
    trace_bytes(world, event->data, event->len);
    if (world->log != NULL)
        sim_note(world, "frame %u > %u, class %u type %u, %u bytes", event->from, event->to,
                 event->net_class, event->frame_type, event->len);
    link_used(world, link, to);
    world->events_n++;
    world->touched = node;
    world->running = node;
    if (world->host->frame != NULL)
        world->host->frame(node->state, &world->nodes[event->from].id, event->from_boot,
                           event->net_class, event->frame_type, event->data, event->len);
    world->running = NULL;
    queue_release(&world->queue, event);
    return true;
}

static bool on_handshake(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];
    unsigned s = side_of(link, node);
    uint64_t deadline = link->opened_at_ns + SIM_HANDSHAKE_DEADLINE_NS;
    uint64_t at = world->now_ns + network_delay_ns(world);

    if (!link->opening || link->gen != event->gen)
        return false;
    if (node->up && node->paused && node->paused_until_ns < deadline) {
        push_event(world, link, SIM_EV_HANDSHAKE, s, link->gen, node->paused_until_ns);
        return false;
    }
    if (!node->up || node->paused || node_of(world, link, 1 - s)->paused || path_cut(world, link)) {
        push_event(world, link, SIM_EV_LINK_FAILED, 1 - s, link->gen, deadline);
        return false;
    }
    trace_link(world, event);
    node_of(world, link, 1 - s)->bytes_sent += SIM_OPENER_BYTES;
    node->bytes_sent += SIM_ANSWERER_BYTES;
    if (link->side[s].up) /* to a former boot, or its end has not arrived yet */
        side_down(world, link, s, true);
    push_event(world, link, SIM_EV_LINK_UP, 1 - s, link->gen, at);
    link->side[s].last_ns = at;
    push_event(world, link, SIM_EV_LINK_ALIVE, s, link->gen, world->now_ns + SIM_KEEPALIVE_NS);
    side_up(world, link, s);
    return true;
}

static bool on_link_up(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];
    struct sim_node *peer = &world->nodes[event->from];
    unsigned s = side_of(link, node);

    if (event->frame_type != 0) { /* only the answer to a dial of an open link */
        if (!node->up || !link->side[s].up || link->side[s].gen != event->gen)
            return false;
        trace_link(world, event);
        world->events_n++;
        world->touched = node;
        world->running = node;
        if (world->host->link_up != NULL)
            world->host->link_up(node->state, &peer->id, peer->boot_no, link->net_class);
        world->running = NULL;
        return true;
    }
    if (!link->opening || link->gen != event->gen)
        return false;
    trace_link(world, event);
    link->opening = false;
    if (link->side[s].up)
        side_down(world, link, s, true);
    link->side[s].last_ns = world->now_ns; /* what was said on a former one waits for itself */
    side_up(world, link, s);
    link_open_too(world, link, 1 - s);
    return true;
}

/* As the channel does after an opening that failed. */
static void side_backs_off(struct sim_world *world, struct sim_side *side)
{
    uint64_t base = SIM_BACKOFF_MIN_NS;

    for (uint32_t i = 0; i < side->failures_n && base < SIM_BACKOFF_MAX_NS; i++)
        base *= 2;
    base = base < SIM_BACKOFF_MAX_NS ? base : SIM_BACKOFF_MAX_NS;
    side->failures_n++;
    world->nodes[side->node].backing_off_n += side->next_ns == 0;
    side->next_ns = world->now_ns + base / 2 + rng_below(&world->rng_network, base / 2 + 1);
}

/* As the channel: whom a datagram came from is there. */
void stream_heard(struct sim_world *world, struct sim_node *node, const struct sim_node *peer)
{
    uint64_t soon = world->now_ns + SIM_BACKOFF_WAIT_NS;

    for (uint8_t c = 0; node->backing_off_n > 0 && c < SIM_CLASSES_N; c++) {
        struct sim_link *link = link_find(world, node->index, peer->index, c);
        struct sim_side *side = link != NULL ? &link->side[side_of(link, node)] : NULL;

        if (side != NULL && side->next_ns > soon)
            side->next_ns = soon;
    }
}

static bool on_link_failed(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];
    struct sim_node *peer = &world->nodes[event->from];
    unsigned s = side_of(link, node);
    struct sim_side *side = &link->side[s];
    bool dials = side->dials && link->dialled;
    bool wants = side->wants;

    if (!link->opening || link->gen != event->gen)
        return false;
    trace_link(world, event);
    link->opening = false;
    side->dials = side->dials && !dials;
    side->wants = false;
    side_backs_off(world, side);
    if (!side->up)
        side_drop_waiting(world, side);
    link_list(world, link);
    node->bytes_sent += 3 * 60; /* SYNs */
    link_open_too(world, link, 1 - s);
    link_open_too(world, link, s);
    if (world->log != NULL)
        sim_note(world, "no link %u to %u, class %u", node->index, peer->index, link->net_class);
    world->events_n++;
    world->touched = node;
    world->running = node;
    if (dials && world->host->dial_failed != NULL) {
        char address[SIM_ADDRESS_BYTES];

        world_address(peer, side->dialled_gen, address);
        world->host->dial_failed(node->state, address);
    }
    if (wants && world->host->unreachable != NULL)
        world->host->unreachable(node->state, &peer->id, link->net_class);
    world->running = NULL;
    return true;
}

static bool on_link_refused(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];

    if (link->side[side_of(link, node)].up)
        return false;
    trace_link(world, event);
    world->events_n++;
    world->touched = node;
    world->running = node;
    if (world->host->unreachable != NULL)
        world->host->unreachable(node->state, &world->nodes[event->from].id, link->net_class);
    world->running = NULL;
    return true;
}

static bool link_lives(const struct sim_world *world, const struct sim_link *link)
{
    return link->side[0].up && link->side[1].up && link->side[0].gen == link->side[1].gen &&
           !path_cut(world, link);
}

/* The channel's keep-alive: PING and PONG of a link that is not used, without sending either. */
static void on_link_alive(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    uint64_t next_ns = world->now_ns + SIM_KEEPALIVE_NS;

    if (link->gen != event->gen || (!link->side[0].up && !link->side[1].up))
        return;
    if (world->now_ns - link->used_at_ns < SIM_KEEPALIVE_NS) {
        push_event(world, link, SIM_EV_LINK_ALIVE, side_of(link, &world->nodes[event->to]),
                   link->gen, link->used_at_ns + SIM_KEEPALIVE_NS);
        return;
    }
    for (unsigned s = 0; s < 2; s++) {
        struct sim_node *node = node_of(world, link, s);
        struct sim_node *peer = node_of(world, link, 1 - s);

        if (!link->side[s].up)
            continue;
        node->bytes_sent += SIM_KEEPALIVE_BYTES;
        if (!link_lives(world, link))
            side_stalled(world, link, s);
        else if (peer->paused && peer->paused_until_ns > next_ns && !node->paused)
            push_event(world, link, SIM_EV_LINK_CLOSED, s, link->side[s].gen, next_ns);
        else if (node->links_open_n > SIM_LINKS_OPEN_IDLE_MAX && !node->paused) {
            link_close(world, link, s);
            return;
        }
    }
    push_event(world, link, SIM_EV_LINK_ALIVE, side_of(link, &world->nodes[event->to]), link->gen,
               next_ns);
}

/* The end of a stream, by reset, in good order, or by waiting in vain. */
static bool on_link_end(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    struct sim_node *node = &world->nodes[event->to];
    unsigned s = side_of(link, node);
    struct sim_side *side = &link->side[s];
    struct sim_side *other = &link->side[1 - s];

    if (!side->up || side->gen != event->gen)
        return false;
    if (event->type == SIM_EV_LINK_STALLED) {
        if (!side->stalled || world->now_ns - side->stalled_at_ns < SIM_STALL_NS)
            return false;
        side->stalled = false;
        if (link_lives(world, link))
            return false;
    }
    if (event->type == SIM_EV_LINK_DOWN && path_cut(world, link)) {
        push_event(world, link, SIM_EV_LINK_CLOSED, s, side->gen, world->now_ns + SIM_STALL_NS);
        return false;
    }
    trace_link(world, event);
    world->events_n++;
    if (event->type == SIM_EV_LINK_CLOSED && other->up && other->gen == side->gen)
        push_event(world, link, SIM_EV_LINK_DOWN, 1 - s, side->gen,
                   world->now_ns + network_delay_ns(world));
    side_down(world, link, s, true);
    return true;
}

static bool on_link_flush(struct sim_world *world, struct sim_event *event)
{
    struct sim_link *link = event->link;
    unsigned s = side_of(link, &world->nodes[event->to]);

    if (!link->side[s].up || link->side[s].gen != event->gen || link->side[s].wait_first == NULL)
        return false;
    if (path_cut(world, link)) {
        if (!list_linked(&link->stalled))
            list_append(&world->stalled_links, &link->stalled);
        return false;
    }
    link->side[s].stalled = false;
    side_flush(world, link, s);
    return false;
}

bool stream_event(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = &world->nodes[event->to];
    bool counts = false;

    if (event->type == SIM_EV_FRAME)
        return on_frame(world, event);
    /* The side that acts must be there and awake; handshakes and keep-alives know by themselves. */
    if (event->type != SIM_EV_HANDSHAKE && event->type != SIM_EV_LINK_ALIVE && node->up &&
        world_hold(world, node, event))
        return false;
    if (event->type == SIM_EV_HANDSHAKE)
        counts = on_handshake(world, event);
    else if (event->type == SIM_EV_LINK_ALIVE)
        on_link_alive(world, event);
    else if (!node->up)
        counts = false;
    else if (event->type == SIM_EV_LINK_UP)
        counts = on_link_up(world, event);
    else if (event->type == SIM_EV_LINK_FAILED)
        counts = on_link_failed(world, event);
    else if (event->type == SIM_EV_LINK_REFUSED)
        counts = on_link_refused(world, event);
    else if (event->type == SIM_EV_LINK_FLUSH)
        counts = on_link_flush(world, event);
    else
        counts = on_link_end(world, event);
    queue_release(&world->queue, event);
    return counts;
}

static void side_gone(struct sim_world *world, struct sim_link *link, unsigned s, bool told)
{
    struct sim_side *side = &link->side[s];
    struct sim_side *other = &link->side[1 - s];
    uint64_t at = world->now_ns + network_delay_ns(world);

    if (side->up) {
        if (told && other->up && other->gen == side->gen)
            push_event(world, link, SIM_EV_LINK_DOWN, 1 - s, side->gen,
                       at > side->last_ns ? at : side->last_ns);
        side_down(world, link, s, false);
    }
    side->wants = false;
    side->dials = false;
    side_is_well(world, side);
    side_drop_waiting(world, side);
    if (link->opening && link->opener == s) { /* nobody is left to finish it */
        link->opening = false;
        link->gen++;
        link_open_too(world, link, 1 - s);
    } else if (link->opening) {
        uint64_t deadline = link->opened_at_ns + SIM_HANDSHAKE_DEADLINE_NS;

        link->gen++; /* a LINK_UP on its way is void */
        push_event(world, link, SIM_EV_LINK_FAILED, 1 - s, link->gen, told ? at : deadline);
    }
    link_list(world, link);
}

void stream_node_gone(struct sim_world *world, struct sim_node *node, bool told)
{
    list_for_each_safe (it, &node->links) {
        struct sim_side *side = container_of(it, struct sim_side, of_node);

        side_gone(world, container_of(side - side->index, struct sim_link, side), side->index,
                  told);
    }
}

void stream_healed(struct sim_world *world)
{
    list_for_each_safe (it, &world->stalled_links) {
        struct sim_link *link = container_of(it, struct sim_link, stalled);

        if (path_cut(world, link))
            continue;
        list_remove(&link->stalled);
        for (unsigned s = 0; s < 2; s++) {
            struct sim_side *side = &link->side[s];

            if (!side->up || side->wait_first == NULL)
                continue;
            /* Retransmission backs off: the next try is as far ahead as the first is behind. */
            uint64_t wait = world->now_ns - side->stalled_at_ns + SIM_RTO_NS;
            push_event(world, link, SIM_EV_LINK_FLUSH, s, side->gen,
                       world->now_ns + rng_below(&world->rng_network, wait));
        }
    }
}

void stream_deinit(struct sim_world *world)
{
    struct sim_link *link;
    size_t at = 0;

    while ((link = map64_next(&world->links, &at)) != NULL) {
        side_drop_waiting(world, &link->side[0]);
        side_drop_waiting(world, &link->side[1]);
        free(link);
    }
    map64_deinit(&world->links);
}

/* ---- what hosts call ---- */

void sim_send_frame(struct sim_node *node,
                    const struct kith_node_id *to,
                    uint8_t net_class,
                    uint8_t type,
                    const void *head,
                    size_t head_len,
                    const void *body,
                    size_t body_len)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);
    size_t len = head_len + body_len;

    assert(node->up && !node->paused && net_class < SIM_CLASSES_N);
    if (target == NULL || target == node)
        return;
    struct sim_link *link = link_get(world, node->index, target->index, net_class);
    unsigned s = side_of(link, node);
    struct sim_side *side = &link->side[s];
    if (side->up && side->broken)
        return;
    struct sim_event *event = queue_event(&world->queue, SIM_EV_FRAME, len);
    if (head_len > 0)
        memcpy(event->data, head, head_len);
    if (body_len > 0)
        memcpy(event->data + head_len, body, body_len);
    event->link = link;
    event->gen = side->gen;
    event->net_class = net_class;
    event->frame_type = type;
    event->from = node->index;
    event->from_boot = node->boot_no;
    event->to = target->index;
    if (!side->up && !link->opening && side->next_ns > world->now_ns + SIM_BACKOFF_WAIT_NS) {
        queue_release(&world->queue, event);
        push_event(world, link, SIM_EV_LINK_REFUSED, s, link->gen, world->now_ns);
        return;
    }
    node->bytes_sent += len + SIM_FRAME_HEAD_BYTES + SIM_TCP_HEAD_BYTES;
    target->bytes_sent += SIM_TCP_HEAD_BYTES; /* its acknowledgement */
    if (!side->up) {
        side_wait(side, event);
        side->wants = true;
        if (!link->opening)
            link_open(world, link, s, side->next_ns);
        return;
    }
    link_used(world, link, s);
    if (side->wait_first != NULL) {
        side_wait(side, event);
        return;
    }
    uint64_t delay = segment_delay_ns(world, target);
    if (delay == UINT64_MAX) {
        side->broken = true;
        queue_release(&world->queue, event);
        push_event(world, link, SIM_EV_LINK_CLOSED, s, side->gen, world->now_ns + SIM_STALL_NS);
        push_event(world, link, SIM_EV_LINK_CLOSED, 1 - s, side->gen, world->now_ns + SIM_STALL_NS);
        return;
    }
    uint64_t at = world->now_ns + delay + len * SIM_NS_PER_BYTE;
    if (at > side->last_ns)
        side->last_ns = at;
    world_push(world, event, side->last_ns);
}

void sim_connect(struct sim_node *node, const struct kith_node_id *to, uint8_t net_class)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);

    assert(net_class < SIM_CLASSES_N);
    if (target == NULL || target == node)
        return;
    struct sim_link *link = link_get(world, node->index, target->index, net_class);
    unsigned s = side_of(link, node);
    if (link->side[s].up)
        return;
    link->side[s].wants = true;
    if (!link->opening)
        link_open(world, link, s, world->now_ns);
}

void sim_dial(struct sim_node *node, const char *address)
{
    struct sim_world *world = node->world;
    const char *colon = strrchr(address, ':');
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    struct sim_node *target = port >= 1 && port <= world->nodes_n ? &world->nodes[port - 1] : NULL;

    if (target == node) {
        dial_fails(node, address, network_delay_ns(world));
        return;
    }
    if (target == NULL || strcmp(target->address, address) != 0) { /* nobody has it (any more) */
        dial_fails(node, address, SIM_HANDSHAKE_DEADLINE_NS);
        return;
    }
    struct sim_link *link = link_get(world, node->index, target->index, 0);
    unsigned s = side_of(link, node);
    if (link->side[s].up) {
        struct sim_event *event = queue_event(&world->queue, SIM_EV_LINK_UP, 0);

        event->link = link;
        event->gen = link->side[s].gen;
        event->frame_type = 1; /* open already: only says so */
        event->from = target->index;
        event->to = node->index;
        world_push(world, event, world->now_ns);
        return;
    }
    link->side[s].dials = true;
    link->side[s].dialled_gen = target->address_gen;
    if (!link->opening)
        link_open(world, link, s, world->now_ns);
}

void sim_disconnect(struct sim_node *node, const struct kith_node_id *to)
{
    struct sim_world *world = node->world;
    struct sim_node *target = sim_node_by_id(world, to);

    for (uint8_t net_class = 0; target != NULL && target != node && net_class < SIM_CLASSES_N;
         net_class++) {
        struct sim_link *link = link_find(world, node->index, target->index, net_class);

        if (link != NULL && link->side[side_of(link, node)].up)
            link_close(world, link, side_of(link, node));
    }
}

bool sim_link_is_up(const struct sim_node *node, const struct kith_node_id *to, uint8_t net_class)
{
    struct sim_node *target = sim_node_by_id(node->world, to);
    struct sim_link *link =
        target != NULL ? link_find(node->world, node->index, target->index, net_class) : NULL;

    return link != NULL && link->side[side_of(link, node)].up;
}
