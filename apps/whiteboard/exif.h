/*
 * How a camera was held, as it noted it in a JPEG.
 */
#ifndef WHITEBOARD_EXIF_H
#define WHITEBOARD_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* Which of the eight ways, 1 to 8, from the body of an EXIF segment; 1 (upright) if it does not
 * say, or is none. */
unsigned exif_orientation(const uint8_t *data, size_t len);

#endif
