/*
 * The boards that are open at this node: the logs that the catalogue has of each, and how far pages
 * here have been told of them.
 *
 * Pages load logs for themselves. What is appended elsewhere comes by board.told; what got lost on
 * the way, or was drawn on the other side of a cut, is seen in the catalogue, and read when it has
 * been missing for a while.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "place.h"

/* ---- bytes, words, time ---- */

int wb_put(struct wb_bytes *bytes, const void *data, size_t len)
{
    if (bytes->room - bytes->len < len) {
        size_t room = bytes->room != 0 ? 2 * bytes->room : 256;
        if (room - bytes->len < len)
            room = bytes->len + len;
        uint8_t *grown = realloc(bytes->data, room);
        if (grown == NULL)
            return KITH_E_MEMORY;
        bytes->data = grown;
        bytes->room = room;
    }
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return 0;
}

void wb_drop(struct wb_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct wb_bytes){0};
}

bool wb_word(const void *arg, size_t len, unsigned no, char *out, size_t out_bytes)
{
    const char *text = arg, *end = len > 0 ? memchr(arg, '\n', len) : NULL;
    size_t at = 0, all = end != NULL ? (size_t)(end - text) : len;

    for (;; no--) {
        size_t from = at;
        while (at < all && text[at] != ' ')
            at++;
        if (no == 0) {
            if (at == from || at - from >= out_bytes || memchr(text + from, '\0', at - from))
                return false;
            memcpy(out, text + from, at - from);
            out[at - from] = '\0';
            return true;
        }
        if (at == all)
            return false;
        at++;
    }
}

struct kith_bytes wb_rest(const void *arg, size_t len)
{
    const char *text = arg, *end = len > 0 ? memchr(arg, '\n', len) : NULL;

    if (end == NULL)
        return (struct kith_bytes){0};
    return (struct kith_bytes){end + 1, len - (size_t)(end + 1 - text)};
}

uint64_t wb_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void wb_fail(struct kith_ctx *ctx, int code, const char *text)
{
    (void)kith_fail(ctx, -code, text != NULL && text[0] != '\0' ? text : kith_strerror(code));
}

char *wb_path_file(char out[WB_FILE_PATH_BYTES], const char *board, const char *file)
{
    size_t at = strlen(wb_path_logs(out, board));

    (void)snprintf(out + at, WB_FILE_PATH_BYTES - at, "/%s", file);
    return out;
}

bool wb_name(struct kith_ctx *ctx, const void *arg, size_t len, char out[BOARD_NAME_BYTES_MAX + 1])
{
    if (wb_word(arg, len, 0, out, BOARD_NAME_BYTES_MAX + 1) && board_name_good(out, strlen(out)))
        return true;
    wb_fail(ctx, KITH_E_NAME,
            "the name of a board is 1 to 64 of a to z, 0 to 9 and - between them");
    return false;
}

/* ---- its logs ---- */

static size_t file_place(const struct wb_board *board, const char *name, bool *there_out)
{
    size_t low = 0, high = board->files_n;

    *there_out = false;
    while (low < high) {
        size_t at = low + (high - low) / 2;
        int order = strcmp(name, board->files[at].name);
        if (order == 0) {
            *there_out = true;
            return at;
        }
        if (order < 0)
            high = at;
        else
            low = at + 1;
    }
    return low;
}

struct wb_file *wb_file_find(struct wb_board *board, const char *name, bool make)
{
    bool there;
    size_t at = file_place(board, name, &there);

    if (there)
        return &board->files[at];
    if (!make || strlen(name) >= WB_FILE_BYTES || board->files_n >= BOARD_WRITERS_MAX)
        return NULL;
    if (board->files_n == board->files_room) {
        size_t room = board->files_room != 0 ? 2 * board->files_room : 16;
        struct wb_file *grown = realloc(board->files, room * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        board->files = grown;
        board->files_room = room;
    }
    struct wb_file *file = &board->files[at];
    memmove(file + 1, file, (board->files_n - at) * sizeof(*file));
    board->files_n++;
    *file = (struct wb_file){0};
    memcpy(file->name, name, strlen(name) + 1);
    return file;
}

static void file_settle(struct wb_board *board, struct wb_file *file)
{
    bool gap = file->wanted > file->known;

    if (gap == (file->wanted_ms != 0))
        return;
    file->wanted_ms = gap ? wb_now_ms() : 0;
    if (gap)
        board->gaps_n++;
    else
        board->gaps_n--;
}

void wb_file_wanted(struct wb_board *board, struct wb_file *file, uint64_t size)
{
    if (size > file->wanted)
        file->wanted = size;
    if (board->pages_n == 0) /* a page that comes loads it */
        file->known = file->wanted;
    file_settle(board, file);
}

void wb_file_known(struct wb_board *board, struct wb_file *file, uint64_t size)
{
    if (size > file->known)
        file->known = size;
    if (size > file->wanted)
        file->wanted = size;
    file_settle(board, file);
}

/* ---- reading what is missing ---- */

struct reading {
    struct wb_board *board;
    char name[WB_FILE_BYTES];
    uint64_t from;
};

/* Pages get what holds of it; the rest is there the next time, or is damage that a load tells. */
static void
reading_tell(struct reading *reading, struct wb_file *file, const void *data, size_t len)
{
    struct wb_board *board = reading->board;
    uint8_t header[BOARD_HEADER_BYTES_MAX];
    struct wb_log_name name;
    struct wb_bytes bytes = {0};
    struct board_log log;
    char path[WB_FILE_PATH_BYTES], of[BOARD_NAME_BYTES_MAX + 1];
    size_t head = 0;

    (void)wb_path_file(path, board->name, reading->name);
    if (!wb_path_parse(path, of, &name))
        return;
    if (reading->from > 0) {
        head = board_header_encode(board->name, name.writer, "", header);
        if (wb_put(&bytes, header, head) != 0)
            return;
    }
    if (wb_put(&bytes, data, len) == 0 && board_log_decode(&log, bytes.data, bytes.len) == 0) {
        size_t begin = log.ops_n > 0
                           ? (size_t)(log.ops[0].body - bytes.data) - BOARD_RECORD_HEAD_BYTES
                           : log.good;
        wb_pages_tell_ops(board, log.writer, log.name, bytes.data + begin, log.good - begin);
        wb_writers_know(board, &log);
        wb_file_known(board, file, reading->from + log.good - head);
        board_log_deinit(&log);
    }
    wb_drop(&bytes);
}

static void on_read(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct reading *reading = user;
    struct wb_board *board = reading->board;
    struct wb_file *file = wb_file_find(board, reading->name, false);

    (void)node;
    if (file != NULL) {
        file->reading = false;
        if (result->code == 0 && result->len > 0 && file->known == reading->from)
            reading_tell(reading, file, result->data, result->len);
        if (file->wanted_ms != 0)
            file->wanted_ms = wb_now_ms(); /* once more in a while */
    }
    free(reading);
    wb_let_go(board->wb, board);
}

static void read_file(struct wb_board *board, struct wb_file *file)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    char path[WB_FILE_PATH_BYTES];
    struct kith_fs_op op = {.kind = KITH_FS_READ,
                            .path = path,
                            .offset = file->known,
                            .count = BOARD_ANSWER_BYTES,
                            .timeout_ms = WB_READ_TIMEOUT};

    if (reading == NULL)
        return;
    (void)wb_path_file(path, board->name, file->name);
    reading->board = board;
    reading->from = file->known;
    memcpy(reading->name, file->name, sizeof(reading->name));
    if (kith_fs_do_async(board->wb->node, &op, on_read, reading, NULL) != 0) {
        free(reading);
        return;
    }
    wb_hold(board->wb, board);
    file->reading = true;
}

void wb_board_catch_up(struct wb_board *board)
{
    uint64_t now_ms = wb_now_ms();

    if (board->gaps_n == 0)
        return;
    for (size_t i = 0; i < board->files_n; i++) {
        struct wb_file *file = &board->files[i];
        if (board->pages_n == 0)
            wb_file_known(board, file, file->wanted);
        else if (file->wanted_ms != 0 && !file->reading && now_ms >= file->wanted_ms + WB_GAP_MS)
            read_file(board, file);
    }
}

static void on_change(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    struct wb *wb = wb_of(node);
    char name[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name log;
    struct wb_board *board;
    struct wb_file *file;

    (void)user;
    if (wb == NULL || change->entry == NULL || change->entry->kind != KITH_FS_FILE ||
        !wb_path_parse(change->entry->path, name, &log))
        return;
    board = wb_board_find(wb, name);
    if (board == NULL || !board->listed ||
        (kith_node_id_equal(&log.node, &wb->self) && change->entry->conflict_of[0] == '\0'))
        return; /* what is appended here is told as it is */
    file = wb_file_find(board, strrchr(change->entry->path, '/') + 1, true);
    if (file != NULL)
        wb_file_wanted(board, file, change->entry->size);
}

int wb_boards_watch(struct wb *wb)
{
    int64_t no = kith_fs_watch(wb->node, WB_SHARE, on_change, NULL);

    return no > 0 ? 0 : (int)no;
}

/* ---- the list of its logs ---- */

static void list_page(struct wb_board *board, const char *after);

static void listed(struct wb_board *board, int code, const char *text)
{
    struct wb_waiting *waiting = board->waiting, *next;

    board->listing = false;
    board->listed = code == 0;
    board->waiting = NULL;
    board->waiting_end = &board->waiting;
    for (; waiting != NULL; waiting = next) {
        next = waiting->next;
        waiting->run(board, waiting, code, text);
        free(waiting);
    }
}

static void list_add(struct wb_board *board, const struct kith_fs_result *result)
{
    char name[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name log;

    for (size_t i = 0; i < result->entries_n; i++) {
        const struct kith_fs_entry *entry = &result->entries[i];
        if (entry->kind != KITH_FS_FILE || !wb_path_parse(entry->path, name, &log))
            continue;
        struct wb_file *file = wb_file_find(board, strrchr(entry->path, '/') + 1, true);
        if (file != NULL)
            wb_file_known(board, file, entry->size);
    }
}

static void on_listed(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct wb_board *board = user;

    (void)node;
    if (result->code == KITH_E_NOT_FOUND) { /* it is new */
        listed(board, 0, "");
    } else if (result->code != 0) {
        listed(board, result->code, result->text);
    } else {
        list_add(board, result);
        if (result->next[0] != '\0')
            list_page(board, result->next);
        else
            listed(board, 0, "");
    }
    wb_let_go(board->wb, board);
}

static void list_page(struct wb_board *board, const char *after)
{
    char path[WB_PATH_BYTES];
    struct kith_fs_op op = {
        .kind = KITH_FS_LIST, .path = wb_path_logs(path, board->name), .after = after};
    int r = kith_fs_do_async(board->wb->node, &op, on_listed, board, NULL);

    if (r == 0)
        wb_hold(board->wb, board);
    else
        listed(board, r, kith_errmsg());
}

void wb_board_when_listed(
    struct wb_board *board,
    void (*run)(struct wb_board *board, struct wb_waiting *waiting, int code, const char *text),
    void *user)
{
    struct wb_waiting *waiting = calloc(1, sizeof(*waiting));

    if (waiting == NULL) {
        struct wb_waiting none = {.user = user};
        run(board, &none, KITH_E_MEMORY, "");
        return;
    }
    waiting->run = run;
    waiting->user = user;
    *board->waiting_end = waiting;
    board->waiting_end = &waiting->next;
    if (board->listed) {
        listed(board, 0, "");
    } else if (!board->listing) {
        board->listing = true;
        list_page(board, NULL);
    }
}

/* ---- opening and closing ---- */

struct wb_board *wb_board_find(struct wb *wb, const char *name)
{
    struct wb_board *board = wb->boards;

    while (board != NULL && strcmp(board->name, name) != 0)
        board = board->next;
    return board;
}

static void board_free(struct wb_board *board)
{
    wb_pages_close(board);
    wb_writers_close(board);
    while (board->waiting != NULL) {
        struct wb_waiting *waiting = board->waiting;
        board->waiting = waiting->next;
        waiting->run(board, waiting, KITH_E_STOPPED, "the module stops");
        free(waiting);
    }
    free(board->files);
    free(board);
}

static bool is_idle(const struct wb_board *board)
{
    if (board->pages != NULL || board->busy > 0 || board->waiting != NULL || board->said)
        return false;
    for (const struct wb_writer *writer = board->writers; writer != NULL; writer = writer->next)
        if (writer->busy || writer->reading || writer->askers != NULL)
            return false;
    return true;
}

/* The one that was of no use for longest goes; false: each is of use. */
static bool close_one(struct wb *wb)
{
    struct wb_board **oldest = NULL, *gone;

    for (struct wb_board **at = &wb->boards; *at != NULL; at = &(*at)->next)
        if (is_idle(*at) && (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms))
            oldest = at;
    if (oldest == NULL)
        return false;
    gone = *oldest;
    *oldest = gone->next;
    wb->boards_n--;
    board_free(gone);
    return true;
}

struct wb_board *wb_board_get(struct wb *wb, const char *name, bool must)
{
    struct wb_board *board = wb_board_find(wb, name);

    while (board == NULL && wb->boards_n >= BOARD_OPEN_MAX && close_one(wb))
        continue;
    if (board == NULL && (must || wb->boards_n < BOARD_OPEN_MAX)) {
        board = calloc(1, sizeof(*board));
        if (board == NULL)
            return NULL;
        board->wb = wb;
        board->waiting_end = &board->waiting;
        (void)snprintf(board->name, sizeof(board->name), "%s", name);
        board->next = wb->boards;
        wb->boards = board;
        wb->boards_n++;
    }
    if (board != NULL)
        board->used_ms = wb_now_ms();
    return board;
}

void wb_board_refuse(struct wb *wb, struct kith_ctx *ctx)
{
    if (wb->stopping)
        wb_fail(ctx, KITH_E_STOPPED, "the module stops");
    else if (wb->boards_n >= BOARD_OPEN_MAX)
        wb_fail(ctx, KITH_E_LIMIT,
                "256 boards are open at this node, the limit: close one, or draw at another node");
    else
        wb_fail(ctx, KITH_E_MEMORY, "");
}

void wb_boards_close(struct wb *wb)
{
    while (wb->boards != NULL) {
        struct wb_board *board = wb->boards;
        wb->boards = board->next;
        board_free(board);
    }
    wb->boards_n = 0;
}
