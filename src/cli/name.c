/* kith name: names of nodes and functions, each one of a kind in the cluster. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define NAME_TIMEOUT_MS 20000

static bool is_function(json_t *name)
{
    return strcmp(cli_json_text(name, "kind"), "function") == 0;
}

static const char *node_of(json_t *name)
{
    const char *shown = cli_json_text(name, "node_name");
    return shown[0] != '\0' ? shown : cli_json_text(name, "node");
}

static int show_registered(struct cli *cli, json_t *result)
{
    if (is_function(result))
        cli_say(cli, "%s is the function %s of node %s", cli_arg(cli, 0),
                cli_json_text(result, "function"), node_of(result));
    else
        cli_say(cli, "%s is node %s", cli_arg(cli, 0), node_of(result));
    return EXIT_OK;
}

int cmd_name_register(struct cli *cli)
{
    return cli_ask_and_show(cli, "name.register",
                            json_pack("{s:s,s:s*,s:s*}", "name", cli_arg(cli, 0), "target",
                                      cli_arg(cli, 1), "node", args_text(&cli->args, "node")),
                            NAME_TIMEOUT_MS, show_registered);
}

static int show_resolved(struct cli *cli, json_t *result)
{
    (void)cli;
    puts(is_function(result) ? cli_json_text(result, "function") : node_of(result));
    return EXIT_OK;
}

int cmd_name_resolve(struct cli *cli)
{
    return cli_ask_and_show(cli, "name.resolve", json_pack("{s:s}", "name", cli_arg(cli, 0)),
                            NAME_TIMEOUT_MS, show_resolved);
}

static int show_list(struct cli *cli, json_t *result)
{
    json_t *names = json_object_get(result, "names"), *name;
    uint64_t silent = cli_json_u64(result, "silent_nodes", 0);
    struct table table;
    size_t at;

    if (silent > 0)
        cli_say(cli, "%llu nodes did not answer: names that they keep are missing",
                (unsigned long long)silent);
    if (json_array_size(names) == 0) {
        cli_say(cli, "no names; kith name register NAME gives one to this node");
        return EXIT_OK;
    }
    table_init(&table, "NAME KIND NODE FUNCTION");
    json_array_foreach(names, at, name)
    {
        table_cell(&table, NULL, "%s", cli_json_text(name, "name"));
        table_cell(&table, NULL, "%s", cli_json_text(name, "kind"));
        table_cell(&table, NULL, "%s", node_of(name));
        table_cell(&table, NULL, "%s", is_function(name) ? cli_json_text(name, "function") : "-");
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_name_ls(struct cli *cli)
{
    return cli_ask_and_show(cli, "name.ls", json_object(), NAME_TIMEOUT_MS, show_list);
}

static int show_removed(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "%s is free", cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_name_rm(struct cli *cli)
{
    return cli_ask_and_show(cli, "name.rm", json_pack("{s:s}", "name", cli_arg(cli, 0)),
                            NAME_TIMEOUT_MS, show_removed);
}
