/* See args.h. */
#include "cli/args.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/text.h"

#define NAMES_MAX 64

void args_deinit(struct args *args)
{
    core_free(args->words);
    *args = (struct args){0};
}

/* ---- values -------------------------------------------------------------------------------------
 */

static const char *type_text(enum opt_type type)
{
    switch (type) {
    case OPT_U64:
        return "a whole number";
    case OPT_DURATION:
        return "a time such as 500ms, 5s or 2m";
    case OPT_SIZE:
        return "a size such as 64K or 8G";
    case OPT_ADDRESS:
        return "an address such as 10.0.0.5:7117, [fd00::5]:7117 or a host name";
    default:
        return "text";
    }
}

static int bad_choice(const struct opt *opt, const char *text)
{
    char words[160];
    size_t at = 0;

    words[0] = '\0';
    for (size_t i = 0; i < OPT_CHOICES_MAX && opt->choices[i] != NULL && at < sizeof(words); i++)
        at += (size_t)snprintf(words + at, sizeof(words) - at, "%s%s", i > 0 ? ", " : "",
                               opt->choices[i]);
    return kith_fail_with(KITH_E_PARSE, "--%s %s: it takes one of %s", opt->name, text, words);
}

static bool is_choice(const struct opt *opt, const char *text)
{
    for (size_t i = 0; i < OPT_CHOICES_MAX && opt->choices[i] != NULL; i++) {
        if (strcmp(opt->choices[i], text) == 0)
            return true;
    }
    return false;
}

static int check_value(const struct opt *opt, const char *text)
{
    char host[256];
    uint64_t number;
    uint16_t port;
    int r = 0;

    switch (opt->type) {
    case OPT_U64:
        r = text_parse_u64(text, 0, UINT64_MAX, &number);
        break;
    case OPT_DURATION:
        r = text_parse_duration_ms(text, &number);
        break;
    case OPT_SIZE:
        r = text_parse_size(text, &number);
        break;
    case OPT_ADDRESS:
        r = text_split_address(text, host, sizeof(host), NET_PORT_DEFAULT, &port);
        break;
    case OPT_CHOICE:
        return is_choice(opt, text) ? 0 : bad_choice(opt, text);
    case OPT_FLAG:
    case OPT_TEXT:
        break;
    }
    if (r != 0)
        return kith_fail_with(KITH_E_PARSE, "--%s %s: it takes %s", opt->name, text,
                              type_text(opt->type));
    return 0;
}

static int add_option(struct args *args, const struct opt *opt, const char *text)
{
    if (args->options_n == ARGS_OPTIONS_MAX)
        return kith_fail_with(KITH_E_PARSE, "more than %d options", ARGS_OPTIONS_MAX);
    if (text != NULL) {
        int r = check_value(opt, text);
        if (r != 0)
            return r;
    }
    if (strcmp(opt->name, "help") == 0)
        args->help = true;
    else if (strcmp(opt->name, "version") == 0)
        args->version = true;
    args->options[args->options_n++] = (struct args_value){opt, text};
    return 0;
}

/* ---- options ------------------------------------------------------------------------------------
 */

/* Where the options come from: those of a verb, or those that may stand before one. */
static const struct opt *option_at(const struct verb *verb, size_t i)
{
    return verb != NULL ? verb_option(verb, i) : verb_global_option(i);
}

static const struct opt *find_long(const struct verb *verb, const char *name, size_t len)
{
    const struct opt *opt;

    for (size_t i = 0; (opt = option_at(verb, i)) != NULL; i++) {
        if (strlen(opt->name) == len && memcmp(opt->name, name, len) == 0)
            return opt;
    }
    return NULL;
}

static const struct opt *find_letter(const struct verb *verb, char letter)
{
    const struct opt *opt;

    for (size_t i = 0; (opt = option_at(verb, i)) != NULL; i++) {
        if (opt->letter == letter)
            return opt;
    }
    return NULL;
}

static int unknown_option(const struct verb *verb, const char *word)
{
    const char *names[NAMES_MAX];
    const struct opt *opt;
    size_t n = 0;
    char name[64];

    snprintf(name, sizeof(name), "%s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = '\0';
    for (size_t i = 0; n < NAMES_MAX && (opt = option_at(verb, i)) != NULL; i++)
        names[n++] = opt->name;
    const char *nearest = word[1] == '-' ? text_nearest(name, names, n) : NULL;
    const char *prefix = verb != NULL ? " " : "";
    const char *verb_name = verb != NULL ? verb->name : "";
    if (nearest != NULL)
        return kith_fail_with(KITH_E_PARSE, "kith%s%s has no option %s: did you mean --%s?", prefix,
                              verb_name, word, nearest);
    return kith_fail_with(KITH_E_PARSE, "kith%s%s has no option %s: kith%s%s --help lists them",
                          prefix, verb_name, word, prefix, verb_name);
}

static int missing_value(const struct opt *opt)
{
    return kith_fail_with(KITH_E_PARSE, "--%s needs a value: write --%s %s", opt->name, opt->name,
                          opt->meta);
}

/* "--name", "--name=value", "--name value". @next is the word behind it or NULL. */
static int parse_long(struct args *args,
                      const struct verb *verb,
                      const char *word,
                      const char *next,
                      size_t *used_out)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const struct opt *opt = find_long(verb, name, len);

    *used_out = 1;
    if (opt == NULL)
        return unknown_option(verb, word);
    if (opt->type == OPT_FLAG) {
        if (name[len] == '=')
            return kith_fail_with(KITH_E_PARSE, "--%s takes no value", opt->name);
        return add_option(args, opt, NULL);
    }
    if (name[len] == '=')
        return add_option(args, opt, name + len + 1);
    if (next == NULL)
        return missing_value(opt);
    *used_out = 2;
    return add_option(args, opt, next);
}

/* "-f", "-fv", "-l value", "-lvalue". */
static int parse_short(struct args *args,
                       const struct verb *verb,
                       const char *word,
                       const char *next,
                       size_t *used_out)
{
    *used_out = 1;
    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct opt *opt = find_letter(verb, *at);
        if (opt == NULL)
            return unknown_option(verb, word);
        if (opt->type != OPT_FLAG) {
            if (at[1] != '\0')
                return add_option(args, opt, at + 1);
            if (next == NULL)
                return missing_value(opt);
            *used_out = 2;
            return add_option(args, opt, next);
        }
        int r = add_option(args, opt, NULL);
        if (r != 0)
            return r;
    }
    return 0;
}

/* "-5", "-.5", "-0.5,1": a number if the verb has no such option. */
static bool is_number(const struct verb *verb, const char *word)
{
    return (isdigit((unsigned char)word[1]) ||
            (word[1] == '.' && isdigit((unsigned char)word[2]))) &&
           find_letter(verb, word[1]) == NULL;
}

static int parse_option(struct args *args,
                        const struct verb *verb,
                        const char *word,
                        const char *next,
                        size_t *used_out)
{
    return word[1] == '-' ? parse_long(args, verb, word, next, used_out)
                          : parse_short(args, verb, word, next, used_out);
}

/* ---- the line
 * ------------------------------------------------------------------------------------- */

static int unknown_verb(const char *const *argv, size_t argc)
{
    bool group = verb_is_group(argv[0]);
    const char *word = group && argc > 1 ? argv[1] : argv[0];
    const char *nearest = verb_nearest(group ? argv[0] : NULL, word);

    if (group && argc > 1)
        return kith_fail_with(KITH_E_NOT_FOUND, "there is no kith %s %s: %s%s%s%s", argv[0],
                              argv[1], nearest != NULL ? "did you mean kith " : "kith help ",
                              nearest != NULL ? nearest : argv[0], nearest != NULL ? "?" : "",
                              nearest != NULL ? "" : " lists what there is");
    if (nearest != NULL)
        return kith_fail_with(KITH_E_NOT_FOUND, "there is no kith %s: did you mean kith %s?", word,
                              nearest);
    return kith_fail_with(KITH_E_NOT_FOUND, "there is no kith %s: kith help lists what there is",
                          word);
}

/* Options before the verb are looked at again by the verb: it may not have them. */
static int check_early_options(struct args *args)
{
    for (size_t i = 0; i < args->options_n; i++) {
        const char *name = args->options[i].opt->name;
        const struct opt *own = find_long(args->verb, name, strlen(name));
        char word[80];
        if (own == NULL) {
            snprintf(word, sizeof(word), "--%s", name);
            return unknown_option(args->verb, word);
        }
        args->options[i].opt = own;
    }
    return 0;
}

static int check_count(const struct args *args)
{
    const struct verb *verb = args->verb;

    if (args->help)
        return 0;
    if (args->pos_n < verb->args_min)
        return kith_fail_with(KITH_E_PARSE, "kith %s needs %s: kith %s --help shows how",
                              verb->name, verb->args, verb->name);
    if (args->pos_n > verb->args_max)
        return kith_fail_with(KITH_E_PARSE, "kith %s takes %s%s: \"%s\" is too much", verb->name,
                              verb->args_max == 0 ? "no argument" : "only ",
                              verb->args_max == 0 ? "" : verb->args, args->pos[verb->args_max]);
    return 0;
}

static int parse_verb_args(struct args *args, const char *const *argv, size_t argc)
{
    const struct verb *verb = args->verb;
    bool options = true;
    size_t n = 0;

    args->words = core_calloc(argc + 1, sizeof(*args->words));
    if (args->words == NULL)
        return KITH_E_MEMORY;
    args->pos = args->words;
    for (size_t i = 0; i < argc;) {
        const char *word = argv[i];
        size_t used = 1;
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && word[0] == '-' && word[1] != '\0' && !is_number(verb, word)) {
            int r = parse_option(args, verb, word, i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (r != 0)
                return r;
        } else {
            args->words[n++] = word;
            args->pos_n = n;
            if ((verb->flags & VERB_COMMAND) && n == 2)
                options = false;
        }
        i += used;
    }
    return check_count(args);
}

/* Everything goes to another program, except a help asked for right behind the verb. */
static int pass_args(struct args *args, const char *const *argv, size_t argc)
{
    args->help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
    args->pos = argv;
    args->pos_n = argc;
    return check_count(args);
}

int args_parse(struct args *args, const char *const *argv, size_t argc)
{
    size_t at = 0, used = 0, words = 0;

    *args = (struct args){0};
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0' && strcmp(argv[at], "--") != 0) {
        int r = parse_option(args, NULL, argv[at], at + 1 < argc ? argv[at + 1] : NULL, &used);
        if (r != 0)
            return r;
        at += used;
    }
    if (at == argc)
        return 0;
    args->verb = verb_find(argv + at, argc - at, &words);
    if (args->verb == NULL) {
        bool only_help = argc - at == 1 || argv[at + 1][0] == '-';
        if (verb_is_group(argv[at]) && only_help) {
            args->help_group = argv[at];
            args->help |= argc - at > 1;
            return 0;
        }
        return unknown_verb(argv + at, argc - at);
    }
    at += words;
    if (args->verb->flags & VERB_PASS)
        return pass_args(args, argv + at, argc - at);
    int r = check_early_options(args);
    return r != 0 ? r : parse_verb_args(args, argv + at, argc - at);
}

/* ---- getters
 * -------------------------------------------------------------------------------------- */

static const struct args_value *last_value(const struct args *args, const char *name)
{
    assert(find_long(args->verb, name, strlen(name)) != NULL);
    for (size_t i = args->options_n; i > 0; i--) {
        if (strcmp(args->options[i - 1].opt->name, name) == 0)
            return &args->options[i - 1];
    }
    return NULL;
}

bool args_flag(const struct args *args, const char *name)
{
    return last_value(args, name) != NULL;
}

const char *args_text(const struct args *args, const char *name)
{
    const struct args_value *value = last_value(args, name);

    return value != NULL ? value->text : NULL;
}

uint64_t args_u64(const struct args *args, const char *name, uint64_t if_absent)
{
    const struct args_value *value = last_value(args, name);
    uint64_t number = if_absent;

    if (value == NULL)
        return if_absent;
    assert(value->opt->type == OPT_U64);
    return text_parse_u64(value->text, 0, UINT64_MAX, &number) == 0 ? number : if_absent;
}

uint64_t args_duration_ms(const struct args *args, const char *name, uint64_t if_absent)
{
    const struct args_value *value = last_value(args, name);
    uint64_t ms = if_absent;

    if (value == NULL)
        return if_absent;
    assert(value->opt->type == OPT_DURATION);
    return text_parse_duration_ms(value->text, &ms) == 0 ? ms : if_absent;
}

const char *args_repeat(const struct args *args, const char *name, size_t i)
{
    assert(find_long(args->verb, name, strlen(name)) != NULL);
    for (size_t at = 0; at < args->options_n; at++) {
        if (strcmp(args->options[at].opt->name, name) == 0 && i-- == 0)
            return args->options[at].text;
    }
    return NULL;
}
