/* Verbs of the control socket about pages and users, for the command (see verbs.h). */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/certificate.h"
#include "http/server.h"
#include "http/verbs.h"

static struct http_server *server_of(struct control_request *request)
{
    struct http_server *server = http_server_of(request->node);

    if (server == NULL || server->web == NULL || server->stopping) {
        control_fail(request, KITH_E_NOT_FOUND,
                     "this node serves no pages: web.listen is off, or no port was free; kith "
                     "agent --web 127.0.0.1:7118 serves them");
        return NULL;
    }
    return server;
}

/* The same where somebody is to be let in. */
static struct http_server *open_server_of(struct control_request *request)
{
    struct http_server *server = server_of(request);

    if (server == NULL || !http_users_missing(server))
        return server;
    control_fail(request, KITH_E_PERMISSION, HTTP_USERS_MISSING "; " HTTP_USERS_MISSING_HINT);
    return NULL;
}

/* ---- web.info, web.link, web.token ---- */

static void web_info(struct control_request *request)
{
    struct http_server *server = http_server_of(request->node);
    bool serves = server != NULL && server->web != NULL && !server->stopping;
    char cert[4200], key[4200], fingerprint[128] = "";
    struct control_reply reply;

    if (serves && server->tls && http_certificate(request->node, cert, key, sizeof(cert)) == 0)
        http_fingerprint(cert, fingerprint, sizeof(fingerprint));
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "web", serves ? server->url : NULL);
    json_kv_bool(&reply.json, "tls", serves && server->tls);
    if (fingerprint[0] != '\0')
        json_kv_text(&reply.json, "fingerprint", fingerprint);
    json_kv_u64(&reply.json, "users", serves ? server->users.n : 0);
    if (serves)
        http_members_put_former(&server->members, &reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

static void web_link(struct control_request *request)
{
    struct http_server *server = open_server_of(request);
    char token[SESSION_TOKEN_CHARS + 1], url[HTTP_URL_BYTES_MAX + SESSION_TOKEN_CHARS + 16];
    struct control_reply reply;

    if (server == NULL)
        return;
    if (http_link_new(&server->sessions, http_now_ms(), token) != 0) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    snprintf(url, sizeof(url), "%s/#login=%s", server->url, token);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "url", url);
    json_kv_text(&reply.json, "web", server->url);
    json_kv_u64(&reply.json, "expires_ms", HTTP_LINK_MS);
    json_kv_u64(&reply.json, "users", server->users.n);
    control_reply_end(&reply, false, NULL, 0);
}

static void web_token(struct control_request *request)
{
    struct http_server *server = open_server_of(request);
    const char *role = control_text(request, "role");
    uint64_t expires_ms = control_u64(request, "expires_ms", HTTP_TOKEN_MS);
    struct session_options options = {.user = "",
                                      .role = role != NULL ? http_role_named(role) : HTTP_ADMIN,
                                      .bearer = true,
                                      .idle_ms = HTTP_TOKEN_MAX_MS,
                                      .expires_in_ms = expires_ms};
    struct control_reply reply;

    if (server == NULL)
        return;
    if (options.role == HTTP_NOBODY || expires_ms == 0 || expires_ms > HTTP_TOKEN_MAX_MS) {
        control_fail(request, KITH_E_INVALID,
                     "a token has a role (viewer, operator, admin) and ends within 30 days");
        return;
    }
    struct http_session *session = http_session_new(&server->sessions, &options, http_now_ms());
    if (session == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "token", session->token);
    json_kv_text(&reply.json, "web", server->url);
    json_kv_text(&reply.json, "role", http_role_text(session->role));
    json_kv_u64(&reply.json, "expires_ms", expires_ms);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- users ---- */

static void on_written(void *arg, int code, const char *text)
{
    struct control_request *request = arg;

    if (code != 0)
        control_fail(request, code, text);
    else
        control_reply_empty(request);
    control_request_unref(request);
}

/* A password travels as the data, so that it stands in no list of arguments. */
static void change(struct control_request *request, bool create)
{
    struct http_server *server = server_of(request);
    const char *name = server != NULL ? control_text_needed(request, "user") : NULL;
    const char *role = control_text(request, "role");
    char *password = NULL;

    if (name == NULL)
        return;
    struct http_user_change change = {.name = name, .create = create};
    if (role != NULL)
        change.role = http_role_named(role);
    if (role != NULL && change.role == HTTP_NOBODY) {
        control_fail(request, KITH_E_INVALID, "a role is viewer, operator or admin");
        return;
    }
    if (request->data_len > 0) {
        password = core_strndup((const char *)request->data, request->data_len);
        if (password == NULL) {
            control_fail(request, KITH_E_MEMORY, NULL);
            return;
        }
    }
    change.password = password;
    http_user_write(&server->users, &change, on_written, control_request_ref(request));
    if (password != NULL)
        explicit_bzero(password, strlen(password));
    core_free(password);
}

static void user_add(struct control_request *request)
{
    change(request, true);
}

static void user_set(struct control_request *request)
{
    change(request, false);
}

static void user_rm(struct control_request *request)
{
    struct http_server *server = server_of(request);
    const char *name = server != NULL ? control_text_needed(request, "user") : NULL;

    if (name != NULL)
        http_user_remove(&server->users, name, on_written, control_request_ref(request));
}

static void user_ls(struct control_request *request)
{
    struct http_server *server = server_of(request);
    struct control_reply reply;

    if (server == NULL)
        return;
    control_reply_begin(&reply, request);
    json_key(&reply.json, "users");
    json_array_begin(&reply.json);
    list_for_each (it, &server->users.all) {
        const struct http_user *user = container_of(it, struct http_user, link);
        json_object_begin(&reply.json);
        json_kv_text(&reply.json, "name", user->name);
        json_kv_text(&reply.json, "role", http_role_text(user->role));
        json_key(&reply.json, "created");
        json_time_ms(&reply.json, user->created_ms);
        json_key(&reply.json, "changed");
        json_time_ms(&reply.json, user->changed_ms);
        json_object_end(&reply.json);
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- the table of routes, for the tests that hold the documents to it ---- */

static void web_routes(struct control_request *request)
{
    static const char *const methods[] = {
        [WEB_GET] = "GET", [WEB_POST] = "POST", [WEB_PUT] = "PUT", [WEB_DELETE] = "DELETE"};
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "routes");
    json_array_begin(&reply.json);
    for (size_t i = 0; i < http_routes_n; i++) {
        const struct http_route *route = &http_routes[i];
        json_object_begin(&reply.json);
        json_kv_text(&reply.json, "method", methods[route->method]);
        json_kv_text(&reply.json, "pattern", route->pattern);
        json_kv_text(&reply.json, "role",
                     route->role == HTTP_NOBODY ? "open" : http_role_text(route->role));
        json_kv_bool(&reply.json, "json", (route->flags & HTTP_ROUTE_JSON) != 0);
        json_object_end(&reply.json);
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb http_verbs[] = {
    {.name = "web.routes", .run = web_routes},
    {.name = "web.info", .run = web_info, .forward = "node", .remote = true},
    {.name = "web.link", .run = web_link},
    {.name = "web.token", .run = web_token},
    {.name = "user.add", .run = user_add},
    {.name = "user.set", .run = user_set},
    {.name = "user.rm", .run = user_rm},
    {.name = "user.ls", .run = user_ls},
    {0},
};
