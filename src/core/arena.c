#include "core/arena.h"

#include <stdalign.h>

#include "core/alloc.h"

#define ARENA_CHUNK_BYTES 16384

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        size_t bytes = size > ARENA_CHUNK_BYTES ? size : ARENA_CHUNK_BYTES;
        chunk = core_malloc(sizeof(*chunk) + bytes);
        if (chunk == NULL)
            return NULL;
        *chunk = (struct arena_chunk){.next = arena->chunks, .size = bytes};
        arena->chunks = chunk;
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += size;
    return memory;
}

bool arena_is_spread(const struct arena *arena)
{
    return arena->chunks != NULL && arena->chunks->next != NULL;
}

void arena_reset_chunks(struct arena *arena)
{
    struct arena_chunk *kept = NULL;

    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (kept == NULL && chunk->size == ARENA_CHUNK_BYTES)
            kept = chunk;
        else
            core_free(chunk);
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
    }
    arena->chunks = kept;
}

void arena_deinit(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        core_free(chunk);
    }
    arena->chunks = NULL;
}
