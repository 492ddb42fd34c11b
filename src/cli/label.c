/* kith tag, drain, undrain: what people say of nodes. */
#include "cli/label.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

void label_tags_text(json_t *tags, char *out, size_t out_bytes)
{
    const char *key;
    json_t *value;
    size_t len = 0;

    out[0] = '\0';
    json_object_foreach(tags, key, value)
    {
        if (len < out_bytes)
            len += (size_t)snprintf(out + len, out_bytes - len, "%s%s=%s", len > 0 ? " " : "", key,
                                    json_string_value(value));
    }
}

bool label_has_tag(json_t *node, const char *wanted)
{
    const char *value = strchr(wanted, '=');
    char key[128];

    if (value == NULL)
        return json_object_get(json_object_get(node, "tags"), wanted) != NULL;
    snprintf(key, sizeof(key), "%.*s", (int)(value - wanted), wanted);
    return strcmp(cli_json_text(json_object_get(node, "tags"), key), value + 1) == 0 &&
           json_object_get(json_object_get(node, "tags"), key) != NULL;
}

json_t *label_tags_wanted(const struct args *args)
{
    json_t *tags = json_array();
    const char *tag;

    for (size_t i = 0; (tag = args_repeat(args, "tag", i)) != NULL; i++)
        (void)json_array_append_new(tags, json_string(tag));
    return tags;
}

/* ---- tags ---- */

static int show_tags(struct cli *cli, json_t *result)
{
    char text[1024], clean[1200];

    label_tags_text(json_object_get(result, "tags"), text, sizeof(text));
    cli_say(cli, "%s: %s", cli_json_text(result, "name"),
            text[0] != '\0' ? cli_clean(text, clean, sizeof(clean)) : "no tags");
    return EXIT_OK;
}

static int change_tags(struct cli *cli, json_t *tags)
{
    return cli_ask_and_show(
        cli, "tag.set",
        json_pack("{s:o,s:s*}", "tags", tags, "node", args_text(&cli->args, "node")), CLI_ANSWER_MS,
        show_tags);
}

int cmd_tag_set(struct cli *cli)
{
    json_t *tags = json_object();

    for (size_t i = 0; cli_arg(cli, i) != NULL; i++) {
        const char *arg = cli_arg(cli, i), *value = strchr(arg, '=');
        char key[256];
        if (value == NULL || value == arg) {
            json_decref(tags);
            return cli_fail(cli, EXIT_USAGE, "kith tag set zone=b", "%s is no tag: write KEY=VALUE",
                            arg);
        }
        snprintf(key, sizeof(key), "%.*s", (int)(value - arg), arg);
        if (json_object_set_new(tags, key, json_string(value + 1)) != 0) {
            json_decref(tags);
            return cli_fail(cli, EXIT_USAGE, NULL, "%s is not UTF-8: write it in UTF-8", key);
        }
    }
    return change_tags(cli, tags);
}

int cmd_tag_rm(struct cli *cli)
{
    json_t *tags = json_object();

    for (size_t i = 0; cli_arg(cli, i) != NULL; i++)
        (void)json_object_set_new(tags, cli_arg(cli, i), json_null());
    return change_tags(cli, tags);
}

static int show_list(struct cli *cli, json_t *result)
{
    json_t *nodes = json_object_get(result, "nodes"), *node, *value;
    struct table table;
    const char *key;
    size_t at;

    table_init(&table, "NODE TAG VALUE");
    json_array_foreach(nodes, at, node)
    {
        json_object_foreach(json_object_get(node, "tags"), key, value)
        {
            table_cell(&table, NULL, "%s", cli_json_text(node, "name"));
            table_cell(&table, NULL, "%s", key);
            table_cell(&table, NULL, "%s", json_string_value(value));
        }
    }
    bool none = table.cells_n == 0;
    int r = none ? 0 : table_print(&table, stdout, !args_flag(&cli->args, "no-headers"));
    table_deinit(&table);
    if (none)
        cli_say(cli, "no tags; kith tag set KEY=VALUE gives this node one");
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_tag_ls(struct cli *cli)
{
    return cli_ask_and_show(cli, "tag.ls", json_pack("{s:s*}", "node", cli_arg(cli, 0)),
                            CLI_ANSWER_MS, show_list);
}

/* ---- draining ---- */

static int show_drained(struct cli *cli, json_t *result)
{
    const char *name = cli_json_text(result, "name");

    if (json_is_true(json_object_get(result, "drained")))
        cli_say(cli,
                "%s gets nothing new by choice of the callers; what runs there goes on\n"
                "  next: kith fn info FN shows what it still serves; kith undrain %s takes it back",
                name, name);
    else
        cli_say(cli, "%s is chosen again", name);
    return EXIT_OK;
}

static int change_drain(struct cli *cli, const char *verb)
{
    return cli_ask_and_show(cli, verb, json_pack("{s:s}", "node", cli_arg(cli, 0)), CLI_ANSWER_MS,
                            show_drained);
}

int cmd_drain(struct cli *cli)
{
    return change_drain(cli, "drain");
}

int cmd_undrain(struct cli *cli)
{
    return change_drain(cli, "undrain");
}
