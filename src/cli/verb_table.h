/* The table itself (verbs.c), for verb.c only. */
#ifndef CLI_VERB_TABLE_H
#define CLI_VERB_TABLE_H

#include "cli/verb.h"

extern const struct verb verb_table[];
extern const size_t verb_table_n;

#endif
