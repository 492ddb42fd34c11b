/*
 * Where lines leave the process: a descriptor that never makes the writer wait (posix:
 * log_target_posix.c).
 */
#ifndef NODE_LOG_TARGET_H
#define NODE_LOG_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_target {
    int fd;
    char *path;    /* of a file; NULL: stderr */
    bool journal;  /* lines get <N> in front and no time */
    bool file;     /* a regular file: never full but for the disk */
    uint64_t lost; /* lines since the last that was written */
};

/* @choice as in struct node_log_options. 0 or KITH_E_*. */
int log_target_open(struct log_target *target, const char *choice);
void log_target_close(struct log_target *target);
/* For a file: opens the path anew and lets the old one go; else nothing. 0 or KITH_E_* (unchanged).
 */
int log_target_reopen(struct log_target *target);
/* Writes the whole of @line at once, or counts it as lost. Returns whether it was written. */
bool log_target_write(struct log_target *target, const char *line, size_t len);
/* Now, Unix time in milliseconds. */
uint64_t log_target_now_ms(void);

#endif
