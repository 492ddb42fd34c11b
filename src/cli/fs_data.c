/* kith fs put, append, pin, unpin, verify: what moves bytes, with progress. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "kith/fs.h"

#define PUT_PIECE (4u * 1024 * 1024)

/* ---- put ---- */

static int cannot(struct cli *cli, const char *what, const char *path)
{
    int failed = errno;

    return cli_fail(cli, failed == EACCES || failed == EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED, NULL,
                    "%s %s: %s%s", path, what, strerror(failed), core_errno_advice(failed));
}

struct putting {
    int fd;
    const char *file;
    uint64_t size; /* UINT64_MAX: unknown */
    uint64_t done;
    uint64_t put_id; /* of fs.put, which is answered last */
    char upload[32];
    uint8_t *piece;
};

/* What answers @id; what comes of the put itself before that is its failure, said already. */
static int answer_to(struct cli *cli, uint64_t id, struct cli_reply *reply)
{
    int x;

    do {
        x = cli_receive(cli, UINT64_MAX, reply);
    } while (x == EXIT_OK && reply->id != id);
    return x;
}

static int put_begin(struct cli *cli, struct putting *put, const char *path)
{
    struct stat st;
    struct cli_reply reply;
    json_t *request =
        json_pack("{s:s,s:b}", "path", path, "create_only", (int)args_flag(&cli->args, "new"));

    put->size = UINT64_MAX;
    if (fstat(put->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        char ns[32];
        snprintf(ns, sizeof(ns), "%lld",
                 (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
        put->size = (uint64_t)st.st_size;
        (void)json_object_set_new(request, "mode", json_integer(st.st_mode & 0777));
        (void)json_object_set_new(request, "modified_ns", json_string(ns));
    }
    int x = cli_send(cli, "fs.put", request, NULL, 0, &put->put_id);
    if (x == EXIT_OK)
        x = answer_to(cli, put->put_id, &reply);
    if (x == EXIT_OK)
        snprintf(put->upload, sizeof(put->upload), "%s", cli_json_text(reply.result, "upload"));
    return x;
}

static int put_pieces(struct cli *cli, struct putting *put)
{
    struct bar bar;
    struct cli_reply reply;
    int x = EXIT_OK;

    bar_begin(&bar, cli, put->file);
    while (x == EXIT_OK) {
        ssize_t n = read(put->fd, put->piece, PUT_PIECE);
        uint64_t id;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            x = cannot(cli, "cannot be read", put->file);
        if (n <= 0)
            break;
        x = cli_send(cli, "fs.put.data", json_pack("{s:s}", "upload", put->upload), put->piece,
                     (size_t)n, &id);
        if (x == EXIT_OK)
            x = answer_to(cli, id, &reply);
        put->done += (uint64_t)n;
        bar_show(&bar, put->done, put->size, NULL);
    }
    bar_end(&bar);
    return x;
}

static void say_ignored(const struct cli *cli, json_t *result, const char *path)
{
    if (json_is_true(json_object_get(result, "ignored")))
        cli_say(cli,
                "%s: .kithignore leaves it out of the folder that this node shares: it is kept "
                "beside it; change .kithignore if it is to be in there",
                path);
}

static int put_end(struct cli *cli, struct putting *put, const char *path)
{
    struct cli_reply reply;
    uint64_t id, began_ms = cli_now_ms();
    char size[32];
    int x = cli_send(cli, "fs.put.end", json_pack("{s:s}", "upload", put->upload), NULL, 0, &id);

    (void)began_ms;
    if (x == EXIT_OK)
        x = answer_to(cli, put->put_id, &reply);
    if (x != EXIT_OK)
        return x;
    say_ignored(cli, reply.result, path);
    if (cli->json)
        return cli_print_json(cli, json_incref(reply.result), "kith.fs.put/1");
    cli_say(cli, "%s: %s", path, text_size(put->done, size, sizeof(size)));
    return EXIT_OK;
}

/* SHARE/dir/ takes the file's own name. */
static int put_path(struct cli *cli, const char *file, const char *path, char *out, size_t bytes)
{
    const char *slash = strrchr(file, '/');
    bool dir = path[0] != '\0' && path[strlen(path) - 1] == '/';

    if (dir && strcmp(file, "-") == 0)
        return cli_fail(cli, EXIT_USAGE, NULL, "stdin has no name: say which file %s is to get",
                        path);
    if ((size_t)snprintf(out, bytes, "%s%s", path,
                         !dir            ? ""
                         : slash != NULL ? slash + 1
                                         : file) >= bytes)
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is too long a path", path);
    return EXIT_OK;
}

static int no_directory(struct cli *cli, const struct putting *put)
{
    struct stat st;

    if (fstat(put->fd, &st) != 0 || !S_ISDIR(st.st_mode))
        return EXIT_OK;
    return cli_fail(cli, EXIT_USAGE, NULL,
                    "%s is a directory: share it (kith share add NAME %s), or put its files one "
                    "by one",
                    put->file, put->file);
}

int cmd_fs_put(struct cli *cli)
{
    struct putting put = {.fd = STDIN_FILENO, .file = cli_arg(cli, 0)};
    char path[KITH_FS_PATH_BYTES_MAX + 600];
    int x = put_path(cli, put.file, cli_arg(cli, 1), path, sizeof(path));

    if (x != EXIT_OK)
        return x;
    if (strcmp(put.file, "-") != 0)
        put.fd = open(put.file, O_RDONLY | O_CLOEXEC);
    if (put.fd < 0)
        return errno == ENOENT
                   ? cli_fail(cli, EXIT_NOT_FOUND, NULL, "there is no file %s", put.file)
                   : cannot(cli, "cannot be read", put.file);
    x = no_directory(cli, &put);
    put.piece = x == EXIT_OK ? core_malloc(PUT_PIECE) : NULL;
    if (x == EXIT_OK)
        x = put.piece == NULL ? cli_fail(cli, EXIT_FAILED, NULL, "out of memory")
                              : put_begin(cli, &put, path);
    if (x == EXIT_OK)
        x = put_pieces(cli, &put);
    if (x == EXIT_OK)
        x = put_end(cli, &put, path);
    core_free(put.piece);
    if (put.fd != STDIN_FILENO)
        (void)close(put.fd);
    return x;
}

static int show_appended(struct cli *cli, json_t *result)
{
    char size[32];

    cli_say(
        cli, "%s: %s now", cli_arg(cli, 0),
        text_size(cli_json_u64(json_object_get(result, "entry"), "size", 0), size, sizeof(size)));
    return EXIT_OK;
}

int cmd_fs_append(struct cli *cli)
{
    struct buf data = {0};
    struct cli_reply reply;
    int x = input_argument(cli, cli_arg(cli, 1) != NULL ? cli_arg(cli, 1) : "-",
                           KITH_FS_DATA_BYTES_MAX, &data);

    if (x == EXIT_OK)
        x = cli_send(cli, "fs.append", json_pack("{s:s}", "path", cli_arg(cli, 0)), data.data,
                     data.len, NULL);
    buf_deinit(&data);
    if (x == EXIT_OK)
        x = cli_receive(cli, UINT64_MAX, &reply);
    if (x != EXIT_OK)
        return x;
    say_ignored(cli, reply.result, cli_arg(cli, 0));
    return cli->json ? cli_print_json(cli, json_incref(reply.result), "kith.fs.append/1")
                     : show_appended(cli, reply.result);
}

/* ---- what goes on at the agent ---- */

/* Asks, shows progress, and gives the last reply. */
static int
ask_long(struct cli *cli, const char *verb, json_t *request, const char *what, json_t **result_out)
{
    struct cli_reply reply = {.more = true};
    struct bar bar;
    int x = EXIT_OK;

    bar_begin(&bar, cli, what);
    if (bar.on)
        (void)json_object_set_new(request, "progress", json_true());
    x = cli_send(cli, verb, request, NULL, 0, NULL);
    while (x == EXIT_OK && reply.more) {
        x = cli_receive(cli, UINT64_MAX, &reply);
        if (x == EXIT_OK && reply.more)
            bar_show(&bar, cli_json_u64(reply.result, "done_bytes", 0),
                     cli_json_u64(reply.result, "all_bytes", UINT64_MAX),
                     cli_json_text(reply.result, "text"));
    }
    bar_end(&bar);
    *result_out = reply.result;
    return x;
}

static int pin(struct cli *cli, const char *verb, const char *done)
{
    json_t *result;
    char size[32], schema[32];
    int x =
        ask_long(cli, verb, json_pack("{s:s}", "path", cli_arg(cli, 0)), cli_arg(cli, 0), &result);

    if (x != EXIT_OK)
        return x;
    snprintf(schema, sizeof(schema), "kith.%s/1", verb);
    if (cli->json)
        return cli_print_json(cli, json_incref(result), schema);
    cli_say(cli, "%s %llu files, %s", done, (unsigned long long)cli_json_u64(result, "count", 0),
            text_size(cli_json_u64(result, "bytes", 0), size, sizeof(size)));
    return EXIT_OK;
}

int cmd_fs_pin(struct cli *cli)
{
    return args_flag(&cli->args, "remove") ? pin(cli, "fs.unpin", "no longer pinned:")
                                           : pin(cli, "fs.pin", "pinned");
}

int cmd_fs_verify(struct cli *cli)
{
    const char *path = cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : "";
    json_t *result;
    char size[32];
    int x = ask_long(cli, "fs.verify", json_pack("{s:s}", "path", path), "verify", &result);

    if (x != EXIT_OK)
        return x;
    uint64_t damaged = cli_json_u64(result, "damaged", 0);
    uint64_t repaired = cli_json_u64(result, "repaired", 0);
    if (cli->json)
        x = cli_print_json(cli, json_incref(result), "kith.fs.verify/1");
    else
        printf("%llu files, %s read; %llu damaged, %llu of them repaired\n",
               (unsigned long long)cli_json_u64(result, "count", 0),
               text_size(cli_json_u64(result, "bytes", 0), size, sizeof(size)),
               (unsigned long long)damaged, (unsigned long long)repaired);
    return x != EXIT_OK ? x : damaged > repaired ? EXIT_PARTLY : EXIT_OK;
}
