/* kith events, monitor, logs, fn watch, loglevel: streams, and how much goes into one of them. */
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

/*
 * Prints each partial reply until the last one. With --json one object a line.
 */
static int print_stream(
    struct cli *cli, const char *verb, json_t *request, bool endless, void (*show)(json_t *result))
{
    struct cli_reply reply;
    int x = cli_send(cli, verb, request, NULL, 0, NULL);

    while (x == EXIT_OK) {
        x = cli_receive(cli, endless ? UINT64_MAX : CLI_ANSWER_MS, &reply);
        if (x != EXIT_OK || !reply.more)
            break;
        if (cli->json) {
            x = cli_print_json_line(cli, reply.result);
        } else {
            show(reply.result);
            if (endless && fflush(stdout) != 0)
                x = EXIT_FAILED;
        }
    }
    return x;
}

/* RFC 3339 UTC to the local time of the reader; as it came if it is something else. */
static void local_time_text(const char *utc, char *out, size_t out_bytes)
{
    struct tm tm = {0};
    struct tm local;
    const char *rest = strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm);

    if (rest == NULL) {
        snprintf(out, out_bytes, "%s", utc);
        return;
    }
    time_t at = timegm(&tm);
    char text[32];
    if (localtime_r(&at, &local) == NULL || strftime(text, sizeof(text), "%H:%M:%S", &local) == 0) {
        snprintf(out, out_bytes, "%s", utc);
        return;
    }
    snprintf(out, out_bytes, "%s%.4s", text, rest[0] == '.' ? rest : "");
}

static const char *color_of_event(const char *type)
{
    static const struct {
        const char *type, *color;
    } colors[] = {{"failed", TABLE_RED},     {"no-quorum", TABLE_RED}, {"suspect", TABLE_YELLOW},
                  {"damaged", TABLE_YELLOW}, {"joined", TABLE_GREEN},  {"quorum", TABLE_GREEN}};

    for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++) {
        if (strcmp(type, colors[i].type) == 0)
            return colors[i].color;
    }
    return NULL;
}

static void show_event(json_t *event)
{
    const char *type = cli_json_text(event, "type");
    const char *address = cli_json_text(event, "address");
    const char *reason = cli_json_text(event, "reason");
    char when[64], name[300], at[128], why[300];
    const char *color = color_of_event(type);
    bool colors = color != NULL && table_colors(stdout);

    local_time_text(cli_json_text(event, "time"), when, sizeof(when));
    printf("%s  %s%s%s%-16s%s%s  %s", when, colors ? "\033[" : "", colors ? color : "",
           colors ? "m" : "", type, colors ? "\033[0m" : "", "",
           cli_clean(cli_json_text(event, "name"), name, sizeof(name)));
    if (address[0] != '\0')
        printf(" (%s)", cli_clean(address, at, sizeof(at)));
    if (reason[0] != '\0')
        printf(": %s", cli_clean(reason, why, sizeof(why)));
    printf("\n");
}

int cmd_events(struct cli *cli)
{
    bool follow = args_flag(&cli->args, "follow");
    uint64_t after = args_u64(&cli->args, "after", 0);

    return print_stream(cli, "events",
                        json_pack("{s:I,s:b}", "after", (json_int_t)after, "follow", (int)follow),
                        follow, show_event);
}

static void show_line(json_t *result)
{
    char clean[4200];

    printf("%s\n", cli_clean(cli_json_text(result, "line"), clean, sizeof(clean)));
}

int cmd_monitor(struct cli *cli)
{
    const char *level = args_text(&cli->args, "level");

    return print_stream(cli, "monitor",
                        json_pack("{s:s,s:s*}", "level", level != NULL ? level : "info", "node",
                                  args_text(&cli->args, "node")),
                        true, show_line);
}

/* ---- logs ---- */

static int print_lines(struct cli *cli, json_t *lines)
{
    int x = EXIT_OK;
    size_t at;
    json_t *line;

    json_array_foreach(lines, at, line)
    {
        if (!cli->json)
            show_line(line);
        else if (x == EXIT_OK)
            x = cli_print_json_line(cli, line);
    }
    return x;
}

/* The newest @wanted lines, oldest first: an answer has so many bytes only, so what is older is
 * asked for by itself. A new reference to @lines_out. */
static int newest_lines(struct cli *cli, uint64_t wanted, json_t **lines_out)
{
    json_t *lines = json_array(), *more;
    uint64_t before = UINT64_MAX;
    struct cli_reply reply;
    int x = EXIT_OK;

    while (wanted > 0) {
        char number[24];
        snprintf(number, sizeof(number), "%llu", (unsigned long long)before);
        x = cli_ask(cli, "logs",
                    json_pack("{s:I,s:s,s:s*,s:s*}", "lines", (json_int_t)wanted, "before", number,
                              "node", cli_arg(cli, 0), "level", args_text(&cli->args, "level")),
                    CLI_ANSWER_MS, &reply);
        more = x == EXIT_OK ? json_object_get(reply.result, "lines") : NULL;
        if (json_array_size(more) == 0)
            break;
        size_t n = json_array_size(more);
        for (size_t i = 0; i < n; i++)
            (void)json_array_insert(lines, i, json_array_get(more, i));
        wanted -= n < wanted ? n : wanted;
        before = cli_json_u64(json_array_get(more, 0), "seq", 0);
    }
    *lines_out = lines;
    return x;
}

static int follow_lines(struct cli *cli, uint64_t after)
{
    struct cli_reply reply;
    char number[24];

    snprintf(number, sizeof(number), "%llu", (unsigned long long)after);
    int x = cli_send(cli, "logs",
                     json_pack("{s:b,s:s,s:s*,s:s*}", "follow", 1, "after", number, "node",
                               cli_arg(cli, 0), "level", args_text(&cli->args, "level")),
                     NULL, 0, NULL);
    while (x == EXIT_OK) {
        x = cli_receive(cli, UINT64_MAX, &reply);
        if (x != EXIT_OK || !reply.more)
            break;
        x = print_lines(cli, json_object_get(reply.result, "lines"));
        if (fflush(stdout) != 0)
            x = EXIT_FAILED;
    }
    return x;
}

int cmd_logs(struct cli *cli)
{
    json_t *lines = NULL;
    int x = newest_lines(cli, args_u64(&cli->args, "lines", 100), &lines);
    size_t n = json_array_size(lines);
    uint64_t last = n > 0 ? cli_json_u64(json_array_get(lines, n - 1), "seq", 0) : 0;

    if (x == EXIT_OK)
        x = print_lines(cli, lines);
    json_decref(lines);
    if (x != EXIT_OK || !args_flag(&cli->args, "follow"))
        return x;
    return fflush(stdout) == 0 ? follow_lines(cli, last) : EXIT_FAILED;
}

static void show_completion(json_t *done)
{
    char when[64], node[300];

    local_time_text(cli_json_text(done, "time"), when, sizeof(when));
    printf("%s  %-12s  on %s in %.3f ms, argument %.8s, caller %.8s\n", when,
           cli_json_text(done, "outcome"),
           cli_clean(cli_json_text(done, "node_name"), node, sizeof(node)),
           cli_json_number(done, "elapsed_ms", 0), cli_json_text(done, "argument_digest"),
           cli_json_text(done, "caller"));
}

int cmd_fn_watch(struct cli *cli)
{
    return print_stream(cli, "watch", json_pack("{s:s}", "fn", cli_arg(cli, 0)), true,
                        show_completion);
}

static int show_level(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "log level is %s until the agent ends (log.level in its configuration keeps it)",
            cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_loglevel(struct cli *cli)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *level = cli_arg(cli, 0);
    bool known = false;

    for (size_t i = 0; i < 4; i++)
        known |= strcmp(level, levels[i]) == 0;
    if (!known)
        return cli_fail(cli, EXIT_USAGE, NULL,
                        "%s is no log level: write error, warn, info or debug", level);
    return cli_ask_and_show(
        cli, "loglevel",
        json_pack("{s:s,s:s*}", "level", level, "node", args_text(&cli->args, "node")),
        CLI_ANSWER_MS, show_level);
}
