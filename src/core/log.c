/*
 * From variable arguments to pairs; and the limit that lets one line a period through.
 */
#include "core/log.h"

#include <stdarg.h>

void log_line(
    struct log *log, enum kith_log_level level, const char *area, const char *message, ...)
{
    if (log == NULL || log->sink == NULL || level > log_level(log))
        return;
    const char *pairs[2 * LOG_PAIRS_MAX];
    size_t pairs_n = 0;
    va_list args;
    va_start(args, message);
    while (pairs_n < LOG_PAIRS_MAX) {
        const char *key = va_arg(args, const char *);
        const char *value = key != NULL ? va_arg(args, const char *) : NULL;
        if (value == NULL)
            break;
        pairs[2 * pairs_n] = key;
        pairs[2 * pairs_n + 1] = value;
        pairs_n++;
    }
    va_end(args);
    log->sink(log, level, area, message, pairs, pairs_n);
}

bool log_limit_pass(struct log_limit *limit,
                    uint64_t now_ms,
                    uint64_t period_ms,
                    uint64_t *held_out)
{
    if (now_ms < limit->next_ms) {
        limit->held++;
        *held_out = 0;
        return false;
    }
    *held_out = limit->held;
    limit->held = 0;
    limit->next_ms = now_ms + period_ms;
    return true;
}
