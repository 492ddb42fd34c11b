/* kith call: one function, one argument, one node or all. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/label.h"
#include "cli/reply.h"
#include "core/limits.h"

int reply_add_data(json_t *doc, const void *data, size_t len)
{
    json_t *text = len == 0 ? json_string("") : json_stringn(data, len);

    if (text != NULL)
        return json_object_set_new(doc, "data", text);
    size_t bytes = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
    char *base64 = malloc(bytes);
    if (base64 == NULL)
        return -1;
    sodium_bin2base64(base64, bytes, data, len, sodium_base64_VARIANT_ORIGINAL);
    int r = json_object_set_new(doc, "data_base64", json_string(base64));
    free(base64);
    return r;
}

bool reply_is_ok(json_t *result)
{
    return strcmp(cli_json_text(result, "outcome"), "OK") == 0;
}

int reply_exit(json_t *result)
{
    if (reply_is_ok(result))
        return EXIT_OK;
    uint64_t exit_code = cli_json_u64(result, "exit", EXIT_FAILED);
    return exit_code == 0 || exit_code > 255 ? EXIT_FAILED : (int)exit_code;
}

/* For people: what the function said if it failed, the reason if it did not run. */
static void say_failure(struct cli *cli, const struct cli_reply *reply)
{
    const char *outcome = cli_json_text(reply->result, "outcome");
    const char *text = cli_json_text(reply->result, "text");
    const char *node = cli_json_text(reply->result, "node_name");
    char clean[4200];

    cli_clean(text, clean, sizeof(clean));
    (void)fflush(stdout);
    if (strcmp(outcome, "APP_ERROR") == 0)
        fprintf(stderr, "kith: %s on %s failed with code %.0f%s%s\n", cli_arg(cli, 0),
                node[0] != '\0' ? node : "?", cli_json_number(reply->result, "code", 0),
                clean[0] != '\0' ? ": " : "", clean);
    else
        fprintf(stderr, "kith: %s: %s%s%s\n", cli_arg(cli, 0),
                strcmp(outcome, "NOT_EXECUTED") == 0 ? "not executed"
                                                     : "it is not known whether it was executed",
                clean[0] != '\0' ? ": " : "", clean);
}

static int print_json_reply(struct cli *cli, const struct cli_reply *reply, bool line)
{
    json_t *doc = json_copy(reply->result);

    if (doc == NULL || reply_add_data(doc, reply->data, reply->data_len) != 0) {
        json_decref(doc);
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    }
    if (!line)
        return cli_print_json(cli, doc, "kith.call/1");
    int x = cli_print_json_line(cli, doc);
    json_decref(doc);
    return x;
}

/* ---- one
 * ------------------------------------------------------------------------------------------ */

static int receive_one(struct cli *cli, uint64_t timeout_ms)
{
    struct cli_reply reply;
    int x;

    do {
        x = cli_receive(cli, timeout_ms, &reply);
        if (x != EXIT_OK)
            return x;
    } while (reply.more);
    if (cli->json) {
        x = print_json_reply(cli, &reply, false);
        if (x != EXIT_OK)
            return x;
    } else if (reply_is_ok(reply.result)) {
        return cli_write(cli, reply.data, reply.data_len);
    }
    x = reply_exit(reply.result);
    if (x != EXIT_OK)
        say_failure(cli, &reply);
    return x;
}

/* ---- all
 * ------------------------------------------------------------------------------------------ */

/* "NAME: " and the reply; a reply of several lines starts on a line of its own. */
static int print_node_reply(struct cli *cli, const struct cli_reply *reply)
{
    const char *data = (const char *)reply->data;
    size_t len = reply->data_len;
    char name[300];
    bool several = len > 1 && memchr(data, '\n', len - 1) != NULL;

    printf("%s:%s", cli_clean(cli_json_text(reply->result, "node_name"), name, sizeof(name)),
           several ? "\n" : " ");
    int x = cli_write(cli, data, len);
    if (len == 0 || data[len - 1] != '\n')
        fputc('\n', stdout);
    return x;
}

static int receive_all(struct cli *cli, uint64_t timeout_ms)
{
    struct cli_reply reply;
    size_t asked = 0, ok = 0;
    int x, worst = EXIT_OK;

    for (;;) {
        x = cli_receive(cli, timeout_ms, &reply);
        if (x != EXIT_OK)
            return x;
        if (!reply.more)
            break;
        asked++;
        if (reply_is_ok(reply.result))
            ok++;
        else
            worst = reply_exit(reply.result);
        if (cli->json)
            x = print_json_reply(cli, &reply, true);
        else if (reply_is_ok(reply.result))
            x = print_node_reply(cli, &reply);
        if (x != EXIT_OK)
            return x;
        if (!reply_is_ok(reply.result))
            say_failure(cli, &reply);
    }
    if (asked == 0)
        return cli_fail(cli, EXIT_NOT_FOUND, "kith fn ls", "no node offers a function %s",
                        cli_arg(cli, 0));
    if (ok == asked)
        return EXIT_OK;
    return ok > 0 ? EXIT_PARTLY : worst;
}

int cmd_call(struct cli *cli)
{
    const struct args *args = &cli->args;
    const char *node = args_text(args, "node");
    bool all = args_flag(args, "all"), any = args_flag(args, "any");
    uint64_t timeout_ms = args_duration_ms(args, "timeout", RPC_TIMEOUT_DEFAULT_MS);
    struct buf argument = {0};

    if (node != NULL && args_repeat(args, "tag", 0) != NULL)
        return cli_fail(cli, EXIT_USAGE, NULL, "kith call: give one of --node and --tag");
    if ((node != NULL) + all + any > 1)
        return cli_fail(cli, EXIT_USAGE, NULL, "kith call: give one of --node, --all and --any");
    if (timeout_ms == 0)
        return cli_fail(cli, EXIT_USAGE, NULL, "--timeout 0: nothing can be done in no time");
    /* First whether there is an agent: nobody wants to type the argument in vain. */
    int x = cli_connect(cli);
    if (x == EXIT_OK)
        x = input_argument(cli, cli_arg(cli, 1), RPC_BODY_BYTES_MAX, &argument);
    json_t *tags = label_tags_wanted(args);
    if (x == EXIT_OK)
        x = cli_send(cli, "call",
                     json_pack("{s:O,s:s,s:s*,s:b,s:b,s:I,s:b}", "tags", tags, "fn",
                               cli_arg(cli, 0), "node", node, "all", (int)all, "any", (int)any,
                               "timeout_ms", (json_int_t)timeout_ms, "idempotent",
                               (int)args_flag(args, "idempotent")),
                     argument.data, argument.len, NULL);
    json_decref(tags);
    buf_deinit(&argument);
    if (x != EXIT_OK)
        return x;
    return all ? receive_all(cli, timeout_ms + CLI_ANSWER_MS)
               : receive_one(cli, timeout_ms + CLI_ANSWER_MS);
}
