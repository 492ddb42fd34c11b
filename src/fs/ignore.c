/*
 * Patterns are cut into components at their slashes when they are read. A component is compared by
 * the loop that every glob without `**` can be decided by: on a mismatch, go back to the last star
 * and let it take one byte more. The same loop over components does `**`. So the cost is bounded
 * by lengths, where a plain recursion takes for ever with `*a*a*a*a*b`.
 */
#include "fs/ignore.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/map.h"

enum rule_flags {
    RULE_NOT = 1 << 0,      /* begins with `!` */
    RULE_DIR_ONLY = 1 << 1, /* ends with `/` */
    RULE_NAME = 1 << 2,     /* without a slash: the name alone is compared, at any depth */
    RULE_PLAIN = 1 << 3,    /* without wildcards, and of one component: compared as it is */
};

struct span {
    const char *at;
    size_t len;
};

struct rule {
    struct span *parts;
    uint16_t parts_n;
    uint8_t flags;
};

struct rules {
    char *dir;
    size_t dir_len;
    char *text; /* the parts point into it */
    struct span *parts;
    struct rule *rules;
    size_t rules_n;
    size_t bytes; /* counted in fs_ignore.bytes */
    bool all;     /* could not be read: everything is ignored */
};

struct fs_ignore {
    struct maptext dirs; /* struct rules by dir */
    struct rules *defaults;
    size_t bytes;
};

static const char default_patterns[] = ".git\n"
                                       ".kith-*.tmp\n"
                                       "*~\n"
                                       ".*.sw?\n" /* vim */
                                       ".*.sw??\n"
                                       ".#*\n"              /* emacs: locks */
                                       "\\#*#\n"            /* emacs: what is not saved yet */
                                       ".~lock.*#\n"        /* LibreOffice */
                                       "~$*\n"              /* Microsoft Office */
                                       ".goutputstream-*\n" /* GLib */
                                       "*.kate-swp\n"
                                       ".*.kate-swp\n"
                                       ".fuse_hidden*\n" /* removed while open */
                                       ".nfs????????????????*\n";

/* ---- one component ---- */

/* POSIX classes of brackets: [[:alpha:]]. ASCII only, whatever the locale. */
static int class_has(struct span name, unsigned char c)
{
    static const char *const names[] = {"alpha", "digit", "alnum", "upper", "lower", "space",
                                        "blank", "cntrl", "graph", "print", "punct", "xdigit"};
    bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
    bool alnum = upper || lower || digit, graph = c > ' ' && c < 0x7f;
    bool hex = digit || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
    const bool is[] = {upper || lower,
                       digit,
                       alnum,
                       upper,
                       lower,
                       c == ' ' || (c >= '\t' && c <= '\r'),
                       c == ' ' || c == '\t',
                       c < ' ' || c == 0x7f,
                       graph,
                       graph || c == ' ',
                       graph && !alnum,
                       hex};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == name.len && memcmp(names[i], name.at, name.len) == 0)
            return is[i];
    return -1;
}

/*
 * One byte of a set, at p[*at], escapes resolved; false if the pattern ends before.
 */
static bool set_byte(struct span p, size_t *at, unsigned char *byte_out)
{
    if (*at < p.len && p.at[*at] == '\\')
        ++*at;
    if (*at >= p.len)
        return false;
    *byte_out = (unsigned char)p.at[(*at)++];
    return true;
}

/* `[:name:]` at p[*at]: 1 or 0 whether @c is in it, -1 if it is no class; then *at stays. -2: an
 * unknown name, with which nothing matches. */
static int set_class(struct span p, size_t *at, unsigned char c)
{
    size_t from = *at + 2, to = from;
    int in;

    if (*at + 1 >= p.len || p.at[*at] != '[' || p.at[*at + 1] != ':')
        return -1;
    while (to < p.len && p.at[to] != ']')
        to++;
    if (to >= p.len)
        return -2;
    if (to == from || p.at[to - 1] != ':')
        return -1;
    in = class_has((struct span){p.at + from, to - 1 - from}, c);
    *at = to + 1;
    return in < 0 ? -2 : in;
}

/*
 * The set that begins at p[*at] == '[': does it have @c? *at is behind it afterwards. -1: it never
 * ends, so that the whole pattern fits nothing.
 */
static int set_has(struct span p, size_t *at, unsigned char c)
{
    bool negated = false, found = false, first = true;

    ++*at;
    if (*at < p.len && (p.at[*at] == '!' || p.at[*at] == '^')) {
        negated = true;
        ++*at;
    }
    for (;; first = false) {
        unsigned char low, high;
        int in;

        if (*at >= p.len)
            return -1;
        if (p.at[*at] == ']' && !first)
            break;
        in = set_class(p, at, c);
        if (in == -2)
            return -1;
        if (in >= 0) {
            found = found || in == 1;
            continue;
        }
        if (!set_byte(p, at, &low))
            return -1;
        high = low;
        if (*at + 1 < p.len && p.at[*at] == '-' && p.at[*at + 1] != ']') {
            ++*at;
            if (!set_byte(p, at, &high))
                return -1;
        }
        found = found || (c >= low && c <= high);
    }
    ++*at;
    return found != negated;
}

/*
 * What stands at p[*at], not a star, against the byte @c: 1 or 0, *at behind it. -1: the pattern is
 * broken.
 */
static int unit_has(struct span p, size_t *at, unsigned char c)
{
    switch (p.at[*at]) {
    case '?':
        ++*at;
        return 1;
    case '[':
        return set_has(p, at, c);
    case '\\':
        if (++*at >= p.len)
            return -1;
        break;
    default:
        break;
    }
    return (unsigned char)p.at[(*at)++] == c;
}

static bool part_has(struct span p, struct span name)
{
    size_t at = 0, n = 0, star = SIZE_MAX, star_n = 0;

    while (n < name.len) {
        if (at < p.len && p.at[at] == '*') {
            star = ++at;
            star_n = n;
            continue;
        }
        if (at < p.len) {
            size_t behind = at;
            int has = unit_has(p, &behind, (unsigned char)name.at[n]);
            if (has < 0)
                return false;
            if (has == 1) {
                at = behind;
                n++;
                continue;
            }
        }
        if (star == SIZE_MAX)
            return false;
        at = star;
        n = ++star_n;
    }
    while (at < p.len && p.at[at] == '*')
        at++;
    return at == p.len;
}

/* ---- paths ---- */

/* The component of @path at @from. */
static struct span component(const char *path, size_t from)
{
    return (struct span){path + from, strcspn(path + from, "/")};
}

static bool is_any_depth(struct span part)
{
    if (part.len < 2)
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (part.at[i] != '*')
            return false;
    return true;
}

/* All of @rule's parts against @path: `**` takes any number of components, as a last part at least
 * one. */
static bool parts_have(const struct rule *rule, const char *path)
{
    size_t at = 0, part = 0, star_part = SIZE_MAX, star_at = 0;

    while (path[at] != '\0') {
        struct span name = component(path, at);
        size_t behind = at + name.len + (name.at[name.len] == '/');

        if (part < rule->parts_n && is_any_depth(rule->parts[part])) {
            if (part + 1u == rule->parts_n)
                return true;
            star_part = ++part;
            star_at = at;
            continue;
        }
        if (part < rule->parts_n && part_has(rule->parts[part], name)) {
            part++;
            at = behind;
            continue;
        }
        if (star_part == SIZE_MAX)
            return false;
        name = component(path, star_at);
        star_at += name.len + (name.at[name.len] == '/');
        part = star_part;
        at = star_at;
    }
    return part == rule->parts_n;
}

static bool rule_has(const struct rule *rule, const char *path, struct span name, bool is_dir)
{
    if ((rule->flags & RULE_DIR_ONLY) != 0 && !is_dir)
        return false;
    if (rule->parts_n == 0)
        return false;
    if ((rule->flags & RULE_PLAIN) != 0)
        return rule->parts[0].len == name.len && memcmp(rule->parts[0].at, name.at, name.len) == 0;
    if ((rule->flags & RULE_NAME) != 0)
        return part_has(rule->parts[0], name);
    return parts_have(rule, path);
}

/* What @rules say of @path (from their directory on): 1 ignored, 0 not, -1 nothing. */
static int rules_say(const struct rules *rules, const char *path, struct span name, bool is_dir)
{
    if (rules->all)
        return 1;
    for (size_t i = rules->rules_n; i-- > 0;)
        if (rule_has(&rules->rules[i], path, name, is_dir))
            return (rules->rules[i].flags & RULE_NOT) == 0;
    return -1;
}

bool fs_ignore_has_here(const struct fs_ignore *ignore, const char *path, bool is_dir)
{
    const char *slash = strrchr(path, '/');
    struct span name = {slash != NULL ? slash + 1 : path, 0};
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    size_t sets = ignore->dirs.n;
    char dir[FS_PATH_BYTES_MAX + 1];

    name.len = strlen(name.at);
    if (len > FS_PATH_BYTES_MAX)
        return true;
    memcpy(dir, path, len);
    dir[len] = '\0';
    while (sets > 0) {
        const struct rules *rules = maptext_find(&ignore->dirs, dir);
        if (rules != NULL) {
            int say = rules_say(rules, path + len + (len > 0), name, is_dir);
            if (say >= 0)
                return say == 1;
            sets--; /* when all have been asked, there are none further up */
        }
        if (len == 0)
            break;
        while (len > 0 && dir[len - 1] != '/')
            len--;
        len -= len > 0;
        dir[len] = '\0';
    }
    return ignore->defaults != NULL && rules_say(ignore->defaults, path, name, is_dir) == 1;
}

bool fs_ignore_has(const struct fs_ignore *ignore, const char *path, bool is_dir)
{
    char above[FS_PATH_BYTES_MAX + 1];
    size_t len = strlen(path);

    if (len > FS_PATH_BYTES_MAX)
        return true;
    memcpy(above, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (above[i] != '/')
            continue;
        above[i] = '\0';
        if (fs_ignore_has_here(ignore, above, true))
            return true;
        above[i] = '/';
    }
    return fs_ignore_has_here(ignore, path, is_dir);
}

/* ---- reading ---- */

static void rules_free(struct rules *rules)
{
    if (rules == NULL)
        return;
    core_free(rules->dir);
    core_free(rules->text);
    core_free(rules->parts);
    core_free(rules->rules);
    core_free(rules);
}

/* Cuts blanks at the end, unless a backslash stands before them. */
static size_t trimmed(const char *line, size_t len)
{
    size_t end = 0;

    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\\' && i + 1 < len)
            end = ++i + 1;
        else if (line[i] != ' ')
            end = i + 1;
    }
    return end;
}

/* The next slash that divides: not one within a set. */
static size_t next_slash(struct span p, size_t at)
{
    while (at < p.len && p.at[at] != '/') {
        size_t behind = at;

        if (p.at[at] == '[' && set_has(p, &behind, 0) >= 0)
            at = behind;
        else if (p.at[at] == '\\' && at + 1 < p.len && p.at[at + 1] != '/')
            at += 2;
        else
            at++;
    }
    return at;
}

/* Divides @p into @rule's parts, behind those that there are; how many. */
static size_t cut(struct rule *rule, struct span p)
{
    size_t from = 0, n = 0;

    for (;;) {
        size_t slash = next_slash(p, from);
        /* `\/` is a slash as any other. */
        size_t end = slash < p.len && slash > from && p.at[slash - 1] == '\\' ? slash - 1 : slash;

        rule->parts[n++] = (struct span){p.at + from, end - from};
        if (slash >= p.len)
            return n;
        from = slash + 1;
    }
}

/* Reads a line into @rule; false if there is nothing in it. */
static bool rule_read(struct rule *rule, struct span p)
{
    if (p.len > 0 && p.at[p.len - 1] == '\r')
        p.len--;
    if (p.len == 0 || p.at[0] == '#')
        return false;
    p.len = trimmed(p.at, p.len);
    if (p.len > 0 && p.at[0] == '!') {
        rule->flags |= RULE_NOT;
        p.at++;
        p.len--;
    }
    if (p.len > 0 && p.at[p.len - 1] == '/') {
        rule->flags |= RULE_DIR_ONLY;
        p.len--;
    }
    if (p.len == 0)
        return false;
    if (memchr(p.at, '/', p.len) == NULL) {
        bool plain = strcspn(p.at, "*?[\\\n") >= p.len;
        rule->flags |= (uint8_t)(RULE_NAME | (plain ? RULE_PLAIN : 0));
    } else if (p.at[0] == '/') {
        p.at++;
        p.len--;
    }
    rule->parts_n = (uint16_t)cut(rule, p);
    return true;
}

static size_t count_of(const char *text, size_t len, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += text[i] == c;
    return n;
}

static int rules_read(struct rules *rules, const char *text, size_t len)
{
    size_t lines = count_of(text, len, '\n') + 1;
    size_t parts = count_of(text, len, '/') + lines;
    struct span *part;

    rules->text = core_strndup(text, len);
    rules->rules = core_calloc(lines, sizeof *rules->rules);
    rules->parts = core_calloc(parts, sizeof *rules->parts);
    if (rules->text == NULL || rules->rules == NULL || rules->parts == NULL)
        return KITH_E_MEMORY;
    rules->bytes = len + lines * sizeof *rules->rules + parts * sizeof *rules->parts;
    part = rules->parts;
    for (size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; at < len;) {
        const char *line = rules->text + at;
        const char *end = memchr(line, '\n', len - at);
        size_t line_len = end != NULL ? (size_t)(end - line) : len - at;
        struct rule *rule = &rules->rules[rules->rules_n];

        *rule = (struct rule){.parts = part};
        if (rule_read(rule, (struct span){line, line_len})) {
            part += rule->parts_n;
            rules->rules_n++;
        }
        at += line_len + 1;
    }
    return 0;
}

static void drop_rules(struct fs_ignore *ignore, struct rules *rules)
{
    (void)maptext_remove(&ignore->dirs, rules->dir);
    ignore->bytes -= rules->bytes;
    rules_free(rules);
}

/* Why this file cannot be taken, or 0. */
static int too_much(const struct fs_ignore *ignore, const char *dir, const char *text, size_t len)
{
    const char *slash = dir[0] != '\0' ? "/" : "";

    if (len > FS_IGNORE_FILE_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "%s%s" FS_IGNORE_FILE ": larger than %u KiB, so all beside it is "
                              "kept from others; write fewer and wider patterns",
                              dir, slash, FS_IGNORE_FILE_BYTES_MAX / 1024);
    if (ignore->dirs.n >= FS_IGNORE_FILES_MAX ||
        ignore->bytes +
                (count_of(text, len, '\n') + count_of(text, len, '/') + 2) *
                    (sizeof(struct rule) + sizeof(struct span)) +
                len >
            FS_IGNORE_BYTES_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "%s%s" FS_IGNORE_FILE ": more patterns than a folder may have, so "
                              "all beside it is kept from others; join them in fewer files",
                              dir, slash);
    return 0;
}

int fs_ignore_set(struct fs_ignore *ignore, const char *dir, const void *text, size_t len)
{
    struct rules *old = maptext_find(&ignore->dirs, dir);
    struct rules *rules;
    int refused = 0, r;

    if (len == 0) {
        if (old != NULL)
            drop_rules(ignore, old);
        return 0;
    }
    rules = core_calloc(1, sizeof *rules);
    if (rules == NULL)
        return KITH_E_MEMORY;
    rules->dir = core_strndup(dir, strlen(dir));
    refused = too_much(ignore, dir, text, len);
    rules->all = refused != 0;
    r = rules->dir == NULL ? KITH_E_MEMORY : refused != 0 ? 0 : rules_read(rules, text, len);
    if (r == 0)
        r = maptext_set(&ignore->dirs, rules->dir, rules);
    if (r != 0) {
        rules_free(rules);
        return r;
    }
    ignore->bytes += rules->bytes;
    if (old != NULL) {
        ignore->bytes -= old->bytes;
        rules_free(old);
    }
    return refused;
}

bool fs_ignore_knows(const struct fs_ignore *ignore, const char *dir)
{
    return maptext_find(&ignore->dirs, dir) != NULL;
}

void fs_ignore_drop(struct fs_ignore *ignore, const char *dir)
{
    size_t len = strlen(dir), at = 0;
    struct rules *rules;

    while ((rules = maptext_next(&ignore->dirs, &at)) != NULL) {
        if (len != 0 && (strncmp(rules->dir, dir, len) != 0 ||
                         (rules->dir[len] != '\0' && rules->dir[len] != '/')))
            continue;
        drop_rules(ignore, rules);
        at = 0; /* the map has moved what was behind */
    }
}

int fs_ignore_new(struct fs_ignore **ignore_out, bool bare)
{
    struct fs_ignore *ignore = core_calloc(1, sizeof *ignore);
    int r = ignore != NULL ? 0 : KITH_E_MEMORY;

    if (r == 0 && !bare) {
        ignore->defaults = core_calloc(1, sizeof *ignore->defaults);
        r = ignore->defaults == NULL
                ? KITH_E_MEMORY
                : rules_read(ignore->defaults, default_patterns, sizeof default_patterns - 1);
    }
    if (r != 0) {
        fs_ignore_free(ignore);
        return r;
    }
    *ignore_out = ignore;
    return 0;
}

void fs_ignore_free(struct fs_ignore *ignore)
{
    struct rules *rules;
    size_t at = 0;

    if (ignore == NULL)
        return;
    while ((rules = maptext_next(&ignore->dirs, &at)) != NULL)
        rules_free(rules);
    maptext_deinit(&ignore->dirs);
    rules_free(ignore->defaults);
    core_free(ignore);
}
