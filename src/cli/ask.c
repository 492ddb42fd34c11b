/* Asking the agent (see cli.h): choose a socket, send requests, tell replies from errors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/error.h"
#include "kith.h"

/* True if the verb has this option and it was given. */
static const char *choice_text(const struct cli *cli, const char *name)
{
    const struct opt *opt;

    for (size_t i = 0; (opt = verb_option(cli->args.verb, i)) != NULL; i++) {
        if (strcmp(opt->name, name) == 0)
            return args_text(&cli->args, name);
    }
    return NULL;
}

static int choose_dev(struct cli *cli, const char *dev, const char *dir)
{
    char base[4096];
    char choice[4200];
    unsigned first = 0;

    if (dir == NULL) {
        int r = agent_dev_dir_default(base, sizeof(base));
        if (r != 0)
            return cli_fail_code(cli, r);
        dir = base;
    }
    if (dev == NULL) {
        first = agent_dev_first(dir);
        if (first == 0)
            return cli_fail(cli, EXIT_NO_AGENT, "kith dev 3 --dir DIR", "no dev node runs in %s",
                            dir);
        snprintf(choice, sizeof(choice), "%s/%u/" AGENT_SOCKET_NAME, dir, first);
    } else {
        snprintf(choice, sizeof(choice), "%s/%s/" AGENT_SOCKET_NAME, dir, dev);
    }
    int r = agent_socket_find(choice, cli->socket_path, sizeof(cli->socket_path));
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cli_choose_agent(struct cli *cli)
{
    const char *socket_path = choice_text(cli, "socket");
    const char *data_dir = choice_text(cli, "data-dir");
    const char *dev = choice_text(cli, "dev");
    const char *dir = choice_text(cli, "dir");
    char choice[4200];
    int r;

    if ((socket_path != NULL) + (data_dir != NULL) + (dev != NULL || dir != NULL) > 1)
        return cli_fail(cli, EXIT_USAGE, NULL,
                        "--socket, --data-dir and --dev choose an agent each: give one of them");
    if (dev != NULL || dir != NULL)
        return choose_dev(cli, dev, dir);
    if (data_dir != NULL) {
        /* Said to be a directory: do not take a file of that name for a socket. */
        snprintf(choice, sizeof(choice), "%s/" AGENT_SOCKET_NAME, data_dir);
        socket_path = choice;
    }
    r = agent_socket_find(socket_path, cli->socket_path, sizeof(cli->socket_path));
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cli_connect(struct cli *cli)
{
    int x = EXIT_OK;

    if (cli->client != NULL)
        return EXIT_OK;
    if (cli->socket_path[0] == '\0')
        x = cli_choose_agent(cli);
    if (x != EXIT_OK)
        return x;
    int r = agent_client_open(&cli->client, cli->socket_path);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

void cli_disconnect(struct cli *cli)
{
    agent_client_close(cli->client);
    cli->client = NULL;
}

int cli_send(struct cli *cli,
             const char *verb,
             json_t *request_args,
             const void *data,
             size_t data_len,
             uint64_t *id_out)
{
    uint64_t id = ++cli->next_id;
    int x = cli_connect(cli);

    if (id_out != NULL)
        *id_out = id;
    if (x != EXIT_OK) {
        json_decref(request_args);
        return x;
    }
    json_t *request = json_pack("{s:I,s:s,s:o*,s:I}", "id", (json_int_t)id, "verb", verb, "args",
                                request_args, "data_bytes", (json_int_t)data_len);
    char *line = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (line == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL,
                        "the request cannot be written: is the text UTF-8?");
    int r = agent_client_send(cli->client, line, data, data_len);
    free(line);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

static int error_reply(struct cli *cli, json_t *error)
{
    const char *message = cli_json_text(error, "message");
    const char *hint = cli_json_text(error, "hint");
    const char *code = cli_json_text(error, "code");
    int exit_code = (int)cli_json_u64(error, "exit", EXIT_FAILED);

    if (exit_code <= 0 || exit_code > 255)
        exit_code = EXIT_FAILED;
    fflush(stdout);
    fprintf(stderr, "kith: %s\n", message[0] != '\0' ? message : code);
    if (hint[0] != '\0')
        fprintf(stderr, "  try: %s\n", hint);
    if (cli->json) {
        json_t *doc = json_pack("{s:s,s:s,s:i,s:s,s:s}", "schema", "kith.error/1", "code", code,
                                "exit", exit_code, "message", message, "hint", hint);
        (void)cli_print_json_line(cli, doc);
        json_decref(doc);
    }
    return exit_code;
}

/* The next reply; *@error_out is NULL, or why the agent refuses. */
static int
receive(struct cli *cli, uint64_t timeout_ms, struct cli_reply *reply_out, json_t **error_out)
{
    struct agent_message message;

    *reply_out = (struct cli_reply){0};
    *error_out = NULL;
    for (;;) {
        int r = agent_client_receive(cli->client, timeout_ms, &message);
        if (r != 0)
            return cli_fail_code(cli, r);
        if (json_object_get(message.json, "verb") == NULL)
            break; /* else a request of the agent's, which this verb does not serve */
    }
    json_t *ok = json_object_get(message.json, "ok");
    reply_out->id = cli_json_u64(message.json, "id", 0);
    if (!json_is_true(ok)) {
        *error_out = json_object_get(message.json, "error");
        return EXIT_OK;
    }
    reply_out->result = json_object_get(message.json, "result");
    reply_out->more = json_is_true(json_object_get(message.json, "more"));
    reply_out->data = message.data;
    reply_out->data_len = message.data_len;
    return EXIT_OK;
}

int cli_receive(struct cli *cli, uint64_t timeout_ms, struct cli_reply *reply_out)
{
    json_t *error;
    int x = receive(cli, timeout_ms, reply_out, &error);

    return x == EXIT_OK && error != NULL ? error_reply(cli, error) : x;
}

int cli_ask_softly(struct cli *cli,
                   const char *verb,
                   json_t *request_args,
                   uint64_t timeout_ms,
                   struct cli_reply *reply_out,
                   const char **code_out,
                   const char **text_out)
{
    json_t *error = NULL;
    int x = cli_send(cli, verb, request_args, NULL, 0, NULL);

    if (x == EXIT_OK)
        x = receive(cli, timeout_ms, reply_out, &error);
    *code_out = cli_json_text(error, "code");
    *text_out = cli_json_text(error, "message");
    return x;
}

int cli_ask(struct cli *cli,
            const char *verb,
            json_t *request_args,
            uint64_t timeout_ms,
            struct cli_reply *reply_out)
{
    int x = cli_send(cli, verb, request_args, NULL, 0, NULL);

    return x == EXIT_OK ? cli_receive(cli, timeout_ms, reply_out) : x;
}

int cli_ask_and_show(struct cli *cli,
                     const char *verb,
                     json_t *request_args,
                     uint64_t timeout_ms,
                     int (*show)(struct cli *cli, json_t *result))
{
    struct cli_reply reply;
    char schema[64];
    int x = cli_ask(cli, verb, request_args, timeout_ms, &reply);

    if (x != EXIT_OK)
        return x;
    if (!cli->json)
        return show(cli, reply.result);
    snprintf(schema, sizeof(schema), "kith.%s/1", verb);
    return cli_print_json(cli, json_incref(reply.result), schema);
}
