#include "channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "queue.h"

#define TYPE_DATA      1
#define TYPE_BOOT      2
#define WIRE_BYTES_MAX 1200
/* BOOT answers to one peer, at most one in so long. */
#define BOOT_PERIOD_NS UINT64_C(1000000000)

void channel_init(struct channel *channel, struct sim_node *node, struct sim_keys *keys)
{
    size_t n = sim_nodes_n(sim_node_world(node));

    memset(channel, 0, sizeof(*channel));
    channel->node = node;
    channel->keys = keys;
    channel->peers = sim_realloc(NULL, n, sizeof(*channel->peers));
    memset(channel->peers, 0, n * sizeof(*channel->peers));
    channel->scratch = sim_realloc(NULL, 2, WIRE_BYTES_MAX);
}

void channel_deinit(struct channel *channel)
{
    if (channel->keys != NULL && channel->peers != NULL) {
        for (size_t i = 0; i < sim_nodes_n(sim_node_world(channel->node)); i++)
            keys_dgram_free(channel->peers[i].sealed);
    }
    free(channel->peers);
    free(channel->scratch);
    memset(channel, 0, sizeof(*channel));
}

static struct channel_peer *peer_of(struct channel *channel, const struct kith_node_id *id)
{
    struct sim_node *node = sim_node_by_id(sim_node_world(channel->node), id);

    return node != NULL ? &channel->peers[sim_node_index(node)] : NULL;
}

static struct dgram_peer *
sealed_of(struct channel *channel, struct channel_peer *peer, const struct kith_node_id *id)
{
    if (peer->sealed == NULL)
        peer->sealed =
            keys_dgram_new(channel->keys, channel->node,
                           sim_node_by_id(sim_node_world(channel->node), id), peer->boot_no);
    return peer->sealed;
}

void channel_learn(struct channel *channel,
                   const struct kith_node_id *id,
                   uint64_t boot_no,
                   const char *address)
{
    struct channel_peer *peer = peer_of(channel, id);

    if (peer == NULL)
        return;
    peer->known = true;
    if (boot_no > peer->boot_no) {
        peer->boot_no = boot_no;
        if (peer->sealed != NULL)
            keys_dgram_boot(peer->sealed, boot_no);
    }
    if (address != NULL)
        sim_know_address(channel->node, id, address);
}

void channel_forget(struct channel *channel, const struct kith_node_id *id)
{
    struct channel_peer *peer = peer_of(channel, id);

    if (peer == NULL)
        return;
    peer->known = false; /* what stops replays stays, as in the shipped channel */
    sim_disconnect(channel->node, id);
}

static void send_typed(struct channel *channel,
                       struct channel_peer *peer,
                       const struct kith_node_id *to,
                       uint8_t type,
                       const uint8_t *data,
                       size_t len)
{
    uint8_t *wire = channel->scratch;
    size_t wire_len = CHANNEL_HEAD_BYTES + len;

    if (channel->keys != NULL) {
        wire_len =
            keys_dgram_seal(channel->keys, channel->node, sealed_of(channel, peer, to),
                            type == TYPE_BOOT, (struct kith_bytes){.data = data, .len = len}, wire);
        if (wire_len == 0)
            return;
    } else {
        wire[0] = type;
        put_le64(wire + 1, peer->boot_no);
        if (len > 0)
            memcpy(wire + CHANNEL_HEAD_BYTES, data, len);
    }
    sim_send_datagram(channel->node, to, wire, wire_len);
}

void channel_send(struct channel *channel,
                  const struct kith_node_id *to,
                  const uint8_t *data,
                  size_t len)
{
    struct channel_peer *peer = peer_of(channel, to);

    assert(len <= CHANNEL_BODY_BYTES_MAX); /* the core was told what fits */
    if (peer == NULL || !peer->known) {
        channel->dropped_n++;
        return;
    }
    send_typed(channel, peer, to, TYPE_DATA, data, len);
}

static void
answer_boot(struct channel *channel, struct channel_peer *peer, const struct kith_node_id *to)
{
    uint64_t now_ns = sim_now_ns(channel->node);

    if (peer->boot_told_ns != 0 && now_ns - peer->boot_told_ns < BOOT_PERIOD_NS)
        return;
    peer->boot_told_ns = now_ns;
    send_typed(channel, peer, to, TYPE_BOOT, NULL, 0);
}

static bool receive_sealed(struct channel *channel,
                           struct channel_peer *peer,
                           const struct kith_node_id *from,
                           const uint8_t *data,
                           size_t len,
                           struct kith_bytes *body_out)
{
    uint64_t proven = peer->boot_no;
    int r = keys_dgram_open(channel->node, sealed_of(channel, peer, from), data, len,
                            channel->scratch + WIRE_BYTES_MAX, body_out, &proven);

    if (r == 0 || r == KITH_E_AGAIN)
        sim_heard_from(channel->node, from);
    if (r == KITH_E_AGAIN)
        answer_boot(channel, peer, from);
    if (proven > peer->boot_no)
        peer->boot_no = proven;
    return r == 0 && body_out->data != NULL;
}

bool channel_receive(struct channel *channel,
                     const struct kith_node_id *from,
                     uint64_t boot_no,
                     const uint8_t *data,
                     size_t len,
                     struct kith_bytes *body_out)
{
    struct channel_peer *peer = peer_of(channel, from);

    if (peer == NULL || !peer->known) {
        channel->dropped_n++;
        return false;
    }
    if (channel->keys != NULL)
        return receive_sealed(channel, peer, from, data, len, body_out);
    if (len < CHANNEL_HEAD_BYTES || boot_no < peer->boot_no) {
        channel->dropped_n++;
        return false;
    }
    peer->boot_no = boot_no;
    sim_heard_from(channel->node, from);
    if (data[0] == TYPE_BOOT)
        return false;
    if (get_le64(data + 1) != sim_node_boot_no(channel->node)) {
        answer_boot(channel, peer, from);
        return false;
    }
    *body_out =
        (struct kith_bytes){.data = data + CHANNEL_HEAD_BYTES, .len = len - CHANNEL_HEAD_BYTES};
    return true;
}
