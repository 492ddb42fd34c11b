/*
 * The file catalogue of a node: its cores (src/fs), the threads that read, hash and write for them,
 * and what wires them together. Loop thread only unless said otherwise.
 *
 * No core is stepped from inside the actions of a step. What comes up meanwhile is a struct
 * fs_todo, which runs when the outermost step is done. Nothing here blocks: files are touched by
 * jobs on threads of their own (fs.workers), so that neither functions of programs nor the loop
 * wait for a disk, and a function may wait for a file.
 */
#ifndef NODE_UV_FS_H
#define NODE_UV_FS_H

#include <uv.h>

#include "core/list.h"
#include "core/map.h"
#include "fs/cache.h"
#include "fs/catalogue.h"
#include "fs/fetch.h"
#include "fs/keep.h"
#include "fs/pins.h"
#include "fs/serve.h"
#include "node/fs.h"
#include "node/workers.h"

struct uv_peer;

/* ---- later, and elsewhere ---- */

/* Something to do when no core is being stepped; embedded by its owner. */
struct fs_todo {
    struct list link;
    void (*run)(struct node_fs *fs, struct fs_todo *todo); /* it may be freed by it */
};

/* Work of a thread: @work runs there, then @done on the loop, which owns it again. */
struct fs_job {
    struct worker_job job;
    struct node_request request;
    struct node_fs *fs;
    void (*work)(struct fs_job *job);
    void (*done)(struct node_fs *fs, struct fs_job *job);
};

/* ---- the whole ---- */

struct node_fs {
    struct kith_node *node;
    struct fs_disk_id disk;
    char *dir; /* DIR/files */

    struct fs_catalogue *catalogue;
    bool started, stopping;
    unsigned stepping; /* cores whose actions are being done */
    struct list todos;
    uv_timer_t timer;
    uint64_t due_ms; /* of the timer, on BOOTTIME; UINT64_MAX: not set */

    struct workers *workers; /* NULL until there is work */
    uint32_t workers_n;
    uint32_t jobs_n;     /* under way */
    _Atomic bool cancel; /* jobs that take long end soon */

    /* fs_store.c */
    struct list batches;    /* that the store has not taken yet */
    struct fs_batch *batch; /* that is being filled */

    /* fs.c, fs_ops.c */
    struct list running; /* struct fs_op */
    struct list puts;    /* struct fs_putting, in the order of their lines */
    _Atomic uint32_t uploads_n;
    struct map64 ops;
    _Atomic uint64_t next_id;
    struct map64 published; /* struct fs_publishing by id of publication */
    uint64_t next_publication;
    struct list publishing; /* those that wait for the step at hand to end */
    struct fs_todo publish_todo;

    /* fs_watch.c */
    struct list watches;
    struct list *watch_next; /* the one after that whose callback runs */
    _Atomic int64_t next_watch;
    _Atomic uint32_t watches_n;

    struct fs_move *move;       /* uv_fs_move.c */
    struct fs_keeping *keeping; /* uv_fs_keep.c */
    struct map64 kept;          /* fs_kept.c: struct fs_kept by a hash of the root */
    struct fs_pins *pins;       /* fs_pins.c */
    struct buf pins_recalled;   /* their texts, until the catalogue is there */
    struct map64 strays;        /* fs_stray.c: by a hash of the root */
    size_t stray_at;            /* where the round through them stands */
    struct fs_sweep *sweep;     /* fs_sweep.c */
    struct list copies;         /* that it has under way */
    struct list restless;       /* fs_keep_rest.c */
    uint32_t restless_n;
    struct fs_local *local; /* uv_fs_local.c */
    uint64_t tidied_ms;     /* fs_tidy.c */
};

static inline struct fs_disk_id fs_disk_of(const uint8_t bytes[FS_DISK_BYTES])
{
    struct fs_disk_id disk;
    memcpy(disk.bytes, bytes, sizeof(disk.bytes));
    return disk;
}

/* ---- uv_fs.c: life, time, the catalogue ---- */

/* Without a store (a program) node->fs stays NULL and all of these do nothing. */
int node_fs_open(struct kith_node *node);        /* before the loop runs, the store is open */
int node_fs_recall(struct kith_node *node);      /* likewise; before anything is put */
void node_fs_first(struct kith_node *node);      /* on the loop */
void node_fs_stop(struct kith_node *node);       /* ends what runs with KITH_E_STOPPED */
bool node_fs_idle(const struct kith_node *node); /* no job is under way */
void node_fs_close(struct kith_node *node);      /* ends the threads */
void node_fs_deinit(struct kith_node *node);
void node_fs_link(struct kith_node *node, const struct kith_node_id *id, bool up);
/* Membership says that it is here, or has failed or left; its streams may stand for a while. */
void node_fs_member(struct kith_node *node, const struct kith_node_id *id, bool up);
void node_fs_bulk_lost(struct kith_node *node, struct uv_peer *peer);
void node_fs_drained(struct kith_node *node, struct uv_peer *peer);
void node_fs_frame(struct kith_node *node,
                   const struct kith_node_id *from,
                   uint8_t type,
                   const uint8_t *data,
                   size_t len);
void node_fs_stored(struct kith_node *node, uint64_t token);
void node_fs_store_ready(struct kith_node *node); /* something became durable: it takes more */
void node_fs_forget(struct kith_node *node, const struct kith_node_id *id);
void node_fs_sample(struct kith_node *node); /* once a second */
int node_fs_absent(void);                    /* says that a program has no files */

void fs_catalogue_do(struct node_fs *fs, struct catalogue_event *event);
/* Before and behind a core's actions. */
void fs_enter(struct node_fs *fs);
void fs_leave(struct node_fs *fs);
void fs_later(struct node_fs *fs, struct fs_todo *todo);
/* The timer looks at the cores' deadlines again. */
void fs_arm(struct node_fs *fs);

/* CLOCK_REALTIME, now. Any thread. */
int64_t fs_wall_ns(void);

/* ---- fs_jobs.c ---- */
/* Runs @job on a thread; its @work and @done are set. Ends the process if no thread can be made. */
void fs_job_start(struct node_fs *fs, struct fs_job *job);
/* The same for one that waits inside, with workers_wait() on fs->workers. */
void fs_job_start_waiter(struct node_fs *fs, struct fs_job *job);

/* ---- fs_store.c ---- */
/* Adds to the batch at hand; @data NULL: drops the entry. Copied. */
void fs_put(struct node_fs *fs, struct kith_bytes key, struct kith_bytes data);
/* What was put up to here is durable when node_fs_stored(@token) comes. */
void fs_put_sync(struct node_fs *fs, uint64_t token);
void fs_put_flush(struct node_fs *fs); /* what was put goes to the store */
void fs_put_again(struct node_fs *fs); /* the store takes batches again */
void fs_put_deinit(struct node_fs *fs);

/* ---- fs_put.c ---- */
void fs_puts_deinit(struct node_fs *fs);
void fs_puts_tick(struct node_fs *fs, uint64_t now_ms);
uint64_t fs_puts_deadline_ms(struct node_fs *fs);

/* ---- publications ---- */

/* A publication that is on its way into the catalogue; embedded by its owner. */
struct fs_publishing {
    struct list link;
    uint64_t id;
    /* Once: it is durable and announced, or not. May start others. */
    void (*done)(struct node_fs *fs,
                 struct fs_publishing *publishing,
                 int code,
                 const char *text,
                 uint64_t version_id);
    bool is_holding;
    union {
        struct fs_publication publication; /* what it points to must live until @done */
        struct fs_holding holding;
    };
};
/* 0 or KITH_E_MEMORY: then @done does not run. At once, or with others when the step at hand is
 * done. */
int fs_publish(struct node_fs *fs, struct fs_publishing *publishing);

/* ---- uv_fs_move.c: what moves bytes ---- */
int fs_move_open(struct node_fs *fs);
void fs_move_first(struct node_fs *fs);
void fs_move_stop(struct node_fs *fs);
void fs_move_deinit(struct node_fs *fs);
void fs_move_link(struct node_fs *fs, const struct kith_node_id *id, bool up);
void fs_move_member(struct node_fs *fs, const struct kith_node_id *id, bool up);
void fs_move_frame(struct node_fs *fs,
                   const struct kith_node_id *from,
                   uint8_t type,
                   struct kith_bytes data);
void fs_move_tick(struct node_fs *fs, uint64_t now_ms);
uint64_t fs_move_deadline_ms(struct node_fs *fs);
bool fs_move_cached(struct node_fs *fs, const struct content *content); /* all of it */
/* Who holds it, or whether it is named, may be other than it was. */
void fs_move_content(struct node_fs *fs, const struct content *content);

/* ---- uv_fs_local.c: folders ---- */
struct store_entry;
int fs_local_open(struct node_fs *fs);
int fs_local_recall(struct node_fs *fs, const struct store_entry *entry); /* fs_shares.c */
void fs_local_tick(struct node_fs *fs, uint64_t now_ms);
uint64_t fs_local_deadline_ms(struct node_fs *fs);
void fs_local_first(struct node_fs *fs);
void fs_local_sample(struct node_fs *fs); /* once a second */
void fs_local_stop(struct node_fs *fs);
void fs_local_deinit(struct node_fs *fs);
void fs_local_changed(struct node_fs *fs, const struct catalogue_change *change);

/* ---- fs_watch.c ---- */
void fs_watch_tell(struct node_fs *fs, const struct catalogue_change *change);
void fs_watches_deinit(struct node_fs *fs);
void fs_track_end(struct node_fs *fs, int64_t no); /* fs_track.c */

/* ---- fs_entry.c ---- */
/*
 * Finds what @text names. 0 and the entry, with share and path of what was found in @ref_out, which
 * points into @text; else a code with its sentence. @node_out (may be NULL): of "@NODE", else
 * zeros.
 */
int fs_find(struct node_fs *fs,
            const char *text,
            struct fs_ref *ref_out,
            struct kith_node_id *node_out,
            struct fs_entry *entry_out);
/* Fills @out from @entry, whose path is SHARE/@path; texts go to @box. @whole: with the author.
 * 0 or KITH_E_MEMORY. */
int fs_entry_fill(struct node_fs *fs,
                  struct fs_box *box,
                  struct kith_bytes share,
                  struct kith_bytes path,
                  const struct fs_entry *entry,
                  bool whole,
                  struct kith_fs_entry *out);
/* The result that has the one entry which @text names now. 0 or a code with its sentence. */
int fs_box_of(struct node_fs *fs, const char *text, struct fs_box **box_out);
/* KITH_E_FENCE if @op wants another content than @entry (NULL: nothing) has. */
int fs_check_hash(const struct kith_fs_op *op, const struct fs_entry *entry);
const char *fs_node_name(struct node_fs *fs, const struct kith_node_id *id, char digits[33]);
bool fs_node_alive(struct node_fs *fs, const struct kith_node_id *id);

#endif
