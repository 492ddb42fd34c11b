/*
 * The signed record of a node's facts: canonical bytes, its own key and signature inside.
 *
 *     u8 form (1), u8 flags, u8 role, id[16], sign_pk[32], varints boot_no, version, born_unix_ms,
 *     cpus, cores, memory_bytes; u8 addresses_n; name NUL, version NUL, addresses each NUL;
 *     signature[64] over RECORD_CONTEXT and all bytes before
 *
 * Texts end with NUL so that the tables can point into the record instead of copying.
 */
#ifndef MEMBER_RECORD_H
#define MEMBER_RECORD_H

#include "core/bytes.h"
#include "member/member.h"

#define RECORD_SIGNATURE_BYTES 64
#define RECORD_CONTEXT         "kith member facts 1"

enum record_flags {
    RECORD_GPU = 1 << 0,
    RECORD_LEFT = 1 << 1, /* the node says good-bye */
};

/* A decoded record: everything points into its bytes. */
struct record {
    const uint8_t *data;
    size_t len;
    struct kith_node_id id;
    const uint8_t *sign_pk;
    uint64_t boot_no;
    uint64_t version;
    uint64_t born_unix_ms;
    uint64_t memory_bytes;
    uint32_t cpus;
    uint32_t cores;
    uint8_t flags;
    uint8_t role;
    uint8_t addresses_n;
    const char *name;
    const char *version_text;
    const char *addresses; /* addresses_n texts, one behind the other */
    bool verified;         /* set by who has checked it */
};

/* 0; KITH_E_NAME or KITH_E_INVALID with a sentence if @facts cannot be a node's. */
int record_check_facts(const struct member_facts *facts);

/*
 * Encodes and signs. Addresses that would pass MEMBER_RECORD_BYTES_MAX are left out, last first.
 * Returns the length; @out has MEMBER_RECORD_BYTES_MAX bytes.
 */
size_t record_encode(uint8_t *out,
                     const struct member_config *config,
                     const struct member_facts *facts,
                     uint64_t boot_no,
                     uint64_t version,
                     bool left);

/* 0 or KITH_E_CORRUPT. Does not verify. */
int record_decode(struct record *record, const uint8_t *data, size_t len);

/* Is it signed by the key it names, and does that key make its id? Costs a signature check. */
bool record_verify(const struct record *record, const struct member_crypto *crypto);

#endif
