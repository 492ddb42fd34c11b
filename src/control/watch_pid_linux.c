/* Processes of others by pidfd: a reused pid cannot fool it. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/watch_pid.h"
#include "core/alloc.h"
#include "core/error.h"

struct watch_pid {
    uv_poll_t poll;
    int fd;
    void (*ended)(void *user);
    void *user;
};

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch_pid *watch = poll->data;
    void (*ended)(void *) = watch->ended;

    (void)status;
    (void)events;
    uv_poll_stop(poll);
    watch->ended = NULL;
    if (ended != NULL)
        ended(watch->user);
}

int watch_pid_open(uv_loop_t *loop,
                   int64_t pid,
                   void (*ended)(void *user),
                   void *user,
                   struct watch_pid **watch_out)
{
    struct watch_pid *watch = core_calloc(1, sizeof(*watch));

    if (watch == NULL)
        return KITH_E_MEMORY;
    watch->fd = pid > 0 && pid <= INT32_MAX ? (int)syscall(SYS_pidfd_open, (int)pid, 0) : -1;
    if (watch->fd < 0) {
        int code = pid > 0 && errno == ENOSYS ? KITH_E_UNSUPPORTED : KITH_E_NOT_FOUND;
        core_free(watch);
        return kith_fail_with(code, "process %lld cannot be watched: %s", (long long)pid,
                              code == KITH_E_NOT_FOUND ? "there is no such process"
                                                       : "the kernel has no pidfd_open");
    }
    watch->ended = ended;
    watch->user = user;
    uv_poll_init(loop, &watch->poll, watch->fd);
    watch->poll.data = watch;
    uv_poll_start(&watch->poll, UV_READABLE, on_ready);
    *watch_out = watch;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct watch_pid *watch = handle->data;

    close(watch->fd);
    core_free(watch);
}

void watch_pid_close(struct watch_pid *watch)
{
    if (watch == NULL)
        return;
    watch->ended = NULL;
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}
