/*
 * Frames of asker and holder.
 */
#include "fs/fetch_wire.h"

#include "fs/fetch.h"
#include "kith/error.h"

enum ask_op {
    ASK_CHUNK = 1,
    ASK_CANCEL = 2,
};
enum data_op {
    DATA_BYTES = 1,
    DATA_NO = 2,
};

int fetch_ask_append(struct buf *buf, const struct fetch_ask *ask)
{
    uint8_t out[FETCH_ASK_BYTES];
    out[0] = ask->cancel ? ASK_CANCEL : ASK_CHUNK;
    put_le64(out + 1, ask->request);
    if (ask->cancel)
        return buf_append(buf, out, FETCH_CANCEL_BYTES);
    out[9] = ask->priority;
    content_encode(&ask->content, out + 10);
    put_le32(out + 10 + CONTENT_WIRE_BYTES, ask->chunk);
    return buf_append(buf, out, sizeof(out));
}

void fetch_ask_read(struct reader *reader, struct fetch_ask *ask_out)
{
    struct fetch_ask ask = {0};
    uint8_t op = read_u8(reader);
    ask.request = read_le64(reader);
    *ask_out = ask;
    if (op == ASK_CANCEL) {
        ask_out->cancel = true;
        return;
    }
    ask.priority = read_u8(reader);
    content_read(reader, &ask.content);
    ask.chunk = read_le32(reader);
    if (op != ASK_CHUNK || ask.priority >= FETCH_PRIORITIES)
        reader->bad = true;
    if (reader->bad)
        return;
    bool there = ask.chunk == FETCH_LIST ? content_list_bytes(&ask.content) > 0
                                         : ask.chunk < content_chunks(&ask.content);
    if (there)
        *ask_out = ask;
    else
        reader->bad = true;
}

uint32_t fetch_ask_bytes(const struct fetch_ask *ask)
{
    return ask->chunk == FETCH_LIST ? content_list_bytes(&ask->content)
                                    : content_chunk_bytes(&ask->content, ask->chunk);
}

void fetch_data_head(uint64_t request, uint32_t offset, uint8_t out[FETCH_DATA_HEAD_BYTES])
{
    out[0] = DATA_BYTES;
    put_le64(out + 1, request);
    put_le32(out + 9, offset);
}

void fetch_no_encode(uint64_t request, uint8_t reason, uint8_t out[FETCH_NO_BYTES])
{
    out[0] = DATA_NO;
    put_le64(out + 1, request);
    out[9] = reason;
}

int fetch_data_decode(const void *data, size_t len, struct fetch_data *data_out)
{
    struct reader reader = reader_of(data, len);
    struct fetch_data got = {0};
    uint8_t op = read_u8(&reader);
    got.request = read_le64(&reader);
    if (op == DATA_NO) {
        got.no = true;
        got.reason = read_u8(&reader);
        if (!reader_done(&reader) || got.reason == 0 || got.reason > FETCH_NO_LAST)
            return KITH_E_CORRUPT;
        *data_out = got;
        return 0;
    }
    got.offset = read_le32(&reader);
    if (op != DATA_BYTES || reader.bad || reader.at == len)
        return KITH_E_CORRUPT;
    got.bytes = (struct kith_bytes){.data = reader.data + reader.at, .len = len - reader.at};
    *data_out = got;
    return 0;
}
