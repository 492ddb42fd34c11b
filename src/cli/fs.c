/* kith fs ls, tree, stat, find, conflicts, rm, restore, evict, cache, watch: looking at files, and
 * what moves none of their bytes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/fs_copy.h"
#include "cli/table.h"
#include "core/text.h"

#define FS_TIMEOUT_MS 60000

/* ---- lists, page by page ---- */

int fs_ask_pages(struct cli *cli, const char *verb, json_t *request, json_t **entries_out)
{
    json_t *entries = *entries_out = json_array();
    int x = EXIT_OK;

    while (x == EXIT_OK) {
        struct cli_reply reply;
        x = cli_ask(cli, verb, json_incref(request), FS_TIMEOUT_MS, &reply);
        if (x != EXIT_OK)
            break;
        json_t *next = json_object_get(reply.result, "next");
        if (json_array_extend(entries, json_object_get(reply.result, "entries")) != 0 ||
            (next != NULL && json_object_set(request, "after", next) != 0))
            x = cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        if (next == NULL)
            break;
    }
    json_decref(request);
    return x;
}

static int print_entries(struct cli *cli, const char *verb, json_t *entries)
{
    char schema[64];

    snprintf(schema, sizeof(schema), "kith.%s/1", verb);
    return cli_print_json(cli, json_pack("{s:O}", "entries", entries), schema);
}

/* "2026-11-30 02:30", local time. */
static const char *when_text(json_t *entry, const char *key, char *out, size_t bytes)
{
    struct tm tm = {0}, local;
    const char *utc = cli_json_text(entry, key);

    if (strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm) == NULL) {
        snprintf(out, bytes, "%s", utc[0] != '\0' ? utc : "-");
        return out;
    }
    time_t at = timegm(&tm);
    if (localtime_r(&at, &local) == NULL || strftime(out, bytes, "%Y-%m-%d %H:%M", &local) == 0)
        snprintf(out, bytes, "%s", utc);
    return out;
}

/* "dev-1,dev-3": who holds it. */
static void holders_text(json_t *entry, char *out, size_t bytes)
{
    json_t *holders = json_object_get(entry, "holders"), *holder;
    size_t at, used = 0;

    snprintf(out, bytes, "%s", json_array_size(holders) == 0 ? "-" : "");
    json_array_foreach(holders, at, holder)
    {
        const char *name = json_string_value(holder);
        int n = snprintf(out + used, bytes - used, "%s%s", at > 0 ? "," : "",
                         name != NULL ? name : "?");
        used += n > 0 && (size_t)n < bytes - used ? (size_t)n : 0;
    }
}

static const char *kind_mark(json_t *entry)
{
    const char *kind = cli_json_text(entry, "kind");

    if (strcmp(kind, "directory") == 0 || strcmp(kind, "share") == 0)
        return "/";
    return strcmp(kind, "symlink") == 0 ? "@" : "";
}

static void note_text(json_t *entry, char *out, size_t bytes)
{
    uint64_t conflicts = cli_json_u64(entry, "conflicts", 0);

    out[0] = '\0';
    if (strcmp(cli_json_text(entry, "kind"), "deleted") == 0)
        snprintf(out, bytes, "deleted");
    else if (cli_json_text(entry, "conflict_of")[0] != '\0')
        snprintf(out, bytes, "conflict of %s", cli_json_text(entry, "conflict_of"));
    else if (conflicts > 0)
        snprintf(out, bytes, "%s%s", conflicts == 1 ? "a conflict" : "conflicts",
                 json_is_true(json_object_get(entry, "pinned")) ? ", pinned" : "");
    else if (strcmp(cli_json_text(entry, "kind"), "file") == 0 &&
             cli_json_u64(entry, "holders_alive", 1) == 0)
        snprintf(out, bytes, "nobody who has it is here");
    else if (json_is_true(json_object_get(entry, "pinned")))
        snprintf(out, bytes, "pinned");
    else if (json_is_true(json_object_get(entry, "cached")) &&
             !json_is_true(json_object_get(entry, "here")))
        snprintf(out, bytes, "cached");
}

/* "rwxr-x---" */
static const char *mode_text(json_t *entry, char out[10])
{
    uint64_t mode = cli_json_u64(entry, "mode", 0);

    for (int i = 0; i < 10; i++)
        out[i] = '-';
    for (int i = 0; i < 9; i++) {
        if ((mode >> (8 - i) & 1) != 0)
            out[i] = "rwx"[i % 3];
    }
    out[9] = '\0';
    return out;
}

enum columns {
    COLUMN_MODE = 1,
    COLUMN_AUTHOR = 2,
};

static int print_table(struct cli *cli, json_t *entries, unsigned columns)
{
    struct table table;
    json_t *entry;
    size_t at;

    table_init(&table, columns == COLUMN_MODE     ? "PATH >SIZE MODIFIED MODE HOLDERS NOTE"
                       : columns == COLUMN_AUTHOR ? "PATH >SIZE MODIFIED AUTHOR HOLDERS NOTE"
                                                  : "PATH >SIZE MODIFIED HOLDERS NOTE");
    json_array_foreach(entries, at, entry)
    {
        char size[32] = "-", when[48] = "", mode[10], holders[512], note[600], author[300];
        bool file = strcmp(cli_json_text(entry, "kind"), "file") == 0;
        const char *mark = kind_mark(entry);
        if (file)
            text_size(cli_json_u64(entry, "size", 0), size, sizeof(size));
        if (strcmp(cli_json_text(entry, "kind"), "share") != 0)
            when_text(entry, "modified", when, sizeof(when));
        holders_text(entry, holders, sizeof(holders));
        note_text(entry, note, sizeof(note));
        table_cell(&table, NULL, "%s%s", cli_json_text(entry, "path"), mark);
        table_cell(&table, NULL, "%s", size);
        table_cell(&table, NULL, "%s", when);
        if (columns == COLUMN_MODE)
            table_cell(&table, NULL, "%s", file ? mode_text(entry, mode) : "-");
        if (columns == COLUMN_AUTHOR)
            table_cell(&table, NULL, "%s",
                       cli_clean(cli_json_text(entry, "author"), author, sizeof(author)));
        table_cell(&table, NULL, "%s", holders);
        table_cell(&table, note[0] != '\0' ? TABLE_YELLOW : NULL, "%s", note);
    }
    int r = table_print(&table, stdout, !args_flag(&cli->args, "no-headers"));
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

static int
list(struct cli *cli, const char *verb, json_t *request, unsigned columns, const char *empty)
{
    json_t *entries;
    int x = fs_ask_pages(cli, verb, request, &entries);

    if (x == EXIT_OK && cli->json)
        x = print_entries(cli, verb, entries);
    else if (x == EXIT_OK && json_array_size(entries) == 0)
        cli_say(cli, "%s", empty);
    else if (x == EXIT_OK)
        x = print_table(cli, entries, columns);
    if (x == EXIT_OK && columns == COLUMN_AUTHOR && json_array_size(entries) > 0)
        cli_say(cli, "kith fs conflicts keep PATH chooses the version that is shown under PATH");
    json_decref(entries);
    return x;
}

int cmd_fs_ls(struct cli *cli)
{
    const char *path = cli_arg(cli, 0);
    json_t *request = json_pack("{s:s,s:b,s:b}", "path", path != NULL ? path : "", "recursive",
                                (int)args_flag(&cli->args, "recursive"), "deleted",
                                (int)args_flag(&cli->args, "deleted"));

    return list(cli, "fs.ls", request, args_flag(&cli->args, "long") ? COLUMN_MODE : 0,
                path != NULL ? "nothing is in there"
                             : "no shares yet; kith share add NAME FOLDER makes one");
}

int cmd_fs_find(struct cli *cli)
{
    const char *path = cli_arg(cli, 1);
    json_t *request =
        json_pack("{s:s,s:s,s:b}", "path", path != NULL ? path : "", "pattern", cli_arg(cli, 0),
                  "any_case", (int)args_flag(&cli->args, "ignore-case"));

    return list(cli, "fs.find", request, 0, "nothing fits");
}

/* ---- tree ---- */

/* Where the last part of a path begins, and how deep it stands below @base. */
static size_t depth_below(const char *path, size_t base_len, const char **name_out)
{
    size_t depth = 0;
    const char *name = path + base_len;

    while (*name == '/')
        name++;
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '/') {
            depth++;
            name = at + 1;
        }
    }
    *name_out = name;
    return depth;
}

static void print_branch(json_t *entry, size_t base_len)
{
    const char *name, *path = cli_json_text(entry, "path");
    size_t depth = depth_below(path, base_len, &name);
    char clean[1100], size[32] = "", note[600];

    if (strcmp(cli_json_text(entry, "kind"), "file") == 0)
        text_size(cli_json_u64(entry, "size", 0), size, sizeof(size));
    note_text(entry, note, sizeof(note));
    printf("%*s%s%s%s%s%s%s\n", (int)(2 * depth), "", cli_clean(name, clean, sizeof(clean)),
           kind_mark(entry), size[0] != '\0' ? "  " : "", size, note[0] != '\0' ? "  " : "", note);
}

int cmd_fs_tree(struct cli *cli)
{
    const char *path = cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : "";
    json_t *entries, *entry;
    size_t at;
    int x =
        fs_ask_pages(cli, "fs.ls", json_pack("{s:s,s:b}", "path", path, "recursive", 1), &entries);

    if (x == EXIT_OK && cli->json) {
        x = print_entries(cli, "fs.ls", entries);
    } else if (x == EXIT_OK) {
        json_array_foreach(entries, at, entry) print_branch(entry, strlen(path));
    }
    json_decref(entries);
    return x;
}

/* ---- one ---- */

static void show_author(json_t *entry)
{
    const char *address = cli_json_text(entry, "author_address");
    char clean[300];

    if (cli_json_text(entry, "author")[0] == '\0')
        return;
    printf("author    %s%s%s%s\n", cli_clean(cli_json_text(entry, "author"), clean, sizeof(clean)),
           address[0] != '\0' ? " (" : "", address, address[0] != '\0' ? ")" : "");
}

static int show_stat(struct cli *cli, json_t *result)
{
    json_t *entry = json_object_get(result, "entry");
    char when[48], size[32], holders[512], note[600], clean[1400];
    uint64_t bytes = cli_json_u64(entry, "size", 0);

    (void)cli;
    holders_text(entry, holders, sizeof(holders));
    note_text(entry, note, sizeof(note));
    printf("path      %s\nkind      %s\n",
           cli_clean(cli_json_text(entry, "path"), clean, sizeof(clean)),
           cli_json_text(entry, "kind"));
    if (strcmp(cli_json_text(entry, "kind"), "file") == 0)
        printf("size      %llu (%s)\nhash      %s\n", (unsigned long long)bytes,
               text_size(bytes, size, sizeof(size)), cli_json_text(entry, "hash"));
    if (cli_json_text(entry, "target")[0] != '\0')
        printf("target    %s\n", cli_clean(cli_json_text(entry, "target"), clean, sizeof(clean)));
    printf("modified  %s\n", when_text(entry, "modified", when, sizeof(when)));
    show_author(entry);
    printf("holders   %s\n", holders);
    if (note[0] != '\0')
        printf("note      %s\n", note);
    return EXIT_OK;
}

int cmd_fs_stat(struct cli *cli)
{
    return cli_ask_and_show(cli, "fs.stat", json_pack("{s:s}", "path", cli_arg(cli, 0)),
                            FS_TIMEOUT_MS, show_stat);
}

/* ---- changes ---- */

static int said(struct cli *cli, const char *verb, json_t *request, const char *done)
{
    struct cli_reply reply;
    char schema[64];
    int x = cli_ask(cli, verb, request, UINT64_MAX, &reply);

    if (x != EXIT_OK)
        return x;
    if (cli->json) {
        snprintf(schema, sizeof(schema), "kith.%s/1", verb);
        return cli_print_json(cli, json_incref(reply.result), schema);
    }
    uint64_t n = cli_json_u64(reply.result, "count", 1);
    cli_say(cli, "%s %llu entr%s", done, (unsigned long long)n, n == 1 ? "y" : "ies");
    return EXIT_OK;
}

int cmd_fs_rm(struct cli *cli)
{
    return said(cli, "fs.rm",
                json_pack("{s:s,s:b,s:b}", "path", cli_arg(cli, 0), "recursive",
                          (int)args_flag(&cli->args, "recursive"), "many",
                          (int)args_flag(&cli->args, "yes")),
                "deleted");
}

int cmd_fs_restore(struct cli *cli)
{
    return said(cli, "fs.restore", json_pack("{s:s}", "path", cli_arg(cli, 0)), "restored");
}

int cmd_fs_evict(struct cli *cli)
{
    const char *path = cli_arg(cli, 0);

    return said(cli, "fs.evict", json_pack("{s:s}", "path", path != NULL ? path : ""),
                "out of the cache:");
}

int cmd_fs_conflicts(struct cli *cli)
{
    const char *first = cli_arg(cli, 0);
    bool keep = first != NULL && strcmp(first, "keep") == 0;

    if (!keep && cli_arg(cli, 1) != NULL)
        return cli_fail(cli, EXIT_USAGE, "kith help fs conflicts",
                        "kith fs conflicts takes one PATH, or keep PATH");
    if (!keep)
        return list(cli, "fs.conflicts", json_pack("{s:s}", "path", first != NULL ? first : ""),
                    COLUMN_AUTHOR, "no conflicts");
    if (cli_arg(cli, 1) == NULL)
        return cli_fail(cli, EXIT_USAGE, "kith help fs conflicts",
                        "keep needs the PATH of the version that is to stay");
    return said(
        cli, "fs.keep",
        json_pack("{s:s,s:b}", "path", cli_arg(cli, 1), "both", (int)args_flag(&cli->args, "both")),
        "resolved");
}

/* ---- the cache ---- */

static int show_cache(struct cli *cli, json_t *result)
{
    static const char *const keys[] = {"memory_bytes",        "memory_bytes_max", "disk_bytes",
                                       "disk_bytes_max",      "keep_bytes",       "pinned_bytes",
                                       "fetching_bytes",      "fetched_bytes",    "reused_bytes",
                                       "pinned_missing_bytes"};
    char texts[10][32];
    uint64_t memory = cli_json_u64(result, "memory_hits", 0);
    uint64_t disk = cli_json_u64(result, "disk_hits", 0);
    uint64_t all = memory + disk + cli_json_u64(result, "misses", 0);
    double part = all > 0 ? 100.0 / (double)all : 0;

    (void)cli;
    for (size_t i = 0; i < 9; i++)
        text_size(cli_json_u64(result, keys[i], 0), texts[i], sizeof(texts[i]));
    printf("memory    %s of %s\ndisk      %s of %s\nkept      %s (copies, and what was put here)\n"
           "pinned    %s by %llu paths, of which %s are to come\n",
           texts[0], texts[1], texts[2], texts[3], texts[4], texts[5],
           (unsigned long long)cli_json_u64(result, "pins", 0), texts[9]);
    printf("hits      %.1f%% memory, %.1f%% disk, %.1f%% fetched of %llu reads\n",
           part * (double)memory, part * (double)disk, part * (double)(all - memory - disk),
           (unsigned long long)all);
    printf(
        "machine   %llu%% of its memory is used; above %llu%% what is cached moves to the disk\n",
        (unsigned long long)cli_json_u64(result, "memory_used_percent", 0),
        (unsigned long long)cli_json_u64(result, "memory_mark_percent", 0));
    printf("fetching  %llu, %s; %s since the start\n",
           (unsigned long long)cli_json_u64(result, "fetching", 0), texts[6], texts[7]);
    printf("reused    %s, that were here in another version of what was copied\n", texts[8]);
    return EXIT_OK;
}

int cmd_fs_cache(struct cli *cli)
{
    return cli_ask_and_show(cli, "fs.cache", NULL, FS_TIMEOUT_MS, show_cache);
}

/* ---- being told ---- */

static void show_change(json_t *change)
{
    json_t *entry = json_object_get(change, "entry");
    char path[1400], from[1400], size[32], author[300];
    const char *former = cli_json_text(change, "from");
    time_t now = time(NULL);
    struct tm local;
    char when[32] = "";

    if (localtime_r(&now, &local) != NULL)
        (void)strftime(when, sizeof(when), "%H:%M:%S", &local);
    printf("%s  %-10s  %s", when, cli_json_text(change, "type"),
           cli_clean(cli_json_text(change, "path"), path, sizeof(path)));
    if (former[0] != '\0')
        printf(" (was %s)", cli_clean(former, from, sizeof(from)));
    if (strcmp(cli_json_text(entry, "kind"), "file") == 0)
        printf("  %s", text_size(cli_json_u64(entry, "size", 0), size, sizeof(size)));
    printf("  by %s\n", cli_clean(cli_json_text(change, "author"), author, sizeof(author)));
}

static int follow(struct cli *cli, const char *verb, json_t *request)
{
    uint64_t count = args_u64(&cli->args, "count", UINT64_MAX);
    struct cli_reply reply;
    int x = cli_send(cli, verb, request, NULL, 0, NULL);

    while (x == EXIT_OK && count > 0) {
        x = cli_receive(cli, UINT64_MAX, &reply);
        if (x != EXIT_OK)
            break;
        if (strcmp(cli_json_text(reply.result, "type"), "watching") == 0) {
            cli_say(cli, "watching %s; Ctrl-C stops",
                    cli_arg(cli, 0) != NULL ? cli_arg(cli, 0) : "all shares");
            continue;
        }
        count--;
        if (cli_json_u64(reply.result, "missed", 0) > 0)
            cli_say(cli, "%llu changes before this one were too many to be told",
                    (unsigned long long)cli_json_u64(reply.result, "missed", 0));
        if (cli->json) {
            x = cli_print_json_line(cli, reply.result);
        } else {
            show_change(reply.result);
            x = fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
        }
    }
    return x;
}

int cmd_fs_watch(struct cli *cli)
{
    const char *path = cli_arg(cli, 0);

    return follow(cli, "fs.watch", json_pack("{s:s}", "path", path != NULL ? path : ""));
}

int cmd_fs_track(struct cli *cli)
{
    char *path = realpath(cli_arg(cli, 0), NULL);
    json_t *request;

    if (path == NULL)
        return cli_fail(cli, EXIT_NOT_FOUND, NULL, "there is no file or folder %s",
                        cli_arg(cli, 0));
    request =
        json_pack("{s:s,s:b}", "local", path, "recursive", (int)args_flag(&cli->args, "recursive"));
    free(path);
    return follow(cli, "fs.track", request);
}
