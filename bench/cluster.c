/* See cluster.h. */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "kith/error.h"
#include "net/data_dir.h"
#include "node/agent_client.h"

#define UP_MS    20000
#define POLL_US  20000
#define CUT_PORT 7117
#define SUBNET   "10.78.0"

/* ---- directories ---- */

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, why);
    return -1;
}

static int write_conf(const char *dir, unsigned i, unsigned n, const char *listen)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/kith.conf", dir);
    file = fopen(path, "w");
    if (file == NULL)
        return fail(path, strerror(errno));
    fprintf(file, "[node]\nname = n%u\n[view]\nexpect = %u\n[net]\n", i + 1, n);
    if (listen != NULL) {
        fprintf(file, "listen = %s\n", listen);
    } else {
        fprintf(file, "listen = " SUBNET ".%u:%d\n", i + 1, CUT_PORT);
        for (unsigned other = 0; other < n; other++) {
            if (other != i)
                fprintf(file, "seed = " SUBNET ".%u:%d\n", other + 1, CUT_PORT);
        }
    }
    return fclose(file) == 0 ? 0 : fail(path, strerror(errno));
}

static int fill_dir(
    const char *path, const struct net_cluster *cluster, unsigned i, unsigned n, const char *listen)
{
    struct net_identity identity;
    struct data_dir dir;
    int r = data_dir_open(&dir, path, true);

    if (r == 0) {
        r = data_dir_identity(&dir, true, &identity);
        if (r == 0)
            r = data_dir_set_cluster(&dir, cluster, "bench");
        net_identity_wipe(&identity);
        data_dir_close(&dir);
    }
    return r != 0 ? fail(path, kith_errmsg()) : write_conf(path, i, n, listen);
}

int cluster_fill_dirs(const char *dir, unsigned n, const char *listen)
{
    struct net_cluster cluster;
    char path[100];

    if (getrandom(&cluster, sizeof(cluster), 0) != sizeof(cluster))
        return fail("random bytes", strerror(errno));
    for (unsigned i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%u", dir, i + 1);
        if (fill_dir(path, &cluster, i, n, listen) != 0)
            return -1;
    }
    return 0;
}

int cluster_find_kith(char *path, size_t path_bytes)
{
    /* In a build tree, as installed, or where KITH_PROGRAM says. */
    static const char *const beside[] = {"../kith", "../../bin/kith", "kith"};
    const char *given = getenv("KITH_PROGRAM");
    char self[4000];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (given != NULL) {
        snprintf(path, path_bytes, "%s", given);
        return access(path, X_OK) == 0 ? 0 : fail(path, strerror(errno));
    }
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < sizeof(beside) / sizeof(beside[0]); i++) {
        snprintf(path, path_bytes, "%.*s/%s", (int)(slash - self), self, beside[i]);
        if (access(path, X_OK) == 0)
            return 0;
    }
    return fail("kith", "not found beside kith-bench; set KITH_PROGRAM to its path");
}

/* ---- namespaces ---- */

__attribute__((format(printf, 1, 2))) static int ip(const char *format, ...)
{
    char command[300] = "ip ";
    va_list args;

    va_start(args, format);
    vsnprintf(command + 3, sizeof(command) - 40, format, args);
    va_end(args);
    strcat(command, " >/dev/null 2>&1");
    return system(command) == 0 ? 0 : -1;
}

const char *cluster_spaces_why_not(void)
{
    if (geteuid() != 0)
        return "only root can make network namespaces";
    if (ip("-V") != 0)
        return "there is no ip command (iproute2)";
    if (ip("netns add kb%dx", (int)getpid()) != 0)
        return "network namespaces cannot be made here";
    int r = ip("-n kb%dx link add br0 type bridge", (int)getpid());
    (void)ip("netns del kb%dx", (int)getpid());
    return r == 0 ? NULL : "there are no network bridges here";
}

static int make_spaces(struct cluster *cluster)
{
    const char *tag = cluster->tag;
    int r = ip("netns add %ss", tag);

    r |= ip("-n %ss link add br0 type bridge", tag) | ip("-n %ss link set br0 up", tag);
    for (unsigned i = 0; i < cluster->n; i++) {
        const char *space = cluster->nodes[i].space;
        r |= ip("netns add %s", space) | ip("-n %s link set lo up", space);
        r |= ip("-n %s link add eth0 type veth peer name p%u netns %ss", space, i + 1, tag);
        r |= ip("-n %s addr add " SUBNET ".%u/24 dev eth0", space, i + 1);
        r |= ip("-n %s link set eth0 up", space);
        r |= ip("-n %ss link set p%u master br0", tag, i + 1);
        r |= ip("-n %ss link set p%u up", tag, i + 1);
    }
    return r == 0 ? 0 : fail("network namespaces", "cannot be made");
}

static void enter_space(const char *space)
{
    char path[64];

    snprintf(path, sizeof(path), "/var/run/netns/%s", space);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        perror(path);
        _exit(126);
    }
}

void cluster_node_cut(struct cluster *cluster, unsigned i, bool cut)
{
    if (cluster->tag[0] == '\0')
        return;
    (void)ip("-n %ss link set p%u %s", cluster->tag, i + 1, cut ? "down" : "up");
    cluster->nodes[i].cut = cut;
}

/* ---- agents ---- */

static _Noreturn void become_agent(const struct cluster_node *node, const char *kith, pid_t parent)
{
    char log[100];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    (void)setpgid(0, 0); /* an interrupt at the terminal is ours to handle */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (node->space[0] != '\0')
        enter_space(node->space);
    snprintf(log, sizeof(log), "%s/log", node->dir);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    if (out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    (void)close_range(3, ~0u, 0);
    (void)unsetenv("KITH_SOCKET");
    (void)unsetenv("KITH_CONFIG");
    execl(kith, "kith", "agent", "--data-dir", node->dir, (char *)NULL);
    _exit(127);
}

int cluster_node_start(struct cluster *cluster, unsigned i)
{
    struct cluster_node *node = &cluster->nodes[i];
    pid_t self = getpid();
    char kith[4200];

    if (node->pid != 0)
        return 0;
    if (cluster_find_kith(kith, sizeof(kith)) != 0)
        return -1;
    fflush(NULL);
    node->pid = fork();
    if (node->pid == 0)
        become_agent(node, kith, self);
    if (node->pid > 0)
        return 0;
    node->pid = 0;
    return fail("fork", strerror(errno));
}

void cluster_node_end(struct cluster *cluster, unsigned i, int signal_no)
{
    struct cluster_node *node = &cluster->nodes[i];

    if (node->pid == 0)
        return;
    kill(node->pid, signal_no);
    while (waitpid(node->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    node->pid = 0;
    node->stopped = false;
}

void cluster_node_stop(struct cluster *cluster, unsigned i, bool stop)
{
    struct cluster_node *node = &cluster->nodes[i];

    if (node->pid != 0)
        kill(node->pid, stop ? SIGSTOP : SIGCONT);
    node->stopped = stop;
}

int cluster_node_wait_up(struct cluster *cluster, unsigned i, uint64_t timeout_ms)
{
    uint64_t until_ns = bench_now_ns() + timeout_ms * 1000000;
    struct cluster_node *node = &cluster->nodes[i];

    while (bench_now_ns() < until_ns) {
        json_t *info = cluster_ask(node->socket, "hello", NULL, 1000);
        if (info != NULL) {
            json_decref(info);
            return 0;
        }
        if (waitpid(node->pid, NULL, WNOHANG) == node->pid) {
            node->pid = 0;
            fprintf(stderr, "kith-bench: agent %s ended: see %s/log\n", node->name, node->dir);
            return -1;
        }
        usleep(POLL_US);
    }
    fprintf(stderr, "kith-bench: agent %s does not answer: see %s/log\n", node->name, node->dir);
    return -1;
}

/* On loopback the first one's port is the others' seed. */
static int write_seeds(struct cluster *cluster)
{
    json_t *info = cluster_ask(cluster->nodes[0].socket, "info", NULL, 3000);
    int port = (int)json_integer_value(json_object_get(info, "port"));

    json_decref(info);
    if (port == 0)
        return fail("n1", "does not tell its port");
    for (unsigned i = 1; i < cluster->n; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/kith.conf", cluster->nodes[i].dir);
        FILE *file = fopen(path, "a");
        if (file == NULL)
            return fail(path, strerror(errno));
        fprintf(file, "seed = 127.0.0.1:%d\n", port);
        fclose(file);
    }
    return 0;
}

int cluster_start(struct cluster *cluster, unsigned n, bool spaces)
{
    *cluster = (struct cluster){.n = n};
    snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/kith-bench-XXXXXX");
    if (mkdtemp(cluster->dir) == NULL)
        return fail(cluster->dir, strerror(errno));
    if (spaces)
        snprintf(cluster->tag, sizeof(cluster->tag), "kb%d", (int)getpid() % 1000000);
    for (unsigned i = 0; i < n; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        snprintf(node->name, sizeof(node->name), "n%u", i + 1);
        snprintf(node->dir, sizeof(node->dir), "%s/%u", cluster->dir, i + 1);
        snprintf(node->socket, sizeof(node->socket), "%s/" AGENT_SOCKET_NAME, node->dir);
        if (spaces)
            snprintf(node->space, sizeof(node->space), "%s%u", cluster->tag, i + 1);
    }
    if (cluster_fill_dirs(cluster->dir, n, spaces ? NULL : "127.0.0.1:0") != 0 ||
        (spaces && make_spaces(cluster) != 0))
        return -1;
    for (unsigned i = 0; i < n; i++) {
        if (cluster_node_start(cluster, i) != 0 || cluster_node_wait_up(cluster, i, UP_MS) != 0 ||
            (i == 0 && !spaces && write_seeds(cluster) != 0))
            return -1;
    }
    return 0;
}

void cluster_end(struct cluster *cluster, bool keep)
{
    char command[100];

    for (unsigned i = 0; i < cluster->n; i++)
        cluster_node_end(cluster, i, SIGKILL);
    for (unsigned i = 0; cluster->tag[0] != '\0' && i < cluster->n; i++)
        (void)ip("netns del %s", cluster->nodes[i].space);
    if (cluster->tag[0] != '\0')
        (void)ip("netns del %ss", cluster->tag);
    if (!keep && strncmp(cluster->dir, "/tmp/kith-bench-", 16) == 0) {
        snprintf(command, sizeof(command), "rm -rf %s", cluster->dir);
        if (system(command) != 0)
            fprintf(stderr, "kith-bench: %s cannot be removed\n", cluster->dir);
    }
    cluster->n = 0;
}

/* ---- questions ---- */

json_t *cluster_ask(const char *socket, const char *verb, const char *args, uint64_t timeout_ms)
{
    struct agent_client *client = NULL;
    struct agent_message message;
    json_t *result = NULL;
    char line[512];

    snprintf(line, sizeof(line), "{\"id\":1,\"verb\":\"%s\",\"args\":%s}", verb,
             args != NULL ? args : "{}");
    if (agent_client_open(&client, socket) == 0 && agent_client_send(client, line, NULL, 0) == 0 &&
        agent_client_receive(client, timeout_ms, &message) == 0)
        result = json_incref(json_object_get(message.json, "result"));
    agent_client_close(client);
    return result;
}

static bool is_settled(const struct cluster_node *node, uint64_t tolerated)
{
    json_t *view = cluster_ask(node->socket, "view", NULL, 2000);
    bool settled =
        json_is_true(json_object_get(view, "quorum")) &&
        json_integer_value(json_object_get(view, "failures_tolerated")) >= (json_int_t)tolerated &&
        json_integer_value(json_object_get(view, "slots_moving")) == 0 &&
        json_integer_value(json_object_get(view, "slots_unavailable")) == 0;

    json_decref(view);
    return settled;
}

int cluster_wait_settled(struct cluster *cluster, uint64_t tolerated, uint64_t timeout_ms)
{
    uint64_t until_ns = bench_now_ns() + timeout_ms * 1000000;
    unsigned i = 0;

    while (i < cluster->n) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->pid == 0 || node->stopped || is_settled(node, tolerated)) {
            i++;
            continue;
        }
        if (bench_now_ns() >= until_ns)
            return -1;
        usleep(POLL_US);
        i = 0;
    }
    return 0;
}
