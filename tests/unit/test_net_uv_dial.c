/* Streams that were asked for and do not come: whoever asked is told, and may ask again. */
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
#include "core/rng.h"
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

static unsigned answers(const struct lab_node *node)
{
    return node->opened + node->unreachable + node->given_up;
}

static bool is_served(const struct lab_node *node)
{
    return list_empty(&node->net->dials) && list_empty(&node->net->dials_waiting) &&
           list_empty(&node->net->given_up) && node->net->attempts_n == 0;
}

/* ---- somebody in between ---- */

struct tap {
    int listener, near, far;
    uint16_t far_port;
    size_t answered, spoil_at; /* the byte of the side that is dialled that gets changed; 0: none */
    size_t forwarded, stop_at; /* no byte of the dialling side from here on; 0: all */
};

static void tap_open(struct tap *tap, uint16_t far_port, char address[64])
{
    uint16_t port;
    *tap = (struct tap){.near = -1, .far = -1, .far_port = far_port};
    tap->listener = raw_listen(&port);
    (void)snprintf(address, 64, "127.0.0.1:%u", (unsigned)port);
}

/* Moves what waits, once. */
static void tap_forward(struct tap *tap)
{
    uint8_t bytes[65536];
    size_t len = sizeof(bytes);
    int n;
    if (tap->near < 0 && (tap->near = raw_accept(tap->listener)) >= 0)
        tap->far = raw_connect(tap->far_port, 1);
    if (tap->near < 0)
        return;
    if (tap->stop_at != 0 && tap->stop_at - tap->forwarded < len)
        len = tap->stop_at - tap->forwarded;
    if (len > 0 && (n = raw_read(tap->near, bytes, len)) > 0) {
        tap->forwarded += (size_t)n;
        raw_send(tap->far, bytes, (size_t)n);
    }
    if ((n = raw_read(tap->far, bytes, sizeof(bytes))) > 0) {
        if (tap->spoil_at > tap->answered && tap->spoil_at <= tap->answered + (size_t)n)
            bytes[tap->spoil_at - tap->answered - 1] ^= 1;
        tap->answered += (size_t)n;
        raw_send(tap->near, bytes, (size_t)n);
    }
}

static void tap_close(struct tap *tap)
{
    raw_close(tap->listener);
    raw_close(tap->near);
    raw_close(tap->far);
}

/* ---- disconnecting ---- */

/* Of the only attempt; UVN_CLOSED if there is none. */
static enum uvn_state attempt_state(const struct uvn_chan *chan)
{
    if (chan->dial == NULL || list_empty(&chan->dial->attempts))
        return UVN_CLOSED;
    return container_of(list_first(&chan->dial->attempts), struct uvn_stream, dial_link)->state;
}

/* At @how of an opening whose answering side gets @bytes and no more. */
static void disconnect_at(enum uvn_state how, size_t bytes)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct tap tap;
    char address[64];
    tap_open(&tap, uv_net_port(b->net), address);
    tap.stop_at = bytes;
    struct uv_peer *peer = lab_learn(a, b, address);
    struct uvn_chan *chan = &peer->chans[NET_RPC];
    assert_int_equal(uv_net_connect(a->net, peer, NET_RPC), 0);
    LAB_WAIT(&lab, (tap_forward(&tap), how == UVN_CLOSED || attempt_state(chan) == how));
    uv_net_disconnect(a->net, peer, "asked to");
    assert_int_equal(answers(a), 0); /* never from inside a call */
    LAB_WAIT(&lab, answers(a) == 1);
    assert_int_equal(a->given_up, 1);
    assert_true(is_served(a));
    tap_close(&tap);
    (void)lab_learn(a, b, NULL);
    assert_int_equal(lab_send(a, peer, NET_RPC, 7, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    assert_int_equal(a->opened, 1);
    assert_int_equal(a->given_up + a->unreachable, 1);
    lab_stop(a);
    lab_stop(b);
}

static void disconnecting_while_a_stream_is_being_opened_is_told(void **state)
{
    (void)state;
    disconnect_at(UVN_CLOSED, 1); /* no attempt has begun */
    disconnect_at(UVN_HANDSHAKE, 1);
    disconnect_at(UVN_HELLO, 80); /* message 3 is out and does not arrive */
}

/* What is asked for again before the news of the end is told gets one answer: the stream. */
static void asking_again_at_once_gets_the_stream(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lab_send(a, peer, NET_RPC, 1, 64), 0); /* lost with its dial */
        uv_net_disconnect(a->net, peer, "asked to");
    }
    assert_int_equal(lab_send(a, peer, NET_RPC, 2, 64), 0);
    LAB_WAIT(&lab, b->frames_n == 1);
    assert_int_equal(b->frames[0].number, 2);
    LAB_FOR_MS(&lab, 20);
    assert_int_equal(a->opened, 1);
    assert_int_equal(a->given_up + a->unreachable + a->closed, 0);
    assert_true(is_served(a));
}

/* Both ends open and disconnect at random, also both at once: each that was asked for is answered.
 */
static void random_disconnects_leave_nothing_unanswered(void **state)
{
    struct lab_node *nodes[2] = {lab_start(&lab, 0), lab_start(&lab, 1)};
    struct uv_peer *peers[2] = {lab_learn(nodes[0], nodes[1], NULL),
                                lab_learn(nodes[1], nodes[0], NULL)};
    uint64_t seed = uv_hrtime();
    struct rng rng;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&rng, seed);
    for (int i = 0; i < 2000; i++) {
        size_t at = (size_t)rng_below(&rng, 2);
        switch (rng_below(&rng, 6)) {
        case 0:
            uv_net_disconnect(nodes[at]->net, peers[at], "asked to");
            break;
        case 1:
            uv_net_disconnect(nodes[0]->net, peers[0], "both");
            uv_net_disconnect(nodes[1]->net, peers[1], "both");
            break;
        case 2:
        case 3:
            assert_int_equal(uv_net_connect(nodes[at]->net, peers[at], NET_RPC), 0);
            break;
        default:
            lab_turn(&lab, UINT64_MAX, "", __FILE__, __LINE__);
            break;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        struct uvn_chan *chan = &peers[i]->chans[NET_RPC];
        LAB_WAIT(&lab, !chan->wanted);
        LAB_WAIT(&lab, is_served(nodes[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        nodes[i]->frames_n = 0;
        assert_int_equal(uv_net_connect(nodes[i]->net, peers[i], NET_RPC), 0);
        LAB_WAIT(&lab, uv_peer_is_open(peers[i], NET_RPC));
    }
}

/* ---- answers that are none ---- */

/* In message 2, in the length of the record that has the Hello, and in that record. */
static void answer_that_is_damaged_ends_the_dial(void **state)
{
    static const size_t spoils[] = {1, 40, 97, 99, 150};
    (void)state;
    for (unsigned i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
        struct tap tap;
        char address[64];
        tap_open(&tap, uv_net_port(b->net), address);
        tap.spoil_at = spoils[i];
        struct uv_peer *peer = lab_learn(a, b, address);
        a->net->handshake_ms = 300; /* a length that promises more is noticed by that */
        assert_int_equal(uv_net_connect(a->net, peer, NET_RPC), 0);
        LAB_WAIT(&lab, (tap_forward(&tap), answers(a) == 1));
        assert_int_equal(a->unreachable, 1);
        assert_string_not_equal(a->unreachable_reason, "");
        assert_string_not_equal(a->unreachable_reason, "no address to try");
        assert_true(is_served(a));
        tap_close(&tap);
        /* Nothing of it is in the way of the next. */
        (void)lab_learn(a, b, NULL);
        assert_int_equal(uv_net_connect(a->net, peer, NET_RPC), 0);
        LAB_WAIT(&lab, a->opened == 1);
        lab_stop(a);
        lab_stop(b);
    }
}

/*
 * Both open at once, and the lower one's own connection fails after message 3: it takes the peer's,
 * which it had parked, and does not call the peer unreachable.
 */
static void parked_connection_answers_when_our_own_fails(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    if (memcmp(a->identity.id.bytes, b->identity.id.bytes, KITH_NODE_ID_BYTES) > 0) {
        struct lab_node *higher = a;
        a = b;
        b = higher;
    }
    struct tap tap;
    char address[64];
    tap_open(&tap, uv_net_port(b->net), address);
    tap.stop_at = 80; /* preamble and message 1: B waits for message 3 */
    struct uv_peer *to_b = lab_learn(a, b, address), *to_a = lab_learn(b, a, NULL);
    struct uvn_chan *chan = &to_b->chans[NET_RPC];
    assert_int_equal(lab_send(a, to_b, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, (tap_forward(&tap), chan->dial->chosen != NULL));
    assert_int_equal(uv_net_connect(b->net, to_a, NET_RPC), 0);
    LAB_WAIT(&lab, (tap_forward(&tap), chan->parked != NULL));
    assert_int_equal(answers(a), 0);
    tap_close(&tap);
    LAB_WAIT(&lab, answers(a) > 0 && b->frames_n == 1); /* nor was what waited lost */
    assert_int_equal(a->opened, 1);
    assert_int_equal(a->unreachable + a->given_up, 0);
    LAB_WAIT(&lab, is_served(a));
}

/* Likewise, but the peer's own connection goes, too, before anything comes of it. */
static void parked_connection_that_goes_is_told(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct uv_peer *to_b = lab_learn(a, b, NULL);
    struct uvn_chan *chan = &to_b->chans[NET_RPC];
    (void)state;
    assert_int_equal(uv_net_connect(a->net, to_b, NET_RPC), 0);
    LAB_WAIT(&lab, a->opened == 1 && b->opened == 1);
    /* B opens another one, as if it had lost the first; A parks it. */
    struct uvn_chan *chan_b = &lab_peer(b, a)->chans[NET_RPC];
    struct uvn_stream *first = chan->stream;
    uv_read_stop((uv_stream_t *)&first->tcp); /* the end of the first is not seen before */
    uvn_stream_close(chan_b->stream, "lost");
    (void)lab_learn(b, a, NULL);
    assert_int_equal(uv_net_connect(b->net, lab_peer(b, a), NET_RPC), 0);
    LAB_WAIT(&lab, chan->parked != NULL);
    uvn_stream_close(first, "lost");
    assert_int_equal(uv_net_connect(a->net, to_b, NET_RPC), 0); /* the parked one is awaited */
    assert_null(chan->dial);
    uvn_stream_close(chan->parked, "lost");
    LAB_WAIT(&lab, a->closed == 1 && a->given_up == 1);
    assert_false(chan->wanted);
    assert_int_equal(uv_net_connect(a->net, to_b, NET_RPC), 0);
    LAB_WAIT(&lab, uv_peer_is_open(to_b, NET_RPC));
}

/* ---- many ---- */

/* A dial that waits for room among too many goes on when one of those is given up. */
static void dial_that_waits_goes_on_when_another_is_given_up(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1), *c = lab_start(&lab, 2);
    char address[64];
    uint16_t port;
    int deaf = raw_listen(&port); /* the kernel accepts, nobody answers */
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct uv_peer *to_b = lab_learn(a, b, address), *to_c = lab_learn(a, c, NULL);
    assert_int_equal(uv_net_connect(a->net, to_b, NET_RPC), 0);
    LAB_WAIT(&lab, a->net->attempts_n == 1);
    a->net->attempts_n += NET_DIALS_MAX - 1; /* as if so many were under way */
    assert_int_equal(uv_net_connect(a->net, to_c, NET_RPC), 0);
    struct uvn_dial *waits = to_c->chans[NET_RPC].dial;
    LAB_WAIT(&lab, !heap_contains(&waits->timer.node));
    assert_false(waits->begun);
    a->net->attempts_n -= NET_DIALS_MAX - 1;
    uv_net_disconnect(a->net, to_b, "asked to");
    LAB_WAIT(&lab, a->opened == 1 && a->given_up == 1);
    assert_true(is_served(a));
    raw_close(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disconnecting_while_a_stream_is_being_opened_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(asking_again_at_once_gets_the_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(random_disconnects_leave_nothing_unanswered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(answer_that_is_damaged_ends_the_dial, setup, teardown),
        cmocka_unit_test_setup_teardown(parked_connection_answers_when_our_own_fails, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(parked_connection_that_goes_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(dial_that_waits_goes_on_when_another_is_given_up, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
