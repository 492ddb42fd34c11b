/*
 * The peers file: every peer ever seen, so that a cluster finds itself again after a full power
 * cut (protocols 5.9). Codec only; files are data_dir's.
 *
 *     "kithpc1\n", u32 entries, per entry u32 length and net.proto PeerEntry, BLAKE2b-256 of all
 * before
 *
 * Written as a whole, at most NET_PEER_KEYS_MAX entries.
 */
#ifndef NET_PEER_CACHE_H
#define NET_PEER_CACHE_H

#include "core/bytes.h"
#include "core/limits.h"
#include "net/identity.h"

/* Longest encoded entry; and a file of that many. Checked before anything is read. */
#define PEER_CACHE_ENTRY_BYTES_MAX 1536
#define PEER_CACHE_BYTES_MAX       (NET_PEER_KEYS_MAX * (PEER_CACHE_ENTRY_BYTES_MAX + 4) + 64)

struct peer_entry {
    struct kith_node_id id; /* of sign_pk; not in the file */
    uint8_t sign_pk[NET_PUBLIC_KEY_BYTES];
    uint64_t boot_no;                     /* highest seen; 0: none */
    uint64_t last_seen_unix_ms;           /* 0: never */
    uint8_t role;                         /* enum kith_role; 0: not known */
    char name[MEMBER_NAME_BYTES_MAX + 1]; /* may be "" */
    size_t addresses_n;                   /* those that worked first */
    char addresses[NET_ADDRESSES_PER_PEER_MAX][KITH_ADDRESS_TEXT_MAX + 1];
};

/* Writing: begin, add each, end. */
struct peer_cache_writer {
    struct buf *out;
    size_t start; /* where the file begins in out */
    uint32_t n;
};
int peer_cache_begin(struct peer_cache_writer *writer, struct buf *out); /* 0; KITH_E_MEMORY */
/* 0; KITH_E_LIMIT at NET_PEER_KEYS_MAX; KITH_E_INVALID if a field passes its limit; KITH_E_MEMORY.
 */
int peer_cache_add(struct peer_cache_writer *writer, const struct peer_entry *entry);
int peer_cache_end(struct peer_cache_writer *writer); /* 0; KITH_E_MEMORY */

/* Reading: open checks magic, size and checksum; then next. The data is borrowed. */
struct peer_cache_reader {
    struct reader reader;
    uint32_t left; /* entries to come */
};
/* 0; KITH_E_CORRUPT with a sentence; KITH_E_LIMIT if it holds too many. */
int peer_cache_open(struct peer_cache_reader *reader, const uint8_t *data, size_t len);
/* 1 and *entry_out; 0 at the end; KITH_E_CORRUPT, KITH_E_MEMORY. */
int peer_cache_next(struct peer_cache_reader *reader, struct peer_entry *entry_out);

#endif
