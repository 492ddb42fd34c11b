/* kith ping, connect, disconnect, leave, forget. */
#include <math.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

/* ---- ping
 * ----------------------------------------------------------------------------------------- */

struct ping_sum {
    unsigned sent, received;
    double least, most, total;
};

static void print_echo(json_t *echo, struct ping_sum *sum)
{
    char name[300], why[600];
    double rtt = cli_json_number(echo, "rtt_ms", -1);

    cli_clean(cli_json_text(echo, "name"), name, sizeof(name));
    sum->sent++;
    if (rtt < 0) {
        printf("%s: %s\n", name, cli_clean(cli_json_text(echo, "error"), why, sizeof(why)));
        return;
    }
    sum->least = sum->received == 0 ? rtt : fmin(sum->least, rtt);
    sum->most = sum->received == 0 ? rtt : fmax(sum->most, rtt);
    sum->total += rtt;
    sum->received++;
    printf("%s: echo %.0f in %.3f ms\n", name, cli_json_number(echo, "seq", sum->sent), rtt);
    (void)fflush(stdout);
}

int cmd_ping(struct cli *cli)
{
    uint64_t count = args_u64(&cli->args, "count", 4);
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", 1000);
    struct ping_sum sum = {0};
    struct cli_reply reply;
    int x;

    if (count == 0 || count > 1000000)
        return cli_fail(cli, EXIT_USAGE, NULL, "--count %llu: 1 to 1000000 are possible",
                        (unsigned long long)count);
    x = cli_send(cli, "ping",
                 json_pack("{s:s,s:I,s:I,s:s*}", "node", cli_arg(cli, 0), "count",
                           (json_int_t)count, "timeout_ms", (json_int_t)timeout_ms, "from",
                           args_text(&cli->args, "node")),
                 NULL, 0, NULL);
    while (x == EXIT_OK) {
        x = cli_receive(cli, timeout_ms + CLI_ANSWER_MS, &reply);
        if (x != EXIT_OK || !reply.more)
            break;
        if (cli->json) {
            x = cli_print_json_line(cli, reply.result);
            sum.sent++;
            sum.received += cli_json_number(reply.result, "rtt_ms", -1) >= 0;
        } else {
            print_echo(reply.result, &sum);
        }
    }
    if (x != EXIT_OK)
        return x;
    if (!cli->json && sum.received > 0)
        cli_say(cli, "%u sent, %u came back: least %.3f, mean %.3f, most %.3f ms", sum.sent,
                sum.received, sum.least, sum.total / sum.received, sum.most);
    if (sum.received == sum.sent && sum.sent > 0)
        return EXIT_OK;
    return sum.received > 0 ? EXIT_PARTLY : EXIT_TIMED_OUT;
}

/* ---- the others
 * ------------------------------------------------------------------------------------ */

static int show_connected(struct cli *cli, json_t *result)
{
    char name[300];

    cli_clean(cli_json_text(result, "name"), name, sizeof(name));
    if (json_is_true(json_object_get(result, "self")))
        cli_say(cli, "%s is %s, this node itself: there is nothing to connect", cli_arg(cli, 0),
                name);
    else
        cli_say(cli, "connected to %s (%s)", name, cli_json_text(result, "id"));
    return EXIT_OK;
}

int cmd_connect(struct cli *cli)
{
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", 10000);

    return cli_ask_and_show(
        cli, "connect",
        json_pack("{s:s,s:I}", "address", cli_arg(cli, 0), "timeout_ms", (json_int_t)timeout_ms),
        timeout_ms + CLI_ANSWER_MS, show_connected);
}

static int show_disconnected(struct cli *cli, json_t *result)
{
    unsigned closed = (unsigned)cli_json_number(result, "closed", 0);

    if (closed == 0)
        cli_say(cli, "no connection to %s was open", cli_arg(cli, 0));
    else
        cli_say(cli, "closed %u connection%s to %s: opened again when needed", closed,
                closed == 1 ? "" : "s", cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_disconnect(struct cli *cli)
{
    return cli_ask_and_show(cli, "disconnect", json_pack("{s:s}", "node", cli_arg(cli, 0)),
                            CLI_ANSWER_MS, show_disconnected);
}

static int show_left(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "left the cluster: kith agent comes back to it");
    return EXIT_OK;
}

int cmd_leave(struct cli *cli)
{
    return cli_ask_and_show(cli, "leave", NULL, CLI_ANSWER_MS, show_left);
}

static int show_forgotten(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "forgot %s", cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_forget(struct cli *cli)
{
    return cli_ask_and_show(cli, "forget", json_pack("{s:s}", "node", cli_arg(cli, 0)),
                            CLI_ANSWER_MS, show_forgotten);
}
