#include "http/socket.h"

#include <linux/tcp.h> /* the C library's does not count bytes */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

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

bool http_socket_ended(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return true;
    return info.tcpi_state != TCP_STATE_ESTABLISHED;
}

void http_socket_say(int fd, const char *status)
{
    char text[160];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    (void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}
