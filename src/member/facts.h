/*
 * The signed record of a node's facts: canonical bytes, its own key and signature inside.
 *
 *     u8 form (1), u8 flags, u8 role, id[16], sign_pk[32], varints boot_no, version, born_unix_ms,
 *     cpus, cores, memory_bytes; u8 addresses_n; name NUL, version NUL, addresses each NUL;
 *     signature[64] over FACTS_CONTEXT and all bytes before
 *
 * Texts end with NUL so that the tables can point into the record instead of copying.
 */
#ifndef MEMBER_FACTS_H
#define MEMBER_FACTS_H

#include "core/bytes.h"
#include "member/member.h"

#define FACTS_SIGNATURE_BYTES 64
#define FACTS_CONTEXT         "kith member facts 1"

enum facts_flags {
    FACTS_GPU = 1 << 0,
    FACTS_LEFT = 1 << 1, /* the node says good-bye */
};

/* A decoded record: everything points into its bytes. */
struct facts_record {
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
    bool verified;         /* set by who has checked its signature */
};

/* 0; KITH_E_NAME or KITH_E_INVALID with a sentence if @facts cannot be a node's. */
int facts_check(const struct member_facts *facts);

/*
 * Encodes and signs. Addresses that would pass MEMBER_RECORD_BYTES_MAX are left out, last first.
 * Returns the length; @out has MEMBER_RECORD_BYTES_MAX bytes.
 */
size_t facts_encode(uint8_t *out,
                    const struct member_config *config,
                    const struct member_facts *facts,
                    uint64_t boot_no,
                    uint64_t version,
                    bool left);

/*
 * Its head only: id, key, boot_no, version, flags and role, which tell whether it is news; mostly
 * it is not, and the rest need not be looked at. 0 or KITH_E_CORRUPT.
 */
int facts_peek(struct facts_record *record, const uint8_t *data, size_t len);

/* 0 or KITH_E_CORRUPT. Does not verify. */
int facts_decode(struct facts_record *record, const uint8_t *data, size_t len);

/* Is it signed by the key it names, and does that key make its id? Costs a signature check. */
bool facts_verify(const struct facts_record *record, const struct member_crypto *crypto);

#endif
