/*
 * What goes through the routes of files now: how far it is, how fast, and for a while how it ended.
 * What has ended well within half a second nobody could have seen: it leaves at once.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/files.h"

#define SHORT_MS 500
#define MARK_MS  2000 /* rates are of the last two to four seconds */

struct http_transfer {
    struct list link; /* http_server.transfers, in the order in which they began */
    struct http_server *server;
    uint64_t id;
    const char *what;
    uint64_t done, all;
    uint64_t began_ms, ended_ms; /* 0: it goes on */
    uint64_t mark_ms, mark_done, next_ms, next_done;
    int code;
    char user[USER_NAME_BYTES_MAX + 1];
    char text[200];
    char path[];
};

static void transfer_free(struct http_transfer *transfer)
{
    if (transfer->ended_ms != 0)
        transfer->server->transfers_ended_n--;
    list_remove(&transfer->link);
    core_free(transfer);
}

struct http_transfer *http_transfer_new(struct http_exchange *x, const char *what, uint64_t bytes)
{
    size_t len = strlen(x->name);
    struct http_transfer *transfer = core_calloc(1, sizeof(*transfer) + len + 1);

    if (transfer == NULL)
        return NULL;
    transfer->server = x->server;
    transfer->id = ++x->server->transfers_no;
    transfer->what = what;
    transfer->all = bytes;
    transfer->began_ms = transfer->mark_ms = transfer->next_ms = http_now_ms();
    memcpy(transfer->path, x->name, len + 1);
    if (x->session != NULL)
        snprintf(transfer->user, sizeof(transfer->user), "%s", x->session->user);
    list_append(&x->server->transfers, &transfer->link);
    return transfer;
}

void http_transfer_at(struct http_transfer *transfer, uint64_t done, uint64_t all)
{
    uint64_t now_ms = http_now_ms();

    if (transfer == NULL)
        return;
    transfer->done = done;
    transfer->all = all;
    transfer->text[0] = '\0';
    if (now_ms - transfer->next_ms < MARK_MS)
        return;
    transfer->mark_ms = transfer->next_ms;
    transfer->mark_done = transfer->next_done;
    transfer->next_ms = now_ms;
    transfer->next_done = done;
}

void http_transfer_waits(struct http_transfer *transfer, const char *text)
{
    if (transfer != NULL)
        snprintf(transfer->text, sizeof(transfer->text), "%s", text);
}

static void forget_old(struct http_server *server, uint64_t now_ms)
{
    list_for_each_safe (it, &server->transfers) {
        struct http_transfer *transfer = container_of(it, struct http_transfer, link);
        if (transfer->ended_ms != 0 && (now_ms - transfer->ended_ms >= HTTP_TRANSFER_KEPT_MS ||
                                        server->transfers_ended_n > HTTP_TRANSFERS_KEPT))
            transfer_free(transfer);
    }
}

void http_transfer_end(struct http_transfer *transfer, int code, const char *text)
{
    uint64_t now_ms = http_now_ms();

    if (transfer == NULL)
        return;
    struct http_server *server = transfer->server;
    if (code == 0 && now_ms - transfer->began_ms < SHORT_MS) {
        transfer_free(transfer);
        return;
    }
    transfer->ended_ms = now_ms;
    transfer->code = code;
    if (code == 0)
        transfer->done = transfer->all;
    snprintf(transfer->text, sizeof(transfer->text), "%s", text != NULL ? text : "");
    server->transfers_ended_n++;
    forget_old(server, now_ms);
}

void http_transfers_free(struct http_server *server)
{
    list_for_each_safe (it, &server->transfers) {
        transfer_free(container_of(it, struct http_transfer, link));
    }
}

/* ---- the document ---- */

/* Which nodes this one is being sent it by. */
static json_t *from_of(const struct http_transfer *transfer, bool runs)
{
    struct kith_node *node = transfer->server->service.node;
    struct node_fs_source sources[HTTP_TRANSFER_FROM_MAX];
    json_t *from = json_array();
    size_t n = 0;

    if (runs && strcmp(transfer->what, "upload") != 0)
        n = node_fs_sources(node, transfer->path, sources, HTTP_TRANSFER_FROM_MAX);
    for (size_t i = 0; i < n && from != NULL; i++) {
        char digits[KITH_NODE_ID_DIGITS + 1];
        const char *name = node_name_of(node, &sources[i].node);
        if (name == NULL)
            name = kith_node_id_text(&sources[i].node, digits);
        (void)json_array_append_new(from, json_pack("{s:s,s:I}", "name", name, "bytes_per_s",
                                                    (json_int_t)sources[i].bytes_per_s));
    }
    return from;
}

static json_t *row_of(const struct http_transfer *transfer, uint64_t now_ms)
{
    bool runs = transfer->ended_ms == 0;
    uint64_t end_ms = runs ? now_ms : transfer->ended_ms;
    uint64_t ms = end_ms - (runs ? transfer->mark_ms : transfer->began_ms);
    uint64_t bytes = transfer->done - (runs ? transfer->mark_done : 0);
    uint64_t rate = bytes * 1000 / (ms > 0 ? ms : 1);
    uint64_t left = transfer->all > transfer->done ? transfer->all - transfer->done : 0;
    json_t *row =
        json_pack("{s:I,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:I}", "id", (json_int_t)transfer->id,
                  "what", transfer->what, "path", transfer->path, "user", transfer->user, "state",
                  runs                  ? "running"
                  : transfer->code == 0 ? "done"
                                        : "failed",
                  "done_bytes", (json_int_t)transfer->done, "all_bytes", (json_int_t)transfer->all,
                  "bytes_per_s", (json_int_t)rate, "text", transfer->text, "age_ms",
                  (json_int_t)(now_ms - transfer->began_ms));

    if (row == NULL)
        return NULL;
    (void)json_object_set_new(row, "from", from_of(transfer, runs));
    (void)json_object_set_new(row, "left_ms",
                              runs && rate > 0 ? json_integer((json_int_t)(left * 1000 / rate))
                                               : json_null());
    return row;
}

struct asking_transfers {
    struct http_server *server;
    http_asked_cb done;
    void *user;
};

static void on_cache(void *user, json_t *result, int code, const char *text)
{
    struct asking_transfers *asking = user;
    struct http_server *server = asking->server;
    uint64_t now_ms = http_now_ms();

    if (result == NULL) {
        asking->done(asking->user, NULL, code, text);
        core_free(asking);
        return;
    }
    forget_old(server, now_ms);
    json_t *rows = json_array();
    list_for_each (it, &server->transfers) {
        (void)json_array_append_new(rows,
                                    row_of(container_of(it, struct http_transfer, link), now_ms));
    }
    json_t *doc = json_pack("{s:s,s:o,s:O,s:O}", "schema", "kith.transfers/1", "transfers", rows,
                            "fetching", json_object_get(result, "fetching"), "fetching_bytes",
                            json_object_get(result, "fetching_bytes"));
    if (doc != NULL)
        asking->done(asking->user, doc, 0, NULL);
    else
        asking->done(asking->user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
    json_decref(doc);
    core_free(asking);
}

void http_transfers_ask(struct http_server *server, http_asked_cb done, void *user)
{
    struct asking_transfers *asking = core_calloc(1, sizeof(*asking));

    if (asking == NULL) {
        done(user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    *asking = (struct asking_transfers){.server = server, .done = done, .user = user};
    http_ask(server, "fs.cache", json_object(), on_cache, asking);
}
