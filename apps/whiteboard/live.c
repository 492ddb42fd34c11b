/*
 * board.follow, board.say, board.heard: what pages tell each other while it happens.
 *
 * A page is a call of board.follow that does not end before the page goes: what it is told comes as
 * partial results. What it says comes by board.say, goes to the other pages of the board here, and
 * to the nodes that have the board open, which pass it on to theirs. Nothing of it is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "place.h"

#define CURSOR 2
#define GONE   3
#define PONG   9

/* ---- telling ---- */

static void page_tell(struct wb_page *page, uint8_t type, const void *data, size_t len)
{
    uint8_t message[1 + WB_PARTIAL_MAX];

    message[0] = type;
    if (len > 0)
        memcpy(message + 1, data, len);
    (void)kith_partial(page->ctx, message, 1 + len);
}

void wb_pages_tell(struct wb_board *board,
                   uint8_t type,
                   const void *data,
                   size_t len,
                   const struct wb_page *except)
{
    for (struct wb_page *page = board->pages; page != NULL; page = page->next)
        if (page != except)
            page_tell(page, type, data, len);
}

static uint32_t record_bytes(const uint8_t *record)
{
    return BOARD_RECORD_HEAD_BYTES + (record[0] | (uint32_t)record[1] << 8 |
                                      (uint32_t)record[2] << 16 | (uint32_t)record[3] << 24);
}

void wb_pages_tell_ops(struct wb_board *board,
                       const uint8_t writer[BOARD_WRITER_BYTES],
                       const char *person,
                       const uint8_t *records,
                       size_t len)
{
    uint8_t piece[WB_PARTIAL_MAX];
    size_t head = board_header_encode(board->name, writer, person, piece), at = 0;

    if (board->pages == NULL)
        return;
    while (at < len) {
        size_t n = 0;
        while (at + n < len && head + n + record_bytes(records + at + n) <= sizeof(piece))
            n += record_bytes(records + at + n);
        if (n == 0) { /* one that is too long to be told */
            n = record_bytes(records + at);
            wb_pages_tell(board, WB_ANSWER_MISSED, NULL, 0, NULL);
        } else {
            memcpy(piece + head, records + at, n);
            wb_pages_tell(board, WB_ANSWER_OPS, piece, head + n, NULL);
        }
        at += n;
    }
}

/* ---- to other nodes ---- */

struct sending {
    const uint8_t *data;
    size_t len;
};

static void send_one(struct wb *wb, const struct wb_open *open, void *arg)
{
    const struct sending *sending = arg;
    char node[KITH_NODE_ID_DIGITS + 1];
    struct kith_call_options options = {.node = kith_node_id_text(&open->node, node)};

    if (kith_cast(wb->node, "board.heard", sending->data, sending->len, &options) != 0)
        return; /* it is missed */
}

static size_t heard_make(const char *board, const uint8_t *live, size_t len, uint8_t *out)
{
    int head = snprintf((char *)out, BOARD_NAME_BYTES_MAX + 2, "%s\n", board);

    memcpy(out + head, live, len);
    return (size_t)head + len;
}

static void spread(struct wb_board *board, const uint8_t *live, size_t len)
{
    uint8_t message[BOARD_NAME_BYTES_MAX + 2 + LIVE_BYTES_MAX];
    struct sending sending = {message, heard_make(board->name, live, len, message)};

    wb_presence_each(board->wb, board->name, send_one, &sending);
}

static struct wb_page *page_of(struct wb_board *board, const uint8_t from[WB_FROM_BYTES])
{
    struct wb_page *page = board->pages;

    while (page != NULL && !(page->has_from && memcmp(page->from, from, WB_FROM_BYTES) == 0))
        page = page->next;
    return page;
}

/* An answer to a ping is for one alone. True: it has gone there. */
static bool route(struct wb_board *board, const uint8_t *live, size_t len)
{
    uint8_t message[BOARD_NAME_BYTES_MAX + 2 + LIVE_BYTES_MAX];
    struct wb_page *page;
    const struct wb_open *open = NULL;

    if (live[0] != PONG || len < 1 + 2 * WB_FROM_BYTES)
        return false;
    const uint8_t *to = live + 1 + WB_FROM_BYTES;
    if ((page = page_of(board, to)) != NULL) {
        page_tell(page, WB_ANSWER_LIVE, live, len);
    } else if ((open = wb_presence_of(board->wb, board->name, to)) != NULL) {
        struct sending sending = {message, heard_make(board->name, live, len, message)};
        send_one(board->wb, open, &sending);
    }
    return page != NULL || open != NULL;
}

/* ---- saying ---- */

static bool in_budget(struct wb_page *page)
{
    uint64_t now_ms = wb_now_ms();

    page->budget += (double)(now_ms - page->budget_ms) * BOARD_LIVE_PER_S_MAX / 1000;
    page->budget_ms = now_ms;
    if (page->budget > BOARD_LIVE_PER_S_MAX)
        page->budget = BOARD_LIVE_PER_S_MAX;
    if (page->budget < 1)
        return false;
    page->budget -= 1;
    return true;
}

/* What those who come later are told of it. */
static void remember(struct wb_page *page, const uint8_t *live, size_t len)
{
    bool here = live[0] == HERE && len <= sizeof(page->here);
    bool cursor = live[0] == CURSOR && len <= sizeof(page->cursor);

    if (here && (len != page->here_len || memcmp(page->here, live, len) != 0)) {
        memcpy(page->here, live, len);
        page->here_len = len;
        page->board->people_changed = true;
    }
    if (cursor && (len != page->cursor_len || memcmp(page->cursor, live, len) != 0)) {
        memcpy(page->cursor, live, len);
        page->cursor_len = len;
        page->board->people_changed = true;
    }
}

static void said(struct wb_page *page, const uint8_t *live, size_t len)
{
    struct wb_board *board = page->board;

    if (!page->has_from) {
        page->has_from = true;
        memcpy(page->from, live + 1, WB_FROM_BYTES);
    } else if (memcmp(page->from, live + 1, WB_FROM_BYTES) != 0) {
        return; /* nobody speaks for another */
    }
    if (live[0] == GONE)
        page->here_len = page->cursor_len = 0;
    remember(page, live, len);
    if (!route(board, live, len)) {
        wb_pages_tell(board, WB_ANSWER_LIVE, live, len, page);
        spread(board, live, len);
    }
    wb_presence_say(board, live[0] == HERE || live[0] == GONE);
    wb_board_catch_up(board);
}

int wb_fn_say(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char name[BOARD_NAME_BYTES_MAX + 1], token[sizeof(((struct wb_page *)NULL)->token)];
    struct kith_bytes live = wb_rest(arg, len);
    struct wb_board *board;
    struct wb_page *page;

    if (!wb_name(ctx, arg, len, name))
        return 0;
    if (!wb_word(arg, len, 1, token, sizeof(token)) || live.len < 1 + WB_FROM_BYTES ||
        live.len > LIVE_BYTES_MAX) {
        wb_fail(ctx, KITH_E_INVALID, "board.say takes \"NAME TOKEN\", a line end and a message");
        return 0;
    }
    board = wb_board_find(user, name);
    page = board != NULL ? board->pages : NULL;
    while (page != NULL && strcmp(page->token, token) != 0)
        page = page->next;
    if (page == NULL)
        wb_fail(ctx, KITH_E_NOT_FOUND, "no page follows the board under this token");
    else if (in_budget(page))
        said(page, live.data, live.len);
    return 0;
}

int wb_fn_heard(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char name[BOARD_NAME_BYTES_MAX + 1];
    struct kith_bytes live = wb_rest(arg, len);
    struct wb_board *board;
    struct wb_page *page;

    if (!wb_name(ctx, arg, len, name) || live.len < 1 + WB_FROM_BYTES ||
        live.len > LIVE_BYTES_MAX || (board = wb_board_find(user, name)) == NULL)
        return 0;
    const uint8_t *bytes = live.data;
    if (bytes[0] == PONG && live.len >= 1 + 2 * WB_FROM_BYTES &&
        (page = page_of(board, bytes + 1 + WB_FROM_BYTES)) != NULL)
        page_tell(page, WB_ANSWER_LIVE, live.data, live.len);
    else
        wb_pages_tell(board, WB_ANSWER_LIVE, live.data, live.len, NULL);
    wb_board_catch_up(board);
    return 0;
}

/* ---- following ---- */

static void page_end(struct wb_page *page)
{
    struct wb_board *board = page->board;
    struct wb_page **at = &board->pages;
    uint8_t gone[1 + WB_FROM_BYTES] = {GONE};

    while (*at != page)
        at = &(*at)->next;
    *at = page->next;
    board->pages_n--;
    if (page->has_from && page->here_len > 0) {
        memcpy(gone + 1, page->from, WB_FROM_BYTES);
        wb_pages_tell(board, WB_ANSWER_LIVE, gone, sizeof(gone), NULL);
        spread(board, gone, sizeof(gone));
    }
    (void)kith_reply(page->ctx, NULL, 0);
    free(page);
    board->people_changed = true;
}

static void on_cancel(struct kith_ctx *ctx, void *user)
{
    struct wb_page *page = user;
    struct wb_board *board = page->board;

    (void)ctx;
    page_end(page);
    wb_presence_say(board, true);
    wb_board_catch_up(board);
}

void wb_pages_close(struct wb_board *board)
{
    while (board->pages != NULL)
        page_end(board->pages);
}

static void
on_listed(struct wb_board *board, struct wb_waiting *waiting, int code, const char *text)
{
    (void)board;
    (void)waiting;
    (void)code; /* what it would have said is found out by the page, which loads the logs */
    (void)text;
}

static struct wb_page *page_new(struct wb_board *board, struct kith_ctx *ctx, const char *token)
{
    struct wb_page *page = calloc(1, sizeof(*page));

    if (page == NULL)
        return NULL;
    page->board = board;
    page->ctx = ctx;
    (void)snprintf(page->token, sizeof(page->token), "%s", token);
    page->budget = BOARD_LIVE_PER_S_MAX;
    page->budget_ms = wb_now_ms();
    page->next = board->pages;
    board->pages = page;
    board->pages_n++;
    return page;
}

int wb_fn_follow(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char name[BOARD_NAME_BYTES_MAX + 1], token[sizeof(((struct wb_page *)NULL)->token)];
    struct wb *wb = user;
    struct wb_board *board;
    struct wb_page *page;

    if (!wb_name(ctx, arg, len, name))
        return KITH_PENDING;
    if (!wb_word(arg, len, 1, token, sizeof(token))) {
        wb_fail(ctx, KITH_E_INVALID, "board.follow takes \"NAME TOKEN\"");
        return KITH_PENDING;
    }
    board = wb->stopping ? NULL : wb_board_get(wb, name, false);
    if (board == NULL) {
        wb_board_refuse(wb, ctx);
        return KITH_PENDING;
    }
    if (board->pages_n >= BOARD_PAGES_MAX) {
        wb_fail(ctx, KITH_E_LIMIT,
                "128 pages of this node are on this board, the limit: open it at another node");
        return KITH_PENDING;
    }
    page = page_new(board, ctx, token);
    if (page == NULL) {
        wb_fail(ctx, KITH_E_MEMORY, "");
        return KITH_PENDING;
    }
    kith_ctx_on_cancel(ctx, on_cancel, page);
    wb_presence_greet(page);
    wb_board_when_listed(board, on_listed, NULL);
    wb_presence_say(board, true);
    return KITH_PENDING;
}
