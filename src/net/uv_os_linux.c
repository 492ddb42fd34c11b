/*
 * What Linux offers beyond POSIX for sockets.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/uv_priv.h"

/*
 * A path that swallows what we send ends the connection after this time instead of a quarter of an
 * hour. Best effort: without it the keep-alive frames do the same, later.
 */
void uvn_os_tcp_options(uv_os_fd_t fd, unsigned user_timeout_ms)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}
