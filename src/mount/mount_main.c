/*
 * kith-mount: all shares as a directory of this machine, by FUSE. It asks the node over its control
 * socket: listing is local there, and what is read is fetched, checked and cached there, piece by
 * piece. A file that is written is put when it is closed (draft.h).
 *
 *     kith-mount --socket PATH [--foreground] [--read-only] MOUNTPOINT
 *
 * Left out: links, owners, devices, extended attributes, locks. Shares are made with `kith share
 * add`, so nothing can be made beside them. A file is renamed by putting it anew; for a directory
 * the kernel is told to copy (EXDEV), as between two disks.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "mount/agent.h"
#include "mount/draft.h"
#include "mount/tree.h"

/* What is asked for at once where a file is read in order, twice as much each time: fewer
 * questions, and the next ones wait in memory. */
#define WINDOW_MIN (256 * 1024)
#define WINDOW_MAX (8 * 1024 * 1024)
/* Most bytes of one question of the kernel's. */
#define MAX_TRANSFER (1024 * 1024)
/* How long the kernel believes what it was told: others change files too. */
#define BELIEVED_S 1.0

struct mounted {
    struct agent *agent;
    struct drafts *drafts;
    struct tree *tree;
    const char *socket_path;
    bool read_only;
};

static struct mounted *mounted(void)
{
    return fuse_get_context()->private_data;
}

/* "/SHARE/file" as the catalogue names it. */
static const char *named(const char *path)
{
    return path + 1;
}

/* The root has shares in it and nothing else. */
static bool in_share(const char *path)
{
    return strchr(named(path), '/') != NULL;
}

/* ---- an open file ---- */

struct handle {
    struct draft *draft; /* that is being written, by this or by another; else NULL */
    bool writes;         /* this one: what it wrote is put when it is closed */
    char *hash;          /* of what is read: the same until it is closed */
    pthread_mutex_t lock;
    uint64_t begin; /* what was read ahead */
    size_t len;
    uint8_t *data;
    uint64_t expect; /* where it goes on if it is read in order */
    size_t window;   /* what was asked for last */
    int failed;      /* what the last question ended with */
    time_t failed_s;
};

static struct handle *handle_of(const struct fuse_file_info *info)
{
    return (struct handle *)(uintptr_t)info->fh; /* NOLINT(performance-no-int-to-ptr) */
}

static struct handle *handle_new(struct fuse_file_info *info)
{
    struct handle *handle = core_calloc(1, sizeof(*handle));

    if (handle == NULL)
        return NULL;
    (void)pthread_mutex_init(&handle->lock, NULL);
    info->fh = (uintptr_t)handle;
    return handle;
}

static void handle_free(struct handle *handle)
{
    (void)pthread_mutex_destroy(&handle->lock);
    core_free(handle->hash);
    core_free(handle->data);
    core_free(handle);
}

/* ---- looking ---- */

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    (void)info;
    memset(st, 0, sizeof(*st));
    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_nlink = 1;
    if (draft_stat(mounted()->drafts, named(path), st))
        return 0;
    return tree_stat(mounted()->tree, named(path), st);
}

struct filling {
    void *buffer;
    fuse_fill_dir_t fill;
};

static void fill_one(void *user, const char *name, const struct stat *st)
{
    const struct filling *filling = user;

    (void)filling->fill(filling->buffer, name, st, 0, FUSE_FILL_DIR_PLUS);
}

static int do_readdir(const char *path,
                      void *buffer,
                      fuse_fill_dir_t fill,
                      off_t offset,
                      struct fuse_file_info *info,
                      enum fuse_readdir_flags flags)
{
    struct filling filling = {buffer, fill};

    (void)offset;
    (void)info;
    (void)flags;
    (void)fill(buffer, ".", NULL, 0, 0);
    (void)fill(buffer, "..", NULL, 0, 0);
    int r = tree_list(mounted()->tree, named(path), fill_one, &filling);
    if (r == 0)
        draft_list(mounted()->drafts, named(path), fill_one, &filling);
    return r;
}

static int do_readlink(const char *path, char *out, size_t bytes)
{
    json_t *entry;
    int r = tree_entry(mounted()->tree, named(path), &entry);

    if (r != 0)
        return r;
    const char *target = json_string_value(json_object_get(entry, "target"));
    if (target != NULL)
        (void)snprintf(out, bytes, "%s", target);
    json_decref(entry);
    return target != NULL ? 0 : -EINVAL;
}

/* The room that is told is that of the node's disk, which has the socket. */
static int do_statfs(const char *path, struct statvfs *st)
{
    char dir[512];

    (void)path;
    (void)snprintf(dir, sizeof(dir), "%s", mounted()->socket_path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    int r = statvfs(dir, st) == 0 ? 0 : -errno;
    st->f_namemax = 255;
    return r;
}

/* ---- reading ---- */

static int open_read(struct mounted *m, const char *path, struct handle *handle)
{
    json_t *entry;
    int r = tree_entry(m->tree, path, &entry);

    if (r != 0)
        return r;
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const char *hash = json_string_value(json_object_get(entry, "hash"));
    if (kind == NULL || hash == NULL || strcmp(kind, "file") != 0)
        r = kind != NULL && strcmp(kind, "symlink") == 0 ? -ELOOP : -EISDIR;
    else
        handle->hash = core_strndup(hash, strlen(hash));
    json_decref(entry);
    return r != 0 ? r : handle->hash != NULL ? 0 : -ENOMEM;
}

static int
open_write(struct mounted *m, const char *path, mode_t mode, int flags, struct handle *handle)
{
    bool loaded = (flags & O_TRUNC) == 0;
    int r = draft_open(m->drafts, path, mode, loaded, (flags & O_CREAT) && (flags & O_EXCL),
                       &handle->draft);

    /* somebody deleted it since the kernel asked */
    if (r == 0 && !(flags & O_CREAT) && draft_is_new(m->drafts, handle->draft)) {
        draft_close(m->drafts, handle->draft);
        r = -ENOENT;
    }
    return r;
}

static int open_as(const char *path, mode_t mode, struct fuse_file_info *info)
{
    struct mounted *m = mounted();
    bool writes = (info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_CREAT);
    struct stat st;
    int r;

    if (writes && m->read_only)
        return -EROFS;
    if (writes && !in_share(path))
        return -EPERM;
    struct handle *handle = handle_new(info);
    if (handle == NULL)
        return -ENOMEM;
    /* what is just being written is read from there too */
    handle->writes = writes;
    if (writes || draft_stat(m->drafts, named(path), &st)) {
        r = open_write(m, named(path), mode, writes ? info->flags : 0, handle);
        info->direct_io = 1;
    } else {
        r = open_read(m, named(path), handle);
    }
    if (r != 0)
        handle_free(handle);
    return r;
}

static int do_open(const char *path, struct fuse_file_info *info)
{
    return open_as(path, 0644, info);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    info->flags |= O_CREAT;
    return open_as(path, mode, info);
}

/* A kernel asks again for what it could not read, and each time somebody would wait for nodes that
 * are not there. */
#define FAILED_S 5

static time_t now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Fetches what is from @at on into the window. */
static int
fetch(struct mounted *m, const char *path, struct handle *handle, uint64_t at, size_t count)
{
    struct answer answer;

    if (handle->failed != 0 && now_s() < handle->failed_s + FAILED_S)
        return handle->failed;
    int r = agent_ask(m->agent, "fs.read",
                      json_pack("{s:s,s:s,s:I,s:I}", "path", path, "hash", handle->hash, "offset",
                                (json_int_t)at, "count", (json_int_t)count),
                      NULL, 0, &answer);
    handle->failed = r;
    handle->failed_s = now_s();
    if (r != 0)
        return r;
    uint8_t *grown = core_realloc(handle->data, answer.len + 1);
    if (grown != NULL) {
        memcpy(grown, answer.data, answer.len);
        handle->data = grown;
        handle->begin = at;
        handle->len = answer.len;
    }
    answer_done(&answer);
    return grown != NULL ? 0 : -ENOMEM;
}

/* The lock is held. As many of the bytes from @at on as there are in the window. */
static size_t from_window(const struct handle *handle, uint64_t at, char *out, size_t bytes)
{
    if (at < handle->begin || at >= handle->begin + handle->len)
        return 0;
    size_t skip = (size_t)(at - handle->begin);
    size_t n = handle->len - skip < bytes ? handle->len - skip : bytes;
    memcpy(out, handle->data + skip, n);
    return n;
}

static int
read_window(const char *path, struct handle *handle, char *out, size_t bytes, uint64_t at)
{
    size_t done = 0;
    int r = 0;

    (void)pthread_mutex_lock(&handle->lock);
    while (r == 0 && done < bytes) {
        size_t n = from_window(handle, at + done, out + done, bytes - done);
        done += n;
        if (n > 0)
            continue;
        size_t wanted = bytes - done;
        bool in_order = at == handle->expect;
        size_t window = in_order ? 2 * handle->window : 0;
        window = window > WINDOW_MAX ? WINDOW_MAX : window;
        handle->window = window < WINDOW_MIN ? WINDOW_MIN : window;
        if (in_order && wanted < handle->window)
            wanted = handle->window;
        r = fetch(mounted(), path, handle, at + done, wanted);
        if (r == 0 && handle->len == 0)
            break; /* the end */
    }
    handle->expect = at + done;
    (void)pthread_mutex_unlock(&handle->lock);
    return r != 0 ? r : (int)done;
}

static int do_read(const char *path, char *out, size_t bytes, off_t at, struct fuse_file_info *info)
{
    struct handle *handle = handle_of(info);

    if (handle->draft == NULL)
        return read_window(named(path), handle, out, bytes, (uint64_t)at);
    ssize_t n = pread(handle->draft->fd, out, bytes, at);
    return n < 0 ? -errno : (int)n;
}

/* ---- writing ---- */

static int
do_write(const char *path, const char *data, size_t bytes, off_t at, struct fuse_file_info *info)
{
    const struct handle *handle = handle_of(info);
    struct stat st;

    (void)path;
    if (!handle->writes)
        return -EBADF;
    if ((info->flags & O_APPEND) && fstat(handle->draft->fd, &st) == 0)
        at = st.st_size;
    ssize_t n = pwrite(handle->draft->fd, data, bytes, at);
    if (n < 0)
        return -errno;
    draft_touched(mounted()->drafts, handle->draft);
    return (int)n;
}

/* What close() answers. */
static int do_flush(const char *path, struct fuse_file_info *info)
{
    const struct handle *handle = handle_of(info);

    (void)path;
    return handle->writes ? draft_put(mounted()->drafts, handle->draft) : 0;
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)data_only;
    return do_flush(path, info);
}

static int do_release(const char *path, struct fuse_file_info *info)
{
    struct handle *handle = handle_of(info);

    (void)path;
    if (handle->draft != NULL)
        draft_close(mounted()->drafts, handle->draft);
    handle_free(handle);
    return 0;
}

/* Changes of what is open for writing, or of a file that is opened for it: with what is to be done
 * to its draft, which is put then unless somebody has it open. */
static int change(const char *path,
                  struct fuse_file_info *info,
                  int (*how)(struct draft *draft, const void *what),
                  const void *what)
{
    struct mounted *m = mounted();
    struct draft *draft = info != NULL ? handle_of(info)->draft : NULL;
    bool own = draft == NULL;
    int r = 0;

    if (m->read_only)
        return -EROFS;
    if (!in_share(path))
        return -EPERM;
    if (own)
        r = draft_open(m->drafts, named(path), 0644, true, false, &draft);
    if (r != 0)
        return r;
    if (own && draft_is_new(m->drafts, draft))
        r = -ENOENT;
    if (r == 0)
        r = how(draft, what);
    if (own) {
        if (r == 0)
            r = draft_put(m->drafts, draft);
        draft_close(m->drafts, draft);
    }
    return r;
}

static int set_length(struct draft *draft, const void *what)
{
    const off_t *length = what;

    if (ftruncate(draft->fd, *length) != 0)
        return -errno;
    draft_touched(mounted()->drafts, draft);
    return 0;
}

static int do_truncate(const char *path, off_t length, struct fuse_file_info *info)
{
    return change(path, info, set_length, &length);
}

static int set_mode(struct draft *draft, const void *what)
{
    draft_set(mounted()->drafts, draft, what, NULL);
    return 0;
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    struct stat st;
    int r = do_getattr(path, &st, info);

    /* of a folder nothing is kept */
    if (r != 0 || S_ISDIR(st.st_mode))
        return r;
    return change(path, info, set_mode, &mode);
}

static int set_time(struct draft *draft, const void *what)
{
    const struct timespec *times = what;

    struct timespec now = {.tv_nsec = UTIME_OMIT}; /* when it is put */

    draft_set(mounted()->drafts, draft, NULL, times[1].tv_nsec == UTIME_NOW ? &now : &times[1]);
    return 0;
}

static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    struct stat st;
    int r = do_getattr(path, &st, info);

    if (r != 0 || S_ISDIR(st.st_mode) || times[1].tv_nsec == UTIME_OMIT)
        return r;
    return change(path, info, set_time, times);
}

/* All files are those of whoever mounted them; to say so once more is fine. */
static int do_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *info)
{
    (void)path;
    (void)info;
    return (uid == (uid_t)-1 || uid == getuid()) && (gid == (gid_t)-1 || gid == getgid()) ? 0
                                                                                          : -EPERM;
}

/* ---- names ---- */

static int changes_names(const char *path)
{
    return mounted()->read_only ? -EROFS : in_share(path) ? 0 : -EPERM;
}

static int remove_file(const char *path)
{
    struct mounted *m = mounted();
    struct answer answer;
    struct stat st;
    bool drafted = draft_stat(m->drafts, path, &st);

    draft_removed(m->drafts, path);
    int r = agent_ask(m->agent, "fs.rm", json_pack("{s:s,s:b}", "path", path, "many", 1), NULL, 0,
                      &answer);
    answer_done(&answer);
    if (r == -ENOENT && drafted)
        r = 0; /* it was never put */
    if (r == 0)
        tree_keep_dirs_of(m->tree, path);
    return r;
}

static int do_unlink(const char *path)
{
    int r = changes_names(path);

    return r == 0 ? remove_file(named(path)) : r;
}

static int do_mkdir(const char *path, mode_t mode)
{
    int r = changes_names(path);

    (void)mode;
    return r == 0 ? tree_mkdir(mounted()->tree, named(path)) : r;
}

static int do_rmdir(const char *path)
{
    int r = changes_names(path);

    return r == 0 ? tree_rmdir(mounted()->tree, named(path)) : r;
}

/* What is open under the former name stays open, under the new one. */
static int rename_file(struct mounted *m, const char *from, const char *to)
{
    struct draft *draft;
    struct stat st = {0};
    int r = draft_open(m->drafts, from, 0644, true, false, &draft);

    if (r != 0)
        return r;
    if (draft_is_new(m->drafts, draft)) {
        draft_close(m->drafts, draft);
        return -ENOENT;
    }
    if (!draft_has_time(m->drafts, draft) && tree_stat(m->tree, from, &st) == 0)
        draft_set(m->drafts, draft, NULL, &st.st_mtim);
    r = draft_rename(m->drafts, draft, to);
    if (r == 0)
        r = draft_put(m->drafts, draft);
    if (r != 0)
        (void)draft_rename(m->drafts, draft, from);
    draft_close(m->drafts, draft);
    if (r != 0)
        return r;
    r = remove_file(from);
    return r == -ENOENT ? 0 : r; /* it was never put under that name */
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
    struct mounted *m = mounted();
    struct stat st, other;
    int r = changes_names(from);

    if (r == 0)
        r = changes_names(to);
    if (r == 0)
        r = do_getattr(from, &st, NULL);
    if (r != 0)
        return r;
    if (!S_ISREG(st.st_mode))
        return -EXDEV; /* mv copies then */
    r = do_getattr(to, &other, NULL);
    if (r == 0 && flags != 0)
        return flags == RENAME_NOREPLACE ? -EEXIST : -EINVAL;
    if (r == 0 && S_ISDIR(other.st_mode))
        return -EISDIR;
    return strcmp(from, to) == 0 ? 0 : rename_file(m, named(from), named(to));
}

/* ---- the program ---- */

static void *do_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    connection->max_readahead = MAX_TRANSFER;
    connection->max_write = MAX_TRANSFER;
    config->use_ino = 0;
    config->entry_timeout = config->attr_timeout = BELIEVED_S;
    config->negative_timeout = 0;
    config->auto_cache =
        1; /* what was read stays with the kernel while time and size are the same */
    config->hard_remove = 1;
    return fuse_get_context()->private_data;
}

static const struct fuse_operations operations = {
    .init = do_init,
    .getattr = do_getattr,
    .readdir = do_readdir,
    .readlink = do_readlink,
    .statfs = do_statfs,
    .open = do_open,
    .create = do_create,
    .read = do_read,
    .write = do_write,
    .flush = do_flush,
    .fsync = do_fsync,
    .release = do_release,
    .truncate = do_truncate,
    .chmod = do_chmod,
    .chown = do_chown,
    .utimens = do_utimens,
    .unlink = do_unlink,
    .mkdir = do_mkdir,
    .rmdir = do_rmdir,
    .rename = do_rename,
};

/* 3.14 complains of its own default. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 12)
#define THREADS ",max_threads=10"
#else
#define THREADS ""
#endif

static int run(struct mounted *m, const char *mountpoint, bool foreground)
{
    char options[64];
    union {
        const char *in[8];
        char *out[8];
    } argv = {.in = {"kith-mount", mountpoint, "-o", options, foreground ? "-f" : NULL}};

    (void)snprintf(options, sizeof(options), "fsname=kith,subtype=kith,default_permissions%s%s",
                   m->read_only ? ",ro" : "", THREADS);
    return fuse_main(foreground ? 5 : 4, argv.out, &operations, m);
}

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: kith-mount --socket PATH [--foreground] [--read-only] MOUNTPOINT; kith "
                  "help fs mount says more\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"foreground", no_argument, NULL, 'f'},
                                            {"read-only", no_argument, NULL, 'r'},
                                            {0}};
    struct mounted m = {0};
    bool foreground = false;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            m.socket_path = optarg;
        else if (option == 'f')
            foreground = true;
        else if (option == 'r')
            m.read_only = true;
        else
            return usage();
    }
    if (m.socket_path == NULL || optind + 1 != argc)
        return usage();
    /* in the background it is in another directory */
    char *socket_path = realpath(m.socket_path, NULL);
    if (socket_path == NULL) {
        (void)fprintf(stderr, "kith-mount: %s: %s; kith agent starts a node\n", m.socket_path,
                      strerror(errno));
        return 1;
    }
    m.socket_path = socket_path;
    m.agent = agent_new(m.socket_path);
    m.drafts = m.agent != NULL ? drafts_new(m.agent) : NULL;
    m.tree = m.drafts != NULL ? tree_new(m.agent, m.read_only) : NULL;
    if (m.tree == NULL) {
        (void)fprintf(stderr, "kith-mount: out of memory\n");
        return 1;
    }
    int r = run(&m, argv[optind], foreground);
    tree_free(m.tree);
    drafts_free(m.drafts);
    agent_free(m.agent);
    free(socket_path);
    return r;
}
