/*
 * The worker "file-node": an agent of this process, on the public functions (kith/fs.h), told what
 * to do line by line.
 *
 *     nodes N               waits until so many are alive: seconds
 *     share NAME FOLDER N   shares it and waits until so many files are published: seconds, files
 *     await NAME N          waits until so many files are known here: seconds
 *     list NAME             lists all entries: seconds, entries
 *     get PATH FILE         seconds, bytes
 *     evict                 empties the cache
 *     cached PATH MS        reads 64 KiB again and again; then copies as much: bytes a second,
 * twice hear MS               counts changes: p50 and p99 of their age in ms, how many change FILE
 * N         writes it anew so often memory                resident bytes
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "file.h"
#include "kith.h"
#include "net/uv_net.h"
#include "node/node.h"

#define WAIT_NS     80000000000u /* less than BENCH_ANSWER_MS */
#define POLL_US     2000
#define READ_BYTES  65536u
#define SOME_N      200
#define CHANGE_SIZE 4096

static struct kith_node *node;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, kith_errmsg());
    exit(1);
}

static void answer(double a, double b, double c)
{
    printf("%f %f %f\n", a, b, c);
    fflush(stdout);
}

static double since_s(uint64_t from_ns)
{
    return (double)(bench_now_ns() - from_ns) / 1e9;
}

/* ---- waiting ---- */

static size_t alive_n(void)
{
    struct kith_node_list *list = NULL;
    size_t n = 0;

    if (kith_nodes(node, true, &list) != 0)
        return 0;
    for (size_t i = 0; i < list->nodes_n; i++)
        n += list->nodes[i].status == KITH_STATUS_ALIVE;
    kith_node_list_free(list);
    return n;
}

static void nodes_step(unsigned n)
{
    uint64_t from_ns = bench_now_ns();

    while (alive_n() < n && bench_now_ns() - from_ns < WAIT_NS)
        usleep(POLL_US);
    answer(since_s(from_ns), 0, 0);
}

/* Entries of the tree, and whether all that is in the folder of this node is published; false: no
 * node shares anything under the name. */
static bool look(const char *name, uint64_t *entries_out, bool *whole_out)
{
    struct kith_fs_op op = {.kind = KITH_FS_SHARE_LIST, .path = name};
    struct kith_fs_result *result = NULL;
    bool there = kith_fs_do(node, &op, &result) == 0 && result->shares_n == 1;

    *entries_out = there ? result->shares[0].entries_n : 0;
    *whole_out = there && result->shares[0].state == KITH_SHARE_WATCHED;
    kith_fs_result_free(result);
    return there;
}

static void await(const char *name, uint64_t n, bool whole, uint64_t from_ns)
{
    uint64_t entries = 0;
    bool is_whole;

    while (bench_now_ns() - from_ns < WAIT_NS) {
        if (look(name, &entries, &is_whole) && entries >= n && (is_whole || !whole))
            break;
        usleep(POLL_US);
    }
    answer(since_s(from_ns), (double)entries, 0);
}

static void share_step(const char *name, const char *folder, uint64_t n)
{
    struct kith_fs_op op = {.kind = KITH_FS_SHARE_ADD, .path = name, .local = folder};
    uint64_t from_ns = bench_now_ns();

    if (kith_fs_do(node, &op, NULL) != 0)
        fail(folder);
    await(name, n, true, from_ns);
}

static void list_step(const char *name)
{
    struct kith_fs_op op = {.kind = KITH_FS_LIST, .path = name, .recursive = true};
    struct kith_fs_result *result = NULL;
    uint64_t from_ns = bench_now_ns(), n = 0;
    char after[1400] = "";

    do {
        op.after = after[0] != '\0' ? after : NULL;
        if (kith_fs_do(node, &op, &result) != 0)
            fail(name);
        for (size_t i = 0; i < result->entries_n; i++)
            n += result->entries[i].kind == KITH_FS_FILE;
        snprintf(after, sizeof(after), "%s", result->next);
        kith_fs_result_free(result);
    } while (after[0] != '\0');
    answer(since_s(from_ns), (double)n, 0);
}

/* ---- bytes ---- */

static void get_step(const char *path, const char *file)
{
    uint64_t from_ns = bench_now_ns();
    struct stat st = {.st_size = 0};

    if (kith_fs_get(node, path, file) != 0)
        fail(path);
    double seconds = since_s(from_ns);
    (void)stat(file, &st);
    answer(seconds, (double)st.st_size, 0);
}

static void evict_step(void)
{
    struct kith_fs_op op = {.kind = KITH_FS_EVICT};

    if (kith_fs_do(node, &op, NULL) != 0)
        fail("evict");
    (void)malloc_trim(0);
    answer(0, 0, 0);
}

/* Reads, or copies, for a while; adds to bytes and time. */
struct speed {
    double bytes, seconds;
};

static void read_some(struct kith_fs_file *file, uint8_t *to, struct speed *speed)
{
    uint64_t begun_ns = bench_now_ns();
    size_t len = 0;

    for (unsigned i = 0; i < SOME_N; i++) {
        if (kith_fs_file_read(file, 0, to, READ_BYTES, &len) != 0)
            fail("cached read");
        speed->bytes += (double)len;
    }
    speed->seconds += since_s(begun_ns);
}

static void copy_some(const uint8_t *from, uint8_t *to, struct speed *speed)
{
    uint64_t begun_ns = bench_now_ns();

    for (unsigned i = 0; i < SOME_N; i++) {
        memcpy(to, from, READ_BYTES);
        __asm__ volatile("" : : "r"(to) : "memory"); /* each of them counts */
        speed->bytes += READ_BYTES;
    }
    speed->seconds += since_s(begun_ns);
}

/* By turns, as the machine's speed is not the same all the time. */
static void cached_step(const char *path, unsigned ms)
{
    uint8_t *from = malloc(READ_BYTES), *to = malloc(READ_BYTES);
    uint64_t begun_ns = bench_now_ns();
    struct speed read = {.bytes = 0}, copied = {.bytes = 0};
    struct kith_fs_file *file;
    size_t len = 0;

    if (from == NULL || to == NULL || kith_fs_open(node, path, NULL, &file) != 0 ||
        kith_fs_file_read(file, 0, to, READ_BYTES, &len) != 0)
        fail(path);
    memcpy(from, to, READ_BYTES);
    while (bench_now_ns() - begun_ns < (uint64_t)ms * 1000000) {
        read_some(file, to, &read);
        copy_some(from, to, &copied);
    }
    kith_fs_close(file);
    answer(read.bytes / read.seconds, copied.bytes / copied.seconds, 0);
    free(from);
    free(to);
}

/* ---- changes ---- */

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct bench_samples ages;

/* The writer sets a time that is exact, just before it closes the file. */
static void on_change(struct kith_node *at, const struct kith_fs_change *change, void *user)
{
    (void)at, (void)user;
    if (change->entry == NULL || change->entry->size != CHANGE_SIZE)
        return;
    bench_add(&ages, (double)(wall_ns() - (int64_t)change->entry->modified_unix_ns) / 1e6);
}

static void hear_step(unsigned ms)
{
    ages.n = 0;
    int64_t no = kith_fs_watch(node, "", on_change, NULL);
    if (no < 0)
        fail("watch");
    usleep(ms * 1000);
    kith_fs_unwatch(node, no);
    usleep(50000); /* the last one may be running */
    answer(bench_percentile(&ages, 50), bench_percentile(&ages, 99), (double)ages.n);
}

static void change_step(const char *file, unsigned n)
{
    char data[CHANGE_SIZE];

    for (unsigned i = 0; i < n; i++) {
        memset(data, 'a' + (int)(i % 26), sizeof(data));
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        bool whole = fd >= 0 && write(fd, data, sizeof(data)) == sizeof(data);
        int64_t now_ns = wall_ns();
        const struct timespec times[2] = {
            {.tv_nsec = UTIME_OMIT},
            {.tv_sec = now_ns / 1000000000, .tv_nsec = now_ns % 1000000000}};
        if (!whole || futimens(fd, times) != 0 || close(fd) != 0) {
            perror(file);
            exit(1);
        }
        usleep((FILE_CHANGE_MS - 70 + i % 7 * 20) * 1000);
    }
    answer(0, n, 0);
}

/* Of its own: pages of the store's file are the system's cache. */
static void memory_step(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *file;

    (void)malloc_trim(0);
    file = fopen("/proc/self/status", "r");
    if (file == NULL)
        fail("/proc/self/status");
    while (kib == 0 && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "RssAnon: %llu", &kib);
    fclose(file);
    answer((double)kib * 1024, 0, 0);
}

/* ---- life ---- */

static void port_of(struct kith_node *of, void *arg)
{
    *(unsigned *)arg = uv_net_port(node_net(of));
}

static void start(const char *dir, unsigned seed_port)
{
    struct kith_config *config = kith_config_new();
    char conf[256], seed[32];

    snprintf(conf, sizeof(conf), "%s/kith.conf", dir);
    snprintf(seed, sizeof(seed), "127.0.0.1:%u", seed_port);
    if (config == NULL || kith_config_load(config, conf) != 0 ||
        kith_config_set(config, "node.data_dir", dir) != 0 ||
        kith_config_set(config, "log.level", "error") != 0 ||
        (seed_port != 0 && kith_config_set(config, "net.seed", seed) != 0) ||
        kith_node_start(config, &node) != 0)
        fail(dir);
    kith_config_free(config);
}

static void one_step(const char *line)
{
    char a[200], b[200];
    unsigned long long n;
    unsigned ms;

    if (sscanf(line, "nodes %u", &ms) == 1)
        nodes_step(ms);
    else if (sscanf(line, "share %199s %199s %llu", a, b, &n) == 3)
        share_step(a, b, n);
    else if (sscanf(line, "await %199s %llu", a, &n) == 2)
        await(a, n, false, bench_now_ns());
    else if (sscanf(line, "list %199s", a) == 1)
        list_step(a);
    else if (sscanf(line, "get %199s %199s", a, b) == 2)
        get_step(a, b);
    else if (strncmp(line, "evict", 5) == 0)
        evict_step();
    else if (sscanf(line, "cached %199s %u", a, &ms) == 2)
        cached_step(a, ms);
    else if (sscanf(line, "hear %u", &ms) == 1)
        hear_step(ms);
    else if (sscanf(line, "change %199s %u", a, &ms) == 2)
        change_step(a, ms);
    else if (strncmp(line, "memory", 6) == 0)
        memory_step();
    else
        answer(-1, 0, 0);
}

/* DIR:SEED_PORT */
int bench_file_node(const char *arg)
{
    unsigned seed_port = 0, port = 0;
    char dir[200], line[600];

    if (sscanf(arg, "%199[^:]:%u", dir, &seed_port) != 2)
        return 2;
    start(dir, seed_port);
    node_run(node, port_of, &port);
    printf("%u\n", port);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL)
        one_step(line);
    kith_node_stop(node);
    return 0;
}
