/*
 * The first scan of a folder beside `find -type f -exec b2sum {} +` over the same files, in the
 * same run: the scanner reads the tree, the folder's machine decides, and every file is read into
 * its content, on one thread. Publications are taken as done at once: what a catalogue costs is
 * measured there.
 *
 *     bench_fs_scan [FILES [BYTES]]     in $TMPDIR, or /dev/shm
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "fs/chunker.h"

#define PER_DIRECTORY 256

struct work {
    uint64_t token;
    struct fs_stat stat;
    char name[64];
};

static struct {
    struct local_core *core;
    struct fs_scanner *scanner;
    struct fs_folder folder;
    struct work hashes[FS_LOCAL_HASHES_MAX];
    size_t hashes_n;
    uint64_t publishes[FS_LOCAL_PUBLISHING_MAX];
    size_t publishes_n;
    uint64_t scan_token, published, hashed_bytes, persisted_bytes;
    double scan_s, hash_s, core_s;
} b;

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_fs_scan: %s: %s\n", what, kith_errmsg());
    exit(1);
}

static void step(struct local_event *event)
{
    struct local_output out;
    struct timespec wall;
    double began_s = now_s();

    (void)clock_gettime(CLOCK_REALTIME, &wall);
    event->now_ms = (uint64_t)(began_s * 1000);
    event->wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    if (local_step(b.core, event, &out) != 0)
        die("step");
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct local_action *action = &out.actions[i];
        if (action->type == LOCAL_SCAN)
            b.scan_token = action->token;
        else if (action->type == LOCAL_PUBLISH)
            b.publishes[b.publishes_n++] = action->token;
        else if (action->type == LOCAL_PERSIST)
            b.persisted_bytes += action->data.len;
        if (action->type != LOCAL_HASH)
            continue;
        struct work *work = &b.hashes[b.hashes_n++];
        work->token = action->token;
        work->stat = action->stat;
        (void)snprintf(work->name, sizeof(work->name), "%s", action->name);
    }
    b.core_s += now_s() - began_s;
}

static void hash_one(void)
{
    struct work work = b.hashes[--b.hashes_n];
    struct fs_hash_result result;
    struct local_event event = {.type = LOCAL_HASHED, .token = work.token};
    double began_s = now_s();

    event.code = fs_hash_file(&b.folder, work.name, &work.stat, CONTENT_BLAKE2B_256, NULL, &result);
    b.hash_s += now_s() - began_s;
    event.text = kith_errmsg();
    event.before = result.before;
    event.after = result.after;
    event.began_wall_ns = result.began_wall_ns;
    event.content = result.content;
    b.hashed_bytes += result.content.size;
    buf_deinit(&result.list);
    step(&event);
}

static void work_off(void)
{
    while (b.hashes_n > 0 || b.publishes_n > 0) {
        if (b.hashes_n > 0)
            hash_one();
        if (b.publishes_n > 0) {
            struct local_event event = {.type = LOCAL_PUBLISHED,
                                        .token = b.publishes[--b.publishes_n]};
            b.published++;
            step(&event);
        }
    }
}

static int on_item(void *user, const struct fs_scan_item *item)
{
    struct local_event event = {.type = item->kind == FS_SCAN_RULES ? LOCAL_RULES : LOCAL_SEEN,
                                .token = b.scan_token,
                                .seen = item->seen,
                                .n = item->n,
                                .name = item->name,
                                .name_len = item->name_len,
                                .data = item->data,
                                .root = item->root};
    double began_s = now_s();

    (void)user;
    step(&event);
    if (local_is_full(b.core))
        work_off();
    b.scan_s -= now_s() - began_s; /* not the scanner's */
    return 0;
}

static double first_scan(const char *root)
{
    struct local_config config = {.folder = 1, .share = "bench"};
    struct local_event event = {.type = LOCAL_START};
    struct fs_scan_result result;
    double began_s = now_s();

    if (local_new(&b.core, &config) != 0 || fs_scanner_new(&b.scanner, root, NULL, false) != 0 ||
        fs_folder_open(&b.folder, root) != 0)
        die(root);
    step(&event);
    b.scan_s -= now_s();
    if (fs_scan(b.scanner, "", false, NULL, on_item, NULL, &result) != 0)
        die("scan");
    b.scan_s += now_s();
    event = (struct local_event){.type = LOCAL_SCANNED, .token = b.scan_token, .root = result.root};
    step(&event);
    work_off();
    return now_s() - began_s;
}

static void make_files(const char *root, unsigned long files, size_t bytes)
{
    char path[200];
    char *data = malloc(bytes + 1);

    if (data == NULL)
        die("memory");
    memset(data, 'x', bytes);
    for (unsigned long i = 0; i < files; i++) {
        if (i % PER_DIRECTORY == 0) {
            (void)snprintf(path, sizeof(path), "%s/d%lu", root, i / PER_DIRECTORY);
            (void)mkdir(path, 0700);
        }
        (void)snprintf(path, sizeof(path), "%s/d%lu/f%lu", root, i / PER_DIRECTORY, i);
        (void)snprintf(data, bytes + 1, "%lu", i);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
            die(path);
        (void)close(fd);
    }
    free(data);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static double run_find(const char *root)
{
    char command[256];
    double began_s = now_s();

    (void)snprintf(command, sizeof(command), "find %s -type f -exec b2sum {} + >/dev/null", root);
    if (system(command) != 0) /* NOLINT(cert-env33-c) */
        die("find and b2sum");
    return now_s() - began_s;
}

int main(int argc, char **argv)
{
    unsigned long files = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
    const char *dir = getenv("TMPDIR");
    char root[128];
    double find_s, scan_s;
    struct local_stats stats;

    (void)snprintf(root, sizeof(root), "%.80s/kith-bench-XXXXXX", dir != NULL ? dir : "/dev/shm");
    if (mkdtemp(root) == NULL)
        die(root);
    make_files(root, files, bytes);
    (void)usleep(500000); /* young files settle first */
    (void)run_find(root);
    find_s = run_find(root);
    scan_s = first_scan(root);
    local_stats(b.core, &stats);
    (void)printf("%lu files of %zu bytes\n", files, bytes);
    (void)printf("find -exec b2sum   %7.3f s\n", find_s);
    (void)printf("first scan         %7.3f s  %.2f x  (scan %.3f, hash %.3f, machine %.3f)\n",
                 scan_s, scan_s / find_s, b.scan_s, b.hash_s, b.core_s);
    (void)printf("published %llu, memory %.0f bytes an entry, kept %.0f bytes an entry\n",
                 (unsigned long long)b.published,
                 (double)stats.memory_bytes / (double)stats.entries,
                 (double)b.persisted_bytes / (double)stats.entries);
    fs_folder_close(&b.folder);
    fs_scanner_free(b.scanner);
    local_free(b.core);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
