#include "net_raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sockaddr_in name_of(uint8_t last, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    name.sin_addr.s_addr = htonl(0x7f000000u | last);
    return name;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    return ntohs(name.sin_port);
}

static void nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int raw_connect(uint16_t port, uint8_t last)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in from = name_of(last, 0), to = name_of(1, port);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    nonblocking(fd);
    return fd;
}

int raw_listen(uint16_t *port_out)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = name_of(1, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 64), 0);
    nonblocking(fd);
    *port_out = port_of(fd);
    return fd;
}

int raw_accept(int fd)
{
    int client = accept(fd, NULL, NULL);
    if (client >= 0)
        nonblocking(client);
    return client;
}

int raw_udp(uint16_t *port_out)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in name = name_of(1, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    nonblocking(fd);
    *port_out = port_of(fd);
    return fd;
}

void raw_send(int fd, const void *data, size_t len)
{
    (void)send(fd, data, len, MSG_NOSIGNAL);
}

void raw_send_to(int fd, uint16_t port, const void *data, size_t len)
{
    struct sockaddr_in to = name_of(1, port);
    assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof(to)), (int)len);
}

int raw_read(int fd, void *data, size_t len)
{
    ssize_t n = recv(fd, data, len, 0);
    if (n > 0)
        return (int)n;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

void raw_close(int fd)
{
    close(fd);
}

void raw_reset(int fd)
{
    struct linger linger = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}
