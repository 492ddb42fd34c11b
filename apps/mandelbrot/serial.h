/* Draws a picture on this machine alone. */
#ifndef MANDELBROT_SERIAL_H
#define MANDELBROT_SERIAL_H

#include "options.h"
#include "picture.h"
#include "report.h"

#include <signal.h>

/*
 * Draws all of @picture with options->threads threads and tells @report. Ends early once @stop is
 * not 0. Returns 0, KITH_E_CANCELED, KITH_E_MEMORY or KITH_E_LIMIT (no thread could be started).
 */
int serial_draw(const struct options *options,
                struct picture *picture,
                struct report *report,
                const volatile sig_atomic_t *stop);

#endif
