/*
 * A blocking client of an agent's control socket (docs/protocols/control.md): used by the command,
 * and by programs that take cluster and secret from an agent. One thread at a time per client.
 */
#ifndef NODE_AGENT_CLIENT_H
#define NODE_AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

struct agent_client;

/* Connects to the socket at @path. 0; KITH_E_NO_AGENT (says how to start one), KITH_E_PERMISSION, KITH_E_IO. */
int agent_client_open(struct agent_client **client_out, const char *path);
void agent_client_close(struct agent_client *client);
int agent_client_fd(const struct agent_client *client);

/* One message that came in: its JSON line (NUL-terminated) and the raw bytes behind it. Borrowed until the next call. */
struct agent_message {
    const char *line;
    size_t line_len;
    const uint8_t *data;
    size_t data_len;
};
/* Sends a line (without newline; "data_bytes" must be in it already if @data_len > 0) and raw bytes. */
int agent_client_send(struct agent_client *client, const char *line, const void *data, size_t data_len);
/* Waits at most @timeout_ms (UINT64_MAX: for ever). 0, KITH_E_TIMEOUT, KITH_E_NO_AGENT (it went away), KITH_E_CORRUPT. */
int agent_client_receive(struct agent_client *client, uint64_t timeout_ms, struct agent_message *message_out);

/*
 * Which socket a command or program talks to: @choice if not NULL (a socket, or a data directory),
 * else KITH_SOCKET, else the default data directory's agent, else the first running dev node.
 * 0; KITH_E_NO_AGENT; KITH_E_TOO_LARGE (a socket path over 107 bytes: says so).
 */
int agent_socket_find(const char *choice, char *path_out, size_t path_bytes);
/* Default directory of `kith dev`: $XDG_STATE_HOME/kith-dev. */
int agent_dev_dir_default(char *out, size_t out_bytes);

#endif
