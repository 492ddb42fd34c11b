/* Files that appear whole: with holes, over what is there, and with nothing left by a signal. */
#include "cli/out_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/test.h"

#define KIB 1024u

static char dir[64], path[80];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/kith-out-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/out", dir);
    return 0;
}

/* The names in the directory, each behind a blank. */
static const char *names(char out[200])
{
    DIR *open_dir = opendir(dir);
    const struct dirent *entry;
    size_t at = 0;

    out[0] = '\0';
    assert_non_null(open_dir);
    while ((entry = readdir(open_dir)) != NULL) {
        if (entry->d_name[0] != '.')
            at += (size_t)snprintf(out + at, 200 - at, " %s", entry->d_name);
    }
    closedir(open_dir);
    return out;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void put(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Without a name until the end, and where the file system must have one. */
static int (*const openers[])(struct out_file *out, const char *path) = {out_file_open,
                                                                         out_file_open_named};

static void it_appears_at_the_end_in_place_of_what_was_there(void **state)
{
    char text[200], read_back[8] = "";
    struct out_file out;
    struct stat st;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        bool there = i >= 2;
        if (there)
            put("former");
        assert_int_equal(openers[i % 2](&out, path), 0);
        assert_int_equal(out_file_write(&out, "new", 3), 0);
        if (there)
            assert_true(stat(path, &st) == 0 && st.st_size == 6);
        else
            assert_true(stat(path, &st) != 0);
        assert_int_equal(out_file_finish(&out, 0640), 0);
        assert_string_equal(names(text), " out");
        assert_true(stat(path, &st) == 0 && st.st_size == 3);
        assert_int_equal(st.st_mode & 0777, 0640);
        int fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, read_back, sizeof(read_back)), 3);
        assert_memory_equal(read_back, "new", 3);
        close(fd);
        unlink(path);
    }
}

static void what_is_dropped_leaves_what_was_there(void **state)
{
    char text[200];
    struct out_file out;
    struct stat st;

    (void)state;
    put("former");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(openers[i](&out, path), 0);
        assert_int_equal(out_file_write(&out, "new", 3), 0);
        out_file_drop(&out);
        out_file_drop(&out);
        assert_string_equal(names(text), " out");
        assert_true(stat(path, &st) == 0 && st.st_size == 6);
    }
    snprintf(text, sizeof(text), "%s/none/out", dir);
    assert_int_equal(out_file_open(&out, text), -1);
    assert_int_equal(errno, ENOENT);
}

/* Blocks of zeros inside, at the end, and one that is not whole. */
static void zeros_become_holes(void **state)
{
    static uint8_t data[256 * KIB];
    struct out_file out;
    struct stat st;

    (void)state;
    memset(data, 0, sizeof(data));
    data[0] = 1;
    data[200 * KIB] = 2; /* and its block is written */
    assert_int_equal(out_file_open(&out, path), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(out_file_write(&out, data, sizeof(data)), 0);
    for (int i = 0; i < 64; i++) {
        data[0] = data[200 * KIB] = 0;
        assert_int_equal(out_file_write(&out, data, sizeof(data)), 0);
    }
    assert_int_equal(out_file_write(&out, data, 1000), 0);
    assert_int_equal(out_file_finish(&out, 0644), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 68 * sizeof(data) + 1000);
    assert_true((uint64_t)st.st_blocks * 512 <= 4 * 2 * 64 * KIB + 64 * KIB);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int i = 0; i < 68; i++) {
        assert_int_equal(fread(data, 1, sizeof(data), file), sizeof(data));
        assert_int_equal(data[0], i < 4);
        assert_int_equal(data[200 * KIB], i < 4 ? 2 : 0);
        data[0] = data[200 * KIB] = 0;
        assert_true(data[1] == 0 && memcmp(data + 1, data + 2, sizeof(data) - 2) == 0);
    }
    assert_int_equal(fread(data, 1, sizeof(data), file), 1000);
    fclose(file);
}

/* A child that has written half is ended while it waits. */
static void a_signal_leaves_nothing(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char text[200];

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        int ready[2], status;
        char byte;
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            struct out_file out;
            (void)signal(signals[i / 2], SIG_DFL); /* who runs the tests may ignore it (nohup) */
            bool fine = openers[i % 2](&out, path) == 0 && out_file_write(&out, "h", 1) == 0;
            (void)!write(ready[1], fine ? "y" : "n", 1);
            for (;;)
                pause();
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(byte, 'y');
        if (i % 2 == 1)
            assert_non_null(strstr(names(text), ".part"));
        assert_int_equal(kill(child, signals[i / 2]), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i / 2]);
        assert_string_equal(names(text), "");
        close(ready[0]);
        close(ready[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_appears_at_the_end_in_place_of_what_was_there, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(what_is_dropped_leaves_what_was_there, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(zeros_become_holes, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_signal_leaves_nothing, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
