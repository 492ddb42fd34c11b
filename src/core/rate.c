#include "core/rate.h"

#define LOOKED_AT (RATE_SLOTS - 1)

/* Empties the slots between the newest one and that of now. */
static void advance(struct rate *rate, uint64_t slot)
{
    uint64_t gone = slot - rate->slot;

    if (gone > RATE_SLOTS)
        gone = RATE_SLOTS;
    for (uint64_t i = 0; i < gone; i++)
        rate->counts[(slot - i) % RATE_SLOTS] = 0;
    rate->slot = slot;
}

void rate_add(struct rate *rate, uint64_t now_ms)
{
    uint64_t slot = now_ms >> RATE_SLOT_BITS;

    if (slot > rate->slot)
        advance(rate, slot);
    uint32_t *count = &rate->counts[rate->slot % RATE_SLOTS];
    *count += *count < UINT32_MAX;
}

double rate_per_s(const struct rate *rate, uint64_t now_ms)
{
    uint64_t slot = now_ms >> RATE_SLOT_BITS;
    uint64_t part_ms = (now_ms & ((1u << RATE_SLOT_BITS) - 1)) + 1;
    uint64_t sum = 0;

    if (slot < rate->slot)
        slot = rate->slot;
    for (uint64_t i = 0; i < LOOKED_AT && i <= slot; i++) {
        uint64_t at = slot - i;
        if (at <= rate->slot && rate->slot - at < RATE_SLOTS)
            sum += rate->counts[at % RATE_SLOTS];
    }
    return (double)sum * 1000 / (double)(((LOOKED_AT - 1ull) << RATE_SLOT_BITS) + part_ms);
}
