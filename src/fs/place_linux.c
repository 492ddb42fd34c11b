/*
 * Writing into a folder. What is to be there is made beside it, under a name that is ignored, and
 * then changes places with what is there in one step (RENAME_EXCHANGE). So what was there is looked
 * at when nobody can put anything else in its place any more: if it is not what was expected, the
 * places are changed back and nothing has happened.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "fs/files_internal.h"
#include "fs/name.h"
#include "kith/error.h"

#define TEMP_BEFORE FS_OWN_BEFORE

struct place {
    struct fs_files *files;
    const struct fs_placing *want;
    int dir_fd; /* of the directory that it is in */
    const char *base;
    char temp[64];
};

static int changed(const struct place *p)
{
    return kith_fail_with(KITH_E_AGAIN, "%s: it was changed meanwhile; nothing was written",
                          p->want->name);
}

static int failed(const struct place *p)
{
    if (errno == ELOOP || errno == EXDEV)
        return kith_fail_with(KITH_E_UNSUPPORTED, "%s: a symlink or mount is on the way to it",
                              p->want->name);
    return files_failed("cannot write", p->want->name, errno);
}

/* What a rename leaves as it is; ctime it does not. */
static bool is_expected(const struct fs_stat *now, const struct fs_stat *expect)
{
    return now->kind == expect->kind && now->inode == expect->inode && now->size == expect->size &&
           now->mtime_ns == expect->mtime_ns && now->mode == expect->mode;
}

/* ---- the way there ---- */

/* Makes a directory, and has it on the disk before anybody who finds it there counts on it. 0,
 * also if it is there; else errno says why. */
static int make_dir(struct fs_files *files, int dir_fd, const char *name)
{
    int fd, r;

    pthread_mutex_lock(&files->lock);
    r = mkdirat(dir_fd, name, 0755);
    if (r == 0) { /* dir_fd is for names alone */
        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd >= 0 && fsync(fd) == 0 ? 0 : -1;
        if (fd >= 0)
            close(fd);
    } else if (errno == EEXIST) {
        r = 0;
    }
    pthread_mutex_unlock(&files->lock);
    return r;
}

/* Opens the directory of the name, and makes what is missing on the way, if @may_make. */
static int open_parent(struct place *p, bool may_make)
{
    char path[FS_PATH_BYTES_MAX * 4];
    const char *name = p->want->name, *slash = strrchr(name, '/');
    size_t len = slash != NULL ? (size_t)(slash - name) : 0;

    p->base = slash != NULL ? slash + 1 : name;
    if (len >= sizeof(path) || p->base[0] == '\0')
        return kith_fail_with(KITH_E_NAME, "%s: is no name of a file", name);
    for (size_t at = 0; may_make && at < len;) {
        const char *end = memchr(name + at + 1, '/', len - at - 1);
        size_t to = end != NULL ? (size_t)(end - name) : len;
        const char *part;
        int fd;

        memcpy(path, name, at);
        path[at] = '\0';
        fd = folder_openat(p->want->folder->fd, path, O_PATH | O_DIRECTORY);
        if (fd < 0)
            return failed(p);
        memcpy(path, name, to);
        path[to] = '\0';
        part = path + at + (at > 0);
        if (make_dir(p->files, fd, part) != 0) {
            int r = failed(p);
            close(fd);
            return r;
        }
        close(fd);
        at = to;
    }
    memcpy(path, name, len);
    path[len] = '\0';
    p->dir_fd = folder_openat(p->want->folder->fd, path, O_RDONLY | O_DIRECTORY);
    if (p->dir_fd >= 0)
        return 0;
    /* Of a file that is to go nothing is there, then. */
    return errno == ENOENT || errno == ENOTDIR ? changed(p) : failed(p);
}

/* Is there what is expected, or nothing where nothing is? */
static int check_there(const struct place *p)
{
    struct fs_stat now;
    const struct fs_stat *expect = p->want->expect;

    if (folder_statx(p->dir_fd, p->base, &now, NULL) != 0)
        return errno != ENOENT ? failed(p) : expect == NULL ? 0 : changed(p);
    if (expect == NULL)
        return changed(p);
    if (expect->kind == FS_DIRECTORY)
        return fs_stat_same_inode(&now, expect) ? 0 : changed(p);
    return fs_stat_same(&now, expect) ? 0 : changed(p);
}

/* From now on a crash may leave something in a folder. */
static int set_mark(struct fs_files *files)
{
    int fd, r = 0;

    pthread_mutex_lock(&files->lock);
    if (!files->placing) {
        fd = openat(files->fd, PLACING_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        r = fd < 0 ? files_failed("cannot write to", files->dir, errno) : 0;
        if (fd >= 0)
            close(fd);
        if (r == 0)
            r = files_sync(files->fd, files->dir);
        files->placing = r == 0;
    }
    pthread_mutex_unlock(&files->lock);
    return r;
}

/* ---- the new one ---- */

static struct timespec time_of(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    if (time.tv_nsec < 0) { /* before 1970 */
        time.tv_sec--;
        time.tv_nsec += 1000000000;
    }
    return time;
}

static int make_file(struct place *p)
{
    const struct fs_placing *want = p->want;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time_of(want->mtime_ns)};
    int fd, r = files_room(p->dir_fd, want->name, want->size);

    if (r != 0)
        return r;
    fd = openat(p->dir_fd, p->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(p);
    r = files_copy(want->fd, fd, want->size, want->name);
    if (r == 0 && (fchmod(fd, want->mode & 0777) != 0 || futimens(fd, times) != 0))
        r = failed(p);
    if (r == 0)
        r = files_sync(fd, want->name);
    close(fd);
    return r;
}

static int make_symlink(struct place *p)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time_of(p->want->mtime_ns)};

    if (symlinkat(p->want->target, p->dir_fd, p->temp) != 0)
        return failed(p);
    (void)utimensat(p->dir_fd, p->temp, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

/* ---- changing places ---- */

static int finish(struct place *p, struct fs_stat *stat_out)
{
    int r = files_sync(p->dir_fd, p->want->name);

    if (r == 0 && stat_out != NULL && folder_statx(p->dir_fd, p->base, stat_out, NULL) != 0)
        *stat_out = (struct fs_stat){0};
    return r;
}

/* temp becomes name, where nothing is. */
static int put_new(struct place *p)
{
    if (renameat2(p->dir_fd, p->temp, p->dir_fd, p->base, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL && linkat(p->dir_fd, p->temp, p->dir_fd, p->base, 0) == 0)
        return unlinkat(p->dir_fd, p->temp, 0) == 0 ? 0 : failed(p);
    return errno == EEXIST ? changed(p) : failed(p);
}

/* What was swapped out is at temp: into the trash, or all back. */
static int keep_old(struct place *p)
{
    struct fs_stat old;
    int r;

    if (folder_statx(p->dir_fd, p->temp, &old, NULL) != 0)
        r = failed(p);
    else if (!is_expected(&old, p->want->expect))
        r = changed(p);
    else
        r = trash_take(p->files, p->dir_fd, p->temp, p->want->share, p->want->name);
    return r;
}

static int put_instead(struct place *p)
{
    int r;

    if (renameat2(p->dir_fd, p->temp, p->dir_fd, p->base, RENAME_EXCHANGE) != 0) {
        if (errno == ENOENT)
            return changed(p);
        if (errno == EINVAL)
            return kith_fail_with(KITH_E_UNSUPPORTED,
                                  "%s: its file system cannot exchange two files in one step, "
                                  "without which a change by somebody else could be lost; share a "
                                  "folder of another file system with --sync",
                                  p->want->name);
        return failed(p);
    }
    r = keep_old(p);
    if (r != 0) {
        (void)renameat2(p->dir_fd, p->temp, p->dir_fd, p->base, RENAME_EXCHANGE);
        return r;
    }
    return 0;
}

static int place_new(struct place *p, struct fs_stat *stat_out)
{
    int r = p->want->kind == FS_FILE ? make_file(p) : make_symlink(p);

    if (r == 0)
        r = p->want->expect == NULL ? put_new(p) : put_instead(p);
    if (r != 0) {
        (void)unlinkat(p->dir_fd, p->temp, 0);
        return r;
    }
    return finish(p, stat_out);
}

/* ---- deletions, directories ---- */

static int take_away(struct place *p)
{
    int r;

    if (p->want->expect->kind == FS_DIRECTORY) {
        if (unlinkat(p->dir_fd, p->base, AT_REMOVEDIR) == 0)
            return 0;
        return errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT ? changed(p) : failed(p);
    }
    if (renameat2(p->dir_fd, p->base, p->dir_fd, p->temp, RENAME_NOREPLACE) != 0)
        return errno == ENOENT ? changed(p) : failed(p);
    r = keep_old(p);
    if (r != 0)
        (void)renameat2(p->dir_fd, p->temp, p->dir_fd, p->base, RENAME_NOREPLACE);
    return r;
}

static int place_directory(struct place *p, struct fs_stat *stat_out)
{
    const struct fs_stat *expect = p->want->expect;
    int fd, r = 0;

    if (expect != NULL && expect->kind != FS_DIRECTORY)
        r = take_away(p);
    if (r != 0)
        return r;
    if ((expect == NULL || expect->kind != FS_DIRECTORY) && mkdirat(p->dir_fd, p->base, 0700) != 0)
        return errno == EEXIST ? changed(p) : failed(p);
    fd = openat(p->dir_fd, p->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed(p);
    if (fchmod(fd, p->want->mode & 0777) != 0)
        r = failed(p);
    close(fd);
    return r != 0 ? r : finish(p, stat_out);
}

int fs_place(struct fs_files *files, const struct fs_placing *placing, struct fs_stat *stat_out)
{
    struct place p = {.files = files, .want = placing, .dir_fd = -1};
    int r;

    *stat_out = (struct fs_stat){0};
    files_temp_name(files, TEMP_BEFORE, p.temp);
    r = open_parent(&p, placing->kind != FS_DELETED);
    if (r == 0)
        r = check_there(&p);
    if (r == 0)
        r = set_mark(files);
    if (r == 0 && placing->kind == FS_DELETED)
        r = placing->expect == NULL ? 0 : take_away(&p);
    else if (r == 0 && placing->kind == FS_DIRECTORY)
        r = place_directory(&p, stat_out);
    else if (r == 0 && placing->expect != NULL && placing->expect->kind == FS_DIRECTORY) {
        r = take_away(&p);
        p.want = &(struct fs_placing){.folder = placing->folder,
                                      .name = placing->name,
                                      .share = placing->share,
                                      .kind = placing->kind,
                                      .mode = placing->mode,
                                      .mtime_ns = placing->mtime_ns,
                                      .fd = placing->fd,
                                      .size = placing->size,
                                      .target = placing->target};
        if (r == 0)
            r = place_new(&p, stat_out);
    } else if (r == 0) {
        r = place_new(&p, stat_out);
    }
    if (r == 0 && placing->kind == FS_DELETED)
        r = finish(&p, NULL);
    if (p.dir_fd >= 0)
        close(p.dir_fd);
    return r;
}

/* ---- after a crash ---- */

static bool is_left(const struct fs_files *files, const char *name)
{
    char own[32];
    size_t len = strlen(name);

    (void)snprintf(own, sizeof(own), TEMP_BEFORE "%016llx-", (unsigned long long)files->tag);
    return len > 10 && strncmp(name, TEMP_BEFORE, strlen(TEMP_BEFORE)) == 0 &&
           strcmp(name + len - 4, ".tmp") == 0 && strncmp(name, own, strlen(own)) != 0;
}

struct recovery {
    struct fs_files *files;
    const char *share;
    int found;
    char path[FS_PATH_BYTES_MAX * 4];
};

static int recover_in(struct recovery *r, int dir_fd, size_t len, unsigned depth)
{
    DIR *dir = fdopendir(dir_fd);
    const struct dirent *entry;
    int code = 0;

    if (dir == NULL) {
        close(dir_fd);
        return 0; /* what cannot be read was not written either */
    }
    while (code == 0 && (entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        size_t at = len + (len > 0), name_len = strlen(entry->d_name);
        struct fs_stat stat;
        bool is_mount;

        if (folder_is_dots(entry->d_name) || at + name_len >= sizeof(r->path) ||
            folder_statx(dirfd(dir), entry->d_name, &stat, &is_mount) != 0)
            continue;
        if (len > 0)
            r->path[len] = '/';
        memcpy(r->path + at, entry->d_name, name_len + 1);
        if (stat.kind == FS_DIRECTORY && !is_mount && depth > 0) {
            int fd =
                openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd >= 0)
                code = recover_in(r, fd, at + name_len, depth - 1);
        } else if (stat.kind != FS_DIRECTORY && is_left(r->files, entry->d_name)) {
            code = trash_take(r->files, dirfd(dir), entry->d_name, r->share, r->path);
            r->found += code == 0;
        }
    }
    (void)closedir(dir);
    return code;
}

int fs_place_recover(struct fs_files *files, const struct fs_folder *folder, const char *share)
{
    struct recovery r = {.files = files, .share = share};
    int fd, code;

    if (!files->crashed)
        return 0;
    fd = folder_openat(folder->fd, "", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return files_failed("cannot read", share, errno);
    code = recover_in(&r, fd, 0, 128);
    return code != 0 ? code : r.found;
}
