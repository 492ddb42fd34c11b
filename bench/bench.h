/*
 * What the parts of kith-bench share: samples, figures, and the worker processes that a benchmark
 * drives over pipes.
 *
 * A worker is this program started again with a role; it is pinned, gets one line for each step
 * ("latency 400") and answers with one line of numbers. So every system under test lives through
 * the whole benchmark, and rounds of them interleave.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_ECHO_BYTES 64
#define BENCH_BULK_BYTES (1024u * 1024u)
#define BENCH_WARM_MS    60
#define BENCH_ANSWER_MS  90000 /* longer than a worker waits before it says what it waited for */

uint64_t bench_now_ns(void);

struct bench_samples {
    double *values;
    size_t n, cap;
};
void bench_add(struct bench_samples *samples, double value);
double bench_percentile(struct bench_samples *samples, double percent); /* sorts */
static inline double bench_median(struct bench_samples *samples)
{
    return bench_percentile(samples, 50);
}
void bench_samples_deinit(struct bench_samples *samples);

/* ---- figures ---- */

struct bench_figure {
    const char *name;
    const char *unit;
    double value, low, high; /* median, 10 % and 90 % of the rounds */
    double baseline;         /* median of the baseline in the same rounds; NAN: none */
    double ratio;            /* median of the paired ratios; NAN: none */
    double target;           /* of the ratio, or of the value if there is no baseline; NAN: none */
    bool at_most;            /* the target is an upper bound */
    bool of_value;           /* the target is of the value in any case */
};
void bench_print(const struct bench_figure *figures, size_t n, bool json, const char *schema);

/* One figure measured each round, with the figure of the baseline in that round. */
struct bench_series {
    const char *name, *unit;
    struct bench_samples values, baselines, ratios;
    double target; /* 0: none */
    bool at_most;
    bool of_value; /* the target is of the value though there is a baseline */
};
/* @baseline may be NAN: there is none. A value of NAN was not measured, and is left out. */
void bench_note(struct bench_series *series, double value, double baseline);
struct bench_figure bench_figure_of(struct bench_series *series);

/* ---- workers ---- */

struct bench_worker {
    int pid;
    FILE *in, *out; /* we write to in, read from out */
    char step[200]; /* told last */
};
/* Starts `self ROLE ARG` on core @cpu (-1: anywhere). 0 or -1 with a message on stderr. */
int bench_worker_start(struct bench_worker *worker, const char *role, const char *arg, int cpu);
/* Sends one line and reads the numbers of the answer; returns how many, or -1, with a message on
 * stderr: it ended, or has not answered within BENCH_ANSWER_MS. */
int bench_worker_ask(struct bench_worker *worker, const char *line, double *out, int max);
/* All threads of a process run on core @cpu from now on, and those that they start; -1: anywhere.
 */
void bench_pin(int pid, int cpu);
/* Sends one line only; bench_worker_ask(worker, "", ...) reads its answer. */
void bench_worker_tell(struct bench_worker *worker, const char *line);
void bench_worker_stop(struct bench_worker *worker);

/* Roles; each returns an exit status. */
int bench_plain_server(const char *arg);
int bench_plain_client(const char *arg);
int bench_kith_server(const char *arg);
int bench_kith_client(const char *arg);
int bench_idle_node(const char *arg);
int bench_state_node(const char *arg); /* DIR:INDEX:SPIN_US */
int bench_file_node(const char *arg);  /* DIR:SEED_PORT */

/* Commands; each gets the words behind its name and returns an exit status. */
int bench_var(int argc, char **argv);
int bench_lock(int argc, char **argv);
int bench_history(int argc, char **argv);
int bench_http(int argc, char **argv);
int bench_file(int argc, char **argv);

/* Bytes a second of sealing, and of opening, records of 60 KiB with the default record cipher. */
double bench_seal_bytes_per_s(void);
double bench_open_bytes_per_s(void);

#endif
