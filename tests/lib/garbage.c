/*
 * Sends garbage to a live node: random datagrams, mutations of genuine ones (sealed as a member
 * would seal them, then damaged), replays, and TCP connections that say random things and are
 * reset, from many loopback addresses.
 *
 *     garbage PORT VICTIM_DIR MEMBER_DIR DATAGRAMS CONNECTIONS SEED
 *
 * The directories are data directories of two nodes of one cluster: their keys make the genuine
 * datagrams. Bounded in count and time; loopback only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/rng.h"
#include "kith/error.h"
#include "net/data_dir.h"
#include "net/dgram.h"

#define GENUINE_N 64
#define SOURCES   200 /* loopback addresses */

static struct rng rng;
static uint8_t genuine[GENUINE_N][NET_DGRAM_BYTES_MAX];
static size_t genuine_len[GENUINE_N];

static void die(const char *what)
{
    fprintf(stderr, "garbage: %s: %s %s\n", what, strerror(errno), kith_errmsg());
    exit(1);
}

static void fill(uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at++)
        data[at] = (uint8_t)rng_u64(&rng);
}

static struct sockaddr_in address(uint32_t host, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(host);
    return to;
}

/* An address of 127.0.0.0/8 to send from. */
static uint32_t source(void)
{
    return 0x7f000001u + (uint32_t)rng_below(&rng, SOURCES) * 257;
}

/* Datagrams as MEMBER would send them to VICTIM, of a boot that it never had. */
static void make_genuine(char *victim_dir, char *member_dir)
{
    struct data_dir victim = {.path = victim_dir, .lock_fd = -1};
    struct data_dir member = {.path = member_dir, .lock_fd = -1};
    struct net_identity victim_key, member_key;
    struct net_cluster cluster;
    struct net_cluster_keys keys;
    struct dgram_peer peer;
    char name[DATA_DIR_CLUSTER_NAME_BYTES];

    if (data_dir_identity(&victim, false, &victim_key) != 0 ||
        data_dir_identity(&member, false, &member_key) != 0 ||
        data_dir_cluster(&victim, &cluster, name) != 0)
        die("keys");
    net_cluster_derive(&cluster, &keys);
    if (dgram_peer_init(&peer, &member_key, &cluster, &victim_key.id, victim_key.dh_pk, 1, 1) != 0)
        die("dgram_peer_init");
    for (size_t i = 0; i < GENUINE_N; i++) {
        uint8_t body[900], nonce[DGRAM_NONCE_BYTES];
        fill(body, sizeof(body));
        fill(nonce, sizeof(nonce));
        struct kith_bytes part = {.data = body, .len = 1 + rng_below(&rng, sizeof(body))};
        if (dgram_seal(&peer, DGRAM_DATA, dgram_hint(&keys, &member_key.id), 1, nonce, part,
                       genuine[i], &genuine_len[i]) != 0)
            die("dgram_seal");
    }
}

/* Random, or genuine but for some damage. */
static size_t make_datagram(uint8_t *data)
{
    size_t i = rng_below(&rng, GENUINE_N), len = genuine_len[i];

    switch (rng_below(&rng, 4)) {
    case 0:
        len = rng_below(&rng, 1500);
        fill(data, len);
        return len;
    case 1: /* cut short */
        memcpy(data, genuine[i], len);
        return rng_below(&rng, len);
    case 2: /* the clear head is right, the rest is not */
        memcpy(data, genuine[i], len);
        fill(data + DGRAM_HEAD_BYTES, len - DGRAM_HEAD_BYTES);
        return len;
    default:
        memcpy(data, genuine[i], len);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            data[rng_below(&rng, len)] ^= (uint8_t)(1u << rng_below(&rng, 8));
        return len;
    }
}

static void send_datagrams(uint16_t port, uint64_t n)
{
    struct sockaddr_in to = address(INADDR_LOOPBACK, port);
    uint8_t data[1500];
    int fds[8];

    for (size_t i = 0; i < 8; i++) {
        struct sockaddr_in from = address(source(), 0);
        fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&from, sizeof(from)) != 0)
            die("socket");
    }
    for (uint64_t i = 0; i < n; i++) {
        size_t len = make_datagram(data);
        (void)!sendto(fds[i % 8], data, len, 0, (struct sockaddr *)&to, sizeof(to));
    }
    for (size_t i = 0; i < 8; i++)
        close(fds[i]);
}

/* Connects, says something random (now and then with the magic of a preamble), resets. */
static bool one_connection(uint16_t port)
{
    struct sockaddr_in from = address(source(), 0), to = address(INADDR_LOOPBACK, port);
    struct linger reset = {.l_onoff = 1};
    uint8_t data[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return false;
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return false;
    }
    size_t len = rng_below(&rng, sizeof(data));
    fill(data, len);
    if (len >= 4 && rng_below(&rng, 3) == 0)
        memcpy(data, "kith", 4);
    (void)!send(fd, data, len, MSG_NOSIGNAL);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    return true;
}

int main(int argc, char **argv)
{
    uint64_t refused = 0;

    if (argc != 7 || sodium_init() < 0) {
        fprintf(stderr, "usage: garbage PORT VICTIM_DIR MEMBER_DIR DATAGRAMS CONNECTIONS SEED\n");
        return 2;
    }
    uint16_t port = (uint16_t)atoi(argv[1]);
    uint64_t datagrams = strtoull(argv[4], NULL, 10), connections = strtoull(argv[5], NULL, 10);
    uint64_t seed = strtoull(argv[6], NULL, 10);
    rng_init(&rng, seed);
    make_genuine(argv[2], argv[3]);
    send_datagrams(port, datagrams);
    for (uint64_t i = 0; i < connections; i++)
        refused += !one_connection(port);
    printf("seed %llu: %llu datagrams, %llu connections, %llu of them refused\n",
           (unsigned long long)seed, (unsigned long long)datagrams, (unsigned long long)connections,
           (unsigned long long)refused);
    return 0;
}
