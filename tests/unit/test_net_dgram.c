/*
 * Datagrams between two nodes that restart, and everybody who plays them back or changes them.
 */
#include "net/dgram.h"

#include "net_testing.h"

struct node {
    struct net_identity identity;
    struct net_cluster cluster;
    uint64_t boot_no;
    uint64_t hint;
    struct dgram_peer peer; /* the other one */
};

struct pair {
    struct node a, b;
    struct rng rng;
};

static void learn(struct node *self, const struct node *other, uint64_t boot_no)
{
    assert_int_equal(dgram_peer_init(&self->peer, &self->identity, &self->cluster,
                                     &other->identity.id, other->identity.dh_pk, boot_no, 0),
                     0);
}

static void pair_init(struct pair *pair)
{
    struct net_cluster_keys keys;

    pair->rng = test_rng();
    pair->a = (struct node){.identity = random_identity(&pair->rng), .boot_no = 3};
    pair->b = (struct node){.identity = random_identity(&pair->rng), .boot_no = 8};
    pair->a.cluster = pair->b.cluster = random_cluster(&pair->rng);
    net_cluster_derive(&pair->a.cluster, &keys);
    pair->a.hint = dgram_hint(&keys, &pair->a.identity.id);
    pair->b.hint = dgram_hint(&keys, &pair->b.identity.id);
    assert_true(pair->a.hint != pair->b.hint);
    learn(&pair->a, &pair->b, 8);
    learn(&pair->b, &pair->a, 3);
}

struct packet {
    uint8_t data[NET_DGRAM_BYTES_MAX];
    size_t len;
};

static struct packet
seal(struct pair *pair, struct node *from, enum dgram_type type, const char *body)
{
    struct packet packet;
    uint8_t nonce[DGRAM_NONCE_BYTES];

    random_bytes(&pair->rng, nonce, sizeof nonce);
    assert_int_equal(dgram_seal(&from->peer, type, from->hint, from->boot_no, nonce,
                                (struct kith_bytes){body, strlen(body)}, packet.data, &packet.len),
                     0);
    return packet;
}

static int take(struct node *to, const struct packet *packet, struct dgram *out)
{
    static uint8_t plain[NET_DGRAM_BYTES_MAX];

    return dgram_open(&to->peer, to->boot_no, packet->data, packet->len, plain, out);
}

static void bodies_of_every_size_arrive_once(void **state)
{
    struct pair pair;
    char body[DGRAM_BODY_BYTES_MAX + 2];

    (void)state;
    pair_init(&pair);
    for (size_t len = 0; len <= DGRAM_BODY_BYTES_MAX; len++) {
        struct packet packet;
        struct dgram_head head;
        struct dgram got;

        memset(body, 'x', len);
        body[len] = '\0';
        packet = seal(&pair, &pair.a, DGRAM_DATA, body);
        assert_int_equal(packet.len, len + DGRAM_OVERHEAD_BYTES);
        assert_int_equal(dgram_head_decode(packet.data, packet.len, &head), 0);
        assert_true(head.hint == pair.a.hint);
        assert_int_equal(head.boot_no, 3);
        assert_int_equal(head.type, DGRAM_DATA);
        assert_int_equal(take(&pair.b, &packet, &got), 0);
        assert_int_equal(got.len, len);
        assert_memory_equal(got.body, body, len);
        assert_int_equal(got.boot_no, 3);
        assert_false(got.boot_is_new);
        assert_int_equal(take(&pair.b, &packet, &got), KITH_E_EXISTS);
    }
}

static void longer_body_is_refused(void **state)
{
    static const uint8_t body[DGRAM_BODY_BYTES_MAX + 1];
    uint8_t out[NET_DGRAM_BYTES_MAX], nonce[DGRAM_NONCE_BYTES] = {0};
    struct pair pair;
    size_t len;

    (void)state;
    pair_init(&pair);
    assert_int_equal(dgram_seal(&pair.a.peer, DGRAM_DATA, 1, 1, nonce,
                                (struct kith_bytes){body, sizeof body}, out, &len),
                     KITH_E_TOO_LARGE);
    pair.a.peer.counter = UINT64_MAX;
    assert_int_equal(
        dgram_seal(&pair.a.peer, DGRAM_DATA, 1, 1, nonce, (struct kith_bytes){body, 1}, out, &len),
        KITH_E_LIMIT);
}

static void changed_or_cut_datagram_is_refused(void **state)
{
    struct pair pair;
    struct packet packet, copy;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    packet = seal(&pair, &pair.a, DGRAM_DATA, "some gossip");
    for (size_t bit = 0; bit < 8 * packet.len; bit++) {
        int r;

        copy = packet;
        copy.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        r = take(&pair.b, &copy, &got);
        /* A lower boot number is dropped before the seal is looked at. */
        assert_true(r == KITH_E_CORRUPT || (r == KITH_E_EXISTS && bit / 8 >= 10 && bit / 8 < 18));
    }
    for (size_t len = 0; len < packet.len; len++) {
        copy = packet;
        copy.len = len;
        assert_int_equal(take(&pair.b, &copy, &got), KITH_E_CORRUPT);
    }
    assert_int_equal(pair.b.peer.boot_no, 3); /* nothing of it was believed */
    assert_int_equal(take(&pair.b, &packet, &got), 0);
}

static void headers_that_cannot_be_are_dropped(void **state)
{
    struct pair pair;
    struct packet packet;
    struct dgram_head head;
    static uint8_t big[NET_DGRAM_BYTES_MAX + 1];

    (void)state;
    pair_init(&pair);
    packet = seal(&pair, &pair.a, DGRAM_DATA, "x");
    memcpy(big, packet.data, packet.len);
    assert_int_equal(dgram_head_decode(big, NET_DGRAM_BYTES_MAX, &head), 0);
    assert_int_equal(dgram_head_decode(big, NET_DGRAM_BYTES_MAX + 1, &head), KITH_E_PARSE);
    assert_int_equal(dgram_head_decode(big, DGRAM_OVERHEAD_BYTES, &head), 0);
    assert_int_equal(dgram_head_decode(big, DGRAM_OVERHEAD_BYTES - 1, &head), KITH_E_PARSE);
    for (unsigned v = 0; v < 256; v++) {
        big[0] = (uint8_t)v;
        assert_int_equal(dgram_head_decode(big, 100, &head), v == DGRAM_VERSION ? 0 : KITH_E_PARSE);
    }
    big[0] = DGRAM_VERSION;
    for (unsigned t = 0; t < 256; t++) {
        big[1] = (uint8_t)t;
        assert_int_equal(dgram_head_decode(big, DGRAM_OVERHEAD_BYTES, &head),
                         t == DGRAM_DATA || t == DGRAM_BOOT ? 0 : KITH_E_PARSE);
        assert_int_equal(dgram_head_decode(big, DGRAM_OVERHEAD_BYTES + 1, &head),
                         t == DGRAM_DATA ? 0 : KITH_E_PARSE);
    }
    big[1] = DGRAM_DATA;
    memset(big + 10, 0, 8); /* boot 0 */
    assert_int_equal(dgram_head_decode(big, 100, &head), KITH_E_PARSE);
}

static void own_datagram_played_back_is_refused(void **state)
{
    struct pair pair;
    struct packet packet;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    packet = seal(&pair, &pair.a, DGRAM_DATA, "from a");
    pair.a.peer.boot_no = 0;
    assert_int_equal(take(&pair.a, &packet, &got), KITH_E_CORRUPT);
}

static void other_secret_cluster_or_peer_is_refused(void **state)
{
    struct pair pair;
    struct packet packet;
    struct dgram got;
    struct node other;

    (void)state;
    pair_init(&pair);
    packet = seal(&pair, &pair.a, DGRAM_DATA, "x");
    other = pair.b;
    other.cluster.secret[5] ^= 4;
    learn(&other, &pair.a, 3);
    assert_int_equal(take(&other, &packet, &got), KITH_E_CORRUPT);
    other = pair.b;
    other.cluster.id.bytes[5] ^= 4;
    learn(&other, &pair.a, 3);
    assert_int_equal(take(&other, &packet, &got), KITH_E_CORRUPT);
    other = pair.b;
    other.identity = random_identity(&pair.rng);
    learn(&other, &pair.a, 3);
    assert_int_equal(take(&other, &packet, &got), KITH_E_CORRUPT);
    memset(other.identity.dh_pk, 0, 32);
    assert_int_equal(dgram_peer_init(&other.peer, &pair.a.identity, &pair.a.cluster,
                                     &other.identity.id, other.identity.dh_pk, 1, 0),
                     KITH_E_CORRUPT);
}

static void restarted_receiver_says_its_boot_and_takes_no_replay(void **state)
{
    struct pair pair;
    struct packet old, boot, fresh;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    old = seal(&pair, &pair.a, DGRAM_DATA, "for boot 8");
    assert_int_equal(take(&pair.b, &old, &got), 0);

    pair.b.boot_no = 9; /* b restarts: its window is gone */
    learn(&pair.b, &pair.a, 3);
    assert_int_equal(take(&pair.b, &old, &got), KITH_E_AGAIN);
    boot = seal(&pair, &pair.b, DGRAM_BOOT, "");
    assert_true(boot.len <= old.len);
    assert_int_equal(take(&pair.a, &boot, &got), 0);
    assert_int_equal(got.type, DGRAM_BOOT);
    assert_true(got.boot_is_new);
    assert_int_equal(pair.a.peer.boot_no, 9);

    fresh = seal(&pair, &pair.a, DGRAM_DATA, "for boot 9");
    assert_int_equal(take(&pair.b, &fresh, &got), 0);
    assert_int_equal(take(&pair.b, &old, &got), KITH_E_AGAIN); /* and never delivered */
}

static void boot_that_names_another_boot_is_not_answered_for_ever(void **state)
{
    struct pair pair;
    struct packet boot;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    pair.b.peer.boot_no = 2; /* b knows an old a */
    boot = seal(&pair, &pair.b, DGRAM_BOOT, "");
    assert_int_equal(take(&pair.a, &boot, &got), KITH_E_AGAIN);
    assert_int_equal(got.type, DGRAM_BOOT); /* so that the driver keeps silent */
}

static void restarted_sender_proves_its_boot(void **state)
{
    struct pair pair;
    struct packet old, fresh;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    old = seal(&pair, &pair.a, DGRAM_DATA, "boot 3");
    pair.a.boot_no = 4;
    learn(&pair.a, &pair.b, 8); /* its counter starts again */
    fresh = seal(&pair, &pair.a, DGRAM_DATA, "boot 4");
    assert_int_equal(take(&pair.b, &fresh, &got), 0);
    assert_true(got.boot_is_new);
    assert_int_equal(got.boot_no, 4);
    assert_int_equal(pair.b.peer.boot_no, 4);
    assert_int_equal(take(&pair.b, &fresh, &got), KITH_E_EXISTS);
    assert_int_equal(take(&pair.b, &old, &got), KITH_E_EXISTS); /* of an earlier life */
}

static void handshake_boot_only_goes_up(void **state)
{
    struct pair pair;
    struct packet packet;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    packet = seal(&pair, &pair.a, DGRAM_DATA, "x");
    assert_int_equal(take(&pair.b, &packet, &got), 0);
    dgram_peer_boot(&pair.b.peer, 3);
    dgram_peer_boot(&pair.b.peer, 1);
    assert_int_equal(take(&pair.b, &packet, &got), KITH_E_EXISTS); /* the window stayed */
    dgram_peer_boot(&pair.b.peer, 5);
    assert_int_equal(pair.b.peer.boot_no, 5);
    assert_int_equal(take(&pair.b, &packet, &got), KITH_E_EXISTS); /* lower boot */
}

static void window_holds_for_reordered_datagrams(void **state)
{
    static struct packet packets[NET_REPLAY_WINDOW + 10];
    struct pair pair;
    struct dgram got;
    const size_t n = sizeof packets / sizeof *packets;

    (void)state;
    pair_init(&pair);
    for (size_t i = 0; i < n; i++)
        packets[i] = seal(&pair, &pair.a, DGRAM_DATA, "x");
    assert_int_equal(take(&pair.b, &packets[n - 1], &got), 0);
    for (size_t i = n - 1; i-- > 0;)
        assert_int_equal(take(&pair.b, &packets[i], &got),
                         i + NET_REPLAY_WINDOW < n ? KITH_E_EXISTS : 0);
}

static void random_bytes_are_refused(void **state)
{
    struct pair pair;
    struct packet packet;
    struct dgram got;

    (void)state;
    pair_init(&pair);
    for (int i = 0; i < 20000; i++) {
        packet.len = rng_below(&pair.rng, NET_DGRAM_BYTES_MAX + 1);
        random_bytes(&pair.rng, packet.data, packet.len < 200 ? packet.len : 200);
        packet.data[0] = DGRAM_VERSION;
        packet.data[1] = DGRAM_DATA;
        assert_true(take(&pair.b, &packet, &got) < 0);
    }
    assert_int_equal(pair.b.peer.boot_no, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_every_size_arrive_once),
        cmocka_unit_test(longer_body_is_refused),
        cmocka_unit_test(changed_or_cut_datagram_is_refused),
        cmocka_unit_test(headers_that_cannot_be_are_dropped),
        cmocka_unit_test(own_datagram_played_back_is_refused),
        cmocka_unit_test(other_secret_cluster_or_peer_is_refused),
        cmocka_unit_test(restarted_receiver_says_its_boot_and_takes_no_replay),
        cmocka_unit_test(boot_that_names_another_boot_is_not_answered_for_ever),
        cmocka_unit_test(restarted_sender_proves_its_boot),
        cmocka_unit_test(handshake_boot_only_goes_up),
        cmocka_unit_test(window_holds_for_reordered_datagrams),
        cmocka_unit_test(random_bytes_are_refused),
    };
    return run_net_tests("net_dgram", tests);
}
