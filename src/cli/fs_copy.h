/*
 * Copying files between this machine and the catalogue: one (fs_get.c, fs_data.c), or all that a
 * directory has (fs_tree.c).
 *
 * What fails leaves answers behind that nobody waits for: cli_disconnect() before the next file.
 */
#ifndef CLI_FS_COPY_H
#define CLI_FS_COPY_H

#include <jansson.h>
#include <stdint.h>

#include "cli/bar.h"

struct cli;

/* How far the whole is. */
struct fs_copied {
    struct bar bar;
    uint64_t all_bytes; /* UINT64_MAX: unknown */
    uint64_t files, bytes;
};

/* The file @path of the catalogue becomes @out. With --json a kith.fs.get/1 document in a line. */
int fs_get_file(struct cli *cli, const char *path, const char *out, struct fs_copied *copied);
/* @file becomes @path. With --json a kith.fs.put/1 document in a line. */
int fs_put_file(struct cli *cli, const char *file, const char *path, struct fs_copied *copied);

/* Where the last part of @path goes: @out, but into it if it is a directory or ends in a slash;
 * NULL: here. Freed by the caller; NULL if memory is short. */
char *fs_out_path(const char *out, const char *path);
/* All beneath @path. @out is the directory that it becomes, or one that it goes to; NULL: here. */
int fs_get_tree(struct cli *cli, const char *path, const char *out);
/* All beneath the directory @dir; @path as fs put takes it. */
int fs_put_tree(struct cli *cli, const char *dir, const char *path);

/* Asks @verb page by page; *entries_out is the caller's in any case. @request is taken over. */
int fs_ask_pages(struct cli *cli, const char *verb, json_t *request, json_t **entries_out);

#endif
