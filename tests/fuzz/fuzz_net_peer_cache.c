/*
 * The peers file: raw, and with magic and checksum put right, so that what is behind them is
 * reached.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "net/peer_cache.h"

static void read_all(const uint8_t *data, size_t len)
{
    struct peer_cache_reader reader;
    struct peer_cache_writer writer;
    struct peer_entry entry;
    struct buf out = {0};
    uint32_t n = 0;
    int r = peer_cache_open(&reader, data, len);

    if (r != 0)
        return;
    must(peer_cache_begin(&writer, &out) == 0);
    while ((r = peer_cache_next(&reader, &entry)) == 1) {
        must(entry.addresses_n <= NET_ADDRESSES_PER_PEER_MAX);
        must(peer_cache_add(&writer, &entry) == 0); /* what was read may be written */
        must(++n <= NET_PEER_KEYS_MAX);
    }
    must(r == 0 || r == KITH_E_CORRUPT);
    must(peer_cache_end(&writer) == 0);
    must(peer_cache_open(&reader, out.data, out.len) == 0);
    must(reader.left == n);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;

    read_all(data, len);
    if (len < 12 || len > 65536)
        return 0;
    copy = malloc(len + 32);
    must(copy != NULL);
    memcpy(copy, data, len);
    memcpy(copy, "kithpc1\n", 8);
    crypto_generichash_blake2b(copy + len, 32, copy, len, NULL, 0);
    read_all(copy, len + 32);
    free(copy);
    return 0;
}
