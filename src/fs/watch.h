/*
 * Tells which names of a folder are touched, as the kernel says (inotify): a descriptor of its own
 * for the loop, and a watch on each directory, made before the directory is read (fs_scan()), so
 * that nothing that appears meanwhile is missed.
 *
 * It follows renames of directories by letting go of all that was beneath the old name; the touch
 * of the new one leads to a scan, which watches again. What it cannot tell, it says: an overflow,
 * or that the system allows no more watches.
 */
#ifndef FS_WATCH_H
#define FS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_watch;

/* 0; KITH_E_LIMIT (no more inotify instances: names the sysctl), KITH_E_MEMORY, KITH_E_IO. */
int fs_watch_new(struct fs_watch **watch_out);
void fs_watch_free(struct fs_watch *watch); /* NULL is fine; its scans are over */
/* To be polled for reading. */
int fs_watch_fd(const struct fs_watch *watch);

struct fs_watch_event {
    const char *name; /* beneath the folder, with a NUL; "": the folder itself */
    size_t name_len;
    unsigned touch; /* enum local_touch */
    bool overflow;  /* events were lost; no name */
};
typedef void (*fs_watch_fn)(void *user, const struct fs_watch_event *event);

/*
 * Loop thread, when the descriptor is readable: calls @fn for each event of at most
 * FS_WATCH_READ_BYTES; several for the same name in a row are one. True: there may be more.
 */
bool fs_watch_read(struct fs_watch *watch, fs_watch_fn fn, void *user);

/*
 * Any thread. Watches the directory that @fd is, as @name. 0, also if it is watched already;
 * KITH_E_LIMIT: no more watches are allowed (fs.inotify.max_user_watches), with a sentence;
 * KITH_E_MEMORY, KITH_E_IO.
 */
int fs_watch_add(struct fs_watch *watch, int fd, const char *name, size_t name_len);
/* Any thread. Lets go of @name and all that is beneath it. */
void fs_watch_drop(struct fs_watch *watch, const char *name, size_t name_len);

struct fs_watch_stats {
    uint64_t watches, events, overflows, refused;
};
void fs_watch_stats(struct fs_watch *watch, struct fs_watch_stats *stats_out);

#endif
