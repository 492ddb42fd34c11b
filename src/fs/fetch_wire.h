/*
 * What asker and holder say to each other. Little-endian, no gaps.
 *
 *     FRAME_FS_ASK (control): one or more of
 *         u8 1, u64 request, u8 priority, content (42 bytes), u32 chunk     ASK, chunk or
 * FETCH_LIST u8 2, u64 request                                                CANCEL FRAME_FS_DATA
 * (bulk): one of u8 1, u64 request, u32 offset within the chunk, bytes             DATA u8 2, u64
 * request, u8 reason                                     NO
 *
 * A request is for one chunk and has a number that its asker uses once. Its bytes come in order, in
 * pieces; as their number is known beforehand there is no end to be told. Streams keep their order
 * and lose nothing while they last; when one ends both sides forget all that was asked on it.
 */
#ifndef FS_FETCH_WIRE_H
#define FS_FETCH_WIRE_H

#include "fs/content.h"

enum fetch_no {
    FETCH_NO_UNKNOWN = 1,    /* it has not got this content */
    FETCH_NO_BUSY = 2,       /* too much is asked for; later */
    FETCH_NO_UNREADABLE = 3, /* it should have it, but reading failed */
    FETCH_NO_LAST = 3,
};

#define FETCH_ASK_BYTES    (1 + 8 + 1 + CONTENT_WIRE_BYTES + 4)
#define FETCH_CANCEL_BYTES (1 + 8)
/* Before the bytes of DATA. */
#define FETCH_DATA_HEAD_BYTES (1 + 8 + 4)
#define FETCH_NO_BYTES        (1 + 8 + 1)

struct fetch_ask {
    bool cancel; /* then only request */
    uint64_t request;
    uint8_t priority; /* enum fetch_priority */
    struct content content;
    uint32_t chunk; /* one that exists; FETCH_LIST only if the content has a list */
};
/* 0, KITH_E_MEMORY. */
int fetch_ask_append(struct buf *buf, const struct fetch_ask *ask);
/* The next of a frame; the reader is bad if it is damaged. */
void fetch_ask_read(struct reader *reader, struct fetch_ask *ask_out);
/* Bytes that this ask is for. */
uint32_t fetch_ask_bytes(const struct fetch_ask *ask);

struct fetch_data {
    bool no; /* then reason */
    uint8_t reason;
    uint64_t request;
    uint32_t offset;
    struct kith_bytes bytes; /* at least one; borrowed */
};
void fetch_data_head(uint64_t request, uint32_t offset, uint8_t out[FETCH_DATA_HEAD_BYTES]);
void fetch_no_encode(uint64_t request, uint8_t reason, uint8_t out[FETCH_NO_BYTES]);
/* 0, KITH_E_CORRUPT. */
int fetch_data_decode(const void *data, size_t len, struct fetch_data *data_out);

#endif
