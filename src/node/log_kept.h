/*
 * The newest lines of a log, for who asks after they were written (kith logs). Bounded by lines and
 * by bytes: the oldest go. Pure; the log's mutex is around it.
 */
#ifndef NODE_LOG_KEPT_H
#define NODE_LOG_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/list.h"
#include "kith/node.h"

struct log_kept_line {
    struct list link;
    uint64_t seq; /* 1, 2, 3 ... since the node started */
    uint64_t unix_ms;
    enum kith_log_level level;
    uint32_t len;
    char text[]; /* logfmt, NUL-terminated */
};

struct log_kept {
    struct list lines; /* oldest first */
    size_t lines_n;
    size_t bytes; /* of their texts */
    uint64_t seq; /* of the newest */
};

void log_kept_init(struct log_kept *kept);
void log_kept_deinit(struct log_kept *kept);
/* A line for which memory is short is not kept, and its number is not given out. */
void log_kept_add(struct log_kept *kept,
                  enum kith_log_level level,
                  uint64_t unix_ms,
                  const char *text,
                  size_t len);
/* Which lines are looked for. */
struct log_kept_pick {
    uint64_t after, before;      /* numbers between these; before UINT64_MAX: no end */
    enum kith_log_level level;   /* this one or worse */
    size_t lines_max, bytes_max; /* the newest ones so many, with so many bytes of text */
};
/* Calls @fn for each, oldest first. It must not log. */
void log_kept_each(const struct log_kept *kept,
                   const struct log_kept_pick *pick,
                   void (*fn)(void *user, const struct log_kept_line *line),
                   void *user);

#endif
