/*
 * The preamble, by itself and with the ephemeral key behind it.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "net/preamble.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct net_cluster cluster = fuzz_cluster();
    struct net_cluster_keys keys;
    struct preamble preamble;
    int whole, r;

    net_cluster_derive(&cluster, &keys);
    whole = preamble_decode(data, len, &preamble);
    /* A verdict on a part may only be "more" or "garbage", and garbage stays garbage. */
    for (size_t part = 0; part < len && part < PREAMBLE_BYTES; part++) {
        struct preamble other;

        r = preamble_decode(data, part, &other);
        must(r == KITH_E_AGAIN || (r == KITH_E_PARSE && whole == KITH_E_PARSE));
    }
    if (whole != 0)
        return 0;
    r = preamble_check(&preamble, &keys, NULL);
    must(r == 0 || r == KITH_E_VERSION || r == KITH_E_OTHER_CLUSTER);
    if (len < PREAMBLE_BYTES + NET_PUBLIC_KEY_BYTES)
        return 0;
    r = preamble_check(&preamble, &keys, data + PREAMBLE_BYTES);
    must(r == 0 || preamble_refusal_of(r) != 0);
    if (r == 0) { /* then it is what we would have written, but for the versions */
        uint8_t ours[PREAMBLE_BYTES];

        preamble_encode(&keys, data + PREAMBLE_BYTES, ours);
        must(memcmp(ours + 8, data + 8, NET_HINT_BYTES) == 0);
    }
    return 0;
}
