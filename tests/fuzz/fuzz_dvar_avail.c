/*
 * States of available variables, and messages to a core that holds a few. The first byte chooses:
 * 0, one state and another (u16 bytes of the first): what decodes can be joined, and the join is a
 * state again and the same both ways; else messages, each u16 bytes and its bytes.
 */
#include "core/error.h"
#include "dvar/avail.h"
#include "fuzz_net.h"

static void states(const uint8_t *data, size_t len)
{
    struct state a;
    struct state b;
    struct state both;
    struct buf one = {0};
    struct buf other = {0};
    if (len < 2 || get_le16(data) > len - 2)
        return;
    size_t a_len = get_le16(data);
    size_t b_len = len - 2 - a_len;
    uint8_t *of_a = fuzz_copy(data + 2, a_len);
    uint8_t *of_b = fuzz_copy(data + 2 + a_len, b_len);
    if (state_decode(of_a, a_len, &a) == 0 && state_decode(of_b, b_len, &b) == 0) {
        must(state_join(of_a, a_len, of_b, b_len, &one) == 0);
        must(state_join(of_b, b_len, of_a, a_len, &other) == 0);
        must(state_decode(one.data, one.len, &both) == 0);
        must(one.len == other.len && memcmp(one.data, other.data, one.len) == 0);
        other.len = 0;
        must(state_join(one.data, one.len, of_a, a_len, &other) == 0);
        must(one.len == other.len && memcmp(one.data, other.data, one.len) == 0);
    }
    buf_deinit(&one);
    buf_deinit(&other);
    free(of_a);
    free(of_b);
}

static void operate(struct avail_core *core, struct avail_op op)
{
    struct avail_event event = {.type = AVAIL_OP, .wall_ms = 1000, .op = &op};
    struct avail_output out;
    must(avail_step(core, &event, &out) == 0);
}

static void messages(const uint8_t *data, size_t len)
{
    struct avail_config config = {.self = {.boot_no = 1}, .persist = true};
    struct avail_event event = {.type = AVAIL_START, .wall_ms = 1000};
    struct avail_output out;
    struct avail_core *core;
    struct kith_bytes item = {.data = "item", .len = 4};
    must(avail_new(&core, &config) == 0);
    must(avail_step(core, &event, &out) == 0);
    operate(core, (struct avail_op){
                      .kind = AVAIL_OP_ADD, .name = "n", .delta = 1, .flags = AVAIL_OP_ACK});
    operate(core,
            (struct avail_op){
                .kind = AVAIL_OP_INSERT, .name = "s", .type = 18, .items = &item, .items_n = 1});
    event = (struct avail_event){.type = AVAIL_LINK_UP, .wall_ms = 1000, .peer = {{1}}};
    must(avail_step(core, &event, &out) == 0);
    event.type = AVAIL_RECV;
    for (size_t at = 0; len - at >= 2;) {
        size_t n = get_le16(data + at);
        at += 2;
        if (n > len - at)
            break;
        uint8_t *copy = fuzz_copy(data + at, n);
        event.data = (struct kith_bytes){.data = copy, .len = n};
        event.now_ms += 20;
        int r = avail_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        avail_check(core);
        free(copy);
        at += n;
    }
    avail_free(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] == 0)
        states(data + 1, len - 1);
    else
        messages(data + 1, len - 1);
    return 0;
}
