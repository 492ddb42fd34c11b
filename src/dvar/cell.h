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

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
