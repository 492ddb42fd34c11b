/*
 * Transport records: what a stream consists of after the handshake (protocols 5.1).
 *
 *     u16 length of what follows (little-endian), ciphertext, 16-byte tag
 *
 * The plaintext is a run of frames (net/frame.h); a record holds all frames of one loop turn. Each
 * direction has its own key and a counter from 0 that is the nonce. An empty record is refused.
 * Most code uses frame_writer_seal() and frame_reader_open(), which stand on this.
 */
#ifndef NET_RECORD_H
#define NET_RECORD_H

#include "core/limits.h"
#include "net/cipher.h"

#define RECORD_HEAD_BYTES     2
#define RECORD_OVERHEAD_BYTES (RECORD_HEAD_BYTES + CIPHER_TAG_BYTES)
/* A record as long as its length field can say. */
#define RECORD_WIRE_BYTES_MAX (RECORD_HEAD_BYTES + 65535)

static_assert(NET_RECORD_PLAIN_BYTES_MAX + CIPHER_TAG_BYTES == 65535, "Noise's message limit");

/* Sending direction. */
struct record_out {
    struct cipher cipher;
    uint64_t counter;      /* of the next record */
    uint64_t key_bytes;    /* plaintext sealed with this key */
    uint64_t key_since_ms; /* when this key began */
};

/* Receiving direction. */
struct record_in {
    struct cipher cipher;
    uint64_t counter; /* of the next record */
};

/* 0; KITH_E_UNSUPPORTED. The key is copied. */
int record_out_init(struct record_out *out,
                    enum cipher_kind kind,
                    const uint8_t key[CIPHER_KEY_BYTES],
                    uint64_t now_ms);
int record_in_init(struct record_in *in,
                   enum cipher_kind kind,
                   const uint8_t key[CIPHER_KEY_BYTES]);
/* Wipe; may run twice, or on a zeroed one. */
void record_out_deinit(struct record_out *out);
void record_in_deinit(struct record_in *in);

/*
 * Seals @parts put together (1 to NET_RECORD_PLAIN_BYTES_MAX bytes) as one record at @wire.
 * One lone part may stand at @wire + RECORD_HEAD_BYTES (in place). 0; KITH_E_TOO_LARGE (also if
 * @wire_bytes does not hold it); KITH_E_LIMIT when the counter is exhausted: the stream must end;
 * KITH_E_MEMORY, KITH_E_INTERNAL.
 */
int record_seal(struct record_out *out,
                const struct kith_bytes *parts,
                size_t parts_n,
                uint8_t *wire,
                size_t wire_bytes,
                size_t *len_out);

/* True if the next record should end with FRAME_REKEY (NET_REKEY_BYTES or NET_REKEY_MS reached). */
bool record_rekey_due(const struct record_out *out, uint64_t now_ms);
/* Right after the record that ended with FRAME_REKEY was sealed, or opened. */
void record_out_rekey(struct record_out *out, uint64_t now_ms);
void record_in_rekey(struct record_in *in);

/*
 * Looks at the @len bytes at @wire: *wire_len_out is the length of the whole record there, head
 * included; 0 if fewer than RECORD_HEAD_BYTES are there. 0; KITH_E_PARSE if no record has that
 * length: the stream must end.
 */
int record_wire_len(const uint8_t *wire, size_t len, size_t *wire_len_out);

/*
 * Opens the whole record of @wire_len bytes at @wire. The plaintext, @wire_len -
 * RECORD_OVERHEAD_BYTES, goes to @plain, which may be @wire + RECORD_HEAD_BYTES. 0; KITH_E_CORRUPT
 * (not authentic), KITH_E_LIMIT (counter), KITH_E_MEMORY, KITH_E_INTERNAL: the stream must end.
 */
int record_open(struct record_in *in, const uint8_t *wire, size_t wire_len, uint8_t *plain);

/* The first @n bytes of the next record, unchecked: see cipher_peek(). */
void record_peek(const struct record_in *in, const uint8_t *wire, uint8_t *out, size_t n);

#endif
