/*
 * Connections that are refused in the middle of what they send. A socket that is closed with bytes
 * unread is reset, and a reset can overtake the answer on its way to the client. So a second
 * descriptor keeps it, everything sent, until the client has ended or a moment has passed; what
 * comes is thrown away.
 */
#include "http/linger.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/limits.h"

/* The library has sent what it sends at the end by then. */
#define SAY_MS 20

struct lingering {
    struct list link;
    struct http_lingers *all;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles_n;
    int fd;
    size_t read_n;
    bool said; /* the end was sent */
};

static void on_closed(uv_handle_t *handle)
{
    struct lingering *linger = handle->data;
    struct http_lingers *all = linger->all;

    if (--linger->handles_n > 0)
        return;
    (void)close(linger->fd);
    core_free(linger);
    all->n--;
    if (all->n == 0 && all->ended != NULL)
        all->ended(all->arg);
}

static void linger_end(struct lingering *linger)
{
    if (!list_linked(&linger->link))
        return;
    list_remove(&linger->link);
    uv_close((uv_handle_t *)&linger->poll, on_closed);
    uv_close((uv_handle_t *)&linger->timer, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct lingering *linger = poll->data;
    char waste[16384];

    (void)events;
    ssize_t n = status == 0 ? recv(linger->fd, waste, sizeof(waste), MSG_DONTWAIT) : 0;
    if (n > 0)
        linger->read_n += (size_t)n;
    if (n == 0 || linger->read_n >= HTTP_LINGER_BYTES_MAX)
        linger_end(linger);
}

static void on_time(uv_timer_t *timer)
{
    struct lingering *linger = timer->data;

    if (linger->said) {
        linger_end(linger);
        return;
    }
    /* The library closes its descriptor, but with TLS it does not end the stream. */
    linger->said = true;
    (void)shutdown(linger->fd, SHUT_WR);
    uv_timer_start(timer, on_time, HTTP_LINGER_MS, 0);
}

void http_linger(struct http_lingers *all, int fd)
{
    struct lingering *linger = NULL;
    int copy = -1;

    if (all->n < HTTP_LINGERS_MAX)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0)
        linger = core_calloc(1, sizeof(*linger));
    if (linger == NULL || uv_poll_init(all->loop, &linger->poll, copy) != 0) {
        if (copy >= 0)
            (void)close(copy);
        core_free(linger);
        return;
    }
    linger->all = all;
    linger->fd = copy;
    linger->handles_n = 2;
    linger->poll.data = linger->timer.data = linger;
    list_append(&all->list, &linger->link);
    all->n++;
    uv_timer_init(all->loop, &linger->timer);
    uv_timer_start(&linger->timer, on_time, SAY_MS, 0);
    uv_poll_start(&linger->poll, UV_READABLE, on_readable);
}

void http_lingers_init(struct http_lingers *all, uv_loop_t *loop)
{
    *all = (struct http_lingers){.loop = loop};
    list_init(&all->list);
}

void http_lingers_end(struct http_lingers *all, void (*ended)(void *arg), void *arg)
{
    all->ended = ended;
    all->arg = arg;
    if (all->n == 0) {
        ended(arg);
        return;
    }
    list_for_each_safe (it, &all->list) {
        linger_end(container_of(it, struct lingering, link));
    }
}
