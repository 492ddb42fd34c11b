/*
 * Web addresses that stand in headers of this node's answers: what is one, and those that were
 * members' once. Their pages are still open, and go on here. Pure.
 */
#ifndef HTTP_ORIGINS_H
#define HTTP_ORIGINS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/list.h"

#define HTTP_ORIGIN_BYTES_MAX 159

struct http_origins {
    struct list all; /* oldest first */
    size_t n;
};

void http_origins_init(struct http_origins *origins);
void http_origins_deinit(struct http_origins *origins);
/*
 * Keeps @text as the newest; "" is none. The oldest beyond HTTP_ORIGINS_FORMER_MAX goes. Without
 * memory it is not kept: its pages have to be loaded anew elsewhere.
 */
void http_origins_keep(struct http_origins *origins, const char *text);
/* Calls @fn for each, the oldest first. */
void http_origins_each(const struct http_origins *origins,
                       void (*fn)(void *user, const char *text),
                       void *user);
/* Whether it is kept; case does not matter. */
bool http_origins_has(const struct http_origins *origins, const char *text);
/* "http://HOST:PORT" or with https, of at most HTTP_ORIGIN_BYTES_MAX, and nothing behind it. */
bool http_origin_fits(const char *text);

#endif
