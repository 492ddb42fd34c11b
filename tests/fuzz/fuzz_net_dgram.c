/*
 * Datagrams: raw bytes, which must never open; and a sealed one whose boots, counter and changed
 * byte come from the input, against what the rules say.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "net/dgram.h"

#define BOOT_OF_A 5
#define BOOT_OF_B 7

/* Each end's view of the other, made once: a curve operation is dearer than all the rest. */
static struct dgram_peer fresh_a, fresh_b;

static struct dgram_peer peer_of(const struct net_identity *self, const struct net_identity *other)
{
    struct net_cluster cluster = fuzz_cluster();
    struct dgram_peer peer;

    must(dgram_peer_init(&peer, self, &cluster, &other->id, other->dh_pk, 0, 0) == 0);
    return peer;
}

static void begin(void)
{
    static bool begun;
    struct net_identity a, b;

    if (begun)
        return;
    begun = true;
    a = fuzz_identity(1);
    b = fuzz_identity(2);
    fresh_a = peer_of(&a, &b);
    fresh_b = peer_of(&b, &a);
}

static void garbage(const uint8_t *data, size_t len)
{
    struct dgram_peer peer = fresh_b;
    uint8_t plain[NET_DGRAM_BYTES_MAX];
    struct dgram_head head;
    struct dgram got;
    int r = dgram_open(&peer, BOOT_OF_B, data, len, plain, &got);

    must(r == KITH_E_CORRUPT);
    must(peer.boot_no == 0);
    if (dgram_head_decode(data, len, &head) == 0)
        must(len >= DGRAM_OVERHEAD_BYTES && len <= NET_DGRAM_BYTES_MAX && head.boot_no != 0);
}

static void sealed(const uint8_t *data, size_t len)
{
    struct dgram_peer a = fresh_a, b = fresh_b;
    uint8_t nonce[DGRAM_NONCE_BYTES] = {1}, out[NET_DGRAM_BYTES_MAX], plain[NET_DGRAM_BYTES_MAX];
    struct kith_bytes body = {data + 8, len - 8};
    uint64_t sender = data[0], named = data[1] % 16, known = data[2], counter = get_le16(data + 3);
    size_t at = get_le16(data + 5), out_len;
    uint8_t flip = data[7];
    struct dgram got;
    int r;

    if (body.len > DGRAM_BODY_BYTES_MAX)
        body.len = DGRAM_BODY_BYTES_MAX;
    a.boot_no = named;
    a.counter = counter;
    b.boot_no = known;
    must(dgram_seal(&a, DGRAM_DATA, 1, sender, nonce, body, out, &out_len) == 0);
    out[at % out_len] ^= flip;
    r = dgram_open(&b, BOOT_OF_B, out, out_len, plain, &got);
    if (flip != 0)
        must(r == KITH_E_CORRUPT || r == KITH_E_EXISTS);
    else if (sender == 0)
        must(r == KITH_E_CORRUPT);
    else if (sender < known)
        must(r == KITH_E_EXISTS);
    else
        must(r == (named == BOOT_OF_B ? 0 : KITH_E_AGAIN));
    must(b.boot_no == (flip == 0 && sender > known ? sender : known));
    if (r != 0)
        return;
    must(got.len == body.len && (got.len == 0 || memcmp(got.body, body.data, got.len) == 0));
    must(dgram_open(&b, BOOT_OF_B, out, out_len, plain, &got) == KITH_E_EXISTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    begin();
    garbage(data, len);
    if (len >= 8)
        sealed(data, len);
    return 0;
}
