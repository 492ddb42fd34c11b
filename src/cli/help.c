/* Help for people (see help.h). */
#include "cli/help.h"

#include <string.h>

#include "kith/api.h"

#define WIDTH       80
#define OPTION_FROM 28 /* column of an option's text */

/* Words of @text, wrapped at WIDTH, each line behind @indent spaces. An empty line stays one. */
static void wrap(FILE *file, const char *text, int indent, int column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + 1 + (int)word > WIDTH) {
            fputc('\n', file);
            column = 0;
        }
        if (column < indent) {
            fprintf(file, "%*s", indent - column, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        (void)fwrite(text, 1, word, file);
        column += (int)word;
        text += word;
        if (strncmp(text, "\n\n", 2) == 0) {
            fputs("\n\n", file);
            column = 0;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', file);
}

char *help_option_text(const struct opt *opt, char *out, size_t out_bytes)
{
    char letter[8] = "    ";

    if (opt->letter != 0)
        snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
    snprintf(out, out_bytes, "%s--%s%s%s", letter, opt->name, opt->meta != NULL ? " " : "",
             opt->meta != NULL ? opt->meta : "");
    return out;
}

static void print_option(FILE *file, const struct opt *opt)
{
    char text[128];
    int n = fprintf(file, "  %s", help_option_text(opt, text, sizeof(text)));

    if (n >= OPTION_FROM) {
        fputc('\n', file);
        n = 0;
    }
    wrap(file, opt->help, OPTION_FROM, n);
}

void help_verb(FILE *file, const struct verb *verb)
{
    const struct opt *opt;
    int width = 0;

    for (size_t i = 0; i < VERB_EXAMPLES_MAX && verb->examples[i].command != NULL; i++) {
        int len = (int)strlen(verb->examples[i].command);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < VERB_EXAMPLES_MAX && verb->examples[i].command != NULL; i++)
        fprintf(file, "  %-*s  %s\n", width, verb->examples[i].command, verb->examples[i].what);
    fprintf(file, "\nusage: kith %s%s%s%s\n", verb->name,
            verb->flags & VERB_PASS ? "" : " [OPTIONS]", verb->args[0] != '\0' ? " " : "",
            verb->args);
    if (verb->alias != NULL)
        fprintf(file, "       kith %s is the same\n", verb->alias);
    fputc('\n', file);
    fprintf(file, "%c%s.\n", verb->summary[0] - 'a' + 'A', verb->summary + 1);
    if (verb->details != NULL) {
        fputc('\n', file);
        wrap(file, verb->details, 0, 0);
    }
    if (verb->flags & VERB_PASS)
        return;
    fputs("\noptions:\n", file);
    for (size_t i = 0; (opt = verb_option(verb, i)) != NULL; i++)
        print_option(file, opt);
}

static void print_summary(FILE *file, const struct verb *verb)
{
    char usage[96];

    snprintf(usage, sizeof(usage), "%s%s%s", verb->name, verb->args[0] != '\0' ? " " : "",
             verb->args);
    fprintf(file, "  %-34s %s\n", usage, verb->summary);
}

void help_all(FILE *file)
{
    size_t n;
    const struct verb *table = verbs(&n);

    fputs("kith " KITH_VERSION ": machines that find each other and call each other's functions\n\n"
          "  kith dev 3                         start three nodes here to try things out\n"
          "  kith init && kith agent            make a cluster and run this machine's node\n",
          file);
    for (const char *const *group = verb_groups(); *group != NULL; group++) {
        fprintf(file, "\n%s\n", *group);
        for (size_t i = 0; i < n; i++) {
            if (!(table[i].flags & VERB_HIDDEN) && strcmp(table[i].group, *group) == 0)
                print_summary(file, &table[i]);
        }
    }
    fputs("\nkith VERB --help tells more, with examples. Verbs that talk to a node choose it by\n"
          "--socket, --data-dir, --dev or KITH_SOCKET; else it is the agent in the default\n"
          "data directory, else the first running dev node.\n",
          file);
}

void help_group(FILE *file, const char *group)
{
    size_t n, len = strlen(group);
    const struct verb *table = verbs(&n);

    fprintf(file, "kith %s:\n", group);
    for (size_t i = 0; i < n; i++) {
        if (!(table[i].flags & VERB_HIDDEN) && strncmp(table[i].name, group, len) == 0 &&
            (table[i].name[len] == ' ' || table[i].name[len] == '\0'))
            print_summary(file, &table[i]);
    }
    fprintf(file, "\nkith %s VERB --help tells more, with examples.\n", group);
}
