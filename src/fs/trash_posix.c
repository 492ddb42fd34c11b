/*
 * The trash: what was replaced or deleted in folders, for some days. A file and a text beside it
 * that says where it was; the text is written first, so that no file is without one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "fs/files_internal.h"
#include "kith/error.h"

#define NAME_BYTES 40
#define TEXT_BYTES (FS_PATH_BYTES_MAX * 4 + FS_TARGET_BYTES_MAX + 1024)
#define SURE_MS    (60 * 60 * 1000) /* of this process, before anything goes */
#define HEADER     "kith trash 1\n"

static void name_of(uint64_t id, const char *end, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%020" PRIu64 "%s", id, end);
}

static uint64_t wall_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what is there ---- */

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? 1 : *x > *y ? -1 : 0; /* newest first */
}

/* All ids, newest first, as an array of uint64_t in @ids_out. */
static int read_ids(const struct fs_files *files, struct buf *ids_out)
{
    int fd = openat(files->trash_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return files_failed("cannot read the trash in", files->dir, errno);
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        char *end;
        uint64_t id = strtoull(entry->d_name, &end, 10);
        if (end == entry->d_name + 20 && strcmp(end, ".txt") == 0)
            r = buf_append(ids_out, &id, sizeof(id));
    }
    (void)closedir(dir);
    if (r == 0 && ids_out->len > 0)
        qsort(ids_out->data, ids_out->len / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
    return r;
}

static const char *line_of(char *text, const char *key)
{
    size_t len = strlen(key);

    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (strncmp(line, key, len) == 0 && line[len] == ' ') {
            if (end != NULL)
                *end = '\0';
            return line + len + 1;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return NULL;
}

/* A key's text out of the entry's; each into its own piece of @room, which has TEXT_BYTES. */
static char *field(const char *text, const char *key, char *room, size_t *at)
{
    core_autofree char *copy = core_strndup(text, strlen(text));
    const char *value = copy != NULL ? line_of(copy, key) : NULL;
    char *out = room + *at;
    size_t len = value != NULL ? strlen(value) : 0;

    if (value == NULL || *at + len + 1 > TEXT_BYTES)
        return NULL;
    memcpy(out, value, len + 1);
    *at += len + 1;
    return out;
}

static ssize_t read_text(const struct fs_files *files, uint64_t id, char *text)
{
    char name[NAME_BYTES];
    ssize_t n;
    int fd;

    name_of(id, ".txt", name);
    fd = openat(files->trash_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    n = read(fd, text, TEXT_BYTES - 1);
    close(fd);
    if (n >= 0)
        text[n] = '\0';
    return n;
}

/* False: there is no such entry, or no whole one. */
static bool
read_entry(const struct fs_files *files, uint64_t id, char *room, struct fs_trashed *trashed_out)
{
    core_autofree char *text = core_malloc(TEXT_BYTES);
    const char *kind, *mode, *mtime, *size;
    char name[NAME_BYTES];
    size_t at = 0;

    if (text == NULL || read_text(files, id, text) < (ssize_t)strlen(HEADER) ||
        strncmp(text, HEADER, strlen(HEADER)) != 0)
        return false;
    *trashed_out = (struct fs_trashed){.id = id, .wall_ms = id >> 10};
    trashed_out->share = field(text, "share", room, &at);
    trashed_out->name = field(text, "name", room, &at);
    kind = field(text, "kind", room, &at);
    mode = field(text, "mode", room, &at);
    mtime = field(text, "mtime", room, &at);
    size = field(text, "size", room, &at);
    trashed_out->target = field(text, "target", room, &at);
    if (trashed_out->share == NULL || trashed_out->name == NULL || kind == NULL || mode == NULL ||
        mtime == NULL || size == NULL)
        return false;
    trashed_out->kind = strcmp(kind, "symlink") == 0 ? FS_SYMLINK : FS_FILE;
    trashed_out->mode = (uint32_t)strtoul(mode, NULL, 8) & 07777u;
    trashed_out->mtime_ns = strtoll(mtime, NULL, 10);
    trashed_out->size = strtoull(size, NULL, 10);
    if (trashed_out->kind == FS_SYMLINK)
        return trashed_out->target != NULL;
    name_of(id, "", name);
    return faccessat(files->trash_fd, name, F_OK, 0) == 0;
}

int fs_trash_each(const struct fs_files *files, fs_trash_fn fn, void *user)
{
    core_autofree char *room = core_malloc(TEXT_BYTES);
    struct buf ids = {0};
    int r = room == NULL ? KITH_E_MEMORY : read_ids(files, &ids);

    for (size_t i = 0; r == 0 && i < ids.len / sizeof(uint64_t); i++) {
        struct fs_trashed trashed;
        uint64_t id;
        memcpy(&id, ids.data + i * sizeof(id), sizeof(id));
        if (read_entry(files, id, room, &trashed))
            r = fn(user, &trashed);
    }
    buf_deinit(&ids);
    return r;
}

int fs_trash_open(const struct fs_files *files, uint64_t id)
{
    char name[NAME_BYTES];
    int fd;

    name_of(id, "", name);
    fd = openat(files->trash_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        return fd;
    return errno == ENOENT ? KITH_E_NOT_FOUND : files_failed("cannot open", name, errno);
}

static void remove_entry(struct fs_files *files, uint64_t id)
{
    char name[NAME_BYTES];

    name_of(id, "", name);
    (void)unlinkat(files->trash_fd, name, 0);
    name_of(id, ".txt", name);
    (void)unlinkat(files->trash_fd, name, 0);
}

/* ---- in ---- */

static uint64_t next_id(struct fs_files *files)
{
    uint64_t id = wall_now_ms() << 10;

    pthread_mutex_lock(&files->lock);
    if (id <= files->trash_id)
        id = files->trash_id + 1;
    files->trash_id = id;
    pthread_mutex_unlock(&files->lock);
    return id;
}

static int write_text(struct fs_files *files, uint64_t id, const struct buf *text)
{
    char name[NAME_BYTES];
    int fd, r;

    name_of(id, ".txt", name);
    fd = openat(files->trash_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_failed("cannot write to the trash in", files->dir, errno);
    r = fs_write_all(fd, text->data, text->len, 0);
    if (r == 0)
        r = files_sync(fd, name);
    close(fd);
    if (r != 0)
        (void)unlinkat(files->trash_fd, name, 0);
    return r;
}

/* The trash is on another file system than the folder. */
static int copy_in(struct fs_files *files, int dir_fd, const char *temp, uint64_t id, uint64_t size)
{
    char name[NAME_BYTES], half[64];
    int from = openat(dir_fd, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = -1;
    int r = from >= 0 ? fs_files_room(files, size) : files_failed("cannot read", temp, errno);

    files_temp_name(files, "", half);
    if (r == 0) {
        to = openat(files->tmp_fd, half, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = to >= 0 ? files_copy(from, to, size, temp)
                    : files_failed("cannot write to", files->dir, errno);
    }
    if (r == 0)
        r = files_sync(to, half);
    name_of(id, "", name);
    if (r == 0 && renameat(files->tmp_fd, half, files->trash_fd, name) != 0)
        r = files_failed("cannot write to the trash in", files->dir, errno);
    if (r == 0)
        r = files_sync(files->trash_fd, files->dir);
    if (r == 0 && unlinkat(dir_fd, temp, 0) != 0)
        r = files_failed("cannot remove", temp, errno);
    if (r != 0)
        (void)unlinkat(files->tmp_fd, half, 0);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    return r;
}

static int move_in(
    struct fs_files *files, int dir_fd, const char *temp, uint64_t id, const struct fs_stat *stat)
{
    char name[NAME_BYTES];

    name_of(id, "", name);
    if (stat->kind == FS_SYMLINK)
        return unlinkat(dir_fd, temp, 0) == 0 ? 0 : files_failed("cannot remove", temp, errno);
    if (renameat(dir_fd, temp, files->trash_fd, name) == 0) {
        int r = files_sync(files->trash_fd, files->dir);
        if (r != 0)
            (void)renameat(files->trash_fd, name, dir_fd, temp);
        return r;
    }
    if (errno != EXDEV)
        return files_failed("cannot move to the trash:", temp, errno);
    return copy_in(files, dir_fd, temp, id, stat->size);
}

int trash_take(
    struct fs_files *files, int dir_fd, const char *temp, const char *share, const char *name)
{
    char target[FS_TARGET_BYTES_MAX + 1];
    struct buf text = {0};
    struct fs_stat stat;
    uint64_t id = next_id(files);
    ssize_t n = 0;
    int r;

    if (folder_statx(dir_fd, temp, &stat, NULL) != 0)
        return files_failed("cannot look at", name, errno);
    r = buf_printf(&text, HEADER "share %s\nname %s\nkind %s\nmode %04o\nmtime %lld\nsize %llu\n",
                   share, name, stat.kind == FS_SYMLINK ? "symlink" : "file", stat.mode,
                   (long long)stat.mtime_ns, (unsigned long long)stat.size);
    if (r == 0 && stat.kind == FS_SYMLINK) {
        n = readlinkat(dir_fd, temp, target, FS_TARGET_BYTES_MAX);
        r = n < 0 ? files_failed("cannot read", name, errno)
                  : buf_printf(&text, "target %.*s\n", (int)n, target);
    }
    if (r == 0)
        r = write_text(files, id, &text);
    buf_deinit(&text);
    if (r != 0)
        return r;
    r = move_in(files, dir_fd, temp, id, &stat);
    if (r != 0)
        remove_entry(files, id);
    return r;
}

/* ---- out ---- */

int fs_trash_restore(struct fs_files *files,
                     uint64_t id,
                     const struct fs_folder *folder,
                     const char *name,
                     struct fs_stat *stat_out)
{
    core_autofree char *room = core_malloc(TEXT_BYTES);
    struct fs_trashed trashed;
    struct fs_placing placing = {.folder = folder, .name = name, .fd = -1};
    int r;

    if (room == NULL)
        return KITH_E_MEMORY;
    if (!read_entry(files, id, room, &trashed))
        return kith_fail_with(KITH_E_NOT_FOUND, "%s: is not in the trash any more", name);
    placing.share = trashed.share;
    placing.kind = trashed.kind;
    placing.mode = trashed.mode;
    placing.mtime_ns = trashed.mtime_ns;
    placing.size = trashed.size;
    placing.target = trashed.target;
    if (trashed.kind == FS_FILE) {
        placing.fd = fs_trash_open(files, id);
        if (placing.fd < 0)
            return placing.fd;
    }
    r = fs_place(files, &placing, stat_out);
    if (placing.fd >= 0)
        close(placing.fd);
    if (r == KITH_E_AGAIN)
        return kith_fail_with(KITH_E_EXISTS,
                              "%s: exists; move it away, or restore under another "
                              "name",
                              name);
    if (r == 0)
        remove_entry(files, id);
    return r;
}

int fs_trash_expire(struct fs_files *files, uint64_t wall_ms, uint64_t now_ms)
{
    struct buf ids = {0};
    int r, removed = 0;

    pthread_mutex_lock(&files->lock);
    if (files->opened_ms == 0)
        files->opened_ms = now_ms > 0 ? now_ms : 1;
    bool sure = now_ms >= files->opened_ms + SURE_MS;
    pthread_mutex_unlock(&files->lock);
    if (!sure)
        return 0;
    r = read_ids(files, &ids);
    for (size_t i = 0; r == 0 && i < ids.len / sizeof(uint64_t); i++) {
        uint64_t id;
        memcpy(&id, ids.data + i * sizeof(id), sizeof(id));
        if ((id >> 10) + FS_TRASH_MS > wall_ms)
            continue;
        remove_entry(files, id);
        removed++;
    }
    buf_deinit(&ids);
    return r != 0 ? r : removed;
}
