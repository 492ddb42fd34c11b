/*
 * The watch, on real directories: what happens is told, under the names that things have now.
 */
#include "fs/watch.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fs/scan.h"
#include "kith/error.h"
#include "lib/test.h"

#define WAIT_MS 60000

static char root[64];
static struct fs_watch *watch;
static struct fs_scanner *scanner;
static struct buf lines; /* "name touch;" each */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static const char *in_root(const char *name)
{
    static char path[4][512];
    static unsigned at;
    char *out = path[at++ % 4];
    (void)snprintf(out, 512, "%s/%s", root, name);
    return out;
}

static int no_item(void *user, const struct fs_scan_item *item)
{
    (void)user, (void)item;
    return 0;
}

static void scan(const char *name)
{
    struct fs_scan_result result;
    assert_int_equal(fs_scan(scanner, name, false, NULL, no_item, NULL, &result), 0);
}

static int begin(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/kith-watch-XXXXXX");
    if (mkdtemp(root) == NULL || fs_watch_new(&watch) != 0)
        return 1;
    return fs_scanner_new(&scanner, root, watch, false);
}

static int end(void **state)
{
    (void)state;
    fs_scanner_free(scanner);
    fs_watch_free(watch);
    buf_deinit(&lines);
    lines = (struct buf){0};
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_event(void *user, const struct fs_watch_event *event)
{
    (void)user;
    assert_int_equal(strlen(event->name), event->name_len);
    assert_int_equal(
        buf_printf(&lines, "%s %s%u;", event->name, event->overflow ? "lost" : "", event->touch),
        0);
}

/* Waits until @line was told; what was told before it is forgotten. */
static void wait_for(const char *line)
{
    for (unsigned waited_ms = 0;; waited_ms += 100) {
        struct pollfd poll_fd = {.fd = fs_watch_fd(watch), .events = POLLIN};
        const char *found;

        (void)fs_watch_read(watch, on_event, NULL);
        assert_int_equal(buf_append_u8(&lines, 0), 0);
        lines.len--;
        found = strstr((const char *)lines.data, line);
        if (found != NULL) {
            buf_consume(&lines, (size_t)(found - (const char *)lines.data) + strlen(line));
            return;
        }
        if (waited_ms >= WAIT_MS)
            fail_msg("no '%s' in '%s'", line, (const char *)lines.data);
        (void)poll(&poll_fd, 1, 100);
    }
}

static void put(const char *name, const char *text)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* ---- cases ---- */

static void changes_of_files_are_told(void **state)
{
    (void)state;
    scan("");
    put("a", "1");
    wait_for("a 0;");
    wait_for("a 1;");
    assert_int_equal(chmod(in_root("a"), 0600), 0);
    wait_for("a 0;");
    assert_int_equal(rename(in_root("a"), in_root("b")), 0);
    wait_for("a 2;");
    wait_for("b 1;");
    assert_int_equal(unlink(in_root("b")), 0);
    wait_for("b 2;");
}

static void directories_are_watched_when_they_were_scanned(void **state)
{
    struct fs_watch_stats stats;

    (void)state;
    scan("");
    assert_int_equal(mkdir(in_root("d"), 0700), 0);
    wait_for("d 4;");
    put("d/early", "");
    scan("d");
    put("d/late", "");
    wait_for("d/late 1;");
    fs_watch_stats(watch, &stats);
    assert_int_equal(stats.watches, 2);
    assert_int_equal(unlink(in_root("d/early")), 0);
    assert_int_equal(unlink(in_root("d/late")), 0);
    assert_int_equal(rmdir(in_root("d")), 0);
    wait_for("d 6;");
    put("last", "");
    wait_for("last 1;");
    fs_watch_stats(watch, &stats);
    assert_int_equal(stats.watches, 1);
}

static void a_renamed_directory_is_told_of_under_its_new_name(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_root("d"), 0700), 0);
    assert_int_equal(mkdir(in_root("d/e"), 0700), 0);
    scan("");
    assert_int_equal(rename(in_root("d"), in_root("n")), 0);
    wait_for("d 6;");
    wait_for("n 5;");
    scan("n");
    put("n/e/x", "");
    wait_for("n/e/x 1;");
    /* The scanner may come first: then the old name is let go of when its event is read. */
    assert_int_equal(rename(in_root("n"), in_root("m")), 0);
    scan("m");
    put("m/e/y", "");
    wait_for("n 6;");
    put("m/e/z", "");
    wait_for("m/e/z 1;");
    assert_null(strstr((const char *)lines.data, "n/e/z"));
}

static void the_folder_itself_may_go(void **state)
{
    char other[80];

    (void)state;
    scan("");
    (void)snprintf(other, sizeof(other), "%s-moved", root);
    assert_int_equal(rename(root, other), 0);
    wait_for(" 0;");
    assert_int_equal(rename(other, root), 0);
}

static void an_overflow_is_told(void **state)
{
    struct fs_watch_stats stats;
    char text[16] = "";
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    unsigned long max;

    (void)state;
    if (file == NULL || fgets(text, sizeof(text), file) == NULL)
        test_skip("the length of the kernel's queue is not known");
    (void)fclose(file);
    max = strtoul(text, NULL, 10);
    if (max > 200000)
        test_skip("the kernel's queue is very long");
    scan("");
    put("a", "");
    put("b", "");
    for (unsigned long i = 0; i < max; i++) /* two by turns: equal ones in a row are one */
        assert_int_equal(
            chmod(in_root(i % 2 == 0 ? "a" : "b"), 0600u + (mode_t)(i / 2 % 2) * 0100u), 0);
    wait_for(" lost0;");
    fs_watch_stats(watch, &stats);
    assert_int_equal(stats.overflows, 1);
}

/* The loop reads while a scanner adds and directories come and go. */
static atomic_bool is_over;

static void *churn(void *arg)
{
    char name[64];
    (void)arg;
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "d%u", i % 7);
        (void)mkdir(in_root(name), 0700);
        (void)snprintf(name, sizeof(name), "d%u/e", i % 7);
        (void)mkdir(in_root(name), 0700);
        char from[512], to[512];
        (void)snprintf(from, sizeof(from), "%s/d%u", root, i % 7);
        (void)snprintf(to, sizeof(to), "%s/d%u", root, (i + 3) % 7);
        (void)rename(from, to);
        (void)rmdir(to);
    }
    atomic_store(&is_over, true);
    return NULL;
}

static void *scan_on(void *arg)
{
    struct fs_scan_result result;
    (void)arg;
    while (!atomic_load(&is_over))
        (void)fs_scan(scanner, "", false, NULL, no_item, NULL, &result);
    return NULL;
}

static void scanner_and_loop_at_once(void **state)
{
    pthread_t threads[2];
    struct fs_watch_stats stats;

    (void)state;
    atomic_store(&is_over, false);
    scan("");
    assert_int_equal(pthread_create(&threads[0], NULL, churn, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, scan_on, NULL), 0);
    while (!atomic_load(&is_over)) {
        (void)fs_watch_read(watch, on_event, NULL);
        lines.len = 0;
    }
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    /* Whatever happened: after a scan all is watched again. */
    (void)mkdir(in_root("d1"), 0700);
    put("mark", "");
    wait_for("mark 1;");
    scan("");
    put("d1/x", "");
    wait_for("d1/x 1;");
    fs_watch_stats(watch, &stats);
    assert_true(stats.watches <= 1 + 7 * 7);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(changes_of_files_are_told),
        CASE(directories_are_watched_when_they_were_scanned),
        CASE(a_renamed_directory_is_told_of_under_its_new_name),
        CASE(the_folder_itself_may_go),
        CASE(an_overflow_is_told),
        CASE(scanner_and_loop_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
