/*
 * See history_client.h.
 *
 * Variables: four of text (set, compare-and-set, get, del), half of them durable; two counters; and
 * one that a mutex guards, read and written by whoever holds it, under its fence. Every value that
 * is set is unique, so that a checker can tell who wrote what.
 *
 * A client leaves its agent only when the socket breaks, which says that the agent is dead. To a
 * paused one it waits, as a program would; so no lock is left behind at an agent that lives.
 */
#include "history_client.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "kith/error.h"
#include "node/agent_client.h"

#define THINK_US    3000  /* at most, between two operations */
#define BACK_OFF_US 30000 /* after one that failed */
#define SILENT_MS   90000 /* an agent that does not answer for so long */
#define LOCK_MS     4000
#define VAR_MS      3000

/* ---- what is written ---- */

struct record {
    const char *op, *name;
    const char *arg, *expect; /* NULL: none */
    bool has_expect;          /* also if expect is NULL, which is absent then */
    uint64_t fence;
    /* What came of it. */
    const char *outcome;
    char error[40]; /* "KITH_E_..." of what failed; "" if nobody said */
    bool lost;      /* a compare-and-set that found something else */
    bool has_value, absent;
    char value[64];
    uint64_t version;
    uint64_t start_ns, end_ns;
};

static void put_text(FILE *out, const char *key, const char *text)
{
    /* Names and values here need no escapes. */
    if (text == NULL)
        fprintf(out, ",\"%s\":null", key);
    else
        fprintf(out, ",\"%s\":\"%s\"", key, text);
}

static void write_record(struct history_client *client, const struct record *record)
{
    struct history_run *run = client->run;
    FILE *out = run->out;

    pthread_mutex_lock(&run->mutex);
    fprintf(out, "{\"client\":%u,\"op\":\"%s\",\"name\":\"%s\"", client->no, record->op,
            record->name);
    if (record->arg != NULL)
        put_text(out, "arg", record->arg);
    if (record->has_expect)
        put_text(out, "expect", record->expect);
    fprintf(out, ",\"outcome\":\"%s\"", record->outcome);
    if (record->error[0] != '\0')
        put_text(out, "error", record->error);
    if (record->lost)
        fputs(",\"ok\":false", out);
    if (record->has_value)
        put_text(out, "value", record->absent ? NULL : record->value);
    if (record->version != 0)
        fprintf(out, ",\"version\":%" PRIu64, record->version);
    if (record->fence != 0)
        fprintf(out, ",\"fence\":%" PRIu64, record->fence);
    fprintf(out, ",\"start_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64 "}\n", record->start_ns,
            record->end_ns);
    pthread_mutex_unlock(&run->mutex);
    atomic_fetch_add(&run->done_n, 1);
}

/* ---- asking ---- */

static bool ends(const struct history_client *client)
{
    return atomic_load(&client->run->phase) == PHASE_BREAK;
}

/* An agent that takes connections; another one than before. False: the run ends. */
static bool connect_any(struct history_client *client)
{
    while (client->agent == NULL && !ends(client)) {
        const struct history_run *run = client->run;
        client->socket = (client->socket + 1) % run->sockets_n;
        if (agent_client_open(&client->agent, run->sockets[client->socket]) != 0)
            usleep(BACK_OFF_US);
    }
    return client->agent != NULL;
}

/* Sends one request and waits for its reply. 0, or KITH_E_*: nobody knows what came of it. @args is
 * taken. */
static int ask(struct history_client *client,
               const char *verb,
               json_t *args,
               const char *data,
               struct agent_message *message)
{
    size_t len = data != NULL ? strlen(data) : 0;
    json_t *line =
        json_pack("{s:I,s:s,s:o}", "id", (json_int_t)++client->request, "verb", verb, "args", args);

    if (len > 0)
        json_object_set_new(line, "data_bytes", json_integer((json_int_t)len));
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    int r = text != NULL ? agent_client_send(client->agent, text, data, len) : KITH_E_MEMORY;
    free(text);
    while (r == 0) {
        r = agent_client_receive(client->agent, SILENT_MS, message);
        if (r == 0 &&
            json_integer_value(json_object_get(message->json, "id")) == (json_int_t)client->request)
            return 0;
    }
    agent_client_close(client->agent);
    client->agent = NULL;
    return r;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

/* "ok", or what its error says. */
static const char *outcome_of(const struct agent_message *message, bool reads)
{
    const json_t *error = json_object_get(message->json, "error");
    const char *code = json_string_value(json_object_get(error, "code"));

    if (json_is_true(json_object_get(message->json, "ok")))
        return "ok";
    return !reads && code != NULL && strcmp(code, "KITH_E_UNKNOWN_OUTCOME") == 0 ? "unknown"
                                                                                 : "failed";
}

static void keep_error(const struct agent_message *message, struct record *record)
{
    const char *code =
        json_string_value(json_object_get(json_object_get(message->json, "error"), "code"));
    snprintf(record->error, sizeof(record->error), "%s", code != NULL ? code : "");
}

/* A read that says in an error that there is nothing has read all the same. */
static bool is_absent(const struct agent_message *message)
{
    const char *code =
        json_string_value(json_object_get(json_object_get(message->json, "error"), "code"));
    return code != NULL && strcmp(code, "KITH_E_NOT_FOUND") == 0;
}

/* One operation on a variable, from the request to the line in the history. */
static bool do_var(struct history_client *client, const char *verb, json_t *args, struct record *of)
{
    bool reads = strcmp(of->op, "get") == 0;
    struct agent_message message;

    json_object_set_new(args, "name", json_string(of->name));
    json_object_set_new(args, "timeout_ms", json_integer(VAR_MS));
    if (of->fence != 0) {
        char fence[24];
        snprintf(fence, sizeof(fence), "%" PRIu64, of->fence);
        json_object_set_new(args, "mutex", json_sprintf("%sm", client->run->prefix));
        json_object_set_new(args, "fence", json_string(fence));
    }
    if (!connect_any(client)) {
        json_decref(args);
        return false;
    }
    of->start_ns = bench_now_ns();
    int r =
        ask(client, verb, args, reads || strcmp(of->op, "incr") == 0 ? NULL : of->arg, &message);
    of->end_ns = bench_now_ns();
    of->outcome = r == 0 ? outcome_of(&message, reads) : reads ? "failed" : "unknown";
    if (r == 0 && reads && is_absent(&message)) {
        of->outcome = "ok";
        of->has_value = of->absent = true;
        write_record(client, of);
        return true;
    }
    if (r == 0)
        keep_error(&message, of);
    if (strcmp(of->outcome, "ok") == 0) {
        const json_t *result = json_object_get(message.json, "result");
        of->version = number_of(result, "version");
        of->has_value = true;
        of->absent = !json_is_true(json_object_get(result, "found")) || strcmp(of->op, "del") == 0;
        of->lost = strcmp(of->op, "cas") == 0 && !json_is_true(json_object_get(result, "applied"));
        if (of->arg != NULL && !of->lost && strcmp(of->op, "incr") != 0)
            snprintf(of->value, sizeof(of->value), "%s", of->arg);
        else
            snprintf(of->value, sizeof(of->value), "%.*s", (int)message.data_len,
                     message.data_len > 0 ? (const char *)message.data : "");
    }
    write_record(client, of);
    if (strcmp(of->outcome, "ok") != 0)
        usleep(BACK_OFF_US);
    return strcmp(of->outcome, "ok") == 0;
}

/* ---- operations ---- */

static const char *new_value(struct history_client *client, char out[48])
{
    snprintf(out, 48, "%u.%" PRIu64, client->no, ++client->value_n);
    return out;
}

static json_t *creating(unsigned which)
{
    return json_pack("{s:s}", "policy", which % 2 == 0 ? "durable" : "volatile");
}

static void text_op(struct history_client *client, unsigned which, unsigned choice)
{
    char name[64], value[48], expect[48];
    struct record record = {.name = name};
    char *seen = client->seen[which];
    bool ok;

    snprintf(name, sizeof(name), "%sx%u", client->run->prefix, which);
    if (choice < 45) {
        record.op = "get";
        ok = do_var(client, "var.get", json_object(), &record);
    } else if (choice < 70) {
        record.op = "set";
        record.arg = new_value(client, value);
        ok = do_var(client, "var.set", creating(which), &record);
    } else if (choice < 95) {
        json_t *args = creating(which);
        record.op = "cas";
        record.arg = new_value(client, value);
        record.has_expect = true;
        if (seen[0] != '\0') {
            snprintf(expect, sizeof(expect), "%s", seen);
            record.expect = expect;
            json_object_set_new(args, "expect", json_string(expect));
        }
        ok = do_var(client, "var.cas", args, &record);
    } else {
        record.op = "del";
        ok = do_var(client, "var.rm", json_object(), &record);
    }
    if (ok)
        snprintf(seen, sizeof(client->seen[which]), "%.47s", record.absent ? "" : record.value);
}

static void count_op(struct history_client *client, unsigned which, unsigned choice)
{
    char name[64];
    struct record record = {.name = name, .op = "get"};

    snprintf(name, sizeof(name), "%sn%u", client->run->prefix, which);
    if (choice < 40) {
        (void)do_var(client, "var.get", json_object(), &record);
        return;
    }
    record.op = "incr";
    record.arg = "1";
    json_t *args = creating(which);
    json_object_set_new(args, "delta", json_string("1"));
    (void)do_var(client, "var.incr", args, &record);
}

static bool acquire(struct history_client *client, const char *name, uint64_t *fence_out)
{
    struct record record = {.op = "lock", .name = name};
    struct agent_message message;

    if (!connect_any(client))
        return false;
    json_t *args = json_pack("{s:s,s:i,s:I}", "name", name, "wait_ms", LOCK_MS, "keeper_pid",
                             (json_int_t)getpid());
    record.start_ns = bench_now_ns();
    int r = ask(client, "lock.acquire", args, NULL, &message);
    record.end_ns = bench_now_ns();
    record.outcome = r == 0 ? outcome_of(&message, false) : "unknown";
    if (r == 0)
        keep_error(&message, &record);
    if (strcmp(record.outcome, "ok") == 0)
        record.fence = number_of(json_object_get(message.json, "result"), "fence");
    *fence_out = record.fence;
    write_record(client, &record);
    if (record.fence == 0)
        usleep(BACK_OFF_US);
    return record.fence != 0;
}

static void release(struct history_client *client, const char *name, uint64_t fence)
{
    struct record record = {.op = "unlock", .name = name, .fence = fence};
    struct agent_message message;
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, fence);
    json_t *args = json_pack("{s:s,s:s}", "name", name, "fence", text);
    record.start_ns = bench_now_ns();
    int r = ask(client, "lock.release", args, NULL, &message);
    record.end_ns = bench_now_ns();
    record.outcome = r == 0 ? outcome_of(&message, false) : "unknown";
    if (r == 0)
        keep_error(&message, &record);
    if (strcmp(record.outcome, "ok") == 0) {
        const char *state =
            json_string_value(json_object_get(json_object_get(message.json, "result"), "state"));
        if (state == NULL || strcmp(state, "released") != 0)
            record.outcome = "failed"; /* it was lost before */
    }
    write_record(client, &record);
}

/* lock; get; set what depends on it; unlock. */
static void guarded(struct history_client *client)
{
    char name[64], guarded_name[64], value[48];
    uint64_t fence;

    snprintf(name, sizeof(name), "%sm", client->run->prefix);
    snprintf(guarded_name, sizeof(guarded_name), "%sg", client->run->prefix);
    if (!acquire(client, name, &fence))
        return;
    struct record get = {.op = "get", .name = guarded_name, .fence = fence};
    bool ok = do_var(client, "var.get", json_object(), &get);
    if (ok && client->agent != NULL) {
        struct record set = {.op = "set", .name = guarded_name, .fence = fence};
        set.arg = new_value(client, value);
        (void)do_var(client, "var.set", creating(0), &set);
    }
    if (client->agent != NULL) /* else it died with its agent */
        release(client, name, fence);
}

static void one_op(struct history_client *client)
{
    unsigned kind = (unsigned)rng_below(&client->rng, 100);
    unsigned choice = (unsigned)rng_below(&client->rng, 100);

    if (kind < 60)
        text_op(client, (unsigned)rng_below(&client->rng, HISTORY_TEXTS_N), choice);
    else if (kind < 85)
        count_op(client, (unsigned)rng_below(&client->rng, 2), choice);
    else
        guarded(client);
}

static void last_reads(struct history_client *client)
{
    char name[64];
    struct record record;

    for (unsigned i = 0; i < HISTORY_TEXTS_N && !ends(client); i++)
        text_op(client, i, 0);
    for (unsigned i = 0; i < 2 && !ends(client); i++)
        count_op(client, i, 0);
    snprintf(name, sizeof(name), "%sg", client->run->prefix);
    record = (struct record){.op = "get", .name = name};
    (void)do_var(client, "var.get", json_object(), &record);
}

static void *client_main(void *arg)
{
    struct history_client *client = arg;
    int phase;

    while ((phase = atomic_load(&client->run->phase)) == PHASE_LOAD) {
        one_op(client);
        usleep((useconds_t)rng_below(&client->rng, THINK_US));
    }
    if (phase == PHASE_READ)
        last_reads(client);
    agent_client_close(client->agent);
    atomic_fetch_add(&client->run->ended_n, 1);
    return NULL;
}

int history_client_begin(struct history_client *client,
                         struct history_run *run,
                         unsigned no,
                         uint64_t seed)
{
    *client = (struct history_client){.run = run, .no = no, .socket = no % run->sockets_n};
    rng_init(&client->rng, seed + no * 7919u + 1);
    return pthread_create(&client->thread, NULL, client_main, client);
}

void history_client_join(struct history_client *client)
{
    pthread_join(client->thread, NULL);
}
