/*
 * Memory that lives until the next step of a core: what an action points into. Taken piece by
 * piece, given back all at once. A zeroed arena is empty.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
};

/* @size bytes (0 is fine), aligned for anything; NULL if memory is short. */
void *arena_alloc(struct arena *arena, size_t size);

/* Is it more than one chunk, the least that it holds? */
bool arena_is_spread(const struct arena *arena);

/* All of it may be used again. One chunk of the ordinary size stays for the next step. */
void arena_reset_chunks(struct arena *arena);
static inline void arena_reset(struct arena *arena)
{
    if (arena->chunks != NULL)
        arena_reset_chunks(arena);
}

void arena_deinit(struct arena *arena);

#endif
