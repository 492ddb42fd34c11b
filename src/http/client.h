/* A client on a WebSocket, whatever is spoken there: the stream, or a board. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/list.h"

struct http_client;
struct http_session;
struct web_socket;

struct http_client_kind {
    bool binary; /* its messages, both ways */
    void (*open)(struct http_client *client);
    void (*message)(struct http_client *client, const char *data, size_t len);
    void (*writable)(struct http_client *client); /* after web_socket_wake(); one message */
    void (*closed)(struct http_client *client);   /* it is to be freed */
};

struct http_client {
    const struct http_client_kind *kind;
    struct list session_link;  /* http_session.sockets */
    struct web_socket *socket; /* NULL: not open yet */
    bool session_over;
};

/* client.c. @session is who it is; the socket closes with it. */
void http_client_init(struct http_client *client,
                      const struct http_client_kind *kind,
                      struct http_session *session);
void http_client_open(struct http_client *client, struct web_socket *socket);
/* Closes the clients of @session, which ends. */
void http_clients_end(struct http_session *session);

#endif
