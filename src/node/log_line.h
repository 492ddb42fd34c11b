/*
 * One line of a log, formatted into a fixed buffer: logfmt or JSON, escaped, with secrets hidden.
 */
#ifndef NODE_LOG_LINE_H
#define NODE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "kith/node.h"

struct log_record {
    uint64_t unix_ms;
    enum kith_log_level level;
    const char *log; /* "app" or "access"; NULL for the system log */
    const char *area;
    const char *message;
    const char *const *pairs; /* key, value, key, value, ... */
    size_t pairs_n;
};

/* A line with a newline and a NUL behind it fits a pipe's atomic write. */
#define LOG_LINE_BYTES (NODE_LOG_LINE_BYTES_MAX + 2)

struct log_line {
    size_t len;      /* without the final newline, which is not there yet */
    size_t time_len; /* logfmt: bytes of "time=... " in front; JSON: of {"time":"...", */
    char text[LOG_LINE_BYTES + 96]; /* room for the prefix and for repeated= */
};

/* Formats @record; always gives a whole line, valid JSON if @json. What does not fit is cut. */
void log_line_format(struct log_line *line, const struct log_record *record, bool json);
/*
 * The same line once more, at another time and with repeated=@n at its end. What it takes of the
 * line's text is as log_line_format() left it.
 */
void log_line_repeat(struct log_line *line, uint64_t unix_ms, uint64_t n, bool json);

#endif
