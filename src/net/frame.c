/*
 * What frames are: limits, types, small bodies, and the stock of chunks.
 */
#include "net/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"

static_assert(NET_CONTROL_FRAME_BYTES_MAX <= FRAME_WHOLE_BYTES_MAX, "control frames are never cut");
static_assert(NET_BULK_FRAME_BYTES_MAX <= FRAME_WHOLE_BYTES_MAX, "bulk frames are never cut");
static_assert(NET_RPC_FRAME_BYTES_MAX <= NET_PEER_ASSEMBLY_BYTES_MAX,
              "one large frame always fits");
static_assert(FRAME_CHUNK_BYTES >= NET_RECORD_WIRE_BYTES_MAX, "a chunk holds a record");

uint32_t frame_bytes_max(enum net_class net_class)
{
    switch (net_class) {
    case NET_CONTROL:
        return NET_CONTROL_FRAME_BYTES_MAX;
    case NET_RPC:
        return NET_RPC_FRAME_BYTES_MAX;
    case NET_BULK:
        return NET_BULK_FRAME_BYTES_MAX;
    }
    return 0;
}

/* ---- close, credit ---- */

void frame_close_encode(enum frame_close_reason reason,
                        uint64_t arg,
                        uint8_t out[FRAME_CLOSE_BYTES])
{
    out[0] = (uint8_t)reason;
    put_le64(out + 1, arg);
}

int frame_close_decode(const uint8_t *body,
                       size_t len,
                       enum frame_close_reason *reason_out,
                       uint64_t *arg_out)
{
    if (len != FRAME_CLOSE_BYTES)
        return KITH_E_PARSE;
    *reason_out =
        body[0] > FRAME_CLOSE_REASON_LAST ? FRAME_CLOSE_NORMAL : (enum frame_close_reason)body[0];
    *arg_out = get_le64(body + 1);
    return 0;
}

const char *frame_close_text(enum frame_close_reason reason)
{
    switch (reason) {
    case FRAME_CLOSE_NORMAL:
        return "closed by the peer";
    case FRAME_CLOSE_IDLE:
        return "idle";
    case FRAME_CLOSE_DUPLICATE:
        return "opened by both sides at once";
    case FRAME_CLOSE_BOOT:
        return "stale boot number";
    case FRAME_CLOSE_FORGOTTEN:
        return "forgotten by the peer";
    case FRAME_CLOSE_PROTOCOL:
        return "protocol violated";
    }
    return "closed by the peer";
}

void frame_credit_encode(uint32_t bytes, uint8_t out[FRAME_CREDIT_BYTES])
{
    put_le32(out, bytes);
}

int frame_credit_decode(const uint8_t *body, size_t len, uint32_t *bytes_out)
{
    if (len != FRAME_CREDIT_BYTES)
        return KITH_E_PARSE;
    *bytes_out = get_le32(body);
    return 0;
}

/* ---- frames given to the driver ---- */

uint8_t *net_frame_take(struct net_frame *frame)
{
    uint8_t *block = frame->owned;

    frame->owned = NULL;
    return block;
}

void net_frame_done(struct net_frame *frame)
{
    if (frame->owned == NULL)
        return;
    frame_block_put(frame->pool, frame->owned, frame->len);
    frame->owned = NULL;
}

/* ---- chunks ---- */

/*
 * The blocks of large frames come and go all the time, and an allocator that gives each back to the
 * system pays for it with page faults: 8 frames of 1 MiB at once were assembled at 1.5 GB/s
 * instead of 3.0. glibc learns what is usual from the largest block it saw freed; this one shows it
 * the largest there may be, and is never touched.
 */
static void teach_allocator(void)
{
    void *volatile block =
        core_malloc(NET_RPC_FRAME_BYTES_MAX); /* volatile: or the pair is optimised away */

    core_free(block);
}

void frame_pool_init(struct frame_pool *pool, unsigned keep_max)
{
    *pool = (struct frame_pool){.keep_max = keep_max};
    teach_allocator();
}

void frame_pool_deinit(struct frame_pool *pool)
{
    while (pool->free != NULL) {
        struct frame_chunk *chunk = pool->free;

        pool->free = chunk->next;
        core_free(chunk);
    }
    pool->free_n = 0;
    pool->blocks_used = false;
    (void)frame_pool_trim(pool);
}

struct frame_chunk *frame_pool_get(struct frame_pool *pool)
{
    struct frame_chunk *chunk = pool->free;

    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->free_n--;
    } else {
        chunk = core_malloc(sizeof *chunk);
        if (chunk == NULL)
            return NULL;
    }
    chunk->next = NULL;
    chunk->len = 0;
    chunk->mid_frame = false;
    return chunk;
}

void frame_pool_put(struct frame_pool *pool, struct frame_chunk *chunk)
{
    if (chunk == NULL)
        return;
    if (pool->free_n >= pool->keep_max) {
        core_free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->free_n++;
}

/* ---- blocks ---- */

/* What is allocated for @len, so that a block's size follows from that of its frame. */
static size_t block_bytes(size_t len)
{
    const size_t step = 64 * 1024;

    return (len + step - 1) / step * step;
}

uint8_t *frame_block_get(struct frame_pool *pool, size_t len)
{
    size_t bytes = block_bytes(len);

    if (pool != NULL)
        pool->blocks_used = true;
    for (unsigned i = pool != NULL ? pool->blocks_n : 0; i > 0; i--) {
        uint8_t *data = pool->blocks[i - 1].data;

        if (pool->blocks[i - 1].bytes != bytes)
            continue;
        pool->blocks_n--;
        pool->blocks_bytes -= bytes;
        memmove(pool->blocks + i - 1, pool->blocks + i,
                (pool->blocks_n - (i - 1)) * sizeof(pool->blocks[0]));
        return data;
    }
    return core_malloc(bytes);
}

void frame_block_put(struct frame_pool *pool, uint8_t *data, size_t len)
{
    size_t bytes = block_bytes(len);

    if (pool == NULL || bytes > NET_BLOCKS_KEPT_BYTES_MAX) {
        core_free(data);
        return;
    }
    /* The oldest give way: what comes now is more like what comes next. */
    while (pool->blocks_n > 0 && (pool->blocks_n == NET_BLOCKS_KEPT_MAX ||
                                  pool->blocks_bytes + bytes > NET_BLOCKS_KEPT_BYTES_MAX)) {
        pool->blocks_bytes -= pool->blocks[0].bytes;
        core_free(pool->blocks[0].data);
        pool->blocks_n--;
        memmove(pool->blocks, pool->blocks + 1, pool->blocks_n * sizeof(pool->blocks[0]));
    }
    pool->blocks[pool->blocks_n++] = (struct frame_block){data, bytes};
    pool->blocks_bytes += bytes;
}

bool frame_pool_trim(struct frame_pool *pool)
{
    bool keep = pool->blocks_used;

    pool->blocks_used = false;
    while (!keep && pool->blocks_n > 0)
        core_free(pool->blocks[--pool->blocks_n].data);
    if (!keep)
        pool->blocks_bytes = 0;
    return pool->blocks_n > 0;
}
