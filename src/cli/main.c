/* The command `kith`: parse the line by the verb table, run the verb, end with its exit code. */
#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <uv.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/run.h"
#include "core/error.h"
#include "core/text.h"
#include "fs/name.h"
#include "kith.h"

static int usage_error(struct cli *cli)
{
    char what[1100];

    snprintf(what, sizeof(what), "%s", kith_errmsg());
    return cli_fail(cli, EXIT_USAGE, NULL, "%s", what);
}

/* --quiet and --json are looked up here, once, for those verbs that have them. */
static bool given(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->options_n; i++) {
        if (strcmp(args->options[i].opt->name, name) == 0)
            return true;
    }
    return false;
}

/* What names something in the catalogue travels as JSON; what names a file of this machine does
 * not.
 */
static int check_names(struct cli *cli)
{
    const struct verb *verb = cli->args.verb;

    for (size_t i = 0; strcmp(verb->group, "files") == 0 && cli_arg(cli, i) != NULL; i++) {
        const char *name = cli_arg(cli, i);
        if (verb->completes[i > 0] == COMPLETE_NONE && !text_is_utf8(name, strlen(name)))
            return cli_fail_code(cli, fs_path_check(name, strlen(name)));
    }
    return EXIT_OK;
}

static int run_verb(struct cli *cli)
{
    int x = check_names(cli);

    return x == EXIT_OK ? cli->args.verb->run(cli) : x;
}

static int run(struct cli *cli, int r)
{
    const struct args *args = &cli->args;

    cli->json = given(args, "json");
    cli->quiet = given(args, "quiet");
    if (r != 0)
        return usage_error(cli);
    if (args->help_group != NULL) {
        help_group(args->help ? stdout : stderr, args->help_group);
        return args->help ? EXIT_OK : EXIT_USAGE;
    }
    if (args->verb != NULL && args->help) {
        help_verb(stdout, args->verb);
        return EXIT_OK;
    }
    if (args->verb != NULL)
        return run_verb(cli);
    if (args->version) {
        printf("kith %s\n", kith_version());
        return EXIT_OK;
    }
    help_all(args->help ? stdout : stderr);
    return args->help ? EXIT_OK : EXIT_USAGE;
}

int cli_main(int argc, char **argv)
{
    static struct cli cli; /* large, and there is one */
    union {
        char **in;
        const char *const *out;
    } words = {.in = argv};

    (void)signal(SIGPIPE, SIG_DFL); /* "kith nodes | head" ends in silence; the agent ignores it */
    (void)setlocale(LC_CTYPE, "");  /* not LC_NUMERIC: figures are written the same everywhere */
    if (sodium_init() < 0)
        return cli_fail(&cli, EXIT_FAILED, NULL, "libsodium finds no source of randomness");
    int r = args_parse(&cli.args, words.out + 1, argc > 0 ? (size_t)argc - 1 : 0);
    int x = run(&cli, r);
    agent_client_close(cli.client);
    if (x == EXIT_OK)
        x = cli_flush(&cli);
    args_deinit(&cli.args);
    return x;
}
