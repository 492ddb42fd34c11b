/* See agent.h. */
#include "mount/agent.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "kith.h"
#include "node/agent_client.h"

#define ANSWER_MS (5 * 60 * 1000) /* the agent gives up a read after 60 s, a put takes its time */
#define SPARE_MAX 8               /* connections that are kept; the socket takes 128 */
#define PIECE     (4 * 1024 * 1024)

struct agent {
    const char *socket_path;
    pthread_mutex_t lock;
    struct agent_client *spare[SPARE_MAX];
    size_t spare_n;
};

struct agent *agent_new(const char *socket_path)
{
    struct agent *agent = core_calloc(1, sizeof(*agent));

    if (agent == NULL)
        return NULL;
    agent->socket_path = socket_path;
    (void)pthread_mutex_init(&agent->lock, NULL);
    return agent;
}

void agent_free(struct agent *agent)
{
    for (size_t i = 0; i < agent->spare_n; i++)
        agent_client_close(agent->spare[i]);
    (void)pthread_mutex_destroy(&agent->lock);
    core_free(agent);
}

int errno_of(const char *code)
{
    static const struct {
        const char *code;
        int number;
    } known[] = {
        {"KITH_E_NOT_FOUND", ENOENT},
        {"KITH_E_EXISTS", EEXIST},
        {"KITH_E_NAME", EINVAL},
        {"KITH_E_INVALID", EINVAL},
        {"KITH_E_PERMISSION", EACCES},
        {"KITH_E_UNREACHABLE", EHOSTUNREACH},
        {"KITH_E_AGAIN", EBUSY},
        {"KITH_E_BUSY", EBUSY},
        {"KITH_E_LIMIT", EDQUOT},
        {"KITH_E_TIMEOUT", ETIMEDOUT},
        {"KITH_E_CANCELED", EINTR},
        {"KITH_E_TOO_LARGE", EFBIG},
        {"KITH_E_FENCE", ESTALE},
        {"KITH_E_MEMORY", ENOMEM},
        {"KITH_E_UNSUPPORTED", EOPNOTSUPP},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].code, code) == 0)
            return -known[i].number;
    }
    return -EIO;
}

/* ---- connections ---- */

/* One that is free, or a new one. *@kept_out: it was kept, so its agent may be gone. */
static struct agent_client *take_client(struct agent *agent, bool *kept_out)
{
    struct agent_client *client = NULL;

    (void)pthread_mutex_lock(&agent->lock);
    if (agent->spare_n > 0)
        client = agent->spare[--agent->spare_n];
    (void)pthread_mutex_unlock(&agent->lock);
    *kept_out = client != NULL;
    if (client == NULL && agent_client_open(&client, agent->socket_path) != 0)
        return NULL;
    return client;
}

static void give_back(struct agent *agent, struct agent_client *client)
{
    (void)pthread_mutex_lock(&agent->lock);
    if (agent->spare_n < SPARE_MAX) {
        agent->spare[agent->spare_n++] = client;
        client = NULL;
    }
    (void)pthread_mutex_unlock(&agent->lock);
    agent_client_close(client);
}

void answer_done(struct answer *answer)
{
    if (answer->client != NULL)
        give_back(answer->agent, answer->client);
    *answer = (struct answer){0};
}

/* ---- questions ---- */

/* What is not plain from the number is said: with --foreground somebody may read it. */
static int refused(const char *verb, const struct agent_message *message)
{
    json_t *error = json_object_get(message->json, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *text = json_string_value(json_object_get(error, "message"));
    int number = errno_of(code != NULL ? code : "");

    if (number != -ENOENT && number != -EEXIST)
        (void)fprintf(stderr, "kith-mount: %s: %s\n", verb, text != NULL ? text : "refused");
    return number;
}

static int send_one(struct agent_client *client,
                    int id,
                    const char *verb,
                    json_t *args,
                    const void *data,
                    size_t len)
{
    json_t *request = json_pack("{s:i,s:s,s:O,s:I}", "id", id, "verb", verb, "args", args,
                                "data_bytes", (json_int_t)len);
    char *line = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    int r = line == NULL ? KITH_E_INVALID : agent_client_send(client, line, data, len);

    json_decref(request);
    free(line);
    return r;
}

/* The answer to the question @id, partial or whole. 0 or a negative code of ours. */
static int receive_one(struct agent_client *client, int id, struct agent_message *message)
{
    int r;

    do {
        r = agent_client_receive(client, ANSWER_MS, message);
    } while (r == 0 && json_integer_value(json_object_get(message->json, "id")) != id);
    return r;
}

static int lost(const char *verb, int r)
{
    if (r == KITH_E_INVALID)
        return -EINVAL; /* a name that is no UTF-8 */
    (void)fprintf(stderr, "kith-mount: %s: %s\n", verb, kith_errmsg());
    return r == KITH_E_TIMEOUT ? -ETIMEDOUT : r == KITH_E_MEMORY ? -ENOMEM : -ENOTCONN;
}

int agent_ask(struct agent *agent,
              const char *verb,
              json_t *args,
              const void *data,
              size_t len,
              struct answer *out)
{
    struct agent_message message;
    struct agent_client *client;
    bool kept = true;
    int r = KITH_E_NO_AGENT;

    *out = (struct answer){0};
    if (args == NULL)
        return -EINVAL; /* a name that is no UTF-8 */
    /* those that were kept may be of an agent that has gone: until a new one is asked */
    while (r == KITH_E_NO_AGENT && kept) {
        client = take_client(agent, &kept);
        if (client == NULL)
            break;
        r = send_one(client, 1, verb, args, data, len);
        if (r == 0)
            r = receive_one(client, 1, &message);
        if (r != 0)
            agent_client_close(client);
    }
    json_decref(args);
    if (r != 0)
        return lost(verb, r);
    if (!json_is_true(json_object_get(message.json, "ok"))) {
        r = refused(verb, &message);
        give_back(agent, client);
        return r;
    }
    *out = (struct answer){.agent = agent,
                           .client = client,
                           .result = json_object_get(message.json, "result"),
                           .data = message.data,
                           .len = message.data_len};
    return 0;
}

/* ---- putting ---- */

struct putting {
    struct agent_client *client;
    char upload[64];
    uint8_t *piece;
    int fd;
};

enum { PUT_ID = 1, PIECE_ID = 2 };

static int step(struct putting *put,
                int wait_for,
                int id,
                const char *verb,
                json_t *args,
                const void *data,
                size_t len)
{
    struct agent_message message;
    int r = send_one(put->client, id, verb, args, data, len);

    json_decref(args);
    /* what comes of the put itself before its time is its failure */
    do {
        if (r == 0)
            r = agent_client_receive(put->client, ANSWER_MS, &message);
        if (r != 0)
            return lost(verb, r);
        if (!json_is_true(json_object_get(message.json, "ok")))
            return refused("fs.put", &message);
    } while (json_integer_value(json_object_get(message.json, "id")) != wait_for);
    const char *upload =
        json_string_value(json_object_get(json_object_get(message.json, "result"), "upload"));
    if (upload != NULL)
        (void)snprintf(put->upload, sizeof(put->upload), "%s", upload);
    return 0;
}

static json_t *of_upload(const struct putting *put)
{
    return json_pack("{s:s}", "upload", put->upload);
}

static int put_all(struct putting *put, json_t *args)
{
    int r = step(put, PUT_ID, PUT_ID, "fs.put", json_incref(args), NULL, 0);

    for (off_t at = 0; r == 0;) {
        ssize_t n = pread(put->fd, put->piece, PIECE, at);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        r = step(put, PIECE_ID, PIECE_ID, "fs.put.data", of_upload(put), put->piece, (size_t)n);
        at += n;
    }
    return r == 0 ? step(put, PUT_ID, PIECE_ID, "fs.put.end", of_upload(put), NULL, 0) : r;
}

/* What fits one question: a third of the round trips. */
static int put_small(struct agent *agent, json_t *args, int fd, uint8_t *piece, size_t size)
{
    struct answer answer;
    ssize_t n = pread(fd, piece, size, 0);

    if (n < 0)
        return -errno;
    int r = agent_ask(agent, "fs.write", json_incref(args), piece, (size_t)n, &answer);
    answer_done(&answer);
    return r;
}

int agent_put(struct agent *agent, const char *path, json_t *args, int fd)
{
    struct putting put = {.fd = fd, .piece = core_malloc(PIECE)};
    struct stat st;
    int r;

    if (args == NULL || put.piece == NULL ||
        json_object_set_new(args, "path", json_string(path)) != 0)
        r = put.piece == NULL ? -ENOMEM : -EINVAL;
    else if (fstat(fd, &st) == 0 && st.st_size <= PIECE)
        r = put_small(agent, args, fd, put.piece, (size_t)st.st_size);
    else if (agent_client_open(&put.client, agent->socket_path) != 0)
        r = lost("fs.put", KITH_E_NO_AGENT);
    else
        r = put_all(&put, args);
    agent_client_close(put.client);
    json_decref(args);
    core_free(put.piece);
    return r;
}
