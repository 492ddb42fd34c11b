/*
 * The server of one node: opens it as the configuration says, gives requests to their routes, and
 * ends with the node.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/boards.h"
#include "http/certificate.h"
#include "http/client.h"
#include "http/files.h"
#include "http/http.h"
#include "http/server.h"
#include "http/stream.h"
#include "http/verbs.h"
#include "node/config.h"
#include "node/reload.h"

#define TICK_MS 5000

uint64_t http_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

uint64_t http_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct http_server *http_server_of(struct kith_node *node)
{
    struct node_service *service = node_service_find(node, "http");
    return service != NULL ? container_of(service, struct http_server, service) : NULL;
}

/* ---- what the server hears ---- */

bool http_users_missing(const struct http_server *server)
{
    return !server->loopback && server->users.n == 0;
}

static void refusal_lines(struct web_request *request, void *user, char *out, size_t out_bytes)
{
    http_origin_lines(user, request, out, out_bytes);
}

static bool on_header(struct web_request *request, void *user)
{
    char lines[384];

    if (http_users_missing(user)) {
        http_origin_lines(user, request, lines, sizeof(lines));
        http_refuse(request, 403, KITH_E_PERMISSION, HTTP_USERS_MISSING, HTTP_USERS_MISSING_HINT,
                    lines);
        return false;
    }
    struct http_exchange *x = http_guard(user, request);
    return x != NULL && ((x->route->flags & HTTP_ROUTE_PIECES) == 0 || http_put_file_begin(x));
}

static uint64_t pieces_max(struct web_request *request, void *user)
{
    const char *name;
    size_t name_len;
    unsigned methods;
    const struct http_route *route;

    (void)user;
    if (web_method(request) != WEB_PUT)
        return 0;
    route = http_route_find(http_routes, http_routes_n, WEB_PUT, web_path(request), &name,
                            &name_len, &methods);
    return route != NULL && (route->flags & HTTP_ROUTE_PIECES) != 0 ? FS_SIZE_MAX : 0;
}

static void on_piece(struct web_request *request, const void *data, size_t len, void *user)
{
    (void)user;
    files_piece_came(web_request_user(request), data, len);
}

static void on_piece_left(struct web_request *request, bool all, void *user)
{
    (void)user;
    files_piece_left(web_request_user(request), all);
}

static bool take_body(struct http_exchange *x)
{
    size_t len;
    const uint8_t *data = web_body(x->web, &len);
    json_error_t error;
    char message[256];

    if ((x->route->flags & HTTP_ROUTE_JSON) == 0 || len == 0)
        return true;
    x->body = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(x->body))
        return true;
    snprintf(message, sizeof(message), "the body is no JSON object: %s",
             x->body == NULL ? error.text : "it is something else");
    json_decref(x->body);
    x->body = NULL;
    http_fail(x, 400, KITH_E_PARSE, message, NULL);
    return false;
}

static void on_request(struct web_request *request, void *user)
{
    struct http_exchange *x = web_request_user(request);

    (void)user;
    kith_errmsg_clear();
    if (!take_body(x))
        return;
    if (x->route->run != NULL)
        x->route->run(x);
    else
        http_dispatch(x);
}

/* What is under way and cannot be taken back goes on and answers to nobody. */
static void on_gone(struct web_request *request, void *user)
{
    struct http_exchange *x = web_request_user(request);

    (void)user;
    if (x == NULL)
        return;
    x->web = NULL;
    if (x->gone == NULL)
        http_exchange_free(x);
    else
        x->gone(x);
}

static void *on_upgrade(struct web_request *request, void *user)
{
    struct http_exchange *x = web_request_user(request);

    (void)user;
    if ((x->route->flags & HTTP_ROUTE_SOCKET) == 0) {
        http_fail(x, 400, KITH_E_UNSUPPORTED, "this route is no WebSocket", NULL);
        return NULL;
    }
    return x->route->run == http_get_board_live ? board_client_new(x) : stream_client_new(x);
}

static void on_open(struct web_socket *socket, void *user)
{
    (void)user;
    http_client_open(web_socket_user(socket), socket);
}

static void on_message(struct web_socket *socket, const char *text, size_t len, void *user)
{
    struct http_client *client = web_socket_user(socket);

    (void)user;
    client->kind->message(client, text, len);
}

static void on_writable(struct web_socket *socket, void *user)
{
    struct http_client *client = web_socket_user(socket);

    (void)user;
    client->kind->writable(client);
}

static void on_closed(void *socket_user, void *user)
{
    struct http_client *client = socket_user;

    (void)user;
    client->kind->closed(client);
}

static const struct web_handler handler = {.on_header = on_header,
                                           .refusal_lines = refusal_lines,
                                           .on_request = on_request,
                                           .pieces_max = pieces_max,
                                           .on_piece = on_piece,
                                           .on_piece_left = on_piece_left,
                                           .on_gone = on_gone,
                                           .on_upgrade = on_upgrade,
                                           .on_open = on_open,
                                           .on_message = on_message,
                                           .on_writable = on_writable,
                                           .on_closed = on_closed};

/* ---- sessions ---- */

static void on_session_ended(struct http_session *session, void *user)
{
    struct http_server *server = user;

    http_locks_end(session);
    http_clients_end(session);
    list_for_each (it, &server->exchanges) {
        struct http_exchange *x = container_of(it, struct http_exchange, link);
        if (x->session == session)
            x->session = NULL;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    http_sessions_tick(&server->sessions, http_now_ms());
}

/* ---- ending ---- */

void http_server_closed_one(struct http_server *server)
{
    if (!server->stopping || server->handles_n > 0 || !server->web_closed)
        return;
    /* What cannot be taken back answers to nobody. */
    list_for_each_safe (it, &server->exchanges) {
        struct http_exchange *x = container_of(it, struct http_exchange, link);
        list_remove(it);
        x->server = NULL;
        x->session = NULL;
    }
    node_service_stopped(&server->service);
    http_vars_free(server);
    http_transfers_free(server);
    boards_free(server->boards);
    stream_free(server->stream);
    core_free(server);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;
    server->handles_n--;
    http_server_closed_one(server);
}

static void on_web_closed(void *arg)
{
    struct http_server *server = arg;
    server->web_closed = true;
    http_server_closed_one(server);
}

static void server_stop(struct node_service *service)
{
    struct http_server *server = container_of(service, struct http_server, service);

    server->stopping = true;
    stream_stop(server->stream, on_handle_closed);
    boards_stop(server->boards, on_handle_closed);
    http_asking_stop(server);
    http_users_close(&server->users, on_handle_closed);
    if (server->web != NULL)
        web_close(server->web, on_web_closed, server);
    else
        server->web_closed = true;
    http_sessions_deinit(&server->sessions);
    http_members_close(&server->members, on_handle_closed);
    uv_close((uv_handle_t *)&server->tick, on_handle_closed);
}

/* ---- opening ---- */

/* "ADDR:PORT" to its parts; a name that means loopback becomes the address. */
static int parse_listen(struct http_server *server, const char *listen)
{
    if (text_split_address(listen, server->host, sizeof(server->host), HTTP_PORT_DEFAULT,
                           &server->port) != 0)
        return kith_fail_with(KITH_E_INVALID,
                              "web.listen = %s is no address; write ADDR:PORT or off", listen);
    if (strcasecmp(server->host, "localhost") == 0)
        snprintf(server->host, sizeof(server->host), "127.0.0.1");
    server->loopback = strncmp(server->host, "127.", 4) == 0 || strcmp(server->host, "::1") == 0;
    server->tls = !server->loopback;
    return 0;
}

static void set_url(struct http_server *server)
{
    struct kith_node *node = server->service.node;
    const char *host = server->host;
    char address[256] = "";

    /* An address that means all of them is no address to go to. */
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        http_own_address(node, address, sizeof(address));
        host = address[0] != '\0' ? address : "127.0.0.1";
    }
    bool v6 = strchr(host, ':') != NULL;
    snprintf(server->url, sizeof(server->url), "%s://%s%s%s:%u", server->tls ? "https" : "http",
             v6 ? "[" : "", host, v6 ? "]" : "", server->port);
}

/* The configured port, and where none was configured the next ones. */
static int listen_somewhere(struct http_server *server, bool chosen, struct web_options *options)
{
    uint16_t first = server->port;
    int r = KITH_E_IN_USE;

    for (unsigned i = 0; r == KITH_E_IN_USE && i < (chosen ? 1 : HTTP_PORTS_TRIED); i++) {
        options->port = (uint16_t)(first == 0 ? 0 : first + i);
        r = web_open(node_loop(server->service.node), options, &server->web);
    }
    if (r == 0)
        server->port = web_port(server->web);
    return r;
}

static int serve(struct http_server *server, bool chosen)
{
    struct kith_node *node = server->service.node;
    char cert[4200], key[4200];
    struct web_options options = {
        .host = server->host, .handler = &handler, .user = server, .log = node_log(node)};
    int r = 0;

    if (server->tls) {
        r = http_certificate(node, cert, key, sizeof(cert));
        options.cert_file = cert;
        options.key_file = key;
    }
    if (r == 0)
        r = listen_somewhere(server, chosen, &options);
    if (r != 0)
        return r;
    set_url(server);
    node_set_web(node, server->url);
    log_info(node_log(node), "http", "pages are served", "at", server->url, NULL);
    if (http_users_missing(server))
        log_warn(node_log(node), "http", HTTP_USERS_MISSING, "hint", HTTP_USERS_MISSING_HINT, NULL);
    return 0;
}

static void server_reloaded(struct node_service *service)
{
    struct http_server *server = container_of(service, struct http_server, service);
    const struct kith_config *config = node_config_now(service->node);

    server->idle_ms = config_duration_ms(config, "web.session");
    server->registers = config_bool(config, "web.register");
}

static struct http_server *server_new(struct kith_node *node)
{
    struct http_server *server = core_calloc(1, sizeof(*server));
    struct kith_node_id self = kith_node_self(node);
    char id[KITH_NODE_ID_DIGITS + 1], secret[65];

    if (server == NULL)
        return NULL;
    server->service.name = "http";
    server->service.stop = server_stop;
    server->service.node = node;
    list_init(&server->exchanges);
    list_init(&server->asking);
    list_init(&server->transfers);
    snprintf(server->cookie, sizeof(server->cookie), "kith-%.8s", kith_node_id_text(&self, id));
    server->service.reloaded = server_reloaded;
    server_reloaded(&server->service);
    node_cluster_secret_text(node, secret);
    http_sessions_init(&server->sessions, secret, on_session_ended, server);
    sodium_memzero(secret, sizeof(secret));
    return server;
}

static int open_now(struct kith_node *node)
{
    const char *listen = config_text(node_config(node), "web.listen");
    bool chosen = config_is_set(node_config(node), "web.listen");

    if (strcmp(listen, "off") == 0)
        return 0;
    struct http_server *server = server_new(node);
    if (server == NULL)
        return KITH_E_MEMORY;
    int r = parse_listen(server, listen);
    if (r != 0) {
        http_sessions_deinit(&server->sessions);
        core_free(server);
        return r;
    }
    uv_timer_init(node_loop(node), &server->tick);
    server->tick.data = server;
    uv_timer_start(&server->tick, on_tick, TICK_MS, TICK_MS);
    server->handles_n = 6; /* with those of members, stream, boards and users (two) */
    node_service_add(node, &server->service);
    http_members_open(&server->members, server);
    server->stream = stream_new(server);
    server->boards = boards_new(server);
    http_users_open(&server->users, server);
    r = server->stream == NULL || server->boards == NULL ? KITH_E_MEMORY : http_vars_new(server);
    if (r == 0)
        r = serve(server, chosen);
    if (r != 0 && !chosen && r != KITH_E_MEMORY) {
        log_warn(node_log(node), "http", "no pages: no port is free for them", "why", kith_errmsg(),
                 NULL);
        r = 0;
    }
    return r;
}

struct open_call {
    int code;
    char text[512];
};

static void open_run(struct kith_node *node, void *arg)
{
    struct open_call *call = arg;

    kith_errmsg_clear();
    call->code = open_now(node);
    snprintf(call->text, sizeof(call->text), "%s", kith_errmsg());
}

int http_open(struct kith_node *node)
{
    struct open_call call = {0};

    control_add_verbs(http_verbs);
    int r = node_run(node, open_run, &call);
    if (r == 0 && call.code != 0)
        r = kith_fail_with(call.code, "%s", call.text);
    return r;
}
