/*
 * One side of a stream's opening, from the first byte to the keys: preamble, Noise and Hello put
 * together. Pure: bytes in, bytes out; ephemeral key and Hello are given.
 *
 *     initiator                                                    responder
 *     preamble (32), message 1 (48)                          ->
 *                                       <-    message 2 (96)    or one refusal byte and the end
 *     u16 length, message 3 (64 + Hello)                     ->
 *                                       <-    records; the first frame is FRAME_HELLO
 *
 * The initiator may send records right after message 3. The initiator is done when it has written
 * message 3 and learns the peer's Hello from the first record; the responder is done when it has
 * read message 3, which holds the peer's Hello.
 */
#ifndef NET_HANDSHAKE_H
#define NET_HANDSHAKE_H

#include "net/hello.h"
#include "net/noise.h"
#include "net/preamble.h"

#define HANDSHAKE_MESSAGE1_BYTES     48
#define HANDSHAKE_MESSAGE2_BYTES     96
#define HANDSHAKE_MESSAGE3_BYTES_MAX (2 + 64 + HELLO_BYTES_MAX)
/* The most a side holds of an unfinished handshake. */
#define HANDSHAKE_INPUT_BYTES_MAX HANDSHAKE_MESSAGE3_BYTES_MAX
/* The most a side writes at once. */
#define HANDSHAKE_OUTPUT_BYTES_MAX HANDSHAKE_MESSAGE3_BYTES_MAX

enum handshake_state {
    HANDSHAKE_IDLE = 0, /* zeroed */
    HANDSHAKE_PREAMBLE, /* responder: waits for preamble and message 1 */
    HANDSHAKE_MESSAGE2, /* initiator: waits for message 2 */
    HANDSHAKE_MESSAGE3, /* responder: waits for message 3 */
    HANDSHAKE_DONE,
    HANDSHAKE_FAILED,
};

/* Borrowed for as long as the handshake lives. */
struct handshake_config {
    const struct net_identity *identity;
    const struct net_cluster *cluster;
    const struct net_cluster_keys *keys;
};

struct handshake {
    enum handshake_state state;
    const struct handshake_config *config;
    struct noise noise;
    struct preamble preamble;              /* responder: as received; for the log */
    uint8_t ephemeral_sk[NOISE_KEY_BYTES]; /* responder: until the preamble is found good */
    struct hello *hello; /* initiator: ours to send; responder: the peer's, once done */
    size_t input_len;    /* of the message that is being read */
    uint8_t input[HANDSHAKE_MESSAGE2_BYTES];
    uint8_t *long_input; /* message 3 */
};

/*
 * Starts the initiator's side: @out gets preamble and message 1 appended. @hello is copied.
 * @ephemeral_sk: 32 fresh random bytes. 0; KITH_E_MEMORY; KITH_E_INVALID.
 */
int handshake_initiate(struct handshake *handshake,
                       const struct handshake_config *config,
                       const struct hello *hello,
                       const uint8_t ephemeral_sk[NOISE_KEY_BYTES],
                       struct buf *out);

/* Starts the responder's side. Nothing is allocated before the peer's preamble is found good. */
int handshake_respond(struct handshake *handshake,
                      const struct handshake_config *config,
                      const uint8_t ephemeral_sk[NOISE_KEY_BYTES]);

/* Wipes and frees; may run twice, or on a zeroed one. */
void handshake_deinit(struct handshake *handshake);

/*
 * Takes bytes from the peer; *used_out of them were consumed (all, unless it got done: what is left
 * belongs to the records). What is to be sent is appended to @out, also on failure: a refusal byte.
 *
 * 0: look at handshake->state. Failures, after each of which the stream is closed (first writing
 * @out) and kith_errmsg() tells the log why:
 * KITH_E_PARSE: garbage, silence; KITH_E_VERSION, KITH_E_OTHER_CLUSTER, KITH_E_SECRET: refused
 * (responder), or the peer's Hello disagrees; KITH_E_CORRUPT: not authentic; KITH_E_EXISTS: it is
 * ourselves; KITH_E_TOO_LARGE; KITH_E_MEMORY.
 */
int handshake_feed(struct handshake *handshake,
                   const uint8_t *data,
                   size_t len,
                   size_t *used_out,
                   struct buf *out);

/*
 * The peer closed before the handshake was done. If what came was one refusal byte: KITH_E_VERSION,
 * KITH_E_OTHER_CLUSTER or KITH_E_SECRET (a hint, not proven); else KITH_E_UNREACHABLE.
 */
int handshake_eof(const struct handshake *handshake);

/* Once DONE: the keys (the caller wipes them) and the peer's X25519 key, for hello_check(). */
void handshake_split(const struct handshake *handshake, struct noise_split *split_out);
const uint8_t *handshake_remote_dh_pk(const struct handshake *handshake);
/* Responder, once DONE: the peer's Hello, checked by hello_check(). Initiator: NULL. Borrowed. */
const struct hello *handshake_peer_hello(const struct handshake *handshake);

#endif
