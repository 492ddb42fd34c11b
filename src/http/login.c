/*
 * Logging in and out: by a link of the command, by user and password, or by what another member
 * says. Passwords are checked elsewhere; meanwhile the client may go, and the exchange stays.
 */
#include <string.h>

#include "core/error.h"
#include "core/text.h"
#include "http/server.h"
#include "node/config.h"

static const char *text_of(const struct http_exchange *x, const char *key)
{
    return json_string_value(json_object_get(x->body, key));
}

static bool flag_of(const struct http_exchange *x, const char *key)
{
    return json_is_true(json_object_get(x->body, key));
}

/* ---- what a session is ---- */

static json_t *session_doc(const char *schema, const struct http_session *session)
{
    json_t *doc = json_pack("{s:s,s:s,s:s}", "schema", schema, "user", session->user, "role",
                            http_role_text(session->role));
    uint64_t left_ms = session->idle_ms;
    char expires[32];
    uint64_t now_ms = http_now_ms();

    if (session->expires_ms != 0)
        left_ms = session->expires_ms > now_ms ? session->expires_ms - now_ms : 0;
    if (doc != NULL)
        (void)json_object_set_new(doc, "expires",
                                  json_string(text_time_ms(http_unix_ms() + left_ms, expires)));
    return doc;
}

/* A new session as the answer to @x: a cookie, or a token in the body. */
static void answer_new(struct http_exchange *x, const char *user, enum http_role role)
{
    struct http_server *server = x->server;
    bool bearer = flag_of(x, "bearer");
    struct session_options options = {.user = user,
                                      .role = role,
                                      .bearer = bearer,
                                      .idle_ms = flag_of(x, "remember") ? HTTP_REMEMBER_MS
                                                                        : server->idle_ms};
    struct http_session *session = http_session_new(&server->sessions, &options, http_now_ms());
    char cookie[256];

    if (session == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    json_t *doc = session_doc("kith.login/1", session);
    if (doc != NULL && bearer)
        (void)json_object_set_new(doc, "token", json_string(session->token));
    http_cookie_line(server, session, cookie, sizeof(cookie));
    http_answer_json(x, 200, doc, bearer ? NULL : cookie);
}

static const char *hash_of(void *arg, const char *name)
{
    struct http_server *server = arg;
    const struct http_user *user = http_user_find(&server->users, name);

    return user != NULL ? user->hash : NULL;
}

void http_get_session(struct http_exchange *x)
{
    struct http_server *server = x->server;
    struct http_session *session = x->session;
    json_t *doc = session != NULL ? session_doc("kith.session/1", session)
                                  : json_pack("{s:s}", "schema", "kith.session/1");
    bool first = list_empty(&server->users.all);

    if (doc != NULL) {
        (void)json_object_set_new(doc, "logged_in", json_boolean(session != NULL));
        (void)json_object_set_new(doc, "register", json_boolean(server->registers && !first));
        (void)json_object_set_new(doc, "first", json_boolean(first));
        (void)json_object_set_new(doc, "tls", json_boolean(server->tls));
        if (session != NULL) {
            char token[HANDOVER_CHARS_MAX];
            const char *hash = session->user[0] != '\0' ? hash_of(server, session->user) : "";
            if (hash != NULL) {
                http_handover_make(&server->sessions, session, hash, http_unix_ms(), token);
                (void)json_object_set_new(doc, "handover", json_string(token));
            }
            (void)json_object_set_new(doc, "node",
                                      json_string(kith_node_name(server->service.node)));
            (void)json_object_set_new(doc, "cluster",
                                      json_string(node_cluster_name(server->service.node)));
        }
    }
    http_answer_json(x, 200, doc, NULL);
}

/* ---- logging in ---- */

static void fail_login(struct http_exchange *x, const char *user, const char *message)
{
    char address[64];

    if (x->web != NULL) {
        web_peer(x->web, address, sizeof(address));
        http_fails_note(&x->server->users, address, user, http_now_ms());
        log_info(node_log(x->server->service.node), "http", "a log-in failed", "from", address,
                 "user", user != NULL ? user : "-", NULL);
    }
    http_fail_with(x, 401, KITH_E_PERMISSION, message, "kith web prints a link that logs in",
                   "WWW-Authenticate: Bearer\r\n");
}

/* True if it must wait, and has been told so. */
static bool must_wait(struct http_exchange *x, const char *user)
{
    char address[64], header[48];

    web_peer(x->web, address, sizeof(address));
    unsigned wait_s = http_fails_wait_s(&x->server->users, address, user, http_now_ms());
    if (wait_s == 0)
        return false;
    snprintf(header, sizeof(header), "Retry-After: %u\r\n", wait_s);
    http_fail_with(x, 429, KITH_E_BUSY, "too many log-ins failed; wait a while", NULL, header);
    return true;
}

static void still_there(struct http_exchange *x)
{
    (void)x; /* what is under way there comes back to the exchange */
}

static void on_checked(void *arg, int code, const char *hash)
{
    struct http_exchange *x = arg;

    (void)hash;
    if (x->server == NULL || x->web == NULL) {
        http_exchange_free(x);
        return;
    }
    const char *name = text_of(x, "user");
    const struct http_user *user = http_user_find(&x->server->users, name);
    if (code == KITH_E_BUSY)
        http_fail_with(x, 429, code, "too many passwords are being checked; try again", NULL,
                       "Retry-After: 1\r\n");
    else if (code != 0 && code != KITH_E_PERMISSION)
        http_fail(x, 0, code, kith_strerror(code), NULL);
    else if (code != 0 || user == NULL)
        fail_login(x, name, "no user has this name and password");
    else
        answer_new(x, user->name, user->role);
}

/* A user who was removed, has another password or may do less by now gets no more by a token. */
static void log_in_handed_over(struct http_exchange *x, const char *token)
{
    struct http_server *server = x->server;
    char name[USER_NAME_BYTES_MAX + 1];
    enum http_role role;

    if (!http_handover_read(&server->sessions, token, http_unix_ms(), hash_of, server, name,
                            &role)) {
        fail_login(x, NULL,
                   "this token is no member's, older than 10 minutes, or its user was removed or "
                   "has another password by now");
        return;
    }
    const struct http_user *user = name[0] != '\0' ? http_user_find(&server->users, name) : NULL;
    answer_new(x, name, user != NULL ? user->role : role);
}

void http_post_login(struct http_exchange *x)
{
    struct http_server *server = x->server;
    const char *link = text_of(x, "link"), *handover = text_of(x, "handover");
    const char *user = text_of(x, "user"), *password = text_of(x, "password");

    if (must_wait(x, user))
        return;
    if (link != NULL) {
        if (http_link_take(&server->sessions, link, http_now_ms()))
            answer_new(x, "", HTTP_ADMIN);
        else
            fail_login(x, NULL, "this link was used before, or is older than 10 minutes");
    } else if (handover != NULL) {
        log_in_handed_over(x, handover);
    } else if (user != NULL && password != NULL) {
        x->gone = still_there;
        const struct http_user *known = http_user_find(&server->users, user);
        http_password_check(&server->users.passwords, known != NULL ? known->hash : NULL, password,
                            on_checked, x);
    } else {
        http_fail(x, 0, KITH_E_INVALID,
                  "a log-in needs \"link\", \"handover\", or \"user\" and \"password\"", NULL);
    }
}

void http_post_logout(struct http_exchange *x)
{
    static const char doc[] = "{\"schema\":\"kith.logout/1\"}";
    struct http_body body = {.status = 200, .data = doc, .len = sizeof(doc) - 1};
    char cookie[256];

    if (x->session != NULL)
        http_session_end(&x->server->sessions, x->session);
    http_cookie_line(x->server, NULL, cookie, sizeof(cookie));
    http_answer(x, &body, cookie);
}

/* ---- registering ---- */

static void on_registered(void *arg, int code, const char *text)
{
    struct http_exchange *x = arg;
    enum http_role role = (enum http_role)(uintptr_t)x->state;

    if (x->server == NULL || x->web == NULL)
        http_exchange_free(x);
    else if (code != 0)
        http_fail(x, code == KITH_E_BUSY ? 429 : 0, code, text, NULL);
    else
        answer_new(x, text_of(x, "user"), role);
}

void http_post_register(struct http_exchange *x)
{
    struct http_server *server = x->server;
    const char *user = text_of(x, "user"), *password = text_of(x, "password");
    bool first = list_empty(&server->users.all) && x->role == HTTP_ADMIN;

    if (user == NULL || password == NULL) {
        http_fail(x, 0, KITH_E_INVALID, "registering needs \"user\" and \"password\"", NULL);
        return;
    }
    if (!first && !server->registers) {
        http_fail(x, 0, KITH_E_PERMISSION, "nobody may register here",
                  "an admin adds users (kith user add), or sets web.register = yes");
        return;
    }
    if (must_wait(x, user))
        return;
    struct http_user_change change = {.name = user,
                                      .password = password,
                                      .role = first ? HTTP_ADMIN : HTTP_VIEWER,
                                      .create = true};
    x->gone = still_there;
    x->state = (void *)(uintptr_t)change.role;
    http_user_write(&server->users, &change, on_registered, x);
}
