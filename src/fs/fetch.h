/*
 * Fetches contents from those who hold them: whole or in part, from several holders at once, each
 * by the rate at which it delivers. A pure machine: what hashes (VERIFY), writes (WRITE), sends and
 * stores is the driver.
 *
 * - **Holders.** The driver says who has a content (START, HOLDERS) and which nodes can be sent to
 *   (PEER_UP, PEER_DOWN); who is needed and not up is asked for by CONNECT.
 * - **Windows.** A holder is asked for the next chunk while less than its window is under way from
 *   it: what it delivers in twice its answering time and 200 ms, at least
 * FS_FETCH_WINDOW_BYTES_MIN. Small contents thus share a window, and many of them cost one round
 * trip (asks of one step to one node are one frame). All bytes under way, received and not yet
 * written ones included, stay below `bytes_max`; a chunk counts whole from the moment it is asked
 * for.
 * - **Order.** Three priorities share each holder 16 : 4 : 1; contents of one priority take turns,
 *   a content's chunks come in order. Background fetches use at most half of the memory, ordinary
 *   ones three quarters.
 * - **Nothing unverified is used.** A list is verified before a chunk is asked for, a chunk before
 *   WRITE. Who sends what does not verify, more than was asked for, or a place of the chunk
 *   again, is not asked for this content again for FS_FETCH_ASIDE_MS (DAMAGED tells). A piece that
 *   is missing (a stream did not take it) proves nothing: the chunk is asked for anew.
 * - **The last chunks** are asked of a second holder when that is expected to be done sooner.
 * - **Resume.** PERSIST gives what was written, as a list and a bitmap; given back at START, each
 *   chunk of the bitmap is read and verified again (VERIFY without data) before it counts, so the
 *   bitmap needs no sync.
 *
 * What it leaves out: where bytes go (part file, cache) and the last fsync and rename, which the
 * driver does between WRITTEN of the last chunk and telling whoever waits (DONE).
 *
 * Wire: fs/fetch_wire.h. FRAME_FS_ASK travels on the class control, so that it does not wait behind
 * data that flows the same way; FRAME_FS_DATA on bulk.
 */
#ifndef FS_FETCH_H
#define FS_FETCH_H

#include "fs/content.h"
#include "kith/api.h"

struct fetch_core;

/* Zero fields take the default. */
struct fetch_config {
    uint64_t seed;
    uint64_t bytes_max;       /* FS_FETCH_BYTES_MAX; one chunk goes in any case */
    uint64_t lists_bytes_max; /* FS_FETCH_LISTS_BYTES_MAX; lists of contents under way */
    uint32_t contents_max;    /* FS_FETCH_CONTENTS_MAX */
    uint32_t stall_ms;        /* FS_FETCH_STALL_MS: no byte of what was asked for */
    uint32_t aside_ms;        /* FS_FETCH_ASIDE_MS */
    uint32_t reach_ms;        /* FS_FETCH_REACH_MS: how long a fetch that does not wait looks */
};

enum fetch_priority {
    FETCH_READ = 0,       /* somebody waits for these bytes */
    FETCH_ORDINARY = 1,   /* get, pin */
    FETCH_BACKGROUND = 2, /* copies, repair */
};
#define FETCH_PRIORITIES 3

enum fetch_flags {
    FETCH_WAIT = 1 << 0, /* no holder within reach: wait; else UNREACHABLE after reach_ms */
    /* What was written before, for another fetch of the content, is not there any more. */
    FETCH_ANEW = 1 << 1,
};

enum fetch_event_type {
    /*
     * id (not in use), content, holders, priority, flags, and of the content the bytes from
     * @offset, @len of them (0: to the end). list, bitmap: what PERSIST gave in a former life, for
     * a part file that still exists; either may be empty. A content that is being fetched already
     * is joined, whatever list and bitmap say.
     */
    FETCH_START,
    FETCH_CANCEL,    /* id: nothing more is said of it */
    FETCH_HOLDERS,   /* content, holders: all that are said to have it now; one that is new or was
                      * put aside for "unknown" is asked (again) */
    FETCH_PEER_UP,   /* peer: frames can be sent to it */
    FETCH_PEER_DOWN, /* peer: also if a SEND was refused; all that was asked of it is asked anew */
    FETCH_RECV,      /* peer, data: the body of a FRAME_FS_DATA */
    FETCH_VERIFIED,  /* token, code: 0; KITH_E_CORRUPT; others: it could not be read or hashed */
    FETCH_WRITTEN,   /* token, code: 0; others end all fetches of that content with it */
    FETCH_TICK,      /* the deadline has come */
};

struct fetch_event {
    enum fetch_event_type type;
    uint64_t now_ms;
    uint64_t id;
    struct content content;
    const struct kith_node_id *holders; /* borrowed for the step */
    size_t holders_n;                   /* more than FS_FETCH_HOLDERS_MAX: the first ones */
    uint8_t priority;
    uint8_t flags;
    uint64_t offset, len;
    struct kith_bytes list, bitmap;
    struct kith_node_id peer;
    struct kith_bytes data;
    uint64_t token;
    int code;
    const char *text; /* of WRITTEN with a code: goes to DONE; may be NULL */
};

enum fetch_action_type {
    FETCH_SEND,    /* peer, data: body of a FRAME_FS_ASK */
    FETCH_CONNECT, /* peer: a stream to it is wanted; PEER_UP follows, or nothing */
    /*
     * token, content, chunk (FETCH_LIST: the list), hash, data: check on a worker
     * (content_list_check(), content_chunk_check()) and answer with VERIFIED. data.data NULL: read
     * the chunk from the part file first. Small ones may be checked on the spot, several in one
     * job; the answer is a step of its own in any case.
     */
    FETCH_VERIFY,
    /* token, content, chunk, offset, data: keep these bytes, then WRITTEN. They may be taken over:
     * fetch_take(). */
    FETCH_WRITE,
    /* content, chunk, chunks_n: so many from there are zeros, and count as written at once. A part
     * file that was given its size first has them already. */
    FETCH_ZEROS,
    FETCH_PERSIST, /* content, list or bitmap (the other is empty): keep it, lazily */
    FETCH_DAMAGED, /* peer, content, chunk, text: to be reported; it is not asked for a while */
    FETCH_DONE,    /* id, code, text, damaged; the last that is said of it */
    /* content: no fetch of it is left, behind the last DONE. code 0: all of it is there; else
     * KITH_E_CANCELED or what WRITTEN said: the part file may be kept for later. */
    FETCH_END,
};

#define FETCH_LIST UINT32_MAX

/*
 * Borrowed until the next step, but for data and hash of VERIFY and WRITE: until the step with
 * their VERIFIED or WRITTEN, which must come, whatever else ends meanwhile.
 */
struct fetch_action {
    enum fetch_action_type type;
    struct kith_node_id peer;
    bool from_peer; /* WRITE: peer sent it; else it was here before */
    uint64_t id;
    uint64_t token;
    struct content content;
    uint32_t chunk;
    uint32_t chunks_n;
    uint64_t offset;
    const uint8_t *hash;
    struct kith_bytes data;
    struct kith_bytes list, bitmap;
    int code;
    const char *text; /* "" if there is none */
    /* DONE with a code: holders that sent damaged data and are not asked again for a while */
    const struct kith_node_id *damaged;
    size_t damaged_n;
};

struct fetch_output {
    const struct fetch_action *actions;
    size_t actions_n;
};

/* 0, KITH_E_MEMORY. */
int fetch_new(struct fetch_core **core_out, const struct fetch_config *config);
/* NULL is fine. No worker may still use data of its actions. */
void fetch_free(struct fetch_core *core);

/*
 * One event. 0; KITH_E_CORRUPT for a frame that does not decode (counted, nothing of it counts);
 * KITH_E_MEMORY, with what could still be done in @out. @out is valid whatever is returned.
 *
 * Codes of DONE: 0; KITH_E_INVALID (content, range); KITH_E_LIMIT (too many contents);
 * KITH_E_UNREACHABLE (no holder within reach, without FETCH_WAIT); KITH_E_NOT_FOUND (nobody is said
 * to have it, or all within reach say they have not; without FETCH_WAIT); KITH_E_CORRUPT (all
 * within reach sent damaged data; without FETCH_WAIT); what WRITTEN said; KITH_E_MEMORY.
 */
int fetch_step(struct fetch_core *core, const struct fetch_event *event, struct fetch_output *out);
/* When TICK is due; UINT64_MAX if never. */
uint64_t fetch_deadline_ms(const struct fetch_core *core);

/*
 * Takes over the bytes of a WRITE, for instance into a memory cache; before its WRITTEN. The
 * caller frees them with core_free(). NULL if @token is of no WRITE.
 */
void *fetch_take(struct fetch_core *core, uint64_t token);

struct fetch_from {
    struct kith_node_id node;
    uint64_t bytes; /* that came from it for this content, damaged ones too */
    uint64_t rate;  /* bytes a second of all it sends us, lately */
    uint32_t asked; /* chunks of this content under way from it */
    bool up;
    bool aside; /* sent damaged data, or says that it has not got it */
};
struct fetch_progress {
    uint64_t bytes;      /* of the range, in whole chunks, but at most what was asked for */
    uint64_t bytes_done; /* written */
    uint64_t rate;       /* bytes a second, lately */
    uint64_t eta_ms;     /* UINT64_MAX: nobody delivers */
    const struct fetch_from *from; /* borrowed until the next step or question */
    size_t from_n;
};
/* 0, KITH_E_NOT_FOUND. */
int fetch_progress(struct fetch_core *core, uint64_t id, struct fetch_progress *progress_out);
/* Whether chunk @chunk of a content that is being fetched is written. */
bool fetch_has(const struct fetch_core *core, const struct content *content, uint32_t chunk);

struct fetch_stats {
    uint64_t contents, fetches;           /* now */
    uint64_t asked;                       /* chunks and lists asked for, and not yet here */
    uint64_t bytes_held, bytes_held_most; /* asked for, or here and not written */
    uint64_t lists_bytes;
    uint64_t bytes_in, bytes_written, bytes_zero; /* ever */
    uint64_t bytes_wasted;                        /* damaged, too late, twice */
    uint64_t asks, asks_twice, asks_again, frames_out;
    uint64_t damaged, refused, stalled, gaps, bad_frames, unexpected;
};
void fetch_stats(const struct fetch_core *core, struct fetch_stats *stats_out);
/* Asserts the invariants. */
void fetch_check(const struct fetch_core *core);

#endif
