/* Streams between peer channels in one process: opening, order, size, both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/net_lab.h"
#include "../lib/net_raw.h"
#include "core/map.h"
#include "kith/error.h"
#include "net/uv_priv.h"

static struct lab lab;

static int setup(void **state)
{
    (void)state;
    lab_open(&lab);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static void dial_by_address_makes_both_known(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    b->boot_no = 1;
    lab_dial(a, b->address);
    LAB_WAIT(&lab, a->dials_done == 1 && b->opened == 1);
    assert_int_equal(a->dial_status, 0);
    assert_ptr_equal(a->dial_peer, lab_peer(a, b));
    assert_int_equal(a->opened, 1);
    assert_true(uv_peer_is_open(lab_peer(a, b), NET_CONTROL));
    assert_true(uv_peer_is_open(lab_peer(b, a), NET_CONTROL));
    assert_false(uv_peer_is_open(lab_peer(a, b), NET_RPC));
    assert_string_equal(uv_peer_address(lab_peer(a, b)), b->address);
    assert_memory_equal(uv_peer_sign_pk(lab_peer(b, a)), a->identity.sign_pk, 32);
    assert_int_equal(uv_peer_boot_no(lab_peer(b, a)), 1);
    /* A learned where B listens, and can use it. */
    const char *addresses[4];
    assert_int_equal(uv_peer_addresses(lab_peer(b, a), addresses, 4), 1);
    assert_string_equal(addresses[0], a->address);
}

static void frames_keep_their_order_on_each_class(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    uint32_t next[NET_CLASSES_N] = {0};
    (void)state;
    for (uint32_t i = 0; i < 3000; i++)
        assert_int_equal(lab_send(a, peer, (enum net_class)(i % 3), i / 3, 4 + i % 700), 0);
    LAB_WAIT(&lab, b->frames_n == 3000);
    for (unsigned i = 0; i < 3000; i++) {
        struct lab_frame *frame = &b->frames[i];
        uint32_t sent = next[frame->net_class] * 3 + (uint32_t)frame->net_class;
        assert_int_equal(frame->number, next[frame->net_class]++);
        assert_int_equal(frame->type, lab_type(frame->net_class));
        assert_int_equal(frame->len, 4 + sent % 700);
        assert_true(frame->hash == lab_hash(frame->number, frame->len));
    }
    for (int i = 0; i < NET_CLASSES_N; i++) {
        assert_int_equal(a->opened_by_class[i], 1);
        assert_int_equal(b->opened_by_class[i], 1);
    }
}

static void frames_of_every_size_arrive_whole(void **state)
{
    static const size_t sizes[] = {4,     63,    64,    1000,  57336, 57344,  57345,   61432,
                                   61440, 65535, 65536, 66560, 66561, 120000, 1048576, 16777216};
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    const unsigned n = sizeof(sizes) / sizeof(sizes[0]);
    bool seen[sizeof(sizes) / sizeof(sizes[0])] = {false};
    (void)state;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(lab_send(a, peer, NET_RPC, i, sizes[i]), 0);
    LAB_WAIT(&lab, b->frames_n == n);
    for (unsigned i = 0; i < n; i++) {
        struct lab_frame *frame = &b->frames[i];
        assert_true(frame->number < n && !seen[frame->number]);
        seen[frame->number] = true;
        assert_int_equal(frame->len, sizes[frame->number]);
        assert_true(frame->hash == lab_hash(frame->number, frame->len));
    }
    assert_int_equal(lab_send(a, peer, NET_RPC, 0, NET_RPC_FRAME_BYTES_MAX + 1), KITH_E_TOO_LARGE);
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 0, NET_CONTROL_FRAME_BYTES_MAX + 1),
                     KITH_E_TOO_LARGE);
    assert_int_equal(lab_send(a, peer, NET_BULK, 0, NET_BULK_FRAME_BYTES_MAX + 1),
                     KITH_E_TOO_LARGE);
}

static unsigned released;

static void on_release(void *arg)
{
    released++;
    free(arg);
}

/* Where the first such frame stands among those received; their number if there is none. */
static unsigned frame_longer_than(const struct lab_node *node, size_t len)
{
    unsigned i = 0;
    while (i < node->frames_n && node->frames[i].len <= len)
        i++;
    return i;
}

static void small_frames_overtake_a_large_one(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    const size_t len = 16 * 1024 * 1024;
    uint8_t *body = malloc(len);
    uint32_t next = 1;
    unsigned before = 0;
    (void)state;
    released = 0;
    memset(body, 0x5a, len);
    uint8_t head[8] = {0};
    assert_int_equal(uv_net_send_take(a->net, peer, NET_RPC, FRAME_CALL,
                                      (struct kith_bytes){head, sizeof(head)},
                                      (struct kith_bytes){body, len}, on_release, body),
                     0);
    /* Small ones keep coming while it travels. */
    while ((before = frame_longer_than(b, 64)) == b->frames_n && next < 2000) {
        assert_int_equal(lab_send(a, peer, NET_RPC, next++, 64), 0);
        LAB_WAIT(&lab, b->frames_n >= next - 1);
    }
    LAB_WAIT(&lab, (before = frame_longer_than(b, 64)) < b->frames_n);
    assert_int_equal(released, 1);
    assert_true(before >= 4);
    for (unsigned i = 0; i < before; i++)
        assert_int_equal(b->frames[i].number, i + 1);
    assert_int_equal(b->frames[before].len, len + 8);
}

/* Queues a large frame that does not leave before the end of the turn; returns its hash. */
static uint64_t queue_large(struct lab_node *from, struct uv_peer *peer, uint8_t number, size_t len)
{
    uint8_t *body = malloc(len);
    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        body[i] = (uint8_t)(number + i * 7 + i / 300);
    put_le32(body, number);
    uint64_t hash = hash_bytes(body, len, 1);
    assert_int_equal(uv_net_send_take(from->net, peer, NET_RPC, FRAME_CALL, (struct kith_bytes){0},
                                      (struct kith_bytes){body, len}, on_release, body),
                     0);
    return hash;
}

/*
 * B judges the stream idle while the beginning of a large frame is on its way to it, and ends it in
 * order. A keeps its queue for the next stream, on which that frame must begin anew: the rest of it
 * would be a fragment of nothing there.
 */
static void a_large_frame_under_way_outlives_an_idle_close(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    struct uvn_chan *chan = &peer->chans[NET_RPC];
    const size_t len = 8 * 1024 * 1024;
    (void)state;
    uint8_t wire[NET_RECORD_WIRE_BYTES_MAX];
    size_t wire_len;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 100), 0);
    LAB_WAIT(&lab, b->frames_n == 1 && chan->stream != NULL);
    assert_int_equal(lab_send(b, lab_peer(b, a), NET_RPC, 2, 100), 0);
    LAB_WAIT(&lab, a->frames_n == 1); /* so that uv_net_poll() looks at this stream */

    uvn_stream_linger(lab_peer(b, a)->chans[NET_RPC].stream, FRAME_CLOSE_IDLE, "idle");
    released = 0;
    uint64_t hashes[2] = {queue_large(a, peer, 3, len), queue_large(a, peer, 4, 4 * len / 5)};
    /* A turn that ends after one record, as one that met its bound does. */
    assert_int_equal(
        frame_writer_seal(&chan->writer, &chan->stream->out, uv_now(&lab.loop), wire, &wire_len),
        0);
    uv_buf_t record = uv_buf_init((char *)wire, (unsigned)wire_len);
    assert_int_equal(uv_try_write((uv_stream_t *)&chan->stream->tcp, &record, 1), wire_len);
    assert_false(chan->stream->writing);
    assert_false(chan->writer.mid_frame);
    assert_int_equal(chan->writer.open_n, 2);
    assert_true(chan->writer.queued < len + 4 * len / 5);
    while (chan->stream != NULL)
        uv_net_poll(a->net); /* B's end is heard before more leaves */
    assert_int_equal(peer->queue.used, len + 4 * len / 5);

    LAB_WAIT(&lab, b->frames_n == 3);
    for (unsigned i = 1; i < 3; i++) {
        struct lab_frame *frame = &b->frames[i];
        assert_int_equal(frame->len, frame->number == 3 ? len : 4 * len / 5);
        assert_true(frame->hash == hashes[frame->number - 3]);
    }
    assert_int_equal(released, 2);
    assert_int_not_equal(b->frames[1].number, b->frames[2].number);
    assert_int_equal(b->opened_by_class[NET_RPC], 2); /* one more stream, and no error on it */
    LAB_WAIT(&lab, peer->queue.used == 0);
    assert_null(strstr(b->log_text, "broke the protocol"));
}

static void both_open_at_once_and_one_stream_stays(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
        struct uv_peer *to_b = lab_learn(a, b, NULL), *to_a = lab_learn(b, a, NULL);
        for (uint32_t i = 0; i < 100; i++) {
            assert_int_equal(lab_send(a, to_b, (enum net_class)(i % 3), i / 3, 100), 0);
            assert_int_equal(lab_send(b, to_a, (enum net_class)(i % 3), i / 3, 100), 0);
        }
        LAB_WAIT(&lab, a->frames_n == 100 && b->frames_n == 100);
        uint32_t next[2][NET_CLASSES_N] = {{0}};
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(a->frames[i].number, next[0][a->frames[i].net_class]++);
            assert_int_equal(b->frames[i].number, next[1][b->frames[i].net_class]++);
        }
        assert_int_equal(a->opened, 3);
        assert_int_equal(b->opened, 3);
        assert_int_equal(a->closed + b->closed, 0);
        LAB_FOR_MS(&lab, 5);
        assert_int_equal(a->closed + b->closed, 0);
        struct uv_net_stats stats;
        uv_net_stats(a->net, &stats);
        assert_int_equal(stats.streams_open, 3);
        lab_stop(a);
        lab_stop(b);
    }
}

static void both_dial_the_other_as_a_seed(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    lab_dial(a, b->address);
    lab_dial(b, a->address);
    LAB_WAIT(&lab, a->dials_done == 1 && b->dials_done == 1);
    assert_int_equal(a->dial_status, 0);
    assert_int_equal(b->dial_status, 0);
    LAB_FOR_MS(&lab, 20);
    assert_int_equal(a->opened, 1);
    assert_int_equal(b->opened, 1);
    assert_int_equal(a->closed + b->closed, 0);
    /* Once more: it is connected, so this is answered from what is there. */
    lab_dial(a, b->address);
    LAB_WAIT(&lab, a->dials_done == 2);
    assert_int_equal(a->dial_status, 0);
    assert_int_equal(a->opened, 1);
}

static void disconnect_is_told_and_the_next_send_reconnects(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    uv_net_disconnect(a->net, peer, "asked to");
    assert_int_equal(a->closed, 0); /* never from inside a call */
    LAB_WAIT(&lab, a->closed == 1 && b->closed == 1);
    assert_string_equal(a->close_reason, "asked to");
    assert_false(uv_peer_is_open(peer, NET_RPC));
    assert_int_equal(lab_send(a, peer, NET_RPC, 2, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 2);
    assert_int_equal(b->frames[1].number, 2);
    /* And the other way. */
    uv_net_disconnect(b->net, lab_peer(b, a), "asked to");
    LAB_WAIT(&lab, a->closed == 2);
    assert_int_equal(lab_send(b, lab_peer(b, a), NET_RPC, 3, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 1);
}

static void restarted_peer_is_found_again(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 1, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    lab_stop(b);
    LAB_WAIT(&lab, a->closed == 1);
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 2, 64), 0);
    LAB_WAIT(&lab, a->unreachable == 1);
    b = lab_node(&lab, 1, 1);
    b->boot_no = 2;
    lab_listen(b);
    peer = lab_learn(a, b, NULL);
    assert_int_equal(uv_net_connect(a->net, peer, NET_CONTROL), 0);
    LAB_WAIT(&lab, a->opened == 2 && b->opened == 1);
    assert_int_equal(a->last_boot_no, 2);
}

/* Takes nothing: the kernel answers, nobody else. */
static void on_deaf(uv_stream_t *listener, int status)
{
    (void)listener;
    (void)status;
}

static void a_dead_first_address_costs_little(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    static uv_tcp_t deaf; /* lab_close() closes it */
    struct sockaddr_in name;
    int name_len = sizeof(name);
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    (void)state;
    /* One that accepts and never answers, one that refuses, then the real one. */
    uv_tcp_init(&lab.loop, &deaf);
    uv_ip4_addr("127.0.0.1", 0, &name);
    assert_int_equal(uv_tcp_bind(&deaf, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&deaf, 8, on_deaf), 0);
    uv_tcp_getsockname(&deaf, (struct sockaddr *)&name, &name_len);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    const char *addresses[3] = {text, "127.0.0.1:1", b->address};
    struct uv_peer *peer;
    assert_int_equal(
        uv_net_learn(a->net, &b->identity.id, b->identity.sign_pk, addresses, 3, &peer), 0);
    uint64_t begun = uv_hrtime();
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 1, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    assert_true(uv_hrtime() - begun < 2500ull * 1000000);
    assert_string_equal(uv_peer_address(peer), b->address);
    /* What worked is tried first from now on, also when others are told. */
    const char *sorted[4];
    assert_int_equal(
        uv_net_learn(a->net, &b->identity.id, b->identity.sign_pk, addresses, 3, &peer), 0);
    assert_int_equal(uv_peer_addresses(peer, sorted, 4), 3);
    assert_string_equal(sorted[0], b->address);
}

static void names_are_resolved(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    char text[64];
    (void)state;
    (void)snprintf(text, sizeof(text), "localhost:%u", (unsigned)uv_net_port(b->net));
    lab_dial(a, text);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(a->dial_status, 0);
    lab_dial(a, "no-such-host.invalid:7117");
    LAB_WAIT(&lab, a->dials_done == 2);
    assert_int_equal(a->dial_status, KITH_E_UNREACHABLE);
    assert_int_equal(uv_net_dial(a->net, "", NULL, NULL), KITH_E_INVALID);
}

static void dialling_oneself_is_noticed(void **state)
{
    struct lab_node *a = lab_start(&lab, 0);
    (void)state;
    lab_dial(a, a->address);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(a->dial_status, KITH_E_EXISTS);
    assert_int_equal(a->opened, 0);
}

static void another_node_at_a_known_address_is_not_taken_for_the_peer(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1), *c = lab_node(&lab, 2, 1);
    struct uv_peer *peer = lab_learn(a, c, b->address);
    (void)state;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, a->unreachable == 1);
    assert_int_equal(b->opened, 0);
    assert_int_equal(a->opened, 0);
}

/* ---- somebody in between ---- */

struct tap {
    int listener, near, far;
    uint16_t far_port;
    size_t forwarded, spoil_at; /* the byte of the dialling side that gets changed; 0: none */
};

/* Moves what waits, once. */
static void tap_forward(struct tap *tap)
{
    uint8_t bytes[65536];
    int n;
    if (tap->near < 0 && (tap->near = raw_accept(tap->listener)) >= 0)
        tap->far = raw_connect(tap->far_port, 1);
    if (tap->near < 0)
        return;
    if ((n = raw_read(tap->near, bytes, sizeof(bytes))) > 0) {
        if (tap->spoil_at > tap->forwarded && tap->spoil_at <= tap->forwarded + (size_t)n)
            bytes[tap->spoil_at - tap->forwarded - 1] ^= 1;
        tap->forwarded += (size_t)n;
        raw_send(tap->far, bytes, (size_t)n);
    }
    if ((n = raw_read(tap->far, bytes, sizeof(bytes))) > 0)
        raw_send(tap->near, bytes, (size_t)n);
}

static void a_changed_byte_ends_the_stream_and_delivers_nothing_wrong(void **state)
{
    /* In the preamble, message 1, message 3, and in records. */
    static const size_t spoils[] = {0, 20, 60, 150, 600, 2000, 20000};
    (void)state;
    for (unsigned round = 0; round < sizeof(spoils) / sizeof(spoils[0]); round++) {
        struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
        struct tap tap = {.near = -1, .far_port = uv_net_port(b->net), .spoil_at = spoils[round]};
        uint16_t port;
        char address[64];
        tap.listener = raw_listen(&port);
        (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
        struct uv_peer *peer = lab_learn(a, b, address);
        for (uint32_t i = 0; i < 40; i++)
            assert_int_equal(lab_send(a, peer, NET_RPC, i, 1000), 0);
        LAB_WAIT(&lab, (tap_forward(&tap), b->frames_n == 40 || a->closed + a->unreachable > 0));
        assert_int_equal(b->frames_n == 40, spoils[round] == 0);
        for (unsigned i = 0; i < b->frames_n; i++) {
            assert_int_equal(b->frames[i].number, i);
            assert_true(b->frames[i].hash == lab_hash(i, 1000));
        }
        lab_stop(a);
        lab_stop(b);
        raw_close(tap.listener);
        raw_close(tap.near);
        raw_close(tap.far);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dial_by_address_makes_both_known, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_keep_their_order_on_each_class, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_of_every_size_arrive_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(small_frames_overtake_a_large_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_frame_under_way_outlives_an_idle_close, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(both_open_at_once_and_one_stream_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(both_dial_the_other_as_a_seed, setup, teardown),
        cmocka_unit_test_setup_teardown(disconnect_is_told_and_the_next_send_reconnects, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(restarted_peer_is_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_first_address_costs_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_byte_ends_the_stream_and_delivers_nothing_wrong,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_resolved, setup, teardown),
        cmocka_unit_test_setup_teardown(dialling_oneself_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(another_node_at_a_known_address_is_not_taken_for_the_peer,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
