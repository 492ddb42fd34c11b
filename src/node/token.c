/* See token.h. */
#include "node/token.h"

#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/text.h"

#define CHECK_BYTES 4
#define RAW_MAX                                                                                    \
    (NET_CLUSTER_ID_BYTES + NET_SECRET_BYTES + 2 + TOKEN_CLUSTER_NAME_MAX +                        \
     TOKEN_ADDRESSES_MAX * (1 + KITH_ADDRESS_TEXT_MAX) + CHECK_BYTES)

static_assert((RAW_MAX * 4 + 2) / 3 + sizeof(TOKEN_PREFIX) <= TOKEN_TEXT_MAX + 1,
              "the largest token fits its text");

void token_wipe(struct token *token)
{
    sodium_memzero(token, sizeof(*token));
}

static void checksum(const uint8_t *data, size_t len, uint8_t out[CHECK_BYTES])
{
    uint8_t full[crypto_generichash_BYTES_MIN];

    crypto_generichash(full, sizeof(full), data, len, (const uint8_t *)TOKEN_PREFIX, 6);
    memcpy(out, full, CHECK_BYTES);
}

/* A length byte and the text, without a zero behind it. */
static size_t put_text(uint8_t *raw, size_t at, const char *text)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++)
        raw[at + 1 + len] = (uint8_t)text[len];
    raw[at] = (uint8_t)len;
    return at + 1 + len;
}

static bool is_address(const char *text)
{
    char host[KITH_ADDRESS_TEXT_MAX + 1];
    uint16_t port;

    return text_split_address(text, host, sizeof(host), NET_PORT_DEFAULT, &port) == 0;
}

static int check(const struct token *token)
{
    if (!text_is_node_name(token->cluster_name))
        return kith_fail_with(KITH_E_INVALID,
                              "\"%s\" is no cluster name: use 1 to 63 of a-z A-Z 0-9 - _ .",
                              token->cluster_name);
    if (token->addresses_n > TOKEN_ADDRESSES_MAX)
        return kith_fail_with(KITH_E_INVALID, "a token holds %d addresses", TOKEN_ADDRESSES_MAX);
    for (uint32_t i = 0; i < token->addresses_n; i++) {
        if (!is_address(token->addresses[i]))
            return kith_fail_with(KITH_E_INVALID, "\"%s\" is no address: write host:port",
                                  token->addresses[i]);
    }
    return 0;
}

int token_encode(const struct token *token, char text_out[TOKEN_TEXT_MAX + 1])
{
    uint8_t raw[RAW_MAX];
    size_t at = 0;
    int r = check(token);

    if (r != 0)
        return r;
    memcpy(raw, token->cluster.id.bytes, NET_CLUSTER_ID_BYTES);
    memcpy(raw + NET_CLUSTER_ID_BYTES, token->cluster.secret, NET_SECRET_BYTES);
    at = put_text(raw, NET_CLUSTER_ID_BYTES + NET_SECRET_BYTES, token->cluster_name);
    raw[at++] = (uint8_t)token->addresses_n;
    for (uint32_t i = 0; i < token->addresses_n; i++)
        at = put_text(raw, at, token->addresses[i]);
    checksum(raw, at, raw + at);
    at += CHECK_BYTES;
    memcpy(text_out, TOKEN_PREFIX, sizeof(TOKEN_PREFIX));
    sodium_bin2base64(text_out + strlen(TOKEN_PREFIX), TOKEN_TEXT_MAX + 1 - strlen(TOKEN_PREFIX),
                      raw, at, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(raw, sizeof(raw));
    return 0;
}

/* A length byte and a text without zero bytes. */
static bool take_text(struct reader *reader, char *out, size_t out_bytes)
{
    size_t len = read_u8(reader);

    if (len == 0 || len >= out_bytes)
        return false;
    const uint8_t *data = read_bytes(reader, len);
    if (data == NULL || memchr(data, '\0', len) != NULL)
        return false;
    memcpy(out, data, len);
    out[len] = '\0';
    return true;
}

static int decode_raw(const uint8_t *raw, size_t len, struct token *token)
{
    struct reader reader = reader_of(raw, len);
    const uint8_t *id = read_bytes(&reader, NET_CLUSTER_ID_BYTES);
    const uint8_t *secret = read_bytes(&reader, NET_SECRET_BYTES);

    if (id == NULL || secret == NULL)
        return KITH_E_CORRUPT;
    memcpy(token->cluster.id.bytes, id, NET_CLUSTER_ID_BYTES);
    memcpy(token->cluster.secret, secret, NET_SECRET_BYTES);
    if (!take_text(&reader, token->cluster_name, sizeof(token->cluster_name)))
        return KITH_E_CORRUPT;
    token->addresses_n = read_u8(&reader);
    if (token->addresses_n > TOKEN_ADDRESSES_MAX)
        return KITH_E_CORRUPT;
    for (uint32_t i = 0; i < token->addresses_n; i++) {
        if (!take_text(&reader, token->addresses[i], sizeof(token->addresses[i])))
            return KITH_E_CORRUPT;
    }
    return reader_done(&reader) && check(token) == 0 ? 0 : KITH_E_CORRUPT;
}

/* The characters without any white space, in @out. Returns how many, or SIZE_MAX if too many. */
static size_t squeeze(const char *text, size_t len, char *out, size_t out_bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')
            continue;
        if (n + 1 >= out_bytes)
            return SIZE_MAX;
        out[n++] = text[i];
    }
    out[n] = '\0';
    return n;
}

static int not_a_token(const char *word)
{
    unsigned version = 0;
    size_t digits = 0;

    if (memcmp(word, "kith", 4) != 0)
        return kith_fail_with(KITH_E_PARSE, "this is no join token: one starts with " TOKEN_PREFIX
                                            ", kith invite on a node of the cluster prints it");
    for (const char *at = word + 4; *at >= '0' && *at <= '9' && digits < 6; at++, digits++)
        version = version * 10 + (unsigned)(*at - '0');
    if (digits > 0 && word[4 + digits] == '-' && version > 1)
        return kith_fail_with(KITH_E_VERSION,
                              "the join token is of version %u, this kith " KITH_VERSION
                              " reads version 1: install a newer kith here",
                              version);
    return kith_fail_with(KITH_E_PARSE, "the join token does not start with " TOKEN_PREFIX
                                        ": copy the whole line that kith invite printed");
}

int token_decode(const char *text, size_t len, struct token *token_out)
{
    char word[TOKEN_TEXT_MAX + 1] = "";
    uint8_t raw[RAW_MAX];
    uint8_t sum[CHECK_BYTES];
    const char *end = NULL;
    size_t raw_len = 0;
    size_t word_len = squeeze(text, len, word, sizeof(word));
    int r;

    *token_out = (struct token){0};
    if (word_len == SIZE_MAX)
        return kith_fail_with(KITH_E_PARSE, "this is no join token: one has at most %d characters",
                              TOKEN_TEXT_MAX);
    if (strncmp(word, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0)
        return not_a_token(word);
    const char *body = word + strlen(TOKEN_PREFIX);
    size_t body_len = word_len - strlen(TOKEN_PREFIX);
    r = sodium_base642bin(raw, sizeof(raw), body, body_len, NULL, &raw_len, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (r != 0 || end != body + body_len || raw_len <= CHECK_BYTES)
        goto typo;
    checksum(raw, raw_len - CHECK_BYTES, sum);
    if (memcmp(sum, raw + raw_len - CHECK_BYTES, CHECK_BYTES) != 0)
        goto typo;
    if (decode_raw(raw, raw_len - CHECK_BYTES, token_out) != 0)
        goto typo;
    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(word, sizeof(word));
    return 0;
typo:
    token_wipe(token_out);
    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(word, sizeof(word));
    return kith_fail_with(KITH_E_CORRUPT,
                          "the join token has a typo or a part of it is missing (its checksum is "
                          "wrong): copy the whole line that kith invite printed");
}
