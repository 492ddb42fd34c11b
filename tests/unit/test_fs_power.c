/*
 * The power goes: what was said to be kept, or to be in a folder, is there.
 *
 * This program starts itself again under tests/lib/unsynced.c (KITH_UNSYNCED has its place), does
 * one thing, says so, and loses all that was not synced, names too.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/chunker.h"
#include "fs/files.h"
#include "kith/error.h"
#include "lib/test.h"

static char base[64];
static const uint8_t root_of[FS_ROOT_BYTES] = {0xab, 0xcd, 1};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int begin(void **state)
{
    (void)state;
    (void)strcpy(base, "/tmp/kith-power-XXXXXX");
    return mkdtemp(base) == NULL;
}

static int end(void **state)
{
    (void)state;
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_base(const char *name)
{
    static char paths[4][512];
    static unsigned at;
    char *path = paths[at++ % 4];
    (void)snprintf(path, 512, "%s/%s", base, name);
    return path;
}

/* ---- what the child does ---- */

static bool write_file(const char *path, const char *text, bool sync)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
                (!sync || fsync(fd) == 0);
    return close(fd) == 0 && good;
}

static bool sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    bool good = fd >= 0 && fsync(fd) == 0;
    return close(fd) == 0 && good;
}

/* Names that are not synced, in `names`, where `a`, `b` and `c` are with their own names in them.
 */
static bool change_names(bool sync)
{
    bool good = rename(in_base("names/a"), in_base("names/b")) == 0 &&
                unlink(in_base("names/c")) == 0 && write_file(in_base("names/d"), "d", true) &&
                link(in_base("names/d"), in_base("names/e")) == 0 &&
                mkdir(in_base("names/dir"), 0700) == 0 &&
                write_file(in_base("names/dir/f"), "f", true) && sync_dir(in_base("names/dir"));
    return good && (!sync || sync_dir(in_base("names")));
}

static int temp_of(struct fs_files *files, const char *text)
{
    int fd = fs_temp_open(files, strlen(text));
    return fd >= 0 && fs_write_all(fd, text, strlen(text), 0) == 0 ? fd : -1;
}

static bool keep_part(struct fs_files *files)
{
    bool old;
    int fd = fs_part_open(files, root_of, 5, &old);
    return fd >= 0 && fs_write_all(fd, "hello", 5, 0) == 0 && fs_part_keep(files, root_of, fd) == 0;
}

static void named(void *user, const uint8_t root[FS_ROOT_BYTES])
{
    (void)user;
    (void)root;
}

/* "hello", kept, grows by " world". */
static bool append(struct fs_files *files)
{
    struct fs_hash_result hashed = {0};
    const struct kith_bytes piece = {" world", 6};
    struct fs_appending what = {.pieces = &piece, .pieces_n = 1, .named = named};
    struct fs_appended out = {0};
    int fd = temp_of(files, "hello");
    bool good = fd >= 0 && fs_hash_fd(fd, NULL, CONTENT_BLAKE2B_256, NULL, &hashed) == 0 &&
                fs_temp_keep(files, hashed.content.root, fd) == 0;
    what.before = hashed.content;
    good = good && fs_keep_append(files, &what, &out) == 0;
    FILE *name = good ? fopen(in_base("grown"), "w") : NULL;
    for (size_t i = 0; name != NULL && i < FS_ROOT_BYTES; i++)
        (void)fprintf(name, "%02x", out.content.root[i]);
    buf_deinit(&out.list);
    buf_deinit(&hashed.list);
    return name != NULL && fclose(name) == 0;
}

static bool place(struct fs_files *files, const char *name)
{
    struct fs_folder folder;
    struct fs_stat now;
    int fd = temp_of(files, "hello");
    struct fs_placing placing = {.folder = &folder,
                                 .name = name,
                                 .share = "s",
                                 .kind = FS_FILE,
                                 .mode = 0600,
                                 .fd = fd,
                                 .size = 5};
    return fd >= 0 && fs_folder_open(&folder, in_base("root")) == 0 &&
           fs_place(files, &placing, &now) == 0;
}

/* What an earlier life left in the keep, unsynced. */
static bool leave(bool file)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "data/keep/ab/cd/abcd01%058d", 0);
    return mkdir(in_base("data/keep/ab"), 0700) == 0 &&
           mkdir(in_base("data/keep/ab/cd"), 0700) == 0 &&
           (!file || write_file(in_base(path), "hello", false));
}

static bool act(const char *what)
{
    struct fs_files *files;

    if (strcmp(what, "names") == 0 || strcmp(what, "synced names") == 0)
        return change_names(what[0] == 's');
    if (fs_files_open(&files, in_base("data")) != 0)
        return false;
    if (strcmp(what, "put") == 0)
        return fs_temp_keep(files, root_of, temp_of(files, "hello")) == 0;
    if (strcmp(what, "put beside another") == 0)
        return leave(false) && fs_temp_keep(files, root_of, temp_of(files, "hello")) == 0;
    if (strcmp(what, "found") == 0)
        return leave(true) && fs_keep_sync(files, root_of) == 0;
    if (strcmp(what, "part") == 0)
        return keep_part(files);
    if (strcmp(what, "append") == 0)
        return append(files);
    return place(files, what);
}

static int child_main(const char *what)
{
    if (!act(what) || write(3, "x", 1) != 1)
        return 3;
    for (;;)
        (void)pause();
}

/* ---- who cuts ---- */

static void cut_behind(const char *what)
{
    int from[2], status;
    char byte;

    assert_int_equal(pipe(from), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(from[1], 3);
        (void)setenv("LD_PRELOAD", getenv("KITH_UNSYNCED"), 1);
        (void)setenv("KITH_UNSYNCED_DIR", base, 1);
        (void)execl("/proc/self/exe", "test_fs_power", "child", base, what, (char *)NULL);
        _exit(127);
    }
    (void)close(from[1]);
    assert_int_equal(read(from[0], &byte, 1), 1);
    (void)close(from[0]);
    assert_int_equal(kill(child, SIGUSR2), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void need_library(void)
{
    if (getenv("KITH_UNSYNCED") == NULL)
        test_skip("KITH_UNSYNCED does not say where the library is");
}

static void is_text(const char *path, const char *text)
{
    char back[64] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 || text == NULL);
    if (fd < 0)
        return;
    assert_non_null(text);
    assert_true(read(fd, back, sizeof(back) - 1) >= 0);
    (void)close(fd);
    assert_string_equal(back, text);
}

static void is_kept(const char *text)
{
    struct fs_files *files;
    char back[64] = "";
    int fd;

    assert_int_equal(fs_files_open(&files, in_base("data")), 0);
    fd = fs_content_open(files, FS_ROOM_KEEP, root_of, 0);
    assert_true(fd >= 0);
    assert_true(pread(fd, back, sizeof(back) - 1, 0) >= 0);
    assert_string_equal(back, text);
    (void)close(fd);
    fs_files_close(files);
}

/* ---- cases ---- */

static void make_names(void)
{
    need_library();
    assert_int_equal(mkdir(in_base("names"), 0700), 0);
    for (const char *name = "a\0b\0c\0"; name[0] != '\0'; name += 2) {
        char path[16];
        (void)snprintf(path, sizeof(path), "names/%s", name);
        assert_true(write_file(in_base(path), name, true));
    }
}

/* The library itself: else no case below could fail. */
static void library_forgets_names_that_were_not_synced(void **state)
{
    (void)state;
    make_names();
    cut_behind("names");
    is_text(in_base("names/a"), "a");
    is_text(in_base("names/b"), "b");
    is_text(in_base("names/c"), "c");
    assert_int_not_equal(access(in_base("names/d"), F_OK), 0);
    assert_int_not_equal(access(in_base("names/e"), F_OK), 0);
    assert_int_not_equal(access(in_base("names/dir"), F_OK), 0);
}

static void library_keeps_names_that_were_synced(void **state)
{
    (void)state;
    make_names();
    cut_behind("synced names");
    is_text(in_base("names/a"), NULL);
    is_text(in_base("names/b"), "a");
    is_text(in_base("names/c"), NULL);
    is_text(in_base("names/d"), "d");
    is_text(in_base("names/e"), "d");
    is_text(in_base("names/dir/f"), "f");
}

static void what_was_put_is_kept(void **state)
{
    (void)state;
    need_library();
    cut_behind("put");
    is_kept("hello");
}

static void what_was_fetched_is_kept(void **state)
{
    (void)state;
    need_library();
    cut_behind("part");
    is_kept("hello");
}

static void what_was_put_beside_what_another_was_about_to_sync_is_kept(void **state)
{
    (void)state;
    need_library();
    cut_behind("put beside another");
    is_kept("hello");
}

static void what_was_found_and_is_counted_on_is_kept(void **state)
{
    (void)state;
    need_library();
    cut_behind("found");
    is_kept("hello");
}

static void what_was_appended_is_kept(void **state)
{
    char name[80] = "", path[256];
    FILE *file;

    (void)state;
    need_library();
    /* Its name is written by a way that the library does not see. */
    cut_behind("append");
    file = fopen(in_base("grown"), "r");
    assert_non_null(file);
    assert_non_null(fgets(name, sizeof(name), file));
    (void)fclose(file);
    (void)snprintf(path, sizeof(path), "data/keep/%.2s/%.2s/%s", name, name + 2, name);
    is_text(in_base(path), "hello world");
}

static void what_was_put_into_new_directories_of_a_folder_is_there(void **state)
{
    (void)state;
    need_library();
    assert_int_equal(mkdir(in_base("root"), 0700), 0);
    cut_behind("new/dir/x");
    is_text(in_base("root/new/dir/x"), "hello");
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0) {
        (void)snprintf(base, sizeof(base), "%s", argv[2]);
        return child_main(argv[3]);
    }
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(library_forgets_names_that_were_not_synced),
        T(library_keeps_names_that_were_synced),
        T(what_was_put_is_kept),
        T(what_was_fetched_is_kept),
        T(what_was_put_beside_what_another_was_about_to_sync_is_kept),
        T(what_was_found_and_is_counted_on_is_kept),
        T(what_was_appended_is_kept),
        T(what_was_put_into_new_directories_of_a_folder_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
