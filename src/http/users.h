/*
 * The users of a cluster: durable shared variables "kith/user/NAME", which every node follows. To
 * read them needs no majority: what was last seen is kept here, and in the data directory for the
 * time after a start. Passwords are Argon2id hashes, made and checked on libuv's pool, one at a
 * time. Loop thread only.
 */
#ifndef HTTP_USERS_H
#define HTTP_USERS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/list.h"
#include "http/route.h"
#include "http/session.h"

struct http_server;

#define HTTP_USERS_PREFIX    "kith/user/"
#define HTTP_USER_HASH_BYTES 128 /* crypto_pwhash_STRBYTES */
#define HTTP_PASSWORD_MIN    8

struct http_user {
    struct list link; /* by name */
    char name[USER_NAME_BYTES_MAX + 1];
    char hash[HTTP_USER_HASH_BYTES];
    enum http_role role;
    uint64_t created_ms, changed_ms; /* unix */
};

/* Log-ins that failed, by who tried. */
struct http_fail {
    uint64_t key; /* of an address or a user; 0: free */
    uint64_t since_ms;
    unsigned n;
};

struct http_users {
    struct http_server *server;
    struct list all;
    size_t n;
    int64_t watch_no;
    char *path; /* of the copy */
    bool dirty; /* the copy is to be written */
    uint64_t copied_ms;
    uv_timer_t copy_timer;
    struct list jobs; /* passwords to hash or check; the first is under way */
    size_t jobs_n;
    bool working;
    struct http_fail fails[HTTP_FAILS_KEPT];
};

void http_users_open(struct http_users *users, struct http_server *server);
/* @closed once, of a handle whose data is the server. */
void http_users_close(struct http_users *users, uv_close_cb closed);
struct http_user *http_user_find(const struct http_users *users, const char *name);
/* 1 to 63 of a-z A-Z 0-9 - _ . @ */
bool http_user_name_good(const char *name);

/* @done once, later: 0; KITH_E_PERMISSION (not this password); KITH_E_BUSY (too many wait);
 * KITH_E_MEMORY. @user is the one found, or NULL: then it takes as long, and is refused. */
typedef void (*http_checked_cb)(void *arg, int code);
void http_password_check(struct http_users *users,
                         const struct http_user *user,
                         const char *password,
                         http_checked_cb done,
                         void *arg);
/*
 * Writes a user: @password NULL keeps the hash there is, @role HTTP_NOBODY the role. @create: there
 * must be none, else there must be one. @done once, later: 0; KITH_E_EXISTS, KITH_E_NOT_FOUND, or
 * what the variable says; @text is the sentence.
 */
typedef void (*http_written_cb)(void *arg, int code, const char *text);
struct http_user_change {
    const char *name, *password;
    enum http_role role;
    bool create;
};
void http_user_write(struct http_users *users,
                     const struct http_user_change *change,
                     http_written_cb done,
                     void *arg);
void http_user_remove(struct http_users *users, const char *name, http_written_cb done, void *arg);

/* May @address try to log in as @user (may be NULL)? Else seconds to wait. */
unsigned http_fails_wait_s(const struct http_users *users,
                           const char *address,
                           const char *user,
                           uint64_t now_ms);
void http_fails_note(struct http_users *users,
                     const char *address,
                     const char *user,
                     uint64_t now_ms);

#endif
