/*
 * logfmt and JSON differ in what stands around a value; the escapes inside quotes are the same.
 *
 * Text comes from anywhere: names of peers, reasons given by them, output of user functions. So
 * control characters (of both sets) never reach a terminal, and bytes that are not UTF-8 become
 * U+FFFD. The buffer has a tail reserved for closing quotes and braces, so that a line cut at the
 * limit is still whole.
 */
#include "node/log_line.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "node/log.h"

/* Text stops here; the closing of a line takes less than what lies behind. */
#define TEXT_END   (NODE_LOG_LINE_BYTES_MAX - 16)
#define TIME_BYTES 24

static void put(struct log_line *line, const char *text, size_t len)
{
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_text(struct log_line *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool hidden_key(const char *key)
{
    static const char *const keys[] = {"secret", "token", "psk", "password"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* Length of a join token's text at @p ("kith1-" and what follows it), or 0. */
static size_t token_len(const char *p)
{
    static const char prefix[] = "kith1-";
    if (strncmp(p, prefix, sizeof(prefix) - 1) != 0)
        return 0;
    size_t body = strspn(p + sizeof(prefix) - 1,
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+/=");
    return body > 8 ? sizeof(prefix) - 1 + body : 0;
}

/* Characters that need an escape or a check: everything but plain ASCII. */
static bool plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* Escapes the one character at @p, @n bytes long (0: not UTF-8). */
static void put_special(struct log_line *line, const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    char text[8];
    if (n == 0) {
        put(line, "\xef\xbf\xbd", 3);
    } else if (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0) {
        (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned char)p[1]);
        put(line, text, 6);
    } else if (n > 1) {
        put(line, p, n);
    } else if (c == '"' || c == '\\') {
        text[0] = '\\';
        text[1] = (char)c;
        put(line, text, 2);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        put(line, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", 2);
    } else {
        (void)snprintf(text, sizeof(text), "\\u%04x", c);
        put(line, text, 6);
    }
}

/* The inside of a quoted value, cut with "..." at the end of the line. */
static void put_inside(struct log_line *line, const char *value)
{
    size_t len = strnlen(value, NODE_LOG_LINE_BYTES_MAX + 4);
    for (size_t i = 0; i < len;) {
        if (line->len + 10 > TEXT_END) {
            put(line, "...", 3);
            return;
        }
        size_t secret = value[i] == 'k' ? token_len(value + i) : 0;
        if (secret > 0) {
            put(line, "(hidden)", 8);
            i += secret;
        } else if (plain(value[i])) {
            put(line, value + i++, 1);
        } else {
            size_t n = text_utf8_char(value + i, len - i);
            put_special(line, value + i, n);
            i += n > 0 ? n : 1;
        }
    }
}

/* True if logfmt can have @value without quotes. */
static bool bare(const char *value)
{
    size_t i = 0;
    for (; value[i] != '\0'; i++)
        if (!plain(value[i]) || value[i] == ' ' || value[i] == '=' ||
            (value[i] == 'k' && token_len(value + i) > 0))
            return false;
    return i > 0;
}

static void put_quoted(struct log_line *line, const char *value)
{
    put(line, "\"", 1);
    put_inside(line, value);
    put(line, "\"", 1);
}

/* False if there is no room left for anything. */
static bool put_pair(struct log_line *line, const char *key, const char *value, bool json)
{
    size_t key_len = strnlen(key, 64);
    if (line->len + key_len + 32 > TEXT_END)
        return false;
    if (hidden_key(key))
        value = "(hidden)";
    /* The first of a line has nothing in front of it, the first behind a logfmt time its blank. */
    char last = ' ';
    if (line->len > 0)
        last = line->text[line->len - 1];
    if (json && last != '{')
        put(line, ",", 1);
    else if (!json && last != ' ')
        put(line, " ", 1);
    if (json)
        put(line, "\"", 1);
    put(line, key, key_len);
    put_text(line, json ? "\":" : "=");
    if (!json && strlen(value) + line->len + 16 < TEXT_END && bare(value))
        put_text(line, value);
    else
        put_quoted(line, value);
    return true;
}

static void put_time(struct log_line *line, uint64_t unix_ms, bool json)
{
    char text[32];
    line->len = 0;
    if (json)
        put(line, "{", 1);
    (void)put_pair(line, "time", text_time_ms(unix_ms, text), json);
    if (!json)
        put(line, " ", 1);
    else
        put(line, ",", 1);
}

void log_line_format(struct log_line *line, const struct log_record *record, bool json)
{
    put_time(line, record->unix_ms, json);
    line->time_len = line->len;
    /* The comma behind the time is there already. */
    if (json)
        line->len--;
    bool room = put_pair(line, "level", node_log_level_text(record->level), json);
    if (record->log != NULL)
        room = room && put_pair(line, "log", record->log, json);
    room = room && put_pair(line, "area", record->area, json);
    room = room && put_pair(line, "msg", record->message, json);
    for (size_t i = 0; room && i < record->pairs_n; i++)
        room = put_pair(line, record->pairs[2 * i], record->pairs[2 * i + 1], json);
    if (json)
        put(line, "}", 1);
    line->text[line->len] = '\0';
}

void log_line_repeat(struct log_line *line, uint64_t unix_ms, uint64_t n, bool json)
{
    size_t len = line->len;
    put_time(line, unix_ms, json);
    line->len = len;
    char text[48];
    if (json)
        line->len--; /* the brace */
    (void)snprintf(text, sizeof(text), json ? ",\"repeated\":%llu}" : " repeated=%llu",
                   (unsigned long long)n);
    put_text(line, text);
    line->text[line->len] = '\0';
}
