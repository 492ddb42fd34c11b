/*
 * BLAKE2b-256 of four runs of bytes at once: one in each lane of the processor's wide registers,
 * all of one length. What comes out is what four hashes one after the other give, in less than half
 * their time.
 *
 * Which file this is built of follows the processor (lanes_avx2.c, lanes_none.c). Pure, any thread.
 */
#ifndef FS_LANES_H
#define FS_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_N          4
#define LANES_HASH_BYTES 32

/* Whether this processor can. */
bool lanes_have(void);

/*
 * The hashes, without key and personalisation, of the @len bytes (at least 1) at each of @runs,
 * which may be the same ones. Only if lanes_have().
 */
void lanes_hash(const uint8_t *const runs[LANES_N],
                size_t len,
                uint8_t hashes_out[LANES_N][LANES_HASH_BYTES]);

#endif
