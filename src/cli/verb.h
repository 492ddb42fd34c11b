/*
 * The shape of the verb table (verbs.c), from which parsing, help, the manual and the completion
 * are made. Nothing about a verb is written anywhere else.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <stdbool.h>
#include <stddef.h>

struct cli;

enum opt_type {
    OPT_FLAG,
    OPT_TEXT,
    OPT_U64,
    OPT_DURATION,
    OPT_SIZE,
    OPT_ADDRESS,
    OPT_CHOICE,
};

/* What the shell completes an option's value or an argument with. */
enum complete {
    COMPLETE_NONE,
    COMPLETE_FILE,
    COMPLETE_DIR,
    COMPLETE_NODE,
    COMPLETE_FUNCTION,
    COMPLETE_VERB,
    COMPLETE_LEVEL,
    COMPLETE_COMMAND,
};

#define OPT_CHOICES_MAX 10

struct opt {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum opt_type type;
    bool repeats;
    enum complete complete;
    const char *meta; /* "TIME"; NULL for a flag */
    const char *help; /* one line */
    const char *choices[OPT_CHOICES_MAX];
};

struct example {
    const char *command;
    const char *what; /* what it does, a phrase */
};

#define VERB_AGENT   1u  /* talks to an agent: has --socket, --data-dir, --dev, --dir */
#define VERB_JSON    2u  /* has --json */
#define VERB_COMMAND 4u  /* options end at the second argument: a command with its own follows */
#define VERB_PASS    8u  /* everything behind it goes to another program */
#define VERB_HIDDEN  16u /* not in help, manual and completion */

#define VERB_EXAMPLES_MAX 5

struct verb {
    const char *name;  /* "nodes", "fn ls" */
    const char *alias; /* other word for it, or NULL */
    const char *group; /* heading in help */
    const char *args;  /* positional arguments as shown: "NODE" */
    size_t args_min, args_max;
    enum complete completes[2]; /* of the first and the following arguments */
    unsigned flags;
    const char *summary;                        /* one line, imperative */
    const char *details;                        /* paragraphs, or NULL */
    const struct opt *const *options;           /* ends with NULL; NULL: none of its own */
    const char *no_json;                        /* why there is no --json, if there is none */
    struct example examples[VERB_EXAMPLES_MAX]; /* two at least */
    int (*run)(struct cli *cli);                /* returns the exit code */
};

/* All verbs, in the order of the help. */
const struct verb *verbs(size_t *n_out);
/* Headings in the order of the help; ends with NULL. */
const char *const *verb_groups(void);

/* The i-th option of @verb, its own first, then those its flags give; NULL behind the last. */
const struct opt *verb_option(const struct verb *verb, size_t i);

/*
 * The verb that the words @argv start with: two words before one. NULL if none; @words_out (may be
 * NULL) is how many words it has.
 */
const struct verb *verb_find(const char *const *argv, size_t argc, size_t *words_out);
/* True if some verb has two words of which @word is the first. */
bool verb_is_group(const char *word);
/* The word nearest to @word among the verbs, of the group @group if not NULL; NULL if none is near.
 */
const char *verb_nearest(const char *group, const char *word);

/* Options that may stand before the verb. */
const struct opt *verb_global_option(size_t i);

/* Exit codes (design.md). */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_AGENT = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_NOT_ALLOWED = 5,
    EXIT_TIMED_OUT = 6,
    EXIT_CONFLICT = 7,
    EXIT_PARTLY = 8,
    EXIT_TOO_FEW = 9,
};

#endif
