#include "core/tally.h"

#define US 1000ull
#define MS (1000 * US)
#define S  (1000 * MS)

const uint64_t tally_bounds_ns[TALLY_BOUNDS] = {
    10 * US, 25 * US, 50 * US,  100 * US, 250 * US, 500 * US, MS,        2500 * US, 5 * MS, 10 * MS,
    25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S,        2500 * MS, 5 * S,     10 * S, 30 * S,
};

void tally_add(struct tally *tally, uint64_t ns)
{
    unsigned i = 0;

    while (i < TALLY_BOUNDS && ns > tally_bounds_ns[i])
        i++;
    tally->counts[i]++;
    tally->sum_ns += ns;
}
