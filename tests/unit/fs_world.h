/*
 * Catalogues in a world in memory: nodes with disks, folders and links. What is written to a disk
 * is durable when it is synced, or a little later; a crash loses the rest from some point on.
 * Signatures are hashes, made and checked after a while, as by workers.
 */
#ifndef TESTS_UNIT_FS_WORLD_H
#define TESTS_UNIT_FS_WORLD_H

#include "fs/contents.h"
#include "fs/pins.h"
#include "lib/test.h"

#define FS_WORLD_NODES 5
#define FS_WORLD_PATHS 14

struct world_put {
    uint8_t key[CATALOGUE_KEY_BYTES_MAX];
    size_t key_len;
    uint8_t *data; /* NULL: drop */
    size_t len;
    uint64_t sync; /* not 0: a SYNC */
    uint64_t at_ms;
};

struct world_disk {
    struct world_put *entries;
    size_t n, cap;
};

struct world_job { /* of a worker */
    uint64_t at_ms;
    uint64_t token;
    bool sign;
    int code;
    struct buf signatures;
};

struct world_node {
    struct fs_catalogue *core;
    struct fs_pins *pins; /* of some paths that were there at its start */
    struct fs_author author;
    bool up;
    bool steady; /* its clock does not jump, so its disk may be restored */
    int64_t wall_off_ms;
    uint64_t boot;
    struct world_disk disk, image;
    bool has_image;
    uint64_t image_ms;
    struct world_put *pending; /* written, not durable */
    size_t pending_n, pending_cap;
    struct world_job *jobs;
    size_t jobs_n, jobs_cap;
    unsigned folder[FS_WORLD_PATHS];         /* content; 0: no such file */
    struct fs_blob_link has[FS_WORLD_PATHS]; /* of it, as the folder's machine knows it */
    unsigned folder_image[FS_WORLD_PATHS];
};

/* A version that was handed out to be signed. */
struct world_version {
    uint64_t id;
    unsigned node;
    unsigned path;
    struct fs_version version;
    uint64_t publication;
    bool durable;   /* was on its author's disk */
    bool at_author; /* and is, or what came after it */
    bool acked;
    bool excused; /* it may be lost: whoever had it lost its disk */
};

struct world {
    struct rng rng;
    uint64_t now_ms;
    struct world_node nodes[FS_WORLD_NODES];
    bool linked[FS_WORLD_NODES][FS_WORLD_NODES];
    bool may_link[FS_WORLD_NODES][FS_WORLD_NODES]; /* the shape of the net */
    struct world_frame *frames;
    size_t frames_n, frames_cap;
    uint64_t order;
    bool faults;
    struct world_version *versions;
    size_t versions_n, versions_cap;
    uint64_t publication;
    unsigned contents; /* made so far */
    const char *problem;
    char text[512];
    uint64_t acked_n, forged_n, renewed_n, restored_n, wiped_n, steps_n;
};
extern struct world fw;

void fs_world_begin(uint64_t seed);
void fs_world_end(void);
void fs_world_until(uint64_t end_ms);
void fs_world_step(unsigned i, struct catalogue_event *event);
void fs_world_set_link(unsigned a, unsigned b, bool up);
void fs_world_start(unsigned i);
enum world_crash {
    WORLD_KEEPS_DISK,
    WORLD_WIPED,
    WORLD_RESTORED, /* from its image */
};
/* What is not durable is lost from some point on. */
void fs_world_crash(unsigned i);
/* A node that is down gets another disk. */
void fs_world_change_disk(unsigned i, enum world_crash how);
void fs_world_image(unsigned i);
/* All is well, and everybody up and linked. */
void fs_world_heal(void);

/* fs_world_pins.c: at the start of a node, in the actions of its steps, behind each. */
void fs_world_pins_start(unsigned i);
void fs_world_pins_tell(unsigned i, const struct catalogue_change *change);
void fs_world_pins_stepped(unsigned i);

const char *fs_world_path(unsigned path);
struct content fs_world_content(unsigned content);
/* A user or program changes something. */
void fs_world_operate(void);
void fs_world_write(unsigned node, unsigned path, unsigned content);
void fs_world_delete(unsigned node, unsigned path);
/* A node's local scanner tells all of its folder. */
void fs_world_scan(unsigned node);
/* Notes the first thing that is wrong. */
void fs_world_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The path's version is known at a node, or one that replaces it. */
bool fs_world_knows(unsigned i, const struct world_version *version);

#endif
