/*
 * What the files of values share: data by elements, and the writing of arrays with their deltas.
 */
#ifndef DVAR_VALUE_INTERNAL_H
#define DVAR_VALUE_INTERNAL_H

#include "dvar/value.h"

/* Bytes of an element where all have the same: i64, f64, bool, arrays of them, bytes; else 0. */
size_t value_element_bytes(uint8_t type);
/* Arrays of bytes and text, which have a table of ends. */
bool value_is_table(uint8_t type);
static inline bool value_has_elements(uint8_t type)
{
    return value_type_is_array(type) || type == VALUE_BYTES;
}
/* The bytes of @n elements from @at on, without their table. They must exist. */
struct kith_bytes
value_data_run(uint8_t type, const void *data, size_t len, uint32_t at, uint32_t n);

/* ---- value_slice.c ---- */

/* What an array becomes: elements [index, index + count) replaced, or all of it cut or grown. */
enum splice_kind {
    SPLICE_GUARD = 0, /* the data stays; head and fence are new */
    SPLICE_SLICE = 1,
    SPLICE_RESIZE = 2,
};
struct splice {
    enum splice_kind kind;
    uint32_t index;      /* SLICE */
    uint32_t count;      /* RESIZE: elements afterwards */
    const uint8_t *data; /* SLICE: of the array's type */
    size_t len;
};

/* Bytes of data that @splice makes of @now. */
uint64_t splice_len(const struct value *now, const struct splice *splice);
/*
 * Appends the value that @splice makes of @now to @out: @next gives all but the data. The splice
 * fits (it was checked). 0 or KITH_E_MEMORY.
 */
int splice_encode(const struct value *now,
                  const struct value *next,
                  const struct splice *splice,
                  struct buf *out);
/* Appends what value_patch() needs for the same. 0 or KITH_E_MEMORY. */
int splice_delta(const struct value *now,
                 const struct value *next,
                 const struct splice *splice,
                 struct buf *out);
/* SLICE_GET: appends elements as data of the array's type. 0 or KITH_E_MEMORY. */
int slice_copy(const struct value *now, uint32_t index, uint32_t count, struct buf *out);

#endif
