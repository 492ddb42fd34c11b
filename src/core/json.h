/*
 * Streaming JSON writer into a buf. Puts commas and escapes by itself; bytes that are not UTF-8 are
 * written as U+FFFD. Parsing is jansson's job, in the rooms that read JSON; no name here is one of
 * jansson's, so that both can be used and linked together.
 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "kith/api.h"

struct json {
    struct buf *out;
    bool comma; /* the next value needs one before it */
    int failed; /* first error (memory), checked once by json_end() */
};

struct json json_begin(struct buf *out); /* appends to @out, which the caller owns */
int json_end(struct json *json);         /* 0, or the first error */

void json_object_begin(struct json *json); /* { */
void json_object_end(struct json *json);
void json_array_begin(struct json *json); /* [ */
void json_array_end(struct json *json);
void json_key(struct json *json, const char *key);

void json_text(struct json *json, const char *text); /* NULL: null */
void json_text_n(struct json *json, const char *text, size_t len);
void json_i64(struct json *json, int64_t value);       /* a number */
void json_u64(struct json *json, uint64_t value);      /* a number: counts and sizes */
void json_u64_text(struct json *json, uint64_t value); /* "123": ids and other 64-bit numbers */
void json_f64(struct json *json, double value); /* shortest that reads back; null if not finite */
void json_bool(struct json *json, bool value);
void json_write_null(struct json *json);
void json_id(struct json *json, const struct kith_node_id *id);
void json_time_ms(struct json *json, uint64_t unix_ms);         /* RFC 3339 UTC with milliseconds */
void json_raw(struct json *json, const char *text, size_t len); /* a value that is JSON already */

/*
 * Rewrites the @len bytes of a printed number in place so that its decimal point, which is the
 * locale's and may be anything of any length, is a point. Returns the new length.
 */
size_t json_number_plain(char *text, size_t len);

/* Key and value in one. */
void json_kv_text(struct json *json, const char *key, const char *value);
void json_kv_i64(struct json *json, const char *key, int64_t value);
void json_kv_u64(struct json *json, const char *key, uint64_t value);
void json_kv_f64(struct json *json, const char *key, double value);
void json_kv_bool(struct json *json, const char *key, bool value);
void json_kv_id(struct json *json, const char *key, const struct kith_node_id *id);

#endif
