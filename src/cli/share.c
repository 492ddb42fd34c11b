/* kith share: folders that are shared under a name. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "core/text.h"

#define SHARE_MS 60000

static int show_added(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli,
            "%s is shared; kith fs ls %s shows what is in it, kith share ls how far it is read",
            cli_arg(cli, 0), cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_share_add(struct cli *cli)
{
    bool read_only = args_flag(&cli->args, "read-only"), sync = args_flag(&cli->args, "sync");
    char *folder;

    if (read_only && sync)
        return cli_fail(cli, EXIT_USAGE, NULL,
                        "--read-only and --sync exclude each other: a folder that is kept in step "
                        "is written");
    folder = realpath(cli_arg(cli, 1), NULL);
    if (folder == NULL)
        return cli_fail(cli, EXIT_NOT_FOUND, NULL, "there is no folder %s", cli_arg(cli, 1));
    json_t *request =
        json_pack("{s:s,s:s,s:s,s:I}", "name", cli_arg(cli, 0), "folder", folder, "mode",
                  sync        ? "sync"
                  : read_only ? "read-only"
                              : "plain",
                  "replicas", (json_int_t)args_u64(&cli->args, "replicas", 0));
    free(folder);
    return cli_ask_and_show(cli, "share.add", request, SHARE_MS, show_added);
}

static int show_removed(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "this node shares %s no more; the folder is as it was", cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_share_rm(struct cli *cli)
{
    return cli_ask_and_show(cli, "share.rm", json_pack("{s:s}", "name", cli_arg(cli, 0)), SHARE_MS,
                            show_removed);
}

static int show_confirmed(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "what is gone from the folder of %s is deleted from the catalogue now",
            cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_share_confirm(struct cli *cli)
{
    return cli_ask_and_show(cli, "share.confirm", json_pack("{s:s}", "name", cli_arg(cli, 0)),
                            SHARE_MS, show_confirmed);
}

/* ---- the list ---- */

static void print_problems(json_t *share)
{
    json_t *problem;
    size_t at;
    char path[1400], text[600];

    json_array_foreach(json_object_get(share, "problems"), at, problem)
    {
        printf("%s/%s: %s\n", cli_json_text(share, "name"),
               cli_clean(cli_json_text(problem, "path"), path, sizeof(path)),
               cli_clean(cli_json_text(problem, "text"), text, sizeof(text)));
    }
    uint64_t all = cli_json_u64(share, "problems_all", 0);
    if (all > at)
        printf("%s: %llu more\n", cli_json_text(share, "name"), (unsigned long long)(all - at));
}

static void nodes_text(json_t *share, char *out, size_t bytes)
{
    json_t *node;
    size_t at, used = 0;

    out[0] = '\0';
    json_array_foreach(json_object_get(share, "nodes"), at, node)
    {
        int n = snprintf(out + used, bytes - used, "%s%s", at > 0 ? "," : "",
                         json_string_value(node) != NULL ? json_string_value(node) : "?");
        used += n > 0 && (size_t)n < bytes - used ? (size_t)n : 0;
    }
}

static int show_list(struct cli *cli, json_t *result)
{
    json_t *shares = json_object_get(result, "shares"), *share;
    struct table table;
    size_t at;

    if (json_array_size(shares) == 0) {
        cli_say(cli, "no shares yet; kith share add NAME FOLDER makes one");
        return EXIT_OK;
    }
    if (args_flag(&cli->args, "problems")) {
        json_array_foreach(shares, at, share) print_problems(share);
        return EXIT_OK;
    }
    table_init(&table, "SHARE >ENTRIES >SIZE NODES MODE STATE FOLDER");
    json_array_foreach(shares, at, share)
    {
        char size[32], nodes[512];
        const char *mode = cli_json_text(share, "mode"), *state = cli_json_text(share, "state");
        uint64_t problems = cli_json_u64(share, "problems_all", 0);
        nodes_text(share, nodes, sizeof(nodes));
        table_cell(&table, NULL, "%s", cli_json_text(share, "name"));
        table_cell(&table, NULL, "%llu", (unsigned long long)cli_json_u64(share, "entries", 0));
        table_cell(&table, NULL, "%s",
                   text_size(cli_json_u64(share, "bytes", 0), size, sizeof(size)));
        table_cell(&table, NULL, "%s", nodes[0] != '\0' ? nodes : "-");
        table_cell(&table, NULL, "%s", mode[0] != '\0' ? mode : "-");
        table_cell(&table, strcmp(state, "watched") == 0 ? TABLE_GREEN : TABLE_YELLOW,
                   problems > 0 ? "%s, %llu problems" : "%s", state[0] != '\0' ? state : "-",
                   (unsigned long long)problems);
        table_cell(&table, NULL, "%s",
                   cli_json_text(share, "folder")[0] != '\0' ? cli_json_text(share, "folder")
                                                             : "-");
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    json_array_foreach(shares, at, share)
    {
        if (cli_json_text(share, "state_text")[0] != '\0')
            cli_say(cli, "%s: %s", cli_json_text(share, "name"),
                    cli_json_text(share, "state_text"));
    }
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_share_ls(struct cli *cli)
{
    return cli_ask_and_show(cli, "share.ls", json_pack("{s:s*}", "name", cli_arg(cli, 0)), SHARE_MS,
                            show_list);
}
