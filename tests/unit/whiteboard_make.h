/* Makes operations of a board by hand, for the tests of apps/whiteboard. */
#ifndef WHITEBOARD_MAKE_H
#define WHITEBOARD_MAKE_H

#include "lib/test.h"
#include "whiteboard/log.h"

#define WHITEBOARD_OPS 64

struct made {
    uint8_t bytes[1 << 20];
    size_t len;
    struct board_op ops[WHITEBOARD_OPS];
    const struct board_op *list[WHITEBOARD_OPS];
    size_t ops_n;
    size_t begin; /* of the operation that is being made */
    uint8_t writer[BOARD_WRITER_BYTES];
};

static inline void put_u8(struct made *m, unsigned value)
{
    m->bytes[m->len++] = (uint8_t)value;
}

static inline void put_varint(struct made *m, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        put_u8(m, (unsigned)(value & 127) | 128);
    put_u8(m, (unsigned)value);
}

static inline void put_zigzag(struct made *m, int64_t value)
{
    put_varint(m, value < 0 ? (uint64_t)(-2 * value - 1) : (uint64_t)(2 * value));
}

static inline void put_raw(struct made *m, const void *data, size_t len)
{
    memcpy(m->bytes + m->len, data, len);
    m->len += len;
}

static inline void
begin_op(struct made *m, unsigned writer, uint32_t counter, uint64_t clock, unsigned kind)
{
    m->begin = m->len;
    memset(m->writer, 0, sizeof(m->writer));
    m->writer[15] = (uint8_t)writer;
    put_varint(m, counter);
    put_varint(m, clock);
    put_u8(m, kind);
}

/* Decodes what was put since begin_op; keeps it if it is one. */
static inline int end_op(struct made *m)
{
    struct board_op *op = &m->ops[m->ops_n];
    int result = board_op_decode(op, m->writer, m->bytes + m->begin, m->len - m->begin);

    if (result == 0)
        m->list[m->ops_n++] = op;
    return result;
}

static inline void put_set1(struct made *m, unsigned writer, uint32_t from, uint32_t to)
{
    uint8_t id[BOARD_WRITER_BYTES] = {0};

    id[15] = (uint8_t)writer;
    put_varint(m, 1);
    put_raw(m, id, sizeof(id));
    put_varint(m, 1);
    put_varint(m, from - 1);
    put_varint(m, to - from);
}

static inline void put_rect_fields(struct made *m)
{
    put_u8(m, 2);
    put_varint(m, 32);
    put_u8(m, 0);
    put_zigzag(m, 160);
    put_zigzag(m, -160);
    put_zigzag(m, 320);
    put_zigzag(m, 320);
}

static inline void make_rect(struct made *m, unsigned writer, uint32_t counter, uint64_t clock)
{
    begin_op(m, writer, counter, clock, BOARD_RECT);
    put_rect_fields(m);
    assert_int_equal(end_op(m), 0);
}

static inline void make_delete(struct made *m,
                               unsigned writer,
                               uint32_t counter,
                               uint64_t clock,
                               unsigned whose,
                               uint32_t from,
                               uint32_t to)
{
    begin_op(m, writer, counter, clock, BOARD_DELETE);
    put_set1(m, whose, from, to);
    assert_int_equal(end_op(m), 0);
}

static inline void make_undo(
    struct made *m, unsigned writer, uint32_t counter, uint64_t clock, unsigned kind, uint32_t from)
{
    begin_op(m, writer, counter, clock, kind);
    put_varint(m, from);
    put_varint(m, 1);
    assert_int_equal(end_op(m), 0);
}

static inline void unmake(struct made *m)
{
    for (size_t i = 0; i < m->ops_n; i++)
        board_op_deinit(&m->ops[i]);
    *m = (struct made){0};
}

#endif
