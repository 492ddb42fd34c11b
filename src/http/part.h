/* Which part of a list is meant, as routes and topics have it in their arguments. Pure. */
#ifndef HTTP_PART_H
#define HTTP_PART_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Texts are borrowed and never NULL. */
struct http_part {
    const char *prefix; /* of the name */
    const char *search; /* words: all of them are in the text of a row, in whatever case */
    const char *sort;   /* what to sort by, "-" before it: the largest first; "": name */
    size_t offset, limit;
};

/* Has @name the prefix, and has @text all the words? */
bool http_part_fits(const struct http_part *part, const char *name, const char *text);
/* Is the largest first? @key_out: what is sorted by. */
bool http_part_down(const struct http_part *part, const char **key_out);

/*
 * Cuts the array "locks" of @doc (verb lock.ls: by name) to @part. Searched are names and who holds
 * or waits; sorted is by name, holder, since, lease, waiters, fence or mode, and then by name; what
 * is none of these is name. Sets "total" and "offset".
 */
void http_part_locks(json_t *doc, const struct http_part *part);

#endif
