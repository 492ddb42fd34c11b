/*
 * The queue of news and the datagrams that carry it. An item names a node and a kind of news, not
 * bytes: what holds when it is sent is sent, so older news of a node can never follow newer. Items
 * sent least often go first; after 4 * ceil(log10(n + 1)) sends one is done.
 */
#include "member/internal.h"

/* Items looked at for one datagram: beyond, what is left is too large for the rest of it. */
#define SCAN_MAX 48
/* Datagrams to one target in a round while the queue is long (a join of hundreds). */
#define BURST_MAX 3
/* Bytes below which no item fits. */
#define ITEM_BYTES_MIN 19

static void insert(struct member_core *core, struct gossip_item *item)
{
    item->sends = 0;
    list_append(&core->by_sends[0], &item->link);
}

static void wake(struct member_core *core)
{
    if (heap_contains(&core->gossip_timer.at))
        return;
    uint64_t at_ms = core->gossip_next_ms > core->now_ms ? core->gossip_next_ms : core->now_ms;
    core_timer_set(core, &core->gossip_timer, at_ms);
}

static struct gossip_item *item_new(struct member_core *core)
{
    struct gossip_item *item = core_calloc(1, sizeof(*item));
    if (item == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    core->gossip_n++;
    return item;
}

void gossip_drop_item(struct member_core *core, struct gossip_item *item)
{
    list_remove(&item->link);
    if (item->node != NULL)
        item->node->gossip[item->slot] = NULL;
    else
        item->tomb->gossip = NULL;
    if (item->node == core->self && item->slot == GOSSIP_FACTS && core->leaving &&
        !core->left_told) {
        core->left_told = true;
        core_act(core, MEMBER_TOLD_LEAVE);
    }
    core->gossip_n--;
    core_free(item);
}

void gossip_drop_node(struct member_core *core, struct mnode *node)
{
    for (int slot = 0; slot < GOSSIP_SLOTS; slot++)
        if (node->gossip[slot] != NULL)
            gossip_drop_item(core, node->gossip[slot]);
}

void gossip_queue(struct member_core *core, struct mnode *node, enum gossip_slot slot)
{
    if (core_alone(core))
        return; /* the first push-pull says it all */
    struct gossip_item *item = node->gossip[slot];
    if (item != NULL) {
        list_remove(&item->link);
    } else {
        item = item_new(core);
        if (item == NULL)
            return;
        item->node = node;
        item->slot = (uint8_t)slot;
        node->gossip[slot] = item;
    }
    insert(core, item);
    wake(core);
}

void gossip_queue_tomb(struct member_core *core, struct tomb *tomb)
{
    if (core_alone(core))
        return;
    struct gossip_item *item = tomb->gossip;
    if (item != NULL) {
        list_remove(&item->link);
    } else {
        item = item_new(core);
        if (item == NULL)
            return;
        item->tomb = tomb;
        tomb->gossip = item;
    }
    insert(core, item);
    wake(core);
}

/* ---- datagrams ---- */

bool packet_begin(struct member_core *core, struct packet *packet, const struct kith_node_id *to)
{
    *packet = (struct packet){.to = *to};
    packet->data = core_arena(core, core->config.datagram_bytes_max);
    return packet->data != NULL;
}

static size_t size_of(const struct msg *msg)
{
    return msg->type == MSG_FACTS ? msg->u.record.len + 23 : WIRE_SMALL_BYTES_MAX;
}

bool packet_put(struct member_core *core, struct packet *packet, const struct msg *msg)
{
    size_t room = core->config.datagram_bytes_max - packet->len;
    if (packet->messages == MEMBER_MESSAGES_MAX)
        return false;
    if (size_of(msg) <= room) {
        packet->len += wire_encode(packet->data + packet->len, msg);
    } else {
        /* The bound is loose: see how long it really is. */
        uint8_t bytes[WIRE_SMALL_BYTES_MAX + MEMBER_RECORD_BYTES_MAX];
        size_t len = wire_encode(bytes, msg);
        if (len > room)
            return false;
        memcpy(packet->data + packet->len, bytes, len);
        packet->len += len;
    }
    packet->messages++;
    return true;
}

void packet_put_seq(struct member_core *core,
                    struct packet *packet,
                    enum msg_type type,
                    uint32_t seq)
{
    struct msg msg;
    msg.type = type;
    msg.seq = seq;
    msg.u.record.len = 0;
    if (type == MSG_ACK && core->load_known) {
        msg.type = MSG_ACK_LOAD;
        msg.u.load = core->load;
        uint64_t age_ms = core->now_ms - core->load_at_ms;
        msg.value = age_ms < UINT32_MAX ? age_ms : UINT32_MAX;
    }
    packet_put(core, packet, &msg);
}

void gossip_msg_of(const struct member_core *core, const struct mnode *node, struct msg *msg)
{
    msg->id = node->pub.id;
    msg->boot_no = node->pub.boot_no;
    msg->n = node->pub.incarnation;
    msg->accusers_n = 0;
    switch (node->pub.status) {
    case KITH_STATUS_SUSPECT:
        msg->type = MSG_SUSPECT;
        msg->accusers_n = node->suspicion->accusers_n;
        memcpy(msg->accusers, node->suspicion->accusers, sizeof(msg->accusers));
        return;
    case KITH_STATUS_FAILED:
        msg->type = MSG_FAILED;
        msg->accusers_n = 1;
        msg->accusers[0] = id_token(&core->config.self);
        return;
    case KITH_STATUS_ALIVE:
    case KITH_STATUS_LEFT:
        msg->type = MSG_ALIVE;
        return;
    }
}

/* The message of @item as things stand; false if there is nothing left to say. */
static bool item_msg(struct member_core *core, const struct gossip_item *item, struct msg *msg)
{
    const struct mnode *node = item->node;
    if (node == NULL) {
        const struct tomb *tomb = item->tomb;
        msg->type = MSG_FORGOTTEN;
        msg->id = tomb->id;
        msg->boot_no = tomb->boot_no;
        msg->n = tomb->n;
        msg->value = tomb->until_ms > core->now_ms ? tomb->until_ms - core->now_ms : 0;
        return true;
    }
    switch ((enum gossip_slot)item->slot) {
    case GOSSIP_STATUS:
        gossip_msg_of(core, node, msg);
        return node->pub.status != KITH_STATUS_LEFT;
    case GOSSIP_FACTS:
        msg->type = MSG_FACTS;
        msg->n = node->pub.incarnation;
        msg->value = node->pub.facts.registry_version;
        msg->u.record.data = node->record;
        msg->u.record.len = node->record_len;
        return node->record != NULL && node->record_current;
    case GOSSIP_REGISTRY:
        msg->type = MSG_REGISTRY;
        msg->id = node->pub.id;
        msg->boot_no = node->pub.boot_no;
        msg->value = node->pub.facts.registry_version;
        return true;
    case GOSSIP_SLOTS:
        break;
    }
    return false;
}

/* Puts what fits, least sent first, and counts the sends. */
static void fill(struct member_core *core, struct packet *packet)
{
    if (core->gossip_n == 0)
        return;
    uint32_t limit = params_retransmits(core_n(core));
    struct list taken;
    list_init(&taken);
    unsigned scanned = 0;
    for (size_t sends = 0; sends <= GOSSIP_SENDS_MAX; sends++) {
        list_for_each_safe (it, &core->by_sends[sends]) {
            if (scanned++ == SCAN_MAX ||
                core->config.datagram_bytes_max - packet->len < ITEM_BYTES_MIN)
                goto full;
            struct gossip_item *item = container_of(it, struct gossip_item, link);
            struct msg msg;
            if (!item_msg(core, item, &msg)) {
                gossip_drop_item(core, item);
            } else if (packet_put(core, packet, &msg)) {
                list_remove(&item->link);
                list_append(&taken, &item->link);
            }
        }
    }
full:
    while (!list_empty(&taken)) {
        struct gossip_item *item = container_of(taken.next, struct gossip_item, link);
        item->sends++;
        if (item->sends >= limit || item->sends > GOSSIP_SENDS_MAX) {
            gossip_drop_item(core, item);
        } else {
            list_remove(&item->link);
            list_append(&core->by_sends[item->sends], &item->link);
        }
    }
}

void packet_send(struct member_core *core, struct packet *packet)
{
    fill(core, packet);
    if (packet->messages == 0)
        return;
    struct member_action *action = core_act(core, MEMBER_SEND_DATAGRAM);
    action->id = packet->to;
    action->data = packet->data;
    action->len = packet->len;
    core->stats.datagrams_out++;
    core->stats.bytes_out += packet->len;
}

/*
 * The next ones round the table, which stands in random order: random enough, and in a small
 * cluster each item surely gets to all.
 */
static size_t choose_targets(struct member_core *core, struct mnode **targets)
{
    size_t n = core->config.gossip_fanout;
    if (n > core->here_n)
        n = core->here_n;
    for (size_t i = 0; i < n; i++) {
        core->gossip_cursor = core->gossip_cursor + 1 < core->here_n ? core->gossip_cursor + 1 : 0;
        targets[i] = core->here[core->gossip_cursor];
    }
    return n;
}

void gossip_round(struct member_core *core)
{
    struct mnode *targets[16];
    size_t n = choose_targets(core, targets);
    for (size_t i = 0; i < n; i++) {
        for (unsigned burst = 0; burst < BURST_MAX && core->gossip_n > 0; burst++) {
            size_t before = core->gossip_n;
            struct packet packet;
            if (!packet_begin(core, &packet, &targets[i]->pub.id))
                return;
            packet_send(core, &packet);
            if (packet.messages >= before)
                break; /* it held all there is */
        }
    }
    core->gossip_next_ms = core->now_ms + core->config.gossip_interval_ms;
    if (core->gossip_n > 0)
        core_timer_set(core, &core->gossip_timer, core->gossip_next_ms);
}
