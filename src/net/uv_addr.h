/*
 * Socket addresses as the driver holds them, and their texts.
 */
#ifndef NET_UV_ADDR_H
#define NET_UV_ADDR_H

#include <uv.h>

#include "kith/api.h"

/* Large enough for both families, a quarter of a sockaddr_storage. sa.sa_family 0: none. */
union uvn_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Takes an IPv4 or IPv6 address (a mapped IPv4 one becomes IPv4); false for any other family. */
bool uvn_addr_from(union uvn_addr *addr_out, const struct sockaddr *sa);
/*
 * "1.2.3.4:5", "[v6%zone]:5". 0; KITH_E_PARSE if the text is neither (a name with a port, or no
 * address at all): then host and port are still set if it could be split, else *port_out is 0.
 */
int uvn_addr_parse(const char *text,
                   union uvn_addr *addr_out,
                   char *host_out,
                   size_t host_bytes,
                   uint16_t *port_out);
/* @text_out: KITH_ADDRESS_TEXT_MAX + 1. Returns it; "" for none. */
char *uvn_addr_text(const union uvn_addr *addr, char text_out[KITH_ADDRESS_TEXT_MAX + 1]);
uint16_t uvn_addr_port(const union uvn_addr *addr);
void uvn_addr_set_port(union uvn_addr *addr, uint16_t port);
bool uvn_addr_equal(const union uvn_addr *a, const union uvn_addr *b);
/* Equal but for the port. */
bool uvn_addr_same_host(const union uvn_addr *a, const union uvn_addr *b);
bool uvn_addr_is_any(const union uvn_addr *addr);
bool uvn_addr_is_loopback(const union uvn_addr *addr);
bool uvn_addr_is_link_local(const union uvn_addr *addr);
/* IPv4 as a mapped IPv6 address, for a dual-stack socket; IPv6 unchanged. */
void uvn_addr_map_v6(union uvn_addr *addr);

/*
 * The addresses of this host at which others may reach @bound (its port is used), best first:
 * all of the family if it is the wildcard, else just it. Loopback only if there is nothing else;
 * link-local never (they mean nothing on another host). Returns how many.
 */
size_t uvn_host_addresses(const union uvn_addr *bound,
                          char out[][KITH_ADDRESS_TEXT_MAX + 1],
                          size_t out_max);

#endif
