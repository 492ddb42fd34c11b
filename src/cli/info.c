/* kith info, version. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/text.h"
#include "kith.h"

#define VERSION_ANSWER_MS 300

static void print_value(const char *label, const char *text)
{
    char clean[1024];

    printf("%-24s %s\n", label, cli_clean(text, clean, sizeof(clean)));
}

static void print_scalar(const char *key, const char *label, json_t *value)
{
    char text[1024];
    size_t len = strlen(key);

    if (json_is_string(value)) {
        print_value(label, json_string_value(value));
        return;
    }
    if (json_is_boolean(value)) {
        print_value(label, json_is_true(value) ? "yes" : "no");
        return;
    }
    if (!json_is_number(value)) {
        print_value(label, "-");
        return;
    }
    double number = json_number_value(value);
    if (len > 6 && strcmp(key + len - 6, "_bytes") == 0 && number >= 0)
        text_size((uint64_t)number, text, sizeof(text));
    else if (len > 10 && strcmp(key + len - 10, "_uptime_ms") == 0 && number >= 0)
        text_duration((uint64_t)number, text, sizeof(text));
    else if (json_is_integer(value))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, sizeof(text), "%.3f", number);
    print_value(label, text);
}

/* Elements on one line, separated by spaces; objects by their name. */
static void print_array(const char *label, json_t *array)
{
    char text[1024] = "";
    char part[256];
    size_t at, len = 0;
    json_t *value;

    json_array_foreach(array, at, value)
    {
        if (json_is_string(value))
            snprintf(part, sizeof(part), "%s", json_string_value(value));
        else if (json_is_object(value))
            snprintf(part, sizeof(part), "%s", cli_json_text(value, "name"));
        else
            snprintf(part, sizeof(part), "%.1f", json_number_value(value));
        int n = snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? "  " : "", part);
        len += (size_t)n;
        if (len >= sizeof(text))
            break;
    }
    print_value(label, len > 0 ? text : "-");
}

static void print_object(const char *prefix, json_t *object)
{
    const char *key;
    json_t *value;
    char label[160];

    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "schema") == 0)
            continue;
        snprintf(label, sizeof(label), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (json_is_object(value) && strlen(label) < 100)
            print_object(label, value);
        else if (json_is_array(value))
            print_array(label, value);
        else
            print_scalar(key, label, value);
    }
}

static int show_info(struct cli *cli, json_t *result)
{
    (void)cli;
    print_object("", result);
    return EXIT_OK;
}

int cmd_info(struct cli *cli)
{
    const char *node = cli_arg(cli, 0);
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", 5000);

    if (node == NULL)
        node = args_text(&cli->args, "node");
    else if (args_text(&cli->args, "node") != NULL)
        return cli_fail(cli, EXIT_USAGE, NULL, "kith info: give NODE or --node, not both");
    json_t *request = json_pack("{s:s*,s:I}", "node", node, "timeout_ms", (json_int_t)timeout_ms);
    return cli_ask_and_show(cli, "info", request, timeout_ms + CLI_ANSWER_MS, show_info);
}

/* The agent's version, if one answers soon; its absence is no error here. */
static json_t *agent_hello(struct cli *cli)
{
    struct agent_message message;
    const struct args *args = &cli->args;
    bool chosen = args_text(args, "socket") != NULL || args_text(args, "data-dir") != NULL ||
                  args_flag(args, "dev") || args_text(args, "dir") != NULL;

    if (chosen) {
        if (cli_connect(cli) != EXIT_OK)
            return NULL;
    } else if (agent_socket_find(NULL, cli->socket_path, sizeof(cli->socket_path)) != 0 ||
               agent_client_open(&cli->client, cli->socket_path) != 0) {
        return NULL;
    }
    if (agent_client_send(cli->client, "{\"id\":1,\"verb\":\"hello\"}", NULL, 0) != 0 ||
        agent_client_receive(cli->client, VERSION_ANSWER_MS, &message) != 0)
        return NULL;
    return json_object_get(message.json, "result");
}

int cmd_version(struct cli *cli)
{
    json_t *hello = agent_hello(cli);
    char clean[256];

    if (cli->json) {
        json_t *doc = json_pack("{s:s,s:s,s:O?}", "schema", "kith.version/1", "version",
                                kith_version(), "agent", hello);
        return cli_print_json(cli, doc, "kith.version/1");
    }
    printf("kith %s\n", kith_version());
    if (hello != NULL)
        printf("agent %s (node %s, pid %.0f)\n", cli_json_text(hello, "version"),
               cli_clean(cli_json_text(hello, "name"), clean, sizeof(clean)),
               cli_json_number(hello, "pid", 0));
    return EXIT_OK;
}
