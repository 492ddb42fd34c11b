/*
 * A folder that this node shares, and its driver's parts: uv_fs_local.c steps the machine, the
 * fs_folder_*.c files do what it asks for.
 */
#ifndef NODE_FS_FOLDER_H
#define NODE_FS_FOLDER_H

#include "fs/chunker.h"
#include "fs/local.h"
#include "fs/scan.h"
#include "fs/watch.h"
#include "node/uv_fs.h"

struct fs_here {
    struct list link;
    struct node_fs *fs;
    uint64_t number; /* of the folder, in keys */
    char name[FS_SHARE_BYTES_MAX + 1];
    char *path;
    enum kith_share_mode mode;
    uint8_t replicas;
    struct local_core *core;
    struct fs_watch *watch; /* NULL: scans alone */
    struct fs_scanner *scanner;
    uv_poll_t poll;
    bool polling;
    bool one_level; /* of tracking */
    bool started;
    struct worker_room *scan_room; /* of the scan under way */
    uint32_t scan_rooms_n;         /* that are held back: the machine has enough to do */
    bool closing;                  /* ended; freed when nothing of it is under way */
    uint32_t busy_n;               /* jobs and publications under way */
    uint32_t handles_n;            /* that close */
    atomic_bool stop;              /* scans end early */
    struct list hashes;            /* struct hashes (fs_folder_hash.c) */
    struct hashes *hashes_open;    /* that are gathered in this step; may be NULL */
    struct fs_todo hashes_todo;
    struct fs_sync *sync;         /* fs_folder_sync.c */
    struct fs_tracking *tracking; /* fs_track.c: it is no share; else NULL */
    uint8_t state;                /* enum local_state, as last told; 0: none yet */
    char *state_text;
    uint64_t problems_said; /* in the log */
};

struct fs_local {
    struct list folders; /* struct fs_here: shares */
    struct list tracked; /* struct fs_here: folders that a program is told of */
    struct buf orphans;  /* keys that nothing belongs to any more: LOCAL_KEY_BYTES each */
};

struct fs_here *fs_here_find(struct node_fs *fs, const char *name, size_t len);
/* As local_step(); KITH_E_STOPPED if it is closed. */
int fs_here_step(struct fs_here *here, struct local_event *event);
/* Something of @here is under way, and is not any more. */
void fs_here_busy(struct fs_here *here);
void fs_here_idle(struct fs_here *here);

/* fs_folder_jobs.c: what threads do for it */
void fs_here_scan(struct fs_here *here, const struct local_action *action);
/* @room may be NULL: looks whether what was held back can be given now. */
void fs_here_give_room(struct fs_here *here, struct worker_room *room);
void fs_here_look(struct fs_here *here, const struct local_action *action);

/* fs_folder_hash.c */
void fs_here_hash(struct fs_here *here, const struct local_action *action);
void fs_here_stop_hashes(struct fs_here *here); /* those under way end soon */

/* fs_folder_publish.c */
void fs_here_publish(struct fs_here *here, const struct local_action *action);

/* fs_folder_sync.c: the folder follows the catalogue */
int fs_sync_open(struct fs_here *here); /* 0, KITH_E_MEMORY */
void fs_sync_deinit(struct fs_here *here);
void fs_sync_free(struct fs_here *here);
void fs_sync_walk(struct fs_here *here); /* looks at all of it, if it is kept in step */
/* Looks at one path, whatever the mode: an operation of this node changed it. */
void fs_sync_path(struct fs_here *here, const char *path, size_t len);
void fs_sync_tick(struct fs_here *here);
/* Whether what the folder has under a path is a version that stands, a conflict, and is in the
 * folder alone: it must not be replaced before the keep has it. */
bool fs_folder_stands(struct fs_here *here, struct kith_bytes path, const struct local_file *file);
/* Nothing at or below a path is being brought in step any more. */
struct fs_sync_wait {
    struct list link;
    const char *path; /* in the share, "" for all of it; borrowed until it is done */
    void (*done)(struct node_fs *fs, struct fs_sync_wait *wait);
    uint64_t last; /* of those that are waited for (fs_folder_sync.c) */
    uint64_t until_ms;
    size_t left_n;
};
/* True: @wait is done later, once, unless it is taken out of its list before; in any case after
 * some seconds, as a content may be waited for that nobody has. What cannot be done now, and is
 * tried again, is not waited for. False: nothing is under way there. */
bool fs_sync_await(struct fs_here *here, struct fs_sync_wait *wait);

/* fs_track.c */
void fs_track_hash(struct fs_here *here, const struct local_action *action);
void fs_track_publish(struct fs_here *here, const struct local_action *action);
void fs_track_state(struct fs_here *here); /* it is another one */
void fs_track_look(struct fs_here *here);  /* behind each step: is the first scan over? */
void fs_tracking_free(struct fs_tracking *tracking);

/* ---- life ---- */
struct fs_here_config {
    const char *name;
    const char *path;
    enum kith_share_mode mode;
    uint8_t replicas;
    uint64_t number;
    struct fs_tracking *tracking; /* taken over; NULL: it is a share */
    bool one_level;               /* of tracking */
};
/* Of @fs's folders from then on. 0, KITH_E_MEMORY. */
int fs_here_new(struct node_fs *fs, const struct fs_here_config *config, struct fs_here **here_out);
void fs_here_start(struct fs_here *here);
/* It may be gone at once, or when the last of what is under way is back. */
void fs_here_close(struct fs_here *here);

/* As LOCAL_CONFIRM. 0 or a code with its sentence. */
int fs_here_confirm(struct fs_here *here);

int fs_local_recall_entry(struct node_fs *fs, const struct store_entry *entry);

#endif
