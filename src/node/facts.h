/*
 * What this host is and how busy it is: the one place that asks the operating system
 * (facts_linux.c: /proc and /sys, no vendor library). Sampling keeps its files open, reads them
 * with pread and allocates nothing.
 */
#ifndef NODE_FACTS_H
#define NODE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Processors whose load is kept apart; on a larger machine the rest counts in the total only. */
#define FACTS_CPUS_MAX 1024

/* What does not change while we run. */
struct facts_rare {
    uint32_t cpus;         /* logical processors this process may use (its affinity) */
    uint32_t cores;        /* physical cores of the machine; cpus if the system does not tell */
    uint64_t memory_bytes; /* installed, or what a control group allows if that is less */
    bool gpu;              /* a graphics processor with a render node or NVIDIA's driver */
};

/* What changes. */
struct facts_load {
    uint64_t memory_available_bytes;
    uint32_t load_milli;   /* 1-minute load average * 1,000 */
    uint32_t cpu_permille; /* of all processors since the last sample, 0 to 1,000; 0 at first */
};

/* What this process takes. */
struct facts_self {
    uint64_t rss_bytes;
    uint64_t cpu_ns; /* user and system time since it began */
    uint32_t threads;
};

struct facts_cpu {
    uint64_t busy, total; /* in clock ticks, at the last sample */
    uint16_t permille;
};

/* Zeroed is valid: it opens its files at the first use. One thread at a time. */
struct facts {
    bool opened;
    int stat_fd, meminfo_fd, loadavg_fd, netdev_fd;
    struct facts_cpu all;
    struct facts_cpu *cpus; /* FACTS_CPUS_MAX at most, as many as there are; NULL: not known */
    uint32_t cpus_n;
    char *text; /* what is read of /proc/stat */
    size_t text_bytes;
};

void facts_close(struct facts *facts); /* zeroed is fine, twice too */
void facts_rare(struct facts *facts, struct facts_rare *out);
/* Whatever cannot be read stays 0. Percentages are over the time since the last sample. */
void facts_sample(struct facts *facts, struct facts_load *out);
/* % of each processor as of the last sample, up to @max; returns how many were written. */
size_t facts_cpu_percent(const struct facts *facts, double *out, size_t max);
/* Bytes that all interfaces but loopback received and sent since the system started. */
void facts_net(struct facts *facts, uint64_t *in_out, uint64_t *out_out);
/* Of the file system that @path is on: its size, and what we may still write. 0 if it is not told.
 */
void facts_disk(const char *path, uint64_t *bytes_out, uint64_t *available_out);
/* Of this process. Any thread. */
void facts_self(struct facts_self *out);
uint64_t facts_rss_bytes(void);
/* Descriptors that this process has open, and may have; 0 if the system does not tell. */
void facts_descriptors(uint32_t *open_out, uint32_t *max_out);
/* Logical processors this process may use, at least 1. Any thread. */
uint32_t facts_cpus(void);

#endif
