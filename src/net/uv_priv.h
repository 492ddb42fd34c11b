/*
 * What the files of the driver share. Nothing outside src/net/uv_*.c includes this.
 *
 *   uv_net.c        the facade: opening, closing, timers, the flush of each loop turn, the spin
 *   uv_peer.c       the table of known peers, their addresses, boot numbers, and who stays open
 *   uv_listen.c     the listening sockets, the table of unauthenticated connections
 *   uv_handshake.c  from the first byte of a connection to an adopted stream; simultaneous opens
 *   uv_dial.c       racing the addresses of a peer; back-off
 *   uv_stream.c     an authenticated connection: records in, frames out, keep-alive, closing
 *   uv_write.c      queues and what leaves: one seal and one write a loop turn
 *   uv_udp.c        sealed datagrams
 *
 * A uv_peer has one uvn_chan per class, for life: that is where frames wait. A uvn_stream is one
 * TCP connection; at most one of a (peer, class) is adopted by its channel at a time, and only an
 * adopted one carries frames. So nothing is lost or reordered by choosing between two connections:
 * what is not adopted has never carried a frame.
 *
 * Callbacks: events run from the loop only (reading, timers, prepare, check), never from inside a
 * function of the facade. What such a function brings about (a stream that ends) is put on a list
 * and told by uvn_settle() at the next of those places.
 */
#ifndef NET_UV_PRIV_H
#define NET_UV_PRIV_H

#include <uv.h>

#include "core/heap.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "net/dgram.h"
#include "net/frame.h"
#include "net/handshake.h"
#include "net/record.h"
#include "net/uv_addr.h"
#include "net/uv_net.h"

/* ---- numbers of the driver ---- */

/* One read: a few records, so that a bulk stream needs a system call per some 250 KiB. */
#define UVN_RX_BYTES (256 * 1024)
/* A stream that always finds room in its socket lets the others go after so many bytes a turn. */
#define UVN_TURN_BYTES_MAX (512 * 1024)
/* Frames of a turn that leave before it ends: see leave_ahead(). */
#define UVN_AHEAD_BYTES 2560
/* Streams that uv_net_poll() tries. */
#define UVN_HOT_MAX 4
/* Between the starts of two attempts of one dial (happy eyeballs). */
#define UVN_DIAL_STAGGER_MS  100
#define UVN_BACKOFF_FIRST_MS 200
#define UVN_BACKOFF_MAX_MS   30000
/* A send meanwhile waits for the next attempt if that is as near as this; else it is refused. */
#define UVN_BACKOFF_WAIT_MS 1000
/* Nothing came for so long: a PING; and again so long without an answer: the stream ends. */
#define UVN_KEEPALIVE_IDLE_MS   10000
#define UVN_KEEPALIVE_ANSWER_MS 10000
/* Sent bytes not acknowledged by the other host for so long end the connection. */
#define UVN_TCP_USER_TIMEOUT_MS 10000
/* A second connection of one class waits so long for proof that the first is alive. */
#define UVN_PARK_PROBE_MS 1500
/* An orderly end waits so long for the peer's own end. */
#define UVN_LINGER_MS 3000
/* A peer unused for so long may be closed when more than NET_PEERS_OPEN_IDLE_MAX are open. */
#define UVN_IDLE_MS 10000
/* Connections taken in one turn, so that a flood of them leaves the loop to the peers. */
#define UVN_ACCEPTS_TURN_MAX 64
/* Without descriptors nothing is accepted for so long. */
#define UVN_ACCEPT_PAUSE_MS 100
#define UVN_LOG_PERIOD_MS   60000
/* Blocks of large frames are given back after one to two of these without any. */
#define UVN_BLOCKS_MS 2000
/* Bulk credit is returned in steps of this. */
#define UVN_CREDIT_STEP_BYTES (NET_BULK_WINDOW_BYTES / 4)
/* Datagrams without an answer, after which other addresses are tried in turn. */
#define UVN_UDP_SILENT_MAX    4
#define UVN_BOOT_ANSWER_MS    1000
#define UVN_DIALS_WAITING_MAX 8192

struct uvn_timer {
    struct heap_node node;
    void (*fn)(struct uvn_timer *timer);
};

/* Things a peer or stranger can make us log: one line a minute each, with the count held back. */
enum uvn_log_kind {
    UVN_LOG_REFUSED_VERSION,
    UVN_LOG_REFUSED_CLUSTER,
    UVN_LOG_REFUSED_SECRET,
    UVN_LOG_WE_REFUSED_VERSION, /* we are the one who refuses */
    UVN_LOG_WE_REFUSED_CLUSTER,
    UVN_LOG_WE_REFUSED_SECRET,
    UVN_LOG_HANDSHAKE,
    UVN_LOG_PROTOCOL,
    UVN_LOG_ACCEPT,
    UVN_LOG_EVICTED,
    UVN_LOG_STALE_BOOT,
    UVN_LOG_OUR_BOOT,
    UVN_LOG_UDP,
    UVN_LOG_KINDS_N,
};

/* ---- a stream: one TCP connection ---- */

enum uvn_state {
    UVN_CONNECTING, /* ours: TCP is being set up */
    UVN_HANDSHAKE,  /* Noise */
    UVN_HELLO,      /* ours: message 3 is out, the peer's Hello decides */
    UVN_PARKED,     /* theirs: authenticated, waits whether another one stays */
    UVN_OPEN,       /* adopted */
    UVN_LINGER,     /* we said CLOSE, reading what is still under way */
    UVN_CLOSED,     /* uv_close was called */
};

struct uvn_stream {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct uv_net *net;
    struct uv_peer *peer;  /* NULL until known, and again once forgotten */
    struct uvn_chan *chan; /* while OPEN */
    struct uvn_dial *dial; /* ours, until adopted */
    enum uvn_state state;
    enum net_class net_class;
    bool initiator;
    bool dirty;      /* in net->dirty or net->again */
    bool writing;    /* a uv_write is under way */
    bool pinged;     /* a PING is out and nothing came since */
    bool ping_late;  /* its answer got one more chance */
    bool discard;    /* LINGER after a disconnect: what still comes is dropped */
    bool gone;       /* libuv is done with it; only the report is owed */
    bool reading;    /* uv_read_start was called */
    bool hs_counted; /* in net->handshakes */
    bool open_told;  /* stream_open was called, so stream_closed is owed */
    bool keep_queue; /* frames queued behind it wait for the next stream */
    uv_os_fd_t fd;
    uint64_t boot_no;        /* of the peer, proven by this stream */
    struct list link;        /* net->streams */
    struct list hs_link;     /* net->handshakes, oldest first */
    struct list dial_link;   /* dial->attempts */
    struct list dirty_link;  /* net->dirty, net->again */
    struct list report_link; /* net->reports */
    struct uvn_timer timer;  /* what it waits for depends on the state */
    union uvn_addr remote;
    struct handshake *hs; /* until adopted or parked */
    uint8_t remote_dh_pk[NET_PUBLIC_KEY_BYTES];

    /* receiving */
    struct record_in in;
    struct frame_reader reader;
    struct frame_chunk *partial; /* beginning of a record (or of the handshake's rest) */
    uint64_t rx_ms;              /* loop time of the last read */
    uint64_t ping_ms;
    uint64_t rx_turn;     /* net->turn of the last read, */
    size_t rx_turn_bytes; /* and what was read in it */
    uint32_t credit_used; /* bulk bytes consumed and not yet returned */
    int64_t rx_window;    /* bulk bytes the peer may still send */

    /* sending */
    struct record_out out;
    struct buf ctl;           /* frames of the channel itself, sent as a record of their own */
    struct frame_chunk *wire; /* being written by @write */
    uv_write_t write;

    char reason[160]; /* why it ended */
};

/* ---- a peer and its three channels ---- */

struct uvn_chan {
    struct uv_peer *peer;
    enum net_class net_class;
    struct uvn_stream *stream; /* the adopted one, or NULL */
    struct uvn_stream *parked; /* a second one, waiting whether it is needed */
    struct uvn_dial *dial;     /* ours for this channel, or NULL */
    struct frame_writer writer;
    struct list bulk_waiting; /* bulk only: frames that wait for credit */
    size_t bulk_bytes;        /* of those, with their heads */
    int64_t tx_window;        /* bulk only: bytes that may still be given to the writer */
    bool refused;             /* a send met the bound: drained is owed */
    size_t room_below;        /* drained is owed once less than this is queued; 0: nobody asked */
    bool wanted; /* it was asked for and is not open: open, unreachable or given_up is owed */
    struct list given_up_link; /* net->given_up */
    size_t ahead;              /* rpc only: bytes added since what left ahead of the turn's end */
    size_t ahead_max;          /* so many leave at once */
};

struct uvn_address {
    char text[KITH_ADDRESS_TEXT_MAX + 1];
    union uvn_addr addr; /* none: a name, resolved when dialled */
    uint64_t worked_ms;  /* when it last did; 0: never */
};

struct uv_peer {
    struct uv_net *net;
    struct kith_node_id id;
    uint8_t sign_pk[NET_PUBLIC_KEY_BYTES];
    uint8_t dh_pk[NET_PUBLIC_KEY_BYTES];
    bool dh_known;
    uint64_t hint;
    struct boot_seen boot;
    struct uvn_chan chans[NET_CLASSES_N];
    struct frame_budget queue;
    struct frame_budget assembly;
    struct uvn_address *addresses; /* those that worked first */
    size_t addresses_n;
    void *user;
    struct list open_link; /* net->open_peers, least recently used first */
    uint64_t used_ms;
    unsigned dial_failures;
    uint64_t dial_next_ms;    /* back-off */
    char dial_reason[200];    /* why the last dial failed */
    struct list drain_link;   /* net->drains */
    struct dgram_peer *dgram; /* NULL until first needed */
    union uvn_addr udp;       /* where datagrams go, once known */
    unsigned udp_silent;      /* sent since one came back */
    unsigned udp_turn;
    uint64_t boot_answer_ms; /* no BOOT answer before */
};

/*
 * What must outlive a forgotten peer: without them a datagram of before could be played again once
 * it is learned anew. No key: that is derived again. Of the window the highest counter is enough,
 * as what was under way when the peer was forgotten may be lost.
 */
struct uvn_forgotten {
    struct list link; /* net->forgotten_by_age, oldest first */
    struct kith_node_id id;
    struct boot_seen boot;
    uint64_t counter_next; /* of that boot: all below are refused */
};

/* ---- a dial: all addresses of somebody raced for one stream ---- */

#define UVN_CANDIDATES_MAX (2 * NET_ADDRESSES_PER_PEER_MAX)

struct uvn_dial {
    struct list link; /* net->dials, or net->dials_waiting */
    struct uv_net *net;
    struct uv_peer *peer; /* NULL: first contact with @address */
    enum net_class net_class;
    char address[256]; /* first contact: as given */
    void (*done)(void *user, int status, struct uv_peer *peer);
    void *user;
    union uvn_addr candidates[UVN_CANDIDATES_MAX];
    unsigned candidates_n, next;
    struct list attempts;
    unsigned attempts_n;
    struct list resolves;
    struct uvn_stream *chosen; /* message 3 is out on it */
    struct uvn_timer timer;    /* the next attempt */
    bool begun;
    bool ending;
    unsigned boot_retries;
    int code; /* the most telling failure so far */
    char reason[200];
};

struct uv_net {
    uv_loop_t *loop;
    struct log *log;
    const struct net_identity *identity;
    const struct net_cluster *cluster;
    struct net_cluster_keys keys;
    struct handshake_config hs_config;
    uint64_t boot_no;
    uint64_t instance;
    uint64_t hint;
    uint8_t role;
    char name[MEMBER_NAME_BYTES_MAX + 1];
    uint32_t rpc_frame_bytes_max;
    size_t queue_bytes_max;
    struct uv_net_events events;
    void *user;

    uv_poll_t listener;
    int listen_fd;
    int spare_fd; /* given up for a moment when there are no others */
    uv_udp_t udp;
    union uvn_addr bound;
    bool udp_v6; /* the socket is dual-stack: IPv4 goes out mapped */
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t idle; /* active while net->again is not empty: the loop must not sleep */
    uv_timer_t timer;
    struct heap timers;
    uint64_t timer_armed_ms; /* UINT64_MAX: not */
    unsigned handles_n;
    unsigned requests_n; /* address look-ups under way */

    struct mapid peers;
    struct mapid forgotten; /* of struct uvn_forgotten, at most NET_FORGOTTEN_MAX */
    struct list forgotten_by_age;
    struct map64 hints;   /* datagram hint to peer */
    struct map64 dh_keys; /* first bytes of the X25519 key to peer */
    struct list open_peers;
    unsigned open_peers_n;
    unsigned open_peers_max, open_peers_idle_max; /* NET_PEERS_OPEN_*; tests set less */
    uint64_t idle_ms;
    uint64_t handshake_ms; /* NET_HANDSHAKE_DEADLINE_MS; tests set others */
    struct list streams;
    struct list handshakes;
    unsigned handshakes_n;
    struct list dirty;
    struct list again;
    struct list reports;   /* ended streams that were told open */
    struct list adoptions; /* parked streams to adopt, by report_link too */
    struct list drains;    /* peers whose queue may have drained */
    struct list given_up;  /* channels that are wanted, and nothing opens them any more */
    struct uvn_stream *hot[UVN_HOT_MAX];
    unsigned polls;
    uint64_t turn; /* of the loop */
    struct list dials;
    struct list dials_waiting;
    unsigned dials_waiting_n;
    unsigned attempts_n;
    struct uvn_timer trim_timer;
    struct uvn_timer accept_timer;
    struct uvn_timer blocks_timer; /* gives the blocks of large frames back when none came */

    struct frame_pool pool;
    struct frame_chunk *wire;        /* where the next record is sealed to */
    struct frame_budget no_assembly; /* of streams whose peer is not known yet */
    uint8_t *rx;
    uint8_t *udp_rx;
    bool rx_busy;
    bool settling;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;

    uint64_t stale_boot_ms; /* our boot_no is not raised again before */
    struct log_limit limits[UVN_LOG_KINDS_N];
    struct uv_net_stats stats;
};

/* ---- uv_net.c ---- */

/* Monotonic milliseconds, read now (not the loop's cached time). */
uint64_t uvn_now_ms(void);
void uvn_timer_set(struct uv_net *net, struct uvn_timer *timer, uint64_t at_ms);
void uvn_timer_stop(struct uv_net *net, struct uvn_timer *timer);
/* Tells what has ended, adopts what is to be adopted. Only where no function of the facade is
 * below. */
void uvn_settle(struct uv_net *net);
void uvn_reports(struct uv_net *net);
/* True once a minute per @kind; *held_out has the digits of those held back, or "". */
bool uvn_log_pass(struct uv_net *net, enum uvn_log_kind kind, char held_out[24]);
void uvn_handle_closed(struct uv_net *net);
/* A large frame came: its block is kept for the next, for a while. */
void uvn_blocks_used(struct uv_net *net);
/* Our boot_no was called stale: raises it. True if it is above @seen now. */
bool uvn_stale_boot(struct uv_net *net, uint64_t seen);

/* ---- uv_peer.c ---- */

int uvn_peer_dh(struct uv_net *net,
                struct uv_peer *peer); /* computes dh_pk once. 0 or KITH_E_CORRUPT */
/* A handshake proved its X25519 key. */
void uvn_peer_dh_set(struct uv_net *net,
                     struct uv_peer *peer,
                     const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES]);
struct uv_peer *uvn_peer_by_dh(struct uv_net *net, const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES]);
/* Notes that @addr works for TCP (and so for UDP). */
void uvn_peer_worked(struct uv_peer *peer, const union uvn_addr *addr);
/* A proven boot: true and streams of older boots closed, or false if it is stale. */
bool uvn_peer_boot(struct uv_net *net, struct uv_peer *peer, uint64_t boot_no, uint64_t instance);
void uvn_peer_opened(struct uv_net *net, struct uv_peer *peer); /* has an open stream now */
void uvn_peer_heard(struct uv_peer *peer); /* a sign of life outside of streams: less back-off */
/* Takes what is kept of @id off the table; NULL if nothing. The caller frees it. */
struct uvn_forgotten *uvn_forgotten_take(struct uv_net *net, const struct kith_node_id *id);
void uvn_forgotten_free(struct uv_net *net);
void uvn_peer_used(struct uv_net *net, struct uv_peer *peer);
/* Makes room for one more open peer: false if all are busy. */
bool uvn_peer_room(struct uv_net *net, const struct uv_peer *peer);
void uvn_peer_check_open(struct uv_net *net, struct uv_peer *peer);
void uvn_peers_free(struct uv_net *net);
void uvn_trim_due(struct uvn_timer *timer);
/* A stream, dial or parked connection of @chan has gone: notes it for uvn_given_up() if that was
 * the last that could answer whoever wants it. */
void uvn_chan_check(struct uvn_chan *chan);
void uvn_given_up(struct uv_net *net); /* tells them */

/* ---- uv_listen.c ---- */

void uvn_accept_due(struct uvn_timer *timer);
int uvn_listen(struct uv_net *net, const char *listen_text, uint16_t port_kept);
void uvn_handshake_counted(struct uv_net *net, struct uvn_stream *stream);
void uvn_handshake_uncounted(struct uv_net *net, struct uvn_stream *stream);

/* ---- uv_handshake.c ---- */

/* Feeds @len bytes to a connection that is not open yet; returns how many were used. */
size_t uvn_handshake_input(struct uvn_stream *stream, const uint8_t *data, size_t len);
/* Starts our side once TCP is there. */
void uvn_handshake_start(struct uvn_stream *stream);
void uvn_handshake_hello_due(struct uvn_timer *timer); /* deadline of a handshake */
/* The first frame after our message 3. */
void uvn_hello_frame(struct uvn_stream *stream, const struct net_frame *frame);
/* The first frame was CLOSE instead. */
void uvn_hello_refused(struct uvn_stream *stream, enum frame_close_reason reason, uint64_t arg);
void uvn_adopt_parked(struct uvn_stream *stream);
/* The adopted stream proved alive, or an own dial won: the parked one goes. */
void uvn_park_drop(struct uvn_chan *chan, const char *reason);
/* No other one is in the way any more. */
void uvn_park_adopt(struct uvn_chan *chan);
/* The peer ended the connection before the handshake was done. */
int uvn_handshake_eof(struct uvn_stream *stream);
void uvn_hello_fill(struct uv_net *net,
                    struct hello *hello,
                    enum net_class net_class,
                    const union uvn_addr *observed);

/* ---- uv_dial.c ---- */

/* Opens (or waits for) a stream of @chan. @now: without regard to back-off. 0 or KITH_E_*. */
int uvn_chan_connect(struct uvn_chan *chan, bool now);
/* @stream, an attempt, is being closed: its dial goes on without it, at the latest from its timer.
 */
void uvn_dial_attempt_closed(struct uvn_stream *stream, const char *reason);
/* An attempt ended without a stream. */
void uvn_dial_attempt_failed(struct uvn_stream *stream, int code, const char *reason);
/* @stream has read a good message 2: true if it may go on (and all others of its dial stop). */
bool uvn_dial_choose(struct uvn_stream *stream);
/* Ends @dial; @done and unreachable run from here. */
void uvn_dial_end(struct uvn_dial *dial, int code, struct uv_peer *peer);
/* All dials that were meant for (peer, class) are served. */
void uvn_dials_served(struct uv_net *net, struct uv_peer *peer, enum net_class net_class);
/* An own attempt at (the node with this key, class) that has sent message 3; NULL if none. */
struct uvn_stream *uvn_dial_pending(struct uv_net *net,
                                    const uint8_t dh_pk[NET_PUBLIC_KEY_BYTES],
                                    enum net_class net_class);
void uvn_dials_close(struct uv_net *net);
void uvn_dials_forget(struct uv_net *net, struct uv_peer *peer);
/* @stream was adopted: it is none of its dial's attempts any more. */
void uvn_dial_release(struct uvn_stream *stream);
/* After our boot_no was raised. */
void uvn_dial_again(struct uvn_dial *dial);

/* ---- uv_stream.c ---- */

struct uvn_stream *uvn_stream_new(struct uv_net *net);
int uvn_stream_read_start(struct uvn_stream *stream);
/* Ends it now: no more callbacks, queue of its channel dropped unless keep_queue, report queued. */
void uvn_stream_close(struct uvn_stream *stream, const char *reason);
/* As close, after what is queued and a CLOSE frame were given to the kernel, as far as it takes
 * them. */
void uvn_stream_end(struct uvn_stream *stream,
                    enum frame_close_reason close_reason,
                    uint64_t arg,
                    const char *reason);
/* Sends a CLOSE frame if it can; the stream stays. */
void uvn_stream_say_close(struct uvn_stream *stream, enum frame_close_reason reason, uint64_t arg);
/* Orderly end of an idle one: says CLOSE and reads on until the peer ends too. */
void uvn_stream_linger(struct uvn_stream *stream,
                       enum frame_close_reason close_reason,
                       const char *reason);
/* Handles bytes that were received to net->rx behind the partial ones. */
void uvn_stream_received(struct uvn_stream *stream, size_t n);
/* Where to receive to. */
uv_buf_t uvn_stream_rx(struct uvn_stream *stream);
/* Works through what is held in @partial (after a parked one was adopted). */
void uvn_stream_resume(struct uvn_stream *stream);
void uvn_stream_opened(struct uvn_stream *stream);         /* keep-alive begins */
void uvn_stream_handshake_done(struct uvn_stream *stream); /* wipes and frees what it needed */
void uvn_stream_free(struct uvn_stream *stream);
/* Keeps @len bytes (at most one chunk) for the next read. 0, KITH_E_TOO_LARGE, KITH_E_MEMORY. */
int uvn_stream_keep(struct uvn_stream *stream, const uint8_t *data, size_t len);

/* ---- uv_write.c ---- */

/* Queues a frame of the channel itself. */
int uvn_ctl(struct uvn_stream *stream, uint8_t type, const void *body, size_t len);
void uvn_mark_dirty(struct uvn_stream *stream);
/* Seals and writes what the socket takes. */
void uvn_stream_flush(struct uvn_stream *stream);
void uvn_flush_all(struct uv_net *net);
/* Writes handshake bytes, which always fit the empty socket buffer. 0 or KITH_E_IO. */
int uvn_write_raw(struct uvn_stream *stream, const uint8_t *data, size_t len);
void uvn_chan_init(struct uvn_chan *chan, struct uv_peer *peer, enum net_class net_class);
/* Drops the queue: releases run. */
void uvn_chan_deinit(struct uvn_chan *chan);
/* Drops the queue and is ready for the next. */
void uvn_chan_drop(struct uvn_chan *chan);
/* Tells of what drained. */
void uvn_drains(struct uv_net *net);
/* The receiver has taken @bytes of bulk: what waits for that goes on. */
void uvn_bulk_credit(struct uvn_chan *chan, uint32_t bytes);

/* ---- uv_udp.c ---- */

int uvn_udp_start(struct uv_net *net);
void uvn_udp_boot(struct uv_peer *peer, uint64_t boot_no);

/* ---- uv_os_*.c: what differs between systems ---- */

int uvn_os_socket(int family, int type); /* close-on-exec, non-blocking; as socket() */
int uvn_os_accept(int fd, struct sockaddr *from, socklen_t *from_len); /* likewise; as accept() */
int uvn_os_spare(void); /* a descriptor that stands for nothing, or -1 */
void uvn_os_tcp_options(uv_os_fd_t fd, unsigned user_timeout_ms);

#endif
