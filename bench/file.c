/*
 * kith-bench file: what files cost between two nodes of this machine (docs/benchmarks.md), each
 * figure beside what the same takes without kith, in the same rounds.
 *
 * All of it is in memory (/dev/shm) unless --dir says otherwise, since a disk would be what is
 * measured; what writing and syncing the same bytes costs there is a figure of its own.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cluster.h"
#include "fs/content.h"

#define NOTHING       ((double)NAN)
#define PER_DIRECTORY 256
#define PIECE_BYTES   (1024u * 1024u)
#define HASH_NS       100000000u
#define CACHED_MS     400
#define MB            1e6

struct options {
    bool json;
    unsigned rounds, files, mib, changes;
    const char *dir;
};

enum {
    TRANSFER,
    MODEL_HASH,
    MODEL_OPEN,
    MODEL_STREAM,
    SCP,
    RSYNC,
    WRITE_SYNC,
    SCAN,
    KNOWN,
    LIST,
    ANNOUNCE,
    ANNOUNCE_99,
    CACHED,
    MEMORY_OWN,
    MEMORY_OTHER,
    SERIES_N,
};

static struct bench_series series[SERIES_N] = {
    [TRANSFER] = {.name = "one file to another node, verified", .unit = "MB/s", .target = 1.0},
    [MODEL_HASH] = {.name = "of the bound: hashing", .unit = "MB/s"},
    [MODEL_OPEN] = {.name = "of the bound: opening records", .unit = "MB/s"},
    [MODEL_STREAM] = {.name = "of the bound: a stream in the clear", .unit = "MB/s"},
    [SCP] = {.name = "the same against scp", .unit = "MB/s", .target = 2.0},
    [RSYNC] = {.name = "the same against an rsync daemon", .unit = "MB/s"},
    [WRITE_SYNC] = {.name = "writing and syncing the same bytes", .unit = "MB/s"},
    [SCAN] = {.name = "first scan and publish against b2sum",
              .unit = "s",
              .target = 3.0,
              .at_most = true},
    [KNOWN] = {.name = "and until the other node knows all", .unit = "s"},
    [LIST] = {.name = "listing all entries", .unit = "ms", .target = 100, .at_most = true},
    [ANNOUNCE] = {.name = "a change to a subscriber elsewhere, p50",
                  .unit = "ms",
                  .target = 100,
                  .at_most = true},
    [ANNOUNCE_99] = {.name = "and p99", .unit = "ms", .target = 100, .at_most = true},
    [CACHED] = {.name = "cached read of 64 KiB against memcpy", .unit = "MB/s", .target = 0.5},
    [MEMORY_OWN] = {.name = "memory an entry, with the folder",
                    .unit = "bytes",
                    .target = 400,
                    .at_most = true},
    [MEMORY_OTHER] = {.name = "memory an entry, without",
                      .unit = "bytes",
                      .target = 400,
                      .at_most = true},
};

static struct {
    char dir[96];
    struct bench_worker nodes[2], server, client;
    struct file_peers peers;
} f;

/* ---- the two nodes ---- */

__attribute__((format(printf, 2, 3))) static void
tell(struct bench_worker *worker, const char *format, ...)
{
    char line[sizeof(worker->step)];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    bench_worker_tell(worker, line);
}

static double hear(struct bench_worker *worker, double *second_out, double *third_out)
{
    double values[3] = {NOTHING, NOTHING, NOTHING};

    if (bench_worker_ask(worker, "", values, 3) != 3)
        exit(1); /* workers end with us */
    if (second_out != NULL)
        *second_out = values[1];
    if (third_out != NULL)
        *third_out = values[2];
    return values[0];
}

#define ASK(worker, ...) (tell(worker, __VA_ARGS__), hear(worker, NULL, NULL))

static int start_nodes(void)
{
    double port = 0, ready;
    char arg[200];

    if (cluster_fill_dirs(f.dir, 2, "127.0.0.1:0") != 0)
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(arg, sizeof(arg), "%s/%u:%.0f", f.dir, i + 1, port);
        if (bench_worker_start(&f.nodes[i], "file-node", arg, -1) != 0 ||
            bench_worker_ask(&f.nodes[i], "", &port, 1) != 1)
            return -1;
    }
    for (unsigned i = 0; i < 2; i++)
        (void)ASK(&f.nodes[i], "nodes 2");
    if (bench_worker_start(&f.server, "plain-server", "", 0) != 0 ||
        bench_worker_ask(&f.server, "", &port, 1) != 1)
        return -1;
    snprintf(arg, sizeof(arg), "%.0f", port);
    if (bench_worker_start(&f.client, "plain-client", arg, 1) != 0)
        return -1;
    return bench_worker_ask(&f.client, "", &ready, 1) == 1 ? 0 : -1;
}

static void end_all(void)
{
    char command[128];

    file_peers_stop(&f.peers);
    bench_worker_stop(&f.client);
    bench_worker_stop(&f.server);
    for (unsigned i = 2; i-- > 0;)
        bench_worker_stop(&f.nodes[i]);
    snprintf(command, sizeof(command), "rm -rf %s", f.dir);
    if (f.dir[0] != '\0' && system(command) != 0)
        fprintf(stderr, "kith-bench: %s cannot be removed\n", f.dir);
}

/* ---- files ---- */

static int failed(const char *path)
{
    fprintf(stderr, "kith-bench: %s: %s\n", path, strerror(errno));
    return -1;
}

/* Bytes that no file system leaves out: what none of them says twice. */
static void fill(uint64_t *words, size_t n, uint64_t *at)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = *at += 0x9e3779b97f4a7c15u;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
        x = (x ^ x >> 27) * 0x94d049bb133111ebu;
        words[i] = x ^ x >> 31;
    }
}

static int make_large(const char *path, unsigned mib)
{
    static uint64_t piece[PIECE_BYTES / 8];
    uint64_t at = 1;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    for (unsigned i = 0; i < mib && fd >= 0; i++) {
        fill(piece, PIECE_BYTES / 8, &at);
        if (write(fd, piece, sizeof(piece)) != (ssize_t)sizeof(piece)) {
            close(fd);
            return failed(path);
        }
    }
    return fd >= 0 && close(fd) == 0 ? 0 : failed(path);
}

static int make_small(const char *root, unsigned files)
{
    char path[200];
    uint64_t data[128], at = 7;

    for (unsigned i = 0; i < files; i++) {
        if (i % PER_DIRECTORY == 0) {
            snprintf(path, sizeof(path), "%s/d%u", root, i / PER_DIRECTORY);
            if (mkdir(path, 0700) != 0)
                return failed(path);
        }
        fill(data, 128, &at);
        snprintf(path, sizeof(path), "%s/d%u/f%u", root, i / PER_DIRECTORY, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        bool whole = fd >= 0 && write(fd, data, sizeof(data)) == (ssize_t)sizeof(data);
        if (!whole || close(fd) != 0)
            return failed(path);
    }
    return 0;
}

/* ---- one large file ---- */

static double hash_bytes_per_s(void)
{
    static uint8_t chunk[PIECE_BYTES];
    uint8_t hash[CONTENT_ROOT_BYTES];
    uint64_t begun_ns = bench_now_ns(), bytes = 0;

    while (bench_now_ns() - begun_ns < HASH_NS) {
        content_hash_bytes(CONTENT_BLAKE2B_256, chunk, sizeof(chunk), hash);
        chunk[0] = hash[0];
        bytes += sizeof(chunk);
    }
    return (double)bytes / ((double)(bench_now_ns() - begun_ns) / 1e9);
}

static double write_and_sync(const char *path, unsigned mib)
{
    static uint64_t piece[PIECE_BYTES / 8];
    uint64_t at = 3, begun_ns;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fill(piece, PIECE_BYTES / 8, &at);
    begun_ns = bench_now_ns();
    for (unsigned i = 0; i < mib; i++) {
        if (write(fd, piece, sizeof(piece)) != (ssize_t)sizeof(piece))
            return (double)failed(path);
    }
    if (fsync(fd) != 0)
        return (double)failed(path);
    double seconds = (double)(bench_now_ns() - begun_ns) / 1e9;
    close(fd);
    (void)unlink(path);
    return (double)mib * PIECE_BYTES / seconds;
}

/* Unpinned, what comes out depends on where the scheduler puts whom: who sends has one core, who
 * receives the other, for the peers as for us. */
static double get(const char *to, double *bytes_out)
{
    double seconds;

    for (int i = 0; i < 2; i++)
        bench_pin(f.nodes[i].pid, i);
    tell(&f.nodes[1], "get large/big %s", to);
    seconds = hear(&f.nodes[1], bytes_out, NULL);
    for (int i = 0; i < 2; i++)
        bench_pin(f.nodes[i].pid, -1);
    return *bytes_out / seconds;
}

static void round_of_transfers(const struct options *options)
{
    char to[160], from[160];
    double bytes, rate, hash, opened, stream, peer;

    snprintf(from, sizeof(from), "%s/large/big", f.dir);
    snprintf(to, sizeof(to), "%s/got", f.dir);
    (void)unlink(to);
    (void)ASK(&f.nodes[1], "evict");
    hash = hash_bytes_per_s();
    opened = bench_open_bytes_per_s();
    tell(&f.client, "bulk 4 300");
    (void)hear(&f.client, NULL, &stream);
    stream *= BENCH_BULK_BYTES;
    rate = get(to, &bytes);
    (void)unlink(to);
    bench_note(&series[TRANSFER], rate / MB, 1 / (1 / hash + 1 / opened + 1 / stream) / MB);
    bench_note(&series[MODEL_HASH], hash / MB, NOTHING);
    bench_note(&series[MODEL_OPEN], opened / MB, NOTHING);
    bench_note(&series[MODEL_STREAM], stream / MB, NOTHING);
    peer = file_peers_scp(&f.peers, from, to, bytes);
    (void)unlink(to);
    if (!isnan(peer))
        bench_note(&series[SCP], rate / MB, peer / MB);
    peer = file_peers_rsync(&f.peers, "large/big", to, bytes);
    (void)unlink(to);
    if (!isnan(peer))
        bench_note(&series[RSYNC], rate / MB, peer / MB);
    bench_note(&series[WRITE_SYNC], write_and_sync(to, options->mib) / MB, NOTHING);
    double copied, read;
    tell(&f.nodes[1], "cached small/d0/f0 %u", CACHED_MS);
    read = hear(&f.nodes[1], &copied, NULL);
    bench_note(&series[CACHED], read / MB, copied / MB);
}

/* ---- many small ones ---- */

static double find_and_hash(const char *root)
{
    uint64_t begun_ns = bench_now_ns();
    char command[256];

    snprintf(command, sizeof(command), "find %s -type f -exec b2sum {} + >/dev/null", root);
    if (system(command) != 0)
        return NOTHING;
    return (double)(bench_now_ns() - begun_ns) / 1e9;
}

static void scan(const struct options *options)
{
    char root[160];
    double own, other, find, seconds, n = 0;
    unsigned entries = options->files;

    snprintf(root, sizeof(root), "%s/many", f.dir);
    (void)find_and_hash(root);
    find = find_and_hash(root);
    own = ASK(&f.nodes[0], "memory");
    other = ASK(&f.nodes[1], "memory");
    tell(&f.nodes[0], "share many %s %u", root, entries);
    tell(&f.nodes[1], "await many %u", entries);
    seconds = hear(&f.nodes[0], &n, NULL);
    bench_note(&series[SCAN], seconds, find);
    bench_note(&series[KNOWN], hear(&f.nodes[1], NULL, NULL), NOTHING);
    usleep(500000); /* what it leaves behind */
    bench_note(&series[MEMORY_OWN], (ASK(&f.nodes[0], "memory") - own) / entries, NOTHING);
    bench_note(&series[MEMORY_OTHER], (ASK(&f.nodes[1], "memory") - other) / entries, NOTHING);
    for (unsigned i = 0; i < 5; i++) {
        tell(&f.nodes[1], "list many");
        seconds = hear(&f.nodes[1], &n, NULL);
        if (n < options->files)
            fprintf(stderr, "kith-bench: %.0f of %u files are listed\n", n, options->files);
        bench_note(&series[LIST], seconds * 1000, NOTHING);
    }
}

static void announce(const struct options *options)
{
    double p50, p99, n;

    tell(&f.nodes[1], "hear %u", options->changes * FILE_CHANGE_MS + 1000);
    usleep(100000);
    (void)ASK(&f.nodes[0], "change %s/small/changed %u", f.dir, options->changes);
    p50 = hear(&f.nodes[1], &p99, &n);
    if (n < 1)
        fprintf(stderr, "kith-bench: no change of a file was told\n");
    bench_note(&series[ANNOUNCE], p50, NOTHING);
    bench_note(&series[ANNOUNCE_99], p99, NOTHING);
}

/* ---- the command ---- */

static int make_all(const struct options *options)
{
    char path[160];
    static const char *const folders[] = {"large", "small", "many", "small/d0"};

    snprintf(f.dir, sizeof(f.dir), "%.60s/kith-bench-XXXXXX", options->dir);
    if (mkdtemp(f.dir) == NULL)
        return failed(f.dir);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f.dir, folders[i]);
        if (mkdir(path, 0700) != 0)
            return failed(path);
    }
    snprintf(path, sizeof(path), "%s/large/big", f.dir);
    if (make_large(path, options->mib) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/small/d0/f0", f.dir);
    if (make_large(path, 1) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/small/changed", f.dir);
    if (make_large(path, 1) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/many", f.dir);
    return make_small(path, options->files);
}

static int run(const struct options *options)
{
    if (make_all(options) != 0 || start_nodes() != 0)
        return -1;
    file_peers_start(&f.peers, f.dir);
    usleep(500000); /* young files settle first */
    (void)ASK(&f.nodes[0], "share large %s/large 1", f.dir);
    (void)ASK(&f.nodes[0], "share small %s/small 2", f.dir);
    (void)ASK(&f.nodes[1], "await large 1");
    (void)ASK(&f.nodes[1], "await small 2");
    for (unsigned i = 0; i < options->rounds; i++) {
        if (!options->json && isatty(2))
            fprintf(stderr, "\rround %u of %u ", i + 1, options->rounds);
        round_of_transfers(options);
    }
    if (!options->json && isatty(2))
        fprintf(stderr, "\r%30s\r", "");
    announce(options);
    scan(options);
    return 0;
}

static int usage(const char *why)
{
    fprintf(stderr,
            "kith-bench: unknown option %s\nusage: kith-bench file [--json] [--quick] [--rounds N] "
            "[--files N] [--mib N] [--dir DIR]\n",
            why);
    return 2;
}

int bench_file(int argc, char **argv)
{
    struct options options = {
        .rounds = 5, .files = 100000, .mib = 1024, .changes = 15, .dir = "/dev/shm"};
    struct bench_figure figures[SERIES_N];
    size_t n = 0;

    for (int i = 0; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            options.json = true;
        else if (strcmp(argv[i], "--quick") == 0)
            options = (struct options){options.json, 2, 2000, 64, 4, options.dir};
        else if (strcmp(argv[i], "--rounds") == 0 && value)
            options.rounds = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--files") == 0 && value)
            options.files = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--mib") == 0 && value)
            options.mib = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--dir") == 0 && value)
            options.dir = argv[++i];
        else
            return usage(argv[i]);
    }
    int r = run(&options);
    end_all();
    if (r != 0)
        return 1;
    for (size_t i = 0; i < SERIES_N; i++) {
        if (series[i].values.n > 0)
            figures[n++] = bench_figure_of(&series[i]);
    }
    bench_print(figures, n, options.json, "kith.bench.file/1");
    return 0;
}
