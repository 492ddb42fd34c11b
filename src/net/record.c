/*
 * Records: a length, and one AEAD call.
 */
#include "net/record.h"

#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"

/* Noise keeps the last nonce for REKEY. */
#define COUNTER_END UINT64_MAX

int record_out_init(struct record_out *out,
                    enum cipher_kind kind,
                    const uint8_t key[CIPHER_KEY_BYTES],
                    uint64_t now_ms)
{
    memset(out, 0, sizeof *out);
    out->key_since_ms = now_ms;
    return cipher_init(&out->cipher, kind, key);
}

int record_in_init(struct record_in *in, enum cipher_kind kind, const uint8_t key[CIPHER_KEY_BYTES])
{
    memset(in, 0, sizeof *in);
    return cipher_init(&in->cipher, kind, key);
}

void record_out_deinit(struct record_out *out)
{
    cipher_deinit(&out->cipher);
}

void record_in_deinit(struct record_in *in)
{
    cipher_deinit(&in->cipher);
}

static int exhausted(void)
{
    return kith_fail_with(KITH_E_LIMIT, "stream: the record counter is used up; open a new stream");
}

int record_seal(struct record_out *out,
                const struct kith_bytes *parts,
                size_t parts_n,
                uint8_t *wire,
                size_t wire_bytes,
                size_t *len_out)
{
    size_t plain = 0;
    int r;

    for (size_t i = 0; i < parts_n; i++)
        plain += parts[i].len;
    assert(plain > 0);
    if (plain > NET_RECORD_PLAIN_BYTES_MAX || plain + RECORD_OVERHEAD_BYTES > wire_bytes)
        return KITH_E_TOO_LARGE;
    if (out->counter == COUNTER_END)
        return exhausted();
    r = cipher_seal(&out->cipher, wire + RECORD_HEAD_BYTES, parts, parts_n, out->counter,
                    (struct kith_bytes){0});
    if (r != 0)
        return r;
    put_le16(wire, (uint16_t)(plain + CIPHER_TAG_BYTES));
    out->counter++;
    out->key_bytes += plain;
    *len_out = plain + RECORD_OVERHEAD_BYTES;
    return 0;
}

bool record_rekey_due(const struct record_out *out, uint64_t now_ms)
{
    return out->key_bytes >= NET_REKEY_BYTES || now_ms - out->key_since_ms >= NET_REKEY_MS;
}

void record_out_rekey(struct record_out *out, uint64_t now_ms)
{
    cipher_rekey(&out->cipher);
    out->key_bytes = 0;
    out->key_since_ms = now_ms;
}

void record_in_rekey(struct record_in *in)
{
    cipher_rekey(&in->cipher);
}

int record_wire_len(const uint8_t *wire, size_t len, size_t *wire_len_out)
{
    uint16_t sealed;

    *wire_len_out = 0;
    if (len < RECORD_HEAD_BYTES)
        return 0;
    sealed = get_le16(wire);
    if (sealed <= CIPHER_TAG_BYTES)
        return kith_fail_with(KITH_E_PARSE, "stream: a record of %u bytes cannot be", sealed);
    *wire_len_out = (size_t)sealed + RECORD_HEAD_BYTES;
    return 0;
}

int record_open(struct record_in *in, const uint8_t *wire, size_t wire_len, uint8_t *plain)
{
    int r;

    assert(wire_len > RECORD_OVERHEAD_BYTES);
    assert(wire_len <= RECORD_WIRE_BYTES_MAX);
    if (in->counter == COUNTER_END)
        return exhausted();
    r = cipher_open(&in->cipher, plain, wire + RECORD_HEAD_BYTES, wire_len - RECORD_HEAD_BYTES,
                    in->counter, (struct kith_bytes){0});
    if (r == KITH_E_CORRUPT)
        return kith_fail_with(r, "stream: record %llu is not authentic",
                              (unsigned long long)in->counter);
    if (r != 0)
        return r;
    in->counter++;
    return 0;
}

void record_peek(const struct record_in *in, const uint8_t *wire, uint8_t *out, size_t n)
{
    cipher_peek(&in->cipher, out, wire + RECORD_HEAD_BYTES, n, in->counter);
}
