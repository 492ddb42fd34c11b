/* What is made from the verb table: help, the manual page, the completion script. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/verb.h"

/* All verbs by group. */
void help_all(FILE *file);
/* The verbs of a group such as "fn". */
void help_group(FILE *file, const char *group);
/* One verb: two examples first. */
void help_verb(FILE *file, const struct verb *verb);
/* kith(1) as troff (man.c). */
void man_write(FILE *file);
/* The script for bash (completion.c). */
void completion_bash_write(FILE *file);

/* "-l, --level LEVEL": @out of @out_bytes; returns @out. */
char *help_option_text(const struct opt *opt, char *out, size_t out_bytes);

#endif
