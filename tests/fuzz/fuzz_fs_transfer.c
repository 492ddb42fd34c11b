/*
 * What nodes say to each other about contents. The first byte chooses who hears it: 0, who fetches;
 * 1, who serves; 2, who keeps copies; 3, a content as it is written, and it comes out as it went
 * in. Of the others each message is u16 bytes and its bytes.
 */
#include "fs/fetch.h"
#include "fs/fetch_wire.h"
#include "fs/keep.h"
#include "fs/serve.h"
#include "fuzz_net.h"
#include "kith/error.h"

static uint8_t bytes[(1 << 17) + 10]; /* of a content of two chunks; the first 1,000 are another */

/* The next message; false at the end. Copied, so that reading past its end is seen. */
static bool next(struct reader *reader, struct kith_bytes *message_out)
{
    uint16_t n = read_le16(reader);
    const uint8_t *at = read_bytes(reader, n);
    if (reader->bad || at == NULL)
        return false;
    *message_out = (struct kith_bytes){.data = fuzz_copy(at, n), .len = n};
    return true;
}

/* Answers what the core asks of its workers. */
static void work(struct fetch_core *core, const struct fetch_output *out, uint64_t now_ms)
{
    struct fetch_event events[64];
    size_t n = 0;
    for (size_t i = 0; i < out->actions_n && n < 64; i++) {
        const struct fetch_action *action = &out->actions[i];
        struct fetch_event event = {.token = action->token, .now_ms = now_ms};
        if (action->type == FETCH_VERIFY) {
            event.type = FETCH_VERIFIED;
            event.code =
                action->chunk == FETCH_LIST
                    ? content_list_check(&action->content, action->data.data, action->data.len)
                    : content_chunk_check(&action->content, action->hash, action->chunk,
                                          action->data.data, action->data.len);
            events[n++] = event;
        } else if (action->type == FETCH_WRITE) {
            must(memcmp(action->data.data, bytes + action->offset, action->data.len) == 0);
            event.type = FETCH_WRITTEN;
            events[n++] = event;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct fetch_output next_out;
        must(fetch_step(core, &events[i], &next_out) == 0);
        work(core, &next_out, now_ms);
    }
}

static void start(struct fetch_core *core, uint64_t id, uint64_t size)
{
    struct kith_node_id holders[2] = {{{1}}, {{2}}};
    struct content_builder builder;
    struct fetch_event event = {.type = FETCH_START,
                                .id = id,
                                .holders = holders,
                                .holders_n = 2,
                                .flags = FETCH_WAIT,
                                .now_ms = 1000};
    struct fetch_output out;
    struct kith_bytes list;
    must(content_builder_init(&builder, CONTENT_BLAKE2B_256, size) == 0);
    must(content_builder_update(&builder, bytes, size) == 0);
    must(content_builder_end(&builder, &event.content, &list) == 0);
    if (id == 3)
        event.list = list;
    must(fetch_step(core, &event, &out) == 0);
    work(core, &out, 1000);
    content_builder_deinit(&builder);
}

static void fetches(struct reader *reader)
{
    struct fetch_config config = {0};
    struct fetch_core *core;
    struct fetch_output out;
    struct kith_bytes message;
    must(fetch_new(&core, &config) == 0);
    for (uint8_t i = 1; i <= 2; i++) {
        struct fetch_event event = {.type = FETCH_PEER_UP, .peer = {{i}}, .now_ms = 1000};
        must(fetch_step(core, &event, &out) == 0);
    }
    start(core, 1, 1000);
    start(core, 2, sizeof(bytes));
    uint64_t now_ms = 1000;
    for (unsigned n = 0; next(reader, &message); n++) {
        struct fetch_event event = {.type = FETCH_RECV, .data = message};
        now_ms += 50;
        event.now_ms = now_ms;
        event.peer.bytes[0] = (uint8_t)(1 + n % 2);
        if (n == 3)
            start(core, 3, sizeof(bytes) - 1);
        int r = fetch_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        work(core, &out, now_ms);
        fetch_check(core);
        free((void *)(uintptr_t)message.data);
    }
    fetch_free(core);
}

static void serves(struct reader *reader)
{
    struct serve_config config = {.asks_max = 20, .reads_max = 4};
    struct serve_core *core;
    struct serve_output out;
    struct kith_bytes message;
    struct kith_node_id asker = {{1}};
    must(fs_serve_new(&core, &config) == 0);
    struct serve_event event = {.type = SERVE_PEER_UP, .peer = asker, .room = 100000};
    must(fs_serve_step(core, &event, &out) == 0);
    while (next(reader, &message)) {
        event = (struct serve_event){.type = SERVE_RECV, .peer = asker, .data = message};
        int r = fs_serve_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        uint64_t token = 0;
        for (size_t i = 0; i < out.actions_n; i++) {
            const struct serve_action *action = &out.actions[i];
            if (action->type != SERVE_READ)
                continue;
            must(action->len > 0 && action->len <= FS_SERVE_BLOCK_BYTES);
            token = action->token;
            event.code = action->len <= sizeof(bytes) ? 0 : KITH_E_NOT_FOUND;
            event.data = (struct kith_bytes){bytes, action->len};
        }
        if (token != 0) {
            event.type = SERVE_READ_DONE;
            event.token = token;
            must(fs_serve_step(core, &event, &out) == 0);
        }
        fs_serve_check(core);
        free((void *)(uintptr_t)message.data);
    }
    fs_serve_free(core);
}

static void keeps(struct reader *reader)
{
    struct kith_node_id other = {{1}};
    struct keep_config config = {.self = {{9}}, .surplus_ms = 1, .stable_ms = 1};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .copies = 1,
                               .live = true,
                               .place = KEEP_KEEP,
                               .holders = &other,
                               .holders_n = 1};
    struct keep_core *core;
    struct keep_output out;
    struct kith_bytes message;
    must(keep_new(&core, &config) == 0);
    struct keep_event event = {.type = KEEP_START};
    must(keep_step(core, &event, &out) == 0);
    event = (struct keep_event){.type = KEEP_NODE_UP, .peer = other};
    must(keep_step(core, &event, &out) == 0);
    for (uint64_t now_ms = 10; next(reader, &message); now_ms += 10) {
        event = (struct keep_event){
            .type = KEEP_LOOK, .now_ms = now_ms, .wall_ms = now_ms, .facts = &facts};
        must(keep_step(core, &event, &out) == 0);
        event.type = KEEP_RECV;
        event.peer = other;
        event.data = message;
        int r = keep_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        for (size_t i = 0; i < out.actions_n; i++) {
            if (out.actions[i].type != KEEP_CHECK)
                continue;
            event.type = KEEP_CHECKED;
            event.token = out.actions[i].token;
            event.place = KEEP_KEEP;
            must(keep_step(core, &event, &out) == 0);
            break;
        }
        keep_check(core);
        free((void *)(uintptr_t)message.data);
    }
    keep_free(core);
}

static void contents(const uint8_t *data, size_t len)
{
    struct reader reader = reader_of(data, len);
    struct content content;
    uint8_t again[CONTENT_WIRE_BYTES];
    content_read(&reader, &content);
    if (reader.bad)
        return;
    must(content_valid(&content) && content_chunks(&content) <= FS_CHUNKS_MAX);
    content_encode(&content, again);
    must(memcmp(again, data, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_of(data + 1, len - (len > 0));
    for (size_t i = 0; i < sizeof(bytes) && bytes[1] == 0; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    if (len == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        fetches(&reader);
        break;
    case 1:
        serves(&reader);
        break;
    case 2:
        keeps(&reader);
        break;
    default:
        contents(data + 1, len - 1);
    }
    return 0;
}
