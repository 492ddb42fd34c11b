/*
 * Lines of letters as the page sets them: the same choice of fonts, no hinting, the baseline where
 * it is asked for. Only this file knows Pango.
 */
#ifndef WHITEBOARD_LETTERS_H
#define WHITEBOARD_LETTERS_H

#include <cairo.h>
#include <stddef.h>

struct letters;

struct letters *letters_new(void);          /* NULL: no memory */
void letters_free(struct letters *letters); /* NULL is fine */

/* Paints the line @text with letters of @size, its baseline from (@x, @y) on to the right. */
void letters_show(struct letters *letters,
                  cairo_t *cr,
                  const char *text,
                  size_t len,
                  double size,
                  double x,
                  double y);

#endif
