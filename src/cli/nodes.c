/* kith nodes, status, reach: who is here. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/label.h"
#include "cli/table.h"
#include "cli/view.h"
#include "core/text.h"

static const char *status_color(const char *status)
{
    if (strcmp(status, "alive") == 0)
        return TABLE_GREEN;
    if (strcmp(status, "suspect") == 0)
        return TABLE_YELLOW;
    return strcmp(status, "failed") == 0 ? TABLE_RED : TABLE_DIM;
}

/* "3.1/16.0 GiB" as far as it is known. */
static void memory_text(json_t *node, char *out, size_t out_bytes)
{
    double all = cli_json_number(node, "memory_bytes", 0);
    double free_now = cli_json_number(node, "memory_available_bytes", -1);
    double gib = 1024.0 * 1024.0 * 1024.0;

    if (all <= 0)
        snprintf(out, out_bytes, "-");
    else if (free_now < 0 || free_now > all)
        snprintf(out, out_bytes, "%.1fG", all / gib);
    else
        snprintf(out, out_bytes, "%.1f/%.1fG", (all - free_now) / gib, all / gib);
}

static void number_cell(struct table *table, json_t *node, const char *key, const char *format)
    __attribute__((format(printf, 4, 0)));
static void number_cell(struct table *table, json_t *node, const char *key, const char *format)
{
    char text[64] = "-";

    if (json_is_number(json_object_get(node, key)) && cli_json_number(node, key, 0) >= 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), format, cli_json_number(node, key, 0));
#pragma GCC diagnostic pop
    }
    table_cell(table, NULL, "%s", text);
}

static void age_cell(struct table *table, json_t *node)
{
    char text[64] = "-";
    uint64_t ms = cli_json_u64(node, "status_age_ms", UINT64_MAX);

    if (ms != UINT64_MAX)
        text_duration(ms - ms % 1000, text, sizeof(text));
    table_cell(table, NULL, "%s", text);
}

static void node_row(struct table *table, json_t *node, const char *self, bool tags)
{
    const char *status = cli_json_text(node, "status");
    const char *address = cli_json_text(node, "address");
    bool is_self = strcmp(cli_json_text(node, "id"), self) == 0;
    bool program = strcmp(cli_json_text(node, "role"), "program") == 0;
    char memory[48];

    memory_text(node, memory, sizeof(memory));
    table_cell(table, NULL, "%s%s%s", cli_json_text(node, "name"), is_self ? " *" : "",
               program ? " (program)" : "");
    if (json_is_true(json_object_get(node, "drained")))
        table_cell(table, TABLE_YELLOW, "%s, drained", status);
    else
        table_cell(table, status_color(status), "%s", status);
    table_cell(table, NULL, "%s", address[0] != '\0' ? address : "-");
    number_cell(table, node, "cpus", "%.0f");
    number_cell(table, node, "load", "%.2f");
    table_cell(table, NULL, "%s", memory);
    if (is_self)
        table_cell(table, NULL, "-");
    else
        number_cell(table, node, "rtt_ms", "%.2fms");
    age_cell(table, node);
    table_cell(table, NULL, "%s", cli_json_text(node, "version"));
    table_cell(table, NULL, "%.8s", cli_json_text(node, "id"));
    if (tags) {
        char text[1024];
        label_tags_text(json_object_get(node, "tags"), text, sizeof(text));
        table_cell(table, NULL, "%s", text[0] != '\0' ? text : "-");
    }
}

static size_t count_status(json_t *nodes, const char *status)
{
    size_t at, n = 0;
    json_t *node;

    json_array_foreach(nodes, at, node) n += strcmp(cli_json_text(node, "status"), status) == 0;
    return n;
}

/* ", 1 suspect": nothing if there are none. */
static size_t add_count(char *out, size_t at, size_t bytes, json_t *nodes, const char *status)
{
    size_t n = count_status(nodes, status);

    if (n == 0 || at >= bytes)
        return at;
    return at + (size_t)snprintf(out + at, bytes - at, ", %zu %s", n, status);
}

static void summary(const struct cli *cli, json_t *nodes)
{
    char text[160];
    size_t n = json_array_size(nodes);
    size_t at = (size_t)snprintf(text, sizeof(text), "%zu node%s: %zu alive", n, n == 1 ? "" : "s",
                                 count_status(nodes, "alive"));

    at = add_count(text, at, sizeof(text), nodes, "suspect");
    at = add_count(text, at, sizeof(text), nodes, "failed");
    add_count(text, at, sizeof(text), nodes, "left");
    cli_say(cli, "%s", text);
}

/* Drops the nodes that --status does not ask for: from the table and from the document alike. */
static void filter_status(json_t *nodes, const char *status)
{
    for (size_t i = json_array_size(nodes); status != NULL && i > 0; i--) {
        if (strcmp(cli_json_text(json_array_get(nodes, i - 1), "status"), status) != 0)
            (void)json_array_remove(nodes, i - 1);
    }
}

static void filter_tag(json_t *nodes, const char *tag)
{
    for (size_t i = json_array_size(nodes); i > 0; i--) {
        if (!label_has_tag(json_array_get(nodes, i - 1), tag))
            (void)json_array_remove(nodes, i - 1);
    }
}

static bool any_tags(json_t *nodes)
{
    size_t at;
    json_t *node;

    json_array_foreach(nodes, at, node)
    {
        if (json_object_size(json_object_get(node, "tags")) > 0)
            return true;
    }
    return false;
}

int cmd_nodes(struct cli *cli)
{
    bool heads = !args_flag(&cli->args, "no-headers");
    json_t *request = json_pack("{s:b}", "programs", (int)args_flag(&cli->args, "programs"));
    struct cli_reply reply;
    struct table table;
    const char *tag;
    json_t *node;
    size_t at;
    int x = cli_ask(cli, "nodes", request, CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    json_t *nodes = json_object_get(reply.result, "nodes");
    filter_status(nodes, args_text(&cli->args, "status"));
    for (size_t i = 0; (tag = args_repeat(&cli->args, "tag", i)) != NULL; i++)
        filter_tag(nodes, tag);
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.nodes/1");
    bool tags = any_tags(nodes);
    table_init(&table, tags ? "NAME STATUS ADDRESS >CPUS >LOAD >MEMORY >RTT >SINCE VERSION ID TAGS"
                            : "NAME STATUS ADDRESS >CPUS >LOAD >MEMORY >RTT >SINCE VERSION ID");
    json_array_foreach(nodes, at, node)
        node_row(&table, node, cli_json_text(reply.result, "self"), tags);
    int r = table_print(&table, stdout, heads);
    table_deinit(&table);
    if (heads)
        summary(cli, nodes);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

/* ---- status
 * --------------------------------------------------------------------------------------- */

static int status_exit(size_t alive, size_t suspect, size_t failed)
{
    if (suspect + failed == 0)
        return EXIT_OK;
    return alive <= 1 ? EXIT_TOO_FEW : EXIT_PARTLY;
}

/* Adds a name to those at @out, of which @n are there; the fourth is " ...". */
static void add_name(char *out, size_t out_bytes, size_t n, const char *name)
{
    size_t len = strlen(out);

    if (n < 3)
        snprintf(out + len, out_bytes - len, "%s%s", n > 0 ? " " : "", name);
    else if (n == 3)
        snprintf(out + len, out_bytes - len, " ...");
}

/* Up to three names with this status. */
static void status_names(json_t *nodes, const char *status, char *out, size_t out_bytes)
{
    size_t at, n = 0;
    json_t *node;

    out[0] = '\0';
    json_array_foreach(nodes, at, node)
    {
        if (strcmp(cli_json_text(node, "status"), status) == 0)
            add_name(out, out_bytes, n++, cli_json_text(node, "name"));
    }
}

/* The same of nodes that are here and drained; returns how many there are. */
static size_t drained_names(json_t *nodes, char *out, size_t out_bytes)
{
    size_t at, n = 0;
    json_t *node;

    out[0] = '\0';
    json_array_foreach(nodes, at, node)
    {
        const char *status = cli_json_text(node, "status");
        if (json_is_true(json_object_get(node, "drained")) && strcmp(status, "failed") != 0 &&
            strcmp(status, "left") != 0)
            add_name(out, out_bytes, n++, cli_json_text(node, "name"));
    }
    return n;
}

/* What is wrong with shared state counts as well. *@view_out is a new reference. */
static int ask_view(struct cli *cli, json_t **view_out, char *sentence, size_t sentence_bytes)
{
    struct cli_reply reply;
    int x = cli_ask(cli, "view", NULL, CLI_ANSWER_MS, &reply);

    *view_out = x == EXIT_OK ? json_incref(reply.result) : NULL;
    if (x == EXIT_OK)
        view_sentence(reply.result, sentence, sentence_bytes);
    return x;
}

int cmd_status(struct cli *cli)
{
    struct cli_reply reply;
    char names[300], clean[300], sentence[700];
    json_t *view = NULL;
    int x = ask_view(cli, &view, sentence, sizeof(sentence));
    bool quorum = json_is_true(json_object_get(view, "quorum"));
    json_int_t tolerated = (json_int_t)cli_json_u64(view, "failures_tolerated", 0);

    json_decref(view);
    if (x == EXIT_OK)
        x = cli_ask(cli, "nodes", NULL, CLI_ANSWER_MS, &reply);
    if (x != EXIT_OK)
        return x;
    json_t *nodes = json_object_get(reply.result, "nodes");
    const char *cluster = cli_json_text(reply.result, "cluster");
    size_t alive = count_status(nodes, "alive"), suspect = count_status(nodes, "suspect"),
           failed = count_status(nodes, "failed"), left = count_status(nodes, "left");
    x = status_exit(alive, suspect, failed);
    if (!quorum)
        x = EXIT_TOO_FEW;
    if (cli->json) {
        json_t *doc =
            json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:s}", "schema", "kith.status/1",
                      "cluster", cluster, "ok", x == EXIT_OK, "alive", (json_int_t)alive, "suspect",
                      (json_int_t)suspect, "failed", (json_int_t)failed, "left", (json_int_t)left,
                      "drained", (json_int_t)drained_names(nodes, names, sizeof(names)), "quorum",
                      (int)quorum, "failures_tolerated", tolerated, "shared_state", sentence);
        int printed = cli_print_json(cli, doc, "kith.status/1");
        return printed != EXIT_OK ? printed : x;
    }
    status_names(nodes, failed > 0 ? "failed" : "suspect", names, sizeof(names));
    cli_clean(names, clean, sizeof(clean));
    printf("%sall is well: %zu node%s alive", x == EXIT_OK ? "" : "not ", alive,
           alive == 1 ? "" : "s");
    if (suspect > 0)
        printf(", %zu suspect", suspect);
    if (failed > 0)
        printf(", %zu failed", failed);
    if (suspect + failed > 0)
        printf(" (%s)", clean);
    if (cluster[0] != '\0')
        printf(", cluster %s", cli_clean(cluster, names, sizeof(names)));
    printf("\n%s\n", sentence);
    if (drained_names(nodes, names, sizeof(names)) > 0)
        printf("drained, so nothing new goes there: %s\n", cli_clean(names, clean, sizeof(clean)));
    if (suspect + failed > 0)
        cli_say(cli, "  try: kith reach; kith forget NODE removes one that will not come back");
    return x;
}

/* ---- reach
 * ---------------------------------------------------------------------------------------- */

static const char *name_of(json_t *nodes, const char *id)
{
    size_t at;
    json_t *node;

    json_array_foreach(nodes, at, node)
    {
        if (strcmp(cli_json_text(node, "id"), id) == 0)
            return cli_json_text(node, "name");
    }
    return id;
}

static size_t count_bad(json_t *links)
{
    size_t at, bad = 0;
    json_t *link;

    json_array_foreach(links, at, link) bad += !json_is_true(json_object_get(link, "ok"));
    return bad;
}

static int print_links(struct cli *cli, json_t *nodes, json_t *links)
{
    struct table table;
    json_t *link;
    size_t at;

    table_init(&table, "FROM TO REACHES >RTT WHY");
    json_array_foreach(links, at, link)
    {
        bool ok = json_is_true(json_object_get(link, "ok"));
        table_cell(&table, NULL, "%s", name_of(nodes, cli_json_text(link, "from")));
        table_cell(&table, NULL, "%s", name_of(nodes, cli_json_text(link, "to")));
        table_cell(&table, ok ? TABLE_GREEN : TABLE_RED, "%s", ok ? "yes" : "no");
        if (ok)
            table_cell(&table, NULL, "%.2fms", cli_json_number(link, "rtt_ms", 0));
        else
            table_cell(&table, NULL, "-");
        table_cell(&table, NULL, "%s", ok ? "" : cli_json_text(link, "error"));
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_reach(struct cli *cli)
{
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", 5000);
    struct cli_reply reply;
    int x = cli_ask(cli, "reach", json_pack("{s:I}", "timeout_ms", (json_int_t)timeout_ms),
                    timeout_ms + CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    json_t *nodes = json_object_get(reply.result, "nodes");
    json_t *links = json_object_get(reply.result, "links");
    size_t n = json_array_size(links), bad = count_bad(links);
    if (cli->json)
        x = cli_print_json(cli, json_incref(reply.result), "kith.reach/1");
    else
        x = print_links(cli, nodes, links);
    if (x != EXIT_OK)
        return x;
    if (bad == 0)
        cli_say(cli, "all %zu nodes reach each other (%zu links)", json_array_size(nodes), n);
    else
        cli_say(cli,
                "%zu of %zu links do not work: check firewalls for TCP and UDP on the nodes' port",
                bad, n);
    return bad == 0 ? EXIT_OK : EXIT_PARTLY;
}
