#include "core/spread.h"

#include <assert.h>

#define OCTAVE_MIN  8u /* 256 ns */
#define OCTAVE_BITS 2u /* four buckets an octave */
#define QUARTERS    (1u << OCTAVE_BITS)

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 1ull << OCTAVE_MIN)
        return 0;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    unsigned quarter = (unsigned)(ns >> (octave - OCTAVE_BITS)) & (QUARTERS - 1);
    unsigned bucket = (octave - OCTAVE_MIN) * QUARTERS + quarter;
    return bucket < SPREAD_BUCKETS ? bucket : SPREAD_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t middle_of(unsigned bucket)
{
    unsigned octave = OCTAVE_MIN + bucket / QUARTERS;
    uint64_t width = 1ull << (octave - OCTAVE_BITS);
    return (1ull << octave) + width * (bucket % QUARTERS) + width / 2;
}

static void forget_half(struct spread *spread)
{
    spread->n = 0;
    for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
        spread->counts[i] /= 2;
        spread->n += spread->counts[i];
    }
}

void spread_add(struct spread *spread, uint64_t ns)
{
    static_assert(SPREAD_KEPT <= UINT16_MAX, "all may be in one bucket");
    spread->counts[bucket_of(ns)]++;
    if (++spread->n >= SPREAD_KEPT)
        forget_half(spread);
}

uint64_t spread_percentile(const struct spread *spread, double percent)
{
    double wanted = (double)spread->n * percent / 100;
    uint32_t below = 0;

    for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
        below += spread->counts[i];
        if (below > 0 && (double)below >= wanted)
            return middle_of(i);
    }
    return 0;
}
