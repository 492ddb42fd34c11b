/*
 * Both sides of the opening. The first byte chooses: raw bytes to a responder or to an initiator;
 * or a real conversation of which the rest of the input changes bytes (pairs of place and xor),
 * which reaches the states behind the seals.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "kith/node.h"
#include "net/handshake.h"

struct end {
    struct net_identity identity;
    struct net_cluster cluster;
    struct net_cluster_keys keys;
    struct handshake_config config;
    struct handshake handshake;
    struct buf out;
    uint8_t ephemeral[32];
};

static void end_init(struct end *end, uint8_t number)
{
    memset(end, 0, sizeof *end);
    end->identity = fuzz_identity(number);
    end->cluster = fuzz_cluster();
    net_cluster_derive(&end->cluster, &end->keys);
    end->config = (struct handshake_config){&end->identity, &end->cluster, &end->keys};
    memset(end->ephemeral, number + 1, sizeof end->ephemeral);
}

static void begin(struct end *end, bool initiator)
{
    struct hello hello = {
        .boot_no = 3,
        .instance = 4,
        .cluster_id = end->cluster.id,
        .version_min = NET_VERSION_MIN,
        .version_max = NET_VERSION_MAX,
        .role = KITH_ROLE_NODE,
        .name = "fuzz",
        .addresses_n = 1,
        .addresses = {"127.0.0.1:7117"},
    };

    memcpy(hello.sign_pk, end->identity.sign_pk, sizeof hello.sign_pk);
    if (initiator)
        must(handshake_initiate(&end->handshake, &end->config, &hello, end->ephemeral, &end->out) ==
             0);
    else
        must(handshake_respond(&end->handshake, &end->config, end->ephemeral) == 0);
}

static void end_deinit(struct end *end)
{
    (void)handshake_eof(&end->handshake);
    handshake_deinit(&end->handshake);
    buf_deinit(&end->out);
}

/* In pieces of @piece bytes. */
static int feed(struct end *end, const uint8_t *data, size_t len, size_t piece)
{
    int r = 0;

    while (len > 0 && r == 0 && end->handshake.state != HANDSHAKE_DONE) {
        size_t n = len < piece ? len : piece, used;
        uint8_t *copy = fuzz_copy(data, n);

        r = handshake_feed(&end->handshake, copy, n, &used, &end->out);
        free(copy);
        must(used <= n);
        must(used == n || r != 0 || end->handshake.state == HANDSHAKE_DONE);
        data += used;
        len -= used;
    }
    if (r != 0)
        must(end->handshake.state == HANDSHAKE_FAILED);
    return r;
}

static void raw(bool initiator, const uint8_t *data, size_t len, size_t piece)
{
    struct end end;

    end_init(&end, 1);
    begin(&end, initiator);
    end.out.len = 0;
    (void)feed(&end, data, len, piece);
    if (initiator) /* nobody who lacks the secret gets that far */
        must(end.handshake.state != HANDSHAKE_DONE);
    must(end.handshake.state != HANDSHAKE_DONE || handshake_peer_hello(&end.handshake) != NULL);
    end_deinit(&end);
}

static void change(struct buf *flight, const uint8_t **data, size_t *len)
{
    size_t pairs = *len > 0 ? (*data)[0] % 4u : 0;

    if (*len > 0) {
        ++*data;
        --*len;
    }
    for (; pairs > 0 && *len >= 3; pairs--, *data += 3, *len -= 3) {
        size_t at = get_le16(*data);

        if (flight->len > 0)
            flight->data[at % flight->len] ^= (*data)[2];
    }
}

static void conversation(const uint8_t *data, size_t len, size_t piece)
{
    struct end a, b;
    int r = 0;

    end_init(&a, 1);
    end_init(&b, 3);
    begin(&a, true);
    begin(&b, false);
    for (int i = 0; i < 3 && r == 0; i++) {
        struct end *from = i % 2 == 0 ? &a : &b, *to = i % 2 == 0 ? &b : &a;
        struct buf flight = from->out;
        uint8_t *before = fuzz_copy(flight.data, flight.len);
        bool same;

        from->out = (struct buf){0};
        change(&flight, &data, &len);
        same = memcmp(before, flight.data, flight.len) == 0;
        r = feed(to, flight.data, flight.len, piece);
        must(!same || r == 0);
        /* A changed flight never ends in keys. */
        must(same || r != 0 || (i < 2 && to->out.len == 0) ||
             (i == 2 && to->handshake.state != HANDSHAKE_DONE));
        if (!same)
            r = -1;
        free(before);
        buf_deinit(&flight);
    }
    if (r == 0)
        must(handshake_peer_hello(&b.handshake) != NULL);
    end_deinit(&a);
    end_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t piece;

    if (len < 2)
        return 0;
    piece = 1 + (size_t)data[1];
    switch (data[0] % 4) {
    case 0:
        raw(false, data + 2, len - 2, piece);
        break;
    case 1:
        raw(true, data + 2, len - 2, piece);
        break;
    default:
        conversation(data + 2, len - 2, piece);
    }
    return 0;
}
