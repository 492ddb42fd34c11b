/* The fixed heads: their bytes, and what is refused. */
#include "test_rpc_lib.h"

#include <string.h>

#include "rpc/item.h"
#include "rpc/wire.h"

static void call_head_has_the_documented_bytes(void **state)
{
    (void)state;
    struct wire_call call = {.no = 0x0102030405060708,
                             .low_water = 0x0102030405060700,
                             .target_boot = 9,
                             .fn_hash = 0x1112131415161718,
                             .signature = 0x2122232425262728,
                             .remaining_ms = 0x31323334,
                             .slot = 0x0a0b,
                             .flags = WIRE_CALL_PARTIALS | WIRE_CALL_RESEND};
    const uint8_t expected[WIRE_CALL_BYTES] = {
        8,    7,    6,    5,    4,    3,    2,    1,    0,    7,    6,    5,
        4,    3,    2,    1,    9,    0,    0,    0,    0,    0,    0,    0,
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25,
        0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31, 0x0b, 0x0a, 6,    0};
    uint8_t bytes[WIRE_CALL_BYTES];
    wire_call_encode(&call, bytes);
    assert_memory_equal(bytes, expected, sizeof(bytes));
    struct wire_call back;
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), 0);
    assert_true(back.no == call.no && back.low_water == call.low_water && back.target_boot == 9);
    assert_true(back.fn_hash == call.fn_hash && back.signature == call.signature);
    assert_true(back.remaining_ms == call.remaining_ms && back.slot == call.slot);
    assert_int_equal(back.flags, call.flags);
}

static void item_head_is_checked_with_its_state(void **state)
{
    (void)state;
    struct rpc_item item = {.map_no = 0x0102030405060708,
                            .index = 0x11121314,
                            .attempt = 3,
                            .save_no = 7,
                            .state_attempt = 2,
                            .state_bytes = 5};
    const uint8_t expected[RPC_ITEM_HEAD_BYTES] = {8,    7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12,
                                                   0x11, 3, 0, 0, 0, 7, 0, 0, 0,    0,    0,
                                                   0,    0, 2, 0, 0, 0, 5, 0, 0,    0};
    uint8_t bytes[RPC_ITEM_HEAD_BYTES + 16] = {0};
    struct rpc_item back;
    rpc_item_encode(&item, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(rpc_item_bytes(0), RPC_ITEM_HEAD_BYTES);
    assert_int_equal(rpc_item_bytes(5), sizeof(bytes));
    assert_int_equal(rpc_item_bytes(16), sizeof(bytes));
    assert_true(rpc_item_decode(&back, bytes, sizeof(bytes)));
    assert_true(back.map_no == item.map_no && back.index == item.index && back.attempt == 3 &&
                back.save_no == 7 && back.state_attempt == 2 && back.state_bytes == 5);
    for (size_t len = 0; len < sizeof(bytes); len++)
        assert_false(rpc_item_decode(&back, bytes, len));
    item.state_bytes = DVAR_DATA_BYTES_MAX + 1;
    rpc_item_encode(&item, bytes);
    assert_false(rpc_item_decode(&back, bytes, SIZE_MAX));
    item = (struct rpc_item){.map_no = 1, .state_bytes = 5}; /* a state without a number */
    rpc_item_encode(&item, bytes);
    assert_false(rpc_item_decode(&back, bytes, sizeof(bytes)));
    item = (struct rpc_item){.map_no = 0};
    rpc_item_encode(&item, bytes);
    assert_false(rpc_item_decode(&back, bytes, sizeof(bytes)));
}

static void result_head_has_the_documented_bytes(void **state)
{
    (void)state;
    struct wire_result result = {.no = 5,
                                 .load = 6,
                                 .code = -2,
                                 .boot = 7,
                                 .slot = 0x0102,
                                 .outcome = KITH_OUTCOME_UNKNOWN,
                                 .flags = WIRE_RESULT_OTHER_BOOT};
    const uint8_t expected[WIRE_RESULT_BYTES] = {5,    0,    0,    0,    0, 0, 0, 0, 6, 0, 0, 0,
                                                 0xfe, 0xff, 0xff, 0xff, 7, 0, 0, 0, 2, 1, 4, 1};
    uint8_t bytes[WIRE_RESULT_BYTES];
    wire_result_encode(&result, bytes);
    assert_memory_equal(bytes, expected, sizeof(bytes));
    struct wire_result back;
    assert_int_equal(wire_result_decode(&back, bytes, sizeof(bytes)), 0);
    assert_int_equal(back.code, -2);
    assert_int_equal(back.slot, 0x0102);
}

static void small_heads_come_back_as_they_went(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_HEAD_BYTES_MAX];
    struct wire_ack ack = {.no = 1, .load = 2, .boot = 3, .slot = 4, .state = WIRE_ACK_RUNNING};
    struct wire_ack ack_back;
    wire_ack_encode(&ack, bytes);
    assert_int_equal(wire_ack_decode(&ack_back, bytes, WIRE_ACK_BYTES), 0);
    assert_true(ack_back.no == 1 && ack_back.load == 2 && ack_back.boot == 3 && ack_back.slot == 4);
    struct wire_cancel cancel = {.no = 1, .target_boot = 2, .slot = 3};
    struct wire_cancel cancel_back;
    wire_cancel_encode(&cancel, bytes);
    assert_int_equal(wire_cancel_decode(&cancel_back, bytes, WIRE_CANCEL_BYTES), 0);
    assert_true(cancel_back.no == 1 && cancel_back.target_boot == 2 && cancel_back.slot == 3);
    struct wire_partial partial = {.no = 1, .boot = 2, .slot = 3};
    struct wire_partial partial_back;
    wire_partial_encode(&partial, bytes);
    assert_int_equal(wire_partial_decode(&partial_back, bytes, WIRE_PARTIAL_BYTES), 0);
    assert_true(partial_back.no == 1 && partial_back.boot == 2 && partial_back.slot == 3);
}

static void short_heads_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_HEAD_BYTES_MAX] = {1};
    struct wire_call call;
    struct wire_result result;
    struct wire_ack ack;
    struct wire_cancel cancel;
    struct wire_partial partial;
    for (size_t len = 0; len < WIRE_CALL_BYTES; len++)
        assert_int_equal(wire_call_decode(&call, bytes, len), KITH_E_CORRUPT);
    for (size_t len = 0; len < WIRE_RESULT_BYTES; len++)
        assert_int_equal(wire_result_decode(&result, bytes, len), KITH_E_CORRUPT);
    for (size_t len = 0; len < WIRE_PARTIAL_BYTES; len++)
        assert_int_equal(wire_partial_decode(&partial, bytes, len), KITH_E_CORRUPT);
    for (size_t len = 0; len < WIRE_HEAD_BYTES_MAX; len++) {
        if (len != WIRE_CANCEL_BYTES)
            assert_int_equal(wire_cancel_decode(&cancel, bytes, len), KITH_E_CORRUPT);
        assert_int_equal(wire_ack_decode(&ack, bytes, len), KITH_E_CORRUPT); /* state 0 */
    }
}

static void fields_out_of_range_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_CALL_BYTES];
    struct wire_call call = {.no = 1};
    struct wire_call back;
    wire_call_encode(&call, bytes);
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), 0);
    bytes[46] = 16; /* an unknown flag */
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), KITH_E_CORRUPT);
    call.slot = RPC_WINDOW_CALLS_MAX;
    wire_call_encode(&call, bytes);
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), KITH_E_CORRUPT);
    call = (struct wire_call){.no = 0};
    wire_call_encode(&call, bytes);
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), KITH_E_CORRUPT);
    call = (struct wire_call){.no = 4, .low_water = 5};
    wire_call_encode(&call, bytes);
    assert_int_equal(wire_call_decode(&back, bytes, sizeof(bytes)), KITH_E_CORRUPT);

    uint8_t result[WIRE_RESULT_BYTES];
    struct wire_result result_back;
    for (uint8_t outcome = 0; outcome < 8; outcome++) {
        wire_result_encode(&(struct wire_result){.no = 1, .outcome = outcome}, result);
        int r = wire_result_decode(&result_back, result, sizeof(result));
        assert_int_equal(r, outcome >= 1 && outcome <= 4 ? 0 : KITH_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_head_has_the_documented_bytes),
        cmocka_unit_test(item_head_is_checked_with_its_state),
        cmocka_unit_test(result_head_has_the_documented_bytes),
        cmocka_unit_test(small_heads_come_back_as_they_went),
        cmocka_unit_test(short_heads_are_refused),
        cmocka_unit_test(fields_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
