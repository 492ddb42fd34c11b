#include "node/spin.h"

void spin_init(struct spin *spin, uint64_t budget_ns)
{
    *spin = (struct spin){.budget_ns = budget_ns};
}

bool spin_wanted(const struct spin *spin, enum spin_wait wait, uint64_t now_ns)
{
    const struct spin_habit *habit = &spin->habits[wait];
    return spin->budget_ns != 0 && habit->on && habit->skip == 0 && now_ns >= spin->hog_until_ns;
}

void spin_ended(struct spin *spin, enum spin_wait wait, bool hit)
{
    struct spin_habit *habit = &spin->habits[wait];
    spin->spins_n++;
    if (hit) {
        spin->hits_n++;
        habit->penalty /= 2;
        return;
    }
    habit->penalty = habit->penalty == 0 ? 1 : habit->penalty * 2;
    if (habit->penalty > SPIN_PENALTY_MAX)
        habit->penalty = SPIN_PENALTY_MAX;
    habit->skip = habit->penalty;
}

void spin_woken(struct spin *spin, enum spin_wait wait, uint64_t gap_ns)
{
    struct spin_habit *habit = &spin->habits[wait];
    habit->on = gap_ns <= SPIN_GAP_NS;
    if (habit->on && habit->skip > 0)
        habit->skip--;
}

bool spin_yielded(struct spin *spin, uint64_t now_ns, uint64_t took_ns)
{
    if (took_ns <= SPIN_YIELD_NS)
        return false;
    spin->hog_until_ns = now_ns + SPIN_HOG_PAUSE_NS;
    return true;
}
