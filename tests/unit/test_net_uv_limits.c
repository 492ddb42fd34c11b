/* Bounds and endings: queues, credit, open peers, ports, and closing with everything in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/net_lab.h"
#include "../lib/net_raw.h"
#include "core/error.h"
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

/* ---- queues ---- */

static void full_queue_refuses_and_says_when_it_drained(void **state)
{
    struct lab_node *a = lab_node(&lab, 0, 1), *b = lab_start(&lab, 1);
    struct uv_net_config config;
    unsigned sent = 0;
    int r;
    (void)state;
    lab_config(a, &config);
    config.peer_queue_bytes_max = 1024 * 1024;
    assert_int_equal(uv_net_open(&a->net, &config), 0);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    while ((r = lab_send(a, peer, NET_RPC, sent, 10000)) == 0)
        sent++;
    assert_int_equal(r, KITH_E_BUSY);
    assert_int_equal(sent, 1024 * 1024 / 10008);
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 0, 50000), KITH_E_BUSY);
    assert_int_equal(a->drained, 0);
    LAB_WAIT(&lab, a->drained == 2 && b->frames_n == sent);
    for (unsigned i = 0; i < sent; i++)
        assert_int_equal(b->frames[i].number, i);
    /* Once is enough. */
    assert_int_equal(lab_send(a, peer, NET_RPC, sent, 10000), 0);
    LAB_WAIT(&lab, b->frames_n == sent + 1);
    assert_int_equal(a->drained, 2);
}

static void room_of_a_stream_shrinks_and_its_return_is_told(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    unsigned sent = 0;
    size_t most = 1024 * 1024, room;
    (void)state;
    assert_int_equal(uv_net_room(a->net, peer, NET_BULK, most), most);
    while ((room = uv_net_room(a->net, peer, NET_BULK, most)) > 0) {
        assert_int_equal(lab_send(a, peer, NET_BULK, sent++, 60000), 0);
        size_t left = uv_net_room(a->net, peer, NET_BULK, most);
        assert_int_equal(left, room > 60008 ? room - 60008 : 0);
    }
    assert_int_equal(a->drained, 0);
    LAB_WAIT(&lab, a->drained == 1);
    assert_true(uv_net_room(a->net, peer, NET_BULK, most) >= most / 2);
    LAB_WAIT(&lab, b->frames_n == sent);
    assert_int_equal(uv_net_room(a->net, peer, NET_BULK, most), most);
    /* Nobody asked again while little was queued. */
    assert_int_equal(lab_send(a, peer, NET_BULK, sent, 60000), 0);
    LAB_WAIT(&lab, b->frames_n == sent + 1);
    assert_int_equal(a->drained, 1);
}

static unsigned released;

static void on_release(void *arg)
{
    released++;
    free(arg);
}

static void release_runs_once_on_every_failure(void **state)
{
    struct lab_node *a = lab_node(&lab, 0, 1), *b = lab_node(&lab, 1, 1);
    struct uv_net_config config;
    struct kith_bytes none = {NULL, 0};
    (void)state;
    released = 0;
    lab_config(a, &config);
    config.peer_queue_bytes_max = 300000;
    assert_int_equal(uv_net_open(&a->net, &config), 0);
    struct uv_peer *peer = lab_learn(a, b, "127.0.0.1:1");
    struct kith_bytes body = {calloc(1, 200000), 200000};
    assert_int_equal(uv_net_send_take(a->net, peer, NET_RPC, FRAME_RESULT, none, body, on_release,
                                      (void *)(uintptr_t)body.data),
                     0);
    assert_int_equal(released, 0);
    struct kith_bytes more = {calloc(1, 200000), 200000};
    assert_int_equal(uv_net_send_take(a->net, peer, NET_RPC, FRAME_RESULT, none, more, on_release,
                                      (void *)(uintptr_t)more.data),
                     KITH_E_BUSY);
    assert_int_equal(released, 1);
    struct kith_bytes small = {calloc(1, 20), 20};
    assert_int_equal(uv_net_send_take(a->net, peer, NET_RPC, FRAME_RESULT, none, small, on_release,
                                      (void *)(uintptr_t)small.data),
                     0);
    assert_int_equal(released, 2);
    /* Nobody is there: what was queued is dropped with its release. */
    LAB_WAIT(&lab, a->unreachable == 1);
    assert_int_equal(released, 3);
    assert_int_equal(peer->queue.used, 0);
    const char *no_address = NULL;
    struct uv_peer *unknown;
    struct lab_node *c = lab_node(&lab, 2, 1);
    assert_int_equal(
        uv_net_learn(a->net, &c->identity.id, c->identity.sign_pk, &no_address, 0, &unknown), 0);
    struct kith_bytes last = {calloc(1, 20), 20};
    assert_int_equal(uv_net_send_take(a->net, unknown, NET_RPC, FRAME_RESULT, none, last,
                                      on_release, (void *)(uintptr_t)last.data),
                     KITH_E_UNREACHABLE);
    assert_int_equal(released, 4);
}

static void backoff_refuses_at_once_and_grows(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    struct uv_peer *peer = lab_learn(a, b, "127.0.0.1:1");
    uint64_t last_ms = 0;
    (void)state;
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(uv_net_connect(a->net, peer, NET_RPC), 0);
        LAB_WAIT(&lab, a->unreachable == i);
        uint64_t wait_ms = peer->dial_next_ms - uvn_now_ms();
        assert_true(wait_ms <= 200u << i);
        assert_true(i < 2 || wait_ms > last_ms / 2);
        last_ms = wait_ms;
    }
    peer->dial_next_ms = uvn_now_ms() + 5000;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), KITH_E_UNREACHABLE);
    peer->dial_next_ms = uvn_now_ms() + 50;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, a->unreachable == 5);
}

static void dials_are_bounded_and_all_come_to_an_end(void **state)
{
    struct lab_node *a = lab_start(&lab, 0);
    const unsigned n = 3 * NET_DIALS_MAX;
    uint16_t port;
    int deaf = raw_listen(&port); /* the kernel connects as many as its backlog holds */
    char address[64];
    const char *addresses[1] = {address};
    unsigned most = 0;
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    a->net->handshake_ms = 100;
    for (unsigned i = 0; i < n; i++) {
        struct net_identity identity;
        struct uv_peer *peer;
        uint8_t seed[NET_SEED_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 77};
        assert_int_equal(net_identity_from_seed(&identity, seed), 0);
        assert_int_equal(uv_net_learn(a->net, &identity.id, identity.sign_pk, addresses, 1, &peer),
                         0);
        assert_int_equal(uv_net_connect(a->net, peer, NET_CONTROL), 0);
    }
    uint64_t until = uv_hrtime() + (uint64_t)LAB_WAIT_MS * 1000000;
    while (a->unreachable < n) {
        lab_turn(&lab, until, "dials", __FILE__, __LINE__);
        most = a->net->attempts_n > most ? a->net->attempts_n : most;
    }
    assert_int_equal(most, NET_DIALS_MAX);
    assert_int_equal(a->net->attempts_n, 0);
    assert_int_equal(a->net->dials_waiting_n, 0);
    raw_close(deaf);
}

/* ---- bulk ---- */

static void bulk_keeps_within_its_window_and_delays_no_call(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    const uint32_t n = 200;
    uint32_t next_bulk = 0;
    bool waited = false;
    (void)state;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(lab_send(a, peer, NET_BULK, i, NET_BULK_FRAME_BYTES_MAX), 0);
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), 0);
    uint64_t until = uv_hrtime() + (uint64_t)LAB_WAIT_MS * 1000000;
    while (b->frames_n < n + 1) {
        struct uvn_chan *chan = &peer->chans[NET_BULK];
        lab_turn(&lab, until, "bulk frames", __FILE__, __LINE__);
        assert_true(chan->tx_window >= 0);
        waited = waited || !list_empty(&chan->bulk_waiting);
        struct uv_peer *from = lab_peer(b, a);
        if (from != NULL && from->chans[NET_BULK].stream != NULL)
            assert_true(from->chans[NET_BULK].stream->rx_window >= 0);
    }
    assert_true(waited);
    for (unsigned i = 0; i < n + 1; i++) {
        if (b->frames[i].net_class != NET_BULK)
            continue;
        assert_int_equal(b->frames[i].number, next_bulk);
        assert_int_equal(b->frames[i].len, NET_BULK_FRAME_BYTES_MAX);
        next_bulk++;
    }
    assert_int_equal(next_bulk, n);
    assert_int_equal(peer->queue.used, 0);
}

static void bulk_beyond_the_window_ends_the_stream(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    /* A sender that thinks it has four times the window. */
    peer->chans[NET_BULK].tx_window = 4 * NET_BULK_WINDOW_BYTES;
    for (uint32_t i = 0; i < 60; i++)
        assert_int_equal(lab_send(a, peer, NET_BULK, i, NET_BULK_FRAME_BYTES_MAX), 0);
    LAB_WAIT(&lab, uv_peer_is_open(peer, NET_BULK));
    lab_peer(b, a)->chans[NET_BULK].stream->credit_used = 0;
    lab_peer(b, a)->chans[NET_BULK].stream->rx_window = 100000;
    LAB_WAIT(&lab, b->closed == 1 && a->closed == 1);
    assert_non_null(strstr(b->close_reason, "window"));
}

/* ---- open peers ---- */

#define CROWD 6

static void least_recently_used_idle_peers_close_above_the_limit(void **state)
{
    struct lab_node *hub = lab_start(&lab, 0);
    struct uv_peer *peers[CROWD];
    (void)state;
    hub->net->open_peers_idle_max = 3;
    hub->net->idle_ms = 100;
    for (int i = 0; i < CROWD; i++) {
        struct lab_node *node = lab_start(&lab, i + 1);
        peers[i] = lab_learn(hub, node, NULL);
        assert_int_equal(lab_send(hub, peers[i], NET_CONTROL, 1, 64), 0);
        LAB_WAIT(&lab, node->frames_n == 1);
    }
    assert_int_equal(hub->net->open_peers_n, CROWD);
    LAB_WAIT(&lab, hub->net->open_peers_n == 3);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(uv_peer_is_open(peers[i], NET_CONTROL), i >= CROWD - 3);
    LAB_WAIT(&lab, hub->closed == CROWD - 3);
    LAB_WAIT(&lab, lab.nodes[1].closed == 1);
    /* It is there again when it is needed, from either side. */
    assert_int_equal(lab_send(hub, peers[0], NET_CONTROL, 2, 64), 0);
    LAB_WAIT(&lab, lab.nodes[1].frames_n == 2);
    assert_int_equal(lab_send(&lab.nodes[2], lab_peer(&lab.nodes[2], hub), NET_CONTROL, 3, 64), 0);
    LAB_WAIT(&lab, hub->frames_n == 1);
}

static bool all_in_use(void *user, struct uv_peer *peer)
{
    (void)user;
    (void)peer;
    return true;
}

static void beyond_the_most_open_peers_an_idle_one_gives_way(void **state)
{
    struct lab_node *hub = lab_start(&lab, 0);
    (void)state;
    hub->net->open_peers_max = 3;
    for (int i = 1; i <= 4; i++) {
        struct lab_node *node = lab_start(&lab, i);
        lab_dial(node, hub->address);
        LAB_WAIT(&lab, node->dials_done == 1);
        assert_int_equal(node->dial_status, 0);
    }
    LAB_WAIT(&lab, lab.nodes[1].closed == 1);
    assert_int_equal(hub->net->open_peers_n, 3);
    hub->net->events.in_use = all_in_use;
    struct lab_node *late = lab_start(&lab, 5);
    lab_dial(late, hub->address);
    LAB_WAIT(&lab, late->dials_done == 1);
    assert_int_equal(late->dial_status, KITH_E_UNREACHABLE);
    assert_int_equal(hub->net->open_peers_n, 3);
}

/* ---- a peer that lost its end ---- */

static void a_second_stream_replaces_one_whose_other_end_is_gone(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *to_b = lab_learn(a, b, NULL);
    (void)state;
    assert_int_equal(lab_send(a, to_b, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    /* A forgets its stream without a word: B's end hangs, as after a silent network. */
    struct uvn_stream *stream = to_b->chans[NET_RPC].stream;
    to_b->chans[NET_RPC].stream = NULL;
    stream->chan = NULL;
    stream->peer = NULL;
    uv_read_stop((uv_stream_t *)&stream->tcp);
    for (int i = 0; i < UVN_HOT_MAX; i++)
        if (a->net->hot[i] == stream)
            a->net->hot[i] = NULL;
    a->net->stats.streams_open--;
    assert_int_equal(lab_send(a, to_b, NET_RPC, 2, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 2);
    assert_int_equal(b->frames[1].number, 2);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->opened, 2);
}

static void keep_alive_ends_a_stream_that_does_not_answer(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *to_b = lab_learn(a, b, NULL);
    (void)state;
    assert_int_equal(lab_send(a, to_b, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    /* An idle stream is asked, and answers. */
    struct uvn_stream *stream = to_b->chans[NET_RPC].stream;
    stream->rx_ms = uvn_now_ms() - UVN_KEEPALIVE_IDLE_MS;
    uvn_timer_set(a->net, &stream->timer, uvn_now_ms());
    LAB_WAIT(&lab, stream->pinged);
    LAB_WAIT(&lab, !stream->pinged);
    assert_int_equal(a->closed, 0);
    /* Then the other end does not read any more. */
    struct uvn_stream *deaf = lab_peer(b, a)->chans[NET_RPC].stream;
    uv_read_stop((uv_stream_t *)&deaf->tcp);
    stream->rx_ms = uvn_now_ms() - UVN_KEEPALIVE_IDLE_MS;
    uvn_timer_set(a->net, &stream->timer, uvn_now_ms());
    LAB_WAIT(&lab, stream->pinged);
    stream->ping_ms = uvn_now_ms() - UVN_KEEPALIVE_ANSWER_MS;
    uvn_timer_set(a->net, &stream->timer, uvn_now_ms());
    LAB_WAIT(&lab, a->closed == 1);
    assert_non_null(strstr(a->close_reason, "keep-alive"));
}

/* ---- ports ---- */

static void a_port_in_use_is_a_clear_error(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    struct uv_net_config config;
    (void)state;
    lab_config(b, &config);
    config.listen = a->address;
    assert_int_equal(uv_net_open(&b->net, &config), KITH_E_IN_USE);
    assert_non_null(strstr(kith_errmsg(), "--listen"));
    config.listen = "203.0.113.7:0";
    assert_int_equal(uv_net_open(&b->net, &config), KITH_E_INVALID);
    config.listen = "nonsense";
    assert_int_equal(uv_net_open(&b->net, &config), KITH_E_INVALID);
    assert_null(b->net);
}

static void the_kept_port_is_tried_first(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    struct uv_net_config config;
    (void)state;
    uint16_t port = uv_net_port(a->net);
    lab_config(b, &config);
    config.port_kept = port;
    /* Busy: another one is taken. */
    assert_int_equal(uv_net_open(&b->net, &config), 0);
    assert_int_not_equal(uv_net_port(b->net), port);
    lab_stop(b);
    lab_stop(a);
    assert_int_equal(uv_net_open(&b->net, &config), 0);
    assert_int_equal(uv_net_port(b->net), port);
}

static void both_families_reach_a_wildcard_listener(void **state)
{
    struct lab_node *a = lab_node(&lab, 0, 1), *b = lab_start(&lab, 1);
    struct uv_net_config config;
    char address[64], addresses[16][KITH_ADDRESS_TEXT_MAX + 1];
    (void)state;
    lab_config(a, &config);
    config.listen = "[::]:0";
    assert_int_equal(uv_net_open(&a->net, &config), 0);
    unsigned port = uv_net_port(a->net);
    assert_true(uv_net_addresses(a->net, addresses, 16) >= 1);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    lab_dial(b, address);
    LAB_WAIT(&lab, b->dials_done == 1);
    assert_int_equal(b->dial_status, 0);
    assert_string_equal(uv_peer_address(lab_peer(b, a)), address);
    /* The dual-stack socket answers an IPv4 datagram to an IPv4 address. */
    assert_int_equal(uv_net_send_datagram(b->net, lab_peer(b, a), "x", 1), 0);
    LAB_WAIT(&lab, a->datagrams == 1);
    assert_int_equal(uv_net_send_datagram(a->net, lab_peer(a, b), "y", 1), 0);
    LAB_WAIT(&lab, b->datagrams == 1);
    if (!a->net->udp_v6)
        return; /* IPv6 is off here */
    uv_net_disconnect(b->net, lab_peer(b, a), "now by IPv6");
    LAB_WAIT(&lab, b->closed == 1 && a->closed == 1);
    (void)snprintf(address, sizeof(address), "[::1]:%u", port);
    lab_dial(b, address);
    LAB_WAIT(&lab, b->dials_done == 2);
    assert_int_equal(b->dial_status, 0);
    assert_string_equal(uv_peer_address(lab_peer(b, a)), address);
}

/* ---- endings ---- */

static void closing_with_everything_in_flight_leaves_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1), *c = lab_start(&lab, 2);
        struct uv_peer *to_b = lab_learn(a, b, NULL), *to_c = lab_learn(a, c, NULL);
        struct uv_peer *to_a = lab_learn(b, a, NULL);
        struct kith_bytes none = {NULL, 0};
        uint16_t port;
        char address[64];
        int listener = raw_listen(&port);
        released = 0;
        (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
        lab_dial(a, address);
        lab_dial(a, "no-such-host.invalid:1");
        int stranger = raw_connect(uv_net_port(a->net), 3);
        for (int i = 0; i < 2; i++) {
            void *body = calloc(1, 8 << 20);
            (void)uv_net_send_take(a->net, i == 0 ? to_b : to_c, NET_RPC, FRAME_CALL, none,
                                   (struct kith_bytes){body, 8 << 20}, on_release, body);
        }
        for (uint32_t i = 0; i < 50; i++) {
            (void)lab_send(a, to_b, (enum net_class)(i % 3), i, 50000);
            (void)lab_send(b, to_a, (enum net_class)(i % 3), i, 50000);
            (void)uv_net_send_datagram(a->net, to_b, "z", 1);
        }
        uint64_t until = uv_hrtime() + (uint64_t)LAB_WAIT_MS * 1000000;
        for (int turn = 0; turn < round * 2; turn++)
            lab_turn(&lab, until, "turns", __FILE__, __LINE__);
        unsigned dials = a->dials_done;
        lab_stop(a);
        assert_int_equal(a->dials_done, 2);
        assert_true(dials <= 2);
        assert_int_equal(released, 2);
        lab_stop(b);
        lab_stop(c);
        raw_close(stranger);
        raw_close(listener);
    }
}

static void forget_in_frame(struct lab_node *node, struct uv_peer *peer, struct net_frame *frame)
{
    (void)frame;
    node->frames_n++;
    node->on_frame = NULL;
    uv_net_forget(node->net, peer);
}

static void a_peer_may_be_forgotten_in_its_own_callback(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    b->on_frame = forget_in_frame;
    for (uint32_t i = 0; i < 30; i++)
        assert_int_equal(lab_send(a, peer, (enum net_class)(i % 3), i, 1000), 0);
    LAB_WAIT(&lab, a->closed >= 1);
    LAB_WAIT(&lab, b->frames_n >= 1);
    /* It is a stranger with the right secret: it may come back. */
    LAB_FOR_MS(&lab, 20);
    unsigned before = b->frames_n;
    assert_int_equal(lab_send(a, peer, NET_RPC, 1, 100), 0);
    LAB_WAIT(&lab, b->frames_n > before);
}

static void close_in_frame(struct lab_node *node, struct uv_peer *peer, struct net_frame *frame)
{
    (void)peer;
    (void)frame;
    node->on_frame = NULL;
    struct uv_net *net = node->net;
    node->net = NULL;
    uv_net_close(net, NULL, NULL);
}

static void the_net_may_be_closed_in_a_callback(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    b->on_frame = close_in_frame;
    for (uint32_t i = 0; i < 30; i++)
        assert_int_equal(lab_send(a, peer, (enum net_class)(i % 3), i, 1000), 0);
    LAB_WAIT(&lab, a->closed >= 1 && b->net == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(full_queue_refuses_and_says_when_it_drained),
        CASE(room_of_a_stream_shrinks_and_its_return_is_told),
        CASE(release_runs_once_on_every_failure),
        CASE(backoff_refuses_at_once_and_grows),
        CASE(dials_are_bounded_and_all_come_to_an_end),
        CASE(bulk_keeps_within_its_window_and_delays_no_call),
        CASE(bulk_beyond_the_window_ends_the_stream),
        CASE(least_recently_used_idle_peers_close_above_the_limit),
        CASE(beyond_the_most_open_peers_an_idle_one_gives_way),
        CASE(a_second_stream_replaces_one_whose_other_end_is_gone),
        CASE(keep_alive_ends_a_stream_that_does_not_answer),
        CASE(a_port_in_use_is_a_clear_error),
        CASE(the_kept_port_is_tried_first),
        CASE(both_families_reach_a_wildcard_listener),
        CASE(closing_with_everything_in_flight_leaves_nothing),
        CASE(a_peer_may_be_forgotten_in_its_own_callback),
        CASE(the_net_may_be_closed_in_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
