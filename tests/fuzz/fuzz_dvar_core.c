/*
 * Frames from two members to a core that is home of one slot and replica of all others: refused or
 * taken, with all invariants whole. The first byte of each piece chooses who says it; then u16
 * length, then the frame.
 */
#include "dvar/dvar.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct boot_id boot_of(uint8_t n)
{
    struct boot_id boot = {.boot_no = 1};
    boot.node.bytes[0] = n;
    return boot;
}

static void step(struct dvar_core *core, struct dvar_event *event)
{
    struct dvar_output out;
    event->now_ms = 1000;
    (void)dvar_step(core, event, &out);
    dvar_check(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct placement placement;
    struct dvar_core *core;
    struct dvar_config config = {.self = boot_of(1)};
    if (dvar_new(&core, &config) != 0)
        abort();
    placement.epoch = 1;
    placement.keepers_n = 3;
    for (uint32_t i = 0; i < 3; i++)
        placement.keepers[i] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of((uint8_t)(i + 1))};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        uint32_t home = i == placement_slot_of("x", 1) ? 1 : 2;
        placement.slots[i].active = (struct placement_config){
            .slot_epoch = 1, .replicas = {home, 3 - home, 3}, .replicas_n = 3};
    }
    struct dvar_event event = {.type = DVAR_PLACEMENT, .placement = &placement};
    step(core, &event);
    event = (struct dvar_event){.type = DVAR_LEASE, .until_ms = 5000};
    step(core, &event);
    while (len >= 3) {
        size_t n = (size_t)data[1] | (size_t)data[2] << 8;
        n = n > len - 3 ? len - 3 : n;
        event = (struct dvar_event){.type = DVAR_RECV,
                                    .from = boot_of((uint8_t)(2 + data[0] % 3)),
                                    .data = data + 3,
                                    .len = n};
        step(core, &event);
        data += 3 + n;
        len -= 3 + n;
    }
    event = (struct dvar_event){.type = DVAR_TICK};
    step(core, &event);
    dvar_free(core);
    return 0;
}
