#include "http/socket.h"

#include <linux/tcp.h> /* the C library's does not count bytes */
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/limits.h"

#define TCP_STATE_ESTABLISHED 1 /* the kernel's number, in no header for programs */

int http_socket_received(int fd, uint64_t *bytes_out, uint32_t *quiet_ms_out)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    int r = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    *bytes_out = r == 0 ? info.tcpi_bytes_received : 0;
    *quiet_ms_out = r == 0 ? info.tcpi_last_data_recv : 0;
    return r;
}

uint64_t http_socket_acked(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_acked : 0;
}

bool http_socket_ended(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return true;
    return info.tcpi_state != TCP_STATE_ESTABLISHED;
}

size_t http_socket_unread(int fd)
{
    int n = 0;
    return ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

bool http_socket_drop(int fd)
{
    ssize_t n, all = 0;

    while (all < HTTP_LINGER_BYTES_MAX &&
           (n = recv(fd, NULL, HTTP_LINGER_BYTES_MAX, MSG_TRUNC | MSG_DONTWAIT)) > 0)
        all += n;
    return all > 0;
}

void http_socket_say(int fd, const char *text, size_t len)
{
    (void)!send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}
