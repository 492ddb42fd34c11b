/*
 * The sink: formats on the thread that logs, then, under one mutex, folds and writes.
 *
 * Folding keeps the last few distinct lines by hash. A line that is there already and young is only
 * counted; a count is written when its time is over, when its place is needed, or at the end.
 */
#include "node/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/map.h"
#include "kith/error.h"
#include "node/log_kept.h"
#include "node/log_line.h"
#include "node/log_target.h"

#define FOLDS_N 16

struct fold {
    uint64_t hash; /* of the line without its time; 0: free */
    uint64_t since_ms;
    uint64_t repeated;
    enum kith_log_level level;
    bool access;
    struct log_line *line;     /* as it was first written; made at the first repeat */
    struct log_line *tap_line; /* the same as logfmt for tap and kept, if the target has JSON */
};

struct node_log_sink {
    pthread_mutex_t mutex;
    struct log_target target;
    bool json;
    enum kith_log_level level;     /* atomic; of what is written */
    enum kith_log_level tap_level; /* atomic; 0: none */
    bool access;                   /* atomic */
    void (*tap)(void *user, enum kith_log_level level, const char *line);
    void *tap_user;
    struct log_kept *kept;      /* NULL: none are; else under the mutex */
    struct fold folds[FOLDS_N]; /* under the mutex */
};

const char *node_log_level_text(enum kith_log_level level)
{
    static const char *const names[] = {"off", "error", "warn", "info", "debug"};
    return (unsigned)level < sizeof(names) / sizeof(names[0]) ? names[level] : "debug";
}

int node_log_level_parse(const char *text, enum kith_log_level *level_out)
{
    for (unsigned level = KITH_LOG_ERROR; text != NULL && level <= KITH_LOG_DEBUG; level++) {
        if (strcmp(text, node_log_level_text((enum kith_log_level)level)) == 0) {
            *level_out = (enum kith_log_level)level;
            return 0;
        }
    }
    return KITH_E_PARSE;
}

/* ---- writing, under the mutex ---- */

static void write_text(struct node_log_sink *sink, enum kith_log_level level, struct log_line *line)
{
    /* syslog's priorities: error 3, warning 4, info 6, debug 7. */
    static const char *const priorities[] = {"<3>", "<3>", "<4>", "<6>", "<7>"};
    const char *text = line->text;
    size_t len = line->len;
    char saved = line->text[len];
    char prefixed[LOG_LINE_BYTES + 96];
    line->text[len++] = '\n';
    if (sink->target.journal) {
        /* The journal has its own time. */
        size_t skip = sink->json ? 0 : line->time_len;
        memcpy(prefixed, priorities[level], 3);
        memcpy(prefixed + 3, text + skip, len - skip);
        text = prefixed;
        len = len - skip + 3;
    }
    (void)log_target_write(&sink->target, text, len);
    line->text[line->len] = saved;
}

/* Before a line goes out: how many went nowhere. */
static void tell_lost(struct node_log_sink *sink, uint64_t now_ms)
{
    uint64_t lost = sink->target.lost;
    if (lost == 0)
        return;
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)lost);
    const char *pairs[] = {"lost", text};
    struct log_record record = {.unix_ms = now_ms,
                                .level = KITH_LOG_WARN,
                                .area = "log",
                                .message = "lines lost: the log's target took no more",
                                .pairs = pairs,
                                .pairs_n = 1};
    struct log_line line;
    log_line_format(&line, &record, sink->json);
    sink->target.lost = 0;
    write_text(sink, KITH_LOG_WARN, &line);
    if (sink->target.lost != 0)
        sink->target.lost = lost; /* this line does not count */
}

static void keep(struct node_log_sink *sink,
                 enum kith_log_level level,
                 uint64_t unix_ms,
                 const struct log_line *logfmt)
{
    if (sink->kept != NULL)
        log_kept_add(sink->kept, level, unix_ms, logfmt->text, logfmt->len);
}

/* Whether a line of @level goes to the target. */
static bool is_written(const struct node_log_sink *sink, enum kith_log_level level, bool access)
{
    return access ? __atomic_load_n(&sink->access, __ATOMIC_RELAXED)
                  : level <= __atomic_load_n(&sink->level, __ATOMIC_RELAXED);
}

/* What is not written anywhere, such as access lines by default, the tap gets with debug only. */
static bool is_tapped(const struct node_log_sink *sink, enum kith_log_level level, bool access)
{
    enum kith_log_level tap_level = __atomic_load_n(&sink->tap_level, __ATOMIC_RELAXED);
    if (sink->tap == NULL || level > tap_level)
        return false;
    return !access || tap_level >= KITH_LOG_DEBUG || is_written(sink, level, true);
}

/* ---- folding, under the mutex ---- */

static void fold_tell(struct node_log_sink *sink, struct fold *fold, uint64_t now_ms)
{
    struct log_line *logfmt = sink->json ? fold->tap_line : fold->line;
    bool written = is_written(sink, fold->level, fold->access);

    log_line_repeat(fold->line, now_ms, fold->repeated, sink->json);
    if (sink->json && logfmt != NULL)
        log_line_repeat(logfmt, now_ms, fold->repeated, false);
    if (written)
        write_text(sink, fold->level, fold->line);
    if (logfmt == NULL)
        return;
    if (written)
        keep(sink, fold->level, now_ms, logfmt);
    if (is_tapped(sink, fold->level, fold->access))
        sink->tap(sink->tap_user, fold->level, logfmt->text);
}

static void fold_end(struct node_log_sink *sink, struct fold *fold, uint64_t now_ms)
{
    if (fold->repeated > 0)
        fold_tell(sink, fold, now_ms);
    fold->hash = 0;
    fold->repeated = 0;
}

static void folds_tick(struct node_log_sink *sink, uint64_t now_ms)
{
    for (size_t i = 0; i < FOLDS_N; i++) {
        struct fold *fold = &sink->folds[i];
        /* Also when the clock was set back. */
        if (fold->hash != 0 && now_ms - fold->since_ms >= NODE_LOG_FOLD_MS)
            fold_end(sink, fold, now_ms);
    }
}

/* One more of @fold's kind. False if memory is short: then the repeat is written as it is. */
static bool
fold_count(struct fold *fold, const struct log_line *line, const struct log_line *tapped)
{
    if (fold->line == NULL)
        fold->line = core_malloc(sizeof(*fold->line));
    if (fold->line == NULL)
        return false;
    if (fold->repeated++ > 0)
        return true;
    *fold->line = *line;
    if (tapped != NULL && fold->tap_line == NULL)
        fold->tap_line = core_malloc(sizeof(*fold->tap_line));
    if (tapped != NULL && fold->tap_line != NULL)
        *fold->tap_line = *tapped;
    return true;
}

/* True if the line is one more of its kind and counted; else it is remembered as the first. */
static bool fold_line(struct node_log_sink *sink,
                      const struct log_record *record,
                      bool access,
                      const struct log_line *line,
                      const struct log_line *tapped)
{
    size_t skip = line->time_len;
    uint64_t hash = hash_bytes(line->text + skip, line->len - skip, record->level) | 1;
    struct fold *oldest = &sink->folds[0];
    for (size_t i = 0; i < FOLDS_N; i++) {
        struct fold *fold = &sink->folds[i];
        if (fold->hash == hash)
            return fold_count(fold, line, tapped);
        if (oldest->hash != 0 && (fold->hash == 0 || fold->since_ms < oldest->since_ms))
            oldest = fold;
    }
    fold_end(sink, oldest, record->unix_ms);
    oldest->hash = hash;
    oldest->since_ms = record->unix_ms;
    oldest->level = record->level;
    oldest->access = access;
    return false;
}

/* ---- the sink of struct log, any thread ---- */

static void emit(struct node_log_sink *sink, const struct log_record *record, bool access)
{
    struct log_line line;
    struct log_line logfmt;
    bool write = is_written(sink, record->level, access);
    bool tap = is_tapped(sink, record->level, access);
    bool both = sink->json && (tap || sink->kept != NULL);
    log_line_format(&line, record, sink->json);
    if (both)
        log_line_format(&logfmt, record, false);
    pthread_mutex_lock(&sink->mutex);
    folds_tick(sink, record->unix_ms);
    if (!fold_line(sink, record, access, &line, both ? &logfmt : NULL)) {
        if (write) {
            tell_lost(sink, record->unix_ms);
            write_text(sink, record->level, &line);
            keep(sink, record->level, record->unix_ms, both ? &logfmt : &line);
        }
        if (tap)
            sink->tap(sink->tap_user, record->level, both ? logfmt.text : line.text);
    }
    pthread_mutex_unlock(&sink->mutex);
}

static void on_line(struct log *log,
                    enum kith_log_level level,
                    const char *area,
                    const char *message,
                    const char *const *pairs,
                    size_t pairs_n)
{
    struct node_log *logs = log->user;
    struct node_log_sink *sink = logs->sink;
    bool access = log == &logs->access;
    if (!is_written(sink, level, access) && !is_tapped(sink, level, access))
        return;
    struct log_record record = {.unix_ms = log_target_now_ms(),
                                .level = level,
                                .log = access              ? "access"
                                       : log == &logs->app ? "app"
                                                           : NULL,
                                .area = area,
                                .message = message,
                                .pairs = pairs,
                                .pairs_n = pairs_n};
    emit(sink, &record, access);
}

/* The levels of the three fronts follow from what anyone wants to see. */
static void spread_levels(struct node_log *log)
{
    struct node_log_sink *sink = log->sink;
    enum kith_log_level tap = __atomic_load_n(&sink->tap_level, __ATOMIC_RELAXED);
    enum kith_log_level level = __atomic_load_n(&sink->level, __ATOMIC_RELAXED);
    enum kith_log_level most = tap > level ? tap : level;
    bool access = __atomic_load_n(&sink->access, __ATOMIC_RELAXED);
    log_set_level(&log->log, most);
    log_set_level(&log->app, most);
    bool wanted = access || tap >= KITH_LOG_DEBUG;
    log_set_level(&log->access, wanted ? KITH_LOG_INFO : (enum kith_log_level)0);
}

int node_log_open(struct node_log *log, const struct node_log_options *options)
{
    *log = (struct node_log){0};
    struct node_log_sink *sink = core_calloc(1, sizeof(*sink));
    if (sink == NULL)
        return KITH_E_MEMORY;
    int r = log_target_open(&sink->target, options->target);
    if (r == 0 && pthread_mutex_init(&sink->mutex, NULL) != 0) {
        log_target_close(&sink->target);
        r = KITH_E_MEMORY;
    }
    if (r != 0) {
        core_free(sink);
        return r;
    }
    sink->json = options->format == NODE_LOG_JSON;
    sink->level = options->level;
    sink->access = options->access;
    sink->tap = options->tap;
    sink->tap_user = options->tap_user;
    if (options->keep && (sink->kept = core_malloc(sizeof(*sink->kept))) != NULL)
        log_kept_init(sink->kept);
    struct log front = {.sink = on_line, .user = log};
    *log = (struct node_log){.log = front, .app = front, .access = front, .sink = sink};
    spread_levels(log);
    return 0;
}

void node_log_close(struct node_log *log)
{
    struct node_log_sink *sink = log->sink;
    if (sink == NULL)
        return;
    for (size_t i = 0; i < FOLDS_N; i++) {
        fold_end(sink, &sink->folds[i], log_target_now_ms());
        core_free(sink->folds[i].line);
        core_free(sink->folds[i].tap_line);
    }
    tell_lost(sink, log_target_now_ms());
    log_target_close(&sink->target);
    (void)pthread_mutex_destroy(&sink->mutex);
    if (sink->kept != NULL)
        log_kept_deinit(sink->kept);
    core_free(sink->kept);
    core_free(sink);
    *log = (struct node_log){0};
}

void node_log_kept(struct node_log *log,
                   const struct log_kept_pick *pick,
                   void (*fn)(void *user, const struct log_kept_line *line),
                   void *user)
{
    pthread_mutex_lock(&log->sink->mutex);
    if (log->sink->kept != NULL)
        log_kept_each(log->sink->kept, pick, fn, user);
    pthread_mutex_unlock(&log->sink->mutex);
}

void node_log_set_level(struct node_log *log, enum kith_log_level level)
{
    pthread_mutex_lock(&log->sink->mutex);
    __atomic_store_n(&log->sink->level, level, __ATOMIC_RELAXED);
    spread_levels(log);
    pthread_mutex_unlock(&log->sink->mutex);
}

enum kith_log_level node_log_level(const struct node_log *log)
{
    return __atomic_load_n(&log->sink->level, __ATOMIC_RELAXED);
}

void node_log_set_access(struct node_log *log, bool access)
{
    pthread_mutex_lock(&log->sink->mutex);
    __atomic_store_n(&log->sink->access, access, __ATOMIC_RELAXED);
    spread_levels(log);
    pthread_mutex_unlock(&log->sink->mutex);
}

void node_log_set_tap(struct node_log *log, enum kith_log_level level)
{
    pthread_mutex_lock(&log->sink->mutex);
    __atomic_store_n(&log->sink->tap_level, level, __ATOMIC_RELAXED);
    spread_levels(log);
    pthread_mutex_unlock(&log->sink->mutex);
}

int node_log_reopen_file(struct node_log *log)
{
    pthread_mutex_lock(&log->sink->mutex);
    int r = log_target_reopen(&log->sink->target);
    pthread_mutex_unlock(&log->sink->mutex);
    return r;
}

void node_log_tick(struct node_log *log)
{
    pthread_mutex_lock(&log->sink->mutex);
    folds_tick(log->sink, log_target_now_ms());
    tell_lost(log->sink, log_target_now_ms());
    pthread_mutex_unlock(&log->sink->mutex);
}
