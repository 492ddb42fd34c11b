/*
 * The scanner. It goes down depth first, with one open directory and one buffer of names a level,
 * so what it holds is bounded by the depth of the tree and not by its size. A directory is watched
 * before it is read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "fs/folder.h"
#include "fs/watch.h"
#include "kith/error.h"

#define NAMES_BYTES (32 * 1024)             /* of a level: some thousand names */
#define BATCH_BYTES (256 * 1024)            /* names and targets of a batch */
#define PATH_BYTES  (FS_PATH_BYTES_MAX * 4) /* the file system's; longer ones are refused later */

struct level {
    int fd;
    size_t path_len; /* of its directory in scan.path */
    long n, at;      /* of names */
    char *names;
};

struct fs_scanner {
    char *path;
    struct fs_watch *watch;
    struct fs_ignore *ignore;
    bool bare;                              /* .kithignore is a file like others */
    struct level levels[FS_SCAN_DEPTH_MAX]; /* buffers stay from one scan to the next */
};

struct scan {
    struct fs_scanner *scanner;
    struct fs_ignore *ignore; /* a fresh one, if all is scanned */
    const atomic_bool *stop;
    fs_scan_fn fn;
    void *user;
    bool one_level;
    struct fs_folder folder;
    struct fs_scan_result *result;
    bool blind;
    unsigned depth; /* levels in use */
    char path[PATH_BYTES + 1];
    struct local_seen *seen;
    size_t seen_n;
    char *room; /* names and targets of the batch */
    size_t room_n;
};

/* ---- batches ---- */

static int flush(struct scan *scan)
{
    struct fs_scan_item item = {.kind = FS_SCAN_SEEN, .seen = scan->seen, .n = scan->seen_n};
    int r;

    item.root = scan->folder.root;
    if (scan->seen_n == 0)
        return 0;
    r = scan->fn(scan->user, &item);
    scan->seen_n = 0;
    scan->room_n = 0;
    return r;
}

/* A place in the batch, with a copy of scan->path, and room for a target behind it. */
static int next_seen(struct scan *scan, size_t path_len, struct local_seen **seen_out)
{
    size_t need = path_len + 1 + FS_TARGET_BYTES_MAX + 1;
    int r = 0;

    if (scan->seen_n == FS_SCAN_BATCH_MAX || scan->room_n + need > BATCH_BYTES)
        r = flush(scan);
    if (r != 0)
        return r;
    memcpy(scan->room + scan->room_n, scan->path, path_len);
    scan->room[scan->room_n + path_len] = '\0';
    *seen_out = &scan->seen[scan->seen_n++];
    **seen_out = (struct local_seen){.name = scan->room + scan->room_n, .name_len = path_len};
    scan->room_n += path_len + 1;
    return 0;
}

static int tell_unreadable(struct scan *scan, size_t path_len, int errnum)
{
    struct local_seen *seen;
    int r = next_seen(scan, path_len, &seen);

    if (r == 0) {
        seen->found = LOCAL_UNREADABLE;
        seen->text = folder_why(errnum);
    }
    return r;
}

/* ---- rules ---- */

static int tell_rules(struct scan *scan, size_t path_len, const void *text, size_t len)
{
    struct fs_scan_item item = {
        .kind = FS_SCAN_RULES, .name = scan->path, .name_len = path_len, .data = {text, len}};
    int r = flush(scan);

    item.root = scan->folder.root;
    scan->path[path_len] = '\0';
    if (r == 0)
        r = fs_ignore_set(scan->ignore, scan->path, text, len);
    if (r == KITH_E_TOO_LARGE || r == KITH_E_LIMIT)
        r = 0; /* all in there is ignored; the machine finds the same and tells */
    return r == 0 ? scan->fn(scan->user, &item) : r;
}

/* Up to @bytes of the file; -1. */
static ssize_t read_rules(int fd, char *text, size_t bytes)
{
    size_t n = 0;

    while (n < bytes) {
        ssize_t got = read(fd, text + n, bytes - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

/* The rules of the directory at @level, before what is in it. */
static int scan_rules(struct scan *scan, const struct level *level)
{
    static const char everything[] = "*\n";
    core_autofree char *text = NULL;
    int fd = openat(level->fd, FS_IGNORE_FILE,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    ssize_t n = -1;
    struct stat st;

    scan->path[level->path_len] = '\0';
    if (fd < 0 && errno == ENOENT)
        return fs_ignore_knows(scan->scanner->ignore, scan->path)
                   ? tell_rules(scan, level->path_len, "", 0)
                   : 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        text = core_malloc(FS_IGNORE_FILE_BYTES_MAX + 1);
        n = text != NULL ? read_rules(fd, text, FS_IGNORE_FILE_BYTES_MAX + 1) : -1;
    }
    if (fd >= 0)
        close(fd);
    if (n < 0) /* nobody knows what is not to be shared */
        return tell_rules(scan, level->path_len, everything, sizeof(everything) - 1);
    return tell_rules(scan, level->path_len, text, (size_t)n);
}

/* ---- down ---- */

static void leave_level(struct scan *scan)
{
    struct level *level = &scan->scanner->levels[--scan->depth];

    close(level->fd);
    level->fd = -1;
}

static int watch_dir(struct scan *scan, int fd, size_t path_len)
{
    struct fs_scan_item item = {.kind = FS_SCAN_BLIND};
    int r;

    if (scan->scanner->watch == NULL || scan->blind)
        return 0;
    r = fs_watch_add(scan->scanner->watch, fd, scan->path, path_len);
    if (r == 0 || r == KITH_E_MEMORY)
        return r;
    scan->blind = true; /* what is watched already stays so */
    item.root = scan->folder.root;
    item.text = kith_errmsg();
    return scan->fn(scan->user, &item);
}

/* Opens scan->path, of @path_len, as the next level. 0 also if it cannot be opened, which is told.
 */
static int enter_level(struct scan *scan, size_t path_len)
{
    struct level *level = &scan->scanner->levels[scan->depth];
    int r;

    if (scan->depth == FS_SCAN_DEPTH_MAX)
        return tell_unreadable(scan, path_len, ENAMETOOLONG);
    if (level->names == NULL)
        level->names = core_malloc(NAMES_BYTES);
    if (level->names == NULL)
        return KITH_E_MEMORY;
    scan->path[path_len] = '\0';
    level->fd = folder_openat(scan->folder.fd, scan->path, O_RDONLY | O_DIRECTORY | O_NOATIME);
    if (level->fd < 0 && errno == EPERM)
        level->fd = folder_openat(scan->folder.fd, scan->path, O_RDONLY | O_DIRECTORY);
    if (level->fd < 0) {
        /* Gone meanwhile: who looks for what was in it will see. */
        bool gone = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
        return gone ? 0 : tell_unreadable(scan, path_len, errno);
    }
    level->path_len = path_len;
    level->n = level->at = 0;
    scan->depth++;
    r = watch_dir(scan, level->fd, path_len);
    return r != 0 || scan->scanner->bare ? r : scan_rules(scan, level);
}

/* One name in @level: tells it, and goes into it if it is a directory. */
static int
scan_name(struct scan *scan, const struct level *level, const struct folder_dirent *entry)
{
    size_t len = strlen(entry->name), at = level->path_len + (level->path_len > 0);
    struct local_seen *seen;
    bool is_mount, is_dir;
    int r;

    if (at + len > PATH_BYTES)
        return tell_unreadable(scan, level->path_len, ENAMETOOLONG);
    if (level->path_len > 0)
        scan->path[level->path_len] = '/';
    memcpy(scan->path + at, entry->name, len + 1);
    if (at + len > FS_PATH_BYTES_MAX)
        return tell_unreadable(scan, at + len, ENAMETOOLONG);
    if (entry->type != DT_UNKNOWN &&
        fs_ignore_has_here(scan->ignore, scan->path, entry->type == DT_DIR))
        return 0;
    r = next_seen(scan, at + len, &seen);
    if (r != 0)
        return r;
    if (folder_statx(level->fd, entry->name, &seen->stat, &is_mount) != 0) {
        scan->seen_n -= errno == ENOENT; /* gone meanwhile */
        seen->found = LOCAL_UNREADABLE;
        seen->text = folder_why(errno);
        return 0;
    }
    is_dir = seen->stat.kind == FS_DIRECTORY;
    if (fs_ignore_has_here(scan->ignore, scan->path, is_dir)) {
        scan->seen_n--;
        return 0;
    }
    folder_judge(seen);
    if (is_mount) {
        seen->found = LOCAL_UNREADABLE;
        seen->text = folder_why(EXDEV);
    }
    scan->result->entries_n++;
    if (seen->found == LOCAL_FOUND && seen->stat.kind == FS_SYMLINK) {
        char *target = scan->room + scan->room_n;
        ssize_t n = readlinkat(level->fd, entry->name, target, FS_TARGET_BYTES_MAX + 1);
        folder_target(seen, target, n);
        scan->room_n += n > 0 ? (size_t)n : 0;
    }
    return seen->found == LOCAL_FOUND && is_dir && !scan->one_level ? enter_level(scan, at + len)
                                                                    : 0;
}

/* The next name of the deepest level; leaves it at its end. */
static int scan_next(struct scan *scan)
{
    struct level *level = &scan->scanner->levels[scan->depth - 1];
    const struct folder_dirent *entry;
    int r;

    if (level->at >= level->n) {
        if (scan->stop != NULL && atomic_load(scan->stop))
            return kith_fail_with(KITH_E_CANCELED, "the scan was ended");
        level->n = syscall(SYS_getdents64, level->fd, level->names, NAMES_BYTES);
        level->at = 0;
        if (level->n < 0) {
            r = tell_unreadable(scan, level->path_len, errno);
            leave_level(scan);
            return r;
        }
        if (level->n == 0) {
            leave_level(scan);
            return 0;
        }
    }
    entry = (const void *)(level->names + level->at);
    level->at += entry->bytes;
    return folder_is_dots(entry->name) ? 0 : scan_name(scan, level, entry);
}

/* ---- the whole ---- */

static int begin(struct scan *scan, const char *name)
{
    size_t len = strlen(name);
    int fd;

    if (len > PATH_BYTES)
        return kith_fail_with(KITH_E_NOT_FOUND, "%s: its path is too long", name);
    memcpy(scan->path, name, len + 1);
    if (len > 0 && fs_ignore_has(scan->ignore, name, true))
        return 0;
    fd = folder_openat(scan->folder.fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return kith_fail_with(KITH_E_NOT_FOUND, "%s: no such directory", name);
    if (fd < 0)
        return tell_unreadable(scan, len, errno);
    close(fd);
    return enter_level(scan, len);
}

static int run(struct scan *scan, const char *name)
{
    int r;

    scan->seen = core_malloc(FS_SCAN_BATCH_MAX * sizeof(*scan->seen));
    scan->room = core_malloc(BATCH_BYTES);
    r = scan->seen == NULL || scan->room == NULL ? KITH_E_MEMORY : begin(scan, name);
    while (r == 0 && scan->depth > 0)
        r = scan_next(scan);
    while (scan->depth > 0)
        leave_level(scan);
    if (r == 0)
        r = flush(scan);
    if (r == 0)
        scan->result->root_empty = fs_folder_is_empty(&scan->folder);
    core_free(scan->seen);
    core_free(scan->room);
    return r;
}

int fs_scan(struct fs_scanner *scanner,
            const char *name,
            bool one_level,
            const atomic_bool *stop,
            fs_scan_fn fn,
            void *user,
            struct fs_scan_result *result_out)
{
    struct scan *scan = core_calloc(1, sizeof(*scan));
    bool whole = name[0] == '\0';
    int r;

    *result_out = (struct fs_scan_result){0};
    if (scan == NULL)
        return KITH_E_MEMORY;
    *scan = (struct scan){.scanner = scanner,
                          .ignore = scanner->ignore,
                          .stop = stop,
                          .fn = fn,
                          .user = user,
                          .one_level = one_level,
                          .result = result_out};
    r = fs_folder_open(&scan->folder, scanner->path);
    if (r == 0) {
        result_out->root = scan->folder.root;
        /* Rules of directories that are gone are not taken along. */
        if (whole)
            r = fs_ignore_new(&scan->ignore, scanner->bare);
        if (r == 0)
            r = run(scan, name);
        if (whole && r == 0) {
            fs_ignore_free(scanner->ignore);
            scanner->ignore = scan->ignore;
        } else if (whole && scan->ignore != scanner->ignore) {
            fs_ignore_free(scan->ignore);
        }
        fs_folder_close(&scan->folder);
    }
    core_free(scan);
    return r;
}

int fs_scanner_new(struct fs_scanner **scanner_out,
                   const char *path,
                   struct fs_watch *watch,
                   bool bare)
{
    struct fs_scanner *scanner = core_calloc(1, sizeof(*scanner));

    if (scanner == NULL)
        return KITH_E_MEMORY;
    scanner->watch = watch;
    scanner->bare = bare;
    scanner->path = core_strndup(path, strlen(path));
    if (scanner->path == NULL || fs_ignore_new(&scanner->ignore, bare) != 0) {
        fs_scanner_free(scanner);
        return KITH_E_MEMORY;
    }
    *scanner_out = scanner;
    return 0;
}

void fs_scanner_free(struct fs_scanner *scanner)
{
    if (scanner == NULL)
        return;
    for (unsigned i = 0; i < FS_SCAN_DEPTH_MAX; i++)
        core_free(scanner->levels[i].names);
    fs_ignore_free(scanner->ignore);
    core_free(scanner->path);
    core_free(scanner);
}
