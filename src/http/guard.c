/*
 * Who may ask: Host, Origin, session, role, and the header that no form can send, for every
 * request and every WebSocket, before a byte of its body is taken.
 *
 * Host keeps out pages that let their own name point at this machine (DNS rebinding); Origin keeps
 * out scripts of other pages; X-Kith keeps out their forms; the session everybody else.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/files.h"
#include "http/server.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/reload.h"

/* ---- Host ---- */

/* The host of "host:port", "[v6]:port" or "host" to @out; the port's text, "" if there is none. */
static const char *split_host(const char *text, char *out, size_t out_bytes)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
    const char *from = text[0] == '[' ? text + 1 : text;
    size_t len = end != NULL ? (size_t)(end - from) : strlen(from);

    if (len >= out_bytes)
        len = 0;
    memcpy(out, from, len);
    out[len] = '\0';
    if (end != NULL && *end == ']')
        end++;
    return end != NULL && *end == ':' ? end + 1 : "";
}

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
           strcmp(host, "::1") == 0;
}

/* This machine's own addresses, as the channel knows them. */
static bool is_own_address(struct http_server *server, const char *host)
{
    char addresses[NET_ADDRESSES_PER_PEER_MAX][KITH_ADDRESS_TEXT_MAX + 1];
    size_t n =
        uv_net_addresses(node_net(server->service.node), addresses, NET_ADDRESSES_PER_PEER_MAX);
    char own[256];

    for (size_t i = 0; i < n; i++) {
        (void)split_host(addresses[i], own, sizeof(own));
        if (strcasecmp(own, host) == 0)
            return true;
    }
    return false;
}

static bool host_allowed(struct http_server *server, const char *text)
{
    const struct kith_config *config = node_config_now(server->service.node);
    char host[256], port[8];
    const char *given = split_host(text, host, sizeof(host));

    /* A loopback name cannot be made to point here by others: any port, as tunnels have. */
    if (is_loopback(host))
        return true;
    for (size_t i = 0; i < config_repeat_n(config, "web.host"); i++) {
        if (strcasecmp(config_repeat(config, "web.host", i), host) == 0)
            return true;
    }
    snprintf(port, sizeof(port), "%u", server->port);
    if (strcmp(given, port) != 0)
        return false;
    return strcasecmp(host, server->host) == 0 ||
           (!server->loopback && is_own_address(server, host));
}

/* ---- Origin ---- */

enum origin { ORIGIN_OWN, ORIGIN_MEMBER, ORIGIN_FOREIGN };

static bool origin_configured(struct http_server *server, const char *origin)
{
    const struct kith_config *config = node_config_now(server->service.node);

    for (size_t i = 0; i < config_repeat_n(config, "web.origin"); i++) {
        if (strcasecmp(config_repeat(config, "web.origin", i), origin) == 0)
            return true;
    }
    return false;
}

static enum origin origin_of(struct http_server *server, const char *origin, const char *host)
{
    const char *scheme = server->tls ? "https://" : "http://";
    size_t len = strlen(scheme);

    if (origin == NULL ||
        (strncmp(origin, scheme, len) == 0 && strcasecmp(origin + len, host) == 0))
        return ORIGIN_OWN;
    return http_members_has(&server->members, origin) || origin_configured(server, origin)
               ? ORIGIN_MEMBER
               : ORIGIN_FOREIGN;
}

/* ---- session ---- */

/* The value of cookie @name in @cookies; its length, 0 if it is not there. */
static size_t cookie_find(const char *cookies, const char *name, const char **value_out)
{
    size_t name_len = strlen(name);

    for (const char *at = cookies; at != NULL && *at != '\0';) {
        at += strspn(at, " ;");
        size_t len = strcspn(at, ";");
        if (len > name_len && memcmp(at, name, name_len) == 0 && at[name_len] == '=') {
            *value_out = at + name_len + 1;
            return len - name_len - 1;
        }
        at += len;
    }
    return 0;
}

/* "kith, bearer.TOKEN" */
static size_t subprotocol_find(const char *protocols, const char **value_out)
{
    static const char prefix[] = "bearer.";
    const char *at = protocols != NULL ? strstr(protocols, prefix) : NULL;

    if (at == NULL)
        return 0;
    *value_out = at + sizeof(prefix) - 1;
    return strcspn(*value_out, ", ");
}

static struct http_session *
session_of(struct http_server *server, struct web_request *web, bool own, bool *bearer_out)
{
    const char *authorization = web_header(web, WEB_AUTHORIZATION);
    const char *cookies = web_header(web, WEB_COOKIE);
    const char *token = NULL;
    size_t len = 0;
    bool bearer = true;

    if (authorization != NULL && strncasecmp(authorization, "bearer ", 7) == 0) {
        token = authorization + 7;
        len = strlen(token);
    } else if ((len = subprotocol_find(web_header(web, WEB_PROTOCOLS), &token)) == 0 && own &&
               cookies != NULL) {
        bearer = false;
        len = cookie_find(cookies, server->cookie, &token);
    }
    struct http_session *session =
        len > 0 ? http_session_find(&server->sessions, token, len, http_now_ms()) : NULL;
    /* A cookie's value is not good as a bearer token: what protects one is not there for the other.
     */
    if (session != NULL && session->bearer != bearer)
        session = NULL;
    *bearer_out = bearer && session != NULL;
    return session;
}

void http_cookie_line(const struct http_server *server,
                      const struct http_session *session,
                      char *out,
                      size_t out_bytes)
{
    char age[48] = "";

    if (session == NULL)
        snprintf(age, sizeof(age), "; Max-Age=0");
    else if (session->idle_ms >= HTTP_REMEMBER_MS) /* others end with the browser */
        snprintf(age, sizeof(age), "; Max-Age=%llu", (unsigned long long)(session->idle_ms / 1000));
    snprintf(out, out_bytes, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict%s%s\r\n",
             server->cookie, session != NULL ? session->token : "", server->tls ? "; Secure" : "",
             age);
}

/* ---- all of it ---- */

static void put_allow(unsigned methods, char *out, size_t out_bytes)
{
    static const char *const names[] = {
        [WEB_GET] = "GET, HEAD", [WEB_POST] = "POST", [WEB_PUT] = "PUT", [WEB_DELETE] = "DELETE"};
    size_t at = (size_t)snprintf(out, out_bytes, "Allow: ");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i] != NULL && (methods & 1u << i) != 0)
            at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", at > 7 ? ", " : "", names[i]);
    }
    snprintf(out + at, out_bytes - at, "\r\n");
}

/* The page of another member may read why: else it would take the node for dead. */
void http_origin_lines(struct http_server *server,
                       struct web_request *web,
                       char *out,
                       size_t out_bytes)
{
    const char *origin = web_header(web, WEB_ORIGIN), *host = web_header(web, WEB_HOST);

    out[0] = '\0';
    if (origin != NULL && host != NULL && host_allowed(server, host) &&
        origin_of(server, origin, host) == ORIGIN_MEMBER)
        snprintf(out, out_bytes, "Access-Control-Allow-Origin: %.255s\r\nVary: Origin\r\n", origin);
}

static void refuse(struct http_server *server,
                   struct web_request *web,
                   int status,
                   int code,
                   const char *message,
                   const char *hint,
                   const char *headers)
{
    char lines[384], all[512];

    http_origin_lines(server, web, lines, sizeof(lines));
    snprintf(all, sizeof(all), "%s%s", lines, headers != NULL ? headers : "");
    http_refuse(web, status, code, message, hint, all);
}

/* A page of another member asks whether it may ask. */
static void answer_preflight(struct web_request *web, const char *origin)
{
    char headers[640];
    struct web_answer answer = {.status = 204, .headers = headers};

    snprintf(headers, sizeof(headers),
             "Access-Control-Allow-Origin: %.255s\r\nVary: Origin\r\n"
             "Access-Control-Allow-Methods: GET, POST, PUT, DELETE\r\n"
             "Access-Control-Allow-Headers: authorization, content-type, x-kith, if-match, "
             "if-none-match, range, if-range\r\nAccess-Control-Max-Age: 600\r\n",
             origin);
    web_answer(web, &answer);
}

static void refuse_route(struct http_server *server, struct web_request *web, unsigned methods)
{
    char allow[96];

    if (methods == 0) {
        refuse(server, web, 404, KITH_E_NOT_FOUND, "there is no such route",
               "docs/protocols/http.md lists the routes", NULL);
        return;
    }
    put_allow(methods, allow, sizeof(allow));
    refuse(server, web, 405, KITH_E_UNSUPPORTED, "this route has other methods", NULL, allow);
}

/* Session, X-Kith and role. NULL: refused. *@session_out may be NULL on an open route. */
static bool may(struct http_server *server,
                struct web_request *web,
                const struct http_route *route,
                bool own,
                struct http_session **session_out)
{
    char message[160];
    bool bearer;
    struct http_session *session = session_of(server, web, own, &bearer);

    *session_out = session;
    if (route->method != WEB_GET && !bearer && web_header(web, WEB_X_KITH) == NULL) {
        refuse(server, web, 403, KITH_E_PERMISSION,
               "what changes something needs the header X-Kith: 1, or a bearer token",
               "curl -H 'X-Kith: 1' ..., or -H \"Authorization: Bearer $(kith web --token)\"",
               NULL);
        return false;
    }
    if (route->role == HTTP_NOBODY)
        return true;
    if (session == NULL) {
        refuse(server, web, 401, KITH_E_PERMISSION,
               "nobody is logged in: the session is over, or there was none",
               "kith web prints a link to log in, kith web --token a bearer token",
               "WWW-Authenticate: Bearer\r\n");
        return false;
    }
    if (session->role < route->role) {
        snprintf(message, sizeof(message), "this needs the role %s, %s%s is %s",
                 http_role_text(route->role), session->user[0] != '\0' ? "user " : "this session",
                 session->user, http_role_text(session->role));
        refuse(server, web, 403, KITH_E_PERMISSION, message, "ask an admin (kith user)", NULL);
        return false;
    }
    return true;
}

static bool
body_fits(struct http_server *server, struct web_request *web, const struct http_route *route)
{
    if ((route->flags & HTTP_ROUTE_JSON) == 0 || web_body_want(web) <= HTTP_JSON_BYTES_MAX)
        return true;
    refuse(server, web, 413, KITH_E_TOO_LARGE, "a JSON body is at most 64 KiB", NULL, NULL);
    return false;
}

static struct http_exchange *exchange_new(struct http_server *server,
                                          struct web_request *web,
                                          const struct http_route *route,
                                          struct http_session *session)
{
    struct http_exchange *x = core_calloc(1, sizeof(*x));

    if (x == NULL)
        return NULL;
    x->server = server;
    x->web = web;
    x->route = route;
    x->session = session;
    x->role = session != NULL ? session->role : HTTP_NOBODY;
    list_append(&server->exchanges, &x->link);
    web_request_set_user(web, x);
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    list_remove(&x->link);
    http_transfer_end(x->transfer, KITH_E_CANCELED, "the client has gone");
    json_decref(x->body);
    core_free(x->name);
    core_free((void *)(uintptr_t)x->origin);
    core_free(x);
}

struct http_exchange *http_guard(struct http_server *server, struct web_request *web)
{
    const char *host = web_header(web, WEB_HOST), *origin = web_header(web, WEB_ORIGIN);
    const char *name;
    size_t name_len;
    unsigned methods;
    struct http_session *session;

    if (host == NULL || !host_allowed(server, host)) {
        http_refuse(web, 421, KITH_E_PERMISSION, "this node is not served under that Host",
                    "use the address that kith web prints, or set web.host", NULL);
        return NULL;
    }
    enum origin from = origin_of(server, origin, host);
    if (from == ORIGIN_FOREIGN) {
        http_refuse(web, 403, KITH_E_PERMISSION, "pages of another Origin may not ask this node",
                    NULL, NULL);
        return NULL;
    }
    if (web_method(web) == WEB_OPTIONS && from == ORIGIN_MEMBER) {
        answer_preflight(web, origin);
        return NULL;
    }
    const struct http_route *route = http_route_find(http_routes, http_routes_n, web_method(web),
                                                     web_path(web), &name, &name_len, &methods);
    if (route == NULL) {
        refuse_route(server, web, methods);
        return NULL;
    }
    if (!may(server, web, route, from == ORIGIN_OWN, &session) || !body_fits(server, web, route))
        return NULL;
    struct http_exchange *x = exchange_new(server, web, route, session);
    if (x != NULL && name != NULL)
        x->name = core_strndup(name, name_len);
    if (x != NULL && from == ORIGIN_MEMBER)
        x->origin = core_strndup(origin, strlen(origin));
    if (x == NULL || (name != NULL && x->name == NULL)) {
        refuse(server, web, 500, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL, NULL);
        if (x != NULL)
            http_exchange_free(x);
        return NULL;
    }
    return x;
}
