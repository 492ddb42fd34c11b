#include "http/users.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"

/* ---- the table ---- */

struct http_user *http_user_find(const struct http_users *users, const char *name)
{
    list_for_each (it, &users->all) {
        struct http_user *user = container_of(it, struct http_user, link);
        if (strcmp(user->name, name) == 0)
            return user;
    }
    return NULL;
}

bool http_user_name_good(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= USER_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") ==
               len;
}

static void forget(struct http_users *users, const char *name)
{
    struct http_user *user = http_user_find(users, name);

    if (user == NULL)
        return;
    list_remove(&user->link);
    users->n--;
    sodium_memzero(user, sizeof(*user));
    core_free(user);
}

static struct http_user *add(struct http_users *users, const char *name)
{
    struct http_user *user = core_calloc(1, sizeof(*user));
    struct list *at = &users->all;

    if (user == NULL)
        return NULL;
    snprintf(user->name, sizeof(user->name), "%s", name);
    list_for_each (it, &users->all) {
        if (strcmp(container_of(it, struct http_user, link)->name, name) > 0) {
            at = it;
            break;
        }
    }
    list_insert_before(at, &user->link);
    users->n++;
    return user;
}

bool http_user_note(struct http_users *users, const char *name, const json_t *doc)
{
    const char *hash = json_string_value(json_object_get(doc, "hash"));
    enum http_role role = http_role_named(json_string_value(json_object_get(doc, "role")));
    struct http_user *user = http_user_find(users, name);
    bool good = hash != NULL && strlen(hash) < HTTP_USER_HASH_BYTES && role != HTTP_NOBODY;

    if (!good || !http_user_name_good(name)) {
        forget(users, name);
        return false;
    }
    if (user == NULL && users->n < HTTP_USERS_MAX)
        user = add(users, name);
    if (user == NULL)
        return false;
    if (user->hash[0] != '\0' && (strcmp(user->hash, hash) != 0 || user->role != role))
        http_sessions_end_user(&users->server->sessions, name, NULL);
    memset(user->hash, 0, sizeof(user->hash)); /* what is compared is whole */
    snprintf(user->hash, sizeof(user->hash), "%s", hash);
    user->role = role;
    user->created_ms = (uint64_t)json_integer_value(json_object_get(doc, "created_ms"));
    user->changed_ms = (uint64_t)json_integer_value(json_object_get(doc, "changed_ms"));
    return true;
}

json_t *http_user_doc(const struct http_user *user)
{
    return json_pack("{s:s,s:s,s:I,s:I}", "hash", user->hash, "role", http_role_text(user->role),
                     "created_ms", (json_int_t)user->created_ms, "changed_ms",
                     (json_int_t)user->changed_ms);
}

/* ---- following the variables ---- */

static void on_change(struct kith_node *node, const struct kith_var_change *change, void *arg)
{
    struct http_users *users = arg;
    const char *name = change->name + strlen(HTTP_USERS_PREFIX);

    (void)node;
    if (change->lost)
        return; /* its keepers are away: what we know of it holds */
    if (change->gone || !change->value->found) {
        http_sessions_end_user(&users->server->sessions, name, NULL);
        forget(users, name);
    } else {
        json_t *doc = json_loadb(change->value->data, change->value->len, 0, NULL);
        if (!http_user_note(users, name, doc))
            log_warn(node_log(node), "http", "a user's variable is damaged", "user", name, NULL);
        json_decref(doc);
    }
    http_users_copy_soon(users);
}

void http_users_open(struct http_users *users, struct http_server *server)
{
    users->server = server;
    list_init(&users->all);
    http_passwords_init(&users->passwords, node_loop(server->service.node));
    http_users_copy_open(users);
    users->watch_no = kith_var_watch(server->service.node, HTTP_USERS_PREFIX "*", on_change, users);
}

/* ---- writing ---- */

struct writing {
    struct http_users *users;
    http_written_cb done;
    void *arg;
    struct http_user user;
    bool create;
};

/* NULL: @done has been told. */
static struct writing *writing_new(struct http_users *users, http_written_cb done, void *arg)
{
    struct writing *writing = core_calloc(1, sizeof(*writing));

    if (writing == NULL) {
        done(arg, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return NULL;
    }
    writing->users = users;
    writing->done = done;
    writing->arg = arg;
    return writing;
}

static void writing_end(struct writing *writing, int code, const char *text)
{
    writing->done(writing->arg, code, text);
    sodium_memzero(writing, sizeof(*writing));
    core_free(writing);
}

static void on_written(struct kith_node *node, const struct kith_value *value, void *arg)
{
    struct writing *writing = arg;

    (void)node;
    if (value->code == 0 && !value->applied)
        writing_end(writing, KITH_E_EXISTS, "there is a user of that name");
    else
        writing_end(writing, value->code, value->text);
}

static void write_now(struct writing *writing)
{
    struct kith_node *node = writing->users->server->service.node;
    char name[sizeof(HTTP_USERS_PREFIX) + USER_NAME_BYTES_MAX];
    json_t *doc = http_user_doc(&writing->user);
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    struct kith_var_options options = {.type = KITH_TYPE_TEXT, .policy = KITH_POLICY_DURABLE};

    json_decref(doc);
    if (text == NULL) {
        writing_end(writing, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    struct kith_var_op op = {.kind = writing->create ? KITH_VAR_CAS_VERSION : KITH_VAR_SET,
                             .data = text,
                             .len = strlen(text)};
    snprintf(name, sizeof(name), HTTP_USERS_PREFIX "%s", writing->user.name);
    int r = kith_var_do_async(node, name, &op, &options, on_written, writing);
    if (r != 0)
        writing_end(writing, r, kith_errmsg());
    sodium_memzero(text, strlen(text));
    free(text);
}

static void on_hash(void *arg, int code, const char *hash)
{
    struct writing *writing = arg;

    if (code != 0) {
        writing_end(writing, code,
                    code == KITH_E_BUSY ? "too many passwords are being made or checked; try again"
                                        : kith_strerror(code));
        return;
    }
    snprintf(writing->user.hash, sizeof(writing->user.hash), "%s", hash);
    write_now(writing);
}

static const char *change_wrong(const struct http_user_change *change)
{
    if (!http_user_name_good(change->name))
        return "a user's name is 1 to 63 of a-z A-Z 0-9 - _ . @";
    if (change->password != NULL && strlen(change->password) < HTTP_PASSWORD_MIN)
        return "a password has at least 8 characters";
    if (change->create && (change->password == NULL || change->role == HTTP_NOBODY))
        return "a new user needs a password and a role";
    return NULL;
}

void http_user_write(struct http_users *users,
                     const struct http_user_change *change,
                     http_written_cb done,
                     void *arg)
{
    const struct http_user *known = http_user_find(users, change->name);
    const char *wrong = change_wrong(change);
    struct writing *writing;

    if (wrong != NULL || (known != NULL) == change->create) {
        done(arg,
             wrong != NULL    ? KITH_E_INVALID
             : change->create ? KITH_E_EXISTS
                              : KITH_E_NOT_FOUND,
             wrong != NULL    ? wrong
             : change->create ? "there is a user of that name"
                              : "there is no such user; kith user ls lists them");
        return;
    }
    if (change->create && users->n >= HTTP_USERS_MAX) {
        done(arg, KITH_E_LIMIT, "there are as many users as there may be; remove some");
        return;
    }
    writing = writing_new(users, done, arg);
    if (writing == NULL)
        return;
    writing->create = change->create;
    if (known != NULL)
        writing->user = *known;
    snprintf(writing->user.name, sizeof(writing->user.name), "%s", change->name);
    if (change->role != HTTP_NOBODY)
        writing->user.role = change->role;
    writing->user.changed_ms = http_unix_ms();
    if (change->create)
        writing->user.created_ms = writing->user.changed_ms;
    if (change->password == NULL)
        write_now(writing);
    else
        http_password_make(&users->passwords, change->password, on_hash, writing);
}

static void on_removed(struct kith_node *node, const struct kith_value *value, void *arg)
{
    struct writing *writing = arg;
    (void)node;
    writing_end(writing, value->code, value->text);
}

void http_user_remove(struct http_users *users, const char *name, http_written_cb done, void *arg)
{
    struct kith_var_op op = {.kind = KITH_VAR_DELETE};
    struct kith_var_options options = {0};
    char variable[sizeof(HTTP_USERS_PREFIX) + USER_NAME_BYTES_MAX];

    if (http_user_find(users, name) == NULL) {
        done(arg, KITH_E_NOT_FOUND, "there is no such user; kith user ls lists them");
        return;
    }
    struct writing *writing = writing_new(users, done, arg);
    if (writing == NULL)
        return;
    snprintf(variable, sizeof(variable), HTTP_USERS_PREFIX "%s", name);
    int r = kith_var_do_async(users->server->service.node, variable, &op, &options, on_removed,
                              writing);
    if (r != 0)
        writing_end(writing, r, kith_errmsg());
}

void http_users_close(struct http_users *users, uv_close_cb closed)
{
    struct list *link;

    if (users->watch_no > 0)
        kith_var_unwatch(users->server->service.node, users->watch_no);
    users->watch_no = 0;
    http_users_copy_close(users, closed);
    http_passwords_close(&users->passwords, closed, users->server);
    while ((link = list_first(&users->all)) != NULL)
        forget(users, container_of(link, struct http_user, link)->name);
}

/* ---- log-ins that failed ---- */

static uint64_t fail_key(char kind, const char *text)
{
    uint64_t key = 0;
    char buffer[80];

    snprintf(buffer, sizeof(buffer), "%c%s", kind, text);
    crypto_shorthash((uint8_t *)&key, (const uint8_t *)buffer, strlen(buffer),
                     (const uint8_t *)"kith failed logs"); /* 16 bytes; not a secret */
    return key | 1;
}

static unsigned
wait_of(const struct http_users *users, uint64_t key, unsigned most, uint64_t now_ms)
{
    for (size_t i = 0; i < HTTP_FAILS_KEPT; i++) {
        const struct http_fail *fail = &users->fails[i];
        if (fail->key == key && now_ms < fail->since_ms + HTTP_FAILS_MS && fail->n >= most)
            return (unsigned)((fail->since_ms + HTTP_FAILS_MS - now_ms) / 1000) + 1;
    }
    return 0;
}

unsigned http_fails_wait_s(const struct http_users *users,
                           const char *address,
                           const char *user,
                           uint64_t now_ms)
{
    unsigned a = wait_of(users, fail_key('a', address), HTTP_FAILS_ADDRESS_MAX, now_ms);
    unsigned b =
        user != NULL ? wait_of(users, fail_key('u', user), HTTP_FAILS_USER_MAX, now_ms) : 0;
    return a > b ? a : b;
}

static void count(struct http_users *users, uint64_t key, uint64_t now_ms)
{
    struct http_fail *at = &users->fails[0];

    for (size_t i = 0; i < HTTP_FAILS_KEPT; i++) {
        struct http_fail *fail = &users->fails[i];
        if (fail->key == key) {
            at = fail;
            break;
        }
        if (fail->since_ms < at->since_ms)
            at = fail; /* the oldest, or one that is free */
    }
    if (at->key != key || now_ms >= at->since_ms + HTTP_FAILS_MS)
        *at = (struct http_fail){.key = key, .since_ms = now_ms};
    at->n++;
}

void http_fails_note(struct http_users *users,
                     const char *address,
                     const char *user,
                     uint64_t now_ms)
{
    count(users, fail_key('a', address), now_ms);
    if (user != NULL)
        count(users, fail_key('u', user), now_ms);
}
