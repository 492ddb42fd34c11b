/* What tags of nodes look like on the command line. */
#ifndef CLI_LABEL_H
#define CLI_LABEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/args.h"

/* "zone=b rack=4" to @out; "" if there are none. */
void label_tags_text(json_t *tags, char *out, size_t out_bytes);
/* Has @node, one of verb nodes, the tag "KEY=VALUE", or one of "KEY"? */
bool label_has_tag(json_t *node, const char *wanted);
/* What --tag asks for, an array of texts. */
json_t *label_tags_wanted(const struct args *args);

#endif
