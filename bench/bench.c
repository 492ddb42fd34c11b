#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- samples ---- */

void bench_add(struct bench_samples *samples, double value)
{
    if (samples->n == samples->cap) {
        samples->cap = samples->cap == 0 ? 1024 : samples->cap * 2;
        samples->values = realloc(samples->values, samples->cap * sizeof(double));
        if (samples->values == NULL)
            abort();
    }
    samples->values[samples->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(struct bench_samples *samples, double percent)
{
    if (samples->n == 0)
        return (double)NAN;
    qsort(samples->values, samples->n, sizeof(double), by_value);
    return samples->values[(size_t)(percent / 100 * (double)(samples->n - 1) + 0.5)];
}

void bench_samples_deinit(struct bench_samples *samples)
{
    free(samples->values);
    *samples = (struct bench_samples){0};
}

/* ---- figures ---- */

static bool has_target(const struct bench_figure *figure)
{
    return !isnan(figure->target);
}

static bool met(const struct bench_figure *figure)
{
    double value = isnan(figure->baseline) || figure->of_value ? figure->value : figure->ratio;
    return figure->at_most ? value <= figure->target : value >= figure->target;
}

static const char *verdict(const struct bench_figure *figure)
{
    if (isnan(figure->value))
        return "not measured";
    return met(figure) ? "met" : "MISSED";
}

static void json_number(const char *key, double value, const char *end)
{
    if (isnan(value))
        printf("\"%s\":null%s", key, end);
    else
        printf("\"%s\":%.6g%s", key, value, end);
}

static void print_json(const struct bench_figure *figures, size_t n, const char *schema)
{
    printf("{\"schema\":\"%s\",\"results\":[", schema);
    for (size_t i = 0; i < n; i++) {
        const struct bench_figure *figure = &figures[i];
        printf("%s{\"name\":\"%s\",", i > 0 ? "," : "", figure->name);
        json_number("value", figure->value, ",");
        printf("\"unit\":\"%s\",", figure->unit);
        json_number("low", figure->low, ",");
        json_number("high", figure->high, ",");
        json_number("baseline", figure->baseline, ",");
        json_number("ratio", figure->ratio, ",");
        json_number("target", figure->target, ",");
        printf("\"bound\":\"%s\",", figure->at_most ? "at most" : "at least");
        bool judged = has_target(figure) && !isnan(figure->value);
        printf("\"met\":%s}", !judged ? "null" : met(figure) ? "true" : "false");
    }
    printf("]}\n");
}

static void cell(double value, int width)
{
    if (isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, value < 10 ? 3 : value < 1000 ? 1 : 0, value);
}

void bench_print(const struct bench_figure *figures, size_t n, bool json, const char *schema)
{
    if (json) {
        print_json(figures, n, schema);
        return;
    }
    printf("%-44s %11s %10s %10s %11s %7s  %s\n", "FIGURE", "MEDIAN", "10 %", "90 %", "BASELINE",
           "RATIO", "TARGET");
    for (size_t i = 0; i < n; i++) {
        const struct bench_figure *figure = &figures[i];
        char name[80];
        snprintf(name, sizeof(name), "%s (%s)", figure->name, figure->unit);
        printf("%-44s", name);
        cell(figure->value, 11);
        cell(figure->low, 10);
        cell(figure->high, 10);
        cell(figure->baseline, 11);
        cell(figure->ratio, 7);
        if (has_target(figure))
            printf("  %s %g: %s", figure->at_most ? "<=" : ">=", figure->target, verdict(figure));
        printf("\n");
    }
}

void bench_note(struct bench_series *series, double value, double baseline)
{
    if (isnan(value))
        return;
    bench_add(&series->values, value);
    if (isnan(baseline))
        return;
    bench_add(&series->baselines, baseline);
    bench_add(&series->ratios, value / baseline);
}

struct bench_figure bench_figure_of(struct bench_series *series)
{
    struct bench_figure figure = {
        .name = series->name,
        .unit = series->unit,
        .value = bench_median(&series->values),
        .low = bench_percentile(&series->values, 10),
        .high = bench_percentile(&series->values, 90),
        .baseline = bench_median(&series->baselines),
        .ratio = bench_median(&series->ratios),
        .target = series->target != 0 ? series->target : (double)NAN,
        .at_most = series->at_most,
        .of_value = series->of_value,
    };
    return figure;
}

/* ---- workers ---- */

static void pin(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        fprintf(stderr, "kith-bench: cannot pin to core %d: %s\n", cpu, strerror(errno));
}

static void pin_thread(pid_t thread, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (cpu < 0 || i == cpu)
            CPU_SET((size_t)i, &set);
    }
    (void)sched_setaffinity(thread, sizeof(set), &set); /* it may have ended */
}

void bench_pin(int pid, int cpu)
{
    char path[64];
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    tasks = opendir(path);
    if (tasks == NULL)
        return;
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.')
            pin_thread((pid_t)strtol(entry->d_name, NULL, 10), cpu);
    }
    closedir(tasks);
}

int bench_worker_start(struct bench_worker *worker, const char *role, const char *arg, int cpu)
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0) {
        perror("kith-bench: pipe");
        return -1;
    }
    fflush(NULL);
    worker->pid = fork();
    if (worker->pid < 0) {
        perror("kith-bench: fork");
        return -1;
    }
    if (worker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[0]);
        close(to[1]);
        close(from[0]);
        close(from[1]);
        pin(cpu);
        execl("/proc/self/exe", "kith-bench", "--role", role, arg, (char *)NULL);
        perror("kith-bench: exec");
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    worker->in = fdopen(to[1], "w");
    worker->out = fdopen(from[0], "r");
    return 0;
}

void bench_worker_tell(struct bench_worker *worker, const char *line)
{
    snprintf(worker->step, sizeof(worker->step), "%s", line);
    fprintf(worker->in, "%s\n", line);
    fflush(worker->in);
}

/* One answer is one line, and comes after the one before was read: nothing waits in the buffer. */
static bool answers(struct bench_worker *worker)
{
    struct pollfd fd = {.fd = fileno(worker->out), .events = POLLIN};

    return poll(&fd, 1, BENCH_ANSWER_MS) > 0;
}

int bench_worker_ask(struct bench_worker *worker, const char *line, double *out, int max)
{
    char answer[512];
    int n = 0;

    if (line[0] != '\0')
        bench_worker_tell(worker, line);
    if (!answers(worker)) {
        fprintf(stderr, "kith-bench: process %d has not answered \"%s\" for %d s\n", worker->pid,
                worker->step, BENCH_ANSWER_MS / 1000);
        return -1;
    }
    if (fgets(answer, sizeof(answer), worker->out) == NULL) {
        fprintf(stderr, "kith-bench: a worker ended in step \"%s\"\n", worker->step);
        return -1;
    }
    for (char *at = answer, *end; n < max; at = end) {
        double value = strtod(at, &end);
        if (end == at)
            break;
        out[n++] = value;
    }
    return n;
}

void bench_worker_stop(struct bench_worker *worker)
{
    if (worker->pid <= 0)
        return;
    fclose(worker->in); /* workers end with their standard input */
    for (int i = 0; i < 300; i++) {
        if (waitpid(worker->pid, NULL, WNOHANG) == worker->pid) {
            worker->pid = 0;
            break;
        }
        usleep(10000);
    }
    if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        waitpid(worker->pid, NULL, 0);
    }
    fclose(worker->out);
    worker->pid = 0;
}
