/*
 * A file that a command writes: it appears whole under its name, in place of what is there, or not
 * at all. Until then it has no name where the file system can do without (O_TMPFILE), so that
 * nothing is left of it whatever ends the command; elsewhere it is NAME.PID.part, which SIGINT,
 * SIGTERM and SIGHUP remove on their way.
 *
 * One at a time in a process. Functions return 0, or -1 with errno.
 */
#ifndef CLI_OUT_FILE_H
#define CLI_OUT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct out_file {
    int fd; /* to write to; -1: none */
    const char *path;
    char temporary[4200]; /* "": it has no name yet */
    uint64_t size;        /* so far, holes too */
};

/* @path is borrowed until the end. ENAMETOOLONG, or what open(2) says. */
int out_file_open(struct out_file *out, const char *path);
/* The same where files have a name from the beginning; for tests of that. */
int out_file_open_named(struct out_file *out, const char *path);
/*
 * Appends. Whole blocks of zeros become holes: @data of every call but the last must have a
 * multiple of 64 KiB, or its last block is written as it is.
 */
int out_file_write(struct out_file *out, const void *data, size_t len);
/* Gives it its permissions and its name; it is on the disk then. It is closed in any case. */
int out_file_finish(struct out_file *out, mode_t mode);
/* Nothing is left of it. Does nothing after out_file_finish(). */
void out_file_drop(struct out_file *out);

#endif
