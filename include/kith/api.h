/*
 * What every public header stands on: export macros, version, ids, byte strings.
 */
#ifndef KITH_API_H
#define KITH_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KITH_API                __attribute__((visibility("default")))
#define KITH_MUST_CHECK         __attribute__((warn_unused_result))
#define KITH_PRINTF(fmt_at, at) __attribute__((format(printf, fmt_at, at)))
#else
#define KITH_API
#define KITH_MUST_CHECK
#define KITH_PRINTF(fmt_at, at)
#endif

#define KITH_VERSION_MAJOR 0
#define KITH_VERSION_MINOR 1
#define KITH_VERSION_PATCH 0
#define KITH_VERSION       "0.1.0"

/* Version of the library that is linked or loaded, as "MAJOR.MINOR.PATCH". Static. */
KITH_API const char *kith_version(void);

/* Bytes of a node id; its text form is twice as many lower-case hex digits. */
#define KITH_NODE_ID_BYTES  16
#define KITH_NODE_ID_DIGITS 32

/* Longest name of a node, function, variable or mutex, in bytes, without the final NUL. */
#define KITH_NAME_BYTES_MAX 255
/* Longest "address:port" text, in bytes, without the final NUL ("[v6%zone]:port" fits). */
#define KITH_ADDRESS_TEXT_MAX 71

/*
 * Who a node is: BLAKE2b-128 of its Ed25519 public key. Survives a rename and a change of
 * address. All zero means "no node".
 */
struct kith_node_id {
    uint8_t bytes[KITH_NODE_ID_BYTES];
};

/* A run of bytes. Who owns @data is said where one is passed. @data may be NULL if @len is 0. */
struct kith_bytes {
    const void *data;
    size_t len;
};

/* True if @a and @b name the same node. */
KITH_API bool kith_node_id_equal(const struct kith_node_id *a, const struct kith_node_id *b);

/* Writes the 32 hex digits of @id and a NUL to @text_out (at least 33 bytes); returns @text_out. */
KITH_API char *kith_node_id_text(const struct kith_node_id *id,
                                 char text_out[KITH_NODE_ID_DIGITS + 1]);

/*
 * Parses exactly 32 hex digits. Returns 0, or KITH_E_INVALID and leaves @id_out alone.
 */
KITH_API KITH_MUST_CHECK int kith_node_id_parse(const char *text, struct kith_node_id *id_out);

#ifdef __cplusplus
}
#endif

#endif
