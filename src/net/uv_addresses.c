/*
 * Socket addresses, and those of this host that are worth telling others.
 *
 * All usable ones are told: a host with two networks cannot know which of them a peer sits on, so
 * peers race the addresses and remember what worked (ux 2.A).
 */
#include "net/uv_addr.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "kith/error.h"
#include "net/uv_net.h"

bool uvn_addr_from(union uvn_addr *addr_out, const struct sockaddr *sa)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memset(addr_out, 0, sizeof(*addr_out));
    if (sa->sa_family == AF_INET) {
        memcpy(&addr_out->in, sa, sizeof(addr_out->in));
        memset(addr_out->in.sin_zero, 0, sizeof(addr_out->in.sin_zero));
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof(in6));
    if (memcmp(in6.sin6_addr.s6_addr, mapped, sizeof(mapped)) == 0) {
        addr_out->in.sin_family = AF_INET;
        addr_out->in.sin_port = in6.sin6_port;
        memcpy(&addr_out->in.sin_addr, in6.sin6_addr.s6_addr + 12, 4);
        return true;
    }
    addr_out->in6 = in6;
    addr_out->in6.sin6_flowinfo = 0;
    return true;
}

int uvn_addr_parse(const char *text,
                   union uvn_addr *addr_out,
                   char *host_out,
                   size_t host_bytes,
                   uint16_t *port_out)
{
    memset(addr_out, 0, sizeof(*addr_out));
    *port_out = 0;
    if (text_split_address(text, host_out, host_bytes, NET_PORT_DEFAULT, port_out) != 0) {
        *port_out = 0;
        return KITH_E_PARSE;
    }
    struct sockaddr_in in;
    if (uv_ip4_addr(host_out, *port_out, &in) == 0) {
        (void)uvn_addr_from(addr_out, (const struct sockaddr *)&in);
        return 0;
    }
    struct sockaddr_in6 in6;
    if (uv_ip6_addr(host_out, *port_out, &in6) == 0) {
        (void)uvn_addr_from(addr_out, (const struct sockaddr *)&in6);
        return 0;
    }
    memset(addr_out, 0, sizeof(*addr_out));
    return KITH_E_PARSE;
}

char *uvn_addr_text(const union uvn_addr *addr, char text_out[KITH_ADDRESS_TEXT_MAX + 1])
{
    char host[INET6_ADDRSTRLEN + UV_IF_NAMESIZE] = ""; /* with a % between, for a NUL */
    text_out[0] = '\0';
    if (addr->sa.sa_family == AF_INET) {
        if (uv_ip4_name(&addr->in, host, sizeof(host)) == 0)
            (void)snprintf(text_out, KITH_ADDRESS_TEXT_MAX + 1, "%s:%u", host,
                           (unsigned)uvn_addr_port(addr));
    } else if (addr->sa.sa_family == AF_INET6) {
        if (uv_ip6_name(&addr->in6, host, INET6_ADDRSTRLEN) != 0)
            return text_out;
        if (addr->in6.sin6_scope_id != 0) {
            char zone[UV_IF_NAMESIZE];
            size_t zone_len = sizeof(zone);
            size_t len = strlen(host);
            if (uv_if_indextoname(addr->in6.sin6_scope_id, zone, &zone_len) == 0)
                (void)snprintf(host + len, sizeof(host) - len, "%%%s", zone);
        }
        (void)snprintf(text_out, KITH_ADDRESS_TEXT_MAX + 1, "[%s]:%u", host,
                       (unsigned)uvn_addr_port(addr));
    }
    return text_out;
}

uint16_t uvn_addr_port(const union uvn_addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return ntohs(addr->in.sin_port);
    return addr->sa.sa_family == AF_INET6 ? ntohs(addr->in6.sin6_port) : 0;
}

void uvn_addr_set_port(union uvn_addr *addr, uint16_t port)
{
    if (addr->sa.sa_family == AF_INET)
        addr->in.sin_port = htons(port);
    else if (addr->sa.sa_family == AF_INET6)
        addr->in6.sin6_port = htons(port);
}

bool uvn_addr_same_host(const union uvn_addr *a, const union uvn_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0 &&
           a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool uvn_addr_equal(const union uvn_addr *a, const union uvn_addr *b)
{
    return uvn_addr_same_host(a, b) && uvn_addr_port(a) == uvn_addr_port(b);
}

bool uvn_addr_is_any(const union uvn_addr *addr)
{
    static const uint8_t zero[16];
    if (addr->sa.sa_family == AF_INET)
        return addr->in.sin_addr.s_addr == 0;
    return addr->sa.sa_family == AF_INET6 && memcmp(&addr->in6.sin6_addr, zero, 16) == 0;
}

bool uvn_addr_is_loopback(const union uvn_addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return (ntohl(addr->in.sin_addr.s_addr) >> 24) == 127;
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

bool uvn_addr_is_link_local(const union uvn_addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return (ntohl(addr->in.sin_addr.s_addr) >> 16) == 0xa9fe;
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr->in6.sin6_addr);
}

void uvn_addr_map_v6(union uvn_addr *addr)
{
    if (addr->sa.sa_family != AF_INET)
        return;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = addr->in.sin_port};
    in6.sin6_addr.s6_addr[10] = 0xff;
    in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(in6.sin6_addr.s6_addr + 12, &addr->in.sin_addr, 4);
    addr->in6 = in6;
}

/* One pass over the interfaces: those of @family that are (or are not) loopback. */
static size_t collect(const uv_interface_address_t *list,
                      int list_n,
                      int family,
                      bool loopback,
                      uint16_t port,
                      char out[][KITH_ADDRESS_TEXT_MAX + 1],
                      size_t n,
                      size_t out_max)
{
    for (int i = 0; i < list_n && n < out_max; i++) {
        union uvn_addr addr;
        if (!uvn_addr_from(&addr, (const struct sockaddr *)&list[i].address))
            continue;
        if (addr.sa.sa_family != family || uvn_addr_is_link_local(&addr) ||
            uvn_addr_is_loopback(&addr) != loopback)
            continue;
        if (!loopback && list[i].is_internal)
            continue;
        uvn_addr_set_port(&addr, port);
        uvn_addr_text(&addr, out[n]);
        bool known = out[n][0] == '\0';
        for (size_t j = 0; j < n && !known; j++)
            known = strcmp(out[j], out[n]) == 0;
        if (!known)
            n++;
    }
    return n;
}

size_t uvn_host_addresses(const union uvn_addr *bound,
                          char out[][KITH_ADDRESS_TEXT_MAX + 1],
                          size_t out_max)
{
    if (out_max == 0)
        return 0;
    if (!uvn_addr_is_any(bound)) {
        uvn_addr_text(bound, out[0]);
        return out[0][0] != '\0' ? 1 : 0;
    }
    uv_interface_address_t *list = NULL;
    int list_n = 0;
    if (uv_interface_addresses(&list, &list_n) != 0)
        return 0;
    bool v6 = bound->sa.sa_family == AF_INET6;
    uint16_t port = uvn_addr_port(bound);
    size_t n = 0;
    for (int loopback = 0; loopback < 2 && n == 0; loopback++) {
        n = collect(list, list_n, AF_INET, loopback != 0, port, out, n, out_max);
        if (v6)
            n = collect(list, list_n, AF_INET6, loopback != 0, port, out, n, out_max);
    }
    uv_free_interface_addresses(list, list_n);
    return n;
}
