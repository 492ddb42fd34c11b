/*
 * BLAKE2b (RFC 7693) in four lanes of 64 bits: AVX2, if the processor has it. See lanes.h.
 *
 * One register holds the same word of four states. So a step of the hash is one instruction for
 * four of them and nothing is ever moved between lanes, except words of the message when they are
 * loaded.
 */
#include "fs/lanes.h"

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
/* What is built with another target is inlined only if it must be. */
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

/* The rounds one after the other, with the schedule known to the compiler. Sanitizers check every
 * word of every round: unrolled, that takes the compiler minutes. */
#ifdef __has_feature
#define CHECKED __has_feature(address_sanitizer)
#else
#define CHECKED 0
#endif
#if CHECKED
#define ALL_ROUNDS
#else
#define ALL_ROUNDS _Pragma("GCC unroll 12")
#endif

#define BLOCK_BYTES 128
#define WORDS       16 /* of a block, and of a working state */
#define ROUNDS      12
/* Length of the hash, no key, one level of one leaf. */
#define PARAMETERS (0x01010000u | LANES_HASH_BYTES)

static const uint64_t iv[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

/* Which word of the message a round takes when. */
static const uint8_t schedule[ROUNDS][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

bool lanes_have(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

AVX2_INLINE __m256i all(uint64_t word)
{
    return _mm256_set1_epi64x((long long)word);
}

/* ---- a block ---- */

AVX2_INLINE __m256i right_32(__m256i x)
{
    return _mm256_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1));
}

AVX2_INLINE __m256i right_24(__m256i x)
{
    const __m128i from = _mm_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(from));
}

AVX2_INLINE __m256i right_16(__m256i x)
{
    const __m128i from = _mm_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(from));
}

AVX2_INLINE __m256i right_63(__m256i x)
{
    return _mm256_or_si256(_mm256_srli_epi64(x, 63), _mm256_add_epi64(x, x));
}

AVX2_INLINE void mix(__m256i v[WORDS], int a, int b, int c, int d, __m256i x, __m256i y)
{
    v[a] = _mm256_add_epi64(_mm256_add_epi64(v[a], x), v[b]);
    v[d] = right_32(_mm256_xor_si256(v[d], v[a]));
    v[c] = _mm256_add_epi64(v[c], v[d]);
    v[b] = right_24(_mm256_xor_si256(v[b], v[c]));
    v[a] = _mm256_add_epi64(_mm256_add_epi64(v[a], y), v[b]);
    v[d] = right_16(_mm256_xor_si256(v[d], v[a]));
    v[c] = _mm256_add_epi64(v[c], v[d]);
    v[b] = right_63(_mm256_xor_si256(v[b], v[c]));
}

/* Four words of each message, of which each register has a row, become columns. */
AVX2_INLINE void columns(const uint8_t *const runs[LANES_N], size_t at, __m256i out[4])
{
    __m256i a = _mm256_loadu_si256((const void *)(runs[0] + at));
    __m256i b = _mm256_loadu_si256((const void *)(runs[1] + at));
    __m256i c = _mm256_loadu_si256((const void *)(runs[2] + at));
    __m256i d = _mm256_loadu_si256((const void *)(runs[3] + at));
    __m256i ab_even = _mm256_unpacklo_epi64(a, b), ab_odd = _mm256_unpackhi_epi64(a, b);
    __m256i cd_even = _mm256_unpacklo_epi64(c, d), cd_odd = _mm256_unpackhi_epi64(c, d);

    out[0] = _mm256_permute2x128_si256(ab_even, cd_even, 0x20);
    out[1] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x20);
    out[2] = _mm256_permute2x128_si256(ab_even, cd_even, 0x31);
    out[3] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x31);
}

/* The block at @at of each run; with it so many bytes are hashed. */
AVX2_INLINE void
block(__m256i h[8], const uint8_t *const runs[LANES_N], size_t at, uint64_t hashed, bool last)
{
    __m256i m[WORDS], v[WORDS];

    for (int i = 0; i < 4; i++)
        columns(runs, at + 32 * (size_t)i, m + 4 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[8 + i] = all(iv[i]);
    }
    v[12] = all(iv[4] ^ hashed);
    v[14] = all(last ? ~iv[6] : iv[6]);
    ALL_ROUNDS
    for (int r = 0; r < ROUNDS; r++) {
        const uint8_t *s = schedule[r];
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++)
        h[i] = _mm256_xor_si256(h[i], _mm256_xor_si256(v[i], v[8 + i]));
}

/* ---- runs ---- */

AVX2 void lanes_hash(const uint8_t *const runs[LANES_N],
                     size_t len,
                     uint8_t hashes_out[LANES_N][LANES_HASH_BYTES])
{
    uint8_t tails[LANES_N][BLOCK_BYTES] = {{0}};
    const uint8_t *ends[LANES_N];
    size_t at = 0;
    __m256i h[8];

    for (int i = 0; i < 8; i++)
        h[i] = all(iv[i]);
    h[0] = _mm256_xor_si256(h[0], all(PARAMETERS));
    for (; len - at > BLOCK_BYTES; at += BLOCK_BYTES)
        block(h, runs, at, at + BLOCK_BYTES, false);
    for (int lane = 0; lane < LANES_N; lane++) {
        memcpy(tails[lane], runs[lane] + at, len - at);
        ends[lane] = tails[lane];
    }
    block(h, ends, 0, len, true);
    for (int i = 0; i < LANES_HASH_BYTES / 8; i++) {
        uint64_t words[LANES_N];
        _mm256_storeu_si256((void *)words, h[i]);
        for (int lane = 0; lane < LANES_N; lane++)
            memcpy(hashes_out[lane] + 8 * i, &words[lane], 8);
    }
}
