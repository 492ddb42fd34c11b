/* Memory and the clock, as the module of boards sees them in its tests. */
#include "unit/whiteboard_node.h"

void *made_malloc(size_t n);
void *made_calloc(size_t n, size_t each);
void *made_realloc(void *old, size_t n);
void made_free(void *at);
int made_clock_gettime(clockid_t clock, struct timespec *out);

#define SIZE_BYTES 16 /* before each piece: how long it is */

static size_t held_bytes, peak_bytes;
static uint64_t clock_ms;

static void *counted(uint8_t *piece, size_t n)
{
    assert_non_null(piece);
    memcpy(piece, &n, sizeof(n));
    held_bytes += n;
    if (held_bytes > peak_bytes)
        peak_bytes = held_bytes;
    return piece + SIZE_BYTES;
}

void *made_malloc(size_t n)
{
    return counted(malloc(SIZE_BYTES + n), n);
}

void *made_calloc(size_t n, size_t each)
{
    return counted(calloc(1, SIZE_BYTES + n * each), n * each);
}

void made_free(void *at)
{
    size_t n;

    if (at == NULL)
        return;
    memcpy(&n, (uint8_t *)at - SIZE_BYTES, sizeof(n));
    held_bytes -= n;
    free((uint8_t *)at - SIZE_BYTES);
}

void *made_realloc(void *old, size_t n)
{
    size_t had = 0;

    if (old != NULL)
        memcpy(&had, (uint8_t *)old - SIZE_BYTES, sizeof(had));
    held_bytes -= had;
    return counted(realloc(old != NULL ? (uint8_t *)old - SIZE_BYTES : NULL, SIZE_BYTES + n), n);
}

int made_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    *out = (struct timespec){.tv_sec = (time_t)(clock_ms / 1000),
                             .tv_nsec = (long)(clock_ms % 1000) * 1000000};
    return 0;
}

void made_clock_forward(uint64_t ms)
{
    clock_ms += ms;
}

size_t made_held(void)
{
    return held_bytes;
}

size_t made_peak(void)
{
    return peak_bytes;
}

void made_peak_reset(void)
{
    peak_bytes = held_bytes;
}
