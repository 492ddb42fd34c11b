#include "dvar/cell.h"

#include <string.h>

#include "core/alloc.h"
#include "kith/error.h"

struct dvar_cell *cell_new(void)
{
    struct dvar_cell *cell = core_calloc(1, sizeof(*cell));
    if (cell == NULL)
        return NULL;
    cell->cap = CELL_INLINE_BYTES;
    atomic_init(&cell->words, cell->first);
    return cell;
}

void cell_free(struct dvar_cell *cell)
{
    if (cell == NULL)
        return;
    for (uint32_t i = 0; i < cell->buffers_n; i++)
        core_free(cell->buffers[i]);
    core_free(cell);
}

/* Room for @len bytes, perhaps in a new buffer; readers may still be in the old one. NULL if memory
 * is short. */
static _Atomic uint64_t *room_for(struct dvar_cell *cell, size_t len)
{
    size_t cap = cell->cap;
    while (cap < len)
        cap *= 2;
    if (cap == cell->cap)
        return atomic_load_explicit(&cell->words, memory_order_relaxed);
    if (cell->buffers_n == CELL_BUFFERS_MAX)
        return NULL;
    _Atomic uint64_t *words = core_calloc(cap / 8, sizeof(*words));
    if (words == NULL)
        return NULL;
    cell->buffers[cell->buffers_n++] = words;
    cell->cap = cap;
    return words;
}

static void begin(struct dvar_cell *cell)
{
    uint32_t seq = atomic_load_explicit(&cell->seq, memory_order_relaxed);
    atomic_store_explicit(&cell->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end(struct dvar_cell *cell)
{
    uint32_t seq = atomic_load_explicit(&cell->seq, memory_order_relaxed);
    atomic_store_explicit(&cell->seq, seq + 1, memory_order_release);
}

void cell_take_back(struct dvar_cell *cell)
{
    if (atomic_load_explicit(&cell->valid, memory_order_relaxed) == 0)
        return;
    begin(cell);
    atomic_store_explicit(&cell->valid, 0, memory_order_relaxed);
    end(cell);
    /* Before anything that follows, an acknowledgement above all, can be seen. */
    atomic_thread_fence(memory_order_seq_cst);
}

int cell_publish(struct dvar_cell *cell,
                 const void *value,
                 size_t len,
                 uint64_t version,
                 const _Atomic uint64_t *lease)
{
    _Atomic uint64_t *words = room_for(cell, len);
    if (words == NULL) {
        cell_take_back(cell);
        return KITH_E_MEMORY;
    }
    const uint8_t *from = value;
    begin(cell);
    atomic_store_explicit(&cell->words, words, memory_order_relaxed);
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, from + at, len - at < 8 ? len - at : 8);
        atomic_store_explicit(&words[at / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&cell->len, (uint32_t)len, memory_order_relaxed);
    atomic_store_explicit(&cell->version, version, memory_order_relaxed);
    atomic_store_explicit(&cell->lease, lease, memory_order_relaxed);
    atomic_store_explicit(&cell->valid, 1, memory_order_relaxed);
    end(cell);
    return 0;
}

static void copy_out(void *to, const _Atomic uint64_t *words, size_t len)
{
    uint8_t *out = to;
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t word = atomic_load_explicit(&words[at / 8], memory_order_relaxed);
        memcpy(out + at, &word, 8);
    }
    if (at < len) {
        uint64_t word = atomic_load_explicit(&words[at / 8], memory_order_relaxed);
        memcpy(out + at, &word, len - at);
    }
}

size_t cell_read(
    struct dvar_cell *cell, void *value_out, size_t cap, uint64_t *version_out, cell_clock clock)
{
    for (;;) {
        uint32_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);
        if ((seq & 1) != 0)
            continue; /* the core is at it, for less than a microsecond a KiB */
        if (atomic_load_explicit(&cell->valid, memory_order_relaxed) == 0)
            return SIZE_MAX;
        /* A buffer that belongs to a later value is larger, never smaller. */
        size_t len = atomic_load_explicit(&cell->len, memory_order_relaxed);
        uint64_t version = atomic_load_explicit(&cell->version, memory_order_relaxed);
        const _Atomic uint64_t *lease = atomic_load_explicit(&cell->lease, memory_order_relaxed);
        const _Atomic uint64_t *words = atomic_load_explicit(&cell->words, memory_order_acquire);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&cell->seq, memory_order_relaxed) != seq)
            continue; /* before @len is believed */
        if (len <= cap)
            copy_out(value_out, words, len);
        uint64_t until = atomic_load_explicit(lease, memory_order_acquire);
        bool valid = clock() < until;
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&cell->seq, memory_order_relaxed) != seq)
            continue;
        if (atomic_load_explicit(&cell->used, memory_order_relaxed) == 0)
            atomic_store_explicit(&cell->used, 1, memory_order_relaxed);
        *version_out = version;
        return valid ? len : SIZE_MAX;
    }
}
