/* See process.h. */
#include "cli/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

void process_die_with_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(127);
}

int process_of_socket(const char *path, pid_t *pid_out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int r = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0) {
        *pid_out = peer.pid;
        r = 0;
    }
    (void)close(fd);
    return r;
}

int process_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int process_signal(int process, int signal_no)
{
    return (int)syscall(SYS_pidfd_send_signal, process, signal_no, NULL, 0);
}

bool process_wait_gone(int process, uint64_t timeout_ms)
{
    struct pollfd fd = {.fd = process, .events = POLLIN};
    int n;

    do {
        n = poll(&fd, 1, timeout_ms > 3600000 ? 3600000 : (int)timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}
