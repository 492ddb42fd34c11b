/*
 * Content that becomes a path, inside: what PUT, WRITE, APPEND and uploads share.
 */
#ifndef NODE_FS_PUT_H
#define NODE_FS_PUT_H

#include "fs/chunker.h"
#include "node/fs_keep.h"

enum put_source {
    PUT_FROM_DATA,   /* WRITE: op.data */
    PUT_FROM_FILE,   /* PUT: op.local */
    PUT_FROM_UPLOAD, /* fd */
    PUT_APPEND,      /* what the path has, and op.data */
};

/* One at a time for a path of this node; others wait in line. */
struct fs_putting {
    struct list link;  /* of all of this node; or of the one that it comes along with */
    struct list along; /* APPEND: others of the path that are done with it (fs_append.c) */
    struct node_fs *fs;
    struct fs_op *op; /* NULL: given up; what is under way ends it */
    enum put_source source;
    bool begun;
    bool held; /* the folder's file is changing: tried again at held_ms, until held_end_ms */
    uint64_t held_ms, held_end_ms;
    char *path;        /* SHARE/dir/file, the key of the line */
    struct fs_ref ref; /* points into path */
    char *local;       /* PUT: the operation's, copied */
    struct fs_job job;
    int fd; /* the temporary file; -1: none */
    uint64_t size;
    uint32_t mode;
    uint64_t mtime_ns;
    int code;
    char text[512];
    struct fs_hash_result hash;
    bool guarded; /* guard is the root that fs_guard() was called with */
    uint8_t guard[FS_ROOT_BYTES];
    /* APPEND: what is there already */
    bool has_base;
    uint64_t only_if; /* the version that was looked at, or FS_ONLY_IF_ABSENT */
    struct content base;
    struct fs_where where;
    struct fs_reading reading;
    uint8_t *piece;
    uint64_t copied;
    uint64_t read_wall_ms; /* when most of it was read last, of what grew; 0: now */
    bool reading_now;
    /* into the folder of this node */
    bool in_folder;
    bool ignored; /* the folder's .kithignore leaves it out */
    char *folder, *name;
    bool expect_any; /* something is there: expect */
    struct fs_stat expect, placed;
    int64_t placed_wall_ns;
    struct fs_publishing publishing;
    size_t data_len; /* the operation's, copied: it may be given up */
    uint8_t data[];
};

/* Begins, or waits in line. @fd (UPLOAD) is taken over, and @size is what it has. */
void fs_put_begin(
    struct node_fs *fs, struct fs_op *op, enum put_source source, int fd, uint64_t size);

/* fs_put_check.c: what the path may be now, by the operation's wishes; whether it goes into a
 * folder of this node, and where there. 0 or a code with its sentence. */
int fs_put_check_path(struct node_fs *fs, struct fs_putting *put);
int fs_put_check_folder(struct node_fs *fs, struct fs_putting *put);

/* fs_append.c: begins an APPEND whose file grows. False: all of it has to be written anew. */
bool fs_append_start(struct node_fs *fs, struct fs_putting *put);

/* fs_put_base.c: the beginning of any other APPEND */
void fs_put_copy_base(struct node_fs *fs, struct fs_putting *put);
/* fs_put.c: goes on once the temporary file has what was there */
void fs_put_fill(struct node_fs *fs, struct fs_putting *put);
void fs_put_fail(struct fs_putting *put, int code, const char *text);
void fs_put_end(struct node_fs *fs, struct fs_putting *put);
/* hash.content is in its place: the version is published, then it ends. */
void fs_put_publish(struct node_fs *fs, struct fs_putting *put);

#endif
