/*
 * The allocation hook: a thread-local countdown in front of malloc. Off, it costs one load and one
 * branch that is always predicted.
 */
#include "core/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t fail_in;

static bool must_fail(void)
{
    if (__builtin_expect(fail_in == 0, 1))
        return false;
    return --fail_in == 0;
}

void *core_malloc(size_t size)
{
    return must_fail() ? NULL : malloc(size);
}

void *core_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : calloc(n, size);
}

void *core_realloc(void *memory, size_t size)
{
    return must_fail() ? NULL : realloc(memory, size);
}

void *core_aligned_alloc(size_t align, size_t size)
{
    void *memory;

    if (must_fail() || posix_memalign(&memory, align, size) != 0)
        return NULL;
    return memory;
}

void core_free(void *memory)
{
    free(memory);
}

char *core_strndup(const char *data, size_t len)
{
    char *copy = core_malloc(len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

void core_alloc_fail_at(uint64_t n)
{
    fail_in = n;
}

void core_autofree_fn(void *pointer_to_pointer)
{
    void *memory;
    memcpy(&memory, pointer_to_pointer, sizeof(memory));
    core_free(memory);
}
