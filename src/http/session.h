/*
 * Who is logged in at this node: sessions, links that make one, and tokens by which another node
 * takes somebody over. All in memory; the time comes with each question. Loop thread only.
 */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "http/route.h"

#define SESSION_TOKEN_CHARS 43 /* 32 random bytes, base64url */
#define USER_NAME_BYTES_MAX 63

struct http_session {
    struct list link; /* by last use, oldest first */
    char token[SESSION_TOKEN_CHARS + 1];
    char user[USER_NAME_BYTES_MAX + 1]; /* "": whoever has the control socket */
    enum http_role role;
    bool bearer;
    uint64_t idle_ms;    /* it ends so long after its last use */
    uint64_t used_ms;    /* monotonic */
    uint64_t expires_ms; /* if it ends at that time in any case; else 0 */
    struct list locks;   /* struct http_lock */
    unsigned locks_n;
    struct list sockets; /* struct http_client */
};

struct http_sessions {
    struct list all;
    struct map64 by_token; /* by the token's first characters */
    size_t n;
    /* A session ends; what hangs at it goes with it. */
    void (*ended)(struct http_session *session, void *user);
    void *user;
    struct list links;
    size_t links_n;
    uint8_t handover_key[32]; /* of the cluster */
    uint64_t run;             /* drawn by each start, stands in handovers */
};

void http_sessions_init(struct http_sessions *sessions,
                        const char *cluster_secret,
                        void (*ended)(struct http_session *session, void *user),
                        void *user);
void http_sessions_deinit(struct http_sessions *sessions);

struct session_options {
    const char *user;
    enum http_role role;
    bool bearer;
    uint64_t idle_ms;
    uint64_t expires_in_ms; /* 0: only by not being used */
};
/* NULL if memory is short. Above HTTP_SESSIONS_MAX the one unused longest ends. */
struct http_session *http_session_new(struct http_sessions *sessions,
                                      const struct session_options *options,
                                      uint64_t now_ms);
/* The session of @token of @len characters, used now; NULL if there is none or it is over. */
struct http_session *
http_session_find(struct http_sessions *sessions, const char *token, size_t len, uint64_t now_ms);
void http_session_end(struct http_sessions *sessions, struct http_session *session);
/* Ends those of @user, but for @spared (may be NULL). */
void http_sessions_end_user(struct http_sessions *sessions,
                            const char *user,
                            const struct http_session *spared);
/* Ends what is over. */
void http_sessions_tick(struct http_sessions *sessions, uint64_t now_ms);

/* A link for one log-in within HTTP_LINK_MS; @out has SESSION_TOKEN_CHARS + 1 bytes. 0 or
 * KITH_E_MEMORY. */
int http_link_new(struct http_sessions *sessions, uint64_t now_ms, char *out);
/* True once for each link. */
bool http_link_take(struct http_sessions *sessions, const char *link, uint64_t now_ms);

/* The hash of the password of @user; NULL: no such user is known. */
typedef const char *(*http_hash_of)(void *arg, const char *user);
/*
 * A token by which another member takes @session over, for HTTP_HANDOVER_MS: user, role and end,
 * under a key that all members have. @hash: of the user's password, with which the token ends too;
 * "" for a session without a user. @unix_ms is the wall clock.
 */
#define HANDOVER_CHARS_MAX 256
void http_handover_make(const struct http_sessions *sessions,
                        const struct http_session *session,
                        const char *hash,
                        uint64_t unix_ms,
                        char out[HANDOVER_CHARS_MAX]);
/*
 * True if @token is one, not over, its user has the password of then, and it was not made by these
 * sessions themselves (they know who is logged in); then whose it is.
 * @hash_of is asked at most once, before it returns, and not for a session without a user.
 */
bool http_handover_read(const struct http_sessions *sessions,
                        const char *token,
                        uint64_t unix_ms,
                        http_hash_of hash_of,
                        void *arg,
                        char user_out[USER_NAME_BYTES_MAX + 1],
                        enum http_role *role_out);

#endif
