/* Strangers at the door: other clusters, wrong secrets, other versions, garbage, floods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/net_lab.h"
#include "../lib/net_raw.h"
#include "kith/error.h"
#include "net/preamble.h"
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

static struct uv_net_stats stats_of(const struct lab_node *node)
{
    struct uv_net_stats stats;
    uv_net_stats(node->net, &stats);
    return stats;
}

static unsigned lines_with(const struct lab_node *node, const char *text)
{
    unsigned n = 0;
    for (const char *at = node->log_text; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    return n;
}

static void other_cluster_is_refused_and_both_logs_say_so(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 2);
    (void)state;
    lab_listen(b);
    for (unsigned i = 1; i <= 3; i++) {
        lab_dial(a, b->address);
        LAB_WAIT(&lab, a->dials_done == i);
        assert_int_equal(a->dial_status, KITH_E_OTHER_CLUSTER);
    }
    assert_int_equal(stats_of(a).refused_cluster, 3);
    assert_int_equal(stats_of(b).refused_cluster, 3);
    /* Once a minute, and with the command that helps. */
    assert_int_equal(lines_with(a, "different clusters"), 1);
    assert_int_equal(lines_with(b, "different clusters"), 1);
    assert_int_equal(lines_with(a, "kith join TOKEN"), 1);
    assert_int_equal(lines_with(b, "kith invite"), 1);
    assert_int_equal(a->opened + b->opened, 0);
}

static void wrong_secret_is_refused_and_both_logs_say_so(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    (void)state;
    b->cluster.secret[7] ^= 1;
    lab_listen(b);
    lab_dial(a, b->address);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(a->dial_status, KITH_E_SECRET);
    assert_int_equal(lines_with(a, "secrets"), 1);
    assert_int_equal(lines_with(b, "secrets"), 1);
    assert_int_equal(stats_of(b).refused_secret, 1);
    assert_int_equal(a->opened + b->opened, 0);
}

static void known_peer_with_another_secret_is_unreachable(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_node(&lab, 1, 1);
    (void)state;
    b->cluster.secret[7] ^= 1;
    lab_listen(b);
    struct uv_peer *peer = lab_learn(a, b, NULL);
    assert_int_equal(lab_send(a, peer, NET_CONTROL, 1, 64), 0);
    LAB_WAIT(&lab, a->unreachable == 1);
    assert_int_equal(lines_with(a, "secrets"), 1);
}

/* A good preamble and message 1 but for the versions. */
static void preamble_of_version(const struct lab_node *node, uint8_t version, uint8_t out[80])
{
    struct net_cluster_keys keys;
    net_cluster_derive(&node->cluster, &keys);
    memset(out, 9, 80);
    preamble_encode(&keys, out + PREAMBLE_BYTES, out);
    out[6] = version;
    out[7] = version;
}

static void other_version_is_refused_by_one_byte(void **state)
{
    struct lab_node *a = lab_start(&lab, 0);
    uint8_t bytes[80], answer[16];
    int n;
    (void)state;
    preamble_of_version(a, 200, bytes);
    int fd = raw_connect(uv_net_port(a->net), 1);
    raw_send(fd, bytes, sizeof(bytes));
    LAB_WAIT(&lab, (n = raw_read(fd, answer, sizeof(answer))) != 0);
    assert_int_equal(n, 1);
    assert_int_equal(answer[0], PREAMBLE_REFUSED_VERSION);
    LAB_WAIT(&lab, raw_read(fd, answer, sizeof(answer)) == -1);
    assert_int_equal(stats_of(a).refused_version, 1);
    assert_int_equal(lines_with(a, "protocol versions"), 1);
    raw_close(fd);
}

static void being_refused_for_the_version_is_logged(void **state)
{
    struct lab_node *a = lab_start(&lab, 0);
    uint16_t port;
    int listener = raw_listen(&port), fd;
    uint8_t bytes[256] = {PREAMBLE_REFUSED_VERSION};
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    lab_dial(a, address);
    LAB_WAIT(&lab, (fd = raw_accept(listener)) >= 0);
    raw_send(fd, bytes, 1);
    LAB_WAIT(&lab, raw_read(fd, bytes, sizeof(bytes)) > 0);
    raw_close(fd);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(a->dial_status, KITH_E_VERSION);
    assert_int_equal(lines_with(a, "protocol versions"), 1);
    raw_close(listener);
}

static void garbage_is_closed_in_silence(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint8_t bytes[4096], answer[64];
    (void)state;
    struct uv_peer *peer = lab_learn(b, a, NULL);
    assert_int_equal(lab_send(b, peer, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 1);
    for (unsigned i = 0; i < 200; i++) {
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)(i * 13 + j * 29 + (j >> 3));
        size_t len = 1 + i * 20;
        if (i % 4 == 0) {
            /* Begins well. */
            preamble_of_version(a, 1, bytes);
            len = 40 + i;
        }
        int fd = raw_connect(uv_net_port(a->net), (uint8_t)(1 + i % 50));
        raw_send(fd, bytes, len);
        if (i % 3 == 0) {
            raw_reset(fd);
            continue;
        }
        if (i % 4 != 0) {
            int n;
            LAB_WAIT(&lab, (n = raw_read(fd, answer, sizeof(answer))) != 0);
            assert_int_equal(n, -1);
        }
        raw_close(fd);
    }
    LAB_WAIT(&lab, stats_of(a).handshakes_now == 0);
    assert_true(stats_of(a).handshakes_failed >= 100);
    /* The peer did not notice. */
    assert_int_equal(lab_send(b, peer, NET_RPC, 2, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 2);
    assert_int_equal(b->closed, 0);
}

static void full_handshake_table_evicts_the_oldest(void **state)
{
    static int fds[NET_HANDSHAKES_MAX + 8];
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    uint8_t answer[8];
    (void)state;
    a->net->handshake_ms = 600000;
    for (unsigned i = 0; i < NET_HANDSHAKES_MAX; i++) {
        fds[i] = raw_connect(uv_net_port(a->net), (uint8_t)(2 + i / 16));
        LAB_WAIT(&lab, stats_of(a).handshakes_now == i + 1);
    }
    assert_int_equal(stats_of(a).handshakes_evicted, 0);
    for (unsigned i = NET_HANDSHAKES_MAX; i < NET_HANDSHAKES_MAX + 8; i++)
        fds[i] = raw_connect(uv_net_port(a->net), (uint8_t)(2 + i / 16));
    LAB_WAIT(&lab, stats_of(a).handshakes_evicted == 8);
    for (unsigned i = 0; i < 8; i++)
        LAB_WAIT(&lab, raw_read(fds[i], answer, sizeof(answer)) == -1);
    assert_int_equal(raw_read(fds[8], answer, sizeof(answer)), 0);
    assert_int_equal(stats_of(a).handshakes_now, NET_HANDSHAKES_MAX);
    /* A real node still gets in. */
    lab_dial(b, a->address);
    LAB_WAIT(&lab, b->dials_done == 1);
    assert_int_equal(b->dial_status, 0);
    for (unsigned i = 0; i < NET_HANDSHAKES_MAX + 8; i++)
        raw_close(fds[i]);
    LAB_WAIT(&lab, stats_of(a).handshakes_now == 0);
}

static void one_address_may_not_fill_the_table(void **state)
{
    static int fds[NET_HANDSHAKES_PER_ADDR_MAX + 4];
    struct lab_node *a = lab_start(&lab, 0);
    uint8_t answer[8];
    (void)state;
    a->net->handshake_ms = 600000;
    for (unsigned i = 0; i < NET_HANDSHAKES_PER_ADDR_MAX + 4; i++)
        fds[i] = raw_connect(uv_net_port(a->net), 9);
    LAB_WAIT(&lab, stats_of(a).handshakes_evicted == 4);
    assert_int_equal(stats_of(a).handshakes_now, NET_HANDSHAKES_PER_ADDR_MAX);
    for (unsigned i = 0; i < 4; i++)
        LAB_WAIT(&lab, raw_read(fds[i], answer, sizeof(answer)) == -1);
    for (unsigned i = 0; i < NET_HANDSHAKES_PER_ADDR_MAX + 4; i++)
        raw_close(fds[i]);
}

static void silent_connections_end_at_the_deadline(void **state)
{
    struct lab_node *a = lab_start(&lab, 0);
    uint8_t answer[8];
    uint16_t port;
    int listener = raw_listen(&port);
    char address[64];
    (void)state;
    assert_int_equal(a->net->handshake_ms, NET_HANDSHAKE_DEADLINE_MS);
    a->net->handshake_ms = 300;
    uint64_t begun = uv_hrtime();
    int fd = raw_connect(uv_net_port(a->net), 1);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    lab_dial(a, address); /* somebody who never answers */
    LAB_WAIT(&lab, raw_read(fd, answer, sizeof(answer)) == -1);
    uint64_t took_ms = (uv_hrtime() - begun) / 1000000;
    assert_true(took_ms >= 290);
    LAB_WAIT(&lab, a->dials_done == 1);
    assert_int_equal(a->dial_status, KITH_E_TIMEOUT);
    raw_close(fd);
    raw_close(listener);
}

static void without_descriptors_it_says_so_and_goes_on_afterwards(void **state)
{
    struct lab_node *a = lab_start(&lab, 0), *b = lab_start(&lab, 1);
    struct rlimit limit, low;
    uint8_t answer[8];
    int fds[8];
    (void)state;
    struct uv_peer *peer = lab_learn(b, a, NULL);
    assert_int_equal(lab_send(b, peer, NET_RPC, 1, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 1);
    for (int i = 0; i < 8; i++)
        fds[i] = raw_connect(uv_net_port(a->net), 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    /* Everything below the lowest free number is taken. */
    int free_fd = dup(0);
    assert_true(free_fd > 0);
    raw_close(free_fd);
    low.rlim_cur = (rlim_t)free_fd;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    /* They are closed, not left hanging; the loop does not run hot; peers do not notice. */
    for (int i = 0; i < 8; i++)
        LAB_WAIT(&lab, raw_read(fds[i], answer, sizeof(answer)) == -1);
    assert_int_equal(lines_with(a, "ulimit"), 1);
    assert_int_equal(lab_send(b, peer, NET_RPC, 2, 64), 0);
    LAB_WAIT(&lab, a->frames_n == 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    lab_dial(b, a->address);
    LAB_WAIT(&lab, b->dials_done == 1);
    assert_int_equal(b->dial_status, 0);
    for (int i = 0; i < 8; i++)
        raw_close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_cluster_is_refused_and_both_logs_say_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wrong_secret_is_refused_and_both_logs_say_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(known_peer_with_another_secret_is_unreachable, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_version_is_refused_by_one_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(being_refused_for_the_version_is_logged, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_closed_in_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(full_handshake_table_evicts_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(one_address_may_not_fill_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(without_descriptors_it_says_so_and_goes_on_afterwards,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(silent_connections_end_at_the_deadline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
