#include "http/file_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/text.h"

/* ---- ranges ---- */

/* Digits up to @stop, which may be the end. False: none, or too many. */
static bool number(const char **at, uint64_t *out)
{
    const char *from = *at;
    uint64_t n = 0;

    while (**at >= '0' && **at <= '9') {
        if (*at - from >= 18)
            return false;
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
    }
    *out = n;
    return *at > from;
}

enum file_range file_range(const char *text, uint64_t size, uint64_t *from_out, uint64_t *end_out)
{
    uint64_t from = 0, last = 0;
    const char *at = text;

    *from_out = 0;
    *end_out = size;
    if (text == NULL || strncasecmp(text, "bytes=", 6) != 0)
        return FILE_WHOLE;
    at += 6;
    if (*at == '-') { /* the last so many */
        at++;
        if (!number(&at, &last) || *at != '\0')
            return FILE_WHOLE;
        if (last == 0 || size == 0)
            return FILE_BEHIND;
        *from_out = last < size ? size - last : 0;
        return FILE_PART;
    }
    if (!number(&at, &from) || *at++ != '-')
        return FILE_WHOLE;
    bool open = *at == '\0';
    if (!open && (!number(&at, &last) || *at != '\0' || last < from))
        return FILE_WHOLE;
    if (from >= size)
        return FILE_BEHIND;
    *from_out = from;
    *end_out = open || last >= size ? size : last + 1;
    return FILE_PART;
}

/* ---- ETags ---- */

bool file_etag_listed(const char *list, const char *hash, bool weak)
{
    size_t hash_len = strlen(hash);

    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, " \t,");
        if (strcmp(at, "*") == 0)
            return true;
        bool is_weak = strncmp(at, "W/", 2) == 0;
        at += is_weak ? 2 : 0;
        const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (end == NULL)
            return false;
        if ((weak || !is_weak) && (size_t)(end - at - 1) == hash_len &&
            memcmp(at + 1, hash, hash_len) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

bool file_etag_one(const char *text, char *hash_out)
{
    size_t len = strlen(text);

    if (len != 66 || text[0] != '"' || text[65] != '"' ||
        strspn(text + 1, "0123456789abcdef") != 64)
        return false;
    memcpy(hash_out, text + 1, 64);
    hash_out[64] = '\0';
    return true;
}

/* ---- kinds ---- */

struct kind {
    const char *suffix, *type;
    bool shown;
};

#define LAST_UNIX_S 253402300799u /* of the year 9999 */
#define PLAIN       "text/plain; charset=utf-8"

static const struct kind kinds[] = {
    {"7z", "application/x-7z-compressed", false},
    {"aac", "audio/aac", true},
    {"avif", "image/avif", true},
    {"bmp", "image/bmp", true},
    {"c", PLAIN, true},
    {"cfg", PLAIN, true},
    {"conf", PLAIN, true},
    {"cpp", PLAIN, true},
    {"css", "text/css; charset=utf-8", false},
    {"csv", "text/csv; charset=utf-8", false},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", false},
    {"flac", "audio/flac", true},
    {"gif", "image/gif", true},
    {"gz", "application/gzip", false},
    {"h", PLAIN, true},
    {"htm", "text/html; charset=utf-8", false},
    {"html", "text/html; charset=utf-8", false},
    {"ico", "image/x-icon", true},
    {"ini", PLAIN, true},
    {"jpeg", "image/jpeg", true},
    {"jpg", "image/jpeg", true},
    {"js", "text/javascript; charset=utf-8", false},
    {"json", "application/json", false},
    {"log", PLAIN, true},
    {"m4a", "audio/mp4", true},
    {"m4v", "video/mp4", true},
    {"md", PLAIN, true},
    {"mjs", "text/javascript; charset=utf-8", false},
    {"mkv", "video/x-matroska", true},
    {"mov", "video/quicktime", true},
    {"mp3", "audio/mpeg", true},
    {"mp4", "video/mp4", true},
    {"odt", "application/vnd.oasis.opendocument.text", false},
    {"oga", "audio/ogg", true},
    {"ogg", "audio/ogg", true},
    {"opus", "audio/ogg", true},
    {"pdf", "application/pdf", false},
    {"png", "image/png", true},
    {"py", PLAIN, true},
    {"sh", PLAIN, true},
    {"svg", "image/svg+xml", true},
    {"tar", "application/x-tar", false},
    {"toml", PLAIN, true},
    {"tsv", "text/tab-separated-values; charset=utf-8", false},
    {"txt", PLAIN, true},
    {"wav", "audio/wav", true},
    {"webm", "video/webm", true},
    {"webp", "image/webp", true},
    {"woff2", "font/woff2", false},
    {"xhtml", "application/xhtml+xml", false},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false},
    {"xml", "text/xml; charset=utf-8", false},
    {"yaml", PLAIN, true},
    {"yml", PLAIN, true},
    {"zip", "application/zip", false},
    {"zst", "application/zstd", false},
};

const char *file_type(const char *name, bool *shown_out)
{
    const char *slash = strrchr(name, '/');
    const char *dot = strrchr(slash != NULL ? slash : name, '.');

    *shown_out = false;
    for (size_t i = 0; dot != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcasecmp(dot + 1, kinds[i].suffix) == 0) {
            *shown_out = kinds[i].shown;
            return kinds[i].type;
        }
    }
    return "application/octet-stream";
}

/* ---- names ---- */

static bool is_attr_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL);
}

void file_disposition(const char *path, bool shown, char out[FILE_DISPOSITION_BYTES])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t n = (size_t)snprintf(out, FILE_DISPOSITION_BYTES, "%s; filename=\"",
                                shown ? "inline" : "attachment");

    /* For programs that know nothing else: what is not plain there is a line below. */
    for (const char *at = name; *at != '\0' && n < FILE_DISPOSITION_BYTES / 4; at++) {
        bool plain = *at >= ' ' && *at <= '~' && strchr("\"\\%", *at) == NULL;
        out[n++] = '_';
        if (plain)
            out[n - 1] = *at;
    }
    n += (size_t)snprintf(out + n, FILE_DISPOSITION_BYTES - n, "\"; filename*=UTF-8''");
    for (const char *at = name; *at != '\0' && n < FILE_DISPOSITION_BYTES - 4; at++) {
        if (is_attr_char(*at))
            out[n++] = *at;
        else
            n += (size_t)snprintf(out + n, FILE_DISPOSITION_BYTES - n, "%%%02X",
                                  (unsigned)(unsigned char)*at);
    }
    out[n] = '\0';
}

void file_date(uint64_t unix_s, char out[32])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = unix_s <= LAST_UNIX_S ? (time_t)unix_s : 0;
    struct tm tm = {0};

    (void)gmtime_r(&t, &tm);
    snprintf(out, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[(unsigned)tm.tm_wday % 7],
             (unsigned)tm.tm_mday % 100, months[(unsigned)tm.tm_mon % 12],
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}
