/*
 * The world of tests/unit/fs_fetch_world.h.
 */
#include "fs_fetch_world.h"

#include "core/map.h"

struct world w;

enum event_kind {
    EV_ASK,
    EV_DATA,
    EV_GONE, /* a data frame has left its sender */
    EV_VERIFIED,
    EV_WRITTEN,
    EV_READ,
    EV_CONNECT,
};

struct event {
    struct heap_node at;
    enum event_kind kind;
    unsigned from, to;
    uint32_t link_no; /* of frames */
    uint32_t life;    /* of workers */
    uint64_t token;
    int code;
    struct content content;
    uint32_t chunk, offset, len;
    struct buf data;
};

struct asked {
    uint64_t bytes;
    unsigned peer;
};

void world_fail(const char *format, ...)
{
    va_list args;
    if (w.problem != NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(w.text, sizeof(w.text), format, args);
    va_end(args);
    w.problem = w.text;
}

/* ---- items ---- */

static void make_room(void)
{
    if (w.items_n < w.items_cap)
        return;
    size_t cap = w.items_cap * 2 + 16;
    w.items = realloc(w.items, cap * sizeof(*w.items));
    assert_non_null(w.items);
    for (unsigned k = 0; k < w.nodes_n; k++) {
        struct node *node = &w.nodes[k];
        node->parts = realloc(node->parts, cap * sizeof(*node->parts));
        node->has = realloc(node->has, cap * sizeof(*node->has));
        node->fetchings = realloc(node->fetchings, cap * sizeof(*node->fetchings));
        assert_true(node->parts != NULL && node->has != NULL && node->fetchings != NULL);
    }
    w.items_cap = cap;
}

size_t world_item(uint64_t size, unsigned zero_of)
{
    struct content_builder builder;
    struct kith_bytes list;
    make_room();
    size_t i = w.items_n++;
    struct item *item = &w.items[i];
    *item = (struct item){.bytes = calloc(1, size + 8)};
    assert_non_null(item->bytes);
    for (uint64_t at = 0; at < size; at += 8) {
        if (at % (1u << 17) == 0 && zero_of > 0)
            while (at < size && rng_below(&w.rng, zero_of) == 0)
                at += 1u << 17;
        if (at < size)
            put_le64(item->bytes + at, rng_u64(&w.rng));
    }
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, size), 0);
    assert_int_equal(content_builder_update(&builder, item->bytes, size), 0);
    assert_int_equal(content_builder_end(&builder, &item->content, &list), 0);
    assert_int_equal(buf_append(&item->list, list.data, list.len), 0);
    content_builder_deinit(&builder);
    for (unsigned k = 0; k < w.nodes_n; k++) {
        struct node *node = &w.nodes[k];
        node->parts[i] = (struct part){0};
        node->has[i] = false;
        node->fetchings[i] = (struct fetching){0};
    }
    return i;
}

static struct map64 by_root; /* first bytes of the root -> 1 + index */

static size_t item_of(const struct content *content)
{
    if (by_root.n != w.items_n) {
        map64_deinit(&by_root);
        by_root = (struct map64){0};
        for (size_t i = 0; i < w.items_n; i++)
            assert_int_equal(
                map64_set(&by_root, get_le64(w.items[i].content.root), (void *)(uintptr_t)(i + 1)),
                0);
    }
    size_t i = (size_t)(uintptr_t)map64_find(&by_root, get_le64(content->root));
    assert_true(i > 0 && content_equal(&w.items[i - 1].content, content));
    return i - 1;
}

static struct part *part_of(unsigned i, size_t item)
{
    struct part *part = &w.nodes[i].parts[item];
    const struct content *content = &w.items[item].content;
    if (part->bytes == NULL && !w.small) {
        part->bytes = calloc(1, content->size + 1);
        part->written_us = calloc(content_chunks(content) + 1, sizeof(uint64_t));
        assert_true(part->bytes != NULL && part->written_us != NULL);
    }
    return part;
}

/* ---- events ---- */

static struct event *post(enum event_kind kind, uint64_t at_us)
{
    struct event *event = calloc(1, sizeof(*event));
    assert_non_null(event);
    event->kind = kind;
    assert_int_equal(heap_set(&w.events, &event->at, at_us), 0);
    return event;
}

static void event_free(struct event *event)
{
    buf_deinit(&event->data);
    free(event);
}

static void send_frame(unsigned from,
                       unsigned to,
                       enum event_kind kind,
                       struct kith_bytes head,
                       struct kith_bytes data)
{
    struct node *node = &w.nodes[from];
    uint64_t bytes = head.len + data.len + 8;
    uint64_t leaves_us = w.now_us + 10;
    if (!w.linked[from][to])
        return; /* the core hears of that in a moment */
    if (kind == EV_DATA) {
        if (node->uplink_free_us > leaves_us)
            leaves_us = node->uplink_free_us;
        leaves_us += bytes * 1000 / node->rate;
        node->uplink_free_us = leaves_us;
        node->queued[to] += bytes;
        struct event *gone = post(EV_GONE, leaves_us);
        gone->from = from;
        gone->to = to;
        gone->len = (uint32_t)bytes;
        gone->link_no = w.link_no[from][to];
    }
    struct event *event = post(kind, leaves_us + w.latency_us);
    event->from = from;
    event->to = to;
    event->link_no = w.link_no[from][to];
    assert_int_equal(buf_append(&event->data, head.data, head.len), 0);
    assert_int_equal(buf_append(&event->data, data.data, data.len), 0);
}

/* ---- what asks hold, as the world sees it ---- */

static void asked_end(struct node *node, uint64_t request)
{
    struct asked *asked = map64_remove(&node->asked, request);
    if (asked == NULL)
        return;
    node->asked_bytes -= asked->bytes;
    free(asked);
}

static void asked_of_peer_end(struct node *node, unsigned peer, bool all)
{
    size_t at = 0;
    struct asked *asked;
    while (at < node->asked.cap) {
        uint64_t key = node->asked.slots[at].key;
        asked = node->asked.slots[at].value;
        if (asked != NULL && (all || asked->peer == peer)) {
            asked_end(node, key); /* shifts what is behind it */
            at = 0;
        } else {
            at++;
        }
    }
}

static void watch_asks(unsigned i, unsigned to, struct kith_bytes data)
{
    struct node *node = &w.nodes[i];
    struct reader reader = reader_of(data.data, data.len);
    uint64_t most = w.bytes_max;
    while (reader.at < reader.len) {
        struct fetch_ask ask;
        fetch_ask_read(&reader, &ask);
        assert_false(reader.bad);
        if (ask.cancel) {
            asked_end(node, ask.request);
            continue;
        }
        if (ask.chunk == FETCH_LIST)
            continue;
        struct asked *asked = calloc(1, sizeof(*asked));
        *asked = (struct asked){.bytes = fetch_ask_bytes(&ask), .peer = to};
        assert_int_equal(map64_set(&node->asked, ask.request, asked), 0);
        node->asked_bytes += asked->bytes;
        if (node->asked_bytes > node->asked_most)
            node->asked_most = node->asked_bytes;
        if (node->asked_bytes > most && node->asked_bytes > asked->bytes)
            world_fail("node %u has %llu bytes under way, more than %llu", i,
                       (unsigned long long)node->asked_bytes, (unsigned long long)most);
    }
}

/* ---- fetching ---- */

static void fetch_do(unsigned i, struct fetch_event *event);

static void check_range(unsigned i, size_t item, uint64_t offset, uint64_t len)
{
    const struct part *part = part_of(i, item);
    if (w.small)
        return; /* each write was looked at */
    if (memcmp(part->bytes + offset, w.items[item].bytes + offset, len) != 0)
        world_fail("node %u was told that item %zu is there, and it is not", i, item);
}

static void on_verify(unsigned i, const struct fetch_action *action)
{
    const struct part *part = part_of(i, item_of(&action->content));
    struct event *event = post(EV_VERIFIED, 0);
    const void *data = action->data.data;
    uint32_t len = (uint32_t)action->data.len;
    if (action->chunk == FETCH_LIST) {
        event->code = content_list_check(&action->content, data, len);
    } else {
        len = content_chunk_bytes(&action->content, action->chunk);
        if (data == NULL)
            data = part->bytes + action->offset;
        event->code = content_chunk_check(&action->content, action->hash, action->chunk, data, len);
    }
    event->from = i;
    event->life = w.nodes[i].life;
    event->token = action->token;
    assert_int_equal(heap_set(&w.events, &event->at, w.now_us + 50 + len / 1000), 0);
}

static uint64_t written_token; /* of the last WRITE */

static void on_write(unsigned i, const struct fetch_action *action)
{
    size_t item = item_of(&action->content);
    struct node *node = &w.nodes[i];
    struct part *part = part_of(i, item);
    struct event *event = post(EV_WRITTEN, w.now_us + 30 + action->data.len / 500);
    if (action->data.len != content_chunk_bytes(&action->content, action->chunk) ||
        memcmp(action->data.data, w.items[item].bytes + action->offset, action->data.len) != 0)
        world_fail("node %u was to write wrong bytes into item %zu, chunk %u", i, item,
                   action->chunk);
    written_token = action->token;
    event->from = i;
    event->life = node->life;
    event->token = action->token;
    event->code = node->disk_full ? KITH_E_LIMIT : 0;
    if (!node->disk_full && part->bytes != NULL) {
        memcpy(part->bytes + action->offset, action->data.data, action->data.len);
        part->written_us[action->chunk] = w.now_us;
    }
    if (rng_below(&w.rng, 4) == 0) /* some drivers keep the bytes */
        core_free(fetch_take(node->fetch, action->token));
}

static void on_zeros(unsigned i, const struct fetch_action *action)
{
    size_t item = item_of(&action->content);
    struct part *part = part_of(i, item);
    for (uint32_t k = 0; k < action->chunks_n; k++) {
        uint64_t at = content_chunk_offset(&action->content, action->chunk + k);
        uint32_t len = content_chunk_bytes(&action->content, action->chunk + k);
        for (uint32_t b = 0; b < len; b++)
            if (w.items[item].bytes[at + b] != 0)
                world_fail("chunk %u of item %zu is no zeros", action->chunk + k, item);
        memset(part->bytes + at, 0, len);
    }
}

static unsigned node_of(const struct kith_node_id *id)
{
    return id->bytes[0] - 1u;
}

static void on_done(unsigned i, const struct fetch_action *action)
{
    struct node *node = &w.nodes[i];
    for (size_t k = 0; k < w.items_n; k++) {
        struct fetching *fetching = &node->fetchings[w.small ? action->id - 1 : k];
        if (fetching->id != action->id)
            continue;
        size_t item = (size_t)(fetching - node->fetchings);
        uint64_t size = w.items[item].content.size;
        fetching->id = 0;
        fetching->code = action->code;
        fetching->damaged_n = action->damaged_n;
        for (size_t n = 0; n < action->damaged_n; n++) {
            if (w.nodes[node_of(&action->damaged[n])].kind == HONEST)
                world_fail("node %u is blamed, which is honest", node_of(&action->damaged[n]));
        }
        fetching->done_us = w.now_us;
        if (action->code == 0) {
            fetching->wanted = false;
            check_range(i, item, fetching->offset,
                        fetching->len != 0 ? fetching->len : size - fetching->offset);
        } else {
            if ((fetching->flags & FETCH_WAIT) != 0 && action->code != KITH_E_LIMIT)
                world_fail("a fetch that waits ended with %d", action->code);
            fetching->retry_us = w.now_us + 500000;
        }
        return;
    }
    world_fail("a fetch ended that is not under way");
}

static void on_end(unsigned i, const struct fetch_action *action)
{
    size_t item = item_of(&action->content);
    if (action->code != 0)
        return;
    check_range(i, item, 0, w.items[item].content.size);
    w.nodes[i].has[item] = true;
}

static void on_action(unsigned i, const struct fetch_action *action)
{
    struct event *event;
    unsigned to = node_of(&action->peer);
    switch (action->type) {
    case FETCH_SEND:
        watch_asks(i, to, action->data);
        send_frame(i, to, EV_ASK, (struct kith_bytes){0}, action->data);
        break;
    case FETCH_CONNECT:
        event = post(EV_CONNECT, w.now_us + 3 * w.latency_us);
        event->from = i;
        event->to = to;
        break;
    case FETCH_VERIFY:
        on_verify(i, action);
        break;
    case FETCH_WRITE:
        on_write(i, action);
        break;
    case FETCH_ZEROS:
        on_zeros(i, action);
        break;
    case FETCH_PERSIST: {
        struct part *part = part_of(i, item_of(&action->content));
        struct buf *buf = action->list.len > 0 ? &part->list : &part->bitmap;
        const struct kith_bytes *data = action->list.len > 0 ? &action->list : &action->bitmap;
        buf->len = 0;
        assert_int_equal(buf_append(buf, data->data, data->len), 0);
        break;
    }
    case FETCH_DAMAGED:
        w.damaged_n++;
        if (w.nodes[to].kind == HONEST)
            world_fail("node %u is blamed, which is honest: %s", to, action->text);
        break;
    case FETCH_DONE:
        on_done(i, action);
        break;
    case FETCH_END:
        on_end(i, action);
        break;
    }
}

static void fetch_do(unsigned i, struct fetch_event *event)
{
    struct node *node = &w.nodes[i];
    struct fetch_output out;
    struct fetch_stats stats;
    event->now_ms = w.now_us / 1000;
    int r = fetch_step(node->fetch, event, &out);
    if (r != 0 && r != KITH_E_CORRUPT)
        world_fail("a step failed: %d", r);
    for (size_t k = 0; k < out.actions_n; k++)
        on_action(i, &out.actions[k]);
    if (w.checks)
        fetch_check(node->fetch);
    fetch_stats(node->fetch, &stats);
    if (w.lists_bytes_max != 0 && stats.lists_bytes > w.lists_bytes_max)
        world_fail("node %u holds %llu bytes of lists", i, (unsigned long long)stats.lists_bytes);
    if (stats.bytes_held > w.bytes_max && stats.bytes_held > 1u << CONTENT_CHUNK_LOG2_MAX)
        world_fail("node %u holds %llu bytes", i, (unsigned long long)stats.bytes_held);
}

/* ---- serving ---- */

static uint64_t room(unsigned from, unsigned to)
{
    uint64_t queued = w.nodes[from].queued[to];
    return queued < 1u << 20 ? (1u << 20) - queued : 0;
}

static void serve_do(unsigned i, struct serve_event *event);

static void on_read(unsigned i, const struct serve_action *action)
{
    if (w.nodes[i].kind == SILENT)
        return;
    struct event *event = post(EV_READ, w.now_us + 40 + action->len / 1000);
    event->from = i;
    event->life = w.nodes[i].life;
    event->token = action->token;
    event->content = action->content;
    event->chunk = action->chunk;
    event->offset = action->offset;
    event->len = action->len;
}

static void read_done(unsigned i, const struct event *read)
{
    struct node *node = &w.nodes[i];
    size_t item = item_of(&read->content);
    struct serve_event event = {.type = SERVE_READ_DONE, .token = read->token};
    const uint8_t *from = read->chunk == FETCH_LIST
                              ? w.items[item].list.data + read->offset
                              : w.items[item].bytes +
                                    content_chunk_offset(&read->content, read->chunk) +
                                    read->offset;
    if (!node->has[item] || node->kind == SAYS_NO) {
        event.code = KITH_E_NOT_FOUND;
        serve_do(i, &event);
        return;
    }
    uint8_t *data = malloc(read->len);
    memcpy(data, from, read->len);
    bool list = read->chunk == FETCH_LIST;
    if ((node->kind == DAMAGES && rng_below(&w.rng, 2) == 0) ||
        (node->kind == LIES_LISTS && list)) {
        uint64_t at = rng_below(&w.rng, read->len); /* in one order with every compiler */
        data[at] ^= (uint8_t)(1u << rng_below(&w.rng, 8));
    }
    event.data = (struct kith_bytes){.data = data, .len = read->len};
    serve_do(i, &event);
    free(data);
}

static void on_send(unsigned i, const struct serve_action *action)
{
    unsigned to = node_of(&action->peer);
    struct kith_bytes data = action->data;
    uint8_t longer[70000] = {0};
    if (w.refusals && rng_below(&w.rng, 200) == 0)
        return; /* the queue is full of other things */
    if (w.nodes[i].kind == SENDS_MORE && data.len > 0) {
        uint8_t head[FETCH_DATA_HEAD_BYTES];
        memcpy(head, action->head.data, sizeof(head));
        switch (rng_below(&w.rng, 4)) {
        case 0: /* twice */
            send_frame(i, to, EV_DATA, action->head, data);
            break;
        case 1:
            put_le32(head + 9, get_le32(head + 9) + (uint32_t)rng_below(&w.rng, 70000) + 1);
            send_frame(i, to, EV_DATA, (struct kith_bytes){head, sizeof(head)}, data);
            return;
        case 2:
            memcpy(longer, data.data, data.len);
            send_frame(i, to, EV_DATA, action->head, (struct kith_bytes){longer, 65000});
            return;
        default:
            break;
        }
    }
    send_frame(i, to, EV_DATA, action->head, data);
}

static void serve_do(unsigned i, struct serve_event *event)
{
    struct node *node = &w.nodes[i];
    struct serve_output out;
    bool sent[NODES_MAX] = {false};
    int r = fs_serve_step(node->serve, event, &out);
    if (r != 0)
        world_fail("a frame of asks was refused: %d", r);
    for (size_t k = 0; k < out.actions_n; k++) {
        const struct serve_action *action = &out.actions[k];
        if (action->type == SERVE_READ) {
            on_read(i, action);
        } else {
            on_send(i, action);
            sent[node_of(&action->peer)] = true;
        }
    }
    if (w.checks)
        fs_serve_check(node->serve);
    for (unsigned k = 0; k < w.nodes_n; k++) {
        struct serve_event told = {.type = SERVE_ROOM, .peer = w.nodes[k].id, .room = room(i, k)};
        if (sent[k])
            serve_do(i, &told);
    }
}

/* ---- nodes and links ---- */

static void link_side(unsigned i, unsigned k, bool up)
{
    struct fetch_event fetch = {.type = up ? FETCH_PEER_UP : FETCH_PEER_DOWN,
                                .peer = w.nodes[k].id};
    struct serve_event serve = {
        .type = up ? SERVE_PEER_UP : SERVE_PEER_DOWN, .peer = w.nodes[k].id, .room = 1 << 20};
    if (!w.nodes[i].up)
        return;
    if (!up)
        asked_of_peer_end(&w.nodes[i], k, false);
    serve_do(i, &serve);
    fetch_do(i, &fetch);
}

void world_link(unsigned i, unsigned k, bool up)
{
    up = up && w.nodes[i].up && w.nodes[k].up && !w.cut[i][k];
    if (i == k || w.linked[i][k] == up)
        return;
    w.linked[i][k] = w.linked[k][i] = up;
    w.link_no[i][k]++;
    w.link_no[k][i]++;
    w.nodes[i].queued[k] = w.nodes[k].queued[i] = 0;
    link_side(i, k, up);
    link_side(k, i, up);
}

void world_node_start(unsigned i)
{
    struct node *node = &w.nodes[i];
    struct fetch_config fetch = {.bytes_max = w.bytes_max,
                                 .lists_bytes_max = w.lists_bytes_max,
                                 .aside_ms = 20000,
                                 .stall_ms = 3000};
    struct serve_config serve = {0};
    assert_int_equal(fetch_new(&node->fetch, &fetch), 0);
    assert_int_equal(fs_serve_new(&node->serve, &serve), 0);
    node->up = true;
    node->life++;
    for (unsigned k = 0; k < w.nodes_n; k++)
        world_link(i, k, true);
    for (size_t k = 0; k < w.items_n; k++) {
        node->fetchings[k].id = 0;
        node->fetchings[k].retry_us = w.now_us;
    }
}

void world_node_crash(unsigned i)
{
    struct node *node = &w.nodes[i];
    for (unsigned k = 0; k < w.nodes_n; k++)
        world_link(i, k, false);
    fetch_free(node->fetch);
    fs_serve_free(node->serve);
    node->fetch = NULL;
    node->serve = NULL;
    node->up = false;
    node->life++;
    w.crashes_n++;
    asked_of_peer_end(node, 0, true);
    for (size_t k = 0; k < w.items_n; k++) {
        struct part *part = &node->parts[k];
        const struct content *content = &w.items[k].content;
        for (uint32_t c = 0; part->bytes != NULL && c < content_chunks(content); c++) {
            if (node->has[k] || part->written_us[c] == 0 ||
                part->written_us[c] + 3000000 < w.now_us || rng_below(&w.rng, 2) == 0)
                continue;
            part->bytes[content_chunk_offset(content, c)] ^= 0x55; /* it was never synced */
        }
    }
}

static size_t holders_of(unsigned i, size_t item, struct kith_node_id *out)
{
    size_t n = 0;
    for (unsigned k = 0; k < w.nodes_n; k++)
        if (k != i && (w.nodes[k].has[item] || w.nodes[k].kind == SAYS_NO))
            out[n++] = w.nodes[k].id;
    return n;
}

void world_fetch(
    unsigned i, size_t item, uint64_t offset, uint64_t len, uint8_t priority, uint8_t flags)
{
    struct node *node = &w.nodes[i];
    struct kith_node_id holders[NODES_MAX];
    struct fetching *fetching = &node->fetchings[item];
    const struct part *part = &node->parts[item];
    assert_int_equal(fetching->id, 0);
    *fetching = (struct fetching){.offset = offset,
                                  .len = len,
                                  .priority = priority,
                                  .flags = flags,
                                  .wanted = true,
                                  .id = w.small ? item + 1 : ++w.next_id};
    struct fetch_event event = {.type = FETCH_START,
                                .id = fetching->id,
                                .content = w.items[item].content,
                                .holders = holders,
                                .holders_n = holders_of(i, item, holders),
                                .priority = priority,
                                .flags = flags,
                                .offset = offset,
                                .len = len,
                                .list = {part->list.data, part->list.len},
                                .bitmap = {part->bitmap.data, part->bitmap.len}};
    fetch_do(i, &event);
}

void world_cancel(unsigned i, size_t item)
{
    struct fetching *fetching = &w.nodes[i].fetchings[item];
    struct fetch_event event = {.type = FETCH_CANCEL, .id = fetching->id};
    fetching->id = 0;
    fetching->wanted = false;
    fetch_do(i, &event);
}

void world_tell_holders(unsigned i, size_t item)
{
    struct kith_node_id holders[NODES_MAX];
    struct fetch_event event = {.type = FETCH_HOLDERS,
                                .content = w.items[item].content,
                                .holders = holders,
                                .holders_n = holders_of(i, item, holders)};
    fetch_do(i, &event);
}

/* ---- time ---- */

static void on_frame(struct event *event)
{
    unsigned i = event->to;
    if (event->link_no != w.link_no[event->from][i])
        return; /* it went with its stream */
    if (event->kind == EV_ASK) {
        struct serve_event serve = {.type = SERVE_RECV,
                                    .peer = w.nodes[event->from].id,
                                    .data = {event->data.data, event->data.len}};
        serve_do(i, &serve);
        return;
    }
    struct fetch_event fetch = {.type = FETCH_RECV,
                                .peer = w.nodes[event->from].id,
                                .data = {event->data.data, event->data.len}};
    w.nodes[i].got[event->from] += event->data.len;
    if (event->data.data[0] == 2) /* NO */
        asked_end(&w.nodes[i], get_le64(event->data.data + 1));
    fetch_do(i, &fetch);
}

static void on_worker(const struct event *event)
{
    struct node *node = &w.nodes[event->from];
    struct fetch_event fetch = {.type = event->kind == EV_VERIFIED ? FETCH_VERIFIED : FETCH_WRITTEN,
                                .token = event->token,
                                .code = event->code,
                                .text = event->code != 0 ? "the disk is full" : NULL};
    if (event->life != node->life)
        return;
    if (event->kind == EV_READ) {
        read_done(event->from, event);
        return;
    }
    if (event->kind == EV_WRITTEN || event->code != 0)
        asked_end(node, event->token);
    bool here = map64_find(&node->asked, event->token) != NULL;
    written_token = 0;
    fetch_do(event->from, &fetch);
    if (here && written_token != event->token)
        asked_end(node, event->token); /* nobody wants it any more */
}

static void deliver(struct event *event)
{
    struct serve_event serve = {.type = SERVE_ROOM, .peer = w.nodes[event->to].id};
    w.events_n++;
    switch (event->kind) {
    case EV_ASK:
    case EV_DATA:
        on_frame(event);
        break;
    case EV_GONE:
        if (event->link_no != w.link_no[event->from][event->to])
            break;
        w.nodes[event->from].queued[event->to] -= event->len;
        serve.room = room(event->from, event->to);
        serve_do(event->from, &serve);
        break;
    case EV_CONNECT:
        world_link(event->from, event->to, true);
        break;
    default:
        on_worker(event);
    }
    event_free(event);
}

bool world_one(uint64_t end_us)
{
    struct heap_node *first = heap_first(&w.events);
    uint64_t least_us = first != NULL ? first->key : UINT64_MAX;
    unsigned tick = NODES_MAX;
    for (unsigned i = 0; i < w.nodes_n; i++) {
        if (!w.nodes[i].up)
            continue;
        uint64_t due_ms = fetch_deadline_ms(w.nodes[i].fetch);
        if (due_ms != UINT64_MAX && due_ms * 1000 < least_us) {
            least_us = due_ms * 1000;
            tick = i;
        }
    }
    if (least_us > end_us || w.problem != NULL)
        return false;
    w.now_us = least_us > w.now_us ? least_us : w.now_us;
    if (tick < NODES_MAX) {
        struct fetch_event event = {.type = FETCH_TICK};
        fetch_do(tick, &event);
        return true;
    }
    heap_remove(&w.events, first);
    deliver(container_of(first, struct event, at));
    return true;
}

void world_until(uint64_t end_us)
{
    while (world_one(end_us))
        continue;
    if (w.problem == NULL)
        w.now_us = end_us;
}

/* Starts again what failed and is wanted still. */
static bool again(void)
{
    bool wanted = false;
    for (unsigned i = 0; i < w.nodes_n; i++) {
        for (size_t k = 0; k < w.items_n; k++) {
            struct fetching f = w.nodes[i].fetchings[k];
            if (!f.wanted)
                continue;
            wanted = true;
            if (w.nodes[i].up && f.id == 0 && w.now_us >= f.retry_us)
                world_fetch(i, k, f.offset, f.len, f.priority, f.flags);
        }
    }
    return wanted;
}

bool world_settle(uint64_t end_us)
{
    while (w.problem == NULL && w.now_us < end_us) {
        if (!again())
            return true;
        world_until(w.now_us + 200000);
    }
    return false;
}

/* ---- life ---- */

void world_begin(uint64_t seed, unsigned nodes_n, uint64_t bytes_max)
{
    memset(&w, 0, sizeof(w));
    by_root = (struct map64){0};
    rng_init(&w.rng, seed);
    w.now_us = 1000000;
    w.latency_us = 5000;
    w.nodes_n = nodes_n;
    w.bytes_max = bytes_max;
    w.checks = true;
    for (unsigned i = 0; i < nodes_n; i++) {
        w.nodes[i].id.bytes[0] = (uint8_t)(i + 1);
        w.nodes[i].rate = 10000;
    }
}

void world_end(void)
{
    struct heap_node *first;
    while ((first = heap_first(&w.events)) != NULL) {
        heap_remove(&w.events, first);
        event_free(container_of(first, struct event, at));
    }
    heap_deinit(&w.events);
    for (unsigned i = 0; i < w.nodes_n; i++) {
        struct node *node = &w.nodes[i];
        fetch_free(node->fetch);
        fs_serve_free(node->serve);
        asked_of_peer_end(node, 0, true);
        map64_deinit(&node->asked);
        for (size_t k = 0; k < w.items_n; k++) {
            free(node->parts[k].bytes);
            free(node->parts[k].written_us);
            buf_deinit(&node->parts[k].list);
            buf_deinit(&node->parts[k].bitmap);
        }
        free(node->parts);
        free(node->has);
        free(node->fetchings);
    }
    for (size_t k = 0; k < w.items_n; k++) {
        free(w.items[k].bytes);
        buf_deinit(&w.items[k].list);
    }
    free(w.items);
    w.items = NULL;
    map64_deinit(&by_root);
    by_root = (struct map64){0};
}
