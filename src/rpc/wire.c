#include "rpc/wire.h"

#include <assert.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "kith/rpc.h"

/* Where each field stands. */
enum {
    CALL_NO = 0,
    CALL_LOW_WATER = 8,
    CALL_TARGET_BOOT = 16,
    CALL_FN_HASH = 24,
    CALL_SIGNATURE = 32,
    CALL_REMAINING = 40,
    CALL_SLOT = 44,
    CALL_FLAGS = 46,
    CALL_ZERO = 47,
    RESULT_NO = 0,
    RESULT_LOAD = 8,
    RESULT_CODE = 12,
    RESULT_BOOT = 16,
    RESULT_SLOT = 20,
    RESULT_OUTCOME = 22,
    RESULT_FLAGS = 23,
    ACK_NO = 0,
    ACK_LOAD = 8,
    ACK_BOOT = 12,
    ACK_SLOT = 16,
    ACK_STATE = 18,
    ACK_ZERO = 19,
    CANCEL_NO = 0,
    CANCEL_TARGET_BOOT = 8,
    CANCEL_SLOT = 16,
    CANCEL_ZERO = 18,
    PARTIAL_NO = 0,
    PARTIAL_BOOT = 8,
    PARTIAL_SLOT = 12,
    PARTIAL_ZERO = 14,
};

static_assert(CALL_REMAINING + 4 == CALL_SLOT, "fields touch");
static_assert(CALL_SLOT + 2 == CALL_FLAGS, "fields touch");
static_assert(CALL_ZERO + 1 == WIRE_CALL_BYTES, "a call's head is 48 bytes");
static_assert(RESULT_SLOT + 2 == RESULT_OUTCOME, "fields touch");
static_assert(RESULT_FLAGS + 1 == WIRE_RESULT_BYTES, "a result's head is 24 bytes");
static_assert(ACK_ZERO + 5 == WIRE_ACK_BYTES, "an ack is 24 bytes");
static_assert(CANCEL_ZERO + 6 == WIRE_CANCEL_BYTES, "a cancel is 24 bytes");
static_assert(PARTIAL_ZERO + 2 == WIRE_PARTIAL_BYTES, "a partial's head is 16 bytes");
static_assert(RPC_BODY_BYTES_MAX + WIRE_HEAD_BYTES_MAX <= NET_RPC_FRAME_BYTES_MAX,
              "the largest body fits a frame beside its head");
static_assert(RPC_WINDOW_CALLS_MAX <= UINT16_MAX, "a slot is 16 bits wide");

void wire_call_encode(const struct wire_call *call, uint8_t out[WIRE_CALL_BYTES])
{
    put_le64(out + CALL_NO, call->no);
    put_le64(out + CALL_LOW_WATER, call->low_water);
    put_le64(out + CALL_TARGET_BOOT, call->target_boot);
    put_le64(out + CALL_FN_HASH, call->fn_hash);
    put_le64(out + CALL_SIGNATURE, call->signature);
    put_le32(out + CALL_REMAINING, call->remaining_ms);
    put_le16(out + CALL_SLOT, call->slot);
    out[CALL_FLAGS] = call->flags;
    out[CALL_ZERO] = 0;
}

int wire_call_decode(struct wire_call *call, const uint8_t *data, size_t len)
{
    if (len < WIRE_CALL_BYTES)
        return KITH_E_CORRUPT;
    call->no = get_le64(data + CALL_NO);
    call->low_water = get_le64(data + CALL_LOW_WATER);
    call->target_boot = get_le64(data + CALL_TARGET_BOOT);
    call->fn_hash = get_le64(data + CALL_FN_HASH);
    call->signature = get_le64(data + CALL_SIGNATURE);
    call->remaining_ms = get_le32(data + CALL_REMAINING);
    call->slot = get_le16(data + CALL_SLOT);
    call->flags = data[CALL_FLAGS];
    if (call->no == 0 || call->low_water > call->no || call->slot >= RPC_WINDOW_CALLS_MAX)
        return KITH_E_CORRUPT;
    if ((call->flags & ~WIRE_CALL_FLAGS_ALL) != 0)
        return KITH_E_CORRUPT;
    return 0;
}

void wire_result_encode(const struct wire_result *result, uint8_t out[WIRE_RESULT_BYTES])
{
    put_le64(out + RESULT_NO, result->no);
    put_le32(out + RESULT_LOAD, result->load);
    put_le32(out + RESULT_CODE, (uint32_t)result->code);
    put_le32(out + RESULT_BOOT, result->boot);
    put_le16(out + RESULT_SLOT, result->slot);
    out[RESULT_OUTCOME] = result->outcome;
    out[RESULT_FLAGS] = result->flags;
}

int wire_result_decode(struct wire_result *result, const uint8_t *data, size_t len)
{
    if (len < WIRE_RESULT_BYTES)
        return KITH_E_CORRUPT;
    result->no = get_le64(data + RESULT_NO);
    result->load = get_le32(data + RESULT_LOAD);
    result->code = (int32_t)get_le32(data + RESULT_CODE);
    result->boot = get_le32(data + RESULT_BOOT);
    result->slot = get_le16(data + RESULT_SLOT);
    result->outcome = data[RESULT_OUTCOME];
    result->flags = data[RESULT_FLAGS];
    if (result->outcome < KITH_OUTCOME_OK || result->outcome > KITH_OUTCOME_UNKNOWN)
        return KITH_E_CORRUPT;
    if (result->slot >= RPC_WINDOW_CALLS_MAX || (result->flags & ~WIRE_RESULT_FLAGS_ALL) != 0)
        return KITH_E_CORRUPT;
    return 0;
}

void wire_ack_encode(const struct wire_ack *ack, uint8_t out[WIRE_ACK_BYTES])
{
    memset(out, 0, WIRE_ACK_BYTES);
    put_le64(out + ACK_NO, ack->no);
    put_le32(out + ACK_LOAD, ack->load);
    put_le32(out + ACK_BOOT, ack->boot);
    put_le16(out + ACK_SLOT, ack->slot);
    out[ACK_STATE] = ack->state;
}

int wire_ack_decode(struct wire_ack *ack, const uint8_t *data, size_t len)
{
    if (len != WIRE_ACK_BYTES)
        return KITH_E_CORRUPT;
    ack->no = get_le64(data + ACK_NO);
    ack->load = get_le32(data + ACK_LOAD);
    ack->boot = get_le32(data + ACK_BOOT);
    ack->slot = get_le16(data + ACK_SLOT);
    ack->state = data[ACK_STATE];
    if (ack->slot >= RPC_WINDOW_CALLS_MAX)
        return KITH_E_CORRUPT;
    if (ack->state != WIRE_ACK_QUEUED && ack->state != WIRE_ACK_RUNNING)
        return KITH_E_CORRUPT;
    return 0;
}

void wire_cancel_encode(const struct wire_cancel *cancel, uint8_t out[WIRE_CANCEL_BYTES])
{
    memset(out, 0, WIRE_CANCEL_BYTES);
    put_le64(out + CANCEL_NO, cancel->no);
    put_le64(out + CANCEL_TARGET_BOOT, cancel->target_boot);
    put_le16(out + CANCEL_SLOT, cancel->slot);
}

int wire_cancel_decode(struct wire_cancel *cancel, const uint8_t *data, size_t len)
{
    if (len != WIRE_CANCEL_BYTES)
        return KITH_E_CORRUPT;
    cancel->no = get_le64(data + CANCEL_NO);
    cancel->target_boot = get_le64(data + CANCEL_TARGET_BOOT);
    cancel->slot = get_le16(data + CANCEL_SLOT);
    if (cancel->no == 0 || cancel->slot >= RPC_WINDOW_CALLS_MAX)
        return KITH_E_CORRUPT;
    return 0;
}

void wire_partial_encode(const struct wire_partial *partial, uint8_t out[WIRE_PARTIAL_BYTES])
{
    memset(out, 0, WIRE_PARTIAL_BYTES);
    put_le64(out + PARTIAL_NO, partial->no);
    put_le32(out + PARTIAL_BOOT, partial->boot);
    put_le16(out + PARTIAL_SLOT, partial->slot);
}

int wire_partial_decode(struct wire_partial *partial, const uint8_t *data, size_t len)
{
    if (len < WIRE_PARTIAL_BYTES || len - WIRE_PARTIAL_BYTES > RPC_PARTIAL_BYTES_MAX)
        return KITH_E_CORRUPT;
    partial->no = get_le64(data + PARTIAL_NO);
    partial->boot = get_le32(data + PARTIAL_BOOT);
    partial->slot = get_le16(data + PARTIAL_SLOT);
    if (partial->slot >= RPC_WINDOW_CALLS_MAX)
        return KITH_E_CORRUPT;
    return 0;
}
