/* Counters of one writer, kept as runs: mostly there is one. */
#include <stdlib.h>
#include <string.h>

#include "place.h"

bool wb_counters_have(const struct wb_counters *counters, uint32_t counter)
{
    for (size_t i = counters->n; i > 0; i--) /* mostly the last */
        if (counter >= counters->runs[i - 1].from)
            return counter <= counters->runs[i - 1].to;
    return false;
}

int wb_counters_add(struct wb_counters *counters, uint32_t counter)
{
    size_t at = counters->n;

    while (at > 0 && counter < counters->runs[at - 1].from)
        at--;
    if (at > 0 && counter <= counters->runs[at - 1].to)
        return 0;
    bool behind = at > 0 && counters->runs[at - 1].to + 1 == counter;
    bool before = at < counters->n && counters->runs[at].from == counter + 1;
    if (behind && before) {
        counters->runs[at - 1].to = counters->runs[at].to;
        memmove(counters->runs + at, counters->runs + at + 1,
                (counters->n - at - 1) * sizeof(*counters->runs));
        counters->n--;
    } else if (behind) {
        counters->runs[at - 1].to = counter;
    } else if (before) {
        counters->runs[at].from = counter;
    } else {
        if (counters->n == counters->room) {
            size_t room = counters->room != 0 ? 2 * counters->room : 4;
            struct wb_run *grown = realloc(counters->runs, room * sizeof(*grown));
            if (grown == NULL)
                return KITH_E_MEMORY;
            counters->runs = grown;
            counters->room = room;
        }
        memmove(counters->runs + at + 1, counters->runs + at,
                (counters->n - at) * sizeof(*counters->runs));
        counters->runs[at] = (struct wb_run){counter, counter};
        counters->n++;
    }
    return 0;
}

void wb_counters_drop(struct wb_counters *counters)
{
    free(counters->runs);
    *counters = (struct wb_counters){0};
}
