/*
 * What Linux offers beyond POSIX for sockets.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/uv_priv.h"

int uvn_os_socket(int family, int type)
{
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int uvn_os_accept(int fd, struct sockaddr *from, socklen_t *from_len)
{
    return accept4(fd, from, from_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int uvn_os_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * A path that swallows what we send ends the connection after this time instead of a quarter of an
 * hour. Best effort: without it the keep-alive frames do the same, later.
 */
void uvn_os_tcp_options(uv_os_fd_t fd, unsigned user_timeout_ms)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}
