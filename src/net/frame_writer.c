/*
 * The sending side. Whole frames are copied into chunks, a chunk being what fits one record; a
 * frame is only cut between chunks if it is larger than one. Large frames wait in lists and give
 * one fragment at a time, sealed from where the bytes stand.
 *
 * A record is a fragment and the first chunk if both fit; else they take turns, so that neither
 * starves the other. The fragment goes first in its record: there the receiver can open it straight
 * into the block that it belongs to. Between the two halves of a cut frame no fragment may
 * stand (mid_frame).
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "net/frame.h"

/* Plaintext of a record, less the room for a FRAME_REKEY at its end. */
#define FILL_BYTES (NET_RECORD_FILL_BYTES - FRAME_HEAD_BYTES)
/*
 * A large frame gives so many fragments before the next one has its turn: about a megabyte, so that
 * the receiver finishes it in memory that is still warm, while a 16 MiB frame holds no other up for
 * long.
 */
#define LARGE_RUN_FRAGMENTS 20
#define TOTAL_BYTES         4 /* u32 total at the start of a first fragment */
#define PARTS_MAX           5 /* fragment's head, two slices of a large frame, chunk, rekey */

static_assert(NET_FRAGMENT_BYTES + FRAME_HEAD_BYTES + TOTAL_BYTES < FILL_BYTES, "room for others");
static_assert(FRAME_WHOLE_BYTES_MAX + FRAME_HEAD_BYTES <= 2 * FILL_BYTES, "at most two chunks");
static_assert(FRAME_WHOLE_BYTES_MAX > NET_FRAGMENT_BYTES,
              "a large frame has two fragments or more");

/* A frame that travels as fragments. */
struct frame_large {
    struct list node; /* in waiting or open */
    uint8_t type;
    uint16_t id; /* 0 until the first fragment */
    uint8_t head[FRAME_TAKE_HEAD_BYTES_MAX];
    size_t head_len;
    const uint8_t *body;
    size_t total; /* head and body */
    size_t at;    /* sealed up to here */
    void (*release)(void *arg);
    void *release_arg;
};

void frame_writer_init(struct frame_writer *writer,
                       enum net_class net_class,
                       uint32_t bytes_max,
                       struct frame_pool *pool,
                       struct frame_budget *budget)
{
    *writer = (struct frame_writer){
        .net_class = net_class,
        .frame_bytes_max = bytes_max != 0 ? bytes_max : frame_bytes_max(net_class),
        .pool = pool,
        .budget = budget,
        .next_id = 1,
    };
    list_init(&writer->waiting);
    list_init(&writer->open);
}

static void large_free(struct frame_large *large)
{
    void (*release)(void *arg) = large->release;
    void *arg = large->release_arg;

    list_remove(&large->node);
    core_free(large);
    if (release != NULL)
        release(arg);
}

void frame_writer_deinit(struct frame_writer *writer)
{
    struct list *it;

    if (writer->pool == NULL)
        return;
    while (writer->first != NULL) {
        struct frame_chunk *chunk = writer->first;

        writer->first = chunk->next;
        frame_pool_put(writer->pool, chunk);
    }
    writer->last = NULL;
    assert(writer->budget->used >= writer->queued);
    writer->budget->used -= writer->queued;
    writer->queued = 0;
    while ((it = list_first(&writer->open)) != NULL || (it = list_first(&writer->waiting)) != NULL)
        large_free(container_of(it, struct frame_large, node));
    writer->pool = NULL;
}

bool frame_writer_pending(const struct frame_writer *writer)
{
    return writer->queued > 0;
}

/* ---- queueing ---- */

static int busy(void)
{
    return kith_fail_with(KITH_E_BUSY,
                          "peer: its send queue is full; try again when it has drained");
}

static int too_large(const struct frame_writer *writer, size_t len)
{
    return kith_fail_with(KITH_E_TOO_LARGE,
                          "frame of %zu bytes: the limit is %u; send less at once", len,
                          writer->frame_bytes_max);
}

static void charge(struct frame_writer *writer, size_t bytes)
{
    writer->queued += bytes;
    writer->budget->used += bytes;
}

static void uncharge(struct frame_writer *writer, size_t bytes)
{
    assert(writer->queued >= bytes);
    writer->queued -= bytes;
    writer->budget->used -= bytes;
}

/* True if @bytes more pass the bound of the peer's queue. */
static bool over_budget(const struct frame_writer *writer, size_t bytes)
{
    const struct frame_budget *budget = writer->budget;

    return budget->used >= budget->max || bytes > budget->max - budget->used;
}

/* Makes the last chunk one with room for @need bytes, or an empty one and @second behind it. */
static int make_room(struct frame_writer *writer, size_t need)
{
    struct frame_chunk *chunk, *second = NULL;

    if (writer->last != NULL && FILL_BYTES - writer->last->len >= need)
        return 0;
    chunk = frame_pool_get(writer->pool);
    if (chunk != NULL && need > FILL_BYTES)
        second = frame_pool_get(writer->pool);
    if (chunk == NULL || (need > FILL_BYTES && second == NULL)) {
        frame_pool_put(writer->pool, chunk);
        return KITH_E_MEMORY;
    }
    chunk->next = second;
    if (writer->last != NULL)
        writer->last->next = chunk;
    else
        writer->first = chunk;
    writer->last = chunk;
    return 0;
}

static void put_bytes(struct frame_writer *writer, const void *data, size_t len)
{
    const uint8_t *from = (const uint8_t *)data;
    struct frame_chunk *chunk = writer->last;
    size_t n;

    if (len == 0)
        return;
    assert(chunk != NULL); /* make_room() made it */
    n = FILL_BYTES - chunk->len;
    if (n > len)
        n = len;
    copy_small(chunk->data + chunk->len, from, n);
    chunk->len += (uint32_t)n;
    if (n == len)
        return;
    chunk->mid_frame = true;
    writer->last = chunk->next;
    put_bytes(writer, from + n, len - n);
}

static int add_whole(struct frame_writer *writer,
                     uint8_t type,
                     const struct kith_bytes *parts,
                     size_t parts_n,
                     size_t len)
{
    struct frame_head head = {.len = (uint32_t)len, .type = type};
    uint8_t head_bytes[FRAME_HEAD_BYTES];
    int r;

    if (over_budget(writer, len + FRAME_HEAD_BYTES))
        return busy();
    r = make_room(writer, len + FRAME_HEAD_BYTES);
    if (r != 0)
        return r;
    charge(writer, len + FRAME_HEAD_BYTES);
    if (FILL_BYTES - writer->last->len >= len + FRAME_HEAD_BYTES) {
        /* Nearly always: in one piece, without looking for the chunk's end again and again. */
        uint8_t *to = writer->last->data + writer->last->len;

        writer->last->len += (uint32_t)(len + FRAME_HEAD_BYTES);
        frame_head_encode(&head, to);
        to += FRAME_HEAD_BYTES;
        for (size_t i = 0; i < parts_n; to += parts[i++].len)
            copy_small(to, parts[i].data, parts[i].len);
        return 0;
    }
    frame_head_encode(&head, head_bytes);
    put_bytes(writer, head_bytes, sizeof head_bytes);
    for (size_t i = 0; i < parts_n; i++)
        put_bytes(writer, parts[i].data, parts[i].len);
    return 0;
}

/* On failure @release is the caller's to run. */
static int add_large(struct frame_writer *writer,
                     uint8_t type,
                     struct kith_bytes head,
                     struct kith_bytes body,
                     void (*release)(void *arg),
                     void *release_arg)
{
    size_t total = head.len + body.len;
    struct frame_large *large;

    if (over_budget(writer, total))
        return busy();
    large = core_malloc(sizeof *large);
    if (large == NULL)
        return KITH_E_MEMORY;
    *large = (struct frame_large){
        .type = type,
        .head_len = head.len,
        .body = (const uint8_t *)body.data,
        .total = total,
        .release = release,
        .release_arg = release_arg,
    };
    if (head.len > 0)
        memcpy(large->head, head.data, head.len);
    list_append(&writer->waiting, &large->node);
    charge(writer, total);
    return 0;
}

/* A large frame in many parts is put together in a block of ours. */
static int add_large_copy(struct frame_writer *writer,
                          uint8_t type,
                          const struct kith_bytes *parts,
                          size_t parts_n,
                          size_t len)
{
    uint8_t *block;
    size_t at = 0;
    int r;

    if (over_budget(writer, len))
        return busy();
    block = core_malloc(len);
    if (block == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < parts_n; i++) {
        if (parts[i].len > 0)
            memcpy(block + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    r = add_large(writer, type, (struct kith_bytes){0}, (struct kith_bytes){block, len}, core_free,
                  block);
    if (r != 0)
        core_free(block);
    return r;
}

int frame_writer_add(struct frame_writer *writer,
                     uint8_t type,
                     const struct kith_bytes *parts,
                     size_t parts_n)
{
    size_t len = 0;

    assert(frame_type_fits(type, writer->net_class));
    for (size_t i = 0; i < parts_n; i++)
        len += parts[i].len;
    if (len > writer->frame_bytes_max)
        return too_large(writer, len);
    if (len <= FRAME_WHOLE_BYTES_MAX)
        return add_whole(writer, type, parts, parts_n, len);
    return add_large_copy(writer, type, parts, parts_n, len);
}

int frame_writer_add_take(struct frame_writer *writer,
                          uint8_t type,
                          struct kith_bytes head,
                          struct kith_bytes body,
                          void (*release)(void *arg),
                          void *release_arg)
{
    int r;

    assert(head.len <= FRAME_TAKE_HEAD_BYTES_MAX);
    assert(frame_type_fits(type, writer->net_class));
    if (head.len + body.len > FRAME_WHOLE_BYTES_MAX &&
        head.len + body.len <= writer->frame_bytes_max) {
        r = add_large(writer, type, head, body, release, release_arg);
        if (r == 0)
            return 0;
    } else {
        const struct kith_bytes parts[2] = {head, body};

        r = frame_writer_add(writer, type, parts, 2);
    }
    if (release != NULL)
        release(release_arg);
    return r;
}

/* ---- sealing ---- */

void frame_writer_restart(struct frame_writer *writer)
{
    struct list again;

    assert(!writer->mid_frame);
    list_init(&again);
    list_splice(&again, &writer->open);
    list_splice(&again, &writer->waiting);
    list_splice(&writer->waiting, &again);
    list_for_each (at, &writer->waiting) {
        struct frame_large *large = container_of(at, struct frame_large, node);
        charge(writer, large->at);
        large->at = 0;
        large->id = 0;
    }
    writer->open_n = 0;
    writer->open_bytes = 0;
    writer->large_run = 0;
    writer->large_turn = false;
}

static bool id_is_open(const struct frame_writer *writer, uint16_t id)
{
    list_for_each (it, &writer->open)
        if (container_of(it, struct frame_large, node)->id == id)
            return true;
    return false;
}

/* Lets waiting frames begin, as many as the receiver will assemble at once. */
static void begin_waiting(struct frame_writer *writer)
{
    struct list *it;

    while ((it = list_first(&writer->waiting)) != NULL) {
        struct frame_large *large = container_of(it, struct frame_large, node);

        if (writer->open_n == NET_FRAGMENTS_OPEN_MAX)
            return;
        if (writer->open_n > 0 && writer->open_bytes + large->total > NET_PEER_ASSEMBLY_BYTES_MAX)
            return;
        while (writer->next_id == 0 || id_is_open(writer, writer->next_id))
            writer->next_id++;
        large->id = writer->next_id++;
        list_remove(&large->node);
        list_append(&writer->open, &large->node);
        writer->open_n++;
        writer->open_bytes += large->total;
    }
}

/* A record in the making. */
struct draft {
    struct kith_bytes parts[PARTS_MAX];
    size_t parts_n;
    size_t len;
    uint8_t fragment_head[FRAME_HEAD_BYTES + TOTAL_BYTES];
    struct frame_large *large; /* whose fragment it has */
    size_t large_n;            /* bytes of the large frame */
    struct frame_chunk *chunk;
};

static void draft_put(struct draft *draft, const void *data, size_t len)
{
    assert(draft->parts_n < PARTS_MAX);
    draft->parts[draft->parts_n++] = (struct kith_bytes){data, len};
    draft->len += len;
}

static void draft_fragment(struct draft *draft, struct frame_large *large)
{
    size_t left = large->total - large->at;
    size_t n = left < NET_FRAGMENT_BYTES ? left : NET_FRAGMENT_BYTES;
    size_t extra = large->at == 0 ? TOTAL_BYTES : 0;
    size_t of_head = large->at < large->head_len ? large->head_len - large->at : 0;
    struct frame_head head = {
        .len = (uint32_t)(n + extra),
        .type = large->type,
        .flags = (uint8_t)((large->at == 0 ? FRAME_FIRST : 0) | (n < left ? FRAME_MORE : 0)),
        .id = large->id,
    };

    frame_head_encode(&head, draft->fragment_head);
    put_le32(draft->fragment_head + FRAME_HEAD_BYTES, (uint32_t)large->total);
    draft_put(draft, draft->fragment_head, FRAME_HEAD_BYTES + extra);
    if (of_head > 0)
        draft_put(draft, large->head + large->at, of_head);
    draft_put(draft, large->body + (large->at + of_head - large->head_len), n - of_head);
    draft->large = large;
    draft->large_n = n;
}

/* Chooses what the next record holds. */
static void compose(struct frame_writer *writer, struct draft *draft)
{
    const size_t beside = FILL_BYTES - (FRAME_HEAD_BYTES + TOTAL_BYTES + NET_FRAGMENT_BYTES);
    struct frame_chunk *chunk = writer->first;
    struct list *it;

    begin_waiting(writer);
    it = list_first(&writer->open);
    if (it != NULL && !writer->mid_frame &&
        (chunk == NULL || chunk->len <= beside || writer->large_turn))
        draft_fragment(draft, container_of(it, struct frame_large, node));
    if (chunk != NULL && draft->len + chunk->len <= FILL_BYTES) {
        draft_put(draft, chunk->data, chunk->len);
        draft->chunk = chunk;
    }
}

/* The record is sealed: takes from the queue what it holds. Returns a large frame that is done. */
static struct frame_large *commit(struct frame_writer *writer, const struct draft *draft)
{
    struct frame_large *large = draft->large;

    writer->large_turn = large == NULL;
    if (draft->chunk != NULL) {
        struct frame_chunk *chunk = draft->chunk;

        uncharge(writer, chunk->len);
        writer->mid_frame = chunk->mid_frame;
        writer->first = chunk->next;
        if (writer->first == NULL)
            writer->last = NULL;
        frame_pool_put(writer->pool, chunk);
    }
    if (large == NULL)
        return NULL;
    uncharge(writer, draft->large_n);
    large->at += draft->large_n;
    if (large->at < large->total) {
        if (++writer->large_run < LARGE_RUN_FRAGMENTS)
            return NULL;
        writer->large_run = 0;
        list_remove(&large->node);
        list_append(&writer->open, &large->node);
        return NULL;
    }
    writer->large_run = 0;
    list_remove(&large->node);
    writer->open_n--;
    writer->open_bytes -= large->total;
    return large;
}

int frame_writer_seal(struct frame_writer *writer,
                      struct record_out *record,
                      uint64_t now_ms,
                      uint8_t *wire,
                      size_t *len_out)
{
    static const uint8_t rekey[FRAME_HEAD_BYTES] = {0, 0, 0, 0, FRAME_REKEY, 0, 0, 0};
    struct frame_large *done;
    struct draft draft;
    bool ends_mid_frame;
    bool rekeys;
    int r;

    *len_out = 0;
    if (writer->queued == 0)
        return 0;
    draft.parts_n = 0;
    draft.len = 0;
    draft.large = NULL;
    draft.chunk = NULL;
    compose(writer, &draft);
    ends_mid_frame = draft.chunk != NULL && draft.chunk->mid_frame;
    rekeys = !ends_mid_frame && record_rekey_due(record, now_ms);
    if (rekeys)
        draft_put(&draft, rekey, sizeof rekey);
    assert(draft.len > 0);
    assert(draft.len <= NET_RECORD_FILL_BYTES);

    r = record_seal(record, draft.parts, draft.parts_n, wire, NET_RECORD_WIRE_BYTES_MAX, len_out);
    if (r != 0)
        return r;
    if (rekeys)
        record_out_rekey(record, now_ms);
    done = commit(writer, &draft);
    if (done != NULL)
        large_free(done); /* last: what it runs may queue more here */
    return 0;
}
