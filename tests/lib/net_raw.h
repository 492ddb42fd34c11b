/* Plain sockets against a peer channel: strangers, eavesdroppers, and deaf ends. */
#ifndef TESTS_NET_RAW_H
#define TESTS_NET_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connected non-blocking TCP socket from 127.0.0.@last to 127.0.0.1:@port. */
int raw_connect(uint16_t port, uint8_t last);
/* A listening one; *port_out is its number. */
int raw_listen(uint16_t *port_out);
int raw_accept(int fd); /* -1: nobody yet */
/* A bound non-blocking UDP socket. */
int raw_udp(uint16_t *port_out);
void raw_send(int fd, const void *data, size_t len);
void raw_send_to(int fd, uint16_t port, const void *data, size_t len);
/* Bytes read; 0: nothing yet; -1: the other end closed. */
int raw_read(int fd, void *data, size_t len);
void raw_close(int fd);
void raw_reset(int fd); /* with RST */

#endif
