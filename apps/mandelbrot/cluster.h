/* Draws a picture with all nodes of a cluster. */
#ifndef MANDELBROT_CLUSTER_H
#define MANDELBROT_CLUSTER_H

#include "options.h"
#include "picture.h"
#include "report.h"

#include <signal.h>

#define CLUSTER_WHY_BYTES 1024

/*
 * Joins the cluster of options->agent as a program, has all of @picture drawn by the nodes that
 * offer mandelbrot.tile, and tells @report. Only if none does, this program draws as well, and
 * says so. Cancels once @stop is not 0.
 *
 * Returns 0, KITH_E_CANCELED, KITH_E_NO_AGENT, or another error; @why has a sentence.
 */
int cluster_draw(const struct options *options,
                 struct picture *picture,
                 struct report *report,
                 const volatile sig_atomic_t *stop,
                 char why[CLUSTER_WHY_BYTES]);

#endif
