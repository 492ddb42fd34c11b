/* No wide registers that we know of: hashes are made one after the other. See lanes.h. */
#include "fs/lanes.h"

#include <assert.h>

bool lanes_have(void)
{
    return false;
}

void lanes_hash(const uint8_t *const runs[LANES_N],
                size_t len,
                uint8_t hashes_out[LANES_N][LANES_HASH_BYTES])
{
    (void)runs, (void)len, (void)hashes_out;
    assert(!"lanes_hash() without lanes_have()");
}
