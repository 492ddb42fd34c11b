/*
 * What any thread reads a variable by, without lock, system call or crossing to the loop: a copy
 * of the value under a sequence lock, and until when it may be believed.
 *
 * The core (one thread) publishes and takes back; readers are many. A read is right at the moment
 * when the clock was read: the value was still published afterwards, and the lease ran then.
 * Memory that a reader may look at is never given back before the cell itself is: a buffer that
 * became too small stays until then (all together at most as much again as the last one).
 */
#ifndef DVAR_CELL_H
#define DVAR_CELL_H

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dvar/value.h"

/* Values up to this size need no memory beside the cell. */
#define CELL_INLINE_BYTES 128
#define CELL_BUFFERS_MAX  16 /* doubling from 128 bytes to above 1 MiB */

struct dvar_cell {
    _Atomic uint32_t seq; /* odd: being written */
    _Atomic uint32_t valid;
    _Atomic uint32_t len;
    _Atomic uint32_t used; /* somebody read since the core looked last */
    _Atomic uint64_t version;
    /* Until when, in ns of CLOCK_BOOTTIME: the word of the lease that the value stands under. */
    _Atomic(const _Atomic uint64_t *) lease;
    _Atomic(_Atomic uint64_t *) words; /* the value, in the newest buffer */
    /* The core's own. */
    void *owner;
    uint32_t opens;
    uint32_t buffers_n;
    size_t cap; /* bytes of the newest buffer */
    _Atomic uint64_t *buffers[CELL_BUFFERS_MAX];
    _Atomic uint64_t first[CELL_INLINE_BYTES / 8];
};

/* NULL if memory is short. */
struct dvar_cell *cell_new(void);
void cell_free(struct dvar_cell *cell); /* no reader may be left */

/* Core: makes @value readable under @lease. 0 or KITH_E_MEMORY (it is then taken back). */
int cell_publish(struct dvar_cell *cell,
                 const void *value,
                 size_t len,
                 uint64_t version,
                 const _Atomic uint64_t *lease);
/* Core: no read that begins after this gets the value. */
void cell_take_back(struct dvar_cell *cell);

/* Reads CLOCK_BOOTTIME in ns; called once a read. */
typedef uint64_t (*cell_clock)(void);

/*
 * Any thread: copies the value (src/dvar/value.h; length 0 is an absent variable) to @value_out of
 * @cap bytes. Its length; SIZE_MAX if nothing can be read here now (ask the core); a length above
 * @cap tells how much room it takes, and nothing was copied.
 */
size_t cell_read(
    struct dvar_cell *cell, void *value_out, size_t cap, uint64_t *version_out, cell_clock clock);

/* What cell_read_data() found. */
struct cell_data {
    uint8_t type; /* enum value_type; VALUE_NONE: absent */
    size_t len;   /* of the data, 0 if absent */
    uint64_t version;
};

/* Word by word: the core may be writing there, which the caller finds out. (In larger steps the
 * compiler goes by the stack, and each load of 16 bytes there waits for two stores of 8.) */
static inline void cell_copy_data(void *to, const _Atomic uint64_t *words, size_t len)
{
    uint8_t *out = (uint8_t *)to;
    size_t at = 0;

    for (; at + 8 <= len; at += 8, words++) {
        uint64_t word = atomic_load_explicit(words, memory_order_relaxed);
        memcpy(out + at, &word, 8);
    }
    if (at < len) {
        uint64_t word = atomic_load_explicit(words, memory_order_relaxed);
        memcpy(out + at, &word, len - at);
    }
}

/*
 * As cell_read(), but only the data goes to @data_out of @cap bytes, with no copy in between. False
 * if nothing can be read here now; a length above @cap tells how much room it takes. In both cases
 * @data_out may have been written to.
 *
 * It stands here so that the clock is no call through a pointer. Reading that waits for all loads
 * before it, so what can be copied behind it is.
 */
static inline bool cell_read_data(struct dvar_cell *cell,
                                  void *data_out,
                                  size_t cap,
                                  struct cell_data *found_out,
                                  cell_clock clock)
{
    for (;;) {
        uint32_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);
        if ((seq & 1) != 0)
            continue;
        if (atomic_load_explicit(&cell->valid, memory_order_relaxed) == 0)
            return false;
        uint32_t len = atomic_load_explicit(&cell->len, memory_order_relaxed);
        const _Atomic uint64_t *lease = atomic_load_explicit(&cell->lease, memory_order_relaxed);
        const _Atomic uint64_t *words = atomic_load_explicit(&cell->words, memory_order_acquire);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&cell->seq, memory_order_relaxed) != seq)
            continue; /* before @len and @lease are believed */
        uint64_t until = atomic_load_explicit(lease, memory_order_acquire);
        bool valid = clock() < until;
        struct cell_data found = {.version =
                                      atomic_load_explicit(&cell->version, memory_order_relaxed)};
        if (valid && len != 0) {
            uint64_t head = le64toh(atomic_load_explicit(&words[0], memory_order_relaxed));
            found.type = (uint8_t)(head >> 8);
            found.len = head >> 32;
            if (found.len <= cap && found.len <= len - VALUE_HEAD_BYTES)
                cell_copy_data(data_out, words + VALUE_HEAD_BYTES / 8, found.len);
        }
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&cell->seq, memory_order_relaxed) != seq)
            continue;
        if (atomic_load_explicit(&cell->used, memory_order_relaxed) == 0)
            atomic_store_explicit(&cell->used, 1, memory_order_relaxed);
        *found_out = found;
        return valid;
    }
}

#endif
