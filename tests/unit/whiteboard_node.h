/*
 * A node that is made up, for the module of boards: what the module asks of include/kith is written
 * down, and an operation on files ends when the test says so, well or badly. Files lie in memory,
 * the clock stands until it is moved, and every byte that the module holds is counted
 * (apps/whiteboard/meson.build gives it these functions for malloc and the clock).
 */
#ifndef WHITEBOARD_NODE_H
#define WHITEBOARD_NODE_H

#include "lib/test.h"

#include <kith.h>

#include "whiteboard/place.h"

/* A call of one of the module's functions; it stays until the node ends. */
struct kith_ctx {
    struct kith_ctx *next;
    struct kith_node *node;
    struct kith_node_id caller;
    void *arg; /* borrowed by the function until the call ends, and freed then */
    bool running, replied, gone;
    int code; /* that it ended with: 0 or a KITH_E_* */
    char text[256];
    uint8_t *reply;
    size_t reply_len;
    unsigned said_n[4]; /* partial results by their WB_ANSWER_* */
    size_t ops_bytes;   /* of those that are operations */
    void (*on_cancel)(struct kith_ctx *ctx, void *user);
    void *on_cancel_user;
};

/* An operation on files that is under way. */
struct made_op {
    struct made_op *next;
    enum kith_fs_op_kind kind;
    char path[WB_FILE_PATH_BYTES], after[WB_FILE_PATH_BYTES];
    bool create_only;
    uint64_t offset;
    size_t count, len;
    uint8_t *data;
    kith_fs_cb cb;
    void *user;
};

struct made_file {
    struct made_file *next; /* by path */
    char path[WB_FILE_PATH_BYTES];
    struct wb_bytes bytes;
    bool held_elsewhere; /* by somebody who is alive */
};

struct made_cast {
    char fn[32], node[KITH_NODE_ID_DIGITS + 1];
    struct wb_bytes arg;
};

struct kith_node {
    struct kith_node_id id, other; /* the other one has the module too */
    struct kith_ctx *calls;
    struct made_op *ops, **ops_end; /* oldest first */
    struct made_file *files;
    size_t page_entries; /* of one LIST; 0: any */
    int refuse;          /* a KITH_E_*: operations on files are not even begun */
    unsigned ops_n[22];  /* begun, by kind */
    struct made_cast last_cast;
    unsigned casts_n;
    struct kith_export exports[16];
    size_t exports_n;
    kith_fs_change_cb on_change;
    kith_var_change_cb on_variable;
    kith_event_cb on_event;
    void *on_change_user, *on_variable_user, *on_event_user;
    struct {
        kith_value_cb cb;
        void *user;
    } vars[1024]; /* operations on variables under way */
    size_t vars_n;
};

/* A log that is made: a header, and operations of any length. */
struct made_log {
    struct wb_bytes bytes;
    char board[BOARD_NAME_BYTES_MAX + 1];
};

/* The module starts at it, and has ended: every call is answered and every byte given back. */
void node_begin(struct kith_node *node);
void node_stop(struct kith_node *node);
void node_end(struct kith_node *node);
struct wb *node_wb(struct kith_node *node);

/* What the module holds now, and has held at most since made_peak_reset(). */
size_t made_held(void);
size_t made_peak(void);
void made_peak_reset(void);
void made_clock_forward(uint64_t ms);

/* Calls the function: @words, and, unless @bytes is NULL, a line end and these. */
struct kith_ctx *
node_call(struct kith_node *node, const char *fn, const char *words, const struct wb_bytes *bytes);
struct kith_ctx *node_call_from(struct kith_node *node,
                                const struct kith_node_id *caller,
                                const char *fn,
                                const char *words,
                                const struct wb_bytes *bytes);
/* Who asked has gone. */
void node_cancel(struct kith_ctx *ctx);

/* The oldest operation ends: as the files are, or with @code and @text. */
void node_op(struct kith_node *node);
void node_op_fails(struct kith_node *node, int code, const char *text);
/* All end, and those that follow from them. */
void node_ops(struct kith_node *node);
/* All end but WRITE and APPEND: the oldest of these is the oldest of all then. */
void node_ops_to_write(struct kith_node *node);
/* How many of them are WRITE or APPEND. */
unsigned node_writes(const struct kith_node *node);
struct made_file *node_file(struct kith_node *node, const char *path, bool make);
/* The catalogue tells of the file as it is now. */
void node_changed(struct kith_node *node, const char *path);
/* The other node fails. */
void node_other_fails(struct kith_node *node);
/* Variables as the other node writes them; @gone: deletes. */
void node_other_opens(struct kith_node *node, const char *board, bool gone);

/* Bytes of the test, which are not counted. */
void made_put(struct wb_bytes *bytes, const void *data, size_t len);
void made_drop(struct wb_bytes *bytes);
void log_begin(struct made_log *log, const char *board, unsigned writer, const char *person);
/* An operation whose record has @bytes bytes in all (BOARD_RECORD_HEAD_BYTES + 20 at least). */
void log_op(struct made_log *log, uint32_t counter, size_t bytes);
void log_end(struct made_log *log);
/* board.append of these operations, as a page sends them. */
struct kith_ctx *
append_ops(struct kith_node *node, const char *board, unsigned writer, uint32_t from, uint32_t to);
/* How often the operation stands in all logs of @board; whether each of these does once. */
unsigned
times_written(struct kith_node *node, const char *board, unsigned writer, uint32_t counter);
bool each_once(
    struct kith_node *node, const char *board, unsigned writer, uint32_t from, uint32_t to);

/* The call has ended well; has failed with @code and said @text; has not ended. */
#define assert_done(ctx)               call_is((ctx), true, 0, "", __FILE__, __LINE__)
#define assert_failed(ctx, code, text) call_is((ctx), true, (code), (text), __FILE__, __LINE__)
#define assert_waits(ctx)              call_is((ctx), false, 0, "", __FILE__, __LINE__)
void call_is(
    const struct kith_ctx *ctx, bool ended, int code, const char *text, const char *file, int line);

#endif
