/*
 * INI files over a configuration, by libinih.
 *
 * Lines are handed to libinih one by one, so that the line number of a bad value is known, and
 * checked first: Debian's build of the library cuts a line at 199 bytes without a word, takes an
 * indented line as the rest of the value above, and knows no comment by '#' behind a value.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/text.h"
#include "node/config.h"

struct ini_source {
    struct kith_config *config;
    const char *path;
    const char *at;
    const char *end;
    unsigned line;
    int failed; /* first error; its sentence is kept in `why` */
    char why[700];
};

static void source_fail(struct ini_source *source, int code, const char *why)
{
    if (source->failed != 0)
        return;
    source->failed = code;
    snprintf(source->why, sizeof(source->why), "%s:%u: %s", source->path, source->line, why);
}

/* Drops a comment that starts with '#' behind white space, as libinih does for ';'. */
static size_t without_comment(const char *line, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (line[i] == '#' && (line[i - 1] == ' ' || line[i - 1] == '\t'))
            return i;
    }
    return len;
}

/* The next line for libinih, as fgets() would give it. */
static char *source_line(char *out, int out_bytes, void *stream)
{
    struct ini_source *source = stream;

    if (source->failed != 0 || source->at >= source->end)
        return NULL;
    source->line++;
    const char *nl = memchr(source->at, '\n', (size_t)(source->end - source->at));
    const char *stop = nl != NULL ? nl : source->end;
    const char *start = source->at;
    source->at = nl != NULL ? nl + 1 : source->end;
    while (start < stop && (*start == ' ' || *start == '\t'))
        start++;
    size_t len = (size_t)(stop - start);
    if (len > CONFIG_LINE_BYTES_MAX || len + 2 > (size_t)out_bytes) {
        char why[128];
        snprintf(why, sizeof(why),
                 "the line has %zu bytes, %d are possible: write a list as several lines", len,
                 CONFIG_LINE_BYTES_MAX);
        source_fail(source, KITH_E_PARSE, why);
        return NULL;
    }
    if (memchr(start, '\0', len) != NULL) {
        source_fail(source, KITH_E_PARSE, "the line holds a zero byte: this is no text file");
        return NULL;
    }
    len = without_comment(start, len);
    memcpy(out, start, len);
    out[len] = '\n';
    out[len + 1] = '\0';
    return out;
}

/* libinih's: 1 is good. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct ini_source *source = user;
    char key[128];
    char origin[512];

    if (source->failed != 0)
        return 0;
    if (section[0] == '\0') {
        source_fail(source, KITH_E_PARSE,
                    "a key before the first [section]: write [node] above it");
        return 0;
    }
    snprintf(key, sizeof(key), "%s.%s", section, name);
    const struct config_key *found = config_key_find(key);
    if (found != NULL && (found->flags & CONFIG_INTERNAL)) {
        source_fail(source, KITH_E_PARSE, "this key cannot be set in a file");
        return 0;
    }
    snprintf(origin, sizeof(origin), "%s:%u", source->path, source->line);
    int r = config_set_from(source->config, key, value, origin);
    if (r == KITH_E_NOT_FOUND || r == KITH_E_PARSE || r == KITH_E_LIMIT)
        source_fail(source, KITH_E_PARSE, kith_errmsg());
    else if (r != 0)
        source_fail(source, r, kith_strerror(r));
    return r == 0;
}

int config_load_text(struct kith_config *config, const char *path, const char *text, size_t len)
{
    struct kith_config *fresh = config_copy(config);
    struct ini_source source = {.config = fresh, .path = path, .at = text, .end = text + len};

    if (fresh == NULL)
        return KITH_E_MEMORY;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        source.at += 3; /* libinih would skip it too, but only while it counts the lines itself */
    int bad_line = ini_parse_stream(source_line, &source, on_pair, &source);
    /* libinih goes on after a line that it cannot read: what failed later is not what is wrong. */
    if (bad_line > 0 && (source.failed == 0 || (unsigned)bad_line < source.line)) {
        source.failed = 0;
        source.line = (unsigned)bad_line;
        source_fail(&source, KITH_E_PARSE, "neither [section] nor key = value");
    } else if (bad_line < 0 && source.failed == 0) {
        source_fail(&source, KITH_E_MEMORY, "out of memory");
    }
    if (source.failed != 0) {
        kith_config_free(fresh);
        return kith_fail_with(source.failed, "%s", source.why);
    }
    config_swap(config, fresh);
    kith_config_free(fresh);
    return 0;
}

static int read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    int r = 0;

    if (file == NULL) {
        int code = errno == ENOENT   ? KITH_E_NOT_FOUND
                   : errno == EACCES ? KITH_E_PERMISSION
                                     : KITH_E_IO;
        return kith_fail_with(code, "%s cannot be read: %s%s", path, strerror(errno),
                              core_errno_advice(errno));
    }
    for (;;) {
        r = buf_reserve(out, 8192);
        if (r != 0)
            break;
        size_t n = fread(out->data + out->len, 1, 8192, file);
        if (n == 0)
            break;
        out->len += n;
        if (out->len > CONFIG_FILE_BYTES_MAX) {
            r = kith_fail_with(KITH_E_PARSE, "%s is larger than %d bytes: this is no configuration",
                               path, CONFIG_FILE_BYTES_MAX);
            break;
        }
    }
    if (r == 0 && ferror(file))
        r = kith_fail_with(KITH_E_IO, "%s cannot be read: %s%s", path, strerror(errno),
                           core_errno_advice(errno));
    (void)fclose(file);
    return r;
}

int kith_config_load(struct kith_config *config, const char *path)
{
    struct buf text = {0};
    int r = read_file(path, &text);

    if (r == 0)
        r = config_load_text(config, path, (const char *)text.data, text.len);
    buf_deinit(&text);
    return r;
}

/* ---- seeds of a join token ----------------------------------------------------------------------
 */

static bool has_seed(const struct kith_config *config, const char *address)
{
    for (size_t i = 0; i < config_repeat_n(config, "net.seed"); i++) {
        if (strcmp(config_repeat(config, "net.seed", i), address) == 0)
            return true;
    }
    return false;
}

int config_add_seeds(struct kith_config *config, const char *data_dir)
{
    char path[4200];
    struct buf text = {0};
    int r = 0;

    snprintf(path, sizeof(path), "%s/" CONFIG_SEEDS_FILE, data_dir);
    r = read_file(path, &text);
    if (r == 0)
        r = buf_append_u8(&text, '\0');
    char *rest = (char *)text.data;
    for (char *line; r == 0 && (line = strsep(&rest, "\r\n")) != NULL;) {
        if (line[0] != '\0' && line[0] != '#' && !has_seed(config, line))
            r = config_set_from(config, "net.seed", line, path);
    }
    buf_deinit(&text);
    return r == KITH_E_NOT_FOUND ? 0 : r;
}
