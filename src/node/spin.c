#include "node/spin.h"

void spin_init(struct spin *spin, uint64_t budget_ns)
{
    *spin = (struct spin){.budget_ns = budget_ns};
}

/* A probe lasts as long as the sleep that it replaces took: the other end sleeps too, so what it
 * sends is late by the time that waking it takes, and no spin of the budget alone would see it. */
static uint64_t probe_ns(const struct spin *spin, const struct spin_habit *habit)
{
    uint64_t ns = habit->gap_ns < SPIN_PROBE_MAX_NS ? habit->gap_ns : SPIN_PROBE_MAX_NS;
    return ns > spin->budget_ns ? ns : spin->budget_ns;
}

uint64_t spin_budget_ns(const struct spin *spin, enum spin_wait wait, uint64_t now_ns)
{
    const struct spin_habit *habit = &spin->habits[wait];
    if (spin->budget_ns == 0 || !habit->on || habit->skip > 0 || now_ns < spin->hog_until_ns)
        return 0;
    if (!habit->caught)
        return probe_ns(spin, habit);
    return habit->reach_ns > spin->budget_ns ? habit->reach_ns : spin->budget_ns;
}

/* What was asked for comes about as late as before, so behind a spin that caught such an answer the
 * next one lasts long enough for that. What nobody asked for has to come within the budget. */
static uint64_t reach_ns(const struct spin_habit *habit, enum spin_wait wait, uint64_t waited_ns)
{
    uint64_t ns = waited_ns + waited_ns / 2;
    if (wait == SPIN_FOR_REQUESTS)
        return 0;
    if (ns < habit->reach_ns)
        return habit->reach_ns - (habit->reach_ns - ns) / SPIN_REACH_PART;
    return ns < SPIN_PROBE_MAX_NS ? ns : SPIN_PROBE_MAX_NS;
}

void spin_caught(struct spin *spin, enum spin_wait wait, uint64_t waited_ns)
{
    struct spin_habit *habit = &spin->habits[wait];
    habit->reach_ns = reach_ns(habit, wait, waited_ns);
    spin->spins_n++;
    spin->hits_n++;
    if (habit->caught)
        habit->penalty /= 2;
    habit->caught = true;
}

void spin_missed(struct spin *spin, enum spin_wait wait)
{
    struct spin_habit *habit = &spin->habits[wait];
    spin->spins_n++;
    habit->caught = false;
    habit->penalty = habit->penalty == 0 ? 1 : habit->penalty * 2;
    if (habit->penalty > SPIN_PENALTY_MAX)
        habit->penalty = SPIN_PENALTY_MAX;
    habit->skip = habit->penalty;
}

void spin_woken(struct spin *spin, enum spin_wait wait, uint64_t gap_ns)
{
    struct spin_habit *habit = &spin->habits[wait];
    habit->on = gap_ns <= SPIN_GAP_NS;
    habit->caught = false;
    habit->gap_ns = gap_ns;
    if (habit->on && habit->skip > 0)
        habit->skip--;
}

bool spin_yielded(struct spin *spin, uint64_t now_ns, uint64_t took_ns, bool own)
{
    if (took_ns <= (own ? SPIN_OWN_NS : SPIN_YIELD_NS))
        return false;
    uint64_t pause_ns = took_ns * SPIN_HOG_TIMES;
    spin->hog_until_ns = now_ns + (pause_ns < SPIN_HOG_PAUSE_NS ? pause_ns : SPIN_HOG_PAUSE_NS);
    return true;
}
