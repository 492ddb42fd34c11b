/*
 * What names the bytes of a file: size, chunk size and root. Whoever has this can ask anybody for
 * the bytes and prove that they are the right ones, chunk by chunk.
 *
 * - The bytes are cut into chunks of one size, a power of two from 128 KiB to 16 MiB: the least
 *   that gives less than CONTENT_CHUNKS_AIM of them (content_chunk_log2()). The last one is
 *   shorter. Each has a hash of 32 bytes.
 * - The list is these hashes, one after the other. It travels before the data.
 * - The root of a content of one chunk is that chunk's hash, of none the hash of nothing; of
 *   several it is the hash of chunk size, size and list *under another personalisation* of
 *   BLAKE2b. So no file can be made whose bytes have the root of another file's list.
 * - Chunks of zeros have hashes that are known (content_zero_hash()): a hole is neither read nor
 *   sent.
 *
 * The kind of hash is a field, so that a faster one can follow.
 *
 * All of it may run on any thread: nothing is shared.
 */
#ifndef FS_CONTENT_H
#define FS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium/crypto_generichash_blake2b.h>

#include "core/bytes.h"
#include "core/limits.h"

#define CONTENT_ROOT_BYTES     32
#define CONTENT_CHUNK_LOG2_MIN 17 /* 128 KiB */
#define CONTENT_CHUNK_LOG2_MAX 24 /* 16 MiB */
/* A list of so many is 64 KB: checked in 64 us, and sent as one frame. */
#define CONTENT_CHUNKS_AIM 2000

enum content_hash {
    CONTENT_BLAKE2B_256 = 1,
};

struct content {
    uint64_t size;
    uint8_t hash; /* enum content_hash */
    uint8_t chunk_log2;
    uint8_t root[CONTENT_ROOT_BYTES];
};

/* ---- sizes ---- */

/* Of a content of @size bytes (at most FS_SIZE_MAX). */
uint8_t content_chunk_log2(uint64_t size);
/*
 * Whether what came from elsewhere can be worked with: a kind of hash that is known, size and chunk
 * size in their ranges, at most FS_CHUNKS_MAX chunks. All below ask for such a one.
 */
bool content_valid(const struct content *content);
/* Chunks: 0 of an empty content. */
uint32_t content_chunks(const struct content *content);
/* Bytes of chunk @chunk, which exists. */
uint32_t content_chunk_bytes(const struct content *content, uint32_t chunk);
static inline uint64_t content_chunk_offset(const struct content *content, uint32_t chunk)
{
    return (uint64_t)chunk << content->chunk_log2;
}
/* Bytes of the list. 0 if it is not needed: the root of at most one chunk is its hash. */
uint32_t content_list_bytes(const struct content *content);
bool content_equal(const struct content *a, const struct content *b);

/* ---- hashes ---- */

/* In pieces, for instance by a worker that reads a file. Must not be moved once begun. */
struct content_hasher {
    uint8_t room[sizeof(crypto_generichash_blake2b_state) + 63]; /* the state, aligned to 64 */
};
void content_hasher_init(struct content_hasher *hasher, uint8_t hash);
void content_hasher_update(struct content_hasher *hasher, const void *data, size_t len);
void content_hasher_final(struct content_hasher *hasher, uint8_t hash_out[CONTENT_ROOT_BYTES]);
/* Of bytes in one run. */
void content_hash_bytes(uint8_t hash,
                        const void *data,
                        size_t len,
                        uint8_t hash_out[CONTENT_ROOT_BYTES]);
/* Of a whole chunk of zeros of 2^@chunk_log2 bytes. Static. */
const uint8_t *content_zero_hash(uint8_t hash, uint8_t chunk_log2);
/* True if @of is the hash of chunk @chunk and that is known to be zeros: only whole chunks are. */
bool content_chunk_is_zero(const struct content *content,
                           uint32_t chunk,
                           const uint8_t of[CONTENT_ROOT_BYTES]);

/*
 * Sets root, size, chunk size and kind of @content_out from a list of the hashes of all chunks
 * (NULL for size 0). For who hashes chunks in any order, on several workers.
 */
void content_of_list(uint8_t hash, uint64_t size, const uint8_t *list, struct content *content_out);

/* ---- from a run of bytes, in order ---- */

struct content_builder {
    struct content_hasher hasher;
    uint64_t size;  /* as announced */
    uint64_t at;    /* bytes so far */
    uint32_t zeros; /* of the current chunk, which so far has nothing else and is not hashed */
    uint8_t hash;
    uint8_t chunk_log2;
    struct buf list;
};
/* The size must be known, as it decides on the chunk size. KITH_E_TOO_LARGE above FS_SIZE_MAX. */
int content_builder_init(struct content_builder *builder, uint8_t hash, uint64_t size);
/*
 * For a content of @size bytes that begins with all of @before: goes on behind its whole chunks,
 * whose hashes are in @list (checked; NULL for at most one chunk). Next come the
 * content_tail_bytes() of @before, then what is new. KITH_E_AGAIN (without a sentence): a content
 * of that size has chunks of another size, so all of it is to be hashed; KITH_E_TOO_LARGE,
 * KITH_E_MEMORY.
 */
int content_builder_resume(struct content_builder *builder,
                           const struct content *before,
                           const uint8_t *list,
                           uint64_t size);
/* Bytes of the last chunk, if it is not a whole one. */
uint32_t content_tail_bytes(const struct content *content);
/* Whether what came of the chunk at hand has this hash. */
bool content_builder_has(const struct content_builder *builder,
                         const uint8_t hash[CONTENT_ROOT_BYTES]);
void content_builder_deinit(struct content_builder *builder);
/* The next bytes. 0; KITH_E_MEMORY; KITH_E_AGAIN if they are more than was announced. */
int content_builder_update(struct content_builder *builder, const void *data, size_t len);
/* The next @len bytes are zeros, as the file system says of a hole: whole chunks are not hashed. */
int content_builder_zeros(struct content_builder *builder, uint64_t len);
/*
 * 0, and what it is; the list (empty for at most one chunk) is the builder's until its deinit.
 * KITH_E_AGAIN if less came than was announced: the file changed meanwhile.
 */
int content_builder_end(struct content_builder *builder,
                        struct content *content_out,
                        struct kith_bytes *list_out);

/* ---- checks ---- */

/* 0, or KITH_E_CORRUPT if @list is not the list of @content. For large lists: on a worker. */
int content_list_check(const struct content *content, const void *list, size_t len);
/* The hash that chunk @chunk must have; @list (checked) may be NULL for at most one chunk. */
const uint8_t *
content_chunk_hash(const struct content *content, const uint8_t *list, uint32_t chunk);
/* 0, or KITH_E_CORRUPT: the bytes of a chunk. On a worker. */
int content_chunk_check(const struct content *content,
                        const uint8_t of[CONTENT_ROOT_BYTES],
                        uint32_t chunk,
                        const void *data,
                        size_t len);

/* Most chunks of one length that are hashed at once. */
#define CONTENT_LANES 4
/* How many this processor hashes in less time than one after the other: CONTENT_LANES, or 1. */
uint32_t content_lanes(void);

/* A chunk or list that is to be checked. */
struct content_check {
    const struct content *content;
    bool list;
    uint32_t chunk;    /* if it is no list */
    const uint8_t *of; /* of a chunk: the hash that it must have */
    const void *data;
    size_t len;
    int code; /* out: as content_chunk_check(), content_list_check() */
};
/* @n of them, at most CONTENT_LANES. On a worker. */
void content_checks(struct content_check *const *checks, size_t n);

/* ---- on the wire and on disk ---- */

#define CONTENT_WIRE_BYTES (8 + 1 + 1 + CONTENT_ROOT_BYTES)
void content_encode(const struct content *content, uint8_t out[CONTENT_WIRE_BYTES]);
/* Reads one; the reader is bad if it is cut off or not content_valid(). */
void content_read(struct reader *reader, struct content *content_out);

#endif
