/*
 * Bytes of a file as the answer. The first piece is read before anything is said, so what cannot be
 * read at all is an error like others; from then on one piece is read while the one before it is
 * written, and none further ahead: a client that does not read holds that much and no more.
 */
#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/file_head.h"
#include "http/files.h"

#define AHEAD 2 /* pieces: one is written, one is read or waits */

struct file_reader {
    struct http_exchange *x; /* NULL: the client has gone */
    struct kith_node *node;
    struct http_transfer *transfer;
    uint64_t op;    /* under way, or 0 */
    size_t held;    /* of HTTP_READS_BYTES_MAX */
    uint64_t size;  /* of the file */
    uint64_t from;  /* of the range */
    uint64_t at;    /* read so far, from the file's begin */
    uint64_t end;   /* of the range */
    unsigned ahead; /* pieces that are read or not written yet */
    bool begun, by_hash, part, head, download;
    char *none_match, *range, *if_range; /* what the header says, or NULL */
    char hash[KITH_FS_HASH_DIGITS + 1];
    char name[FILES_PATH_BYTES];   /* as it is to be saved */
    char lines[FILES_LINES_BYTES]; /* of the entry */
};

static void reader_free(struct file_reader *reader)
{
    core_free(reader->none_match);
    core_free(reader->range);
    core_free(reader->if_range);
    core_free(reader);
}

/* The exchange is about to end, or has. */
static void let_go(struct file_reader *reader, int code, const char *text)
{
    struct http_exchange *x = reader->x;

    reader->x = NULL;
    x->gone = NULL;
    x->state = NULL;
    if (x->server != NULL)
        x->server->reads_bytes -= reader->held;
    http_transfer_end(reader->transfer, code, text);
    reader->transfer = NULL;
}

static void on_gone(struct http_exchange *x)
{
    struct file_reader *reader = x->state;

    let_go(reader, KITH_E_CANCELED, "the client has gone");
    http_exchange_free(x);
    if (reader->op != 0)
        kith_fs_cancel(reader->node, reader->op); /* its callback frees it */
    else
        reader_free(reader);
}

/* Ends with an error, before anything was said. */
static void refuse(struct file_reader *reader, int code, const char *text)
{
    struct http_exchange *x = reader->x;

    let_go(reader, code, text);
    if (reader->by_hash && code == KITH_E_FENCE)
        code = KITH_E_NOT_FOUND;
    reader_free(reader);
    files_fail(x, code, text, false);
}

/* ---- the head ---- */

static void put_lines(const struct file_reader *reader, char *out, size_t out_bytes)
{
    struct http_exchange *x = reader->x;
    char name[FILE_DISPOSITION_BYTES], range[96] = "";
    bool shown;
    const char *type = file_type(reader->name, &shown);
    const char *origin = x->origin;

    file_disposition(reader->name, shown && !reader->download, name);
    if (reader->part)
        snprintf(range, sizeof(range),
                 "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", reader->from,
                 reader->end - 1, reader->size);
    snprintf(out, out_bytes,
             "Content-Type: %s\r\nContent-Disposition: %s\r\nCache-Control: %s\r\n"
             "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: " FILE_POLICY
             "\r\nCross-Origin-Resource-Policy: same-origin\r\nAccept-Ranges: bytes\r\nVary: "
             "Origin\r\n%s%s%s%s%s",
             type, name,
             reader->by_hash ? "private, max-age=31536000, immutable" : "private, no-cache", range,
             reader->lines, origin != NULL ? "Access-Control-Allow-Origin: " : "",
             origin != NULL ? origin : "",
             origin != NULL ? "\r\nAccess-Control-Expose-Headers: *\r\n" : "");
}

/* Without a body that would have to be read. */
static void answer_whole(struct file_reader *reader, int status)
{
    struct http_exchange *x = reader->x;
    char lines[4096];
    struct web_answer answer = {.status = status, .headers = lines};

    put_lines(reader, lines, sizeof(lines));
    if (status != 304)
        answer.body_len = (size_t)(reader->end - reader->from); /* of HEAD; else there is none */
    let_go(reader, 0, NULL);
    reader_free(reader);
    x->server->requests[status / 100]++;
    web_answer(x->web, &answer);
    http_exchange_free(x);
}

static void answer_behind(struct file_reader *reader)
{
    struct http_exchange *x = reader->x;
    char line[64];

    snprintf(line, sizeof(line), "Content-Range: bytes */%" PRIu64 "\r\n", reader->size);
    let_go(reader, KITH_E_INVALID, "the range begins behind the end");
    reader_free(reader);
    http_fail_with(x, 416, KITH_E_INVALID, "the range begins behind the end of the file", NULL,
                   line);
}

/* ---- pieces ---- */

static int read_next(struct file_reader *reader);

static bool begin(struct file_reader *reader)
{
    char lines[4096];
    struct web_answer answer = {.status = reader->part ? 206 : 200, .headers = lines};

    put_lines(reader, lines, sizeof(lines));
    reader->x->server->requests[2]++;
    reader->begun = true;
    return web_answer_begin(reader->x->web, &answer, reader->end - reader->from) == 0;
}

/* It cannot go on, and the client sees it by what is missing. */
static void break_off(struct file_reader *reader, int code, const char *text)
{
    struct http_exchange *x = reader->x;

    log_warn(node_log(reader->node), "http", "a file could not be sent to its end", "path",
             reader->name, "why", text, NULL);
    let_go(reader, code, text);
    reader_free(reader);
    web_answer_break(x->web);
    http_exchange_free(x);
}

static void on_read(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct file_reader *reader = user;
    uint8_t *piece = NULL;
    int code = result->code;
    const char *text = result->text;

    (void)node;
    reader->op = 0;
    if (reader->x == NULL) {
        reader_free(reader);
        return;
    }
    if (code == 0 && result->len == 0) {
        code = KITH_E_CORRUPT;
        text = "the file is shorter than the catalogue says";
    }
    if (code == 0 && (piece = web_piece_new(result->len)) == NULL) {
        code = KITH_E_MEMORY;
        text = kith_strerror(code);
    }
    if (code != 0 && reader->begun) {
        break_off(reader, code, text);
        return;
    }
    if (code == 0 && !reader->begun && !begin(reader)) {
        web_piece_free(piece);
        code = KITH_E_MEMORY;
        text = kith_strerror(code);
    }
    if (code != 0) {
        refuse(reader, code, text);
        return;
    }
    memcpy(piece, result->data, result->len);
    reader->at += result->len;
    if (reader->at < reader->end && reader->ahead < AHEAD)
        (void)read_next(reader); /* tried again when this piece has left */
    /* Last: it may be all, and written before this returns. */
    web_answer_piece(reader->x->web, piece, result->len);
}

static int read_next(struct file_reader *reader)
{
    uint64_t left = reader->end - reader->at;
    struct kith_fs_op op = {.kind = KITH_FS_READ,
                            .path = reader->x->name,
                            .hash = reader->hash,
                            .offset = reader->at,
                            .count = left < HTTP_READ_PIECE_BYTES ? (size_t)left
                                                                  : HTTP_READ_PIECE_BYTES};
    int r = kith_fs_do_async(reader->node, &op, on_read, reader, &reader->op);

    reader->ahead += r == 0;
    return r;
}

void files_piece_left(struct http_exchange *x, bool all)
{
    struct file_reader *reader = x->state;
    int r = 0;

    reader->ahead--;
    http_transfer_at(reader->transfer, reader->at - reader->from, reader->end - reader->from);
    if (all) {
        let_go(reader, 0, NULL);
        reader_free(reader);
        http_exchange_free(x);
        return;
    }
    if (reader->op == 0 && reader->at < reader->end)
        r = read_next(reader);
    if (r != 0)
        break_off(reader, r, kith_errmsg());
}

/* ---- what is asked for ---- */

/* Room for it among all that are read. False: answered. */
static bool take_room(struct file_reader *reader)
{
    struct http_server *server = reader->x->server;
    uint64_t len = reader->end - reader->from;
    size_t held = len < HTTP_READ_BYTES_MAX / 4 ? (size_t)len * 4 : HTTP_READ_BYTES_MAX;

    if (server->reads_bytes + held > HTTP_READS_BYTES_MAX) {
        refuse(reader, KITH_E_BUSY,
               "so many files are read here that 128 MiB of them are held, "
               "the limit of this node; try again");
        return false;
    }
    server->reads_bytes += held;
    reader->held = held;
    return true;
}

/* Hash and size are known. */
static void go(struct file_reader *reader)
{
    enum file_range range = FILE_WHOLE;
    bool ranged = !reader->head && (reader->if_range == NULL ||
                                    file_etag_listed(reader->if_range, reader->hash, false));

    reader->end = reader->size;
    if (reader->none_match != NULL && file_etag_listed(reader->none_match, reader->hash, true)) {
        answer_whole(reader, 304);
        return;
    }
    if (ranged)
        range = file_range(reader->range, reader->size, &reader->from, &reader->end);
    reader->part = range == FILE_PART;
    reader->at = reader->from;
    if (range == FILE_BEHIND) {
        answer_behind(reader);
    } else if (reader->head || reader->at == reader->end) {
        answer_whole(reader, 200);
    } else if (take_room(reader)) {
        reader->transfer = http_transfer_new(reader->x, "download", reader->end - reader->from);
        int r = read_next(reader);
        if (r != 0)
            refuse(reader, r, kith_errmsg());
    }
}

/* @entry is not what has bytes. */
static void refuse_kind(struct file_reader *reader, const struct kith_fs_entry *entry)
{
    struct http_exchange *x = reader->x;
    char text[FILES_PATH_BYTES + 64];
    bool link = entry->kind == KITH_FS_SYMLINK;

    snprintf(text, sizeof(text), "%s is no file: it is a %s", x->name,
             kith_fs_kind_text(entry->kind));
    let_go(reader, KITH_E_INVALID, text);
    reader_free(reader);
    http_fail(x, 400, KITH_E_INVALID, text,
              link ? "?stat says where it leads" : "a slash at its end lists what is in it");
}

static void on_stat(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct file_reader *reader = user;
    const struct kith_fs_entry *entry = result->entries;

    (void)node;
    reader->op = 0;
    if (reader->x == NULL) {
        reader_free(reader);
        return;
    }
    if (result->code != 0) {
        refuse(reader, result->code, result->text);
        return;
    }
    if (!reader->by_hash && entry->kind != KITH_FS_FILE) {
        refuse_kind(reader, entry);
        return;
    }
    if (reader->by_hash) {
        reader->size = result->size;
        snprintf(reader->name, sizeof(reader->name), "%s", reader->x->name);
        snprintf(reader->lines, sizeof(reader->lines), "ETag: \"%s\"\r\n", reader->hash);
    } else {
        reader->size = entry->size;
        snprintf(reader->hash, sizeof(reader->hash), "%s", entry->hash);
        snprintf(reader->name, sizeof(reader->name), "%s",
                 entry->conflict_of[0] != '\0' ? entry->conflict_of : entry->path);
        files_entry_lines(entry, reader->lines);
    }
    go(reader);
}

static char *header_copy(struct http_exchange *x, enum web_header header)
{
    const char *text = web_header(x->web, header);
    return text != NULL ? core_strndup(text, strlen(text)) : NULL;
}

void files_read(struct http_exchange *x)
{
    struct file_reader *reader = core_calloc(1, sizeof(*reader));
    char hash[KITH_FS_HASH_DIGITS + 1];
    struct kith_fs_op op = {.kind = KITH_FS_STAT, .path = x->name};

    if (files_flag(x, "hash") && !web_query(x->web, "hash", hash, sizeof(hash))) {
        core_free(reader);
        http_fail(x, 400, KITH_E_INVALID, "a hash has 64 digits", NULL);
        return;
    }
    if (reader == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    if (web_query(x->web, "hash", hash, sizeof(hash))) {
        op = (struct kith_fs_op){.kind = KITH_FS_READ, .path = x->name, .hash = hash};
        reader->by_hash = true;
        snprintf(reader->hash, sizeof(reader->hash), "%s", hash);
    }
    reader->x = x;
    reader->node = x->server->service.node;
    reader->head = web_method(x->web) == WEB_HEAD;
    reader->download = files_flag(x, "download");
    reader->none_match = header_copy(x, WEB_IF_NONE_MATCH);
    reader->range = header_copy(x, WEB_RANGE);
    reader->if_range = header_copy(x, WEB_IF_RANGE);
    x->state = reader;
    x->gone = on_gone;
    int r = kith_fs_do_async(reader->node, &op, on_stat, reader, &reader->op);
    if (r != 0)
        refuse(reader, r, kith_errmsg());
}
