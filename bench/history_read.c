#include "history_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define STEPS_MAX UINT64_C(200000000) /* of the search, a variable: some seconds */

struct line {
    struct history *history;
    json_t *object;
    uint32_t number;
    char *error;
    size_t error_bytes;
    bool bad;
};

__attribute__((format(printf, 2, 3))) static void fail(struct line *line, const char *format, ...)
{
    va_list args;
    int at;

    if (line->bad)
        return;
    line->bad = true;
    at = snprintf(line->error, line->error_bytes, "line %" PRIu32 ": ", line->number);
    if (at < 0 || (size_t)at >= line->error_bytes)
        return;
    va_start(args, format);
    vsnprintf(line->error + at, line->error_bytes - (size_t)at, format, args);
    va_end(args);
}

/* The index of a member's text in @names; fails if it is none of them. */
static uint8_t choice(struct line *line, const char *key, const char *const *names, size_t names_n)
{
    const char *text = json_string_value(json_object_get(line->object, key));

    for (size_t i = 0; text != NULL && i < names_n; i++) {
        if (strcmp(text, names[i]) == 0)
            return (uint8_t)i;
    }
    fail(line, "\"%s\" is %s, which is none of what it may be (\"%s\" for one)", key,
         text != NULL ? text : "missing", names[0]);
    return 0;
}

static int64_t integer(struct line *line, const char *key, int64_t otherwise, bool needed)
{
    const json_t *value = json_object_get(line->object, key);

    if (json_is_integer(value))
        return json_integer_value(value);
    if (needed || (value != NULL && !json_is_null(value)))
        fail(line, "\"%s\" is %s, and must be an integer", key,
             value == NULL ? "missing" : "something else");
    return otherwise;
}

/* @known_out (may be NULL): whether it is there at all, null included. */
static uint32_t text(struct line *line, const char *key, bool *known_out)
{
    const json_t *value = json_object_get(line->object, key);

    if (known_out != NULL)
        *known_out = value != NULL;
    if (value == NULL || json_is_null(value))
        return HISTORY_ABSENT;
    if (!json_is_string(value))
        fail(line, "\"%s\" must be a string, or null for absent", key);
    return history_text(line->history, json_string_value(value));
}

static void read_entry(struct line *line)
{
    struct history_entry e = {.line = line->number};
    uint32_t client = (uint32_t)integer(line, "client", 0, true);

    e.client = client;
    e.op = choice(line, "op", history_op_names, HISTORY_OPS_N);
    e.outcome = choice(line, "outcome", history_outcome_names, 3);
    e.name = text(line, "name", NULL);
    if (e.name == HISTORY_ABSENT)
        fail(line, "\"name\" is missing");
    e.arg = text(line, "arg", NULL);
    if (e.op == HISTORY_INCR && e.arg == HISTORY_ABSENT)
        e.arg = history_text(line->history, "1");
    e.expect = text(line, "expect", NULL);
    e.value = text(line, "value", &e.valued);
    e.valued = e.valued && e.outcome == HISTORY_OK;
    if (!e.valued && e.outcome == HISTORY_OK && e.op == HISTORY_SET) {
        e.valued = true; /* what is set is what it is then */
        e.value = e.arg;
    }
    if (e.op == HISTORY_DEL) {
        e.valued = e.outcome == HISTORY_OK;
        e.value = HISTORY_ABSENT;
    }
    e.lost = e.op == HISTORY_CAS && json_is_false(json_object_get(line->object, "ok"));
    e.version = (uint64_t)integer(line, "version", 0, false);
    e.fence = (uint64_t)integer(line, "fence", 0, false);
    e.start_ns = integer(line, "start_ns", 0, true);
    e.end_ns = e.outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : integer(line, "end_ns", 0, true);
    if (e.end_ns < e.start_ns)
        fail(line, "it ends before it starts");
    if (!line->bad)
        history_add(line->history, &e);
}

int history_read(struct history *history, FILE *file, char *error, size_t error_bytes)
{
    struct line line = {.history = history, .error = error, .error_bytes = error_bytes};
    char *bytes = NULL;
    size_t cap = 0;
    ssize_t len;

    while (!line.bad && (len = getline(&bytes, &cap, file)) >= 0) {
        json_error_t where;

        line.number++;
        if (strspn(bytes, " \t\r\n") == (size_t)len)
            continue;
        line.object = json_loadb(bytes, (size_t)len, 0, &where);
        if (!json_is_object(line.object))
            fail(&line, "this is no JSON object: %s",
                 line.object == NULL ? where.text : "it is of another type");
        else
            read_entry(&line);
        json_decref(line.object);
    }
    if (history->broken)
        fail(&line, "there is not enough memory for the history");
    free(bytes);
    return line.bad ? -1 : 0;
}

static void print_counts(const struct history *history)
{
    size_t n[3] = {0};

    for (size_t i = 0; i < history->n; i++)
        n[history->entries[i].outcome]++;
    printf("%zu operations: %zu ok, %zu failed, %zu unknown\n", history->n, n[HISTORY_OK],
           n[HISTORY_FAILED], n[HISTORY_UNKNOWN]);
}

int history_report(struct history *history)
{
    struct history_finding finding;
    char line[512];

    print_counts(history);
    history_judge(history, STEPS_MAX, &finding);
    switch (finding.verdict) {
    case HISTORY_HOLDS:
        puts("verdict: holds");
        return 0;
    case HISTORY_UNDECIDED:
        printf("verdict: holds as far as was looked; %s\n", finding.text);
        return 0;
    case HISTORY_VIOLATED:
        break;
    }
    printf("verdict: violated; %s\n", finding.text);
    for (size_t i = 0; i < finding.guilty_n; i++) {
        history_print(history, finding.guilty[i], line, sizeof(line));
        printf("  %s\n", line);
    }
    return 1;
}
