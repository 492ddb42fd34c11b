/* kith fn ls, fn info, load. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

static bool starts_with(const char *text, const char *prefix)
{
    return prefix == NULL || strncmp(text, prefix, strlen(prefix)) == 0;
}

static void join_names(json_t *array, bool objects, char *out, size_t out_bytes)
{
    size_t at, len = 0;
    json_t *value;

    out[0] = '\0';
    json_array_foreach(array, at, value)
    {
        const char *text = objects ? cli_json_text(value, "name") : json_string_value(value);
        len += (size_t)snprintf(out + len, out_bytes - len, "%s%s", len > 0 ? " " : "",
                                text != NULL ? text : "?");
        if (len + 8 >= out_bytes) {
            snprintf(out + out_bytes - 5, 5, " ...");
            return;
        }
    }
}

/* Over the last minute; what is too rare for a figure still shows. */
static void rate_cell(struct table *table, const char *colour, json_t *row, const char *key)
{
    double rate = cli_json_number(row, key, -1);

    if (rate < 0)
        table_cell(table, NULL, "-");
    else if (rate == 0)
        table_cell(table, NULL, "0");
    else
        table_cell(table, colour, rate < 10 ? "%.2f" : "%.0f", rate);
}

static void ms_cell(struct table *table, json_t *row, const char *key)
{
    double ms = cli_json_number(row, key, -1);

    if (ms < 0)
        table_cell(table, NULL, "-");
    else
        table_cell(table, NULL, ms < 10 ? "%.3fms" : "%.0fms", ms);
}

int cmd_fn_ls(struct cli *cli)
{
    bool heads = !args_flag(&cli->args, "no-headers");
    const char *prefix = cli_arg(cli, 0);
    struct cli_reply reply;
    struct table table;
    char nodes[400];
    int x =
        cli_ask(cli, "functions",
                json_pack("{s:b,s:b}", "hidden", (int)args_flag(&cli->args, "hidden"), "live", 1),
                CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    json_t *functions = json_object_get(reply.result, "functions");
    for (size_t i = json_array_size(functions); i > 0; i--) {
        if (!starts_with(cli_json_text(json_array_get(functions, i - 1), "name"), prefix))
            (void)json_array_remove(functions, i - 1);
    }
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.functions/1");
    table_init(&table, "NAME VERSION >NODES >CALLS/S >ERRORS/S ON DESCRIPTION");
    for (size_t i = 0; i < json_array_size(functions); i++) {
        json_t *fn = json_array_get(functions, i);
        json_t *on = json_object_get(fn, "nodes");
        join_names(on, true, nodes, sizeof(nodes));
        table_cell(&table, NULL, "%s", cli_json_text(fn, "name"));
        table_cell(&table, NULL, "%s", cli_json_text(fn, "version"));
        table_cell(&table, NULL, "%zu", json_array_size(on));
        rate_cell(&table, NULL, fn, "calls_per_s");
        rate_cell(&table, TABLE_RED, fn, "errors_per_s");
        table_cell(&table, NULL, "%s", nodes);
        table_cell(&table, NULL, "%s", cli_json_text(fn, "description"));
    }
    int r = table_print(&table, stdout, heads);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

static void print_last_error(json_t *error)
{
    char text[1024], node[300];

    if (error != NULL && !json_is_null(error))
        printf("last error   %s at %s, code %lld: %s\n",
               cli_clean(cli_json_text(error, "node_name"), node, sizeof(node)),
               cli_json_text(error, "time"),
               (long long)json_integer_value(json_object_get(error, "code")),
               cli_clean(cli_json_text(error, "text"), text, sizeof(text)));
    printf("\n");
}

static int print_function(struct cli *cli, json_t *fn)
{
    struct table table;
    char flags[200], clean[1024];
    json_t *on = json_object_get(fn, "nodes");
    const char *signature = cli_json_text(fn, "signature");

    join_names(json_object_get(fn, "flags"), false, flags, sizeof(flags));
    printf("name         %s\n", cli_clean(cli_json_text(fn, "name"), clean, sizeof(clean)));
    printf("version      %s\n", cli_clean(cli_json_text(fn, "version"), clean, sizeof(clean)));
    printf("description  %s\n", cli_clean(cli_json_text(fn, "description"), clean, sizeof(clean)));
    printf("signature    %s\n",
           signature[0] != '\0' ? cli_clean(signature, clean, sizeof(clean)) : "bytes -> bytes");
    printf("flags        %s\n", flags[0] != '\0' ? flags : "-");
    print_last_error(json_object_get(fn, "last_error"));
    table_init(&table, "NODE >CALLS >ERRORS >CALLS/S >ERRORS/S >P50 >P99 ID");
    for (size_t i = 0; i < json_array_size(on); i++) {
        json_t *node = json_array_get(on, i);
        uint64_t calls = cli_json_u64(node, "calls", UINT64_MAX);
        table_cell(&table, NULL, "%s", cli_json_text(node, "name"));
        if (calls == UINT64_MAX) {
            table_cell(&table, NULL, "-");
            table_cell(&table, NULL, "-");
        } else {
            table_cell(&table, NULL, "%llu", (unsigned long long)calls);
            table_cell(&table, NULL, "%llu", (unsigned long long)cli_json_u64(node, "errors", 0));
        }
        rate_cell(&table, NULL, node, "calls_per_s");
        rate_cell(&table, TABLE_RED, node, "errors_per_s");
        ms_cell(&table, node, "p50_ms");
        ms_cell(&table, node, "p99_ms");
        table_cell(&table, NULL, "%.8s", cli_json_text(node, "id"));
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_fn_info(struct cli *cli)
{
    struct cli_reply reply;
    int x = cli_ask(cli, "functions",
                    json_pack("{s:s,s:b,s:b}", "name", cli_arg(cli, 0), "hidden", 1, "live", 1),
                    CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    json_t *functions = json_object_get(reply.result, "functions");
    for (size_t i = 0; i < json_array_size(functions); i++) {
        json_t *fn = json_array_get(functions, i);
        if (strcmp(cli_json_text(fn, "name"), cli_arg(cli, 0)) != 0)
            continue;
        if (cli->json)
            return cli_print_json(
                cli, json_pack("{s:s,s:O}", "schema", "kith.function/1", "function", fn),
                "kith.function/1");
        return print_function(cli, fn);
    }
    return cli_fail(cli, EXIT_NOT_FOUND, "kith fn ls", "no node offers a function %s",
                    cli_arg(cli, 0));
}

static int show_loaded(struct cli *cli, json_t *result)
{
    char name[300], version[128];

    cli_say(cli, "loaded %s %s", cli_clean(cli_json_text(result, "name"), name, sizeof(name)),
            cli_clean(cli_json_text(result, "version"), version, sizeof(version)));
    return EXIT_OK;
}

int cmd_load(struct cli *cli)
{
    const char *module = cli_arg(cli, 0);
    char path[4096];

    /* A path is meant from here, not from where the agent happens to stand. */
    if (strchr(module, '/') != NULL && realpath(module, path) != NULL)
        module = path;
    return cli_ask_and_show(cli, "module.load", json_pack("{s:s}", "module", module), CLI_ANSWER_MS,
                            show_loaded);
}
