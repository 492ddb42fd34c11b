/* See dev_node.h. */
#include "cli/dev_node.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/process.h"
#include "cli/setup.h"
#include "core/error.h"

#define POLL_MS       20
#define LOG_END_BYTES 1000

int dev_node_init(struct cli *cli, struct dev_node *node, const char *dir, unsigned k)
{
    *node = (struct dev_node){.k = k, .process = -1};
    int n =
        snprintf(node->socket_path, sizeof(node->socket_path), "%s/%u/" AGENT_SOCKET_NAME, dir, k);

    if (n < 0 || (size_t)n >= sizeof(node->socket_path))
        return cli_fail(cli, EXIT_USAGE, "kith dev N --dir DIR with a shorter DIR",
                        "the socket path of node %u in %s is longer than %d bytes", k, dir,
                        AGENT_SOCKET_PATH_MAX);
    snprintf(node->dir, sizeof(node->dir), "%.*s", n - (int)sizeof(AGENT_SOCKET_NAME),
             node->socket_path);
    dev_node_refresh(node);
    return EXIT_OK;
}

void dev_node_deinit(struct dev_node *node)
{
    if (node->process >= 0)
        (void)close(node->process);
    node->process = -1;
}

void dev_node_refresh(struct dev_node *node)
{
    dev_node_deinit(node);
    node->pid = 0;
    if (process_of_socket(node->socket_path, &node->pid) != 0)
        return;
    node->process = process_open(node->pid);
    if (node->process < 0)
        node->pid = 0;
}

bool dev_node_exists(const struct dev_node *node)
{
    return setup_has_cluster(node->dir);
}

/* ---- starting
 * ------------------------------------------------------------------------------------- */

static _Noreturn void become_agent(const struct dev_node *node, const char *self, int log_fd)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    (void)setsid();
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0)
        _exit(126);
    /* What else is open here (a terminal's, a test's pipe) is not the agent's, and would never be
     * closed by it. */
    (void)close_range(3, ~0u, 0);
    (void)unsetenv("KITH_SOCKET");
    (void)unsetenv("KITH_CONFIG");
    (void)unsetenv("NOTIFY_SOCKET");
    (void)execl(self, "kith", "agent", "--data-dir", node->dir, (char *)NULL);
    _exit(127);
}

int dev_node_spawn(struct cli *cli, struct dev_node *node)
{
    const char *self = cli_self_path();
    char path[AGENT_SOCKET_PATH_MAX + 8];

    snprintf(path, sizeof(path), "%s/log", node->dir);
    int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "%s cannot be written: %s", path, strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        become_agent(node, self, log_fd);
    int failed = errno;
    (void)close(log_fd);
    if (pid < 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "no process for node %u: %s", node->k,
                        strerror(failed));
    dev_node_deinit(node);
    node->pid = pid;
    node->process = process_open(pid);
    node->ours = true;
    return EXIT_OK;
}

/* The last lines it wrote: why it did not start. */
static void print_log_end(const struct dev_node *node)
{
    char path[AGENT_SOCKET_PATH_MAX + 8], text[LOG_END_BYTES + 1];

    snprintf(path, sizeof(path), "%s/log", node->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > LOG_END_BYTES ? end - LOG_END_BYTES : 0;
    ssize_t n = pread(fd, text, LOG_END_BYTES, from);
    (void)close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *start = text;
    if (from > 0 && strchr(text, '\n') != NULL)
        start = strchr(text, '\n') + 1;
    fprintf(stderr, "the end of %s:\n%s", path, start);
}

bool dev_node_ended(struct dev_node *node)
{
    bool ended = node->ours ? waitpid(node->pid, NULL, WNOHANG) == node->pid
                            : node->process >= 0 && process_wait_gone(node->process, 0);

    if (!ended)
        return false;
    dev_node_deinit(node);
    node->pid = 0;
    node->ours = false;
    return true;
}

int dev_node_fail(struct cli *cli, const struct dev_node *node, int exit_code, const char *what)
{
    int x = cli_fail(cli, exit_code, NULL, "node %u %s", node->k, what);

    print_log_end(node);
    return x;
}

int dev_node_wait_up(struct cli *cli, struct dev_node *node, uint64_t timeout_ms)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    uint64_t until = cli_now_ms() + timeout_ms;
    char what[64];
    pid_t pid;

    assert(node->ours);
    for (;;) {
        if (process_of_socket(node->socket_path, &pid) == 0)
            return EXIT_OK;
        if (dev_node_ended(node))
            return dev_node_fail(cli, node, EXIT_FAILED, "did not start");
        if (cli_now_ms() >= until) {
            snprintf(what, sizeof(what), "did not open its socket in %llu ms",
                     (unsigned long long)timeout_ms);
            return dev_node_fail(cli, node, EXIT_TIMED_OUT, what);
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- ending
 * --------------------------------------------------------------------------------------- */

void dev_node_signal(struct dev_node *node, bool now)
{
    if (node->process >= 0)
        (void)process_signal(node->process, now ? SIGKILL : SIGTERM);
}

void dev_node_wait_gone(struct dev_node *node, uint64_t timeout_ms)
{
    if (node->process < 0)
        return;
    if (!process_wait_gone(node->process, timeout_ms)) {
        (void)process_signal(node->process, SIGKILL);
        (void)process_wait_gone(node->process, timeout_ms);
    }
    dev_node_deinit(node);
    node->pid = 0;
}

/* ---- asking
 * --------------------------------------------------------------------------------------- */

json_t *dev_node_ask(const struct dev_node *node, const char *verb, uint64_t timeout_ms)
{
    struct agent_client *client = NULL;
    struct agent_message message;
    json_t *result = NULL;
    char line[128];

    snprintf(line, sizeof(line), "{\"id\":1,\"verb\":\"%s\",\"args\":{}}", verb);
    if (agent_client_open(&client, node->socket_path) == 0 &&
        agent_client_send(client, line, NULL, 0) == 0 &&
        agent_client_receive(client, timeout_ms, &message) == 0) {
        result = json_incref(json_object_get(message.json, "result"));
        if (result == NULL)
            result = json_object();
    }
    agent_client_close(client);
    return result;
}
