/* The end of connections that are refused while they still send. Loop thread only. */
#ifndef HTTP_LINGER_H
#define HTTP_LINGER_H

#include <uv.h>

#include "core/list.h"

struct http_lingers {
    uv_loop_t *loop;
    struct list list;
    unsigned n; /* at most HTTP_LINGERS_MAX; what is beyond is reset */
    void (*ended)(void *arg);
    void *arg;
};

void http_lingers_init(struct http_lingers *all, uv_loop_t *loop);
/* The answer has been sent on @fd, which somebody else closes in this turn of the loop: its stream
 * ends after the answer, what still comes is read away, and then it is closed. */
void http_linger(struct http_lingers *all, int fd);
/* Ends all of them; @ended once, perhaps before this returns. */
void http_lingers_end(struct http_lingers *all, void (*ended)(void *arg), void *arg);

#endif
