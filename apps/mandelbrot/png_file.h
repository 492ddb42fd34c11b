/* Writes a picture to a PNG file, all or nothing. */
#ifndef MANDELBROT_PNG_FILE_H
#define MANDELBROT_PNG_FILE_H

#include "picture.h"

#define PNG_FILE_WHY_BYTES 512

/*
 * Opens a new file beside @path, which png_file_write() puts in its place. Done before anything is
 * drawn, so that a path that cannot be written is known at once.
 */
struct png_file {
    char *path;
    char *path_new;
    int fd;
};

/* Returns true; false with a sentence in @why. png_file_close() in any case. */
bool png_file_open(struct png_file *file, const char *path, char *why);

/*
 * Writes @picture, 8-bit RGB, and renames it to its path. @hash_out gets FNV-1a, 64 bits, of the
 * colours row by row. Returns true; false with a sentence in @why, and an older file stays as it
 * was.
 */
bool png_file_write(
    struct png_file *file, const struct picture *picture, bool tint, uint64_t *hash_out, char *why);

/* Removes what was not completed. May run twice, and on a zeroed file. */
void png_file_close(struct png_file *file);

#endif
