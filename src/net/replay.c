/*
 * A ring of bits. Moving the window forward clears the bits it passes, whole words where it can.
 */
#include "net/replay.h"

#include <string.h>

void replay_reset(struct replay *replay)
{
    memset(replay, 0, sizeof *replay);
}

void replay_floor(struct replay *replay, uint64_t next)
{
    memset(replay->bits, 0xff, sizeof replay->bits);
    replay->next = next;
}

static void clear_range(struct replay *replay, uint64_t from, uint64_t to)
{
    if (to - from >= NET_REPLAY_WINDOW) {
        memset(replay->bits, 0, sizeof replay->bits);
        return;
    }
    for (uint64_t c = from; c != to; c++)
        replay->bits[c / 64 % REPLAY_WORDS] &= ~(UINT64_C(1) << c % 64);
}

bool replay_take(struct replay *replay, uint64_t counter)
{
    uint64_t *word = &replay->bits[counter / 64 % REPLAY_WORDS];
    uint64_t bit = UINT64_C(1) << counter % 64;

    if (counter == UINT64_MAX) /* next could not be told from "none" */
        return false;
    if (counter >= replay->next) {
        clear_range(replay, replay->next, counter + 1);
        replay->next = counter + 1;
    } else if (replay->next - counter > NET_REPLAY_WINDOW) {
        return false;
    }
    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}
