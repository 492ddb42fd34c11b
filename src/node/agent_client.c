/*
 * See agent_client.h. One non-blocking socket and poll(); everything that came in stands in one
 * buffer, bounded by the largest message the protocol allows.
 */
#include "node/agent_client.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"

#define SEND_STALL_MS 10000
#define READ_BYTES    (64 * 1024)
/* A whole message, and one read behind it. */
#define INPUT_BYTES_MAX (CONTROL_LINE_BYTES_MAX + 1 + (size_t)CONTROL_DATA_BYTES_MAX + READ_BYTES)

struct agent_client {
    int fd;
    bool gone;    /* the other side closed or broke */
    bool corrupt; /* the stream cannot be followed any more */
    struct buf in;
    size_t used;    /* bytes of `in` that were given out */
    size_t scanned; /* bytes behind `used` known to hold no newline */
    /* The next message as far as it is known: parsed once, its data may still be missing. */
    json_t *head;
    size_t head_len; /* line and newline */
    size_t data_len;
    json_t *given; /* of the message given out last */
    const volatile int *interrupted;
    char path[AGENT_SOCKET_PATH_MAX + 1];
};

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int no_agent(const char *path)
{
    size_t dir_len = strlen(path);

    if (dir_len > strlen(AGENT_SOCKET_NAME) &&
        strcmp(path + dir_len - strlen(AGENT_SOCKET_NAME), AGENT_SOCKET_NAME) == 0)
        dir_len -= strlen(AGENT_SOCKET_NAME) + 1;
    return kith_fail_with(KITH_E_NO_AGENT,
                          "no agent answers at %s: start one with kith agent --data-dir %.*s", path,
                          (int)dir_len, path);
}

/* A connected non-blocking socket, or -1 and errno. Connecting to a Unix socket does not wait. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int failed = errno;
        (void)close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

static int check_path(const char *path)
{
    if (strlen(path) <= AGENT_SOCKET_PATH_MAX)
        return 0;
    return kith_fail_with(KITH_E_TOO_LARGE,
                          "the socket path %s has %zu bytes, %d are possible: choose a shorter "
                          "data directory",
                          path, strlen(path), AGENT_SOCKET_PATH_MAX);
}

int agent_client_open(struct agent_client **client_out, const char *path)
{
    int r = check_path(path);

    *client_out = NULL;
    if (r != 0)
        return r;
    int fd = connect_to(path);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return kith_fail_with(
            KITH_E_PERMISSION,
            "%s may be used by its owner only: run this as the user of that agent", path);
    if (fd < 0 && errno == EAGAIN)
        return kith_fail_with(KITH_E_NO_AGENT,
                              "the agent at %s takes no more connections: it hangs or is stopped, "
                              "look at its log",
                              path);
    if (fd < 0)
        return no_agent(path);
    struct agent_client *client = core_calloc(1, sizeof(*client));
    if (client == NULL) {
        (void)close(fd);
        return KITH_E_MEMORY;
    }
    client->fd = fd;
    memcpy(client->path, path, strlen(path) + 1);
    *client_out = client;
    return 0;
}

void agent_client_close(struct agent_client *client)
{
    if (client == NULL)
        return;
    (void)close(client->fd);
    json_decref(client->head);
    json_decref(client->given);
    buf_deinit(&client->in);
    core_free(client);
}

int agent_client_fd(const struct agent_client *client)
{
    return client->fd;
}

void agent_client_interrupt_on(struct agent_client *client, const volatile int *flag)
{
    client->interrupted = flag;
}

/* ---- input ------------------------------------------------------------------------------------
 */

static int not_the_protocol(struct agent_client *client, const char *why)
{
    client->corrupt = true;
    return kith_fail_with(KITH_E_CORRUPT, "what answers at %s is no agent of kith: %s",
                          client->path, why);
}

/*
 * Drops what was given out. Only before reading more, not for each message: many small ones often
 * stand behind one another, and moving the rest of the buffer for each would cost its square.
 */
static void input_drop_used(struct agent_client *client)
{
    if (client->used > 0) {
        buf_consume(&client->in, client->used);
        client->used = 0;
    }
}

/* Reads what is there, up to the bound. 0 also when nothing is there. */
static int input_read(struct agent_client *client)
{
    struct buf *in = &client->in;

    input_drop_used(client);
    while (!client->gone && in->len < INPUT_BYTES_MAX) {
        if (buf_reserve(in, READ_BYTES) != 0)
            return KITH_E_MEMORY;
        ssize_t n = recv(client->fd, in->data + in->len, READ_BYTES, 0);
        if (n > 0) {
            in->len += (size_t)n;
            if (n < READ_BYTES)
                return 0;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            client->gone = true;
        } else if (errno == EAGAIN) {
            return 0;
        }
    }
    return 0;
}

/* Parses the line of the next message if it is complete. 0, or KITH_E_CORRUPT. */
static int input_head(struct agent_client *client)
{
    size_t len = client->in.len - client->used;

    if (client->head != NULL || len == 0)
        return 0;
    const char *start = (const char *)client->in.data + client->used;
    const char *nl = memchr(start + client->scanned, '\n', len - client->scanned);
    if (nl == NULL) {
        client->scanned = len;
        return len > CONTROL_LINE_BYTES_MAX ? not_the_protocol(client, "its line has no end") : 0;
    }
    client->scanned = 0;
    if ((size_t)(nl - start) > CONTROL_LINE_BYTES_MAX)
        return not_the_protocol(client, "its line is too long");
    client->head = json_loadb(start, (size_t)(nl - start), 0, NULL);
    if (!json_is_object(client->head))
        return not_the_protocol(client, "its line is no JSON object");
    json_int_t data_len = json_integer_value(json_object_get(client->head, "data_bytes"));
    if (data_len < 0 || data_len > CONTROL_DATA_BYTES_MAX)
        return not_the_protocol(client, "its data_bytes is out of range");
    client->head_len = (size_t)(nl - start) + 1;
    client->data_len = (size_t)data_len;
    return 0;
}

static bool input_complete(const struct agent_client *client)
{
    return client->head != NULL &&
           client->in.len - client->used >= client->head_len + client->data_len;
}

bool agent_client_pending(const struct agent_client *client)
{
    if (input_complete(client))
        return true;
    /* Small messages often stand behind one another: the next line may be whole already. */
    size_t len = client->in.len - client->used;
    return client->head == NULL && len > 0 &&
           memchr(client->in.data + client->used, '\n', len) != NULL;
}

static void input_give(struct agent_client *client, struct agent_message *message_out)
{
    uint8_t *start = client->in.data + client->used;

    start[client->head_len - 1] = '\0';
    message_out->line = (const char *)start;
    message_out->line_len = client->head_len - 1;
    message_out->json = client->head;
    message_out->data = start + client->head_len;
    message_out->data_len = client->data_len;
    client->used += client->head_len + client->data_len;
    client->given = client->head;
    client->head = NULL;
}

/* ---- waiting ------------------------------------------------------------------------------------
 */

static int went_away(const struct agent_client *client)
{
    return kith_fail_with(
        KITH_E_NO_AGENT,
        "the agent at %s went away: see its log, and start it again with kith agent", client->path);
}

/* Waits for @events until @deadline_ms. 0 (something happened), KITH_E_TIMEOUT, KITH_E_CANCELED. */
static int wait_for(struct agent_client *client, short events, uint64_t deadline_ms)
{
    struct pollfd fd = {.fd = client->fd, .events = events};

    for (;;) {
        int wait = -1;
        if (client->interrupted != NULL && *client->interrupted != 0)
            return KITH_E_CANCELED;
        if (deadline_ms != UINT64_MAX) {
            uint64_t now = now_ms();
            uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
            wait = left > 3600000 ? 3600000 : (int)left;
        }
        int n = poll(&fd, 1, wait);
        if (n > 0)
            return 0;
        if (n == 0 && wait == 0)
            return KITH_E_TIMEOUT; /* looked once even if the time was up before */
        if (n < 0 && errno != EINTR)
            return kith_fail_with(KITH_E_IO, "waiting for %s: %s", client->path, strerror(errno));
    }
}

int agent_client_receive(struct agent_client *client,
                         uint64_t timeout_ms,
                         struct agent_message *message_out)
{
    uint64_t deadline_ms = timeout_ms == UINT64_MAX ? UINT64_MAX : now_ms() + timeout_ms;

    *message_out = (struct agent_message){0};
    json_decref(client->given);
    client->given = NULL;
    for (;;) {
        if (client->corrupt)
            return KITH_E_CORRUPT;
        int r = input_head(client);
        if (r != 0)
            return r;
        if (input_complete(client)) {
            input_give(client, message_out);
            return 0;
        }
        if (client->gone)
            return went_away(client);
        r = wait_for(client, POLLIN, deadline_ms);
        if (r == KITH_E_TIMEOUT)
            return kith_fail_with(r,
                                  "the agent at %s did not answer in %g s: it is busy or stopped; "
                                  "its log tells more, "
                                  "and kill -CONT goes on with a process that was stopped",
                                  client->path, (double)timeout_ms / 1000);
        if (r != 0)
            return r;
        r = input_read(client);
        if (r != 0)
            return r;
    }
}

int agent_client_send(struct agent_client *client,
                      const char *line,
                      const void *data,
                      size_t data_len)
{
    char nl = '\n';
    const void *parts[3] = {line, &nl, data};
    size_t lens[3] = {strlen(line), 1, data_len};
    size_t part = 0, at = 0;

    if (lens[0] > CONTROL_LINE_BYTES_MAX || data_len > CONTROL_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the request is too large for the agent: %zu bytes, %d are possible",
                              data_len > 0 ? data_len : lens[0],
                              data_len > 0 ? CONTROL_DATA_BYTES_MAX : CONTROL_LINE_BYTES_MAX);
    while (part < 3) {
        struct iovec iov[3];
        struct msghdr message = {.msg_iov = iov};
        for (size_t i = part; i < 3; i++) {
            /* An iovec has no const form; sendmsg() only reads. */
            union {
                const void *in;
                void *out;
            } base = {.in = lens[i] > 0 ? (const char *)parts[i] + (i == part ? at : 0) : NULL};
            iov[message.msg_iovlen].iov_base = base.out;
            iov[message.msg_iovlen++].iov_len = lens[i] - (i == part ? at : 0);
        }
        ssize_t n = sendmsg(client->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            client->gone = true;
            return went_away(client);
        }
        for (at += n > 0 ? (size_t)n : 0; part < 3 && at >= lens[part]; part++)
            at -= lens[part];
        if (part == 3)
            break;
        bool room = client->in.len < INPUT_BYTES_MAX && !client->gone;
        int r = wait_for(client, (short)(POLLOUT | (room ? POLLIN : 0)), now_ms() + SEND_STALL_MS);
        if (r == KITH_E_TIMEOUT)
            return kith_fail_with(r, "the agent at %s takes nothing: it hangs or is stopped",
                                  client->path);
        if (r == 0 && room)
            r = input_read(client);
        if (r != 0)
            return r;
    }
    return 0;
}
