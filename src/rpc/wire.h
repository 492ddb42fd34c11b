/*
 * The fixed heads of the frames of calls. All numbers are little-endian; the raw bytes of the
 * argument, reply, partial result or error text follow the head to the end of the frame.
 *
 *   CALL     0 no  8 low_water  16 target_boot  24 fn_hash  32 signature  40 remaining_ms(4)
 *           44 slot(2)  46 flags(1)  47 zero(1)                                     48 bytes
 *   RESULT   0 no  8 load(4)  12 code(4)  16 boot(4)  20 slot(2)  22 outcome(1)  23 flags(1)   24
 *   ACK      0 no  8 load(4)  12 boot(4)  16 slot(2)  18 state(1)  19 zero(5)                  24
 *   CANCEL   0 no  8 target_boot  16 slot(2)  18 zero(6)                                       24
 *   PARTIAL  0 no  8 boot(4)  12 slot(2)  14 zero(2)                                           16
 *
 * `no` grows with every call a node makes in one boot; `slot` is its place in the window of its
 * session, held by one call at a time. `boot` of the answering frames is the low half of the
 * caller's boot_no: an answer to an earlier boot of the caller is not taken for one of this boot.
 */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

#define WIRE_CALL_BYTES     48
#define WIRE_RESULT_BYTES   24
#define WIRE_ACK_BYTES      24
#define WIRE_CANCEL_BYTES   24
#define WIRE_PARTIAL_BYTES  16
#define WIRE_HEAD_BYTES_MAX 48

/* remaining_ms of a call without a deadline */
#define WIRE_NO_DEADLINE UINT32_MAX

enum wire_call_flags {
    WIRE_CALL_CAST = 1 << 0,     /* no answer is wanted */
    WIRE_CALL_PARTIALS = 1 << 1, /* partial results are wanted */
    WIRE_CALL_RESEND = 1 << 2,   /* an earlier copy may have arrived */
    WIRE_CALL_ITEM = 1 << 3,     /* the argument is an item of a map (rpc/item.h) */
    WIRE_CALL_FLAGS_ALL = 15,
};

enum wire_result_flags {
    WIRE_RESULT_OTHER_BOOT = 1 << 0, /* the call named another boot of the server: not run here */
    WIRE_RESULT_FLAGS_ALL = 1,
};

enum wire_ack_state { WIRE_ACK_QUEUED = 1, WIRE_ACK_RUNNING = 2 };

struct wire_call {
    uint64_t no;
    uint64_t low_water; /* every call of this session below is finished at the caller */
    uint64_t target_boot;
    uint64_t fn_hash;
    uint64_t signature; /* 0: not checked */
    uint32_t remaining_ms;
    uint16_t slot;
    uint8_t flags;
};

struct wire_result {
    uint64_t no;
    uint32_t load; /* calls waiting and running at the server */
    int32_t code;
    uint32_t boot;
    uint16_t slot;
    uint8_t outcome; /* enum kith_outcome */
    uint8_t flags;
};

struct wire_ack {
    uint64_t no;
    uint32_t load;
    uint32_t boot;
    uint16_t slot;
    uint8_t state;
};

struct wire_cancel {
    uint64_t no;
    uint64_t target_boot;
    uint16_t slot;
};

struct wire_partial {
    uint64_t no;
    uint32_t boot;
    uint16_t slot;
};

void wire_call_encode(const struct wire_call *call, uint8_t out[WIRE_CALL_BYTES]);
void wire_result_encode(const struct wire_result *result, uint8_t out[WIRE_RESULT_BYTES]);
void wire_ack_encode(const struct wire_ack *ack, uint8_t out[WIRE_ACK_BYTES]);
void wire_cancel_encode(const struct wire_cancel *cancel, uint8_t out[WIRE_CANCEL_BYTES]);
void wire_partial_encode(const struct wire_partial *partial, uint8_t out[WIRE_PARTIAL_BYTES]);

/* All: 0, or KITH_E_CORRUPT (too short, a field out of its range). What follows the head is the
 * body. */
int wire_call_decode(struct wire_call *call, const uint8_t *data, size_t len);
int wire_result_decode(struct wire_result *result, const uint8_t *data, size_t len);
int wire_ack_decode(struct wire_ack *ack, const uint8_t *data, size_t len);
int wire_cancel_decode(struct wire_cancel *cancel, const uint8_t *data, size_t len);
int wire_partial_decode(struct wire_partial *partial, const uint8_t *data, size_t len);

#endif
