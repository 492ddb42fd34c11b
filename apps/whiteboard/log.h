/*
 * The log of one writer on one board: a header, then records, each with its length, a checksum of
 * that and one of itself: docs/protocols/board.md.
 */
#ifndef WHITEBOARD_LOG_H
#define WHITEBOARD_LOG_H

#include "limits.h"
#include "op.h"

#define BOARD_RECORD_HEAD_BYTES 12
#define BOARD_HEADER_BYTES_MAX                                                                     \
    (8 + 1 + BOARD_NAME_BYTES_MAX + BOARD_WRITER_BYTES + 1 + BOARD_PERSON_BYTES_MAX + 4)

enum board_log_state {
    BOARD_LOG_WHOLE,
    BOARD_LOG_TORN,    /* the last record is not all there; its writer goes on behind @good */
    BOARD_LOG_DAMAGED, /* a record is wrong and others may follow it; nothing is appended */
};

struct board_log {
    char board[BOARD_NAME_BYTES_MAX + 1];
    uint8_t writer[BOARD_WRITER_BYTES];
    char name[BOARD_PERSON_BYTES_MAX + 1];
    struct board_op *ops;
    size_t ops_n;
    size_t good; /* how many of the bytes hold */
    enum board_log_state state;
};

/*
 * Decodes @data, which must outlive @log: the operations point into it.
 *
 * Returns 0 if the header holds (see @state for the rest); KITH_E_CORRUPT if it does not,
 * KITH_E_TOO_LARGE above BOARD_LOG_BYTES_MAX, KITH_E_MEMORY. Only after 0 board_log_deinit is due.
 */
int board_log_decode(struct board_log *log, const uint8_t *data, size_t len);
void board_log_deinit(struct board_log *log);

/* Whether @name can name a board: a-z, 0-9 and - between them. */
bool board_name_good(const char *name, size_t len);

/*
 * The beginning of a log, into @out (BOARD_HEADER_BYTES_MAX). Returns its length; 0 if @board is no
 * good name or @name is too long.
 */
size_t board_header_encode(const char *board,
                           const uint8_t writer[BOARD_WRITER_BYTES],
                           const char *name,
                           uint8_t *out);

/* What stands before the @len bytes of a body, into @out. */
void board_record_head(const uint8_t *body, size_t len, uint8_t out[BOARD_RECORD_HEAD_BYTES]);

#endif
