/*
 * See config.h. Values are kept as text with the number they mean beside it, so that a bad value is
 * found where it is written and not where it is used.
 */
#include "node/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/placement.h"
#include "core/text.h"

#define MS_PER_DAY (24ull * 60 * 60 * 1000)
#define MIB        (1024ull * 1024)

/* In the order of config.h's enums and of enum member_profile, enum kith_log_level (less one). */
/* clang-format off */
static const struct config_key keys[] = {
    {"node.name", CONFIG_NAME, 0, NULL, 0, 0, {0}, "name of this node; the host name if unset"},
    {"node.data_dir", CONFIG_PATH, 0, NULL, 0, 0, {0}, "directory of keys, peer cache and socket"},
    {"node.load", CONFIG_TEXT, CONFIG_REPEATS, NULL, 0, 0, {0}, "module to load: a name or a path"},
    {"node.dev", CONFIG_BOOL, 0, "no", 0, 0, {0},
     "of kith dev: an admin may kill it from the pages of another node"},
    {"node.role", CONFIG_CHOICE, CONFIG_INTERNAL, "node", 0, 0, {"node", "program"}, "what it is"},
    {"net.listen", CONFIG_ADDRESS, 0, "[::]:7117", 0, 0, {0},
     "address and port for peers, TCP and UDP; port 0: any free one"},
    {"net.seed", CONFIG_ADDRESS, CONFIG_REPEATS | CONFIG_RELOADS, NULL, 0, 0, {0},
     "address of any node of the cluster, tried for ever"},
    {"net.secret_file", CONFIG_PATH, 0, NULL, 0, 0, {0},
     "file with a join token or a copy of cluster.key: joins that cluster if in none"},
    {"net.peer_queue_bytes_max", CONFIG_SIZE, 0, "64M", MIB, 1024 * MIB, {0},
     "unsent bytes queued for one peer"},
    {"member.profile", CONFIG_CHOICE, 0, "lan", 0, 0, {"lan", "fast", "wan"},
     "timing of failure detection"},
    {"member.detector", CONFIG_CHOICE, 0, "swim", 0, 0, {"swim", "echo"},
     "swim with suspicion, or every peer echoed"},
    {"member.echo_interval", CONFIG_DURATION, 0, "20s", 100, MS_PER_DAY, {0},
     "detector echo: time between echoes"},
    {"member.echo_limit", CONFIG_DURATION, 0, "10s", 50, MS_PER_DAY, {0},
     "detector echo: failed after this long without a reply"},
    {"view.expect", CONFIG_U64, 0, "0", 0, PLACEMENT_KEEPERS_MAX, {0},
     "so many nodes that all say so make the first view of shared state together; 0: kith init"},
    {"view.settle", CONFIG_DURATION, 0, "3s", 0, MS_PER_DAY, {0},
     "a node that was here so long becomes a voter while there are fewer than three"},
    {"rpc.workers", CONFIG_U64, 0, "0", 0, 1024, {0},
     "threads that run functions; 0: number of CPUs"},
    {"rpc.argument_bytes_max", CONFIG_SIZE, 0, "16M", 1024, RPC_BODY_BYTES_MAX, {0},
     "largest argument taken"},
    {"rpc.reply_bytes_max", CONFIG_SIZE, 0, "16M", 1024, RPC_BODY_BYTES_MAX, {0},
     "largest reply given"},
    {"rpc.pending_max", CONFIG_U64, 0, "65536", 1, RPC_CALLS_PENDING_MAX, {0},
     "calls under way from this node"},
    {"loop.spin_us", CONFIG_U64, CONFIG_RELOADS, "50", 0, 1000, {0},
     "poll so long after activity before sleeping; 0: off"},
    {"fs.workers", CONFIG_U64, 0, "2", 1, 64, {0}, "threads that read, hash and write files"},
    {"fs.memory_cache", CONFIG_SIZE, 0, "1G", MIB, 1024ull * 1024 * MIB, {0},
     "most that fetched files take in memory"},
    {"fs.disk_cache", CONFIG_SIZE, 0, "10G", MIB, 1024ull * 1024 * MIB, {0},
     "most that fetched files take on disk"},
    {"fs.memory_mark", CONFIG_U64, 0, "80", 1, 100, {0},
     "percent of the machine's memory in use above which fetched files move to the disk"},
    {"fs.heal_after", CONFIG_DURATION, 0, "10m", 1000, 30 * MS_PER_DAY, {0},
     "a node that is gone for so long no longer counts as a holder: others make copies"},
    {"web.listen", CONFIG_ADDRESS, CONFIG_OR_OFF, "127.0.0.1:7118", 0, 0, {0},
     "where the pages are, or off; unset: the next free port if that one is taken"},
    {"web.host", CONFIG_TEXT, CONFIG_REPEATS | CONFIG_RELOADS, NULL, 0, 0, {0},
     "further name under which the pages are served"},
    {"web.origin", CONFIG_TEXT, CONFIG_REPEATS | CONFIG_RELOADS, NULL, 0, 0, {0},
     "pages from this origin may ask too, with a bearer token: http://localhost:8000"},
    {"web.cert_file", CONFIG_PATH, 0, NULL, 0, 0, {0},
     "certificate of the pages, PEM; unset: one is made"},
    {"web.key_file", CONFIG_PATH, 0, NULL, 0, 0, {0}, "its key"},
    {"web.register", CONFIG_BOOL, CONFIG_RELOADS, "no", 0, 0, {0}, "anybody may become a user who may look"},
    {"web.session", CONFIG_DURATION, CONFIG_RELOADS, "12h", 60000, 30 * MS_PER_DAY, {0},
     "a session that was not used for so long ends"},
    {"log.level", CONFIG_CHOICE, CONFIG_RELOADS, "info", 0, 0, {"error", "warn", "info", "debug"},
     "least important line that is written"},
    {"log.format", CONFIG_CHOICE, 0, "auto", 0, 0, {"auto", "logfmt", "json"},
     "form of a line; auto: logfmt"},
    {"log.target", CONFIG_PATH, 0, "stderr", 0, 0, {0},
     "stderr, journal, or a file (reopened on SIGHUP)"},
    {"log.access", CONFIG_BOOL, CONFIG_RELOADS, "no", 0, 0, {0}, "one line for every call served"},
    {"program.agent", CONFIG_PATH, CONFIG_INTERNAL, NULL, 0, 0, {0}, "socket of a program's agent"},
    {"program.cluster_id", CONFIG_TEXT, CONFIG_INTERNAL, NULL, 0, 0, {0}, "32 hex digits"},
    {"program.cluster", CONFIG_TEXT, CONFIG_INTERNAL, NULL, 0, 0, {0}, "name of the cluster"},
    {"program.secret", CONFIG_TEXT, CONFIG_INTERNAL | CONFIG_SECRET, NULL, 0, 0, {0},
     "64 hex digits"},
};
/* clang-format on */
#define KEYS_N (sizeof(keys) / sizeof(keys[0]))

struct config_value {
    char *text;
    char *origin;
    uint64_t number;
};

struct config_slot {
    struct config_value *values;
    size_t n;
};

struct kith_config {
    struct config_slot slots[KEYS_N];
    struct config_value defaults[KEYS_N]; /* only the number is used */
};

const struct config_key *config_keys(size_t *n_out)
{
    *n_out = KEYS_N;
    return keys;
}

const struct config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < KEYS_N; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

char *config_key_type_text(const struct config_key *key, char *out, size_t out_bytes)
{
    static const char *const names[] = {
        [CONFIG_TEXT] = "text",
        [CONFIG_PATH] = "path",
        [CONFIG_NAME] = "node name",
        [CONFIG_ADDRESS] = "host:port",
        [CONFIG_U64] = "number",
        [CONFIG_SIZE] = "size (64K, 8G)",
        [CONFIG_DURATION] = "time (500ms, 30s)",
        [CONFIG_BOOL] = "yes or no",
    };
    if (key->type != CONFIG_CHOICE) {
        snprintf(out, out_bytes, "%s%s", names[key->type],
                 (key->flags & CONFIG_OR_OFF) != 0 ? " or off" : "");
        return out;
    }
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < 6 && key->choices[i] != NULL && at < out_bytes; i++) {
        int n = snprintf(out + at, out_bytes - at, "%s%s", i > 0 ? " | " : "", key->choices[i]);
        at += (size_t)n;
    }
    return out;
}

/* ---- values ------------------------------------------------------------------------------- */

static int check_number(const struct config_key *key, const char *text, uint64_t *number_out)
{
    bool yes = false;
    int r = 0;

    switch (key->type) {
    case CONFIG_U64:
        r = text_parse_u64(text, 0, UINT64_MAX, number_out);
        break;
    case CONFIG_SIZE:
        r = text_parse_size(text, number_out);
        break;
    case CONFIG_DURATION:
        r = text_parse_duration_ms(text, number_out);
        break;
    case CONFIG_BOOL:
        r = text_parse_bool(text, &yes);
        *number_out = yes;
        return r;
    default:
        return 0;
    }
    if (r == 0 && (*number_out < key->min || *number_out > key->max))
        return KITH_E_TOO_LARGE;
    return r;
}

static int check_choice(const struct config_key *key, const char *text, uint64_t *number_out)
{
    for (size_t i = 0; i < 6 && key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], text) == 0) {
            *number_out = i;
            return 0;
        }
    }
    return KITH_E_PARSE;
}

/* 0 and the number that @text means; KITH_E_PARSE with a sentence. */
static int check_value(const struct config_key *key, const char *text, uint64_t *number_out)
{
    char type[96];
    char host[256];
    uint16_t port;
    int r = 0;

    *number_out = 0;
    switch (key->type) {
    case CONFIG_TEXT:
    case CONFIG_PATH:
        break;
    case CONFIG_NAME:
        r = text_is_node_name(text) ? 0 : KITH_E_PARSE;
        break;
    case CONFIG_ADDRESS:
        if ((key->flags & CONFIG_OR_OFF) == 0 || strcmp(text, "off") != 0)
            r = text_split_address(text, host, sizeof(host), NET_PORT_DEFAULT, &port);
        break;
    case CONFIG_CHOICE:
        r = check_choice(key, text, number_out);
        break;
    default:
        r = check_number(key, text, number_out);
    }
    if (r == 0)
        return 0;
    if (r == KITH_E_TOO_LARGE)
        return kith_fail_with(KITH_E_PARSE, "%s = %s is out of range: %llu to %llu%s are possible",
                              key->name, text, (unsigned long long)key->min,
                              (unsigned long long)key->max,
                              key->type == CONFIG_SIZE       ? " bytes"
                              : key->type == CONFIG_DURATION ? " ms"
                                                             : "");
    if (key->type == CONFIG_NAME)
        return kith_fail_with(KITH_E_PARSE,
                              "%s = %s is no node name: use 1 to 63 of a-z A-Z 0-9 - _ .",
                              key->name, text);
    config_key_type_text(key, type, sizeof(type));
    return kith_fail_with(KITH_E_PARSE, "%s = %s cannot be read: write %s", key->name, text, type);
}

/* "~/x" is under the home directory; everything else is taken as it is. */
static char *value_text(const struct config_key *key, const char *text)
{
    const char *home = getenv("HOME");

    if (key->type == CONFIG_PATH && text[0] == '~' && text[1] == '/' && home != NULL) {
        size_t len = strlen(home) + strlen(text);
        char *out = core_malloc(len);
        if (out != NULL)
            snprintf(out, len, "%s%s", home, text + 1);
        return out;
    }
    return core_strndup(text, strlen(text));
}

static void value_deinit(struct config_value *value)
{
    if (value->text != NULL)
        explicit_bzero(value->text, strlen(value->text)); /* it may be the cluster's secret */
    core_free(value->text);
    core_free(value->origin);
    *value = (struct config_value){0};
}

static void slot_clear(struct config_slot *slot)
{
    for (size_t i = 0; i < slot->n; i++)
        value_deinit(&slot->values[i]);
    core_free(slot->values);
    *slot = (struct config_slot){0};
}

static int slot_append(struct config_slot *slot, struct config_value *value)
{
    struct config_value *more = core_realloc(slot->values, (slot->n + 1) * sizeof(*more));

    if (more == NULL)
        return KITH_E_MEMORY;
    slot->values = more;
    slot->values[slot->n++] = *value;
    *value = (struct config_value){0};
    return 0;
}

static int
slot_set(struct config_slot *slot, const struct config_key *key, struct config_value *value)
{
    if (key->flags & CONFIG_REPEATS) {
        if (slot->n >= CONFIG_REPEATS_MAX)
            return kith_fail_with(KITH_E_LIMIT, "%s is given more than %d times: remove some",
                                  key->name, CONFIG_REPEATS_MAX);
        return slot_append(slot, value);
    }
    if (slot->n == 1) {
        value_deinit(&slot->values[0]);
        slot->values[0] = *value;
        *value = (struct config_value){0};
        return 0;
    }
    return slot_append(slot, value);
}

/* ---- the object ----------------------------------------------------------------------------- */

struct kith_config *kith_config_new(void)
{
    struct kith_config *config = core_calloc(1, sizeof(*config));

    if (config == NULL)
        return NULL;
    for (size_t i = 0; i < KEYS_N; i++) {
        if (keys[i].value != NULL) {
            int r = check_value(&keys[i], keys[i].value, &config->defaults[i].number);
            assert(r == 0);
            (void)r;
        }
    }
    return config;
}

void kith_config_free(struct kith_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < KEYS_N; i++)
        slot_clear(&config->slots[i]);
    core_free(config);
}

static int value_copy(const struct config_value *from, struct config_value *out)
{
    *out = (struct config_value){.number = from->number};
    out->text = core_strndup(from->text, strlen(from->text));
    out->origin = core_strndup(from->origin, strlen(from->origin));
    if (out->text == NULL || out->origin == NULL) {
        value_deinit(out);
        return KITH_E_MEMORY;
    }
    return 0;
}

struct kith_config *config_copy(const struct kith_config *config)
{
    struct kith_config *copy = kith_config_new();
    struct config_value value;

    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < KEYS_N; i++) {
        for (size_t j = 0; j < config->slots[i].n; j++) {
            if (value_copy(&config->slots[i].values[j], &value) != 0 ||
                slot_append(&copy->slots[i], &value) != 0) {
                value_deinit(&value);
                kith_config_free(copy);
                return NULL;
            }
        }
    }
    return copy;
}

void config_swap(struct kith_config *a, struct kith_config *b)
{
    struct kith_config kept = *a;

    *a = *b;
    *b = kept;
}

/* Position of @name in the table; KITH_E_NOT_FOUND with the nearest key. */
static int key_index(const char *name, size_t *index_out)
{
    const char *names[KEYS_N];
    size_t n = 0;

    for (size_t i = 0; i < KEYS_N; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            *index_out = i;
            return 0;
        }
        if (!(keys[i].flags & CONFIG_INTERNAL))
            names[n++] = keys[i].name;
    }
    const char *nearest = text_nearest(name, names, n);
    if (nearest != NULL)
        return kith_fail_with(KITH_E_NOT_FOUND, "there is no key %s: did you mean %s?", name,
                              nearest);
    return kith_fail_with(KITH_E_NOT_FOUND, "there is no key %s: kith config show lists all keys",
                          name);
}

int config_set_from(struct kith_config *config,
                    const char *key,
                    const char *value,
                    const char *origin)
{
    struct config_value set = {0};
    size_t at = 0;
    int r = key_index(key, &at);

    if (r != 0)
        return r;
    if (value[0] == '\0' && ((keys[at].flags & CONFIG_REPEATS) || keys[at].type == CONFIG_PATH ||
                             keys[at].type == CONFIG_NAME || keys[at].type == CONFIG_TEXT)) {
        slot_clear(&config->slots[at]);
        return 0;
    }
    r = check_value(&keys[at], value, &set.number);
    if (r != 0)
        return r;
    set.text = value_text(&keys[at], value);
    set.origin = core_strndup(origin, strlen(origin));
    r = set.text == NULL || set.origin == NULL ? KITH_E_MEMORY
                                               : slot_set(&config->slots[at], &keys[at], &set);
    value_deinit(&set);
    return r;
}

int kith_config_set(struct kith_config *config, const char *key, const char *value)
{
    return config_set_from(config, key, value, "program");
}

void config_unset(struct kith_config *config, const char *key)
{
    size_t at = 0;

    if (key_index(key, &at) == 0)
        slot_clear(&config->slots[at]);
}

const char *kith_config_get(const struct kith_config *config, const char *key)
{
    const struct config_key *found = config_key_find(key);

    if (found == NULL)
        return NULL;
    const struct config_slot *slot = &config->slots[found - keys];
    return slot->n > 0 ? slot->values[0].text : found->value;
}

/* ---- getters -------------------------------------------------------------------------------- */

static size_t index_of(const char *key)
{
    const struct config_key *found = config_key_find(key);

    assert(found != NULL);
    return (size_t)(found - keys);
}

static uint64_t number_of(const struct kith_config *config, const char *key, enum config_type type)
{
    size_t at = index_of(key);

    assert(keys[at].type == type);
    assert(keys[at].value != NULL);
    return config->slots[at].n > 0 ? config->slots[at].values[0].number
                                   : config->defaults[at].number;
}

const char *config_text(const struct kith_config *config, const char *key)
{
    assert(config_key_find(key) != NULL);
    return kith_config_get(config, key);
}

uint64_t config_u64(const struct kith_config *config, const char *key)
{
    return number_of(config, key, CONFIG_U64);
}

uint64_t config_size(const struct kith_config *config, const char *key)
{
    return number_of(config, key, CONFIG_SIZE);
}

uint64_t config_duration_ms(const struct kith_config *config, const char *key)
{
    return number_of(config, key, CONFIG_DURATION);
}

bool config_bool(const struct kith_config *config, const char *key)
{
    return number_of(config, key, CONFIG_BOOL) != 0;
}

unsigned config_choice(const struct kith_config *config, const char *key)
{
    return (unsigned)number_of(config, key, CONFIG_CHOICE);
}

size_t config_repeat_n(const struct kith_config *config, const char *key)
{
    size_t at = index_of(key);

    assert(keys[at].flags & CONFIG_REPEATS);
    return config->slots[at].n;
}

const char *config_repeat(const struct kith_config *config, const char *key, size_t i)
{
    size_t at = index_of(key);

    assert(i < config->slots[at].n);
    return config->slots[at].values[i].text;
}

bool config_is_set(const struct kith_config *config, const char *key)
{
    return config->slots[index_of(key)].n > 0;
}

const char *config_origin(const struct kith_config *config, const char *key, size_t i)
{
    const struct config_slot *slot = &config->slots[index_of(key)];

    return i < slot->n ? slot->values[i].origin : "default";
}
