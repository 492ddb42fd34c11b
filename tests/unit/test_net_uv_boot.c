/* Datagrams and boot numbers: sealed, once only, and only of this life of both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/net_lab.h"
#include "../lib/net_raw.h"
#include "kith/error.h"

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

static struct uv_net_stats stats_of(const struct lab_node *node)
{
    struct uv_net_stats stats;
    uv_net_stats(node->net, &stats);
    return stats;
}

static void both_know(struct lab_node *a, struct lab_node *b)
{
    lab_dial(a, b->address);
    LAB_WAIT(&lab, a->opened == 1 && b->opened == 1);
}

static void datagrams_travel_both_ways(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint8_t body[1200];
    (void)state;
    both_know(a, b);
    size_t max = uv_net_datagram_bytes_max();
    memset(body, 7, sizeof(body));
    assert_int_equal(uv_net_send_datagram(a->net, lab_peer(a, b), body, max), 0);
    LAB_WAIT(&lab, b->datagrams == 1);
    assert_int_equal(b->datagram_len, max);
    assert_memory_equal(b->datagram, body, max);
    assert_ptr_equal(b->last_peer, lab_peer(b, a));
    assert_int_equal(uv_net_send_datagram(b->net, lab_peer(b, a), "yes", 3), 0);
    LAB_WAIT(&lab, a->datagrams == 1);
    assert_memory_equal(a->datagram, "yes", 3);
    assert_int_equal(uv_net_send_datagram(a->net, lab_peer(a, b), body, 0), 0);
    LAB_WAIT(&lab, b->datagrams == 2);
    assert_int_equal(uv_net_send_datagram(a->net, lab_peer(a, b), body, max + 1), KITH_E_TOO_LARGE);
}

static void first_datagram_makes_the_boots_known(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    /* They know each other's keys, but have never spoken. */
    struct uv_peer *to_b = lab_learn(a, b, NULL);
    (void)lab_learn(b, a, NULL);
    assert_int_equal(uv_peer_boot_no(to_b), 0);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "one", 3), 0);
    LAB_WAIT(&lab, uv_peer_boot_no(to_b) == 1);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "two", 3), 0);
    LAB_WAIT(&lab, b->datagrams >= 1);
    assert_memory_equal(b->datagram, "two", 3);
}

static void replayed_and_changed_datagrams_are_dropped(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint16_t port;
    int tap = raw_udp(&port), n;
    uint8_t bytes[1500];
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    (void)lab_learn(b, a, NULL);
    struct uv_peer *to_b = lab_learn(a, b, address); /* A believes that the tap is B */
    uv_net_seen_boot(a->net, to_b, 1);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "once", 4), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, bytes, sizeof(bytes))) > 0);
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, b->datagrams == 1);
    for (int i = 0; i < 3; i++)
        raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 3);
    for (int i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
        bytes[i] ^= 0x10;
        LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 4u + (unsigned)i);
    }
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 3u + (unsigned)n);
    assert_int_equal(b->datagrams, 1);
    /* Strangers. */
    for (int i = 0; i < 100; i++) {
        memset(bytes, i, sizeof(bytes));
        raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)i * 14 + 1);
        LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 4u + (unsigned)(n + i));
    }
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 103u + (unsigned)n);
    /* Nothing was answered to any of it. */
    assert_int_equal(raw_read(tap, bytes, sizeof(bytes)), 0);
    raw_close(tap);
}

static void forgetting_a_peer_opens_no_door_to_replays(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint16_t port;
    int tap = raw_udp(&port), n;
    uint8_t bytes[1500];
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct uv_peer *to_b = lab_learn(a, b, address);
    uv_net_seen_boot(a->net, to_b, 1);
    (void)lab_learn(b, a, NULL);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "once", 4), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, bytes, sizeof(bytes))) > 0);
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, b->datagrams == 1);
    uv_net_forget(b->net, lab_peer(b, a));
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 1);
    assert_int_equal(uv_peer_boot_no(lab_learn(b, a, NULL)), 1);
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 2);
    assert_int_equal(b->datagrams, 1);
    /* And what A sends next still gets through. */
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "next", 4), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, bytes, sizeof(bytes))) > 0);
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, b->datagrams == 2);
    raw_close(tap);
}

/* B learns and forgets others that it knows a boot of: those of @from to below @to. */
static void forget_others(struct lab_node *b, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        struct net_identity other;
        struct uv_peer *peer;
        uint8_t seed[NET_SEED_BYTES] = {0xee};
        memcpy(seed + 1, &i, sizeof(i));
        assert_int_equal(net_identity_from_seed(&other, seed), 0);
        assert_int_equal(uv_net_learn(b->net, &other.id, other.sign_pk, NULL, 0, &peer), 0);
        uv_net_seen_boot(b->net, peer, 1);
        assert_int_equal(uv_peer_boot_no(peer), 1);
        uv_net_forget(b->net, peer);
    }
}

static void at_the_limit_of_forgotten_peers_the_oldest_goes(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint16_t port;
    int tap = raw_udp(&port), n;
    uint8_t old[1500], bytes[1500];
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct uv_peer *to_b = lab_learn(a, b, address);
    uv_net_seen_boot(a->net, to_b, 1);
    (void)lab_learn(b, a, NULL);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "once", 4), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, old, sizeof(old))) > 0);
    size_t old_len = (size_t)n;
    raw_send_to(tap, uv_net_port(b->net), old, old_len);
    LAB_WAIT(&lab, b->datagrams == 1);

    uv_net_forget(b->net, lab_peer(b, a));
    forget_others(b, 1, NET_FORGOTTEN_MAX);
    /* Learned and forgotten once more without a datagram: it stays what it was. */
    uv_net_forget(b->net, lab_learn(b, a, NULL));
    forget_others(b, 1, NET_FORGOTTEN_MAX);
    assert_int_equal(uv_peer_boot_no(lab_learn(b, a, NULL)), 1);
    raw_send_to(tap, uv_net_port(b->net), old, old_len);
    LAB_WAIT(&lab, stats_of(b).datagrams_dropped == 1);
    assert_int_equal(b->datagrams, 1);
    /* What A says now is heard. */
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "next", 4), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, bytes, sizeof(bytes))) > 0);
    raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    LAB_WAIT(&lab, b->datagrams == 2);

    /* One beyond the limit, and it is the oldest. */
    uv_net_forget(b->net, lab_peer(b, a));
    forget_others(b, 1, NET_FORGOTTEN_MAX + 1);
    assert_int_equal(uv_peer_boot_no(lab_learn(b, a, NULL)), 0);
    raw_close(tap);
}

static void datagrams_of_an_earlier_life_are_dropped(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint16_t port;
    int tap = raw_udp(&port), n, m;
    uint8_t bytes[1500], answer[1500];
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct uv_peer *to_b = lab_learn(a, b, address);
    uv_net_seen_boot(a->net, to_b, 1);
    assert_int_equal(uv_net_send_datagram(a->net, to_b, "old", 3), 0);
    LAB_WAIT(&lab, (n = raw_read(tap, bytes, sizeof(bytes))) > 0);
    /* B starts anew: the datagram names its boot 1. */
    lab_stop(b);
    b = lab_node(&lab, 1, 1);
    b->boot_no = 2;
    lab_listen(b);
    (void)lab_learn(b, a, NULL);
    for (int i = 0; i < 5; i++)
        raw_send_to(tap, uv_net_port(b->net), bytes, (size_t)n);
    /* One answer, not longer than what was asked, and no more within a second. */
    LAB_WAIT(&lab, (m = raw_read(tap, answer, sizeof(answer))) > 0);
    assert_true(m <= n);
    LAB_FOR_MS(&lab, 20);
    assert_int_equal(raw_read(tap, answer + m, sizeof(answer) - (size_t)m), 0);
    assert_int_equal(b->datagrams, 0);
    raw_send_to(tap, uv_net_port(a->net), answer, (size_t)m);
    LAB_WAIT(&lab, uv_peer_boot_no(to_b) == 2);
    assert_int_equal(a->datagrams, 0);
    raw_close(tap);
}

static void a_restored_snapshot_bumps_its_boot_and_gets_in(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    (void)state;
    b->boot_no = 5;
    lab_listen(b);
    lab_dial(b, a->address);
    LAB_WAIT(&lab, a->opened == 1);
    lab_stop(b);
    LAB_WAIT(&lab, a->closed == 1);
    for (uint64_t boot = 5; boot >= 3; boot -= 2) {
        /* The same number again (a copy), then a lower one (an older copy). */
        b = lab_node(&lab, 1, 1);
        b->boot_no = boot;
        lab_listen(b);
        unsigned opened = a->opened;
        uint64_t known = uv_peer_boot_no(lab_peer(a, b));
        lab_dial(b, a->address);
        LAB_WAIT(&lab, b->dials_done == 1);
        assert_int_equal(b->dial_status, 0);
        assert_int_equal(b->stale_boots, 1);
        LAB_WAIT(&lab, a->opened == opened + 1);
        assert_int_equal(a->last_boot_no, known + 1);
        assert_int_equal(uv_peer_boot_no(lab_peer(a, b)), known + 1);
        lab_stop(b);
        LAB_WAIT(&lab, a->closed == opened + 1);
    }
}

static void a_dialled_node_with_a_stale_boot_is_told(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    struct uv_peer *peer = lab_learn(a, b, NULL);
    uv_net_seen_boot(a->net, peer, 7); /* from the peer cache */
    lab_dial(a, b->address);
    LAB_WAIT(&lab, b->stale_boots == 1);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(b->boot_no, 8);
    if (!uv_peer_is_open(peer, NET_CONTROL))
        lab_dial(a, b->address);
    LAB_WAIT(&lab, a->opened == 1 && b->opened >= 1 && uv_peer_is_open(peer, NET_CONTROL));
    assert_int_equal(a->last_boot_no, 8);
}

static void no_way_in_if_the_boot_cannot_be_raised(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    (void)state;
    (void)lab_learn(a, b, NULL);
    uv_net_seen_boot(a->net, lab_peer(a, b), 9);
    b->refuse_stale = true;
    lab_dial(b, a->address);
    LAB_WAIT(&lab, b->dials_done == 1);
    assert_int_not_equal(b->dial_status, 0);
    assert_int_equal(a->opened, 0);
}

static unsigned closed_at_open;

static void a_higher_boot_ends_the_streams_of_the_lower(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b1 = lab_start(&lab, 1), *b2 = lab_node(&lab, 2, 1);
    (void)state;
    b2->identity = b1->identity;
    b2->boot_no = 2;
    lab_listen(b2);
    both_know(b1, a);
    assert_int_equal(lab_send(b1, lab_peer(b1, a), NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 1);
    closed_at_open = 0;
    assert_int_equal(a->opened, 2);
    lab_dial(b2, a->address);
    LAB_WAIT(&lab, b2->dials_done == 1 && a->opened == 3);
    assert_int_equal(b2->dial_status, 0);
    assert_int_equal(a->closed, 2);
    assert_string_equal(a->close_reason, "the node was started anew");
    assert_int_equal(a->last_boot_no, 2);
    LAB_WAIT(&lab, b1->closed == 2);
}

static void a_datagram_of_a_higher_boot_ends_the_streams_of_the_lower(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b1 = lab_start(&lab, 1), *b2 = lab_node(&lab, 2, 1);
    (void)state;
    b2->identity = b1->identity;
    b2->boot_no = 2;
    lab_listen(b2);
    both_know(b1, a);
    struct uv_peer *peer = lab_learn(b2, a, NULL);
    uv_net_seen_boot(b2->net, peer, 1);
    assert_int_equal(uv_net_send_datagram(b2->net, peer, "new", 3), 0);
    LAB_WAIT(&lab, a->datagrams == 1);
    assert_int_equal(a->closed, 1);
    assert_int_equal(a->last_boot_no, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(datagrams_travel_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(first_datagram_makes_the_boots_known, setup, teardown),
        cmocka_unit_test_setup_teardown(replayed_and_changed_datagrams_are_dropped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(at_the_limit_of_forgotten_peers_the_oldest_goes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(forgetting_a_peer_opens_no_door_to_replays, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(datagrams_of_an_earlier_life_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restored_snapshot_bumps_its_boot_and_gets_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dialled_node_with_a_stale_boot_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(no_way_in_if_the_boot_cannot_be_raised, setup, teardown),
        cmocka_unit_test_setup_teardown(a_higher_boot_ends_the_streams_of_the_lower, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_datagram_of_a_higher_boot_ends_the_streams_of_the_lower,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
