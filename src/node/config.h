/*
 * The configuration of a node: one table of keys from which the file reader, the setters, the
 * typed getters, `kith config show` and the manual are made.
 *
 * A value comes from a default, a file (INI) or a caller, and remembers which. Of a key that does
 * not repeat the last value given holds; a key that repeats keeps all of them in order, and an
 * empty value drops those before it.
 *
 * Keys program.* are set by kith_config_from_agent() together with node.role = program: then the
 * node takes cluster id, name and secret from them, keeps its key in memory and writes nothing.
 */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kith/node.h"

enum config_type {
    CONFIG_TEXT,
    CONFIG_PATH,     /* "~/" at the front is the home directory */
    CONFIG_NAME,     /* of a node */
    CONFIG_ADDRESS,  /* host:port */
    CONFIG_U64,      /* a number */
    CONFIG_SIZE,     /* bytes, "8G" */
    CONFIG_DURATION, /* kept in milliseconds, "30s" */
    CONFIG_BOOL,     /* yes/no/true/false/on/off/1/0 */
    CONFIG_CHOICE,   /* one of config_key.choices; its number is the index */
};

#define CONFIG_REPEATS  1u  /* may be given several times */
#define CONFIG_INTERNAL 2u  /* for programs; not in files, not shown */
#define CONFIG_SECRET   4u  /* never shown, never logged */
#define CONFIG_OR_OFF   8u  /* an address, or the word off */
#define CONFIG_RELOADS  16u /* a running node takes it over (node/reload.h) */

struct config_key {
    const char *name; /* "section.key" */
    enum config_type type;
    unsigned flags;
    const char *value; /* default as text; NULL: unset */
    uint64_t min, max; /* of the number that U64, SIZE, DURATION give */
    const char *choices[6];
    const char *help; /* one line */
};

/* All keys in the order in which they are shown. */
const struct config_key *config_keys(size_t *n_out);
const struct config_key *config_key_find(const char *name); /* NULL if unknown */
/* "number", "size (8G)", "lan | fast | wan" ...: @out of @out_bytes; returns @out. */
char *config_key_type_text(const struct config_key *key, char *out, size_t out_bytes);

/* A copy that shares nothing. NULL if memory is short. */
struct kith_config *config_copy(const struct kith_config *config);
/* As kith_config_set(), and says where the value came from ("--listen", "KITH_LOG"), copied. */
int config_set_from(struct kith_config *config,
                    const char *key,
                    const char *value,
                    const char *origin);
/* Exchanges all values of two configurations. */
void config_swap(struct kith_config *a, struct kith_config *b);
/* Drops every value that was given for @key. */
void config_unset(struct kith_config *config, const char *key);

/*
 * Getters for code: @key must exist and be of the type (asserted). The default where nothing was
 * given. Text is NULL if unset and borrowed until the next change.
 */
const char *config_text(const struct kith_config *config, const char *key);
uint64_t config_u64(const struct kith_config *config, const char *key);
uint64_t config_size(const struct kith_config *config, const char *key);
uint64_t config_duration_ms(const struct kith_config *config, const char *key);
bool config_bool(const struct kith_config *config, const char *key);
unsigned config_choice(const struct kith_config *config, const char *key); /* index of the choice */
/* Values of a key that repeats: how many, and the i-th (asserted to exist). */
size_t config_repeat_n(const struct kith_config *config, const char *key);
const char *config_repeat(const struct kith_config *config, const char *key, size_t i);
/* True if a file or a caller gave a value (the default does not count). */
bool config_is_set(const struct kith_config *config, const char *key);
/* Where the i-th value came from: "default", "/etc/kith/kith.conf:3", "--listen". */
const char *config_origin(const struct kith_config *config, const char *key, size_t i);

/*
 * Reads the INI text @text of @len bytes over @config; @path is for messages. As
 * kith_config_load(), which reads the file first.
 */
int config_load_text(struct kith_config *config, const char *path, const char *text, size_t len);

/*
 * Adds the addresses in DIR/seeds (one a line, written by kith join) that @config does not have yet
 * as net.seed. 0, also if there is no such file; KITH_E_IO; KITH_E_PARSE.
 */
#define CONFIG_SEEDS_FILE "seeds"
int config_add_seeds(struct kith_config *config, const char *data_dir);

/* Limits of a configuration file. Debian's libinih cuts lines above 199 bytes without a word. */
#define CONFIG_LINE_BYTES_MAX 198
#define CONFIG_FILE_BYTES_MAX (1024 * 1024)
#define CONFIG_REPEATS_MAX    256

/* Values of node.role, member.profile, member.detector, log.format in the order of the table. */
enum config_role { CONFIG_ROLE_NODE, CONFIG_ROLE_PROGRAM };
enum config_detector { CONFIG_DETECTOR_SWIM, CONFIG_DETECTOR_ECHO };
enum config_log_format { CONFIG_LOG_AUTO, CONFIG_LOG_LOGFMT, CONFIG_LOG_JSON };

#endif
