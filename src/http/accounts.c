/* Routes about users: list, add, change, remove. */
#include <string.h>

#include "core/error.h"
#include "core/text.h"
#include "http/server.h"

static json_t *users_doc(struct http_server *server)
{
    char created[32], changed[32];
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.user.ls/1", "users");
    json_t *list = json_object_get(doc, "users");

    list_for_each (it, &server->users.all) {
        const struct http_user *user = container_of(it, struct http_user, link);
        (void)json_array_append_new(list,
                                    json_pack("{s:s,s:s,s:s,s:s}", "name", user->name, "role",
                                              http_role_text(user->role), "created",
                                              text_time_ms(user->created_ms, created), "changed",
                                              text_time_ms(user->changed_ms, changed)));
    }
    return doc;
}

void http_get_users(struct http_exchange *x)
{
    http_answer_json(x, 200, users_doc(x->server), NULL);
}

static void still_there(struct http_exchange *x)
{
    (void)x;
}

static void on_written(void *arg, int code, const char *text)
{
    struct http_exchange *x = arg;

    if (x->server == NULL || x->web == NULL)
        http_exchange_free(x);
    else if (code != 0)
        http_fail(x, code == KITH_E_BUSY ? 429 : 0, code, text, NULL);
    else
        http_answer_json(x, x->route->method == WEB_POST ? 201 : 200,
                         json_pack("{s:s}", "schema", "kith.user/1"), NULL);
}

static const char *text_of(const struct http_exchange *x, const char *key)
{
    return json_string_value(json_object_get(x->body, key));
}

void http_post_user(struct http_exchange *x)
{
    struct http_user_change change = {.name = text_of(x, "user"),
                                      .password = text_of(x, "password"),
                                      .role = http_role_named(text_of(x, "role")),
                                      .create = true};

    if (change.name == NULL || change.role == HTTP_NOBODY) {
        http_fail(x, 0, KITH_E_INVALID,
                  "a user needs \"user\", \"password\" and \"role\": viewer, operator or admin",
                  NULL);
        return;
    }
    x->gone = still_there;
    http_user_write(&x->server->users, &change, on_written, x);
}

static void write_change(struct http_exchange *x)
{
    const char *role = text_of(x, "role");
    struct http_user_change change = {
        .name = x->name, .password = text_of(x, "password"), .role = http_role_named(role)};

    http_user_write(&x->server->users, &change, on_written, x);
}

/* The old password of who changes the own one. */
static void on_old_checked(void *arg, int code, const char *hash)
{
    struct http_exchange *x = arg;

    (void)hash;
    if (x->server == NULL || x->web == NULL)
        http_exchange_free(x);
    else if (code == KITH_E_PERMISSION)
        http_fail(x, 0, code, "the old password is another one", NULL);
    else if (code != 0)
        http_fail(x, code == KITH_E_BUSY ? 429 : 0, code, kith_strerror(code), NULL);
    else
        write_change(x);
}

void http_put_user(struct http_exchange *x)
{
    struct http_server *server = x->server;
    const char *role = text_of(x, "role"), *password = text_of(x, "password");
    const char *old = text_of(x, "old_password");
    const struct http_user *user = http_user_find(&server->users, x->name);
    bool own = x->session != NULL && strcmp(x->session->user, x->name) == 0;

    if ((role != NULL && http_role_named(role) == HTTP_NOBODY) ||
        (role == NULL && password == NULL)) {
        http_fail(x, 0, KITH_E_INVALID,
                  "a change needs \"password\", or \"role\": viewer, operator or admin", NULL);
    } else if (x->role != HTTP_ADMIN && (role != NULL || !own)) {
        http_fail(x, 0, KITH_E_PERMISSION, "only an admin changes roles and other users",
                  "ask an admin (kith user)");
    } else if (x->role != HTTP_ADMIN && old == NULL) {
        http_fail(x, 0, KITH_E_INVALID, "the own password is changed with \"old_password\"", NULL);
    } else {
        x->gone = still_there;
        if (x->role != HTTP_ADMIN)
            http_password_check(&server->users.passwords, user != NULL ? user->hash : NULL, old,
                                on_old_checked, x);
        else
            write_change(x);
    }
}

void http_delete_user(struct http_exchange *x)
{
    x->gone = still_there;
    http_user_remove(&x->server->users, x->name, on_written, x);
}
