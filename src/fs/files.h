/*
 * The files of a node's own: contents that it keeps for others (keep), chunks that it has fetched
 * (cache), contents on their way (parts), and what it replaced or deleted in folders (trash). All
 * of it under one directory, named by what it is, two levels of 256 directories each.
 *
 *     keep/ab/cd/ROOT          a whole content
 *     cache/ab/cd/ROOT.CHUNK   one chunk, in 8 hex digits
 *     part/ROOT                a content that is being fetched, with holes where nothing came yet
 *     trash/ID, trash/ID.txt   a file, and where it was
 *     tmp/                     what has no name yet; emptied when it is opened
 *
 * A content that grew by an append shares its file with the shorter one that it was: two names.
 *
 * Nothing half-written is ever seen under a name: data goes to a temporary file, which is synced,
 * renamed, and its directory synced. (The cache is not synced: its chunks are verified when they
 * are read.) The order is protocols 5.9's. A sync that failed is never tried again: the file is
 * removed and the error says so.
 *
 * Before anything is written the disk must have room for it and FS_FREE_BYTES_MIN more; a full disk
 * is KITH_E_LIMIT, with a sentence that says how much is missing where.
 *
 * For workers. Functions may run at the same time for different contents and names.
 */
#ifndef FS_FILES_H
#define FS_FILES_H

#include "fs/content.h"
#include "fs/scan.h"

struct fs_files;

/* @dir is made (0700) if it is absent; its parent must exist. 0, KITH_E_PERMISSION, KITH_E_IO,
 * KITH_E_MEMORY, with a sentence. */
int fs_files_open(struct fs_files **files_out, const char *dir);
void fs_files_close(struct fs_files *files); /* NULL is fine */

/* 0, or KITH_E_LIMIT if the disk has no room for @bytes more. */
int fs_files_room(const struct fs_files *files, uint64_t bytes);

/* ---- contents: descriptors are the caller's to close ---- */

enum fs_room {
    FS_ROOM_KEEP = 1,
    FS_ROOM_CACHE = 2,
    FS_ROOM_PART = 3,
};

/* For reading. The descriptor; KITH_E_NOT_FOUND (without a sentence), KITH_E_IO. @chunk: of the
 * cache. */
int fs_content_open(const struct fs_files *files,
                    enum fs_room room,
                    const uint8_t root[FS_ROOT_BYTES],
                    uint32_t chunk);
/* 0, also if it is not there; KITH_E_IO. */
int fs_content_remove(struct fs_files *files,
                      enum fs_room room,
                      const uint8_t root[FS_ROOT_BYTES],
                      uint32_t chunk);
/* What is there, in no order; other than 0 ends it with that. Also KITH_E_IO. */
typedef int (*fs_content_fn)(void *user,
                             const uint8_t root[FS_ROOT_BYTES],
                             uint32_t chunk,
                             uint64_t bytes);
int fs_content_each(const struct fs_files *files, enum fs_room room, fs_content_fn fn, void *user);

/* A chunk into the cache, not synced. 0, KITH_E_LIMIT, KITH_E_IO. */
int fs_cache_write(struct fs_files *files,
                   const uint8_t root[FS_ROOT_BYTES],
                   uint32_t chunk,
                   const void *data,
                   size_t len);

/* The part file of a content of @size bytes, for pwrite(); what it has from before stays, and
 * *@old_out says whether there was one. The descriptor; KITH_E_LIMIT, KITH_E_IO. */
int fs_part_open(struct fs_files *files,
                 const uint8_t root[FS_ROOT_BYTES],
                 uint64_t size,
                 bool *old_out);
/*
 * It is whole and verified: synced, and in the keep under its name. @fd is closed, whatever
 * happens. FS_PART_KEPT: another that wrote to the same part was faster, and this very file is in
 * the keep. KITH_E_IO, KITH_E_LIMIT.
 */
#define FS_PART_KEPT 1
int fs_part_keep(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd);

/* What the keep has of it was found there: it is on the disk when this returns, bytes and name. 0;
 * KITH_E_NOT_FOUND (without a sentence), KITH_E_IO. */
int fs_keep_sync(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES]);

/*
 * What the keep has of a content of @size bytes is damaged: it becomes its part. Or it just goes:
 * if there is a part already, or the file has another name (it grew by an append), which a part
 * that is written to would change. 0, also if it is not there; KITH_E_IO.
 */
int fs_keep_to_part(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], uint64_t size);

/* A new temporary file for reading and writing, of up to @size bytes (put). The descriptor;
 * KITH_E_LIMIT, KITH_E_IO. It has no name: who closes it loses it. */
int fs_temp_open(struct fs_files *files, uint64_t size);
/* As fs_part_keep(), of a temporary file. */
int fs_temp_keep(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd);
/* Writes all of it. 0, KITH_E_LIMIT (full), KITH_E_IO. */
int fs_write_all(int fd, const void *data, size_t len, uint64_t offset);

/* ---- appended ---- */

struct fs_appending {
    struct content before; /* what is there */
    const uint8_t *list;   /* of it, checked; NULL for at most one chunk */
    const struct kith_bytes *pieces;
    size_t pieces_n;
    /* The file is about to get the name of this content: it must not be removed from here on. On
     * the same thread. */
    void (*named)(void *user, const uint8_t root[FS_ROOT_BYTES]);
    void *user;
};
struct fs_appended {
    struct content content;
    struct buf list; /* empty for at most one chunk; buf_deinit() is the caller's, always */
};
/*
 * What the keep has of `before` grows by the pieces, and gets a second name, that of the longer
 * content: synced, as fs_part_keep(). The shorter one stays good, as nobody reads beyond its size.
 * 0; KITH_E_AGAIN (without a sentence): it cannot be done so, put the whole of it (something else
 * is behind it, or the longer one has other chunks, or the file system knows no second names);
 * KITH_E_CORRUPT (likewise): its end is damaged; KITH_E_LIMIT, KITH_E_IO, KITH_E_TOO_LARGE,
 * KITH_E_MEMORY.
 */
int fs_keep_append(struct fs_files *files,
                   const struct fs_appending *what,
                   struct fs_appended *out);

struct fs_growing {
    struct content before; /* what the keep has */
    struct content after; /* what is to be there; its part has all of it from `from` on, verified */
    uint64_t from;        /* at most the size of either: below it both are the same */
};
/*
 * A copy of what grew elsewhere: what the keep has of `before` grows by what the part has beyond
 * it, and gets a second name, that of `after`: synced, as fs_part_keep(). Nothing below the size of
 * `before` is written. Where the file is longer already the rest is compared instead, so `after`
 * may be the shorter one. The part goes; @part stays the caller's to close. 0; KITH_E_AGAIN
 * (without a sentence): it cannot be done so, and the part is as it was: copy the rest as well (the
 * one is not the beginning of the other, or something else is behind it, or it is gone);
 * KITH_E_LIMIT, KITH_E_IO, KITH_E_MEMORY.
 */
int fs_keep_grow(struct fs_files *files, const struct fs_growing *what, int part);

/* ---- into a folder ---- */

/* Zero what is not used. */
struct fs_placing {
    const struct fs_folder *folder;
    const char *name;             /* beneath it; directories above are made as they are missing */
    const struct fs_stat *expect; /* what must be there, as last seen; NULL: nothing */
    const char *share;            /* for the trash */
    uint8_t kind;                 /* FS_FILE, FS_DIRECTORY, FS_SYMLINK; FS_DELETED: nothing */
    uint32_t mode;                /* of it 0777 are used: no file becomes setuid by a copy */
    int64_t mtime_ns;
    int fd;             /* FS_FILE: where its bytes are, from 0 on; all of it */
    uint64_t size;      /* FS_FILE: and so many must be there */
    const char *target; /* FS_SYMLINK */
};
/*
 * Makes it so. What was there goes to the trash first, and only if it is what was expected: else,
 * and if anything else is in the way, nothing is changed and KITH_E_AGAIN returned. @stat_out: what
 * is there now (kind 0: nothing). KITH_E_LIMIT (full), KITH_E_PERMISSION, KITH_E_IO,
 * KITH_E_NOT_FOUND (the folder), KITH_E_UNSUPPORTED (a symlink or mount on the way), with a
 * sentence.
 */
int fs_place(struct fs_files *files, const struct fs_placing *placing, struct fs_stat *stat_out);
/*
 * What a crash in fs_place() left in a folder goes to the trash: for each folder that is written
 * to, when it is opened. Costs nothing after an orderly end. How many were found; KITH_E_IO.
 */
int fs_place_recover(struct fs_files *files, const struct fs_folder *folder, const char *share);

/* ---- trash ---- */

struct fs_trashed {
    uint64_t id; /* grows */
    uint64_t wall_ms;
    const char *share;
    const char *name;
    uint8_t kind; /* FS_FILE, FS_SYMLINK */
    uint32_t mode;
    int64_t mtime_ns;
    uint64_t size;
    const char *target; /* of a symlink */
};
typedef int (*fs_trash_fn)(void *user, const struct fs_trashed *trashed);
/* Newest first; other than 0 ends it with that. KITH_E_IO, KITH_E_MEMORY. */
int fs_trash_each(const struct fs_files *files, fs_trash_fn fn, void *user);
/* For reading. The descriptor; KITH_E_NOT_FOUND. */
int fs_trash_open(const struct fs_files *files, uint64_t id);
/* Back into a folder, where nothing may be under @name: KITH_E_EXISTS. It leaves the trash. */
int fs_trash_restore(struct fs_files *files,
                     uint64_t id,
                     const struct fs_folder *folder,
                     const char *name,
                     struct fs_stat *stat_out);
/* Removes what is older than FS_TRASH_MS (by @wall_ms). How many; KITH_E_IO. A clock that was set
 * forward must not empty it: nothing goes that has not been there for an hour of this process. */
int fs_trash_expire(struct fs_files *files, uint64_t wall_ms, uint64_t now_ms);

#endif
