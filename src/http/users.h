/*
 * The users of a cluster: durable shared variables "kith/user/NAME", which every node follows. To
 * read them needs no majority: what was last seen is kept here, and in the data directory for the
 * time after a start. Loop thread only.
 */
#ifndef HTTP_USERS_H
#define HTTP_USERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/list.h"
#include "http/passwords.h"
#include "http/route.h"
#include "http/session.h"
#include "net/data_dir.h"

struct http_server;

#define HTTP_USERS_PREFIX "kith/user/"
#define HTTP_PASSWORD_MIN 8

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
    struct http_users_copy {
        struct data_dir dir; /* path NULL: there is none */
        bool dirty;          /* it is to be written */
        uint64_t written_ms;
        uv_timer_t timer;
        uv_work_t work;
        char *text; /* that a thread writes; NULL: none does */
        char *last; /* behind it, when the node ends */
        int code;
        char error[256];
        uv_close_cb closed; /* it is to be closed when that is written */
    } copy;
    struct http_passwords passwords;
    struct http_fail fails[HTTP_FAILS_KEPT];
};

void http_users_open(struct http_users *users, struct http_server *server);
/* @closed twice, of handles whose data is the server. */
void http_users_close(struct http_users *users, uv_close_cb closed);
struct http_user *http_user_find(const struct http_users *users, const char *name);
/* What a variable, or the copy, says of a user; false if it is damaged: then the user cannot log
 * in. And the same the other way round. */
bool http_user_note(struct http_users *users, const char *name, const json_t *doc);
json_t *http_user_doc(const struct http_user *user);
/* 1 to 63 of a-z A-Z 0-9 - _ . @ */
bool http_user_name_good(const char *name);

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

/* ---- users_copy.c: what was last known of them, in the data directory ---- */
void http_users_copy_open(struct http_users *users); /* reads it */
/* At once, and of many changes together only now and then: it is written as a whole. */
void http_users_copy_soon(struct http_users *users);
/* The users must be there until this returns, @users until @closed. */
void http_users_copy_close(struct http_users *users, uv_close_cb closed);

#endif
