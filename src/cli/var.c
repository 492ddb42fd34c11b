/* kith var: distributed variables. Values are data: they go to stdout as they are. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/reply.h"
#include "cli/table.h"
#include "cli/view.h"
#include "core/limits.h"

#define VAR_TIMEOUT_MS 15000

static void add_text(json_t *object, const char *key, const char *text)
{
    if (object != NULL && text != NULL)
        (void)json_object_set_new(object, key, json_string(text));
}

static void add_flag(json_t *object, const char *key, bool value)
{
    if (object != NULL && value)
        (void)json_object_set_new(object, key, json_true());
}

/* The options that operations share, as far as this verb has them, as arguments of the request. */
static json_t *request_args(const struct cli *cli)
{
    static const char *const shared[] = {"type", "policy", "merge", "mutex", "fence"};
    json_t *request =
        json_pack("{s:s,s:I}", "name", cli_arg(cli, 0), "timeout_ms",
                  (json_int_t)args_duration_ms(&cli->args, "timeout", VAR_TIMEOUT_MS));
    const struct opt *opt;

    for (size_t i = 0; (opt = verb_option(cli->args.verb, i)) != NULL; i++) {
        for (size_t j = 0; j < sizeof(shared) / sizeof(shared[0]); j++) {
            if (strcmp(opt->name, shared[j]) == 0)
                add_text(request, shared[j], args_text(&cli->args, shared[j]));
        }
        if (strcmp(opt->name, "last") == 0)
            add_flag(request, "last", args_flag(&cli->args, "last"));
    }
    return request;
}

static void add_element(const struct cli *cli, json_t *object)
{
    if (object == NULL || args_text(&cli->args, "index") == NULL)
        return;
    (void)json_object_set_new(object, "index",
                              json_integer((json_int_t)args_u64(&cli->args, "index", 0)));
    (void)json_object_set_new(object, "count",
                              json_integer((json_int_t)args_u64(&cli->args, "count", 1)));
}

/* Sends the request (taken over) with @data, and receives the one reply. */
static int ask(struct cli *cli,
               const char *verb,
               json_t *args,
               const struct buf *data,
               struct cli_reply *reply)
{
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", VAR_TIMEOUT_MS);
    int x = cli_send(cli, verb, args, data != NULL ? data->data : NULL,
                     data != NULL ? data->len : 0, NULL);

    return x == EXIT_OK ? cli_receive(cli, timeout_ms + CLI_ANSWER_MS, reply) : x;
}

static int print_json(struct cli *cli, const struct cli_reply *reply, const char *schema)
{
    json_t *doc = json_copy(reply->result);

    if (doc == NULL || (json_is_true(json_object_get(doc, "found")) &&
                        reply_add_data(doc, reply->data, reply->data_len) != 0)) {
        json_decref(doc);
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    }
    return cli_print_json(cli, doc, schema);
}

/* The value and a newline, which bytes do not get: they may be a picture. */
static int print_value(struct cli *cli, const struct cli_reply *reply)
{
    int x = cli_write(cli, reply->data, reply->data_len);

    if (x == EXIT_OK && strcmp(cli_json_text(reply->result, "type"), "bytes") != 0)
        x = cli_write(cli, "\n", 1);
    return x;
}

static bool is_found(const struct cli_reply *reply)
{
    return json_is_true(json_object_get(reply->result, "found"));
}

static bool is_applied(const struct cli_reply *reply)
{
    return json_is_true(json_object_get(reply->result, "applied"));
}

int cmd_var_get(struct cli *cli)
{
    json_t *args = request_args(cli);
    struct cli_reply reply;

    add_element(cli, args);
    int x = ask(cli, "var.get", args, NULL, &reply);
    if (x != EXIT_OK)
        return x;
    if (!is_found(&reply))
        return cli_fail(cli, EXIT_NOT_FOUND, "kith var ls", "there is no variable %s",
                        cli_arg(cli, 0));
    return cli->json ? print_json(cli, &reply, "kith.var.get/1") : print_value(cli, &reply);
}

int cmd_var_set(struct cli *cli)
{
    json_t *args = request_args(cli);
    struct buf value = {0};
    struct cli_reply reply;
    int x = input_argument(cli, cli_arg(cli, 1), DVAR_DATA_BYTES_MAX, &value);

    add_flag(args, "once", args_flag(&cli->args, "once"));
    add_flag(args, "guarded", args_flag(&cli->args, "guarded"));
    add_element(cli, args);
    if (x == EXIT_OK)
        x = ask(cli, "var.set", args, &value, &reply);
    else
        json_decref(args);
    buf_deinit(&value);
    if (x != EXIT_OK)
        return x;
    if (cli->json)
        x = print_json(cli, &reply, "kith.var.set/1");
    if (x == EXIT_OK && !is_applied(&reply) && args_flag(&cli->args, "once")) {
        cli_say(cli, "%s is a constant already and keeps its value", cli_arg(cli, 0));
        return EXIT_CONFLICT;
    }
    return x;
}

int cmd_var_cas(struct cli *cli)
{
    const char *version = args_text(&cli->args, "version");
    size_t values = cli->args.pos_n - 1;
    bool absent = args_flag(&cli->args, "absent");
    struct buf value = {0};
    struct cli_reply reply;

    if (values != (version != NULL || absent ? 1u : 2u))
        return cli_fail(cli, EXIT_USAGE, "kith help var cas",
                        "kith var cas needs the value that is expected and the new one, or "
                        "--version or --absent and the new one");
    json_t *args = request_args(cli);
    if (version == NULL && !absent)
        add_text(args, "expect", cli_arg(cli, 1));
    add_text(args, "expect_version", version);
    int x = input_argument(cli, cli_arg(cli, values), DVAR_DATA_BYTES_MAX, &value);
    if (x == EXIT_OK)
        x = ask(cli, "var.cas", args, &value, &reply);
    else
        json_decref(args);
    buf_deinit(&value);
    if (x != EXIT_OK)
        return x;
    bool applied = is_applied(&reply);
    if (cli->json) {
        x = print_json(cli, &reply, "kith.var.cas/1");
        return x != EXIT_OK || applied ? x : EXIT_CONFLICT;
    }
    if (applied)
        return EXIT_OK;
    if (!is_found(&reply))
        return cli_fail(cli, EXIT_CONFLICT, NULL, "%s was not changed: it does not exist",
                        cli_arg(cli, 0));
    x = print_value(cli, &reply);
    cli_say(cli, "kith: %s was not changed: it has another value (version %s), shown on stdout",
            cli_arg(cli, 0), cli_json_text(reply.result, "version"));
    return x == EXIT_OK ? EXIT_CONFLICT : x;
}

/* What is no number is a conflict, not a usage error: the name is right, the variable is not. */
int cmd_var_incr(struct cli *cli)
{
    json_t *args = request_args(cli);
    struct cli_reply reply;

    add_text(args, "delta", cli_arg(cli, 1));
    int x = ask(cli, "var.incr", args, NULL, &reply);
    if (x != EXIT_OK)
        return x;
    return cli->json ? print_json(cli, &reply, "kith.var.incr/1") : print_value(cli, &reply);
}

int cmd_var_rm(struct cli *cli)
{
    struct cli_reply reply;
    int x = ask(cli, "var.rm", request_args(cli), NULL, &reply);

    return x == EXIT_OK && cli->json ? print_json(cli, &reply, "kith.var.rm/1") : x;
}

static int watch_line(struct cli *cli, const struct cli_reply *reply)
{
    char name[KITH_NAME_BYTES_MAX + 1];
    uint64_t missed = cli_json_u64(reply->result, "missed", 0);

    if (cli->json) {
        json_t *doc = json_copy(reply->result);
        int r =
            doc == NULL || !is_found(reply) ? 0 : reply_add_data(doc, reply->data, reply->data_len);
        int x = doc == NULL || r != 0 ? cli_fail(cli, EXIT_FAILED, NULL, "out of memory")
                                      : cli_print_json_line(cli, doc);
        json_decref(doc);
        return x;
    }
    printf("%s\t", cli_clean(cli_json_text(reply->result, "name"), name, sizeof(name)));
    int x = EXIT_OK;
    if (is_found(reply))
        x = cli_write(cli, reply->data, reply->data_len);
    else
        printf("(%s)", json_is_true(json_object_get(reply->result, "lost")) ? "lost" : "gone");
    printf("\n");
    if (missed > 0)
        cli_say(cli, "  %llu earlier changes of it were not shown", (unsigned long long)missed);
    return x == EXIT_OK && fflush(stdout) != 0 ? EXIT_FAILED : x;
}

/* Without a majority no change is told, which must not look as if there were none. */
static void say_view(struct cli *cli, json_t *view)
{
    char sentence[700];

    if (json_is_true(json_object_get(view, "quorum")))
        return;
    view_sentence(view, sentence, sizeof(sentence));
    cli_say(cli, "kith: changes of consistent variables are not seen for now: %s", sentence);
}

static int ask_for_view(struct cli *cli)
{
    return cli_send(cli, "view", NULL, NULL, 0, NULL);
}

/* Of those to come. */
static int look_at_event(struct cli *cli, json_t *event)
{
    const char *type = cli_json_text(event, "type");

    if (strcmp(type, "no-quorum") == 0)
        return ask_for_view(cli); /* which says who is missing */
    if (strcmp(type, "quorum") == 0)
        cli_say(cli, "kith: changes are seen again");
    return EXIT_OK;
}

int cmd_var_watch(struct cli *cli)
{
    struct cli_reply reply;
    uint64_t left = args_u64(&cli->args, "count", UINT64_MAX), watch_id, events_id;
    int x = ask_for_view(cli);

    if (x == EXIT_OK)
        x = cli_send(cli, "events", json_pack("{s:I,s:b}", "after", INT64_MAX, "follow", true),
                     NULL, 0, &events_id);
    if (x == EXIT_OK)
        x = cli_send(cli, "var.watch", json_pack("{s:s}", "pattern", cli_arg(cli, 0)), NULL, 0,
                     &watch_id);
    while (x == EXIT_OK && left > 0) {
        x = cli_receive(cli, UINT64_MAX, &reply);
        if (x != EXIT_OK)
            break;
        if (reply.id == watch_id) {
            x = watch_line(cli, &reply);
            left--;
        } else if (reply.id == events_id) {
            x = look_at_event(cli, reply.result);
        } else { /* one of those for the view */
            say_view(cli, reply.result);
        }
    }
    return x;
}

/* ---- what there is ---- */

static int show_list(struct cli *cli, json_t *result)
{
    json_t *vars = json_object_get(result, "vars"), *var;
    struct table table;
    size_t at;

    if (json_array_size(vars) == 0) {
        cli_say(cli, "no variables%s%s; kith var set NAME VALUE makes one",
                cli_arg(cli, 0) != NULL ? " that begin with " : "",
                cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : "");
        return EXIT_OK;
    }
    table_init(&table, "NAME TYPE POLICY >BYTES HOME");
    json_array_foreach(vars, at, var)
    {
        table_cell(&table, NULL, "%s", cli_json_text(var, "name"));
        table_cell(&table, NULL, "%s", cli_json_text(var, "type"));
        table_cell(&table, NULL, "%s", cli_json_text(var, "policy"));
        table_cell(&table, NULL, "%.0f", cli_json_number(var, "bytes", 0));
        table_cell(&table, NULL, "%s", cli_json_text(var, "home"));
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_var_ls(struct cli *cli)
{
    return cli_ask_and_show(cli, "var.ls", json_pack("{s:s*}", "prefix", cli_arg(cli, 0)),
                            CLI_ANSWER_MS, show_list);
}

/* Names of what is in @array, and of nodes with @role if that is not NULL. */
static void print_names(const char *label, json_t *array, const char *role, const char *none)
{
    char clean[300];
    bool any = false;
    json_t *one;
    size_t at;

    printf("%-9s", label);
    json_array_foreach(array, at, one)
    {
        if (role != NULL && strcmp(cli_json_text(one, "role"), role) != 0)
            continue;
        printf("%s%s", any ? " " : "", cli_clean(cli_json_text(one, "name"), clean, sizeof(clean)));
        any = true;
    }
    printf("%s\n", any ? "" : none);
}

static void print_info(struct cli *cli, json_t *value, json_t *info, size_t bytes)
{
    bool available = strcmp(cli_json_text(value, "policy"), "available") == 0;
    char writer[KITH_NAME_BYTES_MAX + 1];

    printf(
        "name     %s\ntype     %s\npolicy   %s%s%s\nversion  %s\nbytes    %zu\nwritten  %s by %s\n",
        cli_arg(cli, 0), cli_json_text(value, "type"), cli_json_text(value, "policy"),
        available ? ", " : "", available ? cli_json_text(info, "merge") : "",
        cli_json_text(value, "version"), bytes, cli_json_text(value, "time"),
        cli_clean(cli_json_text(value, "writer_name"), writer, sizeof(writer)));
    print_names("replicas", json_object_get(info, "replicas"), NULL,
                available ? "every node" : "not known here");
    if (!available)
        print_names("cached", json_object_get(info, "nodes"), "cache", "by no agent");
    if (json_is_integer(json_object_get(info, "sharers")))
        printf("sharers  %llu\n", (unsigned long long)cli_json_u64(info, "sharers", 0));
    printf("watchers %llu\n", (unsigned long long)cli_json_u64(info, "watchers", 0));
}

int cmd_var_info(struct cli *cli)
{
    struct cli_reply reply;
    int x = ask(cli, "var.get", request_args(cli), NULL, &reply);

    if (x != EXIT_OK)
        return x;
    if (!is_found(&reply))
        return cli_fail(cli, EXIT_NOT_FOUND, "kith var ls", "there is no variable %s",
                        cli_arg(cli, 0));
    size_t bytes = reply.data_len;
    json_t *value = json_incref(reply.result);
    x = cli_ask(cli, "var.info", json_pack("{s:s}", "name", cli_arg(cli, 0)), CLI_ANSWER_MS,
                &reply);
    if (x == EXIT_OK && cli->json) {
        json_t *doc = json_copy(reply.result);
        (void)json_object_update(doc, value);
        (void)json_object_set_new(doc, "bytes", json_integer((json_int_t)bytes));
        x = cli_print_json(cli, doc, "kith.var.info/1");
    } else if (x == EXIT_OK) {
        print_info(cli, value, reply.result, bytes);
    }
    json_decref(value);
    return x;
}
