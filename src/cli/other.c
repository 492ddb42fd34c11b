/* kith help, completion, bench, mandel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "core/alloc.h"
#include "core/error.h"

#define NAMES_MS 200

int cmd_help(struct cli *cli)
{
    size_t words = 0, n = cli->args.pos_n;

    if (args_flag(&cli->args, "man")) {
        man_write(stdout);
        return EXIT_OK;
    }
    if (n == 0) {
        help_all(stdout);
        return EXIT_OK;
    }
    const struct verb *verb = verb_find(cli->args.pos, n, &words);
    if (verb != NULL && words == n) {
        help_verb(stdout, verb);
        return EXIT_OK;
    }
    if (n == 1 && verb_is_group(cli_arg(cli, 0))) {
        help_group(stdout, cli_arg(cli, 0));
        return EXIT_OK;
    }
    const char *nearest = verb_nearest(n > 1 ? cli_arg(cli, 0) : NULL, cli_arg(cli, n - 1));
    return cli_fail(cli, EXIT_USAGE, nearest == NULL ? "kith help" : NULL,
                    "there is no verb %s%s%s%s%s%s", cli_arg(cli, 0), n > 1 ? " " : "",
                    n > 1 ? cli_arg(cli, 1) : "", nearest != NULL ? ": did you mean " : "",
                    nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

/* ---- completion
 * ----------------------------------------------------------------------------------- */

int cmd_completion_bash(struct cli *cli)
{
    (void)cli;
    completion_bash_write(stdout);
    return EXIT_OK;
}

static void print_names(json_t *list)
{
    char clean[300];

    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s\n",
               cli_clean(cli_json_text(json_array_get(list, i), "name"), clean, sizeof(clean)));
}

/* For the shell while somebody waits for a key press: no agent is no error, and 200 ms is the
 * limit. */
int cmd_completion_names(struct cli *cli)
{
    const char *kind = cli_arg(cli, 0);
    bool nodes = strcmp(kind, "nodes") == 0;
    struct agent_message message;
    size_t n;

    if (strcmp(kind, "verbs") == 0) {
        const struct verb *table = verbs(&n);
        for (size_t i = 0; i < n; i++) {
            if (!(table[i].flags & VERB_HIDDEN))
                printf("%s\n", table[i].name);
        }
        return EXIT_OK;
    }
    if (!nodes && strcmp(kind, "functions") != 0)
        return cli_fail(cli, EXIT_USAGE, NULL, "kith completion names: nodes, functions or verbs");
    if (freopen("/dev/null", "w", stderr) == NULL || cli_choose_agent(cli) != EXIT_OK ||
        agent_client_open(&cli->client, cli->socket_path) != 0)
        return EXIT_OK;
    const char *line =
        nodes ? "{\"id\":1,\"verb\":\"nodes\"}" : "{\"id\":1,\"verb\":\"functions\"}";
    if (agent_client_send(cli->client, line, NULL, 0) != 0 ||
        agent_client_receive(cli->client, NAMES_MS, &message) != 0)
        return EXIT_OK;
    json_t *result = json_object_get(message.json, "result");
    print_names(json_object_get(result, nodes ? "nodes" : "functions"));
    return EXIT_OK;
}

/* ---- other programs
 * --------------------------------------------------------------------------------- */

/* Becomes @program with @first (may be NULL) and the rest of the line. Returns only if that fails.
 */
static int become(struct cli *cli, const char *program, const char *first)
{
    size_t n = cli->args.pos_n, at = 0;
    char path[4200];
    int x = cli_find_program(cli, program, path, sizeof(path));

    if (x != EXIT_OK)
        return x;
    const char **words = core_calloc(n + 3, sizeof(*words));
    if (words == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    words[at++] = program;
    if (first != NULL)
        words[at++] = first;
    for (size_t i = 0; i < n; i++)
        words[at++] = cli_arg(cli, i);
    /* exec's prototype is older than const; it does not write to them. */
    union {
        const char **in;
        char **out;
    } argv = {.in = words};
    (void)execv(path, argv.out);
    core_free(words);
    return cli_fail(cli, EXIT_FAILED, NULL, "%s cannot be run: %s", path, strerror(errno));
}

int cmd_bench_call(struct cli *cli)
{
    return become(cli, "kith-bench", "call");
}

int cmd_bench_var(struct cli *cli)
{
    return become(cli, "kith-bench", "var");
}

int cmd_bench_lock(struct cli *cli)
{
    return become(cli, "kith-bench", "lock");
}

int cmd_bench_file(struct cli *cli)
{
    return become(cli, "kith-bench", "file");
}

int cmd_bench_history(struct cli *cli)
{
    return become(cli, "kith-bench", "history");
}

int cmd_bench_http(struct cli *cli)
{
    return become(cli, "kith-bench", "http");
}

int cmd_mandel(struct cli *cli)
{
    return become(cli, "kith-mandelbrot", NULL);
}
