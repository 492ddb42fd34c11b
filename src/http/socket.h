/* What the system knows of a connection, and how many there may be. */
#ifndef HTTP_SOCKET_H
#define HTTP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/log.h"

/* Bytes received in all, and ms since the last of them. 0, or -1 and zeros. */
int http_socket_received(int fd, uint64_t *bytes_out, uint32_t *quiet_ms_out);
/* Bytes that the other side has acknowledged. */
uint64_t http_socket_acked(int fd);
/* Has the other side ended it? */
bool http_socket_ended(int fd);
/* Bytes that have come and that nobody has read yet. */
size_t http_socket_unread(int fd);
/* Drops what has come; was there something? */
bool http_socket_drop(int fd);
/* What is no whole request gets its answer past the library, which would say nothing. */
void http_socket_say(int fd, const char *text, size_t len);
/* At most HTTP_CONNECTIONS_MAX and half of the descriptors: the other half is the peers'. */
unsigned http_connections_max(void);

/* A line of the web library, to our log, and not too many. */
void http_library_line(struct log *log, bool warns, const char *line);

#endif
