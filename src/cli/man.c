/* The manual page kith(1), made from the verb table and the table of configuration keys. */
#include <string.h>

#include "cli/help.h"
#include "kith/api.h"
#include "node/config.h"

/* Text for troff: a backslash and a dash are special everywhere, a dot or a quote at a line's
 * start. */
static void text(FILE *file, const char *words)
{
    bool line_start = true;

    for (const char *at = words; *at != '\0'; at++) {
        if (line_start && (*at == '.' || *at == '\''))
            fputs("\\&", file);
        if (*at == '\\')
            fputs("\\e", file);
        else if (*at == '-')
            fputs("\\-", file);
        else if (strncmp(at, "\n\n", 2) == 0) {
            fputs("\n.PP\n", file);
            at++;
            line_start = true;
            continue;
        } else
            fputc(*at, file);
        line_start = *at == '\n';
    }
}

static void option(FILE *file, const struct opt *opt)
{
    fputs(".TP\n\\fB", file);
    if (opt->letter != 0)
        fprintf(file, "\\-%c\\fR, \\fB", opt->letter);
    fputs("\\-\\-", file);
    text(file, opt->name);
    fputs("\\fR", file);
    if (opt->meta != NULL) {
        fputs(" \\fI", file);
        text(file, opt->meta);
        fputs("\\fR", file);
    }
    fputc('\n', file);
    text(file, opt->help);
    fputc('\n', file);
}

static void verb_entry(FILE *file, const struct verb *verb)
{
    fputs(".SS \"kith ", file);
    text(file, verb->name);
    if (verb->args[0] != '\0') {
        fputc(' ', file);
        text(file, verb->args);
    }
    fprintf(file, "\"\n%c", verb->summary[0] - 'a' + 'A');
    text(file, verb->summary + 1);
    fputs(".\n", file);
    if (verb->alias != NULL)
        fprintf(file, "Also called \\fBkith %s\\fR.\n", verb->alias);
    if (verb->details != NULL) {
        fputs(".PP\n", file);
        text(file, verb->details);
        fputc('\n', file);
    }
    if (verb->options != NULL) {
        for (const struct opt *const *own = verb->options; *own != NULL; own++)
            option(file, *own);
    }
    fputs(".PP\nExamples:\n", file);
    for (size_t i = 0; i < VERB_EXAMPLES_MAX && verb->examples[i].command != NULL; i++) {
        fputs(".TP\n\\fB", file);
        text(file, verb->examples[i].command);
        fputs("\\fR\n", file);
        text(file, verb->examples[i].what);
        fputc('\n', file);
    }
}

static void config_section(FILE *file)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    char type[96];

    fputs(".SH CONFIGURATION\nFiles are INI: a [section] and lines of \\fIkey = value\\fR, "
          "comments behind # or ;, at most "
          "198 bytes a line. All keys are optional.\n",
          file);
    for (size_t i = 0; i < n; i++) {
        if (keys[i].flags & CONFIG_INTERNAL)
            continue;
        fprintf(file, ".TP\n\\fB%s\\fR (", keys[i].name);
        text(file, config_key_type_text(&keys[i], type, sizeof(type)));
        fputs(keys[i].flags & CONFIG_REPEATS ? "; repeats" : "", file);
        if (keys[i].value != NULL) {
            fputs("; default ", file);
            text(file, keys[i].value);
        }
        fputs(")\n", file);
        text(file, keys[i].help);
        fputc('\n', file);
    }
}

static void common_options(FILE *file)
{
    const struct opt *opt;

    fputs(".SH OPTIONS\nThese may also stand before the verb. Those that choose an agent and "
          "\\fB\\-\\-json\\fR are taken "
          "by the verbs that have a use for them.\n",
          file);
    for (size_t i = 0; (opt = verb_global_option(i)) != NULL; i++)
        option(file, opt);
    fputs(".PP\nAn option takes the next word as its value whatever it starts with; \\fB\\-\\-\\fR "
          "ends the options.\n",
          file);
}

static const char ending[] =
    ".SH \"EXIT STATUS\"\n"
    ".TP\n0\nok\n.TP\n1\nthe operation failed (also: the called function reported an "
    "error)\n.TP\n2\nwrong usage\n"
    ".TP\n3\nno agent answers\n.TP\n4\nno such node, function, file or cluster\n.TP\n5\nnot "
    "allowed\n.TP\n6\ntimed out\n"
    ".TP\n7\nconflict: exists, in use, or a queue is full\n.TP\n8\npartly done\n.TP\n9\nnot enough "
    "nodes\n"
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBKITH_SOCKET\\fR\ncontrol socket, or data directory, of the agent to talk to\n"
    ".TP\n\\fBKITH_CONFIG\\fR\nconfiguration file instead of the usual ones\n"
    ".TP\n\\fBKITH_LOG\\fR\nlog level of an agent\n"
    ".TP\n\\fBKITH_MODULE_PATH\\fR\ndirectories with modules, separated by colons\n"
    ".TP\n\\fBNO_COLOR\\fR\nno colour on terminals\n"
    ".SH FILES\n"
    ".TP\n\\fI$XDG_STATE_HOME/kith\\fR, \\fI/var/lib/kith\\fR\n"
    "default data directory of a user, of root: node.key, cluster.key, boot_no, port, peers, "
    "seeds, kith.conf, kith.sock\n"
    ".TP\n\\fI$XDG_CONFIG_HOME/kith/kith.conf\\fR, \\fI/etc/kith/kith.conf\\fR\n"
    "configuration of a user, of root; and conf.d/*.conf beside it\n"
    ".TP\n\\fI$XDG_STATE_HOME/kith\\-dev\\fR\nnodes of kith dev\n";

void man_write(FILE *file)
{
    size_t n;
    const struct verb *table = verbs(&n);

    fputs(".TH KITH 1 \"\" \"kith " KITH_VERSION
          "\" \"User Commands\"\n.SH NAME\nkith \\- machines that find each other and "
          "call each other's functions\n.SH SYNOPSIS\n\\fBkith\\fR \\fIVERB\\fR [\\fIOPTIONS\\fR] "
          "[\\fIARGUMENTS\\fR]\n"
          ".SH DESCRIPTION\nkith is a peer\\-to\\-peer distributed runtime: every machine runs the "
          "same agent, and there is "
          "no server. \\fBkith dev 3\\fR starts three nodes on this machine to try things out. "
          "What a command prints on "
          "stdout is data, what it prints on stderr is talk.\n",
          file);
    for (const char *const *group = verb_groups(); *group != NULL; group++) {
        fputs(".SH \"VERBS: ", file);
        for (const char *at = *group; *at != '\0'; at++)
            fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, file);
        fputs("\"\n", file);
        for (size_t i = 0; i < n; i++) {
            if (!(table[i].flags & VERB_HIDDEN) && strcmp(table[i].group, *group) == 0)
                verb_entry(file, &table[i]);
        }
    }
    common_options(file);
    config_section(file);
    fputs(ending, file);
}
