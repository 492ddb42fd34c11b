/*
 * A body that becomes a file: it comes piece by piece, goes to the disk as it comes, and is seen
 * when all of it is durable.
 *
 * One piece is gathered while the one before it is written; when it is full, nothing more is read
 * from the client. What the path has is looked at meanwhile, so that a condition that does not hold
 * is told before the body is there; when it is committed it is judged once more, by the catalogue.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/files.h"

struct putting {
    struct http_exchange *x; /* NULL: the client has gone, or was answered */
    struct kith_node *node;
    struct kith_upload *upload; /* NULL: it is committed */
    struct http_transfer *transfer;
    struct buf piece;
    uint64_t came, size;
    uint64_t modified_ns;
    uint32_t mode;
    bool looked;  /* what the path has is known */
    bool writing; /* a piece is on its way to the disk */
    bool whole;   /* the body is */
    bool create_only, there;
    char match[KITH_FS_HASH_DIGITS + 1]; /* of If-Match; "*": whatever is there */
    char path[FILES_PATH_BYTES];
};

static void putting_free(struct putting *putting)
{
    buf_deinit(&putting->piece);
    core_free(putting);
}

/* What waits for a callback is freed by that. */
static void give_up(struct putting *putting)
{
    if (!putting->looked || putting->writing || putting->upload == NULL)
        return;
    kith_upload_drop(putting->upload);
    putting_free(putting);
}

static struct http_exchange *let_go(struct putting *putting, int code, const char *text)
{
    struct http_exchange *x = putting->x;

    putting->x = NULL;
    x->gone = NULL;
    x->state = NULL;
    http_transfer_end(putting->transfer, code, text);
    putting->transfer = NULL;
    return x;
}

static void on_gone(struct http_exchange *x)
{
    struct putting *putting = x->state;

    (void)let_go(putting, KITH_E_CANCELED, "the client has gone");
    http_exchange_free(x);
    give_up(putting);
}

static void refuse(struct putting *putting, int code, const char *text)
{
    bool conditional = putting->create_only || putting->match[0] != '\0';
    char copy[1024];

    snprintf(copy, sizeof(copy), "%s", text);
    struct http_exchange *x = let_go(putting, code, copy);
    give_up(putting);
    files_fail(x, code, copy, conditional);
}

/* ---- the end ---- */

static void on_committed(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct putting *putting = user;
    char lines[FILES_LINES_BYTES];
    struct buf json = {0};

    (void)node;
    if (putting->x == NULL) {
        putting_free(putting);
        return;
    }
    if (result->code != 0) {
        refuse(putting, result->code, result->text);
        putting_free(putting);
        return;
    }
    bool fresh = !putting->there;
    struct http_exchange *x = let_go(putting, 0, NULL);
    putting_free(putting);
    files_entry_lines(result->entries, lines);
    if (files_put_entry(&json, "kith.fs.put/1", result) == 0) {
        struct http_body body = {.status = fresh ? 201 : 200, .data = json.data, .len = json.len};
        http_answer(x, &body, lines);
    } else {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
    }
    buf_deinit(&json);
}

static void commit(struct putting *putting)
{
    struct kith_fs_op op = {.kind = KITH_FS_WRITE,
                            .path = putting->path,
                            .hash = putting->match[0] != '\0' ? putting->match : NULL,
                            .create_only = putting->create_only,
                            .mode = putting->mode,
                            .modified_unix_ns = putting->modified_ns};
    struct kith_upload *upload = putting->upload;

    putting->upload = NULL;
    int r = kith_upload_commit_async(upload, &op, on_committed, putting);
    if (r == 0)
        return;
    putting->upload = upload;
    refuse(putting, r, kith_errmsg());
}

/* ---- pieces ---- */

static void go_on(struct putting *putting);

static void on_written(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct putting *putting = user;

    (void)node;
    putting->writing = false;
    if (putting->x == NULL) {
        give_up(putting);
        return;
    }
    if (result->code != 0) {
        refuse(putting, result->code, result->text);
        return;
    }
    go_on(putting);
}

static void go_on(struct putting *putting)
{
    bool full = putting->piece.len >= HTTP_PIECE_BYTES_MAX;
    bool last = putting->whole && putting->piece.len > 0;

    if (!putting->looked)
        return;
    if (!putting->writing && (full || last)) {
        int r = kith_upload_write_async(putting->upload, putting->piece.data, putting->piece.len,
                                        on_written, putting);
        if (r != 0) {
            refuse(putting, r, kith_errmsg());
            return;
        }
        putting->writing = true;
        putting->piece.len = 0;
        full = false;
    }
    if (!putting->whole)
        web_pause(putting->x->web, full);
    else if (!putting->writing && putting->piece.len == 0)
        commit(putting);
}

void files_piece_came(struct http_exchange *x, const void *data, size_t len)
{
    struct putting *putting = x->state;

    if (putting == NULL)
        return;
    putting->came += len;
    http_transfer_at(putting->transfer, putting->came, putting->size);
    if ((putting->piece.data == NULL &&
         buf_reserve(&putting->piece, putting->size < HTTP_PIECE_BYTES_MAX
                                          ? (size_t)putting->size
                                          : HTTP_PIECE_BYTES_MAX) != 0) ||
        buf_append(&putting->piece, data, len) != 0) {
        refuse(putting, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    if (putting->piece.len < HTTP_PIECE_BYTES_MAX)
        return;
    if (!putting->looked)
        web_pause(x->web, true);
    go_on(putting);
}

void http_put_file(struct http_exchange *x)
{
    struct putting *putting = x->state;

    putting->whole = true;
    go_on(putting);
}

/* ---- the beginning ---- */

/* What the path has, against what the header asks for. False: refused. */
static bool conditions_hold(struct putting *putting, const struct kith_fs_entry *entry)
{
    if (putting->create_only && putting->there) {
        refuse(putting, KITH_E_EXISTS, "there is a file of that name already");
        return false;
    }
    if (putting->match[0] == '\0')
        return true;
    if (!putting->there || entry->kind != KITH_FS_FILE) {
        refuse(putting, KITH_E_FENCE, "there is no such file, as If-Match expects");
        return false;
    }
    if (strcmp(putting->match, "*") == 0) {
        snprintf(putting->match, sizeof(putting->match), "%s", entry->hash);
    } else if (strcmp(putting->match, entry->hash) != 0) {
        refuse(putting, KITH_E_FENCE, "the file has another content than If-Match expects");
        return false;
    }
    return true;
}

static void on_looked(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct putting *putting = user;

    (void)node;
    putting->looked = true;
    if (putting->x == NULL) {
        give_up(putting);
        return;
    }
    /* An @ in a name that is not there yet names no node. */
    if (result->code != 0 && result->code != KITH_E_NOT_FOUND && result->code != KITH_E_NO_NODE) {
        refuse(putting, result->code, result->text);
        return;
    }
    putting->there = result->code == 0 && result->entries[0].kind != KITH_FS_DELETED;
    if (putting->there && (result->entries[0].kind == KITH_FS_DIRECTORY ||
                           result->entries[0].kind == KITH_FS_SHARE)) {
        putting->create_only = false;
        putting->match[0] = '\0';
        refuse(putting, KITH_E_EXISTS, "a folder has that name");
        return;
    }
    if (conditions_hold(putting, result->entries))
        go_on(putting);
}

static void putting_fail(struct http_exchange *x, int code, const char *text)
{
    struct putting *putting = x->state;

    x->state = NULL;
    x->gone = NULL;
    if (putting->upload != NULL)
        kith_upload_drop(putting->upload);
    http_transfer_end(putting->transfer, code, text);
    putting_free(putting);
    files_fail(x, code, text, false);
}

bool http_put_file_begin(struct http_exchange *x)
{
    struct putting *putting = core_calloc(1, sizeof(*putting));
    struct kith_fs_op look = {.kind = KITH_FS_STAT, .path = x->name};
    const char *none = web_header(x->web, WEB_IF_NONE_MATCH);

    if (putting == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return false;
    }
    putting->create_only = none != NULL;
    if (none != NULL && strcmp(none, "*") != 0) {
        core_free(putting);
        http_fail(x, 400, KITH_E_PARSE, "If-None-Match takes * where something is written", NULL);
        return false;
    }
    if (!files_if_match(x, putting->match)) {
        core_free(putting);
        return false;
    }
    putting->x = x;
    putting->node = x->server->service.node;
    putting->size = web_body_want(x->web);
    putting->mode = (uint32_t)http_query_u64(x, "mode", 0);
    putting->modified_ns = http_query_u64(x, "modified_ns", 0);
    snprintf(putting->path, sizeof(putting->path), "%s", x->name);
    x->state = putting;
    x->gone = on_gone;
    int r = kith_upload_open(putting->node, &putting->upload);
    if (r == 0)
        r = kith_fs_do_async(putting->node, &look, on_looked, putting, NULL);
    if (r != 0) {
        putting_fail(x, r, kith_errmsg());
        return false;
    }
    putting->transfer = http_transfer_new(x, "upload", putting->size);
    return true;
}
