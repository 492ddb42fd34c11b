/*
 * The files of a node's own, and writing into folders, on real directories.
 */
#include "fs/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fs/chunker.h"
#include "kith/error.h"
#include "lib/test.h"

static char base[64], data_dir[80], root[80];
static struct fs_files *files;
static struct fs_folder folder;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int begin(void **state)
{
    (void)state;
    (void)strcpy(base, "/tmp/kith-files-XXXXXX");
    if (mkdtemp(base) == NULL)
        return 1;
    (void)snprintf(data_dir, sizeof(data_dir), "%s/data", base);
    (void)snprintf(root, sizeof(root), "%s/root", base);
    if (mkdir(root, 0700) != 0 || fs_files_open(&files, data_dir) != 0)
        return 1;
    return fs_folder_open(&folder, root);
}

static int end(void **state)
{
    (void)state;
    fs_folder_close(&folder);
    fs_files_close(files);
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_root(const char *name)
{
    static _Thread_local char path[2][512];
    static _Thread_local unsigned at;
    char *out = path[at++ % 2];
    (void)snprintf(out, 512, "%s/%s", root, name);
    return out;
}

static void put(const char *name, const char *text)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void is_text(int fd, const char *text)
{
    char back[256] = "";
    assert_true(fd >= 0);
    assert_true(pread(fd, back, sizeof(back) - 1, 0) >= 0);
    assert_string_equal(back, text);
    (void)close(fd);
}

static void has_text(const char *name, const char *text)
{
    is_text(open(in_root(name), O_RDONLY), text);
}

/* How many names are in @dir, which is beneath @base. */
static unsigned names_in(const char *dir)
{
    char command[256], line[32] = "";
    (void)snprintf(command, sizeof(command), "ls -A %s/%s | wc -l", base, dir);
    FILE *out = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    (void)pclose(out);
    return (unsigned)strtoul(line, NULL, 10);
}

static void look(const char *name, struct fs_stat *stat_out)
{
    struct local_seen seen;
    char room[FS_TARGET_BYTES_MAX + 1];
    fs_look(&folder, name, &seen, room);
    *stat_out = seen.found == LOCAL_FOUND ? seen.stat : (struct fs_stat){0};
}

/* A temporary file with @text in it. */
static int temp_of(const char *text)
{
    int fd = fs_temp_open(files, strlen(text));
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text), 0), 0);
    return fd;
}

static const uint8_t root_a[FS_ROOT_BYTES] = {0xab, 0xcd, 1}, root_b[FS_ROOT_BYTES] = {0xab, 0xce};

/* ---- contents ---- */

struct counted {
    unsigned n;
    uint64_t bytes;
    uint32_t chunks;
};

static int count(void *user, const uint8_t root_of[FS_ROOT_BYTES], uint32_t chunk, uint64_t bytes)
{
    struct counted *counted = user;
    assert_int_equal(root_of[0], 0xab);
    counted->n++;
    counted->bytes += bytes;
    counted->chunks |= 1u << chunk;
    return 0;
}

static void what_is_kept_is_there_after_a_restart(void **state)
{
    struct counted counted = {0};

    (void)state;
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), KITH_E_NOT_FOUND);
    assert_int_equal(fs_temp_keep(files, root_a, temp_of("hello")), 0);
    assert_int_equal(fs_temp_keep(files, root_b, temp_of("world!")), 0);
    fs_files_close(files);
    assert_int_equal(fs_files_open(&files, data_dir), 0);
    is_text(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), "hello");
    assert_int_equal(fs_content_each(files, FS_ROOM_KEEP, count, &counted), 0);
    assert_int_equal(counted.n, 2);
    assert_int_equal(counted.bytes, 11);
    /* Again: what was there, perhaps damaged, is replaced. */
    assert_int_equal(fs_temp_keep(files, root_a, temp_of("HELLO")), 0);
    is_text(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), "HELLO");
    assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, root_a, 0), 0);
    assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, root_a, 0), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), KITH_E_NOT_FOUND);
    assert_int_equal(names_in("data/tmp"), 0);
}

static void a_part_is_resumed_and_kept(void **state)
{
    bool old;
    int fd = fs_part_open(files, root_a, 8, &old);

    (void)state;
    assert_true(fd >= 0);
    assert_false(old);
    assert_int_equal(fs_write_all(fd, "ab", 2, 2), 0);
    (void)close(fd);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), KITH_E_NOT_FOUND);
    fs_files_close(files);
    assert_int_equal(fs_files_open(&files, data_dir), 0);
    fd = fs_part_open(files, root_a, 8, &old);
    assert_true(fd >= 0 && old);
    assert_int_equal(fs_write_all(fd, "xy", 2, 0), 0);
    assert_int_equal(fs_write_all(fd, "zzzz", 4, 4), 0);
    assert_int_equal(fs_part_keep(files, root_a, fd), 0);
    is_text(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), "xyabzzzz");
    assert_int_equal(names_in("data/part"), 0);
}

/* A copy that is given up while it ends goes on, and the next one has opened its part. */
static void both_of_two_that_wrote_to_one_part_find_it_in_the_keep(void **state)
{
    bool old;
    int one = fs_part_open(files, root_a, 4, &old);
    int two = fs_part_open(files, root_a, 4, &old);

    (void)state;
    assert_true(one >= 0 && two >= 0 && old);
    assert_int_equal(fs_write_all(one, "both", 4, 0), 0);
    assert_int_equal(fs_part_keep(files, root_a, one), 0);
    assert_int_equal(fs_write_all(two, "both", 4, 0), 0);
    assert_int_equal(fs_part_keep(files, root_a, two), FS_PART_KEPT);
    is_text(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), "both");
    /* What the keep has must be this very file. */
    one = fs_part_open(files, root_a, 4, &old);
    assert_true(one >= 0 && !old);
    assert_int_equal(fs_content_remove(files, FS_ROOM_PART, root_a, 0), 0);
    assert_true(fs_part_keep(files, root_a, one) < 0);
    is_text(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), "both");
}

static void what_is_damaged_becomes_the_part(void **state)
{
    bool old;
    int fd;

    (void)state;
    assert_int_equal(fs_keep_to_part(files, root_a, 5), 0); /* it is not there */
    assert_int_equal(fs_temp_keep(files, root_a, temp_of("hellO")), 0);
    assert_int_equal(fs_keep_to_part(files, root_a, 5), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), KITH_E_NOT_FOUND);
    fd = fs_part_open(files, root_a, 5, &old);
    assert_true(old);
    is_text(fd, "hellO");
    /* A part that is there already is not lost by it, and a file of another size is of no use. */
    assert_int_equal(fs_temp_keep(files, root_a, temp_of("HELLO")), 0);
    assert_int_equal(fs_keep_to_part(files, root_a, 5), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_a, 0), KITH_E_NOT_FOUND);
    is_text(fs_part_open(files, root_a, 5, &old), "hellO");
    assert_int_equal(fs_temp_keep(files, root_b, temp_of("torn")), 0);
    assert_int_equal(fs_keep_to_part(files, root_b, 5), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, root_b, 0), KITH_E_NOT_FOUND);
    assert_int_equal(names_in("data/part"), 1);
}

static void chunks_of_zeros_take_no_room(void **state)
{
    static const uint8_t zeros[256 * 1024];
    struct stat st;
    int fd;

    (void)state;
    assert_int_equal(fs_cache_write(files, root_a, 3, zeros, sizeof(zeros)), 0);
    fd = fs_content_open(files, FS_ROOM_CACHE, root_a, 3);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_size == (off_t)sizeof(zeros) && st.st_blocks == 0);
    (void)close(fd);
}

static void chunks_are_cached_one_by_one(void **state)
{
    struct counted counted = {0};

    (void)state;
    assert_int_equal(fs_cache_write(files, root_a, 0, "zero", 4), 0);
    assert_int_equal(fs_cache_write(files, root_a, 7, "seven", 5), 0);
    assert_int_equal(fs_cache_write(files, root_a, 7, "SEVEN", 5), 0);
    is_text(fs_content_open(files, FS_ROOM_CACHE, root_a, 7), "SEVEN");
    assert_int_equal(fs_content_open(files, FS_ROOM_CACHE, root_a, 1), KITH_E_NOT_FOUND);
    assert_int_equal(fs_content_each(files, FS_ROOM_CACHE, count, &counted), 0);
    assert_int_equal(counted.n, 2);
    assert_int_equal(counted.chunks, 1u | 1u << 7);
    assert_int_equal(fs_content_remove(files, FS_ROOM_CACHE, root_a, 7), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_CACHE, root_a, 7), KITH_E_NOT_FOUND);
}

static void a_full_disk_is_said_before_anything_is_written(void **state)
{
    bool old;

    (void)state;
    assert_int_equal(fs_files_room(files, 1), 0);
    assert_int_equal(fs_files_room(files, UINT64_MAX / 2), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "the disk is full"));
    assert_int_equal(fs_part_open(files, root_a, 1ull << 62, &old), KITH_E_LIMIT);
    assert_int_equal(fs_temp_open(files, 1ull << 62), KITH_E_LIMIT);
    assert_int_equal(names_in("data/part"), 0);
    assert_int_equal(names_in("data/tmp"), 0);
}

/* The disk takes no more in the middle of a file (here: the largest file that this process may
 * write): nothing of it is seen under a name, neither here nor in the folder. */
static void a_disk_that_fills_up_leaves_nothing(void **state)
{
    struct rlimit limit, old;
    struct fs_placing placing = {
        .folder = &folder, .name = "big", .share = "s", .kind = FS_FILE, .mode = 0600};
    struct fs_stat stat;
    char *large = calloc(1, 1 << 20);
    int r_cache, r_place;

    (void)state;
    assert_non_null(large);
    placing.fd = temp_of("x");
    assert_int_equal(fs_write_all(placing.fd, large, 1 << 20, 0), 0);
    placing.size = 1 << 20;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){1 << 19, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    r_cache = fs_cache_write(files, root_a, 0, large, 1 << 20);
    r_place = fs_place(files, &placing, &stat);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(r_cache, KITH_E_LIMIT);
    assert_int_equal(r_place, KITH_E_LIMIT);
    assert_int_equal(fs_content_open(files, FS_ROOM_CACHE, root_a, 0), KITH_E_NOT_FOUND);
    assert_int_equal(names_in("data/tmp"), 0);
    assert_int_equal(names_in("root"), 0);
    (void)close(placing.fd);
    free(large);
}

/* ---- into a folder ---- */

static int
place(const char *name, const struct fs_stat *expect, const char *text, struct fs_stat *stat_out)
{
    struct fs_placing placing = {.folder = &folder,
                                 .name = name,
                                 .expect = expect,
                                 .share = "s",
                                 .kind = FS_FILE,
                                 .mode = 04751,
                                 .mtime_ns = -1500000000,
                                 .fd = temp_of(text),
                                 .size = strlen(text)};
    int r = fs_place(files, &placing, stat_out);
    (void)close(placing.fd);
    return r;
}

static int only_name(void *user, const struct fs_trashed *trashed)
{
    char *names = user;
    (void)strcat(names, trashed->name);
    (void)strcat(names, ";");
    return 0;
}

static void a_version_is_placed_whole(void **state)
{
    struct fs_stat stat, now;

    (void)state;
    assert_int_equal(place("a/b/c", NULL, "one", &stat), 0);
    has_text("a/b/c", "one");
    look("a/b/c", &now);
    assert_true(fs_stat_same(&stat, &now));
    assert_int_equal(now.mode, 0751); /* never setuid by a copy */
    assert_int_equal(now.mtime_ns, -1500000000);
    /* Instead of what was expected: which is in the trash then. */
    assert_int_equal(place("a/b/c", &now, "two", &stat), 0);
    has_text("a/b/c", "two");
    char names[256] = "";
    assert_int_equal(fs_trash_each(files, only_name, names), 0);
    assert_string_equal(names, "a/b/c;");
    assert_int_equal(names_in("root/a/b"), 1);
}

static void nothing_is_replaced_that_was_not_expected(void **state)
{
    struct fs_stat stat, old;

    (void)state;
    put("a", "users");
    assert_int_equal(place("a", NULL, "ours", &stat), KITH_E_AGAIN);
    look("a", &old);
    put("a", "users2"); /* after it was looked at */
    assert_int_equal(place("a", &old, "ours", &stat), KITH_E_AGAIN);
    has_text("a", "users2");
    assert_int_equal(unlink(in_root("a")), 0);
    assert_int_equal(place("a", &old, "ours", &stat), KITH_E_AGAIN);
    assert_int_equal(names_in("root"), 0);
    assert_int_equal(names_in("data/trash"), 0);
}

/* Somebody replaces the file at any moment between the look and the end of placing: what he wrote
 * is there afterwards, or in the trash. */
static void *replace_a(void *arg)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "user %u", *(unsigned *)arg);
    put("mine", text);
    for (volatile unsigned spin = *(unsigned *)arg * 37 % 80 * 400000; spin > 0; spin--) {
    }
    (void)rename(in_root("mine"), in_root("a"));
    return NULL;
}

static int find_text(void *user, const struct fs_trashed *trashed)
{
    char back[64] = "";
    int fd = fs_trash_open(files, trashed->id);
    assert_true(fd >= 0);
    assert_true(read(fd, back, sizeof(back) - 1) >= 0);
    (void)close(fd);
    return strcmp(back, user) == 0 ? KITH_E_STOPPED : 0;
}

static void what_somebody_writes_meanwhile_is_not_lost(void **state)
{
    unsigned placed = 0, refused = 0;

    (void)state;
    for (unsigned i = 0; i < 80; i++) {
        char text[32], back[32] = "";
        pthread_t thread;
        struct fs_stat now, stat;
        int r, fd;

        put("a", "before");
        look("a", &now);
        assert_int_equal(pthread_create(&thread, NULL, replace_a, &i), 0);
        r = place("a", &now, "ours", &stat);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(r == 0 || r == KITH_E_AGAIN);
        placed += r == 0;
        refused += r != 0;
        fd = open(in_root("a"), O_RDONLY);
        assert_true(fd >= 0);
        assert_true(read(fd, back, sizeof(back) - 1) > 0);
        (void)close(fd);
        (void)snprintf(text, sizeof(text), "user %u", i);
        if (strcmp(back, text) != 0) {
            assert_string_equal(back, "ours");
            assert_int_equal(fs_trash_each(files, find_text, text), KITH_E_STOPPED);
        }
    }
    assert_int_equal(names_in("root"), 1);
    print_message("# %u placed, %u refused\n", placed, refused);
}

static void deletions_go_to_the_trash_and_come_back(void **state)
{
    struct fs_stat stat, now;
    struct fs_placing placing = {
        .folder = &folder, .name = "d/a", .expect = &now, .share = "s", .kind = FS_DELETED};
    char names[256] = "";

    (void)state;
    assert_int_equal(mkdir(in_root("d"), 0700), 0);
    put("d/a", "text");
    assert_int_equal(symlink("target", in_root("d/l")), 0);
    look("d/a", &now);
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(stat.kind, 0);
    placing.name = "d/l";
    look("d/l", &now);
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(names_in("root/d"), 0);
    placing.name = "d";
    look("d", &now);
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(names_in("root"), 0);
    assert_int_equal(fs_trash_each(files, only_name, names), 0);
    assert_string_equal(names, "d/l;d/a;");
}

static int take_id(void *user, const struct fs_trashed *trashed)
{
    *(uint64_t *)user = trashed->id;
    return KITH_E_STOPPED; /* the newest is enough */
}

static void the_trash_gives_back_and_is_emptied(void **state)
{
    struct fs_stat stat, now;
    uint64_t id = 0, wall_ms = (uint64_t)time(NULL) * 1000;

    (void)state;
    put("a", "old");
    look("a", &now);
    assert_int_equal(place("a", &now, "new", &stat), 0);
    assert_int_equal(fs_trash_each(files, take_id, &id), KITH_E_STOPPED);
    is_text(fs_trash_open(files, id), "old");
    assert_int_equal(fs_trash_restore(files, id, &folder, "a", &stat), KITH_E_EXISTS);
    assert_int_equal(fs_trash_restore(files, id, &folder, "sub/b", &stat), 0);
    has_text("sub/b", "old");
    assert_int_equal(stat.mode, 0640);
    assert_int_equal(stat.mtime_ns, now.mtime_ns);
    assert_int_equal(fs_trash_restore(files, id, &folder, "c", &stat), KITH_E_NOT_FOUND);
    look("a", &now);
    assert_int_equal(place("a", &now, "newer", &stat), 0);
    /* Not before an hour of this process has passed, and not before its time. */
    assert_int_equal(fs_trash_expire(files, wall_ms + FS_TRASH_MS + 60000, 1000), 0);
    assert_int_equal(fs_trash_expire(files, wall_ms + 60000, 1000 + 3600 * 1000), 0);
    assert_int_equal(fs_trash_expire(files, wall_ms + FS_TRASH_MS + 60000, 1000 + 3600 * 1000), 1);
    assert_int_equal(names_in("data/trash"), 0);
}

static void symlinks_and_directories_are_placed_too(void **state)
{
    struct fs_stat stat, now;
    struct fs_placing placing = {.folder = &folder,
                                 .name = "l",
                                 .share = "s",
                                 .kind = FS_SYMLINK,
                                 .target = "../elsewhere",
                                 .fd = -1};
    char target[64] = "";

    (void)state;
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(stat.kind, FS_SYMLINK);
    assert_true(readlink(in_root("l"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "../elsewhere");
    /* Beneath a symlink nothing is written. */
    assert_int_equal(symlink(base, in_root("out")), 0);
    assert_int_equal(place("out/x", NULL, "no", &stat), KITH_E_UNSUPPORTED);
    assert_int_equal(place("../x", NULL, "no", &stat), KITH_E_UNSUPPORTED);
    placing.kind = FS_DIRECTORY;
    placing.name = "d";
    placing.mode = 0750;
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(stat.mode, 0750);
    look("d", &now);
    placing.expect = &now;
    placing.mode = 0700;
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(stat.mode, 0700);
    /* A file where an empty directory was, and the other way round. */
    look("d", &now);
    assert_int_equal(place("d", &now, "file", &stat), 0);
    has_text("d", "file");
    look("d", &now);
    assert_int_equal(fs_place(files, &placing, &stat), 0);
    assert_int_equal(stat.kind, FS_DIRECTORY);
    put("d/inside", "x");
    look("d", &now);
    assert_int_equal(place("d", &now, "file", &stat), KITH_E_AGAIN);
}

/* What a crash leaves is found by the next process, and by it alone. */
static void what_a_crash_left_is_in_the_trash(void **state)
{
    struct fs_stat stat;
    char names[256] = "";

    (void)state;
    assert_int_equal(place("d/a", NULL, "text", &stat), 0);
    put("d/.kith-0123456789abcdef-7.tmp", "swapped out");
    assert_int_equal(fs_place_recover(files, &folder, "s"), 0); /* this process did not crash */
    struct fs_files *crashed = files;                           /* is not closed */
    assert_int_equal(fs_files_open(&files, data_dir), 0);
    assert_int_equal(fs_place_recover(files, &folder, "s"), 1);
    assert_int_equal(fs_place_recover(files, &folder, "s"), 0);
    assert_int_equal(names_in("root/d"), 1);
    assert_int_equal(fs_trash_each(files, only_name, names), 0);
    assert_string_equal(names, "d/.kith-0123456789abcdef-7.tmp;");
    fs_files_close(crashed);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(what_is_kept_is_there_after_a_restart),
        CASE(a_part_is_resumed_and_kept),
        CASE(both_of_two_that_wrote_to_one_part_find_it_in_the_keep),
        CASE(what_is_damaged_becomes_the_part),
        CASE(chunks_of_zeros_take_no_room),
        CASE(chunks_are_cached_one_by_one),
        CASE(a_full_disk_is_said_before_anything_is_written),
        CASE(a_disk_that_fills_up_leaves_nothing),
        CASE(a_version_is_placed_whole),
        CASE(nothing_is_replaced_that_was_not_expected),
        CASE(what_somebody_writes_meanwhile_is_not_lost),
        CASE(deletions_go_to_the_trash_and_come_back),
        CASE(the_trash_gives_back_and_is_emptied),
        CASE(symlinks_and_directories_are_placed_too),
        CASE(what_a_crash_left_is_in_the_trash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
