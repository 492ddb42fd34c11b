/*
 * The node's logs: where lines of struct log go.
 *
 * Three logs share one target: system (what the node does), application (kith_log()) and access
 * (a line for each call served). A line is logfmt or JSON; it goes to stderr, to the journal (when
 * stderr is the journal's stream: priority prefix, no time) or to a file that can be reopened.
 *
 *     time=2026-05-01T12:00:00.000Z level=warn area=net msg="peer refused" peer=lab-02 reason="..."
 *
 * Lines that are identical but for their time within NODE_LOG_FOLD_MS are counted instead of
 * written; the count follows as the same line with repeated=N. What looks like a secret (a value of
 * a key named secret, token, psk or password; a join token anywhere) is written as "(hidden)".
 *
 * Writing never waits: a pipe or terminal that takes nothing more loses lines, which are counted
 * and told of when it takes some again.
 */
#ifndef NODE_LOG_H
#define NODE_LOG_H

#include "core/log.h"

/* Identical lines within this time after the first one are counted. */
#define NODE_LOG_FOLD_MS 5000

enum node_log_format {
    NODE_LOG_LOGFMT = 0,
    NODE_LOG_JSON = 1,
};

struct node_log_options {
    enum kith_log_level level; /* of the system and the application log */
    bool access;               /* lines of the access log are written */
    enum node_log_format format;
    const char *target; /* "stderr" or NULL, "journal", or the path of a file; copied */
    /*
     * Gets each line as logfmt without newline, up to the level of node_log_set_tap(). Runs on the
     * thread that logs, under the log's mutex: it may copy and post, and must not log. May be NULL.
     */
    void (*tap)(void *user, enum kith_log_level level, const char *line);
    void *tap_user;
    bool keep; /* the newest lines that are written, for node_log_kept() */
};

struct node_log_sink;

struct node_log {
    struct log log; /* system */
    struct log app;
    struct log access; /* lines have level info */
    struct node_log_sink *sink;
};

/*
 * Opens the target. @log must not move afterwards. Returns 0; KITH_E_IO, KITH_E_PERMISSION or
 * KITH_E_NOT_FOUND for a file that cannot be opened; KITH_E_MEMORY.
 */
int node_log_open(struct node_log *log, const struct node_log_options *options);
/* Writes what is counted and closes. No other thread may log any more. Zeroed is fine, twice too.
 */
void node_log_close(struct node_log *log);

/* All below: any thread. */

void node_log_set_level(struct node_log *log, enum kith_log_level level);
enum kith_log_level node_log_level(const struct node_log *log);
void node_log_set_access(struct node_log *log, bool access);
/* Lines up to @level go to the tap, whatever is written elsewhere; 0: none. */
void node_log_set_tap(struct node_log *log, enum kith_log_level level);
/* The newest lines that were written, as logfmt: log_kept_each() under the log's mutex. */
struct log_kept_line;
struct log_kept_pick;
void node_log_kept(struct node_log *log,
                   const struct log_kept_pick *pick,
                   void (*fn)(void *user, const struct log_kept_line *line),
                   void *user);
/* Opens the file anew (it may have been renamed). On failure goes on with the old one. 0 or
 * KITH_E_*. */
int node_log_reopen_file(struct node_log *log);
/* Writes counts whose time is over. To be called about once a second. */
void node_log_tick(struct node_log *log);

/* "error", "warn", "info", "debug". Static. */
const char *node_log_level_text(enum kith_log_level level);
/* 0 or KITH_E_PARSE. */
int node_log_level_parse(const char *text, enum kith_log_level *level_out);

#endif
