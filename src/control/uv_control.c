/*
 * The control socket: accepts clients, takes their messages apart, writes the answers.
 *
 * A client that does not read its answers is cut off at CONTROL_QUEUE_BYTES_MAX; one that sends
 * what is no message gets an error and, where the stream cannot be followed any more, is closed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"
#include "control/forward.h"
#include "control/server.h"
#include "core/alloc.h"
#include "core/error.h"

#define READ_BYTES 65536
#define STOP_MS    200 /* for the last answers to leave when the node ends */

struct client {
    uv_pipe_t pipe;
    struct control_server *server;
    struct list link;
    struct list requests;
    unsigned requests_n;
    struct list asked; /* control_asked that wait for this client */
    uint64_t next_ask_no;
    struct buf in;
    /* The message whose raw bytes are still coming. */
    json_t *message;
    uint8_t *data;
    size_t data_len, data_have;
    size_t out_bytes; /* queued, not written yet */
    bool closing;
    bool close_when_written;
};

struct control_asked {
    struct list link; /* client.asked */
    uint64_t no;
    void (*answered)(void *user, const json_t *message, const uint8_t *data, size_t len);
    void *user;
};

static void client_close(struct client *client);

/* ---- writing ---- */

struct out {
    uv_write_t write;
    struct client *client;
    size_t len;
    uint8_t bytes[];
};

static void on_written(uv_write_t *write, int status)
{
    struct out *out = container_of(write, struct out, write);
    struct client *client = out->client;

    client->out_bytes -= out->len;
    core_free(out);
    if (status != 0 || (client->close_when_written && client->out_bytes == 0))
        client_close(client);
}

/* Writes a line and raw bytes. */
static void client_send(struct client *client, const struct buf *line, const void *data, size_t len)
{
    if (client->closing)
        return;
    size_t bytes = line->len + 1 + len;
    if (client->out_bytes + bytes > CONTROL_QUEUE_BYTES_MAX) {
        log_warn(node_log(client->server->service.node), "control",
                 "a client does not read its answers and is cut off", NULL);
        client_close(client);
        return;
    }
    struct out *out = core_malloc(sizeof(*out) + bytes);
    if (out == NULL) {
        client_close(client);
        return;
    }
    out->client = client;
    out->len = bytes;
    memcpy(out->bytes, line->data, line->len);
    out->bytes[line->len] = '\n';
    if (len > 0)
        memcpy(out->bytes + line->len + 1, data, len);
    uv_buf_t buf = uv_buf_init((char *)out->bytes, (unsigned)bytes);
    client->out_bytes += bytes;
    if (uv_write(&out->write, (uv_stream_t *)&client->pipe, &buf, 1, on_written) != 0) {
        client->out_bytes -= bytes;
        core_free(out);
        client_close(client);
    }
}

/* ---- the door ---- */

static void door_answer(struct control_request *request,
                        bool ok,
                        bool more,
                        const struct buf *result,
                        const void *data,
                        size_t len)
{
    struct client *client = request->client;
    struct buf line = {0};
    char *id = request->id != NULL ? json_dumps(request->id, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (client != NULL &&
        buf_printf(&line, "{\"id\":%s,\"ok\":%s,%s", id != NULL ? id : "null",
                   ok ? "true" : "false", more ? "\"more\":true," : "") == 0 &&
        (len == 0 || buf_printf(&line, "\"data_bytes\":%zu,", len) == 0) &&
        buf_append_text(&line, ok ? "\"result\":" : "\"error\":") == 0 &&
        buf_append(&line, result->data, result->len) == 0 && buf_append_u8(&line, '}') == 0)
        client_send(client, &line, data, len);
    free(id);
    buf_deinit(&line);
}

static void door_ended(struct control_request *request)
{
    struct client *client = request->client;
    if (client != NULL) {
        client->requests_n--;
        request->client = NULL;
    }
    list_remove(&request->link);
    control_request_unref(request);
}

static const struct control_door socket_door = {.answer = door_answer, .ended = door_ended};

/* ---- asking the client ---- */

static int
put_request(struct buf *line, uint64_t no, const char *verb, const struct buf *args, size_t len)
{
    int r = no != 0 ? buf_printf(line, "{\"id\":\"a%llu\",", (unsigned long long)no)
                    : buf_append_text(line, "{");
    if (r == 0)
        r = buf_printf(line, "\"verb\":\"%s\",\"args\":", verb);
    if (r == 0)
        r = buf_append(line, args->data, args->len);
    if (r == 0 && len > 0)
        r = buf_printf(line, ",\"data_bytes\":%zu", len);
    return r == 0 ? buf_append_u8(line, '}') : r;
}

bool control_can_ask(const struct control_request *request)
{
    const struct client *client = request->door == &socket_door ? request->client : NULL;
    return client != NULL && !client->closing;
}

struct control_asked *
control_ask(struct control_request *request,
            const char *verb,
            const struct buf *args,
            const void *data,
            size_t len,
            void (*answered)(void *user, const json_t *message, const uint8_t *data, size_t len),
            void *user)
{
    struct client *client = control_can_ask(request) ? request->client : NULL;
    struct control_asked *asked = client != NULL ? core_calloc(1, sizeof(*asked)) : NULL;
    struct buf line = {0};

    if (asked == NULL)
        return NULL;
    asked->no = ++client->next_ask_no;
    asked->answered = answered;
    asked->user = user;
    list_append(&client->asked, &asked->link);
    if (put_request(&line, asked->no, verb, args, len) == 0)
        client_send(client, &line, data, len);
    buf_deinit(&line);
    return asked;
}

void control_tell(struct control_request *request, const char *verb, const struct buf *args)
{
    struct client *client = request->door == &socket_door ? request->client : NULL;
    struct buf line = {0};

    if (client != NULL && put_request(&line, 0, verb, args, 0) == 0)
        client_send(client, &line, NULL, 0);
    buf_deinit(&line);
}

void control_asked_drop(struct control_asked *asked)
{
    list_remove(&asked->link);
    core_free(asked);
}

uint64_t control_asked_no(const struct control_asked *asked)
{
    return asked->no;
}

/* A message without a verb is the client's answer to one of ours. */
static void client_answered(struct client *client, const json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "id"));
    uint64_t no = id != NULL && id[0] == 'a' ? strtoull(id + 1, NULL, 10) : 0;

    list_for_each_safe (it, &client->asked) {
        struct control_asked *asked = container_of(it, struct control_asked, link);
        if (asked->no != no)
            continue;
        list_remove(it);
        asked->answered(asked->user, message, client->data, client->data_len);
        core_free(asked);
        return;
    }
}

/* ---- messages ---- */

/* An error about what is no request, or none that can be taken. */
static void refuse(struct client *client, const json_t *id, int code, const char *text)
{
    struct control_request *request =
        control_request_new(client->server->service.node, &socket_door, client,
                            id != NULL ? json_deep_copy(id) : NULL, json_object());
    if (request == NULL)
        return;
    list_append(&client->requests, &request->link);
    client->requests_n++;
    control_fail(request, code, text);
}

static void cancel_named(struct client *client, struct control_request *canceller)
{
    const json_t *id = json_object_get(canceller->args, "id");

    list_for_each_safe (it, &client->requests) {
        struct control_request *request = container_of(it, struct control_request, link);
        if (request != canceller && request->id != NULL && json_equal(request->id, id)) {
            control_cancel(request, KITH_E_CANCELED);
            break;
        }
    }
    canceller->verb_name = "cancel";
    control_reply_empty(canceller);
}

static void client_request(struct client *client)
{
    json_t *message = client->message;
    json_t *id = json_object_get(message, "id");
    json_t *args = json_object_get(message, "args");
    const char *verb = json_string_value(json_object_get(message, "verb"));

    bool is_cancel = strcmp(verb, "cancel") == 0; /* what makes room must not need room */
    if (client->requests_n >= CONTROL_REQUESTS_MAX && !is_cancel) {
        refuse(client, id, KITH_E_LIMIT,
               "1,024 requests of this client are under way, which is the limit; wait for answers");
        return;
    }
    struct control_request *request =
        control_request_new(client->server->service.node, &socket_door, client, json_incref(id),
                            json_is_object(args) ? json_incref(args) : json_object());
    if (request == NULL) {
        client_close(client);
        return;
    }
    request->data_owned = client->data;
    request->data = client->data;
    request->data_len = client->data_len;
    client->data = NULL;
    list_append(&client->requests, &request->link);
    client->requests_n++;
    if (is_cancel)
        cancel_named(client, request);
    else
        control_dispatch(request, verb);
}

static void client_message(struct client *client)
{
    if (json_is_string(json_object_get(client->message, "verb")))
        client_request(client);
    else
        client_answered(client, client->message);
    json_decref(client->message);
    core_free(client->data);
    client->message = NULL;
    client->data = NULL;
    client->data_len = 0;
    client->data_have = 0;
}

/* The stream cannot be followed any more: says why and closes once that is written. */
static void client_lost(struct client *client, int code, const char *text)
{
    refuse(client, NULL, code, text);
    client->close_when_written = true;
    uv_read_stop((uv_stream_t *)&client->pipe);
    if (client->out_bytes == 0)
        client_close(client);
}

/* A line: an object with an id and a verb, or the answer to one of our requests. */
static void client_line(struct client *client, const char *line, size_t len)
{
    json_error_t error;
    json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    const json_t *verb = json_object_get(message, "verb");
    const json_t *ok = json_object_get(message, "ok");
    const json_t *bytes = json_object_get(message, "data_bytes");
    json_int_t data_len = json_integer_value(bytes);
    char text[256];

    /* Without a verb it is the answer to a request of ours, which has "ok". */
    if (!json_is_object(message) || !(json_is_string(verb) || (verb == NULL && ok != NULL)) ||
        (bytes != NULL && !json_is_integer(bytes)) || data_len < 0) {
        snprintf(text, sizeof(text),
                 "this line is no request: %s; send {\"id\":1,\"verb\":\"nodes\",\"args\":{}} "
                 "(docs/protocols/control.md)",
                 message == NULL ? error.text : "it needs \"verb\", a text");
        json_decref(message);
        if (bytes != NULL)
            client_lost(client, KITH_E_PARSE, text); /* where its bytes end is not known */
        else
            refuse(client, NULL, KITH_E_PARSE, text);
        return;
    }
    if (data_len > CONTROL_DATA_BYTES_MAX) {
        json_decref(message);
        client_lost(client, KITH_E_TOO_LARGE, "data_bytes is above 16 MiB, the limit of a message");
        return;
    }
    client->message = message;
    client->data_len = (size_t)data_len;
    client->data_have = 0;
    if (data_len == 0) {
        client_message(client);
        return;
    }
    client->data = core_malloc((size_t)data_len);
    if (client->data == NULL)
        client_lost(client, KITH_E_MEMORY, "memory is short for the data of this message");
}

/* Takes what is complete out of the buffer; the client may be closing afterwards. */
static void client_parse(struct client *client)
{
    size_t at = 0;

    while (!client->closing && !client->close_when_written) {
        const char *rest = (const char *)client->in.data + at;
        size_t left = client->in.len - at;
        if (client->message != NULL) {
            size_t want = client->data_len - client->data_have;
            size_t n = left < want ? left : want;
            memcpy(client->data + client->data_have, rest, n);
            client->data_have += n;
            at += n;
            if (n < want)
                break;
            client_message(client);
            continue;
        }
        const char *newline = left > 0 ? memchr(rest, '\n', left) : NULL;
        size_t line_len = newline != NULL ? (size_t)(newline - rest) : left;
        if (line_len > CONTROL_LINE_BYTES_MAX) {
            client_lost(client, KITH_E_TOO_LARGE,
                        "a line is above 256 KiB, the limit of a message");
            break;
        }
        if (newline == NULL)
            break;
        at += line_len + 1;
        if (line_len > 0)
            client_line(client, rest, line_len);
    }
    buf_consume(&client->in, at);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *client = handle->data;
    (void)suggested;
    if (buf_reserve(&client->in, READ_BYTES) != 0) {
        *buf = uv_buf_init(NULL, 0);
        return;
    }
    *buf = uv_buf_init((char *)client->in.data + client->in.len, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;
    (void)buf;
    if (n < 0) {
        client_close(client);
        return;
    }
    client->in.len += (size_t)n;
    client_parse(client);
    if (client->in.len == 0 && !client->closing)
        buf_deinit(&client->in); /* an idle client holds no buffer */
}

/* ---- clients ---- */

static void server_closed_one(struct control_server *server);

/* What a client had under way ends when its handle has closed: see client_close(). */
static void client_end_all(struct client *client, int code)
{
    struct list *link;

    /* One by one from the front: the end of one (fn.serve) may end others (calls of it). */
    while ((link = list_first(&client->requests)) != NULL)
        control_cancel(container_of(link, struct control_request, link), code);
    while ((link = list_first(&client->asked)) != NULL) {
        struct control_asked *asked = container_of(link, struct control_asked, link);
        list_remove(link);
        asked->answered(asked->user, NULL, NULL, 0);
        core_free(asked);
    }
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct control_server *server = client->server;

    client_end_all(client, KITH_E_CANCELED);
    buf_deinit(&client->in);
    core_free(client->data);
    json_decref(client->message);
    core_free(client);
    server->clients_n--;
    server_closed_one(server);
}

/*
 * Nothing more is read or written. Requests are cancelled only once the loop is back: we may be in
 * the middle of an answer here, whose request must not go away under it.
 */
static void client_close(struct client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    list_remove(&client->link);
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct control_server *server = stream->data;
    struct client *client = status == 0 ? core_calloc(1, sizeof(*client)) : NULL;

    if (client == NULL)
        return;
    client->server = server;
    list_init(&client->requests);
    list_init(&client->asked);
    uv_pipe_init(stream->loop, &client->pipe, 0);
    client->pipe.data = client;
    server->clients_n++;
    list_append(&server->clients, &client->link);
    if (uv_accept(stream, (uv_stream_t *)&client->pipe) != 0) {
        client_close(client);
        return;
    }
    if (server->clients_n > CONTROL_CLIENTS_MAX) {
        client_lost(client, KITH_E_LIMIT,
                    "128 clients are connected to this agent, which is the limit; end some");
        return;
    }
    uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read);
}

/* ---- the server ---- */

static void server_closed_one(struct control_server *server)
{
    if (!server->stopping || server->clients_n > 0 || server->handles_n > 0)
        return;
    node_service_stopped(&server->service);
    core_free(server->path);
    core_free(server);
}

static void on_server_closed(uv_handle_t *handle)
{
    struct control_server *server = handle->data;
    server->handles_n--;
    server_closed_one(server);
}

static void close_clients(struct control_server *server)
{
    list_for_each_safe (it, &server->clients) {
        client_close(container_of(it, struct client, link));
    }
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct control_server *server = timer->data;
    close_clients(server);
    uv_close((uv_handle_t *)timer, on_server_closed);
}

static void server_stop(struct node_service *service)
{
    struct control_server *server = container_of(service, struct control_server, service);

    server->stopping = true;
    (void)unlink(server->path);
    control_forward_stop(server);
    list_for_each_safe (it, &server->clients) {
        struct client *client = container_of(it, struct client, link);
        client_end_all(client, KITH_E_STOPPED);
        client->close_when_written = true;
        if (client->out_bytes == 0)
            client_close(client);
    }
    uv_close((uv_handle_t *)&server->pipe, on_server_closed);
    uv_timer_start(&server->stop_timer, on_stop_timer, server->clients_n > 0 ? STOP_MS : 0, 0);
}

struct control_server *control_server_of(struct kith_node *node)
{
    struct node_service *service = node_service_find(node, "control");
    assert(service != NULL);
    return container_of(service, struct control_server, service);
}

struct open_call {
    const char *path;
    int code;
    char text[512];
};

static int listen_at(struct control_server *server, const char *path)
{
    (void)unlink(path); /* stale: the lock of the directory is ours */
    mode_t old = umask(0177);
    int r = uv_pipe_bind(&server->pipe, path);
    umask(old);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&server->pipe, 128, on_connection);
    if (r != 0)
        return kith_fail_with(KITH_E_IO,
                              "the control socket %s cannot be opened: %s; check the directory",
                              path, uv_strerror(r));
    return 0;
}

static int open_now(struct kith_node *node, const char *path)
{
    struct control_server *server = core_calloc(1, sizeof(*server));
    if (server == NULL || (server->path = core_strndup(path, strlen(path))) == NULL) {
        core_free(server);
        return KITH_E_MEMORY;
    }
    list_init(&server->clients);
    list_init(&server->asked_here);
    list_init(&server->served);
    list_init(&server->puts);
    uv_pipe_init(node_loop(node), &server->pipe, 0);
    uv_timer_init(node_loop(node), &server->stop_timer);
    server->pipe.data = server;
    server->stop_timer.data = server;
    server->handles_n = 2;
    server->service.name = "control";
    server->service.stop = server_stop;
    node_service_add(node, &server->service);
    int r = listen_at(server, path);
    return r == 0 ? control_export(server) : r;
}

static void open_run(struct kith_node *node, void *arg)
{
    struct open_call *call = arg;
    kith_errmsg_clear();
    call->code = open_now(node, call->path);
    snprintf(call->text, sizeof(call->text), "%s", kith_errmsg());
}

int control_open(struct kith_node *node, const char *socket_path)
{
    struct open_call call = {.path = socket_path};
    struct sockaddr_un address;

    if (strlen(socket_path) >= sizeof(address.sun_path))
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "the path of the control socket has %zu bytes, the system allows %zu: "
            "%s; choose a shorter --data-dir",
            strlen(socket_path), sizeof(address.sun_path) - 1, socket_path);
    int r = node_run(node, open_run, &call);
    if (r == 0 && call.code != 0)
        r = kith_fail_with(call.code, "%s", call.text);
    return r;
}
