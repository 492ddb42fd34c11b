/*
 * Chunk sizes, hashes, lists and roots of contents.
 */
#include "fs/content.h"

#include <assert.h>
#include <string.h>

#include "core/error.h"
#include "fs/lanes.h"
#include "kith/error.h"

static_assert(FS_SIZE_MAX >> CONTENT_CHUNK_LOG2_MAX <= FS_CHUNKS_MAX, "the largest file fits");
static_assert(crypto_generichash_blake2b_BYTES == CONTENT_ROOT_BYTES, "BLAKE2b-256");
static_assert(CONTENT_LANES == LANES_N && CONTENT_ROOT_BYTES == LANES_HASH_BYTES, "as in lanes.h");

#define ZERO_SIZES (CONTENT_CHUNK_LOG2_MAX - CONTENT_CHUNK_LOG2_MIN + 1)

/* BLAKE2b-256 of 2^17 ... 2^24 zeros; a test computes them. */
static const uint8_t zero_hashes[ZERO_SIZES][CONTENT_ROOT_BYTES] = {
    {0xf7, 0xfb, 0xb0, 0x4b, 0x46, 0x03, 0xfb, 0x2e, 0xdf, 0x95, 0x60,
     0xfd, 0x1f, 0x3b, 0x17, 0x4b, 0x95, 0xa6, 0xa1, 0xee, 0xb5, 0x07,
     0x43, 0x15, 0x7b, 0x22, 0x88, 0x85, 0xd7, 0x9d, 0xb4, 0x69},
    {0x8d, 0xdb, 0x61, 0x92, 0x8e, 0xc7, 0x6e, 0x4e, 0xe9, 0x04, 0xcd,
     0x79, 0xed, 0x97, 0x7a, 0xb6, 0xf5, 0xd9, 0x18, 0x7f, 0x11, 0x02,
     0x97, 0x50, 0x60, 0xa6, 0xba, 0x6c, 0xe1, 0x0e, 0x54, 0x81},
    {0x0a, 0x93, 0x17, 0x45, 0x57, 0xb2, 0xe0, 0x66, 0x8f, 0x25, 0x31,
     0x53, 0x14, 0x15, 0x14, 0x22, 0x80, 0x35, 0x8e, 0xe3, 0x26, 0x05,
     0xd0, 0x59, 0xda, 0xb1, 0xce, 0x8e, 0xbb, 0xb1, 0xcc, 0x01},
    {0xc7, 0x48, 0x60, 0xdd, 0x74, 0x80, 0xe7, 0xf4, 0xb5, 0xae, 0x70,
     0x5f, 0x91, 0x37, 0xe9, 0x0a, 0x0a, 0xa0, 0xbc, 0x67, 0xd6, 0xe9,
     0x0c, 0xf8, 0x07, 0x8d, 0xd6, 0x69, 0x7d, 0xbd, 0xb6, 0xad},
    {0x98, 0x52, 0xd7, 0x4e, 0x00, 0x2f, 0x23, 0xd1, 0x4b, 0xa2, 0x63,
     0x8b, 0x90, 0x56, 0x09, 0x41, 0x9b, 0xd1, 0x6e, 0x50, 0x84, 0x3a,
     0xc1, 0x47, 0xcc, 0xf4, 0xd5, 0x09, 0xed, 0x2c, 0x9d, 0xfc},
    {0x4b, 0x78, 0x49, 0x13, 0x40, 0xf5, 0xf4, 0x99, 0xc8, 0xcb, 0x36,
     0x5e, 0x80, 0x74, 0x55, 0xb4, 0x7d, 0x2c, 0x05, 0xbc, 0x36, 0x2d,
     0xef, 0x5a, 0xb9, 0xa2, 0x50, 0x5a, 0x14, 0x27, 0x10, 0xf4},
    {0x75, 0x84, 0x70, 0x09, 0xfa, 0x76, 0xc6, 0x17, 0x7f, 0x38, 0x4a,
     0x8b, 0xbc, 0xb6, 0xee, 0x92, 0x3c, 0x60, 0x60, 0xad, 0x8e, 0xc7,
     0x7d, 0x51, 0x81, 0xf0, 0x9f, 0x4e, 0xa7, 0x28, 0x61, 0xb0},
    {0xaf, 0x74, 0x4f, 0xb8, 0x35, 0x2d, 0x7c, 0x08, 0x5d, 0x1b, 0x0c,
     0x4b, 0x19, 0x36, 0xe9, 0xd4, 0x74, 0x04, 0x7d, 0x31, 0x2d, 0x94,
     0x84, 0x32, 0xf1, 0x33, 0xd2, 0xef, 0x8a, 0x54, 0xfc, 0xed},
};

/* ---- sizes ---- */

uint8_t content_chunk_log2(uint64_t size)
{
    uint8_t log2 = CONTENT_CHUNK_LOG2_MIN;
    while (log2 < CONTENT_CHUNK_LOG2_MAX &&
           (size + ((1ull << log2) - 1)) >> log2 >= CONTENT_CHUNKS_AIM)
        log2++;
    return log2;
}

bool content_valid(const struct content *content)
{
    return content->hash == CONTENT_BLAKE2B_256 && content->size <= FS_SIZE_MAX &&
           content->chunk_log2 >= CONTENT_CHUNK_LOG2_MIN &&
           content->chunk_log2 <= CONTENT_CHUNK_LOG2_MAX &&
           (content->size + ((1ull << content->chunk_log2) - 1)) >> content->chunk_log2 <=
               FS_CHUNKS_MAX;
}

uint32_t content_chunks(const struct content *content)
{
    return (uint32_t)((content->size + ((1ull << content->chunk_log2) - 1)) >> content->chunk_log2);
}

uint32_t content_chunk_bytes(const struct content *content, uint32_t chunk)
{
    uint64_t left = content->size - content_chunk_offset(content, chunk);
    uint32_t whole = 1u << content->chunk_log2;
    return left < whole ? (uint32_t)left : whole;
}

uint32_t content_list_bytes(const struct content *content)
{
    uint32_t chunks = content_chunks(content);
    return chunks > 1 ? chunks * CONTENT_ROOT_BYTES : 0;
}

bool content_equal(const struct content *a, const struct content *b)
{
    return a->size == b->size && a->hash == b->hash && a->chunk_log2 == b->chunk_log2 &&
           memcmp(a->root, b->root, sizeof(a->root)) == 0;
}

/* ---- hashes ---- */

/* libsodium wants its state at a multiple of 64, which allocations are not. */
static crypto_generichash_blake2b_state *state_of(struct content_hasher *hasher)
{
    uintptr_t at = ((uintptr_t)hasher->room + 63) & ~(uintptr_t)63;
    return (crypto_generichash_blake2b_state *)(void *)(hasher->room +
                                                        (at - (uintptr_t)hasher->room));
}

static const void *const_state_of(const struct content_hasher *hasher)
{
    return hasher->room + ((64 - ((uintptr_t)hasher->room & 63)) & 63);
}

void content_hasher_init(struct content_hasher *hasher, uint8_t hash)
{
    assert(hash == CONTENT_BLAKE2B_256);
    (void)hash;
    (void)crypto_generichash_blake2b_init(state_of(hasher), NULL, 0, CONTENT_ROOT_BYTES);
}

void content_hasher_update(struct content_hasher *hasher, const void *data, size_t len)
{
    if (len > 0)
        (void)crypto_generichash_blake2b_update(state_of(hasher), data, len);
}

void content_hasher_final(struct content_hasher *hasher, uint8_t hash_out[CONTENT_ROOT_BYTES])
{
    (void)crypto_generichash_blake2b_final(state_of(hasher), hash_out, CONTENT_ROOT_BYTES);
}

void content_hash_bytes(uint8_t hash,
                        const void *data,
                        size_t len,
                        uint8_t hash_out[CONTENT_ROOT_BYTES])
{
    struct content_hasher hasher;
    content_hasher_init(&hasher, hash);
    content_hasher_update(&hasher, data, len);
    content_hasher_final(&hasher, hash_out);
}

const uint8_t *content_zero_hash(uint8_t hash, uint8_t chunk_log2)
{
    assert(hash == CONTENT_BLAKE2B_256);
    assert(chunk_log2 >= CONTENT_CHUNK_LOG2_MIN && chunk_log2 <= CONTENT_CHUNK_LOG2_MAX);
    (void)hash;
    return zero_hashes[chunk_log2 - CONTENT_CHUNK_LOG2_MIN];
}

bool content_chunk_is_zero(const struct content *content,
                           uint32_t chunk,
                           const uint8_t of[CONTENT_ROOT_BYTES])
{
    return content_chunk_bytes(content, chunk) == 1u << content->chunk_log2 &&
           memcmp(of, content_zero_hash(content->hash, content->chunk_log2), CONTENT_ROOT_BYTES) ==
               0;
}

/* The root of several: of chunk size, size and list, personalised. */
static void
list_root(const struct content *content, const uint8_t *list, uint8_t root_out[CONTENT_ROOT_BYTES])
{
    static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "kith-fs-list-1";
    struct content_hasher hasher;
    crypto_generichash_blake2b_state *state = state_of(&hasher);
    uint8_t head[12];
    put_le32(head, 1u << content->chunk_log2);
    put_le64(head + 4, content->size);
    (void)crypto_generichash_blake2b_init_salt_personal(state, NULL, 0, CONTENT_ROOT_BYTES, NULL,
                                                        personal);
    (void)crypto_generichash_blake2b_update(state, head, sizeof(head));
    (void)crypto_generichash_blake2b_update(state, list, content_list_bytes(content));
    (void)crypto_generichash_blake2b_final(state, root_out, CONTENT_ROOT_BYTES);
}

void content_of_list(uint8_t hash, uint64_t size, const uint8_t *list, struct content *content_out)
{
    struct content content = {.size = size, .hash = hash, .chunk_log2 = content_chunk_log2(size)};
    if (content_list_bytes(&content) > 0)
        list_root(&content, list, content.root);
    else if (size > 0)
        memcpy(content.root, list, CONTENT_ROOT_BYTES);
    else
        content_hash_bytes(hash, NULL, 0, content.root);
    *content_out = content;
}

/* ---- from a run of bytes ---- */

int content_builder_init(struct content_builder *builder, uint8_t hash, uint64_t size)
{
    *builder = (struct content_builder){.size = size, .hash = hash};
    if (size > FS_SIZE_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "a file of %llu bytes cannot be shared: at most %llu; split it",
                              (unsigned long long)size, (unsigned long long)FS_SIZE_MAX);
    builder->chunk_log2 = content_chunk_log2(size);
    content_hasher_init(&builder->hasher, hash);
    return 0;
}

uint32_t content_tail_bytes(const struct content *content)
{
    return (uint32_t)(content->size & ((1ull << content->chunk_log2) - 1));
}

int content_builder_resume(struct content_builder *builder,
                           const struct content *before,
                           const uint8_t *list,
                           uint64_t size)
{
    uint32_t whole = (uint32_t)(before->size >> before->chunk_log2);
    int r = content_builder_init(builder, before->hash, size);
    if (r == 0 && builder->chunk_log2 != before->chunk_log2)
        r = KITH_E_AGAIN;
    if (r == 0 && whole > 0)
        r = buf_append(&builder->list, content_chunk_hash(before, list, 0),
                       (size_t)whole * CONTENT_ROOT_BYTES);
    builder->at = (uint64_t)whole << before->chunk_log2;
    return r;
}

bool content_builder_has(const struct content_builder *builder,
                         const uint8_t hash[CONTENT_ROOT_BYTES])
{
    struct content_hasher copy;
    uint8_t now[CONTENT_ROOT_BYTES];
    memcpy(state_of(&copy), const_state_of(&builder->hasher),
           sizeof(crypto_generichash_blake2b_state));
    content_hasher_final(&copy, now);
    return memcmp(now, hash, sizeof(now)) == 0;
}

void content_builder_deinit(struct content_builder *builder)
{
    buf_deinit(&builder->list);
}

static uint64_t chunk_left(const struct content_builder *builder)
{
    uint64_t whole = 1ull << builder->chunk_log2;
    return whole - (builder->at & (whole - 1));
}

/* The zeros of the chunk that were not hashed yet. */
static void hash_zeros(struct content_builder *builder)
{
    static const uint8_t zeros[4096];
    while (builder->zeros > 0) {
        uint32_t n = builder->zeros < sizeof(zeros) ? builder->zeros : (uint32_t)sizeof(zeros);
        content_hasher_update(&builder->hasher, zeros, n);
        builder->zeros -= n;
    }
}

/* The chunk is whole, or the last. */
static int end_chunk(struct content_builder *builder)
{
    uint8_t hash[CONTENT_ROOT_BYTES];
    if (builder->zeros == 1u << builder->chunk_log2) {
        builder->zeros = 0;
        return buf_append(&builder->list, content_zero_hash(builder->hash, builder->chunk_log2),
                          CONTENT_ROOT_BYTES);
    }
    hash_zeros(builder);
    content_hasher_final(&builder->hasher, hash);
    content_hasher_init(&builder->hasher, builder->hash);
    return buf_append(&builder->list, hash, sizeof(hash));
}

static int advance(struct content_builder *builder, uint64_t n)
{
    builder->at += n;
    bool whole = (builder->at & ((1ull << builder->chunk_log2) - 1)) == 0;
    return whole || builder->at == builder->size ? end_chunk(builder) : 0;
}

static int changed(const struct content_builder *builder)
{
    return kith_fail_with(KITH_E_AGAIN, "the file changed its size from %llu while it was read",
                          (unsigned long long)builder->size);
}

int content_builder_update(struct content_builder *builder, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    if (len > builder->size - builder->at)
        return changed(builder);
    while (len > 0) {
        size_t n = len < chunk_left(builder) ? len : (size_t)chunk_left(builder);
        hash_zeros(builder);
        content_hasher_update(&builder->hasher, p, n);
        p += n;
        len -= n;
        int r = advance(builder, n);
        if (r != 0)
            return r;
    }
    return 0;
}

int content_builder_zeros(struct content_builder *builder, uint64_t len)
{
    if (len > builder->size - builder->at)
        return changed(builder);
    while (len > 0) {
        uint64_t n = len < chunk_left(builder) ? len : chunk_left(builder);
        /* Behind other bytes of the chunk they have to be hashed now. */
        bool first = chunk_left(builder) + builder->zeros == 1ull << builder->chunk_log2;
        builder->zeros += (uint32_t)n;
        if (!first)
            hash_zeros(builder);
        len -= n;
        int r = advance(builder, n);
        if (r != 0)
            return r;
    }
    return 0;
}

int content_builder_end(struct content_builder *builder,
                        struct content *content_out,
                        struct kith_bytes *list_out)
{
    if (builder->at != builder->size)
        return changed(builder);
    content_of_list(builder->hash, builder->size, builder->list.data, content_out);
    bool several = content_list_bytes(content_out) > 0;
    *list_out = several ? (struct kith_bytes){.data = builder->list.data, .len = builder->list.len}
                        : (struct kith_bytes){0};
    return 0;
}

/* ---- checks ---- */

int content_list_check(const struct content *content, const void *list, size_t len)
{
    uint8_t root[CONTENT_ROOT_BYTES];
    if (len == 0 || len != content_list_bytes(content))
        return KITH_E_CORRUPT;
    list_root(content, (const uint8_t *)list, root);
    return memcmp(root, content->root, sizeof(root)) == 0 ? 0 : KITH_E_CORRUPT;
}

const uint8_t *
content_chunk_hash(const struct content *content, const uint8_t *list, uint32_t chunk)
{
    assert(chunk < content_chunks(content));
    if (content_list_bytes(content) == 0)
        return content->root;
    assert(list != NULL);
    return list + (size_t)chunk * CONTENT_ROOT_BYTES;
}

int content_chunk_check(const struct content *content,
                        const uint8_t of[CONTENT_ROOT_BYTES],
                        uint32_t chunk,
                        const void *data,
                        size_t len)
{
    uint8_t hash[CONTENT_ROOT_BYTES];
    if (len != content_chunk_bytes(content, chunk))
        return KITH_E_CORRUPT;
    content_hash_bytes(content->hash, data, len, hash);
    return memcmp(hash, of, sizeof(hash)) == 0 ? 0 : KITH_E_CORRUPT;
}

uint32_t content_lanes(void)
{
    return lanes_have() ? CONTENT_LANES : 1;
}

static void check_one(struct content_check *check)
{
    check->code = check->list ? content_list_check(check->content, check->data, check->len)
                              : content_chunk_check(check->content, check->of, check->chunk,
                                                    check->data, check->len);
}

/* Whether they can be hashed together. With less than three it would be no gain. */
static bool fit_lanes(struct content_check *const *checks, size_t n)
{
    bool fit = n >= 3 && lanes_have();
    for (size_t i = 0; i < n && fit; i++)
        fit = !checks[i]->list && checks[i]->content->hash == CONTENT_BLAKE2B_256 &&
              checks[i]->len > 0 && checks[i]->len == checks[0]->len &&
              checks[i]->len == content_chunk_bytes(checks[i]->content, checks[i]->chunk);
    return fit;
}

void content_checks(struct content_check *const *checks, size_t n)
{
    uint8_t hashes[CONTENT_LANES][CONTENT_ROOT_BYTES];
    const uint8_t *runs[CONTENT_LANES];
    assert(n <= CONTENT_LANES);
    if (!fit_lanes(checks, n)) {
        for (size_t i = 0; i < n; i++)
            check_one(checks[i]);
        return;
    }
    for (size_t i = 0; i < CONTENT_LANES; i++)
        runs[i] = (const uint8_t *)checks[i < n ? i : 0]->data;
    lanes_hash(runs, checks[0]->len, hashes);
    for (size_t i = 0; i < n; i++)
        checks[i]->code =
            memcmp(hashes[i], checks[i]->of, CONTENT_ROOT_BYTES) == 0 ? 0 : KITH_E_CORRUPT;
}

/* ---- on the wire and on disk ---- */

void content_encode(const struct content *content, uint8_t out[CONTENT_WIRE_BYTES])
{
    put_le64(out, content->size);
    out[8] = content->hash;
    out[9] = content->chunk_log2;
    memcpy(out + 10, content->root, CONTENT_ROOT_BYTES);
}

void content_read(struct reader *reader, struct content *content_out)
{
    struct content content = {.size = read_le64(reader)};
    content.hash = read_u8(reader);
    content.chunk_log2 = read_u8(reader);
    const uint8_t *root = read_bytes(reader, CONTENT_ROOT_BYTES);
    *content_out = (struct content){0};
    if (root == NULL)
        return;
    memcpy(content.root, root, CONTENT_ROOT_BYTES);
    if (content_valid(&content))
        *content_out = content;
    else
        reader->bad = true;
}
