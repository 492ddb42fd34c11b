/*
 * Frames: types and classes, the sending side that packs them into records, and the receiving side
 * that finds them there again. Pure; one thread at a time.
 *
 * A frame on the wire is an 8-byte head and its body:
 *
 *     u32 body length, u8 type, u8 flags, u16 fragment id          (all little-endian)
 *
 * - A whole frame has flags 0 and id 0 and at most FRAME_WHOLE_BYTES_MAX of body. Its bytes are
 * contiguous in the stream; it may run over the end of a record.
 * - A larger frame (class rpc only) travels as fragments of up to NET_FRAGMENT_BYTES that share an
 * id from 1: the first has FIRST|MORE and its body starts with the u32 total length, the middle
 * ones have MORE, the last has no flag. Fragments of several frames take turns (of about a
 * megabyte), and whole frames go between them. A fragment has at least one byte of the frame.
 * - Whole frames of a stream keep their order among themselves; a large frame may be overtaken.
 * - The receiver bounds what it assembles: NET_FRAGMENTS_OPEN_MAX frames and a budget of bytes, by
 * their announced totals. The sender keeps within the same numbers, so only a broken peer meets
 * them.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "net/record.h"

enum net_class {
    NET_CONTROL = 0, /* membership, registry, and later leases, views, mutexes */
    NET_RPC = 1,     /* calls and replies */
    NET_BULK = 2,    /* file chunks; credit window */
};

#define FRAME_HEAD_BYTES 8
/* Longest body of a frame that is not cut. */
#define FRAME_WHOLE_BYTES_MAX (64 * 1024 + 1024)

/* Types below 16 belong to the channel itself and never reach the rooms above. */
enum frame_type {
    FRAME_HELLO = 1,  /* first frame of the responder (net.proto Hello) */
    FRAME_REKEY = 2,  /* last of its record; empty; handled by frame_reader */
    FRAME_CREDIT = 3, /* bulk window: u32 more bytes of bulk frames may come */
    FRAME_CLOSE = 4,  /* orderly end: u8 enum frame_close_reason, u64 argument */
    FRAME_PING = 5,   /* keep-alive and address check: up to 16 bytes, given back */
    FRAME_PONG = 6,
    FRAME_CHANNEL_LAST = 15,

    FRAME_MEMBER_PUSH_PULL = 16, /* control: member.proto PushPull */
    FRAME_MEMBER_PUSH_PULL_REPLY = 17,
    FRAME_MEMBER_LAST = 31,

    FRAME_REGISTRY = 32,      /* control: rpc.proto RegistryUpdate */
    FRAME_REGISTRY_PULL = 33, /* control: rpc.proto RegistryPull */
    FRAME_WATCH = 34,         /* control: rpc.proto Watch */
    FRAME_COMPLETIONS = 35,   /* control: rpc.proto Completions */
    FRAME_REGISTRY_LAST = 47,

    FRAME_CALL = 48, /* rpc: rpc/wire.h */
    FRAME_CALL_ACK = 49,
    FRAME_RESULT = 50,
    FRAME_CANCEL = 51,
    FRAME_PARTIAL = 52,
    FRAME_CALL_LAST = 63,

    /* Shared state. Bodies above 60 KiB travel on the class rpc, all others on control; what is
     * said does not depend on the order between the two. */
    FRAME_VIEW = 64, /* view/wire.h */
    FRAME_VIEW_LAST = 71,
    FRAME_DVAR = 72, /* dvar/wire.h: copies, sessions, caches */
    FRAME_DVAR_SYMBOLS = 73,
    FRAME_DVAR_AVAILABLE = 74,
    FRAME_DVAR_ITEMS = 75, /* states of items of maps (node/fn_state.c) */
    FRAME_DVAR_LAST = 79,
    FRAME_MUTEX = 80, /* mutex/wire.h */
    FRAME_MUTEX_LAST = 87,
    FRAME_FS = 88,      /* control: the catalogue of files (fs/wire.h) */
    FRAME_FS_ASK = 89,  /* control: which chunks are wanted (fs/fetch_wire.h), so that an ask does
                           not wait behind data that flows the same way */
    FRAME_FS_DATA = 90, /* bulk: their bytes */
    FRAME_FS_KEEP = 91, /* control: who holds a copy, really (fs/keep.h) */
    FRAME_FS_LAST = 95,
};

enum frame_flags {
    FRAME_FIRST = 1 << 0, /* first fragment: body starts with u32 total length */
    FRAME_MORE = 1 << 1,  /* more fragments of this id follow */
};

/* Longest frame of @net_class (fragments put together), by default. */
uint32_t frame_bytes_max(enum net_class net_class);

/* Whether @type may travel on a stream of @net_class (channel types on all). */
static inline bool frame_type_fits(uint8_t type, enum net_class net_class)
{
    if (type == 0)
        return false;
    if (type <= FRAME_CHANNEL_LAST)
        return true;
    if (type <= FRAME_REGISTRY_LAST)
        return net_class == NET_CONTROL;
    if (type <= FRAME_CALL_LAST)
        return net_class == NET_RPC;
    return true; /* of later versions; the rooms above ignore what they do not know */
}

/* ---- small bodies of the channel's own frames ---- */

enum frame_close_reason {
    FRAME_CLOSE_NORMAL = 0,    /* node stops, or the user said disconnect */
    FRAME_CLOSE_IDLE = 1,      /* least recently used above the limit */
    FRAME_CLOSE_DUPLICATE = 2, /* a simultaneous open; the other stream stays */
    FRAME_CLOSE_BOOT = 3,      /* stale boot_no; the argument is the highest seen */
    FRAME_CLOSE_FORGOTTEN = 4, /* the peer was told to forget us */
    FRAME_CLOSE_PROTOCOL = 5,  /* we sent what it cannot accept */
    FRAME_CLOSE_REASON_LAST = 5,
};
#define FRAME_CLOSE_BYTES 9
void frame_close_encode(enum frame_close_reason reason,
                        uint64_t arg,
                        uint8_t out[FRAME_CLOSE_BYTES]);
/* 0 or KITH_E_PARSE. A reason not known here is given as FRAME_CLOSE_NORMAL. */
int frame_close_decode(const uint8_t *body,
                       size_t len,
                       enum frame_close_reason *reason_out,
                       uint64_t *arg_out);
const char *frame_close_text(enum frame_close_reason reason);

#define FRAME_CREDIT_BYTES 4
void frame_credit_encode(uint32_t bytes, uint8_t out[FRAME_CREDIT_BYTES]);
int frame_credit_decode(const uint8_t *body,
                        size_t len,
                        uint32_t *bytes_out); /* 0 or KITH_E_PARSE */

#define FRAME_PING_BYTES_MAX 16

/* ---- a bound shared by several streams ---- */

struct frame_budget {
    size_t used;
    size_t max;
};

/* ---- chunks: where frames wait to be sealed, and what a driver may use for wire bytes ---- */

/* Bytes of a chunk: one full record on the wire, and then some. */
#define FRAME_CHUNK_BYTES (NET_RECORD_WIRE_BYTES_MAX + 1)

struct frame_chunk {
    struct frame_chunk *next;
    uint32_t len;
    bool mid_frame; /* its end is not the end of a frame */
    uint8_t data[FRAME_CHUNK_BYTES];
};

/* A block of a large frame that was delivered, kept for the next one of about its size. */
struct frame_block {
    uint8_t *data;
    size_t bytes;
};

/* A stock of free chunks and blocks, shared by all streams of a loop, so that the steady state
 * allocates nothing. */
struct frame_pool {
    struct frame_chunk *free;
    unsigned free_n;
    unsigned keep_max;                              /* more than these are given back to the heap */
    struct frame_block blocks[NET_BLOCKS_KEPT_MAX]; /* the latest last */
    unsigned blocks_n;
    size_t blocks_bytes;
    bool blocks_used; /* since the last frame_pool_trim() */
};
void frame_pool_init(struct frame_pool *pool, unsigned keep_max);
void frame_pool_deinit(
    struct frame_pool *pool); /* frees the stock; chunks in use are their users' */
struct frame_chunk *frame_pool_get(struct frame_pool *pool); /* empty; NULL if memory is short */
void frame_pool_put(struct frame_pool *pool, struct frame_chunk *chunk); /* NULL is fine */
/*
 * A block for a frame of @len bytes, from malloc() or the stock of @pool (may be NULL); and back to
 * the stock. Fine to free() instead.
 */
uint8_t *frame_block_get(struct frame_pool *pool, size_t len);
void frame_block_put(struct frame_pool *pool, uint8_t *data, size_t len);
/* Gives the blocks back to the heap, unless one was used since the last call. True if some are
 * left. */
bool frame_pool_trim(struct frame_pool *pool);

/* ---- sending: queue frames, take records ---- */

struct frame_writer {
    enum net_class net_class;
    uint32_t frame_bytes_max;
    struct frame_pool *pool;
    struct frame_budget *budget;      /* of the peer's queue */
    size_t queued;                    /* this stream's part of it */
    struct frame_chunk *first, *last; /* whole frames, in order */
    struct list waiting;              /* large frames without an id yet, in order */
    struct list open;                 /* large frames that have begun; a ring */
    unsigned open_n;
    size_t open_bytes; /* their totals */
    uint16_t next_id;
    bool mid_frame;     /* the last record ended inside a whole frame */
    unsigned large_run; /* fragments that the first of open has given in its turn */
    bool large_turn;    /* the next record starts with a fragment if it can */
};

/*
 * @frame_bytes_max: 0 for frame_bytes_max(net_class). @pool and @budget are borrowed for life.
 */
void frame_writer_init(struct frame_writer *writer,
                       enum net_class net_class,
                       uint32_t frame_bytes_max,
                       struct frame_pool *pool,
                       struct frame_budget *budget);
/* Drops what is queued (running releases). May run twice, or on a zeroed one. */
void frame_writer_deinit(struct frame_writer *writer);

/*
 * Queues one frame whose body is @parts put together; copied. 0; KITH_E_TOO_LARGE; KITH_E_BUSY if
 * the budget is used up; KITH_E_MEMORY. On failure nothing was queued.
 */
int frame_writer_add(struct frame_writer *writer,
                     uint8_t type,
                     const struct kith_bytes *parts,
                     size_t parts_n);

/*
 * As frame_writer_add() with a small @head (at most FRAME_TAKE_HEAD_BYTES_MAX, copied) and a large
 * @body. Above FRAME_WHOLE_BYTES_MAX together the body is not copied but sealed from where it
 * stands; @release runs exactly once, when it is no longer needed: before this returns (smaller
 * bodies, and every failure), in frame_writer_seal() as its last act, or in frame_writer_deinit().
 * @release may be NULL.
 */
#define FRAME_TAKE_HEAD_BYTES_MAX 256
int frame_writer_add_take(struct frame_writer *writer,
                          uint8_t type,
                          struct kith_bytes head,
                          struct kith_bytes body,
                          void (*release)(void *arg),
                          void *release_arg);

/*
 * The stream is gone and what is queued goes on with the next one: large frames that have begun
 * begin anew there, whole, before those that wait. (The receiver dropped its part with the stream,
 * and had no last fragment: with that the frame would have left the queue.) Their bytes count
 * again, which may pass the budget. Not in the middle of a whole frame (mid_frame), whose first
 * part is gone.
 */
void frame_writer_restart(struct frame_writer *writer);

/* True if frame_writer_seal() has something to seal. */
bool frame_writer_pending(const struct frame_writer *writer);

/*
 * Composes the next record of what is queued (up to NET_RECORD_FILL_BYTES) and seals it to @wire,
 * which has room for NET_RECORD_WIRE_BYTES_MAX. Rekeys when it is due. *len_out is 0 if nothing is
 * queued. 0; what record_seal() may return, after which the stream must end.
 */
int frame_writer_seal(struct frame_writer *writer,
                      struct record_out *record,
                      uint64_t now_ms,
                      uint8_t *wire,
                      size_t *len_out);

/* ---- receiving: give records, take frames ---- */

/* A frame that came in. Borrowed until the next call on its reader, but for @owned. */
struct net_frame {
    enum net_class net_class;
    uint8_t type;
    const uint8_t *body;
    size_t len;
    uint8_t *owned; /* not NULL: the malloc'ed block that holds body; see net_frame_take() */
    struct frame_pool *pool; /* takes the block back if it was not taken; may be NULL */
};

/*
 * Takes the block that holds the body over: returns it (the caller frees it with free(); body stays
 * valid as long) or NULL if the body is small and lives in the receive buffer: then copy.
 */
uint8_t *net_frame_take(struct net_frame *frame);

/* After handling a frame: frees its block, or keeps it for the next, if it was not taken. */
void net_frame_done(struct net_frame *frame);

struct frame_assembly; /* a large frame that is coming in */

struct frame_reader {
    enum net_class net_class;
    uint32_t frame_bytes_max;
    struct frame_budget *budget; /* of what is assembled for the peer */
    struct frame_pool *pool;     /* for blocks; set after init, or NULL: from the heap */
    struct map64 open;           /* of struct frame_assembly, by id */
    const uint8_t *data;         /* plaintext of the record that is being read */
    size_t len;
    size_t at;
    struct buf pending;           /* head and beginning of a frame that runs over records */
    bool pending_given;           /* what stands there was given by the last frame_reader_next() */
    struct frame_assembly *ready; /* complete, to be given next */
    struct record_in *record;     /* to rekey */
    int failed;                   /* the code that ended it */
};

/* @frame_bytes_max: 0 for frame_bytes_max(net_class). @budget is borrowed for life. */
void frame_reader_init(struct frame_reader *reader,
                       enum net_class net_class,
                       uint32_t frame_bytes_max,
                       struct frame_budget *budget);
/* Frees what is unfinished. May run twice, or on a zeroed one. */
void frame_reader_deinit(struct frame_reader *reader);

/*
 * Opens the whole record at @wire (see record_wire_len()): in place, or, when it brings on a large
 * frame, straight into that frame's block. The bytes at @wire stay until frame_reader_next() has
 * returned 0; only then may the next record be opened. 0; else as record_open(): the stream must
 * end.
 */
int frame_reader_open(struct frame_reader *reader,
                      struct record_in *record,
                      uint8_t *wire,
                      size_t wire_len);

/* For tests and the simulator: @len bytes of plaintext that came without a record. Likewise. */
void frame_reader_feed(struct frame_reader *reader, const uint8_t *plain, size_t len);

/*
 * The next frame: 1 and *frame_out; 0 when the record is used up. FRAME_REKEY is handled inside and
 * not given. Negative, after which the stream must end: KITH_E_PARSE (breaks the rules above),
 * KITH_E_TOO_LARGE (length beyond its cap), KITH_E_LIMIT (too much to assemble), KITH_E_MEMORY.
 * Each sets kith_errmsg(). Lengths are checked before anything is allocated.
 */
int frame_reader_next(struct frame_reader *reader, struct net_frame *frame_out);

/* ---- one head, for those who write frames by themselves ---- */

struct frame_head {
    uint32_t len;
    uint8_t type;
    uint8_t flags;
    uint16_t id;
};
static inline void frame_head_encode(const struct frame_head *head, uint8_t out[FRAME_HEAD_BYTES])
{
    put_le32(out, head->len);
    out[4] = head->type;
    out[5] = head->flags;
    put_le16(out + 6, head->id);
}
static inline struct frame_head frame_head_decode(const uint8_t in[FRAME_HEAD_BYTES])
{
    return (struct frame_head){
        .len = get_le32(in),
        .type = in[4],
        .flags = in[5],
        .id = get_le16(in + 6),
    };
}

#endif
