/* Logs that pages and other nodes send, and what of them was written. */
#include "unit/whiteboard_node.h"

void made_put(struct wb_bytes *bytes, const void *data, size_t len)
{
    if (bytes->room - bytes->len < len) {
        bytes->room = 2 * bytes->room + len + 256;
        bytes->data = realloc(bytes->data, bytes->room);
        assert_non_null(bytes->data);
    }
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void made_drop(struct wb_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct wb_bytes){0};
}

static void writer_id(uint8_t id[BOARD_WRITER_BYTES], unsigned writer)
{
    memset(id, 0, BOARD_WRITER_BYTES);
    id[14] = (uint8_t)(writer >> 8);
    id[15] = (uint8_t)writer;
}

void log_begin(struct made_log *log, const char *board, unsigned writer, const char *person)
{
    uint8_t header[BOARD_HEADER_BYTES_MAX], id[BOARD_WRITER_BYTES];

    *log = (struct made_log){0};
    writer_id(id, writer);
    (void)snprintf(log->board, sizeof(log->board), "%s", board);
    made_put(&log->bytes, header, board_header_encode(board, id, person, header));
}

void log_op(struct made_log *log, uint32_t counter, size_t bytes)
{
    static uint8_t body[BOARD_RECORD_BYTES_MAX];
    uint8_t head[BOARD_RECORD_HEAD_BYTES];
    size_t at = 0, len = bytes - BOARD_RECORD_HEAD_BYTES;

    assert_in_range(len, 20, sizeof(body));
    memset(body, 0, len);
    for (; counter >= 128; counter >>= 7)
        body[at++] = (uint8_t)(counter | 128);
    body[at++] = (uint8_t)counter;
    body[at++] = 1; /* clock */
    body[at] = 100; /* a kind of a later version: it is as long as it is */
    board_record_head(body, len, head);
    made_put(&log->bytes, head, sizeof(head));
    made_put(&log->bytes, body, len);
}

void log_end(struct made_log *log)
{
    made_drop(&log->bytes);
}

struct kith_ctx *
append_ops(struct kith_node *node, const char *board, unsigned writer, uint32_t from, uint32_t to)
{
    struct made_log log;

    log_begin(&log, board, writer, "Ana");
    for (uint32_t counter = from; counter <= to; counter++)
        log_op(&log, counter, 64);
    struct kith_ctx *ctx = node_call(node, "board.append", board, &log.bytes);
    log_end(&log);
    return ctx;
}

#define COUNTERS 2048

/* How often each operation of the writer stands in all logs of the board. */
static const unsigned *count_all(struct kith_node *node, const char *board, unsigned writer)
{
    static unsigned times[COUNTERS];
    char path[WB_FILE_PATH_BYTES];
    size_t len = strlen(wb_path_logs(path, board));
    uint8_t id[BOARD_WRITER_BYTES];
    struct board_log log;

    memset(times, 0, sizeof(times));
    writer_id(id, writer);
    for (const struct made_file *file = node->files; file != NULL; file = file->next) {
        if (strncmp(file->path, path, len) != 0 || file->path[len] != '/' ||
            board_log_decode(&log, file->bytes.data, file->bytes.len) != 0)
            continue;
        assert_int_equal(log.state, BOARD_LOG_WHOLE);
        for (size_t i = 0; i < log.ops_n && memcmp(log.writer, id, sizeof(id)) == 0; i++)
            times[log.ops[i].counter % COUNTERS]++;
        board_log_deinit(&log);
    }
    return times;
}

unsigned times_written(struct kith_node *node, const char *board, unsigned writer, uint32_t counter)
{
    return count_all(node, board, writer)[counter];
}

bool each_once(
    struct kith_node *node, const char *board, unsigned writer, uint32_t from, uint32_t to)
{
    const unsigned *times = count_all(node, board, writer);

    while (from <= to && times[from] == 1)
        from++;
    return from > to;
}
