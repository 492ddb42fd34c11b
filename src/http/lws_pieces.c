/*
 * Bodies and answers in pieces on libwebsockets.
 *
 * A piece has room in front of it, for the library and for the head of the answer: head and first
 * piece leave in one write. One write has at most WRITE_BYTES, and none is made while the library
 * still holds something of the one before, so what it copies for itself stays small. A reader is
 * judged by what its machine has acknowledged, not by when a write was made: kernels hold
 * megabytes.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/lws.h"
#include "http/socket.h"

#define HEAD_ROOM      2560 /* of a head with all its lines; a longer one leaves by itself */
#define WRITES_AT_ONCE 4    /* then the others have their turn */

struct piece {
    struct piece *next;
    size_t at, end; /* of bytes, behind LWS_PRE */
    uint8_t bytes[];
};
#define PIECE_DATA (LWS_PRE + HEAD_ROOM)

/* ---- bodies ---- */

int conn_on_piece(struct web_request *conn, const void *data, size_t len)
{
    conn->web->handler->on_piece(conn, data, len, conn->web->user);
    if (conn->state == CONN_ANSWERED)
        return conn_answer(conn);
    return conn->state == CONN_ENDS ? -1 : 0;
}

void web_pause(struct web_request *request, bool paused)
{
    if (request->paused == paused || request->state != CONN_BODY)
        return;
    request->paused = paused;
    lws_rx_flow_control(request->wsi, !paused);
    if (paused)
        return;
    request->resumed_ms = uv_now(request->web->loop);
    /* What TLS has decrypted already says nothing at the socket: the library looks when it is
     * woken. */
    if (request->web->tls)
        lws_cancel_service(request->web->context);
}

/* ---- answers ---- */

uint8_t *web_piece_new(size_t len)
{
    struct piece *piece = core_malloc(sizeof(*piece) + PIECE_DATA + len);

    if (piece == NULL)
        return NULL;
    piece->next = NULL;
    piece->at = piece->end = PIECE_DATA;
    return piece->bytes + PIECE_DATA;
}

static struct piece *piece_of(uint8_t *data)
{
    return (struct piece *)(void *)(data - PIECE_DATA - offsetof(struct piece, bytes));
}

void web_piece_free(uint8_t *piece)
{
    if (piece != NULL)
        core_free(piece_of(piece));
}

void conn_pieces_free(struct web_request *conn)
{
    struct piece *piece;

    while ((piece = conn->pieces) != NULL) {
        conn->pieces = piece->next;
        core_free(piece);
    }
    conn->pieces_last = NULL;
    conn->pieces_left = 0;
}

int web_answer_begin(struct web_request *request, const struct web_answer *answer, uint64_t len)
{
    int r = conn_head(request, answer, len, 0);

    if (r != 0)
        return r;
    request->state = CONN_STREAMS;
    request->pieces_left = len;
    request->acked_ms = uv_now(request->web->loop);
    request->acked = http_socket_acked(lws_get_socket_fd(request->wsi));
    conn_unpark(request);
    return 0;
}

/* The head goes in front of the first piece, if there is room. */
static void head_joins(struct web_request *conn, struct piece *piece)
{
    if (conn->out == NULL || conn->out_at > 0 || conn->out_len > HEAD_ROOM)
        return;
    piece->at -= conn->out_len;
    memcpy(piece->bytes + piece->at, conn->out + LWS_PRE, conn->out_len);
    core_free(conn->out);
    conn->out = NULL;
    conn->out_len = 0;
}

/* One write. False: the connection is broken. */
static bool write_one(struct web_request *conn)
{
    struct piece *piece = conn->pieces;

    if (conn->out_at < conn->out_len)
        return conn_write(conn) >= 0;
    size_t n = piece->end - piece->at;
    if (n > WRITE_BYTES)
        n = WRITE_BYTES;
    if (lws_write(conn->wsi, piece->bytes + piece->at, n, LWS_WRITE_HTTP) < 0)
        return false;
    piece->at += n;
    if (piece->at < piece->end)
        return true;
    conn->pieces = piece->next;
    if (conn->pieces == NULL)
        conn->pieces_last = NULL;
    core_free(piece);
    if (conn->pieces != NULL || conn->pieces_left > 0)
        conn->web->handler->on_piece_left(conn, false, conn->web->user);
    return true;
}

/* As a callback of the library returns, or to be settled: 0, or -1 to close. */
int conn_pieces(struct web_request *conn)
{
    if (conn->writing || conn->broken)
        return 0;
    conn->writing = true;
    for (unsigned n = 0; conn->pieces != NULL && n < WRITES_AT_ONCE &&
                         !lws_partial_buffered(conn->wsi) && conn->state == CONN_STREAMS;
         n++) {
        if (!write_one(conn)) {
            conn->writing = false;
            conn->broken = true;
            return -1;
        }
    }
    conn->writing = false;
    if (conn->state != CONN_STREAMS)
        return -1;
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); /* conn_pieces_late() is ours */
    if (conn->pieces != NULL) {
        lws_callback_on_writable(conn->wsi);
        return 0;
    }
    if (conn->pieces_left > 0)
        return 0;
    conn->web->handler->on_piece_left(conn, true, conn->web->user);
    return conn_answered(conn);
}

void web_answer_piece(struct web_request *request, uint8_t *piece, size_t len)
{
    struct piece *last = piece_of(piece);

    if (request->state != CONN_STREAMS || len > request->pieces_left) {
        core_free(last);
        return;
    }
    last->end += len;
    request->pieces_left -= len;
    head_joins(request, last);
    if (request->pieces_last != NULL)
        request->pieces_last->next = last;
    else
        request->pieces = last;
    request->pieces_last = last;
    if (request->inside || request->writing || request->pieces != last)
        return;
    /* As with whole answers: a socket that has nothing to write can nearly always be written to. */
    request->inside = true;
    conn_settle(request, conn_pieces(request));
}

void web_answer_break(struct web_request *request)
{
    bool inside = request->inside || request->writing;

    if (request->state == CONN_ENDS)
        return;
    request->state = CONN_ENDS;
    request->user = NULL;
    if (!inside)
        conn_settle(request, -1);
}

bool conn_pieces_late(struct web_request *conn)
{
    int fd = lws_get_socket_fd(conn->wsi);
    uint64_t acked = http_socket_acked(fd), now_ms = uv_now(conn->web->loop);

    if (acked != conn->acked || (conn->pieces == NULL && !lws_partial_buffered(conn->wsi))) {
        conn->acked = acked;
        conn->acked_ms = now_ms;
    }
    return now_ms - conn->acked_ms >= HTTP_TAKE_MS;
}
