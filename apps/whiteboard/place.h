/*
 * The module of a node, inside: which boards are open here, who draws on them, and where what they
 * draw is kept (docs/protocols/board.md, Between page and node).
 *
 * All of it runs on the loop thread: functions that are inline or deferred, callbacks of files,
 * variables and members. So there is no lock, and nothing here blocks. There is no timer either:
 * what is to be done later is done when the next page speaks, and each page does every two seconds.
 */
#ifndef WHITEBOARD_PLACE_H
#define WHITEBOARD_PLACE_H

#include <kith.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "limits.h"
#include "log.h"
#include "node_limits.h"
#include "paths.h"

/* Kind of a live message that says who somebody is. */
#define HERE             1
#define WB_FROM_BYTES    8
#define WB_FILE_BYTES    96  /* of the name of a log, with the part of a conflict and its NUL */
#define WB_PERSON_MAX    256 /* bytes of a HERE */
#define WB_CURSOR_MAX    32
#define WB_PARTIAL_MAX   (60 * 1024)
#define WB_GAP_MS        300
#define WB_PRESENCE_MS   1000
#define WB_PARTNER_MS    10000
#define WB_READ_TIMEOUT  2000
#define WB_VAR           "board/"
#define WB_PATTERN       "board/*"
#define WB_ANSWER_LIVE   1 /* u8 before what a page is told: a live message, */
#define WB_ANSWER_OPS    2 /* operations, durable where they were drawn, */
#define WB_ANSWER_MISSED 3 /* or that something could not be told: load again */
#define WB_LOG_READ      0 /* u8 of a log that is given to a page: here it is, */
#define WB_LOG_OUT       1 /* or nobody within reach holds it */

struct wb;
struct wb_board;
struct wb_writer;

/* Bytes that grow. */
struct wb_bytes {
    uint8_t *data;
    size_t len, room;
};
/* 0 or KITH_E_MEMORY. */
int wb_put(struct wb_bytes *bytes, const void *data, size_t len);
void wb_drop(struct wb_bytes *bytes);
/* Arguments are words with blanks between them, up to a line end or the end; the rest is bytes.
 * Copies word @no, from 0, to @out: false if it is not there or does not fit. */
bool wb_word(const void *arg, size_t len, unsigned no, char *out, size_t out_bytes);
/* What is behind the line end. */
struct kith_bytes wb_rest(const void *arg, size_t len);
uint64_t wb_now_ms(void);

/* Counters of one writer, as runs. */
struct wb_run {
    uint32_t from, to;
};
struct wb_counters {
    struct wb_run *runs; /* ascending, apart from each other */
    size_t n, room;
};
bool wb_counters_have(const struct wb_counters *counters, uint32_t counter);
int wb_counters_add(struct wb_counters *counters, uint32_t counter); /* 0 or KITH_E_MEMORY */
void wb_counters_drop(struct wb_counters *counters);

/* A log of an open board. */
struct wb_file {
    char name[WB_FILE_BYTES]; /* within boards/NAME/log/ */
    uint64_t known;           /* bytes that pages here have, or load for themselves */
    uint64_t wanted;          /* bytes that the catalogue has */
    uint64_t wanted_ms;       /* since when that is more than known; 0: it is not */
    bool reading;
};

/* A call that waits for operations to be durable. ctx NULL: nobody does (an adoption). */
struct wb_asker {
    struct wb_asker *next;
    struct kith_ctx *ctx;
    uint8_t writer[BOARD_WRITER_BYTES];
    uint8_t *log; /* what it brought, until it is taken; NULL then */
    size_t len;
    struct wb_asker *also, **also_at; /* of the board's that have a log */
    bool rides;                       /* part of it is in the write that is under way */
};

/* Operations that become durable together. */
struct wb_batch {
    struct wb_bytes records;
    struct wb_counters counters;
    struct wb_asker *askers;
};

/* A writer that has appended here since this node began. */
struct wb_writer {
    struct wb_writer *next;
    struct wb_board *board;
    uint8_t id[BOARD_WRITER_BYTES];
    char person[BOARD_PERSON_BYTES_MAX + 1];
    struct wb_counters known; /* durable in some log, so far as this node has read them */
    struct wb_asker *askers;  /* until it is ready; adoptions also until there is room */
    size_t reading_at;        /* next log of its to be read */
    bool reading, ready;
    uint32_t number;                        /* of the log that is appended to, or was last */
    uint64_t bytes;                         /* that it has; 0: the next one is begun */
    uint8_t header[BOARD_HEADER_BYTES_MAX]; /* of what is on its way */
    size_t header_len;
    bool tried; /* a second time, with a new log */
    struct wb_batch now, later;
    bool busy; /* now is on its way */
};

/* A page that follows a board. */
struct wb_page {
    struct wb_page *next;
    struct wb_board *board;
    struct kith_ctx *ctx;
    char token[40];
    bool has_from;
    uint8_t from[WB_FROM_BYTES];
    uint8_t here[WB_PERSON_MAX], cursor[WB_CURSOR_MAX]; /* what it said last */
    size_t here_len, cursor_len;
    double budget; /* of live messages */
    uint64_t budget_ms;
};

/* A call that waits for the list of a board. */
struct wb_waiting {
    struct wb_waiting *next;
    void (*run)(struct wb_board *board, struct wb_waiting *waiting, int code, const char *text);
    void *user;
};

struct wb_board {
    struct wb_board *next;
    struct wb *wb;
    char name[BOARD_NAME_BYTES_MAX + 1];
    bool listing, listed;
    struct wb_file *files; /* by name */
    size_t files_n, files_room;
    unsigned gaps_n;                           /* files with wanted_ms */
    struct wb_waiting *waiting, **waiting_end; /* in the order in which they came */
    struct wb_asker *asking;                   /* all whose operations are not taken yet */
    struct wb_writer *writers;
    struct wb_page *pages;
    unsigned pages_n;
    unsigned busy; /* operations on files under way: it stays */
    bool said;     /* its variable is there */
    uint64_t said_ms, used_ms;
    bool people_changed;
};

/* That another node has a board open, with who is there. */
struct wb_open {
    struct wb_open *next;
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct kith_node_id node;
    bool alive;
    struct wb_bytes people; /* u16 length and a live message, again and again */
};

/* What was appended at another node: kept here until it need not be, should that one be lost. */
struct wb_told {
    struct wb_told *next;
    char board[BOARD_NAME_BYTES_MAX + 1];
    char file[WB_FILE_BYTES];
    struct kith_node_id node;
    uint64_t end; /* of the log with it */
    size_t len;
    uint8_t log[];
};

struct wb {
    struct wb *next;
    struct kith_node *node;
    struct kith_node_id self;
    char self_text[KITH_NODE_ID_DIGITS + 1];
    struct wb_board *boards;
    unsigned boards_n;
    struct wb_open *opens;
    struct wb_told *told, **told_end; /* oldest first */
    size_t told_bytes;
    bool has_share;
    struct kith_node_id partner; /* zero: none */
    uint64_t partner_ms;
    unsigned under_way; /* operations whose callback comes */
    bool stopping;      /* it is freed with the last of them */
};

/* An operation has been begun, for @board (or NULL): both stay until wb_let_go(), which is the last
 * that its callback does. */
void wb_hold(struct wb *wb, struct wb_board *board);
void wb_let_go(struct wb *wb, struct wb_board *board);
/* That of @node; NULL once it has stopped: watches live longer. */
struct wb *wb_of(const struct kith_node *node);

/* ---- boards.c: which are open here ---- */

/* The board @name, opened if it is not; NULL if memory is short or, unless it @must be, too many
 * are open. */
struct wb_board *wb_board_get(struct wb *wb, const char *name, bool must);
/* Says why wb_board_get() gave none. */
void wb_board_refuse(struct wb *wb, struct kith_ctx *ctx);
struct wb_board *wb_board_find(struct wb *wb, const char *name);
/* Calls @run once its logs are listed, perhaps before this returns. */
void wb_board_when_listed(
    struct wb_board *board,
    void (*run)(struct wb_board *board, struct wb_waiting *waiting, int code, const char *text),
    void *user);
/* The log @name of it; made if @make. NULL: there is none, or memory is short. */
struct wb_file *wb_file_find(struct wb_board *board, const char *name, bool make);
/* The catalogue has @size bytes of the log now. */
void wb_file_wanted(struct wb_board *board, struct wb_file *file, uint64_t size);
/* Pages have them up to here. */
void wb_file_known(struct wb_board *board, struct wb_file *file, uint64_t size);
/* Reads what pages here have not been told for a while. */
void wb_board_catch_up(struct wb_board *board);
int wb_boards_watch(struct wb *wb);
void wb_boards_close(struct wb *wb);
/* The path of the log @file of a board; returns @out. */
#define WB_FILE_PATH_BYTES (WB_PATH_BYTES + WB_FILE_BYTES)
char *wb_path_file(char out[WB_FILE_PATH_BYTES], const char *board, const char *file);
/* Fails with @code, or @text beside it. */
void wb_fail(struct kith_ctx *ctx, int code, const char *text);
/* A good name as the first word; else the call has failed. */
bool wb_name(struct kith_ctx *ctx, const void *arg, size_t len, char out[BOARD_NAME_BYTES_MAX + 1]);

/* ---- lists.c: board.list, board.files, board.logs, board.log, board.image, board.picture ---- */

int wb_fn_list(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_files(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_logs(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_log(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_image_get(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_image_put(struct kith_ctx *ctx, const void *arg, size_t len, void *user);

/* ---- append.c: board.append ---- */

int wb_fn_append(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
/* The same for operations that nobody waits for: no limit refuses them. */
void wb_adopt(struct wb *wb, const char *name, const uint8_t *log, size_t len);
/* These are durable at another node, and need not be written here. */
void wb_writers_know(struct wb_board *board, const struct board_log *log);
void wb_writers_close(struct wb_board *board);

/* ---- store.c: the one place where a log is written ---- */

typedef void (*wb_stored_cb)(void *user, int code, const char *text);
/* @data becomes (@create) or goes behind the log @number of @writer. @cb runs once, later. */
void wb_store(struct wb_writer *writer,
              bool create,
              const void *data,
              size_t len,
              wb_stored_cb cb,
              void *user);

/* ---- live.c: board.follow, board.say, board.heard ---- */

int wb_fn_follow(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_say(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
int wb_fn_heard(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
/* Tells pages of @board here (but @except). */
void wb_pages_tell(struct wb_board *board,
                   uint8_t type,
                   const void *data,
                   size_t len,
                   const struct wb_page *except);
/* A header and @records, in as many pieces as they need. */
void wb_pages_tell_ops(struct wb_board *board,
                       const uint8_t writer[BOARD_WRITER_BYTES],
                       const char *person,
                       const uint8_t *records,
                       size_t len);
void wb_pages_close(struct wb_board *board);

/* ---- presence.c: who has a board open ---- */

int wb_presence_watch(struct wb *wb);
/* Says who is here, if that changed and was not said just now. */
void wb_presence_say(struct wb_board *board, bool now);
/* Greets a page with who is elsewhere. */
void wb_presence_greet(struct wb_page *page);
/* Runs @fn for each node that has @board open. */
void wb_presence_each(struct wb *wb,
                      const char *board,
                      void (*fn)(struct wb *wb, const struct wb_open *open, void *arg),
                      void *arg);
/* The node where @from is; NULL: not known. */
const struct wb_open *
wb_presence_of(struct wb *wb, const char *board, const uint8_t from[WB_FROM_BYTES]);
void wb_presence_close(struct wb *wb);

/* ---- told.c: board.told ---- */

int wb_fn_told(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
/* Others with the board open, and one more if there is none, hear what was appended here. */
void wb_told_tell(
    struct wb_board *board, const char *file, uint64_t offset, const uint8_t *log, size_t len);
/* @node is lost: what it appended and nobody else holds is appended here. */
void wb_told_lost(struct wb *wb, const struct kith_node_id *node);
void wb_told_close(struct wb *wb);

#endif
