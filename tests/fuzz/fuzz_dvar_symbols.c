/*
 * Messages to a table of symbols, each u16 bytes and its bytes: records of any kind come in
 * registers, and the list of names stays what it must be.
 */
#include "core/error.h"
#include "dvar/symbols.h"
#include "fuzz_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct symbols_config config = {.self = {.boot_no = 1}};
    struct symbols_event event = {.type = SYMBOLS_START};
    struct symbols_output out;
    struct symbols_core *core;
    struct symbol symbol = {.name = "n", .type = 3, .version = 5};
    must(symbols_new(&core, &config) == 0);
    must(symbols_step(core, &event, &out) == 0);
    event.type = SYMBOLS_CREATED;
    event.symbol = &symbol;
    must(symbols_step(core, &event, &out) == 0);
    event = (struct symbols_event){.type = SYMBOLS_LINK_UP, .peer = {{1}}};
    must(symbols_step(core, &event, &out) == 0);
    event.type = SYMBOLS_RECV;
    for (size_t at = 0; len - at >= 2;) {
        size_t n = get_le16(data + at);
        at += 2;
        if (n > len - at)
            break;
        uint8_t *copy = fuzz_copy(data + at, n);
        event.data = (struct kith_bytes){.data = copy, .len = n};
        event.now_ms += 20;
        int r = symbols_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        symbols_check(core);
        free(copy);
        at += n;
    }
    for (const char *after = ""; symbols_next(core, "", after, &symbol); after = symbol.name)
        must(after[0] == '\0' || strcmp(after, symbol.name) < 0);
    symbols_free(core);
    return 0;
}
