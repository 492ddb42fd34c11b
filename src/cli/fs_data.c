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
#include "cli/fs_copy.h"
#include "cli/input.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "kith/fs.h"

#define PUT_PIECE (4u * 1024 * 1024)

/* ---- put ---- */

struct putting {
    int fd;
    const char *file;
    struct fs_copied *copied;
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

    if (fstat(put->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        char ns[32];
        snprintf(ns, sizeof(ns), "%lld",
                 (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
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
    struct fs_copied *copied = put->copied;
    struct cli_reply reply;
    int x = EXIT_OK;

    while (x == EXIT_OK) {
        ssize_t n = read(put->fd, put->piece, PUT_PIECE);
        uint64_t id;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            x = cli_fail_errno(cli, "cannot be read", put->file);
        if (n <= 0)
            break;
        x = cli_send(cli, "fs.put.data", json_pack("{s:s}", "upload", put->upload), put->piece,
                     (size_t)n, &id);
        if (x == EXIT_OK)
            x = answer_to(cli, id, &reply);
        copied->bytes += (uint64_t)n;
        bar_show(&copied->bar, copied->bytes, copied->all_bytes, NULL);
    }
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

/* *@result_out is the caller's. */
static int put_end(struct cli *cli, struct putting *put, const char *path, json_t **result_out)
{
    struct cli_reply reply;
    uint64_t id;
    int x = cli_send(cli, "fs.put.end", json_pack("{s:s}", "upload", put->upload), NULL, 0, &id);

    if (x == EXIT_OK)
        x = answer_to(cli, put->put_id, &reply);
    if (x != EXIT_OK)
        return x;
    say_ignored(cli, reply.result, path);
    *result_out = json_incref(reply.result);
    put->copied->files++;
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

static int put_open(struct cli *cli, struct putting *put)
{
    struct stat st;
    char hint[600];

    put->fd = strcmp(put->file, "-") == 0 ? STDIN_FILENO : open(put->file, O_RDONLY | O_CLOEXEC);
    if (put->fd < 0)
        return errno == ENOENT
                   ? cli_fail(cli, EXIT_NOT_FOUND, NULL, "there is no file %s", put->file)
                   : cli_fail_errno(cli, "cannot be read", put->file);
    if (fstat(put->fd, &st) != 0 || !S_ISDIR(st.st_mode))
        return EXIT_OK;
    snprintf(hint, sizeof(hint), "kith fs put -r %s PATH; kith share add NAME %s", put->file,
             put->file);
    return cli_fail(cli, EXIT_USAGE, hint, "%s is a directory", put->file);
}

static int put_all(struct cli *cli, struct putting *put, const char *path, json_t **result_out)
{
    put->piece = core_malloc(PUT_PIECE);
    int x = put->piece == NULL ? cli_fail(cli, EXIT_FAILED, NULL, "out of memory")
                               : put_begin(cli, put, path);
    if (x == EXIT_OK)
        x = put_pieces(cli, put);
    if (x == EXIT_OK)
        x = put_end(cli, put, path, result_out);
    core_free(put->piece);
    return x;
}

int fs_put_file(struct cli *cli, const char *file, const char *path, struct fs_copied *copied)
{
    struct putting put = {.file = file, .copied = copied};
    json_t *result = NULL;
    int x = put_open(cli, &put);

    if (x == EXIT_OK)
        x = put_all(cli, &put, path, &result);
    if (put.fd > STDIN_FILENO)
        (void)close(put.fd);
    if (x == EXIT_OK && cli->json) {
        (void)json_object_set_new(result, "schema", json_string("kith.fs.put/1"));
        x = cli_print_json_line(cli, result);
    }
    json_decref(result);
    return x;
}

/* Of a file that is not read to see; UINT64_MAX: unknown. */
static uint64_t size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX;
}

static int put_one(struct cli *cli, const char *file, const char *path)
{
    struct fs_copied copied = {0};
    struct putting put = {.file = file, .copied = &copied};
    json_t *result = NULL;
    char size[32];
    int x = put_open(cli, &put);

    if (x == EXIT_OK) {
        copied.all_bytes = size_of(put.fd);
        bar_begin(&copied.bar, cli, file);
        x = put_all(cli, &put, path, &result);
        bar_end(&copied.bar);
    }
    if (put.fd > STDIN_FILENO)
        (void)close(put.fd);
    if (x == EXIT_OK && cli->json)
        return cli_print_json(cli, result, "kith.fs.put/1");
    if (x == EXIT_OK)
        cli_say(cli, "%s: %s", path, text_size(copied.bytes, size, sizeof(size)));
    json_decref(result);
    return x;
}

int cmd_fs_put(struct cli *cli)
{
    const char *file = cli_arg(cli, 0);
    char path[KITH_FS_PATH_BYTES_MAX + 600];

    if (args_flag(&cli->args, "recursive"))
        return fs_put_tree(cli, file, cli_arg(cli, 1));
    int x = put_path(cli, file, cli_arg(cli, 1), path, sizeof(path));
    return x == EXIT_OK ? put_one(cli, file, path) : x;
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
