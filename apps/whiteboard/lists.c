/*
 * board.list, board.files, board.logs, board.log, board.image, board.image.put: what the catalogue
 * has of boards, as a page asks for it.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* A call that asks the catalogue, again and again. */
struct call {
    struct wb *wb;
    struct kith_ctx *ctx;
    char board[BOARD_NAME_BYTES_MAX + 1];
    char path[WB_FILE_PATH_BYTES];
    struct wb_bytes out;
    void (*on)(struct call *call, const struct kith_fs_result *result);
    /* of lists */
    char last[BOARD_NAME_BYTES_MAX + 1];
    uint64_t bytes, changed_ms;
    unsigned logs_n, n;
    /* of logs: those that are to be read, and where in the list it goes on */
    char (*names)[WB_FILE_BYTES];
    size_t names_n, at;
    char after[WB_FILE_BYTES];
};

static void call_end(struct call *call, int code, const char *text)
{
    if (code == 0)
        code = kith_reply(call->ctx, call->out.data, call->out.len);
    if (code != 0) /* also of a reply that does not go: else the call would not end */
        wb_fail(call->ctx, code, text);
    wb_drop(&call->out);
    free(call->names);
    free(call);
}

static void on_result(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct call *call = user;
    struct wb *wb = call->wb;

    (void)node;
    call->on(call, result);
    wb_let_go(wb, NULL);
}

/* Begins @op; the call has ended if it cannot. */
static void ask(struct call *call,
                const struct kith_fs_op *op,
                void (*on)(struct call *call, const struct kith_fs_result *result))
{
    int r = call->wb->stopping ? KITH_E_STOPPED
                               : kith_fs_do_async(call->wb->node, op, on_result, call, NULL);

    call->on = on;
    if (r == 0)
        wb_hold(call->wb, NULL);
    else
        call_end(call, r, "");
}

static struct call *call_new(struct kith_ctx *ctx, void *user)
{
    struct call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        wb_fail(ctx, KITH_E_MEMORY, "");
        return NULL;
    }
    call->wb = user;
    call->ctx = ctx;
    return call;
}

static struct call *call_of_board(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char name[BOARD_NAME_BYTES_MAX + 1];
    struct call *call = wb_name(ctx, arg, len, name) ? call_new(ctx, user) : NULL;

    if (call != NULL)
        memcpy(call->board, name, sizeof(name));
    return call;
}

static void print(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print(struct call *call, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)wb_put(&call->out, text, (size_t)n);
}

/* ---- board.list ---- */

static void put_board(struct call *call)
{
    if (call->last[0] != '\0')
        print(call, "%s{\"name\":\"%s\",\"logs\":%u,\"bytes\":%llu,\"changed\":%llu}",
              call->n++ > 0 ? "," : "", call->last, call->logs_n, (unsigned long long)call->bytes,
              (unsigned long long)call->changed_ms);
    call->last[0] = '\0';
    call->logs_n = 0;
    call->bytes = call->changed_ms = 0;
}

static void list_add(struct call *call, const struct kith_fs_entry *entry)
{
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    if (entry->kind != KITH_FS_FILE || !wb_path_parse(entry->path, board, &name))
        return;
    if (strcmp(board, call->last) != 0) {
        put_board(call);
        memcpy(call->last, board, sizeof(board));
    }
    call->logs_n++;
    call->bytes += entry->size;
    if (entry->changed_unix_ms > call->changed_ms)
        call->changed_ms = entry->changed_unix_ms;
}

static void on_list(struct call *call, const struct kith_fs_result *result)
{
    struct kith_fs_op op = {
        .kind = KITH_FS_LIST, .path = WB_SHARE, .recursive = true, .after = result->next};

    if (result->code != 0 && result->code != KITH_E_NOT_FOUND) {
        call_end(call, result->code, result->text);
        return;
    }
    for (size_t i = 0; result->code == 0 && i < result->entries_n; i++)
        list_add(call, &result->entries[i]);
    if (result->code == 0 && result->next[0] != '\0') {
        ask(call, &op, on_list);
        return;
    }
    put_board(call);
    print(call, "]}");
    call_end(call, 0, "");
}

int wb_fn_list(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_new(ctx, user);
    struct kith_fs_op op = {.kind = KITH_FS_LIST, .path = WB_SHARE, .recursive = true};

    (void)arg;
    (void)len;
    if (call != NULL) {
        print(call, "{\"boards\":[");
        ask(call, &op, on_list);
    }
    return KITH_PENDING;
}

/* ---- board.files ---- */

static void on_files(struct call *call, const struct kith_fs_result *result)
{
    struct kith_fs_op op = {.kind = KITH_FS_LIST, .path = call->path, .after = result->next};
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    if (result->code != 0 && result->code != KITH_E_NOT_FOUND) {
        call_end(call, result->code, result->text);
        return;
    }
    for (size_t i = 0; result->code == 0 && i < result->entries_n; i++) {
        const struct kith_fs_entry *entry = &result->entries[i];
        if (entry->kind == KITH_FS_FILE && wb_path_parse(entry->path, board, &name))
            print(call, "%s{\"file\":\"%s\",\"bytes\":%llu}", call->n++ > 0 ? "," : "",
                  strrchr(entry->path, '/') + 1, (unsigned long long)entry->size);
    }
    if (result->code == 0 && result->next[0] != '\0') {
        ask(call, &op, on_files);
        return;
    }
    print(call, "]}");
    call_end(call, 0, "");
}

int wb_fn_files(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_of_board(ctx, arg, len, user);

    if (call != NULL) {
        struct kith_fs_op op = {.kind = KITH_FS_LIST,
                                .path = wb_path_logs(call->path, call->board)};
        print(call, "{\"name\":\"%s\",\"logs\":[", call->board);
        ask(call, &op, on_files);
    }
    return KITH_PENDING;
}

/* ---- board.logs ---- */

static void read_next(struct call *call);

/* Of one log: behind what an answer has before it there is room for it in a reply. A longer one is
 * none that a node made; its reader goes on with board.log. */
#define LOG_ANSWER_BYTES (KITH_FS_DATA_BYTES_MAX - BOARD_ANSWER_BYTES - WB_FILE_BYTES - 6)

/* u8 what it is, u8 length of the name, the name, u32 length, the bytes. */
static int put_log(struct call *call, const void *data, size_t len, bool out)
{
    const char *name = call->names[call->at];
    size_t name_len = strlen(name);
    uint8_t head[2] = {out ? WB_LOG_OUT : WB_LOG_READ, (uint8_t)name_len};
    uint8_t size[4] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
                       (uint8_t)(len >> 24)};

    int r = wb_put(&call->out, head, sizeof(head));
    if (r == 0)
        r = wb_put(&call->out, name, name_len);
    if (r == 0)
        r = wb_put(&call->out, size, sizeof(size));
    return r == 0 ? wb_put(&call->out, data, len) : r;
}

static void on_log(struct call *call, const struct kith_fs_result *result)
{
    if (put_log(call, result->data, result->code == 0 ? result->len : 0, result->code != 0) != 0) {
        call_end(call, KITH_E_MEMORY, "");
        return;
    }
    call->at++;
    read_next(call);
}

static void list_names(struct call *call, const char *after);

static void read_next(struct call *call)
{
    struct kith_fs_op op = {.kind = KITH_FS_READ,
                            .path = call->path,
                            .count = LOG_ANSWER_BYTES,
                            .timeout_ms = WB_READ_TIMEOUT};

    if (call->at == call->names_n || call->out.len >= BOARD_ANSWER_BYTES) {
        call_end(call, 0, "");
        return;
    }
    (void)wb_path_file(call->path, call->board, call->names[call->at]);
    ask(call, &op, on_log);
}

static void on_names(struct call *call, const struct kith_fs_result *result)
{
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    if (result->code != 0 && result->code != KITH_E_NOT_FOUND) {
        call_end(call, result->code, result->text);
        return;
    }
    for (size_t i = 0; result->code == 0 && i < result->entries_n; i++) {
        const char *path = result->entries[i].path, *base = strrchr(path, '/') + 1;
        if (result->entries[i].kind != KITH_FS_FILE || !wb_path_parse(path, board, &name) ||
            strlen(base) >= WB_FILE_BYTES || strcmp(base, call->after) <= 0 ||
            call->names_n >= BOARD_WRITERS_MAX)
            continue;
        if (call->names_n % 64 == 0) {
            void *grown = realloc(call->names, (call->names_n + 64) * sizeof(*call->names));
            if (grown == NULL) {
                call_end(call, KITH_E_MEMORY, "");
                return;
            }
            call->names = grown;
        }
        (void)snprintf(call->names[call->names_n++], WB_FILE_BYTES, "%s", base);
    }
    if (result->code == 0 && result->next[0] != '\0')
        list_names(call, result->next);
    else
        read_next(call);
}

static void list_names(struct call *call, const char *after)
{
    struct kith_fs_op op = {
        .kind = KITH_FS_LIST, .path = wb_path_logs(call->path, call->board), .after = after};

    ask(call, &op, on_names);
}

int wb_fn_logs(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_of_board(ctx, arg, len, user);

    if (call == NULL)
        return KITH_PENDING;
    (void)wb_word(arg, len, 1, call->after, sizeof(call->after));
    list_names(call, NULL);
    return KITH_PENDING;
}

/* ---- board.log ---- */

static void on_bytes(struct call *call, const struct kith_fs_result *result)
{
    if (result->code == 0)
        (void)wb_put(&call->out, result->data, result->len);
    call_end(call, result->code, result->text);
}

int wb_fn_log(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_of_board(ctx, arg, len, user);
    char file[WB_FILE_BYTES], from[24] = "0", of[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    if (call == NULL)
        return KITH_PENDING;
    (void)wb_word(arg, len, 2, from, sizeof(from));
    if (wb_word(arg, len, 1, file, sizeof(file)))
        (void)wb_path_file(call->path, call->board, file);
    if (!wb_path_parse(call->path, of, &name)) {
        call_end(call, KITH_E_NAME, "that is not the name of a log");
        return KITH_PENDING;
    }
    struct kith_fs_op op = {.kind = KITH_FS_READ,
                            .path = call->path,
                            .offset = strtoull(from, NULL, 10),
                            .count = BOARD_ANSWER_BYTES,
                            .timeout_ms = WB_READ_TIMEOUT};
    ask(call, &op, on_bytes);
    return KITH_PENDING;
}

/* ---- images ---- */

static bool image_path(struct call *call, const void *arg, size_t len)
{
    char hash[2 * BOARD_HASH_BYTES + 1];

    if (!wb_word(arg, len, 1, hash, sizeof(hash)) || strlen(hash) != 2 * BOARD_HASH_BYTES ||
        strspn(hash, "0123456789abcdef") != 2 * BOARD_HASH_BYTES) {
        call_end(call, KITH_E_NAME, "an image is named by the 64 hex digits of its SHA-256");
        return false;
    }
    (void)wb_path_images(call->path, call->board);
    size_t at = strlen(call->path);
    (void)snprintf(call->path + at, sizeof(call->path) - at, "/%s", hash);
    return true;
}

int wb_fn_image_get(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_of_board(ctx, arg, len, user);

    if (call == NULL || !image_path(call, arg, len))
        return KITH_PENDING;
    struct kith_fs_op op = {
        .kind = KITH_FS_READ, .path = call->path, .count = KITH_FS_DATA_BYTES_MAX};
    ask(call, &op, on_bytes);
    return KITH_PENDING;
}

/* An image is what its name says: that it is there already is as good. */
static void on_put(struct call *call, const struct kith_fs_result *result)
{
    call_end(call, result->code == KITH_E_EXISTS ? 0 : result->code, result->text);
}

/* What waits in out is the image. */
static void write_image(struct call *call)
{
    struct wb_bytes image = call->out;
    struct kith_fs_op op = {.kind = KITH_FS_WRITE,
                            .path = call->path,
                            .create_only = true,
                            .data = image.data,
                            .len = image.len};

    call->out = (struct wb_bytes){0};
    ask(call, &op, on_put);
    wb_drop(&image);
}

static void on_image_share(struct call *call, const struct kith_fs_result *result)
{
    if (result->code != 0) {
        call->out.len = 0;
        call_end(call, result->code, result->text);
        return;
    }
    call->wb->has_share = true;
    write_image(call);
}

int wb_fn_image_put(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct call *call = call_of_board(ctx, arg, len, user);
    struct kith_bytes data = wb_rest(arg, len);

    if (call == NULL || !image_path(call, arg, len))
        return KITH_PENDING;
    if (data.len == 0 || data.len > BOARD_IMAGE_BYTES_MAX)
        call_end(call, data.len == 0 ? KITH_E_INVALID : KITH_E_TOO_LARGE,
                 "an image has 1 byte to 15 MiB");
    else if (wb_put(&call->out, data.data, data.len) != 0)
        call_end(call, KITH_E_MEMORY, "");
    else if (call->wb->has_share)
        write_image(call);
    else
        ask(call, &(struct kith_fs_op){.kind = KITH_FS_SHARE_ADD, .path = WB_SHARE},
            on_image_share); /* nothing was drawn here before */
    return KITH_PENDING;
}
