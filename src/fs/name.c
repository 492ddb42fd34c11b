/*
 * Rules of names. What most of them are, ASCII, is decided without utf8proc.
 */
#include "fs/name.h"

#include <utf8proc.h>

#include "core/error.h"
#include "core/text.h"

const char *fs_name_problem_text(enum fs_name_problem problem)
{
    switch (problem) {
    case FS_NAME_EMPTY:
        return "is empty or has an empty part; choose another name";
    case FS_NAME_LONG:
        return "is longer than 1,024 bytes; choose a shorter name";
    case FS_NAME_PART_LONG:
        return "has a part longer than 255 bytes; choose a shorter name";
    case FS_NAME_DOTS:
        return "has a part that is '.' or '..'; choose another name";
    case FS_NAME_CONTROL:
        return "holds a control character; rename it";
    case FS_NAME_NOT_UTF8:
        return "is not UTF-8; rename it";
    case FS_NAME_NOT_NFC:
        return "is not in Unicode's normal form C; choose another name";
    case FS_NAME_FINE:
        break;
    }
    return "is fine";
}

static int map_text(const char *text, size_t len, utf8proc_option_t options, struct buf *out)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &mapped, options);
    if (n == UTF8PROC_ERROR_NOMEM)
        return KITH_E_MEMORY;
    if (n < 0)
        return kith_fail_with(KITH_E_NAME, "a name is not UTF-8; rename it");
    int r = buf_append(out, mapped, (size_t)n);
    free(mapped);
    return r;
}

static bool is_ascii(const char *text, size_t len)
{
    unsigned char all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

int fs_name_nfc(const char *text, size_t len, struct buf *out)
{
    if (is_ascii(text, len))
        return buf_append(out, text, len);
    return map_text(text, len, UTF8PROC_STABLE | UTF8PROC_COMPOSE, out);
}

int fs_name_fold(const char *text, size_t len, struct buf *out)
{
    if (!is_ascii(text, len))
        return map_text(text, len, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD, out);
    int r = buf_reserve(out, len);
    for (size_t i = 0; r == 0 && i < len; i++) {
        bool upper = text[i] >= 'A' && text[i] <= 'Z';
        out->data[out->len++] = (uint8_t)(upper ? text[i] - 'A' + 'a' : text[i]);
    }
    return r;
}

/* ---- rules ---- */

static bool has_control(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool c1 = c == 0xc2 && i + 1 < len && (unsigned char)name[i + 1] < 0xa0 &&
                  (unsigned char)name[i + 1] >= 0x80;
        if (c < 0x20 || c == 0x7f || c1)
            return true;
    }
    return false;
}

/* Control characters come before UTF-8: their answer is the more useful one. */
static enum fs_name_problem text_problem(const char *name, size_t len)
{
    if (has_control(name, len))
        return FS_NAME_CONTROL;
    if (is_ascii(name, len))
        return FS_NAME_FINE;
    if (!text_is_utf8(name, len))
        return FS_NAME_NOT_UTF8;
    struct buf nfc = {0};
    bool same =
        fs_name_nfc(name, len, &nfc) == 0 && nfc.len == len && memcmp(nfc.data, name, len) == 0;
    buf_deinit(&nfc);
    return same ? FS_NAME_FINE : FS_NAME_NOT_NFC;
}

static enum fs_name_problem shape_problem(const char *name, size_t len)
{
    if (len == 0)
        return FS_NAME_EMPTY;
    if (len > FS_PART_BYTES_MAX)
        return FS_NAME_PART_LONG;
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return FS_NAME_DOTS;
    return FS_NAME_FINE;
}

enum fs_name_problem fs_part_problem(const char *name, size_t len)
{
    enum fs_name_problem problem = shape_problem(name, len);
    if (problem == FS_NAME_FINE && memchr(name, '/', len) != NULL)
        problem = FS_NAME_EMPTY;
    return problem != FS_NAME_FINE ? problem : text_problem(name, len);
}

enum fs_name_problem fs_path_problem(const char *path, size_t len)
{
    if (len == 0)
        return FS_NAME_FINE;
    if (len > FS_PATH_BYTES_MAX)
        return FS_NAME_LONG;
    for (size_t at = 0; at <= len;) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t part = slash != NULL ? (size_t)(slash - path) - at : len - at;
        enum fs_name_problem problem = shape_problem(path + at, part);
        if (problem != FS_NAME_FINE)
            return problem;
        at += part + 1;
    }
    return text_problem(path, len);
}

int fs_path_check(const char *path, size_t len)
{
    enum fs_name_problem problem = fs_path_problem(path, len);
    if (problem == FS_NAME_FINE)
        return 0;
    if (problem == FS_NAME_CONTROL || problem == FS_NAME_NOT_UTF8)
        return kith_fail_with(KITH_E_NAME, "the path %s", fs_name_problem_text(problem));
    return kith_fail_with(KITH_E_NAME, "the path '%.*s' %s", (int)(len < 200 ? len : 200), path,
                          fs_name_problem_text(problem));
}

static bool is_share_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

int fs_share_check(const char *share, size_t len)
{
    bool fine = len >= 1 && len <= FS_SHARE_BYTES_MAX && share[0] != '.';
    for (size_t i = 0; fine && i < len; i++)
        fine = is_share_char(share[i]);
    if (fine)
        return 0;
    return kith_fail_with(KITH_E_NAME,
                          "'%.*s' is not the name of a share; use 1 to %d of a-z A-Z 0-9 - _ . and "
                          "no dot in front",
                          (int)(len < 64 ? len : 64), share, FS_SHARE_BYTES_MAX);
}

int fs_path_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    if (i == n)
        return (a_len > b_len) - (a_len < b_len);
    /* Nothing in a name is less than a space, so the division is the least as 0. */
    unsigned char ca = a[i] == '/' ? 0 : (unsigned char)a[i];
    unsigned char cb = b[i] == '/' ? 0 : (unsigned char)b[i];
    return ca < cb ? -1 : 1;
}

/* ---- patterns ---- */

/* The character at @at: its bytes as one number, so that ranges of it have an order. */
static size_t char_at(const char *text, size_t len, size_t at, uint32_t *c_out)
{
    size_t n = text_utf8_char(text + at, len - at);
    if (n == 0)
        n = 1;
    *c_out = 0;
    for (size_t i = 0; i < n; i++)
        *c_out = *c_out << 8 | (unsigned char)text[at + i];
    return n;
}

/* Of a class that begins behind its '[': whether @c is in it; *@at moves behind the ']'. A class
 * that does not end is none: false, and *@at stays. */
static bool class_read(const char *p, size_t len, size_t *at, uint32_t c, bool *in_out)
{
    size_t i = *at;
    bool in = false;
    bool not = i < len && (p[i] == '!' || p[i] == '^');
    i += not ;
    for (bool first = true; i < len && (first || p[i] != ']'); first = false) {
        uint32_t low;
        uint32_t high;
        i += p[i] == '\\' && i + 1 < len;
        i += char_at(p, len, i, &low);
        high = low;
        if (i + 1 < len && p[i] == '-' && p[i + 1] != ']') {
            i++;
            i += p[i] == '\\' && i + 1 < len;
            i += char_at(p, len, i, &high);
        }
        in = in || (c >= low && c <= high);
    }
    if (i >= len)
        return false;
    *at = i + 1;
    *in_out = in != not ;
    return true;
}

/* One element of the pattern that is no star against one character. Gives false if it does not fit;
 * *@p_at moves behind the element. */
static bool element_fits(const char *p, size_t p_len, size_t *p_at, uint32_t c)
{
    uint32_t want;
    bool in;
    char first = p[*p_at];
    if (first == '?') {
        (*p_at)++;
        return true;
    }
    if (first == '[') {
        size_t at = *p_at + 1;
        if (class_read(p, p_len, &at, c, &in)) {
            *p_at = at;
            return in;
        }
    }
    if (first == '\\' && *p_at + 1 < p_len)
        (*p_at)++;
    *p_at += char_at(p, p_len, *p_at, &want);
    return want == c;
}

/* The last star may take one more character whenever the rest does not fit: no more is ever needed.
 */
bool fs_name_match(const char *pattern, size_t pattern_len, const char *name, size_t len)
{
    size_t p = 0;
    size_t n = 0;
    size_t star = SIZE_MAX;
    size_t star_n = 0;
    while (n < len) {
        uint32_t c;
        size_t c_len = char_at(name, len, n, &c);
        if (p < pattern_len && pattern[p] == '*') {
            star = ++p;
            star_n = n;
            continue;
        }
        if (p < pattern_len && element_fits(pattern, pattern_len, &p, c)) {
            n += c_len;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        star_n += char_at(name, len, star_n, &c);
        n = star_n;
        p = star;
    }
    while (p < pattern_len && pattern[p] == '*')
        p++;
    return p == pattern_len;
}

/* ---- references ---- */

int fs_ref_parse(const char *text, struct fs_ref *ref_out)
{
    size_t len = strlen(text);
    const char *slash = memchr(text, '/', len);
    size_t share_len = slash != NULL ? (size_t)(slash - text) : len;
    if (slash == text)
        return kith_fail_with(KITH_E_NAME,
                              "'%.*s': a path begins with the name of its share; leave out the '/' "
                              "in front",
                              (int)(len < 200 ? len : 200), text);
    int r = fs_share_check(text, share_len);
    if (r != 0)
        return r;
    const char *path = slash != NULL ? slash + 1 : text + len;
    size_t path_len = len - (size_t)(path - text);
    if (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    r = fs_path_check(path, path_len);
    if (r != 0)
        return r;
    *ref_out = (struct fs_ref){
        .share = {text, share_len}, .path = {path, path_len}, .whole = {path, path_len}};
    size_t at = path_len;
    while (at > 0 && path[at - 1] != '@' && path[at - 1] != '/')
        at--;
    /* Behind a name, and with something behind it. */
    if (at > 1 && at < path_len && path[at - 1] == '@' && path[at - 2] != '/') {
        ref_out->node = (struct kith_bytes){path + at, path_len - at};
        ref_out->path.len = at - 1;
    }
    return 0;
}
