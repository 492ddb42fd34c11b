/* kith web, kith board open and kith user: the way into the pages. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#define USER_TIMEOUT_MS 30000
#define PASSWORD_BYTES  512

#define BOARD_NAME_BYTES_MAX 64
#define BOARD_PAGE           "/board/index.html"

/* ---- kith web ---- */

static int open_browser(struct cli *cli, const char *url, const char *hint)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)execlp("xdg-open", "xdg-open", url, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0)
        return cli_fail(cli, EXIT_FAILED, hint, "no browser could be opened");
    return EXIT_OK;
}

static int show_url(struct cli *cli, const char *url, uint64_t users, const char *hint)
{
    if (args_flag(&cli->args, "open"))
        return open_browser(cli, url, hint);
    printf("%s\n", url);
    cli_say(cli, "good for one log-in as admin, for 10 minutes%s",
            users == 0 ? "; there are no users yet" : "");
    return EXIT_OK;
}

static int show_link(struct cli *cli, json_t *result)
{
    return show_url(cli, cli_json_text(result, "url"), cli_json_u64(result, "users", 0),
                    "kith web prints the link");
}

static int show_token(struct cli *cli, json_t *result)
{
    (void)cli;
    printf("%s\n", cli_json_text(result, "token"));
    return EXIT_OK;
}

int cmd_web(struct cli *cli)
{
    const char *role = args_text(&cli->args, "role");
    uint64_t expires_ms = args_duration_ms(&cli->args, "expires", 0);

    if (!args_flag(&cli->args, "token")) {
        if (role != NULL || expires_ms != 0)
            return cli_fail(cli, EXIT_USAGE, "kith web --token --role viewer",
                            "--role and --expires are those of a token");
        return cli_ask_and_show(cli, "web.link", json_object(), CLI_ANSWER_MS, show_link);
    }
    json_t *args = json_pack("{s:s*}", "role", role);
    if (expires_ms != 0)
        (void)json_object_set_new(args, "expires_ms", json_integer((json_int_t)expires_ms));
    return cli_ask_and_show(cli, "web.token", args, CLI_ANSWER_MS, show_token);
}

/* ---- kith board open ---- */

/* As pages have it: a-z, 0-9, and - between. */
static bool is_board(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= BOARD_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && name[0] != '-' &&
           name[len - 1] != '-';
}

/* The link of kith web, with the page of the board behind it. */
int cmd_board_open(struct cli *cli)
{
    const char *board = cli_arg(cli, 0);
    struct cli_reply reply;
    char url[1200];

    if (!is_board(board))
        return cli_fail(cli, EXIT_USAGE, "kith board ls",
                        "a board's name has 1 to %d of a-z 0-9 and - between them",
                        BOARD_NAME_BYTES_MAX);
    int x = cli_ask(cli, "web.link", json_object(), CLI_ANSWER_MS, &reply);
    if (x != EXIT_OK)
        return x;
    const char *login = strchr(cli_json_text(reply.result, "url"), '#');
    if (login == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "the agent gave a link without a log-in");
    snprintf(url, sizeof(url), "%s" BOARD_PAGE "%s/%s", cli_json_text(reply.result, "web"), login,
             board);
    if (!cli->json)
        return show_url(cli, url, cli_json_u64(reply.result, "users", 0),
                        "kith board open NAME prints the link");
    json_t *doc = json_pack("{s:s,s:s,s:I}", "board", board, "url", url, "expires_ms",
                            (json_int_t)cli_json_u64(reply.result, "expires_ms", 0));
    return cli_print_json(cli, doc, "kith.board.open/1");
}

/* ---- kith user ---- */

/* One line: from the terminal without showing it, else from stdin. */
static int read_password(struct cli *cli, const char *prompt, char out[PASSWORD_BYTES])
{
    struct termios old, quiet;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;

    if (terminal) {
        fputs(prompt, stderr);
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    char *line = fgets(out, PASSWORD_BYTES, stdin);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fputc('\n', stderr);
    }
    if (line == NULL)
        return cli_fail(cli, EXIT_USAGE, "echo PASSWORD | kith user ...", "no password was given");
    out[strcspn(out, "\r\n")] = '\0';
    return EXIT_OK;
}

/* Asked for twice where somebody types it. */
static int new_password(struct cli *cli, char out[PASSWORD_BYTES])
{
    char again[PASSWORD_BYTES];
    int x = read_password(cli, "password: ", out);

    if (x != EXIT_OK || !isatty(STDIN_FILENO))
        return x;
    x = read_password(cli, "once more: ", again);
    if (x == EXIT_OK && strcmp(out, again) != 0)
        x = cli_fail(cli, EXIT_USAGE, NULL, "the two passwords differ");
    explicit_bzero(again, sizeof(again));
    return x;
}

static int write_user(struct cli *cli, const char *verb, const char *role, const char *done)
{
    char password[PASSWORD_BYTES];
    struct cli_reply reply;
    int x = cli_connect(cli); /* before anybody types a password */

    if (x == EXIT_OK)
        x = new_password(cli, password);
    if (x == EXIT_OK)
        x = cli_send(cli, verb, json_pack("{s:s,s:s*}", "user", cli_arg(cli, 0), "role", role),
                     password, strlen(password), NULL);
    explicit_bzero(password, sizeof(password));
    if (x == EXIT_OK)
        x = cli_receive(cli, USER_TIMEOUT_MS, &reply);
    if (x != EXIT_OK)
        return x;
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.user/1");
    cli_say(cli, "%s %s", cli_arg(cli, 0), done);
    return EXIT_OK;
}

int cmd_user_add(struct cli *cli)
{
    const char *role = args_text(&cli->args, "role");

    return write_user(cli, "user.add", role != NULL ? role : "viewer", "may log in");
}

static int show_changed(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "%s is %s; its sessions have ended", cli_arg(cli, 0),
            args_text(&cli->args, "role"));
    return EXIT_OK;
}

int cmd_user_passwd(struct cli *cli)
{
    const char *role = args_text(&cli->args, "role");

    if (role != NULL)
        return cli_ask_and_show(cli, "user.set",
                                json_pack("{s:s,s:s}", "user", cli_arg(cli, 0), "role", role),
                                USER_TIMEOUT_MS, show_changed);
    return write_user(cli, "user.set", NULL, "has a new password; its sessions have ended");
}

static int show_removed(struct cli *cli, json_t *result)
{
    (void)result;
    cli_say(cli, "%s is no user any more", cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_user_rm(struct cli *cli)
{
    return cli_ask_and_show(cli, "user.rm", json_pack("{s:s}", "user", cli_arg(cli, 0)),
                            USER_TIMEOUT_MS, show_removed);
}

static int show_users(struct cli *cli, json_t *result)
{
    json_t *users = json_object_get(result, "users"), *user;
    struct table table;
    size_t at;

    if (json_array_size(users) == 0) {
        cli_say(cli, "no users; kith user add NAME makes one, kith web lets the owner in without");
        return EXIT_OK;
    }
    table_init(&table, "NAME ROLE CHANGED");
    json_array_foreach(users, at, user)
    {
        table_cell(&table, NULL, "%s", cli_json_text(user, "name"));
        table_cell(&table, NULL, "%s", cli_json_text(user, "role"));
        table_cell(&table, NULL, "%s", cli_json_text(user, "changed"));
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_user_ls(struct cli *cli)
{
    return cli_ask_and_show(cli, "user.ls", json_object(), CLI_ANSWER_MS, show_users);
}
