/*
 * Text that grows, with numbers that are written the same everywhere.
 */
#ifndef WHITEBOARD_OUT_H
#define WHITEBOARD_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed is empty. After a failed allocation it takes nothing more and @failed says so. */
struct board_out {
    char *data; /* the caller frees it; not terminated */
    size_t len;
    size_t room;
    bool failed;
};

void board_out_raw(struct board_out *out, const char *data, size_t len);
void board_out_text(struct board_out *out, const char *text);
/* Up to @digits decimals; @value times 10^@digits must be below 2^53. */
void board_out_number(struct board_out *out, double value, unsigned digits);
/* @format: texts between numbers of two decimals, each of which stands where a # is. */
void board_out_numbers(struct board_out *out, const char *format, const double *values);
/* With what XML wants escaped. */
void board_out_escaped(struct board_out *out, const char *text, size_t len);
void board_out_base64(struct board_out *out, const uint8_t *data, size_t len);

#endif
