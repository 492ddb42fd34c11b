/*
 * The data directory in a temporary directory: files, lock, keys, permissions, damage.
 */
#include "net/data_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/peer_cache.h"
#include "net_testing.h"

static char root[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(root, sizeof root, "%s/kith-data-dir-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_root(const char *name)
{
    static char path[2][512];
    static int i;

    i = 1 - i;
    (void)snprintf(path[i], sizeof path[i], "%s/%s", root, name);
    return path[i];
}

static struct data_dir open_dir(void)
{
    struct data_dir dir;

    assert_int_equal(data_dir_open(&dir, in_root("d"), true), 0);
    return dir;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    assert_int_equal(stat(in_root(name), &st), 0);
    return st.st_mode & 07777;
}

static bool exists(const char *name)
{
    return access(in_root(name), F_OK) == 0;
}

/* ---- directory and lock ---- */

static void directory_is_made_private_with_its_parents(void **state)
{
    struct data_dir dir;

    (void)state;
    assert_int_equal(data_dir_open(&dir, in_root("a/b/c"), false), KITH_E_NOT_FOUND);
    assert_int_equal(data_dir_open(&dir, in_root("a/b/c"), true), 0);
    assert_int_equal(mode_of("a"), 0700);
    assert_int_equal(mode_of("a/b/c"), 0700);
    data_dir_close(&dir);
    data_dir_close(&dir);
    assert_int_equal(data_dir_open(&dir, in_root("a/b/c/"), true),
                     0); /* as it is, also with a slash */
    data_dir_close(&dir);
    put_file("file", "", 0600);
    assert_int_equal(data_dir_open(&dir, in_root("file"), false), KITH_E_INVALID);
    assert_int_not_equal(data_dir_open(&dir, in_root("file/x"), true), 0);
}

static void second_process_is_refused_by_name(void **state)
{
    struct data_dir dir = open_dir(), second;
    char pid[32];
    int status;
    pid_t child;

    (void)state;
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_int_equal(data_dir_open(&second, in_root("d"), false), KITH_E_IN_USE);
    assert_non_null(strstr(kith_errmsg(), pid));
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(data_dir_open(&second, in_root("d"), false) == KITH_E_IN_USE &&
                      strstr(kith_errmsg(), pid) != NULL
                  ? 0
                  : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    data_dir_close(&dir);
    assert_int_equal(data_dir_open(&dir, in_root("d"), false), 0);
    data_dir_close(&dir);
}

static void lock_of_a_killed_process_is_free(void **state)
{
    struct data_dir dir;
    int ready[2], status;
    pid_t child;
    char c;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (data_dir_open(&dir, in_root("d"), true) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    assert_int_equal(data_dir_open(&dir, in_root("d"), false), KITH_E_IN_USE);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(data_dir_open(&dir, in_root("d"), false), 0);
    data_dir_close(&dir);
}

/* ---- files ---- */

static void files_are_replaced_as_a_whole_and_private(void **state)
{
    struct data_dir dir = open_dir();
    struct buf out = {0};

    (void)state;
    assert_int_equal(data_dir_read(&dir, "x", 100, &out), KITH_E_NOT_FOUND);
    assert_int_equal(data_dir_write(&dir, "x", "hello", 5), 0);
    put_file("d/.x.tmp", "left by a crash", 0600);
    assert_int_equal(data_dir_write(&dir, "x", "other", 5), 0);
    assert_int_equal(mode_of("d/x"), 0600);
    assert_false(exists("d/.x.tmp"));
    assert_int_equal(data_dir_read(&dir, "x", 5, &out), 0);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "other", 5);
    assert_int_equal(data_dir_read(&dir, "x", 4, &out), KITH_E_TOO_LARGE);
    assert_int_equal(data_dir_remove(&dir, "x"), 0);
    assert_int_equal(data_dir_remove(&dir, "x"), 0);
    assert_int_equal(data_dir_read(&dir, "x", 100, &out), KITH_E_NOT_FOUND);
    buf_deinit(&out);
    data_dir_close(&dir);
}

static void failed_write_leaves_the_old_file(void **state)
{
    struct data_dir dir = open_dir();
    struct buf out = {0};

    (void)state;
    assert_int_equal(data_dir_write(&dir, "x", "old", 3), 0);
    assert_int_equal(mkdir(in_root("d/.x.tmp"), 0700), 0); /* the temporary file cannot be made */
    assert_int_not_equal(data_dir_write(&dir, "x", "new", 3), 0);
    assert_true(strlen(kith_errmsg()) > 0);
    assert_int_equal(data_dir_read(&dir, "x", 100, &out), 0);
    assert_memory_equal(out.data, "old", 3);
    buf_deinit(&out);
    data_dir_close(&dir);
}

static void mode_that_gives_others_anything_prints_the_chmod(void **state)
{
    static const mode_t bad[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666, 0440};
    static const mode_t good[] = {0600, 0400, 0700};

    (void)state;
    put_file("key", "x", 0600);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chmod(in_root("key"), bad[i]), 0);
        assert_int_equal(data_dir_check_private(in_root("key")), KITH_E_PERMISSION);
        assert_non_null(strstr(kith_errmsg(), "chmod 0600 "));
        assert_non_null(strstr(kith_errmsg(), in_root("key")));
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(chmod(in_root("key"), good[i]), 0);
        assert_int_equal(data_dir_check_private(in_root("key")), 0);
    }
    assert_int_equal(data_dir_check_private(in_root("none")), KITH_E_NOT_FOUND);
}

/* ---- keys ---- */

static void identity_is_made_once_and_lasts(void **state)
{
    struct data_dir dir = open_dir();
    struct net_identity a, b;

    (void)state;
    assert_int_equal(data_dir_identity(&dir, false, &a), KITH_E_NOT_FOUND);
    assert_int_equal(data_dir_identity(&dir, true, &a), 0);
    assert_int_equal(mode_of("d/node.key"), 0600);
    assert_int_equal(data_dir_identity(&dir, true, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
    data_dir_close(&dir);
    dir = open_dir();
    assert_int_equal(data_dir_identity(&dir, false, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(chmod(in_root("d/node.key"), 0644), 0);
    assert_int_equal(data_dir_identity(&dir, false, &b), KITH_E_PERMISSION);
    assert_non_null(strstr(kith_errmsg(), "chmod 0600 "));
    assert_int_equal(chmod(in_root("d/node.key"), 0400), 0);
    assert_int_equal(data_dir_identity(&dir, false, &b), 0);
    data_dir_close(&dir);
}

/* Any changed byte of the lines that matter is told; comments may change. */
static void damaged_key_file_is_told(void **state)
{
    struct data_dir dir = open_dir();
    struct net_identity identity;
    struct buf file = {0};
    size_t seed_at;

    (void)state;
    assert_int_equal(data_dir_identity(&dir, true, &identity), 0);
    assert_int_equal(data_dir_read(&dir, "node.key", 4096, &file), 0);
    seed_at = (size_t)((uint8_t *)memmem(file.data, file.len, "seed = ", 7) - file.data);
    for (size_t i = seed_at - 33; i + 1 < file.len; i += 3) {
        uint8_t old = file.data[i];

        file.data[i] = old == '7' ? '8' : '7';
        assert_int_equal(data_dir_write(&dir, "node.key", file.data, file.len), 0);
        assert_int_equal(data_dir_identity(&dir, true, &identity), KITH_E_CORRUPT);
        file.data[i] = old;
    }
    for (size_t len = 0; len < file.len - 1; len += 7) {
        assert_int_equal(data_dir_write(&dir, "node.key", file.data, len), 0);
        assert_int_equal(data_dir_identity(&dir, true, &identity), KITH_E_CORRUPT);
        assert_non_null(strstr(kith_errmsg(), "node.key"));
    }
    file.data[0] = ';';
    assert_int_equal(data_dir_write(&dir, "node.key", file.data, file.len), 0);
    assert_int_equal(data_dir_identity(&dir, true, &identity), 0);
    buf_deinit(&file);
    data_dir_close(&dir);
}

static void cluster_is_kept_and_checked(void **state)
{
    struct rng rng = test_rng();
    struct data_dir dir = open_dir();
    struct net_cluster cluster = random_cluster(&rng), back;
    char name[DATA_DIR_CLUSTER_NAME_BYTES];
    struct buf file = {0};
    char long_name[DATA_DIR_CLUSTER_NAME_BYTES + 1];
    size_t name_at;

    (void)state;
    assert_int_equal(data_dir_cluster(&dir, &back, name), KITH_E_NO_CLUSTER);
    assert_non_null(strstr(kith_errmsg(), "kith init"));
    assert_non_null(strstr(kith_errmsg(), "kith join"));
    memset(long_name, 'c', sizeof long_name);
    long_name[DATA_DIR_CLUSTER_NAME_BYTES] = '\0';
    assert_int_equal(data_dir_set_cluster(&dir, &cluster, long_name), KITH_E_NAME);
    assert_int_equal(data_dir_set_cluster(&dir, &cluster, "two\nlines"), KITH_E_NAME);
    assert_int_equal(data_dir_set_cluster(&dir, &cluster, long_name + 1), 0);
    assert_int_equal(data_dir_cluster(&dir, &back, name), 0);
    assert_memory_equal(&back, &cluster, sizeof back);
    assert_string_equal(name, long_name + 1);
    assert_int_equal(mode_of("d/cluster.key"), 0600);

    assert_int_equal(data_dir_read(&dir, "cluster.key", 4096, &file), 0);
    name_at = (size_t)((uint8_t *)memmem(file.data, file.len, "name = ", 7) - file.data);
    for (size_t i = name_at; i + 1 < file.len; i += 3) {
        uint8_t old = file.data[i];

        file.data[i] = old == '7' ? '8' : '7';
        assert_int_equal(data_dir_write(&dir, "cluster.key", file.data, file.len), 0);
        assert_int_equal(data_dir_cluster(&dir, &back, name), KITH_E_CORRUPT);
        file.data[i] = old;
    }
    assert_int_equal(chmod(in_root("d/cluster.key"), 0640), 0);
    assert_int_equal(data_dir_cluster(&dir, &back, name), KITH_E_PERMISSION);
    buf_deinit(&file);
    data_dir_close(&dir);
}

/* ---- numbers ---- */

static void boot_no_only_goes_up(void **state)
{
    struct data_dir dir = open_dir();
    uint64_t boot_no;

    (void)state;
    assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), 0);
    assert_int_equal(boot_no, 1);
    assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), 0);
    assert_int_equal(boot_no, 2);
    assert_int_equal(data_dir_next_boot(&dir, 40, &boot_no), 0);
    assert_int_equal(boot_no, 41);
    assert_int_equal(data_dir_next_boot(&dir, 7, &boot_no), 0);
    assert_int_equal(boot_no, 42);
    data_dir_close(&dir);
    dir = open_dir();
    assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), 0);
    assert_int_equal(boot_no, 43);
    put_file("d/boot_no", "18446744073709551614\n", 0600);
    assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), 0);
    assert_true(boot_no == UINT64_MAX);
    assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), KITH_E_LIMIT);
    data_dir_close(&dir);
}

static void damaged_numbers_are_told(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "x",
        "1 2",
        "-1",
        "1\n2",
        "18446744073709551616",
        "00000000000000000000000000000000000000000000000000000000000000000000000000001"};
    struct data_dir dir = open_dir();
    uint64_t boot_no;
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_file("d/boot_no", texts[i], 0600);
        assert_int_equal(data_dir_next_boot(&dir, 0, &boot_no), KITH_E_CORRUPT);
        assert_non_null(strstr(kith_errmsg(), "boot_no"));
    }
    put_file("d/port", "65536\n", 0600);
    assert_int_equal(data_dir_port(&dir, &port), KITH_E_CORRUPT);
    data_dir_close(&dir);
}

static void port_is_remembered(void **state)
{
    struct data_dir dir = open_dir();
    uint16_t port = 1;

    (void)state;
    assert_int_equal(data_dir_port(&dir, &port), 0);
    assert_int_equal(port, 0);
    assert_int_equal(data_dir_set_port(&dir, 65535), 0);
    assert_int_equal(data_dir_port(&dir, &port), 0);
    assert_int_equal(port, 65535);
    data_dir_close(&dir);
}

/* ---- peers ---- */

static void damaged_peers_file_is_put_aside(void **state)
{
    struct data_dir dir = open_dir();
    struct peer_cache_writer writer;
    struct peer_entry entry = {.sign_pk = {3}, .name = "n"};
    struct buf file = {0}, out = {0};

    (void)state;
    assert_int_equal(data_dir_peers(&dir, &out), KITH_E_NOT_FOUND);
    assert_int_equal(peer_cache_begin(&writer, &file), 0);
    assert_int_equal(peer_cache_add(&writer, &entry), 0);
    assert_int_equal(peer_cache_end(&writer), 0);
    assert_int_equal(data_dir_set_peers(&dir, &file), 0);
    assert_int_equal(data_dir_peers(&dir, &out), 0);
    assert_int_equal(out.len, file.len);
    assert_memory_equal(out.data, file.data, file.len);

    file.data[20] ^= 1;
    assert_int_equal(data_dir_set_peers(&dir, &file), 0);
    assert_int_equal(data_dir_peers(&dir, &out), KITH_E_CORRUPT);
    assert_int_equal(out.len, 0);
    assert_non_null(strstr(kith_errmsg(), "peers.bad"));
    assert_true(exists("d/peers.bad"));
    assert_false(exists("d/peers"));
    assert_int_equal(data_dir_peers(&dir, &out),
                     KITH_E_NOT_FOUND); /* the next start is a clean one */
    buf_deinit(&file);
    buf_deinit(&out);
    data_dir_close(&dir);
}

/* ---- default ---- */

static void default_directory_follows_the_environment(void **state)
{
    char out[4096], tiny[4];

    (void)state;
    assert_int_equal(setenv("HOME", "/users/u", 1), 0);
    unsetenv("STATE_DIRECTORY");
    assert_int_equal(setenv("XDG_STATE_HOME", "/x/state", 1), 0);
    assert_int_equal(data_dir_default(out, sizeof out), 0);
    assert_string_equal(out, "/x/state/kith");
    assert_int_equal(data_dir_default(tiny, sizeof tiny), KITH_E_INVALID);
    assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1), 0);
    assert_int_equal(data_dir_default(out, sizeof out), 0);
    assert_string_equal(out, "/var/lib/one");
    unsetenv("STATE_DIRECTORY");
    assert_int_equal(setenv("XDG_STATE_HOME", "relative", 1),
                     0); /* not valid by its specification */
    assert_int_equal(data_dir_default(out, sizeof out), 0);
    assert_string_equal(out, geteuid() == 0 ? "/var/lib/kith" : "/users/u/.local/state/kith");
}

#define case_in_dir(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_in_dir(directory_is_made_private_with_its_parents),
        case_in_dir(second_process_is_refused_by_name),
        case_in_dir(lock_of_a_killed_process_is_free),
        case_in_dir(files_are_replaced_as_a_whole_and_private),
        case_in_dir(failed_write_leaves_the_old_file),
        case_in_dir(mode_that_gives_others_anything_prints_the_chmod),
        case_in_dir(identity_is_made_once_and_lasts),
        case_in_dir(damaged_key_file_is_told),
        case_in_dir(cluster_is_kept_and_checked),
        case_in_dir(boot_no_only_goes_up),
        case_in_dir(damaged_numbers_are_told),
        case_in_dir(port_is_remembered),
        case_in_dir(damaged_peers_file_is_put_aside),
        case_in_dir(default_directory_follows_the_environment),
    };
    return run_net_tests("net_data_dir", tests);
}
