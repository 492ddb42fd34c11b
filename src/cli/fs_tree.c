/* kith fs get -r, put -r: all that a directory has, file by file. What fails is said, and the rest
 * goes on. */
#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/fs_copy.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "kith/fs.h"

struct tree {
    struct cli *cli;
    const char *from, *to; /* directories without a slash at the end */
    struct fs_copied copied;
    uint64_t failed, left_out;
    int last; /* exit code of what failed last */
};

/* One of its files ended with @x. False: it is no use to go on. */
static bool go_on(struct tree *tree, int x)
{
    if (x == EXIT_OK)
        return true;
    tree->failed++;
    tree->last = x;
    cli_disconnect(tree->cli);
    return x != EXIT_NO_AGENT;
}

/* A / and what @path has behind @base, behind @to. Freed by the caller; NULL if memory is short. */
static char *beneath(const char *to, const char *base, const char *path)
{
    struct buf buf = {0};
    const char *rest = path + strlen(base);

    while (*rest == '/')
        rest++;
    if (buf_append_text(&buf, to) == 0 && (*rest == '\0' || buf_append_u8(&buf, '/') == 0) &&
        buf_append_text(&buf, rest) == 0 && buf_append_u8(&buf, '\0') == 0)
        return (char *)buf.data;
    buf_deinit(&buf);
    return NULL;
}

static int no_memory(struct cli *cli)
{
    return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
}

static int tree_end(struct tree *tree)
{
    struct cli *cli = tree->cli;
    uint64_t ms = cli_now_ms() - tree->copied.bar.began_ms;
    char size[32], rate[32], left[64] = "", failed[64] = "";

    bar_end(&tree->copied.bar);
    if (tree->left_out > 0)
        snprintf(left, sizeof(left), "; %llu left out, neither files nor directories",
                 (unsigned long long)tree->left_out);
    if (tree->failed > 0)
        snprintf(failed, sizeof(failed), "; %llu failed", (unsigned long long)tree->failed);
    cli_say(cli, "%s: %llu files, %s, %s/s%s%s", tree->to, (unsigned long long)tree->copied.files,
            text_size(tree->copied.bytes, size, sizeof(size)),
            text_size(tree->copied.bytes * 1000 / (ms > 0 ? ms : 1), rate, sizeof(rate)), left,
            failed);
    if (tree->failed == 0)
        return EXIT_OK;
    return tree->copied.files > 0 && tree->last != EXIT_NO_AGENT ? EXIT_PARTLY : tree->last;
}

/* @path without slashes at its end; a / alone stays. Freed by the caller; NULL if memory is short.
 */
static char *without_slashes(const char *path)
{
    size_t len = strlen(path);
    struct buf buf = {0};

    while (len > 1 && path[len - 1] == '/')
        len--;
    if (buf_append(&buf, path, len) == 0 && buf_append_u8(&buf, '\0') == 0)
        return (char *)buf.data;
    buf_deinit(&buf);
    return NULL;
}

/* ---- get ---- */

/* Leaves errno as it is. */
static bool is_directory(const char *path)
{
    int failed = errno;
    struct stat st;
    bool is = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = failed;
    return is;
}

/* @path, and what is missing between it and the tree's. */
static int make_directories(struct tree *tree, char *path)
{
    char *at = path + strlen(tree->to);

    for (;;) {
        char c = *at;
        *at = '\0';
        int x = mkdir(path, 0777) == 0 || (errno == EEXIST && is_directory(path))
                    ? EXIT_OK
                    : cli_fail_errno(tree->cli, "cannot be made", path);
        *at = c;
        if (x != EXIT_OK || c == '\0')
            return x;
        char *slash = strchr(at + 1, '/');
        at = slash != NULL ? slash : at + strlen(at);
    }
}

static int make_parents(struct tree *tree, char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || slash < path + strlen(tree->to))
        return EXIT_OK;
    *slash = '\0';
    int x = make_directories(tree, path);
    *slash = '/';
    return x;
}

/* Instead of a link that is there; never instead of anything else. */
static int make_link(struct tree *tree, json_t *entry, const char *out)
{
    struct stat st;

    if (lstat(out, &st) == 0 && S_ISLNK(st.st_mode))
        (void)unlink(out);
    return symlink(cli_json_text(entry, "target"), out) == 0
               ? EXIT_OK
               : cli_fail_errno(tree->cli, "cannot be made", out);
}

static int get_entry(struct tree *tree, json_t *entry, const char *kind)
{
    const char *path = cli_json_text(entry, "path");
    char *out = beneath(tree->to, tree->from, path);
    int x = out == NULL ? no_memory(tree->cli) : EXIT_OK;

    if (x == EXIT_OK && strcmp(kind, "directory") == 0)
        x = make_directories(tree, out);
    else if (x == EXIT_OK)
        x = make_parents(tree, out);
    if (x == EXIT_OK && strcmp(kind, "file") == 0)
        x = fs_get_file(tree->cli, path, out, &tree->copied);
    else if (x == EXIT_OK && strcmp(kind, "symlink") == 0)
        x = make_link(tree, entry, out);
    core_free(out);
    return x;
}

/* Links come last, so that no file is written by way of one. */
static int get_entries(struct tree *tree, json_t *entries)
{
    json_t *entry;
    size_t i;

    bar_begin(&tree->copied.bar, tree->cli, tree->from);
    json_array_foreach(entries, i, entry)
    {
        if (strcmp(cli_json_text(entry, "kind"), "file") == 0)
            tree->copied.all_bytes += cli_json_u64(entry, "size", 0);
    }
    for (int links = 0; links < 2; links++) {
        json_array_foreach(entries, i, entry)
        {
            const char *kind = cli_json_text(entry, "kind");
            if ((strcmp(kind, "symlink") == 0) == links &&
                !go_on(tree, get_entry(tree, entry, kind)))
                return tree_end(tree);
        }
    }
    return tree_end(tree);
}

/* What is beneath a directory is named by the path of its entry: with an @NODE @from is another. */
static int check_directory(struct cli *cli, json_t *entry, const char *from)
{
    const char *kind = cli_json_text(entry, "kind"), *path = cli_json_text(entry, "path");

    if (strcmp(kind, "directory") != 0 && strcmp(kind, "share") != 0)
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is a %s: get it without -r", from, kind);
    if (strcmp(path, from) == 0)
        return EXIT_OK;
    return cli_fail(
        cli, EXIT_USAGE, NULL,
        "%s: only of a file a node's version can be had; get %s, which has what all see", from,
        path);
}

static int get_directory(struct tree *tree, const char *out)
{
    struct cli *cli = tree->cli;
    struct cli_reply reply;
    json_t *entries = NULL;
    char *to = NULL;
    int x = cli_ask(cli, "fs.stat", json_pack("{s:s}", "path", tree->from), UINT64_MAX, &reply);

    if (x == EXIT_OK)
        x = check_directory(cli, json_object_get(reply.result, "entry"), tree->from);
    if (x == EXIT_OK)
        x = fs_ask_pages(cli, "fs.ls", json_pack("{s:s,s:b}", "path", tree->from, "recursive", 1),
                         &entries);
    if (x == EXIT_OK) {
        to = fs_out_path(out, tree->from);
        tree->to = to;
        x = to == NULL ? no_memory(cli) : make_directories(tree, to);
    }
    if (x == EXIT_OK)
        x = get_entries(tree, entries);
    json_decref(entries);
    core_free(to);
    return x;
}

int fs_get_tree(struct cli *cli, const char *path, const char *out)
{
    char *from = without_slashes(path);
    struct tree tree = {.cli = cli, .from = from};
    int x;

    if (out != NULL && strcmp(out, "-") == 0)
        x = cli_fail(cli, EXIT_USAGE, NULL, "a directory cannot go to stdout: -o takes a name");
    else
        x = from == NULL ? no_memory(cli) : get_directory(&tree, out);
    core_free(from);
    return x;
}

/* ---- put ---- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Paths, each with a NUL, go to @found. */
static int find_one(struct tree *tree, const FTSENT *entry, struct buf *found)
{
    switch (entry->fts_info) {
    case FTS_F:
        tree->copied.all_bytes += (uint64_t)entry->fts_statp->st_size;
        return buf_append(found, entry->fts_path, strlen(entry->fts_path) + 1) == 0
                   ? EXIT_OK
                   : no_memory(tree->cli);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        errno = entry->fts_errno;
        (void)go_on(tree, cli_fail_errno(tree->cli, "cannot be read", entry->fts_path));
        return EXIT_OK;
    default:
        tree->left_out += entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE ||
                          entry->fts_info == FTS_DEFAULT;
        return EXIT_OK;
    }
}

static int find(struct tree *tree, char *dir, struct buf *found)
{
    char *const roots[] = {dir, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    int x = fts == NULL ? cli_fail_errno(tree->cli, "cannot be read", dir) : EXIT_OK;

    while (x == EXIT_OK && (entry = fts_read(fts)) != NULL)
        x = find_one(tree, entry, found);
    if (fts != NULL)
        (void)fts_close(fts);
    return x;
}

static bool put_found(struct tree *tree, const char *file)
{
    uint64_t before = tree->copied.bytes;
    char *path = beneath(tree->to, tree->from, file);
    int x = path == NULL ? no_memory(tree->cli) : fs_put_file(tree->cli, file, path, &tree->copied);

    core_free(path);
    if (x != EXIT_OK)
        tree->copied.bytes = before;
    return go_on(tree, x);
}

/* All is found before the first is put, as what is put may come to lie beneath @dir. */
static int put_entries(struct tree *tree, char *dir)
{
    struct buf found = {0};
    int x = find(tree, dir, &found);
    bool on = x == EXIT_OK;

    bar_begin(&tree->copied.bar, tree->cli, tree->from);
    for (size_t at = 0; on && at < found.len; at += strlen((char *)found.data + at) + 1)
        on = put_found(tree, (char *)found.data + at);
    buf_deinit(&found);
    return x == EXIT_OK ? tree_end(tree) : x;
}

/* What @from becomes: @path, or where that ends in a slash the directory's own name in there. */
static char *put_target(const char *from, const char *path)
{
    const char *slash = strrchr(from, '/');
    const char *name = slash != NULL ? slash + 1 : from;
    char *to = without_slashes(path);

    bool nameless = name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (to == NULL || path[0] == '\0' || path[strlen(path) - 1] != '/' || nameless)
        return to;
    char *within = beneath(to, "", name);
    core_free(to);
    return within;
}

int fs_put_tree(struct cli *cli, const char *dir, const char *path)
{
    struct stat st;
    char *from = without_slashes(dir);
    char *to = from != NULL ? put_target(from, path) : NULL;
    struct tree tree = {.cli = cli, .from = from, .to = to};
    int x;

    if (to == NULL)
        x = no_memory(cli);
    else if (stat(from, &st) != 0)
        x = errno == ENOENT ? cli_fail(cli, EXIT_NOT_FOUND, NULL, "there is no directory %s", from)
                            : cli_fail_errno(cli, "cannot be read", from);
    else if (!S_ISDIR(st.st_mode))
        x = cli_fail(cli, EXIT_USAGE, NULL, "%s is no directory: put it without -r", from);
    else
        x = put_entries(&tree, from);
    core_free(from);
    core_free(to);
    return x;
}
