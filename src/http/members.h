/*
 * The web addresses of the other members: asked of each once it is here (verb web.info), so that
 * a page of one may talk to another. Loop thread only.
 */
#ifndef HTTP_MEMBERS_H
#define HTTP_MEMBERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/json.h"
#include "core/list.h"
#include "http/origins.h"
#include "node/node.h"

struct http_server;

struct http_members {
    struct http_server *server;
    struct list all;            /* struct http_member */
    struct http_origins former; /* addresses that were members' */
    size_t n;
    unsigned asking_n;
    uv_timer_t timer; /* of the next look round */
    struct node_event_watch watch;
};

struct http_member {
    struct list link;
    struct kith_node_id id;
    uint64_t boot_no;
    uint64_t retry_ms;
    uint64_t wait_ms; /* the last time, for an address that it had not */
    bool asked, seen;
    bool again;                          /* it began anew while it was asked */
    char url[HTTP_ORIGIN_BYTES_MAX + 1]; /* "": not known, or it has none */
};

/* Begins to look; its timer counts among the server's handles. */
void http_members_open(struct http_members *members, struct http_server *server);
void http_members_close(struct http_members *members, uv_close_cb closed);
/*
 * Is @origin the web address of a member, or was it one, by what this node saw or those that it met
 * did? It is asked about just when the node that a page came from has died; the newest
 * HTTP_ORIGINS_FORMER_MAX are kept.
 */
bool http_members_has(const struct http_members *members, const char *origin);
/* "former" of web.info: those addresses, for members that were not here then. */
void http_members_put_former(const struct http_members *members, struct json *json);
/* The address of @id; "" if unknown. */
const char *http_members_url(const struct http_members *members, const struct kith_node_id *id);
/* Puts "web" into each node of @doc, what the verb nodes answered: its address, null if unknown. */
void http_members_mark(const struct http_members *members, json_t *doc);

#endif
