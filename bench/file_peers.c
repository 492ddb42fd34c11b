/* scp and an rsync daemon, each on loopback with keys and files of its own. See file.h. */
#include "file.h"

#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define UP_TRIES 200
#define SSH_OPTIONS                                                                                \
    "-q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i %s/key"

__attribute__((format(printf, 1, 2))) static bool run(const char *format, ...)
{
    char command[900];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return system(command) == 0;
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static bool answers(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};

    for (unsigned i = 0; i < UP_TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool up = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(fd);
        if (up)
            return true;
        usleep(10000);
    }
    return false;
}

static bool write_text(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool write_text(const char *path, const char *format, ...)
{
    FILE *file = fopen(path, "w");
    va_list args;

    if (file == NULL)
        return false;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    return fclose(file) == 0;
}

/* A daemon that stays in the foreground on the first core, and dies with this process. */
static int start(const char *program, const char *const *words)
{
    int pid = fork();

    if (pid != 0)
        return pid > 0 ? pid : 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bench_pin(getpid(), 0);
    if (freopen("/dev/null", "r", stdin) == NULL || freopen("/dev/null", "w", stdout) == NULL ||
        freopen("/dev/null", "w", stderr) == NULL)
        _exit(126);
    execvp(program, (char *const *)(uintptr_t)words);
    _exit(127);
}

static void end(int *pid)
{
    if (*pid == 0)
        return;
    kill(*pid, SIGTERM);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

static void start_rsync(struct file_peers *peers)
{
    char conf[160], config[180], port[32];

    if (!run("command -v rsync >/dev/null 2>&1")) {
        fprintf(stderr, "kith-bench: rsync is not here, and not compared with\n");
        return;
    }
    peers->rsync_port = free_port();
    snprintf(conf, sizeof(conf), "%s/rsyncd.conf", peers->dir);
    snprintf(config, sizeof(config), "--config=%s", conf);
    snprintf(port, sizeof(port), "--port=%d", peers->rsync_port);
    if (!write_text(conf, "use chroot = no\n%s[b]\npath = %s\nread only = yes\n",
                    geteuid() == 0 ? "uid = 0\ngid = 0\n" : "", peers->dir))
        return;
    const char *const words[] = {"rsync", "--daemon", "--no-detach", "--address=127.0.0.1",
                                 port,    config,     NULL};
    peers->rsync_pid = start("rsync", words);
    if (!answers(peers->rsync_port)) {
        fprintf(stderr, "kith-bench: rsync --daemon does not start, and is not compared with\n");
        end(&peers->rsync_pid);
    }
}

static void start_sshd(struct file_peers *peers)
{
    static const char *const paths[] = {"/usr/sbin/sshd", "/usr/local/sbin/sshd"};
    const char *sshd = NULL;
    char conf[160];

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        sshd = sshd == NULL && access(paths[i], X_OK) == 0 ? paths[i] : sshd;
    if (sshd == NULL || !run("command -v scp ssh-keygen >/dev/null 2>&1")) {
        fprintf(stderr, "kith-bench: sshd and scp are not here, and not compared with\n");
        return;
    }
    peers->sshd_port = free_port();
    snprintf(conf, sizeof(conf), "%s/sshd.conf", peers->dir);
    if (!run("ssh-keygen -q -t ed25519 -N '' -f %s/key && ssh-keygen -q -t ed25519 -N '' -f "
             "%s/host && cp %s/key.pub %s/allowed",
             peers->dir, peers->dir, peers->dir, peers->dir) ||
        !write_text(conf,
                    "Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile "
                    "%s/allowed\nStrictModes no\nPidFile none\nUsePAM no\nSubsystem sftp "
                    "internal-sftp\n",
                    peers->sshd_port, peers->dir, peers->dir))
        return;
    if (geteuid() == 0)
        (void)run(
            "mkdir -p /run/sshd"); /* what its service makes; without it none starts as root */
    const char *const words[] = {sshd, "-D", "-e", "-f", conf, NULL};
    peers->sshd_pid = start(sshd, words);
    if (!answers(peers->sshd_port)) {
        fprintf(stderr, "kith-bench: sshd does not start, and scp is not compared with\n");
        end(&peers->sshd_pid);
    }
}

void file_peers_start(struct file_peers *peers, const char *dir)
{
    snprintf(peers->dir, sizeof(peers->dir), "%s", dir);
    start_rsync(peers);
    start_sshd(peers);
}

void file_peers_stop(struct file_peers *peers)
{
    end(&peers->rsync_pid);
    end(&peers->sshd_pid);
}

/* A client, on the second core. */
static bool run_client(const char *command)
{
    bench_pin(getpid(), 1);
    bool well = run("%s", command);
    bench_pin(getpid(), -1);
    return well;
}

double file_peers_scp(struct file_peers *peers, const char *from, const char *to, double bytes)
{
    uint64_t begun_ns = bench_now_ns();
    char command[700];

    snprintf(command, sizeof(command),
             "scp -P %d " SSH_OPTIONS " 127.0.0.1:%s %s </dev/null >/dev/null", peers->sshd_port,
             peers->dir, from, to);
    if (peers->sshd_pid == 0 || !run_client(command))
        return (double)NAN;
    return bytes / ((double)(bench_now_ns() - begun_ns) / 1e9);
}

double file_peers_rsync(struct file_peers *peers, const char *from, const char *to, double bytes)
{
    uint64_t begun_ns = bench_now_ns();
    char command[700];

    snprintf(command, sizeof(command), "rsync -W --port=%d 127.0.0.1::b/%s %s >/dev/null",
             peers->rsync_port, from, to);
    if (peers->rsync_pid == 0 || !run_client(command))
        return (double)NAN;
    return bytes / ((double)(bench_now_ns() - begun_ns) / 1e9);
}
