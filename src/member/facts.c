/*
 * Signed facts. What a peer sends here is kept and passed on byte for byte, so that a signature
 * made once holds everywhere; nothing is ever re-encoded for somebody else.
 */
#include "member/facts.h"

#include "core/error.h"
#include "core/text.h"
#include "member/wire.h"

#define FORM           1
#define HEAD_BYTES_MAX (3 + 16 + 32 + 6 * 10 + 1)

static_assert(HEAD_BYTES_MAX + MEMBER_NAME_BYTES_MAX + 1 + MEMBER_VERSION_BYTES_MAX + 1 +
                      4 * (KITH_ADDRESS_TEXT_MAX + 1) + FACTS_SIGNATURE_BYTES <=
                  MEMBER_RECORD_BYTES_MAX,
              "four of the longest addresses always fit");
static_assert(MEMBER_RECORD_BYTES_MAX + 64 <= MEMBER_DATAGRAM_BYTES_MIN,
              "a record fits a datagram beside an echo");

/* Printable, without space: what an address or a version may consist of. */
static bool plain_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

static bool bounded_text(const char *text, size_t len_max, bool may_be_empty)
{
    size_t len = strnlen(text, len_max + 1);
    return len <= len_max && (len > 0 || may_be_empty) && plain_text(text, len);
}

int facts_check(const struct member_facts *facts)
{
    if (strnlen(facts->name, sizeof(facts->name)) == sizeof(facts->name) ||
        !text_is_node_name(facts->name))
        return kith_fail_with(KITH_E_NAME,
                              "'%.63s' is not a name for a node: use 1 to 63 of a-z A-Z 0-9 - _ .",
                              facts->name);
    if (!bounded_text(facts->version, MEMBER_VERSION_BYTES_MAX, true))
        return kith_fail_with(
            KITH_E_INVALID, "the version text of node '%s' is too long or has spaces", facts->name);
    if (facts->addresses_n > MEMBER_ADDRESSES_MAX)
        return kith_fail_with(KITH_E_INVALID, "node '%s' has more than %d addresses", facts->name,
                              MEMBER_ADDRESSES_MAX);
    for (uint32_t i = 0; i < facts->addresses_n; i++)
        if (!bounded_text(facts->addresses[i], KITH_ADDRESS_TEXT_MAX, false))
            return kith_fail_with(KITH_E_INVALID, "address %u of node '%s' is empty or too long",
                                  i + 1, facts->name);
    if (facts->role != KITH_ROLE_NODE && facts->role != KITH_ROLE_PROGRAM)
        return kith_fail_with(KITH_E_INVALID, "node '%s' has no role", facts->name);
    return 0;
}

static size_t put_text(uint8_t *out, const char *text)
{
    size_t len = strlen(text) + 1;
    memcpy(out, text, len);
    return len;
}

/* The bytes that are signed: the context, then the record. */
static size_t signed_bytes(uint8_t *out, const uint8_t *record, size_t len)
{
    memcpy(out, FACTS_CONTEXT, sizeof(FACTS_CONTEXT));
    memcpy(out + sizeof(FACTS_CONTEXT), record, len);
    return sizeof(FACTS_CONTEXT) + len;
}

size_t facts_encode(uint8_t *out,
                    const struct member_config *config,
                    const struct member_facts *facts,
                    uint64_t boot_no,
                    uint64_t version,
                    bool left)
{
    size_t at = 0;
    out[at++] = FORM;
    out[at++] = (uint8_t)((facts->gpu ? FACTS_GPU : 0) | (left ? FACTS_LEFT : 0));
    out[at++] = (uint8_t)facts->role;
    memcpy(out + at, config->self.bytes, KITH_NODE_ID_BYTES);
    at += KITH_NODE_ID_BYTES;
    memcpy(out + at, config->sign_pk, 32);
    at += 32;
    at += wire_put_varint(out + at, boot_no);
    at += wire_put_varint(out + at, version);
    at += wire_put_varint(out + at, facts->born_unix_ms);
    at += wire_put_varint(out + at, facts->cpus);
    at += wire_put_varint(out + at, facts->cores);
    at += wire_put_varint(out + at, facts->memory_bytes);
    uint8_t *addresses_n = &out[at++];
    at += put_text(out + at, facts->name);
    at += put_text(out + at, facts->version);
    *addresses_n = 0;
    for (uint32_t i = 0; i < facts->addresses_n; i++) {
        size_t len = strlen(facts->addresses[i]) + 1;
        if (at + len + FACTS_SIGNATURE_BYTES > MEMBER_RECORD_BYTES_MAX)
            break;
        at += put_text(out + at, facts->addresses[i]);
        (*addresses_n)++;
    }
    uint8_t text[sizeof(FACTS_CONTEXT) + MEMBER_RECORD_BYTES_MAX];
    config->crypto.sign(config->crypto.user, text, signed_bytes(text, out, at), out + at);
    return at + FACTS_SIGNATURE_BYTES;
}

/* A text of at most @len_max bytes and its NUL; NULL if it is not one. */
static const char *read_text(struct reader *r, size_t len_max, bool may_be_empty)
{
    if (r->bad)
        return NULL;
    size_t left = r->len - r->at;
    const uint8_t *start = r->data + r->at;
    const uint8_t *end = memchr(start, 0, left < len_max + 1 ? left : len_max + 1);
    size_t len = end == NULL ? 0 : (size_t)(end - start);
    if (end == NULL || (len == 0 && !may_be_empty) || !plain_text((const char *)start, len)) {
        r->bad = true;
        return NULL;
    }
    read_bytes(r, len + 1);
    return (const char *)start;
}

static uint32_t read_varint32(struct reader *r)
{
    uint64_t value = wire_read_varint(r);
    if (value > UINT32_MAX)
        r->bad = true;
    return (uint32_t)value;
}

static int read_head(struct reader *r, struct facts_record *record, const uint8_t *data, size_t len)
{
    if (len > MEMBER_RECORD_BYTES_MAX || len <= FACTS_SIGNATURE_BYTES)
        return KITH_E_CORRUPT;
    *r = reader_of(data, len - FACTS_SIGNATURE_BYTES);
    record->data = data;
    record->len = len;
    record->verified = false;
    uint8_t form = read_u8(r);
    record->flags = read_u8(r);
    record->role = read_u8(r);
    const uint8_t *id = read_bytes(r, KITH_NODE_ID_BYTES);
    record->sign_pk = read_bytes(r, 32);
    if (r->bad || form != FORM || (record->flags & ~(FACTS_GPU | FACTS_LEFT)) != 0 ||
        (record->role != KITH_ROLE_NODE && record->role != KITH_ROLE_PROGRAM))
        return KITH_E_CORRUPT;
    memcpy(record->id.bytes, id, KITH_NODE_ID_BYTES);
    record->boot_no = wire_read_varint(r);
    record->version = wire_read_varint(r);
    return r->bad || record->boot_no == 0 || record->version == 0 ? KITH_E_CORRUPT : 0;
}

int facts_peek(struct facts_record *record, const uint8_t *data, size_t len)
{
    struct reader r;
    return read_head(&r, record, data, len);
}

int facts_decode(struct facts_record *record, const uint8_t *data, size_t len)
{
    struct reader r;
    if (read_head(&r, record, data, len) != 0)
        return KITH_E_CORRUPT;
    record->born_unix_ms = wire_read_varint(&r);
    record->cpus = read_varint32(&r);
    record->cores = read_varint32(&r);
    record->memory_bytes = wire_read_varint(&r);
    record->addresses_n = read_u8(&r);
    record->name = read_text(&r, MEMBER_NAME_BYTES_MAX, false);
    record->version_text = read_text(&r, MEMBER_VERSION_BYTES_MAX, true);
    if (r.bad || record->addresses_n > MEMBER_ADDRESSES_MAX || !text_is_node_name(record->name))
        return KITH_E_CORRUPT;
    record->addresses = (const char *)(r.data + r.at);
    for (uint8_t i = 0; i < record->addresses_n; i++)
        read_text(&r, KITH_ADDRESS_TEXT_MAX, false);
    return reader_done(&r) ? 0 : KITH_E_CORRUPT;
}

bool facts_verify(const struct facts_record *record, const struct member_crypto *crypto)
{
    uint8_t text[sizeof(FACTS_CONTEXT) + MEMBER_RECORD_BYTES_MAX];
    size_t body = record->len - FACTS_SIGNATURE_BYTES;
    return crypto->key_is_of(crypto->user, record->sign_pk, &record->id) &&
           crypto->verify(crypto->user, record->sign_pk, text,
                          signed_bytes(text, record->data, body), record->data + body);
}
