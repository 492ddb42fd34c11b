/* What the files about files share (files.c, files_read.c, files_write.c, transfers.c). */
#ifndef HTTP_FILES_H
#define HTTP_FILES_H

#include "http/server.h"

/* Room for the path of a file, with what stands at its end, and its NUL. */
#define FILES_PATH_BYTES (KITH_FS_PATH_BYTES_MAX + 512)

/* The flag @key of the query: there, and not "false". */
bool files_flag(struct http_exchange *x, const char *key);
/* An operation ended with @code: answers. @conditional: what does not hold was asked for by
 * If-Match or If-None-Match. */
void files_fail(struct http_exchange *x, int code, const char *text, bool conditional);
/* If-Match to @hash_out (65 bytes; "" if there is none, "*" if anything will do). False: answered.
 */
bool files_if_match(struct http_exchange *x, char *hash_out);
/* ETag and whose it is, as lines, to @out. */
#define FILES_LINES_BYTES 512
void files_entry_lines(const struct kith_fs_entry *entry, char out[FILES_LINES_BYTES]);

/* {"schema": @schema, "entry": ...} of what was written, to @out. 0 or KITH_E_MEMORY. */
int files_put_entry(struct buf *out, const char *schema, const struct kith_fs_result *result);

/* files_read.c: the bytes of x->name. */
void files_read(struct http_exchange *x);
/* A piece of them has been written. */
void files_piece_left(struct http_exchange *x, bool all);
/* files_write.c: a piece of the body came. */
void files_piece_came(struct http_exchange *x, const void *data, size_t len);

/* ---- transfers (transfers.c): what goes through these routes ---- */

struct http_transfer;
/* NULL if memory is short, which is fine everywhere. */
struct http_transfer *http_transfer_new(struct http_exchange *x, const char *what, uint64_t bytes);
void http_transfer_at(struct http_transfer *transfer, uint64_t done, uint64_t all);
void http_transfer_waits(struct http_transfer *transfer, const char *text);
/* It is over; the pointer is good no more. */
void http_transfer_end(struct http_transfer *transfer, int code, const char *text);

#endif
