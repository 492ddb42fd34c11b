/*
 * Both sides of a stream's opening, fed in pieces of every size, and everybody who should not get
 * in.
 */
#include "net/handshake.h"

#include "core/alloc.h"
#include "kith/node.h"
#include "net_testing.h"

struct end {
    struct net_identity identity;
    struct net_cluster cluster;
    struct net_cluster_keys keys;
    struct handshake_config config;
    struct hello hello;
    struct handshake handshake;
    struct buf out;
    uint8_t ephemeral[32];
};

static void end_init(struct end *end, struct rng *rng, const struct net_cluster *cluster)
{
    memset(end, 0, sizeof *end);
    end->identity = random_identity(rng);
    end->cluster = *cluster;
    net_cluster_derive(&end->cluster, &end->keys);
    end->config = (struct handshake_config){&end->identity, &end->cluster, &end->keys};
    end->hello = (struct hello){
        .id = end->identity.id,
        .boot_no = 1 + rng_below(rng, 100),
        .instance = rng_u64(rng),
        .cluster_id = cluster->id,
        .version_min = NET_VERSION_MIN,
        .version_max = NET_VERSION_MAX,
        .net_class = NET_CONTROL,
        .role = KITH_ROLE_NODE,
        .name = "initiator",
        .software = "0.1.0",
        .addresses_n = 1,
        .addresses = {"10.1.2.3:7117"},
    };
    memcpy(end->hello.sign_pk, end->identity.sign_pk, 32);
    random_bytes(rng, end->ephemeral, sizeof end->ephemeral);
}

static void end_deinit(struct end *end)
{
    handshake_deinit(&end->handshake);
    handshake_deinit(&end->handshake);
    buf_deinit(&end->out);
}

static void begin(struct end *initiator, struct end *responder)
{
    assert_int_equal(handshake_initiate(&initiator->handshake, &initiator->config,
                                        &initiator->hello, initiator->ephemeral, &initiator->out),
                     0);
    assert_int_equal(
        handshake_respond(&responder->handshake, &responder->config, responder->ephemeral), 0);
}

/* Feeds all that @from has to say, in pieces of at most @piece bytes. */
static int carry(struct end *from, struct end *to, size_t piece)
{
    size_t used, at = 0;
    int r = 0;

    while (at < from->out.len && r == 0 && to->handshake.state != HANDSHAKE_DONE) {
        size_t n = from->out.len - at < piece ? from->out.len - at : piece;

        r = handshake_feed(&to->handshake, from->out.data + at, n, &used, &to->out);
        at += used;
        assert_true(used == n || r != 0 || to->handshake.state == HANDSHAKE_DONE);
    }
    buf_consume(&from->out, at);
    return r;
}

/* The whole conversation; the first failure ends it. */
static int converse(struct end *initiator, struct end *responder, size_t piece)
{
    int r = carry(initiator, responder, piece);

    if (r == 0)
        r = carry(responder, initiator, piece);
    if (r == 0)
        r = carry(initiator, responder, piece);
    return r;
}

static void check_done(struct end *initiator, struct end *responder)
{
    struct noise_split a, b;
    const struct hello *hello = handshake_peer_hello(&responder->handshake);

    assert_int_equal(initiator->handshake.state, HANDSHAKE_DONE);
    assert_int_equal(responder->handshake.state, HANDSHAKE_DONE);
    handshake_split(&initiator->handshake, &a);
    handshake_split(&responder->handshake, &b);
    assert_memory_equal(a.send_key, b.recv_key, 32);
    assert_memory_equal(a.recv_key, b.send_key, 32);
    assert_memory_not_equal(a.send_key, a.recv_key, 32);
    assert_memory_equal(a.hash, b.hash, sizeof a.hash);
    assert_memory_equal(handshake_remote_dh_pk(&initiator->handshake), responder->identity.dh_pk,
                        32);
    assert_memory_equal(handshake_remote_dh_pk(&responder->handshake), initiator->identity.dh_pk,
                        32);
    assert_null(handshake_peer_hello(&initiator->handshake));
    assert_non_null(hello);
    assert_memory_equal(&hello->id, &initiator->identity.id, sizeof hello->id);
    assert_int_equal(hello->boot_no, initiator->hello.boot_no);
    assert_string_equal(hello->name, "initiator");
}

static void both_sides_get_the_same_keys_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 31, 32, 33, 79, 80, 81, 96, 10000};
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct end a, b;

        end_init(&a, &rng, &cluster);
        end_init(&b, &rng, &cluster);
        begin(&a, &b);
        assert_int_equal(a.out.len, PREAMBLE_BYTES + HANDSHAKE_MESSAGE1_BYTES);
        assert_int_equal(converse(&a, &b, pieces[i]), 0);
        check_done(&a, &b);
        assert_int_equal(a.out.len + b.out.len, 0);
        end_deinit(&a);
        end_deinit(&b);
    }
}

static void bytes_behind_the_handshake_are_left(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct end a, b;
    size_t used;

    (void)state;
    end_init(&a, &rng, &cluster);
    end_init(&b, &rng, &cluster);
    begin(&a, &b);
    assert_int_equal(carry(&a, &b, 1000), 0);
    assert_int_equal(buf_append(&b.out, "record", 6), 0); /* a record right behind message 2 */
    assert_int_equal(handshake_feed(&a.handshake, b.out.data, b.out.len, &used, &a.out), 0);
    assert_int_equal(used, b.out.len - 6);
    assert_int_equal(buf_append(&a.out, "record", 6), 0);
    assert_int_equal(handshake_feed(&b.handshake, a.out.data, a.out.len, &used, &b.out), 0);
    assert_int_equal(used, a.out.len - 6);
    check_done(&a, &b);
    end_deinit(&a);
    end_deinit(&b);
}

/* One conversation with the responder of another cluster, and what both logs get to say. */
static void
refused(struct rng *rng, const struct net_cluster *ours, const struct net_cluster *theirs, int code)
{
    struct end a, b;

    end_init(&a, rng, ours);
    end_init(&b, rng, theirs);
    begin(&a, &b);
    assert_int_equal(carry(&a, &b, 1), code);
    assert_non_null(strstr(kith_errmsg(), code == KITH_E_VERSION ? "install" : "kith join"));
    assert_int_equal(b.handshake.state, HANDSHAKE_FAILED);
    assert_int_equal(b.out.len, 1);
    assert_int_equal(carry(&b, &a, 1), 0); /* it may be the first byte of message 2 */
    assert_int_equal(handshake_eof(&a.handshake), code);
    assert_non_null(strstr(kith_errmsg(), "kith join"));
    end_deinit(&a);
    end_deinit(&b);
}

static void other_cluster_or_secret_is_refused_and_both_know(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster ours = random_cluster(&rng), theirs = random_cluster(&rng);

    (void)state;
    refused(&rng, &ours, &theirs, KITH_E_OTHER_CLUSTER);
    theirs = ours;
    theirs.secret[0] ^= 1;
    refused(&rng, &ours, &theirs, KITH_E_SECRET);
}

static void version_out_of_reach_is_refused_before_message_1(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct end a, b;
    size_t used;

    (void)state;
    end_init(&a, &rng, &cluster);
    end_init(&b, &rng, &cluster);
    begin(&a, &b);
    a.out.data[6] = 77;
    a.out.data[7] = 78;
    assert_int_equal(handshake_feed(&b.handshake, a.out.data, PREAMBLE_BYTES - 1, &used, &b.out),
                     0);
    assert_int_equal(
        handshake_feed(&b.handshake, a.out.data + PREAMBLE_BYTES - 1, 1, &used, &b.out),
        KITH_E_VERSION);
    assert_int_equal(b.handshake.preamble.version_max, 78);
    assert_int_equal(b.out.len, 1);
    assert_int_equal(carry(&b, &a, 1), 0);
    assert_int_equal(handshake_eof(&a.handshake), KITH_E_VERSION);
    end_deinit(&a);
    end_deinit(&b);
}

static void garbage_gets_silence_and_no_memory(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct end b;
    uint8_t garbage[200];
    size_t used;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        size_t len = 6 + rng_below(&rng, sizeof garbage - 6);

        if (i == 0)
            end_init(&b, &rng, &cluster);
        random_bytes(&rng, garbage, sizeof garbage);
        assert_int_equal(handshake_respond(&b.handshake, &b.config, b.ephemeral), 0);
        core_alloc_fail_at(1); /* any allocation would change the code */
        assert_int_equal(handshake_feed(&b.handshake, garbage, len, &used, &b.out), KITH_E_PARSE);
        core_alloc_fail_at(0);
        assert_int_equal(b.out.len, 0);
        handshake_deinit(&b.handshake);
    }
    assert_int_equal(handshake_respond(&b.handshake, &b.config, b.ephemeral), 0);
    assert_int_equal(handshake_eof(&b.handshake), KITH_E_UNREACHABLE);
    end_deinit(&b);
}

/* Byte @at of flight @flight is changed by @bit; returns what the one who reads it says. */
static int
changed(struct rng *rng, const struct net_cluster *cluster, int flight, size_t at, int bit)
{
    struct end a, b;
    int r = 0;

    end_init(&a, rng, cluster);
    end_init(&b, rng, cluster);
    begin(&a, &b);
    for (int i = 0; i <= flight && r == 0; i++) {
        struct end *from = i % 2 == 0 ? &a : &b, *to = i % 2 == 0 ? &b : &a;

        if (i == flight)
            from->out.data[at] ^= (uint8_t)(1 << bit);
        r = carry(from, to, 1000);
        if (i == flight && r == 0 && to->handshake.state != HANDSHAKE_DONE)
            r = 1; /* waits for more, which never comes */
    }
    if (r < 0 && flight > 0)
        assert_int_equal(flight == 1 ? a.out.len : b.out.len, 0);
    end_deinit(&a);
    end_deinit(&b);
    return r;
}

static void every_changed_byte_is_refused(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct end a, b;
    size_t len[3];

    (void)state;
    end_init(&a, &rng, &cluster);
    end_init(&b, &rng, &cluster);
    begin(&a, &b);
    len[0] = a.out.len;
    assert_int_equal(carry(&a, &b, 1000), 0);
    len[1] = b.out.len;
    assert_int_equal(carry(&b, &a, 1000), 0);
    len[2] = a.out.len;
    end_deinit(&a);
    end_deinit(&b);
    assert_int_equal(len[0], 80);
    assert_int_equal(len[1], HANDSHAKE_MESSAGE2_BYTES);
    for (int flight = 0; flight < 3; flight++)
        for (size_t at = 0; at < len[flight]; at++)
            assert_int_not_equal(changed(&rng, &cluster, flight, at, (int)rng_below(&rng, 8)), 0);
}

static void message_3_is_held_to_its_length(void **state)
{
    static const size_t lens[] = {0, 1, 63, 64 + HELLO_BYTES_MAX + 1, 65535};
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct end a, b;
        uint8_t head[2];
        size_t used;

        end_init(&a, &rng, &cluster);
        end_init(&b, &rng, &cluster);
        begin(&a, &b);
        assert_int_equal(carry(&a, &b, 1000), 0);
        put_le16(head, (uint16_t)lens[i]);
        core_alloc_fail_at(1); /* refused before anything is allocated */
        assert_int_equal(handshake_feed(&b.handshake, head, 2, &used, &b.out),
                         lens[i] < 64 ? KITH_E_PARSE : KITH_E_TOO_LARGE);
        core_alloc_fail_at(0);
        end_deinit(&a);
        end_deinit(&b);
    }
}

static void hello_of_somebody_else_is_refused(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct net_identity victim = random_identity(&rng);
    struct end a, b;

    (void)state;
    end_init(&a, &rng, &cluster);
    end_init(&b, &rng, &cluster);
    memcpy(a.hello.sign_pk, victim.sign_pk, 32); /* a member that claims to be another */
    begin(&a, &b);
    assert_int_equal(converse(&a, &b, 1000), KITH_E_CORRUPT);
    assert_null(handshake_peer_hello(&b.handshake));
    end_deinit(&a);
    end_deinit(&b);
}

static void meeting_oneself_is_told_to_both(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    struct end a, b;

    (void)state;
    end_init(&a, &rng, &cluster);
    end_init(&b, &rng, &cluster);
    b.identity = a.identity;
    begin(&a, &b);
    assert_int_equal(carry(&a, &b, 1000), 0);
    assert_int_equal(carry(&b, &a, 1000), KITH_E_EXISTS);
    end_deinit(&a);
    end_deinit(&b);
}

static void short_memory_ends_it_without_a_leak(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng);
    int r = -1;

    (void)state;
    for (uint64_t n = 1; r != 0; n++) {
        struct end a, b;

        assert_true(n < 200);
        end_init(&a, &rng, &cluster);
        end_init(&b, &rng, &cluster);
        assert_int_equal(handshake_respond(&b.handshake, &b.config, b.ephemeral), 0);
        core_alloc_fail_at(n);
        r = handshake_initiate(&a.handshake, &a.config, &a.hello, a.ephemeral, &a.out);
        if (r == 0)
            r = converse(&a, &b, 1000);
        core_alloc_fail_at(0);
        end_deinit(&a);
        end_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_get_the_same_keys_in_pieces_of_any_size),
        cmocka_unit_test(bytes_behind_the_handshake_are_left),
        cmocka_unit_test(other_cluster_or_secret_is_refused_and_both_know),
        cmocka_unit_test(version_out_of_reach_is_refused_before_message_1),
        cmocka_unit_test(garbage_gets_silence_and_no_memory),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(message_3_is_held_to_its_length),
        cmocka_unit_test(hello_of_somebody_else_is_refused),
        cmocka_unit_test(meeting_oneself_is_told_to_both),
        cmocka_unit_test(short_memory_ends_it_without_a_leak),
    };
    return run_net_tests("net_handshake", tests);
}
