/*
 * Keys of simulated nodes: real ones (libsodium, the shipped identity and datagram codec), or none
 * at all and keyed hashes in their place.
 */
#ifndef SIM_KEYS_H
#define SIM_KEYS_H

#include "member/member.h"
#include "world.h"

struct sim_keys;
struct dgram_peer;

/* Real keys for all nodes of @world, which get the ids that go with them. Before the first start.
 */
struct sim_keys *keys_new(struct sim_world *world, uint64_t seed);
void keys_free(struct sim_keys *keys);

/* The public key of @node, real or a stand-in (@keys NULL). */
void keys_public(const struct sim_keys *keys, const struct sim_node *node, uint8_t sign_pk_out[32]);
/* Crypto of @node for the member core. */
struct member_crypto keys_crypto(struct sim_keys *keys, struct sim_node *node);

/* The shipped datagram codec between two nodes; see net/dgram.h. */
struct dgram_peer *keys_dgram_new(struct sim_keys *keys,
                                  const struct sim_node *node,
                                  const struct sim_node *peer,
                                  uint64_t boot_no);
void keys_dgram_free(struct dgram_peer *peer);
void keys_dgram_boot(struct dgram_peer *peer, uint64_t boot_no);
/* At most 1,200 bytes to @out. Returns how many, 0 if it cannot be sealed. */
size_t keys_dgram_seal(struct sim_keys *keys,
                       struct sim_node *node,
                       struct dgram_peer *peer,
                       bool boot,
                       struct kith_bytes body,
                       uint8_t *out);
/* As dgram_open(): 0 and *body_out (NULL data: nothing to deliver), KITH_E_AGAIN, or to be dropped.
 */
int keys_dgram_open(struct sim_node *node,
                    struct dgram_peer *peer,
                    const uint8_t *data,
                    size_t len,
                    uint8_t *plain,
                    struct kith_bytes *body_out,
                    uint64_t *boot_no_out);

#endif
