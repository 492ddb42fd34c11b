/*
 * Random histories: each seed draws which faults there are, then lets them loose on a cluster, then
 * heals it and wants it well within a minute.
 */
#include <stdio.h>

#include "test_view_world.h"

struct faults {
    bool crashes, pauses, cuts, restores, wipes, leaves;
    bool goodbyes; /* ... without giving anything away first */
    bool total;    /* all go down at once */
};

static bool chance(struct vw *w, double p)
{
    return rng_unit(&w->rng) < p;
}

static struct faults draw(struct vw *w)
{
    struct faults f = {
        .crashes = chance(w, 0.7),
        .pauses = chance(w, 0.6),
        .cuts = chance(w, 0.6),
        .total = chance(w, 0.3),
        .leaves = chance(w, 0.3),
        .goodbyes = chance(w, 0.3),
    };
    w->loss = chance(w, 0.6) ? rng_unit(&w->rng) * 0.3 : 0;
    w->twice = chance(w, 0.5) ? rng_unit(&w->rng) * 0.5 : 0;
    w->late = chance(w, 0.5) ? 0.01 + rng_unit(&w->rng) * 0.05 : 0;
    w->delay_us = (uint32_t)(200 + rng_below(&w->rng, 60000));
    w->sync_us = (uint32_t)rng_below(&w->rng, chance(w, 0.2) ? 1000000 : 20000);
    bool rates = chance(w, 0.7);
    for (size_t i = 0; i < w->nodes_n; i++) {
        double extreme = chance(w, 0.5) ? 0.9 : 1.1;
        w->nodes[i].rate = !rates ? 1.0 : chance(w, 0.5) ? extreme : 0.9 + rng_unit(&w->rng) * 0.2;
    }
    return f;
}

static void disturb(struct vw *w, const struct faults *f)
{
    size_t i = (size_t)rng_below(&w->rng, w->nodes_n);
    size_t j = (size_t)rng_below(&w->rng, w->nodes_n);
    bool up = w->nodes[i].core != NULL;

    switch (rng_below(&w->rng, 8)) {
    case 0:
        if (f->goodbyes && up && chance(w, 0.3))
            vw_goodbye(w, i);
        else if (f->crashes && up)
            vw_crash(w, i);
        /* A restart that nobody had time to notice proves the death. */
        if (w->nodes[i].core == NULL && chance(w, 0.4))
            vw_boot(w, i);
        break;
    case 1:
    case 2:
        if (!up)
            vw_boot(w, i);
        break;
    case 3:
        if (f->pauses && up)
            vw_pause(w, i, 1 + rng_below(&w->rng, chance(w, 0.2) ? 20000 : 3000));
        break;
    case 4:
        if (f->cuts && i != j)
            w->cut[i][j] = true; /* one way */
        if (f->cuts && i != j && chance(w, 0.7))
            w->cut[j][i] = true;
        break;
    case 5:
        memset(w->cut, 0, sizeof(w->cut));
        break;
    case 6:
        if (f->total && chance(w, 0.3)) {
            for (size_t k = 0; k < w->nodes_n; k++)
                vw_crash(w, k);
        }
        if (f->cuts && chance(w, 0.3)) {
            for (size_t k = 0; k < w->nodes_n; k++)
                vw_cut(w, i, k, k != i);
        }
        break;
    default:
        if (f->leaves && up && chance(w, 0.3))
            (void)vw_event(w, i, &(struct view_event){.type = VIEW_LEAVE});
        for (size_t k = 0; k < w->nodes_n; k++) {
            if (w->nodes[k].core != NULL && w->nodes[k].left) {
                vw_crash(w, k);
                w->nodes[k].left = false;
            }
        }
    }
}

bool vw_history(size_t n, uint64_t seed, uint64_t for_ms, char why_out[256])
{
    struct vw *w = vw_new(n, seed);
    struct faults f = draw(w);
    bool together = n > 1 && chance(w, 0.4);

    for (size_t i = 0; i < n; i++)
        vw_boot(w, i);
    for (size_t i = 0; i < n; i++) {
        if (together || i == 0)
            (void)vw_bootstrap(w, i, together ? (uint32_t)(n > 7 ? 7 : n) : 1);
    }
    vw_run(w, rng_below(&w->rng, 15000));
    uint64_t until = w->now_us + for_ms * 1000;
    while (w->now_us < until && !w->broken) {
        disturb(w, &f);
        vw_run(w, 20 + rng_below(&w->rng, chance(w, 0.5) ? 400 : 4000));
    }
    /* Health. Who waited with others for a first view waits for all of them again. */
    vw_heal(w);
    w->sync_us = 5000;
    w->delay_us = 2000;
    for (size_t i = 0; i < n && !w->broken; i++) {
        if (w->nodes[i].core != NULL && w->nodes[i].core->leaving)
            vw_crash(w, i);
        if (w->nodes[i].core == NULL)
            vw_boot(w, i);
        if (!w->broken && view_placement(w->nodes[i].core)->epoch == 0 && (together || i == 0))
            (void)vw_bootstrap(w, i, together ? (uint32_t)(n > 7 ? 7 : n) : 1);
    }
    /* The longest hold-down of one that was excluded several times, and a disk that is waited for.
     */
    bool well = n > 7 || vw_until(w, vw_well, NULL, 700000);
    if (!w->broken && !well)
        (void)snprintf(w->why, sizeof(w->why), "not well again after the faults");
    bool good = well && !w->broken;
    if (!good)
        memcpy(why_out, w->why, 256);
    vw_free(w);
    return good;
}
