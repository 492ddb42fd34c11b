/*
 * Every limit of the project, with its reason. Reaching one is a tested path: the thing is refused
 * with its own error or dropped and counted, never silently lost.
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include <assert.h>

#include "kith/api.h"

/* ---- frames and records (protocols 5.1) ---- */

/* Wire size of one record: one loopback segment, which is 6 to 11 % faster than a full 64 KiB. */
#define NET_RECORD_WIRE_BYTES_MAX 65483
/* Plaintext that a peer may put in one record: Noise's 65,535 less the tag. Accepted, not sent. */
#define NET_RECORD_PLAIN_BYTES_MAX 65519
/* Plaintext we put in one record. */
#define NET_RECORD_FILL_BYTES (60 * 1024)
/* Longest body of a frame, by class. Checked before anything is allocated. */
#define NET_CONTROL_FRAME_BYTES_MAX (64 * 1024)
#define NET_BULK_FRAME_BYTES_MAX    (64 * 1024)
#define NET_RPC_FRAME_BYTES_MAX     (16 * 1024 * 1024 + 512) /* body limit plus header */
#define RPC_BODY_BYTES_MAX          (16 * 1024 * 1024)
/* Before an argument that is an item of a map (rpc/item.h). */
#define RPC_ITEM_HEAD_BYTES 32
/* A frame above this is cut into fragments that interleave with small frames. */
#define NET_FRAGMENT_BYTES (56 * 1024)
/* Large frames under reassembly per stream. */
#define NET_FRAGMENTS_OPEN_MAX 256
/* Unsent bytes queued for one peer; above: KITH_E_BUSY to the sender. */
#define NET_PEER_QUEUE_BYTES_MAX (64 * 1024 * 1024)
/* Bytes one peer may have us hold for unfinished large frames. */
#define NET_PEER_ASSEMBLY_BYTES_MAX (64 * 1024 * 1024)
/* Blocks of large frames that were delivered, kept for the next ones while they come (fresh memory
 * costs a page fault each 4 KiB, a third of the whole transfer); given back when none came for a
 * while. */
#define NET_BLOCKS_KEPT_MAX       8
#define NET_BLOCKS_KEPT_BYTES_MAX (32 * 1024 * 1024)
/* Credit window of the bulk class. */
#define NET_BULK_WINDOW_BYTES (1024 * 1024)
/* Streams per peer: one a class. */
#define NET_CLASSES_N               3
#define NET_HANDSHAKES_MAX          256 /* unauthenticated connections at once; then the oldest goes */
#define NET_HANDSHAKES_PER_ADDR_MAX 32 /* of them from one address */
#define NET_HANDSHAKE_DEADLINE_MS   3000
#define NET_DIALS_MAX               64 /* outgoing attempts at once */
#define NET_PEERS_OPEN_MAX          256 /* open peers; least recently used idle ones close above 64 */
#define NET_PEERS_OPEN_IDLE_MAX     64
#define NET_PEER_KEYS_MAX           16384 /* known peers (id, key, addresses) */
#define NET_ADDRESSES_PER_PEER_MAX  16
#define NET_SEEDS_MAX               256
#define NET_REKEY_BYTES             (1024ull * 1024 * 1024)
#define NET_REKEY_MS                (2 * 60 * 1000)

/* ---- datagrams ---- */
#define NET_DGRAM_BYTES_MAX 1200
#define NET_REPLAY_WINDOW   1024
#define NET_PORT_DEFAULT    7117
/* Forgotten peers (about 100 bytes each) of which boot and highest counter are kept against
 * replays, in case that they are learned again; then the oldest goes. As many as there are
 * tombstones. */
#define NET_FORGOTTEN_MAX 4096

/* ---- membership ---- */
#define MEMBER_NODES_MAX         16384
#define MEMBER_NAME_BYTES_MAX    63 /* of a node: a DNS label */
#define MEMBER_VERSION_BYTES_MAX 31
/* A signed record of facts: with everything beside it, it fits one datagram. */
#define MEMBER_RECORD_BYTES_MAX 800
/* Smallest datagram (plaintext) that membership works with. */
#define MEMBER_DATAGRAM_BYTES_MIN 900
/* Messages in one datagram; more are damage. */
#define MEMBER_MESSAGES_MAX 64
/* Distinct accusers of one suspect that are remembered and passed on. */
#define MEMBER_ACCUSERS_MAX 8
/* Indirect echoes under way for others; more are not answered. */
#define MEMBER_RELAYS_MAX 255
/* Tombstones of forgotten nodes; then the oldest goes. */
#define MEMBER_TOMBSTONES_MAX 4096
/* Buckets of a push-pull digest (8 bytes each, so that it fits a control frame). */
#define MEMBER_BUCKETS_MAX 4096

/* ---- calls (protocols 5.6) ---- */
#define RPC_WINDOW_CALLS_MAX               4096 /* calls of one session that the server keeps state of */
#define RPC_SESSIONS_MAX                   10000
#define RPC_QUEUE_FUNCTION_MAX             4096
#define RPC_QUEUE_NODE_MAX                 16384
#define RPC_FUNCTIONS_NODE_MAX             4096
#define RPC_CALLS_PENDING_MAX              65536
#define RPC_RESULTS_KEPT_BYTES_MAX         (64 * 1024 * 1024)
#define RPC_RESULTS_KEPT_SESSION_BYTES_MAX (1024 * 1024)
#define RPC_RESULT_KEPT_MS                 (60 * 1000)
#define RPC_MAPS_MAX                       1024
#define RPC_WATCHES_MAX                    64
#define RPC_COMPLETIONS_QUEUE_MAX          1024
#define RPC_PARTIAL_BYTES_MAX              (64 * 1024)
#define RPC_ERROR_TEXT_BYTES_MAX           4096
#define RPC_LAST_ERROR_BYTES_MAX           200 /* kept of each function's, for people */
#define RPC_TIMEOUT_DEFAULT_MS             30000
/* Arguments and replies up to this size live inside the pooled object of their call. */
#define RPC_INLINE_BYTES 256
/* Bytes of arguments that callers may have us hold in calls queued or running; then BUSY. */
#define RPC_ARGS_HELD_BYTES_MAX         (256 * 1024 * 1024)
#define RPC_ARGS_HELD_SESSION_BYTES_MAX (64 * 1024 * 1024)
/* Nodes that may be up, or down with a session kept. */
#define RPC_PEERS_MAX (16384 + 2048)
/* Texts of one registry entry. */
#define RPC_VERSION_BYTES_MAX     63
#define RPC_DESCRIPTION_BYTES_MAX 255
#define RPC_SIGNATURE_BYTES_MAX   1023
/* Parts of one registry snapshot: all entries at their longest fit. */
#define RPC_REGISTRY_PARTS_MAX 160
/* Functions known of other nodes, all together. */
#define RPC_ENTRIES_MAX 262144
/* Texts of signatures remembered to name both in a refusal. */
#define RPC_SIGNATURES_KNOWN_MAX 1024
/* Refusals that a full channel did not take and that are owed; more are left to the deadline. */
#define RPC_ANSWERS_OWED_MAX 1024

/* ---- views (protocols 5.2) ---- */

/* More voters make every decision slower and survive no more than anybody has had fail. */
#define VIEW_VOTERS_MAX 5
/* One record: its tables at their largest (64 keepers of 45 bytes, 64 slots of 47) and a head. */
#define VIEW_RECORD_BYTES_MAX (8 * 1024)
/* Eligible peers that the view knows; more wait until one of these is gone. */
#define VIEW_PEERS_MAX 256
/* Edges that new records are pushed to; the others ask every two seconds. */
#define VIEW_SUBSCRIBERS_MAX 256
/* Nodes of --expect N: those are the first keepers. */
#define VIEW_EXPECT_MAX 7
/* Messages that wait for the disk; more are dropped, and come again. */
#define VIEW_HELD_MAX 1024

/* ---- variables (protocols 5.4) ---- */

/* Data of one variable. Larger things are files: a write waits for all copies, and a copy that is
 * refreshed travels whole. */
#define DVAR_DATA_BYTES_MAX (1024 * 1024)
/* States of items of maps (kith_state_save()) held at a node, and how long one that was dropped is
 * remembered: longer than an old copy of it is under way. */
#define STATE_ITEMS_BYTES_MAX    (256 * 1024 * 1024)
#define STATE_ITEMS_TOMBSTONE_MS 120000
/* Variables that one node holds, and entries of its table of symbols. */
#define DVAR_VARIABLES_MAX 1000000
/* Operations of this node that are under way; then KITH_E_BUSY. */
#define DVAR_OPS_MAX 65536
/* Bytes of operations that wait in one node, its own and those it orders; then KITH_E_BUSY. */
#define DVAR_HELD_BYTES_MAX (64 * 1024 * 1024)
/* Additions that travel as one (src/dvar/join.c), so that one write cannot use up the numbers of a
 * slot; then another. */
#define DVAR_JOINED_MAX 1024
/* Requests that wait for one variable at its home; then BUSY, and the asker tries again. */
#define DVAR_QUEUE_MAX 4096
/* Records against repetition of one variable: of requests whose asker may still repeat them. */
#define DVAR_RECORDS_MAX 1024
/* Answers without a record that a home remembers for one asker until that has them, and the bytes
 * of all of them; then BUSY, and the asker tries again. */
#define DVAR_ANSWERS_MAX      4096
#define DVAR_ANSWER_BYTES_MAX (32 * 1024 * 1024)
/* Writes that a home has under way; then BUSY, and the asker tries again. */
#define DVAR_WRITES_MAX 16384
/* Nodes that hold a session with this home and may cache (protocols 5.11). */
#define DVAR_SESSIONS_MAX 4096
/* Askers that a home remembers the low-water mark of: all nodes that there may be. */
#define DVAR_CLIENTS_MAX (16384 + 2048)
/* Watches of one node, and of all nodes at one home. */
#define DVAR_WATCHES_MAX 4096
/* Changes that wait for one slow watching node; then only their number is kept. */
#define DVAR_PUSHES_MAX 4096
/* Names of which a watching node remembers what it told of them, while writes before are under way;
 * beyond it a change may be told twice when its home changes. */
#define DVAR_TOLD_MAX 8192

/* Writes of which a copy that watches knows which other copies have them. */
#define DVAR_AHEAD_MAX 256
/* Bytes of one piece of a slot that moves, unless one variable is longer. */
#define DVAR_PIECE_BYTES (48 * 1024)
/* Longest that an operation is repeated; records live longer than that. */
#define DVAR_OP_MS_MAX (60 * 1000)

/* ---- mutexes (protocols 5.5) ---- */

/* Of which one node keeps state, as participant or as home: some 25 MiB; then KITH_E_LIMIT. */
#define MUTEX_NAMES_MAX 65536
/* Of a mutex: with the prefix of its record it is a variable's name. */
#define MUTEX_NAME_BYTES_MAX (KITH_NAME_BYTES_MAX - 7)
/* Who waits for one mutex on one node. */
#define MUTEX_WAITERS_MAX 4096
/* Who holds a place in the queue of one mutex at its home. */
#define MUTEX_QUEUE_MAX 16384
/* Above so many participants a home keeps the queue: a token names each of them (32 bytes). */
#define MUTEX_PARTICIPANTS_TOKEN_MAX 64
/* Of one mutex: its record names each of them, and fits a control frame. */
#define MUTEX_PARTICIPANTS_MAX 1024
/* Of an owner, for people. */
#define MUTEX_OWNER_BYTES_MAX 63
/* Holders and waiters that one node tells of one mutex. */
#define MUTEX_TOLD_MAX 64
/* Edges with a session at one home: all nodes that there may be. */
#define MUTEX_SESSIONS_MAX (16384 + 2048)
/* Owners on whose behalf one waits: commands run under a mutex that run commands under another one.
 * Deeper nesting is cut at the outer end, where cycles are then not seen. */
#define MUTEX_WITHIN_MAX 8
/* Mutexes that a cycle of waits is followed through. */
#define MUTEX_CYCLE_MAX 16
/* Queries and breaks under way that this node asked for. */
#define MUTEX_ASKS_MAX 256

/* What local writes may make of an available variable: bytes of its data, and boots that have a
 * part in a counter or set (a boot is never reused, so each restart of a writer adds one). */
#define AVAIL_DATA_BYTES_MAX DVAR_DATA_BYTES_MAX
#define AVAIL_PARTS_MAX      4096
/* The same with what stands beside the data to join it: 56 bytes an item of a set. */
#define AVAIL_WRITTEN_BYTES_MAX (2 * 1024 * 1024)
/* What comes of both sides of a cut may be larger, or they could never agree. It fits a frame. */
#define AVAIL_STATE_BYTES_MAX  (8 * 1024 * 1024)
#define AVAIL_PARTS_JOINED_MAX (4 * AVAIL_PARTS_MAX)
/* Bytes of all states of a node; beyond, new variables and growth are refused. */
#define AVAIL_BYTES_MAX (512 * 1024 * 1024)
/* Neighbours that gossip of variables is exchanged with. */
#define AVAIL_PEERS_MAX 256
/* A moment further ahead of the own wall clock is refused (protocols section 4, hole 30); so many
 * of them, and nothing more is taken from their sender for a while. */
#define AVAIL_AHEAD_MAX_MS 500
#define AVAIL_AHEAD_MAX    10

/* ---- files: contents, transfer, copies (protocols 5.7) ---- */

/* One file. Its list of 65,536 hashes is what the store takes as one value. */
#define FS_SIZE_MAX   (1ull << 40)
#define FS_CHUNKS_MAX 65536
/* A piece of a chunk in one frame: with its heads and a rekey it fills one record and no other. */
#define FS_PIECE_BYTES_MAX (60 * 1024 - 64)
/* Asks in one frame: as many as fit one record. */
#define FS_ASK_FRAME_BYTES_MAX (60 * 1024)
/* All that is asked for or received and not yet written: eight of the largest chunks. */
#define FS_FETCH_BYTES_MAX (128ull * 1024 * 1024)
/* Beside it: memory of chunks that are done, kept for the next ones while some are under way. */
#define FS_FETCH_SPARE_BYTES_MAX (32 * 1024 * 1024)
/* Lists of contents that are being fetched: 32 of the largest. */
#define FS_FETCH_LISTS_BYTES_MAX (64ull * 1024 * 1024)
/* Contents under way at once, some 700 bytes each; then KITH_E_LIMIT, the caller keeps the rest. */
#define FS_FETCH_CONTENTS_MAX 16384
/* Fetches of one content, such as readers of its parts; then KITH_E_LIMIT. */
#define FS_FETCH_WANTS_MAX 1024
/* Holders of one content that are asked; more would only make windows smaller. */
#define FS_FETCH_HOLDERS_MAX 16
/* Nodes that are up or hold what is fetched. */
#define FS_FETCH_PEERS_MAX (16384 + 2048)
/* Under way from one holder: while its rate is unknown; least for a rate to show at all; most, a
 * quarter of all. */
#define FS_FETCH_WINDOW_BYTES_START (1024 * 1024)
#define FS_FETCH_WINDOW_BYTES_MIN   (256 * 1024)
#define FS_FETCH_WINDOW_BYTES_MAX   (32 * 1024 * 1024)
/* Chunks asked of one holder at once, below what it takes. */
#define FS_FETCH_ASKS_MAX 1024
/* Without a byte of what was asked for it is asked elsewhere; longer than a disk takes to wake. */
#define FS_FETCH_STALL_MS 15000
/* Who sent damaged data is not asked for that content for so long. */
#define FS_FETCH_ASIDE_MS (10 * 60 * 1000)
/* Nodes of which it is counted how much damaged data they sent; more are counted together. Of each
 * an event says so at most so often. */
#define FS_DAMAGERS_MAX    64
#define FS_DAMAGE_EVENT_MS 60000
/* A fetch that does not wait gives holders so long to be reached. */
#define FS_FETCH_REACH_MS 10000
/* What one asker may have waiting here: four times what a node asks for. */
#define FS_SERVE_ASKS_MAX 4096
/* Read at once for one asker: some frames, and a read that is worth a disk's turn. */
#define FS_SERVE_BLOCK_BYTES (8 * FS_PIECE_BYTES_MAX)
#define FS_SERVE_READS_MAX   64
/* Bytes of reads under way, all askers together. */
#define FS_SERVE_READ_BYTES_MAX (16 * 1024 * 1024)
/* Askers with something waiting. */
#define FS_SERVE_PEERS_MAX (16384 + 2048)
/* Defaults of the caches; chunks of both, some 130 bytes each. */
#define FS_CACHE_MEMORY_BYTES_MAX (1024ull * 1024 * 1024)
#define FS_CACHE_DISK_BYTES_MAX   (10ull * 1024 * 1024 * 1024)
#define FS_CACHE_CHUNKS_MAX       262144
/* Contents pinned in the caches. */
#define FS_CACHE_PINS_MAX 65536
/* Paths pinned by hand at a node; a folder is one, whatever is in it. Some 200 bytes each. */
#define FS_PINS_MAX 65536
/* Copies fetched for others at once: reads and gets of people come first. */
#define FS_KEEP_FETCHES_MAX 16
/* Contents of which something is to be done that are remembered, some 300 bytes each; the others
 * come up in the next round. */
#define FS_KEEP_PENDING_MAX 65536
/* Contents that replaced something and wait for the second to end before they are copied; more are
 * looked at at once. */
#define FS_RESTLESS_MAX 4096
/* Copies that may be wanted of a content. */
#define FS_COPIES_MAX 16
/* Holders of one content that are looked at. */
#define FS_KEEP_HOLDERS_MAX 64
/* Nodes that copies may be on. */
#define FS_KEEP_NODES_MAX (16384 + 2048)
/* Questions of one frame. */
#define FS_KEEP_QUESTIONS_MAX 1024
/* Contents of which others say that what they had from here was damaged: so many are read again in
 * FS_KEEP_DOUBT_MS, each once, whoever says so and how often. */
#define FS_KEEP_DOUBTS_MAX 64
#define FS_KEEP_DOUBT_MS   (10 * 60 * 1000)

/* ---- file catalogue (protocols 5.7, docs/protocols/fs.md) ---- */

/* Of a path within its share and of one part of it: what the file systems below have as well. */
#define FS_PATH_BYTES_MAX  1024
#define FS_PART_BYTES_MAX  255
#define FS_SHARE_BYTES_MAX 63
/* The text of a symlink: a path of the system's at most. */
#define FS_TARGET_BYTES_MAX 4095
/* Counters of a version's vector: disks that changed one path. The lowest are folded beyond. */
#define FS_VECTOR_MAX 32
/* Records of all disks, some 30 bytes each beside what they share: 4 million paths, each at three
 * nodes. Then own publications are refused, and indexes of others stay incomplete. */
#define FS_RECORDS_MAX 12000000
/* Numbers of an index, and counters of vectors (milliseconds since 1970: until the year 6400): what
 * is held has 48 bits. What others say is at most half of it, so that the next can be counted. */
#define FS_NUMBER_MAX  ((1ull << 48) - 1)
#define FS_COUNTER_MAX ((1ull << 48) - 1)
/* Disks of which something is known, those of forgotten nodes (which only count) too. */
#define FS_DISKS_MAX 32768
/* Versions that one disk may have of one path beside its main one. */
#define FS_EXTRAS_MAX 32
/* Publications that wait to be signed and stored; then KITH_E_BUSY. */
#define FS_PUBLICATIONS_MAX 65536
/* Bytes of received messages whose signatures are being checked; more are dropped and come again.
 */
#define FS_CHECKING_BYTES_MAX (32 * 1024 * 1024)
/* Records of one answer to a pull, before the next is asked for. */
#define FS_PULL_BYTES_MAX (1024 * 1024)

/* ---- control socket ---- */
#define CONTROL_CLIENTS_MAX      128
#define CONTROL_LINE_BYTES_MAX   (256 * 1024)
#define CONTROL_DATA_BYTES_MAX   RPC_BODY_BYTES_MAX
#define CONTROL_REQUESTS_MAX     1024 /* in flight per client */
#define CONTROL_TOTALS_NODES_MAX 128  /* whose curves are summed: some 25 KiB each */
#define CONTROL_QUEUE_BYTES_MAX  (32 * 1024 * 1024)

/* ---- HTTP (docs/protocols/http.md; each is answered as that says) ---- */
#define HTTP_PORT_DEFAULT 7118
#define HTTP_PORTS_TRIED  100 /* from there on, where none was chosen: many nodes on one machine */
/* A browser opens six to a node; what is above costs a process of ours nothing. */
#define HTTP_CONNECTIONS_MAX 1024
#define HTTP_SOCKETS_MAX     640
/* Cookies and tokens take some 200 bytes, browsers add 1 KiB. */
#define HTTP_HEADER_BYTES_MAX (8 * 1024)
#define HTTP_BODY_BYTES_MAX   RPC_BODY_BYTES_MAX /* what a call takes */
#define HTTP_JSON_BYTES_MAX   (64 * 1024)
#define HTTP_BODIES_BYTES_MAX (64 * 1024 * 1024) /* of all requests under way */
/* Without a byte of a request that has begun; for a whole header; without a request. */
#define HTTP_QUIET_MS  10000
#define HTTP_HEADER_MS 30000
#define HTTP_IDLE_MS   60000
#define HTTP_TAKE_MS   30000 /* without a byte of a file that its reader takes */
/* Of a query: a cursor of a list of files holds a whole path. */
#define HTTP_ARGUMENT_BYTES_MAX 2048
/* A file that is read over HTTP: the piece that is read next lies twice in the node's operation
 * while another one is written. All of them together; a small file counts less. */
#define HTTP_READ_PIECE_BYTES (512 * 1024)
#define HTTP_READ_BYTES_MAX   (2 * 1024 * 1024)
#define HTTP_READS_BYTES_MAX  (128 * 1024 * 1024)
/* A file that is written: one piece comes in while another one is on its way to the disk; so many
 * files at once as FS_UPLOADS_MAX says. */
#define HTTP_PIECE_BYTES_MAX   (1024 * 1024)
#define HTTP_TRANSFERS_KEPT    32 /* that have ended, for so long: */
#define HTTP_TRANSFER_KEPT_MS  10000
#define HTTP_TRANSFER_FROM_MAX 16 /* nodes that are named as those it comes from */
/* Who is refused while sending is read on for so long, so much, so many at once: else the answer
 * would be lost with the reset of the connection. */
#define HTTP_LINGER_MS        2000
#define HTTP_LINGER_BYTES_MAX (4 * 1024 * 1024)
#define HTTP_LINGERS_MAX      64
/* A WebSocket is asked for a sign of life, and given up without one. */
#define HTTP_SOCKET_PING_MS 25000
#define HTTP_SOCKET_LOST_MS 40000
#define HTTP_LOG_PERIOD_MS  10000 /* between two lines of the web library */
/* What a client of the stream sends is short; what it subscribes to is what a page shows. */
#define HTTP_MESSAGE_BYTES_MAX (16 * 1024)
#define HTTP_SUBSCRIPTIONS_MAX 32
/* What waits for one page of a board, some seconds of 64 people who draw. Beyond, all of it is
 * dropped and the page loads the board again. */
#define HTTP_LIVE_BYTES_MAX    (1024 * 1024)
#define HTTP_LIVE_MS           8    /* in which what is said goes as one message */
#define HTTP_FEEDS_MAX         1024 /* different ones of all clients */
#define HTTP_PAGE_MAX          1000 /* of a list, by a route; by a topic: */
#define HTTP_TOPIC_PAGE_MAX    200
#define HTTP_EVENTS_ROUND_MAX  200   /* new events an update */
#define HTTP_CHANGES_ROUND_MAX 200   /* changes of files an update; of more it says so */
#define HTTP_VALUE_SHOWN_BYTES 256   /* of a variable in a list */
#define HTTP_VALUE_BYTES_MAX   65536 /* of one that is followed alone */
#define HTTP_RTT_NODES_MAX     64    /* 4,032 echoes in all; above, a command asks */
#define HTTP_SESSIONS_MAX      1024
#define HTTP_SESSION_LOCKS_MAX 64
#define HTTP_LINKS_MAX         64
#define HTTP_LINK_MS           (10 * 60 * 1000)
#define HTTP_HANDOVER_MS       (10ull * 60 * 1000)
#define HTTP_REMEMBER_MS       (30ull * 24 * 3600 * 1000)
#define HTTP_TOKEN_MS          (12ull * 3600 * 1000) /* kith web --token */
#define HTTP_TOKEN_MAX_MS      HTTP_REMEMBER_MS
#define HTTP_LOCK_WAIT_MS      10000
#define HTTP_LOCK_WAIT_MAX_MS  60000
/* Log-ins that failed, a minute: of one address, of one user; so many of either are remembered. */
#define HTTP_FAILS_MS          60000
#define HTTP_FAILS_ADDRESS_MAX 10
#define HTTP_FAILS_USER_MAX    5
#define HTTP_FAILS_KEPT        256
/* Each takes 19 MiB and some 20 ms of a core while it is checked, one after the other. */
#define HTTP_PASSWORDS_WAITING_MAX 8
#define HTTP_PASSWORD_BYTES_MAX    256
#define HTTP_USERS_MAX             1000
#define HTTP_VARS_KEPT             256  /* copies of variables that are read over HTTP */
#define HTTP_POLICY_BYTES_MAX      8192 /* of members' addresses in the policy of the pages */
#define HTTP_ORIGINS_FORMER_MAX    256  /* addresses that were members': their pages live on */
#define HTTP_METRIC_PEERS_MAX      256  /* with a figure of their own */
#define HTTP_METRIC_FUNCTIONS_MAX  100

/* ---- resources over time ---- */
#define HISTORY_CPUS_MAX 64 /* cores with a curve of their own */

/* ---- store (protocols 5.9) ---- */
/* LMDB's own bound of a key. */
#define STORE_KEY_BYTES_MAX 511
/* The largest variable, with as much again for what is kept beside it. */
#define STORE_VALUE_BYTES_MAX (2 * 1024 * 1024)
/* One batch is one transaction, which must fit LMDB's list of changed pages (131,071) with others.
 */
#define STORE_BATCH_PUTS_MAX  4096
#define STORE_BATCH_BYTES_MAX (16 * 1024 * 1024)
/* Batches committed together: a longer turn would only make the first of them wait. */
#define STORE_GROUP_PUTS_MAX  8192
#define STORE_GROUP_BYTES_MAX STORE_BATCH_BYTES_MAX
/* Bytes of batches that wait; then KITH_E_BUSY. */
#define STORE_QUEUE_BYTES_MAX (64 * 1024 * 1024)
/* Size of a fresh data file, and the most that it grows by at a time. */
#define STORE_FILE_BYTES_START (1024 * 1024)
#define STORE_FILE_STEP_MAX    (64 * 1024 * 1024)
/* A million variables of 64 KiB; what the address space of every 64-bit system holds. */
#define STORE_FILE_BYTES_MAX (64ull * 1024 * 1024 * 1024)
/* The log: what LMDB takes in at once; a thousand syncs of one writer, written in some ten ms. */
#define STORE_LOG_BYTES (4 * 1024 * 1024)
/* Larger groups go to LMDB at once: written twice they would cost more than a sync. */
#define STORE_LOG_GROUP_BYTES_MAX (1024 * 1024)
/* LMDB takes in what the log has when nothing came for so long. */
#define STORE_LOG_IDLE_MS 1000
/* Kept aside for essential entries on a full disk: days of votes. */
#define STORE_RESERVE_BYTES (16 * 1024 * 1024)
/* How often a full disk is looked at again. */
#define STORE_RETRY_MS 1000
/* Commit times kept for the percentiles. */
#define STORE_COMMITS_KEPT 1024

/* ---- folders ---- */
/* One .kithignore; the files and what they take in memory, a folder. They may come from others. */
#define FS_IGNORE_FILE_BYTES_MAX (64 * 1024)
#define FS_IGNORE_FILES_MAX      4096
#define FS_IGNORE_BYTES_MAX      (16 * 1024 * 1024)
/* Files and directories of one folder: 200 bytes each and their names. */
#define FS_LOCAL_ENTRIES_MAX 16000000
/* Entries of a batch of a scan; the scanner waits until one was taken. */
#define FS_SCAN_BATCH_MAX 512
/* Directories nested in each other: FS_PATH_BYTES_MAX has room for no more. */
#define FS_SCAN_DEPTH_MAX (FS_PATH_BYTES_MAX / 2 + 1)
/* Hashes, looks at single files, and publications of a folder that are under way. */
#define FS_LOCAL_HASHES_MAX     256
#define FS_LOCAL_LOOKS_MAX      256
#define FS_LOCAL_PUBLISHING_MAX 1024
/* Files of a folder that wait to be read or published; then its scan waits. */
#define FS_LOCAL_WAITING_MAX 16384
/* Scans of parts of a folder that wait; of more the whole folder is scanned. */
#define FS_LOCAL_SCANS_MAX 64
/* What cannot be shared, of one folder: so many are listed with their reason, the rest counted. */
#define FS_PROBLEMS_MAX 1000
/* Bytes of events that one read of a watch takes. */
#define FS_WATCH_READ_BYTES (64 * 1024)
/* Free space that content and writing into folders leave on a disk: the system's. */
#define FS_FREE_BYTES_MIN (64ull * 1024 * 1024)
/* What a path had before it was written anew stays in the keep until nobody has asked for it for so
 * long, and no longer than the other: who fetches it ends. A full disk has no such time. */
#define FS_FORMER_MS     10000
#define FS_FORMER_MAX_MS 600000
/* What was replaced or deleted in a folder stays in the trash for so long. */
#define FS_TRASH_MS (7ull * 24 * 3600 * 1000)

/* ---- node ---- */
#define NODE_EVENTS_KEPT   4096
#define NODE_EVENT_CBS_MAX 64
#define NODE_MODULES_MAX   64
/* What people say of one node; each is a variable that every node has. */
#define NODE_LABELS_MAX          (16384 + 2048) /* nodes: all that there may be */
#define NODE_TAGS_MAX            32
#define NODE_TAG_KEY_BYTES_MAX   63
#define NODE_TAG_VALUE_BYTES_MAX 255
#define NODE_LOG_LINE_BYTES_MAX  4000
/* The newest lines of the log of an agent, for who asks later. */
#define NODE_LOG_KEPT_LINES 2000
#define NODE_LOG_KEPT_BYTES (256 * 1024)
/* Of them in one answer: as JSON at most twice as many bytes, which fit a line of the socket. */
#define NODE_LOG_ANSWER_BYTES (96 * 1024)
#define NODE_LOG_FOLLOW_BYTES (24 * 1024) /* in one partial result, likewise */

static_assert(NET_RECORD_FILL_BYTES + 18 <= NET_RECORD_WIRE_BYTES_MAX,
              "a full record is one segment");
static_assert(NET_FRAGMENT_BYTES < NET_RECORD_FILL_BYTES, "a fragment fits a record");
static_assert(STORE_BATCH_PUTS_MAX <= STORE_GROUP_PUTS_MAX, "a batch fits a group");
static_assert(STORE_GROUP_PUTS_MAX * 8 + STORE_GROUP_BYTES_MAX / 4096 < 131071,
              "a group fits a transaction, with 8 pages changed for an entry");
static_assert(RPC_BODY_BYTES_MAX < NET_RPC_FRAME_BYTES_MAX, "a body fits its frame");

/* ---- files, of one node ---- */
/* Folders that one node shares; each has a descriptor of inotify, of which a user has 128. */
#define FS_FOLDERS_MAX 64
/* Files that are brought to a node piece by piece at a time. */
#define FS_UPLOADS_MAX 64
/* Copies of each content where a share does not say. */
#define FS_REPLICAS_DEFAULT 3
/* Watches of changes that programs of one node have. */
#define FS_WATCHES_MAX 1024

#endif
