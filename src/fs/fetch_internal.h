/*
 * Inside of the fetch core: who knows whom.
 *
 *     want -> file <- source -> peer          ask -> file, peer
 *
 * A *file* is a content under way; *wants* are the fetches of it. A *source* is a file at one of
 * its holders (a *peer*), and stands in that peer's ready list while there may be something to ask.
 * An *ask* is one chunk (or list) on its way: asked, then verified, then written; it owns its
 * bytes.
 */
#ifndef FS_FETCH_INTERNAL_H
#define FS_FETCH_INTERNAL_H

#include "core/alloc.h"
#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "fs/fetch.h"
#include "fs/fetch_wire.h"
#include "kith/error.h"

#define FETCH_TICK_MS 200  /* while something is under way: stalls, second askings */
#define FETCH_SLOW_MS 1000 /* while something waits for the time */
/* Of written chunks a bitmap is given away after so many, or after FETCH_SLOW_MS. */
#define FETCH_PERSIST_CHUNKS 32
/* Chunks of a former life that are read again at once, of one file. */
#define FETCH_RECHECKS 4
/* A peer that stalled so often in a row does not count as within reach. */
#define FETCH_STRIKES 3
/* What is assumed of a peer of which nothing is known, bytes a second. */
#define FETCH_RATE_GUESS 1000000u

struct fetch_peer {
    struct kith_node_id id;
    bool up;
    uint8_t strikes; /* stalls in a row */
    uint8_t damages; /* damaged chunks less good ones */
    uint32_t refs;   /* sources */
    uint32_t asks_n;
    uint64_t bytes_asked; /* not yet here */
    uint64_t rate;        /* bytes a second; 0: not known yet */
    uint64_t grown; /* its window may not be larger: it doubles in an answering time at most */
    uint64_t slice_bytes, slice_ms;
    uint32_t rtt_ms;   /* least time to an answer; UINT32_MAX: unknown */
    uint64_t heard_ms; /* last byte, or since when it owes one */
    uint64_t rest_until_ms;
    uint32_t rest_ms;                    /* of the last rest; doubles */
    uint64_t connect_ms;                 /* of the last CONNECT */
    uint64_t vtime[FETCH_PRIORITIES];    /* start-time fair queueing of the priorities */
    struct list sources;                 /* all */
    struct list ready[FETCH_PRIORITIES]; /* those with something to ask */
    struct list asks;                    /* in the order of asking */
    struct buf out;                      /* asks of this step */
    struct list dirty;                   /* core->dirty: to be pumped */
    struct list busy;                    /* core->busy: has asks, or rests */
    struct list hungry;                  /* core->hungry: waits for memory */
    struct list outs;                    /* core->outs: `out` has something */
};

struct fetch_source {
    struct fetch_file *file;
    struct fetch_peer *peer;
    struct list of_peer; /* peer->sources */
    struct list ready;
    uint64_t bytes;
    uint32_t asked;
    uint64_t aside_until_ms; /* 0: not aside; UINT64_MAX: until HOLDERS says it again */
    bool damaged;
    bool named; /* by the HOLDERS that is being taken in */
};

enum fetch_list_state {
    FETCH_LIST_NEEDED,
    FETCH_LIST_ASKED, /* under way, or being verified */
    FETCH_LIST_HERE,  /* or not needed */
};

struct fetch_file {
    struct content content;
    struct fetch_file *next_same; /* same map key */
    uint32_t chunks;
    uint32_t have_n;
    uint8_t *bits; /* three bitmaps: have, busy, doubt */
    enum fetch_list_state list_state;
    uint8_t *list;
    bool list_counted; /* in core->lists_bytes */
    bool list_known;   /* given by the driver or to it */
    uint32_t doubt_at, rechecks_n;
    uint32_t unsaved; /* chunks written since the last PERSIST */
    uint64_t saved_ms;
    uint64_t lost_ms; /* since when nobody could be asked; UINT64_MAX: somebody can */
    uint64_t bytes_in, rate, slice_bytes, slice_ms;
    struct list wants; /* by priority */
    struct list asks;
    struct list doubting; /* core->doubting: chunks are to be read again */
    struct list watch;    /* core->watch: something may be due */
    struct list waiting;  /* core->list_waiting: for room for its list */
    struct fetch_source *sources[FS_FETCH_HOLDERS_MAX];
    uint32_t sources_n;
    uint32_t wants_n;
};

struct fetch_want {
    struct list of_file;
    struct fetch_file *file;
    uint64_t id;
    uint8_t priority;
    uint8_t flags;
    uint32_t first, end; /* chunks */
    uint32_t at;         /* nothing to ask below */
    uint32_t left;       /* not written */
    uint64_t bytes, bytes_done;
    uint64_t started_ms;
};

enum fetch_ask_state {
    FETCH_ASKED,
    FETCH_VERIFYING,
    FETCH_WRITING,
};

struct fetch_job {               /* an ask */
    uint64_t number;             /* request and token */
    struct fetch_file *file;     /* NULL: nobody wants it any more */
    struct fetch_peer *peer;     /* NULL: all is here, or it was here before */
    struct fetch_source *source; /* NULL as peer */
    struct kith_node_id from;    /* who sent it */
    bool from_peer;
    bool twice; /* another one of the same chunk is or was under way */
    enum fetch_ask_state state;
    uint32_t chunk;
    uint32_t size, got;
    uint64_t asked_ms, heard_ms;
    uint8_t *data;
    uint8_t hash[CONTENT_ROOT_BYTES];
    struct list of_peer, of_file;
};

/* Bytes of chunks that are done, for the next ones of that size: fresh memory costs a page fault
 * each 4 KiB. */
#define FETCH_SPARES_MAX 16
struct fetch_spare {
    uint8_t *data;
    uint32_t size;
};

struct fetch_core {
    struct fetch_config config;
    uint64_t now_ms;
    uint64_t next_number;
    struct map64 files;
    struct map64 wants;
    struct map64 jobs;
    struct mapid peers;
    struct list dirty, busy, hungry, outs, watch, list_waiting, doubting;
    struct list untold;        /* jobs whose action found no memory; by of_peer */
    uint64_t tick_ms, slow_ms; /* UINT64_MAX: not needed */
    uint64_t bytes_held;
    struct fetch_spare spares[FETCH_SPARES_MAX];
    uint32_t spares_n;
    uint64_t spare_bytes;
    struct fetch_stats stats;
    struct fetch_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;      /* of the step */
    struct fetch_from *from; /* of the last progress */
    int error;
};

/* ---- output (fetch.c) ---- */
/* NULL if memory is short (core->error). */
struct fetch_action *fetch_act(struct fetch_core *core, enum fetch_action_type type);
/* A copy that lives until the next step; empty if memory is short. */
struct kith_bytes fetch_keep(struct fetch_core *core, const void *data, size_t len);

/* ---- files (fetch_file.c) ---- */
enum fetch_bitmap {
    FETCH_HAVE = 0,  /* written */
    FETCH_BUSY = 1,  /* some ask has it */
    FETCH_DOUBT = 2, /* said to be in the part file */
};
static inline uint32_t fetch_bitmap_bytes(const struct fetch_file *file)
{
    return (file->chunks + 7) / 8;
}
static inline uint8_t *fetch_bitmap_of(const struct fetch_file *file, enum fetch_bitmap map)
{
    return file->bits + (size_t)map * fetch_bitmap_bytes(file);
}
static inline bool fetch_bit(const struct fetch_file *file, enum fetch_bitmap map, uint32_t chunk)
{
    return (fetch_bitmap_of(file, map)[chunk / 8] >> (chunk % 8) & 1) != 0;
}
static inline void
fetch_bit_set(struct fetch_file *file, enum fetch_bitmap map, uint32_t chunk, bool on)
{
    uint8_t *byte = &fetch_bitmap_of(file, map)[chunk / 8];
    uint8_t mask = (uint8_t)(1u << (chunk % 8));
    *byte = on ? *byte | mask : *byte & (uint8_t)~mask;
}
struct fetch_file *fetch_file_find(const struct fetch_core *core, const struct content *content);
void fetch_start(struct fetch_core *core, const struct fetch_event *event);
void fetch_cancel(struct fetch_core *core, uint64_t id);
/* All its fetches end with @code; it is gone afterwards. */
void fetch_file_fail(struct fetch_core *core, struct fetch_file *file, int code, const char *text);
void fetch_file_free(struct fetch_core *core, struct fetch_file *file);
/* The next chunk to ask for, by the fetch that needs it first; false if there is none. */
bool fetch_file_next(struct fetch_file *file, uint32_t *chunk_out, uint8_t *priority_out);
/* It is to be asked for (again). */
void fetch_file_reopen(struct fetch_core *core, struct fetch_file *file, uint32_t chunk);
/* Its sources may have something to ask. */
void fetch_file_ready(struct fetch_core *core, struct fetch_file *file);
/* The list is verified: zeros, doubts, the rest. May free the file. */
void fetch_file_listed(struct fetch_core *core, struct fetch_file *file);
/* @chunk is written: fetches that have all they want are done. May free the file. */
void fetch_file_written(struct fetch_core *core, struct fetch_file *file, uint32_t chunk);
void fetch_file_persist(struct fetch_core *core, struct fetch_file *file);
/* Chunks of a former life are read again, as far as there is room. */
void fetch_file_recheck(struct fetch_core *core, struct fetch_file *file);
void fetch_list_drop(struct fetch_core *core, struct fetch_file *file);
/* Room for its list; else it waits for it. */
bool fetch_list_room(struct fetch_core *core, struct fetch_file *file);
/* Whether anybody can be asked may have changed. */
void fetch_file_lost(struct fetch_core *core, struct fetch_file *file);
/* What is due: fetches that do not wait, bitmaps. May free the file. */
void fetch_file_judge(struct fetch_core *core, struct fetch_file *file);

/* ---- peers and sources (fetch_peer.c) ---- */
/* NULL if memory is short or there are too many. */
struct fetch_peer *fetch_peer_get(struct fetch_core *core, const struct kith_node_id *id);
struct fetch_peer *fetch_peer_find(const struct fetch_core *core, const struct kith_node_id *id);
void fetch_peer_forget_if_idle(struct fetch_core *core, struct fetch_peer *peer);
void fetch_peer_free(struct fetch_peer *peer);
void fetch_peer_up(struct fetch_core *core, const struct kith_node_id *id);
void fetch_peer_down(struct fetch_core *core, const struct kith_node_id *id);
void fetch_peer_rest(struct fetch_core *core, struct fetch_peer *peer, uint32_t ms_max);
void fetch_peer_dirty(struct fetch_core *core, struct fetch_peer *peer);
/* Whether @bytes more may be under way for a fetch of @priority. */
bool fetch_room(const struct fetch_core *core, uint32_t bytes, uint8_t priority);
uint64_t fetch_peer_window(const struct fetch_peer *peer);
/* Time until so many more bytes would be here. */
uint64_t fetch_peer_eta_ms(const struct fetch_peer *peer, uint64_t bytes);
void fetch_holders(struct fetch_core *core,
                   struct fetch_file *file,
                   const struct kith_node_id *holders,
                   size_t holders_n);
/* It may have something to ask. */
void fetch_source_ready(struct fetch_core *core, struct fetch_source *source, uint8_t priority);
struct fetch_source *fetch_source_of(const struct fetch_file *file, const struct kith_node_id *id);
/* An ask for @peer, sent with the others of the step. */
void fetch_say(struct fetch_core *core, struct fetch_peer *peer, const struct fetch_ask *ask);
void fetch_source_free(struct fetch_core *core, struct fetch_file *file, uint32_t at);
bool fetch_source_usable(const struct fetch_core *core, const struct fetch_source *source);
/* It is not asked for a while; all that was asked of it is asked elsewhere. */
void fetch_source_aside(struct fetch_core *core, struct fetch_source *source, uint64_t until_ms);
/* Asks all that windows, memory and turns allow. */
void fetch_pump(struct fetch_core *core);
/* Sends the asks of this step. */
void fetch_flush(struct fetch_core *core);
void fetch_connect(struct fetch_core *core, struct fetch_file *file);

/* ---- asks (fetch_job.c) ---- */
/* Asks @source for @chunk or the list. False if memory is short. */
bool fetch_ask(struct fetch_core *core,
               struct fetch_source *source,
               uint32_t chunk,
               uint8_t priority,
               bool twice);
/* Verifies what was here before: the list (@data of list_bytes, copied) or a chunk. */
bool fetch_verify_here(struct fetch_core *core,
                       struct fetch_file *file,
                       uint32_t chunk,
                       const void *data);
/* Its peer need not send it (tell: it is told). It is freed, or, if somebody has its bytes, when
 * that has answered. Does not reopen the chunk. */
void fetch_job_drop(struct fetch_core *core, struct fetch_job *job, bool tell);
/* As drop, and its chunk is asked for anew unless another ask has it. */
void fetch_job_again(struct fetch_core *core, struct fetch_job *job, bool tell);
int fetch_recv(struct fetch_core *core, const struct kith_node_id *from, struct kith_bytes data);
void fetch_verified(struct fetch_core *core, uint64_t token, int code);
void fetch_written(struct fetch_core *core, uint64_t token, int code, const char *text);
/* Actions that found no memory when their time was. */
void fetch_jobs_retell(struct fetch_core *core);
/* Gives spare memory back. */
void fetch_spares_free(struct fetch_core *core);
/* Stalls, second askings. */
void fetch_jobs_tick(struct fetch_core *core);

#endif
