/*
 * kith fn serve: a command as a function.
 *
 * One poll loop over the agent's socket, a pipe that tells of signals, and the children's pipes.
 * The agent sends no more calls than we said we take at once; should it, they wait here. When the
 * agent goes, the calls that run are aborted (nobody can take their replies) and the same socket is
 * tried until it is back.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "core/alloc.h"
#include "core/error.h"
#include "kith.h"

#define PARALLEL_MAX     1024
#define RETRY_FIRST_MS   100
#define RETRY_LAST_MS    2000
#define EXPORT_ANSWER_MS 10000

struct waiting {
    char *id;
    char *caller;
    struct buf argument;
    uint64_t until_ms; /* deadline, UINT64_MAX: none */
    struct waiting *next;
};

struct serve {
    struct cli *cli;
    const char *fn;
    char **command;
    size_t parallel;
    struct job *jobs; /* @parallel of them */
    size_t running_n;
    struct waiting *waiting, **waiting_end;
    size_t waiting_n;
    struct pollfd *fds;
    uint64_t request; /* our fn.serve */
    bool connected, serving, told_gone;
    uint64_t retry_at_ms, retry_ms;
    int stop_signal;
};

/* ---- signals
 * -------------------------------------------------------------------------------------- */

static int signal_pipe[2] = {-1, -1};

static void on_signal(int signal_no)
{
    int kept = errno;
    unsigned char byte = (unsigned char)signal_no;

    (void)!write(signal_pipe[1], &byte, 1);
    errno = kept;
}

static void take_unless_ignored(int signal_no, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(signal_no, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(signal_no, action, NULL);
}

static int open_signals(struct cli *cli)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "no pipe: %s", strerror(errno));
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGCHLD, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    take_unless_ignored(SIGINT, &action); /* a shell's background job, nohup */
    take_unless_ignored(SIGHUP, &action);
    (void)signal(SIGPIPE, SIG_IGN);
    return EXIT_OK;
}

static void reap(struct serve *serve)
{
    for (size_t i = 0; i < serve->parallel; i++) {
        struct job *job = &serve->jobs[i];
        if (job->id != NULL && !job->reaped && waitpid(job->pid, &job->status, WNOHANG) == job->pid)
            job->reaped = true;
    }
}

static void take_signals(struct serve *serve)
{
    unsigned char bytes[64];
    ssize_t n = read(signal_pipe[0], bytes, sizeof(bytes));

    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != SIGCHLD)
            serve->stop_signal = bytes[i];
    }
    reap(serve);
}

/* ---- the agent
 * ------------------------------------------------------------------------------------ */

static void waiting_free(struct waiting *waiting)
{
    free(waiting->id);
    core_free(waiting->caller);
    buf_deinit(&waiting->argument);
    core_free(waiting);
}

static void drop_waiting(struct serve *serve)
{
    while (serve->waiting != NULL) {
        struct waiting *next = serve->waiting->next;
        waiting_free(serve->waiting);
        serve->waiting = next;
    }
    serve->waiting_end = &serve->waiting;
    serve->waiting_n = 0;
}

static void agent_gone(struct serve *serve, const char *why)
{
    agent_client_close(serve->cli->client);
    serve->cli->client = NULL;
    serve->connected = false;
    serve->serving = false;
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id != NULL) {
            serve->jobs[i].unwanted = true;
            job_abort(&serve->jobs[i], cli_now_ms());
        }
    }
    drop_waiting(serve);
    if (!serve->told_gone)
        fprintf(stderr, "kith: %s; trying again until stopped\n", why);
    serve->told_gone = true;
    serve->retry_at_ms = cli_now_ms() + serve->retry_ms;
    serve->retry_ms = 2 * serve->retry_ms > RETRY_LAST_MS ? RETRY_LAST_MS : 2 * serve->retry_ms;
}

static json_t *serve_request(const struct serve *serve)
{
    const struct args *args = &serve->cli->args;
    const char *version = args_text(args, "fn-version");

    return json_pack("{s:s,s:s,s:s*,s:b,s:I}", "name", serve->fn, "version",
                     version != NULL ? version : "1", "description", args_text(args, "description"),
                     "idempotent", (int)args_flag(args, "idempotent"), "parallel",
                     (json_int_t)serve->parallel);
}

/* Asks the agent to export. Returns an exit code; EXIT_NO_AGENT means that trying again may help.
 */
static int export(struct serve *serve)
{
    int x = cli_send(serve->cli, "fn.serve", serve_request(serve), NULL, 0, &serve->request);

    serve->connected = x == EXIT_OK;
    return x;
}

static int reconnect(struct serve *serve)
{
    int r = agent_client_open(&serve->cli->client, serve->cli->socket_path);

    if (r == 0 && export(serve) == EXIT_OK)
        return EXIT_OK;
    agent_gone(serve, "the agent is gone");
    return EXIT_OK;
}

/* Sends the reply to a fn.run. @id is JSON as it came. */
static void
send_reply(struct serve *serve, const char *id, json_t *result, const void *data, size_t data_len)
{
    json_t *id_json = json_loads(id, JSON_DECODE_ANY, NULL);
    json_t *reply = json_pack("{s:o,s:b,s:o,s:I}", "id", id_json, "ok", 1, "result", result,
                              "data_bytes", (json_int_t)data_len);
    char *line = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;

    json_decref(reply);
    if (serve->connected &&
        (line == NULL || agent_client_send(serve->cli->client, line, data, data_len) != 0))
        agent_gone(serve, "the agent went away");
    free(line);
}

static void send_app_error(struct serve *serve, const char *id, int code, const char *text)
{
    json_t *result = json_pack("{s:s,s:s,s:i,s:s}", "schema", "kith.fn.run/1", "outcome",
                               "APP_ERROR", "code", code, "text", text);

    if (result == NULL) /* the text is not UTF-8 */
        result = json_pack("{s:s,s:s,s:i,s:s}", "schema", "kith.fn.run/1", "outcome", "APP_ERROR",
                           "code", code, "text", "(its error output is not UTF-8 text)");
    send_reply(serve, id, result, NULL, 0);
}

/* ---- jobs
 * ----------------------------------------------------------------------------------------- */

static void finish_job(struct serve *serve, struct job *job)
{
    char text[RPC_ERROR_TEXT_BYTES_MAX + 1];
    struct pollfd fds[JOB_FDS];

    /* What was written before the end is still in the pipes. */
    job_poll(job, fds);
    for (int i = 0; i < JOB_FDS; i++)
        fds[i].revents = i == 0 ? 0 : POLLIN;
    job_io(job, fds);
    if (!job->unwanted && serve->connected) {
        job_error_text(job, text, sizeof(text));
        if (job->too_large) {
            send_app_error(serve, job->id, 1, "the command's output is larger than 16 MiB");
        } else if (WIFSIGNALED(job->status)) {
            if (text[0] == '\0')
                snprintf(text, sizeof(text), "the command was ended by signal %d (%s)",
                         WTERMSIG(job->status), strsignal(WTERMSIG(job->status)));
            send_app_error(serve, job->id, 128 + WTERMSIG(job->status), text);
        } else if (WEXITSTATUS(job->status) != 0) {
            send_app_error(serve, job->id, WEXITSTATUS(job->status), text);
        } else {
            send_reply(serve, job->id,
                       json_pack("{s:s,s:s}", "schema", "kith.fn.run/1", "outcome", "OK"),
                       job->reply.data, job->reply.len);
        }
    }
    job_deinit(job);
    serve->running_n--;
}

static struct job *free_job(struct serve *serve)
{
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id == NULL)
            return &serve->jobs[i];
    }
    return NULL;
}

static void start_waiting(struct serve *serve)
{
    struct job *job;

    while (serve->waiting != NULL && (job = free_job(serve)) != NULL) {
        struct waiting *first = serve->waiting;
        uint64_t now = cli_now_ms();
        uint64_t left = first->until_ms == UINT64_MAX ? UINT64_MAX
                        : first->until_ms > now       ? first->until_ms - now
                                                      : 0;
        serve->waiting = first->next;
        if (serve->waiting == NULL)
            serve->waiting_end = &serve->waiting;
        serve->waiting_n--;
        if (job_start(job, serve->command, serve->fn, first->caller, &first->argument, now, left) ==
            0) {
            job->id = first->id;
            first->id = NULL;
            serve->running_n++;
        } else {
            send_app_error(serve, first->id, 125, strerror(errno));
        }
        waiting_free(first);
    }
}

static void take_run(struct serve *serve, const struct agent_message *message)
{
    json_t *args = json_object_get(message->json, "args");
    struct waiting *waiting = core_calloc(1, sizeof(*waiting));
    char *id = json_dumps(json_object_get(message->json, "id"), JSON_ENCODE_ANY | JSON_COMPACT);
    const char *caller = cli_json_text(args, "caller");
    uint64_t deadline_ms = cli_json_u64(args, "deadline_ms", UINT64_MAX);

    if (waiting != NULL) {
        waiting->id = id;
        waiting->caller = core_strndup(caller, strlen(caller));
        waiting->until_ms = deadline_ms == UINT64_MAX ? UINT64_MAX : cli_now_ms() + deadline_ms;
    }
    if (id == NULL || waiting == NULL || waiting->caller == NULL ||
        serve->waiting_n >= CONTROL_REQUESTS_MAX ||
        buf_append(&waiting->argument, message->data, message->data_len) != 0) {
        if (id != NULL)
            send_app_error(serve, id, 125, "the server is out of memory or has too much to do");
        if (waiting != NULL)
            waiting_free(waiting);
        else
            free(id);
        return;
    }
    *serve->waiting_end = waiting;
    serve->waiting_end = &waiting->next;
    serve->waiting_n++;
}

/* Nobody waits for this fn.run any more: do not start it, or end it. */
static void take_abort(struct serve *serve, json_t *args)
{
    char *id = json_dumps(json_object_get(args, "id"), JSON_ENCODE_ANY | JSON_COMPACT);

    if (id == NULL)
        return;
    for (struct waiting **at = &serve->waiting; *at != NULL; at = &(*at)->next) {
        struct waiting *waiting = *at;
        if (strcmp(waiting->id, id) != 0)
            continue;
        *at = waiting->next;
        if (serve->waiting_end == &waiting->next)
            serve->waiting_end = at;
        serve->waiting_n--;
        waiting_free(waiting);
        break;
    }
    for (size_t i = 0; i < serve->parallel; i++) {
        struct job *job = &serve->jobs[i];
        if (job->id != NULL && strcmp(job->id, id) == 0) {
            job->unwanted = true;
            job_abort(job, cli_now_ms());
        }
    }
    free(id);
}

/* A reply to our own fn.serve. Returns an exit code if it is an error. */
static int take_serving(struct serve *serve, const struct agent_message *message)
{
    json_t *error = json_object_get(message->json, "error");
    const char *code = cli_json_text(error, "code");

    if (cli_json_u64(message->json, "id", 0) != serve->request)
        return EXIT_OK;
    if (json_is_true(json_object_get(message->json, "ok"))) {
        if (!serve->serving)
            cli_say(serve->cli, "serving %s, at most %zu at once; stop with Ctrl-C", serve->fn,
                    serve->parallel);
        serve->serving = true;
        serve->told_gone = false;
        serve->retry_ms = RETRY_FIRST_MS;
        return EXIT_OK;
    }
    if (strcmp(code, "KITH_E_STOPPED") == 0 || strcmp(code, "KITH_E_CANCELED") == 0) {
        agent_gone(serve, "the agent stops");
        return EXIT_OK;
    }
    int exit_code = (int)cli_json_u64(error, "exit", EXIT_FAILED);
    const char *hint = cli_json_text(error, "hint");
    return cli_fail(serve->cli, exit_code > 0 ? exit_code : EXIT_FAILED,
                    hint[0] != '\0' ? hint : NULL, "%s", cli_json_text(error, "message"));
}

static int take_messages(struct serve *serve)
{
    struct agent_message message;

    while (serve->connected) {
        int r = agent_client_receive(serve->cli->client, 0, &message);
        if (r == KITH_E_TIMEOUT)
            return EXIT_OK;
        if (r != 0) {
            agent_gone(serve, "the agent went away");
            return EXIT_OK;
        }
        const char *verb = json_string_value(json_object_get(message.json, "verb"));
        int x = EXIT_OK;
        if (verb == NULL)
            x = take_serving(serve, &message);
        else if (strcmp(verb, "fn.run") == 0)
            take_run(serve, &message);
        else if (strcmp(verb, "fn.abort") == 0)
            take_abort(serve, json_object_get(message.json, "args"));
        if (x != EXIT_OK)
            return x;
        start_waiting(serve);
    }
    return EXIT_OK;
}

/* ---- the loop
 * ------------------------------------------------------------------------------------- */

static uint64_t run_timers(struct serve *serve, uint64_t now)
{
    uint64_t next = serve->connected ? UINT64_MAX : serve->retry_at_ms;

    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id == NULL)
            continue;
        uint64_t at = job_timers(&serve->jobs[i], now);
        if (at < next)
            next = at;
    }
    return next;
}

static void finish_ended(struct serve *serve)
{
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id != NULL && job_ended(&serve->jobs[i]))
            finish_job(serve, &serve->jobs[i]);
    }
    start_waiting(serve);
}

static int turn(struct serve *serve)
{
    struct pollfd *fds = serve->fds;
    size_t n = 2 + JOB_FDS * serve->parallel;
    uint64_t now = cli_now_ms();
    uint64_t next = run_timers(serve, now);
    int wait = next == UINT64_MAX || next - now > 3600000 ? -1
               : next <= now                              ? 0
                                                          : (int)(next - now);
    int x = EXIT_OK;

    fds[0] = (struct pollfd){.fd = signal_pipe[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = serve->connected ? agent_client_fd(serve->cli->client) : -1,
                             .events = POLLIN};
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id != NULL)
            job_poll(&serve->jobs[i], fds + 2 + JOB_FDS * i);
        else
            for (int j = 0; j < JOB_FDS; j++)
                fds[2 + JOB_FDS * i + (size_t)j] = (struct pollfd){.fd = -1};
    }
    if (serve->connected && agent_client_pending(serve->cli->client))
        wait = 0;
    if (poll(fds, (nfds_t)n, wait) < 0 && errno != EINTR)
        return cli_fail(serve->cli, EXIT_FAILED, NULL, "poll: %s", strerror(errno));
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id != NULL)
            job_io(&serve->jobs[i], fds + 2 + JOB_FDS * i);
    }
    if (fds[0].revents != 0)
        take_signals(serve);
    finish_ended(serve);
    if (serve->connected)
        x = take_messages(serve);
    if (!serve->connected && cli_now_ms() >= serve->retry_at_ms)
        x = reconnect(serve);
    return x;
}

/* Ends what runs: SIGTERM, up to 2 s, SIGKILL. A second signal does not wait. */
static void end_jobs(struct serve *serve)
{
    serve->stop_signal = 0;
    drop_waiting(serve);
    for (size_t i = 0; i < serve->parallel; i++) {
        if (serve->jobs[i].id != NULL) {
            serve->jobs[i].unwanted = true;
            job_abort(&serve->jobs[i], cli_now_ms());
        }
    }
    while (serve->running_n > 0 && serve->stop_signal == 0) {
        struct pollfd fd = {.fd = signal_pipe[0], .events = POLLIN};
        uint64_t now = cli_now_ms();
        uint64_t next = run_timers(serve, now);
        (void)poll(&fd, 1, next > now && next - now < 1000 ? (int)(next - now) : 100);
        take_signals(serve);
        finish_ended(serve);
    }
    for (size_t i = 0; i < serve->parallel; i++)
        job_deinit(&serve->jobs[i]);
}

static int serve_init(struct serve *serve)
{
    struct cli *cli = serve->cli;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t parallel = args_u64(&cli->args, "parallel", cpus > 0 ? (uint64_t)cpus : 1);

    if (parallel == 0 || parallel > PARALLEL_MAX)
        return cli_fail(cli, EXIT_USAGE, NULL, "--parallel %llu: 1 to %d are possible",
                        (unsigned long long)parallel, PARALLEL_MAX);
    serve->parallel = (size_t)parallel;
    serve->jobs = core_calloc(serve->parallel, sizeof(*serve->jobs));
    serve->fds = core_calloc(2 + JOB_FDS * serve->parallel, sizeof(*serve->fds));
    serve->command = core_calloc(cli->args.pos_n, sizeof(*serve->command));
    if (serve->jobs == NULL || serve->fds == NULL || serve->command == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    for (size_t i = 0; i < serve->parallel; i++)
        serve->jobs[i] = (struct job){.fds = {-1, -1, -1}};
    for (size_t i = 1; i < cli->args.pos_n; i++) {
        /* exec's prototype is older than const; it does not write to them. */
        union {
            const char *in;
            char *out;
        } word = {.in = cli_arg(cli, i)};
        serve->command[i - 1] = word.out;
    }
    return open_signals(cli);
}

int cmd_fn_serve(struct cli *cli)
{
    struct serve serve = {.cli = cli, .fn = cli_arg(cli, 0), .retry_ms = RETRY_FIRST_MS};
    int x = serve_init(&serve);

    serve.waiting_end = &serve.waiting;
    if (x == EXIT_OK)
        x = cli_connect(cli);
    if (x == EXIT_OK)
        x = export(&serve);
    while (x == EXIT_OK && serve.stop_signal == 0)
        x = turn(&serve);
    if (serve.jobs != NULL && serve.parallel > 0) {
        agent_client_close(
            cli->client); /* nothing new comes, and the function is gone from the cluster */
        cli->client = NULL;
        serve.connected = false;
        end_jobs(&serve);
    }
    drop_waiting(&serve);
    core_free(serve.jobs);
    core_free(serve.fds);
    core_free(serve.command);
    return x;
}
