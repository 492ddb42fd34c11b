/*
 * The opening of a stream. Each state waits for so many bytes, then acts on them; a responder also
 * looks at what it has before all of it came, so that garbage costs it nothing.
 */
#include "net/handshake.h"

#include <sodium.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"

#define FIRST_BYTES         (PREAMBLE_BYTES + HANDSHAKE_MESSAGE1_BYTES)
#define MESSAGE3_BYTES_MIN  64 /* s, its tag, and the payload's tag */
#define MESSAGE3_HEAD_BYTES 2

static_assert(FIRST_BYTES <= HANDSHAKE_MESSAGE2_BYTES, "fits the inline input");

static int noise_begin(struct handshake *hs,
                       bool initiator,
                       const uint8_t *ephemeral_sk,
                       const uint8_t preamble[PREAMBLE_BYTES])
{
    const struct noise_keys keys = {
        .static_sk = hs->config->identity->dh_sk,
        .static_pk = hs->config->identity->dh_pk,
        .ephemeral_sk = ephemeral_sk,
        .psk = hs->config->cluster->secret,
    };

    return noise_init(&hs->noise, &noise_xxpsk3, initiator, &keys,
                      (struct kith_bytes){preamble, PREAMBLE_BYTES});
}

static int initiate(struct handshake *hs, const uint8_t *ephemeral_sk, struct buf *out)
{
    uint8_t e_pk[NOISE_KEY_BYTES];
    uint8_t *first;
    size_t len;
    int r;

    r = noise_public_of(ephemeral_sk, e_pk);
    if (r != 0)
        return r;
    r = buf_reserve(out, FIRST_BYTES);
    if (r != 0)
        return r;
    first = out->data + out->len;
    preamble_encode(hs->config->keys, e_pk, first);
    r = noise_begin(hs, true, ephemeral_sk, first);
    if (r != 0)
        return r;
    r = noise_write(&hs->noise, (struct kith_bytes){0}, first + PREAMBLE_BYTES,
                    HANDSHAKE_MESSAGE1_BYTES, &len);
    if (r != 0)
        return r;
    assert(len == HANDSHAKE_MESSAGE1_BYTES);
    out->len += FIRST_BYTES;
    hs->state = HANDSHAKE_MESSAGE2;
    return 0;
}

int handshake_initiate(struct handshake *handshake,
                       const struct handshake_config *config,
                       const struct hello *hello,
                       const uint8_t ephemeral_sk[NOISE_KEY_BYTES],
                       struct buf *out)
{
    int r;

    memset(handshake, 0, sizeof *handshake);
    handshake->config = config;
    handshake->hello = core_malloc(sizeof *hello);
    if (handshake->hello == NULL)
        return KITH_E_MEMORY;
    memcpy(handshake->hello, hello, sizeof *hello);
    r = initiate(handshake, ephemeral_sk, out);
    if (r != 0)
        handshake_deinit(handshake);
    return r;
}

int handshake_respond(struct handshake *handshake,
                      const struct handshake_config *config,
                      const uint8_t ephemeral_sk[NOISE_KEY_BYTES])
{
    memset(handshake, 0, sizeof *handshake);
    handshake->config = config;
    memcpy(handshake->ephemeral_sk, ephemeral_sk, NOISE_KEY_BYTES);
    handshake->state = HANDSHAKE_PREAMBLE;
    return 0;
}

void handshake_deinit(struct handshake *handshake)
{
    noise_deinit(&handshake->noise);
    core_free(handshake->hello);
    core_free(handshake->long_input);
    sodium_memzero(handshake, sizeof *handshake);
}

/* ---- the responder's first flight ---- */

/* With what there is of preamble and message 1. KITH_E_AGAIN: so far so good. */
static int take_first(struct handshake *hs, struct buf *out)
{
    const uint8_t *e_pk = hs->input_len == FIRST_BYTES ? hs->input + PREAMBLE_BYTES : NULL;
    uint8_t nothing[1];
    size_t len;
    int r;

    r = preamble_decode(hs->input, hs->input_len, &hs->preamble);
    if (r == KITH_E_PARSE)
        return kith_fail_with(r, "stream begins with something else than this protocol");
    if (r != 0)
        return r;
    r = preamble_check(&hs->preamble, hs->config->keys, e_pk);
    if (r != 0) {
        if (buf_append_u8(out, preamble_refusal_of(r)) != 0)
            return KITH_E_MEMORY;
        return r;
    }
    if (e_pk == NULL)
        return KITH_E_AGAIN;

    r = noise_begin(hs, false, hs->ephemeral_sk, hs->input);
    sodium_memzero(hs->ephemeral_sk, sizeof hs->ephemeral_sk);
    if (r != 0)
        return r;
    r = noise_read(&hs->noise, e_pk, HANDSHAKE_MESSAGE1_BYTES, nothing, 0, &len);
    if (r != 0)
        return kith_fail_with(r, "handshake: message 1 is not authentic");
    r = buf_reserve(out, HANDSHAKE_MESSAGE2_BYTES);
    if (r != 0)
        return r;
    r = noise_write(&hs->noise, (struct kith_bytes){0}, out->data + out->len,
                    HANDSHAKE_MESSAGE2_BYTES, &len);
    if (r != 0)
        return kith_fail_with(r, "handshake: the peer's key is degenerate");
    assert(len == HANDSHAKE_MESSAGE2_BYTES);
    out->len += len;
    hs->state = HANDSHAKE_MESSAGE3;
    return 0;
}

/* ---- the initiator's answer ---- */

static int take_message2(struct handshake *hs, struct buf *out)
{
    struct buf payload = {0};
    uint8_t nothing[1];
    uint8_t *message;
    size_t len;
    int r;

    r = noise_read(&hs->noise, hs->input, HANDSHAKE_MESSAGE2_BYTES, nothing, 0, &len);
    if (r != 0)
        return kith_fail_with(r, "handshake: message 2 is not authentic; is that address a node?");
    if (sodium_memcmp(noise_remote_static(&hs->noise), hs->config->identity->dh_pk,
                      NOISE_KEY_BYTES) == 0)
        return kith_fail_with(KITH_E_EXISTS, "that address is this node itself");
    r = hello_encode(hs->hello, &payload);
    if (r == 0)
        r = buf_reserve(out, HANDSHAKE_MESSAGE3_BYTES_MAX);
    if (r != 0) {
        buf_deinit(&payload);
        return r;
    }
    message = out->data + out->len;
    r = noise_write(&hs->noise, (struct kith_bytes){payload.data, payload.len},
                    message + MESSAGE3_HEAD_BYTES,
                    HANDSHAKE_MESSAGE3_BYTES_MAX - MESSAGE3_HEAD_BYTES, &len);
    buf_deinit(&payload);
    if (r != 0)
        return kith_fail_with(r, "handshake: the peer's key is degenerate");
    put_le16(message, (uint16_t)len);
    out->len += MESSAGE3_HEAD_BYTES + len;
    core_free(hs->hello);
    hs->hello = NULL;
    hs->state = HANDSHAKE_DONE;
    return 0;
}

/* ---- the responder learns who it is ---- */

static int take_message3(struct handshake *hs)
{
    uint8_t payload[HELLO_BYTES_MAX];
    size_t len;
    int r;

    r = noise_read(&hs->noise, hs->long_input, hs->input_len - MESSAGE3_HEAD_BYTES, payload,
                   sizeof payload, &len);
    if (r != 0)
        return kith_fail_with(r, "handshake: message 3 is not authentic");
    hs->hello = core_malloc(sizeof *hs->hello);
    if (hs->hello == NULL)
        return KITH_E_MEMORY;
    r = hello_decode(payload, len, hs->hello);
    if (r == 0)
        r = hello_check(hs->hello, noise_remote_static(&hs->noise), hs->config->cluster,
                        &hs->config->identity->id);
    if (r != 0)
        return r;
    core_free(hs->long_input);
    hs->long_input = NULL;
    hs->state = HANDSHAKE_DONE;
    return 0;
}

/* ---- bytes ---- */

/* Bytes of the current message, as far as known. */
static size_t wanted(const struct handshake *hs)
{
    switch (hs->state) {
    case HANDSHAKE_PREAMBLE:
        return FIRST_BYTES;
    case HANDSHAKE_MESSAGE2:
        return HANDSHAKE_MESSAGE2_BYTES;
    default:
        if (hs->input_len < MESSAGE3_HEAD_BYTES)
            return MESSAGE3_HEAD_BYTES;
        return MESSAGE3_HEAD_BYTES + (size_t)get_le16(hs->input);
    }
}

static void take_bytes(struct handshake *hs, const uint8_t *data, size_t len)
{
    if (hs->state == HANDSHAKE_MESSAGE3 && hs->input_len >= MESSAGE3_HEAD_BYTES)
        memcpy(hs->long_input + hs->input_len - MESSAGE3_HEAD_BYTES, data, len);
    else
        memcpy(hs->input + hs->input_len, data, len);
    hs->input_len += len;
}

/* The length of message 3 is there: room for it, if it may be that long. */
static int begin_message3(struct handshake *hs)
{
    size_t len = get_le16(hs->input);

    if (len < MESSAGE3_BYTES_MIN)
        return kith_fail_with(KITH_E_PARSE, "handshake: message 3 of %zu bytes is too short", len);
    if (len > MESSAGE3_BYTES_MIN + HELLO_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE, "handshake: message 3 of %zu bytes is too long",
                              len);
    hs->long_input = core_malloc(len);
    return hs->long_input == NULL ? KITH_E_MEMORY : 0;
}

/* Acts on what has come. KITH_E_AGAIN: more is needed. */
static int act(struct handshake *hs, struct buf *out)
{
    int r;

    if (hs->state == HANDSHAKE_PREAMBLE) {
        r = take_first(hs, out);
    } else if (hs->state == HANDSHAKE_MESSAGE3 && hs->input_len == MESSAGE3_HEAD_BYTES) {
        r = begin_message3(hs);
        return r != 0 ? r : KITH_E_AGAIN;
    } else if (hs->input_len < wanted(hs)) {
        return KITH_E_AGAIN;
    } else {
        r = hs->state == HANDSHAKE_MESSAGE2 ? take_message2(hs, out) : take_message3(hs);
    }
    if (r == 0)
        hs->input_len = 0;
    return r;
}

int handshake_feed(
    struct handshake *handshake, const uint8_t *data, size_t len, size_t *used_out, struct buf *out)
{
    size_t used = 0;
    int r = 0;

    assert(handshake->state != HANDSHAKE_IDLE);
    assert(handshake->state != HANDSHAKE_FAILED);
    while (used < len && handshake->state != HANDSHAKE_DONE) {
        size_t n = wanted(handshake) - handshake->input_len;

        if (n > len - used)
            n = len - used;
        take_bytes(handshake, data + used, n);
        used += n;
        r = act(handshake, out);
        if (r == KITH_E_AGAIN) {
            r = 0;
        } else if (r != 0) {
            handshake->state = HANDSHAKE_FAILED;
            break;
        }
    }
    *used_out = used;
    return r;
}

int handshake_eof(const struct handshake *handshake)
{
    if (handshake->state == HANDSHAKE_MESSAGE2 && handshake->input_len == 1) {
        switch (preamble_refusal_code(handshake->input[0])) {
        case KITH_E_VERSION:
            return kith_fail_with(
                KITH_E_VERSION,
                "peer says it speaks no common protocol version (this node: %u to %u); "
                "install the same release on both",
                NET_VERSION_MIN, NET_VERSION_MAX);
        case KITH_E_OTHER_CLUSTER:
            return kith_fail_with(KITH_E_OTHER_CLUSTER,
                                  "peer says it belongs to another cluster; join its cluster with "
                                  "`kith join TOKEN`, TOKEN from `kith invite` there");
        case KITH_E_SECRET:
            return kith_fail_with(KITH_E_SECRET,
                                  "peer says this node has a wrong cluster secret; join again with "
                                  "`kith join TOKEN`, TOKEN from `kith invite`");
        default:
            break;
        }
    }
    return kith_fail_with(KITH_E_UNREACHABLE,
                          "peer closed during the handshake; is that address a node?");
}

void handshake_split(const struct handshake *handshake, struct noise_split *split_out)
{
    assert(handshake->state == HANDSHAKE_DONE);
    noise_split(&handshake->noise, split_out);
}

const uint8_t *handshake_remote_dh_pk(const struct handshake *handshake)
{
    assert(handshake->state == HANDSHAKE_DONE);
    return noise_remote_static(&handshake->noise);
}

const struct hello *handshake_peer_hello(const struct handshake *handshake)
{
    return handshake->state == HANDSHAKE_DONE ? handshake->hello : NULL;
}
