/*
 * The peer channel alone: a server and a client process on loopback, frames echoed or answered with
 * 1 MiB. Tells what the channel costs below the call layer.
 *
 *     net_loop [echo|bulk] [OUTSTANDING] [SECONDS] [spin]
 *
 * Server on core 0, client on core 1. Prints rate and processor time a round trip of each side.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/uv_net.h"

#define REPLY_BYTES (1024 * 1024)

static struct net_cluster cluster;
static struct net_identity identities[2];
static struct uv_net *net;
static struct uv_peer *peer;
static bool bulk, spin;
static uint64_t frames_in;
static uint8_t reply[REPLY_BYTES];
static uint8_t request[64];

static void on_release(void *arg)
{
    (void)arg;
}

static void
on_server_frame(void *user, struct uv_peer *from, uint64_t boot_no, struct net_frame *frame)
{
    struct kith_bytes part = {frame->body, frame->len};
    (void)user;
    (void)boot_no;
    frames_in++;
    if (bulk)
        (void)uv_net_send_take(net, from, NET_RPC, FRAME_RESULT, part,
                               (struct kith_bytes){reply, sizeof(reply)}, on_release, NULL);
    else
        (void)uv_net_send(net, from, NET_RPC, FRAME_RESULT, &part, 1);
}

static void call(void)
{
    struct kith_bytes part = {request, sizeof(request)};
    if (uv_net_send(net, peer, NET_RPC, FRAME_CALL, &part, 1) != 0)
        abort();
}

static void
on_client_frame(void *user, struct uv_peer *from, uint64_t boot_no, struct net_frame *frame)
{
    (void)user;
    (void)from;
    (void)boot_no;
    (void)frame;
    frames_in++;
    call();
}

static void pin(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void open_net(uv_loop_t *loop, int index, bool client)
{
    struct uv_net_config config = {
        .loop = loop,
        .identity = &identities[index],
        .cluster = &cluster,
        .boot_no = 1,
        .role = 1,
        .listen = "127.0.0.1:0",
        .events = {.frame = client ? on_client_frame : on_server_frame},
    };
    if (uv_net_open(&net, &config) != 0)
        abort();
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* One turn: with spinning, a while of polling before the loop may sleep. */
static void turn(uv_loop_t *loop)
{
    if (spin) {
        uint64_t until = uv_hrtime() + 50000;
        while (uv_hrtime() < until)
            if (uv_net_poll(net)) {
                uv_net_flush(net);
                until = uv_hrtime() + 50000;
            }
    }
    uv_run(loop, UV_RUN_ONCE);
}

static volatile sig_atomic_t stopped;

static void on_term(int number)
{
    (void)number;
    stopped = 1;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void server(int port_fd, int report_fd)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t tick;
    pin(0);
    signal(SIGTERM, on_term);
    open_net(loop, 0, false);
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, on_tick, 100, 100);
    uint16_t port = uv_net_port(net);
    if (write(port_fd, &port, sizeof(port)) != sizeof(port))
        abort();
    while (!stopped)
        turn(loop);
    double seconds = cpu_seconds();
    if (write(report_fd, &seconds, sizeof(seconds)) != sizeof(seconds))
        abort();
    _exit(0);
}

int main(int argc, char **argv)
{
    bulk = argc > 1 && strcmp(argv[1], "bulk") == 0;
    int outstanding = argc > 2 ? atoi(argv[2]) : 1024;
    double seconds = argc > 3 ? atof(argv[3]) : 1.0;
    spin = argc > 4 && strcmp(argv[4], "spin") == 0;
    int port_pipe[2], report_pipe[2];
    memset(&cluster, 7, sizeof(cluster));
    memset(reply, 1, sizeof(reply));
    for (int i = 0; i < 2; i++) {
        uint8_t seed[NET_SEED_BYTES];
        memset(seed, 1 + i, sizeof(seed));
        if (net_identity_from_seed(&identities[i], seed) != 0)
            return 1;
    }
    if (pipe(port_pipe) != 0 || pipe(report_pipe) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0)
        server(port_pipe[1], report_pipe[1]);
    uint16_t port = 0;
    if (read(port_pipe[0], &port, sizeof(port)) != sizeof(port))
        return 1;
    char address[64];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    const char *addresses[1] = {address};

    uv_loop_t *loop = uv_default_loop();
    pin(1);
    open_net(loop, 1, true);
    if (uv_net_learn(net, &identities[0].id, identities[0].sign_pk, addresses, 1, &peer) != 0)
        return 1;
    for (int i = 0; i < outstanding; i++)
        call();
    uint64_t warm = uv_hrtime() + 200000000;
    while (uv_hrtime() < warm)
        turn(loop);
    uint64_t begun = uv_hrtime(), before = frames_in;
    double cpu = cpu_seconds();
    while (uv_hrtime() < begun + (uint64_t)(seconds * 1e9))
        turn(loop);
    double took = (double)(uv_hrtime() - begun) / 1e9, n = (double)(frames_in - before),
           server_cpu = 0;
    cpu = cpu_seconds() - cpu;
    kill(child, SIGTERM);
    if (read(report_pipe[0], &server_cpu, sizeof(server_cpu)) != sizeof(server_cpu))
        return 1;
    (void)waitpid(child, NULL, 0);
    printf("%s outstanding %d%s: %.0f round trips/s, %.2f GB/s, client %.0f ns of processor each, "
           "server %.0f ns (with start)\n",
           bulk ? "1 MiB replies" : "64 B echo", outstanding, spin ? " spinning" : "", n / took,
           bulk ? n * REPLY_BYTES / took / 1e9 : n * 128 / took / 1e9, cpu / n * 1e9,
           server_cpu / (double)frames_in * 1e9);
    return 0;
}
