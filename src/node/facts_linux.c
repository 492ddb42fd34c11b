/*
 * Facts of a Linux host. /proc files are made anew by each pread from offset 0, so that an open
 * descriptor is enough for ever.
 */
#include "node/facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"

/* A line of /proc/stat for one processor has ten numbers; what comes after them is not wanted. */
#define STAT_LINE_BYTES 128

/* ---- reading ---- */

static int open_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Reads from the start into @text, NUL-terminated; 0 bytes if it cannot be read. */
static size_t read_fd(int fd, char *text, size_t bytes)
{
    size_t len = 0;
    while (fd >= 0 && len + 1 < bytes) {
        ssize_t n = pread(fd, text + len, bytes - 1 - len, (off_t)len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return len;
}

static size_t read_path(const char *path, char *text, size_t bytes)
{
    int fd = open_read(path);
    size_t len = read_fd(fd, text, bytes);
    if (fd >= 0)
        (void)close(fd);
    return len;
}

/* The number behind @key at the start of a line of @text, or 0. */
static uint64_t number_of(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0)
            return strtoull(line + len, NULL, 10);
    }
    return 0;
}

/* ---- what does not change ---- */

uint32_t facts_cpus(void)
{
    /* A set larger than the default's 1,024 processors would make the call fail. */
    for (int cpus = 1024; cpus <= 1 << 16; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        if (set == NULL)
            break;
        int r = sched_getaffinity(0, bytes, set);
        int n = r == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (n > 0)
            return (uint32_t)n;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

/* A core is told by its first thread: the one that is listed first among its siblings. */
static uint32_t count_cores(uint32_t otherwise)
{
    DIR *dir = opendir("/sys/devices/system/cpu");
    if (dir == NULL)
        return otherwise;
    uint32_t cores = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[128];
        char text[64];
        char *end;
        if (strncmp(entry->d_name, "cpu", 3) != 0)
            continue;
        unsigned long no = strtoul(entry->d_name + 3, &end, 10);
        if (end == entry->d_name + 3 || *end != '\0')
            continue;
        (void)snprintf(path, sizeof(path),
                       "/sys/devices/system/cpu/cpu%lu/topology/thread_siblings_list", no);
        if (read_path(path, text, sizeof(text)) > 0 && strtoul(text, NULL, 10) == no)
            cores++;
    }
    (void)closedir(dir);
    return cores > 0 ? cores : otherwise;
}

static bool has_entry(const char *path, const char *prefix)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;)
        found = entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(dir);
    return found;
}

static bool has_gpu(void)
{
    return has_entry("/sys/class/drm", "renderD") || has_entry("/proc/driver/nvidia/gpus", "");
}

static uint64_t limit_at(const char *path)
{
    char text[32];
    if (read_path(path, text, sizeof(text)) == 0)
        return UINT64_MAX;
    uint64_t bytes = strtoull(text, NULL, 10);
    return bytes > 0 ? bytes : UINT64_MAX; /* "max" reads as 0 */
}

/*
 * The least limit of our control group and those above it (the second version's line is "0::/PATH";
 * the first version has one at a fixed place in a container). UINT64_MAX if there is none.
 */
static uint64_t group_memory_max(void)
{
    char group[1024];
    char path[1280];
    uint64_t least = limit_at("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    (void)read_path("/proc/self/cgroup", group, sizeof(group));
    char *at = strstr(group, "0::/");
    if (at == NULL)
        return least;
    at += 3;
    at[strcspn(at, "\n")] = '\0';
    for (char *slash; (slash = strrchr(at, '/')) != NULL; *slash = '\0') {
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", at);
        uint64_t bytes = limit_at(path);
        if (bytes < least)
            least = bytes;
    }
    uint64_t bytes = limit_at("/sys/fs/cgroup/memory.max");
    return bytes < least ? bytes : least;
}

static void open_files(struct facts *facts)
{
    if (facts->opened)
        return;
    facts->opened = true;
    facts->stat_fd = open_read("/proc/stat");
    facts->meminfo_fd = open_read("/proc/meminfo");
    facts->loadavg_fd = open_read("/proc/loadavg");
    facts->netdev_fd = open_read("/proc/net/dev");
    long n = sysconf(_SC_NPROCESSORS_CONF);
    uint32_t cpus = n < 1 ? 1 : n > FACTS_CPUS_MAX ? FACTS_CPUS_MAX : (uint32_t)n;
    facts->text_bytes = ((size_t)cpus + 1) * STAT_LINE_BYTES;
    facts->cpus = core_calloc(cpus, sizeof(*facts->cpus));
    facts->text = core_malloc(facts->text_bytes);
    if (facts->cpus != NULL)
        facts->cpus_n = cpus;
}

void facts_rare(struct facts *facts, struct facts_rare *out)
{
    char text[256];
    open_files(facts);
    (void)read_fd(facts->meminfo_fd, text, sizeof(text));
    uint64_t installed = number_of(text, "MemTotal:") * 1024;
    uint64_t allowed = group_memory_max();
    out->cpus = facts_cpus();
    out->cores = count_cores(out->cpus);
    out->memory_bytes = allowed < installed ? allowed : installed;
    out->gpu = has_gpu();
}

/* ---- what changes ---- */

/* One "cpu..." line: user nice system idle iowait irq softirq steal (guest time is in user). */
static void sample_cpu(struct facts_cpu *cpu, const char *numbers)
{
    uint64_t total = 0;
    uint64_t idle = 0;
    char *at;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t ticks = strtoull(numbers, &at, 10);
        if (at == numbers)
            break;
        numbers = at;
        total += ticks;
        if (i == 3 || i == 4)
            idle += ticks;
    }
    uint64_t busy = total - idle;
    /* Counters of a processor may go back a little, and are new after it was offline. */
    bool known = cpu->total != 0 && total > cpu->total && busy >= cpu->busy;
    if (known) {
        uint64_t permille = (busy - cpu->busy) * 1000 / (total - cpu->total);
        cpu->permille = (uint16_t)(permille > 1000 ? 1000 : permille);
    } else if (total != cpu->total) {
        cpu->permille = 0;
    }
    cpu->busy = busy;
    cpu->total = total;
}

static void sample_cpus(struct facts *facts)
{
    if (facts->text == NULL || read_fd(facts->stat_fd, facts->text, facts->text_bytes) == 0)
        return;
    for (const char *line = facts->text; strncmp(line, "cpu", 3) == 0;) {
        const char *end = strchr(line, '\n');
        if (end == NULL)
            break; /* cut */
        if (line[3] == ' ') {
            sample_cpu(&facts->all, line + 4);
        } else {
            char *numbers;
            unsigned long no = strtoul(line + 3, &numbers, 10);
            if (no < facts->cpus_n)
                sample_cpu(&facts->cpus[no], numbers);
        }
        line = end + 1;
    }
}

void facts_sample(struct facts *facts, struct facts_load *out)
{
    char text[512];
    open_files(facts);
    sample_cpus(facts);
    (void)read_fd(facts->meminfo_fd, text, sizeof(text));
    out->memory_available_bytes = number_of(text, "MemAvailable:") * 1024;
    (void)read_fd(facts->loadavg_fd, text, sizeof(text));
    /* "0.52 0.58 0.59 1/467 12345", always with two decimals and a point. */
    char *end;
    unsigned long whole = strtoul(text, &end, 10);
    unsigned long hundredths = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    out->load_milli = (uint32_t)(whole * 1000 + hundredths * 10);
    out->cpu_permille = facts->all.permille;
}

size_t facts_cpu_percent(const struct facts *facts, double *out, size_t max)
{
    size_t n = facts->cpus_n < max ? facts->cpus_n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = facts->cpus[i].permille / 10.0;
    return n;
}

/* "  eth0: BYTES packets errs drop fifo frame compressed multicast BYTES ..." */
void facts_net(struct facts *facts, uint64_t *in_out, uint64_t *out_out)
{
    char text[4096];

    *in_out = *out_out = 0;
    open_files(facts);
    (void)read_fd(facts->netdev_fd, text, sizeof(text));
    for (const char *line = text; line != NULL && *line != '\0';
         line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL) {
        const char *name = line + strspn(line, " ");
        const char *colon = strchr(name, ':');
        const char *end = strchr(name, '\n');
        if (colon == NULL || end == NULL || colon > end || strncmp(name, "lo:", 3) == 0)
            continue;
        char *at = (char *)(uintptr_t)(colon + 1);
        *in_out += strtoull(at, &at, 10);
        for (unsigned i = 0; i < 7; i++)
            (void)strtoull(at, &at, 10);
        *out_out += strtoull(at, &at, 10);
    }
}

void facts_disk(const char *path, uint64_t *bytes_out, uint64_t *available_out)
{
    struct statvfs disk;

    *bytes_out = *available_out = 0;
    if (statvfs(path, &disk) != 0)
        return;
    *bytes_out = (uint64_t)disk.f_blocks * disk.f_frsize;
    *available_out = (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* ---- this process ---- */

uint64_t facts_rss_bytes(void)
{
    char text[128];
    (void)read_path("/proc/self/statm", text, sizeof(text));
    /* The second number: resident pages. */
    const char *resident = strchr(text, ' ');
    uint64_t pages = resident != NULL ? strtoull(resident, NULL, 10) : 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void facts_self(struct facts_self *out)
{
    char text[4096];
    struct timespec cpu = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    out->cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    out->rss_bytes = facts_rss_bytes();
    (void)read_path("/proc/self/status", text, sizeof(text));
    out->threads = (uint32_t)number_of(text, "Threads:");
}

void facts_descriptors(uint32_t *open_out, uint32_t *max_out)
{
    struct rlimit limit;
    DIR *dir = opendir("/proc/self/fd");

    *open_out = 0;
    while (dir != NULL) {
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
            break;
        if (entry->d_name[0] != '.')
            (*open_out)++;
    }
    if (dir != NULL) {
        (*open_out)--; /* the one that was looked through */
        (void)closedir(dir);
    }
    *max_out = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        *max_out = limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}

void facts_close(struct facts *facts)
{
    if (facts->opened) {
        const int fds[] = {facts->stat_fd, facts->meminfo_fd, facts->loadavg_fd, facts->netdev_fd};
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
            if (fds[i] >= 0)
                (void)close(fds[i]);
    }
    core_free(facts->cpus);
    core_free(facts->text);
    *facts = (struct facts){0};
}
