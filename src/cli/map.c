/*
 * kith map: one function over the lines of a file.
 *
 * The items go out in batches, each a map of the agent's, a few at a time: so an endless input
 * works and memory stays bounded however many lines there are. Replies are printed in the order of
 * the lines; those that come early are kept until their turn.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/label.h"
#include "cli/reply.h"
#include "core/alloc.h"
#include "core/limits.h"

#define BATCHES_MAX      4
#define BATCH_ITEMS_MAX  4096
#define BATCH_BYTES_MAX  ((size_t)4 * 1024 * 1024)
#define FAILURES_SHOWN   10
#define FUNCTION_WAIT_MS 5000
#define FUNCTION_POLL_MS 100
#define PROGRESS_TTY_MS  200
#define PROGRESS_LOG_MS  1000

struct item {
    bool here;
    json_t *result; /* with --json */
    char *data;
    size_t len;
};

struct batch {
    uint64_t id; /* of its request; 0: free */
    uint64_t first;
    size_t items_n, printed_n;
    bool ended;
    bool waiting; /* no node has the function */
    uint64_t running;
    uint64_t lost;
    struct item *items;
};

struct map_run {
    struct cli *cli;
    struct input_lines lines;
    /* Being filled: text of the items one behind another, and their lengths. */
    struct buf text;
    size_t lens[BATCH_ITEMS_MAX];
    size_t lens_n;
    bool input_end;
    struct batch batches[BATCHES_MAX]; /* a ring, the oldest first */
    size_t head, batches_n;
    uint64_t items, done, failed, lost;
    bool progress, progress_tty, progress_shown, said_waiting;
    uint64_t started_ms, progress_ms;
};

static struct batch *batch_at(struct map_run *run, size_t i)
{
    return &run->batches[(run->head + i) % BATCHES_MAX];
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->items_n; i++) {
        json_decref(batch->items[i].result);
        core_free(batch->items[i].data);
    }
    core_free(batch->items);
    *batch = (struct batch){0};
}

/* ---- progress
 * ------------------------------------------------------------------------------------- */

static void progress_clear(struct map_run *run)
{
    if (run->progress_shown && run->progress_tty)
        fputs("\r\033[K", stderr);
    run->progress_shown = false;
}

static void progress_show(struct map_run *run, bool now)
{
    uint64_t at = cli_now_ms(), lost = run->lost, running = 0;
    bool waiting = false;

    if (!run->progress ||
        (!now && at - run->progress_ms < (run->progress_tty ? PROGRESS_TTY_MS : PROGRESS_LOG_MS)))
        return;
    for (size_t i = 0; i < run->batches_n; i++) {
        lost += batch_at(run, i)->lost;
        running += batch_at(run, i)->running;
        waiting |= batch_at(run, i)->waiting;
    }
    run->progress_ms = at;
    progress_clear(run);
    double seconds = (double)(at - run->started_ms) / 1000;
    fprintf(stderr,
            "%s: %llu of %llu%s done, %llu running, %llu failed, %llu run again, %.0f/s%s%s",
            cli_arg(run->cli, 0), (unsigned long long)run->done, (unsigned long long)run->items,
            run->input_end ? "" : "+", (unsigned long long)running, (unsigned long long)run->failed,
            (unsigned long long)lost, seconds > 0 ? (double)run->done / seconds : 0.0,
            waiting ? ", no node offers it: waiting" : "", run->progress_tty ? "" : "\n");
    run->progress_shown = true;
    (void)fflush(stderr);
}

/* ---- sending
 * -------------------------------------------------------------------------------------- */

static json_t *batch_request(struct map_run *run)
{
    const struct args *args = &run->cli->args;
    json_t *lens = json_pack("[]");

    for (size_t i = 0; lens != NULL && i < run->lens_n; i++)
        (void)json_array_append_new(lens, json_integer((json_int_t)run->lens[i]));
    return json_pack("{s:s,s:o,s:o,s:I,s:I,s:b}", "fn", cli_arg(run->cli, 0), "items", lens, "tags",
                     label_tags_wanted(args), "per_node", (json_int_t)args_u64(args, "per-node", 0),
                     "attempts", (json_int_t)args_u64(args, "attempts", 0), "ordered", 0);
}

static int batch_send(struct map_run *run)
{
    struct batch *batch = batch_at(run, run->batches_n);

    *batch = (struct batch){.first = run->items, .items_n = run->lens_n};
    batch->items = core_calloc(run->lens_n, sizeof(*batch->items));
    if (batch->items == NULL) {
        batch->items_n = 0;
        return cli_fail(run->cli, EXIT_FAILED, NULL, "out of memory");
    }
    run->batches_n++;
    run->items += run->lens_n;
    int x =
        cli_send(run->cli, "map", batch_request(run), run->text.data, run->text.len, &batch->id);
    run->text.len = 0;
    run->lens_n = 0;
    return x;
}

static bool batch_full(const struct map_run *run)
{
    return run->lens_n == BATCH_ITEMS_MAX || run->text.len >= BATCH_BYTES_MAX;
}

/* Takes lines as long as there are some and there is room; sends what it has before it would wait.
 */
static int fill(struct map_run *run)
{
    const char *text;
    size_t len;

    while (run->batches_n < BATCHES_MAX) {
        while (!run->input_end && !batch_full(run) && input_lines_ready(&run->lines)) {
            int x = input_lines_next(run->cli, &run->lines, &text, &len);
            if (x != EXIT_OK)
                return x;
            if (text == NULL) {
                run->input_end = true;
                break;
            }
            /* A huge line after others would not fit one message with them. */
            if (run->lens_n > 0 && run->text.len + len > RPC_BODY_BYTES_MAX) {
                x = batch_send(run);
                if (x != EXIT_OK)
                    return x;
            }
            if (buf_append(&run->text, text, len) != 0)
                return cli_fail(run->cli, EXIT_FAILED, NULL, "out of memory");
            run->lens[run->lens_n++] = len;
            if (run->batches_n == BATCHES_MAX)
                return EXIT_OK;
        }
        if (run->lens_n == 0)
            return EXIT_OK;
        int x = batch_send(run);
        if (x != EXIT_OK)
            return x;
    }
    return EXIT_OK;
}

/* ---- printing
 * ------------------------------------------------------------------------------------- */

static int print_item(struct map_run *run, struct item *item)
{
    int x;

    if (run->cli->json) {
        x = cli_print_json_line(run->cli, item->result);
    } else {
        x = cli_write(run->cli, item->data, item->len);
        if (item->len == 0 || item->data[item->len - 1] != '\n')
            fputc('\n', stdout);
    }
    json_decref(item->result);
    core_free(item->data);
    *item = (struct item){.here = true};
    return x;
}

/* Prints what has its turn and frees batches that are through. */
static int print_ready(struct map_run *run)
{
    bool printed = false;

    while (run->batches_n > 0) {
        struct batch *batch = batch_at(run, 0);
        while (batch->printed_n < batch->items_n && batch->items[batch->printed_n].here) {
            if (!printed)
                progress_clear(run);
            printed = true;
            int x = print_item(run, &batch->items[batch->printed_n++]);
            if (x != EXIT_OK)
                return x;
        }
        if (batch->printed_n < batch->items_n || !batch->ended)
            break;
        run->lost += batch->lost;
        batch_free(batch);
        run->head = (run->head + 1) % BATCHES_MAX;
        run->batches_n--;
    }
    return EXIT_OK;
}

/* ---- receiving
 * ------------------------------------------------------------------------------------ */

static void say_failed(struct map_run *run, uint64_t index, json_t *result)
{
    char clean[600];

    run->failed++;
    if (run->failed > FAILURES_SHOWN)
        return;
    progress_clear(run);
    (void)fflush(stdout);
    cli_clean(cli_json_text(result, "text"), clean, sizeof(clean));
    fprintf(stderr, "kith: item %llu: %s%s%s\n", (unsigned long long)index + 1,
            cli_json_text(result, "outcome"), clean[0] != '\0' ? ": " : "", clean);
    if (run->failed == FAILURES_SHOWN)
        fprintf(stderr, "kith: further failures are only counted\n");
}

static int take_result(struct map_run *run, struct batch *batch, const struct cli_reply *reply)
{
    uint64_t index = cli_json_u64(reply->result, "index", UINT64_MAX);

    if (index >= batch->items_n || batch->items[index].here)
        return cli_fail(run->cli, EXIT_FAILED, NULL,
                        "the agent answered for an item that was not asked for");
    struct item *item = &batch->items[index];
    bool ok = reply_is_ok(reply->result);
    json_int_t of_all = (json_int_t)batch->first + (json_int_t)index;
    if (ok)
        run->done++;
    else
        say_failed(run, batch->first + index, reply->result);
    item->here = true;
    if (run->cli->json) {
        item->result = json_copy(reply->result);
        if (item->result == NULL ||
            reply_add_data(item->result, reply->data, reply->data_len) != 0 ||
            json_object_set_new(item->result, "index", json_integer(of_all)) != 0)
            return cli_fail(run->cli, EXIT_FAILED, NULL, "out of memory");
    } else if (ok && reply->data_len > 0) {
        item->data = core_strndup((const char *)reply->data, reply->data_len);
        if (item->data == NULL)
            return cli_fail(run->cli, EXIT_FAILED, NULL, "out of memory");
        item->len = reply->data_len;
    }
    return EXIT_OK;
}

static void take_progress(struct map_run *run, struct batch *batch, json_t *progress)
{
    bool waiting = json_is_true(json_object_get(progress, "waiting_for_nodes"));

    batch->running = cli_json_u64(progress, "running", 0);
    batch->lost = cli_json_u64(progress, "lost", 0);
    if (waiting && !run->said_waiting && !run->progress)
        cli_say(run->cli, "kith: no node offers %s any more: its items wait for one",
                cli_arg(run->cli, 0));
    run->said_waiting = waiting;
    bool changed = waiting != batch->waiting;
    batch->waiting = waiting;
    progress_show(run, changed);
}

static int take(struct map_run *run, const struct cli_reply *reply)
{
    struct batch *batch = NULL;

    for (size_t i = 0; i < run->batches_n && batch == NULL; i++) {
        if (batch_at(run, i)->id == reply->id)
            batch = batch_at(run, i);
    }
    if (batch == NULL)
        return EXIT_OK;
    if (!reply->more) {
        batch->ended = true;
        batch->running = 0;
        batch->lost = cli_json_u64(reply->result, "lost", batch->lost);
        for (size_t i = 0; i < batch->items_n; i++) {
            if (!batch->items[i].here)
                return cli_fail(run->cli, EXIT_FAILED, NULL,
                                "the agent ended the map without item %" PRIu64,
                                batch->first + i + 1);
        }
        return EXIT_OK;
    }
    json_t *progress = json_object_get(reply->result, "progress");
    if (progress != NULL) {
        take_progress(run, batch, progress);
        return EXIT_OK;
    }
    return take_result(run, batch, reply);
}

/* ---- the run
 * -------------------------------------------------------------------------------------- */

/* Waits until the agent says something, or a line can be read and sent. */
static int wait_for_either(struct map_run *run)
{
    bool want_input = !run->input_end && run->batches_n < BATCHES_MAX;
    struct pollfd fds[2] = {{.fd = agent_client_fd(run->cli->client), .events = POLLIN},
                            {.fd = want_input ? run->lines.fd : -1, .events = POLLIN}};

    if (agent_client_pending(run->cli->client))
        return EXIT_OK;
    while (poll(fds, 2, run->progress ? PROGRESS_LOG_MS : -1) < 0) {
        if (errno != EINTR)
            return cli_fail(run->cli, EXIT_FAILED, NULL, "waiting: %s", strerror(errno));
    }
    return EXIT_OK;
}

static bool agent_has_something(const struct map_run *run)
{
    struct pollfd fd = {.fd = agent_client_fd(run->cli->client), .events = POLLIN};

    return agent_client_pending(run->cli->client) || poll(&fd, 1, 0) > 0;
}

static int run_map(struct map_run *run)
{
    struct cli_reply reply;
    int x = EXIT_OK;

    for (;;) {
        if (x == EXIT_OK)
            x = fill(run);
        if (x == EXIT_OK && run->batches_n == 0 && run->input_end)
            return EXIT_OK;
        if (x == EXIT_OK)
            x = wait_for_either(run);
        while (x == EXIT_OK && run->batches_n > 0 && agent_has_something(run)) {
            x = cli_receive(run->cli, CLI_ANSWER_MS, &reply);
            if (x == EXIT_OK)
                x = take(run, &reply);
        }
        if (x == EXIT_OK)
            x = print_ready(run);
        if (x != EXIT_OK)
            return x;
        progress_show(run, false);
        (void)fflush(stdout);
    }
}

/*
 * A name that nobody offers is a typo more often than not, and a map would wait for ever. But a
 * server that was started a moment ago may not be known here yet.
 */
static int wait_for_function(struct cli *cli)
{
    const struct timespec pause = {.tv_nsec = FUNCTION_POLL_MS * 1000000L};
    uint64_t until = cli_now_ms() + FUNCTION_WAIT_MS;
    struct cli_reply reply;

    for (;;) {
        int x =
            cli_ask(cli, "functions", json_pack("{s:s,s:b}", "name", cli_arg(cli, 0), "hidden", 1),
                    CLI_ANSWER_MS, &reply);
        if (x != EXIT_OK)
            return x;
        json_t *functions = json_object_get(reply.result, "functions");
        for (size_t i = 0; i < json_array_size(functions); i++) {
            json_t *fn = json_array_get(functions, i);
            if (strcmp(cli_json_text(fn, "name"), cli_arg(cli, 0)) == 0 &&
                json_array_size(json_object_get(fn, "nodes")) > 0)
                return EXIT_OK;
        }
        if (cli_now_ms() >= until)
            return cli_fail(cli, EXIT_NOT_FOUND, "kith fn ls", "no node offers a function %s",
                            cli_arg(cli, 0));
        (void)nanosleep(&pause, NULL);
    }
}

static int finish(struct map_run *run)
{
    struct cli *cli = run->cli;

    progress_show(run, true);
    if (run->progress_tty && run->progress_shown)
        fputc('\n', stderr);
    if (cli->json) {
        json_t *doc = json_pack("{s:s,s:b,s:I,s:I,s:I,s:I}", "schema", "kith.map/1", "summary", 1,
                                "items", (json_int_t)run->items, "done", (json_int_t)run->done,
                                "failed", (json_int_t)run->failed, "lost", (json_int_t)run->lost);
        int x = doc != NULL ? cli_print_json_line(cli, doc) : EXIT_FAILED;
        json_decref(doc);
        if (x != EXIT_OK)
            return x;
    }
    if (run->failed == 0)
        return EXIT_OK;
    (void)fflush(stdout);
    fprintf(stderr, "kith: %llu of %llu items failed\n", (unsigned long long)run->failed,
            (unsigned long long)run->items);
    return run->failed == run->items ? EXIT_FAILED : EXIT_PARTLY;
}

int cmd_map(struct cli *cli)
{
    struct map_run *run = core_calloc(1, sizeof(*run));

    if (run == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    run->cli = cli;
    run->lines.fd = -1;
    run->started_ms = cli_now_ms();
    run->progress_tty = isatty(STDERR_FILENO);
    run->progress = run->progress_tty || args_flag(&cli->args, "progress");
    int x = cli_connect(cli);
    if (x == EXIT_OK)
        x = input_lines_open(cli, &run->lines, args_text(&cli->args, "in"), RPC_BODY_BYTES_MAX);
    if (x == EXIT_OK)
        x = wait_for_function(cli);
    if (x == EXIT_OK)
        x = run_map(run);
    if (x == EXIT_OK)
        x = finish(run);
    while (run->batches_n > 0) {
        batch_free(batch_at(run, 0));
        run->head = (run->head + 1) % BATCHES_MAX;
        run->batches_n--;
    }
    input_lines_close(&run->lines);
    buf_deinit(&run->text);
    core_free(run);
    return x;
}
