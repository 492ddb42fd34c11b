#include "unit/fs_disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- inodes ---- */

static int64_t stamp(const struct disk *disk)
{
    return disk->wall_ns - disk->wall_ns % disk->tick_ns;
}

static struct inode *inode_new(struct disk *disk, uint8_t kind)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    assert(inode != NULL);
    inode->kind = kind;
    inode->mode = kind == FS_DIRECTORY ? 0755 : 0644;
    /* Numbers are used again, as file systems do. */
    if (disk->free_n > 0 && rng_below(disk->rng, 2) == 0)
        inode->number = disk->free_numbers[--disk->free_n];
    else
        inode->number = 100 + ++disk->inodes_n;
    inode->born_ns = disk->births ? stamp(disk) : 0;
    inode->mtime_ns = inode->ctime_ns = stamp(disk);
    return inode;
}

static void unlink_inode(struct disk *disk, struct inode *inode)
{
    inode->ctime_ns = stamp(disk);
    if (--inode->links > 0)
        return;
    if (disk->free_n < 256)
        disk->free_numbers[disk->free_n++] = inode->number;
    free(inode);
}

void disk_init(struct disk *disk, struct rng *rng, int64_t tick_ns, bool births)
{
    *disk = (struct disk){.rng = rng, .tick_ns = tick_ns, .births = births, .wall_ns = 1};
    disk->names = calloc(DISK_NAMES_MAX, sizeof(*disk->names));
    assert(disk->names != NULL);
    disk->root = inode_new(disk, FS_DIRECTORY);
    disk->root->links = 1;
}

static void free_tree(struct inode *inode)
{
    for (unsigned i = 0; i < inode->entries_n; i++)
        free_tree(inode->entries[i].inode);
    if (--inode->links == 0)
        free(inode);
}

void disk_deinit(struct disk *disk)
{
    free_tree(disk->root);
    free(disk->names);
    map64_deinit(&disk->had);
    map64_deinit(&disk->names_by);
}

static struct entry *entry_of(struct inode *dir, const char *name)
{
    for (unsigned i = 0; i < dir->entries_n; i++)
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    return NULL;
}

struct inode *disk_dir(const struct disk *disk, const char *path, const char **name_out)
{
    struct inode *dir = disk->root;
    const char *slash;

    for (; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        char name[40];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
        struct entry *entry = entry_of(dir, name);
        if (entry == NULL || entry->inode->kind != FS_DIRECTORY)
            return NULL;
        dir = entry->inode;
    }
    *name_out = path;
    return dir;
}

struct inode *disk_find(const struct disk *disk, const char *path)
{
    const char *name;
    struct inode *dir = disk_dir(disk, path, &name);
    struct entry *entry;

    if (path[0] == '\0')
        return disk->root;
    entry = dir != NULL ? entry_of(dir, name) : NULL;
    return entry != NULL ? entry->inode : NULL;
}

void disk_stat(const struct disk *disk, const struct inode *inode, struct fs_stat *stat_out)
{
    (void)disk;
    *stat_out = (struct fs_stat){.kind = inode->kind,
                                 .mode = inode->mode,
                                 .links = inode->links,
                                 .inode = inode->number,
                                 .size = inode->size,
                                 .mtime_ns = inode->mtime_ns,
                                 .ctime_ns = inode->ctime_ns,
                                 .born_ns = inode->born_ns};
}

/* ---- what is told ---- */

static void tell(struct disk *disk, const char *path, unsigned touch)
{
    const char *name;
    const struct inode *dir = disk_dir(disk, path, &name);

    if (dir != NULL && dir->watched && disk->touched != NULL)
        disk->touched(disk->user, path, touch);
}

/* A directory that moves is not watched any more, nor is what is in it. */
static void unwatch(struct inode *inode)
{
    inode->watched = false;
    for (unsigned i = 0; i < inode->entries_n; i++)
        unwatch(inode->entries[i].inode);
}

/* ---- changes ---- */

static void changed_dir(struct disk *disk, struct inode *dir)
{
    dir->mtime_ns = dir->ctime_ns = stamp(disk);
}

static bool add_entry(struct disk *disk, struct inode *dir, const char *name, struct inode *inode)
{
    if (dir->entries_n == DISK_ENTRIES_MAX)
        return false;
    struct entry *entry = &dir->entries[dir->entries_n++];
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->inode = inode;
    inode->links++;
    inode->ctime_ns = stamp(disk);
    changed_dir(disk, dir);
    return true;
}

/* Takes the entry away; its inode keeps the link for the caller. */
static struct inode *take_entry(struct disk *disk, struct inode *dir, struct entry *entry)
{
    struct inode *inode = entry->inode;
    *entry = dir->entries[--dir->entries_n];
    changed_dir(disk, dir);
    return inode;
}

bool disk_make(struct disk *disk, const char *path, uint8_t kind, uint64_t bytes)
{
    const char *name;
    struct inode *dir = disk_dir(disk, path, &name);

    if (dir == NULL || name[0] == '\0' || strlen(name) > 39 || strlen(path) > 120 ||
        entry_of(dir, name) != NULL || dir->entries_n == DISK_ENTRIES_MAX)
        return false;
    struct inode *inode = inode_new(disk, kind);
    inode->bytes = bytes;
    inode->size = kind == FS_SYMLINK ? 8 : 0;
    (void)add_entry(disk, dir, name, inode);
    disk_remember(disk);
    tell(disk, path, kind == FS_DIRECTORY ? LOCAL_TOUCH_DIR : LOCAL_TOUCH_ANY);
    return true;
}

bool disk_write(struct disk *disk, const char *path, uint64_t size, bool keeps_mtime)
{
    struct inode *inode = disk_find(disk, path);

    if (inode == NULL || inode->kind != FS_FILE)
        return false;
    inode->bytes = size == 0 ? 0 : ++disk->bytes_n;
    inode->size = size;
    inode->changes++;
    inode->ctime_ns = stamp(disk);
    if (!keeps_mtime)
        inode->mtime_ns = stamp(disk);
    disk_remember(disk);
    tell(disk, path, LOCAL_TOUCH_ANY);
    return true;
}

bool disk_closed(struct disk *disk, const char *path)
{
    tell(disk, path, LOCAL_TOUCH_CLOSED);
    return true;
}

bool disk_chmod(struct disk *disk, const char *path, uint32_t mode)
{
    struct inode *inode = disk_find(disk, path);

    if (inode == NULL || inode == disk->root || inode->kind == FS_SYMLINK)
        return false;
    inode->mode = mode;
    inode->ctime_ns = stamp(disk);
    tell(disk, path, LOCAL_TOUCH_ANY);
    return true;
}

bool disk_utime(struct disk *disk, const char *path, int64_t mtime_ns)
{
    struct inode *inode = disk_find(disk, path);

    if (inode == NULL || inode->kind != FS_FILE)
        return false;
    inode->mtime_ns = mtime_ns;
    inode->ctime_ns = stamp(disk);
    tell(disk, path, LOCAL_TOUCH_ANY);
    return true;
}

bool disk_remove(struct disk *disk, const char *path)
{
    const char *name;
    struct inode *dir = disk_dir(disk, path, &name);
    struct entry *entry = dir != NULL ? entry_of(dir, name) : NULL;
    unsigned touch = LOCAL_TOUCH_GONE;

    if (entry == NULL || entry->inode->entries_n > 0)
        return false;
    if (entry->inode->kind == FS_DIRECTORY)
        touch |= LOCAL_TOUCH_DIR;
    unlink_inode(disk, take_entry(disk, dir, entry));
    disk_remember(disk);
    tell(disk, path, touch);
    return true;
}

static bool is_in(const struct inode *dir, const struct inode *inode)
{
    if (dir == inode)
        return true;
    for (unsigned i = 0; i < dir->entries_n; i++)
        if (is_in(dir->entries[i].inode, inode))
            return true;
    return false;
}

bool disk_rename(struct disk *disk, const char *from, const char *to)
{
    const char *from_name, *to_name;
    struct inode *from_dir = disk_dir(disk, from, &from_name);
    struct inode *to_dir = disk_dir(disk, to, &to_name);
    struct entry *entry = from_dir != NULL ? entry_of(from_dir, from_name) : NULL;
    struct entry *old = to_dir != NULL ? entry_of(to_dir, to_name) : NULL;
    unsigned dir_touch;

    if (entry == NULL || to_dir == NULL || to_name[0] == '\0' || strlen(to_name) > 39 ||
        strlen(to) > (entry->inode->kind == FS_DIRECTORY ? 40 : 120) ||
        is_in(entry->inode, to_dir) || (old == NULL && to_dir->entries_n == DISK_ENTRIES_MAX) ||
        (old != NULL && (old->inode->kind == FS_DIRECTORY || old->inode == entry->inode ||
                         entry->inode->kind == FS_DIRECTORY)))
        return false;
    if (old != NULL)
        unlink_inode(disk, take_entry(disk, to_dir, old));
    entry = entry_of(from_dir, from_name); /* it may have been moved */
    assert(entry != NULL);
    struct inode *inode = take_entry(disk, from_dir, entry);
    (void)add_entry(disk, to_dir, to_name, inode);
    inode->links--;
    dir_touch = inode->kind == FS_DIRECTORY ? LOCAL_TOUCH_DIR : 0;
    if (dir_touch != 0)
        unwatch(inode);
    disk_remember(disk);
    tell(disk, from, LOCAL_TOUCH_GONE | dir_touch);
    tell(disk, to, LOCAL_TOUCH_CLOSED | dir_touch);
    return true;
}

bool disk_swap(struct disk *disk, const char *a, const char *b)
{
    const char *a_name, *b_name;
    struct inode *a_dir = disk_dir(disk, a, &a_name), *b_dir = disk_dir(disk, b, &b_name);
    struct entry *ea = a_dir != NULL ? entry_of(a_dir, a_name) : NULL;
    struct entry *eb = b_dir != NULL ? entry_of(b_dir, b_name) : NULL;

    if (ea == NULL || eb == NULL || ea == eb || ea->inode->kind == FS_DIRECTORY ||
        eb->inode->kind == FS_DIRECTORY)
        return false;
    struct inode *inode = ea->inode;
    ea->inode = eb->inode;
    eb->inode = inode;
    ea->inode->ctime_ns = eb->inode->ctime_ns = stamp(disk);
    disk_remember(disk);
    tell(disk, a, LOCAL_TOUCH_CLOSED);
    tell(disk, b, LOCAL_TOUCH_CLOSED);
    return true;
}

bool disk_link(struct disk *disk, const char *from, const char *to)
{
    struct inode *inode = disk_find(disk, from);
    const char *name;
    struct inode *dir = disk_dir(disk, to, &name);

    if (inode == NULL || inode->kind != FS_FILE || dir == NULL || name[0] == '\0' ||
        entry_of(dir, name) != NULL || !add_entry(disk, dir, name, inode))
        return false;
    disk_remember(disk);
    tell(disk, to, LOCAL_TOUCH_ANY);
    return true;
}

/* ---- memory ---- */

static uint64_t hash_of(const char *path)
{
    return hash_bytes(path, strlen(path), 1);
}

struct disk_name *disk_name(struct disk *disk, const char *path)
{
    struct disk_name *name = map64_find(&disk->names_by, hash_of(path));

    if (name != NULL)
        return name;
    assert(disk->names_n < DISK_NAMES_MAX);
    name = &disk->names[disk->names_n++];
    (void)snprintf(name->path, sizeof(name->path), "%s", path);
    int r = map64_set(&disk->names_by, hash_of(path), name);
    assert(r == 0);
    (void)r;
    return name;
}

static bool remember_one(void *user, const char *path, const struct inode *inode)
{
    struct disk *disk = user;

    disk_name(disk, path)->present = true;
    if (inode->kind == FS_FILE) {
        int r = map64_set(&disk->had, hash_of(path) ^ map64_hash(inode->bytes + 1), disk);
        assert(r == 0);
        (void)r;
    }
    return true;
}

void disk_remember(struct disk *disk)
{
    for (unsigned i = 0; i < disk->names_n; i++)
        disk->names[i].present = false;
    disk_walk(disk, remember_one, disk);
    for (unsigned i = 0; i < disk->names_n; i++)
        if (!disk->names[i].present)
            disk->names[i].absent_ms = disk->now_ms;
}

bool disk_had(const struct disk *disk, const char *path, uint64_t bytes)
{
    return map64_find(&disk->had, hash_of(path) ^ map64_hash(bytes + 1)) != NULL;
}

static bool walk(const struct inode *dir,
                 char *path,
                 size_t len,
                 bool (*fn)(void *user, const char *path, const struct inode *inode),
                 void *user)
{
    for (unsigned i = 0; i < dir->entries_n; i++) {
        int n = snprintf(path + len, 256 - len, "%s%s", len > 0 ? "/" : "", dir->entries[i].name);
        assert(n > 0 && len + (size_t)n < 256);
        if (!fn(user, path, dir->entries[i].inode))
            return false;
        if (dir->entries[i].inode->kind == FS_DIRECTORY &&
            !walk(dir->entries[i].inode, path, len + (size_t)n, fn, user))
            return false;
        path[len] = '\0';
    }
    return true;
}

void disk_walk(const struct disk *disk,
               bool (*fn)(void *user, const char *path, const struct inode *inode),
               void *user)
{
    char path[256] = "";
    (void)walk(disk->root, path, 0, fn, user);
}
