/*
 * The receiving side. A frame that lies whole in its record is given where it lies; one that runs
 * over records is put together in `pending`; fragments go to the block of their frame.
 *
 * Opening straight into that block: a record that begins with a fragment is decrypted to 8 bytes
 * before the place where the fragment's bytes belong, so that its head falls on bytes already
 * there (saved, and put back) and its body on its place, and no byte is copied. Which block is read
 * from the first 8 bytes, decrypted ahead and unchecked; whoever forges them gets another place
 * within blocks of his own stream, and then the tag does not fit and the stream ends.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/frame.h"

#define TOTAL_BYTES 4
/* Below this a copy is cheaper than the look ahead. */
#define STRAIGHT_BYTES_MIN 4096
/* A pending buffer above this is not kept. */
#define PENDING_KEPT_BYTES 4096

struct frame_assembly {
    uint16_t id;
    uint8_t type;
    uint32_t total;
    uint32_t got;
    uint8_t *data; /* total bytes */
};

void frame_reader_init(struct frame_reader *reader,
                       enum net_class net_class,
                       uint32_t bytes_max,
                       struct frame_budget *budget)
{
    *reader = (struct frame_reader){
        .net_class = net_class,
        .frame_bytes_max = bytes_max != 0 ? bytes_max : frame_bytes_max(net_class),
        .budget = budget,
    };
}

static void assembly_free(struct frame_reader *reader, struct frame_assembly *assembly)
{
    if (assembly == NULL)
        return;
    reader->budget->used -= assembly->total;
    core_free(assembly->data);
    core_free(assembly);
}

void frame_reader_deinit(struct frame_reader *reader)
{
    struct frame_assembly *assembly;
    size_t at = 0;

    if (reader->budget == NULL)
        return;
    while ((assembly = map64_next(&reader->open, &at)) != NULL)
        assembly_free(reader, assembly);
    map64_deinit(&reader->open);
    assembly_free(reader, reader->ready);
    buf_deinit(&reader->pending);
    memset(reader, 0, sizeof *reader);
}

static int fail(struct frame_reader *reader, int code, const char *what)
{
    reader->failed = code;
    return kith_fail_with(code, "stream: %s", what);
}

/* ---- heads ---- */

/* The rules of net/frame.h, before anything is allocated for the frame. */
static int check_head(struct frame_reader *reader, const struct frame_head *head)
{
    uint32_t body = head->len;
    uint32_t max = FRAME_WHOLE_BYTES_MAX;

    if (!frame_type_fits(head->type, reader->net_class))
        return fail(reader, KITH_E_PARSE, "a frame of a type that does not belong here");
    if (head->flags == 0 && head->id == 0) {
        if (head->type <= FRAME_CHANNEL_LAST)
            max = 4096;
        else if (reader->frame_bytes_max < max)
            max = reader->frame_bytes_max;
        return body <= max ? 0 : fail(reader, KITH_E_TOO_LARGE, "a frame beyond its limit");
    }
    if (reader->net_class != NET_RPC || head->type <= FRAME_CHANNEL_LAST || head->id == 0)
        return fail(reader, KITH_E_PARSE, "a fragment where none may be");
    if ((head->flags & ~(FRAME_FIRST | FRAME_MORE)) != 0 || head->flags == FRAME_FIRST)
        return fail(reader, KITH_E_PARSE, "a frame with flags that may not be");
    if (head->flags & FRAME_FIRST)
        body -= body < TOTAL_BYTES ? body : TOTAL_BYTES;
    if (body == 0)
        return fail(reader, KITH_E_PARSE, "an empty fragment");
    if (body > NET_FRAGMENT_BYTES)
        return fail(reader, KITH_E_TOO_LARGE, "a fragment beyond its limit");
    return 0;
}

/* ---- fragments ---- */

static int begin_assembly(struct frame_reader *reader,
                          const struct frame_head *head,
                          uint32_t total,
                          struct frame_assembly **assembly_out)
{
    struct frame_budget *budget = reader->budget;
    struct frame_assembly *assembly;

    if (total > reader->frame_bytes_max)
        return fail(reader, KITH_E_TOO_LARGE, "a frame beyond its limit");
    if (head->len - TOTAL_BYTES >= total) /* more follows, so this is not all of it */
        return fail(reader, KITH_E_PARSE, "fragments that do not add up to their frame");
    if (map64_find(&reader->open, head->id) != NULL)
        return fail(reader, KITH_E_PARSE, "a frame begun twice");
    if (reader->open.n >= NET_FRAGMENTS_OPEN_MAX)
        return fail(reader, KITH_E_LIMIT, "too many unfinished frames");
    if (budget->used >= budget->max || total > budget->max - budget->used)
        return fail(reader, KITH_E_LIMIT, "unfinished frames hold too much memory");

    assembly = core_malloc(sizeof *assembly);
    if (assembly == NULL)
        return fail(reader, KITH_E_MEMORY, "out of memory");
    *assembly = (struct frame_assembly){.id = head->id, .type = head->type, .total = total};
    assembly->data = frame_block_get(reader->pool, total);
    if (assembly->data == NULL || map64_set(&reader->open, head->id, assembly) != 0) {
        core_free(assembly->data);
        core_free(assembly);
        return fail(reader, KITH_E_MEMORY, "out of memory");
    }
    budget->used += total;
    *assembly_out = assembly;
    return 0;
}

/* Takes @len bytes at @body, which may already stand in their place, or overlap it. */
static int grow_assembly(struct frame_reader *reader,
                         struct frame_assembly *assembly,
                         const struct frame_head *head,
                         const uint8_t *body,
                         uint32_t len)
{
    uint32_t left = assembly->total - assembly->got;
    bool last = (head->flags & FRAME_MORE) == 0;

    if (head->type != assembly->type)
        return fail(reader, KITH_E_PARSE, "a fragment of another type than its frame");
    if (len > left || last != (len == left))
        return fail(reader, KITH_E_PARSE, "fragments that do not add up to their frame");
    if (body != assembly->data + assembly->got)
        memmove(assembly->data + assembly->got, body, len);
    assembly->got += len;
    if (last) {
        map64_remove(&reader->open, assembly->id);
        assert(reader->ready == NULL);
        reader->ready = assembly;
    }
    return 0;
}

static int
take_fragment(struct frame_reader *reader, const struct frame_head *head, const uint8_t *body)
{
    struct frame_assembly *assembly = NULL;
    uint32_t len = head->len;

    if (head->flags & FRAME_FIRST) {
        int r = begin_assembly(reader, head, get_le32(body), &assembly);

        if (r != 0)
            return r;
        body += TOTAL_BYTES;
        len -= TOTAL_BYTES;
    } else {
        assembly = map64_find(&reader->open, head->id);
        if (assembly == NULL)
            return fail(reader, KITH_E_PARSE, "a fragment of a frame that has not begun");
    }
    assert(assembly != NULL);
    return grow_assembly(reader, assembly, head, body, len);
}

/* ---- records ---- */

/*
 * The place to open a record of @len plaintext bytes to, if it begins with a fragment that goes on
 * with a block that has room for all of it.
 */
static struct frame_assembly *straight_target(const struct frame_reader *reader,
                                              const struct record_in *record,
                                              const uint8_t *wire,
                                              size_t len)
{
    uint8_t bytes[FRAME_HEAD_BYTES];
    struct frame_assembly *assembly;
    struct frame_head head;

    if (reader->open.n == 0 || reader->pending.len > 0 || len < STRAIGHT_BYTES_MIN)
        return NULL;
    record_peek(record, wire, bytes, sizeof bytes);
    head = frame_head_decode(bytes);
    if (head.id == 0 || (head.flags & FRAME_FIRST) != 0 || head.len > len - FRAME_HEAD_BYTES)
        return NULL;
    assembly = map64_find(&reader->open, head.id);
    if (assembly == NULL || assembly->got < FRAME_HEAD_BYTES ||
        len - FRAME_HEAD_BYTES > assembly->total - assembly->got)
        return NULL;
    return assembly;
}

/* Opens to @assembly's block and takes the fragment there; the rest of the record is read as usual.
 */
static int open_straight(struct frame_reader *reader,
                         struct record_in *record,
                         const uint8_t *wire,
                         size_t wire_len,
                         struct frame_assembly *assembly)
{
    uint8_t *to = assembly->data + assembly->got - FRAME_HEAD_BYTES;
    uint8_t saved[FRAME_HEAD_BYTES];
    struct frame_head head;
    int r;

    memcpy(saved, to, sizeof saved);
    r = record_open(record, wire, wire_len, to);
    if (r != 0) {
        reader->failed = r;
        return r;
    }
    head = frame_head_decode(to);
    memcpy(to, saved, sizeof saved);
    frame_reader_feed(reader, to, wire_len - RECORD_OVERHEAD_BYTES);
    reader->at =
        FRAME_HEAD_BYTES + head.len; /* within: straight_target() looked at the same bytes */
    assert(reader->at <= reader->len);
    r = check_head(reader, &head);
    return r != 0 ? r : take_fragment(reader, &head, to + FRAME_HEAD_BYTES);
}

int frame_reader_open(struct frame_reader *reader,
                      struct record_in *record,
                      uint8_t *wire,
                      size_t wire_len)
{
    struct frame_assembly *assembly;
    size_t len = wire_len - RECORD_OVERHEAD_BYTES;
    int r;

    assert(reader->failed == 0);
    assert(reader->at == reader->len);
    assert(wire_len > RECORD_OVERHEAD_BYTES);
    reader->record = record;
    assembly = straight_target(reader, record, wire, len);
    if (assembly != NULL)
        return open_straight(reader, record, wire, wire_len, assembly);
    r = record_open(record, wire, wire_len, wire + RECORD_HEAD_BYTES);
    if (r != 0) {
        reader->failed = r;
        return r;
    }
    frame_reader_feed(reader, wire + RECORD_HEAD_BYTES, len);
    return 0;
}

void frame_reader_feed(struct frame_reader *reader, const uint8_t *plain, size_t len)
{
    assert(reader->at == reader->len);
    reader->data = plain;
    reader->len = len;
    reader->at = 0;
}

/* ---- frames ---- */

static int give_ready(struct frame_reader *reader, struct net_frame *frame_out)
{
    struct frame_assembly *assembly = reader->ready;

    *frame_out = (struct net_frame){
        .net_class = reader->net_class,
        .type = assembly->type,
        .body = assembly->data,
        .len = assembly->total,
        .owned = assembly->data,
        .pool = reader->pool,
    };
    reader->ready = NULL;
    assembly->data = NULL;
    assembly_free(reader, assembly);
    return 1;
}

/* 1: given; 0: taken inside; negative. */
static int take_frame(struct frame_reader *reader,
                      const struct frame_head *head,
                      const uint8_t *body,
                      struct net_frame *frame_out)
{
    int r;

    if (head->id != 0) {
        r = take_fragment(reader, head, body);
        return r == 0 && reader->ready != NULL ? give_ready(reader, frame_out) : r;
    }
    if (head->type == FRAME_REKEY) {
        if (head->len != 0 || reader->at != reader->len)
            return fail(reader, KITH_E_PARSE, "a rekey that is not the end of its record");
        if (reader->record != NULL)
            record_in_rekey(reader->record);
        return 0;
    }
    *frame_out = (struct net_frame){
        .net_class = reader->net_class,
        .type = head->type,
        .body = body,
        .len = head->len,
    };
    return 1;
}

/* Moves bytes of the record to pending until it holds @want. False if the record is used up before.
 */
static int pend(struct frame_reader *reader, size_t want)
{
    size_t n = reader->len - reader->at;

    if (reader->pending.len >= want)
        return 0;
    if (n > want - reader->pending.len)
        n = want - reader->pending.len;
    if (buf_append(&reader->pending, reader->data + reader->at, n) != 0)
        return fail(reader, KITH_E_MEMORY, "out of memory");
    reader->at += n;
    return reader->pending.len >= want ? 0 : KITH_E_AGAIN;
}

/* A frame that runs over records. KITH_E_AGAIN: the record is used up; else as take_frame(). */
static int next_pending(struct frame_reader *reader, struct net_frame *frame_out)
{
    struct frame_head head;
    int r;

    r = pend(reader, FRAME_HEAD_BYTES);
    if (r != 0)
        return r;
    head = frame_head_decode(reader->pending.data);
    r = check_head(reader, &head);
    if (r != 0)
        return r;
    r = pend(reader, FRAME_HEAD_BYTES + (size_t)head.len);
    if (r != 0)
        return r;
    reader->pending_given = true;
    return take_frame(reader, &head, reader->pending.data + FRAME_HEAD_BYTES, frame_out);
}

static void drop_pending(struct frame_reader *reader)
{
    reader->pending_given = false;
    reader->pending.len = 0;
    if (reader->pending.cap > PENDING_KEPT_BYTES)
        buf_deinit(&reader->pending);
}

int frame_reader_next(struct frame_reader *reader, struct net_frame *frame_out)
{
    struct frame_head head;
    size_t left;
    int r;

    if (reader->failed != 0)
        return reader->failed;
    if (reader->ready != NULL)
        return give_ready(reader, frame_out);
    for (;;) {
        if (reader->pending_given)
            drop_pending(reader);
        left = reader->len - reader->at;
        if (left == 0)
            return 0;
        if (reader->pending.len > 0 || left < FRAME_HEAD_BYTES) {
            r = next_pending(reader, frame_out);
        } else {
            const uint8_t *at = reader->data + reader->at;

            head = frame_head_decode(at);
            r = check_head(reader, &head);
            if (r != 0)
                return r;
            if (left - FRAME_HEAD_BYTES < head.len) {
                r = next_pending(reader, frame_out);
            } else {
                reader->at += FRAME_HEAD_BYTES + (size_t)head.len;
                r = take_frame(reader, &head, at + FRAME_HEAD_BYTES, frame_out);
            }
        }
        if (r == KITH_E_AGAIN)
            return 0;
        if (r != 0)
            return r;
    }
}
