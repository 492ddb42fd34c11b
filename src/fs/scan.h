/*
 * Reads directories: a whole tree, or single names, beneath a folder and never outside it.
 *
 * Every name is opened beneath the folder's directory (openat2 RESOLVE_BENEATH | NO_SYMLINKS |
 * NO_XDEV | NO_MAGICLINKS), so neither a symlink nor a mount nor a directory that is replaced while
 * it is read leads elsewhere. What cannot be read is told and is no reason to stop.
 *
 * For workers: nothing here knows the loop. A scanner is used by one thread at a time; several may
 * look. A kernel without openat2 is refused by fs_folder_open() with a sentence.
 */
#ifndef FS_SCAN_H
#define FS_SCAN_H

#include <stdatomic.h>

#include "fs/local.h"

struct fs_scanner;
struct fs_watch;

/* 0; KITH_E_MEMORY. @path (absolute) is copied; @watch (may be NULL) is told of each directory
 * before it is read, and must live longer. @bare: nothing is ignored, for no rule is known. */
int fs_scanner_new(struct fs_scanner **scanner_out,
                   const char *path,
                   struct fs_watch *watch,
                   bool bare);
void fs_scanner_free(struct fs_scanner *scanner); /* NULL is fine */

enum fs_scan_item_kind {
    FS_SCAN_SEEN = 1, /* seen[n], at most FS_SCAN_BATCH_MAX */
    FS_SCAN_RULES,    /* name, data: as LOCAL_RULES */
    FS_SCAN_BLIND,    /* the watch takes no more directories: what is there is seen by scans only.
                         text; once a scan */
};
struct fs_scan_item {
    enum fs_scan_item_kind kind;
    const struct local_seen *seen;
    size_t n;
    const char *name;
    size_t name_len;
    struct kith_bytes data;
    const char *text;
    struct fs_root_id root; /* of the directory that is being read */
};
/* Borrowed for the call. May block: it is what keeps the memory of a scan bounded. Other than 0
 * ends the scan with it. */
typedef int (*fs_scan_fn)(void *user, const struct fs_scan_item *item);

struct fs_scan_result {
    struct fs_root_id root;
    bool root_empty;
    uint64_t entries_n;
};
/*
 * Everything beneath @name ("" is all), directories before what is in them. Sets *@stop (may be
 * NULL) ends it early, with KITH_E_CANCELED. What is ignored is not told, and not gone into.
 * @one_level: does not go into directories.
 *
 * 0: all of it was seen or told as UNREADABLE or REFUSED; KITH_E_NOT_FOUND: @name, or the folder
 * (then the root of the result is zeros), is missing; others with a sentence.
 */
int fs_scan(struct fs_scanner *scanner,
            const char *name,
            bool one_level,
            const atomic_bool *stop,
            fs_scan_fn fn,
            void *user,
            struct fs_scan_result *result_out);

/* ---- single names ---- */

/* A folder that is open; as long as it is, names are looked up in the same directory. */
struct fs_folder {
    int fd; /* O_PATH */
    struct fs_root_id root;
};
/* 0; KITH_E_NOT_FOUND (missing, or no directory), KITH_E_PERMISSION, KITH_E_UNSUPPORTED, KITH_E_IO,
 * with a sentence. */
int fs_folder_open(struct fs_folder *folder, const char *path);
void fs_folder_close(struct fs_folder *folder); /* may run twice */
bool fs_folder_is_empty(const struct fs_folder *folder);

/* What is under @name now. Fills @seen_out; its name is @name, and target and text are in @room. */
void fs_look(const struct fs_folder *folder,
             const char *name,
             struct local_seen *seen_out,
             char room[FS_TARGET_BYTES_MAX + 1]);

/*
 * Opens @name beneath the folder, never through a symlink or mount; open(2)'s @flags (without
 * O_CREAT). The descriptor; KITH_E_NOT_FOUND, KITH_E_PERMISSION, KITH_E_UNSUPPORTED (a symlink, a
 * mount or no file), KITH_E_IO with a sentence.
 */
int fs_folder_open_file(const struct fs_folder *folder, const char *name, int flags);
/* 0 and the facts of an open descriptor; KITH_E_IO with a sentence. */
int fs_stat_fd(int fd, struct fs_stat *stat_out);

#endif
