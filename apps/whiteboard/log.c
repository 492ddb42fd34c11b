#include "log.h"

#include <kith/error.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

static const uint8_t magic[8] = {'K', 'I', 'T', 'H', 'B', 'R', 'D', 1};

static void put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

bool board_name_good(const char *name, size_t len)
{
    if (len == 0 || len > BOARD_NAME_BYTES_MAX || name[0] == '-' || name[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
            name[i] != '-')
            return false;
    return true;
}

size_t board_header_encode(const char *board,
                           const uint8_t writer[BOARD_WRITER_BYTES],
                           const char *name,
                           uint8_t *out)
{
    size_t board_len = strlen(board), name_len = strlen(name);
    uint8_t *at = out;

    if (!board_name_good(board, board_len) || name_len > BOARD_PERSON_BYTES_MAX)
        return 0;
    memcpy(at, magic, sizeof(magic));
    at += sizeof(magic);
    *at++ = (uint8_t)board_len;
    memcpy(at, board, board_len);
    at += board_len;
    memcpy(at, writer, BOARD_WRITER_BYTES);
    at += BOARD_WRITER_BYTES;
    *at++ = (uint8_t)name_len;
    memcpy(at, name, name_len);
    at += name_len;
    put_u32(at, board_crc32c(out, (size_t)(at - out), 0));
    return (size_t)(at + 4 - out);
}

void board_record_head(const uint8_t *body, size_t len, uint8_t out[BOARD_RECORD_HEAD_BYTES])
{
    put_u32(out, (uint32_t)len);
    put_u32(out + 4, board_crc32c(out, 4, 0));
    put_u32(out + 8, board_crc32c(body, len, 0));
}

static int decode_header(struct board_log *log, const uint8_t *data, size_t len)
{
    struct board_reader r;
    size_t board_len, name_len;

    board_reader_init(&r, data, len);
    const uint8_t *begin = board_take_raw(&r, sizeof(magic));
    if (begin == NULL || memcmp(begin, magic, sizeof(magic)) != 0)
        return KITH_E_CORRUPT;
    const char *board = board_take_text(&r, BOARD_NAME_BYTES_MAX, false, &board_len);
    const uint8_t *writer = board_take_raw(&r, BOARD_WRITER_BYTES);
    const char *name = board_take_text(&r, BOARD_PERSON_BYTES_MAX, false, &name_len);
    size_t summed = r.at;
    uint32_t sum = board_take_u32(&r);
    if (r.bad || sum != board_crc32c(data, summed, 0) || !board_name_good(board, board_len))
        return KITH_E_CORRUPT;
    memcpy(log->board, board, board_len);
    memcpy(log->writer, writer, BOARD_WRITER_BYTES);
    memcpy(log->name, name, name_len);
    log->good = r.at;
    return 0;
}

/* A file system may have made a file longer without having written to it. */
static bool empty_from(const uint8_t *data, size_t len, size_t from)
{
    while (from < len && data[from] == 0)
        from++;
    return from == len;
}

/* The record at @log->good: its body, or NULL with the state set. */
static const uint8_t *
next_record(struct board_log *log, const uint8_t *data, size_t len, size_t *len_out)
{
    struct board_reader r;

    if (len - log->good < BOARD_RECORD_HEAD_BYTES) {
        log->state = BOARD_LOG_TORN;
        return NULL;
    }
    board_reader_init(&r, data + log->good, BOARD_RECORD_HEAD_BYTES);
    size_t body_len = board_take_u32(&r);
    uint32_t head_sum = board_take_u32(&r), sum = board_take_u32(&r);
    const uint8_t *body = data + log->good + BOARD_RECORD_HEAD_BYTES;
    size_t left = len - log->good - BOARD_RECORD_HEAD_BYTES;
    if (board_crc32c(data + log->good, 4, 0) != head_sum)
        log->state = empty_from(data, len, log->good) ? BOARD_LOG_TORN : BOARD_LOG_DAMAGED;
    else if (body_len > BOARD_RECORD_BYTES_MAX)
        log->state = BOARD_LOG_DAMAGED;
    else if (body_len > left)
        log->state = BOARD_LOG_TORN;
    else if (board_crc32c(body, body_len, 0) != sum)
        log->state = body_len == left ? BOARD_LOG_TORN : BOARD_LOG_DAMAGED;
    *len_out = body_len;
    return log->state == BOARD_LOG_WHOLE ? body : NULL;
}

static int room_for_one(struct board_log *log, size_t *room)
{
    if (log->ops_n < *room)
        return 0;
    size_t more = *room ? 2 * *room : 64;
    struct board_op *grown = realloc(log->ops, more * sizeof(*grown));
    if (grown == NULL)
        return KITH_E_MEMORY;
    log->ops = grown;
    *room = more;
    return 0;
}

int board_log_decode(struct board_log *log, const uint8_t *data, size_t len)
{
    size_t room = 0, body_len;

    *log = (struct board_log){.state = BOARD_LOG_WHOLE};
    if (len > BOARD_LOG_BYTES_MAX)
        return KITH_E_TOO_LARGE;
    int result = decode_header(log, data, len);
    while (result == 0 && log->good < len) {
        const uint8_t *body = next_record(log, data, len, &body_len);
        if (body == NULL)
            break;
        result = room_for_one(log, &room);
        if (result == 0)
            result = board_op_decode(&log->ops[log->ops_n], log->writer, body, body_len);
        if (result == KITH_E_CORRUPT) {
            log->state = BOARD_LOG_DAMAGED;
            result = 0;
            break;
        }
        if (result == 0) {
            log->ops_n++;
            log->good += BOARD_RECORD_HEAD_BYTES + body_len;
        }
    }
    if (result != 0)
        board_log_deinit(log);
    return result;
}

void board_log_deinit(struct board_log *log)
{
    for (size_t i = 0; i < log->ops_n; i++)
        board_op_deinit(&log->ops[i]);
    free(log->ops);
    *log = (struct board_log){0};
}
