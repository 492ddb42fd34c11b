#include "rpc/slots.h"

#include "core/alloc.h"
#include "kith/error.h"

static struct call_slot *slot_at(struct call_slots *slots, uint32_t slot)
{
    return &slots->chunks[slot / SLOT_CHUNK][slot % SLOT_CHUNK];
}

int slot_take(struct rpc_peer *peer, struct call *call)
{
    if (peer->slots == NULL) {
        peer->slots = core_calloc(1, sizeof(*peer->slots));
        if (peer->slots == NULL)
            return KITH_E_MEMORY;
    }
    struct call_slots *slots = peer->slots;
    uint32_t slot;
    if (slots->free_first != 0) {
        slot = slots->free_first - 1;
        slots->free_first = slot_at(slots, slot)->free_next;
        slots->free_n--;
    } else {
        if (slots->used_n == RPC_WINDOW_CALLS_MAX)
            return KITH_E_LIMIT;
        slot = slots->used_n;
        if (slots->chunks[slot / SLOT_CHUNK] == NULL) {
            slots->chunks[slot / SLOT_CHUNK] = core_calloc(SLOT_CHUNK, sizeof(struct call_slot));
            if (slots->chunks[slot / SLOT_CHUNK] == NULL)
                return KITH_E_MEMORY;
        }
        slots->used_n++;
    }
    slot_at(slots, slot)->call = call;
    call->slot = (uint16_t)slot;
    return 0;
}

void slot_give(struct rpc_peer *peer, struct call *call)
{
    struct call_slots *slots = peer->slots;
    struct call_slot *slot = slot_at(slots, call->slot);
    assert(slot->call == call);
    slot->call = NULL;
    slot->free_next = slots->free_first;
    slots->free_first = (uint32_t)call->slot + 1;
    slots->free_n++;
}
