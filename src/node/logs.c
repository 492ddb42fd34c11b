/*
 * The node's logs: opening them as configured, lines of programs, and following them live.
 */
#include <stdarg.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

/* Lines on their way to watchers at once; more are dropped, as a slow loop must not hold them all.
 */
#define TAP_LINES_MAX 1024

struct tap_line {
    struct node_request request;
    enum kith_log_level level;
    char line[];
};

static void tap_run(struct kith_node *node, struct node_request *request)
{
    struct tap_line *tapped = container_of(request, struct tap_line, request);
    struct node_log_watch *watch = node->log_watches;

    atomic_fetch_sub(&node->tap_lines, 1);
    for (; watch != NULL; watch = node->log_next) {
        node->log_next = watch->next; /* node_log_watch_remove() keeps it right */
        if (tapped->level <= watch->level)
            watch->cb(watch, tapped->level, tapped->line);
    }
    core_free(tapped);
}

/* Any thread, under the mutex of the log: copies and posts. */
static void on_tap(void *user, enum kith_log_level level, const char *line)
{
    struct kith_node *node = user;
    size_t bytes = strlen(line) + 1;

    if (atomic_load(&node->tap_lines) >= TAP_LINES_MAX)
        return;
    struct tap_line *tapped = core_malloc(sizeof(*tapped) + bytes);
    if (tapped == NULL)
        return;
    tapped->request.run = tap_run;
    tapped->level = level;
    memcpy(tapped->line, line, bytes);
    atomic_fetch_add(&node->tap_lines, 1);
    node_push(node, &tapped->request);
}

static void set_tap(struct kith_node *node)
{
    enum kith_log_level level = 0;
    for (struct node_log_watch *watch = node->log_watches; watch != NULL; watch = watch->next)
        level = watch->level > level ? watch->level : level;
    node_log_set_tap(&node->log, level);
}

void node_log_watch_add(struct kith_node *node, struct node_log_watch *watch)
{
    watch->next = node->log_watches;
    node->log_watches = watch;
    set_tap(node);
}

void node_log_watch_remove(struct kith_node *node, struct node_log_watch *watch)
{
    if (node->log_next == watch)
        node->log_next = watch->next;
    for (struct node_log_watch **at = &node->log_watches; *at != NULL; at = &(*at)->next) {
        if (*at == watch) {
            *at = watch->next;
            break;
        }
    }
    set_tap(node);
}

static enum kith_log_level level_of(const struct kith_config *config)
{
    return (enum kith_log_level)(config_choice(config, "log.level") + 1);
}

int node_logs_open(struct kith_node *node)
{
    struct node_log_options options = {
        .level = level_of(node->config),
        .access = config_bool(node->config, "log.access"),
        .format = config_choice(node->config, "log.format") == CONFIG_LOG_JSON ? NODE_LOG_JSON
                                                                               : NODE_LOG_LOGFMT,
        .target = config_text(node->config, "log.target"),
        .tap = on_tap,
        .tap_user = node,
        .keep = !node->program,
    };
    /* A program's own output is its author's: only what went wrong is worth a line there. */
    if (node->program && !config_is_set(node->config, "log.level"))
        options.level = KITH_LOG_WARN;
    return node_log_open(&node->log, &options);
}

void node_set_log_level(struct kith_node *node, enum kith_log_level level)
{
    node_log_set_level(&node->log, level);
}

enum kith_log_level node_get_log_level(struct kith_node *node)
{
    return node_log_level(&node->log);
}

void node_log_lines(struct kith_node *node,
                    const struct log_kept_pick *pick,
                    void (*fn)(void *user, const struct log_kept_line *line),
                    void *user)
{
    node_log_kept(&node->log, pick, fn, user);
}

void node_log_reopen(struct kith_node *node)
{
    if (node_log_reopen_file(&node->log) != 0)
        log_error(&node->log.log, "node", "the log file is not reopened", "reason", kith_errmsg(),
                  NULL);
}

void kith_log(struct kith_node *node, enum kith_log_level level, const char *format, ...)
{
    char line[NODE_LOG_LINE_BYTES_MAX + 1];
    va_list args;

    if (node == NULL || format == NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log_line(&node->log.app, level, "app", line, NULL);
}

void node_logs_reload(struct kith_node *node, const struct kith_config *config)
{
    node_log_set_level(&node->log, level_of(config));
    node_log_set_access(&node->log, config_bool(config, "log.access"));
}
