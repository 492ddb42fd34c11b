/*
 * What stands in the header of a file: ranges, ETags, kind, name. Pure.
 *
 * A file is anybody's, so nothing of it may act as a page of this node: types that a browser runs
 * are to be saved, not shown, and what is shown is in a sandbox (FILE_POLICY).
 */
#ifndef HTTP_FILE_HEAD_H
#define HTTP_FILE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No script, no request, no form; what a picture or a film shown by itself needs. */
#define FILE_POLICY                                                                                \
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; "                        \
    "style-src 'unsafe-inline'"

enum file_range {
    FILE_WHOLE,  /* no range, several, another unit or damage: all of it is sent */
    FILE_PART,   /* bytes *from_out up to *end_out, which is none of them */
    FILE_BEHIND, /* it begins behind the end */
};
/* @text: of Range; NULL is fine. Of a file of @size bytes. */
enum file_range file_range(const char *text, uint64_t size, uint64_t *from_out, uint64_t *end_out);

/* Is "HASH" in @list, which is * or ETags between commas? W/ counts as the same if @weak. */
bool file_etag_listed(const char *list, const char *hash, bool weak);
/* The hash of @text, "HASH" and nothing else, to @hash_out (65 bytes). False: it is none. */
bool file_etag_one(const char *text, char *hash_out);

/* The type by the suffix of @name. *@shown_out: a browser may show it. Static. */
const char *file_type(const char *name, bool *shown_out);
/* "attachment; filename=...; filename*=..." of the last part of @path to @out: at least
 * FILE_DISPOSITION_BYTES. */
#define FILE_DISPOSITION_BYTES 1536
void file_disposition(const char *path, bool shown, char out[FILE_DISPOSITION_BYTES]);
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void file_date(uint64_t unix_s, char out[32]);

#endif
