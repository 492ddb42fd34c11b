/* kith fs get, cat, put, append, pin, unpin, verify: what moves bytes, with progress. */
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

#define ASK_MS    60000
#define PIECE     (1024u * 1024)
#define WINDOW    8 /* pieces asked for ahead */
#define PUT_PIECE (4u * 1024 * 1024)

#define SOURCES_MAX 16
#define RATE_MS     1000

/* ---- reading ---- */

/* A node that pieces came from. */
struct source {
    char name[64];
    uint64_t bytes;
    uint64_t shown_bytes, rate; /* a second, since it was shown last */
};

/* A file of the catalogue that is being read, a window of pieces ahead. */
struct reading {
    const char *path;
    char hash[KITH_FS_HASH_DIGITS + 1];
    uint64_t size;
    uint32_t mode;
    uint64_t asked; /* bytes */
    uint64_t done;
    uint64_t first_id;        /* of the request for the first piece */
    struct buf early[WINDOW]; /* pieces that came before their turn, by their number */
    bool have[WINDOW];
    struct source from[SOURCES_MAX];
    size_t from_n;
    uint64_t shown_ms;
};

static int reading_begin(struct cli *cli, struct reading *reading, const char *path)
{
    struct cli_reply reply;
    int x = cli_ask(cli, "fs.stat", json_pack("{s:s}", "path", path), ASK_MS, &reply);

    *reading = (struct reading){.path = path};
    if (x != EXIT_OK)
        return x;
    json_t *entry = json_object_get(reply.result, "entry");
    const char *kind = cli_json_text(entry, "kind");
    if (strcmp(kind, "file") != 0)
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is a %s: only files have content", path, kind);
    snprintf(reading->hash, sizeof(reading->hash), "%s", cli_json_text(entry, "hash"));
    reading->size = cli_json_u64(entry, "size", 0);
    reading->mode = (uint32_t)cli_json_u64(entry, "mode", 0644);
    return EXIT_OK;
}

static int reading_ask(struct cli *cli, struct reading *reading)
{
    int x = EXIT_OK;

    while (x == EXIT_OK && reading->asked < reading->size &&
           reading->asked < reading->done + WINDOW * (uint64_t)PIECE) {
        uint64_t id;
        x = cli_send(cli, "fs.read",
                     json_pack("{s:s,s:s,s:I,s:I}", "path", reading->path, "hash", reading->hash,
                               "offset", (json_int_t)reading->asked, "count", (json_int_t)PIECE),
                     NULL, 0, &id);
        if (reading->asked == 0)
            reading->first_id = id;
        reading->asked += PIECE;
    }
    return x;
}

/* Who sent the piece; nothing of what was at the node already. */
static void count_from(struct reading *reading, const json_t *result)
{
    size_t i;
    json_t *one;

    json_array_foreach(json_object_get(result, "from"), i, one)
    {
        const char *name = cli_json_text(one, "name");
        size_t at = 0;
        while (at < reading->from_n && strcmp(reading->from[at].name, name) != 0)
            at++;
        if (at == SOURCES_MAX)
            continue;
        struct source *source = &reading->from[at];
        if (at == reading->from_n) {
            *source = (struct source){.bytes = 0};
            snprintf(source->name, sizeof(source->name), "%s", name);
            reading->from_n++;
        }
        source->bytes += cli_json_u64(one, "bytes", 0);
    }
}

/* "a 80 MB/s, b 75 MB/s": who delivers now. */
static const char *from_text(struct reading *reading, uint64_t began_ms, char *out, size_t bytes)
{
    uint64_t now_ms = cli_now_ms();
    uint64_t ms = now_ms - (reading->shown_ms != 0 ? reading->shown_ms : began_ms);
    size_t at = 0;

    for (size_t i = 0; i < reading->from_n && ms >= RATE_MS; i++) {
        struct source *source = &reading->from[i];
        source->rate = (source->bytes - source->shown_bytes) * 1000 / ms;
        source->shown_bytes = source->bytes;
    }
    if (ms >= RATE_MS)
        reading->shown_ms = now_ms;
    out[0] = '\0';
    for (size_t i = 0; i < reading->from_n && at < bytes; i++) {
        char rate[32];
        if (reading->from[i].rate > 0)
            at += (size_t)snprintf(out + at, bytes - at, "%s%s %s/s", at > 0 ? ", " : "",
                                   reading->from[i].name,
                                   text_size(reading->from[i].rate, rate, sizeof(rate)));
    }
    return out;
}

/* The next piece in order, borrowed until the next call; *len_out 0 at the end. */
static int
reading_next(struct cli *cli, struct reading *reading, const uint8_t **data_out, size_t *len_out)
{
    size_t slot = (size_t)(reading->done / PIECE % WINDOW);
    int x = EXIT_OK;

    *len_out = 0;
    if (reading->done >= reading->size)
        return EXIT_OK;
    x = reading_ask(cli, reading);
    while (x == EXIT_OK && !reading->have[slot]) {
        struct cli_reply reply;
        x = cli_receive(cli, UINT64_MAX, &reply);
        if (x != EXIT_OK)
            break;
        uint64_t no = reply.id - reading->first_id;
        struct buf *early = &reading->early[no % WINDOW];
        early->len = 0;
        if (buf_append(early, reply.data, reply.data_len) != 0)
            return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        reading->have[no % WINDOW] = true;
        count_from(reading, reply.result);
    }
    if (x != EXIT_OK)
        return x;
    uint64_t left = reading->size - reading->done;
    if (reading->early[slot].len != (left < PIECE ? left : PIECE))
        return cli_fail(cli, EXIT_FAILED, NULL, "%s: the agent gave another length than asked for",
                        reading->path);
    reading->have[slot] = false;
    *data_out = reading->early[slot].data;
    *len_out = reading->early[slot].len;
    reading->done += *len_out;
    return EXIT_OK;
}

static void reading_end(struct reading *reading)
{
    for (size_t i = 0; i < WINDOW; i++)
        buf_deinit(&reading->early[i]);
}

int cmd_fs_cat(struct cli *cli)
{
    struct reading reading;
    const uint8_t *data;
    size_t len;
    int x = reading_begin(cli, &reading, cli_arg(cli, 0));

    while (x == EXIT_OK) {
        x = reading_next(cli, &reading, &data, &len);
        if (x != EXIT_OK || len == 0)
            break;
        x = cli_write(cli, data, len);
    }
    reading_end(&reading);
    return x;
}

/* ---- get ---- */

static int cannot(struct cli *cli, const char *what, const char *path)
{
    int failed = errno;

    return cli_fail(cli, failed == EACCES || failed == EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED, NULL,
                    "%s %s: %s%s", path, what, strerror(failed), core_errno_advice(failed));
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* "dir/" and directories take the file's own name. Freed by the caller; NULL if memory is short. */
static char *out_path(const char *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct stat st;
    struct buf buf = {0};
    bool dir = out != NULL &&
               (out[strlen(out) - 1] == '/' || (stat(out, &st) == 0 && S_ISDIR(st.st_mode)));

    if (out != NULL && buf_append_text(&buf, out) != 0)
        return NULL;
    if (dir && out[strlen(out) - 1] != '/' && buf_append_u8(&buf, '/') != 0)
        return NULL;
    if ((out == NULL || dir) && buf_append_text(&buf, name) != 0)
        return NULL;
    return buf_append_u8(&buf, '\0') == 0 ? (char *)buf.data : NULL;
}

static int copy_to(struct cli *cli, struct reading *reading, int fd, const char *out)
{
    struct bar bar;
    char from[200];
    const uint8_t *data;
    size_t len;
    int x;

    bar_begin(&bar, cli, reading->path);
    while ((x = reading_next(cli, reading, &data, &len)) == EXIT_OK && len > 0) {
        bar_show(&bar, reading->done, reading->size,
                 bar.on ? from_text(reading, bar.began_ms, from, sizeof(from)) : NULL);
        if (write_all(fd, data, len) != 0) {
            bar_end(&bar);
            return cannot(cli, "cannot be written", out);
        }
    }
    bar_end(&bar);
    return x;
}

/* [{"name","bytes","bytes_per_s"}] */
static json_t *from_json(const struct reading *reading, uint64_t ms)
{
    json_t *from = json_array();

    for (size_t i = 0; i < reading->from_n; i++) {
        const struct source *source = &reading->from[i];
        (void)json_array_append_new(
            from,
            json_pack("{s:s,s:I,s:I}", "name", source->name, "bytes", (json_int_t)source->bytes,
                      "bytes_per_s", (json_int_t)(source->bytes * 1000 / (ms > 0 ? ms : 1))));
    }
    return from;
}

static int get_file(struct cli *cli, struct reading *reading, const char *out)
{
    char temporary[4200];
    uint64_t began_ms = cli_now_ms();
    mode_t mask = umask(0);
    int x;

    (void)umask(mask);
    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.%ld.part", out, (long)getpid()) >=
        sizeof(temporary))
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is too long a path", out);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return cannot(cli, "cannot be made", temporary);
    x = copy_to(cli, reading, fd, temporary);
    if (x == EXIT_OK && (fchmod(fd, reading->mode & 0777 & ~mask) != 0 || fsync(fd) != 0))
        x = cannot(cli, "cannot be written", out);
    if (close(fd) != 0 && x == EXIT_OK)
        x = cannot(cli, "cannot be written", out);
    if (x == EXIT_OK && rename(temporary, out) != 0)
        x = cannot(cli, "cannot be replaced", out);
    if (x != EXIT_OK) {
        (void)unlink(temporary);
        return x;
    }
    uint64_t ms = cli_now_ms() - began_ms;
    char size[32], rate[32];
    if (!cli->json) {
        cli_say(cli, "%s: %s, %s/s", out, text_size(reading->size, size, sizeof(size)),
                text_size(reading->size * 1000 / (ms > 0 ? ms : 1), rate, sizeof(rate)));
        return EXIT_OK;
    }
    return cli_print_json(cli,
                          json_pack("{s:s,s:s,s:I,s:s,s:I,s:o}", "path", reading->path, "out", out,
                                    "size", (json_int_t)reading->size, "hash", reading->hash,
                                    "elapsed_ms", (json_int_t)ms, "from", from_json(reading, ms)),
                          "kith.fs.get/1");
}

int cmd_fs_get(struct cli *cli)
{
    const char *out = args_text(&cli->args, "out");
    struct reading reading;
    int x;

    if (out != NULL && strcmp(out, "-") == 0)
        return cmd_fs_cat(cli);
    x = reading_begin(cli, &reading, cli_arg(cli, 0));
    char *path =
        x == EXIT_OK ? out_path(out != NULL && out[0] != '\0' ? out : NULL, reading.path) : NULL;
    if (x == EXIT_OK)
        x = path == NULL ? cli_fail(cli, EXIT_FAILED, NULL, "out of memory")
                         : get_file(cli, &reading, path);
    core_free(path);
    reading_end(&reading);
    return x;
}

/* ---- put ---- */

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
    put.piece = core_malloc(PUT_PIECE);
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
