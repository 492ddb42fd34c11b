/*
 * Answers those who fetch (fs/fetch.h): reads what they ask for and sends it, fair between askers,
 * bounded in what it reads ahead and holds. A pure machine.
 *
 * - An asker's requests wait in its own queue, by its priorities, then in order; at most
 *   FS_SERVE_ASKS_MAX of one asker, then NO busy.
 * - Askers take turns by bytes (deficit round robin, blocks of FS_SERVE_BLOCK_BYTES), so neither
 *   who asks for more nor who asks for larger chunks gets more.
 * - A block is read only if the stream to its asker has room for it (ROOM), and what was read is
 *   sent at once. So nothing that was read ever waits for a slow asker, and one that does not take
 *   its data costs no reads: it just gets no turn.
 * - Who asks for what is not here hears NO from READ_DONE's code; the core knows no contents.
 */
#ifndef FS_SERVE_H
#define FS_SERVE_H

#include "fs/content.h"
#include "kith/api.h"

struct serve_core;

/* Zero fields take the default. */
struct serve_config {
    uint32_t reads_max;      /* FS_SERVE_READS_MAX: reads under way */
    uint64_t read_bytes_max; /* FS_SERVE_READ_BYTES_MAX: their bytes */
    uint32_t asks_max;       /* FS_SERVE_ASKS_MAX: of one asker */
    uint32_t block_bytes;    /* FS_SERVE_BLOCK_BYTES */
};

enum serve_event_type {
    SERVE_PEER_UP,   /* peer, room */
    SERVE_PEER_DOWN, /* peer: all it asked for is forgotten; the same peer may be up again */
    /*
     * peer, room: the bulk stream to it takes so many bytes more now. Tell it after PEER_UP, when
     * the stream has drained, and after a step that sent to it.
     */
    SERVE_ROOM,
    SERVE_RECV, /* peer, data: the body of a FRAME_FS_ASK */
    /*
     * token, code, data: what a READ brought. 0 with exactly the bytes asked for, borrowed for
     * the step; KITH_E_NOT_FOUND (it is not here), others (it could not be read: damaged, changed
     * meanwhile): NO.
     */
    SERVE_READ_DONE,
};

struct serve_event {
    enum serve_event_type type;
    struct kith_node_id peer;
    uint64_t room;
    struct kith_bytes data;
    uint64_t token;
    int code;
};

enum serve_action_type {
    /* token, content, chunk (FETCH_LIST: the list), offset within it, len: READ_DONE follows, in a
     * step of its own, whatever happens to the peer. */
    SERVE_READ,
    /* peer, head, data: body of a FRAME_FS_DATA is the one behind the other. What the stream does
     * not take may be dropped: its asker notices the gap and asks anew. */
    SERVE_SEND,
};

/* Borrowed until the next step; data of SEND lies in what READ_DONE brought. */
struct serve_action {
    enum serve_action_type type;
    struct kith_node_id peer;
    uint64_t token;
    struct content content;
    uint32_t chunk;
    uint32_t offset;
    uint32_t len;
    uint8_t priority; /* of READ: enum fetch_priority, as the asker said */
    struct kith_bytes head;
    struct kith_bytes data;
};

struct serve_output {
    const struct serve_action *actions;
    size_t actions_n;
};

int fs_serve_new(struct serve_core **core_out, const struct serve_config *config);
void fs_serve_free(struct serve_core *core); /* NULL is fine */

/*
 * One event. 0; KITH_E_CORRUPT for a frame that does not decode (counted; what came before the
 * damage counts); KITH_E_MEMORY. @out is valid whatever is returned. There is no time in here.
 */
int fs_serve_step(struct serve_core *core,
                  const struct serve_event *event,
                  struct serve_output *out);

struct serve_stats {
    uint64_t peers, asks;       /* now; asks that wait or are being answered */
    uint64_t reads, read_bytes; /* under way */
    uint64_t read_bytes_most;
    uint64_t asks_in, cancels_in; /* ever */
    uint64_t bytes_out, chunks_out, refused_unknown, refused_busy, refused_unreadable, bad_frames;
};
void fs_serve_stats(const struct serve_core *core, struct serve_stats *stats_out);
/* Bytes sent to @peer since it is up; 0 if it is not. */
uint64_t fs_serve_bytes_to(const struct serve_core *core, const struct kith_node_id *peer);
void fs_serve_check(const struct serve_core *core);

#endif
