#include "options.h"

#include <errno.h>
#include <kith/api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"

#define EXIT_USAGE 2

static bool
parse_u32(const char *text, uint32_t min, uint32_t max, char stop, const char **end, uint32_t *out)
{
    char *after;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &after, 10);
    if (errno || *after != stop || value < min || value > max)
        return false;
    *out = (uint32_t)value;
    *end = after;
    return true;
}

static bool parse_whole(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    const char *end;

    return parse_u32(text, min, max, '\0', &end, out);
}

static bool parse_double(const char *text, char stop, const char **end, double *out)
{
    char *after;

    if (*text == ' ' || *text == '\t')
        return false;
    errno = 0;
    *out = strtod(text, &after);
    if (after == text || *after != stop || (errno == ERANGE && (*out > 1 || *out < -1)))
        return false;
    *end = after;
    return true;
}

static bool on_out(struct options *options, const char *value)
{
    options->out = value;
    return *value != '\0';
}

static bool on_size(struct options *options, const char *value)
{
    const char *end;

    return parse_u32(value, 1, MANDEL_SIDE_MAX, 'x', &end, &options->view.width) &&
           parse_whole(end + 1, 1, MANDEL_SIDE_MAX, &options->view.height) &&
           (uint64_t)options->view.width * options->view.height <= MANDEL_PIXELS_MAX;
}

static bool on_center(struct options *options, const char *value)
{
    const char *end;
    struct mandel_view *view = &options->view;

    return parse_double(value, ',', &end, &view->re) &&
           parse_double(end + 1, '\0', &end, &view->im) && view->re >= -MANDEL_CENTER_MAX &&
           view->re <= MANDEL_CENTER_MAX && view->im >= -MANDEL_CENTER_MAX &&
           view->im <= MANDEL_CENTER_MAX;
}

static bool on_span(struct options *options, const char *value)
{
    const char *end;

    return parse_double(value, '\0', &end, &options->view.span) &&
           options->view.span >= MANDEL_SPAN_MIN && options->view.span <= MANDEL_SPAN_MAX;
}

static bool on_iterations(struct options *options, const char *value)
{
    return parse_whole(value, 1, MANDEL_ITERATIONS_MAX, &options->view.iterations);
}

static bool on_tile(struct options *options, const char *value)
{
    return parse_whole(value, MANDEL_TILE_MIN, MANDEL_TILE_MAX, &options->tile);
}

static bool on_threads(struct options *options, const char *value)
{
    return parse_whole(value, 1, MANDEL_THREADS_MAX, &options->threads);
}

static bool on_kernel(struct options *options, const char *value)
{
    options->kernel = value;
    return mandel_kernel_find(value) != NULL;
}

static bool on_agent(struct options *options, const char *value)
{
    options->agent = value;
    return *value != '\0';
}

static bool on_progress(struct options *options, const char *value)
{
    options->progress = value;
    return *value != '\0';
}

static bool on_serial(struct options *options, const char *value)
{
    (void)value;
    options->serial = true;
    return true;
}

static bool on_no_shortcuts(struct options *options, const char *value)
{
    (void)value;
    options->view.shortcuts = false;
    return true;
}

static bool on_tint(struct options *options, const char *value)
{
    (void)value;
    options->tint = true;
    return true;
}

static bool on_json(struct options *options, const char *value)
{
    (void)value;
    options->json = true;
    return true;
}

/* In the order of the help. */
static const struct option table[] = {
    {"--out", "FILE.png", on_out, "a file name",
     "where the picture goes; replaced only when the new one is complete"},
    {"--size", "WxH", on_size,
     "WIDTHxHEIGHT, 1 to 65535 each and at most 1073741824 pixels, such as 1920x1080",
     "pixels, 1 to 65535 each way (1600x1200)"},
    {"--center", "RE,IM", on_center, "RE,IM, each within -1000 and 1000, such as -0.75,0",
     "the middle of the picture in the plane (-0.75,0)"},
    {"--span", "S", on_span, "a width in the plane from 1e-100 to 1000, such as 3.5",
     "width of the picture in the plane (3.5); below about 1e-13 doubles tell neighbouring points "
     "apart no more"},
    {"--iterations", "N", on_iterations, "a whole number from 1 to 1000000000",
     "points that do not escape within N steps are black, 1 to 1000000000 (1000)"},
    {"--tile", "T", on_tile, "a whole number from 8 to 1024",
     "side of a tile in pixels, 8 to 1024 (128)"},
    {"--no-shortcuts", NULL, on_no_shortcuts, NULL,
     "iterate every point, also those known to be inside; the same picture, slower"},
    {"--tint", NULL, on_tint, NULL, "tint each tile by the node that drew it"},
    {"--agent", "DIR|SOCKET", on_agent, "a data directory or the path of a socket",
     "the agent whose cluster draws (as for kith: KITH_SOCKET, the default data directory, the "
     "first dev node)"},
    {"--serial", NULL, on_serial, NULL, "draw alone, without a cluster"},
    {"--threads", "T", on_threads, "a whole number from 1 to 1024",
     "threads of --serial, 1 to 1024 (one for each processor)"},
    {"--kernel", "NAME", on_kernel, "a kernel that this processor can run",
     "the kernel of --serial: avx512, avx2, sse2, neon or scalar (the best here)"},
    {"--progress", "FILE", on_progress, "a file name",
     "write how far it is to FILE, a line of JSON at a time, for programs"},
    {"--json", NULL, on_json, NULL, "who drew what as JSON on stdout instead of a table"},
};
#define TABLE_N (sizeof(table) / sizeof(table[0]))

const struct option *options_table(size_t *n_out)
{
    *n_out = TABLE_N;
    return table;
}

/* How many letters have to change to make @a into @b; names here are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t b_len = strlen(b);

    if (strlen(a) > 30 || b_len > 30)
        return 99;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t least = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            least = row[j] + 1 < least ? row[j] + 1 : least;
            least = row[j - 1] + 1 < least ? row[j - 1] + 1 : least;
            row[j] = least;
        }
    }
    return row[b_len];
}

static int unknown(const char *arg, size_t name_len)
{
    const char *nearest = NULL;
    size_t nearest_distance = 4;
    char name[64];

    (void)snprintf(name, sizeof(name), "%.*s", (int)name_len, arg);
    for (size_t i = 0; i < TABLE_N; i++) {
        size_t d = distance(name, table[i].name);
        if (d < nearest_distance) {
            nearest_distance = d;
            nearest = table[i].name;
        }
    }
    (void)fprintf(stderr, "kith-mandelbrot: unknown option %s", name);
    if (nearest)
        (void)fprintf(stderr, "; did you mean %s?", nearest);
    (void)fprintf(stderr, "\nkith-mandelbrot --help lists all options\n");
    return EXIT_USAGE;
}

static int usage(const char *text)
{
    (void)fprintf(stderr, "kith-mandelbrot: %s\nkith-mandelbrot --help lists all options\n", text);
    return EXIT_USAGE;
}

/* Takes one option, and its value, from @argv. Returns how many it took; 0 after an error. */
static int take(struct options *options, char **argv)
{
    const char *arg = argv[0];
    size_t name_len = strcspn(arg, "=");
    const char *value = arg[name_len] ? arg + name_len + 1 : NULL;
    int taken = 1;

    for (size_t i = 0; i < TABLE_N; i++) {
        const struct option *option = &table[i];
        if (strlen(option->name) != name_len || strncmp(option->name, arg, name_len) != 0)
            continue;
        if (option->meta == NULL && value) {
            (void)fprintf(stderr, "kith-mandelbrot: %s takes no value\n", option->name);
            return 0;
        }
        if (option->meta != NULL && !value) {
            value = argv[1];
            taken = 2;
        }
        if (option->meta != NULL && !value) {
            (void)fprintf(stderr, "kith-mandelbrot: %s needs a value: %s\n", option->name,
                          option->expected);
            return 0;
        }
        if (option->parse(options, value))
            return taken;
        (void)fprintf(stderr, "kith-mandelbrot: %s %s: must be %s\n", option->name, value,
                      option->expected);
        return 0;
    }
    (void)unknown(arg, name_len);
    return 0;
}

static bool is_help(const char *arg)
{
    return !strcmp(arg, "--help") || !strcmp(arg, "-h") || !strcmp(arg, "help");
}

int options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .view = {.re = -0.75,
                 .im = 0.0,
                 .span = 3.5,
                 .width = 1600,
                 .height = 1200,
                 .iterations = 1000,
                 .shortcuts = true},
        .tile = 128,
    };
    for (int i = 1; i < argc; i++) {
        if (is_help(argv[i])) {
            bool man = argc == 3 && i == 1 && !strcmp(argv[2], "--man");
            (man ? man_write : help_write)(stdout);
            return 0;
        }
    }
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        (void)printf("kith-mandelbrot %s\n", KITH_VERSION);
        return 0;
    }
    if (argc < 2)
        return usage("say what to do: kith-mandelbrot render --out FILE.png");
    if (strcmp(argv[1], "render") != 0) {
        (void)fprintf(stderr, "kith-mandelbrot: unknown command %s; the only one is render\n",
                      argv[1]);
        return EXIT_USAGE;
    }
    for (int i = 2; i < argc;) {
        if (argv[i][0] != '-') {
            (void)fprintf(stderr, "kith-mandelbrot: unexpected %s\n", argv[i]);
            return usage("every value belongs to an option");
        }
        int taken = take(options, &argv[i]);
        if (!taken)
            return EXIT_USAGE;
        i += taken;
    }
    if (!options->out)
        return usage("where should the picture go? --out FILE.png");
    if (options->threads && !options->serial)
        return usage("--threads is for --serial; in a cluster each node has its own setting");
    if (options->kernel && !options->serial)
        return usage("--kernel is for --serial; in a cluster each node takes its best");
    if (options->agent && options->serial)
        return usage("--serial asks no agent; leave one of the two out");
    return -1;
}
