/*
 * A world of nodes that share files, under faults: users, disks, the oracles.
 */
#ifndef SIM_FS_WORLD_H
#define SIM_FS_WORLD_H

#include "chaos.h"
#include "fs_notes.h"
#include "host_fs.h"
#include "scenario.h"

enum fw_what {
    FW_NOTHING, /* a free place */
    FW_WRITE,   /* a program writes into the folder */
    FW_DELETE,  /* ... or deletes there */
    FW_PUT,     /* by name, into the keep */
    FW_APPEND,  /* what is shown, and some bytes more */
    FW_REMOVE,  /* rm */
    FW_RESOLVE,
    FW_TAKE,    /* a folder that is kept in step gets what is shown */
    FW_RELEASE, /* the folder is not shared any more */
    FW_READ,
    FW_READ_ALL, /* in the end; counted in reads_open, last_failed_n */
};

/* Something that a user waits for. */
struct fw_use {
    enum fw_what what;
    size_t node;
    unsigned path, item;
    uint64_t version; /* that is shown */
};

struct fw_world {
    struct hf_world hf; /* first */
    struct scn *scn;
    struct chaos chaos;
    struct fs_notes notes;
    bool users_on;
    bool over; /* the nodes are taken down, and nothing is judged any more */
    uint32_t period_ms;
    struct fw_use *uses;
    size_t uses_n, uses_cap;
    uint32_t reads_open, last_failed_n;
    /* What may be deleted: by programs in the folder, ever; by name, at the moment. */
    bool deletes[HF_NODES_MAX][HF_PATHS];
    uint32_t removes[HF_NODES_MAX][HF_PATHS];
    /* Of contents: no disk has it any more, by what users or faults did; when they last took one
     * away. */
    bool lost[FI_ITEMS_MAX + 1];
    uint64_t reduced_ms[FI_ITEMS_MAX + 1];
    uint64_t changed_ms;             /* when a disk was last changed */
    bool changed_boot[HF_NODES_MAX]; /* the next start finds it so */
    struct hf_files images[HF_NODES_MAX];
    uint64_t full_until_ms[HF_NODES_MAX];
    uint64_t acked_n, deleted_n, appended_n, read_n, read_failed_n, wiped_n, restored_n, stores_n,
        rotten_n, renewed_n;
};

struct fw_options {
    size_t nodes_n;
    uint32_t classes;
    uint32_t period_ms;    /* of faults */
    uint32_t op_period_ms; /* of users */
    uint8_t replicas;
    bool in_line; /* nodes connect to their neighbours by themselves */
    bool slow;    /* timers of the catalogue as in production */
    bool quick;   /* copies come and go while users work */
};

/* Nodes are started. */
void fw_init(struct fw_world *fw, struct scn *scn, uint64_t seed, const struct fw_options *options);
void fw_deinit(struct fw_world *fw);
/* False: an oracle was broken. */
bool fw_run_for(struct fw_world *fw, uint64_t ms);
void fw_stop(struct fw_world *fw); /* faults and users off, every node up */
/* All show the same, each content has its copies, everything can be read. */
bool fw_settles(struct fw_world *fw);

/* ---- fs_users.c ---- */
void fw_users_start(struct fw_world *fw);
/* The node is gone, and with it what its users waited for. */
void fw_users_gone(struct fw_world *fw, size_t node);
void fw_published(struct hf *hf, uint64_t user, int code, uint64_t version_id);
void fw_read_done(struct hf *hf, uint64_t user, int code);
void fw_written(struct hf *hf, uint64_t user, int code);
void fw_going(struct hf *hf, unsigned item);
/* Reads @item there, for FW_READ or FW_READ_ALL. */
void fw_read(struct fw_world *fw, enum fw_what what, size_t node, unsigned item, bool waits);

/* ---- fs_world.c, for users ---- */

/* A user or fault took a copy away, perhaps; or made one. */
void fw_reduced(struct fw_world *fw, unsigned item);
/* It was acknowledged: is it on the disk of who made it? */
void fw_acked(struct fw_world *fw, size_t node, uint64_t version_id);
void fw_written_anew(struct fw_world *fw, unsigned item);

#endif
