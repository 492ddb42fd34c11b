/*
 * Which request is which: the table of routes (routes.c) is searched by method and path. Pure.
 *
 * A pattern is a path, or a path with one "*" that stands for a name: it may hold slashes and is
 * not empty. The longest pattern that fits is taken, so "/v1/vars/" "*" "/incr" goes before
 * "/v1/vars/" "*".
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/web.h"

/* What somebody may do; each may all that those before it may. */
enum http_role { HTTP_NOBODY, HTTP_VIEWER, HTTP_OPERATOR, HTTP_ADMIN };

#define HTTP_ROUTE_JSON   1u /* its body is a JSON object of at most HTTP_JSON_BYTES_MAX */
#define HTTP_ROUTE_SOCKET 2u /* a WebSocket */
#define HTTP_ROUTE_PIECES 4u /* its body comes in pieces: a file */

struct http_exchange;

struct http_route {
    enum web_method method;
    const char *pattern;
    enum http_role role; /* HTTP_NOBODY: open */
    unsigned flags;
    const char *verb; /* of the dispatcher; its arguments are the query and, if JSON, the body */
    const char *argument;                 /* the verb's argument that is the name of the path */
    void (*run)(struct http_exchange *x); /* NULL: the verb, as it is */
};

/* Does @path fit @pattern? The name's place in @path, if it has one. */
bool http_route_fits(const char *pattern,
                     const char *path,
                     const char **name_out,
                     size_t *name_len_out);

/*
 * The route of @method and @path in @table of @n; HEAD counts as GET. NULL: @methods_out then has
 * one bit a method (1 << enum web_method) that this path would have; 0: there is no such path.
 */
const struct http_route *http_route_find(const struct http_route *table,
                                         size_t n,
                                         enum web_method method,
                                         const char *path,
                                         const char **name_out,
                                         size_t *name_len_out,
                                         unsigned *methods_out);

const char *http_role_text(enum http_role role);
enum http_role http_role_named(const char *text); /* HTTP_NOBODY if it is none */

#endif
