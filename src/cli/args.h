/*
 * Parsing of a command line by the verb table. Pure: the result or a sentence, no output, no exit.
 *
 * An option that takes a value takes the next word whatever it starts with; "--" ends the options;
 * a word like "-5" or "-0.5,1" that is no option of the verb is an argument.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdint.h>

#include "cli/verb.h"

#define ARGS_OPTIONS_MAX 256 /* given on one command line */

struct args_value {
    const struct opt *opt;
    const char *text; /* NULL for a flag */
};

struct args {
    const struct verb *verb; /* NULL: none given */
    bool help, version;
    const char *const *pos; /* arguments, in the memory of `words` */
    size_t pos_n;
    const char **words;
    struct args_value options[ARGS_OPTIONS_MAX];
    size_t options_n;
    const char *help_group; /* "kith fn": a group without a sub-verb */
};

/*
 * Parses @argv (without the program's name), borrowed as long as @args is used. 0, or KITH_E_PARSE
 * or KITH_E_NOT_FOUND (no such verb) with a sentence; args->verb is set as far as it was known.
 * args_deinit() in every case.
 */
int args_parse(struct args *args, const char *const *argv, size_t argc);
void args_deinit(struct args *args);

/* Asserted: the verb has such an option. The last one given holds. */
bool args_flag(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); /* NULL if not given */
uint64_t args_u64(const struct args *args, const char *name, uint64_t if_absent);
uint64_t args_duration_ms(const struct args *args, const char *name, uint64_t if_absent);
/* The i-th value of an option that repeats; NULL behind the last. */
const char *args_repeat(const struct args *args, const char *name, size_t i);

#endif
