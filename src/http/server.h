/*
 * What the files of this room share: the server of one node, and an exchange, which is one request
 * with who made it and what was found out about it. Loop thread only.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <jansson.h>
#include <uv.h>

#include "control/request.h"
#include "core/bytes.h"
#include "core/limits.h"
#include "core/list.h"
#include "http/members.h"
#include "http/part.h"
#include "http/route.h"
#include "http/session.h"
#include "http/users.h"
#include "http/web.h"
#include "node/node.h"

struct boards;
struct http_vars;
struct stream;

/* Numbers as they were written: 12.3, not 12.300000000000001. */
#define HTTP_DUMP (JSON_COMPACT | JSON_REAL_PRECISION(15))

#define HTTP_URL_BYTES_MAX 320
#define HTTP_HOSTS_MAX     64

struct http_server {
    struct node_service service; /* its node is ours */
    struct web *web;
    char url[HTTP_URL_BYTES_MAX];
    char host[256];  /* as configured */
    char cookie[24]; /* its name */
    uint16_t port;
    bool tls, loopback, stopping, web_closed;
    struct http_sessions sessions;
    struct http_users users;
    struct http_members members;
    struct http_vars *vars;
    struct stream *stream;
    struct boards *boards;
    struct list exchanges; /* under way */
    struct list asking;    /* struct asking (door.c) */
    uint64_t idle_ms;      /* of a session: web.session */
    bool registers;        /* web.register */
    uv_timer_t tick;
    unsigned handles_n;
    size_t reads_bytes;    /* of files that are read, at most HTTP_READS_BYTES_MAX */
    struct list transfers; /* struct http_transfer */
    uint64_t transfers_no;
    size_t transfers_ended_n;
    uint64_t requests[6]; /* answered, by the first digit of their status */
};

struct http_exchange {
    struct list link;
    struct http_server *server;
    struct web_request *web; /* NULL: the client has gone */
    const struct http_route *route;
    struct http_session *session; /* NULL: an open route, or the session has ended since */
    enum http_role role;
    struct control_request *control; /* under way */
    const char *verb;                /* of that */
    bool conditional;                /* If-Match: that it does not hold is 412 */
    bool etag;                       /* the answer's entry gives an ETag */
    struct http_transfer *transfer;  /* is told of progress; or NULL */
    json_t *body;                    /* of a route that takes JSON */
    char *name;                      /* of the path */
    const char *origin;              /* of another member, to be allowed; owned */
    /* Set by a route that dispatches a verb: answers by what the verb said. NULL: its JSON. */
    void (*answered)(struct http_exchange *x, const struct buf *json, const void *data, size_t len);
    /* Set by a route that waits by itself: the client has gone, drop what is under way. */
    void (*gone)(struct http_exchange *x);
    void *state;
};

uint64_t http_now_ms(void); /* monotonic */
uint64_t http_unix_ms(void);
/* Something of it has ended; the last one frees it once it stops. */
void http_server_closed_one(struct http_server *server);
struct http_server *http_server_of(struct kith_node *node); /* or NULL */
/* It listens beyond its machine, where a link or a token of the command alone lets nobody in. */
bool http_users_missing(const struct http_server *server);
#define HTTP_USERS_MISSING                                                                         \
    "beyond its own machine this node serves pages to users only, and there are none"
#define HTTP_USERS_MISSING_HINT "add the first one there: kith user add NAME --role admin"

/* ---- answers (answer.c): each ends the exchange, which is gone afterwards ---- */

/* HTTP status of a KITH_E_*. */
int http_status_of(int code);
struct http_body {
    int status;
    const char *type; /* NULL: JSON */
    const void *data;
    size_t len;
};
/* @headers: more lines, or NULL. */
void http_answer(struct http_exchange *x, const struct http_body *body, const char *headers);
void http_answer_json(struct http_exchange *x, int status, json_t *doc, const char *headers);
/* @status 0: that of @code. @hint may be NULL. */
void http_fail(
    struct http_exchange *x, int status, int code, const char *message, const char *hint);
/* The same with further header lines. */
void http_fail_with(struct http_exchange *x,
                    int status,
                    int code,
                    const char *message,
                    const char *hint,
                    const char *headers);
/* Before there is an exchange. */
void http_refuse(struct web_request *web,
                 int status,
                 int code,
                 const char *message,
                 const char *hint,
                 const char *headers);

/* ---- the dispatcher (door.c) ---- */

/* Runs the route's verb with query, body and name as arguments; its answer ends the exchange. */
void http_dispatch(struct http_exchange *x);
/* The same with @verb, its arguments @args (taken over; NULL: memory is short) and raw bytes, which
 * are borrowed for the call. */
void http_dispatch_verb(
    struct http_exchange *x, const char *verb, json_t *args, const void *data, size_t len);
/* The arguments of a request of the dispatcher: query, body, name. */
json_t *http_args(struct http_exchange *x);
/* Arguments of the query as numbers; @absent if not there or none. */
uint64_t http_query_u64(struct http_exchange *x, const char *key, uint64_t absent);
bool http_query_bool(struct http_exchange *x, const char *key, bool absent);
/*
 * Asks the dispatcher for @verb and calls @done once, with the result or (NULL and) a code and its
 * sentence. May call back before it returns. Takes @args over.
 */
typedef void (*http_asked_cb)(void *user, json_t *result, int code, const char *text);
void http_ask(
    struct http_server *server, const char *verb, json_t *args, http_asked_cb done, void *user);
void http_asking_stop(struct http_server *server); /* ends them with KITH_E_STOPPED */

/* ---- who asks (guard.c) ---- */

/* Judges header, origin, session and role of a request; answers it if it is refused (NULL). */
struct http_exchange *http_guard(struct http_server *server, struct web_request *web);
void http_exchange_free(struct http_exchange *x);
/* Lines that let the page of another member read an answer; "" for everybody else. */
void http_origin_lines(struct http_server *server,
                       struct web_request *web,
                       char *out,
                       size_t out_bytes);
/* "Set-Cookie" of @session (NULL: takes it away) to @out. */
void http_cookie_line(const struct http_server *server,
                      const struct http_session *session,
                      char *out,
                      size_t out_bytes);

/* ---- routes ---- */

extern const struct http_route http_routes[];
extern const size_t http_routes_n;

void http_get_asset(struct http_exchange *x);  /* assets.c */
void http_get_health(struct http_exchange *x); /* metrics.c */
void http_get_ready(struct http_exchange *x);
void http_get_metrics(struct http_exchange *x);
void http_get_resources(struct http_exchange *x); /* lists.c */
void http_get_vars(struct http_exchange *x);
void http_get_events(struct http_exchange *x);
void http_get_bundle(struct http_exchange *x);
void http_get_locks(struct http_exchange *x); /* everywhere.c */
void http_get_times(struct http_exchange *x);
void http_get_rtt(struct http_exchange *x);
void http_get_var_info(struct http_exchange *x); /* GET /v1/vars/NAME?info=true */
void http_post_call(struct http_exchange *x);    /* call.c */
void http_get_var(struct http_exchange *x);      /* vars.c */
void http_put_var(struct http_exchange *x);
void http_delete_var(struct http_exchange *x);
void http_post_incr(struct http_exchange *x);
void http_get_file(struct http_exchange *x); /* files.c */
void http_post_file(struct http_exchange *x);
void http_delete_file(struct http_exchange *x);
bool http_put_file_begin(struct http_exchange *x); /* files_write.c; false: answered */
void http_put_file(struct http_exchange *x);
void http_get_transfers(struct http_exchange *x); /* everywhere.c */
void http_transfers_free(struct http_server *server);
int http_vars_new(struct http_server *server);
void http_vars_free(struct http_server *server);
void http_get_stream(struct http_exchange *x); /* stream.c */
void http_get_boards(struct http_exchange *x); /* boards.c */
void http_get_board(struct http_exchange *x);
void http_get_board_logs(struct http_exchange *x);
void http_get_board_log(struct http_exchange *x);
void http_post_board_ops(struct http_exchange *x);
void http_get_board_image(struct http_exchange *x);
void http_put_board_image(struct http_exchange *x);
void http_get_board_live(struct http_exchange *x); /* board_client.c */
void http_post_lock(struct http_exchange *x);      /* locks.c */
void http_delete_lock(struct http_exchange *x);
void http_locks_end(struct http_session *session);
void http_get_session(struct http_exchange *x); /* login.c */
void http_post_login(struct http_exchange *x);
void http_post_logout(struct http_exchange *x);
void http_post_register(struct http_exchange *x);
void http_get_users(struct http_exchange *x); /* accounts.c */
void http_post_user(struct http_exchange *x);
void http_put_user(struct http_exchange *x);
void http_delete_user(struct http_exchange *x);

/* Documents that routes and topics share. NULL if memory is short. */
json_t *http_resources_doc(struct http_server *server);
/* By name, up or down (any other order is up); searched are name, type, policy and home. */
json_t *http_vars_doc(struct http_server *server, const struct http_part *part);
json_t *http_events_doc(struct http_server *server, uint64_t after, uint64_t before, size_t limit);
/* Every node's mutexes, joined by name. @done once, perhaps before this returns. */
void http_locks_ask(struct http_server *server, http_asked_cb done, void *user);
/* What goes through the routes of files. */
void http_transfers_ask(struct http_server *server, http_asked_cb done, void *user);
/* How long functions took lately, by every node. */
void http_times_ask(struct http_server *server, http_asked_cb done, void *user);
/* Echoes between all pairs of nodes. KITH_E_LIMIT if there are more than HTTP_RTT_NODES_MAX. */
void http_rtt_ask(struct http_server *server, http_asked_cb done, void *user);
/* The part that the query asks for; its texts are in @texts. */
struct http_part_texts {
    char prefix[HTTP_ARGUMENT_BYTES_MAX], search[HTTP_ARGUMENT_BYTES_MAX], sort[32];
};
struct http_part http_query_part(struct http_exchange *x, struct http_part_texts *texts);
/* kith's own variables are nobody's business here. */
bool http_var_is_hidden(const char *name);

#endif
