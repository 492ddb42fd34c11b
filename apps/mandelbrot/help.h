/* What kith-mandelbrot says of itself. */
#ifndef MANDELBROT_HELP_H
#define MANDELBROT_HELP_H

#include <stdio.h>

void help_write(FILE *file); /* --help */
void man_write(FILE *file);  /* the manual page, for troff: --help --man */

#endif
