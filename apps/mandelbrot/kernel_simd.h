/*
 * The vector kernel, with the vectors of the file that includes this.
 *
 * Counting has two halves. The first pass takes the points as they come, a batch of neighbours at
 * a time, checks every step and is done with most of what escapes. What survives goes to a queue.
 *
 * The second half iterates survivors in blocks of SIMD_BLOCK steps without any check: six
 * operations a step, SIMD_GROUPS independent vectors of them in flight so that none waits for
 * the last. Only at the end of a block it looks who is out. For those the block is taken back: the
 * state from before it moves to the late batch, where it is done again step by step, which finds
 * the exact count. Their lanes are filled from the queue at once, so a slow point holds up nobody.
 *
 * Why looking at the end is enough: with |c| <= 2 a point outside |z| = 2 only grows, and rounding
 * cannot bring it back as long as |c| stays a little below 2 (from |z| > 2 - 1e-15 follows
 * |z'| >= |z|^2 - |c| - 1e-14 > 2 once |c| < 2 - 1e-13). Beyond overflow it stays inf or nan, which
 * is "not bounded" as well. The few points between that |c| and 2 go through mandel_point(); those
 * with |c| > 2 are out at the first step.
 *
 * The includer defines SIMD_LANES, SIMD_GROUPS, the types vec, ivec, cvec, svec, mask (of
 * SIMD_LANES lanes) and the primitives vec_twice_plus, vec_bounded (norm <= 4, false for nan),
 * vec_equal, vec_less, vec_select, mask_and, mask_bits and ivec_count (n + 1 where the mask is
 * set).
 */
#ifndef MANDELBROT_KERNEL_SIMD_H
#define MANDELBROT_KERNEL_SIMD_H

#include "kernel_shade.h"

#include <assert.h>
#include <kith/error.h>

#define SIMD_BLOCK        32
#define SIMD_FIRST_STEPS  32
#define SIMD_BATCH_GROUPS 4
#define SIMD_BATCH        (SIMD_BATCH_GROUPS * SIMD_LANES)
#define SIMD_SLOTS        (SIMD_GROUPS * SIMD_LANES)
#define SIMD_QUEUE        1024
#define SIMD_ALL          ((1u << SIMD_LANES) - 1)
/* Blocks between two questions whether to go on, and between two moves of the cycle marks. */
#define SIMD_CANCEL_BLOCKS 1024
#define SIMD_MARK_BLOCKS   4
/* Above this |c|^2 the growth argument has no room left for rounding. */
#define SIMD_MARGINAL (4.0 - 1e-9)

static_assert(SIMD_SLOTS <= 64, "a set of slots is a uint64_t");
static_assert(SIMD_QUEUE >= 2 * SIMD_BATCH, "a batch of survivors fits");

/* Points that are iterated with a check at each step; an escaped one is frozen where it escaped. */
struct simd_batch {
    vec zr[SIMD_BATCH_GROUPS];
    vec zi[SIMD_BATCH_GROUPS];
    vec cr[SIMD_BATCH_GROUPS];
    vec ci[SIMD_BATCH_GROUPS];
    ivec n[SIMD_BATCH_GROUPS];
    unsigned bounded[SIMD_BATCH_GROUPS]; /* after the run: a bit for each lane still inside */
};

/* Survivors under way, SIMD_LANES to a vector; slot s is lane s % SIMD_LANES of group s /
 * SIMD_LANES. */
struct simd_slots {
    vec zr[SIMD_GROUPS]; /* as of the last block that was kept */
    vec zi[SIMD_GROUPS];
    vec cr[SIMD_GROUPS];
    vec ci[SIMD_GROUPS];
    vec ahead_zr[SIMD_GROUPS]; /* one block further, when somebody escaped in it */
    vec ahead_zi[SIMD_GROUPS];
    vec mark_zr[SIMD_GROUPS]; /* an earlier z; to meet it again is to be in a cycle */
    vec mark_zi[SIMD_GROUPS];
    uint32_t left[SIMD_SLOTS];      /* blocks to go; UINT32_MAX in an idle slot */
    uint32_t mark_left[SIMD_SLOTS]; /* the mark moves when `left` comes down to this */
    uint32_t index[SIMD_SLOTS];
    uint64_t idle; /* a bit a slot */
};

struct simd_run {
    struct simd_slots slots;
    struct simd_batch late; /* points that escape within the next block */

    double queue_zr[SIMD_QUEUE]; /* survivors waiting for a slot; last in, first out */
    double queue_zi[SIMD_QUEUE];
    double queue_cr[SIMD_QUEUE];
    double queue_ci[SIMD_QUEUE];
    uint32_t queue_index[SIMD_QUEUE];
    uint32_t late_index[SIMD_BATCH];
    uint32_t queue_n;
    uint32_t late_n;

    const struct mandel_points *points;
    uint32_t *counts;
    double *norms;
    uint32_t steps_first;     /* steps of the first pass; the rest is whole blocks */
    uint32_t blocks;          /* blocks after it */
    uint32_t blocks_asked;    /* since cancellation was last looked at */
    uint32_t blocks_unmarked; /* since the cycle marks were last looked at */
};

/* Lane @slot of an array of vectors, as a number of its own. */
static inline double *lane_of(vec *groups, unsigned slot)
{
    return &((double *)groups)[slot];
}

/* Runs @steps checked steps. Every lane must be within |z| <= 2, except as `bounded` says. */
static inline void batch_run(struct simd_batch *batch, uint32_t steps)
{
    vec zr[SIMD_BATCH_GROUPS], zi[SIMD_BATCH_GROUPS], r2[SIMD_BATCH_GROUPS], i2[SIMD_BATCH_GROUPS];
    ivec n[SIMD_BATCH_GROUPS];
    mask in[SIMD_BATCH_GROUPS];

    for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
        zr[g] = batch->zr[g];
        zi[g] = batch->zi[g];
        n[g] = batch->n[g];
        r2[g] = zr[g] * zr[g];
        i2[g] = zi[g] * zi[g];
        in[g] = vec_bounded(r2[g] + i2[g]);
    }
    for (uint32_t step = 0; step < steps; step++) {
        unsigned any = 0;
        for (int g = 0; g < SIMD_BATCH_GROUPS; g++)
            any |= mask_bits(in[g]);
        if (!any)
            break;
        for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
            vec product = zr[g] * zi[g];
            zr[g] = vec_select(in[g], (r2[g] - i2[g]) + batch->cr[g], zr[g]);
            zi[g] = vec_select(in[g], vec_twice_plus(product, batch->ci[g]), zi[g]);
            n[g] = ivec_count(in[g], n[g]);
            r2[g] = zr[g] * zr[g];
            i2[g] = zi[g] * zi[g];
            in[g] = vec_bounded(r2[g] + i2[g]);
        }
    }
    for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
        batch->zr[g] = zr[g];
        batch->zi[g] = zi[g];
        batch->n[g] = n[g];
        batch->bounded[g] = mask_bits(in[g]);
    }
}

/* |z|^2 a few steps later, for a group that has escaped. */
static inline vec batch_norm(const struct simd_batch *batch, int g)
{
    vec zr = batch->zr[g];
    vec zi = batch->zi[g];
    vec r2 = zr * zr;
    vec i2 = zi * zi;

    for (int k = 0; k < MANDEL_STEPS_BEYOND; k++) {
        vec product = zr * zi;
        zr = (r2 - i2) + batch->cr[g];
        zi = vec_twice_plus(product, batch->ci[g]);
        r2 = zr * zr;
        i2 = zi * zi;
    }
    return r2 + i2;
}

static void late_flush(struct simd_run *run)
{
    struct simd_batch *late = &run->late;

    for (uint32_t i = run->late_n; i < SIMD_BATCH; i++) {
        *lane_of(late->zr, i) = *lane_of(late->zi, i) = 0.0;
        *lane_of(late->cr, i) = *lane_of(late->ci, i) = 0.0;
    }
    batch_run(late, SIMD_BLOCK);
    for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
        vec norm = batch_norm(late, g);
        for (uint32_t lane = 0; lane < SIMD_LANES; lane++) {
            uint32_t i = (uint32_t)g * SIMD_LANES + lane;
            if (i >= run->late_n)
                break;
            assert(!(late->bounded[g] & (1u << lane)));
            run->counts[run->late_index[i]] = (uint32_t)late->n[g][lane];
            run->norms[run->late_index[i]] = norm[lane];
        }
    }
    run->late_n = 0;
}

/* Slot @slot escapes within the block that follows its kept state. */
static void late_push(struct simd_run *run, unsigned slot)
{
    struct simd_slots *slots = &run->slots;
    uint32_t i = run->late_n++;

    *lane_of(run->late.zr, i) = *lane_of(slots->zr, slot);
    *lane_of(run->late.zi, i) = *lane_of(slots->zi, slot);
    *lane_of(run->late.cr, i) = *lane_of(slots->cr, slot);
    *lane_of(run->late.ci, i) = *lane_of(slots->ci, slot);
    ((int64_t *)run->late.n)[i] =
        run->steps_first + (int64_t)(run->blocks - slots->left[slot]) * SIMD_BLOCK;
    run->late_index[i] = slots->index[slot];
    if (run->late_n == SIMD_BATCH)
        late_flush(run);
}

/* Puts the next survivor into @slot, or leaves it idle: 0 stays 0 for ever and disturbs nobody. */
static void slot_fill(struct simd_run *run, unsigned slot)
{
    struct simd_slots *slots = &run->slots;
    double zr = 0.0, zi = 0.0, cr = 0.0, ci = 0.0;

    slots->left[slot] = UINT32_MAX;
    slots->mark_left[slot] = 0;
    slots->idle |= UINT64_C(1) << slot;
    if (run->queue_n > 0) {
        uint32_t i = --run->queue_n;
        zr = run->queue_zr[i];
        zi = run->queue_zi[i];
        cr = run->queue_cr[i];
        ci = run->queue_ci[i];
        slots->index[slot] = run->queue_index[i];
        slots->left[slot] = run->blocks;
        slots->mark_left[slot] =
            run->blocks > SIMD_MARK_BLOCKS ? run->blocks - SIMD_MARK_BLOCKS : 0;
        slots->idle &= ~(UINT64_C(1) << slot);
    }
    *lane_of(slots->zr, slot) = zr;
    *lane_of(slots->zi, slot) = zi;
    *lane_of(slots->cr, slot) = cr;
    *lane_of(slots->ci, slot) = ci;
    *lane_of(slots->mark_zr, slot) = *lane_of(slots->mark_zi, slot) = 8.0; /* never met inside */
}

#define SIMD_LOAD(g)                                                                               \
    vec zr##g = slots->zr[g];                                                                      \
    vec zi##g = slots->zi[g];
#define SIMD_STEP(g)                                                                               \
    {                                                                                              \
        vec product = zr##g * zi##g;                                                               \
        zr##g = (zr##g * zr##g - zi##g * zi##g) + slots->cr[g];                                    \
        zi##g = vec_twice_plus(product, slots->ci[g]);                                             \
        SIMD_PIN(zr##g, zi##g);                                                                    \
    }
#define SIMD_STORE(g)                                                                              \
    slots->ahead_zr[g] = zr##g;                                                                    \
    slots->ahead_zi[g] = zi##g;

/*
 * The hot loop: one block from the kept state to the state ahead. A function of its own and each
 * group in variables of its own, because no compiler keeps arrays in registers reliably.
 */
static __attribute__((noinline)) void slots_block(struct simd_slots *slots)
{
    SIMD_EACH_GROUP(SIMD_LOAD)
    for (int step = 0; step < SIMD_BLOCK; step++) {
        SIMD_EACH_GROUP(SIMD_STEP)
    }
    SIMD_EACH_GROUP(SIMD_STORE)
}

/* The slots that are out at the state ahead; most of the time none, which is found out at once. */
static inline uint64_t slots_escaped(const struct simd_slots *slots)
{
    mask in[SIMD_GROUPS];
    uint64_t escaped = 0;

    for (int g = 0; g < SIMD_GROUPS; g++) {
        vec zr = slots->ahead_zr[g];
        vec zi = slots->ahead_zi[g];
        in[g] = vec_bounded(zr * zr + zi * zi);
    }
    mask all = in[0];
    for (int g = 1; g < SIMD_GROUPS; g++)
        all = mask_and(all, in[g]);
    if (mask_bits(all) == SIMD_ALL)
        return 0;
    for (int g = 0; g < SIMD_GROUPS; g++)
        escaped |= (uint64_t)(~mask_bits(in[g]) & SIMD_ALL) << (g * SIMD_LANES);
    return escaped;
}

/* The slots that are back at their mark at the state ahead. */
static inline uint64_t slots_cycle(const struct simd_slots *slots)
{
    uint64_t cycle = 0;

    for (int g = 0; g < SIMD_GROUPS; g++) {
        mask met = mask_and(vec_equal(slots->ahead_zr[g], slots->mark_zr[g]),
                            vec_equal(slots->ahead_zi[g], slots->mark_zi[g]));
        cycle |= (uint64_t)mask_bits(met) << (g * SIMD_LANES);
    }
    return cycle;
}

/*
 * Runs at most @blocks blocks, keeping each in which nobody escapes and nobody closes a cycle.
 * @kept_out says how many those were. Returns the slots that escaped in the one after; @cycle_out
 * has those that closed a cycle in it.
 */
static inline __attribute__((always_inline)) uint64_t slots_run(
    struct simd_slots *slots, uint32_t blocks, bool cycles, uint32_t *kept_out, uint64_t *cycle_out)
{
    uint64_t escaped = 0;
    uint64_t cycle = 0;
    uint32_t block;

    for (block = 0; block < blocks; block++) {
        slots_block(slots);
        escaped = slots_escaped(slots);
        if (cycles)
            cycle = slots_cycle(slots);
        if (escaped || cycle)
            break;
        memcpy(slots->zr, slots->ahead_zr, sizeof(slots->zr));
        memcpy(slots->zi, slots->ahead_zi, sizeof(slots->zi));
    }
    *kept_out = block;
    *cycle_out = cycle;
    return escaped;
}

/* Moves the marks that are due: at doubling distances, so that a cycle of any length is met. */
static void slots_mark(struct simd_run *run)
{
    struct simd_slots *slots = &run->slots;

    for (unsigned slot = 0; slot < SIMD_SLOTS; slot++) {
        if (slots->left[slot] > slots->mark_left[slot])
            continue;
        uint32_t age = run->blocks - slots->left[slot];
        slots->mark_left[slot] = slots->left[slot] > age ? slots->left[slot] - age : 0;
        *lane_of(slots->mark_zr, slot) = *lane_of(slots->zr, slot);
        *lane_of(slots->mark_zi, slot) = *lane_of(slots->zi, slot);
    }
}

/* Blocks until the first slot has all its iterations behind it. */
static inline uint32_t slots_blocks(const struct simd_slots *slots)
{
    uint32_t least = UINT32_MAX;

    for (unsigned slot = 0; slot < SIMD_SLOTS; slot++)
        least = slots->left[slot] < least ? slots->left[slot] : least;
    return least;
}

/* Takes @blocks off every slot that is not idle and fills those that have none left. */
static void slots_elapse(struct simd_run *run, uint32_t blocks)
{
    struct simd_slots *slots = &run->slots;
    uint64_t over = 0;

    for (unsigned slot = 0; slot < SIMD_SLOTS; slot++) {
        uint32_t left = slots->left[slot];
        slots->left[slot] = left == UINT32_MAX ? left : left - blocks;
        over |= (uint64_t)(slots->left[slot] == 0) << slot;
    }
    for (; over; over &= over - 1)
        slot_fill(run, (unsigned)__builtin_ctzll(over)); /* inside: its count is 0 already */
}

/* The block after the kept ones had events: settles them and keeps the block for all others. */
static void slots_settle(struct simd_run *run, uint64_t escaped, uint64_t cycle)
{
    struct simd_slots *slots = &run->slots;

    for (uint64_t set = escaped; set; set &= set - 1)
        late_push(run, (unsigned)__builtin_ctzll(set));
    memcpy(slots->zr, slots->ahead_zr, sizeof(slots->zr));
    memcpy(slots->zi, slots->ahead_zi, sizeof(slots->zi));
    for (uint64_t set = escaped | cycle; set; set &= set - 1)
        slots->left[__builtin_ctzll(set)] = 1; /* nothing left after this block */
    slots_elapse(run, 1);
}

static void slots_fill_idle(struct simd_run *run)
{
    for (uint64_t idle = run->slots.idle; idle && run->queue_n; idle &= idle - 1)
        slot_fill(run, (unsigned)__builtin_ctzll(idle));
}

/*
 * Iterates survivors: until the queue is empty and a slot idle, or with @drain until all are done.
 * Returns 0 or KITH_E_CANCELED.
 */
static inline __attribute__((always_inline)) int
survivors_run(struct simd_run *run, bool drain, bool cycles)
{
    const uint64_t all_idle =
        SIMD_SLOTS == 64 ? UINT64_MAX : (UINT64_C(1) << (SIMD_SLOTS % 64)) - 1;

    for (;;) {
        uint32_t kept;
        uint64_t cycle;
        slots_fill_idle(run);
        if (run->slots.idle == all_idle || (run->slots.idle && !drain))
            return 0;
        uint32_t blocks = slots_blocks(&run->slots);
        uint32_t blocks_max = cycles ? SIMD_MARK_BLOCKS : SIMD_CANCEL_BLOCKS;
        blocks = blocks < blocks_max ? blocks : blocks_max;
        uint64_t escaped = slots_run(&run->slots, blocks, cycles, &kept, &cycle);
        slots_elapse(run, kept);
        if (escaped || cycle)
            slots_settle(run, escaped, cycle);
        run->blocks_unmarked += kept + 1;
        if (cycles && run->blocks_unmarked >= SIMD_MARK_BLOCKS) {
            run->blocks_unmarked = 0;
            slots_mark(run);
        }
        run->blocks_asked += kept + 1;
        if (run->blocks_asked < SIMD_CANCEL_BLOCKS)
            continue;
        run->blocks_asked = 0;
        if (run->points->cancelled && run->points->cancelled(run->points->user))
            return KITH_E_CANCELED;
    }
}

static int survivors(struct simd_run *run, bool drain)
{
    return run->points->shortcuts ? survivors_run(run, drain, true)
                                  : survivors_run(run, drain, false);
}

/* Those of @batch that are still inside after the first pass wait for the second half. */
static void
queue_push(struct simd_run *run, struct simd_batch *batch, int g, unsigned set, uint32_t index)
{
    for (; set; set &= set - 1) {
        unsigned lane = (unsigned)__builtin_ctz(set);
        unsigned slot = (unsigned)g * SIMD_LANES + lane;
        double cr = *lane_of(batch->cr, slot);
        double ci = *lane_of(batch->ci, slot);
        if (cr * cr + ci * ci > SIMD_MARGINAL) {
            run->counts[index + lane] =
                mandel_point(cr, ci, run->points->iterations, &run->norms[index + lane]);
            continue;
        }
        uint32_t i = run->queue_n++;
        run->queue_zr[i] = *lane_of(batch->zr, slot);
        run->queue_zi[i] = *lane_of(batch->zi, slot);
        run->queue_cr[i] = cr;
        run->queue_ci[i] = ci;
        run->queue_index[i] = index + lane;
    }
}

/* The lanes of a group that the formulas know to be inside. */
static inline unsigned group_inside(vec cr, vec ci)
{
    vec x = cr - 0.25;
    vec y2 = ci * ci;
    vec q = x * x + y2;
    vec bulb = (cr + 1.0) * (cr + 1.0) + y2;

    return mask_bits(vec_less(bulb, vec_all(MANDEL_BULB_RADIUS2))) |
           mask_bits(vec_less(q * (q + (x + MANDEL_CARDIOID_MARGIN)), 0.25 * y2));
}

/* Counts the SIMD_BATCH points at @re, in row @y, of which @n (from @index on) are real. */
static void
first_pass(struct simd_run *run, const double *re, uint32_t y, uint32_t n, uint32_t index)
{
    struct simd_batch batch;
    unsigned inside[SIMD_BATCH_GROUPS];
    unsigned outside_any = 0;

    memcpy(batch.cr, re, sizeof(batch.cr));
    for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
        batch.ci[g] = vec_all(run->points->im[y]);
        batch.zr[g] = batch.cr[g]; /* the first step, from 0, leads to c */
        batch.zi[g] = batch.ci[g];
        batch.n[g] = (ivec){0} + 1;
        inside[g] = run->points->shortcuts ? group_inside(batch.cr[g], batch.ci[g]) : 0;
        outside_any |= ~inside[g] & SIMD_ALL;
    }
    if (!outside_any) {
        memset(&run->counts[index], 0, n * sizeof(*run->counts));
        memset(&run->norms[index], 0, n * sizeof(*run->norms));
        return;
    }
    batch_run(&batch, run->steps_first - 1);

    for (int g = 0; g < SIMD_BATCH_GROUPS; g++) {
        uint32_t at = (uint32_t)g * SIMD_LANES;
        if (at >= n)
            break;
        uint32_t real_n = n - at < SIMD_LANES ? n - at : SIMD_LANES;
        unsigned bounded = batch.bounded[g];
        vec norm = batch_norm(&batch, g);
        cvec count = __builtin_convertvector(batch.n[g], cvec);
        for (unsigned set = bounded; set; set &= set - 1)
            count[__builtin_ctz(set)] = 0;
        if (real_n == SIMD_LANES) {
            memcpy(&run->counts[index + at], &count, sizeof(count));
            memcpy(&run->norms[index + at], &norm, sizeof(norm));
        } else {
            memcpy(&run->counts[index + at], &count, real_n * sizeof(*run->counts));
            memcpy(&run->norms[index + at], &norm, real_n * sizeof(*run->norms));
        }
        bounded &= ~inside[g] & ((1u << real_n) - 1);
        if (bounded && run->blocks)
            queue_push(run, &batch, g, bounded, index + at);
    }
}

static int simd_count(const struct mandel_points *points, uint32_t *counts, double *norms)
{
    struct simd_run run;
    double tail[SIMD_BATCH];

    run.points = points;
    run.counts = counts;
    run.norms = norms;
    run.steps_first = points->iterations;
    run.blocks = 0;
    if (points->iterations > SIMD_FIRST_STEPS) {
        run.steps_first = SIMD_FIRST_STEPS + (points->iterations - SIMD_FIRST_STEPS) % SIMD_BLOCK;
        run.blocks = (points->iterations - run.steps_first) / SIMD_BLOCK;
    }
    run.slots.idle = 0;
    run.blocks_asked = run.blocks_unmarked = run.queue_n = run.late_n = 0;
    for (unsigned slot = 0; slot < SIMD_SLOTS; slot++)
        slot_fill(&run, slot);

    for (uint32_t y = 0; y < points->height; y++) {
        if (points->cancelled && points->cancelled(points->user))
            return KITH_E_CANCELED;
        for (uint32_t x = 0; x < points->width; x += SIMD_BATCH) {
            uint32_t n = points->width - x;
            const double *re = &points->re[x];
            if (n < SIMD_BATCH) {
                for (uint32_t i = 0; i < SIMD_BATCH; i++)
                    tail[i] = points->re[x + (i < n ? i : n - 1)];
                re = tail;
            }
            first_pass(&run, re, y, n < SIMD_BATCH ? n : SIMD_BATCH, y * points->width + x);
            if (run.queue_n > SIMD_QUEUE - SIMD_BATCH && survivors(&run, false))
                return KITH_E_CANCELED;
        }
    }
    if (survivors(&run, true))
        return KITH_E_CANCELED;
    if (run.late_n)
        late_flush(&run);
    return 0;
}

#endif
