/* kith-mandelbrot: draws the Mandelbrot set with a cluster, or alone. */
#include "cluster.h"
#include "options.h"
#include "picture.h"
#include "png_file.h"
#include "report.h"
#include "serial.h"

#include <errno.h>
#include <kith/error.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXIT_FAILED      1
#define EXIT_UNREACHABLE 3
#define EXIT_INTERRUPTED 130

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    /* a pipe that is gone, or a peer, is an error where it is written to */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static int complain(const char *why)
{
    (void)fprintf(stderr, "kith-mandelbrot: %s\n", why);
    return EXIT_FAILED;
}

/* Doubles have 53 bits: where the pixels are closer than that, whole blocks get one point. */
static void warn_if_too_deep(const struct mandel_view *view)
{
    double size = fmax(fabs(view->re), fabs(view->im));

    if (view->span / view->width < size * 4.5e-16)
        (void)fprintf(
            stderr,
            "kith-mandelbrot: at this span the pixels are closer than doubles can tell apart; "
            "the picture will show blocks\n");
}

static int draw(const struct options *options, struct picture *picture, struct report *report)
{
    char why[CLUSTER_WHY_BYTES] = "";
    int r = options->serial ? serial_draw(options, picture, report, &stop)
                            : cluster_draw(options, picture, report, &stop, why);

    if (!r)
        return 0;
    if (stop) {
        (void)fprintf(stderr,
                      "kith-mandelbrot: interrupted after %u of %u tiles; %s is as it was\n",
                      report->tiles, picture->tiles_n, options->out);
        return EXIT_INTERRUPTED;
    }
    (void)complain(*why ? why : kith_strerror(r));
    if (r != KITH_E_NO_AGENT)
        return EXIT_FAILED;
    (void)fprintf(stderr,
                  "kith dev 3 starts a cluster on this machine; --serial draws without one\n");
    return EXIT_UNREACHABLE;
}

static int render(const struct options *options, struct picture *picture, struct report *report)
{
    struct png_file file = {.fd = -1};
    char why[PNG_FILE_WHY_BYTES];
    uint64_t hash;
    int code;

    if (!png_file_open(&file, options->out, why)) {
        png_file_close(&file);
        return complain(why);
    }
    if (options->progress && report_progress_open(report, options->progress)) {
        (void)snprintf(why, sizeof(why), "cannot write progress to %.200s: %s", options->progress,
                       strerror(errno));
        png_file_close(&file);
        return complain(why);
    }
    code = draw(options, picture, report);
    uint64_t start_ns = report_now_ns();
    if (!code && !png_file_write(&file, picture, options->tint, &hash, why))
        code = complain(why);
    png_file_close(&file);
    if (code)
        return code;
    const char *kernel = NULL;
    if (options->serial)
        kernel = options->kernel ? options->kernel : mandel_kernel_best()->name;
    report_print(report, options, picture, kernel, hash,
                 (double)(report_now_ns() - start_ns) / 1e9);
    return fflush(stdout) ? complain("cannot write to stdout") : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct picture picture;
    struct report report;
    int code = options_parse(&options, argc, argv);

    if (code >= 0)
        return code;
    catch_signals();
    warn_if_too_deep(&options.view);
    int r = picture_init(&picture, &options.view, options.tile);
    report_init(&report);
    if (r == KITH_E_LIMIT)
        code = complain("more than 1048576 tiles; choose a larger --tile");
    else if (r)
        code = complain("out of memory; choose a smaller --size");
    else
        code = render(&options, &picture, &report);
    report_deinit(&report);
    picture_deinit(&picture);
    return code;
}
