/*
 * What arrives in a datagram. It is decoded and its signatures are checked before any of it is
 * acted on; then the messages are taken in order, and at most one datagram goes back.
 */
#include "core/mutant.h"
#include "member/internal.h"

/* A stranger's datagrams make us ask who it is this often at most. */
#define STRANGER_MS 1000
/* A node we hold for suspect or failed is told unasked this often at most. */
#define TELL_MS 1000

/* Gossip brings the facts of a new boot within this, mostly. */
#define FACTS_MS 2000

struct incoming {
    struct kith_node_id from;
    struct mnode *node; /* NULL: a stranger */
    bool outcast;       /* failed here at this very boot: what it says of others does not count */
    struct packet reply;
    bool replying;
};

static struct packet *reply(struct member_core *core, struct incoming *in)
{
    if (!in->replying)
        in->replying = packet_begin(core, &in->reply, &in->from);
    return in->replying ? &in->reply : NULL;
}

static void on_ping(struct member_core *core, struct incoming *in, const struct msg *msg)
{
    struct packet *packet = reply(core, in);
    if (packet != NULL)
        packet_put_seq(core, packet, MSG_ACK, msg->seq);
}

static void on_ack(struct member_core *core, struct incoming *in, const struct msg *msg)
{
    struct mnode *node = in->node;
    if (node == NULL)
        return;
    if (msg->type == MSG_ACK_LOAD) {
        uint64_t at_ms = core->now_ms > msg->value ? core->now_ms - msg->value : 0;
        if (!node->pub.load_known || at_ms >= node->pub.load_at_ms) {
            node->pub.load = msg->u.load;
            node->pub.load_at_ms = at_ms;
            node->pub.load_known = true;
        }
    }
    if (core->config.detector_echo)
        echo_on_ack(core, node, msg->seq);
    probe_on_ack(core, node, msg->seq, false);
}

static void on_suspect(struct member_core *core, struct incoming *in, const struct msg *msg)
{
    if (id_equal(&msg->id, &core->config.self)) {
        if (msg->boot_no == core->self->pub.boot_no)
            news_refute(core, msg->n);
        return;
    }
    struct mnode *node = table_find(core, &msg->id);
    if (node == NULL || in->outcast || node->pub.boot_no != msg->boot_no)
        return;
    suspect_claim(core, node, msg->n, msg->accusers, msg->accusers_n);
}

static void on_failed(struct member_core *core, struct incoming *in, const struct msg *msg)
{
    if (id_equal(&msg->id, &core->config.self)) {
        if (msg->boot_no == core->self->pub.boot_no)
            news_refute(core, msg->n);
        return;
    }
    struct mnode *node = table_find(core, &msg->id);
    if (node == NULL || node->here_at == 0 || in->outcast)
        return;
    if ((node->pub.boot_no != msg->boot_no || msg->n < node->pub.incarnation) &&
        !MUTANT(MEMBER_ANY_BOOT))
        return;
    if (core->config.detector_echo) {
        echo_now(core, node);
        return;
    }
    suspect_failed(core, node, msg->n,
                   core_text(core, "node '%s' found it failed",
                             in->node != NULL ? in->node->pub.shown_name : "?"));
}

static void on_facts(struct member_core *core, struct incoming *in, struct msg *msg)
{
    struct claim claim = {
        .record = &msg->u.record,
        .n = msg->n,
        .registry_version = msg->value,
        .status = KITH_STATUS_ALIVE,
    };
    news_facts(core, &claim, NEWS_GOSSIP);
    if (in->node == NULL)
        in->node = table_find(core, &in->from);
}

static void on_message(struct member_core *core, struct incoming *in, struct msg *msg)
{
    switch (msg->type) {
    case MSG_PING:
        on_ping(core, in, msg);
        return;
    case MSG_ACK:
    case MSG_ACK_LOAD:
        on_ack(core, in, msg);
        return;
    case MSG_PING_REQ:
        probe_on_request(core, &in->from, msg);
        return;
    case MSG_NACK:
        probe_on_nack(core, &in->from, msg->seq);
        return;
    case MSG_RELAY_ACK:
        if (in->node != NULL)
            probe_on_ack(core, in->node, msg->seq, true);
        return;
    case MSG_ALIVE:
        news_alive(core, &msg->id, msg->boot_no, msg->n);
        return;
    case MSG_SUSPECT:
        on_suspect(core, in, msg);
        return;
    case MSG_FAILED:
        on_failed(core, in, msg);
        return;
    case MSG_FACTS:
        on_facts(core, in, msg);
        return;
    case MSG_REGISTRY:
        news_registry(core, &msg->id, msg->boot_no, msg->value);
        return;
    case MSG_FORGOTTEN:
        if (!in->outcast)
            news_forgotten(core, &msg->id, msg->boot_no, msg->n, msg->value);
        /* Dropping the sender itself is possible: look again. */
        in->node = table_find(core, &in->from);
        return;
    }
}

/* Tell it what we think of it, so that it can refute: with an answer always, else now and then. */
static void tell_sender(struct member_core *core, struct incoming *in)
{
    struct mnode *node = in->node;
    if (node == NULL || node->remembered ||
        (node->pub.status != KITH_STATUS_SUSPECT && node->pub.status != KITH_STATUS_FAILED) ||
        (core->config.lifeguard_off && node->pub.status == KITH_STATUS_SUSPECT))
        return;
    if (!in->replying) {
        if (node->told_ms != 0 && core->now_ms - node->told_ms < TELL_MS)
            return;
        node->told_ms = core->now_ms;
    }
    struct packet *packet = reply(core, in);
    if (packet != NULL)
        suspect_tell(core, packet, node);
}

static void ask_stranger(struct member_core *core, const struct incoming *in)
{
    if (core->now_ms < core->stranger_next_ms || core->leaving)
        return;
    core->stranger_next_ms = core->now_ms + STRANGER_MS;
    sync_ask(core, &in->from);
}

/* Somebody who is not in our table: forgotten, or not yet met. */
static void greet_stranger(struct member_core *core, struct incoming *in, uint64_t boot_no)
{
    const struct tomb *tomb = tomb_find(core, &in->from);
    if (tomb != NULL && boot_no <= tomb->boot_no) {
        struct msg msg = {.type = MSG_FORGOTTEN,
                          .id = tomb->id,
                          .boot_no = tomb->boot_no,
                          .n = tomb->n,
                          .value = tomb->until_ms - core->now_ms};
        struct packet *packet = reply(core, in);
        if (packet != NULL)
            packet_put(core, packet, &msg);
        return;
    }
    ask_stranger(core, in);
}

/* It restarted, or is known from the peer cache only, and its facts did not come by themselves. */
static bool facts_overdue(const struct member_core *core, const struct mnode *node)
{
    return node->remembered ||
           (!node->record_current && core->now_ms - node->pub.status_since_ms >= FACTS_MS);
}

/* Of the records that are news: are they whole, and signed by their node? */
static bool records_hold(struct member_core *core, struct msg *msgs, int n)
{
    for (int i = 0; i < n; i++) {
        struct facts_record *record = &msgs[i].u.record;
        if (msgs[i].type != MSG_FACTS)
            continue;
        if (id_equal(&record->id, &core->config.self) || !news_is_new(core, record, msgs[i].n))
            continue;
        if (facts_decode(record, record->data, record->len) != 0)
            return false;
        if (!facts_verify(record, &core->config.crypto)) {
            core->stats.bad_signatures++;
            return false;
        }
        record->verified = true;
    }
    return true;
}

int datagram_in(struct member_core *core, const struct member_event *event)
{
    struct msg msgs[MEMBER_MESSAGES_MAX];
    core->stats.datagrams_in++;
    core->stats.bytes_in += event->len;
    if (id_equal(&event->id, &core->config.self))
        return 0;
    int n = wire_decode(msgs, event->data, event->len);
    if (n < 0 || !records_hold(core, msgs, n)) {
        core->stats.bad_messages++;
        return KITH_E_CORRUPT;
    }
    struct incoming in = {.from = event->id};
    if (!news_contact(core, &event->id, event->boot_no, &in.node))
        return 0; /* of a life that is over */
    in.outcast =
        in.node != NULL && !in.node->remembered &&
        (in.node->pub.status == KITH_STATUS_FAILED || in.node->pub.status == KITH_STATUS_LEFT);
    for (int i = 0; i < n; i++)
        on_message(core, &in, &msgs[i]);
    if (in.node == NULL)
        greet_stranger(core, &in, event->boot_no);
    else
        tell_sender(core, &in);
    if (in.node != NULL && facts_overdue(core, in.node))
        ask_stranger(core, &in);
    if (in.replying)
        packet_send(core, &in.reply);
    return 0;
}
