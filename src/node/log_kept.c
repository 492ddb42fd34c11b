#include "node/log_kept.h"

#include <string.h>

#include "core/alloc.h"

void log_kept_init(struct log_kept *kept)
{
    *kept = (struct log_kept){0};
    list_init(&kept->lines);
}

static void drop_oldest(struct log_kept *kept)
{
    struct log_kept_line *line = container_of(kept->lines.next, struct log_kept_line, link);

    list_remove(&line->link);
    kept->lines_n--;
    kept->bytes -= line->len;
    core_free(line);
}

void log_kept_deinit(struct log_kept *kept)
{
    while (kept->lines_n > 0)
        drop_oldest(kept);
}

void log_kept_add(struct log_kept *kept,
                  enum kith_log_level level,
                  uint64_t unix_ms,
                  const char *text,
                  size_t len)
{
    struct log_kept_line *line = core_malloc(sizeof(*line) + len + 1);

    if (line == NULL)
        return;
    *line = (struct log_kept_line){
        .seq = ++kept->seq, .unix_ms = unix_ms, .level = level, .len = (uint32_t)len};
    memcpy(line->text, text, len);
    line->text[len] = '\0';
    list_append(&kept->lines, &line->link);
    kept->lines_n++;
    kept->bytes += len;
    while (kept->lines_n > NODE_LOG_KEPT_LINES || kept->bytes > NODE_LOG_KEPT_BYTES)
        drop_oldest(kept);
}

static bool fits(const struct log_kept_line *line, const struct log_kept_pick *pick)
{
    return line->level <= pick->level && line->seq > pick->after && line->seq < pick->before;
}

static const struct log_kept_line *line_of(const struct list *link)
{
    return container_of((struct list *)(uintptr_t)link, struct log_kept_line, link);
}

void log_kept_each(const struct log_kept *kept,
                   const struct log_kept_pick *pick,
                   void (*fn)(void *user, const struct log_kept_line *line),
                   void *user)
{
    const struct list *first = &kept->lines;
    size_t lines_n = 0, bytes = 0;

    for (const struct list *it = first->prev; it != &kept->lines; it = it->prev) {
        if (line_of(it)->seq <= pick->after)
            break;
        if (!fits(line_of(it), pick))
            continue;
        bytes += line_of(it)->len;
        if (++lines_n > pick->lines_max || bytes > pick->bytes_max)
            break;
        first = it;
    }
    for (; first != &kept->lines; first = first->next) {
        if (fits(line_of(first), pick))
            fn(user, line_of(first));
    }
}
