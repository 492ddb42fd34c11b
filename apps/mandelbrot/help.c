/* What kith-mandelbrot says of itself: --help, and the manual page; both from its table of options.
 */
#include "help.h"

#include <kith/api.h>
#include <string.h>

#include "options.h"

#define INDENT     21 /* column of the explanations */
#define LINE_WIDTH 100

static const char summary[] =
    "Draws the Mandelbrot set with all nodes of a cluster, or alone. The picture is the same, bit "
    "for bit, however many nodes draw it and whatever happens to them on the way.";

struct text_pair {
    const char *what;
    const char *text;
};

static const struct text_pair examples[] = {
    {"kith dev 3 && kith-mandelbrot render --out set.png --tint",
     "three nodes on this machine, and who of them drew what"},
    {"kith-mandelbrot render --out valley.png --size 3840x2160 --center -0.74364,0.13183 --span "
     "0.0025 --iterations 5000",
     "a small part, large"},
    {"kith-mandelbrot render --out alone.png --serial --threads 2 --json",
     "without a cluster; figures as JSON"},
};

static const struct text_pair exit_codes[] = {
    {"0", "drawn"},         {"1", "failed"}, {"2", "usage"}, {"3", "no agent answers"},
    {"130", "interrupted"},
};

/* ---- --help ---- */

/* @text in lines of at most LINE_WIDTH; it begins in column @at, its other lines in @indent. */
static void wrap(FILE *file, const char *text, size_t at, size_t indent)
{
    for (const char *word = text; *word != '\0';) {
        size_t len = strcspn(word, " ");
        if (at > indent && at + 1 + len > LINE_WIDTH) {
            (void)fprintf(file, "\n%*s", (int)indent, "");
            at = indent;
        } else if (word != text) {
            (void)fputc(' ', file);
            at++;
        }
        (void)fwrite(word, 1, len, file);
        at += len;
        word += len;
        word += *word == ' ';
    }
    (void)fputc('\n', file);
}

void help_write(FILE *file)
{
    size_t n;
    const struct option *table = options_table(&n);

    (void)fputs("usage: kith-mandelbrot render --out FILE.png [OPTIONS]\n\n", file);
    wrap(file, summary, 0, 0);
    (void)fputc('\n', file);
    for (size_t i = 0; i < n; i++) {
        int at = fprintf(file, "  %s%s%s", table[i].name, table[i].meta != NULL ? " " : "",
                         table[i].meta != NULL ? table[i].meta : "");
        (void)fprintf(file, "%*s", at < INDENT - 1 ? INDENT - at : 1, "");
        wrap(file, table[i].help, at < INDENT - 1 ? INDENT : (size_t)at + 1, INDENT);
    }
    (void)fputs("\nexamples:\n", file);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        (void)fprintf(file, "  %s\n", examples[i].what);
    (void)fputs("\nexit codes: ", file);
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++)
        (void)fprintf(file, "%s%s %s", i > 0 ? ", " : "", exit_codes[i].what, exit_codes[i].text);
    (void)fputc('\n', file);
}

/* ---- the manual ---- */

/* Text for troff: a backslash and a dash are special everywhere, a dot or a quote at a line's
 * start. */
static void troff(FILE *file, const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", file);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            (void)fputs("\\e", file);
        else if (*text == '-')
            (void)fputs("\\-", file);
        else
            (void)fputc(*text, file);
    }
}

static void entry(FILE *file, const char *what, const char *meta, const char *text)
{
    (void)fputs(".TP\n\\fB", file);
    troff(file, what);
    (void)fputs("\\fR", file);
    if (meta != NULL) {
        (void)fputs(" \\fI", file);
        troff(file, meta);
        (void)fputs("\\fR", file);
    }
    (void)fputc('\n', file);
    troff(file, text);
    (void)fputc('\n', file);
}

void man_write(FILE *file)
{
    size_t n;
    const struct option *table = options_table(&n);

    (void)fputs(".TH KITH\\-MANDELBROT 1 \"\" \"kith " KITH_VERSION "\" \"User Commands\"\n"
                ".SH NAME\nkith\\-mandelbrot \\- draw the Mandelbrot set with a cluster\n"
                ".SH SYNOPSIS\n\\fBkith\\-mandelbrot render \\-\\-out\\fR \\fIFILE.png\\fR "
                "[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
                file);
    troff(file, summary);
    (void)fputs("\n.PP\n\\fBkith mandel\\fR is the same command. What it prints on stdout is data, "
                "what it prints on stderr is talk.\n.SH OPTIONS\nA value may also be given as "
                "\\fB\\-\\-option=value\\fR.\n",
                file);
    for (size_t i = 0; i < n; i++)
        entry(file, table[i].name, table[i].meta, table[i].help);
    (void)fputs(".SH EXAMPLES\n", file);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        entry(file, examples[i].what, NULL, examples[i].text);
    (void)fputs(".SH \"EXIT STATUS\"\n", file);
    for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++)
        entry(file, exit_codes[i].what, NULL, exit_codes[i].text);
    (void)fputs(".SH ENVIRONMENT\n", file);
    entry(file, "KITH_SOCKET", NULL, "control socket, or data directory, of the agent to ask");
    (void)fputs(".SH \"SEE ALSO\"\n\\fBkith\\fR(1)\n", file);
}
