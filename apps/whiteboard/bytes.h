/*
 * Reads what others wrote: numbers, texts, sums. Nothing is read past the end, and what is not the
 * one right encoding is refused. The first thing that is wrong makes the reader bad; from then on
 * it gives zeros, so that a decoder asks once, at its end.
 */
#ifndef WHITEBOARD_BYTES_H
#define WHITEBOARD_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board_reader {
    const uint8_t *data; /* borrowed */
    size_t at;
    size_t end;
    bool bad;
};

void board_reader_init(struct board_reader *r, const uint8_t *data, size_t len);

/* Whether @n bytes more are there; makes the reader bad if not. */
bool board_reader_need(struct board_reader *r, size_t n);

uint8_t board_take_u8(struct board_reader *r);
uint32_t board_take_u32(struct board_reader *r); /* little endian */

/* An unsigned number of 7 bits a byte, lowest first, at most @max; bad above it or if it is longer
 * than it need be. */
uint64_t board_take_varint(struct board_reader *r, uint64_t max);

/* A signed number, at most @max away from 0. */
int64_t board_take_zigzag(struct board_reader *r, int64_t max);

/* @n bytes where they lie; NULL if they are not there. */
const uint8_t *board_take_raw(struct board_reader *r, size_t n);

/*
 * A text of at most @max bytes where it lies, its length before it: UTF-8 without control
 * characters (line ends are allowed if @lines). @len_out is 0 where NULL is returned.
 */
const char *board_take_text(struct board_reader *r, size_t max, bool lines, size_t *len_out);

/* CRC-32C of @data, going on from @sum (0 at first). */
uint32_t board_crc32c(const uint8_t *data, size_t len, uint32_t sum);

#endif
