/*
 * kith-board: makes a picture of a board, or says what is on it, from its files on stdin
 * (bundle.h). `kith board` fetches these from the catalogue and runs it.
 *
 *     kith-board look [--at CLOCK]
 *     kith-board svg  [--at CLOCK]
 *     kith-board png  [--at CLOCK] [--scale N]
 *
 * stdout is the picture, or lines of a word and its value. Exits with 0; 8 if something of the
 * board could not be read, and is not in the picture; 1 or 2 if there is none.
 */
#include <errno.h>
#include <inttypes.h>
#include <kith/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "merge.h"
#include "svg.h"
#ifdef KITH_BOARD_PNG
#include "picture.h"
#endif

#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define EXIT_PARTLY 8

#define SCALE_MIN 0.01 /* as in picture.h, which is not always built */
#define SCALE_MAX 64.0

struct wanted {
    const char *what;
    uint64_t at;
    double scale;
};

static int complain(int code, const char *why)
{
    (void)fprintf(stderr, "kith-board: %s\n", why);
    return code;
}

static bool parse_number(const char *text, double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_options(struct wanted *wanted, int argc, char **argv)
{
    *wanted = (struct wanted){.what = argc > 1 ? argv[1] : "", .at = BOARD_CLOCK_MAX, .scale = 2};
    for (int i = 2; i < argc; i += 2) {
        double value;
        if (i + 1 >= argc || !parse_number(argv[i + 1], &value))
            return false;
        if (strcmp(argv[i], "--at") == 0 && value >= 0 && value <= (double)BOARD_CLOCK_MAX)
            wanted->at = (uint64_t)value;
        else if (strcmp(argv[i], "--scale") == 0 && value >= SCALE_MIN && value <= SCALE_MAX)
            wanted->scale = value;
        else
            return false;
    }
    return strcmp(wanted->what, "look") == 0 || strcmp(wanted->what, "svg") == 0 ||
           strcmp(wanted->what, "png") == 0;
}

/* What is wrong with single logs, a line each. */
static void say_problems(const struct board_bundle *bundle)
{
    size_t refused = 0;

    for (size_t i = 0; i < bundle->logs_n; i++) {
        const struct board_file *file = &bundle->logs[i];
        refused += !file->good;
        if (!file->good)
            (void)fprintf(stderr, "kith-board: %s is no log of board %s: left out\n", file->name,
                          bundle->board);
        else if (file->log.state == BOARD_LOG_DAMAGED)
            (void)fprintf(stderr,
                          "kith-board: %s is damaged behind byte %zu: what follows is left out; "
                          "kith fs verify fetches it from another holder\n",
                          file->name, file->log.good);
    }
    if (bundle->refused_n > refused)
        (void)fprintf(stderr, "kith-board: %zu files are larger than any of a board: left out\n",
                      bundle->refused_n - refused);
}

static int look(const struct board_bundle *bundle,
                const struct board *board,
                const struct board_op *const *ops,
                size_t ops_n)
{
    uint64_t first = BOARD_CLOCK_MAX, last = 0;

    for (size_t i = 0; i < ops_n; i++) {
        first = ops[i]->clock < first ? ops[i]->clock : first;
        last = ops[i]->clock > last ? ops[i]->clock : last;
    }
    (void)printf("title %.*s\nelements %zu\noperations %zu\nrefused %zu\ndamaged %zu\n",
                 (int)board->title_len, board->title != NULL ? board->title : "", board->elements_n,
                 ops_n, bundle->refused_n, bundle->damaged_n);
    if (ops_n > 0)
        (void)printf("first %" PRIu64 "\nlast %" PRIu64 "\n", first, last);
    return fflush(stdout) == 0 ? 0 : KITH_E_IO;
}

static int write_svg(const struct board *board, const struct board_images *images)
{
    struct board_out out = {0};
    int result = board_svg(board, images, &out);

    if (result == 0 && (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
        result = KITH_E_IO;
    free(out.data);
    return result;
}

static int write_png(const struct board *board,
                     const struct board_images *images,
                     const struct wanted *wanted,
                     size_t *missing_out)
{
#ifdef KITH_BOARD_PNG
    struct board_picture_said said = {0};
    int result = board_png(board, images, wanted->scale, stdout, &said);

    if (result == 0 && said.images_grey > 0)
        (void)fprintf(stderr, "kith-board: %zu images are not there or cannot be read: grey\n",
                      said.images_grey);
    if (result == 0 && said.scale < 0.999 * wanted->scale)
        (void)fprintf(stderr, "kith-board: made smaller, %d x %d pixels are the most\n", said.width,
                      said.height);
    *missing_out = said.images_grey;
    return result;
#else
    (void)board;
    (void)images;
    (void)wanted;
    (void)missing_out;
    return KITH_E_UNSUPPORTED;
#endif
}

static int run(const struct wanted *wanted, const struct board_bundle *bundle, size_t *missing_out)
{
    struct board_images images = board_bundle_images(bundle);
    const struct board_op **ops = NULL;
    struct board board = {0};
    size_t ops_n = 0;
    int result = board_bundle_ops(bundle, wanted->at, &ops, &ops_n);

    if (result == 0)
        result = board_merge(&board, ops, ops_n);
    if (result == 0 && strcmp(wanted->what, "look") == 0)
        result = look(bundle, &board, ops, ops_n);
    else if (result == 0 && strcmp(wanted->what, "svg") == 0)
        result = write_svg(&board, &images);
    else if (result == 0)
        result = write_png(&board, &images, wanted, missing_out);
    board_deinit(&board);
    free(ops);
    return result;
}

static const char *why(int result)
{
    switch (result) {
    case KITH_E_MEMORY:
        return "out of memory";
    case KITH_E_CORRUPT:
        return "what is on stdin is no bundle of a board; kith board export makes one";
    case KITH_E_LIMIT:
        return "the board asks for more work than any drawing does";
    case KITH_E_UNSUPPORTED:
        return "built without Pango, so it makes no PNG; --format svg it does";
    default:
        return "what was made cannot be written";
    }
}

int main(int argc, char **argv)
{
    struct wanted wanted;
    struct board_bundle bundle;
    size_t missing = 0;

    if (!parse_options(&wanted, argc, argv))
        return complain(EXIT_USAGE, "usage: kith-board look|svg|png [--at CLOCK] [--scale N]; "
                                    "kith help board export says more");
    int result = board_bundle_read(&bundle, stdin);
    if (result == 0) {
        say_problems(&bundle);
        result = run(&wanted, &bundle, &missing);
    }
    bool partly = bundle.refused_n + bundle.damaged_n + missing > 0;
    board_bundle_deinit(&bundle);
    if (result != 0)
        return complain(EXIT_FAILED, why(result));
    return partly ? EXIT_PARTLY : 0;
}
