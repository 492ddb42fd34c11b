/*
 * Records: bytes as they come from a socket, cut into records by their lengths. None of them may
 * open; and a real record must, unless a byte of it was changed.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "net/record.h"

static const uint8_t key[32] = {9};

static void garbage(const uint8_t *data, size_t len)
{
    struct record_in in;
    size_t wire_len;

    must(record_in_init(&in, CIPHER_AUTO, key) == 0);
    while (record_wire_len(data, len, &wire_len) == 0 && wire_len != 0 && wire_len <= len) {
        uint8_t *copy = fuzz_copy(data, wire_len);

        must(wire_len > RECORD_OVERHEAD_BYTES);
        must(record_open(&in, copy, wire_len, copy + RECORD_HEAD_BYTES) == KITH_E_CORRUPT);
        free(copy);
        data += wire_len;
        len -= wire_len;
    }
    must(in.counter == 0);
    record_in_deinit(&in);
}

static void changed(const uint8_t *data, size_t len)
{
    static uint8_t wire[RECORD_WIRE_BYTES_MAX], plain[RECORD_WIRE_BYTES_MAX];
    size_t at = get_le16(data), wire_len, told;
    struct kith_bytes part = {data + 3, len - 3};
    struct record_out out;
    struct record_in in;
    uint8_t flip = data[2];
    int r;

    if (part.len > NET_RECORD_PLAIN_BYTES_MAX)
        part.len = NET_RECORD_PLAIN_BYTES_MAX;
    must(record_out_init(&out, CIPHER_AUTO, key, 0) == 0);
    must(record_in_init(&in, CIPHER_SODIUM, key) == 0);
    must(record_seal(&out, &part, 1, wire, sizeof wire, &wire_len) == 0);
    wire[RECORD_HEAD_BYTES + at % (wire_len - RECORD_HEAD_BYTES)] ^= flip;
    must(record_wire_len(wire, wire_len, &told) == 0 && told == wire_len);
    r = record_open(&in, wire, wire_len, plain);
    must(r == (flip == 0 ? 0 : KITH_E_CORRUPT));
    must(r != 0 || memcmp(plain, part.data, part.len) == 0);
    record_out_deinit(&out);
    record_in_deinit(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    garbage(data, len);
    if (len > 3)
        changed(data, len);
    return 0;
}
