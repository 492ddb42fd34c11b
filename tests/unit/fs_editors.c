/*
 * Editors that change a made-up disk in the ways that programs and people have: a step at a time,
 * several at once.
 */
#include "unit/fs_editors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ignore.h"

/* Something that changes the disk, step by step. */
struct editor {
    unsigned plan, step, steps;
    uint64_t next_ms;
    char path[256], other[256];
};

static struct {
    struct disk *disk;
    struct rng *rng;
    void (*sync)(const char *path, const char *temp);
    struct editor editors[EDITORS];
} ed;

static bool rng_one_in(uint64_t n)
{
    return rng_below(ed.rng, n) == 0;
}

struct paths {
    char list[512][256];
    unsigned n;
    uint8_t kind; /* 0: any */
};

static bool add_path(void *user, const char *path, const struct inode *inode)
{
    struct paths *paths = user;
    if (paths->n < 512 && (paths->kind == 0 || paths->kind == inode->kind))
        (void)snprintf(paths->list[paths->n++], 256, "%s", path);
    return true;
}

/* One that exists, of a kind; "" if there is none (or for a directory, sometimes: the folder). */
static void pick(uint8_t kind, char out[256])
{
    static struct paths paths;
    paths.n = 0;
    paths.kind = kind;
    disk_walk(ed.disk, add_path, &paths);
    uint64_t at = rng_below(ed.rng, paths.n + (kind == FS_DIRECTORY));
    (void)snprintf(out, 256, "%s", at < paths.n ? paths.list[at] : "");
}

/* A name that may be new. */
static void invent(char out[256])
{
    static const char *const names[] = {"a", "b", "c", "ab", "e.txt", "f.o", "g", "h", "d1", "k"};
    char dir[256];
    pick(FS_DIRECTORY, dir);
    if (strlen(dir) > 60)
        dir[0] = '\0';
    (void)snprintf(out, 256, "%.80s%s%s", dir, dir[0] != '\0' ? "/" : "",
                   names[rng_below(ed.rng, sizeof(names) / sizeof(names[0]))]);
}

uint64_t editors_size(void)
{
    return 1 + rng_below(ed.rng, 3); /* few sizes: they must not be what tells */
}

enum plan {
    WRITE,
    TEMP_RENAME,
    VIM,
    EMACS,
    RAPID,
    CHMOD,
    UTIME,
    HIDDEN,
    REMOVE,
    MKDIR,
    RENAME,
    RENAME_DIR,
    LINK,
    SYMLINK,
    SWAP,
    REMOVE_TREE,
    RULES,
    LOCK,
    MASS,
    KIND,
    SYNC,
    PLANS
};

static void beside(const struct editor *e, const char *before, const char *after, char out[256])
{
    const char *slash = strrchr(e->path, '/');
    int dir = slash != NULL ? (int)(slash + 1 - e->path) : 0;
    (void)snprintf(out, 256, "%.*s%s%s%s", dir, e->path, before, e->path + dir, after);
}

static void edit_begin(struct editor *e)
{
    *e = (struct editor){.plan = (unsigned)rng_below(ed.rng, PLANS), .steps = 1};
    if (e->plan == MASS && !rng_one_in(20))
        e->plan = WRITE;
    if (e->plan == RULES && !rng_one_in(4))
        e->plan = TEMP_RENAME;
    if (rng_one_in(3) || e->plan == MKDIR)
        invent(e->path);
    else
        pick(e->plan == RENAME_DIR || e->plan == REMOVE_TREE || e->plan == LOCK ? FS_DIRECTORY
                                                                                : FS_FILE,
             e->path);
    invent(e->other);
    if (e->plan == WRITE || e->plan == TEMP_RENAME || e->plan == EMACS)
        e->steps = 3 + (unsigned)rng_below(ed.rng, 4);
    if (e->plan == VIM)
        e->steps = 5;
    if (e->plan == RAPID)
        e->steps = 60;
    if (e->plan == TEMP_RENAME)
        beside(e, "", ".tmp", e->other);
    if (e->plan == VIM)
        beside(e, "", rng_one_in(2) ? "~" : ".bak", e->other);
    if (e->plan == EMACS)
        beside(e, ".#", "", e->other);
    if (e->plan == REMOVE_TREE || e->plan == LOCK)
        e->steps = e->plan == LOCK ? 2 : 40;
}

static void write_step(struct editor *e, const char *path)
{
    if (e->step == 0 && !disk_make(ed.disk, path, FS_FILE, 0))
        (void)disk_write(ed.disk, path, 0, false);
    else if (e->step + 1 < e->steps)
        (void)disk_write(ed.disk, path, editors_size(), false);
    else
        (void)disk_closed(ed.disk, path);
}

static void vim_step(struct editor *e)
{
    switch (e->step) {
    case 0:
        (void)disk_rename(ed.disk, e->path, e->other);
        break;
    case 1:
        (void)disk_make(ed.disk, e->path, FS_FILE, 0);
        break;
    case 2:
        (void)disk_write(ed.disk, e->path, editors_size(), false);
        break;
    case 3:
        (void)disk_closed(ed.disk, e->path);
        break;
    default:
        (void)disk_remove(ed.disk, e->other);
        break;
    }
}

static void remove_rng_one_in(const char *dir)
{
    static struct paths paths;
    size_t len = strlen(dir);
    paths.n = 0;
    paths.kind = 0;
    disk_walk(ed.disk, add_path, &paths);
    for (unsigned i = paths.n; i-- > 0;)
        if (strncmp(paths.list[i], dir, len) == 0 && disk_remove(ed.disk, paths.list[i]))
            return;
}

static void mass_remove(void)
{
    static struct paths paths;
    paths.n = 0;
    paths.kind = 0;
    disk_walk(ed.disk, add_path, &paths);
    for (unsigned i = paths.n; i-- > 0;)
        if (!rng_one_in(8))
            (void)disk_remove(ed.disk, paths.list[i]);
}

static void change_kind(const char *path)
{
    const struct inode *inode = disk_find(ed.disk, path);
    if (inode == NULL || path[0] == '\0')
        return;
    uint8_t kind = inode->kind == FS_DIRECTORY ? FS_FILE : FS_DIRECTORY;
    if (disk_remove(ed.disk, path))
        (void)disk_make(ed.disk, path, kind, 0);
}

static void edit_rules(void)
{
    char dir[256], path[300];
    pick(FS_DIRECTORY, dir);
    (void)snprintf(path, sizeof(path), "%s%s" FS_IGNORE_FILE, dir, dir[0] != '\0' ? "/" : "");
    if (rng_one_in(3))
        (void)disk_remove(ed.disk, path);
    else if (disk_find(ed.disk, path) != NULL || disk_make(ed.disk, path, FS_FILE, 0))
        (void)disk_write(ed.disk, path, editors_size(), false);
}

static void lock_step(struct editor *e)
{
    struct inode *inode = disk_find(ed.disk, e->path);
    if (inode != NULL && inode != ed.disk->root && inode->kind == FS_DIRECTORY)
        inode->locked = e->step == 0;
}

static void edit_step_rare(struct editor *e)
{
    switch ((enum plan)e->plan) {
    case LINK:
        (void)disk_link(ed.disk, e->path, e->other);
        break;
    case SYMLINK:
        (void)disk_make(ed.disk, e->other, FS_SYMLINK, 1 + rng_below(ed.rng, 5));
        break;
    case SWAP:
        pick(FS_FILE, e->other);
        (void)disk_swap(ed.disk, e->path, e->other);
        break;
    case REMOVE_TREE:
        if (e->path[0] != '\0')
            remove_rng_one_in(e->path);
        break;
    case RULES:
        edit_rules();
        break;
    case LOCK:
        lock_step(e);
        break;
    case MASS:
        mass_remove();
        break;
    case KIND:
        change_kind(e->path);
        break;
    case SYNC:
        beside(e, ".kith-", ".tmp", e->other);
        ed.sync(e->path, e->other);
        break;
    default:
        break;
    }
}

static void edit_step(struct editor *e)
{
    switch ((enum plan)e->plan) {
    case WRITE:
        write_step(e, e->path);
        break;
    case TEMP_RENAME:
        if (e->step + 1 == e->steps)
            (void)disk_rename(ed.disk, e->other, e->path);
        else
            write_step(e, e->other);
        break;
    case VIM:
        vim_step(e);
        break;
    case EMACS:
        if (e->step == 0)
            (void)disk_make(ed.disk, e->other, FS_SYMLINK, 1);
        else if (e->step + 1 == e->steps)
            (void)disk_remove(ed.disk, e->other);
        else
            (void)disk_write(ed.disk, e->path, editors_size(), false);
        break;
    case RAPID:
        (void)disk_write(ed.disk, e->path, e->step % 2 == 0 ? 0 : editors_size(), false);
        if (e->step % 2 == 1)
            (void)disk_closed(ed.disk, e->path);
        break;
    case CHMOD:
        (void)disk_chmod(ed.disk, e->path, 0600 + (uint32_t)rng_below(ed.rng, 64));
        break;
    case UTIME:
        (void)disk_utime(ed.disk, e->path, (int64_t)rng_below(ed.rng, 1u << 30) * 1000000000);
        break;
    case HIDDEN: {
        const struct inode *inode = disk_find(ed.disk, e->path);
        if (inode != NULL && inode->size > 0)
            (void)disk_write(ed.disk, e->path, inode->size, true);
        break;
    }
    case REMOVE:
        (void)disk_remove(ed.disk, e->path);
        break;
    case MKDIR:
        (void)disk_make(ed.disk, e->path, FS_DIRECTORY, 0);
        break;
    case RENAME:
    case RENAME_DIR:
        if (e->path[0] != '\0')
            (void)disk_rename(ed.disk, e->path, e->other);
        break;
    default:
        edit_step_rare(e);
        break;
    }
}

void editors_begin(struct disk *disk,
                   struct rng *rng,
                   uint64_t now_ms,
                   void (*sync)(const char *path, const char *temp))
{
    ed.disk = disk;
    ed.rng = rng;
    ed.sync = sync;
    for (unsigned i = 0; i < EDITORS; i++)
        ed.editors[i] = (struct editor){.next_ms = now_ms};
}

void editors_step(uint64_t now_ms, bool may_begin)
{
    for (unsigned i = 0; i < EDITORS; i++) {
        struct editor *e = &ed.editors[i];
        if (e->next_ms > now_ms)
            continue;
        if (e->step == e->steps) {
            if (!may_begin)
                continue;
            edit_begin(e);
        }
        edit_step(e);
        e->step++;
        e->next_ms = now_ms + rng_below(ed.rng, e->plan == REMOVE_TREE ? 3 : 60);
        if (e->plan == LOCK && e->step == 1)
            e->next_ms += rng_below(ed.rng, 20000);
        if (e->step == e->steps)
            e->next_ms += rng_below(ed.rng, 600);
    }
}
