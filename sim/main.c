/*
 * kith-sim: runs a scenario of the simulated world and prints its figures as JSON.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/mutant.h"
#include "core/text.h"
#include "scenario.h"

#define NODES_MAX  2000
#define EXIT_USAGE 2

static void usage(FILE *out)
{
    fputs("usage: kith-sim --scenario NAME [options]\n"
          "       kith-sim --list\n"
          "\n"
          "Runs the shipped cores in a simulated world and prints figures as JSON. The same seed\n"
          "gives the same run, to the last event. Ends with 0 if nothing failed and every target\n"
          "was met, with 1 if not.\n"
          "\n"
          "  --scenario NAME   what to run (--list says what there is)\n"
          "  --nodes N         how many nodes; each scenario has its default\n"
          "  --seed X          the first seed (1)\n"
          "  --seeds K         how many seeds, one after the other (1)\n"
          "  --time T          simulated time a seed: 90s, 10m, 24h\n"
          "  --profile P       lan (default), fast or wan\n"
          "  --detector echo   every peer echoed each interval instead of the default detector\n"
          "  --plain-swim      without the Lifeguard extensions\n"
          "  --real-crypto     real keys, signatures and sealed datagrams (slow)\n"
          "  --check           the cores' own invariants after every step\n"
          "  --forever         seed after seed until something fails\n"
          "  --log FILE        a line an event, - is stderr\n"
          "  --json            all on one line\n"
          "\n"
          "examples:\n"
          "  kith-sim --scenario member-crash --nodes 100 --seed 1 --seeds 20\n"
          "  kith-sim --scenario swarm --seed 4711 --log swarm.log\n",
          out);
}

static void list(void)
{
    for (size_t i = 0; scenarios[i] != NULL; i++)
        printf("%-18s %s\n", scenarios[i]->name, scenarios[i]->line);
}

struct arguments {
    const char *scenario;
    uint64_t seed, seeds_n;
    bool forever, one_line;
    struct scenario_options options;
};

__attribute__((format(printf, 1, 2))) static int fail_usage(const char *format, ...)
{
    va_list args;

    fputs("kith-sim: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; kith-sim --help shows the options\n", stderr);
    return EXIT_USAGE;
}

static int no_scenario(const char *name)
{
    const char *names[64];
    size_t n = 0;

    for (; scenarios[n] != NULL && n < 64; n++)
        names[n] = scenarios[n]->name;
    const char *nearest = text_nearest(name, names, n);
    fprintf(stderr, "kith-sim: no scenario is called '%s'", name);
    if (nearest != NULL)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fputs(" (kith-sim --list shows all)\n", stderr);
    return EXIT_USAGE;
}

static int set_profile(const char *text, enum member_profile *out)
{
    static const char *const names[] = {"lan", "fast", "wan"};
    static const enum member_profile profiles[] = {MEMBER_LAN, MEMBER_FAST, MEMBER_WAN};

    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = profiles[i];
            return 0;
        }
    }
    return fail_usage("'%s' is no profile: lan, fast or wan", text);
}

enum option_code {
    OPT_SCENARIO = 256,
    OPT_LIST,
    OPT_NODES,
    OPT_SEED,
    OPT_SEEDS,
    OPT_TIME,
    OPT_PROFILE,
    OPT_DETECTOR,
    OPT_PLAIN_SWIM,
    OPT_REAL_CRYPTO,
    OPT_CHECK,
    OPT_CLASSES,
    OPT_FOREVER,
    OPT_LOG,
    OPT_JSON,
    OPT_MUTANT,
};

static const struct option options[] = {
    {"scenario", required_argument, NULL, OPT_SCENARIO},
    {"list", no_argument, NULL, OPT_LIST},
    {"nodes", required_argument, NULL, OPT_NODES},
    {"seed", required_argument, NULL, OPT_SEED},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"time", required_argument, NULL, OPT_TIME},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"detector", required_argument, NULL, OPT_DETECTOR},
    {"plain-swim", no_argument, NULL, OPT_PLAIN_SWIM},
    {"real-crypto", no_argument, NULL, OPT_REAL_CRYPTO},
    {"check", no_argument, NULL, OPT_CHECK},
    {"classes", required_argument, NULL, OPT_CLASSES},
    {"forever", no_argument, NULL, OPT_FOREVER},
    {"log", required_argument, NULL, OPT_LOG},
    {"json", no_argument, NULL, OPT_JSON},
    {"mutant", required_argument, NULL, OPT_MUTANT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int set_mutant(const char *name)
{
#ifdef KITH_MUTANTS
    for (unsigned i = 1; i < MUTANTS_N; i++) {
        if (strcmp(name, mutant_names[i]) == 0) {
            mutant_on = i;
            return 0;
        }
    }
    return fail_usage("'%s' is no rule that can be removed", name);
#else
    return fail_usage("--mutant %s: this is the shipped build, which has every rule", name);
#endif
}

static int set_log(const char *path, FILE **out)
{
    if (strcmp(path, "-") == 0) {
        *out = stderr;
        return 0;
    }
    *out = fopen(path, "we");
    return *out != NULL ? 0 : fail_usage("the log '%s' cannot be written", path);
}

/* 0, or the code to end with. */
static int set_option(struct arguments *a, int c, const char *value)
{
    uint64_t number = 0;

    switch (c) {
    case OPT_SCENARIO:
        a->scenario = value;
        return 0;
    case OPT_NODES:
        if (text_parse_u64(value, 1, NODES_MAX, &number) < 0)
            return fail_usage("--nodes %s: 1 to 2000", value);
        a->options.nodes_n = (size_t)number;
        return 0;
    case OPT_SEED:
        return text_parse_u64(value, 0, UINT64_MAX, &a->seed) < 0
                   ? fail_usage("--seed %s: not a number", value)
                   : 0;
    case OPT_SEEDS:
        return text_parse_u64(value, 1, UINT64_MAX, &a->seeds_n) < 0
                   ? fail_usage("--seeds %s: not a number above 0", value)
                   : 0;
    case OPT_TIME:
        return text_parse_duration_ms(value, &a->options.time_ms) < 0
                   ? fail_usage("--time %s: not a time such as 90s, 10m or 24h", value)
                   : 0;
    case OPT_PROFILE:
        return set_profile(value, &a->options.profile);
    case OPT_DETECTOR:
        if (strcmp(value, "echo") != 0)
            return fail_usage("--detector %s: only 'echo' is another one than the default", value);
        a->options.detector_echo = true;
        return 0;
    case OPT_CLASSES:
        if (text_parse_u64(value, 1, UINT32_MAX, &number) < 0)
            return fail_usage("--classes %s: not a number", value);
        a->options.classes = (uint32_t)number;
        return 0;
    case OPT_LOG:
        return set_log(value, &a->options.log);
    case OPT_MUTANT:
        return set_mutant(value);
    default:
        break;
    }
    a->options.lifeguard_off |= c == OPT_PLAIN_SWIM;
    a->options.real_crypto |= c == OPT_REAL_CRYPTO;
    a->options.check |= c == OPT_CHECK;
    a->forever |= c == OPT_FOREVER;
    a->one_line |= c == OPT_JSON;
    return 0;
}

/* -1: go on; else the code to end with. */
static int parse(int argc, char **argv, struct arguments *a)
{
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h') {
            usage(stdout);
            return 0;
        }
        if (c == OPT_LIST) {
            list();
            return 0;
        }
        if (c == ':')
            return fail_usage("%s wants a value", argv[optind - 1]);
        if (c == '?')
            return fail_usage("'%s' is no option", argv[optind - 1]);
        int r = set_option(a, c, optarg);
        if (r != 0)
            return r;
    }
    if (optind < argc)
        return fail_usage("'%s' is one argument too many", argv[optind]);
    if (a->scenario == NULL)
        return fail_usage("%s", "nothing to do without --scenario NAME");
    return -1;
}

/* ---- the report ---- */

static void put_series(struct json *json, const struct scn *scn, const struct scn_series *series)
{
    json_key(json, series->name);
    if (series->counter) {
        json_f64(json, series->sum);
        return;
    }
    json_object_begin(json);
    json_kv_u64(json, "n", series->n);
    json_kv_text(json, "unit", series->unit);
    json_kv_f64(json, "median", scn_stat(scn, series->name, SCN_MEDIAN));
    json_kv_f64(json, "mean", scn_stat(scn, series->name, SCN_MEAN));
    json_kv_f64(json, "min", scn_stat(scn, series->name, SCN_MIN));
    json_kv_f64(json, "max", scn_stat(scn, series->name, SCN_MAX));
    json_kv_f64(json, "p99", scn_stat(scn, series->name, SCN_P99));
    json_object_end(json);
}

static void put_failures(struct json *json, struct scn *scn)
{
    json_key(json, "failures");
    json_array_begin(json);
    if (scn->failures.len > 0) {
        for (char *line = (char *)scn->failures.data, *end = line + scn->failures.len;
             line < end;) {
            char *stop = memchr(line, '\n', (size_t)(end - line));

            json_text_n(json, line, (size_t)(stop - line));
            line = stop + 1;
        }
    }
    json_array_end(json);
    json_kv_u64(json, "failures_n", scn->failures_n);
}

/* Line breaks after the commas of the first two levels, for people. */
static void print_pretty(const struct buf *text)
{
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text->len; i++) {
        char c = (char)text->data[i];

        if (c == '"' && (i == 0 || text->data[i - 1] != '\\'))
            quoted = !quoted;
        if (!quoted && (c == '}' || c == ']') && depth-- <= 2)
            printf("\n%*s", 2 * depth, "");
        putchar(c);
        if (!quoted && (c == '{' || c == '[') && depth++ < 2)
            printf("\n%*s", 2 * depth, "");
        if (!quoted && c == ',' && depth <= 2)
            printf("\n%*s", 2 * depth, "");
    }
    putchar('\n');
}

static double clock_s(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct spent {
    double wall_s, cpu_s;
};

static struct spent spent_now(void)
{
    return (struct spent){.wall_s = clock_s(CLOCK_MONOTONIC),
                          .cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report(struct scn *scn,
                   const struct arguments *a,
                   uint64_t seeds_n,
                   const struct spent *spent,
                   bool ok)
{
    static const char *const profiles[] = {
        [MEMBER_LAN] = "lan", [MEMBER_FAST] = "fast", [MEMBER_WAN] = "wan"};
    struct buf text = {0};
    struct json json = json_begin(&text);
    char hash[24];

    snprintf(hash, sizeof(hash), "%016" PRIx64, scn->hash);
    json_object_begin(&json);
    json_kv_text(&json, "schema", "kith.sim/1");
    json_kv_text(&json, "scenario", scn->scenario->name);
    json_kv_u64(&json, "nodes", scn->options.nodes_n);
    json_kv_text(&json, "profile", profiles[scn->options.profile]);
    json_key(&json, "seed");
    json_u64_text(&json, a->seed);
    json_kv_u64(&json, "seeds", seeds_n);
    json_kv_u64(&json, "time_ms", scn->options.time_ms);
    json_kv_bool(&json, "ok", ok);
    json_key(&json, "figures");
    json_object_begin(&json);
    for (size_t i = 0; i < scn->series_n; i++)
        put_series(&json, scn, &scn->series[i]);
    json_object_end(&json);
    json_key(&json, "targets");
    json_array_begin(&json);
    for (size_t i = 0; i < scn->targets_n; i++) {
        json_object_begin(&json);
        json_kv_text(&json, "name", scn->targets[i].name);
        json_kv_f64(&json, "value", scn->targets[i].value);
        json_kv_text(&json, "bound", scn->targets[i].at_least ? "at least" : "at most");
        json_kv_f64(&json, "target", scn->targets[i].target);
        json_kv_bool(&json, "met", scn->targets[i].met);
        json_object_end(&json);
    }
    json_array_end(&json);
    put_failures(&json, scn);
    json_kv_u64(&json, "events", scn->events_n);
    json_kv_f64(&json, "wall_s", spent->wall_s);
    json_kv_f64(&json, "cpu_s", spent->cpu_s);
    /* Of processor time: one core is what there is, and others may use it too. */
    json_kv_f64(&json, "events_per_s", round((double)scn->events_n / spent->cpu_s));
    json_kv_text(&json, "trace_hash", hash);
    json_object_end(&json);
    if (json_end(&json) < 0)
        abort();
    if (a->one_line)
        printf("%.*s\n", (int)text.len, (char *)text.data);
    else
        print_pretty(&text);
    buf_deinit(&text);
}

int main(int argc, char **argv)
{
    struct arguments a = {.seed = 1, .seeds_n = 1};
    struct scn scn = {0};
    int r = parse(argc, argv, &a);

    if (r >= 0)
        return r;
    scn.scenario = scenario_find(a.scenario);
    if (scn.scenario == NULL)
        return no_scenario(a.scenario);
    if (a.options.nodes_n == 0)
        a.options.nodes_n = scn.scenario->nodes_default;
    if (a.options.nodes_n < scn.scenario->nodes_min) {
        fprintf(stderr, "kith-sim: %s needs at least %zu nodes; use --nodes\n", scn.scenario->name,
                scn.scenario->nodes_min);
        return EXIT_USAGE;
    }
    if (a.options.time_ms == 0)
        a.options.time_ms = scn.scenario->time_default_ms;
    scn.options = a.options;
    struct spent spent = spent_now();
    bool ok = scenario_run(&scn, a.seed, a.seeds_n);
    uint64_t seeds_n = a.seeds_n;
    while (a.forever && scn.failures_n == 0) {
        fprintf(stderr, "\rseed %" PRIu64 ", %" PRIu64 " million events, no failure ",
                a.seed + seeds_n, scn.events_n / 1000000);
        scn.targets_n = 0;
        ok = scenario_run(&scn, a.seed + seeds_n++, 1);
    }
    struct spent now = spent_now();
    spent.wall_s = now.wall_s - spent.wall_s;
    spent.cpu_s = now.cpu_s - spent.cpu_s;
    report(&scn, &a, seeds_n, &spent, ok);
    scn_deinit(&scn);
    return ok ? 0 : 1;
}
