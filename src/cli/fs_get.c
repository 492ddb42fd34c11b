/* kith fs cat, get: files of the catalogue, piece by piece. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/fs_copy.h"
#include "cli/out_file.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "kith/fs.h"

#define ASK_MS 60000
#define PIECE  (1024u * 1024)
#define WINDOW 8 /* pieces asked for ahead */

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

static int not_a_file(struct cli *cli, const char *path, const char *kind)
{
    char hint[KITH_FS_PATH_BYTES_MAX + 200] = "";

    if (strcmp(kind, "symlink") != 0)
        snprintf(hint, sizeof(hint), "kith fs get -r %s; kith fs ls %s", path, path);
    return cli_fail(cli, EXIT_USAGE, hint[0] != '\0' ? hint : NULL,
                    "%s is a %s: only files have content", path, kind);
}

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
        return not_a_file(cli, path, kind);
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

char *fs_out_path(const char *out, const char *path)
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

static int
copy_to(struct cli *cli, struct reading *reading, struct out_file *out, struct fs_copied *copied)
{
    struct bar *bar = &copied->bar;
    char from[200];
    const uint8_t *data;
    size_t len;
    int x;

    while ((x = reading_next(cli, reading, &data, &len)) == EXIT_OK && len > 0) {
        bar_show(bar, copied->bytes + reading->done, copied->all_bytes,
                 bar->on ? from_text(reading, bar->began_ms, from, sizeof(from)) : NULL);
        if (out_file_write(out, data, len) != 0) {
            bar_end(bar);
            return cli_fail_errno(cli, "cannot be written", out->path);
        }
    }
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

static int
get_file(struct cli *cli, struct reading *reading, const char *path, struct fs_copied *copied)
{
    struct out_file out;
    mode_t mask = umask(0);

    (void)umask(mask);
    if (out_file_open(&out, path) != 0)
        return cli_fail_errno(cli, "cannot be made", path);
    int x = copy_to(cli, reading, &out, copied);
    if (x != EXIT_OK) {
        out_file_drop(&out);
        return x;
    }
    if (out_file_finish(&out, reading->mode & 0777 & ~mask) != 0)
        return cli_fail_errno(cli, "cannot be written", path);
    copied->files++;
    copied->bytes += reading->size;
    return EXIT_OK;
}

static json_t *got_json(const struct reading *reading, const char *path, uint64_t ms)
{
    return json_pack("{s:s,s:s,s:s,s:I,s:s,s:I,s:o}", "schema", "kith.fs.get/1", "path",
                     reading->path, "out", path, "size", (json_int_t)reading->size, "hash",
                     reading->hash, "elapsed_ms", (json_int_t)ms, "from", from_json(reading, ms));
}

int fs_get_file(struct cli *cli, const char *path, const char *out, struct fs_copied *copied)
{
    struct reading reading;
    uint64_t began_ms = cli_now_ms();
    int x = reading_begin(cli, &reading, path);

    if (x == EXIT_OK)
        x = get_file(cli, &reading, out, copied);
    if (x == EXIT_OK && cli->json) {
        json_t *doc = got_json(&reading, out, cli_now_ms() - began_ms);
        x = cli_print_json_line(cli, doc);
        json_decref(doc);
    }
    reading_end(&reading);
    return x;
}

static int get_one(struct cli *cli, const char *out)
{
    struct fs_copied copied = {0};
    struct reading reading;
    char size[32], rate[32];
    int x = reading_begin(cli, &reading, cli_arg(cli, 0));
    char *path = x == EXIT_OK ? fs_out_path(out, reading.path) : NULL;

    if (x == EXIT_OK && path == NULL)
        x = cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    if (x == EXIT_OK) {
        copied.all_bytes = reading.size;
        bar_begin(&copied.bar, cli, reading.path);
        x = get_file(cli, &reading, path, &copied);
        bar_end(&copied.bar);
    }
    uint64_t ms = x == EXIT_OK ? cli_now_ms() - copied.bar.began_ms : 0;
    if (x == EXIT_OK && cli->json)
        x = cli_print_json(cli, got_json(&reading, path, ms), "kith.fs.get/1");
    else if (x == EXIT_OK)
        cli_say(cli, "%s: %s, %s/s", path, text_size(reading.size, size, sizeof(size)),
                text_size(reading.size * 1000 / (ms > 0 ? ms : 1), rate, sizeof(rate)));
    core_free(path);
    reading_end(&reading);
    return x;
}

int cmd_fs_get(struct cli *cli)
{
    const char *out = args_text(&cli->args, "out");

    if (out != NULL && out[0] == '\0')
        out = NULL;
    if (args_flag(&cli->args, "recursive"))
        return fs_get_tree(cli, cli_arg(cli, 0), out);
    return out != NULL && strcmp(out, "-") == 0 ? cmd_fs_cat(cli) : get_one(cli, out);
}
