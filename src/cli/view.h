/* What the view means for a user, in a sentence. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include <jansson.h>
#include <stddef.h>

/* @view: the result of the verb view. */
void view_sentence(json_t *view, char *out, size_t out_bytes);

#endif
