/*
 * .kithignore: a table of cases, each of which is also put before git, which knows best what
 * gitignore(5) means (skipped where there is no git).
 */
#include "fs/ignore.h"

#include <ftw.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "kith/error.h"
#include "lib/test.h"

/* Up to three files of patterns: "dir:patterns". Directories end with a slash. */
struct ignore_case {
    const char *files[3];
    const char *path;
    bool ignored;
};

static const struct ignore_case cases[] = {
    {{":a.txt"}, "a.txt", true},
    {{":a.txt"}, "d/e/a.txt", true},
    {{":a.txt"}, "d/a.txt2", false},
    {{":/a.txt"}, "a.txt", true},
    {{":/a.txt"}, "d/a.txt", false},
    {{":d/a.txt"}, "d/a.txt", true},
    {{":d/a.txt"}, "e/d/a.txt", false},
    {{":*.o"}, "x.o", true},
    {{":*.o"}, "d/x.o", true},
    {{":*.o"}, ".o", true},
    {{":*.o"}, "x.oo", false},
    {{":build/"}, "build/", true},
    {{":build/"}, "build/x/y", true},
    {{":build/"}, "d/build/x", true},
    {{":build/"}, "build", false},
    {{":d/*"}, "d/x", true},
    {{":d/*"}, "d/x/y", true},
    {{":d/*"}, "d/", false},
    {{":d/*.c"}, "d/e/x.c", false},
    {{":**/x"}, "x", true},
    {{":**/x"}, "a/b/x", true},
    {{":a/**/x"}, "a/x", true},
    {{":a/**/x"}, "a/b/c/x", true},
    {{":a/**/x"}, "b/a/c/x", false},
    {{":a/**"}, "a/", false},
    {{":a/**"}, "a/b/c", true},
    {{":**"}, "q", true},
    {{":/**"}, "q/r", true},
    {{":a**b"}, "aXXb", true},
    {{":d/a**b"}, "d/a/b", false},
    {{":d/a**"}, "d/ax", true},
    {{":**/**/x"}, "p/q/x", true},
    {{":a/**/b/**/c"}, "a/b/1/b/2/c", true},
    {{":a/**/b/**/c"}, "a/1/c/b/2", false},
    {{":?.c"}, "x.c", true},
    {{":?.c"}, "xy.c", false},
    {{":[a-c].c"}, "b.c", true},
    {{":[a-c].c"}, "d.c", false},
    {{":[!a-c].c"}, "d.c", true},
    {{":[^a-c].c"}, "b.c", false},
    {{":[]x].c"}, "].c", true},
    {{":[]-a].c"}, "_.c", true},
    {{":[a-].c"}, "-.c", true},
    {{":[[:digit:]x].c"}, "7.c", true},
    {{":[[:digit:]x].c"}, "x.c", true},
    {{":[[:digit:]x].c"}, "y.c", false},
    {{":[[:alpha:][:space:]]"}, "q", true},
    {{":[[:nonsense:]q]"}, "q", false},
    {{":[\\]]q"}, "]q", true},
    {{":[a-c"}, "b", false},
    {{":x[a/b]y"}, "xay", true},
    {{":d/x[a/b]y"}, "d/xby", true},
    {{":d/x[!q]y"}, "d/x/y", false},
    {{":\\#x"}, "#x", true},
    {{":#x"}, "#x", false},
    {{":\\!x"}, "!x", true},
    {{":\\*"}, "*", true},
    {{":\\*"}, "x", false},
    {{":x\\"}, "x", false},
    {{":x  "}, "x", true},
    {{":x\\ "}, "x ", true},
    {{":x\\  "}, "x ", true},
    {{":x\t"}, "x", false},
    {{":x\r\ny\r\n"}, "x", true},
    {{":\xef\xbb\xbfx"}, "x", true},
    {{":\n\n!\n/\n"}, "x", false},
    {{":a\\/x"}, "a/x", true},
    {{":a//x"}, "a/x", false},
    {{"://x"}, "x", false},
    {{":*.c\n!keep.c"}, "keep.c", false},
    {{":*.c\n!keep.c"}, "other.c", true},
    {{":!keep.c\n*.c"}, "keep.c", true},
    {{":d/\n!d/keep"}, "d/keep", true},
    {{":d/*\n!d/keep"}, "d/keep", false},
    {{":/*\n!/d/\n/d/*\n!/d/e"}, "d/e", false},
    {{":/*\n!/d/\n/d/*\n!/d/e"}, "d/f", true},
    {{":*\n!*/\n!*.txt"}, "p/q/r.txt", false},
    {{":*\n!*/\n!*.txt"}, "p/q/r.c", true},
    {{":*.c", "d:!x.c"}, "d/x.c", false},
    {{":*.c", "d:!x.c"}, "d/e/x.c", false},
    {{":*.c", "d:!x.c"}, "x.c", true},
    {{":!x.c", "d:*.c"}, "d/x.c", true},
    {{"d:/x"}, "d/x", true},
    {{"d:/x"}, "d/e/x", false},
    {{"d:/x"}, "x", false},
    {{"d/e:x", "d:!x", ":x"}, "d/e/x", true},
    {{"d/e:x", "d:!x", ":x"}, "d/x", false},
    {{"d:e/x"}, "d/e/x", true},
    {{":a*b*c"}, "a1b2b3c", true},
    {{":a*b*c"}, "a1b2b3", false},
    {{":*a*"}, "bab", true},
    {{":\xc3\xa9?"}, "\xc3\xa9x", true},
    {{":?"}, "\xc3\xa9", false},
    {{":foo/bar/"}, "foo/bar/", true},
    {{":foo/bar/"}, "foo/bar", false},
    {{":foo/*/bar"}, "foo/x/bar", true},
    {{":foo/*/bar"}, "foo/bar", false},
    {{":foo/*/bar"}, "foo/x/y/bar", false},
};
#define CASES_N (sizeof cases / sizeof cases[0])

/* "dir:patterns" in two. */
static const char *divide(const char *file, char *dir_out, size_t dir_bytes)
{
    const char *colon = strchr(file, ':');
    assert_true(colon != NULL && (size_t)(colon - file) < dir_bytes);
    memcpy(dir_out, file, (size_t)(colon - file));
    dir_out[colon - file] = '\0';
    return colon + 1;
}

static struct fs_ignore *of_case(const struct ignore_case *c)
{
    struct fs_ignore *ignore;
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    for (size_t i = 0; i < 3 && c->files[i] != NULL; i++) {
        char dir[64];
        const char *text = divide(c->files[i], dir, sizeof dir);
        assert_int_equal(fs_ignore_set(ignore, dir, text, strlen(text)), 0);
    }
    return ignore;
}

static bool says(const struct fs_ignore *ignore, const char *path)
{
    char plain[FS_PATH_BYTES_MAX + 2];
    size_t len = strlen(path);
    bool is_dir = path[len - 1] == '/';
    memcpy(plain, path, len + 1);
    if (is_dir)
        plain[len - 1] = '\0';
    return fs_ignore_has(ignore, plain, is_dir);
}

static void cases_are_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_N; i++) {
        struct fs_ignore *ignore = of_case(&cases[i]);
        if (says(ignore, cases[i].path) != cases[i].ignored)
            fail_msg("%s with '%s'", cases[i].path, cases[i].files[0]);
        fs_ignore_free(ignore);
    }
}

/* ---- git ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

static void write_file(const char *root, const char *name, const char *text)
{
    char path[512];
    size_t len = strlen(text);
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    make_parents(path);
    if (path[strlen(path) - 1] == '/')
        return;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Each case is a directory of one repository, c0, c1, ...: so git is asked once for all. */
static void put_case(const char *root, FILE *paths, size_t at, const struct ignore_case *c)
{
    char name[256];
    size_t len;

    for (size_t i = 0; i < 3 && c->files[i] != NULL; i++) {
        char dir[64];
        const char *text = divide(c->files[i], dir, sizeof dir);
        (void)snprintf(name, sizeof name, "c%zu/%s/.gitignore", at, dir);
        write_file(root, name, text);
    }
    (void)snprintf(name, sizeof name, "c%zu/%s", at, c->path);
    write_file(root, name, "");
    len = strlen(name);
    if (name[len - 1] == '/')
        name[--len] = '\0';
    assert_int_equal(fwrite(name, 1, len + 1, paths), len + 1);
}

/* Sets said[i] for each case that git ignores. */
static void ask_git(const char *root, bool *said, size_t cases_n)
{
    char command[512], line[512];
    size_t len = 0;
    FILE *out;

    (void)snprintf(command, sizeof command,
                   "cd %s && git check-ignore --no-index -z --stdin <paths", root);
    out = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(out);
    for (int c; (c = fgetc(out)) != EOF;) {
        assert_true(len < sizeof line);
        line[len++] = (char)c;
        if (c == '\0') {
            size_t at = (size_t)strtoull(line + 1, NULL, 10);
            assert_true(line[0] == 'c' && at < cases_n);
            said[at] = true;
            len = 0;
        }
    }
    int status = pclose(out);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1); /* 1: none is ignored */
}

/* Compares what we say of @list with git's answer. */
static void compare_with_git(const struct ignore_case *list, size_t list_n)
{
    char root[] = "/tmp/kith-ignore-XXXXXX", command[256], path[256];
    bool *said = calloc(list_n, sizeof *said);
    FILE *paths;

    assert_non_null(said);
    assert_non_null(mkdtemp(root));
    assert_int_equal(setenv("GIT_CONFIG_NOSYSTEM", "1", 1), 0);
    assert_int_equal(setenv("HOME", root, 1), 0);
    (void)snprintf(command, sizeof command, "git init -q %s", root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    (void)snprintf(path, sizeof path, "%s/paths", root);
    paths = fopen(path, "w");
    assert_non_null(paths);
    for (size_t i = 0; i < list_n; i++)
        put_case(root, paths, i, &list[i]);
    assert_int_equal(fclose(paths), 0);
    ask_git(root, said, list_n);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < list_n; i++) {
        struct fs_ignore *ignore = of_case(&list[i]);
        if (says(ignore, list[i].path) != said[i])
            fail_msg("git %s: '%s' with '%s'", said[i] ? "ignores" : "does not ignore",
                     list[i].path, list[i].files[0]);
        fs_ignore_free(ignore);
    }
    free(said);
}

static bool there_is_git(void)
{
    return system("git --version >/dev/null 2>&1") == 0; /* NOLINT(cert-env33-c) */
}

static void git_says_the_same_of_all_cases(void **state)
{
    (void)state;
    if (!there_is_git())
        test_skip("there is no git to ask");
    compare_with_git(cases, CASES_N);
}

static void git_says_the_same_of_random_patterns(void **state)
{
    static const char *const pieces[] = {"a", "b", "*", "**", "?",  "[ab]", "[!a]", "/",  "**/",
                                         "!", ".", "-", "]",  "\\", "[",    "/**/", "a*", "/a"};
    static const char *const names[] = {"a", "b", "ab", "a.b", "-", "aab", "]"};
    const size_t runs_n = test_rounds(2000);
    struct rng rng = test_rng();
    struct ignore_case *list = calloc(runs_n, sizeof *list);
    char(*texts)[2][128] = calloc(runs_n, sizeof *texts);

    (void)state;
    if (!there_is_git())
        test_skip("there is no git to ask");
    assert_true(list != NULL && texts != NULL);
    for (size_t i = 0; i < runs_n; i++) {
        char *file = texts[i][0], *path = texts[i][1];
        (void)strcpy(file, ":");
        for (uint64_t n = 1 + rng_below(&rng, 6); n > 0; n--) {
            const char *piece = pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])];
            char last = file[strlen(file) - 1];
            /* git looks at `**` behind a name, and before `\\/`, otherwise than its manual says. */
            if ((piece[0] == '/' && last == '\\') ||
                (piece[0] == '*' && strchr(":/\n!", last) == NULL))
                continue;
            (void)strcat(file, piece);
            if (rng_below(&rng, 8) == 0)
                (void)strcat(file, "\n");
        }
        for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--) {
            (void)strcat(path, names[rng_below(&rng, sizeof names / sizeof names[0])]);
            if (n > 1 || rng_below(&rng, 4) == 0)
                (void)strcat(path, "/");
        }
        list[i] = (struct ignore_case){.files = {file}, .path = path};
    }
    compare_with_git(list, runs_n);
    free(list);
    free(texts);
}

/* ---- beyond git ---- */

static void editors_files_are_ignored_unless_said_otherwise(void **state)
{
    static const char *const names[] = {".git",
                                        "d/.git",
                                        "x~",
                                        "d/.x.swp",
                                        ".x.swpx",
                                        ".#x",
                                        "#x#",
                                        ".~lock.x.odt#",
                                        "~$x.docx",
                                        "x.kate-swp",
                                        ".x.kate-swp",
                                        ".kith-12ab.tmp",
                                        ".nfs0123456789abcdef01",
                                        ".goutputstream-AB12"};
    static const char *const others[] = {"git", "x", ".x", "x.swp", "#x", "kith-12.tmp", "4913"};
    struct fs_ignore *ignore;

    (void)state;
    assert_int_equal(fs_ignore_new(&ignore, false), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(fs_ignore_has(ignore, names[i], false));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(fs_ignore_has(ignore, others[i], false));
    assert_int_equal(fs_ignore_set(ignore, "", "!*~\n", 4), 0);
    assert_false(fs_ignore_has(ignore, "x~", false));
    assert_true(fs_ignore_has(ignore, "#x#", false));
    fs_ignore_free(ignore);
}

static void rules_are_replaced_and_dropped(void **state)
{
    struct fs_ignore *ignore;

    (void)state;
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    assert_int_equal(fs_ignore_set(ignore, "d", "x", 1), 0);
    assert_int_equal(fs_ignore_set(ignore, "d/e", "y", 1), 0);
    assert_int_equal(fs_ignore_set(ignore, "de", "y", 1), 0);
    assert_true(fs_ignore_has(ignore, "d/x", false));
    assert_int_equal(fs_ignore_set(ignore, "d", "z", 1), 0);
    assert_false(fs_ignore_has(ignore, "d/x", false));
    assert_true(fs_ignore_has(ignore, "d/z", false));
    fs_ignore_drop(ignore, "d");
    assert_false(fs_ignore_has(ignore, "d/z", false));
    assert_false(fs_ignore_has(ignore, "d/e/y", false));
    assert_true(fs_ignore_has(ignore, "de/y", false));
    assert_int_equal(fs_ignore_set(ignore, "de", NULL, 0), 0);
    assert_false(fs_ignore_has(ignore, "de/y", false));
    fs_ignore_free(ignore);
}

/* What takes 2^500 steps for who goes back at every star. */
static void hostile_patterns_cost_little(void **state)
{
    char pattern[1024], path[FS_PATH_BYTES_MAX];
    struct fs_ignore *ignore;
    size_t len = 0;

    (void)state;
    for (; len < 1000; len += 2)
        memcpy(pattern + len, (const char[]){'*', 'a'}, 2);
    pattern[len++] = 'b';
    memset(path, 'a', 255);
    path[255] = '\0';
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    assert_int_equal(fs_ignore_set(ignore, "", pattern, len), 0);
    assert_false(fs_ignore_has(ignore, path, false));
    for (len = 0; len < 1000; len += 5)
        memcpy(pattern + len, (const char[]){'*', '*', '/', 'a', '/'}, 5);
    pattern[len++] = 'b';
    for (size_t i = 0; i + 2 < sizeof path; i += 2)
        memcpy(path + i, "a/", 3);
    path[strlen(path) - 1] = '\0';
    assert_int_equal(fs_ignore_set(ignore, "", pattern, len), 0);
    assert_false(fs_ignore_has(ignore, path, false));
    fs_ignore_free(ignore);
}

/* Nobody knows what was to be kept from others: so everything is. */
static void at_a_limit_all_is_ignored(void **state)
{
    char *large = malloc(FS_IGNORE_FILE_BYTES_MAX + 1);
    struct fs_ignore *ignore;
    char dir[16];

    (void)state;
    assert_non_null(large);
    memset(large, 'x', FS_IGNORE_FILE_BYTES_MAX + 1);
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    assert_int_equal(fs_ignore_set(ignore, "d", large, FS_IGNORE_FILE_BYTES_MAX), 0);
    assert_false(fs_ignore_has(ignore, "d/y", false));
    assert_int_equal(fs_ignore_set(ignore, "d", large, FS_IGNORE_FILE_BYTES_MAX + 1),
                     KITH_E_TOO_LARGE);
    assert_non_null(strstr(kith_errmsg(), "d/.kithignore"));
    assert_true(fs_ignore_has(ignore, "d/y", false));
    assert_false(fs_ignore_has(ignore, "y", false));
    fs_ignore_drop(ignore, "");
    for (unsigned i = 0; i < FS_IGNORE_FILES_MAX; i++) {
        (void)snprintf(dir, sizeof dir, "d%u", i);
        assert_int_equal(fs_ignore_set(ignore, dir, "x", 1), 0);
    }
    assert_int_equal(fs_ignore_set(ignore, "last", "x", 1), KITH_E_LIMIT);
    assert_true(fs_ignore_has(ignore, "last/y", false));
    fs_ignore_free(ignore);

    /* Bytes: a file of lines takes more than its length. */
    int r = 0;
    memset(large, '\n', FS_IGNORE_FILE_BYTES_MAX);
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    for (unsigned i = 0; i < 16 && r == 0; i++) {
        (void)snprintf(dir, sizeof dir, "d%u", i);
        r = fs_ignore_set(ignore, dir, large, FS_IGNORE_FILE_BYTES_MAX);
    }
    assert_int_equal(r, KITH_E_LIMIT);
    fs_ignore_free(ignore);
    free(large);
}

static void failed_allocation_changes_nothing(void **state)
{
    struct fs_ignore *ignore;
    int r;

    (void)state;
    assert_int_equal(fs_ignore_new(&ignore, true), 0);
    assert_int_equal(fs_ignore_set(ignore, "", "x", 1), 0);
    for (uint64_t n = 1;; n++) {
        core_alloc_fail_at(n);
        r = fs_ignore_set(ignore, "", "y", 1);
        core_alloc_fail_at(0);
        if (r == 0)
            break;
        assert_int_equal(r, KITH_E_MEMORY);
        assert_true(fs_ignore_has(ignore, "x", false));
    }
    assert_true(fs_ignore_has(ignore, "y", false));
    fs_ignore_free(ignore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_are_as_written),
        cmocka_unit_test(git_says_the_same_of_all_cases),
        cmocka_unit_test(git_says_the_same_of_random_patterns),
        cmocka_unit_test(editors_files_are_ignored_unless_said_otherwise),
        cmocka_unit_test(rules_are_replaced_and_dropped),
        cmocka_unit_test(hostile_patterns_cost_little),
        cmocka_unit_test(at_a_limit_all_is_ignored),
        cmocka_unit_test(failed_allocation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
