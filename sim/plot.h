/*
 * Faults that follow each other as in the histories that break a rule when it is missing (protocols
 * section 4): chance alone finds most of them in thousands of seeds only. Roles and times are
 * drawn. They happen instead of most other faults, again and again while the clients work.
 */
#ifndef SIM_PLOT_H
#define SIM_PLOT_H

#include "state_world.h"

enum plot_kind {
    PLOT_NONE,
    PLOT_MINT,       /* more nodes than are waited for, which do not all hear each other */
    PLOT_SITOUT,     /* a voter acknowledges a lease, restarts, and is asked to promise */
    PLOT_NESTING,    /* a keeper hears the leader alone, which hears no other voter */
    PLOT_ONLY_VOTER, /* the only voter restarts and excludes whom it granted a lease */
    PLOT_OLD_DISK,   /* a voter comes back with a disk from before what it voted for */
    PLOT_JOINT,      /* the old voters elect another, the new ones acknowledge the leader */
    PLOT_ONLY_DISK,  /* a disk comes back from when its node was the only voter */
    PLOT_HOLDER,     /* who holds a mutex is cut off, or its home, at a moment of recovery */
    PLOTS_N,
};

struct plot {
    struct state_world *sw;
    enum plot_kind kind;
    unsigned step;
    size_t leader, a, b;
    size_t copied; /* whose disk was, while it was the only voter */
    bool watching; /* for the moment that the plot wants */
};

/* What the cluster must be like; before sw_init(). */
void plot_options(enum plot_kind kind, uint64_t seed, struct state_options *options);
/* After sw_init(): what the cores must be like. */
void plot_init(struct plot *plot, struct state_world *sw, enum plot_kind kind);
/* While nodes start, and once they are one cluster. */
void plot_form(struct plot *plot);
void plot_start(struct plot *plot);
/* A node has done something. */
void plot_stepped(struct plot *plot, struct hs *hs);

#endif
