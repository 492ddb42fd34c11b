/*
 * Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b (the Noise Protocol Framework, revision 34), on libsodium.
 * Pure: the ephemeral key is given by the caller.
 *
 *     -> e
 *     <- e, ee, s, es
 *     -> s, se, psk
 *
 * The machine takes its pattern as a table of tokens, because that is how the specification writes
 * it and because then the published vectors of other patterns prove the same code. Only
 * noise_xxpsk3 is used on the wire.
 *
 * After any error the handshake is dead: deinit it, nothing of it may be used.
 */
#ifndef NET_NOISE_H
#define NET_NOISE_H

#include "kith/api.h"

#define NOISE_KEY_BYTES         32
#define NOISE_HASH_BYTES        64
#define NOISE_TAG_BYTES         16
#define NOISE_MESSAGE_BYTES_MAX 65535

enum noise_token {
    NOISE_END = 0,
    NOISE_E,
    NOISE_S,
    NOISE_EE,
    NOISE_ES,
    NOISE_SE,
    NOISE_SS,
    NOISE_PSK,
};

#define NOISE_TOKENS_MAX   8
#define NOISE_MESSAGES_MAX 4

struct noise_pattern {
    const char *protocol_name;
    bool psk;             /* has a psk token, so every e is mixed into the key too */
    bool knows_initiator; /* pre-message -> s */
    bool knows_responder; /* pre-message <- s */
    uint8_t tokens[NOISE_MESSAGES_MAX][NOISE_TOKENS_MAX]; /* a row a message, initiator first */
};

extern const struct noise_pattern noise_xxpsk3;

/* Borrowed for noise_init() only. What the pattern does not use may be NULL. */
struct noise_keys {
    const uint8_t *static_sk;    /* X25519 */
    const uint8_t *static_pk;    /* its public half; NULL: computed */
    const uint8_t *ephemeral_sk; /* fresh and random, for this handshake only */
    const uint8_t *remote_pk;    /* only where the pattern knows it beforehand */
    const uint8_t *psk;
};

struct noise {
    const struct noise_pattern *pattern; /* NULL: not initialised, or dead */
    bool initiator;
    bool has_key;
    bool has_remote_static;
    bool has_remote_ephemeral;
    uint8_t message; /* index of the next one */
    uint64_t nonce;
    uint8_t key[NOISE_KEY_BYTES];
    uint8_t chaining[NOISE_HASH_BYTES];
    uint8_t hash[NOISE_HASH_BYTES];
    uint8_t static_sk[NOISE_KEY_BYTES], static_pk[NOISE_KEY_BYTES];
    uint8_t ephemeral_sk[NOISE_KEY_BYTES], ephemeral_pk[NOISE_KEY_BYTES];
    uint8_t remote_static[NOISE_KEY_BYTES], remote_ephemeral[NOISE_KEY_BYTES];
    uint8_t psk[NOISE_KEY_BYTES];
};

/* The two keys after the handshake, and what binds to it. */
struct noise_split {
    uint8_t send_key[NOISE_KEY_BYTES];
    uint8_t recv_key[NOISE_KEY_BYTES];
    uint8_t hash[NOISE_HASH_BYTES]; /* the handshake hash, for channel binding */
};

/* 0; KITH_E_INVALID if a key that the pattern needs is missing or degenerate. */
int noise_init(struct noise *noise,
               const struct noise_pattern *pattern,
               bool initiator,
               const struct noise_keys *keys,
               struct kith_bytes prologue);
/* Wipes everything; may run twice, or on a zeroed one. */
void noise_deinit(struct noise *noise);

/* True if the next message is ours to write. Neither after the last one. */
bool noise_writes_next(const struct noise *noise);
bool noise_is_done(const struct noise *noise);
/* Bytes that the next message has beyond its payload. */
size_t noise_overhead(const struct noise *noise);

/*
 * Writes the next message with @payload to @out. 0; KITH_E_TOO_LARGE if it passes @out_bytes or
 * NOISE_MESSAGE_BYTES_MAX (the handshake lives on); KITH_E_CORRUPT if a key of the peer is
 * degenerate.
 */
int noise_write(struct noise *noise,
                struct kith_bytes payload,
                uint8_t *out,
                size_t out_bytes,
                size_t *len_out);

/*
 * Reads the next message; its payload goes to @payload_out, which needs room for
 * @len - noise_overhead(). 0; KITH_E_CORRUPT if it is not authentic, too short or its keys are
 * degenerate; KITH_E_TOO_LARGE.
 */
int noise_read(struct noise *noise,
               const uint8_t *message,
               size_t len,
               uint8_t *payload_out,
               size_t payload_bytes,
               size_t *len_out);

/* The peer's static key, once read (or known beforehand); else NULL. */
const uint8_t *noise_remote_static(const struct noise *noise);

/* The keys, only when noise_is_done(). The caller wipes them after use. */
void noise_split(const struct noise *noise, struct noise_split *split_out);

/* X25519 public key of @sk. 0 or KITH_E_INVALID. */
int noise_public_of(const uint8_t sk[NOISE_KEY_BYTES], uint8_t pk_out[NOISE_KEY_BYTES]);

#endif
