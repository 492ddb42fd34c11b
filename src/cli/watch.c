/* kith events, monitor, fn watch, loglevel: streams, and how much goes into one of them. */
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

static void show_event(json_t *event)
{
    const char *type = cli_json_text(event, "type");
    const char *address = cli_json_text(event, "address");
    const char *reason = cli_json_text(event, "reason");
    char when[64], name[300], at[128], why[300];
    const char *color = strcmp(type, "failed") == 0    ? TABLE_RED
                        : strcmp(type, "suspect") == 0 ? TABLE_YELLOW
                        : strcmp(type, "joined") == 0  ? TABLE_GREEN
                                                       : NULL;
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
