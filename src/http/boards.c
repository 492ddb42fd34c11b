/*
 * /v1/boards: each route is a call of a function of the module whiteboard at this node. What the
 * function answers is the body; what it fails with is a KITH_E_*.
 */
#include "http/boards.h"

#include <string.h>

#include "core/error.h"
#include "http/server.h"

#define BOARD_NAME_BYTES_MAX 64
#define WORD_BYTES           160

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
/* Of names of logs, also those of another version, of hashes and of offsets. */
#define WORD_CHARS NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZ."

bool board_name_fits(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= BOARD_NAME_BYTES_MAX && strspn(name, NAME_CHARS) == len;
}

static void on_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct http_exchange *x = user;
    int code = result->outcome == KITH_OUTCOME_APP_ERROR ? -result->code : result->code;

    (void)node;
    if (x->server == NULL || x->web == NULL) {
        http_exchange_free(x);
    } else if (result->outcome == KITH_OUTCOME_OK) {
        struct http_body body = {
            .status = 200, .type = x->state, .data = result->data, .len = result->len};
        http_answer(x, &body, NULL);
    } else if (code == KITH_E_NO_FUNCTION) {
        http_fail(x, 0, code, "this node has no boards: the module whiteboard is not loaded",
                  "kith load whiteboard, or load = whiteboard in its configuration");
    } else {
        char text[512];
        snprintf(text, sizeof(text), "%.*s",
                 result->outcome == KITH_OUTCOME_APP_ERROR ? (int)result->len
                                                           : (int)strlen(result->text),
                 result->outcome == KITH_OUTCOME_APP_ERROR ? (const char *)result->data
                                                           : result->text);
        http_fail(x, 0, code, text, NULL);
    }
}

/* The client has gone; what it asked for is done all the same. */
static void call_gone(struct http_exchange *x)
{
    x->gone = NULL;
}

/* Calls @fn of this node with the board, a word of the query each, and @body behind a line end. */
static void call(struct http_exchange *x,
                 const char *fn,
                 const char *type,
                 const char *const words[2],
                 bool with_body)
{
    struct kith_node *node = x->server->service.node;
    struct kith_call_options options = {.node = kith_node_name(node)};
    struct kith_node_id self = kith_node_self(node);
    struct buf arg = {0};
    char id[KITH_NODE_ID_DIGITS + 1], word[WORD_BYTES];
    size_t len = 0;
    const uint8_t *body = with_body ? web_body(x->web, &len) : NULL;
    bool fits = x->name == NULL || board_name_fits(x->name);
    int r = buf_append(&arg, x->name, x->name != NULL ? strlen(x->name) : 0);

    options.node = kith_node_id_text(&self, id);
    for (size_t i = 0; words != NULL && i < 2 && words[i] != NULL; i++) {
        if (!web_query(x->web, words[i], word, sizeof(word)))
            break;
        fits = fits && strspn(word, WORD_CHARS) == strlen(word);
        if (r == 0 && (r = buf_append(&arg, " ", 1)) == 0)
            r = buf_append(&arg, word, strlen(word));
    }
    if (r == 0 && with_body && (r = buf_append(&arg, "\n", 1)) == 0)
        r = buf_append(&arg, body, len);
    x->gone = call_gone;
    x->state = (void *)(uintptr_t)type;
    if (!fits)
        r = KITH_E_NAME;
    if (r == 0)
        r = kith_call_async(node, fn, arg.data, arg.len, &options, on_result, x, NULL);
    buf_deinit(&arg);
    if (r != 0) {
        x->gone = NULL;
        http_fail(x, 0, r, fits ? NULL : "no board, log or image has such a name", NULL);
    }
}

#define BYTES "application/octet-stream"

void http_get_boards(struct http_exchange *x)
{
    call(x, "board.list", NULL, NULL, false);
}

void http_get_board(struct http_exchange *x)
{
    call(x, "board.files", NULL, NULL, false);
}

void http_get_board_logs(struct http_exchange *x)
{
    static const char *const words[] = {"after", NULL};
    call(x, "board.logs", BYTES, words, false);
}

void http_get_board_log(struct http_exchange *x)
{
    static const char *const words[] = {"file", "from"};
    call(x, "board.log", BYTES, words, false);
}

void http_post_board_ops(struct http_exchange *x)
{
    call(x, "board.append", BYTES, NULL, true);
}

void http_get_board_image(struct http_exchange *x)
{
    static const char *const words[] = {"hash", NULL};
    call(x, "board.image", BYTES, words, false);
}

void http_put_board_image(struct http_exchange *x)
{
    static const char *const words[] = {"hash", NULL};
    call(x, "board.image.put", BYTES, words, true);
}
