/* Looking things up in the verb table. */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

#include "cli/verb_table.h"
#include "core/text.h"

#define NAMES_MAX 96

static const struct opt opt_help = {
    .name = "help", .letter = 'h', .type = OPT_FLAG, .help = "show this help"};
static const struct opt opt_json = {
    .name = "json", .type = OPT_FLAG, .help = "print JSON with a schema tag, for programs"};
static const struct opt opt_version = {
    .name = "version", .letter = 'V', .type = OPT_FLAG, .help = "show the version"};
static const struct opt opt_socket = {.name = "socket",
                                      .letter = 'S',
                                      .type = OPT_TEXT,
                                      .complete = COMPLETE_FILE,
                                      .meta = "PATH",
                                      .help = "talk to the agent at this control socket"};
static const struct opt opt_data_dir = {.name = "data-dir",
                                        .letter = 'd',
                                        .type = OPT_TEXT,
                                        .complete = COMPLETE_DIR,
                                        .meta = "DIR",
                                        .help = "talk to the agent with this data directory"};
static const struct opt opt_dev = {
    .name = "dev", .type = OPT_U64, .meta = "K", .help = "talk to dev node K (see kith dev)"};
static const struct opt opt_dir = {
    .name = "dir",
    .type = OPT_TEXT,
    .complete = COMPLETE_DIR,
    .meta = "DIR",
    .help = "directory of the dev nodes; without --dev: its first running one"};

static const struct opt *const agent_options[] = {&opt_socket, &opt_data_dir, &opt_dev, &opt_dir};
static const struct opt *const global_options[] = {
    &opt_help, &opt_version, &opt_json, &opt_socket, &opt_data_dir, &opt_dev, &opt_dir};

static const char *const groups[] = {"run nodes", "look",  "change", "functions", "shared state",
                                     "files",     "pages", "other",  NULL};

const struct verb *verbs(size_t *n_out)
{
    *n_out = verb_table_n;
    return verb_table;
}

const char *const *verb_groups(void)
{
    return groups;
}

const struct opt *verb_option(const struct verb *verb, size_t i)
{
    if (verb->options != NULL) {
        for (const struct opt *const *own = verb->options; *own != NULL; own++, i--) {
            if (i == 0)
                return *own;
        }
    }
    if (verb->flags & VERB_JSON) {
        if (i == 0)
            return &opt_json;
        i--;
    }
    if (verb->flags & VERB_AGENT) {
        size_t n = sizeof(agent_options) / sizeof(agent_options[0]);
        if (i < n)
            return agent_options[i];
        i -= n;
    }
    return i == 0 ? &opt_help : NULL;
}

const struct opt *verb_global_option(size_t i)
{
    return i < sizeof(global_options) / sizeof(global_options[0]) ? global_options[i] : NULL;
}

/* The words of a verb's name, compared with the start of @argv. Returns how many words matched, 0
 * if not all. */
static size_t match(const char *name, const char *const *argv, size_t argc)
{
    size_t len = strcspn(name, " ");

    if (argc == 0 || strlen(argv[0]) != len || memcmp(argv[0], name, len) != 0)
        return 0;
    if (name[len] == '\0')
        return 1;
    return argc > 1 && strcmp(argv[1], name + len + 1) == 0 ? 2 : 0;
}

const struct verb *verb_find(const char *const *argv, size_t argc, size_t *words_out)
{
    const struct verb *found = NULL;
    size_t words = 0;

    for (size_t i = 0; i < verb_table_n; i++) {
        size_t n = match(verb_table[i].name, argv, argc);
        if (n == 0 && verb_table[i].alias != NULL)
            n = match(verb_table[i].alias, argv, argc);
        if (n > words) {
            words = n;
            found = &verb_table[i];
        }
    }
    if (words_out != NULL)
        *words_out = words;
    return found;
}

bool verb_is_group(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < verb_table_n; i++) {
        if (strncmp(verb_table[i].name, word, len) == 0 && verb_table[i].name[len] == ' ')
            return true;
    }
    return false;
}

const char *verb_nearest(const char *group, const char *word)
{
    const char *names[NAMES_MAX] = {0};
    const char *full[NAMES_MAX];
    char firsts[NAMES_MAX][32];
    size_t n = 0;

    for (size_t i = 0; i < verb_table_n && n + 1 < NAMES_MAX; i++) {
        const struct verb *verb = &verb_table[i];
        const char *space = strchr(verb->name, ' ');
        if (verb->flags & VERB_HIDDEN)
            continue;
        if (group == NULL) {
            size_t len = strcspn(verb->name, " ");
            snprintf(firsts[n], sizeof(firsts[n]), "%.*s", (int)len, verb->name);
            full[n] = space == NULL ? verb->name : NULL;
            names[n] = firsts[n];
            n++;
        } else if (space != NULL && strncmp(verb->name, group, strlen(group)) == 0 &&
                   strlen(group) == (size_t)(space - verb->name)) {
            full[n] = verb->name;
            names[n++] = space + 1;
        }
    }
    const char *nearest = text_nearest(word, names, n);
    for (size_t i = 0; nearest != NULL && i < n; i++) {
        if (names[i] != nearest)
            continue;
        if (full[i] != NULL)
            return full[i];
        /* A group without a verb of its own: its name stands at the start of a verb of the table.
         */
        static char group_name[32];
        snprintf(group_name, sizeof(group_name), "%s", names[i]);
        return group_name;
    }
    return NULL;
}
