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
struct json_t; /* jansson's */

/*
 * Connects to the socket at @path. 0; KITH_E_NO_AGENT (says how to start one), KITH_E_PERMISSION,
 * KITH_E_TOO_LARGE (path over 107 bytes), KITH_E_IO.
 */
int agent_client_open(struct agent_client **client_out, const char *path);
void agent_client_close(struct agent_client *client); /* NULL is fine */
int agent_client_fd(const struct agent_client *client);

/* One message that came in. Borrowed until the next call on the client. */
struct agent_message {
    const char *line; /* NUL-terminated, without the newline */
    size_t line_len;
    struct json_t *json; /* the line, an object */
    const uint8_t *data;
    size_t data_len;
};

/*
 * Sends a line (without newline; "data_bytes" must be in it already if @data_len > 0) and raw
 * bytes. What arrives meanwhile is kept, so that two sides that both send never wait for each
 * other. 0; KITH_E_TOO_LARGE; KITH_E_NO_AGENT (it went away); KITH_E_TIMEOUT (10 s without
 * progress); KITH_E_CANCELED (see agent_client_interrupt_on()).
 */
int agent_client_send(struct agent_client *client,
                      const char *line,
                      const void *data,
                      size_t data_len);

/*
 * Waits at most @timeout_ms (UINT64_MAX: for ever). 0, KITH_E_TIMEOUT, KITH_E_NO_AGENT (it went
 * away), KITH_E_CORRUPT (what came is not the protocol: close), KITH_E_CANCELED, KITH_E_MEMORY.
 */
int agent_client_receive(struct agent_client *client,
                         uint64_t timeout_ms,
                         struct agent_message *message_out);
/* True if a whole message has been read already, so that a receive would not wait. */
bool agent_client_pending(const struct agent_client *client);

/* A wait ends with KITH_E_CANCELED once *@flag is not zero and a signal has interrupted it. NULL:
 * never. */
void agent_client_interrupt_on(struct agent_client *client, const volatile int *flag);

/*
 * Which socket a command or program talks to: @choice if not NULL (a socket, or a data directory),
 * else KITH_SOCKET, else the default data directory's agent, else the first running dev node.
 * 0; KITH_E_NO_AGENT; KITH_E_TOO_LARGE (a socket path over 107 bytes: says so).
 */
int agent_socket_find(const char *choice, char *path_out, size_t path_bytes);

/* Name of the control socket in a data directory. */
#define AGENT_SOCKET_NAME "kith.sock"
/* Longest path of a socket that Linux takes, less the NUL. */
#define AGENT_SOCKET_PATH_MAX 107

/* Default directory of `kith dev`: $XDG_STATE_HOME/kith-dev. 0 or KITH_E_NOT_FOUND,
 * KITH_E_TOO_LARGE. */
int agent_dev_dir_default(char *out, size_t out_bytes);
/* Lowest K of a dev node in @dir whose agent accepts connections; 0 if none runs. */
unsigned agent_dev_first(const char *dir);

#endif
