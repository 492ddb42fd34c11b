/* kith board ls, export: boards from the catalogue, by way of kith-board. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/board_files.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "core/alloc.h"
#include "core/text.h"

#define PROGRAM   "kith-board"
#define SCALE_MIN 0.01 /* of kith-board */
#define SCALE_MAX 64.0

/* ---- moments ---- */

/* "Z", "+02:00" or nothing, which is @local; false if it is none of these. */
static bool zone_of(const char *text, struct tm *tm, time_t *out)
{
    struct tm local = *tm;
    int hours, minutes;
    char sign, more;

    if (*text == '\0') {
        local.tm_isdst = -1;
        *out = mktime(&local);
        return *out != (time_t)-1;
    }
    *out = timegm(tm);
    if (strcmp(text, "Z") == 0)
        return true;
    /* NOLINTNEXTLINE(cert-err34-c): the digits are bounded */
    if (sscanf(text, "%c%2d:%2d%c", &sign, &hours, &minutes, &more) != 3 ||
        (sign != '+' && sign != '-'))
        return false;
    long seconds = 3600L * hours + 60L * minutes;
    *out += sign == '+' ? -seconds : seconds;
    return true;
}

/*
 * A moment: 2026-11-30T06:10:00.5Z, with +02:00, without both for local time (a blank instead of T
 * is fine, seconds may be left out), or how long ago (10m). Microseconds since 1970.
 */
static bool parse_moment(const char *text, uint64_t *us_out)
{
    struct tm tm = {0};
    uint64_t ago_ms;
    double part = 0;
    time_t at;

    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest == NULL) {
        struct timespec now;
        if (text_parse_duration_ms(text, &ago_ms) != 0)
            return false;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        *us_out = now_us > ago_ms * 1000 ? now_us - ago_ms * 1000 : 0;
        return true;
    }
    if (*rest == 'T' || *rest == ' ') {
        const char *minutes = strptime(rest + 1, "%H:%M", &tm);
        const char *seconds = strptime(rest + 1, "%H:%M:%S", &tm);
        rest = seconds != NULL ? seconds : minutes;
        if (rest == NULL)
            return false;
    }
    if (*rest == '.') {
        char *end;
        part = strtod(rest, &end);
        rest = end;
    }
    if (!zone_of(rest, &tm, &at) || at < 0)
        return false;
    *us_out = (uint64_t)at * 1000000 + (uint64_t)(part * 1e6 + 0.5);
    return true;
}

/* ---- export ---- */

struct export
{
    const char *board;
    const char *format;
    const char *out;    /* "-" is stdout */
    char own_name[300]; /* if none is given */
    char at[32];        /* a clock, "" if as it is now */
    const char *at_text;
    const char *scale;
    char temporary[4200];
    int fd;
};

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static int read_options(struct cli *cli, struct export *export)
{
    uint64_t us;
    double scale;

    *export = (struct export){.board = cli_arg(cli, 0),
                              .format = args_text(&cli->args, "format"),
                              .out = args_text(&cli->args, "out"),
                              .at_text = args_text(&cli->args, "at"),
                              .scale = args_text(&cli->args, "scale"),
                              .fd = -1};
    if (export->format == NULL)
        export->format = export->out != NULL && ends_in(export->out, ".svg") ? "svg" : "png";
    if (export->out == NULL) {
        snprintf(export->own_name, sizeof(export->own_name), "%s.%s", export->board,
                 export->format);
        export->out = export->own_name;
    }
    if (export->scale == NULL)
        export->scale = "2";
    if (text_parse_f64(export->scale, &scale) != 0 || scale < SCALE_MIN || scale > SCALE_MAX)
        return cli_fail(cli, EXIT_USAGE, NULL,
                        "--scale takes pixels a unit, %g to %g: %s is none of these", SCALE_MIN,
                        SCALE_MAX, export->scale);
    if (export->at_text == NULL)
        return EXIT_OK;
    if (!parse_moment(export->at_text, &us))
        return cli_fail(cli, EXIT_USAGE, "kith help board export",
                        "--at takes a time such as 2026-11-30T06:10:00Z, or how long ago, such as "
                        "10m: %s is neither",
                        export->at_text);
    snprintf(export->at, sizeof(export->at), "%llu", (unsigned long long)us);
    return EXIT_OK;
}

static int cannot_write(struct cli *cli, const char *path)
{
    int why = errno;

    return cli_fail(cli, why == EACCES || why == EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED, NULL,
                    "%s cannot be written: %s", path, strerror(why));
}

static int open_out(struct cli *cli, struct export *export)
{
    if (strcmp(export->out, "-") == 0) {
        export->fd = STDOUT_FILENO;
        return EXIT_OK;
    }
    if ((size_t)snprintf(export->temporary, sizeof(export->temporary), "%s.%ld.part", export->out,
                         (long)getpid()) >= sizeof(export->temporary))
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is too long a path", export->out);
    export->fd = open(export->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return export->fd >= 0 ? EXIT_OK : cannot_write(cli, export->out);
}

/* The file appears whole or not at all. */
static int close_out(struct cli *cli, struct export *export, int x, uint64_t *bytes_out)
{
    struct stat st = {0};

    *bytes_out = 0;
    if (export->fd < 0 || export->fd == STDOUT_FILENO)
        return x;
    if (x == EXIT_OK && (fstat(export->fd, &st) != 0 || fsync(export->fd) != 0))
        x = cannot_write(cli, export->out);
    if (close(export->fd) != 0 && x == EXIT_OK)
        x = cannot_write(cli, export->out);
    if (x == EXIT_OK && rename(export->temporary, export->out) != 0)
        x = cannot_write(cli, export->out);
    if (x != EXIT_OK)
        (void)unlink(export->temporary);
    *bytes_out = (uint64_t)st.st_size;
    return x;
}

static int draw(struct cli *cli,
                const struct export *export,
                const struct board_bundle *bundle,
                bool *partly_out)
{
    const char *args[8] = {PROGRAM, export->format};
    size_t n = 2;

    if (strcmp(export->format, "png") == 0) {
        args[n++] = "--scale";
        args[n++] = export->scale;
    }
    if (export->at[0] != '\0') {
        args[n++] = "--at";
        args[n++] = export->at;
    }
    return board_program_run(cli, args, bundle, export->fd, partly_out);
}

static int said(struct cli *cli,
                const struct export *export,
                const struct board_entry *entry,
                uint64_t bytes,
                size_t missing)
{
    char size[32];

    if (export->fd == STDOUT_FILENO)
        return EXIT_OK;
    if (cli->json)
        return cli_print_json(
            cli,
            json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "board", entry->name, "format", export->format,
                      "out", export->out, "bytes", (json_int_t)bytes, "logs",
                      (json_int_t)json_array_size(entry->logs), "missing", (json_int_t)missing),
            "kith.board.export/1");
    cli_say(cli, "%s: %s", export->out, text_size(bytes, size, sizeof(size)));
    return EXIT_OK;
}

static int export_entry(struct cli *cli, struct export *export, const struct board_entry *entry)
{
    struct board_bundle bundle;
    uint64_t bytes;
    bool partly = false;
    int x = board_bundle_fetch(cli, entry, true, &bundle);

    if (x != EXIT_OK)
        return x;
    x = open_out(cli, export);
    if (x == EXIT_OK)
        x = draw(cli, export, &bundle, &partly);
    x = close_out(cli, export, x, &bytes);
    if (x == EXIT_OK)
        x = said(cli, export, entry, bytes, bundle.missing_n);
    partly = partly || bundle.missing_n > 0;
    buf_deinit(&bundle.bytes);
    return x == EXIT_OK && partly ? EXIT_PARTLY : x;
}

int cmd_board_export(struct cli *cli)
{
    struct export export;
    struct board_entries boards;
    int x = read_options(cli, &export);

    if (x == EXIT_OK)
        x = board_entries_ask(cli, export.board, &boards);
    if (x != EXIT_OK)
        return x;
    if (boards.n != 1 || strcmp(boards.list[0].name, export.board) != 0)
        x = cli_fail(cli, EXIT_NOT_FOUND, "kith board ls", "there is no board %s", export.board);
    else
        x = export_entry(cli, &export, &boards.list[0]);
    board_entries_free(&boards);
    return x;
}

/* ---- list ---- */

/* What kith-board says of a board. */
struct looked {
    char title[512];
    uint64_t elements, operations, first_us, last_us;
    bool partly;
};

static void take_line(struct looked *looked, char *line)
{
    const struct {
        const char *word;
        uint64_t *value;
    } numbers[] = {{"elements ", &looked->elements},
                   {"operations ", &looked->operations},
                   {"first ", &looked->first_us},
                   {"last ", &looked->last_us}};

    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "title ", 6) == 0)
        snprintf(looked->title, sizeof(looked->title), "%.*s", (int)sizeof(looked->title) - 1,
                 line + 6);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        size_t len = strlen(numbers[i].word);
        if (strncmp(line, numbers[i].word, len) == 0)
            *numbers[i].value = strtoull(line + len, NULL, 10);
    }
}

static int look(struct cli *cli, const struct board_entry *entry, struct looked *looked)
{
    static const char *const args[] = {PROGRAM, "look", NULL};
    struct board_bundle bundle;
    char line[512];

    *looked = (struct looked){0};
    FILE *file = tmpfile();
    if (file == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "no temporary file: %s", strerror(errno));
    int x = board_bundle_fetch(cli, entry, false, &bundle);
    if (x == EXIT_OK) {
        x = board_program_run(cli, args, &bundle, fileno(file), &looked->partly);
        looked->partly = looked->partly || bundle.missing_n > 0;
        buf_deinit(&bundle.bytes);
    }
    rewind(file);
    while (x == EXIT_OK && fgets(line, sizeof(line), file) != NULL)
        take_line(looked, line);
    (void)fclose(file);
    return x;
}

static const char *moment_text(uint64_t us, bool local, char out[32])
{
    time_t at = (time_t)(us / 1000000);
    struct tm tm;

    out[0] = '\0';
    if (us == 0)
        return out;
    if (!local)
        return text_time_ms(us / 1000, out);
    if (localtime_r(&at, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M", &tm) == 0)
        out[0] = '\0';
    return out;
}

/* How many different writers the names of its logs begin with. */
static size_t writers_of(const struct board_entry *entry)
{
    json_t *log;
    size_t at, n = 0;
    char last[64] = "";

    json_array_foreach(entry->logs, at, log) /* in the order of their paths */
    {
        const char *name = strrchr(cli_json_text(log, "path"), '/') + 1;
        size_t len = strcspn(name, "-");
        if (len < sizeof(last) && (strncmp(last, name, len) != 0 || last[len] != '\0')) {
            n++;
            snprintf(last, sizeof(last), "%.*s", (int)len, name);
        }
    }
    return n;
}

static uint64_t bytes_of(const struct board_entry *entry)
{
    json_t *file;
    size_t at;
    uint64_t bytes = 0;

    json_array_foreach(entry->logs, at, file) bytes += cli_json_u64(file, "size", 0);
    json_array_foreach(entry->images, at, file) bytes += cli_json_u64(file, "size", 0);
    return bytes;
}

static json_t *json_of(const struct board_entry *entry, const struct looked *looked)
{
    char first[32], last[32];

    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:s,s:b}", "name", entry->name, "title",
                     looked->title, "elements", (json_int_t)looked->elements, "operations",
                     (json_int_t)looked->operations, "writers", (json_int_t)writers_of(entry),
                     "bytes", (json_int_t)bytes_of(entry), "begun",
                     moment_text(looked->first_us, false, first), "changed",
                     moment_text(looked->last_us, false, last), "partly", (int)looked->partly);
}

static void
add_row(struct table *table, const struct board_entry *entry, const struct looked *looked)
{
    char size[32], when[32], clean[300];

    table_cell(table, NULL, "%s", cli_clean(entry->name, clean, sizeof(clean)));
    table_cell(table, NULL, "%s", cli_clean(looked->title, clean, sizeof(clean)));
    table_cell(table, NULL, "%llu", (unsigned long long)looked->elements);
    table_cell(table, NULL, "%zu", writers_of(entry));
    table_cell(table, NULL, "%s", text_size(bytes_of(entry), size, sizeof(size)));
    table_cell(table, NULL, "%s", moment_text(looked->last_us, true, when));
    table_cell(table, looked->partly ? TABLE_YELLOW : NULL, "%s",
               looked->partly ? "not all of it can be read" : "");
}

static int show_all(struct cli *cli, const struct board_entries *boards, bool *partly_out)
{
    json_t *list = json_array();
    struct table table;
    int x = EXIT_OK;

    table_init(&table, "NAME TITLE >ELEMENTS >WRITERS >SIZE CHANGED NOTE");
    for (size_t i = 0; i < boards->n && x == EXIT_OK; i++) {
        struct looked looked;
        x = look(cli, &boards->list[i], &looked);
        if (x != EXIT_OK)
            break;
        *partly_out = *partly_out || looked.partly;
        if (cli->json)
            (void)json_array_append_new(list, json_of(&boards->list[i], &looked));
        else
            add_row(&table, &boards->list[i], &looked);
    }
    if (x == EXIT_OK && cli->json)
        x = cli_print_json(cli, json_pack("{s:O}", "boards", list), "kith.board.ls/1");
    else if (x == EXIT_OK && boards->n == 0)
        cli_say(cli, "no boards yet; one begins with its first stroke (kith web)");
    else if (x == EXIT_OK && table_print(&table, stdout, !args_flag(&cli->args, "no-headers")) != 0)
        x = cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    table_deinit(&table);
    json_decref(list);
    return x;
}

int cmd_board_ls(struct cli *cli)
{
    struct board_entries boards;
    bool partly = false;
    int x = board_entries_ask(cli, NULL, &boards);

    if (x == EXIT_OK)
        x = show_all(cli, &boards, &partly);
    board_entries_free(&boards);
    return x == EXIT_OK && partly ? EXIT_PARTLY : x;
}
