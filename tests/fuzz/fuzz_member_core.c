/*
 * A running node under whatever others send it. The input is a row of pieces: a byte that says what
 * and from whom, a byte for the time that passes, u16 the length, and that many bytes.
 */
#include "fuzz_member.h"
#include "net/frame.h"

static const uint64_t pauses_ms[] = {0, 1, 90, 250, 1000, 5000, 30 * 1000, 3600 * 1000};

static void piece(struct member_core *core, struct member_event *event, uint8_t what)
{
    struct member_output out;
    size_t alive_n = member_alive_n(core, true);
    size_t known_n = core->all_n;
    static const enum member_event_type types[] = {
        MEMBER_DATAGRAM, MEMBER_FRAME,     MEMBER_FRAME,       MEMBER_TICK,
        MEMBER_LINK_UP,  MEMBER_LINK_DOWN, MEMBER_DIAL_FAILED, MEMBER_FORGET};
    event->type = types[what % 8];
    event->frame_type = what % 8 == 1 ? FRAME_MEMBER_PUSH_PULL : FRAME_MEMBER_PUSH_PULL_REPLY;
    event->id = fuzz_id(what / 8 % 6); /* 5 is a stranger */
    event->boot_no = what & 64 ? 3 : 2;
    event->text = "10.0.0.1:7117";
    if (event->type == MEMBER_DIAL_FAILED && what & 64)
        memset(&event->id, 0, sizeof(event->id));
    /* First the timers, so that what follows is the event's own doing. */
    fuzz_step(core, &(struct member_event){.type = MEMBER_TICK, .now_ms = event->now_ms}, &out);
    alive_n = member_alive_n(core, true);
    known_n = core->all_n;
    int r = fuzz_step(core, event, &out);
    must(r == 0 || r == KITH_E_CORRUPT || r == KITH_E_EXISTS || r == KITH_E_NO_NODE);
    if (r == KITH_E_CORRUPT && event->type == MEMBER_DATAGRAM) {
        must(out.actions_n == 0);
        must(alive_n == member_alive_n(core, true) && known_n == core->all_n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct member_core *core = fuzz_core(len > 0 && data[0] & 128);
    uint64_t now_ms = 2000;
    size_t at = 0;

    while (len - at >= 4) {
        size_t n = get_le16(data + at + 2);
        if (n > len - at - 4)
            n = len - at - 4;
        uint8_t *copy = fuzz_copy(data + at + 4, n);
        now_ms += pauses_ms[data[at + 1] % 8];
        struct member_event event = {.now_ms = now_ms, .data = copy, .len = n};
        piece(core, &event, data[at]);
        free(copy);
        at += 4 + n;
    }
    member_free(core);
    return 0;
}
