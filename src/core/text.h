/*
 * Text that people write: sizes, times, booleans, names, addresses, and the nearest known word.
 */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Every parser here wants the whole text, takes no blanks, leaves its result alone unless it gives
 * 0, and takes NULL as a text that is wrong.
 */

/* "30s", "500ms", "2m", "1h", "1d", "1h30m"; a bare number is seconds ("1.5" is fine). 0 or
 * KITH_E_PARSE. */
int text_parse_duration_ms(const char *text, uint64_t *ms_out);
/* "8G", "64k", "10MiB", "10MB", "1.5G", "123" (all powers of 1,024). 0 or KITH_E_PARSE. */
int text_parse_size(const char *text, uint64_t *bytes_out);
/* Decimal digits only. 0, or KITH_E_PARSE also if it is below @min or above @max. */
int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value_out);
int text_parse_f64(const char *text,
                   double *value_out); /* finite only, independent of the locale */
/* yes no true false on off 1 0 */
int text_parse_bool(const char *text, bool *value_out);

/* For people: "1.5 GiB", "2m10s". @out of @out_bytes; returns @out. */
char *text_size(uint64_t bytes, char *out, size_t out_bytes);
char *text_duration(uint64_t ms, char *out, size_t out_bytes);

/* Bytes of the well-formed UTF-8 character at @data; 0 if there is none (or @len is 0). */
size_t text_utf8_char(const char *data, size_t len);
bool text_is_utf8(const char *data, size_t len);
/* 1 to KITH_NAME_BYTES_MAX printable ASCII bytes without space. */
bool text_is_function_name(const char *name);
/* A node name: 1 to 63 of a-z A-Z 0-9 - _ . */
bool text_is_node_name(const char *name);

/* Edits (insert, delete, replace, swap) between two words, at most 64 bytes of each looked at. */
unsigned text_distance(const char *a, const char *b);
/*
 * The word among @words nearest to @word, if it is near enough to suggest (at most a third of its
 * length away, at least 1); else NULL.
 */
const char *text_nearest(const char *word, const char *const *words, size_t words_n);

/*
 * Splits "host:port", "[v6]:port", "[v6]", "host", "v6" into host (NUL-terminated, @host_bytes) and
 * port (@port_default if absent; 0 is taken). An empty host is refused. 0 or KITH_E_PARSE.
 */
int text_split_address(
    const char *text, char *host_out, size_t host_bytes, uint16_t port_default, uint16_t *port_out);

/* RFC 3339 UTC with milliseconds; 25 bytes. */
char *text_time_ms(uint64_t unix_ms, char out[32]);

#endif
