/*
 * kith agent: a node in the foreground.
 *
 * The main thread does nothing but wait for signals, which are blocked in all threads; everything
 * else runs on the node's own threads. The watchdog's sign of life is sent from the node's loop, so
 * that a loop that is stuck is noticed.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/notify.h"
#include "cli/settings.h"
#include "control/control.h"
#include "core/error.h"
#include "core/text.h"
#include "http/http.h"
#include "net/uv_net.h"
#include "node/node.h"
#include "node/reload.h"

#define STATUS_MS 5000

struct agent {
    struct cli *cli;
    struct kith_node *node;
    const char *data_dir; /* the configuration's */
    struct kith_config *config;
    uint64_t watchdog_ms;
};

/* ---- starting
 * ------------------------------------------------------------------------------------- */

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* What would give this directory a cluster: the commands to choose from. */
static int no_cluster(const struct agent *agent)
{
    const char *dir = agent->data_dir;
    const char *flag = args_text(&agent->cli->args, "data-dir") != NULL ? " --data-dir " : "";
    const char *shown = flag[0] != '\0' ? dir : "";

    fprintf(stderr,
            "kith: %s is in no cluster yet\n"
            "  kith init%s%s          makes a new cluster\n"
            "  kith join TOKEN%s%s    joins the cluster of a token (kith invite prints one on any "
            "of its nodes)\n"
            "  kith dev 3             starts three nodes here to try things out\n",
            dir, flag, shown, flag, shown);
    return EXIT_NOT_FOUND;
}

/* What SIGHUP does, on the main thread. */
static void ask_reload(void)
{
    kill(getpid(), SIGHUP);
}

static int start(struct agent *agent)
{
    char path[4200];
    int r = kith_node_start(agent->config, &agent->node);

    if (r == KITH_E_NO_CLUSTER || (r == KITH_E_NOT_FOUND && access(agent->data_dir, F_OK) != 0))
        return no_cluster(agent);
    if (r != 0)
        return cli_fail_code(agent->cli, r);
    snprintf(path, sizeof(path), "%s/" AGENT_SOCKET_NAME, agent->data_dir);
    node_on_reload(agent->node, ask_reload);
    r = control_open(agent->node, path);
    if (r == 0)
        r = http_open(agent->node);
    return r == 0 ? EXIT_OK : cli_fail_code(agent->cli, r);
}

/* The address as configured, with the port that it really is. */
static void say_listening(struct agent *agent)
{
    char id[KITH_NODE_ID_DIGITS + 1], host[256];
    struct kith_node_id self = kith_node_self(agent->node);
    uint16_t ignored;
    const char *listen = kith_config_get(agent->config, "net.listen");

    if (text_split_address(listen, host, sizeof(host), 0, &ignored) != 0)
        snprintf(host, sizeof(host), "?");
    bool v6 = strchr(host, ':') != NULL;
    fprintf(stderr,
            "kith: node %s (%.8s) of cluster %s listens on %s%s%s:%u; control socket "
            "%s/" AGENT_SOCKET_NAME "\n",
            kith_node_name(agent->node), kith_node_id_text(&self, id),
            node_cluster_name(agent->node), v6 ? "[" : "", host, v6 ? "]" : "",
            uv_net_port(node_net(agent->node)), agent->data_dir);
    if (node_web(agent->node)[0] != '\0')
        fprintf(stderr, "kith: pages at %s; kith web prints a link to log in\n",
                node_web(agent->node));
}

/* ---- while it runs
 * -------------------------------------------------------------------------------- */

struct counts {
    size_t alive, suspect, failed, programs;
};

static struct counts count_nodes(struct kith_node *node)
{
    struct counts counts = {0};
    struct kith_node_list *list = NULL;

    if (kith_nodes(node, true, &list) != 0)
        return counts;
    for (size_t i = 0; i < list->nodes_n; i++) {
        const struct kith_node_info *info = &list->nodes[i];
        counts.programs += info->role == KITH_ROLE_PROGRAM && info->status == KITH_STATUS_ALIVE;
        if (info->role == KITH_ROLE_PROGRAM)
            continue;
        counts.alive += info->status == KITH_STATUS_ALIVE;
        counts.suspect += info->status == KITH_STATUS_SUSPECT;
        counts.failed += info->status == KITH_STATUS_FAILED;
    }
    kith_node_list_free(list);
    return counts;
}

static void tell_status(struct agent *agent, const char *before)
{
    if (getenv("NOTIFY_SOCKET") == NULL)
        return;
    struct counts counts = count_nodes(agent->node);
    notify("%sSTATUS=%zu nodes alive, %zu suspect, %zu failed, %zu programs", before, counts.alive,
           counts.suspect, counts.failed, counts.programs);
}

/* On the loop thread: only a loop that turns gets here. */
static void sign_of_life(struct kith_node *node, void *arg)
{
    (void)node;
    (void)arg;
    notify("WATCHDOG=1");
}

static void dump_node(struct kith_node *node, const struct kith_node_info *info)
{
    char id[KITH_NODE_ID_DIGITS + 1];

    kith_log(node, KITH_LOG_INFO,
             "state: node %s id=%s status=%s address=%s boot_no=%" PRIu64 " since_ms=%" PRIu64
             " rtt_ms=%.3f load=%.2f",
             info->name, kith_node_id_text(&info->id, id), kith_status_text(info->status),
             info->address, info->boot_no, info->status_age_ms, info->rtt_ms, info->load);
}

/* SIGUSR1: what one would ask for if the socket did not answer. */
static void dump_state(struct agent *agent)
{
    struct kith_node_list *nodes = NULL;
    struct kith_function_list *functions = NULL;
    struct node_stats stats;
    struct uv_net_stats net;

    node_stats(agent->node, &stats);
    uv_net_stats(node_net(agent->node), &net);
    kith_log(agent->node, KITH_LOG_INFO,
             "state: loop turns=%" PRIu64 " lag_max_ms=%" PRIu64
             " workers=%u busy=%u queue=%u rss_bytes=%" PRIu64,
             stats.loop_turns, stats.loop_lag_max_ms, stats.workers, stats.workers_busy,
             stats.workers_queue, stats.rss_bytes);
    kith_log(agent->node, KITH_LOG_INFO,
             "state: net bytes_in=%" PRIu64 " bytes_out=%" PRIu64 " frames_in=%" PRIu64
             " frames_out=%" PRIu64 " dropped=%" PRIu64
             " streams=%u peers=%u handshakes_failed=%" PRIu64,
             net.bytes_in, net.bytes_out, net.frames_in, net.frames_out, net.datagrams_dropped,
             net.streams_open, net.peers_known, net.handshakes_failed);
    if (kith_nodes(agent->node, true, &nodes) == 0) {
        for (size_t i = 0; i < nodes->nodes_n; i++)
            dump_node(agent->node, &nodes->nodes[i]);
        kith_node_list_free(nodes);
    }
    if (kith_functions(agent->node, &functions) == 0) {
        kith_log(agent->node, KITH_LOG_INFO, "state: functions=%zu", functions->functions_n);
        kith_function_list_free(functions);
    }
}

/* SIGHUP. A bad file changes nothing; the log says what is wrong with it. */
static void reload(struct agent *agent)
{
    struct kith_config *fresh;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    notify("RELOADING=1\nMONOTONIC_USEC=%lld",
           (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    node_log_reopen(agent->node);
    int r = settings_reload(agent->cli, &fresh);
    if (r == 0)
        r = node_reload(agent->node, fresh);
    else
        node_reload_failed(agent->node, r, kith_errmsg());
    if (r != 0)
        kith_log(agent->node, KITH_LOG_ERROR, "configuration not reloaded, the old one holds: %s",
                 kith_errmsg());
    if (fresh != NULL) {
        kith_config_free(agent->config);
        agent->config = fresh;
        agent->data_dir = kith_config_get(fresh, "node.data_dir");
    }
    notify("READY=1");
}

static struct timespec wait_time(const struct agent *agent)
{
    uint64_t ms = STATUS_MS;

    if (agent->watchdog_ms != 0 && agent->watchdog_ms < ms)
        ms = agent->watchdog_ms;
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

static void run(struct agent *agent, const sigset_t *set)
{
    struct timespec wait = wait_time(agent);
    bool timed = getenv("NOTIFY_SOCKET") !=
                 NULL; /* without a service manager there is nothing to do but wait */

    for (;;) {
        int signal_no = timed ? sigtimedwait(set, NULL, &wait) : sigwaitinfo(set, NULL);
        if (signal_no == SIGTERM || signal_no == SIGINT)
            return;
        if (signal_no == SIGHUP)
            reload(agent);
        else if (signal_no == SIGUSR1)
            dump_state(agent);
        else if (signal_no < 0 && errno == EAGAIN) {
            tell_status(agent, "");
            if (agent->watchdog_ms != 0)
                (void)node_post(agent->node, sign_of_life, NULL);
        }
    }
}

/* ---- ending
 * --------------------------------------------------------------------------------------- */

static void on_second_signal(int signal_no)
{
    static const char text[] = "kith: ended without leaving the cluster\n";

    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(128 + signal_no);
}

static void stop(struct agent *agent)
{
    const struct sigaction now = {.sa_handler = on_second_signal};
    sigset_t set;

    notify("STOPPING=1\nSTATUS=leaving the cluster");
    (void)sigaction(SIGTERM, &now, NULL);
    (void)sigaction(SIGINT, &now, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    kith_node_stop(agent->node);
    agent->node = NULL;
}

int cmd_agent(struct cli *cli)
{
    struct agent agent = {.cli = cli, .watchdog_ms = notify_watchdog_ms()};
    sigset_t set;
    int x = settings_load(cli, &agent.config);

    if (x != EXIT_OK)
        return x;
    agent.data_dir = kith_config_get(agent.config, "node.data_dir");
    block_signals(&set);
    x = start(&agent);
    if (x == EXIT_OK) {
        say_listening(&agent);
        tell_status(&agent, "READY=1\n");
        run(&agent, &set);
    }
    if (agent.node != NULL)
        stop(&agent);
    kith_config_free(agent.config);
    return x;
}
