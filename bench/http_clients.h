/*
 * Many clients of a node's pages in one thread: WebSockets that follow topics of the stream as a
 * page does, and pages that fetch what a page fetches from time to time. They look at nothing but
 * lengths.
 */
#ifndef BENCH_HTTP_CLIENTS_H
#define BENCH_HTTP_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CLIENTS_MAX 600 /* below what a node allows: 640 WebSockets */

struct http_clients;

/* What one span of time brought, of all clients together. */
struct http_span {
    uint64_t bytes;    /* received, with heads of frames and answers */
    uint64_t messages; /* of WebSockets */
    uint64_t answers;  /* bytes of answers to what pages fetched are in bytes */
};

/* Connects @n WebSockets to 127.0.0.1:@port as @token and lets each follow nodes and resources.
 * With
 * @pages each also fetches, as an open overview does, its history and its view. NULL and a message
 * on stderr if one was refused. */
struct http_clients *http_clients_open(unsigned port, const char *token, unsigned n, bool pages);
/* Takes in what comes for @ms. 0, or -1 and a message if a client was closed. */
int http_clients_run(struct http_clients *clients, uint64_t ms, struct http_span *span_out);
/* Tells the node that nobody looks, or that somebody does again. */
int http_clients_hide(struct http_clients *clients, bool hidden);
void http_clients_close(struct http_clients *clients);

#endif
