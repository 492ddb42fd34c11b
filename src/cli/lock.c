/*
 * kith lock: mutexes of the whole cluster.
 *
 * `lock run` holds the lock by its connection to the agent: when this process or the agent ends,
 * however that happens, the lock is free. The child gets SIGTERM before the lease ends, when the
 * lock is lost, and dies with this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "cli/table.h"
#include "kith.h"

#define EXIT_OURS     125 /* lock run itself failed while the command ran */
#define KILL_AFTER_MS 2000
#define WAIT_FOREVER  UINT64_MAX
#define OWNER_OF_PID  (1ull << 63) /* ... and its number */
#define OWNERS_BYTES  1024

/* ---- acquire, release ---- */

static void describe(const struct cli *cli, char *out, size_t out_bytes)
{
    const char *command = cli->args.pos_n > 1 ? cli_arg(cli, 1) : "kith lock acquire";
    snprintf(out, out_bytes, "%.100s", command);
}

/*
 * Who waits, for cycles of waits: a command under `lock run` has a number of its own and hands it
 * on to what it runs in KITH_LOCK_OWNERS, a shell that uses `lock acquire` has one by its process.
 */
static uint64_t own_number(int64_t keeper_pid)
{
    uint64_t number = 0;

    if (keeper_pid != 0)
        return OWNER_OF_PID | (uint64_t)keeper_pid;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (uint64_t)getpid();
    return (number | 1) & ~OWNER_OF_PID;
}

static void owners_above(int64_t keeper_pid, char *out, size_t out_bytes)
{
    const char *above = getenv("KITH_LOCK_OWNERS");

    snprintf(out, out_bytes, "%s%s", above != NULL ? above : "", above != NULL ? "," : "");
    if (keeper_pid == 0) {
        size_t at = strlen(out);
        snprintf(out + at, out_bytes - at, "%llu",
                 (unsigned long long)OWNER_OF_PID | (unsigned)getppid());
    }
}

static json_t *acquire_args(const struct cli *cli, int64_t keeper_pid, uint64_t number)
{
    const struct args *args = &cli->args;
    char owner[128], own[24], above[OWNERS_BYTES];

    describe(cli, owner, sizeof(owner));
    snprintf(own, sizeof(own), "%llu", (unsigned long long)number);
    owners_above(keeper_pid, above, sizeof(above));
    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:b,s:b,s:I,s:b,s:I,s:I}", "name", cli_arg(cli, 0),
                     "owner", owner, "owner_id", own, "within", above, "wait_ms",
                     (json_int_t)args_duration_ms(args, "wait", 0), "try",
                     (int)args_flag(args, "try"), "shared", (int)args_flag(args, "shared"),
                     "permits", (json_int_t)args_u64(args, "permits", 0), "detect",
                     (int)args_flag(args, "detect"), "keeper_pid", (json_int_t)keeper_pid, "pid",
                     (json_int_t)(keeper_pid != 0 ? keeper_pid : (int64_t)getpid()));
}

/* The process for whose life a lock is kept: the one named, or the shell that called us. */
static int keeper_of(struct cli *cli, int64_t *pid_out)
{
    uint64_t pid = args_u64(&cli->args, "pid", (uint64_t)getppid());

    *pid_out = (int64_t)pid;
    if (pid <= 1 || pid > INT32_MAX)
        return cli_fail(cli, EXIT_USAGE, "kith lock run NAME -- CMD",
                        "no process to keep the lock for: name one with --pid");
    return EXIT_OK;
}

static int show_fence(struct cli *cli, json_t *result)
{
    printf("%s\n", cli_json_text(result, "fence"));
    cli_say(cli, "locked %s until kith lock release %s, or until that process ends",
            cli_arg(cli, 0), cli_arg(cli, 0));
    return EXIT_OK;
}

int cmd_lock_acquire(struct cli *cli)
{
    int64_t pid;
    int x = keeper_of(cli, &pid);

    if (x != EXIT_OK)
        return x;
    return cli_ask_and_show(cli, "lock.acquire", acquire_args(cli, pid, own_number(pid)),
                            WAIT_FOREVER, show_fence);
}

static int show_released(struct cli *cli, json_t *result)
{
    if (strcmp(cli_json_text(result, "state"), "released") == 0)
        return EXIT_OK;
    return cli_fail(cli, EXIT_CONFLICT, "kith lock info NAME",
                    "%s had been lost before it was released", cli_arg(cli, 0));
}

int cmd_lock_release(struct cli *cli)
{
    const char *fence = args_text(&cli->args, "fence");
    int64_t pid = 0;
    int x = fence == NULL ? keeper_of(cli, &pid) : EXIT_OK;

    if (x != EXIT_OK)
        return x;
    return cli_ask_and_show(cli, "lock.release",
                            json_pack("{s:s,s:s*,s:I}", "name", cli_arg(cli, 0), "fence", fence,
                                      "keeper_pid", (json_int_t)pid),
                            CLI_ANSWER_MS, show_released);
}

int cmd_lock_break(struct cli *cli)
{
    struct cli_reply reply;
    uint64_t timeout_ms = args_duration_ms(&cli->args, "timeout", 15000);
    int x = cli_ask(
        cli, "lock.break",
        json_pack("{s:s,s:I}", "name", cli_arg(cli, 0), "timeout_ms", (json_int_t)timeout_ms),
        timeout_ms + CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.lock.break/1");
    cli_say(cli, "%s is free; whoever held it has been told", cli_arg(cli, 0));
    return EXIT_OK;
}

/* ---- who holds what ---- */

static void add_parties(struct table *table, const char *name, json_t *parties)
{
    json_t *party;
    size_t at;

    json_array_foreach(parties, at, party)
    {
        bool holds = json_is_true(json_object_get(party, "holds"));
        const char *cycle = cli_json_text(party, "cycle");
        uint64_t pid = cli_json_u64(party, "pid", 0);
        if (name != NULL)
            table_cell(table, NULL, "%s", name);
        table_cell(table, holds ? TABLE_GREEN : NULL, "%s%s", holds ? "holds" : "waits",
                   json_is_true(json_object_get(party, "shared")) ? " (shared)" : "");
        table_cell(table, NULL, "%s", cli_json_text(party, "node_name"));
        table_cell(table, NULL, "%s", cli_json_text(party, "owner"));
        if (pid != 0)
            table_cell(table, NULL, "%llu", (unsigned long long)pid);
        else
            table_cell(table, NULL, "-");
        table_cell(table, NULL, "%.1fs", cli_json_number(party, "age_ms", 0) / 1000);
        table_cell(table, NULL, "%s", holds ? cli_json_text(party, "fence") : "-");
        table_cell(table, cycle[0] != '\0' ? TABLE_RED : NULL, "%s", cycle);
    }
}

static int print_table(struct cli *cli, struct table *table)
{
    int r = table_print(table, stdout, true);
    table_deinit(table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

static int show_list(struct cli *cli, json_t *result)
{
    json_t *locks = json_object_get(result, "locks"), *lock;
    uint64_t silent_n = cli_json_u64(result, "silent_nodes", 0);
    struct table table;
    size_t at, parties_n = 0;

    table_init(&table, "NAME STATE NODE OWNER >PID >SINCE >FENCE CYCLE");
    json_array_foreach(locks, at, lock)
    {
        json_t *parties = json_object_get(lock, "parties");
        add_parties(&table, cli_json_text(lock, "name"), parties);
        parties_n += json_array_size(parties);
    }
    if (silent_n > 0)
        cli_say(cli,
                "%llu %s did not answer: mutexes that only they use are missing; see kith nodes",
                (unsigned long long)silent_n, silent_n == 1 ? "node" : "nodes");
    if (parties_n == 0) {
        table_deinit(&table);
        cli_say(cli, "no mutex is held or waited for; kith lock run NAME -- CMD uses one");
        return EXIT_OK;
    }
    return print_table(cli, &table);
}

int cmd_lock_ls(struct cli *cli)
{
    const char *node = args_text(&cli->args, "node");
    json_t *args = json_pack("{s:b,s:s*}", "live", node == NULL, "node", node);

    return cli_ask_and_show(cli, "lock.ls", args, CLI_ANSWER_MS, show_list);
}

static int show_info(struct cli *cli, json_t *result)
{
    json_t *parties = json_object_get(result, "parties");
    struct table table;

    if (json_array_size(parties) == 0) {
        printf("%s is free\n", cli_arg(cli, 0));
        return EXIT_OK;
    }
    table_init(&table, "STATE NODE OWNER >PID >SINCE >FENCE CYCLE");
    add_parties(&table, NULL, parties);
    return print_table(cli, &table);
}

int cmd_lock_info(struct cli *cli)
{
    return cli_ask_and_show(cli, "lock.info", json_pack("{s:s}", "name", cli_arg(cli, 0)),
                            CLI_ANSWER_MS, show_info);
}

/* ---- run ---- */

struct run {
    struct cli *cli;
    uint64_t number;
    pid_t child;
    uint64_t kill_at_ms; /* UINT64_MAX: not */
    int status;
    bool ended;
    char why[512];
};

static int signal_pipe[2] = {-1, -1};

static void on_signal(int signal_no)
{
    int kept = errno;
    unsigned char byte = (unsigned char)signal_no;

    (void)!write(signal_pipe[1], &byte, 1);
    errno = kept;
}

static int open_signals(struct cli *cli)
{
    static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return cli_fail(cli, EXIT_OURS, NULL, "no pipe: %s", strerror(errno));
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        struct sigaction before;
        if (taken[i] == SIGCHLD ||
            (sigaction(taken[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN))
            (void)sigaction(taken[i], &action, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return EXIT_OK;
}

static _Noreturn void child_run(const struct run *run, const char *fence, pid_t parent)
{
    struct cli *cli = run->cli;
    const char *above = getenv("KITH_LOCK_OWNERS");
    char owners[OWNERS_BYTES];
    static const int reset[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
    char *argv[ARGS_OPTIONS_MAX + 1];
    size_t n = 0;

    process_die_with_parent(parent);
    for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
        (void)signal(reset[i], SIG_DFL);
    for (size_t i = 1; i < cli->args.pos_n && n < ARGS_OPTIONS_MAX; i++) {
        union {
            const char *in;
            char *out;
        } word = {.in = cli_arg(cli, i)}; /* exec's prototype is older than const */
        argv[n++] = word.out;
    }
    argv[n] = NULL;
    (void)setenv("KITH_FENCE", fence, 1);
    (void)setenv("KITH_LOCK", cli_arg(cli, 0), 1);
    snprintf(owners, sizeof(owners), "%s%s%llu", above != NULL ? above : "",
             above != NULL ? "," : "", (unsigned long long)run->number);
    (void)setenv("KITH_LOCK_OWNERS", owners, 1);
    (void)execvp(argv[0], argv);
    fprintf(stderr, "kith: %s cannot be run: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static void end_child(struct run *run)
{
    if (run->ended || run->kill_at_ms != UINT64_MAX)
        return;
    (void)kill(run->child, SIGTERM);
    run->kill_at_ms = cli_now_ms() + KILL_AFTER_MS;
}

static void take_signals(struct run *run)
{
    unsigned char bytes[64];
    ssize_t n = read(signal_pipe[0], bytes, sizeof(bytes));

    for (ssize_t i = 0; i < n; i++) {
        /* A terminal tells the child by itself; a second signal does no harm. */
        if (bytes[i] != SIGCHLD && !run->ended)
            (void)kill(run->child, bytes[i]);
    }
    if (!run->ended && waitpid(run->child, &run->status, WNOHANG) == run->child)
        run->ended = true;
}

static void lock_lost(struct run *run, const char *why)
{
    snprintf(run->why, sizeof(run->why), "%s", why); /* it may stand in the client's memory */
    agent_client_close(run->cli->client);
    run->cli->client = NULL;
    fprintf(stderr, "kith: the lock %s was lost: %s; the command gets SIGTERM\n",
            cli_arg(run->cli, 0), run->why);
    end_child(run);
}

static void take_messages(struct run *run)
{
    struct agent_message message;

    while (run->cli->client != NULL && !run->ended) {
        int r = agent_client_receive(run->cli->client, 0, &message);
        if (r == KITH_E_TIMEOUT)
            return;
        if (r != 0) {
            lock_lost(run, "the agent went away");
            return;
        }
        json_t *error = json_object_get(message.json, "error");
        const char *state = cli_json_text(json_object_get(message.json, "result"), "state");
        if (error != NULL) {
            lock_lost(run, cli_json_text(error, "message"));
        } else if (strcmp(state, "ending") == 0) {
            fprintf(stderr,
                    "kith: the lease of the lock %s is about to end (this node hears no majority); "
                    "the command gets SIGTERM\n",
                    cli_arg(run->cli, 0));
            end_child(run);
        }
    }
}

static void wait_for_child(struct run *run)
{
    while (!run->ended) {
        struct pollfd fds[2] = {
            {.fd = signal_pipe[0], .events = POLLIN},
            {.fd = run->cli->client != NULL ? agent_client_fd(run->cli->client) : -1,
             .events = POLLIN},
        };
        uint64_t now_ms = cli_now_ms();
        int wait = run->kill_at_ms == UINT64_MAX ? -1
                   : run->kill_at_ms <= now_ms   ? 0
                                                 : (int)(run->kill_at_ms - now_ms);
        if (run->cli->client != NULL && agent_client_pending(run->cli->client))
            wait = 0;
        (void)poll(fds, 2, wait);
        take_signals(run);
        if (run->cli->client != NULL)
            take_messages(run);
        if (!run->ended && cli_now_ms() >= run->kill_at_ms) {
            (void)kill(run->child, SIGKILL);
            run->kill_at_ms = UINT64_MAX - 1;
        }
    }
}

/* Waits until the lock is ours; the fence, or an exit code that has been said. */
static int acquire(struct run *run, char *fence_out, size_t fence_bytes)
{
    struct cli *cli = run->cli;
    struct cli_reply reply;
    int x = cli_send(cli, "lock.acquire", acquire_args(cli, 0, run->number), NULL, 0, NULL);

    if (x == EXIT_OK)
        x = cli_receive(cli, WAIT_FOREVER, &reply);
    if (x == EXIT_OK)
        snprintf(fence_out, fence_bytes, "%s", cli_json_text(reply.result, "fence"));
    return x;
}

int cmd_lock_run(struct cli *cli)
{
    struct run run = {.cli = cli, .number = own_number(0), .kill_at_ms = UINT64_MAX};
    char fence[32];
    int x = acquire(&run, fence, sizeof(fence));

    if (x != EXIT_OK)
        return x;
    x = open_signals(cli);
    if (x != EXIT_OK)
        return x;
    pid_t parent = getpid();
    (void)fflush(NULL);
    run.child = fork();
    if (run.child == 0)
        child_run(&run, fence, parent);
    if (run.child < 0)
        return cli_fail(cli, EXIT_OURS, NULL, "no process can be started: %s", strerror(errno));
    wait_for_child(&run);
    if (WIFSIGNALED(run.status))
        return 128 + WTERMSIG(run.status);
    return WEXITSTATUS(run.status);
}
