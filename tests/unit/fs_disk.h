/*
 * A file system that is made up: inodes, directories, times with ticks, hard links; a watcher that
 * sees only what it watches; and a memory of what was ever under which name.
 */
#ifndef FS_DISK_H
#define FS_DISK_H

#include "core/map.h"
#include "core/rng.h"
#include "fs/local.h"

#define DISK_ENTRIES_MAX 64
#define DISK_NAMES_MAX   8192

struct inode;
struct entry {
    char name[40];
    struct inode *inode;
};
struct inode {
    uint64_t number;
    int64_t born_ns, mtime_ns, ctime_ns;
    uint8_t kind;
    uint32_t mode;
    unsigned links;
    uint64_t bytes; /* what it has in it: another number for each state; of a symlink its text */
    uint64_t size;
    uint64_t changes; /* how often its bytes changed */
    bool watched;
    bool locked;                            /* a directory that cannot be looked into */
    struct entry entries[DISK_ENTRIES_MAX]; /* of a directory */
    unsigned entries_n;
};

/* What is known of a path that there ever was. */
struct disk_name {
    char path[256];
    bool present;
    uint64_t absent_ms; /* the last time at which it was not there */
    uint64_t published_ms;
};

struct disk {
    struct rng *rng;
    uint64_t now_ms;
    int64_t wall_ns;
    int64_t tick_ns;
    bool births; /* whether it knows when inodes were born */
    struct inode *root;
    uint64_t inodes_n;
    uint64_t bytes_n;
    uint64_t free_numbers[256]; /* inode numbers that may be used again */
    unsigned free_n;
    struct map64 had; /* (path, bytes) -> anything: it was so once */
    struct disk_name *names;
    unsigned names_n;
    struct map64 names_by; /* hash of a path */
    /* What the watcher is told. */
    void (*touched)(void *user, const char *path, unsigned touch);
    void *user;
};

void disk_init(struct disk *disk, struct rng *rng, int64_t tick_ns, bool births);
void disk_deinit(struct disk *disk);
/* NULL if it is not there. */
struct inode *disk_find(const struct disk *disk, const char *path);
/* Its directory, which must exist, and *@name_out its last part; NULL. */
struct inode *disk_dir(const struct disk *disk, const char *path, const char **name_out);
void disk_stat(const struct disk *disk, const struct inode *inode, struct fs_stat *stat_out);

/* All of these do nothing where the real thing fails (no directory, exists, not empty), and say so.
 * Each remembers what is under all names afterwards. */
bool disk_make(struct disk *disk, const char *path, uint8_t kind, uint64_t bytes);
bool disk_write(struct disk *disk, const char *path, uint64_t size, bool keeps_mtime);
bool disk_closed(struct disk *disk, const char *path); /* tells only */
bool disk_chmod(struct disk *disk, const char *path, uint32_t mode);
bool disk_utime(struct disk *disk, const char *path, int64_t mtime_ns);
bool disk_remove(struct disk *disk, const char *path); /* a directory: if it is empty */
bool disk_rename(struct disk *disk, const char *from, const char *to); /* replaces a file */
bool disk_swap(struct disk *disk, const char *a, const char *b);
bool disk_link(struct disk *disk, const char *from, const char *to);
void disk_remember(struct disk *disk);

/* Was @bytes ever what the file @path had in it? */
bool disk_had(const struct disk *disk, const char *path, uint64_t bytes);
struct disk_name *disk_name(struct disk *disk, const char *path);

/* All paths, in depth-first order, directories first; fn false ends it. */
void disk_walk(const struct disk *disk,
               bool (*fn)(void *user, const char *path, const struct inode *inode),
               void *user);

#endif
