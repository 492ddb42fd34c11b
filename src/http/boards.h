/*
 * Boards over HTTP: routes that call the functions of the module whiteboard at this node
 * (docs/protocols/board.md), and the clients that follow one. Loop thread only.
 */
#ifndef HTTP_BOARDS_H
#define HTTP_BOARDS_H

#include <stdbool.h>
#include <uv.h>

struct boards;
struct http_client;
struct http_exchange;
struct http_server;

struct boards *boards_new(struct http_server *server);
/* @closed once its handle is, with the server as the handle's data. */
void boards_stop(struct boards *boards, uv_close_cb closed);
void boards_free(struct boards *boards);

/* Is the exchange's name one of a board? */
bool board_name_fits(const char *name);

/* Takes @x over. NULL if it was refused. */
struct http_client *board_client_new(struct http_exchange *x);

#endif
