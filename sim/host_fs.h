/*
 * A simulated node with files: catalogue, fetching, serving, cache and copies as src/node joins
 * them (uv_fs*.c), a store (disk.h) and a disk of files. There are no folders' scanners: who writes
 * to a folder tells the catalogue itself.
 *
 * What a node has of a content on its disk is a state of each chunk, not its bytes, which exist
 * once (fs_items.h). A chunk that is BAD is read with a bit turned.
 */
#ifndef SIM_HOST_FS_H
#define SIM_HOST_FS_H

#include "disk.h"
#include "fs/cache.h"
#include "fs/catalogue.h"
#include "fs/fetch.h"
#include "fs/keep.h"
#include "fs/serve.h"
#include "fs_items.h"
#include "pump.h"

#define HF_NODES_MAX 6
#define HF_PATHS     14

/* ---- what is on the disk of a node beside the store ---- */

enum hf_chunk_state {
    HF_NONE,
    HF_FRESH, /* written, and not yet synced: a crash may tear or lose it */
    HF_GOOD,
    HF_BAD,
};
struct hf_file {                   /* of a content */
    bool whole;                    /* in the keep, by its name */
    bool part;                     /* on its way there */
    uint8_t chunk[FI_CHUNKS_MAX];  /* in the keep */
    uint8_t parted[FI_CHUNKS_MAX]; /* in the part file */
    uint8_t cached[FI_CHUNKS_MAX]; /* in the disk cache */
    uint8_t bitmap[FI_CHUNKS_MAX]; /* of the part, as PERSIST gave it */
    uint8_t bitmap_n;
    bool has_list;
    bool told; /* a record says that it is in the keep: of a node that is down or an image */
};
struct hf_files {
    uint16_t folder[HF_PATHS]; /* content; 0: no such file */
    bool released[HF_PATHS];   /* not shared any more, which is no deletion */
    struct hf_file file[FI_ITEMS_MAX + 1];
};

/* ---- the world ---- */

struct hf;

/* What the world hears; all are set. */
struct hf_observer {
    /* Given out to be signed: what is signed is all that may ever be seen. */
    void (*signing)(struct hf *hf, struct kith_bytes data);
    /* A publication of hf_publish() has ended. */
    void (*published)(struct hf *hf, uint64_t user, int code, uint64_t version_id);
    /* A read of hf_read() has ended; 0: all bytes came, and were right. */
    void (*read_done)(struct hf *hf, uint64_t user, int code);
    /* A put of hf_put() is in the keep (0), and to be published; or the disk is full. */
    void (*written)(struct hf *hf, uint64_t user, int code);
    /* No record tells of a copy any more, and its file is about to go. */
    void (*going)(struct hf *hf, unsigned item);
    /* A copy goes from the keep by the rules. */
    void (*dropping)(struct hf *hf, unsigned item);
    /* The process has ended, its disk is what it is. */
    void (*gone)(struct hf *hf);
    /* A copy was read by the scrub, or for somebody, and found damaged. */
    void (*damaged)(struct hf *hf, unsigned item);
};

struct hf_world { /* sim_user() */
    struct sim_world *world;
    size_t nodes_n;
    struct fi_items items;
    struct hf_files files[HF_NODES_MAX];
    struct disk disks[HF_NODES_MAX];
    bool disk_full[HF_NODES_MAX];
    struct fs_author authors[HF_NODES_MAX]; /* but for the disk's id */
    bool steady[HF_NODES_MAX];              /* its wall clock never steps */
    bool calls[HF_NODES_MAX][HF_NODES_MAX]; /* connects by itself */
    bool busy;                              /* queues refuse frames now and then */
    bool swings;                            /* the use of memory does */
    bool checks;                            /* invariants after each step */
    struct catalogue_config catalogue;
    struct fetch_config fetch;
    struct keep_config keep;
    struct cache_config cache;
    struct hf_observer observer;
    uint64_t reads_local_n, fetched_n, kept_n, dropped_n, scrub_damage_n, handed_n, bad_served_n;
    uint64_t resumed_n, adopted_n;
};

/* ---- a node ---- */

enum hf_todo_type {
    HF_SIGNED,             /* token, bytes */
    HF_CHECKED_SIGNATURES, /* token, code */
    HF_PUBLISHED,          /* token: id; code, version */
    HF_CONTENT,            /* content: others hold it */
    HF_FETCH_VERIFIED,     /* token, code */
    HF_FETCH_WRITTEN,      /* token, code; item, chunk: to be written first, if item is not 0 */
    HF_FETCH_AGAIN,        /* peer: an ask was refused */
    HF_FETCH_DONE,         /* token: id; code */
    HF_SERVE_READ,         /* token, code, bytes */
    HF_SERVE_ROOM,         /* peer */
    HF_KEEP,               /* kind: enum keep_event_type; content, code, token, place */
    HF_KEEP_FILE,          /* item: the part is synced and gets its name */
    HF_KEEP_REMOVE,        /* item, code: damage; the file goes */
    HF_KEEP_ADOPT,         /* item: what no record tells of has been read */
    HF_PUT_FILE,           /* item, token: of hf_put() */
    HF_READ_DONE,          /* token: user; code */
    HF_CACHE_FAILED,       /* item, chunk: the disk did not take it */
};

struct hf_todo {
    uint64_t at_ns, no; /* of a job */
    uint64_t token, version;
    struct kith_node_id peer;
    struct content content;
    uint8_t *bytes; /* owned */
    size_t len;
    unsigned item;
    uint32_t chunk;
    enum hf_todo_type type;
    int code;
    uint8_t kind, place;
};

enum hf_purpose {
    HF_FOR_USER,
    HF_FOR_COPY,    /* a fetch: into the keep. A publication: it is held */
    HF_FOR_STRAY,   /* a publication: no record told of it, and it is wanted */
    HF_FOR_DROP,    /* not held any more, by a drop; */
    HF_FOR_UNNAMED, /* by a drop of what no live version named; */
    HF_FOR_DAMAGE,  /* by damage */
};
struct hf_under_way { /* a fetch, or a publication */
    uint64_t id;
    uint64_t user;
    unsigned item;
    enum hf_purpose purpose;
};
struct hf_list {
    struct hf_under_way *items;
    size_t n, cap;
};

struct hf {
    struct sim_node *node;
    struct hf_world *hw;
    size_t index;
    uint64_t boot_no;
    struct fs_author self;
    struct fs_catalogue *catalogue;
    struct fetch_core *fetch;
    struct serve_core *serve;
    struct keep_core *keep;
    struct cache_core *cache;
    struct disk *disk;
    struct hf_files *files;
    struct pump_queue todo; /* struct hf_todo */
    struct hf_todo *jobs;   /* of threads, by when they are done */
    size_t jobs_n, jobs_cap;
    uint64_t next_no;
    /* What is to be stored, until the step ends. */
    struct buf put_bytes;
    struct hf_put *puts;
    size_t puts_n, puts_cap;
    struct hf_list publications, fetches;
    bool up[HF_NODES_MAX];
    bool copying[FI_ITEMS_MAX + 1];
    bool joined[FI_ITEMS_MAX + 1]; /* the copy came to a fetch that was under way */
    /* A file of the keep is either being made and told of, by so many, or being removed. */
    uint8_t placing[FI_ITEMS_MAX + 1];
    bool removing[FI_ITEMS_MAX + 1];
    uint8_t memory[FI_ITEMS_MAX + 1][FI_CHUNKS_MAX]; /* chunks in the memory cache */
    uint64_t scrubbed_ms[FI_ITEMS_MAX + 1], unreferenced_ms[FI_ITEMS_MAX + 1];
    uint64_t round_at, sample_ms;
    unsigned kept_at;
    uint8_t memory_use;
    uint64_t steps_n;
};

extern const struct sim_host hf_host;

/* After sim_new(); authors are made, the rest of @hw is set by the caller. */
void hf_world_init(struct hf_world *hw, struct sim_world *world);
void hf_world_deinit(struct hf_world *hw);
struct hf *hf_at(struct hf_world *hw, size_t index); /* NULL while it is down */
uint64_t hf_now_ms(const struct hf *hf);
uint64_t hf_wall_ms(const struct hf *hf);
size_t hf_index_of(const struct hf_world *hw, const struct kith_node_id *id);
const char *hf_path(unsigned path);
/* HF_PATHS: none of them. */
unsigned hf_path_no(const char *path, size_t len);

/* ---- what users do; hf_pump() is to follow ---- */

/* @publication is of this step; its id is given here. */
void hf_publish(struct hf *hf, struct fs_publication *publication, uint64_t user);
/* Gets the bytes of a content, from here or from others. */
void hf_read(struct hf *hf, unsigned item, uint64_t user, uint8_t priority, bool waits);
/* Into the keep, synced, in the order of docs/protocols/fs.md: observer.written. */
void hf_put(struct hf *hf, unsigned item, uint64_t user);
/* What came of it is published, or will not be. */
void hf_put_over(struct hf *hf, unsigned item);
/* All that the folder has is told, and what it has not any more. */
void hf_scan(struct hf *hf);
void hf_cache_do(struct hf *hf, struct cache_event *event);

/* What records of the node say that is up, for when it is not. */
void hf_note_told(struct hf *hf);
/* Whether its disk has all of the content, as others were told, and nothing of that is bad. */
bool hf_in_folder(const struct hf *hf, unsigned item);
bool hf_has_intact(struct hf_world *hw, size_t index, unsigned item);
/* The same, told of or not: the rules bring such a file back. */
bool hf_has_bytes(const struct hf_world *hw, size_t index, unsigned item);
void hf_check(struct hf *hf);
void hf_pump(struct hf *hf);

#endif
