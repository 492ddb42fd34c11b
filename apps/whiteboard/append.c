/*
 * board.append: operations of one writer become durable in a log of this node.
 *
 * What comes while a write is under way goes with the next one, so a busy writer costs a write a
 * time and not one an operation. What some log has already is not written again: a page that went
 * on at another node sends what was not acknowledged once more.
 */
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* ---- who waits ---- */

#define TOO_MUCH                                                                                   \
    "8 MiB of this writer wait for the disk of this node, the limit: send the rest again later"
#define STOPS "the module stops"

/* What it brought is held no longer: it is in a batch, or nowhere. */
static void log_drop(struct wb_asker *asker)
{
    if (asker->log == NULL)
        return;
    *asker->also_at = asker->also;
    if (asker->also != NULL)
        asker->also->also_at = asker->also_at;
    free(asker->log);
    asker->log = NULL;
}

static void answer(struct wb_asker *asker, int code, const char *text)
{
    log_drop(asker);
    if (asker->ctx != NULL && code == 0)
        (void)kith_reply(asker->ctx, NULL, 0);
    else if (asker->ctx != NULL)
        wb_fail(asker->ctx, code, text);
    free(asker);
}

static void answer_all(struct wb_asker **askers, int code, const char *text)
{
    struct wb_asker *asker = *askers, *next;

    *askers = NULL;
    for (; asker != NULL; asker = next) {
        next = asker->next;
        answer(asker, code, text);
    }
}

/* The write has failed that these waited for beside their own. */
static void answer_riders(struct wb_asker **at, int code, const char *text)
{
    while (*at != NULL) {
        struct wb_asker *asker = *at;
        if (!asker->rides) {
            at = &asker->next;
            continue;
        }
        *at = asker->next;
        answer(asker, code, text);
    }
}

/* The last of them, in the order in which they came. */
static void wait_last(struct wb_asker **askers, struct wb_asker *asker)
{
    while (*askers != NULL)
        askers = &(*askers)->next;
    *askers = asker;
    asker->next = NULL;
}

static void batch_drop(struct wb_batch *batch)
{
    wb_drop(&batch->records);
    wb_counters_drop(&batch->counters);
}

/* ---- writing ---- */

static void commit(struct wb_writer *writer);
static void take_all(struct wb_writer *writer);

/* How long the log @number may become. */
static uint64_t segment_bytes(uint32_t number)
{
    uint32_t doubled = number / 8;
    uint64_t bytes = BOARD_SEGMENT_BYTES;

    while (doubled-- > 0 && bytes < BOARD_SEGMENT_BYTES_MAX)
        bytes *= 2;
    return bytes;
}

static void batch_done(struct wb_writer *writer, uint64_t offset)
{
    struct wb_board *board = writer->board;
    struct wb_log_name name = {.node = board->wb->self, .number = writer->number};
    struct wb_bytes log = {0};
    char path[WB_PATH_BYTES];

    memcpy(name.writer, writer->id, sizeof(name.writer));
    (void)wb_path_log(path, board->name, &name);
    const char *base = strrchr(path, '/') + 1;
    struct wb_file *file = wb_file_find(board, base, true);
    if (file != NULL)
        wb_file_known(board, file, writer->bytes);
    for (size_t i = 0; i < writer->now.counters.n; i++) {
        const struct wb_run *run = &writer->now.counters.runs[i];
        for (uint32_t counter = run->from; counter <= run->to; counter++)
            (void)wb_counters_add(&writer->known, counter);
    }
    answer_all(&writer->now.askers, 0, "");
    wb_pages_tell_ops(board, writer->id, writer->person, writer->now.records.data,
                      writer->now.records.len);
    if (wb_put(&log, writer->header, writer->header_len) == 0 &&
        wb_put(&log, writer->now.records.data, writer->now.records.len) == 0)
        wb_told_tell(board, base, offset, log.data, log.len);
    wb_drop(&log);
}

static void on_stored(void *user, int code, const char *text)
{
    struct wb_writer *writer = user;
    uint64_t offset = writer->bytes;

    if (code != 0 && code != KITH_E_STOPPED && code != KITH_E_MEMORY && !writer->tried &&
        !writer->board->wb->stopping) {
        writer->tried = true; /* somebody touched the log, or it is of a former life: another one */
        writer->bytes = 0;
        commit(writer);
        return;
    }
    writer->tried = false;
    if (code == 0) {
        writer->bytes += (offset == 0 ? writer->header_len : 0) + writer->now.records.len;
        batch_done(writer, offset);
    } else {
        writer->bytes = 0;
        answer_all(&writer->now.askers, code, text);
        answer_riders(&writer->later.askers, code, text);
        answer_all(&writer->askers, code, text); /* or they would fill a full disk for ever */
    }
    batch_drop(&writer->now);
    writer->now = writer->later;
    writer->later = (struct wb_batch){0};
    for (struct wb_asker *asker = writer->now.askers; asker != NULL; asker = asker->next)
        asker->rides = false;
    writer->busy = false;
    if (writer->now.records.len > 0 && !writer->board->wb->stopping)
        commit(writer);
    else
        answer_all(&writer->now.askers, KITH_E_STOPPED, STOPS);
    take_all(writer);
}

/* Writes what waits. */
static void commit(struct wb_writer *writer)
{
    struct wb_bytes all = {0};
    bool create = writer->bytes == 0 ||
                  writer->bytes + writer->now.records.len > segment_bytes(writer->number);

    writer->busy = true;
    writer->header_len =
        board_header_encode(writer->board->name, writer->id, writer->person, writer->header);
    if (!create) {
        wb_store(writer, false, writer->now.records.data, writer->now.records.len, on_stored,
                 writer);
        return;
    }
    writer->bytes = 0;
    writer->number++;
    if (wb_put(&all, writer->header, writer->header_len) == 0 &&
        wb_put(&all, writer->now.records.data, writer->now.records.len) == 0)
        wb_store(writer, true, all.data, all.len, on_stored, writer);
    else
        on_stored(writer, KITH_E_MEMORY, "");
    wb_drop(&all);
}

/* ---- taking ---- */

static bool batch_has(const struct wb_batch *batch, uint32_t counter)
{
    return batch->records.len > 0 && wb_counters_have(&batch->counters, counter);
}

/* What is new of it goes into @batch. Whether something of it is on its way already is *before. */
static int batch_add(struct wb_writer *writer,
                     struct wb_batch *batch,
                     const struct board_log *log,
                     bool *before)
{
    int r = 0;

    for (size_t i = 0; i < log->ops_n && r == 0; i++) {
        const struct board_op *op = &log->ops[i];
        *before |= writer->busy && batch_has(&writer->now, op->counter);
        if (wb_counters_have(&writer->known, op->counter) || batch_has(batch, op->counter) ||
            (writer->busy && batch_has(&writer->now, op->counter)))
            continue;
        if (batch->records.len + BOARD_RECORD_HEAD_BYTES + op->body_len > BOARD_QUEUE_BYTES_MAX)
            return KITH_E_BUSY;
        size_t len = batch->records.len;
        r = wb_put(&batch->records, op->body - BOARD_RECORD_HEAD_BYTES,
                   BOARD_RECORD_HEAD_BYTES + op->body_len);
        if (r == 0)
            r = wb_counters_add(&batch->counters, op->counter);
        if (r != 0)
            batch->records.len = len;
    }
    return r;
}

static void take(struct wb_writer *writer, struct wb_asker *asker)
{
    struct wb_batch *batch = writer->busy ? &writer->later : &writer->now;
    bool before = false;
    struct board_log log;
    int r = board_log_decode(&log, asker->log, asker->len);

    if (r == 0) {
        (void)snprintf(writer->person, sizeof(writer->person), "%s", log.name);
        size_t had = batch->records.len;
        r = batch_add(writer, batch, &log, &before);
        board_log_deinit(&log);
        if (r == 0 && batch->records.len == 0 && had == 0)
            batch = before ? &writer->now : NULL;
    }
    if (r == KITH_E_BUSY && asker->ctx == NULL) {
        wait_last(&writer->askers, asker); /* nobody would send it again */
    } else if (r != 0 || batch == NULL) {
        answer(asker, r, r == KITH_E_BUSY ? TOO_MUCH : "");
    } else {
        log_drop(asker);
        asker->rides = before && batch == &writer->later;
        asker->next = batch->askers;
        batch->askers = asker;
    }
    if (!writer->busy && writer->now.records.len > 0)
        commit(writer);
}

/* Those that wait have their turn. */
static void take_all(struct wb_writer *writer)
{
    struct wb_asker *asker = writer->askers, *next;

    writer->askers = NULL;
    for (; asker != NULL; asker = next) {
        next = asker->next;
        if (writer->board->wb->stopping)
            answer(asker, KITH_E_STOPPED, STOPS);
        else
            take(writer, asker);
    }
}

/* ---- what is known of a writer ---- */

static void read_next(struct wb_writer *writer);

static void on_read(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct wb_writer *writer = user;
    struct wb_board *board = writer->board;
    struct board_log log;

    (void)node;
    if (result->code == 0 && board_log_decode(&log, result->data, result->len) == 0) {
        for (size_t i = 0; i < log.ops_n; i++)
            (void)wb_counters_add(&writer->known, log.ops[i].counter);
        board_log_deinit(&log);
    } /* else what it has is perhaps written twice, which counts once */
    writer->reading = false;
    read_next(writer);
    wb_let_go(board->wb, board);
}

static bool read_file(struct wb_writer *writer, const char *path)
{
    struct kith_fs_op op = {.kind = KITH_FS_READ,
                            .path = path,
                            .count = KITH_FS_DATA_BYTES_MAX,
                            .timeout_ms = WB_READ_TIMEOUT};

    if (kith_fs_do_async(writer->board->wb->node, &op, on_read, writer, NULL) != 0)
        return false;
    writer->reading = true;
    wb_hold(writer->board->wb, writer->board);
    return true;
}

/* That of its last log at this node, in former lives too: it goes on with another one. */
static void find_number(struct wb_writer *writer)
{
    const struct wb_board *board = writer->board;
    char path[WB_FILE_PATH_BYTES], of[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    for (size_t i = 0; i < board->files_n; i++) {
        (void)wb_path_file(path, board->name, board->files[i].name);
        if (wb_path_parse(path, of, &name) && name.number > writer->number &&
            memcmp(name.writer, writer->id, sizeof(name.writer)) == 0 &&
            kith_node_id_equal(&name.node, &board->wb->self))
            writer->number = name.number;
    }
}

/* One log of its after the other; then those that wait have their turn. */
static void read_next(struct wb_writer *writer)
{
    struct wb_board *board = writer->board;
    char path[WB_FILE_PATH_BYTES], of[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;

    while (!board->wb->stopping && writer->reading_at < board->files_n) {
        const struct wb_file *file = &board->files[writer->reading_at++];
        (void)wb_path_file(path, board->name, file->name);
        if (!wb_path_parse(path, of, &name) ||
            memcmp(name.writer, writer->id, sizeof(name.writer)) != 0)
            continue;
        if (read_file(writer, path))
            return;
    }
    writer->ready = true;
    find_number(writer);
    take_all(writer);
}

static struct wb_writer *writer_find(struct wb_board *board, const uint8_t id[BOARD_WRITER_BYTES])
{
    struct wb_writer *writer = board->writers;

    while (writer != NULL && memcmp(writer->id, id, BOARD_WRITER_BYTES) != 0)
        writer = writer->next;
    return writer;
}

static bool writer_is_at_work(const struct wb_writer *writer)
{
    return writer->busy || writer->reading || writer->askers != NULL;
}

static void writer_free(struct wb_writer *writer)
{
    batch_drop(&writer->now);
    batch_drop(&writer->later);
    wb_counters_drop(&writer->known);
    free(writer);
}

/* Those that have no log here and do nothing go: they are read anew when they come again. So there
 * are no more of them than logs. */
static struct wb_writer *writer_new(struct wb_board *board, const uint8_t id[BOARD_WRITER_BYTES])
{
    struct wb_writer **at = &board->writers, *writer;

    while ((writer = *at) != NULL) {
        if (writer->bytes > 0 || writer_is_at_work(writer)) {
            at = &writer->next;
            continue;
        }
        *at = writer->next;
        writer_free(writer);
    }
    writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return NULL;
    writer->board = board;
    memcpy(writer->id, id, BOARD_WRITER_BYTES);
    writer->next = board->writers;
    board->writers = writer;
    return writer;
}

/* Whether @writer (NULL: one that did not append here yet) may not begin a log: there are too many,
 * with those that others are about to begin. */
static bool is_full(const struct wb_board *board, const struct wb_writer *writer)
{
    size_t n = board->files_n;

    if (writer != NULL && (writer->bytes > 0 || writer_is_at_work(writer)))
        return false;
    for (writer = board->writers; writer != NULL; writer = writer->next)
        if (writer->bytes == 0 && writer_is_at_work(writer))
            n++;
    return n >= BOARD_WRITERS_MAX;
}

void wb_writers_know(struct wb_board *board, const struct board_log *log)
{
    struct wb_writer *writer = writer_find(board, log->writer);

    for (size_t i = 0; writer != NULL && i < log->ops_n; i++)
        (void)wb_counters_add(&writer->known, log->ops[i].counter);
}

void wb_writers_close(struct wb_board *board)
{
    while (board->writers != NULL) {
        struct wb_writer *writer = board->writers;
        board->writers = writer->next;
        answer_all(&writer->askers, KITH_E_STOPPED, STOPS);
        answer_all(&writer->now.askers, KITH_E_STOPPED, STOPS);
        answer_all(&writer->later.askers, KITH_E_STOPPED, STOPS);
        writer_free(writer);
    }
}

/* ---- the beginning ---- */

static void begin_writer(struct wb_board *board, struct wb_asker *asker)
{
    struct wb_writer *writer = writer_find(board, asker->writer);

    if (is_full(board, writer)) {
        answer(asker, KITH_E_LIMIT, "this board has 4,096 logs, the limit: begin another one");
    } else if (writer == NULL && (writer = writer_new(board, asker->writer)) == NULL) {
        answer(asker, KITH_E_MEMORY, "");
    } else if (writer->ready) {
        take(writer, asker);
    } else {
        wait_last(&writer->askers, asker);
        if (!writer->reading && writer->reading_at == 0)
            read_next(writer);
    }
}

/* A new board is begun if there are not too many: they are counted. */
struct counting {
    struct wb_board *board;
    struct wb_asker *asker;
    unsigned n;
};

static void count_page(struct counting *counting, const char *after);

static void counted(struct counting *counting, int code, const char *text)
{
    struct wb_asker *asker = counting->asker;
    struct wb_board *board = counting->board;

    if (code == 0 && counting->n >= BOARD_BOARDS_MAX) {
        code = KITH_E_LIMIT;
        text = "there are 1,000 boards, the limit: kith fs rm --recursive boards/NAME removes one";
    }
    free(counting);
    if (code == 0)
        begin_writer(board, asker);
    else
        answer(asker, code, text);
}

static void on_counted(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct counting *counting = user;
    struct wb_board *board = counting->board;

    (void)node;
    if (result->code == KITH_E_NOT_FOUND) {
        counted(counting, 0, "");
    } else if (result->code != 0) {
        counted(counting, result->code, result->text);
    } else {
        counting->n += (unsigned)result->entries_n;
        if (result->next[0] != '\0' && counting->n < BOARD_BOARDS_MAX)
            count_page(counting, result->next);
        else
            counted(counting, 0, "");
    }
    wb_let_go(board->wb, board);
}

static void count_page(struct counting *counting, const char *after)
{
    struct kith_fs_op op = {.kind = KITH_FS_LIST, .path = WB_SHARE, .after = after};
    int r = kith_fs_do_async(counting->board->wb->node, &op, on_counted, counting, NULL);

    if (r == 0)
        wb_hold(counting->board->wb, counting->board);
    else
        counted(counting, r, kith_errmsg());
}

static void
on_listed(struct wb_board *board, struct wb_waiting *waiting, int code, const char *text)
{
    struct wb_asker *asker = waiting->user;
    struct counting *counting;

    if (code != 0) {
        answer(asker, code, text);
    } else if (board->files_n > 0 || board->writers != NULL) {
        begin_writer(board, asker);
    } else if ((counting = calloc(1, sizeof(*counting))) == NULL) {
        answer(asker, KITH_E_MEMORY, "");
    } else {
        counting->board = board;
        counting->asker = asker;
        count_page(counting, NULL);
    }
}

/* NULL, or why these are no operations of one writer for the board @name. */
static const char *
wrong(const char *name, const void *arg, size_t len, uint8_t writer_out[BOARD_WRITER_BYTES])
{
    struct board_log log;
    const char *why = NULL;

    if (board_log_decode(&log, arg, len) != 0)
        return "this is no header of a log with operations behind it";
    if (log.state != BOARD_LOG_WHOLE || log.ops_n == 0)
        why = "an operation of these is not as it must be: nothing is kept of them";
    else if (strcmp(log.board, name) != 0)
        why = "these operations are of another board";
    memcpy(writer_out, log.writer, sizeof(log.writer));
    board_log_deinit(&log);
    return why;
}

/* Whether the writer already waits with so much that was not even taken. */
static bool is_too_much(const struct wb_board *board, const uint8_t *writer, size_t len)
{
    size_t waits = 0;

    for (const struct wb_asker *asker = board->asking; asker != NULL; asker = asker->also)
        if (memcmp(asker->writer, writer, BOARD_WRITER_BYTES) == 0)
            waits += asker->len;
    return waits > 0 && waits + len > BOARD_QUEUE_BYTES_MAX;
}

static struct wb_asker *
asker_new(struct wb_board *board, const uint8_t *writer, const void *log, size_t len)
{
    struct wb_asker *asker = calloc(1, sizeof(*asker));

    if (asker != NULL)
        asker->log = malloc(len);
    if (asker == NULL || asker->log == NULL) {
        free(asker);
        return NULL;
    }
    memcpy(asker->log, log, len);
    asker->len = len;
    memcpy(asker->writer, writer, BOARD_WRITER_BYTES);
    asker->also = board->asking;
    if (asker->also != NULL)
        asker->also->also_at = &asker->also;
    asker->also_at = &board->asking;
    board->asking = asker;
    return asker;
}

static void append(struct wb *wb, struct kith_ctx *ctx, const char *name, struct kith_bytes log)
{
    uint8_t writer[BOARD_WRITER_BYTES];
    const char *why = wrong(name, log.data, log.len, writer);
    struct wb_board *board;
    struct wb_asker *asker;

    if (why != NULL) {
        wb_fail(ctx, KITH_E_INVALID, why);
    } else if (wb->stopping || (board = wb_board_get(wb, name, false)) == NULL) {
        wb_board_refuse(wb, ctx);
    } else if (is_too_much(board, writer, log.len)) {
        wb_fail(ctx, KITH_E_BUSY, TOO_MUCH);
    } else if ((asker = asker_new(board, writer, log.data, log.len)) == NULL) {
        wb_fail(ctx, KITH_E_MEMORY, "");
    } else {
        asker->ctx = ctx;
        wb_board_when_listed(board, on_listed, asker);
    }
}

int wb_fn_append(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char name[BOARD_NAME_BYTES_MAX + 1];

    if (wb_name(ctx, arg, len, name))
        append(user, ctx, name, wb_rest(arg, len));
    return KITH_PENDING;
}

/* No limit refuses it, since nobody would come again: it is no more than what was kept of it. */
void wb_adopt(struct wb *wb, const char *name, const uint8_t *log, size_t len)
{
    uint8_t writer[BOARD_WRITER_BYTES];
    bool good = !wb->stopping && wrong(name, log, len, writer) == NULL;
    struct wb_board *board = good ? wb_board_get(wb, name, true) : NULL;
    struct wb_asker *asker = board != NULL ? asker_new(board, writer, log, len) : NULL;

    if (asker != NULL)
        wb_board_when_listed(board, on_listed, asker);
}
