/*
 * The watch of a folder, on Linux. Each directory has a watch of its own, and the kernel names
 * events by the watch and one name; so what it knows is a tree of directories, by which a watch
 * finds its path. The tree is changed by the scanner's thread (more directories) and by the loop
 * (what has moved away), under a lock that neither holds while it calls anybody.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/map.h"
#include "fs/local.h"
#include "fs/watch.h"
#include "kith/error.h"

#define EVENTS                                                                                     \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE |            \
     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK | IN_ONLYDIR)
#define NAME_BYTES (FS_PATH_BYTES_MAX * 4 + 256)

struct dir {
    struct dir *parent;
    struct dir *first, *next, *prev;
    struct dir *in_bucket;
    uint32_t serial;
    int wd; /* 0: not watched */
    char name[];
};

struct fs_watch {
    int fd;
    pthread_mutex_t lock;
    struct dir *top;
    struct map64 by_wd; /* struct dir; key: wd */
    struct dir **buckets;
    size_t buckets_n, dirs_n;
    uint32_t serials;
    struct fs_watch_stats count;
    /* The last event told, so that the same one in a row is told once. */
    char last[NAME_BYTES];
    size_t last_len;
    unsigned last_touch;
    uint8_t events[FS_WATCH_READ_BYTES] __attribute__((aligned(8)));
};

/* ---- the tree, under the lock ---- */

static size_t
bucket_of(const struct fs_watch *watch, const struct dir *parent, const char *name, size_t len)
{
    return hash_bytes(name, len, parent->serial) & (watch->buckets_n - 1);
}

static struct dir *
child_of(const struct fs_watch *watch, const struct dir *parent, const char *name, size_t len)
{
    struct dir *dir;

    if (watch->buckets_n == 0)
        return NULL;
    dir = watch->buckets[bucket_of(watch, parent, name, len)];
    while (dir != NULL &&
           (dir->parent != parent || strlen(dir->name) != len || memcmp(dir->name, name, len) != 0))
        dir = dir->in_bucket;
    return dir;
}

static void grow(struct fs_watch *watch)
{
    size_t n = watch->buckets_n == 0 ? 64 : watch->buckets_n * 2, old_n = watch->buckets_n;
    struct dir **old = watch->buckets, **buckets;

    if (watch->dirs_n < old_n)
        return;
    buckets = core_calloc(n, sizeof(*buckets));
    if (buckets == NULL)
        return;
    watch->buckets = buckets;
    watch->buckets_n = n;
    for (size_t i = 0; i < old_n; i++) {
        for (struct dir *dir = old[i], *next; dir != NULL; dir = next) {
            struct dir **at = &buckets[bucket_of(watch, dir->parent, dir->name, strlen(dir->name))];
            next = dir->in_bucket;
            dir->in_bucket = *at;
            *at = dir;
        }
    }
    core_free(old);
}

static struct dir *make(struct fs_watch *watch, struct dir *parent, const char *name, size_t len)
{
    struct dir *dir;
    struct dir **at;

    grow(watch);
    dir = watch->buckets_n == 0 ? NULL : core_calloc(1, sizeof(*dir) + len + 1);
    if (dir == NULL)
        return NULL;
    memcpy(dir->name, name, len);
    dir->parent = parent;
    dir->serial = ++watch->serials;
    dir->next = parent->first;
    if (dir->next != NULL)
        dir->next->prev = dir;
    parent->first = dir;
    at = &watch->buckets[bucket_of(watch, parent, name, len)];
    dir->in_bucket = *at;
    *at = dir;
    watch->dirs_n++;
    return dir;
}

static void unmake(struct fs_watch *watch, struct dir *dir)
{
    struct dir **at = &watch->buckets[bucket_of(watch, dir->parent, dir->name, strlen(dir->name))];

    while (*at != dir)
        at = &(*at)->in_bucket;
    *at = dir->in_bucket;
    if (dir->prev != NULL)
        dir->prev->next = dir->next;
    else
        dir->parent->first = dir->next;
    if (dir->next != NULL)
        dir->next->prev = dir->prev;
    watch->dirs_n--;
    core_free(dir);
}

static void prune(struct fs_watch *watch, struct dir *dir)
{
    while (dir->parent != NULL && dir->wd == 0 && dir->first == NULL) {
        struct dir *parent = dir->parent;
        unmake(watch, dir);
        dir = parent;
    }
}

/* As deep as it goes; NULL if there is no such directory and @may_make is false, or no memory. */
static struct dir *find(struct fs_watch *watch, const char *name, size_t len, bool may_make)
{
    struct dir *dir = watch->top;
    size_t at = 0;

    while (at < len && dir != NULL) {
        const char *slash = memchr(name + at, '/', len - at);
        size_t part = slash != NULL ? (size_t)(slash - name) - at : len - at;
        struct dir *child = child_of(watch, dir, name + at, part);
        if (child == NULL && may_make) {
            child = make(watch, dir, name + at, part);
            if (child == NULL)
                prune(watch, dir);
        }
        dir = child;
        at += part + 1;
    }
    return dir;
}

static void let_go(struct fs_watch *watch, struct dir *dir)
{
    if (dir->wd == 0)
        return;
    (void)map64_remove(&watch->by_wd, (uint64_t)dir->wd);
    (void)inotify_rm_watch(watch->fd, dir->wd);
    dir->wd = 0;
    watch->count.watches--;
}

static void drop(struct fs_watch *watch, struct dir *top)
{
    struct dir *dir = top;

    for (;;) {
        struct dir *up;

        while (dir->first != NULL)
            dir = dir->first;
        let_go(watch, dir);
        if (dir == top)
            break;
        up = dir->parent;
        unmake(watch, dir);
        dir = up;
    }
    prune(watch, top);
}

/* The path of @dir, and @name in it. 0 if it is too long. */
static size_t path_of(const struct dir *dir, const char *name, char out[NAME_BYTES])
{
    size_t len = strlen(name), at;

    for (const struct dir *d = dir; d->parent != NULL; d = d->parent)
        len += strlen(d->name) + 1;
    len -= name[0] == '\0' && len > 0;
    if (len >= NAME_BYTES)
        return 0;
    at = len - strlen(name);
    memcpy(out + at, name, strlen(name) + 1);
    for (const struct dir *d = dir; d->parent != NULL; d = d->parent) {
        size_t part = strlen(d->name);
        if (at < len || name[0] != '\0')
            out[--at] = '/';
        at -= part;
        memcpy(out + at, d->name, part);
    }
    assert(at == 0);
    return len;
}

/* ---- adding ---- */

static int add_failed(const char *name, int errnum)
{
    if (errnum == ENOSPC)
        return kith_fail_with(KITH_E_LIMIT,
                              "%s: the system allows no more watches, so changes are looked for "
                              "once a minute; raise fs.inotify.max_user_watches (sysctl)",
                              name);
    if (errnum == ENOMEM)
        return KITH_E_MEMORY;
    return kith_fail_with(KITH_E_IO, "%s: cannot be watched: %s", name, strerror(errnum));
}

static int add_locked(struct fs_watch *watch, int wd, const char *name, size_t name_len)
{
    struct dir *old = map64_find(&watch->by_wd, (uint64_t)wd);
    struct dir *dir = find(watch, name, name_len, true);

    if (dir == NULL)
        return KITH_E_MEMORY;
    if (dir == old)
        return 0;
    if (map64_set(&watch->by_wd, (uint64_t)wd, dir) != 0) {
        prune(watch, dir);
        return KITH_E_MEMORY;
    }
    if (dir->wd != 0) { /* another directory had this name */
        (void)map64_remove(&watch->by_wd, (uint64_t)dir->wd);
        (void)inotify_rm_watch(watch->fd, dir->wd);
        watch->count.watches--;
    }
    dir->wd = wd;
    if (old != NULL) { /* this directory had another name */
        old->wd = 0;
        prune(watch, old);
    } else {
        watch->count.watches++;
    }
    return 0;
}

int fs_watch_add(struct fs_watch *watch, int fd, const char *name, size_t name_len)
{
    char path[64];
    int wd, r;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    /* Under the lock, or a watch that the loop lets go of could be the one that is given here. */
    pthread_mutex_lock(&watch->lock);
    wd = inotify_add_watch(watch->fd, path, EVENTS);
    if (wd < 0) {
        watch->count.refused++;
        r = add_failed(name_len > 0 ? name : "the folder", errno);
    } else {
        r = add_locked(watch, wd, name, name_len);
    }
    pthread_mutex_unlock(&watch->lock);
    return r;
}

void fs_watch_drop(struct fs_watch *watch, const char *name, size_t name_len)
{
    struct dir *dir;

    pthread_mutex_lock(&watch->lock);
    dir = find(watch, name, name_len, false);
    if (dir != NULL)
        drop(watch, dir);
    pthread_mutex_unlock(&watch->lock);
}

/* ---- reading ---- */

static unsigned touch_of(uint32_t mask)
{
    unsigned touch = (mask & IN_ISDIR) != 0 ? LOCAL_TOUCH_DIR : 0;

    if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0)
        touch |= LOCAL_TOUCH_GONE;
    if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0)
        touch |= LOCAL_TOUCH_CLOSED;
    /* Attributes of a directory say nothing of what is in it. */
    if ((mask & IN_ATTRIB) != 0)
        touch = LOCAL_TOUCH_ANY;
    return touch;
}

/* Where @event is, and whether anybody is to be told; the tree is brought up to it. */
static bool resolve(struct fs_watch *watch,
                    const struct inotify_event *event,
                    const char *name,
                    char out[NAME_BYTES],
                    size_t *len_out)
{
    struct dir *dir = map64_find(&watch->by_wd, (uint64_t)event->wd), *gone;

    if (dir == NULL)
        return false; /* let go of meanwhile */
    if ((event->mask & IN_IGNORED) != 0) {
        (void)map64_remove(&watch->by_wd, (uint64_t)event->wd);
        dir->wd = 0;
        watch->count.watches--;
        prune(watch, dir);
        return false;
    }
    if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
        *len_out = 0;
        out[0] = '\0';
        return dir->parent == NULL; /* of others their directory tells */
    }
    if (name[0] == '\0')
        return false;
    *len_out = path_of(dir, name, out);
    if ((event->mask & IN_ISDIR) != 0 && (event->mask & IN_MOVED_FROM) != 0) {
        gone = child_of(watch, dir, name, strlen(name));
        if (gone != NULL)
            drop(watch, gone);
    }
    return *len_out > 0;
}

static void tell(struct fs_watch *watch,
                 const char *name,
                 size_t len,
                 unsigned touch,
                 fs_watch_fn fn,
                 void *user)
{
    struct fs_watch_event event = {.name = name, .name_len = len, .touch = touch};

    if (len > 0 && len == watch->last_len && touch == watch->last_touch &&
        memcmp(name, watch->last, len) == 0)
        return;
    memcpy(watch->last, name, len + 1);
    watch->last_len = len;
    watch->last_touch = touch;
    fn(user, &event);
}

static void
one_event(struct fs_watch *watch, const struct inotify_event *event, fs_watch_fn fn, void *user)
{
    char path[NAME_BYTES];
    size_t len;
    bool is_told;

    watch->count.events++;
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        struct fs_watch_event lost = {.name = "", .overflow = true};
        watch->count.overflows++;
        fn(user, &lost);
        return;
    }
    pthread_mutex_lock(&watch->lock);
    is_told = resolve(watch, event, event->len > 0 ? event->name : "", path, &len);
    pthread_mutex_unlock(&watch->lock);
    if (is_told)
        tell(watch, path, len, touch_of(event->mask), fn, user);
}

bool fs_watch_read(struct fs_watch *watch, fs_watch_fn fn, void *user)
{
    ssize_t n;

    do {
        n = read(watch->fd, watch->events, sizeof(watch->events));
    } while (n < 0 && errno == EINTR);
    watch->last_len = 0;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(watch->events + at);
        one_event(watch, event, fn, user);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    return n > 0 && (size_t)n > sizeof(watch->events) / 2;
}

/* ---- life ---- */

int fs_watch_new(struct fs_watch **watch_out)
{
    struct fs_watch *watch = core_calloc(1, sizeof(*watch));

    if (watch == NULL)
        return KITH_E_MEMORY;
    watch->top = core_calloc(1, sizeof(*watch->top) + 1);
    watch->fd = watch->top == NULL ? -1 : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        int errnum = watch->top == NULL ? ENOMEM : errno;
        core_free(watch->top);
        core_free(watch);
        if (errnum == EMFILE || errnum == ENFILE)
            return kith_fail_with(KITH_E_LIMIT,
                                  "no folder can be watched: the system allows no "
                                  "more of it; raise fs.inotify.max_user_instances (sysctl)");
        return errnum == ENOMEM
                   ? KITH_E_MEMORY
                   : kith_fail_with(KITH_E_IO, "no folder can be watched: %s", strerror(errnum));
    }
    if (pthread_mutex_init(&watch->lock, NULL) != 0) {
        close(watch->fd);
        core_free(watch->top);
        core_free(watch);
        return KITH_E_MEMORY;
    }
    *watch_out = watch;
    return 0;
}

void fs_watch_free(struct fs_watch *watch)
{
    if (watch == NULL)
        return;
    for (size_t i = 0; i < watch->buckets_n; i++) {
        for (struct dir *dir = watch->buckets[i], *next; dir != NULL; dir = next) {
            next = dir->in_bucket;
            core_free(dir);
        }
    }
    close(watch->fd);
    pthread_mutex_destroy(&watch->lock);
    map64_deinit(&watch->by_wd);
    core_free(watch->buckets);
    core_free(watch->top);
    core_free(watch);
}

int fs_watch_fd(const struct fs_watch *watch)
{
    return watch->fd;
}

void fs_watch_stats(struct fs_watch *watch, struct fs_watch_stats *stats_out)
{
    pthread_mutex_lock(&watch->lock);
    *stats_out = watch->count;
    pthread_mutex_unlock(&watch->lock);
}
