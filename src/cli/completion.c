/*
 * Completion for bash, made from the verb table. Names of nodes and functions are asked for from
 * the agent at the time; `kith completion names` gives up after 200 ms, so a key press never hangs.
 */
#include <string.h>

#include "cli/help.h"

static const char *kind_of(enum complete complete)
{
    switch (complete) {
    case COMPLETE_FILE:
        return "file";
    case COMPLETE_DIR:
        return "dir";
    case COMPLETE_NODE:
        return "nodes";
    case COMPLETE_FUNCTION:
        return "functions";
    case COMPLETE_VERB:
        return "verbs";
    case COMPLETE_LEVEL:
        return "levels";
    case COMPLETE_COMMAND:
        return "commands";
    case COMPLETE_NONE:
        break;
    }
    return "";
}

/* "verb") options and arguments of one verb. */
static void verb_case(FILE *file, const struct verb *verb)
{
    const struct opt *opt;

    fprintf(file, "    \"%s\")\n        options=\"", verb->name);
    for (size_t i = 0; !(verb->flags & VERB_PASS) && (opt = verb_option(verb, i)) != NULL; i++)
        fprintf(file, "%s--%s", i > 0 ? " " : "", opt->name);
    fprintf(file, "\"\n        kinds=(\"%s\" \"%s\")\n        values=\"",
            kind_of(verb->completes[0]), kind_of(verb->completes[1]));
    /* Options that take a value, with what completes it: "--node=nodes". */
    for (size_t i = 0; !(verb->flags & VERB_PASS) && (opt = verb_option(verb, i)) != NULL; i++) {
        if (opt->type == OPT_FLAG)
            continue;
        fprintf(file, " --%s=%s ", opt->name, kind_of(opt->complete));
        if (opt->letter != 0)
            fprintf(file, " -%c=%s ", opt->letter, kind_of(opt->complete));
        if (opt->type == OPT_CHOICE && opt->complete == COMPLETE_NONE) {
            fprintf(file, " --%s:", opt->name);
            for (size_t c = 0; c < OPT_CHOICES_MAX && opt->choices[c] != NULL; c++)
                fprintf(file, "%s%s", c > 0 ? "," : "", opt->choices[c]);
            fputc(' ', file);
        }
    }
    fputs("\"\n        ;;\n", file);
}

/* Words that may stand first, and those that may stand behind each group. */
static void verb_words(FILE *file)
{
    size_t n;
    const struct verb *table = verbs(&n);
    char last[32] = "";

    fputs("_kith_first=\"", file);
    for (size_t i = 0; i < n; i++) {
        int len = (int)strcspn(table[i].name, " ");
        if ((table[i].flags & VERB_HIDDEN) ||
            (strncmp(last, table[i].name, (size_t)len) == 0 && last[len] == '\0'))
            continue; /* verbs of a group stand together in the table */
        snprintf(last, sizeof(last), "%.*s", len, table[i].name);
        fprintf(file, "%s ", last);
    }
    fputs("\"\n_kith_second() {\n    case $1 in\n", file);
    last[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *space = strchr(table[i].name, ' ');
        if (space == NULL || (table[i].flags & VERB_HIDDEN))
            continue;
        int len = (int)(space - table[i].name);
        bool same = strncmp(last, table[i].name, (size_t)len) == 0 && last[len] == '\0';
        if (!same) {
            if (last[0] != '\0')
                fputs("\" ;;\n", file);
            snprintf(last, sizeof(last), "%.*s", len, table[i].name);
            fprintf(file, "    %s) echo \"", last);
        }
        fprintf(file, "%s%s", same ? " " : "", space + 1);
    }
    fputs("\" ;;\n    esac\n}\n", file);
}

static const char before[] = "# bash completion for kith(1), made from its verb table\n\n";

static const char middle[] = "_kith_verb() {\n"
                             "    case $1 in\n";

static const char after[] =
    "    *) return 1 ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "# What completes a word of kind $1; $2 is the word. Live names come from the agent that the "
    "line chooses.\n"
    "_kith_kind() {\n"
    "    case $1 in\n"
    "    file) COMPREPLY=($(compgen -f -- \"$2\")); compopt -o filenames 2>/dev/null ;;\n"
    "    dir) COMPREPLY=($(compgen -d -- \"$2\")); compopt -o filenames 2>/dev/null ;;\n"
    "    commands) COMPREPLY=($(compgen -c -- \"$2\")) ;;\n"
    "    levels) COMPREPLY=($(compgen -W 'error warn info debug' -- \"$2\")) ;;\n"
    "    verbs) COMPREPLY=($(compgen -W \"$_kith_first\" -- \"$2\")) ;;\n"
    "    nodes|functions)\n"
    "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" completion names \"$1\" "
    "\"${chosen[@]}\" 2>/dev/null)\" -- \"$2\")) ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_kith() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local options= values= words=() chosen=() kinds=() i word verb pair at=0\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        case $word in\n"
    "        --socket|--data-dir|--dev|--dir|-S|-d) chosen+=(\"$word\" \"${COMP_WORDS[i + 1]}\"); "
    "((i++)) ;;\n"
    "        -*) ;;\n"
    "        *) words+=(\"$word\") ;;\n"
    "        esac\n"
    "    done\n"
    "    if ((${#words[@]} == 0)) && [[ $cur != -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$_kith_first\" -- \"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    if _kith_verb \"${words[0]} ${words[1]}\"; then\n"
    "        at=2\n"
    "    elif ((${#words[@]} == 1)) && [[ -n $(_kith_second \"${words[0]}\") && $cur != -* && "
    "$prev == \"${words[0]}\" ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$(_kith_second \"${words[0]}\")\" -- \"$cur\"))\n"
    "        return\n"
    "    elif _kith_verb \"${words[0]}\"; then\n"
    "        at=1\n"
    "    else\n"
    "        return\n"
    "    fi\n"
    "    for pair in $values; do\n"
    "        if [[ $pair == \"$prev:\"* ]]; then\n"
    "            COMPREPLY=($(compgen -W \"$(tr , ' ' <<<\"${pair#*:}\")\" -- \"$cur\"))\n"
    "            return\n"
    "        fi\n"
    "    done\n"
    "    for pair in $values; do\n"
    "        if [[ $pair == \"$prev=\"* ]]; then\n"
    "            _kith_kind \"${pair#*=}\" \"$cur\"\n"
    "            return\n"
    "        fi\n"
    "    done\n"
    "    if [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    i=$((${#words[@]} - at))\n"
    "    ((i > 1)) && i=1\n"
    "    ((i >= 0)) && _kith_kind \"${kinds[i]}\" \"$cur\"\n"
    "}\n"
    "\n"
    "complete -F _kith kith\n";

void completion_bash_write(FILE *file)
{
    size_t n;
    const struct verb *table = verbs(&n);

    fputs(before, file);
    verb_words(file);
    fputs(middle, file);
    for (size_t i = 0; i < n; i++) {
        if (!(table[i].flags & VERB_HIDDEN))
            verb_case(file, &table[i]);
    }
    fputs(after, file);
}
