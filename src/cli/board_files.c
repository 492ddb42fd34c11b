/* See board_files.h. */
#include "cli/board_files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/process.h"
#include "core/alloc.h"

#define LIST_MS 60000
#define READ_MS 120000 /* the agent gives up after 60 s */
#define PIECE   (4 * 1024 * 1024)
/* All files of a board in memory: far beyond any that people drew. */
#define BYTES_MAX (1024ull * 1024 * 1024)

/* ---- what there is ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct board_entry *)a)->name, ((const struct board_entry *)b)->name);
}

/* The board @name, made if it is not there yet. NULL if memory is short. */
static struct board_entry *entry_of(struct board_entries *entries, const char *name, size_t len)
{
    for (size_t i = entries->n; i > 0; i--) { /* they come board by board */
        struct board_entry *known = &entries->list[i - 1];
        if (strncmp(known->name, name, len) == 0 && known->name[len] == '\0')
            return known;
    }
    struct board_entry *grown =
        core_realloc(entries->list, (entries->n + 1) * sizeof(*entries->list));
    if (grown == NULL)
        return NULL;
    entries->list = grown;
    struct board_entry *entry = &grown[entries->n++];
    *entry = (struct board_entry){.logs = json_array(), .images = json_array()};
    memcpy(entry->name, name, len);
    return entry;
}

/* boards/NAME/log/FILE or boards/NAME/image/FILE; anything else is not a board's. */
static int take(struct cli *cli, struct board_entries *entries, json_t *file)
{
    const char *path = cli_json_text(file, "path");
    const char *name = path + sizeof(BOARD_SHARE);
    size_t len;

    if (strcmp(cli_json_text(file, "kind"), "file") != 0 ||
        strncmp(path, BOARD_SHARE "/", sizeof(BOARD_SHARE)) != 0)
        return EXIT_OK;
    len = strcspn(name, "/");
    bool log = strncmp(name + len, "/log/", 5) == 0;
    if (len == 0 || len >= sizeof(entries->list->name) ||
        (!log && strncmp(name + len, "/image/", 7) != 0))
        return EXIT_OK;
    struct board_entry *entry = entry_of(entries, name, len);
    if (entry == NULL || json_array_append(log ? entry->logs : entry->images, file) != 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    return EXIT_OK;
}

static int take_page(struct cli *cli, struct board_entries *entries, json_t *page)
{
    json_t *file;
    size_t at;
    int x = EXIT_OK;

    json_array_foreach(page, at, file)
    {
        x = take(cli, entries, file);
        if (x != EXIT_OK)
            break;
    }
    return x;
}

int board_entries_ask(struct cli *cli, const char *only, struct board_entries *out)
{
    char path[600];
    json_t *after = NULL;
    int x;

    *out = (struct board_entries){0};
    snprintf(path, sizeof(path), BOARD_SHARE "%s%s", only != NULL ? "/" : "",
             only != NULL ? only : "");
    do {
        struct cli_reply reply;
        const char *code, *text;
        json_t *request = json_pack("{s:s,s:b,s:o*}", "path", path, "recursive", 1, "after", after);
        x = cli_ask_softly(cli, "fs.ls", request, LIST_MS, &reply, &code, &text);
        if (x != EXIT_OK)
            break;
        if (reply.result == NULL &&
            (strcmp(code, "KITH_E_NOT_FOUND") == 0 || strcmp(code, "KITH_E_NAME") == 0))
            break; /* no share, no such board, or no name of one */
        if (reply.result == NULL) {
            x = cli_fail(cli, EXIT_FAILED, NULL, "boards cannot be listed: %s", text);
            break;
        }
        after = json_incref(json_object_get(reply.result, "next"));
        x = take_page(cli, out, json_object_get(reply.result, "entries"));
    } while (x == EXIT_OK && after != NULL);
    if (x != EXIT_OK) {
        board_entries_free(out);
        return x;
    }
    /* a picture without a log is what is left of a board */
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++) {
        struct board_entry *entry = &out->list[i];
        if (json_array_size(entry->logs) > 0) {
            out->list[n++] = *entry;
            continue;
        }
        json_decref(entry->logs);
        json_decref(entry->images);
    }
    out->n = n;
    if (n > 0)
        qsort(out->list, n, sizeof(*out->list), by_name);
    return EXIT_OK;
}

void board_entries_free(struct board_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        json_decref(entries->list[i].logs);
        json_decref(entries->list[i].images);
    }
    core_free(entries->list);
    *entries = (struct board_entries){0};
}

/* ---- fetching it ---- */

/* Appends the content of @file. *@got_out: false if it cannot be had, which is said. */
static int read_file(struct cli *cli, json_t *file, struct buf *out, bool *got_out)
{
    const char *path = cli_json_text(file, "path"), *hash = cli_json_text(file, "hash");
    uint64_t size = cli_json_u64(file, "size", 0);

    *got_out = true;
    for (uint64_t at = 0; at < size;) {
        struct cli_reply reply;
        const char *code, *text;
        json_t *request = json_pack("{s:s,s:s,s:I,s:I}", "path", path, "hash", hash, "offset",
                                    (json_int_t)at, "count", (json_int_t)PIECE);
        int x = cli_ask_softly(cli, "fs.read", request, READ_MS, &reply, &code, &text);
        if (x != EXIT_OK)
            return x;
        if (reply.result == NULL || reply.data_len == 0 || reply.data_len > size - at) {
            char clean[1400];
            cli_say(cli, "left out: %s: %s", cli_clean(path, clean, sizeof(clean)),
                    reply.result == NULL ? text : "the agent gave another length than it said");
            *got_out = false;
            return EXIT_OK;
        }
        if (buf_append(out, reply.data, reply.data_len) != 0)
            return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        at += reply.data_len;
    }
    return EXIT_OK;
}

static int fetch_all(struct cli *cli, const char *kind, json_t *files, struct board_bundle *bundle)
{
    json_t *file;
    size_t no;

    json_array_foreach(files, no, file)
    {
        const char *name = strrchr(cli_json_text(file, "path"), '/') + 1;
        size_t before = bundle->bytes.len;
        bool got;
        if (before + cli_json_u64(file, "size", 0) > BYTES_MAX) {
            cli_say(cli, "left out: %s: the files of the board are more than 1 GiB", name);
            bundle->missing_n++;
            continue;
        }
        if (buf_printf(&bundle->bytes, "%s %llu %s\n", kind,
                       (unsigned long long)cli_json_u64(file, "size", 0), name) != 0)
            return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        int x = read_file(cli, file, &bundle->bytes, &got);
        if (x != EXIT_OK)
            return x;
        if (!got) {
            bundle->bytes.len = before;
            bundle->missing_n++;
        }
    }
    return EXIT_OK;
}

int board_bundle_fetch(struct cli *cli,
                       const struct board_entry *entry,
                       bool images,
                       struct board_bundle *out)
{
    *out = (struct board_bundle){0};
    int x = buf_printf(&out->bytes, "kith-board/1 %s\n", entry->name) == 0
                ? EXIT_OK
                : cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    if (x == EXIT_OK)
        x = fetch_all(cli, "log", entry->logs, out);
    if (x == EXIT_OK && images)
        x = fetch_all(cli, "image", entry->images, out);
    if (x != EXIT_OK)
        buf_deinit(&out->bytes);
    return x;
}

/* ---- kith-board ---- */

static int feed(int fd, const struct buf *bytes)
{
    size_t at = 0;

    while (at < bytes->len) {
        ssize_t n = write(fd, bytes->data + at, bytes->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        at += (size_t)n;
    }
    return 0;
}

static void
become_program(const char *path, const char *const *args, int in_fd, int out_fd, pid_t parent)
{
    /* exec's prototype is older than const; it does not write to them. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = args};

    process_die_with_parent(parent);
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(in_fd, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0)
        (void)execv(path, argv.out);
    _exit(127);
}

int board_program_run(struct cli *cli,
                      const char *const *args,
                      const struct board_bundle *bundle,
                      int out_fd,
                      bool *partly_out)
{
    char path[4200];
    int pipe_fds[2], status = 0;
    int x = cli_find_program(cli, args[0], path, sizeof(path));
    pid_t self = getpid();

    if (x != EXIT_OK)
        return x;
    fflush(stdout);
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "no pipe to %s: %s", path, strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        become_program(path, args, pipe_fds[0], out_fd, self);
    (void)close(pipe_fds[0]);
    /* one that ends early says why itself */
    (void)signal(SIGPIPE, SIG_IGN);
    if (pid > 0)
        (void)feed(pipe_fds[1], &bundle->bytes);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)close(pipe_fds[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            pid = -1;
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return cli_fail(cli, EXIT_FAILED, NULL, "%s cannot be run%s", path,
                        pid > 0 && WIFSIGNALED(status) ? ": a signal ended it" : "");
    *partly_out = WEXITSTATUS(status) == EXIT_PARTLY;
    return WEXITSTATUS(status) == EXIT_OK || *partly_out
               ? EXIT_OK
               : cli_fail(cli, EXIT_FAILED, NULL, "%s failed, as it said", args[0]);
}
