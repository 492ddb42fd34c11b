#include "http/client.h"

#include "http/session.h"
#include "http/web.h"

#define CLOSE_LOGGED_OUT 4401

void http_client_init(struct http_client *client,
                      const struct http_client_kind *kind,
                      struct http_session *session)
{
    client->kind = kind;
    client->socket = NULL;
    client->session_over = false;
    list_append(&session->sockets, &client->session_link);
}

void http_client_open(struct http_client *client, struct web_socket *socket)
{
    client->socket = socket;
    if (client->kind->binary)
        web_socket_binary(socket);
    client->kind->open(client);
    if (client->session_over)
        web_socket_close(socket, CLOSE_LOGGED_OUT, "");
}

void http_clients_end(struct http_session *session)
{
    struct list *link;

    while ((link = list_first(&session->sockets)) != NULL) {
        struct http_client *client = container_of(link, struct http_client, session_link);
        list_remove(link);
        client->session_over = true;
        if (client->socket != NULL)
            web_socket_close(client->socket, CLOSE_LOGGED_OUT, "");
    }
}
