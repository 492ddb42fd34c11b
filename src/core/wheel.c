/*
 * See the header. A slot's bit says that its list is not empty; it lets advance and deadline skip
 * empty time by 64 slots at a look.
 */
#include "core/wheel.h"

#include <assert.h>

#define RING_BITS 10
#define SLOT_MASK (WHEEL_SLOTS - 1)
#define SLOT_DUE  (WHEEL_RINGS * WHEEL_SLOTS + 1) /* wheel_timer.slot of those in `due` */

static_assert(1 << RING_BITS == WHEEL_SLOTS, "a slot number is RING_BITS of a tick");

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct wheel){.tick = now_ms / WHEEL_TICK_MS + 1, .now_ms = now_ms};
    list_init(&wheel->due);
    for (unsigned ring = 0; ring < WHEEL_RINGS; ring++)
        for (unsigned i = 0; i < WHEEL_SLOTS; i++)
            list_init(&wheel->slots[ring][i]);
}

static void put(struct wheel *wheel, struct wheel_timer *timer, unsigned ring, uint64_t at)
{
    unsigned i = (unsigned)at & SLOT_MASK;
    list_append(&wheel->slots[ring][i], &timer->link);
    wheel->used[ring][i / 64] |= (uint64_t)1 << i % 64;
    timer->slot = ring * WHEEL_SLOTS + i + 1;
}

/* Puts a timer that is in no list where its deadline belongs. */
static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    uint64_t deadline = timer->deadline_ms;
    uint64_t tick = deadline / WHEEL_TICK_MS + (deadline % WHEEL_TICK_MS != 0);
    uint64_t from = wheel->tick;
    if (deadline <= wheel->now_ms || tick < from) {
        list_append(&wheel->due, &timer->link);
        timer->slot = SLOT_DUE;
        return;
    }
    if (tick - from < WHEEL_SLOTS) {
        put(wheel, timer, 0, tick);
        return;
    }
    for (unsigned ring = 1; ring < WHEEL_RINGS; ring++) {
        unsigned shift = ring * RING_BITS;
        if ((tick >> shift) - (from >> shift) < WHEEL_SLOTS) {
            put(wheel, timer, ring, tick >> shift);
            return;
        }
    }
    put(wheel, timer, WHEEL_RINGS - 1, (from >> (WHEEL_RINGS - 1) * RING_BITS) + SLOT_MASK);
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    struct list *next = timer->link.next;
    list_remove(&timer->link);
    if (timer->slot == 0)
        return;
    wheel->n--;
    if (timer->slot != SLOT_DUE && list_empty(next)) {
        /* Only a head that is alone links to itself, so @next is the head of the timer's slot. */
        unsigned i = timer->slot - 1;
        wheel->used[i / WHEEL_SLOTS][(i & SLOT_MASK) / 64] &= ~((uint64_t)1 << i % 64);
    }
    timer->slot = 0;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_ms)
{
    wheel_cancel(wheel, timer);
    timer->deadline_ms = deadline_ms;
    place(wheel, timer);
    wheel->n++;
}

/* Moves the timers of a slot to the end of @to. */
static void take_slot(struct wheel *wheel, unsigned ring, unsigned i, struct list *to)
{
    list_splice(to, &wheel->slots[ring][i]);
    wheel->used[ring][i / 64] &= ~((uint64_t)1 << i % 64);
}

/* The block of @ring that begins at the current tick moves inwards. */
static void cascade(struct wheel *wheel, unsigned ring)
{
    struct list moved;
    list_init(&moved);
    take_slot(wheel, ring, (unsigned)(wheel->tick >> ring * RING_BITS) & SLOT_MASK, &moved);
    struct list *it;
    while ((it = list_first(&moved)) != NULL) {
        list_remove(it);
        place(wheel, container_of(it, struct wheel_timer, link));
    }
}

/* Index of the first used slot of @ring in [@from, WHEEL_SLOTS), or WHEEL_SLOTS. */
static unsigned next_used(const struct wheel *wheel, unsigned ring, unsigned from)
{
    for (unsigned word = from / 64; word < WHEEL_SLOTS / 64; word++) {
        uint64_t bits = wheel->used[ring][word];
        if (word == from / 64)
            bits &= ~(uint64_t)0 << from % 64;
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return WHEEL_SLOTS;
}

static void expire(struct wheel *wheel, struct list *timers, struct list *expired)
{
    list_for_each (it, timers) {
        struct wheel_timer *timer = container_of(it, struct wheel_timer, link);
        timer->slot = 0;
        wheel->n--;
    }
    list_splice(expired, timers);
}

/* At the end of a block: on to the next one of ring 1 that holds timers, or to the end of its lap,
 * where ring 2 has to be looked at. */
static void skip_empty_blocks(struct wheel *wheel)
{
    uint64_t next = wheel->tick >> RING_BITS;
    /* Ring 0 may hold timers of the block that begins; a lap begins with a look at ring 2. */
    if ((next & SLOT_MASK) == 0 || next_used(wheel, 0, 0) != WHEEL_SLOTS)
        return;
    unsigned i = next_used(wheel, 1, (unsigned)next & SLOT_MASK);
    wheel->tick = ((next & ~(uint64_t)SLOT_MASK) + i) << RING_BITS;
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms, struct list *expired)
{
    if (now_ms < wheel->now_ms)
        return;
    expire(wheel, &wheel->due, expired);
    uint64_t last = now_ms / WHEEL_TICK_MS;
    while (wheel->tick <= last && wheel->n > 0) {
        if ((wheel->tick & SLOT_MASK) == 0) {
            if ((wheel->tick >> RING_BITS & SLOT_MASK) == 0)
                cascade(wheel, 2);
            cascade(wheel, 1);
        }
        uint64_t block = wheel->tick & ~(uint64_t)SLOT_MASK;
        unsigned i = next_used(wheel, 0, (unsigned)wheel->tick & SLOT_MASK);
        wheel->tick = block + i;
        if (i == WHEEL_SLOTS)
            skip_empty_blocks(wheel);
        if (i == WHEEL_SLOTS || wheel->tick > last)
            continue;
        struct list fired;
        list_init(&fired);
        take_slot(wheel, 0, i, &fired);
        expire(wheel, &fired, expired);
        wheel->tick++;
    }
    /* Either nothing is left, or the search went ahead to a block or slot that is not due yet. */
    wheel->tick = last + 1;
    wheel->now_ms = now_ms;
}

uint64_t wheel_deadline_ms(const struct wheel *wheel)
{
    if (wheel->n == 0)
        return UINT64_MAX;
    if (!list_empty(&wheel->due))
        return wheel->now_ms;
    uint64_t least = UINT64_MAX;
    for (unsigned ring = 0; ring < WHEEL_RINGS; ring++) {
        unsigned shift = ring * RING_BITS;
        /* Ring 0 begins at the current tick. An outer slot's time is the beginning of its block. */
        uint64_t from = wheel->tick >> shift;
        unsigned i = next_used(wheel, ring, (unsigned)from & SLOT_MASK);
        uint64_t lap = from & ~(uint64_t)SLOT_MASK;
        if (i == WHEEL_SLOTS) {
            i = next_used(wheel, ring, 0);
            lap += WHEEL_SLOTS;
        }
        if (i == WHEEL_SLOTS)
            continue;
        uint64_t at = (lap + i) << shift;
        if (at * WHEEL_TICK_MS < least)
            least = at * WHEEL_TICK_MS;
    }
    return least;
}
