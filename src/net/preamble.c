/*
 * The clear preamble.
 */
#include "net/preamble.h"

#include <sodium.h>
#include <string.h>

#include "core/error.h"

static const uint8_t magic[6] = {0x89, 'k', 'i', 't', 'h', '\n'};

#define VERSION_AT 6
#define HINT_AT    8
#define MAC_AT     16

static_assert(MAC_AT + PREAMBLE_MAC_BYTES == PREAMBLE_BYTES, "layout");
static_assert(HINT_AT + NET_HINT_BYTES == MAC_AT, "layout");

/* MAC of the first 16 bytes of the preamble and of e. */
static void mac_of(const struct net_cluster_keys *keys,
                   const uint8_t start[MAC_AT],
                   const uint8_t e_pk[NET_PUBLIC_KEY_BYTES],
                   uint8_t out[PREAMBLE_MAC_BYTES])
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, keys->preamble_mac, sizeof keys->preamble_mac,
                                    PREAMBLE_MAC_BYTES);
    crypto_generichash_blake2b_update(&state, start, MAC_AT);
    crypto_generichash_blake2b_update(&state, e_pk, NET_PUBLIC_KEY_BYTES);
    crypto_generichash_blake2b_final(&state, out, PREAMBLE_MAC_BYTES);
    sodium_memzero(&state, sizeof state);
}

static void start_encode(uint8_t out[MAC_AT],
                         uint8_t version_min,
                         uint8_t version_max,
                         const uint8_t hint[NET_HINT_BYTES])
{
    memcpy(out, magic, sizeof magic);
    out[VERSION_AT] = version_min;
    out[VERSION_AT + 1] = version_max;
    memcpy(out + HINT_AT, hint, NET_HINT_BYTES);
}

void preamble_encode(const struct net_cluster_keys *keys,
                     const uint8_t e_pk[NET_PUBLIC_KEY_BYTES],
                     uint8_t out[PREAMBLE_BYTES])
{
    start_encode(out, NET_VERSION_MIN, NET_VERSION_MAX, keys->preamble_hint);
    mac_of(keys, out, e_pk, out + MAC_AT);
}

int preamble_decode(const uint8_t *data, size_t len, struct preamble *preamble_out)
{
    size_t looked = len < sizeof magic ? len : sizeof magic;

    if (memcmp(data, magic, looked) != 0)
        return KITH_E_PARSE;
    if (len > VERSION_AT && data[VERSION_AT] == 0)
        return KITH_E_PARSE;
    if (len > VERSION_AT + 1 && data[VERSION_AT + 1] < data[VERSION_AT])
        return KITH_E_PARSE;
    if (len < PREAMBLE_BYTES)
        return KITH_E_AGAIN;
    preamble_out->version_min = data[VERSION_AT];
    preamble_out->version_max = data[VERSION_AT + 1];
    memcpy(preamble_out->hint, data + HINT_AT, NET_HINT_BYTES);
    memcpy(preamble_out->mac, data + MAC_AT, PREAMBLE_MAC_BYTES);
    return 0;
}

int preamble_check(const struct preamble *preamble,
                   const struct net_cluster_keys *keys,
                   const uint8_t *e_pk)
{
    uint8_t start[MAC_AT];
    uint8_t mac[PREAMBLE_MAC_BYTES];
    bool same;

    if (preamble->version_min > NET_VERSION_MAX || preamble->version_max < NET_VERSION_MIN)
        return kith_fail_with(KITH_E_VERSION,
                              "peer speaks protocol versions %u to %u, this node %u to %u; "
                              "install the same release on both",
                              preamble->version_min, preamble->version_max, NET_VERSION_MIN,
                              NET_VERSION_MAX);
    if (sodium_memcmp(preamble->hint, keys->preamble_hint, NET_HINT_BYTES) != 0)
        return kith_fail_with(KITH_E_OTHER_CLUSTER,
                              "peer belongs to another cluster; join it with `kith join TOKEN`, "
                              "TOKEN from `kith invite` on a node of the wanted cluster");
    if (e_pk == NULL)
        return 0;
    start_encode(start, preamble->version_min, preamble->version_max, preamble->hint);
    mac_of(keys, start, e_pk, mac);
    same = sodium_memcmp(mac, preamble->mac, sizeof mac) == 0;
    sodium_memzero(mac, sizeof mac); /* a right MAC for a stranger's e is worth hiding */
    if (!same)
        return kith_fail_with(
            KITH_E_SECRET, "peer has another cluster secret; join it again with `kith join TOKEN`, "
                           "TOKEN from `kith invite`");
    return 0;
}

uint8_t preamble_refusal_of(int code)
{
    switch (code) {
    case KITH_E_VERSION:
        return PREAMBLE_REFUSED_VERSION;
    case KITH_E_OTHER_CLUSTER:
        return PREAMBLE_REFUSED_CLUSTER;
    case KITH_E_SECRET:
        return PREAMBLE_REFUSED_SECRET;
    default:
        return 0;
    }
}

int preamble_refusal_code(uint8_t byte)
{
    switch (byte) {
    case PREAMBLE_REFUSED_VERSION:
        return KITH_E_VERSION;
    case PREAMBLE_REFUSED_CLUSTER:
        return KITH_E_OTHER_CLUSTER;
    case PREAMBLE_REFUSED_SECRET:
        return KITH_E_SECRET;
    default:
        return KITH_E_PARSE;
    }
}
