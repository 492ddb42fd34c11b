/*
 * The kernels of the demo on one core beside a baseline, in interleaved rounds: 4096 x 4096 points,
 * the whole set, 1,000 iterations. The baseline is a shared object with row_avx2() and
 * row_scalar(), which count one row of MW columns into uint16_t; bench/mandel.sh builds it.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mandelbrot/tile.h"

#define SIDE       4096u
#define TILE       128u
#define ITERATIONS 1000u
#define ROUNDS_MAX 99

/* The picture of the baseline: from a corner, not through the centres of pixels. */
#define LEFT  (-2.5)
#define TOP   (-1.75)
#define WIDTH 3.5

typedef void (*row_fn)(int y, uint16_t *counts);

struct runner {
    const char *name;
    const struct mandel_kernel *kernel; /* NULL: the baseline's @row */
    row_fn row;
    bool shortcuts;
    double target; /* times as fast as the baseline; 0: only reported */
    double seconds[ROUNDS_MAX];
    uint64_t sum;
};

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t run_baseline(row_fn row)
{
    static uint16_t counts[SIDE];
    uint64_t sum = 0;

    for (uint32_t y = 0; y < SIDE; y++) {
        row((int)y, counts);
        for (uint32_t x = 0; x < SIDE; x++)
            sum += counts[x];
    }
    return sum;
}

static uint64_t run_kernel(const struct mandel_kernel *kernel, bool shortcuts)
{
    static double re[SIDE], im[SIDE], norms[TILE * TILE];
    static uint32_t counts[TILE * TILE];
    struct mandel_points points = {
        .width = TILE, .height = TILE, .iterations = ITERATIONS, .shortcuts = shortcuts};
    uint64_t sum = 0;

    for (uint32_t i = 0; i < SIDE; i++) {
        re[i] = LEFT + i * (WIDTH / SIDE);
        im[i] = TOP + i * (WIDTH / SIDE);
    }
    for (uint32_t y = 0; y < SIDE; y += TILE) {
        for (uint32_t x = 0; x < SIDE; x += TILE) {
            points.re = &re[x];
            points.im = &im[y];
            if (kernel->count(&points, counts, norms))
                return 0;
            for (uint32_t i = 0; i < TILE * TILE; i++)
                sum += counts[i] ? counts[i] : ITERATIONS;
        }
    }
    return sum;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, int n)
{
    double sorted[ROUNDS_MAX];

    memcpy(sorted, values, (size_t)n * sizeof(*values));
    qsort(sorted, (size_t)n, sizeof(*sorted), by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* The median of the ratios within rounds: what slows the machine down for a while cancels out. */
static double ratio(const struct runner *runner, const struct runner *base, int rounds)
{
    double ratios[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++)
        ratios[i] = base->seconds[i] / runner->seconds[i];
    return median(ratios, rounds);
}

static void
print(const struct runner *runner, const struct runner *base, int rounds, bool json, bool first)
{
    double value = median(runner->seconds, rounds);
    double baseline = median(base->seconds, rounds);
    double times = ratio(runner, base, rounds);

    if (json) {
        printf("%s{\"name\":\"mandelbrot "
               "%s%s\",\"value\":%.4f,\"unit\":\"s\",\"baseline\":%.4f,\"ratio\":%.3f",
               first ? "" : ",", runner->name, runner->shortcuts ? " shortcuts" : "", value,
               baseline, times);
        if (runner->target > 0)
            printf(",\"target\":%.2f,\"met\":%s}", runner->target,
                   times >= runner->target ? "true" : "false");
        else
            printf(",\"target\":null,\"met\":null}");
        return;
    }
    printf("%-8s %-13s %8.3f s  %8.3f s  %6.2f x", runner->name,
           runner->shortcuts ? "shortcuts" : "every point", value, baseline, times);
    if (runner->target > 0)
        printf("  %5.2f x  %s", runner->target, times >= runner->target ? "met" : "MISSED");
    printf("\n");
}

static int report(const struct runner *runners, int runners_n, int rounds, bool json)
{
    bool missed = false;

    if (json)
        printf("{\"schema\":\"kith.bench/1\",\"rounds\":%d,\"results\":[", rounds);
    else
        printf("%-8s %-13s %10s  %10s  %8s  %7s\n", "kernel", "", "median", "baseline", "faster",
               "target");
    for (int i = 2; i < runners_n; i++) {
        const struct runner *base = &runners[strcmp(runners[i].name, "scalar") ? 0 : 1];
        print(&runners[i], base, rounds, json, i == 2);
        missed |= runners[i].target > 0 && ratio(&runners[i], base, rounds) < runners[i].target;
    }
    if (json)
        printf("]}\n");
    return missed ? 1 : 0;
}

static int load_baseline(const char *path, struct runner *avx2, struct runner *scalar)
{
    void *lib = dlopen(path, RTLD_NOW);

    if (!lib) {
        fprintf(stderr, "bench: %s\n", dlerror());
        return -1;
    }
    *(void **)&avx2->row = dlsym(lib, "row_avx2");
    *(void **)&scalar->row = dlsym(lib, "row_scalar");
    if (avx2->row && scalar->row)
        return 0;
    fprintf(stderr, "bench: %s has no row_avx2 and row_scalar\n", path);
    return -1;
}

static int usage(void)
{
    fprintf(stderr, "usage: mandel_kernels [--json] [--rounds N] [--scalar] BASELINE.so\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"scalar", no_argument, NULL, 's'},
                                            {0}};
    static struct runner runners[12] = {{.name = "baseline avx2"}, {.name = "baseline scalar"}};
    int runners_n = 2, rounds = 7, option;
    bool json = false, scalar = false;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'r')
            rounds = (int)strtol(optarg, NULL, 10);
        else if (option == '?')
            return usage();
        json |= option == 'j';
        scalar |= option == 's';
    }
    if (optind + 1 != argc || rounds < 1 || rounds > ROUNDS_MAX)
        return usage();
    if (load_baseline(argv[optind], &runners[0], &runners[1]))
        return 1;
    for (size_t k = 0; k < mandel_kernels_n; k++) {
        const struct mandel_kernel *kernel = mandel_kernels[k];
        if (!kernel->usable() || (!scalar && kernel == &mandel_kernel_scalar))
            continue;
        double target = !strcmp(kernel->name, "avx512") ? 1.2
                        : !strcmp(kernel->name, "avx2") ? 1.0
                                                        : 0;
        runners[runners_n++] =
            (struct runner){.name = kernel->name, .kernel = kernel, .target = target};
        runners[runners_n++] =
            (struct runner){.name = kernel->name, .kernel = kernel, .shortcuts = true};
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < runners_n; i++) {
            struct runner *runner = &runners[i];
            if (i == 1 && !scalar)
                continue;
            double start = now_s();
            runner->sum = runner->kernel ? run_kernel(runner->kernel, runner->shortcuts)
                                         : run_baseline(runner->row);
            runner->seconds[round] = now_s() - start;
            if (runner->sum != runners[0].sum) {
                fprintf(stderr, "bench: %s counts otherwise than the baseline\n", runner->name);
                return 1;
            }
        }
    }
    return report(runners, runners_n, rounds, json);
}
