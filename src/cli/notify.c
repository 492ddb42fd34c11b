/* See notify.h. */
#include "cli/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/text.h"

void notify(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[512];
    va_list list;

    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
        return;
    va_start(list, format);
    int n = vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') /* the abstract namespace */
        address.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (n > 0)
        (void)sendto(fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1,
                     MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, len);
    (void)close(fd);
}

uint64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t period_us, whose;

    if (usec == NULL || text_parse_u64(usec, 2000, UINT64_MAX, &period_us) != 0)
        return 0;
    if (pid != NULL &&
        (text_parse_u64(pid, 1, UINT64_MAX, &whose) != 0 || whose != (uint64_t)getpid()))
        return 0;
    return period_us / 2000;
}
