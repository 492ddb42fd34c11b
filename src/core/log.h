/*
 * How every room logs: a level, an area, a message and key=value pairs, to a sink the node sets.
 *
 *     log_warn(log, "net", "peer refused", "peer", name, "reason", text, NULL);
 *
 * Cores do not log; drivers do.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "kith/node.h"

struct log {
    enum kith_log_level level; /* lines above it are not formatted; may be changed by any thread */
    /* Pairs: key, value, key, value, ... @pairs_n pairs, all borrowed. Any thread. */
    void (*sink)(struct log *log,
                 enum kith_log_level level,
                 const char *area,
                 const char *message,
                 const char *const *pairs,
                 size_t pairs_n);
    void *user;
};

/* The level as it is now, and a new one. Any thread. */
static inline enum kith_log_level log_level(const struct log *log)
{
    return __atomic_load_n(&log->level, __ATOMIC_RELAXED);
}
static inline void log_set_level(struct log *log, enum kith_log_level level)
{
    __atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}

/*
 * Pairs of text end with NULL. @log may be NULL: nothing is written. At most LOG_PAIRS_MAX pairs,
 * more are cut. A value that is NULL ends the pairs too.
 */
#define LOG_PAIRS_MAX 16
void log_line(struct log *log,
              enum kith_log_level level,
              const char *area,
              const char *message,
              ...) __attribute__((sentinel));

#define log_error(log, area, ...) log_line(log, KITH_LOG_ERROR, area, __VA_ARGS__)
#define log_warn(log, area, ...)  log_line(log, KITH_LOG_WARN, area, __VA_ARGS__)
#define log_info(log, area, ...)  log_line(log, KITH_LOG_INFO, area, __VA_ARGS__)
#define log_debug(log, area, ...)                                                                  \
    do {                                                                                           \
        if ((log) != NULL && log_level(log) >= KITH_LOG_DEBUG)                                     \
            log_line(log, KITH_LOG_DEBUG, area, __VA_ARGS__);                                      \
    } while (0)

/*
 * Lets one line per @period_ms through per instance; the caller adds the count of those held back.
 * Zeroed is valid. Returns false to hold back; *held_out is how many were held since the last.
 */
struct log_limit {
    uint64_t next_ms;
    uint64_t held;
};
bool log_limit_pass(struct log_limit *limit,
                    uint64_t now_ms,
                    uint64_t period_ms,
                    uint64_t *held_out);

#endif
