/*
 * The record cipher: ChaCha20-Poly1305 (RFC 8439) with Noise's nonce (4 zero bytes, then the u64
 * counter in little-endian), behind one small interface. Two back ends give the same bytes:
 * libsodium's, and OpenSSL libcrypto's, which is about three times as fast on large records and
 * slower on small ones. CIPHER_AUTO chooses per record: libcrypto above CIPHER_AUTO_BYTES,
 * after the first CIPHER_COLD_BYTES of such records.
 *
 * A cipher belongs to one thread at a time. It never counts: the nonce is given by the caller, who
 * must not give one twice for sealing under one key.
 */
#ifndef NET_CIPHER_H
#define NET_CIPHER_H

#include "kith/api.h"

#define CIPHER_KEY_BYTES 32
#define CIPHER_TAG_BYTES 16
/* libsodium is faster up to here. */
#define CIPHER_AUTO_BYTES 448
/* Of larger records, before libcrypto takes them: what it is made of takes 2 MiB of a process. */
#define CIPHER_COLD_BYTES (64 * 1024)
/* Most bytes that cipher_peek() shows. */
#define CIPHER_PEEK_BYTES_MAX 64

enum cipher_kind {
    CIPHER_AUTO = 0,
    CIPHER_SODIUM = 1,
    CIPHER_OPENSSL = 2,
};

struct cipher;

/* A back end. All of its functions get checked arguments; see the cipher_ functions for contracts.
 */
struct cipher_ops {
    const char *name;
    int (*seal)(struct cipher *cipher,
                uint8_t *out,
                const struct kith_bytes *parts,
                size_t parts_n,
                uint64_t nonce,
                struct kith_bytes ad);
    int (*open)(struct cipher *cipher,
                uint8_t *out,
                const uint8_t *in,
                size_t len,
                uint64_t nonce,
                struct kith_bytes ad);
    void (*forget)(
        struct cipher *cipher); /* drops what was derived of the key; the key may change */
};

struct cipher {
    const struct cipher_ops *ops; /* NULL: not initialised */
    uint8_t key[CIPHER_KEY_BYTES];
    void *seal_ctx; /* libcrypto's, made at the first record that wants it */
    void *open_ctx;
    uint32_t large_bytes; /* of CIPHER_AUTO: in large records, until libcrypto takes them */
};

/* True if this build has the back end. */
bool cipher_has(enum cipher_kind kind);
const char *cipher_name(const struct cipher *cipher);

/*
 * Takes a copy of @key. CIPHER_AUTO falls back to libsodium alone where libcrypto is not built in.
 * 0; KITH_E_UNSUPPORTED.
 */
int cipher_init(struct cipher *cipher, enum cipher_kind kind, const uint8_t key[CIPHER_KEY_BYTES]);
/* Wipes the key; may run twice, or on a zeroed cipher. */
void cipher_deinit(struct cipher *cipher);

/*
 * Seals the @parts put together: writes their length + CIPHER_TAG_BYTES to @out. One part may be
 * at @out itself if it is the only one (in place); else they do not overlap it.
 * 0; KITH_E_MEMORY, KITH_E_INTERNAL (libcrypto failed): then @out is not to be sent.
 */
int cipher_seal(struct cipher *cipher,
                uint8_t *out,
                const struct kith_bytes *parts,
                size_t parts_n,
                uint64_t nonce,
                struct kith_bytes ad);

/*
 * Opens @len bytes (tag included) at @in and writes @len - CIPHER_TAG_BYTES to @out, which may be
 * @in. 0; KITH_E_CORRUPT if it is not authentic: then what stands at @out is worth nothing;
 * KITH_E_MEMORY, KITH_E_INTERNAL.
 */
int cipher_open(struct cipher *cipher,
                uint8_t *out,
                const uint8_t *in,
                size_t len,
                uint64_t nonce,
                struct kith_bytes ad);

/*
 * Decrypts the first @n bytes (at most CIPHER_PEEK_BYTES_MAX) of a sealed run WITHOUT checking it:
 * only fit to choose where to open it to. Nothing may be allocated or believed because of it.
 */
void cipher_peek(
    const struct cipher *cipher, uint8_t *out, const uint8_t *in, size_t n, uint64_t nonce);

/* Noise's REKEY(): replaces the key. The caller's nonce goes on. */
void cipher_rekey(struct cipher *cipher);

/* The back ends; cipher_openssl_ops() is NULL where libcrypto is not built in. */
const struct cipher_ops *cipher_sodium_ops(void);
const struct cipher_ops *cipher_openssl_ops(void);

#endif
