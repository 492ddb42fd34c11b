/* Ports and descriptors, as the system has them. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "core/limits.h"
#include "http/socket.h"
#include "http/web.h"

/* At most half of the descriptors: the other half is the peers'. */
unsigned http_connections_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 2 > HTTP_CONNECTIONS_MAX)
        return HTTP_CONNECTIONS_MAX;
    return (unsigned)(limit.rlim_cur / 2);
}

bool web_port_free(const char *host, uint16_t port)
{
    struct sockaddr_storage address = {0};
    int one = 1;

    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&address) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&address) != 0)
        return false;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_free = bind(fd, (struct sockaddr *)&address,
                        address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                     : sizeof(struct sockaddr_in6)) == 0 &&
                   listen(fd, 1) == 0;
    (void)close(fd);
    return is_free;
}

void http_library_line(struct log *log, bool warns, const char *line)
{
    static struct log_limit limit; /* of all nodes of this process */
    char text[256];
    uint64_t held;

    snprintf(text, sizeof(text), "%s", line);
    text[strcspn(text, "\r\n")] = '\0';
    if (log_limit_pass(&limit, uv_hrtime() / 1000000, HTTP_LOG_PERIOD_MS, &held))
        log_line(log, warns ? KITH_LOG_WARN : KITH_LOG_DEBUG, "http", text, NULL);
}
