/* kith view: who votes, who keeps what; and the way out when a majority will not come back. */
#include "cli/view.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

/* "a, b and c" */
static void names_of(json_t *peers, char *out, size_t out_bytes)
{
    size_t at, n = json_array_size(peers), used = 0;
    json_t *peer;

    out[0] = '\0';
    json_array_foreach(peers, at, peer)
    {
        const char *name = cli_json_text(peer, "name");
        if (name[0] == '\0')
            name = cli_json_text(peer, "id");
        int len = snprintf(out + used, out_bytes - used, "%s%s",
                           at == 0       ? ""
                           : at + 1 == n ? " and "
                                         : ", ",
                           name);
        if (len < 0 || (size_t)len >= out_bytes - used)
            return;
        used += (size_t)len;
    }
}

static size_t active_keepers(json_t *view)
{
    json_t *keepers = json_object_get(view, "keepers"), *keeper;
    size_t at, n = 0;

    json_array_foreach(keepers, at, keeper) n +=
        strcmp(cli_json_text(keeper, "state"), "active") == 0;
    return n;
}

void view_sentence(json_t *view, char *out, size_t out_bytes)
{
    uint64_t tolerated = cli_json_u64(view, "failures_tolerated", 0);
    char missing[400];

    names_of(json_object_get(view, "missing"), missing, sizeof(missing));
    if (strcmp(cli_json_text(view, "epoch"), "0") == 0)
        snprintf(
            out, out_bytes,
            "no shared state yet: this node has not heard of a view; variables and locks wait");
    else if (!json_is_true(json_object_get(view, "quorum")))
        snprintf(out, out_bytes,
                 "shared state cannot be used: too few voters are reachable%s%s; start or "
                 "reconnect them (kith view force is the last resort)",
                 missing[0] != '\0' ? ", missing " : "", missing);
    else if (!json_is_true(json_object_get(view, "serving")))
        snprintf(out, out_bytes,
                 "shared state is being taken over: a new leader is chosen within seconds");
    else if (tolerated == 0)
        snprintf(out, out_bytes, "shared state works; it survives no failure now%s%s",
                 missing[0] != '\0'         ? ", missing "
                 : active_keepers(view) < 3 ? " (three or more nodes would)"
                                            : " (copies are still being made)",
                 missing);
    else
        snprintf(out, out_bytes, "shared state works and survives %llu failure%s now",
                 (unsigned long long)tolerated, tolerated == 1 ? "" : "s");
}

static bool is_voter(json_t *voters, const char *id)
{
    size_t at;
    json_t *voter;

    json_array_foreach(voters, at, voter)
    {
        if (strcmp(cli_json_text(voter, "id"), id) == 0)
            return true;
    }
    return false;
}

static int show_view(struct cli *cli, json_t *view)
{
    json_t *keepers = json_object_get(view, "keepers"), *voters = json_object_get(view, "voters");
    const char *leader = cli_json_text(json_object_get(view, "leader"), "id");
    char sentence[700];
    struct table table;
    json_t *keeper;
    size_t at;

    view_sentence(view, sentence, sizeof(sentence));
    printf("%s\n", sentence);
    if (json_array_size(keepers) == 0)
        return EXIT_OK;
    table_init(&table, "KEEPER STATE ROLE >SLOTS >HOMES");
    json_array_foreach(keepers, at, keeper)
    {
        const char *id = cli_json_text(keeper, "id"), *state = cli_json_text(keeper, "state");
        bool active = strcmp(state, "active") == 0;
        if (strcmp(state, "ended") == 0)
            continue; /* remembered only for what its disk has */
        table_cell(&table, NULL, "%s", cli_json_text(keeper, "name"));
        table_cell(&table, active ? TABLE_GREEN : TABLE_RED, "%s", state);
        table_cell(&table, NULL, "%s",
                   strcmp(id, leader) == 0 ? "leader"
                   : is_voter(voters, id)  ? "voter"
                                           : "keeper");
        table_cell(&table, NULL, "%.0f", cli_json_number(keeper, "slots", 0));
        table_cell(&table, NULL, "%.0f", cli_json_number(keeper, "homes", 0));
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_view(struct cli *cli)
{
    return cli_ask_and_show(cli, "view", json_pack("{s:s*}", "node", args_text(&cli->args, "node")),
                            CLI_ANSWER_MS, show_view);
}

/* ---- force ---- */

static void say_loss(json_t *loss)
{
    char voters[400], keepers[400];

    names_of(json_object_get(loss, "voters"), voters, sizeof(voters));
    names_of(json_object_get(loss, "keepers"), keepers, sizeof(keepers));
    fprintf(stderr,
            "kith: this makes the nodes that are reachable from here the whole of the shared "
            "state.\n");
    if (voters[0] != '\0')
        fprintf(stderr,
                "  - %s must never run again with the present data directories: two clusters would "
                "decide.\n",
                voters);
    if (keepers[0] != '\0')
        fprintf(stderr, "  - What only %s knew is lost.\n", keepers);
    fprintf(stderr,
            "  - %.0f of 64 groups of names have no copy here: their variables are gone.\n"
            "  - %.0f have fewer copies here than they had: the last writes may be missing.\n",
            cli_json_number(loss, "slots_lost", 0), cli_json_number(loss, "slots_fewer", 0));
}

static bool confirmed(struct cli *cli)
{
    char answer[16] = "";

    if (args_flag(&cli->args, "yes"))
        return true;
    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "Type yes to go on: ");
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

int cmd_view_force(struct cli *cli)
{
    struct cli_reply reply;
    int x = cli_ask(cli, "view.force", NULL, CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    say_loss(reply.result);
    if (!confirmed(cli))
        return cli_fail(cli, EXIT_NOT_ALLOWED, "kith view force --yes",
                        "nothing was done: it needs a yes");
    x = cli_ask(cli, "view.force", json_pack("{s:b}", "confirmed", 1), CLI_ANSWER_MS, &reply);
    if (x != EXIT_OK)
        return x;
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.view.force/1");
    cli_say(cli, "done; kith view shows what is there now");
    return EXIT_OK;
}
